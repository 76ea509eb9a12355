// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once
#include "saved.hpp"
#include "verbs.hpp"

namespace vt::cli {

/// `vitrine stat RUN --by function|phase`. Throws UsageError, InputError, Interrupted.
int stat_cycles(const Saved& saved, const StatOptions& o);

}  // namespace vt::cli
