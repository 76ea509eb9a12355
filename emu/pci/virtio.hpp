// SPDX-License-Identifier: GPL-2.0-or-later
/// A virtio device as a PCI function: the registers of the modern interface, and split virtqueues. The device type derives from it.
/// VIRTIO 1.1 "Virtio Over PCI Bus", "Split Virtqueues"
#pragma once
#include <vector>

#include "pci/endpoint.hpp"

namespace vt::emu::pci {

class Virtio : public Endpoint {
 public:
  static constexpr u64 kVersion1 = u64{1} << 32, kAccessPlatform = u64{1} << 33;   ///< both are offered and have to be accepted
  static constexpr u16 kMaxQueue = 256, kNoVector = 0xffff;
  enum Status : u8 { kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8, kNeedsReset = 64, kFailed = 128 };
  /// Where the structures lie in BAR 0; MSI-X has BAR 1.
  enum Place : u32 { kCommon = 0x0000, kIsr = 0x1000, kDeviceConfig = 0x2000, kNotify = 0x3000 };

  void reset() override;
  void state(Ar& ar) override;

 protected:
  /// `type`: of VIRTIO 1.1 "Device Types". `features` without the two above. BARs 0 and 1 of `spec` are memory of 16 and 4 KiB.
  Virtio(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx, u64 features, unsigned queues, std::vector<u8> device_config);

  /// The driver has told that there is something in this queue.
  virtual void notified(unsigned queue) = 0;
  virtual void device_reset() = 0;

  /// A chain of descriptors as one run of bytes to read and one to write.
  struct Part { u64 address = 0; u32 size = 0; };
  struct Chain {
    u16 head = 0;
    std::vector<Part> in, out;          ///< what the device reads; what it writes
    u64 readable = 0, writable = 0;     ///< bytes
  };
  bool ready(unsigned queue) const { return (status_ & kDriverOk) && !(status_ & kNeedsReset) && queues_[queue].enabled; }
  /// The next chain that the driver has made available, without taking it. None: nothing there, or the ring makes no sense (the device
  /// then asks to be reset).
  std::optional<Chain> peek(unsigned queue);
  /// It is used now, with so many bytes written.
  void used(unsigned queue, const Chain& chain, u32 written);
  /// Interrupts for what has been used, unless the driver asked for none.
  void tell(unsigned queue);
  /// False: DMA failed; the device asks to be reset.
  bool gather(const Chain& chain, std::vector<u8>& bytes);
  bool scatter(const Chain& chain, std::span<const u8> bytes);
  /// VIRTIO 1.1 "Device Status Field": DEVICE_NEEDS_RESET, with a configuration change interrupt.
  void broken();

  u64 register_read(unsigned bar, u64 offset, unsigned size) override;
  void register_write(unsigned bar, u64 offset, unsigned size, u64 value) override;
  void before_config_read(u16 reg, unsigned size) override;
  void after_config_write(u16 reg, unsigned size) override;

 private:
  struct Queue {
    u16 size = kMaxQueue, vector = kNoVector;
    bool enabled = false;
    u64 descriptors = 0, driver = 0, device = 0;   ///< descriptor table, available ring, used ring
    u16 next = 0, used = 0;                        ///< free-running indices
    void state(Ar& ar) { ar(size, vector, enabled, descriptors, driver, device, next, used); }
  };
  static FunctionSpec complete(FunctionSpec spec);
  u32 common(u64 at) const;
  void set_common(u64 at, unsigned size, u64 value);
  void set_status(u8 value);
  void interrupt(u16 vector, u8 cause);
  bool window(u8& bar, u32& offset, u32& length);
  template <class T> bool fetch_value(u64 at, T& v) { return fetch(at, &v, sizeof v); }

  const u64 offered_;
  const std::vector<u8> device_config_;
  u64 accepted_ = 0;
  u32 offered_select_ = 0, accepted_select_ = 0;
  u16 config_vector_ = kNoVector, selected_ = 0;
  u8 status_ = 0, isr_ = 0;
  std::vector<Queue> queues_;
};

}  // namespace vt::emu::pci
