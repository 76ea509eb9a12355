// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmx/fields.hpp"

namespace vt::cpu {

const FieldRow* find_field(u64 encoding) {
  // Bits 31:15 and 12 are reserved; in 64-bit mode bits 63:32 of the operand must be zero too.
  // Index bits 9:6 are zero in every field of the table.
  if (encoding & ~u64{0x6c3f}) return nullptr;
  const unsigned n = kFieldIndex[field_key(static_cast<u32>(encoding))];
  if (n == 0) return nullptr;
  const FieldRow& f = kFields[n - 1];
  if (bit(encoding, 0) && f.width != Width::w64) return nullptr;
  return &f;
}

}  // namespace vt::cpu
