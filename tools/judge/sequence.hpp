// SPDX-License-Identifier: GPL-2.0-or-later
/// Random sequences of integer instructions, for judges that have whole programs to run: bytes from the rows' notation, as the native
/// judge's cases, with what each needs put in front of it, and with no reader of a flag that the manual leaves undefined.
#pragma once
#include "judge/classes.hpp"
#include "judge/operands.hpp"
#include "judge/state.hpp"

namespace vt::judge {

inline constexpr unsigned kShortest = 5, kLongest = 50;

struct Step {
  u64 at = 0;
  std::vector<u8> bytes;
  unsigned row = 0;
  u64 undefined = 0;  ///< flags that are undefined before it, on any way to it
};
struct Sequence {
  State start;
  std::vector<Step> steps;  ///< one behind the other from start.rip on; jumps lead forward over a few of them
  std::vector<Patch> memory;
  u64 undefined = 0;        ///< flags at the end
  u64 end() const { return steps.back().at + steps.back().bytes.size(); }
};

/// The sequence of that number: the same for the same seed, whatever was made before.
Sequence make_sequence(u64 seed, u64 number);

/// Rows of the integer classes that sequences do not have.
std::span<const Exclusion> not_in_sequences();

/// What a row does with flags: SDM 2A, 2B, "Flags Affected". `writes`: those that have a defined value afterwards in every case.
struct FlagUse { u64 reads = 0, writes = 0, undefined = 0; };
FlagUse flag_use(const Step& s);

}  // namespace vt::judge
