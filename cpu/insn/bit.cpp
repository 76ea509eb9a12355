// SPDX-License-Identifier: GPL-2.0-or-later
/// Bit instructions and CRC32. BMI and ADX are in bmi.cpp, decimal adjustments in decimal.cpp.   SDM 2A, 2B by the instructions' names
/// Undefined flags are what Intel's processors give: BT and its fellows change CF only; BSF and BSR clear CF, OF, SF and AF, PF is that of
/// the result (set for a zero source, where the destination stays as it is); TZCNT and LZCNT clear what they do not define.
#include "forms.hpp"

namespace vt::cpu {

std::span<const Def> bmi_part();
std::span<const Def> decimal_part();

namespace {

struct Bt { static constexpr bool kWrites = false; template <class T> static T op(T a, T) { return a; } };
struct Bts { static constexpr bool kWrites = true; template <class T> static T op(T a, T m) { return a | m; } };
struct Btr { static constexpr bool kWrites = true; template <class T> static T op(T a, T m) { return static_cast<T>(a & ~m); } };
struct Btc { static constexpr bool kWrites = true; template <class T> static T op(T a, T m) { return a ^ m; } };

template <class Op>
struct BitTest {
  template <class T, class C> VT_INLINE static T step(C& c, T a, unsigned n) {
    set_cf(c, a >> n & 1);
    return Op::template op<T>(a, static_cast<T>(T{1} << n));
  }
  template <class C, class T, bool M>
  static Next imm(C& c, const Insn& i) {
    const unsigned n = static_cast<unsigned>(i.imm) & (8 * sizeof(T) - 1);
    if constexpr (!M) {
      const T v = step<T>(c, c.template reg<T>(i.rm), n);
      if constexpr (Op::kWrites) c.template set_reg<T>(i.rm, v);
    } else if constexpr (Op::kWrites) {
      if (!c.template modify<T>(i, [&](T a) { return step<T>(c, a, n); })) return Next::fault;
    } else {
      T a;
      if (!c.template load<T>(i, a)) return Next::fault;
      step<T>(c, a, n);
    }
    return Next::seq;
  }
  /// The register is a signed bit offset: it selects the operand in memory as well.   SDM 1 "Bit and Bit-Field Data", SDM 2A "BT"
  template <class C, class T, bool M>
  VT_NOINLINE static Next reg(C& c, const Insn& i) {  // out of line, so that the dispatch after it stays a jump
    const T offset = c.template reg<T>(i.reg);
    const unsigned n = static_cast<unsigned>(offset) & (8 * sizeof(T) - 1);
    if constexpr (!M) {
      const T v = step<T>(c, c.template reg<T>(i.rm), n);
      if constexpr (Op::kWrites) c.template set_reg<T>(i.rm, v);
    } else {
      const i64 away = (static_cast<i64>(static_cast<std::make_signed_t<T>>(offset)) >> (sizeof(T) == 8 ? 6 : sizeof(T) == 4 ? 5 : 4)) * static_cast<i64>(sizeof(T));
      u64 la;
      if (VT_LIKELY(i.ea() == Ea::plain64)) la = c.ea(i) + static_cast<u64>(away);
      else if (!c.linear_seg(i.seg, (c.ea(i) + static_cast<u64>(away)) & address_mask(i), sizeof(T), Op::kWrites, la)) return Next::fault;
      if constexpr (Op::kWrites) {
        if (!c.template modify_at<T>(la, i.seg, [&](T a) { return step<T>(c, a, n); })) return Next::fault;
      } else {
        T a;
        if (!c.template load_at<T>(la, a, i.seg)) return Next::fault;
        step<T>(c, a, n);
      }
    }
    return Next::seq;
  }
};

template <class C, class T, bool M>
VT_INLINE bool source(C& c, const Insn& i, T& v) {
  if constexpr (M) return c.template load<T>(i, v);
  v = c.template reg<T>(i.rm);
  return true;
}

template <class T> unsigned trailing(T v) { return static_cast<unsigned>(__builtin_ctzll(v)); }
template <class T> unsigned leading(T v) { return static_cast<unsigned>(__builtin_clzll(v)) - (64 - 8 * sizeof(T)); }

template <bool Forward>
struct Scan {
  template <class C, class T, bool M>
  static Next f(C& c, const Insn& i) {
    T v;
    if (!source<C, T, M>(c, i, v)) return Next::fault;
    if (v == 0) {
      c.lf = {0, 0, 0};  // ZF and PF
      return Next::seq;
    }
    const unsigned n = Forward ? trailing(v) : 8 * sizeof(T) - 1 - leading(v);
    c.template set_reg<T>(i.reg, static_cast<T>(n));
    c.lf = {static_cast<i64>(n | 0x100), 0, 0};  // the parity of n, not zero
    return Next::seq;
  }
};
template <bool Trailing>
struct CountZeros {
  template <class C, class T, bool M>
  static Next f(C& c, const Insn& i) {
    T v;
    if (!source<C, T, M>(c, i, v)) return Next::fault;
    const unsigned n = v == 0 ? 8 * sizeof(T) : Trailing ? trailing(v) : leading(v);
    c.template set_reg<T>(i.reg, static_cast<T>(n));
    c.lf.set((v == 0 ? rflags::CF : 0) | (n == 0 ? rflags::ZF : 0));
    return Next::seq;
  }
};
template <class C, class T, bool M>
Next popcnt_(C& c, const Insn& i) {
  T v;
  if (!source<C, T, M>(c, i, v)) return Next::fault;
  c.template set_reg<T>(i.reg, static_cast<T>(__builtin_popcountll(v)));
  c.lf.set(v == 0 ? rflags::ZF : 0);
  return Next::seq;
}

/// CRC-32C, polynomial 11EDC6F41H, bit-reflected.
struct CrcTable {
  u32 of[256] = {};
  constexpr CrcTable() {
    for (u32 n = 0; n < 256; ++n) {
      u32 v = n;
      for (int k = 0; k < 8; ++k) v = v >> 1 ^ (v & 1 ? 0x82f63b78u : 0);
      of[n] = v;
    }
  }
};
constexpr CrcTable kCrc;

template <class C, class T, bool M>
Next crc32(C& c, const Insn& i) {
  T v;
  if (!source<C, T, M>(c, i, v)) return Next::fault;
  u32 crc = c.template reg<u32>(i.reg);
  for (unsigned k = 0; k < sizeof(T); ++k) crc = crc >> 8 ^ kCrc.of[(crc ^ static_cast<u64>(v) >> (8 * k)) & 0xff];
  c.r[i.reg] = crc;
  return Next::seq;
}

using C = Cpu;
using enum Feature;
using attr::lockable;

#define BIT_ROWS(name, Op, opcode, digit, lock)                              \
  {name, "0F " opcode " /r", "Ev,Gv", lock, always, VT_TM(BitTest<Op>::reg)}, \
  {name, "0F BA " digit " ib", "Ev,Ib", lock, always, VT_TMF(BitTest<Op>::imm)}

constexpr Def kRows[] = {
    BIT_ROWS("BT", Bt, "A3", "/4", 0), BIT_ROWS("BTS", Bts, "AB", "/5", lockable),
    BIT_ROWS("BTR", Btr, "B3", "/6", lockable), BIT_ROWS("BTC", Btc, "BB", "/7", lockable),
    {"BSF", "0F BC /r", "Gv,Ev", 0, always, VT_TMF(Scan<true>::f)},
    {"BSR", "0F BD /r", "Gv,Ev", 0, always, VT_TMF(Scan<false>::f)},
    {"TZCNT", "F3 0F BC /r", "Gv,Ev", 0, bmi1, VT_TM(CountZeros<true>::f)},   // BSF where it is not offered
    {"LZCNT", "F3 0F BD /r", "Gv,Ev", 0, abm, VT_TM(CountZeros<false>::f)},   // BSR where it is not offered
    {"POPCNT", "F3 0F B8 /r", "Gv,Ev", 0, popcnt, VT_TMF(popcnt_)},
    {"CRC32", "F2 0F 38 F0 /r", "Gd,Eb", 0, sse4_2, VT_BM(crc32)},
    {"CRC32", "F2 0F 38 F1 /r", "Gd,Ev", 0, sse4_2, VT_TM(crc32)},
};
#undef BIT_ROWS

}  // namespace

std::span<const Def> bit_rows() {
  static const std::vector<Def> rows = [] {
    std::vector<Def> v(std::begin(kRows), std::end(kRows));
    for (auto part : {bmi_part, decimal_part})
      for (const Def& d : part()) v.push_back(d);
    return v;
  }();
  return rows;
}

}  // namespace vt::cpu
