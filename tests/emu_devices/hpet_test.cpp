// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/byte_device.hpp"
#include "devices/hpet.hpp"
#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Routes final : HpetRoutes {
  FakeLine gsi[24], old[2];
  int legacy = -1;
  IrqLine& line(unsigned n) override { return gsi[n]; }
  IrqLine& legacy_line(unsigned n) override { return old[n]; }
  void legacy_replacement(bool on) override { legacy = on; }
};
struct HpetTest : testing::Test {
  FakeClock clock;
  Routes routes;
  Hpet dev{clock, routes};
  u64 in(u64 r, unsigned n = 8) { return dev.read(r, n); }
  void put(u64 r, u64 v, unsigned n = 8) { dev.write(r, n, v); }
  void tick(u64 n) { clock.to(cycle_of_tick(n, Hpet::kHz)); }
};
}  // namespace

TEST_F(HpetTest, capabilities) {  // HPET "General Capabilities and ID Register"
  EXPECT_EQ(in(0), 0x0429b17f'8086a201u);
  EXPECT_EQ(in(4, 4), 69'841'279u);
  EXPECT_EQ(in(0x100), 0x00f00000'00000030u);
  EXPECT_EQ(in(0x140), 0x00f00800'00000030u);
  EXPECT_EQ(in(0x108), ~u64{0});
  put(0, ~u64{0});
  EXPECT_EQ(in(0), 0x0429b17f'8086a201u);
}

TEST_F(HpetTest, main_counter_runs_stops_and_is_written) {  // HPET "Main Counter Value Register"
  tick(100);
  EXPECT_EQ(in(0xf0), 0u);
  put(0x10, 1);
  tick(150);
  EXPECT_EQ(in(0xf0), 50u);
  put(0x10, 0);
  tick(200);
  EXPECT_EQ(in(0xf0), 50u);
  put(0xf0, 0xffffffff'fffffff0);
  put(0x10, 1);
  tick(220);
  EXPECT_EQ(in(0xf0), 4u);
  EXPECT_EQ(in(0xf0, 4), 4u);
  EXPECT_EQ(in(0xf4, 4), 0u);
  put(0x10, 0), put(0xf0, 7, 4), put(0xf4, 9, 4);
  EXPECT_EQ(in(0xf0), 0x9'00000007u);
  clock.to(kCyclesPerSecond * 10);
}

TEST_F(HpetTest, one_shot_edge_at_the_exact_tick) {  // HPET "Non-Periodic Mode"
  put(0x10, 1);
  put(0x100, 20 << 9 | 4);
  put(0x108, 1000);
  clock.to(cycle_of_tick(1000, Hpet::kHz) - 1);
  EXPECT_EQ(routes.gsi[20].rises, 0);
  tick(1000);
  EXPECT_EQ(routes.gsi[20].rises, 1);
  EXPECT_EQ(in(0x20), 0u);
  EXPECT_TRUE(clock.idle());
  put(0x108, 500);  // passed already: not before the counter wraps
  tick(5000);
  EXPECT_EQ(routes.gsi[20].rises, 1);
  put(0x108, 6000);
  tick(6000);
  EXPECT_EQ(routes.gsi[20].rises, 2);
  put(0x100, 20 << 9);
  EXPECT_FALSE(routes.gsi[20].level);
}

TEST_F(HpetTest, thirty_two_bit_mode_wraps) {  // HPET "32-bit Timer"
  put(0xf0, 0x1'fffffff0);
  put(0x100, 0x100 | 21 << 9 | 4), put(0x108, 0xabcd'00000010);
  EXPECT_EQ(in(0x108), 0x10u);
  put(0x10, 1);
  tick(32);
  EXPECT_EQ(routes.gsi[21].rises, 1);
  EXPECT_EQ(clock.next(), cycle_of_tick(32 + (u64{1} << 32), Hpet::kHz));
}

TEST_F(HpetTest, periodic_with_accumulator) {  // HPET "Periodic Mode"
  put(0x10, 3);
  EXPECT_EQ(routes.legacy, 1);
  put(0x100, 0x14c);  // enable, periodic, VAL_SET, 32 bits
  put(0x108, 100, 4);
  EXPECT_EQ(in(0x100) & 0x40, 0u);
  put(0x108, 30, 4);
  EXPECT_EQ(in(0x108), 100u);
  tick(100);
  EXPECT_EQ(routes.old[0].rises, 1);
  EXPECT_EQ(in(0x108), 130u);
  tick(130 + 30 * 9);
  EXPECT_EQ(routes.old[0].rises, 11);
  EXPECT_EQ(in(0x108), 130u + 300);
  put(0x10, 1);
  EXPECT_EQ(routes.legacy, 0);
  EXPECT_FALSE(routes.old[0].level);
}

TEST_F(HpetTest, matches_without_interrupts_are_caught_up_with) {
  put(0x10, 1);
  put(0x120, 8 | 0x40), put(0x128, 10), put(0x128, 10);
  EXPECT_TRUE(clock.idle());
  tick(1'000'005);
  EXPECT_EQ(in(0x128), 1'000'010u);
}

TEST_F(HpetTest, level_interrupts_hold_until_cleared) {  // HPET "General Interrupt Status Register"
  put(0x140, 11 << 9 | 4 | 2), put(0x148, 50), put(0x10, 1);
  tick(50);
  EXPECT_TRUE(routes.gsi[11].level);
  EXPECT_EQ(in(0x20), 4u);
  put(0x20, 3);
  EXPECT_TRUE(routes.gsi[11].level);
  put(0x20, 4, 4);
  EXPECT_FALSE(routes.gsi[11].level);
  EXPECT_EQ(in(0x20), 0u);
}

TEST_F(HpetTest, a_route_that_is_not_offered_does_not_stick) {  // HPET "Tn_INT_ROUTE_CNF"
  put(0x100, 20 << 9);
  put(0x100, 2 << 9);
  EXPECT_EQ(in(0x100) >> 9 & 31, 20u);
  put(0x100, (0xffff'ffff & ~(31u << 9)) | 23 << 9);
  EXPECT_EQ(in(0x100) & 0xffffffff, 0x30u | (0x3f4e & ~(31u << 9)) | 23 << 9);  // FSB stays off
}

TEST_F(HpetTest, legacy_switch_takes_the_pit_off_irq0) {
  FakeLine irq0;
  LineSwitch sw(irq0);
  sw.input(0).set(true);
  EXPECT_TRUE(irq0.level);
  sw.select(1);
  EXPECT_FALSE(irq0.level);
  sw.input(1).set(true);
  EXPECT_TRUE(irq0.level);
  sw.select(0), sw.input(0).set(false);
  EXPECT_FALSE(irq0.level);
  FakeLine irq;
  LineSwitch other(irq);
  expect_complete_state(sw, other, 3);
}

TEST_F(HpetTest, state_is_complete_and_reset_is_power_on) {
  put(0x10, 1), put(0x100, 20 << 9 | 4 | 2), put(0x108, 5);
  tick(9);
  in(0x20);
  Routes r;
  Hpet other(clock, r);
  expect_complete_state(dev, other, 4 + 15);
  EXPECT_EQ(other.read(0xf0, 8), in(0xf0));
  dev.reset();
  EXPECT_EQ(in(0x10), 0u);
  EXPECT_EQ(in(0xf0), 0u);
  EXPECT_FALSE(routes.gsi[20].level);
  EXPECT_TRUE(clock.idle());
}
