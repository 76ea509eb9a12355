// SPDX-License-Identifier: GPL-2.0-or-later
/// VT-d "Capability Register", "Extended Capability Register": from bits to the description's fields.
#include "base/bits.hpp"
#include "facts.hpp"

namespace vt::fw::import {
namespace {

struct Bits { u8 high, low; const char* name; };

/// What the description has no field for; set bits of these are reported by name, all others by number.
constexpr Bits kCap[] = {{3, 3, "AFL"}, {23, 23, "ISOCH"}, {56, 56, "FL1GP"}, {59, 59, "PI"}, {60, 60, "FL5LP"}, {62, 62, "ESIRTPS"}, {63, 63, "ESRTPS"}};
constexpr Bits kEcap[] = {{2, 2, "DT"}, {24, 24, "ECS"}, {25, 25, "MTS"}, {26, 26, "NEST"}, {27, 27, "DIS"}, {28, 28, "PASID (old)"}, {29, 29, "PRS"}, {30, 30, "ERS"},
                           {31, 31, "SRS"}, {33, 33, "NWFS"}, {34, 34, "EAFS"}, {39, 35, "PSS"}, {40, 40, "PASID"}, {41, 41, "DIT"}, {42, 42, "PDS"}, {43, 43, "SMTS"},
                           {44, 44, "VCS"}, {45, 45, "SSADS"}, {46, 46, "SSTS"}, {47, 47, "FSTS"}, {48, 48, "SMPWCS"}, {49, 49, "RPS"}, {51, 51, "PMS"},
                           {52, 52, "ABMCS"}, {53, 53, "RPRIVS"}};

template <std::size_t N>
void report(const char* reg, u64 left, const Bits (&names)[N], const std::string& from, u64 unit, Facts& f) {
  std::string all;
  auto add = [&](const std::string& t) { all += (all.empty() ? "" : ", ") + t; };
  for (const Bits& b : names) {
    if (!(left & mask(b.high, b.low))) continue;
    add(b.high == b.low ? b.name : fmt::format("{}={:#x}", b.name, bits(left, b.high, b.low)));
    left &= ~mask(b.high, b.low);
  }
  for (unsigned i = 0; i < 64; ++i) if (left >> i & 1) add(fmt::format("bit {}", i));
  if (!all.empty()) f.note(Kind::not_carried, from, "unit {:#x}: {} says {}: not modelled", unit, reg, all);
}

}  // namespace

void decode_capabilities(Drhd& d, u64 cap, u64 ecap, const std::string& from, Facts& f) {
  auto bit = [](u64 x, unsigned n) { return (x >> n & 1) != 0; };
  auto say = [&](Kind k, const std::string& what) { f.note(k, from, "unit {:#x}: {}", d.address, what); };
  unsigned nd = static_cast<unsigned>(bits(cap, 2, 0));
  d.domain_id_bits = nd < 7 ? 4 + 2 * nd : 16;
  if (nd == 7) say(Kind::conflict, "CAP_REG.ND is 7, which is reserved; 16 bits are taken");
  d.write_buffer_flush = bit(cap, 4);
  d.plmr = bit(cap, 5), d.phmr = bit(cap, 6);
  d.caching_mode = bit(cap, 7);
  const unsigned sagaw = static_cast<unsigned>(bits(cap, 12, 8));
  d.sagaw.clear();
  if (sagaw & 2) d.sagaw.push_back(39);
  if (sagaw & 4) d.sagaw.push_back(48);
  if (sagaw & ~6u) say(Kind::not_carried, fmt::format("CAP_REG.SAGAW {:#x}: widths other than 39 and 48 are not modelled", sagaw));
  if (d.sagaw.empty()) {
    d.sagaw = {48};
    say(Kind::conflict, "CAP_REG.SAGAW offers neither 39 nor 48 bits; 48 are taken");
  }
  d.mgaw = static_cast<unsigned>(bits(cap, 21, 16)) + 1;
  if (d.mgaw > d.sagaw.back() || d.mgaw < 30) {
    say(Kind::not_carried, fmt::format("CAP_REG.MGAW is {} bits; {} are taken, what its tables translate", d.mgaw, d.sagaw.back()));
    d.mgaw = d.sagaw.back();
  }
  d.zero_length_read = bit(cap, 22);
  d.fault_offset = static_cast<u32>(bits(cap, 33, 24) * 16);
  d.superpage_2m = bit(cap, 34), d.superpage_1g = bit(cap, 35);
  if (!bit(cap, 39)) say(Kind::not_carried, "CAP_REG.PSI is clear; page-selective invalidation is always modelled");
  d.fault_records = static_cast<unsigned>(bits(cap, 47, 40)) + 1;
  d.drain_writes = bit(cap, 54), d.drain_reads = bit(cap, 55);
  if (const u64 mamv = bits(cap, 53, 48); bit(cap, 39) && mamv != 18) say(Kind::not_carried, fmt::format("CAP_REG.MAMV is {}; 18 is modelled", mamv));
  const u64 cap_known = mask(2, 0) | mask(7, 4) | mask(12, 8) | mask(22, 16) | mask(35, 24) | mask(55, 39);
  report("CAP_REG", cap & ~cap_known, kCap, from, d.address, f);

  d.coherent = bit(ecap, 0), d.queued_invalidation = bit(ecap, 1);
  d.interrupt_remapping = bit(ecap, 3), d.extended_interrupt_mode = bit(ecap, 4);
  d.pass_through = bit(ecap, 6), d.snoop_control = bit(ecap, 7);
  d.iotlb_offset = static_cast<u32>(bits(ecap, 17, 8) * 16);
  if (d.interrupt_remapping && !d.queued_invalidation) {
    d.interrupt_remapping = d.extended_interrupt_mode = false;
    say(Kind::conflict, "ECAP_REG.IR without QI; interrupt remapping is left out");
  }
  if (d.extended_interrupt_mode && !d.interrupt_remapping) {
    d.extended_interrupt_mode = false;
    say(Kind::conflict, "ECAP_REG.EIM without IR; it is left out");
  }
  if (const u64 mhmv = bits(ecap, 23, 20); d.interrupt_remapping && mhmv != 15) say(Kind::not_carried, fmt::format("ECAP_REG.MHMV is {}; 15 is modelled", mhmv));
  const u64 ecap_known = mask(1, 0) | mask(4, 3) | mask(7, 6) | mask(17, 8) | mask(23, 20);
  report("ECAP_REG", ecap & ~ecap_known, kEcap, from, d.address, f);

  // Registers that would lie in the page's fixed part, or on each other, belong to a cut-off or mangled line.
  const u32 fault_end = d.fault_offset + 16 * d.fault_records;
  const bool fault = d.fault_offset >= 0xc0 && fault_end <= 0x1000, iotlb = d.iotlb_offset >= 0xc0 && d.iotlb_offset + 16 <= 0x1000;
  if (!fault || !iotlb || (d.iotlb_offset < fault_end && d.fault_offset < d.iotlb_offset + 16)) {
    say(Kind::conflict, fmt::format("fault records at {:#x} ({}) and IOTLB registers at {:#x} fit in no register page; the defaults are taken", d.fault_offset, d.fault_records, d.iotlb_offset));
    const Drhd usual;
    d.fault_offset = usual.fault_offset, d.fault_records = usual.fault_records, d.iotlb_offset = usual.iotlb_offset;
  }
}

}  // namespace vt::fw::import
