// SPDX-License-Identifier: GPL-2.0-or-later
// Whatever a guest does to a device: nothing breaks, and a restored device goes on as the one that never stopped.
#include "devices/acpi_pm.hpp"
#include "devices/hpet.hpp"
#include "devices/ioapic.hpp"
#include "devices/pic8259.hpp"
#include "devices/pit8254.hpp"
#include "devices/i8042.hpp"
#include "devices/reset_control.hpp"
#include "devices/vga.hpp"
#include "devices/rtc146818.hpp"
#include "devices/uart16550.hpp"
#include "fakes.hpp"
#include "pci/config.hpp"
#include "pci/dma_function.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Random {
  u64 s = 0x9e3779b97f4a7c15;
  u64 operator()(u64 n) { s ^= s << 13, s ^= s >> 7, s ^= s << 17; return (s >> 11) % n; }
};
struct Nothing final : InterruptBus, DmaPort, HpetRoutes, pci::BarMapper, SerialSink {
  FakeLine l;
  void message(Bdf, u64, u32) override {}
  bool read(Bdf, Iova, void* to, std::size_t n) override { std::memset(to, 0x5a, n); return true; }
  bool write(Bdf, Iova, const void*, std::size_t) override { return false; }
  void msi(Bdf, u64, u32) override {}
  IrqLine& line(unsigned) override { return l; }
  IrqLine& legacy_line(unsigned) override { return l; }
  void legacy_replacement(bool) override {}
  void map(Device&, unsigned, u64, u64, bool, bool) override {}
  void put(u8) override {}
};

/// All devices of one machine, each with its range.
struct World {
  FakeClock clock;
  Nothing n;
  Stop stop;
  Uart16550 uart{"com1", n.l, n};
  Pic8259 pic{n.l};
  Pit8254 pit{clock, n.l};
  Port61 p61{clock, pit};
  Rtc146818 rtc{clock, n.l, {}};
  Hpet hpet{clock, n};
  AcpiPm pm{clock, n.l, stop, {}};
  I8042 kbc{n.l, n.l, stop};
  Vga vga{clock};
  VgaMemory vga_memory{vga};
  IoApic io{n, Bdf(0xff, 0, 0), 0};
  pci::ConfigSpace space;
  pci::ConfigPorts ports{space};
  pci::Ecam ecam{space};
  pci::DmaFunction* dma = nullptr;
  World() {
    space.add(std::make_unique<pci::HostBridge>(0xb0000000, 256));
    pci::FunctionSpec bridge;
    bridge.bdf = Bdf(0, 1, 0), bridge.class_code = 0x060400, bridge.secondary_bus = 1;
    space.add(std::make_unique<pci::Function>(bridge, &n, &n));
    auto spec = pci::DmaFunction::default_spec(0xfe000000);
    spec.bdf = Bdf(1, 4, 0);
    dma = static_cast<pci::DmaFunction*>(&space.add(std::make_unique<pci::DmaFunction>(spec, &n, n, clock)));
    space.settle();
  }
  struct Range { Device* d; u64 size; unsigned widest; };
  std::vector<Range> ranges() {
    return {{&uart, 8, 4}, {&pic, 6, 2}, {&pit, 4, 4}, {&p61, 1, 1}, {&rtc, 2, 2}, {&hpet, 0x180, 8}, {&pm, 16, 4}, {&kbc, 5, 1}, {&vga, 0x5b, 4}, {&vga_memory, Vga::kWindowSize, 8}, {&io, 0x50, 8},
            {&ports, 8, 4}, {&ecam, 2 << 20, 8}, {dma->spec().bars[0].device, 4096, 8}};
  }
  std::vector<std::pair<Timed*, u32>> timed() { return {{&pit, 0}, {&rtc, 0}, {&hpet, 0}, {&hpet, 1}, {&hpet, 2}, {&pm, 0}, {dma, 0}}; }
  void state(Ar& ar) { ar(uart, pic, pit, p61, rtc, hpet, pm, kbc, vga, io, space, ports); }
  u64 step(Random& r) {
    auto all = ranges();
    auto& x = all[r(all.size())];
    unsigned size = 1u << r(4);
    while (size > x.widest) size /= 2;
    u64 at = r(x.size - size + 1);
    if (x.d == &ecam) at = (r(2) << 20 | r(6) << 15 | r(0x100)) & ~u64{r(4) ? 3u : 0u};
    if (x.d == &io && r(2)) at = r(2) * 0x10;
    const u64 value = r(3) ? r(256) : r(~u64{0});
    u64 seen = 0;
    if (r(2)) x.d->write(at, size, value);
    else seen = x.d->read(at, size);
    if (!r(8)) { const unsigned p = static_cast<unsigned>(r(16)); if (p != 2) pic.input(p).set(r(2)); }
    if (!r(8)) io.input(static_cast<unsigned>(r(24))).set(r(2));
    if (!r(16)) seen ^= pic.acknowledge();
    if (!r(32)) io.eoi(static_cast<u8>(r(256)));
    if (!r(32)) uart.receive(static_cast<u8>(value));
    clock.pass(r(20) ? r(3000) : r(3'000'000));
    return seen;
  }
};
}  // namespace

TEST(any_guest, cannot_break_a_device_and_restored_ones_agree) {
  Random r;
  auto a = std::make_unique<World>();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 2000; ++i) a->step(r);
    SaveAr s;
    a->state(s);
    auto b = std::make_unique<World>();
    b->clock.to(a->clock.now());
    b->clock.events.clear();
    auto from = a->timed(), to = b->timed();
    for (std::size_t i = 0; i < from.size(); ++i)
      if (auto e = a->clock.events.find(from[i]); e != a->clock.events.end()) b->clock.events[to[i]] = e->second;
    LoadAr l(s.out);
    b->state(l);
    ASSERT_TRUE(l.at_end());
    Random ra = r, rb = r;
    for (int i = 0; i < 2000; ++i) ASSERT_EQ(a->step(ra), b->step(rb)) << "round " << round << " step " << i;
    ASSERT_EQ(hash_of(*a), hash_of(*b)) << "round " << round;
    r = ra;
  }
}
