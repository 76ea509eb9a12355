// SPDX-License-Identifier: GPL-2.0-or-later
/// The disk at a port: what of ATA/ATAPI Command Set (ACS-2) a plain LBA48 disk with queuing has. Everything else is aborted, as a disk
/// does with what it has not.
#include <algorithm>

#include "pci/ahci.hpp"

namespace vt::emu::pci {
namespace {

enum Ata : u8 {
  kReadSectors = 0x20, kReadSectorsExt = 0x24, kReadDmaExt = 0x25, kReadMultipleExt = 0x29, kReadLogExt = 0x2f, kWriteSectors = 0x30, kWriteSectorsExt = 0x34,
  kWriteDmaExt = 0x35, kWriteMultipleExt = 0x39, kWriteDmaFuaExt = 0x3d, kVerify = 0x40, kVerifyExt = 0x42, kReadFpdma = 0x60, kWriteFpdma = 0x61,
  kDiagnostic = 0x90, kReadMultiple = 0xc4, kWriteMultiple = 0xc5, kSetMultiple = 0xc6, kReadDma = 0xc8, kWriteDma = 0xca, kStandbyNow = 0xe0, kIdleNow = 0xe1,
  kStandby = 0xe2, kIdle = 0xe3, kCheckPower = 0xe5, kSleep = 0xe6, kFlush = 0xe7, kFlushExt = 0xea, kIdentify = 0xec, kSetFeatures = 0xef,
};
constexpr u8 kMostMultiple = 16;

void set_word(std::vector<u8>& to, unsigned n, u32 value) { to[2 * n] = static_cast<u8>(value), to[2 * n + 1] = static_cast<u8>(value >> 8); }
/// ATA strings have the first character in the upper half of each word.
void set_text(std::vector<u8>& to, unsigned first, unsigned words, std::string_view s) {
  for (unsigned i = 0; i < 2 * words; ++i) to[2 * first + (i ^ 1)] = i < s.size() ? static_cast<u8>(s[i]) : ' ';
}

}  // namespace

/// ACS-2 "IDENTIFY DEVICE"
void Ahci::identify(unsigned n, std::vector<u8>& d) const {
  const u64 sectors = disks_[n]->sectors();
  const Port& p = port_[n];
  set_word(d, 0, 0x0040);
  set_word(d, 1, 16383), set_word(d, 3, 16), set_word(d, 6, 63);     // what geometry is left of
  set_text(d, 10, 10, "VITRINE-" + name().substr(4) + "-" + std::to_string(n));
  set_text(d, 23, 4, "1.0"), set_text(d, 27, 20, "Vitrine SATA disk");
  set_word(d, 47, 0x8000 | kMostMultiple), set_word(d, 49, 0x0f00), set_word(d, 50, 0x4000), set_word(d, 53, 0x0006);   // DMA, LBA, IORDY
  set_word(d, 59, p.multiple ? 0x100u | p.multiple : 0);
  const u64 low = std::min<u64>(sectors, 0x0fffffff);
  set_word(d, 60, static_cast<u32>(low)), set_word(d, 61, static_cast<u32>(low >> 16));
  set_word(d, 63, 0x0007), set_word(d, 64, 0x0003);
  for (unsigned w = 65; w <= 68; ++w) set_word(d, w, 120);
  set_word(d, 75, kSlots - 1), set_word(d, 76, 0x0106);          // queue depth; 1.5 and 3 Gbit/s, NCQ
  set_word(d, 80, 0x01f0);                                   // ATA8-ACS
  set_word(d, 82, 0x0060), set_word(d, 83, 0x7400), set_word(d, 84, 0x4060);   // cache, look-ahead; FLUSH CACHE, EXT, LBA48; general purpose logging, FUA
  set_word(d, 85, (p.write_cache ? 0x20u : 0) | (p.look_ahead ? 0x40u : 0)), set_word(d, 86, 0x3400), set_word(d, 87, 0x4060);
  set_word(d, 88, 0x203f), set_word(d, 93, 0);                   // Ultra DMA 5
  for (unsigned w = 0; w < 4; ++w) set_word(d, 100 + w, static_cast<u32>(sectors >> (16 * w)) & 0xffff);
  set_word(d, 217, 1), set_word(d, 222, 0x101f);                 // does not rotate; Serial ATA
  d[510] = 0xa5;
  u8 sum = 0;
  for (unsigned i = 0; i < 511; ++i) sum = static_cast<u8>(sum + d[i]);
  d[511] = static_cast<u8>(-sum);
}

Ahci::End Ahci::ata(Task& t, bool& pio) {
  Port& p = port_[t.port];
  switch (t.command()) {
    case kReadSectors: pio = true; return transfer(t, t.lba28(), t.count28(), false);
    case kReadSectorsExt: pio = true; return transfer(t, t.lba48(), t.count48(), false);
    case kWriteSectors: pio = true; return transfer(t, t.lba28(), t.count28(), true);
    case kWriteSectorsExt: pio = true; return transfer(t, t.lba48(), t.count48(), true);
    case kReadMultiple: pio = true; return p.multiple ? transfer(t, t.lba28(), t.count28(), false) : End::aborted;
    case kReadMultipleExt: pio = true; return p.multiple ? transfer(t, t.lba48(), t.count48(), false) : End::aborted;
    case kWriteMultiple: pio = true; return p.multiple ? transfer(t, t.lba28(), t.count28(), true) : End::aborted;
    case kWriteMultipleExt: pio = true; return p.multiple ? transfer(t, t.lba48(), t.count48(), true) : End::aborted;
    case kReadDma: return transfer(t, t.lba28(), t.count28(), false);
    case kReadDmaExt: return transfer(t, t.lba48(), t.count48(), false);
    case kWriteDma: return transfer(t, t.lba28(), t.count28(), true);
    case kWriteDmaExt: case kWriteDmaFuaExt: return transfer(t, t.lba48(), t.count48(), true);
    case kReadFpdma: case kWriteFpdma: {
      const u32 count = t.fis[3] | u32{t.fis[11]} << 8;   // where the others have features
      if (!(p.sact >> (t.fis[12] >> 3) & 1)) return End::aborted;
      return transfer(t, t.lba48(), count ? count : 65536, t.command() == kWriteFpdma);
    }
    case kVerify: case kVerifyExt: {
      const bool ext = t.command() == kVerifyExt;
      const u64 first = ext ? t.lba48() : t.lba28(), count = ext ? t.count48() : t.count28(), all = disks_[t.port]->sectors();
      return first > all || count > all - first ? End::no_such_sector : End::good;
    }
    case kIdentify: {
      pio = true;
      std::vector<u8> d(512);
      identify(t.port, d);
      return to_host(t, d) ? End::good : End::host_bus;
    }
    case kReadLogExt: pio = true; return read_log(t);
    case kSetMultiple:
      if (t.fis[12] > kMostMultiple || (t.fis[12] & (t.fis[12] - 1))) return End::aborted;
      p.multiple = t.fis[12];
      return End::good;
    case kSetFeatures: return set_features(t);
    case kCheckPower: t.fis[12] = 0xff; return End::good;   // active: what it does next wakes it anyway
    case kStandbyNow: case kStandby: case kSleep: p.standby = 1; return End::good;
    case kDiagnostic: case kIdleNow: case kIdle: case kFlush: case kFlushExt: return End::good;
    default: return End::aborted;
  }
}

Ahci::End Ahci::transfer(Task& t, u64 first, u32 count, bool write) {
  Disk& disk = *disks_[t.port];
  if (first > disk.sectors() || count > disk.sectors() - first) return End::no_such_sector;
  std::vector<u8> bytes(u64{count} * Disk::kSector);
  if (!write) {
    if (!disk.read(first, bytes.data(), count)) return End::aborted;
    return to_host(t, bytes) ? End::good : End::host_bus;
  }
  if (!from_host(t, bytes)) return End::host_bus;
  const u32 whole = t.moved / Disk::kSector;             // a table that is too short: what came
  return disk.write(first, bytes.data(), whole) ? End::good : End::aborted;
}

/// ACS-2 "SET FEATURES"
Ahci::End Ahci::set_features(Task& t) {
  Port& p = port_[t.port];
  switch (t.fis[3]) {
    case 0x02: p.write_cache = 1; return End::good;
    case 0x82: p.write_cache = 0; return End::good;
    case 0xaa: p.look_ahead = 1; return End::good;
    case 0x55: p.look_ahead = 0; return End::good;
    case 0x03: return End::good;                         // transfer mode: there is one link
    default: return End::aborted;
  }
}

/// ACS-2 "READ LOG EXT": the directory and page 10h, the error of a queue.
Ahci::End Ahci::read_log(Task& t) {
  Port& p = port_[t.port];
  std::vector<u8> d(512);
  if (t.fis[5] || t.fis[9] || t.count48() != 1) return End::aborted;
  switch (t.fis[4]) {
    case 0x00:
      d[0] = 1;                                          // version; pages of each log
      d[0x20] = 1;
      break;
    case 0x10: {
      d[0] = p.queue_error & 0x80 ? p.queue_error & 0x1f : 0x80;   // NQ: not a queued one
      std::copy(p.last.begin() + 2, p.last.begin() + 14, d.begin() + 2);
      u8 sum = 0;
      for (unsigned i = 0; i < 511; ++i) sum = static_cast<u8>(sum + d[i]);
      d[511] = static_cast<u8>(-sum);
      p.queue_error = 0;
      break;
    }
    default: return End::aborted;
  }
  return to_host(t, d) ? End::good : End::host_bus;
}

}  // namespace vt::emu::pci
