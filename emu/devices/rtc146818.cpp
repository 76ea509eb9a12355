// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/rtc146818.hpp"

#include <algorithm>

namespace vt::emu {
namespace {
constexpr unsigned kSecond = 0, kMinute = 2, kHour = 4, kWeekday = 6, kDay = 7, kMonth = 8, kYear = 9, kA = 10, kB = 11, kC = 12, kD = 13,
                   kCentury = 0x32;
constexpr u8 kSet = 0x80, kPie = 0x40, kAie = 0x20, kUie = 0x10, kSqwe = 0x08, kBinary = 0x04, k24h = 0x02;
constexpr i64 kOneSecond = static_cast<i64>(kCyclesPerSecond);
constexpr i64 kUipBefore = (244 + 1984) * (kOneSecond / 1'000'000);  // tBUC and tUC with a 32.768 kHz time base
constexpr u64 kTimeBase = 32768;

unsigned days_in(unsigned month, unsigned year) {
  constexpr u8 kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12) return 31;
  return kDays[month - 1] + (month == 2 && year % 4 == 0);  // two digits: the chip knows nothing of centuries
}
unsigned weekday(unsigned y, unsigned m, unsigned d) {  // Sakamoto; 1 = Sunday
  constexpr u8 kT[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
  if (m < 3) --y;
  return (y + y / 4 - y / 100 + y / 400 + kT[(m - 1) % 12] + d) % 7 + 1;
}
}  // namespace

Rtc146818::Rtc146818(Clock& clock, IrqLine& irq8, const RtcTime& t) : clock_(clock), irq8_(irq8) {
  cmos_[kA] = 0x26, cmos_[kB] = k24h, cmos_[kD] = 0x80;
  put(kSecond, t.second), put(kMinute, t.minute), put(kHour, t.hour), put(kDay, t.day), put(kMonth, t.month), put(kYear, t.year % 100);
  put(kCentury, t.year / 100);
  put(kWeekday, t.day_of_week ? t.day_of_week : weekday(t.year, t.month, t.day));
  second_start_ = static_cast<i64>(clock.now()) - static_cast<i64>(t.nanosecond), periodic_from_ = clock.now();
}

void Rtc146818::reset() {
  sync(clock_.now());
  cmos_[kB] &= static_cast<u8>(~(kPie | kAie | kUie | kSqwe));
  cmos_[kC] = 0, periodic_from_ = clock_.now();
  update(clock_.now());
}

void Rtc146818::state(Ar& ar) { ar(cmos_, index_, second_start_, periodic_from_); }

void Rtc146818::set_memory(u64 below, u64 above) {
  const u64 kib = below >> 10, extended = kib > 1024 ? std::min<u64>(kib - 1024, 0xffff) : 0;
  const u64 chunks = below > (16u << 20) ? std::min<u64>((below - (16u << 20)) >> 16, 0xffff) : 0, high = above >> 16;
  const u64 base = std::min<u64>(kib, 640);
  const auto word = [&](u8 at, u64 v) { cmos_[at] = static_cast<u8>(v), cmos_[at + 1] = static_cast<u8>(v >> 8); };
  word(0x15, base), word(0x17, extended), word(0x30, extended), word(0x34, chunks), word(0x5b, high);
  cmos_[0x5d] = static_cast<u8>(high >> 16);
  cmos_[0x14] = 0x02;  // equipment: a coprocessor, no diskette
  unsigned sum = 0;
  for (unsigned i = 0x10; i <= 0x2d; ++i) sum += cmos_[i];
  cmos_[0x2e] = static_cast<u8>(sum >> 8), cmos_[0x2f] = static_cast<u8>(sum);
}

u8 Rtc146818::get(unsigned index) const {
  u8 v = cmos_[index];
  const bool pm = index == kHour && !(cmos_[kB] & k24h) && (v & 0x80);
  if (index == kHour && !(cmos_[kB] & k24h)) v &= 0x7f;
  if (!(cmos_[kB] & kBinary)) v = static_cast<u8>((v >> 4) * 10 + (v & 15));
  if (index == kHour && !(cmos_[kB] & k24h)) v = static_cast<u8>(v % 12 + (pm ? 12 : 0));
  return v;
}

void Rtc146818::put(unsigned index, unsigned value) {
  u8 pm = 0;
  if (index == kHour && !(cmos_[kB] & k24h)) {
    pm = value >= 12 ? 0x80 : 0;
    value = value % 12 ? value % 12 : 12;
  }
  cmos_[index] = static_cast<u8>(pm | (cmos_[kB] & kBinary ? value : (value / 10 % 10) << 4 | value % 10));
}

void Rtc146818::tick() {
  const auto carry = [&](unsigned index, unsigned limit, unsigned first) {
    const unsigned v = get(index) + 1u;
    put(index, v >= limit ? first : v);
    return v >= limit;
  };
  if (!carry(kSecond, 60, 0) || !carry(kMinute, 60, 0) || !carry(kHour, 24, 0)) return;
  carry(kWeekday, 8, 1);
  if (carry(kDay, days_in(get(kMonth), get(kYear)) + 1, 1) && carry(kMonth, 13, 1) && carry(kYear, 100, 0)) carry(kCentury, 100, 0);
}

bool Rtc146818::alarm_matches() const {  // the alarm bytes follow their time bytes; 11xxxxxx is "don't care"
  for (unsigned i : {kSecond, kMinute, kHour})
    if ((cmos_[i + 1] & 0xc0) != 0xc0 && cmos_[i + 1] != cmos_[i]) return false;
  return true;
}

u64 Rtc146818::next_edge(u64 after) const {
  const unsigned rs = cmos_[kA] & 15;
  if (!rs || !divider_runs()) return ~u64{0};
  const u64 period = u64{1} << (rs < 3 ? rs + 6 : rs - 1);  // of the time base; "Periodic Interrupt Rate"
  const i64 since = static_cast<i64>(after) - second_start_;
  i64 in_second = since % kOneSecond;
  if (in_second < 0) in_second += kOneSecond;
  const i64 base = static_cast<i64>(after) - in_second;     // the pattern repeats every second
  for (u64 k = ticks_at(static_cast<u64>(in_second), kTimeBase) / period + 1;; ++k)
    if (const i64 at = base + static_cast<i64>(cycle_of_tick(k * period, kTimeBase)); at > static_cast<i64>(after)) return static_cast<u64>(at);
}

void Rtc146818::sync(u64 now) {
  if (!divider_runs()) return;
  while (static_cast<i64>(now) - second_start_ >= kOneSecond) {
    second_start_ += kOneSecond;
    if (cmos_[kB] & kSet) continue;  // updates are inhibited, the divider runs on
    tick();
    cmos_[kC] |= kUie;
    if (alarm_matches()) cmos_[kC] |= kAie;
  }
  if (cmos_[kC] & kPie) periodic_from_ = now;  // what has come since changes nothing
  else if (next_edge(periodic_from_) <= now) cmos_[kC] |= kPie, periodic_from_ = now;
}

void Rtc146818::update(u64 now) {
  const bool irq = cmos_[kC] & cmos_[kB] & 0x70;
  cmos_[kC] = static_cast<u8>((cmos_[kC] & 0x70) | (irq ? 0x80 : 0));
  irq8_.set(irq);
  u64 next = ~u64{0};
  if (!irq && divider_runs()) {
    if (cmos_[kB] & kPie) next = next_edge(now);
    if ((cmos_[kB] & (kAie | kUie)) && !(cmos_[kB] & kSet)) next = std::min(next, static_cast<u64>(second_start_ + kOneSecond));
  }
  if (next == ~u64{0}) clock_.cancel(*this, 0);
  else clock_.at(next, *this, 0);
}

void Rtc146818::expire(u32, u64 now) { sync(now); update(now); }

u8 Rtc146818::read8(u64 offset) {
  if (offset != 1) return 0xff;  // the index register is write-only
  const u64 now = clock_.now();
  const u8 at = index_ & 0x7f;
  sync(now);
  u8 value = cmos_[at];
  if (at == kA) {
    value &= 0x7f;
    if (divider_runs() && !(cmos_[kB] & kSet) && static_cast<i64>(now) - second_start_ >= kOneSecond - kUipBefore) value |= 0x80;
  } else if (at == kC) {
    update(now);
    value = cmos_[kC];
    cmos_[kC] = 0;
    periodic_from_ = now;
  }
  update(now);
  return value;
}

void Rtc146818::write8(u64 offset, u8 value) {
  if (offset == 0) { index_ = value; return; }
  if (offset != 1) return;
  const u64 now = clock_.now();
  const u8 at = index_ & 0x7f;
  sync(now);
  switch (at) {
    case kA: {
      const bool ran = divider_runs();
      const u8 rate = cmos_[kA] & 15;
      cmos_[kA] = value & 0x7f;
      // "Divider Control Bits": the first update is half a second after the reset is removed
      if (!ran && divider_runs()) second_start_ = static_cast<i64>(now) - kOneSecond / 2, periodic_from_ = now;
      if (rate != (value & 15)) periodic_from_ = now;
      break;
    }
    case kB:
      if (value & kSet & ~cmos_[kB]) value &= static_cast<u8>(~kUie);  // SET going high clears UIE
      cmos_[kB] = value;
      break;
    case kC: case kD: break;  // read-only
    default: cmos_[at] = value; break;
  }
  update(now);
}

}  // namespace vt::emu
