// SPDX-License-Identifier: GPL-2.0-or-later
/// One function per verb, each with what its command line gives. They return the exit status, print data to stdout and
/// everything else to stderr. Errors are thrown: UsageError (status 2), and for bad input files (status 4) InputError,
/// fw::LoadError, fw::PlatformError, emu::BusConflict.
#pragma once
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/types.hpp"

namespace vt::cli {

struct UsageError : std::runtime_error { using runtime_error::runtime_error; };
/// `what()` names the file.
struct InputError : std::runtime_error { using runtime_error::runtime_error; };
/// A run, made again, goes another way than it did.
struct Diverged : InputError { using InputError::InputError; };

/// Ctrl-C while something was run again (status 130). `what()`: what that was.
struct Interrupted : std::runtime_error { using runtime_error::runtime_error; };

namespace status {
inline constexpr int ok = 0, finding = 1, usage = 2, unsupported = 3, bad_input = 4, diverged = 5, internal = 70, limit = 124, interrupted = 130;
}

/// What describes the platform on a command line.
struct PlatformOptions {
  std::string platform;            ///< file; empty: the built-in one
  std::string cpu;                 ///< MODEL,+feature,-feature
  std::string memory;              ///< 2G; empty: as the platform says
  std::optional<unsigned> cpus;
  std::vector<std::string> devices;   ///< MODEL[,at=BDF]: functions on top of the description's
};

struct RunOptions {
  std::vector<std::string> arguments;  ///< as typed, for the manifest
  PlatformOptions platform;
  std::string kernel, append, initrd, firmware;
  std::string protocol;                ///< how the kernel is started; empty: by what it offers
  std::vector<std::string> modules;    ///< 'FILE ARGS'
  std::vector<std::string> disks;      ///< FILE[,if=nvme|ahci]
  bool disk_commit = false;
  std::vector<std::string> poke;       ///< console:'TEXT'=ADDRESS:BYTES, STEP=ADDRESS:BYTES
  std::string out;                     ///< run directory; empty: none
  std::string until, max_steps;
  std::string console = "stdio";       ///< stdio, raw, file, none
  std::string symbols;
  std::vector<std::string> type;       ///< console:'TEXT'=KEYS, STEP=KEYS
  std::string checkpoint_every;
  std::string gdb;                     ///< port
  std::optional<std::string> net;      ///< user[,pcap=FILE]; none: the card's cable leads nowhere
  std::string escape = "^]";           ///< the key that leaves an interactive run
  std::string schedule_seed;
  std::string timing;                  ///< MODEL[,profile=NAME|FILE]; empty: as the platform says
  bool ledger = false;
  std::vector<std::string> stop_on, good_if, bad_if;   ///< rules; conditions
};
int run(const RunOptions& o);

struct MapOptions {
  std::string run, of = "all", root, bdf, range;
  bool json = false;
};
int map(const MapOptions& o);

struct WalkOptions {
  std::string run, address, root;
  bool json = false;
};
int walk(const WalkOptions& o);

struct LogOptions {
  std::string run, range, of = "all";
  bool all = false, json = false, verify = false;
  std::string every = "100";           ///< verify: events between two comparisons
};
int log(const LogOptions& o);

struct BlameOptions {
  std::string run, address;
  bool json = false;
};
int blame(const BlameOptions& o);

struct DiffOptions {
  std::string one, two, range;
  bool exact = false, json = false;
};
int diff(const DiffOptions& o);

struct CheckOptions {
  std::string run, severity;
  std::vector<std::string> rules;      ///< empty: all
  bool json = false;
};
int check(const CheckOptions& o);

struct ExplainOptions { std::string rule; };   ///< empty: a list
int explain(const ExplainOptions& o);

struct ReportOptions {
  std::string run;
  std::string out = "report.html";     ///< "-": standard output
};
int report(const ReportOptions& o);

struct StatOptions {
  std::string run;
  bool json = false;
  std::string by;                      ///< "function", "phase"; empty: the manifest's counters
  std::vector<std::string> phases;     ///< moments at which one begins
  u64 every = 20'000;                  ///< cycles between two samples
  std::string guest_symbols;           ///< by function: ELF file with those of VMX non-root operation
  bool folded = false;                 ///< by function: a line for each with its callers, as flame graphs are made from
};
int stat(const StatOptions& o);

struct MemoryOptions {
  std::string run, out, range;
};
int memory(const MemoryOptions& o);

struct ShowViewOptions {
  std::string run, view;
  std::vector<std::string> words;      ///< of the view
  unsigned cpu = 0;
  bool json = false;
};
int show(const ShowViewOptions& o);

struct DebugKeyOptions {
  std::string run;
  std::vector<std::string> keys;
};
int debug_key(const DebugKeyOptions& o);

struct GdbOptions {
  std::string run, serve, budget;
};
int debug(const GdbOptions& o);

struct ReplayOptions {
  std::string run, from, to;
  bool verify = false;
};
int replay(const ReplayOptions& o);

struct TraceOptions {
  std::string run, from = "0", to;
  std::optional<unsigned> processor;
  std::vector<std::string> events;     ///< empty: instructions, with every event
  bool json = false;
};
int trace(const TraceOptions& o);

struct ShowOptions {
  PlatformOptions platform;
  bool json = false;
};
int platform_show(const ShowOptions& o);
int platform_lint(const std::vector<std::string>& files);

struct ImportOptions {
  std::vector<std::string> files;      ///< "-": standard input
  std::string out;
  bool json = false;
};
int platform_import(const ImportOptions& o);

}  // namespace vt::cli
