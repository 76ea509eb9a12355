// SPDX-License-Identifier: GPL-2.0-or-later
/// Where a run's cycles went over its time: it is made once more, and the cycle stacks are read on the way.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cycles.hpp"
#include "rerun.hpp"

namespace vt::cli {

/// Of one context, all processors: whole cycles. Differences of what each processor's counters show, so slices add up to these exactly.
struct SpentCycles {
  u64 cycles = 0, instructions = 0;
  std::array<u64, cpu::kCauses> causes{};
};
/// A stretch of a run, from the end of the one before.
struct CycleSlice {
  u64 step = 0, ns = 0;                 ///< its end: before this step, at this virtual time
  std::array<SpentCycles, 2> spent;     ///< as kContexts
};

/// From step 0 up to `until`: some two hundred, each as long as the others in steps and time together (a wait is one). The machine has a timing model.
/// Throws as Rerun does, Interrupted.
std::vector<CycleSlice> cycle_slices(Rerun& rerun, u64 until);

/// "cycles" of a report (docs/formats.md). Kept under cache/ where the whole run is asked for. Null: the run has no timing model. It cannot be made
/// again: a warning, and only "missing", which says why.
nlohmann::ordered_json cycles_of_run(const std::string& run, const nlohmann::ordered_json& manifest, u64 until);

}  // namespace vt::cli
