// SPDX-License-Identifier: GPL-2.0-or-later
#include "text.hpp"

#include <algorithm>

namespace vt::fw::import {
namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// "[  123,456] " of Vitrine, "[    0.000000] " of dmesg, "[0000001b18f43943] " and "[2022-10-11 12:13:14] " of Xen: brackets with nothing
/// but a time in them. An E820 range has a comma with a blank after it.
bool drop_stamp(std::string_view& s) {
  if (s.empty() || s[0] != '[') return false;
  auto close = s.find(']');
  if (close == s.npos || close < 2 || close > 40) return false;
  bool digits = false, after_blank = true;
  for (std::size_t i = 1; i < close; ++i) {
    char c = s[i];
    if (c == ' ' && !after_blank && s[i - 1] == ',') return false;
    if (digit(c) < 0 && c != ' ' && c != '.' && c != ':' && c != '-' && c != 'T' && c != ',' && c != '+') return false;
    if (digit(c) >= 0) digits = true, after_blank = false;
  }
  if (!digits) return false;
  s.remove_prefix(close + 1);
  if (!s.empty() && s[0] == ' ') s.remove_prefix(1);
  return true;
}

/// ESC [ ... letter, and other control characters.
std::string printable(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(s[i]);
    if (c == 0x1b) {
      if (i + 1 < s.size() && s[i + 1] == '[') {
        i += 2;
        while (i < s.size() && !(s[i] >= '@' && s[i] <= '~')) ++i;
      }
      continue;
    }
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) out += s[i];
  }
  return out;
}

/// RFC 2045 "Quoted-Printable Content-Transfer-Encoding"
std::string unquoted(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '=' && i + 2 < s.size() && digit(s[i + 1]) >= 0 && digit(s[i + 2]) >= 0) {
      out += static_cast<char>(digit(s[i + 1]) * 16 + digit(s[i + 2]));
      i += 2;
    } else {
      out += s[i];
    }
  }
  return out;
}

Line decorated(unsigned number, std::string_view s) {
  Line l;
  l.number = number;
  while (!s.empty() && (s[0] == '>' || (s[0] == ' ' && s.size() > 1 && s[1] == '>'))) s.remove_prefix(1);   // quoted in a mail
  while (drop_stamp(s)) {}
  if (auto at = s.find("(XEN)"); at != s.npos) {
    l.xen = true;
    s.remove_prefix(at + 5);
    if (!s.empty() && s[0] == ' ') s.remove_prefix(1);
    while (drop_stamp(s)) {}
    Scan d(s);
    if ((d.lit("HVM") || d.lit("d")) && d.decimal() && (d.lit(":") || d.lit(" "))) l.domain = true;   // what a guest printed, or about one
  } else {
    Scan d(s);
    if (d.lit("(d") && d.decimal() && d.lit(")")) l.domain = true;
    if (auto at2 = s.find(" kernel: "); at2 != s.npos && at2 < 80) {   // journald, syslog
      s.remove_prefix(at2 + 9);
      while (drop_stamp(s)) {}
    } else {
      Scan k(s);
      if (k.lit("kern") && k.blanks().lit(":") && k.find(":") ) {            // dmesg -x
        s = k.blanks().rest();
        if (!s.empty() && s[0] == '[')
          if (auto close = s.find("] "); close != s.npos) s.remove_prefix(close + 2);   // dmesg -T: the names of day and month
      }
    }
  }
  l.text = std::string(s);
  while (!l.text.empty() && (l.text.back() == ' ' || l.text.back() == '\t')) l.text.pop_back();
  return l;
}

}  // namespace

bool contains(std::string_view s, std::string_view t) { return s.find(t) != s.npos; }

std::optional<u64> Scan::hex(unsigned* digits) {
  std::string_view t = s_;
  if (t.starts_with("0x") || t.starts_with("0X")) t.remove_prefix(2);
  u64 v = 0;
  unsigned n = 0;
  while (n < t.size() && digit(t[n]) >= 0) {
    if (n >= 16) return {};
    v = v << 4 | static_cast<unsigned>(digit(t[n++]));
  }
  if (!n) return {};
  if (digits) *digits = n;
  s_ = t.substr(n);
  return v;
}

std::optional<u64> Scan::decimal() {
  u64 v = 0;
  std::size_t n = 0;
  while (n < s_.size() && s_[n] >= '0' && s_[n] <= '9') {
    if (n >= 19) return {};
    v = v * 10 + static_cast<unsigned>(s_[n++] - '0');
  }
  if (!n) return {};
  s_.remove_prefix(n);
  return v;
}

std::optional<Bdf> Scan::bdf(u16* segment) {
  Scan t = *this;
  u64 part[3] = {};
  unsigned digits[3] = {}, n = 0;
  for (; n < 3; ++n) {
    auto v = t.hex(&digits[n]);
    if (!v) return {};
    part[n] = *v;
    if (n < 2 && t.lit(":")) continue;
    break;
  }
  if (n < 1 || n > 2 || !t.lit(".")) return {};   // [segment:]bus:device
  u64 dev = part[n], bus = part[n - 1], seg = n == 2 ? part[0] : 0;
  if (t.rest().empty() || t.rest()[0] < '0' || t.rest()[0] > '7' || dev > 31 || bus > 255 || seg > 0xffff || digits[n] > 2) return {};
  u8 fn = static_cast<u8>(t.rest()[0] - '0');
  t.lit(t.rest().substr(0, 1));
  if (segment) *segment = static_cast<u16>(seg);
  s_ = t.rest();
  return Bdf(static_cast<u8>(bus), static_cast<u8>(dev), fn);
}

std::vector<Line> clean_lines(std::string_view bytes) {
  std::vector<Line> out;
  const bool quoted = contains(bytes, "=3D");
  unsigned number = 0;
  std::string pending;
  unsigned pending_number = 0;
  while (!bytes.empty()) {
    auto end = bytes.find('\n');
    std::string_view raw = bytes.substr(0, end);
    bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
    ++number;
    while (!raw.empty() && raw.back() == '\r') raw.remove_suffix(1);
    std::string whole(raw);
    unsigned here = number;
    if (quoted) {
      if (!pending.empty()) {
        std::string_view more = raw;   // a quoted mail that was wrapped: the mark stands on both lines
        while (!more.empty() && (more[0] == '>' || (more[0] == ' ' && more.size() > 1 && more[1] == '>'))) more.remove_prefix(1);
        whole = pending + std::string(more);
        here = pending_number;
        pending.clear();
      }
      if (!whole.empty() && whole.back() == '=') {
        pending = whole.substr(0, whole.size() - 1);
        pending_number = here;
        if (pending.size() < 4096 && !bytes.empty()) continue;
        whole = std::move(pending);
        pending.clear();
      }
      whole = unquoted(whole);
    }
    for (std::size_t from = 0; from <= whole.size();) {   // what a carriage return overwrote was a line, too
      auto cr = whole.find('\r', from);
      out.push_back(decorated(here, printable(std::string_view(whole).substr(from, cr == whole.npos ? cr : cr - from))));
      if (cr == whole.npos) break;
      from = cr + 1;
    }
  }
  return out;
}

}  // namespace vt::fw::import
