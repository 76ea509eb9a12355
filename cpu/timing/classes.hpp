// SPDX-License-Identifier: GPL-2.0-or-later
/// What the timing models know of an instruction row: its class, which the profile has costs for, and which registers it reads and
/// writes. Both follow from the row's name, opcode and operands (classes.cpp, roles.cpp); nothing here depends on a profile.
#pragma once
#include "base/timing.hpp"
#include "cpu/def.hpp"

namespace vt::cpu {

/// For the row's register or memory form. Every row of all_rows() has one; which of LEA's and DIV's classes holds depends on the
/// instruction, see the overload below.
timing::OpClass class_of(const Def& row, bool memory);
/// The same from a table.
timing::OpClass class_of(u16 row, bool memory);
/// With what only the decoded instruction tells: `lea_slow` for three_part_lea(), the scaled ones, `div64` for a 64-bit division, `alu` for a move
/// of 16 bits, `nop` for 90.
timing::OpClass class_of(const Insn& i);

/// Base, index and displacement all present: the address goes through an adder more.
bool three_part_lea(const Insn& i);
/// XCHG of EAX with itself by the short form: NOP.   SDM 2B "NOP"
bool is_nop_90(const Insn& i);
/// A LOCK prefix, or XCHG with memory, which locks by itself: OpClass::lock comes on top.   SDM 3A "Bus Locking"
bool locks(const Insn& i);

/// A register, the flags or memory, and what the instruction does with it. For its address a memory operand reads what Insn says (rm
/// and index), which is not listed. A result of 8 bits has its register read, too, as it is merged; one of 16 bits has not, since the
/// row does not know (Insn::osz). Not listed are what has no rename register: segments, control registers, MSRs, MXCSR, the x87 status.
struct Role {
  enum Kind : u8 {
    none,
    gpr_reg, gpr_rm, gpr_vvvv,                        ///< Insn::reg, rm, vvvv; 8-bit ones may be 32 + n (AH to BH)
    gpr_fixed,                                        ///< number `fixed`
    gpr_repeat,                                       ///< the same, only with a repeat prefix
    vec_reg, vec_rm, vec_vvvv,
    vec_fixed,                                        ///< XMM0
    vec_imm,                                          ///< in the immediate's bits 7:4
    vec_index,                                        ///< Insn::index of a gather
    mmx_reg, mmx_rm,                                  ///< an x87 register by its physical number
    st_top, st_i, st_fixed,                           ///< ST(0), ST(Insn::rm), ST(fixed), numbered as before the instruction; see Roles::pushes
    flags,
    memory
  } kind = none;
  u8 fixed = 0;
  bool read = false, written = false;
  bool operator==(const Role&) const = default;
};

struct Roles {
  static constexpr unsigned kMost = 10;               ///< PUSHA has nine
  u8 count = 0;
  i8 pushes = 0;                                      ///< how far the x87 stack grows; if it does, a written ST(0) is the new one
  Role role[kMost];
  const Role* begin() const { return role; }
  const Role* end() const { return role + count; }
};
/// Of a row of all_rows().
const Roles& roles_of(u16 row, bool memory);
/// None for NOP, whatever its encoding.
const Roles& roles_of(const Insn& i);

}  // namespace vt::cpu
