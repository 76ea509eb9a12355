// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine trace: what a run did in a stretch of it, by making it once more.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "disasm.hpp"
#include "drive.hpp"
#include "saved.hpp"
#include "story.hpp"
#include "text.hpp"
#include "trace_text.hpp"
#include "verbs.hpp"
#include "views/event_log.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;
using enum EventKind;

constexpr u64 kConsole = u64{1} << 63;   ///< no event of the machine
constexpr u64 one(EventKind k) { return u64{1} << static_cast<unsigned>(k); }
constexpr struct { const char* name; u64 kinds; } kGroups[] = {
  {"exit", one(vm_exit)}, {"entry", one(vm_entry)}, {"exception", one(exception)}, {"interrupt", one(interrupt)}, {"msr", one(msr_read) | one(msr_write)},
  {"port", one(port_read) | one(port_write)}, {"mmio", one(mmio_read) | one(mmio_write)}, {"ept", one(eptp_change) | one(invept) | one(invvpid)},
  {"vtd", one(vtd_register) | one(vtd_translation) | one(vtd_invalidate) | one(vtd_fault) | one(vtd_pointer) | one(stale_translation)},
  {"flush", one(cache_flush) | one(cache_line_flush)}, {"console", kConsole}, {"reset", one(reset)}, {"all", ~u64{0}},
};

u64 kinds_of(const std::vector<std::string>& names) {
  u64 all = 0;
  for (auto& n : names) {
    u64 found = 0;
    std::string there;
    for (auto& g : kGroups) {
      if (n == g.name) found = g.kinds;
      there += (there.empty() ? "" : ", ") + std::string(g.name);
    }
    for (unsigned k = 1; k < views::kEventKinds; ++k) if (n == views::event_kind_name(static_cast<EventKind>(k))) found = u64{1} << k;
    if (!found) throw UsageError(fmt::format("--event {}: no such events; there are {}", n, there));
    all |= found;
  }
  return all;
}

/// Whole lines on standard output, many at once.
class Lines {
 public:
  void put(const std::string& s) { if ((text_ += s).size() > (1 << 16)) flush(); }
  void flush() {
    const bool ok = std::fwrite(text_.data(), 1, text_.size(), stdout) == text_.size() && std::fflush(stdout) == 0;
    text_.clear();
    if (!ok) throw InputError(fmt::format("standard output: cannot be written ({})", std::strerror(errno)));
  }

 private:
  std::string text_;
};

/// Only events, at the machine's full speed.
class EventTracer final : public EventSink {
 public:
  EventTracer(emu::Machine& m, std::optional<unsigned> only, u64 kinds, TraceText& text, Lines& out) : machine_(m), only_(only), kinds_(kinds), text_(text), out_(out) {}
  void on(const Event& e) override {
    if (!(kinds_ >> static_cast<unsigned>(e.kind) & 1) || (only_ && e.cpu != *only_)) return;
    const cpu::Vmx& v = machine_.processor(e.cpu).vmx;
    out_.put(text_.event(e, v.non_root ? 'n' : v.on ? 'r' : '-'));
  }
  bool wants_io() const override { return kinds_ & (one(msr_read) | one(msr_write) | one(port_read) | one(port_write) | one(mmio_read) | one(mmio_write)); }

 private:
  emu::Machine& machine_;
  const std::optional<unsigned> only_;
  const u64 kinds_;
  TraceText& text_;
  Lines& out_;
};

/// The step that `t` names in this run.
u64 step_of(const std::string& run, const std::string& t, const char* option) {
  if (t.empty()) throw UsageError(fmt::format("{}: is empty", option));
  try {
    Saved s(run + "@" + t);
    if (auto n = s.step()) return *n;
    return s.machine().steps();
  } catch (const UsageError& e) {
    throw UsageError(fmt::format("{} {}: {}", option, t, e.what()));
  }
}

}  // namespace

int trace(const TraceOptions& o) {
  const u64 kinds = kinds_of(o.events);
  if (parse_run_at(o.run).run != o.run) throw UsageError(fmt::format("{}: RUN without a moment; --from and --to say where", o.run));
  if (o.to.empty() && o.events.empty()) throw UsageError("--to: where does it end? A moment, or a number of steps (--to +1000)");
  const json manifest = read_manifest(o.run);
  const json ended = manifest.value("end", json::object());
  if (!ended.contains("step") || !ended["step"].is_number_unsigned()) throw InputError(fmt::format("{}: the run was cut off, so its end is not known; run again", o.run));
  const u64 end = ended["step"].get<u64>();
  const u64 from = step_of(o.run, o.from, "--from");
  if (from > end) throw UsageError(fmt::format("--from {}: the run ended before, at step {}", o.from, grouped(end)));
  u64 to = end;
  if (o.to.starts_with('+')) {
    const auto n = parse_number(std::string_view(o.to).substr(1));
    if (!n || !*n) throw UsageError(fmt::format("--to {}: not a number of steps from 1 on", o.to));
    to = from + std::min(*n, end - from);
  } else if (!o.to.empty()) {
    to = step_of(o.run, o.to, "--to");
    if (to > end) throw UsageError(fmt::format("--to {}: the run ended before, at step {}", o.to, grouped(end)));
  }
  if (to < from) throw UsageError(fmt::format("--to {}: step {} is before --from {}, step {}", o.to, grouped(to), o.from, grouped(from)));

  Saved saved(fmt::format("{}@{}", o.run, from));
  Rerun& rerun = saved.rerun();
  emu::Machine& m = rerun.machine();
  if (o.processor && *o.processor >= m.cpus()) throw UsageError(fmt::format("--processor {}: there are {}, from 0 on", *o.processor, m.cpus()));
  const std::optional<hv::Symbols> symbols = symbols_of(manifest);

  Disassembler disassembler;
  TraceText text(symbols ? &*symbols : nullptr, saved.is_xen(), o.json);
  Lines out;
  if (o.json) out.put(json{{"schema", "vitrine.trace/1"}, {"run", o.run}, {"from", from}, {"to", to}, {"processors", m.cpus()}}.dump() + '\n');

  std::optional<StepTracer> steps;
  std::string printed;   // by the step that is under way
  std::optional<EventTracer> events;
  EventSink* sink;
  if (o.events.empty()) {
    sink = &steps.emplace(
      m, o.processor, [&](const cpu::Cpu& c, u64 rip, std::span<const u8> bytes) { return disassembler.text(c, rip, bytes); },
      [&](const TracedStep& s) { out.put(text.step(s) + std::exchange(printed, {})); }, [&](const Event& e) { out.put(text.event(e, '-')); });
  } else {
    sink = &events.emplace(m, o.processor, kinds, text, out);
  }
  if (o.events.empty() || kinds & kConsole)
    rerun.on_console([&](u64 step, const std::string& line) {
      if (steps) printed += text.console(step, line);
      else out.put(text.console(step, line));
    });
  rerun.watch(sink);
  try {
    const u64 chunk = steps ? u64{1} << 14 : u64{1} << 22;
    SignalGuard signals(m);
    std::optional<Progress> progress;   // where the lines do not show it themselves
    if (!is_terminal(STDOUT_FILENO)) progress.emplace(m, [&] { return fmt::format("trace: {}%", to > from ? (m.steps() - from) * 100 / (to - from) : 100); });
    while (m.steps() < to) {
      if (SignalGuard::interrupted()) throw Interrupted("trace");
      rerun.to(std::min(to, m.steps() + chunk), "trace");
      if (progress) progress->tick();
    }
  } catch (const Interrupted&) {
    out.flush();
    throw;
  }
  if (steps) steps->finish();
  rerun.unwatch(sink);
  steps.reset();
  if (o.json) out.put(json{{"kind", "end"}, {"step", m.steps()}, {"state_hash", m.state_hash()}}.dump() + '\n');
  out.flush();
  return status::ok;
}

}  // namespace vt::cli
