// SPDX-License-Identifier: GPL-2.0-or-later
/// The machine: processors, memory, bus, devices, VT-d units, the clock and the scheduler. Built from a
/// platform description; deterministic: what it does follows from that, the image, and recorded input.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/events.hpp"
#include "cpu/cpu.hpp"
#include "emu/backends.hpp"
#include "emu/bus.hpp"
#include "emu/event_queue.hpp"
#include "emu/network.hpp"
#include "firmware/image.hpp"
#include "firmware/platform.hpp"
#include "vtd/unit.hpp"

namespace vt::emu {

class IoApic;
class Vga;
class DmaTiming;
class Board;  // the devices and their wiring, emu/board.hpp
namespace pci { class ConfigSpace; }

class Machine final : public cpu::Outside, public vtd::Outside, public Clock, public DmaPort, public PhysMem::Listener {
 public:
  /// Throws fw::PlatformError or BusConflict where the description cannot be built.
  Machine(const fw::Platform& platform, SerialSink& console, Backends backends = {});
  ~Machine() override;

  /// Copies the image into memory and sets the bootstrap processor. Once, before the first run.
  void load(const std::vector<fw::Blob>& firmware, const fw::Image& image);

  /// Runs until `stop()` is requested, `steps()` reaches `last_step`, or `cycles()` reaches `last_cycle` (where every processor
  /// waits, time skips beyond it to the next event). Where every processor waits and nothing is due up to `wait_until`, it returns
  /// as it is, if that is not all ones.
  void run(u64 last_step = ~u64{0}, u64 last_cycle = ~u64{0}, u64 wait_until = ~u64{0});
  u64 next_event() const { return queue_.next(); }   ///< its cycle; EventQueue::kNone: there is none
  /// Asks a running machine to stop after the current chain of blocks; safe from a signal handler.
  void interrupt() { interrupted_ = true; }

  Stop& stop() override { return stop_; }
  u64 steps() const { return steps_; }
  u64 cycles() const { return time_; }   ///< virtual time, ns: with a timing model, as far as any processor has come
  u64 retired() const;

  // --- observing --------------------------------------------------------------------------------
  const fw::Platform& platform() const { return platform_; }
  PhysMem& memory() override { return memory_; }
  const PhysMem& memory() const { return memory_; }
  unsigned cpus() const { return static_cast<unsigned>(cpus_.size()); }
  unsigned current() const { return slice_cpu_; }   ///< whose turn it is, or was when the run ended
  cpu::Cpu& processor(unsigned n) { return *cpus_[n]; }
  const std::vector<std::unique_ptr<vtd::Unit>>& vtd_units() const { return units_; }
  pci::ConfigSpace& pci();
  const IoApic& ioapic() const;
  /// What becomes of an interrupt request by the tables as they stand. Looked up only: nothing is sent, cached or recorded as a fault.
  struct InterruptRoute {
    std::optional<u8> unit;        ///< remapping unit of the requester
    std::optional<u32> index;      ///< of its table, if the request is in remappable format and remapping is enabled
    vtd::Irte irte;
    u8 fault_reason = 0;           ///< blocked
    cpu::ApicMessage message;
    std::vector<unsigned> cpus;    ///< whom the message addresses
  };
  InterruptRoute interrupt_route(Bdf source, u64 address, u32 data);
  /// The same of a message that no unit remaps: the units' own.
  InterruptRoute interrupt_route(u64 address, u32 data);
  const Vga* vga() const;          ///< null: the platform has none
  bool pic_output() const;         ///< INTR of the 8259 pair
  Bus& bus() { return bus_; }
  /// In the order of the platform's functions and their ports.
  const std::vector<std::unique_ptr<Disk>>& disks() const;
  const std::map<Bdf, Traffic>& traffic() const { return traffic_; }
  const DmaTiming* dma_timing() const { return dma_timing_.get(); }   ///< null: flat
  void watch(EventSink* sink) { sink_ = sink; }
  /// Will this processor make the next step (unless an event that is due ends the run)?
  bool in_turn(unsigned cpu) const;
  u64 turn_end() const { return steps_ + (timed() ? kTurn : slice_left_); }   ///< step before which the present turn ends at the latest
  bool timed() const { return last_level_ != nullptr; }   ///< processors have clocks of their own
  /// The run pauses (`what`) whenever a turn of this processor begins, before its first step; all ones: no more. Not state.
  void stop_before_turn(unsigned cpu, const char* what) { turn_cpu_ = cpu, turn_what_ = what; }
  /// Calls, returns and chosen places of all processors; null: nobody. Not from within a run.
  void observe(cpu::Observer* observer);
  /// Where the machine is: within a step the instruction that executes, or what has just been written by it.
  struct Position { u16 cpu = 0; u64 step = 0, rip = 0; };
  Position position() const;
  /// Writes to a watched page are told to memory's listeners. Counted: each call of the one needs one of the other.
  void watch_page(Hpa page);
  void unwatch_page(Hpa page);
  /// Each access to such a page is told to the processors' observer. Counted the same way.
  void watch_reads(Hpa page);
  void unwatch_reads(Hpa page);
  /// Network cards, in the description's order.
  const std::vector<NetworkCard*>& network_cards() const;
  /// A byte typed at the serial port: arrives there after those typed before it, at 115200 baud.
  void type(u8 byte);

  // --- state ------------------------------------------------------------------------------------
  void state(Ar& ar);
  void state_but_memory(Ar& ar);     ///< all of it but the contents of memory and disks (emu/timeline.hpp keeps those)
  std::string state_hash();          ///< 32 hex digits over the platform and everything architectural
  void drop_derived();               ///< caches that are not state: a test shows that this changes nothing

 private:
  static constexpr u64 kTurn = 2000;   ///< steps, or ns: how far a processor goes before the next one's turn
  friend class Board;
  // cpu::Outside
  EventSink* events() override { return sink_; }
  EventSink* io_events() override { return sink_ && sink_->wants_io() ? sink_ : nullptr; }
  u64 mmio_read(Hpa at, unsigned size) override;
  void mmio_write(Hpa at, unsigned size, u64 value) override;
  u64 port_read(u16 port, unsigned size) override;
  void port_write(u16 port, unsigned size, u64 value) override;
  void tell_io(EventKind kind, u64 at, unsigned size, u64 value);
  void page_flagged(Hpa page) override;
  void send(unsigned from_cpu, const cpu::ApicMessage& m) override;
  void eoi(u8 vector) override;
  bool pic_pending() override;
  u8 pic_acknowledge() override;
  void arm_timer(unsigned cpu, u64 cycle) override;
  void arm_preemption_timer(unsigned cpu, u64 cycle) override;
  u64 slice_start() const override { return time_; }
  u64 clamp_time(u64 ns) override { return running_ ? handed_out_ = std::max(handed_out_, ns) : std::max(handed_out_, ns); }   // who looks from outside leaves no trace
  u64 slice_start_step() const override { return steps_; }
  // vtd::Outside
  u64 step() const override { return running_ ? running_->step() : steps_; }
  void msi(u64 address, u32 data) override;
  // Clock
  u64 now() const override { return running_ ? running_->now() : time_; }
  void at(u64 cycle, Timed& owner, u32 kind) override;
  void cancel(Timed& owner, u32 kind) override { queue_.cancel(owner, kind); }
  // DmaPort
  bool read(Bdf source, Iova at, void* to, std::size_t n) override;
  bool write(Bdf source, Iova at, const void* from, std::size_t n) override;
  void msi(Bdf source, u64 address, u32 data) override { interrupt_request(source, address, data); }
  // PhysMem::Listener
  void before_write(Hpa, std::size_t, u8, WriteCause) override {}
  void after_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) override;

  void set_up_processors();
  void state(Ar& ar, bool memory);
  vtd::Unit* unit_of(Bdf source);
  /// A write to 0xFEExxxxx by `source` (a function, or an I/O APIC): through interrupt remapping.   VT-d "Interrupt Remapping"
  void interrupt_request(Bdf source, u64 address, u32 data);
  void deliver(const cpu::ApicMessage& m, const cpu::Cpu* sender = nullptr);
  void expire_due();
  u64 slice() const;
  bool goes_on(u64 last_step, u64 last_cycle);    ///< lets what is due expire; false: the run ends here
  bool skip_to_event(u64 wait_until);             ///< every processor waits; false: so does the run
  // Timing models: a clock per processor.
  void run_timed(u64 last_step, u64 last_cycle, u64 wait_until);
  bool choose();                     ///< whose slice comes next; false: every processor waits
  void wake();                       ///< those that have something to do again: their clocks go on from now

  struct ApicTimer;  // one per processor: its events
  fw::Platform platform_;
  Stop stop_;
  PhysMem memory_;
  Bus bus_;
  EventQueue queue_;
  EventSink* sink_ = nullptr;
  std::vector<std::unique_ptr<cpu::Cpu>> cpus_;
  std::vector<std::unique_ptr<ApicTimer>> timers_;
  std::vector<std::unique_ptr<vtd::Unit>> units_;
  std::unique_ptr<Board> board_;

  u64 time_ = 0, steps_ = 0;
  u32 slice_cpu_ = 0;
  u64 slice_left_ = 0;
  std::unique_ptr<cpu::LastLevel> last_level_;   ///< null: flat
  std::unique_ptr<DmaTiming> dma_timing_;        ///< the same
  u64 handed_out_ = 0;               ///< the latest time that anybody was told
  u64 slice_end_ = 0;                ///< ns
  std::vector<u8> parked_;           ///< by processor: it waits
  cpu::Cpu* running_ = nullptr;
  Backends backends_;
  std::map<Bdf, Traffic> traffic_;
  u32 turn_cpu_ = ~0u;
  const char* turn_what_ = "";
  std::map<u64, u32> watched_, reads_watched_;   ///< page: by how many. Not state
  volatile bool interrupted_ = false;
};

/// A checkpoint in a file: state of the machine, memory sparse, compressed (zstd), with a header that names format and platform.
/// Errors throw std::runtime_error that names the file.
void save_checkpoint(Machine& m, const std::string& file);
void load_checkpoint(Machine& m, const std::string& file);

}  // namespace vt::emu
