// SPDX-License-Identifier: GPL-2.0-or-later
/// What somebody who looks at a processor from outside asks. Nothing here changes anything.
#pragma once
#include <span>
#include <vector>

#include "base/physmem.hpp"
#include "base/types.hpp"
#include "cpu/paging.hpp"

namespace vt::cpu {

class Cpu;

/// Parameters of a walk of linear address space now.
paging::Params paging_params(const Cpu& c);

/// A field of the VMCS as it stands in its page. `area`: "control", "exit information", "guest", "host".
struct VmcsField { const char* name; u16 encoding; u8 bytes; const char* area; u64 value; };
/// All fields that this processor has, in the order of their encodings.   SDM 3D "Field Encoding in VMCS"
std::vector<VmcsField> vmcs_fields(const PhysMem& mem, u64 vmcs);
/// "clear", "launched", or "unknown" for a page that was never made one.
const char* vmcs_launch_state(const PhysMem& mem, u64 vmcs);

/// Length of the instruction that these bytes begin, in the processor's present mode; 0: they end before it does.
unsigned instruction_length(const Cpu& c, std::span<const u8> bytes);

}  // namespace vt::cpu
