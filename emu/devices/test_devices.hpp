// SPDX-License-Identifier: GPL-2.0-or-later
/// Devices at fixed ports that bare-metal test kernels made for QEMU talk to. Absent unless the platform description or --device asks for
/// them.   docs/devices.md
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "emu/device.hpp"

namespace vt::emu {

/// isa-debug-exit: what is written ends the run, with status (value << 1) | 1.
class IsaDebugExit final : public Device {
 public:
  explicit IsaDebugExit(Stop& stop) : stop_(stop) {}
  std::string_view name() const override { return "isa-debug-exit"; }
  u64 read(u64, unsigned) override { return 0; }
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() override {}
  void state(Ar&) override {}

 private:
  Stop& stop_;
};

/// fw_cfg's two ports: a selector of 16 bits, and data, a byte at a time. Read only, without DMA.   QEMU "Firmware Configuration (fw_cfg) Device"
class FwCfg final : public Device {
 public:
  /// `memory`: bytes of RAM. `e820`: the file etc/e820, 20 bytes a range (first, size, type).
  FwCfg(u64 memory, unsigned cpus, std::vector<u8> e820);
  std::string_view name() const override { return "fw-cfg"; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() override { key_ = 0, at_ = 0; }
  void state(Ar& ar) override { ar(key_, at_); }

 private:
  struct Item { u16 key; std::vector<u8> bytes; };
  void add(u16 key, u64 value, unsigned size);
  void add_file(std::string_view name, std::vector<u8> bytes);
  std::vector<Item> items_;   ///< of the platform: no state
  u16 key_ = 0;
  u32 at_ = 0;                ///< next byte of the item
};

/// pc-testdev: ports that echo, one that takes a page to forget, lines of interrupt controllers, and 64 KiB of registers that are memory.
/// Offsets here: see the ranges.
class PcTestdev final : public Device {
 public:
  static constexpr u64 kEcho = 0, kFlush = 4, kEchoBytes = 8, kLines = 0x100, kMemory = 0x10000;
  static constexpr unsigned kInterrupts = 24, kMemorySize = 0x10000;
  explicit PcTestdev(std::array<IrqLine*, kInterrupts> lines) : lines_(lines), memory_(kMemorySize) {}
  std::string_view name() const override { return "pc-testdev"; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() override { data_ = 0, std::fill(memory_.begin(), memory_.end(), u8{0}); }
  void state(Ar& ar) override { ar(data_, memory_); }

 private:
  std::array<IrqLine*, kInterrupts> lines_;        ///< null: no such line
  u32 data_ = 0;
  std::vector<u8> memory_;
};

}  // namespace vt::emu
