// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/predictor.hpp"

#include "base/bits.hpp"

namespace vt::cpu {
namespace {

void learn(i8& counter, bool taken, i8 low, i8 high) {
  if (taken) counter = static_cast<i8>(std::min<int>(counter + 1, high));
  else counter = static_cast<i8>(std::max<int>(counter - 1, low));
}

}  // namespace

Predictor::Predictor(const timing::Profile& p)
    : base_(std::size_t{1} << p.predictor_log2), btb_(p.btb_entries / p.btb_ways, p.btb_ways), stack_(p.return_stack) {
  for (unsigned t = 0; t < kTables; ++t) {
    keep_[t] = mask(std::clamp(p.history_bits >> (kTables - 1 - t), 2u, 64u) - 1, 0);   // an eighth, a quarter, half, all
    tagged_[t].resize(std::size_t{1} << p.predictor_log2);
  }
}

/// SDM has nothing of it: the shape is that of published TAGE predictors.
bool Predictor::by_history(u64 branch, bool taken, Base& base) {
  std::array<Entry*, kTables> at{};
  int known = -1, other = -1;
  std::array<u16, kTables> tags{};
  for (unsigned t = 0; t < kTables; ++t) {
    // Of the branch and as much of the history as the table looks at: low bits name the slot, high ones are the tag.
    const u64 h = ((branch + t) ^ (history_ & keep_[t]) * 0x9e3779b97f4a7c15) * 0xd1342543de82ef95;
    tags[t] = static_cast<u16>(h >> 48 | 1);   // 0 is empty
    at[t] = &tagged_[t][h >> 24 & (tagged_[t].size() - 1)];
    if (at[t]->tag == tags[t]) other = known, known = static_cast<int>(t);
  }
  const bool by_base = base.counter >= 0;
  const bool second = other >= 0 ? at[static_cast<unsigned>(other)]->counter >= 0 : by_base;
  bool right;
  if (known >= 0) {
    Entry& e = *at[static_cast<unsigned>(known)];
    const bool first = e.counter >= 0;
    right = first == taken;
    if (first != second) e.useful = static_cast<u8>(right ? std::min(e.useful + 1, 3) : std::max(e.useful - 1, 0));
    learn(e.counter, taken, -4, 3);
  } else {
    right = by_base == taken;
  }
  if (known < 0 || other < 0) learn(base.counter, taken, -2, 1);
  base.right = by_base == taken ? static_cast<u8>(std::min<unsigned>(base.right + 1u, kSure)) : u8{0};
  if (!right) {
    bool made = false;
    for (unsigned t = static_cast<unsigned>(known + 1); t < kTables && !made; ++t)
      if (at[t]->useful == 0) *at[t] = {tags[t], static_cast<i8>(taken ? 0 : -1), 0}, made = true;
    for (unsigned t = static_cast<unsigned>(known + 1); t < kTables && !made; ++t) --at[t]->useful;
  }
  return right;
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
