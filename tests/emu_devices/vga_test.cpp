// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/vga.hpp"

#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct VgaTest : testing::Test {
  FakeClock clock;
  Vga dev{clock};
  VgaMemory memory{dev};
  u8 in(unsigned port) { return static_cast<u8>(dev.read(port - 0x3c0, 1)); }
  void out(unsigned port, u8 v) { dev.write(port - 0x3c0, 1, v); }
  void indexed(unsigned port, u8 index, u8 v) { out(port, index), out(port + 1, v); }
  u8 indexed(unsigned port, u8 index) { out(port, index); return in(port + 1); }
  void attribute(u8 index, u8 v) { in(0x3da), out(0x3c0, index), out(0x3c0, v); }
  u8 peek(u64 at, unsigned = 1) { return static_cast<u8>(memory.read(at - 0xa0000, 1)); }
  void poke(u64 at, u8 v) { memory.write(at - 0xa0000, 1, v); }
};
using VgaText = VgaTest;
}  // namespace

TEST_F(VgaTest, registers_hold_what_is_written) {
  for (unsigned n = 0; n < 5; ++n) indexed(0x3c4, static_cast<u8>(n), static_cast<u8>(0xa0 + n));
  for (unsigned n = 0; n < 5; ++n) EXPECT_EQ(indexed(0x3c4, static_cast<u8>(n)), 0xa0 + n);
  for (unsigned n = 0; n < 9; ++n) indexed(0x3ce, static_cast<u8>(n), static_cast<u8>(0x50 + n));
  for (unsigned n = 0; n < 9; ++n) EXPECT_EQ(indexed(0x3ce, static_cast<u8>(n)), 0x50 + n);
  out(0x3c2, 0xe3);
  EXPECT_EQ(in(0x3cc), 0xe3);
  for (unsigned n = 0; n < 25; ++n) indexed(0x3d4, static_cast<u8>(n), static_cast<u8>(n == 0x11 ? 0x0e : 0x60 + n));
  for (unsigned n = 0; n < 25; ++n) EXPECT_EQ(indexed(0x3d4, static_cast<u8>(n)), n == 0x11 ? 0x0e : 0x60 + n);
  indexed(0x3d4, 25, 1), indexed(0x3ce, 9, 1), indexed(0x3c4, 7, 1);
  EXPECT_EQ(indexed(0x3d4, 25), 0);
  out(0x3c6, 0x3f);
  EXPECT_EQ(in(0x3c6), 0x3f);
}

TEST_F(VgaTest, the_crtc_answers_at_colour_or_monochrome_ports) {  // "Miscellaneous Output Register"
  out(0x3c2, 0x01);
  dev.write(0x14, 1, 0x0e), dev.write(0x15, 1, 0x12);
  EXPECT_EQ(dev.read(Vga::kMono + 0x15, 1), 0xffu);
  dev.write(Vga::kMono + 0x15, 1, 0x34);
  EXPECT_EQ(dev.read(0x15, 1), 0x12u);
  out(0x3c2, 0x00);
  EXPECT_EQ(dev.read(0x15, 1), 0xffu);
  EXPECT_EQ(dev.read(0x1a, 1), 0xffu);
  EXPECT_EQ(dev.read(Vga::kMono + 0x14, 2), 0x120eu);
}

TEST_F(VgaTest, horizontal_timing_can_be_closed) {  // "Vertical Retrace End Register"
  dev.post();
  indexed(0x3d4, 0, 0x11), indexed(0x3d4, 7, 0xff);
  EXPECT_EQ(indexed(0x3d4, 0), 0x5f);
  EXPECT_EQ(indexed(0x3d4, 7), 0x1f) << "line compare is open";
  indexed(0x3d4, 0x11, 0x0e), indexed(0x3d4, 0, 0x11);
  EXPECT_EQ(indexed(0x3d4, 0), 0x11);
}

TEST_F(VgaTest, the_attribute_controllers_port_is_index_and_data_by_turns) {  // "Attribute Controller Registers"
  out(0x3c2, 1);
  attribute(0x10, 0x0c), attribute(0x00, 0x3f);
  EXPECT_EQ(in(0x3c1), 0x3f);
  attribute(0x20, 0x15);
  EXPECT_EQ(in(0x3c1), 0x3f) << "the palette is closed while the picture is on";
  attribute(0x31, 0x07);
  EXPECT_EQ(in(0x3c1), 0x07);
  EXPECT_EQ(in(0x3c0), 0x31);
}

TEST_F(VgaTest, the_dac_counts_three_components) {  // "Video DAC"
  out(0x3c8, 5);
  for (u8 v : {1, 2, 0xff, 4, 5, 6}) out(0x3c9, v);
  EXPECT_EQ(in(0x3c8), 7);
  EXPECT_EQ(in(0x3c7), 0);
  out(0x3c7, 5);
  EXPECT_EQ(in(0x3c7), 3);
  for (u8 v : {1, 2, 0x3f, 4, 5, 6}) EXPECT_EQ(in(0x3c9), v);
}

TEST_F(VgaTest, retrace_follows_virtual_time) {  // "Input Status Register 1"
  dev.post();
  unsigned retraces = 0, lines = 0;
  u8 before = in(0x3da);
  for (u64 t = 0; t < 1'000'000'000; t += 5'000) {
    clock.to(t);
    const u8 now = in(0x3da);
    retraces += !(before & 8) && now & 8;
    lines += !(before & 1) && now & 1;
    if (now & 8) { EXPECT_TRUE(now & 1); }
    before = now;
  }
  EXPECT_EQ(retraces, 70u);
  EXPECT_NEAR(lines, 70 * 400, 400);
}

TEST_F(VgaTest, text_memory_is_at_b8000_only_and_even_and_odd_bytes_are_two_planes) {
  EXPECT_EQ(peek(0xb8000), 0xff) << "not before a mode is set";
  dev.post();
  poke(0xb8000, 'A'), poke(0xb8001, 0x1f), poke(0xbffff, 0x55);
  EXPECT_EQ(peek(0xb8000), 'A');
  EXPECT_EQ(memory.read(0x18000, 4), 0x07201f41u);
  EXPECT_EQ(peek(0xbffff), 0x55);
  EXPECT_EQ(peek(0xa0000), 0xff);
  EXPECT_EQ(peek(0xb0000), 0xff);
  // The same memory as a loader of fonts sees it: planes one by one at A0000.
  indexed(0x3c4, 4, 6), indexed(0x3ce, 5, 0), indexed(0x3ce, 6, 4);
  EXPECT_EQ(peek(0xa0000), 'A');
  indexed(0x3ce, 4, 1);
  EXPECT_EQ(peek(0xa0000), 0x1f);
  EXPECT_EQ(peek(0xa7ffe), 0x55);
  indexed(0x3c4, 2, 4);
  poke(0xa0020, 0x99);
  indexed(0x3ce, 4, 2);
  EXPECT_EQ(peek(0xa0020), 0x99);
  indexed(0x3ce, 4, 0);
  EXPECT_EQ(peek(0xa0020), ' ');
}

TEST_F(VgaTest, write_and_read_modes) {  // "Graphics Mode Register"
  out(0x3c2, 3);
  indexed(0x3c4, 2, 0x0f), indexed(0x3c4, 4, 0x06), indexed(0x3ce, 6, 0x05), indexed(0x3ce, 8, 0xff), indexed(0x3ce, 7, 0x0f);
  auto plane = [&](u8 n) { indexed(0x3ce, 5, 0), indexed(0x3ce, 4, n); return peek(0xa0000); };
  poke(0xa0000, 0x3c);
  for (u8 n = 0; n < 4; ++n) EXPECT_EQ(plane(n), 0x3c);
  indexed(0x3ce, 5, 2), poke(0xa0000, 0x05);                       // mode 2: a bit for each plane
  EXPECT_EQ(plane(0), 0xff);
  EXPECT_EQ(plane(1), 0x00);
  EXPECT_EQ(plane(2), 0xff);
  indexed(0x3ce, 0, 0x02), indexed(0x3ce, 1, 0x02), indexed(0x3ce, 3, 0x01), poke(0xa0000, 0x81);   // mode 0: set/reset for plane 1, rotation
  EXPECT_EQ(plane(0), 0xc0);
  EXPECT_EQ(plane(1), 0xff);
  indexed(0x3ce, 1, 0), indexed(0x3ce, 3, 0x18), indexed(0x3ce, 8, 0x0f);   // XOR of the lower half
  plane(3), poke(0xa0000, 0xff);
  EXPECT_EQ(plane(0), 0xcf);
  EXPECT_EQ(plane(1), 0xf0);
  indexed(0x3ce, 5, 1), poke(0xa0001, 0);                          // mode 1: the latches
  indexed(0x3ce, 5, 0), indexed(0x3ce, 4, 1);
  EXPECT_EQ(peek(0xa0001), 0xf0);
  indexed(0x3ce, 3, 0), indexed(0x3ce, 0, 0x0c), indexed(0x3ce, 8, 0x3c), indexed(0x3ce, 5, 3), poke(0xa0002, 0xf0);   // mode 3
  plane(2);
  EXPECT_EQ(peek(0xa0002), 0xff) << "0x30 of the set planes, the rest of the latches";
  plane(1);
  EXPECT_EQ(peek(0xa0002), 0xc0);
  indexed(0x3ce, 2, 0x0c), indexed(0x3ce, 5, 0x08);                // read mode 1: which dots have colour 12
  EXPECT_EQ(peek(0xa0002) & 0x3c, 0x30);
}

TEST_F(VgaTest, chain_4) {
  out(0x3c2, 3);
  indexed(0x3c4, 2, 0x0f), indexed(0x3c4, 4, 0x0e), indexed(0x3ce, 6, 0x05), indexed(0x3ce, 8, 0xff);
  memory.write(0, 8, 0x8877665544332211);
  EXPECT_EQ(memory.read(0, 8), 0x8877665544332211u);
  indexed(0x3c4, 4, 0x06), indexed(0x3ce, 4, 2);
  EXPECT_EQ(peek(0xa0000), 0x33);
  EXPECT_EQ(peek(0xa0004), 0x77);
}

TEST_F(VgaText, the_screen_is_what_the_crtc_shows) {
  EXPECT_EQ(dev.screen().mode, TextScreen::Mode::off);
  dev.post();
  TextScreen s = dev.screen();
  EXPECT_EQ(s.mode, TextScreen::Mode::text);
  EXPECT_EQ(s.columns, 80u);
  EXPECT_EQ(s.rows, 25u);
  EXPECT_TRUE(s.cursor && s.cursor_row == 0 && s.cursor_column == 0);
  EXPECT_TRUE(s.blink);
  for (u16 c : s.cells) ASSERT_EQ(c, 0x0720);
  EXPECT_EQ(s.palette[0], 0u);
  EXPECT_EQ(s.palette[1], 0x0000aau);
  EXPECT_EQ(s.palette[6], 0xaa5500u) << "brown, not dark yellow";
  EXPECT_EQ(s.palette[15], 0xffffffu);
  memory.write(0x18000 + 2 * (3 * 80 + 5), 2, 0x4e58);
  indexed(0x3d4, 0x0e, 0), indexed(0x3d4, 0x0f, 3 * 80 + 6);
  s = dev.screen();
  EXPECT_EQ(s.cells[3 * 80 + 5], 0x4e58);
  EXPECT_EQ(s.cursor_row, 3u);
  EXPECT_EQ(s.cursor_column, 6u);
  indexed(0x3d4, 0x0d, 80);                                        // one line up: scrolled by hardware
  s = dev.screen();
  EXPECT_EQ(s.cells[2 * 80 + 5], 0x4e58);
  EXPECT_EQ(s.cursor_row, 2u);
  indexed(0x3d4, 0x0a, 0x2d);
  EXPECT_FALSE(dev.screen().cursor);
  indexed(0x3d4, 9, 0x47);                                         // eight lines for each character: 50 rows
  EXPECT_EQ(dev.screen().rows, 50u);
  indexed(0x3c4, 1, 0x20);
  EXPECT_EQ(dev.screen().mode, TextScreen::Mode::off);
  indexed(0x3c4, 1, 0), indexed(0x3ce, 6, 5);
  EXPECT_EQ(dev.screen().mode, TextScreen::Mode::graphics);
}

TEST_F(VgaText, state_is_complete) {
  dev.post();
  Vga other(clock);
  expect_complete_state(dev, other, 60);
  EXPECT_EQ(other.screen().cells, dev.screen().cells);
}

TEST_F(VgaText, any_registers_give_some_screen) {
  u64 s = 0x9e3779b97f4a7c15;
  auto random = [&](u64 n) { s ^= s << 13, s ^= s >> 7, s ^= s << 17; return (s >> 11) % n; };
  dev.post();
  std::size_t texts = 0;
  const int rounds = std::getenv("DEEP") ? 1'000'000 : 20'000;
  for (int n = 0; n < rounds; ++n) {
    static constexpr u16 kPorts[] = {0x3c4, 0x3ce, 0x3d4, 0x3c0};
    if (random(4)) indexed(kPorts[random(4)], static_cast<u8>(random(40)), static_cast<u8>(random(256)));
    else memory.write(random(Vga::kWindowSize - 8), 1u << random(4), random(~u64{0}));
    if (!random(50)) out(0x3c2, static_cast<u8>(random(256)) | 3);
    if (!random(30)) dev.post();
    if (n % 8) continue;
    const TextScreen t = dev.screen();
    if (t.mode != TextScreen::Mode::text) continue;
    ++texts;
    ASSERT_EQ(t.cells.size(), std::size_t{t.columns} * t.rows);
    ASSERT_LE(t.columns, 256u);
    ASSERT_LE(t.rows, 1024u);
    if (t.cursor) { ASSERT_TRUE(t.cursor_row < t.rows && t.cursor_column < t.columns); }
  }
  EXPECT_GT(texts, 100u);
}
