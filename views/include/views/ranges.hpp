// SPDX-License-Identifier: GPL-2.0-or-later
/// Pages joined to ranges: neighbours whose targets are neighbours too, and that are alike in everything else.
#pragma once
#include <vector>

#include "base/types.hpp"

namespace vt::views {

/// Appends `r` to `to`, or makes the last range longer. R has `first`, `last` (inclusive), `target` and `alike(const R&)`; pages
/// come in ascending order.
template <class R>
void join(std::vector<R>& to, const R& r) {
  if (!to.empty()) {
    R& last = to.back();
    if (last.last + 1 == r.first && last.last != ~u64{0} && last.target + (r.first - last.first) == r.target && last.alike(r)) {
      last.last = r.last;
      return;
    }
  }
  to.push_back(r);
}

}  // namespace vt::views
