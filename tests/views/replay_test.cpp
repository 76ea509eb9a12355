// SPDX-License-Identifier: GPL-2.0-or-later
/// The ledger told again from nothing gives the maps that the memory itself gives, whatever is done to the tables.
#include <gtest/gtest.h>

#include <random>

#include "views/ept_map.hpp"
#include "story_fixture.hpp"

namespace vt::views {
namespace {

constexpr u64 kPool = u64{16} << 20;
constexpr unsigned kPages = 20;

struct Flat {
  u64 first, last, target;
  unsigned access, emt;
  u64 page_size;
  bool ipat, misconfigured;
  bool operator==(const Flat&) const = default;
  bool follows(const Flat& o) const {
    return o.last + 1 == first && access == o.access && emt == o.emt && page_size == o.page_size && ipat == o.ipat && misconfigured == o.misconfigured &&
           (misconfigured || target == o.target + (first - o.first));
  }
};
void put(std::vector<Flat>& to, const Flat& f) {
  if (!to.empty() && f.follows(to.back())) to.back().last = f.last;
  else to.push_back(f);
}
std::ostream& operator<<(std::ostream& o, const Flat& f) {
  return o << std::hex << f.first << '-' << f.last << " -> " << f.target << " access " << f.access << " emt " << f.emt << " page " << f.page_size << (f.misconfigured ? " misconfigured" : "");
}

std::vector<Flat> told(const Replay& replay, u32 space) {
  std::vector<Flat> out;
  for (auto& r : replay.ranges(space))
    put(out, {r.first, r.last, r.mapping.misconfigured ? 0 : r.mapping.target, r.mapping.misconfigured ? 0u : r.mapping.access.v, r.mapping.misconfigured ? 0u : r.mapping.emt,
              r.mapping.page_size, r.mapping.misconfigured ? false : r.mapping.ipat, r.mapping.misconfigured});
  return out;
}

struct Random : StoryFixture {
  explicit Random(unsigned seed) : random(seed) {}
  u64 pick(u64 n) { return random() % n; }
  u64 page() { return kPool + pick(kPages) * kPageSize; }
  u64 index() { static constexpr u64 kIndex[] = {0, 1, 2, 3, 4, 511}; return kIndex[pick(std::size(kIndex))]; }

  u64 entry() {
    const u64 rights = 1 + pick(7);
    switch (pick(10)) {
      case 0: case 1: return 0;
      case 2: case 3: case 4: return page() | 7;                                          // a table
      case 5: return page() | rights | (pick(4) ? 0 : 7 << 3);                            // the same with fewer rights, or pending
      case 6: return (pick(8) << 21) | 0x80 | 6 << 3 | rights;                            // a large page
      case 7: return (pick(64) << 12) | (pick(8) << 3) | rights | (pick(4) ? 0 : 0x40);   // a leaf at level 1, a table elsewhere
      case 8: return (pick(2) ? u64{1} << 50 : 0) | (pick(16) << 12) | 6 << 3 | rights | (pick(2) ? 0x80 : 0);
      default: return (kPool + pick(kPages + 4) * kPageSize) | 6 << 3 | 7;
    }
  }

  void edit() {
    switch (pick(24)) {
      case 0: eptp(0x1000 + 0x1000 * pick(2), pick(8) ? page() | (pick(3) ? 3 << 3 : 2 << 3) | 6 : 0); return;
      case 1: root_pointer(pick(6) ? kRoots : page()); return;
      case 2: case 3: {   // a context entry, in two halves
        const u64 at = kContexts + 16 * (8 + pick(3));
        store(at + 8, (1 + pick(2)) | pick(3) << 8);
        store(at, pick(4) ? page() | 1 | (pick(8) ? 0 : 8) : 0);
        return;
      }
      case 4: store(kRoots, pick(4) ? kContexts | 1 : pick(2) ? page() | 1 : 0); return;
      case 5: { const u64 at = page() + 8 * index(); store(at, machine.memory().peek64(Hpa{at})); return; }      // the same value
      case 6: { const u64 v[2] = {entry(), entry()}; write(page() + 16 * (index() / 2), v, 16); return; }        // a wide store
      case 7: { const u32 v = static_cast<u32>(entry()); write(page() + 8 * index() + 4 * pick(2), &v, 4); return; }
      case 8: { const u64 zero[512] = {}; write(page(), zero, sizeof zero); return; }
      default: store(page() + 8 * index(), entry()); return;
    }
  }

  static constexpr u64 kRoots = kPool - 0x2000, kContexts = kPool - 0x1000;
  std::mt19937_64 random;
};

/// Everything that the hardware can reach now, by memory and by the replay.
void compare(Random& t, const Replay& replay, u64 number) {
  const PhysMem& mem = t.machine.memory();
  for (auto& [vmcs, value] : t.eptps) {
    const ept::Eptp p{value};
    if (!value) continue;
    std::optional<u32> space;
    for (u32 n = 0; n < replay.spaces().size(); ++n)
      if (auto& s = replay.spaces()[n]; s.format == TableFormat::ept && s.root == p.root() && s.levels == p.levels()) space = n;
    ASSERT_TRUE(space) << "the EPT " << std::hex << value;
    std::vector<Flat> real;
    for (auto& r : ept_map(mem, t.setup.ept, p, 0, ~u64{0}, [](u64) { return u64{0}; }).ranges)
      put(real, {r.first, r.last, r.misconfigured ? 0 : r.target, r.misconfigured ? 0u : r.access.v, r.misconfigured ? 0u : r.emt, r.page_size, r.misconfigured ? false : r.ipat, r.misconfigured});
    ASSERT_EQ(told(replay, *space), real) << "the EPT " << std::hex << value << " after edit " << std::dec << number;
  }
  if (!t.root) return;
  for (auto& table : vtd_devices(mem, t.setup.units[0], Hpa{t.root}).tables) {
    if (table.type != vtd::TranslationType::untranslated) continue;
    VtdTable full = table;
    fill_ranges(mem, t.setup.units[0], full, 0, ~u64{0});
    std::optional<u32> space;
    for (u32 n = 0; n < replay.spaces().size(); ++n)
      if (auto& s = replay.spaces()[n]; s.format == TableFormat::second_level && s.root == table.root && s.levels == table.levels) space = n;
    ASSERT_TRUE(space) << "the tables " << std::hex << table.root.v;
    std::vector<Flat> real, replayed;
    for (auto& r : full.ranges) put(real, {r.first, r.last, r.target, r.access.v, 0, r.page_size, false, false});
    for (auto& f : told(replay, *space)) if (!f.misconfigured) put(replayed, {f.first, f.last, f.target, f.access, 0, f.page_size, false, false});
    ASSERT_EQ(replayed, real) << "the tables " << std::hex << table.root.v << " after edit " << std::dec << number;
  }
}

void run(unsigned seed, u64 edits) {
  Random t(seed);
  Replay replay(t.setup);
  u32 next = 0;
  for (u64 n = 0; n < edits; ++n) {
    t.edit();
    if (n % 7 != 6 && n + 1 != edits) continue;
    while (next < t.events.size()) { replay.apply(t.events[next], next, {}); ++next; }
    compare(t, replay, n);
    if (::testing::Test::HasFatalFailure()) { ADD_FAILURE() << "seed " << seed; return; }
  }
  EXPECT_GT(t.events.size(), edits / 4);
}

TEST(replay, random_edits_of_shared_and_reused_tables_give_the_maps_of_the_memory) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    run(seed, 1000);
    if (::testing::Test::HasFailure()) return;
  }
}

/// What `tell` says of changes, applied one after the other, gives the map as well.
TEST(replay, the_changes_add_up_to_the_map) {
  for (unsigned seed = 100; seed <= 104; ++seed) {
    Random t(seed);
    for (unsigned n = 0; n < 1000; ++n) t.edit();
    Replay replay(t.setup);
    std::vector<std::map<u64, std::pair<u64, u64>>> pages;   // by space: page, its target and access
    bool consistent = true;
    auto page_of = [](const Mapping& m, u64 by) { return std::pair(m.misconfigured ? ~u64{0} : m.target + by, u64{m.access.v} | u64{m.misconfigured} << 8); };
    for (u32 n = 0; n < t.events.size(); ++n)
      replay.apply(t.events[n], n, [&](const Change& c) {
        if (pages.size() <= c.space) pages.resize(c.space + 1);
        for (u64 at = c.first; at <= c.last && at < (u64{1} << 22); at += kPageSize) {   // the first 4 MiB will do
          auto it = pages[c.space].find(at);
          const bool was = it != pages[c.space].end();
          consistent &= was == c.before.present && (!was || it->second == page_of(c.before, at - c.first));
          if (c.after.present) pages[c.space][at] = page_of(c.after, at - c.first);
          else if (was) pages[c.space].erase(it);
        }
      });
    EXPECT_TRUE(consistent) << "seed " << seed;
  }
}

}  // namespace
}  // namespace vt::views
