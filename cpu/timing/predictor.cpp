// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/predictor.hpp"

#include <bit>

#include "base/bits.hpp"

namespace vt::cpu {
namespace {

/// Saturates; without a branch of the host, which would be as hard to predict as the guest's.
i8 learnt(i8 counter, bool taken, int low, int high) {
  const int n = counter + 2 * int{taken} - 1;
  return static_cast<i8>(n < low ? low : n > high ? high : n);
}

unsigned highest(unsigned bits) { return static_cast<unsigned>(std::bit_width(bits)) - 1; }

}  // namespace

Predictor::Predictor(const timing::Profile& p)
    : base_(std::size_t{1} << p.predictor_log2), base_mask_(base_.size() - 1), btb_(p.btb_entries / p.btb_ways, p.btb_ways), stack_(p.return_stack) {
  sure_ = static_cast<u8>(std::clamp(p.history_bits, 2u, 64u));
  for (unsigned t = 0; t < kTables; ++t) {
    keep_[t] = mask(std::clamp(p.history_bits >> (kTables - 1 - t), 2u, 64u) - 1, 0);   // an eighth, a quarter, half, all
    tagged_[t].resize(std::size_t{1} << p.predictor_log2);
  }
}

/// SDM has nothing of it: the shape is that of published TAGE predictors. Place 0 is the base table's, the tagged ones follow.
bool Predictor::by_history(u64 branch, bool taken, Base& base) {
  Entry of_base{0, base.counter, 0};
  Entry* at[1 + kTables] = {&of_base};
  u16 tags[1 + kTables] = {};
  unsigned know = 1;   // bit n: place n does
  for (unsigned t = 0; t < kTables; ++t) {
    // Of the branch and as much of the history as the table looks at: low bits name the slot, high ones are the tag.
    const u64 h = ((branch + t) ^ (history_ & keep_[t]) * 0x9e3779b97f4a7c15) * 0xd1342543de82ef95;
    tags[t + 1] = static_cast<u16>(h >> 48 | 1);   // 0 is empty
    at[t + 1] = &tagged_[t][h >> 24 & base_mask_];
    know |= unsigned{at[t + 1]->tag == tags[t + 1]} << (t + 1);
  }
  const unsigned first = highest(know), second = highest((know ^ 1u << first) | 1);
  Entry& e = *at[first];
  const bool right = (e.counter >= 0) == taken, agree = (e.counter >= 0) == (at[second]->counter >= 0), by_base = base.counter >= 0;
  const int useful = e.useful + int{!agree} * (2 * int{right} - 1);
  e.useful = static_cast<u8>(useful < 0 ? 0 : useful > 3 ? 3 : useful);
  e.counter = learnt(e.counter, taken, first ? -4 : -2, first ? 3 : 1);
  base.counter = second ? base.counter : learnt(base.counter, taken, -2, 1);   // it decided, or would have
  base.right = by_base == taken ? static_cast<u8>(base.right + (base.right != sure_)) : u8{0};
  if (right) return true;
  unsigned free = 0;   // beyond the one that was wrong
  for (unsigned t = first + 1; t <= kTables; ++t) free |= unsigned{at[t]->useful == 0} << t;
  if (free) *at[std::countr_zero(free)] = {tags[std::countr_zero(free)], static_cast<i8>(taken ? 0 : -1), 0};
  else for (unsigned t = first + 1; t <= kTables; ++t) --at[t]->useful;
  return false;
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
  a(base_, tagged_, btb_, stack_, top_, history_, path_);
  if (a.loading() && (base_.size() != entries || stack_.size() != depth || top_ >= depth ||
                      std::any_of(tagged_.begin(), tagged_.end(), [&](auto& t) { return t.size() != entries; })))
    throw std::runtime_error("damaged state: a branch predictor of another size");
}

}  // namespace vt::cpu
