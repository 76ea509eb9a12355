// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/caches.hpp"

namespace vt::cpu {

unsigned Caches::beyond(CacheArray& first, u64 line, bool write, MemLevel& from) {
  unsigned latency;
  if (l2_.hit(line, false)) {
    from = MemLevel::l2;
    latency = l2_.latency();
  } else {
    latency = last_.access(line, false, from);
    if (const u64 back = l2_.fill(line, false); back != CacheArray::kNone) last_.written_back(back);
  }
  if (const u64 back = first.fill(line, write); back != CacheArray::kNone && !l2_.hit(back, true))
    if (const u64 further = l2_.fill(back, true); further != CacheArray::kNone) last_.written_back(further);
  return latency;
}

void Caches::flush(u64 line) {
  for (CacheArray* c : {&l1i_, &l1d_, &l2_, &last_.cache}) c->drop(line);
}

void Caches::flush_all() {
  for (CacheArray* c : {&l1i_, &l1d_, &l2_, &last_.cache}) c->drop_all();
}

}  // namespace vt::cpu
