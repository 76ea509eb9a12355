// SPDX-License-Identifier: GPL-2.0-or-later
#include "vtd/caps.hpp"

#include "vtd/registers.hpp"

namespace vt::vtd {

namespace {
/// Do [a, a+n) and a register of the fixed table meet?
const Reg* fixed_register_in(u64 a, u64 n) {
  for (const Reg& x : kRegs)
    if (a < u64{x.offset} + x.size && x.offset < a + n) return &x;
  return nullptr;
}
}  // namespace

std::string defect(const Caps& c) {
  if (!c.agaw_39 && !c.agaw_48) return "no address width is offered: SAGAW needs 39 or 48";
  if (c.mgaw < 30 || c.mgaw > 48) return "MGAW must be 30 to 48 bits";
  if (c.mgaw > (c.agaw_48 ? 48u : 39u)) return "MGAW is more than the widest tables of SAGAW translate";
  if (c.host_address_width < 32 || c.host_address_width > 52) return "the host address width must be 32 to 52 bits";
  if (c.domain_id_bits < 4 || c.domain_id_bits > 16 || c.domain_id_bits % 2) return "domain-ids have 4, 6, 8, ... 16 bits";
  if (c.max_address_mask > 36) return "MAMV must be at most 36: no address has more pages";
  if (c.interrupt_remapping && !c.queued_invalidation) return "interrupt remapping needs queued invalidation";
  if (c.extended_interrupt_mode && !c.interrupt_remapping) return "extended interrupt mode needs interrupt remapping";
  if (c.fault_records < 1 || c.fault_records > 256) return "there are 1 to 256 fault records";
  if (c.fault_offset % 16 || c.iotlb_offset % 16) return "fault records and IOTLB registers stand at multiples of 16";
  u64 faults = u64{16} * c.fault_records;
  if (c.fault_offset + faults > kRegisterFile) return "the fault records end beyond the register page";
  if (u64{c.iotlb_offset} + 16 > kRegisterFile) return "the IOTLB registers end beyond the register page";
  if (const Reg* x = fixed_register_in(c.fault_offset, faults)) return std::string("the fault records overlap ") + x->name;
  if (const Reg* x = fixed_register_in(c.iotlb_offset, 16)) return std::string("the IOTLB registers overlap ") + x->name;
  if (c.fault_offset < c.iotlb_offset + 16 && c.iotlb_offset < c.fault_offset + faults) return "the IOTLB registers overlap the fault records";
  if (!c.iotlb_entries || !c.context_entries || !c.interrupt_entries) return "a cache needs at least one entry";
  if (c.iotlb_entries > 65536 || c.context_entries > 65536 || c.interrupt_entries > 65536) return "a cache has at most 65536 entries";
  return {};
}

}  // namespace vt::vtd
