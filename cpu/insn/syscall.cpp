// SPDX-License-Identifier: GPL-2.0-or-later
/// Fast system calls and the bases of FS and GS.   SDM 3A "Performing Fast Calls to System Procedures with the SYSENTER and SYSEXIT
/// Instructions", "Fast System Calls in 64-Bit Mode", SDM 2 by the instructions' names
#include "insn/system.hpp"

namespace vt::cpu {
namespace {

bool canonical(u64 v) { return static_cast<u64>(sext(v, 48)) == v; }

/// Code and stack segments as these instructions make them: flat, whatever the descriptors say.
Segment flat_code(u32 sel, unsigned dpl, bool wide) {
  Segment s;
  s.sel = static_cast<u16>(sel | dpl);
  s.limit = 0xffff'ffff;
  s.ar = (wide ? 0xa09b : 0xc09b) | dpl << 5;
  return s;
}
Segment flat_stack(u32 sel, unsigned dpl) {
  Segment s;
  s.sel = static_cast<u16>(sel | dpl);
  s.limit = 0xffff'ffff;
  s.ar = 0xc093 | dpl << 5;
  return s;
}

template <class C>
Next syscall(C& c, const Insn& i) {
  if (!c.code64_now || !(c.efer & efer::SCE)) return c.ud();
  c.r[1] = c.rip_after(i);
  c.r[11] = c.rflags() & ~rflags::RF;
  c.set_rflags(c.rflags() & ~(c.msr.fmask | rflags::RF));
  const u32 sel = bits(c.msr.star, 47, 32) & 0xfffc;
  c.seg[CS] = flat_code(sel, 0, true);
  c.seg[SS] = flat_stack(sel + 8, 0);
  c.target = c.msr.lstar;
  c.update();
  return Next::leave;
}

template <class C>
Next sysret(C& c, const Insn& i) {
  if (!c.code64_now || !(c.efer & efer::SCE)) return c.ud();
  if (c.cpl() != 0) return c.gp(0);
  const bool wide = i.osz() == 2;
  if (wide && !canonical(c.r[1])) return c.gp(0);
  const u32 sel = static_cast<u32>(bits(c.msr.star, 63, 48));
  c.set_rflags((c.r[11] & 0x3c'7fd7) | 2);
  c.seg[CS] = flat_code((sel + (wide ? 16 : 0)) & 0xffff, 3, wide);
  c.seg[SS] = flat_stack((sel + 8) & 0xffff, 3);
  c.target = wide ? c.r[1] : static_cast<u32>(c.r[1]);
  c.want_attention();
  c.update();
  return Next::leave;
}

template <class C>
Next sysenter(C& c, const Insn&) {
  const u32 sel = static_cast<u32>(c.msr.sysenter_cs) & 0xfffc;
  if (!c.protected_mode() || sel == 0) return c.gp(0);
  const bool wide = c.long_mode();
  c.flags &= ~(rflags::VM | rflags::IF | rflags::RF);
  c.seg[CS] = flat_code(sel, 0, wide);
  c.seg[SS] = flat_stack((sel + 8) & 0xffff, 0);
  c.r[4] = wide ? c.msr.sysenter_esp : static_cast<u32>(c.msr.sysenter_esp);
  c.target = wide ? c.msr.sysenter_eip : static_cast<u32>(c.msr.sysenter_eip);
  c.update();
  return Next::leave;
}

template <class C>
Next sysexit(C& c, const Insn& i) {
  const u32 sel = static_cast<u32>(c.msr.sysenter_cs) & 0xfffc;
  if (!c.protected_mode() || sel == 0 || c.cpl() != 0) return c.gp(0);
  const bool wide = c.code64_now && i.osz() == 2;
  if (wide && (!canonical(c.r[1]) || !canonical(c.r[2]))) return c.gp(0);
  c.seg[CS] = flat_code((sel + (wide ? 32 : 16)) & 0xffff, 3, wide);
  c.seg[SS] = flat_stack((sel + (wide ? 40 : 24)) & 0xffff, 3);
  c.target = wide ? c.r[2] : static_cast<u32>(c.r[2]);
  c.r[4] = wide ? c.r[1] : static_cast<u32>(c.r[1]);
  c.flags &= ~rflags::RF;
  c.update();
  return Next::leave;
}

template <class C>
Next swapgs(C& c, const Insn&) {
  if (c.cpl() != 0) return c.gp(0);
  std::swap(c.seg[GS].base, c.msr.kernel_gs_base);
  return Next::seq;
}

/// SDM 2 "CLAC", "STAC"
template <class C, bool Set>
Next smap_flag(C& c, const Insn&) {
  if (c.cpl() != 0) return c.ud();
  const u64 old = c.flags;
  if (Set) c.flags |= rflags::AC;
  else c.flags &= ~rflags::AC;
  if (old != c.flags) c.update();
  return Next::seq;
}

template <class C, class T, unsigned S>
Next read_base(C& c, const Insn& i) {
  if (!(c.cr4 & cr4::FSGSBASE)) return c.ud();
  c.template set_reg<T>(i.rm, static_cast<T>(c.seg[S].base));
  return Next::seq;
}
template <class C, class T, unsigned S>
Next write_base(C& c, const Insn& i) {
  if (!(c.cr4 & cr4::FSGSBASE)) return c.ud();
  const u64 v = c.template reg<T>(i.rm);
  if (!canonical(v)) return c.gp(0);
  c.seg[S].base = v;
  return Next::seq;
}

using C = Cpu;
using namespace attr;
template <bool Set> constexpr Fn kSmap = run<C, smap_flag<C, Set>, true>;
// 66 does not make these 16-bit.
#define VT_32_64(f, s) {{run<C, f<C, u32, s>, true>, run<C, f<C, u32, s>, true>}, {run<C, f<C, u32, s>, true>, run<C, f<C, u32, s>, true>}, {run<C, f<C, u64, s>, true>, run<C, f<C, u64, s>, true>}}
constexpr Def kRows[] = {
    {"SYSCALL", "0F 05", "", ends_block, Feature::syscall, VT_1(syscall)},
    {"SYSRET", "0F 07", "", ends_block, Feature::syscall, VT_1(sysret)},
    {"SYSENTER", "0F 34", "", ends_block, Feature::sep, VT_1(sysenter)},
    {"SYSEXIT", "0F 35", "", ends_block, Feature::sep, VT_1(sysexit)},
    {"SWAPGS", "0F 01 F8", "", only64, Feature::lm, VT_1(swapgs)},
    {"CLAC", "NP 0F 01 CA", "", 0, Feature::smap, {{kSmap<false>, kSmap<false>}, {kSmap<false>, kSmap<false>}, {kSmap<false>, kSmap<false>}}},
    {"STAC", "NP 0F 01 CB", "", 0, Feature::smap, {{kSmap<true>, kSmap<true>}, {kSmap<true>, kSmap<true>}, {kSmap<true>, kSmap<true>}}},
    {"RDFSBASE", "F3 0F AE /0", "Ry", only64, Feature::fsgsbase, VT_32_64(read_base, FS)},
    {"RDGSBASE", "F3 0F AE /1", "Ry", only64, Feature::fsgsbase, VT_32_64(read_base, GS)},
    {"WRFSBASE", "F3 0F AE /2", "Ry", only64, Feature::fsgsbase, VT_32_64(write_base, FS)},
    {"WRGSBASE", "F3 0F AE /3", "Ry", only64, Feature::fsgsbase, VT_32_64(write_base, GS)},
};

}  // namespace

std::span<const Def> syscall_rows() { return kRows; }

}  // namespace vt::cpu
