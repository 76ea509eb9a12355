// SPDX-License-Identifier: GPL-2.0-or-later
/// An instruction row's "Opcode" string, parsed: what the decoder matches bytes against.
#pragma once
#include <string>
#include <vector>

#include "cpu/def.hpp"

namespace vt::cpu {

enum class Imm : u8 { none, ib, iw, iz, iv, id, cb, cz, cp, mo };

struct Pattern {
  enum class Prefix : u8 { any, np, nfx, p66, pf3, pf2 };
  bool vex = false;
  u8 map = 0;              ///< 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A
  u8 opcode = 0;
  bool plus_r = false;     ///< low three bits of the opcode are a register
  Prefix prefix = Prefix::any;
  i8 w = -1;               ///< REX.W / VEX.W: -1 ignored
  i8 l = -1;               ///< VEX.L: -1 ignored
  bool modrm = false;
  i8 digit = -1;           ///< ModRM.reg
  i16 fixed = -1;          ///< whole ModRM byte
  bool fixed_r = false;    ///< ... with its low three bits free
  bool memory_only = false, register_only = false;
  bool vvvv = false;       ///< VEX.vvvv is an operand
  bool vsib = false;       ///< the memory operand's index is a vector register
  bool byte_reg = false, byte_rm = false;
  Imm imm = Imm::none, imm2 = Imm::none;

  /// 66 changes the operand size here, and is not part of the opcode.
  bool takes_66() const { return prefix == Prefix::any || prefix == Prefix::nfx; }
  /// As VEX has it in pp.
  unsigned pp() const { return prefix == Prefix::p66 ? 1 : prefix == Prefix::pf3 ? 2 : prefix == Prefix::pf2 ? 3 : 0; }
  /// F3 or F2 where it is part of the opcode; else 0.
  unsigned repeat_prefix() const { return prefix == Prefix::pf3 ? 0xf3 : prefix == Prefix::pf2 ? 0xf2 : 0; }
};

/// Throws std::runtime_error that names the row when the notation is not understood.
Pattern parse_pattern(const Def& d);
/// Parsed rows, in the order of all_rows().
const std::vector<Pattern>& all_patterns();

}  // namespace vt::cpu
