// SPDX-License-Identifier: GPL-2.0-or-later
/// DAA DAS AAA AAS.   SDM 2A "AAA" ff. OF, undefined, is clear; SF, ZF and PF after AAA and AAS are those of AL.
#include "forms.hpp"

namespace vt::cpu {
namespace {

template <class C>
void adjusted(C& c, u8 al, bool cf, bool af) {
  c.template flags_logic<u8>(al);
  set_some(c, rflags::CF | rflags::AF, (cf ? rflags::CF : 0) | (af ? rflags::AF : 0));
}

template <class C, bool Subtract>
void packed(C& c) {
  const u8 old = c.template reg<u8>(0);
  const bool old_cf = c.lf.cf();
  bool cf = false, af = false;
  u8 al = old;
  if ((old & 15) > 9 || c.lf.af()) {
    cf = old_cf || (Subtract && old < 6);   // a carry of the addition is one below, too
    al = static_cast<u8>(Subtract ? al - 6 : al + 6);
    af = true;
  }
  if (old > 0x99 || old_cf) {
    al = static_cast<u8>(Subtract ? al - 0x60 : al + 0x60);
    cf = true;
  } else if (!Subtract) {
    cf = false;
  }
  c.template set_reg<u8>(0, al);
  adjusted(c, al, cf, af);
}
template <class C> Next daa(C& c, const Insn&) { packed<C, false>(c); return Next::seq; }
template <class C> Next das(C& c, const Insn&) { packed<C, true>(c); return Next::seq; }

template <class C, bool Subtract>
void unpacked(C& c) {
  u16 ax = c.template reg<u16>(0);
  const bool adjust = (ax & 15) > 9 || c.lf.af();
  if (adjust) ax = static_cast<u16>(Subtract ? ax - 0x106 : ax + 0x106);
  ax &= 0xff0f;
  c.template set_reg<u16>(0, ax);
  adjusted(c, static_cast<u8>(ax), adjust, adjust);
}
template <class C> Next aaa(C& c, const Insn&) { unpacked<C, false>(c); return Next::seq; }
template <class C> Next aas(C& c, const Insn&) { unpacked<C, true>(c); return Next::seq; }

using C = Cpu;
using enum Feature;
using attr::no64;

constexpr Def kRows[] = {
    {"DAA", "27", "", no64, always, VT_R1(daa)},
    {"DAS", "2F", "", no64, always, VT_R1(das)},
    {"AAA", "37", "", no64, always, VT_R1(aaa)},
    {"AAS", "3F", "", no64, always, VT_R1(aas)},
};

}  // namespace

std::span<const Def> decimal_part() { return kRows; }

}  // namespace vt::cpu
