// SPDX-License-Identifier: GPL-2.0-or-later
/// manifest.json: what a run was made from, how it ended, what was counted. docs/formats.md has the fields.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "emu/machine.hpp"
#include "prepare.hpp"
#include "recorder.hpp"

namespace vt::cli {

struct HostTime { double user = 0, elapsed = 0; };

/// Exit status of a run that ended so.
int exit_status(const Stop& stop, const When& until);

/// Everything known before the first step. `end` says "unfinished".
nlohmann::ordered_json manifest_start(const RunOptions& o, const Prepared& p);
/// Fills in what the run has shown. The state hash is the caller's: it takes time.
void manifest_end(nlohmann::ordered_json& j, emu::Machine& m, const Prepared& p, const Recorder& r, HostTime host, int status);
std::string manifest_text(const nlohmann::ordered_json& j);

/// Million instructions per second of user time.
double mips(u64 retired, double seconds);

}  // namespace vt::cli
