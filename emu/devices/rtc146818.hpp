// SPDX-License-Identifier: GPL-2.0-or-later
/// MC146818A clock with 128 bytes of CMOS RAM. Time is kept in the registers, as on the chip; what has
/// elapsed is caught up with when somebody looks, so an idle clock queues no events.
/// MC146818A data sheet; ICH9 data sheet "Real Time Clock Registers"
#pragma once
#include "devices/byte_device.hpp"

namespace vt::emu {

/// Broken-down local time. `day_of_week`: 1 = Sunday; 0: worked out from the date.
struct RtcTime {
  unsigned year = 2024, month = 1, day = 1, hour = 0, minute = 0, second = 0, day_of_week = 0;
  unsigned nanosecond = 0;  ///< how far into its second the clock is
};

/// Offsets: 0 index and NMI mask (port 0x70), 1 data (0x71).
class Rtc146818 final : public ByteDevice, public Timed {
 public:
  /// The first second is over one second after `clock.now()`, less what of it has gone by.
  Rtc146818(Clock& clock, IrqLine& irq8, const RtcTime& start);

  u8 cmos(u8 index) const { return cmos_[index & 0x7f]; }
  void set_cmos(u8 index, u8 value) { cmos_[index & 0x7f] = value; }
  /// The bytes in which PC firmware leaves memory sizes (bytes of RAM from 0 to below 4 GiB, and above),
  /// and the checksum of 0x10-0x2d.
  void set_memory(u64 below_4g, u64 above_4g);
  bool nmi_masked() const { return index_ & 0x80; }

  std::string_view name() const override { return "rtc146818"; }
  void reset() override;  ///< the RESET pin: enables and flags are cleared, time and RAM are kept
  void state(Ar& ar) override;
  void expire(u32 kind, u64 now) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  u8 get(unsigned index) const;             ///< a time register as a number
  void put(unsigned index, unsigned value);
  void tick();                              ///< one update cycle
  bool alarm_matches() const;
  bool divider_runs() const { return (cmos_[0x0a] & 0x70) == 0x20; }
  u64 next_edge(u64 after) const;           ///< the first periodic edge after this cycle; ~0: never
  void sync(u64 now);
  void update(u64 now);                     ///< IRQF, the line, the next event

  Clock& clock_;
  IrqLine& irq8_;
  std::array<u8, 128> cmos_{};              ///< includes registers A to D
  u8 index_ = 0;
  i64 second_start_ = 0;                    ///< cycle at which the running second began
  u64 periodic_from_ = 0;                   ///< periodic edges up to here are accounted for
};

}  // namespace vt::emu
