// SPDX-License-Identifier: GPL-2.0-or-later
/// What each feature brings, as tables of the manual's own: which MSRs there are, which bits of CR4, which VMX controls and VMCS fields, and that they go with
/// the feature and with nothing else.
#include <map>
#include <set>

#include "../tested.hpp"
#include "cpu/cpuid.hpp"
#include "cpu/msr.hpp"
#include "harness.hpp"
#include "insn/system.hpp"
#include "vmx/capabilities.hpp"
#include "vmx/vmcs.hpp"
#include "vmx_model.hpp"

namespace vt::cpu {
namespace {
using F = Feature;
constexpr auto kFeatures = static_cast<unsigned>(Feature::count_);

/// A machine whose model has everything, or everything but one.
struct Everything : TestMachine {
  explicit Everything(F but = F::always) {
    model.features.set();
    if (but != F::always) model.features.reset(static_cast<std::size_t>(but));
    cpu = std::make_unique<Cpu>(*this, model, 0, true);
    enter(Mode::long64);
  }
};

// SDM 4 "IA-32 Architectural MSRs": all that a model with every feature has, but for the registers of the x2APIC
struct Range { u32 first, last; F feature; bool reads = true; };
constexpr Range kThere[] = {
    {0x0, 0x1, F::mce}, {0x10, 0x10, F::tsc}, {0x17, 0x17, F::always}, {0x1b, 0x1b, F::apic}, {0x3a, 0x3a, F::vmx}, {0x3b, 0x3b, F::tsc_adjust}, {0x79, 0x79, F::always, false},
    {0x8b, 0x8b, F::always}, {0xfe, 0xfe, F::mtrr}, {0x10a, 0x10a, F::avx2}, {0x174, 0x176, F::sep}, {0x179, 0x17a, F::mca}, {0x1a0, 0x1a0, F::always}, {0x1d9, 0x1d9, F::always},
    {0x200, 0x213, F::mtrr}, {0x250, 0x250, F::mtrr}, {0x258, 0x259, F::mtrr}, {0x268, 0x26f, F::mtrr}, {0x277, 0x277, F::pat}, {0x2ff, 0x2ff, F::mtrr}, {0x480, 0x490, F::vmx},
    {0x6e0, 0x6e0, F::tsc_deadline}, {0xda0, 0xda0, F::xsaves}, {0xc0000080, 0xc0000080, F::always}, {0xc0000081, 0xc0000084, F::syscall}, {0xc0000100, 0xc0000102, F::lm},
    {0xc0000103, 0xc0000103, F::rdtscp},
};
TEST(msr, those_that_the_features_bring_and_no_others) {
  for (unsigned f = 0; f < kFeatures; ++f) {
    const F without = static_cast<F>(f);
    Everything m(without);
    for (u32 base : {0u, 0xc0000000u})
      for (u32 n = base; n < base + 0x1000; ++n) {
        if (n >= 0x800 && n <= 0x8ff) continue;
        bool there = false;
        for (const Range& r : kThere) there |= n >= r.first && n <= r.last && r.reads && (r.feature != without || without == F::always);
        u64 v;
        EXPECT_EQ(read_msr(*m.cpu, n, v), there) << std::hex << n << " without feature " << std::dec << f;
        if (there) tested("MSR", n);
      }
  }
}

// SDM 3A "Memory Types That Can Be Encoded in MTRRs": UC, WC, WT, WP, WB
TEST(msr, memory_types_of_mtrrs) {
  TestMachine m;
  for (u64 t = 0; t < 256; ++t) {
    const bool good = t == 0 || t == 1 || t == 4 || t == 5 || t == 6;
    tested("MSR", 0x200), tested("MSR", 0x2ff), tested("MSR", 0x26f, 8);
    EXPECT_EQ(write_msr(*m.cpu, 0x200, 0x80000000 | t), good) << t;
    EXPECT_EQ(write_msr(*m.cpu, 0x2ff, 0xc00 | t), good) << t;
    for (unsigned byte = 0; byte < 8; ++byte) EXPECT_EQ(write_msr(*m.cpu, 0x26f, t << (8 * byte)), good) << t << " in byte " << byte;
  }
}

// SDM 3A "Memory Types That Can Be Encoded in the PAT": those, and UC-
TEST(msr, memory_types_of_the_pat) {
  TestMachine m;
  tested("MSR", 0x277, 256 * 8);
  for (u64 t = 0; t < 256; ++t)
    for (unsigned byte = 0; byte < 8; ++byte) EXPECT_EQ(write_msr(*m.cpu, 0x277, t << (8 * byte)), t == 0 || t == 1 || (t >= 4 && t <= 7)) << t << " in byte " << byte;
}

// SDM 3A "Variable Range MTRRs", "Fixed Range MTRRs": each has a place of its own, and takes the bits that the manual gives it
TEST(msr, every_mtrr_keeps_its_own_value) {
  TestMachine m;
  std::map<u32, u64> kept;
  u64 n = 0;
  for (u32 at = 0x200; at < 0x214; at += 2) kept[at] = (++n << 20) | 6, kept[at + 1] = mask(45, 30) | (n & 1 ? 0x800 : 0);
  for (u32 at : {0x250u, 0x258u, 0x259u, 0x268u, 0x269u, 0x26au, 0x26bu, 0x26cu, 0x26du, 0x26eu, 0x26fu}) ++n, kept[at] = 0x0600'0106'0504'0000 | (n & 1 ? 1 : 4) | (n & 2 ? 0x100 : 0);
  kept[0x2ff] = 0xc06;
  for (auto& [at, v] : kept) EXPECT_TRUE(write_msr(*m.cpu, at, v)) << std::hex << at;
  for (auto& [at, v] : kept) {
    u64 is = 0;
    EXPECT_TRUE(read_msr(*m.cpu, at, is));
    EXPECT_EQ(is, v) << std::hex << at;
    tested("MSR", at);
  }
  for (u32 at : {0x200u, 0x201u, 0x2ffu}) tested("MSR", at, 64);
  for (unsigned b = 0; b < 64; ++b) {
    const u64 v = u64{1} << b;
    EXPECT_EQ(write_msr(*m.cpu, 0x201, v), b == 11 || (b >= 12 && b < 46)) << b;
    EXPECT_EQ(write_msr(*m.cpu, 0x200, v), b == 0 || b == 2 || (b >= 12 && b < 46)) << b;   // bits 1 and 3 to 7 make no type
    EXPECT_EQ(write_msr(*m.cpu, 0x2ff, v), b == 0 || b == 2 || b == 10 || b == 11) << b;
  }
}

// SDM 3A "Control Registers": every defined bit of CR4, by the feature that it needs. PCE has none; LA57, SMXE, CET, PKS and UINTR are not offered.
struct Cr4 { unsigned bit; F feature; };
constexpr Cr4 kCr4[] = {{0, F::vme}, {1, F::vme}, {2, F::tsc}, {3, F::de}, {4, F::pse}, {5, F::pae}, {6, F::mce}, {7, F::pge}, {8, F::always}, {9, F::fxsr}, {10, F::sse}, {11, F::umip},
                        {13, F::vmx}, {16, F::fsgsbase}, {17, F::pcid}, {18, F::xsave}, {20, F::smep}, {21, F::smap}, {22, F::pku}};
u64 cr4_without(F without) {
  u64 v = 0;
  for (const Cr4& c : kCr4) if (c.feature != without || without == F::always) v |= u64{1} << c.bit;
  return v;
}
TEST(cr4, its_bits_go_with_their_features) {
  for (unsigned f = 0; f < kFeatures; ++f) {
    const F without = static_cast<F>(f);
    const u64 bits = cr4_without(without);
    EXPECT_EQ(cr4_offered(Everything(without).model), bits) << f;
    if (without != F::vmx) { EXPECT_EQ(cr4_fixed1(vt::cpu::without(vmx_model(), without)), f ? bits : cr4_without(F::always)) << f; }
  }
}
TEST(cr4, any_other_bit_is_gp) {
  for (unsigned b = 0; b < 64; ++b) {
    if (b == 17 || b == 20 || b == 21) continue;   // PCIDE has conditions of its own, and all pages of this machine are the user's: SMEP, SMAP
    Everything m;
    m.cpu->cr3 &= ~u64{0xfff};
    m.cpu->r[0] = m.cpu->cr4 | u64{1} << b;
    EXPECT_EQ(m.run({0x0f, 0x22, 0xe0}), cr4_without(F::always) >> b & 1 ? -1 : GP) << b;
  }
}

// SDM 3D "VMX Capability Reporting Facility": the allowed 1-settings, by bit; the features are those of the control's description in SDM 3C
struct Control1 { unsigned bit; F feature = F::always; };
using Controls1 = std::vector<Control1>;
const struct { u32 msr, true_msr; u64 must, true_must; Controls1 may; } kControls1[] = {
    {0x481, 0x48d, 0x16, 0x16, {{0}, {1}, {2}, {3}, {4}, {5}, {6}}},
    {0x482, 0x48e, 0x401e172, 0x4006172, {{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}, {16}, {19}, {20}, {21}, {22}, {23}, {24}, {25}, {26}, {27}, {28}, {29}, {30}, {31}}},
    {0x48b, 0x48b, 0, 0, {{0}, {1}, {2}, {3, F::rdtscp}, {4, F::x2apic}, {5}, {6}, {7}, {10}, {11, F::rdrand}, {12, F::invpcid}, {16, F::rdseed}}},
    {0x483, 0x48f, 0x36dff, 0x36dfb, {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9, F::lm}, {10}, {11}, {13}, {14}, {15}, {16}, {17}, {18, F::pat}, {19, F::pat}, {20}, {21}, {22}}},
    {0x484, 0x490, 0x11ff, 0x11fb, {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9, F::lm}, {12}, {14, F::pat}, {15}}},
};
TEST(vmx_capabilities, controls_go_with_their_features) {
  for (unsigned f = 0; f < kFeatures; ++f) {
    const F without = static_cast<F>(f);
    if (without == F::vmx) continue;
    const CpuModel model = f ? vt::cpu::without(vmx_model(), without) : vmx_model();
    for (auto& c : kControls1) {
      u64 may = 0, plain = 0, truly = 0;
      for (auto& x : c.may) if (x.feature == F::always || x.feature != without) may |= u64{1} << x.bit;
      ASSERT_TRUE(capability_msr(model, c.msr, plain) && capability_msr(model, c.true_msr, truly));
      EXPECT_EQ(plain, may << 32 | c.must) << std::hex << c.msr << " without feature " << std::dec << f;
      EXPECT_EQ(truly, may << 32 | c.true_must) << std::hex << c.true_msr << " without feature " << std::dec << f;
      for (auto& x : c.may) tested("VMX control", std::to_string(&c - kControls1) + "." + std::to_string(x.bit));
      tested("MSR", c.msr), tested("MSR", c.true_msr);
    }
  }
}
TEST(vmx_capabilities, the_other_msrs_to_the_bit) {
  // "Basic VMX Information"; "Miscellaneous Data": timer by 2^5, LMA stored, HLT, shutdown and wait-for-SIPI, four CR3 targets; "VPID and EPT Capabilities"
  const struct { u32 msr; u64 value; } rows[] = {{0x480, 0x00d8'1000'5654'0001}, {0x485, 0x401e5}, {0x486, 0x8000'0021}, {0x487, 0xffff'ffff}, {0x488, 0x2000}, {0x48a, 0x2e}, {0x48c, 0xf01'0633'4141}};
  for (auto& r : rows) {
    u64 v = 0;
    ASSERT_TRUE(capability_msr(vmx_model(), r.msr, v));
    EXPECT_EQ(v, r.value) << std::hex << r.msr;
  }
}

// SDM 3C "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control Fields": the bit positions in the tables of definitions, as numbers; what the
// code means by a name, tests mean as well
TEST(vmx_capabilities, names_of_controls_are_their_bits) {
  const struct { u32 is; unsigned bit; } rows[] = {
      {pin_ctl::external_interrupt, 0}, {pin_ctl::nmi, 3}, {pin_ctl::virtual_nmis, 5}, {pin_ctl::preemption_timer, 6},
      {proc_ctl::interrupt_window, 2}, {proc_ctl::tsc_offsetting, 3}, {proc_ctl::hlt, 7}, {proc_ctl::invlpg, 9}, {proc_ctl::mwait, 10}, {proc_ctl::rdpmc, 11}, {proc_ctl::rdtsc, 12}, {proc_ctl::cr3_load, 15},
      {proc_ctl::cr3_store, 16}, {proc_ctl::cr8_load, 19}, {proc_ctl::cr8_store, 20}, {proc_ctl::tpr_shadow, 21}, {proc_ctl::nmi_window, 22}, {proc_ctl::mov_dr, 23}, {proc_ctl::unconditional_io, 24},
      {proc_ctl::io_bitmaps, 25}, {proc_ctl::monitor_trap, 27}, {proc_ctl::msr_bitmaps, 28}, {proc_ctl::monitor, 29}, {proc_ctl::pause, 30}, {proc_ctl::secondary, 31},
      {proc2_ctl::apic_access, 0}, {proc2_ctl::ept, 1}, {proc2_ctl::descriptor_table, 2}, {proc2_ctl::rdtscp, 3}, {proc2_ctl::x2apic, 4}, {proc2_ctl::vpid, 5}, {proc2_ctl::wbinvd, 6},
      {proc2_ctl::unrestricted_guest, 7}, {proc2_ctl::pause_loop, 10}, {proc2_ctl::rdrand, 11}, {proc2_ctl::invpcid, 12}, {proc2_ctl::rdseed, 16},
      {exit_ctl::save_debug, 2}, {exit_ctl::host_64, 9}, {exit_ctl::ack_interrupt, 15}, {exit_ctl::save_pat, 18}, {exit_ctl::load_pat, 19}, {exit_ctl::save_efer, 20}, {exit_ctl::load_efer, 21},
      {exit_ctl::save_preemption_timer, 22}, {entry_ctl::load_debug, 2}, {entry_ctl::ia32e_guest, 9}, {entry_ctl::load_pat, 14}, {entry_ctl::load_efer, 15},
      {intr_info::valid, 31}, {intr_info::error_code, 11}, {intr_info::nmi_unblocking, 12},   // "Information for VM Exits Due to Vectored Events"
      {interruptibility::sti, 0}, {interruptibility::movss, 1}, {interruptibility::smi, 2}, {interruptibility::nmi, 3}};   // "Format of Interruptibility State"
  for (auto& r : rows) EXPECT_EQ(r.is, u32{1} << r.bit) << "row " << (&r - rows);
}

// SDM 3C "VM-Instruction Error Numbers"
TEST(vmx_capabilities, error_numbers) {
  const struct { VmError is; u32 number; } rows[] = {
      {VmError::vmcall_in_root, 1}, {VmError::vmclear_address, 2}, {VmError::vmclear_vmxon_pointer, 3}, {VmError::vmlaunch_not_clear, 4}, {VmError::vmresume_not_launched, 5},
      {VmError::vmresume_after_vmxoff, 6}, {VmError::entry_controls, 7}, {VmError::entry_host_state, 8}, {VmError::vmptrld_address, 9}, {VmError::vmptrld_vmxon_pointer, 10},
      {VmError::vmptrld_revision, 11}, {VmError::unsupported_component, 12}, {VmError::readonly_component, 13}, {VmError::vmxon_in_root, 15}, {VmError::entry_movss, 26},
      {VmError::invept_invvpid_operand, 28}};
  for (auto& r : rows) EXPECT_EQ(static_cast<u32>(r.is), r.number);
}

// SDM 3D "Field Encoding in VMCS": the footnotes say with which control a field exists; the others always do
TEST(vmx_fields, the_control_that_each_needs) {
  const std::map<u32, Needs> needs = {
      {0x0000, Needs::vpid}, {0x2000, Needs::io_bitmaps}, {0x2002, Needs::io_bitmaps}, {0x2004, Needs::msr_bitmaps}, {0x2010, Needs::tsc_offsetting}, {0x2012, Needs::tpr_shadow},
      {0x2014, Needs::apic_access}, {0x201a, Needs::ept}, {0x2400, Needs::ept}, {0x2804, Needs::guest_pat}, {0x2806, Needs::guest_efer}, {0x280a, Needs::ept}, {0x280c, Needs::ept},
      {0x280e, Needs::ept}, {0x2810, Needs::ept}, {0x2c00, Needs::host_pat}, {0x2c02, Needs::host_efer}, {0x401c, Needs::tpr_shadow}, {0x401e, Needs::secondary}, {0x4020, Needs::pause_loop},
      {0x4022, Needs::pause_loop}, {0x482e, Needs::preemption_timer}};
  for (const FieldRow& f : kFields) {
    const auto n = needs.find(f.encoding);
    EXPECT_EQ(f.needs, n == needs.end() ? Needs::base : n->second) << f.name;
    tested("VMCS field", f.encoding);
  }
  for (auto& [encoding, n] : needs) EXPECT_NE(find_field(encoding), nullptr) << std::hex << encoding;
}
TEST(vmx_fields, there_are_those_of_the_manual) {   // by area and width, with the gaps that what is not offered leaves
  const struct { u32 first, last; std::vector<u32> but; } ranges[] = {
      {0x0000, 0x0000, {}}, {0x0800, 0x080e, {}}, {0x0c00, 0x0c0c, {}}, {0x2000, 0x2014, {0x200e}}, {0x201a, 0x201a, {}}, {0x2400, 0x2400, {}}, {0x2800, 0x2810, {0x2808}}, {0x2c00, 0x2c02, {}},
      {0x4000, 0x4022, {}}, {0x4400, 0x440e, {}}, {0x4800, 0x482a, {}}, {0x482e, 0x482e, {}}, {0x4c00, 0x4c00, {}}, {0x6000, 0x600e, {}}, {0x6400, 0x640a, {}}, {0x6800, 0x6826, {}}, {0x6c00, 0x6c16, {}}};
  for (u32 e = 0; e < 0x8000; e += 2) {
    bool there = false;
    for (auto& r : ranges) there |= e >= r.first && e <= r.last && std::find(r.but.begin(), r.but.end(), e) == r.but.end();
    EXPECT_EQ(find_field(e) != nullptr, there) << std::hex << e;
  }
}

// SDM 2A "CPUID-CPU Identification": the tables of feature information, a register each. 'C' of leaf 1 bit 27 (OSXSAVE) shows CR4; leaf 7 has two more that go with others.
enum : unsigned { A, B, C, D };
struct Bit { unsigned bit; F feature; };
const struct { u32 leaf, subleaf; unsigned reg; std::vector<Bit> bits; } kCpuid[] = {
    {1, 0, D, {{0, F::fpu}, {1, F::vme}, {2, F::de}, {3, F::pse}, {4, F::tsc}, {5, F::msr}, {6, F::pae}, {7, F::mce}, {8, F::cx8}, {9, F::apic}, {11, F::sep}, {12, F::mtrr}, {13, F::pge},
               {14, F::mca}, {15, F::cmov}, {16, F::pat}, {17, F::pse36}, {19, F::clfsh}, {23, F::mmx}, {24, F::fxsr}, {25, F::sse}, {26, F::sse2}, {27, F::ss}, {28, F::htt}}},
    {1, 0, C, {{0, F::sse3}, {1, F::pclmulqdq}, {3, F::monitor}, {5, F::vmx}, {9, F::ssse3}, {12, F::fma}, {13, F::cx16}, {17, F::pcid}, {19, F::sse4_1}, {20, F::sse4_2}, {21, F::x2apic},
               {22, F::movbe}, {23, F::popcnt}, {24, F::tsc_deadline}, {25, F::aes}, {26, F::xsave}, {28, F::avx}, {29, F::f16c}, {30, F::rdrand}}},
    {6, 0, A, {{2, F::arat}}},
    {7, 0, B, {{0, F::fsgsbase}, {1, F::tsc_adjust}, {3, F::bmi1}, {5, F::avx2}, {7, F::smep}, {8, F::bmi2}, {9, F::erms}, {10, F::invpcid}, {13, F::fpu}, {18, F::rdseed}, {19, F::adx},
               {20, F::smap}, {23, F::clflushopt}, {24, F::clwb}, {29, F::sha}}},
    {7, 0, C, {{2, F::umip}, {3, F::pku}, {22, F::rdpid}}},
    {7, 0, D, {{29, F::avx2}}},   // IA32_ARCH_CAPABILITIES
    {0xd, 1, A, {{0, F::xsaveopt}, {1, F::xsavec}, {2, F::xgetbv1}, {3, F::xsaves}}},
    {0x80000001, 0, C, {{0, F::lahf}, {5, F::abm}, {8, F::prefetchw}}},
    {0x80000001, 0, D, {{11, F::syscall}, {20, F::nx}, {26, F::pdpe1gb}, {27, F::rdtscp}, {29, F::lm}}},
    {0x80000007, 0, D, {{8, F::invariant_tsc}}},
};
u32 of(const CpuidRegs& r, unsigned reg) { return reg == A ? r.eax : reg == B ? r.ebx : reg == C ? r.ecx : r.edx; }

TEST(cpuid, every_bit_goes_with_its_feature) {
  std::set<F> told;
  for (unsigned f = 0; f < kFeatures; ++f) {
    const F without = static_cast<F>(f);
    Everything m(without);
    m.cpu->msr.misc_enable |= 1u << 18;   // MONITOR
    for (auto& row : kCpuid) {
      u32 expected = 0;
      for (auto& b : row.bits) {
        told.insert(b.feature);
        if (b.feature != without) expected |= 1u << b.bit;
      }
      if (row.leaf == 0xd && without == F::xsave) expected = 0;
      tested("CPUID leaf", row.leaf);
      for (auto& b : row.bits) tested("CPUID feature", feature_rows()[static_cast<std::size_t>(std::find_if(feature_rows().begin(), feature_rows().end(), [&](auto& x) { return x.feature == b.feature; }) - feature_rows().begin())].name);
      EXPECT_EQ(of(cpuid(*m.cpu, row.leaf, row.subleaf), row.reg), expected) << std::hex << row.leaf << " register " << row.reg << " without feature " << std::dec << f;
    }
  }
  EXPECT_EQ(told.size(), kFeatures - 1u);
}

TEST(cpuid, leaves_without_features) {   // the formats of the leaves of the same section
  TestMachine m;
  Cpu& c = *m.cpu;
  for (u32 leaf : {2u, 3u, 4u, 5u, 8u, 9u, 0xau, 0xcu, 0xeu, 0xfu, 0x10u, 0x14u, 0x16u, 0x80000000u, 0x80000002u, 0x80000003u, 0x80000004u, 0x80000005u, 0x80000006u, 0x80000008u}) tested("CPUID leaf", leaf, leaf == 4 ? 4 : 1);
  EXPECT_EQ(cpuid(c, 2, 0), (CpuidRegs{0x00ff0001, 0, 0, 0}));
  // "Deterministic Cache Parameters Leaf": type, level, self-initializing; ways, partitions and line less one; sets less one
  EXPECT_EQ(cpuid(c, 4, 0), (CpuidRegs{0x121, 7u << 22 | 63, 63, 0}));
  EXPECT_EQ(cpuid(c, 4, 1), (CpuidRegs{0x122, 7u << 22 | 63, 63, 0}));
  EXPECT_EQ(cpuid(c, 4, 2), (CpuidRegs{0x143, 15u << 22 | 63, 1023, 0}));
  EXPECT_EQ(cpuid(c, 4, 3), (CpuidRegs{0x163, 10u << 22 | 63, 2047, 4}));
  EXPECT_EQ(cpuid(c, 0x16, 0), (CpuidRegs{1000, 1000, 100, 0}));
  EXPECT_EQ(cpuid(c, 0x80000000, 0), (CpuidRegs{0x80000008, 0, 0, 0}));
  EXPECT_EQ(cpuid(c, 0x80000006, 0), (CpuidRegs{0, 0, 1024u << 16 | 8u << 12 | 64, 0}));
  EXPECT_EQ(cpuid(c, 0x80000008, 0), (CpuidRegs{46 | 48 << 8, 0, 0, 0}));
  std::string brand;
  for (u32 leaf = 0x80000002; leaf < 0x80000005; ++leaf) {
    const CpuidRegs r = cpuid(c, leaf, 0);
    for (unsigned reg : {A, B, C, D})
      for (unsigned b = 0; b < 4; ++b) brand += static_cast<char>(of(r, reg) >> (8 * b));
  }
  EXPECT_EQ(brand, std::string("Vitrine x86-64 processor").append(48 - 24, '\0'));
  for (u32 leaf : {3u, 8u, 9u, 0xau, 0xcu, 0xeu, 0xfu, 0x10u, 0x14u, 0x80000005u}) EXPECT_EQ(cpuid(c, leaf, 0), CpuidRegs{}) << leaf;
  EXPECT_EQ(cpuid(*Everything().cpu, 5, 0), (CpuidRegs{64, 64, 3, 0}));   // "MONITOR/MWAIT Leaf": lines of 64 bytes; extensions, interrupts break
}

TEST(cpuid, of_a_package_with_more_processors) {   // SDM 2A; SDM 3A "Hierarchical Mapping of Shared Resources"
  for (unsigned count : {1u, 2u, 3u, 4u, 5u, 8u}) {
    TestMachine m;
    m.model.count = count;
    Cpu c(m, m.model, 0, true);
    const u32 width = count == 1 ? 0 : count == 2 ? 1 : count <= 4 ? 2 : 3, ids = 1u << width;
    EXPECT_EQ(cpuid(c, 1, 0).ebx, 8u << 8 | ids << 16) << count;
    EXPECT_EQ(cpuid(c, 0xb, 1), (CpuidRegs{width, count, 0x201, 0})) << count;
    EXPECT_EQ(cpuid(c, 4, 0).eax, 0x121 | (ids - 1) << 26) << count;
    EXPECT_EQ(cpuid(c, 4, 3).eax, 0x163 | (ids - 1) << 14 | (ids - 1) << 26) << count;
  }
}

}  // namespace
}  // namespace vt::cpu
