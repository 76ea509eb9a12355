// SPDX-License-Identifier: GPL-2.0-or-later
/// What is legal but odd: shapes that real firmware has and that hypervisors stumble over.
#include <fmt/format.h>

#include <algorithm>

#include "base/bits.hpp"
#include "firmware/layout.hpp"

namespace vt::fw {
namespace {

constexpr u64 k4G = u64{1} << 32;
constexpr u64 k1M = u64{1} << 20;

struct Linter {
  const Platform& p;
  std::vector<LintFinding> out;

  template <class... Ts>
  void say(bool error, const std::string& field, fmt::format_string<Ts...> f, Ts&&... args) {
    out.push_back({error, field, fmt::format(f, std::forward<Ts>(args)...)});
  }
  static std::string at(const char* list, std::size_t i) { return fmt::format("{}[{}]", list, i); }
  static Range range(const E820Range& e) { return {e.first, e.size}; }

  /// Bytes of `r` that E820 ranges of these types cover. The ranges are disjoint.
  u64 covered(const Range& r, std::initializer_list<E820> types) const {
    u64 n = 0;
    for (const E820Range& e : p.e820)
      if (r.overlaps(range(e)) && std::find(types.begin(), types.end(), e.type) != types.end())
        n += std::min(r.last(), range(e).last()) - std::max(r.first, e.first) + 1;
    return n;
  }

  void e820() {
    if (!covered({0, 1}, {E820::RAM})) say(true, "e820", "page 0 is not RAM; Xen's boot code uses it as a stack");
    if (covered({0xe0000, 0x20000}, {E820::RAM}))
      say(true, "e820", "RAM in 0xe0000-0xfffff, where RSDP and SMBIOS are; software will overwrite them");
    for (std::size_t i = 0; i < p.e820.size(); ++i) {
      const E820Range& e = p.e820[i];
      if (e.type == E820::RAM && (e.first % kPageSize || e.size % kPageSize) && e.first + e.size != 0x9fc00)
        say(false, at("e820", i), "RAM {:#x}-{:#x} has an edge inside a page", e.first, range(e).last());
      if (i && e.first < p.e820[i - 1].first) say(false, at("e820", i), "is not in ascending order");
      if (e.type != E820::RAM && range(e).overlaps({16 * k1M, 48 * k1M}))
        say(false, at("e820", i), "kernel-hole: {:#x}-{:#x} is not RAM where Linux is loaded (16 MiB to the end of the kernel)", e.first, range(e).last());
      if (e.type == E820::RESERVED && (e.first + (e.size - 1)) >> p.cpu.physical_address_bits)
        say(false, at("e820", i), "RESERVED {:#x}-{:#x} reaches beyond the physical address width", e.first, range(e).last());
      if (e.first < k4G && e.size >= k4G)
        say(false, at("e820", i), "begins below 4 GiB and is 4 GiB or longer; Xen takes that for a broken map and cuts it");
      if (e.type == E820::RAM && range(e).overlaps({0xa0000, 0x20000})) say(false, at("e820", i), "RAM in the VGA window 0xa0000-0xbffff");
    }
    bool acpi = std::any_of(p.e820.begin(), p.e820.end(), [](auto& e) { return e.type == E820::ACPI; });
    if (!acpi) say(false, "e820", "no ACPI range; the tables are put at 0xe0000");
  }

  void mtrrs() {
    if (p.mtrrs.def != MemType::WB) {
      for (std::size_t i = 0; i < p.e820.size(); ++i) {
        const E820Range& e = p.e820[i];
        if (e.type != E820::RAM || e.first < k1M) continue;
        u64 wb = 0;
        for (const auto& v : p.mtrrs.variable)
          if (v.type == MemType::WB && range(e).overlaps({v.base, v.size}))
            wb += std::min(range(e).last(), v.base + v.size - 1) - std::max(e.first, v.base) + 1;
        if (wb < e.size) say(false, at("e820", i), "RAM {:#x}-{:#x} is not all in write-back MTRRs; Xen drops what lies above them", e.first, range(e).last());
      }
    }
    for (std::size_t i = 0; i < p.mtrrs.variable.size(); ++i) {
      const auto& v = p.mtrrs.variable[i];
      if (v.type != MemType::WB && covered({v.base, v.size}, {E820::RAM}))
        say(false, fmt::format("mtrrs.variable[{}]", i), "{:#x}-{:#x} is not write-back and covers RAM", v.base, v.base + v.size - 1);
    }
  }

  void units() {
    if (!p.vtd) {
      say(false, "vtd", "there is no VT-d unit; Xen refuses a PVH dom0 without one");
      if (!p.rmrrs.empty()) say(false, "rmrrs", "are not reported: without VT-d there is no DMAR table");
      return;
    }
    unsigned all = 0;
    for (std::size_t i = 0; i < p.drhds.size(); ++i) {
      const Drhd& d = p.drhds[i];
      if (covered({d.address, kPageSize}, {E820::RESERVED}))
        say(false, at("drhds", i) + ".address", "the register page {:#x} is RESERVED in the E820; Xen maps it into a PVH dom0, writable", d.address);
      if (all) say(false, at("drhds", i), "follows a unit with include_all, which has to be the last");
      all += d.include_all;
      if (d.include_all && all > 1) say(true, at("drhds", i) + ".include_all", "a second unit includes all; Xen turns VT-d off");
      unsigned width = d.sagaw.empty() ? 0 : *std::max_element(d.sagaw.begin(), d.sagaw.end());
      if (d.mgaw > width) say(false, at("drhds", i) + ".mgaw", "{} bits are more than the tables' {} can translate", d.mgaw, width);
      if (d.mgaw < p.host_address_width) say(false, at("drhds", i) + ".mgaw", "{} bits are fewer than the host address width {}", d.mgaw, p.host_address_width);
      if (d.domain_id_bits < 8) say(false, at("drhds", i) + ".domain_id_bits", "only {} domain identifiers", 1u << d.domain_id_bits);
      if (!d.queued_invalidation) say(false, at("drhds", i) + ".queued_invalidation", "register-based invalidation and no interrupt remapping");
      for (std::size_t s = 0; s < d.scopes.size(); ++s)
        if (d.scopes[s].kind == DeviceScope::Kind::ioapic && d.scopes[s].enumeration_id != p.ioapic_id)
          say(true, fmt::format("drhds[{}].scopes[{}].enumeration_id", i, s), "{} is not the I/O APIC, whose id is {}", d.scopes[s].enumeration_id, p.ioapic_id);
      scopes_exist(d.scopes, at("drhds", i));
    }
    bool ioapic = std::any_of(p.drhds.begin(), p.drhds.end(), [](const Drhd& d) {
      return std::any_of(d.scopes.begin(), d.scopes.end(), [](auto& s) { return s.kind == DeviceScope::Kind::ioapic; });
    });
    if (!ioapic && p.dmar_interrupt_remapping) say(false, "drhds", "no unit lists the I/O APIC; interrupt remapping stays off");
    if (p.host_address_width != p.cpu.physical_address_bits)
      say(false, "host_address_width", "{} bits, but processors have {}", p.host_address_width, p.cpu.physical_address_bits);
  }

  void scopes_exist(const std::vector<DeviceScope>& scopes, const std::string& where) {
    for (std::size_t s = 0; s < scopes.size(); ++s) {
      const DeviceScope& d = scopes[s];
      if ((d.kind != DeviceScope::Kind::endpoint && d.kind != DeviceScope::Kind::bridge) || d.path.size() != 1) continue;
      Bdf b(d.bus, d.path[0].first, d.path[0].second);
      if (std::none_of(p.pci.begin(), p.pci.end(), [&](auto& f) { return f.bdf == b; }))
        say(false, fmt::format("{}.scopes[{}]", where, s), "there is no function {:02x}:{:02x}.{}", b.bus(), b.dev(), b.fn());
    }
  }

  void rmrrs() {
    for (std::size_t i = 0; i < p.rmrrs.size(); ++i) {
      const Rmrr& r = p.rmrrs[i];
      Range span{r.first, r.last - r.first + 1};
      u64 ram = covered(span, {E820::RAM}), reserved = covered(span, {E820::RESERVED, E820::ACPI, E820::NVS});
      if (ram) say(true, at("rmrrs", i), "rmrr-in-ram: {:#x} bytes of {:#x}-{:#x} are RAM in the E820", ram, r.first, r.last);
      else if (reserved < span.size) say(false, at("rmrrs", i), "{:#x}-{:#x} is not all RESERVED in the E820", r.first, r.last);
      if (r.first % kPageSize || (r.last + 1) % kPageSize) say(false, at("rmrrs", i), "{:#x}-{:#x} is not page aligned", r.first, r.last);
      if (r.first < k1M) say(false, at("rmrrs", i), "rmrr-low: lies below 1 MiB");
      if (r.scopes.empty()) say(false, at("rmrrs", i) + ".scopes", "lists no device; Xen drops the region");
      scopes_exist(r.scopes, at("rmrrs", i));
    }
  }

  void chipset() {
    if (p.ecam) {
      Range area{p.ecam, u64{p.ecam_buses} << 20};
      if (covered(area, {E820::RESERVED}) < area.size)
        say(false, "ecam", "{:#x}-{:#x} is not all RESERVED in the E820; software does not use the MCFG area then", area.first, area.last());
    }
    if (p.rsdp_revision == 0) say(false, "rsdp_revision", "rsdt-only: no XSDT; Xen before 4.20 gives a PVH dom0 a garbage one");
    FirmwareLayout l;
    try {
      l = firmware_layout(p);
    } catch (const PlatformError& e) {
      say(true, e.field, "{}", e.what());
      return;
    }
    bool host = std::any_of(p.pci.begin(), p.pci.end(), [](auto& f) { return f.bdf == Bdf(0, 0, 0); });
    if (!host) say(false, "pci", "there is no host bridge 00:00.0");
    for (std::size_t i = 0; i < p.pci.size(); ++i) {
      const PciFunction& f = p.pci[i];
      if (f.bdf.fn() && std::none_of(p.pci.begin(), p.pci.end(), [&](auto& o) { return o.bdf == Bdf(f.bdf.bus(), f.bdf.dev(), 0); }))
        say(true, at("pci", i) + ".bdf", "function {} without a function 0; no software finds it", f.bdf.fn());
      for (std::size_t b = 0; b < f.bars.size(); ++b) {
        const PciBar& bar = f.bars[b];
        if (bar.kind == PciBar::Kind::io || !bar.address) continue;
        const Range& w = bar.address < k4G ? l.pci32 : l.pci64;
        if (!w.size || bar.address < w.first || bar.address + bar.size - 1 > w.last())
          say(false, fmt::format("pci[{}].bars[{}].address", i, b), "{:#x} is outside the host bridge's window {:#x}-{:#x}; Linux moves it",
              bar.address, w.first, w.size ? w.last() : w.first);
      }
    }
    for (const std::string& f : p.cpu.features)
      if (f == "-vmx") say(false, "cpu.features", "without VMX there is no HVM and no PVH dom0");
  }
};

}  // namespace

std::vector<LintFinding> lint(const Platform& p) {
  Linter l{p, {}};
  l.e820();
  l.mtrrs();
  l.units();
  l.rmrrs();
  l.chipset();
  return std::move(l.out);
}

}  // namespace vt::fw
