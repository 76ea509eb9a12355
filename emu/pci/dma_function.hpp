// SPDX-License-Identifier: GPL-2.0-or-later
/// Our own bus-master function: it copies between memory and a buffer of 4 KiB when told to, through the
/// IOMMU like any device. For guests that test DMA remapping.   docs/dma-function.md
#pragma once
#include "pci/function.hpp"

namespace vt::emu::pci {

class DmaFunction final : public Function, public Timed {
 public:
  static constexpr u64 kDelay = 2000;   ///< cycles from CMD to completion
  static constexpr u32 kBuffer = 4096;
  /// Registers in BAR 0, little endian, 1 to 8 bytes wide.
  enum Reg : u16 {
    kId = 0x00,         ///< RO: "VTDM"
    kVersion = 0x04,    ///< RO: 1
    kSrc = 0x08,        ///< 64 bits: I/O virtual address that is read
    kDst = 0x10,        ///< 64 bits: I/O virtual address that is written
    kLen = 0x18,        ///< bytes: 1 to 4096
    kCmd = 0x1c,        ///< a Command starts; ignored while busy. Reads 0
    kStatus = 0x20,     ///< bits below; done, error and the error's code are cleared by writing one to done or error
    kIrqEnable = 0x24,  ///< bit 0: MSI (or INTA, if MSI is off) at completion
    kWindow = 0x28,     ///< bit 0: which half of the buffer shows at 0x800
    kDone = 0x2c,       ///< RO: bytes moved by the last command
    kData = 0x800,      ///< 2 KiB of the buffer
  };
  enum Command : u32 { kRead = 1, kWrite = 2, kCopy = 3 };  ///< SRC to buffer, buffer to DST, SRC to DST
  enum Status : u32 { kBusy = 1, kFinished = 2, kError = 4 };
  /// Status bits 7:4.
  enum Error : u32 { kReadBlocked = 1, kWriteBlocked = 2, kBadCommand = 3, kNotMaster = 4 };

  /// `spec.bars[0]` is completed: mem32, 4 KiB, this device. MSI is always offered.
  DmaFunction(const FunctionSpec& spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx = nullptr);
  static FunctionSpec default_spec(u64 address);  ///< 1af4:10f0, class ff0000, at 04.0

  void expire(u32 kind, u64 now) override;
  void reset() override;
  void state(Ar& ar) override;

 private:
  struct Registers final : Device {
    DmaFunction* owner = nullptr;
    std::string label;
    std::string_view name() const override { return label; }
    u64 read(u64 offset, unsigned size) override { return owner->bar_read(offset, size); }
    void write(u64 offset, unsigned size, u64 value) override { owner->bar_write(offset, size, value); }
    void reset() override {}
    void state(Ar&) override {}  // the function has it
  };
  u64 bar_read(u64 offset, unsigned size);
  void bar_write(u64 offset, unsigned size, u64 value);
  u8 read8(u64 offset) const;
  void start(u32 command);
  u32 run();
  static FunctionSpec complete(FunctionSpec spec, Registers* registers);

  Registers registers_;
  Clock& clock_;
  u64 src_ = 0, dst_ = 0;
  u32 len_ = 0, command_ = 0, status_ = 0, irq_enable_ = 0, window_ = 0, moved_ = 0;
  std::array<u8, kBuffer> buffer_{};
};

}  // namespace vt::emu::pci
