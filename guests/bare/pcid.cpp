// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu has no PCID without KVM
// SKIP bochs looks at 32 bits of the type
// Process-context identifiers: what each invalidation must drop of four kinds of translations (of this PCID and of another, global and not), and what is refused.
// What may survive is not looked at here: tests/cpu/tlb_test.cpp does.
// SDM 3A "Process-Context Identifiers (PCIDs)", "Global Pages", "Operations that Invalidate TLBs and Paging-Structure Caches"; SDM 2 "INVPCID", "MOV-Move to/from Control Registers"
#include "rt.hpp"
using namespace rt;

extern "C" u64 rt_pml4[512];
namespace {
constexpr u64 P = 1, W = 2, U = 4, PS = 0x80, G = 0x100, kKeep = u64{1} << 63;
constexpr word kPge = 0x80, kPcide = 0x20000;
constexpr u64 kArea = 0x8000000000, kPlain = kArea, kGlobal = kArea + 0x1000;
// A page of its own for each PCID and kind, old and new: what is read says which translation was used.
alignas(4096) u64 roots[2][512], thirds[2][512], seconds[2][512], firsts[2][512], pages[8][512];
u64 at(const volatile void* p) { return reinterpret_cast<u64>(p); }
u64 root(u32 pcid) { return at(roots[pcid - 1]) | pcid; }
enum { plain, global };
/// The translations of PCID 1 and 2 lead to the old pages (0) or the new ones (1).
void point(u32 newer) {
  for (u32 c = 0; c < 2; ++c) {
    firsts[c][plain] = at(pages[c * 4 + plain * 2 + newer]) | P | W | U;
    firsts[c][global] = at(pages[c * 4 + global * 2 + newer]) | P | W | U | G;
  }
}
u64 name(u32 c, u32 kind, u32 newer) { return 0x1000 + c * 4 + kind * 2 + newer; }
void use(u32 pcid) { set_cr3(root(pcid) | kKeep); }
struct Descriptor { u64 pcid, address; };
bool invpcid(u64 type, u64 pcid, u64 address = 0) {
  const Descriptor d{pcid, address};
  TRY("invpcid %0, %1", : : "m"(d), "r"(type) : "memory");
  return rt_fault.vector == kNone;
}
// Bits of `drops`: this PCID's plain and global translation, the other's.
enum : u32 { A = 1, AG = 2, B = 4, BG = 8 };
struct Row { const char* name; u32 drops; void (*make)(); };
const Row kRows[] = {
    {"INVLPG of a page", A, [] { invlpg(reinterpret_cast<void*>(kPlain + 0x123)); }},
    {"INVLPG of a global page", AG | BG, [] { invlpg(reinterpret_cast<void*>(kGlobal)); }},
    {"MOV to CR3", A, [] { set_cr3(root(1)); }},
    {"MOV to CR3, to the other PCID and back", A | B, [] { set_cr3(root(2)), set_cr3(root(1)); }},
    {"INVPCID of an address", A, [] { invpcid(0, 1, kPlain); }},
    {"INVPCID of the other's address", B, [] { invpcid(0, 2, kPlain + 0xfff); }},
    {"INVPCID of a PCID", A, [] { invpcid(1, 1); }},
    {"INVPCID of the other PCID", B, [] { invpcid(1, 2, ~u64{0}); }},
    {"INVPCID of all with global ones", A | AG | B | BG, [] { invpcid(2, 0); }},
    {"INVPCID of all but global ones", A | B, [] { invpcid(3, 0); }},
    {"CR4.PGE cleared", A | AG | B | BG, [] { set_cr4(cr4() & ~kPge), set_cr4(cr4() | kPge); }},
    {"CR4.PCIDE cleared", A | AG | B | BG, [] { set_cr3(at(roots[0]) | kKeep), set_cr4(cr4() & ~kPcide), set_cr4(cr4() | kPcide), use(1); }},
    {"MOV to CR3 that keeps them", 0, [] { use(1); }},
};
void drops() {
  for (auto& r : kRows) {
    point(0);
    invpcid(2, 0);
    for (u32 c : (const u32[]){2, 1}) {
      use(c);
      check("before", read64(kPlain) == name(c - 1, plain, 0));
    }
    // the global translation is one for all PCIDs: take it by the PCID whose change is to be seen
    u32 wrong = 0;
    for (u32 taker : (const u32[]){1, 2}) {
      point(0), invpcid(2, 0);
      for (u32 c : (const u32[]){1, 2}) use(c), (void)read64(kPlain);
      use(taker), (void)read64(kGlobal);
      use(1);
      point(1);
      r.make();
      if (cr3() != root(1)) ++wrong;
      const auto fresh = [&](u32 c, u32 kind) {
        use(c);
        const u64 v = read64(kind == plain ? kPlain : kGlobal);
        return v == name(c - 1, kind, 1);
      };
      const u32 g = taker == 1 ? AG : BG;
      if ((r.drops & g) && !fresh(taker, global)) ++wrong;
      if ((r.drops & A) && !fresh(1, plain)) ++wrong;
      if ((r.drops & B) && !fresh(2, plain)) ++wrong;
      // and nothing else than the old or the new page is ever found
      for (u32 c : (const u32[]){1, 2}) {
        use(c);
        const u64 v = read64(kPlain), w = read64(kGlobal);
        if (v != name(c - 1, plain, 0) && v != name(c - 1, plain, 1)) ++wrong;
        if (w != name(0, global, 0) && w != name(0, global, 1) && w != name(1, global, 0) && w != name(1, global, 1)) ++wrong;
      }
      use(1);
    }
    check_eq(r.name, wrong, 0);
  }
}

void at_cpl3() { static const Descriptor d{}; asm volatile("invpcid %0, %1; int $0x80" : : "m"(d), "r"(u64{2})); }
void refusals() {
  u32 wrong = 0;
  for (u64 type = 0; type < 64; ++type)
    if (invpcid(type, 1, kPlain) != (type <= 3)) ++wrong;
  check_eq("INVPCID: types above 3", wrong, 0);
  check("  and with high bits", !invpcid(u64{1} << 32, 1) && rt_fault.vector == 13);
  for (u32 b = 0; b < 64; ++b)
    for (u64 type = 0; type < 4; ++type) {
      const bool fine = b < 12;
      if (invpcid(type, u64{1} << b, kPlain) != fine || (!fine && !(rt_fault.vector == 13 && rt_fault.error == 0))) { if (wrong++ < 4) printf("     type %llu bit %u\n", type, b); }
    }
  check_eq("INVPCID: reserved bits of the descriptor", wrong, 0);
  check("INVPCID of an address that is not canonical", !invpcid(0, 1, u64{1} << 47) && rt_fault.vector == 13);
  check("  but for other types it is not looked at", invpcid(1, 1, u64{1} << 47) && invpcid(2, 1, u64{1} << 47) && invpcid(3, 1, u64{1} << 47));
  set_cr3(at(rt_pml4));
  call_user(at_cpl3);
  check("#GP INVPCID at CPL 3", faulted(13, 0));
  set_cr4(cr4() & ~kPcide);
  check("INVPCID without PCIDE: PCID 0", invpcid(0, 0, kPlain) && invpcid(1, 0) && invpcid(2, 0) && invpcid(3, 0));
  check("  other PCIDs of an address or a context are refused", !invpcid(0, 1, kPlain) && !invpcid(1, 1));
  check("  where the type does not look at it, they are not", invpcid(2, 1) && invpcid(3, 1));
  for (u32 b = 0; b < 12; ++b) {
    const u64 v = at(rt_pml4) | u64{1} << b;
    set_cr3(v);
    TRY("mov %0, %%cr4", : : "r"(cr4() | kPcide) : "memory");
    if (!(rt_fault.vector == 13 && rt_fault.error == 0)) ++wrong;
    set_cr3(at(rt_pml4));
  }
  check_eq("#GP PCIDE with CR3[11:0] not 0", wrong, 0);
  TRY("mov %0, %%cr3", : : "r"(at(rt_pml4) | kKeep) : "memory");
  check_fault("#GP bit 63 of CR3 without PCIDE", 13, 0);
  set_cr4(cr4() | kPcide);
  set_cr3(root(1));
  check_eq("CR3 without bit 63", (set_cr3(root(1) | kKeep), cr3()), root(1));
  TRY("mov %0, %%cr3", : : "r"(root(1) | u64{1} << 62) : "memory");
  check_fault("#GP reserved bit of CR3", 13, 0);
  TRY("mov %0, %%cr0", : : "r"(cr0() & ~word{0x80000000}) : "memory");
  check_fault("#GP paging off in 64-bit mode with PCIDE", 13, 0);
  set_cr3(at(rt_pml4));
  set_cr4(cr4() & ~kPcide);
}
}  // namespace

extern "C" void rt_main() {
  if ((cpuid(1).c >> 17 & 1) == 0 || (cpuid(7).b >> 10 & 1) == 0) return check("PCID and INVPCID", false);
  for (u32 n = 0; n < 8; ++n) pages[n][0] = 0x1000 + n;
  for (u32 c = 0; c < 2; ++c) {
    roots[c][0] = rt_pml4[0], roots[c][1] = at(thirds[c]) | P | W | U;
    thirds[c][0] = at(seconds[c]) | P | W | U, seconds[c][0] = at(firsts[c]) | P | W | U;
  }
  set_cr4(cr4() | kPge);
  set_cr4(cr4() | kPcide);
  use(1);
  drops();
  refusals();
}
