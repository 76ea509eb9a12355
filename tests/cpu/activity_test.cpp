// SPDX-License-Identifier: GPL-2.0-or-later
/// Which events end which activity state.   SDM 3C "Activity State", "Other Causes of VM Exits", "VMX-Preemption Timer"; SDM 3A "Priority Among Concurrent Events"
#include <string>

#include "harness.hpp"
#include "vmx/vmcs.hpp"

namespace vt::cpu {
namespace {

enum Where { plain, root, guest };   // VMX off, VMX root operation, VMX non-root operation
struct Event { const char* name; void (*happens)(Cpu&); };
void interrupt(Cpu& c) {
  c.apic.write(0xf0, 0x1ff);
  ApicMessage m;
  m.vector = 0x40;
  c.apic.accept(m);
}
constexpr Event kEvents[] = {
    {"nothing", [](Cpu&) {}},
    {"INIT", [](Cpu& c) { c.init_pending = true; }},
    {"SIPI", [](Cpu& c) { c.sipi_pending = true; }},
    {"NMI", [](Cpu& c) { c.nmi_pending = true; }},
    {"NMI, blocked", [](Cpu& c) { c.nmi_pending = c.nmi_blocked = true; }},
    {"interrupt, IF", [](Cpu& c) { interrupt(c), c.flags |= rflags::IF; }},
    {"interrupt, no IF", interrupt},
    {"interrupt, no IF, exiting", [](Cpu& c) { interrupt(c), c.vmx.pin |= pin_ctl::external_interrupt; }},
    {"the preemption timer", [](Cpu& c) { c.vmx.preemption_expired = true; }},
    {"TPR below threshold", [](Cpu& c) { c.vmx.tpr_below = true; }},
    {"interrupt window, IF", [](Cpu& c) { c.vmx.proc |= proc_ctl::interrupt_window, c.flags |= rflags::IF; }},
    {"interrupt window, no IF", [](Cpu& c) { c.vmx.proc |= proc_ctl::interrupt_window; }},
    {"MTF", [](Cpu& c) { c.vmx.mtf_pending = true; }},
    {"NMI window", [](Cpu& c) { c.vmx.proc |= proc_ctl::nmi_window; }},
    {"NMI window, blocked", [](Cpu& c) { c.vmx.proc |= proc_ctl::nmi_window, c.vmx.virtual_nmi_blocked = true; }},
};
constexpr struct { Activity activity; Where where; const char* ends; } kRows[] = {
    {Activity::hlt, plain, "INIT|NMI|interrupt, IF"},
    {Activity::hlt, root, "NMI|interrupt, IF"},   // "INIT signals are blocked in VMX root operation"
    {Activity::hlt, guest, "INIT|NMI|interrupt, IF|interrupt, no IF, exiting|the preemption timer|TPR below threshold|interrupt window, IF|NMI window|MTF"},
    {Activity::shutdown, plain, "INIT"},
    {Activity::shutdown, root, ""},
    {Activity::shutdown, guest, "INIT|NMI|the preemption timer"},
    {Activity::wait_for_sipi, plain, "INIT|SIPI"},
    {Activity::wait_for_sipi, root, "SIPI"},
    {Activity::wait_for_sipi, guest, "SIPI"},
};

TEST(activity, what_ends_each_state) {
  for (auto& row : kRows)
    for (auto& event : kEvents) {
      TestMachine m;
      Cpu& c = *m.cpu;
      c.vmx.on = row.where != plain, c.vmx.non_root = row.where == guest;
      c.flags &= ~u64{rflags::IF};
      c.activity = row.activity;
      event.happens(c);
      const bool ends = std::string("|").append(row.ends).append("|").find(std::string("|").append(event.name).append("|")) != std::string::npos;
      EXPECT_EQ(c.idle(), !ends) << event.name << " in state " << static_cast<int>(row.activity) << " at " << row.where;
    }
}

TEST(activity, an_active_processor_is_never_idle) {
  TestMachine m;
  EXPECT_FALSE(m.cpu->idle());
}

}  // namespace
}  // namespace vt::cpu
