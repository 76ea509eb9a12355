// SPDX-License-Identifier: GPL-2.0-or-later
#include "when.hpp"

#include <gtest/gtest.h>

#include "verbs.hpp"

namespace vt::cli {
namespace {

std::string refusal(const std::string& s) {
  try {
    (void)parse_when(s);
  } catch (const UsageError& e) {
    return e.what();
  }
  ADD_FAILURE() << s << " was taken";
  return {};
}

TEST(when, what_there_is) {
  EXPECT_EQ(parse_when("").kind, When::Kind::never);
  EXPECT_EQ(parse_when("1,200,000").number, 1200000u);
  EXPECT_EQ(parse_when("console:'Linux version'").text, "Linux version");
  EXPECT_EQ(parse_when("console:login:").text, "login:");
  EXPECT_EQ(parse_when("console:it's").text, "it's");
  EXPECT_EQ(parse_when("exit#412").number, 412u);
  EXPECT_EQ(parse_when("exit:ept-violation").number, 48u);
  EXPECT_EQ(parse_when("entry#1").kind, When::Kind::entry_count);
}

TEST(when, what_there_is_not_is_refused_in_words) {
  EXPECT_NE(refusal("sym:pvh_setup_acpi").find("not in this version"), std::string::npos);
  EXPECT_NE(refusal("end").find("only finished runs"), std::string::npos);
  EXPECT_NE(refusal("37%").find("only finished runs"), std::string::npos);
  EXPECT_NE(refusal("exit:nothing").find("ept-violation"), std::string::npos) << "the message lists what there is";
  EXPECT_NE(refusal("exit#0").find("from 1"), std::string::npos);
  EXPECT_NE(refusal("console:''").find("empty"), std::string::npos);
  EXPECT_NE(refusal("tomorrow").find("not a time"), std::string::npos);
}

TEST(when, runs_are_looked_at_at_their_end) {
  EXPECT_EQ(run_at_end("run1"), "run1");
  EXPECT_EQ(run_at_end("run1@end"), "run1");
  EXPECT_THROW(run_at_end("run1@12"), UsageError);
}

}  // namespace
}  // namespace vt::cli
