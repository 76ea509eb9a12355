// SPDX-License-Identifier: GPL-2.0-or-later
/// DMA requests.   VT-d "DMA Remapping", "Caching Mode", "Protected Memory Enable Register"
#include <algorithm>

#include "vtd/unit.hpp"

namespace vt::vtd {

/// From the context cache, or read (and kept, unless it is refused and CM is clear).
CachedContext Unit::context_of(Bdf source, Touched* touched) {
  if (const CachedContext* c = contexts_.find([&](const CachedContext& e) { return e.source == source.v; })) {
    ++stats_.context_hits;
    if (touched) touched->context = Lookup::hit;
    if (out_.events()) {
      ContextLookup now = lookup(memory(), caps_, Hpa(root_), source);
      if (now.fault_reason != c->reason || now.context != c->entry) {
        ++stats_.stale_uses;
        Event e;
        e.kind = EventKind::stale_translation;
        e.step = out_.step();
        e.a = source.v, e.b = now.read_root ? now.context_at.v : now.root_at.v;
        out_.events()->on(e);
      }
    }
    return *c;
  }
  ++stats_.context_misses;
  ContextLookup l = lookup(memory(), caps_, Hpa(root_), source);
  if (touched) {
    touched->context = Lookup::miss;
    if (l.read_root) touched->read(l.root_at, touched->context_reads);
    if (l.read_context) touched->read(l.context_at, touched->context_reads);
  }
  CachedContext c;
  c.reason = l.fault_reason;
  c.source = source.v;
  c.entry = l.context;
  if (l.ok() || caps_.caching_mode) contexts_.fill(c);
  return c;
}

/// VT-d "Protected Low-Memory Base Register" and its three fellows: limits are those of the last 2 MiB block, inclusive.
bool Unit::in_protected_region(u64 at) const {
  if (!(values_[r::PMEN] & 1)) return false;
  constexpr u64 kBlock = mask(20, 0);
  auto inside = [at](u64 base, u64 limit) { return at >= base && at <= (limit | kBlock); };
  return (caps_.plmr && inside(values_[r::PLMBASE], values_[r::PLMLIMIT])) || (caps_.phmr && inside(values_[r::PHMBASE], values_[r::PHMLIMIT]));
}

/// Tells those who watch that a kept translation is no longer what the tables say. Changes nothing.
void Unit::watch_translation(const CachedTranslation& e, const ContextEntry& context, Iova at) {
  if (!out_.events()) return;
  Walk w = walk(memory(), caps_, context.second_level_root(), context.levels(), at, Access(e.rights));
  u8 reason = fault_reason(w.why, access::read);
  bool same = e.reason ? reason == e.reason : w.found_leaf() && w.access.v == e.rights && w.target.v == e.target + (at.v - e.first);
  if (same) return;
  ++stats_.stale_uses;
  Event event;
  event.kind = EventKind::stale_translation;
  event.step = out_.step();
  event.a = at.v, event.b = w.last_entry().v;
  out_.events()->on(event);
}

Unit::Translation Unit::translate(Bdf source, Iova at, Access want) {
  if (!listener_) return translate(source, at, want, nullptr);
  Touched touched;
  touched.source = source;
  const Translation t = translate(source, at, want, &touched);
  listener_->request(touched);
  return t;
}

Unit::Translation Unit::translate(Bdf source, Iova at, Access want, Touched* touched) {
  Translation t;
  ++stats_.requests;
  // VT-d "Handling Requests to Interrupt Address Range": never remapped, never a fault; the requester gets an unsupported request.
  if (in_interrupt_range(at.v)) return ++stats_.refused, t;
  auto identity = [&] {
    // Regions are protected from what is not translated; their violations are not recorded.
    if (in_protected_region(at.v)) return ++stats_.refused, t;
    t.ok = true;
    t.at = Hpa(at.v);
    t.bytes_left = kPageSize - (at.v & (kPageSize - 1));
    return t;
  };
  if (!translation_enabled()) return identity();

  bool read = want != access::write;
  CachedContext c = context_of(source, touched);
  auto refuse = [&](u8 reason) {
    record(source, at.v & kPageMask, reason, read, c.entry.fault_processing_disable());
    t.fault_reason = reason;
    return t;
  };
  if (c.reason) return refuse(c.reason);
  if (at.v >= width_limit(caps_, c.entry.levels())) return refuse(fault::beyond_width);
  if (c.entry.type() == TranslationType::pass_through) {          // "Pass-through Translation": the output must be an address that the host has
    if (at.v >= caps_.host_limit()) return refuse(fault::beyond_width);
    return identity();
  }

  u16 domain = c.entry.domain();
  const CachedTranslation* e = iotlb_.find([&](const CachedTranslation& x) { return x.domain == domain && x.covers(at.v); });
  CachedTranslation fresh;
  if (e) {
    ++stats_.iotlb_hits;
    if (touched) touched->iotlb = Lookup::hit;
    t.from_iotlb = true;
    watch_translation(*e, c.entry, at);
  } else {
    ++stats_.iotlb_misses;
    Walk w = walk(memory(), caps_, c.entry.second_level_root(), c.entry.levels(), at, want);
    if (touched) {
      touched->iotlb = Lookup::miss;
      for (unsigned n = 0; n < w.n; ++n) touched->read(w.step[n].at, touched->table_reads);
    }
    // Reason 3, which is the context entry's: nor is that one kept.
    if (w.why == Why::root_unreadable && !caps_.caching_mode) contexts_.drop([&](const CachedContext& x) { return x.source == source.v; });
    bool leaf = w.why == Why::ok || w.why == Why::denied;
    fresh.domain = domain;
    fresh.size = leaf ? w.size : kPageSize;
    fresh.first = at.v & ~(fresh.size - 1);
    fresh.target = leaf ? w.target.v & ~(fresh.size - 1) : 0;
    fresh.rights = w.access.v;
    fresh.snp = w.snp;
    if (!leaf) fresh.rights = 0, fresh.reason = fault_reason(w.why, access::read);
    // "Details of IOTLB Use": with CM clear only successful walks are kept.
    if (w.why == Why::ok || caps_.caching_mode) iotlb_.fill(fresh);
    e = &fresh;
  }
  // What is not present reads or writes; which of the two reasons depends on this request, not on the one that filled the cache.
  if (e->reason && e->reason != fault::read_denied) return refuse(e->reason);
  Access has(e->rights);
  if (e->reason || !allowed(caps_, has, want)) return refuse(fault_reason(Why::denied, want, has));
  const u64 to = e->target + (at.v - e->first);
  if (in_interrupt_range(to)) return refuse(fault::output_in_interrupt_range);      // a part of a superpage
  t.ok = t.translated = true;
  t.at = Hpa(to);
  t.bytes_left = e->size - (at.v - e->first);
  for (u64 from : {at.v, to}) if (from < kInterruptRange) t.bytes_left = std::min(t.bytes_left, kInterruptRange - from);
  return t;
}

}  // namespace vt::vtd
