// SPDX-License-Identifier: GPL-2.0-or-later
/// Who runs when in a timing model: each processor has a clock of its own, and the one that is furthest behind goes on, for a slice or until an event is due;
/// so no clock is ahead of another running one's by more than a slice and one instruction. What anybody was told of the time is never told less by another.
#include <algorithm>

#include "cpu/timing/timing.hpp"
#include "emu/machine.hpp"

namespace vt::emu {

void Machine::wake() {
  for (unsigned n = 0; n < cpus(); ++n)
    if (parked_[n] && !cpus_[n]->idle()) {
      parked_[n] = false;
      cpus_[n]->timing()->wait_until(time_);
    }
}

bool Machine::choose() {
  const auto next = [&](unsigned n) { return cpus_[n]->timing()->now_ns(); };
  if (!cpus_[slice_cpu_]->idle() && (cpus() == 1 || next(slice_cpu_) < slice_end_)) return true;
  unsigned best = ~0u;
  for (unsigned k = 1; k <= cpus(); ++k) {   // of those that are equally far, the next one's turn
    const unsigned n = (slice_cpu_ + k) % cpus();
    if (!cpus_[n]->idle() && (best == ~0u || next(n) < next(best))) best = n;
  }
  if (best == ~0u) return false;
  slice_cpu_ = best;
  slice_end_ = next(best) + slice();
  return true;
}

void Machine::run_timed(u64 last_step, u64 last_cycle, u64 wait_until) {
  while (!stop_.requested()) {
    if (!goes_on(last_step, last_cycle)) break;
    wake();
    const unsigned before = slice_cpu_;
    if (!choose()) {
      if (!skip_to_event(wait_until)) break;
      continue;
    }
    if (slice_cpu_ == turn_cpu_ && (cpus() == 1 || slice_cpu_ != before)) { stop_.pause(turn_what_); break; }
    cpu::Cpu& c = *cpus_[slice_cpu_];
    u64 until = std::min(last_cycle, queue_.next());
    if (cpus() > 1) until = std::min(until, slice_end_);
    c.timing()->set_limit(until);
    CHECK(!c.timing()->over(), "an event that is due has not expired");
    running_ = &c;
    const u64 made = c.run(std::min(last_step - steps_, u64{1} << 24));   // so that an interruption is seen
    running_ = nullptr;
    steps_ += made;
    time_ = std::max(time_, c.timing()->now_ns());
    if (c.idle()) parked_[slice_cpu_] = true;
  }
}

}  // namespace vt::emu
