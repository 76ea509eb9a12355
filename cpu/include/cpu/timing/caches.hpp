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
  static constexpr u64 kMost = 64;
  static constexpr u64 kNone = u64{1} << 63;   ///< not canonical: an access there faults, and costs nothing
  /// Linear addresses of the first and the second, for reads; the same for writes, of those that are modified already.
  struct Set { u64 line[2][2] = {{kNone, kNone}, {kNone, kNone}}; void state(Ar& a) { a(line); } };

 public:
  explicit RecentLines(u64 sets) : mask_(std::min<u64>(sets, kMost) - 1), places_(mask_ * sizeof(Set)) {}
  RecentLines(const RecentLines&) = delete;
  bool has(u64 la, unsigned size, bool write) const { return (la & 63) + size <= 64 && has(la, question(1, write)); }
  /// The same with what is known beforehand of accesses of up to kLine bytes. What is not aligned is said not to be here.
  struct Question { i8 within = 0; u8 kind = 0; };   ///< bits of the address that are compared; place of a set's half
  static constexpr unsigned kLine = 64;
  static Question question(unsigned size, bool write) { return {static_cast<i8>(~63 | static_cast<int>(std::bit_ceil(size) - 1)), static_cast<u8>(write ? sizeof(Set::line[0]) : 0)}; }
  bool has(u64 la, Question q) const {
    static_assert(sizeof(Set) == 32);
    const u64 line = la & static_cast<u64>(i64{q.within});
    const u64* l = reinterpret_cast<const u64*>(reinterpret_cast<const char*>(&sets_) + (la >> 1 & places_) + q.kind);
    return l[0] == line || l[1] == line;
  }
  /// What the cache has just done with the physical line.
  void follow(u64 line, CacheArray::Place p) {
    Set& s = sets_[line & mask_];
    const unsigned n = p == CacheArray::Place::second;
    if (n == 0 && p != CacheArray::Place::first)
      for (auto& l : s.line) l[1] = l[0];
    s.line[0][n] = s.line[1][n] = kNone;
    set_ = &s, place_ = n;
  }
  /// The line of the last `follow` is this one.
  void name(u64 la, bool write) {
    const u64 line = la & ~u64{63};
    set_->line[0][place_] = line, set_->line[1][place_] = write ? line : kNone;
  }
  void drop_set_of(u64 line) { sets_[line & mask_] = {}; }
  /// Those on pages of the same set of the TLB as this one (linear address >> shift): which of them goes next, only looking tells.
  void drop_set_of_page(u64 page, unsigned shift, u64 mask) {
    for (Set& s : sets_)
      for (auto& kind : s.line)
        for (u64& l : kind)
          if (((l >> shift ^ page) & mask) == 0) l = kNone;
  }
  void drop_all() { sets_.fill({}); }
  void state(Ar& a) { a(sets_); }

 private:
  std::array<Set, kMost> sets_{};
  Set* set_ = &sets_[0];
  unsigned place_ = 0;
  u64 mask_, places_;   ///< of a set's number; of where it is
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
  VT_INLINE void prefetch(u64 line) const { l2_.prefetch(line), last_.cache.prefetch(line); }   ///< of the host: L1 does not have the line
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
