// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu does not clear DR6 bits as silicon, and reports #AC, #SS of stack pushes otherwise
// Every exception that software can raise, with its error code, its RIP, CR2, the interrupt stack table and a double fault.
// SDM 3A "Interrupt and Exception Handling"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u64 kHole = 0x40000000, kNonCanonical = 0x8000'0000'0000;
extern "C" u64 rt_pd[];
alignas(16) u8 ist_stack[8192], df_stack[8192];
volatile u64 seen_sp, seen_vector, seen_error, seen_flags;
u64 word_at = 0x1122334455667788;

void divide() {
  TRY("xor %%edx, %%edx; mov $7, %%eax; xor %%ecx, %%ecx\n movq $1f, rt_try_ip\n1: div %%ecx", : : : "eax", "ecx", "edx", "memory");
  check_fault("#DE by zero", 0);
  TRY("mov $0xffff, %%ax; mov $1, %%cl\n movq $1f, rt_try_ip\n1: div %%cl", : : : "eax", "ecx", "memory");
  check_fault("#DE quotient too large", 0);
  check_eq("#DE leaves AX", rt_fault.ax & 0xffff, 0xffff);
  TRY("mov $0x80000000, %%eax; cltd; mov $-1, %%ecx\n movq $1f, rt_try_ip\n1: idiv %%ecx", : : : "eax", "ecx", "edx", "memory");
  check_fault("#DE most negative by -1", 0);
  TRY("mov $-128, %%ax; mov $1, %%cl; idiv %%cl", : : : "eax", "ecx", "memory");
  check_none("IDIV -128 by 1");
}

void software() {
  TRY("int3", : : : "memory");
  check_trap("#BP", 3, 1);
  TRY(".byte 0xcd, 3", : : : "memory");
  check_trap("INT 3 in two bytes", 3, 2);
  TRY("int $0x55", : : : "memory");
  check_trap("INT n", 0x55, 2);
  TRY("ud2", : : : "memory");
  check_fault("#UD UD2", 6);
  TRY(".byte 0x06", : : : "memory");  // PUSH ES
  check_fault("#UD PUSH ES in 64-bit mode", 6);
  TRY(".byte 0xf0, 0x89, 0xc0", : : : "memory");  // LOCK MOV EAX, EAX
  check_fault("#UD LOCK with a register", 6);
  TRY(".byte 0x0f, 0xff, 0xc0", : : : "memory");  // UD0 EAX, EAX
  check_fault("#UD UD0", 6);
  TRY(".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90", : : : "memory");
  check_fault("#GP 16 bytes of instruction", 13, 0);
  TRY(".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90", : : : "memory");
  check_none("15 bytes of instruction");
  TRY("into_not: .byte 0xce", : : : "memory");  // INTO
  check_fault("#UD INTO in 64-bit mode", 6);
}

void debug() {
  // TF: a trap after the next instruction; the handler's frame points behind it.
  TRY("pushfq; orq $0x100, (%%rsp); popfq\n movq $1f, rt_try_ip\n nop\n1: nop", : : : "memory", "cc");
  check("#DB single step", rt_fault.vector == 1);
  u64 dr6;
  asm volatile("mov %%dr6, %0" : "=r"(dr6));
  check_eq("DR6.BS", dr6 & 0xe00f, 0x4000);
  asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
  // a data breakpoint on a write, four bytes
  asm volatile("mov %0, %%dr0" : : "r"(&word_at));
  asm volatile("mov %0, %%dr7" : : "r"(u64{0x000d0401 | 2}));  // L0 G0, write, 4 bytes (LE bit 10 is fixed)
  TRY("movq $1f, rt_try_ip; mov $1, %%eax; mov %%eax, (%0)\n1: nop", : : "r"(&word_at) : "eax", "memory");
  check("#DB data write", rt_fault.vector == 1);
  check("#DB data write is a trap", rt_fault.ip == rt_try_ip);
  asm volatile("mov %%dr6, %0" : "=r"(dr6));
  check_eq("DR6.B0", dr6 & 0xe00f, 1);
  asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
  TRY("mov (%0), %%eax", : : "r"(&word_at) : "eax", "memory");
  check_none("no #DB for a read");
  // an instruction breakpoint is a fault
  asm volatile("mov $1f, %%rax; mov %%rax, %%dr0; jmp 2f; 1: nop; ret; 2:" : : : "rax");
  asm volatile("mov %0, %%dr7" : : "r"(u64{0x402}));
  TRY("mov %%dr0, %%rax; mov %%rax, rt_try_ip; call *%%rax", : : : "rax", "memory");
  check_fault("#DB instruction breakpoint", 1);
  // DR7.GD: an access to a debug register traps before it is made
  asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
  asm volatile("mov %0, %%dr7" : : "r"(u64{0x2400}));
  TRY("mov %%dr0, %%rax", : : : "rax", "memory");
  check_fault("#DB general detect", 1);
  asm volatile("mov %%dr6, %0" : "=r"(dr6));
  check_eq("DR6.BD", dr6 & 0xe00f, 0x2000);
  asm volatile("mov %0, %%dr7" : : "r"(u64{0x400}));
  asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
  set_cr4(cr4() | 8);  // DE
  TRY("mov %%dr4, %%rax", : : : "rax", "memory");
  check_fault("#UD DR4 with CR4.DE", 6);
  set_cr4(cr4() & ~word{8});
  TRY("mov %0, %%dr7", : : "r"(u64{1} << 32) : "memory");
  check_fault("#GP high half of DR7", 13, 0);
}

void general() {
  TRY("mov (%0), %%rax", : : "r"(kNonCanonical) : "rax", "memory");
  check_fault("#GP non-canonical load", 13, 0);
  TRY("mov %%rax, (%0)", : : "r"(kNonCanonical) : "memory");
  check_fault("#GP non-canonical store", 13, 0);
  set_ist(3, reinterpret_cast<u64>(ist_stack) + sizeof ist_stack);  // the frame could not be pushed where RSP points
  gate_ist(12, 3);
  TRY("mov %0, %%rsp\n movq $1f, rt_try_ip\n1: push %%rax", : : "r"(kNonCanonical + 8) : "memory");
  check_fault("#SS push to non-canonical", 12, 0);
  gate_ist(12, 0);
  TRY("mov %0, %%rbp\n movq $1f, rt_try_ip\n1: mov (%%rbp), %%rax", : : "r"(kNonCanonical) : "rbp", "rax", "memory");
  check_fault("#SS load through RBP", 12, 0);
  TRY("wrmsr", : : "c"(0x12345678), "a"(0), "d"(0) : "memory");
  check_fault("#GP WRMSR of no such register", 13, 0);
  TRY("mov %0, %%cr4", : : "r"(cr4() | u64{1} << 40) : "memory");
  check_fault("#GP reserved bit of CR4", 13, 0);
  TRY("mov %0, %%cr0", : : "r"(cr0() & ~word{1}) : "memory");
  check_fault("#GP CR0 PG without PE", 13, 0);
  TRY("mov %0, %%cr4", : : "r"(cr4() & ~word{0x20}) : "memory");
  check_fault("#GP CR4.PAE off in long mode", 13, 0);
  TRY("mov %w0, %%ds", : : "r"(0xfff8) : "memory");
  check_fault("#GP selector beyond the table", 13, 0xfff8);
  TRY("mov %w0, %%ss", : : "r"(kUserData) : "memory");
  check_fault("#GP SS of another privilege", 13, kUserData & ~3);
  rt_gdt[kSpare / 8] = rt_gdt[kData / 8] & ~(u64{1} << 47);
  TRY("mov %w0, %%ds", : : "r"(kSpare) : "memory");
  check_fault("#NP data segment", 11, kSpare);
  TRY("mov %w0, %%ss", : : "r"(kSpare) : "memory");
  check_fault("#SS stack segment not present", 12, kSpare);
  set_gate(0x60, 0x1000, 0x0e);
  TRY("int $0x60", : : : "memory");
  check_fault("#NP gate", 11, 0x60 * 8 + 2);
  set_gate(0x60, 0x1000, 0x82);  // not a gate
  TRY("int $0x60", : : : "memory");
  check_fault("#GP no gate", 13, 0x60 * 8 + 2);
  set_gate(0x60, 0x1000, 0x8e, 0);
  TRY("int $0x60", : : : "memory");
  check_fault("#GP null selector in gate", 13, 0);
  set_gate(0x60, 0x1000, 0x8e, kData);
  TRY("int $0x60", : : : "memory");
  check_fault("#GP data selector in gate", 13, kData);
  TRY("lldt %w0", : : "r"(kData) : "memory");
  check_fault("#GP LLDT of a data segment", 13, kData);
}

void fpu_not_there() {
  set_cr0(cr0() | 8);  // TS
  TRY("fnop", : : : "memory");
  check_fault("#NM x87 with CR0.TS", 7);
  TRY("wait", : : : "memory");
  check_fault("#NM WAIT with TS and MP", 7);
  TRY("movaps %%xmm0, %%xmm1", : : : "memory");
  check_fault("#NM SSE with CR0.TS", 7);
  asm volatile("clts");
  set_cr0((cr0() & ~word{2}) | 4);  // EM
  TRY("fnop", : : : "memory");
  check_fault("#NM x87 with CR0.EM", 7);
  TRY("movaps %%xmm0, %%xmm1", : : : "memory");
  check_fault("#UD SSE with CR0.EM", 6);
  set_cr0((cr0() & ~word{4}) | 2);
  set_cr4(cr4() & ~word{0x200});
  TRY("movaps %%xmm0, %%xmm1", : : : "memory");
  check_fault("#UD SSE without CR4.OSFXSR", 6);
  set_cr4(cr4() | 0x200);
  TRY("movaps 8(%0), %%xmm1", : : "r"(ist_stack) : "memory");
  check_fault("#GP unaligned MOVAPS", 13, 0);
}

void page_fault() {
  u64 old = rt_pd[kHole >> 21];
  rt_pd[kHole >> 21] = 0;
  set_cr3(cr3());
  TRY("mov (%0), %%rax", : : "r"(kHole + 0x123) : "rax", "memory");
  check_fault("#PF read", 14, 0);
  check_eq("CR2", rt_fault.cr2, kHole + 0x123);
  TRY("mov %%al, (%0)", : : "r"(kHole + 0xfff) : "memory");
  check_fault("#PF write", 14, 2);
  check_eq("CR2 of the write", rt_fault.cr2, kHole + 0xfff);
  TRY("mov (%0), %%rax", : : "r"(kHole - 4) : "rax", "memory");
  check_fault("#PF across", 14, 0);
  check_eq("CR2 is the first byte of the page not there", rt_fault.cr2, kHole);
  rt_resume_ip = 0;
  TRY("call *%0", : : "r"(kHole) : "memory");
  check("#PF fetch", rt_fault.vector == 14 && (rt_fault.error & ~word{0x10}) == 0 && rt_fault.ip == kHole);
  check_eq("#PF fetch has I/D with NXE", rt_fault.error, 0x10);
  rt_pd[kHole >> 21] = old;
  set_cr3(cr3());
}

void handler_ist(Frame& f) {
  u64 sp;
  asm volatile("mov %%rsp, %0" : "=r"(sp));
  seen_sp = sp; seen_vector = f.vector; seen_error = f.error; seen_flags = f.flags;
  if (f.vector == 8) { f.ip = rt_resume_ip; f.sp = rt_resume_sp; f.cs = kCode64; f.ss = kData2; }
  else f.ip += 2;
}
void ist() {
  set_ist(1, reinterpret_cast<u64>(ist_stack) + sizeof ist_stack);
  set_ist(2, reinterpret_cast<u64>(df_stack) + sizeof df_stack);
  on_trap(6, handler_ist);
  gate_ist(6, 1);
  asm volatile("ud2" : : : "memory");
  check("IST switches the stack", seen_sp > reinterpret_cast<u64>(ist_stack) && seen_sp < reinterpret_cast<u64>(ist_stack) + sizeof ist_stack);
  on_trap(6, nullptr);
  gate_ist(6, 0);
  // double fault: #GP whose gate is not present raises #NP, contributory upon contributory
  on_trap(8, handler_ist);
  gate_ist(8, 2);
  set_gate(13, 0x1000, 0x0e);
  seen_vector = 0;
  TRY("mov (%0), %%rax", : : "r"(kNonCanonical) : "rax", "memory");
  check_eq("#DF", seen_vector, 8);
  check_eq("#DF error code", seen_error, 0);
  check("#DF on its stack", seen_sp > reinterpret_cast<u64>(df_stack) && seen_sp < reinterpret_cast<u64>(df_stack) + sizeof df_stack);
  // benign upon contributory is served serially: #UD with a gate not present gives #NP
  u64 entries = 0;
  asm volatile("mov $rt_trap_entries, %0" : "=r"(entries));
  set_gate(13, entries + 13 * 16);
  set_gate(6, 0x1000, 0x0e);
  TRY("ud2", : : : "memory");
  check_fault("#NP from the delivery of #UD, with EXT", 11, 6 * 8 + 3);
  set_gate(6, entries + 6 * 16);
  // page fault upon page fault: a push to a hole while delivering #PF
  u64 old = rt_pd[kHole >> 21];
  rt_pd[kHole >> 21] = 0;
  set_cr3(cr3());
  seen_vector = 0;
  TRY("mov %%rsp, %%rcx; mov %0, %%rsp; mov (%%rsp), %%rax", : : "r"(kHole + 0x800) : "rcx", "rax", "memory");
  check_eq("#DF from a page fault during a page fault", seen_vector, 8);
  rt_pd[kHole >> 21] = old;
  set_cr3(cr3());
  on_trap(8, nullptr);
  set_gate(8, entries + 8 * 16);
}

u64 unaligned[2];
void user_code() { asm volatile("pushfq; orq $0x40000, (%%rsp); popfq; mov 1(%0), %%eax; int $0x80" : : "r"(unaligned) : "eax", "memory"); }
void user_cli() { asm volatile("cli" : : : "memory"); }
void user_hlt() { asm volatile("hlt" : : : "memory"); }
void user_int() { asm volatile("int $0x55" : : : "memory"); }
void user_in() { asm volatile("in $0x80, %%al" : : : "eax", "memory"); }
void user_ok() { asm volatile("int $0x80" : : : "memory"); }
void user() {
  call_user(user_ok);
  check_eq("CPL 3 and back", rt_fault.vector, kNone);
  set_cr0(cr0() | 0x40000);  // AM
  call_user(user_code);
  check("#AC", faulted(17, 0));
  set_cr0(cr0() & ~word{0x40000});
  call_user(user_code);
  check("no #AC without CR0.AM", rt_fault.vector == kNone);
  call_user(user_cli);
  check("#GP CLI at CPL 3", faulted(13, 0));
  check_eq("SS of the frame", rt_fault.ss, kUserData);
  check_eq("CS of the frame", rt_fault.cs, kUser64);
  call_user(user_hlt);
  check("#GP HLT at CPL 3", faulted(13, 0));
  call_user(user_int);
  check("#GP INT through a gate of DPL 0", faulted(13, 0x55 * 8 + 2));
  call_user(user_in);
  check("#GP IN without the I/O map", faulted(13, 0));
}
}  // namespace

extern "C" void rt_main() {
  divide();
  software();
  debug();
  general();
  fpu_not_there();
  page_fault();
  ist();
  user();
}
