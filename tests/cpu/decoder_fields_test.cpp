// SPDX-License-Identifier: GPL-2.0-or-later
/// What the decoder says of operands against Zydis: every addressing form with every base, index, scale, displacement and segment; immediates; sizes.
/// SDM 2A "Instruction Format"
#include <Zydis/Zydis.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "cpu/block.hpp"
#include "cpu/rows.hpp"
#include "decoder.hpp"
#include "pattern.hpp"

namespace vt::cpu {
namespace {

struct Both {
  explicit Both(unsigned code) : code(code), mode(static_cast<u16>(code | mode_bit::x87_ok | mode_bit::vex_ok | mode_bit::protected_mode)), model(make_model("server", {}, 1, 46, 1'000'000'000)) {
    ZydisDecoderInit(&decoder, code == 2 ? ZYDIS_MACHINE_MODE_LONG_64 : code == 1 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                     code == 2 ? ZYDIS_STACK_WIDTH_64 : code == 1 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
  }
  /// Whether both know it.
  bool decode(const u8* bytes, u16 off = 0) {
    bool ends;
    return cpu::decode(bytes, 15, off, mode, model, i, ends) == Decoded::ok && i.row != kNoRow && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, 15, &z, o));
  }
  unsigned code;
  u16 mode;
  CpuModel model;
  ZydisDecoder decoder;
  ZydisDecodedInstruction z;
  ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
  Insn i;
};
u8 slot(ZydisRegister r) { return r == ZYDIS_REGISTER_NONE ? kZeroReg : r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP ? kRipReg : static_cast<u8>(ZydisRegisterGetId(r)); }
std::string text(const u8* b, unsigned n) {
  std::string s;
  char t[4];
  for (unsigned k = 0; k < n; ++k) std::snprintf(t, sizeof t, " %02x", b[k]), s += t;
  return s;
}

TEST(decoder_fields, every_addressing_form) {
  constexpr int kNone = -1;
  for (unsigned code : {0u, 1u, 2u}) {
    Both b(code);
    unsigned compared = 0;
    for (int asz : {kNone, 0x67})
      for (int segment : {kNone, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65})
        for (int rex : {kNone, 0x41, 0x42, 0x43, 0x47})
          for (unsigned modrm = 0; modrm < 0xc0; ++modrm)
            for (unsigned sib = 0; sib < 256; ++sib) {
              if (rex != kNone && code != 2) continue;
              const bool has_sib = (modrm & 7) == 4 && !(code == 0 && asz == kNone) && !(code == 1 && asz != kNone);
              if (!has_sib && sib > 1) break;
              if ((modrm & 0x38) && (modrm & 0x38) != 0x28) continue;
              u8 bytes[16] = {};
              unsigned n = 0;
              for (int x : {asz, segment, rex}) if (x != kNone) bytes[n++] = static_cast<u8>(x);
              bytes[n++] = 0x8b, bytes[n++] = static_cast<u8>(modrm), bytes[n++] = static_cast<u8>(has_sib ? sib : 0x85 + sib);
              for (u8 v : {0x91, 0x82, 0x73, 0xf4}) bytes[n++] = v;
              ASSERT_TRUE(b.decode(bytes)) << text(bytes, n);
              ++compared;
              const auto& m = b.o[1].mem;
              ASSERT_EQ(b.o[1].type, ZYDIS_OPERAND_TYPE_MEMORY);
              ASSERT_EQ(b.i.len, b.z.length) << text(bytes, n);
              // Of two registers Zydis has the base first, and so has ours; a lone one may be either's with a scale of one
              // Without a base (mod 0, base 5) REX.B means nothing; this Zydis has it mean R13 where addresses have 32 bits
              if (has_sib && modrm < 0x40 && (sib & 7) == 5 && asz != kNone && rex != kNone) {
                ASSERT_EQ(b.i.rm, kZeroReg) << text(bytes, n);
                continue;
              }
              ASSERT_EQ(b.i.rm, slot(m.base)) << code << text(bytes, n);
              ASSERT_EQ(b.i.index, slot(m.index)) << code << text(bytes, n);
              if (m.index != ZYDIS_REGISTER_NONE) { ASSERT_EQ(1u << b.i.scale(), m.scale) << code << text(bytes, n); }
              const i64 disp = m.disp.has_displacement ? m.disp.value : 0;
              ASSERT_EQ(b.i.disp, static_cast<i32>(disp) + (b.i.rm == kRipReg ? b.i.len : 0)) << code << text(bytes, n);
              const unsigned seg = m.segment - ZYDIS_REGISTER_ES;   // ES CS SS DS FS GS
              ASSERT_EQ(b.i.seg, seg) << code << text(bytes, n);
              ASSERT_EQ(b.i.reg, ZydisRegisterGetId(b.o[0].reg.value)) << code << text(bytes, n);
              ASSERT_EQ(16u << b.i.asz(), b.z.address_width) << code << text(bytes, n);
            }
    EXPECT_GT(compared, 5000u);
  }
}

TEST(decoder_fields, immediates_sizes_and_registers_of_every_opcode) {
  std::mt19937_64 random(5);
  std::map<std::string, std::string> wrong;
  for (unsigned code : {0u, 1u, 2u}) {
    Both b(code);
    unsigned immediates = 0, sizes = 0, registers = 0;
    for (unsigned n = 0; n < 300'000; ++n) {
      u8 bytes[16];
      for (unsigned k = 0; k < 16; k += 8) { const u64 v = random(); std::memcpy(bytes + k, &v, 8); }
      unsigned at = 0;
      if (n & 1) bytes[at++] = 0x66;
      if (code == 2 && (n & 2)) bytes[at] = static_cast<u8>(0x40 | (bytes[at] & 15)), ++at;
      if (n % 3) bytes[at++] = 0x0f;
      if (n % 16 > 12) bytes[at] = 0xc8 | (bytes[at] & 7);   // more of the rows whose opcode is a register
      if (!b.decode(bytes, 0x100)) continue;
      const Def& d = all_rows()[b.i.row];
      const Pattern& p = all_patterns()[b.i.row];
      const auto complain = [&](const char* what) { wrong.emplace(std::string(what) + " of " + d.name + " \"" + d.opcode + "\"", std::to_string(16 << code) + "-bit:" + text(bytes, b.i.len)); };
      if (b.i.len != b.z.length) continue;   // the decoder's own tests
      const auto& imm = b.z.raw.imm[0];
      if (p.imm == Imm::mo) {
        if ((static_cast<u64>(b.i.imm) ^ static_cast<u64>(b.z.raw.disp.value)) & mask(b.z.raw.disp.size - 1, 0)) complain("offset");
      } else if (p.imm == Imm::cp) {
        if ((static_cast<u64>(b.i.imm) & mask(imm.size - 1, 0)) != (imm.value.u & mask(imm.size - 1, 0)) || (b.i.disp & 0xffff) != static_cast<i32>(b.z.raw.imm[1].value.u & 0xffff)) complain("far pointer");
      } else if (imm.size && p.imm != Imm::none) {
        ++immediates;
        const i64 v = sext(imm.value.u, imm.size);
        if (b.i.imm != (imm.is_relative ? v + 0x100 + b.i.len : v)) complain("immediate");
        if (p.imm2 != Imm::none && b.i.vvvv != static_cast<u8>(b.z.raw.imm[1].value.u)) complain("second immediate");
      }
      const bool general = b.z.meta.isa_ext == ZYDIS_ISA_EXT_BASE || b.z.meta.isa_ext == ZYDIS_ISA_EXT_LONGMODE || b.z.meta.isa_ext == ZYDIS_ISA_EXT_MOVBE;
      static constexpr const char* kOwn[] = {"CMPXCHG8B", "IN", "OUT", "INS", "OUTS", "LGDT", "LIDT", "SGDT", "SIDT", "NOP"};   // their sizes are not the operand size
      const bool own = (d.attrs & attr::cr_dr) || std::any_of(std::begin(kOwn), std::end(kOwn), [&](const char* x) { return !std::strcmp(x, d.name); });
      if (general && !own && b.z.operand_width != 8 && !std::strstr(d.operands, "b") && d.operands[0]) {
        ++sizes;
        if (16u << b.i.osz() != b.z.operand_width) complain("operand size");
      }
      for (unsigned k = 0; k < b.z.operand_count_visible && general; ++k) {   // which registers, AH to BH among them
        const auto& o = b.o[k];
        if (o.type != ZYDIS_OPERAND_TYPE_REGISTER || (o.encoding != ZYDIS_OPERAND_ENCODING_MODRM_REG && o.encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM && o.encoding != ZYDIS_OPERAND_ENCODING_OPCODE)) continue;
        if (ZydisRegisterGetClass(o.reg.value) == ZYDIS_REGCLASS_SEGMENT) continue;
        const bool high = o.reg.value >= ZYDIS_REGISTER_AH && o.reg.value <= ZYDIS_REGISTER_BH;
        const unsigned want = high ? 32 + (o.reg.value - ZYDIS_REGISTER_AH) : static_cast<unsigned>(ZydisRegisterGetId(o.reg.value) & 15);
        const bool low8 = o.reg.value >= ZYDIS_REGISTER_SPL && o.reg.value <= ZYDIS_REGISTER_DIL;
        const unsigned id = low8 ? 4 + (o.reg.value - ZYDIS_REGISTER_SPL) : o.reg.value >= ZYDIS_REGISTER_R8B && o.reg.value <= ZYDIS_REGISTER_R15B ? 8 + (o.reg.value - ZYDIS_REGISTER_R8B) : want;
        ++registers;
        if ((o.encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG ? b.i.reg : b.i.rm) != id) complain("register");
      }
    }
    EXPECT_GT(immediates, 2000u);
    EXPECT_GT(sizes, 2000u);
    EXPECT_GT(registers, 2000u);
  }
  for (auto& [what, where] : wrong) ADD_FAILURE() << what << ", as in " << where;
}

}  // namespace
}  // namespace vt::cpu
