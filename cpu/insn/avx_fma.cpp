// SPDX-License-Identifier: GPL-2.0-or-later
/// FMA and F16C.   SDM 1 "Fused-Multiply-ADD (FMA) Extensions", "16-Bit Floating-Point Conversion (F16C)"
#include "insn/sse_float.hpp"
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {
using sf::Env, sf::Num, sf::Round;

/// Which operands are multiplied, in the order that decides between NaNs: destination, vvvv and r/m are 1, 2 and 3.
enum class Order3 { o132, o213, o231 };
template <bool NegateProduct, bool NegateAddend, class T>
T fused(Env& e, T a, T b, T addend) {
  Num z = number(e, addend);
  if (NegateAddend && !z.nan()) z.sign = !z.sign;
  return encode<T>(sf::fused_multiply_add(e, number(e, a), number(e, b), z, NegateProduct, kFormat<T>));
}
template <Order3 O, bool NegateProduct, bool NegateAddend, class T>
T fused_ordered(Env& e, T x1, T x2, T x3) {
  if constexpr (O == Order3::o132) return fused<NegateProduct, NegateAddend>(e, x1, x3, x2);
  else if constexpr (O == Order3::o213) return fused<NegateProduct, NegateAddend>(e, x2, x1, x3);
  else return fused<NegateProduct, NegateAddend>(e, x2, x3, x1);
}

/// `OddNegate`, `EvenNegate`: the addend of odd and even lanes.
template <class C, bool M, class E, class T, Order3 O, bool NegateProduct, bool OddNegate, bool EvenNegate>
Next fma_packed(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<T>(vreg<E>(c, i.reg));
  const auto y = lanes_of<T>(first<E>(c, i)), z = lanes_of<T>(b);
  Env e = sse_env(c);
  for (std::size_t k = 0; k < x.size(); ++k)
    x[k] = k & 1 ? fused_ordered<O, NegateProduct, OddNegate>(e, x[k], y[k], z[k]) : fused_ordered<O, NegateProduct, EvenNegate>(e, x[k], y[k], z[k]);
  if (!sse_settle(c, e)) return Next::fault;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}
template <class C, bool M, class T, Order3 O, bool NegateProduct, bool NegateAddend>
Next fma_scalar(C& c, const Insn& i) {
  T z;
  if (!low_source<M>(c, i, z)) return Next::fault;
  auto x = lanes_of<T>(xmm(c, i.reg));
  Env e = sse_env(c);
  x[0] = fused_ordered<O, NegateProduct, NegateAddend>(e, x[0], xmm_low<C, T>(c, i.vvvv), z);
  if (!sse_settle(c, e)) return Next::fault;
  set_zeroed<Vex128>(c, i.reg, x);
  return Next::seq;
}

// VCVTPH2PS: half-precision denormals are numbers like others (no DE, DAZ does not concern them).
template <class C, bool M, class E>
Next from_half(C& c, const Insn& i) {
  LaneArray<u32, Vec<E>> to;
  std::array<u16, sizeof(Vec<E>) / 4> from;
  const WithoutAlignmentCheck unchecked(c);
  if (!low_source<M>(c, i, from)) return Next::fault;
  Env e = sse_env(c);
  for (std::size_t k = 0; k < to.size(); ++k) to[k] = encode<u32>(sf::convert(e, sf::unpack(from[k]), sf::kF32, false));
  if (!sse_settle(c, e)) return Next::fault;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(to));
  return Next::seq;
}
// VCVTPS2PH: imm 1:0 the rounding, bit 2 MXCSR's instead; FTZ does not concern it.
template <class C, bool M, class E>
Next to_half(C& c, const Insn& i) {
  const auto from = lanes_of<u32>(vreg<E>(c, i.reg));
  std::array<u16, sizeof(Vec<E>) / 4> to;
  Env e = sse_env(c);
  e.ftz = false;
  if (!(i.imm & 4)) e.rc = static_cast<Round>(i.imm & 3);
  Env masked = e;  // an unmasked overflow comes with the PE of the masked one
  masked.masks = sf::kAll;
  for (std::size_t k = 0; k < to.size(); ++k) {
    to[k] = encode<u16>(sf::convert(e, number(e, from[k]), sf::kF16));
    (void)sf::convert(masked, number(e, from[k]), sf::kF16);
  }
  if (masked.flags & sf::OE) e.flags |= sf::PE;
  if (!sse_settle(c, e)) return Next::fault;
  if constexpr (M) {  // a store that faults leaves the flags raised
    const WithoutAlignmentCheck unchecked(c);
    return c.store(i, to) ? Next::seq : Next::fault;
  }
  set_zeroed<Vex128>(c, i.rm, to);
  return Next::seq;
}

using C = Cpu;
// Packed, of both widths and precisions.
#define VT_FMA_P(name, order, op, ...) \
  VT_ROW_VEX(name "PS", "128", "66", 0F38, "W0", op " /r", "Vx,Hx,Wx", fma, fma_packed, Vex128, u32, order, __VA_ARGS__), \
  VT_ROW_VEX(name "PS", "256", "66", 0F38, "W0", op " /r", "Vx,Hx,Wx", fma, fma_packed, Vex256, u32, order, __VA_ARGS__), \
  VT_ROW_VEX(name "PD", "128", "66", 0F38, "W1", op " /r", "Vx,Hx,Wx", fma, fma_packed, Vex128, u64, order, __VA_ARGS__), \
  VT_ROW_VEX(name "PD", "256", "66", 0F38, "W1", op " /r", "Vx,Hx,Wx", fma, fma_packed, Vex256, u64, order, __VA_ARGS__)
#define VT_FMA_S(name, order, op, ...) \
  VT_ROW_VEX(name "SS", "LIG", "66", 0F38, "W0", op " /r", "Vx,Hx,Wx", fma, fma_scalar, u32, order, __VA_ARGS__), \
  VT_ROW_VEX(name "SD", "LIG", "66", 0F38, "W1", op " /r", "Vx,Hx,Wx", fma, fma_scalar, u64, order, __VA_ARGS__)
#define VT_FMA(n, row, O) \
  VT_FMA_P("VFMADDSUB" n, O, row "6", false, false, true), VT_FMA_P("VFMSUBADD" n, O, row "7", false, true, false), \
  VT_FMA_P("VFMADD" n, O, row "8", false, false, false), VT_FMA_S("VFMADD" n, O, row "9", false, false), \
  VT_FMA_P("VFMSUB" n, O, row "A", false, true, true), VT_FMA_S("VFMSUB" n, O, row "B", false, true), \
  VT_FMA_P("VFNMADD" n, O, row "C", true, false, false), VT_FMA_S("VFNMADD" n, O, row "D", true, false), \
  VT_FMA_P("VFNMSUB" n, O, row "E", true, true, true), VT_FMA_S("VFNMSUB" n, O, row "F", true, true)
constexpr Def kRows[] = {
  VT_FMA("132", "9", Order3::o132),
  VT_FMA("213", "A", Order3::o213),
  VT_FMA("231", "B", Order3::o231),
  VT_ROW_VEX("VCVTPH2PS", "128", "66", 0F38, "W0", "13 /r", "Vx,Wq", f16c, from_half, Vex128),
  VT_ROW_VEX("VCVTPH2PS", "256", "66", 0F38, "W0", "13 /r", "Vx,Wdq", f16c, from_half, Vex256),
  VT_ROW_VEX("VCVTPS2PH", "128", "66", 0F3A, "W0", "1D /r ib", "Wq,Vx,Ib", f16c, to_half, Vex128),
  VT_ROW_VEX("VCVTPS2PH", "256", "66", 0F3A, "W0", "1D /r ib", "Wdq,Vx,Ib", f16c, to_half, Vex256),
};

}  // namespace

std::span<const Def> avx_fma_rows() { return kRows; }

}  // namespace vt::cpu
