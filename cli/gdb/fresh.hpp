// SPDX-License-Identifier: GPL-2.0-or-later
/// A run that is made for the first time, under a debugger. What it leaves behind (console, events) is written once, however often
/// a stretch of it is gone through.
#pragma once
#include <functional>

#include "drive.hpp"
#include "gdb/player.hpp"
#include "input.hpp"
#include "typing.hpp"

namespace vt::cli::gdb {

/// Up to where the run has ever been.
struct Frontier { u64 step = 0; };

/// Serial output that is new.
class NewBytes final : public emu::SerialSink {
 public:
  NewBytes(emu::SerialSink& next, const Frontier& f) : next_(next), frontier_(f) {}
  void of(emu::Machine& m) { machine_ = &m; }
  emu::SerialSink* also = nullptr;   ///< hears every byte, as often as it is sent
  bool muted = false;                ///< somebody looks ahead
  void put(u8 byte) override {
    if (muted) return;
    if (also) also->put(byte);
    if (!machine_ || machine_->position().step >= frontier_.step) next_.put(byte);
  }

 private:
  emu::SerialSink& next_;
  const Frontier& frontier_;
  emu::Machine* machine_ = nullptr;
};

/// Events that are new go to the run's own sink, all to the debugger.
class NewEvents final : public EventSink {
 public:
  NewEvents(EventSink& next, const Frontier& f) : next_(next), frontier_(f) {}
  void on(const Event& e) override {
    if (e.step >= frontier_.step && !is_io(e.kind)) next_.on(e);
    if (also && (!is_io(e.kind) || also->wants_io())) also->on(e);
  }
  bool wants_io() const override { return also && also->wants_io(); }
  EventSink* also = nullptr;

 private:
  EventSink& next_;
  const Frontier& frontier_;
};

class Fresh final : public Source {
 public:
  /// `advance`: the run itself, from the frontier on, to at most this step.
  Fresh(emu::Machine& m, Frontier& f, NewEvents& events, NewBytes& bytes, const Typist& typist, u64 end, std::function<void(u64)> advance)
      : machine_(m), frontier_(f), events_(events), bytes_(bytes), typist_(typist), end_(end), advance_(std::move(advance)) { bytes_.also = &tap_; }
  ~Fresh() override { bytes_.also = nullptr; }
  Fresh(const Fresh&) = delete;
  Fresh& operator=(const Fresh&) = delete;
  emu::Machine& machine() override { return machine_; }
  u64 end() const override { return end_; }
  void watch(EventSink* s) override { events_.also = s; }
  void unwatch(EventSink*) override { events_.also = nullptr; }
  void on_text(const std::string& text, std::function<void()> f) override { tap_.wait_for(text, std::move(f)); }
  std::string heard() const override { return tap_.heard(); }
  void hear(std::string bytes) override { tap_.hear(std::move(bytes)); }
  void rewound() override {
    next_input_ = 0;
    while (next_input_ < typist_.input().size() && typist_.input()[next_input_].step < machine_.steps()) ++next_input_;
  }
  void to(u64 step) override {
    again(std::min(step, frontier_.step));
    if (machine_.stop().requested() || machine_.steps() < frontier_.step || machine_.steps() >= step) return;
    if (ended_.requested()) { machine_.stop() = ended_; return; }
    advance_(step);
    frontier_.step = std::max(frontier_.step, machine_.steps());
    next_input_ = typist_.input().size();
    if (machine_.stop().requested() && machine_.stop().what() != kDebugger) ended_ = machine_.stop();
  }
  /// The debugger is gone: to where the run has been.
  void catch_up() {
    machine_.stop().clear();
    again(frontier_.step);
    if (ended_.requested() && !machine_.stop().requested()) machine_.stop() = ended_;
  }

 private:
  /// Steps that were made before, with what was typed then.
  void again(u64 step) {
    while (machine_.steps() < step && !machine_.stop().requested()) {
      u64 next = step;
      const auto& input = typist_.input();
      if (next_input_ < input.size()) {
        if (input[next_input_].step == machine_.steps()) {
          give(machine_, input[next_input_]);
          ++next_input_;
          continue;
        }
        next = std::min(next, input[next_input_].step);
      }
      machine_.run(next);
    }
  }
  emu::Machine& machine_;
  Frontier& frontier_;
  NewEvents& events_;
  NewBytes& bytes_;
  ConsoleTap tap_;
  const Typist& typist_;
  const u64 end_;
  std::function<void(u64)> advance_;
  std::size_t next_input_ = 0;
  Stop ended_;   ///< why the run has ended at the frontier
};

}  // namespace vt::cli::gdb
