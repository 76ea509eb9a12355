// SPDX-License-Identifier: GPL-2.0-or-later
/// Blocks are looked up or decoded, entered with a budget of steps, and chain among themselves until
/// something needs the outer loop: that is `Cpu::run`. Which instructions share a block must never show:
/// whatever can be noticed happens at exact instruction boundaries.
#include "cpu/block.hpp"
#include "cpu/rows.hpp"
#include "cpu/timing/timing.hpp"
#include "decoder.hpp"
#include "fuse.hpp"
#include "observe.hpp"
#include "timing/timed_insn.hpp"

namespace vt::cpu {
namespace {

constexpr unsigned kMaxInsns = 64;

template <class C> Next too_long(C& c, const Insn&) { return c.gp(0); }

/// Linear address of code at `rip`.
u64 code_linear(const Cpu& c, u64 rip) { return c.code64_now ? rip : static_cast<u32>(c.seg[CS].base + rip); }

struct Decode {
  Block block;
  Insn insns[kMaxInsns + 1];
  Block::Observed observed[kMaxInsns];
  bool is_observed = false;
  std::vector<TimedInsn> timed;   ///< empty: no timing model
};

/// The page in which an instruction goes on that the page at `linear` begins, at `rip` of the code segment: its limit comes before the page
/// tables.   SDM 3A "Limit Checking"
bool fetch_rest(Cpu& c, u64 rip, u64 linear, Hpa& page2) {
  const u64 here = kPageSize - (linear & ~kPageMask);
  if (c.code64_now) return c.fetch_page(linear + here, page2);
  if (static_cast<u32>(rip + here) > c.seg[CS].limit) return c.gp(0), false;
  return c.fetch_page(static_cast<u32>(linear + here), page2);
}

/// Decodes from `linear` (physical `at`). False: not even the first instruction's bytes can be fetched (fault recorded).
bool decode_block(Cpu& c, u64 linear, Hpa at, u16 mode, Decode& d) {
  PhysMem& mem = c.memory();
  Block& b = d.block;
  b = Block{};
  b.page = Hpa{at.v & kPageMask};
  b.first_off = static_cast<u16>(at.v & ~kPageMask);
  b.mode = mode;
  const unsigned limit = mode & mode_bit::single ? 1 : kMaxInsns;
  u8 page[kPageSize + 16];
  const bool direct = mem.present(b.page);
  const u8* bytes = direct ? mem.host() + b.page.v : page;
  if (!direct) mem.read(b.page, page, kPageSize);
  unsigned off = b.first_off;
  const u64 rip = c.code64_now ? linear : linear - c.seg[CS].base;
  while (b.n < limit && off < kPageSize) {
    if (b.n && starts_block(c, rip + (off - b.first_off))) break;
    Insn& i = d.insns[b.n];
    bool ends = false;
    Decoded got = decode(bytes + off, static_cast<unsigned>(kPageSize) - off, static_cast<u16>(off), mode & ~mode_bit::single, c.model(), i, ends);
    if (got == Decoded::need_more) {
      if (b.n) break;  // a block of its own, next time
      const unsigned here = static_cast<unsigned>(kPageSize) - off;
      u8 both[16];
      if (!fetch_rest(c, rip, linear, b.page2)) return false;
      b.page2.v &= kPageMask;
      std::memcpy(both, bytes + off, here);
      mem.read(b.page2, both + here, 15 - here);
      got = decode(both, 15, static_cast<u16>(off), mode & ~mode_bit::single, c.model(), i, ends);
      b.crosses = true;
      ends = true;
    }
    if (got == Decoded::too_long) {
      i.fn = run<Cpu, too_long<Cpu>, true>;
      i.len = 15;
      ends = true;
    }
    ++b.n;
    off += i.len;
    if (ends) break;
  }
  if (!(mode & mode_bit::single) && rip_is_linear(c) && !b.crosses && !c.timing()) fuse(d.insns, b.n);
  d.is_observed = mark_observed(c, rip, d.insns, b.n, d.observed);
  if (c.timing()) {
    d.timed.resize(b.n);
    mark_timed(c, d.insns, b.n, d.timed.data());
  }
  b.count = b.n;
  b.bytes = static_cast<u16>(off - b.first_off);
  d.insns[b.n] = end_mark(off);
  return true;
}

/// The block at `rip`, decoded if need be. Null: the fetch faulted (recorded).
Block* block_at(Cpu& c, u64 rip, u16 mode) {
  BlockCache& cache = c.blocks();
  const u64 linear = code_linear(c, rip);
  Hpa at;
  if (!c.fetch_page(linear, at)) return nullptr;
  at = Hpa{(at.v & kPageMask) | (linear & ~kPageMask)};
  Block* b = cache.find(at, mode);
  if (b && b->crosses) {  // the second page may be another one here
    Hpa page2;
    if (!fetch_rest(c, rip, linear, page2)) return nullptr;
    if ((page2.v & kPageMask) != b->page2.v) { cache.kill(b->page + b->first_off, 1); b = nullptr; }
  }
  if (b) return b;
  Decode d;
  if (!decode_block(c, linear, at, mode, d)) return nullptr;
  ++c.stats.blocks_decoded;
  bool newly_code = false;
  b = cache.insert(d.block, d.insns, d.is_observed ? d.observed : nullptr, d.timed.empty() ? nullptr : d.timed.data(), newly_code);
  if (newly_code) {
    c.out().page_flagged(b->page);
    if (b->crosses) c.out().page_flagged(b->page2);
  }
  return b;
}

}  // namespace

Block kNoBlock = [] { Block b; b.n = Block::kDead; b.dead = true; return b; }();

void chain_local_slow(Cpu& c, const Insn* i, unsigned k) {
  // A branch inside its page, or what precedes the end mark.
  c.why = Next::jump;
  c.left_at = i;
  c.target = c.r[kRipReg] + (k ? static_cast<u64>(i->imm) : i->next_off());
  if (!c.code64_now) c.target = static_cast<u32>(c.target);
  const BlockCache::Jump& j = c.blocks().jump(c.target);
  if (j.rip != c.target || j.valid != c.links_valid || j.mode != c.mode || j.to->page != c.block->page) return;
  c.block->link[k] = {c.target, j.to, c.links_valid};
  if (c.budget < static_cast<i64>(j.to->n)) return;
  return enter(c, j.to, c.target);
}

void chain_slow(Cpu& c, const Insn* i) {
  // `i` is the branch, or the end mark.
  const bool mark = i == c.block->insns + c.block->count;  // n of a block that has just died says nothing
  c.why = Next::jump;
  c.left_at = mark ? i - 1 : i;
  if (!rip_is_linear(c) || (c.block->mode & mode_bit::single)) return;  // a block of one is followed by a look around
  BlockCache::Jump& j = c.blocks().jump(c.target);
  if (j.rip != c.target || j.valid != c.links_valid || j.mode != c.mode) return;
  if (c.budget < static_cast<i64>(j.to->n)) return;
  c.block->link[mark ? 0 : 1] = {c.target, j.to, c.links_valid};
  return enter(c, j.to, c.target);
}

bool Cpu::single_step_needed() const {
  // RF alone does not cut a repeated instruction that goes on: only its end clears it.
  return careful || sti_shadow || movss_shadow || vmx.steps_singly() || (flags & rflags::TF) || (dr[7] & 0xff) || (!block && (flags & rflags::RF));
}

u64 Cpu::steps_before_current() const {
  const u64 done = run_budget_ - static_cast<u64>(budget);
  if (!block) return done;
  return done - block->count + static_cast<u64>(cur - block->insns) + iterations;
}

u64 Cpu::run(u64 steps) {
  run_budget_ = steps;
  budget = static_cast<i64>(steps);
  leave_run = false;
  block = nullptr;
  while (budget > 0 && !leave_run && !stop_.requested()) {
    if (timing_ && timing_->over()) break;
    if (VT_UNLIKELY(watches_all_)) observer_->boundary(*this);
    if (attention && pending()) continue;
    if (activity != Activity::active) break;
    if (blocks_->full()) drop_derived();
    if (VT_UNLIKELY(watches_all_)) careful = true;   // no first attempts: each access is told of once
    const bool single = single_step_needed();
    u16 m = static_cast<u16>(mode | (single ? mode_bit::single : 0));
    fault.kind = Fault::Kind::none;

    // SDM 3A "Limit Checking": code segments that are not flat are checked block by block.
    Block* b = nullptr;
    const bool can_link = rip_is_linear(*this);
    BlockCache::Jump* j = can_link ? &blocks_->jump(rip) : nullptr;
    if (!can_link && rip > seg[CS].limit) gp(0);
    else if (j && !single && j->rip == rip && j->valid == links_valid && j->mode == m && !j->to->dead) b = j->to;
    else {
      b = block_at(*this, rip, m);
      if (b && static_cast<i64>(b->n) > budget) b = block_at(*this, rip, static_cast<u16>(m | mode_bit::single));
      if (b && !can_link && rip + b->bytes - 1 > seg[CS].limit && b->n > 1) b = block_at(*this, rip, static_cast<u16>(m | mode_bit::single));
      if (b && !can_link && rip + b->bytes - 1 > seg[CS].limit) { gp(0); b = nullptr; }
      if (b && j && !(b->mode & mode_bit::single) && !b->crosses) *j = {rip, b, links_valid, m};
    }
    if (b && static_cast<i64>(b->n) > budget) b = block_at(*this, rip, static_cast<u16>(m | mode_bit::single));
    if (!b) {
      careful = false;
      if (fault.kind == Fault::Kind::stopped) break;
      left_at = nullptr;
      const Paid paid(*this);
      deliver();
      continue;
    }
    if (VT_UNLIKELY(watches_all_)) observer_->executes(*this, *b->insns);
    execute(*b);
  }
  block = nullptr;
  const u64 made = run_budget_ - static_cast<u64>(budget);
  run_budget_ = static_cast<u64>(budget);
  return made;
}

/// SYSCALL with IA32_FMASK.TF: no single-step trap behind it.   SDM 2 "SYSCALL"
static bool masks_trap(const Insn& i, const Cpu& c) { return all_rows()[i.row].name == std::string_view("SYSCALL") && !(c.flags & rflags::TF); }

/// Runs `b` and whatever it chains to, then settles the account of where it was left.
void Cpu::execute(Block& b) {
  const bool sti = sti_shadow, movss = movss_shadow, trap = flags & rflags::TF, resume = flags & rflags::RF;
  const bool guest = non_root();
  const u64 run_start = static_cast<u64>(budget);
  enter(*this, &b, rip);

  Block* last = block;
  const u64 index = static_cast<u64>(left_at - last->insns);
  const bool done = why != Next::fault;
  const u64 executed = index + (done ? 1 : 0);
  budget += static_cast<i64>(last->count - executed);
  retired += run_start - static_cast<u64>(budget);
  const Insn& i = *left_at;
  block = nullptr;
  const u64 wrap = code64_now ? ~u64{0} : 0xffffffff;
  switch (why) {
    case Next::jump: case Next::leave: rip = target; break;
    case Next::end: case Next::seq: rip = (r[kRipReg] + i.next_off()) & wrap; break;
    case Next::again: case Next::fault: rip = (r[kRipReg] + i.off) & wrap; break;
  }
  if (timing_) timing_->left(done, timed_of(blocks_->timed_at(), left_at), rip);
  const bool entered = non_root() != guest;  // VM entry and exit bring their own blocking and traps
  if (why != Next::fault) {
    careful = false;
    if (entered) return;
    if (sti) sti_shadow = false;
    if (movss) movss_shadow = false;
    // SDM 3B "Instruction-Breakpoint Exception Condition": cleared by every instruction that completes (those that leave do it themselves, as IRET
    // loads it), and set in the images of events between iterations.
    if (why == Next::again) flags |= rflags::RF;
    else if (resume && why != Next::leave) flags &= ~rflags::RF;
    if (vmx.steps_singly()) vmx.mtf_pending = attention = true;
    if (trap && !masks_trap(i, *this)) { pending_debug |= u64{1} << 14; attention = true; }  // SDM 3B "Single-Step Exception Condition"
    return;
  }
  switch (fault.kind) {
    case Fault::Kind::careful:
      CHECK(!careful, "an instruction asks twice to be done alone");
      careful = true;
      break;
    case Fault::Kind::stopped: careful = false; break;   // whether there was a first attempt is not state
    default: {
      careful = false;
      const Paid paid(*this);
      deliver();
      if (non_root() != guest) break;
      if (sti) sti_shadow = false;
      if (movss) movss_shadow = false;
    }
  }
}

}  // namespace vt::cpu
