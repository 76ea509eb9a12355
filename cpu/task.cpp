// SPDX-License-Identifier: GPL-2.0-or-later
/// Hardware task switches.   SDM 3A "Task Switching", "Task-State Segment (TSS)", "16-Bit Task-State Segment (TSS)", "Task Linking"
#include "insn/system.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

/// Offsets of what a switch saves and loads; registers and selectors are in the processor's order.
struct Layout {
  unsigned width;      ///< of the instruction pointer, flags and registers
  u32 ip;              ///< instruction pointer, flags, eight registers
  u32 selectors;       ///< ES CS SS DS, and FS GS of the 32-bit form
  unsigned count, pitch;
  u32 ldt;
  u32 saved_limit;     ///< last byte that is written
  u32 limit;           ///< the least that a new TSS must have
};
constexpr Layout kTss32{4, 0x20, 0x48, 6, 4, 0x60, 0x5d, 0x67}, kTss16{2, 0x0e, 0x22, 4, 2, 0x2a, 0x29, 0x2b};
constexpr u32 kCr3 = 0x1c, kTrap = 0x64;

const Layout& layout(unsigned type) { return type & 8 ? kTss32 : kTss16; }

/// What the new task starts with.
struct Image {
  u32 cr3 = 0, ip = 0, flags = 0, reg[8] = {};
  u16 sel[6] = {}, ldt = 0;
  bool trap = false;
};

bool read(Cpu& c, u64 base, unsigned type, Image& m) {
  const Layout& l = layout(type);
  u8 raw[0x68] = {};
  const u32 size = l.limit + 1;
  for (u32 at = 0; at < size; at += 52)
    if (!c.load_system(static_cast<u32>(base + at), raw + at, std::min(size - at, 52u))) return false;
  const auto get = [&](u32 at, unsigned width) {
    u32 v = 0;
    std::memcpy(&v, raw + at, width);
    return v;
  };
  m.ip = get(l.ip, l.width);
  m.flags = get(l.ip + l.width, l.width);
  // The upper halves that a 16-bit TSS says nothing about are ones, as processors have them.
  for (unsigned n = 0; n < 8; ++n) m.reg[n] = get(l.ip + (2 + n) * l.width, l.width) | (l.width == 2 ? 0xffff'0000 : 0);
  for (unsigned n = 0; n < l.count; ++n) m.sel[n] = static_cast<u16>(get(l.selectors + n * l.pitch, 2));
  m.ldt = static_cast<u16>(get(l.ldt, 2));
  if (l.width == 4) m.cr3 = get(kCr3, 4), m.trap = raw[kTrap] & 1;
  return true;
}

/// The state of the old task, or only the faults that saving it would have.
bool save(Cpu& c, u64 ip, u64 flags, bool check) {
  const Layout& l = layout(c.tr.type());
  const As system{.user = false, .implicit = true, .wide = false, .seg = DS};
  u8 raw[40];
  const auto put = [&](unsigned n, u64 v) { std::memcpy(raw + n * l.width, &v, l.width); };
  put(0, ip);
  put(1, flags);
  for (unsigned n = 0; n < 8; ++n) put(2 + n, c.r[n]);
  const auto store = [&](u32 at, const void* from, unsigned size) {
    const u32 la = static_cast<u32>(c.tr.base + at);
    return check ? check_write_as(c, la, size, system) : write_as(c, la, from, size, system);
  };
  if (!store(l.ip, raw, 10 * l.width)) return false;
  for (unsigned n = 0; n < l.count; ++n)
    if (!store(l.selectors + n * l.pitch, &c.seg[n].sel, 2)) return false;
  return true;
}

/// The busy flag of the descriptor at `at`.
bool set_busy(Cpu& c, u64 at, bool busy) {
  u8 b;
  if (!c.load_system(at + 5, &b, 1)) return false;
  b = static_cast<u8>(busy ? b | 2 : b & ~2);
  return c.store_system(at + 5, &b, 1);
}
bool can_set_busy(Cpu& c, u64 at) { return check_write_as(c, static_cast<u32>(at + 5), 1, {.user = false, .implicit = true, .wide = false, .seg = DS}); }

bool load_ldt(Cpu& c, u16 sel, u32 ext) {
  c.ldtr = null_segment(sel, 0);
  if (null_selector(sel)) return true;
  const auto bad = [&] { return c.ts(selector_error(sel, ext)), false; };
  Descriptor d;
  if (sel & 4) return bad();
  if (!read_descriptor(c, sel, TS, ext, d)) return false;
  if (d.s() || d.type() != system_type::ldt || !d.present()) return bad();
  c.ldtr = make_segment(sel, d);
  return true;
}

/// SDM 3A "Exception Conditions Checked During a Task Switch"
bool load_segment_of_task(Cpu& c, unsigned s, u16 sel, unsigned cpl, u32 ext) {
  const auto bad = [&] { return c.ts(selector_error(sel, ext)), false; };
  if (null_selector(sel)) return (s != CS && s != SS) || bad();
  Descriptor d;
  if (!read_descriptor(c, sel, TS, ext, d)) return false;
  const unsigned rpl = sel & 3;
  if (s == CS) {
    if (!d.code() || (d.conforming() ? d.dpl() > rpl : d.dpl() != rpl)) return bad();
    if (!d.present()) return c.np(selector_error(sel, ext)), false;
  } else if (s == SS) {
    if (!d.writable_data()) return bad();
    if (!d.present()) return c.ss(selector_error(sel, ext)), false;
    if (d.dpl() != cpl || rpl != cpl) return bad();
  } else {
    if (!d.data() && !(d.code() && d.readable_code())) return bad();
    if (!d.present()) return c.np(selector_error(sel, ext)), false;
    if (!(d.code() && d.conforming()) && (d.dpl() < cpl || d.dpl() < rpl)) return bad();
  }
  if (!set_accessed(c, d)) return false;
  c.seg[s] = make_segment(sel, d);
  return true;
}

/// What comes behind the commit point: faults are those of the new task, before its first instruction.
bool begin(Cpu& c, const TaskSwitch& t, const Image& m, unsigned width) {
  if ((c.cr0 & cr0::PG) && width == 4 && !write_cr3(c, m.cr3)) {
    if (c.fault.kind == Fault::Kind::exception && c.fault.has_error) c.fault.error |= t.ext;
    return false;
  }
  if (!load_ldt(c, m.ldt, t.ext)) return false;
  if (!c.vm86())
    for (unsigned s : {CS, SS, DS, ES, FS, GS})
      if (!load_segment_of_task(c, s, m.sel[s], m.sel[CS] & 3u, t.ext)) return false;
  c.update();
  if (t.has_error) {
    Stack stack{.ss = c.seg[SS], .sp = c.r[4], .wide = false, .user = c.cpl() == 3, .error = t.ext};
    stack.sp = stack.masked(stack.sp);
    const u64 code = t.error;
    if (!push_all(c, stack, &code, 1, width)) return false;
    use_stack(c, stack);
  }
  if (m.ip > c.seg[CS].limit) return c.gp(t.ext), false;
  return true;
}

}  // namespace

bool switch_task(Cpu& c, const TaskSwitch& t, bool& committed) {
  committed = false;
  using namespace system_type;
  const bool iret = t.source == TaskSwitch::iret, nested = t.source == TaskSwitch::call || t.source == TaskSwitch::gate;
  const u32 error = selector_error(t.selector, t.ext);
  const u8 refused = iret ? TS : GP;
  const auto fails = [&](u8 vector) { return c.raise(vector, error), false; };

  // The new TSS. SDM 2 "CALL", "INT n/INTO/INT3/INT1", "IRET": tasks; VM exits come behind these checks.
  Descriptor d;
  if (null_selector(t.selector) || (t.selector & 4)) return fails(refused);
  if (!read_descriptor(c, t.selector, refused, t.ext, d)) return false;
  if (d.s() || (iret ? d.type() != tss_busy && d.type() != tss16_busy : d.type() != tss && d.type() != tss16)) return fails(refused);
  if (!d.present()) return fails(NP);
  const Layout& fresh = layout(d.type());
  if (d.limit() < fresh.limit) return fails(TS);
  if (c.non_root()) {
    // SDM 3C "Treatment of Task Switches"
    c.fault = {};
    c.fault.kind = Fault::Kind::vm_exit;
    c.fault.reason = static_cast<u32>(ExitReason::task_switch);
    c.fault.qualification = t.selector | u64{t.source} << 30;
    c.fault.error = t.length | (c.sti_shadow ? 0x100u : 0) | (c.movss_shadow ? 0x200u : 0);
    return false;
  }
  if (!c.careful) return do_again_alone(c);  // nothing of what follows can be done twice

  // Everything that is written before the commit point must be writable, everything that is read readable.
  const Layout& old = layout(c.tr.type());
  if (c.tr.limit < old.saved_limit) return c.ts(selector_error(c.tr.sel, t.ext)), false;
  const u64 old_descriptor = c.gdtr.base + (c.tr.sel & 0xfff8u);
  u64 saved = c.rflags();
  if (t.source != TaskSwitch::gate) saved &= ~rflags::RF;
  if (iret) saved &= ~rflags::NT;
  Image m;
  if (!save(c, t.return_ip, saved, true) || !read(c, d.base(), d.type(), m)) return false;
  const As system{.user = false, .implicit = true, .wide = false, .seg = DS};
  if (nested && !check_write_as(c, static_cast<u32>(d.base()), 2, system)) return false;
  if (!nested && !can_set_busy(c, old_descriptor)) return false;
  if (!iret && !can_set_busy(c, d.at)) return false;

  if (!nested && !set_busy(c, old_descriptor, false)) return false;
  if (!save(c, t.return_ip, saved, false) || !read(c, d.base(), d.type(), m)) return false;  // the two may be one
  if (!iret && !set_busy(c, d.at, true)) return false;
  if (nested && !c.store_system(static_cast<u32>(d.base()), &c.tr.sel, 2)) return false;

  committed = true;
  d.lo |= u64{2} << 40;
  c.tr = make_segment(t.selector, d);
  c.cr0 |= cr0::TS;
  c.dr[7] &= ~u64{0x55};  // SDM 3B "Debug Control Register (DR7)": the local enables
  c.set_rflags((m.flags & 0x3f'7fd7) | (nested ? rflags::NT : 0));
  for (unsigned n = 0; n < 8; ++n) c.r[n] = m.reg[n];
  const unsigned cpl = m.sel[CS] & 3;
  for (unsigned s = 0; s < 6; ++s) {
    c.seg[s] = null_segment(m.sel[s], s == SS ? cpl : 0);
    if (c.vm86()) c.seg[s] = {u64{m.sel[s]} << 4, 0xffff, 0xf3, m.sel[s]};
  }
  c.rip = c.target = m.ip;
  const bool ok = begin(c, t, m, fresh.width);
  c.update();
  c.want_attention();
  if (ok && m.trap) c.pending_debug |= 0x8000;  // SDM 3B "Task-Switch Exception Condition"
  return ok;
}

}  // namespace vt::cpu
