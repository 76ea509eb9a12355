// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE and SSE2 conversions between floats and integers.   SDM 1 "SSE2 Conversion Instructions"
/// Out of range and NaN: IE, and the integer indefinite (80..0).
#include "insn/sse_float.hpp"

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

template <class C, bool M, class T, class I, bool Truncate>
Next to_gpr(C& c, const Insn& i) {  // CVTSS2SI, CVTTSD2SI ...
  T v;
  if (!xmm_low_source<C, M>(c, i, v)) return Next::fault;
  Env e = sse_env(c);
  const I n = to_integer<I>(e, v, Truncate);
  if (!sse_settle(c, e)) return Next::fault;
  c.template set_reg<std::make_unsigned_t<I>>(i.reg, static_cast<std::make_unsigned_t<I>>(n));
  return Next::seq;
}
template <class C, bool M, class T, class I>
Next from_gpr(C& c, const Insn& i) {  // CVTSI2SS, CVTSI2SD
  I v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = static_cast<I>(c.r[i.rm]);
  Env e = sse_env(c);
  const T x = from_integer<T>(e, v);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm_low(c, i.reg, x);
  return Next::seq;
}
template <class C, bool M, class To, class From>
Next cvt_scalar(C& c, const Insn& i) {  // CVTSS2SD, CVTSD2SS
  From v;
  if (!xmm_low_source<C, M>(c, i, v)) return Next::fault;
  Env e = sse_env(c);
  const To x = change<To>(e, v);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm_low(c, i.reg, x);
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
template <class C, bool M, class To, class From, class Op>
Next cvt_packed(C& c, const Insn& i) {
  V128 from{};
  if constexpr (M && sizeof(To) > sizeof(From)) { if (!c.load(i, from.q[0])) return Next::fault; }
  else if (!xmm_source<C, M>(c, i, from)) return Next::fault;
  Env e = sse_env(c);
  const V128 to = convert_lanes<Op, To, From, V128>(e, from);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm(c, i.reg, to);
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
  if (!sse_settle(c, e)) return Next::fault;
  mmx_enter(c);
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
  if (!sse_settle(c, e)) return Next::fault;
  if (transition) mmx_enter(c);
  set_xmm(c, i.reg, to);
  return Next::seq;
}

using C = Cpu;
using enum Feature;
constexpr u32 S = attr::sse, SM = attr::sse | attr::mmx;
// 64-bit general registers with REX.W: f<C, M, A..., i32 or i64, Z...>
#define VT_GPR(f, T, ...) {{run<C, f<C, false, T, i32 __VA_ARGS__>, true>, run<C, f<C, true, T, i32 __VA_ARGS__>, true>}, \
  {run<C, f<C, false, T, i32 __VA_ARGS__>, true>, run<C, f<C, true, T, i32 __VA_ARGS__>, true>}, \
  {run<C, f<C, false, T, i64 __VA_ARGS__>, true>, run<C, f<C, true, T, i64 __VA_ARGS__>, true>}}
#define VT_COMMA ,
constexpr Def kRows[] = {
  {"CVTPI2PS",  "NP 0F 2A /r", "Vq,Nq",    SM, sse,  VT_OP(from_mmx, u32)},
  {"CVTPI2PS",  "NP 0F 2A /r", "Vq,Mq",    S,  sse,  VT_OP(from_mmx, u32)},
  {"CVTPI2PD",  "66 0F 2A /r", "Vdq,Nq",   SM, sse2, VT_OP(from_mmx, u64)},
  {"CVTPI2PD",  "66 0F 2A /r", "Vdq,Mq",   S,  sse2, VT_OP(from_mmx, u64)},
  {"CVTSI2SS",  "F3 0F 2A /r", "Vd,Ed/q",  S,  sse,  VT_GPR(from_gpr, u32)},
  {"CVTSI2SD",  "F2 0F 2A /r", "Vq,Ed/q",  S,  sse2, VT_GPR(from_gpr, u64)},
  {"CVTTPS2PI", "NP 0F 2C /r", "Pq,Wq",    SM, sse,  VT_OP(to_mmx, u32, true)},
  {"CVTTPD2PI", "66 0F 2C /r", "Pq,Wdq",   SM, sse2, VT_OP(to_mmx, u64, true)},
  {"CVTTSS2SI", "F3 0F 2C /r", "Gd/q,Wd",  S,  sse,  VT_GPR(to_gpr, u32, VT_COMMA true)},
  {"CVTTSD2SI", "F2 0F 2C /r", "Gd/q,Wq",  S,  sse2, VT_GPR(to_gpr, u64, VT_COMMA true)},
  {"CVTPS2PI",  "NP 0F 2D /r", "Pq,Wq",    SM, sse,  VT_OP(to_mmx, u32, false)},
  {"CVTPD2PI",  "66 0F 2D /r", "Pq,Wdq",   SM, sse2, VT_OP(to_mmx, u64, false)},
  {"CVTSS2SI",  "F3 0F 2D /r", "Gd/q,Wd",  S,  sse,  VT_GPR(to_gpr, u32, VT_COMMA false)},
  {"CVTSD2SI",  "F2 0F 2D /r", "Gd/q,Wq",  S,  sse2, VT_GPR(to_gpr, u64, VT_COMMA false)},
  {"CVTPS2PD",  "NP 0F 5A /r", "Vdq,Wq",   S,  sse2, VT_OP(cvt_packed, u64, u32, Widen)},
  {"CVTPD2PS",  "66 0F 5A /r", "Vdq,Wdq",  S,  sse2, VT_OP(cvt_packed, u32, u64, Widen)},
  {"CVTSS2SD",  "F3 0F 5A /r", "Vq,Wd",    S,  sse2, VT_OP(cvt_scalar, u64, u32)},
  {"CVTSD2SS",  "F2 0F 5A /r", "Vd,Wq",    S,  sse2, VT_OP(cvt_scalar, u32, u64)},
  {"CVTDQ2PS",  "NP 0F 5B /r", "Vdq,Wdq",  S,  sse2, VT_OP(cvt_packed, u32, u32, FromInt)},
  {"CVTPS2DQ",  "66 0F 5B /r", "Vdq,Wdq",  S,  sse2, VT_OP(cvt_packed, u32, u32, ToInt<false>)},
  {"CVTTPS2DQ", "F3 0F 5B /r", "Vdq,Wdq",  S,  sse2, VT_OP(cvt_packed, u32, u32, ToInt<true>)},
  {"CVTTPD2DQ", "66 0F E6 /r", "Vdq,Wdq",  S,  sse2, VT_OP(cvt_packed, u32, u64, ToInt<true>)},
  {"CVTDQ2PD",  "F3 0F E6 /r", "Vdq,Wq",   S,  sse2, VT_OP(cvt_packed, u64, u32, FromInt)},
  {"CVTPD2DQ",  "F2 0F E6 /r", "Vdq,Wdq",  S,  sse2, VT_OP(cvt_packed, u32, u64, ToInt<false>)},
};

}  // namespace

std::span<const Def> sse_convert_rows() { return kRows; }

}  // namespace vt::cpu
