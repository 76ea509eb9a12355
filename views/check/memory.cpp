// SPDX-License-Identifier: GPL-2.0-or-later
/// What a mapping leads to: denied-iomem-mapped, cacheable-mmio, aliased-ram, beyond-width.
#include <fmt/format.h>

#include "facts.hpp"

namespace vt::views::checks {
namespace {

struct Denied { u64 page; u32 from, to; std::string what; };

/// Frames that are the hypervisor's own, and for how long.
std::vector<Denied> denied_pages(const Facts& f) {
  std::vector<Denied> all;
  const fw::Platform& p = f.in.platform;
  if (p.vtd)
    for (auto& d : p.drhds) all.push_back({d.address & kPageMask, 0, kNever, "the registers of a remapping unit"});
  all.push_back({0xfee00000, 0, kNever, "the local APIC"});
  all.push_back({p.ioapic & kPageMask, 0, kNever, "the I/O APIC"});
  for (auto& t : f.tables) {
    const char* what = t.format == TableFormat::ept ? "an EPT table" : t.format == TableFormat::interrupt ? "the interrupt remapping table"
                     : t.format == TableFormat::second_level ? "a second-level table" : "a root or context table";
    all.push_back({t.page, t.from, t.to, what});
  }
  // A VMCS is one as long as somebody loads it; the last one of each processor still is.
  struct Life { u32 from, last; };
  std::map<u64, Life> vmcs;
  std::map<u16, u64> loaded;
  for (u32 n = 0; n < f.end; ++n) {
    const Event& e = f.h.events[n];
    if (e.kind != EventKind::eptp_change && e.kind != EventKind::vm_entry) continue;
    vmcs.try_emplace(e.a & kPageMask, Life{n, n}).first->second.last = n;
    loaded[e.cpu] = e.a & kPageMask;
  }
  for (auto& [page, life] : vmcs) {
    const bool now = std::any_of(loaded.begin(), loaded.end(), [&](auto& l) { return l.second == page; });
    all.push_back({page, life.from, now ? kNever : life.last + 1, "a VMCS"});
  }
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.page != b.page ? a.page < b.page : a.from < b.from; });
  return all;
}

struct Range { u64 first, last; };

/// Where the host's MTRRs say uncacheable, as firmware leaves them.   SDM 3A "MTRRs"; UC wins where ranges overlap
std::vector<Range> uncacheable(const fw::Platform& p) {
  std::vector<u64> cuts{0, 0xa0000, 0xc0000, 0x100000};
  for (auto& v : p.mtrrs.variable) cuts.push_back(v.base), cuts.push_back(v.base + v.size);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<Range> all;
  for (std::size_t n = 0; n < cuts.size(); ++n) {
    const u64 at = cuts[n], last = n + 1 < cuts.size() ? cuts[n + 1] - 1 : ~u64{0};
    bool uc = p.mtrrs.def == MemType::UC;
    if (at < 0x100000) {
      uc = at >= 0xa0000 && at < 0xc0000;   // the fixed ranges: firmware leaves the rest write-back
    } else {
      bool found = false, any_uc = false;
      for (auto& v : p.mtrrs.variable)
        if (at >= v.base && at - v.base < v.size) found = true, any_uc |= v.type == MemType::UC;
      if (found) uc = any_uc;
    }
    if (!uc) continue;
    if (!all.empty() && all.back().last + 1 == at) all.back().last = last;
    else all.push_back({at, last});
  }
  return all;
}

const char* type_text(u8 emt) { return emt == 6 ? "write-back" : emt == 4 ? "write-through" : "write-protected"; }

/// Devices that reach what an EPT maps, because they have the same tables.
std::string with_devices(const Facts& f, u32 space) {
  std::string list;
  for (u32 n = 0; n < f.h.spaces.size(); ++n)
    if (f.h.spaces[n].shared_with == space) for (Bdf d : f.h.spaces[n].devices) if (list.size() < 40) list += (list.empty() ? "" : ", ") + bdf(d);
  return list.empty() ? std::string{} : " and its devices (" + list + ")";
}

}  // namespace

void denied_iomem_mapped(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  const auto denied = denied_pages(f);
  for (auto& s : f.states) {
    const Space& space = f.h.spaces[s.space];
    const bool ept = space.format == TableFormat::ept;
    if (!s.mapping.present || s.mapping.misconfigured || s.mapping.access == access::none || space.shared_with) continue;
    const u64 last = s.mapping.target + (s.size() - 1);
    for (auto d = std::lower_bound(denied.begin(), denied.end(), s.mapping.target & kPageMask, [](auto& a, u64 t) { return a.page < t; }); d != denied.end() && d->page <= last; ++d) {
      if (!ept && d->page == 0xfee00000) continue;   // DMA there is an interrupt, whatever the tables say
      State both = s;
      both.from = std::max(s.from, d->from), both.to = std::min(s.to, d->to);
      if (both.from >= both.to || !f.used(both)) continue;
      const u64 first = s.first + (d->page - s.mapping.target);
      const u32 when = std::max(s.since, d->from);
      Finding x = finding(f, "denied-iomem-mapped", Severity::error, s.space, first, first + kPageSize - 1, when, {s.since, when});
      add_origins(f, x, {s.since});
      x.text = fmt::format("{} {} of {} leads to {} ({}, {}): reachable by {}{}; mapped by {}", address_kind(f, s.space), range_mark(), space_text(f, s.space), moving(d->page), d->what,
                           letters(s.mapping.access), ept ? "the guest" : "the device", ept ? with_devices(f, s.space) : "", origin_text(f.origin(s.since)));
      out.push_back(std::move(x));
    }
  }
}

void cacheable_mmio(const CheckInput& in, std::vector<Finding>& out) {
  const auto uc = uncacheable(in.platform);
  if (uc.empty()) return;
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  for (auto& s : f.states) {
    const Mapping& m = s.mapping;
    if (f.h.spaces[s.space].format != TableFormat::ept || !m.present || m.misconfigured || m.access == access::none) continue;
    if (m.emt != 4 && m.emt != 5 && m.emt != 6) continue;
    for (auto& r : uc) {
      const u64 first = std::max(m.target, r.first), last = std::min(m.target + (s.size() - 1), r.last);
      if (first > last || !f.used(s)) continue;
      const u64 at = s.first + (first - m.target);
      Finding x = finding(f, "cacheable-mmio", m.ipat ? Severity::error : Severity::warning, s.space, at, at + (last - first), s.from, {s.since, s.from});
      add_origins(f, x, {s.from});
      x.text = fmt::format("{} {} of {} leads to {}, uncacheable by the host's MTRRs, with type {}{}; set by {}", address_kind(f, s.space), range_mark(), space_text(f, s.space), moving(first),
                           type_text(m.emt), m.ipat ? " and without regard to the guest's PAT" : "", origin_text(f.origin(s.from)));
      out.push_back(std::move(x));
    }
  }
}

void aliased_ram(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  struct Held { u64 last, address; u32 since; };                 // by target
  struct Alias { u32 space; u64 first, last, other, target; u32 from, since; };
  std::vector<std::map<u64, Held>> held(f.h.spaces.size());
  std::vector<Alias> aliases;
  // Calls back with the parts of [target, last] that are held.
  auto each = [](std::map<u64, Held>& m, u64 target, u64 last, auto call) {
    auto it = m.upper_bound(target);
    if (it != m.begin()) --it;
    while (it != m.end() && it->first <= last) {
      auto here = it++;
      if (here->second.last >= target) call(here);
    }
  };
  for (auto& c : f.h.changes) {
    if (c.event >= f.end) break;
    if (c.kind == Change::Kind::again || c.kind == Change::Kind::cosmetic || f.h.spaces[c.space].format != TableFormat::ept) continue;
    auto& m = held[c.space];
    if (c.before.present && !c.before.misconfigured) {
      const u64 target = c.before.target, last = target + (c.last - c.first);
      each(m, target, last, [&](auto it) {
        const u64 from = it->first;
        const Held h = it->second;
        const u64 a = std::max(from, target), b = std::min(h.last, last);
        if (h.address + (a - from) != c.first + (a - target)) return;   // another frame's
        m.erase(it);
        if (from < a) m[from] = {a - 1, h.address, h.since};
        if (h.last > b) m[b + 1] = {h.last, h.address + (b + 1 - from), h.since};
      });
    }
    if (!c.after.present || c.after.misconfigured || c.after.access == access::none || in.words.may_alias(c.after.tag)) continue;
    for (auto& r : in.platform.e820) {
      if (r.type != fw::E820::RAM) continue;
      const u64 target = std::max(c.after.target, (r.first + kPageSize - 1) & kPageMask), end = std::min(c.after.target + (c.last - c.first) + 1, (r.first + r.size) & kPageMask);
      if (target >= end) continue;
      const u64 address = c.first + (target - c.after.target);
      std::vector<Range> taken;
      each(m, target, end - 1, [&](auto it) {
        const u64 a = std::max(it->first, target), b = std::min(it->second.last, end - 1);
        taken.push_back({a, b});
        const u64 mine = address + (a - target), other = it->second.address + (a - it->first);
        if (mine != other) aliases.push_back({c.space, mine, mine + (b - a), other, a, c.event, it->second.since});
      });
      u64 at = target;
      for (auto& t : taken) {
        if (at < t.first) m[at] = {t.first - 1, address + (at - target), c.event};
        at = t.last + 1;
      }
      if (at < end) m[at] = {end - 1, address + (at - target), c.event};
    }
  }
  constexpr std::size_t kLooked = 256;   // aliases whose end is looked for; there is something wrong long before
  for (std::size_t n = 0; n < aliases.size(); ++n) {
    const Alias& a = aliases[n];
    State life;
    life.space = a.space, life.from = a.from;
    if (n < kLooked) {
      auto c = std::upper_bound(f.h.changes.begin(), f.h.changes.end(), a.from, [](u32 e, auto& x) { return e < x.event; });
      for (; c != f.h.changes.end() && c->event < f.end; ++c) {
        if (c->space != a.space || c->kind == Change::Kind::again || c->kind == Change::Kind::cosmetic) continue;
        if ((c->first <= a.first && c->last >= a.first) || (c->first <= a.other && c->last >= a.other)) { life.to = c->event; break; }
      }
    }
    if (!f.used(life)) continue;
    Finding x = finding(f, "aliased-ram", Severity::warning, a.space, a.first, a.last, a.from, {a.since, a.from});
    add_origins(f, x, {a.from, a.since});
    x.text = fmt::format("{} {} of {} leads to the RAM at {}, which {} leads to as well; mapped by {}, there by {}", address_kind(f, a.space), range_mark(), space_text(f, a.space),
                         moving(a.target), moving(a.other), origin_text(f.origin(a.from)), origin_text(f.origin(a.since)));
    out.push_back(std::move(x));
  }
}

void beyond_width(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  for (auto& s : f.states) {
    if (!s.mapping.misconfigured) continue;
    const Space& space = f.h.spaces[s.space];
    const bool ept = space.format == TableFormat::ept;
    if (space.shared_with) continue;
    const unsigned width = ept ? in.setup.ept.physical_address_bits : in.setup.units.at(space.unit).host_address_width;
    if (width >= 52 || !(s.mapping.entry & mask(51, width)) || !f.used(s)) continue;
    Finding x = finding(f, "beyond-width", Severity::error, s.space, s.first, s.last, s.from, {s.from});
    add_origins(f, x, {s.from});
    x.text = fmt::format("the entry {:#x} for {} {} of {} has address bits above the {} bits there are; written by {}", s.mapping.entry, address_kind(f, s.space), range_mark(),
                         space_text(f, s.space), width, origin_text(f.origin(s.from)));
    out.push_back(std::move(x));
  }
  // Tables that a device shares with a guest, but with fewer levels: what lies above is out of its reach.
  for (u32 n = 0; n < f.h.spaces.size(); ++n) {
    const Space& device = f.h.spaces[n];
    if (!device.shared_with || device.unit >= in.setup.units.size()) continue;
    const u64 limit = vtd::width_limit(in.setup.units[device.unit], device.levels);
    for (auto& s : f.states) {
      if (s.space != *device.shared_with || s.last < limit || !s.mapping.present || s.mapping.misconfigured || !f.used(s)) continue;
      const u64 first = std::max(s.first, limit);
      Finding x = finding(f, "beyond-width", Severity::warning, n, first, s.last, s.since, {s.since});
      add_origins(f, x, {s.since});
      x.text = fmt::format("guest-physical {} is mapped, and beyond what {} can express ({} levels): a device cannot reach it; mapped by {}", range_mark(), space_text(f, n), device.levels,
                           origin_text(f.origin(s.since)));
      out.push_back(std::move(x));
    }
  }
}

}  // namespace vt::views::checks
