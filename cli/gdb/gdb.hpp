// SPDX-License-Identifier: GPL-2.0-or-later
/// Serving a debugger, for the verbs that do.
#pragma once
#include "gdb/monitor.hpp"
#include "gdb/server.hpp"

namespace vt::cli { class Saved; }

namespace vt::cli::gdb {

/// A port number of a command line: 0 to 65535. Throws UsageError that begins with `option`.
u16 parse_port(const std::string& s, const char* option);
/// A file of gdb commands that connects to `port`, and forgets what it knows of registers after each monitor command.
std::string init_text(u16 port);

/// The views of other verbs on a machine that runs.
Monitor::Views views_of(Saved& live);

}  // namespace vt::cli::gdb
