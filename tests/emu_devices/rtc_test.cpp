// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/rtc146818.hpp"
#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
constexpr u64 kSec = kCyclesPerSecond, kUs = 1000;
struct Rtc : testing::Test {
  FakeClock clock;
  FakeLine irq;
  Rtc146818 dev{clock, irq, {2023, 12, 31, 23, 59, 58}};
  u8 in(unsigned r) { dev.write(0, 1, r); return static_cast<u8>(dev.read(1, 1)); }
  void put(unsigned r, unsigned v) { dev.write(0, 1, r), dev.write(1, 1, v); }
};
}  // namespace

TEST_F(Rtc, bcd_time_rolls_over_everything) {  // MC146818A "Time, Calendar and Alarm Locations"
  EXPECT_EQ(in(0), 0x58);
  EXPECT_EQ(in(6), 1);  // a Sunday
  EXPECT_EQ(in(9), 0x23);
  EXPECT_EQ(in(0x32), 0x20);
  clock.to(2 * kSec);
  EXPECT_EQ(in(0), 0);
  EXPECT_EQ(in(2), 0);
  EXPECT_EQ(in(4), 0);
  EXPECT_EQ(in(6), 2);
  EXPECT_EQ(in(7), 1);
  EXPECT_EQ(in(8), 1);
  EXPECT_EQ(in(9), 0x24);
  EXPECT_TRUE(clock.idle());  // an idle clock queues nothing
}

TEST_F(Rtc, leap_day) {
  Rtc146818 leap(clock, irq, {2024, 2, 28, 23, 59, 59}), plain(clock, irq, {2023, 2, 28, 23, 59, 59}), century(clock, irq, {2099, 12, 31, 23, 59, 59});
  clock.to(kSec);
  leap.write(0, 1, 7), plain.write(0, 1, 7), century.write(0, 1, 0x32);
  EXPECT_EQ(leap.read(1, 1), 0x29u);
  EXPECT_EQ(plain.read(1, 1), 0x01u);
  EXPECT_EQ(century.read(1, 1), 0x21u);
}

TEST_F(Rtc, uip_is_high_for_2228_us_before_the_update) {  // MC146818A "Update Cycle"
  EXPECT_EQ(in(10), 0x26);
  clock.to(kSec - 2228 * kUs - 1);
  EXPECT_EQ(in(10), 0x26);
  clock.to(kSec - 2228 * kUs);
  EXPECT_EQ(in(10), 0xa6);
  clock.to(kSec - 1);
  EXPECT_EQ(in(10), 0xa6);
  EXPECT_EQ(in(0), 0x58);
  clock.to(kSec);
  EXPECT_EQ(in(10), 0x26);
  EXPECT_EQ(in(0), 0x59);
}

TEST_F(Rtc, binary_and_twelve_hours) {  // MC146818A "Register B"
  put(11, 0x06), put(4, 23), put(2, 59), put(0, 59);
  clock.to(kSec);
  EXPECT_EQ(in(4), 0);
  put(11, 0x00), put(4, 0x11), put(2, 0x59), put(0, 0x59);
  clock.to(2 * kSec);
  EXPECT_EQ(in(4), 0x92);  // 12 PM
  put(2, 0x59), put(0, 0x59);
  clock.to(3 * kSec);
  EXPECT_EQ(in(4), 0x81);
  put(4, 0x91), put(2, 0x59), put(0, 0x59);
  clock.to(4 * kSec);
  EXPECT_EQ(in(4), 0x12);  // midnight
}

TEST_F(Rtc, set_inhibits_updates) {
  put(11, 0x92);
  EXPECT_EQ(in(11), 0x82);  // SET clears UIE
  clock.to(kSec - 1);
  EXPECT_EQ(in(10), 0x26);
  clock.to(3 * kSec);
  EXPECT_EQ(in(0), 0x58);
  EXPECT_EQ(in(12), 0x40);  // periodic edges go on, no update-ended flag
  put(11, 0x02);
  clock.to(4 * kSec);
  EXPECT_EQ(in(0), 0x59);
}

TEST_F(Rtc, divider_reset_delays_the_first_update_by_half_a_second) {  // MC146818A "Divider Stages"
  put(10, 0x76);
  clock.to(10 * kSec);
  EXPECT_EQ(in(0), 0x58);
  put(10, 0x26);
  clock.to(10 * kSec + kSec / 2 - 1);
  EXPECT_EQ(in(0), 0x58);
  clock.to(10 * kSec + kSec / 2);
  EXPECT_EQ(in(0), 0x59);
}

TEST_F(Rtc, update_interrupt_every_second) {
  put(11, 0x12);
  EXPECT_EQ(clock.next(), kSec);
  clock.to(kSec);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(in(12), 0xd0);  // IRQF, UF, and PF: flags do not wait for enables
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(in(12), 0x00);
  clock.to(2 * kSec);
  EXPECT_TRUE(irq.level);
}

TEST_F(Rtc, alarm_with_dont_care) {
  put(1, 0x00), put(3, 0xff), put(5, 0xc0);
  put(11, 0x22);
  clock.to(2 * kSec - 1);
  EXPECT_FALSE(irq.level);
  clock.to(2 * kSec);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(in(12) & 0xa0, 0xa0);
  put(3, 0x02);
  clock.to(62 * kSec);
  EXPECT_FALSE(irq.level);
  clock.to(122 * kSec);
  EXPECT_TRUE(irq.level);
}

TEST_F(Rtc, periodic_rates_are_exact) {  // MC146818A "Periodic Interrupt Selection"
  put(11, 0x42);
  EXPECT_EQ(clock.next(), 976'563u);  // 1024 Hz
  int edges = 0;
  while (clock.next() <= kSec) { clock.to(clock.next()); ++edges; in(12); }
  EXPECT_EQ(edges, 1024);
  EXPECT_EQ(clock.now(), kSec);
  put(10, 0x2f);
  EXPECT_EQ(clock.next(), kSec + kSec / 2);
  put(10, 0x21);
  EXPECT_EQ(clock.next(), kSec + 3'906'250);
  put(10, 0x23);
  EXPECT_EQ(clock.next(), kSec + 122'071);
  put(10, 0x20);
  EXPECT_TRUE(clock.idle());
}

TEST_F(Rtc, registers_c_and_d_are_read_only_and_ram_is_ram) {
  EXPECT_EQ(in(13), 0x80);
  put(13, 0), put(12, 0xff);
  EXPECT_EQ(in(13), 0x80);
  EXPECT_EQ(in(12) & 0x80, 0);
  put(0x7f, 0x5a);
  EXPECT_EQ(in(0x7f), 0x5a);
  EXPECT_EQ(dev.read(0, 1), 0xffu);
  EXPECT_FALSE(dev.nmi_masked());
  dev.write(0, 1, 0x80 | 0x7f);
  EXPECT_TRUE(dev.nmi_masked());
  EXPECT_EQ(dev.read(1, 1), 0x5au);
}

TEST_F(Rtc, memory_sizes_as_firmware_leaves_them) {
  dev.set_memory(u64{3} << 30, u64{1} << 30);
  EXPECT_EQ(in(0x15) | in(0x16) << 8, 640);
  EXPECT_EQ(in(0x17) | in(0x18) << 8, 0xffff);
  EXPECT_EQ(in(0x34) | in(0x35) << 8, (3072 - 16) * 16);
  EXPECT_EQ(in(0x5b) | in(0x5c) << 8, 0x4000);
  int sum = 0;
  for (int i = 0x10; i <= 0x2d; ++i) sum += in(i);
  EXPECT_EQ(in(0x2e) << 8 | in(0x2f), sum);
}

TEST_F(Rtc, state_is_complete_and_reset_keeps_time) {
  put(11, 0x72), put(0x40, 9);
  clock.to(kSec);
  FakeLine l;
  Rtc146818 other(clock, l, {});
  expect_complete_state(dev, other, 128 + 3);
  other.reset();
  EXPECT_EQ(in(0), 0x59);
  dev.reset();
  EXPECT_EQ(in(0), 0x59);
  EXPECT_EQ(in(11), 0x02);
  EXPECT_FALSE(irq.level);
}
