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

/// 1 MiB from address 0; what lies in [block_first, block_last] is refused, as an IOMMU does.
struct Ram final : DmaPort {
  bool good(u64 at, std::size_t n) const { return at < memory.size() && n <= memory.size() - at && (at > block_last || at + n <= block_first); }
  bool read(Bdf, Iova at, void* to, std::size_t n) override {
    if (!good(at.v, n)) { std::memset(to, 0xff, n); return false; }
    std::memcpy(to, &memory[at.v], n);
    return true;
  }
  bool write(Bdf, Iova at, const void* from, std::size_t n) override {
    if (!good(at.v, n)) return false;
    std::memcpy(&memory[at.v], from, n);
    return true;
  }
  void msi(Bdf, u64, u32 data) override { sent.push_back(data); }
  template <class T> T get(u64 at) const { T v; std::memcpy(&v, &memory[at], sizeof v); return v; }
  template <class T> void put(u64 at, const T& v) { std::memcpy(&memory[at], &v, sizeof v); }
  std::vector<u8> memory = std::vector<u8>(1 << 20);
  std::vector<u32> sent;
  u64 block_first = ~u64{0}, block_last = 0;
};

}  // namespace vt::emu
