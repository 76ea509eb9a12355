// SPDX-License-Identifier: GPL-2.0-or-later
/// What functions with registers of their own and bus mastering share: a device for each BAR (in one of them the MSI-X table), DMA with a
/// result, events, and the choice between pin, MSI and MSI-X.
#pragma once
#include "pci/function.hpp"

namespace vt::emu::pci {

class Endpoint : public Function, public Timed {
 public:
  /// Every BAR of `spec` is answered by this function. `intx` may be null: the pin is not connected.
  Endpoint(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx = nullptr);

 protected:
  /// Registers: `offset` within the BAR, not within the MSI-X table; sizes 1, 2, 4, 8. Reads may have no side effects but those of the device.
  virtual u64 register_read(unsigned bar, u64 offset, unsigned size) = 0;
  virtual void register_write(unsigned bar, u64 offset, unsigned size, u64 value) = 0;

  /// DMA. False: Bus Master Enable is off (here or in a bridge above), the IOMMU has refused (and recorded) it, or nothing answers; what was
  /// read is then all ones, and of a write across pages some may have arrived.
  bool fetch(u64 at, void* to, std::size_t n);
  bool store(u64 at, const void* from, std::size_t n);

  /// How software wants to be interrupted at this moment.
  enum class Signal : u8 { pin, msi, msix };
  Signal signal() const { return msix_enabled() ? Signal::msix : msi_enabled() ? Signal::msi : Signal::pin; }
  /// One message: MSI-X's of that vector, or MSI's only one. Nothing by pin: that is a level, see set_intx().
  void message(unsigned vector);

  /// One event of each kind: expire(kind, now) so many cycles from now. A second call moves it.
  void after(u64 cycles, u32 kind) { clock_.at(clock_.now() + cycles, *this, kind); }
  void cancel(u32 kind) { clock_.cancel(*this, kind); }
  Clock& clock() { return clock_; }

 private:
  struct Window final : Device {
    Endpoint* owner = nullptr;
    unsigned bar = 0;
    std::string label;
    std::string_view name() const override { return label; }
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u64 value) override;
    void reset() override {}
    void state(Ar&) override {}  // the function has it
  };
  static FunctionSpec with_windows(FunctionSpec spec, std::array<Window, 6>& windows);
  std::array<Window, 6> windows_;
  Clock& clock_;
};

}  // namespace vt::emu::pci
