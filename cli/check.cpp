// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine check, vitrine explain: findings about a run's mappings, like fsck.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "ledger_text.hpp"
#include "moment.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "views/check.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;
using views::Finding;
using views::Severity;

std::string rule_names() {
  std::string all;
  for (auto& r : views::rules()) all += (all.empty() ? "" : ", ") + std::string(r.name);
  return all;
}

const views::Rule& rule_of(const std::string& name, const char* before) {
  const views::Rule* r = views::find_rule(name);
  if (!r) throw UsageError(fmt::format("{}{}: no such rule; there are {}", before, name, rule_names()));
  return *r;
}

Severity severity_of(const std::string& s) {
  for (Severity v : {Severity::info, Severity::warning, Severity::error})
    if (s == views::severity_name(v)) return v;
  throw UsageError(fmt::format("--severity {}: there is error, warning and info", s));
}

/// What shows this finding's history.
std::string command(const Story& s, const Finding& f) {
  if (!f.space) return fmt::format("vitrine log {} {:#x}-{:#x}", s.path(), f.first, f.last);
  const views::Space& space = s.history().spaces.at(*f.space);
  if (space.format == TableFormat::ept) return fmt::format("vitrine blame {} gfn:{:x}", s.path(), f.first >> 12);
  if (space.devices.empty()) return fmt::format("vitrine log {} {:#x}-{:#x} --of vtd", s.path(), f.first, f.last);
  return fmt::format("vitrine blame {} iova:{:x}@{}", s.path(), f.first, bdf_text(space.devices[0]));
}

std::string finding_text(const Story& s, const Finding& f) {
  std::string t = fmt::format("{} {}{}  at step {}\n", views::severity_name(f.severity), f.rule, f.count > 1 ? fmt::format(" ({} neighbours)", f.count) : "", grouped(f.step));
  t += "  " + f.text + '\n';
  // The latest, and the last before it that somebody else has made.
  std::string first;
  for (std::size_t n = f.events.size(); n-- > 0;) {
    const Event& e = s.history().events[f.events[n]];
    const views::Origin o = views::origin(s.history(), e, s.words());
    if (!o.address || o.function == first) continue;
    t += fmt::format("  step {}: {}, calls {}\n", grouped(e.step), origin_text(o), chain_text(s, e));
    if (!first.empty()) break;
    first = o.function;
  }
  if (const ConsoleLine* l = s.console_before(f.step)) t += fmt::format("  console: {}\n", l->text);
  t += "  see: " + command(s, f) + '\n';
  return t;
}

json finding_json(const Story& s, const Finding& f) {
  json j{{"rule", f.rule}, {"severity", views::severity_name(f.severity)}, {"text", f.text}, {"first", hex(f.first)}, {"last", hex(f.last)}, {"step", f.step}, {"count", f.count}};
  j["tables"] = f.space ? space_json(s, *f.space) : json(nullptr);
  j["origins"] = f.origins;
  json events = json::array();
  for (u32 n : f.events) {
    const Event& e = s.history().events[n];
    events.push_back({{"event", n}, {"step", e.step}, {"cpu", e.cpu}, {"origin", origin_json(views::origin(s.history(), e, s.words()))}, {"chain", chain_json(s, e)}});
  }
  j["events"] = events;
  if (const ConsoleLine* l = s.console_before(f.step)) j["console"] = {{"step", l->step}, {"text", l->text}};
  j["see"] = command(s, f);
  return j;
}

std::string counted(u64 n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

}  // namespace

Told check_told(const Story& s, const CheckOptions& o) {
  std::vector<const views::Rule*> only;
  for (auto& r : o.rules) only.push_back(&rule_of(r, "--rule "));
  const Severity least = o.severity.empty() ? Severity::info : severity_of(o.severity);
  views::CheckInput in{s.history(), s.setup(), s.words(), s.platform(), s.end_event(), {}};
  std::vector<Finding> found = views::check(in);
  std::erase_if(found, [&](auto& f) {
    return f.severity < least || (!only.empty() && std::none_of(only.begin(), only.end(), [&](auto* r) { return f.rule == r->name; }));
  });
  u64 counts[3] = {};
  for (auto& f : found) ++counts[static_cast<unsigned>(f.severity)];
  Told t;
  json list = json::array();
  for (auto& f : found) list.push_back(finding_json(s, f)), t.text += finding_text(s, f) + '\n';
  t.data = {{"schema", "vitrine.check/1"}, {"run", s.path()}, {"step", s.end_step()}, {"errors", counts[2]}, {"warnings", counts[1]}, {"infos", counts[0]}, {"findings", list}};
  t.text += found.empty() ? fmt::format("no findings in {} events ({})\n", grouped(s.end_event()), counted(only.empty() ? views::rules().size() : only.size(), "rule"))
                          : fmt::format("{}: {}, {}, {}; vitrine explain RULE says what a rule means\n", counted(found.size(), "finding"), counted(counts[2], "error"),
                                        counted(counts[1], "warning"), counted(counts[0], "info"));
  t.status = counts[1] + counts[2] ? status::finding : status::ok;
  return t;
}

int check(const CheckOptions& o) {
  for (auto& r : o.rules) (void)rule_of(r, "--rule ");   // before anything is run again
  if (!o.severity.empty()) (void)severity_of(o.severity);
  const Told t = check_told(Story(o.run), o);
  std::fputs((o.json ? t.data.dump(2, ' ', false, json::error_handler_t::replace) + '\n' : t.text).c_str(), stdout);
  return t.status;
}

int explain(const ExplainOptions& o) {
  std::string text;
  if (o.rule.empty()) {
    std::vector<std::vector<std::string>> rows;
    for (auto& r : views::rules()) rows.push_back({r.name, views::severity_name(r.severity), r.summary});
    text = table(rows);
  } else {
    const views::Rule& r = rule_of(o.rule, "");
    text = fmt::format("{} ({}): {}\n\n", r.name, views::severity_name(r.severity), r.summary);
    std::size_t column = 0;
    std::string_view words = r.explanation;
    while (!words.empty()) {
      const std::size_t space = std::min(words.find(' '), words.size());
      if (column && column + 1 + space > 100) text += '\n', column = 0;
      if (column) text += ' ', ++column;
      text += words.substr(0, space);
      column += space;
      words.remove_prefix(std::min(space + 1, words.size()));
    }
    text += '\n';
  }
  std::fputs(text.c_str(), stdout);
  return status::ok;
}

}  // namespace vt::cli
