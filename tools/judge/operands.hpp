// SPDX-License-Identifier: GPL-2.0-or-later
/// Operands that matter: boundaries of formats and roundings, NaNs, infinities, denormals, and anything.
#pragma once
#include "base/bits.hpp"
#include "cpu/state.hpp"

namespace vt::judge {

class Operands {
 public:
  explicit Operands(u64 seed) : state_(seed) {}
  u64 bits() {  // splitmix64: any seed is as good as any other
    u64 z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  unsigned below(unsigned n) { return static_cast<unsigned>((bits() >> 32) * n >> 32); }
  bool one_in(unsigned n) { return below(n) == 0; }
  u16 f16() {
    static constexpr u16 kNasty[] = {0, 1, 0x3ff, 0x400, 0x3c00, 0x3bff, 0x7bff, 0x7c00, 0x7c01, 0x7dff, 0x7e00, 0x7fff, 0x200};
    return static_cast<u16>((one_in(2) ? kNasty[below(13)] : bits() & 0x7fff) | below(2) << 15);
  }
  u32 f32() {
    static constexpr u32 kNasty[] = {0, 1, 2, 0x7fffff, 0x800000, 0x800001, 0x3f800000, 0x3f800001, 0x3f7fffff, 0x40000000, 0x7f7fffff, 0x7f800000,
        0x7f800001, 0x7fa00000, 0x7fbfffff, 0x7fc00000, 0x7fc12345, 0x7fffffff, 0x4f000000, 0x4effffff, 0x5f000000, 0x3f000000, 0x3fc00000, 0x34000000, 0x400000,
        0x477fe000, 0x477fefff, 0x477ff000, 0x38800000, 0x387fe000, 0x33000000, 0x33800000};
    u32 v;
    switch (below(4)) {
      case 0: v = kNasty[below(sizeof kNasty / 4)]; break;
      case 1: v = static_cast<u32>(bits()); break;
      case 2: v = static_cast<u32>(bits() & 0x7fffff) | (120 + below(40)) << 23; break;
      default: v = static_cast<u32>(bits() & (0x7fffff << below(23)) & 0x7fffff) | (below(2) ? below(30) : 225 + below(30)) << 23;
    }
    return v ^ static_cast<u32>(below(2)) << 31;
  }
  u64 f64() {
    static constexpr u64 kNasty[] = {0, 1, 0xfffffffffffff, 0x10000000000000, 0x3ff0000000000000, 0x3fefffffffffffff, 0x7fefffffffffffff, 0x7ff0000000000000,
        0x7ff0000000000001, 0x7ff4000000000000, 0x7ff8000000000000, 0x7ff8123456789abc, 0x7fffffffffffffff, 0x41dfffffffc00000, 0x41e0000000000000, 0x43e0000000000000,
        0x43dfffffffffffff, 0x3fe0000000000000, 0x3ff8000000000000, 0x36a0000000000000, 0x3690000000000000, 0x380fffffe0000000, 0x380ffffff0000000, 0x47efffffe0000000, 0x47effffff0000000, 0x41dfffffffe00000};
    u64 v;
    switch (below(5)) {
      case 0: v = kNasty[below(sizeof kNasty / 8)]; break;
      case 1: v = bits(); break;
      case 2: v = (bits() & 0xfffffffffffff) | static_cast<u64>(1000 + below(100)) << 52; break;
      case 3: v = (bits() & 0xfffffffffffff) | static_cast<u64>(below(2) ? 868 + below(40) : 1140 + below(20)) << 52; break;
      default: v = (bits() & (0xfffffffffffffull << below(52)) & 0xfffffffffffff) | static_cast<u64>(below(2) ? below(60) : 1990 + below(57)) << 52;
    }
    return v ^ static_cast<u64>(below(2)) << 63;
  }
  cpu::X87Reg f80() {
    static constexpr cpu::X87Reg kNasty[] = {{0, 0}, {1, 0}, {~u64{0} >> 1, 0}, {u64{1} << 63, 0}, {u64{1} << 63, 1}, {~u64{0}, 0x7ffe}, {u64{1} << 63, 0x7fff}, {(u64{1} << 63) + 1, 0x7fff},
        {0xa000000000000000, 0x7fff}, {0xc000000000000000, 0x7fff}, {0xc123456789abcdef, 0x7fff}, {~u64{0}, 0x7fff}, {0, 0x7fff}, {1, 0x7fff}, {0x4000000000000000, 0x7fff}, {0, 1}, {0x7fffffffffffffff, 0x3fff},
        {u64{1} << 63, 0x3fff}, {u64{1} << 63, 0x3ffe}, {0xc000000000000000, 0x3fff}, {u64{1} << 63, 0x403e}, {~u64{0}, 0x403d}, {0xfffffffe00000000, 0x401d}, {0xfffe000000000000, 0x400d}, {0xffff000000000000, 0x400d}};
    cpu::X87Reg v;
    switch (below(5)) {
      case 0: v = kNasty[below(sizeof kNasty / sizeof kNasty[0])]; break;
      case 1: v = {bits() | u64{1} << 63, static_cast<u16>(bits() & 0x7fff)}; break;
      case 2: v = {bits() | u64{1} << 63, static_cast<u16>(0x3fff - 20 + below(90))}; break;
      case 3: v = {(bits() & (~u64{0} << below(64))) | u64{1} << 63, static_cast<u16>(below(2) ? 1 + below(70) : 0x7ffe - below(70))}; break;
      default: v = {(bits() & (~u64{0} << below(64))) | u64{1} << 63, static_cast<u16>(0x3fff + (below(2) ? 1 : -1) * static_cast<int>(below(2) ? 127 + below(28) : 1020 + below(60)))};
    }
    v.se = static_cast<u16>(v.se ^ below(2) << 15);
    return v;
  }
  /// An integer of 64 bits whose parts are boundaries of one width, or anything.
  u64 integer() {
    static constexpr u64 kEdges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~u64{0}, 0x9a};
    static constexpr u8 kBytes[] = {0, 1, 0x7f, 0x80, 0x81, 0xff};
    static constexpr u16 kWords[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x7f, 0x80};
    u64 v = 0;
    switch (below(7)) {
      case 0: return kEdges[below(16)];
      case 1: return bits() & 0xff;
      case 2: for (unsigned k = 0; k < 8; ++k) v = v << 8 | kBytes[below(6)]; return v;
      case 3: for (unsigned k = 0; k < 4; ++k) v = v << 16 | kWords[below(8)]; return v;
      case 4: return bits() & bits() & bits();
      case 5: return kEdges[below(16)] | static_cast<u64>(kEdges[below(16)]) << 32;
      default: return bits();
    }
  }

 private:
  u64 state_;
};

}  // namespace vt::judge
