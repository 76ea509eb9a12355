// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/dma_timing.hpp"

#include <algorithm>

namespace vt::emu {

/// The caches are asked, then each entry that they do not know is read, one after the other: where the next one stands is in the one before.
void DmaTiming::request(const vtd::Touched& t) {
  using vtd::Lookup;
  Counts& c = functions_[t.source];
  u64 cycles = t.context != Lookup::none || t.interrupt_entry != Lookup::none ? lookup_ : 0;
  if (const unsigned n = t.reads()) {
    cycles += walk_start_;
    cpu::MemLevel from;
    for (unsigned k = 0; k < n; ++k) cycles += last_.access(t.at[k].v >> 6, false, from);
  }
  if (t.interrupt) {
    ++c.interrupts;
    c.interrupt_entry_hits += t.interrupt_entry == Lookup::hit, c.interrupt_entry_misses += t.interrupt_entry == Lookup::miss;
    c.interrupt_reads += t.interrupt_reads;
    c.interrupt_cycles += cycles;
    return;
  }
  ++c.requests;
  c.context_hits += t.context == Lookup::hit, c.context_misses += t.context == Lookup::miss;
  c.iotlb_hits += t.iotlb == Lookup::hit, c.iotlb_misses += t.iotlb == Lookup::miss;
  c.context_reads += t.context_reads, c.table_reads += t.table_reads;
  c.translation_cycles += cycles;
}

/// The lines are asked for together and cross the link one behind the other. What is written is allocated in the LLC, as with Intel's
/// Data Direct I/O; only of a line that is written in part is the rest fetched.
void DmaTiming::data(Bdf source, Hpa at, u64 bytes, bool write) {
  if (!bytes) return;
  Counts& c = functions_[source];
  const u64 end = at.v + bytes;
  u64 sent = 0;   // the link's time, in bytes
  for (u64 first = at.v; first < end;) {
    const u64 next = std::min(end, (first | 63) + 1);
    cpu::MemLevel from;
    unsigned latency = last_.access(first >> 6, write, from);
    if (write && next - first == 64) from = cpu::MemLevel::llc, latency = last_.cache.latency();
    ++(write ? c.lines_written : c.lines_read);
    c.lines_from_dram += from == cpu::MemLevel::dram;
    sent = std::max<u64>(sent, u64{latency} * bytes_per_cycle_) + (next - first);
    first = next;
  }
  c.data_cycles += (sent + bytes_per_cycle_ - 1) / bytes_per_cycle_;
}

}  // namespace vt::emu
