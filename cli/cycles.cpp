// SPDX-License-Identifier: GPL-2.0-or-later
#include "cycles.hpp"

#include "cpu/timing/timing.hpp"

namespace vt::cli {

Stacks stacks_of(emu::Machine& m) {
  Stacks all;
  for (unsigned n = 0; n < m.cpus(); ++n)
    for (unsigned guest = 0; guest < 2; ++guest) {
      const cpu::CycleStack s = m.processor(n).timing()->stack(guest);
      all[guest].instructions += s.instructions;
      for (unsigned k = 0; k < cpu::kCauses; ++k) all[guest].ticks[k] += s.ticks[k];
    }
  return all;
}

Stacks since(const Stacks& before, const Stacks& now) {
  Stacks spent;
  for (unsigned guest = 0; guest < 2; ++guest) {
    spent[guest].instructions = now[guest].instructions - before[guest].instructions;
    for (unsigned k = 0; k < cpu::kCauses; ++k) spent[guest].ticks[k] = now[guest].ticks[k] - before[guest].ticks[k];
  }
  return spent;
}

nlohmann::ordered_json causes_json(const cpu::CycleStack& s) {
  auto causes = nlohmann::ordered_json::object();
  for (unsigned k = 0; k < cpu::kCauses; ++k)
    if (s.ticks[k]) causes[cpu::kCauseNames[k]] = s.ticks[k] / cpu::kTicks;
  return causes;
}

}  // namespace vt::cli
