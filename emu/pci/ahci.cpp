// SPDX-License-Identifier: GPL-2.0-or-later
/// AHCI 1.3.1 "HBA Memory Registers", "Port Registers", "HBA Reset", "Port Reset", "Interrupts"
#include "pci/ahci.hpp"

#include <utility>

#include "base/bits.hpp"
#include "base/check.hpp"

namespace vt::emu::pci {
namespace {

// 32 slots, PIO with several DRQ blocks, AHCI only, 3 Gbit/s, command list override, staggered spin-up left out, queuing, 64-bit addresses.
constexpr u32 kCap = (Ahci::kPorts - 1) | (Ahci::kSlots - 1) << 8 | 1u << 15 | 1u << 18 | 2u << 20 | 1u << 24 | 1u << 30 | 1u << 31;
constexpr u32 kVersion = 0x00010301;
constexpr u32 kStart = 1, kSpinUp = 2, kPowerOn = 4, kOverride = 8, kReceive = 0x10, kReceiving = 0x4000, kListRunning = 0x8000;
constexpr u32 kCommandWritable = 0x0b000000u | kStart | kSpinUp | kPowerOn | kReceive | 0xf0000000u;
constexpr u32 kInterrupts = 0xfdc000ff;
constexpr u32 kEstablished = 0x123;   // SSTS: active, 3 Gbit/s, device present

}  // namespace

Ahci::Ahci(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx, const std::array<Disk*, kPorts>& disks)
    : Endpoint(std::move(spec), mapper, dma, clock, intx), disks_(disks), implemented_((1u << kPorts) - 1) {
  for (unsigned n = 0; n < kPorts; ++n) reset_port(n, true);
}

void Ahci::reset() {
  reset_controller();
  for (unsigned n = 0; n < kPorts; ++n) port_[n].clb = port_[n].fb = 0;
  Endpoint::reset();
}

void Ahci::state(Ar& ar) {
  Function::state(ar);
  ar(ghc_, is_, port_);
}

/// GHC.HR: all but the addresses that software gave.
void Ahci::reset_controller() {
  ghc_ = 0x80000000, is_ = 0;
  for (unsigned n = 0; n < kPorts; ++n) {
    cancel(n);
    const Port was = std::exchange(port_[n], {});
    port_[n].clb = was.clb, port_[n].fb = was.fb;
    reset_port(n, true);
  }
  update_interrupts();
}

/// After power-on or COMRESET: the link comes up and, once FISes are received, the device tells its signature.
void Ahci::reset_port(unsigned n, bool power_on) {
  Port& p = port_[n];
  if (power_on) p.cmd = kSpinUp | kPowerOn;
  p.tfd = 0x7f, p.sig = ~u32{0}, p.srst = 0, p.multiple = 0, p.write_cache = p.look_ahead = 1, p.standby = 0, p.queue_error = 0;
  p.sact = p.ci = 0;
  p.ssts = disks_[n] ? kEstablished : 0;
  if (disks_[n] && power_on) p.tfd = 0x150, p.sig = 0x101;
}

void Ahci::link_up(unsigned n) {
  Port& p = port_[n];
  if (!disks_[n] || (p.sctl & 0xf)) return;
  p.ssts = kEstablished;
  p.serr |= 1u << 26;                        // DIAG.X: a device has come
  signature(n);
}

u32 Ahci::dword(u64 offset) const {
  switch (offset) {
    case 0x00: return kCap;
    case 0x04: return ghc_;
    case 0x08: return is_;
    case 0x0c: return implemented_;
    case 0x10: return kVersion;
    default: break;
  }
  if (offset < 0x100 || offset >= 0x100 + 0x80 * kPorts) return 0;
  const Port& p = port_[(offset - 0x100) / 0x80];
  switch (offset % 0x80) {
    case 0x00: return static_cast<u32>(p.clb);
    case 0x04: return static_cast<u32>(p.clb >> 32);
    case 0x08: return static_cast<u32>(p.fb);
    case 0x0c: return static_cast<u32>(p.fb >> 32);
    case 0x10: return p.is | (p.serr & 1u << 26 ? ahci_is::connect : 0) | (p.serr & 1u << 16 ? ahci_is::phy : 0);
    case 0x14: return p.ie;
    case 0x18: return p.cmd | (p.cmd & kReceive ? kReceiving : 0) | (p.cmd & kStart ? kListRunning : 0);
    case 0x20: return p.tfd;
    case 0x24: return p.sig;
    case 0x28: return p.ssts;
    case 0x2c: return p.sctl;
    case 0x30: return p.serr;
    case 0x34: return p.sact;
    case 0x38: return p.ci;
    default: return 0;
  }
}

u64 Ahci::register_read(unsigned, u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) value |= u64{static_cast<u8>(dword((offset + i) & ~u64{3}) >> (8 * ((offset + i) & 3)))} << (8 * i);
  return value;
}

/// Accesses are of dwords; "software must not" write narrower ones, and they are dropped.
void Ahci::register_write(unsigned, u64 offset, unsigned size, u64 value) {
  if (size < 4 || offset % 4) return;
  for (unsigned i = 0; i < size; i += 4) write_dword(offset + i, static_cast<u32>(value >> (8 * i)));
}

void Ahci::write_dword(u64 offset, u32 v) {
  switch (offset) {
    case 0x04:
      if (v & 1) return reset_controller();
      ghc_ = (ghc_ & ~u32{2}) | (v & 2);
      return update_interrupts();
    case 0x08:
      is_ &= ~v;
      return update_interrupts();
    default: break;
  }
  if (offset >= 0x100 && offset < 0x100 + 0x80 * kPorts) write_port(static_cast<unsigned>((offset - 0x100) / 0x80), offset % 0x80, v);
}

void Ahci::write_port(unsigned n, u64 reg, u32 v) {
  Port& p = port_[n];
  const auto half = [v](u64& r, bool high, u32 mask) { r = high ? (r & 0xffffffff) | u64{v} << 32 : (r & ~u64{0xffffffff}) | (v & mask); };
  switch (reg) {
    case 0x00: case 0x04: half(p.clb, reg == 0x04, ~u32{0x3ff}); break;
    case 0x08: case 0x0c: half(p.fb, reg == 0x0c, ~u32{0xff}); break;
    case 0x10: p.is &= ~v; break;
    case 0x14: p.ie = v & kInterrupts; break;
    case 0x18: write_command(n, v); break;
    case 0x2c: {
      const u32 was = std::exchange(p.sctl, v & 0xfff);
      if ((v & 0xf) == 1 && (was & 0xf) != 1) {          // COMRESET
        cancel(n), p.busy = 0;
        reset_port(n, false);
        p.ssts = 0;
      } else if ((v & 0xf) == 4) {                       // offline
        p.ssts = 4;
      } else if (!(v & 0xf) && (was & 0xf)) {
        if (disks_[n]) p.tfd |= 0x80;                    // busy until it has told its signature
        after(kLinkDelay, n + kPorts);
      }
      break;
    }
    case 0x30: p.serr &= ~v; break;
    case 0x34: if (p.cmd & kStart) p.sact |= v; break;
    case 0x38:
      if (p.cmd & kStart) p.ci |= v;
      kick(n);
      break;
    default: break;
  }
  update_interrupts();
}

/// "Port x Command and Status"
void Ahci::write_command(unsigned n, u32 v) {
  Port& p = port_[n];
  const u32 was = p.cmd;
  p.cmd = (was & 0x1f00) | (v & kCommandWritable & ~0xf0000000u);           // ICC: the link is as it was wanted at once
  if ((v & kOverride) && !(was & kStart)) p.tfd &= ~u32{0x88};
  if ((was & kStart) && !(p.cmd & kStart)) {
    cancel(n);
    p.ci = p.sact = 0, p.busy = 0, p.halted = 0;
  }
  if (!(was & kReceive) && (p.cmd & kReceive) && disks_[n] && p.ssts == kEstablished && !(p.tfd & 0x80)) signature(n);
  kick(n);
}

/// One event of a port: the next command, one delay from now.
void Ahci::kick(unsigned n) {
  Port& p = port_[n];
  if (p.busy || !running(p) || !p.ci) return;
  p.busy = 1;
  after(kDelay, n);
}

void Ahci::expire(u32 kind, u64) {
  if (kind >= kPorts) {
    CHECK(kind < 2 * kPorts);
    link_up(kind - kPorts);
    return update_interrupts();
  }
  Port& p = port_[kind];
  p.busy = 0;
  if (!running(p) || !p.ci) return;
  execute(kind, static_cast<unsigned>(std::countr_zero(p.ci)));
  kick(kind);
  update_interrupts();
}

void Ahci::interrupt(unsigned n, u32 what) { port_[n].is |= what; }

/// A port's enabled interrupt sets its bit of IS, which software clears after the port's; each bit that comes up is a message. The pin is a level.
void Ahci::update_interrupts() {
  u32 now = is_;
  for (unsigned n = 0; n < kPorts; ++n)
    if (dword(0x110 + 0x80 * n) & port_[n].ie) now |= 1u << n;
  const u32 fresh = now & ~is_;
  is_ = now;
  const bool enabled = ghc_ & 2;
  if (fresh && enabled) message(0);
  set_intx(enabled && is_);
}

}  // namespace vt::emu::pci
