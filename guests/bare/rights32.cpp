// SPDX-License-Identifier: GPL-2.0-or-later
// BUILD 32
// EXPECT exit 0
// MEMORY 5G
// SKIP qemu clears P in the error code of a reserved bit
// SKIP bochs is run with less memory
// The same as rights.cpp for 32-bit paging, with and without 4 MiB pages and PSE-36, and for PAE paging: access rights and error codes, accessed and dirty flags, the
// reserved bits of every entry, when PDPTEs are loaded, what invalidations drop.   SDM 3A "32-Bit Paging", "PAE Paging", "PDPTE Registers",
// "Determination of Access Rights", "Page-Fault Exceptions", "Accessed and Dirty Flags", "Operations that Invalidate TLBs and Paging-Structure Caches"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u32 P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100;
constexpr u64 XD = u64{1} << 63;
constexpr u32 kLa = 0x40000000, kCr4Pse = 0x10, kCr4Pae = 0x20, kCr4Pge = 0x80, kSmep = 0x100000, kSmap = 0x200000, kPg = 0x80000000, kWp = 0x10000;
alignas(4096) u32 directory32[1024], low32[1024], table32[1024];
alignas(4096) u64 directories[4][512], low[2][512], table[512];
alignas(32) u64 pointers[4], other_pointers[4];
// The tested page: in the first 4 KiB of a naturally aligned 4 MiB, so that a page of any size begins with it.
constexpr u32 kPage = 0x2000000, kNext = 0x2400000;
constexpr u32 kData = 0x40;
u32 at(const volatile void* p) { return reinterpret_cast<u32>(p); }
u32 width() { return cpuid(0x80000008).a & 0xff; }
enum Access { kRead, kWrite, kFetch };
enum Kind { bits32_no_pse, bits32_4k, bits32_4m, pae_4k, pae_2m };
const char* kNames[] = {"32-bit paging, CR4.PSE = 0", "32-bit paging, 4 KiB", "32-bit paging, 4 MiB", "PAE paging, 4 KiB", "PAE paging, 2 MiB"};
bool is_pae(Kind k) { return k >= pae_4k; }
bool is_large(Kind k) { return k == bits32_4m || k == pae_2m; }
struct In { Kind kind; bool user, wp, smep, smap, ac, nxe; Access access; };

extern "C" {
extern u8 go_read[], go_write[], go_fetch[];
}
asm(R"(
        .globl go_read, go_write, go_fetch
go_read: mov 0x40000040, %cl
        int     $0x80
go_write: mov   %cl, 0x40000040
        int     $0x80
go_fetch: mov   $0x40000000, %eax
        jmp     *%eax
)");

void paging_off() { set_cr0(cr0() & ~kPg); }
void set_efer(bool nxe) {
  const u64 e = rdmsr(0xc0000080);
  if (((e & 0x800) != 0) != nxe) wrmsr(0xc0000080, nxe ? e | 0x800 : e & ~u64{0x800});
}
/// Tables as `kind` needs them; the first 4 MiB one to one by 4 KiB pages.
void identity(bool user) {
  const u32 flags = P | W | (user ? U : 0);
  for (u32 n = 0; n < 1024; ++n) low32[n] = n << 12 | flags, low[n / 512][n % 512] = n << 12 | flags;
  directory32[0] = at(low32) | P | W | U;
  directories[0][0] = at(low[0]) | P | W | U, directories[0][1] = at(low[1]) | P | W | U;
  for (u32 n = 0; n < 4; ++n) pointers[n] = at(directories[n]) | P;
}
void paging_on(Kind k, bool nxe, u32 cr4_more = 0) {
  paging_off();
  set_cr4((cr4() & ~(kCr4Pse | kCr4Pae | kCr4Pge | kSmep | kSmap)) | cr4_more | (is_pae(k) ? kCr4Pae : k == bits32_no_pse ? 0 : kCr4Pse));
  set_efer(nxe);
  set_cr3(is_pae(k) ? at(pointers) : at(directory32));
  set_cr0(cr0() | kPg);
}
/// The entries under test: `pde` and `pte` are flags only.
void entries(Kind k, u64 pde, u64 pte) {
  if (is_pae(k)) {
    directories[1][0] = pde | (k == pae_2m ? kPage | PS : at(table));
    table[0] = pte | kPage;
  } else {
    directory32[256] = u32(pde) | (k == bits32_4m ? kPage | PS : at(table32));
    table32[0] = u32(pte) | kPage;
  }
}
u64 leaf(Kind k) { return k == pae_2m ? directories[1][0] : k == pae_4k ? table[0] : k == bits32_4m ? directory32[256] : table32[0]; }
u64 upper(Kind k) { return is_pae(k) ? directories[1][0] : directory32[256]; }

word access(const In& in, u32& error) {
  const word c0 = cr0(), c4 = cr4();
  set_cr0(in.wp ? c0 | kWp : c0 & ~kWp);
  set_cr4((c4 & ~(kSmep | kSmap)) | (in.smep ? kSmep : 0) | (in.smap ? kSmap : 0));
  set_efer(in.nxe);
  set_cr3(cr3());
  const word ac = in.ac ? 0x40000 : 0;
  if (in.user) {
    rt_fault.vector = kNone;
    static u8 stack[256];
    call_user_at(at(in.access == kRead ? go_read : in.access == kWrite ? go_write : go_fetch), kUser32, at(stack) + 200, kUserData, 2 | ac);
  } else if (in.access == kRead) {
    TRY("pushfl; orl %1, (%%esp); popfl; mov (%0), %%cl", : : "r"(kLa + kData), "r"(ac) : "ecx", "cc", "memory");
  } else if (in.access == kWrite) {
    TRY("pushfl; orl %1, (%%esp); popfl; mov %%cl, (%0)", : : "r"(kLa + kData), "r"(ac) : "ecx", "cc", "memory");
  } else {
    TRY("pushfl; orl %1, (%%esp); popfl; call *%0", : : "r"(kLa), "r"(ac) : "ecx", "cc", "memory");
  }
  asm volatile("pushfl; andl $~0x40000, (%%esp); popfl" : : : "cc", "memory");
  error = rt_fault.error;
  const word vector = rt_fault.vector;
  set_cr4(c4);
  set_cr0(c0);
  return vector;
}

/// 0: allowed; otherwise the error code of #PF, with its bit for P where the page is present.
struct Want { bool ok; u32 error; };
Want expected(const In& in, u64 pde, u64 pte) {
  const bool pae = is_pae(in.kind);
  const u32 code = (in.access == kWrite ? 2 : 0) | (in.user ? 4 : 0) | (in.access == kFetch && (in.smep || (pae && in.nxe)) ? 0x10 : 0);
  if (!(pde & P)) return {false, code};
  if ((pde & XD) && !in.nxe) return {false, code | 9};
  if (!is_large(in.kind)) {
    if (!(pte & P)) return {false, code};
    if ((pte & XD) && !in.nxe) return {false, code | 9};
  } else {
    pte = pde;
  }
  const bool user_page = (pde & U) && (pte & U), writable = (pde & W) && (pte & W), xd = ((pde | pte) & XD) != 0;
  bool ok;
  if (in.user) ok = user_page && (in.access == kRead || (in.access == kWrite ? writable : !xd));
  else if (in.access == kFetch) ok = !xd && !(user_page && in.smep);
  else ok = !(user_page && in.smap && !in.ac) && (in.access == kRead || writable || !in.wp);
  return {ok, code | 1};
}

void rights(Kind k) {
  static const u64 kFlags[] = {0, P, P | W, P | U, P | W | U, P | XD, P | W | XD, P | U | XD, P | W | U | XD};
  const char* names[] = {"supervisor reads", "supervisor writes", "supervisor fetches", "user reads", "user writes", "user fetches"};
  const u32 n_flags = is_pae(k) ? 9 : 5, n_leaf = is_large(k) ? 1 : n_flags;
  for (u32 user = 0; user < 2; ++user) {
    paging_off();
    identity(user != 0);
    write8(kPage, user ? 0xcd : 0xc3);
    paging_on(k, false);
    for (u32 kind = 0; kind < 3; ++kind) {
      u32 cases = 0, wrong = 0, flags_wrong = 0;
      for (u32 bits = 0; bits < 32; ++bits) {
        const In in{k, user != 0, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0, Access(kind)};
        if (user && (in.smep || in.smap)) continue;  // the handlers' own pages are user pages now
        for (u32 a = 0; a < n_flags; ++a)
          for (u32 b = 0; b < n_leaf; ++b) {
            const u64 pde = kFlags[a], pte = kFlags[b];
            entries(k, pde, pte);
            u32 error = 0;
            const Want want = expected(in, pde, pte);
            const word vector = access(in, error);
            const bool good = want.ok ? vector == kNone : vector == 14 && error == want.error && rt_fault.cr2 == (kind == kFetch ? kLa : kLa + kData);
            ++cases;
            if (!good && wrong++ < 4)
              printf("     %s: pde %llx pte %llx wp %u smep %u smap %u ac %u nxe %u: vector %d error %x, want %d %x\n", names[user * 3 + kind], pde, pte, in.wp, in.smep, in.smap, in.ac,
                     in.nxe, i32(vector), error, want.ok, want.error);
            const u64 l = leaf(k);
            if (want.ok ? !(l & A) || !(upper(k) & A) || ((l & D) != 0) != (kind == kWrite) || (!is_large(k) && (upper(k) & D)) : (l & D) != 0) ++flags_wrong;
          }
      }
      printf("   %s, %s: %u cases\n", kNames[k], names[user * 3 + kind], cases);
      check_eq(names[user * 3 + kind], wrong, 0);
      check_eq("  accessed and dirty flags", flags_wrong, 0);
    }
  }
}

// ---- reserved bits: of an entry that is otherwise fine, one bit more ----
bool reads(u32& error, u32 la = kLa + kData) {
  set_cr3(cr3());
  TRY("mov (%0), %%cl", : : "r"(la) : "ecx", "cc", "memory");
  error = rt_fault.error;
  return rt_fault.vector == kNone;
}
bool reserved(Kind k, bool large, bool leaf_level, u32 b, bool nxe) {
  const u32 m = width() < 52 ? width() : 52;
  if (!is_pae(k)) {
    if (!large) return false;
    const bool pse36 = (cpuid(1).d >> 17 & 1) != 0;
    const u32 top = pse36 ? (m < 40 ? m : 40) - 19 : 13;
    return b <= 21 && b >= top;
  }
  if (b == 63) return !nxe;
  if (b >= m) return true;
  return large && !leaf_level ? false : large && b >= 13 && b <= 20;
}
void reserved_bits(Kind k) {
  u32 wrong = 0, cases = 0;
  for (u32 nxe = 0; nxe < (is_pae(k) ? 2 : 1); ++nxe) {
    paging_off(), identity(false), paging_on(k, nxe != 0);
    for (u32 level = 1; level <= 2; ++level) {
      if (level == 1 && is_large(k)) continue;
      const bool is_leaf = level == 1 || is_large(k);
      for (u32 b = 1; b < (is_pae(k) ? 64 : 32); ++b) {
        const bool large = level == 2 && is_large(k), want = reserved(k, large, is_leaf, b, nxe != 0);
        if (!want && !is_leaf && b >= 12 && b != 63) continue;        // another table
        if (b == 7 && level == 2 && k != bits32_no_pse) continue;     // another size
        entries(k, P | W | U, P | W | U);
        if (is_pae(k)) (level == 2 ? directories[1][0] : table[0]) ^= u64{1} << b;
        else (level == 2 ? directory32[256] : table32[0]) ^= 1u << b;
        u32 error;
        const bool ok = reads(error);
        ++cases;
        if (ok == want || (want && (rt_fault.vector != 14 || error != 9))) {
          if (wrong++ < 6) printf("     level %u bit %u nxe %u: vector %d error %x, reserved %u\n", level, b, nxe, i32(rt_fault.vector), error, want);
        }
        // together with P = 0 nothing is reserved
        if (is_pae(k)) (level == 2 ? directories[1][0] : table[0]) &= ~u64{1};
        else (level == 2 ? directory32[256] : table32[0]) &= ~1u;
        if (reads(error) || rt_fault.vector != 14 || error != 0) ++wrong;
      }
    }
  }
  printf("   %s: %u cases\n", kNames[k], cases);
  check_eq("reserved bits", wrong, 0);
}

// ---- PDPTEs ----
word load_cr3(u32 v) { TRY("mov %0, %%cr3", : : "r"(v) : "memory"); return rt_fault.vector; }
void pdptes() {
  paging_off(), identity(false), paging_on(pae_4k, true);
  entries(pae_4k, P | W, P | W);
  u32 wrong = 0, error;
  for (u32 n = 0; n < 4; ++n)
    for (u32 b = 1; b < 64; ++b) {
      const bool bad = (b >= 1 && b <= 2) || (b >= 5 && b <= 8) || b >= width();
      copy(other_pointers, pointers, 32);
      other_pointers[n] |= u64{1} << b;
      if (!bad && (b >= 12 || n == 0)) continue;
      const word vector = load_cr3(at(other_pointers));
      if (bad ? vector != 13 || rt_fault.error != 0 || cr3() != at(pointers) : vector != kNone) { if (wrong++ < 6) printf("     PDPTE %u bit %u: vector %d\n", n, b, i32(vector)); }
      set_cr3(at(pointers));
      if (!bad) continue;
      other_pointers[n] &= ~u64{1};  // not present: nothing is reserved
      if (n == 0) continue;          // where we are
      if (load_cr3(at(other_pointers)) != kNone) ++wrong;
      set_cr3(at(pointers));
    }
  check_eq("MOV to CR3 checks all four", wrong, 0);
  check("  and they are in use", reads(error));
  // they are registers: memory counts when they are loaded
  pointers[1] = 0;
  TRY("mov (%0), %%cl", : : "r"(kLa + kData) : "ecx", "memory");
  check_none("a PDPTE changed in memory");
  invlpg(reinterpret_cast<void*>(kLa));
  TRY("mov (%0), %%cl", : : "r"(kLa + kData) : "ecx", "memory");
  check_none("  INVLPG does not load it");
  set_cr4(cr4() ^ kCr4Pge);
  TRY("mov (%0), %%cl", : : "r"(kLa + kData) : "ecx", "memory");
  check_eq("  a change of CR4.PGE does", rt_fault.vector, 14);
  check_eq("    error code", rt_fault.error, 0);
  pointers[1] = at(directories[1]) | P;
  set_cr4(cr4() ^ kCr4Pge);
  const struct { const char* name; u32 cr4_bit, cr0_bits; } loads[] = {{"CR4.PSE", kCr4Pse, 0}, {"CR4.SMEP", kSmep, 0}, {"CR0.CD", 0, 0x40000000}, {"CR0.CD and NW", 0, 0x60000000}};
  for (auto& l : loads) {
    pointers[1] = 0;
    const word c0 = cr0(), c4 = cr4();
    if (l.cr4_bit) set_cr4(c4 ^ l.cr4_bit);
    if (l.cr0_bits) set_cr0(c0 ^ l.cr0_bits);
    TRY("mov (%0), %%cl", : : "r"(kLa + kData) : "ecx", "memory");
    if (l.cr4_bit || l.cr0_bits) invlpg(reinterpret_cast<void*>(kLa));
    TRY("mov (%0), %%cl", : : "r"(kLa + kData) : "ecx", "memory");
    check_eq(l.name, rt_fault.vector, 14);
    pointers[1] = 4;  // present or not, a reserved bit
    pointers[1] |= P;
    if (l.cr4_bit) TRY("mov %0, %%cr4", : : "r"(c4) : "memory");
    else TRY("mov %0, %%cr0", : : "r"(c0) : "memory");
    check_fault("  #GP of a reserved bit", 13, 0);
    check("    which changes nothing", l.cr4_bit ? cr4() == (c4 ^ l.cr4_bit) : cr0() == (c0 ^ l.cr0_bits));
    pointers[1] = at(directories[1]) | P;
    set_cr4(c4), set_cr0(c0);
  }
  paging_off();
  pointers[2] = 0x21;
  TRY("mov %0, %%cr0", : : "r"(cr0() | kPg) : "memory");
  check_fault("#GP paging on with a reserved bit in a PDPTE", 13, 0);
  check_eq("  it stays off", cr0() & kPg, 0);
  pointers[2] = at(directories[2]) | P;
  // CR3 names 32 bytes, anywhere
  alignas(32) static u64 within[8];
  copy(within + 4, pointers, 32);
  paging_on(pae_4k, true);
  set_cr3(at(within + 4));
  check("PDPTEs at any 32 bytes", reads(error));
  check_eq("  no accessed flag in them", within[5], at(directories[1]) | P);
  paging_off();
}

// ---- pages beyond 4 GiB ----
void beyond() {
  paging_off(), identity(false);
  const bool pse36 = (cpuid(1).d >> 17 & 1) != 0;
  check("PSE-36", pse36);
  paging_on(bits32_4m, false);
  directory32[256] = P | W | PS | 1u << 13;  // 4 GiB
  set_cr3(cr3());
  write32(kLa + 0x123450, 0x13572468);
  paging_on(pae_2m, false);
  directories[1][0] = (u64{1} << 32) | P | W | PS;
  set_cr3(cr3());
  check_eq("a 4 MiB page at 4 GiB is that of PAE paging", read32(kLa + 0x123450), 0x13572468);
  write32(kLa + 0x123450, 0x97531);
  entries(pae_4k, P | W, P | W);
  directories[1][0] = at(table) | P | W;
  table[0x123] = (u64{1} << 32 | 0x123000) | P | W;
  set_cr3(cr3());
  check_eq("  and by 4 KiB", read32(kLa + 0x123450), 0x97531);
  // without PSE the bit means nothing: a table
  paging_on(bits32_no_pse, false);
  for (u32 n = 0; n < 1024; ++n) table32[n] = (kPage + (n << 12)) | P | W;
  directory32[256] = at(table32) | P | W | PS;
  set_cr3(cr3());
  paging_off();
  write32(kPage + 0x123450, 0xabcd), write32(kPage + 0x3ff000, 0xdcba);
  paging_on(bits32_no_pse, false);
  check_eq("PS with CR4.PSE = 0 is ignored", read32(kLa + 0x123450), 0xabcd);
  check_eq("  to the end of the table", read32(kLa + 0x3ff000), 0xdcba);
  paging_off();
}

// ---- what must not survive ----
void invalidations(Kind k) {
  paging_off(), identity(false);
  write32(kPage + kData, 0x11111111), write32(kNext + kData, 0x22222222);
  const auto point = [&](u32 page, bool global) {
    const u32 flags = P | W | (global ? G : 0) | page;
    if (k == pae_4k) directories[1][0] = at(table) | P | W, table[0] = flags;
    else if (k == pae_2m) directories[1][0] = flags | PS;
    else if (k == bits32_4m) directory32[256] = flags | PS;
    else directory32[256] = at(table32) | P | W, table32[0] = flags;
  };
  struct Row { const char* name; bool pge, global; void (*drop)(); };
  static const Row rows[] = {{"MOV to CR3", false, false, [] { set_cr3(cr3()); }}, {"MOV to CR3, G without PGE", false, true, [] { set_cr3(cr3()); }}, {"MOV to CR3, PGE, not global", true, false, [] { set_cr3(cr3()); }},
                             {"INVLPG", false, false, [] { invlpg(reinterpret_cast<void*>(kLa + 0x7)); }}, {"INVLPG of a global page", true, true, [] { invlpg(reinterpret_cast<void*>(kLa + 0xfff)); }},
                             {"CR4.PGE cleared", true, true, [] { set_cr4(cr4() & ~kCr4Pge); }}, {"CR4.PGE set", false, false, [] { set_cr4(cr4() | kCr4Pge); }},
                             {"CR4.PSE changed", true, true, [] { set_cr4(cr4() ^ kCr4Pse), set_cr4(cr4() ^ kCr4Pse); }}, {"CR4.SMEP set", false, false, [] { set_cr4(cr4() | kSmep); }},
                             {"paging off and on", true, true, [] { set_cr0(cr0() & ~kPg), set_cr0(cr0() | kPg); }}};
  for (auto& r : rows) {
    if (r.name[4] == 'P' && r.name[5] == 'S' && k == bits32_no_pse) continue;
    paging_on(k, false, r.pge ? kCr4Pge : 0);
    point(kPage, r.global);
    set_cr3(cr3()), invlpg(reinterpret_cast<void*>(kLa));
    const u32 before = read32(kLa + kData);
    point(kNext, r.global);
    r.drop();
    if (before != 0x11111111 || read32(kLa + kData) != 0x22222222) printf("     %s\n", kNames[k]);
    check(r.name, before == 0x11111111 && read32(kLa + kData) == 0x22222222);
  }
  paging_off();
}
}  // namespace

extern "C" void rt_main() {
  if ((cpuid(7).b & 0x100080) != 0x100080) { check("SMEP and SMAP", false); return; }
  for (u32 n = 0; n < 2; ++n) write8(kPage + n, n == 0 ? 0xc3 : 0x80);  // RET, or INT 80 for the user's code
  for (const Kind k : (const Kind[]){bits32_no_pse, bits32_4k, bits32_4m, pae_4k, pae_2m}) rights(k);
  for (const Kind k : (const Kind[]){bits32_no_pse, bits32_4k, bits32_4m, pae_4k, pae_2m}) reserved_bits(k);
  pdptes();
  beyond();
  for (const Kind k : (const Kind[]){bits32_no_pse, bits32_4k, bits32_4m, pae_4k, pae_2m}) invalidations(k);
  paging_off();
}
