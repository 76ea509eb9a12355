// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/reset_control.hpp"
#include "fakes.hpp"
#include "pci/config.hpp"
#include "pci/dma_function.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {
struct Mapper final : BarMapper {
  struct Change { unsigned bar; u64 address, size; bool io, enabled; bool operator==(const Change&) const = default; };
  void map(Device& d, unsigned bar, u64 a, u64 n, bool io, bool on) override { log.push_back({bar, a, n, io, on}); last = &d; }
  std::vector<Change> log;
  Device* last = nullptr;
};
struct Dma final : DmaPort {
  bool read(Bdf s, Iova at, void* to, std::size_t n) override {
    source = s.v;
    if (block_reads) { std::memset(to, 0xff, n); return false; }
    std::memcpy(to, &memory[at.v], n);
    return true;
  }
  bool write(Bdf s, Iova at, const void* from, std::size_t n) override {
    source = s.v;
    if (!block_writes) std::memcpy(&memory[at.v], from, n);
    return !block_writes;
  }
  void msi(Bdf s, u64 a, u32 d) override { source = s.v; sent.push_back({a, d}); }
  std::vector<std::pair<u64, u32>> sent;
  std::vector<u8> memory = std::vector<u8>(0x10000);
  u16 source = 0;
  bool block_reads = false, block_writes = false;
};
struct Regs final : Device {
  std::string_view name() const override { return "regs"; }
  u64 read(u64, unsigned) override { return 0; }
  void write(u64, unsigned, u64) override {}
  void reset() override {}
  void state(Ar&) override {}
};
struct Pci : testing::Test {
  FakeClock clock;
  Mapper mapper;
  Dma dma;
  Regs regs;
  FakeLine intx;
  Stop stop;
  ResetRegister cf9{stop};
  ConfigSpace space;
  ConfigPorts ports{space, &cf9};
  Ecam ecam{space};
  DmaFunction* dev = nullptr;
  void SetUp() override { build(space, dev); }
  void build(ConfigSpace& s, DmaFunction*& d) {
    s.add(std::make_unique<IsaBridge>(0x600));
    s.add(std::make_unique<HostBridge>(0xb0000000, 256));
    FunctionSpec nic;
    nic.bdf = Bdf(0, 2, 1), nic.device = 0x10d3, nic.class_code = 0x020000, nic.express = PortType::integrated;
    nic.bars[0] = {BarKind::mem64, true, 0x20000, 0x8'00000000, &regs};
    nic.bars[2] = {BarKind::io, false, 32, 0xc000, &regs};
    s.add(std::make_unique<Function>(nic, &mapper, &dma));
    nic.bdf = Bdf(0, 2, 0), nic.bars = {}, nic.express.reset();
    s.add(std::make_unique<Function>(nic, &mapper, &dma));
    FunctionSpec port;
    port.bdf = Bdf(0, 0x1c, 0), port.device = 0x2940, port.class_code = 0x060400, port.secondary_bus = 1, port.express = PortType::root_port;
    s.add(std::make_unique<Function>(port, &mapper, &dma));
    FunctionSpec below = DmaFunction::default_spec(0xfe000000);
    below.bdf = Bdf(1, 0, 0);
    s.add(std::make_unique<DmaFunction>(below, &mapper, dma, clock));
    FunctionSpec spec = DmaFunction::default_spec(0xfebf0000);
    spec.interrupt_pin = 1;
    d = static_cast<DmaFunction*>(&s.add(std::make_unique<DmaFunction>(spec, &mapper, dma, clock, &intx)));
    s.settle();
  }
  u32 in(Bdf b, u16 r, unsigned n = 4) { return space.read(b, r, n); }
  void put(Bdf b, u16 r, u32 v, unsigned n = 4) { space.write(b, r, n, v); }
  u32 cf8(u32 address) { ports.write(0, 4, address); return static_cast<u32>(ports.read(4, 4)); }
};
constexpr Bdf kDev{0, 4, 0}, kNic{0, 2, 1}, kPort{0, 0x1c, 0}, kBelow{1, 0, 0};
}  // namespace

TEST_F(Pci, mechanism_one) {  // PCI "Configuration Mechanism #1"
  EXPECT_EQ(cf8(0x80000000), 0x29c08086u);
  EXPECT_EQ(ports.read(0, 4), 0x80000000u);
  EXPECT_EQ(ports.read(6, 2), 0x29c0u);
  EXPECT_EQ(ports.read(5, 1), 0x80u);
  EXPECT_EQ(cf8(0x8000f800), 0x29188086u);
  EXPECT_EQ(cf8(0x0000f800), ~0u);  // not enabled
  EXPECT_EQ(space.absent_reads(), 0u);
  EXPECT_EQ(cf8(0x80003000), ~0u);
  EXPECT_EQ(ports.read(4, 2), 0xffffu);
  EXPECT_EQ(space.absent_reads(), 2u);
  EXPECT_EQ(cf8(0xff00f803), 0x29188086u);
  EXPECT_EQ(ports.read(0, 4), 0x8000f800u);
  ports.write(3, 1, 0x01);  // Linux's probe: a byte does not reach the address register
  EXPECT_EQ(ports.read(0, 4), 0x8000f800u);
  EXPECT_EQ(ports.read(3, 1), 0xffu);
}

TEST_F(Pci, reset_register_lies_among_the_ports) {
  ports.write(1, 1, 2);
  EXPECT_EQ(ports.read(1, 1), 2u);
  ports.write(1, 1, 6);
  EXPECT_EQ(stop.reason(), StopReason::reset);
}

TEST_F(Pci, ecam_window) {  // PCI Express "Enhanced Configuration Access Mechanism (ECAM)"
  EXPECT_EQ(ecam.read(0, 4), 0x29c08086u);
  EXPECT_EQ(ecam.read(0x60, 8), 0xb0000001u);
  EXPECT_EQ(ecam.read(0x1f << 15 | 0x0a, 2), 0x0601u);
  EXPECT_EQ(ecam.read(1 << 20, 4), 0x10f01af4u);
  EXPECT_EQ(ecam.read(5 << 20, 4), 0xffffffffu);
  EXPECT_EQ(ecam.read(5 << 20, 8), ~u64{0});
  EXPECT_EQ(ecam.read(0x1f << 15 | 0x01, 4), 0x00291880u);  // an access across dwords is split
  ecam.write(4 << 15 | 4, 2, 0x6);
  EXPECT_EQ(in(kDev, 4, 2), 0x6u);
}

TEST_F(Pci, extended_space_belongs_to_express_functions) {
  EXPECT_EQ(ecam.read(2 << 15 | 1 << 12 | 0x100, 4), 0u);
  EXPECT_EQ(ecam.read(4 << 15 | 0x100, 4), 0xffffffffu);
  EXPECT_EQ(in(kNic, 0x34, 1), 0x40u);
  EXPECT_EQ(in(kNic, 0x40, 4), 0x00920010u);
  EXPECT_EQ(in(kPort, 0x40, 4), 0x01420010u);
}

TEST_F(Pci, header_fields_and_multi_function_bit) {  // PCI "Configuration Space Header"
  EXPECT_EQ(in(Bdf(0, 2, 0), 0x0e, 1), 0x80u);
  EXPECT_EQ(in(kNic, 0x0e, 1), 0x00u);
  EXPECT_EQ(in(kDev, 0x0e, 1), 0x00u);
  EXPECT_EQ(in(kPort, 0x0e, 1), 0x01u);
  EXPECT_EQ(in(kDev, 0x08), 0xff000000u);
  EXPECT_EQ(in(kDev, 0x3c, 2), 0x01ffu);
  EXPECT_EQ(in(kDev, 0x30), 0u);  // no expansion ROM
  put(kDev, 0x00, 0), put(kDev, 0x08, 0);
  EXPECT_EQ(in(kDev, 0x00), 0x10f01af4u);
  EXPECT_EQ(in(Bdf(0, 0x1f, 0), 0x40), 0x601u);
}

TEST_F(Pci, bars_are_sized_and_restored) {  // PCI "Base Addresses"
  put(kDev, 4, 0, 2);
  put(kDev, 0x10, 0xffffffff);
  EXPECT_EQ(in(kDev, 0x10), 0xfffff000u);
  put(kDev, 0x10, 0xfebf0000);
  put(kNic, 4, 0, 2);
  put(kNic, 0x10, 0xffffffff), put(kNic, 0x14, 0xffffffff), put(kNic, 0x18, 0xffffffff), put(kNic, 0x1c, 0xffffffff);
  EXPECT_EQ(in(kNic, 0x10), 0xfffe000cu);
  EXPECT_EQ(in(kNic, 0x14), 0xffffffffu);
  EXPECT_EQ(in(kNic, 0x18), 0xffffffe1u);
  EXPECT_EQ(in(kNic, 0x1c), 0u);
}

TEST_F(Pci, decode_follows_command_and_address) {  // PCI "Command Register"
  using C = Mapper::Change;
  EXPECT_EQ(mapper.log, (std::vector<C>{{0, 0x8'00000000, 0x20000, false, true}, {2, 0xc000, 32, true, true},
                                        {0, 0xfebf0000, 0x1000, false, true}, {0, 0xfe000000, 0x1000, false, true}}));
  mapper.log.clear();
  put(kDev, 4, 0, 2);
  put(kDev, 0x10, 0xfebe0000);
  put(kDev, 4, 2, 2);
  EXPECT_EQ(mapper.log, (std::vector<C>{{0, 0xfebf0000, 0x1000, false, false}, {0, 0xfebe0000, 0x1000, false, true}}));
  mapper.log.clear();
  put(kDev, 0x10, 0xfebd0000);
  EXPECT_EQ(mapper.log, (std::vector<C>{{0, 0xfebe0000, 0x1000, false, false}, {0, 0xfebd0000, 0x1000, false, true}}));
  mapper.log.clear();
  put(kNic, 4, 2, 2);
  EXPECT_EQ(mapper.log, (std::vector<C>{{2, 0xc000, 32, true, false}}));
}

TEST_F(Pci, bridges_forward_config_cycles_and_windows) {  // PCI-to-PCI Bridge "Configuration Transactions", "Address Decoding"
  using C = Mapper::Change;
  EXPECT_EQ(in(kPort, 0x18) & 0xffffff, 0x010100u);
  EXPECT_EQ(in(kPort, 0x20), 0xfe00fe00u);
  EXPECT_EQ(in(kBelow, 0), 0x10f01af4u);
  mapper.log.clear();
  put(kPort, 4, 0, 2);
  EXPECT_EQ(mapper.log, (std::vector<C>{{0, 0xfe000000, 0x1000, false, false}}));
  put(kPort, 4, 7, 2);
  put(kPort, 0x20, 0x0000fff0);
  EXPECT_EQ(mapper.log.back(), (C{0, 0xfe000000, 0x1000, false, false}));
  put(kPort, 0x18, 0x00050500);  // renumbered
  EXPECT_EQ(in(kBelow, 0), ~0u);
  EXPECT_EQ(in(Bdf(5, 0, 0), 0), 0x10f01af4u);
  EXPECT_EQ(space.find(Bdf(5, 0, 0))->bdf(), Bdf(5, 0, 0));
  put(kPort, 0x18, 0);
  EXPECT_EQ(in(Bdf(5, 0, 0), 0), ~0u);
}

TEST_F(Pci, status_bits_are_cleared_by_ones_and_intx_shows) {  // PCI "Status Register", "Device Control"
  dev->set_intx(true);
  EXPECT_EQ(in(kDev, 6, 2) & 8, 8u);
  EXPECT_TRUE(intx.level);
  put(kDev, 4, 0x402, 2);
  EXPECT_FALSE(intx.level);
  EXPECT_EQ(in(kDev, 6, 2) & 8, 8u);
  put(kDev, 6, 0xffff, 2);
  EXPECT_EQ(in(kDev, 6, 2) & 8, 8u);
  dev->set_intx(false);
  EXPECT_EQ(in(kDev, 6, 2) & 8, 0u);
}

TEST_F(Pci, msi_capability) {  // PCI "MSI Capability Structure"
  EXPECT_EQ(in(kDev, 0x34, 1), 0x80u);
  EXPECT_EQ(in(kDev, 0x80), 0x01800005u);
  put(kDev, 0x84, 0xfee00003), put(kDev, 0x88, 0x1), put(kDev, 0x8c, 0x4041);
  EXPECT_EQ(in(kDev, 0x84), 0xfee00000u);
  dev->send_msi();
  EXPECT_TRUE(dma.sent.empty());
  put(kDev, 0x82, 1, 2);
  dev->send_msi();
  EXPECT_TRUE(dma.sent.empty());  // no bus mastering
  put(kDev, 4, 6, 2);
  put(kDev, 0x90, 1);
  dev->send_msi();
  EXPECT_TRUE(dma.sent.empty());
  EXPECT_EQ(in(kDev, 0x94), 1u);
  put(kDev, 0x90, 0);
  EXPECT_EQ(in(kDev, 0x94), 0u);
  EXPECT_EQ(dma.sent, (std::vector<std::pair<u64, u32>>{{0x1'fee00000, 0x4041}}));
  EXPECT_EQ(dma.source, kDev.v);
}

TEST_F(Pci, dma_copies_after_its_delay) {  // docs/dma-function.md
  Device& bar = *dev->spec().bars[0].device;
  put(kDev, 4, 6, 2);
  put(kDev, 0x84, 0xfee00000), put(kDev, 0x8c, 0x55), put(kDev, 0x82, 1, 2);
  EXPECT_EQ(bar.read(0, 4), 0x4d445456u);
  for (unsigned i = 0; i < 4096; ++i) dma.memory[0x1000 + i] = static_cast<u8>(i * 7);
  bar.write(DmaFunction::kSrc, 8, 0x1000), bar.write(DmaFunction::kDst, 4, 0x3000), bar.write(DmaFunction::kDst + 4, 4, 0);
  bar.write(DmaFunction::kLen, 4, 4096), bar.write(DmaFunction::kIrqEnable, 4, 1), bar.write(DmaFunction::kCmd, 4, DmaFunction::kCopy);
  EXPECT_EQ(bar.read(DmaFunction::kStatus, 4), DmaFunction::kBusy);
  clock.to(1999);
  EXPECT_EQ(bar.read(DmaFunction::kStatus, 4), DmaFunction::kBusy);
  bar.write(DmaFunction::kCmd, 4, 9);  // ignored while busy
  clock.to(2000);
  EXPECT_EQ(bar.read(DmaFunction::kStatus, 4), DmaFunction::kFinished);
  EXPECT_EQ(bar.read(DmaFunction::kDone, 4), 4096u);
  EXPECT_EQ(std::memcmp(&dma.memory[0x1000], &dma.memory[0x3000], 4096), 0);
  EXPECT_EQ(dma.sent.size(), 1u);
  EXPECT_EQ(dma.source, kDev.v);
  EXPECT_EQ(bar.read(DmaFunction::kData + 1, 1), 7u);
  bar.write(DmaFunction::kWindow, 4, 1);
  EXPECT_EQ(bar.read(DmaFunction::kData + 1, 1), (2049u * 7) & 0xff);
  bar.write(DmaFunction::kStatus, 4, 2);
  EXPECT_EQ(bar.read(DmaFunction::kStatus, 4), 0u);
}

TEST_F(Pci, dma_reports_what_went_wrong) {
  Device& bar = *dev->spec().bars[0].device;
  const auto run = [&](u32 cmd, u32 len) {
    bar.write(DmaFunction::kLen, 4, len), bar.write(DmaFunction::kCmd, 4, cmd);
    clock.pass(DmaFunction::kDelay);
    return static_cast<u32>(bar.read(DmaFunction::kStatus, 4));
  };
  EXPECT_EQ(run(1, 16), 0x46u);  // no bus mastering
  put(kDev, 4, 6, 2);
  EXPECT_EQ(run(1, 0), 0x36u);
  EXPECT_EQ(run(1, 4097), 0x36u);
  EXPECT_EQ(run(4, 16), 0x36u);
  dma.block_reads = true;
  EXPECT_EQ(run(3, 16), 0x16u);
  EXPECT_EQ(bar.read(DmaFunction::kData, 4), 0xffffffffu);
  dma.block_reads = false, dma.block_writes = true;
  EXPECT_EQ(run(3, 16), 0x26u);
  bar.write(DmaFunction::kIrqEnable, 4, 1);
  run(1, 16);
  EXPECT_TRUE(intx.level);  // MSI is off
  bar.write(DmaFunction::kStatus, 4, 4);
  EXPECT_FALSE(intx.level);
  put(kBelow, 4, 6, 2), put(kPort, 4, 3, 2);
  EXPECT_FALSE(space.find(kBelow)->bus_master());  // its bridge does not forward
  put(kPort, 4, 7, 2);
  EXPECT_TRUE(space.find(kBelow)->bus_master());
}

TEST_F(Pci, opaque_bars_end_the_run) {
  OpaqueBar bar("pci-00:02.1 BAR 0", stop);
  EXPECT_EQ(bar.read(0, 4), ~u64{0});
  EXPECT_EQ(stop.reason(), StopReason::unsupported);
  EXPECT_EQ(stop.what(), "registers of pci-00:02.1 BAR 0");
}

TEST_F(Pci, reset_gives_back_what_firmware_left) {
  put(kDev, 4, 0, 2), put(kDev, 0x10, 0), put(kPort, 0x18, 0x070707);
  mapper.log.clear();
  space.reset();
  EXPECT_EQ(in(kDev, 0x10), 0xfebf0000u);
  EXPECT_EQ(in(kBelow, 0), 0x10f01af4u);
  EXPECT_EQ(mapper.log.back().address, 0xfebf0000u);
}

TEST_F(Pci, state_is_complete_and_maps_again) {
  put(kDev, 0x10, 0xfeb00000), put(kDev, 4, 6, 2), cf8(0x80001234);
  Device& bar = *dev->spec().bars[0].device;
  bar.write(DmaFunction::kSrc, 8, 0x1234), bar.write(DmaFunction::kData, 1, 9);
  ConfigSpace other;
  DmaFunction* d = nullptr;
  build(other, d);
  mapper.log.clear();
  expect_complete_state(*dev, *d, 1 + 1 + 8 + 4096);
  SaveAr s;
  space.state(s);
  LoadAr l(s.out);
  other.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(hash_of(space), hash_of(other));
  EXPECT_EQ(mapper.log, (std::vector<Mapper::Change>{{0, 0xfebf0000, 0x1000, false, false}, {0, 0xfeb00000, 0x1000, false, true}}));
  ConfigPorts fresh(other);
  expect_complete_state(ports, fresh, 1);
}
