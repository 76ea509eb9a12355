// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/endpoint.hpp"

namespace vt::emu::pci {

/// Only addresses are taken here: the windows themselves are made after the base class.
FunctionSpec Endpoint::with_windows(FunctionSpec spec, std::array<Window, 6>& windows) {
  for (unsigned n = 0; n < 6; ++n)
    if (spec.bars[n].kind != BarKind::none) spec.bars[n].device = &windows[n];
  return spec;
}

Endpoint::Endpoint(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx)
    : Function(with_windows(std::move(spec), windows_), mapper, &dma, intx), clock_(clock) {
  for (unsigned n = 0; n < 6; ++n) windows_[n].owner = this, windows_[n].bar = n, windows_[n].label = name() + "-bar" + std::to_string(n);
}

u64 Endpoint::Window::read(u64 offset, unsigned size) {
  return owner->in_msix(bar, offset) ? owner->msix_read(offset, size) : owner->register_read(bar, offset, size);
}

void Endpoint::Window::write(u64 offset, unsigned size, u64 value) {
  if (owner->in_msix(bar, offset)) owner->msix_write(offset, size, value);
  else owner->register_write(bar, offset, size, value);
}

bool Endpoint::fetch(u64 at, void* to, std::size_t n) {
  if (bus_master()) return dma()->read(bdf(), Iova{at}, to, n);
  std::memset(to, 0xff, n);
  return false;
}

bool Endpoint::store(u64 at, const void* from, std::size_t n) { return bus_master() && dma()->write(bdf(), Iova{at}, from, n); }

void Endpoint::message(unsigned vector) {
  switch (signal()) {
    case Signal::msix: if (vector < msix_vectors()) send_msix(vector); break;
    case Signal::msi: send_msi(); break;
    case Signal::pin: break;
  }
}

}  // namespace vt::emu::pci
