// SPDX-License-Identifier: GPL-2.0-or-later
/// What the files of system instructions share.
#pragma once
#include <algorithm>

#include "cpu/rows.hpp"

namespace vt::cpu {

/// MOV to CR0, CR3, CR4 with all checks and consequences, VMX's guest/host masks applied. False: #GP(0), or a fault of reading
/// the PDPTEs, is recorded; nothing has changed.
bool write_cr0(Cpu& c, u64 v);
bool write_cr3(Cpu& c, u64 v);
bool write_cr4(Cpu& c, u64 v);
/// CR4 bits that the model offers.
u64 cr4_offered(const CpuModel& m);

std::span<const Def> control_rows();  ///< insn/control.cpp: control and debug registers, invalidation
std::span<const Def> table_rows();    ///< insn/tables.cpp: descriptor tables and selectors
std::span<const Def> syscall_rows();  ///< insn/syscall.cpp: fast system calls, FS and GS bases

}  // namespace vt::cpu
