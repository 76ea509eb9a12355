// SPDX-License-Identifier: GPL-2.0-or-later
/// The decoder against Zydis: same length, same instruction, over random bytes and over the code of ELF files.
#pragma once
#include <map>
#include <string>

#include "base/types.hpp"

namespace vt::judge {

struct DecodeResult {
  u64 instructions = 0;   ///< both know it, and it was compared
  u64 undefined = 0;      ///< both refuse
  u64 lengths = 0, names = 0;  ///< differences
  u64 only_zydis = 0, only_ours = 0;
  std::map<std::string, u64> explained;    ///< by the sentence of the exceptions' list
  std::map<std::string, u64> unexplained;  ///< "ours / Zydis": what was seen
  std::map<std::string, std::string> example;
  void add(const DecodeResult& r);
};

/// `code`: 0, 1, 2 for 16, 32, 64-bit mode.
DecodeResult decode_random(unsigned code, u64 seed, u64 first, u64 count);
/// Every opcode of every map with each prefix, REX.W, LOCK and ModRM forms, and of the VEX maps.
DecodeResult decode_tables(unsigned code);
/// All executable sections; throws where the file is not a 64-bit ELF image.
DecodeResult decode_elf(const std::string& file);

}  // namespace vt::judge
