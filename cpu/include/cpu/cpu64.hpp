// SPDX-License-Identifier: GPL-2.0-or-later
/// The processor as instructions see it in 64-bit mode when their memory operand has no segment base (Ea::plain64) or is
/// none: what they would ask at run time is known. The same instruction functions, instantiated once more; the decoder picks
/// these where they hold. Adds nothing to Cpu: a view of the same object.
#pragma once
#include "cpu/cpu.hpp"

namespace vt::cpu {

class Cpu64 : public Cpu {
 public:
  static constexpr bool code64_now = true, stack64 = true;

  u64 ea(const Insn& i) const { return r[i.rm] + (r[i.index] << i.scale()) + static_cast<u64>(static_cast<i64>(i.disp)); }
  [[nodiscard]] bool linear(const Insn& i, unsigned, bool, u64& la, u64 offset = 0) { la = ea(i) + offset; return true; }
  template <class T> [[nodiscard]] bool load(const Insn& i, T& v, u64 offset = 0) { return load_at<T>(ea(i) + offset, v, i.seg); }
  template <class T> [[nodiscard]] bool store(const Insn& i, const T& v, u64 offset = 0) { return store_at<T>(ea(i) + offset, v, i.seg); }
  template <class T, class F> [[nodiscard]] bool modify(const Insn& i, F f) { return modify_at<T>(ea(i), i.seg, f); }

  template <class T> [[nodiscard]] bool push(T v) {
    const u64 sp = r[4] - sizeof(T);
    if (!store_at<T>(sp, v, SS)) return false;
    r[4] = sp;
    return true;
  }
  template <class T> [[nodiscard]] bool pop(T& v) {
    if (!load_at<T>(r[4], v, SS)) return false;
    r[4] += sizeof(T);
    return true;
  }
  template <class T> [[nodiscard]] bool peek_stack(u64 offset, T& v) { return load_at<T>(r[4] + offset, v, SS); }
  void set_sp(u64 sp) { r[4] = sp; }
  /// Near branches are 64 bits wide here, whatever prefixes say.
  [[nodiscard]] bool set_target(u64 rip, unsigned) {
    target = rip;
    return VT_LIKELY(static_cast<u64>(static_cast<i64>(rip << 16) >> 16) == rip) || (gp(0), false);
  }
};

/// The same with memory accesses that only look at the host-pointer cache: a miss returns false without a fault, and the wrapper
/// (run_fast in rows.hpp) does the instruction again with Cpu64, which is as good as a fault that went away. No calls are left on
/// the hot path, so that functions need no frame. Most operands have no index register: `kIndexed` false is for those.
template <bool kIndexed>
class Cpu64FastView : public Cpu64 {
 public:
  u64 ea(const Insn& i) const {
    const u64 base = r[i.rm] + static_cast<u64>(static_cast<i64>(i.disp));
    return kIndexed ? base + (r[i.index] << i.scale()) : base;
  }
  template <class T> [[nodiscard]] bool load_at(u64 la, T& v, u8 = DS) {
    const HostCache::Entry& e = host.rd[HostCache::slot(la)];
    if (VT_UNLIKELY((((la + sizeof(T) - 1) & kPageMask) | host.tag) != e.tag)) return false;
    std::memcpy(&v, reinterpret_cast<const void*>(e.addend + la), sizeof(T));
    return true;
  }
  template <class T> [[nodiscard]] bool store_at(u64 la, const T& v, u8 = DS) {
    const HostCache::Entry& e = host.wr[HostCache::slot(la)];
    if (VT_UNLIKELY((((la + sizeof(T) - 1) & kPageMask) | host.tag) != e.tag)) return false;
    std::memcpy(reinterpret_cast<void*>(e.addend + la), &v, sizeof(T));
    return true;
  }
  template <class T, class F> [[nodiscard]] bool modify_at(u64 la, u8, F f) {
    const HostCache::Entry& e = host.wr[HostCache::slot(la)];
    if (VT_UNLIKELY((((la + sizeof(T) - 1) & kPageMask) | host.tag) != e.tag)) return false;
    T v;
    void* p = reinterpret_cast<void*>(e.addend + la);
    std::memcpy(&v, p, sizeof(T));
    v = f(v);
    std::memcpy(p, &v, sizeof(T));
    return true;
  }
  template <class T> [[nodiscard]] bool load(const Insn& i, T& v, u64 offset = 0) { return load_at<T>(ea(i) + offset, v); }
  template <class T> [[nodiscard]] bool store(const Insn& i, const T& v, u64 offset = 0) { return store_at<T>(ea(i) + offset, v); }
  template <class T, class F> [[nodiscard]] bool modify(const Insn& i, F f) { return modify_at<T>(ea(i), DS, f); }
  template <class T> [[nodiscard]] bool push(T v) {
    const u64 sp = r[4] - sizeof(T);
    if (!store_at<T>(sp, v)) return false;
    r[4] = sp;
    return true;
  }
  template <class T> [[nodiscard]] bool pop(T& v) {
    if (!load_at<T>(r[4], v)) return false;
    r[4] += sizeof(T);
    return true;
  }
  template <class T> [[nodiscard]] bool peek_stack(u64 offset, T& v) { return load_at<T>(r[4] + offset, v); }
  [[nodiscard]] bool set_target(u64 rip, unsigned) {
    target = rip;
    return VT_LIKELY(static_cast<u64>(static_cast<i64>(rip << 16) >> 16) == rip);
  }
};
using Cpu64Fast = Cpu64FastView<true>;
using Cpu64FastBase = Cpu64FastView<false>;

}  // namespace vt::cpu
