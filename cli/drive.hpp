// SPDX-License-Identifier: GPL-2.0-or-later
/// Running a machine for somebody who waits: Ctrl-C is heard, and stderr tells how far it is.
#pragma once
#include <functional>
#include <string>

#include "emu/machine.hpp"

struct sigaction;

namespace vt::cli {

double elapsed_now();   ///< seconds of the host's monotonic clock
double user_now();      ///< seconds of user time of this process

/// While it lives, the first Ctrl-C (or SIGTERM) ends the run; the second one ends the process.
class SignalGuard {
 public:
  explicit SignalGuard(emu::Machine& m);
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  static bool interrupted();

 private:
  struct Old;
  std::unique_ptr<Old> old_;
};

/// How far a run is, on stderr: one line that is replaced on a terminal, else a line every ten seconds.
class Progress {
 public:
  /// `text`: what follows steps and speed. `line`: shows one on the terminal (default: here, cleared at the end).
  Progress(emu::Machine& m, std::function<std::string()> text, std::function<void(const std::string&)> line = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void tick();

 private:
  emu::Machine& machine_;
  std::function<std::string()> text_;
  std::function<void(const std::string&)> line_;
  const bool terminal_;
  bool shown_here_ = false;
  double shown_;
  u64 retired_;
};

/// Runs to `step`, or until a stop is requested, in pieces of about a fifth of a second with `between` after each.
class Driver {
 public:
  explicit Driver(emu::Machine& m, std::function<void()> between) : machine_(m), between_(std::move(between)) {}
  void to(u64 step);

 private:
  emu::Machine& machine_;
  std::function<void()> between_;
  u64 slice_ = 4'000'000;
};

}  // namespace vt::cli
