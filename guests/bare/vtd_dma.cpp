// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// NEEDS vitrine
// ALSO sagaw39 sagaw-both no-superpages fault-records fault-records-end
// DMA through the remapping unit by the DMA function (docs/dma-function.md): allowed, refused with the fault recorded and its MSI,
// stale IOTLB and context-cache entries until they are invalidated, superpages, and its interrupts through the remapping table.
// VT-d "DMA Remapping", "Caching Translation Information", "Fault Reporting", "Interrupt Remapping"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u64 kUnit = 0xfed90000, kApic = 0xfee00000;
constexpr u8 kFaultVector = 0x61, kDoneVector = 0x62, kRemappedVector = 0x63;
enum : u32 { CAP = 0x08, ECAP = 0x10, GCMD = 0x18, GSTS = 0x1c, RTADDR = 0x20, CCMD = 0x28, FSTS = 0x34, FECTL = 0x38, FEDATA = 0x3c,
             FEADDR = 0x40, FEUADDR = 0x44, IQH = 0x80, IQT = 0x88, IQA = 0x90, IRTA = 0xb8 };
constexpr u32 kTe = 1u << 31, kSrtp = 1u << 30, kQie = 1u << 26, kIre = 1u << 25, kSirtp = 1u << 24;
constexpr u16 kDomain = 7;

u32 reg(u32 r) { return read32(kUnit + r); }
u64 reg64(u32 r) { return read64(kUnit + r); }
void reg(u32 r, u32 v) { write32(kUnit + r, v); }
void reg64(u32 r, u64 v) { write64(kUnit + r, v); }
u64 cap, ecap;
u16 bdf;
u64 bar;
volatile u32 faults, dones, remapped;

alignas(4096) u64 root[512], context[512], top[512], other_top[512], pdpt[512], other_pdpt[512], pd[512], other_pd[512], pt[512], other_pt[512];
alignas(4096) u64 queue[512], irt[512];
alignas(4096) u8 a[4096], b[4096], c[4096], d[4096];
alignas(0x200000) u8 big[0x200000];
alignas(16) volatile u32 wait_status[4];
u64 a_of(const volatile void* p) { return reinterpret_cast<u64>(p); }

u32 config(u16 f, u32 r) { outl(0xcf8, 0x80000000 | u32{f} << 8 | (r & 0xfc)); return inl(0xcfc); }
void config(u16 f, u32 r, u32 v) { outl(0xcf8, 0x80000000 | u32{f} << 8 | (r & 0xfc)); outl(0xcfc, v); }

bool command(u32 set, u32 status, bool want = true) {  // one-shot bits are not part of what GSTS gives back
  reg(GCMD, set);
  for (u32 i = 0; i < 1000000; ++i) if (((reg(GSTS) & status) != 0) == want) return true;
  return false;
}
u32 enabled() { return reg(GSTS) & (kTe | kQie | kIre); }

// ---- invalidation: through the queue where there is one, otherwise by registers ----
bool use_queue;
void submit(u64 lo, u64 hi) {
  u64 tail = reg64(IQT) >> 4;
  queue[2 * tail] = lo;
  queue[2 * tail + 1] = hi;
  reg64(IQT, (tail + 1) % 256 << 4);
}
bool queue_wait() {
  static u32 number;
  ++number;
  submit(5 | 1 << 5 | u64{number} << 32, a_of(wait_status));
  for (u32 i = 0; i < 1000000; ++i) if (wait_status[0] == number) return true;
  return false;
}
bool invalidate_context(u32 granularity) {  // 1 global, 2 domain, 3 device
  if (use_queue) { submit(1 | granularity << 4 | u64{kDomain} << 16 | u64{bdf} << 32, 0); return queue_wait(); }
  reg64(CCMD, u64{1} << 63 | u64{granularity} << 61 | u64{bdf} << 16 | kDomain);
  for (u32 i = 0; i < 1000000; ++i) if ((reg64(CCMD) >> 63) == 0) return true;
  return false;
}
bool invalidate_iotlb(u32 granularity, u64 address = 0) {  // 1 global, 2 domain, 3 page
  if (use_queue) { submit(2 | granularity << 4 | 1 << 6 | 1 << 7 | u64{kDomain} << 16, address); return queue_wait(); }
  u32 iva = (ecap >> 8 & 0x3ff) * 16;
  if (granularity == 3) reg64(iva, address);
  reg64(iva + 8, u64{1} << 63 | u64{granularity} << 60 | u64{3} << 48 | u64{kDomain} << 32);
  for (u32 i = 0; i < 1000000; ++i) if ((reg64(iva + 8) >> 63) == 0) return true;
  return false;
}

// ---- the DMA function ----
enum : u32 { SRC = 8, DST = 0x10, LEN = 0x18, CMD = 0x1c, STATUS = 0x20, IRQ_ENABLE = 0x24, DONE = 0x2c, DATA = 0x800 };
constexpr u32 kRead = 1, kWrite = 2, kCopy = 3;
u32 dma(u32 cmd, u64 src, u64 dst, u32 len) {  // -> status without busy
  write32(bar + STATUS, 6);
  write64(bar + SRC, src);
  write64(bar + DST, dst);
  write32(bar + LEN, len);
  write32(bar + CMD, cmd);
  u32 s = read32(bar + STATUS);
  for (u32 i = 0; i < 1000000 && (s & 1) != 0; ++i) s = read32(bar + STATUS);
  asm volatile("sti; nop; nop; nop; cli");
  return s;
}
constexpr u32 kFine = 2;
bool refused(u32 s, u32 code) { return (s & 4) != 0 && (s >> 4 & 15) == code; }

struct Record { u64 lo, hi; };
u32 record_offset(u32 n) { return (cap >> 24 & 0x3ff) * 16 + 16 * n; }
Record record(u32 n = 0) { return {reg64(record_offset(n)), reg64(record_offset(n) + 8)}; }
Record latest() { return record(reg(FSTS) >> 8 & 0xff); }  // FRI: the first of those that are pending
void clear_faults() {
  for (u32 n = 0; n <= (cap >> 40 & 0xff); ++n) reg(record_offset(n) + 12, 1u << 31);
  reg(FSTS, 0x7f);
}
void check_record(const char* name, u8 reason, bool read, u64 address) {
  Record r = latest();
  bool ok = (reg(FSTS) & 2) != 0 && r.hi >> 63 == 1 && (r.hi >> 62 & 1) == read && (r.hi >> 32 & 0xff) == reason && (r.hi & 0xffff) == bdf &&
            (r.lo & ~u64{0xfff}) == (address & ~u64{0xfff});
  if (!ok) printf("  record %016llx %016llx FSTS %x\n", r.hi, r.lo, reg(FSTS));
  check(name, ok);
}

bool find() {
  for (u32 f = 0; f < 256; ++f)
    if (config(u16(f), 0) == 0x10f01af4) { bdf = u16(f); break; }
  if (bdf == 0) return false;
  if ((config(bdf, 0x10) & ~15u) == 0) config(bdf, 0x10, 0xe1000000);
  bar = config(bdf, 0x10) & ~15u;
  config(bdf, 4, (config(bdf, 4) & 0xffff) | 6);  // memory, bus master
  return true;
}
u8 msi_at() {
  for (u8 p = config(bdf, 0x34) & 0xfc; p != 0; p = config(bdf, p) >> 8 & 0xfc) if ((config(bdf, p) & 0xff) == 5) return p;
  return 0;
}
void set_msi(u64 address, u16 data) {
  u8 p = msi_at();
  bool wide = (config(bdf, p) >> 16 & 0x80) != 0;
  config(bdf, p + 4u, u32(address));
  if (wide) config(bdf, p + 8u, u32(address >> 32));
  config(bdf, p + (wide ? 12u : 8u), data);
  config(bdf, p, config(bdf, p) | 0x10000);
}

u32 levels;
void tables() {
  levels = (cap >> 8 & 4) != 0 ? 4 : 3;
  root[0] = a_of(context) | 1;
  u64* first = levels == 4 ? top : pdpt;
  context[2 * (bdf & 0xff)] = a_of(first) | 1;
  context[2 * (bdf & 0xff) + 1] = (levels - 2) | u64{kDomain} << 8;
  top[0] = a_of(pdpt) | 3;
  pdpt[0] = a_of(pd) | 3;
  pd[0] = a_of(pt) | 3;
  pt[0x10] = a_of(a) | 3;
  pt[0x11] = a_of(b) | 3;
  pt[0x12] = a_of(c) | 1;  // read only
  pt[0x13] = a_of(c) | 2;  // write only
  other_top[0] = a_of(other_pdpt) | 3;
  other_pdpt[0] = a_of(other_pd) | 3;
  other_pd[0] = a_of(other_pt) | 3;
  other_pt[0x10] = a_of(d) | 3;
  set(a, 0xaa, 4096); set(b, 0xbb, 4096); set(c, 0xcc, 4096); set(d, 0xdd, 4096);
}

void before_translation() {
  check_eq("DMA with translation off", dma(kRead, a_of(a), 0, 64), kFine);
  check_eq("what it read", read8(bar + DATA), 0xaa);
  u64 from[2] = {0x1234, 0x5678};
  check_eq("copy", dma(kCopy, a_of(from), a_of(d) + 8, 16), kFine);
  check_eq("what it wrote", read64(a_of(d) + 16), 0x5678);
  set(d, 0xdd, 4096);
  check("length 0 is refused", refused(dma(kRead, a_of(a), 0, 0), 3));
  u8 msi = msi_at();
  check("it has MSI", msi != 0);
  set_msi(kApic, kDoneVector);
  write32(bar + IRQ_ENABLE, 1);
  u32 n = dones;
  dma(kRead, a_of(a), 0, 4);
  check_eq("MSI at the end", dones, n + 1);
  write32(bar + IRQ_ENABLE, 0);
}

void enable() {
  check("unit answers", (reg(0) & 0xff) != 0 && reg(0) != ~0u);
  use_queue = (ecap >> 1 & 1) != 0;
  reg64(RTADDR, a_of(root));
  check("root table", command(enabled() | kSrtp, 1u << 30));
  if (use_queue) {
    reg64(IQT, 0);
    reg64(IQA, a_of(queue));
    check("queued invalidation", command(enabled() | kQie, kQie));
  }
  check("context cache invalidated", invalidate_context(1));
  check("IOTLB invalidated", invalidate_iotlb(1));
  reg(FEDATA, kFaultVector);
  reg(FEADDR, u32(kApic));
  reg(FEUADDR, 0);
  reg(FECTL, 0);
  clear_faults();
  check("translation enabled", command(enabled() | kTe, kTe));
}

void allowed() {
  check_eq("read", dma(kRead, 0x10000, 0, 4096), kFine);
  check("its data", read8(bar + DATA) == 0xaa && read8(bar + DATA + 2047) == 0xaa);
  check_eq("across two pages", dma(kRead, 0x10ff0, 0, 32), kFine);
  check("both pages' data", read8(bar + DATA + 15) == 0xaa && read8(bar + DATA + 16) == 0xbb);
  for (u32 i = 0; i < 16; ++i) write8(bar + DATA + i, u8(i + 1));
  check_eq("write", dma(kWrite, 0, 0x11008, 16), kFine);
  check("what it wrote", b[7] == 0xbb && b[8] == 1 && b[23] == 16 && b[24] == 0xbb);
  check_eq("read from a read-only page", dma(kRead, 0x12000, 0, 4), kFine);
  check_eq("write to a write-only page", dma(kWrite, 0, 0x13000, 4), kFine);
  c[0] = c[1] = c[2] = c[3] = 0xcc;
  if ((cap >> 34 & 1) != 0) {
    pd[1] = a_of(big) | 3 | 0x80;
    big[0x123456] = 0x5c;
    check_eq("2 MiB page", dma(kRead, 0x200000 + 0x123456, 0, 1), kFine);
    check_eq("its data", read8(bar + DATA), 0x5c);
  }
  check_eq("no fault so far", reg(FSTS) & 0x7f, 0);
  check_eq("no fault event so far", faults, 0);
}

void refusals() {
  check("read of what is not mapped", refused(dma(kRead, 0x20000, 0, 4), 1));
  check_record("its record", 6, true, 0x20000);
  check_eq("its MSI", faults, 1);
  check_eq("DONE after an error", read32(bar + DONE), 0);
  check("a second fault while the first is pending", refused(dma(kWrite, 0, 0x21000, 4), 2));
  check_eq("no second MSI while PPF is set", faults, 1);
  if ((cap >> 40 & 0xff) == 0) check("one record only: overflow", (reg(FSTS) & 1) == 1);
  clear_faults();
  check_eq("PPF and PFO are gone", reg(FSTS) & 3, 0);
  check("write to a read-only page", refused(dma(kWrite, 0, 0x12008, 4), 2));
  check_record("its record", 5, false, 0x12000);
  check("nothing written", c[8] == 0xcc);
  check_eq("MSI again", faults, 2);
  clear_faults();
  check("read from a write-only page", refused(dma(kRead, 0x13000, 0, 4), 1));
  check_record("its record", 6, true, 0x13000);
  clear_faults();
  check("a write that runs into a read-only page", refused(dma(kWrite, 0, 0x11ff8, 16), 2));
  clear_faults();
  check("beyond the width of the tables", refused(dma(kRead, u64{1} << (levels == 4 ? 48 : 39), 0, 4), 1));
  check_record("its record", 4, true, u64{1} << (levels == 4 ? 48 : 39));
  clear_faults();
  reg(FECTL, 1u << 31);  // masked: the event waits in IP
  u32 n = faults;
  dma(kRead, 0x20000, 0, 4);
  check_eq("masked: no MSI", faults, n);
  check("masked: IP", (reg(FECTL) >> 30 & 1) == 1);
  reg(FECTL, 0);
  asm volatile("sti; nop; nop; cli");
  check_eq("sent when unmasked", faults, n + 1);
  clear_faults();
}

void stale() {
  dma(kRead, 0x10000, 0, 4);
  pt[0x10] = a_of(c) | 3;
  check("after a change of the table: status", dma(kRead, 0x10000, 0, 4) == kFine);
  check_eq("a stale entry of the IOTLB is still used", read8(bar + DATA), 0xaa);
  check("another page invalidated", invalidate_iotlb(3, 0x11000));
  dma(kRead, 0x10000, 0, 4);
  check_eq("still stale", read8(bar + DATA), 0xaa);
  check("the page invalidated", invalidate_iotlb(3, 0x10000));
  check_eq("walked anew", dma(kRead, 0x10000, 0, 4), kFine);
  check_eq("the new page", read8(bar + DATA), 0xcc);
  pt[0x10] = 0;
  check_eq("unmapped but cached: still goes through", dma(kRead, 0x10000, 0, 4), kFine);
  check("domain invalidated", invalidate_iotlb(2));
  check("now refused", refused(dma(kRead, 0x10000, 0, 4), 1));
  clear_faults();
  pt[0x10] = a_of(a) | 3;
  if ((cap >> 7 & 1) == 0) check_eq("not present becoming present needs no invalidation (CM is 0)", dma(kRead, 0x10000, 0, 4), kFine);
  else invalidate_iotlb(2);
  // the context cache
  context[2 * (bdf & 0xff)] = a_of(levels == 4 ? other_top : other_pdpt) | 1;
  invalidate_iotlb(1);
  dma(kRead, 0x10000, 0, 4);
  check_eq("a stale context entry is still used", read8(bar + DATA), 0xaa);
  check("device invalidated", invalidate_context(3));
  invalidate_iotlb(2);
  check_eq("other tables", dma(kRead, 0x10000, 0, 4), kFine);
  check_eq("their page", read8(bar + DATA), 0xdd);
  // no context entry at all, with and without faults reported
  context[2 * (bdf & 0xff)] = 0;
  invalidate_context(1);
  invalidate_iotlb(1);
  u32 n = faults;
  check("no context entry", refused(dma(kRead, 0x10000, 0, 4), 1));
  check_record("its record", 2, true, 0x10000);
  check_eq("its MSI", faults, n + 1);
  clear_faults();
  context[2 * (bdf & 0xff)] = a_of(levels == 4 ? top : pdpt) | 1 | 2;  // FPD
  invalidate_context(1);
  invalidate_iotlb(1);
  check("fault processing disabled: refused", refused(dma(kRead, 0x20000, 0, 4), 1));
  check_eq("and not recorded", reg(FSTS) & 3, 0);
  root[0] = 0;
  invalidate_context(1);
  invalidate_iotlb(1);
  check("no root entry", refused(dma(kRead, 0x10000, 0, 4), 1));
  check_record("its record", 1, true, 0x10000);
  clear_faults();
  root[0] = a_of(context) | 1;
  context[2 * (bdf & 0xff)] = a_of(levels == 4 ? top : pdpt) | 1;
  invalidate_context(1);
  invalidate_iotlb(1);
}

void interrupts() {
  if ((ecap >> 3 & 1) == 0 || !use_queue) { printf("no interrupt remapping\n"); return; }
  // entry 5: fixed, edge, to processor 0, with the source id verified
  irt[10] = 1 | u64{kRemappedVector} << 16;
  irt[11] = bdf | u64{1} << 18;
  irt[12] = 1 | u64{kRemappedVector} << 16;
  irt[13] = u64(bdf ^ 8) | u64{1} << 18;  // entry 6: another device's
  reg64(IRTA, a_of(irt) | 7);             // 256 entries
  check("interrupt table", command(enabled() | kSirtp, 1u << 24));
  submit(4, 0);
  check("interrupt entry cache invalidated", queue_wait());
  check("interrupt remapping enabled", command(enabled() | kIre, kIre));
  write32(bar + IRQ_ENABLE, 1);
  set_msi(kApic | 5 << 5 | 1 << 4, 0);    // remappable format, handle 5
  dma(kRead, 0x10000, 0, 4);
  check_eq("MSI through entry 5", remapped, 1);
  u32 n = remapped, f = faults;
  irt[10] = 0;
  dma(kRead, 0x10000, 0, 4);
  check_eq("a stale interrupt entry is still used", remapped, n + 1);
  submit(4, 0);
  queue_wait();
  dma(kRead, 0x10000, 0, 4);
  check_eq("invalidated: blocked", remapped, n + 1);
  Record r = latest();
  check("its record: entry not present", (r.hi >> 63) == 1 && (r.hi >> 32 & 0xff) == 0x22 && r.lo >> 48 == 5);
  check_eq("its MSI", faults, f + 1);     // the unit's own interrupt is not remapped
  clear_faults();
  set_msi(kApic | 6 << 5 | 1 << 4, 0);
  dma(kRead, 0x10000, 0, 4);
  r = latest();
  check("another source: blocked", remapped == n + 1 && (r.hi >> 32 & 0xff) == 0x26);
  clear_faults();
  u32 m = dones;
  set_msi(kApic, kDoneVector);            // compatibility format, which CFI does not let through
  dma(kRead, 0x10000, 0, 4);
  r = latest();
  check("compatibility format: blocked", dones == m && (r.hi >> 32 & 0xff) == 0x25);
  clear_faults();
  write32(bar + IRQ_ENABLE, 0);
  check("interrupt remapping off", command(enabled() & ~kIre, kIre, false));
}

void off() {
  check("translation off", command(enabled() & ~kTe, kTe, false));
  check_eq("untranslated again", dma(kRead, a_of(b), 0, 1), kFine);
  check_eq("its data", read8(bar + DATA), 0xbb);
  config(bdf, 4, (config(bdf, 4) & 0xffff) & ~4u);
  check("without Bus Master Enable", refused(dma(kRead, a_of(b), 0, 1), 4));
}
}  // namespace

extern "C" void rt_main() {
  on_trap(kFaultVector, [](Frame&) { faults = faults + 1; write32(kApic + 0xb0, 0); });
  on_trap(kDoneVector, [](Frame&) { dones = dones + 1; write32(kApic + 0xb0, 0); });
  on_trap(kRemappedVector, [](Frame&) { remapped = remapped + 1; write32(kApic + 0xb0, 0); });
  write32(kApic + 0xf0, 0x1ff);
  cap = reg64(CAP);
  ecap = reg64(ECAP);
  printf("CAP %016llx ECAP %016llx\n", cap, ecap);
  check("the DMA function is there", find());
  if (bdf == 0) return;
  printf("DMA function at %02x:%02x.%u, BAR %llx\n", bdf >> 8, bdf >> 3 & 31, bdf & 7u, bar);
  check_eq("its identity", read32(bar), 0x4d445456);
  tables();
  before_translation();
  enable();
  allowed();
  refusals();
  stale();
  interrupts();
  off();
}
