// SPDX-License-Identifier: GPL-2.0-or-later
/// A whole EPT as ranges. Made of nothing but the one walker, asked again at the end of what its last entry spans.
/// Entries with memory type 7 are misconfigurations that hypervisors set on purpose, to be asked before the next use
/// ("recalculation pending"): they are looked through and marked.   SDM 3C "EPT Misconfigurations"
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "ept/ept.hpp"
#include "views/ranges.hpp"

namespace vt::views {

struct EptLook {
  ept::Walk walk;         ///< as if the pending entries on the way were not
  bool pending = false;   ///< there were some
  std::array<u64, 5> raw{};  ///< the entries as they stand, step by step
};

namespace detail {
/// Memory in which some entries read as something else.
template <ReadsPhys M>
struct Amended {
  const M& mem;
  std::array<std::pair<Hpa, u64>, 5> entries{};
  unsigned n = 0;
  u64 peek64(Hpa at) const {
    for (unsigned i = 0; i < n; ++i) if (entries[i].first == at) return entries[i].second;
    return mem.peek64(at);
  }
};
}  // namespace detail

/// The walk to `gpa`, through entries with memory type 7.
template <ReadsPhys M>
EptLook look(const M& mem, const ept::Caps& caps, ept::Eptp eptp, Gpa gpa, Access want = access::none) {
  detail::Amended<M> seen{mem};
  EptLook l;
  for (;;) {
    l.walk = ept::walk(seen, caps, eptp, gpa, want);
    if (l.walk.why != ept::Why::misconfigured) break;
    const ept::Step& s = l.walk.step[l.walk.n - 1];
    const ept::Entry e{s.entry};
    if (e.emt() != 7 || seen.n == seen.entries.size()) break;   // an amended entry no longer has 7
    const u64 amended = e.leaf(s.level) ? set_bits(e.v, 5, 3, static_cast<u64>(MemType::WB)) : e.v & ~mask(6, 3);
    seen.entries[seen.n++] = {s.at, amended};
    l.pending = true;
  }
  for (unsigned i = 0; i < l.walk.n; ++i) l.raw[i] = mem.peek64(l.walk.step[i].at);
  return l;
}

struct EptRange {
  u64 first = 0, last = 0, target = 0;
  Access access;
  u64 page_size = 0;
  u8 emt = 0;              ///< memory type of the leaf; 7: pending
  bool ipat = false;
  bool misconfigured = false;   ///< for another reason than a pending entry: access and target say nothing
  u64 tag = 0;             ///< what the caller has made of the leaf entry
  bool alike(const EptRange& o) const {
    return access == o.access && page_size == o.page_size && emt == o.emt && ipat == o.ipat && misconfigured == o.misconfigured && tag == o.tag;
  }
  u64 size() const { return last - first + 1; }
};

struct EptMap {
  std::vector<EptRange> ranges;
  bool complete = true;    ///< false: given up, the tables refer to each other without end
};

/// Walks that one map makes at most: far more than any memory has pages of 4 KiB, far fewer than tables in a circle have.
inline constexpr u64 kMaxWalks = u64{1} << 26;

/// All mappings of guest-physical [first, last]. `tag(leaf entry) -> u64` marks leaves: ranges with different tags are kept apart.
template <ReadsPhys M, class Tag>
EptMap ept_map(const M& mem, const ept::Caps& caps, ept::Eptp eptp, u64 first, u64 last, Tag tag) {
  EptMap map;
  const unsigned levels = eptp.levels();
  if (levels < 1 || levels > 4) return map;
  const u64 limit = std::min(last, (u64{1} << (12 + 9 * levels)) - 1);
  u64 walks = 0;
  for (u64 at = first; at <= limit;) {
    if (++walks > kMaxWalks) { map.complete = false; break; }
    const EptLook l = look(mem, caps, eptp, Gpa{at});
    const ept::Step& s = l.walk.step[l.walk.n - 1];
    const u64 span = u64{1} << (12 + 9 * (s.level - 1u));
    const u64 end = std::min(at | (span - 1), limit);
    EptRange r{at, end, 0, access::none, span};
    if (l.walk.why == ept::Why::ok || l.walk.why == ept::Why::not_allowed) {
      r.target = l.walk.target.v;
      r.access = l.walk.access;
      r.emt = l.pending ? 7 : static_cast<u8>(l.walk.emt);
      r.ipat = l.walk.ipat;
      r.tag = tag(l.raw[l.walk.n - 1u]);
      join(map.ranges, r);
    } else if (l.walk.why == ept::Why::misconfigured) {
      r.misconfigured = true;
      r.target = at;           // so that neighbours join
      join(map.ranges, r);
    }
    if (end == ~u64{0}) break;
    at = end + 1;
  }
  return map;
}

}  // namespace vt::views
