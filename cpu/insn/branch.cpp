// SPDX-License-Identifier: GPL-2.0-or-later
/// JMP, Jcc, CALL, RET, LOOPcc, JrCXZ, SETcc, far transfers, INT n, IRET, BOUND, UD.
/// SDM 1 "Procedure Calls, Interrupts, and Exceptions"; SDM 2A, 2B by the instructions' names
/// In 64-bit mode near branches ignore the operand-size prefix, as Intel's processors do.
#include "forms.hpp"

namespace vt::cpu {
namespace {

template <class C>
VT_INLINE Next go(C& c, u64 rip, unsigned osz) { return c.set_target(rip, osz) ? Next::jump : Next::fault; }
template <class C>
VT_INLINE u64 relative(C& c, const Insn& i) { return c.r[kRipReg] + static_cast<u64>(i.imm); }

template <int N>
struct Jcc {
  template <class C> static Next f(C& c, const Insn& i) { return condition<N>(c) ? go(c, relative(c, i), i.osz()) : Next::seq; }
};
template <int N>
struct Setcc {
  template <class C, class T, bool M>
  static Next f(C& c, const Insn& i) {
    const u8 v = condition<N>(c);
    if constexpr (M) { if (!c.template store<u8>(i, v)) return Next::fault; }
    else c.template set_reg<u8>(i.rm, v);
    return Next::seq;
  }
};

template <class C> Next jmp_rel(C& c, const Insn& i) { return go(c, relative(c, i), i.osz()); }
template <class C, class T, bool M>
Next jmp_rm(C& c, const Insn& i) {
  T v;
  if constexpr (M) { if (!c.template load<T>(i, v)) return Next::fault; }
  else v = c.template reg<T>(i.rm);
  return go(c, v, i.osz());
}
/// Where the target faults, Intel's processors have written the return address by then, (R)SP is as it was; a fault of that write comes first.
template <class C, class T>
Next call(C& c, const Insn& i, u64 to) {
  if (VT_UNLIKELY(!c.set_target(to, i.osz()))) {
    const Fault general_protection = c.fault;
    const u64 sp = c.r[4];
    if (c.template push<T>(static_cast<T>(c.rip_after(i)))) c.r[4] = sp, c.fault = general_protection;
    return Next::fault;
  }
  return c.template push<T>(static_cast<T>(c.rip_after(i))) ? Next::jump : Next::fault;
}
template <class C, class T>
Next call_rel(C& c, const Insn& i) { return call<C, T>(c, i, relative(c, i)); }
template <class C, class T, bool M>
Next call_rm(C& c, const Insn& i) {
  T v;
  if constexpr (M) { if (!c.template load<T>(i, v)) return Next::fault; }
  else v = c.template reg<T>(i.rm);
  return call<C, T>(c, i, v);
}
template <class C, class T>
Next ret_near(C& c, const Insn& i) {  // C3: i.imm is 0
  T v;
  if (!c.template peek_stack<T>(0, v) || !c.set_target(v, i.osz())) return Next::fault;
  c.set_sp(c.r[4] + sizeof(T) + static_cast<u16>(i.imm));
  return Next::jump;
}

enum LoopKind { loopne, loope, loop, jrcxz };
template <LoopKind K>
struct Loop {
  template <class C>
  static Next f(C& c, const Insn& i) {
    const u64 mask = address_mask(i);
    if constexpr (K == jrcxz) return (c.r[1] & mask) == 0 ? go(c, relative(c, i), i.osz()) : Next::seq;
    const u64 count = (c.r[1] - 1) & mask;
    const bool taken = count != 0 && (K == loop || c.lf.zf() == (K == loope));
    if (taken && !c.set_target(relative(c, i), i.osz())) return Next::fault;
    set_address_reg(c, i, 1, count);
    return taken ? Next::jump : Next::seq;
  }
};

// Far transfers: selector after the offset.
template <class C> Next jmp_far_imm(C& c, const Insn& i) { return c.far_jump(i, static_cast<u16>(i.disp), i.osz() == 0 ? static_cast<u16>(i.imm) : static_cast<u32>(i.imm)); }
template <class C> Next call_far_imm(C& c, const Insn& i) { return c.far_call(i, static_cast<u16>(i.disp), i.osz() == 0 ? static_cast<u16>(i.imm) : static_cast<u32>(i.imm)); }
template <class C, class T>
Next jmp_far_mem(C& c, const Insn& i) {
  T offset;
  u16 sel;
  if (!c.template load<T>(i, offset) || !load_part(c, i, sizeof(T), sel)) return Next::fault;
  return c.far_jump(i, sel, offset);
}
template <class C, class T>
Next call_far_mem(C& c, const Insn& i) {
  T offset;
  u16 sel;
  if (!c.template load<T>(i, offset) || !load_part(c, i, sizeof(T), sel)) return Next::fault;
  return c.far_call(i, sel, offset);
}
template <class C> Next ret_far(C& c, const Insn& i) { return c.far_return(i, i.osz(), static_cast<u16>(i.imm)); }
template <class C> Next iret(C& c, const Insn& i) { return c.iret(i, i.osz()); }

// Interrupt types as VMX numbers them: 4 software interrupt, 5 privileged software exception, 6 software exception.
template <class C> Next int_n(C& c, const Insn& i) { return c.software_interrupt(i, static_cast<u8>(i.imm), 4); }
template <class C> Next int1(C& c, const Insn& i) { return c.software_interrupt(i, DB, 5); }
template <class C> Next int3(C& c, const Insn& i) { return c.software_interrupt(i, BP, 6); }
template <class C> Next into(C& c, const Insn& i) { return c.lf.of() ? c.software_interrupt(i, OF, 6) : Next::seq; }

template <class C, class T>
Next bound(C& c, const Insn& i) {
  using S = std::make_signed_t<T>;
  const S n = static_cast<S>(c.template reg<T>(i.reg));
  T low, high;
  if (!c.template load<T>(i, low)) return Next::fault;
  if (n < static_cast<S>(low)) return c.raise(BR);  // the upper bound is not looked at then (found by the native judge)
  if (!load_part(c, i, sizeof(T), high)) return Next::fault;
  return n > static_cast<S>(high) ? c.raise(BR) : Next::seq;
}
template <class C> Next undefined(C& c, const Insn&) { return c.ud(); }

using C = Cpu;
using enum Feature;
using attr::ends_block, attr::force64, attr::no64;
constexpr u32 kNear = ends_block | force64;

#define CC_ROWS(cc, d, n)                                                          \
  {"J" cc, "7" d " cb", "Jb", kNear, always, VT_J(Jcc<n>::f)},                       \
  {"J" cc, "0F 8" d " cz", "Jz", kNear, always, VT_J(Jcc<n>::f)},                    \
  {"SET" cc, "0F 9" d " /r", "Eb", 0, always, VT_BMF(Setcc<n>::f)}

constexpr Def kRows[] = {
    CC_ROWS("O", "0", 0), CC_ROWS("NO", "1", 1), CC_ROWS("B", "2", 2), CC_ROWS("AE", "3", 3), CC_ROWS("E", "4", 4), CC_ROWS("NE", "5", 5),
    CC_ROWS("BE", "6", 6), CC_ROWS("A", "7", 7), CC_ROWS("S", "8", 8), CC_ROWS("NS", "9", 9), CC_ROWS("P", "A", 10), CC_ROWS("NP", "B", 11),
    CC_ROWS("L", "C", 12), CC_ROWS("GE", "D", 13), CC_ROWS("LE", "E", 14), CC_ROWS("G", "F", 15),
    {"JMP", "EB cb", "Jb", kNear, always, VT_J(jmp_rel)},
    {"JMP", "E9 cz", "Jz", kNear, always, VT_J(jmp_rel)},
    {"JMP", "FF /4", "Ev", kNear, always, VT_TMF(jmp_rm)},
    {"CALL", "E8 cz", "Jz", kNear, always, VT_TF(call_rel)},
    {"CALL", "FF /2", "Ev", kNear, always, VT_TMF(call_rm)},
    {"RET", "C3", "", kNear, always, VT_TF(ret_near)},
    {"RET", "C2 iw", "Iw", kNear, always, VT_TF(ret_near)},
    {"LOOPNE", "E0 cb", "Jb", kNear, always, VT_J(Loop<loopne>::f)},
    {"LOOPE", "E1 cb", "Jb", kNear, always, VT_J(Loop<loope>::f)},
    {"LOOP", "E2 cb", "Jb", kNear, always, VT_J(Loop<loop>::f)},
    {"JRCXZ", "E3 cb", "Jb", kNear, always, VT_J(Loop<jrcxz>::f)},
    {"JMPF", "EA cp", "Ap", ends_block | no64, always, VT_1(jmp_far_imm)},
    {"CALLF", "9A cp", "Ap", ends_block | no64, always, VT_1(call_far_imm)},
    {"JMPF", "FF /5", "Mp", ends_block, always, VT_T(jmp_far_mem)},
    {"CALLF", "FF /3", "Mp", ends_block, always, VT_T(call_far_mem)},
    {"RETF", "CB", "", ends_block, always, VT_1(ret_far)},
    {"RETF", "CA iw", "Iw", ends_block, always, VT_1(ret_far)},
    {"IRET", "CF", "", ends_block, always, VT_1(iret)},
    {"INT", "CD ib", "Ib", ends_block, always, VT_1(int_n)},
    {"INT1", "F1", "", ends_block, always, VT_1(int1)},
    {"INT3", "CC", "", ends_block, always, VT_1(int3)},
    {"INTO", "CE", "", ends_block | no64, always, VT_1(into)},
    {"BOUND", "62 /r", "Gv,Ma", no64, always, VT_T(bound)},
    {"UD2", "0F 0B", "", ends_block, always, VT_1(undefined)},
    {"UD1", "0F B9 /r", "Gv,Ev", ends_block, always, VT_1(undefined)},
    {"UD0", "0F FF /r", "Gv,Ev", ends_block, always, VT_1(undefined)},
};
#undef CC_ROWS

}  // namespace

std::span<const Def> branch_rows() { return kRows; }

}  // namespace vt::cpu
