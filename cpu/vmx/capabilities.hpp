// SPDX-License-Identifier: GPL-2.0-or-later
/// What this processor's VMX offers: one table of controls, from which the capability MSRs, the checks of VM entry and the
/// existence of VMCS fields follow.   SDM 3D "VMX Capability Reporting Facility"
#pragma once
#include <span>

#include "cpu/cpu.hpp"
#include "cpu/ept_caps.hpp"
#include "ept/ept.hpp"
#include "vmx/fields.hpp"

namespace vt::cpu {

enum class Group : u8 { pin, proc, proc2, exit, entry };
enum class Setting : u8 {
  default1,      ///< must be 1
  default1_free, ///< reserved-to-1 in the plain MSR, may be 0 by the TRUE one
  free,          ///< 0 or 1
};
struct Control {
  Group group;
  u8 bit;
  Setting setting;
  const char* name;
  Feature feature;  ///< the CPUID feature without which the control is not offered
};
std::span<const Control> controls();

/// Bits that must be 1 (low) and bits that may be 1 (high), as the MSRs have them.
struct Allowed { u32 must = 0, may = 0; };
Allowed allowed(const CpuModel& model, Group group, bool true_msr);
inline bool acceptable(Allowed a, u32 value) { return (value & a.must) == a.must && !(value & ~a.may); }

/// RDMSR of 0x480-0x4ff. False: not there, #GP.
bool capability_msr(const CpuModel& model, u32 msr, u64& value);

bool field_exists(const CpuModel& model, const FieldRow& field);

/// Limits that the checks need.   IA32_VMX_MISC
inline constexpr u32 kCr3Targets = 4;
inline constexpr u32 kMaxMsrList = 512;
/// The VMX-preemption timer counts down when this bit of the TSC changes.   IA32_VMX_MISC bits 4:0
inline constexpr unsigned kPreemptionShift = 5;
/// CR0 and CR4 bits in VMX operation.   SDM 3D "VMX-Fixed Bits in CR0", "VMX-Fixed Bits in CR4"
inline constexpr u64 kCr0Fixed0 = cr0::PE | cr0::NE | cr0::PG, kCr0Fixed1 = 0xffff'ffff;
inline constexpr u64 kCr4Fixed0 = cr4::VMXE;
u64 cr4_fixed1(const CpuModel& model);

/// IA32_VMX_EPT_VPID_CAP
u64 ept_vpid_cap();

}  // namespace vt::cpu
