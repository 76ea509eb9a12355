// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pit8254.hpp"
#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Pit : testing::Test {
  FakeClock clock;
  FakeLine irq;
  Pit8254 dev{clock, irq};
  Port61 p61{clock, dev};
  u8 in(unsigned r) { return static_cast<u8>(dev.read(r, 1)); }
  void put(unsigned r, unsigned v) { dev.write(r, 1, v); }
  void tick(u64 n) { clock.to(cycle_of_tick(n, Pit8254::kHz)); }
  u16 count(unsigned n) { put(3, n << 6); const u8 low = in(n); return static_cast<u16>(in(n) << 8 | low); }
  u8 status(unsigned n) { put(3, 0xe0 | 2 << n); return in(n); }
};
}  // namespace

TEST_F(Pit, mode0_counts_down_once) {  // 8254 "Mode 0: Interrupt on Terminal Count"
  put(3, 0x30);
  EXPECT_FALSE(irq.level);
  put(0, 0x04), put(0, 0x00);
  tick(1);  // loaded
  EXPECT_EQ(count(0), 4);
  tick(4);
  EXPECT_EQ(count(0), 1);
  clock.to(cycle_of_tick(5, Pit8254::kHz) - 1);
  EXPECT_FALSE(irq.level);
  tick(5);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(count(0), 0);
  tick(7);
  EXPECT_EQ(count(0), 0xfffe);  // counts on
  EXPECT_TRUE(irq.level);
  EXPECT_TRUE(clock.idle());
  put(3, 0x30);  // how software silences it
  EXPECT_FALSE(irq.level);
}

TEST_F(Pit, mode2_divides) {  // 8254 "Mode 2: Rate Generator"
  put(3, 0x34);
  EXPECT_TRUE(irq.level);
  put(0, 11932 & 0xff), put(0, 11932 >> 8);
  irq.rises = 0;
  tick(1 + 11932 - 1);
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(count(0), 1);
  tick(1 + 11932);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(count(0), 11932);
  clock.to(kCyclesPerSecond);
  EXPECT_EQ(irq.rises, 99);  // 100 Hz, a hair slow: 11932 > 1193182 / 100
  clock.to(kCyclesPerSecond + 20'000);
  EXPECT_EQ(irq.rises, 100);
}

TEST_F(Pit, a_new_count_takes_over_at_the_end_of_the_cycle) {
  put(3, 0x34), put(0, 10), put(0, 0);
  tick(5);
  put(0, 4), put(0, 0);
  EXPECT_EQ(status(0) & 0x40, 0x40);
  EXPECT_EQ(count(0), 6);
  tick(10);
  EXPECT_FALSE(irq.level);
  tick(11);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(count(0), 4);
  EXPECT_EQ(status(0) & 0x40, 0);
  tick(14);
  EXPECT_FALSE(irq.level);
}

TEST_F(Pit, mode3_square_wave_even_and_odd) {  // 8254 "Mode 3: Square Wave Mode"
  put(3, 0x36), put(0, 6), put(0, 0);
  std::string wave;
  std::vector<int> counts;
  for (u64 t = 1; t <= 6; ++t) { tick(t); wave += irq.level ? 'H' : 'L'; counts.push_back(count(0)); }
  EXPECT_EQ(wave, "HHHLLL");
  EXPECT_EQ(counts, (std::vector<int>{6, 4, 2, 6, 4, 2}));
  put(3, 0x36), put(0, 5), put(0, 0);
  wave.clear(), counts.clear();
  for (u64 t = 7; t <= 16; ++t) { tick(t); wave += irq.level ? 'H' : 'L'; counts.push_back(count(0)); }
  EXPECT_EQ(wave, "HHHLLHHHLL");
  EXPECT_EQ(counts, (std::vector<int>{4, 2, 0, 4, 2, 4, 2, 0, 4, 2}));
}

TEST_F(Pit, mode3_takes_a_new_count_at_the_half_cycle) {
  put(3, 0x36), put(0, 8), put(0, 0);
  tick(2);
  put(0, 4), put(0, 0);
  std::string wave;
  for (u64 t = 2; t <= 12; ++t) { tick(t); wave += irq.level ? 'H' : 'L'; }
  EXPECT_EQ(wave, "HHHLLHHLLHH");
}

TEST_F(Pit, mode4_strobes_once) {  // 8254 "Mode 4: Software Triggered Strobe"
  put(3, 0x38), put(0, 3), put(0, 0);
  std::string wave;
  for (u64 t = 1; t <= 7; ++t) { tick(t); wave += irq.level ? 'H' : 'L'; }
  EXPECT_EQ(wave, "HHHLHHH");
}

TEST_F(Pit, modes_1_and_5_wait_for_the_gate) {  // 8254 "Mode 1: Hardware Retriggerable One-Shot", "Mode 5"
  put(3, 0xb2), put(2, 3), put(2, 0);
  tick(5);
  EXPECT_TRUE(dev.out(2));
  dev.set_gate(2, true);
  std::string wave;
  for (u64 t = 5; t <= 10; ++t) { tick(t); wave += dev.out(2) ? 'H' : 'L'; }
  EXPECT_EQ(wave, "HLLLHH");
  dev.set_gate(2, false), dev.set_gate(2, true);
  tick(12);
  dev.set_gate(2, false), dev.set_gate(2, true);  // retriggered: longer
  wave.clear();
  for (u64 t = 12; t <= 17; ++t) { tick(t); wave += dev.out(2) ? 'H' : 'L'; }
  EXPECT_EQ(wave, "LLLLHH");
  dev.set_gate(2, false);
  put(3, 0xba), put(2, 2), put(2, 0);
  dev.set_gate(2, true);
  wave.clear();
  for (u64 t = 17; t <= 22; ++t) { tick(t); wave += dev.out(2) ? 'H' : 'L'; }
  EXPECT_EQ(wave, "HHHLHH");
}

TEST_F(Pit, gate_pauses_and_port61_shows_out) {  // how TSC calibration uses counter 2
  EXPECT_EQ(p61.read(0, 1) & 0x20, 0u);
  p61.write(0, 1, 1);
  put(3, 0xb0), put(2, 0x10), put(2, 0x00);
  tick(5);
  EXPECT_EQ(count(2), 12);
  p61.write(0, 1, 0);
  tick(100);
  EXPECT_EQ(count(2), 12);
  p61.write(0, 1, 1);
  tick(111);
  EXPECT_EQ(p61.read(0, 1) & 0x21, 0x01u);
  tick(112);
  EXPECT_EQ(p61.read(0, 1) & 0x21, 0x21u);
}

TEST_F(Pit, gate_low_sets_rate_generators_high_and_reloads) {
  p61.write(0, 1, 1);
  put(3, 0xb4), put(2, 10), put(2, 0);
  tick(4);
  EXPECT_EQ(count(2), 7);
  p61.write(0, 1, 0);
  EXPECT_TRUE(dev.out(2));
  tick(50);
  EXPECT_EQ(count(2), 7);
  p61.write(0, 1, 1);
  tick(51);
  EXPECT_EQ(count(2), 10);
}

TEST_F(Pit, bcd_counts_in_decimal) {
  put(3, 0x31), put(0, 0x00), put(0, 0x10);  // 1000
  tick(2);
  EXPECT_EQ(count(0), 0x0999);
  put(3, 0x31), put(0, 0), put(0, 0);        // 10000
  tick(4);
  EXPECT_EQ(count(0), 0x9999);
  tick(3 + 10000);
  EXPECT_TRUE(irq.level);
}

TEST_F(Pit, zero_is_65536) {
  put(3, 0x34), put(0, 0), put(0, 0);
  tick(1);
  EXPECT_EQ(count(0), 0);
  tick(2);
  EXPECT_EQ(count(0), 0xffff);
  tick(65536);
  EXPECT_FALSE(irq.level);
  tick(65537);
  EXPECT_TRUE(irq.level);
}

TEST_F(Pit, latch_holds_until_read_and_status_comes_first) {  // 8254 "Counter Latch Command", "Read-Back Command"
  put(3, 0x34), put(0, 100), put(0, 0);
  tick(11);
  put(3, 0x00);
  tick(21);
  put(3, 0x00);      // ignored: latched already
  put(3, 0xe2);      // status too
  EXPECT_EQ(in(0), 0x80 | 0x34);
  EXPECT_EQ(in(0), 90);
  EXPECT_EQ(in(0), 0);
  EXPECT_EQ(in(0), 80);
  EXPECT_EQ(in(0), 0);
  put(3, 0xd2);      // read-back: count only
  tick(30);
  EXPECT_EQ(in(0), 80);
  EXPECT_EQ(in(0), 0);
  EXPECT_EQ(in(3), 0xff);
}

TEST_F(Pit, byte_wide_access_modes) {
  put(3, 0x14), put(0, 50);  // LSB only, mode 2
  tick(11);
  EXPECT_EQ(in(0), 40);
  EXPECT_EQ(in(0), 40);
  put(3, 0x24), put(0, 2);   // MSB only: 512
  tick(14);
  EXPECT_EQ(in(0), 510 >> 8);
}

TEST_F(Pit, refresh_toggles_every_18_ticks) {
  const u8 first = p61.read(0, 1) & 0x10;
  tick(18);
  EXPECT_NE(p61.read(0, 1) & 0x10, first);
  tick(36);
  EXPECT_EQ(p61.read(0, 1) & 0x10, first);
  p61.write(0, 1, 0xff);
  EXPECT_EQ(p61.read(0, 1) & 0x0f, 0x0fu);
}

TEST_F(Pit, state_is_complete_and_runs_on) {
  put(3, 0x34), put(0, 100), put(0, 0), put(3, 0xb6), put(2, 9), put(2, 0);
  tick(30);
  put(0, 7);
  FakeLine l;
  Pit8254 other(clock, l);
  expect_complete_state(dev, other, 3 * 17);
  Port61 q(clock, other);
  p61.write(0, 1, 1);
  expect_complete_state(p61, q, 1);
}
