// SPDX-License-Identifier: GPL-2.0-or-later
/// Counting laws of remapping: how many entries a request reads, which, and what each cache takes away; what invalidations bring back.
/// VT-d "DMA Remapping", "Caching Translation Information", "Invalidation of Translation Caches", "Interrupt Remapping"
#include "machine.hpp"

namespace vt::vtd {
namespace {

constexpr Bdf kSame{0, 6, 0};     ///< of the same domain as 00:04.0, with the same tables
constexpr Bdf kOther{0, 5, 0};    ///< of domain 6
constexpr u64 kTop2 = 0x180000;

struct Last final : RequestListener {
  void request(const Touched& t) override { touched = t, ++count; }
  Touched touched;
  unsigned count = 0;
};

struct Counted : Machine {
  explicit Counted(const Caps& c = {}) : Machine(c) { unit.listen(&last); }
  Touched& go(u64 at, Access want = access::read, Bdf who = dev) {
    const unsigned before = last.count;
    dma(at, want, who);
    EXPECT_EQ(last.count, before + 1) << "each request is told once";
    EXPECT_EQ(last.touched.source.v, who.v);
    EXPECT_FALSE(last.touched.interrupt);
    return last.touched;
  }
  unsigned reads(u64 at, Access want = access::read, Bdf who = dev) { return go(at, want, who).reads(); }
  Touched& interrupt(u32 index) {
    unit.remap(dev, 0xfee00010 | index << 5, 0);
    EXPECT_TRUE(last.touched.interrupt);
    return last.touched;
  }
  Last last;
};

Caps levels(unsigned n) {
  Caps c;
  c.agaw_39 = n == 3, c.agaw_48 = n == 4, c.mgaw = 12 + 9 * n;
  return c;
}

// A page at `page` level in tables of so many levels: what each of the caches leaves to be read.
TEST(vtd_timing, entries_that_a_request_reads) {
  // 0x..b7 and 0x..37 are EPT's own entries, as where the tables are shared: read, write, execute, write-back.
  const struct { unsigned levels, page; u64 leaf; unsigned walk; } kRows[] = {
    {4, 1, 0x37, 4}, {4, 2, 0xb7, 3}, {4, 3, 0xb7, 2}, {3, 1, 0x37, 3}, {3, 2, 0xb7, 2}, {3, 3, 0xb7, 1},
    {4, 1, 0x03, 4}, {4, 2, 0x83, 3}, {4, 3, 0x83, 2}, {3, 1, 0x03, 3}, {3, 2, 0x83, 2}, {3, 3, 0x83, 1}};
  for (auto& r : kRows) {
    SCOPED_TRACE(testing::Message() << r.levels << " levels, page of level " << r.page << ", leaf " << std::hex << r.leaf);
    Counted m(levels(r.levels));
    constexpr u64 kIova = 0x40'0000'0000;
    const u64 size = span_at(r.page), next = kIova + size;
    for (Bdf b : {Machine::dev, kSame}) m.root_entry(kContext | 1), m.context_entry(kTop | 1, u64{Machine::domain} << 8 | (r.levels - 2), b);
    m.map(kIova, r.leaf, r.page, kTop, r.levels);
    const u64 leaf = m.map(next, r.leaf | size, r.page, kTop, r.levels);
    m.enable();

    Touched t = m.go(kIova + 0x123);
    EXPECT_EQ(t.context, Lookup::miss);
    EXPECT_EQ(t.iotlb, Lookup::miss);
    EXPECT_EQ(t.context_reads, 2) << "cold: root entry and context entry";
    EXPECT_EQ(t.table_reads, r.walk) << "and an entry of each level down to the page's";
    EXPECT_EQ(t.reads(), 2u + r.walk);
    EXPECT_EQ(t.at[0].v, kRoot);
    EXPECT_EQ(t.at[1].v, kContext + 16 * Machine::dev.devfn());
    u64 table = kTop;
    for (unsigned n = 0; n < r.walk; ++n) {
      const u64 at = table + 8 * index_at(kIova, r.levels - n);
      EXPECT_EQ(t.at[2 + n].v, at) << "from the top, in order";
      table = m.get(at) & ~u64{0xfff};
    }

    t = m.go(next);
    EXPECT_EQ(t.context, Lookup::hit);
    EXPECT_EQ(t.context_reads, 0) << "the context cache takes both entries";
    EXPECT_EQ(t.table_reads, r.walk) << "there are no paging-structure caches: the next page's walk is as long";
    EXPECT_EQ(t.at[r.walk - 1].v, leaf);

    for (u64 at : {kIova, kIova + size - 1, next + size / 2}) {
      t = m.go(at, access::write);
      EXPECT_EQ(t.context, Lookup::hit);
      EXPECT_EQ(t.iotlb, Lookup::hit) << "anywhere in the page";
      EXPECT_EQ(t.reads(), 0u);
    }
    t = m.go(kIova, access::read, kSame);
    EXPECT_EQ(t.context_reads, 2) << "another device: its own context entry";
    EXPECT_EQ(t.iotlb, Lookup::hit) << "of the same domain: the same translations";
    EXPECT_EQ(t.table_reads, 0);
  }
}

// What ends early reads as far as it comes; with CM clear it is not kept, with CM set it is.   VT-d "Caching Mode"
TEST(vtd_timing, requests_that_are_refused) {
  struct Row {
    const char* name;
    void (*prepare)(Counted&);
    u64 at;
    Access want;
    unsigned context, table;              ///< the first time
    unsigned context_again, table_again;  ///< and once more, CM clear
    unsigned context_kept = 0, table_kept = 0;   ///< CM set
  };
  const Row kRows[] = {
    {"root entry not present", [](Counted&) {}, 0x5000, access::read, 1, 0, 1, 0},
    {"context entry not present", [](Counted& m) { m.root_entry(kContext | 1); }, 0x5000, access::read, 2, 0, 2, 0},
    {"context table not in memory", [](Counted& m) { m.root_entry(0x300'0001); }, 0x5000, access::read, 1, 0, 1, 0},
    {"top entry not present", [](Counted& m) { m.tables(); }, 0x5000, access::read, 2, 1, 0, 1},
    {"second entry not present", [](Counted& m) { m.tables(), m.map(0x5000, 0, 3); }, 0x5000, access::read, 2, 2, 0, 2},
    {"leaf not present", [](Counted& m) { m.tables(), m.map(0x5000, 0); }, 0x5000, access::read, 2, 4, 0, 4},
    {"reserved bit in the third", [](Counted& m) { m.tables(), m.map(0x5000, 0x4000'0000'0000'0003, 2); }, 0x5000, access::read, 2, 3, 0, 3},
    {"next table not in memory", [](Counted& m) { m.tables(), m.map(0x5000, 0x300'0003, 2); }, 0x5000, access::read, 2, 3, 0, 3},
    {"write to a read-only page", [](Counted& m) { m.tables(), m.map(0x5000, 0x9001); }, 0x5000, access::write, 2, 4, 0, 4},
    {"top table not in memory: neither is the context entry kept", [](Counted& m) { m.root_entry(kContext | 1), m.context_entry(0x300'0001, 0x502); }, 0x5000, access::read, 2, 0, 2, 0},
    {"beyond the width", [](Counted& m) { m.tables(); }, u64{1} << 48, access::read, 2, 0, 0, 0},
    {"to the interrupt range", [](Counted& m) { m.tables(); }, 0xfee0'0000, access::write, 0, 0, 0, 0},
  };
  for (const Row& r : kRows)
    for (bool kept : {false, true}) {
      SCOPED_TRACE(testing::Message() << r.name << (kept ? ", CM" : ""));
      Caps c;
      c.caching_mode = kept;
      Counted m(c);
      r.prepare(m), m.enable();
      Touched t = m.go(r.at, r.want);
      EXPECT_EQ(t.context_reads, r.context);
      EXPECT_EQ(t.table_reads, r.table);
      t = m.go(r.at, r.want);
      EXPECT_EQ(t.context_reads, kept ? r.context_kept : r.context_again);
      EXPECT_EQ(t.table_reads, kept ? r.table_kept : r.table_again);
    }
}

TEST(vtd_timing, what_is_not_translated_looks_at_nothing_more) {
  Counted m;
  Touched t = m.go(0x5000);
  EXPECT_EQ(t.context, Lookup::none);      // translation is off
  EXPECT_EQ(t.iotlb, Lookup::none);
  EXPECT_EQ(t.reads(), 0u);
  m.root_entry(kContext | 1), m.context_entry(9, 0x502), m.enable();   // "Context Entry": TT 10b
  t = m.go(0x5000);
  EXPECT_EQ(t.context, Lookup::miss);
  EXPECT_EQ(t.iotlb, Lookup::none);
  EXPECT_EQ(t.reads(), 2u);
  t = m.go(0x9000);
  EXPECT_EQ(t.context, Lookup::hit);
  EXPECT_EQ(t.reads(), 0u);
}

// --- invalidations ------------------------------------------------------------------------------------------------

/// Entries that must be read again, each cache being full before.
struct Again {
  unsigned dev = 0, same = 0, other = 0;                          ///< root and context entries of the three devices
  unsigned small = 0, further = 0, big = 0, others = 0;           ///< second-level: 0x5000, 0x8000 and the 2 MiB page of domain 5; 0x5000 of domain 6
  unsigned irte5 = 0, irte6 = 0;
  friend bool operator==(const Again&, const Again&) = default;
};
void PrintTo(const Again& a, std::ostream* o) {
  *o << "contexts " << a.dev << " " << a.same << " " << a.other << ", tables " << a.small << " " << a.further << " " << a.big << " " << a.others << ", interrupt entries " << a.irte5 << " " << a.irte6;
}

struct Full : Counted {
  explicit Full(bool queue) {
    tables(), context_entry(kTop | 1, u64{domain} << 8 | 2, kSame), context_entry(kTop2 | 1, 0x602, kOther);
    map(0x5000, 0x9003), map(0x8000, 0xa003), map(0x4000'0000, 0x60'0083, 2), map(0x5000, 0xb003, 1, kTop2);
    for (unsigned i : {5, 6}) put(kIrt + 16 * i, 0x310001);
    if (queue) enable_queue();
    w64(0xb8, kIrt | 7), command(gcmd::SIRTP), command(gcmd::IRE), enable();
    EXPECT_EQ(again(), (Again{2, 2, 2, 4, 4, 3, 4, 1, 1})) << "cold";
    EXPECT_EQ(again(), Again{}) << "warm";
  }
  Again again() {
    Again a;
    const auto one = [&](unsigned& context, unsigned& table, u64 at, Bdf who) { const Touched& t = go(at, access::read, who); context += t.context_reads, table += t.table_reads; };
    one(a.dev, a.small, 0x5000, dev), one(a.dev, a.further, 0x8000, dev), one(a.dev, a.big, 0x4000'0000, dev);
    one(a.same, a.small, 0x5000, kSame), one(a.other, a.others, 0x5000, kOther);
    a.irte5 = interrupt(5).interrupt_reads, a.irte6 = interrupt(6).interrupt_reads;
    return a;
  }
  /// The same by registers.   VT-d "Context Command Register", "IOTLB Invalidate Register"
  bool by_registers(Descriptor d) {
    if (static_cast<DescriptorType>(d.type()) == DescriptorType::context_cache) {
      w64(0x28, u64{1} << 63 | u64{static_cast<u8>(d.granularity())} << 61 | u64{d.function_mask()} << 32 | u64{d.source()} << 16 | d.domain());
      return true;
    }
    if (static_cast<DescriptorType>(d.type()) != DescriptorType::iotlb) return false;
    w64(0x100, d.address() | u64{d.hint()} << 6 | d.address_mask());
    w64(0x108, u64{1} << 63 | u64{static_cast<u8>(d.granularity())} << 60 | u64{d.domain()} << 32);
    return true;
  }
};

using G = Granularity;
using namespace descriptor;
const struct { const char* name; Descriptor d; Again again; } kInvalidations[] = {
  {"context cache, global", context_cache(G::global), {.dev = 2, .same = 2, .other = 2}},
  {"context cache, domain 5", context_cache(G::domain, 5), {.dev = 2, .same = 2}},
  {"context cache, domain 6", context_cache(G::domain, 6), {.other = 2}},
  {"context cache, domain 7", context_cache(G::domain, 7), {}},
  {"context cache, device", context_cache(G::specific, 5, Machine::dev.v), {.dev = 2}},
  {"context cache, the other device of the domain", context_cache(G::specific, 5, kSame.v), {.same = 2}},
  {"context cache, device in another domain", context_cache(G::specific, 6, Machine::dev.v), {}},
  {"context cache, function 7 and all of its device's", context_cache(G::specific, 5, Bdf(0, 4, 7).v, 3), {.dev = 2}},
  {"context cache, function 7 alone", context_cache(G::specific, 5, Bdf(0, 4, 7).v, 0), {}},
  {"IOTLB, global", iotlb(G::global), {.small = 4, .further = 4, .big = 3, .others = 4}},
  {"IOTLB, domain 5", iotlb(G::domain, 5), {.small = 4, .further = 4, .big = 3}},
  {"IOTLB, domain 6", iotlb(G::domain, 6), {.others = 4}},
  {"IOTLB, a page", iotlb(G::specific, 5, 0x5000), {.small = 4}},
  {"IOTLB, a page, leaves only: nothing else was kept", iotlb(G::specific, 5, 0x5000, 0, true), {.small = 4}},
  {"IOTLB, the same page of the other domain", iotlb(G::specific, 6, 0x5000), {.others = 4}},
  {"IOTLB, a page in the middle of 2 MiB", iotlb(G::specific, 5, 0x4012'3000), {.big = 3}},
  {"IOTLB, 16 pages", iotlb(G::specific, 5, 0x5000, 4), {.small = 4, .further = 4}},
  {"IOTLB, 8 pages from 0x8000 on", iotlb(G::specific, 5, 0x8000, 3), {.further = 4}},
  {"IOTLB, a page that nobody has", iotlb(G::specific, 5, 0xc000), {}},
  {"interrupt entries, all", interrupt_entries(), {.irte5 = 1, .irte6 = 1}},
  {"interrupt entry 5", interrupt_entries(5, 0), {.irte5 = 1}},
  {"interrupt entries 4 to 7", interrupt_entries(4, 2), {.irte5 = 1, .irte6 = 1}},
  {"wait", wait_status(kStatus, 1), {}},
};

TEST(vtd_timing, invalidations_drop_what_they_must_and_no_more) {
  for (auto& r : kInvalidations) {
    SCOPED_TRACE(r.name);
    Full m(true);
    m.submit(r.d);
    EXPECT_EQ(m.again(), r.again);
    EXPECT_EQ(m.again(), Again{}) << "and it is all there again";
  }
}

TEST(vtd_timing, invalidations_by_registers_do_the_same) {
  unsigned n = 0;
  for (auto& r : kInvalidations) {
    SCOPED_TRACE(r.name);
    Full m(false);
    if (!m.by_registers(r.d)) continue;
    ++n;
    EXPECT_EQ(m.again(), r.again);
  }
  EXPECT_EQ(n, 19u);
}

// The IOTLB replaces in the order of filling: what just does not fit, used in turn, misses each time.
TEST(vtd_timing, an_iotlb_that_thrashes) {
  for (const auto& [entries, pages, misses] : {std::tuple{4u, 4u, 4u}, {4u, 5u, 50u}, {8u, 5u, 5u}, {1u, 1u, 1u}, {1u, 2u, 20u}}) {
    Caps c;
    c.iotlb_entries = entries;
    Counted m(c);
    m.tables();
    for (u64 p = 0; p < pages; ++p) m.map(0x5000 + p * kPageSize, 0x9003 + p * kPageSize);
    m.enable();
    unsigned walks = 0, reads = 0;
    for (unsigned round = 0; round < 10; ++round)
      for (u64 p = 0; p < pages; ++p) {
        const Touched& t = m.go(0x5000 + p * kPageSize);
        walks += t.iotlb == Lookup::miss, reads += t.table_reads;
      }
    EXPECT_EQ(walks, misses) << entries << " entries, " << pages << " pages";
    EXPECT_EQ(reads, 4 * misses);
  }
}

TEST(vtd_timing, interrupt_requests) {
  Counted m;
  m.put(kIrt + 16 * 5, 0x310001);
  Touched t = m.interrupt(5);
  EXPECT_EQ(t.interrupt_entry, Lookup::none);   // remapping is off
  m.w64(0xb8, kIrt | 7), m.command(gcmd::SIRTP), m.command(gcmd::IRE);
  t = m.interrupt(5);
  EXPECT_EQ(t.interrupt_entry, Lookup::miss);
  EXPECT_EQ(t.interrupt_reads, 1);
  EXPECT_EQ(t.reads(), 1u);
  EXPECT_EQ(t.at[0].v, kIrt + 16 * 5);
  t = m.interrupt(5);
  EXPECT_EQ(t.interrupt_entry, Lookup::hit);
  EXPECT_EQ(t.reads(), 0u);
  for (unsigned n = 0; n < 2; ++n) EXPECT_EQ(m.interrupt(6).reads(), 1u) << "not present: not kept";
  EXPECT_EQ(m.interrupt(256).reads(), 0u) << "beyond the table";
}

// A unit that is listened to does what it does without.
TEST(vtd_timing, listening_changes_nothing) {
  Machine alone;
  Counted heard;
  for (Machine* m : std::initializer_list<Machine*>{&alone, &heard}) {
    m->tables(), m->map(0x5000, 0x9003), m->map(0x4000'0000, 0x60'0083, 2), m->enable();
    m->put(kIrt + 16 * 5, 0x310001), m->w64(0xb8, kIrt | 7), m->command(gcmd::SIRTP), m->command(gcmd::IRE);
    for (u64 at : {0x5000ull, 0x5800ull, 0x6000ull, 0x4000'1000ull, 0xfee0'0000ull}) m->dma(at, access::write);
    for (u32 n : {5, 5, 6}) m->unit.remap(Machine::dev, 0xfee00010 | n << 5, 0);
  }
  EXPECT_EQ(heard.last.count, 8u);
  HashAr a, b;
  alone.unit.state(a), heard.unit.state(b);
  EXPECT_EQ(a.hex(), b.hex());
  EXPECT_EQ(alone.unit.statistics().iotlb_misses, heard.unit.statistics().iotlb_misses);
  EXPECT_EQ(alone.unit.statistics().faults, heard.unit.statistics().faults);
}

}  // namespace
}  // namespace vt::vtd
