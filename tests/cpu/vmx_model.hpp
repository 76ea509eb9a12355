// SPDX-License-Identifier: GPL-2.0-or-later
/// A model with everything that VMX looks at, independent of the named models.
#pragma once
#include "cpu/model.hpp"

namespace vt::cpu {

inline CpuModel vmx_model() {
  CpuModel m;
  m.features.set();
  m.physical_address_bits = 46;
  return m;
}
inline CpuModel without(CpuModel m, Feature f) {
  m.features.reset(static_cast<std::size_t>(f));
  return m;
}

}  // namespace vt::cpu
