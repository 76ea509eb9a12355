// SPDX-License-Identifier: GPL-2.0-or-later
/// Between two instructions: the one before has retired, the next one's operands are noted before it changes them. Decoded instructions have
/// these functions in place of their own, which are then jumped to; so the instructions' definitions know nothing of time.
#include "cpu/block.hpp"
#include "insn/forms.hpp"
#include "timing/scoreboard.hpp"
#include "timing/timed_insn.hpp"

namespace vt::cpu {
namespace {

u64 linear(const Cpu& c, unsigned s, u64 offset) {
  if (!c.code64_now) return static_cast<u32>(c.seg[s].base + offset);
  return s < FS ? offset : c.seg[s].base + offset;
}

/// Of an operand that is no string's.
u64 address(const Cpu& c, const Insn& i, const TimedAccess& a) {
  using enum TimedAccess::At;
  switch (a.at) {
    case operand: return linear(c, i.seg, c.ea(i));
    case offset: return linear(c, i.seg, static_cast<u64>(i.imm) & address_mask(i));
    case push: return linear(c, SS, c.stack_mask(c.r[4] - a.size));
    case pop: return linear(c, SS, c.stack_mask(c.r[4]));
    case frame: return linear(c, SS, c.stack_mask(c.r[5]));
    case si: case di: break;
  }
  return 0;
}

}  // namespace

void Timing::begin(const Insn& i, const TimedInsn& x) {
  pending_ = &x;
  insn_ = &i;
  rip_ = c_.r[kRipReg] + i.off;
  if (VT_UNLIKELY(x.kind == TimedKind::string)) {
    count_ = c_.r[1] & address_mask(i), si_ = c_.r[6], di_ = c_.r[7];
    return;
  }
  for (unsigned n = 0; n < x.accesses; ++n) la_[n] = address(c_, i, x.access[n]);
}

/// So many iterations as have been made since `begin`: what they cost does not depend on how many are made at once. A line is looked up when an
/// iteration is the first of its repetition there.
void Timing::finish_string() {
  const TimedInsn& x = *pending_;
  const Insn& i = *insn_;
  const u64 n = x.by_rep ? (count_ - c_.r[1]) & address_mask(i) : 1;
  const bool down = c_.flags & rflags::DF, first = !x.by_rep || !repeats_;
  u64 ticks = 0;
  if (first) string_line_[0] = string_line_[1] = ~u64{0};
  if (first && x.by_rep) ticks = t_.profile.op[static_cast<std::size_t>(timing::OpClass::string_start)].latency * kTicks;
  repeats_ = x.by_rep && c_.why == Next::again && !c_.block;
  const bool fast = x.by_rep && !down && x.accesses && x.access[x.accesses - 1].written;   // MOVS and STOS upwards
  const u64 each = fast ? std::max<u64>(1, x.access[0].size * kTicks / t_.profile.string_bytes_per_cycle) : row_cost(t_.profile, timing::OpClass::string);
  if (x.by_rep || core_) ticks += n * each;
  if (core_) core_->string_begins(first);
  for (u64 k = 0; k < n;) {
    u64 step = n - k;
    for (unsigned a = 0; a < x.accesses; ++a) {
      const bool source = x.access[a].at == TimedAccess::At::si;
      const u64 size = x.access[a].size, from = source ? si_ : di_, at = linear(c_, source ? i.seg : u8{ES}, (down ? from - k * size : from + k * size) & address_mask(i));
      if (at >> 6 != string_line_[a]) {
        string_line_[a] = at >> 6;
        const AccessCost l = access(at, static_cast<unsigned>(size), x.access[a].written);
        if (core_) core_->string_line(l);
        else charge_access(l, x.access[a].read);
      }
      step = std::min(step, down ? (at & 63) / size + 1 : (64 - (at & 63) + size - 1) / size);
    }
    k += step;
  }
  if (core_) settle(core_->string(ticks));
  else ticks_ += ticks;
}

/// `core`: the time of retirement, and whom the wait for it belongs to.
void Timing::settle(u64 retired) {
  ticks_ = std::max(ticks_, retired);
  const std::array<u64, kCauses>* waited = core_->waited();
  if (!waited) return;
  for (unsigned n = 1; n < kCauses; ++n) now_stack().ticks[n] += (*waited)[n], since_ += (*waited)[n];
}

void Timing::finish(u64 next_rip) {
  const TimedInsn& x = *pending_;
  if (VT_UNLIKELY(x.kind == TimedKind::string)) finish_string();
  else {
    repeats_ = false;
    const bool mispredicted = x.kind == TimedKind::branch && branch(next_rip);
    if (!core_) {
      for (unsigned n = 0; n < x.accesses; ++n) charge_access(access(la_[n], x.access[n].size, x.access[n].written), x.access[n].read);
    } else {
      Scoreboard::Operand operands[TimedInsn::kMost];
      for (unsigned n = 0; n < x.accesses; ++n) operands[n] = {la_[n], access(la_[n], x.access[n].size, x.access[n].written)};
      settle(core_->retire(*insn_, x, operands, mispredicted, next_rip != rip_ + insn_->len));
    }
    if (x.kind == TimedKind::special) special();
  }
  pending_ = nullptr;
}

bool Timing::tripped(const Insn* i) {
  if (ticks_ >= next_sample_) take_sample(c_.r[kRipReg] + i->off);
  if (ticks_ < limit_) return false;
  // As an instruction that is not to be executed now: it has not retired, and its step comes later.
  c_.fault = {};
  c_.fault.kind = Fault::Kind::stopped;
  c_.why = Next::fault;
  c_.left_at = i;
  c_.leave_run = true;
  ++instructions_;   // `left` takes it back
  return true;
}

template <bool Fetch, bool Pend>
void timed_step(Cpu& c, const Insn* i) {
  Timing& t = *c.timing();
  if (t.pending_) t.finish(c.r[kRipReg] + i->off);
  t.ticks_ += t.owed_;
  t.owed_ = 0;
  if (VT_UNLIKELY(t.ticks_ >= t.trip_) && t.tripped(i)) return;
  const u64 rip = c.r[kRipReg] + i->off;
  if (Fetch) {
    if (VT_UNLIKELY(rip >> 6 != t.line_)) t.fetch(rip, c.block->page + i->off);
    if (VT_UNLIKELY((rip & 63) + i->len > 64)) t.fetch((rip | 63) + 1, c.block->crosses ? c.block->page2 : c.block->page + ((i->off | 63) + 1));
  }
  const TimedInsn& x = c.block->timed[i - c.block->insns];
  t.owed_ = x.cost;
  ++t.instructions_;
  if (Pend) t.begin(*i, x);
  else t.repeats_ = false;
  return x.fn(c, i);
}

void mark_timed(Cpu& c, Insn* insns, unsigned n, TimedInsn* timed) {
  const timing::Profile& p = c.timing()->profile();
  const bool core = c.timing()->model() == timing::Model::core;
  for (unsigned k = 0; k < n; ++k) {
    Insn& i = insns[k];
    TimedInsn& x = timed[k];
    x = timed_insn(i, p);
    x.fn = i.fn;
    if (!core) x.cost = (x.kind == TimedKind::string && x.by_rep ? 0 : Timing::row_cost(p, x.op)) + (x.lock ? Timing::row_cost(p, timing::OpClass::lock) : 0);
    const bool fetch = k == 0 || i.off >> 6 != insns[k - 1].off >> 6 || (i.off & 63) + i.len > 64;
    const bool pend = core || x.accesses || x.kind != TimedKind::plain;
    i.fn = fetch ? (pend ? timed_step<true, true> : timed_step<true, false>) : (pend ? timed_step<false, true> : timed_step<false, false>);
  }
}

}  // namespace vt::cpu
