// SPDX-License-Identifier: GPL-2.0-or-later
/// Two more shapes of a row's functions: instructions that touch registers only and cannot fault need not
/// tell the processor which instruction executes; and small helpers that several families share.
#pragma once
#include "cpu/rows.hpp"

namespace vt::cpu {

// f<C, T>: T by operand size; registers only, cannot fault.
#define VT_TR_(P, f) {{run<P, f<P, u16>, false>, run<P, f<P, u16>, false>}, {run<P, f<P, u32>, false>, run<P, f<P, u32>, false>}, {run<P, f<P, u64>, false>, run<P, f<P, u64>, false>}}
#define VT_TR(f) VT_TR_(C, f), VT_TR_(Cpu64, f)
// f<C>: registers only, cannot fault.
#define VT_R1(f) {{run<C, f<C>, false>, run<C, f<C>, false>}, {run<C, f<C>, false>, run<C, f<C>, false>}, {run<C, f<C>, false>, run<C, f<C>, false>}}

/// Address-size mask of an instruction: what string and loop instructions count and point with.
inline u64 address_mask(const Insn& i) { return i.asz() == 2 ? ~u64{0} : i.asz() == 1 ? 0xffff'ffff : 0xffff; }

/// A part of an operand that is several accesses: 16-bit addresses wrap between them (found by the native judge).
template <class C>
[[nodiscard]] bool linear_part(C& c, const Insn& i, u64 offset, unsigned size, bool write, u64& la) {
  return i.asz() == 0 ? c.linear_seg(i.seg, (c.ea(i) + offset) & 0xffff, size, write, la) : c.linear(i, size, write, la, offset);
}
template <class C, class T>
[[nodiscard]] bool load_part(C& c, const Insn& i, u64 offset, T& v) {
  u64 la;
  return linear_part(c, i, offset, sizeof(T), false, la) && c.template load_at<T>(la, v, i.seg);
}

/// Writes a register by address size (32-bit writes clear the upper half).
template <class C>
VT_INLINE void set_address_reg(C& c, const Insn& i, unsigned n, u64 v) {
  if (VT_LIKELY(i.asz() == 2)) c.r[n] = v;
  else if (i.asz() == 1) c.r[n] = static_cast<u32>(v);
  else c.template set_reg<u16>(n, static_cast<u16>(v));
}

/// Changes CF alone. OF is aux bit 63 xor CF, so that bit turns with it.
template <class C>
VT_INLINE void set_cf(C& c, bool v) {
  const u32 d = (c.lf.misc ^ static_cast<u32>(v)) & 1;
  c.lf.misc ^= d;
  c.lf.aux ^= static_cast<i64>(static_cast<u64>(d) << 63);
}

/// Flags of a result with CF and OF given, AF clear.
template <class T, class C>
VT_INLINE void flags_result(C& c, T res, bool cf, bool of) {
  c.lf = {static_cast<i64>(static_cast<std::make_signed_t<T>>(res)), static_cast<i64>(static_cast<u64>(cf != of) << 63), cf};
}

/// Changes the flags of `mask` alone.
template <class C>
VT_INLINE void set_some(C& c, u64 mask, u64 value) { c.lf.set((c.lf.get() & ~mask) | (value & mask)); }

/// SDM 2A "Jcc", condition codes in the order of the opcodes.
template <int N, class C>
VT_INLINE bool condition(const C& c) {
  bool v = false;
  switch (N >> 1) {
    case 0: v = c.lf.of(); break;
    case 1: v = c.lf.cf(); break;
    case 2: v = c.lf.zf(); break;
    case 3: v = c.lf.cf() || c.lf.zf(); break;
    case 4: v = c.lf.sf(); break;
    case 5: v = c.lf.pf(); break;
    case 6: v = c.lf.sf() != c.lf.of(); break;
    case 7: v = c.lf.zf() || c.lf.sf() != c.lf.of(); break;
  }
  return v != static_cast<bool>(N & 1);
}

}  // namespace vt::cpu
