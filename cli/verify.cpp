// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine log --verify: is the ledger the whole story? The run is made once more without one, and every so many events its tables are
/// compared with what the ledger, played onto empty tables, says they are.
#include <fmt/format.h>

#include <algorithm>

#include "cpu/ept_caps.hpp"
#include "rerun.hpp"
#include "story.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "views/ept_map.hpp"

namespace vt::cli {
namespace {

bool same(const views::EptRange& a, const views::EptRange& b) { return a.first == b.first && a.last == b.last && a.target == b.target && a.alike(b); }
bool same(const views::VtdRange& a, const views::VtdRange& b) { return a.first == b.first && a.last == b.last && a.target == b.target && a.alike(b); }

template <class R>
std::string first_difference(const std::vector<R>& machine, const std::vector<R>& ledger) {
  for (std::size_t n = 0; n < std::max(machine.size(), ledger.size()); ++n) {
    if (n >= machine.size()) return fmt::format("{:x} is mapped in the ledger only", ledger[n].first);
    if (n >= ledger.size()) return fmt::format("{:x} is mapped in the machine only", machine[n].first);
    if (!same(machine[n], ledger[n]))
      return fmt::format("{:x}-{:x} to {:x} in the machine, {:x}-{:x} to {:x} in the ledger", machine[n].first, machine[n].last, machine[n].target, ledger[n].first,
                         ledger[n].last, ledger[n].target);
  }
  return {};
}

class Verifier {
 public:
  Verifier(const Story& s, emu::Machine& m) : s_(s), m_(m), replay_(s.setup()) {}

  void apply(u32 n) { replay_.apply(s_.history().events[n], n, {}); }
  /// What differs now; empty: nothing.
  std::string compare() {
    auto tag = [&](u64 e) { return s_.words().tag(e); };
    for (u32 n = 0; n < replay_.spaces().size(); ++n) {
      const views::Space& space = replay_.spaces()[n];
      if (space.format != TableFormat::ept || !replay_.tables().is_table(space.root)) continue;
      const ept::Eptp eptp{space.eptp};
      const auto machine = views::ept_map(m_.memory(), s_.setup().ept, eptp, 0, ~u64{0}, tag);
      const auto ledger = views::ept_map(replay_.memory(), s_.setup().ept, eptp, 0, ~u64{0}, tag);
      ++maps;
      if (auto d = first_difference(machine.ranges, ledger.ranges); !d.empty()) return fmt::format("EPT {:#x}: {}", space.root.v, d);
      // And what is held of them, from which everything else is told.
      u64 mapped = 0, held = 0;
      for (auto& r : machine.ranges) mapped += r.size();
      for (auto& r : replay_.ranges(n)) held += r.last - r.first + 1;
      if (mapped != held) return fmt::format("EPT {:#x}: {} mapped, {} held", space.root.v, size_text(mapped), size_text(held));
    }
    for (auto& u : m_.vtd_units()) {
      const Hpa root = u->root_in_use(), told{replay_.units().at(u->index()).root & kPageMask};
      if (root.v == 0 && told.v == 0) continue;
      if ((root.v & kPageMask) != told.v) return fmt::format("VT-d unit {}: root table {:#x} in the machine, {:#x} in the ledger", u->index(), root.v, told.v);
      views::VtdView machine = views::vtd_devices(m_.memory(), u->caps(), root), ledger = views::vtd_devices(replay_.memory(), u->caps(), root);
      if (machine.tables.size() != ledger.tables.size()) return fmt::format("VT-d unit {}: {} tables in the machine, {} in the ledger", u->index(), machine.tables.size(), ledger.tables.size());
      for (std::size_t n = 0; n < machine.tables.size(); ++n) {
        if (machine.tables[n].devices != ledger.tables[n].devices) return fmt::format("VT-d tables {:#x}: other devices", machine.tables[n].root.v);
        views::fill_ranges(m_.memory(), u->caps(), machine.tables[n], 0, ~u64{0});
        views::fill_ranges(replay_.memory(), u->caps(), ledger.tables[n], 0, ~u64{0});
        ++maps;
        if (auto d = first_difference(machine.tables[n].ranges, ledger.tables[n].ranges); !d.empty()) return fmt::format("VT-d tables {:#x}: {}", machine.tables[n].root.v, d);
      }
    }
    return {};
  }
  u64 maps = 0;

 private:
  const Story& s_;
  emu::Machine& m_;
  views::Replay replay_;
};

}  // namespace

int verify_ledger(const Story& s, u64 every) {
  Rerun again(s.path());
  Verifier v(s, again.machine());
  const auto& events = s.history().events;
  u64 moments = 0;
  for (u32 n = 0, next = 0; n < events.size();) {
    next = static_cast<u32>(std::min<u64>(n + every - 1, events.size() - 1));
    // All of that step, which the machine makes as one.
    while (next + 1 < events.size() && events[next + 1].step == events[next].step) ++next;
    again.to(events[next].step + 1, "verify");
    for (; n <= next; ++n) v.apply(n);
    ++moments;
    if (const std::string d = v.compare(); !d.empty()) {
      fmt::print("after step {} (event {}): {}\n", grouped(events[next].step), next, d);
      return status::finding;
    }
  }
  fmt::print("{} events; at {} moments {} maps of the ledger and of the machine are the same\n", grouped(events.size()), grouped(moments), grouped(v.maps));
  return status::ok;
}

}  // namespace vt::cli
