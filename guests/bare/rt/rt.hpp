// SPDX-License-Identifier: GPL-2.0-or-later
// What our bare-metal guests stand on: console, exit, checks, faults that are expected, descriptor and page tables.
// One CPU mode per build: 64-bit long mode, or 32-bit protected mode without paging. Interrupts are off at the start.
#pragma once

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i32 = int;
using i64 = long long;
#ifdef __x86_64__
using word = unsigned long long;  // a register
#define RT_64 1
#else
using word = unsigned int;
#define RT_64 0
#endif

extern "C" void rt_main();  // the guest; returning from it ends the run with the number of failed checks

namespace rt {

// ---- console (COM1, polled) and the end ----
void putc(char c);
void puts(const char* s);
void printf(const char* format, ...) __attribute__((format(printf, 1, 2)));  // %s %c %d %u %x %lu %lx %llu %llx, widths with 0
[[noreturn]] void exit(u8 status);                                           // QEMU's exit device at port 0xf4
const char* cmdline();          // as the loader gave it: usually "FILE WORDS..."
bool has_word(const char* w);   // whether the command line has this word
u32 mem_upper_kib();

// ---- checks: each prints one line, "ok NAME" or "FAIL NAME: got .. want .." ----
void check(const char* name, bool ok);
void check_eq(const char* name, u64 got, u64 want);
u32 failures();

// ---- ports, registers ----
inline void outb(u16 p, u8 v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(p)); }
inline void outw(u16 p, u16 v) { asm volatile("outw %0, %1" : : "a"(v), "Nd"(p)); }
inline void outl(u16 p, u32 v) { asm volatile("outl %0, %1" : : "a"(v), "Nd"(p)); }
inline u8 inb(u16 p) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
inline u16 inw(u16 p) { u16 v; asm volatile("inw %1, %0" : "=a"(v) : "Nd"(p)); return v; }
inline u32 inl(u16 p) { u32 v; asm volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }
inline u64 rdtsc() { u32 lo, hi; asm volatile("rdtsc" : "=a"(lo), "=d"(hi)); return lo | u64{hi} << 32; }
inline u64 rdmsr(u32 i) { u32 lo, hi; asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(i)); return lo | u64{hi} << 32; }
inline void wrmsr(u32 i, u64 v) { asm volatile("wrmsr" : : "c"(i), "a"(u32(v)), "d"(u32(v >> 32)) : "memory"); }
struct Cpuid { u32 a, b, c, d; };
inline Cpuid cpuid(u32 leaf, u32 sub = 0) {
  Cpuid r;
  asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
  return r;
}
#define RT_CR(n)                                                                                     \
  inline word cr##n() { word v; asm volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory"); return v; } \
  inline void set_cr##n(word v) { asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory"); }
RT_CR(0) RT_CR(2) RT_CR(3) RT_CR(4)
#undef RT_CR
inline void invlpg(const volatile void* p) { asm volatile("invlpg (%0)" : : "r"(p) : "memory"); }
inline u8 read8(word a) { return *reinterpret_cast<volatile u8*>(a); }
inline u32 read32(word a) { return *reinterpret_cast<volatile u32*>(a); }
inline u64 read64(word a) { return *reinterpret_cast<volatile u64*>(a); }
inline void write8(word a, u8 v) { *reinterpret_cast<volatile u8*>(a) = v; }
inline void write32(word a, u32 v) { *reinterpret_cast<volatile u32*>(a) = v; }
inline void write64(word a, u64 v) { *reinterpret_cast<volatile u64*>(a) = v; }
inline void barrier() { asm volatile("" : : : "memory"); }
void set(volatile void* p, u8 v, word n);
void copy(volatile void* d, const volatile void* s, word n);

// ---- selectors of the table that start.S loads; slots from kSpare on are the test's ----
constexpr u16 kCode32 = 0x08, kData = 0x10, kCode64 = 0x18, kData2 = 0x20;
constexpr u16 kUser32 = 0x28 | 3, kUserData = 0x30 | 3, kUser64 = 0x38 | 3, kUserData2 = 0x40 | 3;
constexpr u16 kTss = 0x48, kSpare = 0x60;
constexpr u16 kKernelCs = RT_64 ? kCode64 : kCode32, kKernelSs = RT_64 ? kData2 : kData;
extern "C" u64 rt_gdt[64];
extern "C" u8 rt_tss[256];
extern "C" u8 rt_stack_top[];
void set_rsp0(word sp);          // the stack for entries from CPL 3
void set_ist(u8 n, word sp);     // 64-bit: interrupt stack table entry 1..7

// ---- traps ----
struct Frame {
#ifdef __x86_64__
  u64 r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
#else
  u32 di, si, bp, sp_unused, bx, dx, cx, ax;
#endif
  word vector, error, ip, cs, flags, sp, ss;  // sp and ss in 32-bit mode only where the privilege level changed
};
using Handler = void (*)(Frame&);
void on_trap(u8 vector, Handler h);                        // nullptr: none
void set_gate(u8 vector, word handler, u8 type = 0x8e, u16 cs = kKernelCs, u8 ist = 0);
void gate_dpl(u8 vector, u8 dpl);
void gate_ist(u8 vector, u8 ist);
void reload_idt();

constexpr word kNone = ~word{0};
struct Fault { word vector, error, ip, cs, flags, sp, ss, cr2, ax, bx, cx, dx, si, di; };
extern "C" volatile Fault rt_fault;      // the last fault that TRY caught; vector kNone if none
extern "C" volatile word rt_resume_ip, rt_resume_sp, rt_try_ip;
inline bool faulted(word vector, word error = 0) { return rt_fault.vector == vector && rt_fault.error == error; }
void check_fault(const char* name, word vector, word error = 0);       // and that rip is that of the instruction
void check_trap(const char* name, word vector, word length);           // rip after it
void check_none(const char* name);

/// Calls f at CPL 3 on a stack of its own; comes back when it faults (TRY), or makes int 0x80.
void call_user(void (*f)());
void call_user_at(word ip, u16 cs, word sp, u16 ss, word flags = 2);

}  // namespace rt

/// Runs the instructions and goes on after them, whatever exception they raise; rt_fault tells which. Operands follow as in asm.
#ifdef __x86_64__
#define TRY(insns, ...)                                                                                             \
  do {                                                                                                              \
    rt::rt_fault.vector = rt::kNone;                                                                                \
    asm volatile("movq %%rsp, rt_resume_sp\n\tmovq $.Lresume%=, rt_resume_ip\n\tmovq $.Ltry%=, rt_try_ip\n.Ltry%=:" \
                 insns "\n.Lresume%=: movq $0, rt_resume_ip" __VA_ARGS__);                                           \
  } while (0)
#else
#define TRY(insns, ...)                                                                                             \
  do {                                                                                                              \
    rt::rt_fault.vector = rt::kNone;                                                                                \
    asm volatile("movl %%esp, rt_resume_sp\n\tmovl $.Lresume%=, rt_resume_ip\n\tmovl $.Ltry%=, rt_try_ip\n.Ltry%=:" \
                 insns "\n.Lresume%=: movl $0, rt_resume_ip" __VA_ARGS__);                                           \
  } while (0)
#endif
