// SPDX-License-Identifier: GPL-2.0-or-later
/// Invalidation: the queue, and the register-based commands that do the same.
/// VT-d "Invalidation of Translation Caches", "Queued Invalidation Interface", "Register-based Invalidation Interface"
#include "vtd/queue.hpp"

#include "vtd/unit.hpp"

namespace vt::vtd {

/// Runs from IQH to IQT. An error leaves IQH at the descriptor and sets IQE; nothing goes on until software clears it.
void Unit::run_queue() {
  while (queue_enabled() && !(values_[r::FSTS] & fsts::IQE)) {
    u64 iqa = values_[r::IQA];
    u64 size = u64{4096} << bits(iqa, 2, 0);               // 2^(QS + 8) descriptors
    u64 head = values_[r::IQH], tail = values_[r::IQT];
    if (tail >= size || head >= size) return raise(fsts::IQE);
    if (head == tail) return;
    Hpa at = Hpa(iqa & kPageMask) + head;
    if (!readable(memory(), at)) return raise(fsts::IQE);
    Descriptor d{memory().peek64(at), memory().peek64(at + 8)};
    if (!acceptable(caps_, d)) return raise(fsts::IQE);
    values_[r::IQH] = head + 16 == size ? 0 : head + 16;
    execute(d);
  }
}

void Unit::execute(Descriptor d) {
  ++stats_.invalidations;
  emit(EventKind::vtd_invalidate, d.lo, d.hi);
  switch (static_cast<DescriptorType>(d.type())) {
    case DescriptorType::context_cache: return invalidate_contexts(d);
    case DescriptorType::iotlb: return invalidate_iotlb(d);
    case DescriptorType::interrupt_entry:
      if (!d.index_selective()) {
        irtes_.clear();
      } else {
        u32 n = u32{1} << d.index_mask();
        u32 first = d.index() & ~(n - 1);
        irtes_.drop([&](const CachedIrte& e) { return e.index >= first && e.index - first < n; });
      }
      return;
    case DescriptorType::wait:                               // all before it are done
      if (d.wait_status()) {
        u32 data = d.status_data();
        out_.memory().write(Hpa(d.status_address().v & (caps_.host_limit() - 1)), &data, 4, WriteCause::dma);   // bits above HAW are ignored
      }
      if (d.wait_interrupt() && !(values_[r::ICS] & 1)) {
        values_[r::ICS] |= 1;                                // IWC; one that is set already is no new condition
        condition(r::IECTL);
      }
      return;
    case DescriptorType::device_tlb: return;                 // never acceptable
  }
}

void Unit::invalidate_contexts(Descriptor d) {
  const u64 domain = d.domain() & caps_.domain_mask();
  switch (d.granularity()) {
    case Granularity::global: contexts_.clear(); break;
    case Granularity::domain: contexts_.drop([&](const CachedContext& e) { return e.tag() == domain; }); break;
    case Granularity::specific: {
      constexpr u16 kMasked[4] = {0, 4, 6, 7};               // FM: function bits that are not compared
      u16 compared = static_cast<u16>(~kMasked[d.function_mask()]);
      contexts_.drop([&](const CachedContext& e) { return e.tag() == domain && ((e.source ^ d.source()) & compared) == 0; });
      break;
    }
    case Granularity::reserved: break;
  }
}

void Unit::invalidate_iotlb(Descriptor d) {
  const u64 domain = d.domain() & caps_.domain_mask();
  switch (d.granularity()) {
    case Granularity::global: iotlb_.clear(); break;
    case Granularity::specific: {                            // with PSI: acceptable() and iotlb_command() see to it
      u64 n = kPageSize << d.address_mask();
      u64 first = d.address() & mask(caps_.mgaw - 1, 0) & ~(n - 1);
      iotlb_.drop([&](const CachedTranslation& e) { return e.domain == domain && e.overlaps(first, n); });
      break;
    }
    case Granularity::domain: iotlb_.drop([&](const CachedTranslation& e) { return e.domain == domain; }); break;
    case Granularity::reserved: break;
  }
}

/// VT-d "Context Command Register". CAIG 0 tells that the request was wrong and ignored: a reserved granularity, or the queue is on.
void Unit::context_command() {
  u64& v = values_[r::CCMD];
  if (!bit(v, 63)) return;
  auto g = static_cast<Granularity>(bits(v, 62, 61));
  if (queue_enabled()) g = Granularity::reserved;
  if (g != Granularity::reserved)
    execute(descriptor::context_cache(g, static_cast<u16>(v), static_cast<u16>(bits(v, 31, 16)), static_cast<unsigned>(bits(v, 33, 32))));
  v = set_bits(v, 60, 59, static_cast<u8>(g)) & ~(u64{1} << 63);
}

/// VT-d "IOTLB Invalidate Register", "Invalidate Address Register".
void Unit::iotlb_command() {
  u64& v = values_[r::IOTLB];
  if (!bit(v, 63)) return;
  auto g = static_cast<Granularity>(bits(v, 61, 60));
  u64 iva = values_[r::IVA];
  unsigned am = static_cast<unsigned>(bits(iva, 5, 0));
  if (g == Granularity::specific && !caps_.page_selective) g = Granularity::domain;
  if (queue_enabled() || (g == Granularity::specific && am > caps_.max_address_mask)) g = Granularity::reserved;
  if (g != Granularity::reserved) {
    u16 domain = static_cast<u16>(bits(v, 47, 32));
    execute(g == Granularity::specific ? descriptor::iotlb(g, domain, iva, am, bit(iva, 6)) : descriptor::iotlb(g, domain));
  }
  v = set_bits(v, 58, 57, static_cast<u8>(g)) & ~(u64{1} << 63);
}

}  // namespace vt::vtd
