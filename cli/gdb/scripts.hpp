// SPDX-License-Identifier: GPL-2.0-or-later
/// Scripts for gdb that are part of the program (hypervisor/xen/gdb/).
#pragma once
#include <string_view>

namespace vt::cli { extern const std::string_view kXenGdbScript; }
