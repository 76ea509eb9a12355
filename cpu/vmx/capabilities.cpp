// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmx/capabilities.hpp"

namespace vt::cpu {

namespace {

constexpr Setting one = Setting::default1, one_free = Setting::default1_free, any = Setting::free;
constexpr Feature always = Feature::always;

// SDM 3C "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control Fields"; the default1 class is that of
// SDM 3D "Reserved Controls and Default Settings". A row here is a promise: its 1-setting (and, when free, its 0-setting) is modelled.
constexpr Control kControls[] = {
    {Group::pin, 0, any, "external-interrupt exiting", always},
    {Group::pin, 1, one, "", always},
    {Group::pin, 2, one, "", always},
    {Group::pin, 3, any, "NMI exiting", always},
    {Group::pin, 4, one, "", always},
    {Group::pin, 5, any, "virtual NMIs", always},
    {Group::pin, 6, any, "activate VMX-preemption timer", always},

    {Group::proc, 1, one, "", always},
    {Group::proc, 2, any, "interrupt-window exiting", always},
    {Group::proc, 3, any, "use TSC offsetting", always},
    {Group::proc, 4, one, "", always},
    {Group::proc, 5, one, "", always},
    {Group::proc, 6, one, "", always},
    {Group::proc, 7, any, "HLT exiting", always},
    {Group::proc, 8, one, "", always},
    {Group::proc, 9, any, "INVLPG exiting", always},
    {Group::proc, 10, any, "MWAIT exiting", always},
    {Group::proc, 11, any, "RDPMC exiting", always},
    {Group::proc, 12, any, "RDTSC exiting", always},
    {Group::proc, 13, one, "", always},
    {Group::proc, 14, one, "", always},
    {Group::proc, 15, one_free, "CR3-load exiting", always},
    {Group::proc, 16, one_free, "CR3-store exiting", always},
    {Group::proc, 19, any, "CR8-load exiting", always},
    {Group::proc, 20, any, "CR8-store exiting", always},
    {Group::proc, 21, any, "use TPR shadow", always},
    {Group::proc, 22, any, "NMI-window exiting", always},
    {Group::proc, 23, any, "MOV-DR exiting", always},
    {Group::proc, 24, any, "unconditional I/O exiting", always},
    {Group::proc, 25, any, "use I/O bitmaps", always},
    {Group::proc, 26, one, "", always},
    {Group::proc, 27, any, "monitor trap flag", always},
    {Group::proc, 28, any, "use MSR bitmaps", always},
    {Group::proc, 29, any, "MONITOR exiting", always},
    {Group::proc, 30, any, "PAUSE exiting", always},
    {Group::proc, 31, any, "activate secondary controls", always},

    {Group::proc2, 0, any, "virtualize APIC accesses", always},
    {Group::proc2, 1, any, "enable EPT", always},
    {Group::proc2, 2, any, "descriptor-table exiting", always},
    {Group::proc2, 3, any, "enable RDTSCP", Feature::rdtscp},
    {Group::proc2, 4, any, "virtualize x2APIC mode", Feature::x2apic},
    {Group::proc2, 5, any, "enable VPID", always},
    {Group::proc2, 6, any, "WBINVD exiting", always},
    {Group::proc2, 7, any, "unrestricted guest", always},
    {Group::proc2, 10, any, "PAUSE-loop exiting", always},
    {Group::proc2, 11, any, "RDRAND exiting", Feature::rdrand},
    {Group::proc2, 12, any, "enable INVPCID", Feature::invpcid},
    {Group::proc2, 16, any, "RDSEED exiting", Feature::rdseed},

    {Group::exit, 0, one, "", always},
    {Group::exit, 1, one, "", always},
    {Group::exit, 2, one_free, "save debug controls", always},
    {Group::exit, 3, one, "", always},
    {Group::exit, 4, one, "", always},
    {Group::exit, 5, one, "", always},
    {Group::exit, 6, one, "", always},
    {Group::exit, 7, one, "", always},
    {Group::exit, 8, one, "", always},
    {Group::exit, 9, any, "host address-space size", Feature::lm},
    {Group::exit, 10, one, "", always},
    {Group::exit, 11, one, "", always},
    {Group::exit, 13, one, "", always},
    {Group::exit, 14, one, "", always},
    {Group::exit, 15, any, "acknowledge interrupt on exit", always},
    {Group::exit, 16, one, "", always},
    {Group::exit, 17, one, "", always},
    {Group::exit, 18, any, "save IA32_PAT", Feature::pat},
    {Group::exit, 19, any, "load IA32_PAT", Feature::pat},
    {Group::exit, 20, any, "save IA32_EFER", always},
    {Group::exit, 21, any, "load IA32_EFER", always},
    {Group::exit, 22, any, "save VMX-preemption timer value", always},

    {Group::entry, 0, one, "", always},
    {Group::entry, 1, one, "", always},
    {Group::entry, 2, one_free, "load debug controls", always},
    {Group::entry, 3, one, "", always},
    {Group::entry, 4, one, "", always},
    {Group::entry, 5, one, "", always},
    {Group::entry, 6, one, "", always},
    {Group::entry, 7, one, "", always},
    {Group::entry, 8, one, "", always},
    {Group::entry, 9, any, "IA-32e mode guest", Feature::lm},
    {Group::entry, 12, one, "", always},
    {Group::entry, 14, any, "load IA32_PAT", Feature::pat},
    {Group::entry, 15, any, "load IA32_EFER", always},
};

constexpr u32 default1(Group g) {
  u32 v = 0;
  for (const Control& c : kControls) if (c.group == g && c.setting != any) v |= 1u << c.bit;
  return v;
}
// SDM 3D "Default1 Settings"
static_assert(default1(Group::pin) == 0x16);
static_assert(default1(Group::proc) == 0x0401'e172);
static_assert(default1(Group::exit) == 0x0003'6dff);
static_assert(default1(Group::entry) == 0x0000'11ff);
static_assert(default1(Group::proc2) == 0);

// CR4 bits by the feature that brings them.
struct Cr4Bit { u64 bits; Feature feature; };
constexpr Cr4Bit kCr4Bits[] = {
    {cr4::VME | cr4::PVI, Feature::vme}, {cr4::TSD, Feature::tsc},      {cr4::DE, Feature::de},           {cr4::PSE, Feature::pse},
    {cr4::PAE, Feature::pae},            {cr4::MCE, Feature::mce},      {cr4::PGE, Feature::pge},         {cr4::PCE, always},
    {cr4::OSFXSR, Feature::fxsr},        {cr4::OSXMMEXCPT, Feature::sse}, {cr4::UMIP, Feature::umip},     {cr4::VMXE, Feature::vmx},
    {cr4::FSGSBASE, Feature::fsgsbase},  {cr4::PCIDE, Feature::pcid},   {cr4::OSXSAVE, Feature::xsave},   {cr4::SMEP, Feature::smep},
    {cr4::SMAP, Feature::smap},          {cr4::PKE, Feature::pku},
};

// IA32_VMX_BASIC: revision, size of the region, memory type WB, INS/OUTS information (bit 54), TRUE MSRs (bit 55).
constexpr u64 kBasic = vmcs_page::kRevision | u64{4096} << 32 | u64{6} << 50 | u64{1} << 54 | u64{1} << 55;
// IA32_VMX_MISC: bits 4:0 (the preemption timer's rate), bit 5 (EFER.LMA is stored into "IA-32e mode guest"), activity states HLT, shutdown, wait-for-SIPI, CR3 targets.
// MSR lists of 512 entries (bits 27:25 zero); no VMWRITE to exit-information fields; no injection with length 0.
constexpr u64 kMisc = kPreemptionShift | u64{1} << 5 | u64{7} << 6 | u64{kCr3Targets} << 16;
static_assert(kMaxMsrList == 512 * (bits(kMisc, 27, 25) + 1));

struct Need { Group group; u8 bit; };
constexpr Need need(Needs n) {
  switch (n) {
    case Needs::base: return {Group::pin, 1};
    case Needs::secondary: return {Group::proc, 31};
    case Needs::vpid: return {Group::proc2, 5};
    case Needs::ept: return {Group::proc2, 1};
    case Needs::io_bitmaps: return {Group::proc, 25};
    case Needs::msr_bitmaps: return {Group::proc, 28};
    case Needs::tsc_offsetting: return {Group::proc, 3};
    case Needs::guest_pat: return {Group::entry, 14};
    case Needs::guest_efer: return {Group::entry, 15};
    case Needs::host_pat: return {Group::exit, 19};
    case Needs::host_efer: return {Group::exit, 21};
    case Needs::tpr_shadow: return {Group::proc, 21};
    case Needs::apic_access: return {Group::proc2, 0};
    case Needs::preemption_timer: return {Group::pin, 6};
    case Needs::pause_loop: return {Group::proc2, 10};
  }
  return {Group::pin, 1};
}

u64 as_msr(Allowed a) { return a.must | static_cast<u64>(a.may) << 32; }

}  // namespace

std::span<const Control> controls() { return kControls; }

Allowed allowed(const CpuModel& model, Group group, bool true_msr) {
  Allowed a;
  for (const Control& c : kControls) {
    if (c.group != group || !model.has(c.feature)) continue;
    a.may |= 1u << c.bit;
    if (c.setting == Setting::default1 || (c.setting == Setting::default1_free && !true_msr)) a.must |= 1u << c.bit;
  }
  return a;
}

bool field_exists(const CpuModel& model, const FieldRow& field) {
  const Need n = need(field.needs);
  return allowed(model, n.group, true).may >> n.bit & 1;
}

u64 cr4_fixed1(const CpuModel& model) {
  u64 v = 0;
  for (const Cr4Bit& b : kCr4Bits) if (model.has(b.feature)) v |= b.bits;
  return v;
}

ept::Caps ept_caps(const CpuModel& model) {
  return {.execute_only = true, .page_2m = true, .page_1g = true, .accessed_dirty = true, .physical_address_bits = model.physical_address_bits};
}

u64 ept_vpid_cap() {
  return u64{1} << 0                                 // execute-only translations
         | u64{1} << 6                               // page-walk length 4
         | u64{1} << 8 | u64{1} << 14                // paging structures UC, WB
         | u64{1} << 16 | u64{1} << 17               // 2 MiB and 1 GiB pages
         | u64{1} << 20 | u64{1} << 25 | u64{1} << 26  // INVEPT: single-context, all-context
         | u64{1} << 21                              // accessed and dirty flags
         | u64{1} << 32 | u64{0xf} << 40;            // INVVPID: its four types
}

bool capability_msr(const CpuModel& m, u32 msr, u64& value) {
  if (!m.has(Feature::vmx)) return false;
  switch (msr) {
    case 0x480: value = kBasic; return true;
    case 0x481: value = as_msr(allowed(m, Group::pin, false)); return true;
    case 0x482: value = as_msr(allowed(m, Group::proc, false)); return true;
    case 0x483: value = as_msr(allowed(m, Group::exit, false)); return true;
    case 0x484: value = as_msr(allowed(m, Group::entry, false)); return true;
    case 0x485: value = kMisc; return true;
    case 0x486: value = kCr0Fixed0; return true;
    case 0x487: value = kCr0Fixed1; return true;
    case 0x488: value = kCr4Fixed0; return true;
    case 0x489: value = cr4_fixed1(m); return true;
    case 0x48a: value = highest_field_index() << 1; return true;
    case 0x48b: value = as_msr(allowed(m, Group::proc2, false)); return true;
    case 0x48c: value = ept_vpid_cap(); return true;
    case 0x48d: value = as_msr(allowed(m, Group::pin, true)); return true;
    case 0x48e: value = as_msr(allowed(m, Group::proc, true)); return true;
    case 0x48f: value = as_msr(allowed(m, Group::exit, true)); return true;
    case 0x490: value = as_msr(allowed(m, Group::entry, true)); return true;
    default: return false;  // IA32_VMX_VMFUNC and later ones: their controls are not offered
  }
}

bool vmx_capability(const Cpu& c, u32 msr, u64& value) { return capability_msr(c.model(), msr, value); }

}  // namespace vt::cpu
