// SPDX-License-Identifier: GPL-2.0-or-later
/// Cases from what a row says: its opcode notation gives the bytes, its operands where things are.
#pragma once
#include "judge/classes.hpp"
#include "judge/operands.hpp"
#include "judge/state.hpp"

namespace vt::judge {

/// The case of that number: the same for the same seed, whatever was run before.
Case make_case(const Class& c, u64 seed, u64 number);

}  // namespace vt::judge
