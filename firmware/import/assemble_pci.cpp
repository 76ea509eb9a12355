// SPDX-License-Identifier: GPL-2.0-or-later
/// PCI functions: which have a bus to stand on, and how large BARs may be that nobody sized.
#include <algorithm>
#include <bit>

#include "working.hpp"

namespace vt::fw::import {
namespace {

PciFunction usual(Bdf b) {
  PciFunction f;
  f.bdf = b;
  if (b == Bdf(0, 0, 0)) f.device = 0x29c0, f.class_code = 0x060000;
  else if (b == Bdf(0, 0x1f, 0)) f.device = 0x2918, f.class_code = 0x060100, f.revision = 2;
  else f.device = 0x0001, f.class_code = 0x088000;
  return f;
}

/// A BAR is aligned to its size, so its address bounds it, and so does what comes next; most are small.
u64 size_of(const Bar& b, const std::vector<u64>& memory, const std::vector<u64>& ports) {
  const bool io = b.kind == PciBar::Kind::io;
  u64 size = std::min(b.address & -b.address, io ? 32 : b.prefetchable ? u64{256} << 20 : u64{64} << 10);
  const std::vector<u64>& all = io ? ports : memory;
  auto next = std::upper_bound(all.begin(), all.end(), b.address);
  while (next != all.end() && size > *next - b.address) size /= 2;
  return std::max<u64>(size, io ? 4 : 16);
}

}  // namespace

void assemble_pci(Facts& f, Working& w) {
  std::vector<u64> memory{w.base.ioapic, w.base.hpet_address, 0xfee00000}, ports{w.base.pm_base};
  if (w.base.ecam) memory.push_back(w.base.ecam);
  for (const WorkingUnit& u : w.units) memory.push_back(u.d.address);
  for (const MapRange& r : w.e820) if (r.type == E820::RAM) memory.push_back(r.first);
  for (auto& [bdf, x] : f.pci) for (const Bar& b : x.bars) (b.kind == PciBar::Kind::io ? ports : memory).push_back(b.address);
  std::sort(memory.begin(), memory.end()), std::sort(ports.begin(), ports.end());
  for (auto& [bdf, x] : f.pci) {
    if (f.absent.contains(bdf)) continue;
    WorkingFunction y;
    y.f = usual(x.bdf);
    y.source = y.ids = x.source;
    if (!x.vendor) y.ids = guess("the ids are not told", x.source.from);
    if (x.vendor) y.f.vendor = *x.vendor, y.f.device = *x.device, y.f.revision = 0;
    if (x.class_code) y.f.class_code = *x.class_code;
    if (x.revision) y.f.revision = *x.revision;
    y.f.subsystem_vendor = x.subsystem_vendor.value_or(0), y.f.subsystem = x.subsystem.value_or(0);
    y.f.interrupt_pin = x.pin.value_or(0) <= 4 ? x.pin.value_or(0) : 0;
    y.f.interrupt_line = x.line.value_or(0xff);
    y.f.msi = x.msi;
    if (y.f.vendor == 0xffff) continue;
    if (x.bridge || y.f.class_code >> 8 == 0x0604) {
      y.f.secondary_bus = x.secondary.value_or(0);
      if (!x.secondary) y.secondary = guess("the bus behind the bridge is not told; a free one", x.source.from);
      else y.secondary = x.source;
      if (!x.class_code) y.f.class_code = 0x060400;
    }
    for (const Bar& b : x.bars) {
      PciBar z{b.index, b.kind, b.prefetchable, b.address, b.size};
      Source s = b.source;
      if (!z.size) z.size = size_of(b, memory, ports), s = guess("the size is not told; bounded by the addresses", b.source.from);
      y.f.bars.push_back(z);
      y.bars.push_back(s);
    }
    w.pci.push_back(std::move(y));
  }
  const bool told = !w.pci.empty();
  auto exists = [&](Bdf b) { return std::any_of(w.pci.begin(), w.pci.end(), [&](auto& x) { return x.f.bdf == b; }); };
  auto add = [&](Bdf b, const char* why) {
    WorkingFunction& x = w.pci.emplace_back();
    x.f = usual(b);
    x.source = x.ids = guess(why);
  };
  if (!exists(Bdf(0, 0, 0))) add(Bdf(0, 0, 0), "not told; there is always a host bridge");
  const bool isa = std::any_of(w.pci.begin(), w.pci.end(), [](auto& x) { return x.f.class_code >> 8 == 0x0601; });
  if (!isa && !exists(Bdf(0, 0x1f, 0))) add(Bdf(0, 0x1f, 0), told ? "not told; the ISA bridge's usual place" : "not told; the default");
  for (WorkingFunction& x : w.pci) {
    if (x.f.bdf == Bdf(0, 0, 0) && !x.f.secondary_bus) x.f.model = "host-bridge";
    if (x.f.bdf == Bdf(0, 0x1f, 0) && x.f.class_code >> 8 == 0x0601 && !x.f.secondary_bus) x.f.model = "isa-bridge";
  }
  std::sort(w.pci.begin(), w.pci.end(), [](auto& a, auto& b) { return a.f.bdf < b.f.bdf; });

  // Buses: a free number for bridges that told none; functions on a bus that no bridge leads to are dropped with it.
  std::vector<bool> used(256);
  used[0] = true;
  for (const WorkingFunction& x : w.pci) {
    used[x.f.bdf.bus()] = true;
    if (x.f.secondary_bus) used[*x.f.secondary_bus] = true;
  }
  for (WorkingFunction& x : w.pci)
    if (x.f.secondary_bus && !*x.f.secondary_bus)
      for (unsigned n = x.f.bdf.bus() + 1u; n < 256; ++n)
        if (!used[n]) { used[n] = true; x.f.secondary_bus = static_cast<u8>(n); break; }
  for (bool again = true; again;) {
    again = false;
    std::vector<bool> reached(256);
    reached[0] = true;
    for (std::size_t i = 0; i < w.pci.size();) {
      const PciFunction& x = w.pci[i].f;
      const bool bad_bridge = x.secondary_bus && (!*x.secondary_bus || *x.secondary_bus <= x.bdf.bus() || reached[*x.secondary_bus]);
      if (bad_bridge) {
        f.note(Kind::conflict, w.pci[i].source.from, "bridge {:02x}:{:02x}.{}: the bus behind it ({:02x}) is no new one; it is left out", x.bdf.bus(), x.bdf.dev(), x.bdf.fn(), *x.secondary_bus);
        w.pci.erase(w.pci.begin() + static_cast<std::ptrdiff_t>(i));
        again = true;
        continue;
      }
      if (x.secondary_bus) reached[*x.secondary_bus] = true;
      ++i;
    }
    std::map<u8, unsigned> lost;
    std::string from;
    for (const WorkingFunction& x : w.pci) if (!reached[x.f.bdf.bus()] && !lost[x.f.bdf.bus()]++ && from.empty()) from = x.source.from;
    const auto before = w.pci.size();
    std::erase_if(w.pci, [&](auto& x) { return !reached[x.f.bdf.bus()]; });
    if (w.pci.size() != before) {
      std::string buses;
      for (auto& [bus, n] : lost) buses += fmt::format("{}{:02x}", buses.empty() ? "" : ", ", bus);
      f.note(Kind::not_carried, from, "{} functions on buses that no bridge told of leads to ({})", before - w.pci.size(), buses);
      again = true;
    }
  }
}

}  // namespace vt::fw::import
