// SPDX-License-Identifier: GPL-2.0-or-later
/// A VGA: all registers hold what is written, 256 KiB in four planes are written and read through the graphics controller as on the chip, and text
/// modes are shown. There is no picture of graphics modes, no PCI function and no ROM. Retrace follows virtual time, as in mode 3 (70 Hz), whatever
/// the timing registers say.   IBM "VGA Technical Reference"
#pragma once
#include <vector>

#include "devices/byte_device.hpp"

namespace vt::emu {

/// What a text mode shows.
struct TextScreen {
  enum class Mode : u8 { text, graphics, off } mode = Mode::off;
  unsigned columns = 0, rows = 0;
  std::vector<u16> cells;                 ///< attribute in 15:8, character in 7:0; row by row
  unsigned cursor_column = 0, cursor_row = 0;
  bool cursor = false;                    ///< it is shown, and on the screen
  bool blink = false;                     ///< attribute bit 7 blinks; otherwise it is a bright background
  std::array<u32, 16> palette{};          ///< 0xRRGGBB
};

/// Offsets, as port - 0x3c0: 00-0f, 14, 15 and 1a; the monochrome ones (0x3b4, 0x3b5, 0x3ba) at 0x40 + 14, 15 and 1a, which answer instead of those while the
/// miscellaneous output register says so.
class Vga final : public ByteDevice {
 public:
  static constexpr u64 kMono = 0x40;
  static constexpr std::size_t kPlane = 0x10000;   ///< bytes of each
  static constexpr u64 kWindow = 0xa0000, kWindowSize = 0x20000;
  explicit Vga(Clock& clock) : clock_(clock) { reset(); }

  /// As a video BIOS leaves it: mode 3 (80 x 25), an empty screen.
  void post();
  TextScreen screen() const;

  /// Memory between A0000H and BFFFFH, as an offset into it.
  u8 memory_read(u64 offset);
  void memory_write(u64 offset, u8 value);

  std::string_view name() const override { return "vga"; }
  void reset() override;
  void state(Ar& ar) override;

 protected:
  u8 read8(u64 offset) override;
  void write8(u64 offset, u8 value) override;

 private:
  bool colour() const { return misc_ & 1; }
  u8 input_status() const;
  void crtc_write(u8 value);
  /// Offset into the planes and the plane within it; false: not in the window.
  bool place(u64 offset, u32& at) const;
  u32 planes(u32 at) const { return at < memory_.size() ? memory_[at] : 0; }

  Clock& clock_;
  u8 misc_ = 0, feature_ = 0;
  u8 seq_index_ = 0, gfx_index_ = 0, attr_index_ = 0, crtc_index_ = 0, attr_data_ = 0;   ///< attr_data: the flip-flop
  std::array<u8, 8> seq_{};
  std::array<u8, 9> gfx_{};
  std::array<u8, 21> attr_{};
  std::array<u8, 25> crtc_{};
  u8 dac_mask_ = 0, dac_read_ = 0, dac_write_ = 0, dac_component_ = 0, dac_state_ = 0;
  std::array<u8, 3> dac_latch_{};
  std::array<std::array<u8, 3>, 256> dac_{};
  u32 latch_ = 0;
  std::vector<u32> memory_;                        ///< byte n: plane n; as far as somebody has written, up to kPlane entries
};

/// The adapter's window into its memory.
class VgaMemory final : public ByteDevice {
 public:
  explicit VgaMemory(Vga& vga) : vga_(vga) {}
  std::string_view name() const override { return "vga-memory"; }
  void reset() override {}
  void state(Ar&) override {}

 protected:
  u8 read8(u64 offset) override { return vga_.memory_read(offset); }
  void write8(u64 offset, u8 value) override { vga_.memory_write(offset, value); }

 private:
  Vga& vga_;
};

}  // namespace vt::emu
