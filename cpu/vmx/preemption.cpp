// SPDX-License-Identifier: GPL-2.0-or-later
/// The VMX-preemption timer.   SDM 3C "VMX-Preemption Timer"
#include <algorithm>

#include "vmx/vmcs.hpp"

namespace vt::cpu {

namespace {

/// The TSC as it counts, whatever software has written to it.
u64 counter(const Cpu& c) { return c.tsc() - c.msr.tsc_offset; }

}  // namespace

void start_preemption_timer(Cpu& c, u32 value) {
  Vmx& v = c.vmx;
  v.preemption_end = (counter(c) >> kPreemptionShift) + value;
  v.preemption_expired = value == 0;
  if (value == 0) return;
  const u64 hz = c.model().tsc_hz;
  const u128 cycle = (static_cast<u128>(v.preemption_end << kPreemptionShift) * 1'000'000'000u + hz - 1) / hz;
  c.leave_run = true;
  c.out().arm_preemption_timer(c.index(), std::max(static_cast<u64>(cycle), c.now() + 1));
}

u32 stop_preemption_timer(Cpu& c) {
  Vmx& v = c.vmx;
  const u64 now = counter(c) >> kPreemptionShift;
  const u32 left = v.preemption_expired || now >= v.preemption_end ? 0 : static_cast<u32>(v.preemption_end - now);
  v.preemption_expired = false;
  c.leave_run = true;
  c.out().arm_preemption_timer(c.index(), ~u64{0});
  return left;
}

}  // namespace vt::cpu
