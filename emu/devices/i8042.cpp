// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/i8042.hpp"

namespace vt::emu {
namespace {

constexpr u8 kObf = 0x01, kSystem = 0x04, kCommand = 0x08, kNotLocked = 0x10, kAux = 0x20, kTimeout = 0x40;
constexpr u8 kAck = 0xfa, kResend = 0xfe, kPassed = 0xaa, kBreak = 0xf0;
constexpr u8 kNoDevice = 0xfe;  // what the controller puts into the buffer when nobody answers
constexpr u8 kIrq1 = 0x01, kIrq12 = 0x02, kNoKeyboard = 0x10, kNoAux = 0x20, kTranslate = 0x40;  // command byte
// Room for the answers of commands beside the keys.
constexpr std::size_t kMostSent = 64;

/// Scan code set 2 to set 1, as the controller does it with every byte up to 84h.   PS/2 "Keyboard Scan Codes"
constexpr u8 kToSet1[] = {
  0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a,
  0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
  0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60,
  0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
  0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
  0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54};

}  // namespace

void I8042::reset() {
  status_ = kNotLocked, output_ = 0, pending_ = 0, output_port_ = 3;
  ram_ = {};
  ram_[0] = kNoKeyboard | kNoAux;  // as after power-on
  break_code_ = 0, wants_ = 0, leds_ = 0, last_ = 0;
  sent_.clear();
  keyboard_defaults();
  update();
}

void I8042::post() {
  status_ |= kSystem;
  ram_[0] = kTranslate | kNoAux | kSystem | kIrq1;
  update();
}

void I8042::state(Ar& ar) { ar(status_, output_, pending_, output_port_, ram_, break_code_, wants_, scanning_, set_, leds_, rate_, last_, sent_); }

void I8042::update() {
  const bool full = status_ & kObf, aux = status_ & kAux;
  irq1_.set(full && !aux && (ram_[0] & kIrq1));
  irq12_.set(full && aux && (ram_[0] & kIrq12));
}

void I8042::reply(u8 value, u8 flags) {
  output_ = value;
  status_ = static_cast<u8>((status_ & ~(kAux | kTimeout)) | kObf | flags);
}

void I8042::set_output_port(u8 value) {
  if (!(value & 1)) stop_.request(StopReason::reset, "reset by the keyboard controller (output port bit 0)");
  output_port_ = value | 1;
}

/// The keyboard's next byte, where the buffer is free and its clock is not held.
void I8042::refill() {
  while (!(status_ & kObf) && !(ram_[0] & kNoKeyboard) && !sent_.empty()) {
    u8 value = sent_.front();
    sent_.pop_front();
    last_ = value;
    if (ram_[0] & kTranslate) {
      if (value == kBreak) { break_code_ = 0x80; continue; }
      if (value < std::size(kToSet1)) value = kToSet1[value];
      value |= break_code_;
      break_code_ = 0;
    }
    reply(value);
  }
}

u8 I8042::read8(u64 offset) {
  if (offset == 4) return status_;
  if (offset != 0) return 0xff;
  const u8 value = output_;  // an empty buffer gives the last byte
  status_ &= static_cast<u8>(~(kObf | kAux | kTimeout));
  update();                  // the line falls before the next byte raises it
  refill();
  update();
  return value;
}

void I8042::write8(u64 offset, u8 value) {
  if (offset == 4) status_ |= kCommand, command(value);
  else if (offset == 0) status_ &= static_cast<u8>(~kCommand), data(value);
  refill();
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
    case 0xa7: ram_[0] |= kNoAux; break;
    case 0xa8: ram_[0] &= static_cast<u8>(~kNoAux); break;
    case 0xa9: reply(0x00); break;                       // the auxiliary interface tests fine
    case 0xaa: status_ |= kSystem; ram_[0] |= kSystem; reply(0x55); break;
    case 0xab: reply(0x00); break;
    case 0xad: ram_[0] |= kNoKeyboard; break;
    case 0xae: ram_[0] &= static_cast<u8>(~kNoKeyboard); break;
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
    default:                                             // to the keyboard, whose interface this enables
      ram_[0] &= static_cast<u8>(~kNoKeyboard);
      to_keyboard(value);
      break;
  }
}

void I8042::keyboard_defaults() { scanning_ = 1, set_ = 2, rate_ = 0x2b; }

void I8042::key(u8 code) {
  if (!scanning_ || sent_.size() >= kBuffer) return;
  answer(code);
  refill();
  update();
}

/// PS/2 "Commands from the System", "Commands to the System"
void I8042::to_keyboard(u8 value) {
  if (sent_.size() >= kMostSent) sent_.clear();          // nobody has read for long: what was said is lost
  const u8 of = wants_;
  wants_ = 0;
  if (of && value < 0xed) {                              // a parameter; a command instead of it ends the waiting
    switch (of) {
      case 0xed: leds_ = value & 7; answer(kAck); return;
      case 0xf3: rate_ = value & 0x7f; answer(kAck); return;
      default:                                           // F0: scan code set, 0 asks for it
        if (value > 3) { answer(kResend); return; }
        answer(kAck);
        if (value) set_ = value;
        else answer(set_);
        return;
    }
  }
  switch (value) {
    case 0xed: case 0xf0: case 0xf3: wants_ = value; answer(kAck); break;
    case 0xee: answer(0xee); break;                      // echo
    case 0xf2: answer(kAck), answer(0xab), answer(0x83); break;
    case 0xf4: sent_.clear(), scanning_ = 1, answer(kAck); break;
    case 0xf5: sent_.clear(), keyboard_defaults(), scanning_ = 0, answer(kAck); break;
    case 0xf6: sent_.clear(), keyboard_defaults(), answer(kAck); break;
    case 0xf7: case 0xf8: case 0xf9: case 0xfa: answer(kAck); break;   // how keys of set 3 repeat
    case 0xfe: answer(last_); break;
    case 0xff: sent_.clear(), keyboard_defaults(), leds_ = 0, answer(kAck), answer(kPassed); break;
    default: answer(kResend); break;
  }
}

}  // namespace vt::emu
