// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE floating point: MXCSR, lanes as numbers.   SDM 1 "SIMD Floating-Point Exceptions"
#pragma once
#include "insn/fpu.hpp"
#include "insn/softfloat.hpp"

namespace vt::cpu {

template <class T> inline constexpr sf::Format kFormat = sizeof(T) == 4 ? sf::kF32 : sf::kF64;

template <class C>
sf::Env sse_env(const C& c) {
  sf::Env e;
  e.rc = static_cast<sf::Round>((c.fpu.mxcsr >> mxcsr::kRcShift) & 3);
  e.masks = (c.fpu.mxcsr >> mxcsr::kMaskShift) & 0x3f;
  e.daz = c.fpu.mxcsr & mxcsr::DAZ;
  e.ftz = c.fpu.mxcsr & mxcsr::FTZ;
  return e;
}
/// Puts the flags of all lanes into MXCSR. False: an unmasked one, the fault is recorded and no result may be written.
/// An unmasked exception before the operation in any lane keeps those after it from being reported.
template <class C>
[[nodiscard]] bool sse_settle(C& c, const sf::Env& e) {
  c.fpu.mxcsr |= e.unmasked_before() ? e.flags & sf::kBefore : e.flags;
  if (VT_LIKELY(!e.unmasked())) return true;
  if (c.cr4 & cr4::OSXMMEXCPT) c.raise(XM);
  else c.ud();
  return false;
}
template <class T>
sf::Num number(const sf::Env& e, T v) { return sf::unpack(v, e.daz); }
template <class T>
T encode(const sf::Num& n) {
  T v;
  sf::pack(n, v);
  return v;
}

}  // namespace vt::cpu
