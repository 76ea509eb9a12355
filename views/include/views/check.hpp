// SPDX-License-Identifier: GPL-2.0-or-later
/// Checks of a run's mappings, like fsck: rules with names, severities and an explanation each. A rule reads the ledger's history, the
/// platform and the hypervisor's words; it knows no hypervisor.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/platform.hpp"
#include "views/history.hpp"
#include "views/words.hpp"

namespace vt::views {

namespace checks { class Facts; }

enum class Severity : u8 { info, warning, error };
const char* severity_name(Severity s);

struct Finding {
  std::string rule;
  Severity severity = Severity::error;
  std::string text;                ///< one sentence, with addresses and both origins where there are two
  std::optional<u32> space;        ///< which tables (index into History::spaces)
  u64 first = 0, last = 0;         ///< translated addresses, inclusive (or the range that is meant)
  u64 step = 0;                    ///< when it came about
  std::vector<u32> events;         ///< the evidence, in order (indices into History::events)
  std::vector<std::string> origins;///< functions, the later one first
  u64 count = 1;                   ///< neighbours with the same text template that were joined into this one
};

struct CheckInput {
  const History& history;
  const Setup& setup;
  const Words& words;
  const fw::Platform& platform;
  u32 end_event = 0;               ///< look at events before this one only
  std::shared_ptr<const checks::Facts> facts;   ///< what rules have in common; `check` fills it in
};

struct Rule {
  const char* name;
  Severity severity;               ///< the highest that it gives
  const char* summary;             ///< one line
  const char* explanation;         ///< what it means, when it is harmless, what to do; a few sentences
  void (*check)(const CheckInput& in, std::vector<Finding>& out);
};
std::span<const Rule> rules();
const Rule* find_rule(std::string_view name);

/// A finding's text as the rules give it has marks for what `check` fills in when it has joined neighbours.
/// All rules, or one. Findings by severity (errors first), then step; neighbours alike are joined.
std::vector<Finding> check(const CheckInput& in, const Rule* only = nullptr);

}  // namespace vt::views
