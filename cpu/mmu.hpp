// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory accesses that are not plain loads and stores at the current privilege level: for deliver.cpp, far.cpp
/// and the system instructions.
#pragma once
#include "cpu/cpu.hpp"
#include "cpu/inspect.hpp"
#include "cpu/paging.hpp"

namespace vt::cpu {

/// Whose access it is.   SDM 3A "Access Rights"
struct As {
  bool user = false;      ///< user-mode access
  bool implicit = false;  ///< implicit supervisor access (descriptor tables, TSS): SMAP ignores EFLAGS.AC
  bool wide = false;      ///< the address is 64 bits wide (64-bit mode; system tables whenever IA32_EFER.LMA)
  u8 seg = DS;            ///< SS: non-canonical addresses raise #SS
};

/// Reads or writes up to 64 bytes at a linear address; both pages are checked before anything is written.
/// False: the fault is recorded.
bool read_as(Cpu& c, u64 la, void* to, unsigned size, As as);
bool write_as(Cpu& c, u64 la, const void* from, unsigned size, As as);
/// The instruction is done again, alone: what it has found so far is forgotten. Always false.
bool do_again_alone(Cpu& c);
/// Faults as the write would, without effect.
bool check_write_as(Cpu& c, u64 la, unsigned size, As as);

/// PAE paging: reads and checks the four PDPTEs that `cr3` points to, as control register writes do. False: #GP(0), or an EPT
/// violation or misconfiguration, is recorded. Nothing is loaded before all four are good.   SDM 3A "PDPTE Registers"
bool load_pdptes(Cpu& c, u64 cr3, u64 (&to)[4]);

/// Memory types.   SDM 3A "Memory Cache Control"; mtrr.cpp
MemType mtrr_type(const Cpu& c, Hpa at);
MemType combine_types(MemType mtrr, MemType pat);

}  // namespace vt::cpu
