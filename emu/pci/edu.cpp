// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/edu.hpp"

namespace vt::emu::pci {

void Edu::reset() {
  cancel(kFactorialReady), cancel(kDmaReady);
  complement_ = factorial_ = status_ = irq_ = 0;
  source_ = destination_ = count_ = command_ = 0;
  buffer_.fill(0);
  Endpoint::reset();
}

void Edu::state(Ar& ar) {
  Endpoint::state(ar);
  ar(complement_, factorial_, status_, irq_, source_, destination_, count_, command_, buffer_);
}

u64 Edu::register_read(unsigned, u64 offset, unsigned size) {
  if (size != 4 && (size != 8 || offset < kSource)) return ~u64{0};
  switch (offset) {
    case kId: return 0x010000edu;
    case kComplement: return complement_;
    case kFactorial: return factorial_;
    case kStatus: return status_;
    case kIrqStatus: return irq_;
    case kSource: return source_;
    case kDestination: return destination_;
    case kCount: return count_;
    case kCommand: return command_;
    default: return ~u64{0};
  }
}

void Edu::register_write(unsigned, u64 offset, unsigned size, u64 value) {
  if (size != 4 && (size != 8 || offset < kSource)) return;
  const bool busy = command_ & kRun;
  switch (offset) {
    case kComplement: complement_ = ~static_cast<u32>(value); break;
    case kFactorial:
      if (status_ & kComputing) break;
      factorial_ = static_cast<u32>(value), status_ |= kComputing;
      after(kFactorialDelay + factorial_, kFactorialReady);
      break;
    case kStatus: status_ = (status_ & ~u32{kIrqWhenComputed}) | (static_cast<u32>(value) & kIrqWhenComputed); break;
    case kRaise: raise(static_cast<u32>(value)); break;
    case kAcknowledge:
      irq_ &= ~static_cast<u32>(value);
      if (!irq_ && signal() == Signal::pin) set_intx(false);
      break;
    case kSource: if (!busy) source_ = value; break;
    case kDestination: if (!busy) destination_ = value; break;
    case kCount: if (!busy) count_ = value; break;
    case kCommand:
      if (busy || !(value & kRun)) break;
      command_ = value;
      after(kDmaDelay, kDmaReady);
      break;
    default: break;
  }
}

void Edu::raise(u32 bits) {
  irq_ |= bits;
  if (!irq_) return;
  if (signal() == Signal::pin) set_intx(true);
  else message(0);
}

/// What does not lie in the buffer is not moved; the command ends like any other.
void Edu::transfer() {
  const u64 inside = command_ & kToMemory ? source_ : destination_, outside = (command_ & kToMemory ? destination_ : source_) & kDmaMask;
  if (inside < kBuffer || count_ > kBufferSize || inside - kBuffer > kBufferSize - count_ || !count_) return;
  u8* const at = &buffer_[inside - kBuffer];
  if (command_ & kToMemory) store(outside, at, count_);
  else fetch(outside, at, count_);
}

void Edu::expire(u32 kind, u64) {
  if (kind == kFactorialReady) {
    // In 32 bits; 34! has 32 factors of two.
    u32 product = 1;
    for (u32 n = std::min(factorial_, u32{34}); n > 1; --n) product *= n;
    factorial_ = product, status_ &= ~u32{kComputing};
    if (status_ & kIrqWhenComputed) raise(kComputed);
    return;
  }
  if (!(command_ & kRun)) return;
  transfer();
  command_ &= ~u64{kRun};
  if (command_ & kIrqWhenDone) raise(kDmaDone);
}

}  // namespace vt::emu::pci
