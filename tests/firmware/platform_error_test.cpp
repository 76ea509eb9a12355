// SPDX-License-Identifier: GPL-2.0-or-later
/// Wrong descriptions, one by one: the message names file, field, and what is wrong.
#include <gtest/gtest.h>

#include "firmware/platform.hpp"

using namespace vt;
using namespace vt::fw;

namespace {

std::string wrong(const std::string& body, bool whole = false) {
  try {
    parse_platform(whole ? body : R"({"vitrine": "platform/1", )" + body + "}", "x.json");
  } catch (const PlatformError& e) {
    return e.what();
  }
  return "accepted";
}

struct Case { const char* body; const char* message; };   // the message's beginning

class platform_errors : public testing::TestWithParam<Case> {};

TEST_P(platform_errors, name_file_and_field) {
  std::string m = wrong(GetParam().body);
  EXPECT_EQ(m.substr(0, std::string_view(GetParam().message).size()), GetParam().message) << GetParam().body << "\n" << m;
}

#define RAM0 R"({"first": 0, "size": "640K", "type": "RAM"})"
#define RAM1 R"({"first": "1M", "size": "1G", "type": "RAM"})"
#define PCI(x) R"("pci": [{"bdf": "00:04.0", "device": 1, "class_code": 0, )" x "}]"

INSTANTIATE_TEST_SUITE_P(fields, platform_errors, testing::Values(
  Case{R"("memroy": "2G")", "x.json: memroy: unknown field; there are "},
  Case{R"("cpu": {"cores": 2})", "x.json: cpu.cores: unknown field"},
  Case{R"("drhds": [{"adress": 1}])", "x.json: drhds[0].adress: unknown field"},
  Case{R"("rmrrs": [{"first": 0, "last": 4095, "scopes": [{"kind": "endpoint", "path": ["1d.0"], "x": 1}]}])", "x.json: rmrrs[0].scopes[0].x: unknown field"},
  Case{R"("memory": "2X")", "x.json: memory: \"2X\" is not a number; write 4096, \"0x1000\", \"4K\""},
  Case{R"("memory": -1)", "x.json: memory: -1 is not a number"},
  Case{R"("memory": 1.5)", "x.json: memory: 1.5 is not a number"},
  Case{R"("memory": "1M")", "x.json: memory: at least 16M"},
  Case{R"("memory": "0x40000001")", "x.json: memory: has to be a multiple of the page size"},
  Case{R"("memory": "20000000000G")", "x.json: memory: \"20000000000G\" is not a number"},
  Case{R"("vtd": 1)", "x.json: vtd: has to be true or false"},
  Case{R"("name": 1)", "x.json: name: has to be a string"},
  Case{R"("cpu": [])", "x.json: cpu: has to be an object"},
  Case{R"("rmrrs": {})", "x.json: rmrrs: has to be a list"},
  Case{R"("cpu": {"features": [1]})", "x.json: cpu.features[0]: has to be a string"},
  Case{R"("memory": "1G", "memory": "2G")", "x.json: memory: is given twice"}));

INSTANTIATE_TEST_SUITE_P(e820, platform_errors, testing::Values(
  Case{"\"e820\": [" RAM0 ", " RAM1 R"(, {"first": "0x200000", "size": "4K", "type": "RESERVED"}])",
       "x.json: e820[2]: overlaps e820[1] (0x200000-0x200fff and 0x100000-0x400fffff)"},
  Case{"\"e820\": [" RAM0 R"(, {"first": "4G", "size": "100T", "type": "RAM"}])", "x.json: e820[1]: 0x100000000-0x6400ffffffff lies beyond the physical address width of 46 bits"},
  Case{R"("memory": "100T")", "x.json: e820[11]: 0x100000000-0x64007fffffff lies beyond the physical address width"},
  Case{R"("memory": "2T")", "x.json: e820[11]: 0x100000000-0x2007fffffff: memory above 1 TiB is not emulated"},
  Case{R"("rmrrs": [{"first": "0x10000000000", "last": "0x10000000fff"}])", "x.json: rmrrs[0]: 0x10000000000-0x10000000fff: memory above 1 TiB"},
  Case{"\"e820\": [" RAM0 R"(, {"first": "1M", "size": 0, "type": "RAM"}])", "x.json: e820[1]: is empty"},
  Case{"\"e820\": [" RAM0 R"(, {"first": "0xffffffffffff0000", "size": "128K", "type": "RESERVED"}])", "x.json: e820[1]: 0xffffffffffff0000 with size 0x20000 goes beyond 64 bits"},
  Case{R"("e820": [{"first": 0, "type": "RAM"}])", "x.json: e820[0]: give either size or last"},
  Case{R"("e820": [{"first": 0, "size": 1, "last": 1, "type": "RAM"}])", "x.json: e820[0]: give either size or last"},
  Case{R"("e820": [{"first": 4096, "last": 1, "type": "RAM"}])", "x.json: e820[0].last: 0x1 is below first 0x1000"},
  Case{R"("e820": [{"first": 0, "size": 1, "type": "ROM"}])", "x.json: e820[0].type: \"ROM\" is unknown; there are RAM, RESERVED, ACPI, NVS, UNUSABLE, PMEM"},
  Case{R"("e820": [{"first": 0, "size": 1}])", "x.json: e820[0].type: is missing"},
  Case{R"("e820": [{"size": 1, "type": "RAM"}])", "x.json: e820[0].first: is missing"},
  Case{R"("e820": [{"first": 0, "size": "1M", "type": "RESERVED"}])", "x.json: e820: has no RAM"},
  Case{R"("e820": [{"first": 0, "size": "1G", "type": "RAM"}])", "x.json: e820: no place for the ACPI tables"}));

INSTANTIATE_TEST_SUITE_P(processors, platform_errors, testing::Values(
  Case{R"("cpu": {"model": "amd-epyc"})", "x.json: cpu.model: \"amd-epyc\": AMD processors (SVM, nested paging, AMD-Vi) are out of scope"},
  Case{R"("cpu": {"model": "EPYC"})", "x.json: cpu.model: \"EPYC\": AMD processors"},
  Case{R"("cpu": {"features": ["+svm"]})", "x.json: cpu.features[0]: \"+svm\": AMD's SVM is out of scope"},
  Case{R"("cpu": {"features": ["vmx"]})", "x.json: cpu.features[0]: \"vmx\" is not a feature; write \"+name\""},
  Case{R"("cpu": {"count": 0})", "x.json: cpu.count: 0 processors; 1 to 8"},
  Case{R"("cpu": {"count": 9})", "x.json: cpu.count: 9 processors; 1 to 8"},
  Case{R"("cpu": {"physical_address_bits": 53})", "x.json: cpu.physical_address_bits: 53 bits"},
  Case{R"("cpu": {"tsc_hz": 0})", "x.json: cpu.tsc_hz: 0 Hz"},
  Case{R"("mtrrs": {"variable": [{"base": "1G", "size": "3G", "type": "UC"}]})", "x.json: mtrrs.variable[0].size: 0xc0000000 is not a power of two"},
  Case{R"("mtrrs": {"variable": [{"base": "1G", "size": "2G", "type": "UC"}]})", "x.json: mtrrs.variable[0].base: 0x40000000 is not aligned to the size 0x80000000"},
  Case{R"("mtrrs": {"def": "UC-"})", "x.json: mtrrs.def: \"UC-\" is unknown"}));

INSTANTIATE_TEST_SUITE_P(vtd, platform_errors, testing::Values(
  Case{R"("drhds": [{"sagaw": [57]}])", "x.json: drhds[0].sagaw: 57 (5-level tables) is not offered"},
  Case{R"("drhds": [{"sagaw": [40]}])", "x.json: drhds[0].sagaw: 40 is not an address width"},
  Case{R"("drhds": [{"sagaw": []}])", "x.json: drhds[0].sagaw: is empty"},
  Case{R"("drhds": [{"domain_id_bits": 5}])", "x.json: drhds[0].domain_id_bits: 5"},
  Case{R"("drhds": [{"fault_records": 257}])", "x.json: drhds[0].fault_records: 257"},
  Case{R"("drhds": [{"fault_offset": "0x221"}])", "x.json: drhds[0].fault_offset: has to be a multiple of 16"},
  Case{R"("drhds": [{"fault_offset": "0xff0", "fault_records": 2}])", "x.json: drhds[0].fault_offset: 2 records at 0xff0 do not lie"},
  Case{R"("drhds": [{"iotlb_offset": "0x10"}])", "x.json: drhds[0].iotlb_offset: 0x10 does not lie"},
  Case{R"("drhds": [{"iotlb_offset": "0x220"}])", "x.json: drhds[0].iotlb_offset: the IOTLB registers and the fault records overlap"},
  Case{R"("drhds": [{"queued_invalidation": false}])", "x.json: drhds[0].interrupt_remapping: needs queued_invalidation"},
  Case{R"("drhds": [{"interrupt_remapping": false, "extended_interrupt_mode": true}])", "x.json: drhds[0].extended_interrupt_mode: needs interrupt_remapping"},
  Case{R"("drhds": [{"include_all": false}])", "x.json: drhds[0].scopes: a unit without include_all has to list"},
  Case{R"("drhds": [{"address": "0xfed90800"}])", "x.json: drhds[0].address: 0xfed90800 is not page aligned"},
  Case{R"("drhds": [{}, {}])", "x.json: drhds[1].address: the registers of drhds[1] at 0xfed90000-0xfed90fff and the registers of drhds[0]"},
  Case{R"("drhds": [{"address": "0xfec00000"}])", "x.json: drhds[0].address: the registers of drhds[0] at 0xfec00000-0xfec00fff and the I/O APIC at"},
  Case{R"("drhds": [{"address": "0x10000000"}])", "x.json: drhds[0].address: the registers of drhds[0] at 0x10000000-0x10000fff lies in RAM, e820[3]"},
  Case{R"("host_address_width": 60)", "x.json: host_address_width: 60 bits"},
  Case{R"("rmrrs": [{"first": "0x2000", "last": "0x1fff"}])", "x.json: rmrrs[0]: first 0x2000 is above last 0x1fff"},
  Case{R"("rmrrs": [{"first": "0x400000000000", "last": "0x400000000fff"}])", "x.json: rmrrs[0]: 0x400000000000-0x400000000fff lies beyond the host address width of 46"},
  Case{R"("rmrrs": [{"first": "0xe0000", "last": "0xeffff"}, {"first": "0xef000", "last": "0xfffff"}])", "x.json: rmrrs[1]: overlaps rmrrs[0]"},
  Case{R"("rmrrs": [{"first": "0xe0000", "last": "0xeffff", "scopes": [{"kind": "ioapic", "path": ["0.0"]}]}])", "x.json: rmrrs[0].scopes[0].kind: an RMRR takes endpoints"},
  Case{R"("rmrrs": [{"first": "0xe0000", "last": "0xeffff", "scopes": [{"kind": "endpoint"}]}])", "x.json: rmrrs[0].scopes[0].path: is empty"},
  Case{R"("rmrrs": [{"first": "0xe0000", "last": "0xeffff", "scopes": [{"kind": "endpoint", "path": ["20.0"]}]}])", "x.json: rmrrs[0].scopes[0].path[0]: is not a device and function"}));

INSTANTIATE_TEST_SUITE_P(pci, platform_errors, testing::Values(
  Case{R"("pci": [{"device": 1, "class_code": 0}])", "x.json: pci[0].bdf: is missing"},
  Case{R"("pci": [{"bdf": "0:32.0", "device": 1, "class_code": 0}])", "x.json: pci[0].bdf: \"0:32.0\" is not a PCI function"},
  Case{R"("pci": [{"bdf": "00:01.0", "device": 1, "class_code": 0}, {"bdf": "00:01.0", "device": 1, "class_code": 0}])", "x.json: pci[1].bdf: 00:01.0 is also pci[0]"},
  Case{R"("pci": [{"bdf": "01:01.0", "device": 1, "class_code": 0}])", "x.json: pci[0].bdf: no bridge leads to bus 01"},
  Case{PCI(R"("vendor": "0x10000")"), "x.json: pci[0].vendor: 0x10000 has more than 16 bits"},
  Case{PCI(R"("vendor": "0xffff")"), "x.json: pci[0].vendor: 0xffff means"},
  Case{PCI(R"("model": "nic")"), "x.json: pci[0].model: \"nic\" is unknown"},
  Case{PCI(R"("interrupt_pin": 5)"), "x.json: pci[0].interrupt_pin: 5"},
  Case{R"("pci": [{"bdf": "00:05.0"}])", "x.json: pci[0].device: is missing"},
  Case{R"("pci": [{"bdf": "00:05.0", "device": 1}])", "x.json: pci[0].class_code: is missing"},
  Case{R"("pci": [{"bdf": "00:05.0", "model": "scripted-dma"}])", "x.json: pci[0].device: is missing"},
  Case{R"("pci": [{"bdf": "00:05.0", "model": "dam"}])", "x.json: pci[0].device: is missing"},
  Case{R"("pci": [{"bdf": "00:05.0", "model": "dma", "class_code": 1}])", "x.json: pci[0].device: is missing; give device and class_code, or neither"},
  Case{R"("pci": [{"bdf": "00:05.0", "model": "dma", "bars": [{"index": 1, "size": "4K"}]}])", "x.json: pci[0].bars[0]: is not a BAR of \"dma\"; leave the BARs out, or give index 0 mem32 of 0x1000 bytes"},
  Case{R"("isa": [{"model": "sb16"}])", "x.json: isa[0].model: \"sb16\" is unknown; there are isa-debug-exit, pc-testdev, fw-cfg"},
  Case{R"("isa": [{"model": "fw-cfg", "iobase": 32}])", "x.json: isa[0].iobase: fw-cfg has its ports at 0x510; leave iobase and iosize out"},
  Case{R"("isa": [{"model": "isa-debug-exit", "iobase": "0xfff0", "iosize": 17}])", "x.json: isa[0].iosize: 17 ports from 0xfff0 on; 1 to 256 are possible"},
  Case{R"("isa": [{"model": "pc-testdev"}, {"model": "pc-testdev"}])", "x.json: isa[1].model: \"pc-testdev\" is also isa[0]"},
  Case{R"("isa": [{"model": "isa-debug-exit", "iobase": "0x3f8"}])", "x.json: isa[0]: isa-debug-exit at ports 0x3f8-0x3fb and COM1 at 0x3f8-0x3ff are on one range"},
  Case{R"("isa": [{"model": "pc-testdev"}], "hpet_address": "0xff000000")", "x.json: isa[0]: the registers of pc-testdev at 0xff000000-0xff00ffff and the HPET"},
  Case{PCI(R"("model": "scripted-dma")"), "x.json: pci[0].dma: is missing: the accesses"},
  Case{PCI(R"("dma": [{"address": 0}])"), "x.json: pci[0].dma: is only for the model \"scripted-dma\""},
  Case{PCI(R"("model": "scripted-dma", "secondary_bus": 1, "dma": [{"address": 0}])"), "x.json: pci[0].model: \"scripted-dma\" is no bridge"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"at": 5}])"), "x.json: pci[0].dma[0].address: is missing"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0, "size": 4097}])"), "x.json: pci[0].dma[0].size: 4097 bytes; 1 to 4096"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0}, {"address": "0xffffffffffffffff", "size": 2}])"), "x.json: pci[0].dma[1].address: 0xffffffffffffffff with size 2 goes"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0, "times": 0}])"), "x.json: pci[0].dma[0].times: 0; 1 to 1000000000"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0, "times": 2, "every": 999}])"), "x.json: pci[0].dma[0].every: 999 ns; a repeated access needs 1000"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0, "every": 1000}])"), "x.json: pci[0].dma[0].every: is only for an access that is repeated"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0, "at": "0xffffffffffffffff"}])"), "x.json: pci[0].dma[0].at:"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0, "value": 1}])"), "x.json: pci[0].dma[0].value: is only for a write"},
  Case{PCI(R"("model": "scripted-dma", "dma": [{"address": 0, "value": 256, "write": true}])"), "x.json: pci[0].dma[0].value: 256 is more than 255"},
  Case{PCI(R"("secondary_bus": 0)"), "x.json: pci[0].secondary_bus: 0x0 has to be above"},
  Case{PCI(R"("bars": [{"size": 3}])"), "x.json: pci[0].bars[0].size: 0x3 is not a power of two"},
  Case{PCI(R"("bars": [{"size": "8K", "address": "0xfe001000"}])"), "x.json: pci[0].bars[0].address: 0xfe001000 is not aligned"},
  Case{PCI(R"("bars": [{"index": 5, "kind": "mem64", "size": "8K"}])"), "x.json: pci[0].bars[0].index: 5"},
  Case{PCI(R"("bars": [{"size": "8K"}, {"size": "8K"}])"), "x.json: pci[0].bars[1].index: BAR 0 is given twice"},
  Case{PCI(R"("bars": [{"size": "8K", "address": "4G"}])"), "x.json: pci[0].bars[0].address: 0x100000000 does not fit"},
  Case{PCI(R"("bars": [{"size": "4K", "address": "0xfed90000"}])"), "x.json: pci[0].bars[0]: pci[0].bars[0] at 0xfed90000-0xfed90fff and the registers of drhds[0]"},
  Case{PCI(R"("bars": [{"kind": "io", "size": 8, "address": "0x3f8"}])"), "x.json: pci[0].bars[0]: pci[0].bars[0] at ports 0x3f8-0x3ff and COM1 at"},
  Case{PCI(R"("bars": [{"kind": "io", "size": 8, "address": "0x1000", "prefetchable": true}])"), "x.json: pci[0].bars[0].prefetchable: I/O BARs"}));

INSTANTIATE_TEST_SUITE_P(chipset, platform_errors, testing::Values(
  Case{R"("ioapic": 0)", "x.json: ioapic: 0: there is no platform without"},
  Case{R"("ioapic": "0xfec00800")", "x.json: ioapic: 0xfec00800 has to be page aligned"},
  Case{R"("ioapic_id": 16)", "x.json: ioapic_id: 16; 0 to 15"},
  Case{R"("hpet_address": "0xfec00000")", "x.json: hpet_address: the HPET at 0xfec00000-0xfec003ff and the I/O APIC"},
  Case{R"("ecam_buses": 0)", "x.json: ecam_buses: 0"},
  Case{R"("ecam": "0xb0000800")", "x.json: ecam: 0xb0000800 has to be aligned to 1 MiB"},
  Case{R"("ecam": "0x70000000")", "x.json: ecam: the ECAM area at 0x70000000-0x7fffffff lies in RAM, e820[3]"},
  Case{R"("ecam": "0xf0000000")", "x.json: ecam: the ECAM area at 0xf0000000-0xffffffff and the local APIC and interrupt range at"},
  Case{R"("pm_base": "0x3f0")", "x.json: pm_base: the ACPI power management block at ports 0x3f0-0x3ff and COM1"},
  Case{R"("pm_base": "0x601")", "x.json: pm_base: 0x601 has to be a multiple of 16"},
  Case{R"("rsdp_revision": 1)", "x.json: rsdp_revision: 1; 0 (RSDT only) or 2"},
  Case{R"("rtc": "2024-02-30T00:00:00")", "x.json: rtc: \"2024-02-30T00:00:00\" is not a time"},
  Case{R"("rtc": "now")", "x.json: rtc: \"now\" is not a time"}));

TEST(platform_errors, format_is_named_first) {
  EXPECT_EQ(wrong("{}", true), "x.json: vitrine: is missing; a platform description begins with \"vitrine\": \"platform/1\"");
  EXPECT_EQ(wrong(R"({"vitrine": "platform/2"})", true), "x.json: vitrine: \"platform/2\" is not a format this version reads; it reads \"platform/1\"");
  EXPECT_EQ(wrong("[]", true), "x.json: top level: has to be an object, { ... }");
}

TEST(platform_errors, text_that_is_not_json_has_its_line) {
  EXPECT_EQ(wrong("{\n  \"vitrine\": \"platform/1\",\n  oops\n}", true), "x.json: line 3, column 3: this is not JSON");
  EXPECT_EQ(wrong("{\n  \"memory\": 66e820217797\n}", true), "x.json: line 2, column 13: 66e820217797 is too large for any number");
  EXPECT_EQ(wrong("", true).substr(0, 14), "x.json: line 1");
}

TEST(platform_errors, files_that_cannot_be_read) {
  try { load_platform("/nonexistent/p.json"); FAIL(); }
  catch (const PlatformError& e) {
    EXPECT_EQ(std::string(e.what()), "/nonexistent/p.json: file: cannot be opened; give the path of a platform description");
    EXPECT_EQ(e.field, "file");
  }
  EXPECT_THROW(load_platform("/"), PlatformError);
}

TEST(platform_errors, any_cut_of_a_valid_text_is_refused_and_nothing_worse) {
  std::string all = to_json(default_platform(1u << 30));
  for (std::size_t n = 0; n + 2 < all.size(); n += 7) EXPECT_NE(wrong(all.substr(0, n), true), "accepted");
}

TEST(platform_errors, a_command_line_can_ask_for_too_much) {
  Platform p = default_platform(u64{2} << 30);
  p.cpu.count = 99;
  try { complete(p); FAIL(); } catch (const PlatformError& e) { EXPECT_EQ(std::string(e.what()), "platform: cpu.count: 99 processors; 1 to 8 are possible"); }
}

}  // namespace
