// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/pci_testdev.hpp"

#include <string>

namespace vt::emu::pci {
namespace {
constexpr const char* kKind[] = {"no-eventfd", "wildcard-eventfd", "datamatch-eventfd"};
constexpr u8 kAny = 0xce, kMatch = 0xfa;   ///< the value to write
/// Where a test is written to: one byte, behind what is read.
constexpr u32 place(unsigned test) { return (test < PciTestdev::kKinds ? 2048 : 128) + test; }
}  // namespace

void PciTestdev::reset() {
  test_ = kTests;
  counts_ = {};
  Endpoint::reset();
}

void PciTestdev::state(Ar& ar) {
  Endpoint::state(ar);
  ar(test_, counts_);
}

/// Test, width, 16 bits of nothing, place (32 bits), value, 24 bits of nothing, count (32 bits), name.
std::vector<u8> PciTestdev::header() const {
  std::vector<u8> h(16);
  const auto put = [&](unsigned at, u32 v) { for (unsigned i = 0; i < 4; ++i) h[at + i] = static_cast<u8>(v >> 8 * i); };
  put(0, test_ | 1u << 8), put(4, place(test_)), put(8, test_ % kKinds == 1 ? kAny : kMatch), put(12, counts_[test_]);
  for (char c : std::string(test_ < kKinds ? "mmio-" : "portio-") + kKind[test_ % kKinds]) h.push_back(static_cast<u8>(c));
  h.push_back(0);
  return h;
}

u64 PciTestdev::register_read(unsigned, u64 offset, unsigned size) {
  if (test_ >= kTests) return 0;
  const auto h = header();
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i)
    if (offset + i + 1 < h.size()) value |= u64{h[offset + i]} << 8 * i;
  return value;
}

void PciTestdev::register_write(unsigned bar, u64 offset, unsigned size, u64 value) {
  const bool mine = test_ < kTests && (test_ < kKinds) == (bar == 0) && offset == place(test_) && size == 1;
  if (mine && (test_ % kKinds == 1 || (test_ % kKinds == 2 && value == kMatch))) return;   // the eventfd has it
  for (unsigned i = 0; i < size; ++i) write8(bar, offset + i, static_cast<u8>(value >> 8 * i));
}

void PciTestdev::write8(unsigned bar, u64 offset, u8 value) {
  if (!offset) {
    test_ = value < kKinds ? static_cast<u8>(value + kKinds * (bar != 0)) : u8{kTests};
    if (test_ < kTests) counts_[test_] = 0;
    return;
  }
  if (test_ < kTests && offset == place(test_) && (test_ % kKinds == 1 || value == kMatch)) ++counts_[test_];
}

}  // namespace vt::emu::pci
