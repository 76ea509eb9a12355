// SPDX-License-Identifier: GPL-2.0-or-later
/// VEX rules and what the native judge found; results are the judge's business (judge_test.cpp).
#include "harness.hpp"

namespace vt::cpu {
namespace {

using Code = std::vector<u8>;
constexpr u64 kHole = 0x200000;  // not present; RAM below it

struct Machine : TestMachine {
  Machine() {
    Cpu& c = *cpu;
    c.cr4 |= cr4::OSXSAVE;
    c.xcr0 = 7;
    c.update();
    poke<u64>(kPml4 + 0x2000 + 8, 0);
    for (unsigned n = 0; n < 16; ++n) for (unsigned k = 0; k < 4; ++k) c.fpu.ymm[n][k] = 0x1000 * n + k + 1;
    c.r[6] = kData;
  }
  void change(u64 cr0_set, u64 cr4_clear, u64 xcr0) {
    cpu->cr0 |= cr0_set, cpu->cr4 &= ~cr4_clear, cpu->xcr0 = xcr0;
    cpu->update();
  }
  u64 q(unsigned n, unsigned k) { return cpu->fpu.ymm[n][k]; }
};
const Code kVpaddb = {0xc5, 0xf1, 0xfc, 0xc2}, kVpaddbY = {0xc5, 0xf5, 0xfc, 0xc2}, kPaddb = {0x66, 0x0f, 0xfc, 0xc2};  // [v]paddb x0, (x1,) x2

// SDM 2A "VEX Prefix", "Exceptions Type 4 (>=16 Byte Mem Arg No Alignment, No Floating-point Exceptions)"
TEST(vex, undefined_encodings) {
  EXPECT_EQ(Machine().run(kVpaddb), -1);
  EXPECT_EQ(Machine().run({0xc5, 0xf0, 0x28, 0xc2}), UD) << "VMOVAPS with VEX.vvvv";
  EXPECT_EQ(Machine().run({0xc5, 0xf8, 0x28, 0xc2}), -1);
  EXPECT_EQ(Machine().run({0xc5, 0xfd, 0xc5, 0xc0, 0x01}), UD) << "VPEXTRW with VEX.L";
  EXPECT_EQ(Machine().run({0xc4, 0xe2, 0xfd, 0x18, 0x06}), UD) << "VBROADCASTSS with VEX.W";
  for (u8 prefix : {0x66, 0xf2, 0xf3, 0xf0, 0x48}) {
    Code c = kVpaddb;
    c.insert(c.begin(), prefix);
    EXPECT_EQ(Machine().run(c), UD) << unsigned{prefix};
  }
}
TEST(vex, what_the_system_has_not_enabled) {
  Machine a;
  a.change(0, cr4::OSXSAVE, 7);
  EXPECT_EQ(a.run(kVpaddb), UD);
  Machine b;
  b.change(0, 0, 3);
  EXPECT_EQ(b.run(kVpaddb), UD);
  Machine ts;
  ts.change(cr0::TS, 0, 7);
  EXPECT_EQ(ts.run(kVpaddb), NM);
  Machine both;
  both.change(cr0::TS, 0, 3);
  EXPECT_EQ(both.run(kVpaddb), UD);
  Machine em;
  em.change(cr0::EM, 0, 7);
  EXPECT_EQ(em.run(kVpaddb), -1) << "CR0.EM is not theirs";
  EXPECT_EQ(em.run(kPaddb), UD);
}
// SDM 1 "Programming with Intel AVX ...": upper halves
TEST(vex, upper_halves) {
  Machine m;
  ASSERT_EQ(m.run(kPaddb), -1);
  EXPECT_EQ(m.q(0, 2), 3u);
  ASSERT_EQ(m.run(kVpaddbY), -1);
  EXPECT_NE(m.q(0, 2), 0u);
  ASSERT_EQ(m.run(kVpaddb), -1);
  EXPECT_EQ(m.q(0, 2), 0u);
  EXPECT_EQ(m.q(0, 3), 0u);
  ASSERT_EQ(m.run({0xc5, 0xf8, 0x77}), -1);  // vzeroupper
  EXPECT_EQ(m.q(15, 2), 0u);
  EXPECT_EQ(m.q(15, 1), 0xf002u);
  ASSERT_EQ(m.run({0xc5, 0xfc, 0x77}), -1);  // vzeroall
  EXPECT_EQ(m.q(15, 1), 0u);
}
TEST(vex, alignment) {
  Machine m;
  m.cpu->r[6] = TestMachine::kData + 16;
  EXPECT_EQ(m.run({0xc5, 0xfc, 0x28, 0x06}), GP) << "vmovaps ymm";
  m.enter(TestMachine::Mode::long64), m.change(0, 0, 7), m.cpu->cr4 |= cr4::OSXSAVE, m.cpu->update();
  m.cpu->r[6] = TestMachine::kData + 3;
  EXPECT_EQ(m.run({0xc5, 0xfc, 0x10, 0x06}), -1) << "vmovups ymm";
  EXPECT_EQ(m.run({0xc5, 0xf5, 0xfc, 0x06}), -1) << "vpaddb ymm, ymm, m256";
}
// SDM 2C "VMASKMOV", "VPGATHERDD/VPGATHERQD"
TEST(avx, masked_elements_are_not_accessed) {
  Machine m;
  m.cpu->r[6] = kHole - 16;
  m.cpu->fpu.ymm[1][0] = m.cpu->fpu.ymm[1][1] = 0x8000000080000000, m.cpu->fpu.ymm[1][2] = m.cpu->fpu.ymm[1][3] = 0;
  EXPECT_EQ(m.run({0xc4, 0xe2, 0x75, 0x2e, 0x06}), -1);  // vmaskmovps [rsi], ymm1, ymm0
  EXPECT_EQ(m.run({0xc4, 0xe2, 0x75, 0x2c, 0x16}), -1);  // vmaskmovps ymm2, ymm1, [rsi]
  EXPECT_EQ(m.q(2, 1), 2u);
  EXPECT_EQ(m.q(2, 2), 0u);
  m.cpu->fpu.ymm[1][2] = 0x80000000;
  EXPECT_EQ(m.run({0xc4, 0xe2, 0x75, 0x2c, 0x16}), PF);
  EXPECT_EQ(m.cpu->cr2, kHole);
}
// SDM 2C "VMASKMOV": the manual leaves CR2 open. Processors tell of the first selected byte, or, where that one is there, of the last.
TEST(avx, a_masked_store_across_pages_tells_of_its_last_byte) {
  Machine m;
  m.cpu->fpu.ymm[1][0] = m.cpu->fpu.ymm[1][1] = 0x8000000080000000, m.cpu->fpu.ymm[1][2] = 0x80000000, m.cpu->fpu.ymm[1][3] = 0;
  m.cpu->r[6] = kHole - 6;
  const u64 before = m.peek<u64>(kHole - 8);
  EXPECT_EQ(m.run({0xc4, 0xe2, 0x75, 0x2e, 0x06}), PF);  // vmaskmovps [rsi], ymm1, ymm0
  EXPECT_EQ(m.cpu->cr2, kHole - 6 + 19) << "element 4's last byte";
  EXPECT_EQ(m.peek<u64>(kHole - 8), before) << "nothing was written";
  m.cpu->r[6] = kHole;
  EXPECT_EQ(m.run({0xc4, 0xe2, 0x75, 0x2e, 0x06}), PF);
  EXPECT_EQ(m.cpu->cr2, kHole);
  m.cpu->r[6] = 0x7ffffffffff4;
  EXPECT_EQ(m.run({0xc4, 0xe2, 0x75, 0x2c, 0x16}), GP) << "a load, too: no page is looked at before all addresses are";
}
TEST(avx, a_gather_that_faults_keeps_what_it_has) {
  Machine m;
  m.cpu->r[6] = kHole - 8;
  m.poke<u64>(kHole - 8, 0x1122334455667788);
  m.cpu->fpu.ymm[3][0] = 0x0000000400000000, m.cpu->fpu.ymm[3][1] = 0x0000000000000008;  // indexes 0, 4, 8, 0
  m.cpu->fpu.ymm[1][0] = m.cpu->fpu.ymm[1][1] = ~u64{0};
  EXPECT_EQ(m.run({0xc4, 0xe2, 0x71, 0x90, 0x04, 0x1e}), PF);  // vpgatherdd xmm0, [rsi + xmm3], xmm1
  EXPECT_EQ(m.cpu->cr2, kHole);
  EXPECT_EQ(m.q(0, 0), 0x1122334455667788u);
  EXPECT_EQ(m.q(1, 0), 0u);
  EXPECT_EQ(m.q(1, 1), ~u64{0});
  EXPECT_EQ(Machine().run({0xc4, 0xe2, 0x79, 0x90, 0x04, 0x1e}), UD) << "destination and mask are one";
  // Addresses wrap where the address size says so: base and index add up to more than 4 GiB, or to more than 2.
  for (u64 base : {u64{0x7fff'fffc}, u64{0xffff'fffc}}) {
    Machine w;
    w.cpu->r[6] = base;
    w.cpu->fpu.ymm[3][0] = 0x2004, w.cpu->fpu.ymm[1][0] = 0x8000'0000;
    w.cpu->fpu.ymm[1][1] = w.cpu->fpu.ymm[3][1] = 0;
    w.poke<u32>(0x2000, 0x600d600d);
    const int got = w.run({0x67, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x1e});
    EXPECT_EQ(got, base > 0x8000'0000 ? -1 : PF);
    if (got == PF) { EXPECT_EQ(w.cpu->cr2, 0x8000'2000u); }
    else { EXPECT_EQ(w.q(0, 0) & 0xffff'ffff, 0x600d600du); }
  }
}

// --- what the judge found, by the rule that was wrong ------------------------------------------------------

TEST(found, emms_makes_register_0_the_top) {
  Machine m;
  m.cpu->fpu.sw = 5 << 11;
  ASSERT_EQ(m.run({0x0f, 0x77}), -1);
  EXPECT_EQ(m.cpu->fpu.sw, 0);
  EXPECT_EQ(m.cpu->fpu.tags, 0);
}
TEST(found, an_mmx_store_that_faults_has_set_top_but_no_tags) {
  Machine m;
  m.cpu->fpu.sw = 5 << 11, m.cpu->fpu.tags = 0x12, m.cpu->r[6] = kHole;
  EXPECT_EQ(m.run({0x0f, 0x7f, 0x06}), PF);
  EXPECT_EQ(m.cpu->fpu.sw, 0);
  EXPECT_EQ(m.cpu->fpu.tags, 0x12);
}
TEST(found, fstpnce_pops_an_empty_register_without_an_exception) {
  Machine m;
  m.cpu->fpu.sw = 0, m.cpu->fpu.tags = 0;
  ASSERT_EQ(m.run({0xd9, 0xd9}), -1);
  EXPECT_EQ(m.cpu->fpu.sw, 1 << 11);
  EXPECT_EQ(m.cpu->fpu.tags, 0);
}
TEST(found, infinity_times_zero_plus_a_quiet_nan_is_no_invalid_operation) {
  Machine m;
  m.cpu->fpu.ymm[0][0] = 0x7f800000, m.cpu->fpu.ymm[1][0] = 0x7fc12345, m.cpu->fpu.ymm[2][0] = 0;
  ASSERT_EQ(m.run({0xc4, 0xe2, 0x71, 0x99, 0xc2}), -1);  // vfmadd132ss xmm0, xmm1, xmm2
  EXPECT_EQ(m.q(0, 0) & 0xffffffff, 0x7fc12345u);
  EXPECT_EQ(m.cpu->fpu.mxcsr, 0x1f80u);
}
TEST(found, vcvtps2ph_raises_flags_before_its_store_faults) {
  Machine m;
  m.cpu->r[6] = kHole, m.cpu->fpu.ymm[0][0] = 0x3f800001;
  EXPECT_EQ(m.run({0xc4, 0xe3, 0x79, 0x1d, 0x06, 0x00}), PF);
  EXPECT_NE(m.cpu->fpu.mxcsr & 0x20, 0u);
}
TEST(found, a_repetition_with_32_bit_addresses_cuts_its_registers) {
  Machine m;
  m.cpu->r[1] = u64{5} << 32, m.cpu->r[6] = u64{6} << 32 | 8, m.cpu->r[7] = u64{7} << 32 | 9;
  ASSERT_EQ(m.run({0x67, 0xf3, 0xa4}), -1);
  EXPECT_EQ(m.cpu->r[1], 0u);
  EXPECT_EQ(m.cpu->r[6], 8u);
  EXPECT_EQ(m.cpu->r[7], 9u);
}
TEST(found, cmps_reads_its_second_operand_first) {
  Machine m;
  m.cpu->r[6] = kHole, m.cpu->r[7] = kHole + 4096;
  EXPECT_EQ(m.run({0xa6}), PF);
  EXPECT_EQ(m.cpu->cr2, kHole + 4096);
}
TEST(found, fsin_of_an_empty_register_clears_c2) {
  Machine m;
  m.cpu->fpu.cw = 0x37e, m.cpu->fpu.sw = 0x400, m.cpu->fpu.tags = 0;
  (void)m.run({0xd9, 0xfe});
  EXPECT_EQ(m.cpu->fpu.sw & 0x400, 0);
}

}  // namespace
}  // namespace vt::cpu
