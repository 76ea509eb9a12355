// SPDX-License-Identifier: GPL-2.0-or-later
/// Elementary functions for the x87, in 128-bit integer arithmetic: about 120 good bits before the one rounding, so the
/// error is that of the rounding but for cases too close to call.   SDM 1 "Transcendental Instruction Accuracy"
/// All take finite, nonzero arguments in the range given; the caller has dealt with everything special.
#pragma once
#include "insn/softfloat.hpp"

namespace vt::cpu::sf {

/// x87 reduces trigonometric arguments by a pi of 66 significant bits.   SDM 1 "Approximation of Pi"
struct SinCos { Exact sin, cos; };
SinCos sin_cos(const Exact& x);                     ///< |x| < 2^63
Exact tangent(const SinCos& v);
Exact arctangent(const Exact& y, const Exact& x);   ///< in (-pi, pi), by quadrant
Exact exp2_minus_1(const Exact& x);                 ///< |x| <= 1
Exact y_log2(const Exact& y, const Exact& x);       ///< y * log2(x), x > 0
Exact y_log2_plus_1(const Exact& y, const Exact& x);  ///< y * log2(x + 1), x > -1
/// n/4 * pi with the sign.
Exact pi_quarters(bool sign, unsigned n);

}  // namespace vt::cpu::sf
