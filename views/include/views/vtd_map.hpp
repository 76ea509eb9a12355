// SPDX-License-Identifier: GPL-2.0-or-later
/// What a remapping unit's tables say: which devices have which second-level tables, and those as ranges.
/// VT-d "Mapping Devices to Domains"
#pragma once
#include <vector>

#include "views/ranges.hpp"
#include "vtd/context.hpp"

namespace vt::views {

struct VtdRange {
  u64 first = 0, last = 0, target = 0;
  Access access;
  u64 page_size = 0;
  bool alike(const VtdRange& o) const { return access == o.access && page_size == o.page_size; }
  u64 size() const { return last - first + 1; }
};

/// Devices whose context entries name the same tables in the same way.
struct VtdTable {
  vtd::TranslationType type = vtd::TranslationType::untranslated;
  Hpa root;                       ///< 0 for pass-through
  unsigned levels = 0;
  std::vector<u16> domains;       ///< ascending
  std::vector<Bdf> devices;       ///< ascending
  std::vector<VtdRange> ranges;
  bool complete = true;           ///< false: given up, the tables refer to each other without end
};

struct VtdBroken { Bdf device; u8 reason; };   ///< a present entry that the unit refuses: the fault reason

struct VtdView {
  std::vector<VtdTable> tables;   ///< by root, then type and levels
  std::vector<VtdBroken> broken;
};

/// Every device under the root table. No ranges yet.
VtdView vtd_devices(const PhysMem& mem, const vtd::Caps& caps, Hpa root_table);
/// The mappings of [first, last] of one table.
void fill_ranges(const PhysMem& mem, const vtd::Caps& caps, VtdTable& t, u64 first, u64 last);

/// Are the tables at `root`, with so many levels, those of the EPT (its root or, for tables with fewer levels, what its entry 0
/// leads to)? Returns how many levels below the EPT's root, -1 if not.
int shared_with_ept(const PhysMem& mem, Hpa ept_root, unsigned ept_levels, Hpa root, unsigned levels);

}  // namespace vt::views
