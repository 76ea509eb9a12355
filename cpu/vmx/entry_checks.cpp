// SPDX-License-Identifier: GPL-2.0-or-later
/// What VM entry reads of a VMCS, once.
#include "vmx/entry_checks.hpp"

namespace vt::cpu {

Controls read_controls(Cpu& c) {
  using F = Field;
  auto r = [&c](F f) { return read_field(c, f); };
  auto r32 = [&c](F f) { return static_cast<u32>(read_field(c, f)); };
  Controls x{};
  x.pin = r32(F::PIN_BASED_VM_EXEC_CONTROL), x.proc = r32(F::CPU_BASED_VM_EXEC_CONTROL);
  x.proc2 = x.proc & proc_ctl::secondary ? r32(F::SECONDARY_VM_EXEC_CONTROL) : 0;
  x.exit = r32(F::VM_EXIT_CONTROLS), x.entry = r32(F::VM_ENTRY_CONTROLS);
  x.exception_bitmap = r32(F::EXCEPTION_BITMAP), x.pf_mask = r32(F::PAGE_FAULT_ERROR_CODE_MASK), x.pf_match = r32(F::PAGE_FAULT_ERROR_CODE_MATCH);
  x.cr0_mask = r(F::CR0_GUEST_HOST_MASK), x.cr4_mask = r(F::CR4_GUEST_HOST_MASK);
  x.cr0_shadow = r(F::CR0_READ_SHADOW), x.cr4_shadow = r(F::CR4_READ_SHADOW);
  x.cr3_target_count = r32(F::CR3_TARGET_COUNT);
  for (unsigned n = 0; n < 4; ++n) x.cr3_target[n] = r(nth(F::CR3_TARGET_VALUE0, n));
  x.io_bitmap_a = r(F::IO_BITMAP_A), x.io_bitmap_b = r(F::IO_BITMAP_B), x.msr_bitmap = r(F::MSR_BITMAPS);
  x.eptp = r(F::EPT_POINTER), x.tsc_offset = r(F::TSC_OFFSET), x.vpid = static_cast<u16>(r(F::VIRTUAL_PROCESSOR_ID));
  x.virtual_apic = r(F::VIRTUAL_APIC_ADDR), x.apic_access = r(F::APIC_ACCESS_ADDR), x.tpr_threshold = r32(F::TPR_THRESHOLD);
  x.vtpr = vtpr(c.memory(), x.virtual_apic);
  x.preemption_timer = r32(F::VMX_PREEMPTION_TIMER_VALUE), x.ple_gap = r32(F::PLE_GAP), x.ple_window = r32(F::PLE_WINDOW);
  x.exit_store_count = r32(F::VM_EXIT_MSR_STORE_COUNT), x.exit_store_addr = r(F::VM_EXIT_MSR_STORE_ADDR);
  x.exit_load_count = r32(F::VM_EXIT_MSR_LOAD_COUNT), x.exit_load_addr = r(F::VM_EXIT_MSR_LOAD_ADDR);
  x.entry_load_count = r32(F::VM_ENTRY_MSR_LOAD_COUNT), x.entry_load_addr = r(F::VM_ENTRY_MSR_LOAD_ADDR);
  x.intr_info = r32(F::VM_ENTRY_INTR_INFO), x.intr_error = r32(F::VM_ENTRY_EXCEPTION_ERROR_CODE), x.intr_length = r32(F::VM_ENTRY_INSTRUCTION_LENGTH);
  x.guest_cr0 = r(F::GUEST_CR0);
  return x;
}

HostState read_host(Cpu& c) {
  using F = Field;
  auto r = [&c](F f) { return read_field(c, f); };
  HostState h{};
  h.cr0 = r(F::HOST_CR0), h.cr3 = r(F::HOST_CR3), h.cr4 = r(F::HOST_CR4), h.pat = r(F::HOST_IA32_PAT), h.efer = r(F::HOST_IA32_EFER);
  for (unsigned n = 0; n < 7; ++n) h.sel[n] = static_cast<u16>(r(nth(F::HOST_ES_SELECTOR, n)));
  h.fs_base = r(F::HOST_FS_BASE), h.gs_base = r(F::HOST_GS_BASE), h.tr_base = r(F::HOST_TR_BASE);
  h.gdtr_base = r(F::HOST_GDTR_BASE), h.idtr_base = r(F::HOST_IDTR_BASE);
  h.sysenter_cs = static_cast<u32>(r(F::HOST_IA32_SYSENTER_CS)), h.sysenter_esp = r(F::HOST_IA32_SYSENTER_ESP), h.sysenter_eip = r(F::HOST_IA32_SYSENTER_EIP);
  h.rsp = r(F::HOST_RSP), h.rip = r(F::HOST_RIP);
  return h;
}

GuestState read_guest(Cpu& c) {
  using F = Field;
  auto r = [&c](F f) { return read_field(c, f); };
  auto r32 = [&c](F f) { return static_cast<u32>(read_field(c, f)); };
  GuestState g{};
  g.cr0 = r(F::GUEST_CR0), g.cr3 = r(F::GUEST_CR3), g.cr4 = r(F::GUEST_CR4), g.dr7 = r(F::GUEST_DR7), g.debugctl = r(F::GUEST_IA32_DEBUGCTL);
  g.pat = r(F::GUEST_IA32_PAT), g.efer = r(F::GUEST_IA32_EFER);
  // Selector, base, limit and access rights are in the order ES CS SS DS FS GS LDTR TR.
  for (unsigned n = 0; n < 8; ++n) {
    Segment& s = n < 6 ? g.seg[n] : n == 6 ? g.ldtr : g.tr;
    s.sel = static_cast<u16>(r(nth(F::GUEST_ES_SELECTOR, n)));
    s.base = r(nth(F::GUEST_ES_BASE, n));
    s.limit = r32(nth(F::GUEST_ES_LIMIT, n));
    s.ar = r32(nth(F::GUEST_ES_AR_BYTES, n));
  }
  g.gdtr_base = r(F::GUEST_GDTR_BASE), g.idtr_base = r(F::GUEST_IDTR_BASE), g.gdtr_limit = r32(F::GUEST_GDTR_LIMIT), g.idtr_limit = r32(F::GUEST_IDTR_LIMIT);
  g.rip = r(F::GUEST_RIP), g.rsp = r(F::GUEST_RSP), g.rflags = r(F::GUEST_RFLAGS);
  g.sysenter_cs = r32(F::GUEST_IA32_SYSENTER_CS), g.sysenter_esp = r(F::GUEST_IA32_SYSENTER_ESP), g.sysenter_eip = r(F::GUEST_IA32_SYSENTER_EIP);
  g.activity = r32(F::GUEST_ACTIVITY_STATE), g.interruptibility = r32(F::GUEST_INTERRUPTIBILITY_STATE);
  g.pending_debug = r(F::GUEST_PENDING_DBG_EXCEPTIONS), g.link = r(F::VMCS_LINK_POINTER);
  g.current = c.vmx.vmcs;
  for (unsigned n = 0; n < 4; ++n) g.pdpte[n] = r(nth(F::GUEST_PDPTE0, n));
  return g;
}

}  // namespace vt::cpu
