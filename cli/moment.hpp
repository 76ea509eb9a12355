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

/// What the verb says of a ledger: for people, for programs, and what there is to warn of.
struct Told { std::string text; nlohmann::ordered_json data; std::string warning; int status = status::ok; };
class Story;
Told blame_told(const Story& s, const std::string& address);
Told check_told(const Story& s, const CheckOptions& o);

}  // namespace vt::cli
