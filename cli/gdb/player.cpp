// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/player.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cpu/ept_caps.hpp"
#include "names.hpp"
#include "gdb/space.hpp"
#include "views/ept_map.hpp"

namespace vt::cli::gdb {
namespace {
constexpr u64 kChunk = 4'000'000;   ///< steps between two looks at who may want to interrupt
}

Player::Player(Source& source, u64 budget) : source_(source), machine_(source.machine()), inner_(machine_.processor(0).observer()), timeline_(machine_, budget) {
  machine_.memory().add_listener(this);
  machine_.observe(this);
  source_.watch(this);
  kept_.insert_or_assign(now(), Kept{stacks_.share(), source_.heard()});
}

Player::~Player() {
  for (u64 p : watched_pages_) machine_.unwatch_page(Hpa{p});
  for (u64 p : read_pages_) machine_.unwatch_reads(Hpa{p});
  source_.unwatch(this);
  machine_.observe(inner_);
  machine_.memory().remove_listener(this);
}

// --- what is looked for -----------------------------------------------------------------------------------

bool Player::remove_break(u64 address, bool hardware) {
  auto it = breaks_.find(address);
  if (it == breaks_.end() || it->second.count[hardware] == 0) return false;
  --it->second.count[hardware];
  if (!it->second.count[0] && !it->second.count[1]) breaks_.erase(it);
  return true;
}

bool Player::add_watch(unsigned cpu, u64 address, u64 size, Watching what) {
  Watch w{address, size, false, what, {}};
  for (u64 at = address, left = size; left;) {
    const u64 run = std::min(left, kPageSize - at % kPageSize);
    const auto h = physical(machine_, cpu, at);
    if (!h || !machine_.memory().present(*h)) return false;
    w.at.push_back({*h, run});
    at += run, left -= run;
  }
  watches_.push_back(std::move(w));
  return true;
}

bool Player::add_watch_physical(Hpa at, u64 size, Watching what) {
  Watch w{at.v, size, true, what, {}};
  for (u64 left = size; left;) {
    const u64 run = std::min(left, kPageSize - at.v % kPageSize);
    if (!machine_.memory().present(at)) return false;
    w.at.push_back({at, run});
    at += run, left -= run;
  }
  watches_.push_back(std::move(w));
  return true;
}

bool Player::remove_watch(u64 address, u64 size, Watching what, bool is_physical) {
  auto it = std::find_if(watches_.begin(), watches_.end(),
                         [&](const Watch& w) { return w.name == address && w.size == size && w.what == what && w.is_physical == is_physical; });
  if (it == watches_.end()) return false;
  watches_.erase(it);
  return true;
}

unsigned Player::add_catch(Catch c) {
  if (c.kind == Catch::Kind::console && texts_.insert(c.text).second)
    source_.on_text(c.text, [this, text = c.text] {
      for (auto& [id, k] : catches_)
        if (k.kind == Catch::Kind::console && k.text == text) caught(machine_.position().cpu, k, fmt::format("the console has printed '{}'", text));
    });
  catches_.emplace(next_catch_, std::move(c));
  return next_catch_++;
}

/// The entries that stand on the way to each frame in the EPTs that are in use now.
void Player::resolve_tables() {
  table_entries_.clear();
  for (auto& [id, c] : catches_) {
    if (c.kind != Catch::Kind::table) continue;
    for (unsigned n = 0; n < machine_.cpus(); ++n) {
      const u64 eptp = machine_.processor(n).vmx.eptp;
      if (!eptp) continue;
      const auto l = views::look(machine_.memory(), cpu::ept_caps(machine_.processor(0).model()), ept::Eptp{eptp}, Gpa{c.gfn << kPageShift});
      for (unsigned i = 0; i < l.walk.n; ++i) table_entries_[id].push_back(l.walk.step[i].at);
    }
  }
}

/// Flags of pages follow what is watched.
void Player::rewatch() {
  std::set<u64> want, reads;
  for (auto& w : watches_)
    for (auto& [at, n] : w.at) {
      if (w.what != Watching::reads) want.insert(at.v & kPageMask);
      if (w.what != Watching::writes) reads.insert(at.v & kPageMask);
    }
  for (auto& [id, list] : table_entries_) for (Hpa at : list) want.insert(at.v & kPageMask);
  for (u64 p : want) if (!watched_pages_.contains(p)) machine_.watch_page(Hpa{p});
  for (u64 p : watched_pages_) if (!want.contains(p)) machine_.unwatch_page(Hpa{p});
  watched_pages_ = std::move(want);
  for (u64 p : reads) if (!read_pages_.contains(p)) machine_.watch_reads(Hpa{p});
  for (u64 p : read_pages_) if (!reads.contains(p)) machine_.unwatch_reads(Hpa{p});
  read_pages_ = std::move(reads);
}

/// Decoded code knows of the breakpoints that are wanted now. gdb takes all of them out whenever it stops: only a real change costs.
void Player::apply() {
  resolve_tables();
  rewatch();
  std::set<u64> want;
  for (auto& [at, b] : breaks_) want.insert(at);
  if (want == applied_) return;
  applied_ = std::move(want);
  machine_.observe(this);
}

// --- what is seen -----------------------------------------------------------------------------------------

/// The first one ends the run as soon as that is possible; of the last one the step is remembered.
void Player::hit(Halt h) {
  const u64 step = machine_.position().step;
  if (mode_ == Mode::last) {
    if (step < found_limit_) hit_ = Hit{step, std::move(h)};
  } else if (mode_ == Mode::first && !hit_) {
    hit_ = Hit{step, std::move(h)};
    machine_.stop().pause(kDebugger);
  }
}

bool Player::probe(const cpu::Cpu& c, u64 rip) { return stops_at(c, rip) || (inner_ && inner_->probed(rip) && inner_->probe(c, rip)); }

bool Player::stops_at(const cpu::Cpu& c, u64 rip) {
  if (mode_ == Mode::silent || (mode_ == Mode::first && hit_)) return false;
  const u64 step = machine_.position().step;
  auto it = breaks_.find(rip);
  if (it == breaks_.end() || step == skip_) return false;
  hit({Halt::Kind::breakpoint, c.index(), rip, it->second.count[0] == 0, {}});
  return mode_ == Mode::first;
}

bool Player::Watch::covers(Hpa first, u64 n) const {
  return std::any_of(at.begin(), at.end(), [&](auto& p) { return first.v < p.first.v + p.second && p.first.v < first.v + n; });
}

void Player::touched(Hpa at, u64 n, bool written, const char* how) {
  if (mode_ == Mode::silent) return;
  for (auto& w : watches_) {
    if (w.what == (written ? Watching::reads : Watching::writes) || !w.covers(at, n)) continue;
    const auto here = machine_.position();
    if (!w.is_physical) return hit({Halt::Kind::watchpoint, here.cpu, w.name, false, {}, w.what});
    return hit({Halt::Kind::caught, here.cpu, 0, false, fmt::format("hpa {:#x} is {}{} at step {}, rip {:#x}", w.name, written ? "written" : "read", how, here.step, here.rip), w.what});
  }
}

/// Writes come as such, from every writer.
void Player::access(const cpu::Cpu&, const cpu::MemoryAccess& a) {
  using Kind = cpu::MemoryAccess::Kind;
  if (a.kind == Kind::read) touched(a.at, a.size, false, "");
  if (a.kind == Kind::table_read) touched(a.at, a.size, false, a.ept ? " by an EPT walk" : " by a page walk");
}

bool Player::wants_io() const {
  return std::any_of(catches_.begin(), catches_.end(), [](auto& c) { return c.second.kind == Catch::Kind::msr || c.second.kind == Catch::Kind::port || c.second.kind == Catch::Kind::mmio; });
}

void Player::after_write(Hpa at, std::size_t n, u8 flags, WriteCause) {
  if (mode_ == Mode::silent || !(flags & page_flag::watched)) return;
  touched(at, n, true, "");
  for (auto& [id, list] : table_entries_)
    for (Hpa entry : list)
      if (at.v < entry.v + 8 && entry.v < at.v + n)
        return caught(machine_.position().cpu, catches_.at(id), fmt::format("the entry at {:#x} is written, now {:016x}", entry.v, machine_.memory().peek64(entry)));
}

void Player::caught(unsigned cpu, const Catch& c, const std::string& what) {
  const auto at = machine_.position();
  hit({Halt::Kind::caught, cpu, 0, false, fmt::format("{}: {} at step {}, rip {:#x}", c.typed, what, at.step, at.rip)});
}

void Player::on(const Event& e) {
  if (!is_io(e.kind) && (events_.empty() || events_.back().step <= e.step)) {   // else: seen before we went back
    events_.push_back(e);
    if (events_.size() > kEvents) events_.pop_front();
  }
  if (mode_ == Mode::silent) return;
  for (auto& [id, c] : catches_) {
    const bool number = !c.number || *c.number == e.a;
    switch (c.kind) {
      case Catch::Kind::vm_exit: if (e.kind == EventKind::vm_exit && number) caught(e.cpu, c, fmt::format("VM exit {}, qualification {:#x}", exit_name(static_cast<unsigned>(e.a)), e.b)); break;
      case Catch::Kind::vm_entry: if (e.kind == EventKind::vm_entry) caught(e.cpu, c, fmt::format("VM entry, VMCS {:#x}", e.a)); break;
      case Catch::Kind::eptp: if (e.kind == EventKind::eptp_change) caught(e.cpu, c, fmt::format("VMCS {:#x} has EPT pointer {:#x}", e.a, e.b)); break;
      case Catch::Kind::vtd_fault: if (e.kind == EventKind::vtd_fault) caught(e.cpu, c, fmt::format("unit {}: device {:#x}, address {:#x}, reason {:#x}", e.a, e.b, e.c, e.d)); break;
      case Catch::Kind::exception: if (e.kind == EventKind::exception && number) caught(e.cpu, c, fmt::format("{}, error code {:#x}", exception_name(static_cast<unsigned>(e.a)), e.b)); break;
      case Catch::Kind::msr:
        if ((e.kind == EventKind::msr_read || e.kind == EventKind::msr_write) && number)
          caught(e.cpu, c, fmt::format("{} {:#x}, value {:#x}", e.kind == EventKind::msr_read ? "RDMSR" : "WRMSR", e.a, e.b));
        break;
      case Catch::Kind::port: case Catch::Kind::mmio: {
        const bool port = c.kind == Catch::Kind::port, read = e.kind == (port ? EventKind::port_read : EventKind::mmio_read);
        if (!read && e.kind != (port ? EventKind::port_write : EventKind::mmio_write)) break;
        if (c.number && (*c.number < e.a || *c.number >= e.a + e.b)) break;
        caught(e.cpu, c, fmt::format("{} of {} {} {} {:#x}, value {:#x}", read ? "read" : "write", e.b, e.b == 1 ? "byte" : "bytes", port ? "at port" : "at hpa", e.a, e.c));
        break;
      }
      case Catch::Kind::table: case Catch::Kind::console: break;   // come elsewhere
    }
  }
}

// --- moving -----------------------------------------------------------------------------------------------

void Player::checkpoint() {
  if (timeline_.has(now())) return;
  timeline_.save();
  kept_.insert_or_assign(now(), Kept{stacks_.share(), source_.heard()});
  if (kept_.size() > 2 * timeline_.steps().size() + 16) {   // thinned ones need none
    const auto steps = timeline_.steps();
    std::erase_if(kept_, [&](auto& k) { return !std::binary_search(steps.begin(), steps.end(), k.first); });
  }
}

void Player::restore(u64 step) {
  const u64 at = timeline_.restore(step);
  machine_.stop().clear();
  source_.rewound();
  kept_.erase(kept_.upper_bound(at), kept_.end());
  if (auto it = kept_.find(at); it != kept_.end()) stacks_ = it->second.stacks.share(), source_.hear(it->second.heard);
  while (!events_.empty() && events_.back().step >= at) events_.pop_back();
}

/// Forward, with checkpoints on the way.
bool Player::run(u64 to, const Wanted& interrupted) {
  interrupted_ = false;
  to = std::min(to, end());
  u64 last = ~u64{0};
  while (now() < to) {
    const u64 due = timeline_.newest() + kEvery;
    if (now() >= due) checkpoint();
    const u64 next = std::min({to, now() + kChunk, std::max(due, now() + 1)});
    last = now();
    source_.to(next);
    if (hit_ && mode_ == Mode::first) { machine_.stop().clear(); return false; }
    if (machine_.stop().requested() || (now() == last && next > last)) return true;   // the end of its way
    if (interrupted && now() < to && interrupted()) { interrupted_ = true; return false; }
  }
  return true;
}

bool Player::seek(u64 step, const Wanted& interrupted) {
  if (step < timeline_.oldest()) return false;
  mode_ = Mode::silent;
  hit_.reset();
  if (step < now()) {
    restore(step);
    // Going back is often followed by going back: checkpoints close together just before the target make the next one cheap.
    for (u64 before : {u64{1} << 20, u64{1} << 17, u64{1} << 14, u64{1} << 11}) {
      if (step < before || step - before <= now()) continue;
      if (!run(step - before, interrupted)) return false;
      checkpoint();
    }
  }
  if (step == now()) return true;
  return run(step, interrupted) && now() == step;
}

Halt Player::at_limit() const {
  Halt h{Halt::Kind::end, machine_.current(), 0, false, {}};
  if (machine_.stop().requested()) h.text = machine_.stop().what();
  return h;
}

Halt Player::go(const Wanted& interrupted) {
  apply();
  hit_.reset();
  mode_ = Mode::first, skip_ = now();
  const bool all = run(~u64{0}, interrupted);
  mode_ = Mode::silent;
  if (hit_) {
    // A breakpoint has kept its instruction from being executed. Everything else is known when it has happened: the machine may be some
    // instructions further.
    const Hit h = *hit_;
    const u64 at = h.halt.kind == Halt::Kind::breakpoint ? h.step : std::min(h.step + 1, end());
    if (now() != at && !seek(at, {})) return {Halt::Kind::failed, machine_.current(), 0, false, "the step of the hit cannot be reached"};
    return h.halt;
  }
  if (!all) return {Halt::Kind::interrupted, machine_.current(), 0, false, {}};
  return at_limit();
}

Halt Player::back(const Wanted& interrupted) {
  apply();
  const u64 target = now();
  u64 until = target;
  while (until > timeline_.oldest()) {
    restore(until - 1);
    const u64 begin = now();
    hit_.reset();
    mode_ = Mode::last, skip_ = ~u64{0}, found_limit_ = target;
    interrupted_ = false;
    while (now() < until && !interrupted_) {   // no checkpoints: these steps are known
      source_.to(std::min(until, now() + kChunk));
      if (machine_.stop().requested()) break;
      interrupted_ = now() < until && interrupted && interrupted();
    }
    mode_ = Mode::silent;
    machine_.stop().clear();
    const auto h = std::exchange(hit_, {});
    if (interrupted_) return {Halt::Kind::interrupted, machine_.current(), 0, false, {}};
    if (h) {
      // Before what has happened, so that the instruction that did it is the next one.
      if (!seek(h->step, {})) return {Halt::Kind::failed, machine_.current(), 0, false, "the step of the hit cannot be reached"};
      return h->halt;
    }
    until = begin;
  }
  seek(timeline_.oldest(), {});
  return {Halt::Kind::begin, machine_.current(), 0, false, {}};
}

/// A processor that waits, or whose turn it is not, is stepped when the others have let it.
bool Player::to_turn(unsigned cpu, u64 limit) {
  if (machine_.in_turn(cpu)) return true;
  machine_.stop_before_turn(cpu, kDebugger);
  source_.to(limit);
  machine_.stop_before_turn(~0u, kDebugger);
  if (hit_ || machine_.stop().what() != kDebugger) return false;
  machine_.stop().clear();
  return machine_.in_turn(cpu);
}

Halt Player::step(unsigned cpu, u64 first, u64 last, const Wanted& interrupted) {
  apply();
  hit_.reset();
  Halt h{Halt::Kind::step, cpu, 0, false, {}};
  skip_ = now();
  for (u64 n = 1;; ++n) {
    if (now() >= end()) { h = at_limit(); break; }
    const u64 before = now();
    mode_ = Mode::first;
    const bool turn = to_turn(cpu, before + kChunk);
    if (turn) source_.to(now() + 1);
    mode_ = Mode::silent;
    if (hit_) {
      machine_.stop().clear();
      const u64 at = hit_->halt.kind == Halt::Kind::breakpoint ? hit_->step : hit_->step + 1;
      h = hit_->halt;
      if (now() != at && !seek(at, {})) h = {Halt::Kind::failed, machine_.current(), 0, false, "the step of the hit cannot be reached"};
      break;
    }
    if (machine_.stop().requested() || now() == before) { h = at_limit(); break; }
    if (turn && machine_.current() == cpu) {
      const u64 rip = machine_.processor(cpu).rip;
      if (rip < first || rip >= last) break;
    }
    if (n % 4096 == 0 || !turn) {
      if (now() >= timeline_.newest() + kEvery) checkpoint();
      if (interrupted && interrupted()) { h.kind = Halt::Kind::interrupted; break; }
    }
  }
  return h;
}

Halt Player::step_back(unsigned cpu, const Wanted& interrupted) {
  const Halt begin{Halt::Kind::begin, cpu, 0, false, {}}, stopped{Halt::Kind::interrupted, cpu, 0, false, {}};
  const u64 from = now();
  if (from <= timeline_.oldest()) return begin;
  hit_.reset();
  if (machine_.cpus() == 1) return seek(from - 1, interrupted) ? Halt{Halt::Kind::step, cpu, 0, false, {}} : stopped;
  // The last step that this processor made: looked for in windows that grow.
  u64 until = from;
  for (u64 window : {u64{16}, u64{8192}, u64{1} << 20, u64{1} << 24, u64{1} << 28}) {
    const u64 start = std::max(timeline_.oldest(), from > window ? from - window : 0);
    if (!seek(start, interrupted)) return stopped;
    // Its last turn that begins before, then the steps of that.
    std::optional<u64> turn, found;
    while (now() < until && !machine_.stop().requested()) {
      if (machine_.in_turn(cpu)) {
        turn = now();
        source_.to(std::min(until, machine_.turn_end()));
      } else {
        const u64 before = now();
        to_turn(cpu, until);
        if (now() == before && !machine_.in_turn(cpu)) break;
      }
    }
    machine_.stop().clear();
    if (turn) {
      if (!seek(*turn, interrupted)) return stopped;
      to_turn(cpu, until);   // at its beginning nobody may have been chosen yet
      while (now() < until && machine_.in_turn(cpu)) {
        found = now();
        source_.to(now() + 1);
        if (now() == *found) break;
      }
      machine_.stop().clear();
    }
    if (found) return seek(*found, interrupted) ? Halt{Halt::Kind::step, cpu, 0, false, {}} : stopped;
    if (start == timeline_.oldest()) return seek(start, interrupted) ? begin : stopped;
    until = start;
  }
  seek(from, {});
  return {Halt::Kind::failed, cpu, 0, false, "this processor has done nothing for a long time"};
}

std::vector<u64> Player::chain(unsigned cpu) const {
  const cpu::Cpu& c = machine_.processor(cpu);
  return stacks_.chain(space(c), c.r[4]);
}

}  // namespace vt::cli::gdb
