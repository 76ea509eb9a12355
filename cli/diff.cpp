// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine diff: two moments, or two runs. Mappings are compared by what they mean and by who made them, in which phase of the
/// boot, not by step; where RAM lies in the machine and where tables stand is chance, and hidden unless asked for.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "ledger_text.hpp"
#include "sandbox.hpp"
#include "text.hpp"
#include "when.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

/// A range of one side with everything that counts.
struct Piece {
  u64 first = 0, last = 0;
  views::Mapping mapping;
  std::string origin, phase;
};

/// One side: a run up to its T.
class Side {
 public:
  explicit Side(const std::string& run) : story_(run), replay_(story_.replay(story_.end_event())) {}
  const Story& story() const { return story_; }

  std::vector<u32> spaces(TableFormat f) const {
    std::vector<u32> all;
    for (u32 n = 0; n < replay_->spaces().size(); ++n)
      if (replay_->spaces()[n].format == f && !replay_->spaces()[n].shared_with) all.push_back(n);
    return all;
  }
  std::vector<Piece> pieces(u32 space, const AddressRange& range) {
    std::vector<Piece> all;
    for (auto& r : replay_->ranges(space, range.first, range.last)) {
      const auto& [origin, phase] = source(r.since);
      all.push_back({r.first, r.last, r.mapping, origin, phase});
    }
    return all;
  }
  const views::Space& space(u32 n) const { return replay_->spaces()[n]; }

  /// Refused attempts by call and origin: how often, and the first.
  std::map<std::string, std::pair<u64, std::string>> refused() {
    std::map<std::string, std::pair<u64, std::string>> all;
    const views::History& h = story_.history();
    const auto outer = outer_attempts(h);
    for (u32 n = 0; n < h.attempts.size(); ++n) {
      const auto& a = h.attempts[n];
      if (outer[n] || a.event >= story_.end_event()) continue;
      const auto r = story_.words().request(a);
      if (!r || !r->refused || !r->first) continue;
      auto& [count, text] = all[fmt::format("{} for {:x} by {}", r->function, *r->first, source(a.event).first)];
      if (!count++) text = r->text + " " + result_text(*r);
    }
    return all;
  }

 private:
  const std::pair<std::string, std::string>& source(u32 event) {
    auto [it, fresh] = sources_.try_emplace(event);
    if (fresh) {
      const views::History& h = story_.history();
      it->second = {views::origin(h, h.events[event], story_.words()).function, story_.words().phase(views::frames(h, h.events[event]))};
    }
    return it->second;
  }
  Story story_;
  std::unique_ptr<views::Replay> replay_;
  std::map<u32, std::pair<std::string, std::string>> sources_;
};

struct Difference {
  u64 first = 0, last = 0;
  std::string one, two;      ///< in words, equal for neighbours that belong together
  json j;
};

/// What of a mapping counts. Identity or not is what a target means; which frame of RAM it is does not, unless `exact`.
std::string words_of(const Story& s, const Piece& p, u64 at, bool exact) {
  views::Mapping m = p.mapping;
  if (m.present && !m.misconfigured) m.target += at - p.first;
  std::string t;
  if (m.misconfigured) t = "misconfigured";
  else if (m.target == at) t = "identity";
  else t = exact ? fmt::format("offset {:+x}", static_cast<i64>(m.target - at)) : "elsewhere";
  t += ' ' + access_text(m.access);
  if (const std::string type = s.words().type_name(m.tag); !type.empty()) t += fmt::format(" {}/{}", type, s.words().access_name(m.tag));
  if (m.tag != views::kNoTag) t += m.emt == 7 ? " pending" : fmt::format(" {}", mem_type_name(m.emt));   // second-level tables have none
  return t + fmt::format(" {}", size_text(m.page_size)) + fmt::format(" by {}{}", p.origin, p.phase.empty() ? "" : " [" + p.phase + "]");
}

void compare(const Side& one, const Side& two, const std::vector<Piece>& a, const std::vector<Piece>& b, bool exact, std::vector<Difference>& out) {
  std::size_t i = 0, k = 0;
  for (u64 at = 0;;) {
    while (i < a.size() && a[i].last < at) ++i;
    while (k < b.size() && b[k].last < at) ++k;
    if (i == a.size() && k == b.size()) return;
    u64 end = ~u64{0};
    const Piece *x = nullptr, *y = nullptr;
    if (i < a.size()) { if (a[i].first <= at) x = &a[i], end = std::min(end, a[i].last); else end = std::min(end, a[i].first - 1); }
    if (k < b.size()) { if (b[k].first <= at) y = &b[k], end = std::min(end, b[k].last); else end = std::min(end, b[k].first - 1); }
    if (x || y) {
      Difference d{at, end, x ? words_of(one.story(), *x, at, exact) : "not mapped", y ? words_of(two.story(), *y, at, exact) : "not mapped", {}};
      if (d.one != d.two) {
        if (!out.empty() && out.back().last + 1 == at && out.back().one == d.one && out.back().two == d.two) out.back().last = end;
        else out.push_back(d);
      }
    }
    if (end == ~u64{0}) return;
    at = end + 1;
  }
}

}  // namespace

int diff(const DiffOptions& o) {
  AddressRange range;
  if (!o.range.empty()) {
    const auto r = parse_range(o.range);
    if (!r) throw UsageError(fmt::format("RANGE {}: write 0x1000-0x1fff (inclusive), 0x1000+4K or one address", o.range));
    range = *r;
  }
  sandbox::may_write(parse_run_at(o.two).run);   // before the first one runs
  Side one(o.one), two(o.two);
  std::string text;
  json tables = json::array();
  u64 total = 0;
  auto table = [&](const std::string& heading, const std::vector<Piece>& a, const std::vector<Piece>& b) {
    std::vector<Difference> all;
    compare(one, two, a, b, o.exact, all);
    json list = json::array();
    if (!all.empty()) text += (text.empty() ? "" : "\n") + heading + '\n';
    for (auto& d : all) {
      total += 1;
      text += fmt::format("  {} ({})\n  - {}\n  + {}\n", range_text(d.first, d.last), size_text(d.last - d.first + 1), d.one, d.two);
      list.push_back({{"first", hex(d.first)}, {"last", hex(d.last)}, {"one", d.one}, {"two", d.two}});
    }
    tables.push_back({{"tables", heading}, {"differences", list}});
  };
  // The n-th EPT is that of the n-th guest; tables of devices belong together where they share a device.
  const auto ea = one.spaces(TableFormat::ept), eb = two.spaces(TableFormat::ept);
  for (std::size_t n = 0; n < std::max(ea.size(), eb.size()); ++n)
    table(fmt::format("EPT {}", n + 1), n < ea.size() ? one.pieces(ea[n], range) : std::vector<Piece>{}, n < eb.size() ? two.pieces(eb[n], range) : std::vector<Piece>{});
  auto va = one.spaces(TableFormat::second_level), vb = two.spaces(TableFormat::second_level);
  auto name = [](const views::Space& s) { return fmt::format("VT-d tables of {}", s.devices.empty() ? "no device" : bdf_text(s.devices[0])); };
  for (u32 n : va) {
    auto mate = std::find_if(vb.begin(), vb.end(), [&](u32 m) { return !one.space(n).devices.empty() && !two.space(m).devices.empty() && one.space(n).devices[0] == two.space(m).devices[0]; });
    table(name(one.space(n)), one.pieces(n, range), mate == vb.end() ? std::vector<Piece>{} : two.pieces(*mate, range));
    if (mate != vb.end()) vb.erase(mate);
  }
  for (u32 m : vb) table(name(two.space(m)), {}, two.pieces(m, range));

  auto ra = one.refused(), rb = two.refused();
  json refused = json::array();
  auto refusals = [&](const auto& these, const auto& those, const char* sign, const char* side) {
    for (auto& [key, value] : these) {
      if (those.contains(key)) continue;
      if (refused.empty()) text += (text.empty() ? "" : "\n") + std::string("refused attempts\n");
      text += fmt::format("  {} {} (by {}){}\n", sign, value.second, key.substr(key.rfind(" by ") + 4), value.first > 1 ? fmt::format(", {} times", value.first) : "");
      refused.push_back({{"side", side}, {"attempt", value.second}, {"what", key}, {"count", value.first}});
      ++total;
    }
  };
  refusals(ra, rb, "-", "one");
  refusals(rb, ra, "+", "two");

  if (o.json) text = json{{"schema", "vitrine.diff/1"}, {"one", {{"run", one.story().path()}, {"step", one.story().end_step()}}},
                          {"two", {{"run", two.story().path()}, {"step", two.story().end_step()}}}, {"tables", tables}, {"refused", refused}}.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
  else if (!total) text = "no difference\n";
  else text = fmt::format("- {} at step {}\n+ {} at step {}\n\n", one.story().path(), grouped(one.story().end_step()), two.story().path(), grouped(two.story().end_step())) + text;
  std::fputs(text.c_str(), stdout);
  return total ? status::finding : status::ok;
}

}  // namespace vt::cli
