// SPDX-License-Identifier: GPL-2.0-or-later
/// Runs guest.asm twice under /dev/kvm: with a processor alone, and with KVM's interrupt controllers. Prints what the guest prints, and how it
/// left KVM. No C library: it is what the initramfs has besides busybox.   Linux "The Definitive KVM (Kernel-based Virtual Machine) API Documentation"
#include <asm/unistd.h>
#include <linux/kvm.h>

namespace {

using u8 = unsigned char;
using u64 = unsigned long;

constexpr u64 kMemory = 2 << 20, kStart = 0x1000;
constexpr u64 kDevice = 0xd0000000;

long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return n;
}
template <class T>
long control(long fd, u64 request, T argument) { return call(__NR_ioctl, fd, static_cast<long>(request), (long)argument); }

void write_text(const char* s, u64 n) { call(__NR_write, 1, (long)s, static_cast<long>(n)); }
void say(const char* s) {
  u64 n = 0;
  while (s[n]) ++n;
  write_text(s, n);
}
void say_hex(u64 v) {
  char s[18] = "0x";
  unsigned n = 2;
  int shift = 60;
  while (shift > 0 && !(v >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) s[n++] = "0123456789abcdef"[v >> shift & 15];
  write_text(s, n);
}
[[noreturn]] void leave(int status) {
  for (;;) call(__NR_exit_group, status);
}
/// A system call's result; a negative one ends the program.
long must(long result, const char* what) {
  if (result >= 0) return result;
  say("kvm-monitor: "), say(what), say(": error "), say_hex(static_cast<u64>(-result)), say("\n");
  leave(1);
}

/// The header's own struct has a flexible array, which C++ gives another size than C, and the size is in the request's number.
struct CpuidHead {
  unsigned count, padding;
};
struct Cpuid {
  CpuidHead head;
  kvm_cpuid_entry2 entries[128];
};
constexpr u64 kGetSupportedCpuid = _IOWR(KVMIO, 0x05, CpuidHead), kSetCpuid2 = _IOW(KVMIO, 0x90, CpuidHead);
Cpuid cpuid;
/// What the guest has printed of the present line.
char line[128];
unsigned column;

void print(u8 c) {
  if (c != '\n' && column < sizeof line) line[column++] = static_cast<char>(c);
  if (c != '\n' && column < sizeof line) return;
  say("kvm guest: "), write_text(line, column), say("\n");
  column = 0;
}

/// Runs the guest to its end. Returns what it wrote to port 0xf4; 0 when it halted.
int run(long kvm, const u8* image, u64 image_size, bool irqchip) {
  const long vm = must(control(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  must(control(vm, KVM_SET_TSS_ADDR, 0xfffbd000L), "KVM_SET_TSS_ADDR");
  if (irqchip) must(control(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
  const long memory = must(call(__NR_mmap, 0, kMemory, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0), "mmap");
  for (u64 n = 0; n < image_size; ++n) reinterpret_cast<u8*>(memory)[kStart + n] = image[n];
  kvm_userspace_memory_region region{.slot = 0, .flags = 0, .guest_phys_addr = 0, .memory_size = kMemory, .userspace_addr = static_cast<u64>(memory)};
  must(control(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  const long vcpu = must(control(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  const long size = must(control(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  auto& shared = *reinterpret_cast<volatile kvm_run*>(must(call(__NR_mmap, 0, size, 3, 1 /* shared */, vcpu, 0), "mmap of kvm_run"));
  cpuid.head.count = 128;
  must(control(kvm, kGetSupportedCpuid, &cpuid), "KVM_GET_SUPPORTED_CPUID");
  must(control(vcpu, kSetCpuid2, &cpuid), "KVM_SET_CPUID2");
  kvm_sregs sregs{};
  must(control(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
  sregs.cs.base = 0, sregs.cs.selector = 0;
  must(control(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
  kvm_regs regs{};
  regs.rip = kStart, regs.rbx = irqchip, regs.rflags = 2;
  must(control(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");

  unsigned written = 0;
  for (;;) {
    must(control(vcpu, KVM_RUN, 0), "KVM_RUN");
    switch (shared.exit_reason) {
      case KVM_EXIT_HLT:
        say("kvm-monitor: KVM_EXIT_HLT\n");
        return 0;
      case KVM_EXIT_IO: {
        const volatile u8* data = reinterpret_cast<volatile u8*>(&shared) + shared.io.data_offset;
        if (shared.io.direction == KVM_EXIT_IO_OUT && shared.io.port == 0xf4) {
          say("kvm-monitor: the guest ends with "), say_hex(data[0]), say("\n");
          return data[0];
        }
        if (shared.io.direction == KVM_EXIT_IO_OUT && shared.io.port == 0xe9)
          for (unsigned n = 0; n < shared.io.count; ++n) print(data[n]);
        break;
      }
      case KVM_EXIT_MMIO: {
        const u64 at = shared.mmio.phys_addr;
        say(shared.mmio.is_write ? "kvm-monitor: write to " : "kvm-monitor: read of "), say_hex(at), say("\n");
        if (at == kDevice + 0x10 && shared.mmio.is_write)
          for (unsigned n = 0; n < 4; ++n) written |= static_cast<unsigned>(shared.mmio.data[n]) << (8 * n);
        else if (!shared.mmio.is_write)
          for (unsigned n = 0; n < 4; ++n) shared.mmio.data[n] = at == kDevice + 0x20 ? static_cast<u8>(~written >> (8 * n)) : 0xff;
        break;
      }
      default:
        say("kvm-monitor: exit reason "), say_hex(shared.exit_reason);
        if (shared.exit_reason == KVM_EXIT_INTERNAL_ERROR) say(", suberror "), say_hex(shared.internal.suberror);
        if (shared.exit_reason == KVM_EXIT_FAIL_ENTRY) say(", hardware's "), say_hex(shared.fail_entry.hardware_entry_failure_reason);
        say("\n");
        return 2;
    }
  }
}

u8 image[64 << 10];

}  // namespace

extern "C" [[noreturn]] void run_program(const long* stack) {
  if (stack[0] != 2) say("usage: kvm-monitor IMAGE\n"), leave(2);
  const long file = must(call(__NR_open, stack[2], 0), "open of the image");
  const long size = must(call(__NR_read, file, (long)image, sizeof image), "read of the image");
  const long kvm = must(call(__NR_open, (long)"/dev/kvm", 2), "open of /dev/kvm");
  if (must(control(kvm, KVM_GET_API_VERSION, 0), "KVM_GET_API_VERSION") != KVM_API_VERSION) say("kvm-monitor: another KVM API\n"), leave(1);
  for (int n = 0; n < 2; ++n) {
    const bool irqchip = n;
    say(irqchip ? "kvm-monitor: with interrupt controllers\n" : "kvm-monitor: a processor alone\n");
    if (int status = run(kvm, image, static_cast<u64>(size), irqchip)) leave(status);
  }
  say("kvm-monitor: done\n");
  leave(0);
}

extern "C" [[noreturn, gnu::naked]] void _start() {
  asm("mov %rsp, %rdi; and $-16, %rsp; call run_program");
}

// What the compiler may call.
extern "C" void* memset(void* to, int value, u64 n) {
  for (u64 i = 0; i < n; ++i) static_cast<volatile u8*>(to)[i] = static_cast<u8>(value);
  return to;
}
extern "C" void* memcpy(void* to, const void* from, u64 n) {
  for (u64 i = 0; i < n; ++i) static_cast<volatile u8*>(to)[i] = static_cast<const u8*>(from)[i];
  return to;
}
