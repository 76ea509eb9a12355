// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE to SSE3 moves, masks and the logical operations on packed floats.   SDM 2A, 2B
#include "insn/fpu.hpp"

namespace vt::cpu {
namespace {

// --- whole registers --------------------------------------------------------------------------------

template <class C, bool M>
Next movaps(C& c, const Insn& i) {
  V128 v;
  if (!xmm_source<C, M>(c, i, v)) return Next::fault;
  set_xmm(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M>
Next movaps_store(C& c, const Insn& i) {
  const V128 v = xmm(c, i.reg);
  if constexpr (M) return store_aligned(c, i, v) ? Next::seq : Next::fault;
  set_xmm(c, i.rm, v);
  return Next::seq;
}
template <class C, bool M>
Next movups(C& c, const Insn& i) {
  V128 v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = xmm(c, i.rm);
  set_xmm(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M>
Next movups_store(C& c, const Insn& i) {
  const V128 v = xmm(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  set_xmm(c, i.rm, v);
  return Next::seq;
}

// --- scalars: a load clears the rest of the register, a register move keeps it ---------------------------

template <class C, bool M, class T>
Next mov_scalar(C& c, const Insn& i) {
  T v;
  if (!xmm_low_source<C, M>(c, i, v)) return Next::fault;
  if constexpr (M) set_xmm(c, i.reg, {{v, 0}});
  else set_xmm_low(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M, class T>
Next mov_scalar_store(C& c, const Insn& i) {
  const T v = xmm_low<C, T>(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  set_xmm_low(c, i.rm, v);
  return Next::seq;
}
// MOVQ clears the upper half of a destination register in both directions.
template <class C, bool M>
Next movq_load(C& c, const Insn& i) {
  u64 v;
  if (!xmm_low_source<C, M>(c, i, v)) return Next::fault;
  set_xmm(c, i.reg, {{v, 0}});
  return Next::seq;
}
template <class C, bool M>
Next movq_store(C& c, const Insn& i) {
  const u64 v = xmm_low<C, u64>(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  set_xmm(c, i.rm, {{v, 0}});
  return Next::seq;
}
template <class C, bool M, class T>
Next movd_load(C& c, const Insn& i) {
  T v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = c.template reg<T>(i.rm);
  set_xmm(c, i.reg, {{v, 0}});
  return Next::seq;
}
template <class C, bool M, class T>
Next movd_store(C& c, const Insn& i) {
  const T v = xmm_low<C, T>(c, i.reg);
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  c.template set_reg<T>(i.rm, v);
  return Next::seq;
}

// --- halves ---------------------------------------------------------------------------------------------

template <class C, unsigned Half>
Next load_half(C& c, const Insn& i) {  // MOVLPS, MOVHPS and their double forms
  return c.load(i, c.fpu.ymm[i.reg][Half]) ? Next::seq : Next::fault;
}
template <class C, unsigned Half>
Next store_half(C& c, const Insn& i) {
  return c.store(i, c.fpu.ymm[i.reg][Half]) ? Next::seq : Next::fault;
}
template <class C>
Next movhlps(C& c, const Insn& i) {
  c.fpu.ymm[i.reg][0] = c.fpu.ymm[i.rm][1];
  return Next::seq;
}
template <class C>
Next movlhps(C& c, const Insn& i) {
  c.fpu.ymm[i.reg][1] = c.fpu.ymm[i.rm][0];
  return Next::seq;
}
template <class C, bool M>
Next movddup(C& c, const Insn& i) {
  u64 v;
  if (!xmm_low_source<C, M>(c, i, v)) return Next::fault;
  set_xmm(c, i.reg, {{v, v}});
  return Next::seq;
}
template <class C, bool M, unsigned Odd>
Next mov_dup_single(C& c, const Insn& i) {  // MOVSLDUP, MOVSHDUP
  V128 v;
  if (!xmm_source<C, M>(c, i, v)) return Next::fault;
  for (u64& q : v.q) {
    const u64 x = static_cast<u32>(q >> (32 * Odd));
    q = x | x << 32;
  }
  set_xmm(c, i.reg, v);
  return Next::seq;
}

// --- shuffles -------------------------------------------------------------------------------------------

template <class C, bool M, class E, unsigned High>
Next unpack_float(C& c, const Insn& i) {  // UNPCKLPS, UNPCKHPS, UNPCKLPD, UNPCKHPD
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  const auto x = lanes_of<E>(xmm(c, i.reg)), y = lanes_of<E>(b);
  auto to = x;
  const std::size_t n = to.size() / 2;
  for (std::size_t k = 0; k < n; ++k) to[2 * k] = x[High * n + k], to[2 * k + 1] = y[High * n + k];
  set_xmm(c, i.reg, from_lanes<V128>(to));
  return Next::seq;
}
template <class C, bool M>
Next shufps(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  const auto x = lanes_of<u32>(xmm(c, i.reg)), y = lanes_of<u32>(b);
  const unsigned s = static_cast<u8>(i.imm);
  const std::array<u32, 4> to{x[s & 3], x[(s >> 2) & 3], y[(s >> 4) & 3], y[s >> 6]};
  set_xmm(c, i.reg, from_lanes<V128>(to));
  return Next::seq;
}
template <class C, bool M>
Next shufpd(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  const V128 a = xmm(c, i.reg);
  set_xmm(c, i.reg, {{a.q[i.imm & 1], b.q[(i.imm >> 1) & 1]}});
  return Next::seq;
}

// --- logic ----------------------------------------------------------------------------------------------

struct And { static u64 f(u64 a, u64 b) { return a & b; } };
struct Andn { static u64 f(u64 a, u64 b) { return ~a & b; } };
struct Or { static u64 f(u64 a, u64 b) { return a | b; } };
struct Xor { static u64 f(u64 a, u64 b) { return a ^ b; } };
template <class C, bool M, class Op>
Next logic(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  const V128 a = xmm(c, i.reg);
  set_xmm(c, i.reg, {{Op::f(a.q[0], b.q[0]), Op::f(a.q[1], b.q[1])}});
  return Next::seq;
}

// --- masks ----------------------------------------------------------------------------------------------

template <class C, class E>
Next movmsk(C& c, const Insn& i) {  // MOVMSKPS, MOVMSKPD, PMOVMSKB
  u32 bits = 0;
  const auto x = lanes_of<E>(xmm(c, i.rm));
  for (std::size_t k = 0; k < x.size(); ++k) bits |= static_cast<u32>(x[k] >> (8 * sizeof(E) - 1)) << k;
  c.template set_reg<u32>(i.reg, bits);
  return Next::seq;
}
// Bytes that are not selected are not accessed, nor can they fault.
template <class C>
Next maskmovdqu(C& c, const Insn& i) {
  const auto data = lanes_of<u8>(xmm(c, i.reg)), select = lanes_of<u8>(xmm(c, i.rm));
  const u64 di = i.asz() == 2 ? c.r[7] : i.asz() == 1 ? static_cast<u32>(c.r[7]) : static_cast<u16>(c.r[7]);
  u64 la[16];
  for (unsigned k = 0; k < 16; ++k)
    if (select[k] & 0x80)
      if (!c.linear_seg(i.seg, di + k, 1, true, la[k]) || !c.probe_write(la[k], 1, i.seg)) return Next::fault;
  for (unsigned k = 0; k < 16; ++k)
    if ((select[k] & 0x80) && !c.template store_at<u8>(la[k], data[k], i.seg)) return Next::fault;
  return Next::seq;
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
constexpr Def kRows[] = {
  {"MOVUPS",    "NP 0F 10 /r", "Vdq,Wdq", S, sse,  VT_FN(movups)},
  {"MOVUPS",    "NP 0F 11 /r", "Wdq,Vdq", S, sse,  VT_FN(movups_store)},
  {"MOVUPD",    "66 0F 10 /r", "Vdq,Wdq", S, sse2, VT_FN(movups)},
  {"MOVUPD",    "66 0F 11 /r", "Wdq,Vdq", S, sse2, VT_FN(movups_store)},
  {"MOVSS",     "F3 0F 10 /r", "Vd,Wd",   S, sse,  VT_OP(mov_scalar, u32)},
  {"MOVSS",     "F3 0F 11 /r", "Wd,Vd",   S, sse,  VT_OP(mov_scalar_store, u32)},
  {"MOVSD",     "F2 0F 10 /r", "Vq,Wq",   S, sse2, VT_OP(mov_scalar, u64)},
  {"MOVSD",     "F2 0F 11 /r", "Wq,Vq",   S, sse2, VT_OP(mov_scalar_store, u64)},
  {"MOVAPS",    "NP 0F 28 /r", "Vdq,Wdq", S, sse,  VT_FN(movaps)},
  {"MOVAPS",    "NP 0F 29 /r", "Wdq,Vdq", S, sse,  VT_FN(movaps_store)},
  {"MOVAPD",    "66 0F 28 /r", "Vdq,Wdq", S, sse2, VT_FN(movaps)},
  {"MOVAPD",    "66 0F 29 /r", "Wdq,Vdq", S, sse2, VT_FN(movaps_store)},
  {"MOVDQA",    "66 0F 6F /r", "Vdq,Wdq", S, sse2, VT_FN(movaps)},
  {"MOVDQA",    "66 0F 7F /r", "Wdq,Vdq", S, sse2, VT_FN(movaps_store)},
  {"MOVDQU",    "F3 0F 6F /r", "Vdq,Wdq", S, sse2, VT_FN(movups)},
  {"MOVDQU",    "F3 0F 7F /r", "Wdq,Vdq", S, sse2, VT_FN(movups_store)},
  {"LDDQU",     "F2 0F F0 /r", "Vdq,Mdq", S, sse3, VT_FN(movups)},
  {"MOVNTPS",   "NP 0F 2B /r", "Mdq,Vdq", S, sse,  VT_FN(movaps_store)},
  {"MOVNTPD",   "66 0F 2B /r", "Mdq,Vdq", S, sse2, VT_FN(movaps_store)},
  {"MOVNTDQ",   "66 0F E7 /r", "Mdq,Vdq", S, sse2, VT_FN(movaps_store)},
  {"MOVNTDQA",  "66 0F 38 2A /r", "Vdq,Mdq", S, sse4_1, VT_FN(movaps)},

  {"MOVLPS",    "NP 0F 12 /r", "Vq,Mq",   S, sse,  VT_ALL(load_half<C, 0>)},
  {"MOVHLPS",   "NP 0F 12 /r", "Vq,Uq",   S, sse,  VT_1(movhlps)},
  {"MOVLPS",    "NP 0F 13 /r", "Mq,Vq",   S, sse,  VT_ALL(store_half<C, 0>)},
  {"MOVLPD",    "66 0F 12 /r", "Vq,Mq",   S, sse2, VT_ALL(load_half<C, 0>)},
  {"MOVLPD",    "66 0F 13 /r", "Mq,Vq",   S, sse2, VT_ALL(store_half<C, 0>)},
  {"MOVHPS",    "NP 0F 16 /r", "Vq,Mq",   S, sse,  VT_ALL(load_half<C, 1>)},
  {"MOVLHPS",   "NP 0F 16 /r", "Vq,Uq",   S, sse,  VT_1(movlhps)},
  {"MOVHPS",    "NP 0F 17 /r", "Mq,Vq",   S, sse,  VT_ALL(store_half<C, 1>)},
  {"MOVHPD",    "66 0F 16 /r", "Vq,Mq",   S, sse2, VT_ALL(load_half<C, 1>)},
  {"MOVHPD",    "66 0F 17 /r", "Mq,Vq",   S, sse2, VT_ALL(store_half<C, 1>)},
  {"MOVDDUP",   "F2 0F 12 /r", "Vdq,Wq",  S, sse3, VT_FN(movddup)},
  {"MOVSLDUP",  "F3 0F 12 /r", "Vdq,Wdq", S, sse3, VT_OP(mov_dup_single, 0)},
  {"MOVSHDUP",  "F3 0F 16 /r", "Vdq,Wdq", S, sse3, VT_OP(mov_dup_single, 1)},

  {"MOVD/MOVQ", "66 0F 6E /r", "Vdq,Ed/q", S, sse2, VT_W(movd_load)},
  {"MOVD/MOVQ", "66 0F 7E /r", "Ed/q,Vdq", S, sse2, VT_W(movd_store)},
  {"MOVQ",      "F3 0F 7E /r", "Vdq,Wq",  S, sse2, VT_FN(movq_load)},
  {"MOVQ",      "66 0F D6 /r", "Wq,Vq",   S, sse2, VT_FN(movq_store)},
  {"MOVQ2DQ",   "F3 0F D6 /r", "Vdq,Nq",  S | attr::mmx, sse2, VT_1(movq2dq)},
  {"MOVDQ2Q",   "F2 0F D6 /r", "Pq,Uq",   S | attr::mmx, sse2, VT_1(movdq2q)},

  {"UNPCKLPS",  "NP 0F 14 /r", "Vdq,Wdq", S, sse,  VT_OP(unpack_float, u32, 0)},
  {"UNPCKLPD",  "66 0F 14 /r", "Vdq,Wdq", S, sse2, VT_OP(unpack_float, u64, 0)},
  {"UNPCKHPS",  "NP 0F 15 /r", "Vdq,Wdq", S, sse,  VT_OP(unpack_float, u32, 1)},
  {"UNPCKHPD",  "66 0F 15 /r", "Vdq,Wdq", S, sse2, VT_OP(unpack_float, u64, 1)},
  {"SHUFPS",    "NP 0F C6 /r ib", "Vdq,Wdq,Ib", S, sse,  VT_FN(shufps)},
  {"SHUFPD",    "66 0F C6 /r ib", "Vdq,Wdq,Ib", S, sse2, VT_FN(shufpd)},

  {"ANDPS",     "NP 0F 54 /r", "Vdq,Wdq", S, sse,  VT_OP(logic, And)},
  {"ANDPD",     "66 0F 54 /r", "Vdq,Wdq", S, sse2, VT_OP(logic, And)},
  {"ANDNPS",    "NP 0F 55 /r", "Vdq,Wdq", S, sse,  VT_OP(logic, Andn)},
  {"ANDNPD",    "66 0F 55 /r", "Vdq,Wdq", S, sse2, VT_OP(logic, Andn)},
  {"ORPS",      "NP 0F 56 /r", "Vdq,Wdq", S, sse,  VT_OP(logic, Or)},
  {"ORPD",      "66 0F 56 /r", "Vdq,Wdq", S, sse2, VT_OP(logic, Or)},
  {"XORPS",     "NP 0F 57 /r", "Vdq,Wdq", S, sse,  VT_OP(logic, Xor)},
  {"XORPD",     "66 0F 57 /r", "Vdq,Wdq", S, sse2, VT_OP(logic, Xor)},
  {"PAND",      "66 0F DB /r", "Vdq,Wdq", S, sse2, VT_OP(logic, And)},
  {"PANDN",     "66 0F DF /r", "Vdq,Wdq", S, sse2, VT_OP(logic, Andn)},
  {"POR",       "66 0F EB /r", "Vdq,Wdq", S, sse2, VT_OP(logic, Or)},
  {"PXOR",      "66 0F EF /r", "Vdq,Wdq", S, sse2, VT_OP(logic, Xor)},

  {"MOVMSKPS",  "NP 0F 50 /r", "Gd,Udq",  S, sse,  VT_ALL(movmsk<C, u32>)},
  {"MOVMSKPD",  "66 0F 50 /r", "Gd,Udq",  S, sse2, VT_ALL(movmsk<C, u64>)},
  {"PMOVMSKB",  "66 0F D7 /r", "Gd,Udq",  S, sse2, VT_ALL(movmsk<C, u8>)},
  {"MASKMOVDQU", "66 0F F7 /r", "Vdq,Udq", S, sse2, VT_1(maskmovdqu)},
};

}  // namespace

std::span<const Def> sse_move_rows() { return kRows; }

}  // namespace vt::cpu
