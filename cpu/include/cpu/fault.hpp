// SPDX-License-Identifier: GPL-2.0-or-later
/// Architectural faults as values. Whoever detects one fills `Cpu::fault` and returns false or Next::fault;
/// one function (Cpu::deliver, cpu/deliver.cpp) turns it into an exception, a VM exit or a shutdown.
#pragma once
#include "base/types.hpp"

namespace vt::cpu {

enum Vector : u8 { DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10, NP = 11, SS_ = 12, GP = 13, PF = 14, MF = 16, AC = 17, MC = 18, XM = 19, VE = 20 };

struct Fault {
  enum class Kind : u8 {
    none,
    exception,          ///< `vector`, `error` if `has_error`; #PF: `address` goes to CR2
    software,           ///< INT n, INT3, INTO (trap-like: return address is after the instruction)
    ept_violation,      ///< VM exit 48: `qualification`, `gpa`, `address` (guest linear)
    ept_misconfig,      ///< VM exit 49: `gpa`
    vm_exit,            ///< an instruction's own VM exit: `reason`, `qualification`, `info`
    careful,            ///< not a fault: do the instruction again, alone (device access, store into code)
    stopped,            ///< not a fault: `Stop` has been requested (Unsupported); the state stays at this instruction
  };
  Kind kind = Kind::none;
  u8 vector = 0;
  bool has_error = false;
  u8 software_type = 4;   ///< VMX interruption type of Kind::software: 4 INT n, 5 INT1, 6 INT3/INTO
  u32 error = 0;
  u64 address = 0;        ///< linear address
  u32 reason = 0;         ///< basic exit reason
  u64 qualification = 0;
  u64 gpa = 0;
  u32 info = 0;           ///< VM-exit instruction information
};

}  // namespace vt::cpu
