// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine show: one of the machine's own views, at any moment of a run.
#include "show.hpp"

#include <fmt/format.h>

#include "saved.hpp"
#include "story.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

constexpr ShowView kViews[] = {
  {"regs", "", "all registers of this processor, with segments and tables", show_registers},
  {"disasm", "[ADDRESS] [N]", "N instructions from a linear address or symbol (here, 10)", show_disassembly},
  {"vmcs", "[FIELD | HPA]", "fields of the current VMCS, or of that page; with a part of a name, only those", show_vmcs},
  {"msr", "[N | NAME]", "model-specific registers of this processor", show_msrs},
  {"lapic", "", "local APIC of this processor", show_lapic},
  {"tlb", "", "what this processor's TLB holds", show_tlb},
  {"ioapic", "", "redirection entries", show_ioapic},
  {"pci", "[BDF]", "functions; of one, its configuration space", show_pci},
  {"iommu", "", "registers, fault records and counters of the VT-d units", show_iommu},
  {"irq", "", "interrupts from source to processor: local APICs, pins, MSI, remapping entries", show_interrupts},
  {"screen", "[text | ansi | html]", "what the VGA shows in a text mode", show_screen},
  {"events", "[N]", "the last N events of the machine (20)", show_events},
};

struct LastEvents final : EventSink {
  void on(const Event& e) override {
    all.push_back(e);
    if (all.size() > kShownEvents) all.pop_front();
  }
  std::deque<Event> all;
};

/// Those before the moment: from the nearest checkpoint before it, or where that has too few, from the beginning.
std::deque<Event> events_before(Saved& saved, u64 step, u64 wanted) {
  for (const bool nearest : {true, false}) {
    const auto run = saved.again_before(nearest ? step : 0);
    const bool all = run->machine().steps() == 0;
    LastEvents last;
    run->watch(&last);
    run->to(step, "events");
    run->unwatch(&last);
    if (all || last.all.size() >= wanted) return std::move(last.all);
  }
  return {};
}

}  // namespace

std::span<const ShowView> show_views() { return kViews; }
const ShowView* find_show_view(std::string_view name) {
  for (auto& v : kViews) if (name == v.name) return &v;
  return nullptr;
}

int show(const ShowViewOptions& o) {
  const ShowView* view = find_show_view(o.view);
  if (!view) {
    std::string all;
    for (auto& v : kViews) all += (all.empty() ? "" : ", ") + std::string(v.name);
    throw UsageError(fmt::format("{}: no such view; there are {}", o.view, all));
  }
  const u64 wanted = view->show == show_events ? count_of(o.words, 0, 20, kShownEvents) : 0;
  Saved saved(o.run);
  emu::Machine& m = saved.machine();
  if (o.cpu >= m.cpus()) throw UsageError(fmt::format("--cpu {}: this run has {} ({})", o.cpu, m.cpus(), m.cpus() == 1 ? "cpu 0" : fmt::format("cpu 0 to {}", m.cpus() - 1)));
  const auto symbols = symbols_of(saved.manifest());
  std::deque<Event> events;
  if (view->show == show_events) events = events_before(saved, m.steps(), wanted);
  const Shown s = view->show({m, o.cpu, symbols ? &*symbols : nullptr, &events}, o.words);
  if (o.json) {
    const nlohmann::ordered_json j{{"schema", "vitrine.show/1"}, {"run", saved.path()}, {"step", m.steps()}, {"view", view->name}, {"cpu", o.cpu}, {"data", s.data}};
    std::fputs((j.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n').c_str(), stdout);
  } else {
    std::fputs(s.text.c_str(), stdout);
  }
  return status::ok;
}

}  // namespace vt::cli
