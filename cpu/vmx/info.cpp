// SPDX-License-Identifier: GPL-2.0-or-later
/// VM-exit instruction information, from the decoded form.
/// SDM 3C "Information for VM Exits Due to Instruction Execution"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

namespace {

/// Fields that all formats with a memory operand share: scaling 1:0, address size 9:7, segment 17:15, index 21:18 with its
/// invalid bit 22, base 26:23 with its invalid bit 27.
u32 memory_operand(const Insn& i) {
  u32 v = i.asz() << 7 | static_cast<u32>(i.seg & 7) << 15;
  v |= i.index < 16 ? i.scale() | static_cast<u32>(i.index) << 18 : 1u << 22;
  v |= i.rm < 16 ? static_cast<u32>(i.rm) << 23 : 1u << 27;
  return v;
}

}  // namespace

u32 info_io(const Insn& i) { return i.asz() << 7 | static_cast<u32>(i.seg & 7) << 15; }

u32 info_memory(const Insn& i) { return memory_operand(i); }

u32 info_memory_reg2(const Insn& i) { return memory_operand(i) | static_cast<u32>(i.reg & 15) << 28; }

u32 info_table(const Insn& i, unsigned which, bool code64) {
  if (which < 4) {
    // Bit 11, operand size: undefined in 64-bit mode, where we say 32 bits.
    return memory_operand(i) | (code64 || i.osz() != 0 ? 1u << 11 : 0) | (which & 3) << 28;
  }
  if (i.mem()) return memory_operand(i) | (which & 3) << 28;
  return static_cast<u32>(i.rm & 15) << 3 | 1u << 10 | (which & 3) << 28;
}

u32 info_random(const Insn& i) { return static_cast<u32>(i.rm & 15) << 3 | i.osz() << 11; }

u32 info_vmread_vmwrite(const Insn& i) {
  const u32 reg2 = static_cast<u32>(i.reg & 15) << 28;
  return i.mem() ? memory_operand(i) | reg2 : static_cast<u32>(i.rm & 15) << 3 | 1u << 10 | reg2;
}

u64 displacement(const Cpu& c, const Insn& i) {
  if (!i.mem()) return 0;
  const u64 d = static_cast<u64>(static_cast<i64>(i.disp));
  return i.rm == kRipReg ? c.r[kRipReg] + d : d;  // RIP-relative: the address itself
}

}  // namespace vt::cpu
