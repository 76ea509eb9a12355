// SPDX-License-Identifier: GPL-2.0-or-later
/// PUSH, POP, PUSHA, POPA, ENTER, LEAVE. The stack pointer moves only when every access has succeeded.
/// SDM 1 "Procedure Stack"; SDM 2A, 2B by the instructions' names
#include "forms.hpp"

namespace vt::cpu {
namespace {

template <class C, class T, bool M>
Next push_rm(C& c, const Insn& i) {
  T v;
  if constexpr (M) { if (!c.template load<T>(i, v)) return Next::fault; }
  else v = c.template reg<T>(i.rm);
  return c.template push<T>(v) ? Next::seq : Next::fault;
}
template <class C, class T>
Next push_reg(C& c, const Insn& i) { return c.template push<T>(c.template reg<T>(i.reg)) ? Next::seq : Next::fault; }
template <class C, class T>
Next push_imm(C& c, const Insn& i) { return c.template push<T>(static_cast<T>(i.imm)) ? Next::seq : Next::fault; }
template <class C, class T>
Next pop_reg(C& c, const Insn& i) {
  T v;
  if (!c.template pop<T>(v)) return Next::fault;
  c.template set_reg<T>(i.reg, v);
  return Next::seq;
}
/// An address that uses the stack pointer is computed after the increment.
template <class C, class T, bool M>
Next pop_rm(C& c, const Insn& i) {
  T v;
  if constexpr (!M) {
    if (!c.template pop<T>(v)) return Next::fault;
    c.template set_reg<T>(i.rm, v);
  } else {
    const u64 sp = c.r[4];
    if (!c.template peek_stack<T>(0, v)) return Next::fault;
    c.set_sp(sp + sizeof(T));
    if (!c.template store<T>(i, v)) {
      c.r[4] = sp;
      return Next::fault;
    }
  }
  return Next::seq;
}

/// With a 32-bit operand only the selector's 16 bits are written, as current processors do.
template <unsigned S>
struct Sreg {
  template <class C, class T>
  static Next push(C& c, const Insn&) {
    if constexpr (sizeof(T) == 4) {
      u64 la;
      const u64 sp = c.stack_mask(c.r[4] - 4);
      if (!c.linear_seg(SS, sp, 2, true, la) || !c.template store_at<u16>(la, c.seg[S].sel, SS)) return Next::fault;
      c.set_sp(sp);
      return Next::seq;
    }
    return c.template push<T>(c.seg[S].sel) ? Next::seq : Next::fault;
  }
  template <class C, class T>
  static Next pop(C& c, const Insn&) {
    u16 v;  // all that is read, whatever the operand size (found by the native judge)
    const u64 sp = c.r[4];
    if (!c.template peek_stack<u16>(0, v)) return Next::fault;
    c.set_sp(sp + sizeof(T));
    if (!c.load_segment(S, v)) {
      c.r[4] = sp;
      return Next::fault;
    }
    if constexpr (S == SS) {
      c.movss_shadow = true;
      c.want_attention();
    }
    return Next::end;
  }
};

/// Stores at SS:`sp`, without moving the stack pointer.
template <class T, class C>
bool store_stack(C& c, u64 sp, T v) {
  u64 la;
  return c.linear_seg(SS, c.stack_mask(sp), sizeof(T), true, la) && c.template store_at<T>(la, v, SS);
}

template <class C, class T>
Next pusha(C& c, const Insn&) {
  const u64 sp = c.r[4];
  for (unsigned n = 0; n < 8; ++n)
    if (!store_stack<T>(c, sp - (n + 1) * sizeof(T), c.template reg<T>(n))) return Next::fault;
  c.set_sp(sp - 8 * sizeof(T));
  return Next::seq;
}
template <class C, class T>
Next popa(C& c, const Insn&) {
  for (unsigned n = 0; n < 8; ++n) {  // where one faults, those before it are loaded (found by the native judge)
    T v;
    if (!c.template peek_stack<T>(n * sizeof(T), v)) return Next::fault;
    if (n != 3) c.template set_reg<T>(7 - n, v);
  }
  c.set_sp(c.r[4] + 8 * sizeof(T));
  return Next::seq;
}

template <class C, class T>
Next enter_frame(C& c, const Insn& i) {
  const unsigned level = i.vvvv & 31;
  u64 sp = c.r[4] - sizeof(T), bp = c.r[5], la;
  if (!store_stack<T>(c, sp, c.template reg<T>(5))) return Next::fault;
  const u64 frame = sp;
  for (unsigned n = 1; n < level; ++n) {
    T v;
    bp -= sizeof(T), sp -= sizeof(T);
    if (!c.linear_seg(SS, c.stack_mask(bp), sizeof(T), false, la) || !c.template load_at<T>(la, v, SS) || !store_stack<T>(c, sp, v)) return Next::fault;
  }
  if (level) {
    sp -= sizeof(T);
    if (!store_stack<T>(c, sp, static_cast<T>(frame))) return Next::fault;
  }
  sp -= static_cast<u16>(i.imm);
  // The new top of the stack must be writable.
  if (!c.linear_seg(SS, c.stack_mask(sp), sizeof(T), true, la) || !c.probe_write(la, sizeof(T), SS)) return Next::fault;
  c.template set_reg<T>(5, static_cast<T>(frame));
  c.set_sp(sp);
  return Next::seq;
}
template <class C, class T>
Next leave_frame(C& c, const Insn&) {
  u64 la;
  T v;
  const u64 bp = c.stack_mask(c.r[5]);
  if (!c.linear_seg(SS, bp, sizeof(T), false, la) || !c.template load_at<T>(la, v, SS)) return Next::fault;
  c.set_sp(bp + sizeof(T));
  c.template set_reg<T>(5, v);
  return Next::seq;
}

using C = Cpu;
using enum Feature;
using attr::ends_block, attr::def64, attr::no64;

constexpr Def kRows[] = {
    {"PUSH", "50 +r", "Zv", def64, always, VT_TF(push_reg)},
    {"POP", "58 +r", "Zv", def64, always, VT_TF(pop_reg)},
    {"PUSH", "68 iz", "Iz", def64, always, VT_TF(push_imm)},
    {"PUSH", "6A ib", "Ib", def64, always, VT_TF(push_imm)},
    {"PUSH", "FF /6", "Ev", def64, always, VT_TMF(push_rm)},
    {"POP", "8F /0", "Ev", def64, always, VT_TMF(pop_rm)},
    {"PUSH", "06", "ES", no64, always, VT_T(Sreg<ES>::push)},
    {"PUSH", "0E", "CS", no64, always, VT_T(Sreg<CS>::push)},
    {"PUSH", "16", "SS", no64, always, VT_T(Sreg<SS>::push)},
    {"PUSH", "1E", "DS", no64, always, VT_T(Sreg<DS>::push)},
    {"PUSH", "0F A0", "FS", def64, always, VT_T(Sreg<FS>::push)},
    {"PUSH", "0F A8", "GS", def64, always, VT_T(Sreg<GS>::push)},
    {"POP", "07", "ES", no64 | ends_block, always, VT_T(Sreg<ES>::pop)},
    {"POP", "17", "SS", no64 | ends_block, always, VT_T(Sreg<SS>::pop)},
    {"POP", "1F", "DS", no64 | ends_block, always, VT_T(Sreg<DS>::pop)},
    {"POP", "0F A1", "FS", def64 | ends_block, always, VT_T(Sreg<FS>::pop)},
    {"POP", "0F A9", "GS", def64 | ends_block, always, VT_T(Sreg<GS>::pop)},
    {"PUSHA", "60", "", no64, always, VT_T(pusha)},
    {"POPA", "61", "", no64, always, VT_T(popa)},
    {"ENTER", "C8 iw ib", "Iw,Ib", def64, always, VT_T(enter_frame)},
    {"LEAVE", "C9", "", def64, always, VT_TF(leave_frame)},
};

}  // namespace

std::span<const Def> stack_part() { return kRows; }

}  // namespace vt::cpu
