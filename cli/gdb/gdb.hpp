// SPDX-License-Identifier: GPL-2.0-or-later
/// Serving a debugger, for the verbs that do.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "gdb/monitor.hpp"
#include "gdb/server.hpp"

namespace vt::cli { class Saved; class Story; }

namespace vt::cli::gdb {

/// A port number of a command line: 0 to 65535. Throws UsageError that begins with `option`.
u16 parse_port(const std::string& s, const char* option);
/// Writes a file of gdb commands that loads symbols, connects to `port`, and forgets what it knows of registers after each monitor command; and
/// what belongs to it. Returns its name. `symbols` may be null. A directory that cannot be written is an InputError.
std::string write_init(const std::string& run, const nlohmann::ordered_json& manifest, const hv::Symbols* symbols, u16 port);

/// The views of other verbs on a machine that runs. `story`: its ledger, told until the present moment; throws UsageError where there is none.
Monitor::Views views_of(Saved& live, std::function<const Story&()> story);

}  // namespace vt::cli::gdb
