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
}  // namespace
}  // namespace vt::cpu
