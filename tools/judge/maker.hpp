// SPDX-License-Identifier: GPL-2.0-or-later
/// What makes a case: values, places and bytes, from the seed alone.
#pragma once
#include <cstring>

#include "judge/generate.hpp"
#include "judge/mode.hpp"
#include "pattern.hpp"

namespace vt::judge {

using cpu::Imm, cpu::Pattern;
inline constexpr u64 kNonCanonical = 0x8000'0000'0000;
inline constexpr const char* kUsesStrings = "MOVS CMPS STOS LODS SCAS";
inline constexpr const char* kIndirect = "JMP CALL RET";

inline u64 hash(const std::string& s) {  // FNV-1a: the same on every host
  u64 h = 0xcbf29ce484222325;
  for (char ch : s) h = (h ^ static_cast<u8>(ch)) * 0x100000001b3;
  return h;
}

enum class Style { integers, f32, f64, f16, pointers };

class Maker {
 public:
  Maker(const Class& k, u64 seed, u64 number) : o_(seed * 0x9e3779b97f4a7c15 ^ hash(k.name) ^ number * 0xd1342543de82ef95), row_(k.rows[number % k.rows.size()]),
      d_(cpu::all_rows()[row_]), p_(cpu::all_patterns()[row_]), name_(d_.name), control_(k.name.find("control") != std::string::npos), code_(k.code), segments_(k.loads_segments()) {}

  Case make() {
    c_.row = row_;
    style_ = choose_style();
    c_.start.code = static_cast<u8>(code_);
    registers();
    if (code_ == 2) implicit_operands(), encode();
    else narrow_registers(), narrow_implicit_operands(), narrow_encode();
    return std::move(c_);
  }

 private:
  // --- values -------------------------------------------------------------------------------------------
  Style choose_style() {
    if (listed(kIndirect, name_)) return Style::pointers;
    auto ends = [&](const char* s) { return name_.size() > 2 && name_.compare(name_.size() - 2, 2, s) == 0; };
    if (name_.find("PH2PS") != std::string::npos && !o_.one_in(8)) return Style::f16;
    if ((ends("PS") || ends("SS") || name_.find("PS2") != std::string::npos || name_.find("SS2") != std::string::npos) && !o_.one_in(8)) return Style::f32;
    if ((ends("PD") || ends("SD") || name_.find("PD2") != std::string::npos || name_.find("SD2") != std::string::npos) && !o_.one_in(8)) return Style::f64;
    if (d_.attrs & cpu::attr::x87) return static_cast<Style>(o_.below(3));
    return o_.one_in(16) ? static_cast<Style>(o_.below(4)) : Style::integers;
  }
  u64 value() {
    switch (style_) {
      case Style::f32: { const u64 low = o_.f32(); return low | static_cast<u64>(o_.f32()) << 32; }
      case Style::f64: return o_.f64();
      case Style::f16: { u64 v = 0; for (unsigned k = 0; k < 4; ++k) v = v << 16 | o_.f16(); return v; }
      case Style::pointers: return code_pointer();
      default: return o_.integer();
    }
  }
  u64 code_pointer() {
    if (code_ != 2) return narrow_code_pointer();
    if (o_.one_in(24)) return kNonCanonical + o_.bits() % 0x1000;
    if (o_.one_in(24)) return kRegion + o_.below(0x30000);  // not present
    if (o_.one_in(24)) return kData + o_.below(static_cast<unsigned>(kDataSize));  // not executable
    return kCode + 0xa000 + o_.below(0x5000);  // INT3 only: never the case's own bytes
  }
  /// Where a memory operand is: mostly well, at times at a page's end, where nothing is, or where nothing may be written.
  u64 place() {
    const unsigned n = o_.below(200);
    if (n < 90) return kData + 64 * o_.below(static_cast<unsigned>(kDataSize / 64 - 8));
    if (n < 120) return kData + 16 * o_.below(static_cast<unsigned>(kDataSize / 16 - 32));
    if (n < 170) return kData + o_.below(static_cast<unsigned>(kDataSize - 512));
    if (n < 186) return kData + kPage * (1 + o_.below(2)) - o_.below(34);
    if (n < 193) return kData + kDataSize - o_.below(66);
    if (n < 195) return kData - o_.below(34);
    if (n < 198) return kReadOnly + o_.below(static_cast<unsigned>(kPage)) / 4;
    if (code_ != 2) return n == 198 ? kRegion + o_.below(0x20000) : kReadOnly - o_.below(34);
    return n == 198 ? kRegion + o_.below(0x20000) : kNonCanonical - o_.below(70);
  }
  /// Interesting contents at a place.
  void fill(u64 where, unsigned before, unsigned after) {
    Patch p{where - before, std::vector<u8>(before + after)};
    for (std::size_t k = 0; k + 8 <= p.bytes.size(); k += 8) { const u64 v = value(); std::memcpy(&p.bytes[k], &v, 8); }
    c_.memory.push_back(std::move(p));
  }

  void registers() {
    State& s = c_.start;
    for (u64& r : s.r) r = value();
    s.r[4] = stack_place();
    s.flags = 2 | (o_.bits() & cpu::rflags::kArith) | (o_.one_in(8) ? cpu::rflags::DF : 0) | (o_.one_in(16) ? cpu::rflags::AC : 0);
    for (auto& y : s.ymm) for (u64& q : y) q = value();
    if (o_.one_in(6)) std::memcpy(s.ymm[o_.below(16)], s.ymm[o_.below(16)], 32);
    s.mxcsr = 0x1f80 | o_.below(4) << 13 | (o_.one_in(4) ? 0x40 : 0) | (o_.one_in(4) ? 0x8000 : 0) | (o_.one_in(4) ? o_.below(64) : 0);
    if (o_.one_in(5)) s.mxcsr &= ~(o_.below(64) << 7);
    s.cw = static_cast<u16>(0x37f & ~(o_.one_in(5) ? o_.below(64) : 0));
    s.cw = static_cast<u16>((s.cw & ~0xf00u) | (o_.one_in(3) ? o_.below(4) << 8 & 0x300 : 0x300) | (o_.one_in(2) ? o_.below(4) << 10 : 0));
    if ((s.cw & 0x300) == 0x100) s.cw |= 0x200;
    s.sw = static_cast<u16>(o_.below(8) << 11 | (o_.bits() & 0x4700));
    const bool mmx = d_.attrs & cpu::attr::mmx;
    if (o_.one_in(6)) s.sw |= static_cast<u16>(o_.one_in(2) ? o_.below(128) & ~(~s.cw & 0x3fu) : o_.below(64) | 0x40);
    if (!(d_.attrs & (cpu::attr::x87 | cpu::attr::mmx)) || !o_.one_in(3)) s.sw &= static_cast<u16>(~(~s.cw & 0x3fu));
    if (s.sw & ~s.cw & 0x3f) s.sw |= 0x8080;
    s.tags = static_cast<u8>(o_.one_in(3) ? o_.bits() : mmx || o_.one_in(2) ? 0xff : 0x7e);
    for (auto& r : s.st) { const cpu::X87Reg v = mmx ? cpu::X87Reg{o_.integer(), 0xffff} : o_.f80(); r.m = v.m, r.se = v.se; }
  }
  u64 stack_place() {
    if (code_ != 2) return narrow_stack_place();
    if (o_.one_in(100)) return kNonCanonical + 8;
    if (o_.one_in(12)) return kStack + (o_.one_in(2) ? kStackSize : 0) + 40 - o_.below(80);
    if (o_.one_in(12)) return kStack + kPage + 40 - o_.below(80);
    return kStack + 512 + 8 * o_.below(static_cast<unsigned>((kStackSize - 1024) / 8));
  }

  void implicit_operands() {
    State& s = c_.start;
    if (control_) {
      const bool flags = name_ == "POPF";
      style_ = listed(kIndirect, name_) ? Style::pointers : Style::integers;
      Patch p{s.r[4] & ~u64{7}, {}};
      for (unsigned k = 0; k < 8; ++k) {
        // POPF: not with TF, as INT3 behind it would be stepped over, nor with NT, which the host's kernel does not give back
        const u64 v = flags ? o_.bits() & 0xffff'ffff'ffff'beff : value();
        for (unsigned n = 0; n < 8; ++n) p.bytes.push_back(static_cast<u8>(v >> 8 * n));
      }
      if (flags) s.r[4] &= ~u64{7};
      c_.memory.push_back(std::move(p));
      if (name_ == "ENTER" || name_ == "LEAVE") s.r[5] = stack_place();
    }
    if (listed(kUsesStrings, name_)) {
      s.r[6] = place();
      s.r[7] = o_.one_in(8) ? s.r[6] + o_.below(16) : place();  // overlaps
      s.r[1] = o_.one_in(16) ? o_.below(600) : o_.below(24);
      if (o_.one_in(8)) s.r[1] |= u64{1} << 32 << o_.below(32) & (name_ == "MOVS" || name_ == "STOS" ? 0 : ~u64{0});
      fill(s.r[6], 128, 256), fill(s.r[7], 128, 256);
      if (o_.one_in(2)) {  // equal elements, for REPE and REPNE
        const unsigned byte = o_.below(256);
        for (auto& m : c_.memory) for (u8& b : m.bytes) if (!o_.one_in(20)) b = static_cast<u8>(byte);
        s.r[0] = byte * 0x0101010101010101;
      }
    }
    if (name_ == "XLAT") s.r[3] = place(), fill(s.r[3], 0, 256);
    if (name_.find("MASKMOVQ") != std::string::npos || name_.find("MASKMOVDQU") != std::string::npos) s.r[7] = place();
    if (listed("LOOP LOOPE LOOPNE JRCXZ", name_) && o_.one_in(2)) s.r[1] = o_.below(3);
    if (listed("PCMPESTRM PCMPESTRI VPCMPESTRM VPCMPESTRI", name_) && !o_.one_in(4)) s.r[0] = o_.below(20) - 2u, s.r[2] = o_.below(20) - 2u;
  }

  // --- bytes ----------------------------------------------------------------------------------------------
  void byte(unsigned v) { c_.code.push_back(static_cast<u8>(v)); }
  void little(u64 v, unsigned n) { for (unsigned k = 0; k < n; ++k) byte(v >> 8 * k & 0xff); }

  void encode() {
    State& s = c_.start;
    // At the end of the code's last page now and then: the fetch faults in the middle.
    s.rip = o_.one_in(64) ? kCode + kCodeSize - 1 - o_.below(12) : kCode + 0x1000 + o_.below(0x8000);
    const bool memory = p_.modrm && p_.fixed < 0 && !p_.register_only && (p_.memory_only || o_.one_in(2));
    c_.memory_form = memory || p_.imm == Imm::mo;
    const bool w = p_.w >= 0 ? p_.w : o_.one_in(2);
    const bool narrow = p_.takes_66() && o_.one_in(4) && !p_.vex;  // 66
    const bool short_address = o_.one_in(16);                                      // 67
    rex_r_ = o_.one_in(2), rex_x_ = o_.one_in(2), rex_b_ = o_.one_in(2);
    const bool lock = (d_.attrs & cpu::attr::lockable) && memory && o_.one_in(8);
    aligned_ = lock || name_ == "XCHG";  // hosts slow down programs that lock across cache lines

    const unsigned size = w ? 8 : narrow ? 2 : 4;
    if (segments_) far_stack(name_ == "POP" && size == 4 ? 8 : size);

    // The operand's bytes first: they decide about X and B.
    std::vector<u8> tail;
    if (p_.modrm) tail = modrm(memory, short_address);
    if (segments_ && p_.modrm) far_operand(memory, (tail[0] & 7) | (rex_b_ ? 8 : 0), target_, size);
    const bool rex = w || rex_r_ || rex_x_ || rex_b_ || o_.one_in(4);
    if (o_.one_in(16)) byte(0x2e + 0x10 * o_.below(2));
    if (short_address) byte(0x67);
    if (p_.vex) {
      const unsigned vvvv = p_.vvvv ? vvvv_ : o_.one_in(64) ? o_.below(16) : 0, l = p_.l >= 0 ? static_cast<unsigned>(p_.l) : o_.below(2);
      const unsigned pp = p_.pp();
      if (o_.one_in(128)) byte(o_.one_in(2) ? 0x66 : o_.one_in(2) ? 0xf3 : 0x48);  // #UD
      if (p_.map == 1 && !w && !rex_x_ && !rex_b_ && !o_.one_in(4)) {
        byte(0xc5), byte((rex_r_ ? 0 : 0x80) | (~vvvv & 15) << 3 | l << 2 | pp);
      } else {
        byte(0xc4), byte((rex_r_ ? 0 : 0x80) | (rex_x_ ? 0 : 0x40) | (rex_b_ ? 0 : 0x20) | p_.map);
        byte((w ? 0x80 : 0) | (~vvvv & 15) << 3 | l << 2 | pp);
      }
    } else {
      if (narrow || p_.prefix == Pattern::Prefix::p66) byte(0x66);
      if (const unsigned repeated = p_.repeat_prefix()) byte(repeated);
      else if (listed(kUsesStrings, name_) && !o_.one_in(3)) byte(0xf2 + o_.below(2));
      if (lock) byte(0xf0);
      if (rex) byte(0x40 | (w ? 8 : 0) | (rex_r_ ? 4 : 0) | (rex_x_ ? 2 : 0) | (rex_b_ ? 1 : 0));
      if (p_.map) byte(0x0f);
      if (p_.map == 2) byte(0x38);
      if (p_.map == 3) byte(0x3a);
    }
    byte(p_.opcode | (p_.plus_r ? o_.below(8) : 0));
    c_.code.insert(c_.code.end(), tail.begin(), tail.end());
    if (rip_relative_at_) rip_relative_at_ += c_.code.size() - tail.size();
    immediate(p_.imm, w, narrow, short_address);
    if (p_.imm2 == Imm::ib) byte(o_.one_in(4) ? o_.below(256) : o_.below(4));
    if (rip_relative_at_) {
      const u32 disp = static_cast<u32>(target_ - (s.rip + c_.code.size()));
      std::memcpy(&c_.code[rip_relative_at_], &disp, 4);
    }
  }
  static u64 away(i64 v) { return static_cast<u64>(v < 0 && v > -20 ? v - 20 : v); }  // not into its own bytes
  void immediate(Imm kind, bool w, bool narrow, bool short_address) {
    const u64 v = o_.integer();
    switch (kind) {
      case Imm::none: case Imm::cp: break;
      case Imm::ib: little(o_.one_in(2) ? o_.below(64) : v, 1); break;
      case Imm::cb: little(away(static_cast<i8>(v)), 1); break;
      case Imm::iw: little(name_ == "RET" || name_ == "ENTER" ? v & 0x3ff8 : v, 2); break;
      case Imm::id: little(v, 4); break;
      case Imm::iz: little(v, narrow && !w ? 2 : 4); break;
      case Imm::iv: little(v, w ? 8 : narrow ? 2 : 4); break;
      case Imm::cz: little(away(static_cast<i64>(o_.below(4000)) - 2000), 4); break;  // 66 is ignored in 64-bit mode
      case Imm::mo: { target_ = place(); fill(target_, 8, 32); little(target_, short_address ? 4 : 8); break; }
    }
  }

  std::vector<u8> modrm(bool memory, bool short_address) {
    State& s = c_.start;
    std::vector<u8> t;
    if (p_.fixed >= 0) {
      t.push_back(static_cast<u8>(p_.fixed_r ? (p_.fixed & 0xf8) | o_.below(8) : p_.fixed));
      return t;
    }
    const unsigned reg = p_.digit >= 0 ? static_cast<unsigned>(p_.digit) : o_.below(8), full_reg = reg | (rex_r_ ? 8 : 0);
    vvvv_ = o_.one_in(8) ? full_reg : o_.below(16);
    if (!memory) {
      t.push_back(static_cast<u8>(0xc0 | reg << 3 | (o_.one_in(8) ? reg : o_.below(8))));
      return t;
    }
    target_ = aligned_ ? kData + 64 * o_.below(static_cast<unsigned>(kDataSize / 64)) + 16 * o_.below(2) : place();
    fill(target_, 32, 96);
    const bool bit_string = listed("BT BTS BTR BTC", name_) && p_.digit < 0;
    if (bit_string) {  // the register says how many bits away: stay inside
      target_ = kData + kPage + 64 * o_.below(64);
      s.r[full_reg] = static_cast<u64>(static_cast<i64>(o_.below(16384)) - 8192);
    }
    if (p_.vsib) return gather(reg, full_reg);
    const bool canonical = target_ < kNonCanonical - 256;
    if (canonical && o_.one_in(8)) {  // RIP-relative, or an absolute displacement
      if (o_.one_in(2)) t = {static_cast<u8>(reg << 3 | 5)}, rip_relative_at_ = 1, rex_x_ = false;
      else t = {static_cast<u8>(reg << 3 | 4), 0x25}, rex_x_ = false;
      const u32 disp = static_cast<u32>(target_);
      for (unsigned k = 0; k < 4; ++k) t.push_back(static_cast<u8>(disp >> 8 * k));
      return t;
    }
    const unsigned mod = 1 + o_.below(2);
    const i64 disp = mod == 1 ? static_cast<i8>(o_.bits()) : static_cast<i64>(o_.below(1u << 20)) - (1 << 19);
    const bool sib = o_.one_in(3);
    unsigned base = 0;
    u64 indexed = 0;
    if (!sib) {
      do base = o_.below(8) | (rex_b_ ? 8 : 0); while ((base & 7) == 4 || (bit_string && base == full_reg));
      rex_x_ = false;
      t = {static_cast<u8>(mod << 6 | reg << 3 | (base & 7))};
    } else {
      do base = o_.below(8) | (rex_b_ ? 8 : 0); while (bit_string && base == full_reg);
      unsigned index = o_.below(8) | (rex_x_ ? 8 : 0);
      if (index == base || (bit_string && index == full_reg)) index = 4, rex_x_ = false;
      if (bit_string && index == full_reg) index = 4;
      const unsigned scale = o_.below(4);
      if (index != 4) {
        if (o_.one_in(2)) s.r[index] = o_.below(512);
        indexed = s.r[index] << scale;
      }
      t = {static_cast<u8>(mod << 6 | reg << 3 | 4), static_cast<u8>(scale << 6 | (index & 7) << 3 | (base & 7))};
    }
    s.r[base] = target_ - static_cast<u64>(disp) - indexed;
    if (short_address && o_.one_in(2)) s.r[base] ^= u64{o_.below(0xffff)} << 32;  // 67: the upper half does not count
    for (unsigned k = 0; k < (mod == 1 ? 1u : 4u); ++k) t.push_back(static_cast<u8>(disp >> 8 * k));
    return t;
  }
  std::vector<u8> gather(unsigned reg, unsigned full_reg) {
    State& s = c_.start;
    const bool quad = p_.opcode & 1;
    const unsigned scale = o_.below(4), index = o_.below(8) | (rex_x_ ? 8 : 0);
    unsigned base;
    do base = o_.below(8) | (rex_b_ ? 8 : 0); while ((base & 7) == 5);
    const bool faults = o_.one_in(8);  // one index leads out of the data
    auto lane = [&] { return static_cast<i64>(o_.below(faults ? 6000 : 1000)) - (faults ? 3000 : 500); };
    for (u64& q : s.ymm[index]) q = quad ? static_cast<u64>(lane()) : static_cast<u32>(lane()) | static_cast<u64>(static_cast<u32>(lane())) << 32;
    if (vvvv_ == index || vvvv_ == full_reg) vvvv_ = o_.one_in(8) ? vvvv_ : (vvvv_ + 1) % 16;
    if (vvvv_ != index) for (u64& q : s.ymm[vvvv_]) q = o_.bits();
    s.r[base] = kData + kPage + 8 * o_.below(256);
    return {static_cast<u8>(reg << 3 | 4), static_cast<u8>(scale << 6 | (index & 7) << 3 | (base & 7))};
  }

  // --- segments: far.cpp ----------------------------------------------------------------------------------
  u16 selector(bool code);
  /// An offset in the segment of that selector, where INT3s are, or not.
  u64 far_offset(u16 selector);
  /// What POP, RETF and IRET find, in elements of that size.
  void far_stack(unsigned size);
  /// ModRM's operand: a selector, or a far pointer whose offset has that size.
  void far_operand(bool memory, unsigned rm, u64 linear, unsigned size);
  void store(u64 linear, const std::vector<std::pair<u64, unsigned>>& values);

  // --- 16 and 32-bit mode: narrow.cpp --------------------------------------------------------------------
  u64 narrow_code_pointer();
  u64 narrow_stack_place();
  void narrow_registers();
  void narrow_implicit_operands();
  void narrow_encode();
  void narrow_immediate(Imm kind);
  std::vector<u8> narrow_modrm(bool memory);
  /// An offset in a segment, for `n` bits of address.
  u64 offset_in(unsigned s, u64 linear, bool a16) const { return (linear - cpu::Segment(segment_of(code_, s)).base) & (a16 ? 0xffff : 0xffff'ffff); }
  u64 linear_of(unsigned s, u64 offset) const { return (segment_of(code_, s).base + offset) & 0xffff'ffff; }
  u64 narrow_place(unsigned s, bool a16);
  /// Which segment an operand has whose own is `own`: now and then another by a prefix.
  unsigned choose_segment(unsigned own);
  void set_low(unsigned reg, u64 v, bool sixteen) { c_.start.r[reg] = sixteen ? (c_.start.r[reg] & 0xffff'0000) | (v & 0xffff) : v & 0xffff'ffff; }
  bool o16() const { return (code_ == 0) != osz_; }
  bool a16() const { return (code_ == 0) != asz_; }

  Operands o_;
  unsigned row_;
  const cpu::Def& d_;
  const Pattern& p_;
  std::string name_;
  bool control_;
  unsigned code_;
  bool segments_;
  bool aligned_ = false;
  bool osz_ = false, asz_ = false;  ///< prefixes 66 and 67
  u8 override_ = 0;                 ///< prefix
  bool rex_r_ = false, rex_x_ = false, rex_b_ = false;
  unsigned vvvv_ = 0;
  Style style_ = Style::integers;
  u64 target_ = 0, target_linear_ = 0;
  std::size_t rip_relative_at_ = 0;
  Case c_;
};

}  // namespace vt::judge
