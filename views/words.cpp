// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/words.hpp"

#include <cstdio>

namespace vt::views {

std::vector<Words::Inlined> Words::frames(u64 address) const {
  std::string name = function(address);
  if (name.empty()) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
    name = text;
  }
  return {{name, source(address)}};
}

std::vector<u64> frames(const History& h, const Event& e) {
  std::vector<u64> all;
  if (e.rip) all.push_back(e.rip);
  for (u64 a : h.chains.chain(e.chain)) all.push_back(a - 1);   // within the CALL
  return all;
}

Origin origin(const History& h, const Event& e, const Words& words) {
  const std::vector<u64> all = frames(h, e);
  if (all.empty()) return {"device", 0, {}};
  std::optional<Origin> first;
  for (u64 address : all) {
    const auto here = words.frames(address);
    if (!first) first = Origin{here[0].function, address, here[0].source};
    // What is inlined in a function that only carries out is part of it.
    std::size_t from = 0;
    for (std::size_t i = 0; i < here.size(); ++i) if (words.carries_out(here[i])) from = i + 1;
    if (from == here.size()) continue;
    // Small helpers in headers say nothing.
    while (from + 1 < here.size() && here[from].source.file.ends_with(".h")) ++from;
    return {here[from].function, address, here[from].source};
  }
  return *first;
}

}  // namespace vt::views
