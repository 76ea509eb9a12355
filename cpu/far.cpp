// SPDX-License-Identifier: GPL-2.0-or-later
/// Segment loads and far transfers.   SDM 2 "MOV", "JMP", "CALL", "RET", "IRET/IRETD/IRETQ", "INT n/INTO/INT3/INT1"; SDM 3A "Privilege Levels"
#include "segments.hpp"

namespace vt::cpu {
namespace {

bool canonical(u64 a) { return static_cast<u64>(sext(a, 48)) == a; }
bool segmented_8086(const Cpu& c) { return !c.protected_mode() || c.vm86(); }
u64 width_mask(unsigned osz) { return osz == 2 ? ~u64{0} : osz == 1 ? 0xffff'ffff : 0xffff; }

/// Commits a real-address or virtual-8086 mode transfer. Like other instructions these leave RF clear, unless they load it.
Next real_transfer(Cpu& c, u16 selector, u64 rip, u64 clear = rflags::RF) {
  c.seg[CS].sel = selector;
  c.seg[CS].base = u64{selector} << 4;
  if (c.vm86()) c.seg[CS].limit = 0xffff, c.seg[CS].ar = 0xf3;
  c.target = rip;
  c.flags &= ~clear;
  c.update();
  return Next::leave;
}

/// Is `d` a code segment with a legal L/D combination?
bool good_code(const Cpu& c, const Descriptor& d) { return d.code() && !(c.long_mode() && d.l() && d.db()); }

/// The target of a transfer into `d`, of which 32 bits count where that is not 64-bit code. False: #GP(0).
bool good_offset(Cpu& c, const Descriptor& d, u64& rip) {
  const bool to64 = c.long_mode() && d.l();
  if (!to64) rip = static_cast<u32>(rip);
  if (to64 ? !canonical(rip) : rip > d.limit()) { c.gp(0); return false; }
  return true;
}

Next commit_code(Cpu& c, u16 sel, Descriptor& d, unsigned cpl, u64 rip, u64 clear = rflags::RF) {
  c.seg[CS] = make_segment(static_cast<u16>((sel & 0xfffc) | cpl), d);
  c.target = rip;
  c.flags &= ~clear;
  c.update();
  return Next::leave;
}

struct Gate { u16 sel; u64 rip; unsigned width; unsigned parameters; };

/// A far JMP or CALL that named a system descriptor. True: it is a usable call gate.
bool call_gate(Cpu& c, u16 sel, Descriptor& d, Gate& g) {
  using namespace system_type;
  const unsigned type = d.type();
  const u32 error = selector_error(sel);
  const bool gate = c.long_mode() ? type == call : type == call || type == call16;
  if (!gate) { c.gp(error); return false; }
  if (d.dpl() < c.cpl() || d.dpl() < (sel & 3u)) { c.gp(error); return false; }
  if (c.long_mode() && !read_upper(c, sel, GP, 0, d)) return false;
  if (!d.present()) { c.np(error); return false; }
  g.sel = d.gate_selector();
  g.width = c.long_mode() ? 8 : type == call ? 4 : 2;
  g.rip = c.long_mode() ? d.gate_offset64() : g.width == 4 ? d.gate_offset32() : d.gate_offset32() & 0xffff;
  g.parameters = c.long_mode() ? 0 : d.gate_parameters();
  return true;
}

/// Far JMP and CALL to a TSS or through a task gate, and IRET with NT. What faults behind the commit point has the new task's EIP.
Next task_transfer(Cpu& c, const Insn& i, u16 selector, TaskSwitch::Source source) {
  bool committed;
  if (switch_task(c, {.selector = selector, .source = source, .return_ip = static_cast<u32>(c.rip_after(i)), .length = i.len}, committed)) return Next::leave;
  if (committed) c.r[kRipReg] = c.rip - i.off;  // where a fault is reported
  return Next::fault;
}
bool task_descriptor(const Cpu& c, const Descriptor& d) {
  using namespace system_type;
  return !c.long_mode() && (d.type() == task_gate || d.type() == tss16 || d.type() == tss);
}
Next far_task(Cpu& c, const Insn& i, u16 sel, const Descriptor& d, TaskSwitch::Source source) {
  if (d.dpl() < c.cpl() || d.dpl() < (sel & 3u)) return c.gp(selector_error(sel));
  if (d.type() != system_type::task_gate) return task_transfer(c, i, sel, source);
  if (!d.present()) return c.np(selector_error(sel));
  return task_transfer(c, i, d.gate_selector(), source);
}

/// The code segment that a call gate names.
bool gate_code(Cpu& c, const Gate& g, bool is_call, Descriptor& d) {
  if (null_selector(g.sel)) { c.gp(0); return false; }
  if (!read_descriptor(c, g.sel, GP, 0, d)) return false;
  const bool bad = !d.code() || d.dpl() > c.cpl() || (!is_call && !d.conforming() && d.dpl() != c.cpl()) || (c.long_mode() && (!d.l() || d.db()));
  if (bad) { c.gp(selector_error(g.sel)); return false; }
  if (!d.present()) { c.np(selector_error(g.sel)); return false; }
  return true;
}

/// Direct JMP and CALL: privilege checks of the code segment.   SDM 3A "Accessing Nonconforming Code Segments"
bool direct_code(Cpu& c, u16 sel, const Descriptor& d) {
  const bool bad = !good_code(c, d) || (d.conforming() ? d.dpl() > c.cpl() : (sel & 3u) > c.cpl() || d.dpl() != c.cpl());
  if (bad) { c.gp(selector_error(sel)); return false; }
  if (!d.present()) { c.np(selector_error(sel)); return false; }
  return true;
}

Stack current_stack(const Cpu& c) {
  Stack s{.ss = c.seg[SS], .sp = c.r[4], .wide = c.stack64, .user = c.cpl() == 3, .error = 0};
  s.sp = s.masked(s.sp);
  return s;
}

/// Reads `n` values of `width` bytes from the top of the stack, beginning `offset` bytes up: the last one first, as processors do (found by
/// the native judge). Of selectors (a bit each) 16 bits are read.
bool peek_all(Cpu& c, u64* to, unsigned n, unsigned width, u64 offset = 0, unsigned selectors = 0) {
  offset += u64{n} * width;
  for (unsigned i = n; i--;) {
    offset -= width;
    u16 a;
    u32 b;
    u64 q;
    const bool narrow = width == 2 || selectors >> i & 1;
    const bool ok = narrow ? c.peek_stack<u16>(offset, a) : width == 4 ? c.peek_stack<u32>(offset, b) : c.peek_stack<u64>(offset, q);
    if (!ok) return false;
    to[i] = narrow ? a : width == 4 ? b : q;
  }
  return true;
}

/// The code segment that a far return goes back to.
bool return_code(Cpu& c, u16 sel, Descriptor& d) {
  if (null_selector(sel)) { c.gp(0); return false; }
  if (!read_descriptor(c, sel, GP, 0, d)) return false;
  const unsigned rpl = sel & 3;
  if (!good_code(c, d) || rpl < c.cpl() || (d.conforming() ? d.dpl() > rpl : d.dpl() != rpl)) { c.gp(selector_error(sel)); return false; }
  if (!d.present()) { c.np(selector_error(sel)); return false; }
  return true;
}

/// The stack segment that a return to `rpl` names. `to64`: the code is 64-bit.
bool return_stack(Cpu& c, u16 sel, unsigned rpl, bool to64, Segment& ss) {
  if (null_selector(sel)) {
    if (!to64 || rpl == 3 || (sel & 3u) != rpl) { c.gp(0); return false; }
    ss = null_segment(sel, rpl);
    return true;
  }
  Descriptor d;
  if (!read_descriptor(c, sel, GP, 0, d)) return false;
  if ((sel & 3u) != rpl || !d.writable_data() || d.dpl() != rpl) { c.gp(selector_error(sel)); return false; }
  if (!d.present()) { c.ss(selector_error(sel)); return false; }
  if (!set_accessed(c, d)) return false;
  ss = make_segment(sel, d);
  return true;
}

constexpr u64 kDefinedFlags = 0x3f'7fd7;

/// Sets the flags in `changed` to their values in `f`.
void load_flags(Cpu& c, u64 f, u64 changed) {
  c.set_rflags((c.rflags() & ~changed) | (f & changed));
  c.attention = true;
}

}  // namespace

bool Cpu::load_segment(unsigned s, u16 selector) {
  if (segmented_8086(*this)) {
    Segment& g = seg[s];
    g.sel = selector;
    g.base = u64{selector} << 4;
    if (vm86()) g.limit = 0xffff, g.ar = 0xf3;
    else if (g.unusable()) g.ar = 0x93;  // limit and rights stay as they were left
    update();
    return true;
  }
  const unsigned rpl = selector & 3;
  if (null_selector(selector)) {
    if (s == SS && (!code64_now || cpl() == 3 || rpl != cpl())) { gp(0); return false; }
    seg[s] = null_segment(selector, s == SS ? cpl() : 0);
    update();
    return true;
  }
  Descriptor d;
  if (!read_descriptor(*this, selector, GP, 0, d)) return false;
  const u32 error = selector_error(selector);
  if (s == SS) {
    if (rpl != cpl() || !d.writable_data() || d.dpl() != cpl()) { gp(error); return false; }
    if (!d.present()) { ss(error); return false; }
  } else {
    if (!d.s() || (d.code() && !d.readable_code())) { gp(error); return false; }
    if (!(d.code() && d.conforming()) && (rpl > d.dpl() || cpl() > d.dpl())) { gp(error); return false; }
    if (!d.present()) { np(error); return false; }
  }
  if (!set_accessed(*this, d)) return false;
  seg[s] = make_segment(selector, d);
  update();
  return true;
}

Next Cpu::far_jump(const Insn& i, u16 selector, u64 offset) {
  offset &= width_mask(i.osz());
  if (segmented_8086(*this)) {
    if (offset > (vm86() ? 0xffff : seg[CS].limit)) return gp(0);
    return real_transfer(*this, selector, offset);
  }
  if (null_selector(selector)) return gp(0);
  Descriptor d;
  if (!read_descriptor(*this, selector, GP, 0, d)) return Next::fault;
  u16 sel = selector;
  if (d.s()) {
    if (!direct_code(*this, sel, d)) return Next::fault;
  } else if (task_descriptor(*this, d)) {
    return far_task(*this, i, selector, d, TaskSwitch::jump);
  } else {
    Gate g;
    if (!call_gate(*this, selector, d, g)) return Next::fault;
    if (!gate_code(*this, g, false, d)) return Next::fault;
    sel = g.sel, offset = g.rip;
  }
  if (!good_offset(*this, d, offset) || !set_accessed(*this, d)) return Next::fault;
  return commit_code(*this, sel, d, cpl(), offset);
}

Next Cpu::far_call(const Insn& i, u16 selector, u64 offset) {
  offset &= width_mask(i.osz());
  const u64 after = rip_after(i) & (code64_now ? ~u64{0} : 0xffff'ffff);
  unsigned width = 2u << i.osz();
  Stack stack = current_stack(*this);
  if (segmented_8086(*this)) {
    if (offset > (vm86() ? 0xffff : seg[CS].limit)) return gp(0);
    const u64 values[] = {seg[CS].sel, after};
    if (!push_all(*this, stack, values, 2, width)) return Next::fault;
    use_stack(*this, stack);
    return real_transfer(*this, selector, offset);
  }
  if (null_selector(selector)) return gp(0);
  Descriptor d;
  if (!read_descriptor(*this, selector, GP, 0, d)) return Next::fault;
  u16 sel = selector;
  unsigned new_cpl = cpl();
  u64 values[2 + 2 + 31] = {};
  unsigned n = 0;
  if (d.s()) {
    if (!direct_code(*this, sel, d)) return Next::fault;
    if (long_mode()) stack.wide = d.l(), stack.sp = stack.masked(r[4]);  // the stack is the new mode's
  } else if (task_descriptor(*this, d)) {
    return far_task(*this, i, selector, d, TaskSwitch::call);
  } else {
    Gate g;
    if (!call_gate(*this, selector, d, g)) return Next::fault;
    if (!gate_code(*this, g, true, d)) return Next::fault;
    sel = g.sel, offset = g.rip, width = g.width;
    if (!d.conforming() && d.dpl() < cpl()) {
      // SDM 3A "Stack Switching": parameters are copied from the caller's stack.
      new_cpl = d.dpl();
      values[n++] = seg[SS].sel;
      values[n++] = r[4];
      u64 parameters[31];
      if (!peek_all(*this, parameters, g.parameters, width)) return Next::fault;
      for (unsigned k = g.parameters; k-- > 0;) values[n++] = parameters[k];
      if (long_mode()) {
        stack = {.ss = null_segment(static_cast<u16>(new_cpl), new_cpl), .wide = true, .user = false, .error = 0};
        if (!rsp_from_tss(*this, new_cpl, 0, stack.sp)) return Next::fault;
        if (!canonical(stack.sp)) return ss(0);
      } else if (!stack_from_tss(*this, new_cpl, 0, stack)) {
        return Next::fault;
      }
    } else if (long_mode()) {
      stack.wide = true;
    }
  }
  values[n++] = seg[CS].sel;
  values[n++] = after;
  // What is pushed is in memory before the target is looked at, as with near calls; without a new stack one by one, as by PUSH.
  if (d.s() && new_cpl == cpl() && n == 2) {
    const u64 first = stack.masked(stack.sp - width), la = stack.wide ? first : static_cast<u32>(stack.ss.base + first);
    const bool there = stack.wide ? canonical(la) : within(stack.ss, first, width);
    if (there && (cr0 & cr0::AM) && (flags & rflags::AC) && cpl() == 3 && (la & (width - 1))) return raise(AC, 0);
    if (!push_all(*this, stack, values, 1, width) || !push_all(*this, stack, values + 1, 1, width)) return Next::fault;
  } else if (!push_all(*this, stack, values, n, width)) {
    return Next::fault;
  }
  if (!good_offset(*this, d, offset) || !set_accessed(*this, d)) return Next::fault;
  use_stack(*this, stack);
  return commit_code(*this, sel, d, new_cpl, offset);
}

Next Cpu::far_return(const Insn& i, unsigned osz, u16 pop_bytes) {
  const unsigned width = 2u << osz;
  u64 v[2];
  if (!peek_all(*this, v, 2, width, 0, 2)) return Next::fault;
  u64 rip = v[0];
  const u16 sel = static_cast<u16>(v[1]);
  if (segmented_8086(*this)) {
    if (rip > (vm86() ? 0xffff : seg[CS].limit)) return gp(0);
    set_sp(r[4] + 2 * width + pop_bytes);
    return real_transfer(*this, sel, rip);
  }
  Descriptor d;
  if (!return_code(*this, sel, d)) return Next::fault;
  const unsigned rpl = sel & 3;
  if (rpl == cpl()) {
    if (!good_offset(*this, d, rip) || !set_accessed(*this, d)) return Next::fault;
    set_sp(r[4] + 2 * width);
    const Next done = commit_code(*this, sel, d, rpl, rip);
    set_sp(r[4] + pop_bytes);  // as wide as the stack of the code that it is now in
    return done;
  }
  u64 outer[2];
  if (!peek_all(*this, outer, 2, width, 2 * width + pop_bytes, 2)) return Next::fault;
  Stack stack;
  stack.wide = long_mode() && d.l();
  if (!return_stack(*this, static_cast<u16>(outer[1]), rpl, stack.wide, stack.ss)) return Next::fault;
  if (!good_offset(*this, d, rip) || !set_accessed(*this, d)) return Next::fault;
  stack.sp = outer[0] + pop_bytes;
  use_stack(*this, stack);
  commit_code(*this, sel, d, rpl, rip);
  drop_inner_segments(*this);
  update();
  return Next::leave;
}

Next Cpu::iret(const Insn& i, unsigned osz) {
  // SDM 3A "Handling Multiple NMIs": IRET unblocks NMIs even if it faults. SDM 3C "Changes to Instruction Behavior in VMX
  // Non-Root Operation": virtual NMIs instead, or nothing with "NMI exiting" alone.
  // First the three values that every form pops: what may have to be done again alone is not done yet.
  const unsigned width = 2u << osz;
  const auto pops = [&](u64* to) {
    const bool ok = peek_all(*this, to, 3, width, 0, 2);
    if (!ok && fault.kind == Fault::Kind::careful) return false;
    bool& blocked = non_root() && (vmx.pin & pin_ctl::virtual_nmis) ? vmx.virtual_nmi_blocked : nmi_blocked;
    if (non_root() && (vmx.pin & pin_ctl::nmi) && !(vmx.pin & pin_ctl::virtual_nmis)) return ok;
    if (blocked) {
      vmx.nmi_unblocked_by_iret = true;
      if (!ok && fault.kind == Fault::Kind::ept_violation) fault.qualification |= 0x1000;
    }
    blocked = false;
    attention = true;
    return ok;
  };
  const auto done = [&] { vmx.nmi_unblocked_by_iret = false; };
  const u64 in_width = (osz == 0 ? 0xffff : 0x3f'ffff) & kDefinedFlags;

  if (!protected_mode()) {
    u64 v[3];
    if (!pops(v)) return Next::fault;
    if (v[0] > seg[CS].limit) return gp(0);
    set_sp(r[4] + 3 * width);
    load_flags(*this, v[2], in_width & 0x257fd5);
    done();
    return real_transfer(*this, static_cast<u16>(v[1]), v[0], osz ? 0 : rflags::RF);
  }

  if (vm86()) {
    const bool virtual_if = bits(flags, 13, 12) < 3;
    if (virtual_if && !((cr4 & cr4::VME) && osz == 0)) return gp(0);
    u64 v[3];
    if (!pops(v)) return Next::fault;
    if (v[0] > 0xffff) return gp(0);
    if (virtual_if) {
      // SDM 3B "Virtual-8086 Mode Extensions": IF goes to VIF.
      if ((v[2] & rflags::TF) || ((v[2] & rflags::IF) && (flags & rflags::VIP))) return gp(0);
      set_sp(r[4] + 3 * width);
      const u64 vif = v[2] & rflags::IF ? rflags::VIF : 0;
      load_flags(*this, (v[2] & 0xffff) | vif, (0xffff & kDefinedFlags & ~(rflags::IF | rflags::IOPL)) | rflags::VIF);
    } else {
      set_sp(r[4] + 3 * width);
      load_flags(*this, v[2], in_width & ~(rflags::IOPL | rflags::VM | rflags::VIF | rflags::VIP));
    }
    done();
    return real_transfer(*this, static_cast<u16>(v[1]), v[0], osz ? 0 : rflags::RF);
  }

  if (flags & rflags::NT) {
    if (long_mode()) return gp(0);
    u16 link;
    if (!non_root()) {
      if (!careful) return do_again_alone(*this), Next::fault;
      nmi_blocked = false;
      attention = true;
    }
    if (!load_system(tr.base, &link, 2)) return Next::fault;
    return task_transfer(*this, i, link, TaskSwitch::iret);
  }

  u64 v[5];
  if (!pops(v)) return Next::fault;
  u64 rip = v[0];
  const u64 image = v[2];
  const u16 sel = static_cast<u16>(v[1]);

  if (!long_mode() && osz == 1 && (image & rflags::VM) && cpl() == 0) {
    u64 s[6];  // ESP SS ES DS FS GS
    if (!peek_all(*this, s, 6, 4, 12)) return Next::fault;
    if (rip > 0xffff) return gp(0);
    set_rflags(image & kDefinedFlags);
    const struct { unsigned seg; u64 sel; } order[] = {{CS, sel}, {SS, s[1]}, {ES, s[2]}, {DS, s[3]}, {FS, s[4]}, {GS, s[5]}};
    for (auto& o : order) {
      Segment& g = seg[o.seg];
      g.sel = static_cast<u16>(o.sel);
      g.base = u64{g.sel} << 4;
      g.limit = 0xffff;
      g.ar = 0xf3;
    }
    r[4] = s[0] & 0xffff'ffff;
    target = rip;
    attention = true;
    done();
    update();
    return Next::leave;
  }

  Descriptor d;
  if (!return_code(*this, sel, d)) return Next::fault;
  const unsigned rpl = sel & 3;
  const bool to64 = long_mode() && d.l();
  const u64 changed = changeable_flags(*this, osz) & in_width;
  // SDM 2 "IRET": 64-bit mode always pops RSP and SS.
  const bool pops_stack = code64_now || rpl != cpl();
  const unsigned old_cpl = cpl();
  Stack stack;
  if (pops_stack) {
    if (!peek_all(*this, v + 3, 2, width, 3 * width, 2)) return Next::fault;
    stack.wide = to64;
    if (!return_stack(*this, static_cast<u16>(v[4]), rpl, to64, stack.ss)) return Next::fault;
    stack.sp = v[3];
  }
  if (!good_offset(*this, d, rip) || !set_accessed(*this, d)) return Next::fault;
  if (pops_stack) use_stack(*this, stack);
  else set_sp(r[4] + 3 * width);
  load_flags(*this, image, changed);
  commit_code(*this, sel, d, rpl, rip, osz ? 0 : rflags::RF);
  if (rpl != old_cpl) drop_inner_segments(*this);
  done();
  update();
  return Next::leave;
}

/// The IDT is looked at by `deliver`, where privilege of the gate, redirection and VM exits are decided too.
Next Cpu::software_interrupt(const Insn& i, u8 vector, u8 vmx_type) {
  if (vm86() && vmx_type == 4 && bits(flags, 13, 12) < 3) {
    // SDM 3B "Software Interrupt Handling Methods": methods 2, 3 and 4 need IOPL 3; 1, 5 and 6 are CR4.VME's redirection bitmap.
    bool to_8086 = false;
    if (cr4 & cr4::VME) {
      u16 map = 0;
      u8 b = 0xff;
      if (tr.limit >= 103) {
        if (!load_system(tr.base + 102, &map, 2)) return Next::fault;
        const u32 at = map - 32u + vector / 8;
        if (at <= tr.limit && !load_system(tr.base + at, &b, 1)) return Next::fault;
      }
      to_8086 = !bit(b, vector % 8);
    }
    if (!to_8086) return gp(0);
  }
  fault = {};
  fault.kind = Fault::Kind::software;
  fault.vector = vector;
  fault.software_type = vmx_type;
  return Next::fault;
}

}  // namespace vt::cpu
