// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <set>

#include "../tested.hpp"
#include "vmx/vmcs.hpp"

namespace vt::cpu {
namespace {

// SDM 3C "Field Encoding in VMCS"
TEST(vmx_fields, each_has_its_own_place_in_the_page) {
  std::set<unsigned> places;
  for (const FieldRow& f : kFields) {
    const unsigned at = offset_of(static_cast<Field>(f.encoding));
    EXPECT_TRUE(places.insert(at).second) << f.name;
    EXPECT_GE(at, 12u) << f.name;
    EXPECT_LE(at + 8, kPageSize) << f.name;
  }
}

TEST(vmx_fields, encodings_find_their_rows) {
  for (const FieldRow& f : kFields) {
    EXPECT_EQ(find_field(f.encoding), &f) << f.name;
    EXPECT_EQ(find_field(f.encoding | 1) == &f, f.width == Width::w64) << f.name;
    for (u64 reserved : {u64{1} << 12, u64{1} << 15, u64{1} << 16, u64{1} << 32, u64{1} << 9})
      EXPECT_EQ(find_field(f.encoding | reserved), nullptr) << f.name;
  }
}

TEST(vmx_fields, what_no_offered_control_needs_does_not_exist) {
  // posted-interrupt vector, guest interrupt status, PML address, posted-interrupt descriptor, XSS bitmap, PERF_GLOBAL_CTRL, S_CET
  for (u32 e : {0x0002u, 0x0812u, 0x200eu, 0x2016u, 0x202cu, 0x2808u, 0x6828u}) EXPECT_EQ(find_field(e), nullptr) << e;
}

TEST(vmx_fields, round_trip_of_every_field) {
  PhysMem mem(0x10000);
  mem.add_ram(Hpa{0}, 0x10000);
  u64 n = 0x1122'3344'5566'7788;
  for (const FieldRow& f : kFields) write_field(mem, 0x3000, static_cast<Field>(f.encoding), n += 0x0101'0101'0101'0101);
  n = 0x1122'3344'5566'7788;
  for (const FieldRow& f : kFields) EXPECT_EQ(read_field(mem, 0x3000, static_cast<Field>(f.encoding)), (n += 0x0101'0101'0101'0101) & field_mask(f.width)) << f.name, tested("VMCS field", f.encoding);
  EXPECT_EQ(mem.peek64(Hpa{0x3000}), 0u);  // the header is not a field's
  EXPECT_EQ(mem.peek64(Hpa{0x3008}), 0u);
}

TEST(vmx_fields, a_vmcs_where_no_memory_is_harms_nobody) {
  PhysMem mem(0x10000);
  mem.add_ram(Hpa{0}, 0x1000);
  write_field(mem, 0x8000, Field::GUEST_RIP, 5);
  EXPECT_EQ(read_field(mem, 0x8000, Field::GUEST_RIP), ~u64{0});
  EXPECT_EQ(read_field(mem, 0xffff'f000, Field::GUEST_ES_SELECTOR), 0xffffu);
}

}  // namespace
}  // namespace vt::cpu
