// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "views/vtd_map.hpp"

namespace vt::views {
namespace {

struct VtdMap : ::testing::Test {
  VtdMap() { mem.add_ram(Hpa{0}, u64{16} << 20); }
  void put(u64 at, u64 v) { mem.poke64(Hpa{at}, v, WriteCause::loader); }
  /// A context entry: 4 levels unless said otherwise.
  void device(Bdf b, u64 root, u16 domain, u64 type = 0, u64 aw = 2) {
    put(kRoot + 16 * b.bus(), (kContexts + 0x1000 * b.bus()) | 1);
    put(kContexts + 0x1000 * b.bus() + 16 * b.devfn(), root | type << 2 | 1);
    put(kContexts + 0x1000 * b.bus() + 16 * b.devfn() + 8, u64{domain} << 8 | aw);
  }
  static constexpr u64 kRoot = 0x10000, kContexts = 0x100000, kTables = 0x20000;
  PhysMem mem{u64{16} << 20};
  vtd::Caps caps;
};

TEST_F(VtdMap, devices_with_the_same_tables_stand_together) {   // VT-d "Mapping Devices to Domains"
  device(Bdf(0, 4, 0), kTables, 1);
  device(Bdf(0, 0x1f, 0), kTables, 1);
  device(Bdf(2, 0, 0), kTables + 0x5000, 9);
  const VtdView v = vtd_devices(mem, caps, Hpa{kRoot});
  ASSERT_EQ(v.tables.size(), 2u);
  EXPECT_EQ(v.tables[0].devices, (std::vector{Bdf(0, 4, 0), Bdf(0, 0x1f, 0)}));
  EXPECT_EQ(v.tables[0].domains, (std::vector<u16>{1}));
  EXPECT_EQ(v.tables[1].devices, (std::vector{Bdf(2, 0, 0)}));
  EXPECT_EQ(v.tables[1].root, Hpa{kTables + 0x5000});
  EXPECT_TRUE(v.broken.empty());
}

TEST_F(VtdMap, pass_through_has_no_tables) {
  device(Bdf(0, 4, 0), 0x7000, 3, 2);
  VtdView v = vtd_devices(mem, caps, Hpa{kRoot});
  ASSERT_EQ(v.tables.size(), 1u);
  EXPECT_EQ(v.tables[0].type, vtd::TranslationType::pass_through);
  EXPECT_EQ(v.tables[0].root, Hpa{0});
  fill_ranges(mem, caps, v.tables[0], 0, ~u64{0});
  EXPECT_TRUE(v.tables[0].ranges.empty());
}

TEST_F(VtdMap, refused_entries_are_told_with_their_reason) {
  device(Bdf(0, 4, 0), kTables, 1, 0, 5);                          // a width that there is not
  const VtdView v = vtd_devices(mem, caps, Hpa{kRoot});
  EXPECT_TRUE(v.tables.empty());
  ASSERT_EQ(v.broken.size(), 1u);
  EXPECT_EQ(v.broken[0].device, Bdf(0, 4, 0));
  EXPECT_EQ(v.broken[0].reason, vtd::fault::context_invalid);
}

TEST_F(VtdMap, a_broken_root_entry_is_told_once) {
  put(kRoot, kContexts | 3);
  const VtdView v = vtd_devices(mem, caps, Hpa{kRoot});
  ASSERT_EQ(v.broken.size(), 1u);
  EXPECT_EQ(v.broken[0].reason, vtd::fault::root_reserved);
}

TEST_F(VtdMap, ranges_join_and_are_cut) {
  put(kTables, (kTables + 0x1000) | 3);
  put(kTables + 0x1000, (kTables + 0x2000) | 3);
  put(kTables + 0x2000, (kTables + 0x3000) | 3);
  for (u64 i = 0; i < 4; ++i) put(kTables + 0x3000 + 8 * i, (0x400000 + 0x1000 * i) | 3);
  put(kTables + 0x3000 + 8 * 4, 0x404000 | 1);                     // read-only
  put(kTables + 0x2000 + 8, 0x800000 | 0x80 | 3);                  // 2 MiB
  VtdTable t;
  t.root = Hpa{kTables}, t.levels = 4;
  fill_ranges(mem, caps, t, 0, ~u64{0});
  ASSERT_EQ(t.ranges.size(), 3u);
  EXPECT_EQ(t.ranges[0].first, 0u);
  EXPECT_EQ(t.ranges[0].last, 0x3fffu);
  EXPECT_EQ(t.ranges[0].target, 0x400000u);
  EXPECT_EQ(t.ranges[1].access, access::read);
  EXPECT_EQ(t.ranges[2].page_size, u64{1} << 21);
  VtdTable cut;
  cut.root = Hpa{kTables}, cut.levels = 4;
  fill_ranges(mem, caps, cut, 0x1000, 0x2fff);
  ASSERT_EQ(cut.ranges.size(), 1u);
  EXPECT_EQ(cut.ranges[0].first, 0x1000u);
  EXPECT_EQ(cut.ranges[0].last, 0x2fffu);
  EXPECT_EQ(cut.ranges[0].target, 0x401000u);
}

TEST_F(VtdMap, tables_shared_with_ept_at_the_root_or_one_level_below) {
  put(kTables, (kTables + 0x1000) | 7);      // the EPT's entry 0
  EXPECT_EQ(shared_with_ept(mem, Hpa{kTables}, 4, Hpa{kTables}, 4), 0);
  EXPECT_EQ(shared_with_ept(mem, Hpa{kTables}, 4, Hpa{kTables + 0x1000}, 3), 1);
  EXPECT_EQ(shared_with_ept(mem, Hpa{kTables}, 4, Hpa{kTables + 0x1000}, 4), -1);
  EXPECT_EQ(shared_with_ept(mem, Hpa{kTables}, 4, Hpa{kTables + 0x9000}, 4), -1);
}

}  // namespace
}  // namespace vt::views
