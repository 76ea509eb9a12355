// SPDX-License-Identifier: GPL-2.0-or-later
/// Who runs when. One clock, advanced by every step of any processor in execution order (the flat model:
/// 1 step = 1 cycle = 1 ns); slices of fixed length, or one that a seed varies; time skips to the next event when all processors wait.
#include <algorithm>

#include "board.hpp"
#include "cpu/timing/timing.hpp"
#include "emu/machine.hpp"

namespace vt::emu {
namespace {
constexpr u64 kShortest = 100, kLongest = 4000;  ///< the same with a seed
}

void Machine::at(u64 cycle, Timed& owner, u32 kind) {
  queue_.at(cycle, owner, kind);
  if (running_) running_->leave_run = true;  // it may be due within this slice
}

void Machine::expire_due() {
  while (queue_.next() <= time_ && !stop_.requested()) queue_.expire_one(time_);
}

bool Machine::goes_on(u64 last_step, u64 last_cycle) {
  // The state before a step is that before what is due then expires, whatever the run was cut by: a step, a stop, a signal.
  if (steps_ >= last_step || time_ >= last_cycle) return false;
  if (interrupted_) {
    interrupted_ = false;
    stop_.request(StopReason::interrupted);
    return false;
  }
  expire_due();
  return !stop_.requested();
}

bool Machine::skip_to_event(u64 wait_until) {
  if (wait_until != ~u64{0} && queue_.next() > wait_until) return false;
  if (queue_.next() == EventQueue::kNone) {
    stop_.request(StopReason::halted, "every processor waits and nothing can wake one");
    return false;
  }
  time_ = std::max(time_, queue_.next());
  return true;
}

bool Machine::in_turn(unsigned cpu) const {
  if (timed()) return slice_cpu_ == cpu && !cpus_[cpu]->idle() && (cpus() == 1 || cpus_[cpu]->timing()->now_ns() < slice_end_);
  if (slice_cpu_ != cpu || cpus_[cpu]->idle()) return false;
  return cpus() == 1 || slice_left_ != 0;
}

/// Of the processor whose turn it is now. A seed varies it, by the step at which it begins: so there is nothing to remember.
u64 Machine::slice() const {
  if (!platform_.cpu.schedule_seed) return kTurn;
  u64 z = platform_.cpu.schedule_seed + 0x9e3779b97f4a7c15 * (steps_ + 1) + slice_cpu_;   // SplitMix64
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return kShortest + (z ^ (z >> 31)) % (kLongest - kShortest + 1);
}

void Machine::run(u64 last_step, u64 last_cycle, u64 wait_until) {
  if (timed()) return run_timed(last_step, last_cycle, wait_until);
  while (!stop_.requested()) {
    if (!goes_on(last_step, last_cycle)) break;
    // The processor whose slice it is, or the next one that has something to do.
    if (slice_left_ == 0) {
      slice_cpu_ = (slice_cpu_ + 1) % cpus();
      slice_left_ = slice();
    }
    unsigned tries = 0;
    while (tries < cpus() && cpus_[slice_cpu_]->idle()) {
      slice_cpu_ = (slice_cpu_ + 1) % cpus();
      slice_left_ = slice();
      ++tries;
    }
    if (tries == cpus()) {
      if (!skip_to_event(wait_until)) break;
      continue;
    }
    if (slice_cpu_ == turn_cpu_ && (cpus() == 1 || slice_left_ == slice())) { stop_.pause(turn_what_); break; }
    u64 want = std::min({last_step - steps_, last_cycle - time_, u64{1} << 24});  // so that an interruption is seen
    if (cpus() > 1) want = std::min(want, slice_left_);
    if (queue_.next() != EventQueue::kNone) want = std::min(want, queue_.next() - time_);
    cpu::Cpu& c = *cpus_[slice_cpu_];
    running_ = &c;
    const u64 made = c.run(want);
    running_ = nullptr;
    time_ += made;
    steps_ += made;
    slice_left_ = cpus() > 1 ? slice_left_ - std::min(made, slice_left_) : kTurn;
    if (c.idle()) slice_left_ = 0;
  }
}

}  // namespace vt::emu
