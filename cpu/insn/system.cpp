// SPDX-License-Identifier: GPL-2.0-or-later
/// MSRs, time, CPUID, random numbers, MONITOR, RSM.   SDM 2 by the instructions' names
#include "insn/system.hpp"

#include "cpu/cpuid.hpp"
#include "cpu/msr.hpp"

namespace vt::cpu {
namespace {

constexpr u32 kTsc = 0x10;

u64 guest_tsc(const Cpu& c) { return c.tsc() + (c.non_root() ? c.vmx.tsc_offset : 0); }

template <class C>
void edx_eax(C& c, u64 v) {
  c.r[0] = static_cast<u32>(v);
  c.r[2] = static_cast<u32>(v >> 32);
}

/// SDM 3C "Virtualizing MSR-Based APIC Accesses": of the x2APIC's registers the task priority only.
bool virtual_x2apic_tpr(const Cpu& c, u32 msr) { return msr == 0x808 && c.non_root() && (c.vmx.proc2 & proc2_ctl::x2apic); }
/// For those who ask for it. Intercepted ones are VM exits, refused ones exceptions.
template <class C>
void tell_msr(C& c, EventKind kind, u32 n, u64 v) {
  if (EventSink* s = c.out().io_events()) s->on({.kind = kind, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.current_rip(), .a = n, .b = v});
}

template <class C>
Next rdmsr(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  const u32 n = static_cast<u32>(c.r[1]);
  if (c.non_root() && intercept_msr(c, i, n, false)) return Next::fault;
  u64 v;
  if (virtual_x2apic_tpr(c, n)) v = virtual_tpr(c);
  else if (!read_msr(c, n, v)) return c.gp(0);
  if (n == kTsc) v = guest_tsc(c);
  tell_msr(c, EventKind::msr_read, n, v);
  edx_eax(c, v);
  return Next::end;
}

template <class C>
Next wrmsr(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  const u32 n = static_cast<u32>(c.r[1]);
  if (c.non_root() && intercept_msr(c, i, n, true)) return Next::fault;
  const u64 v = static_cast<u32>(c.r[0]) | c.r[2] << 32;
  if (virtual_x2apic_tpr(c, n)) {
    if (v >> 8) return c.gp(0);
    set_virtual_tpr(c, static_cast<u8>(v));
    return Next::end;
  }
  if (!write_msr(c, n, v)) return c.gp(0);
  tell_msr(c, EventKind::msr_write, n, v);
  return Next::end;
}

template <class C> bool tsc_refused(C& c) { return (c.cr4 & cr4::TSD) && c.cpl() != 0; }
template <class C>
Next rdtsc(C& c, const Insn& i) {
  if (tsc_refused(c)) return c.gp(0);
  if (c.non_root() && intercept(c, ExitReason::rdtsc, i)) return Next::fault;
  edx_eax(c, guest_tsc(c));
  return Next::seq;
}
template <class C>
Next rdtscp(C& c, const Insn& i) {
  if (c.non_root() && !(c.vmx.proc2 & proc2_ctl::rdtscp)) return c.ud();
  if (tsc_refused(c)) return c.gp(0);
  if (c.non_root() && intercept(c, ExitReason::rdtscp, i)) return Next::fault;
  edx_eax(c, guest_tsc(c));
  c.r[1] = static_cast<u32>(c.msr.tsc_aux);
  return Next::seq;
}
template <class C, class T>
Next rdpid(C& c, const Insn& i) {
  if (c.non_root() && !(c.vmx.proc2 & proc2_ctl::rdtscp)) return c.ud();
  if (c.code64_now) c.r[i.rm] = c.msr.tsc_aux;
  else c.r[i.rm] = static_cast<u32>(c.msr.tsc_aux);
  return Next::seq;
}

/// CPUID leaf 0AH offers no counters: every index is out of range.
template <class C>
Next rdpmc(C& c, const Insn& i) {
  if (c.cpl() != 0 && !(c.cr4 & cr4::PCE)) return c.gp(0);
  if (c.non_root() && intercept(c, ExitReason::rdpmc, i)) return Next::fault;
  return c.gp(0);
}

template <class C>
Next cpuid_(C& c, const Insn& i) {
  if (c.non_root() && intercept(c, ExitReason::cpuid, i)) return Next::fault;
  const u32 leaf = static_cast<u32>(c.r[0]);
  const CpuidRegs v = cpuid(c, leaf, static_cast<u32>(c.r[1]));
  if (leaf == 1) c.msr.bios_sign_id = u64{c.model().microcode} << 32;  // SDM 3A "Determining the Signature"
  c.r[0] = v.eax, c.r[3] = v.ebx, c.r[1] = v.ecx, c.r[2] = v.edx;
  return Next::seq;
}

/// Deterministic: SplitMix64, part of the processor's state.
u64 next_random(Cpu& c) {
  u64 z = c.msr.random += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
template <class C, class T, ExitReason Why>
Next random(C& c, const Insn& i) {
  if (c.non_root() && intercept(c, Why, i)) return Next::fault;
  c.template set_reg<T>(i.rm, static_cast<T>(next_random(c)));
  c.lf.set(rflags::CF);
  return Next::seq;
}
template <class C, class T> Next rdrand(C& c, const Insn& i) { return random<C, T, ExitReason::rdrand>(c, i); }
template <class C, class T> Next rdseed(C& c, const Insn& i) { return random<C, T, ExitReason::rdseed>(c, i); }

template <class C>
Next monitor(C& c, const Insn& i) {
  if (!bit(c.msr.misc_enable, 18) || c.cpl() != 0) return c.ud();
  if (c.non_root() && intercept(c, ExitReason::monitor, i)) return Next::fault;
  if (static_cast<u32>(c.r[1]) != 0) return c.gp(0);
  u64 la;
  u8 b;
  const u64 ea = i.asz() == 2 ? c.r[0] : i.asz() == 1 ? static_cast<u32>(c.r[0]) : static_cast<u16>(c.r[0]);
  if (!c.linear_seg(i.seg <= GS ? i.seg : static_cast<u8>(DS), ea, 1, false, la) || !c.load_at(la, b, i.seg)) return Next::fault;
  return Next::seq;
}
/// A store may always have come between: MWAIT goes on at once.   SDM 2 "MWAIT"
template <class C>
Next mwait(C& c, const Insn& i) {
  if (!bit(c.msr.misc_enable, 18) || c.cpl() != 0) return c.ud();
  if (c.non_root() && intercept(c, ExitReason::mwait, i)) return Next::fault;
  if (static_cast<u32>(c.r[1]) & ~1u) return c.gp(0);
  return Next::end;
}

/// Outside system-management mode, which nothing enters.
template <class C> Next rsm(C& c, const Insn&) { return c.ud(); }

using C = Cpu;
using namespace attr;
constexpr Def kRows[] = {
    {"RDMSR", "0F 32", "", ends_block, Feature::msr, VT_1(rdmsr)},
    {"WRMSR", "0F 30", "", ends_block, Feature::msr, VT_1(wrmsr)},
    {"RDTSC", "0F 31", "", 0, Feature::tsc, VT_1(rdtsc)},
    {"RDTSCP", "0F 01 F9", "", 0, Feature::rdtscp, VT_1(rdtscp)},
    {"RDPID", "F3 0F C7 /7", "Rd", 0, Feature::rdpid, VT_T(rdpid)},
    {"RDPMC", "0F 33", "", 0, Feature::always, VT_1(rdpmc)},
    {"CPUID", "0F A2", "", 0, Feature::always, VT_1(cpuid_)},
    {"RDRAND", "NFx 0F C7 /6", "Rv", 0, Feature::rdrand, VT_T(rdrand)},
    {"RDSEED", "NFx 0F C7 /7", "Rv", 0, Feature::rdseed, VT_T(rdseed)},
    {"MONITOR", "NP 0F 01 C8", "", 0, Feature::monitor, VT_1(monitor)},
    {"MWAIT", "NP 0F 01 C9", "", ends_block, Feature::monitor, VT_1(mwait)},
    {"RSM", "0F AA", "", ends_block, Feature::always, VT_1(rsm)},
};

}  // namespace

std::span<const Def> system_rows() {
  static const std::vector<Def> rows = [] {
    std::vector<Def> v;
    for (auto part : {std::span<const Def>(kRows), control_rows(), table_rows(), syscall_rows()}) v.insert(v.end(), part.begin(), part.end());
    return v;
  }();
  return rows;
}

}  // namespace vt::cpu
