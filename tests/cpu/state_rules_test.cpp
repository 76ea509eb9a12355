// SPDX-License-Identifier: GPL-2.0-or-later
/// Save areas byte by byte for every request, header and state; the local APIC's rest; CPUID's and the memory types' state-dependent parts.
/// SDM 1 "Managing State Using the XSAVE Feature Set", SDM 3A "Advanced Programmable Interrupt Controller (APIC)", "Memory Type Range Registers (MTRRs)"
#include <array>

#include "cpu/cpuid.hpp"
#include "cpu/msr.hpp"
#include "harness.hpp"
#include "mmu.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
using Bytes = std::vector<u8>;
using Area = std::array<u8, 1024>;
constexpr u64 kArea = TestMachine::kData;

template <class T> void put(Area& a, unsigned at, T v) { std::memcpy(a.data() + at, &v, sizeof v); }

/// Everything in XCR0; [rsi] is the area.
struct Saver : TestMachine {
  explicit Saver(Mode m = Mode::long64) : TestMachine(m, {"+avx", "+xsavec", "+xsaves", "+xsaveopt", "+xgetbv1"}) {
    cpu->cr4 |= cr4::OSXSAVE;
    cpu->xcr0 = 7;
    cpu->update();
  }
  unsigned registers() const { return mode == Mode::long64 ? 16 : 8; }
  /// `used`: which components hold something; else they are in their initial configurations.
  void fill(u64 used, u32 mxcsr) {
    Fpu& f = cpu->fpu;
    f = {};
    f.cw = 0x37f;
    if (used & 1) {
      f.cw = 0x27f, f.sw = 3 << 11, f.tags = 0x18, f.fop = 0x123, f.fip = 0x1122334455667788, f.fdp = 0x99aabbccddeeff00;
      for (unsigned n = 0; n < 8; ++n) f.st[n] = {0x8000000000000000 + n, static_cast<u16>(0x3fff + n)};
    }
    for (unsigned n = 0; n < 16; ++n) {
      if (used & 2) f.ymm[n][0] = 0x1111 * (n + 1), f.ymm[n][1] = 0x2222 * (n + 1);
      if (used & 4) f.ymm[n][2] = 0x3333 * (n + 1), f.ymm[n][3] = 0x4444 * (n + 1);
    }
    f.mxcsr = mxcsr;
    cpu->r[6] = kArea, cpu->r[1] = 0;
  }
  void set_area(const Area& a) { mem.write(Hpa{kArea}, a.data(), a.size(), WriteCause::loader); }
  Area area() {
    Area a;
    mem.read(Hpa{kArea}, a.data(), a.size());
    return a;
  }
  int request(Bytes code, u64 components) {
    cpu->r[0] = components & 0xffff'ffff, cpu->r[2] = components >> 32, cpu->r[6] = kArea;
    return run(std::move(code));
  }
  /// The legacy region's x87 part as the manual lays it out.
  void image_x87(Area& a, bool wide) const {
    const Fpu& f = cpu->fpu;
    put<u16>(a, 0, f.cw), put<u16>(a, 2, f.sw), put<u16>(a, 4, f.tags), put<u16>(a, 6, f.fop);
    put<u64>(a, 8, wide ? f.fip : f.fip & 0xffff'ffff), put<u64>(a, 16, wide ? f.fdp : f.fdp & 0xffff'ffff);
    const unsigned top = f.sw >> 11 & 7;
    for (unsigned n = 0; n < 8; ++n) put<u64>(a, 32 + 16 * n, f.st[(top + n) % 8].m), put<u64>(a, 40 + 16 * n, f.st[(top + n) % 8].se);
  }
  void image_vectors(Area& a, unsigned at, unsigned word) const {
    for (unsigned n = 0; n < registers(); ++n) put<u64>(a, at + 16 * n, cpu->fpu.ymm[n][word]), put<u64>(a, at + 16 * n + 8, cpu->fpu.ymm[n][word + 1]);
  }
};
Area filled(u8 with, u64 old_bv) {
  Area a;
  a.fill(with);
  put<u64>(a, 512, old_bv);
  return a;
}

// SDM 1 "XSAVE Instruction", "XSAVEOPT Instruction", "XSAVEC Instruction", "XSAVES Instruction": every byte of the area
TEST(xsave_area, each_form_request_and_state) {
  struct { const char* name; u8 op, digit; bool compacted, optimised; } const forms[] = {{"XSAVE", 0xae, 0x26, false, false}, {"XSAVEOPT", 0xae, 0x36, false, true}, {"XSAVEC", 0xc7, 0x26, true, true}, {"XSAVES", 0xc7, 0x2e, true, true}};
  for (Mode mode : {Mode::long64, Mode::protected32}) {
    Saver m(mode);
    for (auto& form : forms)
      for (u64 request = 0; request < 8; ++request)
        for (u64 used = 0; used < 8; ++used)
          for (unsigned more = 0; more < 8; ++more) {
            const bool wide = more & 1, initial_mxcsr = more & 2;
            const u64 old_bv = more & 4 ? 0xf : 0;
            if (wide && mode != Mode::long64) continue;
            m.fill(used, initial_mxcsr ? 0x1f80 : 0x1fa0);
            const Area before = filled(0xcc, old_bv);
            m.set_area(before);
            Area want = before;
            u64 in_use = used;
            if (form.compacted && !initial_mxcsr) in_use |= 2;   // MXCSR belongs to SSE state there
            const u64 saved = form.optimised ? request & in_use : request;
            if (saved & 1) m.image_x87(want, wide);
            if (form.compacted ? saved & 2 : request & 6) put<u32>(want, 24, m.cpu->fpu.mxcsr), put<u32>(want, 28, 0xffff);
            if (saved & 2) m.image_vectors(want, 160, 0);
            if (saved & 4) m.image_vectors(want, 576, 2);
            put<u64>(want, 512, form.compacted ? request & in_use : (old_bv & ~request) | (request & in_use));
            if (form.compacted) {
              put<u64>(want, 520, request | u64{1} << 63);
              for (unsigned n = 528; n < 576; ++n) want[n] = 0;
            }
            ASSERT_EQ(m.request(wide ? Bytes{0x48, 0x0f, form.op, form.digit} : Bytes{0x0f, form.op, form.digit}, request | u64{0xf0} << 32), -1);
            const Area got = m.area();
            for (unsigned n = 0; n < got.size(); ++n) ASSERT_EQ(got[n], want[n]) << form.name << " of " << request << " with " << used << " in use, " << more << ", byte " << n;
          }
  }
}

// SDM 1 "Standard Form of XRSTOR", "Compacted Form of XRSTOR", "XRSTORS Instruction": every register
TEST(xsave_area, each_restore) {
  struct { const char* name; u8 op, digit; bool compacted; } const forms[] = {{"XRSTOR", 0xae, 0x2e, false}, {"XRSTOR of the compacted form", 0xae, 0x2e, true}, {"XRSTORS", 0xc7, 0x1e, true}};
  for (Mode mode : {Mode::long64, Mode::protected32}) {
    Saver source(mode), m(mode);
    for (auto& form : forms)
      for (u64 request = 0; request < 8; ++request)
        for (u64 bv = 0; bv < 8; ++bv)
          for (bool wide : {false, true}) {
            if (wide && mode != Mode::long64) continue;
            source.fill(7, 0x1fa0);
            source.cpu->fpu.cw = 0x17f, source.cpu->fpu.sw = 5 << 11, source.cpu->fpu.tags = 0x81;
            for (auto& y : source.cpu->fpu.ymm) for (auto& v : y) v ^= 0x5555'0000;
            Area a{};
            source.image_x87(a, wide), source.image_vectors(a, 160, 0), source.image_vectors(a, 576, 2);
            put<u32>(a, 24, 0x1fa0);
            put<u64>(a, 512, bv);
            if (form.compacted) put<u64>(a, 520, u64{7} | u64{1} << 63);
            m.fill(7, 0x1f00);
            Fpu want = m.cpu->fpu;
            const Fpu& from = source.cpu->fpu;
            if (request & 1) {
              const auto x87 = bv & 1 ? from : Fpu{};
              want.cw = bv & 1 ? from.cw : 0x37f, want.sw = x87.sw, want.tags = bv & 1 ? from.tags : 0, want.fop = bv & 1 ? from.fop : 0;
              want.fip = bv & 1 ? (wide ? from.fip : from.fip & 0xffff'ffff) : 0, want.fdp = bv & 1 ? (wide ? from.fdp : from.fdp & 0xffff'ffff) : 0;
              for (unsigned n = 0; n < 8; ++n) want.st[n] = bv & 1 ? from.st[n] : X87Reg{};
            }
            for (unsigned n = 0; n < m.registers(); ++n)
              for (unsigned k = 0; k < 4; ++k) {
                const u64 component = k < 2 ? 2 : 4;
                if (request & component) want.ymm[n][k] = bv & component ? from.ymm[n][k] : 0;
              }
            if (form.compacted) { if (request & 2) want.mxcsr = bv & 2 ? 0x1fa0 : 0x1f80; }
            else if (request & 6) want.mxcsr = 0x1fa0;
            m.set_area(a);
            ASSERT_EQ(m.request(wide ? Bytes{0x48, 0x0f, form.op, form.digit} : Bytes{0x0f, form.op, form.digit}, request), -1);
            const Fpu& is = m.cpu->fpu;
            EXPECT_EQ(std::tie(is.cw, is.sw, is.tags, is.fop, is.fip, is.fdp, is.mxcsr), std::tie(want.cw, want.sw, want.tags, want.fop, want.fip, want.fdp, want.mxcsr)) << form.name << " " << request << " " << bv;
            for (unsigned n = 0; n < 8; ++n) { EXPECT_EQ(is.st[n].m, want.st[n].m) << form.name << request << bv; EXPECT_EQ(is.st[n].se, want.st[n].se); }
            for (unsigned n = 0; n < 16; ++n) for (unsigned k = 0; k < 4; ++k) ASSERT_EQ(is.ymm[n][k], want.ymm[n][k]) << form.name << " " << request << " " << bv << " register " << n << " word " << k;
          }
  }
}

TEST(xsave_area, each_bit_of_the_header) {   // SDM 1: what faults; XSTATE_BV 63:0, XCOMP_BV 127:64, the rest
  struct { const char* name; u8 op, digit; bool compacted; } const forms[] = {{"XRSTOR", 0xae, 0x2e, false}, {"XRSTOR of the compacted form", 0xae, 0x2e, true}, {"XRSTORS", 0xc7, 0x1e, true}};
  Saver m;
  for (auto& form : forms)
    for (unsigned b = 0; b < 512; ++b) {
      Area a{};
      put<u32>(a, 24, 0x1f80);
      if (form.compacted) put<u64>(a, 520, u64{7} | u64{1} << 63);
      a[512 + b / 8] = static_cast<u8>(a[512 + b / 8] ^ 1u << b % 8);
      bool refused = b >= 3 && b < 64;                        // components that are not in XCR0
      if (!form.compacted) refused |= b >= 64 && b < 192;     // XCOMP_BV and the next eight bytes; bit 63 of XCOMP_BV makes it the compacted form, of no components
      else refused |= (b >= 67 && b < 127) || b >= 128 || (b == 127);
      if (!form.compacted && b == 127) refused = false;       // compacted, XCOMP_BV without components: nothing is loaded
      if (form.compacted && b == 127 && form.op == 0xae) refused = true;
      m.fill(0, 0x1f80);
      m.set_area(a);
      m.cpu->r[4] = TestMachine::kStack;
      EXPECT_EQ(m.request({0x0f, form.op, form.digit}, 7), refused ? GP : -1) << form.name << " bit " << b;
    }
  for (u64 bv = 0; bv < 8; ++bv)   // XSTATE_BV must be within XCOMP_BV
    for (u64 comp = 0; comp < 8; ++comp) {
      Area a{};
      put<u32>(a, 24, 0x1f80), put<u64>(a, 512, bv), put<u64>(a, 520, comp | u64{1} << 63), put<u16>(a, 0, 0x37f);
      m.set_area(a);
      m.cpu->r[4] = TestMachine::kStack;
      EXPECT_EQ(m.request({0x0f, 0xae, 0x2e}, 7), bv & ~comp ? GP : -1) << bv << comp;
    }
  for (unsigned b = 0; b < 32; ++b)   // MXCSR's reserved bits, where it is loaded
    for (u64 request = 0; request < 8; ++request) {
      Area a{};
      put<u32>(a, 24, 1u << b);
      m.set_area(a);
      m.cpu->r[4] = TestMachine::kStack;
      EXPECT_EQ(m.request({0x0f, 0xae, 0x2e}, request), b >= 16 && (request & 6) ? GP : -1) << b << request;
      m.cpu->r[4] = TestMachine::kStack, m.cpu->r[6] = kArea;
      EXPECT_EQ(m.run({0x0f, 0xae, 0x0e}), b >= 16 ? GP : -1) << "FXRSTOR, bit " << b;
      m.cpu->r[4] = TestMachine::kStack, m.cpu->r[6] = kArea + 24;
      EXPECT_EQ(m.run({0x0f, 0xae, 0x16}), b >= 16 ? GP : -1) << "LDMXCSR, bit " << b;
    }
}

TEST(xsave_area, what_is_looked_at_first) {   // #UD, #NM, level, alignment, and how large the area is
  struct { const char* name; Bytes code; unsigned align; bool system; } const rows[] = {{"XSAVE", {0x0f, 0xae, 0x26}, 64, false}, {"XSAVEOPT", {0x0f, 0xae, 0x36}, 64, false}, {"XSAVEC", {0x0f, 0xc7, 0x26}, 64, false},
      {"XSAVES", {0x0f, 0xc7, 0x2e}, 64, true}, {"XRSTOR", {0x0f, 0xae, 0x2e}, 64, false}, {"XRSTORS", {0x0f, 0xc7, 0x1e}, 64, true}};
  for (auto& r : rows) {
    const bool loads = std::string(r.name).find("RSTOR") != std::string::npos;
    for (unsigned b = 0; b < 8; ++b) {
      Saver m;
      m.fill(7, 0x1f80);
      Area a{};
      put<u32>(a, 24, 0x1f80), put<u64>(a, 520, r.system || !loads ? u64{7} | u64{1} << 63 : 0);
      m.set_area(a);
      m.cpu->r[6] = kArea + (b < 7 ? 1u << b : 0);
      m.cpu->r[0] = 7, m.cpu->r[2] = 0;
      EXPECT_EQ(m.run(r.code), b < 6 ? GP : b == 6 && loads && r.system ? GP : -1) << r.name << " off by bit " << b;   // what lies 64 bytes on is no header of the compacted form
    }
    for (unsigned cpl : {0u, 3u}) {
      Saver m;
      Area a{};
      put<u32>(a, 24, 0x1f80), put<u64>(a, 520, r.system || !loads ? u64{7} | u64{1} << 63 : 0);
      m.set_area(a);
      m.cpu->seg[CS].ar |= cpl << 5, m.cpu->seg[SS].ar |= cpl << 5, m.cpu->seg[CS].sel = static_cast<u16>(8 | cpl), m.cpu->seg[SS].sel = static_cast<u16>(0x10 | cpl);
      m.poke<u64>(0xa004, 0x60000);
      m.cpu->tr = {0xa000, 0x67, 0x8b, 0x38};
      m.cpu->update();
      m.cpu->r[6] = kArea, m.cpu->r[0] = 7, m.cpu->r[2] = 0;
      m.run(r.code, 1);
      EXPECT_EQ(m.cpu->rip, cpl && r.system ? TestMachine::kHandlers + 16 * GP : TestMachine::kCode + 3) << r.name << cpl;
    }
    for (u64 request : {3u, 7u}) {   // the page behind 576 bytes is not there: only AVX state needs it
      Saver m;
      m.fill(loads ? 0 : 7, 0x1f80);
      m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);
      const u64 at = 0x200000 - 576;
      for (u64 k = 0; k < 576; k += 8) m.poke<u64>(at + k, 0);
      m.poke<u32>(at + 24, 0x1f80), m.poke<u64>(at + 512, loads ? request : 0);
      if (r.system || !loads) m.poke<u64>(at + 520, u64{7} | u64{1} << 63);
      m.cpu->r[6] = at, m.cpu->r[0] = request, m.cpu->r[2] = 0;
      EXPECT_EQ(m.run(r.code), request == 7 ? PF : -1) << r.name << request;
      if (request == 7) { EXPECT_EQ(m.cpu->cr2, 0x200000u); }
    }
  }
}

TEST(xsave_area, what_xgetbv_says_is_in_use) {   // SDM 2C "XGETBV": ECX = 1
  for (u64 used = 0; used < 8; ++used)
    for (bool initial : {true, false})
      for (u64 xcr0 : {1u, 3u, 7u}) {
        Saver m;
        m.fill(used, initial ? 0x1f80 : 0x1fa0);
        m.cpu->xcr0 = xcr0;
        m.cpu->update();
        m.cpu->r[1] = 1, m.cpu->r[2] = ~u64{0};
        ASSERT_EQ(m.run({0x0f, 0x01, 0xd0}), -1);
        EXPECT_EQ(m.cpu->r[0], xcr0 & (used | (initial ? 0 : 2))) << used << initial;
        EXPECT_EQ(m.cpu->r[2], 0u);
      }
  for (unsigned n = 0; n < 8; ++n) {   // each part of x87 state counts, and each register of the others
    const auto in_use = [&](auto change) {
      Saver m;
      m.fill(0, 0x1f80);
      change(m.cpu->fpu);
      m.cpu->r[1] = 1;
      EXPECT_EQ(m.run({0x0f, 0x01, 0xd0}), -1);
      return m.cpu->r[0];
    };
    EXPECT_EQ(in_use([n](Fpu& f) { f.st[n].m = 1; }), 1u);
    EXPECT_EQ(in_use([n](Fpu& f) { f.st[n].se = 1; }), 1u);
    for (unsigned half : {0u, 8u})
      for (unsigned k = 0; k < 4; ++k) EXPECT_EQ(in_use([&](Fpu& f) { f.ymm[n + half][k] = 1; }), k < 2 ? 2u : 4u);
    if (n) continue;
    EXPECT_EQ(in_use([](Fpu& f) { f.cw = 0x27f; }), 1u);
    EXPECT_EQ(in_use([](Fpu& f) { f.sw = 0x100; }), 1u);
    EXPECT_EQ(in_use([](Fpu& f) { f.tags = 1; }), 1u);
    EXPECT_EQ(in_use([](Fpu& f) { f.fop = 1; }), 1u);
    EXPECT_EQ(in_use([](Fpu& f) { f.fip = 1; }), 1u);
    EXPECT_EQ(in_use([](Fpu& f) { f.fdp = 1; }), 1u);
  }
}

// SDM 2A "FXSAVE", "FXRSTOR": every byte
TEST(fxsave_area, each_byte_in_each_mode) {
  for (Mode mode : {Mode::long64, Mode::protected32})
    for (bool wide : {false, true})
      for (bool osfxsr : {false, true}) {
        if (wide && mode != Mode::long64) continue;
        Saver m(mode);
        if (!osfxsr) m.cpu->cr4 &= ~cr4::OSFXSR;
        m.cpu->update();
        m.fill(7, 0x1fa0);
        const Area before = filled(0xcc, 0xcccc'cccc'cccc'cccc);
        m.set_area(before);
        Area want = before;
        m.image_x87(want, wide);
        put<u32>(want, 24, 0x1fa0), put<u32>(want, 28, 0xffff);
        if (osfxsr) m.image_vectors(want, 160, 0);
        m.cpu->r[6] = kArea;
        ASSERT_EQ(m.run(wide ? Bytes{0x48, 0x0f, 0xae, 0x06} : Bytes{0x0f, 0xae, 0x06}), -1);
        EXPECT_EQ(m.area(), want) << wide << osfxsr;
        Saver n(mode);
        if (!osfxsr) n.cpu->cr4 &= ~cr4::OSFXSR;
        n.cpu->update();
        n.fill(0, 0x1f80);
        n.set_area(want);
        n.cpu->r[6] = kArea;
        ASSERT_EQ(n.run(wide ? Bytes{0x48, 0x0f, 0xae, 0x0e} : Bytes{0x0f, 0xae, 0x0e}), -1);
        Area back = before;
        n.image_x87(back, true);
        Area there = before;
        m.image_x87(there, wide);
        EXPECT_EQ(back, there);
        EXPECT_EQ(n.cpu->fpu.mxcsr, osfxsr ? 0x1fa0u : 0x1f80u);
        for (unsigned k = 0; k < 16; ++k)
          for (unsigned w = 0; w < 4; ++w) EXPECT_EQ(n.cpu->fpu.ymm[k][w], osfxsr && w < 2 && k < n.registers() ? m.cpu->fpu.ymm[k][w] : 0u) << k << w;
      }
}

// --- CPUID's and MSRs' dependence on state ---------------------------------------------------------------------------------

TEST(cpuid, shows_the_state_of_the_processor) {   // SDM 2A "CPUID-CPU Identification"; SDM 4 "IA32_MISC_ENABLE"
  TestMachine m(Mode::long64, {"+monitor"});
  Cpu& c = *m.cpu;
  EXPECT_EQ(cpuid(c, 0, 0).eax, 0x16u);
  c.msr.misc_enable |= 1u << 22;   // "Limit CPUID Maxval"
  EXPECT_EQ(cpuid(c, 0, 0).eax, 2u);
  EXPECT_EQ(cpuid(c, 7, 0), cpuid(c, 2, 0)) << "beyond the last one";
  EXPECT_EQ(cpuid(c, 3, 0), cpuid(c, 2, 0));
  EXPECT_EQ(cpuid(c, 0x80000000, 0).eax, 0x80000008u);
  c.msr.misc_enable &= ~(1u << 22);
  for (u32 bit : {21u, 23u}) {
    c.msr.misc_enable ^= 1u << bit;
    EXPECT_EQ(cpuid(c, 0, 0).eax, 0x16u);
    c.msr.misc_enable ^= 1u << bit;
  }
  EXPECT_FALSE(bit(cpuid(c, 1, 0).ecx, 3));
  c.msr.misc_enable |= 1u << 18;
  EXPECT_TRUE(bit(cpuid(c, 1, 0).ecx, 3));
  EXPECT_TRUE(bit(cpuid(c, 1, 0).edx, 9));
  ASSERT_TRUE(c.apic.write_base(0xfee00100));
  EXPECT_FALSE(bit(cpuid(c, 1, 0).edx, 9));
  EXPECT_TRUE(bit(cpuid(c, 0x80000001, 0).edx, 11));
  c.seg[CS].ar = 0xc09b;
  c.update();
  EXPECT_FALSE(bit(cpuid(c, 0x80000001, 0).edx, 11)) << "SYSCALL: in 64-bit mode only";
  EXPECT_EQ(cpuid(c, 7, 1), CpuidRegs{});
  for (u32 leaf : {0x80000008u, 0x80000009u, 0xffffffffu}) EXPECT_EQ(cpuid(c, leaf, 0) == cpuid(c, 0x16, 0), leaf != 0x80000008u) << leaf;
}
TEST(cpuid, the_signature_of_any_model) {   // "Version Information": family and model beyond their fields
  struct { u16 family; u8 model, stepping; u32 eax; } const rows[] = {{6, 0x55, 4, 0x50654}, {6, 0x0f, 11, 0x006fb}, {15, 3, 1, 0x00f31}, {0x17, 0x71, 0, 0x870f10}, {5, 2, 15, 0x0052f}, {14, 1, 1, 0xe11}, {16, 0, 0, 0x100f00}};
  for (auto& r : rows) {
    TestMachine m;
    CpuModel& model = const_cast<CpuModel&>(m.cpu->model());
    model.family = static_cast<decltype(model.family)>(r.family), model.model = r.model, model.stepping = r.stepping;
    EXPECT_EQ(cpuid(*m.cpu, 1, 0).eax, r.eax) << std::hex << r.eax;
  }
}
TEST(cpuid, where_the_ids_are) {   // leaf 1 EBX 31:24, leaf 0BH EDX; subleaves echo ECX
  TestMachine m;
  m.model.count = 8;
  for (unsigned id : {0u, 1u, 5u, 7u}) {
    Cpu c(m, m.model, id, false);
    EXPECT_EQ(cpuid(c, 1, 0).ebx >> 24, id);
    for (u32 sub : {0u, 1u, 2u, 0x105u}) {
      EXPECT_EQ(cpuid(c, 0xb, sub).edx, id);
      EXPECT_EQ(cpuid(c, 0xb, sub).ecx & 0xff, sub & 0xff);
    }
    EXPECT_EQ(cpuid(c, 0xb, 0), (CpuidRegs{0, 1, 0x100, id}));
    EXPECT_EQ(cpuid(c, 0xb, 2), (CpuidRegs{0, 0, 2, id}));
  }
  m.model.count = 255;
  Cpu c(m, m.model, 0, true);
  EXPECT_EQ(cpuid(c, 1, 0).ebx >> 16 & 0xff, 255u) << "the field has eight bits";
  EXPECT_EQ(cpuid(c, 4, 0).eax >> 26, 63u) << "and this one six";
}

TEST(model, limits_of_the_numbers) {
  const auto good = [](const char* name, std::vector<std::string> f, unsigned count, unsigned bits, u64 hz) {
    try {
      make_model(name, f, count, bits, hz);
    } catch (const std::invalid_argument&) {
      return false;
    }
    return true;
  };
  EXPECT_TRUE(good("server", {}, 1, 46, 1'000'000));
  EXPECT_FALSE(good("server", {}, 1, 46, 999'999));
  EXPECT_TRUE(good("server", {}, 1, 46, 65'000'000'000));
  EXPECT_FALSE(good("server", {}, 1, 46, 65'000'000'001));
  EXPECT_TRUE(good("server", {}, 255, 36, 1'000'000'000));
  EXPECT_FALSE(good("server", {}, 256, 46, 1'000'000'000));
  EXPECT_FALSE(good("server", {}, 1, 35, 1'000'000'000));
  EXPECT_TRUE(good("server", {}, 1, 52, 1'000'000'000));
  EXPECT_FALSE(good("server", {}, 1, 53, 1'000'000'000));
  for (const char* name : {"Server", "SERVER", "X86-64-V3", "x86-64"}) EXPECT_TRUE(good(name, {}, 1, 46, 1'000'000'000)) << name;
  for (const char* f : {"", "+", "-", "vmx", "*vmx"}) EXPECT_FALSE(good("server", {f}, 1, 46, 1'000'000'000)) << f;
  for (const char* name : {"EPYC-Rome", "Opteron_G5", "Ryzen", "phenom", "athlon", "k8", "bulldozer", "zen3", "amd64"})
    try {
      make_model(name, {}, 1, 46, 1'000'000'000);
      ADD_FAILURE() << name;
    } catch (const std::invalid_argument& e) {
      EXPECT_NE(std::string(e.what()).find("out of scope"), std::string::npos) << name;
    }
  for (const char* f : {"+svm", "+npt", "+sse4a", "+other"})
    try {
      make_model("server", {f}, 1, 46, 1'000'000'000);
      ADD_FAILURE() << f;
    } catch (const std::invalid_argument& e) {
      EXPECT_EQ(std::string(e.what()).find("an AMD feature") != std::string::npos, std::string(f) != "+other") << f;
    }
}

TEST(msr, of_the_x2apic_through_the_table) {   // SDM 3A "x2APIC Register Address Space"
  TestMachine m(Mode::long64, {"+x2apic"});
  u64 v = 0;
  EXPECT_FALSE(read_msr(*m.cpu, 0x803, v));
  EXPECT_FALSE(write_msr(*m.cpu, 0x808, 0x20));
  ASSERT_TRUE(write_msr(*m.cpu, 0x1b, 0xfee00d00));
  EXPECT_TRUE(read_msr(*m.cpu, 0x803, v));
  EXPECT_EQ(v, 0x60014u);
  m.cpu->leave_run = false;
  EXPECT_TRUE(write_msr(*m.cpu, 0x808, 0x20));
  EXPECT_TRUE(m.cpu->leave_run) << "devices and other processors have to look";
  EXPECT_EQ(m.cpu->apic.tpr(), 0x20);
  for (u64 base : {0xfee00500, 0xfee00900 | 2, 0xfee00900}) EXPECT_FALSE(write_msr(*m.cpu, 0x1b, base)) << base;
}
TEST(msr, efer_and_misc_enable_bit_by_bit) {   // SDM 3A "Extended Feature Enable Register"; SDM 4 "IA32_MISC_ENABLE"
  for (bool xd_disabled : {false, true})
    for (unsigned b = 0; b < 64; ++b) {
      TestMachine m(Mode::protected32);
      if (xd_disabled) m.cpu->msr.misc_enable |= u64{1} << 34;
      const bool good = b == 0 || b == 8 || b == 10 || (b == 11 && !xd_disabled);
      EXPECT_EQ(write_msr(*m.cpu, 0xc0000080, u64{1} << b), good) << b;
      EXPECT_EQ(m.cpu->efer, good && b != 10 ? u64{1} << b : 0u) << b;
    }
  for (bool monitor : {false, true})
    for (unsigned b = 0; b < 64; ++b) {
      TestMachine m(Mode::long64, {monitor ? "+monitor" : "-monitor"});
      const bool kept = b == 0 || b == 3 || b == 16 || b == 22 || b == 23 || b == 34 || (b == 18 && monitor), ignored = b == 7 || b == 11 || b == 12;
      EXPECT_EQ(write_msr(*m.cpu, 0x1a0, u64{1} << b), kept || ignored) << b << monitor;
      u64 v = 0;
      EXPECT_TRUE(read_msr(*m.cpu, 0x1a0, v));
      if (kept || ignored) { EXPECT_EQ(v, (kept ? u64{1} << b : 0) | 0x1800) << b; }
    }
  for (unsigned b = 0; b < 64; ++b) {
    TestMachine m;
    EXPECT_EQ(write_msr(*m.cpu, 0x3a, u64{1} << b), b < 3) << b;
    EXPECT_EQ(write_msr(*m.cpu, 0x17a, u64{1} << b), b < 3) << b;
    EXPECT_EQ(write_msr(*m.cpu, 0xc0000084, u64{1} << b), b < 32) << b;
    EXPECT_EQ(write_msr(*m.cpu, 0xc0000103, u64{1} << b), b < 32) << b;
    for (u32 n : {0x175u, 0x176u, 0xc0000082u, 0xc0000083u, 0xc0000100u, 0xc0000101u, 0xc0000102u}) EXPECT_EQ(write_msr(*m.cpu, n, u64{1} << b), b < 47) << std::hex << n << " " << b;
    for (u32 n : {0x0u, 0x1u, 0xda0u}) EXPECT_FALSE(write_msr(*m.cpu, n, u64{1} << b));
    if (b != 0 && b != 1) { EXPECT_FALSE(write_msr(*m.cpu, 0x1d9, u64{1} << b)) << b; }
  }
}
TEST(msr, changing_nxe_drops_translations) {   // SDM 3A "Operations that Invalidate TLBs and Paging-Structure Caches"
  for (bool change : {false, true}) {
    TestMachine m;
    u32 v;
    ASSERT_TRUE(m.cpu->load_at(0x400000, v));
    ASSERT_TRUE(write_msr(*m.cpu, 0xc0000080, m.cpu->efer ^ (change ? efer::NXE : efer::SCE)));
    EXPECT_EQ(m.cpu->tlb.find(m.cpu->contexts.tlb(), 0x400000) == nullptr, change);
  }
  for (bool paging : {false, true}) {
    TestMachine m(paging ? Mode::long64 : Mode::protected32);
    EXPECT_EQ(write_msr(*m.cpu, 0xc0000080, m.cpu->efer ^ efer::LME), !paging) << "LME cannot change while paging is on";
  }
}

// --- memory types -------------------------------------------------------------------------------------------------------------

TEST(memory_type, of_each_fixed_range) {   // SDM 3A "Fixed Range MTRRs": 8 of 64 KiB, 16 of 16 KiB, 64 of 4 KiB
  for (unsigned range = 0; range < 88; ++range) {
    TestMachine m;
    Msrs& s = m.cpu->msr;
    s.mtrr_def_type = 0xc00;
    s.mtrr_fixed[range / 8] = u64{6} << (8 * (range % 8));
    for (unsigned other = 0; other < 88; ++other) {
      const u64 first = other < 8 ? 0x10000 * other : other < 24 ? 0x80000 + 0x4000 * (other - 8) : 0xc0000 + 0x1000 * (other - 24), size = other < 8 ? 0x10000 : other < 24 ? 0x4000 : 0x1000;
      for (u64 at : {first, first + size - 1}) EXPECT_EQ(mtrr_type(*m.cpu, Hpa{at}), other == range ? MemType::WB : MemType::UC) << std::hex << at;
    }
    s.mtrr_def_type = 0x800 | 5;   // fixed ranges off
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0}), MemType::WP);
    s.mtrr_def_type = 0xc05;
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x100000}), MemType::WP) << "the first that none covers";
    s.mtrr_def_type = 0x405;
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0}), MemType::UC) << "all off";
  }
}
TEST(memory_type, of_variable_ranges) {   // SDM 3A "Variable Range MTRRs", "MTRR Precedences"
  for (unsigned n = 0; n < 10; ++n) {
    TestMachine m;
    Msrs& s = m.cpu->msr;
    s.mtrr_def_type = 0x800;
    s.mtrr_base[n] = 0x4000'0000 | 6, s.mtrr_mask[n] = mask(45, 28) | 0x800;
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x4000'0000}), MemType::WB) << n;
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x4fff'ffff}), MemType::WB) << n;
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x3fff'ffff}), MemType::UC) << n;
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x5000'0000}), MemType::UC) << n;
    s.mtrr_mask[n] &= ~u64{0x800};
    EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x4000'0000}), MemType::UC) << "not valid";
  }
  const MemType types[] = {MemType::UC, MemType::WC, MemType::WT, MemType::WP, MemType::WB};
  for (MemType a : types)
    for (MemType b : types) {
      TestMachine m;
      Msrs& s = m.cpu->msr;
      s.mtrr_def_type = 0x806;
      s.mtrr_base[1] = static_cast<u64>(a), s.mtrr_mask[1] = mask(45, 30) | 0x800;
      s.mtrr_base[5] = static_cast<u64>(b), s.mtrr_mask[5] = mask(45, 29) | 0x800;
      const bool wt = (a == MemType::WT && b == MemType::WB) || (a == MemType::WB && b == MemType::WT);
      EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x1000}), a == b ? a : wt ? MemType::WT : MemType::UC);
      EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x2000'0000}), a);
    }
  TestMachine m(Mode::long64, {"-mtrr"});
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0}), MemType::WB) << "without MTRRs there is nothing that says otherwise";
}
TEST(memory_type, every_combination) {   // SDM 3A "Effective Page-Level Memory Types for Pentium III and More Recent Processor Families": the rows that it defines for all processors
  using enum MemType;
  const struct { MemType mtrr, uc, uc_minus, wc, wt, wb, wp; } rows[] = {{UC, UC, UC, WC, UC, UC, UC}, {WC, UC, WC, WC, UC, WC, UC}, {WT, UC, UC, WC, WT, WT, WP}, {WB, UC, UC, WC, WT, WB, WP}};
  for (auto& r : rows) {
    EXPECT_EQ(combine_types(r.mtrr, UC), r.uc);
    EXPECT_EQ(combine_types(r.mtrr, UCminus), r.uc_minus);
    EXPECT_EQ(combine_types(r.mtrr, WC), r.wc);
    EXPECT_EQ(combine_types(r.mtrr, WT), r.wt);
    EXPECT_EQ(combine_types(r.mtrr, WB), r.wb);
    EXPECT_EQ(combine_types(r.mtrr, WP), r.wp);
  }
  EXPECT_EQ(combine_types(WP, WB), WP);
  EXPECT_EQ(combine_types(WP, WP), WP);
  EXPECT_EQ(combine_types(WP, UC), UC);
  EXPECT_EQ(combine_types(WP, WC), WC);
}

// --- the local APIC's rest ------------------------------------------------------------------------------------------------------

TEST(apic_rules, who_is_addressed) {   // SDM 3A "Determining IPI Destination"
  TestMachine m(Mode::long64, {"+x2apic"});
  m.model.count = 8;
  Cpu c(m, m.model, 5, false);
  LocalApic& a = c.apic;
  const auto to = [&](u32 destination, bool logical, bool wide, ApicMessage::Shorthand s = ApicMessage::Shorthand::none) {
    ApicMessage x;
    x.destination = destination, x.logical = logical, x.x2apic_destination = wide, x.shorthand = s;
    return a.addressed(x);
  };
  for (u32 d = 0; d < 0x200; ++d) EXPECT_EQ(to(d, false, false), d == 5 || d == 0xff) << d;
  a.write(0xd0, 0xa5000000);
  for (u32 d = 0; d < 0x200; ++d) EXPECT_EQ(to(d, true, true), d < 0x100 && (d & 0xa5)) << "flat " << d;
  a.write(0xe0, 0x0fffffff);
  for (u32 d = 0; d < 0x100; ++d) EXPECT_EQ(to(d, true, false), d == 0xff || ((d >> 4 == 0xa || d >> 4 == 0xf) && (d & 5))) << "cluster " << d;
  for (u32 model = 1; model < 15; ++model) {
    a.write(0xe0, model << 28);
    EXPECT_FALSE(to(0xa5, true, false)) << "neither model: " << model;
  }
  using S = ApicMessage::Shorthand;
  EXPECT_FALSE(to(5, false, false, S::self));
  EXPECT_TRUE(to(9, false, false, S::all));
  EXPECT_TRUE(to(9, false, false, S::others));
  ASSERT_TRUE(a.write_base(0xfee00c00));
  for (u32 d : {0u, 5u, 0xffu, 0xffffffffu}) EXPECT_EQ(to(d, false, true), d == 5 || d == 0xffffffff) << d;
  EXPECT_EQ(a.read(0xd0), 1u << 5) << "cluster 0, bit 5";
  for (u32 d : {0x20u, 0x1u, 0x21u, 0x10020u, 0xffffu}) EXPECT_EQ(to(d, true, true), d < 0x10000 && (d & 0x20)) << d;
}

TEST(apic_rules, a_disabled_one_takes_nothing) {
  using Mode = ApicMessage::Mode;
  for (bool enabled : {true, false})
    for (Mode mode : {Mode::fixed, Mode::lowest, Mode::nmi, Mode::init, Mode::sipi}) {
      TestMachine m;
      m.cpu->apic.write(0xf0, 0x1ff);
      if (!enabled) { ASSERT_TRUE(m.cpu->apic.write_base(0xfee00100)); }
      ApicMessage x;
      x.mode = mode, x.vector = 0x41, x.assert_ = true;
      m.cpu->apic.accept(x);
      EXPECT_EQ(m.cpu->nmi_pending || m.cpu->init_pending || m.cpu->sipi_pending || m.cpu->apic.pending() >= 0, enabled) << static_cast<int>(mode);
      if (enabled && mode == Mode::nmi) { EXPECT_TRUE(m.cpu->nmi_pending); }
      if (enabled && mode == Mode::init) { EXPECT_TRUE(m.cpu->init_pending); }
      if (enabled && mode == Mode::sipi) { EXPECT_TRUE(m.cpu->sipi_pending); }
    }
}

TEST(apic_rules, priorities_of_every_pair) {   // SDM 3A "Task and Processor Priorities", "Interrupt Acceptance for Fixed Interrupts"
  for (u32 tpr = 0; tpr < 256; tpr += 7)
    for (u32 served = 0; served < 256; served += 13)
      for (u32 waits : {0x10u, 0x1fu, 0x20u, 0x5fu, 0x60u, 0xefu, 0xf0u, 0xffu}) {
        TestMachine* m = nullptr;
        static TestMachine shared;
        m = &shared;
        LocalApic& a = m->cpu->apic;
        ASSERT_TRUE(a.write_base(0xfee00100));
        ASSERT_TRUE(a.write_base(0xfee00900));
        a.write(0xf0, 0x1ff);
        ApicMessage x;
        if (served >= 16) {
          x.vector = static_cast<u8>(served);
          a.accept(x);
          ASSERT_EQ(a.acknowledge(), served);
        }
        a.set_tpr(static_cast<u8>(tpr));
        const u32 in_service = served >= 16 ? served & 0xf0 : 0, ppr = (tpr & 0xf0) >= in_service ? tpr : in_service;
        EXPECT_EQ(a.read(0xa0), ppr) << tpr << " " << served;
        x.vector = static_cast<u8>(waits);
        a.accept(x);
        EXPECT_EQ(a.pending(), (waits & 0xf0) > (ppr & 0xf0) ? static_cast<int>(waits) : -1) << tpr << " " << served << " " << waits;
      }
}

TEST(apic_rules, timers_in_every_order) {   // SDM 3A "APIC Timer": when it is armed for, after each write
  TestMachine m(Mode::long64, {"+tsc_deadline"});
  LocalApic& a = m.cpu->apic;
  a.write(0xf0, 0x1ff), a.write(0x3e0, 0xb), a.write(0x320, 0x10041);
  a.write(0x380, 100);
  EXPECT_EQ(m.timer, ~u64{0}) << "masked";
  m.time = 40;
  EXPECT_EQ(a.read(0x390), 60u) << "but it counts";
  a.write(0x320, 0x41);
  EXPECT_EQ(m.timer, 100u);
  m.time = 100;
  m.cpu->timer_expired();
  EXPECT_EQ(a.acknowledge(), 0x41);
  a.write(0xb0, 0);
  EXPECT_EQ(m.timer, ~u64{0});
  m.time = 150;
  a.write(0x320, 0x10041), a.write(0x320, 0x41);
  EXPECT_EQ(m.timer, ~u64{0}) << "its time is over";
  a.write(0x320, 0x20041);
  EXPECT_EQ(m.timer, 200u) << "as periodic it goes on";
  a.write(0xf0, 0xff);
  EXPECT_EQ(m.timer, ~u64{0}) << "disabling masks it";
  a.write(0xf0, 0x1ff), a.write(0x320, 0x20041);
  EXPECT_EQ(m.timer, 200u);
  m.time = 200;
  m.cpu->timer_expired();
  EXPECT_EQ(m.timer, 300u);
  EXPECT_EQ(a.pending(), 0x41);
  a.write(0x380, 0);
  EXPECT_EQ(m.timer, ~u64{0});
  EXPECT_EQ(a.read(0x390), 0u);
  m.cpu->timer_expired();   // what comes too late finds nothing
  EXPECT_EQ(m.timer, ~u64{0});
  a.write(0x320, 0x40042);
  EXPECT_EQ(a.read(0x390), 0u);
  m.cpu->msr.tsc_deadline = 1000;
  a.arm_deadline();
  EXPECT_EQ(m.timer, 1000u);
  m.cpu->msr.tsc_deadline = 0;
  a.arm_deadline();
  EXPECT_EQ(m.timer, ~u64{0}) << "0 disarms";
  m.cpu->msr.tsc_deadline = ~u64{0};
  a.arm_deadline();
  EXPECT_EQ(m.timer, ~u64{0} - 1) << "never, but armed";
  a.write(0xf0, 0x1ff);
  EXPECT_EQ(m.timer, ~u64{0} - 1) << "the other registers leave it alone";
  a.write(0x3e0, 0);
  EXPECT_EQ(m.timer, ~u64{0} - 1);
  a.write(0x320, 0x50042);
  EXPECT_EQ(m.cpu->msr.tsc_deadline, ~u64{0}) << "still the mode";
}
TEST(apic_rules, the_deadline_follows_the_tsc) {   // TSC ticks at tsc_hz, the machine's clock at 1 GHz
  for (u64 hz : {1'000'000'000ull, 2'000'000'000ull, 3'000'000'000ull}) {
    TestMachine m(Mode::long64, {"+tsc_deadline"});
    const_cast<CpuModel&>(m.cpu->model()).tsc_hz = hz;
    m.cpu->apic.write(0xf0, 0x1ff), m.cpu->apic.write(0x320, 0x40042);
    m.cpu->msr.tsc_offset = 0;
    ASSERT_TRUE(write_msr(*m.cpu, 0x6e0, 30'001));
    EXPECT_EQ(m.timer, (30'001 * u64{1'000'000'000} + hz - 1) / hz) << hz;
    ASSERT_TRUE(write_msr(*m.cpu, 0x3b, 1));   // a later TSC: an earlier end
    EXPECT_EQ(m.timer, (30'000 * u64{1'000'000'000} + hz - 1) / hz) << hz;
  }
}

TEST(apic_rules, its_page_takes_aligned_words) {   // SDM 3A "Local APIC Register Address Map"
  TestMachine m;
  ASSERT_TRUE(m.cpu->apic.write_base(0x400900));
  m.cpu->apic.write(0xf0, 0x1ff);
  m.cpu->careful = true;
  ASSERT_TRUE(m.cpu->store_at(0x400080, u32{0x1230}));
  EXPECT_EQ(m.cpu->apic.tpr(), 0x30);
  ASSERT_TRUE(m.cpu->store_at(0x400080, u8{0x77}));
  ASSERT_TRUE(m.cpu->store_at(0x400080, u16{0x7788}));
  EXPECT_EQ(m.cpu->apic.tpr(), 0x30) << "narrower ones do nothing";
  ASSERT_TRUE(m.cpu->store_at(0x400080, u64{0x0000'0099'0000'0050}));
  EXPECT_EQ(m.cpu->apic.tpr(), 0x50) << "of wider ones the words that are registers";
  u8 b = 0;
  u16 w = 0;
  u64 q = 0;
  ASSERT_TRUE(m.cpu->load_at(0x400032, b));
  EXPECT_EQ(b, 6);
  ASSERT_TRUE(m.cpu->load_at(0x400030, w));
  EXPECT_EQ(w, 0x14);
  ASSERT_TRUE(m.cpu->load_at(0x400030, q));
  EXPECT_EQ(q, 0x60014u);
  const u8 of_svr[] = {0xff, 0x01, 0, 0};   // each byte of a register is its part
  for (u64 n = 0; n < 4; ++n) {
    ASSERT_TRUE(m.cpu->load_at(0x4000f0 + n, b));
    EXPECT_EQ(b, of_svr[n]) << n;
  }
  EXPECT_EQ(m.mmio_reads + m.mmio_writes, 0u);
  m.cpu->careful = false;
}

}  // namespace
}  // namespace vt::cpu
