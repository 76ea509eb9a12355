// SPDX-License-Identifier: GPL-2.0-or-later
/// Machines for tests of emu: a few bytes of code, or a real guest from the build directory.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "emu/machine.hpp"

namespace vt::emu {

struct Console final : SerialSink {
  void put(u8 byte) override { text += static_cast<char>(byte); }
  std::string text;
};

/// What was run, by files, and how far.
struct Guest {
  std::string name;          ///< in messages
  std::string kernel;        ///< a file
  std::string append;
  std::vector<fw::Module> modules;
  std::string platform;      ///< a file; empty: the default with `memory` bytes
  u64 memory = u64{256} << 20;
  u64 limit = ~u64{0};       ///< last step
  timing::Model timing = timing::Model::flat;
};

/// A machine with its console, loaded.
struct Booted {
  explicit Booted(const Guest& g);
  Booted(const fw::Platform& p, const Guest& g);
  Console console;
  std::unique_ptr<Machine> machine;
};
fw::Platform platform_of(const Guest& g);
void PrintTo(const Guest& g, std::ostream* to);

/// What a run comes to.
struct Outcome {
  std::string hash, console, end;
  u64 steps = 0;
  u64 retired = 0;   ///< a statistic, not state: a machine that goes on from a snapshot counts from there
  friend bool operator==(const Outcome& a, const Outcome& b) { return a.hash == b.hash && a.console == b.console && a.end == b.end && a.steps == b.steps; }
};
Outcome outcome(Machine& m, const Console& c);
void PrintTo(const Outcome& o, std::ostream* to);

/// The directory with bare/ and guests/: beside this program's.
std::string build_directory();
/// A bare-metal guest of ours. Its image may not be there: `there` says so.
Guest bare(const std::string& name, u64 limit = ~u64{0}, const std::string& append = {}, const std::string& platform = {});
Guest xen(u64 limit);
bool there(const Guest& g);

/// Code at 1 MiB, entered in flat 32-bit mode with a stack below it; data start at 0x102000.
struct Raw {
  explicit Raw(std::vector<u8> code, unsigned cpus = 1);
  Console console;
  std::unique_ptr<Machine> machine;
  template <class T> void poke(u64 at, T v) { machine->memory().write(Hpa{at}, &v, sizeof v, WriteCause::loader); }
  template <class T> T peek(u64 at) { T v; machine->memory().read(Hpa{at}, &v, sizeof v); return v; }
  /// Another processor starts at this address, in the first one's mode.
  void start(unsigned cpu, u32 eip);
};

/// Reproducible choices.
class Choice {
 public:
  explicit Choice(u64 seed) : x_(seed) {}
  u64 next() {
    u64 z = (x_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  u64 below(u64 n) { return next() % n; }

 private:
  u64 x_;
};

}  // namespace vt::emu
