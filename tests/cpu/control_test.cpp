// SPDX-License-Identifier: GPL-2.0-or-later
/// Control and debug registers bit by bit, what each privileged instruction is at each level, what invalidations leave.
/// SDM 3A "Control Registers", "Debug Registers"; SDM 2 by the instructions' names
#include <algorithm>
#include <iterator>
#include <string>

#include "harness.hpp"
#include "insn/system.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
using Bytes = std::vector<u8>;
constexpr u64 kData = TestMachine::kData;

/// At a privilege level, with stacks and descriptors for the way to level 0.
void at_level(TestMachine& m, unsigned cpl) {
  Cpu& c = *m.cpu;
  c.seg[CS].ar = (c.seg[CS].ar & ~0x60u) | cpl << 5, c.seg[SS].ar = (c.seg[SS].ar & ~0x60u) | cpl << 5;
  c.seg[CS].sel = static_cast<u16>((c.seg[CS].sel & ~3u) | cpl), c.seg[SS].sel = static_cast<u16>((c.seg[SS].sel & ~3u) | cpl);
  m.poke<u64>(0xa004, 0x60000);
  if (m.mode == Mode::protected32) m.poke<u16>(0xa008, 0x10);
  c.tr = {0xa000, 0x67, 0x8b, 0x38};
  c.update();
}
/// Compatibility mode: IA-32e mode with a 32-bit code segment.
void compatibility(TestMachine& m) {
  m.cpu->seg[CS].ar = 0xc09b, m.cpu->seg[CS].sel = 0x18;
  m.cpu->update();
}
/// Protected mode with PAE paging of the first four GiB by themselves; the PDPTEs stand at 0x7000.
void pae(TestMachine& m) {
  Cpu& c = *m.cpu;
  for (u64 n = 0; n < 4; ++n) m.poke<u64>(0x7000 + 8 * n, (0x110000 + 0x1000 * n) | 1), c.pdpte[n] = (0x110000 + 0x1000 * n) | 1;
  for (u64 n = 0; n < 2048; ++n) m.poke<u64>(0x110000 + 8 * n, n << 21 | 0x87);
  c.cr3 = 0x7000, c.cr4 |= cr4::PAE, c.cr0 |= cr0::PG;
  c.update();
}

constexpr u64 kCr0Defined = 0xe005003f;   // PE MP EM TS ET NE, WP, AM, NW CD PG

TEST(mov_to_cr0, each_bit) {   // in 64-bit mode; reserved bits of the lower half are ignored, ET is always set
  for (unsigned b = 0; b < 64; ++b) {
    TestMachine m;
    const u64 old = m.cpu->cr0, v = old ^ u64{1} << b;
    m.cpu->r[0] = v;
    const bool refused = b == 0 || b == 29 || b == 31 || b >= 32;   // paging without protection, NW without CD, paging left from 64-bit code, reserved
    EXPECT_EQ(m.run({0x0f, 0x22, 0xc0}), refused ? GP : -1) << b;
    EXPECT_EQ(m.cpu->cr0, refused ? old : (v & kCr0Defined) | 0x10) << b;
  }
  for (unsigned b = 0; b < 32; ++b) {   // and in protected mode without paging
    TestMachine m(Mode::protected32);
    const u64 old = m.cpu->cr0, v = old ^ u64{1} << b;
    const bool ok = write_cr0(*m.cpu, v);
    EXPECT_EQ(ok, b != 29) << b;
    EXPECT_EQ(m.cpu->cr0, ok ? (v & kCr0Defined) | 0x10 : old) << b;
  }
  for (u64 v : {cr0::NW | cr0::CD | cr0::PE, cr0::CD | cr0::PE}) {
    TestMachine m(Mode::protected32);
    EXPECT_TRUE(write_cr0(*m.cpu, v));
    EXPECT_EQ(m.cpu->cr0, v | cr0::ET);
  }
}

TEST(mov_to_cr0, into_ia32e_mode) {   // SDM 3A "Initializing IA-32e Mode": CR4.PAE, no 64-bit code segment, no 16-bit TSS
  for (unsigned type = 0; type < 16; ++type)
    for (bool pae_on : {false, true})
      for (bool l : {false, true})
        for (bool lme : {false, true}) {
          TestMachine m(Mode::protected32);
          Cpu& c = *m.cpu;
          c.efer = lme ? efer::LME : 0;
          if (pae_on) c.cr4 |= cr4::PAE;
          c.cr3 = TestMachine::kPml4;   // as PDPTEs these have reserved bits clear, too
          m.poke<u64>(TestMachine::kPml4, (TestMachine::kPml4 + 0x1000) | 1);
          if (l) c.seg[CS].ar |= 0x2000;
          c.tr.ar = 0x80 | type;
          const bool good = !lme || (pae_on && !l && type != 1 && type != 3);
          EXPECT_EQ(write_cr0(c, c.cr0 | cr0::PG), good) << type << pae_on << l << lme;
          EXPECT_EQ(c.long_mode(), good && lme);
          EXPECT_EQ(c.efer, lme ? efer::LME | (good ? efer::LMA : 0) : 0u);
        }
}

TEST(mov_to_cr0, out_of_paging) {   // not from 64-bit code, not with CR4.PCIDE
  for (bool code64 : {false, true})
    for (bool pcide : {false, true}) {
      TestMachine m;
      if (!code64) compatibility(m);
      if (pcide) m.cpu->cr4 |= cr4::PCIDE;
      const bool good = !code64 && !pcide;
      EXPECT_EQ(write_cr0(*m.cpu, m.cpu->cr0 & ~cr0::PG), good) << code64 << pcide;
      EXPECT_EQ(m.cpu->long_mode(), !good);
      EXPECT_EQ((m.cpu->efer & efer::LMA) != 0, !good);
      EXPECT_TRUE(m.cpu->efer & efer::LME);
    }
}

/// SDM 3A "PAE Paging": which writes load the PDPTE registers. The tables have changed meanwhile: to others, or to one with a reserved bit.
TEST(pdpte_registers, which_writes_load_them) {
  struct { const char* what; bool (*write)(Cpu&); bool loads; } rows[] = {
      {"CR0.WP", [](Cpu& c) { return write_cr0(c, c.cr0 ^ cr0::WP); }, false},
      {"CR0.CD", [](Cpu& c) { return write_cr0(c, c.cr0 ^ cr0::CD); }, true},
      {"CR0.NW", [](Cpu& c) { c.cr0 |= cr0::CD; return write_cr0(c, c.cr0 ^ cr0::NW); }, true},
      {"CR0.TS", [](Cpu& c) { return write_cr0(c, c.cr0 ^ cr0::TS); }, false},
      {"CR0.PG", [](Cpu& c) { c.cr0 &= ~cr0::PG; return write_cr0(c, c.cr0 | cr0::PG); }, true},
      {"CR0.PG to 0", [](Cpu& c) { return write_cr0(c, c.cr0 & ~cr0::PG); }, false},
      {"CR0.CD without paging", [](Cpu& c) { c.cr0 &= ~cr0::PG; return write_cr0(c, c.cr0 ^ cr0::CD); }, false},
      {"CR0.CD without PAE", [](Cpu& c) { c.cr4 &= ~cr4::PAE; return write_cr0(c, c.cr0 ^ cr0::CD); }, false},
      {"CR4.PAE", [](Cpu& c) { c.cr4 &= ~cr4::PAE; return write_cr4(c, c.cr4 | cr4::PAE); }, true},
      {"CR4.PAE to 0", [](Cpu& c) { return write_cr4(c, c.cr4 & ~cr4::PAE); }, false},
      {"CR4.PGE", [](Cpu& c) { return write_cr4(c, c.cr4 ^ cr4::PGE); }, true},
      {"CR4.PGE to 0", [](Cpu& c) { c.cr4 |= cr4::PGE; return write_cr4(c, c.cr4 ^ cr4::PGE); }, true},
      {"CR4.PSE", [](Cpu& c) { return write_cr4(c, c.cr4 ^ cr4::PSE); }, true},
      {"CR4.SMEP", [](Cpu& c) { return write_cr4(c, c.cr4 ^ cr4::SMEP); }, true},
      {"CR4.DE", [](Cpu& c) { return write_cr4(c, c.cr4 ^ cr4::DE); }, false},
      {"CR4.TSD", [](Cpu& c) { return write_cr4(c, c.cr4 ^ cr4::TSD); }, false},
      {"CR4.PGE without paging", [](Cpu& c) { c.cr0 &= ~cr0::PG; return write_cr4(c, c.cr4 ^ cr4::PGE); }, false},
      {"CR3", [](Cpu& c) { return write_cr3(c, c.cr3); }, true},
      {"CR3 without paging", [](Cpu& c) { c.cr0 &= ~cr0::PG; return write_cr3(c, c.cr3); }, false},
      {"CR3 without PAE", [](Cpu& c) { c.cr4 &= ~cr4::PAE; return write_cr3(c, c.cr3); }, false},
  };
  for (auto& r : rows)
    for (bool spoilt : {false, true}) {
      TestMachine m(Mode::protected32);
      pae(m);
      Cpu& c = *m.cpu;
      const u64 other = 0x110001 | (spoilt ? 2 : 8);   // bit 1 is reserved, PWT is not
      m.poke<u64>(0x7010, other);
      const bool ok = r.write(c);
      EXPECT_EQ(ok, !(r.loads && spoilt)) << r.what;
      EXPECT_EQ(c.pdpte[2], r.loads && !spoilt ? other : 0x112001u) << r.what;
      if (!ok) { EXPECT_EQ(c.fault.vector, GP); EXPECT_EQ(c.fault.error, 0u); }
    }
  TestMachine m;   // in IA-32e mode there are none
  m.poke<u64>(TestMachine::kPml4 + 8, 3);
  EXPECT_TRUE(write_cr3(*m.cpu, m.cpu->cr3));
  EXPECT_TRUE(write_cr4(*m.cpu, m.cpu->cr4 ^ cr4::PGE));
  EXPECT_TRUE(write_cr0(*m.cpu, m.cpu->cr0 ^ cr0::CD));
  EXPECT_EQ(m.cpu->pdpte[1], 0u);
}

TEST(pdpte_registers, a_new_cr3_names_its_own) {
  TestMachine m(Mode::protected32);
  pae(m);
  m.poke<u64>(0x7020, 0x113001);
  EXPECT_TRUE(write_cr3(*m.cpu, 0x7020 | 0x18));   // PWT and PCD are not part of the address, which is 32-byte aligned
  EXPECT_EQ(m.cpu->cr3, 0x7038u);
  EXPECT_EQ(m.cpu->pdpte[0], 0x113001u);
  EXPECT_EQ(m.cpu->pdpte[1], 0u);
}

/// SDM 3A "Operations that Invalidate TLBs and Paging-Structure Caches": a page and a global one, of the current address space and of another.
struct Kept { bool page, global, other; };
struct Translations : TestMachine {
  static constexpr u64 kPage = 0x400000, kGlobal = 0x600000, kOther = 0x800000;
  Translations() {
    Cpu& c = *cpu;
    c.cr4 |= cr4::PGE | cr4::PCIDE;
    c.update();
    for (u64 la : {kPage, kGlobal, kOther}) {
      TlbEntry e;
      e.page = la >> 21, e.target = la, e.shift = 21;
      e.flags = tlb_flag::writable | tlb_flag::user | tlb_flag::dirty | tlb_flag::ept_readable | tlb_flag::ept_writable | tlb_flag::ept_executable | (la == kGlobal ? tlb_flag::global : 0);
      e.pcid = la == kOther ? 5 : 0;
      c.tlb.fill(e);
    }
  }
  Kept kept() {
    const TlbContext now{0, 0, 0}, other{0, 0, 5};
    return {cpu->tlb.find(now, kPage) != nullptr, cpu->tlb.find(now, kGlobal) != nullptr, cpu->tlb.find(other, kOther) != nullptr};
  }
};
TEST(invalidation, what_each_write_and_instruction_drops) {
  struct { const char* what; void (*act)(TestMachine&); Kept kept; } rows[] = {
      {"nothing", [](TestMachine&) {}, {true, true, true}},
      {"CR3", [](TestMachine& m) { write_cr3(*m.cpu, m.cpu->cr3); }, {false, true, true}},
      {"CR3, bit 63", [](TestMachine& m) { write_cr3(*m.cpu, m.cpu->cr3 | u64{1} << 63); }, {true, true, true}},
      {"CR3 of the other", [](TestMachine& m) { write_cr3(*m.cpu, m.cpu->cr3 | 5); }, {true, true, false}},
      {"CR4.PGE to 0", [](TestMachine& m) { write_cr4(*m.cpu, m.cpu->cr4 & ~cr4::PGE); }, {false, false, false}},
      {"CR4.PSE", [](TestMachine& m) { write_cr4(*m.cpu, m.cpu->cr4 ^ cr4::PSE); }, {false, false, false}},
      {"CR4.SMEP to 1", [](TestMachine& m) { m.cpu->cr4 &= ~cr4::SMEP; write_cr4(*m.cpu, m.cpu->cr4 | cr4::SMEP); }, {false, false, false}},
      {"CR4.SMEP to 0", [](TestMachine& m) { m.cpu->cr4 |= cr4::SMEP; write_cr4(*m.cpu, m.cpu->cr4 & ~cr4::SMEP); }, {true, true, true}},
      {"CR4.SMAP", [](TestMachine& m) { write_cr4(*m.cpu, m.cpu->cr4 ^ cr4::SMAP); }, {true, true, true}},
      {"CR4.PCIDE to 0", [](TestMachine& m) { write_cr4(*m.cpu, m.cpu->cr4 & ~cr4::PCIDE); }, {false, false, false}},
      {"CR4.TSD", [](TestMachine& m) { write_cr4(*m.cpu, m.cpu->cr4 ^ cr4::TSD); }, {true, true, true}},
      {"CR0.WP", [](TestMachine& m) { write_cr0(*m.cpu, m.cpu->cr0 ^ cr0::WP); }, {true, true, true}},
      {"CR0.PG", [](TestMachine& m) { m.cpu->cr4 &= ~cr4::PCIDE; compatibility(m); write_cr0(*m.cpu, m.cpu->cr0 & ~cr0::PG); }, {false, false, false}},
      {"INVLPG of the page", [](TestMachine& m) { m.cpu->r[3] = Translations::kPage + 0x1234; m.run({0x0f, 0x01, 0x3b}); }, {false, true, true}},
      {"INVLPG of the global one", [](TestMachine& m) { m.cpu->r[3] = Translations::kGlobal; m.run({0x0f, 0x01, 0x3b}); }, {true, false, true}},
      {"INVLPG of the other's", [](TestMachine& m) { m.cpu->r[3] = Translations::kOther; m.run({0x0f, 0x01, 0x3b}); }, {true, true, true}},
      {"INVLPG by FS", [](TestMachine& m) { m.cpu->seg[FS].base = Translations::kPage, m.cpu->r[3] = 0; m.run({0x64, 0x0f, 0x01, 0x3b}); }, {false, true, true}},
      {"INVLPG by GS", [](TestMachine& m) { m.cpu->seg[GS].base = Translations::kPage, m.cpu->r[3] = 0; m.run({0x65, 0x0f, 0x01, 0x3b}); }, {false, true, true}},
      {"INVLPG, no base of DS", [](TestMachine& m) { m.cpu->seg[DS].base = 0x200000, m.cpu->r[3] = Translations::kPage; m.run({0x0f, 0x01, 0x3b}); }, {false, true, true}},
      {"INVLPG in 32-bit code", [](TestMachine& m) { compatibility(m); m.cpu->seg[DS].base = 0x300000, m.cpu->update(), m.cpu->r[3] = 0x100000; m.run({0x0f, 0x01, 0x3b}, 1); }, {false, true, true}},
      {"INVLPG in 32-bit code, around", [](TestMachine& m) { compatibility(m); m.cpu->seg[DS].base = 0x500000, m.cpu->update(), m.cpu->r[3] = 0xfff00000; m.run({0x0f, 0x01, 0x3b}, 1); }, {false, true, true}},
  };
  for (auto& r : rows) {
    Translations m;
    r.act(m);
    const Kept k = m.kept();
    EXPECT_EQ(k.page, r.kept.page) << r.what;
    EXPECT_EQ(k.global, r.kept.global) << r.what;
    EXPECT_EQ(k.other, r.kept.other) << r.what;
  }
}

TEST(invalidation, invpcid) {   // SDM 2 "INVPCID"; an individual address may take the global translation along
  struct { const char* what; u64 type, low, high; Kept kept; } rows[] = {
      {"address", 0, 0, Translations::kPage + 0x100, {false, true, true}},
      {"address of the other's", 0, 5, Translations::kOther, {true, true, false}},
      {"address of the other's, here", 0, 0, Translations::kOther, {true, true, true}},
      {"single context", 1, 0, 0, {false, true, true}},
      {"single context, the other", 1, 5, 0, {true, true, false}},
      {"all with globals", 2, 0, 0, {false, false, false}},
      {"all without", 3, 0, 0, {false, true, false}},
      {"all, whatever the PCID and address", 3, 5, 1, {false, true, false}},
  };
  for (auto& r : rows)
    for (bool upper : {false, true}) {
      Translations m;
      m.cpu->r[0] = r.type, m.cpu->r[3] = kData;
      m.poke<u64>(kData, r.low), m.poke<u64>(kData + 8, r.high);
      if (upper) compatibility(m), m.cpu->r[0] |= u64{1} << 32;   // 32 bits of the register outside 64-bit mode
      m.run({0x66, 0x0f, 0x38, 0x82, 0x03}, 1);
      const Kept k = m.kept();
      EXPECT_EQ(k.page, r.kept.page) << r.what << upper;
      EXPECT_EQ(k.global, r.kept.global) << r.what << upper;
      EXPECT_EQ(k.other, r.kept.other) << r.what << upper;
    }
  for (unsigned b = 0; b < 64; ++b)
    for (u64 type = 0; type < 4; ++type) {
      Translations m;
      m.cpu->r[3] = kData, m.cpu->r[0] = type;
      m.poke<u64>(kData, u64{1} << b), m.poke<u64>(kData + 8, 0);
      EXPECT_EQ(m.run({0x66, 0x0f, 0x38, 0x82, 0x03}), b < 12 ? -1 : GP) << type << " descriptor bit " << b;
      m.poke<u64>(kData, 0), m.poke<u64>(kData + 8, u64{1} << b);
      EXPECT_EQ(m.run({0x66, 0x0f, 0x38, 0x82, 0x03}), type || b < 47 ? -1 : GP) << type << " address bit " << b;
      m.poke<u64>(kData + 8, 0), m.cpu->r[0] = u64{1} << b;
      EXPECT_EQ(m.run({0x66, 0x0f, 0x38, 0x82, 0x03}), b < 2 ? -1 : GP) << "type bit " << b;
      m.cpu->cr4 &= ~cr4::PCIDE, m.cpu->update();
      m.cpu->r[0] = type, m.poke<u64>(kData, 1);
      EXPECT_EQ(m.run({0x66, 0x0f, 0x38, 0x82, 0x03}), type < 2 ? GP : -1) << "a PCID without PCIDE, type " << type;
    }
}

TEST(mov_cr, which_registers_there_are) {   // SDM 2 "MOV-Move to/from Control Registers": #UD before #GP(0)
  for (unsigned n = 0; n < 16; ++n)
    for (u8 op : {0x20, 0x22})
      for (unsigned cpl : {0u, 3u}) {
        TestMachine m;
        if (cpl) at_level(m, cpl);
        m.cpu->r[0] = n == 0 ? m.cpu->cr0 : n == 3 ? m.cpu->cr3 : n == 4 ? m.cpu->cr4 : 0;
        const bool there = n == 0 || n == 2 || n == 3 || n == 4 || n == 8;
        EXPECT_EQ(m.run({static_cast<u8>(n & 8 ? 0x44 : 0x40), 0x0f, op, static_cast<u8>(0xc0 | (n & 7) << 3)}, 1), -3);
        EXPECT_EQ(m.cpu->rip, !there ? TestMachine::kHandlers + 16 * UD : cpl ? TestMachine::kHandlers + 16 * GP : TestMachine::kCode + 4) << n << " " << int{op} << " " << cpl;
      }
}

TEST(mov_cr, widths) {   // 64 bits in 64-bit mode, whatever the prefixes; 32 elsewhere
  TestMachine m;
  m.cpu->cr2 = 0x1122334455667788;
  EXPECT_EQ(m.run({0x66, 0x0f, 0x20, 0xd0}), -1);
  EXPECT_EQ(m.cpu->r[0], 0x1122334455667788u);
  m.cpu->r[0] = 0x99aabbccddeeff00;
  EXPECT_EQ(m.run({0x0f, 0x22, 0xd0}), -1);
  EXPECT_EQ(m.cpu->cr2, 0x99aabbccddeeff00u);
  m.cpu->r[9] = 7;
  EXPECT_EQ(m.run({0x45, 0x0f, 0x22, 0xc1}), -1);   // mov cr8, r9
  EXPECT_EQ(m.cpu->apic.tpr(), 0x70);
  EXPECT_EQ(m.run({0x45, 0x0f, 0x20, 0xc2}), -1);   // mov r10, cr8
  EXPECT_EQ(m.cpu->r[10], 7u);
  for (unsigned b = 4; b < 64; ++b) {
    m.cpu->r[9] = u64{1} << b;
    EXPECT_EQ(m.run({0x45, 0x0f, 0x22, 0xc1}), GP) << b;
    m.cpu->r[4] = TestMachine::kStack;
  }
  EXPECT_EQ(m.cpu->apic.tpr(), 0x70);
  TestMachine n;
  compatibility(n);
  n.cpu->cr2 = 0x1122334455667788, n.cpu->r[0] = ~u64{0};
  n.run({0x0f, 0x20, 0xd0}, 1);
  EXPECT_EQ(n.cpu->r[0], 0x55667788u);
  n.cpu->r[0] = 0x99aabbccddeeff00;
  n.run({0x0f, 0x22, 0xd0}, 1);
  EXPECT_EQ(n.cpu->cr2, 0xddeeff00u);
}

TEST(lmsw, four_bits_and_pe_stays) {   // SDM 2 "LMSW", "SMSW"
  for (u32 v = 0; v < 0x20; ++v)
    for (bool memory : {false, true}) {
      TestMachine m;
      Cpu& c = *m.cpu;
      c.cr0 |= cr0::WP | cr0::AM | cr0::TS;
      c.update();
      const u64 old = c.cr0;
      c.r[0] = v | 0xffff'ffe0, c.r[3] = kData;
      m.poke<u16>(kData, static_cast<u16>(v | 0xffe0));
      EXPECT_EQ(m.run(memory ? Bytes{0x0f, 0x01, 0x33} : Bytes{0x0f, 0x01, 0xf0}), -1);
      EXPECT_EQ(c.cr0, (old & ~u64{0xf}) | (v & 0xe) | 1) << v << memory;
    }
  for (u64 v : {u64{0}, u64{1}}) {   // it sets PE
    TestMachine m(Mode::real);
    m.cpu->r[0] = v;
    m.run({0x0f, 0x01, 0xf0}, 1);
    EXPECT_EQ(m.cpu->cr0 & 1, v);
  }
}
TEST(smsw, widths) {
  struct { const char* what; Bytes code; u64 then; } rows[] = {{"16 bits", {0x66, 0x0f, 0x01, 0xe0}, 0xffff'ffff'ffff'0000 | 0x33}, {"32 bits", {0x0f, 0x01, 0xe0}, 0x8005'0033}, {"64 bits", {0x48, 0x0f, 0x01, 0xe0}, 0x8005'0033}};
  for (auto& r : rows) {
    TestMachine m;
    m.cpu->cr0 = 0x8005'0033, m.cpu->r[0] = ~u64{0};
    if (r.code[0] == 0x66) m.cpu->cr0 = 0x8005'0033;
    m.cpu->update();
    EXPECT_EQ(m.run(r.code), -1);
    EXPECT_EQ(m.cpu->r[0], r.code[0] == 0x66 ? 0xffff'ffff'ffff'0033u : r.then) << r.what;
  }
  TestMachine m;   // memory: 16 bits, whatever the operand size
  m.cpu->cr0 = 0x8005'0033, m.cpu->r[3] = kData;
  m.cpu->update();
  m.poke<u64>(kData, ~u64{0});
  EXPECT_EQ(m.run({0x48, 0x0f, 0x01, 0x23}), -1);
  EXPECT_EQ(m.peek<u64>(kData), 0xffff'ffff'ffff'0033u);
}

TEST(debug_registers, each_bit) {   // SDM 3B "Debug Status Register (DR6)", "Debug Control Register (DR7)"
  const auto mov = [](unsigned n, bool to) { return Bytes{0x0f, static_cast<u8>(to ? 0x23 : 0x21), static_cast<u8>(0xc0 | n << 3)}; };
  for (unsigned n = 0; n < 8; ++n)
    for (unsigned b = 0; b < 64; ++b) {
      TestMachine m;
      Cpu& c = *m.cpu;
      c.r[0] = u64{1} << b;
      const bool refused = n >= 4 && b >= 32;
      EXPECT_EQ(m.run(mov(n, true)), refused ? GP : -1) << n << " bit " << b;
      if (refused) continue;
      const unsigned real = n == 4 || n == 5 ? n + 2 : n;   // DR4 and DR5 are names of DR6 and DR7 without CR4.DE
      const u64 v = u64{1} << b, want = real < 4 ? v : real == 6 ? (v & 0xe00f) | 0xffff'0ff0 : (v & 0xffff'23ff) | 0x400;
      EXPECT_EQ(c.dr[real], want) << n << " bit " << b;
      if (real == 7 && b == 13) continue;   // general detect is on now
      EXPECT_EQ(m.run(mov(n, false)), -1);
      EXPECT_EQ(c.r[0], want) << n << " bit " << b;
    }
  for (unsigned n = 8; n < 16; ++n)
    for (u8 op : {0x21, 0x23}) {
      TestMachine m;
      EXPECT_EQ(m.run({0x44, 0x0f, op, static_cast<u8>(0xc0 | (n & 7) << 3)}), UD) << n;
    }
  for (unsigned n = 0; n < 8; ++n)
    for (bool to : {false, true})
      for (unsigned what = 0; what < 4; ++what) {   // CR4.DE, CPL 3
        TestMachine m;
        if (what & 1) m.cpu->cr4 |= cr4::DE;
        if (what & 2) at_level(m, 3);
        m.cpu->r[0] = 0;
        const bool ud = (what & 1) && (n == 4 || n == 5);
        EXPECT_EQ(m.run(mov(n, to), 1), -3);
        EXPECT_EQ(m.cpu->rip, ud ? TestMachine::kHandlers + 16 * UD : what & 2 ? TestMachine::kHandlers + 16 * GP : TestMachine::kCode + 3) << n << to << what;
      }
  TestMachine m;   // 32 bits outside 64-bit mode
  compatibility(m);
  m.cpu->dr[1] = 0x1122334455667788, m.cpu->r[0] = ~u64{0};
  m.run({0x0f, 0x21, 0xc8}, 1);
  EXPECT_EQ(m.cpu->r[0], 0x55667788u);
  m.cpu->r[0] = 0x99aabbccddeeff00;
  m.run({0x0f, 0x23, 0xc8}, 1);
  EXPECT_EQ(m.cpu->dr[1], 0xddeeff00u);
}

TEST(debug_registers, io_breakpoints_are_refused_where_they_would_mean_something) {
  for (unsigned n = 0; n < 4; ++n)
    for (u64 enable = 0; enable < 4; ++enable)
      for (u64 rw = 0; rw < 4; ++rw)
        for (bool de : {false, true}) {
          TestMachine m;
          if (de) m.cpu->cr4 |= cr4::DE;
          m.cpu->r[0] = enable << (2 * n) | rw << (16 + 4 * n);
          m.cpu->dr[n] = 0x7000'0000;
          m.run({0x0f, 0x23, 0xf8}, 1);
          EXPECT_EQ(m.stop_.reason() == StopReason::unsupported, enable && rw == 2 && de) << n << enable << rw << de;
        }
}

TEST(clts, clears_ts_and_nothing_else) {
  TestMachine m;
  m.cpu->cr0 |= cr0::TS | cr0::WP | cr0::MP;
  const u64 old = m.cpu->cr0;
  EXPECT_EQ(m.run({0x0f, 0x06}), -1);
  EXPECT_EQ(m.cpu->cr0, old & ~cr0::TS);
}

/// SDM 3A "Privileged Instructions"; what they are above level 0, and those that a bit of CR4 closes there
TEST(privilege, of_every_system_instruction) {
  constexpr u64 kUmip = cr4::UMIP, kTsd = cr4::TSD, kPce = cr4::PCE;
  struct { const char* what; Bytes code; int at_0, above; u64 cr4 = 0; } rows[] = {
      {"CLTS", {0x0f, 0x06}, -1, GP}, {"HLT", {0xf4}, -1, GP}, {"INVD", {0x0f, 0x08}, -1, GP}, {"WBINVD", {0x0f, 0x09}, -1, GP}, {"INVLPG", {0x0f, 0x01, 0x3b}, -1, GP},
      {"INVPCID", {0x66, 0x0f, 0x38, 0x82, 0x0b}, -1, GP}, {"LGDT", {0x0f, 0x01, 0x53, 0x10}, -1, GP}, {"LIDT", {0x0f, 0x01, 0x5b, 0x20}, -1, GP}, {"LLDT", {0x0f, 0x00, 0xd1}, -1, GP},
      {"LTR of null", {0x0f, 0x00, 0xd9}, GP, GP}, {"LMSW", {0x0f, 0x01, 0xf6}, -1, GP}, {"RDMSR", {0x0f, 0x32}, -1, GP}, {"WRMSR", {0x0f, 0x30}, -1, GP}, {"MOV from CR0", {0x0f, 0x20, 0xc0}, -1, GP},
      {"MOV to CR2", {0x0f, 0x22, 0xd0}, -1, GP}, {"MOV from DR0", {0x0f, 0x21, 0xc0}, -1, GP}, {"MOV to DR0", {0x0f, 0x23, 0xc0}, -1, GP}, {"SWAPGS", {0x0f, 0x01, 0xf8}, -1, GP},
      {"CLAC", {0x0f, 0x01, 0xca}, -1, UD}, {"STAC", {0x0f, 0x01, 0xcb}, -1, UD}, {"RSM", {0x0f, 0xaa}, UD, UD}, {"SYSRET", {0x48, 0x0f, 0x07}, -3, GP}, {"SYSEXIT", {0x48, 0x0f, 0x35}, -3, GP},
      {"SGDT", {0x0f, 0x01, 0x43, 0x40}, -1, -1}, {"SGDT with UMIP", {0x0f, 0x01, 0x43, 0x40}, -1, GP, kUmip}, {"SIDT", {0x0f, 0x01, 0x4b, 0x40}, -1, -1},
      {"SIDT with UMIP", {0x0f, 0x01, 0x4b, 0x40}, -1, GP, kUmip}, {"SLDT", {0x0f, 0x00, 0xc0}, -1, -1}, {"SLDT with UMIP", {0x0f, 0x00, 0xc0}, -1, GP, kUmip}, {"STR", {0x0f, 0x00, 0xc8}, -1, -1},
      {"STR with UMIP", {0x0f, 0x00, 0xc8}, -1, GP, kUmip}, {"SMSW", {0x0f, 0x01, 0xe0}, -1, -1}, {"SMSW with UMIP", {0x0f, 0x01, 0xe0}, -1, GP, kUmip}, {"RDTSC", {0x0f, 0x31}, -1, -1},
      {"RDTSC with TSD", {0x0f, 0x31}, -1, GP, kTsd}, {"RDTSCP", {0x0f, 0x01, 0xf9}, -1, -1}, {"RDTSCP with TSD", {0x0f, 0x01, 0xf9}, -1, GP, kTsd}, {"RDPMC", {0x0f, 0x33}, GP, GP},
      {"RDPMC with PCE", {0x0f, 0x33}, GP, GP, kPce}, {"MONITOR", {0x0f, 0x01, 0xc8}, -1, UD}, {"MWAIT", {0x0f, 0x01, 0xc9}, -1, UD}, {"RDPID", {0xf3, 0x0f, 0xc7, 0xf8}, -1, -1},
      {"LAR", {0x0f, 0x02, 0xc1}, -1, -1}, {"VERR", {0x0f, 0x00, 0xe1}, -1, -1}, {"CPUID", {0x0f, 0xa2}, -1, -1}, {"XSETBV", {0x0f, 0x01, 0xd1}, -1, GP, cr4::OSXSAVE}, {"XGETBV", {0x0f, 0x01, 0xd0}, -1, -1, cr4::OSXSAVE},
      {"CLI", {0xfa}, -1, GP}, {"STI", {0xfb}, -1, GP}, {"IN", {0xe4, 0x80}, -1, GP}, {"OUT", {0xe6, 0x80}, -1, GP}, {"WRFSBASE", {0xf3, 0x48, 0x0f, 0xae, 0xd1}, -1, -1, cr4::FSGSBASE},
  };
  for (auto& r : rows)
    for (unsigned cpl = 0; cpl < 4; ++cpl) {
      TestMachine m(Mode::long64, {"+umip", "+monitor", "+rdpid"});
      Cpu& c = *m.cpu;
      c.msr.misc_enable |= 1u << 18;
      m.poke<u64>(kData, 0), m.poke<u64>(kData + 8, 0);
      m.poke<u16>(kData + 0x10, 0x37), m.poke<u64>(kData + 0x12, TestMachine::kGdt), m.poke<u16>(kData + 0x20, 0xfff), m.poke<u64>(kData + 0x22, TestMachine::kIdt);
      c.cr4 |= r.cr4;
      c.r[0] = 7, c.r[1] = 0, c.r[2] = 0, c.r[3] = kData, c.r[6] = 1;
      if (std::string(r.what).find("MSR") != std::string::npos) c.r[1] = 0xc0000082;
      if (std::string(r.what).find("SYS") == 0) c.r[1] = c.r[2] = TestMachine::kCode + 3, c.r[11] = 2, c.msr.star = u64{0x1b} << 48, c.msr.sysenter_cs = 8;
      at_level(m, cpl);
      m.poke<u16>(0xa066, 0xffff);   // no ports
      const int want = cpl ? r.above : r.at_0;
      m.run(r.code, 1);
      const u64 to = want >= 0 ? TestMachine::kHandlers + 16 * static_cast<u64>(want) : TestMachine::kCode + r.code.size();
      EXPECT_EQ(c.rip, to) << r.what << " at level " << cpl;
      if (want == GP) { EXPECT_EQ(m.error_code(), 0u) << r.what; }
    }
}

// --- fast system calls.   SDM 2 "SYSCALL", "SYSRET", "SYSENTER", "SYSEXIT" ------------------------------------------------

void flat(const Segment& s, u16 sel, u32 ar, const char* what) {
  EXPECT_EQ(s.sel, sel) << what;
  EXPECT_EQ(s.base, 0u) << what;
  EXPECT_EQ(s.limit, 0xffff'ffffu) << what;
  EXPECT_EQ(s.ar, ar) << what;
}

TEST(fast_calls, segments_are_flat_whatever_the_tables_say) {
  TestMachine m;
  Cpu& c = *m.cpu;
  c.gdtr.limit = 0;
  at_level(m, 3);
  c.seg[CS].base = 0x1000, c.seg[SS].base = 0x2000, c.seg[CS].base = 0;
  c.msr.star = u64{0x4567} << 48 | u64{0x1236} << 32 | 0x89abcdef, c.msr.lstar = 0xffff'8000'0000'1000, c.msr.fmask = 0;
  m.run({0x0f, 0x05}, 1);
  EXPECT_EQ(c.rip, 0xffff'8000'0000'1000u);
  flat(c.seg[CS], 0x1234, 0xa09b, "SYSCALL CS");
  flat(c.seg[SS], 0x123c, 0xc093, "SYSCALL SS");
  for (bool wide : {true, false}) {
    TestMachine n;
    n.cpu->msr.star = u64{0x4564} << 48 | u64{0x1236} << 32, n.cpu->r[1] = 0x1'2345'6789, n.cpu->r[11] = 2;
    n.run(wide ? Bytes{0x48, 0x0f, 0x07} : Bytes{0x0f, 0x07}, 1);
    EXPECT_EQ(n.cpu->rip, wide ? 0x1'2345'6789u : 0x2345'6789u);
    flat(n.cpu->seg[CS], wide ? 0x4577 : 0x4567, wide ? 0xa0fb : 0xc0fb, "SYSRET CS");
    flat(n.cpu->seg[SS], 0x456f, 0xc0f3, "SYSRET SS");
    EXPECT_EQ(n.cpu->cpl(), 3u);
  }
  for (unsigned which = 0; which < 3; ++which) {   // protected mode, compatibility mode, 64-bit mode
    TestMachine n(which == 0 ? Mode::protected32 : Mode::long64);
    if (which == 1) compatibility(n);
    at_level(n, 3);
    n.cpu->msr.sysenter_cs = 0xabcd'1237, n.cpu->msr.sysenter_eip = 0x1'0004'0000, n.cpu->msr.sysenter_esp = 0x1'0004'8000;
    n.cpu->set_rflags(0x2 | rflags::IF | rflags::RF | rflags::NT | rflags::DF | rflags::AC | rflags::CF);
    n.run({0x0f, 0x34}, 1);
    EXPECT_EQ(n.cpu->rip, which ? 0x1'0004'0000u : 0x4'0000u);
    EXPECT_EQ(n.cpu->r[4], which ? 0x1'0004'8000u : 0x4'8000u);
    flat(n.cpu->seg[CS], 0x1234, which ? 0xa09b : 0xc09b, "SYSENTER CS");
    flat(n.cpu->seg[SS], 0x123c, 0xc093, "SYSENTER SS");
    EXPECT_EQ(n.cpu->rflags(), 0x2 | rflags::NT | rflags::DF | rflags::AC | rflags::CF);
  }
  for (unsigned which = 0; which < 3; ++which) {   // to 64-bit code, from IA-32e mode to compatibility mode, protected mode
    TestMachine n(which == 2 ? Mode::protected32 : Mode::long64);
    n.cpu->msr.sysenter_cs = 0x1237, n.cpu->r[2] = 0x1'2345'6789, n.cpu->r[1] = 0x1'2345'0000;
    n.run(which == 0 ? Bytes{0x48, 0x0f, 0x35} : Bytes{0x0f, 0x35}, 1);
    EXPECT_EQ(n.cpu->rip, which == 0 ? 0x1'2345'6789u : 0x2345'6789u);
    EXPECT_EQ(n.cpu->r[4], which == 0 ? 0x1'2345'0000u : 0x2345'0000u);
    flat(n.cpu->seg[CS], which == 0 ? 0x1257 : 0x1247, which == 0 ? 0xa0fb : 0xc0fb, "SYSEXIT CS");
    flat(n.cpu->seg[SS], which == 0 ? 0x125f : 0x124f, 0xc0f3, "SYSEXIT SS");
  }
}
TEST(fast_calls, flags_bit_by_bit) {
  constexpr u64 kKept = 0x3c'7fd5;   // what SYSRET takes of R11, bit 1 apart: not RF, VM or anything reserved
  for (unsigned b = 0; b < 64; ++b) {
    TestMachine m;
    m.cpu->msr.star = u64{0x1b} << 48, m.cpu->r[1] = TestMachine::kCode, m.cpu->r[11] = u64{1} << b;
    if (b == 8) continue;   // TF traps at once
    m.run({0x48, 0x0f, 0x07}, 1);
    EXPECT_EQ(m.cpu->rflags(), ((u64{1} << b) & kKept) | 2) << b;
    if (b < 32 && b != 1 && b != 8) {   // IA32_FMASK: a set bit clears the flag
      TestMachine s;
      s.cpu->msr.star = u64{8} << 32, s.cpu->msr.lstar = TestMachine::kCode, s.cpu->msr.fmask = u64{1} << b;
      const u64 all = (kKept & ~rflags::TF) | 2;
      s.cpu->set_rflags(all);
      s.run({0x0f, 0x05}, 1);
      EXPECT_EQ(s.cpu->rflags(), (all & ~(u64{1} << b)) | 2) << b;
      EXPECT_EQ(s.cpu->r[11], all) << b;
    }
  }
}
TEST(fast_calls, selectors_that_are_null) {   // SDM 2: bits 15:2 of IA32_SYSENTER_CS
  for (u64 cs : {0x0, 0x1, 0x3, 0x4, 0x8, 0x10000, 0x1'0003})
    for (bool exit : {false, true}) {
      TestMachine m(Mode::protected32);
      m.cpu->msr.sysenter_cs = cs, m.cpu->r[2] = m.cpu->msr.sysenter_eip = 0x40000;
      m.run(exit ? Bytes{0x0f, 0x35} : Bytes{0x0f, 0x34}, 1);
      EXPECT_EQ(m.cpu->rip, cs & 0xfffc ? 0x40000u : TestMachine::kHandlers + 16 * GP) << std::hex << cs << exit;
    }
  for (u8 op : {0x34, 0x35}) {
    TestMachine real(Mode::real);
    real.cpu->msr.sysenter_cs = 8;
    EXPECT_EQ(real.run({0x0f, op}), GP);
  }
}
TEST(fast_calls, where_they_exist) {   // SYSCALL and SYSRET: 64-bit mode with EFER.SCE; SYSRET checks RCX in 64-bit form only
  for (u8 op : {0x05, 0x07}) {
    for (bool sce : {false, true})
      for (bool code64 : {false, true}) {
        TestMachine m;
        if (!sce) m.cpu->efer &= ~efer::SCE;
        if (!code64) compatibility(m);
        m.cpu->msr.lstar = m.cpu->r[1] = 0x40000;
        m.cpu->msr.star = u64{8} << 32 | u64{0x1b} << 48;
        m.run({0x0f, op}, 1);
        EXPECT_EQ(m.cpu->rip, sce && code64 ? 0x40000u : TestMachine::kHandlers + 16 * UD) << int{op} << sce << code64;
      }
  }
  for (bool wide : {false, true}) {
    TestMachine m;
    m.cpu->msr.star = u64{0x1b} << 48, m.cpu->r[1] = u64{1} << 47 | 0x40000;
    m.run(wide ? Bytes{0x48, 0x0f, 0x07} : Bytes{0x0f, 0x07}, 1);
    EXPECT_EQ(m.cpu->rip, wide ? TestMachine::kHandlers + 16 * GP : 0x40000u);
  }
}

TEST(bases, of_fs_and_gs) {   // SDM 2 "RDFSBASE/RDGSBASE", "WRFSBASE/WRGSBASE"
  for (unsigned s : {FS, GS})
    for (unsigned form = 0; form < 3; ++form) {   // 32 bits, 16 bits (66 does nothing), 64 bits
      const u8 digit = s == FS ? 0xc0 : 0xc8;
      const auto code = [&](u8 modrm) { return form == 0 ? Bytes{0xf3, 0x0f, 0xae, modrm} : form == 1 ? Bytes{0x66, 0xf3, 0x0f, 0xae, modrm} : Bytes{0xf3, 0x48, 0x0f, 0xae, modrm}; };
      TestMachine m;
      m.cpu->cr4 |= cr4::FSGSBASE;
      m.cpu->seg[FS].base = 0x1111'2222'3333, m.cpu->seg[GS].base = 0x4444'5555'6666, m.cpu->r[1] = ~u64{0};
      EXPECT_EQ(m.run(code(digit | 1)), -1);
      EXPECT_EQ(m.cpu->r[1], form == 2 ? m.cpu->seg[s].base : static_cast<u32>(m.cpu->seg[s].base));
      m.cpu->r[1] = 0xffff'8000'1234'5678;
      EXPECT_EQ(m.run(code(digit | 0x10 | 1)), -1);
      EXPECT_EQ(m.cpu->seg[s].base, form == 2 ? 0xffff'8000'1234'5678 : 0x1234'5678u);
      EXPECT_EQ(m.cpu->seg[s == FS ? GS : FS].base, s == FS ? 0x4444'5555'6666u : 0x1111'2222'3333u);
      m.cpu->r[1] = u64{1} << 47;
      EXPECT_EQ(m.run(code(digit | 0x10 | 1)), form == 2 ? GP : -1);
      TestMachine off;
      off.cpu->cr4 &= ~cr4::FSGSBASE;
      EXPECT_EQ(off.run(code(digit | 1)), UD);
      EXPECT_EQ(off.run(code(digit | 0x10 | 1)), UD);
    }
  TestMachine p(Mode::protected32);
  p.cpu->cr4 |= cr4::FSGSBASE;
  EXPECT_EQ(p.run({0xf3, 0x0f, 0xae, 0xc0}), UD);
  EXPECT_EQ(p.run({0x0f, 0x01, 0xf8}), UD);
}

TEST(monitor, operands) {   // SDM 2 "MONITOR", "MWAIT"
  for (bool enabled : {false, true})
    for (u32 ecx : {0u, 1u, 2u, 3u, 0x8000'0000u}) {
      TestMachine m(Mode::long64, {"+monitor"});
      m.cpu->msr.misc_enable = enabled ? 1u << 18 : ~(1u << 18);
      m.cpu->r[0] = kData, m.cpu->r[1] = u64{1} << 40 | ecx, m.cpu->r[2] = 0;
      EXPECT_EQ(m.run({0x0f, 0x01, 0xc8}), !enabled ? UD : ecx ? GP : -1) << ecx;
      m.cpu->r[4] = TestMachine::kStack;
      EXPECT_EQ(m.run({0x0f, 0x01, 0xc9}), !enabled ? UD : ecx > 1 ? GP : -1) << ecx;
    }
  // The address is RAX, as wide as addresses are, in DS or where a prefix says
  struct { const char* what; Bytes code; u64 rax; int vector; } rows[] = {
      {"RAX", {0x0f, 0x01, 0xc8}, u64{4} << 30, PF}, {"RAX, not canonical", {0x0f, 0x01, 0xc8}, u64{1} << 47, GP}, {"EAX", {0x67, 0x0f, 0x01, 0xc8}, u64{4} << 30 | kData, -1},
      {"EAX, not there", {0x67, 0x0f, 0x01, 0xc8}, 0x7fff'f000, PF}, {"FS", {0x64, 0x0f, 0x01, 0xc8}, 0, PF}};
  for (auto& r : rows) {
    TestMachine m(Mode::long64, {"+monitor"});
    m.cpu->msr.misc_enable |= 1u << 18;
    m.cpu->seg[FS].base = u64{4} << 30;
    m.cpu->r[0] = r.rax, m.cpu->r[1] = m.cpu->r[2] = 0;
    EXPECT_EQ(m.run(r.code), r.vector) << r.what;
  }
  TestMachine n(Mode::protected32, {"+monitor"});
  n.cpu->msr.misc_enable |= 1u << 18;
  n.cpu->seg[DS].limit = 0xffff, n.cpu->seg[DS].ar = 0x4093;
  n.cpu->update();
  n.cpu->r[0] = 0x10000, n.cpu->r[1] = n.cpu->r[2] = 0;
  EXPECT_EQ(n.run({0x0f, 0x01, 0xc8}), GP) << "beyond the limit";
  n.cpu->r[4] = TestMachine::kStack;
  EXPECT_EQ(n.run({0x67, 0x0f, 0x01, 0xc8}), -1) << "sixteen bits of it are within";
}

TEST(random_numbers, widths_and_flags) {   // SDM 2 "RDRAND", "RDSEED": CF, and the other arithmetic flags cleared
  for (u8 digit : {0xf0, 0xf8})
    for (unsigned form = 0; form < 3; ++form) {
      TestMachine m;
      m.cpu->r[0] = 0x1111'1111'1111'1111;
      m.cpu->set_rflags(0x8d7);
      EXPECT_EQ(m.run(form == 0 ? Bytes{0x66, 0x0f, 0xc7, digit} : form == 1 ? Bytes{0x0f, 0xc7, digit} : Bytes{0x48, 0x0f, 0xc7, digit}), -1);
      EXPECT_EQ(m.cpu->rflags(), 3u);
      EXPECT_EQ(m.cpu->r[0] >> (form == 0 ? 16 : 32), form == 0 ? 0x1111'1111'1111u : form == 1 ? 0u : m.cpu->r[0] >> 32);
      EXPECT_NE(m.cpu->r[0] & 0xffff, 0x1111u);
      if (form == 2) { EXPECT_NE(m.cpu->r[0] >> 32, 0u); }
    }
  TestMachine m;   // no short cycle, no bit that stands still
  u64 ones = 0, zeros = 0, last = 0;
  for (unsigned n = 0; n < 64; ++n) {
    EXPECT_EQ(m.run({0x48, 0x0f, 0xc7, 0xf0}), -1);
    EXPECT_NE(m.cpu->r[0], last);
    last = m.cpu->r[0], ones |= last, zeros |= ~last;
  }
  EXPECT_EQ(ones, ~u64{0});
  EXPECT_EQ(zeros, ~u64{0});
}

TEST(time_stamps, what_the_instructions_return) {   // SDM 2 "RDTSC", "RDTSCP", "RDPID"
  TestMachine m(Mode::long64, {"+rdpid"});
  m.cpu->msr.tsc_offset = 0x1234'5678'0000'0000, m.cpu->msr.tsc_aux = 0x89abcdef;
  m.cpu->r[0] = m.cpu->r[1] = m.cpu->r[2] = m.cpu->r[3] = ~u64{0};
  EXPECT_EQ(m.run({0x0f, 0x01, 0xf9, 0xf3, 0x0f, 0xc7, 0xfb}), -1);
  EXPECT_EQ(m.cpu->r[2], 0x1234'5678u);
  EXPECT_LT(m.cpu->r[0], 10u);
  EXPECT_EQ(m.cpu->r[1], 0x89abcdefu);
  EXPECT_EQ(m.cpu->r[3], 0x89abcdefu);
  m.cpu->r[2] = ~u64{0};
  EXPECT_EQ(m.run({0x0f, 0x31}), -1);
  EXPECT_EQ(m.cpu->r[2], 0x1234'5678u);
}

TEST(msr_instructions, take_32_bits_of_each_register) {   // SDM 2 "RDMSR", "WRMSR"
  TestMachine m;
  m.cpu->r[1] = u64{7} << 32 | 0xc0000082, m.cpu->r[0] = u64{7} << 32 | 0x89ab'cdef, m.cpu->r[2] = u64{7} << 32 | 0xffff'8123;
  EXPECT_EQ(m.run({0x0f, 0x30}), -1);
  EXPECT_EQ(m.cpu->msr.lstar, 0xffff'8123'89ab'cdefu);
  m.cpu->r[0] = m.cpu->r[2] = ~u64{0};
  EXPECT_EQ(m.run({0x0f, 0x32}), -1);
  EXPECT_EQ(m.cpu->r[0], 0x89ab'cdefu);
  EXPECT_EQ(m.cpu->r[2], 0xffff'8123u);
}

}  // namespace
}  // namespace vt::cpu
