// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/reset_control.hpp"

namespace vt::emu {
void ResetRegister::write8(u64, u8 value) {
  if (value & ~value_ & 4) stop_.request(StopReason::reset, value & 2 ? "hard reset by port 0xcf9" : "soft reset by port 0xcf9");
  value_ = value & 0x0e;
}

void Port92::write8(u64, u8 value) {
  if (value & ~value_ & 1) stop_.request(StopReason::reset, "fast reset by port 0x92");
  value_ = value & 3;
}

}  // namespace vt::emu
