// SPDX-License-Identifier: GPL-2.0-or-later
/// What a device needs in its own table, and where that differs from its guest's: rmrr-missing, reserved-missing, ept-vtd, dma-fault.
#include <fmt/format.h>

#include "facts.hpp"
#include "vtd/fault.hpp"

namespace vt::views::checks {
namespace {

constexpr u64 kInterruptFirst = 0xfee00000, kInterruptLast = 0xfeefffff;   // VT-d "Handling Requests to Interrupt Address Range"

struct Range { u64 first, last; };

/// Takes [first, last] out of every range.
void without(std::vector<Range>& from, u64 first, u64 last) {
  std::vector<Range> left;
  for (auto& r : from) {
    if (r.last < first || r.first > last) { left.push_back(r); continue; }
    if (r.first < first) left.push_back({r.first, first - 1});
    if (r.last > last) left.push_back({last + 1, r.last});
  }
  from = std::move(left);
}

Range pages(u64 first, u64 last) { return {first & kPageMask, last | (kPageSize - 1)}; }

bool is_identity_rw(const Mapping& m, u64 address) { return m.present && !m.misconfigured && m.target == address && m.access.allows(access::rw); }

/// Parts of a range that a space does not map identically and rw, now.
std::vector<Range> missing(const Sweep& sweep, u32 space, Range r) {
  std::vector<Range> left{r};
  for (auto& s : sweep.at(space, r.first, r.last))
    if (is_identity_rw(s.mapping, s.first)) without(left, s.first, s.last);
  return left;
}

/// The function at the end of a path of device scopes; none: there is no such device.   VT-d "Device Scope Structure"
std::optional<Bdf> device_of(const fw::Platform& p, const fw::DeviceScope& s) {
  u8 bus = s.bus;
  for (std::size_t n = 0; n < s.path.size(); ++n) {
    const Bdf at(bus, s.path[n].first, s.path[n].second);
    auto f = std::find_if(p.pci.begin(), p.pci.end(), [&](auto& x) { return x.bdf == at; });
    if (f == p.pci.end()) return {};
    if (n + 1 == s.path.size()) return at;
    if (!f->secondary_bus) return {};
    bus = *f->secondary_bus;
  }
  return {};
}

/// Every function that a scope means: the endpoint, or all that is behind a bridge.
std::vector<Bdf> devices_of(const fw::Platform& p, const fw::DeviceScope& s) {
  std::vector<Bdf> all;
  if (s.kind != fw::DeviceScope::Kind::endpoint && s.kind != fw::DeviceScope::Kind::bridge) return all;
  const auto d = device_of(p, s);
  if (!d) return all;
  if (s.kind == fw::DeviceScope::Kind::endpoint) return {*d};
  std::vector<u8> buses;
  for (auto& f : p.pci) if (f.bdf == *d && f.secondary_bus) buses.push_back(*f.secondary_bus);
  for (std::size_t n = 0; n < buses.size() && n < 256; ++n)
    for (auto& f : p.pci)
      if (f.bdf.bus() == buses[n]) {
        all.push_back(f.bdf);
        if (f.secondary_bus && *f.secondary_bus > buses[n]) buses.push_back(*f.secondary_bus);
      }
  return all;
}

/// VT-d "DMA Remapping Hardware Unit Definition Structure": whoever is not in a scope belongs to the one that includes all.
std::optional<u8> unit_of(const fw::Platform& p, Bdf device) {
  std::optional<u8> rest;
  for (std::size_t n = 0; n < p.drhds.size(); ++n) {
    if (p.drhds[n].include_all) { rest = static_cast<u8>(n); continue; }
    for (auto& s : p.drhds[n].scopes)
      for (Bdf d : devices_of(p, s)) if (d == device) return static_cast<u8>(n);
  }
  return rest;
}

/// Moments when a unit begins to translate.
std::vector<u32> beginnings(const Facts& f) {
  std::vector<u32> all;
  for (auto& unit : f.translation)
    for (auto [event, on] : unit) if (on) all.push_back(event);
  std::sort(all.begin(), all.end());
  return all;
}

/// A loss of what a device needs: its entry is removed or changed, and nobody asked for a removal.
bool is_loss(const Facts& f, const Change& c) {
  if (c.kind != Change::Kind::removed && c.kind != Change::Kind::changed) return false;
  if (!is_identity_rw(c.before, c.first) || is_identity_rw(c.after, c.first)) return false;
  if (c.kind == Change::Kind::removed) {
    if (f.removal_asked_for(c.event)) return false;
    if (f.h.attempts.empty() && !c.linked) return false;   // an entry that is cleared by itself is meant to be
  }
  return true;
}

}  // namespace

void rmrr_missing(const CheckInput& in, std::vector<Finding>& out) {
  struct Need { Bdf device; u8 unit; Range range; };
  std::vector<Need> needs;
  for (auto& r : in.platform.rmrrs)
    for (auto& s : r.scopes)
      for (Bdf d : devices_of(in.platform, s))
        if (auto u = unit_of(in.platform, d)) needs.push_back({d, *u, pages(r.first, r.last)});
  if (needs.empty()) return;
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  Sweep sweep(f.h);
  auto judge = [&](const Need& need, u32 event, const char* when) {
    const Assignment* a = f.assigned(need.unit, need.device, event);
    if (a && !a->space) return;   // passed through
    const std::string who = bdf(need.device);
    if (!a) {
      Finding x = finding(f, "rmrr-missing", Severity::error, {}, need.range.first, need.range.last, event, {event});
      x.text = fmt::format("the RMRR {} is for {}, which has no context entry {}: its DMA there is refused", range_mark(), who, when);
      add_origins(f, x, {event});
      out.push_back(std::move(x));
      return;
    }
    sweep.to(event);
    for (auto& r : missing(sweep, *a->space, need.range)) {
      Finding x = finding(f, "rmrr-missing", Severity::error, *a->space, r.first, r.last, event, {a->event, event});
      const auto there = sweep.at(*a->space, r.first, r.last);
      const std::string had = there.empty() ? "nothing" : mapping_text(f, *a->space, there[0].mapping, there[0].first);
      x.text = fmt::format("{} of the RMRR {:#x}-{:#x} is not identity mapped rw for {} {}; its own table has {} there", range_mark(), need.range.first, need.range.last, who, when, had);
      add_origins(f, x, {event});
      out.push_back(std::move(x));
    }
  };
  const auto begun = beginnings(f);
  for (u32 e : begun)
    for (auto& n : needs) if (n.unit == f.h.events[e].a) judge(n, e, "when translation is enabled");
  for (auto& c : f.h.changes) {
    if (c.event >= f.end) break;
    if (f.h.spaces[c.space].format != TableFormat::second_level || !is_loss(f, c)) continue;
    for (auto& n : needs) {
      const u64 first = std::max(c.first, n.range.first), last = std::min(c.last, n.range.last);
      if (first > last) continue;
      const Assignment* a = f.assigned(n.unit, n.device, c.event);
      if (!a || a->space != c.space || !f.enabled(n.unit, c.event)) continue;
      Finding x = finding(f, "rmrr-missing", Severity::error, c.space, first, last, c.event, {c.since, c.event});
      add_origins(f, x, {c.event, c.since});
      x.text = fmt::format("{} of the RMRR {:#x}-{:#x} was identity mapped for {} by {} and is lost: {} by {}", range_mark(), n.range.first, n.range.last, bdf(n.device),
                           origin_text(f.origin(c.since)), c.kind == Change::Kind::removed ? "removed" : "replaced", origin_text(f.origin(c.event)));
      out.push_back(std::move(x));
    }
  }
  // Devices that came to other tables later: those have to have it too, when all is done.
  if (!begun.empty() && !f.busy_at_end())
    for (auto& n : needs) {
      const Assignment* a = f.end ? f.assigned(n.unit, n.device, f.end - 1) : nullptr;
      if (a && a->event > begun.back() && f.enabled(n.unit, f.end)) judge(n, f.end - 1, "by the tables that it was given since");
    }
}

void reserved_missing(const CheckInput& in, std::vector<Finding>& out) {
  std::vector<Range> needed;
  const fw::Platform& p = in.platform;
  for (auto& r : p.e820)
    if (r.type == fw::E820::RESERVED && r.size && r.first < u64{1} << 32) needed.push_back(pages(r.first, std::min(r.first + r.size - 1, (u64{1} << 32) - 1)));
  // Whether these are mapped is a matter of their own: they are emulated, denied, or mean nothing to DMA.
  without(needed, kInterruptFirst, kInterruptLast);
  without(needed, p.ioapic & kPageMask, p.ioapic | (kPageSize - 1));
  if (p.ecam) without(needed, p.ecam, p.ecam + (u64{p.ecam_buses} << 20) - 1);
  if (p.hpet) without(needed, p.hpet_address & kPageMask, p.hpet_address | (kPageSize - 1));
  for (auto& d : p.drhds) without(needed, d.address & kPageMask, d.address | (kPageSize - 1));
  if (needed.empty()) return;
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  // Who maps RESERVED by a rule is who has ever mapped some of it (what an RMRR asks for proves nothing).
  std::vector<Range> proof = needed;
  for (auto& r : p.rmrrs) without(proof, r.first & kPageMask, r.last | (kPageSize - 1));
  std::vector<bool> by_rule(f.h.spaces.size());
  for (auto& s : f.states) {
    if (by_rule[s.space] || f.h.spaces[s.space].format != TableFormat::second_level || !is_identity_rw(s.mapping, s.first)) continue;
    for (auto& r : proof) if (s.first <= r.last && s.last >= r.first) by_rule[s.space] = true;
  }
  Sweep sweep(f.h);
  for (u32 e : beginnings(f)) {
    const auto unit = static_cast<u8>(f.h.events[e].a);
    std::map<u32, Bdf> spaces;
    for (auto& a : f.assignments)
      if (a.event <= e && a.unit == unit && a.space && by_rule[*a.space])
        if (auto now = f.assigned(unit, a.device, e); now && now->space == a.space) spaces.try_emplace(*a.space, a.device);
    sweep.to(e);
    for (auto& [space, device] : spaces)
      for (auto& r : needed)
        for (auto& m : missing(sweep, space, r)) {
          Finding x = finding(f, "reserved-missing", Severity::error, space, m.first, m.last, e, {e});
          x.text = fmt::format("{} is RESERVED in the E820 and not identity mapped in {} when translation is enabled; other RESERVED memory is", range_mark(), space_text(f, space));
          add_origins(f, x, {e});
          out.push_back(std::move(x));
        }
  }
  for (auto& c : f.h.changes) {
    if (c.event >= f.end) break;
    if (!by_rule[c.space] || !is_loss(f, c)) continue;
    for (auto& r : needed) {
      const u64 first = std::max(c.first, r.first), last = std::min(c.last, r.last);
      if (first > last || !f.enabled(f.h.spaces[c.space].unit, c.event)) continue;
      Finding x = finding(f, "reserved-missing", Severity::error, c.space, first, last, c.event, {c.since, c.event});
      add_origins(f, x, {c.event, c.since});
      x.text = fmt::format("{} is RESERVED in the E820, was identity mapped in {} by {}, and is lost: {} by {}", range_mark(), space_text(f, c.space), origin_text(f.origin(c.since)),
                           c.kind == Change::Kind::removed ? "removed" : "replaced", origin_text(f.origin(c.event)));
      out.push_back(std::move(x));
    }
  }
}

namespace {

/// The EPT whose guest has these device tables: the one with which it agrees on most of what it maps, and on half of it at least.
std::optional<u32> guest_of(const Facts& f, const Sweep& end, u32 device_space) {
  u64 mapped = 0;
  for (auto& [first, s] : end.live(device_space)) mapped += s.size();
  std::optional<u32> best;
  u64 most = 0;
  for (u32 n = 0; n < f.h.spaces.size(); ++n) {
    if (f.h.spaces[n].format != TableFormat::ept) continue;
    u64 agree = 0;
    for (auto& [first, s] : end.live(device_space))
      for (auto& e : end.at(n, s.first, s.last))
        if (e.mapping.target == s.at(e.first).target) agree += e.size();
    if (agree > most) best = n, most = agree;
  }
  return most && most >= mapped / 2 ? best : std::nullopt;
}

class Comparison {
 public:
  Comparison(const Facts& f, u32 guest, u32 device) : f_(f), guest_(guest), device_(device), sweep_(f.h) {
    limit_ = vtd::width_limit(f.in.setup.units.at(f.h.spaces[device].unit), f.h.spaces[device].levels) - 1;
  }
  void run(std::vector<Finding>& out) {
    const auto& entered = f_.entries[guest_];
    std::size_t entry = 0;
    for (auto& c : f_.h.changes) {
      if (c.event >= f_.end) break;
      if (c.space != guest_ && c.space != device_) continue;
      while (entry < entered.size() && entered[entry] < c.event) tell(entered[entry++], out);
      sweep_.apply(c);
      compare(c.first, std::min(c.last, limit_), c.event);
    }
    while (entry < entered.size()) tell(entered[entry++], out);
    if (!f_.busy_at_end()) tell(f_.end, out);
  }

 private:
  struct Difference { u64 last; Mapping guest, device; u32 event; bool told; };

  static Access visible(const Mapping& m) { return m.present ? m.access & access::rw : access::none; }

  void compare(u64 first, u64 last, u32 event) {
    if (first > last) return;
    // What was known of this range is out of date.
    auto it = differences_.upper_bound(first);
    if (it != differences_.begin()) --it;
    while (it != differences_.end() && it->first <= last) {
      if (it->second.last < first) { ++it; continue; }
      const u64 from = it->first;
      const Difference d = it->second;
      it = differences_.erase(it);
      auto part = [&](u64 a, u64 b) {
        Difference p = d;
        p.last = b;
        if (p.guest.present) p.guest.target += a - from;
        if (p.device.present) p.device.target += a - from;
        differences_[a] = p;
      };
      if (from < first) part(from, first - 1);
      if (d.last > last) part(last + 1, d.last), it = differences_.upper_bound(last + 1);
    }
    const auto g = sweep_.at(guest_, first, last), d = sweep_.at(device_, first, last);
    std::size_t i = 0, k = 0;
    for (u64 at = first;;) {
      while (i < g.size() && g[i].last < at) ++i;
      while (k < d.size() && d[k].last < at) ++k;
      u64 to = last;
      Mapping a, b;
      if (i < g.size()) { if (g[i].first <= at) a = g[i].at(at), to = std::min(to, g[i].last); else to = std::min(to, g[i].first - 1); }
      if (k < d.size()) { if (d[k].first <= at) b = d[k].at(at), to = std::min(to, d[k].last); else to = std::min(to, d[k].first - 1); }
      if (differ(a, b)) put(at, to, a, b, event);
      if (to >= last) break;
      at = to + 1;
    }
  }

  bool differ(const Mapping& a, const Mapping& b) const {
    if (a.misconfigured || b.misconfigured || (a.present && f_.in.words.may_differ_for_devices(a.tag))) return false;
    const Access ra = visible(a), rb = visible(b);
    return ra != rb || (ra != access::none && a.target != b.target);
  }

  void put(u64 first, u64 last, const Mapping& a, const Mapping& b, u32 event) {
    auto add = [&](u64 x, u64 y) {
      if (x > y) return;
      Difference d{y, a, b, event, false};
      if (d.guest.present) d.guest.target += x - first;
      if (d.device.present) d.device.target += x - first;
      differences_[x] = d;
      fresh_.push_back(x);
    };
    if (last < kInterruptFirst || first > kInterruptLast) return add(first, last);
    if (first < kInterruptFirst) add(first, kInterruptFirst - 1);
    if (last > kInterruptLast) add(kInterruptLast + 1, last);
  }

  void tell(u32 event, std::vector<Finding>& out) {
    if (fresh_.empty()) return;
    if (!f_.enabled(f_.h.spaces[device_].unit, event)) return;   // they stay fresh
    for (u64 x : fresh_) {
      auto it = differences_.find(x);
      if (it == differences_.end() || it->second.told) continue;
      Difference& d = it->second;
      d.told = true;
      Finding r = finding(f_, "ept-vtd", Severity::error, device_, x, d.last, d.event, {d.event});
      add_origins(f_, r, {d.event});
      r.text = fmt::format("{} differs: the guest has {} in {}, its device {} in {}; since a change by {}", range_mark(), mapping_text(f_, guest_, d.guest, x), space_text(f_, guest_),
                           mapping_text(f_, device_, d.device, x), space_text(f_, device_), origin_text(f_.origin(d.event)));
      out.push_back(std::move(r));
    }
    fresh_.clear();
  }

  const Facts& f_;
  const u32 guest_, device_;
  Sweep sweep_;
  u64 limit_;
  std::map<u64, Difference> differences_;
  std::vector<u64> fresh_;
};

}  // namespace

void ept_vtd(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  std::optional<Sweep> end;
  for (u32 n = 0; n < f.h.spaces.size(); ++n) {
    const Space& s = f.h.spaces[n];
    if (s.format != TableFormat::second_level || s.shared_with || s.first_event >= f.end || s.unit >= in.setup.units.size()) continue;
    if (!end) end.emplace(f.h), end->to(f.end);
    if (auto guest = guest_of(f, *end, n)) Comparison(f, *guest, n).run(out);
  }
}

void dma_fault(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  Sweep sweep(f.h);
  std::map<std::pair<u32, u64>, std::optional<State>> lost;   // by space and page: what was there before, asked for once
  for (u32 n = 0; n < f.end; ++n) {
    const Event& e = f.h.events[n];
    if (e.kind != EventKind::vtd_fault) continue;
    const auto reason = static_cast<u8>(e.d);
    const Bdf device(static_cast<u16>(e.b));
    if (vtd::interrupt_fault(reason)) {
      Finding x = finding(f, "dma-fault", Severity::error, {}, e.c, e.c, n, {n});
      x.text = fmt::format("an interrupt of {} was blocked: index {}, reason {:#x} ({})", bdf(device), e.c >> 48, reason, vtd::fault_text(reason));
      out.push_back(std::move(x));
      continue;
    }
    const u64 page = e.c & kPageMask;
    const Assignment* a = f.assigned(static_cast<u8>(e.a), device, n);
    const auto space = a ? a->space : std::nullopt;
    Finding x = finding(f, "dma-fault", Severity::error, space, page, page + kPageSize - 1, n, {n});
    std::string had = a ? "no tables" : "no context entry";
    if (space) {
      sweep.to(n);
      const auto there = sweep.at(*space, page, page);
      had = "in its tables there is " + (there.empty() ? std::string("nothing") : mapping_text(f, *space, there[0].mapping, there[0].first));
      if (!there.empty()) {
        had += ", put there by " + origin_text(f.origin(there[0].since));
        add_origins(f, x, {there[0].since});
        x.events.push_back(there[0].since);
      } else {
        auto [it, fresh] = lost.try_emplace({*space, page});
        if (fresh)
          for (auto& s : f.states)
            if (s.space == *space && s.first <= page && s.last >= page && s.to != kNever && s.to < n && (!it->second || s.to > it->second->to)) it->second = s;
        if (it->second && it->second->to < n) {
          had += ", since " + origin_text(f.origin(it->second->to)) + " removed what " + origin_text(f.origin(it->second->since)) + " had put there";
          add_origins(f, x, {it->second->to, it->second->since});
          x.events.push_back(it->second->to);
        }
      }
      std::sort(x.events.begin(), x.events.end());
    }
    const char* kind = reason == vtd::fault::write_denied ? "a write" : reason == vtd::fault::read_denied ? "a read" : "an access";
    x.text = fmt::format("{} of {} by {} was refused, reason {:#x} ({}): {}", kind, range_mark(), bdf(device), reason, vtd::fault_text(reason), had);
    out.push_back(std::move(x));
  }
}

}  // namespace vt::views::checks
