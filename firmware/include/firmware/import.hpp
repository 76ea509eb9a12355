// SPDX-License-Identifier: GPL-2.0-or-later
/// A platform description out of what people paste into bug reports: boot logs of Xen and Linux, acpidump output or raw ACPI
/// tables, lspci -x dumps, in any mixture and any state. Every value knows the file and line it came from and whether
/// it was guessed; what could not be read and what the description has no place for is listed.
#pragma once
#include <span>

#include "firmware/platform.hpp"

namespace vt::fw {

struct ImportInput { std::string name, bytes; };

struct ImportNote {
  enum class Kind : u8 {
    unreadable,   ///< a line of a known kind that is cut off or mangled
    not_carried,  ///< told, but the description has no place for it, or the machine does not model it
    conflict,     ///< two places tell different things, or it makes no possible machine: what was done about it
    ignored,      ///< told of something else than the host's platform
  };
  Kind kind;
  std::string from, what;
};

struct ImportedTable { std::string signature, from; std::vector<u8> bytes; };

struct Imported {
  Platform platform;                  ///< completed; `origins` has one entry for each value that was told or guessed
  std::vector<ImportNote> notes;
  std::vector<ImportedTable> tables;  ///< ACPI tables as they were
};

/// Nothing recognisable, or a machine that is out of scope. `what()` says what, and where.
struct ImportError : std::runtime_error { using runtime_error::runtime_error; };

/// Throws ImportError, and nothing else whatever the bytes are.
Imported import_platform(std::span<const ImportInput> inputs, const std::string& name);

/// The description as JSON text: what was told or guessed, and "import" with the origins, notes and tables.
std::string import_json(const Imported& r, std::span<const ImportInput> inputs);

}  // namespace vt::fw
