// SPDX-License-Identifier: GPL-2.0-or-later
/// Little-endian bytes, appended or patched: how tables and info structures are written.
#pragma once
#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace vt::fw {

struct Bytes {
  std::vector<u8> b;

  Bytes() = default;
  explicit Bytes(std::size_t n) : b(n) {}
  std::size_t size() const { return b.size(); }
  void le(u64 v, unsigned n) { for (unsigned i = 0; i < n; ++i) b.push_back(static_cast<u8>(v >> (8 * i))); }
  void b8(u64 v) { le(v, 1); }
  void b16(u64 v) { le(v, 2); }
  void b32(u64 v) { le(v, 4); }
  void b64(u64 v) { le(v, 8); }
  void zeros(std::size_t n) { b.resize(b.size() + n); }
  void align(std::size_t a) { while (b.size() % a) b.push_back(0); }
  /// Exactly `n` bytes, padded with `pad`.
  void text(std::string_view s, std::size_t n, char pad = ' ') {
    for (std::size_t i = 0; i < n; ++i) b.push_back(static_cast<u8>(i < s.size() ? s[i] : pad));
  }
  void cstr(std::string_view s) { b.insert(b.end(), s.begin(), s.end()); b.push_back(0); }
  void append(std::span<const u8> s) { b.insert(b.end(), s.begin(), s.end()); }
  void put(std::size_t at, u64 v, unsigned n) { for (unsigned i = 0; i < n; ++i) b[at + i] = static_cast<u8>(v >> (8 * i)); }
};

/// What has to be stored in a zero checksum byte so that all of `s` adds up to 0.
inline u8 checksum(std::span<const u8> s) { return static_cast<u8>(-std::accumulate(s.begin(), s.end(), 0u)); }

inline u64 get_le(std::span<const u8> s, std::size_t at, unsigned n) {
  u64 v = 0;
  for (unsigned i = n; i-- > 0;) v = v << 8 | s[at + i];
  return v;
}

}  // namespace vt::fw
