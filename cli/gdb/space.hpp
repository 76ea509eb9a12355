// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory as the debugger sees it: by the tables as they stand, without touching TLB, accessed and dirty bits or devices.
#pragma once
#include <optional>
#include <string>

#include "base/types.hpp"
#include "ept/ept.hpp"

namespace vt::emu { class Machine; }

namespace vt::cli::gdb {

/// Guest-physical through an EPT; entries that a hypervisor marked for recalculation are looked through.
std::optional<Hpa> physical(emu::Machine& m, ept::Eptp eptp, Gpa at);
/// A linear address in the present context of a processor: its paging, and EPT in VMX non-root operation.
std::optional<Hpa> physical(emu::Machine& m, unsigned cpu, u64 linear);
/// At most `n` bytes; less where something is not mapped, or is not memory.
std::string read_linear(emu::Machine& m, unsigned cpu, u64 linear, u64 n);
std::string read_physical(emu::Machine& m, Hpa at, u64 n);

}  // namespace vt::cli::gdb
