// SPDX-License-Identifier: GPL-2.0-or-later
/// Disks as part of a machine: in its hash, in checkpoints of both kinds, with addresses and places of their controllers.
#include "emu/timeline.hpp"
#include "guest.hpp"

namespace vt::emu {
namespace {

struct Zeroes final : DiskImage {
  u64 size() const override { return u64{1} << 20; }
  bool read(u64, void* to, std::size_t n) override { std::memset(to, 0x11, n); return true; }
  std::string what_failed() const override { return {}; }
};

struct WithDisks {
  static fw::Platform platform() {
    return fw::parse_platform(R"({"vitrine": "platform/1", "memory": "64M", "pci": [
      {"bdf": "00:00.0", "device": "0x29c0", "class_code": "0x060000", "model": "host-bridge"},
      {"bdf": "00:05.0", "model": "nvme", "disks": [{"size": "1M"}]},
      {"bdf": "00:06.0", "model": "ahci", "disks": [{"port": 3, "size": "1M"}, {"port": 0, "size": "1M"}]},
      {"bdf": "00:1f.0", "device": "0x2918", "class_code": "0x060100", "model": "isa-bridge"}]})");
  }
  WithDisks() : machine(platform(), console, {{std::make_shared<Zeroes>(), std::make_shared<Zeroes>(), std::make_shared<Zeroes>()}}) {
    fw::Image image;
    image.blobs.push_back({Hpa{0x100000}, {0xeb, 0xfe}});   // jmp $
    image.entry.mode = fw::Entry::Mode::protected_flat32;
    image.entry.eip = 0x100000, image.entry.esp = 0x90000;
    machine.load({}, image);
  }
  void write(unsigned disk, u64 sector, u8 value) {
    const std::vector<u8> bytes(512, value);
    ASSERT_TRUE(machine.disks()[disk]->write(sector, bytes.data(), 1));
  }
  u8 read(unsigned disk, u64 sector) {
    std::vector<u8> bytes(512);
    EXPECT_TRUE(machine.disks()[disk]->read(sector, bytes.data(), 1));
    return bytes[511];
  }
  Console console;
  Machine machine;
};

TEST(Disks, ControllersAreThereWithAddressesOfTheirOwn) {
  WithDisks m;
  ASSERT_EQ(m.machine.disks().size(), 3u);
  const fw::Platform& p = m.machine.platform();
  EXPECT_EQ(p.pci[1].class_code, 0x010802u);
  EXPECT_EQ(p.pci[2].class_code, 0x010601u);
  const u64 nvme = p.pci[1].bars.at(0).address, ahci = p.pci[2].bars.at(0).address;
  EXPECT_NE(nvme, 0u);
  EXPECT_EQ(nvme % 0x4000, 0u);
  EXPECT_EQ(m.machine.bus().read(nvme + 8, 4), 0x00010400u);
  EXPECT_EQ(m.machine.bus().read(ahci + 0x10, 4), 0x00010301u);
  EXPECT_EQ(m.machine.bus().read(ahci + 0x128, 4), 0x123u);           // ports 0 and 3 have a disk
  EXPECT_EQ(m.machine.bus().read(ahci + 0x1a8, 4), 0u);
  EXPECT_EQ(m.machine.bus().read(ahci + 0x2a8, 4), 0x123u);
  EXPECT_EQ(fw::to_json(fw::parse_platform(fw::to_json(p))), fw::to_json(p));
}

TEST(Disks, WhatWasWrittenIsInTheHashAndInCheckpoints) {
  const std::string file = testing::TempDir() + "vitrine-disk.ckpt";
  WithDisks a, b;
  a.machine.run(1000);
  const std::string before = a.machine.state_hash();
  a.write(2, 7, 0x5a);
  EXPECT_NE(a.machine.state_hash(), before);
  save_checkpoint(a.machine, file);
  load_checkpoint(b.machine, file);
  std::remove(file.c_str());
  EXPECT_EQ(b.read(2, 7), 0x5a);
  EXPECT_EQ(b.read(1, 7), 0x11);
  EXPECT_EQ(b.machine.state_hash(), a.machine.state_hash());
}

TEST(Disks, GoingBackGivesBackWhatWasWrittenThen) {
  WithDisks m;
  Timeline timeline(m.machine);
  m.machine.run(1000);
  m.write(0, 3, 1);
  timeline.save();
  const std::string hash = m.machine.state_hash();
  m.machine.run(2000);
  m.write(0, 3, 2), m.write(1, 9, 3);
  timeline.save();
  m.write(0, 3, 4);
  EXPECT_EQ(timeline.restore(2000), 2000u);
  EXPECT_EQ(m.read(0, 3), 2);
  EXPECT_EQ(timeline.restore(1500), 1000u);
  EXPECT_EQ(m.read(0, 3), 1);
  EXPECT_EQ(m.read(1, 9), 0x11);
  EXPECT_EQ(m.machine.state_hash(), hash);
}

}  // namespace
}  // namespace vt::emu
