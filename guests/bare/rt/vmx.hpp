// SPDX-License-Identifier: GPL-2.0-or-later
// VMX for the guests that are hypervisors themselves: field encodings, instructions with their outcome, one VMCS and its world switch.
// SDM 3C "VMX Instruction Reference", "Field Encoding in VMCS"
#pragma once
#include "rt.hpp"

namespace vmx {
using namespace rt;

enum Field : u32 {
  VPID = 0x0000,
  GUEST_ES = 0x0800, GUEST_CS = 0x0802, GUEST_SS = 0x0804, GUEST_DS = 0x0806, GUEST_FS = 0x0808, GUEST_GS = 0x080a, GUEST_LDTR = 0x080c, GUEST_TR = 0x080e,
  HOST_ES = 0x0c00, HOST_CS = 0x0c02, HOST_SS = 0x0c04, HOST_DS = 0x0c06, HOST_FS = 0x0c08, HOST_GS = 0x0c0a, HOST_TR = 0x0c0c,
  IO_BITMAP_A = 0x2000, IO_BITMAP_B = 0x2002, MSR_BITMAP = 0x2004, EXIT_MSR_STORE = 0x2006, EXIT_MSR_LOAD = 0x2008, ENTRY_MSR_LOAD = 0x200a,
  TSC_OFFSET = 0x2010, EPT_POINTER = 0x201a, GUEST_PHYSICAL_ADDRESS = 0x2400, VMCS_LINK = 0x2800, GUEST_DEBUGCTL = 0x2802, GUEST_PAT = 0x2804,
  GUEST_EFER = 0x2806, HOST_PAT = 0x2c00, HOST_EFER = 0x2c02,
  PIN_CONTROLS = 0x4000, PRIMARY_CONTROLS = 0x4002, EXCEPTION_BITMAP = 0x4004, PFEC_MASK = 0x4006, PFEC_MATCH = 0x4008, CR3_TARGETS = 0x400a,
  EXIT_CONTROLS = 0x400c, EXIT_MSR_STORE_COUNT = 0x400e, EXIT_MSR_LOAD_COUNT = 0x4010, ENTRY_CONTROLS = 0x4012, ENTRY_MSR_LOAD_COUNT = 0x4014,
  ENTRY_INTR_INFO = 0x4016, ENTRY_ERROR = 0x4018, ENTRY_LENGTH = 0x401a, SECONDARY_CONTROLS = 0x401e,
  INSTRUCTION_ERROR = 0x4400, EXIT_REASON = 0x4402, EXIT_INTR_INFO = 0x4404, EXIT_INTR_ERROR = 0x4406, IDT_VECTORING = 0x4408, IDT_VECTORING_ERROR = 0x440a,
  INSTRUCTION_LENGTH = 0x440c, INSTRUCTION_INFO = 0x440e,
  LIMIT_ES = 0x4800, LIMIT_LDTR = 0x480c, LIMIT_TR = 0x480e, LIMIT_GDTR = 0x4810, LIMIT_IDTR = 0x4812, AR_ES = 0x4814, AR_CS = 0x4816, AR_SS = 0x4818,
  AR_DS = 0x481a, AR_LDTR = 0x4820, AR_TR = 0x4822, INTERRUPTIBILITY = 0x4824, ACTIVITY = 0x4826, GUEST_SYSENTER_CS = 0x482a, HOST_SYSENTER_CS = 0x4c00,
  CR0_MASK = 0x6000, CR4_MASK = 0x6002, CR0_SHADOW = 0x6004, CR4_SHADOW = 0x6006, QUALIFICATION = 0x6400, GUEST_LINEAR = 0x640a,
  GUEST_CR0 = 0x6800, GUEST_CR3 = 0x6802, GUEST_CR4 = 0x6804, BASE_ES = 0x6806, BASE_CS = 0x6808, BASE_LDTR = 0x6812, BASE_TR = 0x6814, BASE_GDTR = 0x6816, BASE_IDTR = 0x6818,
  GUEST_DR7 = 0x681a, GUEST_RSP = 0x681c, GUEST_RIP = 0x681e, GUEST_RFLAGS = 0x6820, PENDING_DEBUG = 0x6822, GUEST_SYSENTER_ESP = 0x6824, GUEST_SYSENTER_EIP = 0x6826,
  HOST_CR0 = 0x6c00, HOST_CR3 = 0x6c02, HOST_CR4 = 0x6c04, HOST_FS_BASE = 0x6c06, HOST_GS_BASE = 0x6c08, HOST_TR_BASE = 0x6c0a, HOST_GDTR_BASE = 0x6c0c,
  HOST_IDTR_BASE = 0x6c0e, HOST_SYSENTER_ESP = 0x6c10, HOST_SYSENTER_EIP = 0x6c12, HOST_RSP = 0x6c14, HOST_RIP = 0x6c16,
};
// How a VMX instruction ended.   SDM 3C "Conventions"
enum Outcome : u32 { succeed = 0, fail_invalid = 1, fail_valid = 2 };

#define VMX_OUTCOME(insn, ...)                                                            \
  u8 c, z;                                                                                \
  asm volatile(insn "; setc %0; setz %1" : "=qm"(c), "=qm"(z) : __VA_ARGS__ : "cc", "memory"); \
  return Outcome(c ? fail_invalid : z ? fail_valid : succeed)
inline Outcome vmxon(u64 at) { VMX_OUTCOME("vmxon %2", "m"(at)); }
inline Outcome vmclear(u64 at) { VMX_OUTCOME("vmclear %2", "m"(at)); }
inline Outcome vmptrld(u64 at) { VMX_OUTCOME("vmptrld %2", "m"(at)); }
inline u64 vmptrst() { u64 v; asm volatile("vmptrst %0" : "=m"(v) : : "cc", "memory"); return v; }
inline Outcome vmwrite(u64 field, u64 v) { VMX_OUTCOME("vmwrite %2, %3", "r"(v), "r"(field)); }
inline Outcome try_vmread(u64 field, u64& v) {
  u8 c, z;
  asm volatile("vmread %3, %2; setc %0; setz %1" : "=qm"(c), "=qm"(z), "=r"(v) : "r"(field) : "cc", "memory");
  return c ? fail_invalid : z ? fail_valid : succeed;
}
inline u64 vmread(u64 field) { u64 v = 0; try_vmread(field, v); return v; }
struct Descriptor { u64 lo, hi; };
inline Outcome invept(u64 type, u64 eptp, u64 hi = 0) { Descriptor d{eptp, hi}; VMX_OUTCOME("invept %2, %3", "m"(d), "r"(type)); }
inline Outcome invvpid(u64 type, u64 vpid, u64 address = 0) { Descriptor d{vpid, address}; VMX_OUTCOME("invvpid %2, %3", "m"(d), "r"(type)); }
#undef VMX_OUTCOME
inline u64 error() { return vmread(INSTRUCTION_ERROR); }

struct Regs { u64 ax, bx, cx, dx, si, di, bp, r8, r9, r10, r11, r12, r13, r14, r15; };
extern "C" {
Outcome vmx_enter(Regs* r, u32 launch);   // VMLAUNCH or VMRESUME; back with succeed after a VM exit
extern u8 vmx_exit_entry[];
}

inline u64 vmx_true(u32 plain, u32 true_one) { return rdmsr((rdmsr(0x480) >> 55 & 1) != 0 ? true_one : plain); }
/// Wanted bits within what the capability register allows.
inline u32 adjust(u64 capability, u32 want) { return (want | u32(capability)) & u32(capability >> 32); }
inline bool can(u64 capability, u32 bits) { return (u32(capability >> 32) & bits) == bits; }
inline u64 pin_caps() { return vmx_true(0x481, 0x48d); }
inline u64 primary_caps() { return vmx_true(0x482, 0x48e); }
inline u64 exit_caps() { return vmx_true(0x483, 0x48f); }
inline u64 entry_caps() { return vmx_true(0x484, 0x490); }
inline u64 secondary_caps() { return can(primary_caps(), 1u << 31) ? rdmsr(0x48b) : 0; }

/// Guest and host state of the current VMCS: this very program on both sides, its exits to that address. Controls, RIP and RSP of the guest are the caller's.
inline void write_world(const void* exits_to) {
  struct [[gnu::packed]] { u16 limit; u64 base; } idtr;
  asm volatile("sidt %0" : "=m"(idtr));
  const u64 gdt = reinterpret_cast<u64>(rt_gdt), tss = reinterpret_cast<u64>(rt_tss), efer = rdmsr(0xc0000080), pat = rdmsr(0x277);
  const u16 selectors[] = {kData2, kCode64, kData2, kData2, 0, 0, 0, kTss};
  const u32 rights[] = {0xc093, 0xa09b, 0xc093, 0xc093, 0x10000, 0x10000, 0x10000, 0x8b};
  for (u32 i = 0; i < 8; ++i) {
    vmwrite(GUEST_ES + 2 * i, selectors[i]);
    vmwrite(LIMIT_ES + 2 * i, i == 7 ? 103 : ~0u);
    vmwrite(AR_ES + 2 * i, rights[i]);
    vmwrite(BASE_ES + 2 * i, i == 7 ? tss : 0);
  }
  vmwrite(BASE_GDTR, gdt); vmwrite(LIMIT_GDTR, 511);
  vmwrite(BASE_IDTR, idtr.base); vmwrite(LIMIT_IDTR, idtr.limit);
  vmwrite(GUEST_CR0, cr0()); vmwrite(GUEST_CR3, cr3()); vmwrite(GUEST_CR4, cr4());
  vmwrite(CR0_MASK, 0); vmwrite(CR4_MASK, 0); vmwrite(CR0_SHADOW, cr0()); vmwrite(CR4_SHADOW, cr4());
  vmwrite(GUEST_RFLAGS, 2); vmwrite(GUEST_DR7, 0x400); vmwrite(GUEST_DEBUGCTL, 0); vmwrite(PENDING_DEBUG, 0);
  vmwrite(VMCS_LINK, ~u64{0});
  vmwrite(GUEST_EFER, efer); vmwrite(GUEST_PAT, pat);
  vmwrite(GUEST_SYSENTER_CS, 0); vmwrite(GUEST_SYSENTER_ESP, 0); vmwrite(GUEST_SYSENTER_EIP, 0);
  for (u32 f : (const u32[]){HOST_ES, HOST_SS, HOST_DS}) vmwrite(f, kData2);
  vmwrite(HOST_CS, kCode64); vmwrite(HOST_FS, 0); vmwrite(HOST_GS, 0); vmwrite(HOST_TR, kTss);
  vmwrite(HOST_CR0, cr0()); vmwrite(HOST_CR3, cr3()); vmwrite(HOST_CR4, cr4());
  vmwrite(HOST_FS_BASE, 0); vmwrite(HOST_GS_BASE, 0); vmwrite(HOST_TR_BASE, tss);
  vmwrite(HOST_GDTR_BASE, gdt); vmwrite(HOST_IDTR_BASE, idtr.base);
  vmwrite(HOST_SYSENTER_CS, 0); vmwrite(HOST_SYSENTER_ESP, 0); vmwrite(HOST_SYSENTER_EIP, 0);
  vmwrite(HOST_EFER, efer); vmwrite(HOST_PAT, pat);
  vmwrite(HOST_RIP, reinterpret_cast<u64>(exits_to));
}
}  // namespace vmx
