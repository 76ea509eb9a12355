// SPDX-License-Identifier: GPL-2.0-or-later
/// Stops a machine before the instruction at an address is executed for the nth time, on any processor. An observer that is
/// there already goes on being told.
#pragma once
#include <fmt/format.h>

#include <string>

#include "cpu/observer.hpp"
#include "emu/machine.hpp"
#include "hypervisor/symbols.hpp"
#include "verbs.hpp"
#include "when.hpp"

namespace vt::cli {

class SymbolStop final : public cpu::Observer {
 public:
  SymbolStop(emu::Machine& m, u64 address, u64 number, std::string what) : machine_(m), inner_(m.processor(0).observer()), address_(address), left_(number), what_(std::move(what)) {
    m.observe(this);
  }
  ~SymbolStop() override { machine_.observe(inner_); }
  SymbolStop(const SymbolStop&) = delete;
  SymbolStop& operator=(const SymbolStop&) = delete;

  void call(const cpu::Cpu& c, u64 slot, u64 to) override { if (inner_) inner_->call(c, slot, to); }
  void ret(const cpu::Cpu& c, u64 slot) override { if (inner_) inner_->ret(c, slot); }
  bool probed(u64 rip) const override { return rip == address_ || (inner_ && inner_->probed(rip)); }
  bool probe(const cpu::Cpu& c, u64 rip) override {
    const u64 step = machine_.position().step;
    if (rip == address_ && left_ != 0 && step != last_ && !(from_ && step < *from_)) {   // else: told again of the same step
      last_ = step;
      if (--left_ == 0) {
        machine_.stop().request(StopReason::until, what_);
        return true;
      }
    }
    return inner_ && inner_->probed(rip) && inner_->probe(c, rip);
  }
  void access(const cpu::Cpu& c, const cpu::MemoryAccess& a) override { if (inner_) inner_->access(c, a); }
  void device_read(Hpa at, u64 size) override { if (inner_) inner_->device_read(at, size); }
  u64 left() const { return left_; }
  void hear_from(const u64* step) { from_ = step; }   ///< what is before it was counted already

 private:
  emu::Machine& machine_;
  cpu::Observer* const inner_;
  const u64 address_;
  u64 left_, last_ = ~u64{0};
  const std::string what_;
  const u64* from_ = nullptr;
};

/// Address of sym:NAME. `before` begins the message (an option, a run). Throws UsageError.
inline u64 symbol_address(const When& w, const hv::Symbols* symbols, const std::string& before) {
  if (!symbols) throw UsageError(fmt::format("{}{}: there are no symbols of this kernel; give them with --symbols when you run it", before, w.typed));
  auto at = symbols->find(w.text);
  if (!at) throw UsageError(fmt::format("{}{}: no such symbol in {} (the compiler may have inlined it)", before, w.typed, symbols->file()));
  return *at;
}

}  // namespace vt::cli
