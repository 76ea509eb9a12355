// SPDX-License-Identifier: GPL-2.0-or-later
/// The checks of VM entry, one row each, in the manual's order.   SDM 3C "VM Entries"
#include "vmx/entry_checks.hpp"

namespace vt::cpu {

namespace {

using K = const EntryContext&;

bool beyond(K k, u64 a) { return a >> k.model.physical_address_bits; }
bool page_ok(K k, u64 a) { return !(a & 0xfff) && !beyond(k, a); }
/// An MSR area: 16-byte aligned, first and last byte within the physical-address width.
bool area_ok(K k, u64 addr, u32 count) { return count == 0 || (!(addr & 15) && !beyond(k, addr) && !beyond(k, addr + u64{count} * 16 - 1)); }
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

bool pin(K k, u32 control) { return k.x.pin & control; }
bool proc(K k, u32 control) { return k.x.proc & control; }
bool proc2(K k, u32 control) { return k.x.proc2 & control; }
bool host64(K k) { return k.x.exit & exit_ctl::host_64; }
bool ia32e(K k) { return k.x.entry & entry_ctl::ia32e_guest; }
bool unrestricted(K k) { return proc2(k, proc2_ctl::unrestricted_guest); }
bool injects(K k) { return k.x.intr_info & intr_info::valid; }
bool injects(K k, intr_info::Type t) { return injects(k) && intr_info::type(k.x.intr_info) == t; }
u8 vector(K k) { return intr_info::vector(k.x.intr_info); }
bool wants_error_code(K k) {
  const bool pe = !unrestricted(k) || (k.x.guest_cr0 & cr0::PE);
  const u8 v = vector(k);
  return pe && injects(k, intr_info::hardware_exception) && (v == DF || (v >= TS && v <= PF) || v == AC);
}

// --- VMfail 7 -----------------------------------------------------------------------------------------------
constexpr const char *kExecution = "VM-Execution Control Fields", *kExit = "VM-Exit Control Fields", *kEntry = "VM-Entry Control Fields";
constexpr EntryRule kControlRules[] = {
    {kExecution, "pin-based controls: reserved bits", [](K k) { return !acceptable(allowed(k.model, Group::pin, true), k.x.pin); }},
    {kExecution, "primary processor-based controls: reserved bits", [](K k) { return !acceptable(allowed(k.model, Group::proc, true), k.x.proc); }},
    {kExecution, "secondary processor-based controls: reserved bits", [](K k) { return !acceptable(allowed(k.model, Group::proc2, true), k.x.proc2); }},
    {kExecution, "CR3-target count", [](K k) { return k.x.cr3_target_count > kCr3Targets; }},
    {kExecution, "I/O-bitmap addresses", [](K k) { return proc(k, proc_ctl::io_bitmaps) && (!page_ok(k, k.x.io_bitmap_a) || !page_ok(k, k.x.io_bitmap_b)); }},
    {kExecution, "MSR-bitmap address", [](K k) { return proc(k, proc_ctl::msr_bitmaps) && !page_ok(k, k.x.msr_bitmap); }},
    {kExecution, "virtual-APIC address", [](K k) { return proc(k, proc_ctl::tpr_shadow) && !page_ok(k, k.x.virtual_apic); }},
    {kExecution, "TPR threshold: reserved bits", [](K k) { return proc(k, proc_ctl::tpr_shadow) && (k.x.tpr_threshold >> 4); }},
    {kExecution, "TPR threshold above VTPR",
     [](K k) { return proc(k, proc_ctl::tpr_shadow) && !proc2(k, proc2_ctl::apic_access) && k.x.tpr_threshold > (k.x.vtpr >> 4 & 15); }},
    {kExecution, "virtualize x2APIC mode without use TPR shadow", [](K k) { return proc2(k, proc2_ctl::x2apic) && !proc(k, proc_ctl::tpr_shadow); }},
    {kExecution, "virtual NMIs without NMI exiting", [](K k) { return pin(k, pin_ctl::virtual_nmis) && !pin(k, pin_ctl::nmi); }},
    {kExecution, "NMI-window exiting without virtual NMIs", [](K k) { return proc(k, proc_ctl::nmi_window) && !pin(k, pin_ctl::virtual_nmis); }},
    {kExecution, "APIC-access address", [](K k) { return proc2(k, proc2_ctl::apic_access) && !page_ok(k, k.x.apic_access); }},
    {kExecution, "virtualize x2APIC mode with virtualize APIC accesses", [](K k) { return proc2(k, proc2_ctl::x2apic) && proc2(k, proc2_ctl::apic_access); }},
    {kExecution, "VPID is 0", [](K k) { return proc2(k, proc2_ctl::vpid) && k.x.vpid == 0; }},
    {kExecution, "EPT pointer", [](K k) { return proc2(k, proc2_ctl::ept) && !ept::valid(ept_caps(k.model), ept::Eptp{k.x.eptp}); }},
    {kExecution, "unrestricted guest without EPT", [](K k) { return unrestricted(k) && !proc2(k, proc2_ctl::ept); }},

    {kExit, "VM-exit controls: reserved bits", [](K k) { return !acceptable(allowed(k.model, Group::exit, true), k.x.exit); }},
    {kExit, "save VMX-preemption timer value without the timer", [](K k) { return (k.x.exit & exit_ctl::save_preemption_timer) && !pin(k, pin_ctl::preemption_timer); }},
    {kExit, "VM-exit MSR-store area", [](K k) { return !area_ok(k, k.x.exit_store_addr, k.x.exit_store_count); }},
    {kExit, "VM-exit MSR-load area", [](K k) { return !area_ok(k, k.x.exit_load_addr, k.x.exit_load_count); }},

    {kEntry, "VM-entry controls: reserved bits", [](K k) { return !acceptable(allowed(k.model, Group::entry, true), k.x.entry); }},
    {kEntry, "interruption type", [](K k) { return injects(k, intr_info::reserved); }},
    {kEntry, "other event with a vector other than 0", [](K k) { return injects(k, intr_info::other) && vector(k) != 0; }},  // a pending MTF VM exit
    {kEntry, "NMI with a vector other than 2", [](K k) { return injects(k, intr_info::nmi) && vector(k) != 2; }},
    {kEntry, "hardware exception with a vector above 31", [](K k) { return injects(k, intr_info::hardware_exception) && vector(k) > 31; }},
    {kEntry, "deliver-error-code bit", [](K k) { return injects(k) && static_cast<bool>(k.x.intr_info & intr_info::error_code) != wants_error_code(k); }},
    {kEntry, "reserved bits of the interruption information", [](K k) { return injects(k) && (k.x.intr_info & 0x7fff'f000); }},
    {kEntry, "exception error code", [](K k) { return wants_error_code(k) && k.x.intr_error >> 16; }},
    {kEntry, "instruction length", [](K k) { return injects(k) && intr_info::software(k.x.intr_info) && (k.x.intr_length == 0 || k.x.intr_length > 15); }},
    {kEntry, "VM-entry MSR-load area", [](K k) { return !area_ok(k, k.x.entry_load_addr, k.x.entry_load_count); }},
};

// --- VMfail 8 -----------------------------------------------------------------------------------------------
constexpr const char *kHostRegisters = "Checks on Host Control Registers, MSRs, and SSP", *kHostSegments = "Checks on Host Segment and Descriptor-Table Registers",
                     *kAddressSpace = "Checks Related to Address-Space Size";
constexpr EntryRule kHostRules[] = {
    {kHostRegisters, "CR0", [](K k) { return (k.h->cr0 & kCr0Fixed0) != kCr0Fixed0 || (k.h->cr0 & ~kCr0Fixed1); }},
    {kHostRegisters, "CR4", [](K k) { return (k.h->cr4 & kCr4Fixed0) != kCr4Fixed0 || (k.h->cr4 & ~cr4_fixed1(k.model)); }},
    {kHostRegisters, "CR3", [](K k) { return beyond(k, k.h->cr3); }},
    {kHostRegisters, "IA32_SYSENTER_ESP or IA32_SYSENTER_EIP", [](K k) { return !canonical(k.h->sysenter_esp) || !canonical(k.h->sysenter_eip); }},
    {kHostRegisters, "IA32_PAT", [](K k) { return (k.x.exit & exit_ctl::load_pat) && !pat_ok(k.h->pat); }},
    {kHostRegisters, "IA32_EFER: reserved bits", [](K k) { return (k.x.exit & exit_ctl::load_efer) && (k.h->efer & ~efer_bits(k.model)); }},
    {kHostRegisters, "IA32_EFER: LMA and LME",
     [](K k) {
       return (k.x.exit & exit_ctl::load_efer) && (static_cast<bool>(k.h->efer & efer::LMA) != host64(k) || static_cast<bool>(k.h->efer & efer::LME) != host64(k));
     }},
    {kHostSegments, "selector with RPL or TI",
     [](K k) {
       for (u16 s : k.h->sel) if (s & 7) return true;
       return false;
     }},
    {kHostSegments, "CS selector is 0", [](K k) { return k.h->sel[CS] == 0; }},
    {kHostSegments, "TR selector is 0", [](K k) { return k.h->sel[6] == 0; }},
    {kHostSegments, "SS selector is 0", [](K k) { return !host64(k) && k.h->sel[SS] == 0; }},
    {kHostSegments, "base address not canonical",
     [](K k) {
       for (u64 b : {k.h->fs_base, k.h->gs_base, k.h->gdtr_base, k.h->idtr_base, k.h->tr_base}) if (!canonical(b)) return true;
       return false;
     }},
    {kAddressSpace, "64-bit guest or host outside IA-32e mode", [](K k) { return !k.lma && (ia32e(k) || host64(k)); }},
    {kAddressSpace, "host address-space size in IA-32e mode", [](K k) { return k.lma && !host64(k); }},
    {kAddressSpace, "CR4.PCIDE of a 32-bit host", [](K k) { return !host64(k) && (k.h->cr4 & cr4::PCIDE); }},
    {kAddressSpace, "RIP of a 32-bit host", [](K k) { return !host64(k) && k.h->rip >> 32; }},
    {kAddressSpace, "CR4.PAE of a 64-bit host", [](K k) { return host64(k) && !(k.h->cr4 & cr4::PAE); }},
    {kAddressSpace, "RIP", [](K k) { return host64(k) && !canonical(k.h->rip); }},
};

// --- exit 33 ------------------------------------------------------------------------------------------------
bool v86(K k) { return k.g->rflags & rflags::VM; }
const Segment& cs(K k) { return k.g->seg[CS]; }
const Segment& ss(K k) { return k.g->seg[SS]; }

/// Does `broken` hold for one of the guest's segment registers in `which` (bits by number; 6: LDTR, 7: TR) that is usable? CS and TR always count.
template <class F>
bool any(K k, unsigned which, F broken) {
  for (unsigned n = 0; n < 8; ++n) {
    const Segment& s = n < 6 ? k.g->seg[n] : n == 6 ? k.g->ldtr : k.g->tr;
    if ((which >> n & 1) && (n == CS || n == 7 || !s.unusable()) && broken(s)) return true;
  }
  return false;
}
constexpr unsigned kLdtr = 1u << 6, kTr = 1u << 7, kSix = 0x3f, kData = 1u << DS | 1u << ES | 1u << FS | 1u << GS;
/// Registers whose rights are looked at one by one: in virtual-8086 mode they are one fixed value.
unsigned looked_at(K k) { return v86(k) ? kLdtr | kTr : kSix | kLdtr | kTr; }

constexpr const char *kRegisters = "Checks on Guest Control Registers, Debug Registers, and MSRs", *kSegments = "Checks on Guest Segment Registers",
                     *kTables = "Checks on Guest Descriptor-Table Registers", *kRip = "Checks on Guest RIP, RFLAGS, and SSP",
                     *kNonRegister = "Checks on Guest Non-Register State", *kPdptes = "Checks on Guest Page-Directory-Pointer-Table Entries";
namespace block = interruptibility;
bool blocked(K k, u32 bits) { return k.g->interruptibility & bits; }

constexpr EntryRule kGuestRules[] = {
    {kRegisters, "CR0",
     [](K k) {
       const u64 fixed = unrestricted(k) ? kCr0Fixed0 & ~(cr0::PE | cr0::PG) : kCr0Fixed0;
       return (k.g->cr0 & fixed) != fixed || (k.g->cr0 & ~kCr0Fixed1);
     }},
    {kRegisters, "CR0.PG without CR0.PE", [](K k) { return (k.g->cr0 & cr0::PG) && !(k.g->cr0 & cr0::PE); }},
    {kRegisters, "CR4", [](K k) { return (k.g->cr4 & kCr4Fixed0) != kCr4Fixed0 || (k.g->cr4 & ~cr4_fixed1(k.model)); }},
    {kRegisters, "IA32_DEBUGCTL", [](K k) { return (k.x.entry & entry_ctl::load_debug) && (k.g->debugctl & ~kDebugctlBits); }},
    {kRegisters, "DR7", [](K k) { return (k.x.entry & entry_ctl::load_debug) && k.g->dr7 >> 32; }},
    {kRegisters, "IA-32e mode guest without CR0.PG and CR4.PAE", [](K k) { return ia32e(k) && (!(k.g->cr0 & cr0::PG) || !(k.g->cr4 & cr4::PAE)); }},
    {kRegisters, "CR4.PCIDE outside IA-32e mode", [](K k) { return !ia32e(k) && (k.g->cr4 & cr4::PCIDE); }},
    {kRegisters, "CR3", [](K k) { return beyond(k, k.g->cr3); }},
    {kRegisters, "IA32_SYSENTER_ESP or IA32_SYSENTER_EIP", [](K k) { return !canonical(k.g->sysenter_esp) || !canonical(k.g->sysenter_eip); }},
    {kRegisters, "IA32_PAT", [](K k) { return (k.x.entry & entry_ctl::load_pat) && !pat_ok(k.g->pat); }},
    {kRegisters, "IA32_EFER: reserved bits", [](K k) { return (k.x.entry & entry_ctl::load_efer) && (k.g->efer & ~efer_bits(k.model)); }},
    {kRegisters, "IA32_EFER.LMA", [](K k) { return (k.x.entry & entry_ctl::load_efer) && static_cast<bool>(k.g->efer & efer::LMA) != ia32e(k); }},
    {kRegisters, "IA32_EFER.LME",
     [](K k) { return (k.x.entry & entry_ctl::load_efer) && (k.g->cr0 & cr0::PG) && static_cast<bool>(k.g->efer & efer::LME) != ia32e(k); }},

    {kSegments, "TR selector's TI", [](K k) { return (k.g->tr.sel & 4) != 0; }},
    {kSegments, "LDTR selector's TI", [](K k) { return any(k, kLdtr, [](const Segment& s) { return s.sel & 4; }); }},
    {kSegments, "SS.RPL is not CS.RPL", [](K k) { return !v86(k) && !unrestricted(k) && (ss(k).sel & 3) != (cs(k).sel & 3); }},
    {kSegments, "base in virtual-8086 mode",
     [](K k) {
       if (v86(k)) for (const Segment& s : k.g->seg) if (s.base != static_cast<u64>(s.sel) << 4) return true;
       return false;
     }},
    {kSegments, "base address not canonical", [](K k) { return !canonical(k.g->tr.base) || !canonical(k.g->seg[FS].base) || !canonical(k.g->seg[GS].base); }},
    {kSegments, "LDTR base not canonical", [](K k) { return any(k, kLdtr, [](const Segment& s) { return !canonical(s.base); }); }},
    {kSegments, "CS base above 4 GiB", [](K k) { return cs(k).base >> 32 != 0; }},
    {kSegments, "SS, DS or ES base above 4 GiB", [](K k) { return any(k, 1u << SS | 1u << DS | 1u << ES, [](const Segment& s) { return s.base >> 32; }); }},
    {kSegments, "limit in virtual-8086 mode",
     [](K k) {
       if (v86(k)) for (const Segment& s : k.g->seg) if (s.limit != 0xffff) return true;
       return false;
     }},
    {kSegments, "access rights in virtual-8086 mode",
     [](K k) {
       if (v86(k)) for (const Segment& s : k.g->seg) if (s.ar != 0xf3) return true;
       return false;
     }},
    {kSegments, "CS type",
     [](K k) {
       const unsigned t = cs(k).type();
       return !v86(k) && !(t == 9 || t == 11 || t == 13 || t == 15 || (t == 3 && unrestricted(k)));
     }},
    {kSegments, "SS type", [](K k) { return !v86(k) && !ss(k).unusable() && ss(k).type() != 3 && ss(k).type() != 7; }},
    {kSegments, "data segment not accessed", [](K k) { return !v86(k) && any(k, kData, [](const Segment& s) { return !(s.type() & 1); }); }},
    {kSegments, "data segment not readable", [](K k) { return !v86(k) && any(k, kData, [](const Segment& s) { return (s.type() & 8) && !(s.type() & 2); }); }},
    {kSegments, "CS is a system segment", [](K k) { return !v86(k) && !cs(k).s(); }},
    {kSegments, "SS is a system segment", [](K k) { return !v86(k) && any(k, 1u << SS, [](const Segment& s) { return !s.s(); }); }},
    {kSegments, "data segment is a system segment", [](K k) { return !v86(k) && any(k, kData, [](const Segment& s) { return !s.s(); }); }},
    {kSegments, "CS.DPL", [](K k) { return !v86(k) && cs(k).type() == 3 && cs(k).dpl() != 0; }},
    {kSegments, "CS.DPL is not SS.DPL", [](K k) { return !v86(k) && (cs(k).type() == 9 || cs(k).type() == 11) && cs(k).dpl() != ss(k).dpl(); }},
    {kSegments, "CS.DPL above SS.DPL", [](K k) { return !v86(k) && (cs(k).type() == 13 || cs(k).type() == 15) && cs(k).dpl() > ss(k).dpl(); }},
    {kSegments, "SS.DPL is not SS.RPL", [](K k) { return !v86(k) && !unrestricted(k) && ss(k).dpl() != (ss(k).sel & 3u); }},
    {kSegments, "SS.DPL", [](K k) { return !v86(k) && (cs(k).type() == 3 || !(k.g->cr0 & cr0::PE)) && ss(k).dpl() != 0; }},
    {kSegments, "data segment's DPL below RPL",
     [](K k) { return !v86(k) && !unrestricted(k) && any(k, kData, [](const Segment& s) { return s.type() < 12 && s.dpl() < (s.sel & 3u); }); }},
    {kSegments, "segment not present", [](K k) { return any(k, looked_at(k), [](const Segment& s) { return !s.present(); }); }},
    {kSegments, "TR unusable", [](K k) { return k.g->tr.unusable(); }},
    {kSegments, "access rights: reserved bits", [](K k) { return any(k, looked_at(k), [](const Segment& s) { return s.ar & 0xfffe'0f00; }); }},
    {kSegments, "CS.L and CS.D", [](K k) { return ia32e(k) && cs(k).l() && cs(k).db(); }},
    {kSegments, "granularity with low limit bits clear", [](K k) { return any(k, looked_at(k), [](const Segment& s) { return (s.ar & 0x8000) && (s.limit & 0xfff) != 0xfff; }); }},
    {kSegments, "limit needs granularity", [](K k) { return any(k, looked_at(k), [](const Segment& s) { return !(s.ar & 0x8000) && s.limit >> 20; }); }},
    {kSegments, "TR type", [](K k) { return !(k.g->tr.type() == 11 || (!ia32e(k) && k.g->tr.type() == 3)); }},
    {kSegments, "TR is no system segment", [](K k) { return k.g->tr.s(); }},
    {kSegments, "LDTR type", [](K k) { return any(k, kLdtr, [](const Segment& s) { return s.type() != 2; }); }},
    {kSegments, "LDTR is no system segment", [](K k) { return any(k, kLdtr, [](const Segment& s) { return s.s(); }); }},

    {kTables, "GDTR or IDTR base", [](K k) { return !canonical(k.g->gdtr_base) || !canonical(k.g->idtr_base); }},
    {kTables, "GDTR or IDTR limit", [](K k) { return k.g->gdtr_limit >> 16 || k.g->idtr_limit >> 16; }},

    {kRip, "RIP above 4 GiB", [](K k) { return !(ia32e(k) && cs(k).l()) && k.g->rip >> 32; }},
    {kRip, "RIP not canonical", [](K k) { return ia32e(k) && cs(k).l() && !canonical(k.g->rip); }},
    {kRip, "RFLAGS: reserved bits", [](K k) { return (k.g->rflags & 0xffff'ffff'ffc0'8028) || !(k.g->rflags & 2); }},
    {kRip, "RFLAGS.VM", [](K k) { return v86(k) && (ia32e(k) || !(k.g->cr0 & cr0::PE)); }},
    {kRip, "RFLAGS.IF is 0 with an external interrupt", [](K k) { return injects(k, intr_info::external) && !(k.g->rflags & rflags::IF); }},

    {kNonRegister, "activity state", [](K k) { return k.g->activity > 3; }},
    {kNonRegister, "HLT with SS.DPL not 0", [](K k) { return k.g->activity == 1 && ss(k).dpl() != 0; }},
    {kNonRegister, "not active, with blocking by STI or MOV SS", [](K k) { return k.g->activity != 0 && blocked(k, block::sti | block::movss); }},
    {kNonRegister, "event that the activity state does not take",
     [](K k) {
       const bool machine_check = injects(k, intr_info::hardware_exception) && vector(k) == MC, debug = injects(k, intr_info::hardware_exception) && vector(k) == DB;
       switch (injects(k) ? k.g->activity : 0) {
         case 1: return !(injects(k, intr_info::external) || injects(k, intr_info::nmi) || injects(k, intr_info::other) || machine_check || debug);
         case 2: return !(injects(k, intr_info::nmi) || machine_check);
         case 3: return true;
         default: return false;
       }
     }},
    {kNonRegister, "interruptibility: reserved bits", [](K k) { return (k.g->interruptibility & ~u32{0xf}) != 0; }},
    {kNonRegister, "blocking by STI and by MOV SS", [](K k) { return blocked(k, block::sti) && blocked(k, block::movss); }},
    {kNonRegister, "blocking by STI with RFLAGS.IF 0", [](K k) { return blocked(k, block::sti) && !(k.g->rflags & rflags::IF); }},
    {kNonRegister, "external interrupt while blocked", [](K k) { return injects(k, intr_info::external) && blocked(k, block::sti | block::movss); }},
    {kNonRegister, "NMI under blocking by MOV SS", [](K k) { return injects(k, intr_info::nmi) && blocked(k, block::movss); }},
    {kNonRegister, "blocking by SMI outside SMM", [](K k) { return blocked(k, block::smi); }},
    {kNonRegister, "NMI under virtual-NMI blocking", [](K k) { return injects(k, intr_info::nmi) && pin(k, pin_ctl::virtual_nmis) && blocked(k, block::nmi); }},
    {kNonRegister, "pending debug exceptions: reserved bits", [](K k) { return (k.g->pending_debug & ~u64{0x500f}) != 0; }},
    {kNonRegister, "pending debug exceptions: BS against RFLAGS.TF",
     [](K k) {
       if (!blocked(k, block::sti | block::movss) && k.g->activity != 1) return false;
       const bool want = (k.g->rflags & rflags::TF) && !(k.g->debugctl & 2);
       return static_cast<bool>(k.g->pending_debug & 0x4000) != want;
     }},
    {kNonRegister, "VMCS link pointer", [](K k) { return k.g->link != ~u64{0} && !page_ok(k, k.g->link); }, 4},
    {kNonRegister, "VMCS link pointer: the current VMCS", [](K k) { return k.g->link != ~u64{0} && k.g->link == k.g->current; }, 4},
    {kNonRegister, "VMCS link pointer: revision or shadow bit", [](K k) { return k.g->link != ~u64{0} && k.mem->peek32(Hpa{k.g->link}) != vmcs_page::kRevision; }, 4},

    {kPdptes, "PDPTEs",
     [](K k) {
       if (!pae_paging(k.g->cr0, k.g->cr4, ia32e(k))) return false;
       u64 pdpte[4];
       for (unsigned n = 0; n < 4; ++n) pdpte[n] = proc2(k, proc2_ctl::ept) ? k.g->pdpte[n] : k.mem->peek64(Hpa{(k.g->cr3 & 0xffff'ffe0) + 8 * n});
       return !pdptes_ok(k.model, pdpte);
     },
     2},
};

const EntryRule* first_broken(std::span<const EntryRule> rules, K k) {
  for (const EntryRule& r : rules)
    if (r.broken(k)) return &r;
  return nullptr;
}
const char* name_of(const EntryRule* r) { return r ? r->rule : nullptr; }

}  // namespace

std::span<const EntryRule> entry_rules(EntryRules which) {
  switch (which) {
    case EntryRules::controls: return kControlRules;
    case EntryRules::host: return kHostRules;
    case EntryRules::guest: break;
  }
  return kGuestRules;
}

const char* check_controls(const CpuModel& m, const Controls& x) { return name_of(first_broken(kControlRules, {m, x, nullptr, nullptr, nullptr, false})); }
const char* check_host(const CpuModel& m, const Controls& x, const HostState& h, bool lma) {
  return name_of(first_broken(kHostRules, {m, x, &h, nullptr, nullptr, lma}));
}
GuestProblem check_guest(const PhysMem& mem, const CpuModel& m, const Controls& x, const GuestState& g) {
  const EntryRule* r = first_broken(kGuestRules, {m, x, nullptr, &g, &mem, false});
  return r ? GuestProblem{r->rule, r->qualification} : GuestProblem{};
}

bool pdptes_ok(const CpuModel& m, const u64 (&pdpte)[4]) {
  const u64 reserved = mask(63, m.physical_address_bits) | 0x1e6;
  for (u64 e : pdpte) if ((e & 1) && (e & reserved)) return false;
  return true;
}

}  // namespace vt::cpu
