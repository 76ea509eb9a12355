// SPDX-License-Identifier: GPL-2.0-or-later
/// 16 and 32-bit protected mode where the manual leaves the order of things to the processor: as the native judge has found them.
/// Compatibility mode, so that faults are delivered whatever the segments are like.
#include "harness.hpp"

namespace vt::cpu {
namespace {

class Compatibility : public TestMachine {
 public:
  static constexpr u64 kHole = 0x200000;  // not present
  Compatibility() {
    poke<u64>(kPml4 + 0x2000 + 8, 0);
    seg(CS, 0, ~0u, 0xc09b), seg(DS, 0, ~0u, 0xc093), seg(ES, 0, ~0u, 0xc093), seg(SS, 0, ~0u, 0xc093);
    cpu->r[4] = kStack + 8;  // the handler's frame begins below, at a multiple of 16
  }
  void seg(unsigned s, u64 base, u32 limit, u32 ar) {
    Segment& g = cpu->seg[s];
    g.base = base, g.limit = limit, g.ar = ar;
    cpu->update();
  }
  /// As `run`, and back to where it was.
  int start(std::vector<u8> code) {
    const u32 ar = cpu->seg[CS].ar, limit = cpu->seg[CS].limit;
    const u64 stack = cpu->r[4];
    const int vector = run(std::move(code));
    seg(CS, 0, limit, ar), cpu->r[4] = stack;
    return vector;
  }
};

// SDM 3A "Limit Checking": bytes of an instruction beyond the limit are #GP(0), before the page that they would be in is looked for.
TEST(narrow, the_code_segments_limit_comes_before_the_next_page) {
  for (u32 limit : {0xfffu, 0x1fffu}) {
    Compatibility m;
    m.seg(CS, Compatibility::kHole - 0x1000, limit, 0x409b);
    m.poke<u8>(Compatibility::kHole - 2, 0x0f), m.poke<u8>(Compatibility::kHole - 1, 0xaf);  // imul, without its ModRM
    m.cpu->rip = 0xffe;
    EXPECT_EQ(m.resume(), limit == 0xfff ? GP : PF);
  }
}

// SDM 2A "CALL": where the target is beyond the limit, the return address is in memory all the same.
TEST(narrow, a_call_beyond_the_limit_has_written_its_return_address) {
  for (bool indirect : {false, true}) {
    Compatibility m;
    m.seg(CS, 0, TestMachine::kCode + 0xff, 0xc09b);
    m.poke<u64>(TestMachine::kStack, 0);
    m.cpu->r[0] = TestMachine::kCode + 0x1005;
    EXPECT_EQ(m.run(indirect ? std::vector<u8>{0xff, 0xd0} : std::vector<u8>{0xe8, 0, 0x10, 0, 0}), GP);
    EXPECT_EQ(m.peek<u32>(TestMachine::kStack + 4), TestMachine::kCode + (indirect ? 2 : 5));
    EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 8), TestMachine::kCode) << "RIP";
    EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 32), TestMachine::kStack + 8) << "RSP is as it was";
  }
  Compatibility m;
  m.seg(CS, 0, TestMachine::kCode + 0xff, 0xc09b), m.seg(SS, 0, TestMachine::kStack, 0xc093);
  EXPECT_EQ(m.run({0xe8, 0, 0x10, 0, 0}), SS_) << "the write's own fault comes first";
}

// SDM 2B "POPA/POPAD"
TEST(narrow, popa_that_faults_has_loaded_what_was_there) {
  Compatibility m;
  for (u32 n = 0; n < 3; ++n) m.poke<u32>(Compatibility::kHole - 12 + 4 * n, 0x100 + n);
  for (unsigned n = 0; n < 8; ++n) m.cpu->r[n] = n;
  m.cpu->r[4] = Compatibility::kHole - 12;
  EXPECT_EQ(m.run({0x61}), PF);
  EXPECT_EQ(m.cpu->cr2, Compatibility::kHole);
  EXPECT_EQ(m.cpu->r[7], 0x100u) << "EDI";
  EXPECT_EQ(m.cpu->r[6], 0x101u) << "ESI";
  EXPECT_EQ(m.cpu->r[5], 0x102u) << "EBP";
  EXPECT_EQ(m.cpu->r[3], 3u) << "EBX";
  EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 32), Compatibility::kHole - 12) << "ESP is as it was";
}

// SDM 2A "ARPL"
TEST(narrow, arpl_writes_what_it_changes_alone) {
  Compatibility m;
  m.seg(DS, 0, ~0u, 0xc091);  // read-only
  m.cpu->r[6] = TestMachine::kData, m.cpu->r[1] = 1;
  for (u16 selector : {u16{1}, u16{3}, u16{0}}) {
    m.poke<u16>(TestMachine::kData, selector);
    EXPECT_EQ(m.start({0x63, 0x0e}), selector ? -1 : GP) << selector;  // arpl [esi], cx
  }
  m.cpu->r[6] = Compatibility::kHole;
  EXPECT_EQ(m.run({0x63, 0x0e}), PF);
  EXPECT_EQ(m.error_code(), 0u) << "a read";
}

// SDM 2A "BOUND"
TEST(narrow, bound_looks_at_the_lower_bound_first) {
  Compatibility m;
  m.seg(DS, TestMachine::kData, 0x1003, 0x4093);
  m.poke<u32>(TestMachine::kData + 0x1000, 10);
  m.cpu->r[6] = 0x1000;
  m.cpu->r[1] = 9;
  EXPECT_EQ(m.start({0x62, 0x0e}), BR);  // bound ecx, [esi]
  m.cpu->r[1] = 10;
  EXPECT_EQ(m.start({0x62, 0x0e}), GP) << "the upper bound is beyond the limit";
  m.seg(DS, TestMachine::kData, 0xffff, 0x4093);
  m.poke<u16>(TestMachine::kData + 0xfffe, 10), m.poke<u16>(TestMachine::kData, 12);
  for (u16 n : {u16{10}, u16{12}, u16{13}}) {
    m.cpu->r[1] = n;
    EXPECT_EQ(m.start({0x66, 0x67, 0x62, 0x0e, 0xfe, 0xff}), n == 13 ? BR : -1) << "16-bit addresses wrap between the two";
  }
}

// SDM 1 "Memory Alignment" of the SSE chapters; SDM 3A "Limit Checking"
TEST(narrow, misalignment_comes_before_the_stack_segments_limit) {
  Compatibility m;
  m.seg(SS, 0, 0xffff, 0x4093);
  m.cpu->r[5] = 0x20000;
  EXPECT_EQ(m.start({0x0f, 0x28, 0x45, 0x00}), SS_);  // movaps xmm0, [ebp]
  m.seg(SS, 0, 0xffff, 0x4093);
  m.cpu->r[5] = 0x20004;
  EXPECT_EQ(m.start({0x0f, 0x28, 0x45, 0x00}), GP);
}

// SDM 2A "FLD", "FBLD": ten bytes are eight and two, and a 16-bit address wraps between them.
TEST(narrow, sixteen_bit_addresses_of_ten_bytes_wrap_after_eight) {
  Compatibility m;
  m.seg(DS, TestMachine::kData, 0xffff, 0x4093);
  m.poke<u64>(TestMachine::kData + 0xfff8, u64{1} << 63), m.poke<u16>(TestMachine::kData, 0x4000);
  m.cpu->fpu = {}, m.cpu->fpu.cw = 0x37f;
  EXPECT_EQ(m.start({0x67, 0xdb, 0x2e, 0xf8, 0xff}), -1);  // fld tbyte [0xfff8]
  EXPECT_EQ(m.cpu->fpu.st[7].se, 0x4000);
  m.poke<u16>(TestMachine::kData, 0);
  EXPECT_EQ(m.start({0x67, 0xdb, 0x3e, 0xf8, 0xff}), -1);  // fstp tbyte [0xfff8]
  EXPECT_EQ(m.peek<u16>(TestMachine::kData), 0x4000);
}

// SDM 2B "POP": of a 32-bit element for a segment register 16 bits are read. SDM 2B "RET", "IRET": the last element is read first.
TEST(narrow, elements_of_the_stack_that_hold_selectors) {
  Compatibility m;
  m.poke<u16>(Compatibility::kHole - 2, 0x10);
  m.cpu->r[4] = Compatibility::kHole - 2;
  EXPECT_EQ(m.run({0x0f, 0xa1}), -1);  // pop fs
  EXPECT_EQ(m.cpu->seg[FS].sel, 0x10);
  EXPECT_EQ(m.cpu->r[4], Compatibility::kHole + 2);
  for (bool interrupt : {false, true}) {
    Compatibility n;
    n.cpu->r[4] = Compatibility::kHole;
    EXPECT_EQ(n.run({static_cast<u8>(interrupt ? 0xcf : 0xcb)}), PF);
    EXPECT_EQ(n.cpu->cr2, Compatibility::kHole + (interrupt ? 8 : 4));
  }
}

// SDM 2A "CALL": what is pushed is pushed onto the stack of the code that is called, 64-bit code's without a base.
TEST(narrow, a_far_call_to_64_bit_code_pushes_onto_a_64_bit_stack) {
  Compatibility m;
  m.seg(SS, 0x1000, 0xffff, 0x93);
  constexpr u32 kAfter = TestMachine::kCode + 7;
  EXPECT_EQ(m.run({0x9a, kAfter & 0xff, kAfter >> 8 & 0xff, kAfter >> 16, 0, 0x08, 0}), -1);
  EXPECT_EQ(m.cpu->rip, kAfter + 1);
  EXPECT_EQ(m.cpu->r[4], TestMachine::kStack);
  EXPECT_EQ(m.peek<u32>(TestMachine::kStack), kAfter);
}

// SDM 2B "LDS/LES/LFS/LGS/LSS"
TEST(narrow, sixteen_bit_addresses_of_far_pointers_wrap_before_the_selector) {
  Compatibility m;
  m.seg(DS, TestMachine::kData, 0xffff, 0x4093);
  m.poke<u16>(TestMachine::kData + 0xfffe, 0x1234), m.poke<u16>(TestMachine::kData, 0x10);
  EXPECT_EQ(m.run({0x67, 0x66, 0x0f, 0xb4, 0x0e, 0xfe, 0xff}), -1);  // lfs cx, [0xfffe]
  EXPECT_EQ(m.cpu->r[1] & 0xffff, 0x1234u);
  EXPECT_EQ(m.cpu->seg[FS].sel, 0x10);
}

}  // namespace
}  // namespace vt::cpu
