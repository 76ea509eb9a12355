// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// CPUS 2
// NEEDS vitrine
// INIT, SIPI and NMI from another processor in VMX operation: blocked in the root, exits of a guest by its activity state, what is kept and what is lost.
// SDM 3C "VMX Operation", "Other Causes of VM Exits", "Guest Non-Register State", "Saving Non-Register State"
#include "vmx.hpp"
using namespace vmx;

extern "C" {
extern u32 rt_ap_entry;
extern u8 sv_low[], sv_low_end[], sv_guest[];
u32 sv_enter(u32 launch);
alignas(16) u8 sv_stack[8192];
[[noreturn]] void ap_main();
}
asm(R"(
        .code16
        .globl sv_low, sv_low_end, sv_guest, sv_enter
sv_low: lgdtl   %cs:(sv_pointer - sv_low)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $0x08, $sv_32
sv_pointer:
        .word   511
        .long   rt_gdt
sv_low_end:
        .code32
sv_32:  mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %ss
        mov     $sv_stack + 8192, %esp
        jmp     rt_enter_long
        .code64
sv_guest: pause
        jmp     sv_guest
sv_enter: push  %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
        mov     $0x6c14, %eax           # HOST_RSP
        vmwrite %rsp, %rax
        test    %edi, %edi
        jz      1f
        vmlaunch
        jmp     2f
1:      vmresume
2:      mov     $1, %eax
        jmp     3f
        .globl  sv_exit
sv_exit: xor    %eax, %eax
3:      pop     %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
        ret
)");
extern "C" u8 sv_exit[];

namespace {
constexpr u64 kApic = 0xfee00000;
constexpr u32 kPage = 0x10;
void apic(u32 r, u32 v) { write32(kApic + r, v); }
u64 at(const volatile void* p) { return reinterpret_cast<u64>(p); }
void send(u32 low) { apic(0x310, 1 << 24), apic(0x300, low); }
constexpr u32 kInit = 0x4500, kSipi = 0x4600, kNmi = 0x4400, kFixed = 0x4060;
void delay() { for (u32 i = 0; i < 3000; ++i) inb(0x80); }
template <class F> bool await(F f) {
  for (u32 i = 0; i < 1000000; ++i) { if (f()) return true; asm volatile("pause"); }
  return false;
}
alignas(4096) u8 on_page[4096], vmcs_page[4096];
volatile u32 started, phase, progress, allowed, nmis, interrupts, entered, left, reason, intr, vectoring, activity_saved;
volatile u64 qualification;

// What the other processor sends while the guest is in its state; 0 ends. What the exit is to say.
struct Row { const char* name; u32 activity; u32 before[4], then; u32 reason; u64 qualification; u32 intr; };
const Row kRows[] = {{"INIT to a guest that runs", 0, {}, kInit, 3, 0, 0},
                     {"INIT to one that is halted", 1, {}, kInit, 3, 0, 0},
                     {"INIT to one in shutdown", 2, {}, kInit, 3, 0, 0},
                     {"a SIPI to one that waits for it", 3, {}, kSipi | 0x55, 4, 0x55, 0},
                     {"a SIPI to one that runs is lost", 0, {kSipi | 0x77}, kInit, 3, 0, 0},
                     {"  and to one that is halted", 1, {kSipi | 0x77}, kInit, 3, 0, 0},
                     {"  and has not been kept for one that waits", 3, {}, kSipi | 0x44, 4, 0x44, 0},
                     {"an NMI to a guest that runs", 0, {}, kNmi, 0, 0, 0x80000202},
                     {"an NMI to one that is halted", 1, {}, kNmi, 0, 0, 0x80000202},
                     {"an NMI to one in shutdown", 2, {}, kNmi, 0, 0, 0x80000202},
                     {"an interrupt to one that is halted", 1, {}, kFixed, 1, 0, 0},
                     {"an interrupt is nothing in shutdown", 2, {kFixed}, kNmi, 0, 0, 0x80000202},
                     {"NMI, interrupt and INIT are nothing while it waits for a SIPI", 3, {kNmi, kFixed, kInit}, kSipi | 0x66, 4, 0x66, 0},
                     {"the INIT that was blocked then", 0, {}, 0, 3, 0, 0}};
constexpr u32 kCount = sizeof kRows / sizeof *kRows;

void vmx_on() {
  const u64 fc = rdmsr(0x3a);
  if ((fc & 1) == 0) wrmsr(0x3a, fc | 5);
  set_cr4(cr4() | 1 << 13);
  write32(at(on_page), u32(rdmsr(0x480)) & 0x7fffffff), write32(at(vmcs_page), u32(rdmsr(0x480)) & 0x7fffffff);
  vmxon(at(on_page));
}
void guests() {
  vmclear(at(vmcs_page)), vmptrld(at(vmcs_page));
  write_world(sv_exit);
  vmwrite(PIN_CONTROLS, adjust(pin_caps(), 1 | 1 << 3));  // external-interrupt and NMI exiting
  vmwrite(PRIMARY_CONTROLS, adjust(primary_caps(), 0));
  vmwrite(EXIT_CONTROLS, adjust(exit_caps(), 1u << 9 | 1u << 20 | 1u << 21));
  vmwrite(ENTRY_CONTROLS, adjust(entry_caps(), 1u << 9 | 1u << 15));
  for (u32 n = 0; n < kCount; ++n) {
    vmwrite(GUEST_RIP, at(sv_guest)), vmwrite(GUEST_RSP, at(on_page) + 4096), vmwrite(GUEST_RFLAGS, 2);
    vmwrite(ACTIVITY, kRows[n].activity), vmwrite(INTERRUPTIBILITY, 0);
    entered = n + 1;
    const u32 failed = sv_enter(n == 0);
    reason = failed ? 0xffff0000 | u32(error()) : u32(vmread(EXIT_REASON));
    qualification = vmread(QUALIFICATION);
    intr = u32(vmread(EXIT_INTR_INFO));
    vectoring = u32(vmread(IDT_VECTORING));
    activity_saved = u32(vmread(ACTIVITY));
    asm volatile("sti; nop; nop; cli");
    left = n + 1;
    while (allowed <= n) asm volatile("pause");
  }
}
}  // namespace
extern "C" void ap_main() {
  reload_idt();
  apic(0xf0, 0x1ff);
  const u32 turn = started;
  started = turn + 1;
  vmx_on();
  if (turn == 0) {
    phase = 1;
    while (phase == 1) progress = progress + 1;
    asm volatile("vmxoff");
    for (;;) progress = progress + 1;
  }
  guests();
  asm volatile("vmxoff");
  phase = 9;
  for (;;) progress = progress + 1;
}

extern "C" void rt_main() {
  if ((cpuid(1).c >> 5 & 1) == 0) return check("VMX", false);
  copy(reinterpret_cast<void*>(word{kPage} << 12), sv_low, u64(sv_low_end - sv_low));
  rt_ap_entry = u32(reinterpret_cast<u64>(&ap_main));
  on_trap(2, [](Frame&) { nmis = nmis + 1; });
  on_trap(0x60, [](Frame&) { interrupts = interrupts + 1; apic(0xb0, 0); });
  apic(0xf0, 0x1ff);
  send(kInit), delay(), send(kSipi | kPage);
  check("in VMX root operation", await([] { return phase == 1; }));
  send(kInit), send(kSipi | kPage), delay();
  u32 was = progress;
  delay();
  check("INIT is blocked there", progress != was && started == 1);
  phase = 2;
  delay();
  was = progress;
  delay();
  check("  and comes with VMXOFF", progress == was && started == 1);
  send(kSipi | kPage);
  check("  which a SIPI ends", await([] { return started == 2; }));
  for (u32 n = 0; n < kCount; ++n) {
    const Row& r = kRows[n];
    check(r.name, await([=] { return entered == n + 1; }));
    delay();
    for (u32 k = 0; k < 4 && r.before[k] != 0; ++k) {
      send(r.before[k]), delay();
      check_eq("  nothing yet", left, n);
    }
    if (r.then != 0) send(r.then);
    check("  it exits", await([=] { return left == n + 1; }));
    check_eq("  reason", reason, r.reason);
    check_eq("  qualification", qualification, r.qualification);
    check_eq("  interruption information", intr, r.intr);
    check_eq("  IDT vectoring", vectoring, 0);
    // SDM 3C "Architectural State Before a VM Exit": an event that exits directly finds the state as it is
    check_eq("  activity state saved", activity_saved, r.activity);
    if (r.before[0] == kNmi) check_eq("  the NMI that was blocked comes in the host", nmis, 1);
    allowed = n + 1;
  }
  check("out of VMX operation", await([] { return phase == 9; }));
  was = progress;
  delay();
  check("no INIT is left", progress != was && started == 2);
  check_eq("interrupts in the host", interrupts, 3);
}
