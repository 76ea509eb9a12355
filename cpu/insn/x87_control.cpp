// SPDX-License-Identifier: GPL-2.0-or-later
/// x87 control instructions: initialisation, control and status word, environment and state areas.
/// SDM 1 "x87 FPU Control Instructions". FCS and FDS read as zero, see xsave.cpp.
#include "insn/x87.hpp"

namespace vt::cpu {
namespace {

template <class C>
Next fninit(C& c, const Insn&) {
  fpu_init(c.fpu);
  return Next::seq;
}
template <class C>
Next fnclex(C& c, const Insn&) {
  c.fpu.sw &= 0x7f00;
  return Next::seq;
}
template <class C>
Next fldcw(C& c, const Insn& i) {
  u16 v;
  if (!fpu_ready(c) || !c.load(i, v)) return Next::fault;
  set_fcw(c.fpu, v);
  return Next::seq;
}
template <class C>
Next fnstcw(C& c, const Insn& i) {
  return c.store(i, c.fpu.cw) ? Next::seq : Next::fault;
}
template <class C, bool M>
Next fnstsw(C& c, const Insn& i) {
  if constexpr (M) return c.store(i, c.fpu.sw) ? Next::seq : Next::fault;
  c.template set_reg<u16>(0, c.fpu.sw);
  return Next::seq;
}

struct Area { u8 b[108]; unsigned n; };  // environment: 14 or 28 bytes; with the registers 80 more

template <class T> void put(Area& a, unsigned at, T v) { std::memcpy(a.b + at, &v, sizeof v); }
template <class T> T get(const Area& a, unsigned at) { T v; std::memcpy(&v, a.b + at, sizeof v); return v; }

// The image depends on operand size and on protected or real-address/virtual-8086 mode.
// SDM 1 "x87 FPU Data Operand and Instruction Pointer Formats in Memory". Reserved words are written as ones.
template <class C>
void put_environment(C& c, const Insn& i, Area& a) {
  const Fpu& f = c.fpu;
  const bool protected_format = (c.cr0 & cr0::PE) && !c.vm86();
  const u32 ip = static_cast<u32>(f.fip), dp = static_cast<u32>(f.fdp);
  if (i.osz() == 0) {
    a.n = 14;
    put<u16>(a, 0, f.cw), put<u16>(a, 2, f.sw), put<u16>(a, 4, full_tags(f));
    put<u16>(a, 6, static_cast<u16>(ip)), put<u16>(a, 10, static_cast<u16>(dp));
    put<u16>(a, 8, protected_format ? f.fcs : static_cast<u16>((ip >> 4 & 0xf000) | f.fop));
    put<u16>(a, 12, protected_format ? f.fds : static_cast<u16>(dp >> 4 & 0xf000));
    return;
  }
  a.n = 28;
  put<u32>(a, 0, 0xffff0000u | f.cw), put<u32>(a, 4, 0xffff0000u | f.sw), put<u32>(a, 8, 0xffff0000u | full_tags(f));
  if (protected_format) {
    put<u32>(a, 12, ip), put<u32>(a, 16, f.fcs | static_cast<u32>(f.fop) << 16);
    put<u32>(a, 20, dp), put<u32>(a, 24, 0xffff0000u | f.fds);
  } else {
    put<u32>(a, 12, 0xffff0000u | (ip & 0xffff)), put<u32>(a, 16, (ip >> 4 & 0x0ffff000) | f.fop);
    put<u32>(a, 20, 0xffff0000u | (dp & 0xffff)), put<u32>(a, 24, dp >> 4 & 0x0ffff000);
  }
}
template <class C>
void get_environment(C& c, const Insn& i, const Area& a) {
  Fpu& f = c.fpu;
  const bool protected_format = (c.cr0 & cr0::PE) && !c.vm86();
  const bool narrow = i.osz() == 0;
  const u16 cw = get<u16>(a, 0), sw = get<u16>(a, narrow ? 2 : 4), tags = get<u16>(a, narrow ? 4 : 8);
  u32 ip, dp, op;
  if (narrow) {
    ip = get<u16>(a, 6), dp = get<u16>(a, 10), op = f.fop;
    if (!protected_format) {
      op = get<u16>(a, 8), ip |= (op & 0xf000u) << 4;
      dp |= (get<u16>(a, 12) & 0xf000u) << 4;
    }
  } else if (protected_format) {
    ip = get<u32>(a, 12), op = get<u16>(a, 18), dp = get<u32>(a, 20);
  } else {
    op = get<u32>(a, 16);
    ip = get<u16>(a, 12) | (op & 0x0ffff000) << 4;
    dp = get<u16>(a, 20) | (get<u32>(a, 24) & 0x0ffff000) << 4;
  }
  f.fip = ip, f.fdp = dp, f.fop = op & 0x7ff, f.fcs = f.fds = 0;
  f.sw = sw;
  f.tags = 0;
  for (unsigned n = 0; n < 8; ++n) if (((tags >> (2 * n)) & 3) != 3) f.tags |= static_cast<u8>(1 << n);
  set_fcw(f, cw);
}

template <class C>
bool load_area(C& c, const Insn& i, Area& a) {
  u64 la;
  if (!c.linear(i, a.n, false, la)) return false;
  for (unsigned k = 0; k < a.n; k += 54)
    if (!c.load_slow(la + k, a.b + k, std::min(54u, a.n - k), i.seg)) return false;
  return true;
}
template <class C>
bool store_area(C& c, const Insn& i, const Area& a) {
  u64 la;
  if (!c.linear(i, a.n, true, la)) return false;
  for (unsigned k = 0; k < a.n; k += 54)
    if (!c.probe_write(la + k, std::min(54u, a.n - k), i.seg)) return false;
  for (unsigned k = 0; k < a.n; k += 54)
    if (!c.store_slow(la + k, a.b + k, std::min(54u, a.n - k), i.seg)) return false;
  return true;
}

// All exceptions are masked afterwards.
template <class C>
Next fnstenv(C& c, const Insn& i) {
  Area a;
  put_environment(c, i, a);
  if (!store_area(c, i, a)) return Next::fault;
  set_fcw(c.fpu, c.fpu.cw | 0x3f);
  return Next::seq;
}
template <class C>
Next fldenv(C& c, const Insn& i) {
  Area a;
  a.n = i.osz() == 0 ? 14 : 28;
  if (!fpu_ready(c) || !load_area(c, i, a)) return Next::fault;
  get_environment(c, i, a);
  return Next::seq;
}
template <class C>
Next fnsave(C& c, const Insn& i) {
  Area a;
  put_environment(c, i, a);
  for (unsigned n = 0; n < 8; ++n) {
    const X87Reg& r = st(c.fpu, n);
    put<u64>(a, a.n + 10 * n, r.m), put<u16>(a, a.n + 10 * n + 8, r.se);
  }
  a.n += 80;
  if (!store_area(c, i, a)) return Next::fault;
  fpu_init(c.fpu);
  return Next::seq;
}
template <class C>
Next frstor(C& c, const Insn& i) {
  const unsigned n_env = i.osz() == 0 ? 14 : 28;
  Area a;
  a.n = n_env + 80;
  if (!fpu_ready(c) || !load_area(c, i, a)) return Next::fault;
  get_environment(c, i, a);
  for (unsigned n = 0; n < 8; ++n) st(c.fpu, n) = {get<u64>(a, n_env + 10 * n), get<u16>(a, n_env + 10 * n + 8)};
  return Next::seq;
}

template <class C>
Next fwait(C& c, const Insn&) {  // #NM needs both MP and TS; EM plays no part
  if ((c.cr0 & (cr0::MP | cr0::TS)) == (cr0::MP | cr0::TS)) return c.nm();
  return fpu_ready(c) ? Next::seq : Next::fault;
}
template <class C>
Next fnop(C& c, const Insn& i) {
  if (!fpu_ready(c)) return Next::fault;
  note_instruction(c, i);
  return Next::seq;
}
template <class C> Next no_effect(C&, const Insn&) { return Next::seq; }

using C = Cpu;
constexpr u32 X = attr::x87;
constexpr Feature F = Feature::fpu;
constexpr Def kRows[] = {
  {"FLDENV",  "D9 /4", "M",  X, F, VT_1(fldenv)},
  {"FLDCW",   "D9 /5", "Mw", X, F, VT_1(fldcw)},
  {"FNSTENV", "D9 /6", "M",  X, F, VT_1(fnstenv)},
  {"FNSTCW",  "D9 /7", "Mw", X, F, VT_1(fnstcw)},
  {"FRSTOR",  "DD /4", "M",  X, F, VT_1(frstor)},
  {"FNSAVE",  "DD /6", "M",  X, F, VT_1(fnsave)},
  {"FNSTSW",  "DD /7", "Mw", X, F, VT_ALL(fnstsw<C, true>)},
  {"FNSTSW",  "DF E0", "AX", X, F, VT_ALL(fnstsw<C, false>)},
  {"FNOP",    "D9 D0", "",   X, F, VT_1(fnop)},
  {"FNENI",   "DB E0", "",   X, F, VT_1(no_effect)},  // 8087 and 80287 only: no effect since   SDM 3A "x87 FPU" (Architecture Compatibility)
  {"FNDISI",  "DB E1", "",   X, F, VT_1(no_effect)},
  {"FNCLEX",  "DB E2", "",   X, F, VT_1(fnclex)},
  {"FNINIT",  "DB E3", "",   X, F, VT_1(fninit)},
  {"FNSETPM", "DB E4", "",   X, F, VT_1(no_effect)},
  {"FWAIT",   "9B",    "",   0, F, VT_1(fwait)},
};

}  // namespace

std::span<const Def> x87_control_rows() { return kRows; }

}  // namespace vt::cpu
