// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu has no x2APIC without KVM, and takes reserved bits
// SKIP bochs does not enable it again once it was disabled, as early processors
// The local APIC's modes, registers, priorities, errors and timer as tables.
// SDM 3A "Local APIC Status and Location", "x2APIC State Transitions", "x2APIC Register Address Space", "Task and Processor Priorities", "Interrupt Acceptance
// for Fixed Interrupts", "Signaling Interrupt Servicing Completion", "Local APIC State After It Has Been Software Disabled", "Error Handling", "APIC Timer", "TSC-Deadline Mode"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u64 kApic = 0xfee00000, kEn = 0x800, kExtd = 0x400;
constexpr u32 kBase = 0x1b, kDeadline = 0x6e0;
u32 apic(u32 r) { return read32(kApic + r); }
void apic(u32 r, u32 v) { write32(kApic + r, v); }
void eoi() { apic(0xb0, 0); }
bool rd(u32 msr, u64& v) {
  u32 lo = 0, hi = 0;
  TRY("rdmsr", : "+a"(lo), "=d"(hi) : "c"(msr) : "memory");
  v = lo | u64{hi} << 32;
  return rt_fault.vector == kNone;
}
bool wr(u32 msr, u64 v) {
  TRY("wrmsr", : : "c"(msr), "a"(u32(v)), "d"(u32(v >> 32)) : "memory");
  return rt_fault.vector == kNone;
}
bool refused() { return rt_fault.vector == 13 && rt_fault.error == 0 && rt_fault.ip == rt_try_ip; }
volatile u32 n_taken, taken[256], nested;
void clear_taken() { n_taken = 0; }
void note(Frame& f) { if (n_taken < 256) taken[n_taken] = u32(f.vector); n_taken = n_taken + 1; }
void with_eoi(Frame& f) { note(f); eoi(); }
void let_in() { for (u32 i = 0; i < 8; ++i) asm volatile("sti; nop; cli"); }
void self(u32 vector) { apic(0x300, 0x44000 | vector); }
bool irr(u32 v) { return (apic(0x200 + v / 32 * 16) >> v % 32 & 1) != 0; }
bool isr(u32 v) { return (apic(0x100 + v / 32 * 16) >> v % 32 & 1) != 0; }
bool tmr(u32 v) { return (apic(0x180 + v / 32 * 16) >> v % 32 & 1) != 0; }
void set_cr8(u64 v) { asm volatile("mov %0, %%cr8" : : "r"(v)); }
u64 cr8() { u64 v; asm volatile("mov %%cr8, %0" : "=r"(v)); return v; }
u64 base;  // as firmware has left it

// ---- modes ----
void go(u64 bits) {  // by legal steps
  wrmsr(kBase, base & ~(kEn | kExtd));
  if (bits & kEn) wrmsr(kBase, (base & ~kExtd) | kEn);
  if (bits & kExtd) wrmsr(kBase, base | kEn | kExtd);
}
void looks(const char* name, u64 bits) {
  u64 v;
  const u32 page = apic(0x30);
  const bool msrs = rd(0x803, v);
  const bool x2 = bits == (kEn | kExtd), mmio = bits == kEn;
  check_eq(name, u32(rdmsr(kBase)) & (kEn | kExtd), bits);
  check("  the registers' page", mmio ? (page & 0xff) >= 0x10 && (page & 0xff) < 0x20 : (page & 0xff) < 0x10 || (page & 0xff) >= 0x20);
  check("  the MSRs", msrs == x2);
  check_eq("  CPUID's flag", cpuid(1).d >> 9 & 1, bits != 0);
}
void transitions() {
  const u64 states[] = {0, kEn, kEn | kExtd}, all[] = {0, kExtd, kEn, kEn | kExtd};
  const char* names[] = {"disabled", "xAPIC", "x2APIC"};
  const bool fine[3][4] = {{true, false, true, false}, {true, false, true, true}, {true, false, false, true}};
  for (u32 from = 0; from < 3; ++from)
    for (u32 to = 0; to < 4; ++to) {
      go(states[from]);
      const bool ok = wr(kBase, (base & ~(kEn | kExtd)) | all[to]);
      if (ok != fine[from][to] || (!ok && !refused())) printf("     from %s to EN, EXTD %llx\n", names[from], all[to] >> 10);
      check("a transition", ok == fine[from][to] && (ok || refused()));
      looks(names[from], fine[from][to] ? all[to] : states[from]);
    }
  go(kEn);
  const u32 width = cpuid(0x80000008).a & 0xff;
  u32 wrong = 0;
  for (u32 b = 0; b < 64; ++b) {
    const bool reserved = b < 8 || b == 9 || b >= width;
    if (!reserved) continue;
    if (wr(kBase, base ^ u64{1} << b) || !refused()) { ++wrong; printf("     bit %u\n", b); }
    if (rdmsr(kBase) != base) { ++wrong; wrmsr(kBase, base); }
  }
  check_eq("IA32_APIC_BASE's reserved bits", wrong, 0);
  // the page moves
  wrmsr(kBase, (base & 0xfff) | 0xfd7fe000);
  check_eq("moved: the version is there", read32(0xfd7fe030) & 0xf0, 0x10);
  check("  and not where it was", (apic(0x30) & 0xf0) != 0x10);
  wrmsr(kBase, base);
  check_eq("  and back", apic(0x30) & 0xf0, 0x10);
  // globally disabled and enabled: as after a reset
  apic(0xf0, 0x1ff), apic(0x80, 0x20), apic(0xd0, 0x01000000), apic(0x350, 0x700), apic(0x320, 0x20040), apic(0x380, 1u << 30), self(0x41);
  const u32 id = apic(0x20);
  go(0), go(kEn);
  const struct { const char* name; u32 reg, want; } rows[] = {{"after it was disabled: TPR", 0x80, 0}, {"LDR", 0xd0, 0}, {"SVR", 0xf0, 0xff}, {"LVT LINT0", 0x350, 0x10000}, {"LVT timer", 0x320, 0x10000},
                                                             {"initial count", 0x380, 0}, {"current count", 0x390, 0}, {"IRR", 0x220, 0}, {"the ID stays", 0x20, id}};
  for (auto& r : rows) check_eq(r.name, apic(r.reg), r.want);
}

// ---- the MSRs of x2APIC mode ----
struct X2 { u32 msr; bool read; u64 writable; bool write; };
constexpr u64 kDs = 0x5000;  // delivery status and remote IRR: read-only, not reserved
const X2 kX2[] = {{0x802, true, 0, false}, {0x803, true, 0, false}, {0x808, true, 0xff, true}, {0x80a, true, 0, false}, {0x80b, false, 0, true}, {0x80d, true, 0, false}, {0x80f, true, 0x1ff, true},
                  {0x828, true, 0, true}, {0x82f, true, 0x107ff, true}, {0x830, true, 0xffffffff000ccfff, true}, {0x832, true, 0x700ff, true}, {0x833, true, 0x107ff, true}, {0x834, true, 0x107ff, true},
                  {0x835, true, 0x1a7ff, true}, {0x836, true, 0x1a7ff, true}, {0x837, true, 0x100ff, true}, {0x838, true, 0xffffffff, true}, {0x839, true, 0, false}, {0x83e, true, 0xb, true},
                  {0x83f, false, 0xff, true}};
void x2apic_msrs() {
  u64 v;
  for (const u64 mode : (const u64[]){0, kEn}) {
    go(mode);
    u32 wrong = 0;
    for (u32 msr = 0x800; msr < 0x900; ++msr) {
      if (rd(msr, v) || !refused()) ++wrong;
      if (wr(msr, 0) || !refused()) ++wrong;
    }
    check_eq(mode ? "x2APIC's MSRs are not there in xAPIC mode" : "nor while it is disabled", wrong, 0);
  }
  go(kEn | kExtd);
  wrmsr(0x80f, 0x1ff);
  u32 wrong = 0, reserved_wrong = 0;
  for (u32 msr = 0x800; msr < 0x900; ++msr) {
    X2 row{msr, msr >= 0x810 && msr < 0x828, 0, false};
    for (auto& r : kX2) if (r.msr == msr) row = r;
    const bool sends = msr == 0x830 || msr == 0x83f;
    if (rd(msr, v) != row.read || (!row.read && !refused())) { ++wrong; printf("     RDMSR %x\n", msr); }
    if (!sends && (wr(msr, 0) != row.write || (!row.write && !refused()))) { ++wrong; printf("     WRMSR %x\n", msr); }
    for (u32 b = 0; b < 64; ++b) {
      if ((row.writable | (msr >= 0x82f && msr < 0x838 ? kDs : 0)) >> b & 1) continue;
      if (wr(msr, u64{1} << b) || !refused()) { ++reserved_wrong; printf("     WRMSR %x bit %u\n", msr, b); }
    }
  }
  check_eq("x2APIC's MSRs: which are read, which written", wrong, 0);
  check_eq("x2APIC's MSRs: reserved bits", reserved_wrong, 0);
  check_eq("the ID has 32 bits", rdmsr(0x802), cpuid(0xb).d);
  check_eq("LDR follows from it", rdmsr(0x80d), (cpuid(0xb).d >> 4) << 16 | 1u << (cpuid(0xb).d & 15));
  wrmsr(0x80f, 0x1ff);
  wrmsr(0x808, 0x35);
  check_eq("TPR and CR8", cr8(), 3);
  wrmsr(0x808, 0);
  on_trap(0x63, [](Frame& f) { note(f); wrmsr(0x80b, 0); });
  clear_taken();
  wrmsr(0x83f, 0x63), let_in();
  check_eq("SELF IPI", n_taken, 1);
  wrmsr(0x830, rdmsr(0x802) << 32 | 0x4063), let_in();
  check_eq("ICR, 64 bits at once", n_taken, 2);
  check_eq("  reads back", rdmsr(0x830), rdmsr(0x802) << 32 | 0x4063);
  wrmsr(0x83f, 5);
  wrmsr(0x828, 0);
  check_eq("ESR: SELF IPI of an illegal vector", rdmsr(0x828) & 0x20, 0x20);
  wrmsr(0x828, 0);
  check_eq("  and it is cleared", rdmsr(0x828), 0);
  go(0);
}

// ---- priorities ----
void processor_priority() {
  u32 wrong = 0, delivered_wrong = 0, cases = 0;
  for (u32 v : (const u32[]){0x31, 0x58, 0xf0}) on_trap(u8(v), note);
  const u32 services[] = {0, 0x31, 0x58, 0xf0}, offers[] = {0x22, 0x3f, 0x40, 0x5f, 0x60, 0x9a, 0xe7, 0xfe};
  for (u32 v : offers) on_trap(u8(v), with_eoi);
  for (u32 s : services) {
    apic(0x80, 0);
    if (s) self(s), let_in();
    for (u32 tpr = 0; tpr < 256; ++tpr) {
      apic(0x80, tpr);
      const u32 ppr = apic(0xa0), top = (tpr & 0xf0) > (s & 0xf0) ? tpr & 0xf0 : s & 0xf0;
      const bool low = (ppr & 15) == 0 || ((tpr & 0xf0) >= (s & 0xf0) && (ppr & 15) == (tpr & 15));
      const bool must = (tpr & 0xf0) > (s & 0xf0) && (ppr & 15) != (tpr & 15);
      if ((ppr & 0xf0) != top || !low || must || cr8() != tpr >> 4) { if (wrong++ < 4) printf("     TPR %x in service %x: PPR %x\n", tpr, s, ppr); }
      ++cases;
      if (tpr % 16 != 7) continue;
      for (u32 v : offers) {
        clear_taken();
        self(v), let_in();
        const bool want = (v & 0xf0) > top;
        if (want != (n_taken == 1)) { if (delivered_wrong++ < 4) printf("     TPR %x in service %x, vector %x: %u\n", tpr, s, v, n_taken); }
        if (n_taken == 0) {  // let it go
          if (irr(v) != true) ++delivered_wrong;
          apic(0x80, 0);
          if ((v & 0xf0) > (s & 0xf0)) let_in();
          else { eoi(); let_in(); self(s), let_in(); }
          apic(0x80, tpr);
        }
        ++cases;
      }
    }
    apic(0x80, 0);
    if (s) eoi();
  }
  check_eq("PPR and CR8 of every TPR", wrong, 0);
  check_eq("what PPR holds back", delivered_wrong, 0);
  printf("   %u cases\n", cases);
  wrong = 0;
  for (u32 c = 0; c < 16; ++c) {
    apic(0x80, 0xff), set_cr8(c);
    if (apic(0x80) != c << 4) ++wrong;
  }
  check_eq("MOV to CR8 sets the class, and clears the rest", wrong, 0);
  set_cr8(0);
}
void order() {
  for (u32 v = 0x20; v < 0xff; ++v) on_trap(u8(v), with_eoi);
  clear_taken();
  u32 wrong = 0;
  for (u32 k = 0; k < 0xdf; ++k) self(0x20 + k * 37 % 0xdf);
  for (u32 v = 0x20; v < 0xff; ++v) if (!irr(v) || isr(v) || tmr(v)) ++wrong;
  check_eq("every vector waits in the IRR", wrong, 0);
  for (u32 i = 0; i < 40; ++i) let_in();
  check_eq("each is taken once", n_taken, 0xdf);
  for (u32 i = 0; i < 0xdf; ++i) if (taken[i] != 0xfe - i) ++wrong;
  check_eq("the highest first", wrong, 0);
  // the same vector again while it is in service: once more, not twice
  clear_taken();
  on_trap(0x71, [](Frame& f) {
    note(f);
    if (n_taken == 1) { self(0x71), self(0x71); check("in service and waiting", isr(0x71) && irr(0x71)); }
    eoi();
  });
  self(0x71), let_in();
  check_eq("IRR and ISR hold two of a vector", n_taken, 2);
  // EOI ends the one of the highest priority in service, whoever writes it
  on_trap(0x51, note), on_trap(0x81, note), on_trap(0xa1, note);
  self(0x51), let_in(), self(0x81), let_in(), self(0xa1), let_in();
  check("three in service", isr(0x51) && isr(0x81) && isr(0xa1));
  eoi();
  check("the first EOI ends the highest", isr(0x51) && isr(0x81) && !isr(0xa1));
  check_eq("  PPR", apic(0xa0) & 0xf0, 0x80);
  apic(0xb0, 0xffffffff);
  check("  whatever is written", isr(0x51) && !isr(0x81));
  eoi();
  check("  all", !isr(0x51));
  eoi();
  check_eq("an EOI too many does nothing", apic(0xa0), 0);
  clear_taken();
  self(0xa1), apic(0x80, 0xa0), let_in();
  check("one that TPR holds back stays, and is no spurious one", n_taken == 0 && irr(0xa1));
  on_trap(0xa1, with_eoi);
  apic(0x80, 0), let_in();
  check_eq("  until it may", n_taken, 1);
}

// ---- level-triggered: TMR, remote IRR, the EOI broadcast ----
u32 ioapic(u32 r) { write32(0xfec00000, r); return read32(0xfec00010); }
void ioapic(u32 r, u32 v) { write32(0xfec00000, r); write32(0xfec00010, v); }
volatile u32 at_service, levels;
void level() {
  outb(0x43, 0x30), outb(0x40, 10), outb(0x40, 0);  // mode 0: the output is high from the end of the count on
  for (u32 i = 0; i < 100000; ++i) {
    outb(0x43, 0xe2);  // its status
    if (inb(0x40) & 0x80) break;
  }
  on_trap(0x91, [](Frame&) {
    levels = levels + 1;
    at_service = (ioapic(0x14) >> 14 & 1) | (tmr(0x91) ? 2 : 0);
    if (levels == 2) ioapic(0x14, 0x18091);  // masked
    eoi();
  });
  ioapic(0x15, apic(0x20) & 0xff000000);
  ioapic(0x14, 0x8091);  // the 8254's pin, level-triggered, active high
  for (u32 i = 0; i < 20; ++i) let_in();
  check_eq("a line that stays: again after each EOI", levels, 2);
  check_eq("  remote IRR and TMR while in service", at_service, 3);
  check_eq("  remote IRR after it", ioapic(0x14) >> 14 & 1, 0);
  self(0x91);
  check("an IPI of that vector clears TMR", !tmr(0x91));
  let_in();
  on_trap(0x91, with_eoi);
  ioapic(0x14, 0x10000);
  check_eq("suppression of EOI broadcasts is what the version says", apic(0x30) >> 24 & 1, 0);
  apic(0xf0, 0x11ff);
  check_eq("  and its bit reads as zero", apic(0xf0), 0x1ff);
}

// ---- software disabled ----
void disabled() {
  self(0x45);
  apic(0x350, 0x700), apic(0x320, 0x40);
  apic(0xf0, 0xff);
  check("what waits is held", irr(0x45));
  for (u32 lvt : (const u32[]){0x320, 0x330, 0x340, 0x350, 0x360, 0x370}) {
    check_eq("an LVT entry is masked", apic(lvt) >> 16 & 1, 1);
    apic(lvt, apic(lvt) & ~0x10000u);
    check_eq("  and stays so", apic(lvt) >> 16 & 1, 1);
  }
  apic(0x310, apic(0x20)), apic(0x300, 0x4046);
  check("a fixed interrupt is not accepted", !irr(0x46));
  static volatile u32 nmis;
  on_trap(2, [](Frame&) { nmis = nmis + 1; });
  apic(0x310, apic(0x20)), apic(0x300, 0x4400);
  for (u32 i = 0; i < 100; ++i) asm volatile("nop");
  check_eq("an NMI is", nmis, 1);
  on_trap(2, nullptr);
  apic(0xf0, 0x1ff);
  check_eq("enabled: the masks stay", apic(0x350) >> 16 & 1, 1);
  clear_taken();
  let_in();
  check("and what waited comes", n_taken == 1 && taken[0] == 0x45);
}

// ---- errors ----
void errors() {
  const auto esr = [] { apic(0x280, 0); return apic(0x280); };
  esr(), esr();
  u32 wrong = 0;
  for (u32 r = 0; r < 0x400; r += 0x10) {
    const bool there = r == 0x20 || r == 0x30 || (r >= 0x80 && r <= 0x280) || r == 0x2f0 || (r >= 0x300 && r <= 0x390) || r == 0x3e0;
    apic(r);
    if (esr() != (there ? 0 : 0x80)) { ++wrong; printf("     reading %x\n", r); }
    if (r == 0x280 || r == 0x300 || r == 0xb0 || there) continue;
    apic(r, 0);
    if (esr() != 0x80) { ++wrong; printf("     writing %x\n", r); }
  }
  check_eq("illegal register address, everywhere", wrong, 0);
  on_trap(0x10, with_eoi), on_trap(0x1f, with_eoi);
  for (u32 k = 0; k < 18; ++k) {
    self(k < 17 ? k : 0x1f), let_in();
    if (esr() != (k < 16 ? 0x20 : 0)) ++wrong;
  }
  check_eq("send illegal vector: up to 15", wrong, 0);
  apic(0x370, 0xe8);
  clear_taken();
  self(3), let_in();
  check("the error's interrupt", n_taken >= 1 && taken[0] == 0xe8);
  check_eq("  and ESR shows it only when written", apic(0x280), 0);
  check_eq("  then", esr(), 0x20);
  check_eq("  once", esr(), 0);
  apic(0x370, 0x100e8);
  clear_taken();
  self(3), let_in();
  check_eq("masked: none", n_taken, 0);
  check_eq("  but ESR has it", esr(), 0x20);
  apic(0x320, 0x0), apic(0x3e0, 0xb), apic(0x380, 10);
  for (u32 i = 0; i < 200; ++i) inb(0x80);
  check_eq("receive illegal vector: of the timer's entry", esr() & 0x40, 0x40);
  apic(0x320, 0x10000);
}

// ---- timer ----
void timer() {
  on_trap(0x48, with_eoi);
  const u32 codes[] = {0xb, 0, 1, 2, 3, 8, 9, 10}, by[] = {1, 2, 4, 8, 16, 32, 64, 128};
  u64 one = 0;
  for (u32 k = 0; k < 8; ++k) {
    apic(0x3e0, codes[k]), apic(0x320, 0x48);
    clear_taken();
    const u64 begin = rdtsc();
    apic(0x380, 20000);
    while (n_taken == 0 && rdtsc() - begin < 1000000000) asm volatile("sti; nop; cli");
    const u64 took = rdtsc() - begin;
    if (k == 0) one = took;
    if (took < one * by[k] * 8 / 10 || took > one * by[k] * 12 / 10) printf("     by %u: %llu after %llu\n", by[k], took, one);
    check("divide configuration", n_taken == 1 && took >= one * by[k] * 8 / 10 && took <= one * by[k] * 12 / 10);
  }
  apic(0x3e0, 0xb);
  const auto wait = [](u64 ticks) { for (u64 end = rdtsc() + ticks; rdtsc() < end;) asm volatile("sti; nop; cli"); };
  const struct { const char* name; u32 lvt; bool fires, again; } rows[] = {{"one-shot", 0x48, true, false}, {"one-shot, masked", 0x10048, false, false}, {"periodic", 0x20048, true, true}, {"periodic, masked", 0x30048, false, false}};
  for (auto& r : rows) {
    clear_taken();
    apic(0x320, r.lvt), apic(0x380, 20000);
    const u32 left = apic(0x390);
    check("counts down", left > 0 && left <= 20000);
    wait(100000 * (one / 20000 + 1));
    check_eq(r.name, n_taken == 0 ? 0 : n_taken == 1 ? 1 : 2, !r.fires ? 0 : r.again ? 2 : 1);
    check(r.lvt & 0x20000 ? "  and goes on counting" : "  and stands at zero", (apic(0x390) != 0) == ((r.lvt & 0x20000) != 0));
    apic(0x380, 0);
    check_eq("  a count of zero stops it", apic(0x390), 0);
    clear_taken();
    wait(50000 * (one / 20000 + 1));
    check_eq("  and none comes", n_taken, 0);
  }
  // TSC deadline
  if ((cpuid(1).c >> 24 & 1) == 0) return check("TSC deadline", false);
  const u64 far = rdtsc() + (u64{1} << 40);
  apic(0x320, 0x48);
  wrmsr(kDeadline, far);
  check_eq("a deadline in another mode is dropped", rdmsr(kDeadline), 0);
  apic(0x320, 0x40048);
  asm volatile("mfence");
  wrmsr(kDeadline, far);
  check_eq("armed: it reads back", rdmsr(kDeadline), far);
  apic(0x380, 1234);
  check_eq("the initial count is not written", apic(0x380), 0);
  check_eq("the current count is zero", apic(0x390), 0);
  wrmsr(kDeadline, 0);
  check_eq("zero disarms", rdmsr(kDeadline), 0);
  clear_taken();
  wrmsr(kDeadline, rdtsc() + 100000), wrmsr(kDeadline, rdtsc() + 1000);
  wait(50000);
  check_eq("a deadline replaces the one before", n_taken, 1);
  wait(200000);
  check_eq("  which does not come", n_taken, 1);
  check_eq("  and none is armed", rdmsr(kDeadline), 0);
  wrmsr(kDeadline, 1), let_in();
  check_eq("one that has gone by comes at once", n_taken, 2);
  apic(0x320, 0x50048);
  asm volatile("mfence");
  wrmsr(kDeadline, rdtsc() + 1000);
  wait(50000);
  check("masked: it passes", n_taken == 2 && rdmsr(kDeadline) == 0);
  apic(0x320, 0x40048), wait(50000);
  check_eq("  and does not come when the mask goes", n_taken, 2);
  wrmsr(kDeadline, far);
  apic(0x320, 0x48);
  check_eq("another mode disarms", rdmsr(kDeadline), 0);
  apic(0x320, 0x40048);
  check_eq("  for good", rdmsr(kDeadline), 0);
  apic(0x320, 0x10000);
}
}  // namespace

extern "C" void rt_main() {
  base = rdmsr(kBase);
  transitions();
  x2apic_msrs();
  go(kEn);
  on_trap(0xff, [](Frame&) { check("no spurious interrupt", false); });
  apic(0xf0, 0x1ff);
  processor_priority();
  order();
  level();
  disabled();
  errors();
  timer();
}
