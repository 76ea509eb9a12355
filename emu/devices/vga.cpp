// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/vga.hpp"

#include <algorithm>

namespace vt::emu {
namespace {

// Mode 3: 28.322 MHz, 900 dots of which 720 are shown, 449 lines of which 400 are.   "Input Status Register 1"
constexpr u64 kLine = 31'778, kShown = 25'422, kLines = 449, kShownLines = 400, kSyncFirst = 412, kSyncEnd = 414;

// "Register values for modes of operation", mode 3
constexpr u8 kMisc3 = 0x67;
constexpr u8 kSeq3[] = {0x03, 0x00, 0x03, 0x00, 0x02};
constexpr u8 kCrtc3[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
constexpr u8 kGfx3[] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff};
constexpr u8 kAttr3[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};

constexpr u8 kChain4 = 0x08, kPlanarWrites = 0x04;   // sequencer memory mode
constexpr u8 kOddEvenReads = 0x10, kCompare = 0x08;  // graphics mode

/// Four bits to four bytes.
constexpr u32 expand(unsigned bits) {
  u32 v = 0;
  for (unsigned n = 0; n < 4; ++n) if (bits >> n & 1) v |= 0xffu << (8 * n);
  return v;
}
constexpr u32 all(u8 v) { return v * 0x01010101u; }

}  // namespace

void Vga::reset() {
  misc_ = feature_ = seq_index_ = gfx_index_ = attr_index_ = crtc_index_ = attr_data_ = 0;
  seq_ = {}, gfx_ = {}, attr_ = {}, crtc_ = {};
  dac_mask_ = 0xff, dac_read_ = dac_write_ = dac_component_ = dac_state_ = 0;
  dac_latch_ = {}, dac_ = {};
  latch_ = 0;
  memory_.clear();
}

void Vga::post() {
  misc_ = kMisc3;
  std::copy(std::begin(kSeq3), std::end(kSeq3), seq_.begin());
  std::copy(std::begin(kCrtc3), std::end(kCrtc3), crtc_.begin());
  std::copy(std::begin(kGfx3), std::end(kGfx3), gfx_.begin());
  std::copy(std::begin(kAttr3), std::end(kAttr3), attr_.begin());
  attr_index_ = 0x20;
  for (unsigned n = 0; n < 64; ++n)      // two bits for each colour
    for (unsigned c = 0; c < 3; ++c) dac_[n][c] = static_cast<u8>((n >> (2 - c) & 1) * 0x2a + (n >> (5 - c) & 1) * 0x15);
  memory_.assign(4096, 0);
  for (u32 at = 0; at < 4000; at += 2) memory_[at] = 0x0720;
}

void Vga::state(Ar& ar) {
  ar(misc_, feature_, seq_index_, gfx_index_, attr_index_, crtc_index_, attr_data_, seq_, gfx_, attr_, crtc_, dac_mask_, dac_read_, dac_write_,
     dac_component_, dac_state_, dac_latch_, dac_, latch_, memory_);
  if (ar.loading() && memory_.size() > kPlane) memory_.resize(kPlane);
}

u8 Vga::input_status() const {
  const u64 t = clock_.now() % (kLine * kLines), line = t / kLine;
  const bool shown = line < kShownLines && t % kLine < kShown;
  return static_cast<u8>((shown ? 0 : 0x01) | (line >= kSyncFirst && line < kSyncEnd ? 0x08 : 0));
}

u8 Vga::read8(u64 offset) {
  const bool mono = offset >= kMono;
  const u64 port = mono ? offset - kMono : offset;
  if (port >= 0x10 && mono == colour()) return 0xff;
  switch (port) {
    case 0x00: return attr_index_;
    case 0x01: return (attr_index_ & 31) < attr_.size() ? attr_[attr_index_ & 31] : 0;
    case 0x02: return 0;                                    // no interrupt; the switches
    case 0x04: return seq_index_;
    case 0x05: return seq_index_ < 5 ? seq_[seq_index_] : 0;
    case 0x06: return dac_mask_;
    case 0x07: return dac_state_;
    case 0x08: return dac_write_;
    case 0x09: {
      const u8 value = dac_[dac_read_][dac_component_ % 3];
      if (++dac_component_ >= 3) dac_component_ = 0, ++dac_read_;
      return value;
    }
    case 0x0a: return feature_;
    case 0x0c: return misc_;
    case 0x0e: return gfx_index_;
    case 0x0f: return gfx_index_ < gfx_.size() ? gfx_[gfx_index_] : 0;
    case 0x14: return crtc_index_;
    case 0x15: return crtc_index_ < crtc_.size() ? crtc_[crtc_index_] : 0;
    case 0x1a: attr_data_ = 0; return input_status();
    default: return 0xff;
  }
}

void Vga::crtc_write(u8 value) {
  if (crtc_index_ >= crtc_.size()) return;
  if (crtc_index_ <= 7 && crtc_[0x11] & 0x80) {             // "Vertical Retrace End Register": 0 to 7 are closed, but for line compare
    if (crtc_index_ == 7) crtc_[7] = static_cast<u8>((crtc_[7] & ~0x10) | (value & 0x10));
    return;
  }
  crtc_[crtc_index_] = value;
}

void Vga::write8(u64 offset, u8 value) {
  const bool mono = offset >= kMono;
  const u64 port = mono ? offset - kMono : offset;
  if (port >= 0x10 && mono == colour()) return;
  switch (port) {
    case 0x00:
      if (attr_data_) {
        // The palette is the display's while the picture is on.
        const u8 index = attr_index_ & 31;
        if (index < attr_.size() && (index >= 16 || !(attr_index_ & 0x20))) attr_[index] = value & 0x3f;
        if (index == 16) attr_[index] = value;
      } else {
        attr_index_ = value & 0x3f;
      }
      attr_data_ ^= 1;
      break;
    case 0x02: misc_ = value; break;
    case 0x04: seq_index_ = value & 7; break;
    case 0x05: if (seq_index_ < 5) seq_[seq_index_] = value; break;
    case 0x06: dac_mask_ = value; break;
    case 0x07: dac_read_ = value, dac_component_ = 0, dac_state_ = 3; break;
    case 0x08: dac_write_ = value, dac_component_ = 0, dac_state_ = 0; break;
    case 0x09:
      dac_latch_[dac_component_ % 3] = value & 0x3f;
      if (++dac_component_ >= 3) dac_component_ = 0, dac_[dac_write_++] = dac_latch_;
      break;
    case 0x0e: gfx_index_ = value & 15; break;
    case 0x0f: if (gfx_index_ < gfx_.size()) gfx_[gfx_index_] = value; break;
    case 0x14: crtc_index_ = value & 0x3f; break;
    case 0x15: crtc_write(value); break;
    case 0x1a: feature_ = value & 3; break;
    default: break;                                         // read-only, or nothing there
  }
}

/// "Miscellaneous Register" of the graphics controller, memory map.
bool Vga::place(u64 offset, u32& at) const {
  if (!(misc_ & 2)) return false;
  struct { u64 first, size; } static constexpr kMaps[] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
  auto& m = kMaps[gfx_[6] >> 2 & 3];
  if (offset < m.first || offset - m.first >= m.size) return false;
  at = static_cast<u32>(offset - m.first) & (kPlane - 1);
  return true;
}

u8 Vga::memory_read(u64 offset) {
  u32 at;
  if (!place(offset, at)) return 0xff;
  unsigned plane = gfx_[4] & 3;
  if (seq_[4] & kChain4) plane = at & 3, at &= ~3u;
  else if (gfx_[5] & kOddEvenReads) plane = (plane & 2) | (at & 1), at &= ~1u;
  latch_ = planes(at);
  if (!(gfx_[5] & kCompare)) return static_cast<u8>(latch_ >> (8 * plane));
  u32 differs = (latch_ ^ expand(gfx_[2])) & expand(gfx_[7]);   // "Read Mode 1"
  differs |= differs >> 16;
  return static_cast<u8>(~(differs | differs >> 8));
}

/// "Graphics Mode Register", write modes 0 to 3.
void Vga::memory_write(u64 offset, u8 value) {
  u32 at;
  if (!place(offset, at)) return;
  unsigned map = seq_[2] & 15;
  if (seq_[4] & kChain4) map &= 1u << (at & 3), at &= ~3u;
  else if (!(seq_[4] & kPlanarWrites)) map &= at & 1 ? 0xa : 0x5, at &= ~1u;
  if (!map) return;
  const unsigned mode = gfx_[5] & 3, turn = gfx_[3] & 7;
  const u8 turned = static_cast<u8>(value >> turn | value << (8 - turn));
  u32 out = latch_;
  if (mode != 1) {
    u32 bits = all(gfx_[8]);
    u32 v;
    if (mode == 0) {
      const u32 set = expand(gfx_[1]);
      v = (all(turned) & ~set) | (expand(gfx_[0]) & set);
    } else if (mode == 2) {
      v = expand(value);
    } else {
      bits &= all(turned);
      v = expand(gfx_[0]);
    }
    switch (gfx_[3] >> 3 & 3) {
      case 1: v &= latch_; break;
      case 2: v |= latch_; break;
      case 3: v ^= latch_; break;
      default: break;
    }
    out = (v & bits) | (latch_ & ~bits);
  }
  if (at >= memory_.size()) memory_.resize(std::min<std::size_t>(kPlane, (at | 0xfff) + 1));
  const u32 mask = expand(map);
  memory_[at] = (memory_[at] & ~mask) | (out & mask);
}

TextScreen Vga::screen() const {
  TextScreen s;
  s.blink = attr_[0x10] & 8;
  for (unsigned n = 0; n < 16; ++n) {
    // "Color Select Register": bits 7:6, and 5:4 if the mode register says so
    unsigned index = attr_[n] & 0x3f;
    index |= (attr_[0x14] & 0x0cu) << 4;
    if (attr_[0x10] & 0x80) index = (index & 0xcf) | (attr_[0x14] & 3u) << 4;
    auto& c = dac_[index & dac_mask_];
    for (unsigned k = 0; k < 3; ++k) s.palette[n] = s.palette[n] << 8 | static_cast<u32>(c[k] << 2 | c[k] >> 4);
  }
  const bool on = attr_index_ & 0x20 && !(seq_[1] & 0x20) && seq_[0] == 3 && crtc_[0x17] & 0x80;
  if (!on) return s;
  if (gfx_[6] & 1) { s.mode = TextScreen::Mode::graphics; return s; }
  s.mode = TextScreen::Mode::text;
  const unsigned last = crtc_[0x12] | (crtc_[7] & 2u) << 7 | (crtc_[7] & 0x40u) << 3, height = (crtc_[9] & 31u) + 1;
  s.columns = crtc_[1] + 1u, s.rows = (last + 1) / height;
  const unsigned start = crtc_[0x0c] << 8 | crtc_[0x0d], pitch = crtc_[0x13] * 2u, cursor = crtc_[0x0e] << 8 | crtc_[0x0f];
  s.cells.reserve(std::size_t{s.columns} * s.rows);
  for (unsigned row = 0; row < s.rows; ++row)
    for (unsigned column = 0; column < s.columns; ++column) {
      const unsigned word = start + row * pitch + column;
      s.cells.push_back(static_cast<u16>(planes(2 * word & (kPlane - 1))));
    }
  const unsigned shape = crtc_[0x0a];
  const unsigned from_start = (cursor - start) & 0xffff;
  if (pitch && !(shape & 0x20) && (shape & 31) <= (crtc_[0x0b] & 31)) {
    s.cursor_row = from_start / pitch, s.cursor_column = from_start % pitch;
    s.cursor = s.cursor_row < s.rows && s.cursor_column < s.columns;
  }
  if (!s.cursor) s.cursor_row = s.cursor_column = 0;
  return s;
}

}  // namespace vt::emu
