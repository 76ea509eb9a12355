// SPDX-License-Identifier: GPL-2.0-or-later
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

namespace {

bool beyond(const CpuModel& m, u64 a) { return a >> m.physical_address_bits; }
bool page_ok(const CpuModel& m, u64 a) { return !(a & 0xfff) && !beyond(m, a); }

/// An MSR area: 16-byte aligned, first and last byte within the physical-address width.
bool area_ok(const CpuModel& m, u64 addr, u32 count) {
  if (count == 0) return true;
  return !(addr & 15) && !beyond(m, addr) && !beyond(m, addr + u64{count} * 16 - 1);
}

bool pat_ok(u64 pat) {
  for (unsigned n = 0; n < 8; ++n) {
    const u64 t = pat >> (8 * n) & 0xff;
    if (t == 2 || t == 3 || t > 7) return false;
  }
  return true;
}

u64 efer_bits(const CpuModel& m) {
  return (m.has(Feature::syscall) ? efer::SCE : 0) | (m.has(Feature::lm) ? efer::LME | efer::LMA : 0) | (m.has(Feature::nx) ? efer::NXE : 0);
}

// --- SDM 3C "VM-Execution Control Fields" (checks) ------------------------------------------------------
const char* check_execution(const CpuModel& m, const Controls& x) {
  if (!acceptable(allowed(m, Group::pin, true), x.pin)) return "pin-based controls: reserved bits";
  if (!acceptable(allowed(m, Group::proc, true), x.proc)) return "primary processor-based controls: reserved bits";
  if (!acceptable(allowed(m, Group::proc2, true), x.proc2)) return "secondary processor-based controls: reserved bits";
  if (x.cr3_target_count > kCr3Targets) return "CR3-target count";
  if ((x.proc & proc_ctl::io_bitmaps) && (!page_ok(m, x.io_bitmap_a) || !page_ok(m, x.io_bitmap_b))) return "I/O-bitmap addresses";
  if ((x.proc & proc_ctl::msr_bitmaps) && !page_ok(m, x.msr_bitmap)) return "MSR-bitmap address";
  if (x.proc & proc_ctl::tpr_shadow) {
    if (!page_ok(m, x.virtual_apic)) return "virtual-APIC address";
    if (x.tpr_threshold >> 4) return "TPR threshold: reserved bits";
    if (!(x.proc2 & proc2_ctl::apic_access) && x.tpr_threshold > (x.vtpr >> 4 & 15)) return "TPR threshold above VTPR";
  } else if (x.proc2 & proc2_ctl::x2apic) {
    return "virtualize x2APIC mode without use TPR shadow";
  }
  if (!(x.pin & pin_ctl::nmi) && (x.pin & pin_ctl::virtual_nmis)) return "virtual NMIs without NMI exiting";
  if (!(x.pin & pin_ctl::virtual_nmis) && (x.proc & proc_ctl::nmi_window)) return "NMI-window exiting without virtual NMIs";
  if (x.proc2 & proc2_ctl::apic_access) {
    if (!page_ok(m, x.apic_access)) return "APIC-access address";
    if (x.proc2 & proc2_ctl::x2apic) return "virtualize x2APIC mode with virtualize APIC accesses";
  }
  if ((x.proc2 & proc2_ctl::vpid) && x.vpid == 0) return "VPID is 0";
  if ((x.proc2 & proc2_ctl::ept) && !ept::valid(ept_caps(m), ept::Eptp{x.eptp})) return "EPT pointer";
  if ((x.proc2 & proc2_ctl::unrestricted_guest) && !(x.proc2 & proc2_ctl::ept)) return "unrestricted guest without EPT";
  return nullptr;
}

// --- SDM 3C "VM-Exit Control Fields" (checks) -------------------------------------------------------------
const char* check_exit(const CpuModel& m, const Controls& x) {
  if (!acceptable(allowed(m, Group::exit, true), x.exit)) return "VM-exit controls: reserved bits";
  if (!(x.pin & pin_ctl::preemption_timer) && (x.exit & exit_ctl::save_preemption_timer)) return "save VMX-preemption timer value without the timer";
  if (!area_ok(m, x.exit_store_addr, x.exit_store_count)) return "VM-exit MSR-store area";
  if (!area_ok(m, x.exit_load_addr, x.exit_load_count)) return "VM-exit MSR-load area";
  return nullptr;
}

// --- SDM 3C "VM-Entry Control Fields" (checks) ------------------------------------------------------------
const char* check_injection(const Controls& x) {
  using namespace intr_info;
  if (!(x.intr_info & valid)) return nullptr;
  const Type t = type(x.intr_info);
  const u8 v = vector(x.intr_info);
  if (t == reserved || t == other) return "interruption type";  // "other event" needs the monitor trap flag
  if (t == nmi && v != 2) return "NMI with a vector other than 2";
  if (t == hardware_exception && v > 31) return "hardware exception with a vector above 31";
  const bool pe = !(x.proc2 & proc2_ctl::unrestricted_guest) || (x.guest_cr0 & cr0::PE);
  const bool has_code = v == DF || (v >= TS && v <= PF) || v == AC;
  const bool want = pe && t == hardware_exception && has_code;
  if (static_cast<bool>(x.intr_info & error_code) != want) return "deliver-error-code bit";
  if (x.intr_info & 0x7fff'f000) return "reserved bits of the interruption information";
  if (want && x.intr_error >> 16) return "exception error code";
  if (software(x.intr_info) && (x.intr_length == 0 || x.intr_length > 15)) return "instruction length";
  return nullptr;
}
const char* check_entry(const CpuModel& m, const Controls& x) {
  if (!acceptable(allowed(m, Group::entry, true), x.entry)) return "VM-entry controls: reserved bits";
  if (const char* e = check_injection(x)) return e;
  if (!area_ok(m, x.entry_load_addr, x.entry_load_count)) return "VM-entry MSR-load area";
  return nullptr;
}

}  // namespace

const char* check_controls(const CpuModel& m, const Controls& x) {
  if (const char* e = check_execution(m, x)) return e;
  if (const char* e = check_exit(m, x)) return e;
  return check_entry(m, x);
}

const char* check_host(const CpuModel& m, const Controls& x, const HostState& h, bool lma) {
  const bool host64 = x.exit & exit_ctl::host_64;
  // "Checks on Host Control Registers, MSRs, and SSP"
  if ((h.cr0 & kCr0Fixed0) != kCr0Fixed0 || (h.cr0 & ~kCr0Fixed1)) return "CR0";
  if ((h.cr4 & kCr4Fixed0) != kCr4Fixed0 || (h.cr4 & ~cr4_fixed1(m))) return "CR4";
  if (beyond(m, h.cr3)) return "CR3";
  if (!canonical(h.sysenter_esp) || !canonical(h.sysenter_eip)) return "IA32_SYSENTER_ESP or IA32_SYSENTER_EIP";
  if ((x.exit & exit_ctl::load_pat) && !pat_ok(h.pat)) return "IA32_PAT";
  if (x.exit & exit_ctl::load_efer) {
    if (h.efer & ~efer_bits(m)) return "IA32_EFER: reserved bits";
    if (static_cast<bool>(h.efer & efer::LMA) != host64 || static_cast<bool>(h.efer & efer::LME) != host64) return "IA32_EFER: LMA and LME";
  }
  // "Checks on Host Segment and Descriptor-Table Registers"
  for (u16 s : h.sel) if (s & 7) return "selector with RPL or TI";
  if (h.sel[CS] == 0) return "CS selector is 0";
  if (h.sel[6] == 0) return "TR selector is 0";
  if (!host64 && h.sel[SS] == 0) return "SS selector is 0";
  for (u64 b : {h.fs_base, h.gs_base, h.gdtr_base, h.idtr_base, h.tr_base}) if (!canonical(b)) return "base address not canonical";
  // "Checks Related to Address-Space Size"
  if (!lma && ((x.entry & entry_ctl::ia32e_guest) || host64)) return "64-bit guest or host outside IA-32e mode";
  if (lma && !host64) return "host address-space size in IA-32e mode";
  if (!host64) {
    if (x.entry & entry_ctl::ia32e_guest) return "IA-32e mode guest of a 32-bit host";
    if (h.cr4 & cr4::PCIDE) return "CR4.PCIDE of a 32-bit host";
    if (h.rip >> 32) return "RIP of a 32-bit host";
  } else {
    if (!(h.cr4 & cr4::PAE)) return "CR4.PAE of a 64-bit host";
    if (!canonical(h.rip)) return "RIP";
  }
  return nullptr;
}

namespace {

// --- SDM 3C "Checks on Guest Control Registers, Debug Registers, and MSRs" -----------------------------------
const char* check_guest_registers(const CpuModel& m, const Controls& x, const GuestState& g) {
  const bool ug = x.proc2 & proc2_ctl::unrestricted_guest, ia32e = x.entry & entry_ctl::ia32e_guest;
  const u64 fixed = ug ? kCr0Fixed0 & ~(cr0::PE | cr0::PG) : kCr0Fixed0;
  if ((g.cr0 & fixed) != fixed || (g.cr0 & ~kCr0Fixed1)) return "CR0";
  if ((g.cr0 & cr0::PG) && !(g.cr0 & cr0::PE)) return "CR0.PG without CR0.PE";
  if ((g.cr4 & kCr4Fixed0) != kCr4Fixed0 || (g.cr4 & ~cr4_fixed1(m))) return "CR4";
  if (x.entry & entry_ctl::load_debug) {
    if (g.debugctl & ~kDebugctlBits) return "IA32_DEBUGCTL";
    if (g.dr7 >> 32) return "DR7";
  }
  if (ia32e && (!(g.cr0 & cr0::PG) || !(g.cr4 & cr4::PAE))) return "IA-32e mode guest without CR0.PG and CR4.PAE";
  if (!ia32e && (g.cr4 & cr4::PCIDE)) return "CR4.PCIDE outside IA-32e mode";
  if (beyond(m, g.cr3)) return "CR3";
  if (!canonical(g.sysenter_esp) || !canonical(g.sysenter_eip)) return "IA32_SYSENTER_ESP or IA32_SYSENTER_EIP";
  if ((x.entry & entry_ctl::load_pat) && !pat_ok(g.pat)) return "IA32_PAT";
  if (x.entry & entry_ctl::load_efer) {
    if (g.efer & ~efer_bits(m)) return "IA32_EFER: reserved bits";
    if (static_cast<bool>(g.efer & efer::LMA) != ia32e) return "IA32_EFER.LMA";
    if ((g.cr0 & cr0::PG) && static_cast<bool>(g.efer & efer::LME) != ia32e) return "IA32_EFER.LME";
  }
  return nullptr;
}

/// Bits 11:8 and 31:17, P, and G against the limit.
const char* check_common_rights(const Segment& s) {
  if (!s.present()) return "segment not present";
  if (s.ar & 0xfffe'0f00) return "access rights: reserved bits";
  const bool g = s.ar & 0x8000;
  if ((s.limit & 0xfff) != 0xfff && g) return "granularity with low limit bits clear";
  if ((s.limit >> 20) != 0 && !g) return "limit needs granularity";
  return nullptr;
}

const char* check_code_segment(const Controls& x, const GuestState& g) {
  const Segment &cs = g.seg[CS], &ss = g.seg[SS];
  const bool ug = x.proc2 & proc2_ctl::unrestricted_guest;
  const unsigned t = cs.type();
  if (!(t == 9 || t == 11 || t == 13 || t == 15 || (t == 3 && ug))) return "CS type";
  if (!cs.s()) return "CS is a system segment";
  if (t == 3 && cs.dpl() != 0) return "CS.DPL";
  if ((t == 9 || t == 11) && cs.dpl() != ss.dpl()) return "CS.DPL is not SS.DPL";
  if ((t == 13 || t == 15) && cs.dpl() > ss.dpl()) return "CS.DPL above SS.DPL";
  if (const char* e = check_common_rights(cs)) return e;
  if ((x.entry & entry_ctl::ia32e_guest) && cs.l() && cs.db()) return "CS.L and CS.D";
  return nullptr;
}

// --- SDM 3C "Checks on Guest Segment Registers" -------------------------------------------------------------
const char* check_guest_segments(const Controls& x, const GuestState& g) {
  const bool v86 = g.rflags & rflags::VM, ug = x.proc2 & proc2_ctl::unrestricted_guest, ia32e = x.entry & entry_ctl::ia32e_guest;
  const Segment &cs = g.seg[CS], &ss = g.seg[SS];
  if (g.tr.sel & 4) return "TR selector's TI";
  if (!g.ldtr.unusable() && (g.ldtr.sel & 4)) return "LDTR selector's TI";
  if (!v86 && !ug && (ss.sel & 3) != (cs.sel & 3)) return "SS.RPL is not CS.RPL";
  if (v86)
    for (const Segment& s : g.seg) if (s.base != static_cast<u64>(s.sel) << 4) return "base in virtual-8086 mode";
  if (!canonical(g.tr.base) || !canonical(g.seg[FS].base) || !canonical(g.seg[GS].base)) return "base address not canonical";
  if (!g.ldtr.unusable() && !canonical(g.ldtr.base)) return "LDTR base not canonical";
  if (cs.base >> 32) return "CS base above 4 GiB";
  for (Seg s : {SS, DS, ES}) if (!g.seg[s].unusable() && g.seg[s].base >> 32) return "SS, DS or ES base above 4 GiB";
  if (v86) {
    for (const Segment& s : g.seg) if (s.limit != 0xffff) return "limit in virtual-8086 mode";
    for (const Segment& s : g.seg) if (s.ar != 0xf3) return "access rights in virtual-8086 mode";
  } else {
    if (const char* e = check_code_segment(x, g)) return e;
    if (!ss.unusable() && ss.type() != 3 && ss.type() != 7) return "SS type";
    if (!ug && ss.dpl() != (ss.sel & 3u)) return "SS.DPL is not SS.RPL";
    if ((cs.type() == 3 || !(g.cr0 & cr0::PE)) && ss.dpl() != 0) return "SS.DPL";
    if (!ss.unusable()) {
      if (!ss.s()) return "SS is a system segment";
      if (const char* e = check_common_rights(ss)) return e;
    }
    for (Seg n : {DS, ES, FS, GS}) {
      const Segment& s = g.seg[n];
      if (s.unusable()) continue;
      if (!(s.type() & 1)) return "data segment not accessed";
      if ((s.type() & 8) && !(s.type() & 2)) return "data segment not readable";
      if (!s.s()) return "data segment is a system segment";
      if (!ug && s.type() < 12 && s.dpl() < (s.sel & 3u)) return "data segment's DPL below RPL";
      if (const char* e = check_common_rights(s)) return e;
    }
  }
  // TR and LDTR
  if (!(g.tr.type() == 11 || (!ia32e && g.tr.type() == 3))) return "TR type";
  if (g.tr.s()) return "TR is no system segment";
  if (g.tr.unusable()) return "TR unusable";
  if (const char* e = check_common_rights(g.tr)) return e;
  if (!g.ldtr.unusable()) {
    if (g.ldtr.type() != 2) return "LDTR type";
    if (g.ldtr.s()) return "LDTR is no system segment";
    if (const char* e = check_common_rights(g.ldtr)) return e;
  }
  return nullptr;
}

// --- SDM 3C "Checks on Guest Descriptor-Table Registers", "Checks on Guest RIP, RFLAGS, and SSP" --------------
const char* check_guest_tables_rip(const Controls& x, const GuestState& g) {
  if (!canonical(g.gdtr_base) || !canonical(g.idtr_base)) return "GDTR or IDTR base";
  if (g.gdtr_limit >> 16 || g.idtr_limit >> 16) return "GDTR or IDTR limit";
  const bool ia32e = x.entry & entry_ctl::ia32e_guest;
  if (!ia32e || !g.seg[CS].l()) {
    if (g.rip >> 32) return "RIP above 4 GiB";
  } else if (!canonical(g.rip)) {
    return "RIP not canonical";
  }
  if ((g.rflags & 0xffff'ffff'ffc0'8028) || !(g.rflags & 2)) return "RFLAGS: reserved bits";
  if ((g.rflags & rflags::VM) && (ia32e || !(g.cr0 & cr0::PE))) return "RFLAGS.VM";
  if ((x.intr_info & intr_info::valid) && intr_info::type(x.intr_info) == intr_info::external && !(g.rflags & rflags::IF))
    return "RFLAGS.IF is 0 with an external interrupt";
  return nullptr;
}

// --- SDM 3C "Checks on Guest Non-Register State" -------------------------------------------------------------
GuestProblem check_guest_non_register(const PhysMem& mem, const CpuModel& m, const Controls& x, const GuestState& g) {
  using namespace interruptibility;
  if (g.activity > 3) return {"activity state"};
  if (g.activity == 1 && g.seg[SS].dpl() != 0) return {"HLT with SS.DPL not 0"};
  if (g.activity != 0 && (g.interruptibility & (sti | movss))) return {"not active, with blocking by STI or MOV SS"};
  const bool injecting = x.intr_info & intr_info::valid;
  const intr_info::Type t = intr_info::type(x.intr_info);
  const u8 v = intr_info::vector(x.intr_info);
  if (injecting) {
    bool ok = true;
    switch (g.activity) {
      case 1: ok = t == intr_info::external || t == intr_info::nmi || (t == intr_info::hardware_exception && (v == DB || v == MC)); break;
      case 2: ok = t == intr_info::nmi || (t == intr_info::hardware_exception && v == MC); break;
      case 3: ok = false; break;
      default: break;
    }
    if (!ok) return {"event that the activity state does not take"};
  }
  if (g.interruptibility & ~u32{0xf}) return {"interruptibility: reserved bits"};
  if ((g.interruptibility & (sti | movss)) == (sti | movss)) return {"blocking by STI and by MOV SS"};
  if ((g.interruptibility & sti) && !(g.rflags & rflags::IF)) return {"blocking by STI with RFLAGS.IF 0"};
  if (injecting && t == intr_info::external && (g.interruptibility & (sti | movss))) return {"external interrupt while blocked"};
  if (injecting && t == intr_info::nmi && (g.interruptibility & movss)) return {"NMI under blocking by MOV SS"};
  if (g.interruptibility & smi) return {"blocking by SMI outside SMM"};
  if (injecting && t == intr_info::nmi && (x.pin & pin_ctl::virtual_nmis) && (g.interruptibility & nmi)) return {"NMI under virtual-NMI blocking"};
  if (g.pending_debug & ~u64{0x500f}) return {"pending debug exceptions: reserved bits"};
  if ((g.interruptibility & (sti | movss)) || g.activity == 1) {
    const bool want = (g.rflags & rflags::TF) && !(g.debugctl & 2);
    if (static_cast<bool>(g.pending_debug & 0x4000) != want) return {"pending debug exceptions: BS against RFLAGS.TF"};
  }
  if (g.link != ~u64{0}) {
    if (!page_ok(m, g.link)) return {"VMCS link pointer", 4};
    if (g.link == g.current) return {"VMCS link pointer: the current VMCS", 4};
    if (mem.peek32(Hpa{g.link}) != vmcs_page::kRevision) return {"VMCS link pointer: revision or shadow bit", 4};
  }
  return {};
}

}  // namespace

bool pdptes_ok(const CpuModel& m, const u64 (&pdpte)[4]) {
  const u64 reserved = mask(63, m.physical_address_bits) | 0x1e6;
  for (u64 e : pdpte) if ((e & 1) && (e & reserved)) return false;
  return true;
}

GuestProblem check_guest(const PhysMem& mem, const CpuModel& m, const Controls& x, const GuestState& g) {
  if (const char* e = check_guest_registers(m, x, g)) return {e};
  if (const char* e = check_guest_segments(x, g)) return {e};
  if (const char* e = check_guest_tables_rip(x, g)) return {e};
  if (GuestProblem p = check_guest_non_register(mem, m, x, g); p.rule) return p;
  // "Checks on Guest Page-Directory-Pointer-Table Entries"
  if (pae_paging(g.cr0, g.cr4, x.entry & entry_ctl::ia32e_guest)) {
    u64 pdpte[4];
    for (unsigned n = 0; n < 4; ++n) pdpte[n] = x.proc2 & proc2_ctl::ept ? g.pdpte[n] : mem.peek64(Hpa{(g.cr3 & 0xffff'ffe0) + 8 * n});
    if (!pdptes_ok(m, pdpte)) return {"PDPTEs", 2};
  }
  return {};
}

}  // namespace vt::cpu
