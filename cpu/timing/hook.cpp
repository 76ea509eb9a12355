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
  rip_ = c_.r[kRipReg] + i.off;
  pending_ = Pending::anything;
  if (VT_UNLIKELY(x.kind == TimedKind::string)) {
    count_ = c_.r[1] & address_mask(i), si_ = c_.r[6], di_ = c_.r[7];
    return;
  }
  for (unsigned n = 0; n < x.accesses; ++n) la_[n] = address(c_, i, x.access[n]);
}

/// So many iterations as have been made since `begin`: what they cost does not depend on how many are made at once. A line is looked up when an
/// iteration is the first of its repetition there.
void Timing::finish_string() {
  const TimedInsn& x = *last_;
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
  if (core_) core_->string(ticks), settle();
  else ticks_ += ticks;
  if (x.by_rep) seen_ = ticks_;   // the clock is looked at after every iteration
}

/// `core`: the time of the last retirement, and whom waiting for it belongs to.
void Timing::settle() {
  ticks_ = std::max(ticks_, core_->retired());
  core_->waited([&](unsigned cause, u64 ticks) { now_stack().ticks[cause] += ticks, since_ += ticks; });
}

bool Timing::branch(u64 next_rip) {
  const bool right = last_->branch == Predictor::Kind::conditional ? predictor_.conditional(rip_, next_rip != rip_ + insn_->len) : predictor_.predict(last_->branch, rip_, rip_ + insn_->len, next_rip);
  branched(right);
  return !right;
}

/// Without a branch of the host: which ones are mispredicted is as hard to predict for it.
inline void Timing::branched(bool right) {
  CycleStack& s = now_stack();
  const u64 ticks = u64{t_.profile.mispredict} * kTicks * u64{!right && !core_};
  ++s.branches;
  s.mispredicted += !right;
  ticks_ += ticks, since_ += ticks, s[Cause::branch] += ticks;
}

/// An access that L1 may not have: the host fetches the caches' tags meanwhile. Of a wrong page, if the processor has not accessed this one a moment ago.
VT_INLINE void Timing::expect(u64 la, bool read) const {
  Hpa at;
  accessed(la, read, at);
  caches_.prefetch(at.v >> 6);
}

/// The operand is a hit in L1 and TLB that changes nothing.
inline bool Timing::near(unsigned n) { return caches_.recent().has(la_[n], last_->access[n].size, last_->access[n].written); }
inline AccessCost Timing::access(unsigned n) { return access(la_[n], last_->access[n].size, last_->access[n].written); }

/// The one operand of a plain instruction, which is not among the recent lines.
inline void Timing::missed() {
  pending_ = Pending::nothing;
  repeats_ = false;
  if (near(0)) return;   // not aligned
  const TimedAccess& a = last_->access[0];
  const u64 la = la_[0];
  Hpa at;
  if (VT_UNLIKELY((la & 63) + a.size > 64 || !accessed(la, a.read, at) || !tlbs_.recent(la))) return charge_access(access(0), a.read);
  MemLevel from;   // the usual: one line of memory, on a page that has been used a moment ago
  caches_.data(at.v >> 6, a.written, from);
  caches_.recent().name(la, a.written);
  if (from != MemLevel::l1) add(miss_of(from, false), exposed_[static_cast<unsigned>(from)][a.read]);
}

void Timing::finish(u64 next_rip) {
  pending_ = Pending::nothing;
  const TimedInsn& x = *last_;
  if (VT_UNLIKELY(x.kind == TimedKind::string)) return finish_string();
  repeats_ = false;
  if (x.kind == TimedKind::branch) branch(next_rip);
  for (unsigned n = 0; n < x.accesses; ++n)
    if (!near(n)) charge_access(access(n), x.access[n].read);
  if (x.kind == TimedKind::special) special();
}

constexpr AccessCost kNear{};   ///< a hit in L1 and TLB

void Timing::retire(unsigned n, u64 next_rip) {
  const TimedInsn* x = last_;
  const Insn* i = insn_;
  if (!x->quiet()) {
    if (VT_UNLIKELY(x->kind == TimedKind::string)) {
      finish_string();
    } else {
      repeats_ = false;
      const bool mispredicted = x->kind == TimedKind::branch && branch(next_rip);
      Scoreboard::Operand operands[TimedInsn::kMost];
      for (unsigned k = 0; k < x->accesses; ++k) operands[k] = {la_[k], near(k) ? &kNear : &(costs_[k] = access(k))};
      core_->retire(*i, *x, operands, mispredicted, next_rip != rip_ + i->len);
      if (x->kind == TimedKind::special) settle(), special();
    }
    ++x, --n;
  }
  for (; n; --n, ++x) core_->retire_quiet(*x);
  settle();
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
  return true;
}

/// based64, data64, data32: a memory operand whose linear address is a register and a constant, or a sum of registers; stack32: one of a flat stack outside
/// 64-bit mode; jump: a branch and no more.
enum class Mark : u8 { quiet, event, based64, data64, data32, stack32, jump, count_ };
enum class Lines : u8 { same, first, both };     ///< what may have to be fetched: none; its line; its line and the next one

/// The hook, in parts: what happens rarely is a function of its own that goes on at the beginning again, so that the usual path needs no frame.
struct TimedSteps {
  static u64 rip(const Cpu& c, const Insn* i) { return c.r[kRipReg] + i->off; }
  /// The line of code at `rip` is the one that was fetched last, or one that costs nothing.
  static bool at_hand(const Cpu& c, Timing& t, u64 rip) {
    if (rip >> 6 == t.line_) return true;
    if (VT_UNLIKELY(!rip_is_linear(c) || !t.caches_.recent_code().has(rip, 1, false))) return false;
    t.line_ = rip >> 6;
    return true;
  }

  template <bool Core, Lines Fetch, Mark What>
  [[gnu::noinline]] static void retire(Cpu& c, const Insn* i) {
    Timing& t = *c.timing();
    if (Core) {
      t.account(t.last_->run_length, rip(c, i));
      t.last_ = &kNoRun;
    } else if (t.pending_ == Timing::Pending::access) {
      t.missed();
    } else {
      t.finish(rip(c, i));
    }
    return step<Core, Fetch, What>(c, i);
  }
  /// `events`: a conditional branch and no more has retired. Most are predicted by the base table, and right.
  template <Lines Fetch, Mark What>
  [[gnu::noinline]] static void branched(Cpu& c, const Insn* i) {
    Timing& t = *c.timing();
    if (VT_UNLIKELY(!t.predictor_.surely(t.rip_, rip(c, i) != t.rip_ + t.insn_->len))) return guessed<Fetch, What>(c, i);
    ++t.now_stack().branches;
    t.pending_ = Timing::Pending::nothing;
    t.repeats_ = false;
    return step<false, Fetch, What>(c, i);
  }
  template <Lines Fetch, Mark What>
  [[gnu::noinline]] static void guessed(Cpu& c, const Insn* i) {
    Timing& t = *c.timing();
    t.branched(t.predictor_.by_history(t.rip_, rip(c, i) != t.rip_ + t.insn_->len));
    t.pending_ = Timing::Pending::nothing;
    t.repeats_ = false;
    return step<false, Fetch, What>(c, i);
  }
  template <bool Core, Lines Fetch, Mark What>
  [[gnu::noinline]] static void trip(Cpu& c, const Insn* i) {
    c.timing()->last_ = &kNoRun;
    if (!c.timing()->tripped(i)) return step<Core, Fetch, What>(c, i);
  }
  template <bool Core, Lines Fetch, Mark What>
  [[gnu::noinline]] static void fetch(Cpu& c, const Insn* i) {
    Timing& t = *c.timing();
    t.last_ = &kNoRun;
    t.fetch(rip(c, i), c.block->page + i->off);
    return step<Core, Fetch, What>(c, i);
  }

  template <bool Core, Lines Fetch, Mark What>
  static void step(Cpu& c, const Insn* i) {
    Timing& t = *c.timing();
    const TimedInsn& done = *t.last_;
    if (Core && done.run_length != 0) return retire<Core, Fetch, What>(c, i);
    if (!Core && t.pending_ != Timing::Pending::nothing) {
      if (Fetch == Lines::first && t.pending_ == Timing::Pending::branch) return branched<Fetch, What>(c, i);
      return retire<Core, Fetch, What>(c, i);
    }
    if (!Core) t.ticks_ += done.run, t.instructions_ += done.run_length;
    if (What != Mark::quiet) {
      t.seen_ = t.ticks_;
      if (VT_UNLIKELY(t.ticks_ >= t.trip_)) return trip<Core, Fetch, What>(c, i);
    }
    if (Fetch == Lines::first && VT_UNLIKELY(!at_hand(c, t, rip(c, i)))) return fetch<Core, Fetch, What>(c, i);
    if (Fetch == Lines::both) {
      if (!at_hand(c, t, rip(c, i))) t.fetch(rip(c, i), c.block->page + i->off);
      const u64 next = (rip(c, i) | 63) + 1;
      if (!at_hand(c, t, next)) t.fetch(next, c.block->crosses ? c.block->page2 : c.block->page + ((i->off | 63) + 1));
    }
    const TimedInsn& x = *timed_of(t.timed_at_, i);
    t.last_ = &x;
    if (Core || What == Mark::event || What == Mark::jump) t.insn_ = i;
    if (What >= Mark::based64 && What <= Mark::stack32) {
      u64 la = c.r[x.base] + static_cast<u64>(static_cast<i64>(x.disp));
      if (What == Mark::data64 || What == Mark::data32) la += c.r[x.index] * x.scale;
      if (What == Mark::stack32) la = c.stack_mask(la);
      if (What == Mark::data32) la = static_cast<u32>(la);
      if (Core) t.la_[0] = la;
      else if (VT_UNLIKELY(!t.caches_.recent().has(la, x.asks))) t.la_[0] = la, t.expect(la, x.access[0].read), t.pending_ = Timing::Pending::access;
    } else if (What == Mark::jump) {
      t.rip_ = rip(c, i);
      if (!Core) t.pending_ = x.branch == Predictor::Kind::conditional ? Timing::Pending::branch : Timing::Pending::anything;
    } else if (What == Mark::event) {
      t.begin(*i, x);
    }
    return x.fn(c, i);
  }
};

/// How the address of the one operand is to be found, of which `x` is told; event: it takes more than that.
Mark mark_of_operand(const Cpu& c, const Insn& i, TimedInsn& x) {
  using enum TimedAccess::At;
  if (!rip_is_linear(c) || x.kind != TimedKind::plain || x.accesses != 1 || x.access[0].size > RecentLines::kLine) return Mark::event;
  x.index = kZeroReg, x.scale = 1, x.asks = RecentLines::question(x.access[0].size, x.access[0].written);
  const Mark of_stack = c.code64_now ? Mark::based64 : Mark::stack32;
  switch (x.access[0].at) {
    case operand:
      if (i.ea() != Ea::plain64 && i.ea() != Ea::plain32) return Mark::event;
      x.base = i.rm, x.index = i.index, x.scale = static_cast<u8>(1u << i.scale()), x.disp = i.disp;
      return i.ea() == Ea::plain32 ? Mark::data32 : i.index == kZeroReg ? Mark::based64 : Mark::data64;
    case push: x.base = 4, x.disp = -static_cast<i32>(x.access[0].size); return of_stack;
    case pop: x.base = 4; return of_stack;
    case frame: x.base = 5; return of_stack;
    default: return Mark::event;
  }
}

Mark mark_of(const Cpu& c, const Insn& i, TimedInsn& x) {
  if (x.quiet()) return Mark::quiet;
  if (x.kind == TimedKind::branch && !x.accesses) return Mark::jump;
  return mark_of_operand(c, i, x);
}

template <bool Core, Lines Fetch>
constexpr auto kSteps = []<std::size_t... M>(std::index_sequence<M...>) {
  return std::array{static_cast<Fn>(TimedSteps::step<Core, Fetch, static_cast<Mark>(M)>)...};
}(std::make_index_sequence<static_cast<std::size_t>(Mark::count_)>());
template <bool Core>
Fn step_for(Lines lines, Mark mark) {
  const auto& s = lines == Lines::same ? kSteps<Core, Lines::same> : lines == Lines::first ? kSteps<Core, Lines::first> : kSteps<Core, Lines::both>;
  return s[static_cast<unsigned>(mark)];
}

/// Marked are those that do more than take time, the first of a block or of a line, and what follows a string instruction, whose account needs the registers
/// that it left.
void mark_timed(Cpu& c, Insn* insns, unsigned n, TimedInsn* timed) {
  using enum Mark;
  const timing::Profile& p = c.timing()->profile();
  const bool core = c.timing()->model() == timing::Model::core;
  for (unsigned k = 0; k < n; ++k) {
    TimedInsn& x = timed[k];
    x = timed_insn(insns[k], p);
    x.fn = insns[k].fn;
    if (!core) x.cost = (x.kind == TimedKind::string && x.by_rep ? 0 : Timing::row_cost(p, x.op)) + (x.lock ? Timing::row_cost(p, timing::OpClass::lock) : 0);
  }
  using enum Lines;
  u32 run = 0;
  u16 length = 0;
  for (unsigned k = n; k--;) {
    Insn& i = insns[k];
    TimedInsn& x = timed[k];
    run += x.cost, ++length;
    const Lines lines = (i.off & 63) + i.len > 64 ? both : k == 0 || i.off >> 6 != insns[k - 1].off >> 6 ? first : same;
    const TimedInsn* before = k && timed[k - 1].kind == TimedKind::string ? &timed[k - 1] : nullptr;
    const Mark mark = before && before->by_rep && x.quiet() ? event : mark_of(c, i, x);
    if (lines == same && mark == quiet && !before) continue;
    i.fn = core ? step_for<true>(lines, mark) : step_for<false>(lines, mark);
    x.run = run, x.run_length = length;
    run = 0, length = 0;
  }
}

}  // namespace vt::cpu
