// SPDX-License-Identifier: GPL-2.0-or-later
/// The ledger: every store to a table of EPT or VT-d while the machine runs, same-value stores included, who made it and
/// by which calls; what invalidated, enabled and used those tables; and the calls of functions that ask for a mapping. It watches only: the
/// run is the same without it. Hypervisor-agnostic, but for the list of functions that it is given.
#pragma once
#include <functional>
#include <map>
#include <vector>

#include "cpu/observer.hpp"
#include "emu/machine.hpp"
#include "views/call_stacks.hpp"
#include "views/tables.hpp"

namespace vt::views {

class Ledger final : public EventSink, public PhysMem::Listener, public Tables::Listener, public cpu::Observer {
 public:
  using Out = std::function<void(const Event&)>;
  /// `functions`: addresses where an attempt begins, with the count of arguments that matter (System V calling convention, at most 6). `out`
  /// gets everything that belongs to the ledger, in order. What the machine already has as roots is followed from here on.
  struct Function { u64 address = 0; unsigned arguments = 0; };
  Ledger(emu::Machine& machine, std::vector<Function> functions, Out out);
  ~Ledger() override;

  /// What happens before this step has been heard already: somebody goes through it again (a debugger). To be looked at whenever something happens.
  void hear_from(const u64* step) { from_ = step; }
  /// Events of the machine come in here (whoever calls `Machine::watch` passes them on).
  void on(const Event& e) override;
  u64 events() const { return events_; }
  const Tables& tables() const { return tables_; }

  // PhysMem::Listener
  void before_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) override;
  void after_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) override;
  // Tables::Listener
  void table(const Table& t, bool fresh) override;
  void gone(const Table& t, bool last) override;
  // cpu::Observer
  void call(const cpu::Cpu& c, u64 slot, u64 return_address) override { if (!heard()) stacks_.call(space(c), slot, return_address); }
  void ret(const cpu::Cpu& c, u64 slot) override;
  bool probe(const cpu::Cpu& c, u64 rip) override;
  bool probed(u64 rip) const override;

 private:
  struct Attempt { u64 slot = 0, step = 0; Function function; };
  struct Root { Hpa page; unsigned level = 0; };
  static u32 space(const cpu::Cpu& c) { return c.index() * 2 + (c.vmx.non_root ? 1 : 0); }
  bool heard() const { return from_ && machine_.position().step < *from_; }
  void put(Event e);
  void put_here(EventKind kind, u64 a, u64 b, u64 c, u64 d);
  u32 chain_of(const cpu::Cpu& c);
  void eptp(u64 vmcs, u64 value);
  void unit_pointer(u8 unit, bool interrupt, u64 value);

  emu::Machine& machine_;
  Out out_;
  const u64* from_ = nullptr;
  std::vector<Function> functions_;    ///< by address
  CallStacks stacks_;
  ChainTree chains_;
  Tables tables_;
  std::map<u64, u64> eptp_of_vmcs_;
  std::map<u32, Root> root_of_unit_;                       ///< unit * 2 + (interrupt ? 1 : 0)
  std::map<u32, unsigned> interrupt_pages_;
  struct Seen { u64 eptp = 0; bool tables_changed = true; };
  std::vector<Seen> entered_;                              ///< by processor: the last VM entry
  std::map<u32, std::vector<Attempt>> open_;               ///< by space: attempts that have not returned
  std::size_t open_count_ = 0;
  std::vector<u64> last_probe_;                            ///< by processor: step
  u64 before_[(kPageSize + 16) / 8] = {};                  ///< the bytes that are being written over, from an 8-byte boundary
  u64 events_ = 0;
};

}  // namespace vt::views
