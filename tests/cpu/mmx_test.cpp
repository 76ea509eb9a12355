// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.hpp"

namespace vt::cpu {
namespace {

constexpr u64 kAt = TestMachine::kData;

// SDM 1 "Transitions Between x87 FPU and MMX Code"
TEST(mmx, any_instruction_marks_all_registers_valid_and_clears_top) {
  TestMachine m;
  m.cpu->fpu.sw = 5 << 11 | 0x4100;
  m.cpu->fpu.st[1] = {0x0101010101010101, 0x3fff}, m.cpu->fpu.st[2] = {0x7f7f7f7f7f7f7f7f, 0x1234};
  ASSERT_EQ(m.run({0x0f, 0xfc, 0xca}), -1);  // paddb mm1, mm2
  EXPECT_EQ(m.cpu->fpu.tags, 0xff);
  EXPECT_EQ(m.cpu->fpu.sw, 0x4100);
  EXPECT_EQ(m.cpu->fpu.st[1].m, 0x8080808080808080u);
  EXPECT_EQ(m.cpu->fpu.st[1].se, 0xffff);
  EXPECT_EQ(m.cpu->fpu.st[2].se, 0x1234);    // only read
  ASSERT_EQ(m.run({0x0f, 0x77}), -1);        // emms
  EXPECT_EQ(m.cpu->fpu.tags, 0);
}
TEST(mmx, rex_does_not_extend_register_numbers) {
  TestMachine m;
  m.cpu->fpu.st[2].m = 42;
  ASSERT_EQ(m.run({0x45, 0x0f, 0x6f, 0xca}), -1);  // movq mm1, mm2 with REX.R and REX.B
  EXPECT_EQ(m.cpu->fpu.st[1].m, 42u);
}
TEST(mmx, a_pending_x87_exception_is_reported_first) {
  TestMachine m;
  m.cpu->fpu.cw = 0x37e, m.cpu->fpu.sw = 0x8081;
  m.cpu->r[6] = 0x4000'0000'0000;  // would fault, too
  EXPECT_EQ(m.run({0x0f, 0x6f, 0x0e}), MF);  // movq mm1, [rsi]
  EXPECT_EQ(m.cpu->fpu.tags, 0);
}
TEST(mmx, faults_of_control_register_0) {
  TestMachine em;
  em.cpu->cr0 |= cr0::EM | cr0::TS;
  em.cpu->update();
  EXPECT_EQ(em.run({0x0f, 0xfc, 0xca}), UD);
  TestMachine ts;
  ts.cpu->cr0 |= cr0::TS;
  ts.cpu->update();
  EXPECT_EQ(ts.run({0x0f, 0xfc, 0xca}), NM);
}
// SDM 2B "PUNPCKLBW": the MMX form reads 32 bits from memory.
TEST(mmx, unpack_low_reads_half) {
  TestMachine m;
  m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);
  m.poke<u32>(0x200000 - 4, 0x04030201);
  m.cpu->r[6] = 0x200000 - 4;
  m.cpu->fpu.st[1].m = 0xddccbbaa;
  EXPECT_EQ(m.run({0x0f, 0x60, 0x0e}), -1);
  EXPECT_EQ(m.cpu->fpu.st[1].m, 0x04dd03cc02bb01aau);
  EXPECT_EQ(m.run({0x0f, 0x68, 0x0e}), PF);  // the high form reads all
}
// SDM 2B "MASKMOVQ": only selected bytes are written. Which ones can fault is up to the processor: all, on Intel's.
TEST(mmx, maskmovq_stores_selected_bytes_and_checks_all) {
  TestMachine m;
  m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);
  m.cpu->r[7] = 0x200000 - 8;
  m.poke<u64>(0x200000 - 8, 0);
  m.cpu->fpu.st[1].m = 0x8877665544332211, m.cpu->fpu.st[2].m = 0x00000000'80008000;
  EXPECT_EQ(m.run({0x0f, 0xf7, 0xca}), -1);
  EXPECT_EQ(m.peek<u64>(0x200000 - 8), 0x44002200u);
  m.cpu->r[7] = 0x200000 - 4;
  for (u64 select : {u64{0x80008000}, u64{0x80}, u64{0}}) {
    m.cpu->fpu.st[2].m = select;
    EXPECT_EQ(m.run({0x0f, 0xf7, 0xca}), PF) << select;
    EXPECT_EQ(m.cpu->cr2, 0x200000u);
    EXPECT_EQ(m.peek<u64>(0x200000 - 8), 0x44002200u) << "nothing was written";
  }
  m.cpu->r[7] = 0x7ffffffffffc;
  EXPECT_EQ(m.run({0x0f, 0xf7, 0xca}), GP) << "the end is not canonical";
}
// The manual does not say; processors do so, as the native judge has found.
TEST(mmx, store_that_faults_has_set_the_top_and_left_the_tags) {
  TestMachine m;
  m.cpu->fpu.sw = 2 << 11;
  m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);
  m.cpu->r[6] = 0x200000;
  EXPECT_EQ(m.run({0x0f, 0x7f, 0x0e}), PF);
  EXPECT_EQ(m.cpu->fpu.sw, 0);
  EXPECT_EQ(m.cpu->fpu.tags, 0);
}
}  // namespace
}  // namespace vt::cpu
