// SPDX-License-Identifier: GPL-2.0-or-later
/// `judge --unicorn`, and what docs/conformance.md says of it.
#pragma once
#include "judge/report.hpp"
#include "judge/second.hpp"

namespace vt::judge {

/// In pieces that go on record as they are done; the tally's lines are "unicorn:sequences" and "unicorn:known:KEY".
int second_main(const Second::Options& o, const std::string& resume);
std::string second_doc(const Tally& t);

}  // namespace vt::judge
