// SPDX-License-Identifier: GPL-2.0-or-later
/// A memory, a unit and a recorder of what the unit does to its outside: what the tests of this folder share.
#pragma once
#include <gtest/gtest.h>

#include "../tested.hpp"
#include "vtd/unit.hpp"

namespace vt::vtd {

struct Recorder final : Outside, EventSink {
  PhysMem mem{u64{64} << 20};
  Stop stop_;
  bool watched = true;
  u64 now = 1000;
  std::vector<Event> log;
  std::vector<std::pair<u64, u32>> messages;

  Recorder() { mem.add_ram(Hpa{0}, u64{32} << 20); }
  PhysMem& memory() override { return mem; }
  Stop& stop() override { return stop_; }
  EventSink* events() override { return watched ? this : nullptr; }
  u64 step() const override { return now; }
  void msi(u64 address, u32 data) override { messages.emplace_back(address, data); }
  void on(const Event& e) override { log.push_back(e); }
  unsigned count(EventKind k) const { unsigned n = 0; for (auto& e : log) n += e.kind == k; return n; }
};

inline constexpr u64 kRoot = 0x10000, kContext = 0x11000, kQueue = 0x20000, kIrt = 0x30000, kStatus = 0x40000, kTop = 0x100000;

/// 00:04.0 belongs to domain 5 with 4-level tables at kTop.
struct Machine {
  Recorder out;
  Caps caps;
  Unit unit;
  u64 next_table = kTop + 0x1000;
  static constexpr Bdf dev{0, 4, 0};
  static constexpr u16 domain = 5;

  explicit Machine(const Caps& c = {}) : caps(c), unit(out, c, 3) {}
  void put(u64 at, u64 v) { out.mem.poke64(Hpa(at), v, WriteCause::loader); }
  u64 get(u64 at) { return out.mem.peek64(Hpa(at)); }

  void root_entry(u64 lo, u64 hi = 0, u8 bus = 0) { put(kRoot + 16 * bus, lo), put(kRoot + 16 * bus + 8, hi); }
  void context_entry(u64 lo, u64 hi, Bdf b = dev) { put(kContext + 16 * b.devfn(), lo), put(kContext + 16 * b.devfn() + 8, hi); }
  void tables() { root_entry(kContext | 1), context_entry(kTop | 1, domain << 8 | 2); }
  /// Writes `entry` as the leaf of `iova` at `level`, making tables (with all rights) above it. Returns where it stands.
  u64 map(u64 iova, u64 entry, unsigned level = 1, u64 top = kTop, unsigned levels = 4) {
    u64 table = top;
    for (unsigned l = levels; l > level; --l) {
      u64 at = table + 8 * index_at(iova, l);
      if (!(get(at) & 3)) put(at, next_table | 3), next_table += 0x1000;
      table = get(at) & ~u64{0xfff};
    }
    put(table + 8 * index_at(iova, level), entry);
    return table + 8 * index_at(iova, level);
  }

  u32 r32(u64 o) { return static_cast<u32>(unit.read(o, 4)); }
  u64 r64(u64 o) { return unit.read(o, 8); }
  void w32(u64 o, u32 v) { unit.write(o, 4, v); }
  void w64(u64 o, u64 v) { unit.write(o, 8, v); }
  /// As Xen does it: status with one more bit.
  void command(u32 b) { w32(0x18, r32(0x1c) | b); }
  void enable() { w64(0x20, kRoot), command(gcmd::SRTP), command(gcmd::TE); }
  void enable_queue(unsigned qs = 0) { w64(0x90, kQueue | qs), w64(0x88, 0), command(gcmd::QIE); }
  void submit(Descriptor d) {
    u64 tail = r64(0x88), size = u64{4096} << (r64(0x90) & 7);
    put(kQueue + tail, d.lo), put(kQueue + tail + 8, d.hi);
    w64(0x88, (tail + 16) % size);
  }
  void unmask_faults() { w32(0x3c, 0x41), w32(0x40, 0xfee01000), w32(0x38, 0); }
  auto dma(u64 at, Access a = access::read, Bdf b = dev) { return unit.translate(b, Iova(at), a); }
};

}  // namespace vt::vtd
