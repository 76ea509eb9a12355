// SPDX-License-Identifier: GPL-2.0-or-later
/// The parts of a report for which the tables are played once more: the walk of each finding as it was then, and which device had
/// which tables when.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "report_names.hpp"
#include "text.hpp"
#include "views/ept_map.hpp"
#include "views/event_log.hpp"
#include "views/vtd_map.hpp"

namespace vt::cli {
using json = nlohmann::ordered_json;

u32 ReportNames::text(const std::string& s) {
  auto [it, fresh] = texts_.try_emplace(s, static_cast<u32>(text_list_.size()));
  if (fresh) text_list_.push_back(s);
  return it->second;
}

u32 ReportNames::origin(const Event& e) {
  auto [it, fresh] = origin_of_.try_emplace({e.rip, e.chain}, 0);
  if (!fresh) return it->second;
  const views::Origin o = views::origin(h_, e, words_);
  auto [at, unknown] = origins_.try_emplace(o.function, static_cast<u32>(origin_list_.size()));
  if (unknown) origin_list_.push_back({o.function, o.source.file.empty() ? "" : fmt::format("{}:{}", o.source.file, o.source.line)});
  return it->second = at->second;
}

u32 ReportNames::chain(const Event& e) {
  auto [it, fresh] = chain_of_.try_emplace({e.rip, e.chain}, static_cast<u32>(chain_list_.size()));
  if (!fresh) return it->second;
  json frames = json::array();
  for (u64 address : views::frames(h_, e)) {
    auto [known, first] = frames_.try_emplace(address);
    if (first)
      for (auto& f : words_.frames(address)) {
        // The frame that is really there has its offset; those inlined into it have their names only.
        const std::string symbol = words_.symbol(address);
        const std::string name = symbol.substr(0, symbol.find('+')) == f.function ? symbol : f.function;
        known->second.push_back(text(f.source.file.empty() ? name : fmt::format("{}  {}:{}", name, f.source.file, f.source.line)));
      }
    for (u32 n : known->second) frames.push_back(n);
  }
  chain_list_.push_back(std::move(frames));
  return it->second;
}

void ReportNames::store(json& d) {
  d["names"] = std::move(text_list_);
  d["origins"] = std::move(origin_list_);
  d["chains"] = std::move(chain_list_);
}

namespace {

const char* table_name(TableFormat f) {
  switch (f) {
    case TableFormat::ept: return "EPT";
    case TableFormat::root: return "root";
    case TableFormat::context: return "context";
    case TableFormat::second_level: return "second-level";
    case TableFormat::interrupt: return "interrupt";
    case TableFormat::none: break;
  }
  return "";
}

/// Every entry that the translation of `address` reads: [level, at, entry, what it says].
json walk(const ReportInput& in, const views::Replay& replay, u32 space, u64 address) {
  json out = json::array();
  if (space >= replay.spaces().size()) return out;
  const views::Space& s = replay.spaces()[space];
  if (s.format == TableFormat::ept) {
    const auto l = views::look(replay.memory(), in.setup.ept, ept::Eptp{s.eptp}, Gpa{address});
    for (unsigned n = 0; n < l.walk.n; ++n) {
      const ept::Step& step = l.walk.step[n];
      const ept::Entry e{l.raw[n]};
      std::string says = !e.present() ? "not present" : e.leaf(step.level) ? "maps " + hex(e.v & mask(51, 12)) : "table " + hex(e.v & mask(51, 12));
      if (e.present()) says += ", " + access_text(e.access());
      if (e.present() && e.leaf(step.level)) says += fmt::format(", {}{}", e.emt() == 7 ? "recalculation pending" : mem_type_name(e.emt()), e.ipat() ? " + IPAT" : "");
      if (const u64 tag = e.present() && e.leaf(step.level) ? in.words.tag(e.v) : 0; e.present() && e.leaf(step.level))
        if (const std::string t = in.words.type_name(tag); !t.empty()) says += fmt::format(", {} {}", t, in.words.access_name(tag));
      out.push_back({step.level, hex(step.at.v), hex16(e.v), says});
    }
  } else if (s.format == TableFormat::second_level && s.unit < in.setup.units.size()) {
    const vtd::Walk w = vtd::walk(replay.memory(), in.setup.units[s.unit], s.root, s.levels, Iova{address}, access::none);
    for (unsigned n = 0; n < w.n; ++n) {
      const vtd::Entry e = w.step[n].entry;
      std::string says = !e.present() ? "not present" : (e.leaf(w.step[n].level) ? "maps " : "table ") + hex(e.address()) + ", " + access_text(e.access()).substr(0, 2);
      out.push_back({w.step[n].level, hex(w.step[n].at.v), hex16(e.v), says});
    }
  }
  return out;
}

std::string event_says(const ReportInput& in, const Event& e) {
  switch (e.kind) {
    case EventKind::table_write:
      return fmt::format("{} entry, level {}, at {:#x}: {:016x} to {:016x}{}", table_name(place::format(e.d)), place::level(e.d), e.a, e.b, e.c, e.b == e.c ? " (the same)" : "");
    case EventKind::attempt:
      for (auto& a : in.history.attempts)
        if (&in.history.events[a.event] == &e)
          if (auto r = in.words.request(a)) return r->text + (r->result_text.empty() ? ": never returned" : " = " + r->result_text);
      return fmt::format("call of {:#x}", e.a);
    case EventKind::vtd_fault: return fmt::format("DMA fault of {} at {:#x}, reason {:#x}", bdf_text(Bdf{static_cast<u16>(e.b)}), e.c, e.d & 0xff);
    case EventKind::invept: return fmt::format("INVEPT type {} {:#x}", e.a, e.b);
    case EventKind::vm_entry: return fmt::format("VM entry, EPT pointer {:#x}", e.b);
    case EventKind::vtd_translation: return fmt::format("translation of unit {} {}", e.a, e.b ? "enabled" : "disabled");
    case EventKind::vtd_invalidate: return fmt::format("VT-d unit {}: invalidation {:#x} {:#x}", e.a, e.b, e.c);
    case EventKind::stale_translation: return fmt::format("a stale translation of {:#x} was used", e.a);
    case EventKind::vtd_pointer: return fmt::format("VT-d unit {}: {} table at {:#x}", e.a, e.b ? "interrupt remapping" : "root", e.c & kPageMask);
    default: return views::event_kind_name(e.kind);
  }
}

/// Which tables a device has, as they stand.
class Devices {
 public:
  explicit Devices(const ReportInput& in) : in_(in) {
    for (auto& f : in.platform.pci) by_[f.bdf.v];
  }
  void look(const views::Replay& replay, u64 step) {
    std::map<u16, json> now;
    for (std::size_t u = 0; u < replay.units().size() && u < in_.setup.units.size(); ++u) {
      const u64 root = replay.units()[u].root & kPageMask;
      if (!root || !replay.units()[u].enabled) continue;
      for (auto& t : views::vtd_devices(replay.memory(), in_.setup.units[u], Hpa{root}).tables)
        for (Bdf b : t.devices) {
          if (t.type == vtd::TranslationType::pass_through) { now[b.v] = "pass-through"; continue; }
          for (std::size_t n = 0; n < replay.spaces().size(); ++n) {
            const views::Space& s = replay.spaces()[n];
            if (s.format == TableFormat::second_level && s.root == t.root && s.levels == t.levels) now[b.v] = n;
          }
        }
    }
    const bool on = std::any_of(replay.units().begin(), replay.units().end(), [](auto& u) { return u.enabled; });
    for (auto& [bdf, x] : now) by_[bdf];
    for (auto& [bdf, list] : by_) {
      json is = now.contains(bdf) ? now[bdf] : json(on ? "no context entry" : "translation off");
      if (list.empty() || list.back()[1] != is) list.push_back({step, is});
    }
  }
  json all() const {
    json out = json::array();
    for (auto& [bdf, list] : by_) out.push_back({{"bdf", bdf_text(Bdf{bdf})}, {"class", class_of(Bdf{bdf})}, {"tables", list}});
    return out;
  }

 private:
  std::string class_of(Bdf b) const {
    for (auto& f : in_.platform.pci) if (f.bdf == b) return f.model.empty() ? fmt::format("{:04x}:{:04x}", f.vendor, f.device) : f.model;
    return "not in the platform (an alias)";
  }
  const ReportInput& in_;
  std::map<u16, json> by_;
};

json finding(const ReportInput& in, ReportNames& names, const views::Finding& f) {
  json evidence = json::array();
  for (u32 n : f.events) {
    if (n >= in.history.events.size()) continue;
    const Event& e = in.history.events[n];
    evidence.push_back({e.step, event_says(in, e), names.origin(e), names.chain(e)});
    if (evidence.size() == 64) break;
  }
  const views::Rule* rule = views::find_rule(f.rule);
  return {{"rule", f.rule}, {"severity", views::severity_name(f.severity)}, {"text", f.text}, {"space", f.space ? json(*f.space) : json()},
          {"first", f.first >> kPageShift}, {"last", f.last >> kPageShift}, {"step", f.step}, {"count", f.count}, {"origins", f.origins},
          {"summary", rule ? rule->summary : ""}, {"explanation", rule ? rule->explanation : ""}, {"evidence", evidence}, {"walk", json::array()}};
}

}  // namespace

ReportWalks report_walks(const ReportInput& in, ReportNames& names) {
  ReportWalks r{json::array(), json::array()};
  for (auto& f : in.findings) r.findings.push_back(finding(in, names, f));
  std::vector<std::size_t> order(in.findings.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // After its last piece of evidence; without any, before its step.
  auto due = [&in](std::size_t n) {
    const views::Finding& f = in.findings[n];
    return f.events.empty() ? in.history.at_step(f.step) : *std::max_element(f.events.begin(), f.events.end()) + 1;
  };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return due(a) < due(b); });

  views::Replay replay(in.setup);
  Devices devices(in);
  const u32 end = std::min<u32>(in.end_event, static_cast<u32>(in.history.events.size()));
  devices.look(replay, 0);
  std::size_t next = 0;
  auto answer = [&](u32 now) {
    for (; next < order.size() && due(order[next]) <= now; ++next)
      if (const views::Finding& f = in.findings[order[next]]; f.space) r.findings[order[next]]["walk"] = walk(in, replay, *f.space, f.first);
  };
  for (u32 n = 0; n < end; ++n) {
    answer(n);
    const Event& e = in.history.events[n];
    switch (e.kind) {
      case EventKind::frame: case EventKind::attempt: case EventKind::attempt_more: case EventKind::attempt_result: continue;
      default: replay.apply(e, n, {});
    }
    const TableFormat f = place::format(e.d);
    if (e.kind == EventKind::vtd_translation || e.kind == EventKind::vtd_pointer || (e.kind == EventKind::table_write && (f == TableFormat::context || f == TableFormat::root)))
      devices.look(replay, e.step);
  }
  answer(~u32{0});
  r.devices = devices.all();
  return r;
}

}  // namespace vt::cli
