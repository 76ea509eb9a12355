// SPDX-License-Identifier: GPL-2.0-or-later
/// Branch prediction: directions by a base table and four tagged ones with growing histories (the longest that knows decides), targets by a
/// branch target buffer, returns by a stack, indirect branches by target and history.
#pragma once
#include <array>

#include "base/bits.hpp"
#include "base/timing.hpp"
#include "cpu/timing/lru.hpp"

namespace vt::cpu {

class Predictor {
 public:
  explicit Predictor(const timing::Profile& p);
  enum class Kind : u8 { conditional, direct, indirect, call, indirect_call, ret };
  /// Predicts the branch at `rip`, is told what it did, and learns. True: it was predicted right. `next`: where it went; `behind`: the
  /// instruction after it.
  bool predict(Kind kind, u64 rip, u64 behind, u64 next);
  /// A conditional branch that the base table alone predicts, and right; false: nothing was learnt, ask `conditional`.
  bool surely(u64 rip, bool taken) {
    const Base& base = base_[mix(rip) & base_mask_];
    if (VT_UNLIKELY(base.right != sure_ || (base.counter >= 0) != taken)) return false;
    history_ = history_ << 1 | (taken ? 1 : 0);
    return true;
  }
  bool conditional(u64 rip, bool taken) {
    if (surely(rip, taken)) return true;
    const u64 branch = mix(rip);
    const bool right = by_history(branch, taken, base_[branch & base_mask_]);
    history_ = history_ << 1 | (taken ? 1 : 0);
    return right;
  }
  void state(Ar& a);

 private:
  static constexpr u64 mix(u64 x) {   // SplitMix64's finaliser
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    return x ^ (x >> 29);
  }
  static constexpr unsigned kTables = 4;
  struct Entry {
    u16 tag = 0;
    i8 counter = 0;      ///< taken from 0 up; -4 to 3
    u8 useful = 0;
    void state(Ar& a) { a(tag, counter, useful); }
  };
  /// Of the base table. A branch that it has been right about for as long as any history looks back is not asked about in the tagged ones.
  struct Base {
    i8 counter = 0;      ///< taken from 0 up; -2 to 1
    u8 right = 0;        ///< times in a row
    void state(Ar& a) { a(counter, right); }
  };
  struct Target { u64 rip = 0, to = 0; void state(Ar& a) { a(rip, to); } };
  bool by_history(u64 hash, bool taken, Base& base);
  bool target(u64 key, u64 to);

  std::array<u64, kTables> keep_{};   ///< bits of the history that a table looks at
  std::vector<Base> base_;
  u64 base_mask_;
  u8 sure_;
  std::array<std::vector<Entry>, kTables> tagged_;
  LruSets<Target> btb_;
  std::vector<u64> stack_;
  u32 top_ = 0;
  u64 history_ = 0, path_ = 0;
};

}  // namespace vt::cpu
