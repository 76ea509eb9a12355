// SPDX-License-Identifier: GPL-2.0-or-later
#include <cmath>

#include "fpu_native.hpp"

namespace vt::cpu {
namespace {

struct Case { const char* name; std::vector<u8> code; enum { f32, f64, ints } kind = ints; };

/// xmm1 is the destination, xmm2 or [rsi] the source: appends the ModRM byte, and the immediate after it.
std::vector<u8> form(std::vector<u8> opcode, bool memory, int imm = -1) {
  opcode.push_back(memory ? 0x0e : 0xca);
  if (imm >= 0) opcode.push_back(static_cast<u8>(imm));
  return opcode;
}

struct Differ {
  NativeFpu native;
  EmulatedFpu emulated;
  Operands ops{4711};
  unsigned mismatches = 0;

  /// `csr` as given in the image. Reports the first few differences in full.
  void compare(const std::string& name, const std::vector<u8>& code, const FpuContext& start, u64 flag_mask = 0x8d5, bool exceptions = true) {
    FpuContext a = start, b = start;
    const bool ok = native.run(code, a);
    const int vector = emulated.run(code, b);
    FxImage in, x, y;
    std::memcpy(&in, start.in, 512), std::memcpy(&x, a.out, 512), std::memcpy(&y, b.out, 512);
    bool same = ok == (vector == -1) && (ok || vector == 19) && x.mxcsr == y.mxcsr;
    if (ok && same) same = !std::memcmp(x.xmm, y.xmm, sizeof x.xmm) && !std::memcmp(x.st, y.st, sizeof x.st) && x.fsw == y.fsw && x.ftw == y.ftw && a.rax == b.rax && a.rcx == b.rcx && a.rdx == b.rdx &&
        !((a.flags ^ b.flags) & flag_mask) && !std::memcmp(a.mem, b.mem, 64);
    if (!ok && same) same = !std::memcmp(y.xmm, in.xmm, sizeof x.xmm);  // nothing is written
    if (same || ++mismatches > 40) return;
    u64 m[2];
    std::memcpy(m, start.mem, 16);
    ADD_FAILURE() << name << std::hex << " mxcsr " << in.mxcsr << " xmm1 " << in.xmm[1][1] << ':' << in.xmm[1][0] << " xmm2 " << in.xmm[2][1] << ':' << in.xmm[2][0] << " mem " << m[1] << ':' << m[0]
                  << "\n host: " << ok << " mxcsr " << x.mxcsr << " xmm1 " << x.xmm[1][1] << ':' << x.xmm[1][0] << " xmm0 " << x.xmm[0][1] << ':' << x.xmm[0][0] << " rax " << a.rax << " rcx " << a.rcx << " flags " << a.flags << " st " << x.st[1].m << " fsw " << x.fsw << " ftw " << unsigned{x.ftw}
                  << "\n ours: " << vector << " mxcsr " << y.mxcsr << " xmm1 " << y.xmm[1][1] << ':' << y.xmm[1][0] << " xmm0 " << y.xmm[0][1] << ':' << y.xmm[0][0] << " rax " << b.rax << " rcx " << b.rcx << " flags " << b.flags << " st " << y.st[1].m << " fsw " << y.fsw << " ftw " << unsigned{y.ftw};
  }

  FpuContext context(int kind, u32 csr) {
    FpuContext x;
    FxImage f = {};
    f.fcw = 0x37f, f.mxcsr = csr;
    auto fill = [&](u64* q) {
      for (unsigned k = 0; k < 2; ++k)
        q[k] = kind == Case::f32 ? ops.f32() | static_cast<u64>(ops.f32()) << 32 : kind == Case::f64 ? ops.f64() : byte_wise();
    };
    for (unsigned n = 0; n < 4; ++n) fill(f.xmm[n]);
    if (kind != Case::ints && ops.below(8) == 0) {  // equal or close operands
      f.xmm[2][0] = f.xmm[1][0], f.xmm[2][1] = f.xmm[1][1] ^ (u64{1} << ops.below(64));
    }
    for (auto& r : f.st) r.m = byte_wise(), r.se = 0xffff;
    u64 q[2];
    fill(q);
    if (ops.below(8) == 0) q[0] = f.xmm[1][0];
    std::memcpy(x.mem, q, 16);
    for (unsigned k = 16; k < 64; ++k) x.mem[k] = static_cast<u8>(ops.bits());
    std::memcpy(x.in, &f, 512);
    x.rax = ops.bits(), x.rcx = ops.bits(), x.rdx = ops.bits(), x.flags = 0x202 | (ops.bits() & 0x8d5);
    return x;
  }
  u64 byte_wise() {
    switch (ops.below(4)) {
      case 0: return ops.bits();
      case 1: { u64 v = 0; for (unsigned k = 0; k < 8; ++k) { static constexpr u8 b[] = {0, 1, 0x7f, 0x80, 0x81, 0xff}; v = v << 8 | b[ops.below(6)]; } return v; }
      case 2: { u64 v = 0; for (unsigned k = 0; k < 4; ++k) { static constexpr u16 b[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x7f, 0x80}; v = v << 16 | b[ops.below(8)]; } return v; }
      default: return ops.bits() & ops.bits() & ops.bits();
    }
  }
  u32 random_csr(bool unmasked) {
    u32 csr = 0x1f80 | ops.below(4) << 13 | (ops.below(4) == 0 ? 0x40 : 0) | (ops.below(4) == 0 ? 0x8000 : 0);
    if (ops.below(4) == 0) csr |= ops.below(64);
    if (unmasked) csr &= ~(ops.below(64) << 7);
    return csr;
  }
};

class SseNative : public testing::Test {
 protected:
  void SetUp() override { if (!d.native.usable()) GTEST_SKIP() << "needs an Intel host with SSE4.2"; }
  Differ d;
};

void sweep(Differ& d, const std::vector<Case>& cases, unsigned rounds, bool unmasked, int imms = 0) {
  for (auto& k : cases)
    for (unsigned n = 0; n < rounds; ++n) {
      const int imm = imms ? static_cast<int>(d.ops.below(static_cast<unsigned>(imms))) : -1;
      const FpuContext x = d.context(k.kind, k.kind == Case::ints ? 0x1f80 : d.random_csr(unmasked));
      d.compare(std::string(k.name) + (imm >= 0 ? " imm " + std::to_string(imm) : ""), form(k.code, n & 1, imm), x);
    }
}

std::vector<Case> arithmetic() {
  std::vector<Case> v;
  static const std::pair<u8, const char*> kOps[] = {{0x51, "SQRT"}, {0x58, "ADD"}, {0x59, "MUL"}, {0x5c, "SUB"}, {0x5d, "MIN"}, {0x5e, "DIV"}, {0x5f, "MAX"}};
  static std::vector<std::string> names;
  names.reserve(64);
  for (auto& [op, name] : kOps) {
    for (auto& [suffix, prefix] : {std::pair{"PS", 0}, {"PD", 0x66}, {"SS", 0xf3}, {"SD", 0xf2}}) {
      names.push_back(std::string(name) + suffix);
      std::vector<u8> code;
      if (prefix) code.push_back(static_cast<u8>(prefix));
      code.push_back(0x0f), code.push_back(op);
      v.push_back({names.back().c_str(), code, suffix[1] == 'S' ? Case::f32 : Case::f64});
    }
  }
  for (Case c : {Case{"HADDPS", {0xf2, 0x0f, 0x7c}, Case::f32}, {"HSUBPD", {0x66, 0x0f, 0x7d}, Case::f64}, {"HADDPD", {0x66, 0x0f, 0x7c}, Case::f64}, {"HSUBPS", {0xf2, 0x0f, 0x7d}, Case::f32},
                 {"ADDSUBPS", {0xf2, 0x0f, 0xd0}, Case::f32}, {"ADDSUBPD", {0x66, 0x0f, 0xd0}, Case::f64},
                 {"UCOMISS", {0x0f, 0x2e}, Case::f32}, {"UCOMISD", {0x66, 0x0f, 0x2e}, Case::f64}, {"COMISS", {0x0f, 0x2f}, Case::f32}, {"COMISD", {0x66, 0x0f, 0x2f}, Case::f64}})
    v.push_back(c);
  return v;
}

// SDM 1 "SIMD Floating-Point Exceptions": results, flags and unmasked exceptions as the host's.
TEST_F(SseNative, arithmetic_masked) { sweep(d, arithmetic(), 1500, false); }
TEST_F(SseNative, arithmetic_unmasked) { sweep(d, arithmetic(), 1000, true); }

const std::vector<Case> kConversions = {
  {"CVTPI2PS", {0x0f, 0x2a}, Case::f32}, {"CVTPI2PD", {0x66, 0x0f, 0x2a}, Case::f64}, {"CVTSI2SS", {0xf3, 0x0f, 0x2a}, Case::f32}, {"CVTSI2SD", {0xf2, 0x0f, 0x2a}, Case::f64},
  {"CVTSI2SS q", {0xf3, 0x48, 0x0f, 0x2a}, Case::f32}, {"CVTSI2SD q", {0xf2, 0x48, 0x0f, 0x2a}, Case::f64},
  {"CVTTPS2PI", {0x0f, 0x2c}, Case::f32}, {"CVTTPD2PI", {0x66, 0x0f, 0x2c}, Case::f64}, {"CVTTSS2SI", {0xf3, 0x0f, 0x2c}, Case::f32}, {"CVTTSD2SI", {0xf2, 0x0f, 0x2c}, Case::f64},
  {"CVTTSS2SI q", {0xf3, 0x48, 0x0f, 0x2c}, Case::f32}, {"CVTTSD2SI q", {0xf2, 0x48, 0x0f, 0x2c}, Case::f64},
  {"CVTPS2PI", {0x0f, 0x2d}, Case::f32}, {"CVTPD2PI", {0x66, 0x0f, 0x2d}, Case::f64}, {"CVTSS2SI", {0xf3, 0x0f, 0x2d}, Case::f32}, {"CVTSD2SI", {0xf2, 0x0f, 0x2d}, Case::f64},
  {"CVTSS2SI q", {0xf3, 0x48, 0x0f, 0x2d}, Case::f32}, {"CVTSD2SI q", {0xf2, 0x48, 0x0f, 0x2d}, Case::f64},
  {"CVTPS2PD", {0x0f, 0x5a}, Case::f32}, {"CVTPD2PS", {0x66, 0x0f, 0x5a}, Case::f64}, {"CVTSS2SD", {0xf3, 0x0f, 0x5a}, Case::f32}, {"CVTSD2SS", {0xf2, 0x0f, 0x5a}, Case::f64},
  {"CVTDQ2PS", {0x0f, 0x5b}, Case::f32}, {"CVTPS2DQ", {0x66, 0x0f, 0x5b}, Case::f32}, {"CVTTPS2DQ", {0xf3, 0x0f, 0x5b}, Case::f32},
  {"CVTTPD2DQ", {0x66, 0x0f, 0xe6}, Case::f64}, {"CVTDQ2PD", {0xf3, 0x0f, 0xe6}, Case::f64}, {"CVTPD2DQ", {0xf2, 0x0f, 0xe6}, Case::f64},
};
// SDM 1 "SSE2 Conversion Instructions"
TEST_F(SseNative, conversions_masked) { sweep(d, kConversions, 1200, false); }
TEST_F(SseNative, conversions_unmasked) { sweep(d, kConversions, 800, true); }

TEST_F(SseNative, comparisons_and_rounding_with_immediates) {
  const std::vector<Case> cases = {{"CMPPS", {0x0f, 0xc2}, Case::f32}, {"CMPPD", {0x66, 0x0f, 0xc2}, Case::f64}, {"CMPSS", {0xf3, 0x0f, 0xc2}, Case::f32}, {"CMPSD", {0xf2, 0x0f, 0xc2}, Case::f64}};
  sweep(d, cases, 1500, false, 8);
  sweep(d, cases, 1000, true, 8);
  const std::vector<Case> round = {{"ROUNDPS", {0x66, 0x0f, 0x3a, 0x08}, Case::f32}, {"ROUNDPD", {0x66, 0x0f, 0x3a, 0x09}, Case::f64}, {"ROUNDSS", {0x66, 0x0f, 0x3a, 0x0a}, Case::f32}, {"ROUNDSD", {0x66, 0x0f, 0x3a, 0x0b}, Case::f64}};
  sweep(d, round, 1500, false, 16);
  sweep(d, round, 1000, true, 16);
  const std::vector<Case> dot = {{"DPPS", {0x66, 0x0f, 0x3a, 0x40}, Case::f32}, {"DPPD", {0x66, 0x0f, 0x3a, 0x41}, Case::f64}};
  for (auto& k : dot)  // which of several NaNs is passed on is up to the implementation: the second operand has none, the first at most one
    for (unsigned n = 0; n < 6000; ++n) {
      FpuContext x = d.context(k.kind, d.random_csr(n & 2));
      FxImage f;
      std::memcpy(&f, x.in, 512);
      f.xmm[1][1] = (f.xmm[1][1] & 0xbfffffffbfffffff), f.xmm[1][0] &= ~(u64{1} << 62);
      for (u64& q : f.xmm[2]) q &= 0xbfffffffbfffffff;
      std::memcpy(x.in, &f, 512), std::memcpy(x.mem, f.xmm[2], 16);
      d.compare(k.name, form(k.code, n & 1, static_cast<int>(d.ops.below(256))), x);
    }
}

// SDM 2B: every packed-integer instruction, both register widths.
TEST_F(SseNative, packed_integers) {
  std::vector<Case> cases;
  for (u8 prefix : {0, 0x66}) {
    auto add = [&](std::vector<u8> code) {
      if (prefix) code.insert(code.begin(), prefix);
      cases.push_back({"packed", code});
    };
    for (u8 op : {0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6f, 0x74, 0x75, 0x76, 0x7f, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf,
                  0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0x6e, 0x7e})
      add({0x0f, op});
    if (prefix) add({0x0f, 0x6c}), add({0x0f, 0x6d}), add({0x48, 0x0f, 0x6e}), add({0x48, 0x0f, 0x7e}), add({0x0f, 0xd6});
    for (u8 op : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0x1c, 0x1d, 0x1e}) add({0x0f, 0x38, op});
    if (prefix)
      for (u8 op : {0x10, 0x14, 0x15, 0x17, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x28, 0x29, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41})
        add({0x0f, 0x38, op});
  }
  std::vector<std::string> names;
  for (auto& k : cases) { std::string s; for (u8 b : k.code) { char t[4]; std::snprintf(t, sizeof t, "%02x ", b); s += t; } names.push_back(s); }
  for (std::size_t n = 0; n < cases.size(); ++n) cases[n].name = names[n].c_str();
  sweep(d, cases, 400, false);
}
TEST_F(SseNative, moves) {
  const std::vector<Case> cases = {{"MOVUPS", {0x0f, 0x10}}, {"MOVUPS st", {0x0f, 0x11}}, {"MOVSS", {0xf3, 0x0f, 0x10}}, {"MOVSS st", {0xf3, 0x0f, 0x11}}, {"MOVSD", {0xf2, 0x0f, 0x10}}, {"MOVSD st", {0xf2, 0x0f, 0x11}},
      {"MOVLPS/MOVHLPS", {0x0f, 0x12}}, {"MOVHPS/MOVLHPS", {0x0f, 0x16}}, {"MOVDDUP", {0xf2, 0x0f, 0x12}}, {"MOVSLDUP", {0xf3, 0x0f, 0x12}}, {"MOVSHDUP", {0xf3, 0x0f, 0x16}}, {"MOVAPS", {0x0f, 0x28}}, {"MOVAPS st", {0x0f, 0x29}},
      {"MOVDQU", {0xf3, 0x0f, 0x6f}}, {"MOVQ", {0xf3, 0x0f, 0x7e}}, {"UNPCKLPS", {0x0f, 0x14}}, {"UNPCKLPD", {0x66, 0x0f, 0x14}}, {"UNPCKHPS", {0x0f, 0x15}}, {"UNPCKHPD", {0x66, 0x0f, 0x15}},
      {"ANDPS", {0x0f, 0x54}}, {"ANDNPS", {0x0f, 0x55}}, {"ORPS", {0x0f, 0x56}}, {"XORPS", {0x0f, 0x57}}};
  sweep(d, cases, 100, false);
  for (unsigned n = 0; n < 200; ++n) {  // one form only
    for (std::vector<u8> code : {std::vector<u8>{0x0f, 0x13, 0x0e}, {0x0f, 0x17, 0x0e}, {0x0f, 0x2b, 0x0e}, {0x66, 0x0f, 0xe7, 0x0e}, {0x0f, 0xe7, 0x0e}, {0xf2, 0x0f, 0xf0, 0x0e}, {0x66, 0x0f, 0x38, 0x2a, 0x0e},
             {0x0f, 0x50, 0xc1}, {0x66, 0x0f, 0x50, 0xc1}, {0x66, 0x0f, 0xd7, 0xc1}, {0x0f, 0xd7, 0xc1}, {0xf3, 0x0f, 0xd6, 0xca}, {0xf2, 0x0f, 0xd6, 0xca}, {0x0f, 0x77}})
      d.compare("move " + std::to_string(code.back()), code, d.context(Case::ints, 0x1f80));
  }
}
TEST_F(SseNative, immediates) {
  const std::vector<Case> cases = {{"PSHUFW", {0x0f, 0x70}}, {"PSHUFD", {0x66, 0x0f, 0x70}}, {"PSHUFLW", {0xf2, 0x0f, 0x70}}, {"PSHUFHW", {0xf3, 0x0f, 0x70}}, {"SHUFPS", {0x0f, 0xc6}}, {"SHUFPD", {0x66, 0x0f, 0xc6}},
      {"PINSRW", {0x66, 0x0f, 0xc4}}, {"PINSRW mm", {0x0f, 0xc4}}, {"PALIGNR", {0x66, 0x0f, 0x3a, 0x0f}}, {"PALIGNR mm", {0x0f, 0x3a, 0x0f}}, {"BLENDPS", {0x66, 0x0f, 0x3a, 0x0c}}, {"BLENDPD", {0x66, 0x0f, 0x3a, 0x0d}}, {"PBLENDW", {0x66, 0x0f, 0x3a, 0x0e}},
      {"PEXTRB", {0x66, 0x0f, 0x3a, 0x14}}, {"PEXTRW", {0x66, 0x0f, 0x3a, 0x15}}, {"PEXTRD", {0x66, 0x0f, 0x3a, 0x16}}, {"PEXTRQ", {0x66, 0x48, 0x0f, 0x3a, 0x16}}, {"EXTRACTPS", {0x66, 0x0f, 0x3a, 0x17}},
      {"PINSRB", {0x66, 0x0f, 0x3a, 0x20}}, {"INSERTPS", {0x66, 0x0f, 0x3a, 0x21}}, {"PINSRD", {0x66, 0x0f, 0x3a, 0x22}}, {"PINSRQ", {0x66, 0x48, 0x0f, 0x3a, 0x22}}, {"MPSADBW", {0x66, 0x0f, 0x3a, 0x42}}};
  sweep(d, cases, 600, false, 256);
  for (unsigned n = 0; n < 2000; ++n)
    for (u8 prefix : {0, 0x66})
      for (auto [op, digit] : {std::pair{0x71, 2}, {0x71, 4}, {0x71, 6}, {0x72, 2}, {0x72, 4}, {0x72, 6}, {0x73, 2}, {0x73, 3}, {0x73, 6}, {0x73, 7}}) {
        if (!prefix && (digit == 3 || digit == 7)) continue;
        std::vector<u8> code = {0x0f, static_cast<u8>(op), static_cast<u8>(0xc1 | digit << 3), static_cast<u8>(d.ops.below(70))};
        if (prefix) code.insert(code.begin(), prefix);
        if (n < 60) d.compare("shift", code, d.context(Case::ints, 0x1f80));
      }
}
// SDM 2B "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM"
TEST_F(SseNative, string_compares) {
  for (unsigned n = 0; n < 40000; ++n) {
    FpuContext x = d.context(Case::ints, 0x1f80);
    FxImage f;
    std::memcpy(&f, x.in, 512);
    for (unsigned r : {1u, 2u})
      for (auto& q : f.xmm[r]) { q = 0; for (unsigned k = 0; k < 8; ++k) { static constexpr u8 b[] = {'a', 'b', 'c', 'z', 0x80, 0xff, 0, 1}; q = q << 8 | b[d.ops.below(n & 8 ? 5 : 8)]; } }
    std::memcpy(x.in, &f, 512);
    std::memcpy(x.mem, f.xmm[d.ops.below(4)], 16);
    x.rax = d.ops.below(4) ? d.ops.below(40) - 20 : d.ops.bits(), x.rdx = d.ops.below(4) ? d.ops.below(40) - 20 : d.ops.bits();
    const int imm = static_cast<int>(d.ops.below(128));
    std::vector<u8> code = {0x66, 0x0f, 0x3a, static_cast<u8>(0x60 + d.ops.below(4))};
    if (d.ops.below(3) == 0) code.insert(code.begin() + 1, 0x48);
    d.compare("PCMPxSTRx " + std::to_string(code[code.size() - 1]) + " imm " + std::to_string(imm), form(code, n & 1, imm), x);
  }
}

// --- what the machine alone decides -------------------------------------------------------------------------

constexpr u64 kAt = TestMachine::kData;
const std::vector<u8> kDivps = {0x0f, 0x5e, 0xca}, kMovaps = {0x0f, 0x28, 0x0e}, kMovups = {0x0f, 0x10, 0x0e}, kPxor = {0x66, 0x0f, 0xef, 0xc9};

// SDM 3A "Summary of Interaction of CR0/CR4 with SSE": OSFXSR, EM, TS
TEST(sse, faults_of_control_registers) {
  struct { u64 clear4, set0; int vector; } cases[] = {{cr4::OSFXSR, 0, UD}, {cr4::OSFXSR, cr0::TS, UD}, {0, cr0::EM, UD}, {0, cr0::TS, NM}, {0, 0, -1}};
  for (auto& k : cases) {
    TestMachine m;
    m.cpu->cr4 &= ~k.clear4, m.cpu->cr0 |= k.set0;
    m.cpu->update();
    EXPECT_EQ(m.run(kPxor), k.vector);
  }
}
// SDM 1 "SIMD Floating-Point Exception (#XM)"
TEST(sse, unmasked_exception_is_xm_or_ud) {
  for (bool xmm : {true, false}) {
    TestMachine m;
    if (!xmm) m.cpu->cr4 &= ~cr4::OSXMMEXCPT;
    m.cpu->update();
    m.cpu->fpu.mxcsr = 0x1f80 & ~0x200;  // ZM
    m.cpu->fpu.ymm[1][0] = 0x3f8000003f800000, m.cpu->fpu.ymm[1][1] = 0x3f8000003f800000;
    EXPECT_EQ(m.run(kDivps), xmm ? XM : UD);
    EXPECT_EQ(m.cpu->fpu.mxcsr, (0x1f80u & ~0x200u) | 4);
    EXPECT_EQ(m.cpu->fpu.ymm[1][0], 0x3f8000003f800000u);
  }
}
TEST(sse, alignment) {
  TestMachine m;
  m.cpu->r[6] = kAt + 8;
  EXPECT_EQ(m.run(kMovaps), GP);
  EXPECT_EQ(m.error_code(), 0u);
  EXPECT_EQ(m.run(kMovups), -1);
  EXPECT_EQ(m.run({0x66, 0x0f, 0xef, 0x0e}), GP);               // pxor xmm1, [rsi]
  EXPECT_EQ(m.run({0xf3, 0x0f, 0x58, 0x0e}), -1);               // addss
  EXPECT_EQ(m.run({0x66, 0x0f, 0x3a, 0x63, 0x0e, 0x00}), -1);   // pcmpistri
  EXPECT_EQ(m.run({0x66, 0x0f, 0x38, 0x20, 0x0e}), -1);         // pmovsxbw
}
TEST(sse, the_upper_half_of_the_wide_register_stays) {
  TestMachine m;
  m.cpu->r[6] = kAt;
  m.cpu->fpu.ymm[1][2] = 77, m.cpu->fpu.ymm[1][3] = 78;
  EXPECT_EQ(m.run(kMovaps), -1);
  EXPECT_EQ(m.run(kPxor), -1);
  EXPECT_EQ(m.run({0xf3, 0x0f, 0x10, 0x0e}), -1);
  EXPECT_EQ(m.cpu->fpu.ymm[1][2], 77u);
  EXPECT_EQ(m.cpu->fpu.ymm[1][3], 78u);
}
TEST(sse, an_unaligned_load_across_pages) {
  TestMachine m;
  m.poke<u64>(kAt + 4096 - 8, 0x1111), m.poke<u64>(kAt + 4096, 0x2222);
  m.cpu->r[6] = kAt + 4096 - 8;
  EXPECT_EQ(m.run(kMovups), -1);
  EXPECT_EQ(m.cpu->fpu.ymm[1][0], 0x1111u);
  EXPECT_EQ(m.cpu->fpu.ymm[1][1], 0x2222u);
}
TEST(sse, maskmovdqu_stores_selected_bytes_only) {
  TestMachine m;
  m.cpu->r[7] = kAt + 3;
  m.cpu->fpu.ymm[1][0] = 0x8877665544332211, m.cpu->fpu.ymm[1][1] = 0xffeeddccbbaa9999;
  m.cpu->fpu.ymm[2][0] = 0x80, m.cpu->fpu.ymm[2][1] = u64{0x80} << 56;
  EXPECT_EQ(m.run({0x66, 0x0f, 0xf7, 0xca}), -1);
  EXPECT_EQ(m.peek<u32>(kAt + 3), 0x11u);
  EXPECT_EQ(m.peek<u32>(kAt + 3 + 14), 0xff00u);
}
// SDM 2B "MASKMOVDQU": which bytes can fault is up to the processor. On Intel's all, and the upper eight come first.
TEST(sse, maskmovdqu_checks_all_bytes) {
  TestMachine m;
  constexpr u64 kHole = 0x200000, kBefore = 0x5555555555555555;
  m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);
  m.poke<u64>(kHole - 16, kBefore), m.poke<u64>(kHole - 8, kBefore);
  for (u64 select : {u64{0x80}, u64{0}}) {
    m.cpu->fpu.ymm[2][0] = select, m.cpu->fpu.ymm[2][1] = 0;
    m.cpu->r[7] = kHole - 4;
    EXPECT_EQ(m.run({0x66, 0x0f, 0xf7, 0xca}), PF);
    EXPECT_EQ(m.cpu->cr2, kHole + 4) << "the upper half";
    m.cpu->r[7] = kHole - 12;
    EXPECT_EQ(m.run({0x66, 0x0f, 0xf7, 0xca}), PF);
    EXPECT_EQ(m.cpu->cr2, kHole);
    m.cpu->r[7] = 0x7ffffffffff4;
    EXPECT_EQ(m.run({0x66, 0x0f, 0xf7, 0xca}), GP) << "its end is not canonical, which comes before the lower half's page fault";
  }
  EXPECT_EQ(m.peek<u64>(kHole - 16), kBefore);
  EXPECT_EQ(m.peek<u64>(kHole - 8), kBefore);
  m.cpu->r[7] = 0xfffffff8, m.poke<u64>(TestMachine::kPml4 + 0x2000, 0x87);
  EXPECT_EQ(m.run({0x67, 0x66, 0x0f, 0xf7, 0xca}), PF) << "67: the upper half is at 0, the lower is not there";
  EXPECT_EQ(m.cpu->cr2, 0xfffffff8u);
}
// SDM 2A "DPPS", "DPPD": which of several NaNs is passed on is up to the processor. DPPS's first sums begin with the neighbour, DPPD's do not.
TEST(sse, dot_products_pass_on_nans_in_the_hosts_order) {
  TestMachine m;
  auto& x = m.cpu->fpu.ymm[1];
  for (unsigned n = 0; n < 2; ++n) m.cpu->fpu.ymm[2][n] = 0x3ff0000000000000;
  x[0] = 0x7ff8000000000001, x[1] = 0x7ff8000000000002;
  EXPECT_EQ(m.run({0x66, 0x0f, 0x3a, 0x41, 0xca, 0x33}), -1);
  EXPECT_EQ(x[0], 0x7ff8000000000001u);
  EXPECT_EQ(x[1], 0x7ff8000000000002u);
  for (unsigned n = 0; n < 2; ++n) m.cpu->fpu.ymm[2][n] = 0x3f8000003f800000;
  x[0] = 0x7fc000027fc00001, x[1] = 0x7fc000047fc00003;
  EXPECT_EQ(m.run({0x66, 0x0f, 0x3a, 0x40, 0xca, 0xff}), -1);
  EXPECT_EQ(x[0], 0x7fc000017fc00002u);
  EXPECT_EQ(x[1], 0x7fc000037fc00004u);
}
// SDM 2B "RCPPS", "RSQRTPS": relative error at most 1.5 * 2^-12
TEST(sse, approximations_stay_within_the_bound) {
  TestMachine m;
  for (u32 k = 0; k < 8192; ++k) {
    const u32 bits = 0x3f800000 + k * 2048 + (k * 977) % 2048;  // [1, 4)
    const double x = static_cast<double>(std::bit_cast<float>(bits));
    m.cpu->fpu.ymm[2][0] = bits;
    ASSERT_EQ(m.run({0xf3, 0x0f, 0x53, 0xca, 0xf3, 0x0f, 0x52, 0xc2}), -1);  // rcpss xmm1, xmm2; rsqrtss xmm0, xmm2
    const double rcp = static_cast<double>(std::bit_cast<float>(static_cast<u32>(m.cpu->fpu.ymm[1][0]))), rsqrt = static_cast<double>(std::bit_cast<float>(static_cast<u32>(m.cpu->fpu.ymm[0][0])));
    ASSERT_LE(std::abs(rcp * x - 1), 1.5 / 4096) << x;
    ASSERT_LE(std::abs(rsqrt * rsqrt * x - 1), 3.0 / 4096) << x;
  }
  struct { u32 in, rcp, rsqrt; } special[] = {{0, 0x7f800000, 0x7f800000}, {0x80000001, 0xff800000, 0xff800000}, {0x7f800000, 0, 0}, {0xff800000, 0x80000000, 0xffc00000}, {0x7f800001, 0x7fc00001, 0x7fc00001}, {0x7f000000, 0, 0x1fb50000}};
  for (auto& k : special) {
    m.cpu->fpu.ymm[2][0] = k.in;
    ASSERT_EQ(m.run({0xf3, 0x0f, 0x53, 0xca, 0xf3, 0x0f, 0x52, 0xc2}), -1);
    EXPECT_EQ(static_cast<u32>(m.cpu->fpu.ymm[1][0]), k.rcp) << k.in;
    if (k.in != 0x7f000000) { EXPECT_EQ(static_cast<u32>(m.cpu->fpu.ymm[0][0]), k.rsqrt) << k.in; }
  }
}
}  // namespace
}  // namespace vt::cpu
