// SPDX-License-Identifier: GPL-2.0-or-later
/// How findings come about, are joined and are bounded; the rules themselves are tried by a guest (tests/cli/test_check_rules.py).
#include <gtest/gtest.h>

#include "story_fixture.hpp"
#include "views/check.hpp"

namespace vt::views {
namespace {

constexpr u64 kPool = u64{16} << 20, kWb = 6 << 3, kRwx = 7, kRw = 3;

/// Functions are named by the thousand: 0x1000 is "one", 0x2000 "two".
struct Names : Words {
  std::string function(u64 address) const override { return address < 0x2000 ? "one" : "two"; }
};

fw::Platform two_processors() {
  fw::Platform p = fw::default_platform(u64{64} << 20);
  p.cpu.count = 2;
  fw::complete(p);
  return p;
}

struct Check : ::testing::Test, StoryFixture {
  Check() : StoryFixture(two_processors()) {
    store(kPool, (kPool + 0x1000) | kRwx);
    store(kPool + 0x1000, (kPool + 0x2000) | kRwx);
    store(kPool + 0x2000, (kPool + 0x3000) | kRwx);
    eptp(0x1000, kPool | 0x1e);
  }
  void map(u64 gfn, u64 entry) { store(kPool + 0x3000 + 8 * gfn, entry); }
  std::vector<Finding> found(const char* rule, u32 end = ~u32{0}) {
    history = tell_all();
    const CheckInput in{history, setup, names, platform, end, {}};
    return check(in, find_rule(rule));
  }
  History tell_all() const { return views::tell(events, setup); }
  Names names;
  History history;
};

TEST_F(Check, the_same_again_is_info_another_access_a_warning_another_target_an_error) {
  rip = 0x1000;
  for (u64 f = 1; f <= 3; ++f) map(f, (f << 12) | kWb | kRwx);
  rip = 0x2000;
  map(1, 0x1000 | kWb | kRwx);
  map(2, 0x2000 | kWb | kRw);
  map(3, 0x8000 | kWb | kRwx);
  const auto f = found("established-twice");
  ASSERT_EQ(f.size(), 3u);
  EXPECT_EQ(f[0].severity, Severity::error);
  EXPECT_EQ(f[0].first, 0x3000u);
  EXPECT_EQ(f[1].severity, Severity::warning);
  EXPECT_EQ(f[2].severity, Severity::info);
  EXPECT_EQ(f[0].origins, (std::vector<std::string>{"two", "one"}));
}

TEST_F(Check, memory_type_ipat_and_accessed_bits_are_no_difference) {
  rip = 0x1000;
  map(1, 0x1000 | kWb | kRwx);
  rip = 0x2000;
  map(1, 0x1000 | kRwx | 0x340);
  EXPECT_TRUE(found("established-twice").empty());
}

TEST_F(Check, a_removal_between_makes_it_a_new_mapping) {
  rip = 0x1000;
  map(1, 0x1000 | kWb | kRwx);
  map(1, 0);
  rip = 0x2000;
  map(1, 0x8000 | kWb | kRwx);
  EXPECT_TRUE(found("established-twice").empty());
}

TEST_F(Check, neighbours_that_say_the_same_are_one_finding) {
  for (u64 pass = 0; pass < 2; ++pass) {
    rip = pass ? 0x2000 : 0x1000;
    for (u64 f = 0; f < 8; ++f) map(f, (f + 16 * pass) << 12 | kWb | kRwx);
    map(100, (500 + pass) << 12 | kWb | kRwx);
  }
  const auto f = found("established-twice");
  ASSERT_EQ(f.size(), 2u);
  EXPECT_EQ(f[0].count, 8u);
  EXPECT_EQ(f[0].first, 0u);
  EXPECT_EQ(f[0].last, 0x7fffu);
  EXPECT_NE(f[0].text.find("0x0-0x7fff"), std::string::npos) << f[0].text;
  EXPECT_NE(f[0].text.find("0x10000"), std::string::npos) << f[0].text;
  EXPECT_EQ(f[1].first, 100u << 12);
  for (auto& x : f) for (char c : x.text) EXPECT_GE(c, ' ') << "a mark is left in the text";
}

TEST_F(Check, events_from_the_given_one_on_are_not_looked_at) {
  rip = 0x1000;
  map(1, 0x1000 | kWb | kRwx);
  rip = 0x2000;
  map(1, 0x8000 | kWb | kRwx);
  EXPECT_EQ(found("established-twice").size(), 1u);
  EXPECT_TRUE(found("established-twice", static_cast<u32>(events.size() - 1)).empty());
}

TEST_F(Check, a_processor_that_never_ran_with_these_tables_needs_no_invept) {   // SDM 3C "Caching Translation Information"
  map(1, 0x1000 | kWb | kRwx);
  tell(EventKind::vm_entry, 0x1000, kPool | 0x1e);
  map(1, 0);
  cpu = 1;
  tell(EventKind::vm_entry, 0x1000, kPool | 0x1e);
  EXPECT_TRUE(found("flush-missing").empty());
  cpu = 0;
  tell(EventKind::vm_entry, 0x1000, kPool | 0x1e);
  const auto f = found("flush-missing");
  ASSERT_EQ(f.size(), 1u);
  EXPECT_NE(f[0].text.find("processor 0"), std::string::npos);
}

TEST_F(Check, more_rights_need_no_invept_and_another_guests_invept_does_not_count) {
  map(1, 0x1000 | kWb | 1);
  map(2, 0x2000 | kWb | kRwx);
  tell(EventKind::vm_entry, 0x1000, kPool | 0x1e);
  map(1, 0x1000 | kWb | kRwx);
  tell(EventKind::vm_entry, 0x1000, kPool | 0x1e);
  EXPECT_TRUE(found("flush-missing").empty());
  map(2, 0x2000 | kWb | 1);
  tell(EventKind::invept, 1, (kPool + 0x8000) | 0x1e);
  tell(EventKind::vm_entry, 0x1000, kPool | 0x1e);
  ASSERT_EQ(found("flush-missing").size(), 1u);
}

TEST_F(Check, every_rule_can_be_found_and_explained) {
  for (auto& r : rules()) {
    EXPECT_EQ(find_rule(r.name), &r);
    EXPECT_GT(std::string(r.explanation).size(), 150u) << r.name;
  }
  EXPECT_EQ(find_rule("no-such"), nullptr);
}

TEST_F(Check, nothing_is_found_in_nothing) {
  History empty;
  const CheckInput in{empty, setup, names, platform, 0, {}};
  EXPECT_TRUE(check(in).empty());
}

}  // namespace
}  // namespace vt::views
