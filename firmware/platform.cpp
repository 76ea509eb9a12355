// SPDX-License-Identifier: GPL-2.0-or-later
/// Defaults: what a description that says nothing means.
#include "firmware/platform.hpp"

#include <algorithm>

#include "base/bits.hpp"
#include "firmware/layout.hpp"
#include "firmware/models.hpp"
#include "platform_check.hpp"

namespace vt::fw {
namespace {

constexpr u64 k4G = u64{1} << 32;
constexpr u64 k1M = u64{1} << 20;
constexpr u64 kLowMax = 0x80000000;       // the q35 layout splits memory at 2 GiB, below its ECAM area
constexpr u64 kAcpiSize = 0x1f000;        // tables; the FACS page follows
constexpr u64 kNvsSize = 0x1000;
constexpr u64 kMinMemory = 16 * k1M;

void lay_out_e820(Platform& p) {
  if (p.memory < kMinMemory)
    throw PlatformError(p.file, "memory", "at least 16M are needed; PVH dom0 of Xen wants 1G or more");
  if (p.memory % kPageSize)
    throw PlatformError(p.file, "memory", "has to be a multiple of the page size, 4096");
  u64 low = std::min(p.memory, kLowMax), high = p.memory - low;
  p.e820 = {{0, 0x9fc00, E820::RAM},
            {0x9fc00, 0x400, E820::RESERVED},       // EBDA
            {0xf0000, 0x10000, E820::RESERVED},     // BIOS: RSDP and SMBIOS
            {k1M, low - k1M - kAcpiSize - kNvsSize, E820::RAM},
            {low - kAcpiSize - kNvsSize, kAcpiSize, E820::ACPI},
            {low - kNvsSize, kNvsSize, E820::NVS}};
  std::vector<E820Range> mmio;
  if (p.ecam) mmio.push_back({p.ecam, u64{p.ecam_buses} << 20, E820::RESERVED});
  if (p.ioapic) mmio.push_back({p.ioapic, 0x1000, E820::RESERVED});
  if (p.hpet) mmio.push_back({p.hpet_address, 0x1000, E820::RESERVED});
  mmio.push_back({0xfee00000, 0x1000, E820::RESERVED});   // local APIC
  mmio.push_back({0xfffc0000, 0x40000, E820::RESERVED});  // firmware's flash
  std::sort(mmio.begin(), mmio.end(), [](auto& a, auto& b) { return a.first < b.first; });
  for (const E820Range& r : mmio) if (r.first < k4G) p.e820.push_back(r);
  if (high) p.e820.push_back({k4G, high, E820::RAM});
  for (const E820Range& r : mmio) if (r.first >= k4G) p.e820.push_back(r);
  p.e820_derived = true;
}

/// Write-back everywhere but in the hole below 4 GiB, in pieces that a variable range can hold.
/// SDM 3A "MTRRs"
void derive_mtrrs(Platform& p) {
  u64 top = low_memory_top(p), start = kLowMax;
  if (top > kLowMax) {
    for (u64 step : {u64{1} << 30, u64{1} << 28, u64{1} << 26, u64{1} << 24, k1M, kPageSize}) {
      start = align_up(top, step);
      bool misses = false;
      for (const DeviceRange& d : device_ranges(p))
        if (d.range.first >= top && d.range.first < start) misses = true;
      if (!misses) break;
    }
  }
  p.mtrrs.def = MemType::WB;
  p.mtrrs.variable.clear();
  while (start < k4G) {
    u64 size = start & -start;   // a range is aligned to its size
    p.mtrrs.variable.push_back({start, size, MemType::UC});
    start += size;
  }
  p.mtrrs_derived = true;
}

std::vector<PciFunction> default_pci() {
  PciFunction host, isa, dma;
  host.bdf = Bdf(0, 0, 0), host.device = 0x29c0, host.class_code = 0x060000, host.model = "host-bridge";
  isa.bdf = Bdf(0, 0x1f, 0), isa.device = 0x2918, isa.class_code = 0x060100, isa.revision = 2, isa.model = "isa-bridge";
  dma.bdf = Bdf(0, 4, 0), dma.vendor = 0x1af4, dma.device = 0x10f0, dma.class_code = 0xff0000, dma.model = "dma";
  dma.subsystem_vendor = 0x1af4, dma.subsystem = 0x1100;
  dma.bars = {{0, PciBar::Kind::mem32, false, 0xfebf0000, 0x1000}};
  dma.msi = true;
  return {host, dma, isa};
}

}  // namespace

void complete(Platform& p) {
  if (p.e820.empty() || p.e820_derived) {
    p.e820.clear();
    lay_out_e820(p);
  }
  if (!p.vtd) p.drhds.clear();
  else if (p.drhds.empty()) p.drhds.push_back({});
  for (Drhd& d : p.drhds)
    if (d.scopes.empty() && d.include_all)
      d.scopes = {{DeviceScope::Kind::ioapic, p.ioapic_id, 0xf0, {{0x1f, 0}}}};
  if (p.pci.empty()) p.pci = default_pci();
  fill_isa(p);
  if (p.tsc_derived) p.cpu.tsc_hz = p.timing.model == timing::Model::flat ? CpuSpec{}.tsc_hz : u64{p.timing.profile.mhz} * 1'000'000;
  check_platform(p);   // before what is computed from it
  if (fill_models(p)) check_platform(p);
  if (p.mtrrs_derived || (p.mtrrs.variable.empty() && p.mtrrs.def == MemType::WB)) derive_mtrrs(p);
  check_mtrrs(p);
  firmware_layout(p);  // throws where the tables have no place
}

Platform default_platform(u64 memory_bytes) {
  Platform p;
  p.memory = memory_bytes;
  p.description = "q35-like machine with VMX, EPT and one VT-d unit";
  complete(p);
  return p;
}

}  // namespace vt::fw
