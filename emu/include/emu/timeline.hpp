// SPDX-License-Identifier: GPL-2.0-or-later
/// Going back in time within one process: checkpoints of a running machine, close together and cheap. A checkpoint is the machine's
/// state without memory, and the pages that were written since, each as it was before its first write (`page_flag::unsaved`
/// tells of every writer). Going back puts pages and state back; going to any other step is running forward from there. Nothing of this
/// can be noticed by the guest.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "emu/machine.hpp"

namespace vt::emu {

class Timeline final : public PhysMem::Listener {
 public:
  static constexpr u64 kBudget = u64{512} << 20;
  /// `budget`: bytes that checkpoints may take together. Saves the present state. One timeline per machine; it must go before the machine.
  explicit Timeline(Machine& m, u64 budget = kBudget);
  ~Timeline() override;
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  /// A checkpoint of the present state, between runs. Nothing happens where there is one of this step. Beyond the budget, checkpoints are thinned: the
  /// older they are, the further apart; when few are left, the oldest is forgotten.
  void save();
  /// The machine is again as it was at the last checkpoint at or before `step`; checkpoints behind that one are gone. Returns its step.
  /// `step` must not be before `oldest()`. Between runs.
  u64 restore(u64 step);

  u64 oldest() const { return points_.front().step; }
  u64 newest() const { return points_.back().step; }
  bool has(u64 step) const;
  std::vector<u64> steps() const;
  u64 bytes() const { return bytes_; }   ///< that they take now

  // PhysMem::Listener
  void before_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) override;
  void after_write(Hpa, std::size_t, u8, WriteCause) override {}

 private:
  using Bytes = std::array<u8, kPageSize>;
  struct Page { u64 number; std::unique_ptr<Bytes> was; };   ///< null: zeroes
  struct Counted { u64 retired; cpu::Cpu::Stats stats; };   ///< of a processor: what `stat` shows is not counted twice
  struct Point { u64 step; std::vector<u8> state; std::vector<Counted> counted; std::vector<Page> pages; std::vector<Disk::Written> disks; };
  static u64 size(const Page& p) { return sizeof(Page) + (p.was ? kPageSize : 0); }
  void flag(Page& p);
  void thin();
  void merge(std::size_t n);
  void drop_pointers();

  Machine& machine_;
  PhysMem& memory_;
  const u64 budget_;
  u64 bytes_ = 0;
  std::vector<Point> points_;   ///< ascending; pages of each: what was written between it and the next
};

}  // namespace vt::emu
