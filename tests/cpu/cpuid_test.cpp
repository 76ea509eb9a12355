// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/cpuid.hpp"

#include <set>

#include "harness.hpp"

namespace vt::cpu {
namespace {

TEST(cpuid, each_feature_has_one_row_and_one_bit) {
  std::set<Feature> features;
  std::set<std::string> names;
  std::set<std::tuple<u32, u32, u8, u8>> bits;
  for (const FeatureRow& r : feature_rows()) {
    EXPECT_TRUE(features.insert(r.feature).second) << r.name;
    EXPECT_TRUE(names.insert(r.name).second) << r.name;
    EXPECT_TRUE(bits.insert({r.leaf, r.subleaf, r.reg, r.bit}).second) << r.name;
  }
}

TEST(cpuid, vendor_and_signature) {
  TestMachine m;
  const CpuidRegs v = cpuid(*m.cpu, 0, 0);
  EXPECT_EQ(v.eax, 0x16u);
  char s[13] = {};
  std::memcpy(s, &v.ebx, 4);
  std::memcpy(s + 4, &v.edx, 4);
  std::memcpy(s + 8, &v.ecx, 4);
  EXPECT_STREQ(s, "GenuineIntel");
  EXPECT_EQ(cpuid(*m.cpu, 1, 0).eax, 0x50654u);
  EXPECT_EQ(m.cpu->r[2], 0x50654u) << "EDX after reset";
}

TEST(cpuid, no_hypervisor_bit_no_pmu_no_monitor) {
  TestMachine m;
  const CpuidRegs v = cpuid(*m.cpu, 1, 0);
  EXPECT_FALSE(bit(v.ecx, 31));
  EXPECT_FALSE(bit(v.ecx, 3));
  EXPECT_TRUE(bit(v.ecx, 28));
  EXPECT_TRUE(bit(v.ecx, 5));
  EXPECT_TRUE(bit(v.ecx, 13));
  EXPECT_EQ(cpuid(*m.cpu, 0xa, 0), CpuidRegs{});
  EXPECT_EQ(cpuid(*m.cpu, 5, 0), CpuidRegs{});
}

TEST(cpuid, beyond_the_last_leaf_is_the_highest_basic_one) {  // SDM 2A "CPUID-CPU Identification"
  TestMachine m;
  EXPECT_EQ(cpuid(*m.cpu, 0x40000000, 0), cpuid(*m.cpu, 0x16, 0));
  EXPECT_EQ(cpuid(*m.cpu, 0x80000009, 0), cpuid(*m.cpu, 0x16, 0));
  EXPECT_EQ(cpuid(*m.cpu, 0x17, 3), cpuid(*m.cpu, 0x16, 0));
}

TEST(cpuid, osxsave_and_apic_show_the_present_state) {
  TestMachine m;
  EXPECT_FALSE(bit(cpuid(*m.cpu, 1, 0).ecx, 27));
  m.cpu->cr4 |= cr4::OSXSAVE;
  EXPECT_TRUE(bit(cpuid(*m.cpu, 1, 0).ecx, 27));
  EXPECT_TRUE(bit(cpuid(*m.cpu, 1, 0).edx, 9));
}

TEST(cpuid, xsave_leaf_is_consistent) {  // SDM 1 "Enumeration of CPU Support for XSAVE Instructions ..."
  TestMachine m;
  const CpuidRegs v = cpuid(*m.cpu, 0xd, 0);
  EXPECT_EQ(v.eax, 7u);
  EXPECT_EQ(v.ebx, 576u);
  EXPECT_EQ(v.ecx, 832u);
  EXPECT_EQ(cpuid(*m.cpu, 0xd, 2), (CpuidRegs{256, 576, 0, 0}));
  m.cpu->xcr0 = 7;
  EXPECT_EQ(cpuid(*m.cpu, 0xd, 0).ebx, 832u);
  EXPECT_EQ(cpuid(*m.cpu, 0xd, 1), (CpuidRegs{15, 832, 0, 0}));
  TestMachine plain(TestMachine::Mode::long64, {"-avx"});
  EXPECT_EQ(cpuid(*plain.cpu, 0xd, 0), (CpuidRegs{3, 576, 576, 0}));
  EXPECT_EQ(cpuid(*plain.cpu, 0xd, 2), CpuidRegs{});
  TestMachine n(TestMachine::Mode::long64, {"-xsave"});
  EXPECT_EQ(cpuid(*n.cpu, 0xd, 0), CpuidRegs{});
}

TEST(cpuid, frequencies_agree) {
  for (u64 hz : {1'000'000'000ull, 2'400'000'000ull, 3'333'000'000ull}) {
    TestMachine m;
    const_cast<CpuModel&>(m.cpu->model()).tsc_hz = hz;
    const CpuidRegs v = cpuid(*m.cpu, 0x15, 0);
    EXPECT_EQ(u64{v.ecx} * v.ebx / v.eax, hz);
  }
}

TEST(cpuid, topology) {
  CpuModel four = make_model("server", {}, 4, 46, 1'000'000'000);
  EXPECT_TRUE(four.has(Feature::htt));
  TestMachine m;
  EXPECT_EQ(cpuid(*m.cpu, 0xb, 0).ebx, 1u);
  EXPECT_EQ(cpuid(*m.cpu, 0xb, 0).ecx, 0x100u);
  EXPECT_EQ(cpuid(*m.cpu, 0xb, 1).ecx, 0x201u);
  EXPECT_EQ(cpuid(*m.cpu, 0xb, 2).ebx, 0u);
  EXPECT_EQ(cpuid(*m.cpu, 0xb, 2).ecx, 2u);
  EXPECT_EQ(cpuid(*m.cpu, 0xb, 0x1fe).ecx, 0xfeu) << "its lowest 8 bits come back";
}

TEST(cpuid, caches_end_with_type_zero) {
  TestMachine m;
  for (u32 n = 0; n < 4; ++n) EXPECT_NE(cpuid(*m.cpu, 4, n).eax & 31, 0u);
  EXPECT_EQ(cpuid(*m.cpu, 4, 4).eax, 0u);
  const CpuidRegs l2 = cpuid(*m.cpu, 4, 2);
  EXPECT_EQ(((l2.ebx >> 22) + 1) * ((l2.ebx & 0xfff) + 1) * (l2.ecx + 1), 1u << 20);
}

TEST(cpuid, address_widths_and_xd_disable) {
  TestMachine m;
  EXPECT_EQ(cpuid(*m.cpu, 0x80000008, 0).eax, 46u | 48u << 8);
  EXPECT_TRUE(bit(cpuid(*m.cpu, 0x80000001, 0).edx, 20));
  m.cpu->msr.misc_enable |= u64{1} << 34;
  EXPECT_FALSE(bit(cpuid(*m.cpu, 0x80000001, 0).edx, 20));
}

std::string refusal(const std::string& model, std::vector<std::string> f, unsigned count = 1, unsigned bits = 46) {
  try {
    make_model(model, f, count, bits, 1'000'000'000);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

TEST(model, wrong_names_are_refused_with_the_known_ones) {
  EXPECT_NE(refusal("epyc", {}).find("out of scope"), std::string::npos);
  EXPECT_NE(refusal("pentium", {}).find("the models are: x86-64, x86-64-v2, x86-64-v3, server"), std::string::npos);
  EXPECT_NE(refusal("server", {"+frob"}).find("unknown CPU feature 'frob'"), std::string::npos);
  EXPECT_NE(refusal("server", {"+frob"}).find("x2apic"), std::string::npos);
  EXPECT_NE(refusal("server", {"+svm"}).find("AMD"), std::string::npos);
  EXPECT_NE(refusal("server", {"+pku"}).find("not modelled"), std::string::npos);
  EXPECT_NE(refusal("server", {"vmx"}).find("+name"), std::string::npos);
  EXPECT_NE(refusal("server", {}, 0).find("processors"), std::string::npos);
  EXPECT_NE(refusal("server", {}, 1, 60).find("36 to 52"), std::string::npos);
}

TEST(model, features_apply_in_order) {
  EXPECT_FALSE(make_model("server", {"-vmx"}, 1, 46, 1'000'000'000).has(Feature::vmx));
  EXPECT_TRUE(make_model("server", {"-vmx", "+vmx"}, 1, 46, 1'000'000'000).has(Feature::vmx));
}

// System V ABI, AMD64 supplement, table "Micro-Architecture Levels"
TEST(model, levels_have_their_instruction_sets_and_no_more) {
  auto has = [](const char* name, Feature f) { return make_model(name, {}, 1, 46, 1'000'000'000).has(f); };
  using enum Feature;
  for (Feature f : {cmov, cx8, fpu, fxsr, mmx, syscall, sse, sse2}) for (const char* m : kModels) EXPECT_TRUE(has(m, f)) << m;
  for (Feature f : {cx16, lahf, popcnt, sse3, sse4_1, sse4_2, ssse3}) {
    EXPECT_FALSE(has("x86-64", f));
    for (const char* m : {"x86-64-v2", "x86-64-v3", "server"}) EXPECT_TRUE(has(m, f)) << m;
  }
  for (Feature f : {avx, avx2, bmi1, bmi2, f16c, fma, abm, movbe, xsave}) {
    for (const char* m : {"x86-64", "x86-64-v2"}) EXPECT_FALSE(has(m, f)) << m;
    for (const char* m : {"x86-64-v3", "server"}) EXPECT_TRUE(has(m, f)) << m;
  }
  for (Feature f : {aes, pclmulqdq, sha}) EXPECT_TRUE(!has("x86-64-v3", f) && has("server", f));
  for (Feature f : {vmx, nx, x2apic, smep, pdpe1gb}) for (const char* m : kModels) EXPECT_TRUE(has(m, f)) << m;
}

TEST(model, a_feature_without_what_it_needs_is_an_error_and_goes_with_it) {
  EXPECT_EQ(refusal("x86-64", {"+avx2"}), "CPU feature 'avx2' needs 'avx', which model 'x86-64' does not have as given: write +avx before it");
  EXPECT_NE(refusal("server", {"-avx", "+fma"}).find("'fma' needs 'avx'"), std::string::npos);
  const CpuModel m = make_model("server", {"-sse4_2"}, 1, 46, 1'000'000'000);
  for (Feature f : {Feature::avx, Feature::avx2, Feature::fma, Feature::f16c}) EXPECT_FALSE(m.has(f));
  EXPECT_TRUE(m.has(Feature::sse4_1));
  EXPECT_TRUE(make_model("x86-64", {"+sse3", "+ssse3", "+sse4_1", "+sse4_2", "+xsave", "+avx", "+avx2"}, 1, 46, 1'000'000'000).has(Feature::avx2));
}

}  // namespace
}  // namespace vt::cpu
