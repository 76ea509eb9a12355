// SPDX-License-Identifier: GPL-2.0-or-later
/// What software has to do after it has changed a table: flush-missing, unflushed-line, stale-translation.
#include <fmt/format.h>

#include <set>

#include "facts.hpp"
#include "vtd/queue.hpp"

namespace vt::views::checks {
namespace {

/// Bits of a second-level entry that a unit looks at; software keeps things in the others.   VT-d "Second-Level Paging Entries"
constexpr u64 kSecondLevelBits = 3 | u64{1} << 7 | u64{1} << 11 | mask(51, 12) | u64{1} << 62;

struct Pending { u32 space; u64 first, last; u32 event; bool removed; };

void add(std::vector<Pending>& to, const Facts& f, const Change& c) {
  const bool removed = c.kind == Change::Kind::removed;
  if (!to.empty()) {
    Pending& p = to.back();
    if (p.space == c.space && p.last + 1 == c.first && p.removed == removed && f.origin(p.event).function == f.origin(c.event).function) { p.last = c.last; return; }
  }
  to.push_back({c.space, c.first, c.last, c.event, removed});
}

/// Does the change take something away from who has kept the old translation?   SDM 3C "Caching Translation Information"
bool takes_away(const Change& c) {
  if (!c.before.present || c.before.misconfigured || c.before.access == access::none) return false;
  if (c.kind == Change::Kind::removed) return true;
  return c.kind == Change::Kind::changed && (c.after.misconfigured || c.after.target != c.before.target || !c.after.access.allows(c.before.access));
}

/// By a store to an entry of the translation itself: tables that come and go as a whole are another matter (a pointer, a context entry).
bool by_entry(const Facts& f, const Change& c) {
  const Event& e = f.h.events[c.event];
  const TableFormat t = place::format(e.d);
  return e.kind == EventKind::table_write && (t == TableFormat::ept || t == TableFormat::second_level) && place::cause(e.d) != place::kExisting;
}

const char* done(const Pending& p) { return p.removed ? "removed" : "changed"; }

/// EPT: by processor, what it may have kept, and what was changed since.
class EptFlushes {
 public:
  explicit EptFlushes(const Facts& f) : f_(f) {}
  void change(const Change& c) {
    if (f_.h.spaces[c.space].format != TableFormat::ept || !takes_away(c) || !by_entry(f_, c)) return;
    for (auto& [key, s] : states_) if (key.second == c.space && s.may_keep) add(s.pending, f_, c);
  }
  void event(u32 n, const Event& e, std::vector<Finding>& out) {
    if (e.kind == EventKind::invept) {
      const auto space = e.a == 1 ? f_.ept_space(e.b) : std::nullopt;
      for (auto& [key, s] : states_) if (key.first == e.cpu && (e.a == 2 || key.second == space)) s = {};
      return;
    }
    const auto space = f_.ept_space(e.b);
    if (!space) return;
    State& s = states_[{e.cpu, *space}];
    for (auto& p : s.pending) {
      Finding x = finding(f_, "flush-missing", Severity::error, p.space, p.first, p.last, n, {p.event, n});
      add_origins(f_, x, {p.event});
      x.text = fmt::format("{} of {} was {} by {}, and processor {} entered the guest with these tables without an INVEPT since", range_mark(), space_text(f_, p.space), done(p),
                           origin_text(f_.origin(p.event)), e.cpu);
      out.push_back(std::move(x));
    }
    s.pending.clear();
    s.may_keep = true;
  }

 private:
  struct State { bool may_keep = false; std::vector<Pending> pending; };
  const Facts& f_;
  std::map<std::pair<u16, u32>, State> states_;
};

/// One remapping unit: what was changed, and not invalidated since.
class UnitFlushes {
 public:
  UnitFlushes(const Facts& f, u8 unit) : f_(f), caps_(f.in.setup.units.at(unit)), unit_(unit) {}

  void assignment(const Assignment& a) {
    if (enabled_ && (a.was_present || caps_.caching_mode)) contexts_.push_back({a.device, a.was_present ? a.was_domain : a.domain, a.domain, a.event, a.was_present});
    now_.erase(a.device.v);
    if (a.present && a.space) now_[a.device.v] = {*a.space, a.domain};
  }
  void change(const Change& c) {
    if (!enabled_ || f_.h.spaces[c.space].format != TableFormat::second_level || !by_entry(f_, c)) return;
    const bool kept = c.before.present && !c.before.misconfigured && c.before.access != access::none;
    const bool other = c.kind == Change::Kind::removed || (c.kind == Change::Kind::changed && (c.after.target != c.before.target || c.after.access != c.before.access));
    const bool fresh = c.kind == Change::Kind::established || (c.kind == Change::Kind::changed && !kept);
    if (!(kept && other) && !(fresh && (caps_.caching_mode || caps_.write_buffer_flush))) return;
    std::set<u16> domains;
    for (auto& [device, a] : now_) if (a.first == c.space) domains.insert(a.second);
    if (domains.empty()) return;
    if ((kept && other) || caps_.caching_mode) for (u16 d : domains) add(pending_[d], f_, c);
    else add(buffered_, f_, c);
  }
  void event(u32 n, const Event& e, std::vector<Finding>& out) {
    switch (e.kind) {
      case EventKind::vtd_pointer:
        if (!e.b && e.c != root_) root_ = e.c, contexts_flushed_ = iotlb_flushed_ = false;
        break;
      case EventKind::vtd_translation:
        enabled_ = e.b != 0;
        if (!enabled_) { pending_.clear(), contexts_.clear(), buffered_.clear(); break; }
        if (contexts_flushed_ && iotlb_flushed_) break;
        {
          Finding x = finding(f_, "flush-missing", Severity::error, {}, root_ & kPageMask, (root_ & kPageMask) + kPageSize - 1, n, {n});
          add_origins(f_, x, {n});
          x.text = fmt::format("translation of unit {} was enabled without a global invalidation of {} after its root table pointer {:#x} was set", unit_,
                               contexts_flushed_ ? "the IOTLB" : iotlb_flushed_ ? "the context cache" : "the context cache and the IOTLB", root_);
          out.push_back(std::move(x));
        }
        break;
      case EventKind::vtd_register:
        if (e.b == 0x18 && bit(e.c, 27)) buffered_.clear();   // GCMD_REG.WBF
        break;
      case EventKind::vtd_invalidate: invalidated(vtd::Descriptor{e.b, e.c}); break;
      case EventKind::vm_entry: tell(n, e.cpu, "the guest was entered", out); break;
      default: break;
    }
  }
  void at_end(std::vector<Finding>& out) {
    if (f_.end) tell(f_.end - 1, {}, "the end", out);
  }

 private:
  void invalidated(vtd::Descriptor d) {
    using vtd::Granularity;
    const auto type = static_cast<vtd::DescriptorType>(d.type());
    if (type == vtd::DescriptorType::context_cache) {
      buffered_.clear();   // "Write Buffer Flushing": every invalidation implies it
      if (d.granularity() == Granularity::global) contexts_flushed_ = true, contexts_.clear();
      else std::erase_if(contexts_, [&](auto& c) { return (d.domain() == c.was_domain || d.domain() == c.domain) && (d.granularity() == Granularity::domain || same(d, c.device)); });
    } else if (type == vtd::DescriptorType::iotlb) {
      buffered_.clear();
      if (d.granularity() == Granularity::global) { iotlb_flushed_ = true, pending_.clear(); return; }
      auto p = pending_.find(d.domain());
      if (p == pending_.end()) return;
      if (d.granularity() == Granularity::domain || !caps_.page_selective) { pending_.erase(p); return; }
      const u64 size = kPageSize << d.address_mask(), first = d.address() & ~(size - 1), last = first + size - 1;
      std::vector<Pending> left;
      for (auto& x : p->second) {
        if (x.last < first || x.first > last) { left.push_back(x); continue; }
        if (x.first < first) left.push_back({x.space, x.first, first - 1, x.event, x.removed});
        if (x.last > last) left.push_back({x.space, last + 1, x.last, x.event, x.removed});
      }
      p->second = std::move(left);
    }
  }
  static bool same(vtd::Descriptor d, Bdf device) {
    constexpr u16 kMasked[4] = {0, 4, 6, 7};
    return ((d.source() ^ device.v) & static_cast<u16>(~kMasked[d.function_mask()])) == 0;
  }
  /// `cpu`: only what this processor has changed; others may be in the middle of it.
  void tell(u32 n, std::optional<u16> cpu, const char* when, std::vector<Finding>& out) {
    auto its = [&](u32 event) { return !cpu || f_.h.events[event].cpu == *cpu; };
    for (auto& [domain, list] : pending_) {
      for (auto& p : list) {
        if (!its(p.event)) continue;
        Finding x = finding(f_, "flush-missing", Severity::error, p.space, p.first, p.last, n, {p.event, n});
        add_origins(f_, x, {p.event});
        x.text = fmt::format("device {} of {} was {} by {} while unit {} translates, and its IOTLB was not invalidated for domain {} before {}", range_mark(), space_text(f_, p.space),
                             done(p), origin_text(f_.origin(p.event)), unit_, domain, when);
        out.push_back(std::move(x));
      }
      std::erase_if(list, [&](auto& p) { return its(p.event); });
    }
    for (auto& p : buffered_) {
      if (!its(p.event)) continue;
      Finding x = finding(f_, "flush-missing", Severity::error, p.space, p.first, p.last, n, {p.event, n});
      add_origins(f_, x, {p.event});
      x.text = fmt::format("device {} of {} was mapped by {} while unit {} translates; the unit needs its write buffer flushed (CAP.RWBF), which was not done before {}", range_mark(),
                           space_text(f_, p.space), origin_text(f_.origin(p.event)), unit_, when);
      out.push_back(std::move(x));
    }
    std::erase_if(buffered_, [&](auto& p) { return its(p.event); });
    for (auto& c : contexts_) {
      if (!its(c.event)) continue;
      Finding x = finding(f_, "flush-missing", Severity::error, {}, u64{c.device.v} << 12, (u64{c.device.v} << 12) + kPageSize - 1, n, {c.event, n});
      add_origins(f_, x, {c.event});
      x.text = fmt::format("the context entry of {} was {} by {} while unit {} translates, and its context cache was not invalidated before {}", bdf(c.device),
                           c.was_present ? "changed" : "set (CAP.CM)", origin_text(f_.origin(c.event)), unit_, when);
      out.push_back(std::move(x));
    }
    std::erase_if(contexts_, [&](auto& c) { return its(c.event); });
  }

  struct Context { Bdf device; u16 was_domain, domain; u32 event; bool was_present; };
  const Facts& f_;
  const vtd::Caps& caps_;
  const u8 unit_;
  bool enabled_ = false, contexts_flushed_ = false, iotlb_flushed_ = false;
  u64 root_ = 0;
  std::map<u16, std::pair<u32, u16>> now_;           ///< by device: space and domain
  std::map<u16, std::vector<Pending>> pending_;      ///< by domain
  std::vector<Pending> buffered_;
  std::vector<Context> contexts_;
};

}  // namespace

void flush_missing(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  EptFlushes ept(f);
  std::vector<UnitFlushes> units;
  for (u8 u = 0; u < in.setup.units.size(); ++u) units.emplace_back(f, u);
  std::size_t change = 0, assignment = 0;
  for (u32 n = 0; n < f.end; ++n) {
    for (; assignment < f.assignments.size() && f.assignments[assignment].event <= n; ++assignment)
      if (f.assignments[assignment].unit < units.size()) units[f.assignments[assignment].unit].assignment(f.assignments[assignment]);
    for (; change < f.h.changes.size() && f.h.changes[change].event <= n; ++change) {
      ept.change(f.h.changes[change]);
      for (auto& u : units) u.change(f.h.changes[change]);
    }
    const Event& e = f.h.events[n];
    switch (e.kind) {
      case EventKind::vm_entry:
        ept.event(n, e, out);
        for (auto& u : units) u.event(n, e, out);
        break;
      case EventKind::invept: ept.event(n, e, out); break;
      case EventKind::vtd_pointer: case EventKind::vtd_translation: case EventKind::vtd_register: case EventKind::vtd_invalidate:
        if (e.a < units.size()) units[e.a].event(n, e, out);
        break;
      default: break;
    }
  }
  if (!f.busy_at_end()) for (auto& u : units) u.at_end(out);
}

void unflushed_line(const CheckInput& in, std::vector<Finding>& out) {
  if (std::all_of(in.setup.units.begin(), in.setup.units.end(), [](auto& c) { return c.coherent; })) return;
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  struct Dirty { u32 event; u64 first, last; TableFormat format; u8 unit; };
  std::map<u64, Dirty> dirty;                                   // by line
  std::map<u64, u8> unit_of_root;                               // by the root register's value
  std::map<std::pair<u64, unsigned>, u8> pages;                 // tables that a unit reads: page and format, unit
  std::vector<bool> enabled(in.setup.units.size());
  auto tell = [&](u32 n, const char* when, auto of) {
    for (auto it = dirty.begin(); it != dirty.end();) {
      const Dirty& d = it->second;
      if (!enabled[d.unit] || !of(d)) { ++it; continue; }
      const char* what = d.format == TableFormat::second_level ? "second-level" : d.format == TableFormat::context ? "context" : "root";
      const bool second = d.format == TableFormat::second_level;
      Finding x = finding(f, "unflushed-line", Severity::error, {}, second ? d.first : it->first, second ? d.last : it->first + 63, d.event, {d.event, n});
      add_origins(f, x, {d.event});
      x.text = fmt::format("the line at {} with {} entries{} was written by {} and not flushed before {}; unit {} does not snoop (ECAP.C=0)", second ? moving(it->first) : range_mark(), what,
                           second ? " of device " + range_mark() : "", origin_text(f.origin(d.event)), when, d.unit);
      out.push_back(std::move(x));
      it = dirty.erase(it);
    }
  };
  for (u32 n = 0; n < f.end; ++n) {
    const Event& e = f.h.events[n];
    switch (e.kind) {
      case EventKind::vtd_pointer:
        if (!e.b && e.a < enabled.size()) unit_of_root[e.c] = static_cast<u8>(e.a);
        break;
      case EventKind::table_page: {
        const TableFormat t = place::format(e.d);
        if (t != TableFormat::root && t != TableFormat::context && t != TableFormat::second_level) break;
        auto u = unit_of_root.find(e.c);
        if (u != unit_of_root.end() && !in.setup.units[u->second].coherent) pages[{e.a, static_cast<unsigned>(t)}] = u->second;
        break;
      }
      case EventKind::table_gone:
        pages.erase({e.a, static_cast<unsigned>(place::format(e.d))});
        if (e.b) dirty.erase(dirty.lower_bound(e.a), dirty.lower_bound(e.a + kPageSize));
        break;
      case EventKind::table_write: {
        const unsigned cause = place::cause(e.d);
        const bool leaves = place::format(e.d) == TableFormat::second_level || place::format(e.d) == TableFormat::ept;
        if (!((e.b ^ e.c) & (leaves ? kSecondLevelBits : ~u64{0})) || (cause != static_cast<unsigned>(WriteCause::store) && cause != static_cast<unsigned>(WriteCause::locked))) break;
        auto p = pages.lower_bound({e.a & kPageMask, 0});
        if (p == pages.end() || p->first.first != (e.a & kPageMask)) break;
        const auto format = static_cast<TableFormat>(p->first.second);
        const u64 first = place::first(e.d), size = leaves ? u64{1} << (3 + 9 * place::level(e.d)) : kPageSize;
        auto [it, fresh] = dirty.try_emplace(e.a & ~u64{63}, Dirty{n, first, first + size - 1, format, p->second});
        if (!fresh) it->second.first = std::min(it->second.first, first), it->second.last = std::max(it->second.last, first + size - 1);
        break;
      }
      case EventKind::cache_line_flush: dirty.erase(e.a & ~u64{63}); break;
      case EventKind::cache_flush:
        std::erase_if(dirty, [&](auto& d) { return f.h.events[d.second.event].cpu == e.cpu; });
        break;
      case EventKind::vtd_translation:
        if (e.a >= enabled.size()) break;
        enabled[e.a] = e.b != 0;
        if (e.b) tell(n, "translation was enabled", [&](auto& d) { return d.unit == e.a; });
        break;
      case EventKind::vtd_invalidate: {
        const auto type = static_cast<vtd::DescriptorType>(vtd::Descriptor{e.b, e.c}.type());
        if (type == vtd::DescriptorType::iotlb || type == vtd::DescriptorType::context_cache)
          tell(n, "the unit's caches were invalidated", [&](auto& d) { return d.unit == e.a && f.h.events[d.event].cpu == e.cpu; });
        break;
      }
      case EventKind::vtd_fault: tell(n, "the unit read the tables for a request that it refused", [&](auto& d) { return d.unit == e.a; }); break;
      case EventKind::vm_entry: tell(n, "the guest was entered", [&](auto& d) { return f.h.events[d.event].cpu == e.cpu; }); break;
      default: break;
    }
  }
  if (f.end && !f.busy_at_end()) tell(f.end - 1, "the end", [](auto&) { return true; });
}

void stale_translation(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  std::unordered_map<u64, u32> written;   // looked up, never iterated: the last store to each entry
  for (u32 n = 0; n < f.end; ++n) {
    const Event& e = f.h.events[n];
    if (e.kind == EventKind::table_write) { written[e.a] = n; continue; }
    if (e.kind != EventKind::stale_translation) continue;
    auto t = std::upper_bound(f.tables.begin(), f.tables.end(), std::pair(e.b & kPageMask, n), [](auto& key, auto& x) { return key.first != x.page ? key.first < x.page : key.second < x.from; });
    const TableFormat format = t != f.tables.begin() && std::prev(t)->page == (e.b & kPageMask) ? std::prev(t)->format : TableFormat::none;
    const bool of_device = format == TableFormat::context || format == TableFormat::root, interrupt = format == TableFormat::interrupt;
    const u64 page = of_device || interrupt ? e.a : e.a & kPageMask;
    Finding x = finding(f, "stale-translation", Severity::error, {}, page, of_device || interrupt ? page : page + kPageSize - 1, n, {n});
    // A context entry has two halves.
    auto w = written.find(e.b);
    if (auto second = written.find(e.b + 8); (of_device || interrupt) && second != written.end() && (w == written.end() || second->second > w->second)) w = second;
    std::string who = "something unknown";
    if (w != written.end()) {
      x.events.insert(x.events.begin(), w->second);
      add_origins(f, x, {w->second});
      who = origin_text(f.origin(w->second));
    }
    const std::string what = of_device ? "the context entry of " + bdf(Bdf(static_cast<u16>(e.a))) : interrupt ? fmt::format("the interrupt entry for requests to {:#x}", e.a) : "the translation of device " + range_mark();
    x.text = fmt::format("{} was used as it had been before {} changed its entry at {}: no invalidation came between", what, who, hex(e.b));
    out.push_back(std::move(x));
  }
}

}  // namespace vt::views::checks
