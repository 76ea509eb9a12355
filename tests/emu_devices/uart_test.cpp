// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/uart16550.hpp"
#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Uart : testing::Test {
  FakeLine irq;
  FakeSink out;
  Uart16550 dev{"com1", irq, out};
  u8 in(unsigned r) { return static_cast<u8>(dev.read(r, 1)); }
  void put(unsigned r, unsigned v) { dev.write(r, 1, v); }
};
}  // namespace

TEST_F(Uart, passes_the_existence_test_of_hypervisors) {  // NS16550A "Interrupt Enable Register", "Modem Control Register"
  put(1, 0);
  EXPECT_EQ(in(1), 0);
  put(1, 0xff);
  EXPECT_EQ(in(1), 0x0f);
  put(1, 0);
  put(4, 0x1a);
  EXPECT_EQ(in(6) & 0xf0, 0x90);
  put(4, 0x11);
  EXPECT_EQ(in(6) & 0xf0, 0x20);
  put(4, 0x14);
  EXPECT_EQ(in(6) & 0xf0, 0x40);
  put(4, 0);
  EXPECT_EQ(in(6) & 0xf0, 0xb0);
}

TEST_F(Uart, fifos_show_in_iir_and_dlab_hides_the_data_registers) {  // NS16550A "FIFO Control Register", "Line Control Register"
  EXPECT_EQ(in(2), 0x01);
  put(2, 0x01);
  EXPECT_EQ(in(2), 0xc1);
  put(2, 0x00);
  EXPECT_EQ(in(2), 0x01);
  put(3, 0x83), put(0, 0x0c), put(1, 0x34);
  EXPECT_EQ(in(0), 0x0c);
  EXPECT_EQ(in(1), 0x34);
  put(3, 0x03);
  EXPECT_EQ(in(1), 0x00);
  EXPECT_EQ(out.text, "");
  put(7, 0xa5);
  EXPECT_EQ(in(7), 0xa5);
}

TEST_F(Uart, sends_at_once_and_thre_interrupts_after_each_byte) {  // NS16550A "Interrupt Identification Register"
  put(4, 0x08), put(1, 0x02);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(in(2), 0x02);
  EXPECT_FALSE(irq.level);  // reading IIR as the source clears it
  EXPECT_EQ(in(2), 0x01);
  put(0, 'x');
  EXPECT_EQ(out.text, "x");
  EXPECT_EQ(in(5), 0x60);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(irq.rises, 2);
  put(0, 'y');
  EXPECT_EQ(irq.rises, 3);  // an edge for each
  put(1, 0), put(1, 2);
  EXPECT_EQ(in(2), 0x02);
}

TEST_F(Uart, out2_gates_the_interrupt) {
  put(1, 0x02);
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(in(5), 0x60);
  put(4, 0x08);
  EXPECT_TRUE(irq.level);
  put(4, 0x18);
  EXPECT_FALSE(irq.level);
}

TEST_F(Uart, priority_is_line_status_then_data_then_thre_then_modem) {  // NS16550A "Interrupt Control Functions"
  put(2, 0x41), put(4, 0x08), put(1, 0x0f);
  dev.receive_break();
  put(4, 0x18), put(4, 0x08);  // the modem lines move and come back
  EXPECT_EQ(in(2), 0xc6);
  EXPECT_EQ(in(5), 0xf1);      // break, data ready, error in the FIFO
  EXPECT_EQ(in(5), 0x61);
  EXPECT_EQ(in(2), 0xcc);      // below the trigger level: character time-out
  EXPECT_EQ(in(0), 0);
  EXPECT_EQ(in(2), 0xc2);
  EXPECT_EQ(in(2), 0xc0);
  EXPECT_EQ(in(6) & 0x0f, 0x03);  // OUT2 kept DCD up in loopback
  EXPECT_EQ(in(2), 0xc1);
  EXPECT_FALSE(irq.level);
}

TEST_F(Uart, trigger_level_and_waiting_input) {
  put(2, 0x81), put(4, 0x08), put(1, 0x01);
  for (int i = 0; i < 20; ++i) dev.receive(static_cast<u8>(i));
  EXPECT_EQ(dev.waiting(), 20u);
  EXPECT_EQ(in(2), 0xc4);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(in(0), i);
  EXPECT_EQ(in(2), 0xc4);  // 8 left: the queue refilled it
  EXPECT_EQ(in(0), 12);
  EXPECT_EQ(in(2), 0xcc);
  for (int i = 13; i < 20; ++i) EXPECT_EQ(in(0), i);
  EXPECT_EQ(in(5) & 1, 0);
  EXPECT_EQ(in(5) & 2, 0);  // never overran
  EXPECT_FALSE(irq.level);
}

TEST_F(Uart, loopback_receives_what_it_sends_and_overruns) {  // NS16550A "Modem Control Register", bit 4
  put(3, 0x03), put(4, 0x10);
  put(0, 'a');
  EXPECT_EQ(out.text, "");
  put(0, 'b');
  EXPECT_EQ(in(5) & 0x03, 0x03);
  EXPECT_EQ(in(5) & 0x02, 0);
  EXPECT_EQ(in(0), 'b');
  dev.receive('h');  // the input is disconnected
  EXPECT_EQ(in(5) & 1, 0);
  put(4, 0);
  EXPECT_EQ(in(0), 'h');
}

TEST_F(Uart, ring_indicator_reports_its_trailing_edge_only) {  // NS16550A "Modem Status Register": TERI
  put(4, 0x10), in(6);
  put(4, 0x14);
  EXPECT_EQ(in(6), 0x40);
  put(4, 0x10);
  EXPECT_EQ(in(6), 0x04);
}

TEST_F(Uart, wide_accesses_are_bytes) {
  put(3, 0x80);
  dev.write(0, 2, 0x1234);
  EXPECT_EQ(in(0), 0x34);
  EXPECT_EQ(in(1), 0x12);
  EXPECT_EQ(dev.read(0, 2), 0x1234u);
}

TEST_F(Uart, state_is_complete) {
  put(2, 0xc1), put(4, 0x0b), put(1, 0x05), put(7, 3);
  for (int i = 0; i < 20; ++i) dev.receive(static_cast<u8>(i));
  FakeLine l;
  Uart16550 other("com1", l, out);
  expect_complete_state(dev, other, 13 + 16);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(other.read(0, 1), static_cast<u64>(i));
}

TEST_F(Uart, reset_is_the_master_reset) {
  put(2, 1), put(4, 0x0b), put(1, 0x0f);
  dev.reset();
  EXPECT_EQ(in(1), 0);
  EXPECT_EQ(in(2), 1);
  EXPECT_EQ(in(4), 0);
  EXPECT_EQ(in(5), 0x60);
  EXPECT_FALSE(irq.level);
}
