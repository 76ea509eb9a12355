// SPDX-License-Identifier: GPL-2.0-or-later
/// The decoded form of an instruction: the contract between decoder, interpreter, a later translator and
/// the timing models. Compact, self-contained, no pointers into guest bytes.
#pragma once
#include "base/bits.hpp"

namespace vt::cpu {

class Cpu;
struct Insn;

/// What an instruction function says about how to go on.
enum class Next : u8 {
  seq,    ///< retired; the instruction after it is next
  jump,   ///< retired; `Cpu::target` is the next rip, same mode: blocks may chain
  end,    ///< retired; `Cpu::target` is NOT used, next is the instruction after it, but something that the
          ///< outer loop looks at has changed (mode, IF, paging, a device): leave the chain
  leave,  ///< retired; `Cpu::target` is the next rip, and the outer loop must look (far transfers, IRET, VM entry)
  again,  ///< a repeated string instruction with iterations left: rip stays; `charge` has counted those made
  fault,  ///< `Cpu::fault` is filled in; nothing was committed, it did not retire
};

/// Executes `i` and, by tail call, all that follows, until the chain has to be left.
using Fn = void (*)(Cpu&, const Insn*);

/// Slots of Cpu::r beyond the sixteen registers, so that effective addresses need no branches.
inline constexpr u8 kZeroReg = 16;  ///< always 0
inline constexpr u8 kRipReg = 17;   ///< rip of the first byte of the block's page (Insn::off is added to it)

enum Seg : u8 { ES, CS, SS, DS, FS, GS };

/// How an effective address becomes linear.
enum class Ea : u8 {
  plain64,  ///< 64-bit mode, no segment base
  seg64,    ///< 64-bit mode, FS or GS
  plain32,  ///< 32-bit address, flat segment that allows everything
  general,  ///< 16-bit addresses, address-size prefixes, segment bases and limits
};

struct Insn {
  Fn fn;
  i64 imm;    ///< immediate, sign-extended; relative branches: target minus rip of the page (r[kRipReg])
  i32 disp;   ///< displacement; RIP-relative ones already include off + len
  u16 off;    ///< page offset of its first byte
  u8 len;     ///< 1 to 15
  u8 reg;     ///< ModRM.reg (REX.R), opcode register, segment, control or debug register number.
              ///< 8-bit operands: 32 + n for AH CH DH BH (n = 0..3)
  u8 rm;      ///< register form: ModRM.rm, coded like reg. Memory form: base slot
  u8 index;   ///< memory form: index slot (kZeroReg for none)
  u8 form;    ///< 1:0 scale, 3:2 Ea, 4 memory form, 6:5 second immediate's width is not needed; 7 VEX.L
  u8 seg;     ///< segment of the memory operand (Seg), override applied
  u16 row;    ///< index into the table of rows: name, opcode, attributes
  u8 attr;    ///< see below
  u8 vvvv;    ///< VEX.vvvv register; ENTER and EXTRQ-like second immediate otherwise

  unsigned scale() const { return form & 3; }
  Ea ea() const { return static_cast<Ea>((form >> 2) & 3); }
  bool mem() const { return form & 0x10; }
  bool vex_l() const { return form & 0x80; }
  unsigned osz() const { return attr & 3; }         ///< 0: 16, 1: 32, 2: 64 bits
  unsigned asz() const { return (attr >> 2) & 3; }  ///< 0: 16, 1: 32, 2: 64 bits
  bool lock() const { return attr & 0x10; }
  bool rep() const { return attr & 0x20; }          ///< F3
  bool repne() const { return attr & 0x40; }        ///< F2
  bool rex() const { return attr & 0x80; }
  unsigned next_off() const { return off + len; }
};
static_assert(sizeof(Insn) == 40 || sizeof(Insn) == 32);

}  // namespace vt::cpu
