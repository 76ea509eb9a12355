// SPDX-License-Identifier: GPL-2.0-or-later
/// Views of what is around the processors: I/O APIC, PCI, VT-d, who gets which interrupt, events.
#include <fmt/format.h>

#include <algorithm>

#include "base/bits.hpp"
#include "devices/ioapic.hpp"
#include "names.hpp"
#include "pci/config.hpp"
#include "saved.hpp"
#include "show.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "views/event_log.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;
using Route = emu::Machine::InterruptRoute;

const char* mode_text(cpu::ApicMessage::Mode m) {
  using Mode = cpu::ApicMessage::Mode;
  switch (m) {
    case Mode::fixed: return "";
    case Mode::lowest: return "lowest priority ";
    case Mode::smi: return "SMI ";
    case Mode::nmi: return "NMI ";
    case Mode::init: return "INIT ";
    case Mode::sipi: return "SIPI ";
    case Mode::extint: return "ExtINT ";
  }
  return "reserved ";
}

/// "IRTE 5 -> vector f0 to cpu 0"
std::string route_text(const Route& r) {
  std::string s;
  if (r.index) s += fmt::format("unit {} IRTE {:x} -> ", *r.unit, *r.index);
  if (r.fault_reason) return s + fmt::format("blocked: {}", vtd::fault_text(r.fault_reason));
  s += fmt::format("{}vector {:02x} to {} {:x}:", mode_text(r.message.mode), r.message.vector, r.message.logical ? "logical" : "id", r.message.destination);
  for (unsigned n : r.cpus) s += fmt::format(" cpu {}", n);
  return r.cpus.empty() ? s + " nobody" : s;
}

json route_json(const Route& r) {
  json j;
  if (r.unit) j["unit"] = *r.unit;
  if (r.index) j["irte"] = {{"index", *r.index}, {"low", hex(r.irte.lo)}, {"high", hex(r.irte.hi)}};
  if (r.fault_reason) j["blocked"] = vtd::fault_text(r.fault_reason);
  else j["vector"] = hex(r.message.vector), j["destination"] = hex(r.message.destination), j["logical"] = r.message.logical, j["cpus"] = r.cpus;
  return j;
}

std::string vectors_text(cpu::LocalApic& a, u32 at, json& list) {
  std::string s;
  for (u32 v = 0; v < 256; ++v)
    if (a.read(at + (v >> 5) * 16) >> (v & 31) & 1) s += fmt::format(" {:02x}", v), list.push_back(hex(v));
  return s.empty() ? " none" : s;
}

/// PCI "MSI Capability Structure", "MSI-X Capability and Table Structures": what a function is set up to send.
struct Msi { u64 address; u32 data; std::optional<unsigned> vector; bool masked, pending; };   ///< vector: MSI-X's
std::vector<Msi> messages_of(emu::pci::Function& f) {
  std::vector<Msi> all;
  if (f.msix_enabled())
    for (unsigned n = 0; n < f.msix_vectors(); ++n) {
      const u64 at = f.msix_table() + 16 * n, address = f.msix_read(at, 8);
      if (address) all.push_back({address, static_cast<u32>(f.msix_read(at + 8, 4)), n, bit(f.msix_read(at + 12, 4), 0), f.msix_pending(n)});
    }
  if (!(f.config_read(6, 2) & 0x10)) return all;
  u16 at = static_cast<u16>(f.config_read(0x34, 1) & 0xfc);
  for (unsigned n = 0; at >= 0x40 && n < 48; ++n, at = static_cast<u16>(f.config_read(static_cast<u16>(at + 1), 1) & 0xfc)) {
    if (f.config_read(at, 1) != 5) continue;
    const u32 control = f.config_read(static_cast<u16>(at + 2), 2);
    if (!(control & 1)) break;
    const bool wide = control & 0x80;
    const u64 high = wide ? f.config_read(static_cast<u16>(at + 8), 4) : 0;
    all.push_back({high << 32 | f.config_read(static_cast<u16>(at + 4), 4), f.config_read(static_cast<u16>(at + (wide ? 12 : 8)), 2), {}, false, false});
    break;
  }
  return all;
}

void interrupts_of_processors(const Look& l, Shown& s) {
  static constexpr struct { u16 at; const char* name; } kLocal[] = {{0x320, "timer"}, {0x330, "thermal"}, {0x340, "PMC"}, {0x350, "LINT0"}, {0x360, "LINT1"}, {0x370, "error"}};
  s.data["processors"] = json::array();
  for (unsigned n = 0; n < l.machine.cpus(); ++n) {
    const cpu::Cpu& c = l.machine.processor(n);
    cpu::LocalApic& a = l.machine.processor(n).apic;
    json j{{"cpu", n}, {"apic_id", hex(a.id())}, {"priority", hex(a.processor_priority())}, {"interrupts_enabled", static_cast<bool>(c.rflags() & 0x200)}};
    json isr = json::array(), irr = json::array(), lvt = json::array();
    const std::string in_service = vectors_text(a, 0x100, isr), requested = vectors_text(a, 0x200, irr);
    const int next = a.pending();
    s.text += fmt::format("cpu {}: local APIC id {:x}, {}, processor priority {:02x}, RFLAGS.IF {}\n  in service{}; requested{}; {}\n", n, a.id(), !a.enabled() ? "disabled" : a.x2apic() ? "x2APIC" : "xAPIC",
                          a.processor_priority(), c.rflags() >> 9 & 1, in_service, requested, next < 0 ? "nothing to deliver" : fmt::format("next {:02x}", next));
    s.text += "  own sources:";
    bool any = false;
    for (auto& r : kLocal) {
      const u32 v = a.read(r.at);
      if (v >> 16 & 1) continue;   // masked
      const unsigned mode = v >> 8 & 7;
      s.text += fmt::format("{} {} {}", any ? "," : "", r.name, mode == 0 ? fmt::format("vector {:02x}", v & 0xff) : mode == 4 ? "NMI" : mode == 7 ? "ExtINT" : fmt::format("mode {}", mode));
      lvt.push_back({{"source", r.name}, {"entry", hex(v)}});
      any = true;
    }
    s.text += any ? "\n" : " all masked\n";
    j["in_service"] = isr, j["requested"] = irr, j["next"] = next < 0 ? json(nullptr) : json(hex(static_cast<u64>(next))), j["local"] = lvt;
    s.data["processors"].push_back(j);
  }
}

}  // namespace

/// 82093AA "I/O Redirection Table Registers"; VT-d "Programming I/O APICs" for remappable entries
Shown show_ioapic(const Look& l, const Words&) {
  const emu::IoApic& a = l.machine.ioapic();
  Shown s{fmt::format("I/O APIC, id {}\n", a.id()), {{"id", a.id()}, {"pins", json::array()}}};
  for (unsigned n = 0; n < emu::IoApic::kPins; ++n) {
    const u64 e = a.entry(n);
    const u64 index = (e >> 49 & 0x7fff) | (e >> 11 & 1) << 15;
    s.text += fmt::format("  pin {:>2}  {:016x}  vector {:02x}{}{}{}{}\n", n, e, e & 0xff, e >> 15 & 1 ? ", level" : ", edge", e >> 13 & 1 ? ", active low" : "",
                          e >> 48 & 1 ? fmt::format(", remapped by index {}", index) : "", e >> 16 & 1 ? ", masked" : "");
    json j{{"pin", n}, {"entry", hex(e)}, {"vector", hex(e & 0xff)}, {"level", bit(e, 15)}, {"active_low", bit(e, 13)}, {"masked", bit(e, 16)}};
    if (e >> 48 & 1) j["index"] = index;
    s.data["pins"].push_back(j);
  }
  return s;
}

Shown show_pci(const Look& l, const Words& w) {
  auto& space = l.machine.pci();
  if (!w.empty()) {
    const auto at = parse_bdf(w[0]);
    auto* f = at ? space.find(*at) : nullptr;
    if (!f) throw UsageError(fmt::format("{}: no such function; write it as 00:1f.0", w[0]));
    Shown s{{}, {{"function", bdf_text(f->bdf())}, {"config", ""}}};
    std::string all;
    for (u16 r = 0; r < 256; ++r) {
      const std::string byte = fmt::format("{:02x}", f->config_read(r, 1));
      s.text += r % 16 ? " " + byte : fmt::format("{:02x}: {}", r, byte);
      if (r % 16 == 15) s.text += '\n';
      all += byte;
    }
    s.data["config"] = all;
    return s;
  }
  Shown s{{}, json::array()};
  for (auto& f : space.functions()) {
    s.text += fmt::format("{}  {:04x}:{:04x}  class {:06x}{}{}{}\n", bdf_text(f->bdf()), f->config_read(0, 2), f->config_read(2, 2), f->config_read(8, 4) >> 8, f->bridge() ? "  bridge" : "",
                          f->memory_enabled() ? "  memory" : "", f->bus_master() ? "  bus master" : "");
    s.data.push_back({{"function", bdf_text(f->bdf())}, {"vendor", hex(f->config_read(0, 2))}, {"device", hex(f->config_read(2, 2))}, {"class", hex(f->config_read(8, 4) >> 8)},
                      {"bridge", f->bridge()}, {"memory", f->memory_enabled()}, {"bus_master", f->bus_master()}});
  }
  return s;
}

Shown show_iommu(const Look& l, const Words&) {
  Shown s{{}, json::array()};
  for (auto& u : l.machine.vtd_units()) {
    s.text += fmt::format("VT-d unit {}: translation {}, interrupt remapping {}, queue {}, root table {:#x}\n", u->index(), u->translation_enabled() ? "enabled" : "off",
                          u->interrupt_remapping_enabled() ? "enabled" : "off", u->queue_enabled() ? "enabled" : "off", u->root_in_use().v);
    json j{{"unit", u->index()}, {"translation", u->translation_enabled()}, {"interrupt_remapping", u->interrupt_remapping_enabled()}, {"queue", u->queue_enabled()},
           {"root_table", hex(u->root_in_use().v)}, {"registers", json::object()}, {"fault_records", json::array()}};
    for (unsigned n = 0; n < std::size(vtd::kRegs); ++n) {
      s.text += fmt::format("  {:03x} {:<12} {:0{}x}\n", vtd::kRegs[n].offset, vtd::kRegs[n].name, u->register_value(n), 2 * vtd::kRegs[n].size);
      j["registers"][vtd::kRegs[n].name] = hex(u->register_value(n));
    }
    for (unsigned n = 0; n < u->caps().fault_records; ++n) {
      const auto r = u->fault_record(n);
      s.text += fmt::format("  fault record {}: {:016x} {:016x}{}\n", n, r.hi, r.lo,
                            r.pending() ? fmt::format("  {} of {}, {}", r.read() ? "read" : "write", bdf_text(r.source()), vtd::fault_text(r.reason())) : "");
      j["fault_records"].push_back({{"low", hex(r.lo)}, {"high", hex(r.hi)}});
    }
    const auto& t = u->statistics();
    s.text += fmt::format("  {} requests, {} faults, {} interrupts, {} invalidations, {} uses of stale entries\n", grouped(t.requests), grouped(t.faults), grouped(t.interrupts), grouped(t.invalidations),
                          grouped(t.stale_uses));
    j["counters"] = {{"requests", t.requests}, {"faults", t.faults}, {"interrupts", t.interrupts}, {"invalidations", t.invalidations}, {"stale_uses", t.stale_uses}};
    s.data.push_back(j);
  }
  if (s.text.empty()) s.text = "this platform has no VT-d unit\n";
  return s;
}

/// From each source to who gets it: local APICs, the I/O APIC's pins, MSI of functions, the remapping tables between them, and the units' own messages.
/// SDM 3A "Advanced Programmable Interrupt Controller (APIC)", VT-d "Interrupt Remapping"
Shown show_interrupts(const Look& l, const Words&) {
  emu::Machine& m = l.machine;
  Shown s{{}, json::object()};
  interrupts_of_processors(l, s);
  s.text += fmt::format("8259 pair: INTR {}\n", m.pic_output() ? "asserted" : "quiet");
  s.data["pic_intr"] = m.pic_output();

  const emu::IoApic& a = m.ioapic();
  s.text += fmt::format("I/O APIC, requester {}\n", bdf_text(a.source()));
  s.data["ioapic"] = json::array();
  unsigned masked = 0;
  for (unsigned n = 0; n < emu::IoApic::kPins; ++n) {
    const u64 e = a.entry(n);
    const auto message = a.message(n);
    const Route r = m.interrupt_route(a.source(), message.address, message.data);
    json j{{"pin", n}, {"masked", bit(e, 16)}, {"level", bit(e, 15)}, {"asserted", a.asserted(n)}, {"remote_irr", bit(e, 14)}};
    if (!bit(e, 16)) j["to"] = route_json(r);
    s.data["ioapic"].push_back(j);
    if (bit(e, 16) && !a.asserted(n)) { ++masked; continue; }
    s.text += fmt::format("  pin {:>2}  {}{}{}  {}\n", n, bit(e, 15) ? "level" : "edge", a.asserted(n) ? ", asserted" : "", bit(e, 14) ? ", in service" : "", bit(e, 16) ? "masked" : route_text(r));
  }
  s.text += fmt::format("  {} pins are masked and quiet\n", masked);

  s.data["msi"] = json::array();
  for (auto& f : m.pci().functions())
    for (const Msi& i : messages_of(*f)) {
      const Route r = m.interrupt_route(f->bdf(), i.address, i.data);
      const std::string name = i.vector ? fmt::format("MSI-X {} of {}", *i.vector, bdf_text(f->bdf())) : fmt::format("MSI of {}", bdf_text(f->bdf()));
      s.text += fmt::format("{}  {:#x} <- {:04x}  {}{}{}\n", name, i.address, i.data, i.masked ? "masked, " : "", i.pending ? "pending, " : "", route_text(r));
      json j{{"function", bdf_text(f->bdf())}, {"address", hex(i.address)}, {"data", hex(i.data)}, {"to", route_json(r)}};
      if (i.vector) j["vector"] = *i.vector, j["masked"] = i.masked, j["pending"] = i.pending;
      s.data["msi"].push_back(j);
    }

  s.data["units"] = json::array();
  for (auto& u : m.vtd_units()) {
    json j{{"unit", u->index()}, {"interrupt_remapping", u->interrupt_remapping_enabled()}, {"entries", json::array()}};
    s.text += fmt::format("VT-d unit {}: interrupt remapping {}", u->index(), u->interrupt_remapping_enabled() ? "enabled" : "off");
    for (auto [name, control, data, low, high] : {std::tuple{"faults", vtd::r::FECTL, vtd::r::FEDATA, vtd::r::FEADDR, vtd::r::FEUADDR},
                                                  std::tuple{"invalidations", vtd::r::IECTL, vtd::r::IEDATA, vtd::r::IEADDR, vtd::r::IEUADDR}}) {
      if (u->register_value(control) & vtd::ectl::IM) continue;
      const Route r = m.interrupt_route(u->register_value(high) << 32 | u->register_value(low), static_cast<u32>(u->register_value(data)));
      s.text += fmt::format("; {} tell {}", name, route_text(r));
      j[name] = route_json(r);
    }
    s.text += '\n';
    const vtd::IrTable table = u->ir_table();
    if (table.irta) {
      unsigned present = 0;
      for (u32 n = 0; n < table.entries(); ++n) {
        const auto e = vtd::lookup_irte(m.memory(), u->caps(), table, n);
        if (!e.read || !e.entry.present()) continue;
        ++present;
        cpu::ApicMessage to;
        to.mode = static_cast<cpu::ApicMessage::Mode>(e.entry.delivery_mode()), to.vector = e.entry.vector(), to.logical = e.entry.logical();
        to.destination = e.entry.destination(table.eime()), to.x2apic_destination = table.eime();
        Route r{{}, {}, e.entry, e.fault_reason, to, {}};
        for (unsigned k = 0; k < m.cpus(); ++k) if (m.processor(k).apic.addressed(to)) r.cpus.push_back(k);
        const std::string from = e.entry.validation_type() == 0 ? "anybody" : e.entry.validation_type() == 1
          ? bdf_text(Bdf(e.entry.source_id())) + (e.entry.source_qualifier() ? " and its neighbours" : "") : fmt::format("buses {:02x} to {:02x}", e.entry.source_id() >> 8, e.entry.source_id() & 0xff);
        s.text += fmt::format("  IRTE {:>4x} at {:#x}  {:016x} {:016x}  from {}: {}\n", n, e.at.v, e.entry.hi, e.entry.lo, from, route_text(r));
        json entry = route_json(r);
        entry["index"] = n, entry["low"] = hex(e.entry.lo), entry["high"] = hex(e.entry.hi), entry["from"] = from;
        j["entries"].push_back(entry);
      }
      s.text += fmt::format("  {} of {} entries at {:#x} are present\n", present, table.entries(), table.base().v);
    }
    s.data["units"].push_back(j);
  }
  return s;
}

Shown show_events(const Look& l, const Words& w) {
  Shown s{{}, json::array()};
  const u64 wanted = count_of(w, 0, 20, kShownEvents);
  if (!l.events) return s;
  const auto& all = *l.events;
  for (std::size_t i = all.size() - std::min<u64>(wanted, all.size()); i < all.size(); ++i) {
    const Event& e = all[i];
    std::string what;
    if (e.kind == EventKind::vm_exit) what = exit_name(static_cast<unsigned>(e.a));
    if (e.kind == EventKind::exception) what = exception_name(static_cast<unsigned>(e.a));
    s.text += fmt::format("{:>15}  cpu {}  {:<18} {:#x} {:#x} {:#x} {:#x}{}{}  rip {:#x} {}\n", grouped(e.step), e.cpu, views::event_kind_name(e.kind), e.a, e.b, e.c, e.d, what.empty() ? "" : " ", what, e.rip, l.name(e.rip));
    json j{{"step", e.step}, {"cpu", e.cpu}, {"event", views::event_kind_name(e.kind)}, {"a", hex(e.a)}, {"b", hex(e.b)}, {"c", hex(e.c)}, {"d", hex(e.d)}, {"rip", hex(e.rip)}, {"symbol", l.name(e.rip)}};
    if (!what.empty()) j["name"] = what;
    s.data.push_back(j);
  }
  if (s.text.empty()) s.text = "no events yet\n";
  return s;
}

}  // namespace vt::cli
