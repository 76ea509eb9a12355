// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu checks few reserved bits of MSRs, and no privilege of breakpoints at repeated instructions
// Rules of 64-bit mode as tables: reserved bits of MSRs, control and debug registers; which descriptor types do where; returns; breakpoints and traps.
// SDM 4 "Architectural MSRs", 3A "Control Registers", "Protection", 3B "Debug Registers", 2 by the instructions' names
#include "rt.hpp"
using namespace rt;

extern "C" u8 bare_iret[];
namespace {
constexpr u64 kHigh = u64{1} << 47;  // not canonical
u64 at(const volatile void* p) { return reinterpret_cast<u64>(p); }
u64& slot(u16 sel) { return rt_gdt[sel / 8]; }
constexpr u16 kS(int n) { return u16(kSpare + 8 * n); }

/// Vector << 32 | error of the last TRY; ~0 if nothing came.
u64 got() { return rt_fault.vector == kNone ? ~u64{0} : u64{rt_fault.vector} << 32 | rt_fault.error; }
constexpr u64 kFine = ~u64{0}, kGp = u64{13} << 32;
constexpr u64 gp(u64 e) { return kGp | e; }
constexpr u64 np(u64 e) { return u64{11} << 32 | e; }
constexpr u64 ss(u64 e) { return u64{12} << 32 | e; }

void try_wrmsr(u32 msr, u64 v) { TRY("wrmsr", : : "c"(msr), "a"(u32(v)), "d"(u32(v >> 32)) : "memory"); }

// ---- MSRs: bits that a write may not set or change ----
struct MsrRow { const char* name; u32 msr; u64 set, clear; bool fine; };
const MsrRow kMsrs[] = {
    {"EFER as it is", 0xc0000080, 0, 0, true},
    {"EFER reserved bit 1", 0xc0000080, 2, 0, false},
    {"EFER reserved bit 9", 0xc0000080, 0x200, 0, false},
    {"EFER reserved bit 63", 0xc0000080, u64{1} << 63, 0, false},
    {"EFER.LME while paging", 0xc0000080, 0, 0x100, false},
    {"APIC_BASE as it is", 0x1b, 0, 0, true},
    {"APIC_BASE bit 0", 0x1b, 1, 0, false},
    {"APIC_BASE bit 9", 0x1b, 0x200, 0, false},
    {"APIC_BASE bit 52", 0x1b, u64{1} << 52, 0, false},
    {"APIC_BASE x2APIC without enable", 0x1b, 0x400, 0x800, false},
    {"PAT type 2", 0x277, 2, 7, false},
    {"PAT type 3", 0x277, u64{3} << 56, u64{7} << 56, false},
    {"PAT reserved bit 3", 0x277, 8, 0, false},
    {"PAT type 1", 0x277, 1, 7, true},
    {"SYSENTER_ESP not canonical", 0x175, kHigh, 0, false},
    {"SYSENTER_EIP not canonical", 0x176, kHigh, 0, false},
    {"LSTAR not canonical", 0xc0000082, kHigh, 0, false},
    {"CSTAR not canonical", 0xc0000083, kHigh, 0, false},
    {"FS_BASE not canonical", 0xc0000100, kHigh, 0, false},
    {"GS_BASE not canonical", 0xc0000101, kHigh, 0, false},
    {"KERNEL_GS_BASE not canonical", 0xc0000102, kHigh, 0, false},
    {"KERNEL_GS_BASE negative", 0xc0000102, 0xffff800000000000, 0, true},
    {"MTRR_DEF_TYPE type 2", 0x2ff, 2, 0xff, false},
    {"MTRR_DEF_TYPE bit 8", 0x2ff, 0x100, 0, false},
    {"MTRR_DEF_TYPE bit 12", 0x2ff, 0x1000, 0, false},
    {"MTRR_PHYSBASE type 3", 0x200, 3, 0xff, false},
    {"MTRR_PHYSBASE bit 8", 0x200, 0x100, 0, false},
    {"MTRR_PHYSMASK bit 0", 0x201, 1, 0, false},
    {"MTRR_PHYSMASK bit 63", 0x201, u64{1} << 63, 0, false},
    {"MTRR_FIX64K type 7", 0x250, 7, 0xff, false},
    {"MTRR_FIX4K type 2", 0x26f, u64{2} << 56, u64{0xff} << 56, false},
};
void msrs() {
  for (const MsrRow& r : kMsrs) {
    const u64 old = rdmsr(r.msr);
    try_wrmsr(r.msr, (old & ~r.clear) | r.set);
    check_eq(r.name, got(), r.fine ? kFine : kGp);
    if (rt_fault.vector == kNone) wrmsr(r.msr, old);
    else check_eq("  nothing has changed", rdmsr(r.msr), old);
  }
  try_wrmsr(0xfe, 0);
  check_eq("MTRRCAP is read-only", got(), kGp);
  TRY("rdmsr", : : "c"(0x802) : "eax", "edx");
  check_eq("an x2APIC register in xAPIC mode", got(), kGp);
  TRY("rdmsr", : : "c"(0x12345678) : "eax", "edx");
  check_eq("no such MSR", got(), kGp);
}

// ---- control registers ----
void try_cr0(u64 v) { TRY("mov %0, %%cr0", : : "r"(v) : "memory"); }
void try_cr3(u64 v) { TRY("mov %0, %%cr3", : : "r"(v) : "memory"); }
void try_cr4(u64 v) { TRY("mov %0, %%cr4", : : "r"(v) : "memory"); }
void try_cr8(u64 v) { TRY("mov %0, %%cr8", : : "r"(v) : "memory"); }
void control() {
  const u64 c0 = cr0(), c3 = cr3(), c4 = cr4();
  struct Row { const char* name; void (*write)(u64); u64 value, want; };
  const Row rows[] = {
      {"CR0 bit 32", try_cr0, c0 | u64{1} << 32, kGp},
      {"CR0.NW without CD", try_cr0, c0 | 0x20000000, kGp},
      {"CR0.PG off in 64-bit mode", try_cr0, c0 & ~u64{0x80000000}, kGp},
      {"CR0.PE off", try_cr0, c0 & ~u64{0x80000001}, kGp},
      {"CR0 reserved bit 7 is dropped", try_cr0, c0 | 0x80, kFine},
      {"CR0.CD", try_cr0, c0 | 0x40000000, kFine},
      {"CR0 again", try_cr0, c0, kFine},
      {"CR3 bit 63 without PCIDs", try_cr3, c3 | u64{1} << 63, kGp},
      {"CR3 bit 52", try_cr3, c3 | u64{1} << 52, kGp},
      {"CR3 bits 11:5", try_cr3, c3 | 0xfe0, kFine},
      {"CR3 again", try_cr3, c3, kFine},
      {"CR4.PAE off in IA-32e mode", try_cr4, c4 & ~u64{0x20}, kGp},
      {"CR4 bit 15", try_cr4, c4 | 0x8000, kGp},
      {"CR4 bit 19", try_cr4, c4 | 0x80000, kGp},
      {"CR4 bit 32", try_cr4, c4 | u64{1} << 32, kGp},
      {"CR4 bit 63", try_cr4, c4 | u64{1} << 63, kGp},
      {"CR4.PSE, TSD, DE", try_cr4, c4 | 0x1c, kFine},
      {"CR4 again", try_cr4, c4, kFine},
      {"CR8 of 16", try_cr8, 16, kGp},
      {"CR8 bit 63", try_cr8, u64{1} << 63, kGp},
      {"CR8 of 15", try_cr8, 15, kFine},
      {"CR8 of 0", try_cr8, 0, kFine},
  };
  for (const Row& r : rows) {
    r.write(r.value);
    check_eq(r.name, got(), r.want);
  }
  check_eq("CR0 is as before", cr0(), c0);
  if (cpuid(1).c >> 17 & 1) {
    set_cr3(c3 | 8);
    try_cr4(c4 | 0x20000);
    check_eq("CR4.PCIDE with CR3[11:0] not 0", got(), kGp);
    set_cr3(c3);
    try_cr4(c4 | 0x20000);
    check_eq("CR4.PCIDE", got(), kFine);
    try_cr3(c3 | u64{1} << 63);
    check_eq("CR3 bit 63 with PCIDs", got(), kFine);
    check_eq("  is not kept", cr3(), c3);
    set_cr4(c4);
  }
}

void debug_registers() {
  u64 v;
  TRY("mov %0, %%dr6", : : "r"(u64{1} << 32));
  check_eq("DR6 bit 32", got(), kGp);
  TRY("mov %0, %%dr7", : : "r"(u64{1} << 63));
  check_eq("DR7 bit 63", got(), kGp);
  TRY("mov %0, %%dr0", : : "r"(kHigh));
  check_eq("DR0 of any value", got(), kFine);
  asm volatile("mov %1, %%dr6; mov %%dr6, %0" : "=r"(v) : "r"(u64{0xffffffff}));
  check_eq("DR6: what can be written", v & ~u64{0x10800}, 0xfffee7ff);
  asm volatile("mov %1, %%dr7; mov %%dr7, %0" : "=r"(v) : "r"(u64{0xdf00}));
  check_eq("DR7: reserved bits", v & 0xd400, 0x400);
  asm volatile("mov %0, %%dr7; mov %1, %%dr6; mov %2, %%dr0" : : "r"(u64{0x400}), "r"(u64{0xffff0ff0}), "r"(u64{0}));
}

// ---- descriptor types: bit n of a mask is type n of bits 44:40 ----
u32 mask_of(bool (*does)(u16 sel)) {
  u32 mask = 0;
  for (u32 t = 0; t < 32; ++t) {
    slot(kS(0)) = (t >= 24 ? 0x00af00000000ffffull : 0x00cf00000000ffffull) | u64{0x80 | t} << 40;  // code is 64-bit code
    slot(kS(1)) = 0;
    if (does(kS(0))) mask |= 1u << t;
  }
  return mask;
}
void types() {
  check_eq("types that DS takes", mask_of([](u16 s) { TRY("mov %w0, %%ds", : : "r"(u32{s}) : "memory"); return rt_fault.vector == kNone; }), 0xccff0000);
  check_eq("types that SS takes", mask_of([](u16 s) { TRY("mov %w0, %%ss", : : "r"(u32{s}) : "memory"); return rt_fault.vector == kNone; }), 0x00cc0000);
  asm volatile("mov %w0, %%ds; mov %w0, %%ss" : : "r"(u32{kData2}) : "memory");
  check_eq("types that LLDT takes", mask_of([](u16 s) { TRY("lldt %w0", : : "r"(u32{s}) : "memory"); return rt_fault.vector == kNone; }), 1u << 2);
  asm volatile("lldt %w0" : : "r"(0));
  check_eq("types that LAR knows", mask_of([](u16 s) { bool z; u32 v; asm volatile("lar %2, %1; setz %0" : "=q"(z), "=r"(v) : "r"(u32{s}) : "cc", "memory"); return z; }), 0xffff1a04);
  check_eq("types that LSL knows", mask_of([](u16 s) { bool z; u32 v; asm volatile("lsl %2, %1; setz %0" : "=q"(z), "=r"(v) : "r"(u32{s}) : "cc", "memory"); return z; }), 0xffff0a04);
  check_eq("types that can be read", mask_of([](u16 s) { bool z; asm volatile("verr %w1; setz %0" : "=q"(z) : "r"(u32{s}) : "cc", "memory"); return z; }), 0xccff0000);
  check_eq("types that can be written", mask_of([](u16 s) { bool z; asm volatile("verw %w1; setz %0" : "=q"(z) : "r"(u32{s}) : "cc", "memory"); return z; }), 0x00cc0000);
  check_eq("types that a far return takes",
           mask_of([](u16 s) { TRY("pushq %0; pushq $1f; lretq\n1: pushq %1; pushq $2f; lretq\n2:", : : "r"(u64{s}), "r"(u64{kCode64}) : "memory"); return rt_fault.vector == kNone; }), 0xff000000);
  u32 gates = 0;
  for (u32 t = 0; t < 32; ++t) {
    set_gate(0x60, at(bare_iret), u8(0x80 | t));
    TRY("int $0x60", : : : "memory");
    if (rt_fault.vector == kNone) gates |= 1u << t;
    else if (got() != gp(0x60 * 8 + 2)) check_eq("another fault of a gate's type", got(), t);
  }
  check_eq("types of gates in the IDT", gates, 1u << 14 | 1u << 15);
}
asm(".text\n.globl bare_iret\nbare_iret: iretq\n.data\n.globl rules_far\nrules_far: .long 0\n.word 0x18\n.text\n");

// ---- IRETQ ----
void iretq(u64 rip, u64 cs, u64 rsp, u64 s) {
  TRY("pushq %3; pushq %2; pushq $2; pushq %1; pushq %0\n movq $1f, rt_try_ip\n1: iretq", : : "r"(rip), "r"(cs), "r"(rsp), "r"(s) : "memory");
}
void returns() {
  slot(kS(0)) = 0x00ef9b000000ffff;  // L and D
  slot(kS(1)) = 0x00af1b000000ffff;  // not present
  slot(kS(3)) = 0x00affb000000ffff;  // DPL 3
  const u64 stack = at(rt_stack_top) - 32768;
  struct Row { const char* name; u64 rip, cs, rsp, s, want; };
  const Row rows[] = {
      {"IRETQ to null", 0x1000, 3, stack, kData2, kGp},
      {"IRETQ beyond the GDT", 0x1000, 0x1000, stack, kData2, gp(0x1000)},
      {"IRETQ to data", 0x1000, kData2, stack, kData2, gp(kData2)},
      {"IRETQ to L and D", 0x1000, kS(0), stack, kData2, gp(kS(0))},
      {"IRETQ to code that is not present", 0x1000, kS(1), stack, kData2, np(kS(1))},
      {"IRETQ to DPL 3 with RPL 0", 0x1000, kS(3), stack, kData2, gp(kS(3))},
      {"IRETQ to DPL 0 with RPL 3", 0x1000, kCode64 | 3, stack, kUserData, gp(kCode64)},
      {"IRETQ, RIP not canonical", kHigh, kCode64, stack, kData2, kGp},
      {"IRETQ, SS null at CPL 3", 0x1000, kUser64, stack, 3, kGp},
      {"IRETQ, SS null to compatibility mode", 0x1000, kCode32, stack, 0, kGp},
      {"IRETQ, SS of another RPL", 0x1000, kUser64, stack, kUserData & ~3, gp(kUserData & ~3)},
      {"IRETQ, SS of another DPL", 0x1000, kUser64, stack, kData2 | 3, gp(kData2)},
      {"IRETQ, SS is code", 0x1000, kCode64, stack, kCode64, gp(kCode64)},
  };
  for (const Row& r : rows) {
    iretq(r.rip, r.cs, r.rsp, r.s);
    check_eq(r.name, got(), r.want);
    check_eq("  at the instruction", rt_fault.ip, rt_try_ip);
  }
  u64 sp, flags;
  asm volatile("mov %%rsp, %%rcx; sub $128, %%rsp; pushq $0; pushq %%rcx; pushq $0x4d7; pushq %2; pushq $1f; iretq\n1: pushfq; popq %1; mov %%rsp, %0; mov %3, %%ss; cld"
               : "=&r"(sp), "=&r"(flags) : "r"(u64{kCode64}), "r"(u32{kData2}) : "rcx", "memory", "cc");
  check_eq("IRETQ with a null SS at CPL 0 loads the flags", flags, 0x4d7);
}

// ---- debug exceptions ----
u64 hits, hit_ip[8], hit_dr6[8], hit_flags[8];
void on_debug(Frame& f) {
  u64 dr6;
  asm volatile("mov %%dr6, %0; mov %1, %%dr6" : "=&r"(dr6) : "r"(u64{0xffff0ff0}));
  if (hits < 8) hit_ip[hits] = f.ip, hit_dr6[hits] = dr6 & 0xe00f, hit_flags[hits] = f.flags;
  ++hits;
  if (dr6 & 15) f.flags |= 0x10000;  // on with the instruction
}
u8 area[64];
void traps() {
  on_trap(1, on_debug);
  u64 ip;
  // a breakpoint at a repeated instruction comes once
  hits = 0;
  u64 n = 5;
  void* d = area;
  asm volatile("lea 1f(%%rip), %0; mov %0, %%dr0; mov %3, %%dr7; jmp 1f\n1: rep stosb; mov %4, %%dr7" : "=&r"(ip), "+c"(n), "+D"(d) : "r"(u64{0x402}), "r"(u64{0x400}), "a"(0) : "memory");
  check_eq("breakpoint at REP STOSB: hits", hits, 1);
  check_eq("  where", hit_ip[0], ip);
  check_eq("  RF in the image", hit_flags[0] & 0x10000, 0);
  // single steps of a repeated instruction: RF is set in the image between iterations
  hits = 0, n = 3, d = area;
  asm volatile("lea 1f(%%rip), %0; pushfq; orl $0x100, (%%rsp); popfq\n1: rep stosb; pushfq; andl $~0x100, (%%rsp); popfq" : "=&r"(ip), "+c"(n), "+D"(d) : "a"(0) : "memory", "cc");
  check_eq("single steps of REP STOSB: the first", hit_ip[0], ip);
  check_eq("  the second", hit_ip[1], ip);
  check_eq("  the last", hit_ip[2], ip + 2);
  check_eq("  RF behind the last", hit_flags[2] & 0x10000, 0);
  // a far jump clears RF: the breakpoint behind it counts
  hits = 0;
  asm volatile("lea 2f(%%rip), %0; mov %0, %%dr0; movl %k0, rules_far; mov %1, %%dr7; mov %%rsp, %%rcx\n"
               "sub $128, %%rsp; pushq %4; pushq %%rcx; pushfq; orl $0x10000, (%%rsp); pushq %3; pushq $1f; iretq\n"
               "1: ljmp *rules_far\n2: nop; mov %2, %%dr7"
               : "=&r"(ip) : "r"(u64{0x402}), "r"(u64{0x400}), "r"(u64{kCode64}), "r"(u64{kData2}) : "rcx", "memory", "cc");
  check_eq("RF is cleared by a far jump", hits, 1);
  // MOV SS holds a data breakpoint and a trap back; INT n then does not lose it
  hits = 0;
  asm volatile("lea 1f(%%rip), %0; mov %2, %%dr0; mov %3, %%dr7; mov (%2), %%ss\n1: nop; nop; mov %4, %%dr7" : "=&r"(ip) : "r"(0), "r"(area), "r"(u64{0x402 | 3u << 16 | 1u << 18}), "r"(u64{0x400}) : "memory");
  (void)ip;
  asm volatile("mov %w0, %%ss" : : "r"(u32{kData2}));
  check_eq("data breakpoint of MOV SS", hits, 1);
  check_eq("  one instruction later", hit_ip[0], ip + 1);
  on_trap(1, nullptr);
}
}  // namespace

extern "C" void rt_main() {
  msrs();
  control();
  debug_registers();
  types();
  returns();
  area[0] = u8(kData2);
  traps();
}
