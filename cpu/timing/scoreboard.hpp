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
  struct Operand { u64 la; const AccessCost* l; };
  /// An instruction retires.
  void retire(const Insn& i, const TimedInsn& x, const Operand* operands, bool mispredicted, bool taken);
  void retire_quiet(const TimedInsn& x);        ///< one that keeps to registers
  u64 retired() const { return retire_ * kTicks + slot_ticks_[retire_slot_]; }   ///< when the last one did, in ticks
  /// A string instruction, which has the core for itself. It may come in parts: whether it begins, the lines that it meets, then how long the iterations take.
  void string_begins(bool first);
  void string_line(const AccessCost& l);
  void string(u64 ticks);
  /// Ticks that belong to a cause, since the last call: `f(cause's number, ticks)`.
  template <class F> void waited(F f) {
    if (VT_LIKELY(!waits_)) return;
    for (unsigned n = 0; n < kCauses; ++n) if (waited_[n]) f(n, waited_[n]);
    waited_ = {};
    waits_ = false;
  }
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
  /// Cycle in which the last of `slots` slots goes to the back end, when there is room for it.
  u64 dispatch(unsigned slots) {
    for (unsigned n = 0; n < slots; ++n) {
      u64& entry = rob_[rob_at_];
      if (entry > front_) front_ = entry, front_slot_ = 0;
      if (front_slot_ == p_.width) ++front_, front_slot_ = 0;
      ++front_slot_;
      entry = ~u64{0};   // until `settle`
      rob_at_ = rob_at_ + 1 == rob_.size() ? 0 : rob_at_ + 1;
    }
    // Nothing is issued before this cycle any more.
    if (VT_UNLIKELY(front_ - base_ >= kAhead)) forget_ports();
    for (; base_ < front_; ++base_) taken_[base_ % kAhead] = 0;
    return front_;
  }
  [[gnu::noinline]] void forget_ports() { taken_ = {}, base_ = front_; }
  u64 port(u16 mask, u64 ready, unsigned busy) {
    const u64 from = std::max(ready, base_);
    if (VT_LIKELY(busy == 1 && from < base_ + kAhead)) {   // most often at once
      u16& taken = taken_[from % kAhead];
      const u16 free = static_cast<u16>(mask & ~taken);
      if (free) return taken = static_cast<u16>(taken | (free & -free)), from;
    }
    return later_port(mask, from, busy);
  }
  void swap(const TimedInsn& x, const timing::OpCost& op);
  u64 later_port(u16 mask, u64 from, unsigned busy);
  u64 execute(const TimedInsn& x, const timing::OpCost& op, u64 ready);
  u64 sources_ready(const TimedInsn& x, u64 ready) const {
    for (unsigned n = 0; n < TimedInsn::kFew; ++n) ready = std::max(ready, ready_[x.source[n]]);   // slot::none beyond `sources`
    for (unsigned n = TimedInsn::kFew; n < x.sources; ++n) ready = std::max(ready, ready_[x.source[n]]);
    return ready;
  }
  void results_ready(const TimedInsn& x, u64 done) {
    for (unsigned n = 0; n < 2; ++n) ready_[x.result[n]] = done;                                   // slot::sink beyond `results`
    for (unsigned n = 2; n < x.results; ++n) ready_[x.result[n]] = done;
  }
  u64 load(const TimedInsn& x, const TimedAccess& a, const Operand& o, u64 ready);
  void store(const Insn& i, const TimedAccess& a, const Operand& o, u64 ready);
  u64 forwarded(const TimedInsn& x, const TimedAccess& a, const Operand& o, const Store& s, u64 ready);
  u64 address_ready(const Insn& i, const TimedAccess& a) const;
  void blame(Cause c, u64 cycles, u64 until);
  void blame(const AccessCost& l, u64 until);
  void settle(u64 done, unsigned slots);
  void attribute(u64 before, u64 after);

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
  std::array<u64, kCauses> waited_{};           ///< since it was asked for last: not state
  bool waits_ = false;
};

}  // namespace vt::cpu
