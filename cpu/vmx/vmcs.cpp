// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmx/vmcs.hpp"

namespace vt::cpu {

u64 read_field(const PhysMem& mem, u64 vmcs, Field f) {
  return mem.peek64(Hpa{vmcs + offset_of(f)}) & field_mask(row_of(f).width);
}

void write_field(PhysMem& mem, u64 vmcs, Field f, u64 value) {
  mem.poke64(Hpa{vmcs + offset_of(f)}, value & field_mask(row_of(f).width), WriteCause::vmcs);
}

u32 launch_state(const PhysMem& mem, u64 vmcs) { return mem.peek32(Hpa{vmcs + vmcs_page::launch_state}); }
void set_launch_state(PhysMem& mem, u64 vmcs, u32 state) { mem.poke32(Hpa{vmcs + vmcs_page::launch_state}, state, WriteCause::vmcs); }

}  // namespace vt::cpu
