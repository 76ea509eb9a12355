// SPDX-License-Identifier: GPL-2.0-or-later
/// SDM 3A "Advanced Programmable Interrupt Controller (APIC)". The timer counts a bus clock of one virtual cycle (1 ns)
/// divided by DIVIDE_CONFIGURATION; CPUID 15H says what software may know of it. Messages are delivered at once: delivery
/// status bits read as idle. Suppression of EOI broadcasts is not offered (version register bit 24), nor is a writable APIC id.
#include "cpu/apic.hpp"

#include <algorithm>

#include "cpu/cpu.hpp"

namespace vt::cpu {
namespace {

constexpr u32 kVersion = 0x14 | 6u << 16;  // integrated, seven LVT entries
constexpr u32 kMasked = 0x10000;

// SDM 3A "Error Handling"
constexpr u32 kSendIllegalVector = 0x20, kReceiveIllegalVector = 0x40, kIllegalRegister = 0x80;

// Writable bits of the LVT: vector, delivery mode, polarity, trigger mode, mask, timer mode.
constexpr u32 kLvtTimer = 0x300ff, kLvtTimerDeadline = 0x700ff, kLvtModes = 0x107ff, kLvtLint = 0x1a7ff, kLvtError = 0x100ff;
constexpr u32 kLvtReadOnly = 0x5000;  // delivery status, remote IRR

namespace reg {
enum : u32 {
  ID = 0x20, VERSION = 0x30, TPR = 0x80, APR = 0x90, PPR = 0xa0, EOI = 0xb0, RRD = 0xc0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100,
  TMR = 0x180, IRR = 0x200, ESR = 0x280, LVT_CMCI = 0x2f0, ICR_LOW = 0x300, ICR_HIGH = 0x310, LVT_TIMER = 0x320, LVT_THERMAL = 0x330,
  LVT_PMC = 0x340, LVT_LINT0 = 0x350, LVT_LINT1 = 0x360, LVT_ERROR = 0x370, INITIAL_COUNT = 0x380, CURRENT_COUNT = 0x390,
  DIVIDE_CONFIGURATION = 0x3e0, SELF_IPI = 0x3f0,
};
}

int highest(const u32 (&r)[8]) {
  for (int n = 7; n >= 0; --n)
    if (r[n]) return n * 32 + 31 - std::countl_zero(r[n]);
  return -1;
}

}  // namespace

LocalApic::LocalApic(Cpu& cpu, unsigned id, bool bootstrap, bool x2apic_offered)
    : cpu_(cpu), id_(id), bootstrap_(bootstrap), x2apic_offered_(x2apic_offered) {}

void LocalApic::reset(bool init) {
  if (!init) base_ = 0xfee00800 | (bootstrap_ ? 0x100 : 0);
  reset_registers();
}

/// SDM 3A "Local APIC State After Power-Up or Reset"
void LocalApic::reset_registers() {
  tpr_ = ldr_ = esr_ = esr_latched_ = icr_low_ = icr_high_ = initial_count_ = divide_ = 0;
  dfr_ = ~0u, svr_ = 0xff;
  for (auto* r : {isr_, irr_, tmr_}) std::fill_n(r, 8, 0u);
  for (auto* l : {&lvt_timer_, &lvt_thermal_, &lvt_pmc_, &lvt_lint0_, &lvt_lint1_, &lvt_error_, &lvt_cmci_}) *l = kMasked;
  timer_start_ = 0;
  cpu_.msr.tsc_deadline = 0;
  arm_at(~u64{0});
}

// --- registers ------------------------------------------------------------------------------------------

u32 LocalApic::read(u32 offset) {
  if (offset & 15) return 0;
  if (offset >= reg::ISR && offset < reg::ESR) {
    const u32 n = (offset >> 4) & 7;
    return offset < reg::TMR ? isr_[n] : offset < reg::IRR ? tmr_[n] : irr_[n];
  }
  switch (offset) {
    case reg::ID: return x2apic() ? id_ : id_ << 24;
    case reg::VERSION: return kVersion;
    case reg::TPR: return tpr_;
    case reg::PPR: return processor_priority();
    case reg::EOI: case reg::APR: case reg::RRD: return 0;
    case reg::LDR: return x2apic() ? x2apic_ldr() : ldr_;
    case reg::DFR: return dfr_;
    case reg::SVR: return svr_;
    case reg::ESR: return esr_latched_;
    case reg::LVT_CMCI: return lvt_cmci_;
    case reg::ICR_LOW: return icr_low_;
    case reg::ICR_HIGH: return icr_high_;
    case reg::LVT_TIMER: return lvt_timer_;
    case reg::LVT_THERMAL: return lvt_thermal_;
    case reg::LVT_PMC: return lvt_pmc_;
    case reg::LVT_LINT0: return lvt_lint0_;
    case reg::LVT_LINT1: return lvt_lint1_;
    case reg::LVT_ERROR: return lvt_error_;
    case reg::INITIAL_COUNT: return timer_mode() == deadline ? 0 : initial_count_;
    case reg::CURRENT_COUNT: return current_count();
    case reg::DIVIDE_CONFIGURATION: return divide_;
  }
  error(kIllegalRegister);
  return 0;
}

void LocalApic::write(u32 offset, u32 value) {
  if (offset & 15) return;
  if (offset >= reg::ISR && offset < reg::ESR) return;  // read-only
  switch (offset) {
    case reg::ID: case reg::VERSION: case reg::APR: case reg::PPR: case reg::RRD: case reg::CURRENT_COUNT: return;  // read-only
    case reg::TPR: return set_tpr(static_cast<u8>(value));
    case reg::EOI: return end_of_interrupt();
    case reg::LDR: ldr_ = value & 0xff000000; return;
    case reg::DFR: dfr_ = value | 0x0fffffff; return;
    case reg::SVR:
      svr_ = value & 0x1ff;
      if (!software_enabled())
        for (auto* l : {&lvt_timer_, &lvt_thermal_, &lvt_pmc_, &lvt_lint0_, &lvt_lint1_, &lvt_error_, &lvt_cmci_}) *l |= kMasked;
      if (timer_mode() != deadline) arm_timer();
      cpu_.want_attention();
      return;
    case reg::ESR:
      esr_latched_ = esr_;
      esr_ = 0;
      return;
    case reg::LVT_CMCI: return write_lvt(lvt_cmci_, value, kLvtModes);
    case reg::ICR_LOW: return write_icr(u64{icr_high_} << 32 | value);
    case reg::ICR_HIGH: icr_high_ = value & 0xff000000; return;
    case reg::LVT_TIMER: {
      const TimerMode old = timer_mode();
      write_lvt(lvt_timer_, value, cpu_.model().has(Feature::tsc_deadline) ? kLvtTimerDeadline : kLvtTimer);
      if ((old == deadline) != (timer_mode() == deadline)) {  // SDM 3A "TSC-Deadline Mode": a change of mode disarms
        initial_count_ = 0;
        cpu_.msr.tsc_deadline = 0;
        arm_at(~u64{0});
      } else if (timer_mode() != deadline) {
        arm_timer();
      }
      return;
    }
    case reg::LVT_THERMAL: return write_lvt(lvt_thermal_, value, kLvtModes);
    case reg::LVT_PMC: return write_lvt(lvt_pmc_, value, kLvtModes);
    case reg::LVT_LINT0: return write_lvt(lvt_lint0_, value, kLvtLint);
    case reg::LVT_LINT1: return write_lvt(lvt_lint1_, value, kLvtLint);
    case reg::LVT_ERROR: return write_lvt(lvt_error_, value, kLvtError);
    case reg::INITIAL_COUNT:
      if (timer_mode() == deadline) return;
      initial_count_ = value;
      timer_start_ = cpu_.now();
      return arm_timer();
    case reg::DIVIDE_CONFIGURATION: return write_divide(value & 0xb);
  }
  error(kIllegalRegister);
}

void LocalApic::write_lvt(u32& lvt, u32 value, u32 writable) {
  lvt = value & writable;
  if (!software_enabled()) lvt |= kMasked;
  cpu_.want_attention();  // LINT0 may let the 8259 through now
}

/// SDM 3A "x2APIC Register Address Space"
bool LocalApic::read_msr(u32 msr, u64& value) {
  if (!x2apic()) return false;
  const u32 offset = (msr - 0x800) << 4;
  switch (offset) {
    case reg::ID: case reg::VERSION: case reg::TPR: case reg::PPR: case reg::LDR: case reg::SVR: case reg::ESR: case reg::LVT_CMCI: case reg::LVT_TIMER:
    case reg::LVT_THERMAL: case reg::LVT_PMC: case reg::LVT_LINT0: case reg::LVT_LINT1: case reg::LVT_ERROR: case reg::INITIAL_COUNT:
    case reg::CURRENT_COUNT: case reg::DIVIDE_CONFIGURATION:
      value = read(offset);
      return true;
    case reg::ICR_LOW:
      value = u64{icr_high_} << 32 | icr_low_;
      return true;
  }
  if (offset < reg::ISR || offset >= reg::ESR) return false;
  value = read(offset);
  return true;
}

bool LocalApic::write_msr(u32 msr, u64 value) {
  if (!x2apic()) return false;
  u64 allowed = 0;  // bits that are not reserved
  const u32 offset = (msr - 0x800) << 4;
  switch (offset) {
    case reg::TPR: case reg::SELF_IPI: allowed = 0xff; break;
    case reg::EOI: case reg::ESR: allowed = 0; break;
    case reg::SVR: allowed = 0x1ff; break;
    case reg::LVT_CMCI: case reg::LVT_THERMAL: case reg::LVT_PMC: allowed = kLvtModes | kLvtReadOnly; break;
    case reg::LVT_LINT0: case reg::LVT_LINT1: allowed = kLvtLint | kLvtReadOnly; break;
    case reg::LVT_ERROR: allowed = kLvtError | kLvtReadOnly; break;
    case reg::LVT_TIMER: allowed = (cpu_.model().has(Feature::tsc_deadline) ? kLvtTimerDeadline : kLvtTimer) | kLvtReadOnly; break;
    case reg::INITIAL_COUNT: allowed = 0xffffffff; break;
    case reg::DIVIDE_CONFIGURATION: allowed = 0xb; break;
    case reg::ICR_LOW: allowed = 0xffffffff'000ccfff | 0x1000; break;
    default: return false;
  }
  if (value & ~allowed) return false;
  if (offset == reg::ICR_LOW) write_icr(value);
  else if (offset == reg::SELF_IPI) send_ipi(0x40000 | value);
  else write(offset, static_cast<u32>(value));
  return true;
}

/// SDM 3A "x2APIC State Transitions"
bool LocalApic::write_base(u64 value) {
  constexpr u64 kEnable = 0x800, kExtended = 0x400;
  const u64 reserved = ~mask(cpu_.model().physical_address_bits - 1, 12) & ~(kEnable | 0x100 | (x2apic_offered_ ? kExtended : 0));
  if (value & reserved) return false;
  const u64 from = base_ & (kEnable | kExtended), to = value & (kEnable | kExtended);
  if (to == kExtended) return false;
  if (from == 0 && to == (kEnable | kExtended)) return false;
  if (from == (kEnable | kExtended) && to == kEnable) return false;
  const bool moved = (base_ ^ value) & ~u64{0x100};
  base_ = value;
  if (from != to && to == 0) reset_registers();
  if (from == kEnable && to == (kEnable | kExtended)) icr_high_ = 0;
  if (moved)  // host pointers know which page is ours
    for (auto* entries : {cpu_.host.rd, cpu_.host.wr})
      for (unsigned n = 0; n < HostCache::kSlots; ++n) entries[n].tag = HostCache::kNever;
  cpu_.want_attention();
  return true;
}

// --- interrupts -----------------------------------------------------------------------------------------

void LocalApic::set_tpr(u8 v) {
  tpr_ = v;
  cpu_.want_attention();
}

/// SDM 3A "Task and Processor Priorities"
u8 LocalApic::processor_priority() const {
  const int isr = highest(isr_);
  const u32 in_service = isr < 0 ? 0 : static_cast<u32>(isr) & 0xf0;
  return static_cast<u8>((tpr_ & 0xf0) >= in_service ? tpr_ : in_service);
}

int LocalApic::pending() const {
  if (!enabled()) return -1;
  const int v = highest(irr_);
  return v >= 0 && (v & 0xf0) > (processor_priority() & 0xf0) ? v : -1;
}

u8 LocalApic::acknowledge() {
  const int v = pending();
  if (v < 0) return static_cast<u8>(svr_);  // SDM 3A "Spurious Interrupt"
  irr_[v / 32] &= ~(1u << v % 32);
  isr_[v / 32] |= 1u << v % 32;
  cpu_.want_attention();
  return static_cast<u8>(v);
}

void LocalApic::end_of_interrupt() {
  const int v = highest(isr_);
  if (v < 0) return;
  isr_[v / 32] &= ~(1u << v % 32);
  if (tmr_[v / 32] >> v % 32 & 1) cpu_.out().eoi(static_cast<u8>(v));
  cpu_.want_attention();
}

void LocalApic::set_irr(u8 vector, bool level) {
  irr_[vector / 32] |= 1u << vector % 32;
  if (level) tmr_[vector / 32] |= 1u << vector % 32;
  else tmr_[vector / 32] &= ~(1u << vector % 32);
  cpu_.want_attention();
}

bool LocalApic::extint_enabled() const { return !enabled() || (!(lvt_lint0_ & kMasked) && (lvt_lint0_ & 0x700) == 0x700); }

/// SDM 3A "Error Handling": the flag shows after a write to ESR; the LVT's interrupt comes at once.
void LocalApic::error(u32 bit) {
  esr_ |= bit;
  if ((lvt_error_ & 0xff) >= 16) local_interrupt(lvt_error_);
}

void LocalApic::local_interrupt(u32 lvt) {
  if (lvt & kMasked) return;
  if ((lvt & 0xff) < 16) error(kReceiveIllegalVector);
  else set_irr(static_cast<u8>(lvt), false);
}

/// SDM 3A "Determining IPI Destination". Shorthands are relative to the sender: who sends them knows.
bool LocalApic::addressed(const ApicMessage& m) const {
  if (!enabled()) return false;
  if (m.shorthand != ApicMessage::Shorthand::none) return m.shorthand != ApicMessage::Shorthand::self;
  if (m.destination == (m.x2apic_destination ? 0xffffffffu : 0xffu)) return true;
  if (!m.logical) return m.destination == id_;
  if (x2apic()) {
    const u32 ldr = x2apic_ldr();
    return m.destination >> 16 == ldr >> 16 && (m.destination & ldr & 0xffff);
  }
  if (m.destination > 0xff) return false;
  const u32 mda = m.destination, logical_id = ldr_ >> 24;
  if (dfr_ >> 28 == 0xf) return mda & logical_id;                                       // flat
  if (dfr_ >> 28 != 0) return false;                                                    // neither model
  return (mda >> 4 == 0xf || mda >> 4 == logical_id >> 4) && (mda & logical_id & 0xf);  // cluster
}

void LocalApic::accept(const ApicMessage& m) {
  using Mode = ApicMessage::Mode;
  if (!enabled()) return;
  switch (m.mode) {
    case Mode::fixed:
    case Mode::lowest:
      if (m.vector < 16) return error(kReceiveIllegalVector);
      if (software_enabled()) set_irr(m.vector, m.level);
      return;
    case Mode::nmi: cpu_.nmi_pending = true; break;
    case Mode::init:
      if (!m.assert_) return;  // level de-assert: only arbitration ids, which do not exist any more
      cpu_.init_pending = true;
      cpu_.sipi_pending = false;  // one that came before it
      break;
    case Mode::sipi:
      cpu_.sipi_pending = true;
      cpu_.sipi_vector = m.vector;
      break;
    case Mode::smi: cpu_.out().stop().unsupported("SMI", "SDM 3C \"System Management Mode\""); return;
    case Mode::extint: cpu_.out().stop().unsupported("ExtINT message of an I/O APIC", "SDM 3A \"Delivery Mode\""); return;
  }
  cpu_.want_attention();
}

/// SDM 3A "Interrupt Command Register (ICR)"
void LocalApic::write_icr(u64 icr) {
  icr_high_ = static_cast<u32>(icr >> 32);
  icr_low_ = static_cast<u32>(icr) & 0xccfff;
  send_ipi(icr);
}

void LocalApic::send_ipi(u64 icr) {
  using Mode = ApicMessage::Mode;
  ApicMessage m;
  m.mode = static_cast<Mode>(icr >> 8 & 7);
  m.vector = static_cast<u8>(icr);
  m.logical = icr & 0x800;
  m.shorthand = static_cast<ApicMessage::Shorthand>(icr >> 18 & 3);
  m.x2apic_destination = x2apic();
  m.destination = x2apic() ? static_cast<u32>(icr >> 32) : static_cast<u32>(icr >> 56);
  m.assert_ = !(m.mode == Mode::init && (icr & 0xc000) == 0x8000);  // the trigger mode means nothing else in an IPI
  switch (m.mode) {
    case Mode::fixed:
    case Mode::lowest:
      if (m.vector < 16) return error(kSendIllegalVector);
      break;
    case Mode::smi: case Mode::nmi: case Mode::init: case Mode::sipi: break;
    default: return;  // reserved: nothing is sent
  }
  cpu_.leave_run = true;
  cpu_.out().send(cpu_.index(), m);
}

// --- timer ----------------------------------------------------------------------------------------------

LocalApic::TimerMode LocalApic::timer_mode() const { return lvt_timer_ & 0x40000 ? deadline : lvt_timer_ & 0x20000 ? periodic : one_shot; }

/// SDM 3A "Divide Configuration Register"
u32 LocalApic::divisor() const {
  const u32 n = (divide_ & 3) | (divide_ & 8) >> 1;
  return n == 7 ? 1 : 2u << n;
}

u32 LocalApic::current_count() const {
  if (initial_count_ == 0 || timer_mode() == deadline) return 0;
  const u64 elapsed = (cpu_.now() - timer_start_) / divisor();
  if (timer_mode() == periodic) return initial_count_ - static_cast<u32>(elapsed % initial_count_);
  return elapsed >= initial_count_ ? 0 : initial_count_ - static_cast<u32>(elapsed);
}

/// The count goes on from where it is.
void LocalApic::write_divide(u32 value) {
  const u32 left = current_count();
  divide_ = value;
  if (initial_count_ == 0 || timer_mode() == deadline) return;
  timer_start_ = cpu_.now() - u64{initial_count_ - left} * divisor();
  arm_timer();
}

void LocalApic::arm_at(u64 cycle) {
  if (cycle == expiry_) return;
  expiry_ = cycle;
  cpu_.leave_run = true;
  cpu_.out().arm_timer(cpu_.index(), cycle);
}

/// A masked timer counts on, but nobody can see its zero.
void LocalApic::arm_timer() {
  u64 at = ~u64{0};
  if (initial_count_ != 0 && !(lvt_timer_ & kMasked)) {
    const u64 period = u64{initial_count_} * divisor(), elapsed = cpu_.now() - timer_start_;
    if (timer_mode() == periodic) at = timer_start_ + (elapsed / period + 1) * period;
    else if (elapsed < period) at = timer_start_ + period;
  }
  arm_at(at);
}

/// SDM 3A "TSC-Deadline Mode". In other modes the MSR reads as zero and writes are dropped.
void LocalApic::arm_deadline() {
  if (timer_mode() != deadline) {
    cpu_.msr.tsc_deadline = 0;
    return;
  }
  const u64 at = cpu_.msr.tsc_deadline;
  if (at == 0) return arm_at(~u64{0});
  if (cpu_.tsc() >= at) {
    expiry_ = cpu_.now();
    return timer_expired();
  }
  const u64 hz = cpu_.model().tsc_hz;
  const u128 cycle = (static_cast<u128>(at - cpu_.msr.tsc_offset) * 1'000'000'000u + hz - 1) / hz;
  arm_at(static_cast<u64>(std::min<u128>(cycle, ~u64{0} - 1)));
}

void LocalApic::timer_expired() {
  if (expiry_ == ~u64{0}) return;
  const u64 now = expiry_;
  u64 next = ~u64{0};
  if (timer_mode() == deadline) cpu_.msr.tsc_deadline = 0;
  else if (timer_mode() == periodic && initial_count_ != 0) next = now + u64{initial_count_} * divisor();
  arm_at(next);
  local_interrupt(lvt_timer_);
}

void LocalApic::state(Ar& a) {
  a(base_, tpr_, ldr_, dfr_, svr_, esr_, esr_latched_, isr_, irr_, tmr_, icr_low_, icr_high_, lvt_timer_, lvt_thermal_, lvt_pmc_, lvt_lint0_, lvt_lint1_,
    lvt_error_, lvt_cmci_, initial_count_, divide_, timer_start_, expiry_);
}

}  // namespace vt::cpu
