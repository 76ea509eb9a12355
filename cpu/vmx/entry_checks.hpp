// SPDX-License-Identifier: GPL-2.0-or-later
/// What VM entry checks before it changes anything, on values read once from the VMCS. Each check is a row, with the title of the
/// manual's section; a rule that is violated is named in words (null: all is well).
/// SDM 3C "VM Entries"
#pragma once
#include <span>

#include "vmx/vmcs.hpp"

namespace vt::cpu {

/// SDM 3C "Checks on VMX Controls"
struct Controls {
  u32 pin, proc, proc2, exit, entry;
  u32 exception_bitmap, pf_mask, pf_match;
  u64 cr0_mask, cr4_mask, cr0_shadow, cr4_shadow;
  u32 cr3_target_count;
  u64 cr3_target[4];
  u64 io_bitmap_a, io_bitmap_b, msr_bitmap, eptp, tsc_offset;
  u64 virtual_apic, apic_access;
  u32 tpr_threshold, vtpr;  ///< VTPR: in memory, not a field
  u32 preemption_timer, ple_gap, ple_window;
  u16 vpid;
  u32 exit_store_count, exit_load_count, entry_load_count;
  u64 exit_store_addr, exit_load_addr, entry_load_addr;
  u32 intr_info, intr_error, intr_length;
  u64 guest_cr0;  ///< the rule for the injected error code depends on CR0.PE
};

struct HostState {
  u64 cr0, cr3, cr4, pat, efer;
  u16 sel[7];  ///< ES CS SS DS FS GS TR
  u64 fs_base, gs_base, tr_base, gdtr_base, idtr_base;
  u32 sysenter_cs;
  u64 sysenter_esp, sysenter_eip, rsp, rip;
};

struct GuestState {
  u64 cr0, cr3, cr4, dr7, debugctl, pat, efer;
  Segment seg[6], ldtr, tr;
  u64 gdtr_base, idtr_base;
  u32 gdtr_limit, idtr_limit;
  u64 rip, rsp, rflags;
  u32 sysenter_cs;
  u64 sysenter_esp, sysenter_eip;
  u32 activity, interruptibility;
  u64 pending_debug, link;
  u64 current;  ///< the VMCS this is
  u64 pdpte[4];
};

Controls read_controls(Cpu& c);
HostState read_host(Cpu& c);
GuestState read_guest(Cpu& c);

/// What a check may look at: `h` and `lma` those of the host, `g` and `mem` those of the guest.
struct EntryContext {
  const CpuModel& model;
  const Controls& x;
  const HostState* h;
  const GuestState* g;
  const PhysMem* mem;
  bool lma;
};
struct EntryRule {
  const char *section, *rule;
  bool (*broken)(const EntryContext&);
  u8 qualification = 0;
};
enum class EntryRules { controls, host, guest };
/// In the order in which they are looked at; the first that is broken counts.
std::span<const EntryRule> entry_rules(EntryRules which);

/// VMfail 7.   SDM 3C "Checks on VMX Controls"
const char* check_controls(const CpuModel& m, const Controls& x);
/// VMfail 8.   SDM 3C "Checks on the Host State Area"; `lma`: IA32_EFER.LMA now
const char* check_host(const CpuModel& m, const Controls& x, const HostState& h, bool lma);

struct GuestProblem {
  const char* rule = nullptr;
  u64 qualification = 0;  ///< 0, 2 (PDPTE), 3 (NMI under blocking by STI), 4 (VMCS link pointer)
};
/// Exit 33.   SDM 3C "Checks on the Guest State Area"; reads the VMCS that the link pointer names and, without EPT, the PDPTEs
GuestProblem check_guest(const PhysMem& mem, const CpuModel& m, const Controls& x, const GuestState& g);

/// Reserved bits of present PDPTEs.   SDM 3A "PAE Paging"
bool pdptes_ok(const CpuModel& m, const u64 (&pdpte)[4]);
inline bool pae_paging(u64 cr0, u64 cr4, bool ia32e) { return (cr0 & cr0::PG) && (cr4 & cr4::PAE) && !ia32e; }
/// IA32_DEBUGCTL bits that are not reserved here: LBR, BTF.
inline constexpr u64 kDebugctlBits = 3;

}  // namespace vt::cpu
