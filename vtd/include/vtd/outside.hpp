// SPDX-License-Identifier: GPL-2.0-or-later
/// What a remapping unit needs from the machine around it.
#pragma once
#include "base/events.hpp"
#include "base/physmem.hpp"
#include "base/stop.hpp"

namespace vt::vtd {

class Outside {
 public:
  virtual ~Outside() = default;
  virtual PhysMem& memory() = 0;
  virtual Stop& stop() = 0;
  virtual EventSink* events() = 0;      ///< null when nobody watches
  virtual u64 step() const = 0;         ///< for event records
  /// The unit's own interrupts (fault, invalidation completion): a write to 0xFEExxxxx that is not remapped.
  virtual void msi(u64 address, u32 data) = 0;
};

}  // namespace vt::vtd
