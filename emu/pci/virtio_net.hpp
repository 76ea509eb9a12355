// SPDX-License-Identifier: GPL-2.0-or-later
/// A network card: frames go to whoever is connected, and what comes from there waits for the driver's buffers.
/// VIRTIO 1.1 "Network Device": no offloads, one pair of queues, no control queue.
#pragma once
#include "emu/network.hpp"
#include "pci/virtio.hpp"

namespace vt::emu::pci {

class VirtioNet final : public Virtio, public NetworkCard {
 public:
  static constexpr u64 kDelay = 2000;               ///< cycles from notification to DMA
  static constexpr std::size_t kMaxFrame = 1518;    ///< Ethernet with a VLAN tag, without its check sequence
  static constexpr std::size_t kWaiting = 256;      ///< frames; more are dropped
  static constexpr u64 kMac = 1 << 5, kLinkStatus = 1 << 16, kIndirectDescriptors = 1 << 28;

  VirtioNet(const FunctionSpec& spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx);

  void connect(FrameSink* to) override { sink_ = to; }
  void receive(std::span<const u8> frame) override;
  const Counts& counts() const override { return counts_; }
  std::array<u8, 6> mac() const override { return mac_of(bdf()); }

  void expire(u32 kind, u64 now) override;
  void state(Ar& ar) override;

 protected:
  void notified(unsigned queue) override;
  void device_reset() override;

 private:
  enum Queue : unsigned { kReceive, kTransmit };
  static std::array<u8, 6> mac_of(Bdf at);
  static std::vector<u8> config_of(Bdf at);
  void arm(u32 event);
  void deliver();
  void transmit();

  std::deque<std::vector<u8>> waiting_;
  std::array<bool, 2> armed_{};   ///< an event is on its way: more notifications do not put it off
  FrameSink* sink_ = nullptr;
  Counts counts_;   ///< for `stat`; not state
};

}  // namespace vt::emu::pci
