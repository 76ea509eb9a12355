// SPDX-License-Identifier: GPL-2.0-or-later
#include "firmware/layout.hpp"
#include "firmware/models.hpp"

#include <algorithm>

#include "base/bits.hpp"

namespace vt::fw {
namespace {

constexpr u64 k4G = u64{1} << 32;
constexpr u64 k1M = u64{1} << 20;

bool is_memory(E820 t) { return t == E820::RAM || t == E820::ACPI || t == E820::NVS || t == E820::UNUSABLE; }

/// `all` without `hole`, in pieces.
std::vector<Range> without(const std::vector<Range>& all, const Range& hole) {
  std::vector<Range> out;
  for (const Range& r : all) {
    if (!r.overlaps(hole)) { out.push_back(r); continue; }
    if (r.first < hole.first) out.push_back({r.first, hole.first - r.first});
    if (r.last() > hole.last()) out.push_back({hole.last() + 1, r.last() - hole.last()});
  }
  return out;
}

Range pages(u64 first, u64 size) {
  u64 a = align_down(first, kPageSize);
  return {a, align_up(first + size, kPageSize) - a};
}

bool ram_in(const Platform& p, const Range& r) {
  return std::any_of(p.e820.begin(), p.e820.end(),
                     [&](const E820Range& e) { return e.type == E820::RAM && r.overlaps({e.first, e.size}); });
}

}  // namespace

u64 low_memory_top(const Platform& p) {
  u64 top = 0;
  for (const E820Range& e : p.e820)
    if (is_memory(e.type) && e.first < k4G) top = std::max(top, std::min(e.first + e.size, k4G));
  return top;
}

std::vector<DeviceRange> device_ranges(const Platform& p) {
  std::vector<DeviceRange> out;
  out.push_back({{0xfee00000, 0x100000}, "the local APIC and interrupt range", "lapic"});
  if (p.ioapic) out.push_back({{p.ioapic, 0x1000}, "the I/O APIC", "ioapic"});
  if (p.hpet) out.push_back({{p.hpet_address, 0x400}, "the HPET", "hpet_address"});
  if (p.ecam) out.push_back({{p.ecam, u64{p.ecam_buses} << 20}, "the ECAM area", "ecam"});
  for (std::size_t i = 0; i < p.drhds.size(); ++i) {
    std::string n = "drhds[" + std::to_string(i) + "]";
    out.push_back({{p.drhds[i].address, 0x1000}, "the registers of " + n, n + ".address"});
  }
  for (std::size_t i = 0; i < p.isa.size(); ++i)
    if (p.isa[i].model == "pc-testdev") out.push_back({{kPcTestdevMemory, 0x10000}, "the registers of pc-testdev", "isa[" + std::to_string(i) + "]"});
  for (std::size_t i = 0; i < p.pci.size(); ++i)
    for (std::size_t b = 0; b < p.pci[i].bars.size(); ++b) {
      const PciBar& bar = p.pci[i].bars[b];
      if (bar.kind == PciBar::Kind::io || !bar.address) continue;   // 0: firmware assigned nothing
      std::string n = "pci[" + std::to_string(i) + "].bars[" + std::to_string(b) + "]";
      out.push_back({{bar.address, bar.size}, n, n});
    }
  return out;
}

std::vector<Range> backing(const Platform& p) {
  std::vector<Range> all{{0, 0xa0000}, {0xc0000, 0x40000}};
  u64 top = low_memory_top(p);
  for (const E820Range& e : p.e820) {
    bool stolen = e.type == E820::RESERVED && e.first < top;   // what firmware kept of the memory it has
    if (is_memory(e.type) || stolen) all.push_back(pages(e.first, e.size));
  }
  for (const Rmrr& r : p.rmrrs) all.push_back(pages(r.first, r.last - r.first + 1));
  all = without(all, {0xa0000, 0x20000});
  for (const DeviceRange& d : device_ranges(p)) all = without(all, pages(d.range.first, d.range.size));
  std::sort(all.begin(), all.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> out;
  for (const Range& r : all) {
    if (!out.empty() && r.first <= out.back().last() + 1) {
      if (r.last() > out.back().last()) out.back().size = r.last() + 1 - out.back().first;
    } else {
      out.push_back(r);
    }
  }
  return out;
}

FirmwareLayout firmware_layout(const Platform& p) {
  FirmwareLayout l;
  constexpr u64 kTablesMin = 0x8000;
  for (const E820Range& e : p.e820) {
    if (e.first < k1M || e.first + e.size > k4G) continue;
    u64 first = align_up(e.first, 64);
    if (first >= e.first + e.size) continue;
    u64 size = e.first + e.size - first;
    if (e.type == E820::ACPI && size >= kTablesMin && first > l.tables.first) l.tables = {first, size};
    if (e.type == E820::NVS && size >= 64 && first > l.facs) l.facs = first;
  }
  // No ACPI range: firmware of old kept its tables in the BIOS area.
  if (!l.tables.size && !ram_in(p, {0xe0000, 0x10000})) l.tables = {0xe0000, 0x10000};
  if (!l.tables.size)
    throw PlatformError(p.file, "e820", "no place for the ACPI tables; give an ACPI range of at least 32 KiB below 4 GiB, "
                                        "or keep 0xe0000-0xeffff free of RAM");
  if (!l.facs) {
    l.facs = l.tables.first;
    l.tables.first += 64, l.tables.size -= 64;
  }

  // Base memory ends where the last RAM below the VGA window ends; the EBDA follows it.
  u64 low_end = 0;
  for (const E820Range& e : p.e820)
    if (e.type == E820::RAM && e.first < 0xa0000) low_end = std::max(low_end, std::min<u64>(e.first + e.size, 0xa0000));
  l.base_memory_kib = static_cast<unsigned>(low_end >> 10);
  u64 ebda = align_up(low_end, 0x400);
  if (ebda >= 0x40000 && ebda < 0xa0000) l.ebda = ebda;

  u64 first = align_up(low_memory_top(p), k1M);
  if (p.ecam && p.ecam < 0xfec00000) {
    u64 end = p.ecam + (u64{p.ecam_buses} << 20);
    u64 before = p.ecam > first ? p.ecam - first : 0;
    u64 after = end < 0xfec00000 ? 0xfec00000 - end : 0;
    if (Range{first, 0xfec00000 - std::min<u64>(first, 0xfec00000)}.overlaps({p.ecam, end - p.ecam}))
      l.pci32 = before > after ? Range{first, before} : Range{end, after};
    else l.pci32 = {first, 0xfec00000 - first};
  } else if (first < 0xfec00000) {
    l.pci32 = {first, 0xfec00000 - first};
  }
  u64 top = k4G;
  for (const E820Range& e : p.e820) top = std::max(top, e.first + e.size);
  for (const DeviceRange& d : device_ranges(p))
    if (d.field.rfind("pci[", 0) != 0) top = std::max(top, d.range.first + d.range.size);
  u64 start = align_up(top, u64{1} << 35), limit = u64{1} << p.cpu.physical_address_bits;
  if (start < limit) l.pci64 = {start, std::min(limit - start, u64{1} << 35)};
  return l;
}

Bdf ioapic_source_id(const Platform& p) {
  for (const Drhd& d : p.drhds)
    for (const DeviceScope& s : d.scopes)
      if (s.kind == DeviceScope::Kind::ioapic && s.path.size() == 1)
        return Bdf(s.bus, s.path[0].first, s.path[0].second);
  return Bdf(0xf0, 0x1f, 0);
}

}  // namespace vt::fw
