// SPDX-License-Identifier: GPL-2.0-or-later
/// Queued events are data: (cycle, sequence, owner, kind). Owners are numbered in the order in which the
/// machine was put together, which the platform description determines.
#pragma once
#include <map>
#include <vector>

#include "emu/device.hpp"

namespace vt::emu {

class EventQueue {
 public:
  /// Devices may queue events while they are put together: an owner is numbered when it is first seen.
  void add_owner(Timed& owner) { number(owner); }
  void seal() { sealed_ = true; }  ///< the machine is complete: an owner that is new from now on is a CHECK
  void at(u64 cycle, Timed& owner, u32 kind);
  void cancel(Timed& owner, u32 kind);
  static constexpr u64 kNone = ~u64{0};
  u64 next() const { return queue_.empty() ? kNone : queue_.begin()->first.first; }
  /// Takes the first event out and lets it expire.
  void expire_one(u64 now);
  void state(Ar& ar);

 private:
  struct Key { u32 owner, kind; friend auto operator<=>(const Key&, const Key&) = default; };
  u32 number(Timed& owner);
  std::vector<Timed*> owners_;
  std::map<std::pair<u64, u64>, Key> queue_;   ///< by (cycle, sequence)
  std::map<Key, std::pair<u64, u64>> by_key_;  ///< derived
  u64 sequence_ = 0;
  bool sealed_ = false;
};

}  // namespace vt::emu
