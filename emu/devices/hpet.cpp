// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/hpet.hpp"

#include "base/bits.hpp"

namespace vt::emu {
namespace {
constexpr u64 kCapId = u64{Hpet::kPeriodFs} << 32 | 0x8086u << 16 | 1 << 15 | 1 << 13 | 2 << 8 | 1;
constexpr u64 kConfWritable = 0x3f4e;  // INT_TYPE, INT_ENB, TYPE, VAL_SET, 32MODE, INT_ROUTE
constexpr u64 kFixed = 0x30;           // PER_INT_CAP, SIZE_CAP
constexpr u64 kFarTicks = u64{1} << 56;  // an event further off is beyond any run
}  // namespace

u64 Hpet::Timer::distance() const {
  if (!narrow()) return comparator - seen;
  const u32 d = static_cast<u32>(comparator) - static_cast<u32>(seen);
  return d ? d : u64{1} << 32;
}

Hpet::Hpet(Clock& clock, HpetRoutes& routes) : clock_(clock), routes_(routes) { reset(); }

void Hpet::reset() {
  for (unsigned n = 0; n < 3; ++n) {
    drive(n, false);
    t_[n] = Timer{};
    t_[n].comparator = ~u64{0};
    clock_.cancel(*this, n);
  }
  const bool was = legacy();
  general_ = status_ = base_ = 0;
  origin_ = ticks_at(clock_.now(), kHz);
  if (was) routes_.legacy_replacement(false);
}

void Hpet::state(Ar& ar) { ar(general_, status_, base_, origin_, t_); }

u64 Hpet::counter() const { return running() ? base_ + (ticks_at(clock_.now(), kHz) - origin_) : base_; }

IrqLine* Hpet::line(unsigned n) {
  if (legacy() && n < 2) return &routes_.legacy_line(n);
  const unsigned gsi = static_cast<unsigned>(bits(t_[n].config, 13, 9));
  return bit(kRouteCap[n], gsi) ? &routes_.line(gsi) : nullptr;
}

void Hpet::drive(unsigned n, bool high) {
  if (t_[n].high == static_cast<u8>(high)) return;
  t_[n].high = high;
  if (auto* l = line(n)) l->set(high);
}

/// Accounts for the matches since the last look.   "Timer Comparators"
void Hpet::sync(unsigned n) {
  Timer& t = t_[n];
  if (!running()) return;
  const u64 now = counter(), elapsed = now - t.seen, d = t.distance();
  const bool matched = d && d <= elapsed;
  if (matched && t.periodic() && t.period) {  // the comparator moves on by the last value written
    const u64 times = (elapsed - d) / t.period + 1;
    t.comparator += times * t.period;
    if (t.narrow()) t.comparator &= 0xffffffff;
  }
  t.seen = now;
  if (!matched) return;
  if (t.level()) {
    status_ |= u64{1} << n;
    drive(n, t.enabled());
  } else if (t.enabled()) {
    drive(n, false);
    drive(n, true);
  }
}

void Hpet::schedule(unsigned n) {
  const Timer& t = t_[n];
  const u64 d = t.distance();
  if (!running() || !t.enabled() || !d || d > kFarTicks) { clock_.cancel(*this, n); return; }
  clock_.at(cycle_of_tick(ticks_at(clock_.now(), kHz) + d, kHz), *this, n);
}

void Hpet::refresh(unsigned n) {  // after a configuration change: what the line should be
  const Timer& t = t_[n];
  if (!t.enabled() || !running()) drive(n, false);
  else if (t.level()) drive(n, bit(status_, n));
  schedule(n);
}

void Hpet::expire(u32 kind, u64) {
  if (kind >= 3) return;
  sync(kind);
  schedule(kind);
}

u64 Hpet::read64(u64 offset) {
  switch (offset) {
    case 0x000: return kCapId;
    case 0x010: return general_;
    case 0x020: return status_;
    case 0x0f0: return counter();
    default: break;
  }
  if (offset < 0x100 || offset >= 0x160) return 0;
  const unsigned n = static_cast<unsigned>((offset - 0x100) / 0x20);
  switch (offset & 0x1f) {
    case 0x00: return t_[n].config | kFixed | u64{kRouteCap[n]} << 32;
    case 0x08: return t_[n].narrow() ? t_[n].comparator & 0xffffffff : t_[n].comparator;
    default: return 0;  // FSB route: not offered
  }
}

u64 Hpet::read(u64 offset, unsigned size) {
  sync_all();
  const u64 at = offset & 7, first = read64(offset & ~u64{7}) >> (8 * at);
  const u64 rest = at + size > 8 ? read64((offset & ~u64{7}) + 8) << (8 * (8 - at)) : 0;
  return size == 8 ? first | rest : (first | rest) & mask(8 * size - 1, 0);
}

void Hpet::write(u64 offset, unsigned size, u64 value) {
  sync_all();
  const u64 at = offset & 7, m = size == 8 ? ~u64{0} : mask(8 * size - 1, 0), reg = offset & ~u64{7};
  const auto put = [&](u64 r, u64 v, u64 touched) {
    if (touched) write_register(r, r == 0x020 ? v & touched : (read64(r) & ~touched) | (v & touched), touched);
  };
  put(reg, value << (8 * at), m << (8 * at));
  if (at + size > 8) put(reg + 8, value >> (8 * (8 - at)), m >> (8 * (8 - at)));
}

void Hpet::write_register(u64 offset, u64 value, u64 touched) {
  const u64 now = counter();
  if (offset == 0x010) {
    const u64 was = general_;
    if ((was ^ value) & 3)
      for (unsigned n = 0; n < 3; ++n) drive(n, false);  // before routes or the counter change
    general_ = value & 3;
    base_ = now, origin_ = ticks_at(clock_.now(), kHz);
    if ((was ^ general_) & 2) routes_.legacy_replacement(legacy());
    for (unsigned n = 0; n < 3; ++n) refresh(n);
  } else if (offset == 0x020) {
    status_ &= ~(value & 7);  // write one to clear
    for (unsigned n = 0; n < 3; ++n)
      if (t_[n].level()) refresh(n);
  } else if (offset == 0x0f0) {
    base_ = value, origin_ = ticks_at(clock_.now(), kHz);
    for (unsigned n = 0; n < 3; ++n) t_[n].seen = value, schedule(n);
  } else if (offset >= 0x100 && offset < 0x160) {
    const unsigned n = static_cast<unsigned>((offset - 0x100) / 0x20);
    Timer& t = t_[n];
    if ((offset & 0x1f) == 0) {
      u64 next = value & kConfWritable;
      if (!bit(kRouteCap[n], static_cast<unsigned>(bits(next, 13, 9)))) next = set_bits(next, 13, 9, bits(t.config, 13, 9));
      if ((next ^ t.config) & 0x3e02) drive(n, false);  // the route or the kind of interrupt changes
      if (!(next & 2)) status_ &= ~(u64{1} << n);
      t.config = next;
      if (t.narrow()) t.comparator &= 0xffffffff;
      refresh(n);
    } else if ((offset & 0x1f) == 8) {
      if (t.narrow()) { value &= 0xffffffff; if (!static_cast<u32>(touched)) return; }
      if (!t.periodic() || (t.config & 0x40)) t.comparator = value;
      if (t.periodic()) {
        // The period is the last value *written*: of a half, only that half.
        t.period = (t.period & ~touched) | (value & touched);
        if (t.narrow()) t.period &= 0xffffffff;
      }
      t.config &= ~u64{0x40};  // VAL_SET clears itself
      t.seen = now;
      schedule(n);
    }
  }
}

}  // namespace vt::emu
