// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/test_devices.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace vt::emu {

void IsaDebugExit::write(u64, unsigned, u64 value) {
  char what[48];
  std::snprintf(what, sizeof what, "isa-debug-exit, value 0x%llx", static_cast<unsigned long long>(value));
  stop_.request(StopReason::exit_device, what, {}, static_cast<int>((value << 1 | 1) & 0xff));
}

// --- fw_cfg ---------------------------------------------------------------------------------------------------

namespace {
/// Selectors that every fw_cfg has, and where files begin.
enum Key : u16 { kSignature = 0, kId = 1, kUuid = 2, kRamSize = 3, kNoGraphic = 4, kCpus = 5, kBootMenu = 0xe, kMaxCpus = 0xf, kFileDirectory = 0x19, kFiles = 0x20 };
constexpr std::size_t kFileName = 56;

template <class T> void put_big_endian(std::vector<u8>& to, T value) {
  for (std::size_t i = 0; i < sizeof value; ++i) to.push_back(static_cast<u8>(value >> 8 * (sizeof value - 1 - i)));
}
}  // namespace

void FwCfg::add(u16 key, u64 value, unsigned size) {
  Item item{key, {}};
  for (unsigned i = 0; i < size; ++i) item.bytes.push_back(static_cast<u8>(value >> 8 * i));
  items_.push_back(std::move(item));
}

void FwCfg::add_file(std::string_view name, std::vector<u8> bytes) {
  auto directory = std::find_if(items_.begin(), items_.end(), [](const Item& i) { return i.key == kFileDirectory; })->bytes;
  const u16 key = static_cast<u16>(kFiles + (directory.size() - 4) / (8 + kFileName));
  put_big_endian(directory, static_cast<u32>(bytes.size())), put_big_endian(directory, key), put_big_endian(directory, u16{0});
  for (std::size_t i = 0; i < kFileName; ++i) directory.push_back(i < name.size() ? static_cast<u8>(name[i]) : u8{0});
  directory[3] = static_cast<u8>(key - kFiles + 1);
  std::find_if(items_.begin(), items_.end(), [](const Item& i) { return i.key == kFileDirectory; })->bytes = std::move(directory);
  items_.push_back({key, std::move(bytes)});
}

FwCfg::FwCfg(u64 memory, unsigned cpus, std::vector<u8> e820) {
  add(kSignature, 0x554d4551, 4);   // "QEMU", which is how software tells that it is there
  add(kId, 1, 4);                   // selector and data, no DMA
  items_.push_back({kUuid, std::vector<u8>(16)});
  add(kRamSize, memory, 8);
  add(kNoGraphic, 1, 2);
  add(kCpus, cpus, 2);
  add(kBootMenu, 0, 2);
  add(kMaxCpus, cpus, 2);
  items_.push_back({kFileDirectory, std::vector<u8>(4)});
  add_file("etc/e820", std::move(e820));
}

u64 FwCfg::read(u64, unsigned size) {
  if (size != 1) return 0;
  for (auto& i : items_)
    if (i.key == key_ && at_ < i.bytes.size()) return i.bytes[at_++];
  return 0;
}

void FwCfg::write(u64, unsigned size, u64 value) {
  if (size == 2) key_ = static_cast<u16>(value & 0xbfff), at_ = 0;   // bit 14 asks to write, which is not possible
}

// --- pc-testdev -----------------------------------------------------------------------------------------------

u64 PcTestdev::read(u64 offset, unsigned size) {
  if (offset >= kMemory) {
    u64 value = 0;
    std::memcpy(&value, &memory_[offset - kMemory], std::min<u64>(size, kMemory + kMemorySize - offset));
    return value;
  }
  if (offset < kFlush || (offset >= kEchoBytes && offset < kLines)) return data_ >> 8 * (offset & 3);
  return 0;
}

void PcTestdev::write(u64 offset, unsigned size, u64 value) {
  if (offset >= kMemory) std::memcpy(&memory_[offset - kMemory], &value, std::min<u64>(size, kMemory + kMemorySize - offset));
  else if (offset >= kLines) {
    IrqLine* line = offset - kLines < kInterrupts ? lines_[offset - kLines] : nullptr;
    if (size == 1 && line) line->set(value != 0);
  } else if (offset < kFlush || offset >= kEchoBytes) {
    const unsigned shift = 8 * (offset & 3);
    const u32 mask = (size >= 4 ? ~u32{0} : (u32{1} << 8 * size) - 1) << shift;
    data_ = (data_ & ~mask) | (static_cast<u32>(value) << shift & mask);
  }
  // kFlush: takes the host's mapping of a page away and gives it back, which nobody in the machine can see
}

}  // namespace vt::emu
