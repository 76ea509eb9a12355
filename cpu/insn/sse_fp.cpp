// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE to SSE3 arithmetic and comparison of floats.   SDM 2A, 2B
#include "insn/sse_float.hpp"

namespace vt::cpu {
namespace {
using sf::Env, sf::Format, sf::Kind, sf::Num, sf::Order;

// Operations on one lane: T is u32 or u64, the encoding; `a` the destination.
struct Add { template <class T> static T f(Env& e, T a, T b) { return encode<T>(sf::add(e, number(e, a), number(e, b), kFormat<T>)); } };
struct Sub { template <class T> static T f(Env& e, T a, T b) { return encode<T>(sf::sub(e, number(e, a), number(e, b), kFormat<T>)); } };
struct Mul { template <class T> static T f(Env& e, T a, T b) { return encode<T>(sf::mul(e, number(e, a), number(e, b), kFormat<T>)); } };
struct Div { template <class T> static T f(Env& e, T a, T b) { return encode<T>(sf::div(e, number(e, a), number(e, b), kFormat<T>)); } };
struct Sqrt { template <class T> static T f(Env& e, T, T b) { return encode<T>(sf::sqrt(e, number(e, b), kFormat<T>)); } };
// The source is the answer when an operand is a NaN (as it is) and when both are zero.
template <bool Max>
struct MinMax {
  template <class T>
  static T f(Env& e, T a, T b) {
    const Num x = number(e, a), y = number(e, b);
    const Order o = sf::compare(e, x, y, false);
    const bool first = o == (Max ? Order::greater : Order::less);
    const Num& n = first ? x : y;
    return n.kind == Kind::zero ? encode<T>(n) : first ? a : b;  // DAZ may have made a zero of a denormal
  }
};

// Packed, or the lowest lane only with the rest of the destination kept.
template <class C, bool M, class T, class Op>
Next packed(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(xmm(c, i.reg));
  const auto y = lanes_of<T>(b);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = Op::f(e, x[k], y[k]);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}
template <class C, bool M, class T, class Op>
Next scalar(C& c, const Insn& i) {
  T b;
  if (!xmm_low_source<C, M>(c, i, b)) return Next::fault;
  Env e = sse_env(c);
  const T v = Op::f(e, xmm_low<C, T>(c, i.reg), b);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm_low(c, i.reg, v);
  return Next::seq;
}

// HADDPx, HSUBPx: pairs of the destination, then pairs of the source. ADDSUBPx: subtracts in even lanes.
template <class C, bool M, class T, class Op>
Next horizontal(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  const auto x = lanes_of<T>(xmm(c, i.reg)), y = lanes_of<T>(b);
  auto to = x;
  Env e = sse_env(c);
  const std::size_t n = x.size() / 2;
  for (std::size_t k = 0; k < n; ++k) to[k] = Op::f(e, x[2 * k], x[2 * k + 1]), to[n + k] = Op::f(e, y[2 * k], y[2 * k + 1]);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm(c, i.reg, from_lanes<V128>(to));
  return Next::seq;
}
template <class C, bool M, class T>
Next addsub(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(xmm(c, i.reg));
  const auto y = lanes_of<T>(b);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = k & 1 ? Add::f(e, x[k], y[k]) : Sub::f(e, x[k], y[k]);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}

// --- comparison -------------------------------------------------------------------------------------------

/// Predicates 0-7: EQ LT LE UNORD NEQ NLT NLE ORD. LT, LE and their negations signal for quiet NaNs, too.
template <class T>
T compare_mask(Env& e, T a, T b, unsigned predicate) {
  const unsigned base = predicate & 3;
  const Order o = sf::compare(e, number(e, a), number(e, b), base == 0 || base == 3);
  const bool holds = base == 0 ? o == Order::equal : base == 1 ? o == Order::less : base == 2 ? o == Order::less || o == Order::equal : o == Order::unordered;
  return holds != (predicate >= 4) ? static_cast<T>(~T{0}) : T{0};
}
template <class C, bool M, class T>
Next cmp_packed(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(xmm(c, i.reg));
  const auto y = lanes_of<T>(b);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = compare_mask(e, x[k], y[k], i.imm & 7);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}
template <class C, bool M, class T>
Next cmp_scalar(C& c, const Insn& i) {
  T b;
  if (!xmm_low_source<C, M>(c, i, b)) return Next::fault;
  Env e = sse_env(c);
  const T v = compare_mask(e, xmm_low<C, T>(c, i.reg), b, i.imm & 7);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm_low(c, i.reg, v);
  return Next::seq;
}
// COMISx, UCOMISx: OF, SF and AF are cleared.
template <class C, bool M, class T, bool Quiet>
Next comis(C& c, const Insn& i) {
  T b;
  if (!xmm_low_source<C, M>(c, i, b)) return Next::fault;
  Env e = sse_env(c);
  const Order o = sf::compare(e, number(e, xmm_low<C, T>(c, i.reg)), number(e, b), Quiet);
  if (!sse_settle(c, e)) return Next::fault;
  c.lf.set(o == Order::unordered ? rflags::ZF | rflags::PF | rflags::CF : o == Order::less ? rflags::CF : o == Order::equal ? rflags::ZF : 0);
  return Next::seq;
}

// --- approximations ---------------------------------------------------------------------------------------

// Manuals give a bound, 1.5 * 2^-12 of relative error, and implementations differ. Ours: the significand is cut to
// 12 fraction bits and taken in the middle of its interval, M / 2^13; the reciprocal (or reciprocal square root) of
// that is rounded to 14 fraction bits. The error is below 2^-13 + 2^-14. No exceptions; denormals are zeros.
constexpr u32 kInf32 = 0x7f800000, kNan32 = 0xffc00000;
u32 from_fraction(u32 sign, i32 exp, u32 r14) {  // r14: [2^13, 2^14], value r14 / 2^14 * 2^exp
  if (r14 == 1u << 14) r14 >>= 1, ++exp;
  const i32 biased = exp - 1 + 127;
  return biased <= 0 ? sign : sign | static_cast<u32>(biased) << 23 | (r14 & 0x1fff) << 10;
}
u32 middle(u32 b) { return (1u << 13) | ((b >> 11 & 0xfff) << 1) | 1; }
struct Rcp {
  static u32 f(Env&, u32, u32 b) {
    const u32 sign = b & 0x80000000, magnitude = b & 0x7fffffff;
    if (magnitude > kInf32) return b | 0x400000;
    if (magnitude == kInf32) return sign;
    if (magnitude < 0x800000) return sign | kInf32;
    const u32 m = middle(b);
    const u32 r = ((1u << 28) / m + 1) >> 1;  // 2^27 / m rounded: (1 / (m / 2^13)) * 2^14
    return from_fraction(sign, 127 - static_cast<i32>(magnitude >> 23), r);
  }
};
struct Rsqrt {
  static u32 f(Env&, u32, u32 b) {
    const u32 sign = b & 0x80000000, magnitude = b & 0x7fffffff;
    if (magnitude > kInf32) return b | 0x400000;
    if (magnitude < 0x800000) return sign | kInf32;
    if (sign) return kNan32;
    if (magnitude == kInf32) return 0;
    const i32 exp = static_cast<i32>(magnitude >> 23) - 127;
    const bool odd = exp & 1;
    const u64 m = static_cast<u64>(middle(b)) << odd;
    u128 rest;
    const u64 r = (sf::isqrt((u128{1} << 43) / m, rest) + 1) >> 1;  // sqrt(2^13 / m) * 2^15, halved with rounding
    return from_fraction(0, -((exp - odd) / 2), static_cast<u32>(r));
  }
};

using C = Cpu;
using enum Feature;
constexpr u32 S = attr::sse;
#define VT_ARITH(name, op, Op) \
  {name "PS", "NP 0F " op " /r", "Vdq,Wdq", S, sse, VT_OP(packed, u32, Op)}, {name "PD", "66 0F " op " /r", "Vdq,Wdq", S, sse2, VT_OP(packed, u64, Op)}, \
  {name "SS", "F3 0F " op " /r", "Vd,Wd", S, sse, VT_OP(scalar, u32, Op)}, {name "SD", "F2 0F " op " /r", "Vq,Wq", S, sse2, VT_OP(scalar, u64, Op)}
constexpr Def kRows[] = {
  VT_ARITH("SQRT", "51", Sqrt),
  VT_ARITH("ADD", "58", Add),
  VT_ARITH("MUL", "59", Mul),
  VT_ARITH("SUB", "5C", Sub),
  VT_ARITH("MIN", "5D", MinMax<false>),
  VT_ARITH("DIV", "5E", Div),
  VT_ARITH("MAX", "5F", MinMax<true>),
  {"RSQRTPS",  "NP 0F 52 /r", "Vdq,Wdq", S, sse, VT_OP(packed, u32, Rsqrt)},
  {"RSQRTSS",  "F3 0F 52 /r", "Vd,Wd",   S, sse, VT_OP(scalar, u32, Rsqrt)},
  {"RCPPS",    "NP 0F 53 /r", "Vdq,Wdq", S, sse, VT_OP(packed, u32, Rcp)},
  {"RCPSS",    "F3 0F 53 /r", "Vd,Wd",   S, sse, VT_OP(scalar, u32, Rcp)},
  {"HADDPD",   "66 0F 7C /r", "Vdq,Wdq", S, sse3, VT_OP(horizontal, u64, Add)},
  {"HADDPS",   "F2 0F 7C /r", "Vdq,Wdq", S, sse3, VT_OP(horizontal, u32, Add)},
  {"HSUBPD",   "66 0F 7D /r", "Vdq,Wdq", S, sse3, VT_OP(horizontal, u64, Sub)},
  {"HSUBPS",   "F2 0F 7D /r", "Vdq,Wdq", S, sse3, VT_OP(horizontal, u32, Sub)},
  {"ADDSUBPD", "66 0F D0 /r", "Vdq,Wdq", S, sse3, VT_OP(addsub, u64)},
  {"ADDSUBPS", "F2 0F D0 /r", "Vdq,Wdq", S, sse3, VT_OP(addsub, u32)},
  {"CMPPS",    "NP 0F C2 /r ib", "Vdq,Wdq,Ib", S, sse,  VT_OP(cmp_packed, u32)},
  {"CMPPD",    "66 0F C2 /r ib", "Vdq,Wdq,Ib", S, sse2, VT_OP(cmp_packed, u64)},
  {"CMPSS",    "F3 0F C2 /r ib", "Vd,Wd,Ib",   S, sse,  VT_OP(cmp_scalar, u32)},
  {"CMPSD",    "F2 0F C2 /r ib", "Vq,Wq,Ib",   S, sse2, VT_OP(cmp_scalar, u64)},
  {"UCOMISS",  "NP 0F 2E /r", "Vd,Wd",   S, sse,  VT_OP(comis, u32, true)},
  {"UCOMISD",  "66 0F 2E /r", "Vq,Wq",   S, sse2, VT_OP(comis, u64, true)},
  {"COMISS",   "NP 0F 2F /r", "Vd,Wd",   S, sse,  VT_OP(comis, u32, false)},
  {"COMISD",   "66 0F 2F /r", "Vq,Wq",   S, sse2, VT_OP(comis, u64, false)},
};

}  // namespace

std::span<const Def> sse_fp_rows() { return kRows; }

}  // namespace vt::cpu
