// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/function.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bits.hpp"
#include "base/check.hpp"

namespace vt::emu::pci {
namespace {
constexpr unsigned kCommand = 0x04, kStatus = 0x06, kHeader = 0x0e, kBar0 = 0x10, kCapPointer = 0x34, kLine = 0x3c;
constexpr u16 kIo = 1, kMemory = 2, kMaster = 4, kIntxDisable = 0x400;
constexpr u16 kCommandWritable = 0x0547, kStatusClears = 0xf900, kStatusCaps = 0x10, kStatusIntx = 0x08;

std::string hex2(unsigned v) {
  constexpr char kDigits[] = "0123456789abcdef";
  return {kDigits[v >> 4 & 15], kDigits[v & 15]};
}
}  // namespace

Function::Function(const FunctionSpec& spec, BarMapper* mapper, DmaPort* dma, IrqLine* intx)
    : spec_(spec), name_("pci-" + hex2(spec.bdf.bus()) + ':' + hex2(spec.bdf.dev()) + '.' + static_cast<char>('0' + spec.bdf.fn())),
      mapper_(mapper), dma_(dma), intx_(intx) {
  build();
  keep_as_initial();
}

void Function::put(unsigned at, unsigned size, u32 value, u32 writable, u32 clears) {
  for (unsigned i = 0; i < size; ++i) {
    value_[at + i] = static_cast<u8>(value >> (8 * i));
    writable_[at + i] = static_cast<u8>(writable >> (8 * i));
    clears_[at + i] = static_cast<u8>(clears >> (8 * i));
  }
}

u8 Function::add_capability(u8 id, u8 at, u8& last) {
  value_[last] = at;
  value_[at] = id;
  last = at + 1;
  value_[kStatus] |= kStatusCaps;
  return at;
}

void Function::build() {
  put(0x00, 2, spec_.vendor), put(0x02, 2, spec_.device);
  put(0x08, 1, spec_.revision), put(0x09, 3, spec_.class_code);
  put(0x0c, 1, 0, 0xff);  // cache line size: a register that nothing reads
  put(kHeader, 1, bridge() ? 1 : 0);
  put(kStatus, 2, 0, 0, kStatusClears);
  put(kLine, 1, spec_.interrupt_line, 0xff), put(kLine + 1, 1, spec_.interrupt_pin);
  u16 command = bridge() ? kIo | kMemory | kMaster : spec_.master ? kMaster : 0;
  for (unsigned n = 0; n < (bridge() ? 2u : 6u); ++n) {
    const BarSpec& b = spec_.bars[n];
    if (b.kind == BarKind::none) continue;
    CHECK(std::has_single_bit(b.size) && (b.address & (b.size - 1)) == 0);
    const unsigned at = kBar0 + 4 * n;
    const u64 m = ~(b.size - 1);
    if (b.kind == BarKind::io) {
      CHECK(b.size >= 4 && b.size <= 0x10000);
      put(at, 4, static_cast<u32>(b.address) | 1, static_cast<u32>(m) & ~u32{3});
    } else {
      CHECK(b.size >= 16);
      const u32 type = (b.kind == BarKind::mem64 ? 4 : 0) | (b.prefetchable ? 8 : 0);
      put(at, 4, static_cast<u32>(b.address) | type, static_cast<u32>(m) & ~u32{15});
      if (b.kind == BarKind::mem64) {
        CHECK(n + 1 < 6 && spec_.bars[n + 1].kind == BarKind::none);
        put(at + 4, 4, static_cast<u32>(b.address >> 32), static_cast<u32>(m >> 32));
      }
    }
    if (b.address) command |= b.kind == BarKind::io ? kIo : kMemory;
  }
  put(kCommand, 2, command, kCommandWritable);
  if (bridge()) build_bridge();
  else put(0x2c, 2, spec_.subsystem_vendor), put(0x2e, 2, spec_.subsystem);

  u8 last = kCapPointer;
  if (spec_.express) {
    const u8 at = add_capability(0x10, 0x40, last);
    const bool port = bridge() && *spec_.express != PortType::to_pci_bridge;
    put(at + 2u, 2, 2u | static_cast<u32>(*spec_.express) << 4 | (port ? 0x100 : 0));  // version 2; a slot
    put(at + 4u, 4, 0x8000);                       // role-based error reporting, 128 byte payloads
    put(at + 8u, 2, 0x2810, 0x7fff), put(at + 10u, 2, 0, 0, 0x000f);
    if (*spec_.express != PortType::integrated) {
      put(at + 12u, 4, 0x11), put(at + 16u, 2, 0, 0x01fb), put(at + 18u, 2, 0x11);  // 2.5 GT/s, one lane
    }
    if (port) put(at + 24u, 2, 0, 0x1fff), put(at + 28u, 2, 0, 0x1f);
    put(at + 40u, 2, 0, 0x1f);
  }
  if (spec_.msi) {  // "MSI Capability Structure": 64 bits, per-vector masking
    msi_ = add_capability(0x05, 0x80, last);
    put(msi_ + 2u, 2, 0x0180, 0x0071);
    put(msi_ + 4u, 4, 0, 0xfffffffc), put(msi_ + 8u, 4, 0, 0xffffffff), put(msi_ + 12u, 2, 0, 0xffff);
    put(msi_ + 16u, 4, 0, 1), put(msi_ + 20u, 4, 0);
  }
  if (const MsixSpec& x = spec_.msix; x.vectors) {
    const BarSpec& b = spec_.bars[x.bar];
    const u64 table = u64{16} * x.vectors, pba = (x.vectors + 63u) / 64 * 8;
    CHECK(x.vectors <= 2048 && b.kind != BarKind::none && b.kind != BarKind::io && x.table % 8 == 0 && x.pba % 8 == 0);
    CHECK(x.table + table <= b.size && x.pba + pba <= b.size && (x.table + table <= x.pba || x.pba + pba <= x.table));
    msix_ = add_capability(0x11, 0xa0, last);
    put(msix_ + 2u, 2, x.vectors - 1u, 0xc000);
    put(msix_ + 4u, 4, x.table | x.bar), put(msix_ + 8u, 4, x.pba | x.bar);
    msix_table_.resize(table), msix_pending_.resize(pba);
    clear_msix();
  }
  for (auto& c : spec_.vendor_capabilities) {
    add_capability(0x09, c.at, last);
    for (std::size_t i = 0; i < c.body.size(); ++i) put(static_cast<unsigned>(c.at + 2 + i), 1, c.body[i]);
  }
}

void Function::build_bridge() {
  put(0x18, 4, static_cast<u32>(spec_.bdf.bus()) | *spec_.secondary_bus << 8 | *spec_.secondary_bus << 16, 0x00ffffff);
  put(0x1c, 2, 0x01f1, 0xf0f0);                    // 32-bit I/O window, closed: base above limit
  put(0x1e, 2, 0, 0, kStatusClears);
  put(0x20, 4, 0x0000fff0, 0xfff0fff0);
  put(0x24, 4, 0x0001fff1, 0xfff0fff0);            // 64-bit prefetchable window
  put(0x28, 4, 0, 0xffffffff), put(0x2c, 4, 0, 0xffffffff), put(0x30, 4, 0, 0xffffffff);
  put(0x3e, 2, 0, 0x0fff);
}

void Function::set_windows(u64 mf, u64 ml, u64 pf, u64 pl, u64 f, u64 l) {
  const auto set = [&](unsigned at, unsigned n, u64 v) { for (unsigned i = 0; i < n; ++i) value_[at + i] = static_cast<u8>(v >> (8 * i)); };
  if (mf <= ml) set(0x20, 2, mf >> 16 & 0xfff0), set(0x22, 2, ml >> 16 & 0xfff0);
  if (pf <= pl) set(0x24, 2, (pf >> 16 & 0xfff0) | 1), set(0x26, 2, (pl >> 16 & 0xfff0) | 1), set(0x28, 4, pf >> 32), set(0x2c, 4, pl >> 32);
  if (f <= l) set(0x1c, 1, (f >> 8 & 0xf0) | 1), set(0x1d, 1, (l >> 8 & 0xf0) | 1), set(0x30, 2, f >> 16), set(0x32, 2, l >> 16);
}

/// "Address Decoding" of a bridge: base and limit, 1 MiB (memory) or 4 KiB (I/O) apart.
bool Function::forwards(u64 address, u64 size, bool io) const {
  const u64 last = address + size - 1;
  if (io) {
    const u64 first = (byte(0x1c) & 0xf0u) << 8 | u64{word(0x30)} << 16, limit = (byte(0x1d) & 0xf0u) << 8 | 0xfff | u64{word(0x32)} << 16;
    return io_enabled() && address >= first && last <= limit;
  }
  const u64 first = u64{word(0x20) & 0xfff0u} << 16, limit = u64{word(0x22) & 0xfff0u} << 16 | 0xfffff;
  const u64 pfirst = u64{word(0x24) & 0xfff0u} << 16 | u64{dword(0x28)} << 32;
  const u64 plimit = u64{word(0x26) & 0xfff0u} << 16 | 0xfffff | u64{dword(0x2c)} << 32;
  return memory_enabled() && ((address >= first && last <= limit) || (address >= pfirst && last <= plimit));
}

Bdf Function::bdf() const { return parent_ ? Bdf(parent_->secondary(), spec_.bdf.dev(), spec_.bdf.fn()) : spec_.bdf; }

bool Function::bus_master() const { return (byte(kCommand) & kMaster) && (!parent_ || parent_->bus_master()); }

u64 Function::bar_address(unsigned n) const {
  const unsigned at = kBar0 + 4 * n;
  switch (spec_.bars[n].kind) {
    case BarKind::io: return dword(at) & ~u32{3};
    case BarKind::mem64: return (dword(at) & ~u32{15}) | u64{dword(at + 4)} << 32;
    default: return dword(at) & ~u32{15};
  }
}

void Function::update_bars() {
  for (unsigned n = 0; n < (bridge() ? 2u : 6u); ++n) {
    const BarSpec& b = spec_.bars[n];
    if (b.kind == BarKind::none || !b.device || !mapper_) continue;
    const bool io = b.kind == BarKind::io;
    Mapped now{bar_address(n), io ? io_enabled() : memory_enabled()};
    for (auto* p = parent_; p && now.enabled; p = p->parent_) now.enabled = p->forwards(now.address, b.size, io);
    Mapped& was = mapped_[n];
    if (now.enabled == was.enabled && (!now.enabled || now.address == was.address)) continue;
    if (was.enabled) mapper_->map(*b.device, n, was.address, b.size, io, false);
    if (now.enabled) mapper_->map(*b.device, n, now.address, b.size, io, true);
    was = now;
  }
}

u32 Function::config_read(u16 reg, unsigned size) {
  before_config_read(reg, size);
  u32 value = 0;
  for (unsigned i = 0; i < size; ++i) value |= static_cast<u32>(reg + i < space() ? value_[reg + i] : 0xff) << (8 * i);
  return value;
}

void Function::config_write(u16 reg, unsigned size, u32 value) {
  if (reg + size > space()) return;
  for (unsigned i = 0; i < size; ++i) {
    const unsigned at = reg + i;
    const u8 v = static_cast<u8>(value >> (8 * i));
    value_[at] = static_cast<u8>(((value_[at] & ~writable_[at]) | (v & writable_[at])) & ~(v & clears_[at]));
  }
  const auto touches = [&](unsigned first, unsigned n) { return reg < first + n && reg + size > first; };
  if (touches(kCommand, 2) || (msi_ && touches(msi_ + 2u, 2)) || (msix_ && touches(msix_ + 2u, 2))) set_intx(asserted_);
  if (msix_ && touches(msix_ + 2u, 2)) send_pending();
  if (msi_ && touches(msi_ + 16u, 4) && (byte(msi_ + 20u) & 1) && !(byte(msi_ + 16u) & 1)) {  // unmasked: what waited leaves
    value_[msi_ + 20u] = 0;
    send_msi();
  }
  after_config_write(reg, size);
  update_bars();
}

void Function::send_msi() {
  if (!msi_enabled()) return;
  if (byte(msi_ + 16u) & 1) { value_[msi_ + 20u] |= 1; return; }
  if (bus_master() && dma_) dma_->msi(bdf(), dword(msi_ + 4u) | u64{dword(msi_ + 8u)} << 32, word(msi_ + 12u));
}

void Function::set_intx(bool asserted) {
  asserted_ = asserted;
  value_[kStatus] = static_cast<u8>((value_[kStatus] & ~kStatusIntx) | (asserted ? kStatusIntx : 0));
  if (intx_ && spec_.interrupt_pin) intx_->set(asserted && !(word(kCommand) & kIntxDisable) && !msi_enabled() && !msix_enabled());
}

/// Every vector is masked at reset.
void Function::clear_msix() {
  std::fill(msix_table_.begin(), msix_table_.end(), u8{0});
  std::fill(msix_pending_.begin(), msix_pending_.end(), u8{0});
  for (std::size_t n = 12; n < msix_table_.size(); n += 16) msix_table_[n] = 1;
}

bool Function::in_msix(unsigned bar, u64 offset) const {
  const MsixSpec& x = spec_.msix;
  return msix_ && bar == x.bar && (offset - x.table < msix_table_.size() || offset - x.pba < msix_pending_.size());
}

u32 Function::msix_dword(u64 at) const {
  u32 v = 0;
  std::memcpy(&v, &msix_table_[at], sizeof v);
  return v;
}

u64 Function::msix_read(u64 offset, unsigned size) const {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const u64 table = offset + i - spec_.msix.table, pba = offset + i - spec_.msix.pba;
    const u8 v = table < msix_table_.size() ? msix_table_[table] : pba < msix_pending_.size() ? msix_pending_[pba] : u8{0};
    value |= u64{v} << (8 * i);
  }
  return value;
}

void Function::msix_write(u64 offset, unsigned size, u64 value) {
  if (size < 4 || offset % size) return;
  for (unsigned i = 0; i < size; i += 4) {
    const u64 at = offset + i - spec_.msix.table;
    if (at >= msix_table_.size()) continue;   // pending bits are read only
    static constexpr u32 kWritable[] = {0xfffffffc, 0xffffffff, 0xffffffff, 1};   // address, its upper half, data, vector control
    const u32 v = static_cast<u32>(value >> (8 * i)) & kWritable[at / 4 % 4];
    std::memcpy(&msix_table_[at], &v, sizeof v);
  }
  send_pending();
}

void Function::send_msix(unsigned vector) {
  CHECK(vector < spec_.msix.vectors);
  if (!msix_enabled()) return;
  msix_pending_[vector / 8] = static_cast<u8>(msix_pending_[vector / 8] | 1 << vector % 8);
  send_pending();
}

void Function::forget_msix(unsigned vector) {
  CHECK(vector < spec_.msix.vectors);
  msix_pending_[vector / 8] = static_cast<u8>(msix_pending_[vector / 8] & ~(1 << vector % 8));
}

/// Whatever is pending and no longer masked leaves, lowest vector first.
void Function::send_pending() {
  if (!msix_enabled() || (byte(msix_ + 3u) & 0x40)) return;
  for (unsigned vector = 0; vector < spec_.msix.vectors; ++vector) {
    if (!msix_pending_[vector / 8]) { vector |= 7; continue; }
    const u64 entry = u64{16} * vector;
    if (!msix_pending(vector) || (msix_table_[entry + 12] & 1)) continue;
    forget_msix(vector);
    if (bus_master() && dma_) dma_->msi(bdf(), msix_dword(entry) | u64{msix_dword(entry + 4)} << 32, msix_dword(entry + 8));
  }
}

void Function::reset() {
  value_ = initial_;
  clear_msix();
  set_intx(false);
  update_bars();
}

void Function::state(Ar& ar) {
  for (unsigned i = 0; i < space(); i += 256) ar.bytes(&value_[i], 256);
  ar(asserted_);
  if (msix_) ar.bytes(msix_table_.data(), msix_table_.size()), ar.bytes(msix_pending_.data(), msix_pending_.size());
  if (ar.loading()) update_bars();
}

}  // namespace vt::emu::pci
