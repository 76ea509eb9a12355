// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/acpi_pm.hpp"
#include "devices/debug_ports.hpp"
#include "devices/reset_control.hpp"
#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Pm : testing::Test {
  FakeClock clock;
  FakeLine sci;
  Stop stop;
  AcpiPm dev{clock, sci, stop, {.s5_type = 5, .timer_32bit = false}};
};
}  // namespace

TEST_F(Pm, timer_is_exact_and_24_or_32_bits_wide) {  // ACPI "Power Management Timer (PM_TMR)"
  clock.to(kCyclesPerSecond);
  EXPECT_EQ(dev.read(8, 4), 3'579'545u);
  clock.to(10 * kCyclesPerSecond);
  EXPECT_EQ(dev.read(8, 4), 35'795'450u & 0xffffff);
  AcpiPm wide(clock, sci, stop, {});
  EXPECT_EQ(wide.read(8, 4), 35'795'450u);
  dev.write(8, 4, 0);
  EXPECT_EQ(dev.read(8, 4), 35'795'450u & 0xffffff);
}

TEST_F(Pm, carry_sets_tmr_sts_and_interrupts_when_enabled) {
  const u64 half = cycle_of_tick(1 << 23, AcpiPm::kHz);
  EXPECT_TRUE(clock.idle());
  clock.to(half - 1);
  EXPECT_EQ(dev.read(0, 2), 0u);
  clock.to(half);
  EXPECT_EQ(dev.read(0, 2), 1u);
  EXPECT_FALSE(sci.level);
  dev.write(2, 2, 1);
  EXPECT_TRUE(sci.level);
  dev.write(0, 2, 1);
  EXPECT_FALSE(sci.level);
  EXPECT_EQ(clock.next(), cycle_of_tick(1 << 24, AcpiPm::kHz));
  clock.to(clock.next());
  EXPECT_TRUE(sci.level);
}

TEST_F(Pm, power_button_is_a_status_bit_and_an_sci) {  // ACPI "PM1 Event Grouping"
  dev.power_button();
  EXPECT_EQ(dev.read(0, 2), 0x100u);
  EXPECT_FALSE(sci.level);
  dev.write(2, 4, 0xffffffff);
  EXPECT_TRUE(sci.level);
  EXPECT_EQ(dev.read(2, 2), 0x721u);
  dev.write(1, 1, 0x01);
  EXPECT_FALSE(sci.level);
  dev.rtc_alarm();
  EXPECT_EQ(dev.read(0, 2), 0x400u);
}

TEST_F(Pm, soft_off) {  // ACPI "PM1 Control Grouping"
  EXPECT_EQ(dev.read(4, 2), 1u);  // SCI_EN
  dev.write(4, 2, 0);
  EXPECT_EQ(dev.read(4, 2), 1u);
  dev.write(4, 2, 1 << 13 | 1 << 10);  // a sleep type that is not offered
  EXPECT_FALSE(stop.requested());
  dev.write(4, 2, 5 << 10);
  EXPECT_FALSE(stop.requested());
  dev.write(4, 2, 1 << 13 | 5 << 10);
  EXPECT_EQ(stop.reason(), StopReason::power_off);
  EXPECT_EQ(stop.what(), "ACPI S5");
  EXPECT_EQ(dev.read(4, 2), 1u | 5 << 10);  // SLP_EN reads as zero
}

TEST_F(Pm, state_is_complete) {
  clock.to(12345);
  dev.write(2, 2, 0x101), dev.power_button();
  FakeLine l;
  AcpiPm other(clock, l, stop, {});
  expect_complete_state(dev, other, 4);
  ApmPort a, b;
  a.write(0, 1, 0xa1), a.write(1, 1, 2);
  EXPECT_EQ(a.read(0, 2), 0x02a1u);
  expect_complete_state(a, b, 2);
}

TEST(reset_register, resets_on_the_rising_edge_of_rst_cpu) {  // ICH9 "RST_CNT"
  Stop stop;
  ResetRegister dev(stop), fresh(stop);
  dev.write(0, 1, 0x02);
  EXPECT_FALSE(stop.requested());
  EXPECT_EQ(dev.read(0, 1), 2u);
  dev.write(0, 1, 0x06);
  EXPECT_EQ(stop.reason(), StopReason::reset);
  EXPECT_EQ(stop.what(), "hard reset by port 0xcf9");
  stop.clear();
  dev.write(0, 1, 0x06);
  EXPECT_FALSE(stop.requested());
  dev.write(0, 1, 0), dev.write(0, 1, 4);
  EXPECT_EQ(stop.what(), "soft reset by port 0xcf9");
  expect_complete_state(dev, fresh, 1);
}

TEST(port92, fast_reset_and_a20) {
  Stop stop;
  Port92 dev(stop), fresh(stop);
  EXPECT_TRUE(dev.a20());
  dev.write(0, 1, 0);
  EXPECT_FALSE(dev.a20());
  expect_complete_state(dev, fresh, 1);
  dev.write(0, 1, 3);
  EXPECT_EQ(stop.what(), "fast reset by port 0x92");
}

TEST(exit_device, status_is_the_guests) {
  Stop stop;
  ExitDevice dev(stop);
  dev.write(0, 4, 0x10);
  EXPECT_EQ(stop.reason(), StopReason::exit_device);
  EXPECT_EQ(stop.code(), 0x10);
}

TEST(debug_ports, post_code_and_console) {
  PostPort post, fresh;
  post.write(0, 1, 0x42);
  EXPECT_EQ(post.code(), 0x42);
  EXPECT_EQ(post.read(0, 1), 0x42u);
  expect_complete_state(post, fresh, 1);
  FakeSink out;
  DebugConsole con(out);
  con.write(0, 1, 'h'), con.write(0, 1, 'i');
  EXPECT_EQ(out.text, "hi");
  EXPECT_EQ(con.read(0, 1), 0xe9u);
}
