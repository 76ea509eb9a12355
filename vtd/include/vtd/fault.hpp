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
inline constexpr u8 posted_access = 0x27;
inline constexpr u8 posted_reserved = 0x28;
}  // namespace fault

/// The specification's list for legacy mode. A qualified fault is not recorded where the entry's FPD is set; the others always are.
struct FaultReason {
  u8 code;
  bool qualified;
  const char* text;                 ///< one line for people
  const char* absent = nullptr;     ///< why no request can come to it; null: it is modelled
};
inline constexpr FaultReason kFaultReasons[] = {
  {fault::root_not_present,          false, "the present bit of the root entry is clear"},
  {fault::context_not_present,       true,  "the present bit of the context entry is clear"},
  {fault::context_invalid,           true,  "invalid programming of the context entry"},
  {fault::beyond_width,              true,  "the address is beyond the address width of the unit or of the context entry"},
  {fault::write_denied,              true,  "a write without write permission in the second-level entries"},
  {fault::read_denied,               true,  "a read without read permission in the second-level entries"},
  {fault::paging_entry_access,       true,  "the next-level paging table cannot be read"},
  {fault::root_table_access,         false, "the root table cannot be read"},
  {fault::context_table_access,      false, "the context table cannot be read"},
  {fault::root_reserved,             false, "a reserved bit is set in a present root entry"},
  {fault::context_reserved,          true,  "a reserved bit is set in a present context entry"},
  {fault::paging_reserved,           true,  "a reserved bit is set in a present second-level entry"},
  {fault::translation_type_blocked,  true,  "a translated or translation request is blocked by the context entry's type", "no device sends such requests: ECAP.DT is clear"},
  {fault::output_in_interrupt_range, true,  "the translated address lies in the interrupt address range"},
  {fault::ir_request_reserved,       false, "a reserved field of a remappable interrupt request is set"},
  {fault::ir_index_beyond_table,     false, "the interrupt index is beyond the interrupt remapping table"},
  {fault::irte_not_present,          true,  "the present bit of the interrupt remapping entry is clear"},
  {fault::irt_access,                false, "the interrupt remapping table cannot be read"},
  {fault::irte_reserved,             true,  "a reserved field is set in a present interrupt remapping entry"},
  {fault::ir_compatibility_blocked,  false, "an interrupt request in compatibility format is blocked"},
  {fault::ir_source_mismatch,        true,  "the interrupt's source fails the entry's source validation"},
  {fault::posted_access,             true,  "the posted interrupt descriptor cannot be read", "posting is not offered: ECAP.PI is clear, such entries are 24H"},
  {fault::posted_reserved,           true,  "a reserved field is set in a posted interrupt descriptor", "posting is not offered"},
};

constexpr bool qualified(u8 reason) {
  for (const FaultReason& f : kFaultReasons) if (f.code == reason) return f.qualified;
  return true;
}

constexpr bool interrupt_fault(u8 reason) { return reason >= 0x20 && reason <= 0x28; }

/// One line for people; "unknown fault reason" for what the table does not have.
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
inline constexpr u64 kInterruptRange = 0xfee0'0000;
constexpr bool in_interrupt_range(u64 at) { return at >> 20 == kInterruptRange >> 20; }

}  // namespace vt::vtd
