// SPDX-License-Identifier: GPL-2.0-or-later
/// Packed-integer operations, once for 64-bit (MMX) and 128-bit (SSE) vectors. An operation is a type with
/// `template <class V> static V f(V destination, V source)`.   SDM 2B "Instruction Set Reference, M-U"
#pragma once
#include <algorithm>
#include <limits>

#include "insn/fpu.hpp"

namespace vt::cpu::lane {

template <class E, class V, class F>
V each(const V& a, const V& b, F f) {
  auto x = lanes_of<E>(a);
  const auto y = lanes_of<E>(b);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = static_cast<E>(f(x[k], y[k]));
  return from_lanes<V>(x);
}
template <class To, class W>
constexpr To saturate(W x) {
  return static_cast<To>(std::clamp<W>(x, std::numeric_limits<To>::min(), std::numeric_limits<To>::max()));
}

// One lane at a time: `op(destination, source)` in int, or in 64 bits for the wide ones.
template <class E, auto Op>
struct Each {
  template <class V> static V f(const V& a, const V& b) { return each<E>(a, b, Op); }
};
inline constexpr auto kAdd = [](auto a, auto b) { return a + b; };
inline constexpr auto kSub = [](auto a, auto b) { return a - b; };
inline constexpr auto kAddSat = [](auto a, auto b) { return saturate<decltype(a), int>(a + b); };
inline constexpr auto kSubSat = [](auto a, auto b) { return saturate<decltype(a), int>(a - b); };
inline constexpr auto kMin = [](auto a, auto b) { return a < b ? a : b; };
inline constexpr auto kMax = [](auto a, auto b) { return a > b ? a : b; };
inline constexpr auto kEq = [](auto a, auto b) { return a == b ? -1 : 0; };
inline constexpr auto kGt = [](auto a, auto b) { return a > b ? -1 : 0; };
inline constexpr auto kAvg = [](auto a, auto b) { return (a + b + 1) >> 1; };
inline constexpr auto kMulLow = [](auto a, auto b) { return static_cast<u32>(a) * static_cast<u32>(b); };
inline constexpr auto kMulHigh = [](auto a, auto b) { return (static_cast<i64>(a) * b) >> 16; };
inline constexpr auto kMulHrs = [](auto a, auto b) { return ((a * b >> 14) + 1) >> 1; };
inline constexpr auto kSign = [](auto a, auto b) { return b < 0 ? 0u - static_cast<u32>(a) : b == 0 ? 0u : static_cast<u32>(a); };
inline constexpr auto kAbs = [](auto, auto b) { return b < 0 ? 0u - static_cast<u32>(b) : static_cast<u32>(b); };
inline constexpr auto kMulEven = [](u64 a, u64 b) { return static_cast<u64>(static_cast<u32>(a)) * static_cast<u32>(b); };
inline constexpr auto kMulEvenSigned = [](u64 a, u64 b) { return static_cast<u64>(static_cast<i64>(static_cast<i32>(a)) * static_cast<i32>(b)); };
inline constexpr auto kAnd = [](u64 a, u64 b) { return a & b; };
inline constexpr auto kAndn = [](u64 a, u64 b) { return ~a & b; };
inline constexpr auto kOr = [](u64 a, u64 b) { return a | b; };
inline constexpr auto kXor = [](u64 a, u64 b) { return a ^ b; };

// PSLLx, PSRLx, PSRAx: the count is the low 64 bits of the source, the same for all lanes.
enum class Shift { left, right, arithmetic };
template <class E, Shift S, class V>
V shift(const V& a, u64 count) {
  constexpr unsigned width = 8 * sizeof(E);
  auto x = lanes_of<E>(a);
  for (auto& e : x) {
    if constexpr (S == Shift::arithmetic) e = static_cast<E>(static_cast<std::make_signed_t<E>>(e) >> (count < width ? count : width - 1));
    else if (count >= width) e = 0;
    else e = static_cast<E>(S == Shift::left ? e << count : e >> count);
  }
  return from_lanes<V>(x);
}
template <class E, Shift S>
struct ShiftBy {
  template <class V> static V f(const V& a, const V& b) { return shift<E, S>(a, b.q[0]); }
};

// PACKxx: the destination's lanes, then the source's, narrowed with saturation.
template <class From, class To>
struct Pack {
  template <class V> static V f(const V& a, const V& b) {
    const auto x = lanes_of<From>(a), y = lanes_of<From>(b);
    LaneArray<To, V> to;
    for (std::size_t k = 0; k < x.size(); ++k) to[k] = saturate<To, int>(x[k]), to[x.size() + k] = saturate<To, int>(y[k]);
    return from_lanes<V>(to);
  }
};
// PUNPCKxx. `kLow`: MMX reads only 32 bits from memory.
template <class E, bool High>
struct Unpack {
  static constexpr bool kLow = !High;
  template <class V> static V f(const V& a, const V& b) {
    const auto x = lanes_of<E>(a), y = lanes_of<E>(b);
    auto to = x;
    const std::size_t n = to.size() / 2, from = High ? n : 0;
    for (std::size_t k = 0; k < n; ++k) to[2 * k] = x[from + k], to[2 * k + 1] = y[from + k];
    return from_lanes<V>(to);
  }
};
struct MulAddWords {  // PMADDWD: wraps only for four times -32768
  template <class V> static V f(const V& a, const V& b) {
    const auto x = lanes_of<i16>(a), y = lanes_of<i16>(b);
    LaneArray<u32, V> to;
    for (std::size_t k = 0; k < to.size(); ++k)
      to[k] = static_cast<u32>(x[2 * k] * y[2 * k]) + static_cast<u32>(x[2 * k + 1] * y[2 * k + 1]);
    return from_lanes<V>(to);
  }
};
struct MulAddBytes {  // PMADDUBSW: unsigned destination, signed source
  template <class V> static V f(const V& a, const V& b) {
    const auto x = lanes_of<u8>(a);
    const auto y = lanes_of<i8>(b);
    LaneArray<i16, V> to;
    for (std::size_t k = 0; k < to.size(); ++k) to[k] = saturate<i16, int>(x[2 * k] * y[2 * k] + x[2 * k + 1] * y[2 * k + 1]);
    return from_lanes<V>(to);
  }
};
struct SumAbsDiff {  // PSADBW
  template <class V> static V f(const V& a, const V& b) {
    const auto x = lanes_of<u8>(a), y = lanes_of<u8>(b);
    LaneArray<u64, V> to;
    for (std::size_t k = 0; k < to.size(); ++k) {
      to[k] = 0;
      for (std::size_t n = 8 * k; n < 8 * k + 8; ++n) to[k] += static_cast<u64>(x[n] > y[n] ? x[n] - y[n] : y[n] - x[n]);
    }
    return from_lanes<V>(to);
  }
};
template <class E, auto Op>
struct Horizontal {  // PHADDx, PHSUBx: pairs of the destination, then pairs of the source
  template <class V> static V f(const V& a, const V& b) {
    const auto x = lanes_of<E>(a), y = lanes_of<E>(b);
    auto to = x;
    const std::size_t n = to.size() / 2;
    for (std::size_t k = 0; k < n; ++k)
      to[k] = static_cast<E>(Op(x[2 * k], x[2 * k + 1])), to[n + k] = static_cast<E>(Op(y[2 * k], y[2 * k + 1]));
    return from_lanes<V>(to);
  }
};
struct ShuffleBytes {  // PSHUFB
  template <class V> static V f(const V& a, const V& b) {
    const auto x = lanes_of<u8>(a), y = lanes_of<u8>(b);
    LaneArray<u8, V> to;
    for (std::size_t k = 0; k < to.size(); ++k) to[k] = y[k] & 0x80 ? 0 : x[y[k] & (to.size() - 1)];
    return from_lanes<V>(to);
  }
};
template <class V>
V align_right(const V& a, const V& b, unsigned count) {  // PALIGNR: a above b, shifted right by bytes
  const auto x = lanes_of<u8>(a), y = lanes_of<u8>(b);
  const unsigned n = sizeof(V);
  LaneArray<u8, V> to;
  for (unsigned k = 0; k < n; ++k) {
    const unsigned at = k + count;
    to[k] = at < n ? y[at] : at < 2 * n ? x[at - n] : 0;
  }
  return from_lanes<V>(to);
}
template <class E, class V>
V shuffle_by(const V& v, unsigned select, std::size_t first = 0) {  // four lanes from `first` on
  const auto x = lanes_of<E>(v);
  auto to = x;
  for (std::size_t k = 0; k < 4; ++k) to[first + k] = x[first + ((select >> (2 * k)) & 3)];
  return from_lanes<V>(to);
}

}  // namespace vt::cpu::lane
