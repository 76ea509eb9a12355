// SPDX-License-Identifier: GPL-2.0-or-later
/// What comes from outside while a run goes on: typed characters, frames from a network, bytes put into memory. Each is recorded as it comes, as a
/// line of JSON, so that a run that is cut off has what it had; a run that is made again gets them at the same moments.   docs/formats.md "input.jsonl"
#pragma once
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "emu/machine.hpp"

namespace vt::cli {

struct Arrival {
  u64 step = 0;                     ///< it came before this step
  std::string bytes;
  std::optional<u64> memory = {};   ///< written there (--poke)
  std::optional<u64> waits = {};    ///< every processor waited, and time had gone on to this cycle: a step says not everything then
  std::optional<u32> card = {};     ///< a frame for this network card, in the description's order; neither this nor memory: typed at the serial port
};
/// Does it, now. Throws InputError where the machine has no such card, UsageError where it has no such memory.
void give(emu::Machine& m, const Arrival& in);

class InputLog {
 public:
  InputLog() = default;
  ~InputLog() { finish(); }
  InputLog(const InputLog&) = delete;
  InputLog& operator=(const InputLog&) = delete;
  /// Every input from now on is appended to this file at once; the first one makes it.
  void keep(const std::string& file) { path_ = file; }
  /// Gives it to the machine, now, and records it.
  void give(emu::Machine& m, Arrival in);
  /// All but frames, which can be many: for a debugger that goes back while the run is made, which has no network.
  const std::vector<Arrival>& all() const { return all_; }
  bool finish();   ///< false: not everything could be written

 private:
  std::string path_;
  std::FILE* file_ = nullptr;
  bool ok_ = true;
  std::vector<Arrival> all_;
};

/// A run's inputs; no file: none. An unfinished last line (the run was cut off) does not count. Throws InputError naming file and line.
std::vector<Arrival> read_inputs(const std::string& run_dir);

}  // namespace vt::cli
