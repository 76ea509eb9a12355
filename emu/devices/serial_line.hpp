// SPDX-License-Identifier: GPL-2.0-or-later
/// The other end of the serial cable: what is typed arrives character by character at 115200 baud, whatever the
/// divisor, so that a guest's own buffer has time to be emptied as on hardware.
#pragma once
#include <deque>

#include "devices/uart16550.hpp"

namespace vt::emu {

class SerialLine final : public Timed {
 public:
  SerialLine(Clock& clock, Uart16550& port) : clock_(clock), port_(port) {}
  /// Any number of bytes; the first one arrives at once where the line is free.
  void type(u8 byte) {
    if (typed_.empty() && clock_.now() >= free_) { arrive(byte, clock_.now()); return; }
    typed_.push_back(byte);
    if (typed_.size() == 1) clock_.at(free_, *this, 0);
  }
  void expire(u32, u64 now) override {
    if (typed_.empty()) return;
    const u8 byte = typed_.front();
    typed_.pop_front();
    arrive(byte, now);
    if (!typed_.empty()) clock_.at(free_, *this, 0);
  }
  void state(Ar& ar) { ar(typed_, free_); }

 private:
  static constexpr u64 kCharacter = kCyclesPerSecond * 10 / 115200;  ///< start bit, eight data bits, stop bit
  void arrive(u8 byte, u64 now) {
    port_.receive(byte);
    free_ = now + kCharacter;
  }
  Clock& clock_;
  Uart16550& port_;
  std::deque<u8> typed_;
  u64 free_ = 0;
};

}  // namespace vt::emu
