// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/ledger.hpp"

#include <algorithm>

#include "ept/ept.hpp"
#include "vtd/interrupt.hpp"

namespace vt::views {
namespace {

/// System V: rdi, rsi, rdx, rcx, r8, r9, as numbers of general registers.
constexpr unsigned kArgument[6] = {7, 6, 2, 1, 8, 9};

}  // namespace

Ledger::Ledger(emu::Machine& machine, std::vector<Function> functions, Out out)
    : machine_(machine), out_(std::move(out)), functions_(std::move(functions)), tables_(machine.memory(), *this),
      entered_(machine.cpus()), last_probe_(machine.cpus(), ~u64{0}) {
  std::sort(functions_.begin(), functions_.end(), [](auto& a, auto& b) { return a.address < b.address; });
  machine_.memory().add_listener(this);
  machine_.observe(this);
  for (unsigned n = 0; n < machine_.cpus(); ++n)
    if (auto& v = machine_.processor(n).vmx; v.eptp) {
      put_here(EventKind::eptp_change, v.vmcs, v.eptp, 0, 0);
      eptp(v.vmcs, v.eptp);
    }
  for (auto& u : machine_.vtd_units()) {
    auto known = [&](bool interrupt, u64 value) {
      if (!value) return;
      put_here(EventKind::vtd_pointer, u->index(), interrupt, value, 0);
      unit_pointer(u->index(), interrupt, value);
    };
    known(false, u->root_in_use().v);
    known(true, u->ir_table().irta);
    if (u->translation_enabled()) put_here(EventKind::vtd_translation, u->index(), 1, u->root_in_use().v, 0);
  }
}

Ledger::~Ledger() {
  machine_.observe(nullptr);
  machine_.memory().remove_listener(this);
}

void Ledger::put(Event e) {
  ++events_;
  out_(e);
}

u32 Ledger::chain_of(const cpu::Cpu& c) {
  return chains_.number(stacks_.chain(space(c), c.r[4]), [this](u32 n, const ChainTree::Node& node) {
    put({.kind = EventKind::frame, .step = machine_.position().step, .a = n, .b = node.parent, .c = node.return_address});
  });
}

void Ledger::put_here(EventKind kind, u64 a, u64 b, u64 c, u64 d) {
  const auto p = machine_.position();
  const u32 chain = chain_of(machine_.processor(p.cpu));
  put({.kind = kind, .cpu = p.cpu, .step = p.step, .rip = p.rip, .a = a, .b = b, .c = c, .d = d, .chain = chain});
}

void Ledger::on(const Event& e) {
  if (heard()) return;
  Event copy = e;
  switch (e.kind) {
    case EventKind::vm_entry: {
      Seen& s = entered_[e.cpu];
      if (s.eptp == e.b && !s.tables_changed) return;
      s = {e.b, false};
      put(copy);
      return;
    }
    case EventKind::none: case EventKind::vm_exit: case EventKind::exception: case EventKind::interrupt: return;
    case EventKind::vtd_register: case EventKind::vtd_translation: case EventKind::vtd_invalidate: case EventKind::vtd_pointer: {
      // The unit does not know who drives it.
      const auto p = machine_.position();
      copy.cpu = p.cpu, copy.rip = p.rip;
      copy.chain = chain_of(machine_.processor(p.cpu));
      put(copy);
      if (e.kind == EventKind::vtd_pointer) unit_pointer(static_cast<u8>(e.a), e.b, e.c);
      return;
    }
    case EventKind::vtd_fault: put(copy); return;
    default:
      copy.chain = chain_of(machine_.processor(e.cpu));
      put(copy);
      if (e.kind == EventKind::eptp_change) eptp(e.a, e.b);
      return;
  }
}

/// SDM 3C "Extended-Page-Table Pointer (EPTP)": a VMCS names other tables from now on.
void Ledger::eptp(u64 vmcs, u64 value) {
  u64& now = eptp_of_vmcs_[vmcs];
  if (now == value) return;
  const ept::Eptp before{now}, after{value};
  now = value;
  if (after.v && after.levels() >= 1 && after.levels() <= 4) tables_.add_root(after.root(), TableFormat::ept, after.levels(), after.v);
  if (before.v) tables_.remove_root(before.root(), TableFormat::ept, before.levels());
}

/// VT-d "Root Table Address Register", "Interrupt Remapping Table Address Register": taken over by SRTP and SIRTP.
void Ledger::unit_pointer(u8 unit, bool interrupt, u64 value) {
  const u32 key = unit * 2u + (interrupt ? 1 : 0);
  const TableFormat format = interrupt ? TableFormat::interrupt : TableFormat::root;
  const unsigned level = interrupt ? 1 : 2;
  auto pages = [&](u64 v) { return interrupt ? std::max<u64>(1, vtd::IrTable{v}.entries() * 16 / kPageSize) : u64{1}; };
  const auto it = root_of_unit_.find(key);
  const Root before = it == root_of_unit_.end() ? Root{} : it->second;
  const u64 before_pages = interrupt_pages_[key];
  for (u64 n = 0; n < pages(value); ++n)
    tables_.add_root(Hpa{(value & kPageMask) + n * kPageSize}, format, level, value, unit, n * (kPageSize / 16) << 12);
  for (u64 n = 0; n < before_pages; ++n) tables_.remove_root(before.page + n * kPageSize, format, level);
  root_of_unit_[key] = {Hpa{value & kPageMask}, level};
  interrupt_pages_[key] = static_cast<unsigned>(pages(value));
}

void Ledger::before_write(Hpa at, std::size_t n, u8 flags, WriteCause) {
  if (!(flags & page_flag::watched) || n > kPageSize || heard()) return;
  const u64 first = at.v & ~u64{7}, last = (at.v + n - 1) | 7;
  std::memcpy(before_, machine_.memory().host() + first, last + 1 - first);
}

void Ledger::after_write(Hpa at, std::size_t n, u8 flags, WriteCause cause) {
  if (!(flags & page_flag::watched) || n > kPageSize || heard()) return;
  const Hpa page{at.v & kPageMask};
  if (!tables_.is_table(page)) return;
  const u64 first = at.v & ~u64{7};
  const auto p = machine_.position();
  const u32 chain = cause == WriteCause::dma ? 0 : chain_of(machine_.processor(p.cpu));
  for (u64 word = first; word <= ((at.v + n - 1) & ~u64{7}); word += 8) {
    const Table* t = tables_.role(page);
    if (!t) break;   // a word before has made it something else
    put({.kind = EventKind::table_write, .cpu = p.cpu, .step = p.step, .rip = cause == WriteCause::dma ? 0 : p.rip, .a = word, .b = before_[(word - first) / 8],
         .c = machine_.memory().peek64(Hpa{word}), .d = place::make(entry_first(*t, word - page.v), t->format, t->level, static_cast<unsigned>(cause)), .chain = chain});
    tables_.written(Hpa{word});
  }
  for (auto& s : entered_) s.tables_changed = true;
}

void Ledger::table(const Table& t, bool fresh) {
  if (fresh) machine_.watch_page(t.page);
  put_here(EventKind::table_page, t.page.v, t.named_by.v, t.root, place::make(t.first, t.format, t.level, fresh ? place::kExisting : 0));
  if (!fresh) return;   // its contents are known
  const auto p = machine_.position();
  for (u64 offset = 0; offset < kPageSize; offset += 8)
    if (const u64 v = machine_.memory().peek64(t.page + offset))
      put({.kind = EventKind::table_write, .cpu = p.cpu, .step = p.step, .rip = p.rip, .a = t.page.v + offset, .b = 0, .c = v,
           .d = place::make(entry_first(t, offset), t.format, t.level, place::kExisting), .chain = chain_of(machine_.processor(p.cpu))});
}

void Ledger::gone(const Table& t, bool last) {
  if (last) machine_.unwatch_page(t.page);
  put_here(EventKind::table_gone, t.page.v, last, 0, place::make(t.first, t.format, t.level, 0));
}

bool Ledger::probed(u64 rip) const {
  return std::binary_search(functions_.begin(), functions_.end(), Function{rip, 0}, [](auto& a, auto& b) { return a.address < b.address; });
}

bool Ledger::probe(const cpu::Cpu& c, u64 rip) {
  const u64 step = c.step();
  if (heard()) return false;
  if (last_probe_[c.index()] == step || c.vmx.non_root) return false;
  last_probe_[c.index()] = step;
  auto f = std::lower_bound(functions_.begin(), functions_.end(), rip, [](auto& a, u64 r) { return a.address < r; });
  if (f == functions_.end() || f->address != rip) return false;
  const auto index = static_cast<u16>(c.index());
  auto arg = [&](unsigned n) { return n < f->arguments ? c.r[kArgument[n]] : 0; };
  put({.kind = EventKind::attempt, .cpu = index, .step = step, .rip = rip, .a = rip, .b = arg(0), .c = arg(1), .d = arg(2), .chain = chain_of(c)});
  if (f->arguments > 3)
    put({.kind = EventKind::attempt_more, .cpu = index, .step = step, .rip = rip, .a = f->arguments, .b = arg(3), .c = arg(4), .d = arg(5)});
  auto& open = open_[space(c)];
  // What stands deeper was left behind without a return. The same slot: a tail call.
  while (!open.empty() && open.back().slot < c.r[4]) open.pop_back(), --open_count_;
  if (open.size() < 64) open.push_back({c.r[4], step, *f}), ++open_count_;
  return false;
}

void Ledger::ret(const cpu::Cpu& c, u64 slot) {
  if (heard()) return;
  stacks_.ret(space(c), slot);
  if (!open_count_) return;
  auto it = open_.find(space(c));
  if (it == open_.end()) return;
  auto& open = it->second;
  while (!open.empty() && open.back().slot < slot) open.pop_back(), --open_count_;
  while (!open.empty() && open.back().slot == slot) {
    const Attempt a = open.back();
    open.pop_back(), --open_count_;
    put({.kind = EventKind::attempt_result, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.current_rip(), .a = a.function.address, .b = a.step,
         .c = c.r[0], .d = a.function.arguments});
  }
}

}  // namespace vt::views
