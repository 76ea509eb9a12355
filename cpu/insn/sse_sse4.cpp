// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE4.1 and PCMPGTQ, with AVX's forms of them; the string instructions of SSE4.2 are in sse_string.cpp.   SDM 1 "SSE4.1 Instruction Set"
#include "insn/sse_float.hpp"
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {
using namespace lane;
using sf::Env, sf::Num, sf::Round;

struct HorizontalMinWord {  // PHMINPOSUW: the lowest of equal ones
  static V128 f(const V128&, const V128& b) {
    const auto x = lanes_of<u16>(b);
    const auto least = std::min_element(x.begin(), x.end());
    return {{*least | static_cast<u64>(least - x.begin()) << 16, 0}};
  }
};

// PMOVSXxx, PMOVZXxx: the low lanes of the source, widened. Memory: just those bytes, unaligned.
template <class C, bool M, class E, class From, class To>
Next pmovx(C& c, const Insn& i) {
  constexpr std::size_t n = sizeof(Vec<E>) / sizeof(To);
  std::array<From, n> x;
  if (!low_source<M>(c, i, x)) return Next::fault;
  std::array<To, n> to;
  for (std::size_t k = 0; k < n; ++k) to[k] = static_cast<To>(x[k]);
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(to));
  return Next::seq;
}

// Blends: by the sign bits of XMM0 (VEX: of the register in imm[7:4]), or by the immediate.
template <class C, bool M, class E, class L>
Next blendv(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<L>(first<E>(c, i));
  const auto y = lanes_of<L>(b), select = lanes_of<L>(vreg<E>(c, E::vex ? static_cast<u8>(i.imm) >> 4 & (c.code64_now ? 15u : 7u) : 0));
  for (std::size_t k = 0; k < x.size(); ++k) if (select[k] >> (8 * sizeof(L) - 1)) x[k] = y[k];
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}
template <class C, bool M, class E, class L>
Next blend_imm(C& c, const Insn& i) {  // the eight bits serve again for PBLENDW's upper half
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<L>(first<E>(c, i));
  const auto y = lanes_of<L>(b);
  for (std::size_t k = 0; k < x.size(); ++k) if (i.imm >> (k & 7) & 1) x[k] = y[k];
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}

// PEXTRx, EXTRACTPS: a register gets it zero-extended to at least 32 bits, memory just the lane.
template <class C, bool M, class, class L>
Next extract(C& c, const Insn& i) {
  const auto x = lanes_of<L>(xmm(c, i.reg));
  const L v = x[static_cast<u8>(i.imm) & (x.size() - 1)];
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  c.r[i.rm] = v;
  return Next::seq;
}
template <class C, bool M, class E, class L>
Next insert(C& c, const Insn& i) {
  L v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = static_cast<L>(c.r[i.rm]);
  auto x = lanes_of<L>(first<E>(c, i));
  x[static_cast<u8>(i.imm) & (x.size() - 1)] = v;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}
template <class C, bool M, class E>
Next insertps(C& c, const Insn& i) {  // COUNT_S (register source only), COUNT_D, ZMASK
  u32 v;
  const unsigned imm = static_cast<u8>(i.imm);
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = lanes_of<u32>(xmm(c, i.rm))[imm >> 6];
  auto x = lanes_of<u32>(first<E>(c, i));
  x[imm >> 4 & 3] = v;
  for (unsigned k = 0; k < 4; ++k) if (imm >> k & 1) x[k] = 0;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}

template <class C, bool M, class E>
Next ptest(C& c, const Insn& i) {  // AF, OF, PF, SF are cleared
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  const auto x = lanes_of<u64>(vreg<E>(c, i.reg)), y = lanes_of<u64>(b);
  u64 both = 0, only = 0;
  for (std::size_t k = 0; k < x.size(); ++k) both |= x[k] & y[k], only |= ~x[k] & y[k];
  c.lf.set((!both ? rflags::ZF : 0) | (!only ? rflags::CF : 0));
  return Next::seq;
}

template <class C, bool M, class E>
Next mpsadbw(C& c, const Insn& i) {  // imm 2:0 chooses for the lower half, 5:3 for the upper one
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  const Vec<E> a = first<E>(c, i);
  for (unsigned h = 0; h < E::halves; ++h) {
    const auto x = lanes_of<u8>(a.h[h]), y = lanes_of<u8>(b.h[h]);
    const std::size_t select = static_cast<std::size_t>(i.imm >> 3 * h), dst = (select >> 2 & 1) * 4, src = (select & 3) * 4;
    std::array<u16, 8> to;
    for (std::size_t k = 0; k < 8; ++k) {
      int sum = 0;
      for (std::size_t n = 0; n < 4; ++n) {
        const int d = x[dst + k + n] - y[src + n];
        sum += d < 0 ? -d : d;
      }
      to[k] = static_cast<u16>(sum);
    }
    b.h[h] = from_lanes<V128>(to);
  }
  set_vreg<E>(c, i.reg, b);
  return Next::seq;
}

// --- floats -------------------------------------------------------------------------------------------------

/// ROUNDxx: imm 1:0 mode, bit 2 MXCSR.RC instead, bit 3 no PE.
template <class T>
T round_lane(Env& e, T v, i64 imm) {
  return encode<T>(sf::round_to_integral(e, number(e, v), imm & 4 ? e.rc : static_cast<Round>(imm & 3), !(imm & 8)));
}
template <class C, bool M, class E, class T>
Next round_packed(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(b);
  Env e = sse_env(c);
  for (T& v : x) v = round_lane(e, v, i.imm);
  if (!sse_settle(c, e)) return Next::fault;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}
template <class C, bool M, class E, class T>
Next round_scalar(C& c, const Insn& i) {
  T b;
  if (!low_source<M>(c, i, b)) return Next::fault;
  Env e = sse_env(c);
  const T v = round_lane(e, b, i.imm);
  if (!sse_settle(c, e)) return Next::fault;
  set_low<E>(c, i, v);
  return Next::seq;
}

// DPPS, DPPD: in each 128 bits products (imm 7:4 selects), sums by pairs, results where imm 3:0 says. An unmasked exception of one
// stage ends it before the next. Each lane has an order of its own, which decides between NaNs: DPPS's first sums begin with the neighbour,
// all others with the lane itself (found by the native judge).
template <class C, bool M, class E, class T>
Next dot_product(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(first<E>(c, i));
  const auto y = lanes_of<T>(b);
  constexpr std::size_t n = 16 / sizeof(T);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k)
    x[k] = i.imm >> (4 + k % n) & 1 ? encode<T>(sf::mul(e, number(e, x[k]), number(e, y[k]), kFormat<T>)) : T{0};
  if (!sse_settle(c, e)) return Next::fault;
  for (std::size_t other = 1; other < n; other *= 2) {
    const auto t = x;
    const std::size_t begin = other == 1 && n == 4 ? 1 : 0;
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = encode<T>(sf::add(e, number(e, t[k ^ begin]), number(e, t[k ^ begin ^ other]), kFormat<T>));
    if (!sse_settle(c, e)) return Next::fault;
  }
  for (std::size_t k = 0; k < x.size(); ++k) if (!(i.imm >> k % n & 1)) x[k] = T{0};
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}

using C = Cpu;
using enum Feature;
constexpr u32 S = attr::sse;
#define VT_SSE4(name, op, ...) VT_3(name, "66", 0F38, op " /r", "", sse4_1, avx2, packed, __VA_ARGS__)
#define VT_PMOVX(name, op, From, To) VT_2(name, "66", 0F38, op " /r", "", sse4_1, avx2, pmovx, From, To)
#define VT_EXTRACT(name, op, L) VT_3X_AS(name, "128", "66", 0F3A, op " /r ib", "Ed,Vdq,Ib", "Ed,Vdq,Ib", sse4_1, extract, L)
#define VT_BLENDV(name, op, vex_op, y, L) VT_ROW_SSE(name, "66", 0F38, op " /r", "Vx,Wx", sse4_1, blendv, Sse, L), \
  VT_ROW_VEX("V" name, "128", "66", 0F3A, "W0", vex_op " /r ib", "Vx,Hx,Wx,Lx", avx, blendv, Vex128, L), \
  VT_ROW_VEX("V" name, "256", "66", 0F3A, "W0", vex_op " /r ib", "Vx,Hx,Wx,Lx", y, blendv, Vex256, L)
constexpr Def kRows[] = {
  VT_BLENDV("PBLENDVB", "10", "4C", avx2, u8),
  VT_BLENDV("BLENDVPS", "14", "4A", avx, u32),
  VT_BLENDV("BLENDVPD", "15", "4B", avx, u64),
  VT_2("PTEST", "66", 0F38, "17 /r", "", sse4_1, avx, ptest),
  VT_PMOVX("PMOVSXBW", "20", i8, i16),
  VT_PMOVX("PMOVSXBD", "21", i8, i32),
  VT_PMOVX("PMOVSXBQ", "22", i8, i64),
  VT_PMOVX("PMOVSXWD", "23", i16, i32),
  VT_PMOVX("PMOVSXWQ", "24", i16, i64),
  VT_PMOVX("PMOVSXDQ", "25", i32, i64),
  VT_SSE4("PMULDQ", "28", Each<u64, kMulEvenSigned>),
  VT_SSE4("PCMPEQQ", "29", Each<u64, kEq>),
  VT_SSE4("PACKUSDW", "2B", Pack<i32, u16>),
  VT_PMOVX("PMOVZXBW", "30", u8, u16),
  VT_PMOVX("PMOVZXBD", "31", u8, u32),
  VT_PMOVX("PMOVZXBQ", "32", u8, u64),
  VT_PMOVX("PMOVZXWD", "33", u16, u32),
  VT_PMOVX("PMOVZXWQ", "34", u16, u64),
  VT_PMOVX("PMOVZXDQ", "35", u32, u64),
  VT_3("PCMPGTQ", "66", 0F38, "37 /r", "", sse4_2, avx2, packed, Each<i64, kGt>),
  VT_SSE4("PMINSB", "38", Each<i8, kMin>),
  VT_SSE4("PMINSD", "39", Each<i32, kMin>),
  VT_SSE4("PMINUW", "3A", Each<u16, kMin>),
  VT_SSE4("PMINUD", "3B", Each<u32, kMin>),
  VT_SSE4("PMAXSB", "3C", Each<i8, kMax>),
  VT_SSE4("PMAXSD", "3D", Each<i32, kMax>),
  VT_SSE4("PMAXUW", "3E", Each<u16, kMax>),
  VT_SSE4("PMAXUD", "3F", Each<u32, kMax>),
  VT_SSE4("PMULLD", "40", Each<u32, kMulLow>),
  VT_2X("PHMINPOSUW", "66", 0F38, "41 /r", "", sse4_1, packed, HorizontalMinWord),
  VT_2("ROUNDPS", "66", 0F3A, "08 /r ib", ",Ib", sse4_1, avx, round_packed, u32),
  VT_2("ROUNDPD", "66", 0F3A, "09 /r ib", ",Ib", sse4_1, avx, round_packed, u64),
  VT_3S("ROUNDSS", "66", 0F3A, "0A /r ib", ",Ib", sse4_1, round_scalar, u32),
  VT_3S("ROUNDSD", "66", 0F3A, "0B /r ib", ",Ib", sse4_1, round_scalar, u64),
  VT_3("BLENDPS", "66", 0F3A, "0C /r ib", ",Ib", sse4_1, avx, blend_imm, u32),
  VT_3("BLENDPD", "66", 0F3A, "0D /r ib", ",Ib", sse4_1, avx, blend_imm, u64),
  VT_3("PBLENDW", "66", 0F3A, "0E /r ib", ",Ib", sse4_1, avx2, blend_imm, u16),
  // The register forms write a 32-bit register, so the operands are not in the byte notation.
  VT_EXTRACT("PEXTRB", "14", u8),
  VT_EXTRACT("PEXTRW", "15", u16),
  {"PEXTRD/PEXTRQ", "66 0F 3A 16 /r ib", "Ed/q,Vdq,Ib", S, sse4_1, VT_EW(extract, Sse)},
  {"VPEXTRD/VPEXTRQ", "VEX.128.66.0F3A 16 /r ib", "Ed/q,Vdq,Ib", attr::avx, avx, VT_EW(extract, Vex128)},
  VT_EXTRACT("EXTRACTPS", "17", u32),
  VT_3X_AS("PINSRB", "128", "66", 0F3A, "20 /r ib", "Vdq,Ed,Ib", "Vdq,Hdq,Ed,Ib", sse4_1, insert, u8),
  VT_3X("INSERTPS", "66", 0F3A, "21 /r ib", ",Ib", sse4_1, insertps),
  {"PINSRD/PINSRQ", "66 0F 3A 22 /r ib", "Vdq,Ed/q,Ib", S, sse4_1, VT_EW(insert, Sse)},
  {"VPINSRD/VPINSRQ", "VEX.128.66.0F3A 22 /r ib", "Vdq,Hdq,Ed/q,Ib", attr::avx, avx, VT_EW(insert, Vex128)},
  VT_3("DPPS", "66", 0F3A, "40 /r ib", ",Ib", sse4_1, avx, dot_product, u32),
  VT_3X("DPPD", "66", 0F3A, "41 /r ib", ",Ib", sse4_1, dot_product, u64),
  VT_3("MPSADBW", "66", 0F3A, "42 /r ib", ",Ib", sse4_1, avx2, mpsadbw),
};

}  // namespace

std::span<const Def> sse_sse4_rows() { return kRows; }

}  // namespace vt::cpu
