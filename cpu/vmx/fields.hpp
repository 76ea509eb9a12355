// SPDX-License-Identifier: GPL-2.0-or-later
/// VMCS fields and where they lie in the VMCS page. The page is the guest's own memory: revision identifier at 0 (bit 31:
/// shadow-VMCS indicator), VMX-abort indicator at 4 (both as the manual places them), launch state at 8, then one 8-byte slot
/// per field in the order of the table (the manual leaves that format to the implementation).
/// SDM 3C "Format of the VMCS Region", "Field Encoding in VMCS"
#pragma once
#include <array>

#include "base/bits.hpp"

namespace vt::cpu {

enum class Width : u8 { w16 = 0, w64 = 1, w32 = 2, natural = 3 };           ///< encoding bits 14:13
enum class Area : u8 { control = 0, exit_info = 1, guest = 2, host = 3 };   ///< encoding bits 11:10
/// The control whose 1-setting brings a field into existence.
enum class Needs : u8 {
  base, secondary, vpid, ept, io_bitmaps, msr_bitmaps, tsc_offsetting, guest_pat, guest_efer, host_pat, host_efer, tpr_shadow, apic_access,
  preemption_timer, pause_loop,
};

enum class Field : u16 {
#define VMCS_FIELD(name, encoding, width, area, needs) name = encoding,
#include "vmx/fields.inc"
#undef VMCS_FIELD
};

struct FieldRow {
  const char* name;
  u16 encoding;
  Width width;
  Area area;
  Needs needs;
};

inline constexpr FieldRow kFields[] = {
#define VMCS_FIELD(name, encoding, width, area, needs) {#name, encoding, Width::width, Area::area, Needs::needs},
#include "vmx/fields.inc"
#undef VMCS_FIELD
};
inline constexpr unsigned kFieldCount = sizeof(kFields) / sizeof(kFields[0]);

namespace vmcs_page {
inline constexpr u32 kRevision = 0x5654'0001;  ///< VMCS revision identifier, bits 30:0
inline constexpr unsigned revision = 0, abort_indicator = 4, launch_state = 8, first_field = 16;
inline constexpr u32 kClear = 0x636c'6561, kLaunched = 0x6c61'756e;  ///< values of launch_state; anything else is neither
}  // namespace vmcs_page
static_assert(vmcs_page::kRevision < 0x8000'0000);

// The table checks itself: the encoding says width and area, the order is the encoding's, bit 0 (access type), bit 12 and bit 15 are zero.
constexpr bool fields_well_formed() {
  for (unsigned i = 0; i < kFieldCount; ++i) {
    const FieldRow& f = kFields[i];
    if (bits(f.encoding, 14, 13) != static_cast<u64>(f.width)) return false;
    if (bits(f.encoding, 11, 10) != static_cast<u64>(f.area)) return false;
    if ((f.encoding & 0x9001) || bits(f.encoding, 9, 1) >= 32) return false;
    if (i && kFields[i - 1].encoding >= f.encoding) return false;
  }
  return true;
}
static_assert(fields_well_formed());
static_assert(vmcs_page::first_field + 8 * kFieldCount <= kPageSize);

/// Width, area and index as a dense number below 512.
constexpr unsigned field_key(u32 encoding) {
  return static_cast<unsigned>(bits(encoding, 14, 13) << 7 | bits(encoding, 11, 10) << 5 | bits(encoding, 5, 1));
}
inline constexpr auto kFieldIndex = [] {
  std::array<u8, 512> a{};
  for (unsigned i = 0; i < kFieldCount; ++i) a[field_key(kFields[i].encoding)] = static_cast<u8>(i + 1);
  return a;
}();
static_assert(kFieldCount < 255);

/// Byte offset of a field in the VMCS page.
constexpr unsigned offset_of(Field f) { return vmcs_page::first_field + 8 * (kFieldIndex[field_key(static_cast<u32>(f))] - 1u); }
constexpr const FieldRow& row_of(Field f) { return kFields[kFieldIndex[field_key(static_cast<u32>(f))] - 1u]; }
constexpr u64 field_mask(Width w) { return w == Width::w16 ? 0xffff : w == Width::w32 ? 0xffff'ffff : ~u64{0}; }

/// The row that an encoding given by software names (bit 0 set: the high half of a 64-bit field); null: no such field.
const FieldRow* find_field(u64 encoding);

/// "Highest index value used for any VMCS encoding": IA32_VMX_VMCS_ENUM bits 9:1.
constexpr unsigned highest_field_index() {
  unsigned n = 0;
  for (const FieldRow& f : kFields) if (unsigned i = static_cast<unsigned>(bits(f.encoding, 9, 1)); i > n) n = i;
  return n;
}

}  // namespace vt::cpu
