// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "firmware/layout.hpp"
#include "firmware/platform.hpp"
#include "firmware/timing.hpp"

using namespace vt;
using namespace vt::fw;

namespace {

Platform parse(const std::string& body) { return parse_platform(R"({"vitrine": "platform/1")" + (body.empty() ? "" : ", " + body) + "}", "x.json"); }

E820 type_at(const Platform& p, u64 at) {
  for (const E820Range& e : p.e820) if (at >= e.first && at - e.first < e.size) return e.type;
  return E820{0};
}

bool said(const std::vector<LintFinding>& all, const std::string& field, const std::string& words) {
  return std::any_of(all.begin(), all.end(), [&](const LintFinding& f) { return f.field == field && f.message.find(words) != std::string::npos; });
}

TEST(default_platform, two_gib_lie_below_the_ecam_area) {     // ACPI "System Address Map Interfaces"
  Platform p = default_platform(u64{2} << 30);
  EXPECT_EQ(type_at(p, 0), E820::RAM);
  EXPECT_EQ(type_at(p, 0x9fbff), E820::RAM);
  EXPECT_EQ(type_at(p, 0x9fc00), E820::RESERVED);
  EXPECT_EQ(type_at(p, 0xa0000), E820{0});
  EXPECT_EQ(type_at(p, 0xfffff), E820::RESERVED);
  EXPECT_EQ(type_at(p, 0x100000), E820::RAM);
  EXPECT_EQ(type_at(p, 0x7ffdffff), E820::RAM);
  EXPECT_EQ(type_at(p, 0x7ffe0000), E820::ACPI);
  EXPECT_EQ(type_at(p, 0x7fffffff), E820::NVS);
  EXPECT_EQ(type_at(p, 0x80000000), E820{0});
  EXPECT_EQ(type_at(p, 0xb0000000), E820::RESERVED);
  EXPECT_EQ(type_at(p, 0xfec00000), E820::RESERVED);
  EXPECT_EQ(type_at(p, 0xfed00000), E820::RESERVED);
  EXPECT_EQ(type_at(p, 0xfed90000), E820{0}) << "DRHD pages are not in the E820";
  EXPECT_EQ(low_memory_top(p), 0x80000000u);
  for (std::size_t i = 1; i < p.e820.size(); ++i) EXPECT_GE(p.e820[i].first, p.e820[i - 1].first + p.e820[i - 1].size);
}

TEST(default_platform, more_than_two_gib_continue_at_four_gib) {
  Platform p = default_platform(u64{6} << 30);
  EXPECT_EQ(type_at(p, 0x7fffffff), E820::NVS);
  EXPECT_EQ(p.e820.back().first, u64{4} << 30);
  EXPECT_EQ(p.e820.back().size, u64{4} << 30);
  EXPECT_EQ(p.e820.back().type, E820::RAM);
}

TEST(default_platform, less_memory_moves_the_acpi_area_down) {
  Platform p = default_platform(u64{512} << 20);
  EXPECT_EQ(type_at(p, 0x1fffffff), E820::NVS);
  EXPECT_EQ(type_at(p, 0x20000000), E820{0});
}

TEST(default_platform, mtrrs_make_the_hole_uncacheable) {     // SDM 3A "MTRRs"
  for (u64 mib : {64, 512, 2048, 8192}) {
    Platform p = default_platform(mib << 20);
    EXPECT_EQ(p.mtrrs.def, MemType::WB);
    ASSERT_EQ(p.mtrrs.variable.size(), 1u);
    EXPECT_EQ(p.mtrrs.variable[0].base, 0x80000000u);
    EXPECT_EQ(p.mtrrs.variable[0].size, 0x80000000u);
    EXPECT_EQ(p.mtrrs.variable[0].type, MemType::UC);
  }
}

TEST(default_platform, mtrrs_are_powers_of_two_for_any_hole) {
  Platform p = parse(R"("e820": [{"first": 0, "size": "0xa0000", "type": "RAM"}, {"first": "1M", "last": "0xafefffff", "type": "RAM"},
                                 {"first": "0xaff00000", "size": "64K", "type": "ACPI"}, {"first": "4G", "size": "1G", "type": "RAM"}])");
  u64 at = 0xb0000000;
  for (auto& v : p.mtrrs.variable) {
    EXPECT_EQ(v.base, at);
    EXPECT_EQ(v.size & (v.size - 1), 0u);
    EXPECT_EQ(v.base % v.size, 0u);
    at += v.size;
  }
  EXPECT_EQ(at, u64{4} << 30);
  EXPECT_TRUE(lint(p).empty() || !said(lint(p), "mtrrs.variable[0]", "covers RAM"));
}

TEST(default_platform, has_one_unit_that_lists_the_io_apic) {
  Platform p = default_platform(u64{2} << 30);
  ASSERT_EQ(p.drhds.size(), 1u);
  ASSERT_EQ(p.drhds[0].scopes.size(), 1u);
  EXPECT_EQ(p.drhds[0].scopes[0].kind, DeviceScope::Kind::ioapic);
  EXPECT_EQ(ioapic_source_id(p), Bdf(0xf0, 0x1f, 0));
}

TEST(default_platform, extended_interrupt_mode_goes_with_remapping) {   // VT-d "Extended Capability Register": EIM
  EXPECT_TRUE(default_platform(u64{2} << 30).drhds[0].extended_interrupt_mode);   // its processors have x2APIC
  auto unit = [](const char* text) { return parse(text).drhds.at(0); };
  EXPECT_TRUE(unit(R"("drhds": [{}])").extended_interrupt_mode);
  EXPECT_FALSE(unit(R"("drhds": [{"interrupt_remapping": false}])").extended_interrupt_mode);
  EXPECT_FALSE(unit(R"("drhds": [{"extended_interrupt_mode": false}])").extended_interrupt_mode);
}

TEST(default_platform, has_host_bridge_isa_bridge_and_dma_function) {
  Platform p = default_platform(u64{2} << 30);
  ASSERT_EQ(p.pci.size(), 3u);
  EXPECT_EQ(p.pci[0].device, 0x29c0);
  EXPECT_EQ(p.pci[0].model, "host-bridge");
  EXPECT_EQ(p.pci[1].bdf, Bdf(0, 4, 0));
  EXPECT_EQ(p.pci[1].model, "dma");
  EXPECT_EQ(p.pci[1].bars.at(0).address, 0xfebf0000u);
  EXPECT_TRUE(p.pci[1].msi);
  EXPECT_EQ(p.pci[2].bdf, Bdf(0, 0x1f, 0));
  EXPECT_EQ(p.pci[2].class_code, 0x060100u);
}

TEST(default_platform, has_nothing_odd) {
  for (auto& f : lint(default_platform(u64{2} << 30))) ADD_FAILURE() << f.field << ": " << f.message;
  for (auto& f : lint(default_platform(u64{8} << 30))) ADD_FAILURE() << f.field << ": " << f.message;
}

TEST(complete, lays_a_derived_e820_out_again) {
  Platform p = default_platform(u64{2} << 30);
  p.memory = u64{1} << 30;
  p.cpu.count = 3;
  complete(p);
  EXPECT_EQ(low_memory_top(p), 0x40000000u);
}

TEST(complete, keeps_a_given_e820) {
  Platform p = load_platform(PLATFORMS "/odd-edges.json");
  auto before = p.e820.size();
  p.memory = u64{1} << 30;
  complete(p);
  EXPECT_EQ(p.e820.size(), before);
  EXPECT_FALSE(p.e820_derived);
}

TEST(complete, without_vtd_there_is_no_unit) {
  Platform p = parse(R"("vtd": false)");
  EXPECT_TRUE(p.drhds.empty());
}

TEST(json, canonical_text_reads_back_to_itself) {
  for (auto& f : std::filesystem::directory_iterator(PLATFORMS)) {
    std::string once = to_json(load_platform(f.path()));
    EXPECT_EQ(to_json(parse_platform(once, f.path())), once) << f.path();
  }
}

TEST(json, is_the_same_every_time) { EXPECT_EQ(to_json(default_platform(1u << 30)), to_json(default_platform(1u << 30))); }

TEST(json, numbers_have_three_spellings) {
  EXPECT_EQ(parse(R"("memory": 1073741824)").memory, u64{1} << 30);
  EXPECT_EQ(parse(R"("memory": "0x40000000")").memory, u64{1} << 30);
  EXPECT_EQ(parse(R"("memory": "1G")").memory, u64{1} << 30);
  EXPECT_EQ(parse(R"("memory": "1024M")").memory, u64{1} << 30);
}

TEST(json, a_range_has_size_or_last) {
  Platform p = parse(R"("e820": [{"first": 0, "size": "640K", "type": "RAM"}, {"first": "1M", "last": "0x3fffffff", "type": "RAM"}])");
  EXPECT_EQ(p.e820[1].size, 0x3ff00000u);
  EXPECT_EQ(p.memory, 0xa0000u + 0x3ff00000u);
}

TEST(json, name_is_the_files_unless_given) {
  EXPECT_EQ(parse("").name, "x");
  EXPECT_EQ(parse(R"("name": "mine")").name, "mine");
}

TEST(json, scopes_and_functions_are_written_as_people_write_them) {
  Platform p = load_platform(PLATFORMS "/rmrr.json");
  ASSERT_EQ(p.rmrrs.size(), 1u);
  EXPECT_EQ(p.rmrrs[0].first, 0x7bf00000u);
  EXPECT_EQ(p.rmrrs[0].last, 0x7bffffffu);
  EXPECT_EQ(p.rmrrs[0].scopes.at(0).path.at(0), (std::pair<u8, u8>{0x1d, 0}));
  EXPECT_TRUE(std::any_of(p.pci.begin(), p.pci.end(), [](auto& f) { return f.bdf == Bdf(0, 0x1d, 0); }));
}

// What the schema lists is what the parser knows, structure by structure.
void same_fields(const nlohmann::json& schema, const nlohmann::json& node, const nlohmann::json& value, const std::string& at) {
  nlohmann::json s = node;
  if (s.contains("allOf")) s = s["allOf"][0];
  if (s.contains("anyOf")) s = s["anyOf"].back();   // the longest form
  if (s.contains("$ref")) s = schema.at(nlohmann::json::json_pointer(s["$ref"].get<std::string>().substr(1)));
  if (value.is_array() && !value.empty()) { same_fields(schema, s["items"], value[0], at + "[0]"); return; }
  if (!value.is_object()) return;
  EXPECT_EQ(s["additionalProperties"], false) << at;
  std::set<std::string> listed, known;
  for (auto& [k, v] : s["properties"].items()) listed.insert(k);
  for (auto& [k, v] : value.items()) { known.insert(k); if (listed.count(k)) same_fields(schema, s["properties"][k], v, at + "." + k); }
  if (listed.count("last") && listed.count("size")) listed.erase("last");   // another spelling of size
  if (!known.count("secondary_bus")) listed.erase("secondary_bus");         // bridges only
  if (!known.count("dma")) listed.erase("dma");                             // scripted-dma only
  if (!known.count("disks")) listed.erase("disks");                         // of disk controllers only
  for (const char* k : {"origin", "source", "base", "description"}) if (at.starts_with(".timing") && !known.count(k)) listed.erase(k);   // of profiles in files
  if (at == ".timing.profile") listed.erase("vitrine");
  if (!known.count("import")) listed.erase("import");                       // imported descriptions only
  EXPECT_EQ(listed, known) << at;
}

TEST(schema, lists_the_fields_that_the_parser_knows) {
  std::ifstream in(SCHEMA);
  nlohmann::json schema = nlohmann::json::parse(in);
  Platform p = load_platform(PLATFORMS "/rmrr.json");
  std::swap(p.pci[0], p.pci[1]);   // one with a BAR in front
  p.pci[0].dma.push_back({});
  p.cpu.schedule_seed = 1;
  p.isa.push_back({"fw-cfg"});
  p.timing = {timing::Model::events, load_profile("skylake-server")};
  same_fields(schema, schema, nlohmann::json::parse(to_json(p)), "");
}

TEST(platforms, load_and_have_the_shape_they_are_named_for) {
  struct Case { const char* name; const char* field; const char* words; };
  const Case cases[] = {
    {"reserved-rich", "drhds[0].address", "is RESERVED in the E820"},
    {"rmrr-in-ram", "rmrrs[0]", "rmrr-in-ram"},
    {"rmrr-low", "rmrrs[0]", "rmrr-low"},
    {"kernel-hole", "e820[4]", "kernel-hole"},
    {"rsdt-only", "rsdp_revision", "rsdt-only"},
    {"no-vtd", "vtd", "no VT-d unit"},
    {"no-vmx", "cpu.features", "without VMX"},
    {"odd-edges", "e820[3]", "edge inside a page"},
  };
  for (auto& c : cases) {
    auto all = lint(load_platform(std::string(PLATFORMS "/") + c.name + ".json"));
    EXPECT_TRUE(said(all, c.field, c.words)) << c.name;
  }
  for (const char* clean : {"default", "low-reserved", "acpi-nvs", "rmrr", "sagaw39", "sagaw48", "sagaw-both", "no-superpages", "smp2", "smp4",
                            "fault-records", "fault-records-end"})
    for (auto& f : lint(load_platform(std::string(PLATFORMS "/") + clean + ".json"))) ADD_FAILURE() << clean << ": " << f.field << ": " << f.message;
}

TEST(platforms, every_file_loads_and_describes_itself) {
  std::size_t n = 0;
  for (auto& f : std::filesystem::directory_iterator(PLATFORMS)) {
    Platform p = load_platform(f.path());
    EXPECT_EQ(p.name, f.path().stem().string());
    EXPECT_FALSE(p.description.empty()) << f.path();
    EXPECT_EQ(p.file, f.path().string());
    ++n;
  }
  EXPECT_GE(n, 20u);
}

TEST(platforms, default_file_is_the_built_in_platform) {
  Platform a = load_platform(PLATFORMS "/default.json"), b = default_platform(u64{2} << 30);
  a.description = b.description;
  EXPECT_EQ(to_json(a), to_json(b));
}

TEST(platforms, counts_and_widths) {
  EXPECT_EQ(load_platform(PLATFORMS "/smp4.json").cpu.count, 4u);
  EXPECT_EQ(load_platform(PLATFORMS "/sagaw39.json").drhds[0].sagaw, std::vector<unsigned>{39});
  EXPECT_EQ(load_platform(PLATFORMS "/sagaw-both.json").drhds[0].sagaw, (std::vector<unsigned>{39, 48}));
  EXPECT_FALSE(load_platform(PLATFORMS "/no-superpages.json").drhds[0].superpage_1g);
}

// ---- what memory there is ----

bool backed(const Platform& p, u64 at) {
  auto all = backing(p);
  return std::any_of(all.begin(), all.end(), [&](const Range& r) { return r.contains(at); });
}

TEST(backing, is_page_aligned_ascending_and_disjoint) {
  for (auto& f : std::filesystem::directory_iterator(PLATFORMS)) {
    u64 end = 0;
    for (const Range& r : backing(load_platform(f.path()))) {
      EXPECT_EQ(r.first % kPageSize, 0u);
      EXPECT_EQ(r.size % kPageSize, 0u);
      EXPECT_TRUE(r.first > end || !end);
      end = r.last() + 1;
    }
  }
}

TEST(backing, has_the_first_mib_without_the_vga_window) {
  Platform p = default_platform(u64{2} << 30);
  EXPECT_TRUE(backed(p, 0x9fc00));
  EXPECT_FALSE(backed(p, 0xa0000));
  EXPECT_FALSE(backed(p, 0xbffff));
  EXPECT_TRUE(backed(p, 0xeb380));
  EXPECT_TRUE(backed(p, 0x7fffffff));
  EXPECT_FALSE(backed(p, 0x80000000));
  EXPECT_FALSE(backed(p, 0xb0000000));
  EXPECT_FALSE(backed(p, 0xfec00000));
  EXPECT_FALSE(backed(p, 0xfffff000));
}

TEST(backing, has_stolen_memory_and_rmrrs_but_no_devices) {
  Platform p = load_platform(PLATFORMS "/rmrr.json");
  EXPECT_TRUE(backed(p, 0x7bf00000));
  p.rmrrs[0].first = 0x90000000, p.rmrrs[0].last = 0x900fffff;   // above low RAM: memory nevertheless
  EXPECT_TRUE(backed(p, 0x90000000));
  EXPECT_FALSE(backed(p, 0xfed90000));
  Platform rich = load_platform(PLATFORMS "/reserved-rich.json");
  EXPECT_FALSE(backed(rich, 0x80000000));
  EXPECT_FALSE(backed(rich, 0x2000000000));
}

TEST(layout, ebda_follows_base_memory) {     // BIOS data area 40:0E and 40:13
  FirmwareLayout l = firmware_layout(default_platform(u64{2} << 30));
  EXPECT_EQ(l.ebda, 0x9fc00u);
  EXPECT_EQ(l.base_memory_kib, 639u);
  l = firmware_layout(load_platform(PLATFORMS "/low-reserved.json"));
  EXPECT_EQ(l.ebda, 0x9f000u);
  EXPECT_EQ(l.base_memory_kib, 636u);
}

TEST(layout, without_an_acpi_range_the_tables_go_below_one_mib) {
  Platform p = parse(R"("e820": [{"first": 0, "size": "640K", "type": "RAM"}, {"first": "1M", "size": "1G", "type": "RAM"}])");
  EXPECT_EQ(firmware_layout(p).tables.first, 0xe0000u + 64);
  EXPECT_TRUE(said(lint(p), "e820", "no ACPI range"));
}

TEST(layout, pci_window_follows_the_ecam_area) {
  FirmwareLayout l = firmware_layout(default_platform(u64{2} << 30));
  EXPECT_EQ(l.pci32.first, 0xc0000000u);
  EXPECT_EQ(l.pci32.last(), 0xfebfffffu);
  EXPECT_EQ(l.pci64.first, u64{32} << 30);
}

TEST(lint, mcfg_area_that_is_not_reserved) {
  Platform p = parse(R"("e820": [{"first": 0, "size": "0x9fc00", "type": "RAM"}, {"first": "1M", "size": "1G", "type": "RAM"},
                                 {"first": "0x50000000", "size": "64K", "type": "ACPI"}])");
  EXPECT_TRUE(said(lint(p), "ecam", "not all RESERVED"));
}

TEST(lint, ram_outside_write_back_mtrrs) {     // SDM 3A "MTRRs"
  Platform p = parse(R"("memory": "6G", "mtrrs": {"def": "UC", "variable": [{"base": 0, "size": "2G", "type": "WB"}]})");
  EXPECT_TRUE(said(lint(p), "e820[11]", "not all in write-back MTRRs"));
}

TEST(lint, uncacheable_mtrr_over_ram) {
  Platform p = parse(R"("mtrrs": {"variable": [{"base": "1G", "size": "1G", "type": "UC"}]})");
  EXPECT_TRUE(said(lint(p), "mtrrs.variable[0]", "not write-back and covers RAM"));
}

TEST(lint, page_zero_that_is_not_ram) {
  Platform p = parse(R"("e820": [{"first": "0x1000", "size": "0x9e000", "type": "RAM"}, {"first": "1M", "size": "1G", "type": "RAM"}])");
  auto all = lint(p);
  EXPECT_TRUE(said(all, "e820", "page 0 is not RAM"));
}

TEST(lint, rmrr_outside_reserved_memory_and_without_devices) {
  Platform p = parse(R"("rmrrs": [{"first": "0x90000000", "last": "0x9000ffff"}])");
  auto all = lint(p);
  EXPECT_TRUE(said(all, "rmrrs[0]", "not all RESERVED"));
  EXPECT_TRUE(said(all, "rmrrs[0].scopes", "lists no device"));
  p = parse(R"("rmrrs": [{"first": "0x90000000", "last": "0x9000ffff", "scopes": [{"kind": "endpoint", "path": ["1d.0"]}]}])");
  EXPECT_TRUE(said(lint(p), "rmrrs[0].scopes[0]", "there is no function 00:1d.0"));
}

TEST(lint, two_units_that_include_all) {     // VT-d "DMA Remapping Hardware Unit Definition Structure"
  Platform p = parse(R"("drhds": [{}, {"address": "0xfed91000"}])");
  EXPECT_TRUE(said(lint(p), "drhds[1].include_all", "a second unit"));
}

}  // namespace
