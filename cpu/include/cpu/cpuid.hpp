// SPDX-License-Identifier: GPL-2.0-or-later
/// CPUID: the table of features and the leaves.   SDM 2A "CPUID-CPU Identification"
#pragma once
#include <array>
#include <span>

#include "cpu/model.hpp"

namespace vt::cpu {

class Cpu;

struct CpuidRegs {
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
  friend bool operator==(const CpuidRegs&, const CpuidRegs&) = default;
};

/// What `make_model` knows, and the bits of FeatureRow::models in this order.
inline constexpr std::array<const char*, 4> kModels{"x86-64", "x86-64-v2", "x86-64-v3", "server"};

/// Where CPUID shows a feature.
struct FeatureRow {
  Feature feature;
  const char* name;     ///< as on the command line: "+x2apic"
  u32 leaf, subleaf;
  u8 reg;               ///< 0 EAX, 1 EBX, 2 ECX, 3 EDX
  u8 bit;
  u8 models;            ///< bit n: kModels[n] has it
};
std::span<const FeatureRow> feature_rows();

/// What the instruction returns in the present state (OSXSAVE, APIC, XCR0 and IA32_MISC_ENABLE show).
CpuidRegs cpuid(const Cpu& c, u32 leaf, u32 subleaf);

/// Of CPUID 15H: the core crystal clock, which the local APIC timer counts.
inline constexpr u32 kCrystalHz = 1'000'000'000;

}  // namespace vt::cpu
