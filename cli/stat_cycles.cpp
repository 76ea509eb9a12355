// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine stat --by: where the cycles of a run went, by function and by phase, by making it once more.
#include "stat_cycles.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cpu/observer.hpp"
#include "cpu/timing/timing.hpp"
#include "cycles.hpp"
#include "saved.hpp"
#include "story.hpp"
#include "text.hpp"
#include "views/call_stacks.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

/// Cycles by function: of the one that is about to be executed when so many have passed; with its callers, if those are wanted. Calls that are open are learned from
/// CALL and RET, as the debugger's `bt` does, so no frame pointers are needed.
class Functions final : public cpu::TimingSampler, private cpu::Observer {
 public:
  /// Symbols of each context, or null.
  Functions(emu::Machine& m, std::array<const hv::Symbols*, 2> symbols, u64 every, bool callers) : machine_(m), symbols_(symbols), callers_(callers && (symbols[0] || symbols[1])) {
    if (callers_) m.observe(this);
    for (unsigned n = 0; n < m.cpus(); ++n) m.processor(n).timing()->sample_every(every, this);
  }
  ~Functions() override {
    for (unsigned n = 0; n < machine_.cpus(); ++n) machine_.processor(n).timing()->sample_every(0, nullptr);
    if (callers_) machine_.observe(nullptr);
  }
  Functions(const Functions&) = delete;
  Functions& operator=(const Functions&) = delete;

  void sample(const cpu::Cpu& c, u64 rip, u64 cycles) override {
    const bool guest = c.non_root();
    const hv::Symbols* symbols = symbols_[guest];
    Key k{guest, c.cpl() == 3, symbols ? symbols->begin_of(rip).value_or(0) : 0, {}};
    if (callers_ && symbols)
      for (u64 back : stacks_.chain(space(c), c.r[4])) {
        const u64 begin = symbols->begin_of(back - 1).value_or(0);   // the CALL is before it; what is after it may be another function
        if (begin || k.callers.empty() || k.callers.back()) k.callers.push_back(begin);
      }
    at_[std::move(k)] += cycles;
    all_ += cycles;
  }
  struct Row { const char* context; std::string callers, name; u64 cycles; };   ///< callers: "outermost;...;innermost;", or empty
  /// Most cycles first.
  std::vector<Row> rows() const {
    std::vector<Row> v;
    for (auto& [k, n] : at_) {
      std::string callers;
      for (std::size_t i = k.callers.size(); i-- > 0;) callers += name(k, k.callers[i], "[unknown]") + ";";
      v.push_back({kContexts[k.guest], callers, name(k, k.begin, k.user ? "[user]" : "[unknown]"), n});
    }
    std::stable_sort(v.begin(), v.end(), [](const Row& a, const Row& b) { return a.cycles > b.cycles; });
    return v;
  }
  u64 all() const { return all_; }

 private:
  struct Key {
    bool guest, user;
    u64 begin;                  ///< of the function; 0: of none that is known
    std::vector<u64> callers;   ///< innermost first, by their beginnings; one 0 for any number of unknown ones
    auto operator<=>(const Key&) const = default;
  };
  std::string name(const Key& k, u64 begin, const char* unknown) const {
    if (!begin) return unknown;
    const std::string s = symbols_[k.guest]->name(begin);
    return s.substr(0, s.find('+'));
  }
  static u32 space(const cpu::Cpu& c) { return c.index() * 2 + (c.non_root() ? 1 : 0); }
  // cpu::Observer
  void call(const cpu::Cpu& c, u64 slot, u64 to) override { stacks_.call(space(c), slot, to); }
  void ret(const cpu::Cpu& c, u64 slot) override { stacks_.ret(space(c), slot); }
  bool probe(const cpu::Cpu&, u64) override { return false; }
  bool probed(u64) const override { return false; }

  emu::Machine& machine_;
  const std::array<const hv::Symbols*, 2> symbols_;
  const bool callers_;
  views::CallStacks stacks_;
  std::map<Key, u64> at_;
  u64 all_ = 0;
};

void by_function(Rerun& rerun, const Saved& saved, const StatOptions& o) {
  const std::optional<hv::Symbols> symbols = symbols_of(saved.manifest());
  // Xen's own mean nothing in its guest.
  const std::optional<hv::Symbols> guest = !o.guest_symbols.empty() ? hv::Symbols::load(o.guest_symbols) : saved.is_xen() ? std::nullopt : symbols;
  Functions f(rerun.machine(), {symbols ? &*symbols : nullptr, guest ? &*guest : nullptr}, o.every, o.folded);
  rerun.to(rerun.end_step(), "stat");
  const auto rows = f.rows();
  if (o.json) {
    json functions = json::array();
    for (auto& r : rows) functions.push_back({{"context", r.context}, {"function", r.name}, {"cycles", r.cycles}});
    std::puts(json{{"schema", "vitrine.stat-functions/1"}, {"run", saved.path()}, {"every", o.every}, {"cycles", f.all()}, {"functions", functions}}.dump(2).c_str());
    return;
  }
  std::string s;
  if (o.folded) {
    for (auto& r : rows) s += fmt::format("{};{}{} {}\n", r.context, r.callers, r.name, r.cycles);
  } else {
    std::vector<std::vector<std::string>> t{{"cycles", "", "context", "function"}};
    for (auto& r : rows) t.push_back({grouped(r.cycles), percent(r.cycles, f.all()), r.context, r.name});
    s = fmt::format("Cycles by function, a sample each {} cycles\n", grouped(o.every)) + table(t, "rrll", 2);
  }
  std::fputs(s.c_str(), stdout);
}

struct Phase { std::string from; u64 step; Stacks spent; };

json phase_json(const Phase& p) {
  json j{{"from", p.from}, {"step", p.step}};
  for (unsigned guest = 0; guest < 2; ++guest)
    j[kContexts[guest]] = {{"cycles", p.spent[guest].total() / cpu::kTicks}, {"instructions", p.spent[guest].instructions}, {"causes", causes_json(p.spent[guest])}};
  return j;
}

/// A column for each phase, a row for each cause that any has.
std::string phase_table(const std::vector<Phase>& phases, unsigned guest) {
  std::vector<std::vector<std::string>> t{{""}, {"from step"}, {"cycles"}, {"instructions"}};
  std::string align = "l";
  u64 any = 0;
  for (auto& p : phases) {
    t[0].push_back(p.from), t[1].push_back(grouped(p.step));
    t[2].push_back(grouped(p.spent[guest].total() / cpu::kTicks)), t[3].push_back(grouped(p.spent[guest].instructions));
    any += p.spent[guest].total();
    align += 'r';
  }
  if (!any) return {};
  for (unsigned k = 0; k < cpu::kCauses; ++k) {
    std::vector<std::string> row{fmt::format("  {}", cpu::kCauseNames[k])};
    u64 all = 0;
    for (auto& p : phases) {
      all += p.spent[guest].ticks[k];
      row.push_back(percent(p.spent[guest].ticks[k], p.spent[guest].total()));
    }
    if (all) t.push_back(row);
  }
  return fmt::format("Cycles of the {} by phase\n", kContexts[guest]) + table(t, align.c_str(), 2);
}

void by_phase(Rerun& rerun, const Saved& saved, const StatOptions& o) {
  std::vector<Phase> phases{{"start", 0, {}}};
  for (auto& t : o.phases) {
    try {
      Saved s(saved.path() + "@" + t);
      phases.push_back({t, s.step() ? *s.step() : s.machine().steps(), {}});
    } catch (const UsageError& e) {
      throw UsageError(fmt::format("--phase {}: {}", t, e.what()));
    }
  }
  std::stable_sort(phases.begin(), phases.end(), [](auto& a, auto& b) { return a.step < b.step; });
  Stacks before = stacks_of(rerun.machine());
  for (std::size_t n = 0; n < phases.size(); ++n) {
    rerun.to(n + 1 < phases.size() ? phases[n + 1].step : rerun.end_step(), "stat");
    const Stacks now = stacks_of(rerun.machine());
    phases[n].spent = since(before, now);
    before = now;
  }
  if (o.json) {
    json all = json::array();
    for (auto& p : phases) all.push_back(phase_json(p));
    std::puts(json{{"schema", "vitrine.stat-phases/1"}, {"run", saved.path()}, {"phases", all}}.dump(2).c_str());
    return;
  }
  const std::string guest = phase_table(phases, 1);
  std::fputs((phase_table(phases, 0) + (guest.empty() ? "" : "\n" + guest)).c_str(), stdout);
}

}  // namespace

int stat_cycles(const Saved& saved, const StatOptions& o) {
  if (o.by != "function" && o.by != "phase") throw UsageError(fmt::format("--by {}: function or phase", o.by));
  if (o.by != "phase" && !o.phases.empty()) throw UsageError("--phase: goes with --by phase");
  if (o.by == "phase" && o.phases.empty()) throw UsageError("--by phase: where do phases begin? A --phase for each, say --phase \"console:'Building a PVH'\"");
  if (o.folded && (o.by != "function" || o.json)) throw UsageError("--folded: goes with --by function, and not with --json");
  if (o.by != "function" && !o.guest_symbols.empty()) throw UsageError("--guest-symbols: goes with --by function");
  if (o.every < 100) throw UsageError(fmt::format("--every {}: at least 100 cycles", o.every));
  if (!saved.manifest().contains("timing")) throw UsageError(fmt::format("{}: was made without a timing model; run it with --timing events or core", saved.path()));
  const std::unique_ptr<Rerun> rerun = saved.again_before(0);
  (o.by == "function" ? by_function : by_phase)(*rerun, saved, o);
  return status::ok;
}

}  // namespace vt::cli
