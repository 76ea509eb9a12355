// SPDX-License-Identifier: GPL-2.0-or-later
/// Reading and writing the current VMCS, and the internal interfaces of VMX.
#pragma once
#include "cpu/cpu.hpp"
#include "cpu/msr.hpp"
#include "vmx/capabilities.hpp"
#include "vmx/fields.hpp"

namespace vt::cpu {

// --- the VMCS page ------------------------------------------------------------------------------------
/// Full-width read of a field of the VMCS at `vmcs`; the value is as wide as the field.
u64 read_field(const PhysMem& mem, u64 vmcs, Field f);
void write_field(PhysMem& mem, u64 vmcs, Field f, u64 value);
inline u64 read_field(Cpu& c, Field f) { return read_field(c.memory(), c.vmx.vmcs, f); }
inline void write_field(Cpu& c, Field f, u64 value) { write_field(c.memory(), c.vmx.vmcs, f, value); }
/// Fields of a segment register or of host/guest series whose encodings are 2 apart.
constexpr Field nth(Field first, unsigned n) { return static_cast<Field>(static_cast<u16>(first) + 2 * n); }

u32 launch_state(const PhysMem& mem, u64 vmcs);
void set_launch_state(PhysMem& mem, u64 vmcs, u32 state);

// --- interruption information (entry, exit, IDT-vectoring) ----------------------------------------------
/// SDM 3C "VM-Entry Controls for Event Injection", "Information for VM Exits Due to Vectored Events"
namespace intr_info {
inline constexpr u32 valid = 1u << 31, error_code = 1u << 11, nmi_unblocking = 1u << 12;
enum Type : u8 { external = 0, reserved = 1, nmi = 2, hardware_exception = 3, software_interrupt = 4, privileged_software = 5, software_exception = 6, other = 7 };
constexpr Type type(u32 v) { return static_cast<Type>((v >> 8) & 7); }
constexpr u8 vector(u32 v) { return static_cast<u8>(v); }
constexpr bool software(u32 v) { return type(v) == software_interrupt || type(v) == privileged_software || type(v) == software_exception; }
/// SDM 3C "Special Features of VM Entry": a VM entry with this field is vectoring; a pending MTF VM exit is no vectored event.
constexpr bool vectoring(u32 v) { return (v & valid) && type(v) != other; }
}  // namespace intr_info

namespace exit_ctl {
inline constexpr u32 save_debug = 1u << 2, host_64 = 1u << 9, ack_interrupt = 1u << 15, save_pat = 1u << 18, load_pat = 1u << 19, save_efer = 1u << 20, load_efer = 1u << 21,
                     save_preemption_timer = 1u << 22;
}
namespace entry_ctl {
inline constexpr u32 load_debug = 1u << 2, ia32e_guest = 1u << 9, load_pat = 1u << 14, load_efer = 1u << 15;
}
/// SDM 3C "Format of Interruptibility State"
namespace interruptibility {
inline constexpr u32 sti = 1, movss = 2, smi = 4, nmi = 8;
}

// --- instructions (insns.cpp) ---------------------------------------------------------------------------
/// SDM 3C "VM-Instruction Error Numbers"
enum class VmError : u32 {
  vmcall_in_root = 1, vmclear_address = 2, vmclear_vmxon_pointer = 3, vmlaunch_not_clear = 4, vmresume_not_launched = 5, vmresume_after_vmxoff = 6,
  entry_controls = 7, entry_host_state = 8, vmptrld_address = 9, vmptrld_vmxon_pointer = 10, vmptrld_revision = 11, unsupported_component = 12,
  readonly_component = 13, vmxon_in_root = 15, entry_movss = 26, invept_invvpid_operand = 28,
};
/// SDM 3C "Conventions": the outcome is in RFLAGS (and VM-instruction error).
Next vm_fail(Cpu& c, VmError e, Next then = Next::seq);
Next vm_fail_invalid(Cpu& c, Next then = Next::seq);
Next vm_succeed(Cpu& c, Next then = Next::seq);

// --- entry and exit ----------------------------------------------------------------------------------------
/// VMLAUNCH and VMRESUME after their own checks. Changes the whole state of the processor, or fails.
Next vm_entry(Cpu& c, bool launch);

struct ExitInfo {
  u32 reason = 0;                ///< with bit 31 for a VM-entry failure
  u64 qualification = 0;
  u32 length = 0, info = 0;
  u64 linear = 0, gpa = 0;
  u32 intr_info = 0, intr_error = 0;
  bool event_directly = false;   ///< an event that would be delivered through the IDT caused it
  bool sti = false, movss = false;  ///< blocking at the instruction, where the processor's own flags no longer tell
};
void make_exit(Cpu& c, const ExitInfo& e);
/// SDM 3C "VM-Entry Failures During or After Loading Guest State"
void fail_entry(Cpu& c, ExitReason reason, u64 qualification);
/// MSR areas. Returns 0, or the number (from 1) of the entry that cannot be processed.
/// SDM 3C "Loading MSRs" (VM entries and VM exits), "Saving MSRs"
u32 load_msrs(Cpu& c, u64 area, u32 count, bool entry);
u32 store_msrs(Cpu& c, u64 area, u32 count);

// --- the virtual APIC (virtual_apic.cpp) ----------------------------------------------------------------
/// VM entry: what it has of the controls, and the exit that a low VTPR brings at once.   SDM 3C "VM Exits Induced by the TPR Threshold"
void enter_virtual_apic(Cpu& c);
/// VTPR as the page has it; 0 where no page can be.
u32 vtpr(const PhysMem& mem, u64 virtual_apic);

// --- the VMX-preemption timer (preemption.cpp) ------------------------------------------------------------
/// SDM 3C "VMX-Preemption Timer": begins to count at VM entry; at a VM exit it stops, and what is left of it is returned.
void start_preemption_timer(Cpu& c, u32 value);
u32 stop_preemption_timer(Cpu& c);

// --- instruction information (info.cpp) ------------------------------------------------------------------
/// SDM 3C "Information for VM Exits Due to Instruction Execution", tables of the VM-exit instruction-information field
u32 info_io(const Insn& i);
u32 info_memory(const Insn& i);                           ///< VMCLEAR VMPTRLD VMPTRST VMXON
u32 info_memory_reg2(const Insn& i);                      ///< INVEPT INVPCID INVVPID
u32 info_table(const Insn& i, unsigned which, bool code64);  ///< LGDT LIDT SGDT SIDT (0..3), LLDT LTR SLDT STR (4..7)
u32 info_random(const Insn& i);                           ///< RDRAND RDSEED
u32 info_vmread_vmwrite(const Insn& i);
u64 displacement(const Cpu& c, const Insn& i);            ///< exit qualification of those with a memory operand

constexpr bool canonical(u64 v) { return static_cast<u64>(sext(v, 48)) == v; }

/// An exit reason that can come here. Sorted.
struct ExitRow {
  ExitReason reason;
  const char *name, *when;
};
std::span<const ExitRow> exit_rows();

}  // namespace vt::cpu
