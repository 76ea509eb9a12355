// SPDX-License-Identifier: GPL-2.0-or-later
/// Code that runs elsewhere than where it is linked: before paging at its physical address, or as a copy in low memory. Found by looking at
/// what is executed until the first instruction at a linked address.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "emu/machine.hpp"
#include "hypervisor/symbols.hpp"

namespace vt::cli::gdb {

/// The machine stands at its beginning, and does so afterwards. `file`: where the symbols are; `to` runs the machine to a step.
std::vector<hv::Symbols::Moved> find_moved(emu::Machine& m, const hv::Symbols& symbols, const std::string& file, const std::function<void(u64)>& to);

/// An ELF file for debuggers: the symbols of these pieces where they run. Empty: there are none.
std::string moved_elf(const hv::Symbols& symbols);

}  // namespace vt::cli::gdb
