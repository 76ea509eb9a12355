// SPDX-License-Identifier: GPL-2.0-or-later
#include "when.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "verbs.hpp"

namespace vt::cli {
namespace {

template <class F> std::string refusal(const std::string& s, F parse) {
  try {
    (void)parse(s);
  } catch (const UsageError& e) {
    return e.what();
  }
  ADD_FAILURE() << s << " was taken";
  return {};
}
std::string until(const std::string& s) { return refusal(s, parse_when); }
std::string moment(const std::string& s) { return refusal("run1@" + s, parse_run_at); }

TEST(when, what_there_is) {
  EXPECT_EQ(parse_when("").kind, When::Kind::never);
  EXPECT_EQ(parse_when("1,200,000").number, 1200000u);
  EXPECT_EQ(parse_when("console:'Linux version'").text, "Linux version");
  EXPECT_EQ(parse_when("console:login:").text, "login:");
  EXPECT_EQ(parse_when("console:it's").text, "it's");
  EXPECT_EQ(parse_when("exit#412").number, 412u);
  EXPECT_EQ(parse_when("exit:ept-violation").number, 48u);
  EXPECT_EQ(parse_when("entry#1").kind, When::Kind::entry_count);
  EXPECT_EQ(parse_when("sym:pvh_setup_acpi").text, "pvh_setup_acpi");
  EXPECT_EQ(parse_when("sym:pvh_setup_acpi").number, 1u);
  EXPECT_EQ(parse_when("sym:dom0_build.c#foo#7").text, "dom0_build.c#foo") << "symbols of local functions have a '#', too";
  EXPECT_EQ(parse_when("sym:dom0_build.c#foo").text, "dom0_build.c#foo");
  EXPECT_EQ(parse_when("sym:f#7").number, 7u);
}

TEST(when, what_there_is_not_is_refused_in_words) {
  EXPECT_NE(until("sym:").find("name is missing"), std::string::npos);
  EXPECT_NE(until("sym:x#0").find("from 1"), std::string::npos);
  EXPECT_NE(until("end").find("only finished runs"), std::string::npos);
  EXPECT_NE(until("37%").find("only finished runs"), std::string::npos);
  EXPECT_NE(until("exit:nothing").find("ept-violation"), std::string::npos) << "the message lists what there is";
  EXPECT_NE(until("exit#0").find("from 1"), std::string::npos);
  EXPECT_NE(until("console:''").find("empty"), std::string::npos);
  EXPECT_NE(until("tomorrow").find("--until tomorrow: not a time"), std::string::npos);
}

TEST(when, a_run_and_a_moment_of_it) {
  EXPECT_EQ(parse_run_at("run1").run, "run1");
  EXPECT_EQ(parse_run_at("run1").at.kind, When::Kind::end);
  EXPECT_EQ(parse_run_at("run1@end").at.kind, When::Kind::end);
  EXPECT_EQ(parse_run_at("run1@12").at.number, 12u);
  EXPECT_EQ(parse_run_at("run1@37%").at.number, 37'000u);
  EXPECT_EQ(parse_run_at("run1@37.5%").at.number, 37'500u);
  EXPECT_EQ(parse_run_at("run1@console:'a@b'").at.text, "a@b");
  EXPECT_EQ(parse_run_at("run1@sym:main#3").at.number, 3u);
  char name[] = "/tmp/vitrine-when-XXXXXX";
  const std::string dir = std::string(::mkdtemp(name)) + "/a@b";
  std::filesystem::create_directory(dir);
  EXPECT_EQ(parse_run_at(dir).run, dir);
  EXPECT_EQ(parse_run_at(dir + "@12").run, dir);
  std::filesystem::remove_all(name);
}

TEST(when, moments_that_are_none) {
  EXPECT_NE(moment("").find("run1@: not a time"), std::string::npos);
  EXPECT_NE(moment("soon").find("give end, a percentage, a step number"), std::string::npos);
  EXPECT_NE(moment("101%").find("0% to 100%"), std::string::npos);
  EXPECT_NE(moment("100.5%").find("0% to 100%"), std::string::npos);
  EXPECT_NE(moment("%").find("0% to 100%"), std::string::npos);
  EXPECT_NE(moment("1.2345%").find("three decimals"), std::string::npos);
  EXPECT_NE(moment("x%").find("not a percentage"), std::string::npos);
}

}  // namespace
}  // namespace vt::cli
