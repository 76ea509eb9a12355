// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "base/physmem.hpp"

using namespace vt;

namespace {
struct Log final : PhysMem::Listener {
  void before_write(Hpa at, std::size_t n, u8, WriteCause) override { before.push_back({at.v, n}); }
  void after_write(Hpa at, std::size_t n, u8, WriteCause cause) override { after.push_back({at.v, n}); last = cause; }
  std::vector<std::pair<u64, std::size_t>> before, after;
  WriteCause last{};
};
}  // namespace

TEST(physmem, holes_read_ones_and_drop_writes) {
  PhysMem m(0x4000);
  m.add_ram(Hpa{0}, 0x1000);
  m.add_ram(Hpa{0x2000}, 0x1000);
  m.poke64(Hpa{0xffc}, 0x1122334455667788, WriteCause::store);
  EXPECT_EQ(m.peek64(Hpa{0xffc}), 0xffffffff55667788u);
  EXPECT_EQ(m.peek64(Hpa{0x1'0000'0000}), ~u64{0});
}

TEST(physmem, rom_takes_loader_writes_only) {
  PhysMem m(0x1000);
  m.add_rom(Hpa{0}, 0x1000);
  m.poke32(Hpa{0}, 5, WriteCause::dma);
  EXPECT_EQ(m.peek32(Hpa{0}), 0u);
  m.poke32(Hpa{0}, 5, WriteCause::loader);
  EXPECT_EQ(m.peek32(Hpa{0}), 5u);
}

TEST(physmem, every_writer_tells_the_listeners_of_flagged_pages) {
  PhysMem m(0x3000);
  m.add_ram(Hpa{0}, 0x3000);
  Log log;
  m.add_listener(&log);
  m.set_flag(Hpa{0x1000}, page_flag::watched);
  m.poke64(Hpa{0x0}, 1, WriteCause::store);
  EXPECT_TRUE(log.after.empty());
  m.poke64(Hpa{0xffc}, 1, WriteCause::dma);
  ASSERT_EQ(log.after.size(), 1u);
  EXPECT_EQ(log.after[0], (std::pair<u64, std::size_t>{0x1000, 4}));
  EXPECT_EQ(log.before, log.after);
  EXPECT_EQ(log.last, WriteCause::dma);
}

TEST(physmem, state_keeps_pages_that_are_not_zero) {
  PhysMem a(0x4000), b(0x4000);
  for (auto* m : {&a, &b}) m->add_ram(Hpa{0}, 0x4000);
  a.poke64(Hpa{0x2008}, 77, WriteCause::store);
  b.poke64(Hpa{0x1000}, 1, WriteCause::store);
  SaveAr s;
  a.state(s);
  LoadAr l(s.out);
  b.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(b.peek64(Hpa{0x2008}), 77u);
  EXPECT_EQ(b.peek64(Hpa{0x1000}), 0u);
}
