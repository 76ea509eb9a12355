// SPDX-License-Identifier: GPL-2.0-or-later
#include "console.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace vt::cli {
namespace {

void type(Console& c, std::string_view s) { for (char b : s) c.put(static_cast<u8>(b)); }

std::string slurp(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

TEST(console, lines_carry_the_step_of_their_first_byte) {
  char name[] = "/tmp/vitrine-console-XXXXXX";
  const std::string file = std::string(::mkdtemp(name)) + "/console.txt";
  u64 step = 100;
  Console c(Console::Mode::none);
  c.clock([&] { return step++; });
  c.keep(file);
  type(c, "one\r\ntwo");
  EXPECT_EQ(c.last_line(), "two");
  step = 5000000;
  type(c, " more\n\nlast");
  EXPECT_TRUE(c.finish());
  EXPECT_EQ(slurp(file), "[            100] one\n[            101] two more\n[      5,000,000] \n[      5,000,001] last\n");
  std::filesystem::remove_all(name);
}

TEST(console, text_is_found_when_its_last_byte_comes_and_once) {
  Console c(Console::Mode::none);
  unsigned found = 0;
  c.wait_for("aab", [&] { ++found; });
  type(c, "xaa");
  EXPECT_EQ(found, 0u);
  type(c, "a");
  EXPECT_EQ(found, 0u);
  type(c, "b");
  EXPECT_EQ(found, 1u);
  type(c, "aab");
  EXPECT_EQ(found, 1u);
}

TEST(console, text_may_span_lines) {
  Console c(Console::Mode::none);
  bool found = false;
  c.wait_for("a\nb", [&] { found = true; });
  type(c, "a\nb");
  EXPECT_TRUE(found);
}

TEST(console, a_file_that_cannot_be_written_is_told) {
  Console c(Console::Mode::none);
  EXPECT_THROW(c.keep("/nonexistent/console.txt"), std::runtime_error);
}

}  // namespace
}  // namespace vt::cli
