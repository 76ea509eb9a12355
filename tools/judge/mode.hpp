// SPDX-License-Identifier: GPL-2.0-or-later
/// The segments that cases run with, the same on both sides. In 64-bit mode they are Linux's for programs; in 16 and 32-bit protected mode
/// (of which long mode's compatibility mode is what a 64-bit Linux gives programs) some are of a local descriptor table.
#pragma once
#include <array>

#include "cpu/state.hpp"
#include "judge/state.hpp"

namespace vt::judge {

/// An entry of the local descriptor table.
struct LocalSegment {
  u32 base, limit;   ///< in bytes
  bool code, big, down;  ///< big: D/B; down: expand-down data
  bool open = true, present = true;  ///< open: data may be written, code read
  constexpr u32 rights() const { return (present ? 0x80u : 0u) | 0x71u | (code ? 8u : down ? 4u : 0u) | (open ? 2u : 0u) | (big ? 0x4000u : 0u); }
};
inline constexpr u32 kCodeBase16 = static_cast<u32>(kCode), kStackBase16 = static_cast<u32>(kStack) - 0x4000;
inline constexpr std::array<LocalSegment, 12> kLocalSegments = {{
    {kCodeBase16, 0xffff, true, false, false},
    {static_cast<u32>(kData) - 0x1000, 0x3f7f, false, false, false},       // ends within the data's last page
    {static_cast<u32>(kData) + 0x1000, 0xffff, false, false, false},       // begins with the data's second page, ends with the read-only one
    {kStackBase16, 0xffff, false, false, false},
    {static_cast<u32>(kData) - 0x2000, 0x2fff, false, false, true},        // from the data's second page on
    {static_cast<u32>(kData) - 0x2000, 0x4f7f, false, true, false},
    {static_cast<u32>(kData) - 0x2000, 0x2fff, false, true, true},
    // Those that cases only load, or fail to.
    {static_cast<u32>(kData), 0xffff, false, true, false, true, false},
    {static_cast<u32>(kData), 0xffff, false, true, false, false},
    {kCodeBase16, 0xffff, true, true, false, false},
    {kCodeBase16, 0xffff, true, true, false},
    {kCodeBase16, 0xffff, true, true, false, true, false},
}};
/// As the host's kernel makes it of a user_desc.
constexpr u64 local_descriptor(unsigned n) {
  const LocalSegment& l = kLocalSegments[n];
  return (l.limit & 0xffff) | u64{l.base & 0xffffff} << 16 | u64{l.rights()} << 40 | u64{l.limit >> 16 & 15} << 48 | u64{l.base >> 24} << 56;
}
/// Linux's global table as far as programs can tell; 40H and 50H are system segments.
inline constexpr u64 kGlobalTable[16] = {0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0,
                                         0x00008b000000206f, 0, 0x000082000000005f, 0};
constexpr u16 local_selector(unsigned n) { return static_cast<u16>(n << 3 | 7); }

constexpr cpu::Segment local_segment(unsigned n) {
  const LocalSegment& l = kLocalSegments[n];
  cpu::Segment s;
  s.base = l.base, s.limit = l.limit, s.sel = local_selector(n);
  s.ar = l.rights();
  return s;
}
/// `code`: 0, 1, 2 for 16, 32, 64 bits; `s`: cpu::ES to cpu::GS. Selectors of the global table are Linux's.
constexpr cpu::Segment segment_of(unsigned code, unsigned s) {
  const auto flat = [](u16 sel, u32 ar) { cpu::Segment g; g.limit = ~0u, g.ar = ar, g.sel = sel; return g; };
  const cpu::Segment null = flat(0, 0x1c0f3), data = flat(0x2b, 0xc0f3);
  if (code == 2) return s == cpu::CS ? flat(0x33, 0xa0fb) : s == cpu::SS ? data : null;
  if (s == cpu::FS) return null;  // the host's programs need theirs
  if (code == 1) return s == cpu::CS ? flat(0x23, 0xc0fb) : s == cpu::ES ? local_segment(5) : s == cpu::GS ? local_segment(6) : data;
  return local_segment(s == cpu::CS ? 0 : s == cpu::DS ? 1 : s == cpu::ES ? 2 : s == cpu::SS ? 3 : 4);
}
/// Linear address of the case's first byte.
inline u64 code_address(const State& s) { return s.rip + (s.code == 0 ? kCodeBase16 : 0); }

}  // namespace vt::judge
