// SPDX-License-Identifier: GPL-2.0-or-later
#include "when.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "names.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
constexpr const char* kForms = "a step number, console:'text', exit#N, exit:NAME (exit:ept-violation), entry#N or sym:NAME[#n]";

/// `before`: what stands before the time in messages.
struct Parser {
  std::string before;
  std::string_view s;
  bool finished;       ///< the run is: % and end are known

  [[noreturn]] void refuse(const std::string& why) const { throw UsageError(fmt::format("{}{}: {}", before, s, why)); }
  u64 count(std::string_view digits) const {
    auto n = parse_number(digits);
    if (!n || !*n) refuse("a count from 1 on has to follow the '#'");
    return *n;
  }
  When parse() const {
    When w;
    w.text = w.typed = s;
    if (s.starts_with("console:")) {
      std::string_view t = s.substr(8);
      if (t.size() >= 2 && (t.front() == '\'' || t.front() == '"') && t.back() == t.front()) t = t.substr(1, t.size() - 2);
      if (t.empty()) throw UsageError(before + "console:'text': the text is empty");
      w.kind = When::Kind::console;
      w.text = t;
      return w;
    }
    if (s.starts_with("exit#")) { w.kind = When::Kind::exit_count; w.number = count(s.substr(5)); return w; }
    if (s.starts_with("entry#")) { w.kind = When::Kind::entry_count; w.number = count(s.substr(6)); return w; }
    if (s.starts_with("exit:")) {
      auto n = exit_number(s.substr(5));
      if (!n) {
        std::string all;
        for (unsigned r = 0; r < kExitReasons; ++r)
          if (std::string name = exit_name(r); !name.starts_with("exit-")) all += (all.empty() ? "" : ", ") + name;
        refuse("no such VM exit; there are " + all);
      }
      w.kind = When::Kind::exit_name;
      w.number = *n;
      return w;
    }
    if (s.starts_with("sym:")) {
      auto hash = s.rfind('#');
      if (hash != s.npos && s.find_first_not_of("0123456789", hash + 1) != s.npos) hash = s.npos;   // a name may have one
      w.kind = When::Kind::symbol;
      w.number = hash == s.npos ? 1 : count(s.substr(hash + 1));
      w.text = s.substr(4, hash == s.npos ? s.npos : hash - 4);
      if (w.text.empty()) refuse("the name is missing; write sym:NAME");
      return w;
    }
    if (s == "end" || s.ends_with('%')) {
      if (!finished) refuse(fmt::format("only finished runs know that; there is {}", kForms));
      if (s == "end") { w.kind = When::Kind::end; return w; }
      w.kind = When::Kind::percent;
      const std::string_view whole = s.substr(0, s.find_first_of(".%")), rest = whole.size() + 1 < s.size() ? s.substr(whole.size() + 1) : "";
      const std::string part(rest.substr(0, rest.size() - !rest.empty()));
      auto n = parse_number(whole), f = parse_number((part + "000").substr(0, 3));
      if (!n || !f || part.size() > 3 || *n > 100 || *n * 1000 + *f > 100'000) refuse("not a percentage; write 0% to 100%, with at most three decimals");
      w.number = *n * 1000 + *f;
      return w;
    }
    if (auto n = parse_number(s)) { w.kind = When::Kind::step; w.number = *n; return w; }
    refuse(fmt::format("not a time; give {}{}", finished ? "end, a percentage, " : "", kForms));
  }
};
}  // namespace

When parse_when(std::string_view s) {
  if (s.empty()) return {};
  return Parser{"--until ", s, false}.parse();
}

RunAt parse_run_at(const std::string& s) {
  std::error_code e;
  auto at = std::filesystem::exists(s, e) ? s.npos : s.find('@');
  for (auto next = at; next != s.npos; next = s.find('@', next + 1))
    if (std::filesystem::is_directory(s.substr(0, next), e)) { at = next; break; }
  RunAt r{s.substr(0, at), {}};
  r.at = Parser{r.run + "@", at == s.npos ? std::string_view("end") : std::string_view(s).substr(at + 1), true}.parse();
  return r;
}

}  // namespace vt::cli
