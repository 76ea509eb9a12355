// SPDX-License-Identifier: GPL-2.0-or-later
/// What a processor of this model offers of EPT, for walkers outside the processor.
#pragma once
#include "cpu/model.hpp"
#include "ept/ept.hpp"

namespace vt::cpu {
ept::Caps ept_caps(const CpuModel& model);
}
