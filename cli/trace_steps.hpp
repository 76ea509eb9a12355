// SPDX-License-Identifier: GPL-2.0-or-later
/// What a machine does, step by step: instructions with the registers they change, the memory they access and by which translation, and the
/// events between them. It only listens.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/events.hpp"
#include "cpu/cpu.hpp"
#include "emu/machine.hpp"

namespace vt::cli {

/// How a linear address is translated now, by the tables as they stand. Sizes are in bytes.
struct Path {
  bool paging = false, nested = false;
  std::optional<Gpa> gpa;
  std::optional<Hpa> hpa;
  u64 page = 0, ept_page = 0;
};
Path path_of(emu::Machine& m, const cpu::Cpu& c, u64 linear);

struct TracedAccess {
  cpu::MemoryAccess::Kind kind;
  bool device, ept;
  u8 level;
  u64 linear;
  Hpa at;
  u64 page;                 ///< bytes of the translation that was used
  Path path;                ///< read, write
  std::string value, was;   ///< bytes in memory's order; `was`: of a write to memory, what stood there
};
struct Change { std::string name, was, is; };   ///< hexadecimal

/// A step: the attempt to execute an instruction, or a delivery. What happened within it, in order.
struct TracedStep {
  u64 step = 0;
  unsigned cpu = 0, cpl = 0;
  char vmx = '-';           ///< '-' off, 'r' root, 'n' non-root operation
  u16 cs = 0;
  u64 rip = 0, linear = 0, next = 0;
  bool executes = false, wide = false;   ///< wide: 64-bit code
  std::string bytes, text;
  std::optional<Hpa> fetched;
  Path fetch;
  std::vector<std::variant<TracedAccess, Event>> happened;
  std::vector<Change> changes;
};

class StepTracer final : public cpu::Observer, public EventSink {
 public:
  using Text = std::function<std::string(const cpu::Cpu&, u64 rip, std::span<const u8>)>;
  using Step = std::function<void(const TracedStep&)>;
  using Between = std::function<void(const Event&)>;
  /// `only`: a processor, or none for all. Between runs; listens until it goes.
  StepTracer(emu::Machine& m, std::optional<unsigned> only, Text text, Step step, Between between);
  ~StepTracer() override;
  StepTracer(const StepTracer&) = delete;
  StepTracer& operator=(const StepTracer&) = delete;
  /// The last step is complete.
  void finish();

  // cpu::Observer
  void call(const cpu::Cpu&, u64, u64) override {}
  void ret(const cpu::Cpu&, u64) override {}
  bool probe(const cpu::Cpu&, u64) override { return false; }
  bool probed(u64) const override { return false; }
  bool everything() const override { return true; }
  void boundary(const cpu::Cpu& c) override;
  void executes(const cpu::Cpu& c, const cpu::Insn& i) override;
  void access(const cpu::Cpu& c, const cpu::MemoryAccess& a) override;
  // EventSink
  void on(const Event& e) override;
  bool wants_io() const override { return true; }

 private:
  void close(u64 now);
  emu::Machine& machine_;
  const std::optional<unsigned> only_;
  Text text_;
  Step step_;
  Between between_;
  std::optional<TracedStep> open_;
  cpu::CpuState before_;
};

/// What differs, by the manual's names.
std::vector<Change> register_changes(const cpu::CpuState& a, const cpu::CpuState& b);

}  // namespace vt::cli
