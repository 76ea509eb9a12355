// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine.hpp"

namespace vt::vtd {
namespace {

void live(Machine& m) {
  m.tables(), m.map(0x5000, 0x9003), m.map(0x6000, 0xa001), m.enable_queue();
  m.w64(0xb8, kIrt | 7), m.command(gcmd::SIRTP), m.command(gcmd::IRE), m.enable();
  m.put(kIrt + 16 * 5, 0x0041'0001);
  m.dma(0x5000), m.dma(0x6000), m.dma(0x7000);
  m.unit.remap(m.dev, 0xfee000b0, 0);
  m.submit(descriptor::wait_interrupt());
}
Caps small() { Caps c; c.iotlb_entries = 4, c.context_entries = 2, c.interrupt_entries = 2, c.fault_records = 2; return c; }
std::string hash(Unit& u) { HashAr h; u.state(h); return h.hex(); }

TEST(vtd_state, every_field_alters_the_hash) {
  Machine m(small());
  live(m);
  VisitAr v;
  m.unit.state(v);
  EXPECT_GT(v.fields.size(), 60u);
  std::string before = hash(m.unit);
  SaveAr s;
  m.unit.state(s);
  // Every saved byte counts: a state that differs in it has another hash, or is refused as damaged.
  for (std::size_t i = 0; i < s.out.size(); ++i) {
    std::vector<u8> other = s.out;
    other[i] ^= 1;
    Machine n(small());
    LoadAr l(other);
    try {
      n.unit.state(l);
    } catch (const std::runtime_error& e) {
      EXPECT_TRUE(std::string_view(e.what()).starts_with("damaged state: "));
      continue;
    }
    EXPECT_NE(hash(n.unit), before) << "byte " << i;
  }
}

TEST(vtd_state, restored_unit_behaves_the_same) {
  Machine m(small());
  live(m);
  SaveAr s;
  m.unit.state(s);
  Machine n(small());
  LoadAr l(s.out);
  n.unit.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(hash(m.unit), hash(n.unit));
  EXPECT_TRUE(n.dma(0x5000).from_iotlb);            // its memory is empty: only the caches know
  EXPECT_EQ(n.dma(0x5000).at.v, 0x9000u);
  EXPECT_EQ(n.unit.remap(n.dev, 0xfee000b0, 0).vector, 0x41);
  EXPECT_EQ(n.r32(0x9c), 1u);
  EXPECT_EQ(n.unit.fault_record(0).page(), 0x7000u);
  EXPECT_EQ(n.r32(0x1c), m.r32(0x1c));
  n.dma(0x8000);
  EXPECT_EQ(n.unit.fault_record(1).page(), 0x8000u);
}

TEST(vtd_state, of_another_geometry_is_refused) {
  Machine m(small());
  SaveAr s;
  m.unit.state(s);
  Caps c = small();
  c.iotlb_entries = 5;
  Machine n(c);
  LoadAr l(s.out);
  EXPECT_THROW(n.unit.state(l), std::runtime_error);
  c = small();
  c.fault_records = 1;
  Machine o(c);
  LoadAr k(s.out);
  EXPECT_THROW(o.unit.state(k), std::runtime_error);
}

TEST(vtd_robustness, any_register_traffic_ends) {   // guest input never crashes or hangs the unit
  Caps c = small();
  c.plmr = c.phmr = c.extended_interrupt_mode = c.write_buffer_flush = true;
  Machine m(c);
  m.out.watched = false;
  u64 x = 0x9e3779b97f4a7c15;
  auto random = [&x] { x ^= x << 13, x ^= x >> 7, x ^= x << 17; return x; };
  for (u64 at = 0; at < 0x80000; at += 8) m.put(at, random() & (random() | 0x7003));
  for (int i = 0; i < 200000; ++i) {
    u64 at = random() % 0x110;
    u64 v = random();
    if (v & 1) v &= 0xf000'0000'0007'f0ff;
    m.unit.write(v & 2 ? at & ~u64{3} : at & ~u64{7}, v & 2 ? 4 : 8, v);
    m.unit.read(at, 1u << (v & 3));
    if (i % 8 == 0) m.unit.write(0x1c - 4, 4, random());
    if (i % 16 == 0) m.unit.write(0x90, 8, random() & 0x7f007), m.unit.write(0x34, 4, ~u64{0}), m.unit.write(0x22c, 4, ~u64{0});
    m.dma(random() & 0x3f'ffff, Access(static_cast<u8>(v & 3)), Bdf(static_cast<u16>(random() & 0x0fff)));
    m.unit.remap(Bdf(static_cast<u16>(v)), 0xfee00000 | (random() & 0xfffff), static_cast<u32>(random()));
  }
  EXPECT_FALSE(m.out.stop_.requested());
}

}  // namespace
}  // namespace vt::vtd
