// SPDX-License-Identifier: GPL-2.0-or-later
/// One row per instruction: name, encoding in the SDM's "Opcode" notation, operands in the notation of its
/// opcode map, attributes, the CPUID feature it needs, and its functions. Decoder, coverage list and docs
/// derive from the rows (cpu/decoder.cpp reads the strings once, at start).
///
/// Opcode notation: [NP|NFx|66|F2|F3] [REX.W|W0] [0F [38|3A]] bytes, then "/r", "/0".."/7", "+r" (low three bits of the opcode are
/// a register), "ib iw id iz iv io" immediates (iz: 16 or 32 by operand size, iv: 64 with REX.W), "cb cz" relative
/// targets, "cp" far pointer, "mo" moffs; "VEX.128.66.0F38.W0 F7 /r" style for VEX (LZ/L0/128/256/LIG, NP/66/F2/F3, 0F/0F38/0F3A, W0/W1/WIG).
/// A fixed ModRM byte is written as a byte: "0F 01 C1" is VMCALL.
/// Operands: E M R G I J O S C D ..., only these matter to the decoder: an operand ending in 'b' in place E, M, R or G is an
/// 8-bit register when it is a register (AH..BH coding); M: memory only (register form is #UD), R/U/N: register only;
/// H and B: VEX.vvvv (without one of them it must be 1111b); Mvsib: memory with a vector of indexes.
#pragma once
#include <span>

#include "cpu/insn.hpp"
#include "cpu/model.hpp"

namespace vt::cpu {

namespace attr {
inline constexpr u32 ends_block = 1,     ///< control transfer, or the outer loop has to look
    def64 = 2,                           ///< 64-bit mode: operand size is 64 unless 66 (near stack operations)
    force64 = 4,                         ///< 64-bit mode: operand size is 64, 66 ignored (near branches, MOV CR/DR, VMX)
    no64 = 8, only64 = 0x10,             ///< #UD in 64-bit mode / outside it
    lockable = 0x20,                     ///< LOCK allowed with a memory destination
    x87 = 0x40,                          ///< #NM if CR0.EM or CR0.TS
    mmx = 0x80,                          ///< #UD if CR0.EM, #NM if CR0.TS
    sse = 0x100,                         ///< #UD if CR0.EM or not CR4.OSFXSR, #NM if CR0.TS
    avx = 0x200,                         ///< #UD if not CR4.OSXSAVE or XCR0[2:1] != 3, #NM if CR0.TS
    protected_only = 0x400,              ///< #UD in real-address and virtual-8086 mode
    vmx_op = 0x800,                      ///< for listings
    ignore_osz = 0x1000,                 ///< 66 is neither operand size nor mandatory prefix (osz stays 32 or REX.W 64)
    cr_dr = 0x2000;                      ///< ModRM.mod is ignored: always a register form (MOV CR, MOV DR)
}

struct Def {
  const char* name;
  const char* opcode;
  const char* operands;
  u32 attrs;
  Feature feature;
  Fn fn[3][2];             ///< by operand size (16, 32, 64), then register or memory form
  /// The same for Cpu64 (64-bit mode, no segment base), with a third column for memory operands without an index. Null: the
  /// column before serves, then `fn`.
  Fn fn64[3][3] = {};
};

/// Continues at Cpu::target: through the block's link if it is still good, else by look-up, else leaves the chain.
void chain_slow(Cpu& c, const Insn* i);

}  // namespace vt::cpu
