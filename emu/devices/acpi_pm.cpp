// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/acpi_pm.hpp"

namespace vt::emu {
namespace {
constexpr u16 kStatusBits = 0x8731, kEnableBits = 0x0721;  // TMR, BM, GBL, PWRBTN, SLPBTN, RTC, WAK
constexpr u16 kControlBits = 0x1c02;                       // SLP_TYP, BM_RLD; GBL_RLS and SLP_EN read as zero
constexpr u16 kTimer = 1, kSciEnable = 1, kSleep = 0x20;   // SLP_EN is bit 13: bit 5 of the high byte
}  // namespace

AcpiPm::AcpiPm(Clock& clock, IrqLine& sci, Stop& stop, Config config) : clock_(clock), sci_(sci), stop_(stop), config_(config) { reset(); }

void AcpiPm::reset() {
  status_ = enable_ = 0, control_ = kSciEnable, seen_ = ticks();
  update();
}

void AcpiPm::state(Ar& ar) { ar(status_, enable_, control_, seen_); }

/// TMR_STS is set whenever the top bit of the timer changes.   "Power Management Timer"
void AcpiPm::sync() {
  const u64 now = ticks();
  if (now >> msb() != seen_ >> msb()) status_ |= kTimer;
  seen_ = now;
}

void AcpiPm::update() {
  sync();
  sci_.set(status_ & enable_);
  if ((enable_ & kTimer) && !(status_ & kTimer)) clock_.at(cycle_of_tick(((seen_ >> msb()) + 1) << msb(), kHz), *this, 0);
  else clock_.cancel(*this, 0);
}

void AcpiPm::expire(u32, u64) { update(); }

u8 AcpiPm::read8(u64 offset) {
  sync();
  const u64 shift = 8 * (offset & 1);
  switch (offset) {
    case 0: case 1: return static_cast<u8>(status_ >> shift);
    case 2: case 3: return static_cast<u8>(enable_ >> shift);
    case 4: case 5: return static_cast<u8>(control_ >> shift);
    case 8: case 9: case 10: case 11: {
      const u64 value = seen_ & mask(msb(), 0);
      return static_cast<u8>(value >> (8 * (offset - 8)));
    }
    default: return 0;
  }
}

void AcpiPm::write8(u64 offset, u8 value) {
  sync();
  const u64 shift = 8 * (offset & 1);
  const u16 wide = static_cast<u16>(value << shift), part = static_cast<u16>(0xff << shift);
  switch (offset) {
    case 0: case 1: status_ &= static_cast<u16>(~(wide & kStatusBits)); break;  // write one to clear
    case 2: case 3: enable_ = static_cast<u16>((enable_ & ~part) | (wide & kEnableBits)); break;
    case 4: case 5:
      control_ = static_cast<u16>((control_ & ~(part & kControlBits)) | (wide & kControlBits));
      if (offset == 5 && (value & kSleep) && bits(control_, 12, 10) == config_.s5_type)
        stop_.request(StopReason::power_off, "ACPI S5", "ACPI \"Sleeping/Wake Control\"");
      break;
    default: break;  // the timer is read-only
  }
  update();
}

}  // namespace vt::emu
