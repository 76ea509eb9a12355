// SPDX-License-Identifier: GPL-2.0-or-later
/// Two 8259A interrupt controllers, cascaded through IR2, in 8086 mode, with the ELCR of PC chipsets
/// in place of LTIM. An edge request is lost when its line falls before the acknowledgement.
/// 8259A data sheet; ICH9 data sheet "8259 Interrupt Controllers"
#pragma once
#include "devices/byte_device.hpp"

namespace vt::emu {

/// Offsets: 0-1 master (ports 0x20-0x21), 2-3 slave (0xa0-0xa1), 4-5 ELCR (0x4d0-0x4d1).
class Pic8259 final : public ByteDevice {
 public:
  explicit Pic8259(IrqLine& intr);
  Pic8259(const Pic8259&) = delete;

  /// IR inputs 0-15; 2 belongs to the cascade.
  IrqLine& input(unsigned n);
  /// Both INTA cycles: the vector. Without a request it is the spurious one of IR7.
  u8 acknowledge();
  bool intr() const { return chip_[0].out; }

  std::string_view name() const override { return "pic8259"; }
  void reset() override;
  void state(Ar& ar) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  struct Chip {
    u8 irr = 0, imr = 0xff, isr = 0, lines = 0, elcr = 0;
    u8 base = 0, icw1 = 0, icw3 = 0, icw4 = 0, init = 0;  ///< init: next ICW expected, 0: none
    u8 lowest = 7;                    ///< the level of lowest priority
    u8 read_isr = 0, poll = 0, special_mask = 0, rotate_aeoi = 0, out = 0;
    void state(Ar& ar) {
      ar(irr, imr, isr, lines, elcr, base, icw1, icw3, icw4, init, lowest, read_isr, poll, special_mask, rotate_aeoi, out);
    }
    int highest(u8 set) const;        ///< level of highest priority, -1: none
    int request(bool nested_cascade) const;
    void take(unsigned level);
    void line(unsigned n, bool level);
    void eoi(int level) { if (level >= 0) isr &= static_cast<u8>(~(1 << level)); }
  };
  struct Input final : IrqLine {
    Pic8259* owner = nullptr;
    u8 n = 0;
    void set(bool asserted) override { owner->set_line(n, asserted); }
  };
  void set_line(unsigned n, bool level);
  void update();
  int pending(unsigned c) const { return chip_[c].request(c == 0 && (chip_[0].icw4 & 0x10)); }
  u8 inta(unsigned c);
  void command(unsigned c, u8 value);
  void data(unsigned c, u8 value);

  IrqLine& intr_;
  Chip chip_[2];
  Input input_[16];
};

}  // namespace vt::emu
