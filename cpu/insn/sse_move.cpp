// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE to SSE3 moves, masks and the logical operations on packed floats, with AVX's forms of them.   SDM 2A, 2B
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {
using namespace lane;

// --- whole registers: the aligned ones are so in every encoding -------------------------------------

template <class C, bool M, class E>
Next movaps(C& c, const Insn& i) {
  Vec<E> v;
  if constexpr (M) { if (!load_aligned(c, i, v)) return Next::fault; }
  else v = vreg<E>(c, i.rm);
  set_vreg<E>(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M, class E>
Next movaps_store(C& c, const Insn& i) {
  const Vec<E> v = vreg<E>(c, i.reg);
  if constexpr (M) return store_aligned(c, i, v) ? Next::seq : Next::fault;
  set_vreg<E>(c, i.rm, v);
  return Next::seq;
}
template <class C, bool M, class E>
Next movups(C& c, const Insn& i) {
  Vec<E> v;
  if (!low_source<M>(c, i, v)) return Next::fault;
  set_vreg<E>(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M, class E>
Next movups_store(C& c, const Insn& i) {
  const Vec<E> v = vreg<E>(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  set_vreg<E>(c, i.rm, v);
  return Next::seq;
}

// --- scalars: a load clears the rest of the register, a register move keeps it (VEX: takes it from vvvv) ----

template <class C, bool M, class E, class T>
Next mov_scalar(C& c, const Insn& i) {
  T v;
  if (!low_source<M>(c, i, v)) return Next::fault;
  if constexpr (M) set_zeroed<E>(c, i.reg, v);
  else set_low<E>(c, i, v);
  return Next::seq;
}
template <class C, bool M, class E, class T>
Next mov_scalar_store(C& c, const Insn& i) {
  const T v = xmm_low<C, T>(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  Vec<Half<E>> x = vreg<Half<E>>(c, E::vex ? i.vvvv : i.rm);
  std::memcpy(&x, &v, sizeof v);
  set_vreg<Half<E>>(c, i.rm, x);
  return Next::seq;
}
// MOVQ clears the upper half of a destination register in both directions.
template <class C, bool M, class E>
Next movq_load(C& c, const Insn& i) {
  u64 v;
  if (!low_source<M>(c, i, v)) return Next::fault;
  set_zeroed<E>(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M, class E>
Next movq_store(C& c, const Insn& i) {
  const u64 v = xmm_low<C, u64>(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  set_zeroed<E>(c, i.rm, v);
  return Next::seq;
}
template <class C, bool M, class E, class T>
Next movd_load(C& c, const Insn& i) {
  T v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = c.template reg<T>(i.rm);
  set_zeroed<E>(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M, class E, class T>
Next movd_store(C& c, const Insn& i) {
  const T v = xmm_low<C, T>(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  c.template set_reg<T>(i.rm, v);
  return Next::seq;
}

// --- halves: the other one is the first source's --------------------------------------------------------

template <class C, class E>
void set_half(C& c, const Insn& i, unsigned half, u64 v) {
  Vec<E> x = first<E>(c, i);
  x.h[0].q[half] = v;
  set_vreg<E>(c, i.reg, x);
}
template <class C, bool M, class E, unsigned H>
Next load_half(C& c, const Insn& i) {  // MOVLPS, MOVHPS and their double forms
  u64 v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = c.fpu.ymm[i.rm][1 - H];  // MOVHLPS, MOVLHPS
  set_half<C, E>(c, i, H, v);
  return Next::seq;
}
template <class C, bool, class, unsigned H>
Next store_half(C& c, const Insn& i) {
  return c.store(i, c.fpu.ymm[i.reg][H]) ? Next::seq : Next::fault;
}
template <class C, bool M, class E>
Next movddup(C& c, const Insn& i) {
  Vec<E> v;
  if constexpr (E::halves == 1) { if (!low_source<M>(c, i, v.h[0].q[0])) return Next::fault; }
  else { if (!source<E, M>(c, i, v)) return Next::fault; }
  for (V128& x : v.h) x.q[1] = x.q[0];
  set_vreg<E>(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M, class E, unsigned Odd>
Next mov_dup_single(C& c, const Insn& i) {  // MOVSLDUP, MOVSHDUP
  Vec<E> v;
  if (!source<E, M>(c, i, v)) return Next::fault;
  for (V128& h : v.h)
    for (u64& q : h.q) {
      const u64 x = static_cast<u32>(q >> (32 * Odd));
      q = x | x << 32;
    }
  set_vreg<E>(c, i.reg, v);
  return Next::seq;
}

// --- shuffles -------------------------------------------------------------------------------------------

template <class C, bool M, class E>
Next shufps(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  const Vec<E> a = first<E>(c, i);
  const unsigned s = static_cast<u8>(i.imm);
  for (unsigned h = 0; h < E::halves; ++h) {
    const auto x = lanes_of<u32>(a.h[h]), y = lanes_of<u32>(b.h[h]);
    b.h[h] = from_lanes<V128>(std::array<u32, 4>{x[s & 3], x[(s >> 2) & 3], y[(s >> 4) & 3], y[s >> 6]});
  }
  set_vreg<E>(c, i.reg, b);
  return Next::seq;
}
template <class C, bool M, class E>
Next shufpd(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  const Vec<E> a = first<E>(c, i);
  for (unsigned h = 0; h < E::halves; ++h) b.h[h] = {{a.h[h].q[i.imm >> 2 * h & 1], b.h[h].q[i.imm >> (2 * h + 1) & 1]}};
  set_vreg<E>(c, i.reg, b);
  return Next::seq;
}

// --- masks ----------------------------------------------------------------------------------------------

template <class C, bool, class E, class L>
Next movmsk(C& c, const Insn& i) {  // MOVMSKPS, MOVMSKPD, PMOVMSKB
  u32 bits = 0;
  const auto x = lanes_of<L>(vreg<E>(c, i.rm));
  for (std::size_t k = 0; k < x.size(); ++k) bits |= static_cast<u32>(x[k] >> (8 * sizeof(L) - 1)) << k;
  c.template set_reg<u32>(i.reg, bits);
  return Next::seq;
}
template <class C, bool, class>
Next maskmovdqu(C& c, const Insn& i) {
  return store_selected(c, i, lanes_of<u8>(xmm(c, i.reg)), lanes_of<u8>(xmm(c, i.rm))) ? Next::seq : Next::fault;
}

// --- between MMX and XMM registers ----------------------------------------------------------------------

template <class C>
Next movq2dq(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  mmx_enter(c);
  set_xmm(c, i.reg, {{mm(c, i.rm).q[0], 0}});
  return Next::seq;
}
template <class C>
Next movdq2q(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  mmx_enter(c);
  set_mm(c, i.reg, {{c.fpu.ymm[i.rm][0]}});
  return Next::seq;
}

using C = Cpu;
using enum Feature;
constexpr u32 S = attr::sse;
#define VT_LOAD(name, pp, op, feature, f) VT_2_AS(name, pp, 0F, op " /r", "Vx,Wx", feature, avx, f)
#define VT_STORE(name, pp, op, feature, f) VT_2_AS(name, pp, 0F, op " /r", "Wx,Vx", feature, avx, f)
#define VT_STREAM(name, pp, op, feature) VT_2_AS(name, pp, 0F, op " /r", "Mx,Vx", feature, avx, movaps_store)
// The register forms have three operands with VEX, the memory forms two.
#define VT_SCALAR(name, pp, feature, T) \
  VT_ROW_SSE(name, pp, 0F, "10 /r", "Vx,Wx", feature, mov_scalar, Sse, T), VT_ROW_SSE(name, pp, 0F, "11 /r", "Wx,Vx", feature, mov_scalar_store, Sse, T), \
  VT_ROW_VEX("V" name, "LIG", pp, 0F, "WIG", "10 /r", "Vx,Hx,Ux", avx, mov_scalar, Vex128, T), VT_ROW_VEX("V" name, "LIG", pp, 0F, "WIG", "10 /r", "Vx,Mx", avx, mov_scalar, Vex128, T), \
  VT_ROW_VEX("V" name, "LIG", pp, 0F, "WIG", "11 /r", "Ux,Hx,Vx", avx, mov_scalar_store, Vex128, T), VT_ROW_VEX("V" name, "LIG", pp, 0F, "WIG", "11 /r", "Mx,Vx", avx, mov_scalar_store, Vex128, T)
#define VT_HALF_LOAD(name, pp, op, kind, feature, h) VT_3X_AS(name, "128", pp, 0F, op " /r", "Vq," kind, "Vq,Hq," kind, feature, load_half, h)
#define VT_HALF_STORE(name, pp, op, feature, h) VT_3X_AS(name, "128", pp, 0F, op " /r", "Mq,Vq", "Mq,Vq", feature, store_half, h)
#define VT_MASK(name, pp, op, feature, y, T) VT_2_AS(name, pp, 0F, op " /r", "Gd,Ux", feature, y, movmsk, T)
#define VT_LOGIC(name, op, Op) VT_3(name "PS", "NP", 0F, op " /r", "", sse, avx, packed, Each<u64, Op>), VT_3(name "PD", "66", 0F, op " /r", "", sse2, avx, packed, Each<u64, Op>)
#define VT_UNPACK(name, op, High) VT_3(name "PS", "NP", 0F, op " /r", "", sse, avx, packed, Unpack<u32, High>), VT_3(name "PD", "66", 0F, op " /r", "", sse2, avx, packed, Unpack<u64, High>)
constexpr Def kRows[] = {
  VT_LOAD("MOVUPS", "NP", "10", sse, movups), VT_STORE("MOVUPS", "NP", "11", sse, movups_store),
  VT_LOAD("MOVUPD", "66", "10", sse2, movups), VT_STORE("MOVUPD", "66", "11", sse2, movups_store),
  VT_SCALAR("MOVSS", "F3", sse, u32),
  VT_SCALAR("MOVSD", "F2", sse2, u64),
  VT_LOAD("MOVAPS", "NP", "28", sse, movaps), VT_STORE("MOVAPS", "NP", "29", sse, movaps_store),
  VT_LOAD("MOVAPD", "66", "28", sse2, movaps), VT_STORE("MOVAPD", "66", "29", sse2, movaps_store),
  VT_LOAD("MOVDQA", "66", "6F", sse2, movaps), VT_STORE("MOVDQA", "66", "7F", sse2, movaps_store),
  VT_LOAD("MOVDQU", "F3", "6F", sse2, movups), VT_STORE("MOVDQU", "F3", "7F", sse2, movups_store),
  VT_2_AS("LDDQU", "F2", 0F, "F0 /r", "Vx,Mx", sse3, avx, movups),
  VT_STREAM("MOVNTPS", "NP", "2B", sse),
  VT_STREAM("MOVNTPD", "66", "2B", sse2),
  VT_STREAM("MOVNTDQ", "66", "E7", sse2),
  VT_2_AS("MOVNTDQA", "66", 0F38, "2A /r", "Vx,Mx", sse4_1, avx2, movaps),

  VT_HALF_LOAD("MOVLPS", "NP", "12", "Mq", sse, 0), VT_HALF_LOAD("MOVHLPS", "NP", "12", "Uq", sse, 0), VT_HALF_STORE("MOVLPS", "NP", "13", sse, 0),
  VT_HALF_LOAD("MOVLPD", "66", "12", "Mq", sse2, 0), VT_HALF_STORE("MOVLPD", "66", "13", sse2, 0),
  VT_HALF_LOAD("MOVHPS", "NP", "16", "Mq", sse, 1), VT_HALF_LOAD("MOVLHPS", "NP", "16", "Uq", sse, 1), VT_HALF_STORE("MOVHPS", "NP", "17", sse, 1),
  VT_HALF_LOAD("MOVHPD", "66", "16", "Mq", sse2, 1), VT_HALF_STORE("MOVHPD", "66", "17", sse2, 1),
  VT_2("MOVDDUP", "F2", 0F, "12 /r", "", sse3, avx, movddup),
  VT_2("MOVSLDUP", "F3", 0F, "12 /r", "", sse3, avx, mov_dup_single, 0),
  VT_2("MOVSHDUP", "F3", 0F, "16 /r", "", sse3, avx, mov_dup_single, 1),

  {"MOVD/MOVQ", "66 0F 6E /r", "Vdq,Ed/q", S, sse2, VT_EW(movd_load, Sse)},
  {"MOVD/MOVQ", "66 0F 7E /r", "Ed/q,Vdq", S, sse2, VT_EW(movd_store, Sse)},
  {"VMOVD/VMOVQ", "VEX.128.66.0F 6E /r", "Vdq,Ed/q", attr::avx, avx, VT_EW(movd_load, Vex128)},
  {"VMOVD/VMOVQ", "VEX.128.66.0F 7E /r", "Ed/q,Vdq", attr::avx, avx, VT_EW(movd_store, Vex128)},
  VT_2X("MOVQ", "F3", 0F, "7E /r", "", sse2, movq_load),
  VT_3X_AS("MOVQ", "128", "66", 0F, "D6 /r", "Wq,Vq", "Wq,Vq", sse2, movq_store),
  {"MOVQ2DQ",   "F3 0F D6 /r", "Vdq,Nq",  S | attr::mmx, sse2, VT_1(movq2dq)},
  {"MOVDQ2Q",   "F2 0F D6 /r", "Pq,Uq",   S | attr::mmx, sse2, VT_1(movdq2q)},

  VT_UNPACK("UNPCKL", "14", false),
  VT_UNPACK("UNPCKH", "15", true),
  VT_3("SHUFPS", "NP", 0F, "C6 /r ib", ",Ib", sse, avx, shufps),
  VT_3("SHUFPD", "66", 0F, "C6 /r ib", ",Ib", sse2, avx, shufpd),
  VT_LOGIC("AND", "54", kAnd),
  VT_LOGIC("ANDN", "55", kAndn),
  VT_LOGIC("OR", "56", kOr),
  VT_LOGIC("XOR", "57", kXor),

  VT_MASK("MOVMSKPS", "NP", "50", sse, avx, u32),
  VT_MASK("MOVMSKPD", "66", "50", sse2, avx, u64),
  VT_MASK("PMOVMSKB", "66", "D7", sse2, avx2, u8),
  VT_3X_AS("MASKMOVDQU", "128", "66", 0F, "F7 /r", "Vdq,Udq", "Vdq,Udq", sse2, maskmovdqu),
};

}  // namespace

std::span<const Def> sse_move_rows() { return kRows; }

}  // namespace vt::cpu
