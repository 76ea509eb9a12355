// SPDX-License-Identifier: GPL-2.0-or-later
/// What has been compared: kept between runs, and told in docs/conformance.md.
#pragma once
#include <map>
#include <string>

#include "base/types.hpp"

namespace vt::judge {

struct ClassTally {
  u64 seed = 0, cases = 0, faults = 0, differences = 0;
  std::string skipped;  ///< features the host lacked
};
using Tally = std::map<std::string, ClassTally>;

/// One line per class: name seed cases faults differences [features]. A file that does not exist is empty; throws on one that is not a tally.
Tally read_tally(const std::string& file);
void write_tally(const std::string& file, const Tally& t);
std::string conformance_doc(const Tally& t);

}  // namespace vt::judge
