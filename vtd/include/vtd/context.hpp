// SPDX-License-Identifier: GPL-2.0-or-later
/// Root and context entries, and the pure lookup from a requester to its context entry.
/// VT-d "Root Entry", "Context Entry", "Mapping Devices to Domains"
#pragma once
#include "base/physmem.hpp"
#include "vtd/caps.hpp"
#include "vtd/fault.hpp"
#include "vtd/second_level.hpp"

namespace vt::vtd {

struct RootEntry {
  u64 lo = 0, hi = 0;
  constexpr bool present() const { return lo & 1; }
  constexpr Hpa context_table() const { return Hpa(lo & mask(51, 12)); }
  constexpr bool reserved(const Caps& c) const { return hi || (lo & (mask(11, 1) | mask(63, 52) | c.beyond_host_width())); }
  friend constexpr auto operator<=>(RootEntry, RootEntry) = default;
};

/// TT of a context entry.
enum class TranslationType : u8 { untranslated = 0, device_tlb = 1, pass_through = 2, reserved = 3 };

struct ContextEntry {
  u64 lo = 0, hi = 0;
  constexpr bool present() const { return lo & 1; }
  constexpr bool fault_processing_disable() const { return bit(lo, 1); }   ///< looked at whatever P says
  constexpr TranslationType type() const { return static_cast<TranslationType>(bits(lo, 3, 2)); }
  constexpr Hpa second_level_root() const { return Hpa(lo & mask(51, 12)); }
  constexpr unsigned address_width() const { return static_cast<unsigned>(bits(hi, 2, 0)); }  ///< AW as it stands
  constexpr unsigned levels() const { return address_width() + 2; }
  constexpr u16 domain() const { return static_cast<u16>(bits(hi, 23, 8)); }
  /// Domain-id bits above ND's width are reserved; bits 6:3 of the upper half are ignored.
  constexpr bool reserved(const Caps& c) const {
    u64 low = mask(11, 4) | mask(63, 52) | c.beyond_host_width();
    u64 high = mask(63, 24) | u64{1} << 7;
    if (c.domain_id_bits < 16) high |= mask(23, 8 + c.domain_id_bits);
    return (lo & low) || (hi & high);
  }
  friend constexpr auto operator<=>(ContextEntry, ContextEntry) = default;
};

/// VT-d "Fault Reason Encodings": what a context entry by itself is refused for, `fault::none` if it can be used.
constexpr u8 context_fault(const Caps& c, ContextEntry e) {
  if (!e.present()) return fault::context_not_present;
  if (e.reserved(c)) return fault::context_reserved;
  if (!c.levels_supported(e.levels())) return fault::context_invalid;
  switch (e.type()) {
    case TranslationType::untranslated: return fault::none;
    case TranslationType::pass_through: return c.pass_through ? fault::none : fault::context_invalid;
    default: return fault::context_invalid;     // device-TLBs are not offered
  }
}

struct ContextLookup {
  u8 fault_reason = fault::none;
  bool read_root = false, read_context = false;   ///< which entries were reached
  Hpa root_at, context_at;
  RootEntry root;
  ContextEntry context;
  bool ok() const { return fault_reason == fault::none; }
  bool fault_processing_disable() const { return read_context && context.fault_processing_disable(); }
};

template <ReadsPhys M>
ContextLookup lookup(const M& mem, const Caps& caps, Hpa root_table, Bdf source) {
  ContextLookup l;
  auto stop = [&l](u8 reason) { l.fault_reason = reason; return l; };
  l.root_at = root_table + u64{16} * source.bus();
  if (!readable(mem, l.root_at)) return stop(fault::root_table_access);
  l.root = {mem.peek64(l.root_at), mem.peek64(l.root_at + 8)};
  l.read_root = true;
  if (!l.root.present()) return stop(fault::root_not_present);
  if (l.root.reserved(caps)) return stop(fault::root_reserved);
  l.context_at = l.root.context_table() + u64{16} * source.devfn();
  if (!readable(mem, l.context_at)) return stop(fault::context_table_access);
  l.context = {mem.peek64(l.context_at), mem.peek64(l.context_at + 8)};
  l.read_context = true;
  return stop(context_fault(caps, l.context));
}

}  // namespace vt::vtd
