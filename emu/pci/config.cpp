// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/config.hpp"

#include <algorithm>

#include "base/bits.hpp"
#include "base/check.hpp"

namespace vt::emu::pci {
namespace {
constexpr u32 ones(unsigned size) { return size >= 4 ? ~u32{0} : (u32{1} << (8 * size)) - 1; }

/// Accesses that cross a dword are split, as on the bus.
template <class F>
void for_parts(u64 reg, unsigned size, F&& f) {
  for (unsigned done = 0; done < size;) {
    const unsigned n = std::min<unsigned>(size - done, 4 - ((reg + done) & 3));
    for (unsigned left = n, at = done; left;) {  // byte enables in natural pieces
      const unsigned piece = left >= 4 ? 4 : left >= 2 && !((reg + at) & 1) ? 2 : 1;
      f(static_cast<u16>(reg + at), piece, at);
      left -= piece, at += piece;
    }
    done += n;
  }
}
}  // namespace

Function& ConfigSpace::add(std::unique_ptr<Function> f) {
  const auto at = std::lower_bound(functions_.begin(), functions_.end(), f->spec().bdf, [](auto& a, Bdf b) { return a->spec().bdf < b; });
  CHECK(at == functions_.end() || (*at)->spec().bdf != f->spec().bdf, "two PCI functions at one place");
  return **functions_.insert(at, std::move(f));
}

void ConfigSpace::settle() {
  std::map<u8, Function*> bridges;
  for (auto& f : functions_)
    if (f->bridge()) {
      CHECK(*f->spec().secondary_bus > f->spec().bdf.bus() && !bridges.contains(*f->spec().secondary_bus), "PCI bus numbers");
      bridges[*f->spec().secondary_bus] = f.get();
    }
  for (auto& f : functions_) {
    const Bdf b = f->spec().bdf;
    if (b.bus()) {
      CHECK(bridges.contains(b.bus()), "a PCI bus that no bridge leads to");
      f->parent_ = bridges[b.bus()];
    }
  }
  for (auto bridge = bridges.rbegin(); bridge != bridges.rend(); ++bridge) {  // secondary numbers grow downwards
    u64 lo[3] = {~u64{0}, ~u64{0}, ~u64{0}}, hi[3] = {};
    u8 last = bridge->first;
    for (auto& f : functions_) {
      bool below = false;
      for (auto* p = f->parent_; p; p = p->parent_) below |= p == bridge->second;
      if (!below) continue;
      if (f->bridge()) last = std::max(last, *f->spec().secondary_bus);
      for (const BarSpec& b : f->spec().bars) {
        if (b.kind == BarKind::none || !b.address) continue;
        const unsigned k = b.kind == BarKind::io ? 2 : b.prefetchable || b.address >> 32 ? 1 : 0;
        lo[k] = std::min(lo[k], b.address), hi[k] = std::max(hi[k], b.address + b.size - 1);
      }
    }
    bridge->second->value_[0x1a] = last;
    bridge->second->set_windows(lo[0], hi[0], lo[1], hi[1], lo[2], hi[2]);
  }
  for (auto& f : functions_) {
    const Bdf b = f->spec().bdf;
    if (auto* zero = b.fn() ? find(Bdf(b.bus(), b.dev(), 0)) : nullptr) zero->value_[0x0e] |= 0x80;  // multi-function
  }
  for (auto& f : functions_) f->keep_as_initial();
  update_all_bars();
}

Function* ConfigSpace::find(Bdf at) const {
  for (auto& f : functions_) {
    if (f->spec().bdf.devfn() != at.devfn()) continue;
    if (f->bdf().bus() != at.bus()) continue;
    bool reached = true;  // every bridge on the way passes type 1 cycles for this bus
    for (auto* p = f->parent_; p; p = p->parent_) reached &= p->secondary() <= at.bus() && at.bus() <= p->subordinate() && p->secondary() != 0;
    if (reached) return f.get();
  }
  return nullptr;
}

u32 ConfigSpace::read(Bdf at, u16 reg, unsigned size) {
  if (auto* f = find(at)) return f->config_read(reg, size);
  ++absent_reads_;
  return ones(size);
}

void ConfigSpace::write(Bdf at, u16 reg, unsigned size, u32 value) {
  auto* f = find(at);
  if (!f) { ++absent_writes_; return; }
  f->config_write(reg, size, value);
  if (f->bridge()) update_all_bars();  // windows and enables of a bridge decide for all below it
}

void ConfigSpace::reset() {
  for (auto& f : functions_) f->reset();
  update_all_bars();
}

void ConfigSpace::state(Ar& ar) {
  for (auto& f : functions_) ar.section(f->name(), *f);
  if (ar.loading()) update_all_bars();
}

u64 ConfigPorts::read(u64 offset, unsigned size) {
  if (offset < 4) {
    if (offset == 0 && size == 4) return address_;
    if (offset == 1 && size == 1 && reset_register_) return reset_register_->read(0, 1);
    return ones(size);
  }
  if (!(address_ >> 31)) return ones(size);
  u64 value = 0;
  for_parts((address_ & 0xfc) + (offset & 3), size, [&](u16 reg, unsigned n, unsigned at) {
    value |= u64{reg >= (address_ & 0xfc) + 4 ? ones(n) : space_.read(target(), reg, n)} << (8 * at);
  });
  return value;
}

void ConfigPorts::write(u64 offset, unsigned size, u64 value) {
  if (offset < 4) {
    if (offset == 0 && size == 4) address_ = static_cast<u32>(value) & 0x80fffffc;
    else if (offset == 1 && size == 1 && reset_register_) reset_register_->write(0, 1, value);
    return;
  }
  if (!(address_ >> 31)) return;
  for_parts((address_ & 0xfc) + (offset & 3), size, [&](u16 reg, unsigned n, unsigned at) {
    if (reg < (address_ & 0xfc) + 4) space_.write(target(), reg, n, static_cast<u32>(value >> (8 * at)));
  });
}

u64 Ecam::read(u64 offset, unsigned size) {
  u64 value = 0;
  for_parts(offset & 0xfff, size, [&](u16 reg, unsigned n, unsigned at) {
    const u64 where = (offset & ~u64{0xfff}) + reg;
    value |= u64{space_.read(Bdf(static_cast<u16>(where >> 12)), where & 0xfff, n)} << (8 * at);
  });
  return value;
}

void Ecam::write(u64 offset, unsigned size, u64 value) {
  for_parts(offset & 0xfff, size, [&](u16 reg, unsigned n, unsigned at) {
    const u64 where = (offset & ~u64{0xfff}) + reg;
    space_.write(Bdf(static_cast<u16>(where >> 12)), where & 0xfff, n, static_cast<u32>(value >> (8 * at)));
  });
}

FunctionSpec HostBridge::default_spec() {
  FunctionSpec s;
  s.bdf = Bdf(0, 0, 0), s.device = 0x29c0, s.class_code = 0x060000;
  return s;
}

HostBridge::HostBridge(u64 ecam, unsigned buses, const FunctionSpec& spec) : Function(spec, nullptr, nullptr) {
  const u64 length = buses <= 64 ? 2 : buses <= 128 ? 1 : 0;
  const u64 value = ecam ? ecam | length << 1 | 1 : 0;
  put(0x60, 4, static_cast<u32>(value)), put(0x64, 4, static_cast<u32>(value >> 32));
  keep_as_initial();
}

FunctionSpec IsaBridge::default_spec() {
  FunctionSpec s;
  s.bdf = Bdf(0, 0x1f, 0), s.device = 0x2918, s.class_code = 0x060100, s.revision = 2;
  return s;
}

IsaBridge::IsaBridge(u16 pm_base, const FunctionSpec& spec) : Function(spec, nullptr, nullptr) {
  put(0x40, 4, (pm_base & 0xff80u) | 1), put(0x44, 1, 0x80);  // ACPI_EN, SCI on IRQ9
  for (unsigned at : {0x60u, 0x61u, 0x62u, 0x63u, 0x68u, 0x69u, 0x6au, 0x6bu}) put(at, 1, 0x80, 0x8f);
  keep_as_initial();
}

}  // namespace vt::emu::pci
