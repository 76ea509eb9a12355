// SPDX-License-Identifier: GPL-2.0-or-later
/// A guest's task priority and APIC page, the VMX-preemption timer, and PAUSE loops.
/// SDM 3C "APIC Virtualization and Virtual Interrupts", "VMX-Preemption Timer", "Changes to Instruction Behavior in VMX Non-Root Operation"
#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using M = VmxMachine;
using F = Field;
constexpr int kHlt = 12, kCpuidExit = 10, kPause = 40, kTprBelow = 43, kApicAccess = 44, kEptViolation = 48, kPreemption = 52;
constexpr u64 kVirtual = 0x68000, kPage = 0x69000;

void shadow(M& m, u32 vtpr, u32 threshold) {
  m.add(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::tpr_shadow);
  m.set(F::VIRTUAL_APIC_ADDR, kVirtual), m.set(F::TPR_THRESHOLD, threshold);
  m.poke<u32>(kVirtual + 0x80, vtpr);
}
void apic_page(M& m, u64 page = kPage) {
  m.add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::apic_access);
  m.set(F::APIC_ACCESS_ADDR, page);
}

// SDM 3C "Virtualizing CR8-Based TPR Accesses"
TEST(vmx_apic, cr8_is_vtpr) {
  M m;
  m.fill();
  shadow(m, 0x1234'5658, 0);
  m.cpu->r[1] = 9;
  EXPECT_EQ(m.launch({0x44, 0x0f, 0x20, 0xc0, 0x44, 0x0f, 0x22, 0xc1}), kHlt);  // mov rax, cr8; mov cr8, rcx
  EXPECT_EQ(m.cpu->r[0], 5u);
  EXPECT_EQ(m.peek<u32>(kVirtual + 0x80), 0x90u);
  EXPECT_EQ(m.cpu->apic.tpr(), 0u);
}

// SDM 3C "TPR Virtualization": trap-like, when VTPR falls below the threshold.
TEST(vmx_apic, below_the_threshold_an_exit_follows) {
  for (u64 value : {3u, 4u}) {
    M m;
    m.fill();
    shadow(m, 0x50, 4);
    m.cpu->r[1] = value;
    EXPECT_EQ(m.launch({0x44, 0x0f, 0x22, 0xc1}), value == 3 ? kTprBelow : kHlt);
    EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest + 4);
    EXPECT_EQ(m.peek<u32>(kVirtual + 0x80), value << 4);
    EXPECT_EQ(m.get(F::IDT_VECTORING_INFO) >> 31, 0u);
  }
}

// SDM 3C "VM Exits Induced by the TPR Threshold"
TEST(vmx_apic, entry_with_a_low_vtpr_exits_at_once) {
  struct { u64 activity; u32 inject; int reason; u64 rip; } const cases[] = {
      {0, 0, kTprBelow, M::kGuest},
      {0, 0x8000'0030, kTprBelow, TestMachine::kHandlers + 16 * 0x30},  // after the event
      {1, 0, kTprBelow, M::kGuest},                                     // wakes from HLT
      {2, 0, -4, 0},                                                    // not from shutdown
      {3, 0, -4, 0},                                                    // nor from wait-for-SIPI
  };
  for (const auto& t : cases) {
    M m;
    m.fill();
    shadow(m, 0x50, 6), apic_page(m);
    m.set(F::GUEST_ACTIVITY_STATE, t.activity), m.set(F::VM_ENTRY_INTR_INFO, t.inject);
    if (t.inject) m.set(F::GUEST_RFLAGS, 2 | rflags::IF);
    EXPECT_EQ(m.launch({0x90}), t.reason) << t.activity;
    if (t.reason < 0) continue;
    EXPECT_EQ(m.get(F::GUEST_RIP), t.rip) << t.activity;
  }
  M enough;
  enough.fill();
  shadow(enough, 0x60, 6), apic_page(enough);
  EXPECT_EQ(enough.launch({0x90}), kHlt);
}

// SDM 3C "Virtualizing Memory-Mapped APIC Accesses", "Exit Qualification for APIC-Access VM Exits"
TEST(vmx_apic, accesses_to_the_page) {
  struct { const char* name; std::vector<u8> code; u64 offset; bool shadowed; u64 qualification; u64 length; } const cases[] = {
      {"mov eax, [rbx] of the ID", {0x8b, 0x03}, 0x20, true, 0x20, 2},
      {"mov [rbx], eax of EOI", {0x89, 0x03}, 0xb0, true, 0x10b0, 2},
      {"mov dword [rbx+16], 7", {0xc7, 0x43, 0x10, 7, 0, 0, 0}, 0x300, true, 0x1310, 7},
      {"mov eax, [rbx] of TPR without a shadow", {0x8b, 0x03}, 0x80, false, 0x80, 2},
      {"mov [rbx], eax of TPR without a shadow", {0x89, 0x03}, 0x80, false, 0x1080, 2},
      {"mov rax, [rbx] of TPR: too wide", {0x48, 0x8b, 0x03}, 0x80, true, 0x80, 3},
      {"mov eax, [rbx] across TPR's end", {0x8b, 0x03}, 0x82, true, 0x82, 2},
      {"mov [rbx], al above TPR's first byte", {0x88, 0x03}, 0x81, true, 0x1081, 2},
      {"jmp rbx", {0xff, 0xe3}, 0x40, true, 0x2040, 0},
  };
  for (const auto& t : cases) {
    M m;
    m.fill();
    apic_page(m);
    if (t.shadowed) shadow(m, 0x50, 0);
    m.cpu->r[3] = kPage + t.offset, m.cpu->r[0] = 0x77;
    m.poke<u64>(kPage + 0x80, 0x1111'1111);
    EXPECT_EQ(m.launch(t.code), kApicAccess) << t.name;
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), t.qualification) << t.name;
    EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), t.length) << t.name;
    EXPECT_EQ(m.get(F::GUEST_RIP), t.code[0] == 0xff ? kPage + t.offset : M::kGuest) << t.name;
    EXPECT_EQ(m.peek<u64>(kPage + 0x80), 0x1111'1111u) << t.name;
  }
}

TEST(vmx_apic, tpr_on_the_page_is_virtualized) {
  M m;
  m.fill();
  shadow(m, 0xaabb'cc50, 4), apic_page(m);
  m.poke<u32>(kPage + 0x80, 0x1111'1111);
  m.cpu->r[3] = kPage + 0x80, m.cpu->r[2] = 0x60, m.cpu->r[1] = 0;
  // mov eax, [rbx]; mov cl, [rbx+1]; mov [rbx], edx; or dword [rbx], 1; mov byte [rbx], 0x30; nop
  EXPECT_EQ(m.launch({0x8b, 0x03, 0x8a, 0x4b, 0x01, 0x89, 0x13, 0x83, 0x0b, 0x01, 0xc6, 0x03, 0x30, 0x90}), kTprBelow);
  EXPECT_EQ(m.cpu->r[0], 0xaabb'cc50u);
  EXPECT_EQ(m.cpu->r[1], 0xccu);
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest + 13);
  EXPECT_EQ(m.peek<u32>(kVirtual + 0x80), 0x30u);
  EXPECT_EQ(m.peek<u32>(kPage + 0x80), 0x1111'1111u);
  // The host's own accesses, and a guest without the control, find memory.
  m.drop(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::apic_access), m.set(F::TPR_THRESHOLD, 0);
  m.poke<u16>(M::kGuest + 13, 0x038b), m.poke<u8>(M::kGuest + 15, 0xf4);
  EXPECT_EQ(m.again(), kHlt);
  EXPECT_EQ(m.cpu->r[0], 0x1111'1111u);
}

TEST(vmx_apic, the_page_as_a_stack_during_delivery) {
  M m;
  m.fill();
  shadow(m, 0, 0), apic_page(m);
  m.set(F::GUEST_RSP, kPage + 0x200);
  EXPECT_EQ(m.launch({0x0f, 0x0b}), kApicAccess);  // ud2
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION) >> 12, 3u);
  EXPECT_EQ(m.get(F::IDT_VECTORING_INFO), 0x8000'0306u);
}

// SDM 3C "Guest-Physical Accesses to the APIC-Access Page", "Priority of APIC-Access VM Exits"
TEST(vmx_apic, a_paging_structure_on_the_page_and_what_ept_refuses) {
  M m;
  m.fill();
  m.identity_ept();
  apic_page(m, TestMachine::kPml4);
  EXPECT_EQ(m.launch({0x90}), kApicAccess);
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0xf000u);
  M n;
  n.fill();
  n.identity_ept();
  apic_page(n);
  n.poke<u64>(n.ept_entry(kPage), 0);
  n.cpu->r[3] = kPage;
  EXPECT_EQ(n.launch({0x8b, 0x03}), kEptViolation);
}

// SDM 3C "Virtualizing MSR-Based APIC Accesses"
TEST(vmx_apic, x2apic_tpr) {
  const auto machine = [](u32 threshold, u64 value) {
    auto m = std::make_unique<M>();
    m->fill();
    shadow(*m, 0x50, threshold);
    m->add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::x2apic);
    m->cpu->r[1] = 0x808, m->cpu->r[0] = value, m->cpu->r[2] = 0;
    return m;
  };
  auto read = machine(0, 0);
  EXPECT_EQ(read->launch({0x0f, 0x32}), kHlt);
  EXPECT_EQ(read->cpu->r[0], 0x50u);
  auto write = machine(4, 0x23);
  EXPECT_EQ(write->launch({0x0f, 0x30, 0x90}), kTprBelow);
  EXPECT_EQ(write->get(F::GUEST_RIP), M::kGuest + 2);
  EXPECT_EQ(write->peek<u32>(kVirtual + 0x80), 0x23u);
  auto wrong = machine(0, 0x100);
  wrong->set(F::EXCEPTION_BITMAP, 1u << GP);
  EXPECT_EQ(wrong->launch({0x0f, 0x30}), 0);
  EXPECT_EQ(wrong->get(F::VM_EXIT_INTR_INFO), 0x8000'0b0du);
}

void timer(M& m, u32 value, bool save = true) {
  m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::preemption_timer);
  if (save) m.add(F::VM_EXIT_CONTROLS, exit_ctl::save_preemption_timer);
  m.set(F::VMX_PREEMPTION_TIMER_VALUE, value);
}

// SDM 3C "VMX-Preemption Timer": one tick each 32 of the TSC (IA32_VMX_MISC bits 4:0), a step here.
TEST(vmx_preemption, the_guest_runs_until_the_timer_is_zero) {
  for (u32 value : {0u, 1u, 3u, 20u}) {
    M m;
    m.fill();
    timer(m, value);
    EXPECT_EQ(m.launch(std::vector<u8>(1000, 0x90)), kPreemption);
    const u64 made = m.get(F::GUEST_RIP) - M::kGuest;
    EXPECT_LE(made, 32 * value) << value;
    EXPECT_GE(made + 32, 32 * value) << value;
    EXPECT_EQ(m.get(F::VMX_PREEMPTION_TIMER_VALUE), 0u);
    EXPECT_EQ(m.preemption_timer, ~u64{0});
  }
}

TEST(vmx_preemption, what_is_left_is_saved_if_asked_for) {
  for (bool save : {true, false}) {
    M m;
    m.fill();
    timer(m, 50, save);
    std::vector<u8> code(320, 0x90);
    code.push_back(0x0f), code.push_back(0xa2);
    EXPECT_EQ(m.launch(code), kCpuidExit);
    const u64 left = m.get(F::VMX_PREEMPTION_TIMER_VALUE);
    EXPECT_TRUE(save ? left == 39 || left == 40 : left == 50) << left;
    EXPECT_EQ(m.preemption_timer, ~u64{0});
  }
}

TEST(vmx_preemption, it_counts_in_hlt_and_follows_an_injected_event) {
  M m;
  m.fill();
  timer(m, 5);
  m.set(F::GUEST_ACTIVITY_STATE, 1);
  EXPECT_EQ(m.launch({0x90}), kPreemption);
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
  EXPECT_EQ(m.get(F::GUEST_ACTIVITY_STATE), 1u);
  M n;
  n.fill();
  timer(n, 0);
  n.set(F::VM_ENTRY_INTR_INFO, 0x8000'0030), n.set(F::GUEST_RFLAGS, 2 | rflags::IF);
  EXPECT_EQ(n.launch({0x90}), kPreemption);
  EXPECT_EQ(n.get(F::GUEST_RIP), TestMachine::kHandlers + 16 * 0x30);
}

// SDM 3C "Changes to Instruction Behavior in VMX Non-Root Operation": PAUSE
TEST(vmx_pause_loop, is_looked_for_at_level_0_and_where_the_control_says_so) {
  for (bool control : {false, true})
    for (bool user : {false, true}) {
      M m;
      m.fill();
      if (control) m.add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::pause_loop);
      m.set(F::PLE_GAP, 10), m.set(F::PLE_WINDOW, 20);
      if (user) {
        m.set(F::GUEST_CS_SELECTOR, 0x1b), m.set(F::GUEST_SS_SELECTOR, 0x23), m.set(F::GUEST_DS_SELECTOR, 0);
        m.set(F::GUEST_CS_AR_BYTES, 0xa0fb), m.set(F::GUEST_SS_AR_BYTES, 0xc0f3);
      }
      m.cpu->r[1] = 100;
      const int got = m.launch({0xf3, 0x90, 0xe2, 0xfc, 0x0f, 0xa2});   // pause; loop; cpuid
      EXPECT_EQ(got, control && !user ? kPause : kCpuidExit) << control << user;
    }
}
// SDM 3C "Changes to Instruction Behavior in VMX Non-Root Operation": PAUSE, PLE_Gap, PLE_Window
TEST(vmx_pause_loop, a_long_tight_loop_exits) {
  struct { u32 gap, window; int reason; } const cases[] = {{10, 20, kPause}, {10, 1000, kHlt}, {1, 20, kHlt}};
  for (const auto& t : cases) {
    M m;
    m.fill();
    m.add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::pause_loop);
    m.set(F::PLE_GAP, t.gap), m.set(F::PLE_WINDOW, t.window);
    m.cpu->r[1] = 100;
    EXPECT_EQ(m.launch({0xf3, 0x90, 0xe2, 0xfc}), t.reason) << t.gap << ' ' << t.window;  // pause; loop
    if (t.reason == kPause) {
      EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
      EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), 2u);
      EXPECT_EQ(m.cpu->r[1], 89u);  // the first PAUSE, and ten more within the window
    }
  }
}

}  // namespace
}  // namespace vt::cpu
