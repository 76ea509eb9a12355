// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/generate.hpp"

#include "judge/maker.hpp"

namespace vt::judge {

Case make_case(const Class& c, u64 seed, u64 number) { return Maker(c, seed, number).make(); }

}  // namespace vt::judge
