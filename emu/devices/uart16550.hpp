// SPDX-License-Identifier: GPL-2.0-or-later
/// NS16550A: FIFOs, loopback, interrupts by priority. It sends at once, whatever the divisor; host
/// input waits in a queue and moves on as the receiver has room, so it never overruns. The character
/// time-out of the receive FIFO is due at once.   NS16550A data sheet
#pragma once
#include <deque>

#include "devices/byte_device.hpp"

namespace vt::emu {

/// Range: 8 ports (COM1: 0x3f8, IRQ4).
class Uart16550 final : public ByteDevice {
 public:
  Uart16550(std::string name, IrqLine& irq, SerialSink& out);

  /// Input from outside; any number of bytes may wait.
  void receive(u8 byte);
  void receive_break();
  std::size_t waiting() const { return pending_.size() + count_; }

  std::string_view name() const override { return name_; }
  void reset() override;  ///< master reset; host input that waits is kept
  void state(Ar& ar) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  static constexpr unsigned kFifo = 16;
  bool fifos() const { return fcr_ & 1; }
  bool loopback() const { return mcr_ & 0x10; }
  unsigned room() const { return (fifos() ? kFifo : 1) - count_; }
  void push(u16 character);    ///< status bits in 15:8
  void refill();
  void update();
  void update_modem();
  u8 line_status() const;
  u8 interrupt_id() const;
  void control_fifos(u8 value);

  std::string name_;
  IrqLine& irq_;
  SerialSink& out_;
  u8 ier_, lcr_, mcr_, scr_, dll_, dlm_, fcr_, overrun_, thre_pending_;
  u8 modem_, modem_delta_;     ///< MSR 7:4 and 3:0
  u8 first_, count_;           ///< ring of received characters
  std::array<u16, kFifo> fifo_{};
  std::deque<u16> pending_;    ///< host input that found no room yet
};

}  // namespace vt::emu
