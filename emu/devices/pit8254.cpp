// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pit8254.hpp"

#include <algorithm>

namespace vt::emu {
namespace {
u32 from_bcd(u16 v) { return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12) * 1000u; }
u16 to_bcd(u32 v) { return static_cast<u16>(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12); }
}  // namespace

i64 Pit8254::Counter::elapsed(i64 t) const {
  if (phase != running) return 0;
  const u8 m = mode();
  if (!gate && m != 1 && m != 5) return held;
  return std::max<i64>(t - start, 0);
}

bool Pit8254::Counter::out(i64 t) const {  // "Mode Definitions"
  const u8 m = mode();
  if (phase != running) return m != 0 && control;  // modes 1-5 start high; not programmed: low
  if ((m == 2 || m == 3) && !gate) return true;
  if (t < start) return hold_out;
  const i64 d = elapsed(t);
  switch (m) {
    case 0: return d >= n;
    case 1: return d >= n;
    case 2: return n < 2 || d % n != n - 1;
    case 3: return n < 2 || d % n < (n + 1) / 2;
    default: return d != n;
  }
}

u16 Pit8254::Counter::count(i64 t) const {
  if (!loaded(t)) return stale;
  const i64 d = elapsed(t);
  i64 value;
  switch (mode()) {
    case 2: value = n - d % n; break;
    case 3: {  // counts by two; an odd count is loaded as one less and spends one clock more in the high half
      const i64 high = (n + 1) / 2, pos = d % n;
      value = (n & ~i64{1}) - 2 * (pos < high ? pos : pos - high);
      break;
    }
    default: value = n - d; break;
  }
  if (!bcd()) return static_cast<u16>(value);
  return to_bcd(static_cast<u32>((value % 10000 + 10000) % 10000));
}

i64 Pit8254::Counter::next_change(i64 t) const {
  if (phase != running) return -1;
  const i64 d = elapsed(t), size = n;
  const bool wait = t < start;
  switch (mode()) {
    case 0: return gate && (wait || d < size) ? start + size : -1;
    case 1: return wait ? start : d < size ? start + size : -1;
    case 2: {
      if (size < 2 || !gate) return -1;
      if (wait) return start + size - 1;
      const i64 pos = d % size;
      return pos < size - 1 ? t + size - 1 - pos : t + 1;
    }
    case 3: {
      if (size < 2 || !gate) return -1;
      const i64 high = (size + 1) / 2;
      if (wait) return start + high;
      const i64 pos = d % size;
      return pos < high ? t + high - pos : t + size - pos;
    }
    default:
      if (mode() == 4 && !gate) return -1;
      return wait || d < size ? start + size : d == size ? t + 1 : -1;
  }
}

/// A new count of modes 2 and 3 takes over at the end of the cycle (mode 3: half cycle) it was written in.
void Pit8254::Counter::sync(i64 t) {
  if (!next_n || phase != running || !gate || (mode() != 2 && mode() != 3) || t < next_at) return;
  const bool half = mode() == 3 && next_at - start < static_cast<i64>(n);
  n = next_n, next_n = 0;
  start = half ? next_at - (n + 1) / 2 : next_at;
}

void Pit8254::Counter::begin(i64 t, u32 size, bool hold) {  // the count is loaded on the next CLK
  const u16 shown = count(t);
  stale = shown, hold_out = hold, n = size, next_n = 0, start = t + 1, held = 0, phase = running;
}

void Pit8254::Counter::control_word(u8 word, i64 t) {
  stale = count(t);
  control = word & 0x3f;
  phase = idle, next_n = 0, held = 0;
  write_high = read_high = count_latched = status_latched = 0;
  hold_out = mode() != 0;
}

void Pit8254::Counter::new_count(u16 value, i64 t) {
  sync(t);
  u32 size = bcd() ? from_bcd(value) : value;
  if (!size) size = bcd() ? 10000 : 0x10000;
  switch (mode()) {
    case 0: begin(t, size, false); break;
    case 4: begin(t, size, true); break;
    case 1: case 5: next_n = size; if (phase == idle) phase = armed; break;  // waits for the trigger
    default:
      if (phase == idle) { begin(t, size, true); break; }
      if (t < start) { n = size; break; }  // not loaded yet: replaced
      next_n = size;
      const i64 d = elapsed(t), base = t - d % n, high = (n + 1) / 2;
      start = base;  // the same wave, counted from this cycle
      next_at = mode() == 3 && d % n < high ? base + high : base + n;
      if (!gate) start = t - d, next_at = t;
      break;
  }
}

void Pit8254::Counter::set_gate(bool level, i64 t) {
  sync(t);
  if (level == static_cast<bool>(gate)) return;
  if (!level) { held = elapsed(t); gate = 0; return; }
  const u32 size = next_n ? next_n : n;
  switch (mode()) {
    case 0: case 4: gate = 1; if (phase == running) start = std::max(start, t - held); break;
    case 1: case 5:
      if (phase != idle) { const bool o = out(t); gate = 1; begin(t, size, o); next_n = 0; }
      gate = 1;
      break;
    default: if (phase == running) begin(t, size, true); gate = 1; break;  // counting starts anew
  }
}

void Pit8254::Counter::latch_count(i64 t) { if (!count_latched) count_latched = 1, latch = count(t); }
void Pit8254::Counter::latch_status(i64 t) {
  if (status_latched) return;
  status_latched = 1, status = static_cast<u8>((out(t) ? 0x80 : 0) | (null_count(t) ? 0x40 : 0) | control);
}

u8 Pit8254::Counter::read(i64 t) {
  if (status_latched) { status_latched = 0; return status; }
  const u16 value = count_latched ? latch : count(t);
  const u8 rw = control >> 4;
  const bool high = rw == 2 || (rw == 3 && read_high);
  if (rw == 3) read_high ^= 1;
  if (rw != 3 || high) count_latched = 0;
  return static_cast<u8>(high ? value >> 8 : value);
}

void Pit8254::Counter::write(u8 value, i64 t) {
  switch (control >> 4) {
    case 1: new_count(value, t); break;
    case 2: new_count(static_cast<u16>(value << 8), t); break;
    case 3:
      if (!write_high) {
        low = value, write_high = 1;
        if (mode() == 0) stale = count(t), phase = idle;  // the first byte stops counting, OUT goes low
      } else {
        write_high = 0;
        new_count(static_cast<u16>(value << 8 | low), t);
      }
      break;
    default: break;  // no control word yet
  }
}

Pit8254::Pit8254(Clock& clock, IrqLine& irq0) : clock_(clock), irq0_(irq0) { reset(); }

void Pit8254::reset() {  // undefined until programmed: idle and OUT low here
  for (auto& c : c_) { const u8 gate = c.gate; c = Counter{}; c.gate = gate; }
  follow(tick());
}

void Pit8254::state(Ar& ar) { ar(c_); }

bool Pit8254::out(unsigned counter) { auto& c = c_[counter % 3]; const i64 t = tick(); c.sync(t); return c.out(t); }

void Pit8254::set_gate(unsigned counter, bool level) {
  c_[counter % 3].set_gate(level, tick());
  if (counter == 0) follow(tick());
}

void Pit8254::follow(i64 t) {
  c_[0].sync(t);
  irq0_.set(c_[0].out(t));
  const i64 next = c_[0].next_change(t);
  if (next < 0) clock_.cancel(*this, 0);
  else clock_.at(cycle_of_tick(static_cast<u64>(next), kHz), *this, 0);
}

void Pit8254::expire(u32, u64 now) { follow(static_cast<i64>(ticks_at(now, kHz))); }

u8 Pit8254::read8(u64 offset) {
  if (offset >= 3) return 0xff;  // the control word register is write-only
  const i64 t = tick();
  c_[offset].sync(t);
  return c_[offset].read(t);
}

void Pit8254::write8(u64 offset, u8 value) {
  const i64 t = tick();
  if (offset < 3) {
    c_[offset].sync(t);
    c_[offset].write(value, t);
    if (offset == 0) follow(t);
    return;
  }
  const unsigned select = value >> 6;
  if (select == 3) {  // "Read-Back Command": bits 5 and 4 are active low
    for (unsigned i = 0; i < 3; ++i) {
      if (!bit(value, i + 1)) continue;
      c_[i].sync(t);
      if (!(value & 0x20)) c_[i].latch_count(t);
      if (!(value & 0x10)) c_[i].latch_status(t);
    }
    return;
  }
  c_[select].sync(t);
  if (!(value & 0x30)) c_[select].latch_count(t);
  else c_[select].control_word(value, t);
  if (select == 0) follow(t);
}

u8 Port61::read8(u64) {
  const u64 refresh = ticks_at(clock_.now(), Pit8254::kHz) / 18;  // every 15 us, as counter 1 did
  return static_cast<u8>((value_ & 0x0f) | (refresh & 1) << 4 | (pit_.out(2) ? 0x20 : 0));
}

void Port61::write8(u64, u8 value) {
  value_ = value & 0x0f;
  pit_.set_gate(2, value & 1);
}

}  // namespace vt::emu
