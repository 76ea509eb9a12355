// SPDX-License-Identifier: GPL-2.0-or-later
/// Linear to physical, and the accesses that the host-pointer cache does not answer. Address bit 20 is never masked:
/// A20M# is not modelled, as on processors of the last decade.
#include "mmu.hpp"

#include "cpu/block.hpp"
#include "ept/ept.hpp"
#include "vmx/capabilities.hpp"

namespace vt::cpu {
namespace {

namespace pf {
constexpr u32 P = 1, W = 2, U = 4, RSVD = 8, I = 16;
}

bool canonical(u64 la) { return static_cast<u64>(sext(la, 48)) == la; }
u64 eptp_of(const Cpu& c) { return c.vmx.non_root ? c.vmx.eptp : 0; }

/// The instruction is done again, alone: what it has found so far is forgotten.
bool again_alone(Cpu& c) {
  c.tlb.undo(c.step());
  c.fault = {};
  c.fault.kind = Fault::Kind::careful;
  return false;
}

/// Are these bytes code of the block that executes, or of another one? Nothing is in the way of single instructions and deliveries.
bool disturbs_code(Cpu& c, Hpa at, unsigned n) {
  return !c.careful && c.block && (c.memory().flags(at) & page_flag::code) && c.blocks().overlaps(at, n);
}

/// Somebody wants to know of accesses there.
bool told(const Cpu& c, Hpa at) { return c.observer() && (c.watches_all() || (const_cast<Cpu&>(c).memory().flags(at) & page_flag::reads_watched)); }
/// ... and the instruction has to be alone for that.
bool tells_alone(const Cpu& c, Hpa at) { return !c.careful && c.block && told(c, at); }

void tell_table(Cpu& c, MemoryAccess::Kind kind, bool ept, unsigned level, u64 la, Hpa at, unsigned size, u64 value) {
  MemoryAccess a{.kind = kind, .ept = ept, .level = static_cast<u8>(level), .size = size, .linear = la, .at = at, .value = &value};
  c.observer()->access(c, a);
}

/// SDM 3C "Exit Qualification for EPT Violations"
bool ept_fault(Cpu& c, const ept::Walk& w, Gpa gpa, u64 la, Access want, bool linear_valid, bool final) {
  c.fault = {};
  c.fault.gpa = gpa.v;
  c.fault.address = linear_valid ? la : 0;
  if (w.why == ept::Why::misconfigured) {
    c.fault.kind = Fault::Kind::ept_misconfig;
    return false;
  }
  c.fault.kind = Fault::Kind::ept_violation;
  c.fault.qualification = want.v | u64{w.access.v} << 3 | (linear_valid ? 0x80u : 0) | (linear_valid && final ? 0x100u : 0) | (c.vmx.nmi_unblocked_by_iret ? 0x1000u : 0);
  return false;
}

/// One guest-physical address through EPT, setting A/D where EPTP says so.   SDM 3C "Accessed and Dirty Flags for EPT"
bool through_ept(Cpu& c, Gpa gpa, u64 la, Access want, bool linear_valid, bool final, ept::Walk& w) {
  const ept::Eptp eptp{c.vmx.eptp};
  PhysMem& mem = c.memory();
  w = ept::walk(mem, ept_caps(c.model()), eptp, gpa, want);
  if (VT_UNLIKELY(c.observer() != nullptr))
    for (unsigned i = 0; i < w.n; ++i) {
      if (tells_alone(c, w.step[i].at)) return again_alone(c);
      if (told(c, w.step[i].at)) tell_table(c, MemoryAccess::Kind::table_read, true, w.step[i].level, la, w.step[i].at, 8, w.step[i].entry);
    }
  if (w.why != ept::Why::ok) return ept_fault(c, w, gpa, la, want, linear_valid, final);
  if (!final && on_apic_access_page(c, w.target)) return apic_access_physical(c), false;
  if (!eptp.ad()) return true;
  for (unsigned i = 0; i < w.n; ++i) {
    ept::Step& s = w.step[i];
    u64 e = s.entry | 0x100;
    if (i + 1u == w.n && want.w()) e |= 0x200;
    if (e != s.entry) {
      if (disturbs_code(c, s.at, 8)) return again_alone(c);
      if (told(c, s.at)) tell_table(c, MemoryAccess::Kind::table_write, true, s.level, la, s.at, 8, e);
      mem.poke64(s.at, e, WriteCause::walker_ad);
    }
    s.entry = e;
  }
  return true;
}

/// What a paging-structure entry's read asks of EPT.
Access table_access(const Cpu& c) { return ept::Eptp{c.vmx.eptp}.ad() ? access::rw : access::read; }

bool permitted(const Cpu& c, u8 flags, Access want, As as) {
  using namespace tlb_flag;
  if (!(c.cr0 & cr0::PG)) return true;
  if (as.user) {
    if (!(flags & user)) return false;
    if (want.w() && !(flags & writable)) return false;
    return !(want.x() && (flags & no_execute));
  }
  if (want.x()) return !(flags & no_execute) && !((flags & user) && (c.cr4 & cr4::SMEP));
  if ((flags & user) && (c.cr4 & cr4::SMAP) && (as.implicit || !(c.flags & rflags::AC))) return false;
  return !want.w() || (flags & writable) || !(c.cr0 & cr0::WP);
}

bool ept_permits(u8 flags, Access want) {
  using namespace tlb_flag;
  return (!want.r() || (flags & ept_readable)) && (!want.w() || (flags & ept_writable)) && (!want.x() || (flags & ept_executable));
}

/// SDM 3C "Operations that Invalidate Cached Mappings": an EPT violation drops what it used.
bool ept_stopped(Cpu& c, u64 la) {
  if (c.fault.kind != Fault::Kind::careful) c.tlb.flush_page(c.contexts.tlb(), la);
  return false;
}

/// SDM 3A "Page-Fault Exceptions"
bool page_fault(Cpu& c, u64 la, Access want, As as, u32 why) {
  c.tlb.flush_page(c.contexts.tlb(), la);
  const bool fetch_flag = want.x() && ((c.cr4 & cr4::SMEP) || ((c.cr4 & cr4::PAE) && (c.efer & efer::NXE)));
  c.raise(PF, why | (want.w() ? pf::W : 0) | (as.user ? pf::U : 0) | (fetch_flag ? pf::I : 0));
  c.fault.address = la;
  return false;
}

MemType pat_type(const Cpu& c, unsigned index) { return static_cast<MemType>(c.msr.pat >> (8 * index) & 7); }

/// Walks, sets A and D, and fills the TLB.
bool walk_and_fill(Cpu& c, u64 la, Access want, As as, TlbEntry& out) {
  using namespace tlb_flag;
  PhysMem& mem = c.memory();
  const TlbContext& ctx = c.contexts.tlb();
  const bool nested = eptp_of(c) != 0;
  TlbEntry e;
  e.eptp = ctx.eptp, e.vpid = ctx.vpid, e.pcid = ctx.pcid;
  Gpa gpa{la};
  unsigned shift = 30;
  unsigned pat_index = 0;
  if (c.cr0 & cr0::PG) {
    Hpa at[4];
    unsigned n = 0;
    const paging::Params params = paging_params(c);
    const paging::Walk w = paging::walk(params, la, [&](Gpa g, u64& v) {
      Hpa h{g.v};
      if (nested) {
        ept::Walk ew;
        if (!through_ept(c, g, la, table_access(c), true, false, ew)) {
          // The walker reads eight bytes; the entry's own address is told.
          if (params.mode == paging::Mode::bits32 && (paging::index(params.mode, la, 2 - n) & 1)) c.fault.gpa += 4;
          return false;
        }
        h = ew.target;
      }
      at[n++] = h;
      if (tells_alone(c, h)) return again_alone(c);
      v = mem.peek64(h);
      if (told(c, h)) {
        const unsigned level = (params.mode == paging::Mode::level4 ? 5 : 3) - n;
        const bool narrow = params.mode == paging::Mode::bits32, high = narrow && (paging::index(params.mode, la, level) & 1);
        tell_table(c, MemoryAccess::Kind::table_read, false, level, la, h + (high ? 4 : 0), narrow ? 4 : 8, !narrow ? v : high ? v >> 32 : v & 0xffff'ffff);
      }
      return true;
    });
    if (w.why == paging::Why::read_failed) return ept_stopped(c, la);
    if (w.why == paging::Why::not_present) return page_fault(c, la, want, as, 0);
    if (w.why == paging::Why::reserved) return page_fault(c, la, want, as, pf::P | pf::RSVD);
    e.flags = static_cast<u8>((w.w ? writable : 0) | (w.u ? user : 0) | (w.nx ? no_execute : 0) | (w.global ? global : 0));
    if (!permitted(c, e.flags, want, as)) return page_fault(c, la, want, as, pf::P);
    // SDM 3A "Accessed and Dirty Flags"
    if (!w.accessed || (want.w() && !w.dirty)) {
      for (unsigned i = 0; i < w.n; ++i) {
        const paging::Step& s = w.step[i];
        const u64 v = s.entry | paging::A | (i + 1u == w.n && want.w() ? paging::D : 0);
        if (v == s.entry) continue;
        if (nested && table_access(c) == access::read) {
          ept::Walk ew;
          if (!through_ept(c, s.at, la, access::write, true, false, ew)) return ept_stopped(c, la);
        }
        const Hpa h = at[i] + (s.at.v & 7);
        if (disturbs_code(c, h, s.size)) return again_alone(c);
        if (told(c, h)) tell_table(c, MemoryAccess::Kind::table_write, false, s.level, la, h, s.size, v);
        if (s.size == 4) mem.poke32(h, static_cast<u32>(v), WriteCause::walker_ad);
        else mem.poke64(h, v, WriteCause::walker_ad);
      }
    }
    if (w.dirty || want.w()) e.flags |= dirty;
    gpa = w.target;
    shift = w.shift == 22 ? 21 : w.shift;  // 4 MiB pages are kept as 2 MiB ones
    pat_index = w.pat_index;
  } else {
    e.flags = writable | user | dirty;
  }
  Hpa hpa{gpa.v};
  const MemType pat = c.cr0 & cr0::PG ? pat_type(c, pat_index) : MemType::WB;
  if (nested) {
    ept::Walk ew;
    if (!through_ept(c, gpa, la, want, true, true, ew)) return ept_stopped(c, la);
    hpa = ew.target;
    e.flags |= static_cast<u8>((ew.access.w() ? ept_writable : 0) | (ew.access.x() ? ept_executable : 0) | (ew.access.r() ? ept_readable : 0));
    if (ept::Eptp{c.vmx.eptp}.ad() && !(ew.step[ew.n - 1].entry & 0x200)) e.flags &= static_cast<u8>(~dirty);
    shift = std::min(shift, static_cast<unsigned>(std::countr_zero(ew.page_size)));
    const MemType emt = static_cast<MemType>(ew.emt);
    e.type = static_cast<u8>(ew.ipat ? emt : combine_types(emt, pat));
  } else {
    e.flags |= ept_writable | ept_executable | ept_readable;
    e.type = static_cast<u8>(combine_types(mtrr_type(c, hpa), pat));
  }
  e.shift = static_cast<u8>(shift);
  e.page = la >> shift;
  e.target = hpa.v & ~((u64{1} << shift) - 1);
  c.tlb.fill(e, c.careful ? Tlb::kSettled : c.step());
  ++c.stats.tlb_fills;
  out = e;
  return true;
}

/// The TLB entry (or identity) for one access. `la` is canonical and truncated as the mode says.
bool map(Cpu& c, u64 la, Access want, As as, TlbEntry& out) {
  using namespace tlb_flag;
  const TlbContext& ctx = c.contexts.tlb();
  if (!(c.cr0 & cr0::PG) && !eptp_of(c)) {
    out = {};
    out.page = la >> 12;
    out.target = la & kPageMask;
    out.shift = 12;
    out.flags = writable | user | dirty | ept_writable | ept_executable | ept_readable;
    out.type = static_cast<u8>(mtrr_type(c, Hpa{la}));
    return true;
  }
  // A right that a cached entry does not give is looked for in the tables before a fault is raised, as silicon does; and D
  // is set by a walk.
  const TlbEntry* e = c.tlb.find(ctx, la);
  if (e && permitted(c, e->flags, want, as) && ept_permits(e->flags, want) && (!want.w() || (e->flags & dirty))) {
    out = *e;
    return true;
  }
  return walk_and_fill(c, la, want, as, out);
}

Hpa physical(const TlbEntry& e, u64 la) { return Hpa{e.target | (la & ((u64{1} << e.shift) - 1))}; }

bool is_ram(const Cpu& c, Hpa at) { return const_cast<Cpu&>(c).memory().present(at) && !c.apic.mmio_at(at.v & kPageMask) && !on_apic_access_page(c, at); }

/// Enters host pointers for what this context has just been allowed to do.
void fill_host(Cpu& c, u64 la, Hpa at, Access want) {
  HostCache& h = c.host;
  if (h.tag >= 4095 || !is_ram(c, at)) return;
  PhysMem& mem = c.memory();
  const HostCache::Entry e{(la & kPageMask) | h.tag, reinterpret_cast<u64>(mem.host()) + (at.v & kPageMask) - (la & kPageMask)};
  const unsigned slot = HostCache::slot(la);
  if (want.x()) {
    h.ex[slot] = e;
    return;
  }
  if (c.watches_all() || (mem.flags(at) & page_flag::reads_watched)) return;
  h.rd[slot] = e;
  if (want.w() && !(mem.flags(at) & page_flag::slow_write)) h.wr[slot] = e;
}

struct Part { u64 la; Hpa at; unsigned n; bool ram, virtual_apic; u8 shift; };
struct Span { Part part[2]; unsigned n = 0; };

/// SDM 3A "Alignment Checking": CR0.AM, EFLAGS.AC, CPL 3.
bool misaligned(const Cpu& c, u64 la, unsigned size) {
  if (!(c.cr0 & cr0::AM) || !(c.flags & rflags::AC) || c.cpl() != 3) return false;
  const unsigned a = size == 10 ? 8 : size;
  return a <= 8 && (a & (a - 1)) == 0 && (la & (a - 1));
}

/// SDM 3B "Data Memory and I/O Breakpoint Exception Conditions": a trap, delivered at the next boundary.
void data_breakpoints(Cpu& c, u64 la, unsigned size, Access want) {
  static constexpr u8 kLength[] = {1, 2, 8, 4};
  for (unsigned n = 0; n < 4; ++n) {
    const u64 control = c.dr[7] >> (16 + 4 * n);
    const unsigned rw = control & 3, length = kLength[control >> 2 & 3];
    if (!(c.dr[7] >> (2 * n) & 3) || !(rw == 3 || (rw == 1 && want.w()))) continue;
    const u64 first = c.dr[n] & ~u64{length - 1u};
    if (la < first + length && first < la + size) c.pending_debug |= u64{1} << n, c.want_attention();
  }
}

/// All checks of one access, which may cross one page boundary. `explicit_` accesses fill the host-pointer cache.
bool span(Cpu& c, u64 la, unsigned size, Access want, As as, bool explicit_, Span& s) {
  if (as.wide) {
    if (explicit_ && c.host.tag == 4095 && canonical(la) && misaligned(c, la, size)) { c.raise(AC, 0); return false; }
    if (!canonical(la) || !canonical(la + size - 1)) { c.raise(as.seg == SS ? SS_ : GP, 0); return false; }
  } else {
    la = static_cast<u32>(la);
  }
  if (explicit_ && c.host.tag == 4095 && misaligned(c, la, size)) { c.raise(AC, 0); return false; }
  c.contexts.code_dropped();
  unsigned done = 0;
  while (done < size) {
    u64 at = la + done;
    if (!as.wide) at = static_cast<u32>(at);
    const unsigned n = static_cast<unsigned>(std::min<u64>(size - done, kPageSize - (at & ~kPageMask)));
    TlbEntry e;
    if (!map(c, at, want, as, e)) return false;
    const Hpa h = physical(e, at);
    const bool ram = is_ram(c, h);
    const bool virtual_apic = on_apic_access_page(c, h);
    if (virtual_apic && c.careful && !apic_access_virtualized(c, h, size, want)) return false;
    s.part[s.n++] = {at, h, n, ram, virtual_apic, e.shift};
    done += n;
    if (c.careful) continue;
    // SDM has no words for it: the instruction is done again, alone. So it is when filling the TLB has thrown out a page that code
    // was fetched from, perhaps this code: the next fetch has to look at an exact boundary, however execution is cut into blocks.
    if (!ram || tells_alone(c, h) || c.contexts.code_dropped() || (want.w() && (c.memory().flags(h) & page_flag::code) && c.blocks().overlaps(h, n))) return again_alone(c);
  }
  if (explicit_ && (c.dr[7] & 0xff)) data_breakpoints(c, la, size, want);
  if (explicit_)
    for (unsigned i = 0; i < s.n; ++i)
      if (s.part[i].ram) fill_host(c, s.part[i].la, s.part[i].at, want);
  return true;
}

/// Pieces of device accesses: naturally aligned, at most 8 bytes.
unsigned piece(u64 at, unsigned n) {
  unsigned p = 8;
  while (p > n || (at & (p - 1))) p /= 2;
  return p;
}

/// Of the local APIC's registers; the rest is told of by whoever is outside.
void tell_apic(Cpu& c, EventKind kind, Hpa at, unsigned size, u64 value) {
  if (EventSink* s = c.out().io_events())
    s->on({.kind = kind, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.current_rip(), .a = at.v, .b = size, .c = value});
}

void device_read(Cpu& c, Hpa at, u8* to, unsigned n) {
  const bool apic = c.apic.mmio_at(at.v & kPageMask);
  while (n) {
    unsigned p = piece(at.v, n);
    u64 v;
    if (apic) {
      // SDM 3A "Local APIC Register Address Map": registers are read by aligned 32-bit loads; narrower ones give their part here.
      if (p > 4) p = 4;
      v = c.apic.read(static_cast<u32>(at.v & 0xffc)) >> (8 * (at.v & 3));
      tell_apic(c, EventKind::mmio_read, at, p, v & mask(8 * p - 1, 0));
    } else {
      v = c.out().mmio_read(at, p);
    }
    std::memcpy(to, &v, p);
    to += p, at += p, n -= p;
  }
}

void device_write(Cpu& c, Hpa at, const u8* from, unsigned n) {
  const bool apic = c.apic.mmio_at(at.v & kPageMask);
  while (n) {
    unsigned p = piece(at.v, n);
    if (apic && p > 4) p = 4;
    u64 v = 0;
    std::memcpy(&v, from, p);
    if (!apic) c.out().mmio_write(at, p, v);
    else {
      tell_apic(c, EventKind::mmio_write, at, p, v);
      if (p == 4) c.apic.write(static_cast<u32>(at.v & 0xfff), static_cast<u32>(v));
    }
    from += p, at += p, n -= p;
  }
}

void tell(Cpu& c, MemoryAccess::Kind kind, const Part& x, const void* value) {
  MemoryAccess a{.kind = kind, .device = !x.ram, .page_shift = x.shift, .size = x.n, .linear = x.la, .at = x.at, .value = value};
  c.observer()->access(c, a);
}

void read_parts(Cpu& c, const Span& s, void* to) {
  u8* p = static_cast<u8*>(to);
  for (unsigned i = 0; i < s.n; ++i) {
    const Part& x = s.part[i];
    if (x.ram) std::memcpy(p, c.memory().host() + x.at.v, x.n);
    else if (x.virtual_apic) c.memory().read(Hpa{c.vmx.virtual_apic | (x.at.v & ~kPageMask)}, p, x.n);
    else device_read(c, x.at, p, x.n);
    if (VT_UNLIKELY(told(c, x.at))) tell(c, MemoryAccess::Kind::read, x, p);
    p += x.n;
  }
}

void write_parts(Cpu& c, const Span& s, const void* from) {
  const u8* p = static_cast<const u8*>(from);
  for (unsigned i = 0; i < s.n; ++i) {
    const Part& x = s.part[i];
    if (VT_UNLIKELY(told(c, x.at))) tell(c, MemoryAccess::Kind::write, x, p);
    if (x.virtual_apic) set_virtual_tpr(c, *p);
    else if (!x.ram) device_write(c, x.at, p, x.n);
    else if (c.memory().flags(x.at) & page_flag::slow_write) c.memory().write(x.at, p, x.n, WriteCause::store);
    else std::memcpy(c.memory().host() + x.at.v, p, x.n);
    p += x.n;
  }
}

As ordinary(const Cpu& c, u8 s) { return {.user = c.cpl() == 3, .implicit = false, .wide = c.code64_now, .seg = s}; }
As system_table(const Cpu& c) { return {.user = false, .implicit = true, .wide = c.long_mode(), .seg = DS}; }

}  // namespace

paging::Params paging_params(const Cpu& c) {
  paging::Params p;
  p.mode = !(c.cr0 & cr0::PG) ? paging::Mode::none : c.long_mode() ? paging::Mode::level4 : c.cr4 & cr4::PAE ? paging::Mode::pae : paging::Mode::bits32;
  p.cr3 = c.cr3;
  std::copy(std::begin(c.pdpte), std::end(c.pdpte), p.pdpte);
  p.pse = c.cr4 & cr4::PSE;
  p.nxe = c.efer & efer::NXE;
  p.pge = c.cr4 & cr4::PGE;
  p.page_1g = c.model().has(Feature::pdpe1gb);
  p.pse36 = c.model().has(Feature::pse36);
  p.physical_address_bits = c.model().physical_address_bits;
  return p;
}

bool load_pdptes(Cpu& c, u64 cr3, u64 (&to)[4]) {
  Hpa at{cr3 & mask(31, 5)};
  if (eptp_of(c)) {
    ept::Walk w;
    // SDM 3C "Accessed and Dirty Flags for EPT": loads of PDPTEs are reads, whatever EPTP says
    if (!through_ept(c, Gpa{at.v}, 0, access::read, false, false, w)) return false;
    at = w.target;
  }
  u64 v[4];
  if (tells_alone(c, at)) return again_alone(c);
  c.memory().read(at, v, sizeof v);
  if (told(c, at))
    for (unsigned n = 0; n < 4; ++n) tell_table(c, MemoryAccess::Kind::table_read, false, 3, u64{n} << 30, at + 8 * n, 8, v[n]);
  for (u64 e : v)
    if ((e & paging::P) && (e & paging::pdpte_reserved(c.model().physical_address_bits))) { c.gp(0); return false; }
  std::copy(std::begin(v), std::end(v), to);
  return true;
}

bool do_again_alone(Cpu& c) { return again_alone(c); }

bool read_as(Cpu& c, u64 la, void* to, unsigned size, As as) {
  Span s;
  if (!span(c, la, size, access::read, as, false, s)) return false;
  read_parts(c, s, to);
  return true;
}

bool write_as(Cpu& c, u64 la, const void* from, unsigned size, As as) {
  Span s;
  if (!span(c, la, size, access::write, as, false, s)) return false;
  write_parts(c, s, from);
  return true;
}

bool check_write_as(Cpu& c, u64 la, unsigned size, As as) {
  Span s;
  return span(c, la, size, access::write, as, false, s);
}

bool Cpu::translate(u64 la, Access want, bool user, Hpa& at) {
  if (long_mode() ? !canonical(la) : la > 0xffff'ffff) { gp(0); return false; }
  TlbEntry e;
  const As as{.user = user, .implicit = false, .wide = long_mode(), .seg = DS};
  contexts.code_dropped();
  if (!map(*this, la, want, as, e)) return false;
  if (!careful && contexts.code_dropped()) return again_alone(*this);
  at = physical(e, la);
  return true;
}

bool Cpu::fetch_page(u64 la, Hpa& page) {
  const HostCache::Entry& h = host.ex[HostCache::slot(la)];
  if (VT_LIKELY(((la & kPageMask) | host.tag) == h.tag)) {
    page = Hpa{h.addend + (la & kPageMask) - reinterpret_cast<u64>(mem_.host())};
    return true;
  }
  if (code64_now ? !canonical(la) : la > 0xffff'ffff) { gp(0); return false; }
  TlbEntry e;
  if (!map(*this, la, access::exec, ordinary(*this, CS), e)) return false;
  const Hpa at = physical(e, la);
  if (on_apic_access_page(*this, at)) return apic_access_virtualized(*this, at, 1, access::exec);
  host.fetched.set(HostCache::fetched_slot(la));  // also where no host pointer may be made
  fill_host(*this, la, at, access::exec);
  page = Hpa{at.v & kPageMask};
  return true;
}

/// What nobody backs and what devices hold reads as ones here: code is not fetched from devices.
bool Cpu::ifetch(u64 la, u8* to, unsigned n, unsigned& got) {
  got = 0;
  while (got < n) {
    u64 at = la + got;
    if (!code64_now) at = static_cast<u32>(at);
    Hpa page;
    if (!fetch_page(at, page)) return false;
    const unsigned here = static_cast<unsigned>(std::min<u64>(n - got, kPageSize - (at & ~kPageMask)));
    mem_.read(page + (at & ~kPageMask), to + got, here);
    got += here;
  }
  return true;
}

bool Cpu::load_slow(u64 la, void* to, unsigned size, u8 s) {
  Span x;
  if (!span(*this, la, size, access::read, ordinary(*this, s), true, x)) return false;
  read_parts(*this, x, to);
  return true;
}

bool Cpu::store_slow(u64 la, const void* from, unsigned size, u8 s) {
  Span x;
  if (!span(*this, la, size, access::write, ordinary(*this, s), true, x)) return false;
  write_parts(*this, x, from);
  return true;
}

bool Cpu::load_for_write(u64 la, void* to, unsigned size, u8 s) {
  Span x;
  if (!span(*this, la, size, access::write, ordinary(*this, s), true, x)) return false;
  read_parts(*this, x, to);
  return true;
}

bool Cpu::probe_write(u64 la, unsigned size, u8 s) {
  Span x;
  return span(*this, la, size, access::write, ordinary(*this, s), true, x);
}

bool Cpu::load_system(u64 la, void* to, unsigned size) { return read_as(*this, la, to, size, system_table(*this)); }
bool Cpu::store_system(u64 la, const void* from, unsigned size) { return write_as(*this, la, from, size, system_table(*this)); }

}  // namespace vt::cpu
