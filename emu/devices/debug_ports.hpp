// SPDX-License-Identifier: GPL-2.0-or-later
/// Ports through which software talks to whoever watches.
#pragma once
#include "devices/byte_device.hpp"

namespace vt::emu {

/// The port of QEMU's isa-debug-exit (0xf4): a write ends the run. The status is the byte that was written, so that a
/// guest can report success.
class ExitDevice final : public Device {
 public:
  explicit ExitDevice(Stop& stop) : stop_(stop) {}
  std::string_view name() const override { return "exit-device"; }
  u64 read(u64, unsigned) override { return 0; }
  void write(u64, unsigned, u64 value) override {
    stop_.request(StopReason::exit_device, "exit device", {}, static_cast<int>(value & 0xff));
  }
  void reset() override {}
  void state(Ar&) override {}

 private:
  Stop& stop_;
};

/// Port 0x80 (1 port): the POST code, which reads back.
class PostPort final : public ByteDevice {
 public:
  u8 code() const { return value_; }
  std::string_view name() const override { return "post-port"; }
  void reset() override { value_ = 0; }
  void state(Ar& ar) override { ar(value_); }

 protected:
  u8 read8(u64) override { return value_; }
  void write8(u64, u8 value) override { value_ = value; }

 private:
  u8 value_ = 0;
};

/// Bochs' debug console (1 port, 0xe9): reads 0xe9, so that software can tell it is there.
class DebugConsole final : public ByteDevice {
 public:
  explicit DebugConsole(SerialSink& out) : out_(out) {}
  std::string_view name() const override { return "debug-console"; }
  void reset() override {}
  void state(Ar&) override {}

 protected:
  u8 read8(u64) override { return 0xe9; }
  void write8(u64, u8 value) override { out_.put(value); }

 private:
  SerialSink& out_;
};

}  // namespace vt::emu
