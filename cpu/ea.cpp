// SPDX-License-Identifier: GPL-2.0-or-later
/// Effective address to linear address where it is not simply base + index * scale + displacement.
/// SDM 1 "Specifying an Offset", SDM 3A "Limit Checking", "Type Checking", SDM 3B "8086 Emulation"
#include "cpu/cpu.hpp"

namespace vt::cpu {
namespace {

u64 mask_of(unsigned asz) { return asz == 2 ? ~u64{0} : asz == 1 ? 0xffff'ffff : 0xffff; }

/// Limit check of [offset, offset + size). An expand-up limit of 4 GiB - 1 never refuses: whether an access that wraps does is
/// up to the processor ("Limit Checking"); ours wraps.
bool inside(const Segment& g, u64 offset, unsigned size) {
  const u64 last = offset + size - 1;
  const bool expand_down = g.s() && (g.ar & 0xc) == 4;
  if (expand_down) return offset > g.limit && last <= (g.db() ? 0xffff'ffffu : 0xffffu);
  return last <= g.limit || g.limit == 0xffff'ffff;
}

/// May it be read or written at all?   SDM 3A "Type Checking"
bool type_allows(const Segment& g, bool write) {
  if (g.type() & 8) return !write && (g.type() & 2);
  return !write || (g.type() & 2);
}

}  // namespace

u64 Cpu::ea_narrow(const Insn& i) const {
  return (r[i.rm] + (r[i.index] << i.scale()) + static_cast<u64>(static_cast<i64>(i.disp))) & mask_of(i.asz());
}

bool Cpu::linear_general(const Insn& i, unsigned size, bool write, u64& la, u64 offset) {
  const u64 ea = (r[i.rm] + (r[i.index] << i.scale()) + static_cast<u64>(static_cast<i64>(i.disp))) & mask_of(i.asz());
  if (code64_now) {
    la = ea + offset + (i.seg >= FS ? seg[i.seg].base : 0);
    return true;
  }
  return linear_seg(i.seg, static_cast<u32>(ea + offset), size, write, la);
}

bool Cpu::linear_seg(unsigned s, u64 offset, unsigned size, bool write, u64& la) {
  const Segment& g = seg[s];
  if (code64_now) {
    la = offset + (s >= FS ? g.base : 0);
    return true;
  }
  // Real-address mode looks at the limit only; virtual-8086 mode's segments have the access rights that make the rest pass.
  const bool bad = (protected_mode() && (g.unusable() || !type_allows(g, write))) || !inside(g, offset, size);
  if (VT_UNLIKELY(bad)) {
    s == SS ? ss(0) : gp(0);
    return false;
  }
  la = static_cast<u32>(g.base + offset);
  return true;
}

}  // namespace vt::cpu
