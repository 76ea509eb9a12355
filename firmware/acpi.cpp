// SPDX-License-Identifier: GPL-2.0-or-later
/// ACPI tables, each a function that writes the fields in the order of the specification.
/// ACPI "ACPI System Description Tables"; VT-d "BIOS Considerations" for DMAR.
#include <fmt/format.h>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "bytes.hpp"
#include "tables.hpp"

namespace vt::fw {
namespace {

#include "dsdt.hex"  // dsdt_aml_code[], compiled from dsdt.asl

constexpr std::size_t kHeader = 36, kLength = 4, kChecksum = 9;
constexpr u8 kSci = 9;

/// "System Description Table Header"; length and checksum are written by `seal`.
Bytes header(std::string_view signature, u8 revision) {
  Bytes t;
  t.text(signature, 4);
  t.b32(0);
  t.b8(revision);
  t.b8(0);
  t.text("VITRIN", 6);
  t.text("VITRINE ", 8);
  t.b32(1);
  t.text("VTRN", 4);
  t.b32(1);
  return t;
}

std::vector<u8> seal(Bytes t) {
  t.put(kLength, t.size(), 4);
  t.put(kChecksum, 0, 1);
  t.put(kChecksum, checksum(t.b), 1);
  return std::move(t.b);
}

enum class Space : u8 { memory = 0, io = 1 };
/// "Generic Address Structure". Access: 1 byte, 2 word, 3 dword, 0 undefined.
void gas(Bytes& t, Space space, u8 width, u8 access, u64 address) {
  t.b8(static_cast<u8>(space));
  t.b8(width);
  t.b8(0);
  t.b8(access);
  t.b64(address);
}

/// "Fixed ACPI Description Table (FADT)", revision 4: the last that all software takes without a remark.
std::vector<u8> fadt(const Platform& p, u64 facs, u64 dsdt) {
  const u32 evt = p.pm_base, cnt = p.pm_base + 4u, tmr = p.pm_base + 8u;
  Bytes t = header("FACP", 4);
  t.b32(facs);
  t.b32(dsdt);
  t.b8(0);
  t.b8(4);                // Preferred_PM_Profile: enterprise server
  t.b16(kSci);
  t.b32(0);               // SMI_CMD: always in ACPI mode
  t.zeros(4);             // ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT
  t.b32(evt);
  t.b32(0);
  t.b32(cnt);
  t.b32(0);
  t.b32(0);               // PM2_CNT_BLK
  t.b32(tmr);
  t.zeros(8);             // GPE0_BLK, GPE1_BLK
  t.b8(4);                // PM1_EVT_LEN
  t.b8(2);                // PM1_CNT_LEN
  t.b8(0);
  t.b8(4);                // PM_TMR_LEN
  t.zeros(4);             // GPE0_BLK_LEN, GPE1_BLK_LEN, GPE1_BASE, CST_CNT
  t.b16(0xfff);           // P_LVL2_LAT: no C2
  t.b16(0xfff);           // P_LVL3_LAT: no C3
  t.zeros(4);             // FLUSH_SIZE, FLUSH_STRIDE: WBINVD works
  t.zeros(4);             // DUTY_OFFSET, DUTY_WIDTH, DAY_ALRM, MON_ALRM
  t.b8(0x32);             // CENTURY
  t.b16(1 | (p.i8042 ? 2 : 0) | (p.vga ? 0 : 4));   // IAPC_BOOT_ARCH: LEGACY_DEVICES, 8042, VGA Not Present
  t.b8(0);
  constexpr u32 kWbinvd = 1, kProcC1 = 1 << 2, kPwrButton = 1 << 4, kSlpButton = 1 << 5, kFixRtc = 1 << 6, kResetRegSup = 1 << 10;
  t.b32(kWbinvd | kProcC1 | kPwrButton | kSlpButton | kFixRtc | kResetRegSup);
  gas(t, Space::io, 8, 1, 0xcf9);   // RESET_REG
  t.b8(6);                          // RESET_VALUE
  t.zeros(3);
  t.b64(facs);
  t.b64(dsdt);
  gas(t, Space::io, 32, 2, evt);
  gas(t, Space::memory, 0, 0, 0);
  gas(t, Space::io, 16, 2, cnt);
  gas(t, Space::memory, 0, 0, 0);
  gas(t, Space::memory, 0, 0, 0);
  gas(t, Space::io, 32, 3, tmr);
  gas(t, Space::memory, 0, 0, 0);   // GPE0
  gas(t, Space::memory, 0, 0, 0);   // GPE1
  return seal(std::move(t));
}

/// "Firmware ACPI Control Structure (FACS)": no checksum.
std::vector<u8> facs() {
  Bytes t;
  t.text("FACS", 4);
  t.b32(64);
  t.zeros(24);            // Hardware_Signature, waking vectors, lock, flags
  t.b8(2);                // Version
  t.zeros(31);
  return std::move(t.b);
}

/// "Multiple APIC Description Table (MADT)"
std::vector<u8> madt(const Platform& p) {
  Bytes t = header("APIC", 3);
  t.b32(0xfee00000);
  t.b32(1);               // PCAT_COMPAT: there are 8259s
  for (unsigned i = 0; i < p.cpu.count; ++i) {
    t.b8(0), t.b8(8);
    t.b8(i), t.b8(i);     // processor UID, APIC ID
    t.b32(1);             // enabled
  }
  t.b8(1), t.b8(12);
  t.b8(p.ioapic_id), t.b8(0);
  t.b32(p.ioapic);
  t.b32(0);               // global system interrupt base
  auto source_override = [&](u8 irq, u32 gsi, u16 flags) {
    t.b8(2), t.b8(10);
    t.b8(0), t.b8(irq);
    t.b32(gsi);
    t.b16(flags);
  };
  source_override(0, 2, 0);
  source_override(kSci, kSci, 0xd);   // active high, level
  t.b8(4), t.b8(6);
  t.b8(0xff);             // all processors
  t.b16(0);
  t.b8(1);                // LINT1
  return seal(std::move(t));
}

/// PCI Firmware "MCFG Table Description"
std::vector<u8> mcfg(const Platform& p) {
  Bytes t = header("MCFG", 1);
  t.b64(0);
  t.b64(p.ecam);
  t.b16(0);
  t.b8(0);
  t.b8(p.ecam_buses - 1);
  t.b32(0);
  return seal(std::move(t));
}

/// IA-PC HPET "The ACPI 2.0 HPET Description Table (HPET)"
std::vector<u8> hpet(const Platform& p) {
  Bytes t = header("HPET", 1);
  t.b32(0x8086a201);      // low half of the capabilities: 3 comparators, 64 bits, legacy replacement
  gas(t, Space::memory, 64, 0, p.hpet_address);
  t.b8(0);
  t.b16(0x80);            // minimum tick in periodic mode
  t.b8(0);
  return seal(std::move(t));
}

/// VT-d "Device Scope Structure"
void device_scopes(Bytes& t, const std::vector<DeviceScope>& scopes) {
  for (const DeviceScope& s : scopes) {
    t.b8(static_cast<u8>(s.kind));
    t.b8(6 + 2 * s.path.size());
    t.b16(0);
    t.b8(s.enumeration_id);
    t.b8(s.bus);
    for (auto [dev, fn] : s.path) t.b8(dev), t.b8(fn);
  }
}

/// VT-d "DMA Remapping Reporting Structure"
std::vector<u8> dmar(const Platform& p) {
  Bytes t = header("DMAR", 1);
  t.b8(p.host_address_width - 1);
  t.b8((p.dmar_interrupt_remapping ? 1 : 0) | (p.x2apic_opt_out ? 2 : 0));
  t.zeros(10);
  auto structure = [&](u16 type, auto body) {
    std::size_t at = t.size();
    t.b16(type);
    t.b16(0);
    body();
    t.put(at + 2, t.size() - at, 2);
  };
  for (const Drhd& d : p.drhds)
    structure(0, [&] {    // "DMA Remapping Hardware Unit Definition Structure"
      t.b8(d.include_all ? 1 : 0);
      t.b8(0);
      t.b16(0);
      t.b64(d.address);
      device_scopes(t, d.scopes);
    });
  for (const Rmrr& r : p.rmrrs)
    structure(1, [&] {    // "Reserved Memory Region Reporting Structure"
      t.b16(0);
      t.b16(0);
      t.b64(r.first);
      t.b64(r.last);
      device_scopes(t, r.scopes);
    });
  return seal(std::move(t));
}

/// A resource descriptor of the compiled DSDT and the fields that hold its range.
/// ACPI "DWord Address Space Descriptor", "QWord Address Space Descriptor"
void patch_window(Bytes& t, u8 tag, unsigned width, const Range& r) {
  const u16 length = width == 4 ? 23 : 43;
  for (std::size_t i = kHeader; i + 3 + length <= t.size(); ++i) {
    if (t.b[i] != tag || get_le(t.b, i + 1, 2) != length || t.b[i + 3] != 0) continue;   // memory
    std::size_t min = i + 6 + width;
    if (!r.size) t.b[i + 4] &= ~0x0c;   // an empty window is neither fixed at its start nor at its end
    t.put(min, r.size ? r.first : 0, width);
    t.put(min + width, r.size ? r.last() : 0, width);
    t.put(min + 3 * width, r.size, width);
    return;
  }
  CHECK(false, "the DSDT has no such window");
}

/// A device that the platform does not have: its _STA, which follows its name, says so.
void absent(Bytes& t, std::string_view device) {
  auto find = [&](std::string_view what, std::size_t from) {
    return static_cast<std::size_t>(std::search(t.b.begin() + static_cast<std::ptrdiff_t>(from), t.b.end(), what.begin(), what.end()) - t.b.begin());
  };
  const std::size_t at = find(std::string_view("_STA\x0a\x0f", 6), find(device, kHeader));
  CHECK(at < t.size(), "the DSDT has no such device");
  t.b[at + 5] = 0;
}

std::vector<u8> dsdt(const Platform& p, const FirmwareLayout& l) {
  Bytes t;
  t.b.assign(std::begin(dsdt_aml_code), std::end(dsdt_aml_code));
  patch_window(t, 0x87, 4, l.pci32);
  patch_window(t, 0x8a, 8, l.pci64);
  if (!p.i8042) absent(t, "KBD_");
  if (!p.com2) absent(t, "COM2");
  return seal(std::move(t));
}

std::vector<u8> pointers(std::string_view signature, unsigned width, const std::vector<u64>& to) {
  Bytes t = header(signature, 1);
  for (u64 a : to) t.le(a, width);
  return seal(std::move(t));
}

/// "Root System Description Pointer (RSDP)". Revision 0 is 20 bytes; zeros follow, as memory after it is.
std::vector<u8> rsdp(unsigned revision, u64 rsdt, u64 xsdt) {
  Bytes t;
  t.text("RSD PTR ", 8);
  t.b8(0);
  t.text("VITRIN", 6);
  t.b8(revision);
  t.b32(rsdt);
  t.put(8, checksum(t.b), 1);
  if (revision == 0) {
    t.zeros(16);
    return std::move(t.b);
  }
  t.b32(36);
  t.b64(xsdt);
  t.b32(0);               // extended checksum and reserved
  t.put(32, checksum(t.b), 1);
  return std::move(t.b);
}

}  // namespace

std::vector<Blob> acpi_tables(const Platform& p, const FirmwareLayout& l) {
  std::vector<Blob> out;
  u64 at = l.tables.first;
  auto add = [&](std::vector<u8> bytes, const char* name) {
    u64 here = at;
    at = align_up(here + bytes.size(), 64);
    if (here + bytes.size() > l.tables.first + l.tables.size)
      throw PlatformError(p.file, "e820", fmt::format("the ACPI tables do not fit in {:#x}-{:#x}; give a larger ACPI range",
                                                      l.tables.first, l.tables.last()));
    out.push_back({Hpa(here), std::move(bytes), name});
    return here;
  };
  out.push_back({Hpa(l.facs), facs(), "FACS"});
  u64 dsdt_at = add(dsdt(p, l), "DSDT");
  std::vector<u64> all{add(fadt(p, l.facs, dsdt_at), "FACP"), add(madt(p), "APIC")};
  if (p.ecam) all.push_back(add(mcfg(p), "MCFG"));
  if (p.hpet) all.push_back(add(hpet(p), "HPET"));
  if (p.vtd) all.push_back(add(dmar(p), "DMAR"));
  u64 rsdt = add(pointers("RSDT", 4, all), "RSDT"), xsdt = 0;
  if (p.rsdp_revision) xsdt = add(pointers("XSDT", 8, all), "XSDT");
  out.push_back({Hpa(l.rsdp), rsdp(p.rsdp_revision, rsdt, xsdt), "RSDP"});
  return out;
}

std::vector<Blob> build_firmware(const Platform& p, bool bios) {
  FirmwareLayout l = firmware_layout(p);
  std::vector<Blob> out;
  if (bios) out = bios_data(p, l);
  for (Blob& b : acpi_tables(p, l)) out.push_back(std::move(b));
  for (Blob& b : smbios_tables(p, l)) out.push_back(std::move(b));
  return out;
}

}  // namespace vt::fw
