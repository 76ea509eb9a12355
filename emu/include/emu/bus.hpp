// SPDX-License-Identifier: GPL-2.0-or-later
/// Who answers at which address. Two devices on one range is an error when the machine is put together;
/// what nobody claims reads as ones, drops writes, and is counted.
#pragma once
#include <map>
#include <stdexcept>
#include <vector>

#include "emu/device.hpp"

namespace vt::emu {

struct BusConflict : std::runtime_error { using runtime_error::runtime_error; };

class Bus {
 public:
  /// `offset` is the device's offset at `first`. Throws BusConflict naming both devices.
  void claim_memory(u64 first, u64 size, Device& d, u64 offset = 0);
  void claim_ports(u16 first, unsigned count, Device& d, u64 offset = 0);
  /// What a guest moves at run time (PCI BARs): lies under whatever was claimed, and one on another is counted, the first one wins.
  void map_memory(u64 first, u64 size, Device& d);
  void unmap_memory(u64 first, Device& d);
  void map_ports(u64 first, u64 size, Device& d);
  void unmap_ports(u64 first, Device& d);

  u64 read(u64 at, unsigned size);
  void write(u64 at, unsigned size, u64 value);
  u64 port_read(u16 port, unsigned size);
  void port_write(u16 port, unsigned size, u64 value);

  /// Accesses that nobody claimed, by page or port.
  const std::map<u64, u64>& absent_memory() const { return absent_memory_; }
  const std::map<u16, u64>& absent_ports() const { return absent_ports_; }
  struct Range { u64 first, last, offset; Device* device; };
  const std::vector<Range>& memory_ranges() const { return memory_; }
  const std::vector<Range>& port_ranges() const { return ports_; }

 private:
  const Range* find(const std::vector<Range>& fixed, const std::vector<Range>& moving, u64 at) const;
  const Range* find_port(u16 port) const;
  static void insert(std::vector<Range>& to, Range r, const char* what);
  std::vector<Range> memory_, ports_;              ///< sorted
  std::vector<u16> port_range_ = std::vector<u16>(0x10000);  ///< derived: index into ports_ plus one
  std::vector<Range> moving_memory_, moving_ports_;  ///< in the order of mapping
  std::map<u64, u64> absent_memory_;
  std::map<u16, u64> absent_ports_;
};

}  // namespace vt::emu
