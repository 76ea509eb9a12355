// SPDX-License-Identifier: GPL-2.0-or-later
/// CPU models: what CPUID offers. Features are run-time switches; an instruction's row names the one it
/// needs, MSRs and control-register bits ask for theirs. The table is in cpuid.cpp: one row, one place.
#pragma once
#include <bitset>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/types.hpp"

namespace vt::cpu {

enum class Feature : u8 {
  always, fpu, vme, de, pse, tsc, msr, pae, mce, cx8, apic, sep, mtrr, pge, mca, cmov, pat, pse36, clfsh, mmx, fxsr, sse, sse2, ss, htt,
  sse3, pclmulqdq, monitor, vmx, ssse3, fma, cx16, pcid, sse4_1, sse4_2, x2apic, movbe, popcnt, tsc_deadline, aes, xsave, avx, f16c, rdrand,
  fsgsbase, tsc_adjust, bmi1, avx2, smep, bmi2, erms, invpcid, rdseed, adx, smap, clflushopt, clwb, sha, umip, pku, rdpid,
  xsaveopt, xsavec, xgetbv1, xsaves, arat,
  syscall, nx, pdpe1gb, rdtscp, lm, lahf, abm /* LZCNT */, prefetchw, invariant_tsc,
  count_
};

struct CpuModel {
  std::string name = "server";
  u8 family = 6;
  u8 model = 0x55;
  u8 stepping = 4;
  u32 microcode = 0x02007006;            ///< IA32_BIOS_SIGN_ID[63:32]
  std::string brand;
  std::bitset<static_cast<std::size_t>(Feature::count_)> features;
  unsigned physical_address_bits = 46;
  unsigned count = 1;                    ///< logical processors in the package
  u64 tsc_hz = 1'000'000'000;
  bool has(Feature f) const { return f == Feature::always || features[static_cast<std::size_t>(f)]; }
};

/// `name`: one of kModels (cpuid.hpp). `names`: "+x2apic", "-vmx", applied in order; "-avx" takes what needs it along, "+avx2" without "avx" is
/// an error. Throws std::invalid_argument with the unknown name and the known ones
/// (and says that AMD models are out of scope when one is asked for).
CpuModel make_model(const std::string& name, const std::vector<std::string>& names, unsigned count, unsigned physical_address_bits, u64 tsc_hz);

}  // namespace vt::cpu
