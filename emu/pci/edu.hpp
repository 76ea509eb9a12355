// SPDX-License-Identifier: GPL-2.0-or-later
/// The edu function, on which drivers are learnt: a complement, a factorial, interrupts on request, and DMA between memory and a buffer of
/// 4 KiB.   QEMU "EDU device"
#pragma once
#include "pci/endpoint.hpp"

namespace vt::emu::pci {

class Edu final : public Endpoint {
 public:
  static constexpr u64 kBuffer = 0x40000, kBufferSize = 4096;   ///< where DMA finds the buffer
  static constexpr u64 kDmaMask = (u64{1} << 28) - 1;           ///< bits of addresses that it drives
  static constexpr u64 kDmaDelay = 100'000'000;                 ///< cycles from the command to the transfer: 100 ms
  static constexpr u64 kFactorialDelay = 1000;                  ///< and one for each factor
  /// Registers in BAR 0. Below 80H only 4 bytes wide, from there on 4 or 8.
  enum Reg : u16 { kId = 0, kComplement = 4, kFactorial = 8, kStatus = 0x20, kIrqStatus = 0x24, kRaise = 0x60, kAcknowledge = 0x64, kSource = 0x80, kDestination = 0x88, kCount = 0x90, kCommand = 0x98 };
  enum Status : u32 { kComputing = 1, kIrqWhenComputed = 0x80 };
  enum Irq : u32 { kComputed = 1, kDmaDone = 0x100 };
  enum Command : u32 { kRun = 1, kToMemory = 2, kIrqWhenDone = 4 };

  using Endpoint::Endpoint;
  void expire(u32 kind, u64 now) override;
  void reset() override;
  void state(Ar& ar) override;

 private:
  enum Event : u32 { kFactorialReady, kDmaReady };
  u64 register_read(unsigned bar, u64 offset, unsigned size) override;
  void register_write(unsigned bar, u64 offset, unsigned size, u64 value) override;
  void raise(u32 bits);
  void transfer();
  u32 complement_ = 0, factorial_ = 0, status_ = 0, irq_ = 0;
  u64 source_ = 0, destination_ = 0, count_ = 0, command_ = 0;
  std::array<u8, kBufferSize> buffer_{};
};

}  // namespace vt::emu::pci
