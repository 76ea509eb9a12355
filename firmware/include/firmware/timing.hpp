// SPDX-License-Identifier: GPL-2.0-or-later
/// Timing profiles: what a core and its caches, TLBs, VMX and VT-d cost, in JSON (`"vitrine": "timing/1"`, docs/timing.md), each value with
/// its origin: measured, published or assumed. Some are built in: the files in timing/.
#pragma once
#include <string>
#include <vector>

#include "base/timing.hpp"

namespace vt::fw {

/// Used where only a model is named.
inline constexpr const char* kDefaultProfile = "skylake-server";

/// The built-in profiles' names.
std::vector<std::string> profile_names();
/// A built-in profile by name, or a file. Throws PlatformError.
timing::Profile load_profile(const std::string& name_or_file);
timing::Profile parse_profile(const std::string& json, const std::string& file = {});
/// All of it, in plain numbers.
std::string to_json(const timing::Profile& p);

const char* model_name(timing::Model m);               ///< "flat", "events", "core"
/// What a profile calls a class: "lea_slow", "loop".
const char* op_name(timing::OpClass op);

/// "flat", "events" or "core", then ",profile=NAME" or ",profile=FILE": what --timing says. `before` is what the platform says: its profile stays
/// where none is named. Throws std::invalid_argument for what is no model or option, PlatformError for what is wrong with the profile.
timing::Timing parse_timing(const std::string& text, const timing::Timing& before = {});

}  // namespace vt::fw
