// SPDX-License-Identifier: GPL-2.0-or-later
/// Which pages are tables, found from the roots that the hardware is told of and followed as entries are written. One page can be a
/// table in several formats, at several levels and under several parents at once; it is a table as long as something names it.
/// Knows nothing of the guest.   SDM 3C "EPT Translation Mechanism", VT-d "Mapping Devices to Domains"
#pragma once
#include <map>
#include <set>
#include <vector>

#include "base/events.hpp"
#include "base/physmem.hpp"

namespace vt::views {

/// A page in one of its roles.
struct Table {
  Hpa page;
  TableFormat format = TableFormat::none;
  u8 level = 0;        ///< entries of level 1 are leaves; context 1, root 2, interrupt 1
  u8 unit = 0;         ///< root, context, interrupt: the remapping unit
  u64 first = 0;       ///< what its first entry translates, by the first place it has
  Hpa named_by;        ///< entry that named it first; 0: a root
  u64 root = 0;        ///< what the root was named with: EPT pointer or register value
};

class Tables {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    /// `fresh`: the page was no table in any role before.
    virtual void table(const Table& t, bool fresh) = 0;
    virtual void gone(const Table& t, bool last) = 0;
  };

  Tables(const PhysMem& mem, Listener& listener) : mem_(mem), listener_(listener) {}

  /// Counted: a root is one until it was removed as often as it was added.
  void add_root(Hpa page, TableFormat format, unsigned level, u64 name, u8 unit = 0, u64 first = 0);
  void remove_root(Hpa page, TableFormat format, unsigned level);
  /// The 8 bytes at `at` have changed. Harmless where that is no table.
  void written(Hpa at);

  bool is_table(Hpa page) const;
  /// Roles of a page, at most one per format and level.
  std::vector<Table> roles(Hpa page) const;
  /// Where an entry stands: under which root, and what it translates there. At most `limit` of them (tables may be shared without end).
  struct Place { TableFormat format; Hpa root; u8 levels; u64 first; u64 size; };
  std::vector<Place> places(Hpa entry, std::size_t limit = 1024) const;
  /// The first role; null if it is no table.
  const Table* role(Hpa page) const;
  std::size_t size() const { return nodes_.size(); }

 private:
  using Name = std::pair<u64, u16>;   ///< key of a table, index of its entry; {0, n}: as a root, by the n-th who says so
  struct Node { Table t; std::set<Name> names; u16 roots = 0; std::map<u16, u64> children; };
  struct Child { Hpa page; TableFormat format; u8 level; bool operator==(const Child&) const = default; };
  static u64 key(Hpa page, TableFormat f, unsigned level) { return (page.v & kPageMask) | u64(f) << 4 | level; }
  bool child_of(const Node& n, unsigned index, Child& c) const;
  void adopt(const Child& c, Name name, Hpa named_by, u64 first, u64 root, u8 unit);
  void release(u64 key, Name name);
  void climb(const Node& n, u64 first, u64 size, std::size_t limit, std::vector<Place>& to) const;
  void look(Node& n, unsigned index);

  const PhysMem& mem_;
  Listener& listener_;
  std::map<u64, Node> nodes_;   ///< by key(): the roles of a page stand together
};

/// Bytes of an entry, and what one of them spans, in a table of this format.
constexpr unsigned entry_size(TableFormat f) { return f == TableFormat::ept || f == TableFormat::second_level ? 8 : 16; }
/// First address (see `place`) of the entry at offset `offset` of a table.
constexpr u64 entry_first(const Table& t, u64 offset) {
  const u64 index = offset / entry_size(t.format);
  switch (t.format) {
    case TableFormat::ept: case TableFormat::second_level: return t.first + (index << (3 + 9 * t.level));
    case TableFormat::root: return index << 20;                       // source identifier << 12, a bus
    case TableFormat::context: case TableFormat::interrupt: return t.first + (index << 12);
    case TableFormat::none: break;
  }
  return 0;
}

}  // namespace vt::views
