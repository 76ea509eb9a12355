// SPDX-License-Identifier: GPL-2.0-or-later
/// DMAR: what the table, Xen and Linux tell of the same units and regions, put together.
#include <algorithm>

#include "base/bits.hpp"
#include "working.hpp"

namespace vt::fw::import {
namespace {

constexpr u64 k1M = u64{1} << 20;

template <class T> void fill(MaybeTold<T>& a, const MaybeTold<T>& b) { if (!a) a = b; }

/// Xen prints a region's device but not always its place, Linux its place but not the device; both go through the table in order.
void merge_regions(std::vector<Region>& mine, const std::vector<Region>& other, Facts& f, const std::string& what) {
  if (mine.empty()) { mine = other; return; }
  if (other.empty()) return;
  auto fits = [](const Region& a, const Region& b) { return !a.first || !b.first || (a.first->value == b.first->value && a.last->value == b.last->value); };
  auto merge = [](Region& a, const Region& b) {
    fill(a.first, b.first), fill(a.last, b.last);
    if (a.scopes.empty()) a.scopes = b.scopes;
  };
  bool ordered = mine.size() == other.size();
  for (std::size_t i = 0; ordered && i < mine.size(); ++i) ordered = fits(mine[i], other[i]);
  if (ordered) {
    for (std::size_t i = 0; i < mine.size(); ++i) merge(mine[i], other[i]);
    return;
  }
  for (const Region& r : other) {
    auto same = std::find_if(mine.begin(), mine.end(), [&](const Region& m) { return m.first && r.first && fits(m, r); });
    if (same != mine.end()) { merge(*same, r); continue; }
    f.note(Kind::conflict, r.from, "an RMRR that stands only in {}{}", what, r.first ? "; it is taken" : ", without its range; it is left out");
    if (r.first) mine.push_back(r);
  }
}

void merge(Dmar& mine, const Dmar& other, Facts& f) {
  fill(mine.width, other.width), fill(mine.interrupt_remapping, other.interrupt_remapping), fill(mine.x2apic_opt_out, other.x2apic_opt_out);
  const bool had = !mine.units.empty();
  for (const Unit& o : other.units) {
    if (!o.address) continue;
    auto same = std::find_if(mine.units.begin(), mine.units.end(), [&](const Unit& u) { return u.address && u.address->value == o.address->value; });
    if (same == mine.units.end()) {
      if (had) f.note(Kind::conflict, o.address->source.from, "unit {:#x} stands only in {}; it is taken", o.address->value, other.what);
      mine.units.push_back(o);
      continue;
    }
    if (same->include_all && o.include_all && same->include_all->value != o.include_all->value)
      f.note(Kind::conflict, o.include_all->source.from, "unit {:#x}: INCLUDE_ALL differs from {}, which holds", o.address->value, same->include_all->source.from);
    if (same->cap && o.cap && (same->cap->value != o.cap->value || same->ecap->value != o.ecap->value))
      f.note(Kind::conflict, o.cap->source.from, "unit {:#x}: other capabilities than {}, which holds", o.address->value, same->cap->source.from);
    fill(same->include_all, o.include_all), fill(same->cap, o.cap), fill(same->ecap, o.ecap);
    if (!same->scopes_told && o.scopes_told) same->scopes = o.scopes, same->scopes_told = true;
    else if (same->scopes.empty()) same->scopes = o.scopes;
    // Xen names the I/O APIC's source identifier, Linux its id.
    for (Scope& s : same->scopes)
      for (const Scope& x : o.scopes)
        if (s.scope.kind == x.scope.kind && s.scope.kind == DeviceScope::Kind::ioapic && !s.scope.enumeration_id && same->scopes.size() && &s != &x && x.source.guessed())
          s.scope.enumeration_id = x.scope.enumeration_id;
  }
  merge_regions(mine.regions, other.regions, f, other.what);
}

/// An RMRR whose place no line tells (a release build of Xen is silent about it): somewhere in what firmware took from low memory.
std::optional<MapRange> hiding_place(const Working& w) {
  u64 top = 0;
  for (const MapRange& r : w.e820) if (r.type != E820::RESERVED && r.last < u64{1} << 32) top = std::max(top, r.last);
  const MapRange* best = nullptr;
  for (const MapRange& r : w.e820)
    if (r.type == E820::RESERVED && r.first >= k1M && r.first <= top + 1 && r.last - r.first + 1 >= kPageSize && (!best || r.last - r.first > best->last - best->first)) best = &r;
  if (!best) return {};
  u64 end = align_down(best->last + 1, kPageSize), begin = align_up(best->first, kPageSize);
  for (const WorkingRegion& g : w.regions) if (g.r.last >= begin && g.r.first < end) end = std::min(end, align_down(g.r.first, kPageSize));
  if (end < begin + kPageSize) return {};
  const u64 size = std::min(end - begin, k1M);
  return MapRange{end - size, end - 1, E820::RESERVED, best->source};
}

Bdf usual_device(const Facts& f, const Rmrr& r) {
  if (r.last - r.first + 1 >= 8 * k1M) return Bdf(0, 2, 0);
  for (auto& [bdf, p] : f.pci) if (p.class_code && *p.class_code >> 8 == 0x0c03) return Bdf(bdf);
  return Bdf(0, 0x14, 0);
}
DeviceScope endpoint(Bdf b) { return {DeviceScope::Kind::endpoint, 0, b.bus(), {{b.dev(), b.fn()}}}; }

}  // namespace

void merge_dmar(Facts& f, Working& w) {
  Dmar d = f.acpi;
  merge(d, f.xen, f);
  merge(d, f.linux, f);
  Platform& p = w.base;
  const bool listed = f.tables.contains("DMAR") || f.tables.contains("XMAR");
  p.vtd = !d.units.empty() || listed || !f.tables_listed;
  if (!p.vtd) {
    w.scalars["vtd"] = {f.tables.begin()->second, {}};
    if (!d.regions.empty()) f.note(Kind::conflict, d.regions[0].from, "RMRRs without a unit; they are left out");
  } else if (d.units.empty()) {
    w.scalars["vtd"] = guess(listed ? "a DMAR table is listed, but nothing tells what is in it; one default unit (Xen's iommu=verbose prints it)" : "not told; one default unit",
                             listed ? (f.tables.contains("DMAR") ? f.tables["DMAR"] : f.tables["XMAR"]) : "");
  } else {
    w.scalars["vtd"] = d.units[0].address ? d.units[0].address->source : guess("a unit without its address");
  }
  for (std::size_t i = 0; p.vtd && i < d.units.size(); ++i) {
    const Unit& u = d.units[i];
    if (!u.address) {
      f.note(Kind::unreadable, w.scalars["vtd"].from, "a DMAR unit without its address; it is left out");
      continue;
    }
    WorkingUnit& x = w.units.emplace_back();
    x.d.address = u.address->value, x.address = u.address->source;
    x.d.include_all = u.include_all ? u.include_all->value : i + 1 == d.units.size();
    x.include_all = u.include_all ? u.include_all->source : guess("not told; the last unit has it");
    if (u.cap && u.ecap) {
      decode_capabilities(x.d, u.cap->value, u.ecap->value, u.cap->source.from, f);
      x.registers = u.cap->source;
    } else {
      x.d.mgaw = std::min(48u, std::max(39u, p.host_address_width));
      x.registers = guess("the capability registers are not told; a unit of the default kind");
    }
    if (!u.scopes_told) x.scopes_told = guess("the log does not list the unit's devices");
    for (const Scope& s : u.scopes) x.d.scopes.push_back(s.scope), x.scopes.push_back(s.source);
  }
  const bool remap = std::all_of(w.units.begin(), w.units.end(), [](auto& u) { return u.d.interrupt_remapping; });
  w.set(p.dmar_interrupt_remapping, "dmar_interrupt_remapping", d.interrupt_remapping, remap, "not told; as the units offer it");
  w.set(p.x2apic_opt_out, "x2apic_opt_out", d.x2apic_opt_out, false, "not told; the default");
  if (p.vtd) {
    for (const std::vector<Region>* all : {&d.regions, &f.user_regions})
      for (const Region& r : *all) {
        WorkingRegion x;
        if (r.first && r.last) {
          x.r.first = r.first->value, x.r.last = r.last->value, x.range = r.first->source;
          if (all == &f.user_regions) f.note(Kind::conflict, r.from, "RMRR {:#x}-{:#x} is from Xen's command line; leave rmrr= out when you run this platform", x.r.first, x.r.last);
        } else if (auto place = hiding_place(w)) {
          x.r.first = place->first, x.r.last = place->last;
          x.range = guess("the log does not tell the range; a piece of what is RESERVED below the top of low memory", r.from);
        } else {
          f.note(Kind::unreadable, r.from, "an RMRR whose range is not told; it is left out");
          continue;
        }
        for (const Scope& s : r.scopes) x.r.scopes.push_back(s.scope), x.scopes.push_back(s.source);
        w.regions.push_back(std::move(x));
      }
  }
  // Bridges that Xen names with the bus behind them.
  for (const Dmar* x : {&f.xen})
    for (auto& u : x->units)
      for (const Scope& s : u.scopes)
        if (s.secondary && s.scope.path.size() == 1) {
          Bdf b(s.scope.bus, s.scope.path[0].first, s.scope.path[0].second);
          FunctionFact& p2 = f.function(b, s.source.from);
          if (!p2.secondary) p2.secondary = s.secondary, p2.bridge = true;
        }
}

/// The devices: what the description can carry of them, and what has to be guessed.
void assemble_units(Facts& f, Working& w) {
  unsigned others = 0;
  for (WorkingUnit& u : w.units) {
    std::size_t keep = u.d.scopes.size();
    // One I/O APIC is modelled. Xen does not print ids: f0:1f.0 is the chipset's.
    for (std::size_t i = 0; i < u.d.scopes.size(); ++i)
      if (u.d.scopes[i].kind == DeviceScope::Kind::ioapic && (keep == u.d.scopes.size() || (u.d.scopes[i].bus == 0xf0 && u.d.scopes[keep].bus != 0xf0))) keep = i;
    std::size_t by_id = u.d.scopes.size();
    for (std::size_t i = 0; i < u.d.scopes.size(); ++i)
      if (u.d.scopes[i].kind == DeviceScope::Kind::ioapic && u.d.scopes[i].enumeration_id == w.base.ioapic_id && by_id == u.d.scopes.size()) by_id = i;
    const bool ids = std::any_of(u.d.scopes.begin(), u.d.scopes.end(), [](auto& s) { return s.kind == DeviceScope::Kind::ioapic && s.enumeration_id; });
    if (ids) keep = by_id;
    for (std::size_t i = u.d.scopes.size(); i-- > 0;) {
      DeviceScope& s = u.d.scopes[i];
      if (s.kind != DeviceScope::Kind::ioapic) continue;
      if (i == keep) {
        if (s.enumeration_id != w.base.ioapic_id) s.enumeration_id = w.base.ioapic_id;
        continue;
      }
      f.note(Kind::not_carried, u.scopes[i].from, "unit {:#x}: I/O APIC {:02x}:{:02x}.{}: only the first is modelled", u.d.address, s.bus, s.path[0].first, s.path[0].second);
      u.d.scopes.erase(u.d.scopes.begin() + static_cast<std::ptrdiff_t>(i));
      u.scopes.erase(u.scopes.begin() + static_cast<std::ptrdiff_t>(i));
    }
    const bool devices = std::any_of(u.d.scopes.begin(), u.d.scopes.end(), [](auto& s) { return s.kind == DeviceScope::Kind::endpoint || s.kind == DeviceScope::Kind::bridge; });
    if (!u.d.include_all && !devices) {
      const Bdf b = others == 0 ? Bdf(0, 2, 0) : Bdf(0, static_cast<u8>(3 + others), 0);
      u.d.scopes.push_back(endpoint(b));
      u.scopes.push_back(guess(others == 0 ? "not told; a unit without INCLUDE_ALL mostly is the graphics device's" : "not told; a device of its own"));
      ++others;
    } else if (!u.d.include_all) {
      ++others;
    }
  }
  for (WorkingRegion& r : w.regions) {
    if (!r.r.scopes.empty()) continue;
    const Bdf b = usual_device(f, r.r);
    r.r.scopes.push_back(endpoint(b));
    r.scopes.push_back(guess(b == Bdf(0, 2, 0) ? "not told; a region of this size mostly is the graphics device's" : "not told; a small region mostly is a USB controller's"));
  }
  // Devices of units and regions have to exist, or software drops what they belong to.
  auto exists = [&](Bdf b) { return std::any_of(w.pci.begin(), w.pci.end(), [&](auto& x) { return x.f.bdf == b; }); };
  auto need = [&](const std::vector<DeviceScope>& scopes, const std::vector<Source>& sources) {
    for (std::size_t i = 0; i < scopes.size(); ++i) {
      const DeviceScope& s = scopes[i];
      if (s.kind != DeviceScope::Kind::endpoint || s.bus || s.path.size() != 1) continue;
      const Bdf b(0, s.path[0].first, s.path[0].second);
      if (exists(b) || f.absent.contains(b.v)) continue;
      WorkingFunction& x = w.pci.emplace_back();
      x.f.bdf = b, x.f.device = 0x0001, x.f.class_code = 0x088000;
      x.source = x.ids = guess("a device of the DMAR table; what it is has not been told", sources[i].from);
      if (b.fn() && !exists(Bdf(0, b.dev(), 0))) {
        WorkingFunction y = x;
        y.f.bdf = Bdf(0, b.dev(), 0);
        y.source = y.ids = guess("function 0 of a device of the DMAR table", sources[i].from);
        w.pci.push_back(std::move(y));
      }
    }
  };
  for (const WorkingUnit& u : w.units) need(u.d.scopes, u.scopes);
  for (const WorkingRegion& r : w.regions) need(r.r.scopes, r.scopes);
  std::sort(w.pci.begin(), w.pci.end(), [](auto& a, auto& b) { return a.f.bdf < b.f.bdf; });
}

}  // namespace vt::fw::import
