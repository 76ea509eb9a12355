// SPDX-License-Identifier: GPL-2.0-or-later
/// A state of controls, host and guest that VM entry accepts, for tests that spoil it.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "vmx/entry_checks.hpp"
#include "vmx_model.hpp"

namespace vt::cpu {

struct Entry {
  CpuModel model = vmx_model();
  Controls x{};
  HostState h{};
  GuestState g{};
  bool lma = true;
  PhysMem mem{0x20000};

  /// A 64-bit hypervisor enters a 32-bit protected-mode guest under EPT, as Xen does.
  Entry() {
    mem.add_ram(Hpa{0}, 0x20000);
    x.pin = 0x16 | pin_ctl::external_interrupt | pin_ctl::nmi | pin_ctl::virtual_nmis;
    x.proc = 0x0400'6172 | proc_ctl::secondary | proc_ctl::io_bitmaps | proc_ctl::msr_bitmaps | proc_ctl::hlt;
    x.proc2 = proc2_ctl::ept | proc2_ctl::unrestricted_guest | proc2_ctl::vpid;
    x.exit = 0x0003'6dff | exit_ctl::host_64 | exit_ctl::load_pat | exit_ctl::load_efer;
    x.entry = 0x11ff | entry_ctl::load_pat | entry_ctl::load_efer;
    x.io_bitmap_a = 0x1000, x.io_bitmap_b = 0x2000, x.msr_bitmap = 0x3000, x.eptp = 0x4000 | 0x1e, x.vpid = 1;
    x.guest_cr0 = 0x31;

    h.cr0 = 0x8005'0033, h.cr4 = cr4::VMXE | cr4::PAE | cr4::PGE, h.cr3 = 0x5000, h.pat = 0x0007'0406'0007'0406;
    h.efer = efer::LME | efer::LMA | efer::NXE | efer::SCE;
    h.sel[CS] = 0x8, h.sel[SS] = 0, h.sel[6] = 0x40;
    h.rip = h.rsp = 0xffff'8000'0000'1000;

    g.cr0 = 0x31, g.cr4 = cr4::VMXE, g.dr7 = 0x400, g.pat = h.pat;
    for (unsigned s = 0; s < 6; ++s) g.seg[s] = {0, 0xffff'ffff, 0xc093, 0};
    g.seg[CS].ar = 0xc09b;
    g.tr = {0, 0x67, 0x8b, 0};
    g.ldtr = {0, 0, 0x10000, 0};
    g.rip = 0x10'0000, g.rflags = 2, g.link = ~u64{0};
  }
  std::string entry() {
    if (const char* e = check_controls(model, x)) return std::string("7 ") + e;
    if (const char* e = check_host(model, x, h, lma)) return std::string("8 ") + e;
    const GuestProblem p = check_guest(mem, model, x, g);
    if (p.rule) return "33/" + std::to_string(p.qualification) + " " + p.rule;
    return "enters";
  }
  void long_guest() {
    x.entry |= entry_ctl::ia32e_guest;
    g.cr0 = x.guest_cr0 = 0x8000'0031, g.cr4 |= cr4::PAE, g.efer = efer::LMA | efer::LME;
    g.seg[CS].ar = 0xa09b;
  }
  void v86() {
    g.rflags = 2 | rflags::VM;
    for (auto& s : g.seg) s = {0x12340, 0xffff, 0xf3, 0x1234};
  }
  void restricted() {
    x.proc2 &= ~proc2_ctl::unrestricted_guest;
    g.cr0 = x.guest_cr0 = 0x8000'0031;
  }
  void inject(u32 info) { x.intr_info = info | intr_info::valid; }
};

}  // namespace vt::cpu
