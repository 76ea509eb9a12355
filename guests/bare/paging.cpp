// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu leaves P out of the error code of reserved-bit faults
// SDM 3A "Paging": page sizes, protection, A/D bits, invalidation, reserved bits.
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u64 kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kG = 0x100, kNx = u64{1} << 63;
constexpr u64 kArea = 0x8000000000;  // PML4 entry 1, ours alone
extern "C" u64 rt_pml4[512];
alignas(4096) u64 pdpt[512], pd[512], pt[512];
alignas(4096) u8 page_a[4096], page_b[4096];
u64 a_of(const void* p) { return reinterpret_cast<u64>(p); }
constexpr u64 k4k = kArea, k2m = kArea + 0x200000, k1g = kArea + 0x40000000;

void flush() { set_cr3(cr3()); }
u64 load(u64 at) {
  u64 v = ~u64{0};
  TRY("mov (%1), %0", : "+r"(v) : "r"(at) : "memory");
  return v;
}
void store(u64 at, u64 v) { TRY("mov %1, (%0)", : : "r"(at), "r"(v) : "memory"); }
void call(u64 at) { TRY("call *%0", : : "r"(at) : "memory", "rax"); }

void build() {
  rt_pml4[1] = a_of(pdpt) | kP | kW | kU;
  pdpt[0] = a_of(pd) | kP | kW | kU;
  pdpt[1] = 0 | kP | kW | kPs;                   // 1 GiB: physical 0
  pd[0] = a_of(pt) | kP | kW | kU;
  pd[1] = 0 | kP | kW | kPs;                     // 2 MiB: physical 0
  pt[0] = a_of(page_a) | kP | kW;
  pt[1] = a_of(page_b) | kP | kW;
  write64(a_of(page_a), 0xaaaa);
  write64(a_of(page_b), 0xbbbb);
  page_a[0x100] = page_b[0x100] = 0xc3;          // RET
  flush();
}

void sizes() {
  check_eq("4 KiB", load(k4k), 0xaaaa);
  check_eq("4 KiB, next", load(k4k + 0x1000), 0xbbbb);
  write64(0x1f0000, 0x1234567);
  check_eq("2 MiB", load(k2m + 0x1f0000), 0x1234567);
  if ((cpuid(0x80000001).d >> 26 & 1) != 0) check_eq("1 GiB", load(k1g + 0x1f0000), 0x1234567);
  // a load across two pages that are not neighbours in memory
  write64(a_of(page_a) + 4088, 0x1111111111111111);
  write64(a_of(page_b), 0x2222222222222222);
  check_eq("across pages", load(k4k + 4092), 0x2222222211111111);
  store(k4k + 4094, 0x0807060504030201);
  check_eq("store across, first page", read64(a_of(page_a) + 4088), 0x0201111111111111);
  check_eq("store across, second page", read64(a_of(page_b)), 0x2222080706050403);
  pt[1] = 0;
  flush();
  write64(a_of(page_a) + 4088, 0x3333333333333333);
  store(k4k + 4092, ~u64{0});
  check("store across into a hole faults", faulted(14, 2) && rt_fault.cr2 == k4k + 4096);
  check_eq("and has written nothing", read64(a_of(page_a) + 4088), 0x3333333333333333);
  pt[1] = a_of(page_b) | kP | kW;
}

void accessed_dirty() {
  pt[0] = a_of(page_a) | kP | kW;
  pd[0] = a_of(pt) | kP | kW | kU;
  flush();
  load(k4k);
  check_eq("A after a read", pt[0] & (kA | kD), kA);
  check_eq("A of the directory", pd[0] & (kA | kD), kA);
  store(k4k, 1);
  check_eq("D after a write", pt[0] & (kA | kD), kA | kD);
  check_eq("no D in the directory", pd[0] & kD, 0);
  pd[1] = 0 | kP | kW | kPs;
  flush();
  load(k2m);
  check_eq("2 MiB: A", pd[1] & (kA | kD), kA);
  store(k2m + 0x1f0000, 1);
  check_eq("2 MiB: D", pd[1] & (kA | kD), kA | kD);
  pt[0] = a_of(page_a) | kP;
  flush();
  set_cr0(cr0() | 0x10000);
  store(k4k, 2);
  check_eq("a refused write sets no D", pt[0] & kD, 0);
}

void write_protect() {
  pt[0] = a_of(page_a) | kP;
  flush();
  store(k4k, 5);
  check("#PF read-only page, WP", faulted(14, 3));
  set_cr0(cr0() & ~word{0x10000});
  store(k4k, 6);
  check("read-only page without WP", rt_fault.vector == kNone && read64(a_of(page_a)) == 6);
  check_eq("and D is set", pt[0] & kD, kD);
  set_cr0(cr0() | 0x10000);
  store(k4k, 7);
  check("WP again", faulted(14, 3));
  pt[0] = a_of(page_a) | kP | kW;
  pd[0] = a_of(pt) | kP | kU;  // the rights of all levels are taken together
  flush();
  store(k4k, 8);
  check("#PF read-only directory", faulted(14, 3));
  pd[0] = a_of(pt) | kP | kW | kU;
  flush();
}

void no_execute() {
  pt[0] = a_of(page_a) | kP | kW | kNx;
  flush();
  call(k4k + 0x100);
  check("#PF fetch of NX", faulted(14, 0x11) && rt_fault.cr2 == k4k + 0x100);
  check_eq("data of an NX page", load(k4k), read64(a_of(page_a)));
  pt[0] = a_of(page_a) | kP | kW;
  pd[0] = a_of(pt) | kP | kW | kU | kNx;
  flush();
  call(k4k + 0x100);
  check("#PF fetch, NX in the directory", faulted(14, 0x11));
  pd[0] = a_of(pt) | kP | kW | kU;
  flush();
  call(k4k + 0x100);
  check_none("fetch");
  u64 efer = rdmsr(0xc0000080);
  wrmsr(0xc0000080, efer & ~u64{0x800});
  pt[0] = a_of(page_a) | kP | kW | kNx;
  flush();
  load(k4k);
  check("#PF bit 63 is reserved without NXE", faulted(14, 9));
  pt[0] = a_of(page_a) | kP | kW;
  wrmsr(0xc0000080, efer);
  flush();
}

void reserved() {
  u32 width = cpuid(0x80000008).a & 0xff;
  pt[0] = a_of(page_a) | kP | kW | u64{1} << width;
  if (width < 52) {
    flush();
    load(k4k);
    check("#PF address beyond the physical width", faulted(14, 9));
  }
  pt[0] = a_of(page_a) | kP | kW;
  pd[1] = 0x2000 | kP | kW | kPs;
  flush();
  load(k2m);
  check("#PF reserved bit of a 2 MiB entry", faulted(14, 9));
  pd[1] = 0 | kP | kW | kPs;
  rt_pml4[1] |= kPs;
  flush();
  load(k4k);
  check("#PF PS in a PML4 entry", faulted(14, 9));
  rt_pml4[1] &= ~kPs;
  flush();
}

u64 user_target;
void user_load() { asm volatile("mov (%0), %%rax; int $0x80" : : "r"(user_target) : "rax", "memory"); }
void user_store() { asm volatile("mov %%rax, (%0); int $0x80" : : "r"(user_target) : "memory"); }
void user_call() { asm volatile("call *%0; int $0x80" : : "r"(user_target) : "memory"); }
void user() {
  user_target = k4k;
  pt[0] = a_of(page_a) | kP | kW;
  flush();
  call_user(user_load);
  check("#PF supervisor page at CPL 3", faulted(14, 5));
  call_user(user_store);
  check("#PF write", faulted(14, 7));
  pt[0] |= kU;
  flush();
  call_user(user_load);
  check("user page", rt_fault.vector == kNone);
  pt[0] &= ~kW;
  flush();
  call_user(user_store);
  check("#PF write to a read-only user page", faulted(14, 7));
  pt[0] |= kW | kNx;
  flush();
  user_target = k4k + 0x100;
  call_user(user_call);
  check("#PF fetch at CPL 3", faulted(14, 0x15));
  pt[0] = a_of(page_a) | kP | kW | kU;
  flush();
  call_user(user_call);
  check("fetch at CPL 3", rt_fault.vector == kNone);

  Cpuid f = cpuid(7);
  // The runtime's own pages are user pages, as far as SMEP and SMAP are concerned: take the bit away from what we stand on.
  if ((f.b >> 7 & 1) != 0 || (f.b >> 20 & 1) != 0) {
    extern u64 rt_pd_all[] asm("rt_pd");
    for (u32 i = 0; i < 2048; ++i) rt_pd_all[i] &= ~kU;
    flush();
    if ((f.b >> 7 & 1) != 0) {
      set_cr4(cr4() | 1u << 20);
      call(k4k + 0x100);
      check("#PF SMEP", faulted(14, 0x11));
      set_cr4(cr4() & ~(word{1} << 20));
      call(k4k + 0x100);
      check_none("fetch without SMEP");
    } else printf("no SMEP\n");
    if ((f.b >> 20 & 1) != 0) {
      set_cr4(cr4() | 1u << 21);
      load(k4k);
      check("#PF SMAP load", faulted(14, 1));
      store(k4k, 1);
      check("#PF SMAP store", faulted(14, 3));
      asm volatile("stac");
      load(k4k);
      check_none("SMAP with AC");
      asm volatile("clac");
      load(k4k);
      check("#PF SMAP after CLAC", faulted(14, 1));
      set_cr4(cr4() & ~(word{1} << 21));
    } else printf("no SMAP\n");
    for (u32 i = 0; i < 2048; ++i) rt_pd_all[i] |= kU;
    flush();
  }
}

void invalidation() {
  pt[0] = a_of(page_a) | kP | kW;
  write64(a_of(page_a), 0xa1);
  write64(a_of(page_b), 0xb1);
  flush();
  check_eq("before", load(k4k), 0xa1);
  pt[0] = a_of(page_b) | kP | kW;
  u64 stale = load(k4k);  // both are allowed here
  check("a changed entry gives the old or the new page", stale == 0xa1 || stale == 0xb1);
  invlpg(reinterpret_cast<void*>(k4k + 0x800));
  check_eq("after INVLPG", load(k4k), 0xb1);
  pt[0] = a_of(page_a) | kP | kW;
  flush();
  check_eq("after CR3", load(k4k), 0xa1);
  pt[0] = a_of(page_a) | kP | kW | kG;
  set_cr4(cr4() | 0x80);
  flush();
  load(k4k);
  pt[0] = a_of(page_b) | kP | kW | kG;
  set_cr4(cr4() & ~word{0x80});  // a change of PGE drops global translations too
  check_eq("after CR4.PGE", load(k4k), 0xb1);
  // not present becoming present needs no invalidation
  pt[2] = 0;
  load(k4k + 0x2000);
  check("#PF not present", faulted(14, 0));
  pt[2] = a_of(page_b) | kP | kW;
  check_eq("present at once", load(k4k + 0x2000), 0xb1);
  // a 2 MiB page broken up
  write64(0x180000, 0x77);
  check_eq("2 MiB page", load(k2m + 0x180000), 0x77);
  static u64 split[512] __attribute__((aligned(4096)));
  for (u32 i = 0; i < 512; ++i) split[i] = i * 4096ull | kP | kW;
  split[0x180] = a_of(page_b) | kP | kW;
  pd[1] = a_of(split) | kP | kW;
  invlpg(reinterpret_cast<void*>(k2m));
  invlpg(reinterpret_cast<void*>(k2m + 0x180000));
  check_eq("broken up", load(k2m + 0x180000), 0xb1);
  if ((cpuid(1).c >> 17 & 1) != 0) {  // PCID
    u64 c = cr3();
    set_cr4(cr4() | 1u << 17);
    set_cr3(c | 1);
    check_eq("PCID 1", load(k4k), 0xb1);
    set_cr3(c | 2);
    pt[0] = a_of(page_a) | kP | kW;
    check_eq("PCID 2 walks anew", load(k4k), 0xa1);
    set_cr3(c | 1);
    check_eq("PCID 1 flushed by the load", load(k4k), 0xa1);
    TRY("mov %0, %%cr4", : : "r"(cr4() & ~(word{1} << 5)) : "memory");
    check("PAE cannot go", rt_fault.vector == 13);
    set_cr3(c);
    set_cr4(cr4() & ~(word{1} << 17));
  } else printf("no PCID\n");
}
}  // namespace

extern "C" void rt_main() {
  build();
  sizes();
  accessed_dirty();
  write_protect();
  no_execute();
  reserved();
  user();
  invalidation();
}
