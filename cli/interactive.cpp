// SPDX-License-Identifier: GPL-2.0-or-later
#include "interactive.hpp"

#include <algorithm>

#include "drive.hpp"

namespace vt::cli {
namespace {
constexpr double kLongest = 0.1;     ///< seconds between two looks while nothing happens

/// Can an interrupt that comes of typing wake anyone?
bool listens(emu::Machine& m) {
  for (unsigned n = 0; n < m.cpus(); ++n)
    if ((m.processor(n).flags & cpu::rflags::IF) || m.processor(n).vmx.non_root) return true;
  return false;
}
}  // namespace

/// The cycle that the host's clock has come to, for a guest that waits. It stands still as far as a busy guest is slower than it.
u64 Interactive::may_wait_until() {
  if (base_host_ == 0) base_cycle_ = machine_.cycles(), base_host_ = elapsed_now();
  return base_cycle_ + static_cast<u64>(std::max(0.0, elapsed_now() - base_host_) * 1e9);
}

void Interactive::came(Arrival in) {
  in.step = machine_.steps(), in.waits = waits();
  log_.give(machine_, std::move(in));
  waits_.reset();   // not as it was: what has come may wake somebody
}

void Interactive::hear(double wait) {
  if (network_)
    for (auto& f : network_->exchange(wait, typed_at() ? Keyboard::kFile : -1)) came({.bytes = std::move(f), .card = 0});
  if (!typed_at()) return;
  if (std::string keys = keyboard_->read(network_ ? 0 : wait); !keys.empty()) came({.bytes = std::move(keys)});
}

void Interactive::to(u64 step, const std::function<void()>& between) {
  double wait = 0;
  while (!machine_.stop().requested() && machine_.steps() < step && goes_on()) {
    if (SignalGuard::interrupted()) { machine_.stop().request(StopReason::interrupted); break; }
    hear(wait);
    if (keyboard_ && keyboard_->escaped()) { machine_.stop().request(StopReason::until, kEscape); break; }
    if (!goes_on()) break;
    wait = 0;

    const u64 from = machine_.steps(), goal = from + std::min(slice_, step - from);
    const bool paced = typed_at() || network_->busy();
    u64 until;
    if (!paced) {
      // Nobody outside is waited for: time skips. But only to the next event, which may make the guest send something.
      until = waits() ? machine_.next_event() : machine_.cycles();
      base_host_ = 0;
    } else {
      const bool for_good = waits() && machine_.next_event() == emu::EventQueue::kNone && !listens(machine_);
      until = for_good ? ~u64{0} : may_wait_until();
    }
    const double begin = elapsed_now();
    machine_.run(goal, ~u64{0}, until);
    const double end = elapsed_now(), took = end - begin;
    if (paced) base_host_ += std::max(0.0, took - static_cast<double>(machine_.steps() - from) * 1e-9);
    if (typed_at() || end - between_at_ > kLongest) between_at_ = end, between();
    if (machine_.stop().requested()) continue;
    if (machine_.steps() < goal) {
      waits_ = until, waits_at_ = machine_.steps();
      const u64 next = machine_.next_event();
      if (paced) wait = next == emu::EventQueue::kNone ? kLongest : std::clamp(static_cast<double>(next - std::min(next, until)) * 1e-9, 0.001, kLongest);
      continue;
    }
    // A hundredth of a second each: what comes is heard soon.
    if (took < 0.005 && slice_ < 50'000'000) slice_ *= 2;
    else if (took > 0.02 && slice_ > 50'000) slice_ /= 2;
  }
}

}  // namespace vt::cli
