// SPDX-License-Identifier: GPL-2.0-or-later
/// Exceptions and interrupts through the IDT.   SDM 3A "Interrupt and Exception Handling", "8086 Emulation"; SDM 2 "INT n/INTO/INT3/INT1"
#include <algorithm>

#include "cpu/timing/timing.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

/// VMX interruption types, also the record of which event is under way.   SDM 3C "Information for VM Exits That Occur During Event Delivery"
namespace kind {
constexpr u32 external = 0, nmi = 2, hardware = 3, software = 4, privileged = 5, software_exception = 6;
}
constexpr u32 kValid = 1u << 31;

bool contributory(u8 v) { return v == DE || (v >= TS && v <= GP); }

/// SDM 3A "Conditions for Generating a Double Fault"
bool doubles(u8 first, u8 second) { return contributory(first) ? contributory(second) : first == PF && (contributory(second) || second == PF); }

/// Faults push RF set; traps, and the #DB of an instruction breakpoint, as it is.   SDM 3B "Instruction-Breakpoint Exception Condition"
bool sets_rf(const Fault& f) {
  if (f.kind != Fault::Kind::exception) return false;
  if (f.vector == DB) return bit(f.qualification, 13);
  return f.vector != DF && f.vector != MC;
}

struct Frame {
  u8 vector;
  bool has_error;
  u32 error;
  bool software;  ///< INT n, INT3, INTO: the gate's DPL counts, EXT is clear
  u64 return_rip;
  u32 ext() const { return software ? 0 : 1; }
  u32 gate_error() const { return vector * 8u + 2 + ext(); }
};

void after_delivery(Cpu& c, u64 clear) {
  c.flags &= ~(clear | rflags::TF | rflags::RF | rflags::NT | rflags::VM);
  c.update();
}

/// SDM 3B "Interrupt and Exception Handling" of real-address mode. `base`: linear address of the vector table.
bool deliver_real(Cpu& c, const Frame& f, u64 base, u32 limit) {
  if (f.vector * 4u + 3 > limit) { c.gp(f.gate_error()); return false; }
  u32 entry;
  if (!c.load_system(base + f.vector * 4u, &entry, 4)) return false;
  Stack s{.ss = c.seg[SS], .sp = c.r[4], .wide = false, .user = c.cpl() == 3, .error = f.ext()};
  s.sp = s.masked(s.sp);
  u64 image = static_cast<u16>(c.rflags());
  // SDM 3B "Virtual-8086 Mode Extensions": with IOPL below 3 the image shows VIF, and IOPL 3.
  const bool vme = c.vm86() && bits(c.flags, 13, 12) < 3;
  if (vme) image = (image & ~rflags::IF) | rflags::IOPL | (c.flags & rflags::VIF ? rflags::IF : 0);
  const u64 values[] = {image, c.seg[CS].sel, f.return_rip & 0xffff};
  if ((entry & 0xffff) > c.seg[CS].limit && !c.vm86()) { c.gp(f.ext()); return false; }
  if (!push_all(c, s, values, 3, 2)) return false;
  use_stack(c, s);
  c.seg[CS].sel = static_cast<u16>(entry >> 16);
  c.seg[CS].base = u64{c.seg[CS].sel} << 4;
  c.rip = entry & 0xffff;
  if (c.vm86()) {
    c.flags &= ~(rflags::TF | rflags::RF | (vme ? rflags::VIF : rflags::IF));
  } else {
    c.flags &= ~(rflags::TF | rflags::RF | rflags::IF | rflags::AC);
  }
  c.update();  // NT stays   SDM 2 "INT n/INTO/INT3/INT1": real-address mode
  return true;
}

/// The code segment of a gate, checked. `inner`: the privilege level changes to its DPL.
bool gate_target(Cpu& c, const Frame& f, u16 sel, bool& inner, Descriptor& d) {
  if (null_selector(sel)) { c.gp(f.ext()); return false; }
  if (!read_descriptor(c, sel, GP, f.ext(), d)) return false;
  const bool bad = !d.code() || d.dpl() > c.cpl() || (c.long_mode() && (!d.l() || d.db()));
  if (bad) { c.gp(selector_error(sel, f.ext())); return false; }
  if (!d.present()) { c.np(selector_error(sel, f.ext())); return false; }
  inner = !d.conforming() && d.dpl() < c.cpl();
  if (c.vm86() && (!inner || d.dpl() != 0)) { c.gp(selector_error(sel, f.ext())); return false; }
  return true;
}

void enter_handler(Cpu& c, u16 sel, const Descriptor& d, unsigned cpl, u64 rip, bool interrupt_gate) {
  c.seg[CS] = make_segment(static_cast<u16>((sel & 0xfffc) | cpl), d);
  c.rip = rip;
  after_delivery(c, interrupt_gate ? rflags::IF : 0);
}

bool deliver_long(Cpu& c, const Frame& f) {
  if (f.vector * 16u + 15 > c.idtr.limit) { c.gp(f.gate_error()); return false; }
  Descriptor g;
  u64 raw[2];
  if (!c.load_system(c.idtr.base + f.vector * 16u, raw, 16)) return false;
  g.lo = raw[0], g.hi = raw[1] & 0xffff'ffff;
  if (g.s() || (g.type() != system_type::interrupt && g.type() != system_type::trap)) { c.gp(f.gate_error()); return false; }
  if (f.software && g.dpl() < c.cpl()) { c.gp(f.gate_error()); return false; }
  if (!g.present()) { c.np(f.gate_error()); return false; }
  const u16 sel = g.gate_selector();
  Descriptor d;
  bool inner;
  if (!gate_target(c, f, sel, inner, d)) return false;
  const unsigned cpl = inner ? d.dpl() : c.cpl();
  Stack s{.ss = inner ? null_segment(static_cast<u16>(cpl), cpl) : c.seg[SS], .sp = c.r[4], .wide = true, .user = cpl == 3, .error = f.ext()};
  if (g.gate_ist()) { if (!rsp_from_tss(c, g.gate_ist() + 3, f.ext(), s.sp)) return false; }
  else if (inner && !rsp_from_tss(c, cpl, f.ext(), s.sp)) return false;
  s.sp &= ~u64{15};
  const u64 rip = g.gate_offset64();
  if (static_cast<u64>(sext(rip, 48)) != rip) { c.gp(f.ext()); return false; }
  const u64 values[] = {c.seg[SS].sel, c.r[4], c.rflags(), c.seg[CS].sel, f.return_rip, f.error};
  if (!set_accessed(c, d) || !push_all(c, s, values, f.has_error ? 6 : 5, 8)) return false;
  use_stack(c, s);
  enter_handler(c, sel, d, cpl, rip, g.type() == system_type::interrupt);
  return true;
}

bool deliver_protected(Cpu& c, const Frame& f) {
  if (f.vector * 8u + 7 > c.idtr.limit) { c.gp(f.gate_error()); return false; }
  Descriptor g;
  if (!c.load_system(c.idtr.base + f.vector * 8u, &g.lo, 8)) return false;
  const unsigned type = g.s() ? 0 : g.type();
  using namespace system_type;
  if (type != task_gate && type != interrupt16 && type != trap16 && type != interrupt && type != trap) { c.gp(f.gate_error()); return false; }
  if (f.software && g.dpl() < c.cpl()) { c.gp(f.gate_error()); return false; }
  if (!g.present()) { c.np(f.gate_error()); return false; }
  if (type == task_gate) {
    bool committed;
    const TaskSwitch t{.selector = g.gate_selector(), .source = TaskSwitch::gate, .ext = f.ext(), .return_ip = f.return_rip, .has_error = f.has_error, .error = f.error};
    return switch_task(c, t, committed);
  }
  const u16 sel = g.gate_selector();
  const unsigned width = type & 8 ? 4 : 2;
  const u64 rip = width == 4 ? g.gate_offset32() : g.gate_offset32() & 0xffff;
  Descriptor d;
  bool inner;
  if (!gate_target(c, f, sel, inner, d)) return false;
  const unsigned cpl = inner ? d.dpl() : c.cpl();
  Stack s{.ss = c.seg[SS], .sp = c.r[4], .wide = false, .user = cpl == 3, .error = f.ext()};
  if (inner && !stack_from_tss(c, cpl, f.ext(), s)) return false;
  s.sp = s.masked(s.sp);
  if (rip > d.limit()) { c.gp(f.ext()); return false; }
  u64 values[12];
  unsigned n = 0;
  const bool from_vm86 = c.vm86();
  if (from_vm86)
    for (unsigned x : {GS, FS, DS, ES}) values[n++] = c.seg[x].sel;
  if (inner) values[n++] = c.seg[SS].sel, values[n++] = c.r[4];
  values[n++] = c.rflags(), values[n++] = c.seg[CS].sel, values[n++] = f.return_rip;
  if (f.has_error) values[n++] = f.error;
  if (!set_accessed(c, d) || !push_all(c, s, values, n, width)) return false;
  use_stack(c, s);
  if (from_vm86)
    for (unsigned x : {GS, FS, DS, ES}) c.seg[x] = null_segment(0, 0);
  enter_handler(c, sel, d, cpl, rip, !(type & 1));
  return true;
}

/// SDM 3B "Class 2-Maskable Hardware Interrupt Handling in Virtual-8086 Mode ...", "Software Interrupt Handling Methods":
/// with CR4.VME the redirection bitmap of the TSS may send INT n to the 8086 program's own table.
bool redirected(Cpu& c, u8 vector, bool& yes) {
  yes = false;
  if (!(c.cr4 & cr4::VME)) return true;
  u16 map;
  if (c.tr.limit < 103) return true;
  if (!c.load_system(c.tr.base + 102, &map, 2)) return false;
  const u32 at = map - 32u + vector / 8;
  if (at > c.tr.limit) return true;
  u8 b;
  if (!c.load_system(c.tr.base + at, &b, 1)) return false;
  yes = !bit(b, vector % 8);
  return true;
}

}  // namespace

bool Cpu::deliver_event(u8 vector, bool has_error, u32 error, bool software, u64 return_rip, bool external) {
  const u32 type = vmx.idt_vectoring_info >> 8 & 7;
  const Frame f{vector, has_error, error, software, return_rip};
  // No block executes now: devices and code may be touched at once.
  const bool was_careful = careful;
  careful = true;
  bool ok, to_8086 = false;
  if (!protected_mode()) ok = deliver_real(*this, f, idtr.base, idtr.limit);
  else if (long_mode()) ok = deliver_long(*this, f);
  else if (vm86() && type == kind::software && software && !redirected(*this, vector, to_8086)) ok = false;
  else if (to_8086) ok = deliver_real(*this, f, 0, 0x3ff);
  else ok = deliver_protected(*this, f);
  careful = was_careful;
  if (ok) {
    if (timing_ && !software) timing_->event(Cause::interrupt, external ? timing_->profile().interrupt : timing_->profile().exception);
    vmx.idt_vectoring_info = vmx.idt_vectoring_error = vmx.idt_vectoring_length = 0;
    vmx.nmi_unblocked_by_iret = false;
    if (vmx.steps_singly()) vmx.mtf_pending = true;  // SDM 3C "Monitor Trap Flag": behind the delivery, of what kind so ever
    attention = true;
  }
  return ok;
}

void Cpu::deliver() {
  const auto exited = [&] {
    vmx.idt_vectoring_info = vmx.idt_vectoring_error = vmx.idt_vectoring_length = 0;
    vmx.nmi_unblocked_by_iret = false;
    attention = true;
  };
  // At most: benign, contributory, page fault, double fault, shutdown.
  for (unsigned depth = 0;; ++depth) {
    CHECK(depth < 8, "nested exceptions do not end");
    const bool nested = vmx.idt_vectoring_info & kValid;
    switch (fault.kind) {
      case Fault::Kind::none: case Fault::Kind::careful: case Fault::Kind::stopped: return;
      case Fault::Kind::ept_violation: case Fault::Kind::ept_misconfig:
        // SDM 3C "Saving RIP, RSP, RFLAGS, and SSP": RF is saved as 1 unless an event was being delivered.
        if (!nested) flags |= rflags::RF;
        [[fallthrough]];
      case Fault::Kind::vm_exit:
        vm_exit_from_fault(*this);
        return exited();
      case Fault::Kind::exception: case Fault::Kind::software: break;
    }
    if (nested) {
      const u8 first = vmx.idt_vectoring_info & 0xff;
      const bool hardware = (vmx.idt_vectoring_info >> 8 & 7) == kind::hardware;
      if (hardware && first == DF) {
        vmx.idt_vectoring_info = vmx.idt_vectoring_error = vmx.idt_vectoring_length = 0;
        if (non_root()) {
          vm_exit_triple_fault(*this);
          return exited();
        }
        activity = Activity::shutdown;
        out_.stop().request(StopReason::triple_fault, "triple fault", "SDM 3A \"Interrupt 8-Double Fault Exception (#DF)\"");
        return;
      }
      if (hardware && doubles(first, fault.vector)) {
        raise(DF, 0);
        // A VM exit that the double fault itself causes does not count as one during delivery.
        vmx.idt_vectoring_info = vmx.idt_vectoring_error = vmx.idt_vectoring_length = 0;
      }
    }
    const bool software = fault.kind == Fault::Kind::software;
    if (!software && fault.vector != DB) pending_debug &= ~u64{0xf};  // data breakpoints of an instruction that did not complete
    const u64 return_rip = software ? (r[kRipReg] + left_at->next_off()) & (code64_now ? ~u64{0} : 0xffff'ffff) : rip;
    // SDM 3B "Instruction-Breakpoint Exception Condition": INT n has completed when its frame is made.
    if (software) flags &= ~rflags::RF;
    if (sets_rf(fault)) flags |= rflags::RF;
    if (fault.vector < 32) ++stats.exceptions[fault.vector];
    if (EventSink* e = out_.events(); e && !software) e->on({EventKind::exception, static_cast<u16>(index_), step(), rip, fault.vector, fault.error, fault.address, 0});
    if (non_root() && exception_exits(*this)) return exited();

    const Fault f = fault;
    fault = {};
    if (!software && f.vector == PF) cr2 = f.address;
    if (!software && f.vector == DB) {
      // SDM 3B "Debug Status Register (DR6)": B0-B3 show this exception's conditions, the rest accumulates.
      dr[6] = (dr[6] & ~u64{0xf}) | (f.qualification & 0xe00f);
      dr[7] &= ~u64{0x2000};
      msr.debugctl &= ~u64{3};  // LBR, BTF
    }
    const u32 type = software ? f.software_type : kind::hardware;
    vmx.idt_vectoring_info = kValid | f.vector | type << 8 | (f.has_error ? 1u << 11 : 0);
    vmx.idt_vectoring_error = f.error;
    vmx.idt_vectoring_length = software ? left_at->len : 0;
    if (deliver_event(f.vector, f.has_error, f.error, software && type != kind::privileged, return_rip, false)) return;
  }
}

}  // namespace vt::cpu
