// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <map>

#include "views/ept_map.hpp"

namespace vt::views {
namespace {

constexpr u64 kWb = 6 << 3, kUc = 0, kRwx = 7, kRw = 3, kLarge = 0x80, kIpat = 0x40;

/// Memory that is nothing but tables; what was never written reads as zero.
struct Tables {
  std::map<u64, u64> words;
  u64 next = 0x100000;
  u64 reads = 0;
  u64 peek64(Hpa at) const { const_cast<Tables*>(this)->reads++; auto w = words.find(at.v); return w == words.end() ? 0 : w->second; }
  ept::Eptp eptp{0x10000 | 0x1e};
  /// Puts `leaf` (address and bits) at `level` for `gpa`, making tables on the way.
  void map(u64 gpa, unsigned level, u64 leaf) {
    u64 table = eptp.root().v;
    for (unsigned l = 4; l > level; --l) {
      u64& e = words[table + 8 * ept::index(Gpa{gpa}, l)];
      if (!e) e = next | kRwx, next += 0x1000;
      table = e & mask(51, 12);
    }
    words[table + 8 * ept::index(Gpa{gpa}, level)] = leaf;
  }
  u64& at(u64 gpa, unsigned level) {
    u64 table = eptp.root().v;
    for (unsigned l = 4; l > level; --l) table = words[table + 8 * ept::index(Gpa{gpa}, l)] & mask(51, 12);
    return words[table + 8 * ept::index(Gpa{gpa}, level)];
  }
  EptMap all(u64 first = 0, u64 last = ~u64{0}) const { return ept_map(*this, caps, eptp, first, last, [](u64 e) { return e >> 52; }); }
  ept::Caps caps;
};

TEST(ept_map, an_empty_table_maps_nothing_and_costs_one_table) {
  Tables t;
  EXPECT_TRUE(t.all().ranges.empty());
  EXPECT_LE(t.reads, 1024u);
}

TEST(ept_map, neighbours_with_neighbouring_targets_are_one_range) {
  Tables t;
  for (u64 i = 0; i < 3; ++i) t.map(0x5000 + 0x1000 * i, 1, (0x9000 + 0x1000 * i) | kWb | kRwx);
  const auto m = t.all();
  ASSERT_EQ(m.ranges.size(), 1u);
  EXPECT_EQ(m.ranges[0].first, 0x5000u);
  EXPECT_EQ(m.ranges[0].last, 0x7fffu);
  EXPECT_EQ(m.ranges[0].target, 0x9000u);
  EXPECT_EQ(m.ranges[0].access, access::rwx);
  EXPECT_EQ(m.ranges[0].emt, 6);
  EXPECT_EQ(m.ranges[0].page_size, 0x1000u);
}

TEST(ept_map, any_difference_keeps_ranges_apart) {
  for (u64 second : {u64{0xa000} | kUc | kRwx,                    // memory type
                     u64{0xa000} | kWb | kRw,                     // access
                     u64{0xa000} | kWb | kRwx | kIpat,            // IPAT
                     u64{0xb000} | kWb | kRwx,                    // target
                     u64{0xa000} | kWb | kRwx | u64{5} << 52}) {  // what the caller looks at
    Tables t;
    t.map(0x5000, 1, 0x9000 | kWb | kRwx);
    t.map(0x6000, 1, second);
    EXPECT_EQ(t.all().ranges.size(), 2u) << std::hex << second;
  }
}

TEST(ept_map, a_hole_keeps_ranges_apart) {
  Tables t;
  t.map(0x5000, 1, 0x5000 | kWb | kRwx);
  t.map(0x7000, 1, 0x7000 | kWb | kRwx);
  EXPECT_EQ(t.all().ranges.size(), 2u);
}

TEST(ept_map, a_change_of_page_size_splits) {
  Tables t;
  for (u64 i = 0; i < 512; ++i) t.map(0x1000 * i, 1, 0x1000 * i | kWb | kRwx);
  t.map(0x200000, 2, 0x200000 | kWb | kRwx | kLarge);
  t.map(0x40000000, 3, 0x40000000 | kWb | kRwx | kLarge);
  const auto m = t.all();
  ASSERT_EQ(m.ranges.size(), 3u);
  EXPECT_EQ(m.ranges[0].last, 0x1fffffu);
  EXPECT_EQ(m.ranges[1].page_size, u64{1} << 21);
  EXPECT_EQ(m.ranges[2].page_size, u64{1} << 30);
}

TEST(ept_map, access_is_that_of_the_whole_path) {   // SDM 3C "EPT Translation Mechanism"
  Tables t;
  t.map(0x5000, 1, 0x9000 | kWb | kRwx);
  t.at(0x5000, 2) &= ~u64{2};
  EXPECT_EQ(t.all().ranges.at(0).access, Access(5));
}

TEST(ept_map, entries_that_are_not_present_may_hold_anything) {
  Tables t;
  t.map(0x5000, 1, u64{4} << 52 | 0x9000);
  EXPECT_TRUE(t.all().ranges.empty());
}

TEST(ept_map, type_7_of_a_leaf_is_pending_with_its_target) {   // SDM 3C "EPT Misconfigurations"
  Tables t;
  t.map(0x5000, 1, 0x9000 | 7 << 3 | kRwx | u64{5} << 52);
  const auto m = t.all();
  ASSERT_EQ(m.ranges.size(), 1u);
  EXPECT_EQ(m.ranges[0].emt, 7);
  EXPECT_FALSE(m.ranges[0].misconfigured);
  EXPECT_EQ(m.ranges[0].target, 0x9000u);
  EXPECT_EQ(m.ranges[0].tag, 5u);
}

TEST(ept_map, type_7_of_tables_is_looked_through_at_every_level) {
  Tables t;
  t.map(0x5000, 1, 0x9000 | 7 << 3 | kRwx);
  for (unsigned level : {2u, 3u, 4u}) t.at(0x5000, level) |= 7 << 3;
  const auto m = t.all();
  ASSERT_EQ(m.ranges.size(), 1u);
  EXPECT_EQ(m.ranges[0].emt, 7);
  EXPECT_EQ(m.ranges[0].target, 0x9000u);
  const EptLook l = look(t, t.caps, t.eptp, Gpa{0x5000});
  EXPECT_TRUE(l.pending);
  EXPECT_EQ(l.walk.n, 4);
  EXPECT_EQ(bits(l.raw[0], 5, 3), 7u) << "the entries as they stand";
  EXPECT_EQ(l.raw[3], u64{0x9000} | 7 << 3 | kRwx);
}

TEST(ept_map, other_misconfigurations_are_ranges_without_a_target) {
  Tables t;
  t.map(0x5000, 1, 0x9000 | kWb | 2);             // write without read
  t.map(0x6000, 1, 0xa000 | 2 << 3 | kRwx);       // memory type 2 is reserved
  const auto m = t.all();
  ASSERT_EQ(m.ranges.size(), 1u);
  EXPECT_TRUE(m.ranges[0].misconfigured);
  EXPECT_EQ(m.ranges[0].first, 0x5000u);
  EXPECT_EQ(m.ranges[0].last, 0x6fffu);
}

TEST(ept_map, a_range_cuts_pages) {
  Tables t;
  t.map(0x200000, 2, 0x600000 | kWb | kRwx | kLarge);
  const auto m = t.all(0x201000, 0x202fff);
  ASSERT_EQ(m.ranges.size(), 1u);
  EXPECT_EQ(m.ranges[0].first, 0x201000u);
  EXPECT_EQ(m.ranges[0].last, 0x202fffu);
  EXPECT_EQ(m.ranges[0].target, 0x601000u);
}

TEST(ept_map, the_last_page_of_the_address_space) {
  Tables t;
  const u64 last = (u64{1} << 48) - 0x1000;
  t.map(last, 1, 0x9000 | kWb | kRwx);
  const auto m = t.all();
  ASSERT_EQ(m.ranges.size(), 1u);
  EXPECT_EQ(m.ranges[0].last, (u64{1} << 48) - 1);
}

TEST(ept_map, tables_in_a_circle_end) {
  Tables t;
  for (u64 i = 0; i < 512; ++i) t.words[t.eptp.root().v + 8 * i] = t.eptp.root().v | kRwx;
  EXPECT_FALSE(t.all().complete);
}

}  // namespace
}  // namespace vt::views
