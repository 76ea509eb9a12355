// SPDX-License-Identifier: GPL-2.0-or-later
/// The PCI functions of a description, each with the behaviour that its model names (firmware/models.hpp has the names).
#include <algorithm>
#include <cstdio>

#include "base/check.hpp"
#include "board.hpp"
#include "pci/edu.hpp"
#include "pci/pci_testdev.hpp"
#include "pci/virtio_net.hpp"

namespace vt::emu {
namespace {

pci::FunctionSpec spec_of(const fw::PciFunction& f) {
  pci::FunctionSpec s;
  s.bdf = f.bdf, s.vendor = f.vendor, s.device = f.device, s.class_code = f.class_code, s.revision = f.revision;
  s.subsystem_vendor = f.subsystem_vendor, s.subsystem = f.subsystem;
  s.interrupt_pin = f.interrupt_pin, s.interrupt_line = f.interrupt_line, s.msi = f.msi, s.secondary_bus = f.secondary_bus;
  for (auto& b : f.bars) {
    auto& to = s.bars[b.index];
    to.kind = b.kind == fw::PciBar::Kind::io ? pci::BarKind::io : b.kind == fw::PciBar::Kind::mem64 ? pci::BarKind::mem64 : pci::BarKind::mem32;
    to.prefetchable = b.prefetchable, to.size = b.size, to.address = b.address;
  }
  return s;
}

std::vector<pci::ScriptedDma::Access> script_of(const fw::PciFunction& f) {
  std::vector<pci::ScriptedDma::Access> out;
  for (auto& a : f.dma) out.push_back({a.at, a.address, a.size, a.write, a.value, a.every, a.times});
  return out;
}

}  // namespace

/// I/O APIC inputs 16 to 19 by (device + pin) modulo 4, as the DSDT says; each bridge on the way turns the pins in the same manner.
/// PCI-to-PCI Bridge 1.2 "Interrupt Support"
IrqLine* Board::interrupt_line(const fw::PciFunction& f) {
  if (!f.interrupt_pin) return nullptr;
  unsigned turn = f.interrupt_pin - 1u + f.bdf.dev();
  for (u8 bus = f.bdf.bus(); bus;)
    for (auto& b : machine.platform_.pci)
      if (b.secondary_bus == bus) { turn += b.bdf.dev(), bus = b.bdf.bus(); break; }
  return &pirq[turn % 4].add();
}

/// Functions that are described and not modelled: using their registers ends the run.
void Board::close_bars(pci::FunctionSpec& s) {
  for (unsigned n = 0; n < 6; ++n)
    if (s.bars[n].kind != pci::BarKind::none) {
      char name[48];
      std::snprintf(name, sizeof name, "pci-%02x:%02x.%x bar %u", s.bdf.bus(), s.bdf.dev(), s.bdf.fn(), n);
      opaque.push_back(std::make_unique<pci::OpaqueBar>(name, machine.stop_));
      s.bars[n].device = opaque.back().get();
    }
}

std::vector<Disk*> Board::make_disks(const fw::PciFunction& f, unsigned ports) {
  std::vector<Disk*> all(ports);
  for (auto& d : f.disks) {
    const std::size_t n = disks.size();
    auto& images = machine.backends_.disks;
    disks.push_back(std::make_unique<Disk>("disk" + std::to_string(n), d.size, n < images.size() ? images[n] : nullptr, machine.stop_));
    all.at(d.port) = disks.back().get();
  }
  return all;
}

std::unique_ptr<pci::Function> Board::make_function(const fw::PciFunction& f) {
  const fw::Platform& p = machine.platform_;
  pci::FunctionSpec s = spec_of(f);
  auto timed = [&](auto function) { machine.queue_.add_owner(*function); return function; };
  if (f.model == "host-bridge") return std::make_unique<pci::HostBridge>(p.ecam, p.ecam_buses, s);
  if (f.model == "isa-bridge") return std::make_unique<pci::IsaBridge>(p.pm_base, s);
  if (f.model == "dma") return timed(std::make_unique<pci::DmaFunction>(s, this, machine, machine, interrupt_line(f)));
  if (f.model == "virtio-net") {
    auto card = timed(std::make_unique<pci::VirtioNet>(s, this, machine, machine, interrupt_line(f)));
    cards.push_back(card.get());
    return card;
  }
  if (f.model == "edu") return timed(std::make_unique<pci::Edu>(s, this, machine, machine, interrupt_line(f)));
  if (f.model == "pci-testdev") return timed(std::make_unique<pci::PciTestdev>(s, this, machine, machine, interrupt_line(f)));
  if (f.model == "nvme") return timed(std::make_unique<pci::Nvme>(s, this, machine, machine, interrupt_line(f), make_disks(f, 1)[0]));
  if (f.model == "ahci") {
    std::array<Disk*, pci::Ahci::kPorts> disks{};
    std::ranges::copy(make_disks(f, pci::Ahci::kPorts), disks.begin());
    return timed(std::make_unique<pci::Ahci>(s, this, machine, machine, interrupt_line(f), disks));
  }
  close_bars(s);
  if (f.model == "scripted-dma") return timed(std::make_unique<pci::ScriptedDma>(s, this, machine, machine, script_of(f)));
  CHECK(f.model.empty(), "a model that the platform checks know and the machine does not");
  return std::make_unique<pci::Function>(s, this, static_cast<DmaPort*>(&machine));
}

void Board::add_functions() {
  for (auto& f : machine.platform_.pci) config.add(make_function(f));
  config.settle();
}

}  // namespace vt::emu
