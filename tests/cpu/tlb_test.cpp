// SPDX-License-Identifier: GPL-2.0-or-later
/// The architectural TLB and the translation contexts in front of it.
#include "cpu/tlb.hpp"

#include "harness.hpp"

namespace vt::cpu {
namespace {

constexpr u64 kA = 0x1000, kB = 0x2000;  // two EPT roots

TlbEntry entry(u64 la, u64 target, TlbContext c, u8 flags = 0, u8 shift = 12) {
  TlbEntry e;
  e.page = la >> shift, e.target = target, e.eptp = c.eptp, e.vpid = c.vpid, e.pcid = c.pcid, e.flags = flags, e.shift = shift;
  return e;
}

struct Seen final : TlbObserver {
  std::vector<std::pair<u64, u64>> pages;
  unsigned all = 0;
  void dropped(u64 la, u64 size) override { pages.push_back({la, size}); }
  void dropped_all() override { ++all; }
};

TEST(tlb, an_entry_is_found_by_its_own_context_only) {
  Tlb t;
  t.fill(entry(0x5000, 0x9000, {kA, 1, 2}));
  EXPECT_TRUE(t.find({kA, 1, 2}, 0x5abc));
  EXPECT_FALSE(t.find({kB, 1, 2}, 0x5abc));
  EXPECT_FALSE(t.find({kA, 2, 2}, 0x5abc));
  EXPECT_FALSE(t.find({kA, 1, 3}, 0x5abc));
  EXPECT_FALSE(t.find({kA, 1, 2}, 0x6000));
}

TEST(tlb, global_entries_match_every_pcid_of_their_vpid) {  // SDM 3A "Global Pages"
  Tlb t;
  t.fill(entry(0x5000, 0x9000, {0, 0, 2}, tlb_flag::global));
  EXPECT_TRUE(t.find({0, 0, 7}, 0x5000));
  EXPECT_FALSE(t.find({0, 1, 2}, 0x5000));
}

TEST(tlb, large_pages_are_found_anywhere_inside) {
  Tlb t;
  t.fill(entry(0x40000000, 0, {0, 0, 0}, 0, 30));
  t.fill(entry(0x200000, 0x800000, {0, 0, 0}, 0, 21));
  EXPECT_TRUE(t.find({0, 0, 0}, 0x7fffffff));
  EXPECT_TRUE(t.find({0, 0, 0}, 0x3fffff));
  EXPECT_FALSE(t.find({0, 0, 0}, 0x400000));
}

TEST(tlb, replacement_is_by_fill_order_and_hits_leave_no_trace) {
  Tlb t;
  Seen s;
  t.observe(&s);
  const TlbContext c{0, 0, 0};
  for (u64 n = 0; n < Tlb::kWays; ++n) t.fill(entry(n * Tlb::kSets4k << 12, 0, c));
  for (int k = 0; k < 100; ++k) EXPECT_TRUE(t.find(c, 0));
  t.fill(entry(u64{Tlb::kWays} * Tlb::kSets4k << 12, 0, c));
  EXPECT_FALSE(t.find(c, 0));
  ASSERT_EQ(s.pages.size(), 1u);
  EXPECT_EQ(s.pages[0], (std::pair<u64, u64>{0, 4096}));
}

TEST(tlb, a_page_has_one_entry_per_context) {
  Tlb t;
  const TlbContext c{0, 0, 0};
  t.fill(entry(0x5000, 0x9000, c));
  t.fill(entry(0x5000, 0xa000, c));
  unsigned n = 0;
  t.for_each([&](const TlbEntry&) { ++n; });
  EXPECT_EQ(n, 1u);
  EXPECT_EQ(t.find(c, 0x5000)->target, 0xa000u);
}

// SDM 3A "Operations that Invalidate TLBs and Paging-Structure Caches"; SDM 3C "Operations that Invalidate Cached Mappings"
struct Flush { const char* name; void (*f)(Tlb&); std::string kept; };
class Flushes : public testing::TestWithParam<Flush> {};
TEST_P(Flushes, drop_what_the_manual_says) {
  Tlb t;
  const struct { char id; TlbContext c; u8 flags; u64 la; } all[] = {
      {'a', {0, 0, 0}, 0, 0x1000}, {'b', {0, 0, 1}, 0, 0x1000}, {'g', {0, 0, 1}, tlb_flag::global, 0x3000}, {'c', {0, 0, 0}, 0, 0x2000},
      {'d', {kA, 0, 0}, 0, 0x4000}, {'e', {kA, 5, 0}, 0, 0x1000}, {'f', {kB, 5, 1}, 0, 0x1000}, {'h', {kB, 6, 0}, tlb_flag::global, 0x1000}};
  for (auto& x : all) t.fill(entry(x.la, 0x8000, x.c, x.flags));
  GetParam().f(t);
  std::string kept;
  for (auto& x : all) {
    bool there = false;
    t.for_each([&](const TlbEntry& e) { there |= e.page == x.la >> 12 && e.eptp == x.c.eptp && e.vpid == x.c.vpid && e.pcid == x.c.pcid; });
    if (there) kept += x.id;
  }
  EXPECT_EQ(kept, GetParam().kept) << GetParam().name;
}
INSTANTIATE_TEST_SUITE_P(tlb, Flushes, testing::Values(
    Flush{"MOV to CR3", [](Tlb& t) { t.flush_pcid({0, 0, 0}, true); }, "bgefh"},
    Flush{"MOV to CR3, other PCID", [](Tlb& t) { t.flush_pcid({0, 0, 1}, true); }, "agcdefh"},
    Flush{"MOV to CR4.PGE", [](Tlb& t) { t.flush_vpid(0, false); }, "efh"},
    Flush{"INVPCID all but globals", [](Tlb& t) { t.flush_vpid(0, true); }, "gefh"},
    Flush{"INVLPG", [](Tlb& t) { t.flush_page({0, 0, 0}, 0x1fff); }, "bgcdefh"},
    Flush{"INVLPG of a global page", [](Tlb& t) { t.flush_page({0, 0, 0}, 0x3000); }, "abcdefh"},
    Flush{"INVVPID address", [](Tlb& t) { t.flush_page_vpid(5, 0x1000); }, "abgcdh"},
    Flush{"INVVPID single", [](Tlb& t) { t.flush_vpid(5, false); }, "abgcdh"},
    Flush{"INVVPID all", [](Tlb& t) { t.flush_nonzero_vpids(); }, "abgcd"},
    Flush{"INVEPT single", [](Tlb& t) { t.flush_eptp(kA); }, "abgcfh"},
    Flush{"INVEPT all", [](Tlb& t) { t.flush_ept_tagged(); }, "abgc"},
    Flush{"reset", [](Tlb& t) { t.flush_all(); }, ""}));

TEST(tlb, state_survives_saving_and_loading) {
  Tlb a, b;
  a.fill(entry(0x5000, 0x9000, {kA, 1, 2}, 3));
  SaveAr s;
  a.state(s);
  LoadAr l(s.out);
  b.state(l);
  ASSERT_TRUE(b.find({kA, 1, 2}, 0x5000));
  EXPECT_EQ(b.find({kA, 1, 2}, 0x5000)->target, 0x9000u);
  b.flush_all();
  EXPECT_FALSE(b.find({kA, 1, 2}, 0x5000));
}

// --- contexts ----------------------------------------------------------------------------------------------

TEST(contexts, going_back_finds_the_tag_and_the_links_again) {
  TestMachine m;
  Cpu& c = *m.cpu;
  const u64 tag = c.host.tag;
  const u32 links = c.links_valid;
  c.seg[SS].ar = 0xc0f3;
  c.update();
  EXPECT_NE(c.host.tag, tag);
  EXPECT_NE(c.links_valid, links);
  c.seg[SS].ar = 0xc093;
  c.update();
  EXPECT_EQ(c.host.tag, tag);
  EXPECT_EQ(c.links_valid, links);
}

TEST(contexts, smap_override_is_a_context_of_its_own_but_keeps_links) {
  TestMachine m;
  Cpu& c = *m.cpu;
  c.cr4 |= cr4::SMAP;
  c.update();
  const u64 tag = c.host.tag;
  const u32 links = c.links_valid;
  c.flags |= rflags::AC;
  c.update();
  EXPECT_NE(c.host.tag, tag);
  EXPECT_EQ(c.links_valid, links);
}

TEST(contexts, tags_never_run_out) {
  TestMachine m;
  Cpu& c = *m.cpu;
  u32 v = 1;
  for (unsigned k = 0; k < 10000; ++k) {
    ASSERT_TRUE(c.store_at(0x30000, v));
    c.contexts.forget_all();
    ASSERT_GE(c.host.tag, 1u);
    ASSERT_LT(c.host.tag, 4095u);
    const HostCache::Entry& e = c.host.wr[HostCache::slot(0x30000)];
    ASSERT_NE(e.tag, 0x30000 | c.host.tag);
  }
}

TEST(contexts, a_dropped_code_page_voids_links_in_every_context) {
  TestMachine m;
  Cpu& c = *m.cpu;
  Hpa page;
  ASSERT_TRUE(c.fetch_page(0x10000, page));
  const u32 before = c.links_valid;
  c.tlb.flush_page(c.contexts.tlb(), 0x10000);
  EXPECT_NE(c.links_valid, before);
}

TEST(contexts, data_breakpoints_and_alignment_checks_bypass_the_host_cache) {
  TestMachine m;
  Cpu& c = *m.cpu;
  c.dr[7] = 0x401;
  c.update();
  u32 v = 0;
  ASSERT_TRUE(c.store_at(0x30000, v));
  EXPECT_EQ(c.host.tag, 4095u);
  for (auto& e : c.host.wr) EXPECT_EQ(e.tag, HostCache::kNever);
}

}  // namespace
}  // namespace vt::cpu
