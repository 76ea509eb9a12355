// SPDX-License-Identifier: GPL-2.0-or-later
/// What a processor needs of the machine around it. Declared here, implemented by emu/.
#pragma once
#include "base/events.hpp"
#include "base/physmem.hpp"
#include "base/stop.hpp"

namespace vt::cpu {

/// An interrupt message on the system bus, after any remapping.   SDM 3A "Interrupt Command Register (ICR)", "Message Signalled Interrupts"
struct ApicMessage {
  enum class Mode : u8 { fixed = 0, lowest = 1, smi = 2, nmi = 4, init = 5, sipi = 6, extint = 7 };
  Mode mode = Mode::fixed;
  u8 vector = 0;
  bool level = false;            ///< trigger mode
  bool assert_ = true;           ///< level de-assert INIT is the only use of false
  bool logical = false;          ///< destination mode
  u32 destination = 0;           ///< 8-bit xAPIC or 32-bit x2APIC id, or logical id
  bool x2apic_destination = false;  ///< 32-bit destination (0xffffffff broadcasts); otherwise 0xff broadcasts
  enum class Shorthand : u8 { none, self, all, others } shorthand = Shorthand::none;
};

class Outside {
 public:
  virtual ~Outside() = default;
  virtual PhysMem& memory() = 0;
  virtual Stop& stop() = 0;
  virtual EventSink* events() = 0;   ///< null when nobody watches
  virtual EventSink* io_events() { return nullptr; }   ///< the same for MSRs, ports and device registers

  /// Accesses that RAM does not answer (sizes 1, 2, 4, 8; never across a page). What nobody claims reads as ones.
  virtual u64 mmio_read(Hpa at, unsigned size) = 0;
  virtual void mmio_write(Hpa at, unsigned size, u64 value) = 0;
  virtual u64 port_read(u16 port, unsigned size) = 0;
  virtual void port_write(u16 port, unsigned size, u64 value) = 0;

  /// A page's flags have gained one of `page_flag::slow_write`: every processor drops its bare pointers to it.
  virtual void page_flagged(Hpa page) = 0;
  /// From a local APIC to the others (and itself).
  virtual void send(unsigned from_cpu, const ApicMessage& m) = 0;
  /// End of interrupt of a level-triggered vector: to the I/O APICs.
  virtual void eoi(u8 vector) = 0;
  /// INTR line of the 8259 (through LINT0 in ExtINT mode or virtual wire), and its acknowledge cycle.
  virtual bool pic_pending() = 0;
  virtual u8 pic_acknowledge() = 0;

  /// The local APIC timer or TSC deadline of `cpu`: call Cpu::timer_expired at this cycle; ~0 cancels.
  virtual void arm_timer(unsigned cpu, u64 cycle) = 0;
  /// The VMX-preemption timer of `cpu`: call Cpu::preemption_timer_expired at this cycle; ~0 cancels.
  virtual void arm_preemption_timer(unsigned cpu, u64 cycle) = 0;
  /// Virtual time at the first step of the running slice; Cpu::now() adds the steps made since.
  virtual u64 slice_start() const = 0;
  /// Timing models with a clock per processor: not before what any of them has been told.
  virtual u64 clamp_time(u64 ns) { return ns; }
  /// Steps of the whole run at the first step of the running slice.
  virtual u64 slice_start_step() const = 0;
};

}  // namespace vt::cpu
