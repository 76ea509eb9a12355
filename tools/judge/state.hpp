// SPDX-License-Identifier: GPL-2.0-or-later
/// One instruction's case for the native judge: the state before it, what it does, where things are. Host and model use the same
/// linear addresses, so that everything that shows an address can be compared.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "base/bits.hpp"

namespace vt::judge {

/// Pages of the region; everything else in it is not present. Code is filled with INT3.
inline constexpr u64 kRegion = 0x2000'0000, kRegionSize = 0x20'0000, kPage = 4096;
inline constexpr u64 kCode = kRegion + 0x40000, kCodeSize = 16 * kPage;
inline constexpr u64 kData = kRegion + 0x80000, kDataSize = 3 * kPage;
inline constexpr u64 kReadOnly = kRegion + 0x90000, kReadOnlySize = kPage;
inline constexpr u64 kStack = kRegion + 0xc0000, kStackSize = 2 * kPage;

/// What a user-mode program can see. x87 registers are stack-relative, tags abridged, as in FXSAVE's image.
struct State {
  u8 code = 2;  ///< mode: 0, 1, 2 for 16, 32, 64 bits; RIP is an offset in CS
  u64 r[16] = {}, rip = 0, flags = 2;
  struct { u64 m = 0; u16 se = 0; } st[8];
  u16 cw = 0x37f, sw = 0;
  u8 tags = 0;
  u32 mxcsr = 0x1f80;
  u64 ymm[16][4] = {};
};
/// Both sides run until an exception: INT3's, where the instruction did without one.
struct Outcome {
  unsigned vector = 0;
  u64 error = 0, cr2 = 0;
  u16 selectors[6] = {};  ///< by cpu::Seg
  State s;
};
struct Patch { u64 at; std::vector<u8> bytes; };
struct Case {
  State start;
  std::vector<u8> code;      ///< at CS:start.rip
  std::vector<Patch> memory;  ///< over the template that all cases begin with
  unsigned row = 0;
  bool memory_form = false;
};

}  // namespace vt::judge
