// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/ioapic.hpp"

#include "base/bits.hpp"
#include "base/check.hpp"

namespace vt::emu {
namespace {
constexpr u64 kMask = 1 << 16, kLevel = 1 << 15, kRemoteIrr = 1 << 14;
constexpr u64 kReadOnly = kRemoteIrr | 1 << 12;
constexpr u64 kWritable = 0xffff'0000'0001'afff;  // 63:48 destination or index and format; 16, 15, 13, 11:0
constexpr u64 kRemappable = u64{1} << 48;

bool level(u64 rte) {  // SMI, NMI, INIT and ExtINT are edges, whatever bit 15 says
  const auto mode = bits(rte, 10, 8);
  return (rte & kLevel) && ((rte & kRemappable) || mode <= 1);
}
}  // namespace

IoApic::IoApic(InterruptBus& bus, Bdf source, u8 id) : bus_(bus), source_(source), initial_id_(id & 15), id_(initial_id_) {
  for (u8 i = 0; i < kPins; ++i) input_[i].owner = this, input_[i].n = i;
  reset();
}

void IoApic::reset() {
  select_ = 0, id_ = initial_id_;
  rte_.fill(kMask);
}

void IoApic::state(Ar& ar) { ar(id_, select_, lines_, rte_); }

IrqLine& IoApic::input(unsigned n) {
  CHECK(n < kPins);
  return input_[n];
}

void IoApic::set_line(unsigned n, bool asserted) {
  const bool was = bit(lines_, n);
  lines_ = asserted ? lines_ | 1u << n : lines_ & ~(1u << n);
  if (level(rte_[n])) service(n);
  else if (asserted && !was && !(rte_[n] & kMask)) send(n);
}

void IoApic::service(unsigned n) {
  if (!level(rte_[n]) || !bit(lines_, n) || (rte_[n] & (kMask | kRemoteIrr))) return;
  rte_[n] |= kRemoteIrr;  // before sending: whoever takes it may answer with EOI at once
  send(n);
}

IoApic::Message IoApic::message(unsigned n) const {
  const u64 rte = rte_[n % kPins];
  const u32 data = static_cast<u32>(bits(rte, 7, 0) | bits(rte, 10, 8) << 8 | 1 << 14 | (level(rte) ? 1u << 15 : 0));
  u64 address = 0xfee00000;
  if (rte & kRemappable) address |= bits(rte, 63, 49) << 5 | 1 << 4 | bits(rte, 11, 11) << 2;
  else address |= bits(rte, 63, 56) << 12 | bits(rte, 11, 11) << 2;
  return {address, data};
}

void IoApic::send(unsigned n) {
  const Message m = message(n);
  bus_.message(source_, m.address, m.data);
}

void IoApic::eoi(u8 vector) {
  for (unsigned n = 0; n < kPins; ++n) {
    if (!level(rte_[n]) || bits(rte_[n], 7, 0) != vector) continue;
    rte_[n] &= ~kRemoteIrr;
    service(n);
  }
}

u32 IoApic::read_register(u8 index) const {
  if (index == 0 || index == 2) return u32{id_} << 24;
  if (index == 1) return (kPins - 1) << 16 | kVersion;
  if (index >= 0x10 && index < 0x10 + 2 * kPins) return static_cast<u32>(rte_[(index - 0x10) / 2] >> (index & 1 ? 32 : 0));
  return 0;
}

void IoApic::write_register(u8 index, u32 value) {
  if (index == 0) { id_ = (value >> 24) & 15; return; }
  if (index < 0x10 || index >= 0x10 + 2 * kPins) return;
  const unsigned n = (index - 0x10) / 2;
  u64& rte = rte_[n];
  const u64 part = index & 1 ? 0xffffffff'00000000 : 0xffffffff, wide = index & 1 ? u64{value} << 32 : value;
  rte = (rte & (~part | kReadOnly)) | (wide & part & kWritable);
  if (!level(rte)) rte &= ~kRemoteIrr;  // making it an edge is how software without an EOI register gets rid of it
  service(n);
}

u64 IoApic::read(u64 offset, unsigned size) {
  const u64 reg = offset & ~u64{3};
  const u64 value = reg == 0x00 ? select_ : reg == 0x10 ? read_register(select_) : 0;
  const u64 out = value >> (8 * (offset & 3));
  return size >= 8 ? out : out & mask(8 * size - 1, 0);
}

void IoApic::write(u64 offset, unsigned size, u64 value) {
  if (offset == 0x00) select_ = static_cast<u8>(value);
  else if (offset == 0x40) eoi(static_cast<u8>(value));
  else if (offset == 0x10 && size >= 4) write_register(select_, static_cast<u32>(value));  // IOWIN takes dwords only
}

}  // namespace vt::emu
