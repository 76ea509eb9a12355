// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/cpu.hpp"

#include "cpu/block.hpp"
#include "cpu/timing/timing.hpp"

namespace vt::cpu {

Cpu::Cpu(Outside& out, const CpuModel& model, unsigned index, bool bootstrap)
    : apic(*this, index, bootstrap, model.has(Feature::x2apic)), out_(out), mem_(out.memory()), stop_(out.stop()), model_(model), index_(index), bootstrap_(bootstrap),
      blocks_(std::make_unique<BlockCache>(out.memory(), false)) {
  reset(false);
}
Cpu::~Cpu() = default;

void Cpu::set_timing(const timing::Timing& t, LastLevel& last) {
  drop_derived();
  blocks_ = std::make_unique<BlockCache>(mem_, true);
  timing_ = std::make_unique<Timing>(*this, t, last);
}
u64 Cpu::timed_now() const { return out_.clamp_time(timing_->now_ns()); }
u64 Cpu::timed_allowance() const { return std::min(static_cast<u64>(budget) + 1, timing_->iterations()); }

/// SDM 3A "Processor State After Reset"
void Cpu::reset(bool init) {
  const Fpu old_fpu = fpu;
  const Msrs old_msrs = msr;
  const u64 old_cr0 = cr0, old_xcr0 = xcr0;
  static_cast<CpuState&>(*this) = CpuState{};
  if (init) {
    fpu = old_fpu, msr = old_msrs, xcr0 = old_xcr0;
    cr0 = 0x10 | (old_cr0 & (cr0::CD | cr0::NW));
  } else {
    msr.bios_sign_id = u64{model_.microcode} << 32;
    vmx = Vmx{};
  }
  r[2] = u32{model_.stepping} | (model_.model & 0xfu) << 4 | u32{model_.family} << 8 | (model_.model & 0xf0u) << 12;
  for (unsigned s = 0; s < 6; ++s) {
    seg[s].base = 0, seg[s].limit = 0xffff, seg[s].ar = 0x93, seg[s].sel = 0;
  }
  seg[CS].base = 0xffff0000, seg[CS].sel = 0xf000, seg[CS].ar = 0x9b;
  ldtr.limit = tr.limit = 0xffff, ldtr.base = tr.base = 0;
  ldtr.ar = 0x82, tr.ar = 0x8b;
  rip = 0xfff0;
  // SDM 3A "MP Initialization Protocol Requirements and Restrictions": at INIT each looks at the flag in IA32_APIC_BASE.
  const bool first = init ? apic.base() & 0x100 : bootstrap_;
  activity = first ? Activity::active : Activity::wait_for_sipi;
  tlb.flush_all();
  apic.reset(init);
  attention = true;
  drop_derived();
}

void Cpu::receive(const ApicMessage& m) { apic.accept(m); }
void Cpu::timer_expired() { apic.timer_expired(); attention = true; }
void Cpu::pic_line(bool asserted) {
  pic_intr_ = asserted;
  if (asserted) attention = true;
}
u64 Cpu::tsc() const {
  constexpr u64 kSecond = 1'000'000'000;  // in two parts: no 128-bit division
  const u64 t = now();
  return t / kSecond * model_.tsc_hz + t % kSecond * model_.tsc_hz / kSecond + msr.tsc_offset;
}

Next Cpu::unsupported(std::string_view what, std::string_view where) {
  out_.stop().unsupported(what, where);
  fault = {};
  fault.kind = Fault::Kind::stopped;
  return Next::fault;
}

void Cpu::drop_derived() {
  host.drop_all();
  blocks_->clear();
  update();
}

void Cpu::code_written(Hpa at, std::size_t n) { blocks_->kill(at, n); }

void CpuState::state(Ar& a) {
  u64 f = rflags();
  for (unsigned n = 0; n < 16; ++n) a(r[n]);
  a(f, rip, seg, cr0, cr2, cr3, cr4, efer, xcr0, ldtr, tr, gdtr, idtr, dr, pdpte, sti_shadow, movss_shadow, nmi_blocked, nmi_pending,
    init_pending, sipi_pending, sipi_vector, pending_debug, activity);
  a.section("msr", msr);
  a.section("fpu", fpu);
  if (a.loading()) {
    set_rflags(f);
    r[kZeroReg] = r[kRipReg] = 0;
  }
}

void Cpu::state(Ar& a) {
  a.enter("cpu" + std::to_string(index_));
  CpuState::state(a);
  a.section("vmx", vmx);
  a.section("tlb", tlb);
  a.section("apic", apic);
  if (timing_) a.section("timing", *timing_);
  a(careful, pic_intr_);
  a.leave();
  if (a.loading()) {
    attention = true;
    drop_derived();
  }
}

}  // namespace vt::cpu
