// SPDX-License-Identifier: GPL-2.0-or-later
/// A run with somebody outside: at the keyboard, whose keys go to the serial port, or on a network. What comes is given to the machine at once, and is
/// recorded; while every processor waits for it, virtual time goes with the host's clock. Only when input arrives depends on the host, and that is
/// an input of the run.
#pragma once
#include <functional>
#include <optional>

#include "emu/machine.hpp"
#include "input.hpp"
#include "keyboard.hpp"
#include "network.hpp"

namespace vt::cli {

/// `Stop::what` when the escape key ended the run.
inline constexpr const char* kEscape = "the escape key";

class Interactive {
 public:
  /// Either may be null.
  Interactive(emu::Machine& m, Keyboard* keyboard, Network* network, InputLog& log) : machine_(m), keyboard_(keyboard), network_(network), log_(log) {}
  /// To this step, or until the run ends or nobody is there any more. `between` is called many times a second.
  void to(u64 step, const std::function<void()>& between);
  bool goes_on() const { return typed_at() || network_; }
  bool typed_at() const { return keyboard_ && keyboard_->open(); }
  /// Every processor waits, and time has gone on to this cycle without a step.
  std::optional<u64> waits() const { return waits_ && machine_.steps() == waits_at_ ? waits_ : std::nullopt; }

 private:
  u64 may_wait_until();
  void hear(double wait);
  void came(Arrival in);
  emu::Machine& machine_;
  Keyboard* keyboard_;
  Network* network_;
  InputLog& log_;
  std::optional<u64> waits_;
  u64 waits_at_ = 0;           ///< its step
  u64 base_cycle_ = 0;
  double base_host_ = 0, between_at_ = 0;
  u64 slice_ = 1'000'000;
};

}  // namespace vt::cli
