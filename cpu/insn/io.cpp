// SPDX-License-Identifier: GPL-2.0-or-later
/// IN, OUT, INS, OUTS.   SDM 1 "Input/Output", SDM 2A, 2B by the instructions' names
/// A port access leaves the run, so that its device acts before the next step. Repeated ones make one iteration at a time.
#include "forms.hpp"

namespace vt::cpu {
namespace {

/// SDM 1 "I/O Permission Bit Map". False: a fault is recorded.
bool port_allowed(Cpu& c, u16 port, unsigned size) {
  if (!c.protected_mode() || (!c.vm86() && c.cpl() <= ((c.flags >> 12) & 3))) return true;
  const bool tss32 = !c.tr.unusable() && c.tr.present() && (c.tr.type() & ~2u) == 9;
  u16 map, bits;
  if (!tss32 || c.tr.limit < 103) return c.gp(0), false;
  if (!c.load_system(c.tr.base + 102, &map, 2)) return false;
  const u32 at = static_cast<u32>(map) + port / 8;
  if (at + 1 > c.tr.limit) return c.gp(0), false;
  if (!c.load_system(c.tr.base + at, &bits, 2)) return false;
  if ((bits >> (port & 7)) & ((1u << size) - 1)) return c.gp(0), false;
  return true;
}

template <class T> using Port = std::conditional_t<sizeof(T) == 8, u32, T>;  // no 64-bit ports

template <class C, class T, bool Imm>
Next in_(C& c, const Insn& i) {
  using P = Port<T>;
  const u16 port = Imm ? static_cast<u8>(i.imm) : static_cast<u16>(c.r[2]);
  if (!port_allowed(c, port, sizeof(P))) return Next::fault;
  if (c.non_root() && intercept_io(c, i, port, sizeof(P), true, false, 0)) return Next::fault;
  c.template set_reg<P>(0, static_cast<P>(c.out().port_read(port, sizeof(P))));
  return c.must_look() ? Next::end : Next::seq;
}
template <class C, class T, bool Imm>
Next out_(C& c, const Insn& i) {
  using P = Port<T>;
  const u16 port = Imm ? static_cast<u8>(i.imm) : static_cast<u16>(c.r[2]);
  if (!port_allowed(c, port, sizeof(P))) return Next::fault;
  if (c.non_root() && intercept_io(c, i, port, sizeof(P), false, false, 0)) return Next::fault;
  c.out().port_write(port, sizeof(P), c.template reg<P>(0));
  return c.must_look() ? Next::end : Next::seq;
}
template <class C, class T> Next in_imm(C& c, const Insn& i) { return in_<C, T, true>(c, i); }
template <class C, class T> Next in_dx(C& c, const Insn& i) { return in_<C, T, false>(c, i); }
template <class C, class T> Next out_imm(C& c, const Insn& i) { return out_<C, T, true>(c, i); }
template <class C, class T> Next out_dx(C& c, const Insn& i) { return out_<C, T, false>(c, i); }

/// Makes one iteration of a repeated instruction with `f`, which is given the port.
template <class C, class F>
Next one_iteration(C& c, const Insn& i, F f) {
  const bool repeated = i.rep() || i.repne();
  const u64 count = c.r[1] & address_mask(i);
  if (repeated && count == 0) return Next::seq;
  // Alone, in careful mode: after the port was read the store must not be refused.
  if (!c.careful) {
    c.fault = {};
    c.fault.kind = Fault::Kind::careful;
    return Next::fault;
  }
  if (!f(static_cast<u16>(c.r[2]))) return Next::fault;
  if (!repeated) return Next::end;
  set_address_reg(c, i, 1, count - 1);
  return count == 1 ? Next::end : Next::again;
}
template <class C>
void advance(C& c, const Insn& i, unsigned n, u64 bytes) {
  set_address_reg(c, i, n, (c.flags & rflags::DF ? c.r[n] - bytes : c.r[n] + bytes) & address_mask(i));
}

template <class C, class T>
Next ins(C& c, const Insn& i) {
  using P = Port<T>;
  return one_iteration(c, i, [&](u16 port) {
    u64 la;
    if (!port_allowed(c, port, sizeof(P)) || !c.linear_seg(ES, c.r[7] & address_mask(i), sizeof(P), true, la)) return false;
    if (c.non_root() && intercept_io(c, i, port, sizeof(P), true, true, la)) return false;
    if (!c.probe_write(la, sizeof(P), ES)) return false;
    const P v = static_cast<P>(c.out().port_read(port, sizeof(P)));
    if (!c.template store_at<P>(la, v, ES)) return false;
    advance(c, i, 7, sizeof(P));
    return true;
  });
}
template <class C, class T>
Next outs(C& c, const Insn& i) {
  using P = Port<T>;
  return one_iteration(c, i, [&](u16 port) {
    u64 la;
    P v;
    if (!port_allowed(c, port, sizeof(P)) || !c.linear_seg(i.seg, c.r[6] & address_mask(i), sizeof(P), false, la)) return false;
    if (c.non_root() && intercept_io(c, i, port, sizeof(P), false, true, la)) return false;
    if (!c.template load_at<P>(la, v, i.seg)) return false;
    c.out().port_write(port, sizeof(P), v);
    advance(c, i, 6, sizeof(P));
    return true;
  });
}

using C = Cpu;
using enum Feature;
using attr::ends_block;

constexpr Def kRows[] = {
    {"IN", "E4 ib", "AL,Ib", ends_block, always, VT_B(in_imm)},
    {"IN", "E5 ib", "eAX,Ib", ends_block, always, VT_T(in_imm)},
    {"IN", "EC", "AL,DX", ends_block, always, VT_B(in_dx)},
    {"IN", "ED", "eAX,DX", ends_block, always, VT_T(in_dx)},
    {"OUT", "E6 ib", "Ib,AL", ends_block, always, VT_B(out_imm)},
    {"OUT", "E7 ib", "Ib,eAX", ends_block, always, VT_T(out_imm)},
    {"OUT", "EE", "DX,AL", ends_block, always, VT_B(out_dx)},
    {"OUT", "EF", "DX,eAX", ends_block, always, VT_T(out_dx)},
    {"INS", "6C", "Yb,DX", ends_block, always, VT_B(ins)},
    {"INS", "6D", "Yz,DX", ends_block, always, VT_T(ins)},
    {"OUTS", "6E", "DX,Xb", ends_block, always, VT_B(outs)},
    {"OUTS", "6F", "DX,Xz", ends_block, always, VT_T(outs)},
};

}  // namespace

std::span<const Def> io_rows() { return kRows; }

}  // namespace vt::cpu
