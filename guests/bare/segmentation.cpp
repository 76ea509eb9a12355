// SPDX-License-Identifier: GPL-2.0-or-later
// BUILD 32
// EXPECT exit 0
// SKIP qemu checks no segment limits
// 32-bit segmentation: limits, types, expand-down, null and absent segments, conforming code, call gates, IRET, LAR, LSL, VERR, ARPL.
// SDM 3A "Protection"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u16 kS(int n) { return u16(kSpare + 8 * n); }
u64 descriptor(u32 base, u32 limit, u8 access, u8 flags) {
  return (limit & 0xffff) | u64{base & 0xffffff} << 16 | u64{access} << 40 | u64{limit >> 16 & 15} << 48 | u64{flags} << 52 | u64{base >> 24} << 56;
}
void put(int n, u64 d) { rt_gdt[kS(n) / 8] = d; }
u64 gate(u16 cs, u32 ip, u8 access, u8 count = 0) {
  return (ip & 0xffff) | u64{cs} << 16 | u64{count} << 32 | u64{access} << 40 | u64{ip >> 16} << 48;
}
alignas(16) u8 area[8192];
u32 at(const void* p) { return reinterpret_cast<u32>(p); }
u16 es_now;  // a fault that TRY has caught leaves ES flat, so each access loads it first
void load_es(u16 s) { es_now = s; TRY("mov %w0, %%es", : : "r"(u32{s}) : "memory"); }
void load_ss(u16 s) { TRY("mov %w0, %%ss", : : "r"(u32{s}) : "memory"); }
void restore() { asm volatile("mov %w0, %%es; mov %w0, %%ss" : : "r"(u32{kData}) : "memory"); }
#define AT_ES(insn) "mov %w1, %%es\n movl $1f, rt_try_ip\n1: " insn
void read_es(u32 off) { TRY(AT_ES("movl %%es:(%0), %%eax"), : : "r"(off), "r"(u32{es_now}) : "eax", "memory"); }
void read_es_byte(u32 off) { TRY(AT_ES("movb %%es:(%0), %%al"), : : "r"(off), "r"(u32{es_now}) : "eax", "memory"); }
void write_es(u32 off) { TRY(AT_ES("movl %%eax, %%es:(%0)"), : : "r"(off), "r"(u32{es_now}) : "memory"); }

void limits() {
  put(0, descriptor(at(area), 99, 0x93, 4));
  load_es(kS(0));
  check_none("load a data segment");
  area[96] = 0x77;
  u32 v;
  asm volatile("movzbl %%es:96, %0" : "=r"(v));
  check_eq("base", v, 0x77);
  read_es(96);
  check_none("the last four bytes");
  read_es(97);
  check_fault("#GP beyond the limit", 13, 0);
  read_es(0xfffffffe);
  check_fault("#GP at the very top", 13, 0);
  read_es_byte(99);
  check_none("byte at the limit");
  read_es_byte(100);
  check_fault("#GP byte beyond", 13, 0);
  put(1, descriptor(at(area), 0, 0x93, 12));  // granularity: 4 KiB
  load_es(kS(1));
  read_es(4092);
  check_none("page granular");
  read_es(4093);
  check_fault("#GP page granular", 13, 0);
  put(2, descriptor(at(area), 99, 0x97, 4));  // expand-down: valid from 100 up
  load_es(kS(2));
  read_es(99);
  check_fault("#GP expand-down, at the limit", 13, 0);
  read_es(100);
  check_none("expand-down, above");
  put(3, descriptor(at(area), 99, 0x97, 0));  // B = 0: up to 0xffff
  load_es(kS(3));
  read_es(0xfffc);
  check_none("expand-down with B=0, below 64 KiB");
  read_es(0xfffd);
  check_fault("#GP expand-down with B=0", 13, 0);
  put(4, descriptor(0, 0x3ff, 0x93, 12));  // 4 MiB: the stack lies in it
  TRY("mov %w0, %%ss\n movl $1f, rt_try_ip\n1: movl %%ss:(%1), %%eax", : : "r"(u32{kS(4)}), "r"(0x3ffffd) : "eax", "memory");
  check_fault("#SS beyond the stack's limit", 12, 0);
  restore();
}

void types() {
  put(5, descriptor(0, 0xfffff, 0x91, 12));  // read-only
  load_es(kS(5));
  read_es(at(area));
  check_none("read-only: read");
  write_es(at(area));
  check_fault("#GP read-only: write", 13, 0);
  load_ss(kS(5));
  check_fault("#GP SS read-only", 13, kS(5));
  put(6, descriptor(0, 0xfffff, 0x99, 12));  // execute-only
  load_es(kS(6));
  check_fault("#GP ES execute-only", 13, kS(6));
  TRY("movl %%cs:(%0), %%eax", : : "r"(area) : "eax", "memory");
  check_none("CS readable");
  TRY("movl %%eax, %%cs:(%0)", : : "r"(area) : "memory");
  check_fault("#GP write through CS", 13, 0);
  load_es(kTss);
  check_fault("#GP ES a system descriptor", 13, kTss);
  put(7, descriptor(0, 0xfffff, 0x13, 12));  // not present
  load_es(kS(7));
  check_fault("#NP", 11, kS(7));
  load_ss(kS(7));
  check_fault("#SS", 12, kS(7));
  load_es(3);
  check_none("null selector loads");
  read_es(0);
  check_fault("#GP through a null selector", 13, 0);
  load_ss(0);
  check_fault("#GP SS null", 13, 0);
  load_es(0x1000);
  check_fault("#GP beyond the table", 13, 0x1000);
  load_es(kS(0) | 4);
  check_fault("#GP no LDT", 13, kS(0) | 4);
  put(8, descriptor(0, 0xfffff, 0x92, 12));  // accessed bit clear
  load_es(kS(8));
  check_eq("accessed bit set by the load", rt_gdt[kS(8) / 8] >> 40 & 1, 1);
  restore();
}

void ldt() {
  alignas(8) static u64 table[4];
  table[1] = descriptor(at(area), 15, 0x93, 4);
  put(9, descriptor(at(table), sizeof table - 1, 0x82, 0));
  TRY("lldt %w0", : : "r"(u32{kS(9)}) : "memory");
  check_none("LLDT");
  load_es(8 | 4);
  check_none("ES from the LDT");
  read_es(12);
  check_none("in it");
  read_es(13);
  check_fault("#GP beyond it", 13, 0);
  load_es(32 | 4);
  check_fault("#GP beyond the LDT", 13, 32 | 4);
  restore();
  u32 v;
  asm volatile("sldt %0" : "=r"(v));
  check_eq("SLDT", v & 0xffff, kS(9));
  asm volatile("lldt %w0" : : "r"(0));
}

void questions() {
  u32 v = 0, zf;
  asm volatile("lar %2, %0; setz %b1; movzbl %b1, %1" : "=r"(v), "=&q"(zf) : "r"(u32{kData}) : "cc");
  check("LAR", zf == 1 && (v & 0xf0ff00) == 0xc09300);
  asm volatile("lar %2, %0; setz %b1; movzbl %b1, %1" : "=r"(v), "=&q"(zf) : "r"(0u) : "cc");
  check("LAR null", zf == 0);
  asm volatile("lsl %2, %0; setz %b1; movzbl %b1, %1" : "=r"(v), "=&q"(zf) : "r"(u32{kS(1)}) : "cc");
  check("LSL in bytes", zf == 1 && v == 4095);
  asm volatile("lsl %2, %0; setz %b1; movzbl %b1, %1" : "=r"(v), "=&q"(zf) : "r"(u32{0x7ff0}) : "cc");
  check("LSL beyond the table", zf == 0);
  asm volatile("verr %w1; setz %b0; movzbl %b0, %0" : "=q"(zf) : "r"(u32{kS(6)}) : "cc");
  check("VERR execute-only", zf == 0);
  asm volatile("verr %w1; setz %b0; movzbl %b0, %0" : "=q"(zf) : "r"(u32{kS(5)}) : "cc");
  check("VERR read-only", zf == 1);
  asm volatile("verw %w1; setz %b0; movzbl %b0, %0" : "=q"(zf) : "r"(u32{kS(5)}) : "cc");
  check("VERW read-only", zf == 0);
  v = 0x10;
  asm volatile("arpl %w2, %w0; setz %b1; movzbl %b1, %1" : "+r"(v), "=&q"(zf) : "r"(3u) : "cc");
  check("ARPL raises", zf == 1 && v == 0x13);
  asm volatile("arpl %w2, %w0; setz %b1; movzbl %b1, %1" : "+r"(v), "=&q"(zf) : "r"(1u) : "cc");
  check("ARPL leaves", zf == 0 && v == 0x13);
}

void bounds() {
  struct { i32 low, high; } pair = {-5, 10};
  TRY("bound %0, %1", : : "r"(-5), "m"(pair) : "memory");
  check_none("BOUND at the lower end");
  TRY("bound %0, %1", : : "r"(11), "m"(pair) : "memory");
  check_fault("#BR", 5);
  TRY("mov $0x7fffffff, %%eax; add $1, %%eax\n movl $1f, rt_try_ip\n1: into", : : : "eax", "memory", "cc");
  check_trap("#OF", 4, 1);
  TRY("xor %%eax, %%eax; into", : : : "eax", "memory", "cc");
  check_none("INTO without overflow");
}

struct FarPointer { u32 ip; u16 cs; } __attribute__((packed));
extern "C" void gate_target();
extern "C" void gate_target_args();
extern "C" void conforming_target();
asm(R"(
        .globl gate_target, gate_target_args, conforming_target
gate_target:
        mov     %cs, %eax
        mov     %eax, gate_seen_cs
        lret
gate_target_args:
        mov     %cs, %eax
        mov     %eax, gate_seen_cs
        mov     8(%esp), %eax
        mov     %eax, gate_seen_args
        mov     %esp, gate_seen_sp
        lret    $8
conforming_target:
        mov     %cs, %eax
        mov     %eax, gate_seen_cs
        lret
        .data
        .globl gate_seen_cs, gate_seen_args, gate_seen_sp
gate_seen_cs: .long 0
gate_seen_args: .long 0
gate_seen_sp: .long 0
        .text
)");
extern "C" volatile u32 gate_seen_cs, gate_seen_args, gate_seen_sp;
FarPointer far_target;
extern "C" { volatile u8 user_sp_back; }
void user_gate() { asm volatile("lcall *%0; int $0x80" : : "m"(far_target) : "eax", "memory"); }
void user_gate_args() {
  asm volatile("mov %%esp, %%ebx; push $0x1111; push $0x2222; lcall *%0; cmp %%ebx, %%esp; sete user_sp_back; int $0x80" : : "m"(far_target) : "eax", "ebx", "memory");
}

void far_calls() {
  put(10, descriptor(0, 0xfffff, 0x9b, 12));
  far_target = {at(reinterpret_cast<void*>(gate_target)), kS(10)};
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_none("far call");
  check_eq("CS of the far call", gate_seen_cs, kS(10));
  far_target.cs = kData;
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_fault("#GP far call to data", 13, kData);
  far_target.cs = 0;
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_fault("#GP far call to null", 13, 0);
  put(11, descriptor(0, 100, 0x9b, 4));
  far_target.cs = kS(11);
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_fault("#GP target beyond the limit", 13, 0);
  far_target.cs = kUser32;
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_fault("#GP outward call", 13, kUser32 & ~3);
  // call gates
  put(12, gate(kS(10), at(reinterpret_cast<void*>(gate_target)), 0xec));
  far_target = {0xdeadbeef, kS(12)};
  gate_seen_cs = 0;
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_none("call gate at the same level");
  check_eq("its CS", gate_seen_cs, kS(10));
  put(12, gate(kS(10), at(reinterpret_cast<void*>(gate_target)), 0x6c));
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_fault("#NP call gate", 11, kS(12));
  put(12, gate(kData, 0, 0xec));
  TRY("lcall *%0", : : "m"(far_target) : "eax", "memory");
  check_fault("#GP call gate to data", 13, kData);
  // from CPL 3 to 0, with and without arguments
  put(12, gate(kCode32, at(reinterpret_cast<void*>(gate_target)), 0xec));
  far_target = {0, u16(kS(12) | 3)};
  gate_seen_cs = 99;
  call_user(user_gate);
  check("call gate from CPL 3", rt_fault.vector == kNone && gate_seen_cs == kCode32);
  put(12, gate(kCode32, at(reinterpret_cast<void*>(gate_target_args)), 0xec, 2));
  call_user(user_gate_args);
  check("two arguments copied", rt_fault.vector == kNone && gate_seen_args == 0x2222);
  check_eq("RET n frees them on both stacks", user_sp_back, 1);
  put(12, gate(kCode32, at(reinterpret_cast<void*>(gate_target)), 0x8c));
  call_user(user_gate);
  check("#GP call gate of DPL 0 from CPL 3", faulted(13, kS(12)));
  // conforming code runs at the caller's level
  put(13, descriptor(0, 0xfffff, 0x9f, 12));
  far_target = {at(reinterpret_cast<void*>(conforming_target)), u16(kS(13) | 3)};
  call_user(user_gate);
  check("conforming code from CPL 3", rt_fault.vector == kNone && gate_seen_cs == (kS(13) | 3));
}

extern "C" { volatile u32 user_fs = 99; }
void irets() {
  TRY("pushfl; push %0; push $0x1234\n movl $1f, rt_try_ip\n1: iret", : : "r"(u32{kData}) : "memory");
  check_fault("#GP IRET to data", 13, kData);
  TRY("pushfl; push $0; push $0x1234\n movl $1f, rt_try_ip\n1: iret", : : : "memory");
  check_fault("#GP IRET to null", 13, 0);
  TRY("push %1; push $0x1000; pushfl; push %0; push $0x1234\n movl $1f, rt_try_ip\n1: iret", : : "r"(u32{kUser32}), "r"(u32{kData}) : "memory");
  check_fault("#GP IRET outward with SS of another level", 13, kData);
  TRY("pushfl; push %0; push $2f\n movl $1f, rt_try_ip\n1: iret\n2: nop", : : "r"(u32{kCode32}) : "memory");
  check_none("IRET to the same level");
  u32 flags;
  asm volatile("pushfl; orl $0x200cd5, (%%esp); push %1; push $2f; iret\n2: pushfl; pop %0; pushl $2; popfl" : "=r"(flags) : "r"(u32{kCode32}) : "memory", "cc");
  check_eq("IRET loads the flags", flags & 0x200cd5, 0x200cd5);
  // to CPL 3: data segments of a higher privilege become null
  asm volatile("mov %w0, %%fs" : : "r"(u32{kData}));
  call_user([] { asm volatile("mov %%fs, %%eax; mov %%eax, user_fs; int $0x80" : : : "eax", "memory"); });
  check_eq("IRET to CPL 3 clears FS", user_fs, 0);
}

void busy_tss() {
  u8 type = rt_gdt[kTss / 8] >> 40 & 0xf;
  check_eq("LTR makes the TSS busy", type, 0xb);
  TRY("ltr %w0", : : "r"(u32{kTss}) : "memory");
  check_fault("#GP LTR of a busy TSS", 13, kTss);
  u32 v;
  asm volatile("str %0" : "=r"(v));
  check_eq("STR", v & 0xffff, kTss);
}

void io_map() {
  // a map of ports in the TSS: 0x80 allowed, 0x81 not
  u8* map = rt_tss + 104;
  set(map, 0xff, 32);
  map[0x80 / 8] = 0xfe;
  write8(at(rt_tss) + 102, 104);
  u64& d = rt_gdt[kTss / 8];
  d = (d & ~u64{0xffff}) | (104 + 31);
  d &= ~(u64{2} << 40);
  asm volatile("ltr %w0" : : "r"(u32{kTss}));
  call_user([] { asm volatile("in $0x80, %%al; int $0x80" : : : "eax", "memory"); });
  check_eq("a port that the map allows", rt_fault.vector, kNone);
  call_user([] { asm volatile("in $0x81, %%al; int $0x80" : : : "eax", "memory"); });
  check("#GP a port that it does not", faulted(13, 0));
  call_user([] { asm volatile("in $0x80, %%ax; int $0x80" : : : "eax", "memory"); });
  check("#GP a word that touches it", faulted(13, 0));
}
}  // namespace

extern "C" void rt_main() {
  limits();
  types();
  ldt();
  questions();
  bounds();
  far_calls();
  irets();
  busy_tss();
  io_map();
}
