// SPDX-License-Identifier: GPL-2.0-or-later
/// The registers of one processor as gdb sees them: one table for the target description and for the packets.
/// gdb manual "i386 Features" under "Target Descriptions"
#pragma once
#include <functional>
#include <span>
#include <string>

#include "base/types.hpp"

namespace vt::emu { class Machine; }

namespace vt::cli::gdb {

struct Register {
  std::string name;
  unsigned bits = 64;
  const char* type = "int";
  const char* feature = "";
  const char* group = nullptr;
  /// Writes bits / 8 bytes, little-endian.
  std::function<void(emu::Machine&, unsigned cpu, u8* to)> read;
};

std::span<const Register> registers();
/// The target description (target.xml).
const std::string& target_xml();
/// Bytes of register `n`; of all of them, one after the other.
std::string read_register(emu::Machine& m, unsigned cpu, std::size_t n);
std::string read_registers(emu::Machine& m, unsigned cpu);

}  // namespace vt::cli::gdb
