// SPDX-License-Identifier: GPL-2.0-or-later
/// VMX state of one processor, and what the instructions ask of it. Bodies are in cpu/vmx/.
#pragma once
#include "base/archive.hpp"
#include "cpu/insn.hpp"

namespace vt::cpu {

/// SDM 3D "VMX Basic Exit Reasons"
enum class ExitReason : u16 {
  exception_nmi = 0, external_interrupt = 1, triple_fault = 2, init = 3, sipi = 4, interrupt_window = 7, nmi_window = 8, task_switch = 9,
  cpuid = 10, getsec = 11, hlt = 12, invd = 13, invlpg = 14, rdpmc = 15, rdtsc = 16, rsm = 17, vmcall = 18, vmclear = 19, vmlaunch = 20,
  vmptrld = 21, vmptrst = 22, vmread = 23, vmresume = 24, vmwrite = 25, vmxoff = 26, vmxon = 27, cr_access = 28, dr_access = 29,
  io = 30, rdmsr = 31, wrmsr = 32, entry_guest_state = 33, entry_msr_load = 34, mwait = 36, mtf = 37, monitor = 39, pause = 40,
  entry_machine_check = 41, tpr_below_threshold = 43, apic_access = 44, virtualized_eoi = 45, gdtr_idtr = 46, ldtr_tr = 47,
  ept_violation = 48, ept_misconfig = 49, invept = 50, rdtscp = 51, preemption_timer = 52, invvpid = 53, wbinvd = 54, xsetbv = 55,
  apic_write = 56, rdrand = 57, invpcid = 58, vmfunc = 59, encls = 60, rdseed = 61, pml_full = 62, xsaves = 63, xrstors = 64,
};

/// Controls of the running guest, read from the VMCS at VM entry. State, because a VMCS page that software
/// writes while it is active must not change them.
struct Vmx {
  bool on = false;          ///< in VMX operation
  bool non_root = false;
  u64 vmxon_pointer = ~u64{0};
  u64 vmcs = ~u64{0};       ///< current-VMCS pointer, ~0: none
  u32 pin = 0, proc = 0, proc2 = 0, exit = 0, entry = 0;
  u32 exception_bitmap = 0, pf_mask = 0, pf_match = 0;
  u64 cr0_mask = 0, cr4_mask = 0, cr0_shadow = 0, cr4_shadow = 0;
  u64 cr3_target[4] = {};
  u32 cr3_target_count = 0;
  u64 eptp = 0;             ///< 0 when EPT is off
  u16 vpid = 0;
  u64 tsc_offset = 0;       ///< 0 unless "use TSC offsetting"
  u64 io_bitmap_a = 0, io_bitmap_b = 0, msr_bitmap = 0;
  u64 virtual_apic = 0;     ///< with "use TPR shadow": the virtual-APIC page
  u64 apic_access = ~u64{0};  ///< with "virtualize APIC accesses": the APIC-access page; ~0: none
  u32 tpr_threshold = 0;
  bool tpr_below = false;   ///< VTPR has fallen below the threshold: an exit at the next boundary
  bool preemption_expired = false;  ///< the VMX-preemption timer has: an exit at the next boundary
  bool mtf_pending = false; ///< an MTF VM exit is: at the next boundary   SDM 3C "Monitor Trap Flag"
  u64 preemption_end = 0;   ///< the timer's last tick, in its own units (stop_preemption_timer)
  u32 ple_gap = 0, ple_window = 0;
  u64 ple_first = 0, ple_last = 0;  ///< TSC at the first PAUSE of a loop, and at the last; ple_last 0: none since VM entry
  bool virtual_nmi_blocked = false;
  bool nmi_unblocked_by_iret = false;    ///< for exit qualification bit 12 / interruption information bit 12
  // The event whose delivery is under way (for IDT-vectoring information); valid bit 31.
  u32 idt_vectoring_info = 0, idt_vectoring_error = 0, idt_vectoring_length = 0;
  /// "Monitor trap flag" of the guest that runs: each step of it is one alone.
  bool steps_singly() const;
  void state(Ar& a) {
    a(on, non_root, vmxon_pointer, vmcs, pin, proc, proc2, exit, entry, exception_bitmap, pf_mask, pf_match, cr0_mask, cr4_mask, cr0_shadow,
      cr4_shadow, cr3_target, cr3_target_count, eptp, vpid, tsc_offset, io_bitmap_a, io_bitmap_b, msr_bitmap, virtual_apic, apic_access,
      tpr_threshold, tpr_below, preemption_expired, mtf_pending, preemption_end, ple_gap, ple_window, ple_first, ple_last, virtual_nmi_blocked,
      nmi_unblocked_by_iret, idt_vectoring_info, idt_vectoring_error, idt_vectoring_length);
  }
};

namespace pin_ctl {
inline constexpr u32 external_interrupt = 1u << 0, nmi = 1u << 3, virtual_nmis = 1u << 5, preemption_timer = 1u << 6;
}
namespace proc_ctl {
inline constexpr u32 interrupt_window = 1u << 2, tsc_offsetting = 1u << 3, hlt = 1u << 7, invlpg = 1u << 9, mwait = 1u << 10, rdpmc = 1u << 11,
                     rdtsc = 1u << 12, cr3_load = 1u << 15, cr3_store = 1u << 16, cr8_load = 1u << 19, cr8_store = 1u << 20, tpr_shadow = 1u << 21,
                     nmi_window = 1u << 22, mov_dr = 1u << 23, unconditional_io = 1u << 24, io_bitmaps = 1u << 25, monitor_trap = 1u << 27,
                     msr_bitmaps = 1u << 28, monitor = 1u << 29, pause = 1u << 30, secondary = 1u << 31;
}
namespace proc2_ctl {
inline constexpr u32 apic_access = 1u << 0, ept = 1u << 1, descriptor_table = 1u << 2, rdtscp = 1u << 3, x2apic = 1u << 4, vpid = 1u << 5,
                     wbinvd = 1u << 6, unrestricted_guest = 1u << 7, pause_loop = 1u << 10, rdrand = 1u << 11, invpcid = 1u << 12,
                     rdseed = 1u << 16, xsaves = 1u << 20;
}

inline bool Vmx::steps_singly() const { return non_root && (proc & proc_ctl::monitor_trap); }

/// Interception. Call only in non-root operation, at the point of the instruction where the manual places
/// the exit (after #UD and privilege checks unless it says otherwise). True: a VM exit is recorded in
/// `c.fault`; return Next::fault. SDM 3C "Instructions That Cause VM Exits"
bool intercept(Cpu& c, ExitReason reason, const Insn& i);  ///< CPUID HLT INVD INVLPG(qualification = address) RDPMC RDTSC RDTSCP MWAIT MONITOR WBINVD XSETBV GETSEC INVPCID RDRAND RDSEED and the VMX instructions: looks at the controls itself
bool intercept_pause(Cpu& c, const Insn& i);  ///< PAUSE: "PAUSE exiting" and "PAUSE-loop exiting"
bool intercept_invlpg(Cpu& c, const Insn& i, u64 address);
bool intercept_io(Cpu& c, const Insn& i, u16 port, unsigned size, bool in, bool string, u64 linear);
bool intercept_msr(Cpu& c, const Insn& i, u32 msr, bool write);
/// MOV to/from CR, CLTS, LMSW. `access` as in the exit qualification: 0 to, 1 from, 2 CLTS, 3 LMSW.
bool intercept_cr(Cpu& c, const Insn& i, unsigned cr, unsigned access, u64 value, bool lmsw_memory = false, u64 lmsw_address = 0);
bool intercept_dr(Cpu& c, const Insn& i, unsigned dr, bool from);
bool intercept_descriptor_table(Cpu& c, const Insn& i, unsigned which);  ///< 0 SGDT 1 SIDT 2 LGDT 3 LIDT; 4 SLDT 5 STR 6 LLDT 7 LTR

/// The virtual APIC. The task priority that a guest with "use TPR shadow" has instead of the processor's own.   SDM 3C "TPR Virtualization"
u8 virtual_tpr(Cpu& c);
/// Bits 31:8 of VTPR become zero; below the threshold an exit follows the instruction.
void set_virtual_tpr(Cpu& c, u8 value);
/// Does a guest's access here touch the APIC-access page?
bool on_apic_access_page(const Cpu& c, Hpa at);
/// A linear access of a guest to that page. True: it is virtualized, and read or write the virtual-APIC page instead (write: then
/// call set_virtual_tpr with the byte written). False: the VM exit is recorded in `c.fault`.   SDM 3C "Virtualizing Memory-Mapped APIC Accesses"
bool apic_access_virtualized(Cpu& c, Hpa at, unsigned size, Access want);
/// An access by a guest-physical address (a paging structure's) to that page: records the VM exit.
void apic_access_physical(Cpu& c);

/// What a guest reads and may change where the guest/host mask says otherwise.  SDM 3C "Changes to Instruction Behavior in VMX Non-Root Operation"
u64 guest_view_cr0(const Cpu& c);
u64 guest_view_cr4(const Cpu& c);
/// CR0/CR4 bits that VMX operation fixes: #GP when a MOV would break them (root, and non-root with unrestricted guest in mind).
bool cr0_allowed_in_vmx(const Cpu& c, u64 value);
bool cr4_allowed_in_vmx(const Cpu& c, u64 value);

/// An exception (or software interrupt) that is about to be delivered in non-root operation: true when it
/// causes a VM exit instead, which has then been made. `Cpu::deliver` asks.
bool exception_exits(Cpu& c);
/// Makes the VM exit that c.fault (Kind::vm_exit, ept_violation, ept_misconfig) describes, or these arguments.
/// Saves guest state, loads host state; c.rip is the guest's rip to be saved.
void vm_exit(Cpu& c, ExitReason reason, u64 qualification = 0, u32 instruction_length = 0, u32 instruction_info = 0);
void vm_exit_from_fault(Cpu& c);
/// At an instruction boundary in non-root operation, in the manual's order of priority: INIT, monitor trap, NMI and NMI window, external
/// interrupt and interrupt window, preemption timer. True: a VM exit was made (that was the step). Cpu::pending asks before it
/// delivers anything itself.   SDM 3C "VM Exits", "Other Causes of VM Exits"
bool vmx_boundary(Cpu& c);
/// Capability MSRs 0x480-0x4ff as RDMSR gives them. False: not there, #GP.   SDM 3D "VMX Capability Reporting Facility"
bool vmx_capability(const Cpu& c, u32 msr, u64& value);
/// Double fault that faults again, in non-root: exit 2.
void vm_exit_triple_fault(Cpu& c);

}  // namespace vt::cpu
