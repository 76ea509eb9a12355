// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory types: told to those who ask, without effect on what an access does.   SDM 3A "Memory Type Range Registers (MTRRs)"
#include "mmu.hpp"

namespace vt::cpu {

namespace {

/// The byte of the fixed-range MTRRs for an address below 1 MiB.   SDM 3A "Fixed Range MTRRs"
MemType fixed_type(const Msrs& m, u64 a) {
  unsigned reg, byte;
  if (a < 0x80000) reg = 0, byte = static_cast<unsigned>(a >> 16);
  else if (a < 0xc0000) reg = 1 + static_cast<unsigned>((a - 0x80000) >> 17), byte = static_cast<unsigned>(a >> 14) & 7;
  else reg = 3 + static_cast<unsigned>((a - 0xc0000) >> 15), byte = static_cast<unsigned>(a >> 12) & 7;
  return static_cast<MemType>(m.mtrr_fixed[reg] >> (8 * byte) & 0xff);
}

}  // namespace

MemType mtrr_type(const Cpu& c, Hpa at) {
  const Msrs& m = c.msr;
  if (!c.model().has(Feature::mtrr)) return MemType::WB;
  if (!bit(m.mtrr_def_type, 11)) return MemType::UC;
  if (at.v < 0x100000 && bit(m.mtrr_def_type, 10)) return fixed_type(m, at.v);
  // SDM 3A "MTRR Precedences": UC wins, then WT over WB; other overlaps are undefined and give UC here.
  bool any = false;
  MemType type = MemType::UC;
  for (unsigned i = 0; i < 10; ++i) {
    if (!bit(m.mtrr_mask[i], 11)) continue;
    const u64 mk = m.mtrr_mask[i] & mask(51, 12);
    if ((at.v & mk) != (m.mtrr_base[i] & mk)) continue;
    const MemType t = static_cast<MemType>(m.mtrr_base[i] & 0xff);
    if (!any) type = t;
    else if (t != type) type = (t == MemType::WT && type == MemType::WB) || (t == MemType::WB && type == MemType::WT) ? MemType::WT : MemType::UC;
    any = true;
  }
  return any ? type : static_cast<MemType>(m.mtrr_def_type & 0xff);
}

/// SDM 3A "Effective Page-Level Memory Types for Pentium III and More Recent Processor Families"
MemType combine_types(MemType mtrr, MemType pat) {
  using enum MemType;
  switch (pat) {
    case UC: return UC;
    case WC: return WC;
    case UCminus: return mtrr == WC ? WC : UC;
    case WT: return mtrr == WB || mtrr == WT ? WT : mtrr == WP ? WP : UC;
    case WP: return mtrr == WB || mtrr == WT || mtrr == WP ? WP : UC;
    default: return mtrr;
  }
}

}  // namespace vt::cpu
