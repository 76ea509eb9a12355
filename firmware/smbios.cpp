// SPDX-License-Identifier: GPL-2.0-or-later
/// SMBIOS 2.8 tables.   SMBIOS "Structure definitions"
#include <algorithm>

#include "bytes.hpp"
#include "tables.hpp"

namespace vt::fw {
namespace {

/// One structure: formatted part, then its strings. Strings are numbered from 1 as they are added.
class Structures {
 public:
  void begin(u8 type, u16 handle) {
    at_ = out.size();
    strings_.clear();
    out.b8(type), out.b8(0), out.b16(handle);
  }
  u8 string(std::string_view s) {
    strings_.emplace_back(s);
    return static_cast<u8>(strings_.size());
  }
  void end() {
    std::size_t n = out.size() - at_;
    out.put(at_ + 1, n, 1);
    largest = std::max(largest, n);
    for (const std::string& s : strings_) out.cstr(s), largest = std::max(largest, out.size() - at_ + 1);
    if (strings_.empty()) out.b8(0);
    out.b8(0);
    largest = std::max(largest, out.size() - at_);
    ++count;
  }
  Bytes out;
  u16 count = 0;
  std::size_t largest = 0;

 private:
  std::size_t at_ = 0;
  std::vector<std::string> strings_;
};

u64 ram_kib(const Platform& p) {
  u64 n = 0;
  for (const E820Range& e : p.e820)
    if (e.type == E820::RAM || e.type == E820::ACPI || e.type == E820::NVS) n += e.size;
  return n >> 10;
}

void bios_and_system(Structures& s) {
  s.begin(0, 0);                            // "BIOS Information (Type 0)"
  s.out.b8(s.string("Vitrine")), s.out.b8(s.string("1.0"));
  s.out.b16(0xf000);
  s.out.b8(s.string("01/01/2024"));
  s.out.b8(0);                              // ROM size: 64 KiB
  s.out.b64(1 << 3);                        // characteristics are not given
  s.out.b16(0);
  s.out.b8(1), s.out.b8(0), s.out.b8(0xff), s.out.b8(0xff);
  s.end();
  s.begin(1, 1);                            // "System Information (Type 1)"
  s.out.b8(s.string("Vitrine")), s.out.b8(s.string("x86 platform")), s.out.b8(s.string("1")), s.out.b8(0);
  s.out.zeros(16);                          // UUID: not present
  s.out.b8(6);                              // wake-up type: power switch
  s.out.b8(0), s.out.b8(0);
  s.end();
  s.begin(3, 2);                            // "System Enclosure or Chassis (Type 3)"
  s.out.b8(s.string("Vitrine")), s.out.b8(1), s.out.b8(0), s.out.b8(0), s.out.b8(0);
  s.out.b8(3), s.out.b8(3), s.out.b8(3), s.out.b8(2);   // safe, safe, safe, security unknown
  s.out.b32(0);
  s.out.zeros(4);                           // height, power cords, contained elements, their length
  s.out.b8(0);
  s.end();
}

void processor(Structures& s, const Platform& p) {
  s.begin(4, 3);                            // "Processor Information (Type 4)"
  s.out.b8(s.string("CPU 0")), s.out.b8(3), s.out.b8(0xb3);   // central processor, Xeon family
  s.out.b8(s.string("Intel"));
  s.out.b64(0);                             // processor ID: as CPUID says
  s.out.b8(0), s.out.b8(0);
  u16 mhz = static_cast<u16>(std::min<u64>(p.cpu.tsc_hz / 1'000'000, 0xffff));
  s.out.b16(0), s.out.b16(mhz), s.out.b16(mhz);
  s.out.b8(0x41), s.out.b8(2);              // populated and enabled; upgrade unknown
  s.out.b16(0xffff), s.out.b16(0xffff), s.out.b16(0xffff);   // no cache structures
  s.out.b8(0), s.out.b8(0), s.out.b8(0);
  s.out.b8(p.cpu.count), s.out.b8(p.cpu.count), s.out.b8(p.cpu.count);
  s.out.b16(4);                             // 64-bit capable
  s.out.b16(0xb3);
  s.end();
}

void memory(Structures& s, const Platform& p) {
  u64 kib = ram_kib(p), mib = (kib + 1023) >> 10;
  s.begin(16, 4);                           // "Physical Memory Array (Type 16)"
  s.out.b8(3), s.out.b8(3), s.out.b8(3);    // system board, system memory, no error correction
  s.out.b32(kib < 0x80000000 ? kib : 0x80000000);
  s.out.b16(0xfffe);
  s.out.b16(1);
  s.out.b64(kib < 0x80000000 ? 0 : kib << 10);
  s.end();
  s.begin(17, 5);                           // "Memory Device (Type 17)"
  s.out.b16(4), s.out.b16(0xfffe);
  s.out.b16(64), s.out.b16(64);
  s.out.b16(mib < 0x7fff ? mib : 0x7fff);
  s.out.b8(9), s.out.b8(0);                 // DIMM
  s.out.b8(s.string("DIMM 0")), s.out.b8(0);
  s.out.b8(7), s.out.b16(4);                // RAM, type detail unknown
  s.out.b16(0);
  s.out.b8(s.string("Vitrine")), s.out.b8(0), s.out.b8(0), s.out.b8(0);
  s.out.b8(0);
  s.out.b32(mib < 0x7fff ? 0 : mib);
  s.out.b16(0), s.out.b16(0), s.out.b16(0), s.out.b16(0);
  s.end();
  u16 handle = 6;
  auto mapped = [&](u64 first, u64 end) {   // "Memory Array Mapped Address (Type 19)"
    if (end <= first) return;
    s.begin(19, handle++);
    bool wide = (end - 1) >> 42;            // the 32-bit fields count KiB
    s.out.b32(wide ? 0xffffffff : first >> 10), s.out.b32(wide ? 0xffffffff : (end - 1) >> 10);
    s.out.b16(4);
    s.out.b8(1);
    s.out.b64(wide ? first : 0), s.out.b64(wide ? end - 1 : 0);
    s.end();
  };
  mapped(0, low_memory_top(p));
  u64 first = ~u64{0}, end = 0;
  for (const E820Range& e : p.e820)
    if (e.type == E820::RAM && e.first >> 32) first = std::min(first, e.first), end = std::max(end, e.first + e.size);
  mapped(first, end);
  s.begin(32, handle++);                    // "System Boot Information (Type 32)"
  s.out.zeros(6);
  s.out.b8(0);                              // no errors detected
  s.end();
  s.begin(127, handle);                     // "End-of-Table (Type 127)"
  s.end();
}

}  // namespace

std::vector<Blob> smbios_tables(const Platform& p, const FirmwareLayout& l) {
  Structures s;
  bios_and_system(s);
  processor(s, p);
  memory(s, p);
  u64 table = l.smbios + 0x20;
  Bytes e;                                  // "SMBIOS 2.1 (32-bit) Entry Point"
  e.text("_SM_", 4);
  e.b8(0), e.b8(31);
  e.b8(2), e.b8(8);
  e.b16(s.largest);
  e.b8(0);
  e.zeros(5);
  e.text("_DMI_", 5);
  e.b8(0);
  e.b16(s.out.size());
  e.b32(table);
  e.b16(s.count);
  e.b8(0x28);
  e.put(21, checksum(std::span<const u8>(e.b).subspan(16)), 1);
  e.put(4, checksum(e.b), 1);
  return {{Hpa(l.smbios), std::move(e.b), "SMBIOS entry point"}, {Hpa(table), std::move(s.out.b), "SMBIOS structures"}};
}

}  // namespace vt::fw
