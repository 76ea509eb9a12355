// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/timing/caches.hpp"

namespace vt::cpu {

unsigned Caches::beyond(u64 line, u64 back, MemLevel& from) {
  u64 gone;
  unsigned latency;
  if (l2_.bring(line, false, gone) != CacheArray::Place::fresh) {
    from = MemLevel::l2;
    latency = l2_.latency();
  } else {
    latency = last_.access(line, false, from);
    if (gone != CacheArray::kNone) last_.written_back(gone);
  }
  if (back == CacheArray::kNone) return latency;
  if (l2_.bring(back, true, gone); gone != CacheArray::kNone) last_.written_back(gone);
  return latency;
}

void Caches::flush(u64 line) {
  recent_.drop_set_of(line), recent_code_.drop_set_of(line);
  for (CacheArray* c : {&l1i_, &l1d_, &l2_, &last_.cache}) c->drop(line);
}

void Caches::flush_all() {
  forget_recent();
  for (CacheArray* c : {&l1i_, &l1d_, &l2_, &last_.cache}) c->drop_all();
}

}  // namespace vt::cpu
