// SPDX-License-Identifier: GPL-2.0-or-later
/// Descriptor-table registers and questions about selectors.   SDM 2 by the instructions' names
#include "insn/system.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

template <class C>
bool umip(C& c) { return (c.cr4 & cr4::UMIP) && c.cpl() != 0 && (c.gp(0), true); }

/// `Which`: 0 SGDT, 1 SIDT.
template <class C, unsigned Which>
Next store_table(C& c, const Insn& i) {
  if (umip(c)) return Next::fault;
  if (c.non_root() && intercept_descriptor_table(c, i, Which)) return Next::fault;
  const TableReg& t = Which ? c.idtr : c.gdtr;
  u8 image[10];
  std::memcpy(image, &t.limit, 2);
  std::memcpy(image + 2, &t.base, 8);
  const unsigned n = c.code64_now ? 10 : 6;
  u64 la;
  return c.linear(i, n, true, la) && c.store_slow(la, image, n, i.seg) ? Next::seq : Next::fault;
}

/// `Which`: 2 LGDT, 3 LIDT.
template <class C, unsigned Which>
Next load_table(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept_descriptor_table(c, i, Which)) return Next::fault;
  u8 image[10] = {};
  const unsigned n = c.code64_now ? 10 : 6;
  u64 la;
  if (!c.linear(i, n, false, la) || !c.load_slow(la, image, n, i.seg)) return Next::fault;
  TableReg t{0, 0};
  std::memcpy(&t.limit, image, 2);
  std::memcpy(&t.base, image + 2, 8);
  if (!c.code64_now && i.osz() == 0) t.base &= 0xff'ffff;
  if (static_cast<u64>(sext(t.base, 48)) != t.base) return c.gp(0);
  (Which == 3 ? c.idtr : c.gdtr) = t;
  return Next::end;
}

/// `Which`: 4 SLDT, 5 STR.
template <class C, class T, bool M, unsigned Which>
Next store_selector(C& c, const Insn& i) {
  if (umip(c)) return Next::fault;
  if (c.non_root() && intercept_descriptor_table(c, i, Which)) return Next::fault;
  const u16 v = Which == 4 ? c.ldtr.sel : c.tr.sel;
  if constexpr (M) return c.store(i, v) ? Next::seq : Next::fault;
  c.template set_reg<T>(i.rm, v);
  return Next::seq;
}
template <class C, class T, bool M> Next sldt(C& c, const Insn& i) { return store_selector<C, T, M, 4>(c, i); }
template <class C, class T, bool M> Next str(C& c, const Insn& i) { return store_selector<C, T, M, 5>(c, i); }

template <class C, bool M>
bool selector_operand(C& c, const Insn& i, u16& v) {
  if constexpr (M) return c.load(i, v);
  v = c.template reg<u16>(i.rm);
  return true;
}

template <class C, bool M>
Next lldt(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept_descriptor_table(c, i, 6)) return Next::fault;
  u16 sel;
  if (!selector_operand<C, M>(c, i, sel)) return Next::fault;
  if (null_selector(sel)) {
    c.ldtr = null_segment(sel, 0);
    return Next::end;
  }
  if (sel & 4) return c.gp(selector_error(sel));
  Descriptor d;
  if (!read_descriptor(c, sel, GP, 0, d)) return Next::fault;
  if (d.s() || d.type() != system_type::ldt) return c.gp(selector_error(sel));
  if (!d.present()) return c.np(selector_error(sel));
  if (c.long_mode() && !read_upper(c, sel, GP, 0, d)) return Next::fault;
  if (static_cast<u64>(sext(d.base(), 48)) != d.base()) return c.gp(selector_error(sel));
  c.ldtr = make_segment(sel, d);
  return Next::end;
}

template <class C, bool M>
Next ltr(C& c, const Insn& i) {
  if (c.cpl() != 0) return c.gp(0);
  if (c.non_root() && intercept_descriptor_table(c, i, 7)) return Next::fault;
  u16 sel;
  if (!selector_operand<C, M>(c, i, sel)) return Next::fault;
  if (null_selector(sel)) return c.gp(0);
  if (sel & 4) return c.gp(selector_error(sel));
  Descriptor d;
  if (!read_descriptor(c, sel, GP, 0, d)) return Next::fault;
  if (d.s() || (d.type() != system_type::tss && (c.long_mode() || d.type() != system_type::tss16))) return c.gp(selector_error(sel));
  if (!d.present()) return c.np(selector_error(sel));
  if (c.long_mode() && !read_upper(c, sel, GP, 0, d)) return Next::fault;
  if (static_cast<u64>(sext(d.base(), 48)) != d.base()) return c.gp(selector_error(sel));
  d.lo |= u64{2} << 40;  // busy
  const u8 access = static_cast<u8>(d.lo >> 40);
  if (!c.store_system(d.at + 5, &access, 1)) return Next::fault;
  c.tr = make_segment(sel, d);
  return Next::end;
}

// --- LAR, LSL, VERR, VERW: ZF says whether the selector would do ------------------------------------------

enum class Ask { lar, lsl, verr, verw };

/// False: the memory access faulted. Otherwise `yes` and, when yes, `d`.
template <Ask A>
bool ask(Cpu& c, u16 sel, bool& yes, Descriptor& d) {
  yes = false;
  if (null_selector(sel)) return true;
  const bool local = sel & 4;
  if ((local && c.ldtr.unusable()) || (sel & 0xfff8u) + 7 > (local ? c.ldtr.limit : c.gdtr.limit)) return true;
  if (!read_descriptor(c, sel, GP, 0, d)) return false;
  const unsigned rpl = sel & 3;
  const bool reachable = (d.code() && d.conforming()) || (d.dpl() >= c.cpl() && d.dpl() >= rpl);
  if constexpr (A == Ask::verr) yes = d.s() && reachable && (d.data() || d.readable_code());
  else if constexpr (A == Ask::verw) yes = reachable && d.writable_data();
  else {
    bool type = d.s();
    if (!type) {
      // SDM 2 "LAR", "LSL": segment and gate types
      constexpr u32 kLar = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12, kLsl = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11;
      constexpr u32 kLong = 1u << 2 | 1u << 9 | 1u << 11 | 1u << 12;
      const u32 types = (A == Ask::lar ? kLar : kLsl) & (c.long_mode() ? kLong : ~0u);
      type = bit(types, d.type());
    }
    yes = type && reachable;
  }
  return true;
}

void set_zf(Cpu& c, bool zf) {
  const u64 f = c.lf.get();
  c.lf.set(zf ? f | rflags::ZF : f & ~rflags::ZF);
}

template <class C, class T, bool M, Ask A>
Next selector_info(C& c, const Insn& i) {
  u16 sel;
  bool yes;
  Descriptor d;
  if (!selector_operand<C, M>(c, i, sel) || !ask<A>(c, sel, yes, d)) return Next::fault;
  if (yes) {
    // LAR: bits 19:16 are undefined; the limit's, as the host has them.
    const u32 v = A == Ask::lar ? static_cast<u32>(d.lo >> 32) & 0x00ff'ff00 : d.limit();
    c.template set_reg<T>(i.reg, static_cast<T>(v));
  }
  set_zf(c, yes);
  return Next::seq;
}
template <class C, class T, bool M> Next lar(C& c, const Insn& i) { return selector_info<C, T, M, Ask::lar>(c, i); }
template <class C, class T, bool M> Next lsl(C& c, const Insn& i) { return selector_info<C, T, M, Ask::lsl>(c, i); }

template <class C, bool M, Ask A>
Next verify(C& c, const Insn& i) {
  u16 sel;
  bool yes;
  Descriptor d;
  if (!selector_operand<C, M>(c, i, sel) || !ask<A>(c, sel, yes, d)) return Next::fault;
  set_zf(c, yes);
  return Next::seq;
}
template <class C, bool M> Next verr(C& c, const Insn& i) { return verify<C, M, Ask::verr>(c, i); }
template <class C, bool M> Next verw(C& c, const Insn& i) { return verify<C, M, Ask::verw>(c, i); }

template <class C, bool M>
Next arpl(C& c, const Insn& i) {
  const u16 src = c.template reg<u16>(i.reg);
  u16 dst;
  if constexpr (M) { if (!c.load(i, dst)) return Next::fault; }
  else dst = c.template reg<u16>(i.rm);
  const bool less = (dst & 3) < (src & 3);
  dst = static_cast<u16>((dst & ~3) | (src & 3));
  if (less) {  // a write only then, as on the host
    if constexpr (M) { if (!c.store(i, dst)) return Next::fault; }
    else c.template set_reg<u16>(i.rm, dst);
  }
  set_zf(c, less);
  return Next::seq;
}

using C = Cpu;
using namespace attr;
template <unsigned W> constexpr Fn kStore = run<C, store_table<C, W>, true>;
template <unsigned W> constexpr Fn kLoad = run<C, load_table<C, W>, true>;
#define VT_ALL_FORMS(f) {{f, f}, {f, f}, {f, f}}
constexpr Def kRows[] = {
    {"SGDT", "0F 01 /0", "M", 0, Feature::always, VT_ALL_FORMS(kStore<0>)},
    {"SIDT", "0F 01 /1", "M", 0, Feature::always, VT_ALL_FORMS(kStore<1>)},
    {"LGDT", "0F 01 /2", "M", ends_block, Feature::always, VT_ALL_FORMS(kLoad<2>)},
    {"LIDT", "0F 01 /3", "M", ends_block, Feature::always, VT_ALL_FORMS(kLoad<3>)},
    {"SLDT", "0F 00 /0", "Ew", protected_only, Feature::always, VT_TM(sldt)},
    {"STR", "0F 00 /1", "Ew", protected_only, Feature::always, VT_TM(str)},
    {"LLDT", "0F 00 /2", "Ew", protected_only | ends_block, Feature::always, VT_M(lldt)},
    {"LTR", "0F 00 /3", "Ew", protected_only | ends_block, Feature::always, VT_M(ltr)},
    {"VERR", "0F 00 /4", "Ew", protected_only, Feature::always, VT_M(verr)},
    {"VERW", "0F 00 /5", "Ew", protected_only, Feature::always, VT_M(verw)},
    {"LAR", "0F 02 /r", "Gv, Ew", protected_only, Feature::always, VT_TM(lar)},
    {"LSL", "0F 03 /r", "Gv, Ew", protected_only, Feature::always, VT_TM(lsl)},
    {"ARPL", "63 /r", "Ew, Gw", protected_only | no64, Feature::always, VT_M(arpl)},
};

}  // namespace

std::span<const Def> table_rows() { return kRows; }

}  // namespace vt::cpu
