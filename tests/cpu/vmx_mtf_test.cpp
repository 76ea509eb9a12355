// SPDX-License-Identifier: GPL-2.0-or-later
/// SDM 3C "Monitor Trap Flag", "Injection of Pending MTF VM Exits"
#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using M = VmxMachine;
using F = Field;
using Bytes = std::vector<u8>;
enum : int { kException = 0, kTriple = 2, kInit = 3, kSipi = 4, kCpuid = 10, kHlt = 12, kMtf = 37, kTpr = 43, kEptViolation = 48, kTimer = 52 };
constexpr u32 kPendingMtf = 0x8000'0700;

void flag(M& m) { m.add(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::monitor_trap); }
void pin(M& m, u32 v) { m.add(F::PIN_BASED_VM_EXEC_CONTROL, v); }
void interrupt(M& m) { m.cpu->apic.write_base(0xfee00100), m.pic_vector = 0x40, m.pic_level = true, m.cpu->pic_line(true); }
constexpr u64 handler(unsigned v) { return TestMachine::kHandlers + 16 * v; }

struct Row {
  const char* rule;
  Bytes code;
  void (*change)(M&);
  int reason;
  u64 rip;                 ///< saved
  u32 activity = 0, blocking = 0;
  u64 pending = 0;         ///< debug exceptions saved
};
void try_row(const Row& r, bool control) {
  SCOPED_TRACE(r.rule);
  M m;
  m.fill();
  if (control) flag(m);
  m.cpu->r[1] = 3, m.cpu->r[3] = M::kData, m.cpu->r[7] = M::kData;
  if (r.change) r.change(m);
  m.cpu->want_attention();
  m.launch(r.code);
  ASSERT_FALSE(m.cpu->non_root());
  EXPECT_EQ(m.get(F::VM_EXIT_REASON), static_cast<u64>(r.reason));
  EXPECT_EQ(m.get(F::GUEST_RIP), r.rip);
  EXPECT_EQ(m.get(F::GUEST_ACTIVITY_STATE), r.activity);
  EXPECT_EQ(m.get(F::GUEST_INTERRUPTIBILITY_STATE), r.blocking);
  EXPECT_EQ(m.get(F::GUEST_PENDING_DBG_EXCEPTIONS), r.pending);
  if (r.reason == kMtf) {
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0u);
    EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO) >> 31, 0u);
    EXPECT_EQ(m.get(F::IDT_VECTORING_INFO) >> 31, 0u);
  }
  EXPECT_FALSE(m.cpu->vmx.mtf_pending);   // "No MTF VM exit occurs if another VM exit occurs before"
}

TEST(vmx_mtf, where_the_control_exits) {
  constexpr u64 g = M::kGuest;
  const Row rows[] = {
      {"after an instruction", {0x90, 0x90}, nullptr, kMtf, g + 1},
      {"after a jump", {0xeb, 0x02, 0x90, 0x90, 0xeb, 0xfe}, nullptr, kMtf, g + 4},
      {"after a jump to itself", {0xeb, 0xfe}, nullptr, kMtf, g},
      {"after an access to a device", {0x8b, 0x04, 0x25, 0, 0, 0, 2, 0x90}, nullptr, kMtf, g + 7},
      {"after a store into its own code", {0xc6, 0x04, 0x25, 0, 0, 4, 0, 0x90, 0x90}, nullptr, kMtf, g + 8},
      {"after an iteration", {0xf3, 0xaa}, nullptr, kMtf, g},
      {"after the last iteration", {0xf3, 0xaa}, [](M& m) { m.cpu->r[1] = 1; }, kMtf, g + 2},
      {"of none", {0xf3, 0xaa}, [](M& m) { m.cpu->r[1] = 0; }, kMtf, g + 2},
      {"HLT: from its state", {0xf4}, [](M& m) { m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::hlt); }, kMtf, g + 1, 1},
      {"STI: with its blocking", {0xfb}, nullptr, kMtf, g + 1, 0, 1},
      {"MOV SS: with its blocking", {0x8e, 0xd0}, [](M& m) { m.cpu->r[0] = 0; }, kMtf, g + 2, 0, 2},
      {"behind the delivery of a fault", {0x0f, 0x0b}, nullptr, kMtf, handler(UD)},
      {"of a page fault", {0x8b, 0x04, 0x25, 0, 0, 0, 0x7f}, nullptr, kMtf, handler(PF)},
      {"of a fault of the first iteration", {0xf3, 0xaa}, [](M& m) { m.cpu->r[7] = 0x7f000000; }, kMtf, handler(PF)},
      {"of a nested exception", {0x0f, 0x0b}, [](M& m) { m.poke<u8>(M::kIdt + 16 * UD + 5, 0x0e); }, kMtf, handler(NP)},
      {"of a double fault", {0x8b, 0x04, 0x25, 0, 0, 0, 0x7f}, [](M& m) { m.poke<u8>(M::kIdt + 16 * PF + 5, 0x0e); m.poke<u8>(M::kIdt + 16 * NP + 5, 0x0e); }, kMtf, handler(DF)},
      {"of INT3", {0xcc}, nullptr, kMtf, handler(BP)},
      {"of INT1", {0xf1}, nullptr, kMtf, handler(DB)},
      {"of INT n", {0xcd, 0x41}, nullptr, kMtf, handler(0x41)},
      {"of an interrupt that comes before the instruction", {0x90}, [](M& m) { interrupt(m); m.add(F::GUEST_RFLAGS, rflags::IF); }, kMtf, handler(0x40)},
      {"of an NMI that does", {0x90}, [](M& m) { m.cpu->nmi_pending = m.cpu->nmi_blocked = true; }, kMtf, handler(NMI), 0, 8},
      {"of a pending debug exception", {0x90}, [](M& m) { m.add(F::GUEST_RFLAGS, rflags::TF); m.set(F::GUEST_PENDING_DBG_EXCEPTIONS, 0x4000); }, kMtf, handler(DB)},
      {"of an instruction breakpoint", {0x90}, [](M& m) { m.cpu->dr[0] = M::kGuest; m.set(F::GUEST_DR7, 0x402); }, kMtf, handler(DB)},
      {"of an NMI that ends HLT", {0x90}, [](M& m) { m.set(F::GUEST_ACTIVITY_STATE, 1); m.cpu->nmi_pending = m.cpu->nmi_blocked = true; }, kMtf, handler(NMI), 0, 8},
      {"of an NMI that ends a shutdown", {0x90}, [](M& m) { m.set(F::GUEST_ACTIVITY_STATE, 2); m.cpu->nmi_pending = m.cpu->nmi_blocked = true; }, kMtf, handler(NMI), 0, 8},
      {"before debug traps: single step", {0x90}, [](M& m) { m.add(F::GUEST_RFLAGS, rflags::TF); }, kMtf, g + 1, 0, 0, 0x4000},
      {"before debug traps: data breakpoint", {0x88, 0x03}, [](M& m) { m.cpu->dr[1] = M::kData; m.set(F::GUEST_DR7, 0x100408); }, kMtf, g + 2, 0, 0, 0x1002},
      {"before the preemption timer", {0x90}, [](M& m) { pin(m, pin_ctl::preemption_timer); m.set(F::VMX_PREEMPTION_TIMER_VALUE, 1); }, kMtf, g + 1},
      // other exits come first, and it is forgotten
      {"not where the instruction exits", {0x0f, 0xa2}, nullptr, kCpuid, g},
      {"nor where its fault does", {0x0f, 0x0b}, [](M& m) { m.set(F::EXCEPTION_BITMAP, 1u << UD); }, kException, g},
      {"nor at a triple fault", {0x0f, 0x0b}, [](M& m) { m.set(F::GUEST_IDTR_LIMIT, 0); }, kTriple, g},
      {"nor at an EPT violation", {0x88, 0x03}, [](M& m) { m.identity_ept(); m.poke<u64>(m.ept_entry(M::kData), 0); }, kEptViolation, g},
      {"INIT before an instruction", {0x90}, [](M& m) { m.cpu->init_pending = true; }, kInit, g},
      {"the preemption timer before an instruction", {0x90}, [](M& m) { pin(m, pin_ctl::preemption_timer); m.set(F::VMX_PREEMPTION_TIMER_VALUE, 0); }, kTimer, g},
      {"TPR below threshold after an instruction", {0x44, 0x0f, 0x22, 0xc0},
       [](M& m) { m.add(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::tpr_shadow), m.set(F::VIRTUAL_APIC_ADDR, 0x65000), m.set(F::TPR_THRESHOLD, 4), m.poke<u8>(0x65080, 0x50), m.cpu->r[0] = 0; }, kTpr, g + 4},
  };
  for (auto& r : rows) try_row(r, true);
}

// "If VM entry is injecting a vectored event": behind its delivery, before the first instruction
TEST(vmx_mtf, after_an_injected_event) {
  struct { u32 info, length; u64 rip; } rows[] = {{0x8000'0040, 0, handler(0x40)}, {0x8000'0306, 0, handler(UD)}, {0x8000'0b0d, 0, handler(GP)}, {0x8000'0202, 0, handler(NMI)},
                                                  {0x8000'0480, 2, handler(0x80)}, {0x8000'0603, 1, handler(BP)}, {0x8000'0501, 1, handler(DB)}};
  for (auto& r : rows)
    for (const bool control : {true, false}) {
      SCOPED_TRACE(r.info);
      M m;
      m.fill();
      if (control) flag(m);
      m.add(F::GUEST_RFLAGS, rflags::IF);
      m.set(F::VM_ENTRY_INTR_INFO, r.info), m.set(F::VM_ENTRY_INSTRUCTION_LENGTH, r.length);
      EXPECT_EQ(m.launch({0x90}), control ? kMtf : kHlt);
      EXPECT_EQ(m.get(F::GUEST_RIP), r.rip);
      EXPECT_EQ(m.get(F::IDT_VECTORING_INFO) >> 31, 0u);
    }
}

// "Injection of Pending MTF VM Exits": on the boundary behind the VM entry, whatever the control says; the entry is not vectoring
TEST(vmx_mtf, injected_itself) {
  constexpr u64 g = M::kGuest;
  const Row rows[] = {
      {"before the first instruction", {0x90}, nullptr, kMtf, g},
      {"blocking by STI stays", {0x90}, [](M& m) { m.set(F::GUEST_INTERRUPTIBILITY_STATE, 1); m.add(F::GUEST_RFLAGS, rflags::IF); }, kMtf, g, 0, 1},
      {"blocking by MOV SS stays", {0x90}, [](M& m) { m.set(F::GUEST_INTERRUPTIBILITY_STATE, 2); }, kMtf, g, 0, 2},
      {"the HLT state stays", {0x90}, [](M& m) { m.set(F::GUEST_ACTIVITY_STATE, 1); }, kMtf, g, 1},
      {"before pending debug exceptions, which stay", {0x90}, [](M& m) { m.add(F::GUEST_RFLAGS, rflags::TF); m.set(F::GUEST_PENDING_DBG_EXCEPTIONS, 0x4000); }, kMtf, g, 0, 0, 0x4000},
      {"before NMIs", {0x90}, [](M& m) { pin(m, pin_ctl::nmi | pin_ctl::virtual_nmis); m.add(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::nmi_window); }, kMtf, g},
      {"before interrupts", {0x90}, [](M& m) { pin(m, pin_ctl::external_interrupt); interrupt(m); }, kMtf, g},
      {"before the interrupt window", {0x90}, [](M& m) { m.add(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::interrupt_window); m.add(F::GUEST_RFLAGS, rflags::IF); }, kMtf, g},
      {"before the preemption timer", {0x90}, [](M& m) { pin(m, pin_ctl::preemption_timer); m.set(F::VMX_PREEMPTION_TIMER_VALUE, 0); }, kMtf, g},
      {"INIT before it", {0x90}, [](M& m) { m.cpu->init_pending = true; }, kInit, g},
      {"TPR below threshold before it", {0x90},
       [](M& m) { m.add(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::tpr_shadow), m.add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::apic_access), m.set(F::APIC_ACCESS_ADDR, 0x67000),
             m.set(F::VIRTUAL_APIC_ADDR, 0x65000), m.set(F::TPR_THRESHOLD, 4), m.poke<u8>(0x65080, 0x10); }, kTpr, g},
  };
  for (auto& r : rows)
    for (const bool control : {true, false}) {
      static const Row* row;
      row = &r;
      Row with = r;
      with.change = [](M& m) {
        m.set(F::VM_ENTRY_INTR_INFO, kPendingMtf);
        if (row->change) row->change(m);
      };
      try_row(with, control);
    }
}

// The flag is in force until an exit, step by step, and no longer than it is set
TEST(vmx_mtf, a_hypervisor_steps_through_its_guest) {
  M m;
  m.fill();
  flag(m);
  m.cpu->r[1] = 3, m.cpu->r[7] = M::kData;
  EXPECT_EQ(m.launch({0x90, 0xf3, 0xaa, 0x90, 0x90, 0x90}), kMtf);
  const u64 rips[] = {1, 1, 3, 4};   // behind each iteration but the last at the instruction
  for (unsigned n = 0; n < 4; ++n) {
    EXPECT_EQ(m.again(), kMtf);
    EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest + rips[n]) << n;
    EXPECT_EQ(m.cpu->r[1], n < 3 ? 2 - n : 0) << n;
  }
  m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::monitor_trap);
  EXPECT_EQ(m.again(), kHlt);
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest + 6);
}

// Bits of the flags that a fault or an iteration leaves: RF as it is on the boundary
TEST(vmx_mtf, rf_is_saved_as_it_is) {
  struct { const char* rule; Bytes code; bool rf; } rows[] = {{"between iterations", {0xf3, 0xaa}, true}, {"behind an instruction", {0x90}, false}, {"in a handler", {0x0f, 0x0b}, false}};
  for (auto& r : rows) {
    M m;
    m.fill();
    flag(m);
    m.cpu->r[1] = 3, m.cpu->r[7] = M::kData;
    EXPECT_EQ(m.launch(r.code), kMtf) << r.rule;
    EXPECT_EQ((m.get(F::GUEST_RFLAGS) & rflags::RF) != 0, r.rf) << r.rule;
  }
}

// In the wait-for-SIPI state there is none; the SIPI exits
TEST(vmx_mtf, not_in_the_wait_for_sipi_state) {
  M m;
  m.fill();
  flag(m);
  m.set(F::GUEST_ACTIVITY_STATE, 3);
  EXPECT_EQ(m.launch({0x90}), -4);   // it waits
  m.cpu->sipi_pending = true, m.cpu->sipi_vector = 0x12, m.cpu->want_attention();
  m.cpu->run(10);
  EXPECT_EQ(m.get(F::VM_EXIT_REASON), static_cast<u64>(kSipi));
}

}  // namespace
}  // namespace vt::cpu
