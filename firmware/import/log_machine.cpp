// SPDX-License-Identifier: GPL-2.0-or-later
/// Everything else that boot logs tell of the machine: processors, ACPI's list of tables, I/O APICs, HPET, ECAM, power management ports,
/// MTRRs, PCI functions.
#include <algorithm>

#include "base/bits.hpp"
#include "facts.hpp"

namespace vt::fw::import {
namespace {

struct Machine {
  Facts& f;
  const std::string& file;
  unsigned tables = 0;
  bool mtrr_section = false;

  void processors(const Line& l, const std::string& from) {
    Scan s(l.text);
    if (s.find("Allowing ")) {
      auto n = s.decimal();
      if (!n) return;
      if (s.lit(" present CPUs plus")) { tell(f.cpus, *n, from); return; }
      u64 hotplug = 0;
      if (s.lit(" CPUs")) {
        if (s.find("(") || s.find(",")) hotplug = s.blanks().decimal().value_or(0);
        if (hotplug < *n) tell(f.cpus, *n - hotplug, from);
      }
    } else if (Scan b(l.text); b.find("Brought up ")) {
      auto n = b.decimal();
      if (n && b.rest().starts_with(" node")) n = b.find(", ") ? b.decimal() : std::nullopt;
      if (n && *n && b.rest().starts_with(" CPU")) tell(f.cpus, *n, from);
    } else if (Scan a(l.text); a.find("address sizes")) {              // /proc/cpuinfo
      if (auto n = a.blanks().lit(":") ? a.blanks().decimal() : std::nullopt; n && a.lit(" bits physical")) tell(f.address_bits, *n, from);
    } else if (Scan x(l.text); x.find("maxphysaddr L1D ")) {            // Xen's remarks on L1TF
      if (x.decimal() && x.lit(", CPUID "))
        if (auto n = x.decimal()) tell(f.address_bits, *n, from);
    }
  }

  void acpi(const Line& l, const std::string& from) {
    Scan s(l.text);
    if (!s.find("ACPI: ") || s.rest().size() < 5) return;
    std::string_view name = s.rest().substr(0, 4);
    const bool upper = std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '!'; });
    if (upper && s.rest()[4] == ' ' && !s.rest().starts_with("HPET id")) {
      s.lit(name);
      auto address = s.blanks().hex();
      s.lit(",");
      auto size = address ? s.blanks().hex() : std::nullopt;
      if (size && (s.blanks().lit("(") || name == "FACS")) {
        f.tables.emplace(std::string(name), from);
        if (++tables >= 4) f.tables_listed = true;
        // Revision 0 has no XSDT. The number in brackets is the revision: "(r2 DELL  )", "(v02 DELL  )".
        if (name == "RSDP") {
          s.lit("r") || s.lit("v");
          if (auto r = s.decimal()) tell(f.rsdp_revision, *r >= 2 ? 2u : 0u, from);
        }
      } else if (address) {
        f.note(Kind::unreadable, from, "ACPI table: {}", l.text);
      }
      return;
    }
    if (s.lit("HPET id: ")) {
      if (s.find("base: ")) if (auto a = s.hex()) tell(f.hpet, *a, from);
    } else if (s.lit("PM-Timer IO Port: ")) {
      if (auto a = s.hex()) tell(f.pm_timer, *a, from);
    } else if (s.lit("SLEEP INFO: ")) {    // pm1x_cnt[1:604,1:0], pm1x_evt[1:600,1:0]
      Scan c = s, e = s;
      if (c.find("pm1x_cnt[1:")) if (auto a = c.hex()) tell(f.pm_control, *a, from);
      if (e.find("pm1x_evt[1:")) if (auto a = e.hex()) tell(f.pm_event, *a, from);
    }
  }

  void ioapic(const Line& l, const std::string& from) {
    Scan s(l.text);
    Apic a;
    a.source.from = from;
    if (s.find("IOAPIC[") && s.decimal() && s.lit("]: apic_id ")) {    // IOAPIC[0]: apic_id 2, version 32, address 0xfec00000, GSI 0-119
      auto id = s.decimal();
      auto address = id && s.find("address ") ? s.hex() : std::nullopt;
      auto gsi = address && s.find("GSI ") ? s.decimal() : std::nullopt;
      if (!gsi) { f.note(Kind::unreadable, from, "I/O APIC: {}", l.text); return; }
      auto last = s.lit("-") ? s.decimal() : std::nullopt;
      a.id = static_cast<u8>(*id), a.address = *address, a.gsi = static_cast<u32>(*gsi);
      if (last && *last >= *gsi && *last - *gsi + 1 != 24) f.note(Kind::not_carried, from, "the I/O APIC has {} inputs; 24 are modelled", *last - *gsi + 1);
    } else if (Scan t(l.text); t.find("IOAPIC (id[")) {                 // ACPI: IOAPIC (id[0x02] address[0xfec00000] gsi_base[0])
      auto id = t.hex();
      auto address = id && t.find("address[") ? t.hex() : std::nullopt;
      auto gsi = address && t.find("gsi_base[") ? t.decimal() : std::nullopt;
      if (!gsi) { f.note(Kind::unreadable, from, "I/O APIC: {}", l.text); return; }
      a.id = static_cast<u8>(*id), a.address = *address, a.gsi = static_cast<u32>(*gsi);
    } else {
      return;
    }
    for (const Apic& o : f.ioapics) if (o.address == a.address) return;
    f.ioapics.push_back(a);
  }

  void ecam(const Line& l, const std::string& from) {
    Ecam e;
    e.source.from = from;
    Scan s(l.text);
    std::optional<u64> base, first, last, segment;
    if (s.find("MCFG configuration ") && s.decimal() && s.lit(": base ")) {
      base = s.hex();
      if (!base || !s.blanks().lit("segment ")) { f.note(Kind::unreadable, from, "ECAM: {}", l.text); return; }
      unsigned digits = 0;
      segment = s.hex(&digits);
      s.blanks();
      if (!s.lit("buses ")) { f.note(Kind::unreadable, from, "ECAM: {}", l.text); return; }
      const bool hexadecimal = digits == 4;    // old Linux writes decimal numbers
      first = hexadecimal ? s.hex() : s.decimal();
      s.blanks(), s.lit("-"), s.blanks();
      last = hexadecimal ? s.hex() : s.decimal();
    } else if (contains(l.text, "PCI: MMCONFIG for domain ") || contains(l.text, "PCI: ECAM [mem ")) {
      Scan d(l.text), b(l.text), r(l.text);
      segment = d.find("for domain ") ? d.hex() : std::nullopt;
      base = b.find("(base ") ? b.hex() : std::nullopt;
      if (r.find("[bus ")) { first = r.hex(); last = r.lit("-") ? r.hex() : first; }
    } else {
      return;
    }
    if (!base || !first || !last || *last < *first || *last > 255) { f.note(Kind::unreadable, from, "ECAM: {}", l.text); return; }
    e.base = *base, e.first_bus = static_cast<unsigned>(*first), e.last_bus = static_cast<unsigned>(*last), e.segment = static_cast<unsigned>(segment.value_or(0));
    for (const Ecam& o : f.ecams) if (o.base == e.base && o.segment == e.segment) return;
    f.ecams.push_back(e);
  }

  /// "MTRR default type: uncachable", "  0 base 0000000000 mask 7F80000000 write-back"
  void mtrr(const Line& l, const std::string& from) {
    struct Name { const char* text; MemType type; };
    static constexpr Name kNames[] = {{"uncachable", MemType::UC}, {"write-back", MemType::WB}, {"write-through", MemType::WT},
                                      {"write-combining", MemType::WC}, {"write-protect", MemType::WP}};
    auto type = [](std::string_view t) -> std::optional<MemType> {
      for (const Name& n : kNames) if (t.starts_with(n.text)) return n.type;
      return {};
    };
    Scan s(l.text);
    if (s.find("MTRR default type: ")) {
      if (auto t = type(s.rest())) {
        if (f.mtrr_default) { mtrr_section = false; return; }
        tell(f.mtrr_default, *t, from);
      } else {
        f.note(Kind::unreadable, from, "MTRR: {}", l.text);
      }
      return;
    }
    if (contains(l.text, "MTRR variable ranges enabled")) { mtrr_section = f.mtrrs.empty(); return; }
    if (!mtrr_section) return;
    Scan r(l.text);
    if (auto close = r.rest().find("] "); close != r.rest().npos) r = Scan(r.rest().substr(close + 2));
    if (!r.blanks().decimal()) return;
    if (r.rest().starts_with(" disabled")) return;
    if (!r.lit(" base ")) return;
    unsigned digits = 0;
    auto base = r.hex();
    auto mask_ = base && r.lit(" mask ") ? r.hex(&digits) : std::nullopt;
    auto t = mask_ ? type(r.blanks().rest()) : std::nullopt;
    if (!t) { f.note(Kind::unreadable, from, "MTRR: {}", l.text); return; }
    f.mtrrs.push_back({*base, *mask_, *t, from});
    unsigned top = 0;
    while (top < 64 && *mask_ >> top) ++top;
    if (top >= 32 && (*mask_ >> 31 & 1)) tell(f.address_bits, top, from);   // the mask has all bits up to the physical address width
  }

  /// Linux: "pci 0000:00:02.0: [8086:9a49] type 00 class 0x030000", "... reg 0x10: [mem 0x603c000000-0x603cffffff 64bit]", "... PCI bridge to [bus 01]"
  void pci(const Line& l, const std::string& from) {
    Scan s(l.text);
    if (!s.find("pci 0")) return;
    u16 segment = 0;
    Scan b(l.text);
    b.find("pci ");
    auto bdf = b.bdf(&segment);
    if (!bdf || segment || !b.lit(": ")) return;
    if (b.lit("[")) {
      auto vendor = b.hex();
      auto device = vendor && b.lit(":") ? b.hex() : std::nullopt;
      if (!device || !b.lit("] type ")) { f.note(Kind::unreadable, from, "PCI: {}", l.text); return; }
      auto type = b.hex();
      auto code = type && b.find("class ") ? b.hex() : std::nullopt;
      if (!code) { f.note(Kind::unreadable, from, "PCI: {}", l.text); return; }
      FunctionFact& x = f.function(*bdf, from);
      if (x.vendor) return;
      x.vendor = static_cast<u16>(*vendor), x.device = static_cast<u16>(*device), x.class_code = static_cast<u32>(*code) & 0xffffff, x.bridge = (*type & 0x7f) == 1;
    } else if (b.lit("reg ") || b.lit("BAR ")) {
      const bool reg = contains(l.text, ": reg ");
      auto n = b.hex();
      if (!n) return;
      unsigned index = static_cast<unsigned>(reg ? (*n - 0x10) / 4 : *n);
      if ((reg && (*n < 0x10 || *n > 0x24)) || index > 5) return;    // an expansion ROM, SR-IOV
      b.lit(":");
      bar(*bdf, index, b.blanks().rest(), from, l);
    } else if (b.lit("PCI bridge to [bus ")) {
      FunctionFact& x = f.function(*bdf, from);
      if (auto n = b.hex(); n && *n && *n < 256 && !x.secondary) x.secondary = static_cast<u8>(*n), x.bridge = true;
    }
  }
  void bar(Bdf bdf, unsigned index, std::string_view text, const std::string& from, const Line& l) {
    Scan s(text);
    Bar x;
    x.index = index;
    x.source.from = from;
    const bool io = s.lit("[io ");
    if (!io && !s.lit("[mem ")) return;
    if (s.rest().starts_with("size")) { f.note(Kind::not_carried, from, "PCI: a BAR that firmware has not assigned: {}", l.text); return; }
    auto first = s.blanks().hex();
    auto last = first && s.lit("-") ? s.hex() : std::nullopt;
    if (!last || *last < *first || !contains(s.rest(), "]")) { f.note(Kind::unreadable, from, "PCI: {}", l.text); return; }
    x.address = *first, x.size = *last - *first + 1;
    x.kind = io ? PciBar::Kind::io : contains(s.rest(), "64bit") ? PciBar::Kind::mem64 : PciBar::Kind::mem32;
    x.prefetchable = contains(s.rest(), "pref");
    FunctionFact& p = f.function(bdf, from);
    for (const Bar& o : p.bars) if (o.index == index) return;
    p.bars.push_back(x);
  }
};

}  // namespace

void read_machine(Facts& f, const std::string& file, const std::vector<Line>& lines, bool xen_host, bool under_xen) {
  Machine m{f, file};
  for (const Line& l : lines) {
    if (l.domain) continue;
    const std::string from = at(file, l.number);
    const bool host = l.xen || (!xen_host && !under_xen);   // a domain has other processors, tables and MTRRs
    if (host) {
      m.processors(l, from), m.acpi(l, from), m.ioapic(l, from), m.ecam(l, from), m.mtrr(l, from);
      if (Scan s(l.text); s.find("last_pfn = "))
        if (auto n = s.hex(); n && contains(l.text, "max_arch_pfn")) {
          if (!f.last_pfn || *n > f.last_pfn->value) f.last_pfn = Told<u64>{*n, {from, {}}};
        }
      if (Scan s(l.text); s.find("System RAM: ") && s.decimal() && s.lit("MB ("))
        if (auto n = s.decimal()) tell(f.ram_kib, *n, from);
      if (l.xen)
        if (Scan s(l.text); s.find("PCI add device ") || s.find("PCI: add device ")) {
          u16 segment = 0;
          if (auto b = s.bdf(&segment); b && !segment) f.function(*b, from);
        }
    }
    if (host || xen_host) m.pci(l, from);     // dom0 sees the host's functions
  }
}

}  // namespace vt::fw::import
