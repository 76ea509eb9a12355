// SPDX-License-Identifier: GPL-2.0-or-later
/// x87 data transfer, constants and stack instructions.   SDM 1 "Data Transfer Instructions", "Load Constant Instructions"
#include <limits>

#include "insn/forms.hpp"
#include "insn/x87.hpp"

namespace vt::cpu {
namespace {
using sf::Env, sf::Num;

struct Mem80 { u8 b[10]; };
X87Reg from_mem(const Mem80& m) {
  X87Reg r;
  std::memcpy(&r.m, m.b, 8), std::memcpy(&r.se, m.b + 8, 2);
  return r;
}
Mem80 to_mem(const X87Reg& r) {
  Mem80 m;
  std::memcpy(m.b, &r.m, 8), std::memcpy(m.b + 8, &r.se, 2);
  return m;
}
// Ten bytes are two accesses, of eight bytes and of two: the second's fault leaves the first's bytes in memory (found by the native judge).
template <class C, class T>
[[nodiscard]] bool load_operand(C& c, const Insn& i, T& v) {
  if constexpr (!std::is_same_v<T, Mem80>) return c.load(i, v);
  else {
    u64 low;
    u16 high;
    if (!c.load(i, low) || !load_part(c, i, 8, high)) return false;
    std::memcpy(v.b, &low, 8), std::memcpy(v.b + 8, &high, 2);
    return true;
  }
}
template <class C, class T>
[[nodiscard]] bool store_operand(C& c, const Insn& i, const T& v) {
  if constexpr (!std::is_same_v<T, Mem80>) return c.store(i, v);
  else {
    u64 low, la;
    u16 high;
    std::memcpy(&low, v.b, 8), std::memcpy(&high, v.b + 8, 2);
    return c.store(i, low) && linear_part(c, i, 8, 2, true, la) && c.store_at(la, high, i.seg);
  }
}

/// Pushes after the operand is known: `e` holds its exceptions. An unmasked DE is reported, but the value is loaded.
template <class C>
Next push_value(C& c, const Insn& i, const Env& e, const X87Reg& v) {
  if (!st_empty(c.fpu, 7)) {
    if (fpu_stack_fault(c, i, true)) fpu_push(c.fpu, kIndefinite);
  } else if (fpu_settle(c, i, e) || !(e.flags & sf::IE)) {
    fpu_push(c.fpu, v);
  }
  return Next::seq;
}

// --- loads ------------------------------------------------------------------------------------------------

template <class C, class T>
Next fld_float(C& c, const Insn& i) {  // m32fp, m64fp
  T v;
  if (!fpu_ready(c) || !c.load(i, v)) return Next::fault;
  Env e = fpu_env(c.fpu);
  return push_value(c, i, e, sf::pack80(sf::convert(e, sf::unpack(v), sf::kF80)));
}
template <class C>
Next fld_m80(C& c, const Insn& i) {
  Mem80 m;
  if (!fpu_ready(c) || !load_operand(c, i, m)) return Next::fault;
  return push_value(c, i, fpu_env(c.fpu), from_mem(m));
}
template <class C>
Next fld_st(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  if (!st_empty(c.fpu, i.rm)) return push_value(c, i, fpu_env(c.fpu), st(c.fpu, i.rm));
  if (fpu_stack_fault(c, i, false)) fpu_push(c.fpu, kIndefinite);
  return Next::seq;
}
template <class C, class T>
Next fild(C& c, const Insn& i) {
  T v;
  if (!fpu_ready(c) || !c.load(i, v)) return Next::fault;
  return push_value(c, i, fpu_env(c.fpu), sf::pack80(sf::from_int(v)));
}
template <class C>
Next fbld(C& c, const Insn& i) {  // digits above 9 count as they are
  Mem80 m;
  if (!fpu_ready(c) || !load_operand(c, i, m)) return Next::fault;
  u64 v = 0;
  for (int k = 8; k >= 0; --k) v = v * 100 + (m.b[k] >> 4) * 10u + (m.b[k] & 15);
  Num n = sf::from_int(static_cast<i64>(v));
  n.sign = m.b[9] & 0x80;
  return push_value(c, i, fpu_env(c.fpu), sf::pack80(n));
}

/// Significand truncated to 64 bits, whether round-to-nearest and round-up give one more.
struct Constant { X87Reg v; bool nearest_up, up; };
constexpr Constant kConstants[] = {
  {{0x8000000000000000, 0x3fff}, false, false},  // FLD1
  {{0xd49a784bcd1b8afe, 0x4000}, false, true},   // FLDL2T  log2(10)
  {{0xb8aa3b295c17f0bb, 0x3fff}, true, true},    // FLDL2E  log2(e)
  {{0xc90fdaa22168c234, 0x4000}, true, true},    // FLDPI
  {{0x9a209a84fbcff798, 0x3ffd}, true, true},    // FLDLG2  log10(2)
  {{0xb17217f7d1cf79ab, 0x3ffe}, true, true},    // FLDLN2  ln(2)
  {{0, 0}, false, false},                        // FLDZ
};
template <class C, unsigned N>
Next fld_constant(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  const Env e = fpu_env(c.fpu);
  X87Reg v = kConstants[N].v;
  if (e.rc == sf::Round::nearest ? kConstants[N].nearest_up : e.rc == sf::Round::up && kConstants[N].up) ++v.m;
  return push_value(c, i, e, v);
}

// --- stores -----------------------------------------------------------------------------------------------

/// Stores `v` unless an unmasked exception forbids it; then flags, then the pop.
template <class C, class T>
Next store_value(C& c, const Insn& i, Env e, const T& v, bool pop) {
  const bool stored = !(e.flags & ~e.masks & (sf::kBefore | sf::OE | sf::UE));
  if (stored && !store_operand(c, i, v)) return Next::fault;
  if (!stored) e.flags &= static_cast<u8>(~sf::PE), e.rounded_up = false;
  fpu_settle(c, i, e);
  if (stored && pop) fpu_pop(c.fpu);
  return Next::seq;
}
/// ST(0) is empty: the indefinite of the format is stored if IE is masked.
template <class C, class T>
Next store_underflow(C& c, const Insn& i, const T& indefinite, bool pop) {
  const bool masked = c.fpu.cw & fsw::IE;
  if (masked && !store_operand(c, i, indefinite)) return Next::fault;
  fpu_stack_fault(c, i, false);
  if (masked && pop) fpu_pop(c.fpu);
  return Next::seq;
}

template <class C, class T, bool Pop>
Next fst_float(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  T v;
  if (st_empty(c.fpu, 0)) {
    sf::pack(sf::kDefaultNan, v);
    return store_underflow(c, i, v, Pop);
  }
  Env e = fpu_env(c.fpu);
  sf::pack(sf::convert(e, sf::unpack(st(c.fpu, 0)), sizeof(T) == 4 ? sf::kF32 : sf::kF64, false), v);
  return store_value(c, i, e, v, Pop);
}
template <class C>
Next fstp_m80(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  if (st_empty(c.fpu, 0)) return store_underflow(c, i, to_mem(kIndefinite), true);
  return store_value(c, i, fpu_env(c.fpu), to_mem(st(c.fpu, 0)), true);
}
template <class C, bool Pop>
Next fst_st(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  X87Reg v = kIndefinite;
  if (!st_empty(c.fpu, 0)) {
    fpu_settle(c, i, fpu_env(c.fpu));
    v = st(c.fpu, 0);
  } else if (!fpu_stack_fault(c, i, false)) {
    return Next::seq;
  }
  set_st(c.fpu, i.rm, v);
  if (Pop) fpu_pop(c.fpu);
  return Next::seq;
}
// No check: an empty register is popped, and nothing is written.
template <class C>
Next fstpnce(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  fpu_settle(c, i, fpu_env(c.fpu));
  if (!st_empty(c.fpu, 0)) set_st(c.fpu, i.rm, st(c.fpu, 0));
  fpu_pop(c.fpu);
  return Next::seq;
}
template <class C, class T, bool Pop, bool Truncate>
Next fist(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  if (st_empty(c.fpu, 0)) return store_underflow(c, i, std::numeric_limits<T>::min(), Pop);
  Env e = fpu_env(c.fpu);
  const T v = static_cast<T>(sf::to_int(e, sf::unpack(st(c.fpu, 0)), 8 * sizeof(T), Truncate ? sf::Round::zero : e.rc));
  return store_value(c, i, e, v, Pop);
}
template <class C>
Next fbstp(C& c, const Insn& i) {
  constexpr Mem80 kBcdIndefinite{{0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff}};
  if (!fpu_ready(c)) return Next::fault;
  if (st_empty(c.fpu, 0)) return store_underflow(c, i, kBcdIndefinite, true);
  Env e = fpu_env(c.fpu);
  const Num a = sf::unpack(st(c.fpu, 0));
  const i64 v = sf::to_int(e, a, 64, e.rc);
  constexpr i64 kLimit = 999'999'999'999'999'999;
  Mem80 m = kBcdIndefinite;
  if ((e.flags & sf::IE) || v > kLimit || v < -kLimit) {
    e.flags = sf::IE, e.rounded_up = false;
  } else {
    u64 x = static_cast<u64>(v < 0 ? -v : v);
    for (unsigned k = 0; k < 9; ++k, x /= 100) m.b[k] = static_cast<u8>(x / 10 % 10 << 4 | x % 10);
    m.b[9] = a.sign ? 0x80 : 0;
  }
  return store_value(c, i, e, m, true);
}

// --- stack --------------------------------------------------------------------------------------------------

template <class C>
Next fxch(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  if (st_empty(c.fpu, 0) || st_empty(c.fpu, i.rm)) {
    const bool e0 = st_empty(c.fpu, 0), en = st_empty(c.fpu, i.rm);
    if (!fpu_stack_fault(c, i, false)) return Next::seq;
    if (e0) set_st(c.fpu, 0, kIndefinite);
    if (en) set_st(c.fpu, i.rm, kIndefinite);
  } else {
    fpu_settle(c, i, fpu_env(c.fpu));
  }
  std::swap(st(c.fpu, 0), st(c.fpu, i.rm));
  return Next::seq;
}
template <class C, int D>
Next move_top(C& c, const Insn& i) {  // FINCSTP, FDECSTP: tags stay
  if (!fpu_ready(c)) return Next::fault;
  fpu_settle(c, i, fpu_env(c.fpu));
  set_fpu_top(c.fpu, fpu_top(c.fpu) + static_cast<unsigned>(D));
  return Next::seq;
}
template <class C, bool Pop>
Next ffree(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  fpu_settle(c, i, fpu_env(c.fpu));
  c.fpu.tags &= static_cast<u8>(~(1 << ((fpu_top(c.fpu) + i.rm) & 7)));
  if (Pop) fpu_pop(c.fpu);
  return Next::seq;
}
template <class C, unsigned Condition>  // 0 B, 1 E, 2 BE, 3 U; bit 2 negates
Next fcmov(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  if (st_empty(c.fpu, 0) || st_empty(c.fpu, i.rm)) {
    if (fpu_stack_fault(c, i, false)) set_st(c.fpu, 0, kIndefinite);
    return Next::seq;
  }
  note_instruction(c, i);  // C1 stays
  constexpr unsigned kind = Condition & 3;
  const bool holds = kind == 0 ? c.lf.cf() : kind == 1 ? c.lf.zf() : kind == 2 ? c.lf.cf() || c.lf.zf() : c.lf.pf();
  if (holds != (Condition >= 4)) st(c.fpu, 0) = st(c.fpu, i.rm);
  return Next::seq;
}

using C = Cpu;
constexpr u32 X = attr::x87;
constexpr Feature F = Feature::fpu;
constexpr Def kRows[] = {
  {"FLD",     "D9 /0",   "Md",  X, F, VT_ALL(fld_float<C, u32>)},
  {"FLD",     "DD /0",   "Mq",  X, F, VT_ALL(fld_float<C, u64>)},
  {"FLD",     "DB /5",   "Mt",  X, F, VT_1(fld_m80)},
  {"FLD",     "D9 C0+r", "ST",  X, F, VT_1(fld_st)},
  {"FST",     "D9 /2",   "Md",  X, F, VT_ALL(fst_float<C, u32, false>)},
  {"FST",     "DD /2",   "Mq",  X, F, VT_ALL(fst_float<C, u64, false>)},
  {"FST",     "DD D0+r", "ST",  X, F, VT_ALL(fst_st<C, false>)},
  {"FSTP",    "D9 /3",   "Md",  X, F, VT_ALL(fst_float<C, u32, true>)},
  {"FSTP",    "DD /3",   "Mq",  X, F, VT_ALL(fst_float<C, u64, true>)},
  {"FSTP",    "DB /7",   "Mt",  X, F, VT_1(fstp_m80)},
  {"FSTP",    "DD D8+r", "ST",  X, F, VT_ALL(fst_st<C, true>)},
  {"FILD",    "DF /0",   "Mw",  X, F, VT_ALL(fild<C, i16>)},
  {"FILD",    "DB /0",   "Md",  X, F, VT_ALL(fild<C, i32>)},
  {"FILD",    "DF /5",   "Mq",  X, F, VT_ALL(fild<C, i64>)},
  {"FIST",    "DF /2",   "Mw",  X, F, VT_ALL(fist<C, i16, false, false>)},
  {"FIST",    "DB /2",   "Md",  X, F, VT_ALL(fist<C, i32, false, false>)},
  {"FISTP",   "DF /3",   "Mw",  X, F, VT_ALL(fist<C, i16, true, false>)},
  {"FISTP",   "DB /3",   "Md",  X, F, VT_ALL(fist<C, i32, true, false>)},
  {"FISTP",   "DF /7",   "Mq",  X, F, VT_ALL(fist<C, i64, true, false>)},
  {"FISTTP",  "DF /1",   "Mw",  X, Feature::sse3, VT_ALL(fist<C, i16, true, true>)},
  {"FISTTP",  "DB /1",   "Md",  X, Feature::sse3, VT_ALL(fist<C, i32, true, true>)},
  {"FISTTP",  "DD /1",   "Mq",  X, Feature::sse3, VT_ALL(fist<C, i64, true, true>)},
  {"FBLD",    "DF /4",   "Mt",  X, F, VT_1(fbld)},
  {"FBSTP",   "DF /6",   "Mt",  X, F, VT_1(fbstp)},
  {"FLD1",    "D9 E8",   "",    X, F, VT_ALL(fld_constant<C, 0>)},
  {"FLDL2T",  "D9 E9",   "",    X, F, VT_ALL(fld_constant<C, 1>)},
  {"FLDL2E",  "D9 EA",   "",    X, F, VT_ALL(fld_constant<C, 2>)},
  {"FLDPI",   "D9 EB",   "",    X, F, VT_ALL(fld_constant<C, 3>)},
  {"FLDLG2",  "D9 EC",   "",    X, F, VT_ALL(fld_constant<C, 4>)},
  {"FLDLN2",  "D9 ED",   "",    X, F, VT_ALL(fld_constant<C, 5>)},
  {"FLDZ",    "D9 EE",   "",    X, F, VT_ALL(fld_constant<C, 6>)},
  {"FXCH",    "D9 C8+r", "ST",  X, F, VT_1(fxch)},
  {"FDECSTP", "D9 F6",   "",    X, F, VT_ALL(move_top<C, -1>)},
  {"FINCSTP", "D9 F7",   "",    X, F, VT_ALL(move_top<C, 1>)},
  {"FFREE",   "DD C0+r", "ST",  X, F, VT_ALL(ffree<C, false>)},
  {"FCMOVB",  "DA C0+r", "ST",  X, Feature::cmov, VT_ALL(fcmov<C, 0>)},
  {"FCMOVE",  "DA C8+r", "ST",  X, Feature::cmov, VT_ALL(fcmov<C, 1>)},
  {"FCMOVBE", "DA D0+r", "ST",  X, Feature::cmov, VT_ALL(fcmov<C, 2>)},
  {"FCMOVU",  "DA D8+r", "ST",  X, Feature::cmov, VT_ALL(fcmov<C, 3>)},
  {"FCMOVNB", "DB C0+r", "ST",  X, Feature::cmov, VT_ALL(fcmov<C, 4>)},
  {"FCMOVNE", "DB C8+r", "ST",  X, Feature::cmov, VT_ALL(fcmov<C, 5>)},
  {"FCMOVNBE", "DB D0+r", "ST", X, Feature::cmov, VT_ALL(fcmov<C, 6>)},
  {"FCMOVNU", "DB D8+r", "ST",  X, Feature::cmov, VT_ALL(fcmov<C, 7>)},
  // Aliases that the opcode map leaves blank and every x87 executes.
  {"FSTPNCE", "D9 D8+r", "ST",  X, F, VT_1(fstpnce)},
  {"FXCH4",   "DD C8+r", "ST",  X, F, VT_1(fxch)},
  {"FXCH7",   "DF C8+r", "ST",  X, F, VT_1(fxch)},
  {"FSTP8",   "DF D0+r", "ST",  X, F, VT_ALL(fst_st<C, true>)},
  {"FSTP9",   "DF D8+r", "ST",  X, F, VT_ALL(fst_st<C, true>)},
  {"FFREEP",  "DF C0+r", "ST",  X, F, VT_ALL(ffree<C, true>)},
};

}  // namespace

std::span<const Def> x87_move_rows() { return kRows; }

std::span<const Def> x87_rows() {
  static const std::vector<Def> rows = join_rows({x87_control_rows(), x87_move_rows(), x87_arith_rows(), x87_trans_rows()});
  return rows;
}

}  // namespace vt::cpu
