// SPDX-License-Identifier: GPL-2.0-or-later
#include "firmware/models.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/bits.hpp"
#include "firmware/layout.hpp"

namespace vt::fw {
namespace {

using Kind = PciBar::Kind;
constexpr PciBar kVirtioBars[] = {{0, Kind::mem32, false, 0, 0x4000}, {1, Kind::mem32, false, 0, 0x1000}};
constexpr PciBar kNvmeBars[] = {{0, Kind::mem64, false, 0, 0x4000}};
constexpr PciBar kAhciBars[] = {{5, Kind::mem32, false, 0, 0x1000}};
constexpr PciBar kEduBars[] = {{0, Kind::mem32, false, 0, 0x100000}};
constexpr PciBar kTestdevBars[] = {{0, Kind::mem32, false, 0, 0x1000}, {1, Kind::io, false, 0, 0x100}};
constexpr PciBar kDmaBars[] = {{0, Kind::mem32, false, 0, 0x1000}};

// PCI vendor 1af4 is where emulators have their devices.
constexpr FunctionModel kModels[] = {
  {"host-bridge"},
  {"isa-bridge"},
  {"dma", 0x1af4, 0x10f0, 0xff0000, 0, true, kDmaBars, 0, "our own bus master, for tests of DMA remapping (docs/dma-function.md)"},
  {"virtio-net", 0x1af4, 0x1041, 0x020000, 1, false, kVirtioBars, 0, "a network card (VIRTIO 1.1); nothing is at the other end of its cable in this version"},
  {"scripted-dma"},
  {"nvme", 0x1af4, 0x10f2, 0x010802, 1, true, kNvmeBars, 1, "NVMe controller with one namespace"},
  {"ahci", 0x1af4, 0x10f1, 0x010601, 1, true, kAhciBars, 6, "AHCI host bus adapter with six ports"},
  {"edu", 0x1234, 0x11e8, 0x00ff00, 1, true, kEduBars, 0, "QEMU's edu: factorials, interrupts, DMA from and to a buffer", 0x10},
  {"pci-testdev", 0x1b36, 0x0005, 0x00ff00, 0, false, kTestdevBars, 0, "QEMU's pci-testdev: counts writes"},
};

constexpr IsaModel kIsaModels[] = {
  {"isa-debug-exit", 0xf4, 4, true, "a write ends the run with status (value << 1) | 1, as QEMU's"},
  {"pc-testdev", 0xe0, 12, false, "QEMU's pc-testdev: echoes, interrupt lines at 2000H, 64 KiB of registers at FF000000H"},
  {"fw-cfg", 0x510, 2, false, "QEMU's fw_cfg: signature, processors, memory size, file directory"},
};

bool free_place(const Platform& p, Bdf at) {
  return std::none_of(p.pci.begin(), p.pci.end(), [&](const PciFunction& f) { return f.bdf.bus() == at.bus() && f.bdf.dev() == at.dev(); });
}

/// From the top of the hole below 4 GiB downwards, as firmware does.
std::optional<u64> place(const Platform& p, u64 size, bool io) {
  if (io) {
    for (u64 at = align_up(0xc000, size); at + size <= 0x10000; at += size)
      if (std::none_of(p.pci.begin(), p.pci.end(), [&](const PciFunction& f) {
            return std::any_of(f.bars.begin(), f.bars.end(), [&](const PciBar& b) { return b.kind == Kind::io && at < b.address + b.size && b.address < at + size; });
          }))
        return at;
    return {};
  }
  const Range window = firmware_layout(p).pci32;
  const auto devices = device_ranges(p);
  u64 end = window.first + window.size;
  while (end >= window.first + size) {
    const u64 at = align_down(end - size, size);
    if (at < window.first) return {};
    const Range r{at, size};
    u64 below = ~u64{0};
    for (auto& d : devices) if (r.overlaps(d.range)) below = std::min(below, d.range.first);
    for (auto& e : p.e820) if (r.overlaps({e.first, e.size})) below = std::min(below, e.first);
    if (below == ~u64{0}) return at;
    end = std::min(below, at);
  }
  return {};
}

}  // namespace

std::span<const FunctionModel> function_models() { return kModels; }

const FunctionModel* function_model(std::string_view name) {
  for (auto& m : kModels) if (name == m.name) return &m;
  return nullptr;
}

std::span<const IsaModel> isa_models() { return kIsaModels; }

const IsaModel* isa_model(std::string_view name) {
  for (auto& m : kIsaModels) if (name == m.name) return &m;
  return nullptr;
}

PciFunction& add_function(Platform& p, const std::string& model, std::optional<Bdf> at) {
  const FunctionModel* m = function_model(model);
  if (!m || !m->device) {
    std::string all;
    for (auto& x : kModels) if (x.device) all += (all.empty() ? "" : ", ") + std::string(x.name);
    for (auto& x : kIsaModels) all += ", " + std::string(x.name);
    throw std::invalid_argument(fmt::format("\"{}\" is no device that can be added; there are {}", model, all));
  }
  for (u8 dev = 5; !at && dev < 0x1f; ++dev) if (free_place(p, Bdf(0, dev, 0))) at = Bdf(0, dev, 0);
  if (!at) throw std::invalid_argument("bus 00 has no free device left; give places in a platform description, behind a bridge");
  for (auto& f : p.pci)
    if (f.bdf == *at) throw std::invalid_argument(fmt::format("{:02x}:{:02x}.{} is taken; leave the place out, or choose another", at->bus(), at->dev(), at->fn()));
  PciFunction f;
  f.bdf = *at, f.model = model;
  auto where = std::find_if(p.pci.begin(), p.pci.end(), [&](const PciFunction& o) { return f.bdf < o.bdf; });
  return *p.pci.insert(where, std::move(f));
}

void fill_isa(Platform& p) {
  for (auto& d : p.isa)
    if (const IsaModel* m = isa_model(d.model)) {
      if (!d.iobase) d.iobase = m->iobase;
      if (!d.iosize) d.iosize = m->iosize;
    }
}

bool fill_models(Platform& p) {
  bool filled = false;
  for (std::size_t i = 0; i < p.pci.size(); ++i) {
    PciFunction& f = p.pci[i];
    const FunctionModel* m = function_model(f.model);
    if (!m || !m->device) continue;
    if (!f.device) {
      f.vendor = m->vendor, f.device = m->device, f.class_code = m->class_code, f.subsystem_vendor = 0x1af4, f.subsystem = 0x1100, f.revision = m->revision;
      f.interrupt_pin = m->interrupt_pin, f.msi = m->msi;
      filled = true;
    }
    if (!f.bars.empty()) continue;
    for (PciBar b : m->bars) {
      const auto at = place(p, b.size, b.kind == Kind::io);
      if (!at) throw PlatformError(p.file, fmt::format("pci[{}].bars", i), fmt::format("no room for BAR {} of {:#x} bytes below 4 GiB; give the addresses, or make room in the memory map", b.index, b.size));
      b.address = *at;
      p.pci[i].bars.push_back(b);
      filled = true;
    }
  }
  return filled;
}

}  // namespace vt::fw
