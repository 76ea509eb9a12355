// SPDX-License-Identifier: GPL-2.0-or-later
/// What software finds in memory, read as it reads it: from the pointers in the first MiB on.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>

#include "firmware/image.hpp"
#include "firmware/layout.hpp"

using namespace vt;
using namespace vt::fw;

namespace {

/// Memory with the firmware's bytes in it.
class Memory {
 public:
  explicit Memory(const Platform& p) {
    for (const Blob& b : build_firmware(p))
      for (std::size_t i = 0; i < b.bytes.size(); ++i) {
        EXPECT_FALSE(bytes_.count(b.at.v + i)) << b.name << " lies on something else at " << std::hex << b.at.v + i;
        bytes_[b.at.v + i] = b.bytes[i];
      }
  }
  u64 get(u64 at, unsigned n) const {
    u64 v = 0;
    for (unsigned i = n; i-- > 0;) { auto it = bytes_.find(at + i); v = v << 8 | (it == bytes_.end() ? 0 : it->second); }
    return v;
  }
  std::string text(u64 at, unsigned n) const {
    std::string s;
    for (unsigned i = 0; i < n; ++i) s += static_cast<char>(get(at + i, 1));
    return s;
  }
  u8 sum(u64 at, u64 n) const {
    u8 s = 0;
    for (u64 i = 0; i < n; ++i) s = static_cast<u8>(s + get(at + i, 1));
    return s;
  }
  u64 find(const char* what, u64 from, u64 to) const {
    for (u64 at = from; at < to; at += 16) if (text(at, static_cast<unsigned>(std::strlen(what))) == what) return at;
    return 0;
  }
  /// Address of a table, by the XSDT or the RSDT.
  u64 table(const char* signature) const {
    u64 rsdp = find("RSD PTR ", 0xe0000, 0x100000);
    bool x = get(rsdp + 15, 1) >= 2;
    u64 root = x ? get(rsdp + 24, 8) : get(rsdp + 16, 4);
    for (u64 at = root + 36; at < root + get(root + 4, 4); at += x ? 8 : 4) {
      u64 t = get(at, x ? 8 : 4);
      if (text(t, 4) == signature) return t;
    }
    return 0;
  }

 private:
  std::map<u64, u8> bytes_;
};

Platform standard() { return default_platform(u64{2} << 30); }

TEST(rsdp, revision_2_has_both_checksums) {     // ACPI "Root System Description Pointer (RSDP) Structure"
  Memory m(standard());
  u64 r = m.find("RSD PTR ", 0xe0000, 0x100000);
  ASSERT_NE(r, 0u);
  EXPECT_EQ(m.sum(r, 20), 0);
  EXPECT_EQ(m.sum(r, 36), 0);
  EXPECT_EQ(m.get(r + 15, 1), 2u);
  EXPECT_EQ(m.get(r + 20, 4), 36u);
  EXPECT_EQ(m.text(m.get(r + 16, 4), 4), "RSDT");
  EXPECT_EQ(m.text(m.get(r + 24, 8), 4), "XSDT");
}

TEST(rsdp, revision_0_is_20_bytes_and_zeros) {
  Platform p = standard();
  p.rsdp_revision = 0;
  complete(p);
  Memory m(p);
  u64 r = m.find("RSD PTR ", 0xe0000, 0x100000);
  EXPECT_EQ(m.sum(r, 20), 0);
  EXPECT_EQ(m.get(r + 15, 1), 0u);
  for (unsigned i = 20; i < 36; ++i) EXPECT_EQ(m.get(r + i, 1), 0u);
  EXPECT_NE(m.table("FACP"), 0u);
  for (const Blob& b : build_firmware(p)) EXPECT_NE(b.name, "XSDT");
}

TEST(acpi, every_table_of_every_platform_adds_up_to_zero) {     // ACPI "System Description Table Header"
  for (auto& f : std::filesystem::directory_iterator(PLATFORMS)) {
    Platform p = load_platform(f.path());
    FirmwareLayout l = firmware_layout(p);
    Memory m(p);
    for (const Blob& b : build_firmware(p)) {
      if (b.at.v < l.tables.first || b.at.v >= l.tables.first + l.tables.size || b.name == "FACS") continue;
      EXPECT_EQ(m.sum(b.at.v, b.bytes.size()), 0) << f.path() << " " << b.name;
      EXPECT_EQ(m.get(b.at.v + 4, 4), b.bytes.size()) << b.name;
      EXPECT_EQ(m.text(b.at.v, 4), b.name);
      EXPECT_EQ(m.text(b.at.v + 10, 6), "VITRIN") << b.name;
    }
  }
}

TEST(acpi, tables_lie_in_acpi_memory_and_facs_in_nvs) {
  for (auto& f : std::filesystem::directory_iterator(PLATFORMS)) {
    Platform p = load_platform(f.path());
    auto type = [&](u64 at) { for (auto& e : p.e820) if (at >= e.first && at - e.first < e.size) return e.type; return E820{0}; };
    for (const Blob& b : build_firmware(p)) {
      if (b.at.v < 0x100000) continue;
      E820 want = b.name == "FACS" ? E820::NVS : E820::ACPI;
      EXPECT_EQ(type(b.at.v), want) << f.path() << " " << b.name;
      EXPECT_EQ(type(b.at.v + b.bytes.size() - 1), want) << f.path() << " " << b.name;
    }
  }
}

TEST(acpi, firmware_never_lies_in_ram_but_in_page_zero) {
  for (auto& f : std::filesystem::directory_iterator(PLATFORMS)) {
    Platform p = load_platform(f.path());
    for (const Blob& b : build_firmware(p)) {
      if (b.at.v + b.bytes.size() <= kPageSize) continue;
      for (auto& e : p.e820)
        EXPECT_FALSE((e.type == E820::RAM && Range{b.at.v, b.bytes.size()}.overlaps({e.first, e.size}))) << f.path() << " " << b.name;
    }
  }
}

TEST(acpi, xsdt_and_rsdt_name_the_same_tables) {
  Memory m(standard());
  u64 r = m.find("RSD PTR ", 0xe0000, 0x100000), rsdt = m.get(r + 16, 4), xsdt = m.get(r + 24, 8);
  u64 n = (m.get(rsdt + 4, 4) - 36) / 4;
  ASSERT_EQ((m.get(xsdt + 4, 4) - 36) / 8, n);
  EXPECT_EQ(n, 5u);
  for (u64 i = 0; i < n; ++i) EXPECT_EQ(m.get(rsdt + 36 + 4 * i, 4), m.get(xsdt + 36 + 8 * i, 8));
}

TEST(fadt, registers_agree_with_the_platform) {     // ACPI "Fixed ACPI Description Table (FADT)"
  Platform p = standard();
  p.pm_base = 0x800;
  complete(p);
  Memory m(p);
  u64 t = m.table("FACP");
  EXPECT_EQ(m.get(t + 4, 4), 244u);
  EXPECT_EQ(m.get(t + 8, 1), 4u);
  EXPECT_EQ(m.text(m.get(t + 36, 4), 4), "FACS");
  EXPECT_EQ(m.text(m.get(t + 40, 4), 4), "DSDT");
  EXPECT_EQ(m.get(t + 132, 8), m.get(t + 36, 4));
  EXPECT_EQ(m.get(t + 140, 8), m.get(t + 40, 4));
  EXPECT_EQ(m.get(t + 46, 2), 9u);
  EXPECT_EQ(m.get(t + 48, 4), 0u);
  struct { unsigned old_at, len_at, gas_at; u64 address, width; } regs[] = {{56, 88, 148, 0x800, 32}, {64, 89, 172, 0x804, 16}, {76, 91, 208, 0x808, 32}};
  for (auto& r : regs) {
    EXPECT_EQ(m.get(t + r.old_at, 4), r.address);
    EXPECT_EQ(m.get(t + r.gas_at, 1), 1u);
    EXPECT_EQ(m.get(t + r.gas_at + 1, 1), r.width);
    EXPECT_EQ(m.get(t + r.gas_at + 4, 8), r.address);
    EXPECT_EQ(m.get(t + r.len_at, 1) * 8, r.width);
  }
  EXPECT_EQ(m.get(t + 116 + 4, 8), 0xcf9u);
  EXPECT_EQ(m.get(t + 128, 1), 6u);
  u64 flags = m.get(t + 112, 4);
  EXPECT_TRUE(flags & 1) << "WBINVD";
  EXPECT_TRUE(flags & (1 << 10)) << "RESET_REG_SUP";
  EXPECT_FALSE(flags & (1 << 20)) << "HW_REDUCED_ACPI";
}

TEST(fadt, legacy_devices_are_those_of_the_platform) {   // "IA-PC Boot Architecture Flags"; the DSDT agrees
  for (unsigned n = 0; n < 8; ++n) {
    Platform p = standard();
    p.i8042 = n & 1, p.vga = n & 2, p.com2 = n & 4;
    complete(p);
    Memory m(p);
    const u64 fadt = m.table("FACP"), dsdt = m.get(fadt + 40, 4);
    EXPECT_EQ(m.get(fadt + 109, 2), 1u | (p.i8042 ? 2 : 0) | (p.vga ? 0 : 4));
    const std::string aml = m.text(dsdt, m.get(dsdt + 4, 4));
    auto status = [&](const char* device) { return static_cast<u8>(aml.at(aml.find("_STA", aml.find(device)) + 5)); };
    EXPECT_EQ(status("KBD_"), p.i8042 ? 15 : 0);
    EXPECT_EQ(status("COM2"), p.com2 ? 15 : 0);
    EXPECT_EQ(m.get(0x402, 2), p.com2 ? 0x2f8u : 0);
    EXPECT_EQ(m.get(0x410, 2) >> 9 & 7, p.com2 ? 2u : 1u);
    EXPECT_EQ(m.get(0x463, 2), p.vga ? 0x3d4u : 0);
    EXPECT_EQ(m.get(4 * 0x10, 4) == 0xf000ff53u, !p.vga) << "INT 10h";
  }
}

TEST(facs, is_aligned_and_64_bytes) {     // ACPI "Firmware ACPI Control Structure (FACS)"
  Memory m(standard());
  u64 f = m.get(m.table("FACP") + 36, 4);
  EXPECT_EQ(f % 64, 0u);
  EXPECT_EQ(m.get(f + 4, 4), 64u);
}

TEST(madt, lists_processors_io_apic_and_overrides) {     // ACPI "Multiple APIC Description Table (MADT)"
  Platform p = standard();
  p.cpu.count = 4;
  p.ioapic_id = 3;
  p.drhds.clear();
  complete(p);
  Memory m(p);
  u64 t = m.table("APIC");
  EXPECT_EQ(m.get(t + 36, 4), 0xfee00000u);
  EXPECT_EQ(m.get(t + 40, 4), 1u);
  std::vector<u64> apics, ioapics;
  std::map<u64, std::pair<u64, u64>> overrides;
  bool nmi = false;
  for (u64 at = t + 44; at < t + m.get(t + 4, 4); at += m.get(at + 1, 1)) {
    ASSERT_NE(m.get(at + 1, 1), 0u);
    switch (m.get(at, 1)) {
      case 0: apics.push_back(m.get(at + 3, 1)); EXPECT_EQ(m.get(at + 4, 4), 1u); break;
      case 1: ioapics.push_back(m.get(at + 2, 1)); EXPECT_EQ(m.get(at + 4, 4), 0xfec00000u); EXPECT_EQ(m.get(at + 8, 4), 0u); break;
      case 2: overrides[m.get(at + 3, 1)] = {m.get(at + 4, 4), m.get(at + 8, 2)}; break;
      case 4: nmi = m.get(at + 2, 1) == 0xff && m.get(at + 5, 1) == 1; break;
      default: ADD_FAILURE() << m.get(at, 1);
    }
  }
  EXPECT_EQ(apics, (std::vector<u64>{0, 1, 2, 3}));
  EXPECT_EQ(ioapics, std::vector<u64>{3});
  EXPECT_EQ(overrides[0], (std::pair<u64, u64>{2, 0}));
  EXPECT_EQ(overrides[9], (std::pair<u64, u64>{9, 0xd}));
  EXPECT_TRUE(nmi);
}

TEST(mcfg, gives_area_and_buses) {     // PCI Firmware "MCFG Table Description"
  Platform p = standard();
  p.ecam_buses = 64;
  complete(p);
  Memory m(p);
  u64 t = m.table("MCFG");
  EXPECT_EQ(m.get(t + 44, 8), 0xb0000000u);
  EXPECT_EQ(m.get(t + 54, 1), 0u);
  EXPECT_EQ(m.get(t + 55, 1), 63u);
  p.ecam = 0;
  complete(p);
  EXPECT_EQ(Memory(p).table("MCFG"), 0u);
}

TEST(hpet, is_there_only_if_enabled) {
  Platform p = standard();
  u64 t = Memory(p).table("HPET");
  EXPECT_EQ(Memory(p).get(t + 44, 8), 0xfed00000u);
  p.hpet = false;
  complete(p);
  EXPECT_EQ(Memory(p).table("HPET"), 0u);
}

TEST(dmar, has_width_flags_units_and_regions) {     // VT-d "DMA Remapping Reporting Structure"
  Platform p = load_platform(PLATFORMS "/rmrr.json");
  p.x2apic_opt_out = true;
  p.host_address_width = 40;
  Memory m(p);
  u64 t = m.table("DMAR");
  EXPECT_EQ(m.get(t + 36, 1), 39u);
  EXPECT_EQ(m.get(t + 37, 1), 3u);
  u64 d = t + 48;
  EXPECT_EQ(m.get(d, 2), 0u);
  EXPECT_EQ(m.get(d + 2, 2), 24u);
  EXPECT_EQ(m.get(d + 4, 1), 1u);
  EXPECT_EQ(m.get(d + 8, 8), 0xfed90000u);
  EXPECT_EQ(m.get(d + 16, 1), 3u) << "an I/O APIC";
  EXPECT_EQ(m.get(d + 17, 1), 8u);
  EXPECT_EQ(m.get(d + 20, 1), p.ioapic_id);
  u64 r = d + 24;
  EXPECT_EQ(m.get(r, 2), 1u);
  EXPECT_EQ(m.get(r + 2, 2), 32u);
  EXPECT_EQ(m.get(r + 8, 8), 0x7bf00000u);
  EXPECT_EQ(m.get(r + 16, 8), 0x7bffffffu);
  EXPECT_EQ(m.get(r + 24, 1), 1u) << "an endpoint";
  EXPECT_EQ(m.get(r + 30, 2), 0x001du);
  EXPECT_EQ(t + m.get(t + 4, 4), r + 32);
}

TEST(dmar, interrupt_remapping_can_be_left_out) {
  Platform p = standard();
  p.dmar_interrupt_remapping = false;
  complete(p);
  Memory m(p);
  EXPECT_EQ(m.get(m.table("DMAR") + 37, 1), 0u);
}

TEST(dmar, is_absent_without_vtd) { EXPECT_EQ(Memory(load_platform(PLATFORMS "/no-vtd.json")).table("DMAR"), 0u); }

TEST(dsdt, windows_are_the_platforms) {     // ACPI "DWord Address Space Descriptor"
  Platform p = standard();
  Memory m(p);
  u64 t = m.get(m.table("FACP") + 40, 4), n = m.get(t + 4, 4);
  std::optional<u64> dword, qword;
  for (u64 i = 36; i + 46 < n; ++i) {
    if (m.get(t + i, 3) == 0x001787 && m.get(t + i + 3, 1) == 0) dword = t + i;
    if (m.get(t + i, 3) == 0x002b8a && m.get(t + i + 3, 1) == 0) qword = t + i;
  }
  ASSERT_TRUE(dword && qword);
  FirmwareLayout l = firmware_layout(p);
  EXPECT_EQ(m.get(*dword + 10, 4), l.pci32.first);
  EXPECT_EQ(m.get(*dword + 14, 4), l.pci32.last());
  EXPECT_EQ(m.get(*dword + 22, 4), l.pci32.size);
  EXPECT_EQ(m.get(*qword + 14, 8), l.pci64.first);
  EXPECT_EQ(m.get(*qword + 22, 8), l.pci64.last());
  EXPECT_EQ(m.get(*qword + 38, 8), l.pci64.size);
}

TEST(smbios, entry_point_and_structures) {     // SMBIOS "SMBIOS 2.1 (32-bit) Entry Point"
  for (u64 gib : {2, 8}) {
    Platform p = default_platform(gib << 30);
    Memory m(p);
    u64 e = m.find("_SM_", 0xf0000, 0x100000);
    ASSERT_NE(e, 0u);
    EXPECT_EQ(m.get(e + 5, 1), 31u);
    EXPECT_EQ(m.sum(e, 31), 0);
    EXPECT_EQ(m.sum(e + 16, 15), 0);
    EXPECT_EQ(m.text(e + 16, 5), "_DMI_");
    u64 at = m.get(e + 24, 4), end = at + m.get(e + 22, 2), count = m.get(e + 28, 2), largest = m.get(e + 8, 2);
    std::vector<u64> types;
    std::map<u64, u64> lengths;
    while (at < end) {
      u64 begin = at;
      types.push_back(m.get(at, 1));
      lengths[m.get(at, 1)] = m.get(at + 1, 1);
      at += m.get(at + 1, 1);
      while (m.get(at, 2)) ++at;
      at += 2;
      EXPECT_LE(at - begin, largest);
    }
    EXPECT_EQ(at, end);
    EXPECT_EQ(types.size(), count);
    std::vector<u64> want = {0, 1, 3, 4, 16, 17, 19, 32, 127};
    if (gib > 2) want.insert(want.begin() + 7, 19);
    EXPECT_EQ(types, want);
    EXPECT_EQ(lengths[0], 24u);
    EXPECT_EQ(lengths[1], 27u);
    EXPECT_EQ(lengths[3], 22u);
    EXPECT_EQ(lengths[4], 42u);
    EXPECT_EQ(lengths[16], 23u);
    EXPECT_EQ(lengths[17], 40u);
    EXPECT_EQ(lengths[19], 31u);
    EXPECT_EQ(lengths[32], 11u);
  }
}

TEST(bios_data, says_where_base_memory_and_ebda_are) {
  Memory m(standard());
  EXPECT_EQ(m.get(0x400, 2), 0x3f8u);
  EXPECT_EQ(m.get(0x40e, 2), 0x9fc0u);
  EXPECT_EQ(m.get(0x413, 2), 639u);
  EXPECT_EQ(m.get(0x9fc00, 1), 1u);
  for (u64 at = 0x9fc00; at < 0xa0000; at += 16) EXPECT_NE(m.text(at, 4), "_MP_");
  EXPECT_EQ(m.find("_MP_", 0xf0000, 0x100000), 0u);
}

TEST(bios_data, interrupt_vectors_lead_into_the_bios) {   // what the services do: guests/bare/bios.asm
  Memory m(standard());
  for (u64 v = 0; v < 256; ++v) {
    const u64 to = m.get(4 * v, 4);
    EXPECT_EQ(to >> 16, 0xf000u);
    EXPECT_GE(to & 0xffff, 0x8000u + 32 + 128 * 20) << "in the memory map";
    if (v >= 0x78) { EXPECT_EQ(to, 0xf000ff53u); }
  }
  EXPECT_EQ(m.get(0xfff53, 1), 0xcfu);
  EXPECT_EQ(m.get(0xffffe, 1), 0xfcu);
}

TEST(bios_data, the_map_that_int_15h_tells_is_the_platforms) {   // ACPI "INT 15H, E820H - Query System Address Map"
  Platform p = standard();
  Memory m(p);
  ASSERT_EQ(m.get(0xf8002, 2), p.e820.size());
  for (std::size_t i = 0; i < p.e820.size(); ++i) {
    const u64 at = 0xf8020 + 20 * i;
    EXPECT_EQ(m.get(at, 8), p.e820[i].first);
    EXPECT_EQ(m.get(at + 8, 8), p.e820[i].size);
    EXPECT_EQ(m.get(at + 16, 4), static_cast<u64>(p.e820[i].type));
  }
}

TEST(bios_data, is_not_there_beside_a_rom) {
  for (const Blob& b : build_firmware(standard(), false)) EXPECT_TRUE((b.at.v >= 0xf0000 && b.at.v < 0xf8000) || b.at.v >= 0x100000) << b.name;
}

TEST(firmware, is_the_same_every_time) {
  auto a = build_firmware(standard()), b = build_firmware(standard());
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) { EXPECT_EQ(a[i].at, b[i].at); EXPECT_EQ(a[i].bytes, b[i].bytes); EXPECT_EQ(a[i].name, b[i].name); }
}

TEST(firmware, a_small_acpi_range_is_an_error_with_its_place) {
  Platform p = standard();
  for (int i = 0; i < 90; ++i) p.rmrrs.push_back({0x90000000u + i * 0x1000u, 0x90000fffu + i * 0x1000u, std::vector<DeviceScope>(60, {DeviceScope::Kind::endpoint, 0, 0, {{4, 0}}})});
  complete(p);
  EXPECT_NO_THROW(build_firmware(p));
  for (auto& e : p.e820) if (e.type == E820::ACPI) e.size = 0x8000;
  try { build_firmware(p); FAIL(); }
  catch (const PlatformError& e) { EXPECT_EQ(std::string(e.what()), "platform: e820: the ACPI tables do not fit in 0x7ffe0000-0x7ffe7fff; give a larger ACPI range"); }
}

}  // namespace
