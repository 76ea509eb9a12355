// SPDX-License-Identifier: GPL-2.0-or-later
/// What ADD OR ADC SBB AND SUB XOR CMP, TEST, INC, DEC, NEG and NOT do.   SDM 2A "ADD" and its fellows
/// AF, which the manual leaves undefined after AND, OR, XOR and TEST, is clear.
#pragma once
#include "forms.hpp"

namespace vt::cpu::alu {

struct Add {
  static constexpr bool kWrites = true;
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b) {
    const T r = static_cast<T>(a + b);
    c.template flags_add<T>(a, b, r, r < a);
    return r;
  }
};
struct Adc {
  static constexpr bool kWrites = true;
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b) {
    const bool in = c.lf.cf();
    const T r = static_cast<T>(a + b + in);
    c.template flags_add<T>(a, b, r, in ? r <= a : r < a);
    return r;
  }
};
struct Sub {
  static constexpr bool kWrites = true;
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b) {
    const T r = static_cast<T>(a - b);
    c.template flags_sub<T>(a, b, r, a < b);
    return r;
  }
};
struct Sbb {
  static constexpr bool kWrites = true;
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b) {
    const bool in = c.lf.cf();
    const T r = static_cast<T>(a - b - in);
    c.template flags_sub<T>(a, b, r, in ? a <= b : a < b);
    return r;
  }
};
struct Cmp : Sub {
  static constexpr bool kWrites = false;
};
struct And {
  static constexpr bool kWrites = true;
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b) {
    const T r = a & b;
    c.template flags_logic<T>(r);
    return r;
  }
};
struct Test : And {
  static constexpr bool kWrites = false;
};
struct Or {
  static constexpr bool kWrites = true;
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b) {
    const T r = a | b;
    c.template flags_logic<T>(r);
    return r;
  }
};
struct Xor {
  static constexpr bool kWrites = true;
  template <class T, class C> VT_INLINE static T op(C& c, T a, T b) {
    const T r = a ^ b;
    c.template flags_logic<T>(r);
    return r;
  }
};

/// The forms that all two-operand operations share.
template <class Op>
struct Alu {
  /// Destination r/m, source `b`.
  template <class C, class T, bool M>
  VT_INLINE static Next to_rm(C& c, const Insn& i, T b) {
    if constexpr (!M) {
      const T v = Op::template op<T>(c, c.template reg<T>(i.rm), b);
      if constexpr (Op::kWrites) c.template set_reg<T>(i.rm, v);
    } else if constexpr (Op::kWrites) {
      if (!c.template modify<T>(i, [&](T a) { return Op::template op<T>(c, a, b); })) return Next::fault;
    } else {
      T a;
      if (!c.template load<T>(i, a)) return Next::fault;
      Op::template op<T>(c, a, b);
    }
    return Next::seq;
  }
  template <class C, class T, bool M> static Next rm_reg(C& c, const Insn& i) { return to_rm<C, T, M>(c, i, c.template reg<T>(i.reg)); }
  template <class C, class T, bool M> static Next rm_imm(C& c, const Insn& i) { return to_rm<C, T, M>(c, i, static_cast<T>(i.imm)); }
  template <class C, class T, bool M>
  static Next reg_rm(C& c, const Insn& i) {
    T b;
    if constexpr (M) { if (!c.template load<T>(i, b)) return Next::fault; }
    else b = c.template reg<T>(i.rm);
    const T v = Op::template op<T>(c, c.template reg<T>(i.reg), b);
    if constexpr (Op::kWrites) c.template set_reg<T>(i.reg, v);
    return Next::seq;
  }
  template <class C, class T, bool M>
  static Next acc_imm(C& c, const Insn& i) {
    const T v = Op::template op<T>(c, c.template reg<T>(0), static_cast<T>(i.imm));
    if constexpr (Op::kWrites) c.template set_reg<T>(0, v);
    return Next::seq;
  }
};

/// INC and DEC leave CF alone; OF follows from the carries of the operation itself.
struct Inc {
  template <class T, class C> VT_INLINE static T op(C& c, T a) {
    const bool cf = c.lf.cf();
    const T r = static_cast<T>(a + 1);
    c.template flags_add<T>(a, 1, r, r == 0);
    set_cf(c, cf);
    return r;
  }
};
struct Dec {
  template <class T, class C> VT_INLINE static T op(C& c, T a) {
    const bool cf = c.lf.cf();
    const T r = static_cast<T>(a - 1);
    c.template flags_sub<T>(a, 1, r, a == 0);
    set_cf(c, cf);
    return r;
  }
};
struct Neg {
  template <class T, class C> VT_INLINE static T op(C& c, T a) {
    const T r = static_cast<T>(0 - a);
    c.template flags_sub<T>(0, a, r, a != 0);
    return r;
  }
};
struct Not {
  template <class T, class C> VT_INLINE static T op(C&, T a) { return static_cast<T>(~a); }
};

template <class Op>
struct Unary {
  template <class C, class T, bool M>
  static Next rm(C& c, const Insn& i) {
    if constexpr (M) { if (!c.template modify<T>(i, [&](T a) { return Op::template op<T>(c, a); })) return Next::fault; }
    else c.template set_reg<T>(i.rm, Op::template op<T>(c, c.template reg<T>(i.rm)));
    return Next::seq;
  }
};

}  // namespace vt::cpu::alu
