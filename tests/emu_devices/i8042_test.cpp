// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/i8042.hpp"

#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Kbc : testing::Test {
  FakeLine irq1, irq12;
  Stop stop;
  I8042 dev{irq1, irq12, stop};
  u8 status() { return static_cast<u8>(dev.read(4, 1)); }
  u8 data() { return static_cast<u8>(dev.read(0, 1)); }
  u8 ask(u8 command) { dev.write(4, 1, command); EXPECT_TRUE(status() & 1); return data(); }
  void command_byte(u8 v) { dev.write(4, 1, 0x60), dev.write(0, 1, v); }
  /// What comes out, to the last byte.
  std::string all() {
    std::string s;
    char t[4];
    while (status() & 1) std::snprintf(t, sizeof t, "%02x ", data()), s += t;
    if (!s.empty()) s.pop_back();
    return s;
  }
  std::string tell(std::initializer_list<u8> bytes) {
    std::string s;
    for (u8 b : bytes) { dev.write(0, 1, b); s += (s.empty() ? "" : ", ") + all(); }
    return s;
  }
};
}  // namespace

TEST_F(Kbc, self_test_and_controller_commands) {
  EXPECT_EQ(status(), 0x10);
  EXPECT_EQ(ask(0xaa), 0x55);
  EXPECT_EQ(status() & 0x05, 0x04);
  EXPECT_EQ(ask(0xab), 0x00);
  EXPECT_EQ(ask(0xa9), 0x00);
  command_byte(0x45);
  EXPECT_EQ(ask(0x20), 0x45);
  dev.write(4, 1, 0xad);
  EXPECT_EQ(ask(0x20), 0x55);
  dev.write(4, 1, 0xae), dev.write(4, 1, 0xa7);
  EXPECT_EQ(ask(0x20), 0x65);
}

TEST_F(Kbc, auxiliary_loop_and_interrupts) {  // what Linux's i8042 driver tries
  command_byte(0x03);
  dev.write(4, 1, 0xd3), dev.write(0, 1, 0xa5);
  EXPECT_EQ(status() & 0x21, 0x21);
  EXPECT_TRUE(irq12.level);
  EXPECT_EQ(data(), 0xa5);
  EXPECT_FALSE(irq12.level);
  dev.write(4, 1, 0xd2), dev.write(0, 1, 0x5a);
  EXPECT_TRUE(irq1.level);
  EXPECT_EQ(data(), 0x5a);
}

TEST_F(Kbc, no_mouse_answers) {
  dev.write(4, 1, 0xd4), dev.write(0, 1, 0xf2);
  EXPECT_EQ(status() & 0x61, 0x61);
  EXPECT_EQ(data(), 0xfe);
  EXPECT_EQ(status() & 0x61, 0);
}

TEST_F(Kbc, keyboard_commands) {  // PS/2 "Commands from the System"
  command_byte(0x00);
  EXPECT_EQ(tell({0xff}), "fa aa");
  EXPECT_EQ(tell({0xf2}), "fa ab 83");
  EXPECT_EQ(tell({0xee}), "ee");
  EXPECT_EQ(tell({0xed, 0x05}), "fa, fa");
  EXPECT_EQ(dev.leds(), 5);
  EXPECT_EQ(tell({0xf3, 0x20}), "fa, fa");
  EXPECT_EQ(tell({0xf0, 0x00}), "fa, fa 02");
  EXPECT_EQ(tell({0xf0, 0x03, 0xf0, 0x00}), "fa, fa, fa, fa 03");
  EXPECT_EQ(tell({0xf0, 0x04}), "fa, fe");
  EXPECT_EQ(tell({0xed, 0xf4}), "fa, fa") << "a command in the place of a parameter";
  EXPECT_EQ(dev.leds(), 5);
  EXPECT_EQ(tell({0xf2, 0xfe}), "fa ab 83, 83") << "RESEND";
  EXPECT_EQ(tell({0x00, 0xe9, 0xfb}), "fe, fe, fe");
  EXPECT_EQ(tell({0xf6}), "fa");
  EXPECT_EQ(tell({0xf0, 0x00}), "fa, fa 02");
}

TEST_F(Kbc, writing_to_the_keyboard_enables_its_interface) {
  EXPECT_EQ(ask(0x20), 0x30);
  dev.write(0, 1, 0xee);
  EXPECT_EQ(data(), 0xee);
  EXPECT_EQ(ask(0x20), 0x20);
}

TEST_F(Kbc, a_held_clock_keeps_bytes_in_the_keyboard) {
  command_byte(0x00);
  dev.write(4, 1, 0xad);
  dev.key(0x1c);
  EXPECT_EQ(status() & 1, 0);
  dev.write(4, 1, 0xae);
  EXPECT_EQ(data(), 0x1c);
}

TEST_F(Kbc, keys_are_translated_to_set_1_where_the_command_byte_says_so) {  // "Keyboard Scan Codes"
  command_byte(0x00);
  for (u8 c : {0x1c, 0xf0, 0x1c, 0xe0, 0xf0, 0x75}) dev.key(c);
  EXPECT_EQ(all(), "1c f0 1c e0 f0 75");
  command_byte(0x40);
  for (u8 c : {0x1c, 0xf0, 0x1c, 0xe0, 0xf0, 0x75, 0x83, 0x66}) dev.key(c);
  EXPECT_EQ(all(), "1e 9e e0 c8 41 0e");
  EXPECT_EQ(tell({0xf2}), "fa ab 41");
}

TEST_F(Kbc, every_byte_is_an_edge_of_irq1) {
  command_byte(0x01);
  dev.write(0, 1, 0xf2);
  EXPECT_EQ(irq1.rises, 1);
  data(), data();
  EXPECT_EQ(irq1.rises, 3);
  EXPECT_TRUE(irq1.level);
  data();
  EXPECT_FALSE(irq1.level);
  EXPECT_EQ(irq12.rises, 0);
}

TEST_F(Kbc, a_keyboard_that_is_off_or_full_loses_keys) {
  command_byte(0x00);
  EXPECT_EQ(tell({0xf5}), "fa");
  dev.key(0x1c);
  EXPECT_EQ(all(), "");
  EXPECT_EQ(tell({0xf4}), "fa");
  for (int n = 0; n < 100; ++n) dev.key(0x1c);
  EXPECT_EQ(all().size(), 17u * 3 - 1) << "16 of the keyboard's, one of the controller's";
  for (int n = 0; n < 1000; ++n) dev.write(0, 1, 0xf2);
  EXPECT_LT(all().size(), 80u * 3);
}

TEST_F(Kbc, as_firmware_leaves_it) {
  dev.post();
  EXPECT_EQ(status(), 0x14);
  EXPECT_EQ(ask(0x20), 0x65);
  dev.key(0x1c);
  EXPECT_TRUE(irq1.level);
  EXPECT_EQ(data(), 0x1e);
}

TEST_F(Kbc, resets) {
  dev.write(4, 1, 0xff);
  EXPECT_FALSE(stop.requested());
  dev.write(4, 1, 0xfe);
  EXPECT_EQ(stop.reason(), StopReason::reset);
  EXPECT_EQ(stop.what(), "reset by the keyboard controller");
  stop.clear();
  dev.write(4, 1, 0xd1), dev.write(0, 1, 0x01);
  EXPECT_FALSE(stop.requested());
  EXPECT_FALSE(dev.a20());
  dev.write(4, 1, 0xd1), dev.write(0, 1, 0x02);
  EXPECT_EQ(stop.what(), "reset by the keyboard controller (output port bit 0)");
}

TEST_F(Kbc, state_is_complete) {
  dev.post();
  dev.write(0, 1, 0xf2), dev.write(0, 1, 0xed), dev.key(0x1c);
  dev.write(4, 1, 0xd2);
  FakeLine a, b;
  I8042 other(a, b, stop);
  expect_complete_state(dev, other, 4 + 32 + 7);
}
