// SPDX-License-Identifier: GPL-2.0-or-later
/// Translation contexts: which host pointers and block links belong to the running combination of address
/// space and access rights. Derived, not state. Going back to a recent context (system call, VM exit) finds its host
/// pointers and links again. Follows the architectural TLB: what that drops is dropped here.
#pragma once
#include <utility>

#include "cpu/host_cache.hpp"
#include "cpu/tlb.hpp"

namespace vt::cpu {

class Cpu;

class Contexts final : public TlbObserver {
 public:
  explicit Contexts(Cpu& c);
  /// Computes key, TLB context and host tag of the present control registers. Cpu::update calls it.
  void select();
  /// The tags of the architectural TLB for accesses made now.
  const TlbContext& tlb() const { return tlb_; }
  /// Voids every host pointer and every block link, in every context.
  void forget_all();
  /// Voids block links only.
  void void_links();
  void dropped(u64 la, u64 size) override;
  void dropped_all() override { forget_all(); }
  /// Has a translation of a page that code was fetched from gone since the last call?
  bool code_dropped() { return std::exchange(code_dropped_, false); }

 private:
  /// What a cached translation's use depends on beyond the linear page.
  struct Key {
    u64 eptp = 0;
    u16 vpid = 0, pcid = 0;
    u32 rights = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Slot {
    Key key;
    u64 id = 0;  ///< host tag or links id; 0: empty
  };
  static constexpr unsigned kSlots = 64;
  static constexpr u16 kLastTag = 4094, kBypass = 4095;
  static unsigned hash(const Key& k);
  void activate();

  Cpu& c_;
  Slot tags_[kSlots], links_[kSlots];
  Key key_, fetch_key_;  ///< the second: with the rights that matter to fetches only, so that STAC keeps block links
  TlbContext tlb_{};
  u32 next_tag_ = 1;
  u64 next_links_ = 1;  ///< never repeats
  bool bypass_ = false, code_dropped_ = false;
};

}  // namespace vt::cpu
