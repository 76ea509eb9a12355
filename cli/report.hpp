// SPDX-License-Identifier: GPL-2.0-or-later
/// The report of a run: one HTML file that needs nothing else. What it shows is collected here as JSON; how it is shown stands in
/// cli/report/page.{html,css,js}.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "firmware/platform.hpp"
#include "story.hpp"
#include "views/check.hpp"
#include "views/history.hpp"
#include "views/words.hpp"

namespace vt::cli {

struct ReportInput {
  const views::History& history;
  const views::Setup& setup;
  const views::Words& words;
  const fw::Platform& platform;
  const nlohmann::ordered_json& manifest;
  const std::vector<ConsoleLine>& console;
  const std::vector<views::Finding>& findings;
  u32 end_event = 0;       ///< events before this one only
  u64 end_step = 0;        ///< the last step that is shown
  std::string run;         ///< as typed, for the commands that can be copied
  nlohmann::ordered_json cycles;   ///< over time (cycle_slices.hpp); null: no timing model
};

/// What the page shows, "vitrine.report/1" (docs/formats.md). Addresses are page numbers and steps are numbers; names, call chains and
/// states of a mapping are indices into lists.
nlohmann::ordered_json report_data(const ReportInput& in);

/// The page with its data in it.
std::string report_page(const nlohmann::ordered_json& data);

/// More would not be pleasant to open, nor to attach.
inline constexpr std::size_t kReportLimit = 5'000'000;

}  // namespace vt::cli
