// SPDX-License-Identifier: GPL-2.0-or-later
/// The notation of an instruction's row (cpu/include/cpu/def.hpp): what each token means, and what is not understood.   SDM 2 "Opcode Column in the Instruction Summary Table"
#include "pattern.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace vt::cpu {
namespace {

using P = Pattern::Prefix;
Pattern of(const char* opcode, const char* operands = "", u32 attrs = 0) { return parse_pattern(Def{"X", opcode, operands, attrs, Feature::always, {}}); }

TEST(pattern, prefixes_and_maps) {
  const struct { const char* text; P prefix; unsigned map, opcode; int w; } rows[] = {
      {"90", P::any, 0, 0x90, -1}, {"0F A2", P::any, 1, 0xa2, -1}, {"0F 38 F0 /r", P::any, 2, 0xf0, -1}, {"0F 3A 0F /r ib", P::any, 3, 0x0f, -1}, {"66 0F 10 /r", P::p66, 1, 0x10, -1},
      {"F3 0F 10 /r", P::pf3, 1, 0x10, -1}, {"F2 0F 10 /r", P::pf2, 1, 0x10, -1}, {"NP 0F 10 /r", P::np, 1, 0x10, -1}, {"NFx 0F C7 /6", P::nfx, 1, 0xc7, -1}, {"REX.W 98", P::any, 0, 0x98, 1},
      {"66 REX.W 0F 6E /r", P::p66, 1, 0x6e, 1}, {"66 W0 0F 6E /r", P::p66, 1, 0x6e, 0}, {"F3 90", P::pf3, 0, 0x90, -1}, {"66", P::any, 0, 0x66, -1}, {"0F", P::any, 0, 0x0f, -1}, {"F3", P::any, 0, 0xf3, -1},
      {"F2", P::any, 0, 0xf2, -1}, {"0F 38", P::any, 1, 0x38, -1}, {"0F 3A", P::any, 1, 0x3a, -1}, {"38 /r", P::any, 0, 0x38, -1}, {"3A /r", P::any, 0, 0x3a, -1}, {"0F 66 /r", P::any, 1, 0x66, -1}};
  for (auto& r : rows) {
    const Pattern p = of(r.text);
    EXPECT_FALSE(p.vex) << r.text;
    EXPECT_EQ(p.prefix, r.prefix) << r.text;
    EXPECT_EQ(p.map, r.map) << r.text;
    EXPECT_EQ(p.opcode, r.opcode) << r.text;
    EXPECT_EQ(p.w, r.w) << r.text;
    EXPECT_EQ(p.l, -1) << r.text;
  }
}

TEST(pattern, modrm_immediates_and_registers_in_the_opcode) {
  const struct { const char* text; bool modrm; int digit, fixed; bool fixed_r, plus_r; Imm imm, imm2; } rows[] = {
      {"01 /r", true, -1, -1, false, false, Imm::none, Imm::none}, {"81 /0 iz", true, 0, -1, false, false, Imm::iz, Imm::none}, {"F7 /7", true, 7, -1, false, false, Imm::none, Imm::none},
      {"0F 01 C1", true, -1, 0xc1, false, false, Imm::none, Imm::none}, {"D8 C0+r", true, -1, 0xc0, true, false, Imm::none, Imm::none}, {"0F AE E8 +r", true, -1, 0xe8, true, false, Imm::none, Imm::none},
      {"50+r", false, -1, -1, false, true, Imm::none, Imm::none}, {"B0 +rb ib", false, -1, -1, false, true, Imm::ib, Imm::none}, {"C8 iw ib", false, -1, -1, false, false, Imm::iw, Imm::ib},
      {"B8+r iv", false, -1, -1, false, true, Imm::iv, Imm::none}, {"B8+r io", false, -1, -1, false, true, Imm::iv, Imm::none}, {"68 id", false, -1, -1, false, false, Imm::id, Imm::none},
      {"EB cb", false, -1, -1, false, false, Imm::cb, Imm::none}, {"E9 cz", false, -1, -1, false, false, Imm::cz, Imm::none}, {"E9 cw", false, -1, -1, false, false, Imm::cz, Imm::none}, {"E9 cd", false, -1, -1, false, false, Imm::cz, Imm::none},
      {"EA cp", false, -1, -1, false, false, Imm::cp, Imm::none}, {"A0 mo", false, -1, -1, false, false, Imm::mo, Imm::none}, {"50 + +rw", false, -1, -1, false, true, Imm::none, Imm::none}, {"50 +rd", false, -1, -1, false, true, Imm::none, Imm::none},
      {"D8 C0 +i", true, -1, 0xc0, true, false, Imm::none, Imm::none}};
  for (auto& r : rows) {
    const Pattern p = of(r.text);
    EXPECT_EQ(p.modrm, r.modrm) << r.text;
    EXPECT_EQ(p.digit, r.digit) << r.text;
    EXPECT_EQ(p.fixed, r.fixed) << r.text;
    EXPECT_EQ(p.fixed_r, r.fixed_r) << r.text;
    EXPECT_EQ(p.plus_r, r.plus_r) << r.text;
    EXPECT_EQ(p.imm, r.imm) << r.text;
    EXPECT_EQ(p.imm2, r.imm2) << r.text;
  }
}

TEST(pattern, vex) {
  const struct { const char* text; P prefix; unsigned map; int l, w; } rows[] = {
      {"VEX.128.66.0F38.W0 F7 /r", P::p66, 2, 0, 0}, {"VEX.256.F3.0F.WIG 10 /r", P::pf3, 1, 1, -1}, {"VEX.LIG.F2.0F.W1 2C /r", P::pf2, 1, -1, 1}, {"VEX.LZ.NP.0F38.W1 F2 /r", P::np, 2, 0, 1}, {"VEX.L0.0F3A.W0 F0 /r ib", P::np, 3, 0, 0},
      {"VEX.L1.0F 77", P::np, 1, 1, -1}, {"VEX.NDS.128.66.0F 58 /r", P::p66, 1, 0, -1}, {"VEX.NDD.256.0F 71 /2 ib", P::np, 1, 1, -1}, {"VEX.DDS.128.66.0F38.W1 98 /r", P::p66, 2, 0, 1}};
  for (auto& r : rows) {
    const Pattern p = of(r.text);
    EXPECT_TRUE(p.vex) << r.text;
    EXPECT_EQ(p.prefix, r.prefix) << r.text;
    EXPECT_EQ(p.map, r.map) << r.text;
    EXPECT_EQ(p.l, r.l) << r.text;
    EXPECT_EQ(p.w, r.w) << r.text;
  }
}

TEST(pattern, operands) {
  const struct { const char *opcode, *operands; u32 attrs; bool memory, reg, vvvv, vsib, byte_reg, byte_rm; } rows[] = {
      {"00 /r", "Eb,Gb", 0, false, false, false, false, true, true}, {"01 /r", "Ev,Gv", 0, false, false, false, false, false, false}, {"0F B6 /r", "Gv,Eb", 0, false, false, false, false, false, true},
      {"0F C3 /r", "My,Gy", 0, true, false, false, false, false, false}, {"0F 38 F0 /r", "Gb, Mb", 0, true, false, false, false, true, true}, {"0F C7 /6", "Rv", 0, false, true, false, false, false, false},
      {"0F 20 /r", "Rd, Cd", attr::cr_dr, false, false, false, false, false, false}, {"0F 50 /r", "Gd,Ups", 0, false, true, false, false, false, false}, {"0F D7 /r", "Gd,Nq", 0, false, true, false, false, false, false},
      {"VEX.128.0F 58 /r", "Vps,Hps,Wps", 0, false, false, true, false, false, false}, {"VEX.LZ.0F38 F7 /r", "Gy,Ey,By", 0, false, false, true, false, false, false},
      {"VEX.128.66.0F38.W0 90 /r", "Vx,Mvsib,Hx", 0, true, false, true, true, false, false}, {"B0+r ib", "Zb,Ib", 0, false, false, false, false, true, true}, {"B8+r iv", "Zv,Iv", 0, false, false, false, false, false, false},
      {"0F 90 /0", "Rb", 0, false, true, false, false, false, true}, {"D9 /0", "Md", 0, true, false, false, false, false, false}, {"D9 /0", "", 0, true, false, false, false, false, false}, {"D9 C0+r", "", 0, false, false, false, false, false, false},
      {"D7", "", 0, false, false, false, false, false, false}, {"DF /0", "", 0, true, false, false, false, false, false}, {"D8 /0", "", 0, true, false, false, false, false, false}, {"E0 cb", "", 0, false, false, false, false, false, false},
      {"0F D8 /r", "", 0, false, false, false, false, false, false}, {"50+r", "Rv", 0, false, false, false, false, false, false}};
  for (auto& r : rows) {
    const Pattern p = of(r.opcode, r.operands, r.attrs);
    EXPECT_EQ(p.memory_only, r.memory) << r.opcode << " " << r.operands;
    EXPECT_EQ(p.register_only, r.reg) << r.opcode << " " << r.operands;
    EXPECT_EQ(p.vvvv, r.vvvv) << r.opcode << " " << r.operands;
    EXPECT_EQ(p.vsib, r.vsib) << r.opcode << " " << r.operands;
    EXPECT_EQ(p.byte_reg, r.byte_reg) << r.opcode << " " << r.operands;
    EXPECT_EQ(p.byte_rm, r.byte_rm) << r.opcode << " " << r.operands;
  }
}

TEST(pattern, what_is_not_understood_is_said) {
  for (const char* text : {"", "NP", "REX.W", "/r", "0F 10 /8", "0F 10 /x", "0F 10 zz", "VEX.512.0F 10 /r", "VEX.128.0F39 10 /r", "VEX.128.0F", "10 /rr", "10 ibb", "0f", "xx 10", "1"})
    try {
      of(text);
      ADD_FAILURE() << text;
    } catch (const std::runtime_error& e) {
      EXPECT_NE(std::string(e.what()).find("X"), std::string::npos) << "it names the row";
    }
}

}  // namespace
}  // namespace vt::cpu
