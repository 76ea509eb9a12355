// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/predictor.hpp"

#include <algorithm>

#include "base/bits.hpp"

namespace vt::cpu {
namespace {

// Without a branch of the host, which would be as hard to predict as the guest's: what comes next is looked up.
constexpr int saturated(int n, int low, int high) { return n < low ? low : n > high ? high : n; }
template <class T>
T* chosen(bool first, T* a, T* b) {
  const auto x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return reinterpret_cast<T*>(y ^ ((x ^ y) & -std::uintptr_t{first}));
}
/// Of a counter, by how it is kept: not at all (a base counter that was not asked), 2 bits (base), 3 bits (tagged); by whether it was taken; by the counter + 4.
enum Kept { alone, of_2_bits, of_3_bits };
constexpr auto kCounter = [] {
  std::array<std::array<std::array<i8, 8>, 2>, 3> t{};
  for (int taken = 0; taken < 2; ++taken)
    for (int n = -4; n < 4; ++n) {
      const int next = n + 2 * taken - 1;
      t[alone][taken][n + 4] = static_cast<i8>(n);
      t[of_2_bits][taken][n + 4] = static_cast<i8>(saturated(next, -2, 1));
      t[of_3_bits][taken][n + 4] = static_cast<i8>(saturated(next, -4, 3));
    }
  return t;
}();
/// Of `useful`, where the next best agrees, or not: by whether it was right.
constexpr std::array<std::array<std::array<u8, 4>, 2>, 2> kUseful = {{{{{0, 0, 1, 2}, {1, 2, 3, 3}}}, {{{0, 1, 2, 3}, {0, 1, 2, 3}}}}};

}  // namespace

Predictor::Predictor(const timing::Profile& p)
    : base_(std::size_t{1} << p.predictor_log2), base_mask_(base_.size() - 1), sure_(static_cast<u8>(std::clamp(p.history_bits, 2u, 64u))), near_{mask(std::max(sure_ / 4u, 2u) - 1, 0), std::vector<Entry>(base_.size())},
      far_{mask(sure_ - 1u, 0), std::vector<Entry>(base_.size())}, btb_(p.btb_entries / p.btb_ways, p.btb_ways), stack_(p.return_stack) {}

inline Predictor::Tagged::Found Predictor::Tagged::find(u64 rip, u64 history, u64 slots) {
  const u64 h = (rip ^ (history & keep) * 0x9e3779b97f4a7c15) * 0xd1342543de82ef95;   // low bits of its upper half name the slot, high ones are the tag
  Entry* e = entries.data() + (h >> 24 & slots);
  const u16 tag = static_cast<u16>(h >> 48 | 1);   // 0 is empty
  return {e, tag, e->tag == tag};
}

/// SDM has nothing of it: the shape is that of published TAGE predictors.
bool Predictor::by_history(u64 rip, bool taken) {
  Base& base = base_[rip & base_mask_];
  Entry of_base{0, base.counter, 0};
  const Tagged::Found near = near_.find(rip, history_, base_mask_), far = far_.find(rip, history_, base_mask_);
  const bool both = near.knows & far.knows, tagged = near.knows | far.knows;
  Entry* const shorter = chosen(near.knows, near.entry, &of_base);
  Entry& e = *chosen(far.knows, far.entry, shorter);
  const Entry& other = *chosen(both, near.entry, &of_base);   // who would have been asked otherwise
  const bool right = (e.counter >= 0) == taken, agree = (e.counter >= 0) == (other.counter >= 0), base_right = (base.counter >= 0) == taken;
  e.useful = kUseful[agree][right][e.useful & 3];
  e.counter = kCounter[of_2_bits + tagged][taken][(e.counter + 4) & 7];
  base.counter = kCounter[both ? alone : of_2_bits][taken][(base.counter + 4) & 7];   // it decided, or would have
  base.right = static_cast<u8>((base.right + (base.right != sure_)) & -int{base_right});
  if (!right && !far.knows) enter(near, far, taken);
  history_ = history_ << 1 | u64{taken};
  return right;
}

/// Where more of the history is looked at than by the one that was wrong: the first place that has not been of use lately.
void Predictor::enter(Tagged::Found near, Tagged::Found far, bool taken) {
  const Entry fresh{0, static_cast<i8>(taken ? 0 : -1), 0};
  for (const Tagged::Found* f : {&near, &far}) {
    if (f->knows || f->entry->useful) continue;
    *f->entry = fresh, f->entry->tag = f->tag;
    return;
  }
  if (!near.knows) --near.entry->useful;
  --far.entry->useful;
}

bool Predictor::target(u64 key, u64 to) {
  const unsigned set = btb_.set_of(mix(key));
  if (Target* t = btb_.use(set, [key](const Target& x) { return x.rip == key && x.to; })) {
    const bool right = t->to == to;
    t->to = to;
    return right;
  }
  btb_.insert(set, {key, to});
  return false;
}

bool Predictor::predict(Kind kind, u64 rip, u64 behind, u64 next) {
  const u32 depth = static_cast<u32>(stack_.size());
  const auto push = [&] { top_ = top_ + 1 == depth ? 0 : top_ + 1; stack_[top_] = behind; };
  switch (kind) {
    case Kind::conditional: return conditional(rip, next != behind);
    case Kind::direct: return true;   // the decoder knows
    case Kind::call: push(); return true;
    case Kind::indirect: case Kind::indirect_call: {
      if (kind == Kind::indirect_call) push();
      const bool alone = target(rip, next), with_history = target(mix(rip ^ path_) | u64{1} << 63, next);
      path_ = path_ << 7 ^ next;
      return alone || with_history;
    }
    case Kind::ret: {
      const u64 to = stack_[top_];
      top_ = top_ ? top_ - 1 : depth - 1;
      return to == next;
    }
  }
  return true;
}

void Predictor::state(Ar& a) {
  const std::size_t entries = base_.size(), depth = stack_.size();
  a(base_, near_.entries, far_.entries, btb_, stack_, top_, history_, path_);
  if (a.loading() && (base_.size() != entries || near_.entries.size() != entries || far_.entries.size() != entries || stack_.size() != depth || top_ >= depth))
    throw std::runtime_error("damaged state: a branch predictor of another size");
}

}  // namespace vt::cpu
