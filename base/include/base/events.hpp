// SPDX-License-Identifier: GPL-2.0-or-later
/// The event stream: what happened, for those who watch. Plain records; nothing in the machine depends
/// on whether somebody listens.
#pragma once
#include "base/types.hpp"

namespace vt {

enum class EventKind : u16 {
  none,
  vm_entry,        ///< a: VMCS, b: EPTP
  vm_exit,         ///< a: basic exit reason, b: qualification, c: guest-physical address
  exception,       ///< a: vector, b: error code, c: CR2
  interrupt,       ///< a: vector
  eptp_change,     ///< a: VMCS, b: EPTP
  invept,          ///< a: type, b: EPTP
  invvpid,         ///< a: type, b: VPID, c: linear address
  vtd_register,    ///< a: unit, b: offset, c: value written
  vtd_translation, ///< a: unit, b: 1 enabled 0 disabled, c: RTADDR_REG
  vtd_invalidate,  ///< a: unit, b: descriptor low, c: descriptor high
  vtd_fault,       ///< a: unit, b: source id, c: address, d: reason
  stale_translation, ///< a: address, b: entry's address
  reset,
  vtd_pointer,     ///< a: unit, b: 0 root table, 1 interrupt remapping table, c: the register's value that is in use from now on
  // Kept only where tables are followed (views/ledger.hpp), in the order in which things happened.
  table_write,     ///< a: address of the 8 bytes, b: old, c: new, d: place (see below); also where old and new are the same
  table_page,      ///< a page becomes a table. a: page, b: address of the entry that names it (0: a root), c: root's register or pointer, d: place,
                   ///< with kExisting where it was no table before in any role (its contents follow)
  table_gone,      ///< a page is no longer this table. a: page, b: 1 if it is none in any role now, d: place
  frame,           ///< a node of the tree of call chains. a: number, b: number of the caller's node (0: none), c: return address
  attempt,         ///< a function that asks for a mapping is called. a: its address, b, c, d: arguments 1 to 3
  attempt_more,    ///< follows `attempt`: a: arguments' count, b, c, d: arguments 4 to 6
  attempt_result,  ///< a: address of the function, b: step of its `attempt`, c: what it returned, d: arguments' count
  cache_line_flush,///< CLFLUSH and its kin of a line of a table. a: the line's address
  cache_flush,     ///< WBINVD, INVD
  // Only where somebody listens (EventSink::wants_io): these come by the million.
  msr_read,        ///< RDMSR that was executed. a: index, b: value
  msr_write,       ///< WRMSR that was executed. a: index, b: value
  port_read,       ///< a: port, b: size, c: value
  port_write,      ///< a: port, b: size, c: value
  mmio_read,       ///< an access that memory does not answer, the local APIC's registers too. a: physical address, b: size, c: value
  mmio_write,      ///< the same
};

/// One of the kinds that only those get who ask for them.
constexpr bool is_io(EventKind k) { return k >= EventKind::msr_read && k <= EventKind::mmio_write; }

/// What a table is: the format that its entries have.
enum class TableFormat : u8 { none, ept, root, context, second_level, interrupt };

/// `d` of table events: the first address that the entry translates (guest-physical, or the device's), or the source identifier
/// << 12 of root and context entries, or the index << 12 of interrupt entries; then, in the low 12 bits, what wrote and where.
/// A table that stands in several places has the first of them here.
namespace place {
constexpr u64 make(u64 first, TableFormat f, unsigned level, unsigned cause) { return (first & ~u64{0xfff}) | u64{level} << 8 | u64(f) << 4 | cause; }
constexpr u64 first(u64 d) { return d & ~u64{0xfff}; }
constexpr TableFormat format(u64 d) { return static_cast<TableFormat>(d >> 4 & 0xf); }
constexpr unsigned level(u64 d) { return d >> 8 & 0xf; }
constexpr unsigned cause(u64 d) { return d & 0xf; }   ///< a WriteCause, or kExisting
inline constexpr unsigned kExisting = 0xf;            ///< was there when the page became a table
}  // namespace place

struct Event {
  EventKind kind = EventKind::none;
  u16 cpu = 0;
  u64 step = 0;
  u64 rip = 0;
  u64 a = 0, b = 0, c = 0, d = 0;
  u32 chain = 0;   ///< number of the caller's `frame`; 0: not known
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on(const Event& e) = 0;
  /// Are accesses to MSRs, ports and device registers wanted, too? Asked at each of them.
  virtual bool wants_io() const { return false; }
};

}  // namespace vt
