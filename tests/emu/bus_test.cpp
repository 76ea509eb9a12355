// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/bus.hpp"

#include <gtest/gtest.h>

namespace vt::emu {
namespace {

struct Fake final : Device {
  explicit Fake(std::string n) : name_(std::move(n)) {}
  std::string_view name() const override { return name_; }
  u64 read(u64 offset, unsigned size) override {
    char text[64];
    std::snprintf(text, sizeof text, "r%llu/%u ", static_cast<unsigned long long>(offset), size);
    log += text;
    return value;
  }
  void write(u64 offset, unsigned size, u64 v) override {
    char text[96];
    std::snprintf(text, sizeof text, "w%llu/%u=%llu ", static_cast<unsigned long long>(offset), size, static_cast<unsigned long long>(v));
    log += text;
  }
  void reset() override {}
  void state(Ar&) override {}
  std::string log;
  u64 value = ~u64{0};

 private:
  std::string name_;
};

std::string message(auto f) {
  try { f(); } catch (const BusConflict& e) { return e.what(); }
  return "";
}

TEST(Bus, TwoDevicesOnOneRangeAreRefusedByName) {
  Bus bus;
  Fake a("hpet"), b("vtd0");
  bus.claim_memory(0xfed00000, 0x400, a);
  bus.claim_ports(0x40, 4, a);
  EXPECT_EQ(message([&] { bus.claim_memory(0xfed00000 - 0x800, 0x1000, b); }),
            "memory 0xfecff800-0xfed007ff: vtd0 and hpet (0xfed00000-0xfed003ff) claim the same range");
  EXPECT_EQ(message([&] { bus.claim_ports(0x43, 1, b); }), "ports 0x43-0x43: vtd0 and hpet (0x40-0x43) claim the same range");
  // Neighbours may touch.
  EXPECT_EQ(message([&] { bus.claim_memory(0xfed00400, 0x10, b); bus.claim_memory(0xfecff000, 0x1000, b, 0x10); bus.claim_ports(0x44, 1, b); }), "");
}

TEST(Bus, ADeviceSeesOffsetsOfItsOwnAndItsSize) {
  Bus bus;
  Fake a("a");
  bus.claim_memory(0x1000, 0x100, a, 0x20);
  bus.claim_ports(0x3f8, 8, a);
  a.value = 0x1122334455667788;
  EXPECT_EQ(bus.read(0x1004, 4), 0x55667788u) << "cut to the size";
  bus.write(0x1000, 8, 5);
  bus.port_write(0x3f9, 1, 0x1ff);
  EXPECT_EQ(bus.port_read(0x3fc, 2), 0x7788u);
  EXPECT_EQ(a.log, "r36/4 w32/8=5 w1/1=255 r4/2 ");
}

TEST(Bus, WhatNobodyClaimsReadsOnesDropsWritesAndIsCounted) {
  Bus bus;
  Fake a("a");
  bus.claim_memory(0x1000, 0x10, a);
  EXPECT_EQ(bus.read(0x80000123, 1), 0xffu);
  EXPECT_EQ(bus.read(0x80000100, 8), ~u64{0});
  bus.write(0x80001000, 4, 0);
  EXPECT_EQ(bus.port_read(0x2f8, 1), 0xffu);
  bus.port_write(0x2f8, 1, 0);
  EXPECT_EQ(bus.absent_memory(), (std::map<u64, u64>{{0x80000000, 2}, {0x80001000, 1}}));
  EXPECT_EQ(bus.absent_ports(), (std::map<u16, u64>{{0x2f8, 2}}));
  // Nor does an access that runs out of a device reach it.
  EXPECT_EQ(bus.read(0x100c, 8), ~u64{0});
  EXPECT_EQ(a.log, "");
}

// SDM 1 "I/O Port Addressing": a wide access is made of its bytes where no one device takes all of it.
TEST(Bus, WidePortAccessesAreSplitAmongDevices) {
  Bus bus;
  Fake a("a"), b("b");
  bus.claim_ports(0x60, 1, a);
  bus.claim_ports(0x61, 1, b);
  a.value = 0x12, b.value = 0x34;
  EXPECT_EQ(bus.port_read(0x60, 4), 0xffff3412u);
  EXPECT_EQ(bus.absent_ports(), (std::map<u16, u64>{{0x62, 1}, {0x63, 1}}));
  bus.port_write(0x60, 2, 0xabcd);
  EXPECT_EQ(a.log, "r0/1 w0/1=205 ");
  EXPECT_EQ(b.log, "r0/1 w0/1=171 ");
}

TEST(Bus, MovedBarsLieUnderFixedDevicesAndTheFirstOneWins) {
  Bus bus;
  Fake fixed("fixed"), bar("bar"), late("late");
  bus.claim_memory(0xfec00000, 0x1000, fixed);
  bus.claim_ports(0xcf8, 8, fixed);
  fixed.value = 1, bar.value = 2, late.value = 3;
  bus.map_memory(0xfebff000, 0x3000, bar);
  bus.map_memory(0xfebff000, 0x1000, late);
  bus.map_ports(0xcf0, 0x20, bar);
  EXPECT_EQ(bus.read(0xfec00000, 4), 1u);
  EXPECT_EQ(bus.read(0xfebff000, 4), 2u);
  EXPECT_EQ(bus.read(0xfec01000, 4), 2u);
  EXPECT_EQ(bus.port_read(0xcf8, 4), 1u);
  EXPECT_EQ(bus.port_read(0xd00, 4), 2u);
  EXPECT_EQ(bar.log, "r0/4 r8192/4 r16/4 ") << "offsets of the BAR";
  bus.unmap_memory(0xfebff000, bar);
  bus.unmap_ports(0xcf0, bar);
  EXPECT_EQ(bus.read(0xfebff000, 4), 3u);
  EXPECT_EQ(bus.read(0xfec01000, 4), 0xffffffffu);
  EXPECT_EQ(bus.port_read(0xd00, 4), 0xffffffffu);
}

}  // namespace
}  // namespace vt::emu
