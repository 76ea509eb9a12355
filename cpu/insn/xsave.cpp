// SPDX-License-Identifier: GPL-2.0-or-later
/// Save areas: FXSAVE, FXRSTOR, the XSAVE family, XCR0, MXCSR.   SDM 1 "Managing State Using the XSAVE Feature Set"
///
/// State components offered: x87 (0), SSE (1), AVX (2, with the feature). There is no tracking of modified state: XSAVEOPT
/// and XSAVES omit a component only when it is in its initial configuration, which is a function of the registers alone.
/// FCS and FDS are saved as zero (CPUID.(EAX=07H,ECX=0H):EBX[13], "Deprecates FPU CS and FPU DS values").
#include "insn/fpu.hpp"

namespace vt::cpu {
namespace {

constexpr u64 kX87 = 1, kSse = 2, kAvx = 4, kCompacted = u64{1} << 63;
constexpr unsigned kLegacy = 512, kHeader = 64, kAvxOffset = 576, kAvxSize = 256, kChunk = 64;

template <class C> unsigned vector_registers(const C& c) { return c.code64_now ? 16 : 8; }
template <class C> u64 wrap(const C& c, u64 la) { return c.code64_now ? la : static_cast<u32>(la); }

/// Reads [la + from, la + from + n) into area + from, in pieces that load_slow takes.
template <class C>
bool read_area(C& c, const Insn& i, u64 la, u8* area, unsigned from, unsigned n) {
  for (unsigned k = 0; k < n; k += kChunk)
    if (!c.load_slow(wrap(c, la + from + k), area + from + k, std::min(kChunk, n - k), i.seg)) return false;
  return true;
}
template <class C>
bool probe_area(C& c, const Insn& i, u64 la, unsigned n) {
  for (unsigned k = 0; k < n; k += kChunk)
    if (!c.probe_write(wrap(c, la + k), std::min(kChunk, n - k), i.seg)) return false;
  return true;
}
template <class C>
bool write_area(C& c, const Insn& i, u64 la, const u8* area, unsigned from, unsigned n) {
  for (unsigned k = 0; k < n; k += kChunk)
    if (!c.store_slow(wrap(c, la + from + k), area + from + k, std::min(kChunk, n - k), i.seg)) return false;
  return true;
}

template <class T> void put(u8* p, T v) { std::memcpy(p, &v, sizeof v); }
template <class T> T get(const u8* p) { T v; std::memcpy(&v, p, sizeof v); return v; }

/// Bytes 0-23 and 32-159 of the legacy region.   SDM 2A "FXSAVE": 64-bit pointers with REX.W in 64-bit mode
void put_x87(const Fpu& f, u8* area, bool wide) {
  put<u16>(area, f.cw), put<u16>(area + 2, f.sw), put<u16>(area + 4, f.tags), put<u16>(area + 6, f.fop);
  put<u64>(area + 8, wide ? f.fip : static_cast<u32>(f.fip));
  put<u64>(area + 16, wide ? f.fdp : static_cast<u32>(f.fdp));
  for (unsigned n = 0; n < 8; ++n) {
    const X87Reg& r = f.st[(fpu_top(f) + n) & 7];
    put<u64>(area + 32 + 16 * n, r.m), put<u64>(area + 40 + 16 * n, r.se);
  }
}
void get_x87(Fpu& f, const u8* area, bool wide) {
  f.sw = get<u16>(area + 2);
  set_fcw(f, get<u16>(area));
  f.tags = area[4];
  f.fop = get<u16>(area + 6) & 0x7ff;
  f.fcs = f.fds = 0;
  f.fip = wide ? get<u64>(area + 8) : get<u32>(area + 8);
  f.fdp = wide ? get<u64>(area + 16) : get<u32>(area + 16);
  for (unsigned n = 0; n < 8; ++n) f.st[(fpu_top(f) + n) & 7] = {get<u64>(area + 32 + 16 * n), get<u16>(area + 40 + 16 * n)};
}
template <class C> void put_xmm(const C& c, u8* to) {
  for (unsigned n = 0; n < vector_registers(c); ++n) std::memcpy(to + 16 * n, c.fpu.ymm[n], 16);
}
template <class C> void get_xmm(C& c, const u8* from) {
  for (unsigned n = 0; n < vector_registers(c); ++n) std::memcpy(c.fpu.ymm[n], from + 16 * n, 16);
}
template <class C> void put_ymm_high(const C& c, u8* to) {
  for (unsigned n = 0; n < vector_registers(c); ++n) std::memcpy(to + 16 * n, c.fpu.ymm[n] + 2, 16);
}
template <class C> void get_ymm_high(C& c, const u8* from) {
  for (unsigned n = 0; n < vector_registers(c); ++n) std::memcpy(c.fpu.ymm[n] + 2, from + 16 * n, 16);
}

// FXSAVE with CR4.OSFXSR = 0 leaves the XMM registers out; MXCSR and MXCSR_MASK are always written. Bytes 416-511 are not touched.
template <class C>
Next fxsave(C& c, const Insn& i) {
  u64 la;
  if (!c.linear(i, kLegacy, true, la) || !c.aligned(la, 16, i.seg)) return Next::fault;
  if (!probe_area(c, i, la, kLegacy)) return Next::fault;
  u8 area[416] = {};
  put_x87(c.fpu, area, i.osz() == 2);
  put<u32>(area + 24, c.fpu.mxcsr), put<u32>(area + 28, mxcsr::kMask);
  const bool vectors = c.cr4 & cr4::OSFXSR;
  if (vectors) put_xmm(c, area + 160);
  return write_area(c, i, la, area, 0, vectors ? 160 + 16 * vector_registers(c) : 160) ? Next::seq : Next::fault;
}

template <class C>
Next fxrstor(C& c, const Insn& i) {
  u64 la;
  u8 area[kLegacy];
  if (!c.linear(i, kLegacy, false, la) || !c.aligned(la, 16, i.seg) || !read_area(c, i, la, area, 0, kLegacy)) return Next::fault;
  const bool vectors = c.cr4 & cr4::OSFXSR;
  const u32 csr = get<u32>(area + 24);
  if (vectors && (csr & ~mxcsr::kMask)) return c.gp(0);
  get_x87(c.fpu, area, i.osz() == 2);
  if (vectors) {
    c.fpu.mxcsr = csr;
    get_xmm(c, area + 160);
  }
  return Next::seq;
}

/// XINUSE.   SDM 1 "Processor Tracking of XSAVE-Managed State"
template <class C>
u64 in_use(const C& c) {
  const Fpu& f = c.fpu;
  u64 bv = 0;
  bool x87 = f.cw != kFcwInit || f.sw || f.tags || f.fop || f.fip || f.fdp;
  for (auto& r : f.st) x87 |= r.m || r.se;
  if (x87) bv |= kX87;
  u64 low = 0, high = 0;
  for (unsigned n = 0; n < vector_registers(c); ++n) low |= f.ymm[n][0] | f.ymm[n][1], high |= f.ymm[n][2] | f.ymm[n][3];
  if (low) bv |= kSse;
  if (high) bv |= kAvx;
  return bv;
}
template <class C> void init_component(C& c, u64 component) {
  if (component == kX87) {
    fpu_init(c.fpu);
    for (auto& r : c.fpu.st) r = {};
  }
  const unsigned first = component == kSse ? 0 : 2;
  if (component == kSse || component == kAvx)
    for (unsigned n = 0; n < vector_registers(c); ++n) c.fpu.ymm[n][first] = c.fpu.ymm[n][first + 1] = 0;
}

template <class C> u64 requested(const C& c, u64 offered) {
  return offered & (static_cast<u64>(static_cast<u32>(c.r[2])) << 32 | static_cast<u32>(c.r[0]));
}
/// #UD, #NM: the only checks before the operand.
template <class C>
bool xsave_allowed(C& c) {
  if (!(c.cr4 & cr4::OSXSAVE)) return c.ud(), false;
  if (c.cr0 & cr0::TS) return c.nm(), false;
  return true;
}
/// Bytes of an area with these components: compacted or standard.
unsigned area_size(u64 components, bool compacted) {
  if (!(components & kAvx)) return kLegacy + kHeader;
  return compacted ? kLegacy + kHeader + kAvxSize : kAvxOffset + kAvxSize;
}

enum class Form { xsave, xsaveopt, xsavec, xsaves };

// One offset serves both formats, since AVX state is the only extended component.
template <class C, Form K>
Next xsave(C& c, const Insn& i) {
  constexpr bool compacted = K == Form::xsavec || K == Form::xsaves;
  if (!xsave_allowed(c)) return Next::fault;
  if constexpr (K == Form::xsaves) {
    if (c.non_root() && !(c.vmx.proc2 & proc2_ctl::xsaves)) return c.ud();
    if (c.cpl() != 0) return c.gp(0);
  }
  const u64 rfbm = requested(c, c.xcr0 | (K == Form::xsaves ? c.msr.xss : 0));
  const unsigned size = area_size(rfbm, compacted);
  u64 la;
  if (!c.linear(i, size, true, la) || !c.aligned(la, 64, i.seg)) return Next::fault;
  u64 used = in_use(c);
  if (compacted && c.fpu.mxcsr != mxcsr::kInit) used |= kSse;
  u64 old_bv = 0;
  if (!compacted && !c.load_slow(wrap(c, la + kLegacy), &old_bv, 8, i.seg)) return Next::fault;
  if (!probe_area(c, i, la, size)) return Next::fault;

  const u64 save = K == Form::xsave ? rfbm : rfbm & used;
  const bool wide = i.osz() == 2;
  u8 area[kAvxOffset + kAvxSize] = {};
  if (save & kX87) {
    put_x87(c.fpu, area, wide);
    if (!write_area(c, i, la, area, 0, 24) || !write_area(c, i, la, area, 32, 128)) return Next::fault;
  }
  if (compacted ? save & kSse : rfbm & (kSse | kAvx)) {
    put<u32>(area + 24, c.fpu.mxcsr), put<u32>(area + 28, mxcsr::kMask);
    if (!write_area(c, i, la, area, 24, 8)) return Next::fault;
  }
  if (save & kSse) {
    put_xmm(c, area + 160);
    if (!write_area(c, i, la, area, 160, 16 * vector_registers(c))) return Next::fault;
  }
  if (save & kAvx) {
    put_ymm_high(c, area + kAvxOffset);
    if (!write_area(c, i, la, area, kAvxOffset, 16 * vector_registers(c))) return Next::fault;
  }
  put<u64>(area + kLegacy, (old_bv & ~rfbm) | (rfbm & used));
  put<u64>(area + kLegacy + 8, rfbm | kCompacted);
  return write_area(c, i, la, area, kLegacy, compacted ? kHeader : 8) ? Next::seq : Next::fault;
}

template <class C, bool Supervisor>
Next xrstor(C& c, const Insn& i) {
  if (!xsave_allowed(c)) return Next::fault;
  if constexpr (Supervisor) {
    if (c.non_root() && !(c.vmx.proc2 & proc2_ctl::xsaves)) return c.ud();
    if (c.cpl() != 0) return c.gp(0);
  }
  const u64 offered = c.xcr0 | (Supervisor ? c.msr.xss : 0);
  const u64 rfbm = requested(c, offered);
  u64 la;
  u8 area[kAvxOffset + kAvxSize] = {};
  if (!c.linear(i, kLegacy + kHeader, false, la) || !c.aligned(la, 64, i.seg)) return Next::fault;
  if (!read_area(c, i, la, area, kLegacy, kHeader)) return Next::fault;
  const u64 bv = get<u64>(area + kLegacy), comp = get<u64>(area + kLegacy + 8);
  const bool compacted = comp & kCompacted;
  // SDM 1 "Standard Form of XRSTOR", "Compacted Form of XRSTOR", "Operation of XRSTORS"
  if (compacted) {
    if (!c.model().has(Feature::xsavec)) return c.gp(0);
    if ((comp & ~kCompacted & ~offered) || (bv & ~comp) || (bv & kCompacted)) return c.gp(0);
    for (unsigned k = 16; k < kHeader; ++k) if (area[kLegacy + k]) return c.gp(0);
  } else {
    if (Supervisor || (bv & ~c.xcr0)) return c.gp(0);
    for (unsigned k = 8; k < 24; ++k) if (area[kLegacy + k]) return c.gp(0);
  }
  const u64 load = rfbm & bv;
  const bool load_mxcsr = compacted ? load & kSse : rfbm & (kSse | kAvx);
  if ((load & (kX87 | kSse)) || load_mxcsr)
    if (!read_area(c, i, la, area, 0, 416)) return Next::fault;
  if ((load & kAvx) && !read_area(c, i, la, area, kAvxOffset, 16 * vector_registers(c))) return Next::fault;
  const u32 csr = get<u32>(area + 24);
  if (load_mxcsr && (csr & ~mxcsr::kMask)) return c.gp(0);

  for (u64 component : {kX87, kSse, kAvx}) if (rfbm & ~bv & component) init_component(c, component);
  if (compacted && (rfbm & ~bv & kSse)) c.fpu.mxcsr = mxcsr::kInit;
  if (load & kX87) get_x87(c.fpu, area, i.osz() == 2);
  if (load & kSse) get_xmm(c, area + 160);
  if (load & kAvx) get_ymm_high(c, area + kAvxOffset);
  if (load_mxcsr) c.fpu.mxcsr = csr;
  return Next::seq;
}

template <class C>
Next xgetbv(C& c, const Insn& i) {
  if (!(c.cr4 & cr4::OSXSAVE)) return c.ud();
  u64 v;
  const u32 n = static_cast<u32>(c.r[1]);
  if (n == 0) v = c.xcr0;
  else if (n == 1 && c.model().has(Feature::xgetbv1)) v = c.xcr0 & (in_use(c) | (c.fpu.mxcsr != mxcsr::kInit ? kSse : 0));
  else return c.gp(0);
  c.template set_reg<u32>(0, static_cast<u32>(v));
  c.template set_reg<u32>(2, static_cast<u32>(v >> 32));
  return Next::seq;
}

// Bit 0 must be set, AVX needs SSE, and only what CPUID leaf 0DH offers may be.   SDM 1 "Enabling the XSAVE Feature Set and XSAVE-Enabled Features"
template <class C>
Next xsetbv(C& c, const Insn& i) {
  if (!(c.cr4 & cr4::OSXSAVE)) return c.ud();
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept(c, ExitReason::xsetbv, i)) return Next::fault;
  const u64 v = requested(c, ~u64{0});
  const u64 offered = kX87 | kSse | (c.model().has(Feature::avx) ? kAvx : 0);
  if (static_cast<u32>(c.r[1]) != 0 || (v & ~offered) || !(v & kX87) || ((v & kAvx) && !(v & kSse))) return c.gp(0);
  c.xcr0 = v;
  c.update();
  return Next::end;
}

template <class C>
Next ldmxcsr(C& c, const Insn& i) {
  u32 v;
  if (!c.load(i, v)) return Next::fault;
  if (v & ~mxcsr::kMask) return c.gp(0);
  c.fpu.mxcsr = v;
  return Next::seq;
}
template <class C>
Next stmxcsr(C& c, const Insn& i) {
  return c.store(i, c.fpu.mxcsr) ? Next::seq : Next::fault;
}

using C = Cpu;
constexpr Def kRows[] = {
  {"FXSAVE",   "NP 0F AE /0", "M512",   attr::x87, Feature::fxsr, VT_1(fxsave)},
  {"FXRSTOR",  "NP 0F AE /1", "M512",   attr::x87, Feature::fxsr, VT_1(fxrstor)},
  {"LDMXCSR",  "NP 0F AE /2", "Md",     attr::sse, Feature::sse, VT_1(ldmxcsr)},
  {"STMXCSR",  "NP 0F AE /3", "Md",     attr::sse, Feature::sse, VT_1(stmxcsr)},
  {"VLDMXCSR", "VEX.LZ.NP.0F AE /2", "Md", attr::avx, Feature::avx, VT_1(ldmxcsr)},
  {"VSTMXCSR", "VEX.LZ.NP.0F AE /3", "Md", attr::avx, Feature::avx, VT_1(stmxcsr)},
  {"XSAVE",    "NP 0F AE /4", "M",      0, Feature::xsave, VT_ALL(xsave<C, Form::xsave>)},
  {"XRSTOR",   "NP 0F AE /5", "M",      0, Feature::xsave, VT_ALL(xrstor<C, false>)},
  {"XSAVEOPT", "NP 0F AE /6", "M",      0, Feature::xsaveopt, VT_ALL(xsave<C, Form::xsaveopt>)},
  {"XSAVEC",   "NP 0F C7 /4", "M",      0, Feature::xsavec, VT_ALL(xsave<C, Form::xsavec>)},
  {"XSAVES",   "NP 0F C7 /5", "M",      0, Feature::xsaves, VT_ALL(xsave<C, Form::xsaves>)},
  {"XRSTORS",  "NP 0F C7 /3", "M",      0, Feature::xsaves, VT_ALL(xrstor<C, true>)},
  {"XGETBV",   "NP 0F 01 D0", "",       0, Feature::xsave, VT_1(xgetbv)},
  {"XSETBV",   "NP 0F 01 D1", "",       attr::ends_block, Feature::xsave, VT_1(xsetbv)},
};

}  // namespace

std::span<const Def> xsave_rows() { return kRows; }

std::vector<Def> join_rows(std::initializer_list<std::span<const Def>> parts) {
  std::vector<Def> all;
  for (auto p : parts) all.insert(all.end(), p.begin(), p.end());
  return all;
}

}  // namespace vt::cpu
