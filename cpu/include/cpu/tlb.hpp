// SPDX-License-Identifier: GPL-2.0-or-later
/// The architectural TLB: fixed geometry, replacement by fill order (hits leave no trace), tagged with
/// EPTP, VPID and PCID; global bits; page sizes. Saved and hashed. It keeps what the manual lets hardware
/// keep and drops what it says is dropped, so that a missing invalidation shows as on silicon.
/// SDM 3A "Caching Translation Information", SDM 3C "VMX Support for Address Translation"
#pragma once
#include <array>
#include <vector>

#include "base/archive.hpp"
#include "base/bits.hpp"

namespace vt::cpu {

struct TlbEntry {
  u64 page = 0;          ///< linear page number in units of its own size (la >> shift)
  u64 target = 0;        ///< physical address of the page
  u64 eptp = 0;          ///< EPT root address (EPTP bits 51:12), 0: no EPT
  u16 vpid = 0, pcid = 0;
  u8 shift = 0;          ///< 12, 21, 30; 0: empty. Under EPT the smaller of the two levels' sizes
  u8 flags = 0;          ///< kWritable ...
  u8 type = 6;           ///< effective memory type
  void state(Ar& a) { a(page, target, eptp, vpid, pcid, shift, flags, type); }
};
namespace tlb_flag {
inline constexpr u8 writable = 1, user = 2, global = 4, no_execute = 8, dirty = 0x10, ept_writable = 0x20, ept_executable = 0x40, ept_readable = 0x80;
}

struct TlbContext { u64 eptp; u16 vpid, pcid; };

/// What was thrown out by a fill or an invalidation, so that derived caches can follow.
class TlbObserver {
 public:
  virtual ~TlbObserver() = default;
  virtual void dropped(u64 la, u64 size) = 0;  ///< one page
  virtual void dropped_all() = 0;              ///< any number of pages: forget everything derived
};

/// An operation that invalidates, as it was asked for: whoever models more of the hardware's caches follows.
struct TlbFlush {
  enum class Kind : u8 { pcid, vpid, page, page_vpid, eptp, all, nonzero_vpids, ept_tagged } kind;
  TlbContext context{};   ///< pcid, page: of the address space; vpid, page_vpid: its vpid; eptp: its eptp
  u64 la = 0;
  bool keep_global = false;
};
class TlbFlushListener {
 public:
  virtual ~TlbFlushListener() = default;
  virtual void flushed(const TlbFlush& f) = 0;
};

class Tlb {
 public:
  static constexpr unsigned kSets4k = 256, kSetsLarge = 16, kWays = 8;  ///< 2048 4 KiB entries, 128 large ones
  void observe(TlbObserver* o) { observer_ = o; }
  void tell_flushes(TlbFlushListener* l) { listener_ = l; }
  /// Null: a miss. Never changes state. Global entries match any PCID of their VPID (and EPTP).
  const TlbEntry* find(const TlbContext& c, u64 la) const;
  /// Sets the dirty flag of the entry that `find` gives (the walker has set D in memory).
  void set_dirty(const TlbContext& c, u64 la);
  /// Replaces an entry of the same page and context, or the oldest of the set. `step`: whose attempt it is.
  void fill(const TlbEntry& e, u64 step = kSettled);
  /// An instruction that is going to be done again alone leaves no trace of its first attempt: whether there is one depends on what
  /// happens to be decoded. Takes back what was filled by the attempt of this step since `settle`.
  void undo(u64 step);
  void settle() { journal_.clear(); }  ///< what was filled stays: an iteration is complete
  static constexpr u64 kSettled = ~u64{0};
  // SDM 3A "Operations that Invalidate TLBs and Paging-Structure Caches"
  void flush_pcid(const TlbContext& c, bool keep_global);      ///< MOV CR3, INVPCID 1
  void flush_vpid(u16 vpid, bool keep_global);                 ///< MOV CR4, INVPCID 2/3, INVVPID 1/3; VM transitions without VPID use 0
  void flush_page(const TlbContext& c, u64 la);                ///< INVLPG, #PF: this PCID and globals
  void flush_page_vpid(u16 vpid, u64 la);                      ///< INVVPID 0: all PCIDs
  void flush_eptp(u64 root);                                   ///< INVEPT 1: EPTP bits 51:12
  void flush_all();                                            ///< INVEPT 2, INVVPID 2 (vpid != 0 only: flush_nonzero_vpids), reset
  void flush_nonzero_vpids();
  void flush_ept_tagged();                                     ///< all entries with eptp != 0
  void state(Ar& a);
  template <class F> void for_each(F f) const {
    for (auto& s : small_) for (auto& e : s.way) if (e.shift) f(e);
    for (auto& s : large_) for (auto& e : s.way) if (e.shift) f(e);
  }

 private:
  struct Set {
    std::array<TlbEntry, kWays> way;
    u8 oldest = 0;
    void state(Ar& a) { a(way, oldest); }
  };
  std::array<Set, kSets4k> small_;
  std::array<Set, kSetsLarge> large_;  ///< 2 MiB and 1 GiB (and 4 MiB as two 2 MiB fills)
  u64 used_small_[kSets4k / 64] = {}, used_large_ = 0;  ///< sets that may hold entries (derived)
  TlbObserver* observer_ = nullptr;
  TlbFlushListener* listener_ = nullptr;
  void tell(const TlbFlush& f) { if (listener_) listener_->flushed(f); }
  struct Before { TlbEntry* at; TlbEntry entry; Set* set; u8 oldest; };
  std::vector<Before> journal_;  ///< of `journal_step_`
  u64 journal_step_ = kSettled;
  template <class P> void drop_if(P p);
  template <class P> void drop_page(P p, u64 la);
};

}  // namespace vt::cpu
