// SPDX-License-Identifier: GPL-2.0-or-later
/// The devices at fixed ports of a description, each with the behaviour that its model names (firmware/models.hpp has the names).
#include "base/check.hpp"
#include "board.hpp"
#include "devices/test_devices.hpp"
#include "firmware/models.hpp"

namespace vt::emu {
namespace {

std::unique_ptr<FwCfg> make_fw_cfg(const fw::Platform& p) {
  u64 memory = 0;
  std::vector<u8> e820;
  const auto put = [&](u64 value, unsigned size) { for (unsigned i = 0; i < size; ++i) e820.push_back(static_cast<u8>(value >> 8 * i)); };
  for (auto& r : p.e820) {
    if (r.type == fw::E820::RAM) memory += r.size;
    put(r.first, 8), put(r.size, 8), put(static_cast<u32>(r.type), 4);
  }
  return std::make_unique<FwCfg>(p.e820_derived ? p.memory : memory, p.cpu.count, std::move(e820));
}

}  // namespace

/// In this order: what a description adds lies where it says, and the built-in exit device and debug console give way to it.
void Board::add_isa_devices() {
  Bus& bus = machine.bus_;
  bool exit_port = true, console_port = true;
  for (auto& d : machine.platform_.isa) {
    if (d.iobase <= 0xf4 && 0xf4 < d.iobase + d.iosize) exit_port = false;
    if (d.iobase <= 0xe9 && 0xe9 < d.iobase + d.iosize) console_port = false;
    if (d.model == "isa-debug-exit") {
      isa_devices.push_back(std::make_unique<IsaDebugExit>(machine.stop_));
      bus.claim_ports(d.iobase, d.iosize, *isa_devices.back());
    } else if (d.model == "fw-cfg") {
      isa_devices.push_back(make_fw_cfg(machine.platform_));
      bus.claim_ports(d.iobase, d.iosize, *isa_devices.back());
    } else if (d.model == "pc-testdev") {
      std::array<IrqLine*, PcTestdev::kInterrupts> lines{};
      for (unsigned n = 0; n < lines.size(); ++n)
        lines[n] = n == 0 ? &irq0.input(0) : n == 8 ? &irq8.input(0) : n == 2 ? nullptr : n < 16 ? static_cast<IrqLine*>(&isa[n]) : n < 20 ? &pirq[n - 16].add() : &ioapic.input(n);
      isa_devices.push_back(std::make_unique<PcTestdev>(lines));
      Device& t = *isa_devices.back();
      bus.claim_ports(d.iobase, 4, t, PcTestdev::kEcho), bus.claim_ports(static_cast<u16>(d.iobase + 4), 4, t, PcTestdev::kFlush);
      bus.claim_ports(static_cast<u16>(d.iobase + 8), 4, t, PcTestdev::kEchoBytes), bus.claim_ports(0x2000, PcTestdev::kInterrupts, t, PcTestdev::kLines);
      bus.claim_memory(fw::kPcTestdevMemory, PcTestdev::kMemorySize, t, PcTestdev::kMemory);
    } else {
      CHECK(false, "a model that the platform checks know and the machine does not");
    }
    devices_.push_back(isa_devices.back().get());
  }
  if (console_port) bus.claim_ports(0xe9, 1, debug_console);
  if (exit_port) bus.claim_ports(0xf4, 1, exit_device);
}

}  // namespace vt::emu
