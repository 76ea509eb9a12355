// SPDX-License-Identifier: GPL-2.0-or-later
/// What the timing models keep of a decoded instruction, beside the block that it is in.
#pragma once
#include "cpu/block.hpp"
#include "cpu/timing/caches.hpp"
#include "cpu/timing/predictor.hpp"
#include "timing/classes.hpp"

namespace vt::cpu {

/// Registers of the scoreboard.
namespace slot {
inline constexpr u8 vec = 16, mmx = 32, st = 40, flags = 41, none = 42, sink = 43, count = 44;   // always ready; of no interest
}

/// One operand in memory: where it is, and what is done with it.
struct TimedAccess {
  enum class At : u8 { operand, offset, push, pop, frame, si, di } at = At::operand;   ///< ModRM's; moffs; below RSP; at RSP; at RBP; strings
  bool read : 1 = false, written : 1 = false;
  u16 size = 0;   ///< bytes
};

enum class TimedKind : u8 { plain, branch, string, special };   ///< special: what it does to the caches, or to devices, is looked at

struct TimedInsn {
  static constexpr unsigned kMost = 3;
  // What the hook looks at.
  Fn fn = nullptr;               ///< of the instruction itself, or of whoever observes it
  u32 cost = 0;                  ///< `events`: ticks, without what depends on addresses and outcomes
  u32 run = 0;                   ///< of a marked instruction: cost of it and of those that follow, up to the next marked one
  u16 run_length = 0;            ///< how many they are
  u8 base = 0, index = 0, scale = 0;   ///< of the one operand, if that is all there is to its linear address: slots of Cpu::r; a factor
  RecentLines::Question asks;          ///< about it
  TimedKind kind = TimedKind::plain;
  i32 disp = 0;
  TimedAccess access[kMost];
  u8 accesses = 0;
  timing::OpClass op = timing::OpClass::nop;
  Predictor::Kind branch = Predictor::Kind::direct;
  bool lock : 1 = false, by_rep : 1 = false;
  bool keeps_to_registers : 1 = false;
  bool modifies : 1 = false, stack_engine : 1 = false, eliminated : 1 = false;   ///< loads and stores one place; RSP is nobody's business; a move that rename does
  bool swaps : 1 = false, renames_load : 1 = false;   ///< two registers; what it loads may be what rename knows
  /// Neither memory nor a branch, and nobody asks what time it is: what it costs can wait.
  bool quiet() const { return kind == TimedKind::plain && accesses == 0 && keeps_to_registers; }
  // `core`: numbers of the scoreboard's registers.
  static constexpr unsigned kSources = 8, kResults = 8, kFew = 4;   ///< the first four sources and two results that there are not are slot::none and slot::sink
  u8 sources = 0, results = 0;
  u8 source[kSources]{slot::none, slot::none, slot::none, slot::none}, result[kResults]{slot::sink, slot::sink};
};
static_assert(sizeof(TimedInsn) == BlockCache::kTimedInsn * sizeof(Insn), "its place is found from the instruction's");
/// What is kept of a decoded instruction in a block. `at`: BlockCache::timed_at().
inline TimedInsn* timed_of(std::uintptr_t at, const Insn* i) { return reinterpret_cast<TimedInsn*>(at + BlockCache::kTimedInsn * reinterpret_cast<std::uintptr_t>(i)); }

/// Nothing is to be accounted for.
inline constexpr TimedInsn kNoRun{};

/// All but `fn` and `cost`.
TimedInsn timed_insn(const Insn& i, const timing::Profile& p);

}  // namespace vt::cpu
