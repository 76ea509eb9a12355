// SPDX-License-Identifier: GPL-2.0-or-later
// VIRTIO 1.1 "Virtio Over PCI Bus", "Split Virtqueues", "Network Device".
#include "pci/virtio_net.hpp"

#include <random>

#include "fakes.hpp"
#include "pci/config.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {

struct Port final : FakeMemory {
  Port() : FakeMemory(0x20000) {}
  void msi(Bdf, u64 a, u32) override { sent.push_back(a); }
  std::vector<u64> sent;
};

struct Wire final : FrameSink {
  void frame(std::span<const u8> b) override { frames.emplace_back(b.begin(), b.end()); }
  std::vector<std::vector<u8>> frames;
};

FunctionSpec spec() {
  FunctionSpec s;
  s.bdf = Bdf(0, 5, 0), s.vendor = 0x1af4, s.device = 0x1041, s.class_code = 0x020000, s.interrupt_pin = 1;
  s.bars[0] = {BarKind::mem32, false, 0x4000, 0xfe000000};
  s.bars[1] = {BarKind::mem32, false, 0x1000, 0xfe004000};
  return s;
}

/// A driver by the book: rings of queue q at 10000H + 4000H q, buffers below 10000H.
struct Net : testing::Test {
  Port port;
  FakeClock clock;
  FakeLine pin;
  Wire wire;
  ConfigSpace space;
  VirtioNet& card = static_cast<VirtioNet&>(space.add(std::make_unique<VirtioNet>(spec(), nullptr, port, clock, &pin)));
  Device& bar = *card.spec().bars[0].device;
  Device& bar1 = *card.spec().bars[1].device;
  void SetUp() override { space.settle(); space.write(Bdf(0, 5, 0), 4, 2, 6); card.connect(&wire); }

  static u64 table(unsigned q) { return 0x10000 + 0x4000 * q; }
  static u64 avail(unsigned q) { return table(q) + 0x1000; }
  static u64 ring(unsigned q) { return table(q) + 0x2000; }
  u8 status() { return static_cast<u8>(bar.read(0x14, 1)); }
  void features(u64 v) {
    for (u32 half : {0u, 1u}) bar.write(0x08, 4, half), bar.write(0x0c, 4, v >> 32 * half & 0xffffffff);
  }
  void start(u64 wanted = Virtio::kVersion1 | Virtio::kAccessPlatform | VirtioNet::kMac | VirtioNet::kIndirectDescriptors) {
    bar.write(0x14, 1, 0), bar.write(0x14, 1, 3);
    features(wanted);
    bar.write(0x14, 1, 11);
    for (unsigned q : {0u, 1u}) {
      bar.write(0x16, 2, q), bar.write(0x18, 2, 8), bar.write(0x1a, 2, q + 1);
      bar.write(0x20, 8, table(q)), bar.write(0x28, 8, avail(q)), bar.write(0x30, 8, ring(q)), bar.write(0x1c, 2, 1);
    }
    bar.write(0x14, 1, 15);
  }
  void descriptor(unsigned q, unsigned n, u64 at, u32 size, u16 flags = 0, u16 next = 0) {
    const u64 d = table(q) + 16 * n;
    port.put(d, at), port.put(d + 8, size), port.put(d + 12, flags), port.put(d + 14, next);
  }
  void offer(unsigned q, u16 head, bool notify = true) {
    const u16 index = port.get<u16>(avail(q) + 2);
    port.put<u16>(avail(q) + 4 + 2 * (index % 8), head), port.put<u16>(avail(q) + 2, static_cast<u16>(index + 1));
    if (notify) bar.write(Virtio::kNotify, 2, q);
  }
  u16 used(unsigned q) { return port.get<u16>(ring(q) + 2); }
};

}  // namespace

TEST_F(Net, capabilities_name_the_structures_in_their_bar) {
  std::map<u8, std::pair<u32, u32>> places;
  for (u8 at = static_cast<u8>(space.read(Bdf(0, 5, 0), 0x34, 1)); at; at = static_cast<u8>(space.read(Bdf(0, 5, 0), at + 1, 1)))
    if (space.read(Bdf(0, 5, 0), at, 1) == 9) places[static_cast<u8>(space.read(Bdf(0, 5, 0), at + 3, 1))] = {space.read(Bdf(0, 5, 0), at + 8, 4), space.read(Bdf(0, 5, 0), at + 12, 4)};
  EXPECT_EQ(places.size(), 5u);
  EXPECT_EQ(places[1].first, u32{Virtio::kCommon});
  EXPECT_EQ(places[2].first, u32{Virtio::kNotify});
  EXPECT_EQ(places[3].first, u32{Virtio::kIsr});
  EXPECT_EQ(places[4].first, u32{Virtio::kDeviceConfig});
}

TEST_F(Net, window_in_configuration_space_reaches_the_registers) {
  const Bdf at(0, 5, 0);
  space.write(at, 0xe4, 1, 0), space.write(at, 0xe8, 4, 0x12), space.write(at, 0xec, 4, 2);
  EXPECT_EQ(space.read(at, 0xf0, 2), 2u) << "num_queues";
  space.write(at, 0xe8, 4, 0x14), space.write(at, 0xec, 4, 1), space.write(at, 0xf0, 1, 3);
  EXPECT_EQ(status(), 3);
  space.write(at, 0xec, 4, 3);   // no such length
  space.write(at, 0xf0, 1, 0);
  EXPECT_EQ(status(), 3);
}

TEST_F(Net, features_have_to_be_offered_and_include_version_and_platform_access) {
  start();
  EXPECT_EQ(status(), 15);
  start(Virtio::kVersion1);
  EXPECT_EQ(status(), 3) << "without ACCESS_PLATFORM the device could not be behind an IOMMU";
  start(Virtio::kVersion1 | Virtio::kAccessPlatform | 1);
  EXPECT_EQ(status(), 3) << "not offered";
  EXPECT_EQ(bar.read(Virtio::kDeviceConfig, 1), 2u);
  EXPECT_EQ(bar.read(Virtio::kDeviceConfig + 6, 2), 1u) << "link up";
}

TEST_F(Net, frame_is_sent_from_a_chain_and_its_interrupt_acknowledged) {
  start();
  port.put<u32>(0x2000, 0xddccbbaa);
  descriptor(1, 3, 0x1000, 12, 1, 5), descriptor(1, 5, 0x2000, 4);
  offer(1, 3);
  EXPECT_TRUE(wire.frames.empty());
  clock.pass(VirtioNet::kDelay);
  ASSERT_EQ(wire.frames.size(), 1u);
  EXPECT_EQ(wire.frames[0], (std::vector<u8>{0xaa, 0xbb, 0xcc, 0xdd}));
  EXPECT_EQ(used(1), 1);
  EXPECT_EQ(port.get<u32>(ring(1) + 4), 3u);
  EXPECT_TRUE(pin.level);
  EXPECT_EQ(bar.read(Virtio::kIsr, 1), 1u);
  EXPECT_FALSE(pin.level);
  port.put<u16>(avail(1), 1);   // VIRTQ_AVAIL_F_NO_INTERRUPT
  offer(1, 3), clock.pass(VirtioNet::kDelay);
  EXPECT_EQ(wire.frames.size(), 2u);
  EXPECT_FALSE(pin.level);
}

TEST_F(Net, indirect_table_replaces_the_chain) {
  start();
  port.put<u64>(0x3000, 0x1000), port.put<u32>(0x3008, 12), port.put<u16>(0x300c, 1), port.put<u16>(0x300e, 1);
  port.put<u64>(0x3010, 0x2000), port.put<u32>(0x3018, 60), port.put<u16>(0x301c, 0);
  descriptor(1, 0, 0x3000, 32, 4);
  offer(1, 0), clock.pass(VirtioNet::kDelay);
  ASSERT_EQ(wire.frames.size(), 1u);
  EXPECT_EQ(wire.frames[0].size(), 60u);
}

TEST_F(Net, received_frame_waits_for_a_buffer_then_comes_with_a_header) {
  const std::vector<u8> frame{1, 2, 3, 4, 5};
  card.receive(frame);
  EXPECT_EQ(card.counts().dropped, 1u) << "no driver yet";
  start();
  card.receive(frame), clock.pass(VirtioNet::kDelay);
  EXPECT_EQ(used(0), 0);
  descriptor(0, 2, 0x4000, 1600, 2);
  offer(0, 2), clock.pass(VirtioNet::kDelay);
  EXPECT_EQ(used(0), 1);
  EXPECT_EQ(port.get<u32>(ring(0) + 8), 17u);
  EXPECT_EQ(port.get<u16>(0x400a), 1) << "num_buffers";
  EXPECT_TRUE(std::equal(frame.begin(), frame.end(), &port.memory[0x400c]));
  descriptor(0, 3, 0x5000, 14, 2);
  offer(0, 3), card.receive(frame), clock.pass(VirtioNet::kDelay);
  EXPECT_EQ(port.get<u32>(ring(0) + 4 + 8 + 4), 0u) << "a buffer that is too small takes nothing";
  EXPECT_EQ(card.counts().received, 1u);
}

TEST_F(Net, messages_go_to_the_vector_of_each_queue) {
  start();
  for (unsigned n = 0; n < 3; ++n) bar1.write(16 * n, 8, 0xfee00000 + n * 0x1000), bar1.write(16 * n + 8, 8, 0x30 + n);
  space.write(Bdf(0, 5, 0), 0xa2, 2, 0x8000);
  descriptor(1, 0, 0x1000, 70);
  offer(1, 0), clock.pass(VirtioNet::kDelay);
  EXPECT_EQ(port.sent, (std::vector<u64>{0xfee02000}));
  EXPECT_FALSE(pin.level);
}

TEST_F(Net, a_ring_that_makes_no_sense_asks_for_a_reset) {
  const auto broken = [&](auto&& damage) {
    start();
    std::fill(port.memory.begin() + 0x10000, port.memory.end(), u8{0});
    descriptor(1, 0, 0x1000, 70);
    damage();
    bar.write(Virtio::kNotify, 2, 1), clock.pass(VirtioNet::kDelay);
    return (status() & Virtio::kNeedsReset) != 0;
  };
  EXPECT_FALSE(broken([&] { offer(1, 0, false); }));
  EXPECT_TRUE(broken([&] { port.put<u16>(avail(1) + 2, 9); })) << "more than the ring holds";
  EXPECT_TRUE(broken([&] { offer(1, 8, false); })) << "head";
  EXPECT_TRUE(broken([&] { descriptor(1, 0, 0x1000, 70, 1, 0), offer(1, 0, false); })) << "a circle";
  EXPECT_TRUE(broken([&] { descriptor(1, 0, table(1), 32, 4), offer(1, 0, false); })) << "an indirect table that names itself";
  EXPECT_TRUE(broken([&] { descriptor(1, 0, 0x1000, 17, 4), offer(1, 0, false); })) << "size of an indirect table";
  EXPECT_TRUE(broken([&] { descriptor(1, 0, 0x1000, 12, 3, 1), descriptor(1, 1, 0x1000, 12), offer(1, 0, false); })) << "readable after writable";
  EXPECT_TRUE(broken([&] { descriptor(1, 0, 0x1fff0, 70), offer(1, 0, false); })) << "nothing answers there";
  start();
  EXPECT_EQ(status(), 15) << "a reset mends it";
}

TEST_F(Net, state_is_complete) {
  start();
  card.receive(std::vector<u8>(60));
  Port port2;
  FakeClock clock2;
  VirtioNet fresh(spec(), nullptr, port2, clock2, nullptr);
  expect_complete_state(card, fresh, 10);
}

TEST_F(Net, random_registers_and_rings_are_no_crash) {
  std::mt19937_64 r(1);
  for (int turn = 0; turn < 300; ++turn) {
    start();
    for (std::size_t i = 0x10000; i < port.memory.size(); i += 8) port.put<u64>(i, r() & (r() & 3 ? 0x000100030001ffff : ~u64{0}));
    for (unsigned q : {0u, 1u}) port.put<u16>(avail(q) + 2, static_cast<u16>(r() % 12));
    for (int n = 0; n < 60; ++n) {
      const u64 offset = r() & 3 ? r() % 0x40 : r() % 0x4000;
      const unsigned size = 1u << r() % 4;
      if (r() & 1) bar.write(offset / size * size, size, r() & 7 ? r() % 0x20000 : r());
      else bar.read(offset / size * size, size);
      if (!(r() & 7)) card.receive(std::vector<u8>(r() % 1600));
      if (!(r() & 3)) bar.write(Virtio::kNotify, 2, r() & 1);
      if (!(r() & 15)) space.write(Bdf(0, 5, 0), static_cast<u16>(0xe0 + r() % 0x14), 1, static_cast<u32>(r() & 0xff));
      clock.pass(r() % 3000);
    }
  }
  start();
  EXPECT_EQ(status(), 15);
}
