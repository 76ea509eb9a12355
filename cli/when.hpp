// SPDX-License-Identifier: GPL-2.0-or-later
/// A time on the command line: where a run is to end, or at which moment a finished one is looked at.
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
    symbol,     ///< sym:NAME#n: before the instruction at that symbol is executed for the nth time, on any processor
    percent,    ///< 37%: of a finished run's steps
    end,        ///< end of a finished run
  };
  Kind kind = Kind::never;
  u64 number = 0;      ///< step, count, or basic exit reason; percent: thousandths of one
  std::string text;    ///< console: the text; symbol: its name; otherwise what was typed
  std::string typed;   ///< as given
};

/// For `run --until`. Throws UsageError that says what there is.
When parse_when(std::string_view s);

/// RUN or RUN@T. Without T: the end.
struct RunAt { std::string run; When at; };
/// Where several '@' are possible, the first one behind which a directory's name ends. Throws UsageError.
RunAt parse_run_at(const std::string& s);

}  // namespace vt::cli
