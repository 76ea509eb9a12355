// SPDX-License-Identifier: GPL-2.0-or-later
/// Text of instructions, by Capstone. How long they are, our own decoder knows.
#pragma once
#include <span>
#include <string>

#include "base/types.hpp"

namespace vt::cpu { class Cpu; }

namespace vt::cli {

class Disassembler {
 public:
  Disassembler() = default;
  ~Disassembler();
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;
  /// `bytes`: the whole instruction; `at`: where it stands, in the code segment. In the processor's present mode.
  std::string text(const cpu::Cpu& c, u64 at, std::span<const u8> bytes);

 private:
  std::size_t handle_[3] = {};   ///< Capstone's: 16, 32, 64 bits
  bool open_[3] = {};
};

}  // namespace vt::cli
