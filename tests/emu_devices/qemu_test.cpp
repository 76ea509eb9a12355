// SPDX-License-Identifier: GPL-2.0-or-later
// The devices of test kernels made for QEMU: what guests/bare/qemu_devices.cpp cannot see. That guest runs on QEMU too, and says there what it says here.
#include "devices/test_devices.hpp"
#include "disk_rig.hpp"
#include "pci/edu.hpp"
#include "pci/pci_testdev.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {

template <class C>
struct World {
  Ram ram;
  FakeClock clock;
  FakeLine pin;
  ConfigSpace space;
  C& c = static_cast<C&>(space.add(std::make_unique<C>(spec(), nullptr, ram, clock, &pin)));
  Device& bar = *c.spec().bars[0].device;
  static FunctionSpec spec() {
    FunctionSpec s;
    s.bdf = Bdf(0, 5, 0), s.vendor = 0x1234, s.device = 0x11e8, s.class_code = 0x00ff00, s.interrupt_pin = 1, s.msi = true;
    s.bars[0] = {BarKind::mem32, false, 0x100000, 0xfe000000};
    return s;
  }
  World() { space.settle(), space.write(Bdf(0, 5, 0), 4, 2, 6); }
  void state(Ar& ar) { ar(space, ram.memory); }
  void copy(u64 from, u64 to, u64 n, u64 command) {
    bar.write(Edu::kSource, 8, from), bar.write(Edu::kDestination, 8, to), bar.write(Edu::kCount, 8, n), bar.write(Edu::kCommand, 8, command);
    clock.pass(Edu::kDmaDelay);
  }
};

}  // namespace

TEST(edu, dma_stays_in_the_buffer_and_below_256_mib) {
  World<Edu> w;
  for (u64 n = 0; n < 4096; ++n) w.ram.memory[n] = static_cast<u8>(n * 7);
  w.copy(0, Edu::kBuffer, 4096, Edu::kRun);
  w.copy(Edu::kBuffer + 4092, 0x10008000, 4, Edu::kRun | Edu::kToMemory);   // bit 28 is not driven
  EXPECT_EQ(w.ram.get<u32>(0x8000), w.ram.get<u32>(4092));
  struct { u64 inside, count; } const kOutside[] = {{Edu::kBuffer - 1, 4}, {Edu::kBuffer + 4093, 4}, {Edu::kBuffer, 4097}, {Edu::kBuffer + 4096, 1}, {0, 4}, {~u64{0} - 1, 4}, {Edu::kBuffer, ~u64{0}}};
  for (auto [inside, count] : kOutside) {
    w.copy(inside, 0x9000, count, Edu::kRun | Edu::kToMemory | Edu::kIrqWhenDone);
    EXPECT_EQ(w.bar.read(Edu::kCommand, 8), u64{Edu::kToMemory | Edu::kIrqWhenDone}) << inside << " it has ended";
    w.copy(0, inside, count, Edu::kRun);
  }
  EXPECT_EQ(w.ram.get<u64>(0x9000), 0u);
  w.copy(Edu::kBuffer, 0x9000, 4, Edu::kRun | Edu::kToMemory);
  EXPECT_EQ(w.ram.get<u32>(0x9000), w.ram.get<u32>(0)) << "the buffer is what it was";
}

TEST(edu, dma_that_is_refused_ends_too) {
  World<Edu> w;
  w.ram.block_first = 0x5000, w.ram.block_last = 0x5fff;
  w.copy(0x5000, Edu::kBuffer, 8, Edu::kRun);
  w.copy(Edu::kBuffer, 0x6000, 8, Edu::kRun | Edu::kToMemory);
  EXPECT_EQ(w.ram.get<u64>(0x6000), ~u64{0}) << "what was not read is ones";
}

TEST(edu, widths_of_registers) {
  World<Edu> w;
  EXPECT_EQ(w.bar.read(Edu::kId, 4), 0x010000edu);
  for (unsigned size : {1u, 2u, 8u}) EXPECT_EQ(w.bar.read(Edu::kId, size), ~u64{0}) << size;
  w.bar.write(Edu::kComplement, 2, 5);
  EXPECT_EQ(w.bar.read(Edu::kComplement, 4), 0u);
  w.bar.write(Edu::kSource, 8, 0x123456789a), w.bar.write(Edu::kSource + 4, 4, 7);
  EXPECT_EQ(w.bar.read(Edu::kSource, 8), 0x123456789au);
  EXPECT_EQ(w.bar.read(0x28, 4), ~u64{0});
}

TEST(pc_testdev, lines_up_to_23_that_exist) {
  FakeLine line;
  std::array<IrqLine*, PcTestdev::kInterrupts> lines{};
  lines[23] = &line;
  PcTestdev t(lines);
  t.write(PcTestdev::kLines + 23, 1, 1);
  EXPECT_TRUE(line.level);
  t.write(PcTestdev::kLines + 22, 1, 1), t.write(PcTestdev::kLines + 23, 2, 0);
  EXPECT_TRUE(line.level) << "only single bytes";
  t.write(PcTestdev::kLines + 23, 1, 0);
  EXPECT_FALSE(line.level);
}

TEST(isa_debug_exit, status_is_twice_the_value_and_one) {
  for (auto [value, status] : {std::pair{u64{0}, 1}, {u64{0x10}, 0x21}, {u64{0x7f}, 0xff}, {u64{0x80}, 1}, {u64{0xffffffff}, 0xff}}) {
    Stop stop;
    IsaDebugExit(stop).write(0, 4, value);
    EXPECT_EQ(stop.reason(), StopReason::exit_device);
    EXPECT_EQ(stop.code(), status) << value;
  }
}

// Registers of any address and value, in any width; in the middle a copy of the state goes on like the original.
template <class W, class P>
void play(P poke) {
  u64 s = 0x9e3779b97f4a7c15;
  const auto random = [](u64& s, u64 n) { s ^= s << 13, s ^= s >> 7, s ^= s << 17; return (s >> 11) % n; };
  auto w = std::make_unique<W>();
  const unsigned all = std::getenv("DEEP") ? 1'000'000 : 20'000;
  for (unsigned n = 0; n < all; ++n) {
    poke(*w, [&](u64 m) { return random(s, m); });
    if (n != all / 2) continue;
    SaveAr save;
    w->state(save);
    auto other = std::make_unique<W>();
    LoadAr load(save.out);
    other->state(load);
    ASSERT_TRUE(load.at_end());
    if constexpr (requires { w->clock; }) {
      other->clock.to(w->clock.now());
      other->clock.events.clear();
      for (auto& [who, when] : w->clock.events) other->clock.events[{&other->c, who.second}] = when;
    }
    u64 a = s, b = s;
    for (int k = 0; k < 500; ++k)
      ASSERT_EQ(poke(*w, [&](u64 m) { return random(a, m); }), poke(*other, [&](u64 m) { return random(b, m); })) << n << " + " << k;
    ASSERT_EQ(hash_of(*w), hash_of(*other));
  }
}

constexpr auto kPokeFunction = [](auto& w, auto r) {
  static constexpr u64 kValues[] = {0, 1, 2, 3, 5, 7, 0x40000, 0x40ffc, 0x1000, 4, 4096, ~u64{0}, 0x100, 0xfa, 0xce, 0x80};
  const u64 at = r(2) ? r(0x20) * 8 : r(4) ? 2040 + r(16) : r(0x100000 - 8), value = r(8) ? kValues[r(16)] : r(~u64{0});
  w.bar.write(at, 1u << r(4), value);
  if (!r(50)) w.space.write(Bdf(0, 5, 0), 4, 2, static_cast<u32>(r(8)));
  w.clock.pass(r(3) ? r(2000) : r(200'000'000));
  return w.bar.read(r(2) ? r(0x20) * 8 : r(0x100000 - 8), 1u << r(4));
};

TEST(garbage, cannot_break_edu) { play<World<Edu>>(kPokeFunction); }
TEST(garbage, cannot_break_pci_testdev) { play<World<PciTestdev>>(kPokeFunction); }

struct Ports {
  PcTestdev testdev{{}};
  FwCfg fw_cfg{u64{1} << 30, 4, std::vector<u8>(40)};
  void state(Ar& ar) { ar(testdev, fw_cfg); }
};
TEST(garbage, cannot_break_pc_testdev_and_fw_cfg) {
  play<Ports>([](Ports& p, auto r) {
    const u64 at = r(2) ? r(12) : r(2) ? PcTestdev::kLines + r(24) : PcTestdev::kMemory + r(PcTestdev::kMemorySize - 8);
    p.testdev.write(at, 1u << r(at < PcTestdev::kMemory ? 3 : 4), r(~u64{0}));
    if (!r(16)) p.fw_cfg.write(0, 2, r(2) ? r(0x30) : r(0x10000));
    p.fw_cfg.write(1, 1, r(256));
    return p.fw_cfg.read(1, 1) + p.testdev.read(PcTestdev::kMemory + r(PcTestdev::kMemorySize - 8), 8) + p.testdev.read(r(12), 1u << r(3));
  });
}
