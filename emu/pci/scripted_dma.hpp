// SPDX-License-Identifier: GPL-2.0-or-later
/// A function that reads and writes memory by itself at times that the platform description gives: a device that firmware has left
/// running, as USB legacy emulation does, and that no driver of the guest knows of.   docs/platforms.md
#pragma once
#include "pci/function.hpp"

namespace vt::emu::pci {

class ScriptedDma final : public Function, public Timed {
 public:
  struct Access {
    u64 at = 0;          ///< cycles after reset
    u64 address = 0;     ///< I/O virtual
    u32 size = 64;       ///< bytes, 1 to kMaxSize
    bool write = false;
    u8 value = 0;        ///< every byte of a write
    u64 every = 0, times = 1;
  };
  /// What became of one access of the script: `lost` while Bus Master Enable was off, `blocked` by the IOMMU or by nobody answering.
  struct Progress {
    u64 due = 0, left = 0, done = 0, blocked = 0, lost = 0;
    void state(Ar& ar) { ar(due, left, done, blocked, lost); }
  };
  static constexpr u32 kMaxSize = 4096;

  /// Powers up with Bus Master Enable on: firmware was using the device. Accesses of one moment happen in the script's order.
  ScriptedDma(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, std::vector<Access> script);

  const std::vector<Progress>& progress() const { return progress_; }
  void expire(u32 which, u64 now) override;
  void reset() override;
  void state(Ar& ar) override;

 private:
  void begin();
  Clock& clock_;
  std::vector<Access> script_;
  std::vector<Progress> progress_;
};

}  // namespace vt::emu::pci
