// SPDX-License-Identifier: GPL-2.0-or-later
/// EPT: entry formats and the one walker.   SDM 3C "Extended Page-Table Mechanism (EPT)"
#pragma once
#include "base/bits.hpp"
#include "base/physmem.hpp"

namespace vt::ept {

/// What IA32_VMX_EPT_VPID_CAP offers, as far as the walk depends on it.
struct Caps {
  bool execute_only = true;
  bool page_2m = true, page_1g = true;
  bool accessed_dirty = true;
  unsigned physical_address_bits = 46;
};

/// The EPT pointer.   SDM 3C "Extended-Page-Table Pointer (EPTP)"
struct Eptp {
  u64 v = 0;
  constexpr Hpa root() const { return Hpa{v & mask(51, 12)}; }
  constexpr unsigned levels() const { return static_cast<unsigned>(bits(v, 5, 3)) + 1; }
  constexpr bool ad() const { return bit(v, 6); }
  constexpr MemType type() const { return static_cast<MemType>(v & 7); }
  friend constexpr auto operator<=>(Eptp, Eptp) = default;
};
/// Bits that VM entry and INVEPT accept.   SDM 3C "VM-Execution Control Fields" (checks on)
bool valid(const Caps& caps, Eptp eptp);

/// One entry at any level.   SDM 3C "Format of an EPT Page-Table Entry" and its siblings
struct Entry {
  u64 v = 0;
  constexpr Access access() const { return Access(v & 7); }
  constexpr bool present() const { return (v & 7) != 0; }
  constexpr bool leaf(unsigned level) const { return level == 1 || ((level == 2 || level == 3) && bit(v, 7)); }
  constexpr unsigned emt() const { return static_cast<unsigned>(bits(v, 5, 3)); }
  constexpr bool ipat() const { return bit(v, 6); }
  constexpr bool accessed() const { return bit(v, 8); }
  constexpr bool dirty() const { return bit(v, 9); }
  constexpr Hpa addr() const { return Hpa{v & mask(51, 12)}; }
  /// SDM 3C "EPT Misconfigurations"
  bool misconfigured(unsigned level, const Caps& caps) const;
};

enum class Why : u8 { ok, not_present, misconfigured, not_allowed };

struct Step { u8 level; Hpa at; u64 entry; };
struct Walk {
  Why why = Why::not_present;
  Access access = access::rwx;  ///< logical AND over the entries read so far
  Hpa target{};                 ///< of the wanted address, when ok or not_allowed
  u64 page_size = 0;
  unsigned emt = 0;
  bool ipat = false;
  u8 n = 0;
  Step step[5] = {};
};

constexpr unsigned index(Gpa gpa, unsigned level) { return static_cast<unsigned>((gpa.v >> (12 + 9 * (level - 1))) & 511); }

/// Sets no A/D bits, raises nothing, returns every entry it read.   SDM 3C "EPT Translation Mechanism"
template <ReadsPhys M>
Walk walk(const M& mem, const Caps& caps, Eptp eptp, Gpa gpa, Access want) {
  Walk w;
  Hpa table = eptp.root();
  for (unsigned level = eptp.levels(); level >= 1; --level) {
    Hpa at = table + 8 * index(gpa, level);
    Entry e{mem.peek64(at)};
    w.step[w.n++] = {static_cast<u8>(level), at, e.v};
    if (!e.present()) { w.access = access::none; return w; }
    if (e.misconfigured(level, caps)) { w.why = Why::misconfigured; return w; }
    w.access = w.access & e.access();
    if (e.leaf(level)) {
      w.page_size = u64{1} << (12 + 9 * (level - 1));
      w.target = Hpa{(e.addr().v & ~(w.page_size - 1)) | (gpa.v & (w.page_size - 1))};
      w.emt = e.emt();
      w.ipat = e.ipat();
      w.why = w.access.allows(want) ? Why::ok : Why::not_allowed;
      return w;
    }
    table = e.addr();
  }
  return w;
}

}  // namespace vt::ept
