// SPDX-License-Identifier: GPL-2.0-or-later
/// 8254 interval timer, 1193182 Hz: three counters, all modes, binary and BCD, latches and read-back.
/// OUT and counts are exact functions of virtual time; only counter 0 queues events. And the port that
/// holds counter 2's gate.   8254 data sheet; ICH9 data sheet "NMI_SC"
#pragma once
#include "devices/byte_device.hpp"

namespace vt::emu {

/// Range: 4 ports (0x40-0x43).
class Pit8254 final : public ByteDevice, public Timed {
 public:
  static constexpr u64 kHz = 1'193'182;
  Pit8254(Clock& clock, IrqLine& irq0);

  void set_gate(unsigned counter, bool level);  ///< gates 0 and 1 are tied high on a PC
  bool gate(unsigned counter) const { return c_[counter % 3].gate; }
  bool out(unsigned counter);

  std::string_view name() const override { return "pit8254"; }
  void reset() override;
  void state(Ar& ar) override;
  void expire(u32 kind, u64 now) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  enum Phase : u8 { idle, armed, running };
  struct Counter {
    u8 control = 0;          ///< control word 5:0: RW, mode, BCD
    Phase phase = idle;
    u8 gate = 1, hold_out = 0;  ///< hold_out: OUT until the count is loaded
    u8 low = 0, write_high = 0, read_high = 0;
    u8 count_latched = 0, status_latched = 0, status = 0;
    u16 latch = 0, stale = 0;   ///< stale: what the counter shows until it is loaded
    u32 n = 0, next_n = 0;      ///< 1..65536; next_n 0: no new count waits
    i64 start = 0;              ///< tick at which n was loaded
    i64 next_at = 0;            ///< tick at which next_n is (modes 2 and 3)
    i64 held = 0;               ///< ticks counted when the gate fell
    void state(Ar& ar) {
      ar(control, phase, gate, hold_out, low, write_high, read_high, count_latched, status_latched, status, latch, stale, n, next_n,
         start, next_at, held);
    }
    u8 mode() const { const u8 m = (control >> 1) & 7; return m > 5 ? m - 4 : m; }
    bool bcd() const { return control & 1; }
    bool loaded(i64 t) const { return phase == running && t >= start; }
    i64 elapsed(i64 t) const;
    bool out(i64 t) const;
    u16 count(i64 t) const;
    bool null_count(i64 t) const { return !loaded(t) || next_n; }
    i64 next_change(i64 t) const;  ///< tick of the next change of OUT, -1: never
    void sync(i64 t);
    void begin(i64 t, u32 count, bool hold);
    void control_word(u8 word, i64 t);
    void new_count(u16 value, i64 t);
    void set_gate(bool level, i64 t);
    void latch_count(i64 t);
    void latch_status(i64 t);
    u8 read(i64 t);
    void write(u8 value, i64 t);
  };
  i64 tick() const { return static_cast<i64>(ticks_at(clock_.now(), kHz)); }
  void follow(i64 t);  ///< IRQ0 after counter 0 changed
  Clock& clock_;
  IrqLine& irq0_;
  Counter c_[3];
};

/// Port 0x61 (1 port): counter 2's gate and OUT, speaker, NMI sources (none ever asserted), refresh toggle.
class Port61 final : public ByteDevice {
 public:
  Port61(Clock& clock, Pit8254& pit) : clock_(clock), pit_(pit) { reset(); }
  std::string_view name() const override { return "port61"; }
  void reset() override { value_ = 0; pit_.set_gate(2, false); }
  void state(Ar& ar) override { ar(value_); }

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  Clock& clock_;
  Pit8254& pit_;
  u8 value_ = 0;
};

}  // namespace vt::emu
