// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/x87.hpp"

namespace vt::cpu {

std::span<const Def> x87_rows() {
  static const std::vector<Def> rows = join_rows({x87_control_rows()});
  return rows;
}

}  // namespace vt::cpu
