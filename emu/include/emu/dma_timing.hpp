// SPDX-License-Identifier: GPL-2.0-or-later
/// What remapping and DMA cost in the timing models, by the function that asks. Entries that a VT-d unit reads and lines that devices
/// read and write go through the LLC that the processors share. The cycles are told, not waited for: a device's completion has its own time.
#pragma once
#include <map>

#include "base/timing.hpp"
#include "cpu/timing/caches.hpp"
#include "vtd/touched.hpp"

namespace vt::emu {

class DmaTiming final : public vtd::RequestListener {
 public:
  DmaTiming(const timing::Profile& p, cpu::LastLevel& last)
      : lookup_(p.iotlb_hit), walk_start_(p.vtd_walk_start), bytes_per_cycle_(p.dma_bytes_per_cycle), last_(last) {}

  struct Counts {
    u64 requests = 0;                            ///< of DMA to a unit, each within a page
    u64 iotlb_hits = 0, iotlb_misses = 0;        ///< a miss is a walk
    u64 context_hits = 0, context_misses = 0;
    u64 context_reads = 0, table_reads = 0;      ///< entries: root and context; second-level
    u64 translation_cycles = 0;
    u64 interrupts = 0, interrupt_entry_hits = 0, interrupt_entry_misses = 0, interrupt_reads = 0, interrupt_cycles = 0;
    u64 lines_read = 0, lines_written = 0;       ///< of data
    u64 lines_from_dram = 0;                     ///< among these: the LLC did not have what was needed of them
    u64 data_cycles = 0;
    void state(Ar& a) {
      a(requests, iotlb_hits, iotlb_misses, context_hits, context_misses, context_reads, table_reads, translation_cycles);
      a(interrupts, interrupt_entry_hits, interrupt_entry_misses, interrupt_reads, interrupt_cycles, lines_read, lines_written, lines_from_dram, data_cycles);
    }
  };

  void request(const vtd::Touched& t) override;
  /// So many bytes of memory, of one page, that a device reads or writes.
  void data(Bdf source, Hpa at, u64 bytes, bool write);
  const std::map<Bdf, Counts>& functions() const { return functions_; }
  void state(Ar& a) { a(functions_); }

 private:
  unsigned lookup_, walk_start_, bytes_per_cycle_;
  cpu::LastLevel& last_;
  std::map<Bdf, Counts> functions_;
};

}  // namespace vt::emu
