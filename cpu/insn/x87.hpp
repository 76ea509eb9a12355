// SPDX-License-Identifier: GPL-2.0-or-later
/// The x87 register stack.   SDM 1 "x87 FPU Execution Environment"
#pragma once
#include "insn/fpu.hpp"

namespace vt::cpu {

inline X87Reg& st(Fpu& f, unsigned n) { return f.st[(fpu_top(f) + n) & 7]; }
inline const X87Reg& st(const Fpu& f, unsigned n) { return f.st[(fpu_top(f) + n) & 7]; }
inline bool st_empty(const Fpu& f, unsigned n) { return !(f.tags >> ((fpu_top(f) + n) & 7) & 1); }
inline void set_st(Fpu& f, unsigned n, const X87Reg& v) {
  const unsigned r = (fpu_top(f) + n) & 7;
  f.st[r] = v;
  f.tags |= static_cast<u8>(1 << r);
}
inline void fpu_pop(Fpu& f) {
  f.tags &= static_cast<u8>(~(1 << fpu_top(f)));
  set_fpu_top(f, fpu_top(f) + 1);
}
inline void fpu_push(Fpu& f, const X87Reg& v) {
  set_fpu_top(f, fpu_top(f) - 1);
  set_st(f, 0, v);
}

inline constexpr X87Reg kIndefinite{0xc000000000000000, 0xffff};

/// The 16-bit tag word: 0 valid, 1 zero, 2 special, 3 empty.   SDM 1 "x87 FPU Tag Word"
inline u16 full_tags(const Fpu& f) {
  u16 tw = 0;
  for (unsigned n = 0; n < 8; ++n) {
    const X87Reg& r = f.st[n];
    const unsigned e = r.se & 0x7fff;
    unsigned tag = 3;
    if (f.tags >> n & 1) tag = e == 0 && r.m == 0 ? 1 : e == 0 || e == 0x7fff || !(r.m >> 63) ? 2 : 0;
    tw = static_cast<u16>(tw | tag << (2 * n));
  }
  return tw;
}

/// FIP follows every non-control instruction, FDP every one with a memory operand. FOP only those that
/// raise an unmasked exception ("Fopcode Compatibility Sub-mode" is off).
template <class C>
void note_instruction(C& c, const Insn& i) {
  c.fpu.fip = c.rip_of(i);
  if (i.mem()) c.fpu.fdp = c.ea(i);
}

}  // namespace vt::cpu
