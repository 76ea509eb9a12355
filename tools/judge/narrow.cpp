// SPDX-License-Identifier: GPL-2.0-or-later
/// Cases of 16 and 32-bit protected mode: other address forms, segments with bases and limits, prefixes, no REX.
/// SDM 2A "Addressing-Mode Encoding of ModR/M and SIB Bytes"
#include "judge/maker.hpp"

namespace vt::judge {
namespace {

constexpr u8 kOverride[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};  // by cpu::Seg
constexpr const char* kSourceStrings = "MOVS CMPS LODS";

}  // namespace

u64 Maker::narrow_code_pointer() {
  u64 v = kCode + 0xa000 + o_.below(0x5000);                             // INT3 only
  if (code_ == 1) {
    if (o_.one_in(24)) v = kRegion + o_.below(0x30000);                  // not present
    else if (o_.one_in(24)) v = kData + o_.below(static_cast<unsigned>(kDataSize));  // not executable
    return v;
  }
  v -= kCodeBase16;
  if (o_.one_in(16)) v |= u64{o_.below(0x10000)} << 16;                  // beyond the limit, where there are 32 bits of it
  return v;
}

u64 Maker::narrow_stack_place() {
  u64 v = kStack + 512 + 4 * o_.below(static_cast<unsigned>((kStackSize - 1024) / 4));
  if (o_.one_in(12)) v = kStack + (o_.one_in(2) ? kStackSize : 0) + 40 - o_.below(80);
  else if (o_.one_in(12)) v = kStack + kPage + 40 - o_.below(80);
  else if (o_.one_in(16)) v += o_.below(4);
  if (code_ == 1) return v;
  v -= kStackBase16;
  // Around the segment's end nothing is there. (A far call to 64-bit code would push around address 0 there, which hosts do not get out of.)
  if (!segments_ && o_.one_in(40)) v = o_.below(24) - u64{12};
  return (v & 0xffff) | (o_.one_in(4) ? u64{o_.below(0x10000)} << 16 : 0);  // SP is what counts
}

void Maker::narrow_registers() {
  for (unsigned n = 0; n < 8; ++n) c_.start.r[n] &= 0xffff'ffff;
  osz_ = (p_.takes_66() && !p_.vex && o_.one_in(4)) || p_.prefix == Pattern::Prefix::p66;
  asz_ = o_.one_in(code_ ? 16 : 4);
}

unsigned Maker::choose_segment(unsigned own) {
  if (!o_.one_in(6)) return own;
  unsigned s = o_.below(6);
  if (s == cpu::FS && !o_.one_in(16)) s = cpu::ES;  // null: faults, whatever else
  override_ = kOverride[s];
  return s;
}

/// An offset for which `place` has the linear address, or one around the segment's limit.
u64 Maker::narrow_place(unsigned s, bool a16) {
  const cpu::Segment g = segment_of(code_, s);
  if (!aligned_ && g.limit != ~0u && o_.one_in(24)) return (g.limit + 8 - o_.below(40)) & (a16 ? 0xffff : 0xffff'ffff);
  if (!aligned_ && !a16 && o_.one_in(100)) return static_cast<u32>(o_.bits() % 0xffff'f000);
  u64 linear = place();
  if (code_ == 0 && s == cpu::SS) linear = kStack + 256 + o_.below(static_cast<unsigned>(kStackSize - 512));
  if (code_ == 0 && s == cpu::CS) linear = kCode + 0xb000 + o_.below(0x4000);
  if (aligned_) linear &= ~u64{15};
  return offset_in(s, linear, a16);
}

void Maker::narrow_implicit_operands() {
  State& s = c_.start;
  if (control_) {
    const bool flags = name_ == "POPF";
    style_ = listed(kIndirect, name_) ? Style::pointers : Style::integers;
    if (flags) s.r[4] &= ~u64{3};
    Patch p{linear_of(cpu::SS, code_ == 0 ? s.r[4] & 0xffff : s.r[4]) & ~u64{3}, {}};
    for (unsigned k = 0; k < 64;) {
      u64 v = value();
      if (code_ == 0 && style_ == Style::pointers && o_.one_in(2)) v = (v & 0xffff) | (v & 0xffff) << 16;
      if (flags) v &= 0xbeffbeff;  // not TF, nor NT
      for (unsigned n = 0; n < 4; ++n, ++k) p.bytes.push_back(static_cast<u8>(v >> 8 * n));
    }
    c_.memory.push_back(std::move(p));
    if (name_ == "ENTER" || name_ == "LEAVE") s.r[5] = stack_place();
  }
  if (listed(kUsesStrings, name_)) {
    const unsigned from = listed(kSourceStrings, name_) ? choose_segment(cpu::DS) : unsigned{cpu::DS};
    const u64 source = narrow_place(from, a16()), target = o_.one_in(8) && from == cpu::DS ? offset_in(cpu::ES, linear_of(from, source) + o_.below(16), a16()) : narrow_place(cpu::ES, a16());
    set_low(6, source, a16()), set_low(7, target, a16());
    set_low(1, o_.one_in(16) ? o_.below(600) : o_.below(24), a16());
    const u64 first = linear_of(from, source), second = linear_of(cpu::ES, target);
    fill(first, 128, 256), fill(second, 128, 256);
    if (o_.one_in(2)) {
      const unsigned byte = o_.below(256);
      for (auto& m : c_.memory) for (u8& b : m.bytes) if (!o_.one_in(20)) b = static_cast<u8>(byte);
      s.r[0] = byte * 0x01010101u;
    }
  }
  if (name_ == "XLAT" || name_.find("MASKMOVQ") != std::string::npos || name_.find("MASKMOVDQU") != std::string::npos) {
    const unsigned g = choose_segment(cpu::DS);
    const u64 at = narrow_place(g, a16());
    set_low(name_ == "XLAT" ? 3 : 7, at, a16());
    fill(linear_of(g, at), 0, 256);
  }
  if (listed("LOOP LOOPE LOOPNE JRCXZ", name_) && o_.one_in(2)) set_low(1, o_.below(3), a16());
  if (listed("PCMPESTRM PCMPESTRI VPCMPESTRM VPCMPESTRI", name_) && !o_.one_in(4)) s.r[0] = static_cast<u32>(o_.below(20) - 2u), s.r[2] = static_cast<u32>(o_.below(20) - 2u);
}

void Maker::narrow_encode() {
  State& s = c_.start;
  s.rip = (o_.one_in(64) ? kCode + kCodeSize - 1 - o_.below(12) : kCode + 0x1000 + o_.below(0x8000)) - (code_ == 0 ? kCodeBase16 : 0);
  const bool memory = p_.modrm && p_.fixed < 0 && !p_.register_only && (p_.memory_only || o_.one_in(2));
  c_.memory_form = memory || p_.imm == Imm::mo;
  const bool lock = (d_.attrs & cpu::attr::lockable) && memory && o_.one_in(8);
  aligned_ = lock || name_ == "XCHG";
  if (segments_) far_stack(o16() ? 2 : 4);
  std::vector<u8> tail;
  if (p_.modrm) tail = narrow_modrm(memory);
  if (segments_ && p_.modrm) far_operand(memory, tail[0] & 7, target_linear_, o16() ? 2 : 4);
  if (p_.imm == Imm::mo) {
    const unsigned g = choose_segment(cpu::DS);
    target_ = narrow_place(g, a16());
    fill(linear_of(g, target_), 8, 32);
  }
  if (override_) byte(override_);
  else if (!c_.memory_form && !listed(kUsesStrings, name_) && o_.one_in(16)) byte(kOverride[o_.below(4)]);
  if (asz_) byte(0x67);
  if (p_.vex) {
    // R and X have to be clear (their bits set), as LDS and LES have these opcodes.
    const unsigned vvvv = p_.vvvv ? vvvv_ : o_.one_in(64) ? o_.below(8) : 0, l = p_.l >= 0 ? static_cast<unsigned>(p_.l) : o_.below(2);
    const unsigned pp = p_.pp();
    const bool w = p_.w >= 0 ? p_.w : o_.one_in(2);
    if (o_.one_in(128)) byte(o_.one_in(2) ? 0x66 : 0xf3);  // #UD
    if (p_.map == 1 && !w && !o_.one_in(4)) byte(0xc5), byte(0x80 | (~vvvv & 15) << 3 | l << 2 | pp);
    else byte(0xc4), byte(0xc0 | (o_.one_in(2) ? 0x20 : 0) | p_.map), byte((w ? 0x80 : 0) | (~vvvv & 15) << 3 | l << 2 | pp);
  } else {
    if (osz_) byte(0x66);
    if (const unsigned repeated = p_.repeat_prefix()) byte(repeated);
    else if (listed(kUsesStrings, name_) && !o_.one_in(3)) byte(0xf2 + o_.below(2));
    if (lock) byte(0xf0);
    if (p_.map) byte(0x0f);
    if (p_.map == 2) byte(0x38);
    if (p_.map == 3) byte(0x3a);
  }
  byte(p_.opcode | (p_.plus_r ? o_.below(8) : 0));
  c_.code.insert(c_.code.end(), tail.begin(), tail.end());
  narrow_immediate(p_.imm);
  if (p_.imm2 == Imm::ib) byte(o_.one_in(4) ? o_.below(256) : o_.below(4));
}

void Maker::narrow_immediate(Imm kind) {
  const u64 v = o_.integer();
  switch (kind) {
    case Imm::none: break;
    case Imm::cp: {
      const u16 sel = selector(true);
      little(far_offset(sel), o16() ? 2 : 4), little(sel, 2);
      break;
    }
    case Imm::ib: little(o_.one_in(2) ? o_.below(64) : v, 1); break;
    case Imm::cb: little(away(static_cast<i8>(v)), 1); break;
    case Imm::iw: little(name_ == "RET" || name_ == "RETF" || name_ == "ENTER" ? v & 0x3ff8 : v, 2); break;
    case Imm::id: little(v, 4); break;
    case Imm::iz: case Imm::iv: little(v, o16() ? 2 : 4); break;
    case Imm::cz: little(away(static_cast<i64>(o_.below(4000)) - 2000), o16() ? 2 : 4); break;
    case Imm::mo: little(target_, a16() ? 2 : 4); break;
  }
}

std::vector<u8> Maker::narrow_modrm(bool memory) {
  State& s = c_.start;
  std::vector<u8> t;
  auto append = [&](u64 v, unsigned n) { for (unsigned k = 0; k < n; ++k) t.push_back(static_cast<u8>(v >> 8 * k)); };
  if (p_.fixed >= 0) {
    append(static_cast<u8>(p_.fixed_r ? (p_.fixed & 0xf8) | o_.below(8) : p_.fixed), 1);
    return t;
  }
  const unsigned reg = p_.digit >= 0 ? static_cast<unsigned>(p_.digit) : o_.below(8);
  vvvv_ = o_.one_in(8) ? reg : o_.below(8);
  if (!memory) {
    append(0xc0 | reg << 3 | (o_.one_in(8) ? reg : o_.below(8)), 1);
    return t;
  }
  const bool bit_string = listed("BT BTS BTR BTC", name_) && p_.digit < 0;
  if (bit_string) s.r[reg] = static_cast<u32>(o_.below(16384) - 8192);  // how many bits away: mostly inside
  const unsigned form = o_.below(4);  // 0: displacement alone; else with one of 8 or 16/32 bits
  const unsigned mod = form == 0 ? 0 : 1 + form % 2;
  const i64 disp = mod == 1 ? static_cast<i8>(o_.bits()) : static_cast<i64>(o_.below(a16() ? 0x1000 : 1u << 20));
  // The target: an offset in the segment that the form has, for which the first register is set.
  auto aim = [&](unsigned own) {
    const unsigned g = choose_segment(own);
    target_ = narrow_place(g, a16());
    if (bit_string && !o_.one_in(16)) target_ = offset_in(g, (g == cpu::SS && code_ == 0 ? kStack : kData) + kPage + 64 * o_.below(32), a16());
    target_linear_ = linear_of(g, target_);
    fill(target_linear_, 32, 96);
  };
  if (p_.vsib && !a16()) {
    const bool quad = p_.opcode & 1, faults = o_.one_in(8);
    const unsigned scale = o_.below(4), index = o_.below(8);
    unsigned base;
    do base = o_.below(8); while (base == 5 || base == 4);
    auto lane = [&] { return static_cast<i64>(o_.below(faults ? 6000 : 1000)) - (faults ? 3000 : 500); };
    for (u64& q : s.ymm[index]) q = quad ? static_cast<u64>(lane()) : static_cast<u32>(lane()) | static_cast<u64>(static_cast<u32>(lane())) << 32;
    if (vvvv_ == index || vvvv_ == reg) vvvv_ = o_.one_in(8) ? vvvv_ : (vvvv_ + 1) % 8;
    if (vvvv_ != index) for (u64& q : s.ymm[vvvv_]) q = o_.bits();
    set_low(base, offset_in(choose_segment(cpu::DS), kData + kPage + 8 * o_.below(256), false), false);
    append(reg << 3 | 4, 1), append(scale << 6 | index << 3 | base, 1);
    return t;
  }
  if (a16()) {
    static constexpr struct { u8 base, index, seg; } kForms[8] = {{3, 6, cpu::DS}, {3, 7, cpu::DS}, {5, 6, cpu::SS}, {5, 7, cpu::SS}, {6, 8, cpu::DS}, {7, 8, cpu::DS}, {5, 8, cpu::SS}, {3, 8, cpu::DS}};
    if (mod == 0) {
      aim(cpu::DS);
      append(reg << 3 | 6, 1), append(target_, 2);
      return t;
    }
    unsigned rm = o_.below(8);
    while (bit_string && (kForms[rm].base == reg || kForms[rm].index == reg)) rm = o_.below(8);
    aim(kForms[rm].seg);
    const u64 index = kForms[rm].index < 8 ? s.r[kForms[rm].index] : 0;
    set_low(kForms[rm].base, target_ - static_cast<u64>(disp) - index, true);
    append(mod << 6 | reg << 3 | rm, 1), append(static_cast<u64>(disp), mod == 1 ? 1 : 2);
    return t;
  }
  if (mod == 0) {
    aim(cpu::DS);
    if (o_.one_in(2)) append(reg << 3 | 5, 1);
    else append(reg << 3 | 4, 1), append(o_.below(4) << 6 | 0x25, 1);
    append(target_, 4);
    return t;
  }
  const bool sib = o_.one_in(3);
  unsigned base;
  do base = o_.below(8); while ((!sib && base == 4) || (bit_string && base == reg));
  aim(base == 4 || base == 5 ? cpu::SS : cpu::DS);
  u64 indexed = 0;
  if (sib) {
    unsigned index = o_.below(8);
    const unsigned scale = o_.below(4);
    if (index == base || (bit_string && index == reg)) index = 4;
    if (index != 4) {
      if (o_.one_in(2)) s.r[index] = o_.below(512);
      indexed = s.r[index] << scale;
    }
    append(mod << 6 | reg << 3 | 4, 1), append(scale << 6 | index << 3 | base, 1);
  } else {
    append(mod << 6 | reg << 3 | base, 1);
  }
  set_low(base, target_ - static_cast<u64>(disp) - indexed, false);
  append(static_cast<u64>(disp), mod == 1 ? 1 : 4);
  return t;
}

}  // namespace vt::judge
