// SPDX-License-Identifier: GPL-2.0-or-later
/// The ledger of a run with everything that is needed to speak about it: read from events.vit if the run was made with --ledger, from
/// cache/ledger.vit if somebody has asked before, else made by running again (and kept there).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/symbols.hpp"
#include "saved.hpp"
#include "views/history.hpp"
#include "views/words.hpp"

namespace vt::cli {

struct ConsoleLine { u64 step = 0; std::string text; };

class Story {
 public:
  /// `run`: RUN or RUN@T. Throws UsageError, InputError.
  explicit Story(const std::string& run);
  /// Of a run that is being made: the ledger so far.
  struct Parts { Saved saved; fw::Platform platform; std::optional<hv::Symbols> symbols; std::vector<Event> events; std::vector<ConsoleLine> console; };
  Story(Parts parts, emu::Machine& machine);
  Story(const Story&) = delete;
  Story& operator=(const Story&) = delete;

  const std::string& path() const { return saved_.path(); }
  const views::History& history() const { return history_; }
  const views::Setup& setup() const { return setup_; }
  const views::Words& words() const { return *words_; }
  const fw::Platform& platform() const { return platform_; }
  const nlohmann::ordered_json& manifest() const { return saved_.manifest(); }
  const std::vector<ConsoleLine>& console() const { return console_; }
  /// The last line that had begun at this step; null: none.
  const ConsoleLine* console_before(u64 step) const;
  /// RUN@T: events from this one on are not to be looked at. Without T: all.
  u32 end_event() const { return end_event_; }
  u64 end_step() const { return end_step_; }
  /// Events from this step on are not looked at.
  void until(u64 step);
  Saved& saved() { return saved_; }
  /// The tables as they were before `event`.
  std::unique_ptr<views::Replay> replay(u32 event) const;

 private:
  void run_again(const std::string& to);
  Saved saved_;
  fw::Platform platform_;
  std::optional<hv::Symbols> symbols_;
  std::unique_ptr<views::Words> words_;
  views::Setup setup_;
  views::History history_;
  std::vector<ConsoleLine> console_;
  u32 end_event_ = 0;
  u64 end_step_ = 0;
};

/// Runs again and compares the tables with the ledger's every so many events. Prints what it has found; exit status.
int verify_ledger(const Story& s, u64 every);

/// Does this run have a ledger, its own or one that was made since?
bool has_ledger(const nlohmann::ordered_json& manifest, const std::string& run);
/// The symbols that a run was made with, if they are there still: they are for names only, so what cannot be read is a warning.
std::optional<hv::Symbols> symbols_of(const nlohmann::ordered_json& manifest);
std::vector<ConsoleLine> read_console(const std::string& file);

/// What the views have to know of a machine.
views::Setup setup_of(emu::Machine& m, const views::Words& words);

}  // namespace vt::cli
