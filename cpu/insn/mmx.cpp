// SPDX-License-Identifier: GPL-2.0-or-later
/// MMX, with what SSE to SSSE3 added to it.   SDM 1 "Programming with Intel MMX Technology"
#include "insn/lanes.hpp"

namespace vt::cpu {
namespace {
using namespace lane;

template <class Op>
constexpr bool kHalfSource = [] {
  if constexpr (requires { Op::kLow; }) return Op::kLow;
  else return false;
}();

template <class C, bool M, class Op>
Next mmx(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  V64 b{};
  if constexpr (kHalfSource<Op>) {  // PUNPCKLxx mm, mm/m32
    u32 low = static_cast<u32>(mm(c, i.rm).q[0]);
    if constexpr (M) if (!c.load(i, low)) return Next::fault;
    b.q[0] = low;
  } else if (!mm_source<C, M>(c, i, b)) {
    return Next::fault;
  }
  mmx_enter(c);
  set_mm(c, i.reg, Op::f(mm(c, i.reg), b));
  return Next::seq;
}
template <class C, class E, Shift S>
Next mmx_shift_imm(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  mmx_enter(c);
  set_mm(c, i.rm, shift<E, S>(mm(c, i.rm), static_cast<u8>(i.imm)));
  return Next::seq;
}
template <class C, bool M>
Next mmx_palignr(C& c, const Insn& i) {
  V64 b;
  if (!fpu_ready(c) || !mm_source<C, M>(c, i, b)) return Next::fault;
  mmx_enter(c);
  set_mm(c, i.reg, align_right(mm(c, i.reg), b, static_cast<u8>(i.imm)));
  return Next::seq;
}
template <class C, bool M>
Next pshufw(C& c, const Insn& i) {
  V64 b;
  if (!fpu_ready(c) || !mm_source<C, M>(c, i, b)) return Next::fault;
  mmx_enter(c);
  set_mm(c, i.reg, shuffle_by<u16>(b, static_cast<u8>(i.imm)));
  return Next::seq;
}
template <class C, bool M>
Next mmx_pinsrw(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  u16 v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = c.template reg<u16>(i.rm);
  mmx_enter(c);
  auto x = lanes_of<u16>(mm(c, i.reg));
  x[i.imm & 3] = v;
  set_mm(c, i.reg, from_lanes<V64>(x));
  return Next::seq;
}
template <class C>
Next mmx_pextrw(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  mmx_enter(c);
  c.template set_reg<u32>(i.reg, lanes_of<u16>(mm(c, i.rm))[i.imm & 3]);
  return Next::seq;
}
template <class C>
Next mmx_pmovmskb(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  mmx_enter(c);
  u32 bits = 0;
  const auto x = lanes_of<u8>(mm(c, i.rm));
  for (unsigned k = 0; k < 8; ++k) bits |= static_cast<u32>(x[k] >> 7) << k;
  c.template set_reg<u32>(i.reg, bits);
  return Next::seq;
}
template <class C, bool M, class T>
Next mmx_movd(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  T v;
  if constexpr (M) { if (!c.load(i, v)) return Next::fault; }
  else v = c.template reg<T>(i.rm);
  mmx_enter(c);
  set_mm(c, i.reg, {{v}});
  return Next::seq;
}
template <class C, bool M, class T>
Next mmx_movd_store(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  set_fpu_top(c.fpu, 0);  // even if the store faults
  const T v = static_cast<T>(mm(c, i.reg).q[0]);
  if constexpr (M) { if (!c.store(i, v)) return Next::fault; }
  else c.template set_reg<T>(i.rm, v);
  mmx_enter(c);
  return Next::seq;
}
template <class C, bool M>
Next mmx_movq(C& c, const Insn& i) {
  V64 v;
  if (!fpu_ready(c) || !mm_source<C, M>(c, i, v)) return Next::fault;
  mmx_enter(c);
  set_mm(c, i.reg, v);
  return Next::seq;
}
template <class C, bool M>
Next mmx_movq_store(C& c, const Insn& i) {  // MOVQ, MOVNTQ
  if (!fpu_ready(c)) return Next::fault;
  set_fpu_top(c.fpu, 0);
  const V64 v = mm(c, i.reg);
  if constexpr (M) { if (!c.store(i, v)) return Next::fault; }
  else set_mm(c, i.rm, v);
  mmx_enter(c);
  return Next::seq;
}
template <class C>
Next maskmovq(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  mmx_enter(c);  // even if it faults
  return store_selected(c, i, lanes_of<u8>(mm(c, i.reg)), lanes_of<u8>(mm(c, i.rm))) ? Next::seq : Next::fault;
}
template <class C>
Next emms(C& c, const Insn&) {
  if (!fpu_ready(c)) return Next::fault;
  mmx_enter(c);
  c.fpu.tags = 0;
  return Next::seq;
}

using C = Cpu;
using Feature::sse, Feature::sse2, Feature::ssse3;
constexpr Feature kMmx = Feature::mmx;
constexpr u32 A = attr::mmx;
constexpr Def kRows[] = {
  {"PUNPCKLBW",  "NP 0F 60 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Unpack<u8, false>)},
  {"PUNPCKLWD",  "NP 0F 61 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Unpack<u16, false>)},
  {"PUNPCKLDQ",  "NP 0F 62 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Unpack<u32, false>)},
  {"PACKSSWB",   "NP 0F 63 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Pack<i16, i8>)},
  {"PCMPGTB",    "NP 0F 64 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i8, kGt>)},
  {"PCMPGTW",    "NP 0F 65 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i16, kGt>)},
  {"PCMPGTD",    "NP 0F 66 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i32, kGt>)},
  {"PACKUSWB",   "NP 0F 67 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Pack<i16, u8>)},
  {"PUNPCKHBW",  "NP 0F 68 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Unpack<u8, true>)},
  {"PUNPCKHWD",  "NP 0F 69 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Unpack<u16, true>)},
  {"PUNPCKHDQ",  "NP 0F 6A /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Unpack<u32, true>)},
  {"PACKSSDW",   "NP 0F 6B /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Pack<i32, i16>)},
  {"PCMPEQB",    "NP 0F 74 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u8, kEq>)},
  {"PCMPEQW",    "NP 0F 75 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u16, kEq>)},
  {"PCMPEQD",    "NP 0F 76 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u32, kEq>)},
  {"PSRLW",      "NP 0F D1 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u16, Shift::right>)},
  {"PSRLD",      "NP 0F D2 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u32, Shift::right>)},
  {"PSRLQ",      "NP 0F D3 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u64, Shift::right>)},
  {"PADDQ",      "NP 0F D4 /r",       "Pq,Qq",    A, sse2,  VT_OP(mmx, Each<u64, kAdd>)},
  {"PMULLW",     "NP 0F D5 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u16, kMulLow>)},
  {"PSUBUSB",    "NP 0F D8 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u8, kSubSat>)},
  {"PSUBUSW",    "NP 0F D9 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u16, kSubSat>)},
  {"PMINUB",     "NP 0F DA /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, Each<u8, kMin>)},
  {"PAND",       "NP 0F DB /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u64, kAnd>)},
  {"PADDUSB",    "NP 0F DC /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u8, kAddSat>)},
  {"PADDUSW",    "NP 0F DD /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u16, kAddSat>)},
  {"PMAXUB",     "NP 0F DE /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, Each<u8, kMax>)},
  {"PANDN",      "NP 0F DF /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u64, kAndn>)},
  {"PAVGB",      "NP 0F E0 /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, Each<u8, kAvg>)},
  {"PSRAW",      "NP 0F E1 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u16, Shift::arithmetic>)},
  {"PSRAD",      "NP 0F E2 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u32, Shift::arithmetic>)},
  {"PAVGW",      "NP 0F E3 /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, Each<u16, kAvg>)},
  {"PMULHUW",    "NP 0F E4 /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, Each<u16, kMulHigh>)},
  {"PMULHW",     "NP 0F E5 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i16, kMulHigh>)},
  {"PSUBSB",     "NP 0F E8 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i8, kSubSat>)},
  {"PSUBSW",     "NP 0F E9 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i16, kSubSat>)},
  {"PMINSW",     "NP 0F EA /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, Each<i16, kMin>)},
  {"POR",        "NP 0F EB /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u64, kOr>)},
  {"PADDSB",     "NP 0F EC /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i8, kAddSat>)},
  {"PADDSW",     "NP 0F ED /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<i16, kAddSat>)},
  {"PMAXSW",     "NP 0F EE /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, Each<i16, kMax>)},
  {"PXOR",       "NP 0F EF /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u64, kXor>)},
  {"PSLLW",      "NP 0F F1 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u16, Shift::left>)},
  {"PSLLD",      "NP 0F F2 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u32, Shift::left>)},
  {"PSLLQ",      "NP 0F F3 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, ShiftBy<u64, Shift::left>)},
  {"PMULUDQ",    "NP 0F F4 /r",       "Pq,Qq",    A, sse2,  VT_OP(mmx, Each<u64, kMulEven>)},
  {"PMADDWD",    "NP 0F F5 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, MulAddWords)},
  {"PSADBW",     "NP 0F F6 /r",       "Pq,Qq",    A, sse,   VT_OP(mmx, SumAbsDiff)},
  {"PSUBB",      "NP 0F F8 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u8, kSub>)},
  {"PSUBW",      "NP 0F F9 /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u16, kSub>)},
  {"PSUBD",      "NP 0F FA /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u32, kSub>)},
  {"PSUBQ",      "NP 0F FB /r",       "Pq,Qq",    A, sse2,  VT_OP(mmx, Each<u64, kSub>)},
  {"PADDB",      "NP 0F FC /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u8, kAdd>)},
  {"PADDW",      "NP 0F FD /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u16, kAdd>)},
  {"PADDD",      "NP 0F FE /r",       "Pq,Qq",    A, kMmx,  VT_OP(mmx, Each<u32, kAdd>)},
  {"PSHUFB",     "NP 0F 38 00 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, ShuffleBytes)},
  {"PHADDW",     "NP 0F 38 01 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Horizontal<u16, kAdd>)},
  {"PHADDD",     "NP 0F 38 02 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Horizontal<u32, kAdd>)},
  {"PHADDSW",    "NP 0F 38 03 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Horizontal<i16, kAddSat>)},
  {"PMADDUBSW",  "NP 0F 38 04 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, MulAddBytes)},
  {"PHSUBW",     "NP 0F 38 05 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Horizontal<u16, kSub>)},
  {"PHSUBD",     "NP 0F 38 06 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Horizontal<u32, kSub>)},
  {"PHSUBSW",    "NP 0F 38 07 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Horizontal<i16, kSubSat>)},
  {"PSIGNB",     "NP 0F 38 08 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Each<i8, kSign>)},
  {"PSIGNW",     "NP 0F 38 09 /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Each<i16, kSign>)},
  {"PSIGND",     "NP 0F 38 0A /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Each<i32, kSign>)},
  {"PMULHRSW",   "NP 0F 38 0B /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Each<i16, kMulHrs>)},
  {"PABSB",      "NP 0F 38 1C /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Each<i8, kAbs>)},
  {"PABSW",      "NP 0F 38 1D /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Each<i16, kAbs>)},
  {"PABSD",      "NP 0F 38 1E /r",    "Pq,Qq",    A, ssse3, VT_OP(mmx, Each<i32, kAbs>)},
  {"PSRLW",      "NP 0F 71 /2 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u16, Shift::right>)},
  {"PSRAW",      "NP 0F 71 /4 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u16, Shift::arithmetic>)},
  {"PSLLW",      "NP 0F 71 /6 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u16, Shift::left>)},
  {"PSRLD",      "NP 0F 72 /2 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u32, Shift::right>)},
  {"PSRAD",      "NP 0F 72 /4 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u32, Shift::arithmetic>)},
  {"PSLLD",      "NP 0F 72 /6 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u32, Shift::left>)},
  {"PSRLQ",      "NP 0F 73 /2 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u64, Shift::right>)},
  {"PSLLQ",      "NP 0F 73 /6 ib",    "Nq,Ib",    A, kMmx,  VT_ALL(mmx_shift_imm<C, u64, Shift::left>)},
  {"MOVD/MOVQ",  "NP 0F 6E /r",       "Pq,Ed/q",   A, kMmx,  VT_W(mmx_movd)},
  {"MOVD/MOVQ",  "NP 0F 7E /r",       "Ed/q,Pq",   A, kMmx,  VT_W(mmx_movd_store)},
  {"MOVQ",       "NP 0F 6F /r",       "Pq,Qq",     A, kMmx,  VT_FN(mmx_movq)},
  {"MOVQ",       "NP 0F 7F /r",       "Qq,Pq",     A, kMmx,  VT_FN(mmx_movq_store)},
  {"MOVNTQ",     "NP 0F E7 /r",       "Mq,Pq",     A, sse,   VT_FN(mmx_movq_store)},
  {"MASKMOVQ",   "NP 0F F7 /r",       "Pq,Nq",     A, sse,   VT_1(maskmovq)},
  {"PSHUFW",     "NP 0F 70 /r ib",    "Pq,Qq,Ib",  A, sse,   VT_FN(pshufw)},
  {"PINSRW",     "NP 0F C4 /r ib",    "Pq,Ew,Ib",  A, sse,   VT_FN(mmx_pinsrw)},
  {"PEXTRW",     "NP 0F C5 /r ib",    "Gd,Nq,Ib",  A, sse,   VT_1(mmx_pextrw)},
  {"PMOVMSKB",   "NP 0F D7 /r",       "Gd,Nq",     A, sse,   VT_1(mmx_pmovmskb)},
  {"PALIGNR",    "NP 0F 3A 0F /r ib", "Pq,Qq,Ib",  A, ssse3, VT_FN(mmx_palignr)},
  {"EMMS",       "NP 0F 77",          "",          A, kMmx,  VT_1(emms)},
};

}  // namespace

std::span<const Def> mmx_rows() { return kRows; }

}  // namespace vt::cpu
