// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/call_stacks.hpp"

#include <algorithm>

namespace vt::views {

CallStacks::Page& CallStacks::find(u64 k) {
  if (pages_.size() >= kMaxPages && !pages_.contains(k)) pages_.clear();
  auto& p = pages_[k];
  if (!p) p = std::make_shared<Page>();
  else if (p.use_count() > 1) p = std::make_shared<Page>(*p);
  last_key_ = k;
  last_ = p.get();
  return *p;
}

std::vector<u64> CallStacks::chain(u32 space, u64 sp) const {
  // Upwards through the pages that have been stacks; one without anything open may lie between (a large array).
  std::vector<Slot> found;
  unsigned empty = 0;
  sp = (sp + 7) & ~u64{7};
  for (u64 at = sp; empty < 2 && found.size() < 4096;) {
    const u64 end = (at | 0xfff) + 1;
    const Page* p = known(key(space, at));
    if (!p) break;
    bool any = false;
    for (u64 s = at; s != end; s += 8)
      if (const Slot& x = (*p)[s >> 3 & 511]; x.call) found.push_back(x), any = true;
    empty = any ? 0 : empty + 1;
    if (!end) break;
    at = end;
  }
  // An open call was made after all those further out: from the outside in, numbers grow.
  std::vector<u64> out;
  u64 last = 0;
  for (std::size_t i = found.size(); i-- > 0;) {
    if (found[i].call < last) continue;
    last = found[i].call;
    out.push_back(found[i].return_address);
  }
  std::reverse(out.begin(), out.end());
  if (out.size() > kDeepest) out.resize(kDeepest);
  return out;
}

}  // namespace vt::views
