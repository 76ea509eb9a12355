// SPDX-License-Identifier: GPL-2.0-or-later
/// Model-specific registers: one table.   SDM 4 "Architectural MSRs"
#pragma once
#include <span>

#include "cpu/model.hpp"

namespace vt::cpu {

class Cpu;

struct MsrRow {
  u32 first, last;      ///< a range shares its functions
  const char* name;
  Feature feature;      ///< without it, the MSR does not exist
  bool (*read)(Cpu&, u32 msr, u64& value);
  bool (*write)(Cpu&, u32 msr, u64 value);  ///< null: read-only
};
/// Sorted by address, disjoint.
std::span<const MsrRow> msr_rows();

/// False: #GP(0). Without privilege checks and intercepts: RDMSR, WRMSR and the MSR areas of VMX use these.
bool read_msr(Cpu& c, u32 msr, u64& value);
bool write_msr(Cpu& c, u32 msr, u64 value);

}  // namespace vt::cpu
