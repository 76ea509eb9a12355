// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/tables.hpp"

#include "ept/ept.hpp"
#include "vtd/context.hpp"

namespace vt::views {

/// The table that an entry names. Entries that the hardware would refuse for reserved bits still name one: software means it so, and
/// EPT entries with memory type 7 are refused on purpose.
bool Tables::child_of(const Node& n, unsigned index, Child& c) const {
  const Table& t = n.t;
  const Hpa at = t.page + u64{index} * entry_size(t.format);
  switch (t.format) {
    case TableFormat::ept: {
      const ept::Entry e{mem_.peek64(at)};
      if (t.level == 1 || !e.present() || e.leaf(t.level)) return false;
      c = {e.addr(), TableFormat::ept, static_cast<u8>(t.level - 1)};
      break;
    }
    case TableFormat::second_level: {
      const vtd::Entry e{mem_.peek64(at)};
      if (t.level == 1 || !e.present() || e.leaf(t.level)) return false;
      c = {Hpa{e.address()}, TableFormat::second_level, static_cast<u8>(t.level - 1)};
      break;
    }
    case TableFormat::root: {
      const vtd::RootEntry e{mem_.peek64(at), mem_.peek64(at + 8)};
      if (!e.present()) return false;
      c = {e.context_table(), TableFormat::context, 1};
      break;
    }
    case TableFormat::context: {
      const vtd::ContextEntry e{mem_.peek64(at), mem_.peek64(at + 8)};
      if (!e.present() || e.type() != vtd::TranslationType::untranslated || e.levels() < 1 || e.levels() > 4) return false;
      c = {e.second_level_root(), TableFormat::second_level, static_cast<u8>(e.levels())};
      break;
    }
    default: return false;
  }
  c.page.v &= kPageMask;
  return mem_.present(c.page);
}

void Tables::adopt(const Child& c, Name name, Hpa named_by, u64 first, u64 root, u8 unit) {
  const bool fresh = !is_table(c.page);
  Node& n = nodes_[key(c.page, c.format, c.level)];
  const bool known = !n.names.empty();
  if (!name.first) name.second = n.roots++;
  n.names.insert(name);
  if (known) return;
  n.t = {c.page, c.format, c.level, unit, first, named_by, root};
  listener_.table(n.t, fresh);
  const unsigned entries = static_cast<unsigned>(kPageSize) / entry_size(c.format);
  if ((c.level > 1 || c.format == TableFormat::context) && c.format != TableFormat::interrupt)
    for (unsigned i = 0; i < entries; ++i) look(n, i);
}

void Tables::release(u64 k, Name name) {
  auto it = nodes_.find(k);
  if (it == nodes_.end()) return;
  if (!name.first) {
    if (!it->second.roots) return;
    name.second = --it->second.roots;
  }
  it->second.names.erase(name);
  if (!it->second.names.empty()) return;
  const Node n = std::move(it->second);
  nodes_.erase(it);
  for (auto& [index, child] : n.children) release(child, {k, index});
  listener_.gone(n.t, !is_table(n.t.page));
}

/// What does this entry name now?
void Tables::look(Node& n, unsigned index) {
  Child c{};
  const bool names = child_of(n, index, c);
  const u64 now = names ? key(c.page, c.format, c.level) : 0;
  auto it = n.children.find(static_cast<u16>(index));
  const u64 before = it == n.children.end() ? 0 : it->second;
  if (now == before) return;
  const Name name{key(n.t.page, n.t.format, n.t.level), static_cast<u16>(index)};
  if (it != n.children.end()) n.children.erase(it);
  // The new one first: what both have in common stays.
  if (names) {
    n.children[static_cast<u16>(index)] = now;
    const u64 first = n.t.format == TableFormat::context ? 0 : entry_first(n.t, u64{index} * entry_size(n.t.format));
    adopt(c, name, n.t.page + u64{index} * entry_size(n.t.format), first, n.t.root, n.t.unit);
  }
  if (before) release(before, name);
}

void Tables::add_root(Hpa page, TableFormat format, unsigned level, u64 name, u8 unit, u64 first) {
  page.v &= kPageMask;
  if (mem_.present(page)) adopt({page, format, static_cast<u8>(level)}, Name{}, Hpa{}, first, name, unit);
}

void Tables::remove_root(Hpa page, TableFormat format, unsigned level) {
  page.v &= kPageMask;
  release(key(page, format, level), Name{});
}

void Tables::written(Hpa at) {
  const u64 page = at.v & kPageMask;
  // Adopting may add roles of this very page, and releasing may take some away: by key, one after the other.
  for (u64 k = page;;) {
    auto it = nodes_.lower_bound(k);
    if (it == nodes_.end() || (it->first & kPageMask) != page) return;
    k = it->first + 1;
    Node& n = it->second;
    look(n, static_cast<unsigned>((at.v - page) / entry_size(n.t.format)));
  }
}

/// From a table up to the roots. Levels fall strictly on the way down, so this ends; how many ways there are is another matter.
void Tables::climb(const Node& n, u64 first, u64 size, std::size_t limit, std::vector<Place>& to) const {
  if (to.size() >= limit) return;
  if (n.roots) to.push_back({n.t.format, n.t.page, n.t.level, first, size});
  for (auto& [parent, index] : n.names) {
    auto it = parent ? nodes_.find(parent) : nodes_.end();
    if (it == nodes_.end()) continue;
    const Node& up = it->second;
    if (up.t.format != n.t.format) {
      // A context entry: this table is a domain's root. Several devices may name it; it is one place.
      const Place here{n.t.format, n.t.page, n.t.level, first, size};
      bool known = false;
      for (auto& p : to) known |= p.root == here.root && p.levels == here.levels && p.first == first && p.size == size && p.format == here.format;
      if (!known && to.size() < limit) to.push_back(here);
    } else {
      climb(up, first + (u64{index} << (3 + 9 * up.t.level)), size, limit, to);
    }
  }
}

std::vector<Tables::Place> Tables::places(Hpa entry, std::size_t limit) const {
  std::vector<Place> all;
  const u64 page = entry.v & kPageMask;
  for (auto it = nodes_.lower_bound(page); it != nodes_.end() && (it->first & kPageMask) == page; ++it) {
    const Node& n = it->second;
    if (n.names.empty() || (n.t.format != TableFormat::ept && n.t.format != TableFormat::second_level)) continue;
    const u64 span = u64{1} << (3 + 9 * n.t.level);
    climb(n, ((entry.v & 0xfff) / 8) * span, span, limit, all);
  }
  return all;
}

bool Tables::is_table(Hpa page) const { return role(page) != nullptr; }

const Table* Tables::role(Hpa page) const {
  auto it = nodes_.lower_bound(page.v & kPageMask);
  // A node that is being adopted has no name yet.
  for (; it != nodes_.end() && (it->first & kPageMask) == (page.v & kPageMask); ++it) if (!it->second.names.empty()) return &it->second.t;
  return nullptr;
}

std::vector<Table> Tables::roles(Hpa page) const {
  std::vector<Table> all;
  for (auto it = nodes_.lower_bound(page.v & kPageMask); it != nodes_.end() && (it->first & kPageMask) == (page.v & kPageMask); ++it)
    if (!it->second.names.empty()) all.push_back(it->second.t);
  return all;
}

}  // namespace vt::views
