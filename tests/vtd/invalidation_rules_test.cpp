// SPDX-License-Identifier: GPL-2.0-or-later
/// What each invalidation drops and what it must leave, by descriptor and by register; errors of the queue; tables that
/// change under running devices.
#include "machine.hpp"

namespace vt::vtd {
namespace {

const Bdf kOther{0, 5, 0};                ///< of domain 6, tables at kTop2
constexpr u64 kTop2 = 0x180000;
constexpr u64 kNowhere = 0x300'0000;

Caps with(auto f) { Caps c; f(c); return c; }

/// Two devices of two domains, with everything in the caches and everything changed in memory since.
enum : unsigned { A = 1, B = 2, C = 4, D = 8, iotlb_all = 15, ctx4 = 16, ctx5 = 32, irte5 = 64, irte6 = 128, everything = 255 };
struct Stale : Machine {
  explicit Stale(Caps c = {}, bool queue = true) : Machine(c) {
    tables(), context_entry(kTop2 | 1, 0x602, kOther);
    set(0x10'0000);
    if (queue) enable_queue();
    w64(0xb8, kIrt | 7), command(gcmd::SIRTP), command(gcmd::IRE), enable();
    unsigned all = fresh();
    EXPECT_EQ(all, everything & ~(ctx4 | ctx5)) << "all was read for the first time";
    set(0x20'0000);
    EXPECT_EQ(fresh(), 0u) << "stale entries stay";
  }
  /// Targets of all pages, vectors of all interrupts.
  void set(u64 target) {
    now = target;
    map(0x5000, target | 0x5003), map(0x8000, target | 0x8003), map(0x4000'0000, target << 6 | 0x83, 2);
    map(0x5000, target | 0x6003, 1, kTop2);
    for (unsigned i : {5, 6}) put(kIrt + 16 * i, target >> 4 | 1);
  }
  /// Which of them no longer come from the caches. Fills the caches again. Contexts count when they are read.
  unsigned fresh() {
    unsigned f = 0;
    auto context = [&](unsigned bit, auto go) { u64 before = unit.statistics().context_misses; go(); if (warm && unit.statistics().context_misses != before) f |= bit; };
    auto page = [&](unsigned bit, u64 at, u64 to, Bdf b) { auto t = dma(at, access::read, b); EXPECT_TRUE(t.ok); if (t.at.v == to) f |= bit; };
    context(ctx4, [&] { page(A, 0x5000, now | 0x5000, dev); });
    page(B, 0x8000, now | 0x8000, dev), page(D, 0x4000'0000, now << 6, dev);
    context(ctx5, [&] { page(C, 0x5000, now | 0x6000, kOther); });
    for (unsigned i : {5, 6}) {
      auto r = unit.remap(dev, 0xfee00010 | i << 5, 0);
      EXPECT_TRUE(r.ok);
      if (r.vector == static_cast<u8>(now >> 20)) f |= i == 5 ? irte5 : irte6;
    }
    warm = true;
    return f;
  }
  u64 now = 0;
  bool warm = false;
};

struct Row { const char* name; Descriptor d; unsigned dropped; };
using G = Granularity;
using namespace descriptor;
constexpr Descriptor drain(Descriptor d) { d.lo |= 0xc0; return d; }
const Row kRows[] = {
  // VT-d "IOTLB Invalidate Descriptor"
  {"iotlb, global",                    iotlb(G::global), iotlb_all},
  {"iotlb, global, the rest ignored",  iotlb(G::global, 0xffff, 0x7777'7000), iotlb_all},
  {"iotlb, global, drained",           drain(iotlb(G::global)), iotlb_all},
  {"iotlb, domain 5",                  iotlb(G::domain, 5), A | B | D},
  {"iotlb, domain 6",                  iotlb(G::domain, 6), C},
  {"iotlb, domain 6, drained",         drain(iotlb(G::domain, 6)), C},
  {"iotlb, domain 7",                  iotlb(G::domain, 7), 0},
  {"iotlb, domain 0",                  iotlb(G::domain, 0), 0},
  {"iotlb, page of 5",                 iotlb(G::specific, 5, 0x5000), A},
  {"iotlb, page of 5, IH",             iotlb(G::specific, 5, 0x5000, 0, true), A},
  {"iotlb, page of 5, drained",        drain(iotlb(G::specific, 5, 0x5000)), A},
  {"iotlb, page of 6",                 iotlb(G::specific, 6, 0x5000), C},
  {"iotlb, page of 6, IH",             iotlb(G::specific, 6, 0x5000, 0, true), C},
  {"iotlb, page of 7",                 iotlb(G::specific, 7, 0x5000), 0},
  {"iotlb, page not cached",           iotlb(G::specific, 5, 0x6000), 0},
  {"iotlb, AM 1, below",               iotlb(G::specific, 5, 0x6000, 1), 0},
  {"iotlb, AM 1",                      iotlb(G::specific, 5, 0x4000, 1), A},
  {"iotlb, AM 2, address not aligned", iotlb(G::specific, 5, 0x7000, 2), A},
  {"iotlb, AM 3",                      iotlb(G::specific, 5, 0x8000, 3), B},
  {"iotlb, AM 4",                      iotlb(G::specific, 5, 0, 4), A | B},
  {"iotlb, AM 4, IH",                  iotlb(G::specific, 5, 0xf000, 4, true), A | B},
  {"iotlb, superpage, its first page", iotlb(G::specific, 5, 0x4000'0000), D},
  {"iotlb, superpage, its last page",  iotlb(G::specific, 5, 0x401f'f000), D},
  {"iotlb, superpage, AM 9",           iotlb(G::specific, 5, 0x4000'0000, 9), D},
  {"iotlb, the one beside, AM 9",      iotlb(G::specific, 5, 0x4020'0000, 9), 0},
  {"iotlb, 1 GiB below, AM 18",        iotlb(G::specific, 5, 0, 18), A | B},
  {"iotlb, 1 GiB, AM 18",              iotlb(G::specific, 5, 0x7fff'f000, 18), D},
  // VT-d "Context-cache Invalidate Descriptor"
  {"context, global",                  context_cache(G::global), ctx4 | ctx5},
  {"context, domain 5",                context_cache(G::domain, 5), ctx4},
  {"context, domain 6",                context_cache(G::domain, 6), ctx5},
  {"context, domain 7",                context_cache(G::domain, 7), 0},
  {"context, device",                  context_cache(G::specific, 5, Bdf(0, 4, 0).v), ctx4},
  {"context, device of another",       context_cache(G::specific, 6, Bdf(0, 4, 0).v), 0},
  {"context, other function",          context_cache(G::specific, 5, Bdf(0, 4, 4).v), 0},
  {"context, FM 1",                    context_cache(G::specific, 5, Bdf(0, 4, 4).v, 1), ctx4},
  {"context, FM 1, bit 1 differs",     context_cache(G::specific, 5, Bdf(0, 4, 2).v, 1), 0},
  {"context, FM 2",                    context_cache(G::specific, 5, Bdf(0, 4, 6).v, 2), ctx4},
  {"context, FM 2, bit 0 differs",     context_cache(G::specific, 5, Bdf(0, 4, 1).v, 2), 0},
  {"context, FM 3",                    context_cache(G::specific, 6, Bdf(0, 5, 7).v, 3), ctx5},
  {"context, FM 3, other device",      context_cache(G::specific, 6, Bdf(0, 6, 7).v, 3), 0},
  {"context, other bus",               context_cache(G::specific, 6, Bdf(1, 5, 0).v, 3), 0},
  // VT-d "Interrupt Entry Cache Invalidate Descriptor"
  {"interrupt, global",                interrupt_entries(), irte5 | irte6},
  {"interrupt, 5",                     interrupt_entries(5, 0), irte5},
  {"interrupt, 7",                     interrupt_entries(7, 0), 0},
  {"interrupt, IM 1 of 7",             interrupt_entries(7, 1), irte6},
  {"interrupt, IM 2 of 4",             interrupt_entries(4, 2), irte5 | irte6},
  {"interrupt, IM 3 of 8",             interrupt_entries(8, 3), 0},
  {"interrupt, IM 15",                 interrupt_entries(0x7fff, 15), irte5 | irte6},
  {"interrupt, IM 15 of the rest",     interrupt_entries(0x8000, 15), 0},
  // VT-d "Invalidation Wait Descriptor": it waits, and drops nothing
  {"wait, status",                     wait_status(kStatus, 1), 0},
  {"wait, interrupt",                  wait_interrupt(), 0},
  {"wait, nothing asked",              {5, 0}, 0},
};

TEST(vtd_rules, each_descriptor_drops_just_its_own) {   // VT-d "Queued Invalidation Interface", "Caching Translation Information"
  for (const Row& r : kRows) {
    SCOPED_TRACE(r.name);
    Stale m;
    m.submit(r.d);
    EXPECT_EQ(m.r32(0x34), 0u);
    EXPECT_EQ(m.fresh(), r.dropped);
    tested("VT-d invalidation", std::string("descriptor: ") + r.name);
    EXPECT_EQ(m.fresh(), r.dropped & ~(ctx4 | ctx5));          // what was left is still left
  }
}

TEST(vtd_rules, each_register_command_drops_just_its_own) {   // VT-d "Context Command Register", "IOTLB Invalidate Register"
  unsigned done = 0;
  for (const Row& r : kRows) {
    SCOPED_TRACE(r.name);
    Stale m({}, false);
    const u64 g = u64{static_cast<u8>(r.d.granularity())};
    if (r.d.type() == 1) {
      m.w64(0x28, u64{1} << 63 | g << 61 | u64{r.d.function_mask()} << 32 | u64{r.d.source()} << 16 | r.d.domain());
      EXPECT_EQ(m.r64(0x28), g << 61 | g << 59 | r.d.domain());
    } else if (r.d.type() == 2) {
      m.w64(0x100, r.d.hi), m.w64(0x108, u64{1} << 63 | g << 60 | (r.d.lo & 0xc0) << 42 | u64{r.d.domain()} << 32);
      EXPECT_EQ(bits(m.r64(0x108), 63, 57), g << 3 | g);
    } else {
      continue;
    }
    ++done;
    EXPECT_EQ(m.fresh(), r.dropped);
  }
  EXPECT_GT(done, 40u);
}

TEST(vtd_rules, domain_ids_have_as_many_bits_as_offered) {   // VT-d "Context Command Register", "IOTLB Invalidate Register": DID
  const Row rows[] = {
    {"iotlb, domain",   iotlb(G::domain, 0xfff5), A | B | D},
    {"iotlb, page",     iotlb(G::specific, 0x0015, 0x5000), A},
    {"context, domain", context_cache(G::domain, 0x8006), ctx5},
    {"context, device", context_cache(G::specific, 0xfff5, Bdf(0, 4, 0).v), ctx4},
  };
  for (const Row& r : rows) {
    SCOPED_TRACE(r.name);
    Caps c = with([](Caps& x) { x.domain_id_bits = 4; });
    Stale m(c);
    m.submit(r.d);
    EXPECT_EQ(m.fresh(), r.dropped);
    Stale n(c, false);
    const u64 g = u64{static_cast<u8>(r.d.granularity())};
    if (r.d.type() == 1) {
      n.w64(0x28, u64{1} << 63 | g << 61 | u64{r.d.source()} << 16 | r.d.domain());
      EXPECT_EQ(n.r64(0x28) & 0xffff, r.d.domain() & 15u);               // the rest is not implemented
    } else {
      n.w64(0x100, r.d.hi), n.w64(0x108, u64{1} << 63 | g << 60 | u64{r.d.domain()} << 32);
      EXPECT_EQ(bits(n.r64(0x108), 47, 32), r.d.domain() & 15u);
    }
    EXPECT_EQ(n.fresh(), r.dropped);
  }
}

TEST(vtd_rules, address_bits_above_MGAW_are_ignored) {   // VT-d "Invalidate Address Register", "IOTLB Invalidate Descriptor": ADDR
  for (unsigned mgaw : {48u, 39u}) {
    Caps c = with([mgaw](Caps& x) { x.mgaw = mgaw; });
    const u64 at = ~u64{0} << mgaw | 0x5000;
    Stale m(c);
    m.submit(iotlb(G::specific, 5, at));
    EXPECT_EQ(m.fresh(), unsigned{A}) << mgaw;
    Stale n(c, false);
    n.w64(0x100, at), n.w64(0x108, u64{1} << 63 | u64{3} << 60 | u64{5} << 32);
    EXPECT_EQ(n.fresh(), unsigned{A}) << mgaw;
    Stale top(c);
    top.submit(iotlb(G::specific, 5, u64{1} << (mgaw - 1) | 0x5000));
    EXPECT_EQ(top.fresh(), 0u) << mgaw << ": the highest bit that there is counts";
  }
}

TEST(vtd_rules, a_command_is_given_by_the_upper_half_only) {   // "the act of writing the uppermost byte"
  Stale m({}, false);
  m.w32(0x28, 5), m.w32(0x108, 0);
  EXPECT_EQ(m.fresh(), 0u);
  m.w32(0x2c, 1u << 31 | 2u << 29);
  EXPECT_EQ(m.fresh(), unsigned{ctx4});
  m.w32(0x10c, 1u << 31 | 2u << 28 | 6);
  EXPECT_EQ(m.fresh(), unsigned{C});
  m.w32(0x10c, 1u << 28), m.w32(0x2c, 1u << 29);                         // without IVT, ICC
  EXPECT_EQ(m.fresh(), unsigned{C});                                     // no more than before
}

// ---------------------------------------------------------------- errors of the queue

TEST(vtd_rules, every_reserved_bit_of_every_descriptor_is_an_error) {   // VT-d "Queued Invalidation Error Conditions": IQE
  struct { const char* name; Descriptor good; u64 lo, hi; } rows[] = {     // bits that may be set
    {"context", context_cache(G::global), mask(49, 16) | mask(5, 0), 0},
    {"iotlb", iotlb(G::global), mask(31, 16) | mask(7, 0), mask(63, 12) | mask(6, 0)},
    {"interrupt", interrupt_entries(0, 0), mask(47, 27) | mask(4, 0), 0},
    {"wait", wait_status(kStatus, 0), mask(63, 32) | mask(6, 0), mask(63, 2)},
  };
  unsigned tried = 0;
  for (auto& r : rows)
    for (unsigned b = 4; b < 128; ++b) {
      Descriptor d = r.good;
      const u64 one = u64{1} << (b & 63);
      const bool may = (b < 64 ? r.lo : r.hi) & one;
      if (may) continue;
      (b < 64 ? d.lo : d.hi) |= one;
      Machine m;
      m.enable_queue(), m.submit(d);
      EXPECT_EQ(m.r32(0x34), fsts::IQE) << r.name << " bit " << b;
      EXPECT_EQ(m.r64(0x80), 0u) << r.name << " bit " << b;
      EXPECT_EQ(m.out.count(EventKind::vtd_invalidate), 0u);
      tested("VT-d invalidation", std::string("reserved bits of a descriptor: ") + r.name);
      ++tried;
    }
  EXPECT_EQ(tried, 24u + 64 + 40 + 5 + 38 + 64 + 25 + 2);
}

TEST(vtd_rules, types_that_are_not_offered_are_errors) {
  for (unsigned type : {0, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) {
    Machine m;
    m.enable_queue(), m.submit({type | 0x10, 0});
    EXPECT_EQ(m.r32(0x34), fsts::IQE) << type;
  }
  Machine p(with([](Caps& c) { c.page_selective = false; }));           // CAP.PSI clear: a page-selective one is invalid
  p.enable_queue(), p.submit(iotlb(G::specific, 5, 0x5000));
  EXPECT_EQ(p.r32(0x34), fsts::IQE);
  Machine m(with([](Caps& c) { c.interrupt_remapping = false; }));
  m.enable_queue(), m.submit(interrupt_entries());
  EXPECT_EQ(m.r32(0x34), fsts::IQE);
}

TEST(vtd_rules, tail_beyond_the_queue_is_an_error_at_every_size) {   // VT-d "Invalidation Queue Tail Register"
  for (unsigned qs : {0u, 1u, 6u}) {
    const u64 size = u64{4096} << qs;
    Machine m;
    for (u64 at = 0; at < size; at += 16) m.put(kQueue + at, 0x11), m.put(kQueue + at + 8, 0);
    m.enable_queue(qs);
    m.w64(0x88, size - 16);
    EXPECT_EQ(m.r32(0x34), 0u);
    EXPECT_EQ(m.r64(0x80), size - 16);
    m.w64(0x88, size);
    EXPECT_EQ(m.r32(0x34), fsts::IQE) << qs;
    EXPECT_EQ(m.r64(0x80), size - 16);
    m.w64(0x88, 16);                                           // mended, but IQE stands
    EXPECT_EQ(m.r64(0x80), size - 16);
    m.w32(0x34, fsts::IQE);
    EXPECT_EQ(m.r64(0x80), 16u);
    EXPECT_EQ(m.r32(0x34), 0u);
  }
}

TEST(vtd_rules, tail_has_no_bits_inside_a_descriptor) {
  Machine m;
  Descriptor d = wait_status(kStatus, 7);
  m.put(kQueue, d.lo), m.put(kQueue + 8, d.hi);
  m.enable_queue();
  m.w64(0x88, 0xffff'ffff'fff8'000f);                          // bits 3:0 and those above 18 are reserved
  EXPECT_EQ(m.r64(0x88), 0u);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 0u);
  m.w64(0x88, 0x1f);
  EXPECT_EQ(m.r64(0x88), 0x10u);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 7u);
}

TEST(vtd_rules, an_error_outlives_the_queue_until_it_is_cleared) {
  Machine m;
  m.enable_queue(), m.submit({0, 0});
  m.w32(0x18, 0);
  EXPECT_EQ(m.r32(0x34), fsts::IQE);
  Descriptor d = wait_status(kStatus, 7);
  m.put(kQueue, d.lo), m.put(kQueue + 8, d.hi);
  m.command(gcmd::QIE);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 0u);
  m.w32(0x34, fsts::IQE);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 7u);
}

TEST(vtd_rules, wait_descriptors_do_what_their_bits_say) {   // VT-d "Invalidation Wait Descriptor": IF, SW, FN
  for (unsigned f = 0; f < 8; ++f) {
    const bool interrupt = f & 1, status = f & 2;
    Machine m;
    m.w32(0xa0, 0), m.w32(0xa4, 0x52), m.w32(0xa8, 0xfee02000);
    m.enable_queue();
    m.submit({5u | u64{f} << 4 | u64{0xcafe'f00d} << 32, kStatus + 4});
    EXPECT_EQ(m.r32(0x34), 0u);
    EXPECT_EQ(m.get(kStatus), status ? u64{0xcafe'f00d} << 32 : 0u) << f;        // four bytes, no more
    EXPECT_EQ(m.r32(0x9c), interrupt ? 1u : 0u) << f;
    EXPECT_EQ(m.out.messages.size(), interrupt ? 1u : 0u) << f;
    EXPECT_EQ(m.r64(0x80), 16u);
  }
}

TEST(vtd_rules, a_status_address_has_as_many_bits_as_the_host) {   // VT-d "Invalidation Wait Descriptor": bits above HAW are ignored
  for (unsigned width : {46u, 39u}) {
    Machine m(with([width](Caps& c) { c.host_address_width = width; }));
    m.enable_queue(), m.submit(wait_status(kStatus | ~u64{0} << width, 9));
    EXPECT_EQ(m.r32(0x34), 0u);
    EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 9u) << width;
  }
}

TEST(vtd_rules, a_status_address_without_memory_harms_nothing) {
  for (u64 at : {kNowhere, u64{1} << 45, ~u64{3}}) {
    Machine m;
    m.enable_queue(), m.submit(wait_status(at, 1)), m.submit(wait_status(kStatus, 2));
    EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 2u);
  }
}

TEST(vtd_rules, drained_before_the_wait_is_done) {   // VT-d "DMA Draining": what was translated before is in memory when the wait is
  Stale m;
  m.submit(drain(iotlb(G::domain, 5)));
  m.submit(wait_status(kStatus, 1));
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 1u);
  EXPECT_EQ(m.dma(0x5000).at.v, 0x20'5000u);
  EXPECT_EQ(m.out.count(EventKind::vtd_fault), 0u);
}

// ---------------------------------------------------------------- changes under running devices

TEST(vtd_rules, a_new_root_table_while_running) {   // VT-d "Root Table Address Register", "Set Root Table Pointer Operation"
  Stale m;
  constexpr u64 root2 = 0x50000, context2 = 0x51000, top3 = 0x200000;
  m.put(root2, context2 | 1), m.put(context2 + 16 * m.dev.devfn(), top3 | 1), m.put(context2 + 16 * m.dev.devfn() + 8, 0x902);
  m.map(0x5000, 0x77'7003, 1, top3);
  m.w64(0x20, root2);
  EXPECT_EQ(m.fresh(), 0u);
  m.command(gcmd::SRTP);
  EXPECT_EQ(m.fresh(), 0u);                                                   // its context entry is still cached
  EXPECT_EQ(m.dma(0x5000, access::read, Bdf(0, 6, 0)).fault_reason, 2);       // one that is not comes from the new table
  m.submit(context_cache(G::specific, 5, m.dev.v));
  EXPECT_EQ(m.dma(0x5000).at.v, 0x77'7000u);                                  // domain 9 has no entries of its own yet
  EXPECT_EQ(m.dma(0x5000, access::read, kOther).at.v, 0x10'6000u);
  m.submit(context_cache(G::global));
  EXPECT_EQ(m.dma(0x5000, access::read, kOther).fault_reason, 2);
}

TEST(vtd_rules, a_new_domain_id_leaves_the_old_entries_to_the_old_domain) {
  Stale m;
  m.context_entry(kTop | 1, 0x702);
  m.submit(context_cache(G::specific, 5, m.dev.v));
  EXPECT_EQ(m.dma(0x5000).at.v, 0x20'5000u);
  m.context_entry(kTop | 1, 0x502);
  m.submit(context_cache(G::domain, 7));
  EXPECT_EQ(m.dma(0x5000).at.v, 0x10'5000u);
}

TEST(vtd_rules, translation_off_and_on_keeps_what_is_cached) {   // VT-d "Global Command Register": TE invalidates nothing
  Stale m;
  m.w32(0x18, m.r32(0x1c) & ~gcmd::TE);
  EXPECT_EQ(m.dma(0x5000).at.v, 0x5000u);
  EXPECT_FALSE(m.dma(0x5000).translated);
  m.command(gcmd::TE);
  EXPECT_EQ(m.fresh(), 0u);
  m.submit(context_cache(G::global)), m.submit(iotlb(G::global)), m.submit(interrupt_entries());
  EXPECT_EQ(m.fresh(), unsigned{everything});
}

TEST(vtd_rules, interrupt_remapping_off_and_on_keeps_what_is_cached) {
  Stale m;
  m.w32(0x18, m.r32(0x1c) & ~gcmd::IRE);
  EXPECT_TRUE(m.unit.remap(m.dev, 0xfee000b0, 0x33).bypass);
  m.command(gcmd::IRE);
  EXPECT_EQ(m.fresh(), 0u);
  m.w64(0xb8, 0x50000 | 7), m.command(gcmd::SIRTP);
  EXPECT_TRUE(m.unit.remap(m.dev, 0xfee000b0, 0).ok);                         // cached by index
  m.submit(interrupt_entries(5, 0));
  EXPECT_EQ(m.unit.remap(m.dev, 0xfee000b0, 0).fault_reason, 0x22);
}

TEST(vtd_rules, a_smaller_interrupt_table_ends_at_once) {
  Stale m;
  m.w64(0xb8, kIrt | 1), m.command(gcmd::SIRTP);                              // four entries
  EXPECT_EQ(m.unit.remap(m.dev, 0xfee000b0, 0).fault_reason, 0x21);
}

}  // namespace
}  // namespace vt::vtd
