// SPDX-License-Identifier: GPL-2.0-or-later
/// The DMAR table as Xen and Linux print it.   VT-d "BIOS Considerations"
#include <algorithm>

#include "facts.hpp"

namespace vt::fw::import {
namespace {

/// What follows "[VT-D]" and a position such as "dmar.c:788:".
std::optional<Scan> vtd_text(std::string_view text) {
  Scan s(text);
  if (!s.find("[VT-D]")) return {};
  Scan position(s.rest());
  position.blanks();
  auto dot = position.rest().find(".c:");
  if (dot != position.rest().npos && dot < 24 && position.rest().find(' ') > dot && position.find(".c:") && position.decimal() && position.lit(":")) s = position;
  s.blanks();
  return s;
}

Unit& unit_at(Dmar& d, u64 address, const std::string& from) {
  for (Unit& u : d.units) if (u.address && u.address->value == address) return u;
  Unit& u = d.units.emplace_back();
  tell(u.address, address, from);
  return u;
}

struct XenReader {
  Facts& f;
  const std::string& file;
  enum class In : u8 { nothing, unit, region, other } in = In::nothing;
  std::string found_at;

  Unit& unit() { return f.xen.units.back(); }
  Region& region() { return f.xen.regions.back(); }

  /// Xen prints a unit's devices and, only if it is set, INCLUDE_ALL: when the next structure begins all has been said.
  void close() {
    if (in == In::unit) {
      unit().scopes_told = true;
      tell(unit().include_all, false, found_at);
    }
    in = In::nothing;
  }

  void scope(Scan s, DeviceScope::Kind kind, const std::string& from) {
    auto bdf = s.blanks().bdf();
    if (!bdf) { f.note(Kind::unreadable, from, "a device of the DMAR table"); return; }
    Scope x;
    x.scope = {kind, 0, bdf->bus(), {{bdf->dev(), bdf->fn()}}};
    x.source.from = from;
    if (Scan t = s; t.find("sec=")) if (auto n = t.hex(); n && *n && *n < 256) x.secondary = static_cast<u8>(*n);
    if (in == In::unit) unit().scopes.push_back(std::move(x));
    else if (in == In::region) region().scopes.push_back(std::move(x));
  }

  void line(const Line& l) {
    auto text = vtd_text(l.text);
    const std::string from = at(file, l.number);
    if (!text) {
      if (l.xen && !l.text.empty() && in != In::nothing) close();
      return;
    }
    Scan s = *text;
    auto unreadable = [&] { f.note(Kind::unreadable, from, "DMAR: {}", l.text); };
    if (s.lit("Host address width ")) {
      if (auto n = s.decimal()) tell(f.xen.width, *n, from);
      else unreadable();
    } else if (s.lit("found ACPI_DMAR_")) {
      close();
      found_at = from;
      if (s.lit("DRHD")) in = In::unit, f.xen.units.emplace_back();
      else if (s.lit("RMRR")) in = In::region, f.xen.regions.emplace_back().from = from;
      else {
        in = In::other;
        f.note(Kind::not_carried, from, "DMAR structure {}", s.rest().substr(0, s.rest().find(':')));
      }
    } else if (s.lit("dmaru->address = ")) {
      auto a = s.hex();
      if (!a) { unreadable(); return; }
      if (in != In::unit) in = In::unit, f.xen.units.emplace_back(), found_at = from;
      tell(unit().address, *a, from);
    } else if (s.lit("drhd->address = ")) {
      auto a = s.hex();
      if (!a) { unreadable(); return; }
      if (in != In::unit) in = In::unit, f.xen.units.emplace_back(), found_at = from;
      tell(unit().address, *a, from);
    } else if (s.lit("cap = ")) {
      auto cap = s.hex();
      auto ecap = cap && s.blanks().lit("ecap = ") ? s.hex() : std::nullopt;
      if (!cap || !ecap) unreadable();
      else if (in == In::unit) tell(unit().cap, *cap, from), tell(unit().ecap, *ecap, from);
    } else if (s.lit("flags: INCLUDE_ALL")) {
      if (in == In::unit) tell(unit().include_all, true, from);
    } else if (s.lit("endpoint:")) {
      scope(s, DeviceScope::Kind::endpoint, from);
    } else if (s.lit("bridge:")) {
      scope(s, DeviceScope::Kind::bridge, from);
    } else if (s.lit("IOAPIC:")) {
      scope(s, DeviceScope::Kind::ioapic, from);
    } else if (s.lit("MSI HPET:")) {
      scope(s, DeviceScope::Kind::hpet, from);
    } else if (contains(s.rest(), "RMRR") && in == In::region) {
      range(s, l, from);
    }
    if (Scan absent = *text; contains(l.text, "Non-existent device") && absent.find("("))
      if (auto b = absent.bdf()) f.absent.emplace(b->v, from);
  }

  /// "RMRR region: base_addr A end_addr B", "RMRR [A,B] not in reserved memory", "... RMRR (A, B)'s scope", "Ignore the RMRR (A, B)"
  void range(Scan s, const Line& l, const std::string& from) {
    s.find("RMRR");
    s.lit(":");
    s.blanks();
    std::optional<u64> first, last;
    if (s.lit("region: base_addr ")) {
      first = s.hex();
      if (first && s.blanks().lit("end_addr")) { s.lit("ess"); last = s.blanks().hex(); }
      if (!first || !last || *last < *first) { f.note(Kind::unreadable, from, "DMAR: {}", l.text); return; }
    } else if (s.lit("[") || s.lit("(")) {
      first = s.hex();
      if (first && s.lit(",")) last = s.blanks().hex();
      if (!first || !last || *last < *first) return;
    } else {
      return;
    }
    tell(region().first, *first, from), tell(region().last, *last, from);
  }
};

void linux_line(Facts& f, const std::string& file, const Line& l) {
  const std::string from = at(file, l.number);
  auto unreadable = [&] { f.note(Kind::unreadable, from, "DMAR: {}", l.text); };
  Dmar& d = f.linux;
  Scan s(l.text);
  if ((s.find("DMAR: ") || s.find("dmar: "))) {
    if (Scan t = s; t.lit("Host address width ")) {
      if (auto n = t.decimal()) tell(d.width, *n, from);
      else unreadable();
      return;
    }
    for (const char* other : {"ATSR flags", "RHSA base", "ANDD device", "SATC flags", "SIDP"})
      if (s.rest().starts_with(other)) f.note(Kind::not_carried, from, "DMAR structure {}", std::string_view(other).substr(0, 4));
  }
  if (Scan t(l.text); t.find("DRHD base: ")) {
    auto a = t.hex();
    auto flags = a && t.blanks().lit("flags: ") ? t.hex() : std::nullopt;
    if (a && !flags) f.note(Kind::unreadable, from, "DMAR: {} (the flags are cut off)", l.text);
    if (!a || (!flags && t.blanks().end() && l.text.size() < 20)) return unreadable();
    Unit& u = unit_at(d, *a, from);
    if (flags) tell(u.include_all, *flags & 1, from);
  } else if (Scan r(l.text); r.find("reg_base_addr ") || (r.lit("IOMMU ") && contains(l.text, ": ver ")) || (r.find("IOMMU ") && contains(l.text, ": ver "))) {   // the latter to 2.6.37
    auto a = r.hex();
    std::optional<u64> cap, ecap;
    if (a && r.find(" cap ")) cap = r.hex();
    if (cap && r.blanks().lit("ecap ")) ecap = r.hex();
    if (!ecap) return unreadable();
    Unit& u = unit_at(d, *a, from);
    tell(u.cap, *cap, from), tell(u.ecap, *ecap, from);
  } else if (Scan r2(l.text); r2.find("RMRR base: ")) {
    auto first = r2.hex();
    auto last = first && r2.blanks().lit("end: ") ? r2.hex() : std::nullopt;
    if (!first || !last || *last < *first) return unreadable();
    for (const Region& g : d.regions) if (g.first->value == *first && g.last->value == *last) return;   // a second boot
    Region& g = d.regions.emplace_back();
    g.from = from;
    tell(g.first, *first, from), tell(g.last, *last, from);
  } else if (Scan i(l.text); i.find("IOAPIC id ") || i.find("HPET id ")) {
    const bool ioapic = contains(l.text, "IOAPIC id ");
    auto id = i.decimal();
    if (!id || !i.blanks().lit("under DRHD base")) return;
    auto a = i.blanks().hex();
    if (!a) return unreadable();
    Unit& u = unit_at(d, *a, from);
    Scope x;
    x.scope = {ioapic ? DeviceScope::Kind::ioapic : DeviceScope::Kind::hpet, static_cast<u8>(*id), 0xf0, {{0x1f, 0}}};
    x.source = guess("the log names no source identifier; f0:1f.0", from);
    for (const Scope& o : u.scopes) if (o.scope.kind == x.scope.kind && o.scope.enumeration_id == x.scope.enumeration_id) return;
    u.scopes.push_back(std::move(x));
  } else if (Scan m(l.text); m.find("etting identity map for device ")) {
    auto b = m.bdf();
    std::optional<u64> first, last;
    if (b && m.blanks().lit("[")) first = m.hex();
    if (first && m.find("-")) last = m.blanks().hex();
    if (!last) return unreadable();
    for (Region& g : d.regions)
      if (g.first->value <= *first && *first <= g.last->value) {
        bool there = std::any_of(g.scopes.begin(), g.scopes.end(), [&](auto& o) { return Bdf(o.scope.bus, o.scope.path[0].first, o.scope.path[0].second) == *b; });
        if (!there) g.scopes.push_back({{DeviceScope::Kind::endpoint, 0, b->bus(), {{b->dev(), b->fn()}}}, {from, {}}, {}});
      }
  } else if (contains(l.text, "Enabled IRQ remapping in ")) {
    tell(d.interrupt_remapping, true, from);
    if (contains(l.text, "x2apic mode")) tell(d.x2apic_opt_out, false, from);
  } else if (contains(l.text, "x2apic opt out bit")) {
    tell(d.x2apic_opt_out, true, from);
  }
}

/// rmrr=start<-end>=[s1]bdf1[,[s1]bdf2[,...]];start<-end>=...   with page numbers.   Xen "Xen Hypervisor Command Line Options"
void command_line(Facts& f, const std::string& file, const Line& l) {
  Scan s(l.text);
  if (!s.find("ommand line:") || !s.find(" rmrr=")) return;
  const std::string from = at(file, l.number);
  std::string_view all = s.rest().substr(0, s.rest().find(' '));
  std::string plain;
  for (char c : all) if (c != '"' && c != '\'' && c != '\\') plain += c;
  Scan t(plain);
  auto number = [&]() -> std::optional<u64> { return t.rest().starts_with("0x") ? t.hex() : t.decimal(); };
  while (!t.end()) {
    auto first = number();
    auto last = first && t.lit("-") ? number() : first;
    Region r;
    r.from = from;
    bool ok = last && *first <= *last && *last >> 52 == 0 && t.lit("=");
    while (ok) {
      auto b = t.bdf();
      if (!b) { ok = false; break; }
      r.scopes.push_back({{DeviceScope::Kind::endpoint, 0, b->bus(), {{b->dev(), b->fn()}}}, {from, {}}, {}});
      if (!t.lit(",")) break;
    }
    if (!ok) { f.note(Kind::unreadable, from, "rmrr={}", plain); return; }
    tell(r.first, *first << 12, from), tell(r.last, (*last << 12) + 0xfff, from);
    f.user_regions.push_back(std::move(r));
    if (!t.lit(";")) break;
  }
}

}  // namespace

void read_dmar(Facts& f, const std::string& file, const std::vector<Line>& lines) {
  XenReader xen{f, file};
  f.xen.what = "Xen's log", f.linux.what = "Linux's log", f.acpi.what = "the DMAR table";
  for (const Line& l : lines) {
    if (l.domain) continue;
    if (l.xen && contains(l.text, "ommand line:")) command_line(f, file, l);
    if (l.xen && contains(l.text, "Interrupt remapping enabled")) tell(f.xen.interrupt_remapping, true, at(file, l.number));
    if (l.xen || contains(l.text, "[VT-D]")) xen.line(l);
    else linux_line(f, file, l);
  }
  // The last unit ends with the file: nobody knows whether more was said of it.
  if (xen.in == XenReader::In::unit) f.note(Kind::unreadable, xen.found_at, "the file ends inside a DMAR unit");
}

}  // namespace vt::fw::import
