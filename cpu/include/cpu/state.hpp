// SPDX-License-Identifier: GPL-2.0-or-later
/// Architectural state of one logical processor as a standard-layout struct, hot fields first.
#pragma once
#include "base/archive.hpp"
#include "base/bits.hpp"
#include "cpu/insn.hpp"

namespace vt::cpu {

namespace rflags {
inline constexpr u64 CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, TF = 0x100, IF = 0x200, DF = 0x400, OF = 0x800,
                     IOPL = 0x3000, NT = 0x4000, RF = 0x10000, VM = 0x20000, AC = 0x40000, VIF = 0x80000, VIP = 0x100000, ID = 0x200000;
inline constexpr u64 kArith = CF | PF | AF | ZF | SF | OF;
}  // namespace rflags
namespace cr0 {
inline constexpr u64 PE = 1, MP = 2, EM = 4, TS = 8, ET = 0x10, NE = 0x20, WP = 0x10000, AM = 0x40000, NW = 0x20000000, CD = 0x40000000, PG = 0x80000000;
}
namespace cr4 {
inline constexpr u64 VME = 1, PVI = 2, TSD = 4, DE = 8, PSE = 0x10, PAE = 0x20, MCE = 0x40, PGE = 0x80, PCE = 0x100, OSFXSR = 0x200,
                     OSXMMEXCPT = 0x400, UMIP = 0x800, LA57 = 0x1000, VMXE = 0x2000, SMXE = 0x4000, FSGSBASE = 0x10000, PCIDE = 0x20000,
                     OSXSAVE = 0x40000, SMEP = 0x100000, SMAP = 0x200000, PKE = 0x400000, CET = 0x800000;
}
namespace efer {
inline constexpr u64 SCE = 1, LME = 0x100, LMA = 0x400, NXE = 0x800;
}

/// Segment register with its hidden part. `ar` is in the VMX "Segment-Register: access rights" layout:
/// type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. `limit` is in bytes.
struct Segment {
  u64 base = 0;
  u32 limit = 0;
  u32 ar = 0x10000;
  u16 sel = 0;
  unsigned type() const { return ar & 15; }
  bool s() const { return ar & 0x10; }
  unsigned dpl() const { return (ar >> 5) & 3; }
  bool present() const { return ar & 0x80; }
  bool l() const { return ar & 0x2000; }
  bool db() const { return ar & 0x4000; }
  bool unusable() const { return ar & 0x10000; }
  void state(Ar& a) { a(base, limit, ar, sel); }
};
struct TableReg {
  u64 base = 0;
  u16 limit = 0xffff;
  void state(Ar& a) { a(base, limit); }
};

/// The arithmetic flags, kept as what they follow from. With every operand sign-extended to 64 bits:
/// ZF: res == 0; SF: res < 0; PF: parity of res[7:0]; AF: aux bit 4; OF: aux bit 63 xor CF, where
/// aux = a ^ b ^ result, the carries into each bit. `misc` bit 0 is CF, bit 2 inverts PF, bit 7 inverts SF:
/// the two are zero unless flags were loaded as a whole.
struct LazyFlags {
  i64 res = 1;
  i64 aux = 0;
  u32 misc = 0;
  bool cf() const { return misc & 1; }
  bool zf() const { return res == 0; }
  bool sf() const { return (static_cast<u64>(res) >> 63) ^ ((misc >> 7) & 1); }
  bool pf() const { return (__builtin_parity(static_cast<u8>(res)) ^ 1) ^ ((misc >> 2) & 1); }
  bool af() const { return (aux >> 4) & 1; }
  bool of() const { return (static_cast<u64>(aux) >> 63) ^ (misc & 1); }
  u64 get() const {
    return (cf() ? rflags::CF : 0) | (pf() ? rflags::PF : 0) | (af() ? rflags::AF : 0) | (zf() ? rflags::ZF : 0) |
           (sf() ? rflags::SF : 0) | (of() ? rflags::OF : 0);
  }
  void set(u64 f) {
    res = f & rflags::ZF ? 0 : 1;  // 0: parity even, sign +; 1: parity odd, sign +
    misc = (f & rflags::CF ? 1u : 0u) | (((f & rflags::PF) != 0) != (res == 0) ? 4u : 0u) | (f & rflags::SF ? 0x80u : 0u);
    bool o = (f & rflags::OF) != 0, c = (f & rflags::CF) != 0;
    aux = static_cast<i64>((f & rflags::AF ? 0x10ull : 0) | (o != c ? u64{1} << 63 : 0));
  }
};

struct X87Reg { u64 m = 0; u16 se = 0; void state(Ar& a) { a(m, se); } };
struct Fpu {
  X87Reg st[8];             ///< physical registers R0-R7 (TOP applied by the instruction)
  u16 cw = 0x40, sw = 0;    ///< power-on: FCW 0040H
  u8 tags = 0;              ///< abridged: bit n set = R(n) not empty
  u16 fop = 0, fcs = 0, fds = 0;
  u64 fip = 0, fdp = 0;
  u32 mxcsr = 0x1f80;
  alignas(32) u64 ymm[16][4] = {};
  void state(Ar& a) { a(st, cw, sw, tags, fop, fcs, fds, fip, fdp, mxcsr, ymm); }
};

/// MSRs that are plain storage, or whose value something else is computed from. The rest (EFER, FS_BASE,
/// APIC_BASE, TSC, VMX capabilities ...) live where they belong; cpu/msr.cpp's table has them all.
struct Msrs {
  u64 star = 0, lstar = 0, cstar = 0, fmask = 0, kernel_gs_base = 0;
  u64 sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
  u64 pat = 0x0007040600070406;
  u64 tsc_offset = 0;       ///< TSC = virtual time's ticks + this; WRMSR to TSC and TSC_ADJUST change it
  u64 tsc_adjust = 0, tsc_aux = 0, tsc_deadline = 0;
  u64 feature_control = 0, misc_enable = 1, debugctl = 0, bios_sign_id = 0, xss = 0, spec_ctrl = 0, mcg_status = 0;
  u64 random = 0x9e3779b97f4a7c15;  ///< state of the generator behind RDRAND and RDSEED
  u64 mtrr_def_type = 0;
  u64 mtrr_fixed[11] = {};
  u64 mtrr_base[10] = {}, mtrr_mask[10] = {};
  void state(Ar& a) {
    a(star, lstar, cstar, fmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, pat, tsc_offset, tsc_adjust, tsc_aux,
      tsc_deadline, feature_control, misc_enable, debugctl, bios_sign_id, xss, spec_ctrl, mcg_status, random, mtrr_def_type, mtrr_fixed, mtrr_base, mtrr_mask);
  }
};

/// SDM 3C "Guest Non-Register State": activity states, as VMX encodes them.
enum class Activity : u8 { active = 0, hlt = 1, shutdown = 2, wait_for_sipi = 3 };

struct CpuState {
  // hot
  alignas(64) u64 r[20] = {};  ///< RAX RCX RDX RBX RSP RBP RSI RDI R8-R15, kZeroReg, kRipReg, spare
  LazyFlags lf;
  u64 flags = 2;               ///< RFLAGS without the arithmetic flags (those bits are zero here)
  u64 rip = 0xfff0;            ///< valid between blocks; within one: r[kRipReg] + Insn::off
  Segment seg[6];
  u64 cr0 = 0x60000010, cr2 = 0, cr3 = 0, cr4 = 0, efer = 0, xcr0 = 1;
  // warm
  Segment ldtr, tr;
  TableReg gdtr, idtr;
  u64 dr[8] = {0, 0, 0, 0, 0, 0, 0xffff0ff0, 0x400};
  u64 pdpte[4] = {};           ///< PAE paging: loaded by MOV CR3 and friends
  bool sti_shadow = false, movss_shadow = false;  ///< "Blocking by STI", "Blocking by MOV SS"
  bool nmi_blocked = false, nmi_pending = false, init_pending = false, sipi_pending = false;
  u8 sipi_vector = 0;
  u64 pending_debug = 0;       ///< DR6 bits of debug exceptions that wait for the next boundary
  Activity activity = Activity::active;
  Msrs msr;
  Fpu fpu;

  u64 rflags() const { return flags | lf.get(); }
  void set_rflags(u64 f) { lf.set(f); flags = (f & ~rflags::kArith & 0x3fffff) | 2; }
  unsigned cpl() const { return seg[SS].dpl(); }
  bool protected_mode() const { return cr0 & cr0::PE; }
  bool vm86() const { return flags & rflags::VM; }
  bool long_mode() const { return efer & efer::LMA; }
  bool code64() const { return long_mode() && seg[CS].l(); }
  void state(Ar& a);           ///< canonical: lazy flags materialised, spare slots left out
};

}  // namespace vt::cpu
