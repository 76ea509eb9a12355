// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/predictor.hpp"

#include <algorithm>

#include "base/bits.hpp"

namespace vt::cpu {
namespace {

/// Saturates; without a branch of the host, which would be as hard to predict as the guest's.
i8 learnt(i8 counter, bool taken, int low, int high) {
  const int n = counter + 2 * int{taken} - 1;
  return static_cast<i8>(n < low ? low : n > high ? high : n);
}

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
  Entry* const shorter = near.knows ? near.entry : &of_base;
  Entry& e = *(far.knows ? far.entry : shorter);
  const Entry& other = *(far.knows ? shorter : &of_base);   // who would have been asked otherwise
  const bool tagged = near.knows || far.knows, right = (e.counter >= 0) == taken, agree = (e.counter >= 0) == (other.counter >= 0);
  const int useful = e.useful + int{!agree} * (2 * int{right} - 1);
  e.useful = static_cast<u8>(useful < 0 ? 0 : useful > 3 ? 3 : useful);
  e.counter = learnt(e.counter, taken, tagged ? -4 : -2, tagged ? 3 : 1);
  const bool by_base = base.counter >= 0;
  base.counter = near.knows && far.knows ? base.counter : learnt(base.counter, taken, -2, 1);   // it decided, or would have
  base.right = by_base == taken ? static_cast<u8>(base.right + (base.right != sure_)) : u8{0};
  if (!right && !far.knows) enter(near, far, taken);
  history_ = history_ << 1 | u64{taken};
  return right;
}

/// Where more of the history is looked at than by the one that was wrong: the first place that has not been of use lately.
void Predictor::enter(const Tagged::Found& near, const Tagged::Found& far, bool taken) {
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
