// SPDX-License-Identifier: GPL-2.0-or-later
/// What the timing models know of every row: a class, and the registers it reads and writes. The judge of the registers is Zydis.
#include <Zydis/Zydis.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "cpu/block.hpp"
#include "cpu/rows.hpp"
#include "decoder.hpp"
#include "timing/classes.hpp"

namespace vt::cpu {
namespace {

using timing::OpClass;
using enum timing::OpClass;

constexpr u16 kMode = 2 | mode_bit::x87_ok | mode_bit::protected_mode | mode_bit::vex_ok;

Insn decoded(std::vector<u8> bytes, u16 mode = kMode) {
  static const CpuModel model = make_model("server", {}, 1, 46, 1'000'000'000);
  bytes.resize(16);
  Insn i{};
  bool ends = false;
  EXPECT_EQ(decode(bytes.data(), 16, 0, mode, model, i, ends), Decoded::ok);
  EXPECT_NE(i.row, kNoRow);
  return i;
}

TEST(timing_classes, every_row_has_one_in_both_forms) {
  std::set<OpClass> seen;
  for (std::size_t n = 0; n < all_rows().size(); ++n)
    for (bool memory : {false, true}) {
      OpClass op = OpClass::count_;
      ASSERT_NO_THROW(op = class_of(all_rows()[n], memory)) << all_rows()[n].name << " " << all_rows()[n].opcode;
      EXPECT_LT(op, OpClass::count_);
      EXPECT_EQ(op, class_of(static_cast<u16>(n), memory));
      seen.insert(op);
    }
  // What only the decoded instruction or its context tells.
  for (OpClass later : {lea_scaled, lea_slow, lea_slow_scaled, bswap64, div64, string_start, lock}) {
    EXPECT_FALSE(seen.contains(later)) << static_cast<unsigned>(later);
    seen.insert(later);
  }
  for (std::size_t n = 0; n < static_cast<std::size_t>(OpClass::count_); ++n) EXPECT_TRUE(seen.contains(static_cast<OpClass>(n))) << n << ": no row has it";
}

TEST(timing_classes, a_row_of_no_class_is_refused_by_name) {
  const Def unknown{"FROB", "0F 04", "", 0, {}, {}};
  try {
    (void)class_of(unknown, false);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "FROB \"0F 04\": no timing class; give it one in cpu/timing/classes.cpp");
  }
}

struct Example { std::vector<u8> bytes; OpClass op; };

TEST(timing_classes, examples) {
  const Example examples[] = {
      {{0x90}, nop}, {{0x0f, 0x1f, 0x00}, nop}, {{0xf3, 0x90}, pause}, {{0x0f, 0x18, 0x08}, nop},
      {{0x48, 0x89, 0xc3}, move},                                // mov rbx, rax
      {{0x66, 0x89, 0xc3}, alu}, {{0x88, 0xc3}, alu},            // mov bx, ax; mov bl, al: merged
      {{0xb8, 1, 0, 0, 0}, alu},                                 // mov eax, 1
      {{0x48, 0x8b, 0x03}, load}, {{0x48, 0x89, 0x03}, store}, {{0xc7, 0x03, 1, 0, 0, 0}, store}, {{0x0f, 0xb6, 0x03}, load}, {{0x0f, 0xb6, 0xc3}, alu},
      {{0x0f, 0x20, 0xc0}, mov_cr}, {{0x0f, 0x22, 0xd8}, mov_cr}, {{0x0f, 0x23, 0xf8}, mov_dr}, {{0x8e, 0xd8}, segment_load}, {{0x8c, 0xd8}, alu},
      {{0x50}, store}, {{0x58}, load}, {{0xff, 0x33}, store}, {{0x0f, 0xa1}, segment_load},
      {{0x48, 0x01, 0xc3}, alu}, {{0x48, 0x01, 0x03}, alu}, {{0x48, 0x11, 0xc3}, adc}, {{0x48, 0xff, 0xc0}, alu},
      {{0x48, 0x8d, 0x43, 0x08}, lea}, {{0x48, 0x8d, 0x04, 0x0b}, lea}, {{0x48, 0x8d, 0x44, 0x0b, 0x08}, lea_slow}, {{0x48, 0x8d, 0x04, 0x8b}, lea_scaled}, {{0x48, 0x8d, 0x44, 0x8b, 0x08}, lea_slow_scaled},
      {{0x0f, 0xc8}, bswap}, {{0x48, 0x0f, 0xc8}, bswap64}, {{0x66, 0x0f, 0x38, 0x40, 0xc1}, vec_mul32}, {{0x48, 0x8d, 0x05, 8, 0, 0, 0}, lea},
      {{0x0f, 0x44, 0xc1}, cmov}, {{0x0f, 0x94, 0xc0}, setcc}, {{0x74, 0}, branch}, {{0x0f, 0x84, 0, 0, 0, 0}, branch}, {{0xeb, 0}, branch},
      {{0xff, 0xe0}, branch}, {{0xe8, 0, 0, 0, 0}, call}, {{0xff, 0xd0}, call}, {{0xc3}, ret}, {{0xe2, 0}, loop_}, {{0xe3, 0}, loop_},
      {{0x48, 0xc1, 0xe0, 3}, shift}, {{0x48, 0xd3, 0xe0}, shift_cl}, {{0x48, 0xd1, 0xd0}, rotate_carry}, {{0x0f, 0xa4, 0xc3, 3}, shift_double},
      {{0x48, 0x0f, 0xaf, 0xc3}, mul}, {{0x48, 0xf7, 0xe3}, mul64}, {{0xf6, 0xe3}, mul}, {{0xf7, 0xf3}, div32}, {{0x48, 0xf7, 0xf3}, div64},
      {{0x48, 0xf7, 0xfb}, div64}, {{0xf6, 0xf3}, div8}, {{0xf3, 0x48, 0x0f, 0xb8, 0xc3}, popcnt}, {{0x48, 0x0f, 0xbc, 0xc3}, bit_scan},
      {{0xc4, 0xe2, 0xe0, 0xf2, 0xc1}, bmi}, {{0xc4, 0xe2, 0xe3, 0xf6, 0xc1}, mul64}, {{0xf2, 0x0f, 0x38, 0xf1, 0xc3}, crc32},
      {{0xf3, 0x48, 0xab}, string}, {{0xa4}, string}, {{0x9c}, flags_}, {{0xfc}, flags_}, {{0xf8}, alu}, {{0xc9}, enter_leave},
      {{0x87, 0xc3}, xchg}, {{0xf0, 0x0f, 0xb1, 0x0b}, cmpxchg}, {{0xf0, 0x0f, 0xc1, 0x0b}, xadd},
      {{0xf2, 0x0f, 0x58, 0xc1}, fp_add}, {{0xc5, 0xf3, 0x58, 0xc2}, fp_add}, {{0xf2, 0x0f, 0x59, 0xc1}, fp_mul}, {{0xf2, 0x0f, 0x5e, 0xc1}, fp_div_d},
      {{0x0f, 0x5e, 0xc1}, fp_div_s}, {{0x66, 0x0f, 0x51, 0xc1}, fp_sqrt_d}, {{0xc4, 0xe2, 0xf1, 0xb8, 0xc2}, fp_fma}, {{0xf2, 0x0f, 0xc2, 0xc1, 0}, fp_cmp},
      {{0x0f, 0x28, 0xc1}, fp_move}, {{0x0f, 0x28, 0x03}, load}, {{0x0f, 0x29, 0x03}, store}, {{0xf2, 0x0f, 0x10, 0x03}, load}, {{0xf2, 0x0f, 0x10, 0xc1}, vec_blend},
      {{0x66, 0x0f, 0x6f, 0xc1}, vec_move}, {{0x66, 0x0f, 0xef, 0xc1}, vec_logic}, {{0x66, 0x48, 0x0f, 0x6e, 0xc0}, movd}, {{0x66, 0x0f, 0x50, 0xc0}, vec_movmsk}, {{0x66, 0x48, 0x0f, 0x6e, 0x03}, load},
      {{0x66, 0x0f, 0x38, 0xdc, 0xc1}, aes}, {{0xd8, 0xc1}, x87_add}, {{0xd9, 0x03}, load}, {{0xdd, 0x1b}, store}, {{0xdb, 0x2b}, x87_load_store80}, {{0xdd, 0xd9}, x87_move},
      {{0x0f, 0x01, 0xc3}, vmresume}, {{0x0f, 0x78, 0xc3}, vmread}, {{0x0f, 0x79, 0xc3}, vmwrite}, {{0x0f, 0xa2}, cpuid}, {{0x0f, 0x31}, rdtsc}, {{0x0f, 0x30}, wrmsr},
      {{0xcd, 3}, software_interrupt}, {{0x48, 0xcf}, iret}, {{0x0f, 0x05}, syscall}, {{0x0f, 0x01, 0xf8}, swapgs}, {{0xec}, in_out}, {{0x6c}, in_out},
  };
  for (const Example& e : examples) {
    const Insn i = decoded(e.bytes);
    EXPECT_EQ(class_of(i), e.op) << all_rows()[i.row].name << " " << all_rows()[i.row].opcode << ": class " << static_cast<unsigned>(class_of(i));
  }
}

TEST(timing_classes, exchange_with_memory_locks_by_itself) {
  EXPECT_TRUE(locks(decoded({0x87, 0x03})));
  EXPECT_FALSE(locks(decoded({0x87, 0xc3})));
  EXPECT_TRUE(locks(decoded({0xf0, 0x01, 0x03})));
  EXPECT_FALSE(locks(decoded({0x01, 0x03})));
}

/// R and W of one kind, as text: "rax:rw flags:w".
std::string text(const std::vector<u8>& bytes) {
  const Insn i = decoded(bytes);
  static const char* kNames[] = {"none", "reg", "rm", "vvvv", "r", "rep", "xreg", "xrm", "xvvvv", "xmm", "ximm", "xindex", "mreg", "mrm", "st0", "sti", "st", "flags", "mem"};
  std::string s;
  const Roles& roles = roles_of(i);
  for (const Role& r : roles) {
    if (!s.empty()) s += ' ';
    s += kNames[r.kind];
    if (r.kind == Role::gpr_fixed || r.kind == Role::gpr_repeat || r.kind == Role::vec_fixed || r.kind == Role::st_fixed) s += std::to_string(r.fixed);
    s += ':';
    if (r.read) s += 'r';
    if (r.written) s += 'w';
  }
  if (roles.pushes) s += " push" + std::to_string(roles.pushes);
  return s;
}

TEST(timing_roles, examples) {
  const std::pair<std::vector<u8>, const char*> examples[] = {
      {{0x48, 0x89, 0xc3}, "rm:w reg:r"}, {{0x48, 0x01, 0xc3}, "rm:rw reg:r flags:w"}, {{0x48, 0x39, 0xc3}, "rm:r reg:r flags:w"}, {{0x88, 0xc3}, "rm:rw reg:r"},
      {{0x48, 0x8b, 0x03}, "reg:w mem:r"}, {{0x48, 0x01, 0x03}, "mem:rw reg:r flags:w"}, {{0x48, 0x8d, 0x43, 8}, "reg:w"}, {{0x0f, 0x1f, 0x00}, ""}, {{0x90}, ""}, {{0x93}, "r0:rw reg:rw"},
      {{0x48, 0xf7, 0xe3}, "rm:r r0:rw r2:w flags:w"}, {{0x48, 0xf7, 0xf3}, "rm:r r0:rw r2:rw flags:w"}, {{0xf6, 0xf3}, "rm:r r0:rw flags:w"}, {{0x48, 0x99}, "r0:r r2:w"},
      {{0x48, 0x69, 0xc3, 1, 0, 0, 0}, "reg:w rm:r flags:w"}, {{0x48, 0x0f, 0xaf, 0xc3}, "reg:rw rm:r flags:w"}, {{0x48, 0xd3, 0xe0}, "rm:rw r1:r flags:rw"},
      {{0x50}, "reg:r r4:rw mem:w"}, {{0x58}, "reg:w r4:rw mem:r"}, {{0xc3}, "r4:rw mem:r"}, {{0xe8, 0, 0, 0, 0}, "r4:rw mem:w"}, {{0xe2, 0}, "r1:rw"},
      {{0x74, 0}, "flags:r"}, {{0x0f, 0x44, 0xc1}, "reg:rw rm:r flags:r"}, {{0x48, 0x11, 0xc3}, "rm:rw reg:r flags:rw"}, {{0x48, 0xff, 0xc0}, "rm:rw flags:w"},
      {{0xf3, 0x48, 0xa5}, "mem:rw r6:rw r7:rw rep1:rw"}, {{0xf0, 0x0f, 0xb1, 0x0b}, "mem:rw reg:r r0:rw flags:w"}, {{0x87, 0xc3}, "rm:rw reg:rw"},
      {{0xf2, 0x0f, 0x58, 0xc1}, "xreg:rw xrm:r"}, {{0xc5, 0xf3, 0x58, 0xc2}, "xreg:w xvvvv:r xrm:r"}, {{0xc4, 0xe2, 0xf1, 0xb8, 0xc2}, "xreg:rw xvvvv:r xrm:r"},
      {{0x66, 0x0f, 0x38, 0x10, 0xc1}, "xreg:rw xrm:r xmm0:r"}, {{0xc4, 0xe3, 0x69, 0x4c, 0xc1, 0x30}, "xreg:w xvvvv:r xrm:r ximm:r"},
      {{0xf2, 0x0f, 0x10, 0xc1}, "xreg:rw xrm:r"}, {{0xf2, 0x0f, 0x10, 0x03}, "xreg:w mem:r"}, {{0xd8, 0xc1}, "st0:rw sti:r"}, {{0xde, 0xc1}, "st0:r sti:rw push-1"},
      {{0xdc, 0xc1}, "st0:r sti:rw"}, {{0xd9, 0xc1}, "st0:w sti:r push1"}, {{0xdd, 0xd9}, "st0:r sti:w push-1"}, {{0xd9, 0xf3}, "st0:r st1:rw push-1"},
      {{0x0f, 0xa2}, "r0:rw r3:w r1:rw r2:w"}, {{0x0f, 0x31}, "r0:w r2:w"}, {{0x0f, 0x30}, "r0:r r2:r r1:r"},
  };
  for (auto& [bytes, roles] : examples) EXPECT_EQ(text(bytes), roles) << all_rows()[decoded(bytes).row].name;
}

/// 0 to 15, or -1.
int gpr(ZydisRegister r) {
  const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
  return ZydisRegisterGetClass(whole) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(whole) : -1;
}
int vec(ZydisRegister r) {
  const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
  return ZydisRegisterGetClass(whole) == ZYDIS_REGCLASS_ZMM ? ZydisRegisterGetId(whole) : -1;
}

/// Registers by number (vector ones from 32 on), 64 memory, 65 the flags.
struct Effects { std::set<int> read, written; };
std::string named(const std::set<int>& s) {
  std::string t;
  for (int n : s) {
    if (!t.empty()) t += ',';
    t += std::to_string(n);
  }
  return t.empty() ? "-" : t;
}

Effects effects(const Insn& i) {
  Effects e;
  for (const Role& r : roles_of(i)) {
    int n = -1;
    auto number = [](unsigned slot) { return static_cast<int>(slot >= 32 ? slot - 32 : slot); };   // AH is in RAX
    switch (r.kind) {
      case Role::gpr_reg: n = number(i.reg); break;
      case Role::gpr_rm: n = number(i.rm); break;
      case Role::gpr_vvvv: n = i.vvvv; break;
      case Role::gpr_fixed: n = r.fixed; break;
      case Role::gpr_repeat: if (i.rep() || i.repne()) n = r.fixed; break;
      case Role::vec_reg: n = 32 + i.reg; break;
      case Role::vec_rm: n = 32 + i.rm; break;
      case Role::vec_vvvv: n = 32 + i.vvvv; break;
      case Role::vec_fixed: n = 32; break;
      case Role::vec_imm: n = 32 + static_cast<int>((i.imm >> 4) & 15); break;
      case Role::vec_index: n = 32 + i.index; break;
      case Role::flags: n = 65; break;
      case Role::memory: n = 64; break;
      default: break;                                       // MMX and x87 registers: the table of examples
    }
    if (n >= 0 && r.read) e.read.insert(n);
    if (n >= 0 && r.written) e.written.insert(n);
  }
  return e;
}

Effects effects(const ZydisDecodedInstruction& z, const ZydisDecodedOperand* o) {
  Effects e;
  for (unsigned k = 0; k < z.operand_count; ++k) {
    int n = -1;
    if (o[k].type == ZYDIS_OPERAND_TYPE_REGISTER) {
      n = gpr(o[k].reg.value);
      if (n < 0 && vec(o[k].reg.value) >= 0) n = 32 + vec(o[k].reg.value);
      if (o[k].reg.value == ZYDIS_REGISTER_RFLAGS || o[k].reg.value == ZYDIS_REGISTER_EFLAGS || o[k].reg.value == ZYDIS_REGISTER_FLAGS) continue;   // by flag, below
    } else if (o[k].type == ZYDIS_OPERAND_TYPE_MEMORY) {
      if (o[k].mem.type == ZYDIS_MEMOP_TYPE_MEM || o[k].mem.type == ZYDIS_MEMOP_TYPE_VSIB) n = 64;
      if (o[k].mem.type == ZYDIS_MEMOP_TYPE_VSIB) e.read.insert(32 + vec(o[k].mem.index));
    }
    if (n < 0) continue;
    if (o[k].actions & ZYDIS_OPERAND_ACTION_MASK_READ) e.read.insert(n);
    if (o[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) e.written.insert(n);
    // The part of a register that is kept.
    if ((o[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) && n < 16 && o[k].size == 8) e.read.insert(n);
  }
  const ZydisAccessedFlags* f = z.cpu_flags;
  constexpr ZydisAccessedFlagsMask kArithmetic = ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_PF | ZYDIS_CPUFLAG_AF | ZYDIS_CPUFLAG_ZF | ZYDIS_CPUFLAG_SF | ZYDIS_CPUFLAG_OF;
  if (f && (f->tested & kArithmetic)) e.read.insert(65);
  if (f && ((f->modified | f->set_0 | f->set_1 | f->undefined) & kArithmetic)) e.written.insert(65);
  return e;
}

TEST(timing_roles, agree_with_zydis_on_random_bytes) {
  static const CpuModel model = make_model("server", {}, 1, 46, 1'000'000'000);
  ZydisDecoder zydis;
  ZydisDecoderInit(&zydis, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  // Keeps its first operand, or a part of it, or the flags: Zydis calls it written (or conditionally written) alone.
  const std::set<std::string> keeps = {"BSF", "BSR", "LAR", "LSL", "CVTPI2PS", "CVTSD2SS", "CVTSS2SD", "MOVHLPS", "MOVLHPS", "MOVHPD", "MOVHPS", "MOVLPD", "MOVLPS",
                                       "MOVSD", "MOVSS", "RCPSS", "RSQRTSS", "SQRTSS", "SQRTSD", "ROUNDSS", "ROUNDSD", "ROL", "ROR", "SHL", "SHR", "SAR", "SHLD", "SHRD"};
  // Zydis has no operands for an interruption's frame, for flags that are saved in a register, for the registers of some implicit memory operands; it has
  // some where nothing is accessed (multi-byte NOPs, INVLPG), and not the flags of RDRAND.
  const std::set<std::string> others = {"INT", "INT1", "INT3", "NOP", "PREFETCH", "PREFETCHW", "INVLPG", "SYSCALL", "RDRAND", "RDSEED", "XLAT", "XSAVE", "XSAVEOPT",
                                        "XSAVEC", "XSAVES", "MASKMOVQ", "MASKMOVDQU", "VMASKMOVDQU", "MOVS", "CMPS", "STOS", "LODS", "SCAS", "INS", "OUTS"};
  std::set<u16> compared;
  unsigned failures = 0;
  std::mt19937_64 random(7);
  for (unsigned n = 0; n < 1'500'000; ++n) {
    u8 bytes[16];
    for (u8& b : bytes) b = static_cast<u8>(random());
    // Half of them in the larger maps, so that every row has its turn.
    static constexpr u8 kPrefix[4] = {0, 0x66, 0xf3, 0xf2};
    unsigned at = 0;
    if (n & 1) {
      if (n & 2) {
        bytes[at++] = 0xc4;
        bytes[at] = static_cast<u8>((bytes[at] & 0xe0) | (1 + random() % 3)), at += 2;
      } else {
        if (const u8 p = kPrefix[random() % 4]) bytes[at++] = p;
        bytes[at++] = 0x0f;
        if (const unsigned map = random() % 3) bytes[at++] = map == 1 ? 0x38 : 0x3a;
      }
    }
    Insn i{};
    bool ends = false;
    if (decode(bytes, 16, 0, kMode, model, i, ends) != Decoded::ok || i.row == kNoRow) continue;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zydis, bytes, 16, &z, o)) || z.length != i.len) continue;
    const Effects ours = effects(i), theirs = effects(z, o);
    compared.insert(i.row);
    if (ours.read == theirs.read && ours.written == theirs.written) continue;
    const std::string name = all_rows()[i.row].name;
    Effects kept = ours;
    if (keeps.contains(name) || name.starts_with("CMOV"))
      for (int w : ours.written) if (!theirs.read.contains(w)) kept.read.erase(w);
    if (others.contains(name) || (kept.read == theirs.read && kept.written == theirs.written)) continue;
    ADD_FAILURE() << name << " " << all_rows()[i.row].opcode << (i.mem() ? " memory" : " register") << ": read " << named(ours.read) << " written " << named(ours.written)
                  << ", Zydis: read " << named(theirs.read) << " written " << named(theirs.written);
    if (++failures > 20) break;
  }
  EXPECT_GT(compared.size(), 1200u);
}

}  // namespace
}  // namespace vt::cpu
