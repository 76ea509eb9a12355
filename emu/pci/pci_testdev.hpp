// SPDX-License-Identifier: GPL-2.0-or-later
/// pci-testdev: how often a register was written, in memory (BAR 0) and in ports (BAR 1). Writing n to byte 0 starts test n of that BAR; the header
/// that can then be read says where to write what. Of tests whose writes QEMU hands to an eventfd nothing is counted, there and here.
/// QEMU "pci-testdev"
#pragma once
#include "pci/endpoint.hpp"

namespace vt::emu::pci {

class PciTestdev final : public Endpoint {
 public:
  static constexpr unsigned kKinds = 3, kTests = 2 * kKinds;   ///< kinds: no eventfd, any value to an eventfd, one value to an eventfd
  using Endpoint::Endpoint;
  void expire(u32, u64) override {}
  void reset() override;
  void state(Ar& ar) override;

 private:
  u64 register_read(unsigned bar, u64 offset, unsigned size) override;
  void register_write(unsigned bar, u64 offset, unsigned size, u64 value) override;
  void write8(unsigned bar, u64 offset, u8 value);
  std::vector<u8> header() const;
  u8 test_ = kTests;                    ///< kTests: none is going on
  std::array<u32, kTests> counts_{};
};

}  // namespace vt::emu::pci
