// SPDX-License-Identifier: GPL-2.0-or-later
/// A finished run's machine, made again: at step 0 from the run's inputs, or from a checkpoint, ready to run once more under
/// observation. It takes the same way, with what came from outside given again at the same steps; watching changes nothing.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/events.hpp"
#include "emu/machine.hpp"
#include "hypervisor/symbols.hpp"
#include "input.hpp"

namespace vt::cli {

class Rerun {
 public:
  /// At step 0. Throws InputError: no finished run; an input that is gone, or whose SHA-256 is no longer that of the manifest.
  explicit Rerun(const std::string& run_dir);
  /// From a checkpoint (a file of the run): the inputs are not needed, and there are no symbols. Throws InputError, std::runtime_error.
  Rerun(const std::string& run_dir, const std::string& checkpoint);
  ~Rerun();
  Rerun(const Rerun&) = delete;
  Rerun& operator=(const Rerun&) = delete;

  emu::Machine& machine();
  const nlohmann::ordered_json& manifest() const;
  const std::vector<Arrival>& inputs() const;   ///< what came from outside
  const hv::Symbols* symbols() const;
  /// Called for every event from now on. Not owned; one more for each call.
  void watch(EventSink* s);
  void unwatch(EventSink* s);
  /// Called with each complete console line: step of its first byte, text.
  void on_console(std::function<void(u64 step, const std::string& line)> f);
  /// Called from within the step that prints the text's last byte, each time it is printed.
  void on_text(std::string text, std::function<void()> f);
  /// What such a text may have begun with: belongs to the moment (ConsoleTap).
  const std::string& heard() const;
  void hear(std::string bytes);
  /// Called with each byte of the console.
  void on_byte(std::function<void(u8)> f);

  /// Runs to `step` (the state before that step), or to the run's end if that comes first; returns early where an observer has asked the
  /// machine's Stop for it. Progress on stderr; Ctrl-C throws Interrupted. Throws Diverged where the run goes another way than it did.
  void to(u64 step, const char* what);
  u64 end_step() const;   ///< of the manifest
  /// What has come of the console's last line, and the step of its first byte.
  const std::string& unfinished_line() const;
  u64 unfinished_step() const;
  /// The machine was put back to an earlier moment (emu::Timeline): what was typed since will be typed again.
  void rewound();

  /// What was typed is not typed again from here on: the machine goes its own way.
  void fork();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads a run's manifest. Throws InputError: no run, another schema.
nlohmann::ordered_json read_manifest(const std::string& run_dir);

}  // namespace vt::cli
