// SPDX-License-Identifier: GPL-2.0-or-later
#include "decoder.hpp"

#include <algorithm>

#include "pattern.hpp"
#include "cpu/rows.hpp"

namespace vt::cpu {
namespace {

using C = Cpu;
using Prefix = Pattern::Prefix;

template <class C> Next undefined_opcode(C& c, const Insn&) { return c.ud(); }
template <class C> Next device_not_available(C& c, const Insn&) { return c.nm(); }
template <class C> Next rip_relative_overflow(C& c, const Insn&) {
  return c.unsupported("RIP-relative operand within a page of the displacement's limit", "SDM 2A \"RIP-Relative Addressing\"");
}
constexpr Fn kUndefined = run<C, undefined_opcode<C>, true>;
constexpr Fn kNoDevice = run<C, device_not_available<C>, true>;
constexpr Fn kOverflow = run<C, rip_relative_overflow<C>, true>;

/// Falls through to the next block.
void end_of_block(Cpu& c, const Insn* i) {
  u64 rip = c.r[kRipReg] + i->off;
  if (!c.code64_now) rip = static_cast<u32>(rip);
  c.target = rip;
  const Link& l = c.block->link[0];
  if (VT_LIKELY(l.rip == rip && l.valid == c.links_valid && c.budget >= static_cast<i64>(l.to->n))) return enter(c, l.to, rip);
  return chain_slow(c, i);
}

/// Candidate rows by [VEX][map][opcode], the most specific first.
struct Tables {
  std::vector<u16> at[2][4][256];
  Tables() {
    const auto& patterns = all_patterns();
    for (std::size_t n = 0; n < patterns.size(); ++n) {
      const Pattern& p = patterns[n];
      for (unsigned k = 0; k < (p.plus_r ? 8u : 1u); ++k) at[p.vex][p.map][(p.opcode & (p.plus_r ? 0xf8 : 0xff)) + k].push_back(static_cast<u16>(n));
    }
    auto rank = [&](u16 n) {
      const Pattern& p = patterns[n];
      int prefix = p.prefix == Prefix::pf3 || p.prefix == Prefix::pf2 ? 0 : p.prefix == Prefix::p66 ? 1 : p.prefix == Prefix::np ? 2 : 3;
      return prefix * 16 + (p.fixed < 0 ? 4 : p.fixed_r ? 2 : 0) + (p.w < 0 ? 1 : 0);
    };
    for (auto& by_map : at)
      for (auto& by_opcode : by_map)
        for (auto& list : by_opcode) std::stable_sort(list.begin(), list.end(), [&](u16 a, u16 b) { return rank(a) < rank(b); });
  }
};

/// The bytes of one instruction; reading past the end is remembered.
struct Bytes {
  const u8* p;
  unsigned avail, at = 0;
  bool short_ = false;
  u8 next() {
    if (at >= avail) { short_ = true; return 0; }
    return p[at++];
  }
  u8 peek() { if (at >= avail) { short_ = true; return 0; } return p[at]; }
  u64 little(unsigned n) {
    u64 v = 0;
    for (unsigned k = 0; k < n; ++k) v |= static_cast<u64>(next()) << (8 * k);
    return v;
  }
};

struct Prefixes {
  bool osz = false, asz = false, lock = false;
  u8 rep = 0;       ///< the last of F2 and F3
  u8 rex = 0;
  int seg = -1;
  bool vex = false, vex_l = false, bad_vex = false;
  u8 vvvv = 0;
};

bool prefix_matches(const Pattern& p, const Prefixes& x) {
  switch (p.prefix) {
    case Prefix::any: return true;
    case Prefix::np: return !x.rep && !x.osz;
    case Prefix::nfx: return !x.rep;
    case Prefix::p66: return !x.rep && x.osz;
    case Prefix::pf3: return x.rep == 0xf3;
    case Prefix::pf2: return x.rep == 0xf2;
  }
  return false;
}

unsigned operand_size(unsigned code, const Prefixes& x, const Pattern& p, u32 attrs) {
  const bool w = code == 2 && (x.rex & 8);
  const bool p66 = x.osz && p.prefix != Prefix::p66 && !(attrs & attr::ignore_osz);
  if (code == 2) {
    if (attrs & attr::force64) return 2;
    if (w) return 2;
    if (p66) return 0;
    return attrs & attr::def64 ? 2 : 1;
  }
  if (p.prefix == Prefix::p66 || (attrs & attr::ignore_osz)) return 1;
  return (code == 1) != p66 ? 1 : 0;
}

/// ModRM memory form.   SDM 2A "Addressing-Mode Encoding of ModR/M and SIB Bytes"
void memory_operand(Bytes& b, Insn& i, u8 modrm, unsigned asz, const Prefixes& x, bool vsib) {
  const unsigned mod = modrm >> 6, rm = modrm & 7;
  unsigned scale = 0;
  i.index = kZeroReg;
  bool stack = false;
  if (asz == 0) {
    static constexpr u8 kBase[8] = {3, 3, 5, 5, 6, 7, 5, 3};
    static constexpr u8 kIndex[8] = {6, 7, 6, 7, kZeroReg, kZeroReg, kZeroReg, kZeroReg};
    i.rm = kBase[rm], i.index = kIndex[rm];
    stack = rm == 2 || rm == 3 || rm == 6;
    if (mod == 0 && rm == 6) { i.rm = kZeroReg, stack = false; i.disp = static_cast<i16>(b.little(2)); }
    else if (mod == 1) i.disp = static_cast<i8>(b.next());
    else if (mod == 2) i.disp = static_cast<i16>(b.little(2));
  } else {
    unsigned base = rm;
    bool none = false;
    if (rm == 4) {
      const u8 sib = b.next();
      base = sib & 7;
      const unsigned index = ((sib >> 3) & 7) | (x.rex & 2 ? 8 : 0);
      scale = sib >> 6;
      i.index = index == 4 && !vsib ? kZeroReg : static_cast<u8>(index);
      none = base == 5 && mod == 0;
    } else if (rm == 5 && mod == 0) {
      none = true;  // 64-bit mode: relative to rip, the caller sees to it
    }
    i.rm = none ? kZeroReg : static_cast<u8>(base | (x.rex & 1 ? 8 : 0));
    stack = !none && (i.rm == 4 || i.rm == 5);
    if (mod == 1) i.disp = static_cast<i8>(b.next());
    else if (mod == 2 || none) i.disp = static_cast<i32>(b.little(4));
  }
  i.seg = static_cast<u8>(x.seg >= 0 ? x.seg : stack ? SS : DS);
  i.form = static_cast<u8>(i.form | scale | 0x10);
}

}  // namespace

Insn end_mark(unsigned off) {
  Insn i{};
  i.fn = end_of_block;
  i.off = static_cast<u16>(off);
  i.row = kNoRow;
  return i;
}

Decoded decode(const u8* bytes, unsigned avail, u16 off, u16 mode, const CpuModel& model, Insn& i, bool& ends) {
  static const Tables tables;
  const auto& rows = all_rows();
  const auto& patterns = all_patterns();
  const unsigned code = mode & mode_bit::code_size;
  Bytes b{bytes, std::min(avail, 15u)};
  Prefixes x;
  i = Insn{};
  i.off = off;
  i.row = kNoRow;
  i.seg = DS;
  ends = true;
  auto out_of_bytes = [&] { return avail >= 15 ? Decoded::too_long : Decoded::need_more; };
  auto emit = [&](Fn fn) {
    i.fn = fn;
    i.len = static_cast<u8>(b.at);
    if (fn == kUndefined) i.row = kNoRow;
    ends = true;
    return b.short_ ? out_of_bytes() : Decoded::ok;
  };

  // Legacy prefixes and REX: REX counts only right before the opcode.
  u8 op = 0;
  for (;;) {
    op = b.next();
    if (b.short_) return out_of_bytes();
    if (code == 2 && (op & 0xf0) == 0x40) { x.rex = op; continue; }
    bool prefix = true;
    switch (op) {
      case 0x66: x.osz = true; break;
      case 0x67: x.asz = true; break;
      case 0xf0: x.lock = true; break;
      case 0xf2: case 0xf3: x.rep = op; break;
      case 0x26: case 0x2e: case 0x36: case 0x3e: if (code != 2) x.seg = (op >> 3) & 3; break;
      case 0x64: x.seg = FS; break;
      case 0x65: x.seg = GS; break;
      default: prefix = false;
    }
    if (!prefix) break;
    x.rex = 0;
  }

  unsigned map = 0;
  if ((op == 0xc4 || op == 0xc5) && (code == 2 || (b.peek() >> 6) == 3) && !b.short_) {
    // SDM 2A "VEX Prefix": #UD with LOCK, 66, F2, F3 or REX before it, and outside protected mode.
    x.bad_vex = x.lock || x.osz || x.rep || x.rex;
    const u8 b1 = b.next();
    u8 b2 = b1;
    x.vex = true;
    x.rex = static_cast<u8>(0x40 | (b1 & 0x80 ? 0 : 4));
    map = 1;
    if (op == 0xc4) {
      x.rex = static_cast<u8>(x.rex | (b1 & 0x40 ? 0 : 2) | (b1 & 0x20 ? 0 : 1));
      map = b1 & 31;
      b2 = b.next();
      if (b2 & 0x80) x.rex |= 8;
    }
    if (code != 2) x.rex &= 0x48;
    x.vvvv = static_cast<u8>(~(b2 >> 3) & 15);
    x.vex_l = b2 & 4;
    const unsigned pp = b2 & 3;
    x.osz = pp == 1, x.rep = pp == 2 ? 0xf3 : pp == 3 ? 0xf2 : 0;
    op = b.next();
    if (b.short_) return out_of_bytes();
    if (!(mode & mode_bit::protected_mode) || map < 1 || map > 3 || (code != 2 && x.vvvv > 7)) return emit(kUndefined);
  } else if (b.short_) {
    return out_of_bytes();
  } else if (op == 0x0f) {
    op = b.next(), map = 1;
    if (!b.short_ && (op == 0x38 || op == 0x3a)) map = op == 0x38 ? 2 : 3, op = b.next();
    if (b.short_) return out_of_bytes();
  }

  const unsigned asz = code == 2 ? (x.asz ? 1 : 2) : (code == 1) != x.asz ? 1 : 0;
  const auto& candidates = tables.at[x.vex][map][op];
  const u8 modrm = b.at < b.avail ? b.p[b.at] : 0;  // looked at only by rows that have one
  bool any_modrm = false;
  int found = -1;
  for (u16 n : candidates) {
    const Pattern& p = patterns[n];
    const Def& d = rows[n];
    any_modrm |= p.modrm;
    if (p.modrm && b.at >= b.avail) { b.short_ = true; return out_of_bytes(); }
    if (!prefix_matches(p, x)) continue;
    if (p.w >= 0 && p.w != static_cast<i8>((x.rex & 8) != 0 && (code == 2 || x.vex))) continue;
    if (p.l >= 0 && p.l != static_cast<i8>(x.vex_l)) continue;
    if (p.digit >= 0 && ((modrm >> 3) & 7) != p.digit) continue;
    if (p.fixed >= 0 && (modrm & (p.fixed_r ? 0xf8 : 0xff)) != (p.fixed & (p.fixed_r ? 0xf8 : 0xff))) continue;
    if (p.modrm && !(d.attrs & attr::cr_dr)) {
      if (p.memory_only && (modrm >> 6) == 3) continue;
      if (p.register_only && (modrm >> 6) != 3) continue;
    }
    if ((d.attrs & attr::no64) && code == 2) continue;
    if ((d.attrs & attr::only64) && code != 2) continue;
    if ((d.attrs & attr::protected_only) && !(mode & mode_bit::protected_mode)) continue;
    if (!model.has(d.feature)) continue;
    found = n;
    break;
  }
  if (found < 0) {
    if (any_modrm) b.next();
    return emit(kUndefined);
  }

  const Pattern& p = patterns[static_cast<unsigned>(found)];
  const Def& d = rows[static_cast<unsigned>(found)];
  const unsigned osz = operand_size(code, x, p, d.attrs);
  i.row = static_cast<u16>(found);
  i.vvvv = x.vvvv;
  i.attr = static_cast<u8>(osz | asz << 2 | (x.lock ? 0x10 : 0) | (x.rep == 0xf3 ? 0x20 : 0) | (x.rep == 0xf2 ? 0x40 : 0) | (x.rex & 8 ? 0x80 : 0));
  i.form = x.vex_l ? 0x80 : 0;
  bool memory = false, rip_relative = false;
  auto byte_slot = [&](unsigned n) { return static_cast<u8>(!x.rex && n >= 4 && n < 8 ? 32 + n - 4 : n); };
  if (p.modrm) {
    b.next();
    const unsigned reg = ((modrm >> 3) & 7) | (x.rex & 4 ? 8 : 0);
    memory = (modrm >> 6) != 3 && !(d.attrs & attr::cr_dr);
    i.reg = p.byte_reg ? byte_slot(reg) : static_cast<u8>(reg);
    if (memory) {
      memory_operand(b, i, modrm, asz, x, p.vsib);
      rip_relative = code == 2 && (modrm & 0xc7) == 5;
      if (rip_relative) i.rm = kRipReg;
    } else {
      const unsigned rm = (modrm & 7) | (x.rex & 1 ? 8 : 0);
      i.rm = p.byte_rm ? byte_slot(rm) : static_cast<u8>(p.fixed >= 0 ? rm & 7 : rm);
      if (x.seg >= 0) i.seg = static_cast<u8>(x.seg);
    }
  } else {
    if (x.seg >= 0) i.seg = static_cast<u8>(x.seg);
    if (p.plus_r) {
      const unsigned n = (op & 7) | (x.rex & 1 ? 8 : 0);
      i.reg = i.rm = p.byte_reg ? byte_slot(n) : static_cast<u8>(n);
    }
  }
  if (p.imm == Imm::mo) {  // moffs: the offset is in imm, the segment in seg
    i.imm = static_cast<i64>(b.little(asz == 2 ? 8 : asz == 1 ? 4 : 2));
    i.rm = i.index = kZeroReg;
    i.form |= 0x10;
    memory = true;
  }
  i64 relative = 0;
  bool is_relative = false;
  switch (p.imm) {
    case Imm::none: case Imm::mo: break;
    case Imm::ib: i.imm = static_cast<i8>(b.next()); break;
    case Imm::iw: i.imm = static_cast<i16>(b.little(2)); break;
    case Imm::id: i.imm = static_cast<i32>(b.little(4)); break;
    case Imm::iz: i.imm = osz == 0 ? static_cast<i64>(static_cast<i16>(b.little(2))) : static_cast<i64>(static_cast<i32>(b.little(4))); break;
    case Imm::iv: i.imm = osz == 0 ? static_cast<i64>(static_cast<i16>(b.little(2))) : osz == 1 ? static_cast<i64>(static_cast<i32>(b.little(4))) : static_cast<i64>(b.little(8)); break;
    case Imm::cb: relative = static_cast<i8>(b.next()), is_relative = true; break;
    case Imm::cz: relative = osz == 0 ? static_cast<i64>(static_cast<i16>(b.little(2))) : static_cast<i64>(static_cast<i32>(b.little(4))), is_relative = true; break;
    case Imm::cp: i.imm = static_cast<i64>(b.little(osz == 0 ? 2 : 4)); i.disp = static_cast<i32>(b.little(2)); break;
  }
  if (p.imm2 == Imm::ib) i.vvvv = b.next();
  if (b.short_) return out_of_bytes();
  i.len = static_cast<u8>(b.at);
  if (is_relative) i.imm = relative + i.off + i.len;

  // How the address becomes linear.
  Ea ea = Ea::general;
  if (code == 2 && asz == 2) ea = i.seg == FS || i.seg == GS ? Ea::seg64 : Ea::plain64;
  else if (code != 2 && asz == 1 && (mode & mode_bit::flat) && (i.seg == DS || i.seg == ES || i.seg == SS)) ea = Ea::plain32;
  i.form = static_cast<u8>(i.form | static_cast<unsigned>(ea) << 2);
  if (rip_relative) {
    const i64 disp = static_cast<i64>(i.disp) + i.next_off();
    if (disp != static_cast<i32>(disp)) return emit(kOverflow);
    i.disp = static_cast<i32>(disp);
  }

  if (x.lock && !((d.attrs & attr::lockable) && memory)) return emit(kUndefined);
  if (x.bad_vex || (p.vex && !p.vvvv && x.vvvv)) return emit(kUndefined);
  if (p.vsib && (asz == 0 || (modrm & 7) != 4)) return emit(kUndefined);
  if ((d.attrs & attr::mmx) && (mode & mode_bit::mmx_ud)) return emit(kUndefined);
  if ((d.attrs & attr::sse) && (mode & mode_bit::sse_ud)) return emit(kUndefined);
  if ((d.attrs & attr::avx) && (mode & mode_bit::avx_ud)) return emit(kUndefined);
  if ((d.attrs & (attr::x87 | attr::mmx | attr::sse)) && !(mode & mode_bit::x87_ok)) return emit(kNoDevice);
  if ((d.attrs & attr::avx) && !(mode & mode_bit::vex_ok)) return emit(kNoDevice);
  i.fn = d.fn[osz][memory];
  if (code == 2 && (!memory || ea == Ea::plain64)) {
    const auto& views = d.fn64[osz];
    if (memory && i.index == kZeroReg && views[2]) i.fn = views[2];
    else if (views[memory]) i.fn = views[memory];
  }
  ends = d.attrs & attr::ends_block;
  return Decoded::ok;
}

}  // namespace vt::cpu
