// SPDX-License-Identifier: GPL-2.0-or-later
/// Invalidation descriptors, 128 bits each.   VT-d "Queued Invalidation Interface"
#pragma once
#include "base/bits.hpp"
#include "vtd/caps.hpp"

namespace vt::vtd {

enum class DescriptorType : u8 { context_cache = 1, iotlb = 2, device_tlb = 3, interrupt_entry = 4, wait = 5 };

/// G of the context-cache and IOTLB descriptors, and CIRG/IIRG of the register-based commands.
enum class Granularity : u8 { reserved = 0, global = 1, domain = 2, specific = 3 };

struct Descriptor {
  u64 lo = 0, hi = 0;
  /// Bits 11:9 extend the type in later versions; here they are reserved and make it an unknown one.
  constexpr unsigned type() const { return static_cast<unsigned>(bits(lo, 3, 0)); }
  constexpr Granularity granularity() const { return static_cast<Granularity>(bits(lo, 5, 4)); }
  constexpr u16 domain() const { return static_cast<u16>(bits(lo, 31, 16)); }
  constexpr u16 source() const { return static_cast<u16>(bits(lo, 47, 32)); }
  constexpr unsigned function_mask() const { return static_cast<unsigned>(bits(lo, 49, 48)); }
  constexpr u64 address() const { return hi & kPageMask; }
  constexpr unsigned address_mask() const { return static_cast<unsigned>(bits(hi, 5, 0)); }   ///< AM
  constexpr bool hint() const { return bit(hi, 6); }                                          ///< IH
  constexpr bool index_selective() const { return bit(lo, 4); }                               ///< interrupt entry cache: G
  constexpr unsigned index_mask() const { return static_cast<unsigned>(bits(lo, 31, 27)); }   ///< IM
  constexpr u16 index() const { return static_cast<u16>(bits(lo, 47, 32)); }                  ///< IIDX
  constexpr bool wait_interrupt() const { return bit(lo, 4); }                                ///< IF
  constexpr bool wait_status() const { return bit(lo, 5); }                                   ///< SW
  constexpr bool wait_fence() const { return bit(lo, 6); }                                    ///< FN
  constexpr u32 status_data() const { return static_cast<u32>(lo >> 32); }
  constexpr Hpa status_address() const { return Hpa(hi & ~u64{3}); }
};

/// Is it one that the unit can execute? If not, the queue stops at it with FSTS.IQE.
constexpr bool acceptable(const Caps& c, Descriptor d) {
  switch (static_cast<DescriptorType>(d.type())) {
    case DescriptorType::context_cache:
      return !(d.lo & (mask(15, 6) | mask(63, 50))) && !d.hi && d.granularity() != Granularity::reserved;
    case DescriptorType::iotlb:
      if ((d.lo & (mask(15, 8) | mask(63, 32))) || (d.hi & mask(11, 7)) || d.granularity() == Granularity::reserved) return false;
      return d.granularity() != Granularity::specific || (c.page_selective && d.address_mask() <= c.max_address_mask);
    case DescriptorType::device_tlb:
      return false;                       // ECAP.DT is clear
    case DescriptorType::interrupt_entry:
      return c.interrupt_remapping && !(d.lo & (mask(26, 5) | mask(63, 48))) && !d.hi && (!d.index_selective() || d.index_mask() <= kMaxHandleMask);
    case DescriptorType::wait:
      return !(d.lo & mask(31, 7)) && !(d.hi & 3);
  }
  return false;
}

namespace descriptor {
constexpr Descriptor context_cache(Granularity g, u16 domain = 0, u16 source = 0, unsigned fm = 0) {
  return {u64{1} | u64{static_cast<u8>(g)} << 4 | u64{domain} << 16 | u64{source} << 32 | u64{fm} << 48, 0};
}
constexpr Descriptor iotlb(Granularity g, u16 domain = 0, u64 address = 0, unsigned am = 0, bool ih = false) {
  return {u64{2} | u64{static_cast<u8>(g)} << 4 | u64{domain} << 16, (address & kPageMask) | u64{ih} << 6 | am};
}
constexpr Descriptor interrupt_entries() { return {4, 0}; }
constexpr Descriptor interrupt_entries(u16 index, unsigned im) { return {u64{4} | 16 | u64{im} << 27 | u64{index} << 32, 0}; }
constexpr Descriptor wait_status(u64 address, u32 data, bool interrupt = false) {
  return {u64{5} | u64{interrupt} << 4 | u64{1} << 5 | u64{1} << 6 | u64{data} << 32, address};
}
constexpr Descriptor wait_interrupt() { return {u64{5} | 16, 0}; }
}  // namespace descriptor

}  // namespace vt::vtd
