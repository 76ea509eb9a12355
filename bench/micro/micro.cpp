// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT console "micro done"
// MEMORY 512M
// NEEDS vitrine
// The microbenchmarks as a guest: the rows that a program of Linux runs too, then those for which it is a hypervisor or needs its rights. One JSON
// object a line on the console, cycles as the time stamp counter tells them. Words of the command line: names of rows (none: all of them), list.
// SDM 3C "VMX Instruction Reference", "EPT"; SDM 3A "4-Level Paging"
#define MICRO_GUEST 1
#include "rows.hpp"
#include "vmx.hpp"

asm(R"(
        .globl micro_enter, micro_exit, micro_in_guest, micro_vmcall, micro_cpuid
micro_enter:                            # (times, launch): enters, and after each exit again, until `times` of them; 0, or 1 if an entry failed
        push    %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
        mov     $0x6c14, %eax           # HOST_RSP
        vmwrite %rsp, %rax
        mov     %rdi, %rbx
        test    %esi, %esi
        jz      1f
        vmlaunch
        jmp     2f
        .p2align 6
micro_exit:
        dec     %rbx                    # what the guest runs keeps it
        jz      3f
1:      vmresume
2:      mov     $1, %eax
        jmp     4f
3:      xor     %eax, %eax
4:      pop     %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
        ret
micro_in_guest:
        call    micro_guest
micro_vmcall:                           # entered again where it left: no instruction but this
        vmcall
        jmp     micro_vmcall
micro_cpuid:
        cpuid
        jmp     micro_cpuid
)");
extern "C" {
u32 micro_enter(u64 times, u32 launch);
extern u8 micro_exit[], micro_in_guest[], micro_vmcall[], micro_cpuid[];
extern u64 rt_pdpt[];
void micro_guest();
}

namespace micro {
namespace {
using namespace vmx;
// Physical memory: tables from 16 MiB on, then what the rows work on. The window of 4 KiB pages is at 4 GiB, linear.
constexpr u64 kTables = 16 * kMiB, kTablesEnd = 32 * kMiB, kScratchAt = 32 * kMiB, kArenaAt = 64 * kMiB, kMapped = 512 * kMiB, kWindow = u64{1} << 32;
constexpr u64 kLeaf = 0x80, kRwx = 7, kWb = 6 << 3;
alignas(4096) u8 on_page[4096], vmcs_page[4096], other_vmcs[4096];
alignas(16) u8 guest_stack[16384];
u64 next_table = kTables, ept_small, ept_large;
bool has_vmx, launched;
const Row* row;
i64 milli;

u64 a_of(const volatile void* p) { return reinterpret_cast<u64>(p); }
[[noreturn]] void give_up(const char* what, u64 v) {
  printf("micro: %s %llx\n", what, v);
  rt::exit(1);
}
u64* table(u64 count = 1) {                 // memory is zero at the start
  const u64 at = next_table;
  next_table += count * 4096;
  if (next_table > kTablesEnd) give_up("no room for tables, want", next_table);
  return reinterpret_cast<u64*>(at);
}
void map_window() {
  u64 *const pd = table(), *const pt = table(kArena >> 21);
  for (u64 i = 0; i < kArena >> 21; ++i) pd[i] = (a_of(pt) + i * 4096) | 3;
  for (u64 i = 0; i < kArena >> 12; ++i) pt[i] = (kArenaAt + i * 4096) | 3;
  rt_pdpt[kWindow >> 30] = a_of(pd) | 3;
}
/// Guest-physical memory as it is, below 512 MiB.
u64 make_ept(bool large) {
  u64 *const pml4 = table(), *const pdpt = table(), *const pd = table(), *const pt = large ? nullptr : table(kMapped >> 21);
  pml4[0] = a_of(pdpt) | kRwx;
  pdpt[0] = a_of(pd) | kRwx;
  for (u64 i = 0; i < kMapped >> 21; ++i) pd[i] = large ? i << 21 | kRwx | kWb | kLeaf : (a_of(pt) + i * 4096) | kRwx;
  if (!large) for (u64 i = 0; i < kMapped >> 12; ++i) pt[i] = i << 12 | kRwx | kWb;
  return a_of(pml4) | 6 | 3 << 3;
}

void write_state() {
  write_world(micro_exit);
  vmwrite(PIN_CONTROLS, adjust(pin_caps(), 0));
  vmwrite(PRIMARY_CONTROLS, adjust(primary_caps(), 1u << 31));
  vmwrite(SECONDARY_CONTROLS, adjust(secondary_caps(), 1u << 1 | 1u << 5));               // EPT, and VPID where there is one
  vmwrite(EXIT_CONTROLS, adjust(exit_caps(), 1u << 9 | 1u << 20 | 1u << 21));             // 64 bits on both sides, EFER loaded
  vmwrite(ENTRY_CONTROLS, adjust(entry_caps(), 1u << 9 | 1u << 15));
  if ((vmread(SECONDARY_CONTROLS) >> 5 & 1) != 0) vmwrite(VPID, 1);
}
void start_vmx() {
  if ((cpuid(1).c >> 5 & 1) == 0) return;
  const u64 fc = rdmsr(0x3a);
  if ((fc & 1) == 0) wrmsr(0x3a, fc | 5);
  set_cr4(cr4() | 1 << 13);
  const u32 revision = u32(rdmsr(0x480)) & 0x7fffffff;
  for (u8* page : (u8* const[]){on_page, vmcs_page, other_vmcs}) write32(a_of(page), revision);
  if (vmxon(a_of(on_page)) != succeed || vmclear(a_of(vmcs_page)) != succeed || vmclear(a_of(other_vmcs)) != succeed || vmptrld(a_of(vmcs_page)) != succeed)
    give_up("VMX operation cannot be started", rdmsr(0x480));
  ept_small = make_ept(false);
  ept_large = make_ept(true);
  write_state();
  has_vmx = true;
}
/// Enters the guest there, as often as said, each exit for this reason.
void enter(const u8* code, u64 times, u32 reason) {
  vmwrite(GUEST_RIP, a_of(code));
  vmwrite(GUEST_RSP, a_of(guest_stack) + sizeof guest_stack - 64);
  const u32 failed = micro_enter(times, !launched);
  if (failed != 0) give_up("the entry failed, error", error());
  launched = true;
  if (vmread(EXIT_REASON) != reason) give_up("an exit that was not expected, reason", vmread(EXIT_REASON));
}
constexpr u32 kExitCpuid = 10, kExitVmcall = 18;
const u8* exit_code;
u32 exit_reason;

/// Thousandths of a cycle.
void measure() {
  if (const u64 warm = warm_up(*row); warm != 0) row->run(warm, *row);
  // A chain that is walked again and again is walked for longer: what the end of the loop costs is not the same each time.
  const u64 n = row->n * (row->run == run_chain && !sampled(*row) ? 8 : 1), one = once(*row, n), two = once(*row, 2 * n);
  milli = i64(two - one) * 1000 / i64(n * row->ops);
}
void measure_under(u64 eptp) {
  vmwrite(EPT_POINTER, eptp);
  enter(micro_in_guest, 1, kExitVmcall);
}
}  // namespace

void setup_exit_by_vmcall(const Row&) { exit_code = micro_vmcall; exit_reason = kExitVmcall; vmwrite(EPT_POINTER, ept_large); }
void setup_exit_by_cpuid(const Row&) { exit_code = micro_cpuid; exit_reason = kExitCpuid; vmwrite(EPT_POINTER, ept_large); }
void run_round_trips(u64 n, const Row&) { enter(exit_code, n, exit_reason); }
#define ROOT_LOOP(count, body, ...) asm volatile("771:\n .rept " #count "\n" body "\n .endr\n dec %0\n jnz 771b" : "+r"(n) : __VA_ARGS__ : "rax", "rdx", "cc", "memory")
void run_vmread(u64 n, const Row&) { ROOT_LOOP(20, "vmread %1, %%rax", "r"(u64{GUEST_RIP})); }
void run_vmwrite(u64 n, const Row&) { ROOT_LOOP(20, "vmwrite %2, %1", "r"(u64{GUEST_RIP}), "r"(u64{0x1000})); }
void run_vmptrld(u64 n, const Row&) {
  const u64 one = a_of(vmcs_page), other = a_of(other_vmcs);
  ROOT_LOOP(1, "vmptrld %1\n vmptrld %2", "m"(other), "m"(one));
}
void run_invept(u64 n, const Row&) {
  const Descriptor d{ept_large, 0};
  ROOT_LOOP(1, "invept %1, %2", "m"(d), "r"(u64{1}));
}
void run_invvpid(u64 n, const Row&) {
  const Descriptor d{1, 0};
  ROOT_LOOP(1, "invvpid %1, %2", "m"(d), "r"(u64{1}));
}
void run_invlpg(u64 n, const Row&) { ROOT_LOOP(1, "invlpg (%1)", "r"(memory.small)); }
void run_cr3(u64 n, const Row&) { ROOT_LOOP(1, "mov %1, %%cr3", "r"(cr3())); }
void run_rdmsr(u64 n, const Row&) { ROOT_LOOP(4, "rdmsr", "c"(0x277)); }
#undef ROOT_LOOP
}  // namespace micro

extern "C" void micro_guest() { micro::measure(); }

extern "C" void rt_main() {
  using namespace micro;
  memory = {reinterpret_cast<u8*>(kWindow), reinterpret_cast<u8*>(kArenaAt), reinterpret_cast<u8*>(kScratchAt)};
  const bool list = has_word("list");
  bool chosen = false;
  for (const Row& r : kRows) chosen = chosen || has_word(r.name);
  map_window();
  start_vmx();
  for (const Row& r : kRows) {
    if (list) { printf("{\"name\":\"%s\"}\n", r.name); continue; }
    if (chosen && !has_word(r.name)) continue;
    if (r.place != Place::anywhere && !has_vmx) { printf("{\"name\":\"%s\",\"cycles\":null}\n", r.name); continue; }
    row = &r;
    if (r.setup != nullptr) r.setup(r);
    if (r.place == Place::ept4k) measure_under(ept_small);
    else if (r.place == Place::ept2m) measure_under(ept_large);
    else measure();
    const u64 size = u64(milli < 0 ? -milli : milli);
    printf("{\"name\":\"%s\",\"cycles\":%s%llu.%03llu}\n", r.name, milli < 0 ? "-" : "", size / 1000, size % 1000);
  }
  printf("micro done\n");
  rt::exit(0);
}
