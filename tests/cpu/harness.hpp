// SPDX-License-Identifier: GPL-2.0-or-later
/// A mini machine for processor tests: 16 MiB of RAM, no devices, one processor. `run` executes code bytes
/// up to a HLT that it appends, or to the exception they raise (every vector's handler is a HLT).
#pragma once
#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "cpu/cpu.hpp"

namespace vt::cpu {

class TestMachine : public Outside {
 public:
  enum class Mode { real, protected32, long64 };
  static constexpr u64 kCode = 0x10000, kData = 0x30000, kStack = 0x50000, kHandlers = 0x20000, kIdt = 0x8000, kGdt = 0x9000, kPml4 = 0x100000;

  explicit TestMachine(Mode mode = Mode::long64, std::vector<std::string> features = {}) : model(make_model("server", features, 1, 46, 1'000'000'000)) {
    mem.add_ram(Hpa{0}, 16 << 20);
    listener.owner = this;
    mem.add_listener(&listener);
    cpu = std::make_unique<Cpu>(*this, model, 0, true);
    enter(mode);
  }
  ~TestMachine() override { mem.remove_listener(&listener); }

  /// Registers, descriptor tables, identity paging (2 MiB pages, 1 GiB in all, user and writable) for the mode.
  void enter(Mode m) {
    mode = m;
    Cpu& c = *cpu;
    c.cr0 = cr0::PE | cr0::ET | cr0::NE;
    c.cr4 = cr4::OSFXSR | cr4::OSXMMEXCPT;
    const u64 gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00affb000000ffff, 0x00cff3000000ffff, 0x00cffb000000ffff};
    mem.write(Hpa{kGdt}, gdt, sizeof gdt, WriteCause::loader);
    c.gdtr = {kGdt, sizeof gdt - 1};
    for (unsigned v = 0; v < 256; ++v) {
      const u8 hlt = 0xf4;
      const u64 h = kHandlers + 16 * v;
      mem.write(Hpa{h}, &hlt, 1, WriteCause::loader);
      const u16 cs = m == Mode::long64 ? 0x08 : 0x18;
      const u64 gate = (h & 0xffff) | u64{cs} << 16 | u64{0x8e00} << 32 | (h & 0xffff0000) << 32;
      if (m == Mode::long64) { const u64 g[2] = {gate, h >> 32}; mem.write(Hpa{kIdt + 16 * v}, g, 16, WriteCause::loader); }
      else if (m == Mode::protected32) mem.poke64(Hpa{kIdt + 8 * v}, gate, WriteCause::loader);
      else mem.poke32(Hpa{4 * v}, static_cast<u32>((h >> 4) << 16), WriteCause::loader);
    }
    c.idtr = {m == Mode::real ? 0 : kIdt, static_cast<u16>(m == Mode::long64 ? 4095 : m == Mode::real ? 1023 : 2047)};
    for (unsigned s = 0; s < 6; ++s) {
      Segment& g = c.seg[s];
      g.base = 0, g.limit = ~0u, g.ar = 0xc093, g.sel = 0x10;
      if (s == CS) g.ar = m == Mode::long64 ? 0xa09b : 0xc09b, g.sel = m == Mode::long64 ? 0x08 : 0x18;
    }
    if (m == Mode::long64) {
      mem.poke64(Hpa{kPml4}, (kPml4 + 0x1000) | 7, WriteCause::loader);
      mem.poke64(Hpa{kPml4 + 0x1000}, (kPml4 + 0x2000) | 7, WriteCause::loader);
      for (u64 n = 0; n < 512; ++n) mem.poke64(Hpa{kPml4 + 0x2000 + 8 * n}, n << 21 | 0x87, WriteCause::loader);
      c.cr3 = kPml4, c.cr4 |= cr4::PAE, c.efer = efer::LME | efer::LMA | efer::SCE | efer::NXE, c.cr0 |= cr0::PG;
    }
    if (m == Mode::real) {
      c.cr0 = cr0::ET;
      for (auto& g : c.seg) g.limit = 0xffff, g.ar = 0x93, g.sel = 0, g.base = 0;
      c.seg[CS].sel = kCode >> 4, c.seg[CS].base = kCode, c.seg[CS].ar = 0x9b;
    }
    c.r[4] = m == Mode::real ? 0xf000 : kStack;
    c.tr.limit = 0x67, c.tr.ar = 0x8b;
    c.update();
  }

  /// Runs `code` placed at kCode. Returns the vector of the exception it raised, or -1 when it reached the HLT behind it.
  int run(std::vector<u8> code, u64 max_steps = 10000) {
    code.push_back(0xf4);
    mem.write(Hpa{kCode}, code.data(), code.size(), WriteCause::loader);
    cpu->code_written(Hpa{kCode}, code.size());
    cpu->rip = mode == Mode::real ? 0 : kCode;
    return resume(max_steps);
  }
  int resume(u64 max_steps = 10000) {
    cpu->activity = Activity::active;
    steps = 0;
    while (steps < max_steps && !stop_.requested()) {
      time += last, last = 0;
      if (cpu->idle() && cpu->non_root() && preemption_timer != ~u64{0}) time = std::max(time, preemption_timer);
      if (time >= preemption_timer) preemption_timer = ~u64{0}, cpu->preemption_timer_expired();
      if (cpu->idle()) break;
      last = cpu->run(std::min(max_steps - steps, preemption_timer - time));
      steps += last;
    }
    const u64 at = cpu->rip - 1 + (mode == Mode::real ? cpu->seg[CS].base : 0);
    if (cpu->activity == Activity::hlt && at >= kHandlers && at < kHandlers + 4096 && at % 16 == 0) return static_cast<int>((at - kHandlers) / 16);
    if (cpu->activity == Activity::hlt) return -1;
    return stop_.requested() ? -2 : -3;
  }
  template <class T> T peek(u64 at) { T v; mem.read(Hpa{at}, &v, sizeof v); return v; }
  template <class T> void poke(u64 at, T v) { mem.write(Hpa{at}, &v, sizeof v, WriteCause::loader); }
  /// Error code that the handler finds on its stack (32-bit and 64-bit modes).
  u64 error_code() { return mode == Mode::long64 ? peek<u64>(cpu->r[4]) : peek<u32>(cpu->r[4]); }

  PhysMem& memory() override { return mem; }
  Stop& stop() override { return stop_; }
  EventSink* events() override { return sink; }
  u64 mmio_read(Hpa at, unsigned size) override { ++mmio_reads; last_mmio = at.v; return size == 8 ? mmio_value : mmio_value & ((u64{1} << (8 * size)) - 1); }
  void mmio_write(Hpa at, unsigned, u64 v) override { ++mmio_writes; last_mmio = at.v; mmio_value = v; }
  u64 port_read(u16 port, unsigned size) override { last_port = port; return port_value & ((u64{1} << (8 * size)) - 1); }
  void port_write(u16 port, unsigned, u64 v) override { last_port = port; port_value = v; }
  void page_flagged(Hpa page) override { cpu->host.drop_writes_to(mem.host() + page.v, kPageSize); }
  void send(unsigned, const ApicMessage& m) override { sent.push_back(m); if (cpu->apic.addressed(m) || m.shorthand == ApicMessage::Shorthand::self) cpu->receive(m); }
  void eoi(u8 v) override { eois.push_back(v); }
  bool pic_pending() override { return pic_level; }
  u8 pic_acknowledge() override { pic_level = false; cpu->pic_line(false); return pic_vector; }
  void arm_timer(unsigned, u64 cycle) override { timer = cycle; }
  void arm_preemption_timer(unsigned, u64 cycle) override { preemption_timer = cycle; }
  u64 slice_start() const override { return time; }
  u64 slice_start_step() const override { return time; }

  struct Listener final : PhysMem::Listener {
    void before_write(Hpa, std::size_t, u8, WriteCause) override {}
    void after_write(Hpa at, std::size_t n, u8, WriteCause) override { if (owner->cpu) owner->cpu->code_written(at, n); }
    TestMachine* owner = nullptr;
  };

  PhysMem mem{16 << 20};
  Stop stop_;
  CpuModel model;
  Listener listener;
  std::unique_ptr<Cpu> cpu;
  Mode mode = Mode::long64;
  EventSink* sink = nullptr;
  u64 steps = 0, time = 0, last = 0, timer = ~u64{0}, preemption_timer = ~u64{0};
  u64 mmio_value = 0, port_value = 0, last_mmio = 0;
  u16 last_port = 0;
  unsigned mmio_reads = 0, mmio_writes = 0;
  bool pic_level = false;
  u8 pic_vector = 0x20;
  std::vector<ApicMessage> sent;
  std::vector<u8> eois;
};

}  // namespace vt::cpu
