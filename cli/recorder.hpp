// SPDX-License-Identifier: GPL-2.0-or-later
/// Listens to the machine: keeps the rare events in events.vit, remembers which EPT pointers there were, and
/// ends the run at a VM exit or entry that was asked for. docs/formats.md describes the file.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/events.hpp"
#include "base/stop.hpp"
#include "views/event_log.hpp"
#include "when.hpp"

namespace vt::cli {

/// An EPT pointer that software has put into a VMCS.
struct SeenEptp {
  u64 eptp = 0, vmcs = 0;      ///< the VMCS that named it first
  u64 first_step = 0, last_step = 0;
};

class Recorder final : public EventSink {
 public:
  Recorder(Stop& stop, const When& until) : stop_(stop), until_(until) {}
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Appends to this file from now on. Throws std::runtime_error.
  void keep(const std::string& file) { file_.open(file); }
  void on(const Event& e) override;
  void flush() { file_.flush(); }
  bool finish() { return file_.close(); }   ///< false: something could not be written
  /// The file's events are somebody else's matter from now on (the ledger's): this one only counts.
  views::EventWriter& hand_over() { keeps_ = false; return file_; }

  const std::vector<SeenEptp>& eptps() const { return eptps_; }
  u64 entries() const { return entries_; }
  u64 exits() const { return exits_; }
  /// VM exits by basic reason in bins of `steps_per_bin()` steps, at most kBins: the bins grow with the run.
  const std::map<unsigned, std::vector<u64>>& exits_over_time() const { return exits_over_time_; }
  u64 steps_per_bin() const { return u64{1} << bin_shift_; }
  static constexpr std::size_t kBins = 1024;
  u64 count(EventKind k) const { return counts_[static_cast<unsigned>(k) & 31]; }

 private:
  void see(u64 vmcs, u64 eptp, u64 step);
  void reached(u64 step);
  void count_exit(u64 step, unsigned reason);
  Stop& stop_;
  When until_;
  views::EventWriter file_;
  bool keeps_ = true;
  u64 entries_ = 0, exits_ = 0;
  u64 counts_[32] = {};
  std::map<unsigned, std::vector<u64>> exits_over_time_;
  unsigned bin_shift_ = 16;
  std::vector<SeenEptp> eptps_;
};

}  // namespace vt::cli
