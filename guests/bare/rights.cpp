// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu clears P in the error code of a reserved bit
// Access rights of pages: U/S, R/W and XD at two levels against CR0.WP, SMEP, SMAP, EFLAGS.AC, IA32_EFER.NXE, privilege and kind of access, by the manual's rules;
// error codes, accessed and dirty flags.   SDM 3A "Determination of Access Rights", "Page-Fault Exceptions", "Accessed and Dirty Flags"
#include "rt.hpp"
using namespace rt;

extern "C" u64 rt_pd[], rt_pdpt[];
namespace {
constexpr u64 P = 1, W = 2, U = 4, A = 0x20, D = 0x40, XD = u64{1} << 63;
constexpr u64 kLa = u64{5} << 30;  // its own page directory and table
alignas(4096) u64 directory[512], table[512];
alignas(4096) u8 page[4096];
u64 at(const volatile void* p) { return reinterpret_cast<u64>(p); }
enum Access { kRead, kWrite, kFetch };
struct In { bool user, wp, smep, smap, ac, nxe; Access access; };

extern "C" {
extern u8 go_read[], go_write[], go_fetch[], go_on[];
}
asm(R"(
        .globl go_read, go_write, go_fetch, go_on
go_read: movabs $0x140000000, %rax
        mov     (%rax), %cl
        int     $0x80
go_write: movabs $0x140000000, %rax
        mov     %cl, (%rax)
        int     $0x80
go_fetch: movabs $0x140000000, %rax
        jmp     *%rax
)");

void identity(bool user) {
  for (u32 n = 0; n < 2048; ++n) rt_pd[n] = user ? rt_pd[n] | U : rt_pd[n] & ~U;
  set_cr3(cr3());
}
/// The vector and error code of one access; kNone: none.
word access(const In& in, u64& error) {
  const word c0 = cr0(), c4 = cr4();
  set_cr0(in.wp ? c0 | 0x10000 : c0 & ~word{0x10000});
  set_cr4((c4 & ~word{0x300000}) | (in.smep ? 0x100000 : 0) | (in.smap ? 0x200000 : 0));
  const u64 efer = rdmsr(0xc0000080);
  wrmsr(0xc0000080, in.nxe ? efer | 0x800 : efer & ~u64{0x800});
  set_cr3(cr3());
  const word ac = in.ac ? 0x40000 : 0;
  if (in.user) {
    rt_fault.vector = kNone;
    static u8 stack[256];
    call_user_at(at(in.access == kRead ? go_read : in.access == kWrite ? go_write : go_fetch), kUser64, at(stack) + 200, kUserData, 2 | ac);
  } else if (in.access == kRead) {
    TRY("pushfq; orq %1, (%%rsp); popfq; mov (%0), %%cl", : : "r"(kLa), "r"(ac) : "rcx", "cc", "memory");
  } else if (in.access == kWrite) {
    TRY("pushfq; orq %1, (%%rsp); popfq; mov %%cl, (%0)", : : "r"(kLa), "r"(ac) : "rcx", "cc", "memory");
  } else {
    TRY("pushfq; orq %1, (%%rsp); popfq; call *%0", : : "r"(kLa), "r"(ac) : "rcx", "cc", "memory");
  }
  asm volatile("pushfq; andq $~0x40000, (%%rsp); popfq" : : : "cc", "memory");
  error = rt_fault.error;
  const word vector = rt_fault.vector;
  wrmsr(0xc0000080, efer);
  set_cr4(c4);
  set_cr0(c0);
  return vector;
}

/// 0: allowed; otherwise the error code of #PF.
u64 expected(const In& in, u64 pde, u64 pte) {
  const u64 fetch_flag = in.access == kFetch && (in.nxe || in.smep) ? 0x10 : 0;
  const u64 code = (in.access == kWrite ? 2 : 0) | (in.user ? 4 : 0) | fetch_flag;
  if (!(pde & P)) return code;
  if ((pde & XD) && !in.nxe) return code | 9;
  if (!(pte & P)) return code;
  if ((pte & XD) && !in.nxe) return code | 9;
  const bool user_page = (pde & U) && (pte & U), writable = (pde & W) && (pte & W), xd = (pde | pte) & XD;
  bool ok;
  if (in.user) ok = user_page && (in.access == kRead || (in.access == kWrite ? writable : !xd));
  else if (in.access == kFetch) ok = !xd && !(user_page && in.smep);
  else ok = !(user_page && in.smap && !in.ac) && (in.access == kRead || writable || !in.wp);
  return ok ? 0 : code | 1;
}
}  // namespace

extern "C" void rt_main() {
  if ((cpuid(7).b & 0x100080) != 0x100080) { check("SMEP and SMAP", false); return; }
  rt_pdpt[5] = at(directory) | P | W | U;
  page[0] = 0xcd, page[1] = 0x80;  // INT 80, as the user's code
  on_trap(0x81, nullptr);
  static const u64 kFlags[] = {0, P, P | W, P | U, P | W | U, P | XD, P | W | XD, P | U | XD, P | W | U | XD};
  const char* names[] = {"supervisor reads", "supervisor writes", "supervisor fetches", "user reads", "user writes", "user fetches"};
  for (u32 user = 0; user < 2; ++user) {
    identity(user != 0);
    for (u32 kind = 0; kind < 3; ++kind) {
      page[0] = user ? 0xcd : 0xc3;
      u32 cases = 0, wrong = 0, flags_wrong = 0;
      for (u32 bits = 0; bits < 32; ++bits) {
        const In in{user != 0, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0, Access(kind)};
        if (user && (in.smep || in.smap)) continue;  // the handlers' own pages are user pages now
        for (u64 pde : kFlags)
          for (u64 pte : kFlags) {
            directory[0] = at(table) | pde, table[0] = at(page) | pte;
            u64 error = 0;
            const u64 want = expected(in, pde, pte);
            const word vector = access(in, error);
            const bool allowed = want == 0 && (pde & P) && (pte & P);
            const bool good = allowed ? vector == kNone : vector == 14 && error == want && rt_fault.cr2 == kLa;
            ++cases;
            if (!good && wrong++ < 4)
              printf("     %s: pde %llx pte %llx wp %u smep %u smap %u ac %u nxe %u: vector %d error %llx, want %llx\n", names[user * 3 + kind], pde, pte, in.wp, in.smep, in.smap, in.ac, in.nxe,
                     i32(vector), error, want);
            const bool flags = allowed ? (directory[0] & A) && (table[0] & A) && bool(table[0] & D) == (kind == kWrite) : !(table[0] & D);
            if (!flags) ++flags_wrong;
          }
      }
      check_eq(names[user * 3 + kind], wrong, 0);
      check_eq("  accessed and dirty flags", flags_wrong, 0);
      printf("   %u cases\n", cases);
    }
  }
}
