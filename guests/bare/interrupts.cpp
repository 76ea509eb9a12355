// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu takes reserved bits of CR8
// SKIP bochs leaves IA32_TSC_DEADLINE as it is when the deadline has come
// 8259 with the 8254, local APIC timer, IO-APIC, self-IPI, NMI to itself and its blocking, interrupt shadows, HLT, priorities.
// SDM 3A "Advanced Programmable Interrupt Controller", 2A "STI", "MOV"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u64 kApic = 0xfee00000, kIoApic = 0xfec00000;
volatile u32 count[256];
volatile u64 last_ip, order, depth;
u32 apic(u32 r) { return read32(kApic + r); }
void apic(u32 r, u32 v) { write32(kApic + r, v); }
void eoi() { apic(0xb0, 0); }
u32 ioapic(u32 r) { write32(kIoApic, r); return read32(kIoApic + 0x10); }
void ioapic(u32 r, u32 v) { write32(kIoApic, r); write32(kIoApic + 0x10, v); }
void wait(volatile u32& n, u32 until) {
  for (u64 end = rdtsc() + 3000000000ull; n < until && rdtsc() < end;) asm volatile("sti; nop; cli");
}
void pic_handler(Frame& f) { count[f.vector] = count[f.vector] + 1; outb(0x20, 0x20); }
void apic_handler(Frame& f) { count[f.vector] = count[f.vector] + 1; last_ip = f.ip; eoi(); }

void pic_setup(u8 mask) {
  outb(0x20, 0x11); outb(0x21, 0x20); outb(0x21, 4); outb(0x21, 1);
  outb(0xa0, 0x11); outb(0xa1, 0x28); outb(0xa1, 2); outb(0xa1, 1);
  outb(0x21, mask); outb(0xa1, 0xff);
}
u32 pit_count() {
  outb(0x43, 0x00);  // latch channel 0
  u32 a = inb(0x40);
  return a | u32{inb(0x40)} << 8;
}
void periods(u32 n) {  // that many times the 8254 starts anew, with interrupts let in
  for (u32 last = pit_count(); n > 0;) {
    u32 now = pit_count();
    if (now > last) --n;
    last = now;
    asm volatile("sti; nop; cli");
  }
}
void pic_pit() {
  on_trap(0x20, pic_handler);
  pic_setup(0xfe);
  check_eq("8259 mask reads back", inb(0x21), 0xfe);
  outb(0x43, 0x34); outb(0x40, 0x9c); outb(0x40, 0x2e);  // mode 2, 11932: 100 Hz
  u64 begin = rdtsc();
  wait(count[0x20], 3);
  check("three ticks of the 8254 through the 8259", count[0x20] >= 3);
  check("time passed", rdtsc() > begin);
  check("8254 counts within its period", pit_count() <= 11932);
  outb(0x21, 0xff);
  u32 before = count[0x20];
  periods(2);
  check_eq("masked", count[0x20], before);
  outb(0x20, 0x0a);
  check("the request is pending in the 8259's IRR", (inb(0x20) & 1) == 1);
  outb(0x21, 0xff); outb(0xa1, 0xff);
  outb(0x43, 0x30); outb(0x40, 0xff); outb(0x40, 0xff);  // mode 0: no more ticks
}

void hlt_wakes() {
  on_trap(0x30, apic_handler);
  apic(0xf0, 0x1ff);
  apic(0x3e0, 0xb);  // divide by 1
  apic(0x320, 0x30);
  apic(0x380, 100000);
  asm volatile("sti; hlt; cli");
  check_eq("HLT until the local APIC timer", count[0x30], 1);
  check_eq("one shot: the count is 0", apic(0x390), 0);
  apic(0x320, 0x20030);  // periodic
  apic(0x380, 50000);
  wait(count[0x30], 4);
  check("periodic timer", count[0x30] >= 4);
  apic(0x320, 0x10030);
  apic(0x380, 0);
  u32 n = count[0x30];
  for (u32 i = 0; i < 10000; ++i) asm volatile("sti; nop; cli");
  check("masked timer", count[0x30] - n <= 1);
}

void ipi(u8 vector) { apic(0x310, 0); apic(0x300, 0x44000 | vector); }  // to itself
void shadows() {
  for (u32 v = 0x40; v < 0xf0; ++v) on_trap(u8(v), apic_handler);
  ipi(0x50);
  for (u32 i = 0; i < 1000; ++i) asm volatile("nop");
  check_eq("not while IF is 0", count[0x50], 0);
  check_eq("in the IRR", apic(0x220) & 0x10000, 0x10000);
  asm volatile("mov $1f, %%rax; mov %%rax, %0\n sti\n nop\n1: nop\n cli" : "=m"(depth) : : "rax", "memory");
  check_eq("delivered", count[0x50], 1);
  check_eq("one instruction after STI", last_ip, depth);
  ipi(0x51);
  asm volatile("sti; cli");
  check_eq("STI; CLI lets nothing in", count[0x51], 0);
  asm volatile("sti; nop; cli");
  check_eq("but STI; NOP; CLI does", count[0x51], 1);
  ipi(0x52);
  asm volatile("mov $1f, %%rax; mov %%rax, %0\n sti\n mov %%ss, %%ecx\n1: nop\n cli" : "=m"(depth) : : "rax", "rcx", "memory");
  check_eq("MOV from SS has no shadow", last_ip, depth);
  // MOV SS holds interrupts off for one instruction more
  on_trap(1, [](Frame& f) { last_ip = f.ip; count[1] = count[1] + 1; f.flags &= ~word{0x100}; });
  asm volatile("mov $1f, %%rax; mov %%rax, %0\n mov %%ss, %%ecx\n pushfq\n orq $0x100, (%%rsp)\n popfq\n mov %%ecx, %%ss\n nop\n1: nop" : "=m"(depth) : : "rax", "rcx", "memory", "cc");
  check("MOV SS holds the single step off", last_ip == depth);
  on_trap(1, nullptr);
}

void priorities() {
  order = 0;
  static constexpr u8 kVectors[] = {0x61, 0x72, 0x83};
  for (u8 v : kVectors) on_trap(v, [](Frame& f) { order = order << 8 | f.vector; eoi(); });
  ipi(0x61); ipi(0x83); ipi(0x72);
  asm volatile("sti; nop; nop; nop; nop; cli");
  check_eq("the highest vector first", order, 0x837261);
  apic(0x80, 0x70);  // TPR: classes up to 7 wait
  order = 0;
  ipi(0x61); ipi(0x72); ipi(0x83);
  asm volatile("sti; nop; nop; nop; cli");
  check_eq("TPR", order, 0x83);
  u64 cr8;
  asm volatile("mov %%cr8, %0" : "=r"(cr8));
  check_eq("CR8 is the TPR's class", cr8, 7);
  asm volatile("mov %0, %%cr8" : : "r"(u64{6}));
  asm volatile("sti; nop; nop; nop; cli");
  check_eq("CR8 lower", order, 0x8372);
  asm volatile("mov %0, %%cr8" : : "r"(u64{0}));
  asm volatile("sti; nop; nop; nop; cli");
  check_eq("CR8 = 0", order, 0x837261);
  TRY("mov %0, %%cr8", : : "r"(u64{16}) : "memory");
  check_fault("#GP CR8 of 16", 13, 0);
  // nesting: a handler with IF set is interrupted by a higher class only
  on_trap(0x61, [](Frame&) { order = order << 8 | 0x61; ipi(0x62); ipi(0x72); asm volatile("sti; nop; nop; nop; cli"); order = order << 8 | 0x01; eoi(); });
  on_trap(0x62, [](Frame&) { order = order << 8 | 0x62; eoi(); });
  order = 0;
  ipi(0x61);
  asm volatile("sti; nop; nop; nop; nop; cli");
  check_eq("nesting by class", order, 0x61720162);
}

volatile u32 nmi_depth, nmi_max;
void nmis() {
  on_trap(2, [](Frame&) {
    nmi_depth = nmi_depth + 1;
    if (nmi_depth > nmi_max) nmi_max = nmi_depth;
    count[2] = count[2] + 1;
    if (count[2] == 1) { apic(0x300, 0x4400); for (u32 i = 0; i < 1000; ++i) asm volatile("nop"); }  // another one meanwhile: it waits
    nmi_depth = nmi_depth - 1;
  });
  apic(0x310, apic(0x20));
  apic(0x300, 0x4400);  // NMI, physical, to itself by its ID
  for (u32 i = 0; i < 1000; ++i) asm volatile("nop");
  check("NMI with IF = 0", count[2] >= 1);
  check_eq("the second one waited for IRET", count[2] * 16 + nmi_max, 2 * 16 + 1);
  on_trap(2, nullptr);
}

void io_apic() {
  check_eq("IO-APIC version", ioapic(1) & 0xff00ff, 0x170000 | (ioapic(1) & 0xff));
  on_trap(0x90, apic_handler);
  // the 8254 is pin 2 (the MADT's override of ISA IRQ 0), edge triggered
  ioapic(0x10 + 2 * 2 + 1, apic(0x20) & 0xff000000);
  ioapic(0x10 + 2 * 2, 0x90);
  outb(0x43, 0x34); outb(0x40, 0x9c); outb(0x40, 0x2e);
  wait(count[0x90], 3);
  check("8254 through pin 2 of the IO-APIC", count[0x90] >= 3);
  ioapic(0x10 + 2 * 2, 0x10090);
  check_eq("mask reads back", ioapic(0x10 + 2 * 2) & 0x1f7ff, 0x10090);
  u32 n = count[0x90];
  periods(2);
  check("masked pin", count[0x90] - n <= 1);
  outb(0x43, 0x30); outb(0x40, 0xff); outb(0x40, 0xff);
}

void deadline() {
  if ((cpuid(1).c >> 24 & 1) == 0) { printf("no TSC deadline\n"); return; }
  on_trap(0x31, apic_handler);
  apic(0x320, 0x40031);
  asm volatile("mfence");
  wrmsr(0x6e0, rdtsc() + 100000);
  asm volatile("sti; hlt; cli");
  check_eq("TSC deadline", count[0x31], 1);
  check_eq("it disarms itself", rdmsr(0x6e0), 0);
  wrmsr(0x6e0, 1);  // in the past: at once
  asm volatile("sti; nop; nop; cli");
  check_eq("a deadline gone by", count[0x31], 2);
  apic(0x320, 0x10031);
}

void x2apic() {
  if ((cpuid(1).c >> 21 & 1) == 0) { printf("no x2APIC\n"); return; }
  wrmsr(0x1b, rdmsr(0x1b) | 0x400);
  check_eq("x2APIC version", rdmsr(0x803) & 0xf0, 0x10);
  on_trap(0x55, [](Frame&) { count[0x55] = count[0x55] + 1; wrmsr(0x80b, 0); });
  wrmsr(0x83f, 0x55);  // SELF IPI
  asm volatile("sti; nop; nop; cli");
  check_eq("SELF_IPI", count[0x55], 1);
  TRY("wrmsr", : : "c"(0x80b), "a"(1), "d"(0) : "memory");
  check_fault("#GP EOI of other than 0", 13, 0);
  TRY("wrmsr", : : "c"(0x802), "a"(1), "d"(0) : "memory");
  check_fault("#GP the ID is read-only", 13, 0);
}
}  // namespace

extern "C" void rt_main() {
  on_trap(0xff, [](Frame&) {});  // spurious
  pic_pit();
  hlt_wakes();
  shadows();
  priorities();
  nmis();
  io_apic();
  deadline();
  x2apic();
}
