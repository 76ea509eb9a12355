// SPDX-License-Identifier: GPL-2.0-or-later
/// IEEE 754 arithmetic in integers: the one core of x87 (80 bits, precision control) and SSE (32, 64 bits). No host
/// floating point, so results and flags are the same on every host.
/// SDM 1 "Overview of Floating-Point Exceptions", "Operating on NaNs", "Rounding"
///
/// Operands are unpacked to Num, an operation gives an Exact value, `round` makes a Num of a format of it.
#pragma once
#include "base/bits.hpp"
#include "cpu/state.hpp"

namespace vt::cpu::sf {

/// Flag and mask bits, as in FSW, FCW and MXCSR (shifted). The first three are found before the operation.
inline constexpr u8 IE = 1, DE = 2, ZE = 4, OE = 8, UE = 0x10, PE = 0x20, kBefore = 7, kAll = 0x3f;

enum class Round : u8 { nearest, down, up, zero };

struct Format {
  unsigned precision;  ///< significand bits, the leading one counted
  i32 emin, emax;      ///< exponents of normal numbers
  friend bool operator==(const Format&, const Format&) = default;
};
inline constexpr Format kF16{11, -14, 15}, kF32{24, -126, 127}, kF64{53, -1022, 1023}, kF80{64, -16382, 16383};

/// Control of one operation, and the flags it raises.
struct Env {
  Round rc = Round::nearest;
  u8 masks = kAll;
  bool daz = false, ftz = false;
  bool x87 = false;          ///< its rules for two NaNs, and wrapped exponents for unmasked overflow and underflow
  unsigned precision = 64;   ///< x87 precision control of the basic operations: 24, 53, 64
  u8 flags = 0;
  bool rounded_up = false;   ///< away from zero: C1
  bool unmasked_before() const { return flags & kBefore & ~masks; }
  bool unmasked() const { return flags & ~masks; }
  /// The format of results of the basic x87 operations.
  Format f80() const { return {precision, kF80.emin, kF80.emax}; }
};

enum class Kind : u8 { zero, finite, inf, qnan, snan, unsupported };

/// An operand or a result: value = sig * 2^(exp - 63); sig has bit 63 set, except in a denormal *result* (exp == emin).
/// NaN: sig is the significand, left-aligned, bit 62 the quiet bit.
struct Num {
  Kind kind = Kind::zero;
  bool sign = false;
  bool denormal = false;     ///< the operand's encoding was denormal
  i32 exp = 0;
  u64 sig = 0;
  bool nan() const { return kind >= Kind::qnan; }
};
inline constexpr Num kDefaultNan{Kind::qnan, true, false, 0, 0xc000000000000000};

/// value = sig * 2^(exp - 127), bit 127 set, bit 0 or'ed with all that was lost below. sig == 0: zero.
struct Exact {
  bool sign = false;
  i32 exp = 0;
  u128 sig = 0;
};
Exact normalize(bool sign, i32 exp, u128 sig);  ///< shifts bit 127 up
u128 shift_right_jam(u128 v, unsigned n);
inline Exact exact(const Num& a) { return {a.sign, a.exp, static_cast<u128>(a.sig) << 64}; }

/// Encodings. `unpack` applies DAZ (SSE); FLD and friends have none.
Num unpack(u16 v);
Num unpack(u32 v, bool daz = false);
Num unpack(u64 v, bool daz = false);
Num unpack(const X87Reg& v);
u16 pack16(const Num& a);
u32 pack32(const Num& a);
u64 pack64(const Num& a);
X87Reg pack80(const Num& a);
inline void pack(const Num& a, u16& v) { v = pack16(a); }
inline void pack(const Num& a, u32& v) { v = pack32(a); }
inline void pack(const Num& a, u64& v) { v = pack64(a); }
inline void pack(const Num& a, X87Reg& v) { v = pack80(a); }

/// Rounds to the format, with overflow, underflow and precision exceptions.
Num round(Env& e, const Exact& x, const Format& f);
Num invalid(Env& e);
Num quiet(Num a);
/// One or two operands, at least one a NaN (or unsupported).
Num propagate(Env& e, const Num& a, const Num& b);
Num propagate(Env& e, const Num& a);

Num add(Env& e, const Num& a, const Num& b, const Format& f);
Num sub(Env& e, const Num& a, Num b, const Format& f);
Num mul(Env& e, const Num& a, const Num& b, const Format& f);
/// a * b + c (the product negated where asked for) with one rounding; for formats of up to 53 bits. A NaN among them is passed on
/// in the order a, b, c.
Num fused_multiply_add(Env& e, const Num& a, const Num& b, const Num& c, bool negate_product, const Format& f);
Num div(Env& e, const Num& a, const Num& b, const Format& f);
Num sqrt(Env& e, const Num& a, const Format& f);
/// To another format. `denormals`: the operand may raise DE (not when an x87 register is stored).
Num convert(Env& e, const Num& a, const Format& f, bool denormals = true);
/// Rounds to an integral value; `inexact`: PE is reported.
Num round_to_integral(Env& e, const Num& a, Round rc, bool inexact = true);

enum class Order : u8 { less, equal, greater, unordered };
/// `quiet_nans`: only signalling NaNs raise IE.
Order compare(Env& e, const Num& a, const Num& b, bool quiet_nans);

/// To a signed integer of `bits`; out of range and NaN: IE and the integer indefinite.
i64 to_int(Env& e, const Num& a, unsigned bits, Round rc);
Num from_int(i64 v);

/// Quotients of more than 64 bits: floor(a * 2^64 / b) for a < b, and whether it is exact.
u64 divide_step(u64& remainder, u64 b);
u64 isqrt(u128 n, u128& remainder);

}  // namespace vt::cpu::sf
