// SPDX-License-Identifier: GPL-2.0-or-later
/// Source lines and inlined functions of addresses, from DWARF (libdw). Builds without debug information have none.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/types.hpp"

namespace vt::hv {

struct LineFrame {
  std::string function;   ///< may be empty
  std::string file;       ///< as the compiler was given it, below the directory of the build: "arch/x86/mm/p2m-ept.c"
  unsigned line = 0;
};

class Lines {
 public:
  /// None: the file cannot be read, or has no debug information.
  static std::optional<Lines> load(const std::string& elf);
  Lines(Lines&&) noexcept;
  Lines& operator=(Lines&&) noexcept;
  ~Lines();
  /// The functions that stand at an address, innermost first: those that were inlined there, then the one that has the code. Empty: not known.
  std::vector<LineFrame> at(u64 address) const;

 private:
  struct Impl;
  explicit Lines(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vt::hv
