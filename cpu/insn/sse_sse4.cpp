// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE4.1 and PCMPGTQ; the string instructions of SSE4.2 are in sse_string.cpp.   SDM 1 "SSE4.1 Instruction Set"
#include "insn/lanes.hpp"
#include "insn/sse_float.hpp"

namespace vt::cpu {
namespace {
using namespace lane;
using sf::Env, sf::Num, sf::Round;

template <class C, bool M, class Op>
Next packed(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  set_xmm(c, i.reg, Op::f(xmm(c, i.reg), b));
  return Next::seq;
}
struct HorizontalMinWord {  // PHMINPOSUW: the lowest of equal ones
  static V128 f(const V128&, const V128& b) {
    const auto x = lanes_of<u16>(b);
    const auto least = std::min_element(x.begin(), x.end());
    return {{*least | static_cast<u64>(least - x.begin()) << 16, 0}};
  }
};

// PMOVSXxx, PMOVZXxx: the low lanes of the source, widened. Memory: just those bytes, unaligned.
template <class C, bool M, class From, class To>
Next pmovx(C& c, const Insn& i) {
  constexpr std::size_t n = 16 / sizeof(To);
  std::array<From, n> x;
  if constexpr (M) { if (!c.load(i, x)) return Next::fault; }
  else { const V128 v = xmm(c, i.rm); std::memcpy(x.data(), &v, sizeof x); }
  std::array<To, n> to;
  for (std::size_t k = 0; k < n; ++k) to[k] = static_cast<To>(x[k]);
  set_xmm(c, i.reg, from_lanes<V128>(to));
  return Next::seq;
}

// Blends: by the sign bits of XMM0, or by the immediate.
template <class C, bool M, class E>
Next blendv(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<E>(xmm(c, i.reg));
  const auto y = lanes_of<E>(b), select = lanes_of<E>(xmm(c, 0));
  for (std::size_t k = 0; k < x.size(); ++k) if (select[k] >> (8 * sizeof(E) - 1)) x[k] = y[k];
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}
template <class C, bool M, class E>
Next blend_imm(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<E>(xmm(c, i.reg));
  const auto y = lanes_of<E>(b);
  for (std::size_t k = 0; k < x.size(); ++k) if (i.imm >> k & 1) x[k] = y[k];
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}

// PEXTRx, EXTRACTPS: a register gets it zero-extended to `Reg`, memory just the lane.
template <class C, bool M, class E, class Reg>
Next extract(C& c, const Insn& i) {
  const auto x = lanes_of<E>(xmm(c, i.reg));
  const E v = x[static_cast<u8>(i.imm) & (x.size() - 1)];
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  c.template set_reg<Reg>(i.rm, v);
  return Next::seq;
}
template <class C, bool M, class E>
Next insert(C& c, const Insn& i) {
  E v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = static_cast<E>(c.r[i.rm]);
  auto x = lanes_of<E>(xmm(c, i.reg));
  x[static_cast<u8>(i.imm) & (x.size() - 1)] = v;
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}
template <class C, bool M>
Next insertps(C& c, const Insn& i) {  // COUNT_S (register source only), COUNT_D, ZMASK
  u32 v;
  const unsigned imm = static_cast<u8>(i.imm);
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = lanes_of<u32>(xmm(c, i.rm))[imm >> 6];
  auto x = lanes_of<u32>(xmm(c, i.reg));
  x[imm >> 4 & 3] = v;
  for (unsigned k = 0; k < 4; ++k) if (imm >> k & 1) x[k] = 0;
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}

template <class C, bool M>
Next ptest(C& c, const Insn& i) {  // AF, OF, PF, SF are cleared
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  const V128 a = xmm(c, i.reg);
  c.lf.set((!((a.q[0] & b.q[0]) | (a.q[1] & b.q[1])) ? rflags::ZF : 0) | (!((~a.q[0] & b.q[0]) | (~a.q[1] & b.q[1])) ? rflags::CF : 0));
  return Next::seq;
}

template <class C, bool M>
Next mpsadbw(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  const auto x = lanes_of<u8>(xmm(c, i.reg)), y = lanes_of<u8>(b);
  const std::size_t dst = (i.imm >> 2 & 1) * 4, src = (i.imm & 3) * 4;
  std::array<u16, 8> to;
  for (std::size_t k = 0; k < 8; ++k) {
    int sum = 0;
    for (std::size_t n = 0; n < 4; ++n) {
      const int d = x[dst + k + n] - y[src + n];
      sum += d < 0 ? -d : d;
    }
    to[k] = static_cast<u16>(sum);
  }
  set_xmm(c, i.reg, from_lanes<V128>(to));
  return Next::seq;
}

// --- floats -------------------------------------------------------------------------------------------------

/// ROUNDxx: imm 1:0 mode, bit 2 MXCSR.RC instead, bit 3 no PE.
template <class T>
T round_lane(Env& e, T v, i64 imm) {
  return encode<T>(sf::round_to_integral(e, number(e, v), imm & 4 ? e.rc : static_cast<Round>(imm & 3), !(imm & 8)));
}
template <class C, bool M, class T>
Next round_packed(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(b);
  Env e = sse_env(c);
  for (T& v : x) v = round_lane(e, v, i.imm);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}
template <class C, bool M, class T>
Next round_scalar(C& c, const Insn& i) {
  T b;
  if (!xmm_low_source<C, M>(c, i, b)) return Next::fault;
  Env e = sse_env(c);
  const T v = round_lane(e, b, i.imm);
  if (!sse_settle(c, e)) return Next::fault;
  set_xmm_low(c, i.reg, v);
  return Next::seq;
}

// DPPS, DPPD: products (imm 7:4 selects), sums by pairs, results where imm 3:0 says. An unmasked exception of one stage
// ends it before the next. Which of several NaNs is passed on is up to the implementation.
template <class C, bool M, class T>
Next dot_product(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(xmm(c, i.reg));
  const auto y = lanes_of<T>(b);
  constexpr std::size_t n = 16 / sizeof(T);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < n; ++k)
    x[k] = i.imm >> (4 + k) & 1 ? encode<T>(sf::mul(e, number(e, x[k]), number(e, y[k]), kFormat<T>)) : T{0};
  if (!sse_settle(c, e)) return Next::fault;
  for (std::size_t width = n / 2; width; width /= 2) {
    for (std::size_t k = 0; k < width; ++k)
      x[k] = encode<T>(sf::add(e, number(e, x[2 * k]), number(e, x[2 * k + 1]), kFormat<T>));
    if (!sse_settle(c, e)) return Next::fault;
  }
  const T sum = x[0];
  for (std::size_t k = 0; k < n; ++k) x[k] = i.imm >> k & 1 ? sum : T{0};
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}

using C = Cpu;
using enum Feature;
constexpr u32 S = attr::sse;
constexpr Def kRows[] = {
  {"PBLENDVB",   "66 0F 38 10 /r", "Vdq,Wdq", S, sse4_1, VT_OP(blendv, u8)},
  {"BLENDVPS",   "66 0F 38 14 /r", "Vdq,Wdq", S, sse4_1, VT_OP(blendv, u32)},
  {"BLENDVPD",   "66 0F 38 15 /r", "Vdq,Wdq", S, sse4_1, VT_OP(blendv, u64)},
  {"PTEST",      "66 0F 38 17 /r", "Vdq,Wdq", S, sse4_1, VT_FN(ptest)},
  {"PMOVSXBW",   "66 0F 38 20 /r", "Vdq,Wq",  S, sse4_1, VT_OP(pmovx, i8, i16)},
  {"PMOVSXBD",   "66 0F 38 21 /r", "Vdq,Wd",  S, sse4_1, VT_OP(pmovx, i8, i32)},
  {"PMOVSXBQ",   "66 0F 38 22 /r", "Vdq,Ww",  S, sse4_1, VT_OP(pmovx, i8, i64)},
  {"PMOVSXWD",   "66 0F 38 23 /r", "Vdq,Wq",  S, sse4_1, VT_OP(pmovx, i16, i32)},
  {"PMOVSXWQ",   "66 0F 38 24 /r", "Vdq,Wd",  S, sse4_1, VT_OP(pmovx, i16, i64)},
  {"PMOVSXDQ",   "66 0F 38 25 /r", "Vdq,Wq",  S, sse4_1, VT_OP(pmovx, i32, i64)},
  {"PMULDQ",     "66 0F 38 28 /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<u64, kMulEvenSigned>)},
  {"PCMPEQQ",    "66 0F 38 29 /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<u64, kEq>)},
  {"PACKUSDW",   "66 0F 38 2B /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Pack<i32, u16>)},
  {"PMOVZXBW",   "66 0F 38 30 /r", "Vdq,Wq",  S, sse4_1, VT_OP(pmovx, u8, u16)},
  {"PMOVZXBD",   "66 0F 38 31 /r", "Vdq,Wd",  S, sse4_1, VT_OP(pmovx, u8, u32)},
  {"PMOVZXBQ",   "66 0F 38 32 /r", "Vdq,Ww",  S, sse4_1, VT_OP(pmovx, u8, u64)},
  {"PMOVZXWD",   "66 0F 38 33 /r", "Vdq,Wq",  S, sse4_1, VT_OP(pmovx, u16, u32)},
  {"PMOVZXWQ",   "66 0F 38 34 /r", "Vdq,Wd",  S, sse4_1, VT_OP(pmovx, u16, u64)},
  {"PMOVZXDQ",   "66 0F 38 35 /r", "Vdq,Wq",  S, sse4_1, VT_OP(pmovx, u32, u64)},
  {"PCMPGTQ",    "66 0F 38 37 /r", "Vdq,Wdq", S, sse4_2, VT_OP(packed, Each<i64, kGt>)},
  {"PMINSB",     "66 0F 38 38 /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<i8, kMin>)},
  {"PMINSD",     "66 0F 38 39 /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<i32, kMin>)},
  {"PMINUW",     "66 0F 38 3A /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<u16, kMin>)},
  {"PMINUD",     "66 0F 38 3B /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<u32, kMin>)},
  {"PMAXSB",     "66 0F 38 3C /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<i8, kMax>)},
  {"PMAXSD",     "66 0F 38 3D /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<i32, kMax>)},
  {"PMAXUW",     "66 0F 38 3E /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<u16, kMax>)},
  {"PMAXUD",     "66 0F 38 3F /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<u32, kMax>)},
  {"PMULLD",     "66 0F 38 40 /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, Each<u32, kMulLow>)},
  {"PHMINPOSUW", "66 0F 38 41 /r", "Vdq,Wdq", S, sse4_1, VT_OP(packed, HorizontalMinWord)},
  {"ROUNDPS",    "66 0F 3A 08 /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_OP(round_packed, u32)},
  {"ROUNDPD",    "66 0F 3A 09 /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_OP(round_packed, u64)},
  {"ROUNDSS",    "66 0F 3A 0A /r ib", "Vd,Wd,Ib",   S, sse4_1, VT_OP(round_scalar, u32)},
  {"ROUNDSD",    "66 0F 3A 0B /r ib", "Vq,Wq,Ib",   S, sse4_1, VT_OP(round_scalar, u64)},
  {"BLENDPS",    "66 0F 3A 0C /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_OP(blend_imm, u32)},
  {"BLENDPD",    "66 0F 3A 0D /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_OP(blend_imm, u64)},
  {"PBLENDW",    "66 0F 3A 0E /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_OP(blend_imm, u16)},
  // The register forms write a 32-bit register, so the operands are not in the byte notation.
  {"PEXTRB",     "66 0F 3A 14 /r ib", "Ed,Vdq,Ib",   S, sse4_1, VT_OP(extract, u8, u32)},
  {"PEXTRW",     "66 0F 3A 15 /r ib", "Ed,Vdq,Ib",   S, sse4_1, VT_OP(extract, u16, u32)},
  {"PEXTRD",     "66 W0 0F 3A 16 /r ib", "Ed,Vdq,Ib", S, sse4_1, VT_OP(extract, u32, u32)},
  {"PEXTRQ",     "66 REX.W 0F 3A 16 /r ib", "Eq,Vdq,Ib", S, sse4_1, VT_OP(extract, u64, u64)},
  {"EXTRACTPS",  "66 0F 3A 17 /r ib", "Ed,Vdq,Ib",   S, sse4_1, VT_OP(extract, u32, u32)},
  {"PINSRB",     "66 0F 3A 20 /r ib", "Vdq,Ed,Ib",   S, sse4_1, VT_OP(insert, u8)},
  {"INSERTPS",   "66 0F 3A 21 /r ib", "Vdq,Wd,Ib",   S, sse4_1, VT_FN(insertps)},
  {"PINSRD",     "66 W0 0F 3A 22 /r ib", "Vdq,Ed,Ib", S, sse4_1, VT_OP(insert, u32)},
  {"PINSRQ",     "66 REX.W 0F 3A 22 /r ib", "Vdq,Eq,Ib", S, sse4_1, VT_OP(insert, u64)},
  {"DPPS",       "66 0F 3A 40 /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_OP(dot_product, u32)},
  {"DPPD",       "66 0F 3A 41 /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_OP(dot_product, u64)},
  {"MPSADBW",    "66 0F 3A 42 /r ib", "Vdq,Wdq,Ib", S, sse4_1, VT_FN(mpsadbw)},
};

}  // namespace

std::span<const Def> sse_sse4_rows() { return kRows; }

}  // namespace vt::cpu
