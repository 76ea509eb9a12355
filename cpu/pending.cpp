// SPDX-License-Identifier: GPL-2.0-or-later
/// Asynchronous events at an instruction boundary.   SDM 3A "Priority Among Simultaneous Exceptions and Interrupts"
#include "cpu/cpu.hpp"

namespace vt::cpu {
namespace {

bool shadowed(const Cpu& c) { return c.sti_shadow || c.movss_shadow; }

/// An interrupt that the processor sees on its INTR, whatever IF says.
bool intr(const Cpu& c, bool pic_line) { return c.apic.pending() >= 0 || (pic_line && c.apic.extint_enabled()); }

bool debug_traps(const Cpu& c) { return c.pending_debug != 0; }

/// SDM 3A "Typical BSP Initialization Sequence", "Typical AP Initialization Sequence": real-address mode at VV000H.
void start_up(Cpu& c) {
  c.sipi_pending = false;
  c.seg[CS].sel = static_cast<u16>(c.sipi_vector << 8);
  c.seg[CS].base = u64{c.sipi_vector} << 12;
  c.seg[CS].limit = 0xffff;
  c.rip = 0;
  c.activity = Activity::active;
  c.update();
}

}  // namespace

bool Cpu::pending() {
  if (non_root() && vmx_boundary(*this)) return --budget, true;

  // SDM 3C "VMX Operation": INIT is blocked in VMX root operation, and an exit in non-root operation.
  if (init_pending && !vmx.on) {
    // A SIPI that came behind it may be here already: the sender need not wait in between with an x2APIC.
    const bool sipi = sipi_pending;
    const u8 vector = sipi_vector;
    init_pending = false;
    reset(true);
    sipi_pending = sipi, sipi_vector = vector;
    return --budget, true;
  }
  if (activity == Activity::wait_for_sipi) {
    if (sipi_pending && !non_root()) {
      start_up(*this);
      return --budget, true;
    }
    attention = false;
    return false;
  }
  if (!non_root()) sipi_pending = false;  // only a processor that waits for it takes it
  if (activity == Activity::shutdown && !(nmi_pending && !nmi_blocked)) {  // SDM 3C "Guest Non-Register State": an NMI ends it
    attention = false;
    return false;
  }

  // Debug traps of the instruction before.   SDM 3B "Debug Exceptions", blocked by MOV SS
  if (debug_traps(*this) && !movss_shadow && activity != Activity::shutdown) {
    raise(DB);
    fault.qualification = pending_debug;
    pending_debug = 0;
    activity = Activity::active;
    const Paid paid(*this);
    deliver();
    return true;
  }

  if (nmi_pending && !nmi_blocked && !shadowed(*this) && !(non_root() && (vmx.pin & pin_ctl::nmi))) {
    nmi_pending = false;
    nmi_blocked = true;
    activity = Activity::active;
    const Paid paid(*this);
    vmx.idt_vectoring_info = 0x8000'0202;
    ++stats.interrupts;
    if (EventSink* e = out_.events()) e->on({EventKind::interrupt, static_cast<u16>(index_), step(), rip, NMI, 0, 0, 0});
    if (!deliver_event(NMI, false, 0, false, rip, true)) deliver();
    return true;
  }

  const bool to_hypervisor = non_root() && (vmx.pin & pin_ctl::external_interrupt);
  if ((flags & rflags::IF) && !shadowed(*this) && !to_hypervisor && intr(*this, pic_intr_)) {
    activity = Activity::active;
    const Paid paid(*this);
    const u8 vector = apic.pending() >= 0 ? apic.acknowledge() : out_.pic_acknowledge();
    vmx.idt_vectoring_info = 0x8000'0000 | vector;
    ++stats.interrupts;
    if (EventSink* e = out_.events()) e->on({EventKind::interrupt, static_cast<u16>(index_), step(), rip, vector, 0, 0, 0});
    if (!deliver_event(vector, false, 0, false, rip, true)) deliver();
    return true;
  }

  // SDM 3B "Instruction-Breakpoint Exception Condition": a fault, unless RF says that it has been taken.
  if ((dr[7] & 0xff) && !(flags & rflags::RF) && activity == Activity::active && !movss_shadow) {
    const u64 at = code64_now ? rip : static_cast<u32>(seg[CS].base + rip);
    u64 hit = 0;
    for (unsigned n = 0; n < 4; ++n)
      if ((dr[7] >> (2 * n) & 3) && (dr[7] >> (16 + 4 * n) & 3) == 0 && dr[n] == at) hit |= u64{1} << n;
    if (hit) {
      raise(DB);
      fault.qualification = hit;
      const Paid paid(*this);
      deliver();
      return true;
    }
  }

  // What waits for a shadow's end, an IRET or a VMX control keeps us looking; whoever sets IF asks for attention.
  attention = init_pending || nmi_pending || debug_traps(*this) || (dr[7] & 0xff) || (((flags & rflags::IF) || to_hypervisor) && intr(*this, pic_intr_)) ||
              (non_root() && ((vmx.proc & (proc_ctl::interrupt_window | proc_ctl::nmi_window)) || vmx.preemption_expired || vmx.tpr_below || vmx.mtf_pending));
  return false;
}

bool Cpu::idle() const {
  switch (activity) {
    case Activity::active: return false;
    case Activity::wait_for_sipi: return !(sipi_pending || (init_pending && !vmx.on));
    case Activity::shutdown: return !(non_root() && vmx.preemption_expired) && !(init_pending && (!vmx.on || non_root())) && !(non_root() && nmi_pending && !nmi_blocked);
    case Activity::hlt: break;
  }
  if (init_pending && (!vmx.on || non_root())) return false;
  if (pending_debug) return false;
  if (non_root()) {
    if (vmx.preemption_expired || vmx.tpr_below || vmx.mtf_pending) return false;
    if (intr(*this, pic_intr_) && (vmx.pin & pin_ctl::external_interrupt)) return false;
    if (nmi_pending && !nmi_blocked) return false;
    if ((vmx.proc & proc_ctl::interrupt_window) && (flags & rflags::IF)) return false;
    if ((vmx.proc & proc_ctl::nmi_window) && !vmx.virtual_nmi_blocked) return false;
    return !((flags & rflags::IF) && intr(*this, pic_intr_));
  }
  return !(nmi_pending && !nmi_blocked) && !((flags & rflags::IF) && intr(*this, pic_intr_));
}

}  // namespace vt::cpu
