// SPDX-License-Identifier: GPL-2.0-or-later
/// What the process gives up before a guest runs, so that a guest that finds an error of ours gains little: seccomp for system calls, Landlock for files.
/// It is the process's, not a machine's, and there is no way back. Nothing in the machine depends on it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace vt::cli::sandbox {

/// By main(), before a verb: without it enter() does nothing, so that tests and fuzzers keep what they need.
void arm(bool on);

/// What the verb will need while the guest runs, said before enter().
void may_write(const std::string& directory);   ///< files below it; one that does not exist by then is left out
void may_network();                             ///< sockets that connect
void may_serve();                               ///< connections of a debugger are accepted

/// From here on. The second time nothing happens. Where the kernel refuses, a warning, and the run goes on.
void enter();

/// What is in force: "seccomp", "landlock", both or nothing.
const std::vector<std::string_view>& in_force();

}  // namespace vt::cli::sandbox
