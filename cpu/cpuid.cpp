// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/cpuid.hpp"

#include <algorithm>
#include <numeric>

#include "cpu/cpu.hpp"

namespace vt::cpu {
namespace {

enum : u8 { A, B, C, D };
using F = Feature;

/// The models of an x86-64 level have its instruction set; what the system sees (paging, APIC, MSRs, VMX) is the same in all.
/// System V ABI, AMD64 supplement, table "Micro-Architecture Levels"
constexpr u8 kServer = 8, kV3 = 4 | kServer, kV2 = 2 | kV3, kAll = 1 | kV2;

// SDM 2A "CPUID-CPU Identification", tables "Feature Information Returned in the ECX Register", "... EDX Register" and leaf descriptions
constexpr FeatureRow kFeatures[] = {
    {F::fpu, "fpu", 1, 0, D, 0, kAll},          {F::vme, "vme", 1, 0, D, 1, kAll},
    {F::de, "de", 1, 0, D, 2, kAll},            {F::pse, "pse", 1, 0, D, 3, kAll},
    {F::tsc, "tsc", 1, 0, D, 4, kAll},          {F::msr, "msr", 1, 0, D, 5, kAll},
    {F::pae, "pae", 1, 0, D, 6, kAll},          {F::mce, "mce", 1, 0, D, 7, kAll},
    {F::cx8, "cx8", 1, 0, D, 8, kAll},          {F::apic, "apic", 1, 0, D, 9, kAll},
    {F::sep, "sep", 1, 0, D, 11, kAll},         {F::mtrr, "mtrr", 1, 0, D, 12, kAll},
    {F::pge, "pge", 1, 0, D, 13, kAll},         {F::mca, "mca", 1, 0, D, 14, kAll},
    {F::cmov, "cmov", 1, 0, D, 15, kAll},       {F::pat, "pat", 1, 0, D, 16, kAll},
    {F::pse36, "pse36", 1, 0, D, 17, kAll},     {F::clfsh, "clfsh", 1, 0, D, 19, kAll},
    {F::mmx, "mmx", 1, 0, D, 23, kAll},         {F::fxsr, "fxsr", 1, 0, D, 24, kAll},
    {F::sse, "sse", 1, 0, D, 25, kAll},         {F::sse2, "sse2", 1, 0, D, 26, kAll},
    {F::ss, "ss", 1, 0, D, 27, kAll},           {F::htt, "htt", 1, 0, D, 28, 0},
    {F::sse3, "sse3", 1, 0, C, 0, kV2},        {F::pclmulqdq, "pclmulqdq", 1, 0, C, 1, kServer},
    {F::monitor, "monitor", 1, 0, C, 3, 0}, {F::vmx, "vmx", 1, 0, C, 5, kAll},
    {F::ssse3, "ssse3", 1, 0, C, 9, kV2},      {F::fma, "fma", 1, 0, C, 12, kV3},
    {F::cx16, "cx16", 1, 0, C, 13, kV2},       {F::pcid, "pcid", 1, 0, C, 17, kAll},
    {F::sse4_1, "sse4_1", 1, 0, C, 19, kV2},   {F::sse4_2, "sse4_2", 1, 0, C, 20, kV2},
    {F::x2apic, "x2apic", 1, 0, C, 21, kAll},   {F::movbe, "movbe", 1, 0, C, 22, kV3},
    {F::popcnt, "popcnt", 1, 0, C, 23, kV2},   {F::tsc_deadline, "tsc_deadline", 1, 0, C, 24, kAll},
    {F::aes, "aes", 1, 0, C, 25, kServer},        {F::xsave, "xsave", 1, 0, C, 26, kV3},
    {F::avx, "avx", 1, 0, C, 28, kV3},        {F::f16c, "f16c", 1, 0, C, 29, kV3},
    {F::rdrand, "rdrand", 1, 0, C, 30, kServer},   {F::arat, "arat", 6, 0, A, 2, kAll},
    {F::fsgsbase, "fsgsbase", 7, 0, B, 0, kAll}, {F::tsc_adjust, "tsc_adjust", 7, 0, B, 1, kAll},
    {F::bmi1, "bmi1", 7, 0, B, 3, kV3},        {F::avx2, "avx2", 7, 0, B, 5, kV3},
    {F::smep, "smep", 7, 0, B, 7, kAll},        {F::bmi2, "bmi2", 7, 0, B, 8, kV3},
    {F::erms, "erms", 7, 0, B, 9, kAll},        {F::invpcid, "invpcid", 7, 0, B, 10, kAll},
    {F::rdseed, "rdseed", 7, 0, B, 18, kServer},   {F::adx, "adx", 7, 0, B, 19, kServer},
    {F::smap, "smap", 7, 0, B, 20, kAll},       {F::clflushopt, "clflushopt", 7, 0, B, 23, kServer},
    {F::clwb, "clwb", 7, 0, B, 24, kServer},       {F::sha, "sha", 7, 0, B, 29, kServer},
    {F::umip, "umip", 7, 0, C, 2, 0},       {F::pku, "pku", 7, 0, C, 3, 0},
    {F::rdpid, "rdpid", 7, 0, C, 22, 0},       {F::xsaveopt, "xsaveopt", 0xd, 1, A, 0, kServer},
    {F::xsavec, "xsavec", 0xd, 1, A, 1, kServer}, {F::xgetbv1, "xgetbv1", 0xd, 1, A, 2, kServer},
    {F::xsaves, "xsaves", 0xd, 1, A, 3, kServer}, {F::lahf, "lahf", 0x80000001, 0, C, 0, kV2},
    {F::abm, "abm", 0x80000001, 0, C, 5, kV3}, {F::prefetchw, "prefetchw", 0x80000001, 0, C, 8, kServer},
    {F::syscall, "syscall", 0x80000001, 0, D, 11, kAll}, {F::nx, "nx", 0x80000001, 0, D, 20, kAll},
    {F::pdpe1gb, "pdpe1gb", 0x80000001, 0, D, 26, kAll}, {F::rdtscp, "rdtscp", 0x80000001, 0, D, 27, kAll},
    {F::lm, "lm", 0x80000001, 0, D, 29, kAll},  {F::invariant_tsc, "invariant_tsc", 0x80000007, 0, D, 8, kAll},
};
static_assert(std::size(kFeatures) == static_cast<std::size_t>(F::count_) - 1, "every feature but `always` has its row");

/// Known, but nothing in the processor does what they promise.
constexpr Feature kNotModelled[] = {F::pku};

/// A feature and what it needs.   SDM 2A "CPUID-CPU Identification"; SDM 1 "Detection of Intel AVX2", "Detection of FMA"
struct Need { Feature feature, needs; };
constexpr Need kNeeds[] = {
    {F::sse, F::fxsr}, {F::sse2, F::sse}, {F::sse3, F::sse2}, {F::ssse3, F::sse3}, {F::sse4_1, F::ssse3}, {F::sse4_2, F::sse4_1}, {F::mmx, F::fpu},
    {F::aes, F::sse2}, {F::pclmulqdq, F::sse2}, {F::sha, F::sse2}, {F::avx, F::xsave}, {F::avx, F::sse4_2}, {F::avx2, F::avx}, {F::fma, F::avx},
    {F::f16c, F::avx}, {F::xsave, F::fxsr}, {F::xsaveopt, F::xsave}, {F::xsavec, F::xsave}, {F::xgetbv1, F::xsave}, {F::xsaves, F::xsavec},
    {F::x2apic, F::apic}, {F::tsc_deadline, F::apic}, {F::pdpe1gb, F::lm}, {F::lm, F::pae}, {F::cx16, F::cx8}, {F::cmov, F::fpu},
};
const char* name_of(Feature f) {
  return std::find_if(std::begin(kFeatures), std::end(kFeatures), [&](const FeatureRow& r) { return r.feature == f; })->name;
}

constexpr u32 kMaxBasic = 0x16, kMaxExtended = 0x80000008;

/// The feature bits of one leaf.
CpuidRegs feature_bits(const CpuModel& m, u32 leaf, u32 subleaf) {
  u32 v[4] = {};
  for (const FeatureRow& f : kFeatures)
    if (f.leaf == leaf && f.subleaf == subleaf && m.has(f.feature)) v[f.reg] |= 1u << f.bit;
  return {v[0], v[1], v[2], v[3]};
}

unsigned width_of(unsigned count) { return count <= 1 ? 0 : static_cast<unsigned>(std::bit_width(count - 1)); }

u32 chars(const char* s) {
  u32 v;
  std::memcpy(&v, s, 4);
  return v;
}

/// SDM 2A "Deterministic Cache Parameters Leaf"
CpuidRegs cache(unsigned type, unsigned level, unsigned ways, unsigned sets, unsigned sharing, unsigned cores, u32 flags) {
  return {type | level << 5 | 1u << 8 | (sharing - 1) << 14 | (cores - 1) << 26, (ways - 1) << 22 | (64 - 1), sets - 1, flags};
}

CpuidRegs caches(const CpuModel& m, u32 subleaf) {
  const unsigned all = 1u << width_of(m.count), cores = std::min(all, 64u);
  switch (subleaf) {
    case 0: return cache(1, 1, 8, 64, 1, cores, 0);          // L1 data 32 KiB
    case 1: return cache(2, 1, 8, 64, 1, cores, 0);          // L1 instruction 32 KiB
    case 2: return cache(3, 2, 16, 1024, 1, cores, 0);       // L2 1 MiB
    case 3: return cache(3, 3, 11, 2048, all, cores, 4);     // L3 1.375 MiB, complex indexing
    default: return {};
  }
}

/// SDM 2A "Extended Topology Enumeration Leaf": one thread per core, APIC ids counted through.
CpuidRegs topology(const Cpu& c, u32 subleaf) {
  const CpuModel& m = c.model();
  CpuidRegs r{.ecx = subleaf & 0xff, .edx = c.apic.id()};
  if (subleaf == 0) r.ebx = 1, r.ecx |= 1 << 8;
  else if (subleaf == 1) r.eax = width_of(m.count), r.ebx = m.count, r.ecx |= 2 << 8;
  return r;
}

/// SDM 1 "Enumeration of CPU Support for XSAVE Instructions and XSAVE-Supported Features"
CpuidRegs xsave(const Cpu& c, u32 subleaf) {
  const CpuModel& m = c.model();
  if (!m.has(F::xsave)) return {};
  const bool avx = m.has(F::avx);
  const auto size = [](u64 components) -> u32 { return components & 4 ? 576 + 256 : 576; };
  if (subleaf == 0) return {avx ? 7u : 3u, size(c.xcr0), size(avx ? 7 : 3), 0};
  if (subleaf == 1) {
    CpuidRegs r = feature_bits(m, 0xd, 1);
    if (m.has(F::xsavec) || m.has(F::xsaves)) r.ebx = size(c.xcr0 | c.msr.xss);
    return r;
  }
  if (subleaf == 2 && avx) return {256, 576, 0, 0};
  return {};
}

}  // namespace

std::span<const FeatureRow> feature_rows() { return kFeatures; }

CpuidRegs cpuid(const Cpu& c, u32 leaf, u32 subleaf) {
  const CpuModel& m = c.model();
  const bool limited = bit(c.msr.misc_enable, 22);  // "Limit CPUID Maxval"
  const u32 max_basic = limited ? 2 : kMaxBasic;
  // Beyond the last leaf: the data of the highest basic one.
  if (leaf >= 0x80000000 ? leaf > kMaxExtended : leaf > max_basic) leaf = max_basic;
  switch (leaf) {
    case 0: return {max_basic, chars("Genu"), chars("ntel"), chars("ineI")};
    case 1: {
      CpuidRegs r = feature_bits(m, 1, 0);
      const u32 ext_model = m.model >> 4, family = m.family < 15 ? m.family : 15, ext_family = m.family < 15 ? 0 : m.family - 15;
      r.eax = u32{m.stepping} | (m.model & 0xfu) << 4 | family << 8 | ext_model << 16 | ext_family << 20;
      const u32 ids = 1u << width_of(m.count);
      r.ebx = 8u << 8 | (ids > 255 ? 255 : ids) << 16 | (c.apic.id() & 0xff) << 24;
      if (c.cr4 & cr4::OSXSAVE) r.ecx |= 1u << 27;
      if (!c.apic.enabled()) r.edx &= ~(1u << 9);
      if (m.has(F::monitor) && !bit(c.msr.misc_enable, 18)) r.ecx &= ~(1u << 3);
      return r;
    }
    case 2: return {0x00ff'0001, 0, 0, 0};  // FFH: see leaf 4
    case 4: return caches(m, subleaf);
    case 5: return m.has(F::monitor) ? CpuidRegs{64, 64, 3, 0} : CpuidRegs{};
    case 6: return feature_bits(m, 6, 0);
    case 7: {
      if (subleaf != 0) return {};
      CpuidRegs r = feature_bits(m, 7, 0);
      if (m.has(F::avx2)) r.edx |= 1u << 29;  // IA32_ARCH_CAPABILITIES: says that gathers leave nothing behind
      if (m.has(F::fpu)) r.ebx |= 1u << 13;  // "Deprecates FPU CS and FPU DS values": insn/xsave.cpp saves zeros
      return r;
    }
    case 0xb: return topology(c, subleaf);
    case 0xd: return xsave(c, subleaf);
    case 0x15: {
      const u64 g = std::gcd(m.tsc_hz, u64{kCrystalHz});
      return {static_cast<u32>(kCrystalHz / g), static_cast<u32>(m.tsc_hz / g), kCrystalHz, 0};
    }
    case 0x16: {
      const u32 mhz = static_cast<u32>(m.tsc_hz / 1'000'000) & 0xffff;
      return {mhz, mhz, 100, 0};
    }
    case 0x80000000: return {kMaxExtended, 0, 0, 0};
    case 0x80000001: {
      CpuidRegs r = feature_bits(m, leaf, 0);
      if (bit(c.msr.misc_enable, 34)) r.edx &= ~(1u << 20);  // "XD Bit Disable"
      if (!c.code64_now) r.edx &= ~(1u << 11);               // SYSCALL: in 64-bit mode only
      return r;
    }
    case 0x80000002: case 0x80000003: case 0x80000004: {
      char brand[48] = {};
      std::copy_n(m.brand.data(), std::min<std::size_t>(m.brand.size(), 47), brand);
      const char* p = brand + 16 * (leaf - 0x80000002);
      return {chars(p), chars(p + 4), chars(p + 8), chars(p + 12)};
    }
    case 0x80000006: return {0, 0, 1024u << 16 | 8u << 12 | 64, 0};  // L2 1 MiB, 16 ways
    case 0x80000007: return feature_bits(m, leaf, 0);
    case 0x80000008: return {m.physical_address_bits | 48u << 8, 0, 0, 0};
    default: return {};  // reserved leaves, and the PMU's 0AH: version 0
  }
}

namespace {
std::string known_models() {
  std::string all;
  for (const char* n : kModels) all += std::string(all.empty() ? "" : ", ") + n;
  return all;
}
}  // namespace

CpuModel make_model(const std::string& name, const std::vector<std::string>& names, unsigned count, unsigned physical_address_bits, u64 tsc_hz) {
  std::string lower = name;
  for (char& ch : lower) if (ch >= 'A' && ch <= 'Z') ch = static_cast<char>(ch + 32);
  for (const char* amd : {"amd", "epyc", "opteron", "ryzen", "phenom", "athlon", "k8", "bulldozer", "zen"})
    if (lower.find(amd) != std::string::npos)
      throw std::invalid_argument("CPU model '" + name + "': AMD processors (SVM, NPT) are out of scope; the models are: " + known_models());
  const auto which = std::find(kModels.begin(), kModels.end(), lower);
  if (which == kModels.end()) throw std::invalid_argument("unknown CPU model '" + name + "'; the models are: " + known_models());
  if (count < 1 || count > 255) throw std::invalid_argument("number of processors: 1 to 255");
  if (physical_address_bits < 36 || physical_address_bits > 52) throw std::invalid_argument("physical address bits: 36 to 52");
  if (tsc_hz < 1'000'000 || tsc_hz > 65'000'000'000) throw std::invalid_argument("TSC frequency: 1 MHz to 65 GHz");
  CpuModel m;
  m.name = lower;
  m.brand = "Vitrine x86-64 processor";
  m.count = count;
  m.physical_address_bits = physical_address_bits;
  m.tsc_hz = tsc_hz;
  for (const FeatureRow& f : kFeatures) m.features[static_cast<std::size_t>(f.feature)] = f.models >> (which - kModels.begin()) & 1;
  m.features[static_cast<std::size_t>(F::htt)] = count > 1;
  for (const std::string& n : names) {
    if (n.size() < 2 || (n[0] != '+' && n[0] != '-')) throw std::invalid_argument("CPU feature '" + n + "': write +name or -name");
    const std::string wanted = n.substr(1);
    const FeatureRow* row = std::find_if(std::begin(kFeatures), std::end(kFeatures), [&](const FeatureRow& f) { return wanted == f.name; });
    if (row == std::end(kFeatures)) {
      std::string known;
      for (const FeatureRow& f : kFeatures) known += std::string(known.empty() ? "" : " ") + f.name;
      const char* amd = wanted == "svm" || wanted == "npt" || wanted == "sse4a" ? " (an AMD feature, out of scope)" : "";
      throw std::invalid_argument("unknown CPU feature '" + wanted + "'" + amd + "; known are: " + known);
    }
    if (n[0] == '+' && std::find(std::begin(kNotModelled), std::end(kNotModelled), row->feature) != std::end(kNotModelled))
      throw std::invalid_argument("CPU feature '" + wanted + "' is not modelled");
    m.features[static_cast<std::size_t>(row->feature)] = n[0] == '+';
    if (n[0] == '-')  // what needs it goes with it; asked for later, it is an error below
      for (bool more = true; more;) {
        more = false;
        for (auto& [feature, needs] : kNeeds)
          if (m.has(feature) && !m.has(needs)) m.features[static_cast<std::size_t>(feature)] = false, more = true;
      }
  }
  for (auto& [feature, needs] : kNeeds)
    if (m.has(feature) && !m.has(needs))
      throw std::invalid_argument(std::string("CPU feature '") + name_of(feature) + "' needs '" + name_of(needs) + "', which model '" + lower +
                                  "' does not have as given: write +" + name_of(needs) + " before it");
  return m;
}

}  // namespace vt::cpu
