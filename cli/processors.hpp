// SPDX-License-Identifier: GPL-2.0-or-later
/// The last state of each processor, for people and for the manifest.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "hypervisor/symbols.hpp"

namespace vt::emu { class Machine; }

namespace vt::cli {

/// "64-bit", "compatibility", "32-bit", "16-bit protected", "real", "virtual-8086"
const char* mode_name(emu::Machine& m, unsigned cpu);
std::string processor_text(emu::Machine& m, unsigned cpu, const hv::Symbols* symbols);
nlohmann::ordered_json processor_json(emu::Machine& m, unsigned cpu, const hv::Symbols* symbols);

}  // namespace vt::cli
