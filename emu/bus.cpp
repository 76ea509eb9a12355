// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/bus.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace vt::emu {

void Bus::insert(std::vector<Range>& to, Range r, const char* what) {
  for (auto& o : to)
    if (r.first <= o.last && o.first <= r.last)
      throw BusConflict(fmt::format("{} {:#x}-{:#x}: {} and {} ({:#x}-{:#x}) claim the same range", what, r.first, r.last, r.device->name(),
                                    o.device->name(), o.first, o.last));
  to.insert(std::upper_bound(to.begin(), to.end(), r, [](const Range& a, const Range& b) { return a.first < b.first; }), r);
}
void Bus::claim_memory(u64 first, u64 size, Device& d, u64 offset) { insert(memory_, {first, first + size - 1, offset, &d}, "memory"); }
void Bus::claim_ports(u16 first, unsigned count, Device& d, u64 offset) {
  insert(ports_, {first, u64{first} + count - 1, offset, &d}, "ports");
  for (std::size_t n = 0; n < ports_.size(); ++n)
    for (u64 port = ports_[n].first; port <= ports_[n].last; ++port) port_range_[port] = static_cast<u16>(n + 1);
}

void Bus::map_memory(u64 first, u64 size, Device& d) { moving_memory_.push_back({first, first + size - 1, 0, &d}); }
void Bus::map_ports(u64 first, u64 size, Device& d) { moving_ports_.push_back({first, first + size - 1, 0, &d}); }
void Bus::unmap_memory(u64 first, Device& d) { std::erase_if(moving_memory_, [&](const Range& r) { return r.first == first && r.device == &d; }); }
void Bus::unmap_ports(u64 first, Device& d) { std::erase_if(moving_ports_, [&](const Range& r) { return r.first == first && r.device == &d; }); }

const Bus::Range* Bus::find_port(u16 port) const {
  if (const u16 n = port_range_[port]) return &ports_[n - 1];
  for (auto& r : moving_ports_) if (r.first <= port && port <= r.last) return &r;
  return nullptr;
}

const Bus::Range* Bus::find(const std::vector<Range>& fixed, const std::vector<Range>& moving, u64 at) const {
  auto it = std::upper_bound(fixed.begin(), fixed.end(), at, [](u64 a, const Range& r) { return a < r.first; });
  if (it != fixed.begin() && at <= std::prev(it)->last) return &*std::prev(it);
  for (auto& r : moving) if (r.first <= at && at <= r.last) return &r;
  return nullptr;
}

namespace {
u64 ones(unsigned size) { return size >= 8 ? ~u64{0} : (u64{1} << (8 * size)) - 1; }
}  // namespace

u64 Bus::read(u64 at, unsigned size) {
  const Range* r = find(memory_, moving_memory_, at);
  if (r && at + size - 1 <= r->last) return r->device->read(at - r->first + r->offset, size) & ones(size);
  ++absent_memory_[at & kPageMask];
  return ones(size);
}
void Bus::write(u64 at, unsigned size, u64 value) {
  const Range* r = find(memory_, moving_memory_, at);
  if (r && at + size - 1 <= r->last) return r->device->write(at - r->first + r->offset, size, value & ones(size));
  ++absent_memory_[at & kPageMask];
}

// SDM 1 "I/O Port Addressing": a wide access that no one device covers is made of its bytes.
u64 Bus::port_read(u16 port, unsigned size) {
  const Range* r = find_port(port);
  if (r && port + size - 1u <= r->last) return r->device->read(port - r->first + r->offset, size) & ones(size);
  if (size > 1) {
    u64 v = 0;
    for (unsigned k = 0; k < size; ++k) v |= port_read(static_cast<u16>(port + k), 1) << (8 * k);
    return v;
  }
  ++absent_ports_[port];
  return 0xff;
}
void Bus::port_write(u16 port, unsigned size, u64 value) {
  const Range* r = find_port(port);
  if (r && port + size - 1u <= r->last) return r->device->write(port - r->first + r->offset, size, value & ones(size));
  if (size > 1) {
    for (unsigned k = 0; k < size; ++k) port_write(static_cast<u16>(port + k), 1, (value >> (8 * k)) & 0xff);
    return;
  }
  ++absent_ports_[port];
}

}  // namespace vt::emu
