// SPDX-License-Identifier: GPL-2.0-or-later
/// Which rows of the instruction tables make up a class, which are left out and why, and what is not compared and why.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "cpu/rows.hpp"

namespace vt::judge {

struct Class {
  std::string name, title;
  std::vector<unsigned> rows;  ///< indexes into cpu::all_rows()
  unsigned code = 2;           ///< mode of its cases: 0, 1, 2 for 16, 32, 64 bits
  bool loads_segments() const { return name.size() >= 7 && name.compare(name.size() - 7, 7, "segment") == 0; }
};
/// In the order of the table in docs/conformance.md; every row of the tables that user mode can execute in that mode is in one, or in `exclusions`.
/// Those of 16 and 32-bit mode are called "16:integer" and so on.
const std::vector<Class>& classes(unsigned code = 2);

/// Rows that are not run: by name, or name and opcode.
struct Exclusion { const char *names, *opcode, *why; };
std::span<const Exclusion> exclusions();
bool excluded(const cpu::Def& d);

/// What of a result is not compared.
struct Mask {
  const char* names;        ///< "SHL SHR SAR"
  u64 flags;                ///< EFLAGS bits, in general
  u64 flags_of_count;       ///< ... when a shift's count is not 1 (0: nothing changes)
  u16 fsw;                  ///< bits of the x87 status word
  unsigned ulps;            ///< x87 results may differ by so many units in the last place of 64 bits
  bool approximate;         ///< single-precision results within 1.5 * 2^-12 of each other
  const char* why;
  u8 special = 0;           ///< see below
};
/// MXCSR.PE beside an unmasked exception; results of operands the manual leaves undefined.
inline constexpr u8 kPrecision = 1, kDomain = 2;
std::span<const Mask> masks();
const Mask* mask_of(const cpu::Def& d);
/// A mnemonic in a list of them.
bool listed(const char* names, const std::string& name);

}  // namespace vt::judge
