// SPDX-License-Identifier: GPL-2.0-or-later
/// BMI1, BMI2, ADX.   SDM 2A, 2B by the instructions' names
/// The operand size is VEX.W's in 64-bit mode, 32 elsewhere. Undefined flags (AF, PF and what the manual names) are clear, as on Intel's processors.
#include "forms.hpp"

namespace vt::cpu {
namespace {

template <class C, class T, bool M>
VT_INLINE bool source(C& c, const Insn& i, T& v) {
  if constexpr (M) return c.template load<T>(i, v);
  v = c.template reg<T>(i.rm);
  return true;
}
template <class T, class C>
void result_flags(C& c, T res, bool cf) {
  c.lf.set((cf ? rflags::CF : 0) | (res == 0 ? rflags::ZF : 0) | (res >> (8 * sizeof(T) - 1) & 1 ? rflags::SF : 0));
}
template <class T> constexpr unsigned kCountMask = 8 * sizeof(T) - 1;

/// Operations on r/m with VEX.vvvv as the other source, or as the destination (kToVvvv).
struct Andn {
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C& c, T rm, T v) {
    const T r = static_cast<T>(~v) & rm;
    result_flags(c, r, false);
    return r;
  }
};
struct Bextr {
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C& c, T rm, T v) {
    const unsigned start = v & 0xff, length = (v >> 8) & 0xff;
    T r = start < 8 * sizeof(T) ? static_cast<T>(rm >> start) : T{0};
    if (length < 8 * sizeof(T)) r = static_cast<T>(r & ((T{1} << length) - 1));
    c.lf.set(r == 0 ? rflags::ZF : 0);
    return r;
  }
};
struct Bzhi {
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C& c, T rm, T v) {
    const unsigned n = v & 0xff;
    const bool past = n >= 8 * sizeof(T);
    const T r = past ? rm : static_cast<T>(rm & ((T{1} << n) - 1));
    result_flags(c, r, past);
    return r;
  }
};
struct Blsr {
  static constexpr bool kToVvvv = true;
  template <class T, class C> static T op(C& c, T rm, T) {
    const T r = rm & static_cast<T>(rm - 1);
    result_flags(c, r, rm == 0);
    return r;
  }
};
struct Blsmsk {
  static constexpr bool kToVvvv = true;
  template <class T, class C> static T op(C& c, T rm, T) {
    const T r = rm ^ static_cast<T>(rm - 1);
    result_flags(c, r, rm == 0);
    return r;
  }
};
struct Blsi {
  static constexpr bool kToVvvv = true;
  template <class T, class C> static T op(C& c, T rm, T) {
    const T r = rm & static_cast<T>(0 - rm);
    result_flags(c, r, rm != 0);
    return r;
  }
};
struct Sarx {
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C&, T rm, T v) { return static_cast<T>(static_cast<std::make_signed_t<T>>(rm) >> (v & kCountMask<T>)); }
};
struct Shlx {
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C&, T rm, T v) { return static_cast<T>(rm << (v & kCountMask<T>)); }
};
struct Shrx {
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C&, T rm, T v) { return static_cast<T>(rm >> (v & kCountMask<T>)); }
};
struct Pdep {  // here r/m is the mask, vvvv the source
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C&, T m, T v) {
    T r = 0;
    for (; m; m = static_cast<T>(m & (m - 1)), v = static_cast<T>(v >> 1)) if (v & 1) r = static_cast<T>(r | (m & static_cast<T>(0 - m)));
    return r;
  }
};
struct Pext {
  static constexpr bool kToVvvv = false;
  template <class T, class C> static T op(C&, T m, T v) {
    T r = 0;
    for (unsigned k = 0; m; m = static_cast<T>(m & (m - 1)), ++k) if (v & (m & static_cast<T>(0 - m))) r = static_cast<T>(r | T{1} << k);
    return r;
  }
};

template <class Op>
struct Vex3 {
  template <class C, class T, bool M>
  static Next f(C& c, const Insn& i) {
    if constexpr (sizeof(T) == 2) return c.ud();  // no such operand size: the rows ignore 66
    else {
      T rm;
      if (!source<C, T, M>(c, i, rm)) return Next::fault;
      const T r = Op::template op<T>(c, rm, c.template reg<T>(i.vvvv));
      c.template set_reg<T>(Op::kToVvvv ? i.vvvv : i.reg, r);
      return Next::seq;
    }
  }
};

template <class C, class T, bool M>
Next rorx(C& c, const Insn& i) {
  if constexpr (sizeof(T) == 2) return c.ud();
  else {
    T v;
    if (!source<C, T, M>(c, i, v)) return Next::fault;
    const unsigned n = static_cast<unsigned>(i.imm) & kCountMask<T>;
    c.template set_reg<T>(i.reg, n ? static_cast<T>(v >> n | v << (8 * sizeof(T) - n)) : v);
    return Next::seq;
  }
}
template <class C, class T, bool M>
Next mulx(C& c, const Insn& i) {
  if constexpr (sizeof(T) == 2) return c.ud();
  else {
    T v;
    if (!source<C, T, M>(c, i, v)) return Next::fault;
    const u128 p = static_cast<u128>(c.template reg<T>(2)) * v;
    c.template set_reg<T>(i.vvvv, static_cast<T>(p));
    c.template set_reg<T>(i.reg, static_cast<T>(p >> (8 * sizeof(T))));  // the upper half wins when both are one register
    return Next::seq;
  }
}

/// ADCX uses and changes CF only, ADOX OF only.
template <u64 Flag>
struct Adx {
  template <class C, class T, bool M>
  static Next f(C& c, const Insn& i) {
    if constexpr (sizeof(T) == 2) return c.ud();
    else {
      T b;
      if (!source<C, T, M>(c, i, b)) return Next::fault;
      const bool in = Flag == rflags::CF ? c.lf.cf() : c.lf.of();
      const T a = c.template reg<T>(i.reg), r = static_cast<T>(a + b + in);
      const bool out = in ? r <= a : r < a;
      c.template set_reg<T>(i.reg, r);
      if constexpr (Flag == rflags::CF) set_cf(c, out);
      else if (out != in) c.lf.aux ^= static_cast<i64>(u64{1} << 63);
      return Next::seq;
    }
  }
};

using C = Cpu;
using enum Feature;
using attr::ignore_osz;

constexpr Def kRows[] = {
    {"ANDN", "VEX.LZ.NP.0F38 F2 /r", "Gy,By,Ey", ignore_osz, bmi1, VT_TM(Vex3<Andn>::f)},
    {"BLSR", "VEX.LZ.NP.0F38 F3 /1", "By,Ey", ignore_osz, bmi1, VT_TM(Vex3<Blsr>::f)},
    {"BLSMSK", "VEX.LZ.NP.0F38 F3 /2", "By,Ey", ignore_osz, bmi1, VT_TM(Vex3<Blsmsk>::f)},
    {"BLSI", "VEX.LZ.NP.0F38 F3 /3", "By,Ey", ignore_osz, bmi1, VT_TM(Vex3<Blsi>::f)},
    {"BEXTR", "VEX.LZ.NP.0F38 F7 /r", "Gy,Ey,By", ignore_osz, bmi1, VT_TM(Vex3<Bextr>::f)},
    {"BZHI", "VEX.LZ.NP.0F38 F5 /r", "Gy,Ey,By", ignore_osz, bmi2, VT_TM(Vex3<Bzhi>::f)},
    {"PEXT", "VEX.LZ.F3.0F38 F5 /r", "Gy,By,Ey", ignore_osz, bmi2, VT_TM(Vex3<Pext>::f)},
    {"PDEP", "VEX.LZ.F2.0F38 F5 /r", "Gy,By,Ey", ignore_osz, bmi2, VT_TM(Vex3<Pdep>::f)},
    {"MULX", "VEX.LZ.F2.0F38 F6 /r", "Gy,By,Ey", ignore_osz, bmi2, VT_TM(mulx)},
    {"SHLX", "VEX.LZ.66.0F38 F7 /r", "Gy,Ey,By", ignore_osz, bmi2, VT_TM(Vex3<Shlx>::f)},
    {"SARX", "VEX.LZ.F3.0F38 F7 /r", "Gy,Ey,By", ignore_osz, bmi2, VT_TM(Vex3<Sarx>::f)},
    {"SHRX", "VEX.LZ.F2.0F38 F7 /r", "Gy,Ey,By", ignore_osz, bmi2, VT_TM(Vex3<Shrx>::f)},
    {"RORX", "VEX.LZ.F2.0F3A F0 /r ib", "Gy,Ey,Ib", ignore_osz, bmi2, VT_TM(rorx)},
    {"ADCX", "66 0F 38 F6 /r", "Gy,Ey", ignore_osz, adx, VT_TM(Adx<rflags::CF>::f)},
    {"ADOX", "F3 0F 38 F6 /r", "Gy,Ey", ignore_osz, adx, VT_TM(Adx<rflags::OF>::f)},
};

}  // namespace

std::span<const Def> bmi_part() { return kRows; }

}  // namespace vt::cpu
