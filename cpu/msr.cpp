// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/msr.hpp"

#include <algorithm>

#include "cpu/cpu.hpp"

namespace vt::cpu {
namespace {

bool canonical(u64 v) { return static_cast<u64>(sext(v, 48)) == v; }

// --- shapes that several rows share ------------------------------------------------------------------
/// Plain storage; a write that sets a bit outside `Writable` is #GP.
template <u64 Msrs::*Field> bool get(Cpu& c, u32, u64& v) { v = c.msr.*Field; return true; }
template <u64 Msrs::*Field, u64 Writable = ~u64{0}>
bool set(Cpu& c, u32, u64 v) {
  if (v & ~Writable) return false;
  c.msr.*Field = v;
  return true;
}
template <u64 Msrs::*Field>
bool set_canonical(Cpu& c, u32, u64 v) {
  if (!canonical(v)) return false;
  c.msr.*Field = v;
  return true;
}
template <u64 Value> bool constant(Cpu&, u32, u64& v) { v = Value; return true; }
bool only_zero(Cpu&, u32, u64 v) { return v == 0; }

template <unsigned S> bool get_base(Cpu& c, u32, u64& v) { v = c.seg[S].base; return true; }
template <unsigned S>
bool set_base(Cpu& c, u32, u64 v) {
  if (!canonical(v)) return false;
  c.seg[S].base = v;
  return true;
}

// --- time --------------------------------------------------------------------------------------------
bool get_tsc(Cpu& c, u32, u64& v) { v = c.tsc(); return true; }
/// SDM 3B "Time-Stamp Counter Adjustment": a write to either moves the other by as much.
void move_tsc(Cpu& c, u64 by) {
  c.msr.tsc_offset += by;
  c.msr.tsc_adjust += by;
  c.apic.arm_deadline();
}
bool set_tsc(Cpu& c, u32, u64 v) { move_tsc(c, v - c.tsc()); return true; }
bool set_tsc_adjust(Cpu& c, u32, u64 v) { move_tsc(c, v - c.msr.tsc_adjust); return true; }
bool set_deadline(Cpu& c, u32, u64 v) {
  c.msr.tsc_deadline = v;
  c.apic.arm_deadline();
  return true;
}
bool get_deadline(Cpu& c, u32, u64& v) { v = c.msr.tsc_deadline; return true; }

// --- APIC --------------------------------------------------------------------------------------------
bool get_apic_base(Cpu& c, u32, u64& v) { v = c.apic.base(); return true; }
bool set_apic_base(Cpu& c, u32, u64 v) {
  if (!c.apic.write_base(v)) return false;
  c.contexts.forget_all();  // host pointers are never made to the APIC's page, wherever it is now
  return true;
}
bool get_x2apic(Cpu& c, u32 n, u64& v) { return c.apic.read_msr(n, v); }
bool set_x2apic(Cpu& c, u32 n, u64 v) {
  if (!c.apic.x2apic()) return false;
  c.leave_run = true;
  return c.apic.write_msr(n, v);
}

// --- control -----------------------------------------------------------------------------------------
bool set_feature_control(Cpu& c, u32, u64 v) {
  if (bit(c.msr.feature_control, 0) || (v & ~u64{7})) return false;  // locked, or what is not offered
  c.msr.feature_control = v;
  return true;
}
bool set_microcode_trigger(Cpu& c, u32, u64) {
  c.out().stop().unsupported("microcode update (IA32_BIOS_UPDT_TRIG)", "SDM 3A \"Microcode Update Facilities\"");
  return true;
}
constexpr u64 kMiscUnavailable = 1u << 11 | 1u << 12;  // BTS, PEBS
bool get_misc_enable(Cpu& c, u32, u64& v) { v = c.msr.misc_enable | kMiscUnavailable; return true; }
bool set_misc_enable(Cpu& c, u32, u64 v) {
  // Fast strings, automatic thermal control, EIST, MONITOR, limit CPUID, xTPR, XD disable; the rest is read-only or not offered.
  u64 may = 1u | 1u << 3 | 1u << 16 | 1u << 22 | 1u << 23 | u64{1} << 34;
  if (c.model().has(Feature::monitor)) may |= 1u << 18;
  if (v & ~(may | kMiscUnavailable | 1u << 7)) return false;
  c.msr.misc_enable = v & may;
  return true;
}
bool set_debugctl(Cpu& c, u32, u64 v) {
  if (v & ~u64{3}) return false;
  if (v) c.out().stop().unsupported(v & 2 ? "single-stepping on branches (IA32_DEBUGCTL.BTF)" : "last branch recording (IA32_DEBUGCTL.LBR)", "SDM 3B \"IA32_DEBUGCTL MSR\"");
  c.msr.debugctl = v;
  return true;
}
bool set_pat(Cpu& c, u32, u64 v) {
  for (unsigned i = 0; i < 8; ++i) {
    const u64 t = v >> (8 * i) & 0xff;
    if (t > 7 || t == 2 || t == 3) return false;
  }
  c.msr.pat = v;
  return true;
}
bool get_efer(Cpu& c, u32, u64& v) { v = c.efer; return true; }
/// SDM 3A "Extended Feature Enable Register". LMA is not written.
bool set_efer(Cpu& c, u32, u64 v) {
  u64 may = efer::LMA;
  if (c.model().has(Feature::syscall)) may |= efer::SCE;
  if (c.model().has(Feature::lm)) may |= efer::LME;
  if (c.model().has(Feature::nx) && !bit(c.msr.misc_enable, 34)) may |= efer::NXE;
  if (v & ~may) return false;
  if ((c.cr0 & cr0::PG) && ((v ^ c.efer) & efer::LME)) return false;
  const u64 old = c.efer;
  c.efer = (v & ~efer::LMA) | (c.efer & efer::LMA);
  if ((old ^ c.efer) & efer::NXE) c.tlb.flush_vpid(c.contexts.tlb().vpid, false);
  c.update();
  return true;
}

// --- MTRRs.   SDM 3A "MTRR Feature Identification" to "Variable Range MTRRs" ---------------------------
bool mtrr_type_ok(u64 t) { return t == 0 || t == 1 || t == 4 || t == 5 || t == 6; }
bool get_variable(Cpu& c, u32 n, u64& v) {
  const unsigned i = (n - 0x200) / 2;
  v = n & 1 ? c.msr.mtrr_mask[i] : c.msr.mtrr_base[i];
  return true;
}
bool set_variable(Cpu& c, u32 n, u64 v) {
  const unsigned i = (n - 0x200) / 2;
  const u64 address = mask(c.model().physical_address_bits - 1, 12);
  if (n & 1) {
    if (v & ~(address | 0x800)) return false;
    c.msr.mtrr_mask[i] = v;
  } else {
    if ((v & ~(address | 0xff)) || !mtrr_type_ok(v & 0xff)) return false;
    c.msr.mtrr_base[i] = v;
  }
  return true;
}
unsigned fixed_index(u32 n) { return n == 0x250 ? 0 : n < 0x260 ? 1 + (n - 0x258) : 3 + (n - 0x268); }
bool get_fixed(Cpu& c, u32 n, u64& v) { v = c.msr.mtrr_fixed[fixed_index(n)]; return true; }
bool set_fixed(Cpu& c, u32 n, u64 v) {
  for (unsigned i = 0; i < 8; ++i)
    if (!mtrr_type_ok(v >> (8 * i) & 0xff)) return false;
  c.msr.mtrr_fixed[fixed_index(n)] = v;
  return true;
}
bool set_def_type(Cpu& c, u32, u64 v) {
  if ((v & ~u64{0xcff}) || !mtrr_type_ok(v & 0xff)) return false;
  c.msr.mtrr_def_type = v;
  return true;
}

bool get_vmx(Cpu& c, u32 n, u64& v) { return vmx_capability(c, n, v); }

using F = Feature;
constexpr MsrRow kMsrs[] = {
    {0x000, 0x001, "IA32_P5_MC_ADDR/TYPE", F::mce, constant<0>, only_zero},
    {0x010, 0x010, "IA32_TIME_STAMP_COUNTER", F::tsc, get_tsc, set_tsc},
    {0x017, 0x017, "IA32_PLATFORM_ID", F::always, constant<0>, nullptr},
    {0x01b, 0x01b, "IA32_APIC_BASE", F::apic, get_apic_base, set_apic_base},
    {0x03a, 0x03a, "IA32_FEATURE_CONTROL", F::vmx, get<&Msrs::feature_control>, set_feature_control},
    {0x03b, 0x03b, "IA32_TSC_ADJUST", F::tsc_adjust, get<&Msrs::tsc_adjust>, set_tsc_adjust},
    {0x079, 0x079, "IA32_BIOS_UPDT_TRIG", F::always, nullptr, set_microcode_trigger},
    {0x08b, 0x08b, "IA32_BIOS_SIGN_ID", F::always, get<&Msrs::bios_sign_id>, set<&Msrs::bios_sign_id>},
    {0x0fe, 0x0fe, "IA32_MTRRCAP", F::mtrr, constant<0x50a>, nullptr},  // ten variable ranges, fixed ranges, WC
    // GDS_NO: gathers leave nothing behind. Xen and Linux switch AVX off where it is not told.   SDM 4 "IA32_ARCH_CAPABILITIES"
    {0x10a, 0x10a, "IA32_ARCH_CAPABILITIES", F::avx2, constant<u64{1} << 26>, nullptr},
    {0x174, 0x174, "IA32_SYSENTER_CS", F::sep, get<&Msrs::sysenter_cs>, set<&Msrs::sysenter_cs>},
    {0x175, 0x175, "IA32_SYSENTER_ESP", F::sep, get<&Msrs::sysenter_esp>, set_canonical<&Msrs::sysenter_esp>},
    {0x176, 0x176, "IA32_SYSENTER_EIP", F::sep, get<&Msrs::sysenter_eip>, set_canonical<&Msrs::sysenter_eip>},
    {0x179, 0x179, "IA32_MCG_CAP", F::mca, constant<0>, nullptr},       // no banks, no MCG_CTL
    {0x17a, 0x17a, "IA32_MCG_STATUS", F::mca, get<&Msrs::mcg_status>, set<&Msrs::mcg_status, 7>},
    {0x1a0, 0x1a0, "IA32_MISC_ENABLE", F::always, get_misc_enable, set_misc_enable},
    {0x1d9, 0x1d9, "IA32_DEBUGCTL", F::always, get<&Msrs::debugctl>, set_debugctl},
    {0x200, 0x213, "IA32_MTRR_PHYSBASE/PHYSMASK", F::mtrr, get_variable, set_variable},
    {0x250, 0x250, "IA32_MTRR_FIX64K_00000", F::mtrr, get_fixed, set_fixed},
    {0x258, 0x259, "IA32_MTRR_FIX16K", F::mtrr, get_fixed, set_fixed},
    {0x268, 0x26f, "IA32_MTRR_FIX4K", F::mtrr, get_fixed, set_fixed},
    {0x277, 0x277, "IA32_PAT", F::pat, get<&Msrs::pat>, set_pat},
    {0x2ff, 0x2ff, "IA32_MTRR_DEF_TYPE", F::mtrr, get<&Msrs::mtrr_def_type>, set_def_type},
    {0x480, 0x4ff, "IA32_VMX capabilities", F::vmx, get_vmx, nullptr},
    {0x6e0, 0x6e0, "IA32_TSC_DEADLINE", F::tsc_deadline, get_deadline, set_deadline},
    {0x800, 0x8ff, "x2APIC registers", F::x2apic, get_x2apic, set_x2apic},
    {0xda0, 0xda0, "IA32_XSS", F::xsaves, get<&Msrs::xss>, only_zero},  // no supervisor states are offered
    {0xc0000080, 0xc0000080, "IA32_EFER", F::always, get_efer, set_efer},
    {0xc0000081, 0xc0000081, "IA32_STAR", F::syscall, get<&Msrs::star>, set<&Msrs::star>},
    {0xc0000082, 0xc0000082, "IA32_LSTAR", F::syscall, get<&Msrs::lstar>, set_canonical<&Msrs::lstar>},
    {0xc0000083, 0xc0000083, "IA32_CSTAR", F::syscall, get<&Msrs::cstar>, set_canonical<&Msrs::cstar>},
    {0xc0000084, 0xc0000084, "IA32_FMASK", F::syscall, get<&Msrs::fmask>, set<&Msrs::fmask, 0xffff'ffff>},
    {0xc0000100, 0xc0000100, "IA32_FS_BASE", F::lm, get_base<FS>, set_base<FS>},
    {0xc0000101, 0xc0000101, "IA32_GS_BASE", F::lm, get_base<GS>, set_base<GS>},
    {0xc0000102, 0xc0000102, "IA32_KERNEL_GS_BASE", F::lm, get<&Msrs::kernel_gs_base>, set_canonical<&Msrs::kernel_gs_base>},
    {0xc0000103, 0xc0000103, "IA32_TSC_AUX", F::rdtscp, get<&Msrs::tsc_aux>, set<&Msrs::tsc_aux, 0xffff'ffff>},
};
constexpr bool well_formed() {
  for (std::size_t i = 0; i < std::size(kMsrs); ++i) {
    if (kMsrs[i].first > kMsrs[i].last) return false;
    if (i && kMsrs[i - 1].last >= kMsrs[i].first) return false;
    if (!kMsrs[i].read && !kMsrs[i].write) return false;
  }
  return true;
}
static_assert(well_formed(), "sorted and disjoint");

const MsrRow* row_of(const Cpu& c, u32 msr) {
  const auto* r = std::lower_bound(std::begin(kMsrs), std::end(kMsrs), msr, [](const MsrRow& row, u32 n) { return row.last < n; });
  return r != std::end(kMsrs) && r->first <= msr && c.model().has(r->feature) ? r : nullptr;
}

}  // namespace

std::span<const MsrRow> msr_rows() { return kMsrs; }

bool read_msr(Cpu& c, u32 msr, u64& value) {
  const MsrRow* r = row_of(c, msr);
  return r && r->read && r->read(c, msr, value);
}

bool write_msr(Cpu& c, u32 msr, u64 value) {
  const MsrRow* r = row_of(c, msr);
  return r && r->write && r->write(c, msr, value);
}

}  // namespace vt::cpu
