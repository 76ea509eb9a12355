// SPDX-License-Identifier: GPL-2.0-or-later
/// What a run is stopped and judged by: --stop-on RULE, --bad-if COND, --good-if COND. Rules look at the ledger so far at fixed steps, so
/// that a run stops where it would stop every time.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "typing.hpp"
#include "verbs.hpp"
#include "views/check.hpp"

namespace vt::cli {

struct Condition {
  enum class Kind : u8 { console, rule, limit } kind = Kind::limit;
  enum class Verdict : u8 { stop, good, bad } verdict = Verdict::stop;
  std::string text;                    ///< console: what is waited for
  const views::Rule* rule = nullptr;
  std::string typed;
};

/// Throws UsageError.
std::vector<Condition> parse_conditions(const RunOptions& o);
bool wants_ledger(const std::vector<Condition>& conditions);

class Conditions {
 public:
  static constexpr u64 kEvery = u64{1} << 22;   ///< steps between two looks

  explicit Conditions(std::vector<Condition> list) : list_(std::move(list)) {}
  /// Console texts are waited for from now on.
  void attach(emu::Machine& m, ConsoleTap& tap);
  /// Rules need the ledger: what it has to be told, and what it means.
  void rules(views::Setup setup, const views::Words& words, const fw::Platform& platform);
  void event(const Event& e) { if (words_) events_.push_back(e); }
  bool any() const { return !list_.empty(); }

  /// The next step at which rules look; all ones: never.
  u64 next_step(u64 now) const { return words_ && !met_ ? (now / kEvery + 1) * kEvery : ~u64{0}; }
  /// Looks, if enough has happened. One that is met stops the machine.
  void look(emu::Machine& m);
  /// The run is over: rules look once more, and a limit counts.
  void at_end(emu::Machine& m);

  const Condition* met() const { return met_; }
  /// "rule:aliased-ram met: ..."; empty: none was.
  std::string text() const;
  /// Of the run, as it would be without: 1 bad or stopped, 0 good, 125 neither.
  int status(int otherwise) const;
  nlohmann::ordered_json json() const;

 private:
  void judge();
  std::vector<Condition> list_;
  const Condition* met_ = nullptr;
  std::string finding_;
  std::optional<views::Setup> setup_;
  const views::Words* words_ = nullptr;
  const fw::Platform* platform_ = nullptr;
  std::vector<Event> events_;
  std::size_t looked_ = 0;
  u64 looked_step_ = 0;
};

}  // namespace vt::cli
