// SPDX-License-Identifier: GPL-2.0-or-later
#include "cycle_slices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cpu/timing/timing.hpp"
#include "drive.hpp"
#include "run_dir.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

constexpr u64 kLooks = 4096, kSlices = 200;   ///< how often the counters are read, about; how many stretches are made of that
constexpr const char* kCache = "cache/cycles.json";
constexpr const char* kCacheSchema = "vitrine.cycles/1";

/// Since the machine's beginning.
CycleSlice look(emu::Machine& m) {
  CycleSlice s{m.steps(), m.cycles(), {}};
  for (unsigned n = 0; n < m.cpus(); ++n)
    for (unsigned k = 0; k < 2; ++k) {
      const cpu::CycleStack stack = m.processor(n).timing()->stack(k);
      s.spent[k].cycles += stack.total() / cpu::kTicks, s.spent[k].instructions += stack.instructions;
      for (unsigned c = 0; c < cpu::kCauses; ++c) s.spent[k].causes[c] += stack.ticks[c] / cpu::kTicks;
    }
  return s;
}

SpentCycles operator-(SpentCycles a, const SpentCycles& b) {
  a.cycles -= b.cycles, a.instructions -= b.instructions;
  for (unsigned c = 0; c < cpu::kCauses; ++c) a.causes[c] -= b.causes[c];
  return a;
}

json spent_json(const SpentCycles& s, const std::vector<unsigned>& causes) {
  json j{s.cycles, s.instructions};
  for (unsigned c : causes) j.push_back(s.causes[c]);
  return j;
}

json slices_json(const std::vector<CycleSlice>& slices, u64 mhz) {
  std::vector<unsigned> causes;   // that there are any of
  for (unsigned c = 0; c < cpu::kCauses; ++c)
    if (std::any_of(slices.begin(), slices.end(), [c](auto& s) { return s.spent[0].causes[c] || s.spent[1].causes[c]; })) causes.push_back(c);
  json names = json::array(), rows = json::array();
  for (unsigned c : causes) names.push_back(cpu::kCauseNames[c]);
  for (auto& s : slices) rows.push_back({s.step, s.ns, spent_json(s.spent[0], causes), spent_json(s.spent[1], causes)});
  return {{"mhz", mhz}, {"causes", names}, {"slices", rows}};
}

json kept(const std::string& run, const json& hash) {
  std::ifstream in(run + "/" + kCache);
  const json j = in ? json::parse(in, nullptr, false) : json{};
  if (!j.is_object() || j.value("schema", "") != kCacheSchema || j.value("state_hash", json{}) != hash || !j.contains("cycles") || !j["cycles"].is_object()) return {};
  return j["cycles"];
}

}  // namespace

std::vector<CycleSlice> cycle_slices(Rerun& rerun, u64 until) {
  emu::Machine& m = rerun.machine();
  until = std::min(until, rerun.end_step());
  const u64 chunk = std::max<u64>(1, until / kLooks);
  std::vector<CycleSlice> looks{look(m)};
  {
    SignalGuard signals(m);
    Progress progress(m, [&] { return fmt::format("cycles over time: {}%", until ? m.steps() * 100 / until : 100); });
    for (bool end = false; !end; looks.push_back(look(m))) {
      if (SignalGuard::interrupted()) throw Interrupted("cycles over time");
      const u64 next = std::min(until, m.steps() + chunk);
      end = next == until;
      rerun.to(next, "cycles over time");
      progress.tick();
    }
  }
  const CycleSlice &first = looks.front(), &last = looks.back();
  // How far it is, a half by steps and a half by time: neither a wait nor a burst is more than its part of the picture.
  const auto far = [&](const CycleSlice& s) {
    const auto part = [](u64 n, u64 of) { return of ? static_cast<u64>(static_cast<u128>(n) * kSlices / of) : 0; };
    return (part(s.step - first.step, last.step - first.step) + part(s.ns - first.ns, last.ns - first.ns)) / 2;
  };
  std::vector<CycleSlice> slices;
  std::size_t begin = 0;
  for (std::size_t n = 1; n < looks.size(); ++n) {
    if (n + 1 < looks.size() && far(looks[n]) == far(looks[begin])) continue;
    CycleSlice s = looks[n];
    for (unsigned k = 0; k < 2; ++k) s.spent[k] = looks[n].spent[k] - looks[begin].spent[k];
    slices.push_back(s);
    begin = n;
  }
  return slices;
}

json cycles_of_run(const std::string& run, const json& manifest, u64 until) {
  if (!manifest.contains("timing") || !manifest["timing"].is_object()) return nullptr;
  const bool whole = until >= manifest.value("steps", ~u64{0});
  const json hash = manifest.value("state_hash", json{});
  if (whole)
    if (json known = kept(run, hash); known.is_object()) return known;
  json cycles;
  try {
    Rerun again(run);
    const u64 mhz = again.machine().platform().timing.profile.mhz;
    cycles = slices_json(cycle_slices(again, until), mhz);
  } catch (const Interrupted&) {
    throw;
  } catch (const std::runtime_error& e) {   // the rest of the report needs no machine
    print_warning(fmt::format("no cycles over time: {}", e.what()));
    return {{"missing", e.what()}};
  }
  if (whole) {
    std::error_code e;
    std::filesystem::create_directories(run + "/cache", e);
    try {
      RunDir(run).write(kCache, json{{"schema", kCacheSchema}, {"state_hash", hash}, {"cycles", cycles}}.dump() + '\n');
    } catch (const std::runtime_error&) { }   // a cache: without it the next report takes as long
  }
  return cycles;
}

}  // namespace vt::cli
