// SPDX-License-Identifier: GPL-2.0-or-later
/// MOVS STOS LODS CMPS SCAS, alone and repeated.   SDM 1 "String Operations"; SDM 2B "REP/REPE/REPZ/REPNE/REPNZ"
/// Every iteration is one step, a count of zero is one; the block has paid for one. Iterations that stay inside two pages with bare host
/// pointers are made at once, where nobody can tell: results, faults and steps are those of one at a time.
#include "forms.hpp"

namespace vt::cpu {
namespace {

constexpr unsigned kCount = 1, kSi = 6, kDi = 7;

template <class C>
VT_INLINE void advance(C& c, const Insn& i, unsigned n, u64 bytes) {
  set_address_reg(c, i, n, (c.flags & rflags::DF ? c.r[n] - bytes : c.r[n] + bytes) & address_mask(i));
}

/// Host pointer for up to `n` elements upwards from segment:register; shortens n to what the page, the address size and the segment
/// allow. False: not even one.
template <class T, class C>
bool span_at(C& c, const Insn& i, unsigned s, unsigned reg, bool write, u64& n, u8*& p) {
  const u64 mask = address_mask(i), offset = c.r[reg] & mask;
  u64 la;
  if (VT_LIKELY(c.code64_now)) {
    la = offset + (s >= FS ? c.seg[s].base : 0);
  } else if (!c.linear_seg(s, offset, sizeof(T), write, la)) {
    c.fault = {};
    return false;
  }
  u64 bytes = c.direct_run(la, write, p);
  if (i.asz() != 2) bytes = std::min(bytes, mask - offset + 1);
  n = std::min<u64>(n, bytes / sizeof(T));
  if (n == 0) return false;
  if (!c.code64_now && !c.linear_seg(s, offset + (n - 1) * sizeof(T), sizeof(T), write, la)) {
    c.fault = {};
    return false;
  }
  return true;
}

/// `one` makes one iteration and commits it (false: a fault is recorded, nothing done); `run(n)` makes up to n and says how many (0: none
/// that way). `more(c)`: does the repetition go on after what has been done?
/// `Compares`: flags are written by the last iteration alone; until then, and where one faults, they are those from before the instruction
/// (SDM 2B "REP/REPE/REPZ/REPNE/REPNZ").
/// `Regs`: pointers that a repetition with 32-bit addresses in 64-bit mode cuts to 32 bits, whatever becomes of it, as it does RCX.
template <unsigned Regs, bool Compares, class C, class One, class Run, class More>
VT_INLINE Next repeat(C& c, const Insn& i, One one, Run run, More more) {
  if (!i.rep() && !i.repne()) return one() ? Next::seq : Next::fault;
  if (VT_UNLIKELY(i.asz() == 1 && c.code64_now))
    for (unsigned n : {kCount, kSi, kDi}) if (Regs >> n & 1 || n == kCount) c.r[n] = static_cast<u32>(c.r[n]);
  const u64 count = c.r[kCount] & address_mask(i);
  if (count == 0) return Next::seq;
  const u64 limit = std::min(count, c.allowance());
  const bool runs = !(c.flags & rflags::DF) && limit > 1;
  [[maybe_unused]] const LazyFlags before = c.lf;
  u64 done = 0;
  bool goes_on = true;
  while (done < limit && goes_on) {
    u64 n = runs ? run(limit - done) : 0;
    if (n == 0) {
      c.iterations = done;
      const bool ok = one();
      c.iterations = 0;
      if (!ok) {
        if (done == 0) return Next::fault;
        c.fault = {};  // it comes again at the next step, which it belongs to
        break;
      }
      n = 1;
      c.tlb.settle();
    }
    done += n;
    goes_on = more(c);
  }
  set_address_reg(c, i, kCount, count - done);
  c.charge(done - 1);
  if (done == count || !goes_on) return Next::seq;
  if constexpr (Compares) c.lf = before;
  return Next::again;
}
// The functions are out of line, so that the dispatch after them stays a jump (a tail call).
constexpr auto kAlways = [](const auto&) { return true; };

template <class C, class T>
VT_NOINLINE Next movs(C& c, const Insn& i) {
  auto one = [&] {
    u64 from, to;
    T v;
    if (!c.linear_seg(i.seg, c.r[kSi] & address_mask(i), sizeof(T), false, from) || !c.template load_at<T>(from, v, i.seg) ||
        !c.linear_seg(ES, c.r[kDi] & address_mask(i), sizeof(T), true, to) || !c.template store_at<T>(to, v, ES))
      return false;
    advance(c, i, kSi, sizeof(T));
    advance(c, i, kDi, sizeof(T));
    return true;
  };
  auto run = [&](u64 n) -> u64 {
    u8 *from, *to;
    if (!span_at<T>(c, i, i.seg, kSi, false, n, from) || !span_at<T>(c, i, ES, kDi, true, n, to)) return 0;
    const u64 bytes = n * sizeof(T);
    if (to > from && to < from + bytes) {  // an element may be one that was just written
      for (u64 k = 0; k < bytes; k += sizeof(T)) {
        T v;
        std::memcpy(&v, from + k, sizeof(T));
        std::memcpy(to + k, &v, sizeof(T));
      }
    } else {
      std::memmove(to, from, bytes);
    }
    advance(c, i, kSi, bytes);
    advance(c, i, kDi, bytes);
    return n;
  };
  return repeat<1 << kSi | 1 << kDi, false>(c, i, one, run, kAlways);
}

template <class C, class T>
VT_NOINLINE Next stos(C& c, const Insn& i) {
  auto one = [&] {
    u64 to;
    if (!c.linear_seg(ES, c.r[kDi] & address_mask(i), sizeof(T), true, to) || !c.template store_at<T>(to, c.template reg<T>(0), ES)) return false;
    advance(c, i, kDi, sizeof(T));
    return true;
  };
  auto run = [&](u64 n) -> u64 {
    u8* to;
    if (!span_at<T>(c, i, ES, kDi, true, n, to)) return 0;
    const T v = c.template reg<T>(0);
    if (sizeof(T) == 1 || v == 0) std::memset(to, static_cast<u8>(v), n * sizeof(T));
    else for (u64 k = 0; k < n; ++k) std::memcpy(to + k * sizeof(T), &v, sizeof(T));
    advance(c, i, kDi, n * sizeof(T));
    return n;
  };
  return repeat<1 << kDi, false>(c, i, one, run, kAlways);
}

template <class C, class T>
VT_NOINLINE Next lods(C& c, const Insn& i) {
  auto one = [&] {
    u64 from;
    T v;
    if (!c.linear_seg(i.seg, c.r[kSi] & address_mask(i), sizeof(T), false, from) || !c.template load_at<T>(from, v, i.seg)) return false;
    c.template set_reg<T>(0, v);
    advance(c, i, kSi, sizeof(T));
    return true;
  };
  return repeat<0, false>(c, i, one, [](u64) -> u64 { return 0; }, kAlways);
}

template <class T, class C>
VT_INLINE void compare(C& c, T a, T b) { c.template flags_sub<T>(a, b, static_cast<T>(a - b), a < b); }

template <class C, class T>
VT_NOINLINE Next cmps(C& c, const Insn& i) {
  auto one = [&] {
    u64 first, second;
    T a, b;
    if (!c.linear_seg(ES, c.r[kDi] & address_mask(i), sizeof(T), false, second) || !c.template load_at<T>(second, b, ES) ||
        !c.linear_seg(i.seg, c.r[kSi] & address_mask(i), sizeof(T), false, first) || !c.template load_at<T>(first, a, i.seg))
      return false;
    compare(c, a, b);
    advance(c, i, kSi, sizeof(T));
    advance(c, i, kDi, sizeof(T));
    return true;
  };
  const bool want = i.rep();  // REPE goes on while equal; F2: while not
  auto run = [&](u64 n) -> u64 {
    u8 *p, *q;
    if (!span_at<T>(c, i, i.seg, kSi, false, n, p) || !span_at<T>(c, i, ES, kDi, false, n, q)) return 0;
    T a, b;
    u64 k = 0;
    do {
      std::memcpy(&a, p + k * sizeof(T), sizeof(T));
      std::memcpy(&b, q + k * sizeof(T), sizeof(T));
      ++k;
    } while (k < n && (a == b) == want);
    compare(c, a, b);
    advance(c, i, kSi, k * sizeof(T));
    advance(c, i, kDi, k * sizeof(T));
    return k;
  };
  return repeat<0, true>(c, i, one, run, [want](const auto& cpu) { return cpu.lf.zf() == want; });
}

template <class C, class T>
VT_NOINLINE Next scas(C& c, const Insn& i) {
  auto one = [&] {
    u64 at;
    T b;
    if (!c.linear_seg(ES, c.r[kDi] & address_mask(i), sizeof(T), false, at) || !c.template load_at<T>(at, b, ES)) return false;
    compare(c, c.template reg<T>(0), b);
    advance(c, i, kDi, sizeof(T));
    return true;
  };
  const bool want = i.rep();
  auto run = [&](u64 n) -> u64 {
    u8* p;
    if (!span_at<T>(c, i, ES, kDi, false, n, p)) return 0;
    const T a = c.template reg<T>(0);
    T b;
    u64 k = 0;
    do {
      std::memcpy(&b, p + k * sizeof(T), sizeof(T));
      ++k;
    } while (k < n && (a == b) == want);
    compare(c, a, b);
    advance(c, i, kDi, k * sizeof(T));
    return k;
  };
  return repeat<0, true>(c, i, one, run, [want](const auto& cpu) { return cpu.lf.zf() == want; });
}

using C = Cpu;
using enum Feature;

constexpr Def kRows[] = {
    {"MOVS", "A4", "Yb,Xb", 0, always, VT_B(movs)}, {"MOVS", "A5", "Yv,Xv", 0, always, VT_T(movs)},
    {"CMPS", "A6", "Xb,Yb", 0, always, VT_B(cmps)}, {"CMPS", "A7", "Xv,Yv", 0, always, VT_T(cmps)},
    {"STOS", "AA", "Yb,AL", 0, always, VT_B(stos)}, {"STOS", "AB", "Yv,rAX", 0, always, VT_T(stos)},
    {"LODS", "AC", "AL,Xb", 0, always, VT_B(lods)}, {"LODS", "AD", "rAX,Xv", 0, always, VT_T(lods)},
    {"SCAS", "AE", "AL,Yb", 0, always, VT_B(scas)}, {"SCAS", "AF", "rAX,Yv", 0, always, VT_T(scas)},
};

}  // namespace

std::span<const Def> string_rows() { return kRows; }

}  // namespace vt::cpu
