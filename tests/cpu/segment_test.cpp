// SPDX-License-Identifier: GPL-2.0-or-later
/// Segment loads, far transfers, IRET: checks and their error codes.
#include "harness.hpp"
#include "cpu/block.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;

// SDM 3A "Segment Descriptors", "System Descriptor Types"
TEST(descriptor, fields) {
  Descriptor d;
  d.lo = 0x12cf9a345678abcd;
  EXPECT_EQ(d.base(), 0x12345678u);
  EXPECT_EQ(d.limit(), 0xfabcdfffu);
  EXPECT_EQ(d.ar(), 0xc09au);
  EXPECT_TRUE(d.code() && d.readable_code() && !d.conforming() && d.present());
  d.lo = 0x00008b0000000067, d.hi = 0xffff8000;
  EXPECT_EQ(d.base(), 0xffff800000000000u);
  EXPECT_EQ(d.limit(), 0x67u);
  EXPECT_EQ(d.type(), system_type::tss_busy);
}

// SDM 3A "Segment Limit Checking"
TEST(descriptor, limits_up_and_down) {
  Segment up{0, 0xfff, 0x4093, 0}, down{0, 0xfff, 0x4097, 0}, down16{0, 0xfff, 0x97, 0};
  EXPECT_TRUE(within(up, 0xffc, 4));
  EXPECT_FALSE(within(up, 0xffd, 4));
  EXPECT_FALSE(within(down, 0xfff, 1));
  EXPECT_TRUE(within(down, 0x1000, 4));
  EXPECT_TRUE(within(down, 0xfffffffc, 4));
  EXPECT_FALSE(within(down16, 0xfffe, 4));
}

/// GDT entries from selector 0x40 on.
enum Slot : u16 { kData0 = 0x40, kRead0 = 0x48, kData3 = 0x50, kCodeX = 0x58, kConf = 0x60, kAbsent = 0x68, kLdt = 0x70, kTss = 0x80, kGate = 0x90, kUser = 0xa0, kBoth = 0xa8, kCode16 = 0xb0, kFree = 0xb8 };
struct Machine : TestMachine {
  explicit Machine(Mode m) : TestMachine(m) {
    auto put = [&](u16 sel, u64 v) { mem.poke64(Hpa{kGdt + sel}, v, WriteCause::loader); };
    put(kData0, 0x00cf92000000ffff);
    put(kRead0, 0x00cf90000000ffff);   // read-only
    put(kData3, 0x00cff2000000ffff);
    put(kCodeX, 0x00cf98000000ffff);   // execute-only
    put(kConf, m == Mode::long64 ? 0x00af9e000000ffff : 0x00cf9e000000ffff);
    put(kAbsent, 0x00cf12000000ffff);
    put(kLdt, 0x0000820a00000fff);
    put(kLdt + 8, 0);
    put(kTss, 0x000089000a000067 | u64{0x0000} << 40);
    put(kTss + 8, 0);
    put(kUser, m == Mode::long64 ? 0x00affa000000ffff : 0x00cffa000000ffff);
    put(kBoth, 0x00ef9a000000ffff);    // L and D
    put(kCode16, 0x00009a010000ffff);
    cpu->gdtr.limit = 0xff;
  }
  void user() {
    cpu->seg[CS].ar |= 0x60, cpu->seg[CS].sel = mode == Mode::long64 ? 0x23 : 0x33;
    cpu->seg[SS].ar |= 0x60, cpu->seg[SS].sel = 0x2b;
    cpu->update();
  }
  /// A faulting call: vector << 16 | error, 0 when it succeeded.
  u32 load(unsigned s, u16 sel) {
    if (cpu->load_segment(s, sel)) return 0;
    return fault();
  }
  u32 fault() {
    EXPECT_TRUE(cpu->fault.has_error);
    return u32{cpu->fault.vector} << 16 | cpu->fault.error;
  }
};
constexpr u32 gp(u32 e) { return GP << 16 | e; }
constexpr u32 np(u32 e) { return NP << 16 | e; }
constexpr u32 ss(u32 e) { return SS_ << 16 | e; }

// SDM 2 "MOV", protected mode exceptions
TEST(load_segment, data_segments) {
  for (Mode mode : {Mode::protected32, Mode::long64}) {
    Machine m(mode);
    EXPECT_EQ(m.load(DS, kData0), 0u);
    EXPECT_EQ(m.cpu->seg[DS].ar, 0xc093u) << "accessed";
    EXPECT_EQ(m.peek<u8>(TestMachine::kGdt + kData0 + 5), 0x93);
    EXPECT_EQ(m.load(ES, kRead0), 0u);
    EXPECT_EQ(m.load(FS, 0x3), 0u);
    EXPECT_TRUE(m.cpu->seg[FS].unusable());
    EXPECT_EQ(m.load(DS, kCodeX), gp(kCodeX));
    EXPECT_EQ(m.load(DS, kConf | 3), 0u);
    EXPECT_EQ(m.load(DS, kAbsent), np(kAbsent));
    EXPECT_EQ(m.load(DS, kTss), gp(kTss));
    EXPECT_EQ(m.load(DS, kData0 | 3), gp(kData0));
    EXPECT_EQ(m.load(DS, 0x100), gp(0x100));
    EXPECT_EQ(m.load(DS, kData0 | 4), gp(kData0 | 4)) << "no LDT";
    m.user();
    EXPECT_EQ(m.load(DS, kData0), gp(kData0));
    EXPECT_EQ(m.load(DS, kData3 | 3), 0u);
  }
}

TEST(load_segment, the_stack_segment) {
  for (Mode mode : {Mode::protected32, Mode::long64}) {
    Machine m(mode);
    EXPECT_EQ(m.load(SS, kData0), 0u);
    EXPECT_EQ(m.load(SS, kRead0), gp(kRead0));
    EXPECT_EQ(m.load(SS, kCodeX), gp(kCodeX));
    EXPECT_EQ(m.load(SS, kData0 | 1), gp(kData0));
    EXPECT_EQ(m.load(SS, kData3), gp(kData3));
    EXPECT_EQ(m.load(SS, kAbsent), ss(kAbsent));
    EXPECT_EQ(m.load(SS, 0), mode == Mode::long64 ? 0u : gp(0));
    EXPECT_EQ(m.load(SS, 1), gp(0));
    m.user();
    EXPECT_EQ(m.load(SS, 3), gp(0));
  }
}

TEST(load_segment, real_mode_changes_selector_and_base_only) {  // SDM 3B "Address Translation in Real-Address Mode"
  TestMachine m(Mode::real);
  m.cpu->seg[ES].limit = 0xffffffff;
  EXPECT_TRUE(m.cpu->load_segment(ES, 0x1234));
  EXPECT_EQ(m.cpu->seg[ES].base, 0x12340u);
  EXPECT_EQ(m.cpu->seg[ES].limit, 0xffffffffu);
}

Insn insn(unsigned osz) {
  Insn i{};
  i.attr = static_cast<u8>(osz);
  i.len = 7;
  return i;
}

// SDM 2 "JMP"
TEST(far_jump, code_segment_checks) {
  Machine m(Mode::protected32);
  Cpu& c = *m.cpu;
  const Insn i = insn(1);
  auto jump = [&](u16 sel, u64 to) { return c.far_jump(i, sel, to) == Next::fault ? m.fault() : 0; };
  EXPECT_EQ(jump(0, 0), gp(0));
  EXPECT_EQ(jump(3, 0), gp(0));
  EXPECT_EQ(jump(kData0, 0), gp(kData0));
  EXPECT_EQ(jump(0x100, 0), gp(0x100));
  EXPECT_EQ(jump(kUser, 0), gp(kUser)) << "DPL 3 from CPL 0";
  EXPECT_EQ(jump(kCodeX | 3, 0), gp(kCodeX)) << "RPL above CPL";
  EXPECT_EQ(jump(kCode16, 0x10000), gp(0)) << "beyond the limit";
  EXPECT_EQ(jump(kLdt, 0), gp(kLdt));
  EXPECT_EQ(jump(kCode16, 0x100), 0u);
  EXPECT_EQ(c.target, 0x100u);
  EXPECT_EQ(c.seg[CS].base, 0x10000u);
  EXPECT_EQ(c.mode & 3, 0);
  Machine u(Mode::protected32);
  u.user();
  EXPECT_NE(u.cpu->far_jump(i, kConf | 3, 0x10), Next::fault);
  EXPECT_EQ(u.cpu->cpl(), 3u) << "conforming code keeps CPL";
  EXPECT_EQ(u.cpu->seg[CS].sel, kConf | 3);
}

TEST(far_jump, long_mode) {
  Machine m(Mode::long64);
  Cpu& c = *m.cpu;
  const Insn i = insn(2);
  EXPECT_EQ(c.far_jump(i, kBoth, 0), Next::fault);
  EXPECT_EQ(m.fault(), gp(kBoth));
  EXPECT_EQ(c.far_jump(i, 0x08, u64{1} << 47), Next::fault);
  EXPECT_EQ(m.fault(), gp(0));
  EXPECT_EQ(c.far_jump(i, 0x08, 0xffff800000000000), Next::leave);
  EXPECT_EQ(c.far_jump(insn(1), 0x18, 0x1000), Next::leave);
  EXPECT_FALSE(c.code64_now);
  EXPECT_TRUE(c.long_mode());
}

TEST(far_call, same_level_pushes_cs_and_ip) {
  Machine m(Mode::protected32);
  Cpu& c = *m.cpu;
  c.r[kRipReg] = 0x1000;
  ASSERT_EQ(c.far_call(insn(1), kCodeX, 0x44), Next::leave);
  EXPECT_EQ(c.r[4], TestMachine::kStack - 8);
  EXPECT_EQ(m.peek<u32>(TestMachine::kStack - 4), 0x18u);
  EXPECT_EQ(m.peek<u32>(TestMachine::kStack - 8), 0x1007u);
}

TEST(far_call, through_a_gate_copies_parameters_to_the_inner_stack) {  // SDM 3A "Stack Switching"
  Machine m(Mode::protected32);
  Cpu& c = *m.cpu;
  m.poke<u64>(TestMachine::kGdt + kGate, 0x0002ec0200180040);  // 32-bit call gate, DPL 3, two parameters, 18:20040
  m.poke<u32>(0xa004, 0x60000);
  m.poke<u16>(0xa008, 0x10);
  c.tr = {0xa000, 0x67, 0x8b, 0x80};
  m.user();
  m.poke<u32>(TestMachine::kStack, 0xaaaa);
  m.poke<u32>(TestMachine::kStack + 4, 0xbbbb);
  c.r[kRipReg] = 0x1000;
  ASSERT_EQ(c.far_call(insn(1), kGate | 3, 0), Next::leave);
  EXPECT_EQ(c.cpl(), 0u);
  EXPECT_EQ(c.target, 0x20040u);
  EXPECT_EQ(c.r[4], 0x60000u - 24);
  EXPECT_EQ(m.peek<u32>(0x60000 - 4), 0x2bu);
  EXPECT_EQ(m.peek<u32>(0x60000 - 8), TestMachine::kStack);
  EXPECT_EQ(m.peek<u32>(0x60000 - 12), 0xbbbbu);
  EXPECT_EQ(m.peek<u32>(0x60000 - 16), 0xaaaau);
  EXPECT_EQ(m.peek<u32>(0x60000 - 20), 0x33u);
  EXPECT_EQ(m.peek<u32>(0x60000 - 24), 0x1007u);
  // and back, releasing both copies
  ASSERT_EQ(c.far_return(insn(1), 1, 8), Next::leave);
  EXPECT_EQ(c.cpl(), 3u);
  EXPECT_EQ(c.r[4], TestMachine::kStack + 8);
  EXPECT_TRUE(c.seg[DS].unusable()) << "DPL 0 data is out of reach now";
}

TEST(far_call, a_gate_below_cpl_or_absent) {
  Machine m(Mode::protected32);
  m.poke<u64>(TestMachine::kGdt + kGate, 0x00028c0000180040);
  m.user();
  EXPECT_EQ(m.cpu->far_call(insn(1), kGate | 3, 0), Next::fault);
  EXPECT_EQ(m.fault(), gp(kGate));
  m.poke<u64>(TestMachine::kGdt + kGate, 0x00026c0000180040);
  EXPECT_EQ(m.cpu->far_call(insn(1), kGate | 3, 0), Next::fault);
  EXPECT_EQ(m.fault(), np(kGate));
}

TEST(far_return, checks) {  // SDM 2 "RET"
  Machine m(Mode::protected32);
  Cpu& c = *m.cpu;
  const u64 sp = c.r[4] = 0x4f000;
  auto ret = [&](u32 ip, u32 cs, u32 nsp = 0, u32 nss = 0) {
    const u32 frame[] = {ip, cs, nsp, nss};
    m.mem.write(Hpa{sp}, frame, sizeof frame, WriteCause::loader);
    return c.far_return(insn(1), 1, 0) == Next::fault ? m.fault() : 0;
  };
  EXPECT_EQ(ret(0, 0), gp(0));
  EXPECT_EQ(ret(0, kData0), gp(kData0));
  EXPECT_EQ(ret(0, kUser), gp(kUser)) << "RPL 0, DPL 3";
  EXPECT_EQ(ret(0, kUser | 3, 0, 0), gp(0)) << "null SS";
  EXPECT_EQ(ret(0, kUser | 3, 0, kData0 | 3), gp(kData0));
  EXPECT_EQ(ret(0, kUser | 3, 0, kData3), gp(kData3));
  EXPECT_EQ(c.r[4], sp);
  EXPECT_EQ(ret(0x123, kUser | 3, 0x777, kData3 | 3), 0u);
  EXPECT_EQ(c.cpl(), 3u);
  EXPECT_EQ(c.r[4], 0x777u);
  EXPECT_EQ(c.target, 0x123u);
}

// SDM 2 "IRET/IRETD/IRETQ"
TEST(iret, sixty_four_bit_pops_five_at_every_level) {
  Machine m(Mode::long64);
  Cpu& c = *m.cpu;
  const u64 frame[] = {0x1234, 0x08, 0x203, 0x5555, 0x10};
  c.r[4] = 0x4f000;
  m.mem.write(Hpa{0x4f000}, frame, sizeof frame, WriteCause::loader);
  ASSERT_EQ(c.iret(insn(2), 2), Next::leave);
  EXPECT_EQ(c.r[4], 0x5555u);
  EXPECT_EQ(c.target, 0x1234u);
  EXPECT_EQ(c.rflags(), 0x203u);
}

TEST(iret, nt_in_long_mode_is_gp) {
  Machine m(Mode::long64);
  m.cpu->flags |= rflags::NT;
  EXPECT_EQ(m.cpu->iret(insn(2), 2), Next::fault);
  EXPECT_EQ(m.fault(), gp(0));
}

TEST(iret, user_cannot_change_iopl_or_if) {
  Machine m(Mode::protected32);
  Cpu& c = *m.cpu;
  m.user();
  const u32 frame[] = {0x1234, 0x33, 0x3fffd5};
  c.r[4] = 0x4f000;
  m.mem.write(Hpa{0x4f000}, frame, sizeof frame, WriteCause::loader);
  ASSERT_EQ(c.iret(insn(1), 1), Next::leave);
  EXPECT_FALSE(c.flags & (rflags::IF | rflags::IOPL | rflags::VM | rflags::VIF | rflags::VIP));
  EXPECT_TRUE(c.flags & rflags::AC);
}

TEST(iret, to_virtual_8086_mode) {  // SDM 3B "Entering Virtual-8086 Mode"
  Machine m(Mode::protected32);
  Cpu& c = *m.cpu;
  const u32 frame[] = {0x100, 0x2000, 0x20202, 0xfff0, 0x3000, 0x1111, 0x2222, 0x3333, 0x4444};
  c.r[4] = 0x4f000;
  m.mem.write(Hpa{0x4f000}, frame, sizeof frame, WriteCause::loader);
  ASSERT_EQ(c.iret(insn(1), 1), Next::leave);
  EXPECT_TRUE(c.vm86());
  EXPECT_EQ(c.cpl(), 3u);
  EXPECT_EQ(c.seg[CS].base, 0x20000u);
  EXPECT_EQ(c.seg[DS].sel, 0x2222u);
  EXPECT_EQ(c.seg[GS].base, 0x44440u);
  for (const Segment& s : c.seg) {
    EXPECT_EQ(s.ar, 0xf3u);
    EXPECT_EQ(s.limit, 0xffffu);
  }
  EXPECT_EQ(c.r[4], 0xfff0u);
  EXPECT_FALSE(c.mode & mode_bit::protected_mode);
}

TEST(iret, nmi_is_unblocked_even_if_it_faults) {  // SDM 3A "Handling Multiple NMIs"
  Machine m(Mode::long64);
  Cpu& c = *m.cpu;
  c.nmi_blocked = true;
  const u64 frame[] = {0x1234, 0, 0x203, 0x5555, 0x10};
  c.r[4] = 0x4f000;
  m.mem.write(Hpa{0x4f000}, frame, sizeof frame, WriteCause::loader);
  EXPECT_EQ(c.iret(insn(2), 2), Next::fault);
  EXPECT_FALSE(c.nmi_blocked);
}

TEST(vm86, int_n_needs_iopl_3_unless_redirected) {  // SDM 3B "Software Interrupt Handling Methods"
  Machine m(Mode::protected32);
  Cpu& c = *m.cpu;
  c.flags |= rflags::VM;
  c.update();
  EXPECT_EQ(c.software_interrupt(insn(0), 0x21, 4), Next::fault);
  EXPECT_EQ(m.fault(), gp(0));
  EXPECT_EQ(c.software_interrupt(insn(0), 3, 6), Next::fault);
  EXPECT_EQ(c.fault.kind, Fault::Kind::software);
}

/// SDM 3A "Type Checking": a segment that may only be read is good for what reads its operand, and for nothing that writes it, too.
TEST(rights, of_a_segment_that_may_only_be_read) {
  struct { const char* what; std::vector<u8> opcode; unsigned digit; bool writes; } const rows[] = {
      {"LGDT", {0x0f, 0x01}, 2, false}, {"LIDT", {0x0f, 0x01}, 3, false}, {"LMSW", {0x0f, 0x01}, 6, false}, {"LLDT", {0x0f, 0x00}, 2, false}, {"VERR", {0x0f, 0x00}, 4, false},
      {"VERW", {0x0f, 0x00}, 5, false}, {"LAR", {0x0f, 0x02}, 0, false}, {"LSL", {0x0f, 0x03}, 0, false}, {"LES", {0xc4}, 0, false}, {"LFS", {0x0f, 0xb4}, 0, false}, {"BOUND", {0x62}, 0, false},
      {"LDMXCSR", {0x0f, 0xae}, 2, false}, {"FXRSTOR", {0x0f, 0xae}, 1, false}, {"FLDCW", {0xd9}, 5, false}, {"FLDENV", {0xd9}, 4, false}, {"FRSTOR", {0xdd}, 4, false}, {"FLD m80", {0xdb}, 5, false},
      {"FBLD", {0xdf}, 4, false}, {"PUSH", {0xff}, 6, false}, {"CALL", {0xff}, 2, false}, {"JMP", {0xff}, 4, false}, {"BT", {0x0f, 0xa3}, 0, false}, {"CMP", {0x39}, 0, false}, {"TEST", {0x85}, 0, false},
      {"IMUL", {0x0f, 0xaf}, 0, false}, {"MUL", {0xf7}, 4, false}, {"CMOVZ", {0x0f, 0x44}, 0, false}, {"MOVZX", {0x0f, 0xb6}, 0, false}, {"BSF", {0x0f, 0xbc}, 0, false}, {"MOV", {0x8b}, 0, false},
      {"MOV to Sreg", {0x8e}, 4, false}, {"MOVQ", {0x0f, 0x6f}, 0, false}, {"MOVUPS", {0x0f, 0x10}, 0, false}, {"CVTSI2SS", {0xf3, 0x0f, 0x2a}, 0, false},
      {"SGDT", {0x0f, 0x01}, 0, true}, {"SIDT", {0x0f, 0x01}, 1, true}, {"SMSW", {0x0f, 0x01}, 4, true}, {"SLDT", {0x0f, 0x00}, 0, true}, {"STR", {0x0f, 0x00}, 1, true}, {"STMXCSR", {0x0f, 0xae}, 3, true},
      {"FXSAVE", {0x0f, 0xae}, 0, true}, {"FNSTCW", {0xd9}, 7, true}, {"FNSTENV", {0xd9}, 6, true}, {"FNSAVE", {0xdd}, 6, true}, {"FNSTSW", {0xdd}, 7, true}, {"POP", {0x8f}, 0, true}, {"BTS", {0x0f, 0xab}, 0, true},
      {"BTR", {0x0f, 0xb3}, 0, true}, {"BTC", {0x0f, 0xbb}, 0, true}, {"XADD", {0x0f, 0xc1}, 0, true}, {"CMPXCHG", {0x0f, 0xb1}, 0, true}, {"CMPXCHG8B", {0x0f, 0xc7}, 1, true}, {"XCHG", {0x87}, 0, true},
      {"NOT", {0xf7}, 2, true}, {"NEG", {0xf7}, 3, true}, {"INC", {0xff}, 0, true}, {"ADD", {0x01}, 0, true}, {"SHL", {0xd1}, 4, true}, {"SETZ", {0x0f, 0x94}, 0, true}, {"MOV from Sreg", {0x8c}, 3, true},
      {"MOVNTI", {0x0f, 0xc3}, 0, true}, {"MOV", {0x89}, 0, true}, {"MOVUPS", {0x0f, 0x11}, 0, true}, {"MOVD", {0x0f, 0x7e}, 0, true}, {"SHLD", {0x0f, 0xa5}, 0, true},
  };
  for (const auto& r : rows)
    for (u32 ar : {0xc091u, 0xc093u}) {
      SCOPED_TRACE(r.what);
      Machine m(Mode::protected32);
      Cpu& c = *m.cpu;
      c.cr4 |= cr4::OSFXSR;
      c.seg[DS].ar = ar;
      c.update();
      std::vector<u8> code = r.opcode;
      code.push_back(static_cast<u8>(r.digit << 3 | 5));
      for (u32 n = 0; n < 4; ++n) code.push_back(static_cast<u8>(TestMachine::kData >> (8 * n)));
      for (unsigned n = 0; n < 512; n += 8) m.poke<u64>(TestMachine::kData + n, 0);
      m.run(code, 1);
      const bool refused = c.rip == TestMachine::kHandlers + 16 * GP;
      EXPECT_EQ(refused, r.writes && ar == 0xc091) << std::hex << ar << ' ' << c.rip;
    }
}

}  // namespace
}  // namespace vt::cpu
