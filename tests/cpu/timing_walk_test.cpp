// SPDX-License-Identifier: GPL-2.0-or-later
/// Counting laws of page walks: how many entries are read, and what each cache takes away.
/// SDM 3A "Paging-Structure Caches", SDM 3C "EPT and Address Translation", "Operations that Invalidate Cached Mappings"
#include <gtest/gtest.h>

#include <random>

#include "cpu/timing/walk.hpp"

namespace vt::cpu {
namespace {

timing::Profile shape() {
  timing::Profile p{};
  p.l1i = p.l1d = {32 << 10, 8, 5};
  p.l2 = {256 << 10, 8, 16};
  p.llc = {1 << 20, 16, 60};
  p.dram = 200;
  p.itlb_4k = {64, 8}, p.itlb_2m = {8, 8}, p.dtlb_4k = {64, 4}, p.dtlb_2m = {32, 4}, p.dtlb_1g = {4, 4}, p.stlb = {1536, 12}, p.stlb_1g = {16, 4};
  return p;
}

/// Paging structures in guest-physical memory that EPT maps one to one; the sizes of the last step of each are chosen.
struct Tables {
  explicit Tables(unsigned guest_shift, unsigned ept_shift, timing::Profile profile = shape())
      : p(std::move(profile)), last(p), caches(p, last), tlbs(p) {
    mem.add_ram(Hpa{0}, u64{64} << 20);
    guest(guest_shift);
    ept(ept_shift);
    space.paging.cr3 = 0x100000;
    space.paging.mode = guest_shift ? paging::Mode::level4 : paging::Mode::none;
    space.eptp = ept_shift ? 0x800000 | 6 | 3 << 3 : 0;
    space.tags = {ept_shift ? u64{0x800000} : 0, 1, 2};
  }
  /// Maps kLa to 0, with a page of that size.
  void guest(unsigned shift) {
    // Far apart, so that no two entries share a line or a page.
    for (unsigned level = 4, n = 0; level >= 1; --level, ++n) {
      const u64 table = 0x100000 + n * 0x100000;
      const bool leaf = 12 + 9 * (level - 1) == shift;
      mem.poke64(Hpa{table + 8 * paging::index(paging::Mode::level4, kLa, level)}, leaf ? (level == 1 ? 0x23 : 0xa3) : (table + 0x100000) | 0x23, WriteCause::loader);
      if (leaf) break;
    }
  }
  void ept(unsigned shift) {
    u64 next = 0x900000;
    for (u64 gpa = 0; shift && gpa < u64{8} << 20; gpa += shift >= 21 ? u64{1} << 21 : kPageSize) {
      u64 table = 0x800000;
      for (unsigned level = 4; level >= 1; --level) {
        const Hpa at{table + 8 * ept::index(Gpa{gpa}, level)};
        if (12 + 9 * (level - 1) == shift) { mem.poke64(at, (gpa & ~((u64{1} << shift) - 1)) | 0x37 | (level > 1 ? 0x80 : 0), WriteCause::loader); break; }
        if (!mem.peek64(at)) mem.poke64(at, next | 7, WriteCause::loader), next += 0x1000;
        table = mem.peek64(at) & mask(51, 12);
      }
    }
  }
  WalkCost walk(u64 la = kLa) { return timing_walk(space, la, tlbs, caches); }
  static constexpr u64 kLa = 0x0000'1234'5678'9000 & ~mask(29, 0);   // its page begins at 0 for every size
  timing::Profile p;
  PhysMem mem{u64{64} << 20};
  LastLevel last;
  Caches caches;
  TimingTlbs tlbs;
  WalkSpace space{.memory = mem};
};

struct Row { unsigned guest, ept, references; };

TEST(timing_walk, references_of_a_cold_walk_by_page_sizes) {
  // Each guest level reads its entry and walks EPT for it; the page itself is walked for once more: (g + 1) * e + g.
  for (const Row& r : {Row{12, 12, 24}, Row{21, 12, 19}, Row{30, 12, 14}, Row{12, 21, 19}, Row{21, 21, 15}, Row{30, 21, 11}, Row{12, 30, 14}, Row{21, 30, 11}, Row{30, 30, 8},
                       Row{12, 0, 4}, Row{21, 0, 3}, Row{30, 0, 2}, Row{0, 12, 4}, Row{0, 21, 3}, Row{0, 30, 2}}) {
    Tables t(r.guest, r.ept);
    const WalkCost w = t.walk(r.guest ? Tables::kLa : 0x1000);
    EXPECT_EQ(w.guest_references + w.nested_references, r.references) << r.guest << " over " << r.ept;
    EXPECT_EQ(w.shift, std::min(r.guest ? r.guest : 30u, r.ept ? r.ept : 30u)) << r.guest << " over " << r.ept;
  }
}

TEST(timing_walk, each_structure_cache_takes_its_share) {
  struct Cached { unsigned pml4, pdpt, pde, guest; };
  for (const Cached& c : {Cached{0, 0, 0, 4}, Cached{4, 0, 0, 3}, Cached{0, 4, 0, 2}, Cached{4, 4, 0, 2}, Cached{0, 0, 4, 1}, Cached{4, 4, 4, 1}})
    for (unsigned ept : {0u, 12u, 21u, 30u}) {
      timing::Profile p = shape();
      p.pml4_entries = c.pml4, p.pdpt_entries = c.pdpt, p.pde_entries = c.pde;
      Tables t(12, ept, p);
      t.walk();
      const WalkCost again = t.walk();
      const unsigned e = ept ? 4 - (ept - 12) / 9 : 0;
      EXPECT_EQ(again.guest_references, c.guest);
      EXPECT_EQ(again.nested_references, (c.guest + 1) * e);
    }
}

TEST(timing_walk, a_large_page_is_in_no_structure_cache) {
  timing::Profile p = shape();
  p.pml4_entries = p.pdpt_entries = p.pde_entries = 4;
  Tables t(21, 0, p);
  t.walk();
  EXPECT_EQ(t.walk().guest_references, 1u);   // the PDE maps the page; PDPTE cache
  EXPECT_FALSE(t.tlbs.structure(t.space.tags, Tables::kLa, 2));
}

TEST(timing_walk, nested_tlb_takes_whole_walks_of_ept) {
  timing::Profile p = shape();
  p.nested_entries = 64;
  Tables t(12, 12, p);
  EXPECT_EQ(t.walk().nested_references, 20u);
  const WalkCost again = t.walk();
  EXPECT_EQ(again.guest_references, 4u);
  EXPECT_EQ(again.nested_references, 0u);
}

TEST(timing_walk, references_go_through_the_caches) {
  Tables t(12, 0);
  EXPECT_EQ(t.walk().guest_cycles, 4u * 200);   // DRAM
  EXPECT_EQ(t.walk().guest_cycles, 4u * 5);     // L1
}

/// What each operation leaves of one address space's caches.
struct Flush { const char* name; TlbFlush f; unsigned guest, nested; };
TEST(timing_walk, operations_drop_what_the_manual_says) {
  using enum TlbFlush::Kind;
  const TlbContext here{0x800000, 1, 2}, other_pcid{0x800000, 1, 3}, other_vpid{0x800000, 7, 2};
  const u64 la = Tables::kLa;
  for (const Flush& row : {
           Flush{"nothing", {.kind = page, .context = other_vpid, .la = la}, 1, 0},
           Flush{"INVLPG: paging-structure caches of the PCID", {.kind = page, .context = here, .la = la + (u64{1} << 40)}, 4, 0},
           Flush{"INVLPG of another PCID", {.kind = page, .context = other_pcid, .la = la}, 1, 0},
           Flush{"MOV CR3", {.kind = pcid, .context = here, .keep_global = true}, 4, 0},
           Flush{"MOV CR3, another PCID", {.kind = pcid, .context = other_pcid, .keep_global = true}, 1, 0},
           Flush{"INVVPID single-context", {.kind = vpid, .context = here}, 4, 0},
           Flush{"INVVPID address", {.kind = page_vpid, .context = here, .la = la}, 4, 0},
           Flush{"INVVPID all", {.kind = nonzero_vpids}, 4, 0},
           Flush{"INVEPT single-context", {.kind = eptp, .context = here}, 4, 20},
           Flush{"INVEPT of another", {.kind = eptp, .context = {0x900000, 0, 0}}, 1, 0},
           Flush{"INVEPT all", {.kind = ept_tagged}, 4, 20},
           Flush{"reset", {.kind = all}, 4, 20}}) {
    timing::Profile p = shape();
    p.pml4_entries = p.pdpt_entries = p.pde_entries = 4, p.nested_entries = 64;
    Tables t(12, 12, p);
    t.walk();
    t.tlbs.flushed(row.f);
    const WalkCost w = t.walk();
    EXPECT_EQ(w.guest_references, row.guest) << row.name;
    EXPECT_EQ(w.nested_references, row.nested) << row.name;
  }
}

TEST(timing_tlb, operations_drop_translations_by_tag_and_global_bit) {
  using enum TlbFlush::Kind;
  const TlbContext a{0, 1, 2}, b{0, 1, 3}, c{0, 2, 2};
  struct Left { const char* name; TlbFlush f; bool a, a_global, b, c; };
  for (const Left& row : {
           Left{"MOV CR3", {.kind = pcid, .context = a, .keep_global = true}, false, true, true, true},
           Left{"INVPCID single-context", {.kind = pcid, .context = a, .keep_global = false}, false, false, true, true},
           Left{"INVVPID single-context, globals kept", {.kind = vpid, .context = a, .keep_global = true}, false, true, false, true},
           Left{"INVVPID single-context", {.kind = vpid, .context = a}, false, false, false, true},
           Left{"INVLPG", {.kind = page, .context = a, .la = 0x5000}, false, true, true, true},
           Left{"INVLPG of the global page", {.kind = page, .context = b, .la = 0x9000}, true, false, true, true},
           Left{"reset", {.kind = all}, false, false, false, false}}) {
    TimingTlbs t(shape());
    t.fill(a, 0x5000, 12, false, false), t.fill(a, 0x9000, 12, true, false), t.fill(b, 0x5000, 12, false, false), t.fill(c, 0x5000, 12, false, false);
    t.flushed(row.f);
    const auto is = [&](const TlbContext& x, u64 la) { return t.find(x, la, false) != TimingTlbs::Hit::none; };
    EXPECT_EQ(is(a, 0x5000), row.a) << row.name;
    EXPECT_EQ(is(b, 0x9000), row.a_global) << row.name;   // a global page serves every PCID of its VPID
    EXPECT_EQ(is(b, 0x5000), row.b) << row.name;
    EXPECT_EQ(is(c, 0x5000), row.c) << row.name;
  }
}

TEST(timing_cache, least_recently_used_goes_and_modified_lines_are_written_back) {
  const timing::Profile p = shape();
  LastLevel last(p);
  Caches caches(p, last);
  MemLevel from;
  const u64 stride = 64;   // sets of L1: lines that far apart share one
  for (u64 n = 0; n < 8; ++n) {
    caches.data(n * stride, n == 0, from);
    EXPECT_EQ(from, MemLevel::dram);
  }
  caches.data(0, false, from);
  EXPECT_EQ(from, MemLevel::l1);
  caches.data(8 * stride, false, from);   // throws out line 1, the one used longest ago
  caches.data(0, false, from);
  EXPECT_EQ(from, MemLevel::l1);
  caches.data(1 * stride, false, from);
  EXPECT_EQ(from, MemLevel::l2);
  caches.flush(0);
  EXPECT_EQ(caches.data(0, false, from), 200u);
}

std::string hash(Caches& c) {
  HashAr h;
  c.state(h);
  return h.hex();
}

/// What the table of recent lines says costs nothing does cost nothing: the judge is a look at the caches, which must find the line in L1 and leave
/// the order of every set as it was.
TEST(timing_cache, recent_lines_are_hits_that_change_nothing) {
  const timing::Profile p = shape();
  LastLevel last(p);
  Caches caches(p, last);
  std::mt19937_64 random(7);
  unsigned known = 0;
  for (unsigned n = 0; n < 20'000; ++n) {
    const u64 line = random() % 12 * 64 + random() % 3;   // of three sets, more lines than they hold
    const u64 la = (u64{0x7f0000} << 24) + line * 64 + random() % 56;
    const bool write = random() % 4 == 0;
    MemLevel from;
    if (caches.recent().has(la, 8, write)) {
      ++known;
      const std::string before = hash(caches);
      const bool written = caches.recent().has(la, 8, true);
      caches.data(line, write, from);
      caches.recent().name(la, written);
      ASSERT_EQ(from, MemLevel::l1);
      ASSERT_EQ(hash(caches), before) << n;
      continue;
    }
    if (random() % 97 == 0) caches.flush(line);
    caches.data(line, write, from);
    caches.recent().name(la, write);
  }
  EXPECT_GT(known, 1000u);
  EXPECT_FALSE(caches.recent().has((u64{0x7f0000} << 24) + 60, 8, false)) << "two lines are two looks";
}

TEST(timing_tlb, a_page_that_makes_room_is_told_of_and_its_set_is_not_recent_any_more) {
  const timing::Profile p = shape();
  TimingTlbs t(p);
  const TlbContext c{0, 1, 2};
  const u64 sets = p.dtlb_4k.entries / p.dtlb_4k.ways;
  for (u64 n = 0; n < p.dtlb_4k.ways; ++n) {
    EXPECT_EQ(t.find(c, n * sets << 12, false), TimingTlbs::Hit::none);
    t.fill(c, n * sets << 12, 12, false, false);
    EXPECT_EQ(t.displaced().shift, 0u);
    EXPECT_TRUE(t.recent(n * sets << 12));
  }
  const u64 next = p.dtlb_4k.ways * sets << 12;
  (void)t.find(c, next, false);
  t.fill(c, next, 12, false, false);
  const TimingTlbs::Displaced gone = t.displaced();
  EXPECT_EQ(gone.shift, 12u);
  EXPECT_EQ(gone.page, 0u);
  EXPECT_EQ(gone.mask, sets - 1);
  for (u64 n = 0; n < p.dtlb_4k.ways; ++n) EXPECT_FALSE(t.recent(n * sets << 12)) << "one of these goes next: " << n;
  EXPECT_EQ(t.find(c, 0, false), TimingTlbs::Hit::second);
}

}  // namespace
}  // namespace vt::cpu
