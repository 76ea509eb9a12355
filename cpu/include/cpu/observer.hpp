// SPDX-License-Identifier: GPL-2.0-or-later
/// Who wants to know of calls, returns and certain places in the code. Costs nothing without an observer: instructions
/// are marked when they are decoded, and only if there is one. It must change nothing; it may ask the machine to stop.
#pragma once
#include "base/types.hpp"

namespace vt::cpu {

class Cpu;

class Observer {
 public:
  virtual ~Observer() = default;
  /// Before a near CALL in 64-bit mode. `slot`: linear address where the return address will stand. An instruction that faults, or
  /// that has to be done alone, is told of again.
  virtual void call(const Cpu& c, u64 slot, u64 return_address) = 0;
  /// Before a near RET in 64-bit mode.
  virtual void ret(const Cpu& c, u64 slot) = 0;
  /// Before the instruction at `rip`, if it is `probed`. True: it is not executed now; the observer has asked for a stop.
  virtual bool probe(const Cpu& c, u64 rip) = 0;
  /// Asked once when code is decoded. Where the answer changes, `Cpu::observe` has to be called again.
  virtual bool probed(u64 rip) const = 0;
};

}  // namespace vt::cpu
