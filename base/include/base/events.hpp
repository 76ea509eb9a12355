// SPDX-License-Identifier: GPL-2.0-or-later
/// The event stream: what happened, for those who watch. Plain records; nothing in the machine depends
/// on whether somebody listens.
#pragma once
#include "base/types.hpp"

namespace vt {

enum class EventKind : u16 {
  none,
  vm_entry,        ///< a: VMCS, b: EPTP
  vm_exit,         ///< a: basic exit reason, b: qualification, c: guest-physical address
  exception,       ///< a: vector, b: error code, c: CR2
  interrupt,       ///< a: vector
  eptp_change,     ///< a: VMCS, b: EPTP
  invept,          ///< a: type, b: EPTP
  invvpid,         ///< a: type, b: VPID, c: linear address
  vtd_register,    ///< a: unit, b: offset, c: value written
  vtd_translation, ///< a: unit, b: 1 enabled 0 disabled, c: RTADDR_REG
  vtd_invalidate,  ///< a: unit, b: descriptor low, c: descriptor high
  vtd_fault,       ///< a: unit, b: source id, c: address, d: reason
  stale_translation, ///< a: address, b: entry's address
  reset,
};

struct Event {
  EventKind kind = EventKind::none;
  u16 cpu = 0;
  u64 step = 0;
  u64 rip = 0;
  u64 a = 0, b = 0, c = 0, d = 0;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on(const Event& e) = 0;
};

}  // namespace vt
