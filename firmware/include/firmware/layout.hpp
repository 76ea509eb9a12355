// SPDX-License-Identifier: GPL-2.0-or-later
/// Where things are on a completed platform: what memory exists, where the firmware puts its tables,
/// who occupies which addresses. Derived from the description alone.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "firmware/platform.hpp"

namespace vt::fw {

struct Range {
  u64 first = 0, size = 0;
  u64 last() const { return first + size - 1; }
  bool contains(u64 at) const { return at >= first && at - first < size; }
  bool overlaps(const Range& o) const { return size && o.size && first <= o.last() && o.first <= last(); }
};

/// Memory that answers: page aligned, ascending, disjoint. E820 RAM, ACPI, NVS and UNUSABLE; the first MiB but
/// for the VGA window; RMRRs (memory the firmware took away); RESERVED ranges below the top of low memory.
/// Addresses of devices are left out. Pages of odd E820 edges belong to it whole.
std::vector<Range> backing(const Platform& p);

/// First byte after the highest RAM, ACPI, NVS or UNUSABLE byte below 4 GiB.
u64 low_memory_top(const Platform& p);

struct FirmwareLayout {
  u64 rsdp = 0xf0000;           ///< 16-byte aligned, in 0xE0000-0xFFFFF
  u64 smbios = 0xf1000;         ///< entry point, tables from +0x20
  Range tables;                 ///< all ACPI tables but RSDP and FACS
  u64 facs = 0;                 ///< 64-byte aligned
  u64 ebda = 0;                 ///< 0: none
  unsigned base_memory_kib = 0; ///< BIOS data area 0x413
  Range pci32, pci64;           ///< windows of the host bridge, as the DSDT says; pci64 may be empty
};
/// Throws PlatformError where the E820 leaves no place for the ACPI tables.
FirmwareLayout firmware_layout(const Platform& p);

/// A range of the memory address space that a device answers, with the field it comes from.
struct DeviceRange { Range range; std::string what, field; };
std::vector<DeviceRange> device_ranges(const Platform& p);

/// Source identifier of the I/O APIC as the first DRHD that lists it says, else the default (f0:1f.0).
/// VT-d "Device Scope Structure"
Bdf ioapic_source_id(const Platform& p);

}  // namespace vt::fw
