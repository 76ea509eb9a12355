// SPDX-License-Identifier: GPL-2.0-or-later
/// L1I, L1D and L2 of one processor, the LLC of all, and what lies behind it. Write-back, write-allocate, least recently used; lines of 64 bytes. Tags
/// only: data are in memory. There is no prefetcher, and no coherence traffic: what another processor or a device writes stays where it was cached.
#pragma once
#include "base/timing.hpp"
#include "base/bits.hpp"
#include "cpu/timing/lru.hpp"

namespace vt::cpu {

enum class MemLevel : u8 { l1, l2, llc, dram };

class CacheArray {
 public:
  CacheArray() = default;
  explicit CacheArray(const timing::Cache& c) : sets_(static_cast<unsigned>(c.size / 64 / c.ways), c.ways), latency_(c.latency) {}
  unsigned latency() const { return latency_; }
  /// Is the line there? It is the one used last then.
  bool hit(u64 line, bool write) {
    u64* k = sets_.use(sets_.set_of(line), [line](u64 key) { return key >> 2 == line && (key & 1); });
    if (k && write) *k |= 2;
    return k != nullptr;
  }
  /// The line comes in. Returns the modified line that goes for it, or kNone.
  u64 fill(u64 line, bool write) {
    const u64 gone = sets_.insert(sets_.set_of(line), line << 2 | 1 | (write ? 2 : 0));
    return (gone & 3) == 3 ? gone >> 2 : kNone;
  }
  void drop(u64 line) { sets_.drop_if(sets_.set_of(line), [line](u64 key) { return key >> 2 == line && (key & 1); }); }
  void drop_all() { sets_.drop_if([](u64) { return true; }); }
  static constexpr u64 kNone = ~u64{0};
  void state(Ar& a) { a(sets_); }

 private:
  LruSets<u64> sets_;   ///< line << 2 | modified << 1 | valid
  unsigned latency_ = 0;
};

/// Shared by processors, page walks and devices.
struct LastLevel {
  explicit LastLevel(const timing::Profile& p) : cache(p.llc), dram(p.dram) {}
  CacheArray cache;
  unsigned dram;
  /// Latency of a line from here.
  unsigned access(u64 line, bool write, MemLevel& from) {
    if (cache.hit(line, write)) { from = MemLevel::llc; return cache.latency(); }
    cache.fill(line, write);   // what is modified goes to memory, and nobody waits
    from = MemLevel::dram;
    return dram;
  }
  void written_back(u64 line) { if (!cache.hit(line, true)) cache.fill(line, true); }
  void state(Ar& a) { a(cache); }
};

class Caches {
 public:
  Caches(const timing::Profile& p, LastLevel& last) : l1i_(p.l1i), l1d_(p.l1d), l2_(p.l2), last_(last) {}
  /// Latency from issue to use, and where the line was found.
  unsigned data(u64 line, bool write, MemLevel& from) {
    if (VT_LIKELY(l1d_.hit(line, write))) { from = MemLevel::l1; return l1d_.latency(); }
    return beyond(l1d_, line, write, from);
  }
  unsigned fetch(u64 line, MemLevel& from) {
    if (VT_LIKELY(l1i_.hit(line, false))) { from = MemLevel::l1; return l1i_.latency(); }
    return beyond(l1i_, line, false, from);
  }
  void flush(u64 line);        ///< CLFLUSH
  void flush_all();            ///< WBINVD
  void state(Ar& a) { a(l1i_, l1d_, l2_); }

 private:
  unsigned beyond(CacheArray& first, u64 line, bool write, MemLevel& from);
  CacheArray l1i_, l1d_, l2_;
  LastLevel& last_;
};

}  // namespace vt::cpu
