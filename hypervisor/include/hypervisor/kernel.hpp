// SPDX-License-Identifier: GPL-2.0-or-later
/// What a kernel file tells about itself. Only the views ask: the machine never knows what runs on it.
#pragma once
#include <string>

#include "base/types.hpp"

namespace vt::hv {

enum class Kind : u8 { unknown, xen };

struct Kernel {
  Kind kind = Kind::unknown;
  std::string build_id;   ///< NT_GNU_BUILD_ID in hex; empty: none
};

/// Reads a kernel, gzip or plain. What cannot be read or is no ELF file is `unknown`: the loader has its own words for it.
Kernel inspect_kernel(const std::string& file);

const char* kind_name(Kind k);

}  // namespace vt::hv
