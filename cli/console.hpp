// SPDX-License-Identifier: GPL-2.0-or-later
/// The serial port's output: lines stamped with the step of their first byte, on stdout and in console.txt, and the
/// text that a run waits for. The progress line of a terminal lives here too, since both write to it.
#pragma once
#include <cstdio>
#include <functional>
#include <string>

#include "emu/device.hpp"

namespace vt::cli {

class Console final : public emu::SerialSink {
 public:
  enum class Mode : u8 {
    stdio,  ///< stamped lines on stdout
    raw,    ///< bytes as they come on stdout
    file,   ///< console.txt only
    none,   ///< nothing is printed (console.txt is kept if there is a run directory)
  };
  explicit Console(Mode mode) : mode_(mode) {}
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Tells the present step.
  void clock(std::function<u64()> step) { step_ = std::move(step); }
  /// Keeps the lines in this file, too. Throws std::runtime_error.
  void keep(const std::string& file);
  /// Calls `found` when `text` is complete.
  void wait_for(std::string text, std::function<void()> found) { want_ = std::move(text), found_ = std::move(found); }

  void put(u8 byte) override;
  void flush();
  /// Ends an unfinished line. False: something could not be written.
  bool finish();

  /// What was printed last: the unfinished line, or the one before.
  const std::string& last_line() const { return line_.empty() ? last_ : line_; }
  u64 bytes() const { return bytes_; }

  /// One line on a terminal that later output replaces.
  void progress(const std::string& line);
  void clear_progress();

 private:
  void end_line();
  Mode mode_;
  std::function<u64()> step_;
  std::FILE* file_ = nullptr;
  std::string line_, last_;
  u64 line_step_ = 0, bytes_ = 0;
  std::string want_, seen_;
  std::function<void()> found_;
  bool progress_shown_ = false, wrong_ = false;
};

/// `[    88,120,344] ` in front of a line of the console.
std::string stamp(u64 step);

}  // namespace vt::cli
