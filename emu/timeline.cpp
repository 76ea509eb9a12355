// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/timeline.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace vt::emu {
namespace {

constexpr std::size_t kFew = 8;        ///< so many are kept however little the budget is
constexpr std::size_t kMany = 2048;    ///< and never more than this

bool all_zero(const u8* p) {
  static constexpr std::array<u8, kPageSize> kZero{};
  return std::memcmp(p, kZero.data(), kPageSize) == 0;
}

}  // namespace

Timeline::Timeline(Machine& m, u64 budget) : machine_(m), memory_(m.memory()), budget_(budget) {
  memory_.add_listener(this);
  for (auto& r : memory_.ranges())   // ROM, too: a loader writes it
    for (u64 at = r.first.v; at < r.first.v + r.size; at += kPageSize) memory_.set_flag(Hpa{at}, page_flag::unsaved);
  save();
}

Timeline::~Timeline() {
  for (auto& r : memory_.ranges())
    for (u64 at = r.first.v; at < r.first.v + r.size; at += kPageSize) memory_.clear_flag(Hpa{at}, page_flag::unsaved);
  memory_.remove_listener(this);
}

void Timeline::drop_pointers() {
  for (unsigned n = 0; n < machine_.cpus(); ++n) machine_.processor(n).host.drop_writes_to(memory_.host(), memory_.top());
}

void Timeline::before_write(Hpa at, std::size_t, u8 flags, WriteCause) {
  if (!(flags & page_flag::unsaved)) return;   // a write lies within one page
  const u64 number = at.v >> kPageShift;
  const u8* now = memory_.host() + (number << kPageShift);
  Page p{number, nullptr};
  if (!all_zero(now)) {
    p.was = std::make_unique_for_overwrite<Bytes>();
    std::memcpy(p.was->data(), now, kPageSize);
  }
  bytes_ += size(p);
  points_.back().pages.push_back(std::move(p));
  memory_.clear_flag(at, page_flag::unsaved);
}

void Timeline::save() {
  if (!points_.empty()) {
    CHECK(points_.back().step <= machine_.steps(), "the machine went back without its timeline");
    if (points_.back().step == machine_.steps()) return;   // what is typed before a step belongs to the step
    for (auto& p : points_.back().pages) memory_.set_flag(Hpa{p.number << kPageShift}, page_flag::unsaved);
  }
  drop_pointers();
  SaveAr ar;
  machine_.state_but_memory(ar);
  bytes_ += ar.out.size();
  Point p{machine_.steps(), std::move(ar.out), {}, {}, {}};
  for (auto& d : machine_.disks()) p.disks.push_back(d->written());   // shares its blocks
  for (unsigned n = 0; n < machine_.cpus(); ++n) p.counted.push_back({machine_.processor(n).retired, machine_.processor(n).stats});
  points_.push_back(std::move(p));
  thin();
}

u64 Timeline::restore(u64 step) {
  CHECK(step >= oldest(), "there is no checkpoint so far back");
  for (;;) {
    Point& p = points_.back();
    // From the last interval to the first: what a page was at the earliest point is written last.
    for (auto& page : p.pages) {
      u8* to = memory_.host() + (page.number << kPageShift);
      if (page.was) std::memcpy(to, page.was->data(), kPageSize);
      else std::memset(to, 0, kPageSize);
      memory_.set_flag(Hpa{page.number << kPageShift}, page_flag::unsaved);
      bytes_ -= size(page);
    }
    p.pages.clear();
    if (p.step <= step) break;
    bytes_ -= p.state.size();
    points_.pop_back();
  }
  LoadAr ar(points_.back().state);
  machine_.state_but_memory(ar);   // drops what was derived from memory, too
  CHECK(ar.at_end(), "a checkpoint is longer than the machine's state");
  for (unsigned n = 0; n < machine_.cpus(); ++n) {
    machine_.processor(n).retired = points_.back().counted[n].retired;
    machine_.processor(n).stats = points_.back().counted[n].stats;
  }
  for (std::size_t n = 0; n < machine_.disks().size(); ++n) machine_.disks()[n]->restore(points_.back().disks[n]);
  drop_pointers();
  return points_.back().step;
}

bool Timeline::has(u64 step) const {
  auto it = std::lower_bound(points_.begin(), points_.end(), step, [](const Point& p, u64 s) { return p.step < s; });
  return it != points_.end() && it->step == step;
}

std::vector<u64> Timeline::steps() const {
  std::vector<u64> all;
  for (auto& p : points_) all.push_back(p.step);
  return all;
}

void Timeline::thin() {
  while (points_.size() > 2 && (bytes_ > budget_ || points_.size() > kMany)) {
    if (points_.size() <= kFew) {   // whole intervals have to go: history begins later
      for (auto& p : points_.front().pages) bytes_ -= size(p);
      bytes_ -= points_.front().state.size();
      points_.erase(points_.begin());
      continue;
    }
    // The one whose going leaves the smallest gap for its age.
    const u64 now = points_.back().step;
    std::size_t best = 1;
    double least = 0;
    for (std::size_t n = 1; n + 1 < points_.size(); ++n) {
      const double gap = static_cast<double>(points_[n + 1].step - points_[n - 1].step), age = static_cast<double>(now - points_[n].step);
      if (n == 1 || gap / age < least) least = gap / age, best = n;
    }
    merge(best);
  }
}

/// Checkpoint `n` goes; the one before it takes over what it was the first to see written.
void Timeline::merge(std::size_t n) {
  auto by_number = [](const Page& a, const Page& b) { return a.number < b.number; };
  auto &first = points_[n - 1].pages, &second = points_[n].pages;
  std::sort(first.begin(), first.end(), by_number);
  std::sort(second.begin(), second.end(), by_number);
  std::vector<Page> both;
  both.reserve(first.size() + second.size());
  std::size_t i = 0;
  for (auto& p : second) {
    while (i < first.size() && first[i].number < p.number) both.push_back(std::move(first[i++]));
    if (i < first.size() && first[i].number == p.number) bytes_ -= size(p);
    else both.push_back(std::move(p));
  }
  while (i < first.size()) both.push_back(std::move(first[i++]));
  first = std::move(both);
  bytes_ -= points_[n].state.size();
  points_.erase(points_.begin() + static_cast<std::ptrdiff_t>(n));
}

}  // namespace vt::emu
