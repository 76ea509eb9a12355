// SPDX-License-Identifier: GPL-2.0-or-later
/// One PCI function: its configuration space as bytes with write masks, built from a plain description.
/// It powers up as firmware leaves it: BARs assigned and decoded, bridges forwarding.
/// PCI Local Bus 3.0 "Configuration Space Organization", PCI-to-PCI Bridge 1.2 "Bridge Configuration Space"
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "emu/device.hpp"

namespace vt::emu::pci {

enum class BarKind : u8 { none, mem32, mem64, io };

struct BarSpec {
  BarKind kind = BarKind::none;  ///< a mem64 BAR takes the next slot too, which stays `none`
  bool prefetchable = false;
  u64 size = 0;                  ///< a power of two; at least 16 (memory) or 4 (I/O)
  u64 address = 0;               ///< as firmware assigned it; 0: not assigned, decode is off
  Device* device = nullptr;      ///< who answers there; null: nobody, the range is sized and never mapped
};

/// PCI Express capability's device/port type; a function without one is conventional and has 256 bytes.
enum class PortType : u8 { endpoint = 0, root_port = 4, upstream = 5, downstream = 6, to_pci_bridge = 7, integrated = 9 };

/// Where in its BARs a function keeps its MSI-X table and pending bits (16 bytes and 1 bit a vector).
struct MsixSpec {
  u16 vectors = 0;               ///< 1 to 2048; 0: no MSI-X
  u8 bar = 0;                    ///< both lie in this BAR
  u32 table = 0, pba = 0;        ///< offsets, multiples of 8, disjoint
};

struct FunctionSpec {
  Bdf bdf;                       ///< the bus number names the bridge it sits behind, by that bridge's `secondary_bus`
  u16 vendor = 0x8086, device = 0;
  u32 class_code = 0;            ///< 24 bits: class, subclass, interface
  u8 revision = 0;
  u16 subsystem_vendor = 0, subsystem = 0;
  std::array<BarSpec, 6> bars{}; ///< a bridge has two
  u8 interrupt_pin = 0, interrupt_line = 0xff;
  bool msi = false;              ///< one vector, 64-bit address, maskable
  MsixSpec msix;
  struct Capability { u8 at = 0; std::vector<u8> body; };
  std::vector<Capability> vendor_capabilities;  ///< after id (09H) and next, at these places: 40H to f0H, where no other capability is
  bool master = false;           ///< Bus Master Enable is on at power-up: firmware was using the device
  std::optional<u8> secondary_bus;  ///< a bridge: header type 1
  std::optional<PortType> express;
};

/// Told when a range starts or stops being decoded. RAM goes before whatever a guest puts on top of it.
class BarMapper {
 public:
  virtual ~BarMapper() = default;
  virtual void map(Device& device, unsigned bar, u64 address, u64 size, bool io, bool enabled) = 0;
};

class Function {
 public:
  /// `mapper`, `dma` and `intx` may be null: nothing is mapped, no MSI leaves, the pin is not connected.
  Function(const FunctionSpec& spec, BarMapper* mapper, DmaPort* dma, IrqLine* intx = nullptr);
  virtual ~Function() = default;
  Function(const Function&) = delete;

  const std::string& name() const { return name_; }   ///< "pci-00:1f.0": as described, names its state
  Bdf bdf() const;                                    ///< follows the bus number of its bridge
  const FunctionSpec& spec() const { return spec_; }
  bool bridge() const { return spec_.secondary_bus.has_value(); }
  u8 secondary() const { return byte(0x19); }
  u8 subordinate() const { return byte(0x1a); }
  bool memory_enabled() const { return byte(0x04) & 2; }
  bool io_enabled() const { return byte(0x04) & 1; }
  bool bus_master() const;                            ///< its own bit and those of the bridges above
  u16 space() const { return spec_.express ? 4096 : 256; }

  /// One register access within a dword. Beyond the function's space: all ones, dropped.
  u32 config_read(u16 reg, unsigned size);
  void config_write(u16 reg, unsigned size, u32 value);

  bool msi_enabled() const { return msi_ && (byte(msi_ + 2) & 1); }
  void send_msi();               ///< held pending while masked; nothing leaves without bus mastering
  /// The pin; it stays silent while MSI or MSI-X is enabled.
  void set_intx(bool asserted);

  // PCI Local Bus 3.0 "MSI-X Capability and Table Structures"
  bool msix_enabled() const { return msix_ && (byte(msix_ + 3) & 0x80); }
  unsigned msix_vectors() const { return spec_.msix.vectors; }
  u64 msix_table() const { return spec_.msix.table; }   ///< offset, as msix_read() takes it
  /// `vector` below msix_vectors(). Held pending while the vector or the function is masked.
  void send_msix(unsigned vector);
  /// What it would have told is no longer so: a pending message is forgotten.
  void forget_msix(unsigned vector);
  bool msix_pending(unsigned vector) const { return msix_pending_[vector / 8] >> vector % 8 & 1; }
  /// Registers of table and pending bits, for whoever answers for the BAR. Aligned dwords and qwords; other writes are dropped.
  bool in_msix(unsigned bar, u64 offset) const;
  u64 msix_read(u64 offset, unsigned size) const;
  void msix_write(u64 offset, unsigned size, u64 value);

  virtual void reset();
  virtual void state(Ar& ar);

 protected:
  virtual void before_config_read(u16, unsigned) {}
  virtual void after_config_write(u16, unsigned) {}   ///< registers of a derived function
  u8 byte(unsigned at) const { return value_[at]; }
  u16 word(unsigned at) const { return static_cast<u16>(value_[at] | value_[at + 1] << 8); }
  u32 dword(unsigned at) const { return word(at) | static_cast<u32>(word(at + 2)) << 16; }
  void put(unsigned at, unsigned size, u32 value, u32 writable = 0, u32 write_one_clears = 0);
  DmaPort* dma() { return dma_; }
  void keep_as_initial() { initial_ = value_; }       ///< what reset() gives back: end of every constructor

 private:
  friend class ConfigSpace;
  void build();
  void build_bridge();
  void clear_msix();
  u32 msix_dword(u64 at) const;
  void send_pending();
  u8 add_capability(u8 id, u8 at, u8& last);
  u64 bar_address(unsigned n) const;
  bool forwards(u64 address, u64 size, bool io) const;  ///< a bridge's windows
  void update_bars();
  void set_windows(u64 mem_first, u64 mem_last, u64 pref_first, u64 pref_last, u64 io_first, u64 io_last);

  FunctionSpec spec_;
  std::string name_;
  BarMapper* mapper_;
  DmaPort* dma_;
  IrqLine* intx_;
  Function* parent_ = nullptr;
  u8 msi_ = 0;                   ///< offset of the capability, 0: none
  u8 msix_ = 0;
  std::vector<u8> msix_table_, msix_pending_;
  u8 asserted_ = 0;              ///< INTx, before Interrupt Disable
  std::array<u8, 4096> value_{}, writable_{}, clears_{}, initial_{};
  struct Mapped { u64 address = 0; bool enabled = false; };
  std::array<Mapped, 6> mapped_{};  ///< what the mapper was told last: follows from the registers
};

}  // namespace vt::emu::pci
