// SPDX-License-Identifier: GPL-2.0-or-later
/// Views of a machine at a moment, as text: what the verbs of the same names print, for others who have such a machine.
#pragma once
#include <string>

#include "saved.hpp"
#include "verbs.hpp"

namespace vt::cli {

/// `run` of the options is not looked at. Throw UsageError, InputError.
std::string map_text(const MapOptions& o, Saved& saved);
std::string walk_text(const WalkOptions& o, Saved& saved);

}  // namespace vt::cli
