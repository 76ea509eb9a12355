// SPDX-License-Identifier: GPL-2.0-or-later
/// The same instruction with the same random operands on the host's processor and on ours: results and defined flags are equal.
/// With VITRINE_EXACT_FLAGS set the undefined ones are compared as well (they are those of recent Intel processors).
#include <cstdlib>
#include <random>

#include "harness.hpp"
#include "native.hpp"

#ifdef VT_NATIVE
namespace vt::cpu {
namespace {

using Bytes = std::vector<u8>;
constexpr u64 C = rflags::CF, P = rflags::PF, A = rflags::AF, Z = rflags::ZF, S = rflags::SF, O = rflags::OF;

class NativeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!host.ok()) GTEST_SKIP() << "no executable memory here";
  }
  u64 value() {
    static constexpr u64 kEdges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~u64{0}, 0x9a};
    const u64 v = rng();
    switch (rng() % 4) {
      case 0: return kEdges[v % 16];
      case 1: return v & 0xff;
      default: return v;
    }
  }
  /// `undefined`: flags not to be compared. `prepare` may alter the operands.
  template <class F>
  void check(const char* name, const Bytes& code, u64 undefined, F prepare, unsigned rounds = 60) {
    if (exact) undefined = 0;
    for (unsigned k = 0; k < rounds; ++k) {
      NativeState n;
      for (unsigned x : {0, 1, 2, 3, 6, 8, 9}) n.r[x] = value();
      n.flags = 2 | (rng() & rflags::kArith);
      u64 mem[4] = {value(), value(), value(), value()};
      prepare(n, mem);
      const NativeState in = n;
      for (unsigned x = 0; x < 10; ++x) if (x != 4 && x != 5) m.cpu->r[x] = n.r[x];
      m.cpu->set_rflags(n.flags);
      m.cpu->r[7] = TestMachine::kData;
      m.mem.write(Hpa{TestMachine::kData - 16}, mem, sizeof mem, WriteCause::loader);
      n.r[7] = reinterpret_cast<u64>(mem + 2);
      host.run(code, n);
      ASSERT_EQ(m.run(code), -1) << name;
      for (unsigned x : {0, 1, 2, 3, 6, 8, 9})
        ASSERT_EQ(m.cpu->r[x], n.r[x]) << name << " register " << x << std::hex << " rax " << in.r[0] << " rcx " << in.r[1] << " rdx " << in.r[2] << " rbx " << in.r[3] << " flags " << in.flags;
      u64 ours[4];
      m.mem.read(Hpa{TestMachine::kData - 16}, ours, sizeof ours);
      for (unsigned x = 0; x < 4; ++x) ASSERT_EQ(ours[x], mem[x]) << name << " memory " << x << std::hex << " rax " << in.r[0] << " rcx " << in.r[1];
      ASSERT_EQ(m.cpu->rflags() & rflags::kArith & ~undefined, n.flags & rflags::kArith & ~undefined)
          << name << std::hex << " rax " << in.r[0] << " rcx " << in.r[1] << " rdx " << in.r[2] << " rbx " << in.r[3] << " mem " << mem[2] << " flags " << in.flags;
    }
  }
  void check(const char* name, const Bytes& code, u64 undefined = 0) { check(name, code, undefined, [](NativeState&, u64*) {}); }

  /// opcode (16, 32, 64-bit) with ModRM, in register (rax, rcx) and memory ([rdi], rcx) form.
  void widths(const char* name, Bytes opcode, u8 reg, u64 undefined = 0, Bytes imm = {}, unsigned imm_by_size = 0, u8 mandatory = 0) {
    for (unsigned w = 0; w < 3; ++w)
      for (u8 modrm : {u8(0xc0), u8(0x07)}) {
        Bytes b;
        if (w == 0) b.push_back(0x66);
        if (mandatory) b.push_back(mandatory);
        if (w == 2) b.push_back(0x48);
        b.insert(b.end(), opcode.begin(), opcode.end());
        b.push_back(static_cast<u8>(modrm | reg << 3));
        b.insert(b.end(), imm.begin(), imm.end());
        for (unsigned k = 0; k < (imm_by_size ? (w == 0 ? 2u : 4u) : 0u); ++k) b.push_back(static_cast<u8>(0x81 + 0x37 * k));
        check(name, b, undefined);
      }
  }
  void byte(const char* name, Bytes opcode, u8 reg, u64 undefined = 0, Bytes imm = {}) {
    for (u8 modrm : {u8(0xc0), u8(0x07), u8(0xc4), u8(0xc7)}) {  // al, [rdi], ah, bh
      Bytes b = opcode;
      b.push_back(static_cast<u8>(modrm | reg << 3));
      b.insert(b.end(), imm.begin(), imm.end());
      check(name, b, undefined);
    }
  }

  Native host;
  TestMachine m;
  std::mt19937_64 rng{1};
  const bool exact = std::getenv("VITRINE_EXACT_FLAGS") != nullptr;
};

TEST_F(NativeTest, arithmetic_and_logic) {
  static constexpr const char* kNames[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
  for (u8 op = 0; op < 8; ++op) {
    const u64 undefined = op == 1 || op == 4 || op == 6 ? A : 0;
    byte(kNames[op], {static_cast<u8>(op * 8)}, 1, undefined);
    byte(kNames[op], {static_cast<u8>(op * 8)}, 5, undefined);
    byte(kNames[op], {static_cast<u8>(op * 8 + 2)}, 1, undefined);
    widths(kNames[op], {static_cast<u8>(op * 8 + 1)}, 1, undefined);
    widths(kNames[op], {static_cast<u8>(op * 8 + 3)}, 1, undefined);
    byte(kNames[op], {0x80}, op, undefined, {0x9c});
    widths(kNames[op], {0x83}, op, undefined, {0x9c});
    widths(kNames[op], {0x81}, op, undefined, {}, 1);
    check(kNames[op], {static_cast<u8>(op * 8 + 4), 0x7f}, undefined);
    check(kNames[op], {0x48, static_cast<u8>(op * 8 + 5), 1, 2, 3, 0x84}, undefined);
  }
  byte("test", {0x84}, 1, A);
  widths("test", {0x85}, 1, A);
  byte("test imm", {0xf6}, 0, A, {0x81});
  widths("test imm", {0xf7}, 0, A, {}, 1);
  for (u8 r : {u8(0), u8(1)}) {
    byte(r ? "dec" : "inc", {0xfe}, r);
    widths(r ? "dec" : "inc", {0xff}, r);
  }
  for (u8 r : {u8(2), u8(3)}) {
    byte(r == 2 ? "not" : "neg", {0xf6}, r);
    widths(r == 2 ? "not" : "neg", {0xf7}, r);
  }
}

TEST_F(NativeTest, shifts_and_rotates) {
  static constexpr const char* kNames[] = {"rol", "ror", "rcl", "rcr", "shl", "shr", "sal", "sar"};
  for (u8 op = 0; op < 8; ++op) {
    byte(kNames[op], {0xd0}, op, op > 3 ? A : 0);
    widths(kNames[op], {0xd1}, op, op > 3 ? A : 0);
    // By CL: OF is defined for a count of one only; CF of SHL and SHR not for counts beyond the width.
    byte(kNames[op], {0xd2}, op, O | (op > 3 ? A : 0) | (op > 3 && op < 7 ? C : 0));
    widths(kNames[op], {0xd3}, op, O | (op > 3 ? A : 0) | (op > 3 && op < 7 ? C : 0));
    for (u8 n : {u8(0), u8(1), u8(7), u8(9), u8(31), u8(33), u8(63)}) {
      byte(kNames[op], {0xc0}, op, O | (op > 3 ? A : 0) | ((n & 31) >= 8 && op > 3 ? C : 0), {n});
      widths(kNames[op], {0xc1}, op, O | (op > 3 ? A : 0) | ((n & 31) >= 16 && op > 3 ? C : 0), {n});
    }
  }
  auto small = [](NativeState& n, u64*) { n.r[1] = n.r[1] % 17; };
  for (u8 op : {u8(0xa4), u8(0xac)}) {
    const char* name = op == 0xa4 ? "shld" : "shrd";
    for (u8 n : {u8(0), u8(1), u8(9), u8(15)}) widths(name, {0x0f, op}, 3, A | O, {n});
    check(name, {0x66, 0x0f, static_cast<u8>(op + 1), 0xd8}, A | O, small);
    check(name, {0x0f, static_cast<u8>(op + 1), 0xd8}, A | O);
    check(name, {0x48, 0x0f, static_cast<u8>(op + 1), 0x1f}, A | O);
    if (exact) check(name, {0x66, 0x0f, static_cast<u8>(op + 1), 0xd8});
  }
}

TEST_F(NativeTest, multiplication_and_division) {
  constexpr u64 kMul = S | Z | A | P, kDiv = rflags::kArith;
  for (u8 r : {u8(4), u8(5)}) {
    byte(r == 4 ? "mul" : "imul", {0xf6}, r, kMul);
    widths(r == 4 ? "mul" : "imul", {0xf7}, r, kMul);
  }
  widths("imul", {0x0f, 0xaf}, 1, kMul);
  widths("imul", {0x6b}, 1, kMul, {0x9c});
  widths("imul", {0x69}, 1, kMul, {}, 1);
  auto unsigned_ok = [](unsigned bits, bool memory) {
    return [=](NativeState& n, u64* mem) {
      const u64 mask = bits == 64 ? ~u64{0} : (u64{1} << bits) - 1;
      u64& d = memory ? mem[2] : n.r[3];
      if ((d & mask) == 0) d |= 1;
      if (bits == 8) n.r[0] = (n.r[0] & ~u64{0xff00}) | ((n.r[0] >> 8 & 0xff) % (d & mask)) << 8;
      else n.r[2] = (n.r[2] & mask) % (d & mask);
    };
  };
  auto signed_ok = [](unsigned bits, bool memory) {
    return [=](NativeState& n, u64* mem) {
      const u64 mask = bits == 64 ? ~u64{0} : (u64{1} << bits) - 1;
      u64& d = memory ? mem[2] : n.r[3];
      if ((d & mask) == 0 || (d & mask) == mask) d = (d & ~mask) | 3;
      if (bits == 8) n.r[0] = static_cast<u16>(static_cast<i8>(n.r[0]));
      else n.r[2] = sext(n.r[0] & mask, bits) < 0 ? ~u64{0} : 0;
    };
  };
  // A dividend in both halves whose quotient fits: divisor large, high half small.
  auto wide_signed = [](NativeState& n, u64*) {
    n.r[3] = (n.r[3] & 1 ? u64{0x7fffffffffffffff} : u64{0x8000000000000000}) ^ (n.r[3] >> 20);
    n.r[2] = static_cast<u64>(static_cast<i64>(n.r[2]) >> 4);
  };
  check("div bl", {0xf6, 0xf3}, kDiv, unsigned_ok(8, false));
  check("div bx", {0x66, 0xf7, 0xf3}, kDiv, unsigned_ok(16, false));
  check("div ebx", {0xf7, 0xf3}, kDiv, unsigned_ok(32, false));
  check("div rbx", {0x48, 0xf7, 0xf3}, kDiv, unsigned_ok(64, false), 300);
  check("div [rdi]", {0x48, 0xf7, 0x37}, kDiv, unsigned_ok(64, true));
  check("idiv bl", {0xf6, 0xfb}, kDiv, signed_ok(8, false));
  check("idiv bx", {0x66, 0xf7, 0xfb}, kDiv, signed_ok(16, false));
  check("idiv ebx", {0xf7, 0xfb}, kDiv, signed_ok(32, false));
  check("idiv rbx", {0x48, 0xf7, 0xfb}, kDiv, signed_ok(64, false));
  check("idiv rbx wide", {0x48, 0xf7, 0xfb}, kDiv, wide_signed, 300);
  check("idiv [rdi]", {0x48, 0xf7, 0x3f}, kDiv, signed_ok(64, true));
}

TEST_F(NativeTest, bits) {
  constexpr u64 kBt = O | S | A | P;  // ZF is unchanged
  static constexpr const char* kNames[] = {"bt", "bts", "btr", "btc"};
  auto near_ = [](NativeState& n, u64*) { n.r[1] = static_cast<u64>(static_cast<i64>(n.r[1] % 250) - 125); };
  for (u8 op = 0; op < 4; ++op) {
    const u8 opcode = static_cast<u8>(0xa3 + 8 * op);
    for (Bytes prefix : {Bytes{0x66}, Bytes{}, Bytes{0x48}}) {
      Bytes reg = prefix, mem = prefix;
      for (u8 x : {u8(0x0f), opcode, u8(0xc8)}) reg.push_back(x);
      for (u8 x : {u8(0x0f), opcode, u8(0x0f)}) mem.push_back(x);
      check(kNames[op], reg, kBt);
      check(kNames[op], mem, kBt, near_);
    }
    widths(kNames[op], {0x0f, 0xba}, static_cast<u8>(4 + op), kBt, {0x4d});
  }
  constexpr u64 kScan = C | O | S | A | P;
  auto nonzero = [](NativeState& n, u64* mem) { n.r[3] |= 0x4000, mem[2] |= 0x80; };
  for (u8 op : {u8(0xbc), u8(0xbd)}) {
    for (Bytes prefix : {Bytes{0x66}, Bytes{}, Bytes{0x48}}) {
      Bytes reg = prefix, mem = prefix;
      for (u8 x : {u8(0x0f), op, u8(0xc3)}) reg.push_back(x);
      for (u8 x : {u8(0x0f), op, u8(0x07)}) mem.push_back(x);
      check("bsf, bsr", reg, kScan, nonzero);
      check("bsf, bsr", mem, kScan, nonzero);
    }
  }
  if (__builtin_cpu_supports("bmi")) widths("tzcnt", {0x0f, 0xbc}, 1, O | S | A | P, {}, 0, 0xf3);
  if (__builtin_cpu_supports("lzcnt")) widths("lzcnt", {0x0f, 0xbd}, 1, O | S | A | P, {}, 0, 0xf3);
  if (__builtin_cpu_supports("popcnt")) widths("popcnt", {0x0f, 0xb8}, 1, 0, {}, 0, 0xf3);
  if (__builtin_cpu_supports("sse4.2")) {
    widths("crc32", {0x0f, 0x38, 0xf1}, 1, 0, {}, 0, 0xf2);
    check("crc32 byte", {0xf2, 0x0f, 0x38, 0xf0, 0xcc});
    check("crc32 byte", {0xf2, 0x48, 0x0f, 0x38, 0xf0, 0x0f});
  }
}

TEST_F(NativeTest, bmi_and_adx) {
  if (!__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2")) GTEST_SKIP() << "the host has no BMI";
  m.cpu->cr4 |= cr4::OSXSAVE;
  m.cpu->xcr0 = 7;
  m.cpu->update();
  // VEX.vvvv = rcx, reg = rax, r/m = rbx or [rdi]
  auto vex = [&](const char* name, u8 map, u8 pp, u8 opcode, u64 undefined, int digit = -1, Bytes imm = {}, u8 vvvv = 1) {
    for (u8 w : {u8(0), u8(0x80)})
      for (u8 modrm : {u8(0xc3), u8(0x07)}) {
        Bytes b = {0xc4, static_cast<u8>(0xe0 | map), static_cast<u8>(w | (~vvvv & 15) << 3 | pp), opcode, static_cast<u8>(modrm | (digit < 0 ? 0 : digit << 3))};
        b.insert(b.end(), imm.begin(), imm.end());
        check(name, b, undefined);
      }
  };
  vex("andn", 2, 0, 0xf2, A | P);
  vex("blsr", 2, 0, 0xf3, A | P, 1);
  vex("blsmsk", 2, 0, 0xf3, A | P, 2);
  vex("blsi", 2, 0, 0xf3, A | P, 3);
  vex("bextr", 2, 0, 0xf7, A | S | P);
  vex("bzhi", 2, 0, 0xf5, A | P);
  vex("pext", 2, 2, 0xf5, 0);
  vex("pdep", 2, 3, 0xf5, 0);
  vex("mulx", 2, 3, 0xf6, 0);
  vex("mulx same", 2, 3, 0xf6, 0, -1, {}, 0);
  vex("shlx", 2, 1, 0xf7, 0);
  vex("sarx", 2, 2, 0xf7, 0);
  vex("shrx", 2, 3, 0xf7, 0);
  for (u8 n : {u8(0), u8(5), u8(0x3f)}) vex("rorx", 3, 3, 0xf0, 0, -1, {n}, 0);
  for (u8 prefix : {u8(0x66), u8(0xf3)})
    for (u8 modrm : {u8(0xc1), u8(0x07)}) {
      check("adcx, adox", {prefix, 0x0f, 0x38, 0xf6, modrm});
      check("adcx, adox", {prefix, 0x48, 0x0f, 0x38, 0xf6, modrm});
    }
}

TEST_F(NativeTest, moves_and_exchanges) {
  byte("mov", {0x88}, 1);
  byte("mov", {0x88}, 6);
  byte("mov", {0x8a}, 5);
  widths("mov", {0x89}, 1);
  widths("mov", {0x8b}, 1);
  byte("mov", {0xc6}, 0, 0, {0x5a});
  widths("mov", {0xc7}, 0, 0, {}, 1);
  check("mov r64, imm64", {0x49, 0xb8, 1, 2, 3, 4, 5, 6, 7, 0x88});
  check("mov r32, imm32", {0xb8, 1, 2, 3, 0x84});
  check("mov ah, imm8", {0xb4, 0x12});
  for (u8 op : {u8(0xb6), u8(0xb7), u8(0xbe), u8(0xbf)}) widths("movzx, movsx", {0x0f, op}, 1);
  check("movzx from ah", {0x0f, 0xb6, 0xcc});
  widths("movsxd", {0x63}, 1);
  byte("xchg", {0x86}, 1);
  byte("xchg", {0x86}, 5);
  widths("xchg", {0x87}, 1);
  check("xchg", {0x48, 0x91});
  check("xchg", {0x91});
  check("xchg r8", {0x41, 0x90});
  check("nop", {0x90});
  byte("xadd", {0x0f, 0xc0}, 1);
  widths("xadd", {0x0f, 0xc1}, 1);
  widths("xadd same", {0x0f, 0xc1}, 0);
  byte("cmpxchg", {0x0f, 0xb0}, 1);
  widths("cmpxchg", {0x0f, 0xb1}, 1);
  auto equal = [](NativeState& n, u64* mem) { mem[2] = n.r[0]; };
  check("cmpxchg equal", {0x0f, 0xb1, 0x0f}, 0, equal);
  check("cmpxchg equal", {0x48, 0x0f, 0xb1, 0x0f}, 0, equal);
  check("cmpxchg equal", {0x0f, 0xb1, 0xcb}, 0, [](NativeState& n, u64*) { n.r[3] = n.r[0]; });
  check("cmpxchg8b", {0x0f, 0xc7, 0x0f});
  check("cmpxchg8b equal", {0x0f, 0xc7, 0x0f}, 0, [](NativeState& n, u64* mem) { mem[2] = (n.r[2] << 32) | static_cast<u32>(n.r[0]); });
  for (Bytes prefix : {Bytes{0x66}, Bytes{}, Bytes{0x48}}) {
    auto with = [&](Bytes b) { Bytes x = prefix; x.insert(x.end(), b.begin(), b.end()); return x; };
    check("cbw", with({0x98}));
    check("cwd", with({0x99}));
    check("lea", with({0x8d, 0x44, 0x8a, 0xf0}));
    if (prefix != Bytes{0x66}) check("bswap", with({0x0f, 0xc8}));
    if (__builtin_cpu_supports("movbe")) { check("movbe", with({0x0f, 0x38, 0xf0, 0x0f})); check("movbe", with({0x0f, 0x38, 0xf1, 0x0f})); }
    if (prefix != Bytes{0x66}) check("movnti", with({0x0f, 0xc3, 0x0f}));
  }
  check("lea with 67", {0x67, 0x8d, 0x44, 0x8a, 0xf0});
  check("lahf", {0x9f});
  check("sahf", {0x9e});
  for (u8 x : {u8(0xf5), u8(0xf8), u8(0xf9)}) check("clc, stc, cmc", {x});
}

TEST_F(NativeTest, conditions) {
  for (u8 cc = 0; cc < 16; ++cc) {
    check("setcc", {0x0f, static_cast<u8>(0x90 + cc), 0xc4});
    check("setcc", {0x0f, static_cast<u8>(0x90 + cc), 0x07});
    widths("cmovcc", {0x0f, static_cast<u8>(0x40 + cc)}, 1);
    check("jcc", {static_cast<u8>(0x70 + cc), 2, 0xb0, 0x55});
    check("after cmp", {0x39, 0xc8, 0x0f, static_cast<u8>(0x90 + cc), 0xc4}, A);
    check("after inc", {0xfe, 0xc0, 0x0f, static_cast<u8>(0x90 + cc), 0xc4}, A);
  }
  auto low = [](NativeState& n, u64*) { n.r[1] &= 3; };
  for (u8 op : {u8(0xe0), u8(0xe1), u8(0xe2), u8(0xe3)}) {
    check("loop", {op, 2, 0xb0, 0x55}, 0, low);
    check("loop with 67", {0x67, op, 2, 0xb0, 0x55}, 0, low);
  }
}

}  // namespace
}  // namespace vt::cpu
#endif
