// SPDX-License-Identifier: GPL-2.0-or-later
/// The 16-bit BIOS (rom/bios.asm) with this platform's values in it, and what a BIOS leaves in the first MiB when it gives control away.
/// IBM "PC/AT Technical Reference", "ROM BIOS"
#include <algorithm>
#include <cstdio>

#include "bytes.hpp"
#include "loader.hpp"
#include "tables.hpp"

namespace vt::fw {
namespace {

#include "bios.hex"  // bios_rom[], assembled from rom/bios.asm

constexpr u64 k1M = u64{1} << 20, k16M = u64{1} << 24, k4G = u64{1} << 32;
constexpr u64 kSegment = 0xf0000, kBase = 0x8000;
constexpr unsigned kDummy = 0xff53;   // an IRET, where PCs have had it
// The block at the ROM's beginning.
enum : std::size_t { kVectors = 0, kMapCount = 2, kExt88 = 4, kE801Low = 6, kE801High = 8, kLastBus = 10, kKeyboard = 12, kMap = 32 };
constexpr std::size_t kEntry = 20, kNamedVectors = 0x78;
static_assert(sizeof bios_rom == 0x10000 - kBase);

/// Ticks of 18.2 Hz since midnight.
u32 ticks(const Platform& p) {
  unsigned year, month, day, hour = 0, minute = 0, second = 0;
  std::sscanf(p.rtc.c_str(), "%u-%u-%uT%u:%u:%u", &year, &month, &day, &hour, &minute, &second);
  return static_cast<u32>((hour * 3600ull + minute * 60 + second) * 1193182 / 65536);
}

Bytes rom(const Platform& p) {
  Bytes b;
  b.append(bios_rom);
  b.put(kMapCount, p.e820.size(), 2);
  const u64 above = contiguous_ram(p, k1M, k4G);
  b.put(kExt88, std::min<u64>(above >> 10, 0xfc00), 2);
  b.put(kE801Low, std::min<u64>(above, k16M - k1M) >> 10, 2);
  b.put(kE801High, above == 0 ? 0 : above < k16M - k1M ? 0 : (above - (k16M - k1M)) >> 16, 2);
  u8 last = 0;
  for (const PciFunction& f : p.pci) last = std::max({last, f.bdf.bus(), f.secondary_bus.value_or(0)});
  b.put(kLastBus, last, 2);
  b.put(kKeyboard, p.i8042, 2);
  std::size_t at = kMap;
  for (const E820Range& e : p.e820) {
    b.put(at, e.first, 8), b.put(at + 8, e.size, 8), b.put(at + 16, static_cast<u32>(e.type), 4);
    at += kEntry;
  }
  return b;
}

}  // namespace

std::vector<Blob> bios_data(const Platform& p, const FirmwareLayout& l) {
  std::vector<Blob> out;
  Bytes code = rom(p);
  Bytes ivt;
  const std::size_t table = get_le(code.b, kVectors, 2) - kBase;
  for (std::size_t i = 0; i < 256; ++i) {
    u64 to = i < kNamedVectors ? get_le(code.b, table + 2 * i, 2) : kDummy;
    if (i == 0x10 && !p.vga) to = kDummy;   // the video BIOS is the display adapter's
    ivt.b16(to), ivt.b16(kSegment >> 4);
  }
  out.push_back({Hpa(0), std::move(ivt.b), "interrupt vectors"});

  Bytes bda(0x100);
  bda.put(0x00, 0x3f8, 2);                  // COM1
  bda.put(0x0e, l.ebda >> 4, 2);            // EBDA segment, 0: none
  if (p.com2) bda.put(0x02, 0x2f8, 2);
  bda.put(0x10, 0x0002 | (p.com2 ? 2 : 1) << 9, 2);   // equipment: an FPU, serial ports, a display with a BIOS of its own
  bda.put(0x13, l.base_memory_kib, 2);
  bda.put(0x1a, 0x1e, 2), bda.put(0x1c, 0x1e, 2);   // keyboard buffer: empty
  if (p.vga) {                              // mode 3, as the adapter stands
    bda.put(0x49, 3, 1), bda.put(0x4a, 80, 2), bda.put(0x4c, 0x1000, 2);
    bda.put(0x60, 0x0d0e, 2), bda.put(0x63, 0x3d4, 2), bda.put(0x65, 0x29, 1), bda.put(0x66, 0x30, 1);
    bda.put(0x84, 24, 1), bda.put(0x85, 16, 2);
    bda.put(0x87, 0x60, 1), bda.put(0x88, 0xf9, 1), bda.put(0x89, 0x11, 1);   // 256 KiB, colour, 400 lines
  }
  bda.put(0x6c, ticks(p), 4);
  bda.put(0x75, 0, 1);                      // no fixed disks
  bda.put(0x7c, 1, 1), bda.put(0x7d, p.com2, 1);   // time-outs of COM1, COM2
  bda.put(0x80, 0x1e, 2), bda.put(0x82, 0x3e, 2);   // keyboard buffer: its place
  if (p.i8042) bda.put(0x96, 0x10, 1);      // 101 keys
  out.push_back({Hpa(0x400), std::move(bda.b), "BIOS data area"});

  if (l.ebda) {
    Bytes ebda(0x400);
    ebda.put(0, std::min<u64>((0xa0000 - l.ebda) >> 10, 0xff), 1);   // its size in KiB
    out.push_back({Hpa(l.ebda), std::move(ebda.b), "EBDA"});
  }
  out.push_back({Hpa(kSegment + kBase), std::move(code.b), "BIOS"});
  return out;
}

}  // namespace vt::fw
