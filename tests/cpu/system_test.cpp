// SPDX-License-Identifier: GPL-2.0-or-later
/// System instructions: control registers, descriptor tables, fast system calls.
#include "insn/system.hpp"

#include "harness.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
constexpr u64 kData = TestMachine::kData;

void user(TestMachine& m) {
  Cpu& c = *m.cpu;
  c.seg[CS].ar |= 0x60, c.seg[CS].sel = m.mode == Mode::long64 ? 0x23 : 0x33;
  c.seg[SS].ar |= 0x60, c.seg[SS].sel = 0x2b;
  m.poke<u64>(0xa004, 0x60000);
  c.tr = {0xa000, 0x67, 0x8b, 0x38};
  if (m.mode == Mode::protected32) m.poke<u32>(0xa004, 0x60000), m.poke<u16>(0xa008, 0x10);
  c.update();
}

// SDM 2 "MOV-Move to/from Control Registers", SDM 3A "Control Registers"
TEST(mov_cr, cr0_combinations_that_are_gp) {
  for (u64 v : {cr0::PG, cr0::PE | cr0::NW, u64{1} << 32 | cr0::PE}) {
    TestMachine m;
    EXPECT_FALSE(write_cr0(*m.cpu, v)) << v;
    EXPECT_EQ(m.cpu->fault.vector, GP);
  }
  TestMachine m;
  EXPECT_FALSE(write_cr0(*m.cpu, cr0::PE)) << "paging cannot be left from 64-bit code";
}

TEST(mov_cr, cr4_reserved_and_inconsistent_bits) {
  TestMachine m;
  Cpu& c = *m.cpu;
  EXPECT_FALSE(write_cr4(c, c.cr4 | u64{1} << 32));
  EXPECT_FALSE(write_cr4(c, c.cr4 | cr4::LA57));
  EXPECT_FALSE(write_cr4(c, c.cr4 | cr4::CET));
  EXPECT_FALSE(write_cr4(c, c.cr4 & ~cr4::PAE)) << "in IA-32e mode";
  c.cr3 |= 8;
  EXPECT_FALSE(write_cr4(c, c.cr4 | cr4::PCIDE)) << "CR3[11:0] is not zero";
  c.cr3 &= ~u64{0xfff};
  EXPECT_TRUE(write_cr4(c, c.cr4 | cr4::PCIDE));
  TestMachine old(Mode::long64, {"-smep"});
  EXPECT_FALSE(write_cr4(*old.cpu, old.cpu->cr4 | cr4::SMEP));
}

TEST(mov_cr, pcide_needs_ia32e_mode) {
  TestMachine m(Mode::protected32);
  EXPECT_FALSE(write_cr4(*m.cpu, m.cpu->cr4 | cr4::PCIDE));
}

TEST(mov_cr, cr3_reserved_bits_and_the_no_flush_bit) {
  TestMachine m;
  Cpu& c = *m.cpu;
  EXPECT_FALSE(write_cr3(c, TestMachine::kPml4 | u64{1} << 63));
  EXPECT_FALSE(write_cr3(c, TestMachine::kPml4 | u64{1} << 46));
  ASSERT_TRUE(write_cr4(c, c.cr4 | cr4::PCIDE));
  u32 v;
  ASSERT_TRUE(c.load_at(kData, v));
  ASSERT_TRUE(write_cr3(c, TestMachine::kPml4 | 5));
  EXPECT_FALSE(c.tlb.find(c.contexts.tlb(), kData)) << "another PCID";
  ASSERT_TRUE(write_cr3(c, TestMachine::kPml4 | u64{1} << 63));
  EXPECT_EQ(c.cr3, TestMachine::kPml4) << "bit 63 is not stored";
  EXPECT_TRUE(c.tlb.find(c.contexts.tlb(), kData)) << "kept";
  ASSERT_TRUE(write_cr3(c, TestMachine::kPml4));
  EXPECT_FALSE(c.tlb.find(c.contexts.tlb(), kData));
}

TEST(mov_cr, entering_ia32e_mode_needs_pae) {  // SDM 3A "Initializing IA-32e Mode"
  TestMachine m(Mode::protected32);
  Cpu& c = *m.cpu;
  c.efer |= efer::LME;
  EXPECT_FALSE(write_cr0(c, c.cr0 | cr0::PG));
  c.cr4 |= cr4::PAE;
  c.cr3 = TestMachine::kPml4;
  EXPECT_TRUE(write_cr0(c, c.cr0 | cr0::PG));
  EXPECT_TRUE(c.long_mode());
  EXPECT_FALSE(c.code64_now);
  EXPECT_TRUE(write_cr0(c, c.cr0 & ~cr0::PG));
  EXPECT_FALSE(c.long_mode());
}

TEST(mov_cr, cr1_does_not_exist_and_user_may_not) {
  TestMachine m;
  EXPECT_EQ(m.run({0x0f, 0x20, 0xc8}), UD);
  EXPECT_EQ(m.run({0x0f, 0x20, 0xc0}), -1);
  EXPECT_EQ(m.cpu->r[0], m.cpu->cr0);
  TestMachine u;
  user(u);
  EXPECT_EQ(u.run({0x0f, 0x20, 0xc0}), GP);
}

TEST(mov_cr, lmsw_cannot_clear_pe) {
  TestMachine m;
  EXPECT_EQ(m.run({0x31, 0xc0, 0x0f, 0x01, 0xf0}), -1);  // xor eax, eax; lmsw ax
  EXPECT_TRUE(m.cpu->cr0 & cr0::PE);
  EXPECT_EQ(m.run({0xb8, 8, 0, 0, 0, 0x0f, 0x01, 0xf0}), -1);
  EXPECT_TRUE(m.cpu->cr0 & cr0::TS);
  EXPECT_EQ(m.run({0x0f, 0x06}), -1);  // clts
  EXPECT_FALSE(m.cpu->cr0 & cr0::TS);
}

// SDM 3B "Debug Registers"
TEST(mov_dr, aliases_reserved_bits_and_general_detect) {
  TestMachine m;
  EXPECT_EQ(m.run({0x31, 0xc0, 0x0f, 0x23, 0xe0}), -1);  // mov dr4, rax is DR6
  EXPECT_EQ(m.cpu->dr[6], 0xffff0ff0u);
  m.cpu->cr4 |= cr4::DE;
  EXPECT_EQ(m.run({0x0f, 0x23, 0xe0}), UD);
  EXPECT_EQ(m.run({0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x23, 0xf8}), GP);  // upper half of DR7
  m.cpu->dr[7] = 0x2400;
  EXPECT_EQ(m.run({0x0f, 0x21, 0xc0}), DB);
  EXPECT_TRUE(m.cpu->dr[6] & 0x2000);
  EXPECT_FALSE(m.cpu->dr[7] & 0x2000);
}

TEST(tables, lgdt_and_sgdt_are_ten_bytes_in_64_bit_mode) {
  TestMachine m;
  m.poke<u16>(kData, 0x77);
  m.poke<u64>(kData + 2, 0xffff800000001000);
  EXPECT_EQ(m.run({0xbb, 0, 0, 3, 0, 0x0f, 0x01, 0x13, 0x0f, 0x01, 0x43, 0x20}), -1);  // lgdt [rbx]; sgdt [rbx+32]
  EXPECT_EQ(m.cpu->gdtr.limit, 0x77);
  EXPECT_EQ(m.peek<u16>(kData + 32), 0x77);
  EXPECT_EQ(m.peek<u64>(kData + 34), 0xffff800000001000u);
  m.poke<u64>(kData + 2, u64{1} << 47);
  m.cpu->gdtr = {TestMachine::kGdt, 0x37};
  EXPECT_EQ(m.run({0xbb, 0, 0, 3, 0, 0x0f, 0x01, 0x13}), GP);
}

TEST(tables, lgdt_in_16_bit_mode_takes_24_bits) {
  TestMachine m(Mode::real);
  m.poke<u16>(0x500, 0x37);
  m.poke<u32>(0x502, 0x12345678);
  EXPECT_EQ(m.run({0x0f, 0x01, 0x16, 0x00, 0x05}), -1);
  EXPECT_EQ(m.cpu->gdtr.base, 0x345678u);
  EXPECT_EQ(m.run({0x66, 0x0f, 0x01, 0x16, 0x00, 0x05}), -1);
  EXPECT_EQ(m.cpu->gdtr.base, 0x12345678u);
  EXPECT_EQ(m.run({0x0f, 0x00, 0xc0}), UD) << "SLDT is not recognized in real-address mode";
}

TEST(tables, ltr_sets_busy_and_refuses_a_busy_one) {
  TestMachine m;
  m.poke<u64>(TestMachine::kGdt + 0x38, 0x0000890a00000067);
  m.poke<u64>(TestMachine::kGdt + 0x40, 0);
  m.cpu->gdtr.limit = 0x47;
  const std::vector<u8> ltr = {0xb8, 0x38, 0, 0, 0, 0x0f, 0x00, 0xd8};
  EXPECT_EQ(m.run(ltr), -1);
  EXPECT_EQ(m.cpu->tr.sel, 0x38u);
  EXPECT_EQ(m.peek<u8>(TestMachine::kGdt + 0x3d), 0x8b);
  EXPECT_EQ(m.run(ltr), GP);
  EXPECT_EQ(m.error_code(), 0x38u);
}

TEST(tables, lar_and_lsl_tell_by_zf) {  // SDM 2 "LAR", "LSL"
  TestMachine m;
  EXPECT_EQ(m.run({0xb8, 0x10, 0, 0, 0, 0x0f, 0x02, 0xc8, 0x0f, 0x03, 0xd0}), -1);  // lar ecx, eax; lsl edx, eax
  EXPECT_EQ(m.cpu->r[1], 0x00cf9300u) << "bits 19:16, which the manual leaves undefined, as processors have them";
  EXPECT_EQ(m.cpu->r[2], 0xffffffffu);
  EXPECT_TRUE(m.cpu->lf.zf());
  EXPECT_EQ(m.run({0x31, 0xc0, 0xb9, 1, 0, 0, 0, 0x0f, 0x02, 0xc8}), -1);
  EXPECT_FALSE(m.cpu->lf.zf());
  EXPECT_EQ(m.cpu->r[1], 1u);
  EXPECT_EQ(m.run({0xb8, 0x08, 0, 0, 0, 0x0f, 0x00, 0xe8}), -1);  // verw of code
  EXPECT_FALSE(m.cpu->lf.zf());
  EXPECT_EQ(m.run({0xb8, 0x10, 0, 0, 0, 0x0f, 0x00, 0xe8}), -1);
  EXPECT_TRUE(m.cpu->lf.zf());
}

// SDM 2 "SYSCALL", "SYSRET"
TEST(syscall, there_and_back) {
  TestMachine m;
  Cpu& c = *m.cpu;
  c.msr.star = u64{0x08} << 32 | u64{0x1b} << 48;
  c.msr.lstar = 0x40000;
  c.msr.fmask = rflags::IF | rflags::CF;
  m.poke<u32>(0x40000, 0x070f48);  // SYSRETQ
  user(m);
  c.set_rflags(0x203);
  m.run({0x0f, 0x05}, 1);
  EXPECT_EQ(c.rip, 0x40000u);
  EXPECT_EQ(c.r[1], TestMachine::kCode + 2);
  EXPECT_EQ(c.r[11], 0x203u);
  EXPECT_EQ(c.rflags(), 2u);
  EXPECT_EQ(c.cpl(), 0u);
  EXPECT_EQ(c.seg[CS].sel, 0x08u);
  EXPECT_EQ(c.seg[SS].sel, 0x10u);
  m.resume(1);
  EXPECT_EQ(c.rip, TestMachine::kCode + 2);
  EXPECT_EQ(c.cpl(), 3u);
  EXPECT_EQ(c.seg[CS].sel, 0x2bu);
  EXPECT_EQ(c.seg[SS].sel, 0x23u);
  EXPECT_EQ(c.rflags(), 0x203u);
}

TEST(syscall, not_enabled_or_not_64_bit_is_ud_and_sysret_checks_rcx) {
  TestMachine m;
  m.cpu->efer &= ~efer::SCE;
  EXPECT_EQ(m.run({0x0f, 0x05}), UD);
  TestMachine p(Mode::protected32);
  EXPECT_EQ(p.run({0x0f, 0x05}), UD);
  TestMachine r;
  r.cpu->r[1] = u64{1} << 47;
  EXPECT_EQ(r.run({0x48, 0x0f, 0x07}), GP);
}

TEST(sysenter, null_cs_is_gp) {
  TestMachine m;
  EXPECT_EQ(m.run({0x0f, 0x34}), GP);
  EXPECT_EQ(m.error_code(), 0u);
  m.cpu->msr.sysenter_cs = 0x08, m.cpu->msr.sysenter_esp = 0x48000, m.cpu->msr.sysenter_eip = 0x40000;
  m.poke<u8>(0x40000, 0xf4);
  EXPECT_EQ(m.run({0x0f, 0x34}), -1);
  EXPECT_EQ(m.cpu->r[4], 0x48000u);
  EXPECT_EQ(m.cpu->rip, 0x40001u);
}

TEST(smap, clac_and_stac_are_ud_outside_cpl_0) {
  TestMachine m;
  EXPECT_EQ(m.run({0x0f, 0x01, 0xcb}), -1);
  EXPECT_TRUE(m.cpu->flags & rflags::AC);
  EXPECT_EQ(m.run({0x0f, 0x01, 0xca}), -1);
  EXPECT_FALSE(m.cpu->flags & rflags::AC);
  user(m);
  EXPECT_EQ(m.run({0x0f, 0x01, 0xca}), UD);
}

TEST(smap, clac_and_stac_are_in_every_protected_mode) {
  TestMachine m(Mode::protected32);
  EXPECT_EQ(m.run({0x0f, 0x01, 0xcb}), -1);
  EXPECT_TRUE(m.cpu->flags & rflags::AC);
  EXPECT_EQ(m.run({0x0f, 0x01, 0xca}), -1);
  EXPECT_FALSE(m.cpu->flags & rflags::AC);
}

/// SDM 2: the system instructions that other modes than 64-bit have, and those that they have not
TEST(modes, of_system_instructions) {
  for (u8 last : {0xc8, 0xc9, 0xca, 0xcb, 0xd0, 0xd1, 0xf8, 0xf9}) {   // MONITOR, MWAIT, CLAC, STAC, XGETBV, XSETBV, SWAPGS, RDTSCP
    TestMachine m(Mode::protected32, {"+monitor"});
    m.cpu->cr4 |= cr4::OSXSAVE;
    m.cpu->msr.misc_enable |= 1u << 18;
    m.cpu->update();
    m.cpu->r[0] = 1, m.cpu->r[1] = m.cpu->r[2] = 0;
    EXPECT_EQ(m.run({0x0f, 0x01, last}), last == 0xf8 ? UD : -1) << int{last};
  }
}

TEST(fsgsbase, needs_cr4_and_canonical_values) {
  TestMachine m;
  EXPECT_EQ(m.run({0xf3, 0x48, 0x0f, 0xae, 0xc0}), UD);
  m.cpu->cr4 |= cr4::FSGSBASE;
  EXPECT_EQ(m.run({0x48, 0xb8, 1, 2, 3, 4, 5, 0, 0, 0, 0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xf3, 0x48, 0x0f, 0xae, 0xc1}), -1);
  EXPECT_EQ(m.cpu->r[1], 0x0504030201u);
  m.cpu->r[0] = u64{1} << 60;
  EXPECT_EQ(m.run({0xf3, 0x48, 0x0f, 0xae, 0xd8}), GP);
}

TEST(swapgs, exchanges) {
  TestMachine m;
  m.cpu->msr.kernel_gs_base = 0x123;
  m.cpu->seg[GS].base = 0x456;
  EXPECT_EQ(m.run({0x0f, 0x01, 0xf8}), -1);
  EXPECT_EQ(m.cpu->seg[GS].base, 0x123u);
  EXPECT_EQ(m.cpu->msr.kernel_gs_base, 0x456u);
}

TEST(invlpg, drops_one_page) {
  TestMachine m;
  u32 v;
  ASSERT_TRUE(m.cpu->load_at(0x400000, v));
  ASSERT_TRUE(m.cpu->load_at(0x600000, v));
  EXPECT_EQ(m.run({0xbb, 0x34, 0x12, 0x40, 0, 0x0f, 0x01, 0x3b}), -1);
  EXPECT_FALSE(m.cpu->tlb.find(m.cpu->contexts.tlb(), 0x400000));
  EXPECT_TRUE(m.cpu->tlb.find(m.cpu->contexts.tlb(), 0x600000));
}

TEST(invpcid, types_and_refusals) {  // SDM 2 "INVPCID"
  TestMachine m;
  const std::vector<u8> code = {0x66, 0x0f, 0x38, 0x82, 0x03};  // invpcid rax, [rbx]
  auto go = [&](u64 type, u64 lo, u64 hi) {
    m.cpu->r[0] = type, m.cpu->r[3] = kData;
    m.poke<u64>(kData, lo);
    m.poke<u64>(kData + 8, hi);
    return m.run(code);
  };
  EXPECT_EQ(go(2, 0, 0), -1);
  EXPECT_EQ(go(4, 0, 0), GP);
  EXPECT_EQ(go(2, 0x1000, 0), GP);
  EXPECT_EQ(go(1, 1, 0), GP) << "CR4.PCIDE is clear";
  EXPECT_EQ(go(0, 0, u64{1} << 47), GP);
  EXPECT_EQ(go(0, 0, 0x1000), -1);
}

TEST(rdrand, is_deterministic_and_varies) {
  TestMachine a, b;
  const std::vector<u8> code = {0x48, 0x0f, 0xc7, 0xf0, 0x48, 0x0f, 0xc7, 0xf1};  // rdrand rax; rdrand rcx
  EXPECT_EQ(a.run(code), -1);
  EXPECT_EQ(b.run(code), -1);
  EXPECT_EQ(a.cpu->r[0], b.cpu->r[0]);
  EXPECT_NE(a.cpu->r[0], a.cpu->r[1]);
  EXPECT_TRUE(a.cpu->lf.cf());
  EXPECT_FALSE(a.cpu->lf.zf());
}

TEST(rdtsc, counts_steps_and_obeys_tsd) {
  TestMachine m;
  EXPECT_EQ(m.run({0x0f, 0x31, 0x89, 0xc3, 0x90, 0x90, 0x0f, 0x31}), -1);  // rdtsc; mov ebx, eax; nop; nop; rdtsc
  EXPECT_EQ(m.cpu->r[0] - m.cpu->r[3], 4u);
  user(m);
  m.cpu->cr4 |= cr4::TSD;
  EXPECT_EQ(m.run({0x0f, 0x31}), GP);
}

TEST(cpuid_insn, loads_the_microcode_revision) {
  TestMachine m;
  m.cpu->msr.bios_sign_id = 0;
  m.cpu->r[0] = 1;
  EXPECT_EQ(m.run({0x0f, 0xa2}), -1);
  EXPECT_EQ(m.cpu->r[0], 0x50654u);
  EXPECT_EQ(m.cpu->msr.bios_sign_id >> 32, m.model.microcode);
}

TEST(rsm, outside_smm_is_ud) {
  TestMachine m;
  EXPECT_EQ(m.run({0x0f, 0xaa}), UD);
  EXPECT_EQ(m.run({0x0f, 0x33}), GP) << "RDPMC: there are no counters";
  EXPECT_EQ(m.run({0x0f, 0x01, 0xc8}), UD) << "MONITOR is not offered";
}

}  // namespace
}  // namespace vt::cpu
