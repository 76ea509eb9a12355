// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/archive.hpp"

#include <xxhash.h>

#include <cstdio>

#include "base/check.hpp"

namespace vt {

struct HashAr::Impl { XXH3_state_t* state; };

HashAr::HashAr() : impl_(new Impl{XXH3_createState()}) {
  CHECK(impl_->state);
  XXH3_128bits_reset(impl_->state);
}
HashAr::~HashAr() { XXH3_freeState(impl_->state); }
void HashAr::bytes(void* p, std::size_t n) { XXH3_128bits_update(impl_->state, p, n); }
std::string HashAr::hex() const {
  XXH128_hash_t h = XXH3_128bits_digest(impl_->state);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(h.high64),
                static_cast<unsigned long long>(h.low64));
  return text;
}

}  // namespace vt
