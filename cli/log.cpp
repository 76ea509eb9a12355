// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine log: the ledger, in order.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "ledger_text.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "views/event_log.hpp"
#include "vtd/queue.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

struct Filter {
  AddressRange range;
  bool ept = true, vtd = true, all = false;
  bool wants(const views::Space& s) const { return s.format == TableFormat::ept ? ept : vtd; }
  bool wants(const Event& e) const {
    switch (e.kind) {
      case EventKind::vtd_invalidate: {
        const auto type = static_cast<vtd::DescriptorType>(vtd::Descriptor{e.b, e.c}.type());
        return vtd && (all || type == vtd::DescriptorType::context_cache || type == vtd::DescriptorType::iotlb);
      }
      case EventKind::vtd_pointer: case EventKind::vtd_translation: case EventKind::vtd_fault: case EventKind::stale_translation: return vtd;
      case EventKind::eptp_change: case EventKind::vm_entry: case EventKind::invept: case EventKind::invvpid: return ept;
      case EventKind::cache_line_flush: case EventKind::cache_flush: return all;
      case EventKind::table_page: case EventKind::table_gone: return all && (place::format(e.d) == TableFormat::ept ? ept : vtd);
      case EventKind::table_write:
        if (place::format(e.d) == TableFormat::ept ? !ept : !vtd) return false;
        return all;
      default: return false;
    }
  }
  bool covers(u64 first, u64 last) const { return first <= range.last && last >= range.first; }
};

std::string line(const Story& s, const Event& e, const std::string& what, const std::string& origin) {
  return fmt::format("{:>15}  cpu{}  {}{}\n", grouped(e.step), e.cpu, what, origin.empty() ? "" : "   " + origin);
}

/// Neighbours that one function maps page by page, in the same way: one line.
class Joined {
 public:
  Joined(const Story& s, std::string& to) : s_(s), to_(to) {}
  void add(const Event& e, const views::Change& c, const std::string& origin) {
    if (open_ && c.space == change_.space && c.kind == change_.kind && c.first == change_.last + 1 && origin == origin_ && e.cpu == first_.cpu &&
        follows(change_.before, c.before) && follows(change_.after, c.after)) {
      change_.last = c.last, last_step_ = e.step, ++count_;
      return;
    }
    flush();
    first_ = e, change_ = c, origin_ = origin, last_step_ = e.step, count_ = 1, open_ = true;
  }
  void flush() {
    if (!open_) return;
    open_ = false;
    const views::Space& space = s_.history().spaces[change_.space];
    const views::Mapping& m = change_.after.present ? change_.after : change_.before;
    const std::string was = change_.kind == views::Change::Kind::changed ? mapping_text(s_, change_.before, change_.first) + " -> " : "";
    const std::string many = count_ > 1 ? fmt::format("  {} stores to step {}", grouped(count_), grouped(last_step_)) : "";
    to_ += line(s_, first_, fmt::format("{} {:x}  {:<11} {}: {}{}", space.format == TableFormat::ept ? "EPT " : "VT-d", space.root.v, views::change_name(change_.kind),
                                        range_text(change_.first, change_.last), was, mapping_text(s_, m, change_.first)), origin_ + many);
  }

 private:
  bool follows(const views::Mapping& a, const views::Mapping& b) const {
    views::Mapping next = a;
    if (next.present && !next.misconfigured) next.target += change_.last + 1 - change_.first;
    return next.means_the_same(b);
  }
  const Story& s_;
  std::string& to_;
  Event first_;
  views::Change change_;
  std::string origin_;
  u64 last_step_ = 0, count_ = 0;
  bool open_ = false;
};

}  // namespace

int log(const LogOptions& o) {
  Filter f;
  if (!o.range.empty()) {
    const auto r = parse_range(o.range);
    if (!r) throw UsageError(fmt::format("RANGE {}: write 0x1000-0x1fff (inclusive), 0x1000+4K or one address", o.range));
    f.range = *r;
  }
  if (o.of != "all" && o.of != "ept" && o.of != "vtd") throw UsageError(fmt::format("--of {}: there is ept, vtd and all", o.of));
  f.ept = o.of != "vtd", f.vtd = o.of != "ept", f.all = o.all;

  const auto every = parse_number(o.every);
  if (!every || !*every) throw UsageError(fmt::format("--every {}: not a number of events from 1 on", o.every));
  const Story s(o.run);
  if (o.verify) return verify_ledger(s, *every);
  const views::History& h = s.history();
  std::string text;
  json list = json::array();
  std::size_t change = 0, attempt = 0;
  Joined joined(s, text);
  std::map<u64, u64> eptp_of_vmcs;
  auto origin_of = [&](const Event& e) { return views::origin(h, e, s.words()); };
  for (u32 n = 0; n < s.end_event(); ++n) {
    const Event& e = h.events[n];
    if (e.kind == EventKind::attempt) {
      while (attempt < h.attempts.size() && h.attempts[attempt].event < n) ++attempt;
      const auto r = attempt < h.attempts.size() && h.attempts[attempt].event == n ? s.words().request(h.attempts[attempt]) : std::nullopt;
      if (!r || !r->first || !f.covers(*r->first, *r->first + (r->size - 1)) || !(o.all || r->refused || !r->result)) continue;
      if (o.json) list.push_back({{"step", e.step}, {"cpu", e.cpu}, {"kind", "attempt"}, {"call", r->text}, {"result", r->result ? json(*r->result) : json(nullptr)}, {"origin", origin_json(origin_of(e))}});
      else joined.flush(), text += line(s, e, fmt::format("{}  {} {}", r->refused ? "refused" : r->result ? "attempt" : "no return", r->text, result_text(*r)), origin_text(origin_of(e)));
      continue;
    }
    for (; change < h.changes.size() && h.changes[change].event <= n; ++change) {
      const views::Change& c = h.changes[change];
      const views::Space& space = h.spaces[c.space];
      // Shared tables: told once, for the EPT, unless only VT-d was asked for.
      if (c.event != n || !f.wants(space) || (f.ept && space.shared_with) || !f.covers(c.first, c.last)) continue;
      if (!o.all && c.kind == views::Change::Kind::cosmetic) continue;
      const views::Origin from = origin_of(e);
      if (o.json) {
        list.push_back({{"step", e.step}, {"cpu", e.cpu}, {"kind", views::change_name(c.kind)}, {"tables", space_json(s, c.space)}, {"first", hex(c.first)}, {"last", hex(c.last)},
                        {"before", mapping_json(s, c.before)}, {"after", mapping_json(s, c.after)}, {"origin", origin_json(from)}});
        if (c.linked) list.back()["linked"] = true;
      } else {
        joined.add(e, c, origin_text(from));
      }
    }
    if (!f.wants(e) || (!f.range.all() && e.kind != EventKind::vtd_fault && e.kind != EventKind::table_write)) continue;
    if (!f.range.all() && e.kind == EventKind::vtd_fault && !f.covers(e.c, e.c)) continue;
    if (!f.range.all() && e.kind == EventKind::table_write) {
      const TableFormat t = place::format(e.d);
      const u64 first = place::first(e.d);
      if ((t != TableFormat::ept && t != TableFormat::second_level) || !f.covers(first, first + (u64{1} << (3 + 9 * place::level(e.d))) - 1)) continue;
    }
    if (e.kind == EventKind::eptp_change && std::exchange(eptp_of_vmcs[e.a], e.b) == e.b && !o.all) continue;   // loaded again
    const std::string words = event_text(s, e);
    if (words.empty()) continue;
    if (o.json) list.push_back({{"step", e.step}, {"cpu", e.cpu}, {"kind", views::event_kind_name(e.kind)}, {"text", words}, {"rip", hex(e.rip)}, {"a", hex(e.a)}, {"b", hex(e.b)}, {"c", hex(e.c)}, {"d", hex(e.d)}});
    else joined.flush(), text += line(s, e, words, e.rip && e.kind != EventKind::vm_entry ? origin_text(origin_of(e)) : "");
  }
  joined.flush();
  if (o.json) text = json{{"schema", "vitrine.log/1"}, {"run", s.path()}, {"step", s.end_step()}, {"events", list}}.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
  std::fputs(text.c_str(), stdout);
  return status::ok;
}

}  // namespace vt::cli
