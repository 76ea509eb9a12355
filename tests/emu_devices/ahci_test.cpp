// SPDX-License-Identifier: GPL-2.0-or-later
// AHCI 1.3.1 and ACS-2, by the sections that each test names.
#include "pci/ahci.hpp"

#include "disk_rig.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {

FunctionSpec ahci_spec() {
  FunctionSpec s;
  s.bdf = Bdf(0, 6, 0), s.vendor = 0x1af4, s.device = 0x10f1, s.class_code = 0x010601, s.interrupt_pin = 1, s.msi = true;
  s.bars[5] = {BarKind::mem32, false, 0x1000, 0xfe000000};
  return s;
}

struct AhciTest : testing::Test {
  static constexpr u64 kSize = u64{4} << 20, kList = 0x1000, kFis = 0x2000, kTable = 0x3000, kData = 0x10000;
  enum Reg : u32 { CLB = 0, FB = 8, IS = 0x10, IE = 0x14, CMD = 0x18, TFD = 0x20, SIG = 0x24, SSTS = 0x28, SCTL = 0x2c, SERR = 0x30, SACT = 0x34, CI = 0x38 };
  Ram ram;
  FakeClock clock;
  FakeLine pin;
  Stop stop;
  std::shared_ptr<MemoryImage> image = std::make_shared<MemoryImage>(kSize);
  Disk disk{"disk0", kSize, image, stop};
  ConfigSpace space;
  Ahci& ahci = static_cast<Ahci&>(space.add(std::make_unique<Ahci>(ahci_spec(), nullptr, ram, clock, &pin, std::array<Disk*, 6>{nullptr, &disk})));
  Device& bar = *ahci.spec().bars[5].device;

  void SetUp() override {
    space.settle();
    space.write(Bdf(0, 6, 0), 4, 2, 6);
  }
  u32 in(u32 reg, unsigned port = 1) { return static_cast<u32>(bar.read(0x100 + 0x80 * port + reg, 4)); }
  void out(u32 reg, u32 v, unsigned port = 1) { bar.write(0x100 + 0x80 * port + reg, 4, v); }
  void start() {
    out(CLB, kList), out(FB, kFis), out(CMD, 0x16);
    out(SERR, ~0u), out(IS, ~0u), out(IE, 0xfdc000ff), out(CMD, 0x17);
    bar.write(0x04, 4, 0x80000002);
  }
  /// The command in slot 0: a FIS and PRDs of 4 KiB in reverse, first at kData + 0xf000.
  void put(u8 command, u64 lba = 0, u32 count = 0, u32 bytes = 0, bool write = false, unsigned slot = 0, u8 features = 0, u8 device = 0x40) {
    const u64 table = kTable + 0x400 * slot;
    const unsigned prds = (bytes + 4095) / 4096;
    const u32 header[4] = {5u | (write ? 0x40u : 0) | prds << 16, 0xdead, static_cast<u32>(table), 0};
    ram.put(kList + 32 * slot, header);
    const u8 fis[20] = {0x27, 0x80, command, features, static_cast<u8>(lba), static_cast<u8>(lba >> 8), static_cast<u8>(lba >> 16), device,
                        static_cast<u8>(lba >> 24), static_cast<u8>(lba >> 32), static_cast<u8>(lba >> 40), 0, static_cast<u8>(count), static_cast<u8>(count >> 8)};
    ram.put(table, fis);
    for (unsigned k = 0; k < prds; ++k) {
      const u32 prd[4] = {static_cast<u32>(kData + 0x1000 * (15 - k)), 0, 0, std::min(bytes - 4096 * k, 4096u) - 1};
      ram.put(table + 0x80 + 16 * k, prd);
    }
  }
  void go(u32 slots = 1) {
    out(CI, slots);
    clock.pass(Ahci::kDelay * 33);
  }
  void queued(u8 command, u64 lba, u32 count, u32 bytes, bool write, unsigned tag) {
    put(command, lba, tag << 3, bytes, write, tag, static_cast<u8>(count));
    ram.memory[kTable + 0x400 * tag + 11] = static_cast<u8>(count >> 8);
  }
  u16 word(unsigned n) const { return ram.get<u16>(kData + 0xf000 + 2 * n); }
};

}  // namespace

TEST_F(AhciTest, capabilities) {   // "HBA Capabilities"
  EXPECT_EQ(bar.read(0, 4) & 0x1f, 5u);
  EXPECT_EQ(bar.read(0, 4) >> 8 & 0x1f, 31u);
  EXPECT_EQ(bar.read(0, 4) >> 30, 3u);         // queuing, 64 bits
  EXPECT_EQ(bar.read(4, 4), 0x80000000u);
  EXPECT_EQ(bar.read(0x0c, 4), 0x3fu);
  EXPECT_EQ(bar.read(0x10, 4), 0x00010301u);
  bar.write(0, 4, 0), bar.write(4, 4, 0), bar.write(0x0c, 2, 0);
  EXPECT_EQ(bar.read(4, 4), 0x80000000u);
  EXPECT_EQ(in(SSTS, 0), 0u);
  EXPECT_EQ(in(SIG, 0), ~0u);
  EXPECT_EQ(in(SSTS), 0x123u);
  EXPECT_EQ(in(SIG), 0x101u);
}

TEST_F(AhciTest, comreset_brings_the_signature) {   // "Port Reset"
  start();
  out(SCTL, 0x301);
  EXPECT_EQ(in(SSTS), 0u);
  EXPECT_EQ(in(TFD), 0x7fu);
  out(SCTL, 0x300);
  clock.pass(Ahci::kLinkDelay);
  EXPECT_EQ(in(SSTS), 0x123u);
  EXPECT_EQ(in(TFD), 0x150u);
  EXPECT_EQ(in(SERR), 1u << 26);
  EXPECT_EQ(ram.get<u32>(kFis + 0x40), 0x01500034u);
  EXPECT_TRUE(in(IS) & 0x40);
  out(SERR, 1u << 26);
  EXPECT_FALSE(in(IS) & 0x40);
  out(SCTL, 0x301, 0), out(SCTL, 0x300, 0);
  clock.pass(Ahci::kLinkDelay);
  EXPECT_EQ(in(SSTS, 0), 0u);                  // nobody there
}

TEST_F(AhciTest, identify_device) {   // ACS-2 "IDENTIFY DEVICE"
  start();
  put(0xec, 0, 0, 512);
  go();
  EXPECT_EQ(in(CI), 0u);
  EXPECT_EQ(in(TFD), 0x50u);
  EXPECT_EQ(in(IS), 2u);                       // PIO Setup, and no D2H FIS
  EXPECT_EQ(ram.get<u32>(kFis + 0x20), 0x0058605fu);
  EXPECT_EQ(ram.get<u32>(kList + 4), 512u);    // PRDBC
  EXPECT_EQ(word(60) | word(61) << 16, static_cast<int>(kSize / 512));
  EXPECT_EQ(word(100), kSize / 512 & 0xffff);
  EXPECT_EQ(word(27), 0x5669);                 // "Vi"
  EXPECT_EQ(word(75), 31);
  EXPECT_EQ(word(76) & 0x100, 0x100);
  u8 sum = 0;
  for (unsigned n = 0; n < 512; ++n) sum = static_cast<u8>(sum + ram.memory[kData + 0xf000 + n]);
  EXPECT_EQ(sum, 0);
}

TEST_F(AhciTest, reads_and_writes) {
  start();
  put(0x25, 40, 24, 12288);
  go();
  EXPECT_EQ(in(IS), 1u);
  for (unsigned k = 0; k < 3; ++k) EXPECT_EQ(std::memcmp(&ram.memory[kData + 0x1000 * (15 - k)], &image->bytes[(40 + 8 * k) * 512], 4096), 0) << k;
  EXPECT_EQ(ram.get<u32>(kList + 4), 12288u);
  put(0x35, 1000, 24, 12288, true);
  go();
  std::vector<u8> v(12288);
  disk.read(1000, v.data(), 24);
  EXPECT_EQ(std::memcmp(v.data(), &image->bytes[40 * 512], v.size()), 0);
  put(0xc8, 0x1001, 1, 512, false, 0, 0, 0xe0);
  go();
  EXPECT_EQ(std::memcmp(&ram.memory[kData + 0xf000], &image->bytes[0x1001 * 512], 512), 0);
  for (u8 ok : {0xe7, 0xea, 0xe1, 0x90, 0xe0}) {
    put(ok);
    go();
    EXPECT_EQ(in(TFD), 0x50u) << unsigned{ok};
  }
  for (u8 feature : {0x02, 0x82, 0xaa, 0x55, 0x03}) {
    put(0xef, 0, 0, 0, false, 0, feature);
    go();
    EXPECT_EQ(in(TFD), 0x50u) << unsigned{feature};
  }
}

TEST_F(AhciTest, errors_stop_the_port) {   // "Error Handling", "Task File Errors"
  start();
  put(0x25, kSize / 512, 1, 512);
  out(CI, 5);
  clock.pass(Ahci::kDelay * 10);
  EXPECT_EQ(in(TFD), 0x1051u);                 // IDNF
  EXPECT_TRUE(in(IS) & 1u << 30);
  EXPECT_EQ(in(CI), 5u);                       // nothing goes on until ST is cleared
  EXPECT_EQ(in(CMD) >> 8 & 0x1f, 0u);
  out(CMD, 0x16);
  EXPECT_EQ(in(CI), 0u);
  EXPECT_FALSE(in(CMD) & 0x8000);
  out(CMD, 0x17);
  put(0xb0);                                   // SMART is not offered
  go();
  EXPECT_EQ(in(TFD), 0x0451u);
  out(CMD, 0x16), out(CMD, 0x17);
  for (auto [first, last] : {std::pair<u64, u64>{kData + 0xf000, kData + 0xffff}, {kTable, kTable + 63}, {kList, kList + 31}, {kTable + 0x80, kTable + 0x8f}}) {
    out(IS, ~0u);
    ram.block_first = first, ram.block_last = last;
    put(0x25, 0, 1, 512);
    go();
    EXPECT_EQ(in(IS), 1u << 29) << first;      // host bus fatal error
    out(CMD, 0x16), out(CMD, 0x17);
  }
  EXPECT_FALSE(stop.requested());
}

TEST_F(AhciTest, queued_commands_end_by_set_device_bits) {   // Serial ATA "READ FPDMA QUEUED"
  start();
  out(SACT, 0x12);
  queued(0x60, 64, 8, 4096, false, 1), queued(0x61, 2000, 8, 4096, true, 4);
  go(0x12);
  EXPECT_EQ(in(SACT), 0u);
  EXPECT_EQ(in(CI), 0u);
  EXPECT_EQ(in(IS), 8u);
  EXPECT_EQ(ram.get<u32>(kFis + 0x5c), 0x10u);
  std::vector<u8> v(4096);
  disk.read(2000, v.data(), 8);
  EXPECT_EQ(std::memcmp(v.data(), &image->bytes[64 * 512], 4096), 0);
  out(SACT, 0x2);
  queued(0x60, kSize, 8, 4096, false, 1);
  go(0x2);
  EXPECT_EQ(in(SACT), 2u);
  EXPECT_EQ(in(TFD), 0x1051u);
  EXPECT_TRUE(in(IS) & 1u << 30);
  out(CMD, 0x16), out(CMD, 0x17);
  put(0x2f, 0x10, 1, 512);                     // the log of the queue's error
  go();
  EXPECT_EQ(ram.memory[kData + 0xf000], 1);
  EXPECT_EQ(ram.memory[kData + 0xf002], 0x51);
  EXPECT_EQ(ram.memory[kData + 0xf003], 0x10);
}

TEST_F(AhciTest, software_reset_by_fis) {   // "Software Reset"
  start();
  put(0);
  ram.memory[kTable + 1] = 0, ram.memory[kTable + 15] = 4;
  go();
  EXPECT_EQ(in(TFD), 0x80u);
  ram.memory[kTable + 15] = 0;
  go();
  EXPECT_EQ(in(TFD), 0x150u);
  EXPECT_EQ(in(CI), 0u);
}

TEST_F(AhciTest, interrupts_are_levels_or_messages) {   // "Interrupts"
  start();
  put(0xe7);
  go();
  EXPECT_TRUE(pin.level);
  EXPECT_EQ(bar.read(8, 4), 2u);
  bar.write(8, 4, 2);
  EXPECT_TRUE(pin.level);                      // the port still says so
  out(IS, 1), bar.write(8, 4, 2);
  EXPECT_FALSE(pin.level);
  space.write(Bdf(0, 6, 0), 0x84, 4, 0xfee00000), space.write(Bdf(0, 6, 0), 0x8c, 2, 0x51), space.write(Bdf(0, 6, 0), 0x82, 2, 1);
  go();
  EXPECT_EQ(ram.sent, std::vector<u32>{0x51});
  EXPECT_FALSE(pin.level);
  go();
  EXPECT_EQ(ram.sent.size(), 1u);              // the bit of IS has been up all the time
  out(IS, 1), bar.write(8, 4, 2);
  go();
  EXPECT_EQ(ram.sent.size(), 2u);
}

TEST_F(AhciTest, hba_reset_gives_back_the_beginning) {
  start();
  bar.write(4, 4, 0x80000001);
  EXPECT_EQ(bar.read(4, 4), 0x80000000u);
  EXPECT_EQ(in(CMD), 6u);
  EXPECT_EQ(in(IE), 0u);
  EXPECT_EQ(in(CLB), kList);
}

TEST_F(AhciTest, a_restored_adapter_goes_on) {
  start();
  out(SACT, 1);
  queued(0x60, 64, 8, 4096, false, 0);
  out(CI, 1);
  FakeLine other_pin;
  Disk other_disk("disk0", kSize, image, stop);
  Ahci other(ahci_spec(), nullptr, ram, clock, &other_pin, {nullptr, &other_disk});
  expect_complete_state(ahci, other, 100);
}
