// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine.hpp"

namespace vt::vtd {
namespace {

struct Case { const char* name; unsigned level; u64 entry; Access want; Why why; u8 reason; u64 target; u64 size; };

Caps without(auto f) { Caps c; f(c); return c; }
Walk walk_one(Machine& m, u64 iova, Access want) { return walk(m.out.mem, m.caps, Hpa(kTop), 4, Iova(iova), want); }

TEST(second_level_walk, table_of_cases) {   // VT-d "Second-Level Paging Entries", "Fault Reason Encodings"
  constexpr u64 at = 0x40'1234'5678;
  const Case cases[] = {
    {"read-write",          1, 0x7003, access::write, Why::ok, 0, 0x7678, 0x1000},
    {"read-only, read",     1, 0x7001, access::read, Why::ok, 0, 0x7678, 0x1000},
    {"read-only, write",    1, 0x7001, access::write, Why::denied, 5, 0x7678, 0x1000},
    {"write-only, read",    1, 0x7002, access::read, Why::denied, 6, 0x7678, 0x1000},
    {"write-only, both",    1, 0x7002, access::rw, Why::denied, 6, 0x7678, 0x1000},
    {"write-only, ZLR",     1, 0x7002, access::none, Why::ok, 0, 0x7678, 0x1000},
    {"not present",         1, 0x7000, access::read, Why::not_present, 6, 0, 0x1000},
    {"not present, write",  1, 0, access::write, Why::not_present, 5, 0, 0x1000},
    {"only execute",        1, 0x7004, access::read, Why::not_present, 6, 0, 0x1000},
    {"not present, junk",   1, 0x7ff0'0000'0000'7ff8, access::read, Why::not_present, 6, 0, 0x1000},
    {"EPT's own bits",      1, 0xbff0'0000'0000'777f, access::write, Why::ok, 0, 0x7678, 0x1000},
    {"EMT 7",               1, 0x703b, access::write, Why::ok, 0, 0x7678, 0x1000},
    {"SNP",                 1, 0x7803, access::write, Why::ok, 0, 0x7678, 0x1000},
    {"TM",                  1, 0x4000'0000'0000'7003, access::read, Why::reserved, 0xc, 0, 0x1000},
    {"bit 7 of a 4K leaf",  1, 0x7083, access::read, Why::ok, 0, 0x7678, 0x1000},
    {"above host width",    1, 0x4000'0000'7003, access::read, Why::reserved, 0xc, 0, 0x1000},
    {"highest address",     1, 0x3fff'ffff'f003, access::read, Why::ok, 0, 0x3fff'ffff'f678, 0x1000},
    {"interrupt range",     1, 0xfee0'0003, access::write, Why::interrupt_range, 0xe, 0xfee0'0678, 0x1000},
    {"2M",                  2, 0x60'0083, access::write, Why::ok, 0, 0x74'5678, 0x20'0000},
    {"2M with EPT's bits",  2, 0xbff0'0000'0060'07ff, access::write, Why::ok, 0, 0x74'5678, 0x20'0000},
    {"2M, reserved 12",     2, 0x60'1083, access::write, Why::reserved, 0xc, 0, 0x20'0000},
    {"2M, reserved 20",     2, 0x70'0083, access::write, Why::reserved, 0xc, 0, 0x20'0000},
    {"table with SNP",      2, 0x5803, access::write, Why::reserved, 0xc, 0, 0x20'0000},
    {"table with EPT bits", 2, 0xbff0'0000'0000'577f & ~u64{0x80}, access::read, Why::not_present, 6, 0, 0x1000},
    {"1G",                  3, 0x8000'0083, access::write, Why::ok, 0, 0x8000'0000 + (at & 0x3fff'ffff), 0x4000'0000},
    {"1G, reserved 21",     3, 0x8020'0083, access::write, Why::reserved, 0xc, 0, 0x4000'0000},
    {"512G is no leaf",     4, 0x83, access::write, Why::reserved, 0xc, 0, 0x80'0000'0000},
    {"table not in memory", 2, 0x3fff'f003, access::write, Why::table_unreadable, 7, 0, 0x1000},
  };
  for (const Case& c : cases) {
    Machine m;
    u64 where = m.map(at, c.entry, c.level);
    Walk w = walk_one(m, at, c.want);
    EXPECT_EQ(w.why, c.why) << c.name << ": " << why_text(w.why);
    EXPECT_EQ(fault_reason(w.why, c.want, w.access), c.reason) << c.name;
    EXPECT_EQ(w.size, c.size) << c.name;
    EXPECT_EQ(w.target.v, c.target) << c.name;
    if (c.why != Why::table_unreadable && c.name != std::string_view("table with EPT bits")) {
      EXPECT_EQ(w.n, 5 - c.level) << c.name;
      EXPECT_EQ(w.last_entry().v, where) << c.name;
      EXPECT_EQ(w.step[w.n - 1u].entry.v, c.entry) << c.name;
    }
  }
}

TEST(second_level_walk, without_superpages_SP_is_reserved) {
  Machine m(without([](Caps& c) { c.superpage_1g = false; }));
  m.map(0, 0x4000'0083, 3);
  EXPECT_EQ(walk_one(m, 0, access::read).why, Why::reserved);
  m.map(u64{1} << 39, 0x60'0083, 2);
  EXPECT_EQ(walk_one(m, u64{1} << 39, access::read).why, Why::ok);
}

TEST(second_level_walk, without_snoop_control_SNP_is_reserved) {
  Machine m(without([](Caps& c) { c.snoop_control = false; }));
  m.map(0x1000, 0x7803);
  EXPECT_EQ(walk_one(m, 0x1000, access::read).why, Why::reserved);
}

TEST(second_level_walk, without_ZLR_a_zero_length_read_needs_read) {   // VT-d "Capability Register": ZLR
  Machine m(without([](Caps& c) { c.zero_length_read = false; }));
  m.map(0x1000, 0x7002);
  EXPECT_EQ(walk_one(m, 0x1000, access::none).why, Why::denied);
  EXPECT_EQ(fault_reason(Why::denied, access::none, access::write), 6);
}

TEST(second_level_walk, rights_are_those_of_the_whole_path) {
  Machine m;
  m.map(0x1000, 0x7003);
  m.put(kTop, (m.get(kTop) & ~u64{3}) | 1);
  Walk w = walk_one(m, 0x1000, access::write);
  EXPECT_EQ(w.why, Why::denied);
  EXPECT_EQ(w.n, 4);
  EXPECT_EQ(w.access, access::read);
}

TEST(second_level_walk, width_is_the_smaller_of_MGAW_and_the_tables) {
  Machine m;
  EXPECT_EQ(walk_one(m, u64{1} << 48, access::read).why, Why::beyond_width);
  EXPECT_EQ(walk(m.out.mem, m.caps, Hpa(kTop), 3, Iova(u64{1} << 39), access::read).why, Why::beyond_width);
  EXPECT_EQ(walk(m.out.mem, m.caps, Hpa(kTop), 3, Iova((u64{1} << 39) - 1), access::read).why, Why::not_present);
  EXPECT_EQ(walk(m.out.mem, m.caps, Hpa(kTop), 5, Iova(0), access::read).why, Why::beyond_width);
  Machine n(without([](Caps& c) { c.mgaw = 40; }));
  EXPECT_EQ(walk_one(n, u64{1} << 40, access::read).why, Why::beyond_width);
  EXPECT_EQ(walk_one(n, (u64{1} << 40) - 1, access::read).why, Why::not_present);
}

TEST(second_level_walk, three_levels_start_below) {
  Machine m;
  m.map(0x4000'1000, 0x7003, 1, kTop, 3);
  Walk w = walk(m.out.mem, m.caps, Hpa(kTop), 3, Iova(0x4000'1abc), access::read);
  EXPECT_EQ(w.why, Why::ok);
  EXPECT_EQ(w.n, 3);
  EXPECT_EQ(w.target.v, 0x7abcu);
}

TEST(second_level_walk, top_table_not_in_memory) {
  Machine m;
  EXPECT_EQ(walk(m.out.mem, m.caps, Hpa(0x300'0000), 4, Iova(0), access::read).why, Why::root_unreadable);
  EXPECT_EQ(fault_reason(Why::root_unreadable, access::read), 3);
}

TEST(for_each_mapping, leaves_in_order_with_rights) {
  Machine m;
  m.map(0x3000, 0x9001), m.map(0x1000, 0x8003), m.map(0x4000'0000, 0x60'0082, 2), m.map(u64{1} << 40, 0x4000'0083, 3);
  m.map(0x5000, 0x4000'0000'0000'7003);      // reserved bit: maps nothing
  struct Got { u64 iova, size, target; Access a; };
  std::vector<Got> got;
  EXPECT_TRUE(for_each_mapping(m.out.mem, m.caps, Hpa(kTop), 4, [&](Iova i, u64 n, Hpa t, Access a) { got.push_back({i.v, n, t.v, a}); }));
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].iova, 0x1000u);
  EXPECT_EQ(got[0].target, 0x8000u);
  EXPECT_EQ(got[1].a, access::read);
  EXPECT_EQ(got[2].iova, 0x4000'0000u);
  EXPECT_EQ(got[2].size, 0x20'0000u);
  EXPECT_EQ(got[2].target, 0x60'0000u);
  EXPECT_EQ(got[2].a, access::write);
  EXPECT_EQ(got[3].iova, u64{1} << 40);
  EXPECT_EQ(got[3].size, 0x4000'0000u);
}

TEST(for_each_mapping, ends_on_tables_that_point_at_themselves) {
  Machine m;
  for (u64 i = 0; i < 512; ++i) m.put(kTop + 8 * i, kTop | 3);
  u64 n = 0;
  EXPECT_FALSE(for_each_mapping(m.out.mem, m.caps, Hpa(kTop), 4, [&](Iova, u64, Hpa, Access) { return ++n < 5000; }));
  EXPECT_EQ(n, 5000u);
}

TEST(context_lookup, table_of_cases) {   // VT-d "Root Entry", "Context Entry"
  struct { const char* name; u64 root_lo, root_hi, lo, hi; u8 reason; } cases[] = {
    {"good",                    kContext | 1, 0, kTop | 1, 0x502, 0},
    {"ignored bits",            kContext | 1, 0, kTop | 1, 0x57a, 0},
    {"root not present",        kContext, 0, kTop | 1, 0x502, 1},
    {"root reserved low",       kContext | 3, 0, kTop | 1, 0x502, 0xa},
    {"root reserved high",      kContext | 1, 1, kTop | 1, 0x502, 0xa},
    {"root beyond host width",  u64{1} << 46 | 1, 0, kTop | 1, 0x502, 0xa},
    {"context table nowhere",   0x3ff'f000 | 1, 0, kTop | 1, 0x502, 9},
    {"context not present",     kContext | 1, 0, kTop, 0x502, 2},
    {"context reserved low",    kContext | 1, 0, kTop | 0x11, 0x502, 0xb},
    {"context reserved high",   kContext | 1, 0, kTop | 1, 0x100'0502, 0xb},
    {"context reserved bit 71", kContext | 1, 0, kTop | 1, 0x582, 0xb},
    {"pointer above width",     kContext | 1, 0, u64{1} << 47 | 1, 0x502, 0xb},
    {"AW 39 is not offered",    kContext | 1, 0, kTop | 1, 0x501, 3},
    {"AW 57 is not offered",    kContext | 1, 0, kTop | 1, 0x503, 3},
    {"TT device-TLB",           kContext | 1, 0, kTop | 5, 0x502, 3},
    {"TT pass-through",         kContext | 1, 0, kTop | 9, 0x502, 0},
    {"TT reserved",             kContext | 1, 0, kTop | 13, 0x502, 3},
  };
  for (auto& c : cases) {
    Machine m;
    m.root_entry(c.root_lo, c.root_hi), m.context_entry(c.lo, c.hi);
    ContextLookup l = lookup(m.out.mem, m.caps, Hpa(kRoot), m.dev);
    EXPECT_EQ(l.fault_reason, c.reason) << c.name;
    EXPECT_EQ(l.root_at, Hpa(kRoot));
    EXPECT_TRUE(l.read_root);
    if (l.read_context) { EXPECT_EQ(l.context_at, Hpa(kContext + 16 * m.dev.devfn())) << c.name; }
  }
}

TEST(context_lookup, root_table_nowhere) {
  Machine m;
  EXPECT_EQ(lookup(m.out.mem, m.caps, Hpa(0x300'0000), m.dev).fault_reason, 8);
}

TEST(context_lookup, narrow_domain_ids_and_no_pass_through) {
  Machine m(without([](Caps& c) { c.domain_id_bits = 4, c.pass_through = false; }));
  m.root_entry(kContext | 1), m.context_entry(kTop | 1, 0xf02);
  EXPECT_EQ(lookup(m.out.mem, m.caps, Hpa(kRoot), m.dev).fault_reason, 0);
  m.context_entry(kTop | 1, 0x1002);
  EXPECT_EQ(lookup(m.out.mem, m.caps, Hpa(kRoot), m.dev).fault_reason, 0xb);
  m.context_entry(kTop | 9, 0xf02);
  EXPECT_EQ(lookup(m.out.mem, m.caps, Hpa(kRoot), m.dev).fault_reason, 3);
}

}  // namespace
}  // namespace vt::vtd
