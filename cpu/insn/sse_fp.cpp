// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE to SSE3 arithmetic and comparison of floats, with AVX's forms of them.   SDM 2A, 2B
#include "insn/sse_float.hpp"
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {
using sf::Env, sf::Kind, sf::Num, sf::Order;

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

// Packed, or the lowest lane only with the rest of the first source kept.
template <class C, bool M, class E, class T, class Op>
Next arith(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(first<E>(c, i));
  const auto y = lanes_of<T>(b);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = Op::f(e, x[k], y[k]);
  if (!sse_settle(c, e)) return Next::fault;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}
template <class C, bool M, class E, class T, class Op>
Next scalar(C& c, const Insn& i) {
  T b;
  if (!low_source<M>(c, i, b)) return Next::fault;
  Env e = sse_env(c);
  const T v = Op::f(e, lanes_of<T>(first<E>(c, i))[0], b);
  if (!sse_settle(c, e)) return Next::fault;
  set_low<E>(c, i, v);
  return Next::seq;
}

// HADDPx, HSUBPx: in each 128 bits pairs of the first source, then pairs of the second. ADDSUBPx: subtracts in even lanes.
template <class C, bool M, class E, class T, class Op>
Next horizontal(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  const Vec<E> a = first<E>(c, i);
  Env e = sse_env(c);
  for (unsigned h = 0; h < E::halves; ++h) {
    const auto x = lanes_of<T>(a.h[h]), y = lanes_of<T>(b.h[h]);
    auto to = x;
    const std::size_t n = x.size() / 2;
    for (std::size_t k = 0; k < n; ++k) to[k] = Op::f(e, x[2 * k], x[2 * k + 1]), to[n + k] = Op::f(e, y[2 * k], y[2 * k + 1]);
    b.h[h] = from_lanes<V128>(to);
  }
  if (!sse_settle(c, e)) return Next::fault;
  set_vreg<E>(c, i.reg, b);
  return Next::seq;
}
template <class C, bool M, class E, class T>
Next addsub(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(first<E>(c, i));
  const auto y = lanes_of<T>(b);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = k & 1 ? Add::f(e, x[k], y[k]) : Sub::f(e, x[k], y[k]);
  if (!sse_settle(c, e)) return Next::fault;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}

// --- comparison -------------------------------------------------------------------------------------------

/// Predicates: EQ LT LE UNORD NEQ NLT NLE ORD; VEX adds EQ_UQ NGE NGT FALSE NEQ_OQ GE GT TRUE, and all again with bit 4, which turns
/// over what quiet NaNs signal.   SDM 2A "CMPPS", table "Comparison Predicate for CMPPD and CMPPS Instructions"
template <class T>
T compare_mask(Env& e, T a, T b, unsigned predicate) {
  enum : u8 { L = 1, E = 2, G = 4, U = 8 };
  static constexpr u8 kHolds[16] = {E, L, L | E, U, L | G | U, E | G | U, G | U, L | E | G, E | U, L | U, L | E | U, 0, L | G, E | G, G, L | E | G | U};
  const unsigned base = predicate & 3;
  const Order o = sf::compare(e, number(e, a), number(e, b), (base == 0 || base == 3) != (predicate >= 16));
  return kHolds[predicate & 15] >> static_cast<unsigned>(o) & 1 ? static_cast<T>(~T{0}) : T{0};
}
template <class E> unsigned predicate(const Insn& i) { return i.imm & (E::vex ? 31 : 7); }
template <class C, bool M, class E, class T>
Next cmp_packed(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(first<E>(c, i));
  const auto y = lanes_of<T>(b);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = compare_mask(e, x[k], y[k], predicate<E>(i));
  if (!sse_settle(c, e)) return Next::fault;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}
template <class C, bool M, class E, class T>
Next cmp_scalar(C& c, const Insn& i) {
  T b;
  if (!low_source<M>(c, i, b)) return Next::fault;
  Env e = sse_env(c);
  const T v = compare_mask(e, lanes_of<T>(first<E>(c, i))[0], b, predicate<E>(i));
  if (!sse_settle(c, e)) return Next::fault;
  set_low<E>(c, i, v);
  return Next::seq;
}
// COMISx, UCOMISx: OF, SF and AF are cleared.
template <class C, bool M, class, class T, bool Quiet>
Next comis(C& c, const Insn& i) {
  T b;
  if (!low_source<M>(c, i, b)) return Next::fault;
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
#define VT_BINARY(name, op, Op) \
  VT_3(name "PS", "NP", 0F, op " /r", "", sse, avx, arith, u32, Op), VT_3(name "PD", "66", 0F, op " /r", "", sse2, avx, arith, u64, Op), \
  VT_3S(name "SS", "F3", 0F, op " /r", "", sse, scalar, u32, Op), VT_3S(name "SD", "F2", 0F, op " /r", "", sse2, scalar, u64, Op)
constexpr Def kRows[] = {
  VT_2("SQRTPS", "NP", 0F, "51 /r", "", sse, avx, arith, u32, Sqrt), VT_2("SQRTPD", "66", 0F, "51 /r", "", sse2, avx, arith, u64, Sqrt),
  VT_3S("SQRTSS", "F3", 0F, "51 /r", "", sse, scalar, u32, Sqrt), VT_3S("SQRTSD", "F2", 0F, "51 /r", "", sse2, scalar, u64, Sqrt),
  VT_BINARY("ADD", "58", Add),
  VT_BINARY("MUL", "59", Mul),
  VT_BINARY("SUB", "5C", Sub),
  VT_BINARY("MIN", "5D", MinMax<false>),
  VT_BINARY("DIV", "5E", Div),
  VT_BINARY("MAX", "5F", MinMax<true>),
  VT_2("RSQRTPS", "NP", 0F, "52 /r", "", sse, avx, arith, u32, Rsqrt),
  VT_3S("RSQRTSS", "F3", 0F, "52 /r", "", sse, scalar, u32, Rsqrt),
  VT_2("RCPPS", "NP", 0F, "53 /r", "", sse, avx, arith, u32, Rcp),
  VT_3S("RCPSS", "F3", 0F, "53 /r", "", sse, scalar, u32, Rcp),
  VT_3("HADDPD", "66", 0F, "7C /r", "", sse3, avx, horizontal, u64, Add),
  VT_3("HADDPS", "F2", 0F, "7C /r", "", sse3, avx, horizontal, u32, Add),
  VT_3("HSUBPD", "66", 0F, "7D /r", "", sse3, avx, horizontal, u64, Sub),
  VT_3("HSUBPS", "F2", 0F, "7D /r", "", sse3, avx, horizontal, u32, Sub),
  VT_3("ADDSUBPD", "66", 0F, "D0 /r", "", sse3, avx, addsub, u64),
  VT_3("ADDSUBPS", "F2", 0F, "D0 /r", "", sse3, avx, addsub, u32),
  VT_3("CMPPS", "NP", 0F, "C2 /r ib", ",Ib", sse, avx, cmp_packed, u32),
  VT_3("CMPPD", "66", 0F, "C2 /r ib", ",Ib", sse2, avx, cmp_packed, u64),
  VT_3S("CMPSS", "F3", 0F, "C2 /r ib", ",Ib", sse, cmp_scalar, u32),
  VT_3S("CMPSD", "F2", 0F, "C2 /r ib", ",Ib", sse2, cmp_scalar, u64),
  VT_2S("UCOMISS", "NP", 0F, "2E /r", "", sse, comis, u32, true),
  VT_2S("UCOMISD", "66", 0F, "2E /r", "", sse2, comis, u64, true),
  VT_2S("COMISS", "NP", 0F, "2F /r", "", sse, comis, u32, false),
  VT_2S("COMISD", "66", 0F, "2F /r", "", sse2, comis, u64, false),
};

}  // namespace

std::span<const Def> sse_fp_rows() { return kRows; }

}  // namespace vt::cpu
