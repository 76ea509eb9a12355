// SPDX-License-Identifier: GPL-2.0-or-later
/// MUL, IMUL, DIV, IDIV, AAM, AAD.   SDM 2A, 2B by the instructions' names
/// Undefined flags are what Intel's processors give: after multiplications SF and PF are those of the result's lower half, ZF and AF are
/// clear; divisions leave all flags alone. AAM and AAD clear CF, OF and AF.
#include "forms.hpp"

namespace vt::cpu {
namespace {

template <unsigned N> struct Wide;
template <> struct Wide<1> { using U = u16; using S = i16; };
template <> struct Wide<2> { using U = u32; using S = i32; };
template <> struct Wide<4> { using U = u64; using S = i64; };
template <> struct Wide<8> { using U = u128; using S = i128; };

/// ZF stays clear for a zero result: the result kept for PF and SF is never 0.
template <class T, class C>
VT_INLINE void flags_multiply(C& c, T low, bool overflow) {
  using S = std::make_signed_t<T>;
  i64 res = static_cast<S>(low);
  if (res == 0) res = 0x300;  // even parity, positive
  c.lf = {res, 0, overflow};  // OF = CF
}

template <class C, class T, bool M>
VT_INLINE bool source(C& c, const Insn& i, T& v) {
  if constexpr (M) return c.template load<T>(i, v);
  v = c.template reg<T>(i.rm);
  return true;
}

/// Product to AX, DX:AX, EDX:EAX or RDX:RAX.
template <class T, class C>
VT_INLINE void set_pair(C& c, T low, T high) {
  if constexpr (sizeof(T) == 1) {
    c.template set_reg<u16>(0, static_cast<u16>(high << 8 | low));
  } else {
    c.template set_reg<T>(0, low);
    c.template set_reg<T>(2, high);
  }
}

template <class C, class T, bool M>
Next mul(C& c, const Insn& i) {
  using U = typename Wide<sizeof(T)>::U;
  T b;
  if (!source<C, T, M>(c, i, b)) return Next::fault;
  const U p = static_cast<U>(static_cast<U>(c.template reg<T>(0)) * b);
  const T low = static_cast<T>(p), high = static_cast<T>(p >> (8 * sizeof(T)));
  set_pair<T>(c, low, high);
  flags_multiply<T>(c, low, high != 0);
  return Next::seq;
}

template <class T>
VT_INLINE typename Wide<sizeof(T)>::S signed_product(T a, T b) {
  using S = std::make_signed_t<T>;
  using W = typename Wide<sizeof(T)>::S;
  return static_cast<W>(static_cast<W>(static_cast<S>(a)) * static_cast<S>(b));
}
template <class T>
VT_INLINE bool fits(typename Wide<sizeof(T)>::S p) { return p == static_cast<std::make_signed_t<T>>(p); }

template <class C, class T, bool M>
Next imul1(C& c, const Insn& i) {
  T b;
  if (!source<C, T, M>(c, i, b)) return Next::fault;
  const auto p = signed_product<T>(c.template reg<T>(0), b);
  set_pair<T>(c, static_cast<T>(p), static_cast<T>(p >> (8 * sizeof(T))));
  flags_multiply<T>(c, static_cast<T>(p), !fits<T>(p));
  return Next::seq;
}
template <class C, class T, bool M>
Next imul2(C& c, const Insn& i) {
  T b;
  if (!source<C, T, M>(c, i, b)) return Next::fault;
  const auto p = signed_product<T>(c.template reg<T>(i.reg), b);
  c.template set_reg<T>(i.reg, static_cast<T>(p));
  flags_multiply<T>(c, static_cast<T>(p), !fits<T>(p));
  return Next::seq;
}
template <class C, class T, bool M>
Next imul3(C& c, const Insn& i) {
  T a;
  if (!source<C, T, M>(c, i, a)) return Next::fault;
  const auto p = signed_product<T>(a, static_cast<T>(i.imm));
  c.template set_reg<T>(i.reg, static_cast<T>(p));
  flags_multiply<T>(c, static_cast<T>(p), !fits<T>(p));
  return Next::seq;
}

template <class T, class C>
VT_INLINE void set_quotient(C& c, T quotient, T remainder) {
  if constexpr (sizeof(T) == 1) c.template set_reg<u16>(0, static_cast<u16>(remainder << 8 | quotient));
  else {
    c.template set_reg<T>(0, quotient);
    c.template set_reg<T>(2, remainder);
  }
}
template <class T, class C>
VT_INLINE typename Wide<sizeof(T)>::U dividend(C& c) {
  using U = typename Wide<sizeof(T)>::U;
  if constexpr (sizeof(T) == 1) return c.template reg<u16>(0);
  else return static_cast<U>(static_cast<U>(c.template reg<T>(2)) << (8 * sizeof(T)) | c.template reg<T>(0));
}

template <class C, class T, bool M>
Next div_unsigned(C& c, const Insn& i) {
  using U = typename Wide<sizeof(T)>::U;
  T d;
  if (!source<C, T, M>(c, i, d)) return Next::fault;
  const U n = dividend<T>(c);
  const T high = static_cast<T>(n >> (8 * sizeof(T)));
  if (high >= d) return c.raise(DE);  // by zero, or the quotient does not fit
  if (high == 0) {
    const T low = static_cast<T>(n);
    set_quotient<T>(c, static_cast<T>(low / d), static_cast<T>(low % d));
  } else {
    set_quotient<T>(c, static_cast<T>(n / d), static_cast<T>(n % d));
  }
  return Next::seq;
}

template <class C, class T, bool M>
Next div_signed(C& c, const Insn& i) {
  using U = typename Wide<sizeof(T)>::U;
  T d;
  if (!source<C, T, M>(c, i, d)) return Next::fault;
  if (d == 0) return c.raise(DE);
  constexpr T kSign = static_cast<T>(T{1} << (8 * sizeof(T) - 1));
  const U n = dividend<T>(c);
  const bool n_neg = n >> (16 * sizeof(T) - 1) & 1, d_neg = d & kSign;
  const U n_abs = n_neg ? static_cast<U>(0 - n) : n;
  const T d_abs = d_neg ? static_cast<T>(0 - d) : d;
  if (static_cast<T>(n_abs >> (8 * sizeof(T))) >= d_abs) return c.raise(DE);
  T q, rem;
  if (static_cast<T>(n_abs >> (8 * sizeof(T))) == 0) {
    q = static_cast<T>(static_cast<T>(n_abs) / d_abs), rem = static_cast<T>(static_cast<T>(n_abs) % d_abs);
  } else {
    q = static_cast<T>(n_abs / d_abs), rem = static_cast<T>(n_abs % d_abs);
  }
  const bool q_neg = n_neg != d_neg;
  if (q_neg ? q > kSign : q >= kSign) return c.raise(DE);
  set_quotient<T>(c, q_neg ? static_cast<T>(0 - q) : q, n_neg ? static_cast<T>(0 - rem) : rem);
  return Next::seq;
}

template <class C>
Next aam(C& c, const Insn& i) {
  const u8 base = static_cast<u8>(i.imm), al = c.template reg<u8>(0);
  if (base == 0) return c.raise(DE);
  const u8 low = al % base;
  c.template set_reg<u16>(0, static_cast<u16>((al / base) << 8 | low));
  c.template flags_logic<u8>(low);
  return Next::seq;
}
template <class C>
Next aad(C& c, const Insn& i) {
  const u16 ax = c.template reg<u16>(0);
  const u8 low = static_cast<u8>(ax + (ax >> 8) * static_cast<u8>(i.imm));
  c.template set_reg<u16>(0, low);
  c.template flags_logic<u8>(low);
  return Next::seq;
}

using C = Cpu;
using enum Feature;
using attr::no64;

constexpr Def kRows[] = {
    {"MUL", "F6 /4", "Eb", 0, always, VT_BMF(mul)},
    {"MUL", "F7 /4", "Ev", 0, always, VT_TMF(mul)},
    {"IMUL", "F6 /5", "Eb", 0, always, VT_BMF(imul1)},
    {"IMUL", "F7 /5", "Ev", 0, always, VT_TMF(imul1)},
    {"IMUL", "0F AF /r", "Gv,Ev", 0, always, VT_TMF(imul2)},
    {"IMUL", "69 /r iz", "Gv,Ev,Iz", 0, always, VT_TMF(imul3)},
    {"IMUL", "6B /r ib", "Gv,Ev,Ib", 0, always, VT_TMF(imul3)},
    {"DIV", "F6 /6", "Eb", 0, always, VT_BMF(div_unsigned)},
    {"DIV", "F7 /6", "Ev", 0, always, VT_TMF(div_unsigned)},
    {"IDIV", "F6 /7", "Eb", 0, always, VT_BMF(div_signed)},
    {"IDIV", "F7 /7", "Ev", 0, always, VT_TMF(div_signed)},
    {"AAM", "D4 ib", "Ib", no64, always, VT_1(aam)},
    {"AAD", "D5 ib", "Ib", no64, always, VT_1(aad)},
};

}  // namespace

std::span<const Def> muldiv_rows() { return kRows; }

}  // namespace vt::cpu
