// SPDX-License-Identifier: GPL-2.0-or-later
/// AVX2's permutations across halves, blends and shifts by each lane's own count; gathers.   SDM 2C
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {

/// VPSLLVx, VPSRLVx, VPSRAVD.
template <class L, lane::Shift S>
struct VariableShift {
  static V128 f(const V128& a, const V128& b) {
    constexpr unsigned width = 8 * sizeof(L);
    return lane::each<L>(a, b, [](L x, L n) -> L {
      if constexpr (S == lane::Shift::arithmetic) return static_cast<L>(static_cast<std::make_signed_t<L>>(x) >> (n < width ? n : width - 1));
      else if constexpr (S == lane::Shift::left) return n < width ? static_cast<L>(x << n) : L{0};
      else return n < width ? static_cast<L>(x >> n) : L{0};
    });
  }
};

// VPERMD, VPERMPS: lanes of r/m by the numbers in vvvv.
template <class C, bool M>
Next permute_lanes(C& c, const Insn& i) {
  Vec<Vex256> b;
  if (!source<Vex256, M>(c, i, b)) return Next::fault;
  const auto x = lanes_of<u32>(b);
  auto to = lanes_of<u32>(first<Vex256>(c, i));
  for (u32& v : to) v = x[v & 7];
  set_vreg<Vex256>(c, i.reg, from_lanes<Vec<Vex256>>(to));
  return Next::seq;
}
// VPERMQ, VPERMPD.
template <class C, bool M>
Next permute_quads(C& c, const Insn& i) {
  Vec<Vex256> b;
  if (!source<Vex256, M>(c, i, b)) return Next::fault;
  set_vreg<Vex256>(c, i.reg, lane::shuffle_by<u64>(b, static_cast<u8>(i.imm)));
  return Next::seq;
}
template <class C, bool M, class E>
Next blend_dwords(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  auto x = lanes_of<u32>(first<E>(c, i));
  const auto y = lanes_of<u32>(b);
  for (unsigned k = 0; k < x.size(); ++k) if (i.imm >> k & 1) x[k] = y[k];
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(x));
  return Next::seq;
}

// Gathers: from the lowest element up; each that is loaded clears its mask, so that a fault in the middle leaves the rest to be done
// when the instruction is executed again. Destination, index and mask must be three registers.   SDM 2C "VPGATHERDD/VPGATHERQD"
template <class C, class E, class Index, class T>
Next gather(C& c, const Insn& i) {
  if (i.reg == i.vvvv || i.reg == i.index || i.vvvv == i.index) return c.ud();
  const WithoutAlignmentCheck unchecked(c);
  constexpr unsigned n = sizeof(Vec<E>) / std::max(sizeof(Index), sizeof(T));
  const auto index = lanes_of<Index>(vreg<E>(c, i.index));
  auto to = lanes_of<T>(vreg<E>(c, i.reg)), select = lanes_of<T>(vreg<E>(c, i.vvvv));
  for (T& s : select) s = s >> (8 * sizeof(T) - 1) ? static_cast<T>(~T{0}) : T{0};
  const u64 address = c.r[i.rm] + static_cast<u64>(static_cast<i64>(i.disp)), wrap = i.asz() == 2 ? ~u64{0} : 0xffff'ffff;
  bool ok = true, loaded = false;
  unsigned k = 0;
  for (; k < n && ok; ++k) {
    if (!select[k]) continue;
    u64 la;
    const u64 ea = (address + (static_cast<u64>(static_cast<i64>(index[k])) << i.scale())) & wrap;
    ok = c.linear_seg(i.seg, ea, sizeof(T), false, la) && c.load_at(la, to[k], i.seg);
    if (ok) select[k] = 0, loaded = true;
  }
  if (!ok) {
    if (loaded) set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(to));
    set_vreg<E>(c, i.vvvv, from_lanes<Vec<E>>(select));
    return Next::fault;
  }
  for (k = n; k < to.size(); ++k) to[k] = 0;
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(to)), set_vreg<E>(c, i.vvvv, {});
  return Next::seq;
}

using C = Cpu;
#define VT_AVX2(name, map, w, op, operands, f, ...) \
  VT_ROW_VEX(name, "128", "66", map, w, op, operands, avx2, f, Vex128 __VA_OPT__(,) __VA_ARGS__), VT_ROW_VEX(name, "256", "66", map, w, op, operands, avx2, f, Vex256 __VA_OPT__(,) __VA_ARGS__)
constexpr Def kRows[] = {
  {"VPERMD", "VEX.256.66.0F38.W0 36 /r", "Vx,Hx,Wx", attr::avx, Feature::avx2, VT_FN(permute_lanes)},
  {"VPERMPS", "VEX.256.66.0F38.W0 16 /r", "Vx,Hx,Wx", attr::avx, Feature::avx2, VT_FN(permute_lanes)},
  {"VPERMQ", "VEX.256.66.0F3A.W1 00 /r ib", "Vx,Wx,Ib", attr::avx, Feature::avx2, VT_FN(permute_quads)},
  {"VPERMPD", "VEX.256.66.0F3A.W1 01 /r ib", "Vx,Wx,Ib", attr::avx, Feature::avx2, VT_FN(permute_quads)},
  VT_AVX2("VPBLENDD", 0F3A, "W0", "02 /r ib", "Vx,Hx,Wx,Ib", blend_dwords),
  VT_AVX2("VPSRLVD", 0F38, "W0", "45 /r", "Vx,Hx,Wx", packed, VariableShift<u32, lane::Shift::right>),
  VT_AVX2("VPSRLVQ", 0F38, "W1", "45 /r", "Vx,Hx,Wx", packed, VariableShift<u64, lane::Shift::right>),
  VT_AVX2("VPSRAVD", 0F38, "W0", "46 /r", "Vx,Hx,Wx", packed, VariableShift<u32, lane::Shift::arithmetic>),
  VT_AVX2("VPSLLVD", 0F38, "W0", "47 /r", "Vx,Hx,Wx", packed, VariableShift<u32, lane::Shift::left>),
  VT_AVX2("VPSLLVQ", 0F38, "W1", "47 /r", "Vx,Hx,Wx", packed, VariableShift<u64, lane::Shift::left>),
};
#define VT_GATHER(name, w, op, Index, T) \
  {name, "VEX.128.66.0F38." w " " op " /r", "Vx,Mvsib,Hx", attr::avx, Feature::avx2, VT_ALL(gather<C, Vex128, Index, T>)}, \
  {name, "VEX.256.66.0F38." w " " op " /r", "Vx,Mvsib,Hx", attr::avx, Feature::avx2, VT_ALL(gather<C, Vex256, Index, T>)}
constexpr Def kGathers[] = {
  VT_GATHER("VPGATHERDD", "W0", "90", i32, u32),
  VT_GATHER("VPGATHERDQ", "W1", "90", i32, u64),
  VT_GATHER("VPGATHERQD", "W0", "91", i64, u32),
  VT_GATHER("VPGATHERQQ", "W1", "91", i64, u64),
  VT_GATHER("VGATHERDPS", "W0", "92", i32, u32),
  VT_GATHER("VGATHERDPD", "W1", "92", i32, u64),
  VT_GATHER("VGATHERQPS", "W0", "93", i64, u32),
  VT_GATHER("VGATHERQPD", "W1", "93", i64, u64),
};

}  // namespace

std::span<const Def> avx_int_rows() { return kRows; }
std::span<const Def> avx_gather_rows() { return kGathers; }

}  // namespace vt::cpu
