// SPDX-License-Identifier: GPL-2.0-or-later
/// What the timing models keep of a decoded instruction, beside the block that it is in.
#pragma once
#include "cpu/insn.hpp"
#include "cpu/timing/predictor.hpp"
#include "timing/classes.hpp"

namespace vt::cpu {

/// One operand in memory: where it is, and what is done with it.
struct TimedAccess {
  enum class At : u8 { operand, offset, push, pop, frame, si, di } at = At::operand;   ///< ModRM's; moffs; below RSP; at RSP; at RBP; strings
  bool read = false, written = false;
  u16 size = 0;   ///< bytes
};

enum class TimedKind : u8 { plain, branch, string, special };   ///< special: what it does to the caches, or to devices, is looked at

struct TimedInsn {
  static constexpr unsigned kMost = 3;
  Fn fn = nullptr;               ///< of the instruction itself, or of whoever observes it
  u32 cost = 0;                  ///< `events`: ticks that it owes when it retires
  TimedKind kind = TimedKind::plain;
  timing::OpClass op = timing::OpClass::nop;
  Predictor::Kind branch = Predictor::Kind::direct;
  bool lock = false, by_rep = false;
  u8 accesses = 0;
  TimedAccess access[kMost];
  // `core`: numbers of the scoreboard's registers.
  static constexpr unsigned kSources = 8, kResults = 8;
  u8 sources = 0, results = 0;
  u8 source[kSources], result[kResults];
  bool modifies = false, stack_engine = false, eliminated = false;   ///< loads and stores one place; RSP is nobody's business; a move that rename does
  const timing::OpCost* cost_of = nullptr;
};

/// Registers of the scoreboard.
namespace slot {
inline constexpr u8 vec = 16, mmx = 32, st = 40, flags = 41, count = 42;
}

/// All but `fn` and `cost`.
TimedInsn timed_insn(const Insn& i, const timing::Profile& p);

}  // namespace vt::cpu
