// SPDX-License-Identifier: GPL-2.0-or-later
/// L1I, L1D and L2 of one processor, the LLC of all, and what lies behind it. Write-back, write-allocate, least recently used; lines of 64 bytes. Tags
/// only: data are in memory. There is no prefetcher, and no coherence traffic: what another processor or a device writes stays where it was cached.
#pragma once
#include <array>

#include "base/timing.hpp"
#include "base/bits.hpp"
#include "cpu/timing/cache_array.hpp"

namespace vt::cpu {

enum class MemLevel : u8 { l1, l2, llc, dram };

/// Lines by linear address that are the first or second of their set in L1D or L1I, on pages that the first-level TLB has: using one again changes
/// nothing and costs nothing, so that nobody has to look. As many sets as the cache has, at most as a page has lines, so that the linear address names the set.
class RecentLines {
 public:
  explicit RecentLines(u64 sets) : mask_(std::min<u64>(sets, kMost) - 1) {}
  RecentLines(const RecentLines&) = delete;
  static constexpr u8 kAny = 2, kWritten = 0;   ///< for a read, a line as it is; for a write, one that is modified already
  bool has(u64 la, unsigned size, u64 clean) const {
    const u64 key = la >> 6 << 2 | 3;
    const Pair& p = sets_[la >> 6 & mask_];
    return ((p.first | clean) == key || (p.second | clean) == key) && (la & 63) + size <= 64;
  }
  /// What the cache has just done with the physical line.
  void follow(u64 line, CacheArray::Place p) {
    Pair& set = sets_[line & mask_];
    if (p == CacheArray::Place::second) set.second = 0;
    else if (p == CacheArray::Place::first) set.first = 0;
    else set.second = set.first, set.first = 0;
    fresh_ = p == CacheArray::Place::second ? &set.second : &set.first;
  }
  /// The line of the last `follow` is this one.
  void name(u64 la, bool write) { *fresh_ = la >> 6 << 2 | (write ? 3 : 1); }
  void drop_set_of(u64 line) { sets_[line & mask_] = {}; }
  /// Those on pages of the same set of the TLB as this one (linear address >> shift): which of them goes next, only looking tells.
  void drop_set_of_page(u64 page, unsigned shift, u64 mask) {
    const auto on = [&](u64 l) { return ((l >> (shift - 4) ^ page) & mask) == 0; };
    for (Pair& p : sets_) p = {on(p.first) ? 0 : p.first, on(p.second) ? 0 : p.second};
  }
  void drop_all() { sets_ = {}; }
  void state(Ar& a) { a(sets_); }

 private:
  static constexpr u64 kMost = 64;
  struct Pair { u64 first = 0, second = 0; void state(Ar& a) { a(first, second); } };   ///< line << 2 | written << 1 | 1; 0: none
  std::array<Pair, kMost> sets_{};
  u64* fresh_ = &sets_[0].first;
  u64 mask_;
};

/// Shared by processors, page walks and devices.
struct LastLevel {
  explicit LastLevel(const timing::Profile& p) : cache(p.llc), dram(p.dram) {}
  CacheArray cache;
  unsigned dram;
  /// Latency of a line from here.
  unsigned access(u64 line, bool write, MemLevel& from) {
    u64 gone;   // what is modified goes to memory, and nobody waits
    if (cache.bring(line, write, gone) != CacheArray::Place::fresh) { from = MemLevel::llc; return cache.latency(); }
    from = MemLevel::dram;
    return dram;
  }
  void written_back(u64 line) { u64 gone; cache.bring(line, true, gone); }
  void state(Ar& a) { a(cache); }
};

class Caches {
 public:
  Caches(const timing::Profile& p, LastLevel& last) : l1i_(p.l1i), l1d_(p.l1d), l2_(p.l2), recent_(p.l1d.size / 64 / p.l1d.ways), recent_code_(p.l1i.size / 64 / p.l1i.ways), last_(last) {}
  /// Latency from issue to use, and where the line was found.
  unsigned data(u64 line, bool write, MemLevel& from) {
    u64 gone;
    const CacheArray::Place p = l1d_.bring(line, write, gone);
    recent_.follow(line, p);
    if (VT_LIKELY(p != CacheArray::Place::fresh)) { from = MemLevel::l1; return l1d_.latency(); }
    return beyond(line, gone, from);
  }
  unsigned fetch(u64 line, MemLevel& from) {
    u64 gone;
    const CacheArray::Place p = l1i_.bring(line, false, gone);
    recent_code_.follow(line, p);
    if (VT_LIKELY(p != CacheArray::Place::fresh)) { from = MemLevel::l1; return l1i_.latency(); }
    return beyond(line, gone, from);
  }
  void prefetch(u64 line) const { last_.cache.prefetch(line); }   ///< of the host: L1 does not have the line
  void flush(u64 line);        ///< CLFLUSH
  void flush_all();            ///< WBINVD
  RecentLines& recent() { return recent_; }
  RecentLines& recent_code() { return recent_code_; }
  void forget_recent() { recent_.drop_all(), recent_code_.drop_all(); }
  void state(Ar& a) { a(l1i_, l1d_, l2_, recent_, recent_code_); }

 private:
  unsigned beyond(u64 line, u64 back, MemLevel& from);   ///< back: modified line that has left the first level for it
  CacheArray l1i_, l1d_, l2_;
  RecentLines recent_, recent_code_;
  LastLevel& last_;
};

}  // namespace vt::cpu
