// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "vmx/capabilities.hpp"
#include "vmx_model.hpp"

namespace vt::cpu {
namespace {

u64 msr(u32 n, const CpuModel& m = vmx_model()) {
  u64 v = 0;
  EXPECT_TRUE(capability_msr(m, n, v)) << std::hex << n;
  return v;
}

// SDM 3D "Basic VMX Information"
TEST(vmx_capabilities, basic) {
  const u64 b = msr(0x480);
  EXPECT_EQ(bits(b, 30, 0), vmcs_page::kRevision);
  EXPECT_FALSE(bit(b, 31));
  EXPECT_EQ(bits(b, 44, 32), 4096u);
  EXPECT_FALSE(bit(b, 48));
  EXPECT_EQ(bits(b, 53, 50), 6u);
  EXPECT_TRUE(bit(b, 54));
  EXPECT_TRUE(bit(b, 55));
}

// SDM 3D "Reserved Controls and Default Settings"
TEST(vmx_capabilities, what_must_be_one_may_be_one) {
  for (u32 n : {0x481u, 0x482u, 0x483u, 0x484u, 0x48bu, 0x48du, 0x48eu, 0x48fu, 0x490u}) {
    const u64 v = msr(n);
    EXPECT_EQ((v & 0xffff'ffff) & ~(v >> 32), 0u) << std::hex << n;
  }
}

TEST(vmx_capabilities, plain_and_true_differ_in_default1_controls_only) {
  const u32 pairs[][2] = {{0x481, 0x48d}, {0x482, 0x48e}, {0x483, 0x48f}, {0x484, 0x490}};
  for (auto& p : pairs) {
    EXPECT_EQ(msr(p[0]) >> 32, msr(p[1]) >> 32);
    EXPECT_EQ((msr(p[1]) & 0xffff'ffff) & ~msr(p[0]), 0u);
  }
  EXPECT_EQ(static_cast<u32>(msr(0x482)), 0x0401'e172u);
  EXPECT_EQ(static_cast<u32>(msr(0x48e)), 0x0400'6172u);  // CR3-load and CR3-store exiting may be 0
  EXPECT_EQ(static_cast<u32>(msr(0x48f)), 0x0003'6dfbu);  // save debug controls may be 0
  EXPECT_EQ(static_cast<u32>(msr(0x490)), 0x0000'11fbu);  // load debug controls may be 0
}

TEST(vmx_capabilities, every_row_is_in_its_msr) {
  const u32 number[] = {0x48d, 0x48e, 0x48b, 0x48f, 0x490};
  for (const Control& c : controls()) {
    const u64 v = msr(number[static_cast<unsigned>(c.group)]);
    EXPECT_TRUE(v >> (32 + c.bit) & 1) << c.name;
    EXPECT_EQ(v >> c.bit & 1, c.setting == Setting::default1 ? 1u : 0u) << c.name;
    EXPECT_EQ(c.name[0] == 0, c.setting == Setting::default1);
  }
}

// What Xen's vmx_init_vmcs_config demands, and what its HAP needs.
TEST(vmx_capabilities, a_hypervisor_finds_what_it_needs) {
  const u64 pin = msr(0x481) >> 32, proc = msr(0x482) >> 32, proc2 = msr(0x48b) >> 32, exit = msr(0x483) >> 32, entry = msr(0x484) >> 32;
  EXPECT_EQ(pin & 0x69, 0x69u);
  for (unsigned b : {2, 3, 7, 9, 10, 12, 15, 16, 19, 20, 21, 23, 25, 28, 29, 31}) EXPECT_TRUE(bit(proc, b)) << b;
  for (unsigned b : {0, 1, 2, 3, 4, 5, 6, 7, 10, 12}) EXPECT_TRUE(bit(proc2, b)) << b;
  for (unsigned b : {9, 15, 18, 19, 20, 21, 22}) EXPECT_TRUE(bit(exit, b)) << b;
  for (unsigned b : {9, 14, 15}) EXPECT_TRUE(bit(entry, b)) << b;
  for (unsigned b : {0, 6, 8, 14, 16, 17, 20, 21, 25, 26, 32, 40, 41, 42, 43}) EXPECT_TRUE(bit(msr(0x48c), b)) << b;
}

TEST(vmx_capabilities, what_is_not_modelled_is_not_offered) {
  const u64 proc = msr(0x482) >> 32, proc2 = msr(0x48b) >> 32, pin = msr(0x481) >> 32;
  EXPECT_FALSE(bit(proc, 17));                                                                         // tertiary
  for (unsigned b : {8, 9, 13, 14, 17, 18, 20, 25}) EXPECT_FALSE(bit(proc2, b)) << b;
  EXPECT_FALSE(bit(pin, 7));                                                                           // posted interrupts
  u64 v;
  EXPECT_FALSE(capability_msr(vmx_model(), 0x491, v));
  EXPECT_FALSE(capability_msr(vmx_model(), 0x492, v));
}

TEST(vmx_capabilities, controls_follow_cpuid) {
  EXPECT_FALSE(bit(msr(0x48b, without(vmx_model(), Feature::invpcid)), 32 + 12));
  EXPECT_FALSE(bit(msr(0x48b, without(vmx_model(), Feature::rdtscp)), 32 + 3));
  EXPECT_FALSE(bit(msr(0x48b, without(vmx_model(), Feature::x2apic)), 32 + 4));
  EXPECT_FALSE(bit(msr(0x489, without(vmx_model(), Feature::smap)), 21));
  EXPECT_TRUE(bit(msr(0x489), 21));
  u64 v;
  for (u32 n = 0x480; n < 0x493; ++n) EXPECT_FALSE(capability_msr(without(vmx_model(), Feature::vmx), n, v));
}

// SDM 3D "VMX-Fixed Bits in CR0", "VMCS Enumeration"
TEST(vmx_capabilities, fixed_bits_and_enumeration) {
  EXPECT_EQ(msr(0x486), 0x8000'0021u);
  EXPECT_EQ(msr(0x487), 0xffff'ffffu);
  EXPECT_EQ(msr(0x488), 0x2000u);
  EXPECT_EQ(msr(0x489) & msr(0x488), 0x2000u);
  EXPECT_EQ(bits(msr(0x48a), 9, 1), 0x17u);  // VMX-preemption timer value, 0x482E
  EXPECT_EQ(bits(msr(0x485), 24, 16), 4u);
  EXPECT_EQ(bits(msr(0x485), 8, 6), 7u);
  EXPECT_EQ(bits(msr(0x485), 4, 0), 5u);
}

TEST(vmx_capabilities, fields_exist_with_their_controls) {
  for (const FieldRow& f : kFields) EXPECT_TRUE(field_exists(vmx_model(), f)) << f.name;
  const CpuModel no_pat = without(vmx_model(), Feature::pat);
  EXPECT_FALSE(field_exists(no_pat, row_of(Field::GUEST_IA32_PAT)));
  EXPECT_TRUE(field_exists(no_pat, row_of(Field::GUEST_IA32_EFER)));
}

}  // namespace
}  // namespace vt::cpu
