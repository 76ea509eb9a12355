// SPDX-License-Identifier: GPL-2.0-or-later
/// Cycle stacks of a whole machine, and as JSON.
#pragma once
#include <array>
#include <nlohmann/json.hpp>

#include "cpu/timing/stack.hpp"
#include "emu/machine.hpp"

namespace vt::cli {

/// VMX root operation, or none; non-root operation.
inline constexpr const char* kContexts[] = {"hypervisor", "guest"};
using Stacks = std::array<cpu::CycleStack, 2>;

/// Of all processors, in the order of kContexts. The machine has a timing model.
Stacks stacks_of(emu::Machine& m);
/// What has come since: ticks by cause, and instructions.
Stacks since(const Stacks& before, const Stacks& now);
/// Whole cycles by name of the cause, of those that have any.
nlohmann::ordered_json causes_json(const cpu::CycleStack& s);

}  // namespace vt::cli
