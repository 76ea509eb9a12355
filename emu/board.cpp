// SPDX-License-Identifier: GPL-2.0-or-later
#include "board.hpp"

#include <cstdio>

#include "firmware/layout.hpp"

namespace vt::emu {
namespace {

RtcTime rtc_time(const std::string& text) {
  RtcTime t;
  std::sscanf(text.c_str(), "%u-%u-%uT%u:%u:%u", &t.year, &t.month, &t.day, &t.hour, &t.minute, &t.second);
  t.nanosecond = 500'000'000;  // no firmware hands over on the second: the middle is as good a place as any
  return t;
}

}  // namespace

void Board::Intr::set(bool asserted) {
  level = asserted;
  if (!machine.cpus_.empty()) machine.cpus_[0]->pic_line(asserted);
  if (machine.board_) machine.board_->ioapic.input(0).set(asserted);  // ExtINT through the I/O APIC
}

Board::Board(Machine& m, SerialSink& console)
    : machine(m),
      ioapic_source(fw::ioapic_source_id(m.platform_)),
      intr(m),
      pic(intr),
      ioapic(*this, ioapic_source, m.platform_.ioapic_id),
      irq0(isa[0]),
      irq8(isa[8]),
      com1("com1", isa[4], console),
      serial(m, com1),
      pit(m, irq0.input(0)),
      port61(m, pit),
      rtc(m, irq8.input(0), rtc_time(m.platform_.rtc)),
      pm(m, isa[9], m.stop_, AcpiPm::Config{}),
      reset_register(m.stop_),
      port92(m.stop_),
      debug_console(nowhere),
      exit_device(m.stop_),
      config_ports(config, &reset_register),
      ecam(config) {
  for (unsigned n = 0; n < 16; ++n) {
    if (n != 2) isa[n].add(pic.input(n));
    if (n != 2) isa[n].add(ioapic.input(n == 0 ? 2 : n));
  }
  u64 low = 0, high = 0;
  for (auto& r : m.platform_.e820)
    if (r.type == fw::E820::RAM) (r.first < u64{1} << 32 ? low : high) += r.size;
  rtc.set_memory(low, high);
  if (m.platform_.hpet) hpet = std::make_unique<Hpet>(m, *this);
  if (m.platform_.i8042) i8042 = std::make_unique<I8042>(isa[1], isa[12], m.stop_);
  if (m.platform_.com2) com2 = std::make_unique<Uart16550>("com2", isa[3], m.backends_.com2 ? *m.backends_.com2 : nowhere);
  if (m.platform_.vga) vga = std::make_unique<Vga>(m), vga_memory = std::make_unique<VgaMemory>(*vga);
  unsigned index = 0;
  for (auto& u : m.units_) vtd.push_back(std::make_unique<VtdWindow>(*u, "vtd" + std::to_string(index++)));
  for (Timed* t : std::initializer_list<Timed*>{&pit, &rtc, &pm, &serial}) m.queue_.add_owner(*t);
  if (hpet) m.queue_.add_owner(*hpet);
  for (unsigned n = 0; n < 4; ++n) pirq[n].connect(ioapic.input(16 + n));
  claim_addresses();
  add_functions();
}

void Board::claim_addresses() {
  Bus& bus = machine.bus_;
  const fw::Platform& p = machine.platform_;
  auto ports = [&](u16 first, unsigned count, Device& d, u64 offset = 0) { bus.claim_ports(first, count, d, offset); };
  ports(0x20, 2, pic, 0);
  ports(0xa0, 2, pic, 2);
  ports(0x4d0, 2, pic, 4);
  ports(0x40, 4, pit);
  if (i8042) ports(0x60, 1, *i8042, 0), ports(0x64, 1, *i8042, 4);
  ports(0x61, 1, port61);
  ports(0x70, 2, rtc);
  ports(0x80, 1, post_port);
  ports(0x92, 1, port92);
  ports(0xb2, 2, apm);
  ports(0x3f8, 8, com1);
  if (com2) ports(0x2f8, 8, *com2);
  if (vga) {
    ports(0x3b4, 2, *vga, Vga::kMono + 0x14), ports(0x3ba, 1, *vga, Vga::kMono + 0x1a);
    ports(0x3c0, 16, *vga, 0), ports(0x3d4, 2, *vga, 0x14), ports(0x3da, 1, *vga, 0x1a);
    bus.claim_memory(Vga::kWindow, Vga::kWindowSize, *vga_memory);
  }
  ports(p.pm_base, 12, pm);
  ports(0xcf8, 8, config_ports);
  bus.claim_memory(p.ioapic, 0x1000, ioapic);
  if (hpet) bus.claim_memory(p.hpet_address, 0x400, *hpet);
  if (p.ecam) bus.claim_memory(p.ecam, u64{p.ecam_buses} << 20, ecam);
  for (std::size_t n = 0; n < vtd.size(); ++n) bus.claim_memory(p.drhds[n].address, 0x1000, *vtd[n]);
  devices_ = {&pic, &ioapic, &com1, &pit, &port61, &rtc, &pm, &apm, &reset_register, &port92, &post_port, &config_ports};
  if (i8042) devices_.push_back(i8042.get());
  if (com2) devices_.push_back(com2.get());
  if (vga) devices_.push_back(vga.get());
  if (hpet) devices_.push_back(hpet.get());
  for (auto& u : vtd) devices_.push_back(u.get());
  add_isa_devices();
}

void Board::post() {
  if (i8042) i8042->post();
  if (vga) vga->post();
}

void Board::map(Device& device, unsigned, u64 address, u64 size, bool io, bool enabled) {
  Bus& bus = machine.bus_;
  if (io) enabled ? bus.map_ports(address, size, device) : bus.unmap_ports(address, device);
  else enabled ? bus.map_memory(address, size, device) : bus.unmap_memory(address, device);
}

void Board::state(Ar& ar) {
  for (Device* d : devices_) {
    ar.enter(d->name());
    d->state(ar);
    ar.leave();
  }
  ar.section("serial", serial);
  ar.section("irq0", irq0);
  ar.section("irq8", irq8);
  ar.section("pci", config);
  for (auto& wire : pirq) ar(wire);
  ar(intr.level);
}

}  // namespace vt::emu
