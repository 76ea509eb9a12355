// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once
#include "cpu/insn.hpp"
#include "cpu/model.hpp"

namespace vt::cpu {

enum class Decoded : u8 {
  ok,
  need_more,  ///< the bytes end before the instruction does
  too_long,   ///< more than 15 bytes: #GP(0)
};

/// Decodes one instruction at `p` (`avail` bytes), at page offset `off`, for a decode mode (block.hpp mode_bit). An
/// undefined opcode decodes as an instruction that raises #UD, one whose unit is switched off as one that raises #NM.
/// `ends`: the block has to end after it.
Decoded decode(const u8* p, unsigned avail, u16 off, u16 mode, const CpuModel& model, Insn& out, bool& ends);
/// The mark behind a block's last instruction: goes on at the next one.
Insn end_mark(unsigned off);
/// Row number of instructions that no row describes.
inline constexpr u16 kNoRow = 0xffff;

}  // namespace vt::cpu
