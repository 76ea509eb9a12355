// SPDX-License-Identifier: GPL-2.0-or-later
#include "harness.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;

// mov ecx, 1000; loop: add rax, rcx; dec ecx; jnz loop
const std::vector<u8> kLoop = {0xb9, 0xe8, 0x03, 0, 0, 0x48, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xf9};

std::string hash(Cpu& c) { HashAr h; c.state(h); return h.hex(); }

TEST(engine, steps_are_instructions) {
  TestMachine m;
  EXPECT_EQ(m.run(kLoop), -1);
  EXPECT_EQ(m.cpu->r[0], 500500u);
  EXPECT_EQ(m.steps, 1u + 3 * 1000 + 1);  // with the HLT
}

// DESIGN: the state at any step is the same however execution was cut.
TEST(engine, cuts_do_not_show) {
  TestMachine whole;
  whole.run(kLoop, 1777);
  for (u64 cut : {1, 2, 3, 7, 64, 100, 333}) {
    TestMachine m;
    m.run(kLoop, 0);
    m.cpu->rip = TestMachine::kCode;
    for (u64 done = 0; done < 1777;) done += m.cpu->run(std::min<u64>(cut, 1777 - done));
    EXPECT_EQ(hash(*m.cpu), hash(*whole.cpu)) << cut;
  }
}

TEST(engine, dropping_derived_state_does_not_show) {
  TestMachine a, b;
  a.run(kLoop, 999);
  b.run(kLoop, 500);
  b.cpu->drop_derived();
  for (u64 done = 500; done < 999;) done += b.cpu->run(999 - done);
  EXPECT_EQ(hash(*a.cpu), hash(*b.cpu));
}

// SDM 3A "Self-Modifying Code": the store changes an instruction of its own block.
TEST(engine, a_store_into_the_running_block_is_seen_at_once) {
  TestMachine m;
  // mov byte [rip+5], 0x42 (changes the immediate of what follows); nop nop; mov al, 0 -> 0x42
  const std::vector<u8> code = {0xc6, 0x05, 0x03, 0, 0, 0, 0x42, 0x90, 0x90, 0xb0, 0x00};
  EXPECT_EQ(m.run(code), -1);
  EXPECT_EQ(m.cpu->r[0] & 0xff, 0x42u);
}

TEST(engine, an_instruction_across_a_page_end_runs) {
  TestMachine m;
  // jmp to 4 bytes before the page's end; mov eax, imm32 there; then hlt
  const u64 at = TestMachine::kCode + 0x1000 - 3;
  const u8 mov[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xf4};
  m.mem.write(Hpa{at}, mov, sizeof mov, WriteCause::loader);
  const u32 rel = static_cast<u32>(at - (TestMachine::kCode + 5));
  EXPECT_EQ(m.run({0xe9, static_cast<u8>(rel), static_cast<u8>(rel >> 8), 0, 0}), -1);
  EXPECT_EQ(m.cpu->r[0], 0x12345678u);
}

TEST(engine, device_accesses_are_done_once) {
  TestMachine m;
  m.mmio_value = 0x11223344;
  // mov ebx, 0x2000000 (no RAM there); mov eax, [rbx]; add dword [rbx], 1
  EXPECT_EQ(m.run({0xbb, 0, 0, 0, 2, 0x8b, 0x03, 0x83, 0x03, 0x01}), -1);
  EXPECT_EQ(m.cpu->r[0], 0x11223344u);
  EXPECT_EQ(m.mmio_reads, 2u);
  EXPECT_EQ(m.mmio_writes, 1u);
  EXPECT_EQ(m.mmio_value, 0x11223345u);
  EXPECT_EQ(m.last_mmio, 0x2000000u);
}

// A block of one does not chain, however warm the blocks behind it are: the trap comes after one instruction.
TEST(engine, single_stepping_stops_after_each_instruction) {
  TestMachine m;
  m.run(kLoop);
  m.cpu->rip = TestMachine::kCode;
  m.cpu->flags |= rflags::TF;
  EXPECT_EQ(m.resume(), DB);
  EXPECT_EQ(m.peek<u64>(m.cpu->r[4]), TestMachine::kCode + 5);  // the return address: behind the first instruction
}

TEST(engine, undefined_opcode_is_ud) {
  TestMachine m;
  EXPECT_EQ(m.run({0x0f, 0x0b}), UD);
  EXPECT_EQ(m.run({0x06}), UD);               // PUSH ES in 64-bit mode
  EXPECT_EQ(m.run({0xf0, 0x90}), UD);         // LOCK NOP
  EXPECT_EQ(m.run({0xf0, 0x01, 0xc8}), UD);   // LOCK with a register destination
}

TEST(engine, fifteen_bytes_are_the_limit) {
  TestMachine m;
  std::vector<u8> code(14, 0x66);
  code.push_back(0x90);
  EXPECT_EQ(m.run(code), -1);
  code.insert(code.begin(), 0x66);
  EXPECT_EQ(m.run(code), GP);
}

}  // namespace
}  // namespace vt::cpu
