// SPDX-License-Identifier: GPL-2.0-or-later
/// The importer, on logs, tables and dumps of the real formats.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "firmware/image.hpp"
#include "firmware/import.hpp"
#include "firmware/layout.hpp"

using namespace vt;
using namespace vt::fw;
using Kind = ImportNote::Kind;

namespace {

ImportInput file(const std::string& name) {
  std::ifstream in(std::string(IMPORT_DATA) + "/" + name, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return {name, text.str()};
}
Imported import_files(const std::vector<std::string>& names) {
  std::vector<ImportInput> in;
  for (auto& n : names) in.push_back(file(n));
  return import_platform(in, "test");
}
Imported import_text(const std::string& text) {
  ImportInput in{"x.txt", text};
  return import_platform({&in, 1}, "test");
}
std::string why_not(const std::string& text) {
  try {
    import_text(text);
  } catch (const ImportError& e) {
    return e.what();
  }
  return "";
}

const Origin* origin(const Imported& r, const std::string& field) {
  for (auto& o : r.platform.origins) if (o.field == field) return &o;
  return nullptr;
}
std::string from(const Imported& r, const std::string& field) { auto* o = origin(r, field); return o ? o->from : "none"; }
bool guessed(const Imported& r, const std::string& field) { auto* o = origin(r, field); return o && o->guessed; }
bool noted(const Imported& r, Kind kind, const std::string& where, const std::string& words) {
  return std::any_of(r.notes.begin(), r.notes.end(), [&](auto& n) { return n.kind == kind && n.from == where && n.what.find(words) != std::string::npos; });
}
std::string all_notes(const Imported& r) {
  std::string t;
  for (auto& n : r.notes) t += n.from + ": " + n.what + "\n";
  return t;
}

struct Expect { u64 first, last; E820 type; };
void expect_map(const Imported& r, const std::vector<Expect>& want) {
  ASSERT_EQ(r.platform.e820.size(), want.size()) << all_notes(r);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const E820Range& e = r.platform.e820[i];
    EXPECT_EQ(e.first, want[i].first) << i;
    EXPECT_EQ(e.first + e.size - 1, want[i].last) << i;
    EXPECT_EQ(e.type, want[i].type) << i;
  }
}
bool scope_is(const DeviceScope& s, DeviceScope::Kind kind, Bdf b, unsigned id = 0) {
  return s.kind == kind && s.enumeration_id == id && s.path.size() == 1 && Bdf(s.bus, s.path[0].first, s.path[0].second) == b;
}
using SK = DeviceScope::Kind;

// ---- Xen ----

TEST(import_xen, to_4_13_ends_are_exclusive) {
  Imported r = import_files({"xen-4.11-server.txt"});
  expect_map(r, {{0, 0x99bff, E820::RAM}, {0x99c00, 0x9ffff, E820::RESERVED}, {0xe0000, 0xfffff, E820::RESERVED}, {0x100000, 0x78c5efff, E820::RAM},
                 {0x78c5f000, 0x7a2d5fff, E820::RESERVED}, {0x7a2d6000, 0x7a4a5fff, E820::ACPI}, {0x7a4a6000, 0x7b3d0fff, E820::NVS},
                 {0x7b3d1000, 0x7bdfffff, E820::RESERVED}, {0x80000000, 0x8fffffff, E820::RESERVED}, {0xfed1c000, 0xfed1ffff, E820::RESERVED},
                 {0xff000000, 0xffffffff, E820::RESERVED}, {0x100000000, 0x87fffffff, E820::RAM}});
  EXPECT_EQ(from(r, "e820[0]"), "xen-4.11-server.txt:12");
  EXPECT_EQ(from(r, "e820[11]"), "xen-4.11-server.txt:23");
  EXPECT_FALSE(guessed(r, "e820[5]"));
}

TEST(import_xen, from_4_14_ends_are_inclusive_and_the_initial_map_is_the_firmwares) {
  Imported r = import_files({"xen-4.17-laptop.txt"});
  ASSERT_EQ(r.platform.e820.size(), 20u);
  EXPECT_EQ(r.platform.e820[4].first + r.platform.e820[4].size - 1, 0x57c11fffu);
  EXPECT_EQ(r.platform.e820[5].type, E820::NVS);
  EXPECT_EQ(r.platform.e820[19].first + r.platform.e820[19].size - 1, 0x48d7fffffu);
  EXPECT_EQ(from(r, "e820[0]"), "xen-4.17-laptop.txt:10");
}

TEST(import_xen, the_maps_of_dom0_and_of_domains_are_not_the_hosts) {
  Imported r = import_files({"xen-4.17-laptop.txt"});
  EXPECT_TRUE(noted(r, Kind::ignored, "xen-4.17-laptop.txt:87", "dom0"));
  for (auto& e : r.platform.e820) EXPECT_NE(e.first + e.size - 1, 0x7f6d1fffu);
  EXPECT_EQ(r.platform.cpu.count, 4u) << "8 of which 4 are hot-plug; dom0's Linux says 1";
}

TEST(import_xen, units_regions_and_devices) {     // VT-d "DMA Remapping Reporting Structure"
  Imported r = import_files({"xen-4.17-laptop.txt"});
  const Platform& p = r.platform;
  ASSERT_EQ(p.drhds.size(), 2u);
  EXPECT_EQ(p.drhds[0].address, 0xfed90000u);
  EXPECT_FALSE(p.drhds[0].include_all);
  ASSERT_EQ(p.drhds[0].scopes.size(), 1u);
  EXPECT_TRUE(scope_is(p.drhds[0].scopes[0], SK::endpoint, Bdf(0, 2, 0)));
  EXPECT_TRUE(p.drhds[1].include_all);
  ASSERT_EQ(p.drhds[1].scopes.size(), 2u);
  EXPECT_TRUE(scope_is(p.drhds[1].scopes[0], SK::ioapic, Bdf(0, 0x1e, 7), 2)) << "the id is the I/O APIC's";
  EXPECT_TRUE(scope_is(p.drhds[1].scopes[1], SK::hpet, Bdf(0, 0x1e, 6)));
  ASSERT_EQ(p.rmrrs.size(), 3u);
  EXPECT_EQ(p.rmrrs[0].first, 0x6b9d5000u);
  EXPECT_EQ(p.rmrrs[0].last, 0x6b9f4fffu);
  EXPECT_TRUE(scope_is(p.rmrrs[0].scopes[0], SK::endpoint, Bdf(0, 0x14, 0)));
  EXPECT_EQ(p.rmrrs[2].first, 0x6b907000u) << "told by the complaint about its device";
  EXPECT_TRUE(std::none_of(p.pci.begin(), p.pci.end(), [](auto& f) { return f.bdf == Bdf(0, 0x16, 7); })) << "Xen says that it is not there";
  EXPECT_EQ(from(r, "rmrrs[1]"), "xen-4.17-laptop.txt:66");
  EXPECT_EQ(from(r, "drhds[1].include_all"), "xen-4.17-laptop.txt:60");
  EXPECT_EQ(p.host_address_width, 39u);
  EXPECT_EQ(p.cpu.physical_address_bits, 39u);
  EXPECT_EQ(from(r, "cpu.physical_address_bits"), "xen-4.17-laptop.txt:78");
  EXPECT_EQ(p.pm_base, 0x1800);
  EXPECT_EQ(p.ecam, 0xe0000000u);
  EXPECT_EQ(p.ioapic_id, 2);
}

TEST(import_xen, capability_registers_are_decoded) {     // VT-d "Capability Register", "Extended Capability Register"
  const Drhd d = import_files({"xen-4.17-laptop.txt"}).platform.drhds[1];   // cap d2008c40660462, ecap f050da
  EXPECT_EQ(d.sagaw, std::vector<unsigned>{48});
  EXPECT_EQ(d.mgaw, 39u);
  EXPECT_EQ(d.domain_id_bits, 8u);
  EXPECT_EQ(d.fault_offset, 0x400u);
  EXPECT_EQ(d.fault_records, 1u);
  EXPECT_EQ(d.iotlb_offset, 0x500u);
  EXPECT_TRUE(d.plmr && d.phmr && d.superpage_2m && d.superpage_1g && d.zero_length_read && d.drain_reads && d.drain_writes);
  EXPECT_TRUE(d.queued_invalidation && d.interrupt_remapping && d.extended_interrupt_mode && d.pass_through && d.snoop_control);
  EXPECT_FALSE(d.coherent || d.caching_mode || d.write_buffer_flush);
}

TEST(import_xen, bits_that_are_not_modelled_are_reported) {
  Imported r = import_files({"xen-4.17-laptop.txt"});
  EXPECT_TRUE(noted(r, Kind::not_carried, "xen-4.17-laptop.txt:52", "FL1GP"));
  EXPECT_TRUE(noted(r, Kind::not_carried, "xen-4.17-laptop.txt:52", "PASID"));
  EXPECT_TRUE(noted(r, Kind::not_carried, "xen-4.17-laptop.txt:74", "120 inputs"));
  EXPECT_TRUE(guessed(r, "drhds[0].iotlb_entries"));
}

TEST(import_xen, old_prefixes_several_units_and_the_command_line) {
  Imported r = import_files({"xen-4.11-server.txt"});
  const Platform& p = r.platform;
  ASSERT_EQ(p.drhds.size(), 2u);
  EXPECT_EQ(p.drhds[0].address, 0xfbffc000u);
  EXPECT_EQ(p.drhds[0].fault_records, 8u);
  EXPECT_FALSE(p.drhds[0].coherent);
  EXPECT_EQ(p.drhds[0].iotlb_offset, 0x200u);
  ASSERT_EQ(p.drhds[1].scopes.size(), 2u);
  EXPECT_TRUE(scope_is(p.drhds[1].scopes[0], SK::ioapic, Bdf(0xf0, 0x1f, 0), 1));
  EXPECT_TRUE(noted(r, Kind::not_carried, "xen-4.11-server.txt:58", "00:05.4"));
  ASSERT_EQ(p.rmrrs.size(), 2u);
  EXPECT_EQ(p.rmrrs[0].last, 0x7a1d2fffu);
  EXPECT_EQ(p.rmrrs[0].scopes.size(), 2u);
  EXPECT_EQ(p.rmrrs[1].first, 0x7a2d1000u) << "rmrr= has page numbers";
  EXPECT_EQ(p.rmrrs[1].last, 0x7a2d1fffu);
  EXPECT_TRUE(noted(r, Kind::not_carried, "xen-4.11-server.txt:65", "ATSR"));
  EXPECT_TRUE(noted(r, Kind::not_carried, "xen-4.11-server.txt:71", "16 processors"));
  EXPECT_EQ(p.cpu.count, 8u);
}

TEST(import_xen, a_region_whose_range_a_release_build_does_not_print) {
  std::string map = "(XEN) Xen-e820 RAM map:\n(XEN)  [0000000000000000, 000000000009ffff] (usable)\n(XEN)  [0000000000100000, 000000007bdfffff] (usable)\n"
                    "(XEN)  [000000007be00000, 000000007fffffff] (reserved)\n";
  Imported r = import_text(map + "(XEN) [VT-D]found ACPI_DMAR_DRHD:\n(XEN) [VT-D]  dmaru->address = fed90000\n(XEN) [VT-D]  flags: INCLUDE_ALL\n"
                           "(XEN) [VT-D]found ACPI_DMAR_RMRR:\n(XEN) [VT-D] endpoint: 0000:00:1d.0\n(XEN) Using APIC driver default\n");
  ASSERT_EQ(r.platform.rmrrs.size(), 1u);
  EXPECT_TRUE(guessed(r, "rmrrs[0]"));
  EXPECT_FALSE(guessed(r, "rmrrs[0].scopes[0]"));
  EXPECT_GE(r.platform.rmrrs[0].first, 0x7be00000u);
  EXPECT_LE(r.platform.rmrrs[0].last, 0x7fffffffu);
}

// ---- Linux ----

TEST(import_linux, to_3_4_ends_are_exclusive) {
  Imported r = import_files({"linux-2.6.txt"});
  expect_map(r, {{0, 0x9d7ff, E820::RAM}, {0x9d800, 0x9ffff, E820::RESERVED}, {0xe0000, 0xfffff, E820::RESERVED}, {0x100000, 0xbf77ffff, E820::RAM},
                 {0xbf780000, 0xbf78dfff, E820::ACPI}, {0xbf78e000, 0xbf7cffff, E820::NVS}, {0xbf7d0000, 0xbf7dffff, E820::RESERVED},
                 {0xbf7ed000, 0xbfffffff, E820::RESERVED}, {0xfee00000, 0xfee00fff, E820::RESERVED}, {0xffe00000, 0xffffffff, E820::RESERVED},
                 {0x100000000, 0x33fffffff, E820::RAM}});
}

TEST(import_linux, old_lines_of_units_ports_and_mtrrs) {
  Imported r = import_files({"linux-2.6.txt"});
  const Platform& p = r.platform;
  ASSERT_EQ(p.drhds.size(), 1u) << "the list of processor makers is no AMD machine";
  EXPECT_EQ(p.drhds[0].address, 0xfbffe000u);
  EXPECT_EQ(p.drhds[0].domain_id_bits, 8u);
  EXPECT_FALSE(guessed(r, "drhds[0]"));
  ASSERT_EQ(p.rmrrs.size(), 2u);
  EXPECT_EQ(p.rmrrs[0].scopes.size(), 2u) << "from the identity mappings";
  EXPECT_TRUE(scope_is(p.rmrrs[1].scopes[0], SK::endpoint, Bdf(0, 0x1d, 0)));
  EXPECT_EQ(p.rsdp_revision, 0u);
  EXPECT_EQ(p.ecam_buses, 256u) << "old Linux prints bus numbers in decimal";
  EXPECT_TRUE(guessed(r, "pm_base"));
  EXPECT_EQ(p.pm_base, 0x800);
  EXPECT_EQ(p.cpu.count, 4u);
  EXPECT_EQ(p.cpu.physical_address_bits, 36u) << "the MTRRs' masks";
  EXPECT_EQ(p.mtrrs.def, MemType::UC);
  ASSERT_EQ(p.mtrrs.variable.size(), 5u);
  EXPECT_EQ(p.mtrrs.variable[4].base, 0xc0000000u);
  EXPECT_EQ(p.mtrrs.variable[4].size, 0x40000000u);
  EXPECT_EQ(p.mtrrs.variable[4].type, MemType::UC);
  EXPECT_FALSE(p.hpet) << "the list of tables has none";
}

TEST(import_linux, from_3_5_ends_are_inclusive_and_updates_are_not_the_firmwares) {
  Imported r = import_files({"linux-6.1.txt"});
  ASSERT_EQ(r.platform.e820.size(), 13u);
  EXPECT_EQ(r.platform.e820[0].size, 0x9f000u);
  EXPECT_EQ(r.platform.e820[11].first + r.platform.e820[11].size - 1, 0x28f7fffffu);
  EXPECT_EQ(r.platform.e820[12].type, E820::RESERVED);
  EXPECT_TRUE(noted(r, Kind::not_carried, "linux-6.1.txt:17", "soft reserved"));
}

TEST(import_linux, functions_with_their_bars) {
  const Platform p = import_files({"linux-6.1.txt"}).platform;
  ASSERT_EQ(p.pci.size(), 6u);
  const PciFunction& g = p.pci[1];
  EXPECT_EQ(g.bdf, Bdf(0, 2, 0));
  EXPECT_EQ(g.device, 0x9a49);
  EXPECT_EQ(g.class_code, 0x030000u);
  ASSERT_EQ(g.bars.size(), 3u);
  EXPECT_EQ(g.bars[1].index, 2u);
  EXPECT_EQ(g.bars[1].kind, PciBar::Kind::mem64);
  EXPECT_TRUE(g.bars[1].prefetchable);
  EXPECT_EQ(g.bars[1].size, 0x10000000u);
  EXPECT_EQ(g.bars[2].kind, PciBar::Kind::io);
  EXPECT_EQ(p.pci[2].secondary_bus, std::optional<u8>(1));
  EXPECT_EQ(p.pci[5].bdf, Bdf(1, 0, 0));
  EXPECT_EQ(p.pci[0].model, "host-bridge");
  EXPECT_EQ(p.pci[4].model, "isa-bridge");
}

TEST(import_linux, devices_that_it_does_not_name_are_guessed) {
  Imported r = import_files({"linux-6.1.txt"});
  EXPECT_TRUE(guessed(r, "drhds[0].scopes[0]"));
  EXPECT_TRUE(scope_is(r.platform.drhds[0].scopes[0], SK::endpoint, Bdf(0, 2, 0)));
  EXPECT_TRUE(guessed(r, "rmrrs[0].scopes[0]"));
  EXPECT_TRUE(scope_is(r.platform.rmrrs[0].scopes[0], SK::endpoint, Bdf(0, 0x14, 0)));
  EXPECT_TRUE(scope_is(r.platform.rmrrs[1].scopes[0], SK::endpoint, Bdf(0, 2, 0)));
  EXPECT_FALSE(r.platform.x2apic_opt_out);
  EXPECT_EQ(from(r, "x2apic_opt_out"), "linux-6.1.txt:57");
}

TEST(import_linux, under_xen_its_map_is_a_domains) {
  std::string why = why_not("[    0.000000] Hypervisor detected: Xen HVM\n[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable\n"
                            "[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable\n");
  EXPECT_NE(why.find("xl dmesg"), std::string::npos) << why;
  why = why_not("Booting paravirtualized kernel on Xen\nXen: [mem 0x0000000000000000-0x000000000009ffff] usable\n");
  EXPECT_NE(why.find("a domain"), std::string::npos) << why;
}

// ---- in a bad state ----

TEST(import_state, a_paste_that_is_cut_off_gives_what_is_there_and_says_where_it_ends) {
  Imported r = import_files({"truncated.txt"});
  ASSERT_EQ(r.platform.e820.size(), 7u);
  EXPECT_TRUE(noted(r, Kind::unreadable, "truncated.txt:17", "[0000000057c14000, 00000000"));
  EXPECT_TRUE(noted(r, Kind::unreadable, "truncated.txt:17", "ends inside the memory map"));
  EXPECT_TRUE(guessed(r, "vtd"));
}

TEST(import_state, noise_between_and_inside_lines) {
  Imported r = import_files({"noise.txt"}), clean = import_files({"linux-6.1.txt"});
  EXPECT_TRUE(noted(r, Kind::unreadable, "noise.txt:15", "audit"));
  ASSERT_EQ(r.platform.e820.size(), clean.platform.e820.size() - 1) << "but for the torn line";
  for (std::size_t i = 0, j = 0; j < clean.platform.e820.size(); ++j) {
    if (clean.platform.e820[j].first == 0xfed20000) continue;
    EXPECT_EQ(r.platform.e820[i].first, clean.platform.e820[j].first);
    EXPECT_EQ(r.platform.e820[i++].size, clean.platform.e820[j].size);
  }
  ASSERT_EQ(r.platform.drhds.size(), 2u);
  EXPECT_EQ(r.platform.drhds[0].mgaw, clean.platform.drhds[0].mgaw);
  EXPECT_EQ(r.platform.rmrrs.size(), 2u);
}

TEST(import_state, a_quoted_and_encoded_mail_says_the_same) {     // RFC 2045 "Quoted-Printable Content-Transfer-Encoding"
  Platform a = import_files({"mail.txt"}).platform, b = import_files({"xen-4.17-laptop.txt"}).platform;
  a.description = b.description;
  EXPECT_EQ(to_json(a), to_json(b));
}

TEST(import_state, a_map_without_its_first_ranges_gets_base_memory) {
  Imported r = import_text("(XEN)  [0000000000100000, 000000006fffffff] (usable)\n(XEN)  [0000000070000000, 00000000700fffff] (ACPI data)\n");
  EXPECT_TRUE(guessed(r, "e820[0]")) << all_notes(r);
  EXPECT_TRUE(guessed(r, "e820[1]")) << "its title is cut off";
  EXPECT_EQ(r.platform.e820[0].first, 0u);
}

TEST(import_state, ranges_that_the_kernel_knows_and_the_paste_has_not) {
  Imported r = import_text("BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable\nBIOS-e820: [mem 0x0000000000100000-0x000000006fffffff] usable\n"
                           "e820: last_pfn = 0x840000 max_arch_pfn = 0x400000000\n");
  EXPECT_TRUE(noted(r, Kind::unreadable, "x.txt:2", "ranges are missing"));
}

TEST(import_state, ranges_that_overlap_keep_the_stricter_type) {
  Imported r = import_text("BIOS-e820: [mem 0x0000000000000000-0x000000006fffffff] usable\nBIOS-e820: [mem 0x00000000000a0000-0x00000000000fffff] reserved\n");
  ASSERT_EQ(r.platform.e820.size(), 3u);
  EXPECT_TRUE(noted(r, Kind::conflict, "x.txt:2", "overlaps"));
}

TEST(import_state, only_what_a_kernel_made_of_the_map_is_a_guess) {
  Imported r = import_text("modified: [mem 0x0000000000000000-0x000000000009ffff] usable\nmodified: [mem 0x0000000000100000-0x000000006fffffff] usable\n");
  EXPECT_TRUE(guessed(r, "e820[1]"));
}

TEST(import_state, nothing_recognisable_says_what_was_looked_for) {
  std::string why = why_not("Dear list,\nmy machine does not boot.\n");
  EXPECT_NE(why.find("Xen-e820 RAM map"), std::string::npos);
  EXPECT_NE(why.find("lspci"), std::string::npos);
}

TEST(import_state, bytes_of_any_kind_are_no_crash) {
  for (const char* name : {"xen-4.11-server.txt", "xen-4.17-laptop.txt", "linux-2.6.txt", "linux-6.1.txt", "acpidump.txt", "lspci-xxx.txt", "noise.txt", "mail.txt"}) {
    const ImportInput whole = file(name);
    u64 seed = 88172645463325252ull;
    auto random = [&] { return seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; };
    for (unsigned n = 0; n < 100; ++n) {
      ImportInput in = whole;
      if (n % 3 == 0) in.bytes.resize(random() % in.bytes.size());
      for (u64 k = random() % 40; k-- && !in.bytes.empty();) {
        static constexpr char kBytes[] = "0123456789abcdefx-[](),:. \n\r\t=\x1b\xff";
        in.bytes[random() % in.bytes.size()] = kBytes[random() % (sizeof kBytes - 1)];
      }
      try {
        Imported r = import_platform({&in, 1}, "x");
        Platform again = parse_platform(import_json(r, {&in, 1}), "again.json");
        again.file.clear();
        EXPECT_EQ(to_json(again), to_json(r.platform)) << name << " " << n;
      } catch (const ImportError&) {
      }
    }
  }
}

TEST(import_state, an_amd_machine_is_refused_with_the_reason) {
  try {
    import_files({"amd.txt"});
    FAIL();
  } catch (const ImportError& e) {
    EXPECT_NE(std::string(e.what()).find("amd.txt:3: CPU Vendor: AMD"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("out of scope"), std::string::npos);
  }
  const std::string map = "BIOS-e820: [mem 0x0000000000000000-0x000000006fffffff] usable\n";
  for (const char* line : {"ACPI: IVRS 0x00000000CFCF9740 0000E0 (v01 AMD RD890S 00202031 AMD 00000000)", "AMD-Vi: Found IOMMU cap 0x40", "vendor_id\t: AuthenticAMD",
                           "smpboot: CPU0: AMD Ryzen 7 (family: 0x17)"})
    EXPECT_NE(why_not(map + line + "\n").find("x.txt:2"), std::string::npos) << line;
  for (const char* line : {"  AMD AuthenticAMD", "AMD-Vi: AMD IOMMUv2 functionality not available on this system - This is not a bug."})
    EXPECT_EQ(why_not(map + line + "\n"), "") << line;
}

// ---- ACPI tables, lspci ----

TEST(import_acpi, acpidump_text) {
  Imported r = import_files({"acpidump.txt", "linux-6.1.txt"});
  const Platform& p = r.platform;
  ASSERT_EQ(p.drhds.size(), 2u);
  EXPECT_TRUE(scope_is(p.drhds[1].scopes[0], SK::ioapic, Bdf(0, 0x1e, 7), 2));
  EXPECT_EQ(from(r, "drhds[1].scopes[0]"), "acpidump.txt:2-13");
  EXPECT_EQ(p.drhds[1].mgaw, 39u) << "the registers are in the log";
  EXPECT_EQ(from(r, "drhds[1]"), "linux-6.1.txt:50");
  EXPECT_TRUE(scope_is(p.rmrrs[0].scopes[0], SK::endpoint, Bdf(0, 0x14, 0)));
  EXPECT_FALSE(guessed(r, "rmrrs[0].scopes[0]"));
  EXPECT_EQ(p.cpu.count, 4u) << "two of six are disabled";
  EXPECT_EQ(p.ecam_buses, 128u) << "the table holds, not the log";
  EXPECT_TRUE(noted(r, Kind::not_carried, "acpidump.txt:39-41", "BOOT"));
  ASSERT_EQ(r.tables.size(), 4u);
  EXPECT_EQ(r.tables[0].signature, "DMAR");
  EXPECT_EQ(r.tables[0].bytes.size(), 184u);
}

TEST(import_acpi, raw_tables_xxd_and_hexdump_give_what_this_firmware_was_made_from) {
  for (const char* name : {"rmrr", "sagaw39", "smp4", "rmrr-low"}) {
    const Platform p = load_platform(std::string(PLATFORMS) + "/" + name + ".json");
    for (int form = 0; form < 3; ++form) {
      std::vector<ImportInput> in;
      std::string text;
      for (const Blob& b : build_firmware(p)) {
        if (b.name != "DMAR" && b.name != "APIC" && b.name != "MCFG" && b.name != "HPET" && b.name != "FACP") continue;
        if (form == 0) in.push_back({b.name + ".dat", std::string(b.bytes.begin(), b.bytes.end())});
        for (std::size_t i = 0; i < b.bytes.size(); i += 16) {
          char t[16];
          std::snprintf(t, sizeof t, form == 1 ? "%08zx:" : "%08zx ", i);
          text += t;
          for (std::size_t k = i; k < std::min(i + 16, b.bytes.size()); ++k) {
            std::snprintf(t, sizeof t, form == 1 && k % 2 ? "%02x" : k % 8 == 0 && form == 2 && k > i ? "  %02x" : " %02x", b.bytes[k]);
            text += t;
          }
          text += form == 1 ? "  ................\n" : "  |................|\n";
        }
      }
      if (form) in.push_back({"dump.txt", text});
      const Imported r = import_platform(in, "x");
      ASSERT_EQ(r.platform.drhds.size(), p.drhds.size()) << name << form << all_notes(r);
      EXPECT_EQ(r.platform.drhds[0].address, p.drhds[0].address);
      ASSERT_EQ(r.platform.drhds[0].scopes.size(), p.drhds[0].scopes.size());
      EXPECT_EQ(r.platform.drhds[0].scopes[0].path, p.drhds[0].scopes[0].path);
      ASSERT_EQ(r.platform.rmrrs.size(), p.rmrrs.size());
      for (std::size_t i = 0; i < p.rmrrs.size(); ++i) EXPECT_EQ(r.platform.rmrrs[i].last, p.rmrrs[i].last);
      EXPECT_EQ(r.platform.cpu.count, p.cpu.count);
      EXPECT_EQ(r.platform.ecam, p.ecam);
      EXPECT_EQ(r.platform.hpet_address, p.hpet_address);
      EXPECT_EQ(r.platform.pm_base, p.pm_base);
      EXPECT_EQ(r.platform.host_address_width, p.host_address_width);
      EXPECT_TRUE(std::none_of(r.notes.begin(), r.notes.end(), [](auto& n) { return n.kind != Kind::not_carried; })) << all_notes(r);
    }
  }
}

TEST(import_acpi, missing_rows_wrong_sums_and_short_structures_are_said) {
  ImportInput in = file("acpidump.txt");
  auto without = [&](const std::string& row) {
    ImportInput x = in;
    auto begin = x.bytes.find(row), end = x.bytes.find('\n', begin);
    x.bytes.erase(begin, end + 1 - begin);
    return import_platform({&x, 1}, "x");
  };
  Imported r = without("    0050: ");
  EXPECT_TRUE(noted(r, Kind::unreadable, "acpidump.txt:7", "offset 0x60 follows 0x50"));
  EXPECT_TRUE(std::any_of(r.notes.begin(), r.notes.end(), [](auto& n) { return n.what.find("80 of 184 bytes") != std::string::npos; })) << all_notes(r);
  ImportInput x = in;
  x.bytes.replace(x.bytes.find("44 4D 41 52 B8 00 00 00 01"), 26, "44 4D 41 52 B8 00 00 00 02");
  EXPECT_TRUE(noted(import_platform({&x, 1}, "x"), Kind::conflict, "acpidump.txt:2-13", "checksum"));
}

TEST(import_lspci, ids_bars_bridges) {
  Imported r = import_files({"lspci-xxx.txt"});
  const Platform& p = r.platform;
  ASSERT_EQ(p.pci.size(), 8u) << all_notes(r);
  EXPECT_EQ(p.pci[0].subsystem_vendor, 0x1458);
  EXPECT_EQ(p.pci[1].bars.size(), 3u);
  EXPECT_EQ(p.pci[1].bars[0].size, 16u << 20);
  EXPECT_FALSE(guessed(r, "pci[1].bars[0].size"));
  EXPECT_TRUE(p.pci[1].msi);
  EXPECT_EQ(p.pci[1].interrupt_pin, 1);
  EXPECT_EQ(p.pci[2].bars[0].address, 0xdf210000u);
  EXPECT_TRUE(guessed(r, "pci[2].bars[0].size"));
  EXPECT_EQ(p.pci[3].secondary_bus, std::optional<u8>(1));
  EXPECT_EQ(p.pci[4].model, "isa-bridge");
  EXPECT_EQ(p.pci[7].vendor, 0x144d);
  EXPECT_EQ(from(r, "pci[7]"), "lspci-xxx.txt:114-129");
  EXPECT_TRUE(noted(r, Kind::not_carried, "lspci-xxx.txt:114-129", "MSI-X"));
  EXPECT_TRUE(noted(r, Kind::unreadable, "lspci-xxx.txt:133", "cut off"));
}

// ---- the description ----

TEST(import_json, the_description_loads_and_is_the_same_machine) {
  for (const char* name : {"xen-4.11-server.txt", "xen-4.17-laptop.txt", "linux-2.6.txt", "linux-6.1.txt", "acpidump.txt", "lspci-xxx.txt", "noise.txt", "truncated.txt"}) {
    ImportInput in = file(name);
    Imported r = import_platform({&in, 1}, "x");
    const std::string text = import_json(r, {&in, 1});
    Platform p = parse_platform(text, "");
    EXPECT_EQ(to_json(p), to_json(r.platform)) << name;
    EXPECT_EQ(p.origins.size(), r.platform.origins.size());
    for (const LintFinding& f : lint(p)) EXPECT_FALSE(f.error) << name << " " << f.field << ": " << f.message;
  }
}

TEST(import_json, origins_do_not_change_the_canonical_description) {
  const std::string plain = R"({"vitrine": "platform/1", "name": "x")";
  Platform a = parse_platform(plain + "}");
  Platform b = parse_platform(plain + R"(, "import": {"files": ["a"], "fields": [{"field": "memory", "from": "a:1", "guessed": true, "why": "so"}]}})");
  EXPECT_EQ(to_json(a), to_json(b));
  ASSERT_EQ(b.origins.size(), 1u);
  EXPECT_EQ(b.origins[0].why, "so");
  EXPECT_THROW(parse_platform(plain + R"(, "import": {"field": 1}})"), PlatformError);
}

TEST(import_json, the_schema_lists_what_is_written) {
  std::ifstream in(SCHEMA);
  const auto schema = nlohmann::json::parse(in)["definitions"];
  auto keys = [](const nlohmann::json& j) {
    std::string t;
    for (auto& [k, v] : j.items()) t += k + " ";
    return t;
  };
  ImportInput dump = file("acpidump.txt"), cut = file("truncated.txt");
  std::vector<ImportInput> both{dump, cut};
  const auto j = nlohmann::json::parse(import_json(import_platform(both, "x"), both))["import"];
  EXPECT_EQ(keys(j), keys(schema["import"]["properties"]));
  EXPECT_EQ(keys(j["tables"][0]), keys(schema["import"]["properties"]["tables"]["items"]["properties"]));
  EXPECT_EQ(keys(j["unreadable"][0]), keys(schema["note"]["properties"]));
  std::string most;
  for (auto& e : j["fields"]) most = std::max(most, keys(e), [](auto& a, auto& b) { return a.size() < b.size(); });
  EXPECT_EQ(most, keys(schema["import"]["properties"]["fields"]["items"]["properties"]));
}

TEST(import_json, every_value_that_is_told_has_its_place) {
  Imported r = import_files({"xen-4.17-laptop.txt"});
  for (auto& o : r.platform.origins) {
    EXPECT_TRUE(o.guessed || o.from.find(".txt:") != std::string::npos) << o.field;
    EXPECT_EQ(o.guessed, !o.why.empty()) << o.field;
  }
}

}  // namespace
