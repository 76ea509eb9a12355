// SPDX-License-Identifier: GPL-2.0-or-later
/// All SSE rows, in a fixed order.
#include "insn/fpu.hpp"

namespace vt::cpu {

std::span<const Def> sse_rows() {
  static const std::vector<Def> rows = join_rows({sse_move_rows(), sse_int_rows(), sse_fp_rows(), sse_convert_rows(), sse_sse4_rows(), sse_string_rows()});
  return rows;
}

}  // namespace vt::cpu
