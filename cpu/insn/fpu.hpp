// SPDX-License-Identifier: GPL-2.0-or-later
/// What the x87, MMX and SSE instructions share: register access, the x87 exception summary, vectors.
#pragma once
#include <array>
#include <bit>

#include "cpu/rows.hpp"

namespace vt::cpu {

/// x87 status and control words, MXCSR.   SDM 1 "x87 FPU Status Register", "MXCSR Control and Status Register"
namespace fsw {
inline constexpr u16 IE = 1, DE = 2, ZE = 4, OE = 8, UE = 0x10, PE = 0x20, SF = 0x40, ES = 0x80, C0 = 0x100, C1 = 0x200, C2 = 0x400,
                     TOP = 0x3800, C3 = 0x4000, B = 0x8000, kCond = C0 | C1 | C2 | C3;
}
namespace mxcsr {
inline constexpr u32 kFlags = 0x3f, DAZ = 0x40, kMaskShift = 7, kRcShift = 13, FTZ = 0x8000, kMask = 0xffff, kInit = 0x1f80;
}
inline constexpr u16 kFcwInit = 0x37f;

inline unsigned fpu_top(const Fpu& f) { return (f.sw >> 11) & 7; }
inline void set_fpu_top(Fpu& f, unsigned top) { f.sw = static_cast<u16>((f.sw & ~fsw::TOP) | (top & 7) << 11); }
/// ES and B follow from the flags and masks: call after a change to either.
inline void fpu_summary(Fpu& f) {
  f.sw &= static_cast<u16>(~(fsw::ES | fsw::B));
  if (f.sw & ~f.cw & 0x3f) f.sw |= fsw::ES | fsw::B;
}
inline void set_fcw(Fpu& f, u16 v) {
  f.cw = static_cast<u16>((v & 0x1f3f) | 0x40);  // bit 6 reads as one, the reserved ones as zero
  fpu_summary(f);
}
inline void set_fsw(Fpu& f, u16 v) {
  f.sw = v;
  fpu_summary(f);
}
inline void fpu_init(Fpu& f) {  // SDM 2A "FINIT/FNINIT"
  f.cw = kFcwInit, f.sw = 0, f.tags = 0, f.fop = 0, f.fcs = f.fds = 0, f.fip = f.fdp = 0;
}

/// At the start of every waiting x87 instruction and every MMX one: an unmasked exception that is pending is
/// reported now.   SDM 1 "x87 FPU Exception Synchronization"
template <class C>
[[nodiscard]] bool fpu_ready(C& c) {
  if (VT_LIKELY(!(c.fpu.sw & fsw::ES))) return true;
  if (c.cr0 & cr0::NE) c.raise(MF);
  else c.unsupported("x87 exception reported by FERR# and IGNNE# (CR0.NE = 0)", "SDM 1 \"MS-DOS* Compatibility Sub-mode\"");
  return false;
}

struct V64 { u64 q[1]; };
struct V128 { u64 q[2]; };
template <class E, class V> using LaneArray = std::array<E, sizeof(V) / sizeof(E)>;
template <class E, class V> LaneArray<E, V> lanes_of(const V& v) { return std::bit_cast<LaneArray<E, V>>(v); }
template <class V, class E, std::size_t N> V from_lanes(const std::array<E, N>& a) { return std::bit_cast<V>(a); }

/// Legacy SSE instructions leave the upper half of the YMM register as it is.
template <class C> V128 xmm(const C& c, unsigned n) { return {{c.fpu.ymm[n][0], c.fpu.ymm[n][1]}}; }
template <class C> void set_xmm(C& c, unsigned n, const V128& v) { c.fpu.ymm[n][0] = v.q[0], c.fpu.ymm[n][1] = v.q[1]; }
template <class C, class T> T xmm_low(const C& c, unsigned n) { return static_cast<T>(c.fpu.ymm[n][0]); }
template <class C, class T> void set_xmm_low(C& c, unsigned n, T v) { std::memcpy(&c.fpu.ymm[n][0], &v, sizeof v); }

/// SDM 3A "Alignment Checking": is it on?
template <class C>
bool alignment_checked(const C& c) { return (c.cr0 & cr0::AM) && (c.flags & rflags::AC) && c.cpl() == 3; }
/// MASKMOVQ, MASKMOVDQU: selected bytes of `data` to DS:rDI. Which bytes can fault is up to the processor: on Intel's all of them, whatever is
/// selected and even if nothing is, eight at a time and the upper eight first (found by the native judge).
template <class C, std::size_t N>
[[nodiscard]] bool store_selected(C& c, const Insn& i, const std::array<u8, N>& data, const std::array<u8, N>& select) {
  const u64 wrap = i.asz() == 2 ? ~u64{0} : i.asz() == 1 ? 0xffff'ffff : 0xffff;
  std::array<u64, N / 8> at;
  for (std::size_t n = N / 8; n--;) {
    if (!c.linear_seg(i.seg, (c.r[7] + 8 * n) & wrap, 8, true, at[n])) return false;
    const auto canonical = [&](u64 la) { return !c.code64_now || static_cast<u64>(sext(la, 48)) == la; };
    if (alignment_checked(c) && (at[n] & 7) && canonical(at[n])) return c.raise(AC, 0), false;
    if (!canonical(at[n] + 7)) return c.gp(0), false;
    if (!c.probe_write(at[n], 8, i.seg)) return false;
  }
  for (std::size_t k = 0; k < N; ++k)
    if ((select[k] & 0x80) && !c.template store_at<u8>(at[k / 8] + k % 8, data[k], i.seg)) return false;
  return true;
}

/// 128-bit memory operands have to be aligned, whatever EFLAGS.AC says.   SDM 1 "Memory Alignment" of the SSE chapters
/// It is looked at before the segment's limit, which for SS would be #SS (found by the native judge).
template <class C>
[[nodiscard]] bool linear_aligned(C& c, const Insn& i, unsigned size, bool write, u64& la) {
  if (VT_LIKELY(c.linear(i, size, write, la))) return c.aligned(la, size, i.seg);
  if ((c.seg[i.seg].base + c.ea(i)) & (size - 1)) c.gp(0);
  return false;
}
template <class C, class V>
[[nodiscard]] bool load_aligned(C& c, const Insn& i, V& v) {
  u64 la;
  return linear_aligned(c, i, sizeof(V), false, la) && c.load_at(la, v, i.seg);
}
template <class C, class V>
[[nodiscard]] bool store_aligned(C& c, const Insn& i, const V& v) {
  u64 la;
  return linear_aligned(c, i, sizeof(V), true, la) && c.store_at(la, v, i.seg);
}
/// xmm/m128, aligned.
template <class C, bool M>
[[nodiscard]] bool xmm_source(C& c, const Insn& i, V128& v) {
  if constexpr (M) return load_aligned(c, i, v);
  v = xmm(c, i.rm);
  return true;
}
/// xmm/m32, xmm/m64 and the like: the low part of a register, or that many bytes.
template <class C, bool M, class T>
[[nodiscard]] bool xmm_low_source(C& c, const Insn& i, T& v) {
  if constexpr (M) return c.load(i, v);
  v = xmm_low<C, T>(c, i.rm);
  return true;
}

/// MMX registers are the significands of the physical x87 registers; REX does not extend their numbers.
template <class C> V64 mm(const C& c, unsigned n) { return {{c.fpu.st[n & 7].m}}; }
/// Any MMX instruction: TOP becomes 0 and all tags valid.   SDM 1 "Effect of MMX, x87 FPU, FXSAVE, and FXRSTOR Instructions on the x87 FPU Tag Word"
template <class C> void mmx_enter(C& c) {
  c.fpu.sw &= static_cast<u16>(~fsw::TOP);
  c.fpu.tags = 0xff;
}
/// Writing one sets the exponent's bits.
template <class C> void set_mm(C& c, unsigned n, const V64& v) { c.fpu.st[n & 7].m = v.q[0], c.fpu.st[n & 7].se = 0xffff; }
template <class C, bool M>
[[nodiscard]] bool mm_source(C& c, const Insn& i, V64& v) {
  if constexpr (M) return c.load(i, v);
  v = mm(c, i.rm);
  return true;
}

// Rows for functions with more template arguments: any operand size, register and memory form.
#define VT_FN(...) {{run<C, __VA_ARGS__<C, false>, true>, run<C, __VA_ARGS__<C, true>, true>}, {run<C, __VA_ARGS__<C, false>, true>, run<C, __VA_ARGS__<C, true>, true>}, {run<C, __VA_ARGS__<C, false>, true>, run<C, __VA_ARGS__<C, true>, true>}}
// One function whatever size and form.
#define VT_ALL(...) {{run<C, __VA_ARGS__, true>, run<C, __VA_ARGS__, true>}, {run<C, __VA_ARGS__, true>, run<C, __VA_ARGS__, true>}, {run<C, __VA_ARGS__, true>, run<C, __VA_ARGS__, true>}}
// Two functions: register form, memory form (both with their arguments, in parentheses-free template-ids of one argument list).
#define VT_OP(f, ...) {{run<C, f<C, false, __VA_ARGS__>, true>, run<C, f<C, true, __VA_ARGS__>, true>}, {run<C, f<C, false, __VA_ARGS__>, true>, run<C, f<C, true, __VA_ARGS__>, true>}, {run<C, f<C, false, __VA_ARGS__>, true>, run<C, f<C, true, __VA_ARGS__>, true>}}
// 64 bits with REX.W, else 32: f<C, M, T>.
#define VT_W(f) {{run<C, f<C, false, u32>, true>, run<C, f<C, true, u32>, true>}, {run<C, f<C, false, u32>, true>, run<C, f<C, true, u32>, true>}, {run<C, f<C, false, u64>, true>, run<C, f<C, true, u64>, true>}}

/// Rows of several files as one list.
std::vector<Def> join_rows(std::initializer_list<std::span<const Def>> parts);
std::span<const Def> x87_control_rows();  // x87_control.cpp
std::span<const Def> x87_arith_rows();    // x87_arith.cpp
std::span<const Def> x87_move_rows();     // x87.cpp
std::span<const Def> x87_trans_rows();    // x87_trans.cpp
std::span<const Def> sse_move_rows();
std::span<const Def> sse_int_rows();
std::span<const Def> sse_fp_rows();
std::span<const Def> sse_convert_rows();
std::span<const Def> sse_sse4_rows();
std::span<const Def> sse_string_rows();

}  // namespace vt::cpu
