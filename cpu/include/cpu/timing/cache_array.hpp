// SPDX-License-Identifier: GPL-2.0-or-later
/// The tags of one cache: sets of lines, each kept in order of use. The first is the one used last, the last one goes. A use of the first changes
/// nothing; nor of the second where there are four or more: of two that are used in turn, neither is about to go.
#pragma once
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/archive.hpp"
#include "base/bits.hpp"
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
        latency_(c.latency), tags_(static_cast<u32*>(std::aligned_alloc(bytes() >= kHuge ? kHuge : 64, bytes()))) {
    CHECK(std::has_single_bit(sets_) && sets_ >= 16, "sets are a power of two, 16 at least");
    CHECK(tags_, "no memory for a cache");
    if (bytes() >= kHuge) ::madvise(tags_.get(), bytes(), MADV_HUGEPAGE);   // may fail, and costs time then
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
    // From here on without a branch of the host: whether it is there, and where, is as hard to predict for it.
    const u64 at = matches(k, key);
    const unsigned n = static_cast<unsigned>(std::countr_zero(at | u64{1} << (ways_ - 1)));
    const u32 old = k[n];
    move_up(k, n);
    k[0] = (at ? old : key & ~kModified) | modified;
    gone = !at && (old & 3) == 3 ? u64{old >> 2} << shift_ | (line & (sets_ - 1)) : kNone;
    return at ? Place::moved : Place::fresh;
  }
  VT_INLINE void prefetch(u64 line) const { __builtin_prefetch(set(line)); }   // or the compiler drops the call, as one that does nothing
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
    a.bytes(tags_.get(), n * sizeof(u32));
  }

 private:
  static constexpr unsigned kStill = 4;
  static constexpr u32 kValid = 1, kModified = 2;
  typedef u32 Group __attribute__((vector_size(16)));   // with `using` clang does not take it
  struct Free { void operator()(u32* p) const { std::free(p); } };

  static constexpr std::size_t kHuge = 2 * 1024 * 1024;
  std::size_t bytes() const {
    const std::size_t n = (sets_ * stride_ + 15) / 16 * 64;
    return n < kHuge ? n : (n + kHuge - 1) / kHuge * kHuge;
  }
  VT_INLINE u32* set(u64 line) const { return tags_.get() + (line & (sets_ - 1)) * stride_; }
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
  /// Tags 0 to n - 1 move up by one, over tag n; tag 0 is to be written.
  void move_up(u32* k, unsigned n) const {
    Group here = group(k + stride_ - 4);
    for (unsigned g = stride_ - 4;; g -= 4) {
      const auto moves = Group{0, 1, 2, 3} + g <= n;
      const Group lower = g ? group(k + g - 4) : here, now = moves ? Group{lower[3], here[0], here[1], here[2]} : here;
      std::memcpy(k + g, &now, sizeof now);
      if (!g) return;
      here = lower;
    }
  }

  u64 sets_ = 0;
  unsigned shift_ = 0, ways_ = 0, stride_ = 0, latency_ = 0;
  std::unique_ptr<u32[], Free> tags_;
};

}  // namespace vt::cpu
