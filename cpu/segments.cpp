// SPDX-License-Identifier: GPL-2.0-or-later
#include "segments.hpp"

namespace vt::cpu {

Segment make_segment(u16 sel, const Descriptor& d) {
  Segment g;
  g.sel = sel;
  g.base = d.base();
  g.limit = d.limit();
  g.ar = d.ar();
  return g;
}

Segment null_segment(u16 sel, unsigned dpl) {
  Segment g;
  g.sel = sel;
  g.ar = 0x10000 | dpl << 5;
  return g;
}

bool read_descriptor(Cpu& c, u16 sel, u8 vector, u32 ext, Descriptor& d) {
  const bool local = sel & 4;
  const u64 base = local ? c.ldtr.base : c.gdtr.base;
  const u32 limit = local ? c.ldtr.limit : c.gdtr.limit;
  const u32 offset = sel & 0xfff8u;
  if ((local && c.ldtr.unusable()) || offset + 7 > limit) {
    c.raise(vector, selector_error(sel, ext));
    return false;
  }
  d = {};
  d.at = base + offset;
  return c.load_system(d.at, &d.lo, 8);
}

bool read_upper(Cpu& c, u16 sel, u8 vector, u32 ext, Descriptor& d) {
  const u32 limit = sel & 4 ? c.ldtr.limit : c.gdtr.limit;
  if ((sel & 0xfff8u) + 15 > limit) {
    c.raise(vector, selector_error(sel, ext));
    return false;
  }
  if (!c.load_system(d.at + 8, &d.hi, 8)) return false;
  if (bits(d.hi, 44, 40)) {  // the type field of the upper half must be zero
    c.raise(vector, selector_error(sel, ext));
    return false;
  }
  d.hi &= 0xffff'ffff;
  return true;
}

bool set_accessed(Cpu& c, Descriptor& d) {
  if (!d.s() || bit(d.lo, 40)) return true;
  d.lo |= u64{1} << 40;
  const u8 b = static_cast<u8>(d.lo >> 40);
  return c.store_system(d.at + 5, &b, 1);
}

bool within(const Segment& g, u64 offset, unsigned size) {
  const u64 last = offset + size - 1;
  const bool expand_down = g.s() && (g.ar & 0xc) == 4;
  if (expand_down) return offset > g.limit && last <= (g.db() ? 0xffff'ffffu : 0xffffu);
  return last <= g.limit || g.limit == 0xffff'ffff;
}

bool push_all(Cpu& c, Stack& stack, const u64* values, unsigned n, unsigned width) {
  const As as{.user = stack.user, .implicit = false, .wide = stack.wide, .seg = SS};
  auto fix = [&] {
    if (c.fault.kind == Fault::Kind::exception && c.fault.vector == SS_) c.fault.error = stack.error;
    return false;
  };
  if (stack.wide && width == 8) {
    u64 frame[16];
    for (unsigned i = 0; i < n; ++i) frame[n - 1 - i] = values[i];
    const u64 to = stack.sp - 8 * n;
    if (!write_as(c, to, frame, 8 * n, as)) return fix();
    stack.sp = to;
    return true;
  }
  u64 sp = stack.sp;
  for (int pass = 0; pass < 2; ++pass) {
    sp = stack.sp;
    for (unsigned i = 0; i < n; ++i) {
      sp = stack.masked(sp - width);
      if (!stack.wide && !within(stack.ss, sp, width)) { c.ss(stack.error); return false; }
      const u64 la = stack.wide ? sp : static_cast<u32>(stack.ss.base + sp);
      if (pass == 0 ? !check_write_as(c, la, width, as) : !write_as(c, la, &values[i], width, as)) return fix();
    }
  }
  stack.sp = sp;
  return true;
}

bool stack_from_tss(Cpu& c, unsigned dpl, u32 ext, Stack& stack) {
  // SDM 3A "Stack Switching": TSS 32-bit: ESPn at 4 + 8n, SSn at 8 + 8n; 16-bit: SPn at 2 + 4n, SSn at 4 + 4n.
  const bool wide = c.tr.type() & 8;
  const u32 at = wide ? 4 + 8 * dpl : 2 + 4 * dpl;
  if (at + (wide ? 5u : 3u) > c.tr.limit) { c.ts(selector_error(c.tr.sel, ext)); return false; }
  u64 raw = 0;
  if (!c.load_system(c.tr.base + at, &raw, wide ? 6 : 4)) return false;
  stack.sp = wide ? raw & 0xffff'ffff : raw & 0xffff;
  const u16 sel = static_cast<u16>(wide ? raw >> 32 : raw >> 16);
  if (null_selector(sel)) { c.ts(ext); return false; }
  Descriptor d;
  if (!read_descriptor(c, sel, TS, ext, d)) return false;
  if ((sel & 3u) != dpl || d.dpl() != dpl || !d.writable_data()) { c.ts(selector_error(sel, ext)); return false; }
  if (!d.present()) { c.ss(selector_error(sel, ext)); return false; }
  if (!set_accessed(c, d)) return false;
  stack.ss = make_segment(sel, d);
  stack.wide = false;
  stack.user = dpl == 3;
  stack.error = selector_error(sel, ext);
  return true;
}

bool rsp_from_tss(Cpu& c, unsigned index, u32 ext, u64& rsp) {
  // SDM 3A "Task Management in 64-bit Mode": RSP0 at 4, RSP1, RSP2, then IST1 at 36.
  const u32 at = index < 3 ? 4 + 8 * index : 36 + 8 * (index - 4);
  if (at + 7 > c.tr.limit) { c.ts(selector_error(c.tr.sel, ext)); return false; }
  return c.load_system(c.tr.base + at, &rsp, 8);
}

void use_stack(Cpu& c, const Stack& stack) {
  c.seg[SS] = stack.ss;
  if (stack.wide) c.r[4] = stack.sp;
  else if (stack.ss.db()) c.r[4] = static_cast<u32>(stack.sp);
  else c.set_reg<u16>(4, static_cast<u16>(stack.sp));
}

u64 changeable_flags(const Cpu& c, unsigned osz) {
  u64 m = rflags::kArith | rflags::TF | rflags::DF | rflags::NT;
  if (osz) m |= rflags::RF | rflags::AC | rflags::ID;
  if (c.cpl() <= bits(c.flags, 13, 12)) m |= rflags::IF;
  if (c.cpl() == 0) m |= rflags::IOPL | (osz ? rflags::VIF | rflags::VIP : 0);
  return m;
}

void drop_inner_segments(Cpu& c) {
  const unsigned cpl = c.cpl();
  for (unsigned s : {ES, DS, FS, GS}) {
    Segment& g = c.seg[s];
    if (g.unusable()) continue;
    const bool data_or_nonconforming = !(g.type() & 8) || !(g.type() & 4);
    if (data_or_nonconforming && g.dpl() < cpl) g = null_segment(0, 0);
  }
}

}  // namespace vt::cpu
