// SPDX-License-Identifier: GPL-2.0-or-later
/// The q35-like board: which devices there are, where they are mapped and how their wires run.
#pragma once
#include "devices/acpi_pm.hpp"
#include "devices/byte_device.hpp"
#include "devices/debug_ports.hpp"
#include "devices/hpet.hpp"
#include "devices/i8042.hpp"
#include "devices/ioapic.hpp"
#include "devices/pic8259.hpp"
#include "devices/pit8254.hpp"
#include "devices/reset_control.hpp"
#include "devices/rtc146818.hpp"
#include "devices/serial_line.hpp"
#include "devices/uart16550.hpp"
#include "devices/vga.hpp"
#include "emu/machine.hpp"
#include "pci/ahci.hpp"
#include "pci/config.hpp"
#include "pci/dma_function.hpp"
#include "pci/nvme.hpp"
#include "pci/scripted_dma.hpp"

namespace vt::emu {

/// The register file of a VT-d unit on the bus.
class VtdWindow final : public Device {
 public:
  VtdWindow(vtd::Unit& unit, std::string name) : unit_(unit), name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  u64 read(u64 offset, unsigned size) override { return unit_.read(offset, size); }
  void write(u64 offset, unsigned size, u64 value) override { unit_.write(offset, size, value); }
  void reset() override { unit_.reset(); }
  void state(Ar& ar) override { unit_.state(ar); }

 private:
  vtd::Unit& unit_;
  std::string name_;
};

class Board final : public InterruptBus, public HpetRoutes, public pci::BarMapper {
 public:
  Board(Machine& m, SerialSink& console);
  void state(Ar& ar);
  /// As firmware leaves the devices when it starts a kernel.
  void post();

  /// The 8259 pair's INTR, as LINT0 of the bootstrap processor sees it.
  struct Intr final : IrqLine {
    explicit Intr(Machine& m) : machine(m) {}
    void set(bool asserted) override;
    Machine& machine;
    bool level = false;
  };
  struct NullSink final : SerialSink { void put(u8) override {} };

  Machine& machine;
  Bdf ioapic_source;
  Intr intr;
  Pic8259 pic;
  IoApic ioapic;
  OpenLine open;
  /// ISA interrupt n to the 8259 pair and the I/O APIC; IRQ0 is input 2 there.
  FanOut isa[16];
  LineSwitch irq0, irq8;   ///< PIT or HPET, RTC or HPET (legacy replacement)
  NullSink nowhere;
  Uart16550 com1;
  SerialLine serial;
  Pit8254 pit;
  Port61 port61;
  Rtc146818 rtc;
  std::unique_ptr<Hpet> hpet;
  AcpiPm pm;
  ApmPort apm;
  ResetRegister reset_register;
  Port92 port92;
  PostPort post_port;
  DebugConsole debug_console;
  ExitDevice exit_device;
  std::unique_ptr<I8042> i8042;                  ///< null, like the next ones: the platform has none
  std::unique_ptr<Uart16550> com2;
  std::unique_ptr<Vga> vga;
  std::unique_ptr<VgaMemory> vga_memory;
  std::vector<std::unique_ptr<Disk>> disks;
  std::vector<std::unique_ptr<Device>> isa_devices;   ///< the description's, at fixed ports
  pci::ConfigSpace config;
  pci::ConfigPorts config_ports;
  pci::Ecam ecam;
  std::array<WiredOr, 4> pirq;                   ///< the pins of functions, at I/O APIC inputs 16 to 19
  std::vector<std::unique_ptr<Device>> opaque;   ///< BARs of functions that are only described
  std::vector<std::unique_ptr<VtdWindow>> vtd;
  std::vector<NetworkCard*> cards;               ///< among the functions

 private:
  void add_isa_devices();
  void add_functions();
  std::unique_ptr<pci::Function> make_function(const fw::PciFunction& f);
  void close_bars(pci::FunctionSpec& s);
  std::vector<Disk*> make_disks(const fw::PciFunction& f, unsigned ports);   ///< by port; null: none
  IrqLine* interrupt_line(const fw::PciFunction& f);   ///< null: it has no pin
  void claim_addresses();
  // InterruptBus
  void message(Bdf source, u64 address, u32 data) override { machine.interrupt_request(source, address, data); }
  // HpetRoutes
  IrqLine& line(unsigned gsi) override { return ioapic.input(gsi); }
  IrqLine& legacy_line(unsigned timer) override { return timer == 0 ? irq0.input(1) : irq8.input(1); }
  void legacy_replacement(bool on) override { irq0.select(on); irq8.select(on); }
  // pci::BarMapper
  void map(Device& device, unsigned bar, u64 address, u64 size, bool io, bool enabled) override;
  std::vector<Device*> devices_;                 ///< everything with state, in the order of the hash
};

}  // namespace vt::emu
