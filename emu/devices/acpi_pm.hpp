// SPDX-License-Identifier: GPL-2.0-or-later
/// ACPI fixed hardware: PM1a event and control blocks, the PM timer, soft-off; and the APM port pair.
/// There is no legacy mode: SCI_EN is always set.   ACPI "Fixed Hardware Registers"
#pragma once
#include "devices/byte_device.hpp"

namespace vt::emu {

/// Offsets: 0 PM1_STS, 2 PM1_EN, 4 PM1_CNT, 8 PM_TMR; range 12 ports or more (the rest reads zero).
class AcpiPm final : public ByteDevice, public Timed {
 public:
  static constexpr u64 kHz = 3'579'545;
  struct Config {
    u8 s5_type = 5;           ///< SLP_TYPa of \_S5; other types are not offered and do nothing
    bool timer_32bit = true;  ///< FADT TMR_VAL_EXT
  };
  AcpiPm(Clock& clock, IrqLine& sci, Stop& stop, Config config);

  void power_button() { raise(0x0100); }
  void rtc_alarm() { raise(0x0400); }

  std::string_view name() const override { return "acpi-pm"; }
  void reset() override;
  void state(Ar& ar) override;
  void expire(u32 kind, u64 now) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  void raise(u16 status) { status_ |= status; update(); }
  void sync();
  void update();
  unsigned msb() const { return config_.timer_32bit ? 31 : 23; }
  u64 ticks() const { return ticks_at(clock_.now(), kHz); }

  Clock& clock_;
  IrqLine& sci_;
  Stop& stop_;
  Config config_;
  u16 status_ = 0, enable_ = 0, control_ = 1;
  u64 seen_ = 0;  ///< timer ticks up to which carries are accounted for
};

/// APM_CNT and APM_STS (ports 0xb2-0xb3): storage. No SMI is ever raised: ACPI is on from the start.
class ApmPort final : public ByteDevice {
 public:
  std::string_view name() const override { return "apm"; }
  void reset() override { value_ = {}; }
  void state(Ar& ar) override { ar(value_); }

 protected:
  u8 read8(u64 offset) override { return offset < 2 ? value_[offset] : 0xff; }
  void write8(u64 offset, u8 value) override { if (offset < 2) value_[offset] = value; }

 private:
  std::array<u8, 2> value_{};
};

}  // namespace vt::emu
