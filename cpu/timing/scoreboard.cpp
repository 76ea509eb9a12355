// SPDX-License-Identifier: GPL-2.0-or-later
#include "timing/scoreboard.hpp"

#include <bit>

namespace vt::cpu {

using timing::OpClass;

Scoreboard::Scoreboard(const timing::Profile& p) : p_(p), rob_(p.rob), loads_(p.load_buffer), stores_(p.store_buffer) {
  for (unsigned n = 0; n < slot_ticks_.size(); ++n) slot_ticks_[n] = n * kTicks / p.retire_width;
}

void Scoreboard::restart(u64 ticks) {
  const u64 cycle = (ticks + kTicks - 1) / kTicks;
  front_ = std::max(front_, cycle), retire_ = std::max(retire_, cycle), last_done_ = std::max(last_done_, cycle);
  front_slot_ = retire_slot_ = 0;
  due_ = {};
  dues_ = 0;
  fusible_ = false;
}

void Scoreboard::stall_front(Cause c, u64 ticks) {
  const u64 cycles = ticks / kTicks;
  // What the front end has in hand hides some of it: it runs ahead of retirement.
  front_ += cycles, front_slot_ = 0;
  blame(c, cycles, front_ + p_.rob);
}

void Scoreboard::blame(Cause c, u64 cycles, u64 until) {
  if (!cycles) return;
  Due& d = due_[static_cast<unsigned>(c)];
  dues_ |= 1u << static_cast<unsigned>(c);
  d.cycles = d.until > retire_ ? d.cycles + cycles : cycles;
  d.until = std::max(d.until, until);
}

void Scoreboard::blame(const AccessCost& l, u64 until) {
  if (l.memory) blame(miss_of(l.from, false), l.memory - p_.l1d.latency, until);
  if (l.others()) l.each_other([&](Cause c, unsigned cycles) { blame(c, cycles, until); });
}

/// The first cycle from `from` on in which one of these ports is free, for as long as it takes.
u64 Scoreboard::later_port(u16 mask, u64 from, unsigned busy) {
  const u64 end = base_ + kAhead;
  if (!mask) return from;
  Full& full = full_[(mask ^ mask >> 4 ^ mask >> 8) & 15];
  const bool known = full.mask == mask && full.from <= from && from < full.to;
  u64 at = known ? full.to : from;
  while (at < end && !(mask & ~taken_[at % kAhead])) ++at;
  full = {known ? full.from : from, at, mask};
  u16 free = 0;
  for (; at + busy <= end; ++at) {
    free = static_cast<u16>(mask & ~taken_[at % kAhead]);
    for (unsigned n = 1; n < busy && free; ++n) free = static_cast<u16>(free & ~taken_[(at + n) % kAhead]);
    if (free) break;
  }
  if (!free) return std::max(from, end);   // so far ahead that nobody competes
  const u16 which = static_cast<u16>(free & -free);
  for (u64 c = at; c < at + busy; ++c) taken_[c % kAhead] |= which;
  return at;
}

u64 Scoreboard::address_ready(const Insn& i, const TimedAccess& a) const {
  using enum TimedAccess::At;
  const auto at = [&](u8 n) { return n < 16 ? ready_[n] : u64{0}; };
  switch (a.at) {
    case operand: return std::max(at(i.rm), at(i.index));
    case si: return ready_[6];
    case di: return ready_[7];
    case frame: return ready_[5];
    case push: case pop: return 0;   // the stack engine's
    case offset: break;
  }
  return 0;
}

/// When the loaded value is there.
u64 Scoreboard::load(const TimedInsn& x, const TimedAccess& a, const Operand& o, u64 ready) {
  u64& entry = loads_[load_at_];
  load_at_ = load_at_ + 1 == loads_.size() ? 0 : load_at_ + 1;
  ready = std::max({ready, memory_free_, entry});
  const u64 last = o.la + a.size - 1;
  if (!x.lock)
    for (const u64 word : {o.la >> 3, last >> 3}) {
      const Store& s = forward_[word & (kStores - 1)];
      if (s.la <= last && o.la < s.la + s.size && s.left > ready && s.ready + p_.rob > front_)   // still in its buffer
        return entry = forwarded(x, a, o, s, ready);
    }
  u64 start = port(static_cast<u16>(p_.ports_load), ready, 1);
  if (o.la >> 6 != last >> 6) start = port(static_cast<u16>(p_.ports_load), start, 2);   // a second access, with the port to itself meanwhile
  const u64 done = start + (o.l->memory ? o.l->memory : p_.l1d.latency) + o.l->others();
  blame(*o.l, done);
  return entry = done;
}

/// A load of something that a recent store has written.
u64 Scoreboard::forwarded(const TimedInsn& x, const TimedAccess& a, const Operand& o, const Store& s, u64 ready) {
  if (o.la < s.la || o.la + a.size > s.la + s.size)   // more than it has: when that is in the cache, and from there
    return port(static_cast<u16>(p_.ports_load), std::max(ready, s.left), 1) + p_.forward_blocked;
  const bool plain = a.size <= 8 && (o.la & 63) + a.size <= 64;
  if (x.renames_load && plain && o.la == s.la) return std::max(s.ready, ready);
  return std::max(port(static_cast<u16>(p_.ports_load), ready, 1), s.ready) + (plain && !(x.modifies && x.sources) ? p_.forward : p_.forward_slow);
}

void Scoreboard::store(const Insn& i, const TimedAccess& a, const Operand& o, u64 ready) {
  u64& entry = stores_[store_at_];
  store_at_ = store_at_ + 1 == stores_.size() ? 0 : store_at_ + 1;
  if (entry > front_) front_ = entry, front_slot_ = 0;   // the buffer is full
  port(static_cast<u16>(p_.ports_store_address), address_ready(i, a), 1);
  const u64 sent = port(static_cast<u16>(p_.ports_store_data), ready, 1);
  // It leaves the buffer in order: two to the same line in a cycle, or one; a line's miss later.
  const u64 line = o.la >> 6, last = (o.la + a.size - 1) >> 6;
  drained_ = std::max(drained_ + (line != last ? 4 : line == drained_line_ ? 1 : 2), 2 * (sent + o.l->others())) + (o.l->memory > p_.l2.latency ? (o.l->memory - p_.l2.latency) / 2 : 0);
  drained_line_ = last;
  entry = (drained_ + 1) / 2;
  blame(*o.l, entry);
  forward_[o.la >> 3 & (kStores - 1)] = {.la = o.la, .ready = ready, .left = entry, .size = a.size};
}

void Scoreboard::settle(u64 done, unsigned slots) {
  const u64 before = dues_ ? retired() : 0;
  last_done_ = std::max(last_done_, done);
  if (done > retire_) retire_ = done, retire_slot_ = 0;
  std::size_t at = rob_at_ >= slots ? rob_at_ - slots : rob_at_ + rob_.size() - slots;
  for (unsigned n = 0; n < slots; ++n) {
    if (retire_slot_ == p_.retire_width) ++retire_, retire_slot_ = 0;
    ++retire_slot_;
    rob_[at] = retire_ + 1;
    if (++at == rob_.size()) at = 0;
  }
  if (VT_UNLIKELY(dues_ != 0)) attribute(before, retired());
}

/// Waiting goes to those that have something outstanding; the rest is the instructions' own.
void Scoreboard::attribute(u64 before, u64 after) {
  if (after - before < 2 * kTicks) return;
  u64 waited = (after - before) / kTicks - 1;
  for (u32 left = dues_; left && waited; left &= left - 1) {
    const unsigned c = static_cast<unsigned>(std::countr_zero(left));
    Due& d = due_[c];
    const u64 n = d.until + 1 < before / kTicks ? 0 : std::min(waited, d.cycles);
    d.cycles -= n, waited -= n;
    if (!n || !d.cycles) dues_ &= ~(1u << c);
    waited_[c] += n * kTicks;
  }
  waits_ = true;
}

void Scoreboard::string_begins(bool first) {
  if (!first) return;
  string_from_ = std::max(last_done_, front_);
  string_ticks_ = string_misses_ = 0;
}

/// Lines of a run come together: what is beyond the first level overlaps.
void Scoreboard::string_line(const AccessCost& l) {
  const auto add = [&](Cause c, unsigned cycles) {
    if (!cycles) return;
    string_misses_ += cycles;
    waited_[static_cast<unsigned>(c)] += cycles * kTicks;
    waits_ = true;
  };
  l.each_other(add);
  if (l.memory) add(miss_of(l.from, false), l.memory / 4);
}

void Scoreboard::string(u64 ticks) {
  string_ticks_ += ticks;
  const u64 done = string_from_ + (string_ticks_ + kTicks - 1) / kTicks + string_misses_;
  front_ = last_done_ = std::max(done, last_done_), front_slot_ = 0, fusible_ = false;
  dispatch(0);
  retire_ = std::max(retire_, done), retire_slot_ = 0;
  memory_free_ = std::max(memory_free_, done);
  for (unsigned n : {1u, 6u, 7u}) ready_[n] = done;
  dues_ = 0;
}

/// From its operands to its result, when they are ready.
inline u64 Scoreboard::execute(const TimedInsn& x, const timing::OpCost& op, u64 ready) {
  if (x.eliminated) return ready;
  if (!op.ports) return ready + op.latency;
  const u64 issued = port(op.ports, ready, op.busy);
  if (VT_UNLIKELY(op.uops > 1) && !op.serialize)
    for (unsigned n = 1; n < op.uops && n < 4; ++n) port(op.ports, issued, 1);
  return issued + op.latency;
}

/// Each register waits for the other alone. One way leads through a temporary and takes the class's latency, the other way one cycle less.
void Scoreboard::swap(const TimedInsn& x, const timing::OpCost& op) {
  const u64 at = dispatch(op.uops), first = std::max(at, ready_[x.source[0]]), second = std::max(at, ready_[x.source[1]]);
  execute(x, op, std::min(first, second));
  ready_[x.result[0]] = second + op.latency - (op.latency > 1), ready_[x.result[1]] = first + op.latency;
  fusible_ = false;
  settle(std::max(ready_[x.result[0]], ready_[x.result[1]]), op.uops);
}

void Scoreboard::retire_quiet(const TimedInsn& x) {
  const timing::OpCost& op = p_.op[static_cast<std::size_t>(x.op)];
  if (VT_UNLIKELY(op.serialize != 0)) return retire({}, x, nullptr, false, false);
  if (VT_UNLIKELY(x.swaps)) return swap(x, op);
  const unsigned slots = std::min<unsigned>(op.uops, kMostSlots);
  const u64 at = dispatch(slots), done = execute(x, op, sources_ready(x, at));
  results_ready(x, done);
  fusible_ = x.op == OpClass::alu && p_.fuse_compare_branch;
  settle(std::max(done, at), slots);
}

void Scoreboard::retire(const Insn& i, const TimedInsn& x, const Operand* operands, bool mispredicted, bool taken) {
  const timing::OpCost& op = p_.op[static_cast<std::size_t>(x.op)];
  const bool fused = fusible_ && x.op == OpClass::branch && x.branch == Predictor::Kind::conditional;
  const unsigned slots = fused ? 0 : std::min<unsigned>(op.uops, kMostSlots) + (x.modifies ? 1 : 0);
  const u64 at = dispatch(slots);
  const bool serial = op.serialize;
  const u64 wait = serial || x.lock ? std::max(last_done_, at) : at;
  u64 ready = sources_ready(x, wait);
  // The operation waits for what it loads.
  for (unsigned n = 0; n < x.accesses; ++n)
    if (x.access[n].read) ready = std::max(ready, load(x, x.access[n], operands[n], std::max(wait, address_ready(i, x.access[n]))));
  u64 done = execute(x, op, ready);
  if (x.lock) {
    done += p_.op[static_cast<std::size_t>(OpClass::lock)].latency;
    memory_free_ = std::max(memory_free_, done);
  }
  for (unsigned n = 0; n < x.accesses; ++n)
    if (x.access[n].written) store(i, x.access[n], operands[n], done);
  results_ready(x, done);
  if (serial) front_ = std::max(front_, done), front_slot_ = 0, memory_free_ = std::max(memory_free_, done);
  if (x.kind == TimedKind::branch) {
    if (mispredicted) {
      front_ = std::max(front_, done + p_.mispredict - 1), front_slot_ = 0;
      blame(Cause::branch, p_.mispredict, front_ + p_.rob);
    } else if (taken && front_slot_) {
      ++front_, front_slot_ = 0;   // a taken branch ends the group
    }
  }
  fusible_ = x.op == OpClass::alu && p_.fuse_compare_branch && !x.modifies;
  settle(std::max(done, at), slots);
}

void Scoreboard::state(Ar& a) {
  const std::size_t sizes[] = {rob_.size(), loads_.size(), stores_.size()};
  a(string_from_, string_ticks_, string_misses_, front_, retire_, last_done_, memory_free_, base_, front_slot_, retire_slot_, rob_at_, load_at_, store_at_, drained_, drained_line_, fusible_, ready_, taken_, rob_, loads_,
    stores_, forward_, due_, dues_);
  if (!a.loading()) return;
  full_ = {};
  if (rob_.size() != sizes[0] || loads_.size() != sizes[1] || stores_.size() != sizes[2] || rob_at_ >= rob_.size() || load_at_ >= loads_.size() || store_at_ >= stores_.size() ||
      retire_slot_ >= slot_ticks_.size() || dues_ >> kCauses)
    throw std::runtime_error("damaged state: a scoreboard of another size");
}

}  // namespace vt::cpu
