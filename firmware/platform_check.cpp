// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/bits.hpp"
#include "firmware/layout.hpp"
#include "firmware/models.hpp"

namespace vt::fw {
namespace {

constexpr u64 k4G = u64{1} << 32;
constexpr u64 kMemoryEnd = u64{1} << 40;   // the machine keeps one byte for each page up to the highest

struct Checker {
  const Platform& p;
  template <class... Ts>
  [[noreturn]] void fail(const std::string& field, fmt::format_string<Ts...> f, Ts&&... args) const {
    throw PlatformError(p.file, field, fmt::format(f, std::forward<Ts>(args)...));
  }

  void cpu() const {
    const CpuSpec& c = p.cpu;
    std::string model = c.model;
    std::transform(model.begin(), model.end(), model.begin(), [](unsigned char x) { return std::tolower(x); });
    for (const char* amd : {"amd", "epyc", "ryzen", "opteron", "athlon", "zen"})
      if (model.find(amd) != std::string::npos)
        fail("cpu.model", "\"{}\": AMD processors (SVM, nested paging, AMD-Vi) are out of scope; give an Intel model such as \"server\"", c.model);
    if (c.model.empty()) fail("cpu.model", "is empty; give a model such as \"server\"");
    for (std::size_t i = 0; i < c.features.size(); ++i) {
      const std::string& f = c.features[i];
      std::string at = fmt::format("cpu.features[{}]", i);
      bool ok = f.size() >= 2 && (f[0] == '+' || f[0] == '-') &&
                std::all_of(f.begin() + 1, f.end(), [](unsigned char x) { return std::isalnum(x) || x == '-' || x == '_' || x == '.'; });
      if (!ok) fail(at, "\"{}\" is not a feature; write \"+name\" or \"-name\"", f);
      if (f == "+svm" || f == "+npt") fail(at, "\"{}\": AMD's SVM is out of scope; Intel's is \"+vmx\"", f);
    }
    if (c.count < 1 || c.count > 8) fail("cpu.count", "{} processors; 1 to 8 are possible", c.count);
    if (c.physical_address_bits < 36 || c.physical_address_bits > 52)
      fail("cpu.physical_address_bits", "{} bits; 36 to 52 are possible", c.physical_address_bits);
    if (c.tsc_hz < 1'000'000 || c.tsc_hz > 100'000'000'000) fail("cpu.tsc_hz", "{} Hz; 1 MHz to 100 GHz are possible", c.tsc_hz);
  }

  void e820() const {
    u64 width = u64{1} << p.cpu.physical_address_bits;
    if (p.e820.size() > 128) fail("e820", "{} ranges; no BIOS reports more than 128", p.e820.size());
    for (std::size_t i = 0; i < p.e820.size(); ++i) {
      const E820Range& e = p.e820[i];
      std::string at = fmt::format("e820[{}]", i);
      if (!e.size) fail(at, "is empty; leave it out");
      if (e.first + (e.size - 1) < e.first) fail(at, "{:#x} with size {:#x} goes beyond 64 bits", e.first, e.size);
      u64 last = e.first + (e.size - 1);
      if (e.type != E820::RESERVED && last >= width)
        fail(at, "{:#x}-{:#x} lies beyond the physical address width of {} bits; raise cpu.physical_address_bits or lower memory",
             e.first, last, p.cpu.physical_address_bits);
      if (e.type != E820::RESERVED && last >= kMemoryEnd) fail(at, "{:#x}-{:#x}: memory above 1 TiB is not emulated", e.first, last);
      for (std::size_t j = 0; j < i; ++j) {
        const E820Range& o = p.e820[j];
        if (Range{e.first, e.size}.overlaps({o.first, o.size}))
          fail(at, "overlaps e820[{}] ({:#x}-{:#x} and {:#x}-{:#x}); split the ranges", j, e.first, last, o.first, o.first + o.size - 1);
      }
    }
    if (std::none_of(p.e820.begin(), p.e820.end(), [](auto& e) { return e.type == E820::RAM; })) fail("e820", "has no RAM");
  }

  void scopes(const std::vector<DeviceScope>& all, const std::string& at, bool rmrr) const {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const DeviceScope& s = all[i];
      std::string here = fmt::format("{}.scopes[{}]", at, i);
      if (s.path.empty()) fail(here + ".path", "is empty; give at least one \"device.function\"");
      if (s.path.size() > 32) fail(here + ".path", "has {} steps; 32 are the most", s.path.size());
      for (auto [dev, fn] : s.path)
        if (dev > 31 || fn > 7) fail(here + ".path", "{:02x}.{:x}: devices go to 1f, functions to 7", dev, fn);
      if (rmrr && s.kind != DeviceScope::Kind::endpoint && s.kind != DeviceScope::Kind::bridge)
        fail(here + ".kind", "an RMRR takes endpoints and bridges only");
    }
  }

  void drhd(std::size_t i) const {
    const Drhd& d = p.drhds[i];
    std::string at = fmt::format("drhds[{}]", i);
    if (d.address % kPageSize) fail(at + ".address", "{:#x} is not page aligned", d.address);
    if (d.sagaw.empty()) fail(at + ".sagaw", "is empty; give 39, 48 or both");
    for (unsigned w : d.sagaw) {
      if (w == 57) fail(at + ".sagaw", "57 (5-level tables) is not offered; give 39, 48 or both");
      if (w != 39 && w != 48) fail(at + ".sagaw", "{} is not an address width; give 39, 48 or both", w);
    }
    if (d.mgaw < 30 || d.mgaw > 57) fail(at + ".mgaw", "{} bits; 30 to 57 are possible", d.mgaw);
    if (d.domain_id_bits < 4 || d.domain_id_bits > 16 || d.domain_id_bits % 2)
      fail(at + ".domain_id_bits", "{}; CAP_REG.ND can say 4, 6, 8, 10, 12, 14 or 16", d.domain_id_bits);
    if (d.fault_records < 1 || d.fault_records > 256) fail(at + ".fault_records", "{}; 1 to 256 are possible", d.fault_records);
    if (d.fault_offset % 16 || d.iotlb_offset % 16)
      fail(at + (d.fault_offset % 16 ? ".fault_offset" : ".iotlb_offset"), "has to be a multiple of 16");
    constexpr u32 kFirstFree = 0xc0;    // registers of fixed place end with IRTA_REG
    u64 fault_end = d.fault_offset + u64{16} * d.fault_records;
    if (d.fault_offset < kFirstFree || fault_end > 0x1000)
      fail(at + ".fault_offset", "{} records at {:#x} do not lie in 0xc0-0xfff of the register page", d.fault_records, d.fault_offset);
    if (d.iotlb_offset < kFirstFree || d.iotlb_offset + 16 > 0x1000)
      fail(at + ".iotlb_offset", "{:#x} does not lie in 0xc0-0xfff of the register page", d.iotlb_offset);
    if (d.iotlb_offset < fault_end && d.fault_offset < d.iotlb_offset + 16)
      fail(at + ".iotlb_offset", "the IOTLB registers and the fault records overlap");
    if (d.interrupt_remapping && !d.queued_invalidation)
      fail(at + ".interrupt_remapping", "needs queued_invalidation (VT-d \"Extended Capability Register\")");
    if (d.extended_interrupt_mode && !d.interrupt_remapping) fail(at + ".extended_interrupt_mode", "needs interrupt_remapping");
    if (d.iotlb_entries < 1 || d.iotlb_entries > 65536) fail(at + ".iotlb_entries", "{}; 1 to 65536 are possible", d.iotlb_entries);
    if (d.context_entries < 1 || d.context_entries > 65536) fail(at + ".context_entries", "{}; 1 to 65536 are possible", d.context_entries);
    if (!d.include_all && d.scopes.empty()) fail(at + ".scopes", "a unit without include_all has to list its devices");
    scopes(d.scopes, at, false);
  }

  void rmrrs() const {
    for (std::size_t i = 0; i < p.rmrrs.size(); ++i) {
      const Rmrr& r = p.rmrrs[i];
      std::string at = fmt::format("rmrrs[{}]", i);
      if (r.first > r.last) fail(at, "first {:#x} is above last {:#x}", r.first, r.last);
      u64 width = u64{1} << p.host_address_width;
      if (r.last >= width) fail(at, "{:#x}-{:#x} lies beyond the host address width of {} bits", r.first, r.last, p.host_address_width);
      if (r.last >= kMemoryEnd) fail(at, "{:#x}-{:#x}: memory above 1 TiB is not emulated", r.first, r.last);
      for (std::size_t j = 0; j < i; ++j)
        if (r.first <= p.rmrrs[j].last && p.rmrrs[j].first <= r.last)
          fail(at, "overlaps rmrrs[{}] ({:#x}-{:#x} and {:#x}-{:#x})", j, r.first, r.last, p.rmrrs[j].first, p.rmrrs[j].last);
      scopes(r.scopes, at, true);
    }
  }

  void bar(const PciFunction& f, const std::string& at, unsigned& used, std::size_t b) const {
    const PciBar& r = f.bars[b];
    std::string here = fmt::format("{}.bars[{}]", at, b);
    unsigned max = f.secondary_bus ? 2 : 6, slots = r.kind == PciBar::Kind::mem64 ? 2 : 1;
    if (r.index + slots > max) fail(here + ".index", "{}: this function has BARs 0 to {}, and a mem64 takes two", r.index, max - 1);
    unsigned mine = ((1u << slots) - 1) << r.index;
    if (used & mine) fail(here + ".index", "BAR {} is given twice", r.index);
    used |= mine;
    bool io = r.kind == PciBar::Kind::io;
    u64 least = io ? 4 : 16, most = io ? 256 : r.kind == PciBar::Kind::mem32 ? u64{1} << 31 : u64{1} << 40;
    if (r.size < least || r.size > most || (r.size & (r.size - 1)))
      fail(here + ".size", "{:#x} is not a power of two from {:#x} to {:#x}", r.size, least, most);
    if (r.address & (r.size - 1)) fail(here + ".address", "{:#x} is not aligned to the size {:#x}", r.address, r.size);
    u64 limit = io ? 0x10000 : r.kind == PciBar::Kind::mem32 ? k4G : u64{1} << p.cpu.physical_address_bits;
    if (r.address >= limit || r.size > limit - r.address) fail(here + ".address", "{:#x} does not fit in the space of this kind of BAR", r.address);
    if (io && r.prefetchable) fail(here + ".prefetchable", "I/O BARs are never prefetchable");
  }

  void model(const PciFunction& f, const std::string& at) const {
    if (f.model.empty()) return;
    const FunctionModel* m = function_model(f.model);
    if (!m) {
      std::string all;
      for (auto& x : function_models()) all += fmt::format("\"{}\", ", x.name);
      fail(at + ".model", "\"{}\" is unknown; there are {}and none", f.model, all);
    }
    if (m->device && f.secondary_bus) fail(at + ".model", "\"{}\" is no bridge", f.model);
    if (m->device && !f.device && f.class_code) fail(at + ".device", "is missing; give device and class_code, or neither for those of the model");
    for (auto& b : f.bars)
      if (!m->bars.empty() && std::none_of(m->bars.begin(), m->bars.end(), [&](const PciBar& x) { return x.index == b.index && x.kind == b.kind && x.size == b.size; }))
        fail(fmt::format("{}.bars[{}]", at, &b - f.bars.data()), "is not a BAR of \"{}\"; leave the BARs out, or give {}", f.model, bars_of(*m));
    if (!f.bars.empty() && f.bars.size() < m->bars.size()) fail(at + ".bars", "are not all; leave them out, or give {}", bars_of(*m));
  }
  void disks(const PciFunction& f, const std::string& at) const {
    const FunctionModel* m = function_model(f.model);
    const unsigned ports = m ? m->disks : 0;
    for (std::size_t i = 0; i < f.disks.size(); ++i) {
      const PciDisk& d = f.disks[i];
      const std::string here = fmt::format("{}.disks[{}]", at, i);
      if (!ports) fail(at + ".disks", "is only for the models \"nvme\" and \"ahci\"");
      if (d.port >= ports) fail(here + ".port", "{}; \"{}\" has ports 0 to {}", d.port, f.model, ports - 1);
      for (std::size_t j = 0; j < i; ++j) if (f.disks[j].port == d.port) fail(here + ".port", "{} is also that of disks[{}]", d.port, j);
      if (!d.size || d.size % 512 || d.size > u64{1} << 50) fail(here + ".size", "{:#x} is not a multiple of 512 from 512 bytes to 1 PiB", d.size);
      if (!d.sha256.empty() && (d.sha256.size() != 64 || d.sha256.find_first_not_of("0123456789abcdef") != std::string::npos))
        fail(here + ".sha256", "has to be 64 hexadecimal digits, or left out");
    }
  }
  static std::string bars_of(const FunctionModel& m) {
    static constexpr const char* kKinds[] = {"mem32", "mem64", "io"};
    std::string all;
    for (auto& b : m.bars) all += fmt::format("{}index {} {} of {:#x} bytes", all.empty() ? "" : ", ", b.index, kKinds[static_cast<unsigned>(b.kind)], b.size);
    return all;
  }

  void script(const PciFunction& f, const std::string& at) const {
    bool scripted = f.model == "scripted-dma";
    if (scripted && f.dma.empty()) fail(at + ".dma", "is missing: the accesses that the function makes");
    if (!scripted && !f.dma.empty()) fail(at + ".dma", "is only for the model \"scripted-dma\"");
    if (scripted && f.secondary_bus) fail(at + ".model", "\"scripted-dma\" is no bridge");
    if (f.dma.size() > 256) fail(at + ".dma", "{} accesses; 256 are possible (one can be repeated)", f.dma.size());
    constexpr u64 kLongest = u64{1} << 60;    // ns: 36 years
    for (std::size_t i = 0; i < f.dma.size(); ++i) {
      const DmaAccess& a = f.dma[i];
      std::string here = fmt::format("{}.dma[{}]", at, i);
      if (a.size < 1 || a.size > 4096) fail(here + ".size", "{} bytes; 1 to 4096 are possible", a.size);
      if (a.address + (a.size - 1) < a.address) fail(here + ".address", "{:#x} with size {} goes beyond 64 bits", a.address, a.size);
      if (a.at > kLongest) fail(here + ".at", "{} ns is later than any run lasts", a.at);
      if (a.times < 1 || a.times > 1'000'000'000) fail(here + ".times", "{}; 1 to 1000000000 are possible", a.times);
      if (a.times > 1 && (a.every < 1000 || a.every > kLongest / a.times)) fail(here + ".every", "{} ns; a repeated access needs 1000 or more, and an end", a.every);
      if (a.times == 1 && a.every) fail(here + ".every", "is only for an access that is repeated; give times");
      if (a.value && !a.write) fail(here + ".value", "is only for a write");
    }
  }

  void pci() const {
    std::vector<u8> buses{0};
    for (const PciFunction& f : p.pci) if (f.secondary_bus) buses.push_back(*f.secondary_bus);
    for (std::size_t i = 0; i < p.pci.size(); ++i) {
      const PciFunction& f = p.pci[i];
      std::string at = fmt::format("pci[{}]", i);
      for (std::size_t j = 0; j < i; ++j)
        if (p.pci[j].bdf == f.bdf) fail(at + ".bdf", "{:02x}:{:02x}.{} is also pci[{}]", f.bdf.bus(), f.bdf.dev(), f.bdf.fn(), j);
      if (std::find(buses.begin(), buses.end(), f.bdf.bus()) == buses.end())
        fail(at + ".bdf", "no bridge leads to bus {:02x}; give one with secondary_bus", f.bdf.bus());
      if (f.secondary_bus && (*f.secondary_bus == 0 || *f.secondary_bus <= f.bdf.bus()))
        fail(at + ".secondary_bus", "{:#x} has to be above the bridge's own bus", *f.secondary_bus);
      if (f.vendor == 0xffff) fail(at + ".vendor", "0xffff means that no function is there");
      if (f.class_code >> 24) fail(at + ".class_code", "{:#x} has more than 24 bits", f.class_code);
      if (f.interrupt_pin > 4) fail(at + ".interrupt_pin", "{}; 0 (none) to 4 (INTD) are possible", f.interrupt_pin);
      model(f, at);
      disks(f, at);
      script(f, at);
      unsigned used = 0;
      for (std::size_t b = 0; b < f.bars.size(); ++b) bar(f, at, used, b);
    }
    for (std::size_t i = 0; i < p.pci.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (p.pci[i].secondary_bus && p.pci[i].secondary_bus == p.pci[j].secondary_bus)
          fail(fmt::format("pci[{}].secondary_bus", i), "{:#x} is also behind pci[{}]", *p.pci[i].secondary_bus, j);
  }

  void isa() const {
    for (std::size_t i = 0; i < p.isa.size(); ++i) {
      const IsaDevice& d = p.isa[i];
      const std::string at = fmt::format("isa[{}]", i);
      const IsaModel* m = isa_model(d.model);
      std::string all;
      for (auto& x : isa_models()) all += (all.empty() ? "" : ", ") + std::string(x.name);
      if (!m) fail(at + ".model", "\"{}\" is unknown; there are {}", d.model, all);
      if (!m->movable && (d.iobase != m->iobase || d.iosize != m->iosize)) fail(at + ".iobase", "{} has its ports at {:#x}; leave iobase and iosize out", d.model, m->iobase);
      if (d.iosize > 0x100 || d.iobase + d.iosize > 0x10000) fail(at + ".iosize", "{} ports from {:#x} on; 1 to 256 are possible, up to 0xffff", d.iosize, d.iobase);
      for (std::size_t j = 0; j < i; ++j)
        if (p.isa[j].model == d.model) fail(at + ".model", "\"{}\" is also isa[{}]", d.model, j);
    }
  }

  void chipset() const {
    if (p.host_address_width < 32 || p.host_address_width > 52) fail("host_address_width", "{} bits; 32 to 52 are possible", p.host_address_width);
    if (!p.ioapic) fail("ioapic", "0: there is no platform without an I/O APIC");
    if (p.ioapic % kPageSize || p.ioapic >= k4G) fail("ioapic", "{:#x} has to be page aligned and below 4 GiB", p.ioapic);
    if (p.ioapic_id > 15) fail("ioapic_id", "{}; 0 to 15 are possible", p.ioapic_id);
    if (p.hpet && (p.hpet_address % 0x400 || p.hpet_address >= k4G)) fail("hpet_address", "{:#x} has to be aligned to 1 KiB and below 4 GiB", p.hpet_address);
    if (p.ecam_buses < 1 || p.ecam_buses > 256) fail("ecam_buses", "{}; 1 to 256 are possible", p.ecam_buses);
    if (p.ecam % (u64{1} << 20)) fail("ecam", "{:#x} has to be aligned to 1 MiB", p.ecam);
    if (p.ecam >> p.cpu.physical_address_bits) fail("ecam", "{:#x} lies beyond the physical address width of {} bits", p.ecam, p.cpu.physical_address_bits);
    if (p.rsdp_revision != 0 && p.rsdp_revision != 2) fail("rsdp_revision", "{}; 0 (RSDT only) or 2 (with XSDT)", p.rsdp_revision);
    if (!valid_rtc(p.rtc)) fail("rtc", "\"{}\" is not a time; write \"2024-01-01T00:00:00\"", p.rtc);
  }

  /// The bus owns addresses: two devices on one range is an error.
  void collisions() const {
    auto all = device_ranges(p);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Range& r = all[i].range;
      for (std::size_t j = 0; j < i; ++j)
        if (r.overlaps(all[j].range))
          fail(all[i].field, "{} at {:#x}-{:#x} and {} at {:#x}-{:#x} are on one range", all[i].what, r.first, r.last(),
               all[j].what, all[j].range.first, all[j].range.last());
      for (std::size_t k = 0; k < p.e820.size(); ++k)
        if (p.e820[k].type == E820::RAM && r.overlaps({p.e820[k].first, p.e820[k].size}))
          fail(all[i].field, "{} at {:#x}-{:#x} lies in RAM, e820[{}]", all[i].what, r.first, r.last(), k);
    }
    struct Ports { u32 first, size; std::string what, field; };
    std::vector<Ports> io = {{0x20, 2, "the 8259", ""}, {0x40, 4, "the 8254", ""}, {0x61, 1, "port 61h", ""},
      {0x70, 2, "the CMOS clock", ""}, {0x80, 1, "port 80h", ""}, {0x92, 1, "port 92h", ""}, {0xa0, 2, "the second 8259", ""},
      {0x3f8, 8, "COM1", ""}, {0x4d0, 2, "ELCR", ""}, {0xcf8, 8, "PCI configuration", ""}};
    if (p.i8042) io.push_back({0x60, 1, "the 8042", "i8042"}), io.push_back({0x64, 1, "the 8042", "i8042"});
    if (p.com2) io.push_back({0x2f8, 8, "COM2", "com2"});
    if (p.vga) io.push_back({0x3b4, 2, "the VGA", "vga"}), io.push_back({0x3ba, 1, "the VGA", "vga"}), io.push_back({0x3c0, 16, "the VGA", "vga"}),
               io.push_back({0x3d4, 2, "the VGA", "vga"}), io.push_back({0x3da, 1, "the VGA", "vga"});
    io.push_back({p.pm_base, 16, "the ACPI power management block", "pm_base"});
    if (p.pm_base % 16 || !p.pm_base) fail("pm_base", "{:#x} has to be a multiple of 16 and not 0", p.pm_base);
    for (std::size_t i = 0; i < p.isa.size(); ++i) {
      const std::string at = fmt::format("isa[{}]", i);
      io.push_back({p.isa[i].iobase, p.isa[i].iosize, p.isa[i].model, at});
      if (p.isa[i].model == "pc-testdev") io.push_back({0x2000, 24, "the interrupt lines of pc-testdev", at});
    }
    for (std::size_t i = 0; i < p.pci.size(); ++i)
      for (std::size_t b = 0; b < p.pci[i].bars.size(); ++b)
        if (const PciBar& r = p.pci[i].bars[b]; r.kind == PciBar::Kind::io && r.address) {
          std::string at = fmt::format("pci[{}].bars[{}]", i, b);
          io.push_back({static_cast<u32>(r.address), static_cast<u32>(r.size), at, at});
        }
    for (std::size_t i = 0; i < io.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (io[i].first < io[j].first + io[j].size && io[j].first < io[i].first + io[i].size)
          fail(io[i].field, "{} at ports {:#x}-{:#x} and {} at {:#x}-{:#x} are on one range", io[i].what, io[i].first,
               io[i].first + io[i].size - 1, io[j].what, io[j].first, io[j].first + io[j].size - 1);
  }
};

}  // namespace

bool valid_rtc(const std::string& s) {
  static constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd";
  if (s.size() != kShape.size()) return false;
  for (std::size_t i = 0; i < s.size(); ++i)
    if (kShape[i] == 'd' ? !std::isdigit(static_cast<unsigned char>(s[i])) : s[i] != kShape[i]) return false;
  auto two = [&](std::size_t i) { return (s[i] - '0') * 10 + (s[i + 1] - '0'); };
  int year = two(0) * 100 + two(2), month = two(5), day = two(8);
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (year < 1980 || year > 2099 || month < 1 || month > 12) return false;
  int days = kDays[month - 1] + (month == 2 && year % 4 == 0);   // 2000 is a leap year, so no exception in this span
  return day >= 1 && day <= days && two(11) < 24 && two(14) < 60 && two(17) < 60;
}

void check_platform(const Platform& p) {
  Checker c{p};
  c.cpu();
  c.chipset();
  c.isa();
  for (std::size_t i = 0; i < p.drhds.size(); ++i) c.drhd(i);
  c.rmrrs();
  c.pci();
  c.collisions();   // before the E820: a derived one has devices' ranges in it, and the device is what is wrong
  c.e820();
}

void check_mtrrs(const Platform& p) {
  Checker c{p};
  if (p.mtrrs.variable.size() > 8) c.fail("mtrrs.variable", "{} ranges; the processor has 8", p.mtrrs.variable.size());
  auto valid = [](MemType t) { return t == MemType::UC || t == MemType::WC || t == MemType::WT || t == MemType::WP || t == MemType::WB; };
  if (!valid(p.mtrrs.def)) c.fail("mtrrs.def", "is not a memory type of MTRRs");
  for (std::size_t i = 0; i < p.mtrrs.variable.size(); ++i) {
    const auto& v = p.mtrrs.variable[i];
    std::string at = fmt::format("mtrrs.variable[{}]", i);
    if (!valid(v.type)) c.fail(at + ".type", "is not a memory type of MTRRs");
    if (v.size < kPageSize || (v.size & (v.size - 1))) c.fail(at + ".size", "{:#x} is not a power of two of at least 4 KiB", v.size);
    if (v.base & (v.size - 1)) c.fail(at + ".base", "{:#x} is not aligned to the size {:#x} (SDM 3A \"MTRRs\"); use several ranges", v.base, v.size);
    u64 width = u64{1} << p.cpu.physical_address_bits;
    if (v.base >= width || v.size > width - v.base) c.fail(at, "lies beyond the physical address width of {} bits", p.cpu.physical_address_bits);
  }
}

}  // namespace vt::fw
