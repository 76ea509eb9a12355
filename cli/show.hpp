// SPDX-License-Identifier: GPL-2.0-or-later
/// The machine's own views: what `monitor NAME` of the debugger and `vitrine show RUN NAME` print. They only look.
#pragma once
#include <deque>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/events.hpp"
#include "emu/machine.hpp"
#include "hypervisor/symbols.hpp"

namespace vt::cli {

/// Who looks, and at what.
struct Look {
  emu::Machine& machine;
  unsigned cpu = 0;
  const hv::Symbols* symbols = nullptr;          ///< null: none
  const std::deque<Event>* events = nullptr;     ///< the last ones before now; null: nobody has listened
  std::string name(u64 address) const { return symbols ? symbols->name(address) : std::string{}; }
};

using Words = std::vector<std::string>;
/// The same twice: for people, and for programs.
struct Shown { std::string text; nlohmann::ordered_json data; };

struct ShowView {
  const char* name;
  const char* arguments;
  const char* what;
  Shown (*show)(const Look&, const Words&);      ///< throws UsageError
};
std::span<const ShowView> show_views();
const ShowView* find_show_view(std::string_view name);   ///< null: no such one

inline constexpr std::size_t kShownEvents = 4096;        ///< as many are kept

// processor (show_processor.cpp)
Shown show_registers(const Look&, const Words&);
Shown show_disassembly(const Look&, const Words&);
Shown show_vmcs(const Look&, const Words&);
Shown show_msrs(const Look&, const Words&);
Shown show_lapic(const Look&, const Words&);
Shown show_tlb(const Look&, const Words&);
// platform (show_platform.cpp)
Shown show_ioapic(const Look&, const Words&);
Shown show_pci(const Look&, const Words&);
Shown show_iommu(const Look&, const Words&);
Shown show_interrupts(const Look&, const Words&);
Shown show_events(const Look&, const Words&);
// screen (show_screen.cpp)
Shown show_screen(const Look&, const Words&);
/// A word as a number up to `most`, or what it is otherwise. Throws UsageError.
u64 count_of(const Words& w, std::size_t at, u64 otherwise, u64 most);

}  // namespace vt::cli
