// SPDX-License-Identifier: GPL-2.0-or-later
#include "text.hpp"

#include <gtest/gtest.h>

#include "names.hpp"

namespace vt::cli {
namespace {

TEST(text, numbers_for_people) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(88120344), "88,120,344");
  EXPECT_EQ(size_text(4096), "4K");
  EXPECT_EQ(size_text(u64{2} << 30), "2G");
  EXPECT_EQ(size_text(639 << 10), "639K");
  EXPECT_EQ(size_text(0x44), "68");
  EXPECT_EQ(access_text(access::rw), "rw-");
  EXPECT_EQ(bdf_text(Bdf(0, 0x1f, 2)), "00:1f.2");
}

TEST(text, numbers_of_people) {
  EXPECT_EQ(parse_number("4096"), 4096u);
  EXPECT_EQ(parse_number("0x1F"), 31u);
  EXPECT_EQ(parse_number("1,000,000"), 1000000u);
  EXPECT_EQ(parse_number("2G"), u64{2} << 30);
  EXPECT_EQ(parse_number("64k"), 65536u);
  for (const char* wrong : {"", "G", "2X", "0x", "-1", "1.5G", "0x10G", "99999999999999999999", "999999999T"}) EXPECT_FALSE(parse_number(wrong)) << wrong;
}

TEST(text, ranges_are_inclusive) {
  auto r = parse_range("0x1000-0x1fff");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->first, 0x1000u);
  EXPECT_EQ(r->last, 0x1fffu);
  EXPECT_EQ(parse_range("0x1000+4K")->last, 0x1fffu);
  EXPECT_EQ(parse_range("0x1000")->last, 0x1000u);
  for (const char* wrong : {"", "-", "0x2000-0x1000", "0x1000+0", "0xffffffffffffffff+2", "x"}) EXPECT_FALSE(parse_range(wrong)) << wrong;
}

TEST(text, devices) {
  EXPECT_EQ(parse_bdf("00:1f.0"), Bdf(0, 0x1f, 0));
  EXPECT_EQ(parse_bdf("0000:02:00.7"), Bdf(2, 0, 7));
  for (const char* wrong : {"", "1f.0", "00:20.0", "00:1f.8", "100:00.0", "00:1f"}) EXPECT_FALSE(parse_bdf(wrong)) << wrong;
}

TEST(text, tables_align) {
  EXPECT_EQ(table({{"a", "1"}, {"long", "23"}}, "lr", 2), "  a      1\n  long  23\n");
  EXPECT_EQ(table({{"a", ""}, {"b", "c"}}), "a\nb  c\n");
}

TEST(text, percent) {
  EXPECT_EQ(percent(1, 8), "12.5%");
  EXPECT_EQ(percent(0, 5), "0.0%");
  EXPECT_EQ(percent(5, 5), "100.0%");
  EXPECT_EQ(percent(0, 0), "");
}

TEST(names, exits_by_name_and_number) {   // SDM 3D "VMX Basic Exit Reasons"
  EXPECT_EQ(exit_name(48), "ept-violation");
  EXPECT_EQ(exit_number("ept-violation"), 48u);
  EXPECT_EQ(exit_number("48"), 48u);
  EXPECT_FALSE(exit_number("nothing"));
  EXPECT_FALSE(exit_number("4000"));
  for (unsigned n = 0; n < kExitReasons; ++n) {
    const std::string s = exit_name(n);
    if (!s.starts_with("exit-")) { EXPECT_EQ(exit_number(s), n); }
  }
  EXPECT_EQ(exception_name(14), "#PF");
  EXPECT_EQ(exception_name(9), "vector 9");
}

}  // namespace
}  // namespace vt::cli
