// SPDX-License-Identifier: GPL-2.0-or-later
/// The platform's own checks decide what can be a machine. What they refuse is dropped or changed, one thing at a time, and said.
#include <charconv>

#include "base/bits.hpp"
#include "working.hpp"

namespace vt::fw::import {
namespace {

/// "pci[3].bars[1].address", "pci", "bars": 3 and 1
std::optional<std::size_t> index_of(const std::string& field, std::string_view list) {
  auto at = field.find(std::string(list) + "[");
  if (at == field.npos || (at && field[at - 1] != '.')) return {};
  std::size_t n = 0;
  const char* begin = field.data() + at + list.size() + 1;
  auto [end, error] = std::from_chars(begin, field.data() + field.size(), n);
  if (error != std::errc{} || *end != ']') return {};
  return n;
}

template <class T> void erase(std::vector<T>& v, std::size_t i) { v.erase(v.begin() + static_cast<std::ptrdiff_t>(i)); }

struct Repair {
  Facts& f;
  Working& w;

  bool bar(WorkingFunction& x, std::size_t b, const std::string& why) {
    if (b >= x.f.bars.size()) return false;
    PciBar& r = x.f.bars[b];
    const u64 least = r.kind == PciBar::Kind::io ? 4 : kPageSize;
    if (x.bars[b].guessed() && r.size / 2 >= least) { r.size /= 2; return true; }
    f.note(Kind::conflict, x.bars[b].from, "{:02x}:{:02x}.{} BAR {} is left out: {}", x.f.bdf.bus(), x.f.bdf.dev(), x.f.bdf.fn(), r.index, why);
    erase(x.f.bars, b), erase(x.bars, b);
    return true;
  }

  bool unit(std::size_t i, const std::string& field, const std::string& why) {
    if (i >= w.units.size()) return false;
    WorkingUnit& u = w.units[i];
    if (auto s = index_of(field, "scopes"); s && *s < u.d.scopes.size()) {
      f.note(Kind::conflict, u.scopes[*s].from, "unit {:#x}: a device is left out: {}", u.d.address, why);
      erase(u.d.scopes, *s), erase(u.scopes, *s);
      return true;
    }
    f.note(Kind::conflict, u.address.from, "unit {:#x} is left out: {}", u.d.address, why);
    erase(w.units, i);
    if (w.units.empty()) {
      w.base.vtd = false;
      w.scalars["vtd"] = guess("no unit is left");
      w.regions.clear();
    }
    return true;
  }

  bool region(std::size_t i, const std::string& field, const std::string& why) {
    if (i >= w.regions.size()) return false;
    WorkingRegion& r = w.regions[i];
    if (auto s = index_of(field, "scopes"); s && *s < r.r.scopes.size()) {
      f.note(Kind::conflict, r.scopes[*s].from, "RMRR {:#x}-{:#x}: a device is left out: {}", r.r.first, r.r.last, why);
      erase(r.r.scopes, *s), erase(r.scopes, *s);
      return true;
    }
    f.note(Kind::conflict, r.range.from, "RMRR {:#x}-{:#x} is left out: {}", r.r.first, r.r.last, why);
    erase(w.regions, i);
    return true;
  }

  /// The tables of the description need 32 KiB of ACPI range below 4 GiB: the end of the last RAM there.
  bool acpi_range() {
    MapRange* best = nullptr;
    constexpr u64 kSize = 0x20000, kLowest = u64{64} << 20;
    for (MapRange& r : w.e820)
      if (r.type == E820::RAM && r.last < u64{1} << 32 && r.last > kLowest + kSize && r.last - r.first > 2 * kSize && (!best || r.last > best->last)) best = &r;
    if (!best) return false;
    const u64 end = align_down(best->last + 1, kPageSize), first = end - kSize;
    f.note(Kind::conflict, best->source.from, "no ACPI range for the tables: {:#x}-{:#x} is taken from RAM", first, end - 1);
    const MapRange cut{first, end - 1, E820::ACPI, guess("the map has no ACPI range of 32 KiB")};
    const u64 tail = best->last;
    const Source tail_source = best->source;
    best->last = first - 1;
    auto at = w.e820.begin() + (best - w.e820.data()) + 1;
    at = w.e820.insert(at, cut) + 1;
    if (tail >= end) w.e820.insert(at, {end, tail, E820::RAM, tail_source});
    return true;
  }

  bool scalar(const std::string& field, const std::string& why) {
    Platform& p = w.base;
    auto reset = [&](const char* name, auto change) {
      if (field.rfind(name, 0) != 0) return false;
      Source& s = w.scalars[name];
      f.note(Kind::conflict, s.from, "{} is not taken: {}", name, why);
      s = guess("what was told is impossible here", s.from);
      change();
      return true;
    };
    if (field.rfind("ecam", 0) == 0 && p.ecam) return reset("ecam", [&] { p.ecam = 0; });
    if (field.rfind("hpet", 0) == 0 && p.hpet) return reset("hpet", [&] { p.hpet = false; });
    if (field == "pm_base" && p.pm_base != 0x600) return reset("pm_base", [&] { p.pm_base = 0x600; });
    if (field == "ioapic" && p.ioapic != 0xfec00000) return reset("ioapic", [&] { p.ioapic = 0xfec00000; });
    if (field.rfind("mtrrs", 0) == 0 && w.mtrrs) return reset("mtrrs", [&] { w.mtrrs = false; w.scalars.erase("mtrrs"); });
    if (field == "host_address_width" && p.host_address_width != 46) return reset("host_address_width", [&] { p.host_address_width = 46; });
    return false;
  }

  bool change(const PlatformError& e) {
    std::string why = e.what();
    if (auto at = why.find(e.field + ": "); at != why.npos) why = why.substr(at + e.field.size() + 2);
    if (auto i = index_of(e.field, "pci"); i && *i < w.pci.size()) {
      if (auto b = index_of(e.field, "bars")) return bar(w.pci[*i], *b, why);
      const PciFunction& x = w.pci[*i].f;
      f.note(Kind::conflict, w.pci[*i].source.from, "{:02x}:{:02x}.{} is left out: {}", x.bdf.bus(), x.bdf.dev(), x.bdf.fn(), why);
      erase(w.pci, *i);
      return true;
    }
    if (auto i = index_of(e.field, "drhds")) return unit(*i, e.field, why);
    if (auto i = index_of(e.field, "rmrrs")) return region(*i, e.field, why);
    if (auto i = index_of(e.field, "e820"); i && *i < w.e820.size()) {
      f.note(Kind::conflict, w.e820[*i].source.from, "{:#x}-{:#x} is left out: {}", w.e820[*i].first, w.e820[*i].last, why);
      erase(w.e820, *i);
      return true;
    }
    if (e.field == "e820") return acpi_range();
    if (e.field == "lapic")    // RAM where the local APIC and the interrupt messages are
      for (std::size_t i = 0; i < w.e820.size(); ++i)
        if (w.e820[i].type == E820::RAM && w.e820[i].first <= 0xfeefffff && w.e820[i].last >= 0xfee00000) {
          f.note(Kind::conflict, w.e820[i].source.from, "{:#x}-{:#x} is left out: {}", w.e820[i].first, w.e820[i].last, why);
          erase(w.e820, i);
          return true;
        }
    return scalar(e.field, why);
  }
};

}  // namespace

Platform Working::platform() const {
  Platform p = base;
  if (!mtrrs) p.mtrrs = {};
  auto origin = [&](const std::string& field, const Source& s) { p.origins.push_back({field, s.from, s.guessed(), s.why}); };
  for (auto& [field, s] : scalars) origin(field, s);
  p.e820.clear(), p.drhds.clear(), p.rmrrs.clear(), p.pci.clear();
  p.memory = e820.empty() ? Platform{}.memory : 0;
  for (std::size_t i = 0; i < e820.size(); ++i) {
    const MapRange& r = e820[i];
    p.e820.push_back({r.first, r.last - r.first + 1, r.type});
    if (r.type == E820::RAM) p.memory += p.e820.back().size;
    origin(fmt::format("e820[{}]", i), r.source);
  }
  for (std::size_t i = 0; i < units.size(); ++i) {
    const WorkingUnit& u = units[i];
    const std::string at = fmt::format("drhds[{}]", i);
    p.drhds.push_back(u.d);
    origin(at, u.registers);
    origin(at + ".address", u.address), origin(at + ".include_all", u.include_all);
    for (const char* cache : {".iotlb_entries", ".context_entries"}) origin(at + cache, guess("no register and no log tells it; the default"));
    if (u.scopes_told.guessed() || u.d.scopes.empty()) origin(at + ".scopes", u.scopes_told.guessed() ? u.scopes_told : Source{u.address.from, {}});
    for (std::size_t s = 0; s < u.d.scopes.size(); ++s) {
      origin(fmt::format("{}.scopes[{}]", at, s), u.scopes[s]);
    }
  }
  for (std::size_t i = 0; i < regions.size(); ++i) {
    p.rmrrs.push_back(regions[i].r);
    origin(fmt::format("rmrrs[{}]", i), regions[i].range);
    for (std::size_t s = 0; s < regions[i].r.scopes.size(); ++s) origin(fmt::format("rmrrs[{}].scopes[{}]", i, s), regions[i].scopes[s]);
  }
  for (std::size_t i = 0; i < pci.size(); ++i) {
    const std::string at = fmt::format("pci[{}]", i);
    p.pci.push_back(pci[i].f);
    origin(at, pci[i].ids.guessed() ? pci[i].ids : pci[i].source);
    if (pci[i].secondary.guessed()) origin(at + ".secondary_bus", pci[i].secondary);
    for (std::size_t b = 0; b < pci[i].bars.size(); ++b) {
      const Source& s = pci[i].bars[b];
      if (!s.guessed()) { origin(fmt::format("{}.bars[{}]", at, b), s); continue; }
      origin(fmt::format("{}.bars[{}]", at, b), {s.from, {}});
      origin(fmt::format("{}.bars[{}].size", at, b), s);
    }
  }
  return p;
}

Platform repair(Facts& f, Working& w) {
  constexpr unsigned kMost = 5000;    // each step drops or halves something: far more than any machine has
  std::string last;
  for (unsigned n = 0; n < kMost; ++n) {
    Platform p = w.platform();
    try {
      complete(p);
      return p;
    } catch (const PlatformError& e) {
      last = e.what();
      if (!Repair{f, w}.change(e)) break;
    }
  }
  throw ImportError("what was read makes no machine: " + last);
}

}  // namespace vt::fw::import
