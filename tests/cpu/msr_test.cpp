// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/msr.hpp"

#include "../tested.hpp"
#include "harness.hpp"

namespace vt::cpu {
namespace {

u64 rd(TestMachine& m, u32 n) {
  u64 v = 0xdead;
  EXPECT_TRUE(read_msr(*m.cpu, n, v)) << std::hex << n;
  return v;
}

TEST(msr, what_is_not_there_is_gp) {
  TestMachine m;
  u64 v;
  for (u32 n : {0x48u, 0x140u, 0xceu, 0x186u, 0x38fu, 0x600u, 0xc0000085u, 0x40000000u, 0xffffffffu}) {
    EXPECT_FALSE(read_msr(*m.cpu, n, v)) << std::hex << n;
    EXPECT_FALSE(write_msr(*m.cpu, n, 0)) << std::hex << n;
  }
}

TEST(msr, a_missing_feature_takes_its_msrs_along) {
  TestMachine m(TestMachine::Mode::long64, {"-vmx", "-x2apic", "-tsc_deadline", "-rdtscp"});
  u64 v;
  for (u32 n : {0x3au, 0x480u, 0x802u, 0x6e0u, 0xc0000103u}) EXPECT_FALSE(read_msr(*m.cpu, n, v)) << std::hex << n;
}

TEST(msr, every_row_can_be_read_or_written_and_reads_back) {
  TestMachine m;
  for (const MsrRow& r : msr_rows()) {
    u64 v;
    if (!r.read || !m.model.has(r.feature) || r.first == 0x10 || r.first == 0x480 || r.first == 0x800 || r.first == 0xda0) continue;
    for (u32 n = r.first; n <= r.last; ++n) {
      ASSERT_TRUE(read_msr(*m.cpu, n, v)) << r.name;
      tested("MSR", n);
      if (!r.write) { EXPECT_FALSE(write_msr(*m.cpu, n, v)) << r.name; continue; }
      EXPECT_TRUE(write_msr(*m.cpu, n, v)) << r.name;
      EXPECT_EQ(rd(m, n), v) << r.name;
    }
  }
}

struct Bad { u32 msr; u64 value; };
class Refused : public testing::TestWithParam<Bad> {};
TEST_P(Refused, is_gp_and_changes_nothing) {
  TestMachine m;
  const u64 before = rd(m, GetParam().msr);
  tested("MSR", GetParam().msr);
  EXPECT_FALSE(write_msr(*m.cpu, GetParam().msr, GetParam().value));
  EXPECT_EQ(rd(m, GetParam().msr), before);
}
INSTANTIATE_TEST_SUITE_P(msr, Refused, testing::Values(
    Bad{0x277, 0x0007040600070402}, Bad{0x277, 0x0007040600070408}, Bad{0x277, u64{3} << 56},          // PAT types 2, 3, above 7
    Bad{0xc0000080, 2}, Bad{0xc0000080, 0x1000}, Bad{0xc0000080, u64{1} << 40}, Bad{0xc0000080, 1},   // EFER: reserved, LME while paging
    Bad{0xc0000082, u64{1} << 47}, Bad{0xc0000100, u64{1} << 47}, Bad{0xc0000102, 0x8000000000000000}, Bad{0x175, u64{1} << 63},  // not canonical
    Bad{0xc0000084, u64{1} << 32}, Bad{0xc0000103, u64{1} << 32},
    Bad{0x3a, 8}, Bad{0x200, 2}, Bad{0x200, u64{1} << 46}, Bad{0x201, 1}, Bad{0x250, 2}, Bad{0x2ff, 2}, Bad{0x2ff, 0x100},
    Bad{0x17, 0}, Bad{0xfe, 0x50a}, Bad{0x179, 0}, Bad{0x480, 0}, Bad{0x1d9, 4}, Bad{0x1a0, 2}, Bad{0x17a, 8}));

TEST(msr, feature_control_locks) {  // SDM 3C "Enabling and Entering VMX Operation"
  TestMachine m;
  EXPECT_TRUE(write_msr(*m.cpu, 0x3a, 4));
  EXPECT_TRUE(write_msr(*m.cpu, 0x3a, 5));
  EXPECT_FALSE(write_msr(*m.cpu, 0x3a, 5));
  EXPECT_EQ(rd(m, 0x3a), 5u);
}

TEST(msr, tsc_and_tsc_adjust_move_together) {  // SDM 3B "Time-Stamp Counter Adjustment"
  TestMachine m;
  const u64 now = m.cpu->tsc();
  EXPECT_TRUE(write_msr(*m.cpu, 0x10, now + 1000));
  EXPECT_EQ(rd(m, 0x3b), 1000u);
  EXPECT_TRUE(write_msr(*m.cpu, 0x3b, 0));
  EXPECT_EQ(rd(m, 0x10), now);
}

TEST(msr, efer_lma_is_not_written) {
  TestMachine m;
  EXPECT_TRUE(write_msr(*m.cpu, 0xc0000080, efer::LME | efer::SCE));
  EXPECT_EQ(rd(m, 0xc0000080), efer::LME | efer::SCE | efer::LMA);
}

TEST(msr, microcode_update_is_not_modelled_and_says_so) {
  TestMachine m;
  EXPECT_TRUE(write_msr(*m.cpu, 0x79, 0x1000));
  EXPECT_EQ(m.stop_.reason(), StopReason::unsupported);
  EXPECT_NE(m.stop_.what().find("microcode"), std::string::npos);
  tested("MSR", 0x79);
}

TEST(msr, the_apic_page_follows_its_base) {
  TestMachine m;
  u32 v = 0x5a5a5a5a, w = 0;
  ASSERT_TRUE(m.cpu->store_at(0x400000, v));
  ASSERT_TRUE(write_msr(*m.cpu, 0x1b, 0x400000 | 0x900));
  m.cpu->careful = true;
  ASSERT_TRUE(m.cpu->load_at(0x400030, w));
  EXPECT_NE(w, 0u) << "the version register";
  ASSERT_TRUE(m.cpu->load_at(0x400000, w));
  EXPECT_NE(w, v);
  m.cpu->careful = false;
}

}  // namespace
}  // namespace vt::cpu
