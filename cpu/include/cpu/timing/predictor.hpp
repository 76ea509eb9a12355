// SPDX-License-Identifier: GPL-2.0-or-later
/// Branch prediction: directions by a base table and four tagged ones with growing histories (the longest that knows decides), targets by a
/// branch target buffer, returns by a stack, indirect branches by target and history.
#pragma once
#include <array>

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
  void state(Ar& a);

 private:
  static constexpr unsigned kTables = 4;
  struct Entry {
    u16 tag = 0;
    i8 counter = 0;      ///< taken from 0 up; -4 to 3
    u8 useful = 0;
    void state(Ar& a) { a(tag, counter, useful); }
  };
  struct Target { u64 rip = 0, to = 0; void state(Ar& a) { a(rip, to); } };
  bool direction(u64 rip, bool taken);
  bool target(u64 key, u64 to);
  u64 hash(unsigned table, u64 rip) const;

  std::array<u64, kTables> keep_{};   ///< bits of the history that a table looks at
  std::vector<i8> base_;
  std::array<std::vector<Entry>, kTables> tagged_;
  LruSets<Target> btb_;
  std::vector<u64> stack_;
  u32 top_ = 0;
  u64 history_ = 0, path_ = 0;
};

}  // namespace vt::cpu
