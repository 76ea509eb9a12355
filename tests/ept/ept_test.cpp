// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <map>

#include "../tested.hpp"
#include "ept/ept.hpp"

namespace vt::ept {
namespace {

/// Table memory: what was not written reads as zero.
struct Image {
  std::map<u64, u64> words;
  u64 peek64(Hpa at) const { auto i = words.find(at.v); return i == words.end() ? 0 : i->second; }
};

constexpr Eptp kEptp{0x1000 | 3 << 3 | 6};
constexpr u64 kPml4 = 0x1000, kPdpt = 0x2000, kPd = 0x3000, kPt = 0x4000;
constexpr u64 kLink = 7;

Image four_levels(u64 leaf) {
  return {{{kPml4, kPdpt | kLink}, {kPdpt, kPd | kLink}, {kPd, kPt | kLink}, {kPt + 8 * 5, leaf}}};
}

Walk go(const Image& m, Access want = access::read, u64 gpa = 0x5123, Caps caps = {}) { return walk(m, caps, kEptp, Gpa{gpa}, want); }

// SDM 3C "EPT Translation Mechanism"
TEST(ept_walk, four_levels_to_a_4k_page) {
  const Walk w = go(four_levels(0x9000 | 6 << 3 | 7));
  EXPECT_EQ(w.why, Why::ok);
  EXPECT_EQ(w.target.v, 0x9123u);
  EXPECT_EQ(w.page_size, 0x1000u);
  EXPECT_EQ(w.emt, 6u);
  EXPECT_EQ(w.n, 4);
  EXPECT_EQ(w.step[3].at.v, kPt + 40);
}

TEST(ept_walk, each_level_uses_nine_bits) {
  const u64 gpa = u64{3} << 39 | u64{5} << 30 | u64{7} << 21 | u64{9} << 12 | 0xabc;
  Image m{{{kPml4 + 24, kPdpt | 7}, {kPdpt + 40, kPd | 7}, {kPd + 56, kPt | 7}, {kPt + 72, 0x7000 | 7 | 6 << 3}}};
  EXPECT_EQ(go(m, access::exec, gpa).target.v, 0x7abcu);
}

TEST(ept_walk, large_pages) {
  Image m{{{kPml4, kPdpt | 7}, {kPdpt, kPd | 7}, {kPd, 0x600000 | 0x80 | 7 | 6 << 3}, {kPdpt + 8, 0x80000000 | 0x80 | 7 | 6 << 3}}};
  Walk w = go(m, access::write, 0x12345);
  EXPECT_EQ(w.why, Why::ok);
  EXPECT_EQ(w.target.v, 0x612345u);
  EXPECT_EQ(w.page_size, u64{1} << 21);
  w = go(m, access::write, 0x40012345);
  EXPECT_EQ(w.target.v, 0x80012345u);
  EXPECT_EQ(w.page_size, u64{1} << 30);
  EXPECT_EQ(w.n, 2);
}

TEST(ept_walk, access_is_the_and_of_all_entries) {
  Image m = four_levels(0x9000 | 7 | 6 << 3);
  m.words[kPdpt] = kPd | 5;
  const Walk w = go(m, access::write);
  EXPECT_EQ(w.why, Why::not_allowed);
  EXPECT_EQ(w.access, Access(5));
  EXPECT_EQ(w.target.v, 0x9123u);
  EXPECT_EQ(go(m, access::exec).why, Why::ok);
}

// SDM 3C "Exit Qualification for EPT Violations": an entry that is not present gives no access
TEST(ept_walk, not_present) {
  Image m = four_levels(0x9000 | 6 << 3);
  const Walk w = go(m);
  EXPECT_EQ(w.why, Why::not_present);
  EXPECT_EQ(w.access, access::none);
  EXPECT_EQ(w.n, 4);
}

TEST(ept_walk, not_present_entry_with_reserved_bits_is_no_misconfiguration) {
  EXPECT_EQ(go(four_levels(~u64{7})).why, Why::not_present);
}

TEST(ept_walk, execute_only) {
  Image m = four_levels(0x9000 | 4 | 6 << 3);
  EXPECT_EQ(go(m, access::exec).why, Why::ok);
  EXPECT_EQ(go(m, access::read).why, Why::not_allowed);
  EXPECT_EQ(go(m, access::exec, 0x5123, {.execute_only = false}).why, Why::misconfigured);
}

// SDM 3C "EPT Misconfigurations"
struct Bad { const char* what; unsigned level; u64 entry; };
const Bad kBad[] = {
    {"write-only 4K", 1, 0x9000 | 2 | 6 << 3},
    {"write and execute 4K", 1, 0x9000 | 6 | 6 << 3},
    {"write-only PML4E", 4, kPdpt | 2},
    {"write-only PDPTE", 3, kPd | 6},
    {"write-only PDE", 2, kPt | 2},
    {"memory type 2", 1, 0x9000 | 7 | 2 << 3},
    {"memory type 3", 1, 0x9000 | 7 | 3 << 3},
    {"memory type 7", 1, 0x9000 | 7 | 7 << 3},
    {"memory type 7, 2M", 2, 0x600000 | 0x80 | 7 | 7 << 3},
    {"memory type 7, 1G", 3, 0x40000000 | 0x80 | 7 | 7 << 3},
    {"2M page, bit 12", 2, 0x600000 | 0x80 | 7 | 6 << 3 | 0x1000},
    {"2M page, bit 20", 2, 0x600000 | 0x80 | 7 | 6 << 3 | 0x100000},
    {"1G page, bit 29", 3, 0x40000000 | 0x80 | 7 | 6 << 3 | 0x20000000},
    {"1G page, bit 12", 3, 0x40000000 | 0x80 | 7 | 6 << 3 | 0x1000},
    {"PML4E bit 3", 4, kPdpt | 7 | 8},
    {"PML4E bit 7", 4, kPdpt | 7 | 0x80},
    {"PDPTE bits 5:3 (type 7 in a link)", 3, kPd | 7 | 7 << 3},
    {"PDPTE bit 6", 3, kPd | 7 | 0x40},
    {"PDE bit 3", 2, kPt | 7 | 8},
    {"PDE bit 6", 2, kPt | 7 | 0x40},
    {"4K address beyond the width", 1, u64{1} << 46 | 0x9000 | 7 | 6 << 3},
    {"PML4E address bit 51", 4, u64{1} << 51 | kPdpt | 7},
    {"2M address beyond the width", 2, u64{1} << 47 | 0x80 | 7 | 6 << 3},
};

TEST(ept_walk, misconfigurations) {
  for (const Bad& b : kBad) {
    Image m = four_levels(0x9000 | 7 | 6 << 3);
    const u64 at[] = {0, kPt + 40, kPd, kPdpt, kPml4};
    m.words[at[b.level]] = b.entry;
    const Walk w = go(m);
    EXPECT_EQ(w.why, Why::misconfigured) << b.what;
    EXPECT_EQ(w.n, 5 - b.level) << b.what;
    tested("EPT", std::string("misconfiguration: ") + b.what);
  }
}

/// Bits 7:0 in every combination at every level, with each reserved address bit, by the manual's list of conditions.
TEST(ept_entry, every_combination_of_rights_types_and_sizes) {
  unsigned bad = 0;
  for (unsigned level = 1; level <= 4; ++level)
    for (unsigned low = 0; low < 256; ++low)
      for (int extra = -1; extra < 52; ++extra)
        for (bool x_only : {true, false})
          for (bool large : {true, false}) {
            if (extra >= 0 && extra < 12) continue;
            const u64 e = low | (extra < 0 ? 0 : u64{1} << extra);
            const Caps caps{.execute_only = x_only, .page_2m = large, .page_1g = large, .physical_address_bits = 46};
            if (!Entry{e}.present()) continue;
            const bool r = e & 1, w = e & 2, x = e & 4, ps = e & 0x80;
            const bool page = level == 1 || (ps && (level == 2 || level == 3));
            bool want = (w && !r) || (x && !r && !x_only) || extra >= 46;
            if (page) {
              const unsigned type = low >> 3 & 7;
              want = want || type == 2 || type == 3 || type == 7;
              if (level == 2) want = want || !large || (extra >= 12 && extra <= 20);
              if (level == 3) want = want || !large || (extra >= 12 && extra <= 29);
            } else {
              want = want || (low & 0x78) != 0 || ps;
            }
            EXPECT_EQ(Entry{e}.misconfigured(level, caps), want) << level << " " << std::hex << e;
            bad += want;
            tested("EPT", "entry: rights, memory types, sizes, reserved bits at level " + std::to_string(level));
          }
  EXPECT_GT(bad, 10000u);
}

/// The access that a walk allows is what all its entries allow, for all 7^4 combinations.
TEST(ept_walk, rights_of_every_combination_of_levels) {
  for (unsigned a = 1; a < 8; ++a)
    for (unsigned b = 1; b < 8; ++b)
      for (unsigned c = 1; c < 8; ++c)
        for (unsigned d = 1; d < 8; ++d) {
          Image m = four_levels(0x9000 | d | 6 << 3);
          m.words[kPml4] = kPdpt | a, m.words[kPdpt] = kPd | b, m.words[kPd] = kPt | c;
          const auto odd = [](unsigned v) { return (v & 3) == 2; };
          for (u8 want : {1, 2, 4, 3}) {
            tested("EPT", "walk: rights of four levels");
            const Walk w = go(m, Access(want));
            if (odd(a) || odd(b) || odd(c) || odd(d)) {
              EXPECT_EQ(w.why, Why::misconfigured);
              continue;
            }
            const unsigned all = a & b & c & d;
            EXPECT_EQ(w.why, (all & want) == want ? Why::ok : Why::not_allowed);
            EXPECT_EQ(w.access.v, all);
          }
        }
}

TEST(ept_walk, a_misconfiguration_above_hides_what_is_below) {
  Image m = four_levels(0);
  m.words[kPd] = kPt | 7 | 7 << 3;
  EXPECT_EQ(go(m).why, Why::misconfigured);
  m.words[kPdpt] = 0;
  EXPECT_EQ(go(m).why, Why::not_present);
}

TEST(ept_walk, what_is_ignored_is_no_misconfiguration) {
  for (u64 ignored : {u64{1} << 10, u64{1} << 11, u64{1} << 52, u64{1} << 63, u64{0x300}, u64{0x40}, u64{0x80}}) EXPECT_EQ(go(four_levels(0x9000 | 7 | 6 << 3 | ignored)).why, Why::ok) << std::hex << ignored;
}

TEST(ept_walk, page_sizes_that_are_not_offered) {
  Image m = four_levels(0);
  m.words[kPd] = 0x600000 | 0x80 | 7 | 6 << 3;
  EXPECT_EQ(go(m, access::read, 0x5123, {.page_2m = false}).why, Why::misconfigured);
  m.words[kPdpt] = 0x40000000 | 0x80 | 7 | 6 << 3;
  EXPECT_EQ(go(m, access::read, 0x5123, {.page_1g = false}).why, Why::misconfigured);
}

// SDM 3C "Extended-Page-Table Pointer (EPTP)"
TEST(ept_pointer, what_vm_entry_accepts) {
  const Caps all{}, no_ad{.accessed_dirty = false};
  tested("EPT", "EPTP: what VM entry accepts", 10);
  EXPECT_TRUE(valid(all, Eptp{0x1000 | 3 << 3 | 6}));
  EXPECT_TRUE(valid(all, Eptp{0x1000 | 3 << 3 | 0}));
  EXPECT_TRUE(valid(all, Eptp{0x1000 | 1 << 6 | 3 << 3 | 6}));
  EXPECT_FALSE(valid(no_ad, Eptp{0x1000 | 1 << 6 | 3 << 3 | 6}));
  EXPECT_FALSE(valid(all, Eptp{0x1000 | 3 << 3 | 4}));
  EXPECT_FALSE(valid(all, Eptp{0x1000 | 2 << 3 | 6}));
  EXPECT_FALSE(valid(all, Eptp{0x1000 | 4 << 3 | 6}));
  EXPECT_FALSE(valid(all, Eptp{0x1000 | 0x80 | 3 << 3 | 6}));
  EXPECT_FALSE(valid(all, Eptp{0x1000 | 0x800 | 3 << 3 | 6}));
  EXPECT_FALSE(valid(all, Eptp{u64{1} << 46 | 3 << 3 | 6}));
}

}  // namespace
}  // namespace vt::ept
