// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE2 and SSSE3 packed integers on XMM registers, AVX's and AVX2's forms of them.   SDM 2B
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {
using namespace lane;

// The count is in 128 bits, whatever the vector's length.
template <class C, bool M, class E, class L, Shift S>
Next shift_by(C& c, const Insn& i) {
  Vec<Half<E>> count;
  if (!source<Half<E>, M>(c, i, count)) return Next::fault;
  set_vreg<E>(c, i.reg, shift<L, S>(first<E>(c, i), count.h[0].q[0]));
  return Next::seq;
}
/// Shifts by an immediate: VEX.vvvv is the destination.
template <class E> unsigned shifted_to(const Insn& i) { return E::vex ? i.vvvv : i.rm; }
template <class C, bool, class E, class L, Shift S>
Next shift_imm(C& c, const Insn& i) {
  set_vreg<E>(c, shifted_to<E>(i), shift<L, S>(vreg<E>(c, i.rm), static_cast<u8>(i.imm)));
  return Next::seq;
}
template <class C, bool, class E, bool Left>
Next shift_bytes(C& c, const Insn& i) {  // PSLLDQ, PSRLDQ
  const unsigned n = std::min<unsigned>(static_cast<u8>(i.imm), 16);
  Vec<E> v = vreg<E>(c, i.rm);
  for (V128& x : v.h) x = Left ? align_right(x, V128{}, 16 - n) : align_right(V128{}, x, n);
  set_vreg<E>(c, shifted_to<E>(i), v);
  return Next::seq;
}
template <class C, bool M, class E>
Next palignr(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  const Vec<E> a = first<E>(c, i);
  for (unsigned h = 0; h < E::halves; ++h) b.h[h] = align_right(a.h[h], b.h[h], static_cast<u8>(i.imm));
  set_vreg<E>(c, i.reg, b);
  return Next::seq;
}
// PSHUFD, PSHUFLW, PSHUFHW: L the lane, First the first of the four that move.
template <class C, bool M, class E, class L, unsigned First>
Next pshuf(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  for (V128& x : b.h) x = shuffle_by<L>(x, static_cast<u8>(i.imm), First);
  set_vreg<E>(c, i.reg, b);
  return Next::seq;
}
template <class C, bool M, class E>
Next pinsrw(C& c, const Insn& i) {
  u16 v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = c.template reg<u16>(i.rm);
  auto x = lanes_of<u16>(first<E>(c, i));
  x[i.imm & 7] = v;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}
template <class C, bool, class E>
Next pextrw(C& c, const Insn& i) {
  c.template set_reg<u32>(i.reg, lanes_of<u16>(xmm(c, i.rm))[i.imm & 7]);
  return Next::seq;
}

using C = Cpu;
#define VT_PACKED(name, op, ...) VT_3(name, "66", 0F, op " /r", "", sse2, avx2, packed, __VA_ARGS__)
#define VT_PACKED_38(name, op, ...) VT_3(name, "66", 0F38, op " /r", "", ssse3, avx2, packed, __VA_ARGS__)
#define VT_SHIFT(name, op, ...) VT_3(name, "66", 0F, op " /r", "", sse2, avx2, shift_by, __VA_ARGS__)
#define VT_SHIFT_IMM(name, op, f, ...) VT_ROW_SSE(name, "66", 0F, op " ib", "Ux,Ib", sse2, f, Sse, __VA_ARGS__), \
  VT_ROW_VEX("V" name, "128", "66", 0F, "WIG", op " ib", "Hx,Ux,Ib", avx, f, Vex128, __VA_ARGS__), \
  VT_ROW_VEX("V" name, "256", "66", 0F, "WIG", op " ib", "Hx,Ux,Ib", avx2, f, Vex256, __VA_ARGS__)
constexpr Def kRows[] = {
  VT_PACKED("PUNPCKLBW", "60", Unpack<u8, false>),
  VT_PACKED("PUNPCKLWD", "61", Unpack<u16, false>),
  VT_PACKED("PUNPCKLDQ", "62", Unpack<u32, false>),
  VT_PACKED("PACKSSWB", "63", Pack<i16, i8>),
  VT_PACKED("PCMPGTB", "64", Each<i8, kGt>),
  VT_PACKED("PCMPGTW", "65", Each<i16, kGt>),
  VT_PACKED("PCMPGTD", "66", Each<i32, kGt>),
  VT_PACKED("PACKUSWB", "67", Pack<i16, u8>),
  VT_PACKED("PUNPCKHBW", "68", Unpack<u8, true>),
  VT_PACKED("PUNPCKHWD", "69", Unpack<u16, true>),
  VT_PACKED("PUNPCKHDQ", "6A", Unpack<u32, true>),
  VT_PACKED("PACKSSDW", "6B", Pack<i32, i16>),
  VT_PACKED("PUNPCKLQDQ", "6C", Unpack<u64, false>),
  VT_PACKED("PUNPCKHQDQ", "6D", Unpack<u64, true>),
  VT_PACKED("PCMPEQB", "74", Each<u8, kEq>),
  VT_PACKED("PCMPEQW", "75", Each<u16, kEq>),
  VT_PACKED("PCMPEQD", "76", Each<u32, kEq>),
  VT_SHIFT("PSRLW", "D1", u16, Shift::right),
  VT_SHIFT("PSRLD", "D2", u32, Shift::right),
  VT_SHIFT("PSRLQ", "D3", u64, Shift::right),
  VT_PACKED("PADDQ", "D4", Each<u64, kAdd>),
  VT_PACKED("PMULLW", "D5", Each<u16, kMulLow>),
  VT_PACKED("PSUBUSB", "D8", Each<u8, kSubSat>),
  VT_PACKED("PSUBUSW", "D9", Each<u16, kSubSat>),
  VT_PACKED("PMINUB", "DA", Each<u8, kMin>),
  VT_PACKED("PAND", "DB", Each<u64, kAnd>),
  VT_PACKED("PADDUSB", "DC", Each<u8, kAddSat>),
  VT_PACKED("PADDUSW", "DD", Each<u16, kAddSat>),
  VT_PACKED("PMAXUB", "DE", Each<u8, kMax>),
  VT_PACKED("PANDN", "DF", Each<u64, kAndn>),
  VT_PACKED("PAVGB", "E0", Each<u8, kAvg>),
  VT_SHIFT("PSRAW", "E1", u16, Shift::arithmetic),
  VT_SHIFT("PSRAD", "E2", u32, Shift::arithmetic),
  VT_PACKED("PAVGW", "E3", Each<u16, kAvg>),
  VT_PACKED("PMULHUW", "E4", Each<u16, kMulHigh>),
  VT_PACKED("PMULHW", "E5", Each<i16, kMulHigh>),
  VT_PACKED("PSUBSB", "E8", Each<i8, kSubSat>),
  VT_PACKED("PSUBSW", "E9", Each<i16, kSubSat>),
  VT_PACKED("PMINSW", "EA", Each<i16, kMin>),
  VT_PACKED("POR", "EB", Each<u64, kOr>),
  VT_PACKED("PADDSB", "EC", Each<i8, kAddSat>),
  VT_PACKED("PADDSW", "ED", Each<i16, kAddSat>),
  VT_PACKED("PMAXSW", "EE", Each<i16, kMax>),
  VT_PACKED("PXOR", "EF", Each<u64, kXor>),
  VT_SHIFT("PSLLW", "F1", u16, Shift::left),
  VT_SHIFT("PSLLD", "F2", u32, Shift::left),
  VT_SHIFT("PSLLQ", "F3", u64, Shift::left),
  VT_PACKED("PMULUDQ", "F4", Each<u64, kMulEven>),
  VT_PACKED("PMADDWD", "F5", MulAddWords),
  VT_PACKED("PSADBW", "F6", SumAbsDiff),
  VT_PACKED("PSUBB", "F8", Each<u8, kSub>),
  VT_PACKED("PSUBW", "F9", Each<u16, kSub>),
  VT_PACKED("PSUBD", "FA", Each<u32, kSub>),
  VT_PACKED("PSUBQ", "FB", Each<u64, kSub>),
  VT_PACKED("PADDB", "FC", Each<u8, kAdd>),
  VT_PACKED("PADDW", "FD", Each<u16, kAdd>),
  VT_PACKED("PADDD", "FE", Each<u32, kAdd>),
  VT_PACKED_38("PSHUFB", "00", ShuffleBytes),
  VT_PACKED_38("PHADDW", "01", Horizontal<u16, kAdd>),
  VT_PACKED_38("PHADDD", "02", Horizontal<u32, kAdd>),
  VT_PACKED_38("PHADDSW", "03", Horizontal<i16, kAddSat>),
  VT_PACKED_38("PMADDUBSW", "04", MulAddBytes),
  VT_PACKED_38("PHSUBW", "05", Horizontal<u16, kSub>),
  VT_PACKED_38("PHSUBD", "06", Horizontal<u32, kSub>),
  VT_PACKED_38("PHSUBSW", "07", Horizontal<i16, kSubSat>),
  VT_PACKED_38("PSIGNB", "08", Each<i8, kSign>),
  VT_PACKED_38("PSIGNW", "09", Each<i16, kSign>),
  VT_PACKED_38("PSIGND", "0A", Each<i32, kSign>),
  VT_PACKED_38("PMULHRSW", "0B", Each<i16, kMulHrs>),
  VT_2("PABSB", "66", 0F38, "1C /r", "", ssse3, avx2, packed, Each<i8, kAbs>),
  VT_2("PABSW", "66", 0F38, "1D /r", "", ssse3, avx2, packed, Each<i16, kAbs>),
  VT_2("PABSD", "66", 0F38, "1E /r", "", ssse3, avx2, packed, Each<i32, kAbs>),
  VT_SHIFT_IMM("PSRLW", "71 /2", shift_imm, u16, Shift::right),
  VT_SHIFT_IMM("PSRAW", "71 /4", shift_imm, u16, Shift::arithmetic),
  VT_SHIFT_IMM("PSLLW", "71 /6", shift_imm, u16, Shift::left),
  VT_SHIFT_IMM("PSRLD", "72 /2", shift_imm, u32, Shift::right),
  VT_SHIFT_IMM("PSRAD", "72 /4", shift_imm, u32, Shift::arithmetic),
  VT_SHIFT_IMM("PSLLD", "72 /6", shift_imm, u32, Shift::left),
  VT_SHIFT_IMM("PSRLQ", "73 /2", shift_imm, u64, Shift::right),
  VT_SHIFT_IMM("PSLLQ", "73 /6", shift_imm, u64, Shift::left),
  VT_SHIFT_IMM("PSRLDQ", "73 /3", shift_bytes, false),
  VT_SHIFT_IMM("PSLLDQ", "73 /7", shift_bytes, true),
  VT_3("PALIGNR", "66", 0F3A, "0F /r ib", ",Ib", ssse3, avx2, palignr),
  VT_2("PSHUFD", "66", 0F, "70 /r ib", ",Ib", sse2, avx2, pshuf, u32, 0),
  VT_2("PSHUFLW", "F2", 0F, "70 /r ib", ",Ib", sse2, avx2, pshuf, u16, 0),
  VT_2("PSHUFHW", "F3", 0F, "70 /r ib", ",Ib", sse2, avx2, pshuf, u16, 4),
  VT_3X_AS("PINSRW", "128", "66", 0F, "C4 /r ib", "Vdq,Ew,Ib", "Vdq,Hdq,Ew,Ib", sse2, pinsrw),
  VT_3X_AS("PEXTRW", "128", "66", 0F, "C5 /r ib", "Gd,Udq,Ib", "Gd,Udq,Ib", sse2, pextrw),
};

}  // namespace

std::span<const Def> sse_int_rows() { return kRows; }

}  // namespace vt::cpu
