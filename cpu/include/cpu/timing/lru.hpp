// SPDX-License-Identifier: GPL-2.0-or-later
/// Sets of keys, each kept in order of use: the first is the one used last, the last one goes. What TLBs and branch targets are kept in.
#pragma once
#include <algorithm>
#include <vector>

#include "base/archive.hpp"
#include "base/check.hpp"

namespace vt::cpu {

/// `Key`: default-constructed is empty, and equal to no key that is looked for.
template <class Key>
class LruSets {
 public:
  LruSets() = default;
  LruSets(unsigned sets, unsigned ways) : sets_(sets), ways_(ways), keys_(std::size_t{sets} * ways) { CHECK(sets && !(sets & (sets - 1)), "sets are a power of two"); }
  bool none() const { return keys_.empty(); }
  unsigned sets() const { return sets_; }
  unsigned set_of(u64 number) const { return static_cast<unsigned>(number) & (sets_ - 1); }
  /// The key that `is` holds for, now the set's first; null: a miss.
  template <class Is>
  Key* use(unsigned set, Is is) {
    Key* k = &keys_[std::size_t{set} * ways_];
    if (is(k[0])) return k;
    for (unsigned n = 1; n < ways_; ++n)
      if (is(k[n])) {
        const Key found = k[n];
        std::copy_backward(k, k + n, k + n + 1);
        k[0] = found;
        return k;
      }
    return nullptr;
  }
  /// Becomes the set's first. Returns the key that has gone for it, which may be empty.
  Key insert(unsigned set, const Key& key) {
    Key* k = &keys_[std::size_t{set} * ways_];
    const Key gone = k[ways_ - 1];
    std::copy_backward(k, k + ways_ - 1, k + ways_);
    k[0] = key;
    return gone;
  }
  /// The places that become free are the next ones to be used.
  template <class Is>
  void drop_if(Is is) { for (unsigned s = 0; s < sets_; ++s) drop_if(s, is); }
  template <class Is>
  void drop_if(unsigned set, Is is) {
    Key* k = keys_.data() + std::size_t{set} * ways_;
    Key* end = std::stable_partition(k, k + ways_, [&](const Key& x) { return !is(x); });
    std::fill(end, k + ways_, Key{});
  }
  void state(Ar& a) {
    const std::size_t n = keys_.size();
    a(keys_);
    if (keys_.size() != n) throw std::runtime_error("damaged state: a cache of another size");
  }

 private:
  unsigned sets_ = 0, ways_ = 0;
  std::vector<Key> keys_;
};

}  // namespace vt::cpu
