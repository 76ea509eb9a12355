// SPDX-License-Identifier: GPL-2.0-or-later
/// Marks the instructions of a decoded block that an observer wants to know of.
#pragma once
#include "cpu/block.hpp"

namespace vt::cpu {

/// Must `rip` be the first of its block, since it is probed?
inline bool starts_block(const Cpu& c, u64 rip) { return c.observer() && c.observer()->probed(rip); }

/// Puts the telling function in front of those that matter among `n` instructions, the first of them at `rip`, and their own into `observed`.
/// True: there are some.
bool mark_observed(const Cpu& c, u64 rip, Insn* insns, unsigned n, Block::Observed* observed);

}  // namespace vt::cpu
