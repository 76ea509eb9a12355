// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/vtd_map.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "ept/ept.hpp"

namespace vt::views {

VtdView vtd_devices(const PhysMem& mem, const vtd::Caps& caps, Hpa root_table) {
  VtdView view;
  std::map<std::tuple<u64, vtd::TranslationType, unsigned>, VtdTable> tables;
  for (unsigned source = 0; source < 0x10000; ++source) {
    const Bdf device(static_cast<u16>(source));
    const vtd::ContextLookup l = vtd::lookup(mem, caps, root_table, device);
    if (!l.read_root || !l.root.present()) { source |= 0xff; continue; }   // the whole bus
    if (l.ok()) {
      const bool tables_used = l.context.type() == vtd::TranslationType::untranslated;
      const Hpa root = tables_used ? l.context.second_level_root() : Hpa{};
      VtdTable& t = tables[{root.v, l.context.type(), l.context.levels()}];
      t.type = l.context.type(), t.root = root, t.levels = l.context.levels();
      t.devices.push_back(device);
      t.domains.push_back(l.context.domain());
    } else if (l.fault_reason != vtd::fault::context_not_present) {
      view.broken.push_back({device, l.fault_reason});
      if (!l.read_context) source |= 0xff;   // the root entry's fault, the same for all
    }
  }
  for (auto& [key, t] : tables) {
    std::sort(t.domains.begin(), t.domains.end());
    t.domains.erase(std::unique(t.domains.begin(), t.domains.end()), t.domains.end());
    view.tables.push_back(std::move(t));
  }
  return view;
}

void fill_ranges(const PhysMem& mem, const vtd::Caps& caps, VtdTable& t, u64 first, u64 last) {
  if (t.type != vtd::TranslationType::untranslated) return;
  t.complete = vtd::for_each_mapping(mem, caps, t.root, t.levels, [&](Iova at, u64 size, Hpa target, Access access) {
    const u64 end = at.v + (size - 1);
    if (end < first) return true;
    if (at.v > last) return false;
    const u64 from = std::max(at.v, first);
    join(t.ranges, VtdRange{from, std::min(end, last), target.v + (from - at.v), access, size});
    return true;
  });
  if (!t.ranges.empty() && last != ~u64{0}) t.complete = true;   // ended early because the range did
}

int shared_with_ept(const PhysMem& mem, Hpa ept_root, unsigned ept_levels, Hpa root, unsigned levels) {
  Hpa table = ept_root;
  for (unsigned below = 0; ept_levels > below; ++below) {
    if (table == root && levels + below == ept_levels) return static_cast<int>(below);
    const ept::Entry e{mem.peek64(table)};
    if (!e.present() || e.leaf(ept_levels - below)) return -1;
    table = e.addr();
  }
  return -1;
}

}  // namespace vt::views
