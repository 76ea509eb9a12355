// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pic8259.hpp"

#include "base/check.hpp"

namespace vt::emu {
namespace {
constexpr u8 kElcrWritable[2] = {0xf8, 0xde};  // IRQ 0, 1, 2, 8 and 13 are edge triggered always
constexpr u8 kCascade = 2;
}  // namespace

Pic8259::Pic8259(IrqLine& intr) : intr_(intr) {
  for (u8 i = 0; i < 16; ++i) input_[i].owner = this, input_[i].n = i;
  reset();
}

/// Before its ICWs an 8259A is undefined; here everything is masked. The lines stay as they are driven.
void Pic8259::reset() {
  for (auto& c : chip_) { const u8 lines = c.lines; c = Chip{}; c.lines = lines; }
  chip_[0].lines &= static_cast<u8>(~(1 << kCascade));
  intr_.set(false);
}

void Pic8259::state(Ar& ar) { ar(chip_); }

IrqLine& Pic8259::input(unsigned n) {
  CHECK(n < 16 && n != kCascade);
  return input_[n];
}

int Pic8259::Chip::highest(u8 set) const {
  for (unsigned i = 1; i <= 8; ++i)
    if (const unsigned level = (lowest + i) & 7; bit(set, level)) return static_cast<int>(level);
  return -1;
}

/// What INT stands for, -1: nothing.   "Fully Nested Mode", "Special Mask Mode", "Special Fully Nested Mode"
int Pic8259::Chip::request(bool nested_cascade) const {
  if (init) return -1;
  const int want = highest(irr & static_cast<u8>(~imr));
  if (want < 0) return -1;
  u8 busy = isr;
  if (special_mask) busy &= static_cast<u8>(~imr);
  if (nested_cascade) busy &= static_cast<u8>(~(1 << kCascade));
  if (bit(busy, static_cast<unsigned>(want))) return -1;
  const int serving = highest(busy);
  if (serving < 0) return want;
  const auto rank = [&](int level) { return (static_cast<unsigned>(level) - lowest - 1) & 7; };
  return rank(want) < rank(serving) ? want : -1;
}

void Pic8259::Chip::take(unsigned level) {
  const u8 m = static_cast<u8>(1 << level);
  if (!(elcr & m)) irr &= static_cast<u8>(~m);  // the edge is used up; a level request stays with its line
  if (icw4 & 2) { if (rotate_aeoi) lowest = static_cast<u8>(level); }  // AEOI: over before it began
  else isr |= m;
}

void Pic8259::Chip::line(unsigned n, bool level) {
  const u8 m = static_cast<u8>(1 << n);
  if (!level) irr &= static_cast<u8>(~m);
  else if ((elcr & m) || !(lines & m)) irr |= m;
  lines = static_cast<u8>(level ? lines | m : lines & ~m);
}

void Pic8259::set_line(unsigned n, bool level) {
  Chip& chip = chip_[n >> 3];
  if (!level && !(chip.lines & (1 << (n & 7)))) return;  // low as before
  chip.line(n & 7, level);
  update();
}

void Pic8259::update() {
  chip_[1].out = pending(1) >= 0;
  chip_[0].line(kCascade, chip_[1].out);
  chip_[0].out = pending(0) >= 0;
  intr_.set(chip_[0].out);
}

u8 Pic8259::inta(unsigned c) {  // "Interrupt Sequence": without a request, the vector of IR7 and no ISR bit
  const int level = pending(c);
  if (level >= 0) chip_[c].take(static_cast<unsigned>(level));
  return static_cast<u8>(level < 0 ? 0x80 | 7 : level);
}

u8 Pic8259::acknowledge() {
  const u8 level = inta(0);
  u8 vector = chip_[0].base | (level & 7);
  if (level == kCascade) {
    chip_[0].line(kCascade, false);  // the slave's INT falls with INTA and may rise anew
    vector = chip_[1].base | (inta(1) & 7);
  }
  intr_.set(false);
  update();
  return vector;
}

u8 Pic8259::read8(u64 offset) {
  if (offset >= 4) return offset < 6 ? chip_[offset - 4].elcr : 0xff;
  const unsigned n = static_cast<unsigned>(offset >> 1);
  Chip& c = chip_[n];
  if (c.poll) {  // "Poll Command": the read pulse is an INTA
    c.poll = 0;
    const u8 level = inta(n);
    if (n == 1 && !(level & 0x80)) chip_[0].line(kCascade, false);
    update();
    return level & 0x80 ? 0 : 0x80 | level;
  }
  if (offset & 1) return c.imr;
  return c.read_isr ? c.isr : c.irr;
}

void Pic8259::write8(u64 offset, u8 value) {
  if (offset >= 4) {
    if (offset >= 6) return;
    Chip& c = chip_[offset - 4];
    c.elcr = value & kElcrWritable[offset - 4];
    c.irr = static_cast<u8>((c.irr & ~c.elcr) | (c.lines & c.elcr));
  } else if (offset & 1) {
    data(static_cast<unsigned>(offset >> 1), value);
  } else {
    command(static_cast<unsigned>(offset >> 1), value);
  }
  update();
}

void Pic8259::command(unsigned n, u8 value) {
  Chip& c = chip_[n];
  if (value & 0x10) {  // ICW1: the edge sense circuit is reset, a line that is high has to fall first
    const u8 lines = c.lines, elcr = c.elcr;
    c = Chip{};
    c.lines = lines, c.elcr = elcr, c.irr = lines & elcr;
    c.imr = 0, c.icw1 = value, c.init = 2;
  } else if (value & 0x08) {  // OCW3
    if (value & 0x40) c.special_mask = (value >> 5) & 1;
    if (value & 0x02) c.read_isr = value & 1;
    c.poll = (value >> 2) & 1;
  } else {  // OCW2
    const u8 level = value & 7;
    switch (value >> 5) {
      case 0: c.rotate_aeoi = 0; break;
      case 4: c.rotate_aeoi = 1; break;
      case 1: case 5: {  // non-specific EOI leaves alone what special mask mode has masked
        const int top = c.highest(c.special_mask ? c.isr & static_cast<u8>(~c.imr) : c.isr);
        c.eoi(top);
        if (value & 0x80 && top >= 0) c.lowest = static_cast<u8>(top);
        break;
      }
      case 3: c.eoi(level); break;
      case 7: c.eoi(level); c.lowest = level; break;
      case 6: c.lowest = level; break;
      default: break;  // no operation
    }
  }
}

void Pic8259::data(unsigned n, u8 value) {
  Chip& c = chip_[n];
  switch (c.init) {
    case 2: c.base = value & 0xf8; c.init = c.icw1 & 2 ? (c.icw1 & 1 ? 4 : 0) : 3; break;
    case 3: c.icw3 = value; c.init = c.icw1 & 1 ? 4 : 0; break;
    case 4: c.icw4 = value & 0x1f; c.init = 0; break;
    default: c.imr = value; break;
  }
}

}  // namespace vt::emu
