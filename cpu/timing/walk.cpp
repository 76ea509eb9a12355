// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/walk.hpp"

#include <bit>

namespace vt::cpu {
namespace {

class Walker {
 public:
  Walker(const WalkSpace& s, TimingTlbs& tlbs, Caches& caches, WalkCost& cost) : s_(s), tlbs_(tlbs), caches_(caches), cost_(cost) {}

  /// Host address of a guest-physical one; `charged` false: looked up without cost, for entries that a cache stands for.
  bool nested(Gpa g, bool charged, Hpa& to, unsigned* shift = nullptr) {
    if (!s_.eptp) { to = Hpa{g.v}; return true; }
    const ept::Walk w = ept::walk(s_.memory, s_.ept_caps, ept::Eptp{s_.eptp}, g, access::read);
    if (charged && !tlbs_.nested(s_.tags.eptp, g.v)) {
      for (unsigned n = 0; n < w.n; ++n) reference(w.step[n].at, true);
      if (found(w)) tlbs_.fill_nested(s_.tags.eptp, g.v);
    }
    if (shift && found(w)) *shift = static_cast<unsigned>(std::countr_zero(w.page_size));
    to = w.target;
    return found(w);
  }
  void reference(Hpa at, bool nested) {
    MemLevel from;
    const unsigned cycles = caches_.data(at.v >> 6, false, from);
    if (nested) ++cost_.nested_references, cost_.nested_cycles += cycles;
    else ++cost_.guest_references, cost_.guest_cycles += cycles;
  }

 private:
  static bool found(const ept::Walk& w) { return w.why == ept::Why::ok || w.why == ept::Why::not_allowed; }
  const WalkSpace& s_;
  TimingTlbs& tlbs_;
  Caches& caches_;
  WalkCost& cost_;
};

}  // namespace

WalkCost timing_walk(const WalkSpace& s, u64 la, TimingTlbs& tlbs, Caches& caches) {
  WalkCost cost;
  Walker walker(s, tlbs, caches, cost);
  Gpa gpa{la};
  unsigned shift = 30;
  Hpa at;
  if (s.paging.mode != paging::Mode::none) {
    const unsigned top = s.paging.mode == paging::Mode::level4 ? 4 : 2;
    unsigned first = top;   // level of the first entry that is read
    for (unsigned level = 2; level <= top; ++level)
      if (tlbs.structure(s.tags, la, level)) { first = level - 1; break; }
    unsigned level = top;
    const paging::Walk w = paging::walk(s.paging, la, [&](Gpa g, u64& v) {
      const bool charged = level <= first;
      --level;
      if (!walker.nested(g, charged, at)) return false;
      if (charged) walker.reference(at, false);
      v = s.memory.peek64(at);
      return true;
    });
    for (unsigned n = 0; n < w.n; ++n) {   // those that refer to a table and are usable
      const bool last = n + 1u == w.n;
      if (!last || (w.why == paging::Why::read_failed)) tlbs.fill_structure(s.tags, la, w.step[n].level);
    }
    if (w.why != paging::Why::ok) return cost;
    gpa = w.target;
    shift = w.shift == 22 ? 21 : w.shift;
    cost.global = w.global;
  }
  if (s.eptp) {
    unsigned of_ept = 12;
    walker.nested(gpa, true, at, &of_ept);
    shift = std::min(shift, of_ept);
  }
  cost.shift = static_cast<u8>(shift);
  return cost;
}

}  // namespace vt::cpu
