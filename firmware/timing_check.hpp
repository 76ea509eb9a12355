// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once
#include <fmt/format.h>

#include <functional>
#include <string>

#include "base/timing.hpp"

namespace vt::fw {

/// Throws; `field` as the profile's file names it.
using ProfileFail = std::function<void(const std::string& field, const std::string& message)>;
void check_profile(const timing::Profile& p, const ProfileFail& fail);

}  // namespace vt::fw
