// SPDX-License-Identifier: GPL-2.0-or-later
/// Shifts and rotates.   SDM 2B "RCL/RCR/ROL/ROR", "SAL/SAR/SHL/SHR", "SHLD", "SHRD"
/// A masked count of zero leaves flags alone. Undefined flags are what Intel's processors give: OF after more than one bit is what the
/// first bit's step makes of it (for SHL, ROL, RCL and SHLD the two top bits of the operand differ; for SHR its top bit; ...); AF is clear.
/// ROL and ROR of a register by an immediate other than one keep OF. 16-bit SHLD and SHRD by more than 16 go on with the destination's bits.
#include "forms.hpp"

namespace vt::cpu {
namespace {

template <class T> constexpr unsigned kBits = 8 * sizeof(T);
template <class T> bool top(T v) { return v >> (kBits<T> - 1) & 1; }
template <class T> bool second(T v) { return v >> (kBits<T> - 2) & 1; }

// Each operation gets a count of 1 to 31 (63 for 64-bit operands).
struct Shl {
  template <class T, class C> VT_INLINE static T op(C& c, T a, unsigned n) {
    const T r = n < kBits<T> ? static_cast<T>(a << n) : T{0};
    const bool cf = n <= kBits<T> && (a >> (kBits<T> - n) & 1);
    flags_result(c, r, cf, top(a) != second(a));
    return r;
  }
};
struct Shr {
  template <class T, class C> VT_INLINE static T op(C& c, T a, unsigned n) {
    const T r = n < kBits<T> ? static_cast<T>(a >> n) : T{0};
    const bool cf = n <= kBits<T> && (a >> (n - 1) & 1);
    flags_result(c, r, cf, top(a));
    return r;
  }
};
struct Sar {
  template <class T, class C> VT_INLINE static T op(C& c, T a, unsigned n) {
    const i64 v = static_cast<std::make_signed_t<T>>(a);
    const T r = static_cast<T>(v >> n);
    flags_result(c, r, v >> (n - 1) & 1, false);
    return r;
  }
};
// Rotates change CF and OF only.
template <class C>
VT_INLINE void rotate_flags(C& c, bool cf, bool of) {
  c.lf.misc = (c.lf.misc & ~1u) | cf;
  c.lf.aux = static_cast<i64>((static_cast<u64>(c.lf.aux) & ~(u64{1} << 63)) | static_cast<u64>(cf != of) << 63);
}
struct Rol {
  template <class T, class C> VT_INLINE static T op(C& c, T a, unsigned n) {
    n &= kBits<T> - 1;
    const T r = n ? static_cast<T>(a << n | a >> (kBits<T> - n)) : a;
    rotate_flags(c, r & 1, top(a) != second(a));
    return r;
  }
};
struct Ror {
  template <class T, class C> VT_INLINE static T op(C& c, T a, unsigned n) {
    n &= kBits<T> - 1;
    const T r = n ? static_cast<T>(a >> n | a << (kBits<T> - n)) : a;
    rotate_flags(c, top(r), top(a) != static_cast<bool>(a & 1));
    return r;
  }
};
struct Rcl {
  template <class T, class C> VT_INLINE static T op(C& c, T a, unsigned n) {
    n %= kBits<T> + 1;
    if (n == 0) return a;
    const T in = c.lf.cf();
    T r = static_cast<T>((n < kBits<T> ? static_cast<T>(a << n) : T{0}) | static_cast<T>(in << (n - 1)));
    if (n > 1) r = static_cast<T>(r | a >> (kBits<T> + 1 - n));
    rotate_flags(c, a >> (kBits<T> - n) & 1, top(a) != second(a));
    return r;
  }
};
struct Rcr {
  template <class T, class C> VT_INLINE static T op(C& c, T a, unsigned n) {
    n %= kBits<T> + 1;
    if (n == 0) return a;
    const T in = c.lf.cf();
    T r = static_cast<T>((n < kBits<T> ? static_cast<T>(a >> n) : T{0}) | static_cast<T>(in << (kBits<T> - n)));
    if (n > 1) r = static_cast<T>(r | a << (kBits<T> + 1 - n));
    rotate_flags(c, a >> (n - 1) & 1, top(a) != static_cast<bool>(in));
    return r;
  }
};

enum Count { by_one, by_cl, by_imm };

template <class Op>
struct Shift {
  template <Count K, class T, class C>
  VT_INLINE static T apply(C& c, T a, unsigned n) {
    if constexpr (K == by_imm && (std::is_same_v<Op, Rol> || std::is_same_v<Op, Ror>)) {
      const bool of = c.lf.of();
      const T r = Op::template op<T>(c, a, n);
      if (n != 1) rotate_flags(c, c.lf.cf(), of);
      return r;
    } else {
      return Op::template op<T>(c, a, n);
    }
  }
  template <Count K, class C, class T, bool M>
  VT_INLINE static Next f(C& c, const Insn& i) {
    unsigned n = 1;
    if constexpr (K != by_one) n = static_cast<u8>(K == by_cl ? c.r[1] : static_cast<u64>(i.imm)) & (sizeof(T) == 8 ? 63 : 31);
    if constexpr (M) {
      if (!c.template modify<T>(i, [&](T a) { return n ? Op::template op<T>(c, a, n) : a; })) return Next::fault;
    } else {
      T a = c.template reg<T>(i.rm);
      if (K == by_one || n) a = apply<K>(c, a, n);
      c.template set_reg<T>(i.rm, a);  // a 32-bit destination is zero-extended even by a count of zero
    }
    return Next::seq;
  }
  template <class C, class T, bool M> static Next one(C& c, const Insn& i) { return f<by_one, C, T, M>(c, i); }
  template <class C, class T, bool M> static Next cl(C& c, const Insn& i) { return f<by_cl, C, T, M>(c, i); }
  template <class C, class T, bool M> static Next imm(C& c, const Insn& i) { return f<by_imm, C, T, M>(c, i); }
};

struct Shld {
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b, unsigned n) {
    T r;
    bool cf;
    if constexpr (sizeof(T) == 2) {
      const u32 both = static_cast<u32>(a) << 16 | b;
      u32 w = both << n;
      if (n > 16) w |= static_cast<u32>(a) << (n - 16);
      r = static_cast<T>(w >> 16);
      cf = both >> (32 - n) & 1;
    } else {
      r = a << n | b >> (kBits<T> - n);
      cf = a >> (kBits<T> - n) & 1;
    }
    flags_result(c, r, cf, top(a) != second(a));
    return r;
  }
};
struct Shrd {
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b, unsigned n) {
    T r;
    bool cf;
    if constexpr (sizeof(T) == 2) {
      const u32 both = static_cast<u32>(b) << 16 | a;
      u32 w = both >> n;
      if (n > 16) w |= static_cast<u32>(a) << (32 - n);
      r = static_cast<T>(w);
      cf = both >> (n - 1) & 1;
    } else {
      r = a >> n | b << (kBits<T> - n);
      cf = a >> (n - 1) & 1;
    }
    flags_result(c, r, cf, top(a) != static_cast<bool>(b & 1));
    return r;
  }
};
template <class Op>
struct Double {
  template <bool Cl, class C, class T, bool M>
  VT_INLINE static Next f(C& c, const Insn& i) {
    const unsigned n = static_cast<u8>(Cl ? c.r[1] : static_cast<u64>(i.imm)) & (sizeof(T) == 8 ? 63 : 31);
    const T b = c.template reg<T>(i.reg);
    if constexpr (M) {
      if (!c.template modify<T>(i, [&](T a) { return n ? Op::template op<T>(c, a, b, n) : a; })) return Next::fault;
    } else {
      T a = c.template reg<T>(i.rm);
      if (n) a = Op::template op<T>(c, a, b, n);
      c.template set_reg<T>(i.rm, a);
    }
    return Next::seq;
  }
  template <class C, class T, bool M> static Next cl(C& c, const Insn& i) { return f<true, C, T, M>(c, i); }
  template <class C, class T, bool M> static Next imm(C& c, const Insn& i) { return f<false, C, T, M>(c, i); }
};

using C = Cpu;
using enum Feature;

#define SHIFT_ROWS(name, Op, digit)                                         \
  {name, "C0 " digit " ib", "Eb,Ib", 0, always, VT_BMF(Shift<Op>::imm)},      \
  {name, "C1 " digit " ib", "Ev,Ib", 0, always, VT_TMF(Shift<Op>::imm)},      \
  {name, "D0 " digit, "Eb,1", 0, always, VT_BMF(Shift<Op>::one)},             \
  {name, "D1 " digit, "Ev,1", 0, always, VT_TMF(Shift<Op>::one)},             \
  {name, "D2 " digit, "Eb,CL", 0, always, VT_BMF(Shift<Op>::cl)},             \
  {name, "D3 " digit, "Ev,CL", 0, always, VT_TMF(Shift<Op>::cl)}

constexpr Def kRows[] = {
    SHIFT_ROWS("ROL", Rol, "/0"), SHIFT_ROWS("ROR", Ror, "/1"), SHIFT_ROWS("RCL", Rcl, "/2"), SHIFT_ROWS("RCR", Rcr, "/3"),
    SHIFT_ROWS("SHL", Shl, "/4"), SHIFT_ROWS("SHR", Shr, "/5"), SHIFT_ROWS("SHL", Shl, "/6"), SHIFT_ROWS("SAR", Sar, "/7"),
    {"SHLD", "0F A4 /r ib", "Ev,Gv,Ib", 0, always, VT_TMF(Double<Shld>::imm)},
    {"SHLD", "0F A5 /r", "Ev,Gv,CL", 0, always, VT_TMF(Double<Shld>::cl)},
    {"SHRD", "0F AC /r ib", "Ev,Gv,Ib", 0, always, VT_TMF(Double<Shrd>::imm)},
    {"SHRD", "0F AD /r", "Ev,Gv,CL", 0, always, VT_TMF(Double<Shrd>::cl)},
};
#undef SHIFT_ROWS

}  // namespace

std::span<const Def> shift_rows() { return kRows; }

}  // namespace vt::cpu
