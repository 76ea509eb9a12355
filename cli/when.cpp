// SPDX-License-Identifier: GPL-2.0-or-later
#include "when.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "names.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
constexpr const char* kForms = "a step number, console:'text', exit#N, exit:NAME (exit:ept-violation) or entry#N";

u64 count(std::string_view digits, std::string_view whole) {
  auto n = parse_number(digits);
  if (!n || !*n) throw UsageError(fmt::format("--until {}: a count from 1 on has to follow the '#'", whole));
  return *n;
}
}  // namespace

When parse_when(std::string_view s) {
  When w;
  if (s.empty()) return w;
  w.text = s;
  if (s.starts_with("console:")) {
    std::string_view t = s.substr(8);
    if (t.size() >= 2 && (t.front() == '\'' || t.front() == '"') && t.back() == t.front()) t = t.substr(1, t.size() - 2);
    if (t.empty()) throw UsageError("--until console:'text': the text is empty");
    w.kind = When::Kind::console;
    w.text = t;
    return w;
  }
  if (s.starts_with("exit#")) { w.kind = When::Kind::exit_count; w.number = count(s.substr(5), s); return w; }
  if (s.starts_with("entry#")) { w.kind = When::Kind::entry_count; w.number = count(s.substr(6), s); return w; }
  if (s.starts_with("exit:")) {
    auto n = exit_number(s.substr(5));
    if (!n) {
      std::string all;
      for (unsigned r = 0; r < kExitReasons; ++r)
        if (std::string name = exit_name(r); !name.starts_with("exit-")) all += (all.empty() ? "" : ", ") + name;
      throw UsageError(fmt::format("--until {}: no such VM exit; there are {}", s, all));
    }
    w.kind = When::Kind::exit_name;
    w.number = *n;
    return w;
  }
  if (s.starts_with("sym:")) throw UsageError(fmt::format("--until {}: stopping at a symbol is not in this version; there is {}", s, kForms));
  if (s.ends_with("%") || s == "end") throw UsageError(fmt::format("--until {}: only finished runs know that; there is {}", s, kForms));
  if (auto n = parse_number(s)) { w.kind = When::Kind::step; w.number = *n; return w; }
  throw UsageError(fmt::format("--until {}: not a time; give {}", s, kForms));
}

std::string run_at_end(const std::string& s) {
  auto at = s.rfind('@');
  if (at == s.npos || std::filesystem::exists(s)) return s;
  if (s.substr(at + 1) == "end") return s.substr(0, at);
  throw UsageError(fmt::format("{}: this version answers questions about the end of a run only; run again with --until {}", s, s.substr(at + 1)));
}

}  // namespace vt::cli
