// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/softfloat.hpp"

#include <bit>

namespace vt::cpu::sf {
namespace {

constexpr u64 kTop = u64{1} << 63;
constexpr i32 kWrap = 24576;  // 3 * 2^13: exponent adjustment of unmasked overflow and underflow, extended format

unsigned leading_zeros(u128 v) {
  const u64 high = static_cast<u64>(v >> 64);
  return static_cast<unsigned>(high ? std::countl_zero(high) : 64 + std::countl_zero(static_cast<u64>(v)));
}

/// Whether a value with `rest` below its last kept bit has to be incremented; `half` is half a unit.
bool increment(Round rc, bool sign, bool odd, u128 rest, u128 half) {
  if (!rest) return false;
  switch (rc) {
    case Round::nearest: return rest > half || (rest == half && odd);
    case Round::down: return sign;
    case Round::up: return !sign;
    case Round::zero: return false;
  }
  return false;
}

template <class T>
Num unpack_ieee(T v, unsigned fraction_bits, i32 bias, bool daz) {
  Num a;
  const unsigned width = 8 * sizeof(T);
  a.sign = v >> (width - 1) & 1;
  const u64 fraction = v & ((T{1} << fraction_bits) - 1);
  const i32 e = static_cast<i32>((v >> fraction_bits) & ((T{1} << (width - 1 - fraction_bits)) - 1));
  const i32 top = (1 << (width - 1 - fraction_bits)) - 1;
  a.sig = fraction << (63 - fraction_bits);
  if (e == top) {
    a.sig |= kTop;
    a.kind = fraction == 0 ? Kind::inf : fraction >> (fraction_bits - 1) ? Kind::qnan : Kind::snan;
  } else if (e == 0) {
    if (fraction == 0 || daz) return a.sig = 0, a;
    a.kind = Kind::finite, a.denormal = true;
    const int n = std::countl_zero(a.sig);
    a.sig <<= n, a.exp = 1 - bias - n;
  } else {
    a.kind = Kind::finite, a.exp = e - bias, a.sig |= kTop;
  }
  return a;
}

template <class T>
T pack_ieee(const Num& a, unsigned fraction_bits, i32 bias) {
  const unsigned width = 8 * sizeof(T);
  const T sign = static_cast<T>(static_cast<T>(a.sign) << (width - 1));
  const T top = static_cast<T>((T{1} << (width - 1 - fraction_bits)) - 1);
  const T fraction = static_cast<T>((a.sig & ~kTop) >> (63 - fraction_bits));
  switch (a.kind) {
    case Kind::zero: return sign;
    case Kind::inf: return static_cast<T>(sign | top << fraction_bits);
    case Kind::finite: return static_cast<T>(sign | (a.sig & kTop ? static_cast<T>(a.exp + bias) << fraction_bits : 0) | fraction);
    default: return static_cast<T>(sign | top << fraction_bits | fraction);
  }
}

}  // namespace

u128 shift_right_jam(u128 v, unsigned n) {
  if (n == 0) return v;
  if (n > 127) return v != 0;
  return (v >> n) | ((v << (128 - n)) != 0);
}

Exact normalize(bool sign, i32 exp, u128 sig) {
  if (!sig) return {sign, 0, 0};
  const unsigned n = leading_zeros(sig);
  return {sign, exp - static_cast<i32>(n), sig << n};
}

Num unpack(u16 v) { return unpack_ieee(v, 10, 15, false); }
Num unpack(u32 v, bool daz) { return unpack_ieee(v, 23, 127, daz); }
Num unpack(u64 v, bool daz) { return unpack_ieee(v, 52, 1023, daz); }
u16 pack16(const Num& a) { return pack_ieee<u16>(a, 10, 15); }
u32 pack32(const Num& a) { return pack_ieee<u32>(a, 23, 127); }
u64 pack64(const Num& a) { return pack_ieee<u64>(a, 52, 1023); }

// Unnormals, pseudo-infinities and pseudo-NaNs are unsupported; pseudo-denormals are denormal numbers.
// SDM 1 "Unsupported Double Extended-Precision Floating-Point Encodings and Pseudo-Denormals"
Num unpack(const X87Reg& v) {
  Num a;
  a.sign = v.se >> 15;
  a.sig = v.m;
  const i32 e = v.se & 0x7fff;
  if (e == 0) {
    if (v.m == 0) return a;
    const int n = std::countl_zero(v.m);
    a.kind = Kind::finite, a.denormal = true, a.sig <<= n, a.exp = kF80.emin - n;
  } else if (!(v.m & kTop)) {
    a.kind = Kind::unsupported;
  } else if (e == 0x7fff) {
    a.kind = v.m == kTop ? Kind::inf : v.m & (kTop >> 1) ? Kind::qnan : Kind::snan;
  } else {
    a.kind = Kind::finite, a.exp = e - 16383;
  }
  return a;
}
X87Reg pack80(const Num& a) {
  const u16 sign = static_cast<u16>(a.sign << 15);
  switch (a.kind) {
    case Kind::zero: return {0, sign};
    case Kind::inf: return {kTop, static_cast<u16>(sign | 0x7fff)};
    case Kind::finite: return {a.sig, static_cast<u16>(sign | (a.sig & kTop ? (a.exp + 16383) & 0x7fff : 0))};
    default: return {a.sig, static_cast<u16>(sign | 0x7fff)};
  }
}

// Tininess is detected after rounding. Masked underflow is reported when the result is tiny and inexact, unmasked
// underflow when it is tiny.   SDM 1 "Numeric Underflow Exception (#U)", "Numeric Overflow Exception (#O)"
Num round(Env& e, const Exact& x, const Format& f) {
  if (!x.sig) return {Kind::zero, x.sign};
  const unsigned shift = 128 - f.precision;
  auto rounded = [&](u128 sig, bool& inexact, bool& up) {  // the kept bits, not yet renormalised
    const u128 kept = sig >> shift, rest = sig & ((u128{1} << shift) - 1);
    inexact = rest != 0;
    up = increment(e.rc, x.sign, kept & 1, rest, u128{1} << (shift - 1));
    return kept + up;
  };
  bool inexact, up;
  u128 kept = rounded(x.sig, inexact, up);
  i32 exp = x.exp;
  if (kept >> f.precision) kept >>= 1, ++exp;
  auto number = [&] { return Num{Kind::finite, x.sign, false, exp, static_cast<u64>(kept << (64 - f.precision))}; };

  if (exp < f.emin) {
    if (!(e.masks & UE)) {
      e.flags |= UE;
      if (inexact) e.flags |= PE, e.rounded_up = up;
      exp += kWrap;
      return number();
    }
    if (e.ftz) {
      e.flags |= UE | PE;
      return {Kind::zero, x.sign};
    }
    kept = rounded(shift_right_jam(x.sig, static_cast<unsigned>(std::min(f.emin - x.exp, 200))), inexact, up);
    exp = f.emin;
    if (inexact) e.flags |= UE | PE, e.rounded_up = up;
    if (!kept) return {Kind::zero, x.sign};
    return number();
  }
  if (exp > f.emax) {
    e.flags |= OE;
    if (!(e.masks & OE)) {
      if (inexact) e.flags |= PE, e.rounded_up = up;
      exp -= kWrap;
      return number();
    }
    e.flags |= PE;
    const bool to_inf = e.rc == Round::nearest || e.rc == (x.sign ? Round::down : Round::up);
    e.rounded_up = to_inf;
    if (to_inf) return {Kind::inf, x.sign};
    return {Kind::finite, x.sign, false, f.emax, ~u64{0} << (64 - f.precision)};
  }
  if (inexact) e.flags |= PE, e.rounded_up = up;
  return number();
}

Num invalid(Env& e) {
  e.flags |= IE;
  return kDefaultNan;
}
Num quiet(Num a) {
  a.kind = Kind::qnan, a.sig |= kTop >> 1;
  return a;
}
Num propagate(Env& e, const Num& a) {
  if (a.kind == Kind::unsupported) return invalid(e);
  if (a.kind == Kind::snan) e.flags |= IE;
  return quiet(a);
}
// SDM 1 "Operating on SNaNs and QNaNs", table "Rules for Handling NaNs"
Num propagate(Env& e, const Num& a, const Num& b) {
  if (a.kind == Kind::unsupported || b.kind == Kind::unsupported) return invalid(e);
  if (a.kind == Kind::snan || b.kind == Kind::snan) e.flags |= IE;
  if (!a.nan()) return quiet(b);
  if (!b.nan() || !e.x87) return quiet(a);
  if (a.kind != b.kind) return a.kind == Kind::qnan ? a : b;
  if (a.sig != b.sig) return quiet(a.sig > b.sig ? a : b);
  return quiet(a.sign ? b : a);
}

Num add(Env& e, const Num& a, const Num& b, const Format& f) {
  if (a.nan() || b.nan()) return propagate(e, a, b);
  if (a.kind == Kind::inf && b.kind == Kind::inf && a.sign != b.sign) return invalid(e);
  if (a.denormal || b.denormal) e.flags |= DE;
  if (a.kind == Kind::inf) return a;
  if (b.kind == Kind::inf) return b;
  const bool zero_sign = e.rc == Round::down;
  if (a.kind == Kind::zero && b.kind == Kind::zero) return {Kind::zero, a.sign == b.sign ? a.sign : zero_sign};
  if (a.kind == Kind::zero) return round(e, exact(b), f);
  if (b.kind == Kind::zero) return round(e, exact(a), f);
  const bool swap = a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig);
  const Num &x = swap ? b : a, &y = swap ? a : b;
  // One bit is left free for the carry; what y loses is at least 62 bits below the last kept one.
  const u128 big = static_cast<u128>(x.sig) << 63;
  const u128 small = shift_right_jam(static_cast<u128>(y.sig) << 63, static_cast<unsigned>(std::min(x.exp - y.exp, 200)));
  const u128 sum = x.sign == y.sign ? big + small : big - small;
  if (!sum) return {Kind::zero, zero_sign};
  return round(e, normalize(x.sign, x.exp + 1, sum), f);
}
Num sub(Env& e, const Num& a, Num b, const Format& f) {
  if (!b.nan()) b.sign = !b.sign;
  return add(e, a, b, f);
}

Num mul(Env& e, const Num& a, const Num& b, const Format& f) {
  if (a.nan() || b.nan()) return propagate(e, a, b);
  const bool sign = a.sign != b.sign;
  const bool any_inf = a.kind == Kind::inf || b.kind == Kind::inf, any_zero = a.kind == Kind::zero || b.kind == Kind::zero;
  if (any_inf && any_zero) return invalid(e);
  if (a.denormal || b.denormal) e.flags |= DE;
  if (any_inf) return {Kind::inf, sign};
  if (any_zero) return {Kind::zero, sign};
  return round(e, normalize(sign, a.exp + b.exp + 1, static_cast<u128>(a.sig) * b.sig), f);
}

// Significands of at most 53 bits: the product's 106 leave room in 128 for the carry, and for guard bits where the smaller addend
// has to be cut short, which happens only when its distance keeps cancellation to one bit.
Num fused_multiply_add(Env& e, const Num& a, const Num& b, const Num& c, bool negate_product, const Format& f) {
  const bool sign = (a.sign != b.sign) != negate_product;
  const bool any_inf = a.kind == Kind::inf || b.kind == Kind::inf, any_zero = a.kind == Kind::zero || b.kind == Kind::zero;
  if (a.nan() || b.nan() || c.nan()) {
    for (const Num* n : {&a, &b, &c}) if (n->kind == Kind::snan) e.flags |= IE;
    return quiet(a.nan() ? a : b.nan() ? b : c);
  }
  if (any_inf && any_zero) return invalid(e);
  if (any_inf && c.kind == Kind::inf && c.sign != sign) return invalid(e);
  if (a.denormal || b.denormal || c.denormal) e.flags |= DE;
  if (any_inf) return {Kind::inf, sign};
  if (c.kind == Kind::inf) return c;
  const bool zero_sign = e.rc == Round::down;
  if (any_zero) {
    if (c.kind == Kind::zero) return {Kind::zero, sign == c.sign ? sign : zero_sign};
    return round(e, exact(c), f);
  }
  const Exact product = normalize(sign, a.exp + b.exp + 1, static_cast<u128>(a.sig) * b.sig);
  if (c.kind == Kind::zero) return round(e, product, f);
  const Exact addend = exact(c);
  const bool swap = product.exp < addend.exp || (product.exp == addend.exp && product.sig < addend.sig);
  const Exact &x = swap ? addend : product, &y = swap ? product : addend;
  const u128 big = x.sig >> 1, small = shift_right_jam(y.sig >> 1, static_cast<unsigned>(std::min(x.exp - y.exp, 200)));
  const u128 sum = x.sign == y.sign ? big + small : big - small;
  if (!sum) return {Kind::zero, zero_sign};
  return round(e, normalize(x.sign, x.exp + 1, sum), f);
}

u64 divide_step(u64& remainder, u64 b) {
  const u128 n = static_cast<u128>(remainder) << 64;
  remainder = static_cast<u64>(n % b);
  return static_cast<u64>(n / b);
}

Num div(Env& e, const Num& a, const Num& b, const Format& f) {
  if (a.nan() || b.nan()) return propagate(e, a, b);
  const bool sign = a.sign != b.sign;
  if ((a.kind == Kind::inf && b.kind == Kind::inf) || (a.kind == Kind::zero && b.kind == Kind::zero)) return invalid(e);
  if (b.kind == Kind::zero && a.kind == Kind::finite) {
    e.flags |= ZE;
    return {Kind::inf, sign};
  }
  if (a.denormal || b.denormal) e.flags |= DE;
  if (a.kind == Kind::inf) return {Kind::inf, sign};
  if (a.kind == Kind::zero || b.kind == Kind::inf) return {Kind::zero, sign};
  const bool carry = a.sig >= b.sig;
  u64 remainder = carry ? a.sig - b.sig : a.sig;
  const u64 q1 = divide_step(remainder, b.sig);
  u64 rest = remainder;
  const u64 q2 = divide_step(rest, b.sig);
  u128 q = static_cast<u128>(q1) << 64 | q2;
  // a/b = carry + q/2^128: the leading one is the carry or, as then a/b > 1/2, bit 127.
  if (carry) q = (q >> 1) | (q & 1) | u128{1} << 127;
  q |= rest != 0;
  return round(e, {sign, a.exp - b.exp - (carry ? 0 : 1), q}, f);
}

u64 isqrt(u128 n, u128& remainder) {
  u128 root = 0, rest = 0;
  for (int k = 0; k < 64; ++k) {  // two bits of n, one of the root at a time
    rest = rest << 2 | (n >> 126);
    n <<= 2;
    const u128 trial = root << 2 | 1;
    root <<= 1;
    if (rest >= trial) rest -= trial, root |= 1;
  }
  remainder = rest;
  return static_cast<u64>(root);
}

Num sqrt(Env& e, const Num& a, const Format& f) {
  if (a.nan()) return propagate(e, a);
  if (a.kind == Kind::zero) return a;
  if (a.sign) return invalid(e);
  if (a.denormal) e.flags |= DE;
  if (a.kind == Kind::inf) return a;
  const bool odd = a.exp & 1;
  u128 rest;
  const u64 root = isqrt(static_cast<u128>(a.sig) << (odd ? 64 : 63), rest);
  // The fraction below the root: more than one half exactly when the remainder exceeds the root; never equal.
  const u128 sig = static_cast<u128>(root) << 64 | (rest > root ? kTop : 0) | (rest != 0);
  return round(e, {false, (a.exp - odd) / 2, sig}, f);
}

Num convert(Env& e, const Num& a, const Format& f, bool denormals) {
  if (a.nan()) return propagate(e, a);
  if (a.denormal && denormals) e.flags |= DE;
  if (a.kind != Kind::finite) return a;
  return round(e, exact(a), f);
}

Num round_to_integral(Env& e, const Num& a, Round rc, bool inexact) {
  if (a.nan()) return propagate(e, a);
  if (a.kind != Kind::finite || a.exp >= 63) return a;
  const u128 v = shift_right_jam(static_cast<u128>(a.sig) << 64, static_cast<unsigned>(std::min(63 - a.exp, 200)));
  const u64 rest = static_cast<u64>(v);
  u64 whole = static_cast<u64>(v >> 64);
  const bool up = increment(rc, a.sign, whole & 1, rest, kTop);
  if (rest && inexact) e.flags |= PE, e.rounded_up = up;
  whole += up;
  if (!whole) return {Kind::zero, a.sign};
  const int n = std::countl_zero(whole);
  return {Kind::finite, a.sign, false, 63 - n, whole << n};
}

Order compare(Env& e, const Num& a, const Num& b, bool quiet_nans) {
  if (a.nan() || b.nan()) {
    if (!quiet_nans || a.kind >= Kind::snan || b.kind >= Kind::snan) e.flags |= IE;
    return Order::unordered;
  }
  if (a.denormal || b.denormal) e.flags |= DE;
  if (a.kind == Kind::zero && b.kind == Kind::zero) return Order::equal;
  auto magnitude = [](const Num& x) { return x.kind == Kind::zero ? -100000 : x.kind == Kind::inf ? 100000 : x.exp; };
  int less = 0;  // of the magnitudes
  if (magnitude(a) != magnitude(b)) less = magnitude(a) < magnitude(b) ? 1 : -1;
  else if (a.kind == Kind::finite && a.sig != b.sig) less = a.sig < b.sig ? 1 : -1;
  if (a.sign != b.sign) return a.sign ? Order::less : Order::greater;
  if (!less) return Order::equal;
  return (less > 0) != a.sign ? Order::less : Order::greater;
}

i64 to_int(Env& e, const Num& a, unsigned bits, Round rc) {
  const i64 indefinite = static_cast<i64>(~u64{0} << (bits - 1));
  if (a.kind == Kind::zero) return 0;
  if (a.kind != Kind::finite || a.exp > 63) return e.flags |= IE, indefinite;
  const u128 v = shift_right_jam(static_cast<u128>(a.sig) << 64, static_cast<unsigned>(std::min(63 - a.exp, 200)));
  const u64 rest = static_cast<u64>(v);
  const bool up = increment(rc, a.sign, static_cast<u64>(v >> 64) & 1, rest, kTop);
  const u128 whole = (v >> 64) + up;
  const u128 limit = u128{1} << (bits - 1);
  if (whole > limit || (whole == limit && !a.sign)) return e.flags |= IE, indefinite;
  if (rest) e.flags |= PE, e.rounded_up = up;
  return static_cast<i64>(a.sign ? u64{0} - static_cast<u64>(whole) : static_cast<u64>(whole));
}

Num from_int(i64 v) {
  if (!v) return {};
  const u64 m = v < 0 ? u64{0} - static_cast<u64>(v) : static_cast<u64>(v);
  const int n = std::countl_zero(m);
  return {Kind::finite, v < 0, false, 63 - n, m << n};
}

}  // namespace vt::cpu::sf
