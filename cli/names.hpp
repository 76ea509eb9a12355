// SPDX-License-Identifier: GPL-2.0-or-later
/// Names of what the machine counts, as the command prints and takes them.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/stop.hpp"
#include "firmware/platform.hpp"

namespace vt::cli {

inline constexpr unsigned kExitReasons = 70;
/// "ept-violation" and so on; "exit-N" for numbers that the manual leaves out.   SDM 3D "VMX Basic Exit Reasons"
std::string exit_name(unsigned reason);
std::optional<unsigned> exit_number(std::string_view name);   ///< also takes the number itself

/// "#PF", "#GP"; "vector N" for the rest.   SDM 3A "Exception and Interrupt Reference"
std::string exception_name(unsigned vector);

const char* e820_name(fw::E820 t);        ///< "RAM", "RESERVED", ...   ACPI "Address Range Types"
const char* stop_name(StopReason r);      ///< "until", "triple-fault", ...

}  // namespace vt::cli
