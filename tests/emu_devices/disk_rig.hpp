// SPDX-License-Identifier: GPL-2.0-or-later
/// An image in memory, and memory for a controller to work in.
#pragma once
#include "emu/disk.hpp"
#include "fakes.hpp"
#include "pci/config.hpp"

namespace vt::emu {

struct MemoryImage final : DiskImage {
  explicit MemoryImage(u64 size) : bytes(size) { for (u64 n = 0; n < size; ++n) bytes[n] = static_cast<u8>(n / 512 * 7 + n % 251); }
  u64 size() const override { return bytes.size(); }
  bool read(u64 at, void* to, std::size_t n) override {
    if (broken) return false;
    std::memcpy(to, &bytes[at], n);
    return true;
  }
  std::string what_failed() const override { return "disk.img: cannot be read"; }
  std::vector<u8> bytes;
  bool broken = false;
};

/// 1 MiB.
struct Ram final : FakeMemory {
  Ram() : FakeMemory(1 << 20) {}
  void msi(Bdf, u64, u32 data) override { sent.push_back(data); }
  std::vector<u32> sent;
};

}  // namespace vt::emu
