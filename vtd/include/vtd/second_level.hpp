// SPDX-License-Identifier: GPL-2.0-or-later
/// Second-level paging entries and the one walker of them: pure, raises nothing, tells every entry it
/// read. The unit, the checks and the reports call this one.   VT-d "Second-Level Translation",
/// "Second-Level Paging Entries"
#pragma once
#include <array>
#include <concepts>

#include "base/physmem.hpp"
#include "vtd/caps.hpp"
#include "vtd/fault.hpp"

namespace vt::vtd {

/// Legacy-mode format. EPT's memory type (5:3), IPAT (6), A and D (8, 9), bit 10 and 61:52 are ignored, and
/// so is execute (2): it is evaluated only for requests with PASID.
struct Entry {
  u64 v = 0;
  constexpr Access access() const { return Access(v & 3); }
  constexpr bool present() const { return v & 3; }     ///< neither R nor W: nothing else in it is looked at
  constexpr bool sp() const { return bit(v, 7); }
  constexpr bool snp() const { return bit(v, 11); }
  constexpr bool leaf(unsigned level) const { return level == 1 || sp(); }
  constexpr u64 address() const { return v & mask(51, 12); }
  friend constexpr auto operator<=>(Entry, Entry) = default;
};

/// Bits that must be clear in a present entry at `level`: SP where no such superpage is offered; SNP in tables, and
/// in leaves without SC; TM (62) without device-TLBs; the address below a superpage's size and above the host's width.
constexpr u64 reserved_bits(const Caps& caps, unsigned level, Entry e) {
  u64 r = caps.beyond_host_width() | u64{1} << 62;
  if (level > 1 && !caps.leaf_size(level)) r |= u64{1} << 7;
  if (e.leaf(level)) {
    if (!caps.snoop_control) r |= u64{1} << 11;
    if (u64 size = caps.leaf_size(level); size > kPageSize) r |= (size - 1) & ~u64{0xfff};
  } else {
    r |= u64{1} << 11;
  }
  return r;
}

enum class Why : u8 {
  ok,
  beyond_width,      ///< the address needs more bits than MGAW or the tables have
  not_present,       ///< neither R nor W
  denied,            ///< a leaf was found, the path does not allow the access
  reserved,          ///< a reserved bit of a present entry is set
  root_unreadable,   ///< the first table is not in memory
  table_unreadable,  ///< a further table is not in memory
  interrupt_range,   ///< the translated address is where interrupts are
};
const char* why_text(Why why);

struct Step { u8 level = 0; Hpa at; Entry entry; };

struct Walk {
  Why why = Why::not_present;
  u8 n = 0;                      ///< how many entries were read
  std::array<Step, 4> step{};    ///< from the top
  Access access;                 ///< what the path to a leaf allows; none where there is no leaf
  u64 size = 0;                  ///< bytes of the page, or of what the entry where the walk stopped spans
  Hpa target;                    ///< of the very address asked for; meaningful for a leaf (ok, denied, interrupt_range)
  bool snp = false;              ///< the leaf's
  bool found_leaf() const { return why == Why::ok || why == Why::denied || why == Why::interrupt_range; }
  Hpa last_entry() const { return n ? step[n - 1u].at : Hpa{}; }
};

/// May this access be done? A zero-length read (`access::none`) needs any right where ZLR is offered, else read.
constexpr bool allowed(const Caps& caps, Access has, Access want) {
  if (want == access::none) return caps.zero_length_read ? has != access::none : has.r();
  return has.allows(want);
}

/// The specification's reason for a refused access. `has`: what the path allows.
constexpr u8 fault_reason(Why why, Access want, Access has = access::none) {
  switch (why) {
    case Why::ok: return fault::none;
    case Why::beyond_width: return fault::beyond_width;
    case Why::not_present: case Why::denied: return want.w() && !has.w() ? fault::write_denied : fault::read_denied;
    case Why::reserved: return fault::paging_reserved;
    case Why::root_unreadable: return fault::context_invalid;
    case Why::table_unreadable: return fault::paging_entry_access;
    case Why::interrupt_range: return fault::output_in_interrupt_range;
  }
  return fault::none;
}

/// Is the table (or entry) at `at` something that can be read? Memory that can say so is asked.
template <class M>
bool readable(const M& mem, Hpa at) {
  if constexpr (requires { { mem.present(at) } -> std::convertible_to<bool>; }) return mem.present(at);
  else return true;
}

constexpr u64 index_at(u64 address, unsigned level) { return (address >> (3 + 9 * level)) & 511; }
constexpr u64 span_at(unsigned level) { return u64{1} << (3 + 9 * level); }
/// First address that a domain of so many levels cannot have.
constexpr u64 width_limit(const Caps& caps, unsigned levels) {
  unsigned width = 12 + 9 * levels;
  if (caps.mgaw < width) width = caps.mgaw;
  return u64{1} << width;
}

/// The whole walk is done before rights are judged: a reserved bit below a read-only entry is what a write meets.
template <ReadsPhys M>
Walk walk(const M& mem, const Caps& caps, Hpa root, unsigned levels, Iova at, Access want) {
  Walk w;
  Access path = access::rw;
  auto stop = [&w](Why why) { w.why = why; return w; };
  if (levels < 1 || levels > 4 || at.v >= width_limit(caps, levels)) return w.size = kPageSize, stop(Why::beyond_width);
  Hpa table = root;
  for (unsigned level = levels; level >= 1; --level) {
    w.size = span_at(level);
    Hpa where = table + 8 * index_at(at.v, level);
    if (!readable(mem, where)) return stop(level == levels ? Why::root_unreadable : Why::table_unreadable);
    Entry e{mem.peek64(where)};
    w.step[w.n++] = {static_cast<u8>(level), where, e};
    if (!e.present()) return stop(Why::not_present);
    if (e.v & reserved_bits(caps, level, e)) return stop(Why::reserved);
    path = path & e.access();
    if (e.leaf(level)) {
      w.access = path;
      w.snp = e.snp();
      w.target = Hpa(e.address() | (at.v & (w.size - 1)));
      if (!allowed(caps, path, want)) return stop(Why::denied);
      return stop(in_interrupt_range(w.target.v) ? Why::interrupt_range : Why::ok);
    }
    table = Hpa(e.address());
  }
  return w;
}

namespace detail {
/// Tables that one enumeration reads at most: entries that point at their own table would otherwise be followed
/// 512^4 times. Real domains stay far below (this many full tables map two terabytes in small pages).
inline constexpr u64 kMaxTables = u64{1} << 20;

template <ReadsPhys M, class F>
bool each(const M& mem, const Caps& caps, Hpa table, unsigned level, u64 first, Access access, u64 limit, u64& budget, F& f) {
  if (!budget) return false;
  --budget;
  if (!readable(mem, table)) return true;
  for (u64 i = 0; i < 512; ++i) {
    u64 iova = first + i * span_at(level);
    if (iova >= limit) break;
    Entry e{mem.peek64(table + 8 * i)};
    if (!e.present() || (e.v & reserved_bits(caps, level, e))) continue;
    Access a = access & e.access();
    if (e.leaf(level)) {
      const Hpa target(e.address());
      if constexpr (std::is_same_v<decltype(f(Iova{}, u64{}, Hpa{}, Access{})), bool>) {
        if (!f(Iova(iova), span_at(level), target, a)) return false;
      } else {
        f(Iova(iova), span_at(level), target, a);
      }
    } else if (!each(mem, caps, Hpa(e.address()), level - 1, iova, a, limit, budget, f)) {
      return false;
    }
  }
  return true;
}
}  // namespace detail

/// Calls `f(first iova, size, target, Access)` for every leaf, in the order of addresses; Access is what the path allows and may be
/// `none`. Where `f` returns bool, false ends it. Returns false where it ended early (by `f`, or tables without end).
template <ReadsPhys M, class F>
bool for_each_mapping(const M& mem, const Caps& caps, Hpa root, unsigned levels, F f) {
  if (levels < 1 || levels > 4) return true;
  u64 budget = detail::kMaxTables;
  return detail::each(mem, caps, root, levels, 0, access::rw, width_limit(caps, levels), budget, f);
}

}  // namespace vt::vtd
