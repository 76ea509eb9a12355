// SPDX-License-Identifier: GPL-2.0-or-later
/// Branch prediction: directions by a base table and two tagged ones, of a short and a long history (the longest that knows decides), targets by a
/// branch target buffer, returns by a stack, indirect branches by target and history.
#pragma once
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
  /// A conditional branch that the base table alone predicts, and right; false: nothing was learnt.
  bool surely(u64 rip, bool taken) {
    const Base& base = base_[rip & base_mask_];
    if (VT_UNLIKELY(base.right != sure_ || (base.counter >= 0) != taken)) return false;
    history_ = history_ << 1 | u64{taken};
    return true;
  }
  /// One that it is not so sure of.
  bool by_history(u64 rip, bool taken);
  bool conditional(u64 rip, bool taken) { return surely(rip, taken) || by_history(rip, taken); }
  void state(Ar& a);

 private:
  static constexpr u64 mix(u64 x) {   // SplitMix64's finaliser
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    return x ^ (x >> 29);
  }
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
  struct Tagged {
    u64 keep;                     ///< bits of the history that it looks at
    std::vector<Entry> entries;
    struct Found { Entry* entry; u16 tag; bool knows; };
    Found find(u64 rip, u64 history, u64 slots);   ///< slots: as many as there are, less one
  };
  void enter(Tagged::Found near, Tagged::Found far, bool taken);
  bool target(u64 key, u64 to);

  std::vector<Base> base_;
  u64 base_mask_;
  u8 sure_;
  Tagged near_, far_;
  LruSets<Target> btb_;
  std::vector<u64> stack_;
  u32 top_ = 0;
  u64 history_ = 0, path_ = 0;
};

}  // namespace vt::cpu
