// SPDX-License-Identifier: GPL-2.0-or-later
/// Operands of what loads segment registers and transfers far: selectors of the host's tables, good ones and others.
/// SDM 3A "Segment Selectors", "Segment Registers"
#include "judge/maker.hpp"

namespace vt::judge {

u16 Maker::selector(bool code) {
  static constexpr u16 kCodes[] = {0x23, 0x33, local_selector(0), local_selector(10)};
  const auto local = static_cast<unsigned>(kLocalSegments.size());
  u16 s = 0;
  const unsigned n = o_.below(20);
  if (n < 11) s = code ? kCodes[o_.below(4)] : o_.one_in(5) ? u16{0x2b} : local_selector(1 + o_.below(6));
  else if (n < 13) s = code ? local_selector(1 + o_.below(6)) : kCodes[o_.below(4)];
  else if (n < 14) s = static_cast<u16>(o_.below(4));                                 // null
  else if (n < 16) s = local_selector(7 + o_.below(5));
  else if (n < 17) s = static_cast<u16>(o_.below(15) << 3 | o_.below(4));             // the last one is not the same on all of the host's processors
  else if (n < 18) s = static_cast<u16>(local_selector(local + o_.below(8000)));      // beyond the table
  else if (n < 19) s = static_cast<u16>(0x80 + (o_.below(8000) << 3) + 3);
  else s = static_cast<u16>(o_.below(local) << 3 | 4 | o_.below(4));                  // another RPL
  if ((s & 0xfff4) >= 0x40 && (s & 0xfff4) < 0x60 && listed("LAR LSL VERR VERW", name_)) s = 0x2b;  // the host's own are larger
  return s;
}

u64 Maker::far_offset(u16 s) {
  const bool based = s == local_selector(0) || s == local_selector(10);
  const u64 at = kCode + 0xa000 + o_.below(0x5000);
  if (o_.one_in(16)) return based ? o_.below(0x20000) : kRegion + o_.below(0x30000);
  if (o_.one_in(24)) return (o_.one_in(2) ? kNonCanonical : 0) + o_.below(0x1000);
  return based ? at - kCodeBase16 : at;
}

void Maker::store(u64 linear, const std::vector<std::pair<u64, unsigned>>& values) {
  Patch p{linear, {}};
  for (auto& [v, n] : values) for (unsigned k = 0; k < n; ++k) p.bytes.push_back(static_cast<u8>(v >> 8 * k));
  c_.memory.push_back(std::move(p));
}

void Maker::far_stack(unsigned size) {
  const u64 at = code_ == 2 ? c_.start.r[4] : linear_of(cpu::SS, code_ == 0 ? c_.start.r[4] & 0xffff : c_.start.r[4]);
  const u64 above = o_.bits() << 16;  // does not count
  if (name_ == "POP") return store(at, {{selector(false) | above, size}});
  if (!listed("RETF IRET", name_)) return;
  const u16 cs = selector(true);
  // AC from a misaligned stack is an alignment check while AC is still clear, which hosts that are guests themselves take for a split lock, for ever.
  const u64 flags = (o_.bits() & cpu::rflags::kArith) | (o_.one_in(4) && !(at & 7) ? cpu::rflags::AC : 0) | (o_.one_in(4) ? cpu::rflags::DF : 0) | 0x202;
  store(at, {{far_offset(cs), size}, {cs | above, size}, {flags, size}, {stack_place(), size}, {(o_.one_in(2) ? u16{0x2b} : selector(false)) | above, size}});
}

void Maker::far_operand(bool memory, unsigned rm, u64 linear, unsigned size) {
  const bool pointer = listed("JMPF CALLF LES LDS LSS LFS LGS", name_);
  const u16 s = selector(listed("JMPF CALLF", name_));
  if (!memory) c_.start.r[rm] = (c_.start.r[rm] & ~u64{0xffff}) | s;
  else if (pointer) store(linear, {{far_offset(s), size}, {s, 2}});
  else store(linear, {{s, 2}});
}

}  // namespace vt::judge
