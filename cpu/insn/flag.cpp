// SPDX-License-Identifier: GPL-2.0-or-later
/// Flag control, NOP and its relatives, HLT, PAUSE, fences, cache line control.   SDM 2A, 2B by the instructions' names;
/// SDM 3A "Virtual-8086 Mode" and "Protected-Mode Virtual Interrupts" for VME and PVI
#include "forms.hpp"

namespace vt::cpu {
namespace {

using namespace rflags;

unsigned iopl(const CpuState& c) { return (c.flags >> 12) & 3; }

template <class C> Next clc(C& c, const Insn&) { set_cf(c, false); return Next::seq; }
template <class C> Next stc(C& c, const Insn&) { set_cf(c, true); return Next::seq; }
template <class C> Next cmc(C& c, const Insn&) { set_cf(c, !c.lf.cf()); return Next::seq; }
template <class C> Next cld(C& c, const Insn&) { c.flags &= ~rflags::DF; return Next::seq; }
template <class C> Next std_(C& c, const Insn&) { c.flags |= rflags::DF; return Next::seq; }

/// Which flag CLI and STI change: IF, VIF or none (#GP).
enum class Who { interrupt, virtual_, refused };
Who who(const Cpu& c) {
  if (!c.protected_mode()) return Who::interrupt;
  if (c.vm86()) return iopl(c) == 3 ? Who::interrupt : c.cr4 & cr4::VME ? Who::virtual_ : Who::refused;
  if (c.cpl() <= iopl(c)) return Who::interrupt;
  return c.cpl() == 3 && (c.cr4 & cr4::PVI) ? Who::virtual_ : Who::refused;
}

template <class C>
Next cli(C& c, const Insn&) {
  switch (who(c)) {
    case Who::interrupt: c.flags &= ~IF; break;
    case Who::virtual_: c.flags &= ~VIF; break;
    case Who::refused: return c.gp(0);
  }
  return Next::seq;
}
template <class C>
Next sti(C& c, const Insn&) {
  switch (who(c)) {
    case Who::interrupt:
      if (c.flags & IF) return Next::seq;
      c.flags |= IF;
      c.sti_shadow = true;
      c.want_attention();
      return Next::end;
    case Who::virtual_:
      if (c.flags & VIP) return c.gp(0);
      c.flags |= VIF;
      return Next::seq;
    case Who::refused: break;
  }
  return c.gp(0);
}

template <class C, class T>
Next pushf(C& c, const Insn&) {
  u64 f = c.rflags() & ~(VM | RF);
  if (c.vm86() && iopl(c) < 3) {
    if (sizeof(T) != 2 || !(c.cr4 & cr4::VME)) return c.gp(0);
    f = (f & ~IF) | IOPL | (f & VIF ? IF : 0);
  }
  return c.template push<T>(static_cast<T>(f)) ? Next::seq : Next::fault;
}
template <class C, class T>
Next popf(C& c, const Insn&) {
  constexpr u64 kUser = kArith | TF | rflags::DF | NT | (sizeof(T) == 2 ? 0 : rflags::AC | ID);
  u64 change = kUser | IF | IOPL;
  T popped;
  if (!c.template peek_stack<T>(0, popped)) return Next::fault;
  u64 v = popped;
  if (c.vm86()) {
    change = kUser | IF;
    if (iopl(c) < 3) {
      if (sizeof(T) != 2 || !(c.cr4 & cr4::VME) || (v & TF) || ((v & IF) && (c.flags & VIP))) return c.gp(0);
      change = kUser | VIF;
      v = (v & ~VIF) | (v & IF ? VIF : 0);
    }
  } else if (c.protected_mode() && c.cpl() > 0) {
    change = kUser | (c.cpl() <= iopl(c) ? IF : 0);
  }
  const u64 old = c.flags;
  c.set_sp(c.r[4] + sizeof(T));
  c.lf.set(v);
  change &= ~kArith;
  c.flags = ((old & ~change) | (v & change) | 2) & ~RF;
  const u64 changed = old ^ c.flags;
  if (changed & rflags::AC) c.update();
  if ((c.flags | old) & TF || (changed & c.flags & IF)) {  // clearing IF lets nothing in
    c.want_attention();
    return Next::end;
  }
  return changed & rflags::AC ? Next::end : Next::seq;
}

template <class C>
Next lahf_(C& c, const Insn&) {
  if (c.code64_now && !c.model().has(Feature::lahf)) return c.ud();
  c.template set_reg<u8>(32, static_cast<u8>((c.lf.get() & 0xff) | 2));
  return Next::seq;
}
template <class C>
Next sahf_(C& c, const Insn&) {
  if (c.code64_now && !c.model().has(Feature::lahf)) return c.ud();
  set_some(c, SF | ZF | AF | rflags::PF | CF, c.template reg<u8>(32));
  return Next::seq;
}
template <class C> Next salc(C& c, const Insn&) { c.template set_reg<u8>(0, c.lf.cf() ? 0xff : 0); return Next::seq; }

template <class C> Next nop(C&, const Insn&) { return Next::seq; }
template <class C> Next pause(C& c, const Insn& i) { return c.non_root() && intercept_pause(c, i) ? Next::fault : Next::seq; }
template <class C>
Next hlt(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept(c, ExitReason::hlt, i)) return Next::fault;
  c.activity = Activity::hlt;
  c.want_attention();
  return Next::end;
}

/// CLFLUSH, CLFLUSHOPT, CLWB: no caches to write back; the address is checked as a byte load would be, and nothing is read.
template <class C>
Next cache_line(C& c, const Insn& i) {
  u64 la;
  if (!c.linear(i, 1, false, la)) return Next::fault;
  if (c.code64_now && static_cast<u64>(sext(la, 48)) != la) return i.seg == SS ? c.ss(0) : c.gp(0);
  Hpa at;
  if (!c.translate(la, access::read, c.cpl() == 3, at)) return Next::fault;
  if (c.memory().flags(at) & page_flag::watched)
    if (EventSink* s = c.out().events())
      s->on({.kind = EventKind::cache_line_flush, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.current_rip(), .a = at.v & ~u64{63}});
  return Next::seq;
}

using C = Cpu;
using enum Feature;
using attr::ends_block, attr::def64, attr::no64;

constexpr Def kRows[] = {
    {"CLC", "F8", "", 0, always, VT_R1(clc)},
    {"STC", "F9", "", 0, always, VT_R1(stc)},
    {"CMC", "F5", "", 0, always, VT_R1(cmc)},
    {"CLD", "FC", "", 0, always, VT_R1(cld)},
    {"STD", "FD", "", 0, always, VT_R1(std_)},
    {"CLI", "FA", "", 0, always, VT_1(cli)},
    {"STI", "FB", "", ends_block, always, VT_1(sti)},
    {"PUSHF", "9C", "", def64, always, VT_T(pushf)},
    {"POPF", "9D", "", def64 | ends_block, always, VT_T(popf)},
    {"LAHF", "9F", "", 0, always, VT_1(lahf_)},
    {"SAHF", "9E", "", 0, always, VT_1(sahf_)},
    {"SALC", "D6", "", no64, always, VT_R1(salc)},
    {"PAUSE", "F3 90", "", 0, always, VT_1(pause)},
    {"HLT", "F4", "", ends_block, always, VT_1(hlt)},
    // Hints and reserved NOPs, ENDBR32, ENDBR64 and CLDEMOTE among them: the address is not used.
    {"PREFETCHW", "0F 0D /r", "Ev", 0, always, VT_R1(nop)},
    {"PREFETCH", "0F 18 /r", "Ev", 0, always, VT_R1(nop)},
    {"NOP", "0F 19 /r", "Ev", 0, always, VT_R1(nop)},
    {"NOP", "0F 1A /r", "Ev", 0, always, VT_R1(nop)},
    {"NOP", "0F 1B /r", "Ev", 0, always, VT_R1(nop)},
    {"NOP", "0F 1C /r", "Ev", 0, always, VT_R1(nop)},
    {"NOP", "0F 1D /r", "Ev", 0, always, VT_R1(nop)},
    {"NOP", "0F 1E /r", "Ev", 0, always, VT_R1(nop)},
    {"NOP", "0F 1F /r", "Ev", 0, always, VT_R1(nop)},
    // One processor runs at a time and every access is done when its instruction is.
    {"LFENCE", "NP 0F AE E8 +r", "", 0, sse2, VT_R1(nop)},
    {"MFENCE", "NP 0F AE F0 +r", "", 0, sse2, VT_R1(nop)},
    {"SFENCE", "NP 0F AE F8 +r", "", 0, sse, VT_R1(nop)},
    {"CLFLUSH", "NP 0F AE /7", "Mb", 0, clfsh, VT_1(cache_line)},
    {"CLFLUSHOPT", "66 0F AE /7", "Mb", 0, clflushopt, VT_1(cache_line)},
    {"CLWB", "66 0F AE /6", "Mb", 0, clwb, VT_1(cache_line)},
};

}  // namespace

std::span<const Def> flag_rows() { return kRows; }

}  // namespace vt::cpu
