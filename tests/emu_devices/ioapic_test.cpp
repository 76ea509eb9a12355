// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/ioapic.hpp"
#include "fakes.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Bus final : InterruptBus {
  struct Message { u16 source; u64 address; u32 data; bool operator==(const Message&) const = default; };
  void message(Bdf s, u64 a, u32 d) override { sent.push_back({s.v, a, d}); }
  std::vector<Message> sent;
};
struct Io : testing::Test {
  Bus bus;
  IoApic dev{bus, Bdf(0xff, 0, 0), 2};
  u32 in(u8 r) { dev.write(0, 4, r); return static_cast<u32>(dev.read(0x10, 4)); }
  void put(u8 r, u32 v) { dev.write(0, 4, r), dev.write(0x10, 4, v); }
  void rte(unsigned n, u32 low, u32 high = 0) { put(static_cast<u8>(0x11 + 2 * n), high), put(static_cast<u8>(0x10 + 2 * n), low); }
};
}  // namespace

TEST_F(Io, identification) {  // 82093AA "IOAPICID", "IOAPICVER", "IOAPICARB"
  EXPECT_EQ(in(0), 2u << 24);
  EXPECT_EQ(in(1), 0x00170020u);
  EXPECT_EQ(in(2), 2u << 24);
  put(0, 0xffffffff);
  EXPECT_EQ(in(0), 15u << 24);
  EXPECT_EQ(in(0x40), 0u);
  EXPECT_EQ(dev.read(0, 4), 0x40u);
}

TEST_F(Io, entries_reset_masked_and_keep_read_only_bits) {
  EXPECT_EQ(in(0x10), 0x10000u);
  rte(3, 0xffffffff, 0xffffffff);
  EXPECT_EQ(in(0x16), 0x1afffu);
  EXPECT_EQ(in(0x17), 0xffff0000u);
}

TEST_F(Io, edge_in_compatibility_format) {  // VT-d "Interrupt Requests in Intel 64 Compatibility Format"
  rte(2, 0x0000'0930, 0x0300'0000);  // logical, lowest priority, vector 0x30
  dev.input(2).set(true);
  ASSERT_EQ(bus.sent.size(), 1u);
  EXPECT_EQ(bus.sent[0], (Bus::Message{0xff00, 0xfee03004, 0x4130}));
  dev.input(2).set(true);
  EXPECT_EQ(bus.sent.size(), 1u);
  dev.input(2).set(false), dev.input(2).set(true);
  EXPECT_EQ(bus.sent.size(), 2u);
  EXPECT_EQ(in(0x14) & 0x5000, 0u);
}

TEST_F(Io, remappable_format) {  // VT-d "Interrupt Requests in Remappable Format"
  const u16 handle = 0x8123;
  rte(4, 0x40 | (handle >> 15) << 11, static_cast<u32>(handle & 0x7fff) << 17 | 1u << 16);
  dev.input(4).set(true);
  ASSERT_EQ(bus.sent.size(), 1u);
  EXPECT_EQ(bus.sent[0].address, 0xfee00000u | (handle & 0x7fff) << 5 | 1 << 4 | 1 << 2);
  EXPECT_EQ(bus.sent[0].data & 0xff, 0x40u);
}

TEST_F(Io, an_edge_on_a_masked_input_is_lost) {  // 82093AA "Interrupt Mask"
  dev.input(5).set(true);
  rte(5, 0x35);
  EXPECT_TRUE(bus.sent.empty());
  dev.input(5).set(false), dev.input(5).set(true);
  EXPECT_EQ(bus.sent.size(), 1u);
}

TEST_F(Io, level_waits_for_eoi_and_is_sent_again) {  // 82093AA "Remote IRR"
  rte(9, 0x8039);
  dev.input(9).set(true);
  EXPECT_EQ(bus.sent.size(), 1u);
  EXPECT_EQ(bus.sent[0].data, 0xc039u);
  EXPECT_EQ(in(0x22) & 0x4000, 0x4000u);
  dev.input(9).set(false), dev.input(9).set(true);
  EXPECT_EQ(bus.sent.size(), 1u);
  dev.eoi(0x38);
  EXPECT_EQ(bus.sent.size(), 1u);
  dev.eoi(0x39);
  EXPECT_EQ(bus.sent.size(), 2u);
  dev.input(9).set(false);
  dev.write(0x40, 4, 0x39);  // directed EOI
  EXPECT_EQ(bus.sent.size(), 2u);
  EXPECT_EQ(in(0x22) & 0x4000, 0u);
}

TEST_F(Io, masked_level_is_sent_when_unmasked) {
  rte(10, 0x1803a);
  dev.input(10).set(true);
  EXPECT_TRUE(bus.sent.empty());
  rte(10, 0x803a);
  EXPECT_EQ(bus.sent.size(), 1u);
  rte(10, 0x1003a);  // mask and make it an edge: remote IRR goes
  EXPECT_EQ(in(0x24) & 0x4000, 0u);
  rte(10, 0x803a);
  EXPECT_EQ(bus.sent.size(), 2u);
}

TEST_F(Io, extint_and_nmi_are_edges) {  // 82093AA "Delivery Mode"
  rte(0, 0x8700);
  dev.input(0).set(true);
  ASSERT_EQ(bus.sent.size(), 1u);
  EXPECT_EQ(bus.sent[0].data, 0x4700u);
  EXPECT_EQ(in(0x10) & 0x4000, 0u);
}

TEST_F(Io, iowin_takes_dwords_only) {
  dev.write(0, 4, 0x10);
  dev.write(0x10, 1, 0x55);
  EXPECT_EQ(in(0x10), 0x10000u);
  EXPECT_EQ(dev.read(0x12, 1), 1u);
}

TEST_F(Io, state_is_complete) {
  rte(9, 0x8039), dev.input(9).set(true);
  Bus b;
  IoApic other(b, Bdf(0xff, 0, 0), 2);
  expect_complete_state(dev, other, 3 + 24);
  other.eoi(0x39);
  EXPECT_EQ(b.sent.size(), 1u);
}
