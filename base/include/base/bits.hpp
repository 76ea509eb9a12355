// SPDX-License-Identifier: GPL-2.0-or-later
/// Bit fields of integers. Ranges are inclusive and written as the manuals do: high, then low.
#pragma once
#include <bit>
#include <type_traits>

#include "base/types.hpp"

namespace vt {

template <class T>
constexpr bool bit(T x, unsigned n) { return (x >> n) & 1; }

constexpr u64 mask(unsigned hi, unsigned lo) { return (~u64{0} >> (63 - hi)) & (~u64{0} << lo); }
constexpr u64 bits(u64 x, unsigned hi, unsigned lo) { return (x & mask(hi, lo)) >> lo; }
constexpr u64 set_bits(u64 x, unsigned hi, unsigned lo, u64 value) {
  return (x & ~mask(hi, lo)) | ((value << lo) & mask(hi, lo));
}
/// Sign extension of the low `n` bits, 1 <= n <= 64.
constexpr i64 sext(u64 x, unsigned n) { return static_cast<i64>(x << (64 - n)) >> (64 - n); }
constexpr u64 align_down(u64 x, u64 a) { return x & ~(a - 1); }
constexpr u64 align_up(u64 x, u64 a) { return (x + a - 1) & ~(a - 1); }

#define VT_LIKELY(x) __builtin_expect(!!(x), 1)
#define VT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define VT_NOINLINE __attribute__((noinline))
#define VT_INLINE __attribute__((always_inline)) inline

}  // namespace vt
