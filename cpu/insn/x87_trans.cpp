// SPDX-License-Identifier: GPL-2.0-or-later
/// x87 transcendental instructions.   SDM 1 "Trigonometric Instructions", "Logarithmic, Exponential, and Scale"
/// Precision control does not apply to them. F2XM1 outside [-1, 1] leaves the operand as it is.
#include "insn/transcendental.hpp"
#include "insn/x87.hpp"

namespace vt::cpu {
namespace {
using sf::Env, sf::Exact, sf::Kind, sf::Num;

constexpr Num kOneNum{Kind::finite, false, false, 0, u64{1} << 63};
Num infinity(bool sign) { return {Kind::inf, sign}; }
Num zero(bool sign) { return {Kind::zero, sign}; }
/// A finite result of these functions always counts as inexact.
Num rounded(Env& e, const Exact& x) {
  e.flags |= sf::PE;
  return sf::round(e, x, sf::kF80);
}
bool is_one(const Num& a) { return a.kind == Kind::finite && a.exp == 0 && a.sig == u64{1} << 63; }

// --- trigonometry -----------------------------------------------------------------------------------------

// The operand's quadrant is exact up to 2^63; beyond, C2 is set and nothing else happens.
struct Trig { Num first, second; bool out_of_range = false; };
enum class TrigFn { sin, cos, sincos, tan };
Trig trig(Env& e, const Num& a, TrigFn fn) {
  Trig t;
  t.second = kOneNum;
  if (a.nan() || a.kind == Kind::inf) {
    t.first = t.second = a.nan() ? sf::propagate(e, a) : sf::invalid(e);
    return t;
  }
  if (a.kind == Kind::zero) return t.first = fn == TrigFn::cos ? kOneNum : a, t;
  if (a.exp >= 63) return t.out_of_range = true, t;
  if (a.denormal) e.flags |= sf::DE;
  if (a.exp < -64) {  // sin x = tan x = x, cos x = 1 to the last place in every rounding mode
    e.flags |= sf::PE;
    if (fn != TrigFn::cos && a.exp < sf::kF80.emin) e.flags |= sf::UE;
    t.first = fn == TrigFn::cos ? kOneNum : sf::round(e, sf::exact(a), sf::kF80);
    return t;
  }
  const sf::SinCos v = sf::sin_cos(sf::exact(a));
  if (fn == TrigFn::tan) t.first = rounded(e, sf::tangent(v));
  else t.first = rounded(e, fn == TrigFn::cos ? v.cos : v.sin);
  if (fn == TrigFn::sincos) t.second = rounded(e, v.cos);
  return t;
}
template <class C, TrigFn Fn>
Next trigonometric(C& c, const Insn& i) {
  constexpr bool pushes = Fn == TrigFn::sincos || Fn == TrigFn::tan;
  if (!fpu_ready(c)) return Next::fault;
  const bool underflow = st_empty(c.fpu, 0);
  if (underflow || (pushes && !st_empty(c.fpu, 7))) {
    const bool masked = fpu_stack_fault(c, i, !underflow);
    c.fpu.sw &= static_cast<u16>(~fsw::C2);
    if (!masked) return Next::seq;
    set_st(c.fpu, 0, kIndefinite);
    if (pushes) fpu_push(c.fpu, kIndefinite);
    return Next::seq;
  }
  Env e = fpu_env(c.fpu);
  const Trig t = trig(e, sf::unpack(st(c.fpu, 0)), Fn);
  c.fpu.sw &= static_cast<u16>(~fsw::C2);
  if (!fpu_settle(c, i, e)) return Next::seq;
  if (t.out_of_range) {
    c.fpu.sw |= fsw::C2;
    return Next::seq;
  }
  set_st(c.fpu, 0, sf::pack80(t.first));
  if (pushes) fpu_push(c.fpu, sf::pack80(t.second));
  return Next::seq;
}

/// SDM 2A "FPATAN": table of results
Num arctangent(Env& e, const Num& y, const Num& x) {
  if (y.nan() || x.nan()) return sf::propagate(e, x, y);
  if (y.denormal || x.denormal) e.flags |= sf::DE;
  if (y.kind == Kind::inf) return rounded(e, sf::pi_quarters(y.sign, x.kind != Kind::inf ? 2 : x.sign ? 3 : 1));
  if (y.kind == Kind::zero || x.kind == Kind::inf) return x.sign ? rounded(e, sf::pi_quarters(y.sign, 4)) : zero(y.sign);
  if (x.kind == Kind::zero) return rounded(e, sf::pi_quarters(y.sign, 2));
  return rounded(e, sf::arctangent(sf::exact(y), sf::exact(x)));
}

// --- logarithms -------------------------------------------------------------------------------------------

/// SDM 2A "FYL2X": table of results
Num y_log2(Env& e, const Num& y, const Num& x) {
  if (y.nan() || x.nan()) return sf::propagate(e, x, y);
  const bool any_denormal = x.denormal || y.denormal;
  auto denormal = [&] { if (any_denormal) e.flags |= sf::DE; };
  if (x.kind == Kind::zero) {
    if (y.kind == Kind::zero) return sf::invalid(e);
    if (y.kind == Kind::finite) e.flags |= sf::ZE;
    return infinity(!y.sign);
  }
  if (x.sign) return sf::invalid(e);
  if (x.kind == Kind::inf) {
    if (y.kind == Kind::zero) return sf::invalid(e);
    denormal();
    return infinity(y.sign);
  }
  const bool below_one = x.exp < 0;
  if (y.kind == Kind::inf) {
    if (is_one(x)) return sf::invalid(e);
    denormal();
    return infinity(y.sign != below_one);
  }
  denormal();
  if (y.kind == Kind::zero || is_one(x)) return zero(y.sign != below_one);
  return rounded(e, sf::y_log2(sf::exact(y), sf::exact(x)));
}
/// SDM 2A "FYL2XP1". Beyond the range of the manual up to -1 it computes on; at -1 and below it is invalid.
Num y_log2_plus_1(Env& e, const Num& y, const Num& x) {
  if (y.nan() || x.nan()) return sf::propagate(e, x, y);
  if (x.sign && (x.kind == Kind::inf || (x.kind == Kind::finite && x.exp >= 0))) return sf::invalid(e);
  if ((y.kind == Kind::inf && x.kind == Kind::zero) || (x.kind == Kind::inf && y.kind == Kind::zero)) return sf::invalid(e);
  if (x.denormal || y.denormal) e.flags |= sf::DE;
  if (y.kind == Kind::inf || x.kind == Kind::inf) return infinity(y.sign != x.sign);
  if (y.kind == Kind::zero || x.kind == Kind::zero) return zero(y.sign != x.sign);
  return rounded(e, sf::y_log2_plus_1(sf::exact(y), sf::exact(x)));
}

/// Function of ST(1) and ST(0), into ST(1), and a pop.
template <class C, Num (*F)(Env&, const Num&, const Num&)>
Next binary_pop(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  X87Reg v = kIndefinite;
  if (st_empty(c.fpu, 0) || st_empty(c.fpu, 1)) {
    if (!fpu_stack_fault(c, i, false)) return Next::seq;
  } else {
    Env e = fpu_env(c.fpu);
    v = sf::pack80(F(e, sf::unpack(st(c.fpu, 1)), sf::unpack(st(c.fpu, 0))));
    if (!fpu_settle(c, i, e)) return Next::seq;
  }
  set_st(c.fpu, 1, v);
  fpu_pop(c.fpu);
  return Next::seq;
}

template <class C>
Next f2xm1(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  X87Reg v = kIndefinite;
  if (st_empty(c.fpu, 0)) {
    if (!fpu_stack_fault(c, i, false)) return Next::seq;
  } else {
    Env e = fpu_env(c.fpu);
    Num a = sf::unpack(st(c.fpu, 0));
    if (a.nan()) a = sf::propagate(e, a);
    else if (a.kind == Kind::inf) { if (a.sign) a = kOneNum, a.sign = true; }
    else if (a.kind == Kind::finite && (a.exp < 0 || is_one(a))) {
      if (a.denormal) e.flags |= sf::DE;
      a = rounded(e, sf::exp2_minus_1(sf::exact(a)));
    }
    if (!fpu_settle(c, i, e)) return Next::seq;
    v = sf::pack80(a);
  }
  set_st(c.fpu, 0, v);
  return Next::seq;
}

using C = Cpu;
constexpr u32 X = attr::x87;
constexpr Feature F = Feature::fpu;
constexpr Def kRows[] = {
  {"F2XM1",   "D9 F0", "", X, F, VT_1(f2xm1)},
  {"FYL2X",   "D9 F1", "", X, F, VT_ALL(binary_pop<C, y_log2>)},
  {"FPTAN",   "D9 F2", "", X, F, VT_ALL(trigonometric<C, TrigFn::tan>)},
  {"FPATAN",  "D9 F3", "", X, F, VT_ALL(binary_pop<C, arctangent>)},
  {"FYL2XP1", "D9 F9", "", X, F, VT_ALL(binary_pop<C, y_log2_plus_1>)},
  {"FSINCOS", "D9 FB", "", X, F, VT_ALL(trigonometric<C, TrigFn::sincos>)},
  {"FSIN",    "D9 FE", "", X, F, VT_ALL(trigonometric<C, TrigFn::sin>)},
  {"FCOS",    "D9 FF", "", X, F, VT_ALL(trigonometric<C, TrigFn::cos>)},
};

}  // namespace

std::span<const Def> x87_trans_rows() { return kRows; }

}  // namespace vt::cpu
