// SPDX-License-Identifier: GPL-2.0-or-later
/// The virtual-APIC page and the APIC-access page, with the task priority as the only register that is virtualized.
/// SDM 3C "APIC Virtualization and Virtual Interrupts"
#include "cpu/block.hpp"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

namespace {

constexpr u64 kTpr = 0x80;

void exit_for_access(Cpu& c, u64 qualification, u32 length) {
  c.fault = {};
  c.fault.kind = Fault::Kind::vm_exit;
  c.fault.reason = static_cast<u32>(ExitReason::apic_access);
  c.fault.qualification = qualification;
  c.fault.error = length;
}

bool delivering(const Cpu& c) { return c.vmx.idt_vectoring_info & intr_info::valid; }

}  // namespace

u32 vtpr(const PhysMem& mem, u64 virtual_apic) {
  const bool page = !(virtual_apic & ~kPageMask) && !(virtual_apic >> 52);
  return page ? mem.peek32(Hpa{virtual_apic + kTpr}) : 0;
}

u8 virtual_tpr(Cpu& c) { return static_cast<u8>(vtpr(c.memory(), c.vmx.virtual_apic)); }

void set_virtual_tpr(Cpu& c, u8 value) {
  c.memory().poke32(Hpa{c.vmx.virtual_apic + kTpr}, value, WriteCause::vmcs);
  if (value >> 4 < static_cast<int>(c.vmx.tpr_threshold)) c.vmx.tpr_below = true, c.want_attention();
}

void enter_virtual_apic(Cpu& c) {
  const Vmx& v = c.vmx;
  const bool both = (v.proc & proc_ctl::tpr_shadow) && (v.proc2 & proc2_ctl::apic_access);
  // The exit comes after an injected event; a processor that enters shutdown or wait-for-SIPI has it when it leaves the one, never in the other.
  c.vmx.tpr_below = both && c.activity != Activity::wait_for_sipi && v.tpr_threshold > static_cast<u32>(virtual_tpr(c) >> 4);
}

bool on_apic_access_page(const Cpu& c, Hpa at) { return c.vmx.non_root && (at.v & kPageMask) == c.vmx.apic_access; }

bool apic_access_virtualized(Cpu& c, Hpa at, unsigned size, Access want) {
  const u64 offset = at.v & ~kPageMask;
  if ((c.vmx.proc & proc_ctl::tpr_shadow) && !want.x() && size <= 4) {
    // "Virtualizing Reads from the APIC-Access Page", "Virtualizing Writes to the APIC-Access Page"
    if (want.w() ? offset == kTpr : offset >= kTpr && offset + size <= kTpr + 4) return true;
  }
  // "Exit Qualification for APIC-Access VM Exits": bits 15:12 read, write, fetch, during event delivery. The manual leaves the length of
  // the instruction undefined; silicon gives it, and hypervisors rely on that. The access is made by an instruction that is alone in its block.
  const u64 type = delivering(c) ? 3 : want.x() ? 2 : want.w() ? 1 : 0;
  exit_for_access(c, offset | type << 12, type < 2 && c.block ? c.block->insns[0].len : 0);
  return false;
}

void apic_access_physical(Cpu& c) { exit_for_access(c, u64{delivering(c) ? 10u : 15u} << 12, 0); }

}  // namespace vt::cpu
