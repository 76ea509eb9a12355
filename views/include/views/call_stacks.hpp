// SPDX-License-Identifier: GPL-2.0-or-later
/// Call chains without frame pointers or debug information: which words of the stacks are return addresses of calls that are still
/// open, learned from CALL and RET as they execute (64-bit mode). Kept by where they stand, so that a switch of stacks needs no special
/// care; numbers in the order of the calls tell frames that were abandoned (a stack pointer that was simply set) from open ones.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/types.hpp"

namespace vt::views {

class CallStacks {
 public:
  /// `space`: processor and what else makes linear addresses different things (VMX non-root operation).
  void call(u32 space, u64 slot, u64 return_address) {
    Page& p = page(space, slot);
    p[slot >> 3 & 511] = {return_address, ++calls_};
  }
  void ret(u32 space, u64 slot) { page(space, slot)[slot >> 3 & 511].call = 0; }

  /// The same at this moment, cheap: pages are shared until one of the two writes them.
  CallStacks share() const {
    last_ = nullptr;
    return *this;
  }

  /// Return addresses of the calls that are open at this stack pointer, innermost first, at most kDeepest.
  std::vector<u64> chain(u32 space, u64 sp) const;
  static constexpr unsigned kDeepest = 64;

 private:
  struct Slot { u64 return_address = 0, call = 0; };   ///< call 0: none
  using Page = std::array<Slot, 512>;
  static constexpr std::size_t kMaxPages = 8192;       ///< 64 MiB; then all is forgotten
  static u64 key(u32 space, u64 at) { return (at >> 12 << 8) | (space & 0xff); }
  Page& page(u32 space, u64 at) {
    const u64 k = key(space, at);
    if (k == last_key_ && last_) return *last_;
    return find(k);
  }
  Page& find(u64 k);
  const Page* known(u64 k) const { auto it = pages_.find(k); return it == pages_.end() ? nullptr : it->second.get(); }
  std::unordered_map<u64, std::shared_ptr<Page>> pages_;   ///< looked up, never iterated
  u64 last_key_ = 0, calls_ = 0;
  mutable Page* last_ = nullptr;   ///< ours alone
};

/// Chains as a tree: each node is a return address and its caller's node, so that equal chains are one number.
class ChainTree {
 public:
  struct Node { u32 parent = 0; u64 return_address = 0; };
  /// The number of a chain (innermost first); 0 for the empty one. `added(number, node)` is called for nodes that are new, callers first.
  template <class F>
  u32 number(const std::vector<u64>& chain, F added) {
    u32 at = 0;
    for (std::size_t i = chain.size(); i-- > 0;) {
      auto [it, fresh] = index_.try_emplace({at, chain[i]}, static_cast<u32>(nodes_.size()));
      if (fresh) {
        nodes_.push_back({at, chain[i]});
        added(it->second, nodes_.back());
      }
      at = it->second;
    }
    return at;
  }
  /// From a file: nodes come in the order of their numbers.
  void add(u32 number, Node n) {
    if (number >= nodes_.size() && number < (u32{1} << 28)) nodes_.resize(number + 1);
    if (number && number < nodes_.size() && n.parent < number) nodes_[number] = n;
  }
  /// Return addresses, innermost first.
  std::vector<u64> chain(u32 number) const {
    std::vector<u64> all;
    for (; number && number < nodes_.size(); number = nodes_[number].parent) all.push_back(nodes_[number].return_address);
    return all;
  }

 private:
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::map<std::pair<u32, u64>, u32> index_;
};

}  // namespace vt::views
