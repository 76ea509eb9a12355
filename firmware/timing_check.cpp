// SPDX-License-Identifier: GPL-2.0-or-later
/// What a profile has to fulfil to be built: sizes and sets, and numbers that the models divide by or reserve memory for.
#include "timing_check.hpp"

#include <bit>

#include "firmware/timing.hpp"

namespace vt::fw {
namespace {

constexpr unsigned kMostLatency = 100'000, kMostEntries = 65'536;
constexpr u64 kLine = 64, kMostCache = u64{1} << 30;

class Check {
 public:
  explicit Check(const ProfileFail& fail) : fail_(fail) {}

  void between(const std::string& field, u64 value, u64 least, u64 most) {
    if (value < least || value > most) fail_(field, fmt::format("{}; {} to {} are possible", value, least, most));
  }
  void latency(const std::string& field, u64 value) { between(field, value, 0, kMostLatency); }

  /// SDM 3A "Internal Caches, TLBs, and Buffers": so many ways, and a set is found by bits of the address.
  void cache(const std::string& field, const timing::Cache& c) {
    if (!c.ways) fail_(field + ".ways", "0; a cache has at least one way");
    between(field + ".ways", c.ways, 1, 64);
    if (!c.size || c.size > kMostCache) fail_(field + ".size", fmt::format("{}; one line (64) to 1G are possible", c.size));
    if (c.size % (kLine * c.ways)) fail_(field + ".size", fmt::format("{} is not a whole number of sets of {} lines of 64 bytes", c.size, c.ways));
    const u64 sets = c.size / (kLine * c.ways);
    if (!std::has_single_bit(sets)) fail_(field + ".size", fmt::format("{} in {} ways are {} sets, which is no power of two", c.size, c.ways, sets));
    if (sets < 16) fail_(field + ".size", fmt::format("{} in {} ways are {} sets; 16 at least are possible", c.size, c.ways, sets));
    latency(field + ".latency", c.latency);
  }
  void tlb(const std::string& field, const timing::TlbShape& t) {
    if (!t.entries) return;
    between(field + ".entries", t.entries, 0, kMostEntries);
    if (!t.ways) fail_(field + ".ways", "0, with entries; a TLB that there is not has 0 entries");
    if (t.entries % t.ways) fail_(field + ".entries", fmt::format("{} is not a multiple of the {} ways", t.entries, t.ways));
    if (const unsigned sets = t.entries / t.ways; !std::has_single_bit(sets))
      fail_(field + ".entries", fmt::format("{} in {} ways are {} sets, which is no power of two", t.entries, t.ways, sets));
  }
  void rising(const std::string& field, unsigned inner, const std::string& outer_field, unsigned outer) {
    if (outer < inner) fail_(outer_field, fmt::format("{} is less than {}, {}", outer, field, inner));
  }
  void ports(const std::string& field, unsigned mask) { if (!mask) fail_(field, "names no port"); }

 private:
  const ProfileFail& fail_;
};

}  // namespace

void check_profile(const timing::Profile& p, const ProfileFail& fail) {
  Check c(fail);
  c.between("clock.mhz", p.mhz, 1, 60'000);   // make_model() takes a TSC of 65 GHz
  c.cache("caches.l1i", p.l1i);
  c.cache("caches.l1d", p.l1d);
  c.cache("caches.l2", p.l2);
  c.cache("caches.llc", p.llc);
  c.latency("caches.dram", p.dram);
  c.rising("caches.l1i.latency", p.l1i.latency, "caches.l2.latency", p.l2.latency);
  c.rising("caches.l1d.latency", p.l1d.latency, "caches.l2.latency", p.l2.latency);
  c.rising("caches.l2.latency", p.l2.latency, "caches.llc.latency", p.llc.latency);
  c.rising("caches.llc.latency", p.llc.latency, "caches.dram", p.dram);
  c.between("caches.exposed_percent", p.exposed_percent, 0, 100);

  c.tlb("tlb.itlb_4k", p.itlb_4k);
  c.tlb("tlb.itlb_2m", p.itlb_2m);
  c.tlb("tlb.dtlb_4k", p.dtlb_4k);
  c.tlb("tlb.dtlb_2m", p.dtlb_2m);
  c.tlb("tlb.dtlb_1g", p.dtlb_1g);
  c.tlb("tlb.stlb", p.stlb);
  c.tlb("tlb.stlb_1g", p.stlb_1g);
  c.latency("tlb.stlb_hit", p.stlb_hit);
  c.latency("tlb.walk_start", p.walk_start);
  c.between("tlb.pml4_entries", p.pml4_entries, 0, 1024);   // searched one by one
  c.between("tlb.pdpt_entries", p.pdpt_entries, 0, 1024);
  c.between("tlb.pde_entries", p.pde_entries, 0, 1024);
  c.between("tlb.nested_entries", p.nested_entries, 0, 1024);

  c.between("branches.history_bits", p.history_bits, 0, 64);
  c.between("branches.predictor_log2", p.predictor_log2, 1, 24);
  c.tlb("branches.btb", {p.btb_entries, p.btb_ways});
  c.between("branches.return_stack", p.return_stack, 0, 256);
  c.latency("branches.mispredict", p.mispredict);

  c.between("core.width", p.width, 1, 64);
  c.between("core.retire_width", p.retire_width, 1, 64);
  c.between("core.rob", p.rob, p.width, 8192);
  c.between("core.load_buffer", p.load_buffer, 1, 8192);
  c.between("core.store_buffer", p.store_buffer, 1, 8192);
  c.ports("core.ports_load", p.ports_load);
  c.ports("core.ports_store_address", p.ports_store_address);
  c.ports("core.ports_store_data", p.ports_store_data);
  c.latency("core.forward", p.forward);
  c.latency("core.forward_slow", p.forward_slow);
  c.latency("core.forward_blocked", p.forward_blocked);
  c.between("core.string_bytes_per_cycle", p.string_bytes_per_cycle, 1, 4096);

  for (auto [field, value] : {std::pair{"interrupt", p.interrupt}, {"exception", p.exception}, {"vm_entry", p.vm_entry}, {"vm_exit", p.vm_exit},
                              {"vmcs_cold", p.vmcs_cold}, {"port_io", p.port_io}, {"mmio", p.mmio}, {"apic_mmio", p.apic_mmio}})
    c.latency(std::string("events.") + field, value);
  c.latency("vtd.iotlb_hit", p.iotlb_hit);
  c.latency("vtd.walk_start", p.vtd_walk_start);
  c.between("vtd.dma_bytes_per_cycle", p.dma_bytes_per_cycle, 1, 4096);

  for (std::size_t n = 0; n < p.op.size(); ++n) {
    const std::string field = std::string("op.") + op_name(static_cast<timing::OpClass>(n));
    const timing::OpCost& o = p.op[n];
    if (o.ports && !o.busy) fail(field + ".busy", "0; a port is taken for at least one cycle");
    c.between(field + ".serialize", o.serialize, 0, 1);
  }
}

}  // namespace vt::fw
