// SPDX-License-Identifier: GPL-2.0-or-later
/// What the timing models say about translations: which TLB has them, which entries of the tables a walk reads. Beside the architectural TLB (cpu/tlb.hpp),
/// which decides what translation holds; these decide what it costs. Tagged and dropped by the same rules.
/// SDM 3A "Caching Translation Information", SDM 3C "Caching Translation Information" of VMX
#pragma once
#include <array>
#include <utility>

#include "base/timing.hpp"
#include "cpu/timing/lru.hpp"
#include "cpu/tlb.hpp"

namespace vt::cpu {

/// A linear page, or the part of the linear address that a paging-structure entry serves; or a guest-physical page (vpid and pcid 0).
struct TlbKey {
  u64 page = 0;          ///< address >> shift, shift in bits 63:58; 0: empty
  u64 eptp = 0;
  u16 vpid = 0, pcid = 0;
  u32 global = 0;
  bool is(u64 p, const TlbContext& c) const { return page == p && eptp == c.eptp && vpid == c.vpid && (pcid == c.pcid || global); }
  void state(Ar& a) { a(page, eptp, vpid, pcid, global); }
};

class TimingTlbs {
 public:
  explicit TimingTlbs(const timing::Profile& p);
  enum class Hit : u8 { first, second, none };
  /// Looks a page up; a hit in the second level is entered in the first.
  Hit find(const TlbContext& c, u64 la, bool fetch);
  /// After a walk.
  void fill(const TlbContext& c, u64 la, unsigned shift, bool global, bool fetch);

  /// Paging-structure caches, by the level of the entry that they hold: 4, 3, 2 (PML4E, PDPTE, PDE).
  bool structure(const TlbContext& c, u64 la, unsigned level);
  void fill_structure(const TlbContext& c, u64 la, unsigned level);
  /// Guest-physical mappings of 4 KiB each.
  bool nested(u64 eptp, u64 gpa);
  void fill_nested(u64 eptp, u64 gpa);

  void flushed(const TlbFlush& f);   ///< drops what the operation names
  /// A page that has just made room for another one in the first level: linear address >> shift, and which of its bits name the set; shift 0: none has.
  struct Displaced { u64 page = 0, mask = 0; unsigned shift = 0; };
  Displaced displaced() { return std::exchange(displaced_, Displaced{}); }
  /// Pages of data used last, in the running address space: in the first level without a look, which leaves the order of use alone.
  bool recent(u64 la) const { return recent_[recent_slot(la)] == (la >> kPageShift) + 1; }
  void forget_recent() { recent_ = {}; }   ///< another address space runs
  void state(Ar& a);

 private:
  static u64 key(u64 la, unsigned shift) { return (la >> shift & ~(u64{63} << 58)) | u64{shift} << 58; }
  template <class P> void drop_if(P p);
  Hit look(const TlbContext& c, u64 la, bool fetch);
  void enter_first(const TlbKey& k, unsigned shift, bool fetch);
  LruSets<TlbKey> itlb_4k_, itlb_2m_, dtlb_4k_, dtlb_2m_, dtlb_1g_, stlb_, stlb_1g_, structures_[3], nested_;
  static constexpr unsigned kRecent = 64;
  /// Pages a power of two apart are often used in turn.
  static unsigned recent_slot(u64 la) { return static_cast<unsigned>(la >> 12 ^ la >> 18 ^ la >> 24) & (kRecent - 1); }
  std::array<u64, kRecent> recent_{};   ///< page + 1; 0: none
  Displaced displaced_;   ///< not state: between two calls
};

}  // namespace vt::cpu
