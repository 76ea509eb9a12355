// SPDX-License-Identifier: GPL-2.0-or-later
/// Asynchronous VM exits at an instruction boundary.   SDM 3C "Other Causes of VM Exits", SDM 3A "Priority Among Concurrent Events"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

namespace {

bool interrupt_pending(Cpu& c) { return c.apic.pending() >= 0 || (c.apic.extint_enabled() && c.pic_asserted()); }

void external_interrupt(Cpu& c) {
  ExitInfo e{.reason = static_cast<u32>(ExitReason::external_interrupt)};
  if (c.vmx.exit & exit_ctl::ack_interrupt) {
    const u8 vector = c.apic.pending() >= 0 ? c.apic.acknowledge() : c.out().pic_acknowledge();
    e.intr_info = vector | intr_info::valid;
  }
  make_exit(c, e);
}

}  // namespace

bool vmx_boundary(Cpu& c) {
  const Vmx& v = c.vmx;
  // SDM 3C "Wait-for-SIPI": everything but a SIPI is blocked.
  if (c.activity == Activity::wait_for_sipi) {
    if (!c.sipi_pending) return false;
    c.sipi_pending = false;
    make_exit(c, {.reason = static_cast<u32>(ExitReason::sipi), .qualification = c.sipi_vector});
    return true;
  }
  const bool shutdown = c.activity == Activity::shutdown;
  // SDM 3C "TPR Virtualization": before INIT and all that follows.
  if (v.tpr_below && !shutdown) {
    c.vmx.tpr_below = false;
    make_exit(c, {.reason = static_cast<u32>(ExitReason::tpr_below_threshold)});
    return true;
  }
  c.sipi_pending = false;  // only a processor that waits for it takes it
  if (c.init_pending) {
    c.init_pending = false;
    make_exit(c, {.reason = static_cast<u32>(ExitReason::init)});
    return true;
  }
  // SDM 3C "Monitor Trap Flag": before debug traps and all that follows; it stays pending through a shutdown.
  if (v.mtf_pending && !shutdown) {
    make_exit(c, {.reason = static_cast<u32>(ExitReason::mtf)});
    return true;
  }
  // Debug exceptions of the last instruction come before everything below; Cpu::pending delivers them.
  if (c.pending_debug && !c.movss_shadow && !shutdown) return false;
  // SDM 3C "VMX-Preemption Timer": also out of HLT and shutdown, whatever is blocked.
  if (v.preemption_expired) {
    make_exit(c, {.reason = static_cast<u32>(ExitReason::preemption_timer)});
    return true;
  }
  if ((v.proc & proc_ctl::nmi_window) && !v.virtual_nmi_blocked && !c.movss_shadow) {
    make_exit(c, {.reason = static_cast<u32>(ExitReason::nmi_window)});
    return true;
  }
  if (c.nmi_pending && !c.nmi_blocked && !c.movss_shadow) {
    if (!(v.pin & pin_ctl::nmi)) return false;
    c.nmi_pending = false;
    make_exit(c, {.reason = static_cast<u32>(ExitReason::exception_nmi), .intr_info = NMI | intr_info::nmi << 8 | intr_info::valid, .event_directly = true});
    return true;
  }
  if (shutdown || c.sti_shadow || c.movss_shadow) return false;
  if ((v.proc & proc_ctl::interrupt_window) && (c.flags & rflags::IF)) {
    make_exit(c, {.reason = static_cast<u32>(ExitReason::interrupt_window)});
    return true;
  }
  // RFLAGS.IF does not matter while external interrupts exit.
  if ((v.pin & pin_ctl::external_interrupt) && interrupt_pending(c)) {
    external_interrupt(c);
    return true;
  }
  return false;
}

}  // namespace vt::cpu
