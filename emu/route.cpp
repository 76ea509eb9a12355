// SPDX-License-Identifier: GPL-2.0-or-later
/// Ways through the chipset: DMA and interrupt requests through the VT-d unit that is responsible, interrupt
/// messages to local APICs, writes to pages that somebody has to be told about.
#include <algorithm>

#include "board.hpp"
#include "emu/dma_timing.hpp"
#include "emu/machine.hpp"

namespace vt::emu {
namespace {

constexpr u64 kInterruptRange = 0xfee00000, kInterruptRangeEnd = 0xfef00000;

cpu::ApicMessage message_of(const vtd::Unit::Interrupt& i, bool x2apic) {
  cpu::ApicMessage m;
  m.mode = static_cast<cpu::ApicMessage::Mode>(i.delivery_mode & 7);
  m.vector = i.vector, m.level = i.level, m.logical = i.logical, m.destination = i.destination, m.x2apic_destination = x2apic;
  return m;
}

/// SDM 3A "Message Address Register Format", "Message Data Register Format"
cpu::ApicMessage plain_message(u64 address, u32 data) {
  cpu::ApicMessage m;
  m.destination = static_cast<u32>(bits(address, 19, 12));
  m.logical = bit(address, 2);
  m.vector = static_cast<u8>(data);
  m.mode = static_cast<cpu::ApicMessage::Mode>(bits(data, 10, 8));
  m.level = bit(data, 15);
  return m;
}

}  // namespace

vtd::Unit* Machine::unit_of(Bdf source) {
  // VT-d "DMA Remapping Hardware Unit Definition Structure": a unit that names the device, else the one that has the rest.
  vtd::Unit* rest = nullptr;
  for (std::size_t n = 0; n < units_.size(); ++n) {
    const fw::Drhd& d = platform_.drhds[n];
    if (d.include_all) rest = units_[n].get();
    for (auto& s : d.scopes) {
      if (s.path.empty() || (d.include_all && s.kind != fw::DeviceScope::Kind::ioapic)) continue;
      u8 bus = s.bus;
      for (std::size_t k = 0; k + 1 < s.path.size(); ++k)  // down through the bridges
        if (auto* f = board_->config.find(Bdf(bus, s.path[k].first, s.path[k].second)); f && f->bridge()) bus = f->secondary();
      const Bdf at(bus, s.path.back().first, s.path.back().second);
      if (at == source) return units_[n].get();
      if (s.kind != fw::DeviceScope::Kind::bridge) continue;
      if (auto* f = board_->config.find(at); f && f->bridge() && source.bus() >= f->secondary() && source.bus() <= f->subordinate()) return units_[n].get();
    }
  }
  return rest;
}

bool Machine::read(Bdf source, Iova at, void* to, std::size_t n) {
  auto* out = static_cast<u8*>(to);
  Traffic& traffic = traffic_[source];
  vtd::Unit* unit = unit_of(source);
  while (n) {
    std::size_t run = std::min<std::size_t>(n, kPageSize - at.v % kPageSize);
    Hpa from{at.v};
    if (unit) {
      const auto t = unit->translate(source, at, access::read);
      ++(!t.ok ? traffic.dma_blocked : t.translated ? traffic.dma_translated : traffic.dma_bypassed);
      if (!t.ok) { std::memset(out, 0xff, n); return false; }
      from = t.at;
    } else {
      ++traffic.dma_bypassed;
    }
    if (!memory_.present(from)) { std::memset(out, 0xff, n); return false; }
    memory_.read(from, out, run);
    if (dma_timing_) dma_timing_->data(source, from, run, false);
    if (memory_.flags(from) & page_flag::reads_watched)
      if (cpu::Observer* o = cpus_[0]->observer()) o->device_read(from, run);
    out += run, at += run, n -= run;
  }
  return true;
}

bool Machine::write(Bdf source, Iova at, const void* from, std::size_t n) {
  auto* in = static_cast<const u8*>(from);
  Traffic& traffic = traffic_[source];
  vtd::Unit* unit = unit_of(source);
  while (n) {
    std::size_t run = std::min<std::size_t>(n, kPageSize - at.v % kPageSize);
    if (at.v >= kInterruptRange && at.v < kInterruptRangeEnd) {
      u32 data = 0;
      std::memcpy(&data, in, std::min<std::size_t>(run, 4));
      interrupt_request(source, at.v, data);
    } else {
      Hpa to{at.v};
      if (unit) {
        const auto t = unit->translate(source, at, access::write);
        ++(!t.ok ? traffic.dma_blocked : t.translated ? traffic.dma_translated : traffic.dma_bypassed);
        if (!t.ok) return false;
        to = t.at;
      } else {
        ++traffic.dma_bypassed;
      }
      if (!memory_.present(to)) return false;
      memory_.write(to, in, run, WriteCause::dma);
      if (dma_timing_) dma_timing_->data(source, to, run, true);
    }
    in += run, at += run, n -= run;
  }
  return true;
}

void Machine::interrupt_request(Bdf source, u64 address, u32 data) {
  Traffic& traffic = traffic_[source];
  if (vtd::Unit* unit = unit_of(source)) {
    const auto i = unit->remap(source, address, data);
    ++(!i.ok ? traffic.interrupts_blocked : i.bypass ? traffic.interrupts_bypassed : traffic.interrupts_remapped);
    if (i.ok) deliver(message_of(i, !i.bypass && unit->ir_table().eime()));
    return;
  }
  ++traffic.interrupts_bypassed;
  deliver(plain_message(address, data));
}

Machine::InterruptRoute Machine::interrupt_route(u64 address, u32 data) {
  InterruptRoute r;
  r.message = plain_message(address, data);
  for (unsigned n = 0; n < cpus(); ++n) if (cpus_[n]->apic.addressed(r.message)) r.cpus.push_back(n);
  return r;
}

Machine::InterruptRoute Machine::interrupt_route(Bdf source, u64 address, u32 data) {
  vtd::Unit* unit = unit_of(source);
  InterruptRoute r;
  if (!unit || !unit->interrupt_remapping_enabled()) {
    r = interrupt_route(address, data);
    if (unit) r.unit = unit->index();
    return r;
  }
  r.unit = unit->index();
  const vtd::IrTable table = unit->ir_table();
  if (!vtd::RemappableRequest::is(address)) {
    if (table.eime() || !(unit->register_value(vtd::r::GSTS) & vtd::gcmd::CFI)) { r.fault_reason = vtd::fault::ir_compatibility_blocked; return r; }
    r = interrupt_route(address, data);
    r.unit = unit->index();
    return r;
  }
  const auto request = vtd::RemappableRequest::of(address, data);
  r.index = request.index;
  if (request.reserved) { r.fault_reason = vtd::fault::ir_request_reserved; return r; }
  const auto l = vtd::lookup_irte(memory_, unit->caps(), table, request.index);
  r.irte = l.entry, r.fault_reason = l.fault_reason;
  r.fault_reason = vtd::irte_fault_for(r.fault_reason, l.entry, source);
  if (r.fault_reason) return r;
  vtd::Unit::Interrupt i;
  i.destination = l.entry.destination(table.eime()), i.logical = l.entry.logical(), i.delivery_mode = l.entry.delivery_mode(), i.vector = l.entry.vector(), i.level = l.entry.level();
  r.message = message_of(i, table.eime());
  for (unsigned n = 0; n < cpus(); ++n) if (cpus_[n]->apic.addressed(r.message)) r.cpus.push_back(n);
  return r;
}

bool Machine::pic_output() const { return board_->intr.level; }
void Machine::msi(u64 address, u32 data) { deliver(plain_message(address, data)); }

void Machine::send(unsigned from_cpu, const cpu::ApicMessage& m) { deliver(m, cpus_[from_cpu].get()); }

/// SDM 3A "Determining IPI Destination", "Lowest Priority Delivery Mode"
void Machine::deliver(const cpu::ApicMessage& m, const cpu::Cpu* sender) {
  using Shorthand = cpu::ApicMessage::Shorthand;
  cpu::Cpu* lowest = nullptr;
  for (auto& c : cpus_) {
    const bool self = c.get() == sender;
    const bool to = m.shorthand == Shorthand::none ? c->apic.addressed(m)
                  : m.shorthand == Shorthand::self ? self : m.shorthand == Shorthand::all || !self;
    if (!to) continue;
    if (m.mode != cpu::ApicMessage::Mode::lowest) { c->receive(m); continue; }
    if (!lowest || c->apic.processor_priority() < lowest->apic.processor_priority()) lowest = c.get();
  }
  if (lowest) lowest->receive(m);
  if (running_) running_->leave_run = true;
}

void Machine::eoi(u8 vector) { board_->ioapic.eoi(vector); }
bool Machine::pic_pending() { return board_->intr.level; }
u8 Machine::pic_acknowledge() { return board_->pic.acknowledge(); }

void Machine::page_flagged(Hpa page) {
  const u8* host = memory_.host() + (page.v & kPageMask);
  for (auto& c : cpus_) c->host.drop_writes_to(host, kPageSize);
}

void Machine::watch_page(Hpa page) {
  page.v &= kPageMask;
  if (page.v >= memory_.top() || watched_[page.v]++) return;
  memory_.set_flag(page, page_flag::watched);
  page_flagged(page);
}

void Machine::unwatch_page(Hpa page) {
  page.v &= kPageMask;
  auto it = watched_.find(page.v);
  if (it == watched_.end() || --it->second) return;
  watched_.erase(it);
  if (page.v < memory_.top()) memory_.clear_flag(page, page_flag::watched);
}

void Machine::watch_reads(Hpa page) {
  page.v &= kPageMask;
  if (page.v >= memory_.top() || reads_watched_[page.v]++) return;
  memory_.set_flag(page, page_flag::reads_watched);
  for (auto& c : cpus_) c->host.drop_data_at(memory_.host() + page.v, kPageSize);
}

void Machine::unwatch_reads(Hpa page) {
  page.v &= kPageMask;
  auto it = reads_watched_.find(page.v);
  if (it == reads_watched_.end() || --it->second) return;
  reads_watched_.erase(it);
  if (page.v < memory_.top()) memory_.clear_flag(page, page_flag::reads_watched);
}

void Machine::tell_io(EventKind kind, u64 at, unsigned size, u64 value) {
  EventSink* s = io_events();
  if (!s) return;
  const Position p = position();
  s->on({.kind = kind, .cpu = p.cpu, .step = p.step, .rip = p.rip, .a = at, .b = size, .c = value});
}
u64 Machine::mmio_read(Hpa at, unsigned size) {
  const u64 v = bus_.read(at.v, size);
  tell_io(EventKind::mmio_read, at.v, size, v);
  return v;
}
void Machine::mmio_write(Hpa at, unsigned size, u64 value) {
  tell_io(EventKind::mmio_write, at.v, size, value);
  bus_.write(at.v, size, value);
}
u64 Machine::port_read(u16 port, unsigned size) {
  const u64 v = bus_.port_read(port, size);
  tell_io(EventKind::port_read, port, size, v);
  return v;
}
void Machine::port_write(u16 port, unsigned size, u64 value) {
  tell_io(EventKind::port_write, port, size, value);
  bus_.port_write(port, size, value);
}

void Machine::after_write(Hpa at, std::size_t n, u8 flags, WriteCause) {
  if (flags & page_flag::code) for (auto& c : cpus_) c->code_written(at, n);
}

}  // namespace vt::emu
