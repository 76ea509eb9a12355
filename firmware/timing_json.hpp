// SPDX-License-Identifier: GPL-2.0-or-later
/// The platform description's "timing".
#pragma once
#include "base/timing.hpp"
#include "json_reader.hpp"

namespace vt::fw {

/// {"model": "events", "profile": "NAME", or a file's path, or a whole profile}. Without it the model is flat.
void read_timing(JsonReader& r, timing::Timing& t);
/// Nothing where the model is flat; else with the whole profile, so that the description says all.
void write_timing(JsonWriter& w, const timing::Timing& t);

}  // namespace vt::fw
