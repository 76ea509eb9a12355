// SPDX-License-Identifier: GPL-2.0-or-later
/// What a page walk costs: which entries of paging structures and EPT are read, in which order, through the caches.
/// SDM 3A "Paging-Structure Caches", SDM 3C "EPT and Address Translation"
#pragma once
#include "base/physmem.hpp"
#include "cpu/paging.hpp"
#include "cpu/timing/caches.hpp"
#include "cpu/timing/tlbs.hpp"
#include "ept/ept.hpp"

namespace vt::cpu {

/// The address space that is walked.
struct WalkSpace {
  const PhysMem& memory;
  paging::Params paging;         ///< mode none: linear addresses are (guest-)physical
  ept::Caps ept_caps;
  u64 eptp = 0;                  ///< 0: no EPT
  TlbContext tags{};
};

struct WalkCost {
  unsigned guest_references = 0, nested_references = 0;   ///< entries of paging structures; of EPT
  unsigned guest_cycles = 0, nested_cycles = 0;           ///< one after the other
  u8 shift = 12;                                          ///< of the translation: the smaller of the two under EPT
  bool global = false;
};

/// Walks `la` as the tables stand, and enters what it finds in paging-structure caches and nested TLB (not in the TLBs). Reads every entry of the tables, but
/// charges those only that no cache knows. Changes nothing in memory.
WalkCost timing_walk(const WalkSpace& s, u64 la, TimingTlbs& tlbs, Caches& caches);

}  // namespace vt::cpu
