// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine stat: the counters of a run's manifest.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "cpu/timing/stack.hpp"
#include "saved.hpp"
#include "stat_cycles.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

/// Largest first.
std::string counts(const json& object, unsigned indent) {
  std::vector<std::pair<std::string, u64>> all;
  for (auto& [k, v] : object.items()) if (v.is_number_unsigned()) all.emplace_back(k, v.get<u64>());
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.second > b.second; });
  std::vector<std::vector<std::string>> rows;
  for (auto& [k, v] : all) rows.push_back({k, grouped(v)});
  return table(rows, "lr", indent);
}

u64 number(const json& j, const char* key) { return j.is_object() && j.contains(key) && j[key].is_number_unsigned() ? j[key].get<u64>() : 0; }
std::string word(const json& j, const char* key) { return j.is_object() && j.contains(key) && j[key].is_string() ? j[key].get<std::string>() : std::string{}; }

/// Cycles of hypervisor and guest by cause, summed over the processors, and each processor's own.
std::string cycles(const json& timing) {
  std::map<std::string, std::array<u64, 2>> causes;
  std::array<u64, 2> all{}, instructions{}, walks{}, guest_references{}, nested_references{}, branches{}, mispredicted{};
  std::vector<std::vector<std::string>> by_cpu{{"processor", "cycles", "instructions", "cycles per instruction", "waiting"}};
  for (auto& c : timing["cpus"]) {
    u64 retired = 0, waiting = 0;
    for (unsigned k = 0; k < 2; ++k) {
      const json& s = c[k ? "guest" : "root"];
      all[k] += number(s, "cycles"), instructions[k] += number(s, "instructions"), walks[k] += number(s, "walks");
      guest_references[k] += number(s, "guest_references"), nested_references[k] += number(s, "nested_references");
      branches[k] += number(s, "branches"), mispredicted[k] += number(s, "mispredicted");
      for (auto& [name, v] : s["causes"].items()) causes[name][k] += v.get<u64>();
      retired += number(s, "instructions"), waiting += number(s["causes"], "wait");
    }
    const u64 n = number(c, "cycles");
    by_cpu.push_back({std::to_string(number(c, "cpu")), grouped(n), grouped(retired), retired ? fmt::format("{:.2f}", static_cast<double>(n - waiting) / static_cast<double>(retired)) : "", percent(waiting, n)});
  }
  std::vector<std::vector<std::string>> rows{{"", "hypervisor", "", "guest", ""}};
  const auto row = [&](const std::string& name, const std::array<u64, 2>& n, bool shares) {
    rows.push_back({name, grouped(n[0]), shares ? percent(n[0], all[0]) : "", grouped(n[1]), shares ? percent(n[1], all[1]) : ""});
  };
  row("cycles", all, false);
  row("instructions", instructions, false);
  for (const char* name : cpu::kCauseNames)
    if (causes.contains(name)) row(fmt::format("  {}", name), causes[name], true);
  row("page walks", walks, false), row("  entries of paging structures read", guest_references, false), row("  entries of EPT read", nested_references, false);
  row("branches", branches, false), row("  mispredicted", mispredicted, false);
  return fmt::format("\nCycles ({} MHz), by VMX root and non-root operation\n", number(timing, "mhz")) + table(rows, "lrrrr", 2) + "\n" + table(by_cpu, "lrrrr", 2);
}

/// What VT-d and DMA cost, by function; nothing where none has asked for anything.
std::string device_cycles(const json& timing) {
  if (!timing.contains("devices") || !timing["devices"].is_array() || timing["devices"].empty()) return {};
  const auto several = [&](std::initializer_list<const char*> columns, std::initializer_list<const char*> keys, const char* needs) {
    std::vector<std::vector<std::string>> rows{{"function", "model"}};
    rows[0].insert(rows[0].end(), columns.begin(), columns.end());
    for (auto& d : timing["devices"]) {
      if (!number(d, needs)) continue;
      std::vector<std::string> row{word(d, "bdf"), word(d, "model")};
      for (const char* key : keys) row.push_back(grouped(number(d, key)));
      rows.push_back(row);
    }
    return rows.size() > 1 ? table(rows, "llrrrrrrrr", 2) : std::string{};
  };
  std::string s;
  for (const std::string& t : {several({"DMA requests", "IOTLB hits", "misses", "context-cache hits", "misses", "context entries read", "walks' entries read", "cycles"},
                                       {"requests", "iotlb_hits", "iotlb_misses", "context_hits", "context_misses", "context_references", "walk_references", "translation_cycles"}, "requests"),
                               several({"lines read", "written", "from DRAM", "cycles"}, {"lines_read", "lines_written", "lines_from_dram", "data_cycles"}, "data_cycles"),
                               several({"interrupts", "entry-cache hits", "misses", "entries read", "cycles"}, {"interrupts", "irte_hits", "irte_misses", "irte_references", "interrupt_cycles"}, "interrupts")})
    if (!t.empty()) s += (s.empty() ? "" : "\n") + t;
  return fmt::format("\nVT-d and DMA by function, cycles ({} MHz) as the function sees them\n", number(timing, "mhz")) + s;
}

}  // namespace

int stat(const StatOptions& o) {
  const Saved saved(o.run);
  saved.end_only("stat");
  if (!o.by.empty()) return stat_cycles(saved, o);
  if (!o.phases.empty() || o.folded || !o.guest_symbols.empty()) throw UsageError("--phase, --folded, --guest-symbols: go with --by");
  const json& m = saved.manifest();
  if (o.json) {
    json j{{"schema", "vitrine.stat/1"}, {"run", saved.path()}};
    for (const char* key : {"steps", "cycles", "retired", "clock", "host", "end", "exit_status", "state_hash", "vtd", "functions", "stats", "timing"})
      if (m.contains(key)) j[key] = m[key];
    std::fputs((j.dump(2, ' ', false, json::error_handler_t::replace) + '\n').c_str(), stdout);
    return status::ok;
  }
  const json none = json::object();
  auto part = [&](const char* key) -> const json& { return m.contains(key) && m[key].is_object() ? m[key] : none; };
  const json &end = part("end"), &host = part("host"), &stats = part("stats"), &clock = part("clock");
  std::string s;
  std::string how = word(end, "reason");
  if (auto what = word(end, "what"); !what.empty()) how += ": " + what;
  if (auto where = word(end, "where"); !where.empty()) how += " (" + where + ")";
  if (end.contains("code")) how += fmt::format(" {}", number(end, "code"));
  std::string at = word(end, "rip");
  if (auto symbol = word(end, "symbol"); !symbol.empty()) at += " (" + symbol + ")";
  const double virtual_seconds = static_cast<double>(number(m, "cycles")) / 1e9;
  auto real = [](const json& j, const char* key) { return j.contains(key) && j[key].is_number() ? j[key].get<double>() : 0.0; };
  std::vector<std::vector<std::string>> rows{
      {"end", how}, {"at", fmt::format("{} of cpu {}", at, number(end, "cpu"))},
      {"exit status", m.contains("exit_status") && m["exit_status"].is_number() ? std::to_string(m["exit_status"].get<int>()) : "none (unfinished)"},
      {"steps", grouped(number(m, "steps"))}, {"instructions", grouped(number(m, "retired"))},
      {"virtual time", m.contains("timing") ? fmt::format("{:.6f} s ({} clock, profile {})", virtual_seconds, word(clock, "model"), word(clock, "profile"))
                                              : fmt::format("{:.6f} s ({} clock, {} steps each)", virtual_seconds, word(clock, "model"), grouped(number(clock, "steps_per_virtual_second")))},
      {"host", fmt::format("{:.2f} s user, {:.2f} s elapsed, {:.1f} MIPS", real(host, "user_seconds"), real(host, "elapsed_seconds"), real(host, "mips"))},
      {"state hash", word(m, "state_hash")}};
  s += table(rows);
  if (const u64 n = number(stats, "vm_exits_total")) {
    s += fmt::format("\nVM exits: {} ({} VM entries)\n", grouped(n), grouped(number(stats, "vm_entries")));
    s += counts(stats["vm_exits"], 2);
  }
  if (m.contains("timing")) s += cycles(m["timing"]);
  if (m.contains("timing")) s += device_cycles(m["timing"]);
  if (stats.contains("exceptions") && !stats["exceptions"].empty()) s += "\nExceptions\n" + counts(stats["exceptions"], 2);
  s += "\nEngine\n" + counts(json{{"blocks decoded", number(stats, "blocks_decoded")}, {"TLB fills", number(stats, "tlb_fills")},
                                   {"external interrupts", number(stats, "interrupts")}}, 2);
  if (m.contains("vtd"))
    for (auto& u : m["vtd"]) {
      const bool enabled = u.value("translation_enabled", false);
      s += fmt::format("\nVT-d unit {} at {}: translation {}{}, interrupt remapping {}, root table {}\n", number(u, "unit"), word(u, "address"),
                       enabled ? "enabled" : "off", enabled ? " at step " + grouped(number(u, "enabled_at_step")) : "",
                       u.value("interrupt_remapping_enabled", false) ? "enabled" : "off", word(u, "root_table"));
      json nonzero = json::object();
      if (u.contains("counters"))
        for (auto& [k, v] : u["counters"].items()) {
          std::string name = k;
          std::replace(name.begin(), name.end(), '_', ' ');
          if (v != 0) nonzero[name] = v;
        }
      s += counts(nonzero, 2);
    }
  if (m.contains("functions") && m["functions"].is_array() && !m["functions"].empty()) {
    std::vector<std::vector<std::string>> f{{"function", "model", "DMA translated", "bypassed", "blocked", "interrupts remapped", "bypassed", "blocked"}};
    for (auto& x : m["functions"]) {
      std::vector<std::string> row{word(x, "bdf"), word(x, "model")};
      for (auto [what, keys] : {std::pair{"dma", std::array{"translated", "bypassed", "blocked"}}, {"interrupts", std::array{"remapped", "bypassed", "blocked"}}})
        for (const char* key : keys) row.push_back(x.contains(what) ? grouped(number(x[what], key)) : "");
      f.push_back(row);
    }
    s += "\nDMA and interrupt requests by function (bypassed: not translated, not remapped)\n" + table(f, "llrrrrrr", 2);
  }
  for (auto [key, title] : {std::pair{"absent_memory", "Accesses to memory addresses that nobody claims, by page"}, {"absent_ports", "Accesses to ports that nobody claims"}})
    if (stats.contains(key) && !stats[key].empty()) s += fmt::format("\n{}\n", title) + counts(stats[key], 2);
  std::fputs(s.c_str(), stdout);
  return status::ok;
}

}  // namespace vt::cli
