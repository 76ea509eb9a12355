// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/dma_function.hpp"

#include "base/bits.hpp"

namespace vt::emu::pci {

FunctionSpec DmaFunction::complete(FunctionSpec s, Registers* registers) {
  s.msi = true;
  s.bars[0].kind = BarKind::mem32, s.bars[0].size = 0x1000, s.bars[0].device = registers;
  return s;
}

FunctionSpec DmaFunction::default_spec(u64 address) {
  FunctionSpec s;
  s.bdf = Bdf(0, 4, 0), s.vendor = 0x1af4, s.device = 0x10f0, s.class_code = 0xff0000;
  s.bars[0].address = address;
  return s;
}

DmaFunction::DmaFunction(const FunctionSpec& spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx)
    : Function(complete(spec, &registers_), mapper, &dma, intx), clock_(clock) {
  registers_.owner = this, registers_.label = name() + "-dma";
}

void DmaFunction::reset() {
  clock_.cancel(*this, 0);
  src_ = dst_ = 0;
  len_ = command_ = status_ = irq_enable_ = window_ = moved_ = 0;
  buffer_.fill(0);
  Function::reset();
}

void DmaFunction::state(Ar& ar) {
  Function::state(ar);
  ar(src_, dst_, len_, command_, status_, irq_enable_, window_, moved_, buffer_);
}

u8 DmaFunction::read8(u64 at) const {
  const auto part = [&](u64 value, u64 first) { return static_cast<u8>(value >> (8 * (at - first))); };
  if (at >= kData) return buffer_[(window_ & 1) * 0x800 + (at - kData) % 0x800];
  switch (at & ~u64{3}) {
    case kId: return part(0x4d445456, kId);  // "VTDM" in memory order
    case kVersion: return part(1, kVersion);
    case kSrc: case kSrc + 4: return part(src_, kSrc);
    case kDst: case kDst + 4: return part(dst_, kDst);
    case kLen: return part(len_, kLen);
    case kStatus: return part(status_, kStatus);
    case kIrqEnable: return part(irq_enable_, kIrqEnable);
    case kWindow: return part(window_, kWindow);
    case kDone: return part(moved_, kDone);
    default: return 0;
  }
}

u64 DmaFunction::bar_read(u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) value |= u64{read8(offset + i)} << (8 * i);
  return value;
}

void DmaFunction::bar_write(u64 offset, unsigned size, u64 value) {
  u32 command = 0, clear = 0;
  for (unsigned i = 0; i < size; ++i) {
    const u64 at = offset + i;
    const u8 v = static_cast<u8>(value >> (8 * i));
    const auto set = [&](auto& reg, u64 first) {
      const auto shift = 8 * (at - first);
      reg = static_cast<std::remove_reference_t<decltype(reg)>>((reg & ~(u64{0xff} << shift)) | u64{v} << shift);
    };
    if (at >= kData) { buffer_[(window_ & 1) * 0x800 + (at - kData) % 0x800] = v; continue; }
    switch (at & ~u64{3}) {
      case kSrc: case kSrc + 4: set(src_, kSrc); break;
      case kDst: case kDst + 4: set(dst_, kDst); break;
      case kLen: set(len_, kLen); break;
      case kCmd: command |= u32{v} << (8 * (at - kCmd)); break;
      case kStatus: if (at == kStatus) clear = v & (kFinished | kError); break;
      case kIrqEnable: if (at == kIrqEnable) irq_enable_ = v & 1; break;
      case kWindow: if (at == kWindow) window_ = v & 1; break;
      default: break;
    }
  }
  if (clear && !(status_ & kBusy)) { status_ = 0; set_intx(false); }
  if (command) start(command);
}

void DmaFunction::start(u32 command) {
  if (status_ & kBusy) return;
  set_intx(false);
  command_ = command, status_ = kBusy, moved_ = 0;
  clock_.at(clock_.now() + kDelay, *this, 0);
}

u32 DmaFunction::run() {
  if (command_ > kCopy || len_ == 0 || len_ > kBuffer) return kBadCommand;
  if (!bus_master()) return kNotMaster;
  if ((command_ & kRead) && !dma()->read(bdf(), Iova{src_}, buffer_.data(), len_)) return kReadBlocked;
  if ((command_ & kWrite) && !dma()->write(bdf(), Iova{dst_}, buffer_.data(), len_)) return kWriteBlocked;
  moved_ = len_;
  return 0;
}

void DmaFunction::expire(u32, u64) {
  if (!(status_ & kBusy)) return;
  const u32 error = run();
  status_ = kFinished | (error ? kError | error << 4 : 0);
  command_ = 0;
  if (!(irq_enable_ & 1)) return;
  if (msi_enabled()) send_msi();
  else set_intx(true);
}

}  // namespace vt::emu::pci
