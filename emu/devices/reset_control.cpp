// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/reset_control.hpp"

namespace vt::emu {
namespace {
constexpr u8 kObf = 0x01, kSystem = 0x04, kCommand = 0x08, kNotLocked = 0x10, kAux = 0x20, kTimeout = 0x40;
constexpr u8 kNoDevice = 0xfe;  // what the controller puts into the buffer when nobody answers
}  // namespace

void ResetRegister::write8(u64, u8 value) {
  if (value & ~value_ & 4) stop_.request(StopReason::reset, value & 2 ? "hard reset by port 0xcf9" : "soft reset by port 0xcf9");
  value_ = value & 0x0e;
}

void Port92::write8(u64, u8 value) {
  if (value & ~value_ & 1) stop_.request(StopReason::reset, "fast reset by port 0x92");
  value_ = value & 3;
}

void I8042::reset() {
  status_ = kNotLocked, output_ = 0, pending_ = 0, output_port_ = 3;
  ram_ = {};
  ram_[0] = 0x30;  // both interfaces disabled, as after power-on
  update();
}

void I8042::state(Ar& ar) { ar(status_, output_, pending_, output_port_, ram_); }

void I8042::update() {
  const bool full = status_ & kObf, aux = status_ & kAux;
  irq1_.set(full && !aux && (ram_[0] & 1));
  irq12_.set(full && aux && (ram_[0] & 2));
}

void I8042::reply(u8 value, u8 flags) {
  output_ = value;
  status_ = static_cast<u8>((status_ & ~(kAux | kTimeout)) | kObf | flags);
}

void I8042::set_output_port(u8 value) {
  if (!(value & 1)) stop_.request(StopReason::reset, "reset by the keyboard controller (output port bit 0)");
  output_port_ = value | 1;
}

u8 I8042::read8(u64 offset) {
  if (offset == 4) return status_;
  if (offset != 0) return 0xff;
  const u8 value = output_;  // an empty buffer gives the last byte
  status_ &= static_cast<u8>(~(kObf | kAux | kTimeout));
  update();
  return value;
}

void I8042::write8(u64 offset, u8 value) {
  if (offset == 4) status_ |= kCommand, command(value);
  else if (offset == 0) status_ &= static_cast<u8>(~kCommand), data(value);
  update();
}

void I8042::command(u8 value) {
  pending_ = 0;
  if (value >= 0x20 && value < 0x40) { reply(ram_[value & 31]); return; }
  if (value >= 0x60 && value < 0x80) { pending_ = value; return; }
  if (value >= 0xf0) {  // pulse output port lines 3:0 low; line 0 is the processor's reset
    if (!(value & 1)) stop_.request(StopReason::reset, "reset by the keyboard controller");
    return;
  }
  switch (value) {
    case 0xa7: ram_[0] |= 0x20; break;
    case 0xa8: ram_[0] &= 0xdf; break;
    case 0xa9: reply(0x00); break;                       // the auxiliary interface tests fine
    case 0xaa: status_ |= kSystem; ram_[0] |= 0x04; reply(0x55); break;
    case 0xab: reply(0x00); break;
    case 0xad: ram_[0] |= 0x10; break;
    case 0xae: ram_[0] &= 0xef; break;
    case 0xc0: reply(0x80); break;                       // input port: not locked
    case 0xd0: reply(static_cast<u8>((output_port_ & ~0x30) | (status_ & kObf && !(status_ & kAux) ? 0x10 : 0) |
                                     (status_ & kObf && status_ & kAux ? 0x20 : 0))); break;
    case 0xd1: case 0xd2: case 0xd3: case 0xd4: pending_ = value; break;
    case 0xdd: output_port_ &= 0xfd; break;              // A20 off and on, as many controllers have it
    case 0xdf: output_port_ |= 0x02; break;
    case 0xe0: reply(0x00); break;                       // test inputs: both clocks low
    default: break;
  }
}

void I8042::data(u8 value) {
  const u8 to = pending_;
  pending_ = 0;
  if (to >= 0x60 && to < 0x80) {
    ram_[to & 31] = value;
    if (to == 0x60) status_ = static_cast<u8>((status_ & ~kSystem) | (value & kSystem));
    return;
  }
  switch (to) {
    case 0xd1: set_output_port(value); break;
    case 0xd2: reply(value); break;
    case 0xd3: reply(value, kAux); break;
    case 0xd4: reply(kNoDevice, kAux | kTimeout); break;
    default: ram_[0] &= 0xef; reply(kNoDevice, kTimeout); break;  // to the keyboard, whose interface this enables
  }
}

}  // namespace vt::emu
