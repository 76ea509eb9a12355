// SPDX-License-Identifier: GPL-2.0-or-later
/// Who wants to know of calls, returns and certain places in the code, of accesses to certain pages, or of everything. Costs nothing
/// without an observer: instructions are marked when they are decoded, and accesses are told of where the host-pointer cache has no answer. It
/// must change nothing; it may ask the machine to stop.
#pragma once
#include "base/types.hpp"

namespace vt::cpu {

class Cpu;
struct Insn;

/// An access to memory by a processor, within one page. A write is told of before the bytes change, a read when they are known.
struct MemoryAccess {
  enum class Kind : u8 {
    read, write,
    table_read, table_write,   ///< by a walk, of an entry of paging structures or EPT; written: accessed and dirty flags
  };
  Kind kind = Kind::read;
  bool device = false;     ///< neither RAM nor ROM
  bool ept = false;        ///< table_*: whose entry it is
  u8 level = 0;            ///< table_*: of the entry
  u8 page_shift = 12;      ///< read, write: size of the translation that was used (of the smaller of the two under EPT)
  unsigned size = 0;       ///< bytes, up to 64
  u64 linear = 0;          ///< table_*: the address that is translated
  Hpa at;
  const void* value = nullptr;
};

class Observer {
 public:
  virtual ~Observer() = default;
  /// Before a near CALL in 64-bit mode. `slot`: linear address where the return address will stand. An instruction that faults, or
  /// that has to be done alone, is told of again.
  virtual void call(const Cpu& c, u64 slot, u64 return_address) = 0;
  /// Before a near RET in 64-bit mode.
  virtual void ret(const Cpu& c, u64 slot) = 0;
  /// Before the instruction at `rip`, if it is `probed`. True: it is not executed now; the observer has asked for a stop.
  virtual bool probe(const Cpu& c, u64 rip) = 0;
  /// Asked once when code is decoded. Where the answer changes, `Cpu::observe` has to be called again.
  virtual bool probed(u64 rip) const = 0;

  /// Accesses to pages with `page_flag::reads_watched`, each once, at its exact step (`Cpu::step`). Instructions that make one are done
  /// alone, so that one that is repeated tells nothing the first time. Not told of: VMCS contents and MSR areas of VM transitions.
  virtual void access(const Cpu&, const MemoryAccess&) {}
  /// A device reads such a page.
  virtual void device_read(Hpa, u64 /*size*/) {}

  /// Every step and every access, one by one. Asked once by `Cpu::observe`.
  virtual bool everything() const { return false; }
  /// With `everything`: before each step, more than once where none was made after all.
  virtual void boundary(const Cpu&) {}
  /// With `everything`: the step is the attempt to execute this instruction; else it delivers something, or its fetch faults.
  virtual void executes(const Cpu&, const Insn&) {}
};

}  // namespace vt::cpu
