// SPDX-License-Identifier: GPL-2.0-or-later
/// Every row of the x87, MMX, SSE and AVX tables under the control bits that refuse it, and with an x87 exception pending; which rules are an instruction's
/// is told by its operands as Zydis names them. The x87 environment in memory in each mode.
/// SDM 2 "Exceptions" of each instruction; SDM 3A "Interrupt 7-Device Not Available Exception (#NM)"; SDM 1 "x87 FPU Data Operand and Instruction Pointer Formats in Memory"
#include <Zydis/Zydis.h>

#include <set>

#include "cpu/rows.hpp"
#include "harness.hpp"
#include "pattern.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
using Bytes = std::vector<u8>;
constexpr u64 kData = TestMachine::kData;

/// A 64-bit encoding of the row with [rbx] or register 1 as its operand. Empty: the row has no such form.
Bytes encoding(const Def& d, const Pattern& p, bool memory) {
  if (d.attrs & attr::no64) return {};
  if (memory && (p.register_only || p.fixed >= 0 || !p.modrm)) return {};
  if (!memory && p.memory_only) return {};
  Bytes b;
  u8 modrm = p.fixed >= 0 ? static_cast<u8>(p.fixed) : static_cast<u8>((memory ? 3 : 0xc1) | (p.digit > 0 ? p.digit << 3 : p.digit < 0 ? 2 << 3 : 0));
  if (p.vex) {
    const unsigned pp = p.prefix == Pattern::Prefix::p66 ? 1 : p.prefix == Pattern::Prefix::pf3 ? 2 : p.prefix == Pattern::Prefix::pf2 ? 3 : 0;
    if (p.vsib) modrm = static_cast<u8>((modrm & 0xf8) | 4);
    b = {0xc4, static_cast<u8>(0xe0 | p.map), static_cast<u8>((p.w == 1) << 7 | (p.vvvv ? 12 : 15) << 3 | (p.l == 1) << 2 | pp), p.opcode};
  } else {
    if (p.prefix == Pattern::Prefix::p66) b.push_back(0x66);
    if (p.prefix == Pattern::Prefix::pf3) b.push_back(0xf3);
    if (p.prefix == Pattern::Prefix::pf2) b.push_back(0xf2);
    if (p.w == 1) b.push_back(0x48);
    if (p.map) b.push_back(0x0f);
    if (p.map > 1) b.push_back(p.map == 2 ? 0x38 : 0x3a);
    b.push_back(static_cast<u8>(p.opcode | (p.plus_r ? 1 : 0)));
  }
  if (p.modrm) b.push_back(modrm);
  if (p.vsib) b.push_back(0x2b);   // [rbx + xmm5]
  if (p.imm == Imm::ib) b.push_back(1);
  return b;
}

enum class Unit { none, x87, mmx, sse, avx };
/// By the registers that it names; for those that name none, by its instruction set.
Unit unit_of(const Bytes& b) {
  ZydisDecoder z;
  ZydisDecoderInit(&z, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  ZydisDecodedInstruction i;
  ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
  Bytes padded = b;
  padded.resize(15);
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&z, padded.data(), 15, &i, o))) return Unit::none;
  bool mm = false, xmm = false;
  for (unsigned n = 0; n < i.operand_count; ++n) {
    if (o[n].type != ZYDIS_OPERAND_TYPE_REGISTER && !(o[n].type == ZYDIS_OPERAND_TYPE_MEMORY && o[n].mem.index != ZYDIS_REGISTER_NONE)) continue;
    const ZydisRegisterClass c = ZydisRegisterGetClass(o[n].type == ZYDIS_OPERAND_TYPE_REGISTER ? o[n].reg.value : o[n].mem.index);
    mm |= c == ZYDIS_REGCLASS_MMX, xmm |= c == ZYDIS_REGCLASS_XMM || c == ZYDIS_REGCLASS_YMM;
  }
  const bool vex = i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
  if (i.mnemonic == ZYDIS_MNEMONIC_LDMXCSR || i.mnemonic == ZYDIS_MNEMONIC_STMXCSR) return Unit::sse;
  if (i.mnemonic == ZYDIS_MNEMONIC_VLDMXCSR || i.mnemonic == ZYDIS_MNEMONIC_VSTMXCSR || i.mnemonic == ZYDIS_MNEMONIC_VZEROUPPER || i.mnemonic == ZYDIS_MNEMONIC_VZEROALL) return Unit::avx;
  const std::string name = ZydisMnemonicGetString(i.mnemonic);
  if (name.find("cvt") != std::string::npos) xmm = true;   // from memory to a general-purpose or an MMX register too
  if (name == "fisttp") return Unit::x87;                  // whose set is SSE3
  if (xmm) return vex ? Unit::avx : Unit::sse;
  if (mm || i.mnemonic == ZYDIS_MNEMONIC_EMMS) return Unit::mmx;
  return i.meta.isa_ext == ZYDIS_ISA_EXT_X87 ? Unit::x87 : Unit::none;
}
bool one_of(const char* name, std::initializer_list<const char*> list) {
  for (const char* x : list) if (!std::strcmp(name, x)) return true;
  return false;
}

template <class F> void each_form(F f) {
  for (auto part : {x87_rows(), mmx_rows(), sse_rows(), avx_rows(), crypto_rows(), bit_rows(), muldiv_rows(), move_rows()})
    for (const Def& d : part) {
      const Pattern p = parse_pattern(d);
      for (bool memory : {false, true})
        if (Bytes b = encoding(d, p, memory); !b.empty()) f(d, p, b, memory);
    }
}
struct Everything : TestMachine {
  Everything() : TestMachine(Mode::long64, {"+avx2", "+sha", "+aes"}) {}
  void fresh() {
    enter(Mode::long64);
    Cpu& c = *cpu;
    c.cr4 |= cr4::OSXSAVE;
    c.xcr0 = 7;
    c.fpu = {};
    c.fpu.cw = 0x37f, c.fpu.mxcsr = 0x1f80;
    for (unsigned n = 0; n < 16; ++n) c.r[n] = n == 4 ? kStack : kData;
    c.r[1] = 1;
    c.pending_debug = 0, c.activity = Activity::active;
    c.update();
  }
  int outcome(const Bytes& b) {
    Bytes code = b;
    run(code, 1);
    const u64 at = cpu->rip;
    return at >= kHandlers && at < kHandlers + 4096 ? static_cast<int>((at - kHandlers) / 16) : -1;
  }
};

TEST(rows_under_control, what_the_control_bits_refuse) {
  Everything m;
  unsigned seen[5] = {};
  each_form([&](const Def& d, const Pattern& p, const Bytes& b, bool memory) {
    Unit u = unit_of(b);
    if (one_of(d.name, {"FXSAVE", "FXRSTOR"})) return;
    const bool wait = one_of(d.name, {"FWAIT"});
    if (one_of(d.name, {"MOVNTI"})) u = Unit::none;
    ++seen[static_cast<unsigned>(u)];
    struct { const char* what; void (*set)(Cpu&); int refused[5]; } const rows[] = {   // of none, x87, MMX, SSE, AVX
        {"CR0.EM", [](Cpu& c) { c.cr0 |= cr0::EM; }, {-1, NM, UD, UD, -1}},
        {"CR0.TS", [](Cpu& c) { c.cr0 |= cr0::TS; }, {-1, NM, NM, NM, NM}},
        {"CR4.OSFXSR", [](Cpu& c) { c.cr4 &= ~cr4::OSFXSR; }, {-1, -1, -1, UD, -1}},
        {"CR4.OSXSAVE", [](Cpu& c) { c.cr4 &= ~cr4::OSXSAVE; }, {-1, -1, -1, -1, UD}},
        {"XCR0.AVX", [](Cpu& c) { c.xcr0 = 3; }, {-1, -1, -1, -1, UD}},
        {"XCR0.SSE", [](Cpu& c) { c.xcr0 = 1; }, {-1, -1, -1, -1, UD}},
    };
    for (auto& r : rows) {
      m.fresh();
      r.set(*m.cpu);
      m.cpu->update();
      int want = r.refused[static_cast<unsigned>(u)];
      if (wait) want = -1;   // #NM only with both MP and TS
      const int got = m.outcome(b);
      if (want >= 0 || got == NM || got == UD) { EXPECT_EQ(got, want) << d.name << " \"" << d.opcode << "\" " << (memory ? "memory " : "") << r.what; }
    }
    (void)p;
  });
  for (unsigned n : seen) EXPECT_GT(n, 40u);
}

TEST(rows_under_control, an_x87_exception_that_waits_is_reported) {   // SDM 1 "Software Exception Handling": by each waiting x87 or MMX instruction, and SSE's that touch MMX registers
  Everything m;
  unsigned reported = 0;
  each_form([&](const Def& d, const Pattern&, const Bytes& b, bool memory) {
    if (!(d.attrs & (attr::x87 | attr::mmx | attr::sse)) || one_of(d.name, {"FXSAVE", "FXRSTOR"})) return;
    m.fresh();
    m.cpu->fpu.cw = 0x37e, m.cpu->fpu.sw = 0x8081;   // invalid operation, not masked
    m.cpu->update();
    const Unit u = unit_of(b);
    const bool silent = one_of(d.name, {"FNINIT", "FNCLEX", "FNSTCW", "FNSTSW", "FNSTENV", "FNSAVE", "FNENI", "FNDISI", "FNSETPM"});
    const bool touches = u == Unit::x87 || u == Unit::mmx || one_of(d.name, {"CVTPI2PS", "CVTPI2PD", "CVTPS2PI", "CVTPD2PI", "CVTTPS2PI", "CVTTPD2PI", "MOVQ2DQ", "MOVDQ2Q"});
    if (one_of(d.name, {"CVTPI2PD", "CVTPI2PS"}) && memory) return;   // a memory source touches no x87 state
    const int got = m.outcome(b);
    EXPECT_EQ(got == MF, touches && !silent) << d.name << " \"" << d.opcode << "\"" << (memory ? " memory" : "");
    reported += got == MF;
  });
  EXPECT_GT(reported, 150u);
}

TEST(rows_under_control, an_operand_that_is_not_there_is_a_page_fault) {   // and nothing has happened: no register of the unit has changed
  Everything m;
  unsigned faults = 0;
  each_form([&](const Def& d, const Pattern& p, const Bytes& b, bool memory) {
    if (!memory || p.vsib || unit_of(b) == Unit::none || !std::strncmp(d.name, "VMASKMOV", 8) || !std::strncmp(d.name, "VPMASKMOV", 9)) return;
    m.fresh();
    m.cpu->fpu.tags = 0xff;
    for (auto& r : m.cpu->fpu.st) r = {0xc000000000000000, 0x3fff};
    m.cpu->r[3] = 0x7000'0000;
    m.cpu->update();
    const Fpu before = m.cpu->fpu;
    EXPECT_EQ(m.outcome(b), PF) << d.name << " \"" << d.opcode << "\"";
    EXPECT_EQ(m.cpu->cr2, 0x7000'0000u) << d.name;
    for (unsigned n = 0; n < 16; ++n) for (unsigned k = 0; k < 4; ++k) EXPECT_EQ(m.cpu->fpu.ymm[n][k], before.ymm[n][k]) << d.name;
    ++faults;
  });
  EXPECT_GT(faults, 300u);
}

/// SDM 1 "Specifying an Offset", "Addressing in 64-Bit Mode": every instruction with a memory operand finds it beyond 4 GiB, by base, by index and by both; with 67 it has 32 bits
TEST(rows_under_control, addresses_have_64_bits_or_with_67_32) {
  Everything m;
  constexpr u64 kFar = 0x1'7003'0000;   // is kData; its lower half is nowhere
  m.poke<u64>(TestMachine::kPml4 + 0x1000 + 8 * 5, 0x130000 | 7);
  m.poke<u64>(0x130000 + 8 * (0x30000000 >> 21), 0x87);
  unsigned reach = 0;
  const auto look = [&](const Def& d, const Pattern& p, const Bytes& b) {
    const std::size_t at = b.size() - (p.imm == Imm::ib) - p.vsib - 1;   // of ModRM
    const auto run = [&](u64 base, u64 index, bool sib, bool narrow) {
      m.fresh();
      for (unsigned n = 0; n < 16; n += 1) m.cpu->r[n] = n == 4 ? TestMachine::kStack : 1;
      m.cpu->r[3] = base, m.cpu->r[1] = index;
      if (p.vsib) {
        for (unsigned k = 0; k < 4; ++k) m.cpu->fpu.ymm[3][k] = ~u64{0}, m.cpu->fpu.ymm[5][k] = 0;
      }
      for (unsigned n = 0; n < 64; n += 8) m.poke<u64>(kData + n, 0x0101010101010101);
      Bytes code = narrow ? Bytes{0x67} : Bytes{};
      code.insert(code.end(), b.begin(), b.end());
      const std::size_t modrm = at + narrow;
      if (sib && !p.vsib) {
        code[modrm] = static_cast<u8>((code[modrm] & 0x38) | 0x44);
        code.insert(code.begin() + static_cast<std::ptrdiff_t>(modrm) + 1, {0x8b, 0x10});   // [rbx + rcx * 4 + 10h]
      }
      return m.outcome(code);
    };
    if (run(0x7003'0000, 0, false, false) != PF) return;   // it reads nothing
    ++reach;
    EXPECT_NE(run(kFar, 0, false, false), PF) << d.name << " \"" << d.opcode << "\"";
    EXPECT_EQ(run(kFar, 0, false, true), PF) << d.name << " \"" << d.opcode << "\" with 67";
    EXPECT_EQ(m.cpu->cr2, 0x7003'0000u) << d.name << " \"" << d.opcode << "\"";
    if (p.vsib) return;
    EXPECT_NE(run(kFar - 0x4000'0010, 0x1000'0000, true, false), PF) << d.name << " \"" << d.opcode << "\" with an index";
    EXPECT_NE(run(0xffff'ffff'ffff'fff0, kFar / 4, true, false), PF) << d.name << " \"" << d.opcode << "\" with an index";
    EXPECT_EQ(run(kFar - 0x4000'0010, 0x1000'0000, true, true), PF) << d.name << " \"" << d.opcode << "\" with an index and 67";
    EXPECT_EQ(m.cpu->cr2, 0x7003'0000u) << d.name << " \"" << d.opcode << "\"";
  };
  for (auto part : {alu_rows(), move_rows(), shift_rows(), muldiv_rows(), bit_rows(), x87_rows(), mmx_rows(), sse_rows(), avx_rows(), crypto_rows()})
    for (const Def& d : part) {
      const Pattern p = parse_pattern(d);
      if (p.imm != Imm::none && p.imm != Imm::ib) continue;
      if (Bytes b = encoding(d, p, true); !b.empty()) look(d, p, b);
    }
  EXPECT_GT(reach, 500u);
}

// SDM 1: the figures of the formats in memory, 32 and 16 bits, protected mode, and real-address mode
TEST(x87_environment, in_each_mode) {
  for (bool real : {false, true})
    for (bool narrow : {false, true})
      for (bool all : {false, true}) {   // FNSTENV, FNSAVE
        TestMachine m(real ? Mode::real : Mode::protected32);
        Fpu& f = m.cpu->fpu;
        f = {};
        f.cw = 0x27a, f.sw = 0x3041 & ~0x40, f.tags = 0xff, f.fop = 0x5a5, f.fip = 0x89abcdef, f.fdp = 0xfedcba98;
        for (unsigned n = 0; n < 8; ++n) f.st[n] = {0x8000000000000000 + n, static_cast<u16>(0x3fff + n)};
        m.cpu->r[3] = 0x3000;
        for (unsigned n = 0; n < 128; n += 8) m.poke<u64>(0x3000 + n, 0xcccccccccccccccc);
        Bytes code = real == narrow ? Bytes{} : Bytes{0x66};
        code.insert(code.end(), {static_cast<u8>(all ? 0xdd : 0xd9), static_cast<u8>(real ? 0x37 : 0x33)});
        m.run(code, 1);
        const u32 ip = 0x89abcdef, dp = 0xfedcba98, op = 0x5a5;
        if (narrow) {
          const u16 want[] = {0x27a, 0x3001, 0, static_cast<u16>(ip), static_cast<u16>(real ? (ip >> 16 & 15) << 12 | op : 0), static_cast<u16>(dp), static_cast<u16>(real ? (dp >> 16 & 15) << 12 : 0)};
          for (unsigned n = 0; n < 7; ++n) EXPECT_EQ(m.peek<u16>(0x3000 + 2 * n), want[n]) << n << real;
        } else {
          const u32 want[] = {0xffff027a, 0xffff3001, 0xffff0000, real ? 0xffff0000 | (ip & 0xffff) : ip, real ? (ip >> 16) << 12 | op : op << 16, real ? 0xffff0000 | (dp & 0xffff) : dp, real ? (dp >> 16) << 12 : 0xffff0000};
          for (unsigned n = 0; n < 7; ++n) EXPECT_EQ(m.peek<u32>(0x3000 + 4 * n), want[n]) << n << real;
        }
        const unsigned size = narrow ? 14 : 28;
        if (all) {
          for (unsigned n = 0; n < 8; ++n) {   // ST(0) first; TOP is 6
            EXPECT_EQ(m.peek<u64>(0x3000 + size + 10 * n), 0x8000000000000000 + (6 + n) % 8) << n;
            EXPECT_EQ(m.peek<u16>(0x3000 + size + 10 * n + 8), 0x3fff + (6 + n) % 8) << n;
          }
          EXPECT_EQ(f.cw, 0x37f);
        } else {
          EXPECT_EQ(f.cw & 0x3f, 0x3f);
          EXPECT_EQ(m.peek<u16>(0x3000 + size), 0xcccc);
        }
        // and back
        f = {};
        code = real == narrow ? Bytes{} : Bytes{0x66};
        code.insert(code.end(), {static_cast<u8>(all ? 0xdd : 0xd9), static_cast<u8>(real ? 0x27 : 0x23)});
        m.run(code, 1);
        EXPECT_EQ(f.cw, 0x27a);
        EXPECT_EQ(f.sw & 0x7fff, 0x3081) << "the exception is not masked any more";
        EXPECT_EQ(f.tags, 0xff);
        EXPECT_EQ(f.fip, narrow ? (real ? ip & 0xfffff : ip & 0xffff) : ip);
        EXPECT_EQ(f.fdp, narrow ? (real ? dp & 0xfffff : dp & 0xffff) : dp);
        if (real || !narrow) { EXPECT_EQ(f.fop, op); }
        for (unsigned n = 0; all && n < 8; ++n) { EXPECT_EQ(f.st[n].m, 0x8000000000000000 + n); EXPECT_EQ(f.st[n].se, 0x3fff + n); }
      }
}

}  // namespace
}  // namespace vt::cpu
