// SPDX-License-Identifier: GPL-2.0-or-later
/// Interrupt requests as messages: a write to 0xFEExxxxx. Who routes them (interrupt remapping, local
/// APICs) is the machine's business.   SDM 3A "Message Signalled Interrupts", VT-d "Interrupt Remapping"
#pragma once
#include "base/types.hpp"

namespace vt::emu {

class InterruptBus {
 public:
  virtual ~InterruptBus() = default;
  /// Address bit 4 clear: compatibility format, 19:12 destination, bit 2 logical; data 7:0 vector,
  /// 10:8 delivery mode, 14 assert, 15 level. Bit 4 set: remappable, 19:5 and bit 2 are the handle.
  virtual void message(Bdf source, u64 address, u32 data) = 0;
};

}  // namespace vt::emu
