// SPDX-License-Identifier: GPL-2.0-or-later
/// What a device is to the machine, and what the machine is to a device. A device does not know where
/// it is mapped (the bus owns addresses), nor what time costs (the clock counts cycles).
#pragma once
#include <string_view>

#include "base/archive.hpp"
#include "base/stop.hpp"
#include "base/types.hpp"

namespace vt::emu {

/// Virtual time in cycles; 1 cycle = 1 ns under the flat model. Rates are exact rationals of it.
inline constexpr u64 kCyclesPerSecond = 1'000'000'000;

/// Ticks of a counter of `hz` at time `cycles`: floor(cycles * hz / 1e9), exact for the whole 64-bit range.
/// `hz` up to 18 GHz.
constexpr u64 ticks_at(u64 cycles, u64 hz) {
  return cycles / kCyclesPerSecond * hz + cycles % kCyclesPerSecond * hz / kCyclesPerSecond;  // no 128-bit division
}
/// First cycle at which `ticks_at` is `ticks` or more.
constexpr u64 cycle_of_tick(u64 ticks, u64 hz) { return ticks / hz * kCyclesPerSecond + (ticks % hz * kCyclesPerSecond + hz - 1) / hz; }

/// Whoever has events queued. Events are data: (cycle, sequence, owner, kind).
class Timed {
 public:
  virtual ~Timed() = default;
  /// The event of this kind is due. `now` is the cycle it was queued for or later.
  virtual void expire(u32 kind, u64 now) = 0;
};

/// The clock and the event queue, as a device sees them.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual u64 now() const = 0;
  /// Queues (or moves) the one event of this owner and kind. A cycle in the past is due at once,
  /// before the next instruction.
  virtual void at(u64 cycle, Timed& owner, u32 kind) = 0;
  virtual void cancel(Timed& owner, u32 kind) = 0;
};

/// An interrupt wire. Level as driven: true = asserted, whatever polarity the receiver thinks of.
class IrqLine {
 public:
  virtual ~IrqLine() = default;
  virtual void set(bool asserted) = 0;
};

/// A function's way to memory and to the interrupt controllers: through the IOMMU, always.
class DmaPort {
 public:
  virtual ~DmaPort() = default;
  /// False: the access was blocked (recorded as a fault by the IOMMU) or nothing answers; the data are then all ones.
  virtual bool read(Bdf source, Iova at, void* to, std::size_t n) = 0;
  virtual bool write(Bdf source, Iova at, const void* from, std::size_t n) = 0;
  /// A memory write that is an interrupt request (0xFEExxxxx).
  virtual void msi(Bdf source, u64 address, u32 data) = 0;
};

/// Registers on a bus: an offset into the device's own range, size 1, 2, 4 or 8. The bus has checked
/// that the access lies in the range; a device that does not take a size says what silicon does with it.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;  ///< unique in the machine; names its state
  virtual u64 read(u64 offset, unsigned size) = 0;
  virtual void write(u64 offset, unsigned size, u64 value) = 0;
  virtual void reset() = 0;                   ///< power-on or platform reset
  virtual void state(Ar& ar) = 0;
};

/// Where a serial port's bytes go, and come from.
class SerialSink {
 public:
  virtual ~SerialSink() = default;
  virtual void put(u8 byte) = 0;
};

}  // namespace vt::emu
