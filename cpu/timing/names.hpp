// SPDX-License-Identifier: GPL-2.0-or-later
/// Rows by name, for the tables of classes.cpp and roles.cpp: a VEX form goes by its SSE form's name.
#pragma once
#include <string_view>

#include "cpu/def.hpp"

namespace vt::cpu {

inline bool is_vex(const Def& d) { return std::string_view(d.opcode).starts_with("VEX"); }

/// Without the V of VEX forms, and the first of two: PADDB for VPADDB, BROADCASTSS for VBROADCASTSS, MOVD for VMOVD/VMOVQ; ANDN has no V.
inline std::string_view plain_name(const Def& d) {
  std::string_view n = d.name;
  n = n.substr(0, n.find('/'));
  if (is_vex(d) && n.starts_with('V')) n.remove_prefix(1);
  return n;
}

/// `word` is one of `list`, which has spaces between.
inline bool listed(std::string_view list, std::string_view word) {
  for (std::size_t at = list.find(word); at != list.npos; at = list.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || list[at - 1] == ' ') && (end == list.size() || list[end] == ' ')) return true;
  }
  return false;
}

}  // namespace vt::cpu
