// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE and SSE2 conversions between floats and integers, with AVX's forms of them.   SDM 1 "SSE2 Conversion Instructions"
/// Out of range and NaN: IE, and the integer indefinite (80..0).
#include "insn/sse_float.hpp"
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {
using sf::Env, sf::Round;

template <class I, class T>
I to_integer(Env& e, T v, bool truncate) {
  return static_cast<I>(sf::to_int(e, number(e, v), 8 * sizeof(I), truncate ? Round::zero : e.rc));
}
template <class T>
T from_integer(Env& e, i64 v) {
  const sf::Num n = sf::from_int(v);
  return encode<T>(n.kind == sf::Kind::zero ? n : sf::round(e, sf::exact(n), kFormat<T>));
}
template <class To, class From>
To change(Env& e, From v) { return encode<To>(sf::convert(e, number(e, v), kFormat<To>)); }

// --- scalars ----------------------------------------------------------------------------------------------

template <class C, bool M, class, class U, class T, bool Truncate>
Next to_gpr(C& c, const Insn& i) {  // CVTSS2SI, CVTTSD2SI ...
  T v;
  if (!low_source<M>(c, i, v)) return Next::fault;
  Env e = sse_env(c);
  const auto n = to_integer<std::make_signed_t<U>>(e, v, Truncate);
  if (!sse_settle(c, e)) return Next::fault;
  c.template set_reg<U>(i.reg, static_cast<U>(n));
  return Next::seq;
}
template <class C, bool M, class E, class U, class T>
Next from_gpr(C& c, const Insn& i) {  // CVTSI2SS, CVTSI2SD
  std::make_signed_t<U> v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = static_cast<std::make_signed_t<U>>(c.r[i.rm]);
  Env e = sse_env(c);
  const T x = from_integer<T>(e, v);
  if (!sse_settle(c, e)) return Next::fault;
  set_low<E>(c, i, x);
  return Next::seq;
}
template <class C, bool M, class E, class To, class From>
Next cvt_scalar(C& c, const Insn& i) {  // CVTSS2SD, CVTSD2SS
  From v;
  if (!low_source<M>(c, i, v)) return Next::fault;
  Env e = sse_env(c);
  const To x = change<To>(e, v);
  if (!sse_settle(c, e)) return Next::fault;
  set_low<E>(c, i, x);
  return Next::seq;
}

// --- packed: lanes one by one; a shorter result is in the low half with zeros above ------------------------

struct Widen { template <class To, class From> static To f(Env& e, From v) { return change<To>(e, v); } };
struct FromInt { template <class To, class From> static To f(Env& e, From v) { return from_integer<To>(e, static_cast<std::make_signed_t<From>>(v)); } };
template <bool Truncate>
struct ToInt { template <class To, class From> static To f(Env& e, From v) { return static_cast<To>(to_integer<std::make_signed_t<To>>(e, v, Truncate)); } };

template <class Op, class To, class From, class Out, class In>
Out convert_lanes(Env& e, const In& from) {
  const auto x = lanes_of<From>(from);
  LaneArray<To, Out> to{};
  for (std::size_t k = 0; k < std::min(x.size(), to.size()); ++k) to[k] = Op::template f<To>(e, x[k]);
  return from_lanes<Out>(to);
}
// As many lanes as the wider side has room for. A narrower source in memory is no more than those, and needs no alignment.
template <class C, bool M, class E, class To, class From, class Op>
Next cvt_packed(C& c, const Insn& i) {
  constexpr std::size_t n = sizeof(Vec<E>) / std::max(sizeof(To), sizeof(From));
  std::array<From, n> from;
  if constexpr (sizeof(To) > sizeof(From)) {
    if (!low_source<M>(c, i, from)) return Next::fault;
  } else {
    Vec<E> v;
    if (!source<E, M>(c, i, v)) return Next::fault;
    from = lanes_of<From>(v);
  }
  Env e = sse_env(c);
  std::array<To, n> to;
  for (std::size_t k = 0; k < n; ++k) to[k] = Op::template f<To>(e, from[k]);
  if (!sse_settle(c, e)) return Next::fault;
  if constexpr (sizeof(To) < sizeof(From)) set_zeroed<E>(c, i.reg, to);
  else set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(to));
  return Next::seq;
}
// To an MMX register: from 64 bits (singles) or 128 bits (doubles, aligned).
template <class C, bool M, class T, bool Truncate>
Next to_mmx(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  V128 from{};
  if constexpr (sizeof(T) == 4) { if (!xmm_low_source<C, M>(c, i, from.q[0])) return Next::fault; }
  else if (!xmm_source<C, M>(c, i, from)) return Next::fault;
  Env e = sse_env(c);
  V64 to;
  if constexpr (sizeof(T) == 4) to = convert_lanes<ToInt<Truncate>, u32, T, V64>(e, V64{{from.q[0]}});
  else to = convert_lanes<ToInt<Truncate>, u32, T, V64>(e, from);
  mmx_enter(c);  // even if an exception is raised
  if (!sse_settle(c, e)) return Next::fault;
  set_mm(c, i.reg, to);
  return Next::seq;
}
// CVTPI2PS, CVTPI2PD. With a memory operand they touch no MMX register: no transition, no #MF.
template <class C, bool M, class T>
Next from_mmx(C& c, const Insn& i) {
  constexpr bool transition = !M;
  if (transition && !fpu_ready(c)) return Next::fault;
  V64 from;
  if (!mm_source<C, M>(c, i, from)) return Next::fault;
  Env e = sse_env(c);
  V128 to = xmm(c, i.reg);
  if constexpr (sizeof(T) == 4) to.q[0] = convert_lanes<FromInt, T, u32, V64>(e, from).q[0];
  else to = convert_lanes<FromInt, T, u32, V128>(e, from);
  if (transition) mmx_enter(c);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm(c, i.reg, to);
  return Next::seq;
}

using C = Cpu;
using enum Feature;
constexpr u32 S = attr::sse, SM = attr::sse | attr::mmx;
#define VT_TO_GPR(name, pp, op, feature, T, Truncate) \
  {name, pp " 0F " op " /r", "Gd/q,Wx", S, feature, VT_EW(to_gpr, Sse, T, Truncate)}, {"V" name, "VEX.LIG." pp ".0F " op " /r", "Gd/q,Wx", attr::avx, avx, VT_EW(to_gpr, Vex128, T, Truncate)}
#define VT_FROM_GPR(name, pp, feature, T) \
  {name, pp " 0F 2A /r", "Vx,Ed/q", S, feature, VT_EW(from_gpr, Sse, T)}, {"V" name, "VEX.LIG." pp ".0F 2A /r", "Vx,Hx,Ed/q", attr::avx, avx, VT_EW(from_gpr, Vex128, T)}
#define VT_CVT(name, pp, op, To, From, Op) VT_2(name, pp, 0F, op " /r", "", sse2, avx, cvt_packed, To, From, Op)
constexpr Def kRows[] = {
  {"CVTPI2PS",  "NP 0F 2A /r", "Vq,Nq",    SM, sse,  VT_OP(from_mmx, u32)},
  {"CVTPI2PS",  "NP 0F 2A /r", "Vq,Mq",    S,  sse,  VT_OP(from_mmx, u32)},
  {"CVTPI2PD",  "66 0F 2A /r", "Vdq,Nq",   SM, sse2, VT_OP(from_mmx, u64)},
  {"CVTPI2PD",  "66 0F 2A /r", "Vdq,Mq",   S,  sse2, VT_OP(from_mmx, u64)},
  {"CVTTPS2PI", "NP 0F 2C /r", "Pq,Wq",    SM, sse,  VT_OP(to_mmx, u32, true)},
  {"CVTTPD2PI", "66 0F 2C /r", "Pq,Wdq",   SM, sse2, VT_OP(to_mmx, u64, true)},
  {"CVTPS2PI",  "NP 0F 2D /r", "Pq,Wq",    SM, sse,  VT_OP(to_mmx, u32, false)},
  {"CVTPD2PI",  "66 0F 2D /r", "Pq,Wdq",   SM, sse2, VT_OP(to_mmx, u64, false)},
  VT_FROM_GPR("CVTSI2SS", "F3", sse, u32),
  VT_FROM_GPR("CVTSI2SD", "F2", sse2, u64),
  VT_TO_GPR("CVTTSS2SI", "F3", "2C", sse, u32, true),
  VT_TO_GPR("CVTTSD2SI", "F2", "2C", sse2, u64, true),
  VT_TO_GPR("CVTSS2SI", "F3", "2D", sse, u32, false),
  VT_TO_GPR("CVTSD2SI", "F2", "2D", sse2, u64, false),
  VT_CVT("CVTPS2PD", "NP", "5A", u64, u32, Widen),
  VT_CVT("CVTPD2PS", "66", "5A", u32, u64, Widen),
  VT_3S("CVTSS2SD", "F3", 0F, "5A /r", "", sse2, cvt_scalar, u64, u32),
  VT_3S("CVTSD2SS", "F2", 0F, "5A /r", "", sse2, cvt_scalar, u32, u64),
  VT_CVT("CVTDQ2PS", "NP", "5B", u32, u32, FromInt),
  VT_CVT("CVTPS2DQ", "66", "5B", u32, u32, ToInt<false>),
  VT_CVT("CVTTPS2DQ", "F3", "5B", u32, u32, ToInt<true>),
  VT_CVT("CVTTPD2DQ", "66", "E6", u32, u64, ToInt<true>),
  VT_CVT("CVTDQ2PD", "F3", "E6", u64, u32, FromInt),
  VT_CVT("CVTPD2DQ", "F2", "E6", u32, u64, ToInt<false>),
};

}  // namespace

std::span<const Def> sse_convert_rows() { return kRows; }

}  // namespace vt::cpu
