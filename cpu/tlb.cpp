// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/tlb.hpp"

namespace vt::cpu {

namespace {

constexpr unsigned kLargeShifts[] = {21, 30};

bool matches(const TlbEntry& e, const TlbContext& c, u64 la) {
  return e.shift && e.page == la >> e.shift && e.vpid == c.vpid && e.eptp == c.eptp && (e.pcid == c.pcid || (e.flags & tlb_flag::global));
}

}  // namespace

const TlbEntry* Tlb::find(const TlbContext& c, u64 la) const {
  for (const TlbEntry& e : small_[(la >> 12) % kSets4k].way)
    if (matches(e, c, la)) return &e;
  if (!used_large_) return nullptr;
  for (unsigned shift : kLargeShifts) {
    const unsigned set = (la >> shift) % kSetsLarge;
    if (!(used_large_ >> set & 1)) continue;
    for (const TlbEntry& e : large_[set].way)
      if (e.shift == shift && matches(e, c, la)) return &e;
  }
  return nullptr;
}

void Tlb::set_dirty(const TlbContext& c, u64 la) {
  if (const TlbEntry* e = find(c, la)) const_cast<TlbEntry*>(e)->flags |= tlb_flag::dirty;
}

void Tlb::fill(const TlbEntry& e, u64 step) {
  if (step != journal_step_ || step == kSettled) {
    journal_.clear();
    journal_step_ = step;
  }
  const bool small = e.shift == 12;
  const unsigned index = static_cast<unsigned>(e.page % (small ? kSets4k : kSetsLarge));
  Set& set = small ? small_[index] : large_[index];
  if (small) used_small_[index / 64] |= u64{1} << index % 64;
  else used_large_ |= u64{1} << index;
  // The same page again (a right was gained, D was set): one entry per page and context.
  TlbEntry* to = nullptr;
  const u8 oldest = set.oldest;
  bool hidden = false;  // another entry has spoken for a part of this page until now
  for (TlbEntry& w : set.way)
    if (w.shift == e.shift && w.page == e.page && w.vpid == e.vpid && w.eptp == e.eptp && (w.pcid == e.pcid || ((w.flags | e.flags) & tlb_flag::global))) {
      if (!to) { to = &w; continue; }
      if (step != kSettled) journal_.push_back({&w, w, &set, oldest});
      w = {};
      hidden = true;
    }
  if (used_large_ && e.shift < 30) {
    for (unsigned shift : kLargeShifts)
      if (shift > e.shift)
        for (const TlbEntry& w : large_[(e.page << e.shift >> shift) % kSetsLarge].way)
          hidden |= w.shift == shift && w.page == e.page << e.shift >> shift && w.vpid == e.vpid && w.eptp == e.eptp;
  }
  if (!to)
    for (TlbEntry& w : set.way)
      if (!w.shift) { to = &w; break; }
  if (!to) {
    to = &set.way[set.oldest];
    set.oldest = static_cast<u8>((set.oldest + 1) % kWays);
  }
  const TlbEntry old = *to;
  if (step != kSettled) journal_.push_back({to, old, &set, oldest});
  *to = e;
  if (hidden && observer_) observer_->dropped(e.page << e.shift, u64{1} << e.shift);
  // Host pointers made from an entry stay good when the new one says the same and more.
  if (old.shift && observer_ && !(old.page == e.page && old.shift == e.shift && old.target == e.target && (old.flags & ~e.flags & ~tlb_flag::no_execute) == 0 &&
                                  (e.flags & ~old.flags & tlb_flag::no_execute) == 0 && old.pcid == e.pcid && old.vpid == e.vpid && old.eptp == e.eptp))
    observer_->dropped(old.page << old.shift, u64{1} << old.shift);
}

void Tlb::undo(u64 step) {
  if (step != journal_step_) return;
  while (!journal_.empty()) {
    const Before b = journal_.back();
    journal_.pop_back();
    const TlbEntry made = *b.at;
    *b.at = b.entry;
    b.set->oldest = b.oldest;
    if (made.shift && observer_) observer_->dropped(made.page << made.shift, u64{1} << made.shift);
  }
}

template <class P>
void Tlb::drop_if(P p) {
  settle();
  bool any = false;
  for (unsigned word = 0; word < kSets4k / 64; ++word)
    for (u64 left = used_small_[word]; left; left &= left - 1) {
      const unsigned b = static_cast<unsigned>(std::countr_zero(left));
      bool kept = false;
      for (TlbEntry& e : small_[word * 64 + b].way) {
        if (!e.shift) continue;
        if (p(e)) { e = {}; any = true; } else kept = true;
      }
      if (!kept) used_small_[word] &= ~(u64{1} << b);
    }
  for (u64 left = used_large_; left; left &= left - 1) {
    const unsigned b = static_cast<unsigned>(std::countr_zero(left));
    bool kept = false;
    for (TlbEntry& e : large_[b].way) {
      if (!e.shift) continue;
      if (p(e)) { e = {}; any = true; } else kept = true;
    }
    if (!kept) used_large_ &= ~(u64{1} << b);
  }
  if (any && observer_) observer_->dropped_all();
}

// SDM 3A "Operations that Invalidate TLBs and Paging-Structure Caches". What is associated with a PCID is dropped for every
// EPTP: the operations name VPID and PCID only (SDM 3C "Operations that Invalidate Cached Mappings").
void Tlb::flush_pcid(const TlbContext& c, bool keep_global) {
  tell({.kind = TlbFlush::Kind::pcid, .context = c, .keep_global = keep_global});
  drop_if([&](const TlbEntry& e) { return e.vpid == c.vpid && ((e.flags & tlb_flag::global) ? !keep_global : e.pcid == c.pcid); });
}

void Tlb::flush_vpid(u16 vpid, bool keep_global) {
  tell({.kind = TlbFlush::Kind::vpid, .context = {.eptp = 0, .vpid = vpid, .pcid = 0}, .keep_global = keep_global});
  drop_if([&](const TlbEntry& e) { return e.vpid == vpid && !(keep_global && (e.flags & tlb_flag::global)); });
}

void Tlb::flush_page(const TlbContext& c, u64 la) {
  tell({.kind = TlbFlush::Kind::page, .context = c, .la = la});
  drop_page([&](const TlbEntry& e) { return e.vpid == c.vpid && (e.pcid == c.pcid || (e.flags & tlb_flag::global)); }, la);
}

void Tlb::flush_page_vpid(u16 vpid, u64 la) {
  tell({.kind = TlbFlush::Kind::page_vpid, .context = {.eptp = 0, .vpid = vpid, .pcid = 0}, .la = la});
  drop_page([&](const TlbEntry& e) { return e.vpid == vpid; }, la);
}

template <class P>
void Tlb::drop_page(P p, u64 la) {
  settle();
  auto sweep = [&](Set& set) {
    for (TlbEntry& e : set.way)
      if (e.shift && e.page == la >> e.shift && p(e)) {
        const u64 page = e.page << e.shift, size = u64{1} << e.shift;
        e = {};
        if (observer_) observer_->dropped(page, size);
      }
  };
  sweep(small_[(la >> 12) % kSets4k]);
  if (used_large_)
    for (unsigned shift : kLargeShifts) sweep(large_[(la >> shift) % kSetsLarge]);
}

void Tlb::flush_eptp(u64 root) {
  tell({.kind = TlbFlush::Kind::eptp, .context = {.eptp = root, .vpid = 0, .pcid = 0}});
  drop_if([&](const TlbEntry& e) { return e.eptp == root && e.eptp != 0; });
}
void Tlb::flush_all() {
  tell({.kind = TlbFlush::Kind::all});
  drop_if([](const TlbEntry&) { return true; });
}
void Tlb::flush_nonzero_vpids() {
  tell({.kind = TlbFlush::Kind::nonzero_vpids});
  drop_if([](const TlbEntry& e) { return e.vpid != 0; });
}
void Tlb::flush_ept_tagged() {
  tell({.kind = TlbFlush::Kind::ept_tagged});
  drop_if([](const TlbEntry& e) { return e.eptp != 0; });
}

void Tlb::state(Ar& a) {
  a(small_, large_);
  if (!a.loading()) return;
  settle();
  for (u64& w : used_small_) w = ~u64{0};
  used_large_ = (u64{1} << kSetsLarge) - 1;
  if (observer_) observer_->dropped_all();
}

}  // namespace vt::cpu
