// SPDX-License-Identifier: GPL-2.0-or-later
/// The platform description: what somebody's machine looks like to software. One JSON file, versioned
/// (`"vitrine": "platform/1"`), with a JSON Schema in `firmware/platform.schema.json`. Everything that
/// the file does not say has the default given here. Addresses and sizes in JSON are hex strings
/// ("0xfed90000"), numbers, or sizes with K/M/G.
#pragma once
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/timing.hpp"
#include "base/types.hpp"

namespace vt::fw {

/// ACPI "System Address Map Interfaces": address range types.
enum class E820 : u8 { RAM = 1, RESERVED = 2, ACPI = 3, NVS = 4, UNUSABLE = 5, PMEM = 7 };

struct E820Range { u64 first = 0; u64 size = 0; E820 type = E820::RAM; };

struct Mtrrs {
  MemType def = MemType::WB;  ///< IA32_MTRR_DEF_TYPE as firmware leaves it (E and FE are set)
  struct Variable { u64 base; u64 size; MemType type; };
  std::vector<Variable> variable;  ///< default: one UC range for the hole below 4 GiB
};

struct DeviceScope {
  enum class Kind : u8 { endpoint = 1, bridge = 2, ioapic = 3, hpet = 4 };
  Kind kind = Kind::endpoint;
  u8 enumeration_id = 0;
  u8 bus = 0;
  std::vector<std::pair<u8, u8>> path;  ///< device, function
};

/// One VT-d unit and what its capability registers say.   VT-d "Capability Register", "Extended Capability Register"
struct Drhd {
  u64 address = 0xfed90000;
  bool include_all = true;
  std::vector<DeviceScope> scopes;      ///< default: the I/O APIC
  std::vector<unsigned> sagaw = {48};   ///< address widths: 39, 48 (57 is refused)
  unsigned mgaw = 48;                   ///< bits
  bool superpage_2m = true, superpage_1g = true;
  bool caching_mode = false;            ///< CM
  bool coherent = true;                 ///< ECAP.C
  bool queued_invalidation = true;      ///< ECAP.QI
  bool interrupt_remapping = true;      ///< ECAP.IR
  bool extended_interrupt_mode = true;  ///< ECAP.EIM; default: as interrupt_remapping
  bool snoop_control = true;            ///< ECAP.SC
  bool pass_through = true;             ///< ECAP.PT
  bool write_buffer_flush = false;      ///< CAP.RWBF
  bool zero_length_read = true;         ///< CAP.ZLR
  bool plmr = false, phmr = false;      ///< protected memory regions
  bool drain_reads = true, drain_writes = true;
  unsigned domain_id_bits = 16;         ///< ND: 4, 6, 8, ... 16
  unsigned fault_records = 1;           ///< NFR + 1
  u32 fault_offset = 0x220;             ///< FRO * 16
  u32 iotlb_offset = 0x108 - 8;         ///< IRO * 16: IVA_REG here, IOTLB_REG 8 bytes on
  unsigned iotlb_entries = 256, context_entries = 64;
};

struct Rmrr { u64 first = 0, last = 0; std::vector<DeviceScope> scopes; };

struct PciBar {
  unsigned index = 0;                   ///< 0-5
  enum class Kind : u8 { mem32, mem64, io } kind = Kind::mem32;
  bool prefetchable = false;
  u64 address = 0, size = 0;            ///< as firmware assigned it
};

/// One access of a function that does DMA by itself, model "scripted-dma". Times are virtual, in ns (one step each while a processor runs).
struct DmaAccess {
  u64 at = 0;                           ///< after power-on
  u64 address = 0;
  u32 size = 64;                        ///< bytes, 1 to 4096
  bool write = false;
  u8 value = 0;                         ///< every byte of a write
  u64 every = 0, times = 1;             ///< repeated
};

/// A disk at a controller's port. Its contents come from a raw image that is given beside the description.
struct PciDisk {
  unsigned port = 0;
  u64 size = 0;                         ///< bytes, a multiple of 512
  std::string sha256;                   ///< of the image; empty: any image of that size
};

struct PciFunction {
  Bdf bdf;
  u16 vendor = 0x8086, device = 0;
  u32 class_code = 0;                   ///< 24 bits: class, subclass, interface
  u8 revision = 0;
  u16 subsystem_vendor = 0, subsystem = 0;
  std::vector<PciBar> bars;
  u8 interrupt_pin = 0, interrupt_line = 0xff;
  bool msi = false;
  std::optional<u8> secondary_bus;      ///< a bridge (header type 1)
  std::string model;                    ///< "", or one of firmware/models.hpp
  std::vector<PciDisk> disks;           ///< models that can have some
  std::vector<DmaAccess> dma;           ///< "scripted-dma" only: its script
};

/// A device at fixed ports, besides those that every PC has.
struct IsaDevice {
  std::string model;                    ///< one of firmware/models.hpp
  u16 iobase = 0, iosize = 0;           ///< 0: as the model has it
};

struct CpuSpec {
  std::string model = "server";
  std::vector<std::string> features;    ///< "+x2apic", "-vmx": applied in order
  unsigned count = 1;                   ///< 1 to 8
  unsigned physical_address_bits = 46;
  u64 tsc_hz = 1'000'000'000;           ///< default with timing that is not flat: the profile's clock
  u64 schedule_seed = 0;                ///< varies how processors are interleaved; 0: slices of fixed length
};

/// Where a value of an imported description came from; covers what lies below `field` too, but for what has an entry of its own.
struct Origin {
  std::string field;                    ///< "e820[3]", "drhds[0].address"
  std::string from;                     ///< "dmesg.txt:17"; empty: nothing told it
  bool guessed = false;
  std::string why;                      ///< of a guess
};

struct Platform {
  std::string name = "default";
  std::string description;
  std::string file;                     ///< where it was read from; empty: built in
  u64 memory = u64{2} << 30;            ///< used when `e820` is empty: the q35 layout for this much RAM
  std::vector<E820Range> e820;          ///< exactly what firmware reports, in this order
  Mtrrs mtrrs;
  CpuSpec cpu;
  timing::Timing timing;                ///< flat, or a model with its profile (firmware/timing.hpp)
  bool vtd = true;                      ///< false: no DMAR, no units
  bool dmar_interrupt_remapping = true; ///< DMAR flags bit 0
  bool x2apic_opt_out = false;          ///< DMAR flags bit 1
  unsigned host_address_width = 46;     ///< DMAR "Host Address Width" (the field holds this minus 1)
  std::vector<Drhd> drhds;              ///< empty and vtd: one Drhd{}
  std::vector<Rmrr> rmrrs;
  std::vector<PciFunction> pci;         ///< empty: host bridge 00.0, ISA bridge 1f.0, "dma" 04.0
  std::vector<IsaDevice> isa;
  u64 ecam = 0xb0000000;                ///< 0: no MCFG
  unsigned ecam_buses = 256;
  u64 ioapic = 0xfec00000;
  u8 ioapic_id = 0;
  bool hpet = true;
  u64 hpet_address = 0xfed00000;
  bool vga = true;                      ///< text mode at 0xb8000
  bool i8042 = true;                    ///< keyboard controller with a keyboard
  bool com2 = false;                    ///< a second 16550: 0x2f8, IRQ3
  u16 pm_base = 0x600;                  ///< PM1a event +0, PM1a control +4, PM timer +8
  unsigned rsdp_revision = 2;           ///< 0: 20 bytes and an RSDT only
  std::string rtc = "2024-01-01T00:00:00";  ///< what the CMOS clock says at power-on
  std::vector<Origin> origins;          ///< "import": of no consequence to the machine, and not in the canonical JSON
  bool e820_derived = false;            ///< set by complete(): `e820` was laid out from `memory`, and may be again
  bool tsc_derived = true;              ///< cpu.tsc_hz was not given: complete() makes it the profile's clock where the timing is not flat
  bool mtrrs_derived = false;           ///< set by complete(): `mtrrs` follow from the E820
};

/// A wrong platform description. `what()` reads: FILE: FIELD: what is wrong, and what to do.
struct PlatformError : std::runtime_error {
  PlatformError(const std::string& file, const std::string& field, const std::string& message)
      : std::runtime_error((file.empty() ? "platform" : file) + ": " + field + ": " + message), field(field) {}
  std::string field;
};

/// Reads and completes a description (defaults filled in, E820 laid out, checked). Throws PlatformError.
Platform load_platform(const std::string& file);
Platform parse_platform(const std::string& json, const std::string& file = {});
/// The built-in q35-like platform with this much memory, completed.
Platform default_platform(u64 memory_bytes);
/// Re-completes after the command line changed memory, CPUs or features (clears a derived E820). Throws PlatformError.
void complete(Platform& p);
/// Canonical JSON of everything, defaults included: what the run directory keeps and what is hashed.
std::string to_json(const Platform& p);

/// What is legal but odd. `lint` never throws.
struct LintFinding { bool error; std::string field, message; };
std::vector<LintFinding> lint(const Platform& p);

}  // namespace vt::fw
