// SPDX-License-Identifier: GPL-2.0-or-later
/// Rules of far transfers, interrupts, debug exceptions and their priorities as tables of cases, one row per rule.
#include <functional>

#include "harness.hpp"
#include "insn/system.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
using Bytes = std::vector<u8>;
constexpr u64 kCodeAt = TestMachine::kCode, kTss = 0xa000, kStack0 = 0x60000;

void user(TestMachine& m) {
  Cpu& c = *m.cpu;
  c.seg[CS].sel = m.mode == Mode::long64 ? 0x23 : 0x33;
  c.seg[CS].ar |= 0x60;
  c.seg[SS].sel = 0x2b;
  c.seg[SS].ar |= 0x60;
  m.poke<u64>(kTss + 4, kStack0);
  if (m.mode == Mode::protected32) m.poke<u16>(kTss + 8, 0x10);
  c.tr = {kTss, 0x67, 0x8b, 0x38};
  c.update();
}
u64 frame(TestMachine& m, unsigned n) { return m.mode == Mode::long64 ? m.peek<u64>(m.cpu->r[4] + 8 * n) : m.peek<u32>(m.cpu->r[4] + 4 * n); }

// --- the resume flag.   SDM 3B "Instruction-Breakpoint Exception Condition" ---------------------------------------

TEST(resume_flag, is_cleared_by_every_instruction_that_completes) {
  struct { const char* what; Bytes code; } rows[] = {
      {"NOP", {0x90}},
      {"near JMP", {0xeb, 0}},
      {"far JMP", {0xff, 0x2c, 0x25, 0, 0, 3, 0}},
      {"far CALL", {0xff, 0x1c, 0x25, 0, 0, 3, 0}},
      {"far RET", {0xcb}},
      {"SYSCALL", {0x0f, 0x05}},
      {"SYSENTER", {0x0f, 0x34}},
      {"SYSEXIT", {0x48, 0x0f, 0x35}},
      {"SYSRET", {0x48, 0x0f, 0x07}},
      {"POPF", {0x9d}},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    TestMachine m;
    Cpu& c = *m.cpu;
    m.poke<u32>(0x30000, kCodeAt + 0x40), m.poke<u16>(0x30004, 0x08);
    c.r[4] = 0x40000;
    m.poke<u32>(0x40000, kCodeAt + 0x40), m.poke<u32>(0x40004, 0x08);
    c.msr.star = u64{0x08} << 32 | u64{0x1b} << 48, c.msr.lstar = c.msr.sysenter_eip = kCodeAt + 0x40;
    c.msr.sysenter_cs = 8;
    c.r[1] = c.r[2] = kCodeAt + 0x40, c.r[11] = 0x10002;
    c.flags |= rflags::RF;
    m.run(r.code, 1);
    EXPECT_FALSE(c.flags & rflags::RF);
    EXPECT_EQ(c.r[11] & rflags::RF, std::string_view(r.what) == "SYSCALL" ? 0 : 0x10000u);
  }
}

TEST(resume_flag, in_the_image_of_each_kind_of_event) {
  struct { const char* what; Bytes code; int vector; bool rf, set; } rows[] = {
      {"fault", {0x0f, 0x0b}, UD, true, false},        {"INT n", {0xcd, 0x40}, 0x40, false, false}, {"INT n with RF set", {0xcd, 0x40}, 0x40, false, true},
      {"INT3 with RF set", {0xcc}, BP, false, true},   {"INT1 with RF set", {0xf1}, DB, false, true}, {"INT n that faults", {0xcd, 0x41}, NP, true, false},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    TestMachine m;
    m.poke<u8>(TestMachine::kIdt + 16 * 0x41 + 5, 0x0e);
    if (r.set) m.cpu->flags |= rflags::RF;
    EXPECT_EQ(m.run(r.code), r.vector);
    EXPECT_EQ(static_cast<bool>(frame(m, r.vector == NP ? 3 : 2) & rflags::RF), r.rf);
  }
}

TEST(resume_flag, a_breakpoint_at_a_repeated_instruction_comes_once) {
  TestMachine m;
  Cpu& c = *m.cpu;
  // The handler sets RF in the image and returns; it counts in R15.
  const Bytes handler = {0x49, 0xff, 0xc7, 0x81, 0x4c, 0x24, 0x10, 0, 0, 1, 0, 0x48, 0xcf};  // inc r15; or dword [rsp+16], 10000; iretq
  m.mem.write(Hpa{0x28000}, handler.data(), handler.size(), WriteCause::loader);
  m.poke<u64>(TestMachine::kIdt + 16 * DB, 0x8000u | u64{8} << 16 | u64{0x8e00} << 32 | u64{0x20000} << 32);
  c.dr[0] = kCodeAt + 2, c.dr[7] = 0x402;
  c.r[1] = 5, c.r[7] = 0x30000;
  c.update();
  c.want_attention();
  EXPECT_EQ(m.run({0x90, 0x90, 0xf3, 0xaa, 0x90}), -1);
  EXPECT_EQ(c.r[15], 1u);
  EXPECT_EQ(c.r[1], 0u);
}

TEST(resume_flag, an_interrupt_between_iterations_pushes_it_set) {
  TestMachine m;
  Cpu& c = *m.cpu;
  c.r[1] = 100, c.r[7] = 0x30000;
  c.set_rflags(0x202);
  m.run({0xf3, 0xaa, 0x90}, 10);
  ASSERT_EQ(c.r[1], 90u);
  c.apic.write_base(0xfee00100);
  m.pic_level = true;
  c.pic_line(true);
  EXPECT_EQ(m.resume(), 0x20);
  EXPECT_EQ(frame(m, 0), kCodeAt);
  EXPECT_TRUE(frame(m, 2) & rflags::RF);
}

TEST(single_step, syscall_masks_its_trap_with_fmask) {  // SDM 2 "SYSCALL"
  for (bool masked : {false, true}) {
    TestMachine m;
    Cpu& c = *m.cpu;
    c.msr.star = u64{8} << 32, c.msr.lstar = 0x40000, c.msr.fmask = masked ? rflags::TF : 0;
    m.poke<u16>(0x40000, 0xf490);
    c.set_rflags(0x102);
    EXPECT_EQ(m.run({0x0f, 0x05}), masked ? -1 : DB);
    EXPECT_EQ(static_cast<bool>(c.r[11] & rflags::TF), true);
  }
}

// --- flags that IRET and interrupts touch -------------------------------------------------------------------------

TEST(iret_flags, reserved_bits_are_never_loaded) {  // SDM 2 "IRET/IRETD/IRETQ"
  TestMachine real(Mode::real);
  real.poke<u16>(0xf000, 0x40), real.poke<u16>(0xf002, 0x1000), real.poke<u16>(0xf004, 0xffff);
  real.poke<u8>(0x10040, 0xf4);
  real.run({0xcf}, 1);
  EXPECT_EQ(real.cpu->rflags() & 0x802a, 2u);
  TestMachine to_vm86(Mode::protected32);
  const u32 image[] = {0x100, 0x2000, 0xffffffff & ~0x200u, 0xfff0, 0x3000, 0x1111, 0x2222, 0x3333, 0x4444};
  to_vm86.cpu->r[4] = 0x4f000;
  to_vm86.mem.write(Hpa{0x4f000}, image, sizeof image, WriteCause::loader);
  to_vm86.run({0xcf}, 1);
  EXPECT_TRUE(to_vm86.cpu->vm86());
  EXPECT_EQ(to_vm86.cpu->rflags(), 0x3f7dd7u);
  TestMachine vm86(Mode::protected32);
  Cpu& c = *vm86.cpu;
  vm86.cpu->flags |= rflags::VM | rflags::IOPL;
  for (auto& s : c.seg) s = {0, 0xffff, 0xf3, 0};
  c.seg[CS] = {kCodeAt, 0xffff, 0xf3, kCodeAt >> 4};
  c.r[4] = 0xf000;
  vm86.poke<u16>(0xf000, 0x40), vm86.poke<u16>(0xf002, 0x1000), vm86.poke<u16>(0xf004, 0xcfff);
  c.update();
  vm86.mode = Mode::real;
  vm86.run({0xcf}, 1);
  EXPECT_EQ(c.rflags() & 0x802a, 2u);
  EXPECT_EQ(c.flags & rflags::IOPL, rflags::IOPL);
}

TEST(interrupt_flags, what_each_kind_of_delivery_clears) {  // SDM 2 "INT n/INTO/INT3/INT1"
  struct { Mode mode; u8 gate; u64 cleared; } rows[] = {
      {Mode::real, 0, rflags::IF | rflags::TF | rflags::AC | rflags::RF},
      {Mode::protected32, 0x8e, rflags::IF | rflags::TF | rflags::NT | rflags::RF | rflags::VM},
      {Mode::protected32, 0x8f, rflags::TF | rflags::NT | rflags::RF | rflags::VM},
      {Mode::long64, 0x8e, rflags::IF | rflags::TF | rflags::NT | rflags::RF},
      {Mode::long64, 0x8f, rflags::TF | rflags::NT | rflags::RF},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.gate);
    TestMachine m(r.mode);
    if (r.gate) m.poke<u8>(TestMachine::kIdt + (r.mode == Mode::long64 ? 16 : 8) * 0x40 + 5, r.gate);
    const u64 all = 0x2 | rflags::kArith | rflags::IF | rflags::DF | rflags::NT | rflags::AC | rflags::ID | rflags::IOPL;
    m.cpu->set_rflags(all);
    EXPECT_EQ(m.run({0xcd, 0x40}), 0x40);
    EXPECT_EQ(m.cpu->rflags(), all & ~r.cleared);
  }
}

TEST(vm86, an_interrupt_that_is_redirected_changes_if_or_vif_and_tf_only) {  // SDM 3B "Method 5", "Method 6": software interrupt handling
  for (bool iopl3 : {true, false}) {
    TestMachine m(Mode::protected32);
    Cpu& c = *m.cpu;
    m.poke<u16>(kTss + 102, 0x88);
    for (unsigned n = 0; n < 32; ++n) m.poke<u8>(kTss + 0x68 + n, 0);
    c.tr = {kTss, 0x200, 0x8b, 0x38};
    c.cr4 |= cr4::VME;
    for (auto& s : c.seg) s = {0, 0xffff, 0xf3, 0};
    c.seg[CS] = {kCodeAt, 0xffff, 0xf3, kCodeAt >> 4};
    c.r[4] = 0xf000;
    m.poke<u32>(4 * 0x40, 0x30000000);  // 3000:0
    c.set_rflags(0x2 | rflags::VM | rflags::NT | rflags::IF | rflags::VIF | (iopl3 ? rflags::IOPL : 0));
    c.update();
    m.mode = Mode::real;
    m.run({0xcd, 0x40}, 1);
    EXPECT_EQ(c.seg[CS].sel, 0x3000u);
    EXPECT_EQ(c.rip, 0u);
    EXPECT_EQ(c.rflags(), 0x2u | rflags::VM | rflags::NT | (iopl3 ? rflags::VIF | rflags::IOPL : rflags::IF));
    EXPECT_EQ(m.peek<u16>(0xeffe), 2u | rflags::NT | rflags::IOPL | rflags::IF);
    EXPECT_EQ(m.peek<u16>(0xeffa), 2u);
  }
}

// --- 64-bit call gates.   SDM 2 "CALL", SDM 3A "IA-32e Mode Call Gates" ----------------------------------------------

struct GateRow {
  const char* rule;
  std::function<void(TestMachine&)> change;
  int vector;
  u32 error;
  bool user = false, jump = false;
};
constexpr u16 kGate = 0x40, kTarget = 0x50, kCompat = 0x58, kConforming = 0x60;
void gate(TestMachine& m, u16 sel, u64 to, u8 access, u32 upper = 0) {
  m.poke<u64>(TestMachine::kGdt + kGate, (to & 0xffff) | u64{sel} << 16 | u64{access} << 40 | (to >> 16 & 0xffff) << 48);
  m.poke<u64>(TestMachine::kGdt + kGate + 8, (to >> 32) | u64{upper} << 32);
}
const GateRow kGateRows[] = {
    {"same level", [](TestMachine&) {}, -1, 0},
    {"JMP", [](TestMachine&) {}, -1, 0, false, true},
    {"to an inner level", [](TestMachine&) {}, -1, 0, true},
    {"JMP to an inner level", [](TestMachine&) {}, GP, kTarget, true, true},
    {"JMP to conforming code", [](TestMachine& m) { gate(m, kConforming, 0x40000, 0xec); }, -1, 0, true, true},
    {"DPL below CPL", [](TestMachine& m) { gate(m, kTarget, 0x40000, 0x8c); }, GP, kGate, true},
    {"not present", [](TestMachine& m) { gate(m, kTarget, 0x40000, 0x6c); }, NP, kGate},
    {"a 16-bit gate", [](TestMachine& m) { gate(m, kTarget, 0x40000, 0xe4); }, GP, kGate},
    {"a task gate", [](TestMachine& m) { gate(m, kTarget, 0x40000, 0xe5); }, GP, kGate},
    {"a TSS", [](TestMachine& m) { gate(m, kTarget, 0x40000, 0xe9); }, GP, kGate},
    {"type in the upper half", [](TestMachine& m) { gate(m, kTarget, 0x40000, 0xec, 0x100); }, GP, kGate},
    {"upper half beyond the table", [](TestMachine& m) { m.cpu->gdtr.limit = kGate + 14; }, GP, kGate},
    {"null target", [](TestMachine& m) { gate(m, 3, 0x40000, 0xec); }, GP, 0},
    {"target beyond the table", [](TestMachine& m) { gate(m, 0x1000, 0x40000, 0xec); }, GP, 0x1000},
    {"target data", [](TestMachine& m) { gate(m, 0x10, 0x40000, 0xec); }, GP, 0x10},
    {"target compatibility-mode code", [](TestMachine& m) { gate(m, kCompat, 0x40000, 0xec); }, GP, kCompat},
    {"target of DPL above CPL", [](TestMachine& m) { m.poke<u64>(TestMachine::kGdt + kTarget, 0x00affb000000ffff); }, GP, kTarget},
    {"target not present", [](TestMachine& m) { m.poke<u64>(TestMachine::kGdt + kTarget, 0x00af1b000000ffff); }, NP, kTarget},
    {"offset not canonical", [](TestMachine& m) { gate(m, kTarget, u64{1} << 47, 0xec); }, GP, 0},
    {"RSP0 beyond the TSS", [](TestMachine& m) { m.cpu->tr.limit = 10; }, TS, 0x38, true},
    {"RSP0 not canonical", [](TestMachine& m) { m.poke<u64>(kTss + 4, u64{1} << 47); }, SS_, 0, true},
};
TEST(call_gate_64, each_rule) {
  for (auto& r : kGateRows) {
    SCOPED_TRACE(r.rule);
    TestMachine m;
    Cpu& c = *m.cpu;
    c.gdtr.limit = 0xff;
    m.poke<u64>(TestMachine::kGdt + kTarget, 0x00af9b000000ffff);
    m.poke<u64>(TestMachine::kGdt + kCompat, 0x00cf9b000000ffff);
    m.poke<u64>(TestMachine::kGdt + kConforming, 0x00af9f000000ffff);
    gate(m, kTarget, 0x40000, 0xec);
    m.poke<u8>(0x40000, 0xf4);
    m.poke<u32>(0x30000, 0), m.poke<u16>(0x30004, kGate | (r.user ? 3 : 0));
    if (r.user) user(m);
    r.change(m);
    const Bytes code = {0xff, static_cast<u8>(r.jump ? 0x2c : 0x1c), 0x25, 0, 0, 3, 0};
    m.run(code, 1);
    if (r.vector < 0) {
      EXPECT_EQ(c.rip, 0x40000u);
      if (r.user && !r.jump) {
        EXPECT_EQ(c.r[4], kStack0 - 32);
        EXPECT_EQ(frame(m, 0), kCodeAt + 7);
        EXPECT_EQ(frame(m, 1), 0x23u);
        EXPECT_EQ(frame(m, 2), TestMachine::kStack);
        EXPECT_EQ(frame(m, 3), 0x2bu);
        EXPECT_EQ(c.seg[SS].sel, 0u);
      }
      continue;
    }
    if (r.vector != TS && std::string_view(r.rule) != "RSP0 not canonical") {
      EXPECT_EQ(c.rip, TestMachine::kHandlers + 16 * static_cast<u64>(r.vector));
      EXPECT_EQ(m.error_code(), r.error);
    } else {
      EXPECT_NE(m.stop_.reason(), StopReason::none) << "no stack for any handler either";
    }
  }
}

// --- returns.   SDM 2 "IRET/IRETD/IRETQ", "RET" --------------------------------------------------------------------

struct ReturnRow { const char* rule; u64 rip, cs, flags, rsp, ss; int vector; u32 error; bool from_user; };
TEST(iret_64, each_rule) {
  const u64 high = u64{1} << 47;
  const ReturnRow rows[] = {
      {"same level", 0x40000, 0x08, 2, 0x44000, 0x10, -1, 0, false},
      {"same level, null SS", 0x40000, 0x08, 2, 0x44000, 0, -1, 0, false},
      {"to CPL 1, null SS", 0x40000, 0x59, 2, 0x44000, 1, -1, 0, false},
      {"to CPL 3", 0x40000, 0x23, 2, 0x44000, 0x2b, -1, 0, false},
      {"to CPL 3, null SS", 0x40000, 0x23, 2, 0x44000, 3, GP, 0, false},
      {"to compatibility mode", 0x40000, 0x33, 2, 0x44000, 0x2b, -1, 0, false},
      {"to compatibility mode of the same level, null SS", 0x40000, 0x18, 2, 0x44000, 0, GP, 0, false},
      {"null SS of another RPL", 0x40000, 0x08, 2, 0x44000, 1, GP, 0, false},
      {"null CS", 0x40000, 0, 2, 0x44000, 0x10, GP, 0, false},
      {"CS beyond the table", 0x40000, 0x1000, 2, 0x44000, 0x10, GP, 0x1000, false},
      {"CS is data", 0x40000, 0x10, 2, 0x44000, 0x10, GP, 0x10, false},
      {"CS of DPL 3 with RPL 0", 0x40000, 0x20, 2, 0x44000, 0x10, GP, 0x20, false},
      {"CS with L and D", 0x40000, 0x40, 2, 0x44000, 0x10, GP, 0x40, false},
      {"CS not present", 0x40000, 0x48, 2, 0x44000, 0x10, NP, 0x48, false},
      {"RIP not canonical", high, 0x08, 2, 0x44000, 0x10, GP, 0, false},
      {"to compatibility mode, where 32 bits of RIP count", 0x1'0004'0000, 0x33, 2, 0x44000, 0x2b, -1, 0, false},
      {"SS of another RPL", 0x40000, 0x23, 2, 0x44000, 0x28, GP, 0x28, false},
      {"SS of another DPL", 0x40000, 0x23, 2, 0x44000, 0x13, GP, 0x10, false},
      {"SS is code", 0x40000, 0x23, 2, 0x44000, 0x23, GP, 0x20, false},
      {"SS not present", 0x40000, 0x08, 2, 0x44000, 0x50, SS_, 0x50, false},
      {"SS beyond the table", 0x40000, 0x08, 2, 0x44000, 0x1000, GP, 0x1000, false},
      {"RSP is not looked at", 0x40000, 0x08, 2, high, 0x10, -1, 0, false},
      {"inward", 0x40000, 0x08, 2, 0x44000, 0x10, GP, 0x08, true},
      {"CPL 3 to itself", 0x40000, 0x23, 0x3000 | 0x202, 0x44000, 0x2b, -1, 0, true},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.rule);
    TestMachine m;
    Cpu& c = *m.cpu;
    c.gdtr.limit = 0xff;
    m.poke<u64>(TestMachine::kGdt + 0x40, 0x00ef9b000000ffff);
    m.poke<u64>(TestMachine::kGdt + 0x48, 0x00af1b000000ffff);
    m.poke<u64>(TestMachine::kGdt + 0x50, 0x00cf13000000ffff);
    m.poke<u64>(TestMachine::kGdt + 0x58, 0x00afbb000000ffff);   // 64-bit code of level 1
    if (r.from_user) user(m);
    const u64 image[] = {r.rip, r.cs, r.flags, r.rsp, r.ss};
    c.r[4] = 0x43000;
    m.mem.write(Hpa{0x43000}, image, sizeof image, WriteCause::loader);
    m.run({0x48, 0xcf}, 1);
    if (r.vector < 0) {
      EXPECT_EQ(c.rip, r.cs == 0x33 ? static_cast<u32>(r.rip) : r.rip);
      EXPECT_EQ(c.r[4], r.rsp);
      EXPECT_EQ(c.cpl(), r.cs & 3);
      EXPECT_EQ(c.seg[SS].sel, r.ss);
      EXPECT_EQ(c.seg[SS].unusable(), r.ss < 4);   // SDM 3C "Guest Register State": what VMX shows of a null selector
      EXPECT_EQ(c.seg[SS].dpl(), c.cpl());
      EXPECT_EQ(c.rflags(), r.from_user ? 2u : r.flags) << "IF and IOPL are out of reach at CPL 3";
    } else {
      EXPECT_EQ(c.rip, TestMachine::kHandlers + 16 * static_cast<u64>(r.vector));
      EXPECT_EQ(m.error_code(), r.error);
      EXPECT_EQ(frame(m, 1), kCodeAt);
    }
  }
}

// --- SYSENTER, SYSEXIT.   SDM 2 "SYSENTER", "SYSEXIT" ------------------------------------------------------------------

TEST(sysexit, each_rule) {
  const u64 high = u64{1} << 47;
  struct { const char* rule; Mode mode; bool wide, user; u64 cs, rip, rsp; int vector; u16 sel, ss; } rows[] = {
      {"protected mode", Mode::protected32, false, false, 0x18, 0x40000, 0x44000, -1, 0x2b, 0x33},
      {"null", Mode::protected32, false, false, 3, 0x40000, 0x44000, GP, 0, 0},
      {"from CPL 3", Mode::protected32, false, true, 0x18, 0x40000, 0x44000, GP, 0, 0},
      {"64 bits", Mode::long64, true, false, 0x18, 0x40000, 0x44000, -1, 0x3b, 0x43},
      {"64 bits, RIP not canonical", Mode::long64, true, false, 0x18, high, 0x44000, GP, 0, 0},
      {"64 bits, RSP not canonical", Mode::long64, true, false, 0x18, 0x40000, high, GP, 0, 0},
      {"compatibility mode takes 32 bits", Mode::long64, false, false, 0x18, high | 0x40000, high | 0x44000, -1, 0x2b, 0x33},
      {"the selectors wrap", Mode::long64, true, false, 0xfff8, 0x40000, 0x44000, -1, 0x1b, 0x23},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.rule);
    TestMachine m(r.mode);
    Cpu& c = *m.cpu;
    if (r.user) user(m);
    c.msr.sysenter_cs = r.cs;
    c.r[2] = r.rip, c.r[1] = r.rsp;
    m.run(r.wide ? Bytes{0x48, 0x0f, 0x35} : Bytes{0x0f, 0x35}, 1);
    if (r.vector >= 0) {
      EXPECT_EQ(c.rip, TestMachine::kHandlers + 16 * static_cast<u64>(r.vector));
      EXPECT_EQ(m.error_code(), 0u);
      continue;
    }
    EXPECT_EQ(c.rip, 0x40000u);
    EXPECT_EQ(c.r[4], 0x44000u);
    EXPECT_EQ(c.cpl(), 3u);
    EXPECT_EQ(c.seg[CS].sel, r.sel);
    EXPECT_EQ(c.seg[SS].sel, r.ss);
    EXPECT_EQ(c.code64_now, r.wide);
  }
}

// --- priorities.   SDM 3A "Priority Among Concurrent Events" ------------------------------------------------------------

/// What waits at one boundary, and which of it comes.
TEST(priority, among_what_waits_at_a_boundary) {
  struct { const char* rule; bool trap, nmi, interrupt, breakpoint; Bytes next; int vector; } rows[] = {
      {"trap before NMI", true, true, true, true, {0x0f, 0x0b}, DB},
      {"NMI before interrupts", false, true, true, true, {0x0f, 0x0b}, NMI},
      {"interrupts before instruction breakpoints", false, false, true, true, {0x0f, 0x0b}, 0x20},
      {"instruction breakpoints before faults of decoding", false, false, false, true, {0x0f, 0x0b}, DB},
      {"the instruction's own fault", false, false, false, false, {0x0f, 0x0b}, UD},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.rule);
    TestMachine m;
    Cpu& c = *m.cpu;
    c.apic.write_base(0xfee00100);
    c.set_rflags(0x202);
    if (r.trap) c.pending_debug = 0x4000;
    if (r.nmi) c.nmi_pending = true;
    if (r.interrupt) m.pic_level = true, c.pic_line(true);
    if (r.breakpoint) c.dr[0] = kCodeAt, c.dr[7] = 0x402;
    c.update();
    c.want_attention();
    m.run(r.next, 1);
    EXPECT_EQ(c.rip, TestMachine::kHandlers + 16 * static_cast<u64>(r.vector));
  }
}

TEST(priority, a_code_breakpoint_comes_before_the_page_fault_of_its_fetch) {
  TestMachine m;
  Cpu& c = *m.cpu;
  c.dr[0] = 0x80000000, c.dr[7] = 0x402;
  c.update();
  c.want_attention();
  c.rip = 0x80000000;
  m.resume(1);
  EXPECT_EQ(c.rip, TestMachine::kHandlers + 16 * DB);
}

// SDM 3B "Instruction-Breakpoint Exception Condition": where R/W is 0
TEST(debug, breakpoints_on_data_are_none_on_instructions) {
  for (unsigned n = 0; n < 4; ++n)
    for (unsigned rw : {0u, 1u, 3u}) {
      TestMachine m;
      Cpu& c = *m.cpu;
      c.dr[n] = kCodeAt + 1, c.dr[7] = 0x400 | 2u << (2 * n) | rw << (16 + 4 * n);
      c.update();
      c.want_attention();
      EXPECT_EQ(m.run({0x90, 0x90, 0x90}), rw ? -1 : DB) << n << ' ' << rw;
    }
}
TEST(debug, conditions_of_one_instruction_come_together) {  // SDM 3B "Debug Status Register (DR6)"
  TestMachine m;
  Cpu& c = *m.cpu;
  c.dr[0] = 0x30000, c.dr[1] = 0x30002, c.dr[2] = 0x30004, c.dr[3] = 0x30000;
  c.dr[7] = 0x400 | 0xff | 1u << 16 | 3u << 20 | 1u << 22 | 3u << 24 | 1u << 28 | 3u << 30;  // W1 RW2 RW1 W4
  c.dr[6] = 0xffff0ff0 | 0x2000;
  c.flags |= rflags::TF;
  c.update();
  EXPECT_EQ(m.run({0x89, 0x04, 0x25, 0, 0, 3, 0}), DB);  // mov [30000], eax
  EXPECT_EQ(c.dr[6], 0xffff0ff0u | 0x2000 | 0x4000 | 1 | 2 | 8) << "BD stays, as software has left it";
  TestMachine reading;
  reading.cpu->dr[0] = 0x30000, reading.cpu->dr[7] = 0x402 | 1u << 16;
  reading.cpu->update();
  EXPECT_EQ(reading.run({0x8b, 0x04, 0x25, 0, 0, 3, 0}), -1) << "a write breakpoint does not see reads";
}

/// Blocking by STI, MOV SS and POP SS is over after one instruction.   SDM 2 "STI", "MOV", "POP"; SDM 3B "Data Memory and I/O Breakpoint ..."
TEST(shadow, of_each_instruction) {
  struct { const char* what; Bytes code; bool interrupt_waits, nmi_waits, debug_waits; } rows[] = {
      {"NOP", {0x90}, false, false, false},
      {"STI with IF set", {0xfb}, false, false, false},
      {"MOV SS", {0x8e, 0xd0}, true, true, true},
      {"MOV DS", {0x8e, 0xd8}, false, false, false},
  };
  for (auto& r : rows)
    for (unsigned event = 0; event < 3; ++event) {
      SCOPED_TRACE(r.what);
      TestMachine m;
      Cpu& c = *m.cpu;
      c.apic.write_base(0xfee00100);
      c.set_rflags(0x202 | (event == 2 ? rflags::TF : 0));
      c.r[0] = 0x10;
      Bytes code = r.code;
      code.insert(code.end(), {0xff, 0xc3, 0xff, 0xc3});  // inc ebx; inc ebx
      c.want_attention();
      m.run(code, 1);
      if (event == 0) m.pic_level = true, c.pic_line(true);
      if (event == 1) c.nmi_pending = true, c.want_attention();
      const int vector = event == 0 ? 0x20 : event == 1 ? 2 : 1;
      EXPECT_EQ(m.resume(), vector);
      const bool waits = event == 0 ? r.interrupt_waits : event == 1 ? r.nmi_waits : r.debug_waits;
      EXPECT_EQ(frame(m, 0), kCodeAt + r.code.size() + (waits ? 2 : 0));
    }
}

TEST(shadow, of_sti_covers_one_instruction_even_hlt) {
  TestMachine m;
  Cpu& c = *m.cpu;
  c.apic.write_base(0xfee00100);
  m.pic_level = true;
  c.pic_line(true);
  EXPECT_EQ(m.run({0xfb, 0xf4}), 0x20);  // sti; hlt
  EXPECT_EQ(frame(m, 0), kCodeAt + 2);
}

TEST(nmi, is_held_once_while_blocked_and_comes_after_iret) {  // SDM 3A "Handling Multiple NMIs"
  TestMachine m;
  Cpu& c = *m.cpu;
  const Bytes handler = {0x49, 0xff, 0xc7, 0x90, 0x90, 0x48, 0xcf};  // inc r15; nop; nop; iretq
  m.mem.write(Hpa{0x28000}, handler.data(), handler.size(), WriteCause::loader);
  m.poke<u64>(TestMachine::kIdt + 16 * NMI, 0x8000u | u64{8} << 16 | u64{0x8e00} << 32 | u64{0x20000} << 32);
  c.nmi_pending = true;
  c.want_attention();
  m.run({0x90, 0x90}, 2);
  EXPECT_TRUE(c.nmi_blocked);
  for (unsigned n = 0; n < 3; ++n) c.nmi_pending = true, c.want_attention();
  EXPECT_EQ(m.resume(), -1);
  EXPECT_EQ(c.r[15], 2u) << "two of four";
  EXPECT_FALSE(c.nmi_blocked);
}

// --- deliveries that do not end ------------------------------------------------------------------------------------

/// Each delivery is a step: the budget ends it.
TEST(endless, fault_delivery_ends_by_the_step_limit) {
  {
    TestMachine m;  // #UD whose handler is UD2
    m.poke<u16>(TestMachine::kHandlers + 16 * UD, 0x0b0f);
    m.cpu->r[4] = 0xf00000;
    EXPECT_EQ(m.run({0x0f, 0x0b}, 5000), -3);
    EXPECT_EQ(m.steps, 5000u);
  }
  {
    TestMachine m;  // #AC at CPL 3, whose handler runs at CPL 3 and is misaligned too
    Cpu& c = *m.cpu;
    m.poke<u64>(TestMachine::kIdt + 16 * AC, 0x8000u | u64{0x23} << 16 | u64{0xee00} << 32 | u64{0x20000} << 32);
    const Bytes handler = {0x8b, 0x04, 0x25, 1, 0, 3, 0};
    m.mem.write(Hpa{0x28000}, handler.data(), handler.size(), WriteCause::loader);
    user(m);
    c.cr0 |= cr0::AM;
    c.flags |= rflags::AC;
    c.r[4] = 0xf00000;
    c.update();
    EXPECT_EQ(m.run(handler, 5000), -3);
    EXPECT_EQ(m.steps, 5000u);
    EXPECT_EQ(c.rip, 0x28000u);
  }
  {
    TestMachine m;  // #DB whose handler's first instruction has the breakpoint
    Cpu& c = *m.cpu;
    c.dr[0] = TestMachine::kHandlers + 16 * DB, c.dr[7] = 0x402;
    c.r[4] = 0xf00000;
    c.update();
    c.want_attention();
    EXPECT_EQ(m.run({0xf1}, 5000), -3);
    EXPECT_EQ(m.steps, 5000u);
  }
  {
    TestMachine m;  // #DE whose gate's stack faults: #PF whose handler faults ...
    Cpu& c = *m.cpu;
    m.poke<u16>(TestMachine::kHandlers + 16 * PF, 0x008b);  // mov eax, [rax]
    c.r[0] = 0x80000000, c.r[4] = 0xf00000;
    EXPECT_EQ(m.run({0x8b, 0x00}, 5000), -3);
    EXPECT_EQ(m.steps, 5000u);
  }
}

// --- gates of the IDT in protected mode, with EXT.   SDM 2 "INT n/INTO/INT3/INT1" ----------------------------------------

TEST(idt_32, each_rule_of_the_gates_code_segment) {
  struct { const char* rule; u64 code; bool user, vm86; int vector; u32 error; } rows[] = {
      {"nonconforming DPL 0 from CPL 0", 0x00cf9b000000ffff, false, false, -1, 0},
      {"nonconforming DPL 0 from CPL 3", 0x00cf9b000000ffff, true, false, -1, 0},
      {"conforming DPL 0 from CPL 3", 0x00cf9f000000ffff, true, false, -1, 0},
      {"DPL 3 from CPL 0", 0x00cffb000000ffff, false, false, GP, 0x40},
      {"conforming DPL 3 from CPL 0", 0x00cfff000000ffff, false, false, GP, 0x40},
      {"not present", 0x00cf1b000000ffff, false, false, NP, 0x40},
      {"data", 0x00cf93000000ffff, false, false, GP, 0x40},
      {"system", 0x0000890000000067, false, false, GP, 0x40},
      {"offset beyond the limit", 0x00409b0000000fff, false, false, GP, 0},
      {"from virtual-8086 mode to DPL 0", 0x00cf9b000000ffff, false, true, -1, 0},
      {"from virtual-8086 mode to DPL 3", 0x00cffb000000ffff, false, true, GP, 0x40},
      {"from virtual-8086 mode to conforming code", 0x00cf9f000000ffff, false, true, GP, 0x40},
  };
  for (auto& r : rows)
    for (bool software : {true, false}) {
      SCOPED_TRACE(r.rule);
      TestMachine m(Mode::protected32);
      Cpu& c = *m.cpu;
      c.gdtr.limit = 0xff;
      m.poke<u64>(TestMachine::kGdt + 0x40, r.code);
      const u64 to = TestMachine::kHandlers + 0x800;
      m.poke<u64>(TestMachine::kIdt + 8 * 0x40, (to & 0xffff) | u64{0x40} << 16 | u64{0xee00} << 32 | (to >> 16) << 48);
      m.poke<u64>(TestMachine::kIdt + 8 * UD, (to & 0xffff) | u64{0x40} << 16 | u64{0x8e00} << 32 | (to >> 16) << 48);
      if (r.user) user(m);
      if (r.vm86) {
        user(m);
        for (auto& s : c.seg) s = {0, 0xffff, 0xf3, 0};
        c.seg[CS] = {kCodeAt, 0xffff, 0xf3, kCodeAt >> 4};
        c.r[4] = 0xf000;
        c.flags |= rflags::VM | rflags::IOPL;
        c.update();
        m.mode = Mode::real;
      }
      m.run(software ? Bytes{0xcd, 0x40} : Bytes{0x0f, 0x0b}, 1);
      m.mode = Mode::protected32;
      EXPECT_EQ(c.rip, r.vector < 0 ? to : TestMachine::kHandlers + 16 * static_cast<u64>(r.vector));
      if (r.vector >= 0) {
        EXPECT_EQ(m.error_code(), r.error | (software ? 0 : 1));
      }
    }
}

// --- what a selector would do.   SDM 2 "LAR", "LSL", "VERR/VERW": their tables of segment and gate types ---------------

struct Asked { bool zf; u64 value; };
/// LAR, LSL, VERR or VERW of the selector in CX; EAX was all ones.
Asked ask(TestMachine& m, unsigned which, u16 selector) {
  static const std::vector<u8> kCode[] = {{0x0f, 0x02, 0xc1}, {0x0f, 0x03, 0xc1}, {0x0f, 0x00, 0xe1}, {0x0f, 0x00, 0xe9}};
  m.cpu->r[0] = 0xffff'ffff, m.cpu->r[1] = selector;
  m.cpu->set_rflags(m.cpu->rflags() ^ 0x40);   // ZF is set and cleared
  EXPECT_EQ(m.run(kCode[which]), -1);
  return {(m.cpu->rflags() & 0x40) != 0, m.cpu->r[0]};
}
TEST(selector_tests, every_type_in_every_mode) {
  constexpr unsigned kLar = 0b0001'1010'0011'1110, kLarLong = 0b0001'1010'0000'0100, kLsl = 0b0000'1010'0000'1110, kLslLong = 0b0000'1010'0000'0100;
  constexpr unsigned kReadable = 0b1100'1100'1111'1111, kWritable = 0b0000'0000'1100'1100;
  for (const auto mode : {TestMachine::Mode::protected32, TestMachine::Mode::long64}) {
    TestMachine m(mode);
    const bool wide = mode == TestMachine::Mode::long64;
    m.cpu->gdtr.limit = 0x7f;
    for (unsigned access = 0; access < 256; ++access)   // present or not makes no difference
      for (const bool g : {false, true})
        for (unsigned rpl = 0; rpl < 4; ++rpl) {
          const unsigned type = access & 15, dpl = access >> 5 & 3;
          const bool s = access & 0x10, conforming = s && type >= 12, reachable = conforming || dpl >= rpl;   // CPL is 0
          m.poke<u64>(TestMachine::kGdt + 0x70, 0x2345 | u64{access} << 40 | u64{1} << 48 | u64{g} << 55);
          const u16 selector = static_cast<u16>(0x70 | rpl);
          const bool expected[] = {reachable && (s || (wide ? kLarLong : kLar) >> type & 1), reachable && (s || (wide ? kLslLong : kLsl) >> type & 1), s && reachable && (kReadable >> type & 1),
                                   s && reachable && (kWritable >> type & 1)};
          const u64 values[] = {u64{access} << 8 | 0x10000 | u64{g} << 23, g ? u64{0x12345fff} : u64{0x12345}};
          for (unsigned which = 0; which < 4; ++which) {
            const Asked a = ask(m, which, selector);
            ASSERT_EQ(a.zf, expected[which]) << which << " of access byte " << std::hex << access << " by RPL " << rpl << (wide ? " in IA-32e mode" : "");
            if (which == 0) { ASSERT_EQ(a.value & 0xf0ff00, a.zf ? values[0] & 0xf0ff00 : 0xf0ff00) << std::hex << access; }
            if (which == 1) { ASSERT_EQ(a.value, a.zf ? values[1] : 0xffff'ffff) << std::hex << access; }
          }
        }
  }
}
TEST(selector_tests, null_and_beyond_the_table) {
  for (const auto mode : {TestMachine::Mode::protected32, TestMachine::Mode::long64})
    for (const u16 selector : {0, 1, 2, 3, 0x38, 0x3c, 0x70, 0x74, 0xfff8, 4, 0x0c})   // the last two: no LDT
      for (unsigned which = 0; which < 4; ++which) {
        TestMachine m(mode);
        m.poke<u64>(TestMachine::kGdt, 0x00cf93000000ffff);   // what a null selector would name
        m.cpu->ldtr = {0, 0, 0x10000, 0};
        const Asked a = ask(m, which, selector);
        EXPECT_FALSE(a.zf) << which << " of " << std::hex << selector;
        EXPECT_EQ(a.value, 0xffff'ffffu) << which << " of " << std::hex << selector;
      }
}

}  // namespace
}  // namespace vt::cpu
