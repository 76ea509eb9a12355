// SPDX-License-Identifier: GPL-2.0-or-later
/// x87 arithmetic and comparison.   SDM 1 "Basic Arithmetic Instructions", "Comparison and Classification Instructions"
#include "insn/x87.hpp"

namespace vt::cpu {
namespace {
using sf::Env, sf::Format, sf::Kind, sf::Num, sf::Order;

// --- FADD FMUL FSUB FDIV and their reverses -------------------------------------------------------------

struct Add { static Num f(Env& e, const Num& d, const Num& s) { return sf::add(e, d, s, e.f80()); } };
struct Mul { static Num f(Env& e, const Num& d, const Num& s) { return sf::mul(e, d, s, e.f80()); } };
struct Sub { static Num f(Env& e, const Num& d, const Num& s) { return sf::sub(e, d, s, e.f80()); } };
struct SubR { static Num f(Env& e, const Num& d, const Num& s) { return sf::sub(e, s, d, e.f80()); } };
struct Div { static Num f(Env& e, const Num& d, const Num& s) { return sf::div(e, d, s, e.f80()); } };
struct DivR { static Num f(Env& e, const Num& d, const Num& s) { return sf::div(e, s, d, e.f80()); } };

/// ST(to) = Op(ST(to), source); `source` is not looked at when `empty`.
template <class C, class Op>
void arith(C& c, const Insn& i, unsigned to, const Num& source, bool empty, bool pop) {
  if (empty || st_empty(c.fpu, to)) {
    if (!fpu_stack_fault(c, i, false)) return;
    set_st(c.fpu, to, kIndefinite);
  } else {
    Env e = fpu_env(c.fpu);
    const Num v = Op::f(e, sf::unpack(st(c.fpu, to)), source);
    if (!fpu_settle(c, i, e)) return;
    set_st(c.fpu, to, sf::pack80(v));
  }
  if (pop) fpu_pop(c.fpu);
}
template <class C, class Op, class T>
Next arith_float(C& c, const Insn& i) {
  T v;
  if (!fpu_ready(c) || !c.load(i, v)) return Next::fault;
  arith<C, Op>(c, i, 0, sf::unpack(v), false, false);
  return Next::seq;
}
template <class C, class Op, class T>
Next arith_int(C& c, const Insn& i) {
  T v;
  if (!fpu_ready(c) || !c.load(i, v)) return Next::fault;
  arith<C, Op>(c, i, 0, sf::from_int(v), false, false);
  return Next::seq;
}
template <class C, class Op>
Next arith_st0(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  arith<C, Op>(c, i, 0, sf::unpack(st(c.fpu, i.rm)), st_empty(c.fpu, i.rm), false);
  return Next::seq;
}
template <class C, class Op, bool Pop>
Next arith_sti(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  arith<C, Op>(c, i, i.rm, sf::unpack(st(c.fpu, 0)), st_empty(c.fpu, 0), Pop);
  return Next::seq;
}

// --- one operand ------------------------------------------------------------------------------------------

template <class C, class F>
Next unary(C& c, const Insn& i, F f) {
  if (!fpu_ready(c)) return Next::fault;
  if (st_empty(c.fpu, 0)) {
    if (fpu_stack_fault(c, i, false)) set_st(c.fpu, 0, kIndefinite);
    return Next::seq;
  }
  Env e = fpu_env(c.fpu);
  const X87Reg v = f(e, st(c.fpu, 0));
  if (fpu_settle(c, i, e)) set_st(c.fpu, 0, v);
  return Next::seq;
}
template <class C> Next fchs(C& c, const Insn& i) {
  return unary(c, i, [](Env&, X87Reg v) { v.se ^= 0x8000; return v; });
}
template <class C> Next fabs(C& c, const Insn& i) {
  return unary(c, i, [](Env&, X87Reg v) { v.se &= 0x7fff; return v; });
}
template <class C> Next fsqrt(C& c, const Insn& i) {
  return unary(c, i, [](Env& e, const X87Reg& v) { return sf::pack80(sf::sqrt(e, sf::unpack(v), e.f80())); });
}
template <class C> Next frndint(C& c, const Insn& i) {
  return unary(c, i, [](Env& e, const X87Reg& v) {
    const Num a = sf::unpack(v);
    if (a.denormal) e.flags |= sf::DE;
    return sf::pack80(sf::round_to_integral(e, a, e.rc));
  });
}

/// ST(0) * 2^trunc(ST(1)).   SDM 2A "FSCALE": table of results
Num scale(Env& e, const Num& a, const Num& b) {
  if (a.nan() || b.nan()) return sf::propagate(e, a, b);
  if (b.kind == Kind::inf) {
    if (b.sign ? a.kind == Kind::inf : a.kind == Kind::zero) return sf::invalid(e);
    if (a.denormal) e.flags |= sf::DE;
    if (b.sign) return {Kind::zero, a.sign};
    return {Kind::inf, a.sign};
  }
  if (a.denormal || b.denormal) e.flags |= sf::DE;
  if (a.kind != Kind::finite) return a;
  i32 n = 0;
  if (b.kind == Kind::finite && b.exp >= 0) n = b.exp > 16 ? 0x20000 : static_cast<i32>(b.sig >> (63 - b.exp));
  if (b.sign) n = -n;
  sf::Exact x = sf::exact(a);
  if (b.kind == Kind::zero) {  // nothing is scaled: no underflow
    Env quiet = e;
    quiet.masks |= sf::UE;
    return sf::round(quiet, x, sf::kF80);
  }
  x.exp += n;
  Num v = sf::round(e, x, sf::kF80);
  // Unmasked overflow or underflow beyond what the adjusted exponent can hold.
  const bool too_big = v.kind == Kind::finite && v.exp > sf::kF80.emax, too_small = v.kind == Kind::finite && v.exp < sf::kF80.emin;
  if (too_big) v = {Kind::inf, a.sign};
  if (too_small) v = {Kind::zero, a.sign};
  if (too_big || too_small) e.flags |= sf::PE, e.rounded_up = too_big;
  return v;
}
template <class C>
Next fscale(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  struct Op { static Num f(Env& e, const Num& a, const Num& b) { return scale(e, a, b); } };
  arith<C, Op>(c, i, 0, sf::unpack(st(c.fpu, 1)), st_empty(c.fpu, 1), false);
  return Next::seq;
}

template <class C>
Next fxtract(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  const bool underflow = st_empty(c.fpu, 0);
  X87Reg exponent = kIndefinite, significand = kIndefinite;
  if (underflow || !st_empty(c.fpu, 7)) {
    if (!fpu_stack_fault(c, i, !underflow)) return Next::seq;
  } else {
    Env e = fpu_env(c.fpu);
    Num a = sf::unpack(st(c.fpu, 0)), x{Kind::inf};
    if (a.nan()) {
      x = a = sf::propagate(e, a);
    } else if (a.kind == Kind::zero) {
      e.flags |= sf::ZE, x.sign = true;
    } else if (a.kind == Kind::finite) {
      if (a.denormal) e.flags |= sf::DE;
      x = sf::from_int(a.exp), a.exp = 0;
    }
    if (!fpu_settle(c, i, e)) return Next::seq;
    exponent = sf::pack80(x), significand = sf::pack80(a);
  }
  set_st(c.fpu, 0, exponent);
  fpu_push(c.fpu, significand);
  return Next::seq;
}

// C2 is cleared in any case but that of a partial result.
/// FPREM, FPREM1. Exponents 64 or more apart: one partial reduction by 2^N, N from 32 to 63 (C2 set).
struct Remainder { Num v; u64 quotient = 0; bool partial = false, quotient_known = false; };
Remainder remainder(Env& e, const Num& a, const Num& b, bool nearest) {
  Remainder r;
  if (a.nan() || b.nan()) return r.v = sf::propagate(e, a, b), r;
  if (a.kind == Kind::inf || b.kind == Kind::zero) return r.v = sf::invalid(e), r;
  if (a.denormal || b.denormal) e.flags |= sf::DE;
  r.v = a, r.quotient_known = true;
  if (a.kind == Kind::zero) return r;
  if (b.kind == Kind::inf) {  // the dividend as it is: no underflow
    Env quiet = e;
    quiet.masks |= sf::UE;
    return r.v = sf::round(quiet, sf::exact(a), sf::kF80), r;
  }
  const i32 d = a.exp - b.exp;
  u128 rest = a.sig;
  i32 exp = a.exp;
  bool sign = a.sign;
  if (d >= 0) {
    i32 steps = d;
    if (d >= 64) r.partial = true, steps = 32 + (d & 31);
    for (i32 k = 0;; ++k) {
      r.quotient = r.quotient << 1 | (rest >= b.sig);
      if (rest >= b.sig) rest -= b.sig;
      if (k == steps) break;
      rest <<= 1;
    }
    exp = a.exp - steps;
  }
  if (nearest && !r.partial && d >= -1) {
    const u128 divisor = static_cast<u128>(b.sig) << (d < 0 ? 1 : 0);
    if (2 * rest > divisor || (2 * rest == divisor && (r.quotient & 1))) rest = divisor - rest, sign = !sign, ++r.quotient;
  }
  if (!rest) return r.v = {Kind::zero, a.sign}, r;
  r.v = sf::round(e, sf::normalize(sign, exp + 64, rest), sf::kF80);
  return r;
}
template <class C, bool Nearest>
Next fprem(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  if (st_empty(c.fpu, 0) || st_empty(c.fpu, 1)) {
    c.fpu.sw &= static_cast<u16>(~fsw::C2);
    if (fpu_stack_fault(c, i, false)) set_st(c.fpu, 0, kIndefinite);
    return Next::seq;
  }
  Env e = fpu_env(c.fpu);
  const Remainder r = remainder(e, sf::unpack(st(c.fpu, 0)), sf::unpack(st(c.fpu, 1)), Nearest);
  c.fpu.sw &= static_cast<u16>(~fsw::C2);
  if (!fpu_settle(c, i, e)) return Next::seq;
  set_st(c.fpu, 0, sf::pack80(r.v));
  if (!r.quotient_known) return Next::seq;  // C0 and C3 are undefined: they stay
  const u64 q = r.partial ? 0 : r.quotient;
  c.fpu.sw = static_cast<u16>((c.fpu.sw & ~fsw::kCond) | (r.partial ? fsw::C2 : 0) | (q & 1 ? fsw::C1 : 0) | (q & 2 ? fsw::C3 : 0) | (q & 4 ? fsw::C0 : 0));
  return Next::seq;
}

// --- comparison -------------------------------------------------------------------------------------------

u16 condition(Order o) {
  switch (o) {
    case Order::greater: return 0;
    case Order::less: return fsw::C0;
    case Order::equal: return fsw::C3;
    case Order::unordered: return fsw::C0 | fsw::C2 | fsw::C3;
  }
  return 0;
}
template <class C>
void compare_with(C& c, const Insn& i, const Num& b, bool empty, bool quiet, unsigned pops) {
  Order o = Order::unordered;
  if (empty || st_empty(c.fpu, 0)) {
    if (!fpu_stack_fault(c, i, false)) pops = 0;
  } else {
    Env e = fpu_env(c.fpu);
    const Num a = sf::unpack(st(c.fpu, 0));
    o = sf::compare(e, a, b, quiet);
    if (!fpu_settle(c, i, e)) pops = 0;
  }
  c.fpu.sw = static_cast<u16>((c.fpu.sw & ~fsw::kCond) | condition(o));  // also with an unmasked exception, which keeps the stack only
  while (pops--) fpu_pop(c.fpu);
}
template <class C, class T, bool Pop>
Next fcom_float(C& c, const Insn& i) {
  T v;
  if (!fpu_ready(c) || !c.load(i, v)) return Next::fault;
  compare_with(c, i, sf::unpack(v), false, false, Pop);
  return Next::seq;
}
template <class C, class T, bool Pop>
Next ficom(C& c, const Insn& i) {
  T v;
  if (!fpu_ready(c) || !c.load(i, v)) return Next::fault;
  compare_with(c, i, sf::from_int(v), false, false, Pop);
  return Next::seq;
}
template <class C, bool Quiet, unsigned Pops>
Next fcom_st(C& c, const Insn& i) {  // FCOM, FUCOM; the double pops compare with ST(1), which i.rm is
  if (!fpu_ready(c)) return Next::fault;
  compare_with(c, i, sf::unpack(st(c.fpu, i.rm)), st_empty(c.fpu, i.rm), Quiet, Pops);
  return Next::seq;
}
template <class C>
Next ftst(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  compare_with(c, i, Num{}, false, false, 0);
  return Next::seq;
}
// OF, SF and AF are cleared; C1 stays but for a stack fault.
template <class C, bool Quiet, bool Pop>
Next fcomi(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  Order o = Order::unordered;
  bool done;  // no unmasked exception; EFLAGS are written in any case, as silicon does
  if (st_empty(c.fpu, 0) || st_empty(c.fpu, i.rm)) {
    done = fpu_stack_fault(c, i, false);
  } else {
    Env e = fpu_env(c.fpu);
    o = sf::compare(e, sf::unpack(st(c.fpu, 0)), sf::unpack(st(c.fpu, i.rm)), Quiet);
    const u16 c1 = c.fpu.sw & fsw::C1;
    done = fpu_settle(c, i, e);
    c.fpu.sw |= c1;
  }
  const u16 bits = condition(o);
  c.lf.set((bits & fsw::C0 ? rflags::CF : 0) | (bits & fsw::C2 ? rflags::PF : 0) | (bits & fsw::C3 ? rflags::ZF : 0));
  if (Pop && done) fpu_pop(c.fpu);
  return Next::seq;
}
template <class C>
Next fxam(C& c, const Insn& i) {  // the sign is reported for an empty register, too
  if (!fpu_ready(c)) return Next::fault;
  note_instruction(c, i);
  const X87Reg& v = st(c.fpu, 0);
  u16 bits = v.se & 0x8000 ? fsw::C1 : 0;
  const Num a = sf::unpack(v);
  if (st_empty(c.fpu, 0)) bits |= fsw::C3 | fsw::C0;
  else if (a.kind == Kind::zero) bits |= fsw::C3;
  else if (a.denormal) bits |= fsw::C3 | fsw::C2;
  else if (a.kind == Kind::finite) bits |= fsw::C2;
  else if (a.kind == Kind::inf) bits |= fsw::C2 | fsw::C0;
  else if (a.kind != Kind::unsupported) bits |= fsw::C0;
  c.fpu.sw = static_cast<u16>((c.fpu.sw & ~fsw::kCond) | bits);
  return Next::seq;
}

using C = Cpu;
constexpr u32 X = attr::x87;
constexpr Feature F = Feature::fpu;
constexpr Def kRows[] = {
  {"FADD",    "D8 /0",   "Md", X, F, VT_ALL(arith_float<C, Add, u32>)},
  {"FMUL",    "D8 /1",   "Md", X, F, VT_ALL(arith_float<C, Mul, u32>)},
  {"FCOM",    "D8 /2",   "Md", X, F, VT_ALL(fcom_float<C, u32, false>)},
  {"FCOMP",   "D8 /3",   "Md", X, F, VT_ALL(fcom_float<C, u32, true>)},
  {"FSUB",    "D8 /4",   "Md", X, F, VT_ALL(arith_float<C, Sub, u32>)},
  {"FSUBR",   "D8 /5",   "Md", X, F, VT_ALL(arith_float<C, SubR, u32>)},
  {"FDIV",    "D8 /6",   "Md", X, F, VT_ALL(arith_float<C, Div, u32>)},
  {"FDIVR",   "D8 /7",   "Md", X, F, VT_ALL(arith_float<C, DivR, u32>)},
  {"FADD",    "DC /0",   "Mq", X, F, VT_ALL(arith_float<C, Add, u64>)},
  {"FMUL",    "DC /1",   "Mq", X, F, VT_ALL(arith_float<C, Mul, u64>)},
  {"FCOM",    "DC /2",   "Mq", X, F, VT_ALL(fcom_float<C, u64, false>)},
  {"FCOMP",   "DC /3",   "Mq", X, F, VT_ALL(fcom_float<C, u64, true>)},
  {"FSUB",    "DC /4",   "Mq", X, F, VT_ALL(arith_float<C, Sub, u64>)},
  {"FSUBR",   "DC /5",   "Mq", X, F, VT_ALL(arith_float<C, SubR, u64>)},
  {"FDIV",    "DC /6",   "Mq", X, F, VT_ALL(arith_float<C, Div, u64>)},
  {"FDIVR",   "DC /7",   "Mq", X, F, VT_ALL(arith_float<C, DivR, u64>)},
  {"FIADD",   "DA /0",   "Md", X, F, VT_ALL(arith_int<C, Add, i32>)},
  {"FIMUL",   "DA /1",   "Md", X, F, VT_ALL(arith_int<C, Mul, i32>)},
  {"FICOM",   "DA /2",   "Md", X, F, VT_ALL(ficom<C, i32, false>)},
  {"FICOMP",  "DA /3",   "Md", X, F, VT_ALL(ficom<C, i32, true>)},
  {"FISUB",   "DA /4",   "Md", X, F, VT_ALL(arith_int<C, Sub, i32>)},
  {"FISUBR",  "DA /5",   "Md", X, F, VT_ALL(arith_int<C, SubR, i32>)},
  {"FIDIV",   "DA /6",   "Md", X, F, VT_ALL(arith_int<C, Div, i32>)},
  {"FIDIVR",  "DA /7",   "Md", X, F, VT_ALL(arith_int<C, DivR, i32>)},
  {"FIADD",   "DE /0",   "Mw", X, F, VT_ALL(arith_int<C, Add, i16>)},
  {"FIMUL",   "DE /1",   "Mw", X, F, VT_ALL(arith_int<C, Mul, i16>)},
  {"FICOM",   "DE /2",   "Mw", X, F, VT_ALL(ficom<C, i16, false>)},
  {"FICOMP",  "DE /3",   "Mw", X, F, VT_ALL(ficom<C, i16, true>)},
  {"FISUB",   "DE /4",   "Mw", X, F, VT_ALL(arith_int<C, Sub, i16>)},
  {"FISUBR",  "DE /5",   "Mw", X, F, VT_ALL(arith_int<C, SubR, i16>)},
  {"FIDIV",   "DE /6",   "Mw", X, F, VT_ALL(arith_int<C, Div, i16>)},
  {"FIDIVR",  "DE /7",   "Mw", X, F, VT_ALL(arith_int<C, DivR, i16>)},
  {"FADD",    "D8 C0+r", "ST", X, F, VT_ALL(arith_st0<C, Add>)},
  {"FMUL",    "D8 C8+r", "ST", X, F, VT_ALL(arith_st0<C, Mul>)},
  {"FCOM",    "D8 D0+r", "ST", X, F, VT_ALL(fcom_st<C, false, 0>)},
  {"FCOMP",   "D8 D8+r", "ST", X, F, VT_ALL(fcom_st<C, false, 1>)},
  {"FSUB",    "D8 E0+r", "ST", X, F, VT_ALL(arith_st0<C, Sub>)},
  {"FSUBR",   "D8 E8+r", "ST", X, F, VT_ALL(arith_st0<C, SubR>)},
  {"FDIV",    "D8 F0+r", "ST", X, F, VT_ALL(arith_st0<C, Div>)},
  {"FDIVR",   "D8 F8+r", "ST", X, F, VT_ALL(arith_st0<C, DivR>)},
  {"FADD",    "DC C0+r", "ST", X, F, VT_ALL(arith_sti<C, Add, false>)},
  {"FMUL",    "DC C8+r", "ST", X, F, VT_ALL(arith_sti<C, Mul, false>)},
  {"FSUBR",   "DC E0+r", "ST", X, F, VT_ALL(arith_sti<C, SubR, false>)},
  {"FSUB",    "DC E8+r", "ST", X, F, VT_ALL(arith_sti<C, Sub, false>)},
  {"FDIVR",   "DC F0+r", "ST", X, F, VT_ALL(arith_sti<C, DivR, false>)},
  {"FDIV",    "DC F8+r", "ST", X, F, VT_ALL(arith_sti<C, Div, false>)},
  {"FADDP",   "DE C0+r", "ST", X, F, VT_ALL(arith_sti<C, Add, true>)},
  {"FMULP",   "DE C8+r", "ST", X, F, VT_ALL(arith_sti<C, Mul, true>)},
  {"FCOMPP",  "DE D9",   "",   X, F, VT_ALL(fcom_st<C, false, 2>)},
  {"FSUBRP",  "DE E0+r", "ST", X, F, VT_ALL(arith_sti<C, SubR, true>)},
  {"FSUBP",   "DE E8+r", "ST", X, F, VT_ALL(arith_sti<C, Sub, true>)},
  {"FDIVRP",  "DE F0+r", "ST", X, F, VT_ALL(arith_sti<C, DivR, true>)},
  {"FDIVP",   "DE F8+r", "ST", X, F, VT_ALL(arith_sti<C, Div, true>)},
  {"FUCOM",   "DD E0+r", "ST", X, F, VT_ALL(fcom_st<C, true, 0>)},
  {"FUCOMP",  "DD E8+r", "ST", X, F, VT_ALL(fcom_st<C, true, 1>)},
  {"FUCOMPP", "DA E9",   "",   X, F, VT_ALL(fcom_st<C, true, 2>)},
  {"FUCOMI",  "DB E8+r", "ST", X, Feature::cmov, VT_ALL(fcomi<C, true, false>)},
  {"FCOMI",   "DB F0+r", "ST", X, Feature::cmov, VT_ALL(fcomi<C, false, false>)},
  {"FUCOMIP", "DF E8+r", "ST", X, Feature::cmov, VT_ALL(fcomi<C, true, true>)},
  {"FCOMIP",  "DF F0+r", "ST", X, Feature::cmov, VT_ALL(fcomi<C, false, true>)},
  {"FCHS",    "D9 E0",   "",   X, F, VT_1(fchs)},
  {"FABS",    "D9 E1",   "",   X, F, VT_1(fabs)},
  {"FTST",    "D9 E4",   "",   X, F, VT_1(ftst)},
  {"FXAM",    "D9 E5",   "",   X, F, VT_1(fxam)},
  {"FXTRACT", "D9 F4",   "",   X, F, VT_1(fxtract)},
  {"FPREM1",  "D9 F5",   "",   X, F, VT_ALL(fprem<C, true>)},
  {"FPREM",   "D9 F8",   "",   X, F, VT_ALL(fprem<C, false>)},
  {"FSQRT",   "D9 FA",   "",   X, F, VT_1(fsqrt)},
  {"FRNDINT", "D9 FC",   "",   X, F, VT_1(frndint)},
  {"FSCALE",  "D9 FD",   "",   X, F, VT_1(fscale)},
  // Aliases that the opcode map leaves blank and every x87 executes.
  {"FCOM2",   "DC D0+r", "ST", X, F, VT_ALL(fcom_st<C, false, 0>)},
  {"FCOMP3",  "DC D8+r", "ST", X, F, VT_ALL(fcom_st<C, false, 1>)},
  {"FCOMP5",  "DE D0+r", "ST", X, F, VT_ALL(fcom_st<C, false, 1>)},
};

}  // namespace

std::span<const Def> x87_arith_rows() { return kRows; }

}  // namespace vt::cpu
