// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pic8259.hpp"
#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Pic : testing::Test {
  FakeLine intr;
  Pic8259 dev{intr};
  u8 in(unsigned r) { return static_cast<u8>(dev.read(r, 1)); }
  void put(unsigned r, unsigned v) { dev.write(r, 1, v); }
  void init(u8 icw4 = 1) {  // 8259A "Initialization Command Words"
    put(0, 0x11), put(1, 0x20), put(1, 0x04), put(1, icw4);
    put(2, 0x11), put(3, 0x28), put(3, 0x02), put(3, 0x01);
  }
  void pulse(unsigned n) { dev.input(n).set(true), dev.input(n).set(false); }
  u8 irr(unsigned c) { put(2 * c, 0x0a); return in(2 * c); }
  u8 isr(unsigned c) { put(2 * c, 0x0b); return in(2 * c); }
};
}  // namespace

TEST_F(Pic, nothing_happens_before_initialization) {
  dev.input(1).set(true);
  EXPECT_FALSE(intr.level);
  init();
  EXPECT_FALSE(intr.level);  // ICW1 resets the edge sense circuit
  dev.input(1).set(false), dev.input(1).set(true);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x21);
}

TEST_F(Pic, imr_reads_back) {
  init();
  EXPECT_EQ(in(1), 0);
  put(1, 0xfb), put(3, 0xff);
  EXPECT_EQ(in(1), 0xfb);
  EXPECT_EQ(in(3), 0xff);
}

TEST_F(Pic, fully_nested_priorities) {  // 8259A "Fully Nested Mode"
  init();
  dev.input(4).set(true);
  EXPECT_EQ(dev.acknowledge(), 0x24);
  EXPECT_EQ(isr(0), 0x10);
  EXPECT_EQ(irr(0), 0x00);
  dev.input(5).set(true);
  EXPECT_FALSE(intr.level);
  dev.input(1).set(true);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x21);
  put(0, 0x20);  // non-specific EOI takes the highest
  EXPECT_EQ(isr(0), 0x10);
  EXPECT_FALSE(intr.level);
  put(0, 0x64);  // specific
  EXPECT_EQ(isr(0), 0x00);
  EXPECT_EQ(dev.acknowledge(), 0x25);
}

TEST_F(Pic, slave_through_the_cascade) {
  init();
  dev.input(8).set(true);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x28);
  EXPECT_EQ(isr(0), 0x04);
  EXPECT_EQ(isr(1), 0x01);
  EXPECT_FALSE(intr.level);
  dev.input(12).set(true);
  put(0, 0x20);
  EXPECT_FALSE(intr.level);
  put(2, 0x20);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x2c);
}

TEST_F(Pic, special_fully_nested_master_lets_the_slave_nest) {  // 8259A "The Special Fully Nested Mode"
  init(0x11);
  dev.input(12).set(true);
  EXPECT_EQ(dev.acknowledge(), 0x2c);
  dev.input(9).set(true);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x29);
}

TEST_F(Pic, an_edge_that_falls_is_spurious) {  // 8259A "Edge and Level Triggered Modes"
  init();
  pulse(3);
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x27);
  EXPECT_EQ(isr(0), 0);
  dev.input(11).set(true);
  put(3, 0xff);  // masked between INTR and INTA
  EXPECT_EQ(dev.acknowledge(), 0x27);
}

TEST_F(Pic, a_slave_that_withdraws_leaves_the_masters_spurious_vector) {
  init();
  dev.input(11).set(true);
  put(2, 0x0c);  // a poll of the slave takes its request away
  EXPECT_EQ(in(2), 0x83);
  EXPECT_EQ(isr(1), 0x08);
  put(2, 0x63);
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x27);
}

TEST_F(Pic, level_inputs_follow_elcr) {  // ICH9 "ELCR1", "ELCR2"
  init();
  put(4, 0xff), put(5, 0xff);
  EXPECT_EQ(in(4), 0xf8);
  EXPECT_EQ(in(5), 0xde);
  dev.input(10).set(true);
  EXPECT_EQ(dev.acknowledge(), 0x2a);
  put(2, 0x20), put(0, 0x20);
  EXPECT_TRUE(intr.level);  // still driven
  EXPECT_EQ(dev.acknowledge(), 0x2a);
  dev.input(10).set(false);
  put(2, 0x20), put(0, 0x20);
  EXPECT_FALSE(intr.level);
}

TEST_F(Pic, special_mask_mode_enables_lower_levels) {  // 8259A "Special Mask Mode"
  init();
  dev.input(1).set(true);
  dev.acknowledge();
  dev.input(6).set(true);
  EXPECT_FALSE(intr.level);
  put(1, 0x02), put(0, 0x68);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(dev.acknowledge(), 0x26);
  put(0, 0x20);  // the masked level is not ended by a non-specific EOI
  EXPECT_EQ(isr(0), 0x02);
  put(0, 0x61), put(0, 0x48);
  EXPECT_EQ(isr(0), 0x00);
}

TEST_F(Pic, automatic_eoi_and_its_rotation) {  // 8259A "Automatic End of Interrupt (AEOI) Mode", "Automatic Rotation"
  init(3);
  dev.input(3).set(true);
  EXPECT_EQ(dev.acknowledge(), 0x23);
  EXPECT_EQ(isr(0), 0);
  put(0, 0x80);  // rotate in AEOI mode
  dev.input(4).set(true);
  EXPECT_EQ(dev.acknowledge(), 0x24);  // now lowest
  dev.input(3).set(false), dev.input(4).set(false);
  dev.input(3).set(true), dev.input(4).set(true), dev.input(5).set(true);
  EXPECT_EQ(dev.acknowledge(), 0x25);
  EXPECT_EQ(dev.acknowledge(), 0x23);
  EXPECT_EQ(dev.acknowledge(), 0x24);
  put(0, 0x00);
}

TEST_F(Pic, rotation_on_eoi_and_set_priority) {  // 8259A "Specific Rotation"
  init();
  put(0, 0xc4);  // IR4 lowest: IR5 highest
  dev.input(0).set(true), dev.input(5).set(true), dev.input(4).set(true);
  EXPECT_EQ(dev.acknowledge(), 0x25);
  put(0, 0xa0);  // rotate on non-specific EOI: IR5 lowest, IR6 highest
  EXPECT_EQ(dev.acknowledge(), 0x20);
  put(0, 0xe3);  // rotate on specific EOI of a level not in service
  EXPECT_EQ(isr(0), 0x01);
  put(0, 0x20);
  EXPECT_EQ(dev.acknowledge(), 0x24);
}

TEST_F(Pic, poll_command_acknowledges) {  // 8259A "Poll Command"
  init();
  put(0, 0x0c);
  EXPECT_EQ(in(0), 0x00);
  dev.input(6).set(true);
  put(0, 0x0c);
  EXPECT_EQ(in(0), 0x86);
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(isr(0), 0x40);
}

TEST_F(Pic, state_is_complete) {
  init();
  put(1, 0x10), put(4, 0x20), dev.input(5).set(true), dev.input(9).set(true);
  FakeLine l;
  Pic8259 other(l);
  expect_complete_state(dev, other, 32);
  EXPECT_EQ(other.acknowledge(), dev.acknowledge());
}
