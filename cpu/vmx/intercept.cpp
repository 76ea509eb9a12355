// SPDX-License-Identifier: GPL-2.0-or-later
/// Which instructions and exceptions of a guest exit, with what qualification.
/// SDM 3C "VMX Non-Root Operation", "Exit Qualification"
#include <cstring>

#include "cpu/rows.hpp"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

namespace {

/// Records the exit. Length and blocking travel in `error`, which an exit has no other use for (vm_exit_from_fault).
bool exit_of(Cpu& c, ExitReason reason, const Insn& i, u64 qualification = 0, u32 info = 0, u64 linear = 0) {
  c.fault = {};
  c.fault.kind = Fault::Kind::vm_exit;
  c.fault.reason = static_cast<u32>(reason);
  c.fault.qualification = qualification;
  c.fault.info = info;
  c.fault.address = linear;
  c.fault.error = i.len | (c.sti_shadow ? 0x100u : 0) | (c.movss_shadow ? 0x200u : 0);
  return true;
}

bool bitmap_bit(Cpu& c, u64 base, u32 n) {
  u8 byte;
  c.memory().read(Hpa{base + n / 8}, &byte, 1);
  return byte >> (n & 7) & 1;
}

/// Port I/O with an immediate operand, as the row's encoding says.
bool immediate_port(const Insn& i) {
  const auto& rows = all_rows();
  return i.row < rows.size() && std::strstr(rows[i.row].opcode, "ib") != nullptr;
}

}  // namespace

bool intercept(Cpu& c, ExitReason reason, const Insn& i) {
  const Vmx& v = c.vmx;
  auto when = [&](bool control) { return control && exit_of(c, reason, i); };
  switch (reason) {
    // SDM 3C "Instructions That Cause VM Exits Unconditionally"
    case ExitReason::cpuid: case ExitReason::invd: case ExitReason::xsetbv: case ExitReason::vmcall:
    case ExitReason::vmlaunch: case ExitReason::vmresume: case ExitReason::vmxoff:
      return exit_of(c, reason, i);
    case ExitReason::vmclear: case ExitReason::vmptrld: case ExitReason::vmptrst: case ExitReason::vmxon:
      return exit_of(c, reason, i, displacement(c, i), info_memory(i));
    case ExitReason::vmread: case ExitReason::vmwrite:
      return exit_of(c, reason, i, displacement(c, i), info_vmread_vmwrite(i));
    case ExitReason::invept: case ExitReason::invvpid:
      return exit_of(c, reason, i, displacement(c, i), info_memory_reg2(i));
    // SDM 3C "Instructions That Cause VM Exits Conditionally"
    case ExitReason::hlt: return when(v.proc & proc_ctl::hlt);
    case ExitReason::mwait: return (v.proc & proc_ctl::mwait) && exit_of(c, reason, i, 0);
    case ExitReason::monitor: return when(v.proc & proc_ctl::monitor);
    case ExitReason::rdpmc: return when(v.proc & proc_ctl::rdpmc);
    case ExitReason::rdtsc: return when(v.proc & proc_ctl::rdtsc);
    case ExitReason::rdtscp: return when(v.proc & proc_ctl::rdtsc);
    case ExitReason::wbinvd: return when(v.proc2 & proc2_ctl::wbinvd);
    case ExitReason::invpcid: return (v.proc & proc_ctl::invlpg) && exit_of(c, reason, i, displacement(c, i), info_memory_reg2(i));
    case ExitReason::rdrand: return (v.proc2 & proc2_ctl::rdrand) && exit_of(c, reason, i, 0, info_random(i));
    case ExitReason::rdseed: return (v.proc2 & proc2_ctl::rdseed) && exit_of(c, reason, i, 0, info_random(i));
    default: CHECK(false, "an exit reason that is no instruction of this hook"); return false;
  }
}

bool intercept_pause(Cpu& c, const Insn& i) {
  Vmx& v = c.vmx;
  if (v.proc & proc_ctl::pause) return exit_of(c, ExitReason::pause, i);
  if (!(v.proc2 & proc2_ctl::pause_loop) || c.cpl() != 0) return false;
  // SDM 3C "Changes to Instruction Behavior in VMX Non-Root Operation": PAUSE
  const u64 now = c.tsc() - c.msr.tsc_offset + 1;  // never 0
  const bool first = v.ple_last == 0 || now - v.ple_last > v.ple_gap;
  v.ple_last = now;
  if (first) v.ple_first = now;
  return now - v.ple_first > v.ple_window && exit_of(c, ExitReason::pause, i);
}

bool intercept_invlpg(Cpu& c, const Insn& i, u64 address) {
  return (c.vmx.proc & proc_ctl::invlpg) && exit_of(c, ExitReason::invlpg, i, address);
}

bool intercept_io(Cpu& c, const Insn& i, u16 port, unsigned size, bool in, bool string, u64 linear) {
  // SDM 3C "I/O-Bitmap Addresses"; with the bitmaps "unconditional I/O exiting" is ignored.
  bool exits;
  if (c.vmx.proc & proc_ctl::io_bitmaps) {
    exits = u32{port} + size > 0x1'0000;
    for (unsigned n = 0; n < size && !exits; ++n) {
      const u32 p = u32{port} + n;
      exits = bitmap_bit(c, p & 0x8000 ? c.vmx.io_bitmap_b : c.vmx.io_bitmap_a, p & 0x7fff);
    }
  } else {
    exits = c.vmx.proc & proc_ctl::unconditional_io;
  }
  if (!exits) return false;
  // SDM 3C "Exit Qualification for I/O Instructions"
  const u64 q = (size - 1) | (in ? 8u : 0) | (string ? 0x10u : 0) | (string && (i.rep() || i.repne()) ? 0x20u : 0) |
                (!string && immediate_port(i) ? 0x40u : 0) | u64{port} << 16;
  return exit_of(c, ExitReason::io, i, q, string ? info_io(i) : 0, string ? linear : 0);
}

bool intercept_msr(Cpu& c, const Insn& i, u32 msr, bool write) {
  // SDM 3C "MSR-Bitmap Address"
  bool exits = true;
  if (c.vmx.proc & proc_ctl::msr_bitmaps) {
    if (msr < 0x2000) exits = bitmap_bit(c, c.vmx.msr_bitmap + (write ? 0x800 : 0), msr);
    else if (msr >= 0xc000'0000 && msr < 0xc000'2000) exits = bitmap_bit(c, c.vmx.msr_bitmap + (write ? 0xc00 : 0x400), msr & 0x1fff);
  }
  return exits && exit_of(c, write ? ExitReason::wrmsr : ExitReason::rdmsr, i);
}

bool intercept_cr(Cpu& c, const Insn& i, unsigned cr, unsigned access, u64 value, bool lmsw_memory, u64 lmsw_address) {
  const Vmx& v = c.vmx;
  bool exits = false;
  switch (access) {
    case 0:  // MOV to CR
      if (cr == 0) exits = (value ^ v.cr0_shadow) & v.cr0_mask;
      else if (cr == 4) exits = (value ^ v.cr4_shadow) & v.cr4_mask;
      else if (cr == 8) exits = v.proc & proc_ctl::cr8_load;
      else if (cr == 3 && (v.proc & proc_ctl::cr3_load)) {
        exits = true;
        for (u32 n = 0; n < v.cr3_target_count; ++n) if (v.cr3_target[n] == value) exits = false;
      }
      break;
    case 1:  // MOV from CR
      exits = cr == 3 ? v.proc & proc_ctl::cr3_store : cr == 8 ? v.proc & proc_ctl::cr8_store : 0;
      break;
    case 2:  // CLTS
      exits = v.cr0_mask & v.cr0_shadow & cr0::TS;
      break;
    default: {  // LMSW: it can set PE but not clear it
      const u64 differs = (value ^ v.cr0_shadow) & v.cr0_mask;
      exits = (differs & (cr0::MP | cr0::EM | cr0::TS)) || (differs & value & cr0::PE);
      break;
    }
  }
  if (!exits) return false;
  // SDM 3C "Exit Qualification for Control-Register Accesses"
  u64 q = (access >= 2 ? 0 : cr) | access << 4;
  if (access < 2) q |= u64{i.rm & 15u} << 8;
  if (access == 3) q |= (lmsw_memory ? 0x40u : 0) | (value & 0xffff) << 16;
  return exit_of(c, ExitReason::cr_access, i, q, 0, lmsw_memory ? lmsw_address : 0);
}

bool intercept_dr(Cpu& c, const Insn& i, unsigned dr, bool from) {
  if (!(c.vmx.proc & proc_ctl::mov_dr)) return false;
  // SDM 3C "Exit Qualification for MOV DR"
  return exit_of(c, ExitReason::dr_access, i, (dr & 7) | (from ? 0x10u : 0) | u64{i.rm & 15u} << 8);
}

bool intercept_descriptor_table(Cpu& c, const Insn& i, unsigned which) {
  if (!(c.vmx.proc2 & proc2_ctl::descriptor_table)) return false;
  return exit_of(c, which < 4 ? ExitReason::gdtr_idtr : ExitReason::ldtr_tr, i, displacement(c, i), info_table(i, which, c.code64_now));
}

u64 guest_view_cr0(const Cpu& c) { return !c.non_root() ? c.cr0 : (c.cr0 & ~c.vmx.cr0_mask) | (c.vmx.cr0_shadow & c.vmx.cr0_mask); }
u64 guest_view_cr4(const Cpu& c) { return !c.non_root() ? c.cr4 : (c.cr4 & ~c.vmx.cr4_mask) | (c.vmx.cr4_shadow & c.vmx.cr4_mask); }

bool cr0_allowed_in_vmx(const Cpu& c, u64 value) {
  u64 fixed = kCr0Fixed0;
  if (c.vmx.non_root && (c.vmx.proc2 & proc2_ctl::unrestricted_guest)) fixed &= ~(cr0::PE | cr0::PG);
  return (value & fixed) == fixed && !(value & ~kCr0Fixed1);
}

bool cr4_allowed_in_vmx(const Cpu& c, u64 value) {
  return (value & kCr4Fixed0) == kCr4Fixed0 && !(value & ~cr4_fixed1(c.model()));
}

bool exception_exits(Cpu& c) {
  // SDM 3C "Exception Bitmap", "Page-Fault Error-Code Mask and Match"
  const Fault f = c.fault;
  const bool software = f.kind == Fault::Kind::software;
  if (software && f.software_type == intr_info::software_interrupt) return false;  // INT n
  bool exits = c.vmx.exception_bitmap >> f.vector & 1;
  if (f.vector == PF && !software && (f.error & c.vmx.pf_mask) != c.vmx.pf_match) exits = !exits;
  if (!exits) return false;
  ExitInfo e;
  e.reason = static_cast<u32>(ExitReason::exception_nmi);
  e.event_directly = true;
  const u32 type = software ? f.software_type : static_cast<u32>(intr_info::hardware_exception);
  e.intr_info = f.vector | type << 8 | intr_info::valid;
  if (!software && f.has_error) {
    e.intr_info |= intr_info::error_code;
    e.intr_error = f.error;
  }
  // SDM 3C "Basic VM-Exit Information": the address of a page fault, DR6's bits of a debug exception.
  if (f.vector == PF && !software) e.qualification = f.address;
  if (f.vector == DB) e.qualification = f.qualification;
  if (software && c.left_at) e.length = c.left_at->len;
  make_exit(c, e);
  return true;
}

}  // namespace vt::cpu
