// SPDX-License-Identifier: GPL-2.0-or-later
/// The unit's caches: fixed geometry, fully associative, replaced in the order of filling, so that hits leave no
/// trace. They are architectural: what software does not invalidate stays.   VT-d "Caching Translation Information"
#pragma once
#include <stdexcept>
#include <vector>

#include "base/archive.hpp"
#include "vtd/context.hpp"
#include "vtd/interrupt.hpp"

namespace vt::vtd {

/// The number of elements is the machine's, not the file's: another one is an input error, found before anything is read.
template <class E>
void fixed_size_state(Ar& ar, std::vector<E>& v, const char* otherwise) {
  u64 n = v.size();
  ar(n);
  if (n != v.size()) throw std::runtime_error(otherwise);
  for (E& e : v) ar(e);
}

/// E has `u8 valid` and `state(Ar&)`.
template <class E>
class FillOrder {
 public:
  explicit FillOrder(unsigned entries) : entries_(entries) {}
  template <class P> E* find(P&& is) {
    for (E& e : entries_) if (e.valid && is(e)) return &e;
    return nullptr;
  }
  void fill(const E& e) {
    entries_[next_] = e;
    entries_[next_].valid = 1;
    next_ = next_ + 1 == entries_.size() ? 0 : next_ + 1;
  }
  /// Returns how many were dropped.
  template <class P> u64 drop(P&& is) {
    u64 n = 0;
    for (E& e : entries_) if (e.valid && is(e)) e = E{}, ++n;
    return n;
  }
  u64 clear() { return drop([](const E&) { return true; }); }
  void reset() { for (E& e : entries_) e = E{}; next_ = 0; }
  const std::vector<E>& entries() const { return entries_; }
  void state(Ar& ar) {
    fixed_size_state(ar, entries_, "damaged state: a remapping cache of another size");
    ar(next_);
    if (next_ >= entries_.size()) throw std::runtime_error("damaged state: a remapping cache of another size");
  }

 private:
  std::vector<E> entries_;
  u32 next_ = 0;
};

/// A context entry as it was read. `reason` other than none: with CM set, what is not present or wrong is kept too.
struct CachedContext {
  u8 valid = 0, reason = 0;
  u16 source = 0;
  ContextEntry entry;
  /// "Caching Mode": what is cached of entries that are not present is tagged with domain 0.
  u16 tag() const { return reason ? 0 : entry.domain(); }
  void state(Ar& ar) { ar(valid, reason, source, entry.lo, entry.hi); }
};

/// A translation, tagged by domain: all devices of a domain use it, whatever tables their own entries name.
struct CachedTranslation {
  u8 valid = 0, reason = 0;
  u8 rights = 0, snp = 0;
  u16 domain = 0;
  u64 first = 0, size = 0, target = 0;
  bool covers(u64 at) const { return at >= first && at - first < size; }
  bool overlaps(u64 at, u64 n) const { return at <= first ? first - at < n : at - first < size; }
  void state(Ar& ar) { ar(valid, reason, rights, snp, domain, first, size, target); }
};

struct CachedIrte {
  u8 valid = 0, reason = 0;
  u16 index = 0;
  Irte entry;
  void state(Ar& ar) { ar(valid, reason, index, entry.lo, entry.hi); }
};

}  // namespace vt::vtd
