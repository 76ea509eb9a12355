// SPDX-License-Identifier: GPL-2.0-or-later
/// The ways to reset a PC, each of which ends the run: the reset control register, port 0x92 (and the keyboard
/// controller, i8042.hpp). A20 is a bit that reads back: A20M# is not connected, as on processors without that pin.
#pragma once
#include "devices/byte_device.hpp"

namespace vt::emu {

/// RST_CNT: one byte, port 0xcf9. It lies among the PCI ports: give it to pci::ConfigPorts.
/// ICH9 data sheet "RST_CNT"
class ResetRegister final : public ByteDevice {
 public:
  explicit ResetRegister(Stop& stop) : stop_(stop) {}
  std::string_view name() const override { return "reset-register"; }
  void reset() override { value_ = 0; }
  void state(Ar& ar) override { ar(value_); }

 protected:
  u8 read8(u64) override { return value_; }
  void write8(u64, u8 value) override;

 private:
  Stop& stop_;
  u8 value_ = 0;
};

/// PORT92: one byte. Bit 0: reset on 0 to 1; bit 1: A20 gate.   ICH9 data sheet "PORT92"
class Port92 final : public ByteDevice {
 public:
  explicit Port92(Stop& stop) : stop_(stop) {}
  bool a20() const { return value_ & 2; }
  std::string_view name() const override { return "port92"; }
  void reset() override { value_ = 2; }
  void state(Ar& ar) override { ar(value_); }

 protected:
  u8 read8(u64) override { return value_; }
  void write8(u64, u8 value) override;

 private:
  Stop& stop_;
  u8 value_ = 2;
};

}  // namespace vt::emu
