// SPDX-License-Identifier: GPL-2.0-or-later
/// The keyboard controller of a PS/2, with a keyboard of 101 keys and nothing at its auxiliary interface (what is sent there times out
/// at once). Answers come at once and queue in the keyboard; the controller translates to scan code set 1 where its command byte says so.
/// "8042 Keyboard Controller" and "101-Key Keyboard" of the PS/2 manuals
#pragma once
#include <deque>

#include "devices/byte_device.hpp"

namespace vt::emu {

/// Offsets, as port - 0x60: 0 data, 4 command and status. Two ranges of one port each: 0x61 is another device.
class I8042 final : public ByteDevice {
 public:
  I8042(IrqLine& irq1, IrqLine& irq12, Stop& stop) : irq1_(irq1), irq12_(irq12), stop_(stop) { reset(); }
  bool a20() const { return output_port_ & 2; }
  u8 leds() const { return leds_; }
  /// What a key sends in scan code set 2: its make or break code, byte by byte. Lost where the keyboard's buffer is full or it is off.
  void key(u8 code);
  /// As firmware leaves it: tested, translating, interrupts on, keyboard enabled.
  void post();
  std::string_view name() const override { return "i8042"; }
  void reset() override;
  void state(Ar& ar) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  static constexpr std::size_t kBuffer = 16;   ///< keys that a keyboard remembers
  void command(u8 value);
  void data(u8 value);
  void to_keyboard(u8 value);
  void keyboard_defaults();
  void answer(u8 value) { sent_.push_back(value); }
  void refill();
  void reply(u8 value, u8 flags = 0);
  void set_output_port(u8 value);
  void update();
  IrqLine& irq1_;
  IrqLine& irq12_;
  Stop& stop_;
  u8 status_, output_, pending_, output_port_;  ///< pending: the command whose data byte is awaited
  std::array<u8, 32> ram_{};                    ///< byte 0 is the command byte
  u8 break_code_ = 0;                           ///< F0 has come, and the byte that it belongs to is being translated
  // the keyboard
  u8 wants_ = 0;                                ///< the command whose parameter is awaited
  u8 scanning_ = 1, set_ = 2, leds_ = 0, rate_ = 0x2b, last_ = 0;
  std::deque<u8> sent_;                         ///< on its way to the controller
};

}  // namespace vt::emu
