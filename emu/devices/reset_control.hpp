// SPDX-License-Identifier: GPL-2.0-or-later
/// The ways to reset a PC, each of which ends the run: the reset control register, port 0x92 and the
/// keyboard controller (with nothing plugged in). A20 is a bit that reads back: A20M# is not connected,
/// as on processors without that pin.
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

/// 8042 with PS/2 commands. What is sent to a keyboard or mouse times out at once.
/// Offsets, as port - 0x60: 0 data, 4 command and status. Two ranges of one port each: 0x61 is another device.   "8042 Keyboard Controller" of the PS/2 manuals
class I8042 final : public ByteDevice {
 public:
  I8042(IrqLine& irq1, IrqLine& irq12, Stop& stop) : irq1_(irq1), irq12_(irq12), stop_(stop) { reset(); }
  bool a20() const { return output_port_ & 2; }
  std::string_view name() const override { return "i8042"; }
  void reset() override;
  void state(Ar& ar) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  void command(u8 value);
  void data(u8 value);
  void reply(u8 value, u8 flags = 0);
  void set_output_port(u8 value);
  void update();
  IrqLine& irq1_;
  IrqLine& irq12_;
  Stop& stop_;
  u8 status_, output_, pending_, output_port_;  ///< pending: the command whose data byte is awaited
  std::array<u8, 32> ram_{};                    ///< byte 0 is the command byte
};

}  // namespace vt::emu
