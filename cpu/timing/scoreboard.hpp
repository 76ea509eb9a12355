// SPDX-License-Identifier: GPL-2.0-or-later
/// The `core` model: a carried scoreboard. Instructions take slots of the front end in order, wait for their operands and for a port, and retire in
/// order; nothing is simulated cycle by cycle. What is carried from one instruction to the next is all there is, so that it does not
/// matter how code is cut. Cycles are counted from power-on.
#pragma once
#include "cpu/timing/timing.hpp"
#include "timing/timed_insn.hpp"

namespace vt::cpu {

class Scoreboard {
 public:
  explicit Scoreboard(const timing::Profile& p);
  struct Operand { u64 la = 0; AccessCost l; };
  /// An instruction retires: when, in ticks.
  u64 retire(const Insn& i, const TimedInsn& x, const Operand* operands, bool mispredicted, bool taken);
  /// A string instruction, which has the core for itself. It may come in parts: whether it begins, the lines that it meets, then how long the iterations take.
  void string_begins(bool first);
  void string_line(const AccessCost& l);
  u64 string(u64 ticks);
  /// Ticks since the retirement before the last one that belong to a cause.
  const std::array<u64, kCauses>* waited() const { return waits_ ? &waited_ : nullptr; }   ///< null: none
  void restart(u64 ticks);                      ///< everything before has retired; the front end begins anew at this time
  void stall_front(Cause c, u64 ticks);         ///< instructions come later
  void state(Ar& a);

 private:
  static constexpr unsigned kAhead = 8192, kStores = 64, kMostSlots = 32;   ///< microcode beyond that is in its latency
  struct Store {
    u64 la = ~u64{0}, ready = 0, left = 0;   ///< left: the cycle in which it is in the cache
    u16 size = 0;
    void state(Ar& a) { a(la, ready, left, size); }
  };
  struct Due { u64 cycles = 0, until = 0; void state(Ar& a) { a(cycles, until); } };
  u64 dispatch(unsigned slots);
  u64 port(u16 mask, u64 ready, unsigned busy);
  u64 load(const TimedAccess& a, const Operand& o, u64 ready, bool locked);
  void store(const Insn& i, const TimedAccess& a, const Operand& o, u64 ready);
  u64 forwarded(const TimedAccess& a, const Operand& o, const Store& s, u64 ready);
  u64 address_ready(const Insn& i, const TimedAccess& a) const;
  void blame(Cause c, u64 cycles, u64 until);
  void blame(const AccessCost& l, u64 until);
  u64 settle(u64 done, unsigned slots);

  const timing::Profile& p_;
  std::array<u64, 32> slot_ticks_{};            ///< of a cycle, when so many of its retirement slots are taken
  u64 front_ = 0, retire_ = 0, last_done_ = 0, memory_free_ = 0, base_ = 0;
  u64 string_from_ = 0, string_ticks_ = 0, string_misses_ = 0;
  u64 drained_ = 0, drained_line_ = 0;          ///< the last store has left its buffer, in half cycles; its line
  u32 front_slot_ = 0, retire_slot_ = 0, rob_at_ = 0, load_at_ = 0, store_at_ = 0;
  bool fusible_ = false;                        ///< the instruction before may fuse with a conditional branch
  std::array<u64, slot::count> ready_{};
  std::array<u16, kAhead> taken_{};             ///< of cycle c, from `base_` on, at c % kAhead: the ports that are taken
  std::vector<u64> rob_, loads_, stores_;       ///< when the entry becomes free, in a ring
  std::array<Store, kStores> forward_{};
  std::array<Due, kCauses> due_{};
  u32 dues_ = 0;                                ///< bit n: due_[n] may be something
  /// In no cycle from `from` until `to` one of these ports is free: where the next search for them begins. Not state: it only saves time.
  struct Full { u64 from = 0, to = 0; u16 mask = 0; };
  std::array<Full, 16> full_{};
  std::array<u64, kCauses> waited_{};           ///< of the last one: not state
  bool waits_ = false;
};

}  // namespace vt::cpu
