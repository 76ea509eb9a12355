// SPDX-License-Identifier: GPL-2.0-or-later
/// SSE4.2 string instructions.   SDM 2B "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM"
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {

struct Strings {
  std::array<i32, 16> a, b;  ///< elements of the first and of the second operand
  unsigned n, la, lb;        ///< elements in a register, valid ones
};

template <class E>
void split(const V128& v, std::array<i32, 16>& to) {
  const auto x = lanes_of<E>(v);
  for (std::size_t k = 0; k < x.size(); ++k) to[k] = x[k];
}
void split(const V128& v, unsigned imm, std::array<i32, 16>& to) {
  switch (imm & 3) {
    case 0: return split<u8>(v, to);
    case 1: return split<u16>(v, to);
    case 2: return split<i8>(v, to);
    default: return split<i16>(v, to);
  }
}

/// IntRes1: one bit for each element of the second operand. Elements beyond a string's end are overridden as the
/// manual's table for the aggregation says.
u32 aggregate(const Strings& s, unsigned aggregation) {
  u32 result = 0;
  for (unsigned j = 0; j < s.n; ++j) {
    bool hit = false;
    switch (aggregation) {
      case 0:  // equal any
        for (unsigned k = 0; k < s.la && !hit; ++k) hit = s.a[k] == s.b[j];
        hit &= j < s.lb;
        break;
      case 1:  // ranges
        for (unsigned k = 0; k + 1 < s.la && !hit; k += 2) hit = s.a[k] <= s.b[j] && s.b[j] <= s.a[k + 1];
        hit &= j < s.lb;
        break;
      case 2:  // equal each
        hit = j < s.la && j < s.lb ? s.a[j] == s.b[j] : j >= s.la && j >= s.lb;
        break;
      default:  // equal ordered
        hit = true;
        for (unsigned k = 0; k < s.la && j + k < s.n && hit; ++k) hit = j + k < s.lb && s.a[k] == s.b[j + k];
    }
    result |= static_cast<u32>(hit) << j;
  }
  return result;
}

template <class C>
unsigned explicit_length(const C& c, const Insn& i, unsigned reg, unsigned n) {
  const i64 v = i.osz() == 2 ? static_cast<i64>(c.r[reg]) : static_cast<i32>(c.r[reg]);
  const u64 magnitude = v < 0 ? u64{0} - static_cast<u64>(v) : static_cast<u64>(v);
  return magnitude > n ? n : static_cast<unsigned>(magnitude);
}
unsigned implicit_length(const std::array<i32, 16>& x, unsigned n) {
  unsigned k = 0;
  while (k < n && x[k]) ++k;
  return k;
}

template <class C, bool M, class E, bool Explicit, bool Index>
Next pcmpstr(C& c, const Insn& i) {
  V128 b;
  if constexpr (M) { if (!c.load(i, b)) return Next::fault; }  // no alignment asked for
  else b = xmm(c, i.rm);
  const unsigned imm = static_cast<u8>(i.imm);
  Strings s;
  s.n = imm & 1 ? 8 : 16;
  split(xmm(c, i.reg), imm, s.a), split(b, imm, s.b);
  s.la = Explicit ? explicit_length(c, i, 0, s.n) : implicit_length(s.a, s.n);
  s.lb = Explicit ? explicit_length(c, i, 2, s.n) : implicit_length(s.b, s.n);
  const u32 all = (1u << s.n) - 1;
  u32 result = aggregate(s, imm >> 2 & 3);
  if (imm & 0x10) result ^= imm & 0x20 ? (1u << s.lb) - 1 : all;  // negative polarity; masked: valid elements only
  if constexpr (Index) {
    const unsigned none = s.n;
    const unsigned at = !result ? none : imm & 0x40 ? 31 - static_cast<unsigned>(std::countl_zero(result)) : static_cast<unsigned>(std::countr_zero(result));
    c.template set_reg<u32>(1, at);
  } else if (imm & 0x40) {
    std::array<u8, 16> mask;
    for (unsigned k = 0; k < 16; ++k) mask[k] = result >> (imm & 1 ? k / 2 : k) & 1 ? 0xff : 0;
    set_zeroed<E>(c, 0, mask);
  } else {
    set_zeroed<E>(c, 0, u64{result});
  }
  c.lf.set((result ? rflags::CF : 0) | (s.lb < s.n ? rflags::ZF : 0) | (s.la < s.n ? rflags::SF : 0) | (result & 1 ? rflags::OF : 0));
  return Next::seq;
}

using C = Cpu;
#define VT_STRING(name, op, ...) VT_2X(name, "66", 0F3A, op " /r ib", ",Ib", sse4_2, pcmpstr, __VA_ARGS__)
constexpr Def kRows[] = {
  VT_STRING("PCMPESTRM", "60", true, false),
  VT_STRING("PCMPESTRI", "61", true, true),
  VT_STRING("PCMPISTRM", "62", false, false),
  VT_STRING("PCMPISTRI", "63", false, true),
};

}  // namespace

std::span<const Def> sse_string_rows() { return kRows; }

}  // namespace vt::cpu
