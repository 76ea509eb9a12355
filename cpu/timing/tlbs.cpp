// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/tlbs.hpp"

namespace vt::cpu {
namespace {

LruSets<TlbKey> shaped(const timing::TlbShape& s) { return s.entries ? LruSets<TlbKey>(s.entries / s.ways, s.ways) : LruSets<TlbKey>(); }
LruSets<TlbKey> full(unsigned entries) { return entries ? LruSets<TlbKey>(1, entries) : LruSets<TlbKey>(); }

bool use(LruSets<TlbKey>& t, u64 page, const TlbContext& c) {
  return !t.none() && t.use(t.set_of(page), [&](const TlbKey& k) { return k.is(page, c); });
}
TlbKey enter(LruSets<TlbKey>& t, const TlbKey& k) { return t.none() ? TlbKey{} : t.insert(t.set_of(k.page), k); }

}  // namespace

TimingTlbs::TimingTlbs(const timing::Profile& p)
    : itlb_4k_(shaped(p.itlb_4k)), itlb_2m_(shaped(p.itlb_2m)), dtlb_4k_(shaped(p.dtlb_4k)), dtlb_2m_(shaped(p.dtlb_2m)), dtlb_1g_(shaped(p.dtlb_1g)),
      stlb_(shaped(p.stlb)), stlb_1g_(shaped(p.stlb_1g)), structures_{full(p.pde_entries), full(p.pdpt_entries), full(p.pml4_entries)},
      nested_(full(p.nested_entries)) {}

void TimingTlbs::enter_first(const TlbKey& k, unsigned shift, bool fetch) {
  // Without an array for 1 GiB pages they go where those of 2 MiB do.
  LruSets<TlbKey>& t = fetch ? (shift == 12 ? itlb_4k_ : itlb_2m_) : shift == 12 ? dtlb_4k_ : shift == 30 && !dtlb_1g_.none() ? dtlb_1g_ : dtlb_2m_;
  const TlbKey gone = enter(t, k);
  if (!gone.page) return;
  const Displaced& d = displaced_ = {gone.page & ~(u64{63} << 58), t.sets() - 1, static_cast<unsigned>(gone.page >> 58)};
  if (fetch) return;
  for (u64& r : recent_) r = r && (((r - 1) >> (d.shift - kPageShift) ^ d.page) & d.mask) == 0 ? 0 : r;
}

TimingTlbs::Hit TimingTlbs::find(const TlbContext& c, u64 la, bool fetch) {
  const Hit hit = look(c, la, fetch);
  if (!fetch) recent_[recent_slot(la)] = (la >> kPageShift) + 1;   // or will be, when the walk is done
  return hit;
}

TimingTlbs::Hit TimingTlbs::look(const TlbContext& c, u64 la, bool fetch) {
  const u64 small = key(la, 12), large = key(la, 21), huge = key(la, 30);
  if (use(fetch ? itlb_4k_ : dtlb_4k_, small, c) || use(fetch ? itlb_2m_ : dtlb_2m_, large, c)) return Hit::first;
  if (use(fetch ? itlb_2m_ : dtlb_1g_.none() ? dtlb_2m_ : dtlb_1g_, huge, c)) return Hit::first;
  const auto second = [&](LruSets<TlbKey>& t, u64 page, unsigned shift) {
    if (t.none()) return false;
    const TlbKey* k = t.use(t.set_of(page), [&](const TlbKey& x) { return x.is(page, c); });
    if (k) enter_first(*k, shift, fetch);
    return k != nullptr;
  };
  if (second(stlb_, small, 12) || second(stlb_, large, 21) || second(stlb_1g_.none() ? stlb_ : stlb_1g_, huge, 30)) return Hit::second;
  return Hit::none;
}

void TimingTlbs::fill(const TlbContext& c, u64 la, unsigned shift, bool global, bool fetch) {
  const TlbKey k{key(la, shift), c.eptp, c.vpid, c.pcid, global};
  enter(shift == 30 && !stlb_1g_.none() ? stlb_1g_ : stlb_, k);
  enter_first(k, shift, fetch);
}

bool TimingTlbs::structure(const TlbContext& c, u64 la, unsigned level) { return use(structures_[level - 2], key(la, 12 + 9 * (level - 1)), c); }
void TimingTlbs::fill_structure(const TlbContext& c, u64 la, unsigned level) {
  LruSets<TlbKey>& t = structures_[level - 2];
  const u64 page = key(la, 12 + 9 * (level - 1));
  if (!t.none() && !use(t, page, c)) enter(t, {page, c.eptp, c.vpid, c.pcid, 0});
}

bool TimingTlbs::nested(u64 eptp, u64 gpa) { return use(nested_, key(gpa, 12), {eptp, 0, 0}); }
void TimingTlbs::fill_nested(u64 eptp, u64 gpa) { enter(nested_, {key(gpa, 12), eptp, 0, 0, 0}); }

template <class P>
void TimingTlbs::drop_if(P p) {
  const auto is = [&](const TlbKey& k) { return k.page && p(k); };
  for (auto* t : {&itlb_4k_, &itlb_2m_, &dtlb_4k_, &dtlb_2m_, &dtlb_1g_, &stlb_, &stlb_1g_}) t->drop_if(is);
}

/// SDM 3A "Operations that Invalidate TLBs and Paging-Structure Caches", SDM 3C "Operations that Invalidate Cached Mappings". Guest-physical mappings go
/// by INVEPT alone.
void TimingTlbs::flushed(const TlbFlush& f) {
  using enum TlbFlush::Kind;
  forget_recent();
  const TlbContext& c = f.context;
  const auto page_of = [&](const TlbKey& k) { return k.page == key(f.la, static_cast<unsigned>(k.page >> 58)); };
  const auto structures = [&](auto p) { for (auto& t : structures_) t.drop_if([&](const TlbKey& k) { return k.page && p(k); }); };
  switch (f.kind) {
    case pcid:
      drop_if([&](const TlbKey& k) { return k.vpid == c.vpid && (k.global ? !f.keep_global : k.pcid == c.pcid); });
      return structures([&](const TlbKey& k) { return k.vpid == c.vpid && k.pcid == c.pcid; });
    case vpid:
      drop_if([&](const TlbKey& k) { return k.vpid == c.vpid && !(f.keep_global && k.global); });
      return structures([&](const TlbKey& k) { return k.vpid == c.vpid; });
    case page:   // INVLPG: the page, and all paging-structure caches of the PCID
      drop_if([&](const TlbKey& k) { return k.vpid == c.vpid && (k.pcid == c.pcid || k.global) && page_of(k); });
      return structures([&](const TlbKey& k) { return k.vpid == c.vpid && k.pcid == c.pcid; });
    case page_vpid:
      drop_if([&](const TlbKey& k) { return k.vpid == c.vpid && page_of(k); });
      return structures([&](const TlbKey& k) { return k.vpid == c.vpid; });
    case eptp: {
      const auto of_root = [&](const TlbKey& k) { return k.eptp && k.eptp == c.eptp; };
      drop_if(of_root);
      nested_.drop_if(of_root);
      return structures(of_root);
    }
    case all:
      drop_if([](const TlbKey&) { return true; });
      nested_.drop_if([](const TlbKey&) { return true; });
      return structures([](const TlbKey&) { return true; });
    case nonzero_vpids:
      drop_if([](const TlbKey& k) { return k.vpid != 0; });
      return structures([](const TlbKey& k) { return k.vpid != 0; });
    case ept_tagged:
      drop_if([](const TlbKey& k) { return k.eptp != 0; });
      nested_.drop_if([](const TlbKey& k) { return k.eptp != 0; });
      return structures([](const TlbKey& k) { return k.eptp != 0; });
  }
}

void TimingTlbs::state(Ar& a) {
  a(itlb_4k_, itlb_2m_, dtlb_4k_, dtlb_2m_, dtlb_1g_, stlb_, stlb_1g_, structures_, nested_, recent_);
}

}  // namespace vt::cpu
