// SPDX-License-Identifier: GPL-2.0-or-later
/// One machine out of all that was read: the memory map and the chipset. Told comes before guessed, tables before logs.
#include <algorithm>
#include <bit>

#include "base/bits.hpp"
#include "working.hpp"

namespace vt::fw::import {
namespace {

constexpr u64 k4G = u64{1} << 32;
constexpr u64 k1M = u64{1} << 20;

/// `r` without what `o` covers.
std::vector<MapRange> minus(const MapRange& r, const MapRange& o) {
  std::vector<MapRange> out;
  if (r.first < o.first) out.push_back({r.first, std::min(r.last, o.first - 1), r.type, r.source});
  if (r.last > o.last) out.push_back({std::max(r.first, o.last + 1), r.last, r.type, r.source});
  return out;
}
bool overlap(const MapRange& a, const MapRange& b) { return a.first <= b.last && b.first <= a.last; }

/// Firmware's maps do overlap at times; software then takes the type with the higher number, and so does this.
std::vector<MapRange> disjoint(const std::vector<MapRange>& all, Facts& f) {
  std::vector<MapRange> out;
  for (const MapRange& r : all) {
    std::vector<MapRange> pieces{r};
    for (std::size_t i = 0; i < out.size();) {
      if (!overlap(out[i], r)) { ++i; continue; }
      const bool mine = r.type > out[i].type;
      f.note(Kind::conflict, r.source.from, "E820: {:#x}-{:#x} overlaps {:#x}-{:#x} ({}); the {} type holds", r.first, r.last, out[i].first, out[i].last, out[i].source.from,
             mine ? "second" : "first");
      if (mine) {
        auto left = minus(out[i], r);
        out.erase(out.begin() + static_cast<std::ptrdiff_t>(i));
        out.insert(out.begin() + static_cast<std::ptrdiff_t>(i), left.begin(), left.end());
        i += left.size();
      } else {
        std::vector<MapRange> next;
        for (const MapRange& p : pieces) {
          if (!overlap(p, out[i])) next.push_back(p);
          else for (MapRange& q : minus(p, out[i])) next.push_back(q);
        }
        pieces = std::move(next);
        ++i;
      }
    }
    out.insert(out.end(), pieces.begin(), pieces.end());
  }
  return out;
}

/// No map, but reserved regions: the default one with these ranges taken out of its RAM.
void map_with_regions(Working& w) {
  Platform p;
  p.ecam = w.base.ecam, p.ecam_buses = w.base.ecam_buses, p.ioapic = w.base.ioapic, p.hpet = w.base.hpet, p.hpet_address = w.base.hpet_address;
  try {
    complete(p);
  } catch (const PlatformError&) {   // what was told does not go with this layout: `repair` will say so
    p = default_platform(Platform{}.memory);
  }
  const Source why = w.scalars["e820"];
  std::vector<MapRange> all;
  for (const E820Range& e : p.e820) all.push_back({e.first, e.first + e.size - 1, e.type, why});
  for (const WorkingRegion& r : w.regions) all.push_back({r.r.first, r.r.last, E820::RESERVED, guess("an RMRR, which firmware takes out of RAM", r.range.from)});
  Facts silent;
  w.e820 = disjoint(all, silent);
  std::sort(w.e820.begin(), w.e820.end(), [](auto& a, auto& b) { return a.first < b.first; });
}

bool same(const MemoryMap& a, const MemoryMap& b) {
  return std::equal(a.ranges.begin(), a.ranges.end(), b.ranges.begin(), b.ranges.end(),
                    [](auto& x, auto& y) { return x.first == y.first && x.last == y.last && x.type == y.type; });
}

void chipset(Facts& f, Working& w) {
  Platform& p = w.base;
  // I/O APICs: the one that serves the first interrupts is modelled.
  std::stable_sort(f.ioapics.begin(), f.ioapics.end(), [](auto& a, auto& b) { return a.gsi < b.gsi; });
  std::vector<Apic> apics;
  for (const Apic& a : f.ioapics)
    if (std::none_of(apics.begin(), apics.end(), [&](auto& o) { return o.address == a.address; })) apics.push_back(a);
  f.ioapics = apics;
  if (!apics.empty()) {
    p.ioapic = apics[0].address, p.ioapic_id = apics[0].id;
    w.scalars["ioapic"] = w.scalars["ioapic_id"] = apics[0].source;
    if (p.ioapic_id > 15) {
      f.note(Kind::conflict, apics[0].source.from, "I/O APIC id {}; 0 is taken, 15 is the highest here", p.ioapic_id);
      p.ioapic_id = 0;
      w.scalars["ioapic_id"] = guess("the id told is out of range", apics[0].source.from);
    }
    for (std::size_t i = 1; i < apics.size(); ++i) f.note(Kind::not_carried, apics[i].source.from, "I/O APIC {} at {:#x}: only the first is modelled", apics[i].id, apics[i].address);
  } else {
    w.scalars["ioapic"] = w.scalars["ioapic_id"] = guess("not told; the default");
  }

  const bool listed = f.tables_listed || f.tables.contains("FACP");
  p.hpet = f.hpet.has_value() || !f.tables_listed || f.tables.contains("HPET");
  if (f.hpet) p.hpet_address = f.hpet->value, w.scalars["hpet"] = w.scalars["hpet_address"] = f.hpet->source;
  else if (!p.hpet) w.scalars["hpet"] = {f.tables.begin()->second, {}};
  else w.scalars["hpet"] = w.scalars["hpet_address"] = guess("not told; the default");

  std::vector<Ecam> ecams = f.ecams;
  for (const Ecam& e : ecams) {
    if (e.segment || e.first_bus) { f.note(Kind::not_carried, e.source.from, "ECAM area {:#x} of segment {:#x}, buses {:02x}-{:02x}", e.base, e.segment, e.first_bus, e.last_bus); continue; }
    if (w.scalars.contains("ecam")) continue;
    p.ecam = e.base, p.ecam_buses = e.last_bus + 1;
    w.scalars["ecam"] = w.scalars["ecam_buses"] = e.source;
  }
  if (!w.scalars.contains("ecam")) {
    p.ecam = 0;
    if (f.tables_listed && !f.tables.contains("MCFG")) {
      w.scalars["ecam"] = {f.tables.begin()->second, {}};
    } else {
      for (const MapRange& r : w.e820) {
        const u64 size = r.last - r.first + 1;
        if (r.type != E820::RESERVED || r.last >= k4G || r.first % (64 * k1M) || size < 64 * k1M || p.ecam) continue;
        p.ecam = r.first, p.ecam_buses = static_cast<unsigned>(std::min<u64>(std::bit_floor(size) >> 20, 256));
        w.scalars["ecam"] = w.scalars["ecam_buses"] = guess("not told; a RESERVED range of the usual size and place", r.source.from);
      }
      if (!p.ecam) w.scalars["ecam"] = guess("not told; none");
    }
  }

  if (f.pm_event && f.pm_event->value % 16 == 0 && f.pm_event->value <= 0xfff0) {
    p.pm_base = static_cast<u16>(f.pm_event->value);
    w.scalars["pm_base"] = f.pm_event->source;
    if (f.pm_control && f.pm_control->value != p.pm_base + 4u) f.note(Kind::not_carried, f.pm_control->source.from, "PM1 control at port {:#x}: modelled 4 after PM1 events", f.pm_control->value);
    if (f.pm_timer && f.pm_timer->value != p.pm_base + 8u) f.note(Kind::not_carried, f.pm_timer->source.from, "PM timer at port {:#x}: modelled 8 after PM1 events", f.pm_timer->value);
  } else if (f.pm_timer && f.pm_timer->value % 16 == 8 && f.pm_timer->value < 0x10000) {
    p.pm_base = static_cast<u16>(f.pm_timer->value - 8);
    w.scalars["pm_base"] = guess("only the PM timer's port is told; the events are 8 before it on most chipsets", f.pm_timer->source.from);
  } else {
    w.scalars["pm_base"] = guess("not told; the default");
  }
  w.set(p.rsdp_revision, "rsdp_revision", f.rsdp_revision, 2u, "not told; the default");
  if (!f.rsdp_revision && listed && f.tables.contains("RSDT") && !f.tables.contains("XSDT"))
    p.rsdp_revision = 0, w.scalars["rsdp_revision"] = {f.tables.at("RSDT"), {}};
}

void processors(Facts& f, Working& w) {
  Platform& p = w.base;
  w.set(p.cpu.count, "cpu.count", f.cpus, 1u, "not told; one");
  if (p.cpu.count > 8) {
    f.note(Kind::not_carried, f.cpus->source.from, "{} processors; 8 are the most here", p.cpu.count);
    p.cpu.count = 8;
  }
  if (!p.cpu.count) p.cpu.count = 1;
  w.scalars["cpu.model"] = guess("the default; logs do not tell what a processor offers");
  const MaybeTold<unsigned>* width = nullptr;
  for (const Dmar* d : {&f.acpi, &f.xen, &f.linux}) if (d->width && !width) width = &d->width;
  if (f.address_bits) {
    p.cpu.physical_address_bits = f.address_bits->value, w.scalars["cpu.physical_address_bits"] = f.address_bits->source;
  } else if (width) {
    p.cpu.physical_address_bits = (*width)->value;
    w.scalars["cpu.physical_address_bits"] = guess("not told; the DMAR table's host address width", (*width)->source.from);
  } else {
    w.scalars["cpu.physical_address_bits"] = guess("not told; the default");
  }
  unsigned& bits = p.cpu.physical_address_bits;
  unsigned need = 36;
  for (const MapRange& r : w.e820)
    if (r.type != E820::RESERVED && r.last < u64{1} << 40) need = std::max(need, 64u - static_cast<unsigned>(std::countl_zero(r.last)));
  if (bits < need || bits > 52) {
    f.note(Kind::conflict, w.scalars["cpu.physical_address_bits"].from, "{} physical address bits do not fit the memory map; {} are taken", bits, std::min(std::max(bits, need), 52u));
    bits = std::min(std::max(bits, need), 52u);
    w.scalars["cpu.physical_address_bits"] = guess("what is told does not fit", w.scalars["cpu.physical_address_bits"].from);
  }
  if (width) p.host_address_width = (*width)->value, w.scalars["host_address_width"] = (*width)->source;
  else p.host_address_width = bits, w.scalars["host_address_width"] = guess("not told; the processors' width");
  if (p.host_address_width < 32 || p.host_address_width > 52) {
    f.note(Kind::conflict, w.scalars["host_address_width"].from, "a host address width of {} bits; {} are taken", p.host_address_width, bits);
    p.host_address_width = bits;
    w.scalars["host_address_width"] = guess("what is told is impossible", w.scalars["host_address_width"].from);
  }
}

void mtrrs(Facts& f, Working& w) {
  if (!f.mtrr_default) return;
  const std::string& from = f.mtrr_default->source.from;
  auto give_up = [&](const std::string& why) { f.note(Kind::not_carried, from, "MTRRs: {}; they are derived from the memory map", why); };
  if (f.mtrrs.size() > 8) return give_up(fmt::format("{} variable ranges, 8 are modelled", f.mtrrs.size()));
  if (f.mtrrs.empty() && f.mtrr_default->value != MemType::WB) return give_up("no variable range was told");
  Mtrrs m;
  m.def = f.mtrr_default->value;
  for (const Memory& r : f.mtrrs) {
    const u64 size = r.mask & -r.mask, top = u64{1} << w.base.cpu.physical_address_bits;
    if (!r.mask || size < kPageSize || r.mask != top - size || r.base % size || r.base >= top) return give_up(fmt::format("{}: base {:#x} mask {:#x} is no plain range", r.from, r.base, r.mask));
    m.variable.push_back({r.base, size, r.type});
  }
  if (m.variable.empty()) return;   // nothing but write-back: the same as derived
  w.base.mtrrs = m;
  w.mtrrs = true;
  w.scalars["mtrrs"] = f.mtrr_default->source;
}

}  // namespace

std::vector<MapRange> choose_map(Facts& f) {
  std::erase_if(f.maps, [](const MemoryMap& m) { return m.ranges.empty(); });
  if (f.maps.empty()) return {};
  const MemoryMap* best = &f.maps[0];
  for (const MemoryMap& m : f.maps)
    if (m.rank < best->rank || (m.rank == best->rank && m.ranges.size() > best->ranges.size())) best = &m;
  for (const MemoryMap& m : f.maps)
    if (&m != best && m.rank == best->rank && !same(m, *best))
      f.note(Kind::conflict, m.from, "another memory map ({}, {} ranges) than the one taken ({}, {} ranges)", m.what, m.ranges.size(), best->from, best->ranges.size());
  std::vector<MapRange> all = best->ranges;
  if (best->rank >= MemoryMap::changed)
    for (MapRange& r : all) r.source.why = best->rank == MemoryMap::headless ? "the map's title is cut off; it may be a domain's" : best->what + "; the firmware's own is not there";
  std::string end = all.back().source.from;
  all = disjoint(all, f);
  u64 top = 0, ram = 0;
  for (const MapRange& r : all) if (r.type == E820::RAM) top = std::max(top, r.last + 1), ram += r.last - r.first + 1;
  if (f.last_pfn && f.last_pfn->value << 12 > top)
    f.note(Kind::unreadable, end, "the kernel knows RAM up to {:#x} ({}), the map ends at {:#x}: ranges are missing", (f.last_pfn->value << 12) - 1, f.last_pfn->source.from, top ? top - 1 : 0);
  if (f.ram_kib && (f.ram_kib->value << 10) > ram + k1M)
    f.note(Kind::unreadable, end, "Xen counts {} KiB of RAM ({}), the map has {}: ranges are missing", f.ram_kib->value, f.ram_kib->source.from, ram >> 10);
  if (all.size() > 128) {
    f.note(Kind::not_carried, all[128].source.from, "{} ranges; 128 are the most here", all.size());
    all.resize(128);
  }
  // Without page 0 nothing boots: the top of the paste is missing.
  u64 lowest = ~u64{0};
  for (const MapRange& r : all) lowest = std::min(lowest, r.first);
  if (lowest >= kPageSize) all.insert(all.begin(), {0, std::min<u64>(lowest, 0x9fc00) - 1, E820::RAM, guess("the map does not begin at 0; base memory as usual")});
  return all;
}

Imported assemble(Facts f, const std::string& name, const std::string& description) {
  if (!f.amd.empty()) throw ImportError(f.amd + "\nthis is an AMD machine (SVM, nested paging, AMD-Vi): out of scope; logs of machines with Intel VT-x and VT-d can be imported");
  if (f.maps.empty() && f.acpi.empty() && f.xen.empty() && f.linux.empty() && f.pci.empty() && f.raw.empty() && f.tables.empty() && f.ecams.empty() && f.ioapics.empty()) {
    std::string why;
    for (const ImportNote& n : f.notes) why += n.from + ": " + n.what + "\n";
    throw ImportError(why + "nothing recognisable; looked for: E820 maps of Xen (\"Xen-e820 RAM map:\") and Linux (\"BIOS-e820:\"), DMAR lines (\"[VT-D]\", \"DMAR:\"), "
                      "ACPI table lists, acpidump output or raw ACPI tables, lspci -xxx dumps");
  }
  Working w;
  w.base.name = name, w.base.description = description;
  w.e820 = choose_map(f);
  if (w.e820.empty()) w.scalars["e820"] = w.scalars["memory"] = guess("no memory map in what was given; the default layout of 2 GiB");
  processors(f, w);
  chipset(f, w);
  mtrrs(f, w);
  merge_dmar(f, w);
  if (w.e820.empty() && !w.regions.empty()) map_with_regions(w);
  assemble_pci(f, w);
  assemble_units(f, w);
  Imported out;
  out.platform = repair(f, w);
  out.notes = std::move(f.notes);
  out.tables = std::move(f.raw);
  return out;
}

}  // namespace vt::fw::import

namespace vt::fw {

Imported import_platform(std::span<const ImportInput> inputs, const std::string& name) {
  import::Facts f;
  std::string description = "imported from";
  for (const ImportInput& in : inputs) {
    description += (&in == &inputs[0] ? " " : ", ") + in.name;
    if (import::read_acpi_raw(f, in.name, in.bytes)) continue;
    const auto lines = import::clean_lines(in.bytes);
    import::read_log(f, in.name, lines);
    import::read_acpi_text(f, in.name, lines);
    import::read_lspci(f, in.name, lines);
  }
  return import::assemble(std::move(f), name, description);
}

}  // namespace vt::fw
