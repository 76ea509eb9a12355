// SPDX-License-Identifier: GPL-2.0-or-later
/// The exit reasons that can come, and when.   SDM 3D "VMX Basic Exit Reasons"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

namespace {
using enum ExitReason;
constexpr ExitRow kRows[] = {
    {exception_nmi, "exception or NMI", "exception bitmap; NMI exiting"},
    {external_interrupt, "external interrupt", "external-interrupt exiting"},
    {triple_fault, "triple fault", "always"},
    {init, "INIT signal", "always"},
    {sipi, "start-up IPI", "in the wait-for-SIPI state"},
    {interrupt_window, "interrupt window", "interrupt-window exiting"},
    {nmi_window, "NMI window", "NMI-window exiting"},
    {task_switch, "task switch", "always"},
    {cpuid, "CPUID", "always"},
    {hlt, "HLT", "HLT exiting"},
    {invd, "INVD", "always"},
    {invlpg, "INVLPG", "INVLPG exiting"},
    {rdpmc, "RDPMC", "RDPMC exiting"},
    {rdtsc, "RDTSC", "RDTSC exiting"},
    {vmcall, "VMCALL", "always"},
    {vmclear, "VMCLEAR", "always"},
    {vmlaunch, "VMLAUNCH", "always"},
    {vmptrld, "VMPTRLD", "always"},
    {vmptrst, "VMPTRST", "always"},
    {vmread, "VMREAD", "always"},
    {vmresume, "VMRESUME", "always"},
    {vmwrite, "VMWRITE", "always"},
    {vmxoff, "VMXOFF", "always"},
    {vmxon, "VMXON", "always"},
    {cr_access, "control-register access", "guest/host masks; CR3-load, CR3-store, CR8-load, CR8-store exiting"},
    {dr_access, "MOV DR", "MOV-DR exiting"},
    {io, "I/O instruction", "unconditional I/O exiting; I/O bitmaps"},
    {rdmsr, "RDMSR", "MSR bitmaps"},
    {wrmsr, "WRMSR", "MSR bitmaps"},
    {entry_guest_state, "VM-entry failure: guest state", "at VM entry"},
    {entry_msr_load, "VM-entry failure: MSR loading", "at VM entry"},
    {mwait, "MWAIT", "MWAIT exiting"},
    {mtf, "monitor trap flag", "monitor trap flag; pending MTF VM exit injected"},
    {monitor, "MONITOR", "MONITOR exiting"},
    {pause, "PAUSE", "PAUSE exiting; PAUSE-loop exiting"},
    {tpr_below_threshold, "TPR below threshold", "use TPR shadow"},
    {apic_access, "APIC access", "virtualize APIC accesses"},
    {gdtr_idtr, "access to GDTR or IDTR", "descriptor-table exiting"},
    {ldtr_tr, "access to LDTR or TR", "descriptor-table exiting"},
    {ept_violation, "EPT violation", "enable EPT"},
    {ept_misconfig, "EPT misconfiguration", "enable EPT"},
    {invept, "INVEPT", "always"},
    {rdtscp, "RDTSCP", "RDTSC exiting, enable RDTSCP"},
    {preemption_timer, "VMX-preemption timer", "activate VMX-preemption timer"},
    {invvpid, "INVVPID", "always"},
    {wbinvd, "WBINVD", "WBINVD exiting"},
    {xsetbv, "XSETBV", "always"},
    {rdrand, "RDRAND", "RDRAND exiting"},
    {invpcid, "INVPCID", "INVLPG exiting, enable INVPCID"},
    {rdseed, "RDSEED", "RDSEED exiting"},
};
constexpr bool sorted() {
  for (std::size_t n = 1; n < std::size(kRows); ++n)
    if (kRows[n - 1].reason >= kRows[n].reason) return false;
  return true;
}
static_assert(sorted());
}  // namespace

std::span<const ExitRow> exit_rows() { return kRows; }

}  // namespace vt::cpu
