// SPDX-License-Identifier: GPL-2.0-or-later
/// A machine that is played forwards and backwards: to a step, to the next or the last place that somebody wants to know of.
/// Breakpoints, watchpoints and catch points are seen from outside: the guest's memory and registers are never touched, and the
/// run is the same with and without them.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/events.hpp"
#include "cpu/observer.hpp"
#include "emu/machine.hpp"
#include "emu/timeline.hpp"
#include "views/call_stacks.hpp"

namespace vt::cli::gdb {

/// `Stop::what` of a stop that the debugger has asked for.
inline constexpr const char* kDebugger = "debugger";

/// A machine and the way it goes.
class Source {
 public:
  virtual ~Source() = default;
  virtual emu::Machine& machine() = 0;
  /// Runs to `step` or the run's end; returns early where the machine's Stop was asked for.
  virtual void to(u64 step) = 0;
  /// The machine was put back to an earlier moment: what was typed since is to be typed again.
  virtual void rewound() = 0;
  /// Last step, where it is known; else all ones.
  virtual u64 end() const = 0;
  /// `sink` gets the machine's events from now on.
  virtual void watch(EventSink* sink) = 0;
  virtual void unwatch(EventSink* sink) = 0;
  /// `found` is called from within the step that prints the last byte of `text`, each time.
  virtual void on_text(const std::string& text, std::function<void()> found) = 0;
  /// The last bytes of the console, with which such a text may begin: a checkpoint keeps them.
  virtual std::string heard() const = 0;
  virtual void hear(std::string bytes) = 0;
};

/// What `monitor stop-on` waits for.
struct Catch {
  enum class Kind : u8 { vm_exit, vm_entry, eptp, table, vtd_fault, exception, console, msr, port, mmio } kind;
  std::optional<u64> number;   ///< exit reason, vector, index, port, physical address
  u64 gfn = 0;                 ///< table: any entry on the way to this frame
  std::string text;            ///< console
  std::string typed;
};

/// What a watchpoint waits for.
enum class Watching : u8 { writes, reads, accesses };

/// Why it stands where it stands.
struct Halt {
  enum class Kind : u8 { step, breakpoint, watchpoint, caught, begin, end, interrupted, failed } kind = Kind::step;
  unsigned cpu = 0;
  u64 address = 0;       ///< watchpoint: as it was asked for
  bool hardware = false; ///< breakpoint
  std::string text;      ///< caught, failed: for people
  Watching watching = Watching::writes;
};

class Player final : private cpu::Observer, private EventSink, private PhysMem::Listener {
 public:
  explicit Player(Source& source, u64 budget = emu::Timeline::kBudget);
  ~Player() override;
  Player(const Player&) = delete;
  Player& operator=(const Player&) = delete;

  emu::Machine& machine() { return machine_; }
  u64 now() const { return machine_.steps(); }
  u64 end() const { return source_.end(); }
  const emu::Timeline& timeline() const { return timeline_; }

  void add_break(u64 address, bool hardware) { ++breaks_[address].count[hardware]; }
  bool remove_break(u64 address, bool hardware);
  /// Linear [address, address + size) of this processor's present context, whoever writes or reads there. False: not mapped.
  bool add_watch(unsigned cpu, u64 address, u64 size, Watching what = Watching::writes);
  bool add_watch_physical(Hpa at, u64 size, Watching what = Watching::writes);   ///< its hits are `caught`: a debugger knows nothing of it
  bool remove_watch(u64 address, u64 size, Watching what = Watching::writes, bool is_physical = false);
  /// Nothing is looked for any more.
  void forget() { breaks_.clear(), watches_.clear(), catches_.clear(); }
  unsigned add_catch(Catch c);
  bool remove_catch(unsigned id) { return catches_.erase(id); }
  const std::map<unsigned, Catch>& catches() const { return catches_; }

  /// Asked now and then while it runs: true ends what is under way, at an exact step.
  using Wanted = std::function<bool()>;
  Halt go(const Wanted& interrupted);
  Halt back(const Wanted& interrupted);
  /// One step of this processor; with `first` < `last`, until it is outside of [first, last).
  Halt step(unsigned cpu, u64 first, u64 last, const Wanted& interrupted);
  Halt step_back(unsigned cpu, const Wanted& interrupted);
  /// To any step, without looking at anything on the way. False: further back than memory reaches, or interrupted.
  bool seek(u64 step, const Wanted& interrupted);

  /// Return addresses of the calls that are open on this processor, innermost first.
  std::vector<u64> chain(unsigned cpu) const;
  const std::deque<Event>& events() const { return events_; }

 private:
  struct Breaks { unsigned count[2] = {}; };
  struct Watch {
    u64 name, size;
    bool is_physical;
    Watching what;
    std::vector<std::pair<Hpa, u64>> at;
    bool covers(Hpa first, u64 n) const;
  };
  struct Hit { u64 step = 0; Halt halt; };
  enum class Mode : u8 { silent, first, last };
  static constexpr u64 kEvery = 4'000'000;   ///< steps between checkpoints: 15 to 30 ms to run again
  static constexpr std::size_t kEvents = 4096;

  // cpu::Observer
  void call(const cpu::Cpu& c, u64 slot, u64 to) override {
    stacks_.call(space(c), slot, to);
    if (inner_) inner_->call(c, slot, to);
  }
  void ret(const cpu::Cpu& c, u64 slot) override {
    stacks_.ret(space(c), slot);
    if (inner_) inner_->ret(c, slot);
  }
  bool probed(u64 rip) const override { return applied_.contains(rip) || (inner_ && inner_->probed(rip)); }
  bool probe(const cpu::Cpu& c, u64 rip) override;
  bool stops_at(const cpu::Cpu& c, u64 rip);
  void access(const cpu::Cpu& c, const cpu::MemoryAccess& a) override;
  void device_read(Hpa at, u64 n) override { touched(at, n, false, " by a device"); }
  // EventSink
  void on(const Event& e) override;
  bool wants_io() const override;
  // PhysMem::Listener
  void before_write(Hpa, std::size_t, u8, WriteCause) override {}
  void after_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) override;

  static u32 space(const cpu::Cpu& c) { return c.index() * 2 + (c.vmx.non_root ? 1 : 0); }
  void hit(Halt h);
  void caught(unsigned cpu, const Catch& c, const std::string& what);
  void touched(Hpa at, u64 n, bool written, const char* how);
  void apply();
  void resolve_tables();
  void rewatch();
  void checkpoint();
  void restore(u64 step);
  /// To the beginning of this processor's next turn. False: a hit, the end, or `limit` before.
  bool to_turn(unsigned cpu, u64 limit);
  bool run(u64 to, const Wanted& interrupted);   ///< false: a hit (or interrupted_); else it stands at `to` or the end
  Halt at_limit() const;

  Source& source_;
  emu::Machine& machine_;
  cpu::Observer* const inner_;   ///< who was there before goes on being told
  emu::Timeline timeline_;
  views::CallStacks stacks_;
  struct Kept { views::CallStacks stacks; std::string heard; };
  std::map<u64, Kept> kept_;                       ///< by the step of the checkpoint
  std::map<u64, Breaks> breaks_;
  std::set<u64> applied_;                          ///< the addresses that decoded code knows of
  std::vector<Watch> watches_;
  std::map<unsigned, Catch> catches_;
  std::map<unsigned, std::vector<Hpa>> table_entries_;   ///< catch: the 8-byte entries on the way
  std::set<u64> watched_pages_, read_pages_;
  unsigned next_catch_ = 1;
  std::deque<Event> events_;
  Mode mode_ = Mode::silent;
  u64 skip_ = ~u64{0};                             ///< breakpoints at this step do not count: we stand there
  bool interrupted_ = false;
  u64 found_limit_ = ~u64{0};                      ///< Mode::last: only what is before this step
  std::optional<Hit> hit_;
  std::set<std::string> texts_;
};

}  // namespace vt::cli::gdb
