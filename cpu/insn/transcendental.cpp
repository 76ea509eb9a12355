// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/transcendental.hpp"

#include <bit>

namespace vt::cpu::sf {
namespace {

constexpr u128 wide(u64 high, u64 low) { return static_cast<u128>(high) << 64 | low; }
constexpr Exact kOne{false, 0, u128{1} << 127};
constexpr Exact kPi{false, 1, wide(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1)};
constexpr Exact kLn2{false, -1, wide(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af)};
constexpr Exact kLog2e{false, 0, wide(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88)};
constexpr Exact kAtanEighths[9] = {  // atan(k/8)
  {},
  {false, -4, wide(0xfeadd4d5617b6e32, 0xc897989f3e888ef7)},
  {false, -3, wide(0xfadbafc96406eb15, 0x6dc79ef5f7a217e5)},
  {false, -2, wide(0xb7b0ca0f26f78473, 0x8aa32122dcfe4483)},
  {false, -2, wide(0xed63382b0dda7b45, 0x6fe445ecbc3a8d03)},
  {false, -1, wide(0x8f005d5ef7f59f9b, 0x5c835e1665c43747)},
  {false, -1, wide(0xa4bc7d1934f70924, 0x19a87f2a457dac9e)},
  {false, -1, wide(0xb8053e2bc2319e73, 0xcb2da55210a4443d)},
  {false, -1, wide(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1)},
};

Exact negated(Exact a) { return a.sign = !a.sign, a; }
Exact magnitude(Exact a) { return a.sign = false, a; }
/// Marks a result as inexact.
Exact sticky(Exact a) { return a.sig |= 1, a; }

Exact multiply(const Exact& a, const Exact& b) {
  if (!a.sig || !b.sig) return {a.sign != b.sign, 0, 0};
  const u64 ah = static_cast<u64>(a.sig >> 64), al = static_cast<u64>(a.sig), bh = static_cast<u64>(b.sig >> 64), bl = static_cast<u64>(b.sig);
  const u128 low = static_cast<u128>(al) * bl, m1 = static_cast<u128>(ah) * bl, m2 = static_cast<u128>(al) * bh;
  const u128 middle = (low >> 64) + static_cast<u64>(m1) + static_cast<u64>(m2);
  const u128 high = static_cast<u128>(ah) * bh + (m1 >> 64) + (m2 >> 64) + (middle >> 64);
  return normalize(a.sign != b.sign, a.exp + b.exp + 1, high);
}
Exact plus(const Exact& a, const Exact& b) {
  if (!a.sig) return b;
  if (!b.sig) return a;
  const bool swap = a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig);
  const Exact &x = swap ? b : a, &y = swap ? a : b;
  const u128 big = x.sig >> 1, small = shift_right_jam(y.sig, static_cast<unsigned>(std::min(x.exp - y.exp + 1, 200)));
  return normalize(x.sign, x.exp + 1, x.sign == y.sign ? big + small : big - small);
}
Exact minus(const Exact& a, const Exact& b) { return plus(a, negated(b)); }
Exact divide(const Exact& a, const Exact& b) {  // long division, 128 quotient bits
  if (!a.sig) return a;
  u128 rest = a.sig, q = 0;
  bool carry = false;  // of `rest`, which may need 129 bits
  for (int k = 0; k < 128; ++k) {
    q <<= 1;
    if (carry || rest >= b.sig) rest -= b.sig, q |= 1;
    carry = rest >> 127;
    rest <<= 1;
  }
  return normalize(a.sign != b.sign, a.exp - b.exp, q | (rest != 0));
}
Exact over(const Exact& a, u64 n) {  // by a small integer
  if (!a.sig) return a;
  const unsigned room = static_cast<unsigned>(64 - std::countl_zero(n));
  const u128 q = a.sig / n, rest = a.sig % n;
  const Exact high = normalize(a.sign, a.exp, q);
  const Exact low = normalize(a.sign, a.exp - static_cast<i32>(room), (rest << room) / n);
  return plus(high, low);
}
Exact integer(i64 v) { return exact(from_int(v)); }

bool below(const Exact& a, const Exact& b) { return a.exp != b.exp ? a.exp < b.exp : a.sig < b.sig; }  // positive ones

/// 1 - z/(first (first+1)) (1 - z/((first+2)(first+3)) (1 - ...)): sin(r)/r with first = 2, cos(r) with first = 1.
Exact alternating(const Exact& z, u64 first) {
  Exact s = kOne;
  for (u64 k = 14; k-- > 0;) {
    const u64 n = first + 2 * k;
    s = minus(kOne, over(multiply(z, s), n * (n + 1)));
  }
  return s;
}

/// 1/1 + z/3 + z^2/5 + ...: atanh(s)/s with z = s^2, atan(s)/s with z = -s^2.
Exact odd_reciprocals(const Exact& z, u64 terms) {
  Exact s = over(kOne, 2 * terms + 1);
  for (u64 k = terms; k-- > 0;) s = plus(multiply(s, z), over(kOne, 2 * k + 1));
  return s;
}

/// log2((1 + s) / (1 - s)) for small s.
Exact log2_of_ratio(const Exact& s) {
  Exact v = multiply(multiply(s, odd_reciprocals(multiply(s, s), 26)), kLog2e);
  ++v.exp;
  return v;
}

/// log2 of a positive number; exact for powers of two.
Exact log2(const Exact& x) {
  i32 e = x.exp;
  Exact m = x;
  m.exp = 0;
  constexpr u128 kRoot2 = wide(0xb504f333f9de6484, 0x597d89b3754abe9f);
  if (m.sig == kOne.sig) return integer(e);
  if (m.sig > kRoot2) --m.exp, ++e;
  return sticky(plus(integer(e), log2_of_ratio(divide(minus(m, kOne), plus(m, kOne)))));
}

}  // namespace

Exact pi_quarters(bool sign, unsigned n) {
  Exact v = multiply(kPi, integer(static_cast<i64>(n)));
  v.exp -= 2, v.sign = sign;
  return sticky(v);
}

SinCos sin_cos(const Exact& x) {
  constexpr u128 kHalfPi = wide(0xc, 0x90fdaa22168c234c);  // pi/2 in units of 2^-67
  Exact r = magnitude(x);
  unsigned quadrant = 0;
  if (x.exp >= -1) {
    // |x| is an integer number of the same units: its remainder is exact, and never zero.
    const u64 sig = static_cast<u64>(x.sig >> 64);
    u128 rest = 0;
    for (i32 k = 0; k < 64 + x.exp + 4; ++k) {
      rest = rest << 1 | (k < 64 ? sig >> (63 - k) & 1 : 0);
      quadrant <<= 1;
      if (rest >= kHalfPi) rest -= kHalfPi, quadrant |= 1;
    }
    bool negative = false;
    if (2 * rest > kHalfPi) rest = kHalfPi - rest, negative = true, ++quadrant;
    r = normalize(negative, 127 - 67, rest);
  }
  const Exact z = multiply(r, r);
  Exact s = sticky(multiply(r, alternating(z, 2))), c = sticky(alternating(z, 1));
  SinCos v;
  switch (quadrant & 3) {
    case 0: v = {s, c}; break;
    case 1: v = {c, negated(s)}; break;
    case 2: v = {negated(s), negated(c)}; break;
    default: v = {negated(c), s};
  }
  if (x.sign) v.sin = negated(v.sin);
  return v;
}

Exact tangent(const SinCos& v) {
  return sticky(divide(v.sin, v.cos));
}

Exact arctangent(const Exact& y, const Exact& x) {
  const Exact ay = magnitude(y), ax = magnitude(x);
  const bool steep = below(ax, ay);
  const Exact t = steep ? divide(ax, ay) : divide(ay, ax);
  // t in (0, 1]: atan(t) = atan(k/8) + atan((t - k/8) / (1 + t k/8)), k the nearest.
  unsigned k = 0;
  if (t.exp >= -4) k = static_cast<unsigned>((t.sig >> (123 - t.exp)) + 1) / 2;
  Exact u = t;
  if (k) {
    Exact eighths = integer(static_cast<i64>(k));
    eighths.exp -= 3;
    u = divide(minus(t, eighths), plus(kOne, multiply(t, eighths)));
  }
  Exact v = multiply(u, odd_reciprocals(negated(multiply(u, u)), 18));
  v = plus(kAtanEighths[k], v);
  if (steep) v = minus(pi_quarters(false, 2), v);
  if (x.sign) v = minus(kPi, v);
  v.sign = y.sign;
  return sticky(v);
}

Exact exp2_minus_1(const Exact& x) {
  if (x.exp == 0) return x.sign ? Exact{true, -1, kOne.sig} : kOne;  // -1/2, 1
  const Exact y = multiply(x, kLn2);
  Exact s = kOne;  // (e^y - 1) / y = 1 + y/2 (1 + y/3 (1 + ...))
  for (u64 k = 34; k >= 2; --k) s = plus(kOne, over(multiply(y, s), k));
  return sticky(multiply(y, s));
}

Exact y_log2(const Exact& y, const Exact& x) {
  const Exact l = log2(x);
  const Exact v = multiply(y, l);
  return x.sig == kOne.sig ? v : sticky(v);
}

Exact y_log2_plus_1(const Exact& y, const Exact& x) {
  // Near zero the sum would lose x: log2(1 + x) is the logarithm of a ratio with s = x / (x + 2).
  const Exact l = x.exp < -2 ? log2_of_ratio(divide(x, plus(x, integer(2)))) : log2(plus(kOne, x));
  return sticky(multiply(y, l));
}

}  // namespace vt::cpu::sf
