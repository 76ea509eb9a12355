// SPDX-License-Identifier: GPL-2.0-or-later
// PCI Local Bus 3.0 "MSI-X Capability and Table Structures", and what is common to functions with bus mastering.
#include "pci/endpoint.hpp"

#include "devices/byte_device.hpp"
#include "fakes.hpp"
#include "pci/config.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {

struct Port final : FakeMemory {
  Port() : FakeMemory(0x10000) {}
  void msi(Bdf s, u64 a, u32 d) override { EXPECT_EQ(s, Bdf(0, 5, 0)); sent.push_back({a, d}); }
  std::vector<std::pair<u64, u32>> sent;
};

/// 70 vectors: two words of pending bits. Registers: one, that remembers what was written.
struct Card final : Endpoint {
  static FunctionSpec make() {
    FunctionSpec s;
    s.bdf = Bdf(0, 5, 0), s.vendor = 0x1af4, s.device = 1, s.class_code = 0x018000, s.interrupt_pin = 1, s.msi = true;
    s.bars[0] = {BarKind::mem64, false, 0x4000, 0xfe000000};
    s.bars[2] = {BarKind::mem32, false, 0x1000, 0xfe004000};
    s.msix = {70, 0, 0x2000, 0x3000};
    return s;
  }
  Card(Port& port, FakeClock& clock, IrqLine& pin) : Endpoint(make(), nullptr, port, clock, &pin) {}
  u64 register_read(unsigned bar, u64 offset, unsigned) override { return bar << 16 | offset; }
  void register_write(unsigned, u64 offset, unsigned, u64 value) override { last = {offset, value}; }
  void expire(u32 kind, u64) override { expired = kind; }
  void state(Ar& ar) override { Function::state(ar); }
  using Endpoint::after, Endpoint::cancel, Endpoint::fetch, Endpoint::message, Endpoint::signal, Endpoint::store, Endpoint::Signal;
  std::pair<u64, u64> last{};
  u32 expired = 0;
};

struct Msix : testing::Test {
  static constexpr u64 kTable = 0x2000, kPba = 0x3000;
  Port port;
  FakeClock clock;
  FakeLine pin;
  ConfigSpace space;
  Card& card = static_cast<Card&>(space.add(std::make_unique<Card>(port, clock, pin)));
  Device& bar = *card.spec().bars[0].device;
  void SetUp() override { space.settle(); }
  u32 in(u16 r, unsigned n = 4) { return space.read(Bdf(0, 5, 0), r, n); }
  void put(u16 r, u32 v, unsigned n) { space.write(Bdf(0, 5, 0), r, n, v); }
  void enable(u32 control = 0x8000) { put(4, 6, 2), put(0xa2, control, 2); }
  void vector(unsigned n, u64 address, u32 data, u32 mask = 0) {
    bar.write(kTable + 16 * n, 8, address), bar.write(kTable + 16 * n + 8, 4, data), bar.write(kTable + 16 * n + 12, 4, mask);
  }
  u64 pending(unsigned word = 0) { return bar.read(kPba + 8 * word, 8); }
};

}  // namespace

TEST_F(Msix, capability_tells_size_and_place) {
  EXPECT_EQ(in(0x34, 1), 0x80u);            // MSI, then MSI-X
  EXPECT_EQ(in(0x81, 1), 0xa0u);
  EXPECT_EQ(in(0xa0), 0x00450011u);         // 70 vectors
  EXPECT_EQ(in(0xa4), 0x2000u);
  EXPECT_EQ(in(0xa8), 0x3000u);
  put(0xa2, 0xffff, 2), put(0xa4, 0xffffffff, 4);
  EXPECT_EQ(in(0xa0), 0xc0450011u);         // only the two enables
  EXPECT_EQ(in(0xa4), 0x2000u);
}

TEST_F(Msix, every_vector_is_masked_at_reset) {
  for (unsigned n = 0; n < 70; ++n) EXPECT_EQ(bar.read(kTable + 16 * n + 8, 8), u64{1} << 32) << n;
  vector(69, 0xfee00000, 0x41);
  EXPECT_EQ(bar.read(kTable + 16 * 69 + 12, 4), 0u);
  card.reset();
  EXPECT_EQ(bar.read(kTable + 16 * 69 + 12, 4), 1u);
  EXPECT_EQ(bar.read(kTable + 16 * 69, 8), 0u);
}

TEST_F(Msix, table_takes_aligned_dwords_and_qwords) {
  bar.write(kTable, 8, 0x12345678'9abcdeff);
  EXPECT_EQ(bar.read(kTable, 8), 0x12345678'9abcdefcu);   // the address is that of a dword
  EXPECT_EQ(bar.read(kTable + 5, 1), 0x56u);
  bar.write(kTable, 1, 0), bar.write(kTable + 2, 2, 0), bar.write(kTable + 2, 4, 0), bar.write(kTable + 4, 8, 0);
  EXPECT_EQ(bar.read(kTable, 8), 0x12345678'9abcdefcu);
  bar.write(kTable + 12, 4, ~u32{0});
  EXPECT_EQ(bar.read(kTable + 12, 4), 1u);
  bar.write(kPba, 8, ~u64{0});
  EXPECT_EQ(pending(), 0u);
  EXPECT_EQ(bar.read(kTable + 16 * 70, 4), kTable + 16 * 70);   // behind the table are the device's registers
  bar.write(0x10, 4, 7);
  EXPECT_EQ(card.last, (std::pair<u64, u64>{0x10, 7}));
}

TEST_F(Msix, a_vector_sends_its_own_message) {
  enable();
  vector(3, 0x1'fee01000, 0x33), vector(69, 0xfee02000, 0x44);
  card.message(3), card.message(69);
  EXPECT_EQ(port.sent, (std::vector<std::pair<u64, u32>>{{0x1'fee01000, 0x33}, {0xfee02000, 0x44}}));
  card.message(70);                         // a vector that does not exist
  EXPECT_EQ(port.sent.size(), 2u);
}

TEST_F(Msix, a_masked_vector_is_pending_and_leaves_when_unmasked) {
  enable();
  vector(1, 0xfee00000, 0x21, 1), vector(66, 0xfee00000, 0x22, 1);
  card.send_msix(1), card.send_msix(1), card.send_msix(66);
  EXPECT_TRUE(port.sent.empty());
  EXPECT_EQ(pending(), 2u);
  EXPECT_EQ(pending(1), 4u);
  EXPECT_EQ(bar.read(kPba + 8, 1), 4u);
  bar.write(kTable + 16 + 12, 4, 0);
  EXPECT_EQ(port.sent, (std::vector<std::pair<u64, u32>>{{0xfee00000, 0x21}}));   // once
  EXPECT_EQ(pending(), 0u);
  card.forget_msix(66);                     // software has seen it in another way
  bar.write(kTable + 16 * 66 + 12, 4, 0);
  EXPECT_EQ(port.sent.size(), 1u);
}

TEST_F(Msix, function_mask_holds_all_vectors) {
  enable(0xc000);
  vector(0, 0xfee00000, 1), vector(5, 0xfee00000, 2), vector(6, 0xfee00000, 3, 1);
  card.send_msix(5), card.send_msix(0), card.send_msix(6);
  EXPECT_TRUE(port.sent.empty());
  put(0xa3, 0x80, 1);
  EXPECT_EQ(port.sent, (std::vector<std::pair<u64, u32>>{{0xfee00000, 1}, {0xfee00000, 2}}));
  EXPECT_EQ(pending(), 64u);
}

TEST_F(Msix, nothing_leaves_while_disabled_or_without_bus_mastering) {
  vector(0, 0xfee00000, 1);
  card.send_msix(0);
  EXPECT_EQ(pending(), 0u);
  enable();
  put(4, 2, 2);
  card.send_msix(0);
  EXPECT_TRUE(port.sent.empty());
}

TEST_F(Msix, the_pin_is_silent_while_messages_are_enabled) {
  card.set_intx(true);
  EXPECT_TRUE(pin.level);
  EXPECT_EQ(card.signal(), Card::Signal::pin);
  enable();
  EXPECT_FALSE(pin.level);
  EXPECT_EQ(card.signal(), Card::Signal::msix);
  put(0xa2, 0, 2);
  EXPECT_TRUE(pin.level);
  put(0x82, 1, 2);
  EXPECT_FALSE(pin.level);
  EXPECT_EQ(card.signal(), Card::Signal::msi);
  put(0x84, 0xfee00000, 4), put(0x8c, 0x55, 2);
  card.message(0);
  EXPECT_EQ(port.sent, (std::vector<std::pair<u64, u32>>{{0xfee00000, 0x55}}));
}

TEST_F(Msix, every_field_is_state) {
  enable();
  vector(4, 0xfee00000, 0x99, 1);
  card.send_msix(4);
  FakeLine other_pin;
  Card other(port, clock, other_pin);
  expect_complete_state(card, other, 2);
  const std::string before = hash_of(card);
  card.forget_msix(4);
  EXPECT_NE(hash_of(card), before);
  EXPECT_TRUE(other.msix_pending(4));
  EXPECT_EQ(other.msix_read(kTable + 16 * 4 + 8, 8), u64{1} << 32 | 0x99);
}

TEST_F(Msix, dma_needs_bus_mastering_and_tells_what_became_of_it) {
  u32 v = 0x12345678;
  EXPECT_FALSE(card.store(0x100, &v, 4));
  EXPECT_FALSE(card.fetch(0x100, &v, 4));
  EXPECT_EQ(v, ~u32{0});
  put(4, 6, 2);
  v = 0x12345678;
  EXPECT_TRUE(card.store(0x100, &v, 4));
  v = 0;
  EXPECT_TRUE(card.fetch(0x100, &v, 4));
  EXPECT_EQ(v, 0x12345678u);
  EXPECT_FALSE(card.fetch(0xfffff, &v, 4));
  EXPECT_EQ(v, ~u32{0});
}

TEST_F(Msix, events_and_windows_of_each_bar) {
  EXPECT_EQ(card.spec().bars[2].device->read(0x2000, 4), 0x22000u);   // the table is in the other one
  card.after(100, 7);
  clock.pass(99);
  EXPECT_EQ(card.expired, 0u);
  clock.pass(1);
  EXPECT_EQ(card.expired, 7u);
  card.after(100, 8), card.cancel(8);
  EXPECT_TRUE(clock.idle());
}

TEST(wired_or, is_asserted_while_one_of_its_inputs_is) {
  FakeLine out;
  WiredOr wire;
  wire.connect(out);
  IrqLine &a = wire.add(), &b = wire.add();
  a.set(true), b.set(true);
  EXPECT_TRUE(out.level);
  a.set(false);
  EXPECT_TRUE(out.level);
  const std::string before = hash_of(wire);
  b.set(false);
  EXPECT_FALSE(out.level);
  EXPECT_NE(hash_of(wire), before);
}
