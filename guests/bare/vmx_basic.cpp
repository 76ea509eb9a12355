// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// NEEDS bochs
// SKIP bochs sees no external interrupt that is pending at an entry with IF clear in host and guest
// A small hypervisor: VMX operation and its failures, entry checks, a guest under EPT with its exits, injection, windows, MSR lists.
// SDM 3C "VMX Instruction Reference", "VM Entries", "VM Exits", "EPT"
#include "vmx.hpp"
using namespace vmx;

asm(R"(
        .globl vmx_enter, vmx_exit_entry
vmx_enter:                              # (regs, launch)
        push    %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
        push    %rdi
        mov     $0x6c14, %eax           # HOST_RSP
        vmwrite %rsp, %rax
        test    %esi, %esi
        mov     0(%rdi), %rax; mov 8(%rdi), %rbx; mov 16(%rdi), %rcx; mov 24(%rdi), %rdx; mov 32(%rdi), %rsi; mov 48(%rdi), %rbp
        mov     56(%rdi), %r8; mov 64(%rdi), %r9; mov 72(%rdi), %r10; mov 80(%rdi), %r11; mov 88(%rdi), %r12; mov 96(%rdi), %r13
        mov     104(%rdi), %r14; mov 112(%rdi), %r15; mov 40(%rdi), %rdi
        jz      1f
        vmlaunch
        jmp     2f
1:      vmresume
2:      mov     $1, %eax
        jc      3f
        mov     $2, %eax
3:      pop     %rdi
        jmp     4f
vmx_exit_entry:
        push    %rdi
        mov     8(%rsp), %rdi
        mov     %rax, 0(%rdi); mov %rbx, 8(%rdi); mov %rcx, 16(%rdi); mov %rdx, 24(%rdi); mov %rsi, 32(%rdi); mov %rbp, 48(%rdi)
        mov     %r8, 56(%rdi); mov %r9, 64(%rdi); mov %r10, 72(%rdi); mov %r11, 80(%rdi); mov %r12, 88(%rdi); mov %r13, 96(%rdi)
        mov     %r14, 104(%rdi); mov %r15, 112(%rdi)
        pop     40(%rdi)
        pop     %rdi
        xor     %eax, %eax
4:      pop     %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
        ret
)");

namespace {
alignas(4096) u8 on_page[4096], vmcs_page[4096], other_vmcs[4096], msr_bitmap[4096], io_a[4096], io_b[4096];
alignas(4096) u64 ept_pml4[512], ept_pdpt[512], ept_pd[4][512], ept_pt[512];
alignas(4096) u8 data_a[4096], data_b[4096];
alignas(16) u8 guest_stack[8192];
alignas(16) u64 msr_load[4], msr_store[4], msr_back[4];
extern "C" u64 rt_pd[];
constexpr u64 kHole = 0x40000000;  // guest-physical and, through the guest's identity map, linear
constexpr u32 kRw = 3, kRwx = 7, kWb = 6 << 3;
Regs g;
bool launched;
u64 a_of(const volatile void* p) { return reinterpret_cast<u64>(p); }

// ---- pieces of guest code, each entered at its start ----
#define GUEST(name, text) extern "C" u8 name[]; asm(".globl " #name "\n" #name ": " text "\n hlt\n ud2\n")
GUEST(guest_cpuid, "mov $0, %eax; cpuid; mov $0x1234, %ebx; vmcall");
GUEST(guest_hlt, "hlt");
GUEST(guest_load, "mov 0x40000128, %rax; vmcall");
GUEST(guest_store, "mov %rax, 0x40001008; vmcall");
GUEST(guest_fetch, "mov $0x40002000, %eax; call *%rax; vmcall");
GUEST(guest_rdmsr, "mov $0xc0000102, %ecx; rdmsr; vmcall");
GUEST(guest_wrmsr, "mov $0xc0000102, %ecx; wrmsr; vmcall");
GUEST(guest_rdmsr_out, "mov $0x40000000, %ecx; rdmsr; vmcall");
GUEST(guest_in, "mov $0x70, %dx; in %dx, %al; vmcall");
GUEST(guest_out, "outb %al, $0x80; vmcall");
GUEST(guest_outs, "mov $0x80, %edx; mov $2, %ecx; rep outsw; vmcall");
GUEST(guest_cr0, "mov %cr0, %rbx; mov %rax, %cr0; vmcall");
GUEST(guest_cr3, "mov %cr3, %rbx; mov %rbx, %cr3; vmcall");
GUEST(guest_cr4, "mov %cr4, %rbx; mov %rax, %cr4; vmcall");
GUEST(guest_clts, "clts; vmcall");
GUEST(guest_dr, "mov %rax, %dr3; vmcall");
GUEST(guest_invlpg, "invlpg 0x40000000; vmcall");
GUEST(guest_rdtsc, "rdtsc; vmcall");
GUEST(guest_ud, "ud2");
GUEST(guest_gp, "mov $0x80, %ecx; shl $40, %rcx; mov (%rcx), %rax");
GUEST(guest_pf, "mov 0x40200000, %rax; vmcall");
GUEST(guest_int3, "int3; vmcall");
GUEST(guest_spin, "mov $1000, %ecx; 1: pause; cmpl $0, (%rbx); jne 2f; loop 1b; 2: vmcall");
GUEST(guest_sti, "sti; nop; nop; vmcall");
GUEST(guest_vmread, "mov $0x681e, %eax; vmread %rax, %rbx; vmcall");
GUEST(guest_wbinvd, "wbinvd; vmcall");
GUEST(guest_xsetbv, "xor %ecx, %ecx; mov $1, %eax; xor %edx, %edx; xsetbv; vmcall");
GUEST(guest_triple, "lidt (%rbx); ud2");
GUEST(guest_nop, "nop; nop; vmcall");

enum Reason : u32 { kException = 0, kExternal = 1, kTriple = 2, kIntrWindow = 7, kNmiWindow = 8, kCpuid = 10, kHlt = 12, kInvlpg = 14, kRdtsc = 16, kVmcall = 18,
                    kVmread = 23, kCr = 28, kDr = 29, kIo = 30, kRdmsr = 31, kWrmsr = 32, kBadGuest = 33, kBadMsr = 34, kMtf = 37, kEptViolation = 48,
                    kEptMisconfig = 49, kWbinvd = 54, kXsetbv = 55 };

u32 enter() {  // -> exit reason, or 0xffff with the entry refused
  Outcome o = vmx_enter(&g, !launched);
  if (o != succeed) return 0xffff;
  u32 reason = u32(vmread(EXIT_REASON));
  if ((reason >> 31) == 0) launched = true;
  return reason;
}
u32 run(const u8* code) {
  vmwrite(GUEST_RIP, a_of(code));
  vmwrite(GUEST_RSP, a_of(guest_stack) + sizeof guest_stack - 64);
  vmwrite(GUEST_RFLAGS, 2);
  vmwrite(INTERRUPTIBILITY, 0);
  vmwrite(ACTIVITY, 0);
  return enter();
}
u32 next() { vmwrite(GUEST_RIP, vmread(GUEST_RIP) + vmread(INSTRUCTION_LENGTH)); return enter(); }
u64 qualification() { return vmread(QUALIFICATION); }
void expect(const char* name, u32 got, u32 want) {
  if (got != want) printf("  reason %x error %llu qualification %llx rip %llx intr %llx\n", got, error(), qualification(), vmread(GUEST_RIP), vmread(EXIT_INTR_INFO));
  check_eq(name, got, want);
}
u32 primary_base, secondary_base;

void make_ept() {
  ept_pml4[0] = a_of(ept_pdpt) | kRwx;
  for (u32 i = 0; i < 4; ++i) {
    ept_pdpt[i] = a_of(ept_pd[i]) | kRwx;
    for (u32 k = 0; k < 512; ++k) ept_pd[i][k] = (u64{i} << 30 | u64{k} << 21) | kRwx | kWb | 0x80;
  }
  ept_pd[1][0] = a_of(ept_pt) | kRwx;  // the first 2 MiB from 1 GiB: by 4 KiB, all absent
}
u64 eptp() { return a_of(ept_pml4) | 6 | 3 << 3; }

void write_state() {
  write_world(vmx_exit_entry);
  // controls: HLT and MSR and I/O bitmaps; EPT; 64-bit host and guest
  primary_base = adjust(primary_caps(), 1u << 7 | 1u << 25 | 1u << 28 | 1u << 31);
  secondary_base = adjust(secondary_caps(), 1u << 1 | 1u << 3);
  vmwrite(PIN_CONTROLS, adjust(pin_caps(), 0));
  vmwrite(PRIMARY_CONTROLS, primary_base);
  vmwrite(SECONDARY_CONTROLS, secondary_base);
  vmwrite(EXIT_CONTROLS, adjust(exit_caps(), 1u << 9 | 1u << 20 | 1u << 21));
  vmwrite(ENTRY_CONTROLS, adjust(entry_caps(), 1u << 9 | 1u << 15));
  vmwrite(EXCEPTION_BITMAP, 0); vmwrite(PFEC_MASK, 0); vmwrite(PFEC_MATCH, 0); vmwrite(CR3_TARGETS, 0);
  vmwrite(EXIT_MSR_STORE_COUNT, 0); vmwrite(EXIT_MSR_LOAD_COUNT, 0); vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
  vmwrite(ENTRY_INTR_INFO, 0);
  vmwrite(MSR_BITMAP, a_of(msr_bitmap)); vmwrite(IO_BITMAP_A, a_of(io_a)); vmwrite(IO_BITMAP_B, a_of(io_b));
  vmwrite(TSC_OFFSET, 0);
  vmwrite(EPT_POINTER, eptp());
}

void operation() {
  u64 basic = rdmsr(0x480);
  u32 revision = u32(basic) & 0x7fffffff;
  check("VMCS region of at most 4 KiB", (basic >> 32 & 0x1fff) <= 4096 && (basic >> 32 & 0x1fff) != 0);
  check("memory type write-back", (basic >> 50 & 15) == 6);
  u64 fc = rdmsr(0x3a);
  if ((fc & 1) == 0) wrmsr(0x3a, fc | 5);
  check("IA32_FEATURE_CONTROL is locked with VMX outside SMX", (rdmsr(0x3a) & 5) == 5);
  TRY("wrmsr", : : "c"(0x3a), "a"(7), "d"(0) : "memory");
  check_fault("#GP write to the locked register", 13, 0);
  u64 at = a_of(on_page);
  TRY("vmxon %0", : : "m"(at) : "memory", "cc");
  check_fault("#UD VMXON without CR4.VMXE", 6);
  TRY("vmptrst %0", : "=m"(at) : : "memory", "cc");
  check_fault("#UD VMPTRST outside VMX operation", 6);
  at = a_of(on_page);
  set_cr4(cr4() | 1 << 13);
  check_eq("VMXON with a wrong revision", vmxon(at), fail_invalid);
  write32(at, revision);
  check_eq("VMXON not aligned", vmxon(at + 8), fail_invalid);
  check_eq("VMXON beyond the physical width", vmxon(u64{1} << (cpuid(0x80000008).a & 0xff)), fail_invalid);
  check_eq("VMXON", vmxon(at), succeed);
  TRY("mov %0, %%cr4", : : "r"(cr4() & ~(word{1} << 13)) : "memory");
  check_fault("#GP CR4.VMXE is fixed", 13, 0);
  TRY("mov %0, %%cr0", : : "r"(cr0() & ~word{0x20}) : "memory");
  check_fault("#GP CR0.NE is fixed", 13, 0);
  check_eq("no current VMCS", vmptrst(), ~u64{0});
  u64 v = 5;
  check_eq("VMREAD without a VMCS", try_vmread(GUEST_RIP, v), fail_invalid);
  check_eq("VMXON without a VMCS", vmxon(at), fail_invalid);
  check_eq("VMCLEAR", vmclear(a_of(vmcs_page)), succeed);
  check_eq("VMPTRLD with a wrong revision, no VMCS", vmptrld(a_of(vmcs_page)), fail_invalid);
  write32(a_of(vmcs_page), revision);
  write32(a_of(other_vmcs), revision);
  check_eq("VMPTRLD", vmptrld(a_of(vmcs_page)), succeed);
  check_eq("VMPTRST", vmptrst(), a_of(vmcs_page));
  check_eq("VMXON in VMX root operation", vmxon(at) * 100 + error(), 2 * 100 + 15);
  check_eq("VMCLEAR of the VMXON region", vmclear(at) * 100 + error(), 2 * 100 + 3);
  check_eq("VMCLEAR not aligned", vmclear(at + 1) * 100 + error(), 2 * 100 + 2);
  check_eq("VMPTRLD of the VMXON region", vmptrld(at) * 100 + error(), 2 * 100 + 10);
  check_eq("VMPTRLD not aligned", vmptrld(at + 4) * 100 + error(), 2 * 100 + 9);
  write32(a_of(other_vmcs), revision + 1);
  check_eq("VMPTRLD with a wrong revision", vmptrld(a_of(other_vmcs)) * 100 + error(), 2 * 100 + 11);
  check_eq("VMREAD of no field", try_vmread(0x6ffe, v) * 100 + error(), 2 * 100 + 12);
  check_eq("VMWRITE of no field", vmwrite(0x6ffe, 0) * 100 + error(), 2 * 100 + 12);
  if ((rdmsr(0x485) >> 29 & 1) == 0) check_eq("VMWRITE of a read-only field", vmwrite(EXIT_REASON, 0) * 100 + error(), 2 * 100 + 13);
  check_eq("VMWRITE", vmwrite(GUEST_RIP, 0x123456789abcdef0), succeed);
  check_eq("VMREAD", vmread(GUEST_RIP), 0x123456789abcdef0);
  vmwrite(EPT_POINTER + 1, 0x11223344);  // the high half
  check_eq("high half of a 64-bit field", vmread(EPT_POINTER) >> 32, 0x11223344);
  vmwrite(GUEST_CS, 0xabcd1234);
  check_eq("16-bit field", vmread(GUEST_CS), 0x1234);
  vmwrite(ENTRY_INTR_INFO, 0x1'0000'0000);
  check_eq("32-bit field", vmread(ENTRY_INTR_INFO), 0);
  // another VMCS and back: the first keeps what it has
  write32(a_of(other_vmcs), revision);
  vmclear(a_of(other_vmcs));
  vmptrld(a_of(other_vmcs));
  vmwrite(GUEST_RIP, 1);
  vmptrld(a_of(vmcs_page));
  check_eq("each VMCS has its own fields", vmread(GUEST_RIP), 0x123456789abcdef0);
  vmclear(a_of(other_vmcs));
  call_user([] { asm volatile("vmptrst %0" : : "m"(*guest_stack) : "memory"); });
  check("#GP VMPTRST at CPL 3", faulted(13, 0));
  if ((rdmsr(0x48c) >> 20 & 1) != 0) {
    check_eq("INVEPT of no type", invept(7, 0) * 100 + error(), 2 * 100 + 28);
    if ((rdmsr(0x48c) >> 26 & 1) != 0) check_eq("INVEPT all", invept(2, 0), succeed);
    if ((rdmsr(0x48c) >> 25 & 1) != 0) {
      check_eq("INVEPT single with a bad EPTP", invept(1, 0x7) * 100 + error(), 2 * 100 + 28);
      check_eq("INVEPT single", invept(1, eptp()), succeed);
    }
  }
  if ((rdmsr(0x48c) >> 32 & 1) != 0) {
    check_eq("INVVPID of no type", invvpid(9, 1) * 100 + error(), 2 * 100 + 28);
    if ((rdmsr(0x48c) >> 41 & 1) != 0) check_eq("INVVPID of VPID 0", invvpid(1, 0) * 100 + error(), 2 * 100 + 28);
    if ((rdmsr(0x48c) >> 42 & 1) != 0) check_eq("INVVPID all", invvpid(2, 0), succeed);
  }
}

void entry_checks() {
  g = {};
  check_eq("VMRESUME of a clear VMCS", vmx_enter(&g, 0) * 100 + error(), 2 * 100 + 5);
  u64 old = vmread(PIN_CONTROLS);
  vmwrite(PIN_CONTROLS, 0);  // the default-1 bits missing
  check_eq("invalid control fields", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 7);
  vmwrite(PIN_CONTROLS, old);
  vmwrite(EPT_POINTER, eptp() | 0x80000000000000);
  check_eq("EPTP with reserved bits", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 7);
  vmwrite(EPT_POINTER, a_of(ept_pml4) | 6 | 2 << 3);
  check_eq("EPTP of three levels", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 7);
  vmwrite(EPT_POINTER, eptp());
  vmwrite(ENTRY_INTR_INFO, 0x80000000 | 1 << 8);  // a reserved type
  check_eq("injection of a reserved type", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 7);
  vmwrite(ENTRY_INTR_INFO, 0);
  vmwrite(MSR_BITMAP, a_of(msr_bitmap) + 1);
  check_eq("MSR bitmap not aligned", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 7);
  vmwrite(MSR_BITMAP, a_of(msr_bitmap));
  old = vmread(HOST_CS);
  vmwrite(HOST_CS, 0);
  check_eq("invalid host state: CS", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 8);
  vmwrite(HOST_CS, old);
  vmwrite(HOST_RIP, 0x8000'0000'0000);
  check_eq("invalid host state: RIP", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 8);
  vmwrite(HOST_RIP, a_of(vmx_exit_entry));
  old = vmread(HOST_CR4);
  vmwrite(HOST_CR4, old & ~u64{0x2000});
  check_eq("invalid host state: CR4", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 8);
  vmwrite(HOST_CR4, old);
  // guest state: a VM exit with bit 31
  vmwrite(GUEST_RFLAGS, 0);
  vmwrite(GUEST_RIP, a_of(guest_hlt));
  check_eq("invalid guest state: RFLAGS bit 1", enter(), 0x80000000 | kBadGuest);
  vmwrite(GUEST_RFLAGS, 2);
  vmwrite(AR_TR, 0x89);
  check_eq("invalid guest state: TR not busy", enter(), 0x80000000 | kBadGuest);
  vmwrite(AR_TR, 0x8b);
  vmwrite(AR_CS, 0xe09b);
  check_eq("invalid guest state: CS with L and D", enter(), 0x80000000 | kBadGuest);
  vmwrite(AR_CS, 0xa09b);
  vmwrite(VMCS_LINK, 0x1000 + 1);
  check_eq("invalid guest state: link pointer", enter(), 0x80000000 | kBadGuest);
  check_eq("its qualification", qualification(), 4);
  vmwrite(VMCS_LINK, ~u64{0});
  vmwrite(GUEST_CR0, cr0() & ~word{1});
  check_eq("invalid guest state: PG without PE", enter(), 0x80000000 | kBadGuest);
  vmwrite(GUEST_CR0, cr0());
  check("a failed entry does not launch", vmx_enter(&g, 0) == fail_valid && error() == 5);
  // an MSR list with an entry that cannot be
  msr_load[0] = 0xc0000100; msr_load[1] = 0;  // FS base may not be there
  vmwrite(ENTRY_MSR_LOAD, a_of(msr_load));
  vmwrite(ENTRY_MSR_LOAD_COUNT, 1);
  vmwrite(GUEST_RSP, a_of(guest_stack) + 4096);
  check_eq("MSR loading fails", enter(), 0x80000000 | kBadMsr);
  check_eq("its qualification: the entry", qualification(), 1);
  vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
}

void plain_exits() {
  g = {};
  g.r15 = 0x1515; g.bx = 7;
  expect("CPUID", run(guest_cpuid), kCpuid);
  check_eq("its length", vmread(INSTRUCTION_LENGTH), 2);
  check_eq("registers come out", g.r15 * 16 + g.ax, 0x15150);
  g.ax = 0x77; g.cx = 0x99;
  expect("VMRESUME, VMCALL", next(), kVmcall);
  check_eq("length of VMCALL", vmread(INSTRUCTION_LENGTH), 3);
  check_eq("registers go in", g.cx, 0x99);
  check_eq("the guest runs on", g.bx, 0x1234);
  check_eq("VMLAUNCH of a launched VMCS", vmx_enter(&g, 1) * 100 + error(), 2 * 100 + 4);
  expect("HLT", run(guest_hlt), kHlt);
  check_eq("the instruction error stays", error(), 4);
  // I/O
  io_a[0x70 / 8] = 1;
  expect("IN", run(guest_in), kIo);
  check_eq("its qualification: one byte, in, port", qualification(), 0x00700000 | 1 << 3);
  expect("OUT through", run(guest_out), kVmcall);
  io_a[0x80 / 8] = 2;  // port 0x81
  g.si = a_of(data_a);
  expect("REP OUTSW whose second port is watched", run(guest_outs), kIo);
  check_eq("its qualification: two bytes, string, REP", qualification(), 0x00800000 | 1 << 4 | 1 << 5 | 1);
  check_eq("its linear address", vmread(GUEST_LINEAR), a_of(data_a));
  set(io_a, 0, 4096);
  vmwrite(PRIMARY_CONTROLS, (primary_base & ~(1u << 25)) | 1u << 24);
  expect("unconditional I/O exiting", run(guest_out), kIo);
  check_eq("its qualification: immediate port", qualification(), 0x00800000 | 1 << 6);
  vmwrite(PRIMARY_CONTROLS, primary_base);
  // MSRs
  wrmsr(0xc0000102, 0x112233445566);
  expect("RDMSR through", run(guest_rdmsr), kVmcall);
  check_eq("its value", (g.dx << 32) + (g.ax & 0xffffffff), 0x112233445566);
  msr_bitmap[1024 + 0x102 / 8] = 1 << (0x102 & 7);
  expect("RDMSR watched", run(guest_rdmsr), kRdmsr);
  msr_bitmap[1024 + 0x102 / 8] = 0;
  msr_bitmap[3072 + 0x102 / 8] = 1 << (0x102 & 7);
  expect("WRMSR watched", run(guest_wrmsr), kWrmsr);
  msr_bitmap[3072 + 0x102 / 8] = 0;
  expect("RDMSR outside of the bitmap's ranges", run(guest_rdmsr_out), kRdmsr);
  // control registers
  vmwrite(CR0_MASK, 0x8); vmwrite(CR0_SHADOW, cr0() | 8);
  g.ax = cr0() | 8;
  expect("MOV to CR0 as the shadow has it", run(guest_cr0), kVmcall);
  check_eq("the guest reads the shadow's bit", g.bx, cr0() | 8);
  g.ax = cr0();
  expect("MOV to CR0 that differs in a masked bit", run(guest_cr0), kCr);
  check_eq("its qualification: from RAX", qualification(), 0);
  expect("CLTS", run(guest_clts), kCr);
  check_eq("its qualification", qualification(), 2 << 4);
  vmwrite(CR0_MASK, 0); vmwrite(CR0_SHADOW, cr0());
  vmwrite(CR4_MASK, 0x2000); vmwrite(CR4_SHADOW, cr4() & ~word{0x2000});
  g.ax = cr4() & ~word{0x2000};
  expect("CR4 with VMXE hidden", run(guest_cr4), kVmcall);
  check_eq("the guest sees no VMXE", g.bx & 0x2000, 0);
  check_eq("the real register keeps it", vmread(GUEST_CR4) & 0x2000, 0x2000);
  vmwrite(PRIMARY_CONTROLS, primary_base | (1u << 15 | 1u << 16));
  expect("MOV from CR3", run(guest_cr3), kCr);
  check_eq("its qualification: CR3, from, RBX", qualification(), 3 | 1 << 4 | 3 << 8);
  expect("MOV to CR3", next(), kCr);
  check_eq("its qualification: CR3, to, RBX", qualification(), 3 | 3 << 8);
  vmwrite(PRIMARY_CONTROLS, primary_base & ~(1u << 15 | 1u << 16));
  expect("CR3 through", run(guest_cr3), kVmcall);
  vmwrite(PRIMARY_CONTROLS, primary_base | 1u << 23);
  expect("MOV DR", run(guest_dr), kDr);
  check_eq("its qualification: DR3, to, RAX", qualification(), 3);
  vmwrite(PRIMARY_CONTROLS, primary_base | 1u << 9);
  expect("INVLPG", run(guest_invlpg), kInvlpg);
  check_eq("its qualification: the address", qualification(), kHole);
  vmwrite(PRIMARY_CONTROLS, primary_base | 1u << 12);
  expect("RDTSC", run(guest_rdtsc), kRdtsc);
  if (can(primary_caps(), 1u << 3)) {
    vmwrite(PRIMARY_CONTROLS, primary_base | 1u << 3);
    vmwrite(TSC_OFFSET, u64{1} << 50);
    expect("RDTSC with an offset", run(guest_rdtsc), kVmcall);
    check("the offset is added", (g.dx >> 18) >= 1);
    vmwrite(TSC_OFFSET, 0);
  }
  vmwrite(PRIMARY_CONTROLS, primary_base);
  expect("VMREAD in the guest", run(guest_vmread), kVmread);
  check_eq("its instruction information: RBX, register, field in RAX", vmread(INSTRUCTION_INFO) & 0xf0000478, 0 << 28 | 1 << 10 | 3 << 3);
  if (can(secondary_caps(), 1u << 6)) {
    vmwrite(SECONDARY_CONTROLS, secondary_base | 1u << 6);
    expect("WBINVD", run(guest_wbinvd), kWbinvd);
    vmwrite(SECONDARY_CONTROLS, secondary_base);
  }
  if ((cpuid(1).c >> 26 & 1) != 0) {
    set_cr4(cr4() | 0x40000);
    vmwrite(GUEST_CR4, cr4());
    vmwrite(HOST_CR4, cr4());
    expect("XSETBV", run(guest_xsetbv), kXsetbv);
  }
  struct [[gnu::packed]] { u16 limit; u64 base; } empty = {0, 0};
  u64 idt_base = vmread(BASE_IDTR), idt_limit = vmread(LIMIT_IDTR);
  g.bx = a_of(&empty);
  expect("triple fault", run(guest_triple), kTriple);
  vmwrite(BASE_IDTR, idt_base); vmwrite(LIMIT_IDTR, idt_limit);
}

void ept() {
  set(data_a, 0, 4096); set(data_b, 0, 4096);
  write64(a_of(data_a) + 0x128, 0xfeedface);
  expect("EPT violation: read of a hole", run(guest_load), kEptViolation);
  check_eq("qualification", qualification() & 0x1bf, 1 | 1 << 7 | 1 << 8);
  check_eq("guest-physical address", vmread(GUEST_PHYSICAL_ADDRESS), kHole + 0x128);
  check_eq("guest-linear address", vmread(GUEST_LINEAR), kHole + 0x128);
  check_eq("RIP is that of the instruction", vmread(GUEST_RIP), a_of(guest_load));
  ept_pt[0] = a_of(data_a) | 1 | kWb;
  expect("mapped, it goes on", enter(), kVmcall);
  check_eq("and has the data", g.ax, 0xfeedface);
  ept_pt[1] = a_of(data_b) | 1 | kWb;
  g.ax = 0x99;
  expect("EPT violation: write to a read-only page", run(guest_store), kEptViolation);
  check_eq("qualification: write; readable", qualification() & 0x1bf, 2 | 1 << 3 | 1 << 7 | 1 << 8);
  ept_pt[1] = a_of(data_b) | kRw | kWb;
  expect("mapped writable", enter(), kVmcall);
  check_eq("written", read64(a_of(data_b) + 8), 0x99);
  data_a[0] = 0xc3;  // RET
  ept_pt[2] = a_of(data_a) | kRw | kWb;
  expect("EPT violation: fetch", run(guest_fetch), kEptViolation);
  check_eq("qualification: fetch; readable, writable", qualification() & 0x1bf, 4 | 3 << 3 | 1 << 7 | 1 << 8);
  ept_pt[2] = a_of(data_a) | kRwx | kWb;
  expect("mapped executable", enter(), kVmcall);
  // misconfigurations
  ept_pt[0] = a_of(data_a) | 2 | kWb;
  invept(2, 0);
  expect("EPT misconfiguration: write without read", run(guest_load), kEptMisconfig);
  check_eq("its guest-physical address", vmread(GUEST_PHYSICAL_ADDRESS), kHole + 0x128);
  ept_pt[0] = a_of(data_a) | kRwx | 7 << 3;
  expect("EPT misconfiguration: memory type 7", enter(), kEptMisconfig);
  ept_pt[0] = a_of(data_a) | kRwx | 2 << 3;
  expect("EPT misconfiguration: memory type 2", enter(), kEptMisconfig);
  ept_pt[0] = (a_of(data_a) | kRwx | kWb) | u64{1} << 51;
  expect("EPT misconfiguration: address beyond the width", enter(), kEptMisconfig);
  ept_pt[0] = a_of(data_a) | kRwx | kWb;
  ept_pd[1][0] = a_of(ept_pt) | kRwx | 1 << 3;
  expect("EPT misconfiguration: reserved bit of a directory", enter(), kEptMisconfig);
  ept_pd[1][0] = a_of(ept_pt) | kRwx;
  expect("mended", enter(), kVmcall);
  // the guest's own tables are read through EPT
  u64 old = rt_pd[(kHole >> 21) + 1];
  rt_pd[(kHole >> 21) + 1] = (kHole + 0x5000) | 7;
  expect("EPT violation: the guest's page walk", run(guest_pf), kEptViolation);
  check_eq("qualification: not of the final access", qualification() & 0x181, 1 | 1 << 7);
  check_eq("guest-physical address of the entry", vmread(GUEST_PHYSICAL_ADDRESS), kHole + 0x5000);
  check_eq("guest-linear address of the access", vmread(GUEST_LINEAR), kHole + 0x200000);
  rt_pd[(kHole >> 21) + 1] = old;
  set_cr3(cr3());
  // stale until INVEPT
  expect("again", run(guest_load), kVmcall);
  write64(a_of(data_b) + 0x128, 0xb0b0);
  ept_pt[0] = a_of(data_b) | kRwx | kWb;
  expect("changed", run(guest_load), kVmcall);
  check("old or new page", g.ax == 0xfeedface || g.ax == 0xb0b0);
  check_eq("INVEPT", invept(1, eptp()), succeed);
  expect("after INVEPT", run(guest_load), kVmcall);
  check_eq("the new page", g.ax, 0xb0b0);
  if ((rdmsr(0x48c) >> 21 & 1) != 0) {  // accessed and dirty
    vmwrite(EPT_POINTER, eptp() | 1 << 6);
    invept(2, 0);
    ept_pt[0] &= ~u64{0x300}; ept_pt[1] &= ~u64{0x300};
    expect("with A/D", run(guest_load), kVmcall);
    check_eq("accessed", ept_pt[0] & 0x300, 0x100);
    g.ax = 1;
    expect("with A/D, a store", run(guest_store), kVmcall);
    check_eq("dirty", ept_pt[1] & 0x300, 0x300);
    vmwrite(EPT_POINTER, eptp());
    invept(2, 0);
  }
}

volatile u32 seen_vector, seen_count;
volatile u64 seen_error, seen_ip;
void note(Frame& f) { seen_vector = u32(f.vector); seen_error = f.error; seen_ip = f.ip; seen_count = seen_count + 1; if (f.vector == 6) f.ip += 2; }
void events() {
  // exceptions that exit
  vmwrite(EXCEPTION_BITMAP, 1 << 6);
  expect("#UD exits", run(guest_ud), kException);
  check_eq("its information", vmread(EXIT_INTR_INFO), 0x80000000 | 3 << 8 | 6);
  vmwrite(EXCEPTION_BITMAP, 1 << 13);
  expect("#GP exits", run(guest_gp), kException);
  check_eq("its information: with an error code", vmread(EXIT_INTR_INFO), 0x80000000 | 1 << 11 | 3 << 8 | 13);
  check_eq("its error code", vmread(EXIT_INTR_ERROR), 0);
  vmwrite(EXCEPTION_BITMAP, 1 << 3);
  expect("INT3 exits", run(guest_int3), kException);
  check_eq("its information: software exception", vmread(EXIT_INTR_INFO), 0x80000000 | 6 << 8 | 3);
  check_eq("its length", vmread(INSTRUCTION_LENGTH), 1);
  u64 old = rt_pd[(kHole >> 21) + 1];
  rt_pd[(kHole >> 21) + 1] = 0;
  vmwrite(EXCEPTION_BITMAP, 1 << 14);
  expect("#PF exits", run(guest_pf), kException);
  check_eq("its qualification: the address", qualification(), kHole + 0x200000);
  check_eq("its error code", vmread(EXIT_INTR_ERROR), 0);
  on_trap(14, [](Frame& f) { note(f); rt_pd[(kHole >> 21) + 1] = 0x200087; });
  vmwrite(PFEC_MASK, 1); vmwrite(PFEC_MATCH, 1);  // only where P is set
  seen_vector = 0;
  expect("#PF that the mask leaves to the guest", run(guest_pf), kVmcall);
  check_eq("its handler has run", seen_vector, 14);
  on_trap(14, nullptr);
  rt_pd[(kHole >> 21) + 1] = old;
  set_cr3(cr3());
  vmwrite(PFEC_MASK, 0); vmwrite(PFEC_MATCH, 0); vmwrite(EXCEPTION_BITMAP, 0);

  // injection
  for (u32 v : (const u32[]){6, 13, 0x55, 0x56, 2}) on_trap(u8(v), note);
  vmwrite(ENTRY_INTR_INFO, 0x80000000 | 0 << 8 | 0x55);
  vmwrite(GUEST_RFLAGS, 0x202);
  vmwrite(GUEST_RIP, a_of(guest_nop));
  vmwrite(GUEST_RSP, a_of(guest_stack) + 4096);
  expect("injected interrupt", enter(), kVmcall);
  check_eq("its vector", seen_vector, 0x55);
  check_eq("before the first instruction", seen_ip, a_of(guest_nop));
  check_eq("the field's valid bit is cleared by the exit", vmread(ENTRY_INTR_INFO) >> 31, 0);
  vmwrite(ENTRY_INTR_INFO, 0x80000000 | 1 << 11 | 3 << 8 | 13);
  vmwrite(ENTRY_ERROR, 0x1238);
  expect("injected #GP", run(guest_nop), kVmcall);
  check_eq("its error code", seen_vector * 0x10000 + seen_error, 13 * 0x10000 + 0x1238);
  vmwrite(ENTRY_INTR_INFO, 0x80000000 | 4 << 8 | 0x56);
  vmwrite(ENTRY_LENGTH, 1);
  expect("injected software interrupt", run(guest_nop), kVmcall);
  check_eq("pushes the address behind it", seen_ip, a_of(guest_nop) + 1);
  // an event whose delivery meets an EPT violation: the frame cannot be pushed
  vmwrite(ENTRY_INTR_INFO, 0x80000000 | 0x55);
  vmwrite(GUEST_RIP, a_of(guest_nop)); vmwrite(GUEST_RSP, kHole + 0x7800); vmwrite(GUEST_RFLAGS, 0x202);
  expect("delivery into a hole", enter(), kEptViolation);
  check_eq("IDT-vectoring information", vmread(IDT_VECTORING), 0x80000055);
  // external interrupts
  u64 pin = vmread(PIN_CONTROLS), exits = vmread(EXIT_CONTROLS);
  write32(0xfee000f0, 0x1ff);
  on_trap(0x57, [](Frame& f) { note(f); write32(0xfee000b0, 0); });
  vmwrite(PIN_CONTROLS, pin | 1);
  vmwrite(EXIT_CONTROLS, exits | 1 << 15);
  static volatile u32 never;
  g.bx = a_of(&never);
  auto spin = [](u64 flags) {
    write32(0xfee00300, 0x44057);  // an IPI to itself, pending since the host's IF is 0
    vmwrite(GUEST_RIP, a_of(guest_spin)); vmwrite(GUEST_RSP, a_of(guest_stack) + 4096); vmwrite(GUEST_RFLAGS, flags);
    return enter();
  };
  expect("external interrupt", spin(0x202), kExternal);
  check_eq("acknowledged: its vector", vmread(EXIT_INTR_INFO), 0x80000057);
  write32(0xfee000b0, 0);
  expect("although the guest's IF is 0", spin(2), kExternal);
  check_eq("acknowledged too", vmread(EXIT_INTR_INFO), 0x80000057);
  write32(0xfee000b0, 0);
  vmwrite(EXIT_CONTROLS, exits);
  expect("external interrupt, not acknowledged", spin(0x202), kExternal);
  check_eq("no information", vmread(EXIT_INTR_INFO) >> 31, 0);
  seen_vector = 0;
  asm volatile("sti; nop; nop; cli");
  check_eq("it is pending still", seen_vector, 0x57);
  vmwrite(PIN_CONTROLS, pin);
  seen_vector = 0;
  write32(0xfee00300, 0x44057);
  expect("without the control the guest takes it", run(guest_sti), kVmcall);
  check_eq("through its IDT", seen_vector, 0x57);
  // windows
  vmwrite(PRIMARY_CONTROLS, primary_base | 1u << 2);
  expect("interrupt window, after STI's shadow", run(guest_sti), kIntrWindow);
  check_eq("at the second instruction after STI", vmread(GUEST_RIP), a_of(guest_sti) + 2);
  vmwrite(PRIMARY_CONTROLS, primary_base);
  vmwrite(INTERRUPTIBILITY, 0);
  if (can(pin_caps(), 1u << 3)) {
    vmwrite(PIN_CONTROLS, pin | 1 << 3);
    write32(0xfee00310, read32(0xfee00020));
    vmwrite(GUEST_RIP, a_of(guest_spin)); vmwrite(GUEST_RSP, a_of(guest_stack) + 4096); vmwrite(GUEST_RFLAGS, 2);
    static volatile u32 flag = 1;
    g.bx = a_of(&flag);
    seen_count = 0;
    write32(0xfee00300, 0x4400);  // to itself, so the host may take it before the entry
    u32 r = enter();
    check("NMI: by the host, or as an exit", (seen_count == 1 && r == kVmcall) || (r == kException && vmread(EXIT_INTR_INFO) == (0x80000000 | 2 << 8 | 2)));
    vmwrite(PIN_CONTROLS, pin);
    vmwrite(INTERRUPTIBILITY, 0);
  }
  if (can(primary_caps(), 1u << 27)) {
    vmwrite(PRIMARY_CONTROLS, primary_base | 1u << 27);
    expect("monitor trap flag", run(guest_nop), kMtf);
    check_eq("after one instruction", vmread(GUEST_RIP), a_of(guest_nop) + 1);
    vmwrite(PRIMARY_CONTROLS, primary_base);
  }
}

void no_handlers() {
  for (u32 v : (const u32[]){2, 6, 13, 0x55, 0x56, 0x57}) on_trap(u8(v), nullptr);
}

void msr_lists() {
  msr_load[0] = 0xc0000102; msr_load[1] = 0x1111;
  msr_store[0] = 0xc0000102; msr_store[1] = 0;
  msr_back[0] = 0xc0000102; msr_back[1] = 0x2222;
  vmwrite(ENTRY_MSR_LOAD, a_of(msr_load)); vmwrite(ENTRY_MSR_LOAD_COUNT, 1);
  vmwrite(EXIT_MSR_STORE, a_of(msr_store)); vmwrite(EXIT_MSR_STORE_COUNT, 1);
  vmwrite(EXIT_MSR_LOAD, a_of(msr_back)); vmwrite(EXIT_MSR_LOAD_COUNT, 1);
  expect("MSR lists", run(guest_rdmsr), kVmcall);
  check_eq("loaded at entry", g.ax, 0x1111);
  check_eq("stored at exit", msr_store[1], 0x1111);
  check_eq("loaded at exit", rdmsr(0xc0000102), 0x2222);
  vmwrite(ENTRY_MSR_LOAD_COUNT, 0); vmwrite(EXIT_MSR_STORE_COUNT, 0); vmwrite(EXIT_MSR_LOAD_COUNT, 0);
}

extern "C" u8 guest_real[], guest_real_end[];
asm(R"(
        .code16
        .globl guest_real, guest_real_end
guest_real:
        mov     $0x1234, %ax
        mov     %ax, %ds
        mov     %cs, %bx
        cpuid
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        hlt
guest_real_end:
        .code64
)");
void unrestricted() {
  if (!can(secondary_caps(), 1u << 7)) { printf("no unrestricted guest\n"); return; }
  copy(reinterpret_cast<void*>(0x8000), guest_real, u64(guest_real_end - guest_real));
  vmwrite(SECONDARY_CONTROLS, secondary_base | 1u << 7);
  u64 entry = vmread(ENTRY_CONTROLS);
  vmwrite(ENTRY_CONTROLS, entry & ~(1u << 9));
  u64 efer = vmread(GUEST_EFER);
  vmwrite(GUEST_EFER, 0);
  vmwrite(GUEST_CR0, 0x30);
  vmwrite(GUEST_CR4, 0x2000);
  for (u32 i = 0; i < 6; ++i) { vmwrite(GUEST_ES + 2 * i, 0); vmwrite(BASE_ES + 2 * i, 0); vmwrite(LIMIT_ES + 2 * i, 0xffff); vmwrite(AR_ES + 2 * i, i == 1 ? 0x9b : 0x93); }
  vmwrite(GUEST_CS, 0x800); vmwrite(BASE_CS, 0x8000);
  vmwrite(GUEST_RIP, 0); vmwrite(GUEST_RSP, 0x7000); vmwrite(GUEST_RFLAGS, 2);
  vmwrite(INTERRUPTIBILITY, 0); vmwrite(ACTIVITY, 0);
  expect("real mode under EPT", enter(), kCpuid);
  check_eq("its CS", g.bx & 0xffff, 0x800);
  check_eq("its DS base", vmread(BASE_ES + 6), 0x12340);
  expect("protected mode without paging", next(), kHlt);
  check_eq("CR0.PE", vmread(GUEST_CR0) & 0x80000001, 1);
  vmwrite(SECONDARY_CONTROLS, secondary_base);
  check_eq("not without the control", enter(), 0x80000000 | kBadGuest);
  vmwrite(ENTRY_CONTROLS, entry);
  vmwrite(GUEST_EFER, efer);
}

void finish() {
  check_eq("VMCLEAR", vmclear(a_of(vmcs_page)), succeed);
  check_eq("no current VMCS", vmptrst(), ~u64{0});
  check_eq("VMPTRLD", vmptrld(a_of(vmcs_page)), succeed);
  check_eq("VMRESUME after VMCLEAR", vmx_enter(&g, 0) * 100 + error(), 2 * 100 + 5);
  vmclear(a_of(vmcs_page));
  asm volatile("vmxoff" : : : "cc", "memory");
  TRY("vmptrst %0", : : "m"(*guest_stack) : "memory", "cc");
  check_fault("#UD after VMXOFF", 6);
  set_cr4(cr4() & ~(word{1} << 13));
  check_eq("CR4.VMXE can go", cr4() & 0x2000, 0);
}
}  // namespace

extern "C" void rt_main() {
  if ((cpuid(1).c >> 5 & 1) == 0) { check("this processor has VMX", false); return; }
  make_ept();
  operation();
  write_state();
  entry_checks();
  plain_exits();
  ept();
  events();
  no_handlers();
  msr_lists();
  unrestricted();
  finish();
}
