// SPDX-License-Identifier: GPL-2.0-or-later
/// A hypervisor of two instructions: VMLAUNCH, and a HLT where exits arrive. The guest is 64-bit code at kGuest with the host's own
/// page tables, descriptor tables and stack area, unless a test changes the VMCS.
#pragma once
#include "../tested.hpp"
#include "harness.hpp"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

class VmxMachine : public TestMachine {
 public:
  static constexpr u64 kVmxon = 0x60000, kVmcs = 0x61000, kHost = 0x12000, kGuest = 0x40000, kIoA = 0x62000, kIoB = 0x63000, kMsrBitmap = 0x64000,
                       kGuestStack = 0x58000, kEptPml4 = 0x200000, kList = 0x66000;
  using F = Field;

  explicit VmxMachine(std::vector<std::string> features = {}) : TestMachine(Mode::long64, std::move(features)) {
    Cpu& c = *cpu;
    c.msr.feature_control = 5;
    c.cr4 |= cr4::VMXE | cr4::PGE | cr4::OSXSAVE;
    c.tr.sel = 0x40;
    c.ldtr = {0, 0, 0x10000, 0};
    poke<u32>(kVmxon, vmcs_page::kRevision);
    poke<u32>(kVmcs, vmcs_page::kRevision);
    poke<u8>(kHost, 0xf4);
    c.update();
  }
  void on() {
    cpu->vmx.on = true;
    cpu->vmx.vmxon_pointer = kVmxon;
    cpu->vmx.vmcs = kVmcs;
    set_launch_state(mem, kVmcs, vmcs_page::kClear);
  }
  void set(F f, u64 v) { write_field(mem, kVmcs, f, v); }
  u64 get(F f) { return read_field(mem, kVmcs, f); }
  void add(F f, u64 v) { set(f, get(f) | v); }
  void drop(F f, u64 v) { set(f, get(f) & ~v); }

  /// Controls without any optional exit but HLT's; host and guest as the processor is.
  void fill() {
    on();
    Cpu& c = *cpu;
    set(F::PIN_BASED_VM_EXEC_CONTROL, 0x16);
    set(F::CPU_BASED_VM_EXEC_CONTROL, 0x0400'6172 | proc_ctl::hlt | proc_ctl::secondary | proc_ctl::io_bitmaps | proc_ctl::msr_bitmaps);
    set(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::rdtscp);
    set(F::VM_EXIT_CONTROLS, 0x3'6dff | exit_ctl::host_64 | exit_ctl::load_efer | exit_ctl::save_efer | exit_ctl::load_pat | exit_ctl::save_pat);
    set(F::VM_ENTRY_CONTROLS, 0x11ff | entry_ctl::ia32e_guest | entry_ctl::load_efer | entry_ctl::load_pat);
    set(F::IO_BITMAP_A, kIoA), set(F::IO_BITMAP_B, kIoB), set(F::MSR_BITMAPS, kMsrBitmap);
    set(F::HOST_CR0, c.cr0), set(F::HOST_CR3, c.cr3), set(F::HOST_CR4, c.cr4), set(F::HOST_IA32_EFER, c.efer), set(F::HOST_IA32_PAT, c.msr.pat);
    set(F::HOST_CS_SELECTOR, 8), set(F::HOST_SS_SELECTOR, 0x10), set(F::HOST_TR_SELECTOR, 0x40);
    set(F::HOST_GDTR_BASE, c.gdtr.base), set(F::HOST_IDTR_BASE, c.idtr.base), set(F::HOST_RIP, kHost), set(F::HOST_RSP, kStack);
    set(F::GUEST_CR0, c.cr0), set(F::GUEST_CR3, c.cr3), set(F::GUEST_CR4, c.cr4), set(F::GUEST_IA32_EFER, c.efer), set(F::GUEST_IA32_PAT, c.msr.pat);
    for (unsigned n = 0; n < 6; ++n) segment(n, c.seg[n]);
    segment(6, c.ldtr);
    segment(7, c.tr);
    set(F::GUEST_GDTR_BASE, c.gdtr.base), set(F::GUEST_GDTR_LIMIT, c.gdtr.limit), set(F::GUEST_IDTR_BASE, c.idtr.base), set(F::GUEST_IDTR_LIMIT, c.idtr.limit);
    set(F::GUEST_RIP, kGuest), set(F::GUEST_RSP, kGuestStack), set(F::GUEST_RFLAGS, 2), set(F::GUEST_DR7, 0x400);
    set(F::VMCS_LINK_POINTER, ~u64{0});
  }
  void segment(unsigned n, const Segment& s) {
    set(nth(F::GUEST_ES_SELECTOR, n), s.sel), set(nth(F::GUEST_ES_BASE, n), s.base);
    set(nth(F::GUEST_ES_LIMIT, n), s.limit), set(nth(F::GUEST_ES_AR_BYTES, n), s.ar);
  }
  /// A real-address-mode guest at kGuest, by "unrestricted guest".
  void real_guest() {
    identity_ept();
    add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::unrestricted_guest);
    set(F::VM_ENTRY_CONTROLS, 0x11ff | entry_ctl::load_efer);
    set(F::GUEST_CR0, 0x30), set(F::GUEST_CR4, cr4::VMXE), set(F::GUEST_IA32_EFER, 0);
    for (unsigned n = 0; n < 6; ++n) segment(n, {0, 0xffff, n == CS ? 0x9bu : 0x93u, 0});
    segment(CS, {kGuest, 0xffff, 0x9b, kGuest >> 4});
    set(F::GUEST_RIP, 0), set(F::GUEST_RSP, 0xf000);
    set(F::GUEST_IDTR_BASE, 0), set(F::GUEST_IDTR_LIMIT, 0x3ff);
  }
  /// 16 MiB one to one: 2 MiB pages but for the first 2 MiB, which are 4 KiB pages in the table at kEptPml4 + 0x3000.
  void identity_ept() {
    add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::ept);
    set(F::EPT_POINTER, kEptPml4 | 0x1e);
    poke<u64>(kEptPml4, (kEptPml4 + 0x1000) | 7);
    poke<u64>(kEptPml4 + 0x1000, (kEptPml4 + 0x2000) | 7);
    for (u64 n = 1; n < 8; ++n) poke<u64>(kEptPml4 + 0x2000 + 8 * n, n << 21 | 0xb7);
    poke<u64>(kEptPml4 + 0x2000, (kEptPml4 + 0x3000) | 7);
    for (u64 n = 0; n < 512; ++n) poke<u64>(kEptPml4 + 0x3000 + 8 * n, n << 12 | 0x37);
  }
  u64 ept_entry(u64 gpa) { return kEptPml4 + 0x3000 + 8 * (gpa >> 12); }

  /// Puts the guest's code in place, launches, and runs until the host's HLT. Returns the exit reason; -1: VMLAUNCH failed.
  int launch(std::vector<u8> guest) {
    guest.push_back(0xf4);
    mem.write(Hpa{kGuest}, guest.data(), guest.size(), WriteCause::loader);
    return finish(run({0x0f, 0x01, 0xc2}));
  }
  /// VMRESUME with the guest where it is.
  int again() { return finish(run({0x0f, 0x01, 0xc3})); }
  int finish(int how) {
    host_vector = how;
    if (cpu->vmx.non_root) return -4;
    if (how != -1 || cpu->rip != kHost + 1) return -1;
    tested("VM-exit reason", get(F::VM_EXIT_REASON) & 0xffff);
    return static_cast<int>(get(F::VM_EXIT_REASON));
  }
  u32 error() { return static_cast<u32>(get(F::VM_INSTRUCTION_ERROR)); }
  int host_vector = 0;
};

}  // namespace vt::cpu
