// SPDX-License-Identifier: GPL-2.0-or-later
/// Vector instructions, written once for their encodings: SSE's two operands, and VEX's three with 128 or 256 bits.
/// SDM 1 "Programming with Intel AVX, FMA, and Intel AVX2"
#pragma once
#include "insn/lanes.hpp"

namespace vt::cpu {

/// Sse: the destination is the first source, memory operands are aligned, the upper half of the YMM register stays as it is.
/// Vex: the first source is VEX.vvvv, memory operands need no alignment, what the result does not fill is zeroed.
struct Sse { static constexpr unsigned halves = 1; static constexpr bool vex = false; };
struct Vex128 { static constexpr unsigned halves = 1; static constexpr bool vex = true; };
struct Vex256 { static constexpr unsigned halves = 2; static constexpr bool vex = true; };
/// The same encoding's 128 bits.
template <class E> using Half = std::conditional_t<E::vex, Vex128, Sse>;

template <class E> struct Vec { V128 h[E::halves]; };

template <class E, class C>
Vec<E> vreg(const C& c, unsigned n) {
  Vec<E> v;
  std::memcpy(&v, c.fpu.ymm[n], sizeof v);
  return v;
}
template <class E, class C>
void set_vreg(C& c, unsigned n, const Vec<E>& v) {
  std::memcpy(c.fpu.ymm[n], &v, sizeof v);
  if constexpr (E::vex && E::halves == 1) c.fpu.ymm[n][2] = c.fpu.ymm[n][3] = 0;
}
template <class E, class C> Vec<E> first(const C& c, const Insn& i) { return vreg<E>(c, E::vex ? i.vvvv : i.reg); }
/// r/m, whole.
template <class E, bool M, class C>
[[nodiscard]] bool source(C& c, const Insn& i, Vec<E>& v) {
  if constexpr (M && E::vex) return c.load(i, v);
  else if constexpr (M) return load_aligned(c, i, v);
  else return v = vreg<E>(c, i.rm), true;
}
/// r/m, as many bytes of it as T has; memory needs no alignment.
template <bool M, class C, class T>
[[nodiscard]] bool low_source(C& c, const Insn& i, T& v) {
  if constexpr (M) return c.load(i, v);
  else return std::memcpy(&v, c.fpu.ymm[i.rm], sizeof v), true;
}
/// For accesses that no alignment check is made for: masked moves, gathers, VCVTPH2PS and VCVTPS2PH.
template <class C>
class WithoutAlignmentCheck {
 public:
  explicit WithoutAlignmentCheck(C& c) : c_(c), ac_(alignment_checked(c) ? rflags::AC : 0) { c.flags &= ~ac_; }
  ~WithoutAlignmentCheck() { c_.flags |= ac_; }
  WithoutAlignmentCheck(const WithoutAlignmentCheck&) = delete;
  WithoutAlignmentCheck& operator=(const WithoutAlignmentCheck&) = delete;

 private:
  C& c_;
  u64 ac_;
};

/// A scalar result: the rest of the first source's 128 bits goes with it.
template <class E, class C, class T>
void set_low(C& c, const Insn& i, const T& v) {
  Vec<Half<E>> x = first<Half<E>>(c, i);
  std::memcpy(&x, &v, sizeof v);
  set_vreg<Half<E>>(c, i.reg, x);
}
/// A result of at most 128 bits, zeros above it.
template <class E, class C, class T>
void set_zeroed(C& c, unsigned n, const T& v) {
  Vec<Half<E>> x{};
  std::memcpy(&x, &v, sizeof v);
  set_vreg<Half<E>>(c, n, x);
}

/// An operation of lanes.hpp on each 128 bits.
template <class C, bool M, class E, class Op>
Next packed(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  Vec<E> a = first<E>(c, i);
  for (unsigned h = 0; h < E::halves; ++h) a.h[h] = Op::f(a.h[h], b.h[h]);
  set_vreg<E>(c, i.reg, a);
  return Next::seq;
}

// Rows. `op` is the opcode byte with what follows it ("60 /r", "C6 /r ib"), `tail` the operands behind the sources ("" or ",Ib").
#define VT_MAP_0F "0F"
#define VT_MAP_0F38 "0F 38"
#define VT_MAP_0F3A "0F 3A"
#define VT_ROW_SSE(name, pp, map, op, operands, feature, ...) {name, pp " " VT_MAP_##map " " op, operands, attr::sse, Feature::feature, VT_OP(__VA_ARGS__)}
#define VT_ROW_VEX(name, l, pp, map, w, op, operands, feature, ...) {name, "VEX." l "." pp "." #map "." w " " op, operands, attr::avx, Feature::feature, VT_OP(__VA_ARGS__)}
// SSE, VEX.128 and VEX.256 with three operands; `y`: the feature of the last. `f<C, M, encoding, ...>`.
#define VT_3(name, pp, map, op, tail, feature, y, f, ...) \
  VT_ROW_SSE(name, pp, map, op, "Vx,Wx" tail, feature, f, Sse __VA_OPT__(,) __VA_ARGS__), \
  VT_ROW_VEX("V" name, "128", pp, map, "WIG", op, "Vx,Hx,Wx" tail, avx, f, Vex128 __VA_OPT__(,) __VA_ARGS__), \
  VT_ROW_VEX("V" name, "256", pp, map, "WIG", op, "Vx,Hx,Wx" tail, y, f, Vex256 __VA_OPT__(,) __VA_ARGS__)
// The same with two operands: VEX.vvvv is not one.
#define VT_2_AS(name, pp, map, op, operands, feature, y, f, ...) \
  VT_ROW_SSE(name, pp, map, op, operands, feature, f, Sse __VA_OPT__(,) __VA_ARGS__), \
  VT_ROW_VEX("V" name, "128", pp, map, "WIG", op, operands, avx, f, Vex128 __VA_OPT__(,) __VA_ARGS__), \
  VT_ROW_VEX("V" name, "256", pp, map, "WIG", op, operands, y, f, Vex256 __VA_OPT__(,) __VA_ARGS__)
#define VT_2(name, pp, map, op, tail, feature, y, f, ...) VT_2_AS(name, pp, map, op, "Vx,Wx" tail, feature, y, f __VA_OPT__(,) __VA_ARGS__)
// 128 bits only.
#define VT_3X_AS(name, l, pp, map, op, operands, vex_operands, feature, f, ...) \
  VT_ROW_SSE(name, pp, map, op, operands, feature, f, Sse __VA_OPT__(,) __VA_ARGS__), \
  VT_ROW_VEX("V" name, l, pp, map, "WIG", op, vex_operands, avx, f, Vex128 __VA_OPT__(,) __VA_ARGS__)
#define VT_3X(name, pp, map, op, tail, feature, f, ...) VT_3X_AS(name, "128", pp, map, op, "Vx,Wx" tail, "Vx,Hx,Wx" tail, feature, f __VA_OPT__(,) __VA_ARGS__)
#define VT_2X(name, pp, map, op, tail, feature, f, ...) VT_3X_AS(name, "128", pp, map, op, "Vx,Wx" tail, "Vx,Wx" tail, feature, f __VA_OPT__(,) __VA_ARGS__)
// Scalars: VEX.L is ignored.
#define VT_3S(name, pp, map, op, tail, feature, f, ...) VT_3X_AS(name, "LIG", pp, map, op, "Vx,Wx" tail, "Vx,Hx,Wx" tail, feature, f __VA_OPT__(,) __VA_ARGS__)
#define VT_2S(name, pp, map, op, tail, feature, f, ...) VT_3X_AS(name, "LIG", pp, map, op, "Vx,Wx" tail, "Vx,Wx" tail, feature, f __VA_OPT__(,) __VA_ARGS__)
// A general register of 32 bits, or 64 with W: f<C, M, E, T, ...>.
#define VT_EW(f, E, ...) {{run<C, f<C, false, E, u32 __VA_OPT__(,) __VA_ARGS__>, true>, run<C, f<C, true, E, u32 __VA_OPT__(,) __VA_ARGS__>, true>}, \
  {run<C, f<C, false, E, u32 __VA_OPT__(,) __VA_ARGS__>, true>, run<C, f<C, true, E, u32 __VA_OPT__(,) __VA_ARGS__>, true>}, \
  {run<C, f<C, false, E, u64 __VA_OPT__(,) __VA_ARGS__>, true>, run<C, f<C, true, E, u64 __VA_OPT__(,) __VA_ARGS__>, true>}}

std::span<const Def> avx_move_rows();
std::span<const Def> avx_int_rows();
std::span<const Def> avx_gather_rows();
std::span<const Def> avx_fma_rows();
std::span<const Def> aes_rows();
std::span<const Def> clmul_rows();
std::span<const Def> sha_rows();

}  // namespace vt::cpu
