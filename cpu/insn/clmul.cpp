// SPDX-License-Identifier: GPL-2.0-or-later
/// PCLMULQDQ and its VEX.128 form: the product of two polynomials over GF(2).   SDM 2B "PCLMULQDQ"
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {

V128 carryless(u64 a, u64 b) {
  u64 low = 0, high = 0;
  for (unsigned k = 0; k < 64; ++k)
    if (b >> k & 1) low ^= a << k, high ^= k ? a >> (64 - k) : 0;
  return {{low, high}};
}

template <class C, bool M, class E>
Next pclmulqdq(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  set_vreg<E>(c, i.reg, {carryless(first<E>(c, i).h[0].q[i.imm & 1], b.h[0].q[i.imm >> 4 & 1])});
  return Next::seq;
}

using C = Cpu;
constexpr Def kRows[] = {
  VT_ROW_SSE("PCLMULQDQ", "66", 0F3A, "44 /r ib", "Vx,Wx,Ib", pclmulqdq, pclmulqdq, Sse),
  VT_ROW_VEX("VPCLMULQDQ", "128", "66", 0F3A, "WIG", "44 /r ib", "Vx,Hx,Wx,Ib", pclmulqdq, pclmulqdq, Vex128),
};

}  // namespace

std::span<const Def> clmul_rows() { return kRows; }

}  // namespace vt::cpu
