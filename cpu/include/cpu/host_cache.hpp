// SPDX-License-Identifier: GPL-2.0-or-later
/// The derived layer of translation: host pointers for reads, writes and fetches by linear page. Not state:
/// it may be dropped at any moment and is refilled from the architectural TLB without a walk. An entry
/// exists only while an architectural entry stands behind it; whoever evicts or invalidates that one calls
/// `drop`. Everything unusual (MMIO, watched, code, unsaved, VMCS pages, alignment checking, SMAP-refused)
/// is never entered, and so takes the slow path.
#pragma once
#include <bitset>

#include "base/bits.hpp"

namespace vt::cpu {

struct HostCache {
  static constexpr unsigned kSlots = 1024;
  static constexpr u64 kNever = 0;  ///< no context has tag 0, so that it matches no address
  struct Entry {
    u64 tag = kNever;  ///< linear page | context tag (12 bits)
    u64 addend = 0;    ///< host address = addend + linear address
  };
  Entry rd[kSlots], wr[kSlots], ex[kSlots];
  /// Tag of the running translation context (1 to 4095), or'ed to the page. 0xfff with `bypass` never matches.
  u64 tag = 1;
  std::bitset<4096> fetched;  ///< hashed linear pages that were ever entered in `ex`: dropping one voids block links

  static unsigned fetched_slot(u64 la) { return (la >> kPageShift) & 4095; }
  static unsigned slot(u64 la) { return (la >> kPageShift) & (kSlots - 1); }
  void drop_all() {
    for (auto* a : {rd, wr, ex}) for (unsigned i = 0; i < kSlots; ++i) a[i].tag = kNever;
    fetched.reset();
  }
  /// Forgets one linear page in every context.
  void drop_page(u64 la) { unsigned s = slot(la); rd[s].tag = wr[s].tag = ex[s].tag = kNever; }
  /// Forgets all linear pages whose host pointer lies in [host, host + n), for reading and writing (not for fetches).
  void drop_data_at(const u8* host, u64 n) {
    const u64 h = reinterpret_cast<u64>(host);
    for (auto* a : {rd, wr})
      for (unsigned i = 0; i < kSlots; ++i) {
        const u64 p = a[i].addend + (a[i].tag & kPageMask);
        if (a[i].tag != kNever && p < h + n && p + kPageSize > h) a[i].tag = kNever;
      }
  }
  /// Forgets all linear pages whose host pointer lies in [host, host + n) for writing (a page flag was set).
  void drop_writes_to(const u8* host, u64 n) {
    for (unsigned i = 0; i < kSlots; ++i) {
      if (wr[i].tag == kNever) continue;
      u64 p = wr[i].addend + (wr[i].tag & kPageMask), h = reinterpret_cast<u64>(host);
      if (p < h + n && p + kPageSize > h) wr[i].tag = kNever;
    }
  }
};

}  // namespace vt::cpu
