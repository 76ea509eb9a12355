// SPDX-License-Identifier: GPL-2.0-or-later
#include "observe.hpp"

#include <string_view>

#include "cpu/rows.hpp"

namespace vt::cpu {
namespace {

namespace what {
constexpr u8 call = 1, ret = 2, probe = 4;
}

u8 near_transfer(const Insn& i) {
  static const auto kKinds = [] {
    std::vector<u8> k;
    for (const Def& d : all_rows()) {
      const std::string_view name = d.name;
      k.push_back(name == "CALL" ? what::call : name == "RET" ? what::ret : u8{0});
    }
    return k;
  }();
  return i.row < kKinds.size() ? kKinds[i.row] : u8{0};
}

void tell(Cpu& c, const Insn* i) {
  const Block::Observed& o = c.block->observed[i - c.block->insns];
  Observer* observer = c.observer();
  c.cur = i;
  if ((o.what & what::probe) && observer->probe(c, c.r[kRipReg] + i->off)) {
    // As a fault that nobody delivers: it did not retire, rip stays.
    c.fault = {};
    c.fault.kind = Fault::Kind::stopped;
    c.why = Next::fault;
    c.left_at = i;
    c.leave_run = true;
    return;
  }
  if (o.what & what::call) observer->call(c, c.r[4] - 8, c.r[kRipReg] + i->next_off());
  if (o.what & what::ret) observer->ret(c, c.r[4]);
  return o.fn(c, i);
}

}  // namespace

bool mark_observed(const Cpu& c, u64 rip, Insn* insns, unsigned n, Block::Observed* observed) {
  if (!c.observer()) return false;
  bool any = false;
  for (unsigned k = 0; k < n; ++k) {
    Insn& i = insns[k];
    u8 w = c.code64_now ? near_transfer(i) : u8{0};
    if (c.observer()->probed(rip + (i.off - insns[0].off))) w |= what::probe;
    observed[k] = {i.fn, w};
    if (!w) continue;
    i.fn = &tell;
    any = true;
  }
  return any;
}

void Cpu::observe(Observer* o) {
  CHECK(!block, "an observer comes or goes while instructions execute");
  observer_ = o;
  watches_all_ = o && o->everything();
  drop_derived();
}

}  // namespace vt::cpu
