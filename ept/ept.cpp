// SPDX-License-Identifier: GPL-2.0-or-later
#include "ept/ept.hpp"

namespace vt::ept {

bool valid(const Caps& caps, Eptp eptp) {
  if (bits(eptp.v, 5, 3) != 3) return false;                                        // a walk of four levels
  if (eptp.type() != MemType::UC && eptp.type() != MemType::WB) return false;
  if (eptp.ad() && !caps.accessed_dirty) return false;
  if (bits(eptp.v, 11, 7)) return false;
  return (eptp.v >> caps.physical_address_bits) == 0;
}

bool Entry::misconfigured(unsigned level, const Caps& caps) const {
  const Access a = access();
  if (a.w() && !a.r()) return true;
  if (a.x() && !a.r() && !caps.execute_only) return true;
  if ((v & mask(51, 12)) >> caps.physical_address_bits) return true;
  if (!leaf(level)) return bits(v, level == 4 ? 7 : 6, 3) != 0;
  if (level > 1 && (level == 3 ? !caps.page_1g : !caps.page_2m)) return true;
  if (level > 1 && bits(v, level == 3 ? 29 : 20, 12)) return true;
  return emt() == 2 || emt() == 3 || emt() == 7;
}

}  // namespace vt::ept
