// SPDX-License-Identifier: GPL-2.0-or-later
/// String instructions: against the host's, against themselves one iteration at a time, and at faults.
/// SDM 1 "String Operations"; SDM 2B "REP/REPE/REPZ/REPNE/REPNZ"
#include <random>

#include "harness.hpp"
#include "native.hpp"

namespace vt::cpu {
namespace {

using Bytes = std::vector<u8>;
using Mode = TestMachine::Mode;
constexpr u64 kBuffer = 0x200000;  // two pages
constexpr unsigned kSize = 8192;

#ifdef VT_NATIVE
TEST(string, equals_the_hosts) {
  Native host;
  if (!host.ok()) GTEST_SKIP() << "no executable memory here";
  std::mt19937_64 rng{2};
  TestMachine m;
  std::vector<u8> ours(kSize), theirs(kSize);
  for (u8 op : {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf})
    for (Bytes prefix : {Bytes{}, Bytes{0x66}, Bytes{0x48}, Bytes{0xf3}, Bytes{0xf3, 0x66}, Bytes{0xf3, 0x48}, Bytes{0xf2}, Bytes{0xf2, 0x48}})
      for (unsigned k = 0; k < 40; ++k) {
        Bytes code = prefix;
        code.push_back(op);
        const bool down = rng() % 4 == 0;
        const unsigned count = static_cast<unsigned>(rng() % (k % 2 ? 12 : 200));
        const unsigned size = op & 1 ? (prefix.size() && prefix.back() == 0x48 ? 8 : prefix.size() && prefix.back() == 0x66 ? 2 : 4) : 1;
        const unsigned from = 2000 + static_cast<unsigned>(rng() % 2200);
        const unsigned to = k % 3 ? 2000 + static_cast<unsigned>(rng() % 4000) : from + static_cast<unsigned>(rng() % 20);  // often overlapping
        if (down) code.insert(code.begin(), 0xfd);
        for (auto& b : theirs) b = k % 4 == 0 ? 0x41 : static_cast<u8>(rng() % 3);
        ours = theirs;
        NativeState n;
        n.r[0] = k % 4 == 0 ? 0x4141414141414141 : rng() % 3;
        n.r[1] = count;
        n.flags = 2 | (rng() & rflags::kArith);
        n.r[6] = reinterpret_cast<u64>(theirs.data()) + from;
        n.r[7] = reinterpret_cast<u64>(theirs.data()) + to;
        m.mem.write(Hpa{kBuffer}, ours.data(), kSize, WriteCause::loader);
        m.cpu->r[0] = n.r[0], m.cpu->r[1] = count, m.cpu->r[6] = kBuffer + from, m.cpu->r[7] = kBuffer + to;
        m.cpu->set_rflags(n.flags);
        host.run(code, n);
        ASSERT_EQ(m.run(code), -1);
        m.mem.read(Hpa{kBuffer}, ours.data(), kSize);
        ASSERT_EQ(ours, theirs) << "op " << int(op) << " size " << size << " count " << count << " distance " << int(to - from) << (down ? " down" : "");
        ASSERT_EQ(m.cpu->r[0], n.r[0]);
        ASSERT_EQ(m.cpu->r[1], n.r[1]);
        ASSERT_EQ(m.cpu->r[6] - kBuffer, n.r[6] - reinterpret_cast<u64>(theirs.data()));
        ASSERT_EQ(m.cpu->r[7] - kBuffer, n.r[7] - reinterpret_cast<u64>(theirs.data()));
        ASSERT_EQ(m.cpu->rflags() & rflags::kArith, n.flags & rflags::kArith) << "op " << int(op);
      }
}
#endif

std::string hash(Cpu& c) { HashAr h; c.state(h); return h.hex(); }

// DESIGN "Time": one iteration is one step, a count of zero is one.
TEST(string, an_iteration_is_a_step) {
  TestMachine m;
  m.cpu->r[1] = 1000, m.cpu->r[6] = kBuffer, m.cpu->r[7] = kBuffer + 0x10000;
  EXPECT_EQ(m.run({0xf3, 0xa4}), -1);
  EXPECT_EQ(m.steps, 1000u + 1);
  m.cpu->r[1] = 0;
  EXPECT_EQ(m.run({0xf3, 0xa4}), -1);
  EXPECT_EQ(m.steps, 1u + 1);
  EXPECT_EQ(m.run({0xa4}), -1);
  EXPECT_EQ(m.steps, 1u + 1);
}

TEST(string, cuts_do_not_show) {
  const Bytes code = {0x90, 0xf3, 0xa4, 0xb9, 100, 0, 0, 0, 0xf3, 0x48, 0xab, 0xb9, 50, 0, 0, 0, 0xf2, 0xae, 0x90};
  auto start = [](TestMachine& m) { m.cpu->r[1] = 5000, m.cpu->r[6] = kBuffer + 100, m.cpu->r[7] = kBuffer + 103; m.poke<u8>(kBuffer + 100, 7); };
  for (u64 total : {2500, 4990, 5003, 5050, 5110, 5160, 5200}) {
    TestMachine whole;
    start(whole);
    whole.run(code, total);
    for (u64 cut : {1, 7, 64, 333}) {
      TestMachine m;
      start(m);
      m.run(code, 0);
      for (u64 done = 0; done < total;) {
        const u64 made = m.cpu->run(std::min<u64>(cut, total - done));
        if (!made) break;
        done += made;
      }
      ASSERT_EQ(hash(*m.cpu), hash(*whole.cpu)) << total << " cut " << cut;
      ASSERT_EQ(m.cpu->r[1], whole.cpu->r[1]);
    }
  }
}

// A fault leaves the registers as the iterations made so far left them.
TEST(string, registers_are_exact_at_a_fault) {
  for (bool rep_stos : {false, true}) {
    TestMachine m;
    m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, 0);  // 2 MiB to 4 MiB is not present
    m.cpu->r[0] = 0x5a, m.cpu->r[1] = 100, m.cpu->r[6] = 0x40000, m.cpu->r[7] = 0x200000 - 30;
    EXPECT_EQ(m.run({0xf3, static_cast<u8>(rep_stos ? 0xaa : 0xa4)}), 14);
    EXPECT_EQ(m.cpu->r[1], 70u);
    EXPECT_EQ(m.cpu->r[7], 0x200000u);
    EXPECT_EQ(m.cpu->r[6], rep_stos ? 0x40000u : 0x40000u + 30);
    EXPECT_EQ(m.cpu->cr2, 0x200000u);
    EXPECT_EQ(m.peek<u64>(m.cpu->r[4] + 8), TestMachine::kCode);  // the return address is the instruction's
    EXPECT_EQ(m.steps, 30u + 1 + 1);
  }
}

TEST(string, a_device_gets_each_access) {
  TestMachine m;
  m.cpu->r[0] = 0x11, m.cpu->r[1] = 5, m.cpu->r[7] = 0x2000000;  // beyond RAM
  EXPECT_EQ(m.run({0xf3, 0xaa}), -1);
  EXPECT_EQ(m.mmio_writes, 5u);
  EXPECT_EQ(m.last_mmio, 0x2000004u);
  EXPECT_EQ(m.cpu->r[1], 0u);
}

// 16-bit addresses wrap in the segment; a segment's limit is checked for every iteration.   SDM 3A "Limit Checking"
TEST(string, addresses_wrap_and_limits_hold) {
  TestMachine m(Mode::real);
  m.cpu->seg[ES].base = 0x30000;
  m.cpu->r[0] = 0x77, m.cpu->r[1] = 8, m.cpu->r[7] = 0xfffc;
  EXPECT_EQ(m.run({0xf3, 0xaa}), -1);
  EXPECT_EQ(m.peek<u8>(0x3ffff), 0x77);
  EXPECT_EQ(m.peek<u8>(0x30003), 0x77);
  EXPECT_EQ(m.peek<u8>(0x30004), 0);
  EXPECT_EQ(m.cpu->r[7], 4u);

  TestMachine p(Mode::protected32);
  p.cpu->seg[ES].base = 0x30000, p.cpu->seg[ES].limit = 9;
  p.cpu->update();
  p.cpu->r[0] = 0x77, p.cpu->r[1] = 20, p.cpu->r[7] = 0;
  EXPECT_EQ(p.run({0xf3, 0xaa}), 13);
  EXPECT_EQ(p.cpu->r[1], 10u);
  EXPECT_EQ(p.cpu->r[7], 10u);
}

// Dispatch is by jumps: a long chain must not use up the host's stack.
TEST(string, long_chains_leave_no_frames) {
  TestMachine m;
  m.cpu->r[1] = 400000, m.cpu->r[6] = kBuffer, m.cpu->r[3] = kBuffer;
  // l: mov rdi, rbx; stosq; scasb; cmpsb; mov rsi, rbx; btr [rbx], eax; bts [rbx], rax; loop l
  EXPECT_EQ(m.run({0x48, 0x89, 0xdf, 0x48, 0xab, 0xae, 0xa6, 0x48, 0x89, 0xde, 0x0f, 0xb3, 0x03, 0x48, 0x0f, 0xab, 0x03, 0xe2, 0xed}, 8000000), -1);
  EXPECT_EQ(m.cpu->r[1], 0u);
}

// INS and OUTS, with REP one port access per step.   SDM 1 "Block (String) I/O Instructions"
TEST(string, ins_and_outs) {
  TestMachine m;
  m.port_value = 0xabcd;
  m.cpu->r[1] = 3, m.cpu->r[2] = 0x1f0, m.cpu->r[7] = kBuffer;
  EXPECT_EQ(m.run({0xf3, 0x66, 0x6d}), -1);
  EXPECT_EQ(m.peek<u16>(kBuffer + 4), 0xabcd);
  EXPECT_EQ(m.cpu->r[7], kBuffer + 6);
  EXPECT_EQ(m.cpu->r[1], 0u);
  EXPECT_EQ(m.last_port, 0x1f0);
  EXPECT_EQ(m.steps, 4u);
  m.poke<u8>(kBuffer, 0x42);
  m.cpu->r[6] = kBuffer;
  EXPECT_EQ(m.run({0x6e}), -1);
  EXPECT_EQ(m.port_value, 0x42u);
  // A page that is not there: the port is not read.
  m.port_value = 1, m.last_port = 0, m.cpu->r[1] = 1, m.cpu->r[7] = u64{2} << 30;
  EXPECT_EQ(m.run({0xf3, 0x6c}), 14);
  EXPECT_EQ(m.last_port, 0);
}

// SDM 2B "REP/REPE/REPZ/REPNE/REPNZ": at a fault in CMPS or SCAS the flags are those from before the instruction; so they are, on the
// host, between two iterations.
TEST(string, a_comparison_writes_flags_when_it_is_over) {
  constexpr u64 kHole = 0x400000;
  for (bool scas : {false, true})
    for (u64 before : {rflags::kArith, u64{0}}) {
      TestMachine m;
      m.poke<u64>(TestMachine::kPml4 + 0x2000 + 16, 0);
      for (u64 k = 0; k < 64; ++k) m.poke<u8>(kHole - 64 + k, 7), m.poke<u8>(kBuffer + k, 7);
      const Bytes code{0xf3, static_cast<u8>(scas ? 0xae : 0xa6)};
      auto start = [&](u64 count) {
        m.cpu->r[0] = 7, m.cpu->r[1] = count, m.cpu->r[6] = kBuffer, m.cpu->r[7] = kHole - 64;
        m.cpu->set_rflags(before | 2);
      };
      start(100);
      EXPECT_EQ(m.run(code), PF);
      EXPECT_EQ(m.cpu->r[1], 36u);
      EXPECT_EQ(m.cpu->rflags() & rflags::kArith, before) << "after 64 equal elements";
      start(64);
      EXPECT_EQ(m.run(code), -1);
      EXPECT_EQ(m.cpu->rflags() & rflags::kArith, rflags::ZF | rflags::PF);
      start(64);
      m.run(code, 10);
      EXPECT_EQ(m.cpu->r[1], 54u);
      EXPECT_EQ(m.cpu->rflags() & rflags::kArith, before) << "between two iterations";
      m.resume();
      EXPECT_EQ(m.cpu->rflags() & rflags::kArith, rflags::ZF | rflags::PF);
    }
}

}  // namespace
}  // namespace vt::cpu
