// SPDX-License-Identifier: GPL-2.0-or-later
/// A time on the command line: where a run is to end.
#pragma once
#include <string>
#include <string_view>

#include "base/types.hpp"

namespace vt::cli {

struct When {
  enum class Kind : u8 {
    never,
    step,       ///< 1200000: before that step
    console,    ///< console:'text': when the text is complete on the serial port
    exit_count, ///< exit#412: the 412th VM exit, counted from 1 over all processors
    exit_name,  ///< exit:ept-violation: the first VM exit of that reason
    entry_count,///< entry#1: the first VM entry
  };
  Kind kind = Kind::never;
  u64 number = 0;      ///< step, count, or basic exit reason
  std::string text;    ///< console: the text; otherwise what was typed
};

/// For `run --until`. Throws UsageError that says what there is.
When parse_when(std::string_view s);
/// RUN[@T] of the questions about a finished run: only the end is kept, so T is absent or `end`. Returns RUN. Throws UsageError.
std::string run_at_end(const std::string& s);

}  // namespace vt::cli
