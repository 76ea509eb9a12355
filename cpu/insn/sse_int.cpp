// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE2 and SSSE3 packed integers on XMM registers.   SDM 2B
#include "insn/lanes.hpp"

namespace vt::cpu {
namespace {
using namespace lane;

template <class C, bool M, class Op>
Next packed(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  set_xmm(c, i.reg, Op::f(xmm(c, i.reg), b));
  return Next::seq;
}
template <class C, class E, Shift S>
Next shift_imm(C& c, const Insn& i) {
  set_xmm(c, i.rm, shift<E, S>(xmm(c, i.rm), static_cast<u8>(i.imm)));
  return Next::seq;
}
template <class C, bool Left>
Next shift_bytes(C& c, const Insn& i) {  // PSLLDQ, PSRLDQ
  const unsigned n = std::min<unsigned>(static_cast<u8>(i.imm), 16);
  const V128 v = xmm(c, i.rm), zero{};
  set_xmm(c, i.rm, Left ? align_right(v, zero, 16 - n) : align_right(zero, v, n));
  return Next::seq;
}
template <class C, bool M>
Next palignr(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  set_xmm(c, i.reg, align_right(xmm(c, i.reg), b, static_cast<u8>(i.imm)));
  return Next::seq;
}
// PSHUFD, PSHUFLW, PSHUFHW: E the lane, First the first of the four that move.
template <class C, bool M, class E, unsigned First>
Next pshuf(C& c, const Insn& i) {
  V128 b;
  if (!xmm_source<C, M>(c, i, b)) return Next::fault;
  set_xmm(c, i.reg, shuffle_by<E>(b, static_cast<u8>(i.imm), First));
  return Next::seq;
}
template <class C, bool M>
Next pinsrw(C& c, const Insn& i) {
  u16 v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = c.template reg<u16>(i.rm);
  auto x = lanes_of<u16>(xmm(c, i.reg));
  x[i.imm & 7] = v;
  set_xmm(c, i.reg, from_lanes<V128>(x));
  return Next::seq;
}
template <class C>
Next pextrw(C& c, const Insn& i) {
  c.template set_reg<u32>(i.reg, lanes_of<u16>(xmm(c, i.rm))[i.imm & 7]);
  return Next::seq;
}

using C = Cpu;
using enum Feature;
constexpr u32 S = attr::sse;
constexpr Def kRows[] = {
  {"PUNPCKLBW",  "66 0F 60 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u8, false>)},
  {"PUNPCKLWD",  "66 0F 61 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u16, false>)},
  {"PUNPCKLDQ",  "66 0F 62 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u32, false>)},
  {"PACKSSWB",   "66 0F 63 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Pack<i16, i8>)},
  {"PCMPGTB",    "66 0F 64 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i8, kGt>)},
  {"PCMPGTW",    "66 0F 65 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i16, kGt>)},
  {"PCMPGTD",    "66 0F 66 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i32, kGt>)},
  {"PACKUSWB",   "66 0F 67 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Pack<i16, u8>)},
  {"PUNPCKHBW",  "66 0F 68 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u8, true>)},
  {"PUNPCKHWD",  "66 0F 69 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u16, true>)},
  {"PUNPCKHDQ",  "66 0F 6A /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u32, true>)},
  {"PACKSSDW",   "66 0F 6B /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Pack<i32, i16>)},
  {"PUNPCKLQDQ", "66 0F 6C /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u64, false>)},
  {"PUNPCKHQDQ", "66 0F 6D /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Unpack<u64, true>)},
  {"PCMPEQB",    "66 0F 74 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kEq>)},
  {"PCMPEQW",    "66 0F 75 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kEq>)},
  {"PCMPEQD",    "66 0F 76 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u32, kEq>)},
  {"PSRLW",      "66 0F D1 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u16, Shift::right>)},
  {"PSRLD",      "66 0F D2 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u32, Shift::right>)},
  {"PSRLQ",      "66 0F D3 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u64, Shift::right>)},
  {"PADDQ",      "66 0F D4 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u64, kAdd>)},
  {"PMULLW",     "66 0F D5 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kMulLow>)},
  {"PSUBUSB",    "66 0F D8 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kSubSat>)},
  {"PSUBUSW",    "66 0F D9 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kSubSat>)},
  {"PMINUB",     "66 0F DA /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kMin>)},
  {"PADDUSB",    "66 0F DC /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kAddSat>)},
  {"PADDUSW",    "66 0F DD /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kAddSat>)},
  {"PMAXUB",     "66 0F DE /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kMax>)},
  {"PAVGB",      "66 0F E0 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kAvg>)},
  {"PSRAW",      "66 0F E1 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u16, Shift::arithmetic>)},
  {"PSRAD",      "66 0F E2 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u32, Shift::arithmetic>)},
  {"PAVGW",      "66 0F E3 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kAvg>)},
  {"PMULHUW",    "66 0F E4 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kMulHigh>)},
  {"PMULHW",     "66 0F E5 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i16, kMulHigh>)},
  {"PSUBSB",     "66 0F E8 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i8, kSubSat>)},
  {"PSUBSW",     "66 0F E9 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i16, kSubSat>)},
  {"PMINSW",     "66 0F EA /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i16, kMin>)},
  {"PADDSB",     "66 0F EC /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i8, kAddSat>)},
  {"PADDSW",     "66 0F ED /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i16, kAddSat>)},
  {"PMAXSW",     "66 0F EE /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<i16, kMax>)},
  {"PSLLW",      "66 0F F1 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u16, Shift::left>)},
  {"PSLLD",      "66 0F F2 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u32, Shift::left>)},
  {"PSLLQ",      "66 0F F3 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, ShiftBy<u64, Shift::left>)},
  {"PMULUDQ",    "66 0F F4 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u64, kMulEven>)},
  {"PMADDWD",    "66 0F F5 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, MulAddWords)},
  {"PSADBW",     "66 0F F6 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, SumAbsDiff)},
  {"PSUBB",      "66 0F F8 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kSub>)},
  {"PSUBW",      "66 0F F9 /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kSub>)},
  {"PSUBD",      "66 0F FA /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u32, kSub>)},
  {"PSUBQ",      "66 0F FB /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u64, kSub>)},
  {"PADDB",      "66 0F FC /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u8, kAdd>)},
  {"PADDW",      "66 0F FD /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u16, kAdd>)},
  {"PADDD",      "66 0F FE /r",       "Vdq,Wdq",  S, sse2,  VT_OP(packed, Each<u32, kAdd>)},
  {"PSHUFB",     "66 0F 38 00 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, ShuffleBytes)},
  {"PHADDW",     "66 0F 38 01 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Horizontal<u16, kAdd>)},
  {"PHADDD",     "66 0F 38 02 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Horizontal<u32, kAdd>)},
  {"PHADDSW",    "66 0F 38 03 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Horizontal<i16, kAddSat>)},
  {"PMADDUBSW",  "66 0F 38 04 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, MulAddBytes)},
  {"PHSUBW",     "66 0F 38 05 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Horizontal<u16, kSub>)},
  {"PHSUBD",     "66 0F 38 06 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Horizontal<u32, kSub>)},
  {"PHSUBSW",    "66 0F 38 07 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Horizontal<i16, kSubSat>)},
  {"PSIGNB",     "66 0F 38 08 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Each<i8, kSign>)},
  {"PSIGNW",     "66 0F 38 09 /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Each<i16, kSign>)},
  {"PSIGND",     "66 0F 38 0A /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Each<i32, kSign>)},
  {"PMULHRSW",   "66 0F 38 0B /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Each<i16, kMulHrs>)},
  {"PABSB",      "66 0F 38 1C /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Each<i8, kAbs>)},
  {"PABSW",      "66 0F 38 1D /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Each<i16, kAbs>)},
  {"PABSD",      "66 0F 38 1E /r",    "Vdq,Wdq",  S, ssse3, VT_OP(packed, Each<i32, kAbs>)},
  {"PSRLW",      "66 0F 71 /2 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u16, Shift::right>)},
  {"PSRAW",      "66 0F 71 /4 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u16, Shift::arithmetic>)},
  {"PSLLW",      "66 0F 71 /6 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u16, Shift::left>)},
  {"PSRLD",      "66 0F 72 /2 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u32, Shift::right>)},
  {"PSRAD",      "66 0F 72 /4 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u32, Shift::arithmetic>)},
  {"PSLLD",      "66 0F 72 /6 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u32, Shift::left>)},
  {"PSRLQ",      "66 0F 73 /2 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u64, Shift::right>)},
  {"PSLLQ",      "66 0F 73 /6 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_imm<C, u64, Shift::left>)},
  {"PSRLDQ",    "66 0F 73 /3 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_bytes<C, false>)},
  {"PSLLDQ",    "66 0F 73 /7 ib",    "Udq,Ib",   S, sse2,  VT_ALL(shift_bytes<C, true>)},
  {"PALIGNR",   "66 0F 3A 0F /r ib", "Vdq,Wdq,Ib", S, ssse3, VT_FN(palignr)},
  {"PSHUFD",    "66 0F 70 /r ib",    "Vdq,Wdq,Ib", S, sse2, VT_OP(pshuf, u32, 0)},
  {"PSHUFLW",   "F2 0F 70 /r ib",    "Vdq,Wdq,Ib", S, sse2, VT_OP(pshuf, u16, 0)},
  {"PSHUFHW",   "F3 0F 70 /r ib",    "Vdq,Wdq,Ib", S, sse2, VT_OP(pshuf, u16, 4)},
  {"PINSRW",    "66 0F C4 /r ib",    "Vdq,Ew,Ib", S, sse2, VT_FN(pinsrw)},
  {"PEXTRW",    "66 0F C5 /r ib",    "Gd,Udq,Ib", S, sse2, VT_1(pextrw)},
};

}  // namespace

std::span<const Def> sse_int_rows() { return kRows; }

}  // namespace vt::cpu
