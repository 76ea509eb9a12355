// SPDX-License-Identifier: GPL-2.0-or-later
/// The `monitor` commands: moving in time and catch points; the views are those of `vitrine show`, `map`, `walk`, `blame` and `check`.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gdb/player.hpp"
#include "hypervisor/symbols.hpp"

namespace vt::cli::gdb {

class Monitor {
 public:
  /// Views that belong to other verbs: their text for these words. Errors are UsageError and InputError.
  using Words = std::vector<std::string>;
  struct Views { std::function<std::string(const Words&, unsigned cpu)> map, walk, blame, check; };
  Monitor(Player& player, const hv::Symbols* symbols, Views views, Player::Wanted interrupted);

  /// What the command prints; what is wrong with it is text, too. `cpu`: the processor that the debugger looks at.
  std::string run(std::string_view line, unsigned cpu);

 private:
  struct Command { const char* name; const char* arguments; const char* what; std::string (Monitor::*run)(const Words&); };
  static const Command kCommands[];

  std::string help(const Words&);
  std::string when(const Words&);
  std::string go_to(const Words&);
  std::string bookmark(const Words&);
  std::string backtrace(const Words&);
  std::string stop_on(const Words&);
  std::string watch_physical(const Words&);
  std::string hash(const Words&);
  std::string physical(const Words&);
  std::string map(const Words& w) { return views_.map(w, cpu_); }
  std::string walk(const Words& w) { return views_.walk(w, cpu_); }
  std::string blame(const Words& w) { return views_.blame(w, cpu_); }
  std::string check(const Words& w) { return views_.check(w, cpu_); }

  emu::Machine& machine() { return player_.machine(); }
  std::string name(u64 address) const { return symbols_ ? symbols_->name(address) : std::string{}; }
  std::string position();
  Catch parse_catch(const Words& w) const;

  Player& player_;
  const hv::Symbols* symbols_;
  Views views_;
  Player::Wanted interrupted_;
  std::map<std::string, u64> bookmarks_;
  std::vector<std::string> typed_;
  unsigned cpu_ = 0;
};

}  // namespace vt::cli::gdb
