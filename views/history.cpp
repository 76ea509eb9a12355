// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/history.hpp"

#include <algorithm>

#include "views/ept_map.hpp"

namespace vt::views {
namespace {

constexpr std::size_t kPlaces = 1024;
constexpr u64 kUnitLimit = 64;   ///< remapping units of one machine, far below

Mapping moved(Mapping m, u64 by) {
  if (m.present && !m.misconfigured) m.target += by;
  return m;
}

bool looks_the_same(const Mapping& a, const Mapping& b) {
  return a.means_the_same(b) && a.emt == b.emt && a.ipat == b.ipat && a.page_size == b.page_size;
}

/// The second-level tables between two addresses, by the one walker.
void read_second_level(const PhysMem& mem, const vtd::Caps& caps, const Space& s, u64 first, u64 last, std::vector<Replay::Range>& to) {
  const u64 limit = std::min(last, vtd::width_limit(caps, s.levels) - 1);
  for (u64 at = first; at <= limit;) {
    const vtd::Walk w = vtd::walk(mem, caps, s.root, s.levels, Iova{at}, access::none);
    const u64 end = std::min(at | (w.size - 1), limit);
    Mapping m;
    if (w.found_leaf() || w.why == vtd::Why::reserved) {
      m.present = true;
      m.misconfigured = w.why == vtd::Why::reserved;
      m.target = m.misconfigured ? 0 : w.target.v;
      m.access = w.access;
      m.page_size = w.size;
      m.tag = kNoTag;
      m.entry = w.step[w.n - 1u].entry.v;
      if (!to.empty() && to.back().last + 1 == at && looks_the_same(moved(to.back().mapping, at - to.back().first), m)) to.back().last = end;
      else to.push_back({at, end, m, 0});
    }
    if (end == ~u64{0}) break;
    at = end + 1;
  }
}

}  // namespace

const char* change_name(Change::Kind k) {
  switch (k) {
    case Change::Kind::established: return "established";
    case Change::Kind::removed: return "removed";
    case Change::Kind::changed: return "changed";
    case Change::Kind::again: return "again";
    case Change::Kind::cosmetic: return "cosmetic";
  }
  return "unknown";
}

Replay::Replay(const Setup& setup) : setup_(setup), memory_(std::make_unique<PhysMem>(setup.memory_top)), tables_(*memory_, *this), units_(setup.units.size()) {
  for (auto& r : setup_.memory) memory_->add_ram(r.first, r.size);
}
Replay::~Replay() = default;

u32 Replay::space_of(TableFormat f, Hpa root, unsigned levels, u32 index) {
  for (u32 n = 0; n < spaces_.size(); ++n)
    if (spaces_[n].format == f && spaces_[n].root == root && spaces_[n].levels == levels) return n;
  Space s;
  s.format = f, s.root = root, s.levels = static_cast<u8>(levels), s.first_event = index;
  if (f == TableFormat::second_level)
    for (u32 n = 0; n < spaces_.size(); ++n)
      if (spaces_[n].format == TableFormat::ept && shared_with_ept(*memory_, spaces_[n].root, spaces_[n].levels, root, levels) >= 0) s.shared_with = n;
  spaces_.push_back(s);
  held_.emplace_back();
  in_use_.push_back(false);
  return static_cast<u32>(spaces_.size() - 1);
}

std::vector<Replay::Range> Replay::read(const Space& s, u64 first, u64 last) const {
  std::vector<Range> out;
  if (s.format == TableFormat::second_level) {
    read_second_level(*memory_, setup_.units.at(s.unit), s, first, last, out);
    return out;
  }
  const ept::Eptp eptp{s.eptp};
  const EptMap map = ept_map(*memory_, setup_.ept, eptp, first, last, [this](u64 e) { return setup_.tag ? setup_.tag(e) : 0; });
  for (auto& r : map.ranges) {
    Mapping m;
    m.present = true;
    m.target = r.misconfigured ? 0 : r.target;
    m.access = r.access, m.tag = r.tag, m.emt = r.emt, m.ipat = r.ipat, m.misconfigured = r.misconfigured, m.page_size = r.page_size;
    const EptLook l = look(*memory_, setup_.ept, eptp, Gpa{r.first});
    m.entry = l.raw[l.walk.n - 1u];
    out.push_back({r.first, r.last, m, 0});
  }
  return out;
}

/// Compares what the tables say now of [first, last] with what was held, tells the difference, and holds the new.
void Replay::look_again(u32 space, u64 first, u64 last, u32 index, bool leaf_store, const std::function<void(const Change&)>& changed) {
  Held_map& held = held_[space];
  const std::vector<Range> now = read(spaces_[space], first, last);
  // What was held, cut at both ends.
  std::vector<Range> old;
  auto it = held.upper_bound(first);
  if (it != held.begin()) --it;
  for (; it != held.end() && it->first <= last; ++it) {
    if (it->second.last < first) continue;
    const u64 from = std::max(it->first, first);
    old.push_back({from, std::min(it->second.last, last), moved(it->second.mapping, from - it->first), it->second.since});
  }
  if (now.empty() && old.empty()) return;

  std::vector<Change> made;
  std::vector<Range> keep;
  std::size_t o = 0, n = 0;
  for (u64 at = first;;) {
    while (o < old.size() && old[o].last < at) ++o;
    while (n < now.size() && now[n].last < at) ++n;
    // The next boundary of either.
    u64 end = last;
    const Range *was = nullptr, *is = nullptr;
    if (o < old.size()) { if (old[o].first <= at) was = &old[o], end = std::min(end, old[o].last); else end = std::min(end, old[o].first - 1); }
    if (n < now.size()) { if (now[n].first <= at) is = &now[n], end = std::min(end, now[n].last); else end = std::min(end, now[n].first - 1); }
    if (was || is) {
      Change c;
      c.event = index, c.space = space, c.first = at, c.last = end, c.linked = !leaf_store;
      if (was) c.before = moved(was->mapping, at - was->first), c.since = was->since;
      if (is) c.after = moved(is->mapping, at - is->first);
      bool tell = true;
      if (!is) c.kind = Change::Kind::removed;
      else if (!was) c.kind = Change::Kind::established;
      else if (!c.before.means_the_same(c.after)) c.kind = Change::Kind::changed;
      else if (!looks_the_same(c.before, c.after)) c.kind = Change::Kind::cosmetic;
      else { c.kind = Change::Kind::again; tell = leaf_store; }
      if (is) {
        const bool stays = c.kind == Change::Kind::cosmetic || c.kind == Change::Kind::again;
        keep.push_back({at, end, c.after, stays ? c.since : index});
      }
      if (tell) {
        Change* p = made.empty() ? nullptr : &made.back();
        const bool goes_on = p && p->kind == c.kind && p->last + 1 == c.first && (!p->before.present || p->since == c.since) &&
                             looks_the_same(moved(p->before, c.first - p->first), c.before) && looks_the_same(moved(p->after, c.first - p->first), c.after);
        if (goes_on) p->last = c.last;
        else made.push_back(c);
      }
    }
    if (end >= last) break;
    at = end + 1;
  }

  // Hold the new: what sticks out of [first, last] on either side stays.
  it = held.upper_bound(first);
  if (it != held.begin()) --it;
  while (it != held.end() && it->first <= last) {
    if (it->second.last < first) { ++it; continue; }
    const u64 from = it->first;
    const Held h = it->second;
    it = held.erase(it);
    if (from < first) held[from] = {first - 1, h.mapping, h.since};
    if (h.last > last) it = std::next(held.insert_or_assign(last + 1, Held{h.last, moved(h.mapping, last + 1 - from), h.since}).first);
  }
  for (auto& r : keep) held.insert_or_assign(r.first, Held{r.last, r.mapping, r.since});
  if (changed) for (auto& c : made) changed(c);
}

/// Tables that nothing names any more map nothing, whatever is still in them.
void Replay::leave(u32 space, u32 index, const std::function<void(const Change&)>& changed) {
  in_use_[space] = false;
  const Held_map gone = std::move(held_[space]);
  held_[space].clear();
  if (!changed) return;
  for (auto& [first, h] : gone) {
    Change c;
    c.kind = Change::Kind::removed, c.linked = true, c.event = index, c.space = space, c.first = first, c.last = h.last, c.before = h.mapping, c.since = h.since;
    changed(c);
  }
}

/// EPTs come and go with the pointers that name them.
void Replay::find_epts(u32 index, const std::function<void(const Change&)>& changed) {
  for (u32 n = 0; n < spaces_.size(); ++n) {
    const Space& s = spaces_[n];
    if (s.format != TableFormat::ept) continue;
    const bool used = std::any_of(eptp_of_vmcs_.begin(), eptp_of_vmcs_.end(), [&](auto& v) { const ept::Eptp p{v.second}; return p.v && p.root() == s.root && p.levels() == s.levels; });
    if (used == in_use_[n]) continue;
    if (!used) { leave(n, index, changed); continue; }
    in_use_[n] = true;
    look_again(n, 0, ~u64{0}, index, false, changed);
  }
}

/// Which devices have which tables? Asked when root or context entries change.
void Replay::find_devices(u32 index, const std::function<void(const Change&)>& changed) {
  std::vector<bool> used(spaces_.size());
  for (u8 unit = 0; unit < units_.size(); ++unit) {
    const Hpa root{units_[unit].root & kPageMask};
    VtdView view;
    if (root.v) view = vtd_devices(*memory_, setup_.units[unit], root);
    for (auto& t : view.tables) {
      if (t.type != vtd::TranslationType::untranslated) continue;
      const std::size_t before = spaces_.size();
      const u32 n = space_of(TableFormat::second_level, t.root, t.levels, index);
      used.resize(spaces_.size());
      used[n] = true;
      Space& s = spaces_[n];
      if (spaces_.size() != before) s.unit = unit;
      for (Bdf d : t.devices) if (auto at = std::lower_bound(s.devices.begin(), s.devices.end(), d); at == s.devices.end() || *at != d) s.devices.insert(at, d);
      for (u16 d : t.domains) if (auto at = std::lower_bound(s.domains.begin(), s.domains.end(), d); at == s.domains.end() || *at != d) s.domains.insert(at, d);
    }
  }
  for (u32 n = 0; n < spaces_.size(); ++n) {
    if (spaces_[n].format != TableFormat::second_level || used[n] == in_use_[n]) continue;
    if (!used[n]) { leave(n, index, changed); continue; }
    in_use_[n] = true;
    look_again(n, 0, ~u64{0}, index, false, changed);
  }
}

void Replay::apply(const Event& e, u32 index, const std::function<void(const Change&)>& changed) {
  switch (e.kind) {
    case EventKind::eptp_change: {
      u64& now = eptp_of_vmcs_[e.a];
      if (now == e.b) return;
      const ept::Eptp before{now}, after{e.b};
      now = e.b;
      if (after.v && after.levels() >= 1 && after.levels() <= 4) {
        tables_.add_root(after.root(), TableFormat::ept, after.levels(), after.v);
        spaces_[space_of(TableFormat::ept, after.root(), after.levels(), index)].eptp = after.v;
      }
      if (before.v) tables_.remove_root(before.root(), TableFormat::ept, before.levels());
      find_epts(index, changed);
      return;
    }
    case EventKind::vtd_translation:
      if (e.a < units_.size()) units_[e.a].enabled = e.b;
      return;
    case EventKind::vtd_pointer: {
      if (e.a >= units_.size() || e.a >= kUnitLimit) return;
      Unit& u = units_[e.a];
      const auto unit = static_cast<u8>(e.a);
      if (e.b) { u.irta = e.c; return; }   // interrupt tables mean nothing for mappings
      const u64 before = u.root;
      u.root = e.c;
      tables_.add_root(Hpa{e.c & kPageMask}, TableFormat::root, 2, e.c, unit);
      if (before) tables_.remove_root(Hpa{before & kPageMask}, TableFormat::root, 2);
      find_devices(index, changed);
      return;
    }
    case EventKind::table_gone:
      // No table any more: what it holds from now on is nobody's business, and is told when it becomes one again.
      if (e.b && e.a + kPageSize <= memory_->top()) {
        static constexpr u8 kZero[kPageSize] = {};
        memory_->write(Hpa{e.a}, kZero, kPageSize, WriteCause::loader);
      }
      return;
    case EventKind::table_write: break;
    default: return;
  }
  const TableFormat f = place::format(e.d);
  if (f == TableFormat::interrupt) return;
  const Hpa at{e.a};
  const bool existing = place::cause(e.d) == place::kExisting;
  const u64 before = memory_->peek64(at);
  memory_->poke64(at, e.c, WriteCause::loader);
  tables_.written(at);
  for (const Table& t : tables_.roles(Hpa{e.a & kPageMask}))
    if (t.format == TableFormat::root || t.format == TableFormat::context) { find_devices(index, changed); break; }
  if (place::cause(e.d) == static_cast<unsigned>(WriteCause::walker_ad)) return;
  const std::vector<Tables::Place> places = tables_.places(at, kPlaces);
  if (places.size() >= kPlaces) {   // shared so often that not every place was told
    for (u32 n = 0; n < spaces_.size(); ++n) if (in_use_[n]) look_again(n, 0, ~u64{0}, index, false, changed);
    return;
  }
  for (const Tables::Place& p : places) {
    u32 space = ~u32{0};
    for (u32 n = 0; n < spaces_.size(); ++n)
      if (spaces_[n].format == p.format && spaces_[n].root == p.root && spaces_[n].levels == p.levels) space = n;
    if (space == ~u32{0} || !in_use_[space]) continue;
    const unsigned level = p.size == kPageSize ? 1 : p.size == (kPageSize << 9) ? 2 : p.size == (kPageSize << 18) ? 3 : 4;
    const bool ept = p.format == TableFormat::ept;
    auto leaf = [&](u64 v) { return ept ? ept::Entry{v}.present() && ept::Entry{v}.leaf(level) : vtd::Entry{v}.present() && vtd::Entry{v}.leaf(level); };
    auto table = [&](u64 v) { return ept ? ept::Entry{v}.present() && !ept::Entry{v}.leaf(level) : vtd::Entry{v}.present() && !vtd::Entry{v}.leaf(level); };
    const bool leaf_store = !existing && !table(before) && !table(e.c) && (leaf(before) || leaf(e.c));
    look_again(space, p.first, p.first + (p.size - 1), index, leaf_store, changed);
  }
}

Mapping Replay::at(u32 space, u64 address, u32* since) const {
  const Held_map& held = held_.at(space);
  auto it = held.upper_bound(address);
  if (it == held.begin()) return {};
  --it;
  if (it->second.last < address) return {};
  if (since) *since = it->second.since;
  return moved(it->second.mapping, address - it->first);
}

std::vector<Replay::Range> Replay::ranges(u32 space, u64 first, u64 last) const {
  std::vector<Range> out;
  for (auto& [from, h] : held_.at(space)) {
    if (h.last < first || from > last) continue;
    const u64 a = std::max(from, first), b = std::min(h.last, last);
    const Mapping m = moved(h.mapping, a - from);
    if (!out.empty() && out.back().last + 1 == a && out.back().since == h.since && looks_the_same(moved(out.back().mapping, a - out.back().first), m)) out.back().last = b;
    else out.push_back({a, b, m, h.since});
  }
  return out;
}

u32 History::at_step(u64 step) const {
  return static_cast<u32>(std::lower_bound(events.begin(), events.end(), step, [](const Event& e, u64 s) { return e.step < s; }) - events.begin());
}

History tell(std::vector<Event> events, const Setup& setup) {
  History h;
  h.events = std::move(events);
  Replay replay(setup);
  std::vector<std::size_t> open;   // attempts without a result
  for (u32 n = 0; n < h.events.size(); ++n) {
    const Event& e = h.events[n];
    switch (e.kind) {
      case EventKind::frame: h.chains.add(static_cast<u32>(e.a), {static_cast<u32>(e.b), e.c}); break;
      case EventKind::attempt: {
        Attempt a;
        a.event = n, a.function = e.a, a.step = e.step, a.cpu = e.cpu, a.arguments = 3;
        a.argument[0] = e.b, a.argument[1] = e.c, a.argument[2] = e.d;
        open.push_back(h.attempts.size());
        h.attempts.push_back(a);
        break;
      }
      case EventKind::attempt_more:
        if (!h.attempts.empty()) {
          Attempt& a = h.attempts.back();
          a.arguments = static_cast<unsigned>(std::min<u64>(e.a, 6));
          a.argument[3] = e.b, a.argument[4] = e.c, a.argument[5] = e.d;
        }
        break;
      case EventKind::attempt_result:
        for (std::size_t k = open.size(); k-- > 0;) {
          Attempt& a = h.attempts[open[k]];
          if (a.function != e.a || a.step != e.b || a.cpu != e.cpu) continue;
          a.result = e.c, a.end_step = e.step, a.end_event = n;
          open.erase(open.begin() + static_cast<std::ptrdiff_t>(k));
          break;
        }
        break;
      default: replay.apply(e, n, [&h](const Change& c) { h.changes.push_back(c); });
    }
  }
  h.spaces = replay.spaces();
  return h;
}

}  // namespace vt::views
