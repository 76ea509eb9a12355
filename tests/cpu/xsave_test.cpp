// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.hpp"

namespace vt::cpu {
namespace {

constexpr u64 kArea = TestMachine::kData;
using Code = std::vector<u8>;
const Code kFxsave = {0x0f, 0xae, 0x06}, kFxsave64 = {0x48, 0x0f, 0xae, 0x06}, kFxrstor = {0x0f, 0xae, 0x0e}, kFxrstor64 = {0x48, 0x0f, 0xae, 0x0e};
const Code kXsave = {0x0f, 0xae, 0x26}, kXrstor = {0x0f, 0xae, 0x2e}, kXsaveopt = {0x0f, 0xae, 0x36}, kXsavec = {0x0f, 0xc7, 0x26}, kXsaves = {0x0f, 0xc7, 0x2e}, kXrstors = {0x0f, 0xc7, 0x1e};
const Code kXgetbv = {0x0f, 0x01, 0xd0}, kXsetbv = {0x0f, 0x01, 0xd1}, kLdmxcsr = {0x0f, 0xae, 0x16}, kStmxcsr = {0x0f, 0xae, 0x1e};

/// Operand at [rsi] = kArea; XCR0 and OSXSAVE on; registers with recognisable contents.
struct Machine : TestMachine {
  explicit Machine(std::vector<std::string> features = {}, u64 xcr0 = 3, bool avx = false) : TestMachine(Mode::long64, with(features, avx)) {
    Cpu& c = *cpu;
    c.cr4 |= cr4::OSXSAVE;
    c.xcr0 = xcr0;
    c.update();
    c.r[6] = kArea, c.r[0] = ~u64{0}, c.r[2] = ~u64{0}, c.r[1] = 0;
    c.fpu.cw = 0x27f, c.fpu.sw = 3 << 11, c.fpu.tags = 0x18, c.fpu.fop = 0x123, c.fpu.fip = 0x1122334455667788, c.fpu.fdp = 0x99aabbccddeeff00;
    for (unsigned n = 0; n < 8; ++n) c.fpu.st[n] = {0x8000000000000000 + n, static_cast<u16>(0x3fff + n)};
    c.fpu.mxcsr = 0x1fa0;
    for (unsigned n = 0; n < 16; ++n) for (unsigned k = 0; k < 4; ++k) c.fpu.ymm[n][k] = 0x1000 * n + k + 1;
    for (u64 k = 0; k < 1024; k += 8) poke<u64>(kArea + k, 0xcccccccccccccccc);
  }
  static std::vector<std::string> with(std::vector<std::string> features, bool avx) {
    if (!avx) features.insert(features.begin(), "-avx");
    return features;
  }
  u64 q(u64 at) { return peek<u64>(kArea + at); }
  void zero_header() { for (u64 k = 512; k < 576; k += 8) poke<u64>(kArea + k, 0); }
};

// SDM 2A "FXSAVE"
TEST(fxsave, image_has_the_stack_relative_registers_and_abridged_tags) {
  Machine m;
  ASSERT_EQ(m.run(kFxsave64), -1);
  EXPECT_EQ(m.peek<u16>(kArea), 0x27f);
  EXPECT_EQ(m.peek<u16>(kArea + 2), 3 << 11);
  EXPECT_EQ(m.peek<u16>(kArea + 4), 0x18);
  EXPECT_EQ(m.peek<u16>(kArea + 6), 0x123);
  EXPECT_EQ(m.q(8), 0x1122334455667788u);
  EXPECT_EQ(m.q(16), 0x99aabbccddeeff00u);
  EXPECT_EQ(m.peek<u32>(kArea + 24), 0x1fa0u);
  EXPECT_EQ(m.peek<u32>(kArea + 28), 0xffffu);
  EXPECT_EQ(m.q(32), 0x8000000000000003u);  // ST(0) is R3
  EXPECT_EQ(m.q(40), 0x4002u);
  EXPECT_EQ(m.q(32 + 16 * 7), 0x8000000000000002u);
  EXPECT_EQ(m.q(160 + 16 * 15), 0xf001u);
  EXPECT_EQ(m.q(416), 0xccccccccccccccccu);  // not written
}
TEST(fxsave, without_rex_w_pointers_are_32_bits_and_selectors_zero) {
  Machine m;
  ASSERT_EQ(m.run(kFxsave), -1);
  EXPECT_EQ(m.q(8), 0x55667788u);
  EXPECT_EQ(m.q(16), 0xddeeff00u);
}
TEST(fxsave, round_trip) {
  Machine m;
  const Fpu before = m.cpu->fpu;
  ASSERT_EQ(m.run(kFxsave64), -1);
  m.cpu->fpu = Fpu{};
  for (unsigned n = 0; n < 16; ++n) for (unsigned k = 2; k < 4; ++k) m.cpu->fpu.ymm[n][k] = before.ymm[n][k];
  ASSERT_EQ(m.run(kFxrstor64), -1);
  EXPECT_EQ(std::memcmp(&m.cpu->fpu, &before, sizeof before), 0);
}
TEST(fxsave, other_modes_have_eight_vector_registers) {
  TestMachine m(TestMachine::Mode::protected32);
  m.cpu->r[6] = kArea;
  m.cpu->fpu.ymm[7][0] = 7, m.cpu->fpu.ymm[8][0] = 8;
  ASSERT_EQ(m.run(kFxsave), -1);
  EXPECT_EQ(m.peek<u64>(kArea + 160 + 16 * 7), 7u);
  EXPECT_EQ(m.peek<u64>(kArea + 160 + 16 * 8), 0u);
}
TEST(fxsave, without_osfxsr_the_vector_registers_are_left_out) {
  Machine m;
  m.cpu->cr4 &= ~cr4::OSFXSR;
  m.cpu->update();
  ASSERT_EQ(m.run(kFxsave64), -1);
  EXPECT_EQ(m.q(160), 0xccccccccccccccccu);
  m.poke<u32>(kArea + 24, ~0u);  // not looked at
  EXPECT_EQ(m.run(kFxrstor64), -1);
  EXPECT_EQ(m.cpu->fpu.mxcsr, 0x1fa0u);
}
TEST(fxsave, faults) {
  for (const Code& code : {kFxsave, kFxrstor}) {
    Machine m;
    m.cpu->r[6] = kArea + 8;
    EXPECT_EQ(m.run(code), GP);  // 16-byte alignment
    EXPECT_EQ(m.error_code(), 0u);
    for (u64 flag : {cr0::TS, cr0::EM}) {
      Machine n;
      n.cpu->cr0 |= flag;
      n.cpu->update();
      EXPECT_EQ(n.run(code), NM);
    }
  }
}
TEST(fxsave, reserved_mxcsr_bits_fault_before_anything_is_loaded) {
  Machine m;
  ASSERT_EQ(m.run(kFxsave64), -1);
  m.poke<u32>(kArea + 24, 0x10000);
  m.poke<u16>(kArea, 0x37f);
  EXPECT_EQ(m.run(kFxrstor64), GP);
  EXPECT_EQ(m.cpu->fpu.cw, 0x27f);
}
TEST(fxsave, a_fault_in_the_second_page_writes_nothing) {
  Machine m;
  m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8 * 1, 0);  // 2 MiB to 4 MiB
  const u64 at = 0x200000 - 256;
  m.poke<u64>(at, 0x1234);
  m.cpu->r[6] = at;
  EXPECT_EQ(m.run(kFxsave64), PF);
  EXPECT_EQ(m.cpu->cr2, 0x200000u);
  EXPECT_EQ(m.peek<u64>(at), 0x1234u);
}
// A status word with an exception that the control word does not mask is pending after the load.
TEST(fxsave, error_summary_follows_flags_and_masks) {
  Machine m;
  ASSERT_EQ(m.run(kFxsave64), -1);
  m.poke<u16>(kArea, 0x37e), m.poke<u16>(kArea + 2, 1);
  ASSERT_EQ(m.run(kFxrstor64), -1);
  EXPECT_EQ(m.cpu->fpu.sw, 0x8081);
  EXPECT_EQ(m.run({0x9b}), MF);  // FWAIT
}

// SDM 1 "XSAVE Instruction"
TEST(xsave, saves_what_is_asked_for_and_keeps_the_rest_of_the_header) {
  Machine m;
  m.zero_header();
  m.poke<u64>(kArea + 512, 1);
  m.cpu->r[0] = 2, m.cpu->r[2] = 0;
  ASSERT_EQ(m.run(kXsave), -1);
  EXPECT_EQ(m.q(512), 3u);                    // bit 0 kept, bit 1 in use
  EXPECT_EQ(m.q(0), 0xccccccccccccccccu);     // no x87 state
  EXPECT_EQ(m.peek<u32>(kArea + 24), 0x1fa0u);
  EXPECT_EQ(m.q(160), 1u);
  EXPECT_EQ(m.q(576), 0xccccccccccccccccu);
}
TEST(xsave, xstate_bv_tells_what_is_not_initial) {
  Machine m;
  for (auto& r : m.cpu->fpu.ymm) r[0] = r[1] = 0;
  ASSERT_EQ(m.run(kXsave), -1);
  EXPECT_EQ(m.q(512) & 3, 1u);
  EXPECT_EQ(m.q(160), 0u);  // XSAVE writes it nevertheless
  Machine n;
  for (auto& r : n.cpu->fpu.ymm) r[0] = r[1] = 0;
  ASSERT_EQ(n.run(kXsaveopt), -1);
  EXPECT_EQ(n.q(160), 0xccccccccccccccccu);
  EXPECT_EQ(n.peek<u32>(kArea + 24), 0x1fa0u);
}
TEST(xsave, avx_state_with_the_feature) {
  Machine m({}, 7, true);
  m.zero_header();
  ASSERT_EQ(m.run(kXsave), -1);
  EXPECT_EQ(m.q(512), 7u);
  EXPECT_EQ(m.q(576 + 16 * 15), 0xf003u);
  for (auto& r : m.cpu->fpu.ymm) r[0] = r[1] = r[2] = r[3] = 0;
  m.cpu->r[0] = 4;
  ASSERT_EQ(m.run(kXrstor), -1);
  EXPECT_EQ(m.cpu->fpu.ymm[15][2], 0xf003u);
  EXPECT_EQ(m.cpu->fpu.ymm[15][0], 0u);
}
TEST(xsave, faults) {
  for (const Code& code : {kXsave, kXsaveopt, kXrstor}) {
    Machine off;
    off.cpu->cr4 &= ~cr4::OSXSAVE;
    off.cpu->cr0 |= cr0::TS;
    off.cpu->update();
    EXPECT_EQ(off.run(code), UD);
    Machine ts;
    ts.cpu->cr0 |= cr0::TS;
    ts.cpu->update();
    EXPECT_EQ(ts.run(code), NM);
    Machine align;
    align.cpu->r[6] = kArea + 16;
    EXPECT_EQ(align.run(code), GP);
  }
  for (const Code& code : {kXsavec, kXsaves, kXrstors}) EXPECT_EQ(Machine({"-xsavec"}).run(code), UD);  // not offered
}
// SDM 1 "Standard Form of XRSTOR"
TEST(xrstor, initialises_what_xstate_bv_leaves_out) {
  Machine m;
  m.zero_header();
  m.poke<u32>(kArea + 24, 0x1f80);
  ASSERT_EQ(m.run(kXrstor), -1);
  EXPECT_EQ(m.cpu->fpu.cw, 0x37f);
  EXPECT_EQ(m.cpu->fpu.tags, 0);
  EXPECT_EQ(m.cpu->fpu.st[3].m, 0u);
  EXPECT_EQ(m.cpu->fpu.ymm[5][1], 0u);
  EXPECT_EQ(m.cpu->fpu.ymm[5][2], 0x5003u);   // AVX is not in XCR0
  EXPECT_EQ(m.cpu->fpu.mxcsr, 0x1f80u);       // always from memory
}
TEST(xrstor, header_errors) {
  struct { u64 at, value; } bad[] = {{512, 4}, {512, u64{1} << 63}, {520, 1}, {520, u64{1} << 63}, {528, 1}, {24, 0x10000}};
  for (auto& b : bad) {
    Machine m({"-xsavec"});
    m.zero_header();
    m.poke<u64>(kArea + 24, 0x1f80);
    m.poke<u64>(kArea + b.at, b.value);
    EXPECT_EQ(m.run(kXrstor), GP) << b.at;
    EXPECT_EQ(m.cpu->fpu.cw, 0x27f);
  }
  Machine m;  // bytes 63:24 are not looked at in the standard form
  m.zero_header();
  m.poke<u64>(kArea + 24, 0x1f80), m.poke<u64>(kArea + 536, 1);
  EXPECT_EQ(m.run(kXrstor), -1);
}
// SDM 1 "Compacted Form of XRSTOR", "XSAVEC Instruction"
TEST(xsavec, compacted_round_trip) {
  Machine m({"+xsavec"}, 7, true);
  for (auto& r : m.cpu->fpu.ymm) r[0] = r[1] = 0;
  m.cpu->fpu.mxcsr = 0x1f80;
  ASSERT_EQ(m.run(kXsavec), -1);
  EXPECT_EQ(m.q(512), 5u);
  EXPECT_EQ(m.q(520), u64{7} | u64{1} << 63);
  EXPECT_EQ(m.q(528), 0u);
  EXPECT_EQ(m.peek<u32>(kArea + 24), 0xccccccccu);
  m.cpu->fpu.ymm[1][0] = 5, m.cpu->fpu.ymm[1][2] = 5, m.cpu->fpu.mxcsr = 0x1fa0;
  ASSERT_EQ(m.run(kXrstor), -1);
  EXPECT_EQ(m.cpu->fpu.ymm[1][0], 0u);
  EXPECT_EQ(m.cpu->fpu.ymm[1][2], 0x1003u);
  EXPECT_EQ(m.cpu->fpu.mxcsr, 0x1f80u);
  m.poke<u64>(kArea + 528, 1);
  EXPECT_EQ(m.run(kXrstor), GP);
}
TEST(xsavec, mxcsr_that_is_not_initial_makes_sse_state_in_use) {
  Machine m({"+xsavec"});
  for (auto& r : m.cpu->fpu.ymm) r[0] = r[1] = 0;
  ASSERT_EQ(m.run(kXsavec), -1);
  EXPECT_EQ(m.q(512), 3u);
}
TEST(xsaves, xrstors_takes_the_compacted_form_only) {
  Machine m({"+xsavec", "+xsaves"});
  ASSERT_EQ(m.run(kXsaves), -1);
  EXPECT_EQ(m.run(kXrstors), -1);
  m.zero_header();
  EXPECT_EQ(m.run(kXrstors), GP);
}

// SDM 2C "XSETBV", "XGETBV"
TEST(xcr0, legality) {
  struct { u64 value; bool avx, ok; } cases[] = {{1, false, true}, {3, false, true}, {2, false, false}, {0, false, false}, {7, false, false}, {7, true, true}, {5, true, false}, {1 | u64{1} << 32, false, false}, {0x203, false, false}};
  for (auto& k : cases) {
    Machine m({}, 3, k.avx);
    m.cpu->r[0] = static_cast<u32>(k.value), m.cpu->r[2] = k.value >> 32;
    EXPECT_EQ(m.run(kXsetbv), k.ok ? -1 : GP) << k.value;
    EXPECT_EQ(m.cpu->xcr0, k.ok ? k.value : 3);
    ASSERT_EQ(m.run(kXgetbv), -1);
    EXPECT_EQ(m.cpu->r[0], k.ok ? k.value : 3);
    EXPECT_EQ(m.cpu->r[2], 0u);
  }
}
TEST(xcr0, other_registers_and_disabled) {
  Machine m({"-xgetbv1"});
  m.cpu->r[0] = 3, m.cpu->r[1] = 1, m.cpu->r[2] = 0;
  EXPECT_EQ(m.run(kXsetbv), GP);
  EXPECT_EQ(m.run(kXgetbv), GP);
  m.cpu->cr4 &= ~cr4::OSXSAVE;
  m.cpu->update();
  m.cpu->r[1] = 0;
  EXPECT_EQ(m.run(kXgetbv), UD);
  EXPECT_EQ(m.run(kXsetbv), UD);
}
TEST(xcr0, in_use_with_xgetbv1) {
  Machine m({"+xgetbv1"});
  m.cpu->r[1] = 1;
  ASSERT_EQ(m.run(kXgetbv), -1);
  EXPECT_EQ(m.cpu->r[0], 3u);
}

// SDM 2A "LDMXCSR"
TEST(mxcsr, load_and_store) {
  Machine m;
  m.poke<u32>(kArea, 0xffff);
  EXPECT_EQ(m.run(kLdmxcsr), -1);
  EXPECT_EQ(m.cpu->fpu.mxcsr, 0xffffu);
  EXPECT_EQ(m.run(kStmxcsr), -1);
  m.poke<u32>(kArea, 0x10000);
  EXPECT_EQ(m.run(kLdmxcsr), GP);
  EXPECT_EQ(m.cpu->fpu.mxcsr, 0xffffu);
  m.cpu->cr4 &= ~cr4::OSFXSR;
  m.cpu->update();
  EXPECT_EQ(m.run(kStmxcsr), UD);
}
}  // namespace
}  // namespace vt::cpu
