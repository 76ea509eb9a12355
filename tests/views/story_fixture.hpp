// SPDX-License-Identifier: GPL-2.0-or-later
/// A machine that does not run, whose tables a test writes by hand while a ledger watches.
#pragma once
#include <algorithm>
#include <map>
#include <vector>

#include "cpu/ept_caps.hpp"
#include "views/history.hpp"
#include "views/ledger.hpp"

namespace vt::views {

struct StoryFixture {
  explicit StoryFixture(fw::Platform p = fw::default_platform(u64{64} << 20)) : platform(std::move(p)), machine(platform, silent) {
    setup.memory_top = machine.memory().top();
    setup.memory = machine.memory().ranges();
    setup.ept = cpu::ept_caps(machine.processor(0).model());
    for (auto& u : machine.vtd_units()) setup.units.push_back(u->caps());
    ledger.emplace(machine, std::vector<Ledger::Function>{}, [this](const Event& e) {
      Event copy = e;
      copy.step = step, copy.rip = rip, copy.cpu = cpu;
      events.push_back(copy);
    });
  }

  // ---- what software does ----
  void write(u64 at, const void* from, std::size_t n) { ++step; machine.memory().write(Hpa{at}, from, n, WriteCause::store); }
  void store(u64 at, u64 v) { write(at, &v, 8); }
  void tell(EventKind kind, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0) { ++step; ledger->on({.kind = kind, .cpu = cpu, .step = step, .rip = rip, .a = a, .b = b, .c = c, .d = d}); }
  void eptp(u64 vmcs, u64 value) { eptps[vmcs] = value; tell(EventKind::eptp_change, vmcs, value); }
  void root_pointer(u64 value) { root = value; tell(EventKind::vtd_pointer, 0, 0, value); }

  struct Silent final : emu::SerialSink { void put(u8) override {} };
  Silent silent;
  fw::Platform platform;
  emu::Machine machine;
  Setup setup;
  std::optional<Ledger> ledger;
  std::vector<Event> events;
  u64 step = 0, rip = 0x1000, root = 0;   ///< `rip`: who does it
  u16 cpu = 0;
  std::map<u64, u64> eptps;
};

}  // namespace vt::views
