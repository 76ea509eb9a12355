// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/virtio_net.hpp"

#include <utility>

namespace vt::emu::pci {
namespace {
constexpr std::size_t kHeader = 12;   ///< "Device Operation": virtio_net_hdr with num_buffers
constexpr unsigned kAtOnce = 64;      ///< frames of one event: a driver that fills its queue as fast cannot hold the machine up
constexpr u32 kReceiveEvent = 0, kTransmitEvent = 1;
}  // namespace

/// Locally administered, and another for each place.
std::array<u8, 6> VirtioNet::mac_of(Bdf at) { return {0x02, 0x56, 0x54, 0x00, at.bus(), static_cast<u8>(at.dev() << 3 | at.fn())}; }

/// "Device configuration layout": mac, status (link up).
std::vector<u8> VirtioNet::config_of(Bdf at) {
  const auto m = mac_of(at);
  return {m[0], m[1], m[2], m[3], m[4], m[5], 1, 0};
}

VirtioNet::VirtioNet(const FunctionSpec& spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx)
    : Virtio(spec, mapper, dma, clock, intx, kMac | kLinkStatus | kIndirectDescriptors, 2, config_of(spec.bdf)) {}

void VirtioNet::state(Ar& ar) {
  Virtio::state(ar);
  ar(waiting_, armed_);
}

void VirtioNet::device_reset() {
  waiting_.clear();
  cancel(kReceiveEvent), cancel(kTransmitEvent);
  armed_ = {};
}

void VirtioNet::arm(u32 event) {
  if (!std::exchange(armed_[event], true)) after(kDelay, event);
}

void VirtioNet::notified(unsigned queue) {
  if (queue == kTransmit) arm(kTransmitEvent);
  else if (!waiting_.empty()) arm(kReceiveEvent);
}

void VirtioNet::receive(std::span<const u8> frame) {
  if (!ready(kReceive) || frame.size() > kMaxFrame || waiting_.size() >= kWaiting) { ++counts_.dropped; return; }
  waiting_.emplace_back(frame.begin(), frame.end());
  arm(kReceiveEvent);
}

void VirtioNet::expire(u32 kind, u64) {
  armed_[kind] = false;
  if (kind == kTransmitEvent) transmit();
  else deliver();
}

void VirtioNet::transmit() {
  unsigned done = 0;
  for (; done < kAtOnce && ready(kTransmit); ++done) {
    const auto chain = peek(kTransmit);
    if (!chain) break;
    std::vector<u8> bytes;
    if (chain->readable <= kHeader + kMaxFrame && chain->readable > kHeader) {
      if (!gather(*chain, bytes)) break;
      ++counts_.sent;
      if (sink_) sink_->frame(std::span(bytes).subspan(kHeader));
    } else {
      ++counts_.dropped;
    }
    used(kTransmit, *chain, 0);
  }
  if (!done) return;
  if (ready(kTransmit)) tell(kTransmit);
  if (done == kAtOnce) arm(kTransmitEvent);
}

void VirtioNet::deliver() {
  unsigned done = 0;
  for (; done < kAtOnce && !waiting_.empty() && ready(kReceive); ++done) {
    const auto chain = peek(kReceive);
    if (!chain) break;
    std::vector<u8> bytes(kHeader);
    bytes[10] = 1;   // num_buffers
    bytes.insert(bytes.end(), waiting_.front().begin(), waiting_.front().end());
    waiting_.pop_front();
    const bool fits = chain->writable >= bytes.size();
    if (fits && !scatter(*chain, bytes)) break;
    ++(fits ? counts_.received : counts_.dropped);
    used(kReceive, *chain, fits ? static_cast<u32>(bytes.size()) : 0);
  }
  if (!done) return;
  if (ready(kReceive)) tell(kReceive);
  if (!waiting_.empty()) arm(kReceiveEvent);
}

}  // namespace vt::emu::pci
