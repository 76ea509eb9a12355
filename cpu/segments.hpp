// SPDX-License-Identifier: GPL-2.0-or-later
/// Descriptors, selectors and stacks of other privilege levels: what far.cpp, deliver.cpp and the system instructions share.
#pragma once
#include "cpu/cpu.hpp"
#include "mmu.hpp"

namespace vt::cpu {

/// A segment or system descriptor, or a gate.   SDM 3A "Segment Descriptors", "System Descriptor Types", "Call Gates", "IDT Descriptors"
struct Descriptor {
  u64 lo = 0, hi = 0;  ///< hi: the second eight bytes of 16-byte descriptors
  u64 at = 0;          ///< linear address it was read from
  unsigned type() const { return static_cast<unsigned>(bits(lo, 43, 40)); }
  bool s() const { return bit(lo, 44); }
  unsigned dpl() const { return static_cast<unsigned>(bits(lo, 46, 45)); }
  bool present() const { return bit(lo, 47); }
  bool l() const { return bit(lo, 53); }
  bool db() const { return bit(lo, 54); }
  bool code() const { return s() && bit(lo, 43); }
  bool conforming() const { return bit(lo, 42); }
  bool readable_code() const { return bit(lo, 41); }
  bool data() const { return s() && !bit(lo, 43); }
  bool writable_data() const { return data() && bit(lo, 41); }
  u32 ar() const { return static_cast<u32>(lo >> 40) & 0xf0ff; }
  u64 base() const { return bits(lo, 39, 16) | bits(lo, 63, 56) << 24 | (s() ? 0 : hi << 32); }
  u32 limit() const {
    const u32 v = static_cast<u32>(bits(lo, 15, 0) | bits(lo, 51, 48) << 16);
    return bit(lo, 55) ? v << 12 | 0xfff : v;
  }
  // gates
  u16 gate_selector() const { return static_cast<u16>(lo >> 16); }
  u32 gate_offset32() const { return static_cast<u32>(bits(lo, 15, 0) | bits(lo, 63, 48) << 16); }
  u64 gate_offset64() const { return gate_offset32() | hi << 32; }
  unsigned gate_ist() const { return static_cast<unsigned>(bits(lo, 34, 32)); }
  unsigned gate_parameters() const { return static_cast<unsigned>(bits(lo, 36, 32)); }
};

namespace system_type {
inline constexpr unsigned tss16 = 1, ldt = 2, tss16_busy = 3, call16 = 4, task_gate = 5, interrupt16 = 6, trap16 = 7, tss = 9, tss_busy = 11, call = 12, interrupt = 14,
                          trap = 15;
}

constexpr bool null_selector(u16 s) { return (s & 0xfffc) == 0; }
constexpr u32 selector_error(u16 s, u32 ext = 0) { return (s & 0xfffcu) | ext; }
Segment make_segment(u16 sel, const Descriptor& d);
/// Unusable with the privilege level that SS has to carry.
Segment null_segment(u16 sel, unsigned dpl);

/// Reads the descriptor that `sel` (not null) names. Beyond its table: `vector`(sel). Any other fault is the memory access's.
bool read_descriptor(Cpu& c, u16 sel, u8 vector, u32 ext, Descriptor& d);
/// IA-32e mode: the upper half of a call gate, LDT or TSS descriptor, with its checks.
bool read_upper(Cpu& c, u16 sel, u8 vector, u32 ext, Descriptor& d);
/// Sets the accessed bit in memory and in `d`.
bool set_accessed(Cpu& c, Descriptor& d);

/// Is [offset, offset + size) inside?
bool within(const Segment& g, u64 offset, unsigned size);

/// A stack that is not (yet) the current one.
struct Stack {
  Segment ss;
  u64 sp = 0;
  bool wide = false;   ///< 64-bit stack: no limit, no base
  bool user = false;
  u32 error = 0;       ///< error code of #SS
  u64 masked(u64 v) const { return wide ? v : ss.db() ? static_cast<u32>(v) : static_cast<u16>(v); }
};
/// Pushes values[0], values[1] ... each `width` bytes; nothing is written unless all can be. On success `stack.sp` has moved.
bool push_all(Cpu& c, Stack& stack, const u64* values, unsigned n, unsigned width);
/// The stack for privilege level `dpl` from the TSS, with the checks of inter-privilege transfers. Legacy modes.
bool stack_from_tss(Cpu& c, unsigned dpl, u32 ext, Stack& stack);
/// IA-32e mode: RSPn (`index` = n) or ISTn (`index` = n + 3) from the TSS.
bool rsp_from_tss(Cpu& c, unsigned index, u32 ext, u64& rsp);
/// Makes it the current stack. The pointer is written as wide as the stack is.
void use_stack(Cpu& c, const Stack& stack);

/// RFLAGS bits that an IRET or POPF of this width may change at the present privilege level.
u64 changeable_flags(const Cpu& c, unsigned osz);
/// After a return to an outer level: data segments that it may not use become null.   SDM 2 "RET", "IRET"
void drop_inner_segments(Cpu& c);

/// A hardware task switch, task.cpp.
struct TaskSwitch {
  enum Source : u8 { call = 0, iret = 1, jump = 2, gate = 3 };  ///< as VM exits number them; gate: in the IDT
  u16 selector;             ///< of the new TSS
  Source source;
  u32 ext = 0;              ///< EXT of error codes
  u64 return_ip = 0;        ///< what the old task goes on with
  bool has_error = false;   ///< the event has an error code for the new stack
  u32 error = 0;
  unsigned length = 0;      ///< of the instruction, for a VM exit
};
/// With all checks behind those of the gate's or descriptor's privilege; in VMX non-root operation a VM exit. True: `rip` and `target` are the new
/// task's. False: the fault is recorded; with `committed` it is the new task's, before its first instruction.
bool switch_task(Cpu& c, const TaskSwitch& t, bool& committed);

}  // namespace vt::cpu
