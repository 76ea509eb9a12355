// SPDX-License-Identifier: GPL-2.0-or-later
/// The tags of one cache: sets of lines, each kept in order of use. The first is the one used last, the last one goes. A use of the first changes
/// nothing; nor of the second where there are four or more: of two that are used in turn, neither is about to go.
#pragma once
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/archive.hpp"
#include "base/check.hpp"
#include "base/timing.hpp"

namespace vt::cpu {

/// A tag is 32 bits (the line's number beyond its set << 2 | modified << 1 | valid) and a set has its tags side by side, in as few lines of the host as that
/// takes: looking one up is a few comparisons of four. Memory ends at 1 TiB, so a tag fits with 16 sets or more, which profiles have (firmware/timing_check.cpp).
class CacheArray {
 public:
  CacheArray() = default;
  explicit CacheArray(const timing::Cache& c)
      : sets_(c.size / 64 / c.ways), shift_(static_cast<unsigned>(std::countr_zero(sets_))), ways_(c.ways), stride_(c.ways <= 16 ? std::bit_ceil(std::max(c.ways, 4u)) : (c.ways + 15) & ~15u),
        latency_(c.latency), tags_(static_cast<u32*>(std::aligned_alloc(64, bytes()))) {
    CHECK(std::has_single_bit(sets_) && sets_ >= 16, "sets are a power of two, 16 at least");
    CHECK(tags_, "no memory for a cache");
    std::memset(tags_.get(), 0, bytes());
  }
  unsigned latency() const { return latency_; }
  enum class Place : u8 { first, second, moved, fresh };   ///< where it stayed; or it is the first now, and was there, or was not
  static constexpr u64 kNone = ~u64{0};

  /// The line is used; it comes in if it was not there. `gone`: the modified line that has gone for it, or kNone.
  Place bring(u64 line, bool write, u64& gone) {
    u32* const k = set(line);
    const u32 key = static_cast<u32>(line >> shift_ << 2) | kModified | kValid, modified = write ? kModified : 0;
    gone = kNone;
    if ((k[0] | kModified) == key) return k[0] |= modified, Place::first;
    if (ways_ >= kStill && (k[1] | kModified) == key) return k[1] |= modified, Place::second;
    if (const u64 at = matches(k, key)) {
      const unsigned n = static_cast<unsigned>(std::countr_zero(at));
      const u32 found = k[n];
      move_up(k, n);
      k[0] = found | modified;
      return Place::moved;
    }
    if (const u32 old = k[ways_ - 1]; (old & 3) == 3) gone = u64{old >> 2} << shift_ | (line & (sets_ - 1));
    move_up(k, ways_ - 1);
    k[0] = (key & ~kModified) | modified;
    return Place::fresh;
  }
  void prefetch(u64 line) const { __builtin_prefetch(set(line), 1); }
  /// What follows moves down: the place that becomes free is the next one to be used.
  void drop(u64 line) {
    u32* const k = set(line);
    const u64 at = matches(k, static_cast<u32>(line >> shift_ << 2) | kModified | kValid);
    if (!at) return;
    const unsigned n = static_cast<unsigned>(std::countr_zero(at));
    std::memmove(k + n, k + n + 1, (ways_ - 1 - n) * sizeof *k);
    k[ways_ - 1] = 0;
  }
  void drop_all() { std::memset(tags_.get(), 0, bytes()); }
  void state(Ar& a) {
    u64 n = sets_ * stride_;
    a(n);
    if (n != sets_ * stride_) throw std::runtime_error("damaged state: a cache of another size");
    a.bytes(tags_.get() + kPad, n * sizeof(u32));
  }

 private:
  static constexpr unsigned kStill = 4, kPad = 16;   ///< pad: before the first set, as `move_up` reads one tag below
  static constexpr u32 kValid = 1, kModified = 2;
  using Group = u32 [[gnu::vector_size(16)]];
  struct Free { void operator()(u32* p) const { std::free(p); } };

  std::size_t bytes() const { return (kPad + sets_ * stride_ + 15) / 16 * 64; }
  u32* set(u64 line) const { return tags_.get() + kPad + (line & (sets_ - 1)) * stride_; }
  static Group group(const u32* at) { Group g; std::memcpy(&g, at, sizeof g); return g; }
  /// Bit n: tag n is this one, modified or not. There is one at most.
  u64 matches(const u32* k, u32 key) const {
    u64 found = 0;
    for (unsigned g = 0; g < stride_; g += 4) {
      const auto same = (group(k + g) | kModified) == key;
#ifdef __SSE2__
      found |= u64{static_cast<u32>(_mm_movemask_ps(reinterpret_cast<__m128>(same)))} << g;
#else
      for (unsigned n = 0; n < 4; ++n) found |= u64{same[n] != 0} << (g + n);
#endif
    }
    return found;
  }
  /// Tags 0 to n - 1 move up by one, over tag n.
  static void move_up(u32* k, unsigned n) {
    for (unsigned g = n / 4 * 4 + 4; g;) {
      g -= 4;
      const auto moves = Group{0, 1, 2, 3} + g <= n;
      const Group here = group(k + g), below = group(k + g - 1), now = moves ? below : here;
      std::memcpy(k + g, &now, sizeof now);
    }
  }

  u64 sets_ = 0;
  unsigned shift_ = 0, ways_ = 0, stride_ = 0, latency_ = 0;
  std::unique_ptr<u32[], Free> tags_;
};

}  // namespace vt::cpu
