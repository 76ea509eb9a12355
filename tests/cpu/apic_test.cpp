// SPDX-License-Identifier: GPL-2.0-or-later
/// SDM 3A "Advanced Programmable Interrupt Controller (APIC)"
#include "../tested.hpp"
#include "harness.hpp"

namespace vt::cpu {
namespace {

using Message = ApicMessage;

struct ApicTest : ::testing::Test {
  TestMachine m{TestMachine::Mode::long64, {"+x2apic", "+tsc_deadline"}};
  LocalApic& a = m.cpu->apic;
  void enable() { a.write(0xf0, 0x1ff); }
  Message fixed(u8 vector, bool level = false) { Message x; x.vector = vector, x.level = level; return x; }
  bool x2apic() { return a.write_base(0xfee00d00); }
};

// "Local APIC State After Power-Up or Reset"
TEST_F(ApicTest, reset_values) {
  EXPECT_EQ(a.base(), 0xfee00900u);
  EXPECT_EQ(a.read(0x20), 0u);
  EXPECT_EQ(a.read(0x30) & 0xff, 0x14u);
  EXPECT_EQ(a.read(0xf0), 0xffu);
  EXPECT_EQ(a.read(0xe0), ~0u);
  for (u32 lvt : {0x2f0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370}) EXPECT_EQ(a.read(lvt), 0x10000u) << lvt;
  for (u32 zero : {0x80, 0xd0, 0x280, 0x300, 0x310, 0x380, 0x390, 0x3e0, 0x100, 0x200}) EXPECT_EQ(a.read(zero), 0u) << zero;
}

// "Local APIC State After It Has Been Software Disabled": LVT mask bits are set and stay so; fixed interrupts are not accepted.
TEST_F(ApicTest, software_disabled) {
  a.write(0x350, 0x700);
  EXPECT_EQ(a.read(0x350), 0x10700u);
  a.accept(fixed(0x40));
  EXPECT_EQ(a.pending(), -1);
  enable();
  a.write(0x350, 0x700);
  EXPECT_TRUE(a.extint_enabled());
  a.write(0xf0, 0xff);
  EXPECT_EQ(a.read(0x350), 0x10700u);
  EXPECT_FALSE(a.extint_enabled());
  Message nmi;
  nmi.mode = Message::Mode::nmi;
  a.accept(nmi);
  EXPECT_TRUE(m.cpu->nmi_pending);
}

// "Interrupt Acceptance for Fixed Interrupts", "Task and Processor Priorities"
TEST_F(ApicTest, priorities) {
  enable();
  a.accept(fixed(0x31));
  a.accept(fixed(0x52));
  EXPECT_EQ(a.pending(), 0x52);
  a.set_tpr(0x50);
  EXPECT_EQ(a.pending(), -1);
  a.set_tpr(0x4f);
  EXPECT_EQ(a.pending(), 0x52);
  EXPECT_EQ(a.acknowledge(), 0x52);
  EXPECT_EQ(a.read(0x100 + 0x20), 1u << 18);
  EXPECT_EQ(a.processor_priority(), 0x50);
  EXPECT_EQ(a.pending(), -1);
  a.accept(fixed(0x5f));
  EXPECT_EQ(a.pending(), -1);  // the same class
  a.accept(fixed(0x60));
  EXPECT_EQ(a.pending(), 0x60);
  a.write(0xb0, 0);
  a.set_tpr(0);
  EXPECT_EQ(a.read(0x100 + 0x20), 0u);
  EXPECT_EQ(a.acknowledge(), 0x60);
  a.write(0xb0, 0);
  EXPECT_EQ(a.acknowledge(), 0x5f);
  EXPECT_TRUE(m.eois.empty());
}

TEST_F(ApicTest, eoi_of_a_level_interrupt_is_broadcast) {
  enable();
  a.accept(fixed(0x41, true));
  EXPECT_EQ(a.read(0x1a0), 2u);
  EXPECT_EQ(a.acknowledge(), 0x41);
  a.write(0xb0, 0);
  ASSERT_EQ(m.eois.size(), 1u);
  EXPECT_EQ(m.eois[0], 0x41);
  EXPECT_EQ(a.acknowledge(), 0xff);  // spurious vector
}

// "Error Handling": ESR shows what happened up to the last write to it.
TEST_F(ApicTest, errors_are_latched_by_a_write) {
  enable();
  a.write(0x370, 0xfe);
  a.accept(fixed(5));
  EXPECT_EQ(a.read(0x280), 0u);
  a.write(0x280, 0);
  EXPECT_EQ(a.read(0x280), 0x40u);
  EXPECT_EQ(a.pending(), 0xfe);
  a.write(0x300, 3);  // send illegal vector
  a.read(0x2e0);      // no such register
  a.write(0x280, 0);
  EXPECT_EQ(a.read(0x280), 0xa0u);
  a.write(0x280, 0);
  EXPECT_EQ(a.read(0x280), 0u);
  EXPECT_TRUE(m.sent.empty());
}

// "Interrupt Command Register (ICR)"
TEST_F(ApicTest, icr) {
  enable();
  a.write(0x310, 0x05000000);
  a.write(0x300, 0x4500);  // INIT, assert
  a.write(0x300, 0x8500 | 0x80000);  // INIT level de-assert, all
  a.write(0x300, 0xc4608 & ~0x40000);  // SIPI, all but self
  a.write(0x300, 0x40055);  // self
  a.write(0x300, 0x0961);   // logical, lowest priority
  a.write(0x300, 0x0361);   // reserved mode
  ASSERT_EQ(m.sent.size(), 5u);
  EXPECT_EQ(m.sent[0].mode, Message::Mode::init);
  EXPECT_TRUE(m.sent[0].assert_);
  EXPECT_EQ(m.sent[0].destination, 5u);
  EXPECT_FALSE(m.sent[0].x2apic_destination);
  EXPECT_FALSE(m.sent[1].assert_);
  EXPECT_EQ(m.sent[2].mode, Message::Mode::sipi);
  EXPECT_EQ(m.sent[2].vector, 8);
  EXPECT_EQ(m.sent[2].shorthand, Message::Shorthand::all);
  EXPECT_EQ(m.sent[3].shorthand, Message::Shorthand::self);
  EXPECT_EQ(a.pending(), 0x55);
  EXPECT_TRUE(m.sent[4].logical);
  EXPECT_EQ(m.sent[4].mode, Message::Mode::lowest);
  EXPECT_EQ(a.read(0x300), 0x0361u);
  EXPECT_EQ(a.read(0x310), 0x05000000u);
}

TEST_F(ApicTest, init_and_startup) {
  Message i;
  i.mode = Message::Mode::init, i.assert_ = false;
  a.accept(i);
  EXPECT_FALSE(m.cpu->init_pending);
  i.assert_ = true;
  a.accept(i);
  EXPECT_TRUE(m.cpu->init_pending);
  i.mode = Message::Mode::sipi, i.vector = 0x9f;
  a.accept(i);
  EXPECT_TRUE(m.cpu->sipi_pending);
  EXPECT_EQ(m.cpu->sipi_vector, 0x9f);
}

// "MP Initialization Protocol Algorithm for MP Systems": the SIPI that follows an INIT is not lost, however soon it comes; the one before is.
TEST_F(ApicTest, startup_right_behind_init) {
  Cpu ap(m, m.cpu->model(), 1, false);
  Message init, sipi;
  init.mode = Message::Mode::init, sipi.mode = Message::Mode::sipi, sipi.vector = 0x9f;
  ap.apic.accept(sipi);
  ap.apic.accept(init);
  EXPECT_EQ(ap.run(1), 1u);
  EXPECT_EQ(ap.activity, Activity::wait_for_sipi);
  EXPECT_TRUE(ap.idle());
  ap.apic.accept(init);
  ap.apic.accept(sipi);
  EXPECT_EQ(ap.run(2), 2u);
  EXPECT_EQ(ap.activity, Activity::active);
  EXPECT_EQ(ap.seg[CS].base, 0x9f000u);
}

// "Determining IPI Destination"
TEST_F(ApicTest, destinations) {
  auto to = [&](u32 destination, bool logical, bool wide = false) {
    Message x;
    x.destination = destination, x.logical = logical, x.x2apic_destination = wide;
    return a.addressed(x);
  };
  EXPECT_TRUE(to(0, false));
  EXPECT_FALSE(to(1, false));
  EXPECT_TRUE(to(0xff, false));
  EXPECT_FALSE(to(1, true));
  a.write(0xd0, 0x02000000);
  EXPECT_TRUE(to(0x03, true));  // flat
  EXPECT_FALSE(to(0x04, true));
  a.write(0xe0, 0x0fffffff);
  a.write(0xd0, 0x32000000);
  EXPECT_TRUE(to(0x33, true));  // cluster 3
  EXPECT_FALSE(to(0x31, true));
  EXPECT_FALSE(to(0x22, true));
  EXPECT_TRUE(to(0xf2, true));
  ASSERT_TRUE(x2apic());
  EXPECT_EQ(a.read(0xd0), 1u);
  EXPECT_TRUE(to(1, true, true));
  EXPECT_FALSE(to(2, true, true));
  EXPECT_FALSE(to(0x10001, true, true));
  EXPECT_TRUE(to(0xffffffff, false, true));
  EXPECT_FALSE(to(0xff, false, true));
  a.write_base(0xfee00100);
  EXPECT_FALSE(to(0xff, false));
}

// "x2APIC State Transitions"
TEST_F(ApicTest, mode_transitions) {
  EXPECT_FALSE(a.write_base(0xfee00500));        // EXTD without EN
  EXPECT_FALSE(a.write_base(0xfee00900 | 1));    // reserved
  EXPECT_FALSE(a.write_base(u64{1} << 60 | 0xfee00900));
  EXPECT_TRUE(a.write_base(0xfee00100));
  EXPECT_FALSE(a.mmio_at(0xfee00000));
  EXPECT_TRUE(a.extint_enabled());
  EXPECT_FALSE(x2apic());                        // from disabled
  EXPECT_TRUE(a.write_base(0xfee00900));
  EXPECT_TRUE(a.mmio_at(0xfee00000));
  EXPECT_TRUE(x2apic());
  EXPECT_FALSE(a.mmio_at(0xfee00000));
  EXPECT_FALSE(a.write_base(0xfee00900));        // back without disabling
  EXPECT_TRUE(a.write_base(0xfee00100));
  TestMachine old(TestMachine::Mode::long64, {"-x2apic"});
  EXPECT_FALSE(old.cpu->apic.write_base(0xfee00d00));
}

// "x2APIC Register Address Space"
TEST_F(ApicTest, x2apic_registers) {
  u64 v = 0;
  EXPECT_FALSE(a.read_msr(0x802, v));  // not in this mode
  ASSERT_TRUE(x2apic());
  EXPECT_TRUE(a.write_msr(0x80f, 0x1ff));
  EXPECT_FALSE(a.write_msr(0x80f, 0x1000));
  EXPECT_TRUE(a.read_msr(0x802, v));
  EXPECT_FALSE(a.write_msr(0x802, 0));
  for (u32 write_only : {0x80b, 0x83f}) EXPECT_FALSE(a.read_msr(write_only, v)) << write_only;
  for (u32 absent : {0x800, 0x80e, 0x831, 0x8ff, 0x80c}) { EXPECT_FALSE(a.read_msr(absent, v)) << absent; EXPECT_FALSE(a.write_msr(absent, 0)) << absent; }
  for (u32 read_only : {0x803, 0x80a, 0x80d, 0x810, 0x818, 0x820, 0x839}) { EXPECT_TRUE(a.read_msr(read_only, v)) << read_only; EXPECT_FALSE(a.write_msr(read_only, 0)) << read_only; }
  EXPECT_FALSE(a.write_msr(0x80b, 1));
  EXPECT_FALSE(a.write_msr(0x828, 1));
  EXPECT_FALSE(a.write_msr(0x808, 0x100));
  EXPECT_TRUE(a.write_msr(0x830, 0x0000000700004500));
  ASSERT_EQ(m.sent.size(), 1u);
  EXPECT_EQ(m.sent[0].destination, 7u);
  EXPECT_TRUE(m.sent[0].x2apic_destination);
  EXPECT_TRUE(a.read_msr(0x830, v));
  EXPECT_EQ(v, 0x0000000700004500u);
  EXPECT_FALSE(a.write_msr(0x83f, 0x141));
  EXPECT_TRUE(a.write_msr(0x83f, 0x41));
  EXPECT_EQ(a.pending(), 0x41);
  EXPECT_TRUE(a.read_msr(0x830, v));
  EXPECT_EQ(v, 0x0000000700004500u);  // SELF IPI leaves ICR alone
}

// "APIC Timer"
TEST_F(ApicTest, one_shot_timer) {
  enable();
  m.time = 1000;
  a.write(0x3e0, 0xb);  // by 1
  a.write(0x320, 0x40);
  a.write(0x380, 500);
  EXPECT_EQ(m.timer, 1500u);
  m.time = 1200;
  EXPECT_EQ(a.read(0x390), 300u);
  m.time = 1500;
  EXPECT_EQ(a.read(0x390), 0u);
  m.cpu->timer_expired();
  EXPECT_EQ(a.pending(), 0x40);
  EXPECT_EQ(m.timer, ~u64{0});
  m.time = 9000;
  EXPECT_EQ(a.read(0x390), 0u);
}

TEST_F(ApicTest, divide_configuration) {
  enable();
  constexpr std::pair<u32, u64> kDivisors[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
  for (auto [code, by] : kDivisors) {
    a.write(0x320, 0x40);
    a.write(0x3e0, code);
    a.write(0x380, 100);
    EXPECT_EQ(m.timer, m.time + 100 * by);
  }
  a.write(0x3e0, 0);
  a.write(0x380, 100);
  m.time += 100;
  EXPECT_EQ(a.read(0x390), 50u);
  a.write(0x3e0, 1);  // the count goes on, slower
  EXPECT_EQ(a.read(0x390), 50u);
  EXPECT_EQ(m.timer, m.time + 200);
}

TEST_F(ApicTest, periodic_timer) {
  enable();
  a.write(0x3e0, 0xb);
  a.write(0x320, 0x20041);
  a.write(0x380, 100);
  EXPECT_EQ(m.timer, 100u);
  m.time = 100;
  m.cpu->timer_expired();
  EXPECT_EQ(m.timer, 200u);
  EXPECT_EQ(a.pending(), 0x41);
  m.time = 130;
  EXPECT_EQ(a.read(0x390), 70u);
  a.write(0x320, 0x30041);  // masked: nobody sees it
  EXPECT_EQ(m.timer, ~u64{0});
  m.time = 270;
  EXPECT_EQ(a.read(0x390), 30u);
  a.write(0x320, 0x20041);
  EXPECT_EQ(m.timer, 300u);
  a.write(0x380, 0);
  EXPECT_EQ(m.timer, ~u64{0});
}

// "TSC-Deadline Mode"
TEST_F(ApicTest, tsc_deadline) {
  enable();
  m.cpu->msr.tsc_deadline = 500;
  a.arm_deadline();
  EXPECT_EQ(m.cpu->msr.tsc_deadline, 0u);  // not in this mode
  a.write(0x320, 0x40042);
  m.cpu->msr.tsc_deadline = 500;
  a.arm_deadline();
  EXPECT_EQ(m.timer, 500u);
  a.write(0x380, 77);
  EXPECT_EQ(a.read(0x380), 0u);
  m.time = 500;
  m.cpu->timer_expired();
  EXPECT_EQ(m.cpu->msr.tsc_deadline, 0u);
  EXPECT_EQ(a.acknowledge(), 0x42);
  m.cpu->msr.tsc_deadline = 400;  // past
  a.arm_deadline();
  a.write(0xb0, 0);
  EXPECT_EQ(a.pending(), 0x42);
  m.cpu->msr.tsc_deadline = 4000;
  a.arm_deadline();
  a.write(0x320, 0x42);  // a change of mode disarms
  EXPECT_EQ(m.timer, ~u64{0});
  EXPECT_EQ(m.cpu->msr.tsc_deadline, 0u);
}

TEST_F(ApicTest, state_is_complete) {
  enable();
  a.write(0x320, 0x20041);
  a.write(0x380, 100);
  a.accept(fixed(0x80, true));
  SaveAr s;
  a.state(s);
  TestMachine other;
  LoadAr l(s.out);
  other.cpu->apic.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(other.cpu->apic.pending(), 0x80);
  SaveAr again;
  other.cpu->apic.state(again);
  EXPECT_EQ(s.out, again.out);
}

// "Local APIC Register Address Map", and each register's format: what is kept of all ones and of all zeros, at every place of the page; the rest is reserved and reads as zero
TEST_F(ApicTest, every_place_of_the_page) {
  struct { u32 at, of_ones, of_zeros; } rows[] = {
      {0x30, 0x60014, 0x60014}, {0x80, 0xff, 0}, {0xd0, 0xff000000, 0}, {0xe0, 0xffffffff, 0x0fffffff}, {0xf0, 0x1ff, 0}, {0x2f0, 0x107ff, 0}, {0x310, 0xff000000, 0},
      {0x320, 0x700ff, 0}, {0x330, 0x107ff, 0}, {0x340, 0x107ff, 0}, {0x350, 0x1a7ff, 0}, {0x360, 0x1a7ff, 0}, {0x370, 0x100ff, 0}, {0x380, 0xffffffff, 0}, {0x3e0, 0xb, 0}};
  for (u32 at = 0; at < 0x1000; at += 0x10) {
    if (at == 0x20 || at == 0x280 || at == 0x300 || at == 0x390) continue;   // the ID, what errors, sends and counts
    u32 ones = 0, zeros = 0;
    for (auto& r : rows) if (r.at == at) ones = r.of_ones, zeros = r.of_zeros;
    TestMachine fresh(TestMachine::Mode::long64, {"+x2apic", "+tsc_deadline"});
    LocalApic& x = fresh.cpu->apic;
    x.write(0xf0, 0x1ff);
    x.write(at, ~0u);
    EXPECT_EQ(x.read(at), ones) << std::hex << at;
    if (at == 0xf0) continue;   // zeros disable it, which sets masks
    x.write(at, 0);
    EXPECT_EQ(x.read(at), zeros) << std::hex << at;
  }
}

// The page is decoded in 4 KiB: nothing above 3F0H is a register, whatever a shorter address would mean
TEST_F(ApicTest, nothing_answers_above_the_registers) {
  ASSERT_TRUE(a.write_base(0x400900));   // where this machine has translations
  enable();
  m.cpu->careful = true;
  u32 v = 1;
  ASSERT_TRUE(m.cpu->load_at(0x400030, v));
  EXPECT_EQ(v, 0x60014u);
  for (u32 at = 0x400; at < 0x1000; at += 0x10) {
    ASSERT_TRUE(m.cpu->load_at(0x400000 + at, v)) << std::hex << at;
    EXPECT_EQ(v, 0u) << std::hex << at;
  }
  m.cpu->careful = false;
}

// "x2APIC Register Address Space": which registers can be read and written, and which bits are reserved. What is read-only within a register (delivery status, remote IRR) is left out.
TEST_F(ApicTest, every_register_of_the_x2apic) {
  constexpr u64 kReadOnly = 0x5000;
  struct { u32 msr; bool reads; u64 writable; } rows[] = {
      {0x802, true, 0}, {0x803, true, 0}, {0x808, true, 0xff}, {0x80a, true, 0}, {0x80b, false, 0}, {0x80d, true, 0}, {0x80f, true, 0x1ff}, {0x828, true, 0}, {0x82f, true, 0x107ff},
      {0x830, true, 0xffffffff000ccfff}, {0x832, true, 0x700ff}, {0x833, true, 0x107ff}, {0x834, true, 0x107ff}, {0x835, true, 0x1a7ff}, {0x836, true, 0x1a7ff}, {0x837, true, 0x100ff},
      {0x838, true, 0xffffffff}, {0x839, true, 0}, {0x83e, true, 0xb}, {0x83f, false, 0xff}};
  ASSERT_TRUE(x2apic());
  enable();
  for (u32 msr = 0x800; msr < 0x900; ++msr) {
    bool reads = msr >= 0x810 && msr < 0x828, zero = msr == 0x80b || msr == 0x828;
    u64 writable = 0, v;
    for (auto& r : rows) if (r.msr == msr) reads = r.reads, writable = r.writable;
    EXPECT_EQ(a.read_msr(msr, v), reads) << std::hex << msr;
    EXPECT_EQ(a.write_msr(msr, 0), writable || zero) << std::hex << msr;
    tested("MSR", msr, 66);
    for (unsigned b = 0; b < 64; ++b)
      if (!((kReadOnly | (msr == 0x839 ? ~u64{0} : 0)) >> b & 1)) { EXPECT_EQ(a.write_msr(msr, u64{1} << b), writable >> b & 1) << std::hex << msr << " bit " << std::dec << b; }
  }
}

// "Local APIC State After It Receives an INIT Reset (Wait-for-SIPI State)", and after it was disabled through IA32_APIC_BASE: as after power-up, whatever the registers held. The ID stays.
TEST_F(ApicTest, init_and_disabling_reset_every_register) {
  const auto fill = [](LocalApic& x) {
    x.write(0xf0, 0x1aa);
    for (u32 at : {0x80, 0xd0, 0xe0, 0x2f0, 0x310, 0x330, 0x340, 0x350, 0x360, 0x370}) x.write(at, 0x55555555 & (at >= 0x2f0 && at != 0x310 ? 0x7ff : ~0));
    x.write(0x3e0, 0xb), x.write(0x320, 0x40), x.write(0x380, 1000000);
    ApicMessage level;
    level.vector = 0x61, level.level = true;
    x.accept(level);
    x.acknowledge();
    level.vector = 0x71;
    x.accept(level);
    level.vector = 5;
    x.accept(level);   // an error
    x.write(0x300, 0x40061);
  };
  for (const bool init : {true, false}) {
    TestMachine fresh(TestMachine::Mode::long64, {"+x2apic", "+tsc_deadline"}), used(TestMachine::Mode::long64, {"+x2apic", "+tsc_deadline"});
    fill(used.cpu->apic);
    if (init) {
      used.cpu->init_pending = true, used.cpu->attention = true;
      used.cpu->run(1);
    } else {
      EXPECT_TRUE(used.cpu->apic.write_base(0xfee00100));
      EXPECT_TRUE(used.cpu->apic.write_base(0xfee00900));
    }
    for (u32 at = 0x20; at < 0x400; at += 0x10) EXPECT_EQ(used.cpu->apic.read(at), fresh.cpu->apic.read(at)) << std::hex << at << (init ? " after INIT" : " after disabling");
    EXPECT_EQ(used.cpu->apic.pending(), -1);
  }
}

// "Error Handling", "Valid Interrupt Vectors": 0 to 15 are illegal, received, sent or in the local vector table
TEST_F(ApicTest, vectors_from_16_on_are_legal) {
  const struct { const char* way; void (*happens)(TestMachine&, u8); u32 error; } rows[] = {
      {"received", [](TestMachine& t, u8 v) { ApicMessage x; x.vector = v; t.cpu->apic.accept(x); }, 0x40},
      {"received, lowest priority", [](TestMachine& t, u8 v) { ApicMessage x; x.vector = v, x.mode = Message::Mode::lowest; t.cpu->apic.accept(x); }, 0x40},
      {"sent to itself", [](TestMachine& t, u8 v) { t.cpu->apic.write(0x300, 0x40000u | v); }, 0x20},
  };
  for (auto& r : rows)
    for (unsigned v = 0; v < 256; ++v) {
      TestMachine t;
      t.cpu->apic.write(0xf0, 0x1ff);
      r.happens(t, static_cast<u8>(v));
      t.cpu->apic.write(0x280, 0);
      EXPECT_EQ(t.cpu->apic.read(0x280), v < 16 ? r.error : 0u) << r.way << " " << v;
      EXPECT_EQ(t.cpu->apic.pending(), v < 16 ? -1 : static_cast<int>(v)) << r.way << " " << v;
    }
}

}  // namespace
}  // namespace vt::cpu
