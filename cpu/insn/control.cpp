// SPDX-License-Identifier: GPL-2.0-or-later
/// Control and debug registers, TLB invalidation.   SDM 2 by the instructions' names; SDM 3A "Control Registers", "Debug Registers",
/// "Operations that Invalidate TLBs and Paging-Structure Caches"; SDM 3C "Changes to Instruction Behavior in VMX Non-Root Operation"
#include "insn/system.hpp"
#include "mmu.hpp"

namespace vt::cpu {

bool write_cr0(Cpu& c, u64 v) {
  using namespace cr0;
  constexpr u64 kBits = PE | MP | EM | cr0::TS | ET | NE | WP | AM | NW | CD | PG;
  if (v >> 32) return c.gp(0), false;
  v = (v & kBits) | ET;
  if (c.non_root()) v = (v & ~c.vmx.cr0_mask) | (c.cr0 & c.vmx.cr0_mask);  // what the host owns stays
  if (((v & PG) && !(v & PE)) || ((v & NW) && !(v & CD))) return c.gp(0), false;
  if (c.vmx.on && !cr0_allowed_in_vmx(c, v)) return c.gp(0), false;
  const u64 changed = v ^ c.cr0;
  u64 pdpte[4];
  bool load = false;
  if (changed & v & PG) {
    if (c.efer & efer::LME) {
      if (!(c.cr4 & cr4::PAE) || c.seg[CS].l() || (c.tr.type() & ~2u) == 1) return c.gp(0), false;
    }
  } else if (changed & PG) {
    if (c.code64_now || (c.cr4 & cr4::PCIDE)) return c.gp(0), false;
  }
  const bool ia32e = (v & PG) && (c.efer & efer::LME);
  if ((v & PG) && !ia32e && (c.cr4 & cr4::PAE) && (changed & (PG | CD | NW))) {
    if (!load_pdptes(c, c.cr3, pdpte)) return false;
    load = true;
  }
  if (changed & PG) c.tlb.flush_vpid(c.contexts.tlb().vpid, false);
  c.cr0 = v;
  c.efer = (c.efer & ~efer::LMA) | (ia32e ? efer::LMA : 0);
  if (load) std::copy(std::begin(pdpte), std::end(pdpte), c.pdpte);
  c.update();
  return true;
}

bool write_cr3(Cpu& c, u64 v) {
  const bool pcide = c.cr4 & cr4::PCIDE;
  const bool keep = pcide && bit(v, 63);
  if (pcide) v &= ~(u64{1} << 63);
  if (v & mask(63, c.model().physical_address_bits)) return c.gp(0), false;
  if ((c.cr0 & cr0::PG) && (c.cr4 & cr4::PAE) && !c.long_mode()) {
    u64 pdpte[4];
    if (!load_pdptes(c, v, pdpte)) return false;
    std::copy(std::begin(pdpte), std::end(pdpte), c.pdpte);
  }
  c.cr3 = v;
  c.update();
  if (!keep) c.tlb.flush_pcid(c.contexts.tlb(), true);
  return true;
}

u64 cr4_offered(const CpuModel& m) {
  using namespace cr4;
  const auto if_ = [&](Feature f, u64 b) { return m.has(f) ? b : u64{0}; };
  return if_(Feature::vme, VME | PVI) | if_(Feature::tsc, TSD) | if_(Feature::de, cr4::DE) | if_(Feature::pse, PSE) | if_(Feature::pae, PAE) | if_(Feature::mce, MCE) |
         if_(Feature::pge, PGE) | PCE | if_(Feature::fxsr, OSFXSR) | if_(Feature::sse, OSXMMEXCPT) | if_(Feature::umip, UMIP) | if_(Feature::vmx, VMXE) |
         if_(Feature::fsgsbase, FSGSBASE) | if_(Feature::pcid, PCIDE) | if_(Feature::xsave, OSXSAVE) | if_(Feature::smep, SMEP) |
         if_(Feature::smap, SMAP) | if_(Feature::pku, PKE);
}

bool write_cr4(Cpu& c, u64 v) {
  using namespace cr4;
  if (c.non_root()) v = (v & ~c.vmx.cr4_mask) | (c.cr4 & c.vmx.cr4_mask);
  if (v & ~cr4_offered(c.model())) return c.gp(0), false;
  if (c.vmx.on && !cr4_allowed_in_vmx(c, v)) return c.gp(0), false;
  const u64 changed = v ^ c.cr4;
  if (c.long_mode() && !(v & PAE)) return c.gp(0), false;
  if ((changed & v & PCIDE) && (!c.long_mode() || (c.cr3 & 0xfff))) return c.gp(0), false;
  if ((c.cr0 & cr0::PG) && !c.long_mode() && (v & PAE) && (changed & (PAE | PGE | PSE | SMEP))) {
    u64 pdpte[4];
    if (!load_pdptes(c, c.cr3, pdpte)) return false;
    std::copy(std::begin(pdpte), std::end(pdpte), c.pdpte);
  }
  c.cr4 = v;
  if ((changed & (PAE | PGE | PSE)) || (changed & v & SMEP) || (changed & ~v & PCIDE)) c.tlb.flush_vpid(c.contexts.tlb().vpid, false);
  c.update();
  return true;
}

namespace {

/// SDM 3C "Virtualizing CR8-Based TPR Accesses"
bool tpr_shadowed(const Cpu& c) { return c.non_root() && (c.vmx.proc & proc_ctl::tpr_shadow); }

template <class C>
Next mov_from_cr(C& c, const Insn& i) {
  const unsigned n = i.reg;
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) return c.ud();
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && (n == 3 || n == 8) && intercept_cr(c, i, n, 1, 0)) return Next::fault;
  const u64 v = n == 0 ? guest_view_cr0(c) : n == 2 ? c.cr2 : n == 3 ? c.cr3 : n == 4 ? guest_view_cr4(c) : tpr_shadowed(c) ? virtual_tpr(c) >> 4 : c.apic.tpr() >> 4;
  if (c.code64_now) c.r[i.rm] = v;
  else c.r[i.rm] = static_cast<u32>(v);
  return Next::seq;
}

template <class C>
Next mov_to_cr(C& c, const Insn& i) {
  const unsigned n = i.reg;
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) return c.ud();
  if (c.cpl() != 0) return c.gp(0);
  const u64 v = c.code64_now ? c.r[i.rm] : static_cast<u32>(c.r[i.rm]);
  if (c.non_root() && n != 2 && intercept_cr(c, i, n, 0, v)) return Next::fault;
  switch (n) {
    case 0: return write_cr0(c, v) ? Next::end : Next::fault;
    case 2: c.cr2 = v; return Next::end;
    case 3: return write_cr3(c, v) ? Next::end : Next::fault;
    case 4: return write_cr4(c, v) ? Next::end : Next::fault;
    default:
      if (v > 15) return c.gp(0);
      if (tpr_shadowed(c)) set_virtual_tpr(c, static_cast<u8>(v << 4));
      else c.apic.set_tpr(static_cast<u8>(v << 4));
      c.want_attention();
      return Next::end;
  }
}

/// Also for CLTS and LMSW: the bits that the guest/host mask keeps for the host do not change.
template <class C>
Next clts(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept_cr(c, i, 0, 2, 0)) return Next::fault;
  if (!(c.non_root() && (c.vmx.cr0_mask & cr0::TS))) c.cr0 &= ~cr0::TS;
  c.update();
  return Next::end;
}

template <class C, class T, bool M>
Next lmsw(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  u16 v;
  u64 la = 0;
  if constexpr (M) {
    if (!c.linear(i, 2, false, la) || !c.load_at(la, v, i.seg)) return Next::fault;
  } else {
    v = c.template reg<u16>(i.rm);
  }
  if (c.non_root() && intercept_cr(c, i, 0, 3, v, M, la)) return Next::fault;
  // Bits 3:0 only, and PE is never cleared.
  const u64 next = (c.cr0 & ~u64{0xe}) | (v & 0xf);
  return write_cr0(c, next) ? Next::end : Next::fault;
}

template <class C, class T, bool M>
Next smsw(C& c, const Insn& i) {
  if ((c.cr4 & cr4::UMIP) && c.cpl() != 0) return c.gp(0);
  const u64 v = guest_view_cr0(c);
  if constexpr (M) return c.store(i, static_cast<u16>(v)) ? Next::seq : Next::fault;
  c.template set_reg<T>(i.rm, static_cast<T>(v));
  return Next::seq;
}

// --- debug registers -----------------------------------------------------------------------------------

/// Checks that reads and writes share. Leaves the register's number in `n`.
template <class C>
bool debug_register(C& c, const Insn& i, bool from, unsigned& n) {
  n = i.reg;
  if (n > 7 || ((n == 4 || n == 5) && (c.cr4 & cr4::DE))) return c.ud(), false;
  if (c.cpl() != 0) return c.gp(0), false;
  if (c.non_root() && intercept_dr(c, i, n, from)) return false;  // the number that the instruction has, DR4 and DR5 too
  if (n == 4 || n == 5) n += 2;
  if (c.dr[7] & 0x2000) {  // general detect
    c.raise(DB);
    c.fault.qualification = 1 << 13;
    return false;
  }
  return true;
}
template <class C>
Next mov_from_dr(C& c, const Insn& i) {
  unsigned n;
  if (!debug_register(c, i, true, n)) return Next::fault;
  if (c.code64_now) c.r[i.rm] = c.dr[n];
  else c.r[i.rm] = static_cast<u32>(c.dr[n]);
  return Next::seq;
}
template <class C>
Next mov_to_dr(C& c, const Insn& i) {
  unsigned n;
  if (!debug_register(c, i, false, n)) return Next::fault;
  const u64 v = c.code64_now ? c.r[i.rm] : static_cast<u32>(c.r[i.rm]);
  if (n >= 6 && v >> 32) return c.gp(0);
  if (n == 6) c.dr[6] = (v & 0xe00f) | 0xffff'0ff0;
  else if (n == 7) {
    for (unsigned b = 0; b < 4; ++b)
      if ((v >> (2 * b) & 3) && (v >> (16 + 4 * b) & 3) == 2) {
        if (c.cr4 & cr4::DE) return c.unsupported("I/O breakpoint", "SDM 3B \"Debug Control Register (DR7)\"");
      }
    c.dr[7] = (v & 0xffff'23ff) | 0x400;
  } else {
    c.dr[n] = v;
  }
  c.want_attention();
  c.update();
  return Next::end;
}

// --- invalidation ---------------------------------------------------------------------------------------

template <class C>
Next invlpg(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  u64 la = c.ea(i);
  if (c.code64_now) la += i.seg >= FS ? c.seg[i.seg].base : 0;
  else la = static_cast<u32>(la + c.seg[i.seg].base);  // no limit or type is checked
  if (c.non_root() && intercept_invlpg(c, i, la)) return Next::fault;
  c.tlb.flush_page(c.contexts.tlb(), la);  // a non-canonical address matches nothing
  return Next::end;
}

template <class C>
Next invpcid(C& c, const Insn& i) {
  if (c.non_root() && !(c.vmx.proc2 & proc2_ctl::invpcid)) return c.ud();
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept(c, ExitReason::invpcid, i)) return Next::fault;
  const u64 type = c.code64_now ? c.r[i.reg] : static_cast<u32>(c.r[i.reg]);
  if (type > 3) return c.gp(0);
  u64 la, d[2];
  if (!c.linear(i, 16, false, la) || !c.load_at(la, d, i.seg)) return Next::fault;
  if (d[0] >> 12) return c.gp(0);
  const u16 pcid = static_cast<u16>(d[0]);
  if (type < 2 && pcid && !(c.cr4 & cr4::PCIDE)) return c.gp(0);
  TlbContext t = c.contexts.tlb();
  t.pcid = pcid;
  switch (type) {
    case 0:
      if (static_cast<u64>(sext(d[1], 48)) != d[1]) return c.gp(0);
      c.tlb.flush_page(t, d[1]);  // global entries of the page go too, as they may
      break;
    case 1: c.tlb.flush_pcid(t, true); break;
    case 2: c.tlb.flush_vpid(t.vpid, false); break;
    default: c.tlb.flush_vpid(t.vpid, true); break;
  }
  return Next::end;
}

/// Caches are not modelled: nothing to write back or to lose.
template <class C, ExitReason Why>
Next cache_control(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept(c, Why, i)) return Next::fault;
  if (EventSink* s = c.out().events()) s->on({.kind = EventKind::cache_flush, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.current_rip()});
  return Next::end;
}

using C = Cpu;
using namespace attr;
constexpr Fn kInvd = run<C, cache_control<C, ExitReason::invd>, true>, kWbinvd = run<C, cache_control<C, ExitReason::wbinvd>, true>;
constexpr Def kRows[] = {
    {"MOV", "0F 20 /r", "Rd, Cd", force64 | cr_dr | ends_block, Feature::always, VT_1(mov_from_cr)},
    {"MOV", "0F 22 /r", "Cd, Rd", force64 | cr_dr | ends_block, Feature::always, VT_1(mov_to_cr)},
    {"MOV", "0F 21 /r", "Rd, Dd", force64 | cr_dr | ends_block, Feature::always, VT_1(mov_from_dr)},
    {"MOV", "0F 23 /r", "Dd, Rd", force64 | cr_dr | ends_block, Feature::always, VT_1(mov_to_dr)},
    {"CLTS", "0F 06", "", ends_block, Feature::always, VT_1(clts)},
    {"LMSW", "0F 01 /6", "Ew", ends_block, Feature::always, VT_TM(lmsw)},
    {"SMSW", "0F 01 /4", "Ew", 0, Feature::always, VT_TM(smsw)},
    {"INVLPG", "0F 01 /7", "M", ends_block, Feature::always, VT_1(invlpg)},
    {"INVPCID", "66 0F 38 82 /r", "Gy, Mdq", force64 | ends_block, Feature::invpcid, VT_1(invpcid)},
    {"INVD", "0F 08", "", ends_block, Feature::always, {{kInvd, kInvd}, {kInvd, kInvd}, {kInvd, kInvd}}},
    {"WBINVD", "0F 09", "", ends_block, Feature::always, {{kWbinvd, kWbinvd}, {kWbinvd, kWbinvd}, {kWbinvd, kWbinvd}}},
};

}  // namespace

std::span<const Def> control_rows() { return kRows; }

}  // namespace vt::cpu
