// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// CPUS 4
// SKIP bochs is run with one processor
// INIT and SIPI: each other processor starts in real mode at the vector's page, comes to long mode, takes part in locked counting, gets an IPI.
// SDM 3A "Multiple-Processor Initialization"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u64 kApic = 0xfee00000;
constexpr u32 kLow = 0x8000;
u32 apic(u32 r) { return read32(kApic + r); }
void apic(u32 r, u32 v) { write32(kApic + r, v); }
volatile u32 started, counted, finished, ipis, plain, ids;
alignas(16) u8 stacks[8][8192];
void pause() { asm volatile("pause"); }
bool await(volatile u32& v, u32 want) {
  for (u32 i = 0; i < 20000000; ++i) { if (v == want) return true; pause(); }
  return false;
}
void delay() { for (u32 i = 0; i < 20000; ++i) inb(0x80); }
}  // namespace
extern "C" {
extern u32 rt_ap_entry;
extern u8 ap_low[], ap_low_end[];
extern volatile u32 ap_stack;
[[noreturn]] void ap_main();
}
asm(R"(
        .code16
        .globl ap_low, ap_low_end
ap_low: cli
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %cs, %bx                # the vector of the SIPI << 8
        cmp     $0x800, %bx
        jne     .
        lgdtl   0x8000 + ap_pointer - ap_low
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $0x08, $ap_32
        .balign 8
ap_pointer:
        .word   511
        .long   rt_gdt
ap_low_end:
        .code32
ap_32:  mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     ap_stack, %esp
        jmp     rt_enter_long
        .code64
        .data
        .globl ap_stack
ap_stack: .long 0
        .text
)");
extern "C" void ap_main() {
  reload_idt();
  apic(0xf0, 0x1ff);
  u32 id = apic(0x20) >> 24;
  asm volatile("lock orl %1, %0" : "+m"(ids) : "r"(1u << id) : "memory");
  asm volatile("lock incl %0" : "+m"(started) : : "memory");
  while (counted == 0) pause();
  for (u32 i = 0; i < 20000; ++i) {
    asm volatile("lock incl %0" : "+m"(plain) : : "memory");
    if ((i & 1) != 0) { u32 one = 1; asm volatile("lock xaddl %0, %1" : "+r"(one), "+m"(plain) : : "memory"); }
  }
  asm volatile("lock incl %0" : "+m"(finished) : : "memory");
  for (;;) asm volatile("sti; hlt");
}

extern "C" void rt_main() {
  copy(reinterpret_cast<void*>(kLow), ap_low, u64(ap_low_end - ap_low));
  rt_ap_entry = u32(reinterpret_cast<u64>(&ap_main));
  on_trap(0x40, [](Frame&) { asm volatile("lock incl %0" : "+m"(ipis) : : "memory"); apic(0xb0, 0); });
  apic(0xf0, 0x1ff);
  check("the first processor is the bootstrap processor", (rdmsr(0x1b) & 0x100) != 0);
  u32 others = 0;
  for (u32 id = 1; id < 4; ++id) {
    ap_stack = u32(reinterpret_cast<u64>(stacks[id]) + sizeof stacks[id]);
    u32 before = started;
    apic(0x310, id << 24);
    apic(0x300, 0x4500);  // INIT
    delay();
    apic(0x310, id << 24);
    apic(0x300, 0x4608);  // SIPI, page 8
    if (!await(started, before + 1)) {
      apic(0x310, id << 24);
      apic(0x300, 0x4608);
      if (!await(started, before + 1)) break;
    }
    ++others;
  }
  check_eq("three processors started", others, 3);
  check_eq("their APIC IDs", ids, 0xe);
  // a SIPI to a processor that does not wait for one is ignored
  apic(0x310, 1 << 24);
  apic(0x300, 0x4608);
  delay();
  check_eq("a SIPI more is ignored", started, others);
  counted = 1;
  check("all have counted", await(finished, others));
  check_eq("locked increments lose nothing", plain, others * 30000);
  delay();
  apic(0x310, 2 << 24);
  apic(0x300, 0x4040);  // fixed, physical
  check("IPI to one", await(ipis, 1));
  apic(0x300, 0xc4040);  // all excluding self
  check("IPI to all but itself", await(ipis, 1 + others));
  apic(0xe0, 0xffffffff);
  apic(0xd0, 0x01000000);
  apic(0x300, 0x84040);  // all including self
  for (u32 i = 0; i < 100; ++i) asm volatile("sti; nop; cli");
  check("IPI to all", await(ipis, 2 + 2 * others));
  // INIT puts a processor back to waiting; SIPI starts it anew
  u32 before = started;
  ap_stack = u32(reinterpret_cast<u64>(stacks[1]) + sizeof stacks[1]);
  apic(0x310, 1 << 24);
  apic(0x300, 0x4500);
  delay();
  apic(0x300, 0x4608);
  check("started anew after INIT", await(started, before + 1));
}
