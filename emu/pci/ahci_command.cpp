// SPDX-License-Identifier: GPL-2.0-or-later
/// Command lists, PRDs and FISes.   AHCI 1.3.1 "Command List Structure", "Command Table", "Received FIS Structure"; Serial ATA "FIS Types"
#include <algorithm>

#include "pci/ahci.hpp"

namespace vt::emu::pci {
namespace {

constexpr u32 kReceive = 0x10;
constexpr u8 kReady = 0x50, kErrorBit = 1;
enum Fis : u8 { kHostToDevice = 0x27, kDeviceToHost = 0x34, kPioSetup = 0x5f, kDeviceBits = 0xa1 };
constexpr unsigned kPioAt = 0x20, kD2hAt = 0x40, kBitsAt = 0x58;

bool queued(u8 command) { return command == 0x60 || command == 0x61; }

}  // namespace

/// Into the area of received FISes; while FRE is off they are dropped.
bool Ahci::post(unsigned n, unsigned at, const void* fis, std::size_t size) {
  if (!(port_[n].cmd & kReceive) || store(port_[n].fb + at, fis, size)) return true;
  interrupt(n, ahci_is::host_bus);
  port_[n].halted = 1;
  return false;
}

/// What a disk says of itself after a reset: ready, diagnostics passed, signature of an ATA device.
void Ahci::signature(unsigned n) {
  Port& p = port_[n];
  p.tfd = 0x150, p.sig = 0x101;
  std::array<u8, 20> fis{kDeviceToHost, 0, kReady, 1, 1, 0, 0, 0};
  fis[12] = 1;
  post(n, kD2hAt, fis.data(), fis.size());
}

/// Where the data are, in order; calls f(address, offset, size) until `bytes` are placed or the table ends. False: an access was refused.
template <class F>
bool Ahci::pieces(Task& t, std::size_t bytes, F f) {
  struct Prd { u64 address; u32 reserved, count; };
  for (unsigned k = 0; k < t.entries() && t.moved < bytes; ++k) {
    Prd d;
    if (!fetch(t.table + 0x80 + u64{16} * k, &d, sizeof d)) return false;
    const u32 size = static_cast<u32>(std::min<std::size_t>((d.count & 0x3fffff) + 1, bytes - t.moved));
    if (!f(d.address & ~u64{1}, t.moved, size)) return false;
    t.moved += size;
  }
  return true;
}

bool Ahci::to_host(Task& t, const std::vector<u8>& bytes) {
  return pieces(t, bytes.size(), [&](u64 at, u32 offset, u32 size) { return store(at, &bytes[offset], size); });
}

bool Ahci::from_host(Task& t, std::vector<u8>& bytes) {
  return pieces(t, bytes.size(), [&](u64 at, u32 offset, u32 size) { return fetch(at, &bytes[offset], size); });
}

void Ahci::execute(unsigned n, unsigned slot) {
  Port& p = port_[n];
  Task t{n, slot};
  u32 header[4];
  bool ok = fetch(p.clb + u64{32} * slot, header, sizeof header);
  if (ok) {
    t.header = header[0];
    t.table = (header[2] & ~u32{0x7f}) | u64{header[3]} << 32;
    ok = fetch(t.table, t.fis.data(), t.fis.size());
  }
  p.cmd = (p.cmd & ~u32{0x1f00}) | slot << 8;            // CCS
  if (!ok) {                                             // "System Memory Errors": it cannot go on
    interrupt(n, ahci_is::host_bus);
    p.halted = 1;
    return;
  }
  const bool command = t.fis[1] & 0x80;
  if (t.fis[0] != kHostToDevice || !disks_[n]) {         // nobody at the other end understands it: it stays busy, software times out
    p.tfd |= 0x80;
    p.halted = 1;
    return;
  }
  if (!command) {                                        // device control: SRST
    const bool srst = t.fis[15] & 4;
    p.ci &= ~(1u << slot);
    if (srst) {
      p.tfd = 0x80, p.srst = 1;
    } else if (p.srst) {
      p.srst = 0, p.multiple = 0, p.queue_error = 0;
      signature(n);
      interrupt(n, ahci_is::d2h);
    }
    return;
  }
  p.standby = 0;
  bool pio = false;
  const End e = ata(t, pio);
  const u32 moved = t.moved;
  if (e != End::host_bus && !store(p.clb + u64{32} * slot + 4, &moved, 4)) return finish(t, End::host_bus);   // PRDBC
  if (pio && e == End::good) {                           // data in: its end is all that is told; data out: a D2H FIS follows
    const bool in = !(t.header >> 6 & 1);
    std::array<u8, 20> fis{kPioSetup, static_cast<u8>(in ? 0x60 : 0), kReady | 8, 0};
    std::copy(t.fis.begin() + 4, t.fis.begin() + 14, fis.begin() + 4);
    fis[15] = kReady, fis[16] = static_cast<u8>(moved), fis[17] = static_cast<u8>(moved >> 8);
    if (!post(n, kPioAt, fis.data(), fis.size())) return;
    if (in) {
      p.tfd = kReady;
      p.ci &= ~(1u << slot);
      return interrupt(n, ahci_is::pio);
    }
  }
  queued(t.command()) ? finish_queued(t, e) : finish(t, e);
}

namespace {
/// Error register: ABRT, IDNF.
u8 error_of(bool aborted) { return aborted ? 0x04 : 0x10; }
}  // namespace

void Ahci::finish(Task& t, End e) {
  Port& p = port_[t.port];
  if (e == End::host_bus) {
    interrupt(t.port, ahci_is::host_bus);
    p.halted = 1;
    return;
  }
  const bool good = e == End::good;
  const u8 status = kReady | (good ? 0 : kErrorBit), error = good ? 0 : error_of(e == End::aborted);
  std::array<u8, 20> fis{kDeviceToHost, 0x40, status, error};
  std::copy(t.fis.begin() + 4, t.fis.begin() + 14, fis.begin() + 4);
  fis[11] = 0;
  p.tfd = status | u32{error} << 8;
  if (!good) p.halted = 1;                               // PxCI keeps the bit of the command that failed
  else p.ci &= ~(1u << t.slot);
  if (post(t.port, kD2hAt, fis.data(), fis.size())) interrupt(t.port, ahci_is::d2h | (good ? 0 : ahci_is::task_file));
}

/// Serial ATA "FPDMA Queued": accepted at once, finished by a Set Device Bits FIS; an error stops the queue until its log page was read.
void Ahci::finish_queued(Task& t, End e) {
  Port& p = port_[t.port];
  if (e == End::host_bus) return finish(t, e);
  const u32 tag = t.fis[12] >> 3;
  p.ci &= ~(1u << t.slot);
  if (e == End::good) {
    p.sact &= ~(1u << tag);
    p.tfd = kReady;
    const u32 fis[2] = {u32{kDeviceBits} | 0x4000u | u32{kReady & 0x70} << 16, 1u << tag};
    if (post(t.port, kBitsAt, fis, sizeof fis)) interrupt(t.port, ahci_is::device_bits);
    return;
  }
  const u8 status = kReady | kErrorBit, error = error_of(e == End::aborted);
  p.last = {kDeviceToHost, 0, status, error};
  std::copy(t.fis.begin() + 4, t.fis.begin() + 14, p.last.begin() + 4);
  p.queue_error = static_cast<u8>(0x80 | tag);
  p.tfd = status | u32{error} << 8;
  p.halted = 1;
  const u32 fis[2] = {u32{kDeviceBits} | 0x4000u | u32{status & 0x77} << 16 | u32{error} << 24, 0};
  if (post(t.port, kBitsAt, fis, sizeof fis)) interrupt(t.port, ahci_is::device_bits | ahci_is::task_file);
}

}  // namespace vt::emu::pci
