// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once
#include <gelf.h>

#include <string>

namespace vt::hv {
/// NT_GNU_BUILD_ID in hex, from the program headers' notes or, where there are none, the sections'. Empty: none.
std::string build_id_of(Elf* elf);
}  // namespace vt::hv
