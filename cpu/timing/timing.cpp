// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/timing.hpp"

#include "cpu/block.hpp"
#include "cpu/ept_caps.hpp"
#include "mmu.hpp"
#include "timing/scoreboard.hpp"
#include "timing/timed_insn.hpp"

namespace vt::cpu {

using timing::OpClass;

Timing::Timing(Cpu& c, const timing::Timing& t, LastLevel& last) : c_(c), t_(t), host_(c.host), host_base_(reinterpret_cast<u64>(c.memory().host())), timed_at_(c.blocks().timed_at()), last_(&kNoRun), caches_(t.profile, last), tlbs_(t.profile), predictor_(t.profile) {
  CHECK(t_.model != timing::Model::flat, "the flat model has no clocks of its own");
  if (t_.model == timing::Model::core) core_ = std::make_unique<Scoreboard>(t_.profile);
  const timing::Profile& p = t_.profile;
  const unsigned latency[] = {p.l1d.latency, p.l2.latency, p.llc.latency, p.dram};   // by MemLevel
  for (unsigned n = 0; n < 4; ++n)
    for (bool load : {false, true}) exposed_[n][load] = u64{latency[n] - p.l1d.latency} * kTicks * p.exposed_percent / 100 / (load ? 1 : 4);
  c.tlb.tell_flushes(this);
}
Timing::~Timing() = default;

u64 Timing::to_ticks(u64 ns) const {
  const u128 n = (static_cast<u128>(ns) * 6 * t_.profile.mhz + 24) / 25;
  return n > ~u64{0} ? ~u64{0} : static_cast<u64>(n);
}

unsigned Timing::row_cost(const timing::Profile& p, OpClass op) {
  const timing::OpCost& o = p.op[static_cast<std::size_t>(op)];
  if (o.serialize) return static_cast<unsigned>(o.latency * kTicks);
  const unsigned ports = static_cast<unsigned>(std::popcount(o.ports));
  const unsigned slots = static_cast<unsigned>(o.uops * kTicks) / p.width, busy = ports ? static_cast<unsigned>(o.busy * kTicks) / ports : 0;
  return std::max(slots, busy) + (o.latency > 1 ? static_cast<unsigned>((o.latency - 1) * kTicks) * p.exposed_percent / 100 / 2 : 0);
}

CycleStack Timing::stack(bool guest) const {
  CycleStack s = stacks_[guest];
  if (guest == guest_) s[Cause::base] += ticks_ - since_, s.instructions += instructions_;
  return s;
}

void Timing::context(bool guest, const TlbContext& tags) {
  if (guest != guest_) {
    now_stack()[Cause::base] += ticks_ - since_;
    now_stack().instructions += instructions_;
    since_ = ticks_, instructions_ = 0;
    guest_ = guest;
  } else if (tags.eptp == tags_.eptp && tags.vpid == tags_.vpid && tags.pcid == tags_.pcid) {
    return;
  }
  tags_ = tags;
  line_ = ~u64{0};
  caches_.forget_recent();
  tlbs_.forget_recent();
}

void Timing::flushed(const TlbFlush& f) {
  if (c_.iterations) return;   // by the fault of an iteration that is made again at the next step, which it belongs to
  line_ = ~u64{0};
  caches_.forget_recent();
  tlbs_.flushed(f);
}

void Timing::event(Cause cause, unsigned cycles) {
  if (cause == Cause::vm_entry && last_ != &kNoRun) account(1, 0), last_ = &kNoRun;   // VMLAUNCH retires in root operation
  pass(cause, cycles);
  seen_ = ticks_;
}

void Timing::pass(Cause cause, unsigned cycles) {
  add(cause, u64{cycles} * kTicks);
  repeats_ = false;
  if (core_) core_->restart(ticks_);
}

void Timing::wait_until(u64 ns) {
  const u64 until = to_ticks(ns);
  if (until <= ticks_) return;
  add(Cause::wait, until - ticks_);
  if (core_) core_->restart(ticks_);
  seen_ = ticks_;
}

u64 Timing::iterations() const {
  // More than any iteration costs: two accesses that miss everything, each after a nested walk that does.
  const u64 worst = u64{t_.profile.dram} * 60 * kTicks + u64{t_.profile.walk_start + t_.profile.stlb_hit + 1000} * 2 * kTicks;
  return limit_ <= ticks_ ? 1 : std::max<u64>(1, (limit_ - ticks_) / worst);
}

WalkSpace Timing::space() const {
  WalkSpace s{.memory = c_.memory(), .paging = paging_params(c_), .ept_caps = ept_caps(c_.model()), .eptp = c_.non_root() && tags_.eptp ? c_.vmx.eptp : 0, .tags = tags_};
  if (!(c_.cr0 & cr0::PG)) s.paging.mode = paging::Mode::none;
  return s;
}
bool Timing::translated() const { return (c_.cr0 & cr0::PG) || tags_.eptp; }

/// `core` finds out itself how much of it shows.
void Timing::stall(Cause c, u64 cycles) {
  if (core_) core_->stall_front(c, cycles * kTicks);
  else add(c, cycles * kTicks);
}

void Timing::translate(u64 la, bool fetch, AccessCost& cost) {
  const TimingTlbs::Hit hit = tlbs_.find(tags_, la, fetch);
  if (VT_LIKELY(hit == TimingTlbs::Hit::first)) return;
  const auto forget_displaced = [&] {
    if (const TimingTlbs::Displaced d = tlbs_.displaced(); d.shift) (fetch ? caches_.recent_code() : caches_.recent()).drop_set_of_page(d.page, d.shift, d.mask);
  };
  cost.tlb += t_.profile.stlb_hit;
  if (hit == TimingTlbs::Hit::second) return forget_displaced();
  const WalkCost w = timing_walk(space(), la, tlbs_, caches_);
  tlbs_.fill(tags_, la, w.shift, w.global, fetch);
  forget_displaced();
  cost.tlb += t_.profile.walk_start, cost.guest_walk += w.guest_cycles, cost.nested_walk += w.nested_cycles;
  CycleStack& s = now_stack();
  ++s.walks, s.guest_references += w.guest_references, s.nested_references += w.nested_references;
}

void Timing::fetch(u64 rip, Hpa at) {
  const bool same_page = line_ != ~u64{0} && line_ >> 6 == rip >> kPageShift;
  line_ = rip >> 6;
  AccessCost cost;
  const u64 la = c_.code64_now ? rip : static_cast<u32>(c_.seg[CS].base + rip);
  if (!same_page && translated()) translate(la, true, cost);
  if (cost.others()) cost.each_other([&](Cause c, unsigned cycles) { stall(c, cycles); });
  MemLevel from;
  const unsigned latency = caches_.fetch(at.v >> 6, from);
  if (from != MemLevel::l1) stall(miss_of(from, true), latency - t_.profile.l1i.latency);
  if (rip_is_linear(c_)) caches_.recent_code().name(la, false);
}

/// Where an access goes, by what has translated it a moment ago.
bool Timing::physical(u64 la, Hpa& at) const {
  if (VT_LIKELY(accessed(la, true, at)) || accessed(la, false, at)) return true;
  if (!translated()) at = Hpa{la};
  else if (const TlbEntry* t = c_.tlb.find(tags_, la)) at = Hpa{t->target | (la & ((u64{1} << t->shift) - 1))};
  else {   // gone again since
    const WalkSpace s = space();
    Gpa gpa{la};
    if (s.paging.mode != paging::Mode::none) {
      const auto host = [&](Gpa g) { return s.eptp ? ept::walk(s.memory, s.ept_caps, ept::Eptp{s.eptp}, g, access::read).target : Hpa{g.v}; };
      gpa = paging::walk(s.paging, la, [&](Gpa g, u64& v) { return v = s.memory.peek64(host(g)), true; }).target;
    }
    at = s.eptp ? ept::walk(s.memory, s.ept_caps, ept::Eptp{s.eptp}, gpa, access::read).target : Hpa{gpa.v};
  }
  return c_.memory().present(at) && !c_.apic.mmio_at(at.v & kPageMask);
}

AccessCost Timing::access(u64 la, unsigned size, bool write) {
  AccessCost l;
  if (!c_.code64_now) la = static_cast<u32>(la);
  const u64 last = la + size - 1;
  for (u64 line = la >> 6;; ++line) {
    const u64 at = std::max(la, line << 6);
    Hpa to;
    const bool ram = physical(at, to);
    if (!tlbs_.recent(at) && translated()) translate(at, false, l);
    if (!ram) {
      l.device += c_.apic.mmio_at(to.v & kPageMask) ? t_.profile.apic_mmio : t_.profile.mmio;
    } else {
      MemLevel from;
      const unsigned latency = caches_.data(to.v >> 6, write, from);
      if (from != MemLevel::l1 && latency > l.memory) l.memory = latency, l.from = from;
      caches_.recent().name(at, write);
    }
    if (line >= last >> 6) return l;
  }
}

/// `events`: a miss costs what is not hidden of its latency; a store's, a quarter of a load's.
void Timing::charge_access(const AccessCost& l, bool load) {
  if (l.memory) add(miss_of(l.from, false), exposed_[static_cast<unsigned>(l.from)][load]);
  if (l.others()) l.each_other([&](Cause c, unsigned cycles) { add(c, u64{cycles} * kTicks); });
}

void Timing::special() {
  switch (last_->op) {
    case OpClass::clflush: {
      Hpa at;
      if (physical(la_[0], at)) caches_.flush(at.v >> 6);
      return;
    }
    case OpClass::wbinvd: return caches_.flush_all();
    case OpClass::in_out: return pass(Cause::device, t_.profile.port_io);
    case OpClass::vmptrld: cold_vmcs_ = true; return;
    default:
      if (cold_vmcs_) pass(last_->op == OpClass::vmlaunch || last_->op == OpClass::vmresume ? Cause::vm_entry : Cause::base, t_.profile.vmcs_cold);
      cold_vmcs_ = false;
  }
}

/// So many instructions from `last_` on have retired.
void Timing::account(unsigned n, u64 next_rip) {
  if (!n) return;
  if (core_) {
    retire(n, next_rip);
  } else {
    if (pending_ != Pending::nothing) finish(next_rip);
    for (unsigned k = 0; k < n; ++k) ticks_ += last_[k].cost;
  }
  instructions_ += n;
}

void Timing::left(bool retired, const TimedInsn* at, u64 next_rip) {
  if (last_ != &kNoRun) account(static_cast<unsigned>(at - last_) + (retired ? 1 : 0), next_rip);
  if (retired) instructions_ -= c_.why == Next::again;   // it counts when it is complete
  pending_ = Pending::nothing;
  last_ = &kNoRun;
}

void Timing::sample_every(u64 cycles, TimingSampler* s) {
  sample_every_ = cycles * kTicks, sampler_ = cycles ? s : nullptr;   // at whole multiples, so that the same cycles are looked at whenever one begins
  next_sample_ = sampler_ ? (ticks_ / sample_every_ + 1) * sample_every_ : ~u64{0};
  trip_ = std::min(limit_, next_sample_);
}

void Timing::take_sample(u64 rip) {
  const u64 n = (ticks_ - next_sample_) / sample_every_ + 1;
  next_sample_ += n * sample_every_;
  trip_ = std::min(limit_, next_sample_);
  sampler_->sample(c_, rip, n * (sample_every_ / kTicks));
}

void Timing::state(Ar& a) {
  a(ticks_, seen_, line_, instructions_, guest_, repeats_, cold_vmcs_, since_, string_line_, tags_.eptp, tags_.vpid, tags_.pcid, stacks_);
  a.section("caches", caches_);
  a.section("tlbs", tlbs_);
  a.section("predictor", predictor_);
  if (core_) a.section("core", *core_);
  if (!a.loading()) return;
  limit_ = ~u64{0}, pending_ = Pending::nothing, last_ = &kNoRun;
  sample_every(sample_every_ / kTicks, sampler_);
}

}  // namespace vt::cpu
