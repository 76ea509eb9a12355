// SPDX-License-Identifier: GPL-2.0-or-later
/// Decoded blocks: kept by physical page, offset and decode mode; they chain to their successors.
#pragma once
#include "cpu/cpu.hpp"
#include "cpu/def.hpp"

namespace vt::cpu {

/// Everything but the bytes that changes what a decoded instruction is.
namespace mode_bit {
inline constexpr u16 code_size = 3,      ///< 0: 16, 1: 32, 2: 64 bits
    flat = 4,                            ///< DS, ES and SS: base 0, limit 4 GiB, readable, writable, expand-up; CS: base 0, limit 4 GiB
    x87_ok = 8, mmx_ud = 0x10,           ///< CR0.TS = EM = 0; CR0.EM = 1
    sse_ud = 0x20, avx_ud = 0x40,        ///< CR0.EM or not OSFXSR; not OSXSAVE or XCR0
    protected_mode = 0x80;               ///< CR0.PE and not virtual-8086
}

struct Link {
  u64 rip = 0;        ///< target for which `to` was found
  Block* to = nullptr;
  u32 valid = 0;      ///< Cpu::links_valid at that time
};

struct Block {
  u32 n = 0;          ///< instructions (the end marker not counted)
  u16 first_off = 0;  ///< page offset of the first
  u16 mode = 0;
  u16 bytes = 0;      ///< total length
  bool dead = false;  ///< its bytes have changed
  bool crosses = false;  ///< its only instruction runs into the next page
  Hpa page{}, page2{};
  Link link[2];       ///< 0: falls out of the end; 1: the branch at the end
  Insn* insns = nullptr;
};

/// Enters `b` at linear rip `rip` by tail call.
VT_INLINE void enter(Cpu& c, Block* b, u64 rip) {
  c.block = b;
  c.budget -= b->n;
  c.r[kRipReg] = rip - b->first_off;
  return b->insns->fn(c, b->insns);
}

VT_INLINE void chain(Cpu& c, const Insn* i) {
  Link& l = c.block->link[1];
  if (VT_LIKELY(l.rip == c.target && l.valid == c.links_valid && c.budget >= static_cast<i64>(l.to->n))) return enter(c, l.to, c.target);
  return chain_slow(c, i);
}

}  // namespace vt::cpu
