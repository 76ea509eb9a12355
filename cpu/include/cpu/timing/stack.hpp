// SPDX-License-Identifier: GPL-2.0-or-later
/// Where cycles went: one number per cause, kept apart for the hypervisor (VMX root operation, or none) and its guest.
#pragma once
#include <array>

#include "cpu/timing/caches.hpp"

namespace vt::cpu {

enum class Cause : u8 {
  base,          ///< instructions themselves
  branch,        ///< mispredicted
  fetch_l2, fetch_llc, fetch_dram,
  data_l2, data_llc, data_dram,
  tlb,           ///< first-level misses that the second level answers, and starting walks
  guest_walk,    ///< reading paging structures
  nested_walk,   ///< reading EPT
  vm_entry, vm_exit,
  interrupt,     ///< deliveries through the IDT, exceptions too
  device,        ///< ports and memory-mapped registers
  wait,          ///< halted
  count_
};
inline constexpr unsigned kCauses = static_cast<unsigned>(Cause::count_);
inline constexpr const char* kCauseNames[kCauses] = {"base", "branch", "fetch-l2", "fetch-llc", "fetch-dram", "data-l2", "data-llc", "data-dram", "tlb",
                                                     "guest-walk", "nested-walk", "vm-entry", "vm-exit", "interrupt", "device", "wait"};

/// Whose a line is that L1 did not have.
constexpr Cause miss_of(MemLevel from, bool fetch) {
  const Cause first = fetch ? Cause::fetch_l2 : Cause::data_l2;   // the levels' causes follow each other
  return static_cast<Cause>(static_cast<unsigned>(first) + static_cast<unsigned>(from) - static_cast<unsigned>(MemLevel::l2));
}

/// In ticks: 240 to a cycle, so that halves, thirds, quarters, fifths, sixths and eighths of one are whole.
inline constexpr u64 kTicks = 240;

struct CycleStack {
  std::array<u64, kCauses> ticks{};
  u64 instructions = 0;
  u64 walks = 0, guest_references = 0, nested_references = 0, mispredicted = 0, branches = 0;
  u64 total() const { u64 n = 0; for (u64 t : ticks) n += t; return n; }
  u64& operator[](Cause c) { return ticks[static_cast<unsigned>(c)]; }
  u64 operator[](Cause c) const { return ticks[static_cast<unsigned>(c)]; }
  void state(Ar& a) { a(ticks, instructions, walks, guest_references, nested_references, mispredicted, branches); }
};

}  // namespace vt::cpu
