// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/uart16550.hpp"

namespace vt::emu {
namespace {
constexpr u8 kIerReceived = 1, kIerThrEmpty = 2, kIerLineStatus = 4, kIerModem = 8;
constexpr u8 kLsrReady = 0x01, kLsrOverrun = 0x02, kLsrErrors = 0x1c, kLsrBreak = 0x10, kLsrThre = 0x20, kLsrTemt = 0x40,
             kLsrFifoError = 0x80;
constexpr u8 kIirNone = 1, kIirModem = 0, kIirThre = 2, kIirReceived = 4, kIirLineStatus = 6, kIirTimeout = 0xc;
constexpr u8 kConnected = 0xb0;  // DCD, DSR and CTS: somebody listens at the other end
constexpr u8 kTrigger[4] = {1, 4, 8, 14};
}  // namespace

Uart16550::Uart16550(std::string name, IrqLine& irq, SerialSink& out) : name_(std::move(name)), irq_(irq), out_(out) { reset(); }

void Uart16550::reset() {  // "Master Reset": the divisor and the scratch register are undefined, zero here
  ier_ = lcr_ = mcr_ = scr_ = dll_ = dlm_ = fcr_ = overrun_ = thre_pending_ = 0;
  modem_ = kConnected, modem_delta_ = 0, first_ = count_ = 0;
  fifo_.fill(0);
  refill();
  update();
}

void Uart16550::state(Ar& ar) {
  ar(ier_, lcr_, mcr_, scr_, dll_, dlm_, fcr_, overrun_, thre_pending_, modem_, modem_delta_, first_, count_, fifo_, pending_);
  first_ %= kFifo, count_ = count_ > kFifo ? kFifo : count_;
}

void Uart16550::receive(u8 byte) { pending_.push_back(byte); refill(); update(); }
void Uart16550::receive_break() { pending_.push_back(kLsrBreak << 8); refill(); update(); }

void Uart16550::push(u16 character) {
  if (!room()) { overrun_ = kLsrOverrun; if (!fifos()) fifo_[first_] = character; return; }  // without FIFOs the new one replaces RBR
  fifo_[(first_ + count_) % kFifo] = character;
  ++count_;
}

void Uart16550::refill() {
  while (!loopback() && !pending_.empty() && room()) { push(pending_.front()); pending_.pop_front(); }  // loopback disconnects SIN
}

u8 Uart16550::line_status() const {
  u8 lsr = kLsrThre | kLsrTemt | overrun_;
  if (count_) lsr |= kLsrReady | ((fifo_[first_] >> 8) & kLsrErrors);
  if (fifos())
    for (unsigned i = 0; i < count_; ++i)
      if ((fifo_[(first_ + i) % kFifo] >> 8) & kLsrErrors) lsr |= kLsrFifoError;
  return lsr;
}

u8 Uart16550::interrupt_id() const {  // "Interrupt Control Functions", highest priority first
  if ((ier_ & kIerLineStatus) && (line_status() & (kLsrOverrun | kLsrErrors))) return kIirLineStatus;
  if ((ier_ & kIerReceived) && count_) return !fifos() || count_ >= kTrigger[fcr_ >> 6] ? kIirReceived : kIirTimeout;
  if ((ier_ & kIerThrEmpty) && thre_pending_) return kIirThre;
  if ((ier_ & kIerModem) && modem_delta_) return kIirModem;
  return kIirNone;
}

/// The PC gates INTR with the OUT2 pin, which loopback forces inactive.
void Uart16550::update() { irq_.set(interrupt_id() != kIirNone && (mcr_ & 0x18) == 0x08); }

void Uart16550::update_modem() {
  u8 now = kConnected;
  if (loopback()) now = (mcr_ & 2 ? 0x10 : 0) | (mcr_ & 1 ? 0x20 : 0) | (mcr_ & 4 ? 0x40 : 0) | (mcr_ & 8 ? 0x80 : 0);
  const u8 changed = now ^ modem_;
  modem_delta_ |= (changed >> 4) & 0x0b;
  if ((changed & 0x40) && !(now & 0x40)) modem_delta_ |= 4;  // TERI: the end of ringing only
  modem_ = now;
}

void Uart16550::control_fifos(u8 value) {
  if ((value ^ fcr_) & 1) first_ = count_ = 0;  // changing modes clears them
  if (!(value & 1)) { fcr_ = 0; return; }       // other bits are not programmed without bit 0
  if (value & 2) first_ = count_ = 0;
  if (value & 4) thre_pending_ = 1;
  fcr_ = value & 0xc9;
}

u8 Uart16550::read8(u64 offset) {
  u8 value = 0xff;
  switch (offset & 7) {
    case 0:
      if (lcr_ & 0x80) return dll_;
      value = static_cast<u8>(fifo_[first_]);  // an empty receiver gives what was last there
      if (count_) { first_ = fifos() ? (first_ + 1) % kFifo : first_; --count_; refill(); update(); }
      return value;
    case 1: return lcr_ & 0x80 ? dlm_ : ier_;
    case 2:
      value = interrupt_id();
      if (value == kIirThre) { thre_pending_ = 0; update(); }  // reading it as the source is its acknowledgement
      return value | (fifos() ? 0xc0 : 0);
    case 3: return lcr_;
    case 4: return mcr_;
    case 5:
      value = line_status();
      overrun_ = 0;
      if (count_) fifo_[first_] &= 0xff;  // error indications are reset by reading
      update();
      return value;
    case 6: value = modem_ | modem_delta_; modem_delta_ = 0; update(); return value;
    default: return scr_;
  }
}

void Uart16550::write8(u64 offset, u8 value) {
  switch (offset & 7) {
    case 0:
      if (lcr_ & 0x80) { dll_ = value; return; }
      thre_pending_ = 0;
      update();
      if (loopback()) push(value & (0xff >> (3 - (lcr_ & 3)))); else out_.put(value);
      thre_pending_ = 1;  // sent: the holding register is empty again
      break;
    case 1:
      if (lcr_ & 0x80) { dlm_ = value; return; }
      if (~ier_ & value & kIerThrEmpty) thre_pending_ = 1;  // enabling it while THR is empty interrupts at once
      ier_ = value & 0x0f;
      break;
    case 2: control_fifos(value); refill(); break;
    case 3: lcr_ = value; break;
    case 4: mcr_ = value & 0x1f; update_modem(); refill(); break;
    case 7: scr_ = value; break;
    default: break;  // LSR and MSR: factory test only
  }
  update();
}

}  // namespace vt::emu
