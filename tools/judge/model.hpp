// SPDX-License-Identifier: GPL-2.0-or-later
/// The same cases in our processor: CPL 3 in 64-bit mode, the region mapped as the host has it, exceptions delivered to a supervisor
/// stack and read from there.
#pragma once
#include <memory>

#include "cpu/cpu.hpp"
#include "judge/mode.hpp"

namespace vt::judge {

class Model final : public cpu::Outside {
 public:
  Model();
  ~Model() override;
  /// Memory is in place: `at`. False: the step limit, or what is not modelled.
  bool run(const State& start, unsigned code_bytes, Outcome& o);
  u8* at(u64 address) { return mem_.host() + kPhysical + (address - kRegion); }
  cpu::Cpu& cpu() { return *cpu_; }
  static Hpa physical(u64 address) { return Hpa{kPhysical + (address - kRegion)}; }
  std::string trouble() const { return stop_.what(); }

  PhysMem& memory() override { return mem_; }
  Stop& stop() override { return stop_; }
  EventSink* events() override { return nullptr; }
  u64 mmio_read(Hpa, unsigned) override { return 0; }
  void mmio_write(Hpa, unsigned, u64) override {}
  u64 port_read(u16, unsigned) override { return 0; }
  void port_write(u16, unsigned, u64) override {}
  void page_flagged(Hpa page) override { cpu_->host.drop_writes_to(mem_.host() + page.v, 4096); }
  void send(unsigned, const cpu::ApicMessage&) override {}
  void eoi(u8) override {}
  bool pic_pending() override { return false; }
  u8 pic_acknowledge() override { return 0xff; }
  void arm_timer(unsigned, u64) override {}
  void arm_preemption_timer(unsigned, u64) override {}
  u64 slice_start() const override { return 0; }
  u64 slice_start_step() const override { return 0; }

 private:
  static constexpr u64 kPhysical = 0x200000, kSupervisor = 0xffffffff80000000;
  struct Listener final : PhysMem::Listener {
    void before_write(Hpa, std::size_t, u8, WriteCause) override {}
    void after_write(Hpa where, std::size_t n, u8, WriteCause) override { if (owner->cpu_) owner->cpu_->code_written(where, n); }
    Model* owner = nullptr;
  };
  PhysMem mem_{8 << 20};
  Stop stop_;
  Listener listener_;
  std::unique_ptr<cpu::Cpu> cpu_;
};

}  // namespace vt::judge
