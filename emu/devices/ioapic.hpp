// SPDX-License-Identifier: GPL-2.0-or-later
/// I/O APIC: 24 inputs, version 0x20 (with an EOI register). It emits messages, in compatibility or in
/// remappable format. Sends at once, so delivery status is always idle. An edge on a masked input is lost.
/// 82093AA data sheet; ICH9 data sheet "APIC"; VT-d "Interrupt Requests from I/O APICs"
#pragma once
#include "emu/device.hpp"
#include "emu/interrupts.hpp"

namespace vt::emu {

/// Range: 4 KiB at 0xfec00000 (registers at 0x00, 0x10 and 0x40).
class IoApic final : public Device {
 public:
  static constexpr unsigned kPins = 24;
  static constexpr u8 kVersion = 0x20;
  /// `source`: the requester id of its messages, which the DMAR's device scope names.
  IoApic(InterruptBus& bus, Bdf source, u8 id);
  IoApic(const IoApic&) = delete;

  IrqLine& input(unsigned n);
  void eoi(u8 vector);  ///< broadcast by a local APIC, or written to the EOI register
  u64 entry(unsigned n) const { return rte_[n % kPins]; }
  u8 id() const { return id_; }
  Bdf source() const { return source_; }
  bool asserted(unsigned n) const { return lines_ >> (n % kPins) & 1; }
  /// What pin n sends by its entry as it stands.
  struct Message { u64 address; u32 data; };
  Message message(unsigned n) const;

  std::string_view name() const override { return "ioapic"; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() override;
  void state(Ar& ar) override;

 private:
  struct Input final : IrqLine {
    IoApic* owner = nullptr;
    u8 n = 0;
    void set(bool asserted) override { owner->set_line(n, asserted); }
  };
  void set_line(unsigned n, bool level);
  void send(unsigned n);
  void service(unsigned n);  ///< a level input that waits
  u32 read_register(u8 index) const;
  void write_register(u8 index, u32 value);

  InterruptBus& bus_;
  Bdf source_;
  u8 initial_id_, id_, select_ = 0;
  u32 lines_ = 0;
  std::array<u64, kPins> rte_{};
  Input input_[kPins];
};

}  // namespace vt::emu
