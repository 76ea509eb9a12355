// SPDX-License-Identifier: GPL-2.0-or-later
#include <cmath>

#include "fpu_native.hpp"
#include "insn/transcendental.hpp"

namespace vt::cpu {
namespace {

using Code = std::vector<u8>;

class X87Native : public testing::Test {
 protected:
  void SetUp() override { if (!native.usable()) GTEST_SKIP() << "needs an Intel host"; }
  NativeFpu native;
  EmulatedFpu emulated;
  Operands ops{815};
  unsigned mismatches = 0, of_row = 0;

  enum class Mem { none, f32, f64, f80, i16, i32, i64, bcd };
  FpuContext context(Mem mem, bool unmasked) {
    FpuContext x;
    FxImage f = {};
    static constexpr u16 kPc[] = {0x300, 0x300, 0x200, 0};
    f.fcw = static_cast<u16>(0x7f | kPc[ops.below(4)] | ops.below(4) << 10);
    if (unmasked) f.fcw = static_cast<u16>(f.fcw & ~ops.below(64));
    f.mxcsr = 0x1f80;
    const unsigned top = ops.below(8);
    f.fsw = static_cast<u16>(top << 11 | (ops.bits() & 0x4700));
    for (auto& r : f.st) {
      const X87Reg v = ops.f80();
      r.m = v.m, r.se = v.se;
    }
    if (ops.below(6) == 0) f.st[1] = f.st[0], f.st[1].m ^= u64{1} << ops.below(63), f.st[1].se ^= static_cast<u16>(ops.below(2) << 15);
    if (ops.below(12) == 0) f.ftw = static_cast<u8>(ops.bits());
    else f.ftw = static_cast<u8>(0xff ^ 1 << ((top + 7) & 7));  // ST(7) empty
    std::memcpy(x.in, &f, 512);
    auto put = [&](auto v) { std::memcpy(x.mem, &v, sizeof v); };
    for (auto& b : x.mem) b = static_cast<u8>(ops.bits());
    switch (mem) {
      case Mem::none: break;
      case Mem::f32: put(ops.f32()); break;
      case Mem::f64: put(ops.f64()); break;
      case Mem::f80: { const X87Reg v = ops.f80(); std::memcpy(x.mem, &v.m, 8), std::memcpy(x.mem + 8, &v.se, 2); break; }
      case Mem::bcd: for (unsigned k = 0; k < 9; ++k) x.mem[k] = static_cast<u8>(ops.below(10) << 4 | ops.below(10)); break;
      default: if (ops.below(3) == 0) put(ops.bits() & ops.bits() & ops.bits() & ops.bits());
    }
    return x;
  }
  void compare(const std::string& name, const Code& code, const FpuContext& start, u16 fsw_mask = 0xffff, u64 flag_mask = 0x8d5) {
    FpuContext a = start, b = start;
    const bool ok = native.run(code, a);
    const int vector = emulated.run(code, b);
    FxImage in, x, y;
    std::memcpy(&in, start.in, 512), std::memcpy(&x, a.out, 512), std::memcpy(&y, b.out, 512);
    bool same = ok && vector == -1 && !((x.fsw ^ y.fsw) & fsw_mask) && x.ftw == y.ftw && x.fcw == y.fcw && !((a.flags ^ b.flags) & flag_mask) && !std::memcmp(a.mem, b.mem, 64) && a.rax == b.rax;
    for (unsigned n = 0; n < 8; ++n) same &= x.st[n].m == y.st[n].m && x.st[n].se == y.st[n].se;
    if (same || ++mismatches > 40 || ++of_row > 3) return;
    auto hex = [](auto& f) {
      char t[160];
      std::snprintf(t, sizeof t, "fsw %04x ftw %02x st0 %04x:%016llx st1 %04x:%016llx st2 %04x:%016llx", f.fsw, f.ftw, f.st[0].se, static_cast<unsigned long long>(f.st[0].m), f.st[1].se,
                    static_cast<unsigned long long>(f.st[1].m), f.st[2].se, static_cast<unsigned long long>(f.st[2].m));
      return std::string(t);
    };
    u64 m[2], ma[2], mb[2];
    std::memcpy(m, start.mem, 16), std::memcpy(ma, a.mem, 16), std::memcpy(mb, b.mem, 16);
    ADD_FAILURE() << name << std::hex << " fcw " << in.fcw << " mem " << m[1] << ':' << m[0] << "\n in:   " << hex(in) << "\n host: " << hex(x) << " mem " << ma[1] << ':' << ma[0] << " flags " << a.flags << " ok " << ok
                  << "\n ours: " << hex(y) << " mem " << mb[1] << ':' << mb[0] << " flags " << b.flags << " vector " << std::dec << vector;
  }
  struct Row { const char* name; Code code; Mem mem = Mem::none; u16 fsw = 0xffff; };
  void sweep(const std::vector<Row>& rows, unsigned rounds) {
    for (auto& r : rows)
      for (unsigned n = of_row = 0; n < rounds; ++n) compare(r.name, r.code, context(r.mem, n % 3 == 0), r.fsw);
  }
};

constexpr u16 kDefined = 0xffff & ~0x4500;  // C0, C2, C3 are undefined after most instructions

// SDM 1 "Basic Arithmetic Instructions", "x87 FPU Floating-Point Exception Conditions"
TEST_F(X87Native, arithmetic) {
  std::vector<Row> rows;
  for (u8 digit : {0, 1, 4, 5, 6, 7}) {
    rows.push_back({"m32", {0xd8, static_cast<u8>(digit << 3 | 6)}, Mem::f32, kDefined});
    rows.push_back({"m64", {0xdc, static_cast<u8>(digit << 3 | 6)}, Mem::f64, kDefined});
    rows.push_back({"m32int", {0xda, static_cast<u8>(digit << 3 | 6)}, Mem::i32, kDefined});
    rows.push_back({"m16int", {0xde, static_cast<u8>(digit << 3 | 6)}, Mem::i16, kDefined});
    rows.push_back({"st0,st1", {0xd8, static_cast<u8>(0xc1 | digit << 3)}, Mem::none, kDefined});
    rows.push_back({"st1,st0", {0xdc, static_cast<u8>(0xc1 | digit << 3)}, Mem::none, kDefined});
    rows.push_back({"st1,st0 pop", {0xde, static_cast<u8>(0xc1 | digit << 3)}, Mem::none, kDefined});
  }
  sweep(rows, 1500);
  sweep({{"FSQRT", {0xd9, 0xfa}, Mem::none, kDefined}, {"FRNDINT", {0xd9, 0xfc}, Mem::none, kDefined}, {"FCHS", {0xd9, 0xe0}, Mem::none, kDefined}, {"FABS", {0xd9, 0xe1}, Mem::none, kDefined},
         {"FXTRACT", {0xd9, 0xf4}, Mem::none, kDefined}}, 4000);
}
TEST_F(X87Native, scale) { sweep({{"FSCALE", {0xd9, 0xfd}, Mem::none, kDefined}}, 20000); }
// SDM 2A "FPREM", "FPREM1": partial results, too
TEST_F(X87Native, remainders) { sweep({{"FPREM", {0xd9, 0xf8}}, {"FPREM1", {0xd9, 0xf5}}}, 20000); }

// SDM 1 "Data Transfer Instructions"
TEST_F(X87Native, loads_and_stores) {
  sweep({{"FLD m32", {0xd9, 0x06}, Mem::f32, kDefined}, {"FLD m64", {0xdd, 0x06}, Mem::f64, kDefined}, {"FLD m80", {0xdb, 0x2e}, Mem::f80, kDefined}, {"FLD ST(1)", {0xd9, 0xc1}, Mem::none, kDefined},
         {"FST m32", {0xd9, 0x16}, Mem::none, kDefined}, {"FST m64", {0xdd, 0x16}, Mem::none, kDefined}, {"FSTP m32", {0xd9, 0x1e}, Mem::none, kDefined}, {"FSTP m64", {0xdd, 0x1e}, Mem::none, kDefined}, {"FSTP m80", {0xdb, 0x3e}, Mem::none, kDefined},
         {"FST ST(2)", {0xdd, 0xd2}, Mem::none, kDefined}, {"FSTP ST(2)", {0xdd, 0xda}, Mem::none, kDefined}, {"FILD m16", {0xdf, 0x06}, Mem::i16, kDefined}, {"FILD m32", {0xdb, 0x06}, Mem::i32, kDefined}, {"FILD m64", {0xdf, 0x2e}, Mem::i64, kDefined},
         {"FIST m16", {0xdf, 0x16}, Mem::none, kDefined}, {"FIST m32", {0xdb, 0x16}, Mem::none, kDefined}, {"FISTP m16", {0xdf, 0x1e}, Mem::none, kDefined}, {"FISTP m32", {0xdb, 0x1e}, Mem::none, kDefined}, {"FISTP m64", {0xdf, 0x3e}, Mem::none, kDefined},
         {"FISTTP m16", {0xdf, 0x0e}, Mem::none, kDefined}, {"FISTTP m32", {0xdb, 0x0e}, Mem::none, kDefined}, {"FISTTP m64", {0xdd, 0x0e}, Mem::none, kDefined},
         {"FBLD", {0xdf, 0x26}, Mem::bcd, kDefined}, {"FBSTP", {0xdf, 0x36}, Mem::none, kDefined}, {"FXCH", {0xd9, 0xc9}, Mem::none, kDefined}, {"FDECSTP", {0xd9, 0xf6}, Mem::none, kDefined}, {"FINCSTP", {0xd9, 0xf7}, Mem::none, kDefined},
         {"FFREE", {0xdd, 0xc1}}, {"FFREEP", {0xdf, 0xc1}}, {"FLD1", {0xd9, 0xe8}, Mem::none, kDefined}, {"FLDL2T", {0xd9, 0xe9}, Mem::none, kDefined}, {"FLDL2E", {0xd9, 0xea}, Mem::none, kDefined}, {"FLDPI", {0xd9, 0xeb}, Mem::none, kDefined},
         {"FLDLG2", {0xd9, 0xec}, Mem::none, kDefined}, {"FLDLN2", {0xd9, 0xed}, Mem::none, kDefined}, {"FLDZ", {0xd9, 0xee}, Mem::none, kDefined}}, 3000);
}
// SDM 1 "Comparison and Classification Instructions"
TEST_F(X87Native, comparisons) {
  sweep({{"FCOM m32", {0xd8, 0x16}, Mem::f32}, {"FCOMP m64", {0xdc, 0x1e}, Mem::f64}, {"FICOM m16", {0xde, 0x16}, Mem::i16}, {"FICOMP m32", {0xda, 0x1e}, Mem::i32}, {"FCOM", {0xd8, 0xd1}}, {"FCOMP", {0xd8, 0xd9}}, {"FCOMPP", {0xde, 0xd9}},
         {"FUCOM", {0xdd, 0xe1}}, {"FUCOMP", {0xdd, 0xe9}}, {"FUCOMPP", {0xda, 0xe9}}, {"FCOMI", {0xdb, 0xf1}, Mem::none, kDefined}, {"FUCOMI", {0xdb, 0xe9}, Mem::none, kDefined}, {"FCOMIP", {0xdf, 0xf1}, Mem::none, kDefined}, {"FUCOMIP", {0xdf, 0xe9}, Mem::none, kDefined},
         {"FTST", {0xd9, 0xe4}}, {"FXAM", {0xd9, 0xe5}}, {"FCMOVB", {0xda, 0xc1}, Mem::none, kDefined}, {"FCMOVU", {0xda, 0xd9}, Mem::none, kDefined}, {"FCMOVNBE", {0xdb, 0xd1}, Mem::none, kDefined}}, 4000);
}
// SDM 1 "x87 FPU Control Instructions"
TEST_F(X87Native, control) {
  sweep({{"FNINIT", {0xdb, 0xe3}}, {"FNCLEX", {0xdb, 0xe2}}, {"FLDCW", {0xd9, 0x2e}, Mem::i16}, {"FNSTCW", {0xd9, 0x3e}}, {"FNSTSW m", {0xdd, 0x3e}}, {"FNSTSW AX", {0xdf, 0xe0}}, {"FNOP", {0xd9, 0xd0}}}, 500);
}

// SDM 1 "Transcendental Instruction Accuracy": less than one unit in the last place, as the host's are; so at most one apart.
TEST_F(X87Native, transcendentals_agree_to_the_last_place) {
  const std::vector<Row> rows = {{"F2XM1", {0xd9, 0xf0}}, {"FYL2X", {0xd9, 0xf1}}, {"FPTAN", {0xd9, 0xf2}}, {"FPATAN", {0xd9, 0xf3}}, {"FYL2XP1", {0xd9, 0xf9}}, {"FSINCOS", {0xd9, 0xfb}}, {"FSIN", {0xd9, 0xfe}}, {"FCOS", {0xd9, 0xff}}};
  for (auto& r : rows)
    for (unsigned n = 0; n < 4000; ++n) {
      FpuContext a = context(Mem::none, false);
      FxImage in;
      std::memcpy(&in, a.in, 512);
      in.fcw |= 0x300, in.ftw = static_cast<u8>(0xff ^ 1 << ((in.fsw / 2048 + 7) & 7));
      if (n & 1) in.st[0].m = ops.bits() | u64{1} << 63, in.st[0].se = static_cast<u16>(0x3fff - 1 - ops.below(40) + (r.code[1] == 0xf0 || r.code[1] == 0xf9 ? 0 : ops.below(100)));
      if (n & 2) in.st[1].m = ops.bits() | u64{1} << 63, in.st[1].se = static_cast<u16>(0x3fff - 5 + ops.below(10));
      if (n % 7 == 0) in.st[0].se ^= 0x8000;
      const unsigned e = in.st[0].se & 0x7fff;
      if (r.code[1] == 0xf0 && e >= 0x3fff && e != 0x7fff && !(e == 0x3fff && in.st[0].m << 1 == 0)) continue;  // undefined
      if (r.code[1] == 0xf9 && e >= 0x3ffd && e != 0x7fff) continue;
      std::memcpy(a.in, &in, 512);
      FpuContext b = a;
      native.run(r.code, a);
      emulated.run(r.code, b);
      FxImage x, y;
      std::memcpy(&x, a.out, 512), std::memcpy(&y, b.out, 512);
      bool same = (x.fsw & 0x3cff) == (y.fsw & 0x3cff) && x.ftw == y.ftw;
      for (unsigned k = 0; k < 3; ++k) {
        const i64 d = static_cast<i64>(x.st[k].m - y.st[k].m);
        same &= x.st[k].se == y.st[k].se ? d >= -1 && d <= 1 : (x.st[k].se ^ y.st[k].se) == 1 || std::abs(x.st[k].se - y.st[k].se) == 1;
      }
      if (same || ++mismatches > 40) continue;
      ADD_FAILURE() << r.name << std::hex << " fcw " << in.fcw << " st0 " << in.st[0].se << ':' << in.st[0].m << " st1 " << in.st[1].se << ':' << in.st[1].m << "\n host: " << x.fsw << ' ' << x.st[0].se << ':' << x.st[0].m << ' ' << x.st[1].se << ':' << x.st[1].m
                    << "\n ours: " << y.fsw << ' ' << y.st[0].se << ':' << y.st[0].m << ' ' << y.st[1].se << ':' << y.st[1].m;
    }
}

// --- what the machine alone decides -------------------------------------------------------------------------

constexpr u64 kAt = TestMachine::kData;
const Code kFld1 = {0xd9, 0xe8}, kFdivZero = {0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9};  // fld1; fldz; fdivp

// SDM 1 "x87 FPU Exception Synchronization": an unmasked exception waits for the next waiting instruction.
TEST(x87, unmasked_exceptions_are_reported_by_the_next_waiting_instruction) {
  TestMachine m;
  m.cpu->fpu.cw = 0x37b;
  EXPECT_EQ(m.run(kFdivZero), -1);
  EXPECT_EQ(m.cpu->fpu.sw & 0x80ff, 0x8084);
  EXPECT_EQ(m.run({0xdf, 0xe0}), -1);  // fnstsw ax does not wait
  EXPECT_EQ(m.cpu->r[0] & 0x80ff, 0x8084u);
  EXPECT_EQ(m.run(kFld1), MF);
  EXPECT_EQ(m.peek<u64>(m.cpu->r[4]), TestMachine::kCode);  // a fault of that instruction
  EXPECT_EQ(m.run({0x9b}), MF);
  EXPECT_EQ(m.run({0xdb, 0xe2}), -1);  // fnclex
  EXPECT_EQ(m.run({0x9b}), -1);
}
TEST(x87, external_error_reporting_is_not_modelled_and_says_so) {
  TestMachine m;
  m.cpu->cr0 &= ~cr0::NE;
  m.cpu->update();
  m.cpu->fpu.cw = 0x37b;
  EXPECT_EQ(m.run(kFdivZero), -1);
  EXPECT_EQ(m.run(kFld1), -2);
  EXPECT_EQ(m.stop_.reason(), StopReason::unsupported);
  EXPECT_NE(m.stop_.what().find("FERR#"), std::string::npos);
}
TEST(x87, faults_of_control_register_0) {
  struct { u64 cr0; Code code; int vector; } cases[] = {{cr0::EM, kFld1, NM}, {cr0::TS, kFld1, NM}, {cr0::TS, {0xdb, 0xe3}, NM}, {cr0::TS, {0x9b}, -1}, {cr0::MP, {0x9b}, -1}, {cr0::MP | cr0::TS, {0x9b}, NM}, {cr0::EM, {0x9b}, -1}};
  for (auto& k : cases) {
    TestMachine m;
    m.cpu->cr0 |= k.cr0;
    m.cpu->update();
    EXPECT_EQ(m.run(k.code), k.vector) << k.cr0;
  }
}
// SDM 1 "x87 FPU Instruction and Data (Operand) Pointers", "Last Instruction Opcode"
TEST(x87, pointers_follow_the_last_instruction_and_the_opcode_its_unmasked_exceptions) {
  TestMachine m;
  m.cpu->r[6] = kAt;
  m.poke<u32>(kAt + 4, 0);
  m.cpu->fpu.cw = 0x37b;
  EXPECT_EQ(m.run({0x90, 0xd9, 0xe8, 0xd8, 0x76, 0x04}), -1);  // nop; fld1; fdiv dword [rsi + 4]
  EXPECT_EQ(m.cpu->fpu.fip, TestMachine::kCode + 3);
  EXPECT_EQ(m.cpu->fpu.fdp, kAt + 4);
  EXPECT_EQ(m.cpu->fpu.fop, 0x076);
  EXPECT_EQ(m.run({0xdb, 0xe2, 0xd9, 0xee}), -1);  // fnclex; fldz
  EXPECT_EQ(m.cpu->fpu.fip, TestMachine::kCode + 2);
  EXPECT_EQ(m.cpu->fpu.fop, 0x076);
}
// SDM 1 "Protected Mode x87 FPU State Image in Memory, 32-Bit Format" and its siblings
TEST(x87, environment_images) {
  auto prepare = [](TestMachine& m) {
    m.cpu->r[6] = m.cpu->r[3] = kAt & 0xffff ? kAt : 0x800;
    m.cpu->fpu.cw = 0x360, m.cpu->fpu.sw = 7 << 11 | 1, m.cpu->fpu.tags = 0x80;
    m.cpu->fpu.st[7] = {u64{1} << 63, 0x7fff};
    m.cpu->fpu.fip = 0xabcde, m.cpu->fpu.fdp = 0x12345, m.cpu->fpu.fop = 0x456;
  };
  TestMachine p;
  prepare(p);
  p.cpu->r[6] = kAt;
  ASSERT_EQ(p.run({0xd9, 0x36}), -1);  // fnstenv [rsi]
  const u32 expected32[7] = {0xffff0360, 0xffff3801, 0xffffbfff, 0xabcde, 0x04560000, 0x12345, 0xffff0000};
  for (unsigned k = 0; k < 7; ++k) EXPECT_EQ(p.peek<u32>(kAt + 4 * k) & (k == 1 ? 0xffff7f7f : ~0u), expected32[k]) << k;
  EXPECT_EQ(p.cpu->fpu.cw, 0x37f);  // all masked afterwards
  ASSERT_EQ(p.run({0xd9, 0x26}), -1);  // fldenv
  EXPECT_EQ(p.cpu->fpu.cw, 0x360);
  EXPECT_EQ(p.cpu->fpu.tags, 0x80);
  EXPECT_EQ(p.cpu->fpu.fop, 0x456);
  TestMachine r(TestMachine::Mode::real);
  prepare(r);
  r.cpu->r[6] = 0x800;
  ASSERT_EQ(r.run({0xd9, 0x34}), -1);  // fnstenv [si], 16 bits
  const u16 expected16[7] = {0x360, 0x3801, 0xbfff, 0xbcde, 0xa456, 0x2345, 0x1000};
  for (unsigned k = 0; k < 7; ++k) EXPECT_EQ(r.peek<u16>(0x800 + 2 * k) & (k == 1 ? 0x7f7f : 0xffff), expected16[k]) << k;
}
TEST(x87, fnsave_and_frstor_round_trip) {
  for (Code prefix : {Code{}, Code{0x66}}) {
    TestMachine m;
    m.cpu->r[6] = kAt;
    m.cpu->fpu.cw = 0x27f, m.cpu->fpu.sw = 2 << 11 | 0x4700, m.cpu->fpu.tags = 0x5a;
    for (unsigned n = 0; n < 8; ++n) m.cpu->fpu.st[n] = {0x8000000000000000 + n, static_cast<u16>(0x4000 + n)};
    const Fpu before = m.cpu->fpu;
    Code save = prefix, restore = prefix;
    save.insert(save.end(), {0xdd, 0x36}), restore.insert(restore.end(), {0xdd, 0x26});
    ASSERT_EQ(m.run(save), -1);
    EXPECT_EQ(m.cpu->fpu.cw, 0x37f);
    EXPECT_EQ(m.cpu->fpu.tags, 0);
    m.cpu->fpu.st[3] = {};
    ASSERT_EQ(m.run(restore), -1);
    EXPECT_EQ(m.cpu->fpu.sw, before.sw);
    EXPECT_EQ(m.cpu->fpu.tags, before.tags);
    for (unsigned n = 0; n < 8; ++n) EXPECT_EQ(m.cpu->fpu.st[n].m, before.st[n].m);
  }
}
TEST(x87, a_store_that_faults_leaves_the_stack) {
  TestMachine m;
  m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);
  m.cpu->r[6] = 0x200000 - 4;
  EXPECT_EQ(m.run({0xd9, 0xe8, 0xdb, 0x3e}), PF);  // fld1; fstp tbyte [rsi]
  EXPECT_EQ(m.cpu->fpu.sw, 7 << 11);
  EXPECT_EQ(m.cpu->fpu.tags, 0x80);
}
// SDM 2A "FSTP", "FBSTP": the manual does not say; processors store eight bytes and then two, as the native judge has found.
TEST(x87, ten_bytes_are_two_accesses) {
  TestMachine m;
  constexpr u64 kHole = 0x200000, kBefore = 0x5555555555555555;
  m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);
  for (u8 modrm : {u8{0x3e}, u8{0x36}}) {  // fstp m80 [rsi]; fbstp [rsi]
    const bool bcd = modrm == 0x36;
    for (u64 at : {kHole - 9, kHole - 8, kHole - 7}) {
      m.poke<u64>(kHole - 9, kBefore), m.poke<u64>(kHole - 8, kBefore);
      m.cpu->fpu = {}, m.cpu->fpu.cw = 0x37f, m.cpu->r[6] = at;
      EXPECT_EQ(m.run({0xd9, 0xe8, static_cast<u8>(bcd ? 0xdf : 0xdb), modrm}), PF);  // fld1
      EXPECT_EQ(m.cpu->cr2, kHole) << "both parts that can reach it begin or end there";
      EXPECT_EQ(m.cpu->fpu.sw, 7 << 11) << "not popped";
      const u64 first = bcd ? 1 : u64{1} << 63;
      if (at + 8 <= kHole) { EXPECT_EQ(m.peek<u64>(at), first) << "the first part is in memory"; }
      else { EXPECT_EQ(m.peek<u64>(kHole - 8), kBefore) << "nothing is"; }
    }
  }
  // The first part's page fault comes before the second's general protection.
  m.cpu->r[6] = 0x7ffffffffff8;
  for (u8 op : {u8{0x3e}, u8{0x2e}}) {  // fstp, fld
    m.cpu->fpu = {}, m.cpu->fpu.cw = 0x37f;
    EXPECT_EQ(m.run({0xd9, 0xe8, 0xdb, op}), PF);
    EXPECT_EQ(m.cpu->cr2, 0x7ffffffffff8u);
  }
}
// SDM 1 "Stack Overflow or Underflow Exception (#IS)"
TEST(x87, stack_faults_tell_their_direction) {
  TestMachine m;
  m.cpu->fpu.cw = 0x37f;
  EXPECT_EQ(m.run({0xd9, 0xfa}), -1);  // fsqrt of an empty register
  EXPECT_EQ(m.cpu->fpu.sw & 0x27f, 0x41);
  m.cpu->fpu.tags = 0xff;
  EXPECT_EQ(m.run(kFld1), -1);
  EXPECT_EQ(m.cpu->fpu.sw & 0x27f, 0x241);
}
// The soft-float core against arithmetic that is exact on every host.
TEST(softfloat, division_and_root_of_integers) {
  sf::Env e;
  for (i64 a = 1; a < 200; ++a)
    for (i64 b = 1; b < 60; ++b) {
      e.flags = 0;
      const sf::Num q = sf::div(e, sf::from_int(a * b), sf::from_int(b), sf::kF64);
      EXPECT_EQ(sf::pack64(q), std::bit_cast<u64>(static_cast<double>(a)));
      EXPECT_EQ(e.flags, 0);
      e.flags = 0;
      EXPECT_EQ(sf::pack64(sf::sqrt(e, sf::from_int(a * a * b * b), sf::kF64)), std::bit_cast<u64>(static_cast<double>(a * b)));
      EXPECT_EQ(e.flags, 0);
    }
}
}  // namespace
}  // namespace vt::cpu
