// SPDX-License-Identifier: GPL-2.0-or-later
/// Data movement: MOV, MOVZX, MOVSX, LEA, XCHG, CMOVcc, BSWAP, conversions, exchanges with compare.
/// Stack instructions are in stack.cpp.   SDM 2A and 2B, by the instructions' names
#include "forms.hpp"

namespace vt::cpu {

std::span<const Def> stack_part();

namespace {

template <class C, class T, bool M>
Next mov_rm_reg(C& c, const Insn& i) {
  if constexpr (M) { if (!c.template store<T>(i, c.template reg<T>(i.reg))) return Next::fault; }
  else c.template set_reg<T>(i.rm, c.template reg<T>(i.reg));
  return Next::seq;
}
template <class C, class T, bool M>
Next mov_reg_rm(C& c, const Insn& i) {
  if constexpr (M) {
    T v;
    if (!c.template load<T>(i, v)) return Next::fault;
    c.template set_reg<T>(i.reg, v);
  } else {
    c.template set_reg<T>(i.reg, c.template reg<T>(i.rm));
  }
  return Next::seq;
}
template <class C, class T, bool M>
Next mov_rm_imm(C& c, const Insn& i) {
  if constexpr (M) { if (!c.template store<T>(i, static_cast<T>(i.imm))) return Next::fault; }
  else c.template set_reg<T>(i.rm, static_cast<T>(i.imm));
  return Next::seq;
}
template <class C, class T>
Next mov_acc_moffs(C& c, const Insn& i) {
  u64 la;
  T v;
  if (!c.linear_seg(i.seg, static_cast<u64>(i.imm) & address_mask(i), sizeof(T), false, la) || !c.template load_at<T>(la, v, i.seg)) return Next::fault;
  c.template set_reg<T>(0, v);
  return Next::seq;
}
template <class C, class T>
Next mov_moffs_acc(C& c, const Insn& i) {
  u64 la;
  if (!c.linear_seg(i.seg, static_cast<u64>(i.imm) & address_mask(i), sizeof(T), true, la)) return Next::fault;
  return c.template store_at<T>(la, c.template reg<T>(0), i.seg) ? Next::seq : Next::fault;
}

/// MOV r/m, Sreg: 16 bits to memory, zero-extended to a register of 32 or 64 bits.
template <class C, class T, bool M>
Next mov_rm_sreg(C& c, const Insn& i) {
  const unsigned s = i.reg & 7;
  if (s > GS) return c.ud();
  if constexpr (M) { if (!c.template store<u16>(i, c.seg[s].sel)) return Next::fault; }
  else c.template set_reg<T>(i.rm, c.seg[s].sel);
  return Next::seq;
}
template <class C, bool M>
Next mov_sreg_rm(C& c, const Insn& i) {
  const unsigned s = i.reg & 7;
  if (s == CS || s > GS) return c.ud();
  u16 sel;
  if constexpr (M) { if (!c.template load<u16>(i, sel)) return Next::fault; }
  else sel = c.template reg<u16>(i.rm);
  if (!c.load_segment(s, sel)) return Next::fault;
  if (s == SS) {
    c.movss_shadow = true;
    c.want_attention();
  }
  return Next::end;
}

template <class S>
struct Extend {
  template <class C, class T, bool M>
  static Next f(C& c, const Insn& i) {  // S signed: MOVSX, MOVSXD
    using U = std::make_unsigned_t<S>;
    U v;
    if constexpr (M) { if (!c.template load<U>(i, v)) return Next::fault; }
    else v = c.template reg<U>(i.rm);
    c.template set_reg<T>(i.reg, static_cast<T>(static_cast<S>(v)));
    return Next::seq;
  }
};
template <class C, class T, bool M>
Next movsxd(C& c, const Insn& i) {
  if constexpr (sizeof(T) == 2) return mov_reg_rm<C, T, M>(c, i);
  else return Extend<i32>::f<C, T, M>(c, i);
}

template <class C, class T>
Next lea(C& c, const Insn& i) {
  c.template set_reg<T>(i.reg, static_cast<T>(c.ea(i)));
  return Next::seq;
}

template <class C, class T, bool M>
Next xchg(C& c, const Insn& i) {
  const T b = c.template reg<T>(i.reg);
  if constexpr (M) {
    T old{};
    if (!c.template modify<T>(i, [&](T a) { old = a; return b; })) return Next::fault;
    c.template set_reg<T>(i.reg, old);
  } else {
    const T a = c.template reg<T>(i.rm);
    c.template set_reg<T>(i.reg, a);
    c.template set_reg<T>(i.rm, b);
  }
  return Next::seq;
}
/// 90+r. With register 0 it is NOP, which does not clear the upper half of RAX.
template <class C, class T>
Next xchg_acc(C& c, const Insn& i) {
  if (i.reg == 0) return Next::seq;
  const T a = c.template reg<T>(0), b = c.template reg<T>(i.reg);
  c.template set_reg<T>(0, b);
  c.template set_reg<T>(i.reg, a);
  return Next::seq;
}

template <int N>
struct Cmov {
  template <class C, class T, bool M>
  static Next f(C& c, const Insn& i) {
    T v;
    if constexpr (M) { if (!c.template load<T>(i, v)) return Next::fault; }
    else v = c.template reg<T>(i.rm);
    c.template set_reg<T>(i.reg, condition<N>(c) ? v : c.template reg<T>(i.reg));
    return Next::seq;
  }
};

/// 16-bit BSWAP is undefined: it clears the register, as Intel's processors do.
template <class C, class T>
Next bswap(C& c, const Insn& i) {
  if constexpr (sizeof(T) == 2) c.template set_reg<u16>(i.reg, 0);
  else if constexpr (sizeof(T) == 4) c.template set_reg<u32>(i.reg, __builtin_bswap32(c.template reg<u32>(i.reg)));
  else c.r[i.reg] = __builtin_bswap64(c.r[i.reg]);
  return Next::seq;
}
template <class T>
T swapped(T v) {
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(v);
  else if constexpr (sizeof(T) == 4) return __builtin_bswap32(v);
  else return __builtin_bswap64(v);
}
template <class C, class T>
Next movbe_load(C& c, const Insn& i) {
  T v;
  if (!c.template load<T>(i, v)) return Next::fault;
  c.template set_reg<T>(i.reg, swapped(v));
  return Next::seq;
}
template <class C, class T>
Next movbe_store(C& c, const Insn& i) { return c.template store<T>(i, swapped(c.template reg<T>(i.reg))) ? Next::seq : Next::fault; }

template <class C, class T>
Next movnti(C& c, const Insn& i) {
  using W = std::conditional_t<sizeof(T) == 2, u32, T>;
  return c.template store<W>(i, c.template reg<W>(i.reg)) ? Next::seq : Next::fault;
}

template <class C, class T, bool M>
Next xadd(C& c, const Insn& i) {
  const T b = c.template reg<T>(i.reg);
  T old;
  auto add = [&](T a) {
    const T sum = static_cast<T>(a + b);
    c.template flags_add<T>(a, b, sum, sum < a);
    old = a;
    return sum;
  };
  if constexpr (M) {
    old = 0;
    if (!c.template modify<T>(i, add)) return Next::fault;
    c.template set_reg<T>(i.reg, old);
  } else {
    const T sum = add(c.template reg<T>(i.rm));
    c.template set_reg<T>(i.reg, old);
    c.template set_reg<T>(i.rm, sum);
  }
  return Next::seq;
}

/// The destination is written in either case; RAX only when they differ (and then a 32-bit one clears its upper half).
template <class C, class T, bool M>
Next cmpxchg(C& c, const Insn& i) {
  const T acc = c.template reg<T>(0), src = c.template reg<T>(i.reg);
  T old;
  auto exchange = [&](T a) {
    old = a;
    const T d = static_cast<T>(acc - a);
    c.template flags_sub<T>(acc, a, d, acc < a);
    return a == acc ? src : a;
  };
  if constexpr (M) {
    old = 0;
    if (!c.template modify<T>(i, exchange)) return Next::fault;
    if (old != acc) c.template set_reg<T>(0, old);
  } else {
    const T v = exchange(c.template reg<T>(i.rm));
    if (old == acc) c.template set_reg<T>(i.rm, v);
    else c.template set_reg<T>(0, old);
  }
  return Next::seq;
}
template <class C, class T>
Next cmpxchg8b_16b(C& c, const Insn& i) {
  using H = std::conditional_t<sizeof(T) == 8, u64, u32>;                              // half
  using W = std::conditional_t<sizeof(T) == 8, u128, u64>;
  constexpr unsigned kShift = 8 * sizeof(H);
  if constexpr (sizeof(T) == 8) {
    if (!c.model().has(Feature::cx16)) return c.ud();
    u64 la;
    if (!c.linear(i, 16, true, la) || !c.aligned(la, 16, i.seg)) return Next::fault;
  }
  auto pair = [&](unsigned hi, unsigned lo) { return static_cast<W>(static_cast<W>(c.template reg<H>(hi)) << kShift | c.template reg<H>(lo)); };
  const W expected = pair(2, 0), desired = pair(1, 3);
  W old = 0;
  if (!c.template modify<W>(i, [&](W a) { old = a; return a == expected ? desired : a; })) return Next::fault;
  set_some(c, rflags::ZF, old == expected ? rflags::ZF : 0);
  if (old != expected) {
    c.template set_reg<H>(0, static_cast<H>(old));
    c.template set_reg<H>(2, static_cast<H>(old >> kShift));
  }
  return Next::seq;
}

template <class C>
Next xlat(C& c, const Insn& i) {
  u64 la;
  u8 v;
  if (!c.linear_seg(i.seg, (c.r[3] + c.template reg<u8>(0)) & address_mask(i), 1, false, la) || !c.template load_at<u8>(la, v, i.seg)) return Next::fault;
  c.template set_reg<u8>(0, v);
  return Next::seq;
}

/// LDS LES LSS LFS LGS
template <unsigned S>
struct LoadFar {
  template <class C, class T>
  static Next f(C& c, const Insn& i) {
    T offset;
    u16 sel;
    if (!c.template load<T>(i, offset) || !load_part(c, i, sizeof(T), sel) || !c.load_segment(S, sel)) return Next::fault;
    c.template set_reg<T>(i.reg, offset);
    return Next::end;
  }
};

template <class C, class T>
Next cbw(C& c, const Insn&) {  // CBW CWDE CDQE
  if constexpr (sizeof(T) == 2) c.template set_reg<u16>(0, static_cast<u16>(static_cast<i8>(c.r[0])));
  else if constexpr (sizeof(T) == 4) c.template set_reg<u32>(0, static_cast<u32>(static_cast<i16>(c.r[0])));
  else c.r[0] = static_cast<u64>(static_cast<i64>(static_cast<i32>(c.r[0])));
  return Next::seq;
}
template <class C, class T>
Next cwd(C& c, const Insn&) {  // CWD CDQ CQO
  using S = std::make_signed_t<T>;
  c.template set_reg<T>(2, static_cast<S>(c.template reg<T>(0)) < 0 ? static_cast<T>(~T{0}) : T{0});
  return Next::seq;
}

using C = Cpu;
using enum Feature;
using attr::ends_block, attr::lockable, attr::no64, attr::only64;

#define CMOV_ROW(name, op, n) {name, "0F " op " /r", "Gv,Ev", 0, cmov, VT_TMF(Cmov<n>::f)}

constexpr Def kRows[] = {
    {"MOV", "88 /r", "Eb,Gb", 0, always, VT_BMF(mov_rm_reg)},
    {"MOV", "89 /r", "Ev,Gv", 0, always, VT_TMF(mov_rm_reg)},
    {"MOV", "8A /r", "Gb,Eb", 0, always, VT_BMF(mov_reg_rm)},
    {"MOV", "8B /r", "Gv,Ev", 0, always, VT_TMF(mov_reg_rm)},
    {"MOV", "8C /r", "Ev,Sw", 0, always, VT_TM(mov_rm_sreg)},
    {"MOV", "8E /r", "Sw,Ew", ends_block, always,
     {{run<C, mov_sreg_rm<C, false>, true>, run<C, mov_sreg_rm<C, true>, true>}, {run<C, mov_sreg_rm<C, false>, true>, run<C, mov_sreg_rm<C, true>, true>},
      {run<C, mov_sreg_rm<C, false>, true>, run<C, mov_sreg_rm<C, true>, true>}}},
    {"MOV", "A0 mo", "AL,Ob", 0, always, VT_B(mov_acc_moffs)},
    {"MOV", "A1 mo", "rAX,Ov", 0, always, VT_T(mov_acc_moffs)},
    {"MOV", "A2 mo", "Ob,AL", 0, always, VT_B(mov_moffs_acc)},
    {"MOV", "A3 mo", "Ov,rAX", 0, always, VT_T(mov_moffs_acc)},
    {"MOV", "B0 +r ib", "Zb,Ib", 0, always, VT_BMF(mov_rm_imm)},
    {"MOV", "B8 +r iv", "Zv,Iv", 0, always, VT_TMF(mov_rm_imm)},
    {"MOV", "C6 /0 ib", "Eb,Ib", 0, always, VT_BMF(mov_rm_imm)},
    {"MOV", "C7 /0 iz", "Ev,Iz", 0, always, VT_TMF(mov_rm_imm)},
    {"MOVZX", "0F B6 /r", "Gv,Eb", 0, always, VT_TMF(Extend<u8>::f)},
    {"MOVZX", "0F B7 /r", "Gv,Ew", 0, always, VT_TMF(Extend<u16>::f)},
    {"MOVSX", "0F BE /r", "Gv,Eb", 0, always, VT_TMF(Extend<i8>::f)},
    {"MOVSX", "0F BF /r", "Gv,Ew", 0, always, VT_TMF(Extend<i16>::f)},
    {"MOVSXD", "63 /r", "Gv,Ed", only64, always, VT_TMF(movsxd)},
    {"LEA", "8D /r", "Gv,M", 0, always, VT_TR(lea)},
    {"XCHG", "86 /r", "Eb,Gb", lockable, always, VT_BMF(xchg)},
    {"XCHG", "87 /r", "Ev,Gv", lockable, always, VT_TMF(xchg)},
    {"XCHG", "90 +r", "rAX,Zv", 0, always, VT_TR(xchg_acc)},  // 90: NOP
    CMOV_ROW("CMOVO", "40", 0), CMOV_ROW("CMOVNO", "41", 1), CMOV_ROW("CMOVB", "42", 2), CMOV_ROW("CMOVAE", "43", 3),
    CMOV_ROW("CMOVE", "44", 4), CMOV_ROW("CMOVNE", "45", 5), CMOV_ROW("CMOVBE", "46", 6), CMOV_ROW("CMOVA", "47", 7),
    CMOV_ROW("CMOVS", "48", 8), CMOV_ROW("CMOVNS", "49", 9), CMOV_ROW("CMOVP", "4A", 10), CMOV_ROW("CMOVNP", "4B", 11),
    CMOV_ROW("CMOVL", "4C", 12), CMOV_ROW("CMOVGE", "4D", 13), CMOV_ROW("CMOVLE", "4E", 14), CMOV_ROW("CMOVG", "4F", 15),
    {"BSWAP", "0F C8 +r", "Zv", 0, always, VT_TR(bswap)},
    {"MOVBE", "NFx 0F 38 F0 /r", "Gv,Mv", 0, movbe, VT_T(movbe_load)},
    {"MOVBE", "NFx 0F 38 F1 /r", "Mv,Gv", 0, movbe, VT_T(movbe_store)},
    {"MOVNTI", "NP 0F C3 /r", "My,Gy", 0, sse2, VT_TF(movnti)},
    {"XADD", "0F C0 /r", "Eb,Gb", lockable, always, VT_BMF(xadd)},
    {"XADD", "0F C1 /r", "Ev,Gv", lockable, always, VT_TMF(xadd)},
    {"CMPXCHG", "0F B0 /r", "Eb,Gb", lockable, always, VT_BMF(cmpxchg)},
    {"CMPXCHG", "0F B1 /r", "Ev,Gv", lockable, always, VT_TMF(cmpxchg)},
    {"CMPXCHG8B", "0F C7 /1", "Mq", lockable, cx8, VT_T(cmpxchg8b_16b)},
    {"XLAT", "D7", "", 0, always, VT_1(xlat)},
    {"LES", "C4 /r", "Gv,Mp", no64 | ends_block, always, VT_T(LoadFar<ES>::f)},
    {"LDS", "C5 /r", "Gv,Mp", no64 | ends_block, always, VT_T(LoadFar<DS>::f)},
    {"LSS", "0F B2 /r", "Gv,Mp", ends_block, always, VT_T(LoadFar<SS>::f)},
    {"LFS", "0F B4 /r", "Gv,Mp", ends_block, always, VT_T(LoadFar<FS>::f)},
    {"LGS", "0F B5 /r", "Gv,Mp", ends_block, always, VT_T(LoadFar<GS>::f)},
    {"CBW", "98", "", 0, always, VT_TR(cbw)},  // CWDE, CDQE
    {"CWD", "99", "", 0, always, VT_TR(cwd)},  // CDQ, CQO
};
#undef CMOV_ROW

}  // namespace

std::span<const Def> move_rows() {
  static const std::vector<Def> rows = [] {
    std::vector<Def> v(std::begin(kRows), std::end(kRows));
    for (const Def& d : stack_part()) v.push_back(d);
    return v;
  }();
  return rows;
}

}  // namespace vt::cpu
