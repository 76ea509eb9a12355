// SPDX-License-Identifier: GPL-2.0-or-later
/// What stands in a ledger, in words and as JSON: shared by log, blame, check and diff.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "story.hpp"

namespace vt::cli {

/// "EPT 0x7fdb6000", "VT-d unit 0, tables 0x7fdb6000 (00:04.0, 00:1f.0)"
std::string space_text(const Story& s, u32 space);
/// "identity rwx mmio_direct/rw UC 4K"; "not mapped". `first`: the address that `m` is of.
std::string mapping_text(const Story& s, const views::Mapping& m, u64 first, bool with_type = true);
/// "9f000" or "f0000-fffff": addresses without 0x, inclusive.
std::string range_text(u64 first, u64 last);
/// "pvh_populate_p2m (dom0_build.c:123)"
std::string origin_text(const views::Origin& o);
/// "a+0x1 < b+0x2 < c": from the inside out.
std::string chain_text(const Story& s, const Event& e);
/// One line for an event that is not a change of a mapping; empty for what has no words of its own.
std::string event_text(const Story& s, const Event& e);
/// "set to A" for an attempt's outcome: "= 0", "= -16 (EBUSY)", "never returned"
std::string result_text(const views::Request& r);

nlohmann::ordered_json mapping_json(const Story& s, const views::Mapping& m);
nlohmann::ordered_json origin_json(const views::Origin& o);
nlohmann::ordered_json chain_json(const Story& s, const Event& e);
nlohmann::ordered_json space_json(const Story& s, u32 space);

/// Attempts that were made by another attempt, directly or not: index of the outer one; none for those that somebody else made.
std::vector<std::optional<u32>> outer_attempts(const views::History& h);

}  // namespace vt::cli
