// SPDX-License-Identifier: GPL-2.0-or-later
// BUILD 32
// EXPECT exit 0
// SKIP qemu reports faults of the new task at the old one's EIP, #NP for its SS, no EXT, and knows no trap bit
// Hardware task switches: nesting, jumps, 16-bit tasks, faults before and behind the commit point, gates in the IDT.
// SDM 3A "Task Management"
#include "rt.hpp"
using namespace rt;

namespace {
struct Tss {
  u16 link, r0; u32 esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
  u16 trap, iomap;
};
struct Tss16 { u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt; };
static_assert(sizeof(Tss) == 104 && sizeof(Tss16) == 44);

constexpr u16 kS(int n) { return u16(kSpare + 8 * n); }
constexpr u16 kNew = kS(0), kNew16 = kS(1), kGate = kS(2), kLdt = kS(3), kCode16 = kS(4), kStack16 = kS(5), kBad = kS(6), kConforming = kS(7);
constexpr u16 kHandler(int vector) { return kS(8 + vector); }  // one task for each vector
u32 at(const volatile void* p) { return reinterpret_cast<u32>(p); }
u64 descriptor(u32 base, u32 limit, u8 access, u8 flags) {
  return (limit & 0xffff) | u64{base & 0xffffff} << 16 | u64{access} << 40 | u64{limit >> 16 & 15} << 48 | u64{flags} << 52 | u64{base >> 24} << 56;
}
u64& slot(u16 sel) { return rt_gdt[sel / 8]; }
u8 access(u16 sel) { return u8(slot(sel) >> 40); }

extern "C" {
extern u8 task_body[], task_jump[], task_error[], task_body16[];
u32 seen_runs, seen_tr, seen_flags, seen_vector, seen_error, seen_link, seen_eip;
Tss task, handlers[32];
Tss16 task16;
}
alignas(16) u8 task_stack[4096], stack16[4096], handler_stack[32][256];
asm(R"(
        .text
        .globl task_body, task_jump, task_error, task_body16
task_body:                              # comes back by IRET
        pushfl
        popl    seen_flags
        str     %eax
        movl    %eax, seen_tr
        incl    seen_runs
        iret
        jmp     task_body
task_jump:                              # goes back by a jump
        str     %eax
        movl    %eax, seen_tr
        incl    seen_runs
        ljmp    $0x48, $0
        jmp     task_jump
task_body16:                            # CS is based here, 32 bits
        str     %eax
        movl    %eax, seen_tr
        movl    %esp, seen_flags
        incl    seen_runs
        iret
        jmp     task_body16
task_error:                             # a handler: EBX is its vector, EDI the TSS
        popl    %eax
        movl    %eax, seen_error
        movl    %ebx, seen_vector
        movzwl  (%edi), %eax
        movl    %eax, seen_link
        cmpl    $0x48, %eax
        jne     1f
        movl    rt_tss + 0x20, %eax
        movl    %eax, seen_eip
        movl    rt_resume_ip, %eax      # the faulting instruction is left out
        movl    %eax, rt_tss + 0x20
        iret
        jmp     task_error
1:      movl    task + 0x20, %eax
        movl    %eax, seen_eip
        ljmp    $0x48, $0
        jmp     task_error
)");

struct __attribute__((packed)) Far { u32 ip; u16 sel; } target;
Tss& main_tss() { return *reinterpret_cast<Tss*>(rt_tss); }

void fill(Tss& t, const void* eip, const void* stack_end) {
  set(&t, 0, sizeof t);
  t.eip = at(eip), t.eflags = 2, t.esp = at(stack_end);
  t.cs = kCode32, t.ss = t.ds = t.es = t.fs = t.gs = kData;
}
/// Every task as it is at the start, the current one the main task.
void prepare() {
  seen_runs = seen_vector = seen_error = seen_link = seen_eip = 0;
  fill(task, task_body, task_stack + sizeof task_stack);
  set(&task16, 0, sizeof task16);
  task16.flags = 2, task16.sp = 0xff0, task16.cs = kCode16, task16.ss = kStack16, task16.ds = task16.es = kData;
  slot(kNew) = descriptor(at(&task), 103, 0x89, 0);
  slot(kNew16) = descriptor(at(&task16), 43, 0x81, 0);
  slot(kGate) = u64{kNew} << 16 | u64{0x85} << 40;
  slot(kLdt) = descriptor(at(task_stack), 31, 0x82, 0);
  slot(kCode16) = descriptor(at(task_body16), 0xffff, 0x9b, 4);
  slot(kStack16) = descriptor(at(stack16), 0xfff, 0x93, 0);
  slot(kBad) = 0;
  slot(kConforming) = descriptor(0, 0xfffff, 0x9f, 12);
  static constexpr int kVectors[] = {8, 10, 11, 12, 13};
  for (int v : kVectors) {
    fill(handlers[v], task_error, handler_stack[v] + sizeof handler_stack[v]);
    handlers[v].ebx = u32(v), handlers[v].edi = at(&handlers[v]);
    slot(kHandler(v)) = descriptor(at(&handlers[v]), 103, 0x89, 0);
    set_gate(u8(v), 0, 0x85, kHandler(v));
  }
  slot(kTss) = descriptor(at(rt_tss), 103, 0x89, 0);
  u32 tr;
  asm volatile("ltr %w1; str %0; pushfl; andl $~0x4000, (%%esp); popfl; clts; lldt %w2" : "=r"(tr) : "r"(u32{kTss}), "r"(0u) : "cc", "memory");
}
void jump(u16 sel) { target = {0xdeadbeef, sel}; TRY("ljmp *%0", : : "m"(target) : "memory", "cc"); }
void call(u16 sel) { target = {0xdeadbeef, sel}; TRY("lcall *%0", : : "m"(target) : "memory", "cc"); }
u32 flags() { u32 v; asm volatile("pushfl; popl %0" : "=r"(v)); return v; }

void links() {
  prepare();
  call(kNew);
  check_eq("CALL: the task runs", seen_runs, 1);
  check_eq("its TR", seen_tr & 0xffff, kNew);
  check_eq("NT in it", seen_flags & 0x4000, 0x4000);
  check_eq("link", task.link, kTss);
  check_eq("not busy after IRET", access(kNew), 0x89);
  check_eq("the caller is", access(kTss), 0x8b);
  check_eq("NT is gone", flags() & 0x4000, 0);
  check_eq("NT is saved as 0 by IRET", task.eflags & 0x4000, 0);
  check_eq("TS", cr0() & 8, 8);
  call(kNew);
  check_eq("once more, behind its IRET", seen_runs, 2);
  call(kGate);
  check_eq("through a gate", seen_runs, 3);
  prepare();
  task.eip = at(task_jump), task.link = 0x1234;
  jump(kNew);
  check_eq("JMP there and back", seen_runs, 1);
  check_eq("no link", task.link, 0x1234);
  check_eq("TSS of the jump not busy", access(kNew), 0x89);
  check_eq("main busy", access(kTss), 0x8b);
  prepare();
  call(kNew16);
  check_eq("16-bit task runs", seen_runs, 1);
  check_eq("its TR", seen_tr & 0xffff, kNew16);
  check_eq("its SP", seen_flags & 0xffff, 0xff0);
  check_eq("link of 16 bits", task16.link, kTss);
  check_eq("its IP after IRET", task16.ip > 0 && task16.ip < 64, 1);
  prepare();
  main_tss().gs = 0x7777, main_tss().eax = 0;
  asm volatile("lcall *%0" : : "m"(target = Far{0, kNew}), "a"(0x5a5a1234) : "memory", "cc");
  check_eq("EAX saved", main_tss().eax, 0x5a5a1234);
  check_eq("selectors saved", main_tss().gs & 0xffff, kData);
}

struct Row {
  const char* name;
  void (*change)();
  u32 vector, error;
  bool committed;
};
void put_bad(u8 a, u8 f = 12) { slot(kBad) = descriptor(0, 0xfffff, a, f); }
const Row kRows[] = {
    {"TSS busy", [] { slot(kNew) |= u64{2} << 40; }, 13, kNew, false},
    {"TSS not present", [] { slot(kNew) &= ~(u64{0x80} << 40); }, 11, kNew, false},
    {"TSS limit", [] { slot(kNew) = descriptor(at(&task), 102, 0x89, 0); }, 10, kNew, false},
    {"LDT in the LDT", [] { task.ldt = kLdt | 4; }, 10, kLdt | 4, true},
    {"LDT is data", [] { task.ldt = kData; }, 10, kData, true},
    {"LDT not present", [] { slot(kLdt) &= ~(u64{0x80} << 40); task.ldt = kLdt; }, 10, kLdt, true},
    {"CS null", [] { task.cs = 0; }, 10, 0, true},
    {"CS is data", [] { task.cs = kData; }, 10, kData, true},
    {"CS beyond the GDT", [] { task.cs = 0x1000; }, 10, 0x1000, true},
    {"CS RPL", [] { task.cs = kCode32 | 3, task.ss = kUserData, task.ds = task.es = task.fs = task.gs = 0; }, 10, kCode32, true},
    {"CS not present", [] { put_bad(0x1b); task.cs = kBad; }, 11, kBad, true},
    {"SS null", [] { task.ss = 0; }, 10, 0, true},
    {"SS read-only", [] { put_bad(0x91); task.ss = kBad; }, 10, kBad, true},
    {"SS not present", [] { put_bad(0x13); task.ss = kBad; }, 12, kBad, true},
    {"SS DPL", [] { task.ss = kUserData & ~3u; }, 10, kUserData & ~3, true},
    {"SS RPL", [] { task.ss = kData | 1; }, 10, kData, true},
    {"DS beyond the GDT", [] { task.ds = 0x1000; }, 10, 0x1000, true},
    {"ES execute-only", [] { put_bad(0x99); task.es = kBad; }, 10, kBad, true},
    {"FS not present", [] { put_bad(0x13); task.fs = kBad; }, 11, kBad, true},
    {"GS RPL", [] { task.gs = kData | 3; }, 10, kData, true},
    {"EIP beyond the limit", [] { slot(kBad) = descriptor(0, 0xfff, 0x9b, 4); task.cs = kBad; }, 13, 0, true},
};

void faults() {
  for (const Row& r : kRows) {
    prepare();
    r.change();
    const u32 eip = task.eip;
    jump(kNew);
    u64 want = u64{r.vector} << 32 | r.error, got = u64{seen_vector} << 32 | seen_error;
    check_eq(r.name, got, want);
    check_eq("  in which task", seen_link, r.committed ? kNew : kTss);
    check_eq("  at which EIP", seen_eip, r.committed ? eip : rt_try_ip);
  }
  prepare();
  main_tss().link = kNew;  // not busy
  TRY("pushfl; orl $0x4000, (%%esp); popfl\n movl $1f, rt_try_ip\n1: iret", : : : "memory", "cc");
  check_eq("IRET to a task that is not busy", u64{seen_vector} << 32 | seen_error, u64{10} << 32 | kNew);
  check_eq("  at which EIP", seen_eip, rt_try_ip);
}

void gates() {
  prepare();
  TRY("mov %w0, %%fs", : : "r"(u32{0x1000}) : "memory");
  check_eq("#GP by a task", u64{seen_vector} << 32 | seen_error, u64{13} << 32 | 0x1000);
  check_eq("  at which EIP", seen_eip, rt_try_ip);
  prepare();
  set_gate(0x41, 0, 0x85, kNew);
  TRY("int $0x41", : : : "memory", "cc");
  check_eq("INT n by a task", seen_runs, 1);
  check_eq("its ESP: no error code", task.esp, at(task_stack + sizeof task_stack));
  set_gate(0x41, 0, 0x05, kNew);
  TRY("int $0x41", : : : "memory", "cc");
  check_eq("#NP gate", u64{seen_vector} << 32 | seen_error, u64{11} << 32 | (0x41 * 8 + 2));
  prepare();
  set_gate(0x41, 0, 0x85, kTss);
  TRY("int $0x41", : : : "memory", "cc");
  check_eq("#GP busy TSS in a gate: EXT is 0 for INT n", u64{seen_vector} << 32 | seen_error, u64{13} << 32 | kTss);
  prepare();
  set_gate(6, 0, 0x85, kTss);
  TRY("ud2", : : : "memory", "cc");
  check_eq("and 1 for an exception", u64{seen_vector} << 32 | seen_error, u64{13} << 32 | kTss | 1);
  prepare();
  set_gate(13, 0, 0x85, kTss);
  TRY("mov %w0, %%fs", : : "r"(u32{0x1000}) : "memory");
  check_eq("a double fault by a task", u64{seen_vector} << 32 | seen_error, u64{8} << 32);
  check_eq("  its link", seen_link, kTss);
  // the trap bit: #DB before the first instruction of the task
  prepare();
  set_gate(1, 0, 0x85, kHandler(8));
  handlers[8].esp -= 4;
  task.trap = 1;
  jump(kNew);
  u32 dr6;
  asm volatile("mov %%dr6, %0" : "=r"(dr6));
  check_eq("DR6.BT", dr6 & 0xe000, 0x8000);
  check_eq("  in the new task", seen_link, kNew);
  check_eq("  which has not run", seen_runs, 0);
  prepare();
  asm volatile("mov %0, %%dr7" : : "r"(0x4ffu));
  call(kNew);
  u32 dr7;
  asm volatile("mov %%dr7, %0; mov %1, %%dr7" : "=&r"(dr7) : "r"(0x400u));
  check_eq("DR7's local enables are cleared", dr7 & 0xff, 0xaa);
}

void paging() {
  alignas(4096) static u32 one[1024], two[1024];
  for (u32 n = 0; n < 1024; ++n) one[n] = two[n] = n << 22 | 0x83;
  two[16] = 0x83;  // 64 MiB: the first four once more
  prepare();
  task.cr3 = at(two);
  set_cr4(cr4() | 0x10);
  set_cr3(at(one));
  set_cr0(cr0() | 0x80000000);
  main_tss().cr3 = at(one);
  task.eip = at(task_body);
  call(kNew);
  check_eq("a task with its own CR3 runs", seen_runs, 1);
  check_eq("back with the old one", cr3(), at(one));
  main_tss().cr3 = at(two);  // saved nowhere: what is there counts
  call(kNew);
  check_eq("CR3 of the TSS", cr3(), at(two));
  check_eq("translations go with it", read32(0x4000000 + at(&seen_runs)), seen_runs);
  set_cr0(cr0() & ~0x80000000u);
}

void vm86() {
  // A virtual-8086 task that makes INT 42, whose gate is a task gate too.
  prepare();
  static const u8 code[] = {0xcd, 0x42, 0xeb, 0xfc};
  copy(reinterpret_cast<void*>(0x8000), code, sizeof code);
  set_gate(0x42, 0, 0xe5, kHandler(8));
  handlers[8].esp -= 4;
  task.eip = 0, task.eflags = 0x23002, task.esp = 0x7000;
  task.cs = 0x800, task.ss = task.ds = task.es = task.fs = 0, task.gs = 0x1234;
  jump(kNew);
  check_eq("virtual-8086 task, INT n by a task", seen_link, kNew);
  check_eq("its IP", seen_eip, 2);
  check_eq("VM saved", task.eflags & 0x20000, 0x20000);
  check_eq("GS saved", task.gs & 0xffff, 0x1234);
}
}  // namespace

extern "C" void rt_main() {
  main_tss().iomap = 104;
  links();
  faults();
  gates();
  paging();
  vm86();
}
