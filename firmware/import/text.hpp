// SPDX-License-Identifier: GPL-2.0-or-later
/// Lines as they were before terminals, loggers and mailers had them, and a scanner for what stands in them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace vt::fw::import {

struct Line {
  unsigned number = 0;       ///< from 1, in the file as it is
  bool xen = false;          ///< said by the hypervisor: had "(XEN)"
  bool domain = false;       ///< said by or about a domain: "(d1)", "(XEN) HVM4:"
  std::string text;          ///< without the decoration
};

/// Takes off carriage returns, terminal escapes, mail quotes, quoted-printable, stamps of journald, dmesg, Xen and Vitrine.
std::vector<Line> clean_lines(std::string_view bytes);

/// Reads from the front; everything that does not match leaves it where it was.
class Scan {
 public:
  explicit Scan(std::string_view s) : s_(s) {}
  std::string_view rest() const { return s_; }
  bool end() const { return s_.empty(); }
  Scan& blanks() { while (!s_.empty() && (s_[0] == ' ' || s_[0] == '\t')) s_.remove_prefix(1); return *this; }
  bool lit(std::string_view t) {
    if (!s_.starts_with(t)) return false;
    s_.remove_prefix(t.size());
    return true;
  }
  /// Moves behind the first `t`.
  bool find(std::string_view t) {
    auto at = s_.find(t);
    if (at == s_.npos) return false;
    s_.remove_prefix(at + t.size());
    return true;
  }
  /// At most 16 digits, with or without 0x; `digits` says how many there were.
  std::optional<u64> hex(unsigned* digits = nullptr);
  std::optional<u64> decimal();
  /// [ssss:]bb:dd.f
  std::optional<Bdf> bdf(u16* segment = nullptr);

 private:
  std::string_view s_;
};

bool contains(std::string_view s, std::string_view t);

}  // namespace vt::fw::import
