// SPDX-License-Identifier: GPL-2.0-or-later
/// What a description must not say. Both throw PlatformError with the field's path.
#pragma once
#include "firmware/platform.hpp"

namespace vt::fw {

void check_platform(const Platform& p);
void check_mtrrs(const Platform& p);
/// True if the text is YYYY-MM-DDTHH:MM:SS and names a possible moment.
bool valid_rtc(const std::string& s);

}  // namespace vt::fw
