// SPDX-License-Identifier: GPL-2.0-or-later
/// VM exits: what is recorded, what is saved, and the host's state.   SDM 3C "VM Exits"
#include <string>

#include "cpu/timing/timing.hpp"
#include "vmx/entry_checks.hpp"

namespace vt::cpu {

namespace {

/// SDM 3C "VMX Aborts"
void abort(Cpu& c, u32 indicator, const char* why) {
  c.memory().poke32(Hpa{c.vmx.vmcs + vmcs_page::abort_indicator}, indicator, WriteCause::vmcs);
  c.activity = Activity::shutdown;
  c.vmx.non_root = false;
  c.fault.kind = Fault::Kind::none;
  c.update();
  c.out().stop().request(StopReason::triple_fault, "VMX abort " + std::to_string(indicator) + ": " + why, "SDM 3C \"VMX Aborts\"");
}

/// SDM 3C "Recording VM-Exit Information and Updating VM-Entry Control Fields"
void record(Cpu& c, const ExitInfo& e) {
  using F = Field;
  Vmx& v = c.vmx;
  const u32 vectoring = v.idt_vectoring_info;
  // The exit is not one during event delivery when a double fault or a triple fault caused it.
  const bool direct_df = e.reason == static_cast<u32>(ExitReason::exception_nmi) && intr_info::vector(e.intr_info) == DF;
  const bool during = (vectoring & intr_info::valid) && e.reason != static_cast<u32>(ExitReason::triple_fault) && !direct_df;
  u32 intr = e.intr_info;
  if ((intr & intr_info::valid) && !during && v.nmi_unblocked_by_iret && e.reason == static_cast<u32>(ExitReason::exception_nmi) &&
      intr_info::vector(intr) != DF && intr_info::type(intr) == intr_info::hardware_exception)
    intr |= intr_info::nmi_unblocking;
  write_field(c, F::VM_EXIT_REASON, e.reason);
  write_field(c, F::EXIT_QUALIFICATION, e.qualification);
  write_field(c, F::GUEST_LINEAR_ADDRESS, e.linear);
  write_field(c, F::GUEST_PHYSICAL_ADDRESS, e.gpa);
  write_field(c, F::VM_EXIT_INTR_INFO, intr);
  write_field(c, F::VM_EXIT_INTR_ERROR_CODE, e.intr_error);
  write_field(c, F::IDT_VECTORING_INFO, during ? vectoring & ~u32{0x7fff'f000} : 0);
  write_field(c, F::IDT_VECTORING_ERROR_CODE, during && (vectoring & intr_info::error_code) ? v.idt_vectoring_error : 0);
  write_field(c, F::VM_EXIT_INSTRUCTION_LENGTH, during && intr_info::software(vectoring) ? v.idt_vectoring_length : e.length);
  write_field(c, F::VM_EXIT_INSTRUCTION_INFO, e.info);
  write_field(c, F::VM_ENTRY_INTR_INFO, read_field(c, F::VM_ENTRY_INTR_INFO) & ~u64{intr_info::valid});
  // IA32_VMX_MISC bit 5
  const u64 entry = read_field(c, F::VM_ENTRY_CONTROLS);
  write_field(c, F::VM_ENTRY_CONTROLS, c.long_mode() ? entry | entry_ctl::ia32e_guest : entry & ~u64{entry_ctl::ia32e_guest});
}

/// RFLAGS.RF as saved.   SDM 3C "Saving RIP, RSP, RFLAGS, and SSP"
bool resume_flag(const Cpu& c, const ExitInfo& e) {
  const bool now = c.flags & rflags::RF;
  const u32 vectoring = c.vmx.idt_vectoring_info;
  auto fault_like = [](u32 info) { return intr_info::type(info) == intr_info::hardware_exception && intr_info::vector(info) != DB; };
  if (e.event_directly) return now || fault_like(e.intr_info);
  switch (static_cast<ExitReason>(e.reason)) {
    case ExitReason::ept_violation: case ExitReason::ept_misconfig: case ExitReason::apic_access:
      return now || !(vectoring & intr_info::valid);  // in a delivery, as the image on the stack would have it
    case ExitReason::task_switch: return now && (vectoring & intr_info::valid);
    case ExitReason::triple_fault: case ExitReason::external_interrupt: case ExitReason::init: case ExitReason::sipi:
    case ExitReason::interrupt_window: case ExitReason::nmi_window: case ExitReason::tpr_below_threshold: case ExitReason::preemption_timer:
    case ExitReason::mtf:
      return now;
    default: return false;  // an instruction that exits
  }
}

/// SDM 3C "Saving Non-Register State"
u64 pending_debug_to_save(const Cpu& c, const ExitInfo& e, bool movss) {
  const bool debug_exit = e.reason == static_cast<u32>(ExitReason::exception_nmi) && intr_info::vector(e.intr_info) == DB;
  const bool trap_like = e.reason == static_cast<u32>(ExitReason::init) || e.reason == static_cast<u32>(ExitReason::tpr_below_threshold) ||
                         e.reason == static_cast<u32>(ExitReason::mtf);
  if (!trap_like && !(movss && !debug_exit)) return 0;
  const u64 v = c.pending_debug & 0x400f;
  return v | (v & 0xf ? 0x1000 : 0);
}

void save_segment(Cpu& c, unsigned n, const Segment& s) {
  using F = Field;
  write_field(c, nth(F::GUEST_ES_SELECTOR, n), s.sel);
  write_field(c, nth(F::GUEST_ES_BASE, n), s.base);
  write_field(c, nth(F::GUEST_ES_LIMIT, n), s.limit);
  write_field(c, nth(F::GUEST_ES_AR_BYTES, n), s.ar & 0x1f0ff);
}

/// SDM 3C "Saving Guest State"
void save_guest(Cpu& c, const ExitInfo& e) {
  using F = Field;
  const Vmx& v = c.vmx;
  write_field(c, F::GUEST_CR0, c.cr0);
  write_field(c, F::GUEST_CR3, c.cr3);
  write_field(c, F::GUEST_CR4, c.cr4);
  write_field(c, F::GUEST_IA32_SYSENTER_CS, c.msr.sysenter_cs);
  write_field(c, F::GUEST_IA32_SYSENTER_ESP, c.msr.sysenter_esp);
  write_field(c, F::GUEST_IA32_SYSENTER_EIP, c.msr.sysenter_eip);
  if (v.exit & exit_ctl::save_debug) {
    write_field(c, F::GUEST_DR7, c.dr[7]);
    write_field(c, F::GUEST_IA32_DEBUGCTL, c.msr.debugctl);
  }
  if (v.exit & exit_ctl::save_pat) write_field(c, F::GUEST_IA32_PAT, c.msr.pat);
  if (v.exit & exit_ctl::save_efer) write_field(c, F::GUEST_IA32_EFER, c.efer);
  for (unsigned n = 0; n < 6; ++n) save_segment(c, n, c.seg[n]);
  save_segment(c, 6, c.ldtr);
  save_segment(c, 7, c.tr);
  write_field(c, F::GUEST_GDTR_BASE, c.gdtr.base);
  write_field(c, F::GUEST_GDTR_LIMIT, c.gdtr.limit);
  write_field(c, F::GUEST_IDTR_BASE, c.idtr.base);
  write_field(c, F::GUEST_IDTR_LIMIT, c.idtr.limit);
  write_field(c, F::GUEST_RIP, c.rip);
  write_field(c, F::GUEST_RSP, c.r[4]);
  write_field(c, F::GUEST_RFLAGS, (c.rflags() & ~rflags::RF) | (resume_flag(c, e) ? rflags::RF : 0));
  const bool sti = c.sti_shadow || e.sti, movss = c.movss_shadow || e.movss;
  const bool nmi = v.pin & pin_ctl::virtual_nmis ? v.virtual_nmi_blocked : c.nmi_blocked;
  write_field(c, F::GUEST_ACTIVITY_STATE, static_cast<u64>(c.activity));
  write_field(c, F::GUEST_INTERRUPTIBILITY_STATE,
              (sti ? interruptibility::sti : 0) | (movss ? interruptibility::movss : 0) | (nmi ? interruptibility::nmi : 0));
  write_field(c, F::GUEST_PENDING_DBG_EXCEPTIONS, pending_debug_to_save(c, e, movss));
  if (v.pin & pin_ctl::preemption_timer) {
    const u32 left = stop_preemption_timer(c);
    if (v.exit & exit_ctl::save_preemption_timer) write_field(c, F::VMX_PREEMPTION_TIMER_VALUE, left);
  }
  if (v.proc2 & proc2_ctl::ept)
    for (unsigned n = 0; n < 4; ++n)
      if (pae_paging(c.cr0, c.cr4, c.long_mode())) write_field(c, nth(F::GUEST_PDPTE0, n), c.pdpte[n]);
}

constexpr u64 kCr0Kept = cr0::ET | mask(15, 6) | mask(17, 17) | mask(28, 19) | cr0::NW | cr0::CD;

/// SDM 3C "Loading Host Control Registers, Debug Registers, MSRs"
void load_host_registers(Cpu& c, const HostState& h, bool host64) {
  const Vmx& v = c.vmx;
  c.cr0 = (c.cr0 & kCr0Kept) | (h.cr0 & ~kCr0Kept);
  c.cr3 = h.cr3;
  c.cr4 = host64 ? h.cr4 | cr4::PAE : h.cr4 & ~cr4::PCIDE;
  c.dr[7] = 0x400;
  c.msr.debugctl = 0;
  c.msr.sysenter_cs = h.sysenter_cs, c.msr.sysenter_esp = h.sysenter_esp, c.msr.sysenter_eip = h.sysenter_eip;
  if (v.exit & exit_ctl::load_pat) c.msr.pat = h.pat;
  if (v.exit & exit_ctl::load_efer) c.efer = h.efer;
  else c.efer = host64 ? c.efer | efer::LMA | efer::LME : c.efer & ~(efer::LMA | efer::LME);
}

/// SDM 3C "Loading Host Segment and Descriptor-Table Registers", "Loading Host RIP, RSP, RFLAGS, and SSP"
void load_host_segments(Cpu& c, const HostState& h, bool host64) {
  // Access rights: type 11 (CS) or 3, S, P, G; D/B, or L for a 64-bit CS.
  c.seg[CS] = {0, 0xffff'ffff, host64 ? 0xa09bu : 0xc09bu, h.sel[CS]};
  for (Seg s : {ES, SS, DS, FS, GS}) {
    c.seg[s] = {0, 0xffff'ffff, 0xc093, h.sel[s]};
    if (h.sel[s] == 0) c.seg[s].ar = 0x1'0000;
  }
  c.seg[FS].base = h.fs_base;
  c.seg[GS].base = h.gs_base;
  c.tr = {h.tr_base, 0x67, 0x8b, h.sel[6]};
  c.ldtr = {0, 0, 0x1'0000, 0};
  c.gdtr = {h.gdtr_base, 0xffff};
  c.idtr = {h.idtr_base, 0xffff};
  c.rip = h.rip;
  c.r[4] = h.rsp;
  c.set_rflags(2);
}

/// SDM 3C "Loading Host State", "Loading MSRs"
void load_host(Cpu& c, bool nmi) {
  const bool host64 = c.vmx.exit & exit_ctl::host_64;
  if (!host64 && c.long_mode()) return abort(c, 6, "a guest in IA-32e mode has a host outside it");
  const HostState h = read_host(c);
  load_host_registers(c, h, host64);
  load_host_segments(c, h, host64);
  c.activity = Activity::active;
  c.sti_shadow = c.movss_shadow = false;
  c.pending_debug = 0;
  if (nmi) c.nmi_blocked = true;
  const bool vpid = c.vmx.proc2 & proc2_ctl::vpid;
  c.vmx.non_root = false;
  c.vmx.virtual_nmi_blocked = c.vmx.nmi_unblocked_by_iret = c.vmx.tpr_below = c.vmx.mtf_pending = false;
  c.vmx.idt_vectoring_info = c.vmx.idt_vectoring_error = c.vmx.idt_vectoring_length = 0;
  if (!vpid) c.tlb.flush_vpid(0, false);  // SDM 3C "Operations that Invalidate Cached Mappings"
  c.fault.kind = Fault::Kind::none;
  c.want_attention();
  if (pae_paging(c.cr0, c.cr4, c.long_mode())) {
    u64 pdpte[4];
    for (unsigned n = 0; n < 4; ++n) pdpte[n] = c.memory().peek64(Hpa{(c.cr3 & 0xffff'ffe0) + 8 * n});
    if (!pdptes_ok(c.model(), pdpte)) return abort(c, 2, "a host PDPTE has reserved bits set");
    for (unsigned n = 0; n < 4; ++n) c.pdpte[n] = pdpte[n];
  }
  c.update();
  const u32 count = static_cast<u32>(read_field(c, Field::VM_EXIT_MSR_LOAD_COUNT));
  if (count && load_msrs(c, read_field(c, Field::VM_EXIT_MSR_LOAD_ADDR), count, false)) abort(c, 4, "an MSR of the VM-exit MSR-load area cannot be loaded");
}

void tell(Cpu& c, const ExitInfo& e) {
  if (Timing* t = c.timing()) t->event(Cause::vm_exit, t->profile().vm_exit);
  const unsigned basic = e.reason & 0xffff;
  if (basic < std::size(c.stats.exits)) ++c.stats.exits[basic];
  if (EventSink* s = c.out().events())
    s->on({.kind = EventKind::vm_exit, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.rip, .a = basic, .b = e.qualification, .c = e.gpa});
}

}  // namespace

void make_exit(Cpu& c, const ExitInfo& e) {
  tell(c, e);
  record(c, e);
  save_guest(c, e);
  const u32 count = static_cast<u32>(read_field(c, Field::VM_EXIT_MSR_STORE_COUNT));
  if (count && store_msrs(c, read_field(c, Field::VM_EXIT_MSR_STORE_ADDR), count)) return abort(c, 1, "an MSR of the VM-exit MSR-store area cannot be saved");
  const bool nmi = e.event_directly && intr_info::type(e.intr_info) == intr_info::nmi && e.reason == static_cast<u32>(ExitReason::exception_nmi);
  load_host(c, nmi);
}

void fail_entry(Cpu& c, ExitReason reason, u64 qualification) {
  const ExitInfo e{.reason = static_cast<u32>(reason) | 0x8000'0000, .qualification = qualification};
  tell(c, e);
  write_field(c, Field::VM_EXIT_REASON, e.reason);
  write_field(c, Field::EXIT_QUALIFICATION, qualification);
  load_host(c, false);
}

void vm_exit(Cpu& c, ExitReason reason, u64 qualification, u32 instruction_length, u32 instruction_info) {
  make_exit(c, {.reason = static_cast<u32>(reason), .qualification = qualification, .length = instruction_length, .info = instruction_info});
}

void vm_exit_from_fault(Cpu& c) {
  const Fault f = c.fault;
  ExitInfo e;
  e.qualification = f.qualification;
  e.linear = f.address;
  switch (f.kind) {
    case Fault::Kind::ept_violation:
      e.reason = static_cast<u32>(ExitReason::ept_violation);
      e.gpa = f.gpa;
      break;
    case Fault::Kind::ept_misconfig:
      e.reason = static_cast<u32>(ExitReason::ept_misconfig);
      e.gpa = f.gpa;
      e.qualification = e.linear = 0;
      break;
    default:
      CHECK(f.kind == Fault::Kind::vm_exit, "a VM exit from a fault that is none");
      e.reason = f.reason;
      e.info = f.info;
      // Where `intercept` has put them: Fault has no members of its own for these.
      e.length = f.error & 0xff;
      e.sti = f.error & 0x100;
      e.movss = f.error & 0x200;
      break;
  }
  make_exit(c, e);
}

void vm_exit_triple_fault(Cpu& c) { make_exit(c, {.reason = static_cast<u32>(ExitReason::triple_fault)}); }

}  // namespace vt::cpu
