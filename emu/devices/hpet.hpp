// SPDX-License-Identifier: GPL-2.0-or-later
/// HPET: one block of three timers, each 64 bits and periodic; 14.318180 MHz; legacy replacement; no FSB
/// delivery. A match is the main counter *reaching* the comparator. An edge interrupt leaves its line
/// high until the next one, or until it is disabled.   IA-PC HPET specification "Register Model"
#pragma once
#include "emu/device.hpp"

namespace vt::emu {

/// Where its interrupts go.
class HpetRoutes {
 public:
  virtual ~HpetRoutes() = default;
  virtual IrqLine& line(unsigned gsi) = 0;            ///< I/O APIC input; only what kRouteCap names is asked for
  virtual IrqLine& legacy_line(unsigned timer) = 0;   ///< 0: in place of the PIT (IRQ0), 1: of the RTC (IRQ8)
  virtual void legacy_replacement(bool on) = 0;       ///< LEG_RT_CNF changed
};

/// Range: 1 KiB at the block's address.
class Hpet final : public Device, public Timed {
 public:
  static constexpr u64 kHz = 14'318'180;
  static constexpr u32 kPeriodFs = 69'841'279;
  static constexpr u32 kRouteCap[3] = {0x00f00000, 0x00f00000, 0x00f00800};  ///< Tn_INT_ROUTE_CAP
  Hpet(Clock& clock, HpetRoutes& routes);

  std::string_view name() const override { return "hpet"; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() override;
  void state(Ar& ar) override;
  void expire(u32 kind, u64 now) override;

 private:
  struct Timer {
    u64 config = 0, comparator = 0, period = 0;
    u64 seen = 0;   ///< main counter up to which matches are accounted for
    u8 high = 0;    ///< the line as driven
    void state(Ar& ar) { ar(config, comparator, period, seen, high); }
    bool level() const { return config & 2; }
    bool enabled() const { return config & 4; }
    bool periodic() const { return config & 8; }
    bool narrow() const { return config & 0x100; }
    u64 distance() const;  ///< ticks from `seen` to the match, never 0; 0 stands for 2^64
  };
  bool running() const { return general_ & 1; }
  bool legacy() const { return general_ & 2; }
  u64 counter() const;
  IrqLine* line(unsigned n);
  void drive(unsigned n, bool high);
  void sync(unsigned n);
  void sync_all() { for (unsigned n = 0; n < 3; ++n) sync(n); }
  void schedule(unsigned n);
  void refresh(unsigned n);
  u64 read64(u64 offset);
  void write_register(u64 offset, u64 value, u64 touched);

  Clock& clock_;
  HpetRoutes& routes_;
  u64 general_ = 0, status_ = 0;
  u64 base_ = 0;    ///< the counter when it was last started, stopped or written
  u64 origin_ = 0;  ///< tick of that moment
  Timer t_[3];
};

}  // namespace vt::emu
