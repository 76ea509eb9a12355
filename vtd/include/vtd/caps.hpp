// SPDX-License-Identifier: GPL-2.0-or-later
/// What a remapping unit offers. The knobs are those of the platform description; CAP_REG and ECAP_REG
/// are computed from them in one place, so that registers and behaviour cannot disagree.
/// Legacy mode, version 1.0: no scalable mode, no device-TLBs, no posted interrupts.
#pragma once
#include <string>

#include "base/bits.hpp"
#include "base/types.hpp"

namespace vt::vtd {

struct Caps {
  bool agaw_39 = false, agaw_48 = true;   ///< SAGAW: 3- and 4-level tables
  unsigned mgaw = 48;                     ///< MGAW in bits
  unsigned host_address_width = 46;       ///< DMAR "Host Address Width": address bits above it are reserved in entries
  bool superpage_2m = true, superpage_1g = true;  ///< SPS (SLLPS)
  bool caching_mode = false;              ///< CM
  bool coherent = true;                   ///< ECAP.C
  bool queued_invalidation = true;        ///< ECAP.QI
  bool interrupt_remapping = true;        ///< ECAP.IR
  bool extended_interrupt_mode = false;   ///< ECAP.EIM
  bool snoop_control = true;              ///< ECAP.SC
  bool pass_through = true;               ///< ECAP.PT
  bool write_buffer_flush = false;        ///< CAP.RWBF
  bool zero_length_read = true;           ///< CAP.ZLR
  bool plmr = false, phmr = false;        ///< protected low and high memory region
  bool drain_reads = true, drain_writes = true;   ///< CAP.DRD, CAP.DWD
  bool page_selective = true;             ///< CAP.PSI
  unsigned max_address_mask = 18;         ///< CAP.MAMV
  unsigned domain_id_bits = 16;           ///< ND: 4, 6, 8, ... 16
  unsigned fault_records = 1;             ///< NFR + 1
  u32 fault_offset = 0x220;               ///< FRO * 16
  u32 iotlb_offset = 0x100;               ///< IRO * 16: IVA_REG here, IOTLB_REG 8 bytes on
  /// Geometry of the caches: fully associative, replaced in the order of filling. A matter of the
  /// implementation that no register tells.
  unsigned iotlb_entries = 256, context_entries = 64, interrupt_entries = 64;

  constexpr bool levels_supported(unsigned levels) const { return (levels == 3 && agaw_39) || (levels == 4 && agaw_48); }
  /// Bits of an address field above the host address width; reserved in every entry.
  constexpr u64 beyond_host_width() const { return host_address_width >= 52 ? 0 : mask(51, host_address_width); }
  constexpr u64 host_limit() const { return u64{1} << host_address_width; }
  /// The domain-id bits that there are; invalidations ignore the others.
  constexpr u64 domain_mask() const { return mask(domain_id_bits - 1, 0); }
  /// Bytes that the largest leaf at `level` maps, 0 where a leaf cannot stand there.
  constexpr u64 leaf_size(unsigned level) const {
    if (level == 1) return kPageSize;
    if (level == 2 && superpage_2m) return u64{1} << 21;
    if (level == 3 && superpage_1g) return u64{1} << 30;
    return 0;
  }
};

/// Width of an interrupt-entry index mask (ECAP.MHMV): a single invalidation may cover 2^15 entries.
inline constexpr unsigned kMaxHandleMask = 15;
/// Size of the register file. All registers, whatever FRO and IRO say, lie inside.
inline constexpr u64 kRegisterFile = 4096;

struct CapabilityRegisters { u32 ver; u64 cap, ecap; };

/// VT-d "Version Register", "Capability Register", "Extended Capability Register".
constexpr CapabilityRegisters capability_registers(const Caps& c) {
  CapabilityRegisters r{};
  r.ver = 0x10;
  auto put = [](u64& x, unsigned hi, unsigned lo, u64 v) { x = set_bits(x, hi, lo, v); };
  put(r.cap, 2, 0, (c.domain_id_bits - 4) / 2);       // ND
  put(r.cap, 4, 4, c.write_buffer_flush);             // RWBF
  put(r.cap, 5, 5, c.plmr);                           // PLMR
  put(r.cap, 6, 6, c.phmr);                           // PHMR
  put(r.cap, 7, 7, c.caching_mode);                   // CM
  put(r.cap, 9, 9, c.agaw_39);                        // SAGAW bit 1
  put(r.cap, 10, 10, c.agaw_48);                      // SAGAW bit 2
  put(r.cap, 21, 16, c.mgaw - 1);                     // MGAW
  put(r.cap, 22, 22, c.zero_length_read);             // ZLR
  put(r.cap, 33, 24, c.fault_offset / 16);            // FRO
  put(r.cap, 34, 34, c.superpage_2m);                 // SPS
  put(r.cap, 35, 35, c.superpage_1g);
  put(r.cap, 39, 39, c.page_selective);               // PSI
  put(r.cap, 47, 40, c.fault_records - 1);            // NFR
  put(r.cap, 53, 48, c.page_selective ? c.max_address_mask : 0);  // MAMV
  put(r.cap, 54, 54, c.drain_writes);                 // DWD
  put(r.cap, 55, 55, c.drain_reads);                  // DRD
  put(r.ecap, 0, 0, c.coherent);                      // C
  put(r.ecap, 1, 1, c.queued_invalidation);           // QI
  put(r.ecap, 3, 3, c.interrupt_remapping);           // IR
  put(r.ecap, 4, 4, c.extended_interrupt_mode);       // EIM
  put(r.ecap, 6, 6, c.pass_through);                  // PT
  put(r.ecap, 7, 7, c.snoop_control);                 // SC
  put(r.ecap, 17, 8, c.iotlb_offset / 16);            // IRO
  put(r.ecap, 23, 20, c.interrupt_remapping ? kMaxHandleMask : 0);  // MHMV
  return r;
}

/// Why no unit can have these capabilities, in words for the platform's author; empty if one can.
/// Units are made only from capabilities without a defect.
std::string defect(const Caps& caps);

}  // namespace vt::vtd
