// SPDX-License-Identifier: GPL-2.0-or-later
/// What a harness takes from a fuzzer's bytes; zeros behind their end.
#pragma once
#include "base/types.hpp"

struct Input {
  const vt::u8* p;
  std::size_t n;
  vt::u8 byte() { return n ? (--n, *p++) : vt::u8{0}; }
  vt::u64 bytes(unsigned count) {
    vt::u64 v = 0;
    for (unsigned i = 0; i < count; ++i) v |= vt::u64{byte()} << 8 * i;
    return v;
  }
};
