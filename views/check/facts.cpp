// SPDX-License-Identifier: GPL-2.0-or-later
#include "facts.hpp"

#include <fmt/format.h>

namespace vt::views::checks {
namespace {

State cut(const State& s, u64 first, u64 last) {
  State c = s;
  c.first = std::max(s.first, first), c.last = std::min(s.last, last);
  c.mapping = s.at(c.first);
  return c;
}

}  // namespace

void Sweep::apply(const Change& c, const std::function<void(const State&)>& ended) {
  if (c.kind == Change::Kind::again || c.space >= live_.size()) return;
  Live& live = live_[c.space];
  auto it = live.upper_bound(c.first);
  if (it != live.begin()) --it;
  while (it != live.end() && it->first <= c.last) {
    if (it->second.last < c.first) { ++it; continue; }
    const State s = it->second;
    it = live.erase(it);
    if (s.first < c.first) live[s.first] = cut(s, s.first, c.first - 1);
    if (s.last > c.last) it = std::next(live.insert_or_assign(c.last + 1, cut(s, c.last + 1, s.last)).first);
    if (ended) {
      State e = cut(s, c.first, c.last);
      e.to = c.event;
      ended(e);
    }
  }
  if (!c.after.present) return;
  const bool same = c.kind == Change::Kind::cosmetic;
  live[c.first] = {c.space, c.first, c.last, c.after, same ? c.since : c.event, c.event, kNever};
}

void Sweep::to(u32 event, const std::function<void(const State&)>& ended) {
  for (; next_ < history_.changes.size() && history_.changes[next_].event < event; ++next_) apply(history_.changes[next_], ended);
}

std::vector<State> Sweep::at(u32 space, u64 first, u64 last) const {
  std::vector<State> out;
  const Live& live = live_.at(space);
  auto it = live.upper_bound(first);
  if (it != live.begin()) --it;
  for (; it != live.end() && it->first <= last; ++it)
    if (it->second.last >= first) out.push_back(cut(it->second, first, last));
  return out;
}

Facts::Facts(const CheckInput& i) : in(i), h(i.history), end(std::min<u32>(i.end_event, static_cast<u32>(i.history.events.size()))), entries(h.spaces.size()), translation(i.setup.units.size()) {
  Sweep sweep(h);
  sweep.to(end, [this](const State& s) { states.push_back(s); });
  for (u32 n = 0; n < h.spaces.size(); ++n)
    for (auto& [first, s] : sweep.live(n)) states.push_back(s);
  read_tables();

  // Calls within calls, by processor. One that never returned holds what came after it.
  outer_.assign(h.attempts.size(), kNever);
  requests_.resize(h.attempts.size());
  std::map<u16, std::vector<u32>> open;
  for (u32 n = 0; n < h.attempts.size(); ++n) {
    const Attempt& a = h.attempts[n];
    if (a.event >= end) break;
    Attempt seen = a;
    if (a.result && a.end_event >= end) seen.result.reset();   // not yet
    requests_[n] = in.words.request(seen);
    auto& stack = open[a.cpu];
    while (!stack.empty() && h.attempts[stack.back()].result && h.attempts[stack.back()].end_event < a.event) stack.pop_back();
    if (!stack.empty()) outer_[n] = stack.back();
    stack.push_back(n);
    by_cpu_[a.cpu].push_back(n);
    if (!seen.result) busy_at_end_ = true;
  }
}

/// Root and context entries, and the life of every table.
void Facts::read_tables() {
  PhysMem mem(in.setup.memory_top);
  for (auto& r : in.setup.memory) mem.add_ram(r.first, r.size);
  std::map<u64, TableLife> alive;
  std::vector<u64> roots(in.setup.units.size());
  std::vector<std::map<u16, Assignment>> now(in.setup.units.size());
  std::map<u64, u64> pages;   // of root and context tables: how they are named there
  auto space_of = [this](Hpa root, unsigned levels) -> std::optional<u32> {
    for (u32 n = 0; n < h.spaces.size(); ++n)
      if (h.spaces[n].format == TableFormat::second_level && h.spaces[n].root == root && h.spaces[n].levels == levels) return n;
    return {};
  };
  auto devices = [&](u8 unit, u32 event) {
    std::map<u16, Assignment> fresh;
    if (const Hpa root{roots[unit] & kPageMask}; root.v)
      for (auto& t : vtd_devices(mem, in.setup.units[unit], root).tables)
        for (Bdf d : t.devices) {
          Assignment a{event, unit, d, true, false, t.type};
          a.domain = vtd::lookup(mem, in.setup.units[unit], root, d).context.domain();
          if (t.type == vtd::TranslationType::untranslated) a.space = space_of(t.root, t.levels);
          fresh[d.v] = a;
        }
    for (auto& [v, a] : fresh) {
      auto was = now[unit].find(v);
      if (was != now[unit].end() && was->second.space == a.space && was->second.domain == a.domain && was->second.type == a.type) { a.event = was->second.event; continue; }
      if (was != now[unit].end()) a.was_present = true, a.was_domain = was->second.domain;
      assignments.push_back(a);
    }
    for (auto& [v, a] : now[unit])
      if (!fresh.contains(v)) assignments.push_back({event, unit, a.device, false, true, a.type, a.domain, a.domain, {}});
    now[unit] = std::move(fresh);
  };
  for (u32 n = 0; n < end; ++n) {
    const Event& e = h.events[n];
    switch (e.kind) {
      case EventKind::vm_entry: {
        const auto s = ept_space(e.b);
        entry_spaces.push_back({n, s});
        if (s) entries[*s].push_back(n);
        break;
      }
      case EventKind::vtd_translation:
        if (e.a < translation.size()) translation[e.a].push_back({n, e.b != 0});
        break;
      case EventKind::table_page: alive.try_emplace(e.a, TableLife{e.a, n, kNever, place::format(e.d)}); break;
      case EventKind::table_gone:
        if (!e.b) break;
        if (auto it = alive.find(e.a); it != alive.end()) {
          it->second.to = n;
          tables.push_back(it->second);
          alive.erase(it);
        }
        if (e.a + kPageSize <= mem.top()) {
          static constexpr u8 kZero[kPageSize] = {};
          mem.write(Hpa{e.a}, kZero, kPageSize, WriteCause::loader);
        }
        break;
      case EventKind::vtd_pointer:
        if (e.b || e.a >= roots.size()) break;
        roots[e.a] = e.c;
        devices(static_cast<u8>(e.a), n);
        break;
      case EventKind::table_write: {
        const TableFormat f = place::format(e.d);
        if (f == TableFormat::interrupt) break;
        mem.poke64(Hpa{e.a}, e.c, WriteCause::loader);
        // A page may be a context table and something else at once: whoever has a root looks again.
        auto t = alive.find(e.a & kPageMask);
        if (f == TableFormat::root || f == TableFormat::context || (t != alive.end() && (t->second.format == TableFormat::root || t->second.format == TableFormat::context)))
          for (u8 u = 0; u < roots.size(); ++u) if (roots[u]) devices(u, n);
        break;
      }
      default: break;
    }
  }
  for (auto& [page, t] : alive) tables.push_back(t);
  std::sort(tables.begin(), tables.end(), [](auto& a, auto& b) { return a.page != b.page ? a.page < b.page : a.from < b.from; });
}

std::optional<u32> Facts::ept_space(u64 eptp) const {
  const ept::Eptp p{eptp};
  for (u32 n = 0; n < h.spaces.size(); ++n)
    if (h.spaces[n].format == TableFormat::ept && h.spaces[n].root == p.root() && h.spaces[n].levels == p.levels()) return n;
  return {};
}

const Assignment* Facts::assigned(u8 unit, Bdf device, u32 event) const {
  const Assignment* last = nullptr;
  for (auto& a : assignments) {
    if (a.event > event) break;
    if (a.unit == unit && a.device == device) last = &a;
  }
  return last && last->present ? last : nullptr;
}

bool Facts::enabled(u8 unit, u32 event) const {
  if (unit >= translation.size()) return false;
  const auto& t = translation[unit];
  auto it = std::upper_bound(t.begin(), t.end(), event, [](u32 e, auto& x) { return e < x.first; });
  return it != t.begin() && std::prev(it)->second;
}

bool Facts::used(const State& s) const {
  if (s.to == kNever) return true;
  if (h.spaces[s.space].format != TableFormat::ept) return true;
  const auto& e = entries[s.space];
  auto it = std::lower_bound(e.begin(), e.end(), s.from);
  return it != e.end() && *it < s.to;
}

const Origin& Facts::origin(u32 event) const {
  auto it = origins_.find(event);
  if (it == origins_.end()) it = origins_.emplace(event, event < h.events.size() ? views::origin(h, h.events[event], in.words) : Origin{}).first;
  return it->second;
}

std::optional<u32> Facts::attempt_at(u32 event) const {
  if (event >= h.events.size()) return {};
  auto cpu = by_cpu_.find(h.events[event].cpu);
  if (cpu == by_cpu_.end()) return {};
  auto it = std::upper_bound(cpu->second.begin(), cpu->second.end(), event, [this](u32 e, u32 a) { return e < h.attempts[a].event; });
  if (it == cpu->second.begin()) return {};
  for (u32 a = *--it;;) {
    if (!h.attempts[a].result || h.attempts[a].end_event > event) return a;
    if (outer_[a] == kNever) return {};
    a = outer_[a];
  }
}

bool Facts::removal_asked_for(u32 event) const {
  for (auto a = attempt_at(event); a; a = outer(*a))
    if (requests_[*a] && requests_[*a]->removes) return true;
  return false;
}

std::shared_ptr<const Facts> facts(const CheckInput& in) { return in.facts ? in.facts : std::make_shared<const Facts>(in); }

// ---- text ----

std::string range_mark() { return "\x03"; }
std::string moving(u64 address) { return fmt::format("\x01{:016x}\x02", address); }
std::string hex(u64 v) { return fmt::format("{:#x}", v); }
std::string bdf(Bdf b) { return fmt::format("{:02x}:{:02x}.{}", b.bus(), b.dev(), b.fn()); }
std::string letters(Access a) { return {a.r() ? 'r' : '-', a.w() ? 'w' : '-', a.x() ? 'x' : '-'}; }

std::string space_text(const Facts& f, u32 space) {
  const Space& s = f.h.spaces.at(space);
  if (s.format == TableFormat::ept) return fmt::format("the EPT {:#x}", s.root.v);
  std::string list;
  for (std::size_t n = 0; n < s.devices.size() && n < 4; ++n) list += (n ? ", " : "") + bdf(s.devices[n]);
  if (s.devices.size() > 4) list += fmt::format(" and {} more", s.devices.size() - 4);
  return fmt::format("the tables {:#x} of {}", s.root.v, list.empty() ? "no device" : list);
}

const char* address_kind(const Facts& f, u32 space) { return f.h.spaces.at(space).format == TableFormat::ept ? "guest-physical" : "device"; }

std::string mapping_text(const Facts& f, u32 space, const Mapping& m, u64 first) {
  if (!m.present) return "nothing";
  if (m.misconfigured) return "a misconfigured entry";
  const bool ept = f.h.spaces.at(space).format == TableFormat::ept;
  std::string type = ept ? f.in.words.type_name(m.tag) : std::string{};
  std::string how = type.empty() ? letters(m.access) : type + " " + f.in.words.access_name(m.tag);
  return how + (m.target == first ? ", identity" : " to " + moving(m.target));
}

std::string origin_text(const Origin& o) {
  if (o.function.empty()) return "an unknown origin";
  return o.source.file.empty() ? o.function : fmt::format("{} ({}:{})", o.function, o.source.file, o.source.line);
}

Finding finding(const Facts& f, const char* rule, Severity s, std::optional<u32> space, u64 first, u64 last, u32 when, std::vector<u32> events) {
  Finding x;
  x.rule = rule, x.severity = s, x.space = space, x.first = first, x.last = last, x.step = f.step(when);
  std::sort(events.begin(), events.end());
  events.erase(std::unique(events.begin(), events.end()), events.end());
  x.events = std::move(events);
  return x;
}

void add_origins(const Facts& f, Finding& to, std::initializer_list<u32> events) {
  for (u32 e : events) {
    const std::string name = f.origin(e).function;
    if (!name.empty() && std::find(to.origins.begin(), to.origins.end(), name) == to.origins.end()) to.origins.push_back(name);
  }
}

}  // namespace vt::views::checks
