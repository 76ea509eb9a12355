// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "hypervisor/xen.hpp"

namespace vt::hv::xen {
namespace {

TEST(xen_p2m, type_and_access_of_an_entry) {
  const u64 entry = u64{5} << 52 | u64{3} << 58 | 0x9000'0000 | 7;   // mmio_direct, rw
  EXPECT_EQ(p2m_type(p2m_bits(entry)), 5u);
  EXPECT_EQ(p2m_access(p2m_bits(entry)), 3u);
  EXPECT_EQ(p2m_type_name(5), "mmio_direct");
  EXPECT_EQ(p2m_access_name(3), "rw");
}
TEST(xen_p2m, suppress_ve_is_no_part_of_it) { EXPECT_EQ(p2m_bits(u64{1} << 63 | u64{1} << 62), 0u); }
TEST(xen_p2m, all_types_of_4_17) {
  EXPECT_EQ(p2m_type_name(0), "ram_rw");
  EXPECT_EQ(p2m_type_name(4), "mmio_dm");
  EXPECT_EQ(p2m_type_name(15), "ioreq_server");
  EXPECT_EQ(p2m_type_name(16), "type-16");
  EXPECT_EQ(p2m_access_name(9), "n2rwx");
  EXPECT_EQ(p2m_access_name(15), "access-15");
}

}  // namespace
}  // namespace vt::hv::xen
