// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/virtio.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace vt::emu::pci {
namespace {

// VIRTIO 1.1 "Virtio Structure PCI Capabilities": cfg_type, place in BAR 0, length. Bodies follow id and next.
constexpr u8 kCommonType = 1, kNotifyType = 2, kIsrType = 3, kDeviceType = 4, kPciType = 5;
constexpr u32 kCommonSize = 0x38;
constexpr u16 kPciCapability = 0xf0 - 0x10;   ///< the window into the BAR is the last one: fields at fixed places

std::vector<u8> capability(u8 type, u32 offset, u32 length, u8 extra = 0) {
  const u8 size = static_cast<u8>(16 + extra);
  std::vector<u8> body{size, type, 0, 0, 0, 0};   // cap_len, cfg_type, bar, id, padding
  for (u32 v : {offset, length}) for (int i = 0; i < 4; ++i) body.push_back(static_cast<u8>(v >> 8 * i));
  body.resize(size - 2u);
  return body;
}

// "Split Virtqueues"
struct Descriptor { u64 address; u32 size; u16 flags, next; };
constexpr u16 kNext = 1, kWrite = 2, kIndirect = 4, kNoInterrupt = 1;
constexpr u8 kIsrQueue = 1, kIsrConfig = 2;

}  // namespace

FunctionSpec Virtio::complete(FunctionSpec spec) {
  spec.msix = {static_cast<u16>(3), 1, 0, 0x800};
  spec.vendor_capabilities = {{0x40, capability(kCommonType, kCommon, kCommonSize)},
                              {0x50, capability(kIsrType, kIsr, 1)},
                              {0x60, capability(kDeviceType, kDeviceConfig, 0x1000)},
                              {0x70, capability(kNotifyType, kNotify, 0x1000, 4)},
                              {kPciCapability, capability(kPciType, 0, 0, 4)}};
  return spec;
}

Virtio::Virtio(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx, u64 features, unsigned queues,
               std::vector<u8> device_config)
    : Endpoint(complete(std::move(spec)), mapper, dma, clock, intx), offered_(features | kVersion1 | kAccessPlatform),
      device_config_(std::move(device_config)), queues_(queues) {
  put(kPciCapability + 4u, 1, 0, 0xff);                                               // "PCI configuration access capability"
  put(kPciCapability + 8u, 4, 0, 0xffffffff), put(kPciCapability + 12u, 4, 0, 0xffffffff), put(kPciCapability + 16u, 4, 0, 0xffffffff);
  keep_as_initial();
}

void Virtio::reset() {
  Endpoint::reset();
  set_status(0);
}

void Virtio::state(Ar& ar) {
  Endpoint::state(ar);
  ar(accepted_, offered_select_, accepted_select_, config_vector_, selected_, status_, isr_);
  for (auto& q : queues_) q.state(ar);
}

// --- registers: "Common configuration structure layout" ----------------------------------------------------------------------------

u32 Virtio::common(u64 at) const {
  static constexpr Queue kNone{0, kNoVector};
  const Queue& q = selected_ < queues_.size() ? queues_[selected_] : kNone;
  const auto half = [](u64 v, u32 select) { return select > 1 ? u32{0} : static_cast<u32>(v >> 32 * select); };
  switch (at) {
    case 0x00: return offered_select_;
    case 0x04: return half(offered_, offered_select_);
    case 0x08: return accepted_select_;
    case 0x0c: return half(accepted_, accepted_select_);
    case 0x10: return config_vector_ | static_cast<u32>(queues_.size()) << 16;
    case 0x14: return status_ | static_cast<u32>(selected_) << 16;   // config_generation 0: the configuration never changes
    case 0x18: return q.size | u32{q.vector} << 16;
    case 0x1c: return q.enabled | u32{selected_} << 16;              // queue_notify_off; the multiplier is 0, all notify at one place
    case 0x20: return static_cast<u32>(q.descriptors);
    case 0x24: return static_cast<u32>(q.descriptors >> 32);
    case 0x28: return static_cast<u32>(q.driver);
    case 0x2c: return static_cast<u32>(q.driver >> 32);
    case 0x30: return static_cast<u32>(q.device);
    case 0x34: return static_cast<u32>(q.device >> 32);
    default: return 0;
  }
}

u64 Virtio::register_read(unsigned bar, u64 offset, unsigned size) {
  if (bar != 0) return 0;
  u64 value = 0;
  if (offset >= kDeviceConfig && offset < kNotify) {
    for (unsigned i = 0; i < size; ++i)
      if (const u64 at = offset - kDeviceConfig + i; at < device_config_.size()) value |= u64{device_config_[at]} << 8 * i;
  } else if (offset == kIsr) {
    value = std::exchange(isr_, u8{0});   // "ISR status capability": reading acknowledges
    set_intx(false);
  } else if (offset < kCommonSize) {
    for (unsigned i = 0; i < size; ++i) value |= u64{common((offset + i) & ~u64{3}) >> 8 * ((offset + i) & 3) & 0xff} << 8 * i;
  }
  return value;
}

void Virtio::register_write(unsigned bar, u64 offset, unsigned size, u64 value) {
  if (bar != 0) return;
  if (offset >= kNotify) {
    const auto queue = static_cast<u16>(value);
    if (queue < queues_.size() && ready(queue)) notified(queue);
  } else if (offset < kCommonSize) {
    if (size == 8) set_common(offset, 4, value & 0xffffffff), set_common(offset + 4, 4, value >> 32);
    else set_common(offset, size, value);
  }
}

/// Fields take their own width; the 64-bit addresses also halves.
void Virtio::set_common(u64 at, unsigned size, u64 value) {
  const u32 v = static_cast<u32>(value);
  const auto vector = [&](u16 wanted) { return wanted < msix_vectors() ? wanted : kNoVector; };
  Queue unused, &q = selected_ < queues_.size() ? queues_[selected_] : unused;
  const auto half = [&](u64& to) {
    if (size != 4 || q.enabled) return;
    to = at & 4 ? (to & 0xffffffff) | u64{v} << 32 : (to & ~u64{0xffffffff}) | v;
  };
  switch (at) {
    case 0x00: if (size == 4) offered_select_ = v; break;
    case 0x08: if (size == 4) accepted_select_ = v; break;
    case 0x0c:
      if (size == 4 && accepted_select_ < 2 && !(status_ & kFeaturesOk))
        accepted_ = (accepted_ & ~(u64{0xffffffff} << 32 * accepted_select_)) | u64{v} << 32 * accepted_select_;
      break;
    case 0x10: if (size == 2) config_vector_ = vector(static_cast<u16>(v)); break;
    case 0x14: if (size == 1) set_status(static_cast<u8>(v)); break;
    case 0x16: if (size == 2) selected_ = static_cast<u16>(v); break;
    case 0x18: if (size == 2 && !q.enabled && std::has_single_bit(v) && v <= kMaxQueue) q.size = static_cast<u16>(v); break;
    case 0x1a: if (size == 2) q.vector = vector(static_cast<u16>(v)); break;
    case 0x1c: if (size == 2 && v == 1) q.enabled = true; break;   // "The driver MUST NOT write a 0 to queue_enable"
    case 0x20: case 0x24: half(q.descriptors); break;
    case 0x28: case 0x2c: half(q.driver); break;
    case 0x30: case 0x34: half(q.device); break;
    default: break;
  }
}

/// "Device Initialization": features are settled when FEATURES_OK is written; 0 is a reset.
void Virtio::set_status(u8 value) {
  if (value == 0) {
    accepted_ = 0, offered_select_ = accepted_select_ = 0, selected_ = 0, config_vector_ = kNoVector, status_ = isr_ = 0;
    for (auto& q : queues_) q = Queue{};
    set_intx(false);
    device_reset();
    return;
  }
  if (!(status_ & kFeaturesOk) && (value & kFeaturesOk)) {
    const u64 must = kVersion1 | kAccessPlatform;
    if ((accepted_ & ~offered_) || (accepted_ & must) != must) value = static_cast<u8>(value & ~kFeaturesOk);
  }
  if (!(value & kFeaturesOk)) value = static_cast<u8>(value & ~kDriverOk);
  status_ = static_cast<u8>(value | (status_ & kNeedsReset));
}

/// "PCI configuration access capability": cap.bar, cap.offset and cap.length choose, pci_cfg_data is the window.
bool Virtio::window(u8& bar, u32& offset, u32& length) {
  bar = byte(kPciCapability + 4u), offset = dword(kPciCapability + 8u), length = dword(kPciCapability + 12u);
  return bar == 0 && (length == 1 || length == 2 || length == 4) && offset % length == 0 && offset < 0x4000;
}

void Virtio::before_config_read(u16 reg, unsigned size) {
  u8 bar;
  u32 offset, length;
  if (reg + size <= kPciCapability + 16u || reg >= kPciCapability + 20u || !window(bar, offset, length)) return;
  put(kPciCapability + 16u, 4, static_cast<u32>(register_read(bar, offset, length)), 0xffffffff);
}

void Virtio::after_config_write(u16 reg, unsigned size) {
  u8 bar;
  u32 offset, length;
  if (reg + size <= kPciCapability + 16u || reg >= kPciCapability + 20u || !window(bar, offset, length)) return;
  const u64 mask = length == 4 ? 0xffffffff : (u64{1} << 8 * length) - 1;
  register_write(bar, offset, length, dword(kPciCapability + 16u) & mask);
}

// --- queues ------------------------------------------------------------------------------------------------------------------------

void Virtio::broken() {
  status_ |= kNeedsReset;
  interrupt(config_vector_, kIsrConfig);
}

void Virtio::interrupt(u16 vector, u8 cause) {
  if (msix_enabled()) {
    if (vector != kNoVector) send_msix(vector);
    return;
  }
  isr_ |= cause;
  set_intx(true);
}

std::optional<Virtio::Chain> Virtio::peek(unsigned queue) {
  Queue& q = queues_[queue];
  u16 available = 0;
  Chain chain;
  const auto wrong = [&] { broken(); return std::nullopt; };
  if (!fetch_value(q.driver + 2, available)) return wrong();
  if (available == q.next) return {};
  if (static_cast<u16>(available - q.next) > q.size) return wrong();
  if (!fetch_value(q.driver + 4 + 2 * (q.next % q.size), chain.head)) return wrong();
  // An indirect table replaces the rest of the chain; within it there are no more.
  u64 table = q.descriptors;
  u32 entries = q.size, at = chain.head;
  bool indirect = false;
  for (u32 count = 0;; ++count) {
    Descriptor d;
    if (at >= entries || count >= entries || !fetch(table + u64{16} * at, &d, sizeof d)) return wrong();
    if (d.flags & kIndirect) {
      if (indirect || (d.flags & kNext) || d.size == 0 || d.size % 16 || d.size / 16 > q.size) return wrong();
      indirect = true, table = d.address, entries = d.size / 16, at = 0, count = ~u32{0};
      continue;
    }
    // "The driver MUST place any device-writable descriptor elements after any device-readable descriptor elements."
    if (!(d.flags & kWrite) && !chain.out.empty()) return wrong();
    (d.flags & kWrite ? chain.out : chain.in).push_back({d.address, d.size});
    (d.flags & kWrite ? chain.writable : chain.readable) += d.size;
    if (!(d.flags & kNext)) return chain;
    at = d.next;
  }
}

void Virtio::used(unsigned queue, const Chain& chain, u32 written) {
  Queue& q = queues_[queue];
  const struct { u32 id, size; } element{chain.head, written};
  const u16 index = static_cast<u16>(q.used + 1);
  if (!store(q.device + 4 + u64{8} * (q.used % q.size), &element, sizeof element) || !store(q.device + 2, &index, sizeof index)) { broken(); return; }
  q.used = index, ++q.next;
}

void Virtio::tell(unsigned queue) {
  u16 flags = 0;
  if (!fetch_value(queues_[queue].driver, flags)) { broken(); return; }
  if (!(flags & kNoInterrupt)) interrupt(queues_[queue].vector, kIsrQueue);
}

bool Virtio::gather(const Chain& chain, std::vector<u8>& bytes) {
  for (const Part& p : chain.in) {
    const std::size_t at = bytes.size();
    bytes.resize(at + p.size);
    if (p.size && !fetch(p.address, &bytes[at], p.size)) { broken(); return false; }
  }
  return true;
}

bool Virtio::scatter(const Chain& chain, std::span<const u8> bytes) {
  for (const Part& p : chain.out) {
    const std::size_t n = std::min<std::size_t>(p.size, bytes.size());
    if (n && !store(p.address, bytes.data(), n)) { broken(); return false; }
    bytes = bytes.subspan(n);
  }
  return true;
}

}  // namespace vt::emu::pci
