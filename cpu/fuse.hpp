// SPDX-License-Identifier: GPL-2.0-or-later
/// The last look at a decoded block: pairs of instructions that run as one function, and branches that stay in their
/// page. Only `fn` of instructions changes; count, order and meaning do not, so that every step can still be told apart.
#pragma once
#include "cpu/insn.hpp"

namespace vt::cpu {

/// `n` instructions with the end mark behind them.
void fuse(Insn* insns, unsigned n);

/// The function for `first` followed by the Jcc of condition `condition` (0-15) inside the page. Null: there is none.
Fn fused_with_jcc(Fn first, unsigned condition);

}  // namespace vt::cpu
