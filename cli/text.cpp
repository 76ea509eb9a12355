// SPDX-License-Identifier: GPL-2.0-or-later
#include "text.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace vt::cli {

std::string grouped(u64 n) {
  std::string s = std::to_string(n);
  for (std::size_t at = s.size(); at > 3;) s.insert(at -= 3, 1, ',');
  return s;
}
std::string hex(u64 n) { return fmt::format("{:#x}", n); }
std::string hex16(u64 n) { return fmt::format("{:016x}", n); }

std::string size_text(u64 bytes) {
  static constexpr struct { unsigned shift; char unit; } kUnits[] = {{40, 'T'}, {30, 'G'}, {20, 'M'}, {10, 'K'}};
  for (auto u : kUnits)
    if (bytes >> u.shift && !(bytes & ((u64{1} << u.shift) - 1))) return fmt::format("{}{}", bytes >> u.shift, u.unit);
  return std::to_string(bytes);
}
std::string bdf_text(Bdf b) { return fmt::format("{:02x}:{:02x}.{}", b.bus(), b.dev(), b.fn()); }
std::string access_text(Access a) {
  return {a.r() ? 'r' : '-', a.w() ? 'w' : '-', a.x() ? 'x' : '-'};
}
const char* mem_type_name(unsigned encoding) {
  static constexpr const char* kNames[] = {"UC", "WC", "reserved", "reserved", "WT", "WP", "WB", "UC-"};
  return kNames[encoding & 7];
}

std::optional<u8> hex_byte(std::string_view s) {
  u8 v = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v, 16);
  if (s.size() != 2 || error != std::errc{} || end != s.data() + 2) return {};
  return v;
}

std::optional<u64> parse_number(std::string_view s) {
  std::string t;
  for (char c : s) if (c != ',' && c != '_') t += c;
  std::string_view d = t;
  int base = 10;
  unsigned shift = 0;
  if (d.starts_with("0x") || d.starts_with("0X")) base = 16, d.remove_prefix(2);
  else if (!d.empty()) {
    static constexpr std::string_view kUnits = "KMGTkmgt";
    if (auto at = kUnits.find(d.back()); at != kUnits.npos) shift = 10 * (static_cast<unsigned>(at) % 4 + 1), d.remove_suffix(1);
  }
  u64 v = 0;
  auto [end, error] = std::from_chars(d.data(), d.data() + d.size(), v, base);
  if (d.empty() || error != std::errc{} || end != d.data() + d.size()) return {};
  if (shift && v >> (64 - shift)) return {};
  return v << shift;
}

std::vector<std::string> split(std::string_view s, char at) {
  std::vector<std::string> words;
  for (std::size_t from = 0;;) {
    const std::size_t end = std::min(s.find(at, from), s.size());
    words.emplace_back(s.substr(from, end - from));
    if (end == s.size()) return words;
    from = end + 1;
  }
}

std::optional<Bdf> parse_bdf(std::string_view s) {
  if (s.starts_with("0000:")) s.remove_prefix(5);
  auto colon = s.find(':'), dot = s.find('.');
  if (colon == s.npos || dot == s.npos || dot < colon) return {};
  auto part = [](std::string_view t, unsigned max) -> std::optional<u8> {
    unsigned v = 0;
    auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), v, 16);
    if (t.empty() || error != std::errc{} || end != t.data() + t.size() || v > max) return {};
    return static_cast<u8>(v);
  };
  auto bus = part(s.substr(0, colon), 255), dev = part(s.substr(colon + 1, dot - colon - 1), 31), fn = part(s.substr(dot + 1), 7);
  if (!bus || !dev || !fn) return {};
  return Bdf(*bus, *dev, *fn);
}

std::optional<AddressRange> parse_range(std::string_view s) {
  auto number = [](std::string_view t) { return parse_number(t); };
  if (auto at = s.find('-'); at != s.npos) {
    auto first = number(s.substr(0, at)), last = number(s.substr(at + 1));
    if (!first || !last || *last < *first) return {};
    return AddressRange{*first, *last};
  }
  if (auto at = s.find('+'); at != s.npos) {
    auto first = number(s.substr(0, at)), size = number(s.substr(at + 1));
    if (!first || !size || !*size || *first + (*size - 1) < *first) return {};
    return AddressRange{*first, *first + *size - 1};
  }
  auto at = number(s);
  if (!at) return {};
  return AddressRange{*at, *at};
}

std::string percent(u64 n, u64 of) { return of ? fmt::format("{:.1f}%", 100.0 * static_cast<double>(n) / static_cast<double>(of)) : std::string{}; }

std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view right, unsigned indent) {
  std::vector<std::size_t> width;
  for (auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c == width.size()) width.push_back(0);
      width[c] = std::max(width[c], row[c].size());
    }
  std::string out;
  for (auto& row : rows) {
    std::string line(indent, ' ');
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c) line += "  ";
      line += c < right.size() && right[c] == 'r' ? fmt::format("{:>{}}", row[c], width[c]) : fmt::format("{:<{}}", row[c], width[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

bool is_terminal(int fd) { return ::isatty(fd); }
bool colour_on_stderr() {
  const char* no = std::getenv("NO_COLOR");
  return is_terminal(STDERR_FILENO) && !(no && *no);
}

namespace {
void print_message(std::string_view kind, const char* colour, std::string_view message) {
  const bool c = colour_on_stderr();
  const std::string line = fmt::format("vitrine: {}{}{}: {}\n", c ? colour : "", kind, c ? "\033[0m" : "", message);
  std::fflush(stdout);
  std::fputs(line.c_str(), stderr);
}
}  // namespace
void print_error(std::string_view message) { print_message("error", "\033[1;31m", message); }
void print_warning(std::string_view message) { print_message("warning", "\033[1;33m", message); }

}  // namespace vt::cli
