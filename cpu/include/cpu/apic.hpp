// SPDX-License-Identifier: GPL-2.0-or-later
/// Local APIC, xAPIC and x2APIC modes.   SDM 3A "Advanced Programmable Interrupt Controller (APIC)"
#pragma once
#include "base/archive.hpp"
#include "cpu/outside.hpp"

namespace vt::cpu {

class Cpu;

class LocalApic {
 public:
  LocalApic(Cpu& cpu, unsigned id, bool bootstrap, bool x2apic_offered);
  void reset(bool init);                       ///< INIT keeps the APIC id and IA32_APIC_BASE

  // Register access. `offset`: 0 to 0xff0 in the 4 KiB page; aligned 32-bit accesses do what the manual says, others are
  // undefined there and read as zero here / are dropped.
  u32 read(u32 offset);
  void write(u32 offset, u32 value);
  /// x2APIC MSRs 0x800-0x8ff. False: #GP.
  bool read_msr(u32 msr, u64& value);
  bool write_msr(u32 msr, u64 value);
  u64 base() const { return base_; }           ///< IA32_APIC_BASE
  bool write_base(u64 value);                  ///< false: #GP (reserved bits, illegal mode transition)
  bool enabled() const { return base_ & 0x800; }
  bool x2apic() const { return (base_ & 0xc00) == 0xc00; }
  bool mmio_at(u64 hpa_page) const { return (base_ & 0xc00) == 0x800 && (base_ & ~u64{0xfff}) == hpa_page; }

  u64 tpr() const { return tpr_; }             ///< CR8 is TPR[7:4]
  void set_tpr(u8 v);

  /// Is this message for us?   SDM 3A "Determining IPI Destination", logical flat, cluster, x2APIC
  bool addressed(const ApicMessage& m) const;
  void accept(const ApicMessage& m);           ///< fixed, lowest, NMI, INIT, SIPI, ExtINT through LINT0 is pic's business
  u32 id() const { return id_; }
  u8 processor_priority() const;

  /// Highest deliverable vector (above PPR), or -1.
  int pending() const;
  u8 acknowledge();                            ///< IRR -> ISR of pending()
  bool extint_enabled() const;                 ///< LINT0 in ExtINT mode and unmasked, or APIC disabled: the 8259 gets through
  void timer_expired();
  void arm_deadline();                         ///< IA32_TSC_DEADLINE was written
  void state(Ar& a);

 private:
  Cpu& cpu_;
  u32 id_;
  bool bootstrap_, x2apic_offered_;
  u64 base_ = 0;
  u32 tpr_ = 0, ldr_ = 0, dfr_ = ~0u, svr_ = 0xff, esr_ = 0, esr_latched_ = 0;
  u32 isr_[8] = {}, irr_[8] = {}, tmr_[8] = {};
  u32 icr_low_ = 0, icr_high_ = 0;
  u32 lvt_timer_ = 0x10000, lvt_thermal_ = 0x10000, lvt_pmc_ = 0x10000, lvt_lint0_ = 0x10000, lvt_lint1_ = 0x10000, lvt_error_ = 0x10000, lvt_cmci_ = 0x10000;
  u32 initial_count_ = 0, divide_ = 0;
  u64 timer_start_ = 0;                        ///< cycle at which the count began (moved when the divisor changes)
  u64 expiry_ = ~u64{0};                       ///< cycle that the machine was asked to call timer_expired at
  enum TimerMode : u8 { one_shot, periodic, deadline };
  TimerMode timer_mode() const;
  bool software_enabled() const { return svr_ & 0x100; }
  u32 x2apic_ldr() const { return (id_ >> 4) << 16 | 1u << (id_ & 15); }
  void reset_registers();
  void write_icr(u64 icr);
  void send_ipi(u64 icr);
  void write_lvt(u32& lvt, u32 value, u32 writable);
  void write_divide(u32 value);
  void arm_timer();                            ///< from the count, as of now
  void arm_at(u64 cycle);
  u32 divisor() const;
  u32 current_count() const;
  void local_interrupt(u32 lvt);               ///< an interrupt of the LVT's entry, unless masked
  void set_irr(u8 vector, bool level);
  void error(u32 bit);
  void end_of_interrupt();
};

}  // namespace vt::cpu
