// SPDX-License-Identifier: GPL-2.0-or-later
/// Interrupt requests and interrupt remapping table entries, and the pure lookup between them.
/// VT-d "Interrupt Remapping", "Interrupt Remapping Table Entry (IRTE) for Remapped Interrupts"
#pragma once
#include "base/physmem.hpp"
#include "vtd/caps.hpp"
#include "vtd/fault.hpp"
#include "vtd/second_level.hpp"

namespace vt::vtd {

struct Irte {
  u64 lo = 0, hi = 0;
  constexpr bool present() const { return lo & 1; }
  constexpr bool fault_processing_disable() const { return bit(lo, 1); }   ///< looked at whatever P says
  constexpr bool logical() const { return bit(lo, 2); }                    ///< DM
  constexpr bool redirection_hint() const { return bit(lo, 3); }           ///< RH
  constexpr bool level() const { return bit(lo, 4); }                      ///< TM
  constexpr u8 delivery_mode() const { return static_cast<u8>(bits(lo, 7, 5)); }   ///< DLM
  constexpr u8 vector() const { return static_cast<u8>(bits(lo, 23, 16)); }
  /// All 32 bits in x2APIC mode (EIME), else the 8 bits of an xAPIC id that stand in 15:8.
  constexpr u32 destination(bool eime) const { return static_cast<u32>(eime ? lo >> 32 : bits(lo, 47, 40)); }
  constexpr u16 source_id() const { return static_cast<u16>(hi); }
  constexpr unsigned source_qualifier() const { return static_cast<unsigned>(bits(hi, 17, 16)); }   ///< SQ
  constexpr unsigned validation_type() const { return static_cast<unsigned>(bits(hi, 19, 18)); }    ///< SVT
  /// Reserved fields and encodings; IM (15) is reserved as posting is not offered.
  constexpr bool reserved(bool eime) const {
    u64 low = mask(15, 12) | mask(31, 24);
    if (!eime) low |= mask(63, 48) | mask(39, 32);
    if ((lo & low) || (hi & mask(63, 20))) return true;
    return delivery_mode() == 3 || delivery_mode() == 6 || validation_type() == 3;
  }
  /// VT-d "Source Validation": SVT 1 compares the requester under SQ's mask, 2 checks its bus against a range.
  constexpr bool source_allowed(Bdf source) const {
    constexpr u16 kIgnored[4] = {0, 4, 6, 7};
    switch (validation_type()) {
      case 0: return true;
      case 1: return ((source.v ^ source_id()) & ~kIgnored[source_qualifier()] & 0xffff) == 0;
      case 2: return source.bus() >= (source_id() >> 8) && source.bus() <= (source_id() & 0xff);
      default: return false;
    }
  }
  friend constexpr auto operator<=>(Irte, Irte) = default;
};

/// An interrupt request in remappable format: what address and data say.   VT-d "Interrupt Requests in Remappable Format"
struct RemappableRequest {
  u32 index = 0;          ///< handle plus subhandle; may be beyond 16 bits
  bool reserved = false;
  static constexpr bool is(u64 address) { return bit(address, 4); }
  static constexpr RemappableRequest of(u64 address, u32 data) {
    RemappableRequest r;
    u32 handle = static_cast<u32>(bits(address, 19, 5) | u64{bit(address, 2)} << 15);
    bool shv = bit(address, 3);
    r.index = handle + (shv ? data & 0xffff : 0);
    r.reserved = (address >> 32) || (shv && data >> 16);     // without SHV the data are ignored
    return r;
  }
};

/// The table as IRTA_REG described it when SIRTP was done.
struct IrTable {
  u64 irta = 0;
  constexpr Hpa base() const { return Hpa(irta & kPageMask); }
  constexpr bool eime() const { return bit(irta, 11); }
  constexpr u32 entries() const { return u32{2} << (irta & 15); }
};

struct IrteLookup {
  u8 fault_reason = fault::none;
  bool read = false;
  Hpa at;
  Irte entry;
  bool fault_processing_disable() const { return read && entry.fault_processing_disable(); }
};

/// Checks of the entry itself; who asked is judged by `Irte::source_allowed` at each request.
constexpr u8 irte_fault(Irte e, bool eime) {
  if (!e.present()) return fault::irte_not_present;
  return e.reserved(eime) ? fault::irte_reserved : fault::none;
}

/// And of the request, `reason` being the entry's own: the requester is verified before the other fields are looked at.
constexpr u8 irte_fault_for(u8 reason, Irte e, Bdf source) {
  const bool judged = reason == fault::none || (reason == fault::irte_reserved && e.validation_type() != 3);
  return judged && !e.source_allowed(source) ? fault::ir_source_mismatch : reason;
}

template <ReadsPhys M>
IrteLookup lookup_irte(const M& mem, const Caps& caps, IrTable table, u32 index) {
  IrteLookup l;
  if (index >= table.entries()) return l.fault_reason = fault::ir_index_beyond_table, l;
  l.at = table.base() + u64{16} * index;
  if (l.at.v >= caps.host_limit()) return l.fault_reason = fault::ir_index_beyond_table, l;
  if (!readable(mem, l.at)) return l.fault_reason = fault::irt_access, l;
  l.entry = {mem.peek64(l.at), mem.peek64(l.at + 8)};
  l.read = true;
  return l.fault_reason = irte_fault(l.entry, table.eime()), l;
}

}  // namespace vt::vtd
