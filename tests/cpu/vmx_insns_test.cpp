// SPDX-License-Identifier: GPL-2.0-or-later
/// The VMX instructions in VMX root operation.   SDM 3C "VMX Instruction Reference", "VM-Instruction Error Numbers"
#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using M = VmxMachine;
constexpr u64 kOperand = TestMachine::kData;

// Memory operand [rbx], register operands as named.
const std::vector<u8> kVmxonRbx = {0xf3, 0x0f, 0xc7, 0x33}, kVmclearRbx = {0x66, 0x0f, 0xc7, 0x33}, kVmptrldRbx = {0x0f, 0xc7, 0x33}, kVmptrstRbx = {0x0f, 0xc7, 0x3b},
                      kVmxoff = {0x0f, 0x01, 0xc4}, kVmcall = {0x0f, 0x01, 0xc1}, kVmlaunch = {0x0f, 0x01, 0xc2}, kVmresume = {0x0f, 0x01, 0xc3},
                      kVmreadRaxRcx = {0x0f, 0x78, 0xc8},   // vmread rax, rcx
                      kVmwriteRcxRax = {0x0f, 0x79, 0xc8},  // vmwrite rcx, rax
                      kInveptRaxRbx = {0x66, 0x0f, 0x38, 0x80, 0x03}, kInvvpidRaxRbx = {0x66, 0x0f, 0x38, 0x81, 0x03};

enum Outcome { succeeds, fails_invalid, fails_valid };
Outcome outcome(M& m) { return m.cpu->lf.cf() ? fails_invalid : m.cpu->lf.zf() ? fails_valid : succeeds; }

int with_operand(M& m, const std::vector<u8>& code, u64 operand) {
  m.poke<u64>(kOperand, operand);
  m.cpu->r[3] = kOperand;
  return m.run(code);
}

TEST(vmx_insns, all_are_undefined_outside_vmx_operation) {
  for (auto* code : {&kVmclearRbx, &kVmptrldRbx, &kVmptrstRbx, &kVmxoff, &kVmcall, &kVmlaunch, &kVmresume, &kVmreadRaxRcx, &kVmwriteRcxRax, &kInveptRaxRbx, &kInvvpidRaxRbx}) {
    M m;
    EXPECT_EQ(with_operand(m, *code, 0), UD);
  }
}

TEST(vmx_insns, undefined_without_the_feature) {
  M m({"-vmx"});
  EXPECT_EQ(with_operand(m, kVmxonRbx, M::kVmxon), UD);
}

TEST(vmx_insns, vmxon) {
  M m;
  EXPECT_EQ(with_operand(m, kVmxonRbx, M::kVmxon), -1);
  EXPECT_EQ(outcome(m), succeeds);
  EXPECT_TRUE(m.cpu->vmx.on);
  EXPECT_EQ(m.cpu->vmx.vmcs, ~u64{0});
  EXPECT_EQ(with_operand(m, kVmxonRbx, M::kVmxon), -1);
  EXPECT_EQ(outcome(m), fails_invalid);  // no current VMCS to hold error 15
  EXPECT_EQ(m.run(kVmxoff), -1);
  EXPECT_FALSE(m.cpu->vmx.on);
}

TEST(vmx_insns, vmxon_refuses) {
  struct { int vector; void (*change)(M&); u64 operand; } cases[] = {
      {UD, [](M& m) { m.cpu->cr4 &= ~cr4::VMXE; }, M::kVmxon},
      {GP, [](M& m) { m.cpu->msr.feature_control = 1; }, M::kVmxon},
      {GP, [](M& m) { m.cpu->msr.feature_control = 4; }, M::kVmxon},
      {GP, [](M& m) { m.cpu->cr0 &= ~cr0::NE; }, M::kVmxon},
      {-1, [](M&) {}, M::kVmxon + 8},
      {-1, [](M&) {}, u64{1} << 46},
      {-1, [](M& m) { m.poke<u32>(M::kVmxon, 5); }, M::kVmxon},
      {-1, [](M& m) { m.poke<u32>(M::kVmxon, vmcs_page::kRevision | 0x8000'0000); }, M::kVmxon},
  };
  for (auto& t : cases) {
    M m;
    t.change(m);
    EXPECT_EQ(with_operand(m, kVmxonRbx, t.operand), t.vector);
    if (t.vector < 0) { EXPECT_EQ(outcome(m), fails_invalid); }
    EXPECT_FALSE(m.cpu->vmx.on);
  }
}

TEST(vmx_insns, a_second_vmxon_fails_with_15) {
  M m;
  m.on();
  with_operand(m, kVmxonRbx, M::kVmxon);
  EXPECT_EQ(outcome(m), fails_valid);
  EXPECT_EQ(m.error(), 15u);
}

TEST(vmx_insns, vmclear) {
  struct { u64 operand; u32 error; } bad[] = {{0x123, 2}, {u64{1} << 46, 2}, {M::kVmxon, 3}};
  for (auto& t : bad) {
    M m;
    m.on();
    with_operand(m, kVmclearRbx, t.operand);
    EXPECT_EQ(outcome(m), fails_valid);
    EXPECT_EQ(m.error(), t.error);
  }
  M m;
  m.on();
  set_launch_state(m.mem, M::kVmcs, 1234);
  with_operand(m, kVmclearRbx, M::kVmcs);
  EXPECT_EQ(outcome(m), succeeds);
  EXPECT_EQ(launch_state(m.mem, M::kVmcs), vmcs_page::kClear);
  EXPECT_EQ(m.cpu->vmx.vmcs, ~u64{0});
}

TEST(vmx_insns, vmptrld_and_vmptrst) {
  struct { u64 operand; u32 error; } bad[] = {{0x123, 9}, {u64{1} << 46, 9}, {M::kVmxon, 10}, {0x70000, 11}};
  for (auto& t : bad) {
    M m;
    m.on();
    with_operand(m, kVmptrldRbx, t.operand);
    EXPECT_EQ(outcome(m), fails_valid);
    EXPECT_EQ(m.error(), t.error);
    EXPECT_EQ(m.cpu->vmx.vmcs, M::kVmcs);
  }
  M m;
  m.on();
  m.poke<u32>(0x70000, vmcs_page::kRevision);
  with_operand(m, kVmptrldRbx, 0x70000);
  EXPECT_EQ(outcome(m), succeeds);
  with_operand(m, kVmptrstRbx, 0);
  EXPECT_EQ(m.peek<u64>(kOperand), 0x70000u);
}

TEST(vmx_insns, vmwrite_and_vmread_of_every_field) {
  M m;
  m.on();
  for (const FieldRow& f : kFields) {
    if (f.area == Area::exit_info) continue;
    m.cpu->r[0] = 0x8877'6655'4433'2211, m.cpu->r[1] = f.encoding;
    EXPECT_EQ(m.run(kVmwriteRcxRax), -1);
    EXPECT_EQ(outcome(m), succeeds) << f.name;
    m.cpu->r[0] = 0;
    EXPECT_EQ(m.run(kVmreadRaxRcx), -1);
    EXPECT_EQ(m.cpu->r[0], 0x8877'6655'4433'2211 & field_mask(f.width)) << f.name;
    if (f.width != Width::w64) continue;
    m.cpu->r[1] = f.encoding | 1;
    m.run(kVmreadRaxRcx);
    EXPECT_EQ(m.cpu->r[0], 0x8877'6655u) << f.name;
    m.cpu->r[0] = 0xaa'bbcc'ddee;
    m.run(kVmwriteRcxRax);
    EXPECT_EQ(m.get(static_cast<Field>(f.encoding)), 0xbbcc'ddee'4433'2211u) << f.name;
  }
}

TEST(vmx_insns, vmread_and_vmwrite_fail) {
  M m;
  m.on();
  for (u64 e : {u64{0x2016}, u64{0x6801}, u64{1} << 32 | 0x6800}) {
    m.cpu->r[1] = e;
    m.run(kVmreadRaxRcx);
    EXPECT_EQ(outcome(m), fails_valid);
    EXPECT_EQ(m.error(), 12u);
    m.run(kVmwriteRcxRax);
    EXPECT_EQ(m.error(), 12u);
  }
  m.cpu->r[1] = static_cast<u64>(Field::VM_EXIT_REASON);
  m.run(kVmwriteRcxRax);
  EXPECT_EQ(outcome(m), fails_valid);
  EXPECT_EQ(m.error(), 13u);
  m.cpu->vmx.vmcs = ~u64{0};
  m.run(kVmreadRaxRcx);
  EXPECT_EQ(outcome(m), fails_invalid);
  m.run(kVmwriteRcxRax);
  EXPECT_EQ(outcome(m), fails_invalid);
}

TEST(vmx_insns, vmread_to_memory_and_vmwrite_from_it) {
  M m;
  m.on();
  m.cpu->r[1] = static_cast<u64>(Field::HOST_RSP), m.cpu->r[3] = kOperand;
  m.poke<u64>(kOperand, 0x1234'5678'9abc);
  m.run({0x0f, 0x79, 0x0b});  // vmwrite rcx, [rbx]
  EXPECT_EQ(m.get(Field::HOST_RSP), 0x1234'5678'9abcu);
  m.run({0x0f, 0x78, 0x4b, 0x08});  // vmread [rbx+8], rcx
  EXPECT_EQ(m.peek<u64>(kOperand + 8), 0x1234'5678'9abcu);
  m.cpu->r[3] = u64{1} << 40;  // not mapped
  EXPECT_EQ(m.run({0x0f, 0x78, 0x0b}), PF);
}

TEST(vmx_insns, vmcall_in_root_operation_fails_with_1) {
  M m;
  m.on();
  EXPECT_EQ(m.run(kVmcall), -1);
  EXPECT_EQ(m.error(), 1u);
}

TEST(vmx_insns, launch_state) {
  M m;
  m.on();
  m.run(kVmresume);
  EXPECT_EQ(m.error(), 5u);
  set_launch_state(m.mem, M::kVmcs, vmcs_page::kLaunched);
  m.run(kVmlaunch);
  EXPECT_EQ(m.error(), 4u);
  m.cpu->vmx.vmcs = ~u64{0};
  m.run(kVmlaunch);
  EXPECT_EQ(outcome(m), fails_invalid);
}

TEST(vmx_insns, entry_under_blocking_by_mov_ss_fails_with_26) {
  M m;
  m.fill();
  m.cpu->r[0] = 0x10;
  EXPECT_EQ(m.run({0x8e, 0xd0, 0x0f, 0x01, 0xc2}), -1);  // mov ss, eax; vmlaunch
  EXPECT_EQ(m.error(), 26u);
}

TEST(vmx_insns, entry_fails_with_7_and_8) {
  M m;
  m.fill();
  m.set(Field::CR3_TARGET_COUNT, 9);
  EXPECT_EQ(m.launch({}), -1);
  EXPECT_EQ(m.error(), 7u);
  m.set(Field::CR3_TARGET_COUNT, 0);
  m.set(Field::HOST_CS_SELECTOR, 0);
  EXPECT_EQ(m.launch({}), -1);
  EXPECT_EQ(m.error(), 8u);
  EXPECT_EQ(launch_state(m.mem, M::kVmcs), vmcs_page::kClear);
}

TEST(vmx_insns, invept_and_invvpid_operands) {
  struct { const std::vector<u8>* code; u64 type, low, high; Outcome want; } cases[] = {
      {&kInveptRaxRbx, 1, 0x5000 | 0x1e, 0, succeeds},       {&kInveptRaxRbx, 2, 0xffff, 0, succeeds},
      {&kInveptRaxRbx, 0, 0x5000 | 0x1e, 0, fails_valid},    {&kInveptRaxRbx, 3, 0, 0, fails_valid},
      {&kInveptRaxRbx, 1, 0x5000 | 0x1f, 0, fails_valid},    {&kInveptRaxRbx, 2, 0, 1, fails_valid},
      {&kInvvpidRaxRbx, 0, 5, 0x1000, succeeds},             {&kInvvpidRaxRbx, 1, 5, 0, succeeds},
      {&kInvvpidRaxRbx, 2, 0, 0, succeeds},                  {&kInvvpidRaxRbx, 3, 5, 0, succeeds},
      {&kInvvpidRaxRbx, 0, 5, u64{1} << 47, fails_valid},    {&kInvvpidRaxRbx, 1, 0, 0, fails_valid},
      {&kInvvpidRaxRbx, 4, 5, 0, fails_valid},               {&kInvvpidRaxRbx, 2, 0x10000, 0, fails_valid},
  };
  for (auto& t : cases) {
    M m;
    m.on();
    m.poke<u64>(kOperand + 8, t.high);
    m.cpu->r[0] = t.type;
    EXPECT_EQ(with_operand(m, *t.code, t.low), -1);
    EXPECT_EQ(outcome(m), t.want) << t.type << " " << t.low << " " << t.high;
    if (t.want == fails_valid) { EXPECT_EQ(m.error(), 28u); }
  }
}

TEST(vmx_insns, privilege) {
  M m;
  m.on();
  m.cpu->seg[CS].ar = 0xa0fb, m.cpu->seg[SS].ar = 0xc0f3;
  m.cpu->tr.limit = 0x67, m.cpu->tr.base = 0x7000;
  m.poke<u64>(0x7004, TestMachine::kStack);
  m.cpu->update();
  EXPECT_EQ(m.run(kVmptrstRbx), GP);
}

}  // namespace
}  // namespace vt::cpu
