// SPDX-License-Identifier: GPL-2.0-or-later
/// Xen's functions that ask for a mapping: what their arguments are, and which functions belong to the layers that only carry such a
/// request out. One row per function; a build that has inlined one has the next one. Valid for Xen 4.13 to 4.20 on x86.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.hpp"
#include "hypervisor/symbols.hpp"

namespace vt::hv::xen {

enum class Argument : u8 { none, domain, p2m, gfn, dfn, mfn, order, count, type, access, flags, pointer };

struct Call {
  const char* name;
  bool removes;                ///< asks for a removal
  Argument argument[6];
};

/// The functions of interest, outermost first.
std::span<const Call> calls();
/// Null: none of them.
const Call* find_call(std::string_view name);
/// Those that this build has as functions of their own, with their addresses.
struct Site { const Call* call; u64 address; };
std::vector<Site> sites(const Symbols& symbols);
unsigned arguments(const Call& c);

/// Does this function belong to the layers below whoever asks for a mapping (p2m, EPT, the IOMMU's page tables)? By the file
/// where debug information tells it ("arch/x86/mm/p2m-ept.c"), else by name.
bool carries_out(std::string_view function, std::string_view file = {});

/// "-1 (EPERM)"; "0".
std::string result_text(u64 rax);

}  // namespace vt::hv::xen
