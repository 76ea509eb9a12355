// SPDX-License-Identifier: GPL-2.0-or-later
// BUILD 32
// EXPECT exit 0
// SKIP qemu enters conforming code by a call gate at the DPL of that code
// Every privilege level against every RPL and DPL: segment loads, far JMP, CALL and RET, call gates, interrupt gates, VERR and LAR, by the manual's rules.
// SDM 3A "Privilege Levels", "Privilege Level Checking When Accessing Data Segments", "... When Transferring Program Control Between Code Segments";
// SDM 2 "CALL", "JMP", "RET", "INT n", "MOV", "VERR", "LAR"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u16 kS(u32 n) { return u16(kSpare + 8 * n); }
constexpr u16 kCode(u32 dpl) { return kS(dpl); }       // nonconforming, flat
constexpr u16 kStack(u32 dpl) { return kS(4 + dpl); }
constexpr u16 kTarget = kS(8), kGate = kS(9);
u32 at(const volatile void* p) { return reinterpret_cast<u32>(p); }
u64& slot(u16 sel) { return rt_gdt[sel / 8]; }
u64 flat(u32 type, u32 dpl) { return 0x00cf00000000ffff | u64{0x90 | type | dpl << 5} << 40; }
u64 gate(u16 cs, u32 ip, u32 type, u32 dpl) { return (ip & 0xffff) | u64{cs} << 16 | u64{0x80 | type | dpl << 5} << 40 | u64{ip >> 16} << 48; }

extern "C" {
extern u8 do_fs[], do_ss[], do_jmp[], do_call[], do_int[], do_ret[], do_verr[], do_verw[], do_lar[], landed[];
extern u32 far_pointer[2];
}
asm(R"(
        .text
        .globl do_fs, do_ss, do_jmp, do_call, do_int, do_ret, do_verr, do_verw, do_lar, landed
do_fs:  mov     %ax, %fs                # EAX: the selector
        ud2
do_ss:  mov     %ax, %ss
        nop                             # MOV SS holds nothing of interest back
        ud2
do_jmp: ljmp    *%cs:far_pointer
do_call: lcall  *%cs:far_pointer
do_int: int     $0x60
do_ret: push    %ebx                    # SS of an outer level
        push    %ecx
        push    %eax
        push    $landed
        lret
do_verr: verr   %ax
        jmp     1f
do_verw: verw   %ax
        jmp     1f
do_lar: lar     %eax, %edx
1:      setz    %bl
        ud2                             # BL tells
landed: ud2
        .data
        .globl far_pointer
far_pointer: .long 0, 0
        .text
)");

struct Out { u32 vector, error, cpl, bl; };
/// Enters `code` at privilege level `cpl` with EAX; what its exception says. UD2 is the end that is wanted.
Out enter(u32 cpl, const u8* code, u32 eax, u32 ebx = 0, u32 ecx = 0) {
  static u8 stacks[4][512];
  static u32 user_ss, user_cs;
  const u32 sp = at(stacks[cpl]) + 400;
  user_ss = u32{kStack(cpl)} | cpl, user_cs = u32{kCode(cpl)} | cpl;
  if (cpl == 0)
    TRY("jmp *%0", : : "r"(code), "a"(eax), "b"(ebx), "c"(ecx) : "memory", "cc");
  else
    TRY("pushl %0; pushl %1; pushl $2; pushl %2; pushl %3; iret", : : "m"(user_ss), "S"(sp), "m"(user_cs), "D"(code), "a"(eax), "b"(ebx), "c"(ecx) : "memory", "cc");
  return {u32(rt_fault.vector), u32(rt_fault.error), u32(rt_fault.cs) & 3, u32(rt_fault.bx) & 0xff};
}
struct Want { bool fine; u32 error, cpl; };  // refused: #GP(error)

struct Count {
  const char* name;
  u32 cases = 0, wrong = 0;
  void add(const Out& o, const Want& w, u32 cpl, u32 rpl, u32 dpl, u32 type) {
    ++cases;
    const bool good = w.fine ? o.vector == 6 && o.cpl == w.cpl : o.vector == 13 && o.error == w.error;
    if (!good && wrong++ < 4)
      printf("     %s: CPL %u RPL %u DPL %u type %x: got %u(%x) at CPL %u, want %s(%x) %u\n", name, cpl, rpl, dpl, type, o.vector, o.error, o.cpl, w.fine ? "fine" : "#GP", w.error, w.cpl);
  }
  ~Count() { check_eq(name, wrong, 0); printf("   %u cases\n", cases); }
};
u32 max(u32 a, u32 b) { return a > b ? a : b; }

template <class F>
void all(F f) {
  for (u32 cpl = 0; cpl < 4; ++cpl)
    for (u32 rpl = 0; rpl < 4; ++rpl)
      for (u32 dpl = 0; dpl < 4; ++dpl) f(cpl, rpl, dpl);
}

void loads() {
  Count data{"FS of each type"}, stack{"SS of each type"};
  all([&](u32 cpl, u32 rpl, u32 dpl) {
    for (u32 type = 0; type < 16; ++type) {
      slot(kTarget) = flat(type, dpl);
      const bool code = type & 8, conforming = code && (type & 4), readable = !code || (type & 2);
      data.add(enter(cpl, do_fs, kTarget | rpl), {readable && (conforming || dpl >= max(cpl, rpl)), kTarget, cpl}, cpl, rpl, dpl, type);
      slot(kTarget) = flat(type, dpl);
      if ((type & 0xc) == 4) continue;  // expand-down: what is below its limit, the stack among it, is out of reach
      stack.add(enter(cpl, do_ss, kTarget | rpl), {!code && (type & 2) && rpl == cpl && dpl == cpl, kTarget, cpl}, cpl, rpl, dpl, type);
    }
  });
}
void questions() {
  Count verr{"VERR"}, verw{"VERW"}, lar{"LAR"};
  all([&](u32 cpl, u32 rpl, u32 dpl) {
    for (u32 type = 0; type < 16; ++type) {
      slot(kTarget) = flat(type, dpl);
      const bool code = type & 8, conforming = code && (type & 4), reach = conforming || dpl >= max(cpl, rpl);
      const auto ask = [&](Count& c, const u8* f, bool want) {
        Out o = enter(cpl, f, kTarget | rpl);
        if ((o.bl != 0) != want) o.vector = 99;
        c.add(o, {true, 0, cpl}, cpl, rpl, dpl, type);
      };
      ask(verr, do_verr, reach && (!code || (type & 2)));
      ask(verw, do_verw, reach && !code && (type & 2));
      ask(lar, do_lar, reach);
    }
  });
}
void transfers() {
  Count jmp{"far JMP"}, call{"far CALL"}, ret{"far RET"};
  all([&](u32 cpl, u32 rpl, u32 dpl) {
    for (u32 type = 0; type < 16; ++type) {
      const bool code = type & 8, conforming = type & 4;
      const bool fine = code && (conforming ? dpl <= cpl : rpl <= cpl && dpl == cpl);
      far_pointer[0] = at(landed), far_pointer[1] = kTarget | rpl;
      slot(kTarget) = flat(type, dpl);
      jmp.add(enter(cpl, do_jmp, 0), {fine, kTarget, cpl}, cpl, rpl, dpl, type);
      call.add(enter(cpl, do_call, 0), {fine, kTarget, cpl}, cpl, rpl, dpl, type);
      const bool back = code && rpl >= cpl && (conforming ? dpl <= rpl : dpl == rpl);
      ret.add(enter(cpl, do_ret, kTarget | rpl, kStack(rpl) | rpl, at(rt_stack_top) - 4096), {back, kTarget, rpl}, cpl, rpl, dpl, type);
    }
  });
}
void gates() {
  Count jmp{"JMP through call gates"}, call{"CALL through call gates"}, interrupt{"INT through gates"};
  all([&](u32 cpl, u32 rpl, u32 dpl) {
    for (u32 target = 0; target < 4; ++target)
      for (u32 conforming = 0; conforming < 2; ++conforming) {
        slot(kTarget) = flat(0xb | conforming << 2, target);
        slot(kGate) = gate(kTarget, at(landed), 12, dpl);
        far_pointer[0] = 0, far_pointer[1] = kGate | rpl;
        const bool open = dpl >= max(cpl, rpl);
        const auto want = [&](bool fine, u32 inner) { return Want{open && fine, open ? kTarget : kGate, inner}; };
        const u32 inner = conforming ? cpl : target;
        jmp.add(enter(cpl, do_jmp, 0), want(conforming ? target <= cpl : target == cpl, cpl), cpl, rpl, dpl, target << 4 | conforming);
        call.add(enter(cpl, do_call, 0), want(target <= cpl, inner), cpl, rpl, dpl, target << 4 | conforming);
        if (rpl) continue;
        set_gate(0x60, at(landed), u8(0x8e | dpl << 5), kTarget);
        Want w{dpl >= cpl && target <= cpl, dpl >= cpl ? u32{kTarget} : 0x60u * 8 + 2, inner};
        interrupt.add(enter(cpl, do_int, 0), w, cpl, rpl, dpl, target << 4 | conforming);
      }
  });
}
}  // namespace

extern "C" void rt_main() {
  static u8 inner[4][512];
  for (u32 n = 0; n < 4; ++n) {
    slot(kCode(n)) = flat(0xb, n);
    slot(kStack(n)) = flat(3, n);
    if (n == 3) continue;
    write32(at(rt_tss) + 4 + 8 * n, n == 0 ? at(rt_stack_top) - 8192 : at(inner[n]) + 500);
    write32(at(rt_tss) + 8 + 8 * n, n == 0 ? u32{kData} : kStack(n) | n);
  }
  loads();
  questions();
  transfers();
  gates();
}
