// SPDX-License-Identifier: GPL-2.0-or-later
/// A run with somebody at the keyboard: what is typed goes to the serial port at once, and is recorded; while every processor waits, virtual
/// time goes with the host's clock. Only when input arrives depends on the host, and that is an input of the run.
#pragma once
#include <functional>
#include <optional>

#include "emu/machine.hpp"
#include "keyboard.hpp"
#include "typing.hpp"

namespace vt::cli {

/// `Stop::what` when the escape key ended the run.
inline constexpr const char* kEscape = "the escape key";

class Interactive {
 public:
  /// `between`: called many times a second; `kept`: after each input, for what a crash must not lose.
  Interactive(emu::Machine& m, Keyboard& keyboard, Typist& typist, std::function<void()> between, std::function<void()> kept)
      : machine_(m), keyboard_(keyboard), typist_(typist), between_(std::move(between)), kept_(std::move(kept)) {}
  /// To this step, or until the run ends or nobody can type any more.
  void to(u64 step);
  bool goes_on() const { return keyboard_.open(); }
  /// Every processor waits, and time has gone on to this cycle without a step.
  std::optional<u64> waits() const { return waits_ && machine_.steps() == waits_at_ ? waits_ : std::nullopt; }

 private:
  u64 may_wait_until();
  emu::Machine& machine_;
  Keyboard& keyboard_;
  Typist& typist_;
  std::function<void()> between_, kept_;
  std::optional<u64> waits_;
  u64 waits_at_ = 0;           ///< its step
  u64 base_cycle_ = 0;
  double base_host_ = 0;
  u64 slice_ = 1'000'000;
};

}  // namespace vt::cli
