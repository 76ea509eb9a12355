// SPDX-License-Identifier: GPL-2.0-or-later
/// What one request made a unit look at: which of its caches knew, and what it read from memory. For whoever counts and prices it; the unit
/// itself does the same whether anybody listens or not.
#pragma once
#include <array>

#include "base/types.hpp"

namespace vt::vtd {

enum class Lookup : u8 { none, hit, miss };   ///< none: the request never came that far

struct Touched {
  Bdf source;
  bool interrupt = false;                      ///< through the interrupt remapping table; else DMA
  Lookup context = Lookup::none, iotlb = Lookup::none, interrupt_entry = Lookup::none;
  u8 context_reads = 0, table_reads = 0, interrupt_reads = 0;   ///< root and context entries; second-level entries; interrupt entries
  std::array<Hpa, 6> at{};                     ///< where they stand, in the order in which they were read
  unsigned reads() const { return unsigned{context_reads} + table_reads + interrupt_reads; }
  void read(Hpa entry, u8& kind) { at[reads()] = entry, ++kind; }
};

class RequestListener {
 public:
  virtual ~RequestListener() = default;
  /// After each request, refused ones as well.
  virtual void request(const Touched& t) = 0;
};

}  // namespace vt::vtd
