// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// CPUS 4
// SKIP bochs is run with one processor
// SKIP qemu resets CR0.CD, MTRRs at INIT, takes INIT level de-assert for INIT, has no broadcast to clusters and no arbitration by priority
// INIT and SIPI as tables: what a processor finds after them and what has stayed, of registers, MSRs, x87 and SSE, local APIC; where SIPIs start it; what INIT
// interrupts; who is meant by shorthands and destinations, also of ordinary IPIs, in both logical models and in x2APIC mode.
// SDM 3A "Processor State After Reset", "Local APIC State After It Receives an INIT Reset", "MP Initialization Protocol Algorithm for MP Systems",
// "Interrupt Command Register (ICR)", "Determining IPI Destination", "Lowest Priority Delivery Mode", "x2APIC State Transitions"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u64 kApic = 0xfee00000;
constexpr u32 kOthers = 3, kVector = 0x10;  // the page that processors are started at, unless a case says otherwise
u32 apic(u32 r) { return read32(kApic + r); }
void apic(u32 r, u32 v) { write32(kApic + r, v); }
bool in_x2apic() { return (rdmsr(0x1b) & 0x400) != 0; }
u32 my_id() { return in_x2apic() ? u32(rdmsr(0x802)) : apic(0x20) >> 24; }
void eoi() { in_x2apic() ? wrmsr(0x80b, 0) : apic(0xb0, 0); }
u64 at(const volatile void* p) { return reinterpret_cast<u64>(p); }
u64 at(void (*f)()) { return reinterpret_cast<u64>(f); }
void pause() { asm volatile("pause"); }
void delay() { for (u32 i = 0; i < 3000; ++i) inb(0x80); }
using Command = void (*)();
volatile Command command[4];
volatile u32 started[4], done[4], got[4], nmis, stay, bottom;  // the compiler knows no object at the bottom of memory
alignas(16) u8 stacks[4][8192];
u32 all_started() { return started[1] + started[2] + started[3]; }
template <class F> bool await(F f) {
  for (u32 i = 0; i < 3000000; ++i) { if (f()) return true; pause(); }
  return false;
}
}  // namespace
extern "C" {
extern u32 rt_ap_entry;
extern u8 su_low[], su_low_end[], su_record[], su_fx[], su_xsave[], su_msrs[];
extern volatile u32 su_stacks[4];
extern volatile u16 su_tr, su_ldtr;
[[noreturn]] void ap_main();
void su_spin();
}
asm(R"(
        .code16
        .balign 16
        .globl su_low, su_low_end, su_record, su_fx, su_xsave, su_msrs, su_stacks, su_tr, su_ldtr, su_spin
su_low: mov     %eax, %cs:(su_record - su_low)
        mov     %ecx, %cs:(su_record - su_low + 4)
        mov     %edx, %cs:(su_record - su_low + 8)
        mov     %ebx, %cs:(su_record - su_low + 12)
        mov     %esp, %cs:(su_record - su_low + 16)
        mov     %ebp, %cs:(su_record - su_low + 20)
        mov     %esi, %cs:(su_record - su_low + 24)
        mov     %edi, %cs:(su_record - su_low + 28)
        pushfl
        popl    %cs:(su_record - su_low + 32)
        mov     %cs, %cs:(su_record - su_low + 36)
        mov     %ds, %cs:(su_record - su_low + 40)
        mov     %es, %cs:(su_record - su_low + 44)
        mov     %fs, %cs:(su_record - su_low + 48)
        mov     %gs, %cs:(su_record - su_low + 52)
        mov     %ss, %cs:(su_record - su_low + 56)
        mov     %cr0, %eax; mov %eax, %cs:(su_record - su_low + 60)
        mov     %cr2, %eax; mov %eax, %cs:(su_record - su_low + 64)
        mov     %cr3, %eax; mov %eax, %cs:(su_record - su_low + 68)
        mov     %cr4, %eax; mov %eax, %cs:(su_record - su_low + 72)
        mov     %dr0, %eax; mov %eax, %cs:(su_record - su_low + 76)
        mov     %dr1, %eax; mov %eax, %cs:(su_record - su_low + 80)
        mov     %dr2, %eax; mov %eax, %cs:(su_record - su_low + 84)
        mov     %dr3, %eax; mov %eax, %cs:(su_record - su_low + 88)
        mov     %dr6, %eax; mov %eax, %cs:(su_record - su_low + 92)
        mov     %dr7, %eax; mov %eax, %cs:(su_record - su_low + 96)
        sgdtl   %cs:(su_record - su_low + 100)
        sidtl   %cs:(su_record - su_low + 108)
        incb    %ds:0x7f00                      # the segments' bases
        incb    %es:0x7f01
        incb    %fs:0x7f02
        incb    %gs:0x7f03
        incb    %ss:0x7f04
        mov     $(su_msrs - su_low), %di
1:      mov     %cs:(%di), %ecx
        test    %ecx, %ecx
        jz      2f
        rdmsr
        mov     %eax, %cs:4(%di)
        mov     %edx, %cs:8(%di)
        add     $12, %di
        jmp     1b
2:      rdtsc
        mov     %eax, %cs:(su_record - su_low + 116)
        mov     %edx, %cs:(su_record - su_low + 120)
        mov     %cr4, %eax
        or      $0x600, %eax                    # OSFXSR, OSXMMEXCPT
        mov     %eax, %cr4
        fxsave  %cs:(su_fx - su_low)
        cmpb    $0, %cs:(su_xsave - su_low)
        je      3f
        or      $0x40000, %eax                  # OSXSAVE
        mov     %eax, %cr4
        xor     %ecx, %ecx
        xgetbv
        mov     %eax, %cs:(su_record - su_low + 124)
3:      lgdtl   %cs:(su_pointer - su_low)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $0x08, $su_32
        .balign 16
su_fx:  .skip   512
su_pointer:
        .word   511
        .long   rt_gdt
        .balign 4
su_record: .skip 128
su_xsave: .long 0
su_msrs: .skip 12 * 24
su_low_end:
        .code32
su_32:  str     %ax
        mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %ss
        mov     %ax, su_tr
        sldt    %ax
        mov     %ax, su_ldtr
        mov     $1, %eax
        cpuid
        shr     $24, %ebx                       # the initial APIC ID: whose stack
        mov     su_stacks(, %ebx, 4), %esp
        jmp     rt_enter_long
        .code64
su_spin: mov    $0x11111111, %eax
        mov     $0x22222222, %ecx
        mov     $0x33333333, %edx
        mov     $0x44444444, %ebx
        mov     $0x55555555, %ebp
        mov     $0x66666666, %esi
        mov     $0x77777777, %edi
        std
        lock incl su_spinning
1:      pause
        jmp     1b
        .globl  su_real_nmi, su_real_nmi_end
        .code16
su_real_nmi:
        lock incl %cs:0x10
        iret
su_real_nmi_end:
        .code64
        .data
        .globl su_spinning
su_stacks: .skip 16
su_spinning: .long 0
su_tr:  .word 0
su_ldtr: .word 0
        .text
)");
extern "C" volatile u32 su_spinning;
extern "C" u8 su_real_nmi[];
extern "C" void ap_main() {
  reload_idt();
  if (!in_x2apic()) apic(0xf0, 0x1ff);
  else wrmsr(0x80f, 0x1ff);
  const u32 me = my_id();
  started[me] = started[me] + 1;
  for (;;) {
    if (const Command c = command[me]) {
      command[me] = nullptr;
      c();
      done[me] = done[me] + 1;
    }
    asm volatile("sti; nop; pause; cli");
  }
}

namespace {
// ---- sending ----
void send(u32 destination, u32 low) {
  if (in_x2apic()) return wrmsr(0x830, u64{destination} << 32 | low);
  apic(0x310, destination << 24);
  apic(0x300, low);
  await([] { return (apic(0x300) & 0x1000) == 0; });
}
constexpr u32 kInit = 0x4500, kDeassert = 0x8500, kSipi = 0x4600, kNmi = 0x4400, kFixed = 0x4000, kLowest = 0x4100, kLogical = 0x800, kSelf = 0x40000, kAll = 0x80000, kRest = 0xc0000;

// ---- the page that a SIPI starts at, and what the processor has noted in it ----
enum Slot { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, FLAGS, CS, DS, ES, FS, GS, SS, CR0, CR2, CR3, CR4, DR0, DR1, DR2, DR3, DR6, DR7, GDTR, IDTR = 27, TSC = 29, XCR0 = 31 };
struct MsrRow { const char* name; u32 msr; u64 dirty; bool kept; };
u32 last_mtrr = 0x200;
MsrRow msr_rows[] = {
    {"IA32_APIC_BASE", 0x1b, 0, true},           {"PAT", 0x277, 0x0007010600070406, true},      {"STAR", 0xc0000081, 0x0023001000000000, true}, {"LSTAR", 0xc0000082, 0x123456789000, true},
    {"FMASK", 0xc0000084, 0x47700, true},        {"KERNEL_GS_BASE", 0xc0000102, 0x7000beef0000, true}, {"SYSENTER_CS", 0x174, 0x10, true},      {"SYSENTER_ESP", 0x175, 0x334455660, true},
    {"SYSENTER_EIP", 0x176, 0x77889900, true},   {"TSC_AUX", 0xc0000103, 0x1234, true},         {"a variable MTRR", 0x200, 0xfd000000, true},   {"MTRR default type", 0x2ff, 0, true},
    {"MISC_ENABLE", 0x1a0, 0, true},             {"FEATURE_CONTROL", 0x3a, 0, true},            {"EFER", 0xc0000080, 0, false},
    {"FS_BASE", 0xc0000100, 0x5555000, false},   {"GS_BASE", 0xc0000101, 0x6666000, false}};
constexpr u32 kMsrs = sizeof msr_rows / sizeof *msr_rows;
u64 msr_before[kMsrs];
word page_of(u32 vector) { return word{vector} << 12; }
word in_page(u32 vector, const u8* what) { return page_of(vector) + (at(what) - at(su_low)); }
u32 noted(Slot s, u32 vector = kVector) { return read32(in_page(vector, su_record) + 4 * s); }
u64 noted_msr(u32 n, u32 vector = kVector) { const word a = in_page(vector, su_msrs) + 12 * n; return read32(a + 4) | u64{read32(a + 8)} << 32; }
void prepare(u32 vector) {
  copy(reinterpret_cast<void*>(page_of(vector)), su_low, u64(su_low_end - su_low));
  write32(in_page(vector, su_xsave), cpuid(1).c >> 26 & 1);
  for (u32 n = 0; n < kMsrs; ++n) write32(in_page(vector, su_msrs) + 12 * n, msr_rows[n].msr);
  write32(in_page(vector, su_msrs) + 12 * kMsrs, 0);
  write32(0x7f00, 0), write32(0x7f04, 0);
}
bool start(u32 id, u32 vector = kVector) {
  const u32 before = started[id];
  prepare(vector);
  send(id, kInit);
  delay();
  send(id, kSipi | vector);
  return await([=] { return started[id] != before; });
}
/// One command on one processor, to its end.
bool tell(u32 id, Command c) {
  const u32 before = done[id];
  command[id] = c;
  return await([=] { return done[id] != before; });
}
void tell_all(Command c) { for (u32 id = 1; id <= kOthers; ++id) tell(id, c); }

// ---- the state after INIT ----
void dirty() {
  for (u32 n = 0; n < kMsrs; ++n) {
    MsrRow& r = msr_rows[n];
    if (r.msr == 0x200) r.msr = last_mtrr;
    if (r.dirty != 0) wrmsr(r.msr, r.dirty);
    msr_before[n] = rdmsr(r.msr);
  }
  asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3; mov %1, %%dr6; mov %2, %%dr7" : : "r"(u64{0x123450}), "r"(u64{0xffff4ff5}), "r"(u64{0x700}));
  set_cr2(0xabcdef);
  set_cr4(cr4() | 0x8c | ((cpuid(1).c >> 26 & 1) != 0 ? 0x40000 : 0));  // TSD, DE, PGE, OSXSAVE
  if ((cpuid(1).c >> 26 & 1) != 0) asm volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
  static const u32 mxcsr = 0x9fc0;
  static const u16 cw = 0x27f;
  static const u64 pattern[2] = {0x0123456789abcdef, 0xfedcba9876543210};
  asm volatile("fninit; fldcw %0; fld1; fldpi; ldmxcsr %1; movups %2, %%xmm0; movups %2, %%xmm7" : : "m"(cw), "m"(mxcsr), "m"(pattern));
  // the local APIC: one vector in service, one waiting, every register away from its reset value
  apic(0x80, 0x20), apic(0xd0, 0x42000000), apic(0xe0, 0x0fffffff);
  for (u32 lvt : (const u32[]){0x330, 0x340, 0x350, 0x360, 0x370}) apic(lvt, 0xe0);
  apic(0x3e0, 0xb), apic(0x320, 0x200f0), apic(0x380, 0x40000000);
  send(my_id(), kFixed | 0x51);
  asm volatile("sti; nop; nop; cli");
  send(my_id(), kFixed | 0x41);
  su_spin();
}
struct ApicRow { const char* name; u32 reg, want; };
const ApicRow kApicRows[] = {{"TPR", 0x80, 0}, {"PPR", 0xa0, 0}, {"LDR", 0xd0, 0}, {"DFR", 0xe0, ~0u}, {"SVR", 0xf0, 0xff}, {"ISR of 51H", 0x120, 0}, {"IRR of 41H", 0x220, 0}, {"TMR", 0x1a0, 0},
                             {"ESR", 0x280, 0}, {"ICR", 0x300, 0}, {"ICR, high", 0x310, 0}, {"LVT timer", 0x320, 0x10000}, {"LVT thermal", 0x330, 0x10000}, {"LVT performance", 0x340, 0x10000},
                             {"LVT LINT0", 0x350, 0x10000}, {"LVT LINT1", 0x360, 0x10000}, {"LVT error", 0x370, 0x10000}, {"initial count", 0x380, 0}, {"current count", 0x390, 0},
                             {"divide configuration", 0x3e0, 0}};
constexpr u32 kApicCount = sizeof kApicRows / sizeof *kApicRows;
volatile u32 apic_seen[kApicCount], id_seen;
volatile u64 base_seen;
// Before ap_main has enabled it: the processor is told to look at the first opportunity
[[noreturn]] void look_first() {
  for (u32 n = 0; n < kApicCount; ++n) apic_seen[n] = apic(kApicRows[n].reg);
  id_seen = apic(0x20);
  base_seen = rdmsr(0x1b);
  ap_main();
}

void state_after_init() {
  last_mtrr = 0x200 + 2 * ((u32(rdmsr(0xfe)) & 0xff) - 1);
  on_trap(0x51, [](Frame&) {});  // no EOI: it stays in service
  command[1] = dirty;
  check("the processor that is going to be initialized", await([] { return su_spinning == 1; }));
  const u64 before = rdtsc();
  rt_ap_entry = u32(at(&look_first));
  check("INIT and SIPI start it anew", start(1));
  rt_ap_entry = u32(at(&ap_main));
  const struct { const char* name; u32 got, want; } rows[] = {
      {"EAX", noted(EAX), 0}, {"EBX", noted(EBX), 0}, {"ECX", noted(ECX), 0}, {"EDX: family, model, stepping", noted(EDX) & 0xfffffff, cpuid(1).a & 0xfffffff}, {"ESP", noted(ESP), 0},
      {"EBP", noted(EBP), 0}, {"ESI", noted(ESI), 0}, {"EDI", noted(EDI), 0}, {"EFLAGS", noted(FLAGS), 2}, {"CS", noted(CS) & 0xffff, kVector << 8}, {"DS", noted(DS) & 0xffff, 0}, {"ES", noted(ES) & 0xffff, 0},
      {"FS", noted(FS) & 0xffff, 0}, {"GS", noted(GS) & 0xffff, 0}, {"SS", noted(SS) & 0xffff, 0}, {"bases of DS, ES, FS, GS", read32(0x7f00), 0x01010101}, {"base of SS", read8(0x7f04), 1},
      {"CR0: CD and NW as they were", noted(CR0), 0x10}, {"CR2", noted(CR2), 0}, {"CR3", noted(CR3), 0}, {"CR4", noted(CR4), 0},
      {"DR0", noted(DR0), 0}, {"DR1", noted(DR1), 0}, {"DR2", noted(DR2), 0}, {"DR3", noted(DR3), 0}, {"DR6", noted(DR6), 0xffff0ff0}, {"DR7", noted(DR7), 0x400},
      {"GDTR's limit", noted(GDTR) & 0xffff, 0xffff}, {"GDTR's base", read32(in_page(kVector, su_record) + 102), 0}, {"IDTR's limit", noted(IDTR) & 0xffff, 0xffff},
      {"IDTR's base", read32(in_page(kVector, su_record) + 110), 0}, {"TR", su_tr, 0}, {"LDTR", su_ldtr, 0},
      {"x87 control word stays", read32(in_page(kVector, su_fx)) & 0xffff, 0x27f}, {"x87 TOP stays", read32(in_page(kVector, su_fx)) >> 27 & 7, 6}, {"x87 tags stay", read8(in_page(kVector, su_fx) + 4), 0xc0},
      {"MXCSR stays", read32(in_page(kVector, su_fx) + 24), 0x9fc0}, {"XMM0 stays", read32(in_page(kVector, su_fx) + 160), 0x89abcdef}, {"XMM7 stays", read32(in_page(kVector, su_fx) + 160 + 7 * 16 + 8), 0x76543210}};
  for (auto& r : rows) check_eq(r.name, r.got, r.want);
  if ((cpuid(1).c >> 26 & 1) != 0) check_eq("XCR0 stays", noted(XCR0), 3);
  const u64 tsc = noted(TSC) | u64{read32(in_page(kVector, su_record) + 120)} << 32;
  check("the TSC goes on", tsc > before && tsc < rdtsc());
  for (u32 n = 0; n < kMsrs; ++n) check_eq(msr_rows[n].name, noted_msr(n), msr_rows[n].kept ? msr_before[n] : 0);
  for (u32 n = 0; n < kApicCount; ++n) check_eq(kApicRows[n].name, apic_seen[n], kApicRows[n].want);
  check_eq("the APIC ID stays", id_seen >> 24, 1);
  check_eq("IA32_APIC_BASE: no bootstrap processor, enabled, where it was", base_seen, 0xfee00800);
}

// ---- SIPI ----
void startup_addresses() {
  for (u32 vector : (const u32[]){0x10, 0x2a, 0x55, 0x7f}) {
    check("a SIPI's vector", start(1, vector));
    check_eq("  is CS >> 8, and IP is 0", noted(CS, vector) & 0xffff, vector << 8);
  }
}
void ignored() {
  prepare(kVector);
  const u32 before = all_started();
  send(1, kSipi | kVector);
  send(0, kSipi | kVector | kRest);
  delay();
  check_eq("a SIPI to processors that run is ignored", all_started(), before);
  send(1, kInit), delay();
  check_eq("INIT alone starts nothing", all_started(), before);
  send(1, kNmi), send(1, kFixed | 0x60), delay();
  check_eq("nor does an NMI or an interrupt to one that waits", all_started() + nmis + read32(0x7010) + got[1], before);
  send(1, kDeassert), send(0, kDeassert | kAll), delay();
  check_eq("nor an INIT level de-assert", all_started(), before);
  send(1, kSipi | kVector), send(1, kSipi | 0x55);
  check("the first SIPI starts it", await([=] { return all_started() == before + 1; }));
  delay();
  check_eq("the second is ignored", all_started(), before + 1);
  check("  and the processor runs", tell(1, [] {}));
  send(1, kInit), delay();
  check_eq("nor is it kept for the next INIT", all_started(), before + 1);
  send(1, kSipi | kVector);
  check("  which has its own", await([=] { return all_started() == before + 2; }));
}

// ---- what INIT interrupts ----
volatile u32 progress;
void counting() { for (;;) progress = progress + 1; }
void halted() { for (;;) asm volatile("cli; hlt"); }
void halted_if() { for (;;) asm volatile("sti; hlt"); }
void in_a_repeated_string() { asm volatile("1: mov %0, %%rdi; mov $4096, %%ecx; rep stosb; jmp 1b" : : "r"(at(stacks[2])) : "rcx", "rdi", "memory"); }
void in_an_nmi() { stay = 1; send(my_id(), kNmi); for (;;) pause(); }
void in_shadows() { for (;;) asm volatile("mov %%ss, %%eax; 1: mov %%eax, %%ss; mov %%eax, %%ss; jmp 1b" : : : "rax"); }
void with_single_steps() { on_trap(1, [](Frame&) {}); asm volatile("pushfq; orq $0x100, (%%rsp); popfq; 1: jmp 1b" : : : "memory", "cc"); }
void interrupted() {
  const struct { const char* name; Command c; } rows[] = {{"INIT to a processor that computes", counting}, {"that is halted", halted}, {"that is halted with IF", halted_if}, {"amid string instructions", in_a_repeated_string},
                                                         {"between MOV SS", in_shadows}, {"with TF", with_single_steps}, {"in an NMI handler", in_an_nmi}};
  for (auto& r : rows) {
    command[1] = r.c;
    await([] { return command[1] == nullptr; });
    delay();
    check(r.name, start(1));
    check_eq("  in real-address mode", noted(CR0) & 0x80000001, 0);
  }
  on_trap(1, nullptr);
  nmis = 0;
  stay = 0;
  send(1, kNmi);
  check("NMIs are taken after INIT", await([] { return nmis == 1; }));
  command[1] = counting;
  await([] { return command[1] == nullptr; });
  u32 was = progress;
  send(1, kDeassert);
  delay();
  check("an INIT level de-assert interrupts nothing", progress != was);
  send(1, kInit);
  delay();
  was = progress;
  delay();
  check_eq("INIT does", progress, was);
  check("again by SIPI", start(1));
}

// ---- who is meant ----
void starts(const char* name, u32 destination, u32 mode, u32 want) {
  u32 before[4], mask = 0;
  for (u32 id = 1; id <= kOthers; ++id) before[id] = started[id];
  send(destination, kInit | mode);
  delay();
  for (u32 id = 1; id <= kOthers; ++id) send(id, kSipi | kVector);  // who has not been initialized ignores it
  delay();
  await([&] { mask = 0; for (u32 id = 1; id <= kOthers; ++id) mask |= started[id] != before[id] ? 1u << id : 0; return mask == want; });
  check_eq(name, mask, want);
}
void set_flat() { apic(0xe0, ~0u), apic(0xd0, 1u << 24 << my_id()); }
void set_clusters() { apic(0xe0, 0x0fffffff), apic(0xd0, (my_id() < 2 ? 0x10u : 0x20u) << 24 | 1u << 24 << my_id() % 2); }
void set_neither() { apic(0xe0, 0x5fffffff); }
void set_priority() { static const u8 tpr[] = {0x50, 0x30, 0x10, 0x20}; apic(0x80, tpr[my_id()]); }
void clear_priority() { apic(0x80, 0); }
void go_x2apic() { wrmsr(0x1b, rdmsr(0x1b) | 0x400), wrmsr(0x80f, 0x1ff); }
void go_xapic() { const u64 b = rdmsr(0x1b); wrmsr(0x1b, b & ~u64{0xc00}), wrmsr(0x1b, (b & ~u64{0xc00}) | 0x800), apic(0xf0, 0x1ff); }
struct To { const char* name; u32 destination, mode, want; };  // want: a bit for each processor that gets it
void reach(const To& r) {
  for (u32 id = 0; id < 4; ++id) got[id] = 0;
  send(r.destination, r.mode | 0x60);
  for (u32 i = 0; i < 300; ++i) asm volatile("sti; nop; cli; pause");
  u32 mask = 0, twice = 0;
  const auto count = [&] {
    mask = twice = 0;
    for (u32 id = 0; id < 4; ++id) mask |= got[id] != 0 ? 1u << id : 0, twice += got[id] > 1;
    return mask == r.want;
  };
  if (r.want == 0) delay();
  await(count);
  delay();
  count();
  check_eq(r.name, mask | twice << 8, r.want);
}
void destinations() {
  starts("INIT to one", 2, 0, 4);
  starts("INIT to all but itself", 0, kRest, 0xe);
  starts("INIT to an ID that nobody has", 0xfe, 0, 0);
  set_flat(), tell_all(set_flat);
  starts("INIT by logical destination", 0x0a, kLogical, 0xa);
  tell(2, set_flat);
  starts("whose LDR was cleared by it", 0x0a, kLogical, 0);
  tell_all(set_flat);
  const To flat[] = {{"physical", 2, kFixed, 4}, {"physical, itself", 0, kFixed, 1}, {"physical, nobody", 9, kFixed, 0}, {"physical, broadcast", 0xff, kFixed, 0xf}, {"self", 3, kFixed | kSelf, 1},
                     {"all", 3, kFixed | kAll, 0xf}, {"all but itself", 0, kFixed | kRest, 0xe}, {"flat, one", 4, kFixed | kLogical, 4}, {"flat, three", 0xd, kFixed | kLogical, 0xd},
                     {"flat, nobody", 0xf0, kFixed | kLogical, 0}, {"flat, none", 0, kFixed | kLogical, 0}, {"flat, all", 0xff, kFixed | kLogical, 0xf},
                     {"level-triggered: taken as edge", 2, kFixed | 0x8000, 4}};
  for (auto& r : flat) reach(r);
  set_clusters(), tell_all(set_clusters);
  const To clusters[] = {{"cluster 1, both", 0x13, kFixed | kLogical, 3}, {"cluster 2, one", 0x22, kFixed | kLogical, 8}, {"cluster 2, other bits", 0x2c, kFixed | kLogical, 0}, {"cluster 3", 0x33, kFixed | kLogical, 0},
                         {"broadcast to members of every cluster", 0xf1, kFixed | kLogical, 5}, {"cluster model, all", 0xff, kFixed | kLogical, 0xf}, {"cluster model, physical", 3, kFixed, 8}};
  for (auto& r : clusters) reach(r);
  tell(2, set_neither);
  reach({"DFR with neither model", 0x21, kFixed | kLogical, 0});
  set_flat(), tell_all(set_flat);
  set_priority(), tell_all(set_priority);
  const To lowest[] = {{"lowest priority of all", 0xf, kLowest | kLogical, 4}, {"of two", 0xa, kLowest | kLogical, 8}, {"of one", 2, kLowest | kLogical, 2}, {"to one by its ID", 1, kLowest, 2}};
  for (auto& r : lowest) reach(r);
  clear_priority(), tell_all(clear_priority);
}
void x2apic() {
  if ((cpuid(1).c >> 21 & 1) == 0) return check("x2APIC", false);
  tell(3, go_x2apic);
  check("INIT leaves x2APIC mode as it is", start(3) && (noted_msr(0) & 0xc00) == 0xc00);
  tell(1, go_x2apic), tell(2, go_x2apic), go_x2apic();
  const To rows[] = {{"x2APIC: physical", 2, kFixed, 4}, {"x2APIC: 255 is nobody", 0xff, kFixed, 0}, {"x2APIC: broadcast", ~0u, kFixed, 0xf}, {"x2APIC: self", 0, kFixed | kSelf, 1}, {"x2APIC: all but itself", 0, kFixed | kRest, 0xe},
                     {"x2APIC: cluster 0, members 1 and 3", 0xa, kFixed | kLogical, 0xa}, {"x2APIC: cluster 1", 0x1000a, kFixed | kLogical, 0}, {"x2APIC: all members of cluster 0", 0xffff, kFixed | kLogical, 0xf},
                     {"x2APIC: logical broadcast", ~0u, kFixed | kLogical, 0xf}};
  for (auto& r : rows) reach(r);
  starts("x2APIC: INIT to one", 2, 0, 4);
  starts("x2APIC: INIT by logical destination, which INIT does not change", 0xc, kLogical, 0xc);
  starts("x2APIC: INIT to all but itself", 0, kRest, 0xe);
  check_eq("  stays in x2APIC mode", noted_msr(0) & 0xc00, 0xc00);
  const u32 before = started[1];
  send(1, kInit), send(1, kSipi | kVector);  // nothing between them
  check("a SIPI right behind INIT is not lost", await([=] { return started[1] != before; }));
  tell_all(go_xapic), go_xapic();
  reach({"back in xAPIC mode", 2, kFixed, 4});
}
}  // namespace

extern "C" void rt_main() {
  for (u32 id = 0; id < 4; ++id) su_stacks[id] = u32(at(stacks[id]) + sizeof stacks[id]);
  rt_ap_entry = u32(at(&ap_main));
  // an NMI in real-address mode
  copy(reinterpret_cast<void*>(word{0x7000}), su_real_nmi, 16);
  write32(bottom + 8, 0x07000000);
  on_trap(0x60, [](Frame&) { const u32 me = my_id(); got[me] = got[me] + 1; eoi(); });
  on_trap(2, [](Frame&) { nmis = nmis + 1; while (stay != 0) pause(); });
  on_trap(0xff, [](Frame&) {});
  apic(0xf0, 0x1ff);
  for (u32 id = 1; id <= kOthers; ++id) check("started", start(id));
  check_eq("after power-up: CR0 of the last", noted(CR0), 0x60000010);
  startup_addresses();
  ignored();
  state_after_init();
  interrupted();
  destinations();
  x2apic();
}
