// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu checks neither canonical addresses nor SYSENTER as Intel processors do
// SYSCALL/SYSRET, SYSENTER/SYSEXIT, IRET of long mode, SWAPGS, segments in 64-bit mode, call gates of 16 bytes.
// SDM 2B "SYSCALL", 3A "Privilege Levels"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u32 kEfer = 0xc0000080, kStar = 0xc0000081, kLstar = 0xc0000082, kCstar = 0xc0000083, kFmask = 0xc0000084;
constexpr u32 kSysenterCs = 0x174, kSysenterEsp = 0x175, kSysenterEip = 0x176;
constexpr u32 kFsBase = 0xc0000100, kGsBase = 0xc0000101, kKernelGs = 0xc0000102;
u64 a_of(const volatile void* p) { return reinterpret_cast<u64>(p); }
}  // namespace
extern "C" {
volatile u64 seen_rcx, seen_r11, seen_flags, seen_cs, seen_ss, seen_rsp, user_flags, user_ss, back_count, want_return;
extern char syscall_entry[], sysenter_entry[], user_syscall[], user_sysenter[], user_after[], gate64_target[], compat_code[];
}
asm(R"(
        .globl syscall_entry, sysenter_entry, user_syscall, user_sysenter, user_after, gate64_target, compat_code
syscall_entry:
        mov     %rcx, seen_rcx
        mov     %r11, seen_r11
        mov     %rsp, seen_rsp
        pushfq
        popq    seen_flags
        mov     %cs, %rax
        mov     %rax, seen_cs
        mov     %ss, %rax
        mov     %rax, seen_ss
        sysretq
user_syscall:
        pushq   $0xcd7
        popfq
        syscall
user_after:
        pushfq
        popq    user_flags
        mov     %ss, %rax
        mov     %rax, user_ss
        incq    back_count
        int     $0x80
sysenter_entry:
        mov     %rsp, seen_rsp
        mov     %cs, %rax
        mov     %rax, seen_cs
        mov     %ss, %rax
        mov     %rax, seen_ss
        mov     $user_after, %edx
        sysexitq
user_sysenter:
        mov     %rsp, %rcx
        sysenter
        ud2
gate64_target:
        mov     %cs, %rax
        mov     %rax, seen_cs
        mov     %ss, %rax
        mov     %rax, seen_ss
        mov     %rsp, seen_rsp
        mov     8(%rsp), %rax
        mov     %rax, seen_rcx
        lretq
        .code32
compat_code:                            # compatibility mode at CPL 3
        mov     $1, %eax
        dec     %eax
        jnz     1f
        mov     $0x600d, %ebx
1:      mov     %ebx, seen_r11
        int     $0x80
        .code64
)");

namespace {
void syscalls() {
  u64 efer = rdmsr(kEfer);
  wrmsr(kEfer, efer & ~u64{1});
  TRY("syscall", : : : "rcx", "r11", "memory");
  check_fault("#UD SYSCALL without EFER.SCE", 6);
  wrmsr(kEfer, efer | 1);
  wrmsr(kStar, u64{kCode64} << 32 | u64{kUser32} << 48);
  wrmsr(kLstar, a_of(syscall_entry));
  wrmsr(kFmask, 0x400 | 1);
  call_user(reinterpret_cast<void (*)()>(user_syscall));
  check("SYSCALL and back", rt_fault.vector == kNone && back_count == 1);
  check_eq("RCX", seen_rcx, a_of(user_after));
  check_eq("R11 is RFLAGS", seen_r11 & 0xfff, 0xcd7);
  check_eq("FMASK", seen_flags & 0xcd5, 0x8d4);
  check_eq("CS", seen_cs, kCode64);
  check_eq("SS", seen_ss, kData2);
  check_eq("SYSRET restores RFLAGS", user_flags & 0xfd7, 0xcd7);
  check_eq("SYSRET's SS", user_ss, kUserData);
  TRY("wrmsr", : : "c"(kLstar), "a"(0), "d"(0x8000) : "memory");
  check_fault("#GP LSTAR not canonical", 13, 0);
  call_user([] { asm volatile("sysretq" : : : "memory"); });
  check("#GP SYSRET at CPL 3", faulted(13, 0));
}

void sysenters() {
  wrmsr(kSysenterCs, 0);
  call_user(reinterpret_cast<void (*)()>(user_sysenter));
  check("#GP SYSENTER with a null CS", faulted(13, 0));
  alignas(16) static u8 stack[1024];
  wrmsr(kSysenterCs, kCode64);
  wrmsr(kSysenterEsp, a_of(stack) + sizeof stack);
  wrmsr(kSysenterEip, a_of(sysenter_entry));
  back_count = 0;
  call_user(reinterpret_cast<void (*)()>(user_sysenter));
  check("SYSENTER and SYSEXIT", rt_fault.vector == kNone && back_count == 1);
  check_eq("RSP from the register", seen_rsp, a_of(stack) + sizeof stack);
  check_eq("CS of SYSENTER", seen_cs, kCode64);
  check_eq("SS of SYSENTER", seen_ss, kData2);
  check_eq("SS of SYSEXIT", user_ss, kUserData2);
}

void irets() {
  TRY("mov %%rsp, %%rcx; push $0; push %%rcx; pushfq; push %0; push $1f; iretq\n1: mov %%ss, %%eax", : : "r"(u64{kCode64}) : "rax", "rcx", "memory");
  check("IRET to CPL 0 with a null SS", rt_fault.vector == kNone);
  asm volatile("mov %w0, %%ss" : : "r"(u32{kData2}));
  TRY("mov %%rsp, %%rcx; push %1; push %%rcx; pushfq; push %0; mov $0x800000000000, %%rax; push %%rax\n movq $1f, rt_try_ip\n1: iretq", : : "r"(u64{kCode64}), "r"(u64{kData2}) : "rax", "rcx", "memory");
  check_fault("#GP IRET to a non-canonical address", 13, 0);
  TRY("mov %%rsp, %%rcx; push $0; push %%rcx; pushfq; push %0; push $0x1000\n movq $1f, rt_try_ip\n1: iretq", : : "r"(u64{kUser64}) : "rax", "rcx", "memory");
  check_fault("#GP IRET to CPL 3 with a null SS", 13, 0);
  rt_gdt[kSpare / 8] = 0x00ef9b000000ffff;  // L and D both
  TRY("mov %%rsp, %%rcx; push %1; push %%rcx; pushfq; push %0; push $0x1000\n movq $1f, rt_try_ip\n1: iretq", : : "r"(u64{kSpare}), "r"(u64{kData2}) : "rax", "rcx", "memory");
  check_fault("#GP IRET to code with L and D", 13, kSpare);
  seen_r11 = 0;
  static u8 stack[256];
  rt_fault.vector = kNone;
  asm volatile("mov %w0, %%ds" : : "r"(u32{kUserData}));  // compatibility mode does look at it
  call_user_at(a_of(compat_code), kUser32, a_of(stack) + 200, kUserData);
  check("compatibility mode at CPL 3", rt_fault.vector == kNone && (seen_r11 & 0xffffffff) == 0x600d);
}

void segments() {
  wrmsr(kFsBase, 0x123456789a);
  check_eq("FS base", rdmsr(kFsBase), 0x123456789a);
  u64 v = 0x5555666677778888;
  wrmsr(kGsBase, a_of(&v) - 0x40);
  u64 got;
  asm volatile("mov %%gs:0x40, %0" : "=r"(got) : "m"(v));
  check_eq("GS:", got, v);
  wrmsr(kKernelGs, 0x777);
  asm volatile("swapgs");
  check_eq("SWAPGS", rdmsr(kGsBase), 0x777);
  check_eq("and the other", rdmsr(kKernelGs), a_of(&v) - 0x40);
  asm volatile("swapgs");
  TRY("wrmsr", : : "c"(kFsBase), "a"(0), "d"(0x8000) : "memory");
  check_fault("#GP FS base not canonical", 13, 0);
  call_user([] { asm volatile("swapgs" : : : "memory"); });
  check("#GP SWAPGS at CPL 3", faulted(13, 0));
  if ((cpuid(7).b & 1) != 0) {
    TRY("rdfsbase %%rax", : : : "rax", "memory");
    check_fault("#UD RDFSBASE without CR4.FSGSBASE", 6);
    set_cr4(cr4() | 0x10000);
    asm volatile("wrfsbase %1; rdfsbase %0" : "=r"(got) : "r"(u64{0x998877}));
    check_eq("WRFSBASE, RDFSBASE", got, 0x998877);
    TRY("wrfsbase %0", : : "r"(u64{1} << 47) : "memory");
    check_fault("#GP WRFSBASE not canonical", 13, 0);
  }
  // limits and the bases of DS, ES, SS do not count in 64-bit mode
  rt_gdt[kSpare / 8] = 0x0040930010000004;  // base 0x1000, limit 4
  asm volatile("mov %w1, %%ds; mov (%2), %0; mov %w3, %%ds" : "=r"(got) : "r"(u32{kSpare}), "r"(&v), "r"(u32{kData}) : "memory");
  check_eq("DS: no base, no limit", got, v);
  // a call gate of 16 bytes, from CPL 3
  u64 t = a_of(gate64_target);
  rt_gdt[kSpare / 8 + 2] = (t & 0xffff) | u64{kCode64} << 16 | u64{0xec} << 40 | (t >> 16 & 0xffff) << 48;
  rt_gdt[kSpare / 8 + 3] = t >> 32;
  static struct { u32 ip; u16 cs; } __attribute__((packed)) far = {0, kSpare + 16};
  call_user([] { asm volatile("lcall *%0; int $0x80" : : "m"(far) : "rax", "memory"); });
  check("call gate from CPL 3", rt_fault.vector == kNone && seen_cs == kCode64);
  check_eq("SS becomes null", seen_ss, 0);
  check_eq("the frame holds the old CS", seen_rcx, kUser64);
  // a far call to the same level
  static struct { u64 ip; u16 cs; } __attribute__((packed)) same = {0, kCode64};
  same.ip = t;
  TRY("rex64 lcall *%0", : : "m"(same) : "rax", "memory");
  check_none("far call through a 64-bit pointer");
  check_eq("its CS", seen_cs, kCode64);
  // LAR of a call gate in long mode answers, of a data segment too
  u32 zf;
  asm volatile("lar %w2, %k0; setz %b1; movzbl %b1, %k1" : "=r"(got), "=&q"(zf) : "r"(u32{kSpare + 16}) : "cc");
  check("LAR of a call gate", zf == 1 && (got & 0xff00) == 0xec00);
}
}  // namespace

extern "C" void rt_main() {
  syscalls();
  sysenters();
  irets();
  segments();
}
