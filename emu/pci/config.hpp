// SPDX-License-Identifier: GPL-2.0-or-later
/// Configuration space of segment 0: who answers at a bus, device and function, and the two ways to get
/// there.   PCI Local Bus 3.0 "Configuration Mechanism", PCI Express "Enhanced Configuration Access Mechanism"
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "pci/function.hpp"

namespace vt::emu::pci {

class ConfigSpace {
 public:
  /// Order does not matter; two functions at one place, or one on a bus that no bridge leads to, is a CHECK.
  Function& add(std::unique_ptr<Function> function);
  /// After the last `add`: links functions to their bridges, marks multi-function devices, opens bridge
  /// windows over what lies behind them as firmware would, and maps BARs.
  void settle();

  u32 read(Bdf at, u16 reg, unsigned size);
  void write(Bdf at, u16 reg, unsigned size, u32 value);
  Function* find(Bdf at) const;  ///< by today's bus numbers; null: absent
  const std::vector<std::unique_ptr<Function>>& functions() const { return functions_; }
  u64 absent_reads() const { return absent_reads_; }   ///< for `stat`; not state
  u64 absent_writes() const { return absent_writes_; }

  void reset();
  void state(Ar& ar);

 private:
  void update_all_bars() { for (auto& f : functions_) f->update_bars(); }
  std::vector<std::unique_ptr<Function>> functions_;  ///< by described Bdf
  u64 absent_reads_ = 0, absent_writes_ = 0;
};

/// CONFIG_ADDRESS and CONFIG_DATA: 8 ports at 0xcf8. Only dwords reach CONFIG_ADDRESS; a byte at offset 1
/// is the chipset's reset control register, if one is given.
class ConfigPorts final : public Device {
 public:
  explicit ConfigPorts(ConfigSpace& space, Device* reset_register = nullptr) : space_(space), reset_register_(reset_register) {}
  std::string_view name() const override { return "pci-config-ports"; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() override { address_ = 0; }
  void state(Ar& ar) override { ar(address_); }

 private:
  Bdf target() const { return Bdf(static_cast<u16>(address_ >> 8)); }
  ConfigSpace& space_;
  Device* reset_register_;  ///< has a state of its own
  u32 address_ = 0;
};

/// The memory-mapped window: 1 MiB per bus.
class Ecam final : public Device {
 public:
  explicit Ecam(ConfigSpace& space) : space_(space) {}
  std::string_view name() const override { return "pci-ecam"; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() override {}
  void state(Ar&) override {}

 private:
  ConfigSpace& space_;
};

/// q35's host bridge, 8086:29c0 at 00.0. PCIEXBAR is locked, as firmware leaves it.   Intel 3 Series Express "PCIEXBAR"
class HostBridge final : public Function {
 public:
  /// `ecam` 0: disabled. `buses`: 256, 128 or 64.
  HostBridge(u64 ecam, unsigned buses, const FunctionSpec& spec = default_spec());
  static FunctionSpec default_spec();
};

/// ICH9's LPC bridge, 8086:2918 at 1f.0. PMBASE and ACPI_CNTL are locked; PIRQ routing is off.   ICH9 "LPC Interface Bridge Registers"
class IsaBridge final : public Function {
 public:
  explicit IsaBridge(u16 pm_base, const FunctionSpec& spec = default_spec());
  static FunctionSpec default_spec();
};

/// The BAR of a function whose registers are not modelled: using it ends the run.
class OpaqueBar final : public Device {
 public:
  OpaqueBar(std::string name, Stop& stop) : name_(std::move(name)), stop_(stop) {}
  std::string_view name() const override { return name_; }
  u64 read(u64, unsigned) override { refuse(); return ~u64{0}; }
  void write(u64, unsigned, u64) override { refuse(); }
  void reset() override {}
  void state(Ar&) override {}

 private:
  void refuse() { stop_.unsupported("registers of " + name_, "the platform description gives the function, not its behaviour"); }
  std::string name_;
  Stop& stop_;
};

}  // namespace vt::emu::pci
