// SPDX-License-Identifier: GPL-2.0-or-later
#include "recorder.hpp"

namespace vt::cli {
namespace {

/// VM entries, exits, exceptions and interrupts come by the million: those are counted, not kept.
constexpr bool kept(EventKind k) {
  switch (k) {
    case EventKind::none: case EventKind::vm_entry: case EventKind::vm_exit: case EventKind::exception: case EventKind::interrupt: return false;
    default: return !is_io(k);
  }
}

}  // namespace

void Recorder::see(u64 vmcs, u64 eptp, u64 step) {
  if (!eptp) return;
  if (!eptps_.empty() && eptps_.back().eptp == eptp) { eptps_.back().last_step = step; return; }
  for (auto& s : eptps_)
    if (s.eptp == eptp) { s.last_step = step; return; }
  eptps_.push_back({eptp, vmcs, step, step});
}

void Recorder::reached(u64) { stop_.request(StopReason::until, until_.text); }

void Recorder::count_exit(u64 step, unsigned reason) {
  while (step >> bin_shift_ >= kBins) {   // two bins become one
    ++bin_shift_;
    for (auto& [r, bins] : exits_over_time_) {
      for (std::size_t n = 0; n < bins.size(); ++n) {
        const u64 count = bins[n];
        bins[n] = 0;
        bins[n / 2] += count;
      }
      bins.resize((bins.size() + 1) / 2);
    }
  }
  auto& bins = exits_over_time_[reason];
  const std::size_t n = step >> bin_shift_;
  if (bins.size() <= n) bins.resize(n + 1);
  ++bins[n];
}

void Recorder::on(const Event& e) {
  ++counts_[static_cast<unsigned>(e.kind) & 31];
  switch (e.kind) {
    case EventKind::vm_entry:
      ++entries_;
      see(e.a, e.b, e.step);
      if (until_.kind == When::Kind::entry_count && entries_ == until_.number) reached(e.step);
      break;
    case EventKind::vm_exit:
      ++exits_;
      count_exit(e.step, e.a & 0xffff);
      if ((until_.kind == When::Kind::exit_count && exits_ == until_.number) || (until_.kind == When::Kind::exit_name && (e.a & 0xffff) == until_.number))
        reached(e.step);
      break;
    case EventKind::eptp_change: see(e.a, e.b, e.step); break;
    default: break;
  }
  if (keeps_ && file_.is_open() && kept(e.kind)) file_.write(e);
}

}  // namespace vt::cli
