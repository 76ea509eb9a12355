// SPDX-License-Identifier: GPL-2.0-or-later
/// The x87 register stack.   SDM 1 "x87 FPU Execution Environment"
#pragma once
#include "insn/fpu.hpp"
#include "insn/softfloat.hpp"

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

inline sf::Env fpu_env(const Fpu& f) {
  static constexpr unsigned kPrecision[4] = {24, 64, 53, 64};
  sf::Env e;
  e.rc = static_cast<sf::Round>((f.cw >> 10) & 3);
  e.precision = kPrecision[(f.cw >> 8) & 3];
  e.masks = f.cw & 0x3f;
  e.x87 = true;
  return e;
}

/// FOP: low three bits of the opcode, then the ModRM byte. Read again from memory, where it has just come from.
template <class C>
void note_opcode(C& c, const Insn& i) {
  u8 bytes[15];
  unsigned got = 0;
  const Fault before = c.fault;
  const u64 ip = c.rip_of(i);
  (void)c.ifetch(c.code64_now ? ip : static_cast<u32>(c.seg[CS].base + ip), bytes, i.len, got);
  c.fault = before;
  for (unsigned k = 0; k + 1 < got; ++k)
    if ((bytes[k] & 0xf8) == 0xd8) { c.fpu.fop = static_cast<u16>((bytes[k] & 7) << 8 | bytes[k + 1]); return; }
}

/// Commits the flags of an operation. False: an unmasked exception before the operation, so operands and stack stay as they are.
template <class C>
bool fpu_settle(C& c, const Insn& i, const sf::Env& e) {
  Fpu& f = c.fpu;
  note_instruction(c, i);
  const bool stopped = e.unmasked_before();
  f.sw = static_cast<u16>((f.sw & ~fsw::C1) | (stopped ? e.flags & sf::kBefore : e.flags));
  if (!stopped && e.rounded_up) f.sw |= fsw::C1;
  if (e.unmasked()) note_opcode(c, i);
  fpu_summary(f);
  return !stopped;
}
/// Stack overflow (C1 set) or underflow. True: masked, the indefinite is the answer.
template <class C>
bool fpu_stack_fault(C& c, const Insn& i, bool overflow) {
  sf::Env e = fpu_env(c.fpu);
  e.flags = sf::IE;
  const bool masked = fpu_settle(c, i, e);
  c.fpu.sw |= static_cast<u16>(fsw::SF | (overflow ? fsw::C1 : 0));
  return masked;
}

}  // namespace vt::cpu
