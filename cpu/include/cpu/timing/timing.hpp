// SPDX-License-Identifier: GPL-2.0-or-later
/// A processor's clock in the timing models. It is fed by the decoded form: where a model is chosen, each decoded instruction passes through here
/// before its function (cpu/timing/hook.cpp), and what the outer loop does (deliveries, VM transitions) is told. An instruction costs when it has retired;
/// one that faults, or is done again alone, costs nothing but its fetch. So costs do not depend on how code is cut into blocks.
#pragma once
#include <memory>

#include "base/timing.hpp"
#include "cpu/host_cache.hpp"
#include "cpu/insn.hpp"
#include "cpu/timing/caches.hpp"
#include "cpu/timing/predictor.hpp"
#include "cpu/timing/stack.hpp"
#include "cpu/timing/tlbs.hpp"
#include "cpu/timing/walk.hpp"

namespace vt::cpu {

class Scoreboard;
struct TimedInsn;
struct TimedAccess;

/// Asked for every so many cycles, by whoever makes profiles; changes nothing.
class TimingSampler {
 public:
  virtual ~TimingSampler() = default;
  virtual void sample(const Cpu& c, u64 rip, u64 cycles) = 0;
};

/// Cycles of one access beyond a hit in L1 and TLB. memory: latency of the level that had it, 0 for L1.
struct AccessCost {
  unsigned tlb = 0, guest_walk = 0, nested_walk = 0, memory = 0, device = 0;
  MemLevel from = MemLevel::l1;
  /// All but memory's, in the causes' order: `f(cause, cycles)`.
  template <class F> void each_other(F f) const { f(Cause::tlb, tlb), f(Cause::guest_walk, guest_walk), f(Cause::nested_walk, nested_walk), f(Cause::device, device); }
  unsigned others() const { return tlb + guest_walk + nested_walk + device; }
};

class Timing final : public TlbFlushListener {
 public:
  Timing(Cpu& c, const timing::Timing& t, LastLevel& last);
  ~Timing() override;

  // --- the machine's side -----------------------------------------------------------------------
  /// What the clock showed last. It is looked at where the code says so, however that is cut: before an instruction that accesses memory, branches or
  /// leaves its context, and at an event.
  u64 now_ns() const { return to_ns(seen_); }
  u64 cycles() const { return ticks_ / kTicks; }
  /// The run ends where the clock is looked at and shows this time, or a later one.
  void set_limit(u64 ns) { limit_ = to_ticks(ns), trip_ = limit_ < next_sample_ ? limit_ : next_sample_; }
  bool over() const { return seen_ >= limit_; }
  /// Nothing to do until then.
  void wait_until(u64 ns);
  CycleStack stack(bool guest) const;    ///< of VMX non-root operation, or of all else
  const timing::Profile& profile() const { return t_.profile; }
  timing::Model model() const { return t_.model; }
  void state(Ar& a);
  void sample_every(u64 cycles, TimingSampler* s);   ///< 0: no more. Not state

  // --- the processor's side ---------------------------------------------------------------------
  void event(Cause cause, unsigned cycles);          ///< beside instructions: deliveries, VM transitions
  /// The chain was left at the instruction `at`, which has retired or not: settles the account.
  void left(bool retired, const TimedInsn* at, u64 next_rip);
  void context(bool guest, const TlbContext& tags);  ///< another address space, or VMX transition
  u64 iterations() const;                            ///< that a repeated string instruction may make without passing the limit, at least 1
  void flushed(const TlbFlush& f) override;
  static unsigned row_cost(const timing::Profile& p, timing::OpClass c);   ///< `events`: ticks of one instruction, memory apart

  // --- the hook (cpu/timing/hook.cpp) -------------------------------------------------------------
  friend struct TimedSteps;

 private:
  u64 to_ns(u64 ticks) const { return static_cast<u64>(static_cast<u128>(ticks) * 25 / (6 * t_.profile.mhz)); }   // 1000 ns, 240 ticks: 25/6
  u64 to_ticks(u64 ns) const;
  bool tripped(const Insn* i);           ///< true: the run ends before it
  void fetch(u64 rip, Hpa at);
  void begin(const Insn& i, const TimedInsn& x);
  void finish(u64 next_rip);             ///< `events`: what is pending of the instruction that has retired
  void finish_string();
  void retire(unsigned n, u64 next_rip); ///< `core`: `last_` and those behind it, n in all
  void account(unsigned n, u64 next_rip);
  void missed();
  bool branch(u64 next_rip);             ///< true: mispredicted
  void branched(bool right);             ///< takes down how it was predicted
  void settle();
  void special();
  AccessCost access(u64 la, unsigned size, bool write);
  AccessCost access(unsigned operand);   ///< of `last_`
  bool near(unsigned operand);
  void charge_access(const AccessCost& l, bool load);
  void expect(u64 la, bool read) const;
  /// Where it is, if the processor has read there, or written, a moment ago; false: `at` may be of another page.
  VT_INLINE bool accessed(u64 la, bool read, Hpa& at) const {
    const HostCache::Entry& e = (read ? host_.rd : host_.wr)[HostCache::slot(la)];
    at = Hpa{e.addend + la - host_base_};
    return ((la & kPageMask) | host_.tag) == e.tag;
  }
  bool physical(u64 la, Hpa& at) const;   ///< false: a device's, or nobody's
  void take_sample(u64 rip);
  void add(Cause c, u64 ticks) { ticks_ += ticks, since_ += ticks, now_stack()[c] += ticks; }
  CycleStack& now_stack() { return stacks_[guest_]; }
  WalkSpace space() const;
  bool translated() const;               ///< by paging or EPT
  void translate(u64 la, bool fetch, AccessCost& cost);   ///< adds what finding the translation costs
  void stall(Cause c, u64 cycles);
  void pass(Cause c, unsigned cycles);   ///< everything waits

  Cpu& c_;
  timing::Timing t_;
  const HostCache& host_;              ///< the processor's
  u64 host_base_;                      ///< where the machine's memory begins in the host's
  std::uintptr_t timed_at_;            ///< BlockCache's
  // Hot.
  u64 ticks_ = 0, trip_ = ~u64{0};     ///< trip: the limit, or when a sample is due
  u64 seen_ = 0;                       ///< ticks when the clock was looked at last
  const TimedInsn* last_;              ///< marked instruction that was begun last: it and those up to the next marked one are still to be accounted for
  enum class Pending : u8 { nothing, branch, access, anything };
  Pending pending_ = Pending::nothing; ///< `events`: more than the constant costs; a conditional branch, or one access, and no more
  u64 line_ = ~u64{0};                 ///< linear line of the last fetch
  u64 instructions_ = 0;               ///< in this context, since it began

  u64 limit_ = ~u64{0};
  const Insn* insn_ = nullptr;         ///< `last_`
  u64 rip_ = 0, la_[3] = {}, count_ = 0, si_ = 0, di_ = 0;
  bool guest_ = false, repeats_ = false, cold_vmcs_ = false;
  u64 since_ = 0;                      ///< ticks when this context began, less what its other causes took since
  u64 exposed_[4][2] = {};             ///< `events`: ticks of a miss that is answered there, by a store or a load
  u64 string_line_[2] = {~u64{0}, ~u64{0}};
  AccessCost costs_[3];                ///< `core`: of the operands, while their instruction retires
  TlbContext tags_{};
  std::array<CycleStack, 2> stacks_{};
  Caches caches_;
  TimingTlbs tlbs_;
  Predictor predictor_;
  std::unique_ptr<Scoreboard> core_;
  u64 sample_every_ = 0, next_sample_ = ~u64{0};
  TimingSampler* sampler_ = nullptr;
};

/// Makes the functions of decoded instructions pass through the model. `timed`: one element per instruction.
void mark_timed(Cpu& c, Insn* insns, unsigned n, TimedInsn* timed);

}  // namespace vt::cpu
