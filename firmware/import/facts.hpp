// SPDX-License-Identifier: GPL-2.0-or-later
/// What the readers find, before it is one machine. Each kind of source fills its own lists; `assemble` weighs them.
#pragma once
#include <fmt/format.h>

#include <map>

#include "firmware/import.hpp"
#include "text.hpp"

namespace vt::fw::import {

struct Source {
  std::string from;          ///< "dmesg.txt:17"; empty: nothing told it
  std::string why;           ///< of a guess; empty: told
  bool guessed() const { return !why.empty(); }
};
inline Source guess(std::string why, std::string from = {}) { return {std::move(from), std::move(why)}; }

template <class T> struct Told { T value{}; Source source; };
template <class T> using MaybeTold = std::optional<Told<T>>;

struct MapRange { u64 first = 0, last = 0; E820 type = E820::RAM; Source source; };
struct MemoryMap {
  enum Rank : u8 { raw, usual, changed, headless };   ///< headless: its title is cut off
  Rank rank = usual;
  std::string what, from;
  std::vector<MapRange> ranges;
};

struct Scope {
  DeviceScope scope;
  Source source;
  std::optional<u8> secondary;   ///< of a bridge, as Xen prints it
};

struct Unit {
  MaybeTold<u64> address;
  MaybeTold<bool> include_all;
  MaybeTold<u64> cap, ecap;
  std::vector<Scope> scopes;
  bool scopes_told = false;      ///< by a source that lists all of them
};

struct Region {
  MaybeTold<u64> first, last;
  std::vector<Scope> scopes;
  std::string from;
};

/// One source's view of the DMAR table.
struct Dmar {
  std::string what;
  MaybeTold<unsigned> width;
  MaybeTold<bool> interrupt_remapping, x2apic_opt_out;
  std::vector<Unit> units;
  std::vector<Region> regions;
  bool empty() const { return units.empty() && regions.empty() && !width; }
};

struct Bar {
  unsigned index = 0;
  PciBar::Kind kind = PciBar::Kind::mem32;
  bool prefetchable = false;
  u64 address = 0, size = 0;     ///< size 0: not told
  Source source;
};
struct FunctionFact {
  Bdf bdf;
  Source source;                 ///< that it is there
  std::optional<u16> vendor, device, subsystem_vendor, subsystem;
  std::optional<u32> class_code;
  std::optional<u8> revision, pin, line, secondary;
  bool msi = false, bridge = false;
  std::vector<Bar> bars;
};

struct Apic { u8 id = 0; u64 address = 0; u32 gsi = 0; Source source; };
struct Ecam { u64 base = 0; unsigned first_bus = 0, last_bus = 255, segment = 0; Source source; };
struct Memory { u64 base, mask; MemType type; std::string from; };

struct Facts {
  std::vector<MemoryMap> maps;
  Dmar acpi, xen, linux;             ///< in this order of trust
  std::vector<Region> user_regions;  ///< rmrr= on Xen's command line
  std::map<u16, FunctionFact> pci;   ///< by BDF
  std::vector<Apic> ioapics;
  std::vector<Ecam> ecams;
  MaybeTold<u64> hpet;
  MaybeTold<unsigned> cpus, address_bits, pm_event, pm_control, pm_timer, rsdp_revision;
  MaybeTold<u64> last_pfn, ram_kib;  ///< for a check of completeness
  std::map<std::string, std::string> tables;   ///< signature to where it was listed
  bool tables_listed = false;        ///< more than a few: what is not in the list is not there
  MaybeTold<MemType> mtrr_default;
  std::vector<Memory> mtrrs;
  std::vector<ImportedTable> raw;
  std::map<u16, std::string> absent;   ///< functions that a log says are not there
  std::string amd;                   ///< where it says that this is no Intel machine
  std::vector<ImportNote> notes;

  template <class... Ts>
  void note(ImportNote::Kind kind, std::string from, fmt::format_string<Ts...> f, Ts&&... args) {
    notes.push_back({kind, std::move(from), fmt::format(f, std::forward<Ts>(args)...)});
  }
  FunctionFact& function(Bdf b, const std::string& from) {
    FunctionFact& f = pci[b.v];
    f.bdf = b;
    if (f.source.from.empty()) f.source.from = from;
    return f;
  }
};
using Kind = ImportNote::Kind;

/// The first that tells wins.
template <class T, class V> void tell(MaybeTold<T>& t, V v, const std::string& from) {
  if (!t) t = Told<T>{static_cast<T>(v), {from, {}}};
}

// Readers: what each does not know it leaves alone.
void read_log(Facts& f, const std::string& file, const std::vector<Line>& lines);
void read_e820(Facts& f, const std::string& file, const std::vector<Line>& lines, bool xen_host, bool under_xen);
void read_dmar(Facts& f, const std::string& file, const std::vector<Line>& lines);
void read_machine(Facts& f, const std::string& file, const std::vector<Line>& lines, bool xen_host, bool under_xen);
void read_acpi_text(Facts& f, const std::string& file, const std::vector<Line>& lines);
/// True if the bytes are ACPI tables.
bool read_acpi_raw(Facts& f, const std::string& file, std::string_view bytes);
void read_lspci(Facts& f, const std::string& file, const std::vector<Line>& lines);

/// CAP_REG and ECAP_REG as the unit's fields. What they say beyond those is noted.   VT-d "Capability Register"
void decode_capabilities(Drhd& d, u64 cap, u64 ecap, const std::string& from, Facts& f);

/// One machine of it. Throws ImportError.
Imported assemble(Facts f, const std::string& name, const std::string& description);

inline std::string at(const std::string& file, unsigned line) { return fmt::format("{}:{}", file, line); }

}  // namespace vt::fw::import
