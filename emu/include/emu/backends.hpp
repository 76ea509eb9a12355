// SPDX-License-Identifier: GPL-2.0-or-later
/// What devices have behind them outside the machine.
#pragma once
#include <memory>
#include <vector>

#include "emu/device.hpp"
#include "emu/disk.hpp"

namespace vt::emu {

struct Backends {
  /// One for each `disks` entry of the platform's functions, in their order; null (or missing): a disk whose unwritten part cannot be read.
  std::vector<std::shared_ptr<DiskImage>> disks;
  SerialSink* com2 = nullptr;        ///< what the second serial port sends, if there is one; null: nowhere
};

/// What became of a function's accesses; counted for `stat`, not state.
struct Traffic {
  u64 dma_translated = 0, dma_bypassed = 0, dma_blocked = 0;   ///< pieces of pages
  u64 interrupts_remapped = 0, interrupts_bypassed = 0, interrupts_blocked = 0;
};

}  // namespace vt::emu
