// SPDX-License-Identifier: GPL-2.0-or-later
/// Fault reasons and the format of fault records.   VT-d "Fault Reason Encodings", "Fault Recording Registers"
#pragma once
#include "base/bits.hpp"
#include "base/types.hpp"

namespace vt::vtd {

namespace fault {
inline constexpr u8 none = 0;
inline constexpr u8 root_not_present = 0x01;
inline constexpr u8 context_not_present = 0x02;
inline constexpr u8 context_invalid = 0x03;
inline constexpr u8 beyond_width = 0x04;
inline constexpr u8 write_denied = 0x05;
inline constexpr u8 read_denied = 0x06;
inline constexpr u8 paging_entry_access = 0x07;
inline constexpr u8 root_table_access = 0x08;
inline constexpr u8 context_table_access = 0x09;
inline constexpr u8 root_reserved = 0x0a;
inline constexpr u8 context_reserved = 0x0b;
inline constexpr u8 paging_reserved = 0x0c;
inline constexpr u8 translation_type_blocked = 0x0d;
inline constexpr u8 output_in_interrupt_range = 0x0e;
inline constexpr u8 ir_request_reserved = 0x20;
inline constexpr u8 ir_index_beyond_table = 0x21;
inline constexpr u8 irte_not_present = 0x22;
inline constexpr u8 irt_access = 0x23;
inline constexpr u8 irte_reserved = 0x24;
inline constexpr u8 ir_compatibility_blocked = 0x25;
inline constexpr u8 ir_source_mismatch = 0x26;
}  // namespace fault

/// A qualified fault is not recorded where the entry's FPD is set; the others always are.
constexpr bool qualified(u8 reason) {
  switch (reason) {
    case fault::root_not_present: case fault::root_table_access: case fault::context_table_access: case fault::root_reserved:
    case fault::ir_request_reserved: case fault::ir_index_beyond_table: case fault::irt_access: case fault::ir_compatibility_blocked:
      return false;
    default: return true;
  }
}

constexpr bool interrupt_fault(u8 reason) { return reason >= 0x20 && reason <= 0x26; }

/// One line for people, in the words of the specification; "unknown fault reason" for the rest.
const char* fault_text(u8 reason);

/// A 128-bit record. FI: the page of the address, or for interrupt requests the index in bits 63:48.
struct FaultRecord {
  u64 lo = 0, hi = 0;
  static constexpr u64 kF = u64{1} << 63;   ///< in `hi`
  static constexpr FaultRecord make(Bdf source, u64 info, u8 reason, bool read) {
    return {info, kF | u64{read} << 62 | u64{reason} << 32 | source.v};
  }
  constexpr bool pending() const { return hi & kF; }
  constexpr bool read() const { return bit(hi, 62); }
  constexpr u8 reason() const { return static_cast<u8>(bits(hi, 39, 32)); }
  constexpr Bdf source() const { return Bdf(static_cast<u16>(hi)); }
  constexpr u64 page() const { return lo & kPageMask; }
  constexpr u16 interrupt_index() const { return static_cast<u16>(lo >> 48); }
};

/// Where the interrupt address range lies: 0xFEE0'0000 to 0xFEEF'FFFF.   VT-d "Handling Requests to Interrupt Address Range"
constexpr bool in_interrupt_range(u64 at) { return (at >> 20) == 0xfee; }

}  // namespace vt::vtd
