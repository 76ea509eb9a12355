// SPDX-License-Identifier: GPL-2.0-or-later
/// General-purpose instructions where the host cannot be asked: legacy modes, privileges, faults, segments.
#include "harness.hpp"

namespace vt::cpu {
namespace {

using Bytes = std::vector<u8>;
using Mode = TestMachine::Mode;

/// 64-bit code at CPL 3, with a stack for what it raises and an I/O permission bitmap behind the TSS.
constexpr u64 kTss = 0xa000;
void enter_user(TestMachine& m) {
  m.cpu->seg[CS].ar = 0xa0fb, m.cpu->seg[CS].sel = 0x23, m.cpu->seg[SS].ar = 0xc0f3, m.cpu->seg[SS].sel = 0x2b;
  m.poke<u64>(kTss + 4, TestMachine::kStack - 0x1000);
  m.poke<u16>(kTss + 102, 104);
  m.cpu->tr.base = kTss, m.cpu->tr.limit = 104 + 66, m.cpu->tr.ar = 0x8b;
  m.cpu->update();
}

// SDM 2A "DAA", "DAS", "AAA", "AAS", "AAM", "AAD"
TEST(decimal, adjustments) {
  struct Case { Bytes code; u16 ax; u64 flags; u16 result; u64 flags_after; };
  constexpr u64 CF = rflags::CF, AF = rflags::AF, both = CF | AF;
  const Case cases[] = {
      {{0x27}, 0xae, 0, 0x14, both},       {{0x27}, 0x2e, 0, 0x34, AF},        {{0x27}, 0x79, 0, 0x79, 0},      {{0x27}, 0x9a, 0, 0x00, both},
      {{0x27}, 0x33, both, 0x99, both},    {{0x2f}, 0xee, both, 0x88, both},   {{0x2f}, 0x77, CF, 0x17, CF},    {{0x2f}, 0x05, AF, 0xff, both},
      {{0x37}, 0x000b, 0, 0x0101, both},   {{0x37}, 0x0205, 0, 0x0205, 0},     {{0x37}, 0x02f5, AF, 0x030b, both}, {{0x37}, 0x02fa, 0, 0x0400, both},
      {{0x3f}, 0x020f, 0, 0x0109, both},   {{0x3f}, 0x0205, 0, 0x0205, 0},     {{0x3f}, 0x0203, AF, 0x000d, both}, {{0xd4, 10}, 0x63, 0, 0x0909, 0},
      {{0xd4, 16}, 0xab, 0, 0x0a0b, 0},    {{0xd5, 10}, 0x0905, 0, 0x005f, 0}, {{0xd5, 16}, 0x0a0b, 0, 0x00ab, 0},
  };
  for (auto& k : cases) {
    TestMachine m(Mode::protected32);
    m.cpu->r[0] = k.ax;
    m.cpu->set_rflags(2 | k.flags);
    ASSERT_EQ(m.run(k.code), -1);
    EXPECT_EQ(m.cpu->r[0], k.result) << int(k.code[0]) << std::hex << " ax " << k.ax;
    EXPECT_EQ(m.cpu->rflags() & both, k.flags_after) << int(k.code[0]) << std::hex << " ax " << k.ax;
  }
  TestMachine m(Mode::protected32);
  EXPECT_EQ(m.run({0xd4, 0}), DE);
  TestMachine l;
  for (u8 op : {0x27, 0x2f, 0x37, 0x3f, 0xd4, 0xd5, 0x06, 0x60, 0x61, 0x62, 0x9a, 0xea, 0xce, 0x82, 0xd6}) EXPECT_EQ(l.run({op, 0xc0, 0, 0, 0, 0, 0, 0}), UD) << int(op);
}

// SDM 2A "DIV", "IDIV": #DE for zero and for quotients that do not fit; registers stay.
TEST(division, errors) {
  struct Case { Bytes code; u64 rax, rdx, rbx; int vector; };
  const Case cases[] = {
      {{0xf6, 0xf3}, 0x100, 0, 1, DE}, {{0xf6, 0xf3}, 5, 0, 0, DE}, {{0xf7, 0xf3}, 0, 1, 1, DE}, {{0x48, 0xf7, 0xf3}, 0, 5, 5, DE},
      {{0x48, 0xf7, 0xf3}, 0, 4, 5, -1}, {{0xf6, 0xfb}, 0xff80, 0, 0xff, DE}, {{0xf6, 0xfb}, 0x0080, 0, 1, DE}, {{0xf6, 0xfb}, 0xff80, 0, 1, -1},
      {{0x66, 0xf7, 0xfb}, 0x8000, 0xffff, 0xffff, DE}, {{0xf7, 0xfb}, 0x80000000, 0xffffffff, 0xffffffff, DE},
      {{0x48, 0xf7, 0xfb}, 0x8000000000000000, ~u64{0}, ~u64{0}, DE}, {{0x48, 0xf7, 0xfb}, 0x8000000000000000, ~u64{0}, 1, -1},
      {{0x48, 0xf7, 0xfb}, 0, 0x8000000000000000, 1, DE}, {{0x48, 0xf7, 0xfb}, 0, 0x8000000000000000, ~u64{0}, DE}, {{0x48, 0xf7, 0xfb}, 0, 0, 0, DE},
  };
  for (auto& k : cases) {
    TestMachine m;
    m.cpu->r[0] = k.rax, m.cpu->r[2] = k.rdx, m.cpu->r[3] = k.rbx;
    EXPECT_EQ(m.run(k.code), k.vector) << std::hex << k.rax << " " << k.rdx << " " << k.rbx;
    if (k.vector >= 0) { EXPECT_EQ(m.cpu->r[0], k.rax); EXPECT_EQ(m.cpu->r[2], k.rdx); }
  }
}

// SDM 2B "PUSH", "POP"
TEST(stack, push_and_pop) {
  TestMachine m;
  constexpr u64 kStack = TestMachine::kStack;
  EXPECT_EQ(m.run({0x54, 0x5b}), -1);  // push rsp; pop rbx: the old value
  EXPECT_EQ(m.cpu->r[3], kStack);
  EXPECT_EQ(m.run({0x6a, 0xff, 0x5c}), -1);  // pop rsp: the value popped
  EXPECT_EQ(m.cpu->r[4], ~u64{0});
  m.cpu->r[4] = kStack;
  EXPECT_EQ(m.run({0x68, 0x78, 0x56, 0x34, 0x92, 0x58}), -1);
  EXPECT_EQ(m.cpu->r[0], 0xffffffff92345678u);
  EXPECT_EQ(m.run({0x66, 0x50}), -1);
  EXPECT_EQ(m.cpu->r[4], kStack - 2);
  // pop [rsp]: the address is computed after the increment
  m.cpu->r[4] = kStack, m.poke<u64>(kStack, 0x1234), m.poke<u64>(kStack + 8, 0);
  EXPECT_EQ(m.run({0x8f, 0x04, 0x24}), -1);
  EXPECT_EQ(m.peek<u64>(kStack + 8), 0x1234u);
  // A POP whose store faults leaves RSP.
  m.cpu->r[4] = kStack, m.cpu->r[0] = u64{4} << 30;
  EXPECT_EQ(m.run({0x8f, 0x00}), PF);
  EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 8 * 4), kStack);
}

TEST(stack, enter_and_leave) {
  TestMachine m;
  constexpr u64 kStack = TestMachine::kStack;
  m.cpu->r[5] = 0x40100;
  m.poke<u64>(0x400f8, 0xaaaa), m.poke<u64>(0x400f0, 0xbbbb);
  EXPECT_EQ(m.run({0xc8, 0x20, 0, 3}), -1);
  EXPECT_EQ(m.peek<u64>(kStack - 8), 0x40100u);
  EXPECT_EQ(m.peek<u64>(kStack - 16), 0xaaaau);
  EXPECT_EQ(m.peek<u64>(kStack - 24), 0xbbbbu);
  EXPECT_EQ(m.peek<u64>(kStack - 32), kStack - 8);
  EXPECT_EQ(m.cpu->r[5], kStack - 8);
  EXPECT_EQ(m.cpu->r[4], kStack - 32 - 0x20);
  EXPECT_EQ(m.run({0xc9}), -1);
  EXPECT_EQ(m.cpu->r[4], kStack);
  EXPECT_EQ(m.cpu->r[5], 0x40100u);
}

TEST(stack, pusha_popa) {
  TestMachine m(Mode::protected32);
  for (unsigned n = 0; n < 8; ++n) if (n != 4) m.cpu->r[n] = 0x11111111u * (n + 1);
  EXPECT_EQ(m.run({0x60, 0x31, 0xc0, 0x31, 0xff, 0x61}), -1);
  for (unsigned n = 0; n < 8; ++n) EXPECT_EQ(m.cpu->r[n], n == 4 ? TestMachine::kStack : 0x11111111u * (n + 1));
  EXPECT_EQ(m.peek<u32>(TestMachine::kStack - 20), TestMachine::kStack);
}

// SDM 2B "PUSH": a segment register with a 32-bit operand writes 16 bits.
TEST(stack, segment_registers) {
  TestMachine m(Mode::protected32);
  m.poke<u32>(TestMachine::kStack - 4, 0xdeadbeef);
  EXPECT_EQ(m.run({0x1e}), -1);
  EXPECT_EQ(m.peek<u32>(TestMachine::kStack - 4), 0xdead0010u);
  EXPECT_EQ(m.run({0x07}), -1);
  EXPECT_EQ(m.cpu->seg[ES].sel, 0x10);
  EXPECT_EQ(m.cpu->r[4], TestMachine::kStack);
}

// SDM 2B "POPF/POPFD/POPFQ"
TEST(flags, popf_by_privilege) {
  struct Case { unsigned cpl; unsigned iopl; u64 popped, expected; };
  constexpr u64 IF = rflags::IF, IOPL = rflags::IOPL;
  const Case cases[] = {
      {0, 0, IF | IOPL, IF | IOPL}, {3, 0, IF | IOPL, 0}, {3, 3, IF, IF | IOPL}, {3, 3, 0, IOPL}, {0, 3, 0, 0}, {3, 0, rflags::AC | rflags::ID, rflags::AC | rflags::ID},
      {0, 0, rflags::VIP | rflags::VIF | rflags::VM | rflags::RF, 0}, {0, 0, rflags::NT | rflags::DF, rflags::NT | rflags::DF},
  };
  for (auto& k : cases) {
    TestMachine m;
    if (k.cpl == 3) enter_user(m);
    m.cpu->set_rflags(2 | u64{k.iopl} << 12);
    m.cpu->r[4] -= 8;
    m.poke<u64>(m.cpu->r[4], k.popped);
    m.run({0x9d}, 1);
    EXPECT_EQ(m.cpu->flags, k.expected | 2) << k.cpl << k.iopl << std::hex << " " << k.popped;
  }
}

TEST(flags, pushf_hides_rf_and_vm) {
  TestMachine m;
  m.cpu->set_rflags(0xad7 | rflags::RF);
  EXPECT_EQ(m.run({0x9c, 0x58}), -1);
  EXPECT_EQ(m.cpu->r[0], 0xad7u & ~u64{0x100});
}

// SDM 2A "CLI", 2B "STI": IOPL, PVI and the shadow.
TEST(flags, cli_and_sti) {
  TestMachine m;
  EXPECT_EQ(m.run({0xfb, 0xfa}), -1);
  EXPECT_FALSE(m.cpu->flags & rflags::IF);
  m.run({0xfb}, 1);
  EXPECT_TRUE(m.cpu->sti_shadow);
  EXPECT_TRUE(m.cpu->flags & rflags::IF);
  for (bool pvi : {false, true}) {
    TestMachine u;
    enter_user(u);
    if (pvi) u.cpu->cr4 |= cr4::PVI;
    EXPECT_EQ(u.run({0xfb, 0xfa, 0xfb, 0x0f, 0x0b}), pvi ? UD : GP);
    EXPECT_EQ(u.peek<u64>(u.cpu->r[4] + (pvi ? 16 : 24)) & (rflags::VIF | rflags::IF), pvi ? rflags::VIF : 0u);
  }
  TestMachine u;
  enter_user(u);
  u.cpu->cr4 |= cr4::PVI;
  u.cpu->set_rflags(2 | rflags::VIP);
  EXPECT_EQ(u.run({0xfa, 0xfb}), GP);  // STI with an interrupt pending for it
  EXPECT_EQ(u.peek<u64>(u.cpu->r[4] + 8), TestMachine::kCode + 1);
}

// SDM 2A "HLT" at CPL 3: #GP(0).
TEST(flags, hlt_is_privileged) {
  TestMachine m;
  enter_user(m);
  EXPECT_EQ(m.run({}), GP);
}

// SDM 2A "CALL", "RET", "JMP"
TEST(branch, near_transfers) {
  TestMachine m;
  // call +1; hlt; pop rax; jmp rax -> the hlt
  EXPECT_EQ(m.run({0xe8, 1, 0, 0, 0, 0xf4, 0x58, 0xff, 0xe0}), -1);
  EXPECT_EQ(m.cpu->r[0], TestMachine::kCode + 5);
  EXPECT_EQ(m.cpu->rip, TestMachine::kCode + 6);
  // ret 16
  m.cpu->r[4] = TestMachine::kStack - 8;
  m.poke<u64>(TestMachine::kStack - 8, TestMachine::kCode + 3);
  EXPECT_EQ(m.run({0xc2, 0x10, 0}), -1);
  EXPECT_EQ(m.cpu->r[4], TestMachine::kStack + 16);
  // a target that is not canonical: #GP, and nothing is pushed or popped
  m.cpu->r[4] = TestMachine::kStack - 8;
  m.poke<u64>(TestMachine::kStack - 8, u64{1} << 47);
  EXPECT_EQ(m.run({0xc3}), GP);
  EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 8), TestMachine::kCode);
  EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 32), TestMachine::kStack - 8);
  m.cpu->r[4] = TestMachine::kStack, m.cpu->r[0] = u64{1} << 63;
  EXPECT_EQ(m.run({0xff, 0xd0}), GP);
  EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 32), TestMachine::kStack);
}

// SDM 2A "JMP": 16-bit operand size truncates EIP; the code segment's limit is checked.
TEST(branch, truncation_and_limit) {
  TestMachine m(Mode::real);
  m.cpu->r[0] = 0x12345;
  m.poke<u8>(TestMachine::kCode + 0x2345, 0xf4);
  EXPECT_EQ(m.run({0xff, 0xe0}), -1);
  EXPECT_EQ(m.cpu->rip, 0x2346u);
  TestMachine l(Mode::real);
  l.cpu->r[0] = 0x12345;
  EXPECT_EQ(l.run({0x66, 0xff, 0xe0}), GP);
}

TEST(branch, bound_and_into_and_ud) {
  TestMachine m(Mode::protected32);
  m.poke<u32>(TestMachine::kData, static_cast<u32>(-5)), m.poke<u32>(TestMachine::kData + 4, 5);
  const Bytes bound = {0x62, 0x05, 0, 0, 3, 0};
  for (auto [v, vector] : {std::pair{-5, -1}, {5, -1}, {6, 5}, {-6, 5}}) {
    m.enter(Mode::protected32);
    m.cpu->r[0] = static_cast<u32>(v);
    EXPECT_EQ(m.run(bound), vector) << v;
  }
  m.enter(Mode::protected32);
  EXPECT_EQ(m.run({0xb0, 0x7f, 0xfe, 0xc0, 0xce}), 4);  // inc al overflows
  EXPECT_EQ(m.peek<u32>(m.cpu->r[4]), TestMachine::kCode + 5);
  m.enter(Mode::protected32);
  EXPECT_EQ(m.run({0x31, 0xc0, 0xce}), -1);
  TestMachine l;
  EXPECT_EQ(l.run({0x0f, 0x0b}), UD);
  EXPECT_EQ(l.run({0x0f, 0xb9, 0xc0}), UD);
  EXPECT_EQ(l.run({0x0f, 0xff, 0xc0}), UD);
  EXPECT_EQ(l.run({0xcc}), BP);
  EXPECT_EQ(l.run({0xcd, 0x55}), 0x55);
  EXPECT_EQ(l.run({0xf1}), DB);
}

// SDM 2A "CMPXCHG8B/CMPXCHG16B"
TEST(exchange, cmpxchg16b) {
  TestMachine m;
  Cpu& c = *m.cpu;
  m.poke<u64>(TestMachine::kData, 1), m.poke<u64>(TestMachine::kData + 8, 2);
  c.r[0] = 1, c.r[2] = 2, c.r[3] = 10, c.r[1] = 20, c.r[7] = TestMachine::kData;
  EXPECT_EQ(m.run({0xf0, 0x48, 0x0f, 0xc7, 0x0f}), -1);
  EXPECT_TRUE(c.lf.zf());
  EXPECT_EQ(m.peek<u64>(TestMachine::kData), 10u);
  EXPECT_EQ(m.peek<u64>(TestMachine::kData + 8), 20u);
  EXPECT_EQ(m.run({0xf0, 0x48, 0x0f, 0xc7, 0x0f}), -1);
  EXPECT_FALSE(c.lf.zf());
  EXPECT_EQ(c.r[0], 10u);
  EXPECT_EQ(c.r[2], 20u);
  c.r[7] += 8;
  EXPECT_EQ(m.run({0x48, 0x0f, 0xc7, 0x0f}), GP);
}

// SDM 2A "LOCK": #UD without a memory destination, or on an instruction that has none.
TEST(exchange, lock_only_where_allowed) {
  TestMachine m;
  m.cpu->r[7] = TestMachine::kData;
  EXPECT_EQ(m.run({0xf0, 0x01, 0x07}), -1);
  EXPECT_EQ(m.run({0xf0, 0x01, 0xc0}), UD);
  EXPECT_EQ(m.run({0xf0, 0x39, 0x07}), UD);
  EXPECT_EQ(m.run({0xf0, 0x8b, 0x07}), UD);
}

// SDM 3A "Limit Checking", "Type Checking": outside 64-bit mode.
TEST(segment_access, limits_and_types) {
  struct Case { u32 ar, limit; u32 offset; Bytes code; int vector; };
  const Bytes load = {0x8b, 0x03}, store = {0x89, 0x03}, stack_load = {0x36, 0x8b, 0x03};
  const Case cases[] = {
      {0xc093, 0xffff, 0xfffc, load, -1},   {0xc093, 0xffff, 0xfffd, load, GP},  {0xc093, 0xffff, 0xfffc, store, -1}, {0xc093, 0xffff, 0x10000, store, GP},
      {0xc091, ~0u, 0, load, -1},           {0xc091, ~0u, 0, store, GP},         // read-only data
      {0xc097, 0xfff, 0x1000, load, -1},    {0xc097, 0xfff, 0xffc, load, GP},    // expand-down
      {0x8097, 0xfff, 0xfffd, load, GP},    {0x8097, 0xfff, 0xfffc, load, -1},   // expand-down, B clear: up to 64 KiB
      {0xc099, ~0u, 0, load, GP},           {0xc09b, ~0u, 0, load, -1},          {0xc09b, ~0u, 0, store, GP},          // code
      {0x10000, 0, 0, load, GP},                                                 // null
  };
  for (auto& k : cases) {
    TestMachine m(Mode::protected32);
    m.cpu->seg[DS].ar = k.ar, m.cpu->seg[DS].limit = k.limit, m.cpu->seg[DS].base = 0x40000;
    m.cpu->update();
    m.cpu->r[3] = k.offset;
    EXPECT_EQ(m.run(k.code), k.vector) << std::hex << k.ar << " " << k.limit << " " << k.offset;
  }
  TestMachine m(Mode::protected32);
  m.cpu->seg[SS].limit = 0x5ffff;
  m.cpu->update();
  m.cpu->r[3] = 0x5fffd;
  EXPECT_EQ(m.run(stack_load), SS_);
}

// SDM 1 "Specifying an Offset": 16-bit addresses wrap, address-size prefixes truncate.
TEST(segment_access, address_sizes) {
  TestMachine r(Mode::real);
  r.cpu->seg[DS].base = 0x40000;
  r.poke<u8>(0x40004, 0x99);
  r.cpu->r[3] = 0xfffe, r.cpu->r[6] = 6;
  EXPECT_EQ(r.run({0x8a, 0x00}), -1);  // mov al, [bx+si]
  EXPECT_EQ(r.cpu->r[0] & 0xff, 0x99u);
  r.cpu->r[3] = 0xffff;
  EXPECT_EQ(r.run({0x8b, 0x07}), GP);  // a word at 0ffffh
  TestMachine l;
  l.poke<u32>(TestMachine::kData, 0xcafe);
  l.cpu->r[3] = 0xffffffff00000000 + TestMachine::kData;
  EXPECT_EQ(l.run({0x67, 0x8b, 0x03}), -1);
  EXPECT_EQ(l.cpu->r[0], 0xcafeu);
  l.cpu->seg[FS].base = TestMachine::kData - 0x10;
  EXPECT_EQ(l.run({0x64, 0x67, 0x8b, 0x0c, 0x25, 0x10, 0, 0, 0}), -1);
  EXPECT_EQ(l.cpu->r[1], 0xcafeu);
  EXPECT_EQ(l.run({0x48, 0xa1, 0, 0, 3, 0, 0, 0, 0, 0}), -1);
  EXPECT_EQ(l.cpu->r[0], 0xcafeu);
  // bit strings: the register reaches far, both ways
  l.poke<u8>(TestMachine::kData - 100, 2);
  l.cpu->r[7] = TestMachine::kData, l.cpu->r[1] = static_cast<u64>(-800 + 1);
  EXPECT_EQ(l.run({0x48, 0x0f, 0xa3, 0x0f}), -1);
  EXPECT_TRUE(l.cpu->lf.cf());
}

TEST(segment_access, far_pointers_and_moves) {
  TestMachine m(Mode::protected32);
  m.poke<u32>(TestMachine::kData, 0x1234), m.poke<u16>(TestMachine::kData + 4, 0x28);
  EXPECT_EQ(m.run({0xc4, 0x1d, 0, 0, 3, 0}), -1);  // les ebx, [kData]
  EXPECT_EQ(m.cpu->r[3], 0x1234u);
  EXPECT_EQ(m.cpu->seg[ES].sel, 0x28);
  EXPECT_EQ(m.run({0x8e, 0xc8}), UD);  // mov cs, ax
  TestMachine n(Mode::protected32);
  EXPECT_EQ(n.run({0x8e, 0xf8}), UD);  // no such segment register
  TestMachine s;
  s.cpu->r[0] = 0x10;
  s.run({0x8e, 0xd0}, 1);
  EXPECT_TRUE(s.cpu->movss_shadow);
  EXPECT_EQ(s.run({0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x8c, 0xd0}), -1);
  EXPECT_EQ(s.cpu->r[0], 0x10u);  // zero-extended
}

// SDM 1 "I/O Permission Bit Map"
TEST(io, permission_bitmap) {
  struct Case { u16 port; Bytes code; bool allowed; };
  const Case cases[] = {{0x60, {0xec}, true}, {0x61, {0xec}, false}, {0x60, {0x66, 0xed}, false}, {0x80, {0xee}, true}, {0x400, {0xec}, false}};
  for (auto& k : cases) {
    TestMachine m;
    enter_user(m);
    for (unsigned n = 0; n < 66; ++n) m.poke<u8>(kTss + 104 + n, n == 0x60 / 8 ? 2 : 0);
    m.cpu->r[2] = k.port;
    m.last_port = 0;
    Bytes code = k.code;
    code.insert(code.end(), {0x0f, 0x0b});
    EXPECT_EQ(m.run(code), k.allowed ? UD : GP) << k.port;
    EXPECT_EQ(m.last_port == k.port, k.allowed) << k.port;
  }
}

TEST(io, in_and_out) {
  TestMachine m;
  m.port_value = 0xdeadbeefcafe;
  m.cpu->r[0] = ~u64{0}, m.cpu->r[2] = 0x10cf8;
  EXPECT_EQ(m.run({0xec}), -1);
  EXPECT_EQ(m.cpu->r[0], 0xfffffffffffffffeu);
  EXPECT_EQ(m.last_port, 0x0cf8);
  EXPECT_EQ(m.run({0x66, 0xe5, 0x80}), -1);
  EXPECT_EQ(m.cpu->r[0], 0xffffffffffffcafeu);
  EXPECT_EQ(m.run({0x48, 0xed}), -1);
  EXPECT_EQ(m.cpu->r[0], 0xbeefcafeu);
  EXPECT_EQ(m.run({0xe6, 0xe9}), -1);
  EXPECT_EQ(m.last_port, 0xe9);
  EXPECT_EQ(m.port_value, 0xfeu);
}

TEST(features, absent_ones_fall_back_or_fault) {
  TestMachine m(Mode::long64, {"-bmi1", "-abm", "-popcnt", "-movbe"});
  m.cpu->r[0] = 0x55, m.cpu->r[1] = 0;
  EXPECT_EQ(m.run({0xf3, 0x0f, 0xbc, 0xc1}), -1);  // TZCNT is BSF: the destination stays
  EXPECT_EQ(m.cpu->r[0], 0x55u);
  EXPECT_TRUE(m.cpu->lf.zf());
  m.cpu->r[1] = 0x10;
  EXPECT_EQ(m.run({0xf3, 0x0f, 0xbd, 0xc1}), -1);
  EXPECT_EQ(m.cpu->r[0], 4u);
  EXPECT_EQ(m.run({0xf3, 0x0f, 0xb8, 0xc1}), UD);
  EXPECT_EQ(m.run({0x0f, 0x38, 0xf0, 0x07}), UD);
}

TEST(hints, do_nothing) {
  TestMachine m;
  m.cpu->r[0] = u64{1} << 62;
  for (Bytes b : {Bytes{0x0f, 0x18, 0x00}, {0x0f, 0x0d, 0x08}, {0x0f, 0x1f, 0x00}, {0xf3, 0x0f, 0x1e, 0xfa}, {0xf3, 0x90}, {0x0f, 0xae, 0xe8}, {0x0f, 0xae, 0xf0}, {0x0f, 0xae, 0xf8}})
    EXPECT_EQ(m.run(b), -1);
  EXPECT_EQ(m.run({0x0f, 0xae, 0x38}), GP);  // CLFLUSH checks its address
  m.cpu->r[0] = u64{4} << 30;
  EXPECT_EQ(m.run({0x0f, 0xae, 0x38}), PF);
  m.cpu->r[0] = 0x2000000;
  EXPECT_EQ(m.run({0x0f, 0xae, 0x38}), -1);
  EXPECT_EQ(m.mmio_reads, 0u);
}

}  // namespace
}  // namespace vt::cpu
