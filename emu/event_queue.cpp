// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/event_queue.hpp"

#include "base/check.hpp"

namespace vt::emu {

u32 EventQueue::number(Timed& owner) {
  for (u32 n = 0; n < owners_.size(); ++n) if (owners_[n] == &owner) return n;
  CHECK(!sealed_, "an event of something that was not given to add_owner");
  owners_.push_back(&owner);
  return static_cast<u32>(owners_.size() - 1);
}

void EventQueue::at(u64 cycle, Timed& owner, u32 kind) {
  cancel(owner, kind);
  const Key key{number(owner), kind};
  const auto when = std::pair{cycle, sequence_++};
  queue_[when] = key;
  by_key_[key] = when;
}

void EventQueue::cancel(Timed& owner, u32 kind) {
  auto it = by_key_.find({number(owner), kind});
  if (it == by_key_.end()) return;
  queue_.erase(it->second);
  by_key_.erase(it);
}

void EventQueue::expire_one(u64 now) {
  CHECK(!queue_.empty());
  const Key key = queue_.begin()->second;
  queue_.erase(queue_.begin());
  by_key_.erase(key);
  owners_[key.owner]->expire(key.kind, now);
}

void EventQueue::state(Ar& ar) {
  struct Entry { u64 cycle, sequence; u32 owner, kind; void state(Ar& a) { a(cycle, sequence, owner, kind); } };
  std::vector<Entry> entries;
  for (auto& [when, key] : queue_) entries.push_back({when.first, when.second, key.owner, key.kind});
  ar(entries, sequence_);
  if (!ar.loading()) return;
  queue_.clear();
  by_key_.clear();
  for (auto& e : entries) {
    if (e.owner >= owners_.size()) throw std::runtime_error("damaged state: an event of nobody");
    const Key key{e.owner, e.kind};
    queue_[{e.cycle, e.sequence}] = key;
    by_key_[key] = {e.cycle, e.sequence};
  }
}

}  // namespace vt::emu
