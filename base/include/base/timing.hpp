// SPDX-License-Identifier: GPL-2.0-or-later
/// Parameters of the timing models: plain data that firmware/ reads from JSON (timing/*.json, with each value's origin), and the processors, the
/// VT-d units and the bus are built with. Latencies are core cycles from issue to use, sizes bytes, costs cycles that are added.
#pragma once
#include <array>
#include <string>

#include "base/types.hpp"

namespace vt::timing {

/// flat: a constant per step. events: a cost per instruction from its class, and what caches, TLBs, predictor and VMX add. core: a
/// scoreboard of micro-operations with the same events.
enum class Model : u8 { flat, events, core };

/// What an instruction does for a living; cpu/timing/classes.cpp gives every row one. Loads and stores of its operands come on top.
enum class OpClass : u8 {
  nop,            ///< NOP, prefetches, ENDBR: a slot, no port
  move,           ///< MOV between registers: eliminated at rename where the profile says so
  alu,            ///< ADD, AND, CMP, INC, MOVZX ...
  load,           ///< MOV from memory, POP: the access alone
  store,          ///< MOV to memory, PUSH: the access alone
  lea,            ///< one or two of base, index, displacement, unscaled
  lea_scaled,     ///< two of them, or one, and the index is scaled
  lea_slow, lea_slow_scaled,   ///< three of them
  cmov, setcc, adc, shift, shift_cl, rotate_carry, shift_double, bswap, bswap64, xchg, bit_test, bit_scan, popcnt, mul, mul64, div32, div64, div8, bmi, pdep, crc32,
  branch,         ///< JMP, Jcc
  call, ret, loop_,
  string,         ///< one iteration of MOVS, STOS, LODS, CMPS, SCAS
  string_start,   ///< the first one of a repetition
  flags_,         ///< PUSHF, POPF, LAHF, CLD ...
  enter_leave, cmpxchg, xadd, bcd,
  lock,           ///< added by a LOCK prefix or XCHG with memory
  fp_move, fp_add, fp_mul, fp_div_s, fp_div_d, fp_sqrt_s, fp_sqrt_d, fp_fma, fp_cmp, fp_convert, fp_round, fp_hadd, fp_approx,
  vec_move, vec_logic, vec_add, vec_mul, vec_mul32, vec_shift, vec_shuffle, vec_blend, vec_cmp, movd, vec_movmsk, vec_extract, vec_insert, vec_sad, vec_gather, vec_string, vec_mask_move,
  aes, pclmul, sha, x87_move, x87_add, x87_mul, x87_div, x87_sqrt, x87_trans, x87_control, x87_load_store80, emms, fxsave, xsave,
  lfence, mfence, sfence, clflush, pause, cpuid, rdtsc, rdmsr, wrmsr, rdrand, in_out, system_read,   ///< system_read: SMSW, SGDT, RDPID, XGETBV
  mov_cr, mov_dr, load_table,                                                                      ///< LGDT, LIDT, LLDT, LTR, XSETBV
  segment_load, far_transfer, iret, software_interrupt, syscall, sysret, invlpg, invpcid, hlt, wbinvd, swapgs,
  vmread, vmwrite, vmptrld, vmptrst, vmclear, vmxon, vmlaunch, vmresume, vmcall, invept, invvpid,
  count_
};

/// Execution ports of the `core` model, as a mask; 0: none (eliminated).
struct OpCost {
  u16 uops = 1;         ///< slots of the front end
  u16 latency = 1;      ///< from its operands to its result
  u16 ports = 0;        ///< mask of ports that its (first) micro-operation may go to
  u16 busy = 1;         ///< cycles that the port is taken: 1 if fully pipelined
  u16 serialize = 0;    ///< 1: waits for all before it, and all after it wait
};

struct Cache { u64 size; unsigned ways; unsigned latency; };     ///< lines of 64 bytes; sets must come out as a power of two
struct TlbShape { unsigned entries, ways; };                     ///< sets a power of two; 0 entries: none

struct Profile {
  std::string name;
  unsigned mhz;                       ///< core clock; the TSC's, unless the platform says otherwise
  Cache l1i, l1d, l2, llc;            ///< LLC: shared by all processors and devices
  unsigned dram;                      ///< latency of what misses the LLC, in all
  unsigned exposed_percent;           ///< `events`: how much of a data miss's latency is not hidden

  TlbShape itlb_4k, itlb_2m, dtlb_4k, dtlb_2m, dtlb_1g, stlb, stlb_1g;   ///< stlb: 4 KiB and 2 MiB entries together
  unsigned stlb_hit;                  ///< added by a first-level miss
  unsigned walk_start;                ///< added by a walk besides its references
  unsigned pml4_entries, pdpt_entries, pde_entries;   ///< paging-structure caches, fully associative; 0: none
  unsigned nested_entries;            ///< guest-physical to host-physical (4 KiB granules), fully associative

  unsigned history_bits, predictor_log2, btb_entries, btb_ways, return_stack, mispredict;   ///< mispredict: cycles until the right path issues

  unsigned width, retire_width, rob, load_buffer, store_buffer;     ///< `core`: slots a cycle, entries
  unsigned ports_load, ports_store_address, ports_store_data;       ///< masks
  unsigned forward;                   ///< store to load, in all
  unsigned forward_slow;              ///< the same of more than 8 bytes, across a line's end, or what adds a register to memory
  unsigned forward_blocked;           ///< added, once the store is in the cache, where a load needs more than the store has
  bool eliminate_constants;           ///< adding a constant to a register costs a slot alone
  bool eliminate_moves, eliminate_zero_idioms, fuse_compare_branch, rename_memory;   ///< rename_memory: a load of what was just stored at the same address costs none, if it is one of ModRM's and no register is added to it
  unsigned string_bytes_per_cycle;    ///< fast string operations

  unsigned interrupt, exception;      ///< delivery through the IDT
  unsigned vm_entry, vm_exit;         ///< besides VMLAUNCH and VMRESUME themselves
  unsigned vmcs_cold;                 ///< added to the first VMREAD, VMWRITE or entry of a VMCS after VMPTRLD
  unsigned port_io, mmio;             ///< an access that a device answers
  unsigned apic_mmio;                 ///< of the local APIC's page

  unsigned iotlb_hit, vtd_walk_start, dma_bytes_per_cycle;          ///< VT-d, seen from the device; walks' references cost LLC or DRAM latency
  std::array<OpCost, static_cast<std::size_t>(OpClass::count_)> op;
};

struct Timing {
  Model model = Model::flat;
  Profile profile{};
};

}  // namespace vt::timing
