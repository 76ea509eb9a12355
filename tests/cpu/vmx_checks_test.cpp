// SPDX-License-Identifier: GPL-2.0-or-later
/// One bad field at a time, and what VM entry says of it.   SDM 3C "VM Entries"
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "../tested.hpp"
#include "vmx_entry.hpp"

namespace vt::cpu {
namespace {

struct Case { const char* expected; std::function<void(Entry&)> change; };

using Cases = std::vector<Case>;
void all(const Cases& cases) {
  int n = 0;
  for (const Case& c : cases) {
    Entry s;
    c.change(s);
    EXPECT_EQ(s.entry(), c.expected) << "case " << n;
    tested("VM-entry check", c.expected);
    ++n;
  }
}

Cases good_states_enter() {
  return {
      {"enters", [](Entry&) {}},
      {"enters", [](Entry& s) { s.long_guest(); }},
      {"enters", [](Entry& s) { s.v86(); }},
      {"enters", [](Entry& s) { s.restricted(); }},
      // real-address mode of an unrestricted guest
      {"enters", [](Entry& s) { s.g.cr0 = s.x.guest_cr0 = 0x30; for (auto& q : s.g.seg) q = {0xf0000, 0xffff, 0x93, 0xf000}; s.g.rip = 0xfff0; }},
      {"enters", [](Entry& s) { s.g.seg[CS].ar = 0xc093; }},                                       // CS of type 3
      {"enters", [](Entry& s) { s.g.seg[DS] = {~u64{0} >> 8, 0, 0x10000, 0xffff}; }},                // unusable: not looked at
      {"enters", [](Entry& s) { s.g.cr0 = 0x6000'0031; }},                                         // NW and CD are not checked
      {"enters", [](Entry& s) { s.x.pin = 0x16; s.x.proc = 0x0400'6172; s.x.proc2 = 0; s.g.cr0 = s.x.guest_cr0 = 0x8000'0031; s.x.io_bitmap_a = 1; }},
  };
}
TEST(vmx_checks, good_states_enter) { all(good_states_enter()); }

// SDM 3C "VM-Execution Control Fields"
Cases execution_controls() {
  return {
      {"7 pin-based controls: reserved bits", [](Entry& s) { s.x.pin &= ~2u; }},
      {"7 pin-based controls: reserved bits", [](Entry& s) { s.x.pin |= 1u << 7; }},
      {"7 primary processor-based controls: reserved bits", [](Entry& s) { s.x.proc |= 1u << 17; }},
      {"7 primary processor-based controls: reserved bits", [](Entry& s) { s.x.proc &= ~2u; }},
      {"7 secondary processor-based controls: reserved bits", [](Entry& s) { s.x.proc2 |= 1u << 8; }},
      {"7 virtual-APIC address", [](Entry& s) { s.x.proc |= proc_ctl::tpr_shadow; s.x.virtual_apic = 0x6800; }},
      {"7 virtual-APIC address", [](Entry& s) { s.x.proc |= proc_ctl::tpr_shadow; s.x.virtual_apic = u64{1} << 46; }},
      {"7 TPR threshold: reserved bits", [](Entry& s) { s.x.proc |= proc_ctl::tpr_shadow; s.x.virtual_apic = 0x6000; s.x.tpr_threshold = 0x10; }},
      {"7 TPR threshold above VTPR", [](Entry& s) { s.x.proc |= proc_ctl::tpr_shadow; s.x.virtual_apic = 0x6000; s.x.tpr_threshold = 5; s.x.vtpr = 0x4f; }},
      {"enters", [](Entry& s) { s.x.proc |= proc_ctl::tpr_shadow; s.x.virtual_apic = 0x6000; s.x.tpr_threshold = 4; s.x.vtpr = 0x4f; }},
      {"enters", [](Entry& s) { s.x.proc |= proc_ctl::tpr_shadow; s.x.proc2 |= proc2_ctl::apic_access; s.x.tpr_threshold = 4; }},  // an exit follows instead
      {"7 virtualize x2APIC mode without use TPR shadow", [](Entry& s) { s.x.proc2 |= proc2_ctl::x2apic; }},
      {"7 APIC-access address", [](Entry& s) { s.x.proc2 |= proc2_ctl::apic_access; s.x.apic_access = 0x7010; }},
      {"7 virtualize x2APIC mode with virtualize APIC accesses", [](Entry& s) { s.x.proc |= proc_ctl::tpr_shadow; s.x.proc2 |= proc2_ctl::x2apic | proc2_ctl::apic_access; }},
      {"7 CR3-target count", [](Entry& s) { s.x.cr3_target_count = 5; }},
      {"7 I/O-bitmap addresses", [](Entry& s) { s.x.io_bitmap_b = 0x2001; }},
      {"7 I/O-bitmap addresses", [](Entry& s) { s.x.io_bitmap_a = u64{1} << 46; }},
      {"7 MSR-bitmap address", [](Entry& s) { s.x.msr_bitmap = 0x800; }},
      {"7 virtual NMIs without NMI exiting", [](Entry& s) { s.x.pin &= ~pin_ctl::nmi; }},
      {"7 NMI-window exiting without virtual NMIs", [](Entry& s) { s.x.pin &= ~pin_ctl::virtual_nmis; s.x.proc |= proc_ctl::nmi_window; }},
      {"7 VPID is 0", [](Entry& s) { s.x.vpid = 0; }},
      {"7 EPT pointer", [](Entry& s) { s.x.eptp = 0x4000 | 0x1f; }},
      {"7 EPT pointer", [](Entry& s) { s.x.eptp = 0x4000 | 0x16; }},
      {"7 unrestricted guest without EPT", [](Entry& s) { s.x.proc2 &= ~proc2_ctl::ept; }},
  };
}
TEST(vmx_checks, execution_controls) { all(execution_controls()); }

// SDM 3C "VM-Exit Control Fields", "VM-Entry Control Fields"
Cases exit_and_entry_controls() {
  return {
      {"7 VM-exit controls: reserved bits", [](Entry& s) { s.x.exit &= ~1u; }},
      {"7 save VMX-preemption timer value without the timer", [](Entry& s) { s.x.exit |= exit_ctl::save_preemption_timer; }},
      {"enters", [](Entry& s) { s.x.exit |= exit_ctl::save_preemption_timer; s.x.pin |= pin_ctl::preemption_timer; }},
      {"7 VM-exit controls: reserved bits", [](Entry& s) { s.x.exit |= 1u << 12; }},
      {"7 VM-exit MSR-store area", [](Entry& s) { s.x.exit_store_count = 1; s.x.exit_store_addr = 8; }},
      {"7 VM-exit MSR-load area", [](Entry& s) { s.x.exit_load_count = 2; s.x.exit_load_addr = (u64{1} << 46) - 16; }},
      {"enters", [](Entry& s) { s.x.exit_load_count = 1; s.x.exit_load_addr = (u64{1} << 46) - 16; }},
      {"enters", [](Entry& s) { s.x.exit_load_addr = 3; }},
      {"7 VM-entry controls: reserved bits", [](Entry& s) { s.x.entry |= 1u << 13; }},
      {"7 VM-entry MSR-load area", [](Entry& s) { s.x.entry_load_count = 0xffff'ffff; s.x.entry_load_addr = (u64{1} << 46) - 32; }},
  };
}
TEST(vmx_checks, exit_and_entry_controls) { all(exit_and_entry_controls()); }

// SDM 3C "VM-Entry Controls for Event Injection"
Cases event_injection() {
  return {
      {"7 interruption type", [](Entry& s) { s.inject(0x120); }},
      {"enters", [](Entry& s) { s.inject(0x700); }},                                          // a pending MTF VM exit
      {"7 other event with a vector other than 0", [](Entry& s) { s.inject(0x701); }},
      {"7 deliver-error-code bit", [](Entry& s) { s.inject(0xf00); }},
      {"7 NMI with a vector other than 2", [](Entry& s) { s.inject(0x203); }},
      {"7 hardware exception with a vector above 31", [](Entry& s) { s.inject(0x320); }},
      {"7 deliver-error-code bit", [](Entry& s) { s.inject(0x30d); }},                      // #GP without its code
      {"7 deliver-error-code bit", [](Entry& s) { s.inject(0xb06); }},                      // #UD with one
      {"7 deliver-error-code bit", [](Entry& s) { s.inject(0x820); }},                      // external interrupt with one
      {"7 deliver-error-code bit", [](Entry& s) { s.inject(0xb0d); s.g.cr0 = s.x.guest_cr0 = 0x30; }},
      {"enters", [](Entry& s) { s.inject(0xb0d); }},
      {"enters", [](Entry& s) { s.inject(0xb0e); s.x.intr_error = 0xffff; }},
      {"7 exception error code", [](Entry& s) { s.inject(0xb0e); s.x.intr_error = 0x10000; }},
      {"7 reserved bits of the interruption information", [](Entry& s) { s.inject(0x1306); }},
      {"7 instruction length", [](Entry& s) { s.inject(0x480); }},
      {"7 instruction length", [](Entry& s) { s.inject(0x603); s.x.intr_length = 16; }},
      {"enters", [](Entry& s) { s.inject(0x480); s.x.intr_length = 2; }},
      {"enters", [](Entry& s) { s.inject(0x501); s.x.intr_length = 1; }},
      {"enters", [](Entry& s) { s.x.intr_info = 0x7fff'ffff; }},                            // not valid: not looked at
  };
}
TEST(vmx_checks, event_injection) { all(event_injection()); }

// SDM 3C "Checks on the Host State Area"
Cases host_state() {
  return {
      {"8 CR0", [](Entry& s) { s.h.cr0 &= ~cr0::NE; }},
      {"8 CR0", [](Entry& s) { s.h.cr0 |= u64{1} << 32; }},
      {"8 CR4", [](Entry& s) { s.h.cr4 &= ~cr4::VMXE; }},
      {"8 CR4", [](Entry& s) { s.h.cr4 |= cr4::LA57; }},
      {"8 CR3", [](Entry& s) { s.h.cr3 = u64{1} << 46; }},
      {"8 IA32_SYSENTER_ESP or IA32_SYSENTER_EIP", [](Entry& s) { s.h.sysenter_eip = u64{1} << 47; }},
      {"8 IA32_PAT", [](Entry& s) { s.h.pat = 2; }},
      {"8 IA32_PAT", [](Entry& s) { s.h.pat = u64{8} << 56; }},
      {"enters", [](Entry& s) { s.h.pat = 2; s.x.exit &= ~exit_ctl::load_pat; }},
      {"8 IA32_EFER: reserved bits", [](Entry& s) { s.h.efer |= 2; }},
      {"8 IA32_EFER: LMA and LME", [](Entry& s) { s.h.efer &= ~efer::LME; }},
      {"8 selector with RPL or TI", [](Entry& s) { s.h.sel[DS] = 3; }},
      {"8 selector with RPL or TI", [](Entry& s) { s.h.sel[6] = 0x44; }},
      {"8 CS selector is 0", [](Entry& s) { s.h.sel[CS] = 0; }},
      {"8 TR selector is 0", [](Entry& s) { s.h.sel[6] = 0; }},
      {"8 base address not canonical", [](Entry& s) { s.h.gs_base = u64{1} << 63; }},
      {"8 base address not canonical", [](Entry& s) { s.h.idtr_base = u64{1} << 47; }},
      {"8 host address-space size in IA-32e mode", [](Entry& s) { s.x.exit &= ~(exit_ctl::host_64 | exit_ctl::load_efer); s.h.sel[SS] = 8; }},
      {"8 64-bit guest or host outside IA-32e mode", [](Entry& s) { s.lma = false; }},
      {"8 CR4.PAE of a 64-bit host", [](Entry& s) { s.h.cr4 &= ~cr4::PAE; }},
      {"8 RIP", [](Entry& s) { s.h.rip = u64{1} << 47; }},
      {"8 CR0", [](Entry& s) { s.h.cr0 &= ~cr0::PE; }},
      {"8 CR0", [](Entry& s) { s.h.cr0 &= ~cr0::PG; }},
      {"8 CR3", [](Entry& s) { s.h.cr3 |= u64{1} << 63; }},
      {"8 IA32_SYSENTER_ESP or IA32_SYSENTER_EIP", [](Entry& s) { s.h.sysenter_esp = u64{1} << 47; }},
      {"8 IA32_EFER: LMA and LME", [](Entry& s) { s.h.efer &= ~efer::LMA; }},
      {"8 IA32_PAT", [](Entry& s) { s.h.pat = u64{3} << 8; }},
      {"8 selector with RPL or TI", [](Entry& s) { s.h.sel[ES] = 1; }},
      {"8 selector with RPL or TI", [](Entry& s) { s.h.sel[CS] = 0xc; }},
      {"8 selector with RPL or TI", [](Entry& s) { s.h.sel[SS] = 2; }},
      {"8 selector with RPL or TI", [](Entry& s) { s.h.sel[FS] = 4; }},
      {"8 selector with RPL or TI", [](Entry& s) { s.h.sel[GS] = 3; }},
      {"8 base address not canonical", [](Entry& s) { s.h.fs_base = u64{1} << 47; }},
      {"8 base address not canonical", [](Entry& s) { s.h.gdtr_base = u64{1} << 47; }},
      {"8 base address not canonical", [](Entry& s) { s.h.tr_base = u64{1} << 47; }},
      {"8 64-bit guest or host outside IA-32e mode", [](Entry& s) { s.long_guest(); s.lma = false; s.x.exit &= ~(exit_ctl::host_64 | exit_ctl::load_efer); s.h.sel[SS] = 8; }},
      {"8 CR4.PCIDE of a 32-bit host", [](Entry& s) { s.lma = false; s.x.exit &= ~(exit_ctl::host_64 | exit_ctl::load_efer); s.h.sel[SS] = 8; s.h.rip = 0x1000; s.h.cr4 |= cr4::PCIDE; }},
      {"8 SS selector is 0", [](Entry& s) { s.lma = false; s.x.exit &= ~(exit_ctl::host_64 | exit_ctl::load_efer); }},
      {"8 RIP of a 32-bit host", [](Entry& s) { s.lma = false; s.x.exit &= ~(exit_ctl::host_64 | exit_ctl::load_efer); s.h.sel[SS] = 8; }},
      {"enters", [](Entry& s) { s.lma = false; s.x.exit &= ~(exit_ctl::host_64 | exit_ctl::load_efer); s.h.sel[SS] = 8; s.h.rip = 0x1000; }},
  };
}
TEST(vmx_checks, host_state) { all(host_state()); }

// SDM 3C "Checks on Guest Control Registers, Debug Registers, and MSRs"
Cases guest_registers() {
  return {
      {"33/0 CR0", [](Entry& s) { s.g.cr0 &= ~cr0::NE; }},
      {"33/0 CR0", [](Entry& s) { s.restricted(); s.g.cr0 &= ~cr0::PG; }},
      {"33/0 CR0", [](Entry& s) { s.restricted(); s.g.cr0 &= ~cr0::PE; }},
      {"33/0 CR0.PG without CR0.PE", [](Entry& s) { s.g.cr0 = s.x.guest_cr0 = 0x8000'0030; }},
      {"33/0 CR4", [](Entry& s) { s.g.cr4 = 0; }},
      {"33/0 CR4", [](Entry& s) { s.g.cr4 |= u64{1} << 40; }},
      {"33/0 IA32_DEBUGCTL", [](Entry& s) { s.g.debugctl = 4; }},
      {"33/0 DR7", [](Entry& s) { s.g.dr7 |= u64{1} << 32; }},
      {"enters", [](Entry& s) { s.g.dr7 |= u64{1} << 32; s.g.debugctl = 4; s.x.entry &= ~entry_ctl::load_debug; }},
      {"33/0 IA-32e mode guest without CR0.PG and CR4.PAE", [](Entry& s) { s.long_guest(); s.g.cr4 &= ~cr4::PAE; }},
      {"33/0 CR4.PCIDE outside IA-32e mode", [](Entry& s) { s.g.cr4 |= cr4::PCIDE; }},
      {"33/0 CR3", [](Entry& s) { s.g.cr3 = u64{1} << 63; }},
      {"33/0 CR3", [](Entry& s) { s.g.cr3 = u64{1} << 46; }},
      {"33/0 CR0", [](Entry& s) { s.g.cr0 |= u64{1} << 32; }},
      {"33/0 IA-32e mode guest without CR0.PG and CR4.PAE", [](Entry& s) { s.long_guest(); s.g.cr0 = s.x.guest_cr0 = 0x31; }},
      {"33/0 IA32_SYSENTER_ESP or IA32_SYSENTER_EIP", [](Entry& s) { s.g.sysenter_eip = u64{1} << 47; }},
      {"enters", [](Entry& s) { s.g.pat = 3; s.x.entry &= ~entry_ctl::load_pat; }},
      {"enters", [](Entry& s) { s.g.efer = 0x1000; s.x.entry &= ~entry_ctl::load_efer; }},
      {"enters", [](Entry& s) { s.long_guest(); s.g.cr4 |= cr4::PCIDE; }},
      {"33/0 IA32_SYSENTER_ESP or IA32_SYSENTER_EIP", [](Entry& s) { s.g.sysenter_esp = u64{1} << 60; }},
      {"33/0 IA32_PAT", [](Entry& s) { s.g.pat = 3; }},
      {"33/0 IA32_EFER: reserved bits", [](Entry& s) { s.g.efer = 0x1000; }},
      {"33/0 IA32_EFER.LMA", [](Entry& s) { s.g.efer = efer::LMA; }},
      {"33/0 IA32_EFER.LME", [](Entry& s) { s.long_guest(); s.g.efer = efer::LMA; }},
      {"enters", [](Entry& s) { s.g.efer = efer::LME; }},  // paging is off
  };
}
TEST(vmx_checks, guest_registers) { all(guest_registers()); }

// SDM 3C "Checks on Guest Segment Registers"
Cases guest_segments() {
  return {
      {"33/0 TR selector's TI", [](Entry& s) { s.g.tr.sel = 4; }},
      {"33/0 LDTR selector's TI", [](Entry& s) { s.g.ldtr = {0, 0, 0x82, 4}; }},
      {"33/0 SS.RPL is not CS.RPL", [](Entry& s) { s.restricted(); s.g.seg[SS].sel = 3; }},
      {"33/0 base in virtual-8086 mode", [](Entry& s) { s.v86(); s.g.seg[FS].base = 0; }},
      {"33/0 limit in virtual-8086 mode", [](Entry& s) { s.v86(); s.g.seg[DS].limit = 0xfffff; }},
      {"33/0 access rights in virtual-8086 mode", [](Entry& s) { s.v86(); s.g.seg[ES].ar = 0x93; }},
      {"33/0 base address not canonical", [](Entry& s) { s.g.seg[FS].base = u64{1} << 50; }},
      {"33/0 base address not canonical", [](Entry& s) { s.g.tr.base = u64{1} << 50; }},
      {"33/0 LDTR base not canonical", [](Entry& s) { s.g.ldtr = {u64{1} << 50, 0, 0x82, 0}; }},
      {"33/0 CS base above 4 GiB", [](Entry& s) { s.g.seg[CS].base = u64{1} << 32; }},
      {"33/0 SS, DS or ES base above 4 GiB", [](Entry& s) { s.g.seg[ES].base = u64{1} << 32; }},
      {"33/0 CS type", [](Entry& s) { s.g.seg[CS].ar = 0xc098; }},
      {"33/0 CS type", [](Entry& s) { s.restricted(); s.g.seg[CS].ar = 0xc093; }},
      {"33/0 CS is a system segment", [](Entry& s) { s.g.seg[CS].ar = 0xc08b; }},
      {"33/0 CS.DPL is not SS.DPL", [](Entry& s) { s.g.seg[CS].ar = 0xc0fb; }},
      {"33/0 CS.DPL above SS.DPL", [](Entry& s) { s.g.seg[CS].ar = 0xc0ff; }},
      {"33/0 segment not present", [](Entry& s) { s.g.seg[CS].ar = 0xc01b; }},
      {"33/0 access rights: reserved bits", [](Entry& s) { s.g.seg[DS].ar |= 0x100; }},
      {"33/0 access rights: reserved bits", [](Entry& s) { s.g.seg[DS].ar |= 0x20000; }},
      {"33/0 granularity with low limit bits clear", [](Entry& s) { s.g.seg[GS].limit = 0xfffff000; }},
      {"33/0 limit needs granularity", [](Entry& s) { s.g.seg[GS].ar = 0x4093; }},
      {"33/0 CS.L and CS.D", [](Entry& s) { s.long_guest(); s.g.seg[CS].ar |= 0x4000; }},
      {"33/0 SS type", [](Entry& s) { s.g.seg[SS].ar = 0xc09b; }},
      {"33/0 SS.DPL is not SS.RPL", [](Entry& s) { s.restricted(); s.g.seg[SS].sel = 3; s.g.seg[CS].sel = 3; }},
      {"33/0 SS.DPL", [](Entry& s) { s.g.seg[CS].ar = 0xc093; s.g.seg[SS].ar = 0xc0f3; }},
      {"33/0 data segment not accessed", [](Entry& s) { s.g.seg[DS].ar = 0xc092; }},
      {"33/0 data segment not readable", [](Entry& s) { s.g.seg[DS].ar = 0xc099; }},
      {"33/0 data segment is a system segment", [](Entry& s) { s.g.seg[DS].ar = 0xc083; }},
      {"33/0 data segment's DPL below RPL", [](Entry& s) { s.restricted(); s.g.seg[FS].sel = 3; }},
      {"33/0 TR type", [](Entry& s) { s.g.tr.ar = 0x89; }},
      {"33/0 TR type", [](Entry& s) { s.long_guest(); s.g.tr.ar = 0x83; }},
      {"enters", [](Entry& s) { s.g.tr.ar = 0x83; }},
      {"33/0 TR is no system segment", [](Entry& s) { s.g.tr.ar = 0x9b; }},
      {"33/0 TR unusable", [](Entry& s) { s.g.tr.ar = 0x1008b; }},
      {"33/0 LDTR type", [](Entry& s) { s.g.ldtr = {0, 0, 0x83, 0}; }},
      {"33/0 segment not present", [](Entry& s) { s.g.ldtr = {0, 0, 0x02, 0}; }},
      {"33/0 access rights: reserved bits", [](Entry& s) { s.g.ldtr = {0, 0, 0x182, 0}; }},
      {"33/0 limit needs granularity", [](Entry& s) { s.g.ldtr = {0, 0x100000, 0x82, 0}; }},
      {"33/0 granularity with low limit bits clear", [](Entry& s) { s.g.ldtr = {0, 0, 0x8082, 0}; }},
      {"33/0 segment not present", [](Entry& s) { s.g.tr.ar = 0x0b; }},
      {"33/0 access rights: reserved bits", [](Entry& s) { s.g.tr.ar = 0x18b; }},
      {"33/0 limit needs granularity", [](Entry& s) { s.g.tr.limit = 0x100067; }},
      {"33/0 granularity with low limit bits clear", [](Entry& s) { s.g.tr.ar = 0x808b; }},
      {"33/0 segment not present", [](Entry& s) { s.g.seg[SS].ar = 0xc013; }},
      {"33/0 SS is a system segment", [](Entry& s) { s.g.seg[SS].ar = 0xc083; }},
      {"33/0 access rights: reserved bits", [](Entry& s) { s.g.seg[CS].ar |= 0x800; }},
      {"33/0 SS, DS or ES base above 4 GiB", [](Entry& s) { s.g.seg[SS].base = u64{1} << 32; }},
      {"33/0 SS, DS or ES base above 4 GiB", [](Entry& s) { s.g.seg[DS].base = u64{1} << 63; }},
      {"33/0 base address not canonical", [](Entry& s) { s.g.seg[GS].base = u64{1} << 47; }},
      {"33/0 CS.DPL", [](Entry& s) { s.g.seg[CS].ar = 0xc0f3; }},
      {"33/0 SS.DPL", [](Entry& s) { s.g.cr0 = s.x.guest_cr0 = 0x30; s.g.seg[CS].ar = 0xc0fb; s.g.seg[SS].ar = 0xc0f3; }},
      {"enters", [](Entry& s) { s.g.seg[SS].ar = 0x10000; }},
      {"enters", [](Entry& s) { s.restricted(); s.g.seg[FS] = {0, ~0u, 0xc09f, 3}; }},  // conforming: the DPL does not matter
      {"33/0 LDTR is no system segment", [](Entry& s) { s.g.ldtr = {0, 0, 0x92, 0}; }},
  };
}
TEST(vmx_checks, guest_segments) { all(guest_segments()); }

// SDM 3C "Checks on Guest Descriptor-Table Registers", "Checks on Guest RIP, RFLAGS, and SSP"
Cases guest_tables_and_rip() {
  return {
      {"33/0 GDTR or IDTR base", [](Entry& s) { s.g.gdtr_base = u64{1} << 48; }},
      {"33/0 GDTR or IDTR limit", [](Entry& s) { s.g.idtr_limit = 0x10000; }},
      {"33/0 RIP above 4 GiB", [](Entry& s) { s.g.rip = u64{1} << 32; }},
      {"33/0 RIP not canonical", [](Entry& s) { s.long_guest(); s.g.rip = u64{1} << 47; }},
      {"33/0 RFLAGS: reserved bits", [](Entry& s) { s.g.rflags = 0; }},
      {"33/0 RFLAGS: reserved bits", [](Entry& s) { s.g.rflags = 2 | 0x8000; }},
      {"33/0 RFLAGS: reserved bits", [](Entry& s) { s.g.rflags = 2 | u64{1} << 22; }},
      {"33/0 RFLAGS.VM", [](Entry& s) { s.v86(); s.g.cr0 = s.x.guest_cr0 = 0x30; }},
      {"33/0 RFLAGS.IF is 0 with an external interrupt", [](Entry& s) { s.inject(0x40); }},
      {"enters", [](Entry& s) { s.inject(0x40); s.g.rflags |= rflags::IF; }},
  };
}
TEST(vmx_checks, guest_tables_and_rip) { all(guest_tables_and_rip()); }

// SDM 3C "Checks on Guest Non-Register State"
Cases guest_non_register_state() {
  using namespace interruptibility;
  return {
      {"33/0 activity state", [](Entry& s) { s.g.activity = 4; }},
      {"33/0 HLT with SS.DPL not 0", [](Entry& s) { s.g.activity = 1; s.g.seg[SS].ar = 0xc0f3; s.g.seg[CS].ar = 0xc0fb; }},
      {"33/0 not active, with blocking by STI or MOV SS", [](Entry& s) { s.g.activity = 1; s.g.interruptibility = sti; s.g.rflags |= rflags::IF; }},
      {"enters", [](Entry& s) { s.g.activity = 1; s.inject(0x40); s.g.rflags |= rflags::IF; }},
      {"33/0 event that the activity state does not take", [](Entry& s) { s.g.activity = 1; s.inject(0x306); }},
      {"33/0 event that the activity state does not take", [](Entry& s) { s.g.activity = 2; s.inject(0x40); s.g.rflags |= rflags::IF; }},
      {"enters", [](Entry& s) { s.g.activity = 2; s.inject(0x202); }},
      {"enters", [](Entry& s) { s.g.activity = 1; s.inject(0x700); }},
      {"33/0 event that the activity state does not take", [](Entry& s) { s.g.activity = 2; s.inject(0x700); }},
      {"33/0 event that the activity state does not take", [](Entry& s) { s.g.activity = 3; s.inject(0x700); }},
      {"33/0 event that the activity state does not take", [](Entry& s) { s.g.activity = 3; s.inject(0x202); }},
      {"33/0 interruptibility: reserved bits", [](Entry& s) { s.g.interruptibility = 0x20; }},
      {"33/0 blocking by STI and by MOV SS", [](Entry& s) { s.g.interruptibility = sti | movss; s.g.rflags |= rflags::IF; }},
      {"33/0 blocking by STI with RFLAGS.IF 0", [](Entry& s) { s.g.interruptibility = sti; }},
      {"33/0 external interrupt while blocked", [](Entry& s) { s.g.interruptibility = movss; s.inject(0x40); s.g.rflags |= rflags::IF; }},
      {"33/0 NMI under blocking by MOV SS", [](Entry& s) { s.g.interruptibility = movss; s.inject(0x202); }},
      {"33/0 blocking by SMI outside SMM", [](Entry& s) { s.g.interruptibility = smi; }},
      {"33/0 NMI under virtual-NMI blocking", [](Entry& s) { s.g.interruptibility = nmi; s.inject(0x202); }},
      {"33/0 pending debug exceptions: reserved bits", [](Entry& s) { s.g.pending_debug = 0x10; }},
      {"33/0 pending debug exceptions: BS against RFLAGS.TF", [](Entry& s) { s.g.activity = 1; s.g.rflags |= rflags::TF; }},
      {"33/0 pending debug exceptions: BS against RFLAGS.TF", [](Entry& s) { s.g.interruptibility = movss; s.g.pending_debug = 0x4000; }},
      {"enters", [](Entry& s) { s.g.interruptibility = movss; s.g.pending_debug = 0x4000; s.g.rflags |= rflags::TF; }},
      {"33/4 VMCS link pointer", [](Entry& s) { s.g.link = 0x8001; }},
      {"33/4 VMCS link pointer: revision or shadow bit", [](Entry& s) { s.g.link = 0x8000; }},
      {"33/4 VMCS link pointer", [](Entry& s) { s.g.link = u64{1} << 46; }},
      {"33/4 VMCS link pointer: the current VMCS", [](Entry& s) { s.g.link = s.g.current = 0x8000; s.mem.poke32(Hpa{0x8000}, vmcs_page::kRevision, WriteCause::loader); }},
      {"enters", [](Entry& s) { s.g.link = 0x8000; s.mem.poke32(Hpa{0x8000}, vmcs_page::kRevision, WriteCause::loader); }},
  };
}
TEST(vmx_checks, guest_non_register_state) { all(guest_non_register_state()); }

// SDM 3C "Checks on Guest Page-Directory-Pointer-Table Entries"
Cases pdptes() {
  static const auto pae = [](Entry& s) { s.g.cr0 = s.x.guest_cr0 = 0x8000'0031; s.g.cr4 |= cr4::PAE; };
  return {
      {"enters", [](Entry& s) { pae(s); s.g.pdpte[1] = 0x7001; }},
      {"33/2 PDPTEs", [](Entry& s) { pae(s); s.g.pdpte[1] = 0x7003; }},
      {"33/2 PDPTEs", [](Entry& s) { pae(s); s.g.pdpte[3] = u64{1} << 50 | 1; }},
      {"enters", [](Entry& s) { pae(s); s.g.pdpte[3] = u64{1} << 50; }},  // not present
      {"33/2 PDPTEs", [](Entry& s) { pae(s); s.x.proc2 = proc2_ctl::vpid; s.g.cr3 = 0x9020; s.mem.poke64(Hpa{0x9028}, 0x1e7, WriteCause::loader); }},
      {"enters", [](Entry& s) { pae(s); s.x.proc2 = proc2_ctl::vpid; s.g.cr3 = 0x9020; s.g.pdpte[0] = 0x1e7; }},
  };
}
TEST(vmx_checks, pdptes) { all(pdptes()); }

/// The tables are complete: a rule without a case that breaks it has not been tested.
TEST(vmx_checks, every_rule_has_a_case) {
  std::set<std::string> seen;
  for (auto* cases : {execution_controls, exit_and_entry_controls, event_injection, host_state, guest_registers, guest_segments, guest_tables_and_rip, guest_non_register_state, pdptes})
    for (const Case& c : cases()) seen.insert(c.expected);
  for (const EntryRule& r : entry_rules(EntryRules::controls)) EXPECT_TRUE(seen.contains(std::string("7 ") + r.rule)) << r.rule;
  for (const EntryRule& r : entry_rules(EntryRules::host)) EXPECT_TRUE(seen.contains(std::string("8 ") + r.rule)) << r.rule;
  for (const EntryRule& r : entry_rules(EntryRules::guest)) EXPECT_TRUE(seen.contains("33/" + std::to_string(r.qualification) + " " + r.rule)) << r.rule;
}

}  // namespace
}  // namespace vt::cpu
