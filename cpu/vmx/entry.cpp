// SPDX-License-Identifier: GPL-2.0-or-later
/// VM entry: from the checks to the first step of the guest.   SDM 3C "VM Entries"
#include "cpu/timing/timing.hpp"
#include "vmx/entry_checks.hpp"

namespace vt::cpu {

namespace {

/// CR0 bits that transitions leave alone: ET, reserved bits 15:6, 17 and 28:19, NW, CD.
/// SDM 3C "Loading Guest Control Registers, Debug Registers, and MSRs"
constexpr u64 kCr0Kept = cr0::ET | mask(15, 6) | mask(17, 17) | mask(28, 19) | cr0::NW | cr0::CD;

/// What the processor keeps of the controls while the guest runs.
void cache_controls(Cpu& c, const Controls& x) {
  Vmx& v = c.vmx;
  v.pin = x.pin, v.proc = x.proc, v.proc2 = x.proc2, v.exit = x.exit, v.entry = x.entry;
  v.exception_bitmap = x.exception_bitmap, v.pf_mask = x.pf_mask, v.pf_match = x.pf_match;
  v.cr0_mask = x.cr0_mask, v.cr4_mask = x.cr4_mask, v.cr0_shadow = x.cr0_shadow, v.cr4_shadow = x.cr4_shadow;
  v.cr3_target_count = x.cr3_target_count;
  for (unsigned n = 0; n < 4; ++n) v.cr3_target[n] = x.cr3_target[n];
  v.eptp = x.proc2 & proc2_ctl::ept ? x.eptp : 0;
  v.vpid = x.proc2 & proc2_ctl::vpid ? x.vpid : u16{0};
  v.tsc_offset = x.proc & proc_ctl::tsc_offsetting ? x.tsc_offset : 0;
  v.io_bitmap_a = x.io_bitmap_a, v.io_bitmap_b = x.io_bitmap_b, v.msr_bitmap = x.msr_bitmap;
  v.virtual_apic = x.proc & proc_ctl::tpr_shadow ? x.virtual_apic : 0;
  v.tpr_threshold = x.proc & proc_ctl::tpr_shadow ? x.tpr_threshold : 0;
  const u64 apic_access = x.proc2 & proc2_ctl::apic_access ? x.apic_access : ~u64{0};
  if (apic_access != v.apic_access) c.drop_host_pointers();  // to the page that is another one now
  v.apic_access = apic_access;
  v.ple_gap = x.ple_gap, v.ple_window = x.ple_window, v.ple_first = v.ple_last = 0;
  v.idt_vectoring_info = v.idt_vectoring_error = v.idt_vectoring_length = 0;
  v.nmi_unblocked_by_iret = false;
}

/// SDM 3C "Loading Guest Control Registers, Debug Registers, and MSRs"
void load_registers(Cpu& c, const Controls& x, const GuestState& g) {
  const bool ia32e = x.entry & entry_ctl::ia32e_guest;
  c.cr0 = (c.cr0 & kCr0Kept) | (g.cr0 & ~kCr0Kept);
  c.cr3 = g.cr3, c.cr4 = g.cr4;
  if (x.entry & entry_ctl::load_debug) {
    c.dr[7] = (g.dr7 & ~u64{0xd000}) | 0x400;
    c.msr.debugctl = g.debugctl;
    if (g.debugctl) c.out().stop().unsupported("IA32_DEBUGCTL of a guest: last branch recording, single-stepping on branches", "SDM 3B \"IA32_DEBUGCTL MSR\"");
  }
  c.msr.sysenter_cs = g.sysenter_cs, c.msr.sysenter_esp = g.sysenter_esp, c.msr.sysenter_eip = g.sysenter_eip;
  if (x.entry & entry_ctl::load_pat) c.msr.pat = g.pat;
  if (x.entry & entry_ctl::load_efer) {
    c.efer = g.efer;
  } else {
    c.efer = ia32e ? c.efer | efer::LMA : c.efer & ~efer::LMA;
    if (g.cr0 & cr0::PG) c.efer = ia32e ? c.efer | efer::LME : c.efer & ~efer::LME;
  }
  if (pae_paging(g.cr0, g.cr4, ia32e))
    for (unsigned n = 0; n < 4; ++n) c.pdpte[n] = x.proc2 & proc2_ctl::ept ? g.pdpte[n] : c.memory().peek64(Hpa{(g.cr3 & 0xffff'ffe0) + 8 * n});
}

/// SDM 3C "Loading Guest Segment Registers and Descriptor-Table Registers", "Loading Guest RIP, RSP, RFLAGS, and SSP"
void load_segments(Cpu& c, const GuestState& g) {
  auto load = [](Segment& to, const Segment& from) {
    to = from;
    to.ar &= 0x1f0ff;
  };
  for (unsigned n = 0; n < 6; ++n) load(c.seg[n], g.seg[n]);
  load(c.ldtr, g.ldtr);
  load(c.tr, g.tr);
  c.gdtr = {g.gdtr_base, static_cast<u16>(g.gdtr_limit)};
  c.idtr = {g.idtr_base, static_cast<u16>(g.idtr_limit)};
  c.r[4] = g.rsp;
  c.rip = g.rip;
  c.set_rflags(g.rflags);
}

/// SDM 3C "Special Features of VM Entry": interruptibility, activity, pending debug exceptions.
void load_non_register(Cpu& c, const Controls& x, const GuestState& g) {
  const bool injecting = intr_info::vectoring(x.intr_info);
  c.vmx.mtf_pending = (x.intr_info & intr_info::valid) && !injecting;
  c.sti_shadow = !injecting && (g.interruptibility & interruptibility::sti);
  c.movss_shadow = !injecting && (g.interruptibility & interruptibility::movss);
  const bool nmi = g.interruptibility & interruptibility::nmi;
  if (x.pin & pin_ctl::virtual_nmis) {
    c.vmx.virtual_nmi_blocked = nmi;
    c.nmi_blocked = false;
  } else {
    c.nmi_blocked = nmi;   // nobody asks about virtual ones
  }
  c.activity = injecting ? Activity::active : static_cast<Activity>(g.activity);

  // "Delivery of Pending Debug Exceptions after VM Entry"
  const intr_info::Type t = intr_info::type(x.intr_info);
  bool lost = false;
  if (injecting) {
    if (t == intr_info::external || t == intr_info::nmi || t == intr_info::hardware_exception || t == intr_info::privileged_software) lost = true;
    else lost = !(g.interruptibility & interruptibility::movss);
  } else {
    lost = c.activity == Activity::shutdown || c.activity == Activity::wait_for_sipi;
  }
  const bool any = g.pending_debug & 0x5000;  // bit 12 (an enabled breakpoint) or BS
  c.pending_debug = lost || !any ? 0 : g.pending_debug & 0x400f;
}

/// SDM 3C "Event Injection". The event is delivered through the guest's IDT within the step of the VM entry; when that faults, so is
/// what follows from it.
void inject(Cpu& c, const Controls& x) {
  using namespace intr_info;
  const u32 info = x.intr_info;
  const Type t = type(info);
  if (t == nmi) {
    if (x.pin & pin_ctl::virtual_nmis) c.vmx.virtual_nmi_blocked = true;
    else c.nmi_blocked = true;
  }
  const bool sw = software(info), code = info & error_code;
  c.vmx.idt_vectoring_info = info;
  c.vmx.idt_vectoring_error = code ? x.intr_error : 0;
  c.vmx.idt_vectoring_length = sw ? x.intr_length : 0;
  u64 return_rip = c.rip;
  if (sw) return_rip = c.code64_now ? return_rip + x.intr_length : static_cast<u32>(return_rip + x.intr_length);
  if (c.deliver_event(vector(info), code, code ? x.intr_error : 0, sw && t != privileged_software, return_rip, t == external || t == nmi)) {
    c.vmx.idt_vectoring_info = c.vmx.idt_vectoring_error = c.vmx.idt_vectoring_length = 0;
    return;
  }
  if (c.fault.kind != Fault::Kind::stopped) c.deliver();
}

}  // namespace

Next vm_entry(Cpu& c, bool launch) {
  const CpuModel& m = c.model();
  const Controls x = read_controls(c);
  if (check_controls(m, x)) return vm_fail(c, VmError::entry_controls, Next::end);
  const HostState h = read_host(c);
  if (check_host(m, x, h, c.long_mode())) return vm_fail(c, VmError::entry_host_state, Next::end);
  const GuestState g = read_guest(c);
  const GuestProblem problem = check_guest(c.memory(), m, x, g);

  cache_controls(c, x);
  if (problem.rule) {
    fail_entry(c, ExitReason::entry_guest_state, problem.qualification);
    c.target = c.rip;
    return Next::leave;
  }
  load_registers(c, x, g);
  load_segments(c, g);
  load_non_register(c, x, g);
  if (!(x.proc2 & proc2_ctl::vpid)) c.tlb.flush_vpid(0, false);  // SDM 3C "Operations that Invalidate Cached Mappings"
  if (u32 bad = load_msrs(c, x.entry_load_addr, x.entry_load_count, true)) {
    fail_entry(c, ExitReason::entry_msr_load, bad);
    c.target = c.rip;
    return Next::leave;
  }
  if (launch) set_launch_state(c.memory(), c.vmx.vmcs, vmcs_page::kLaunched);
  if (Timing* t = c.timing()) t->event(Cause::vm_entry, t->profile().vm_entry);
  c.vmx.non_root = true;
  enter_virtual_apic(c);
  if (x.pin & pin_ctl::preemption_timer) start_preemption_timer(c, x.preemption_timer);
  c.update();
  c.want_attention();
  if (EventSink* s = c.out().events())
    s->on({.kind = EventKind::vm_entry, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.rip, .a = c.vmx.vmcs, .b = c.vmx.eptp});
  if (intr_info::vectoring(x.intr_info)) inject(c, x);
  c.target = c.rip;
  return Next::leave;
}

u32 load_msrs(Cpu& c, u64 area, u32 count, bool entry) {
  for (u32 n = 0; n < count; ++n) {
    if (n == kMaxMsrList) return n + 1;  // beyond what IA32_VMX_MISC recommends: undefined there, refused here
    const Hpa at{area + u64{n} * 16};
    const u64 index = c.memory().peek64(at), value = c.memory().peek64(at + 8);
    if (index >> 32) return n + 1;
    const u32 msr = static_cast<u32>(index);
    if (msr == 0xc000'0100 || msr == 0xc000'0101) return n + 1;  // IA32_FS_BASE, IA32_GS_BASE
    if (msr >> 8 == 8) return n + 1;                             // x2APIC
    if (entry && (msr == 0x79 || msr == 0x8b)) return n + 1;     // IA32_BIOS_UPDT_TRIG, IA32_BIOS_SIGN_ID
    if (!write_msr(c, msr, value)) return n + 1;
  }
  return 0;
}

u32 store_msrs(Cpu& c, u64 area, u32 count) {
  for (u32 n = 0; n < count; ++n) {
    if (n == kMaxMsrList) return n + 1;
    const Hpa at{area + u64{n} * 16};
    const u64 index = c.memory().peek64(at);
    if (index >> 32) return n + 1;
    const u32 msr = static_cast<u32>(index);
    u64 value;
    if (msr >> 8 == 8 || !read_msr(c, msr, value)) return n + 1;
    c.memory().poke64(at + 8, value, WriteCause::vmcs);
  }
  return 0;
}

}  // namespace vt::cpu
