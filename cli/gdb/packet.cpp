// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/packet.hpp"

#include <algorithm>

namespace vt::cli::gdb {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void PacketReader::put(char c) {
  switch (at_) {
    case At::between:
      if (c == '$') at_ = At::body, body_.clear(), long_ = false, sum_ = 0;
      else if (c == '+') items_.push_back({Kind::ack, {}});
      else if (c == '-') items_.push_back({Kind::nack, {}});
      else if (c == 3) items_.push_back({Kind::interrupt, {}});
      return;   // anything else is noise on the line
    case At::body:
    case At::escaped:
      if (at_ == At::body && c == '#') { at_ = At::sum1; return; }
      if (at_ == At::body && c == '$') { body_.clear(), long_ = false, sum_ = 0; return; }   // the one before was cut off
      sum_ = static_cast<u8>(sum_ + static_cast<u8>(c));
      if (at_ == At::body && c == '}') { at_ = At::escaped; return; }
      if (body_.size() < kMax) body_ += at_ == At::escaped ? static_cast<char>(c ^ 0x20) : c;
      else long_ = true;
      at_ = At::body;
      return;
    case At::sum1:
    case At::sum2: {
      const int d = hex_digit(c);
      if (d < 0) {
        items_.push_back({Kind::bad, {}});
        at_ = At::between;
        return put(c);
      }
      if (at_ == At::sum1) { given_ = static_cast<u8>(d << 4), at_ = At::sum2; return; }
      given_ = static_cast<u8>(given_ | d);
      at_ = At::between;
      if (given_ != sum_) items_.push_back({Kind::bad, {}});
      else if (long_) items_.push_back({Kind::too_long, {}});
      else items_.push_back({Kind::packet, std::move(body_)});
      body_.clear();
    }
  }
}

std::optional<PacketReader::Item> PacketReader::next() {
  if (items_.empty()) return {};
  Item i = std::move(items_.front());
  items_.pop_front();
  return i;
}

bool PacketReader::take_interrupt() {
  auto it = std::find_if(items_.begin(), items_.end(), [](const Item& i) { return i.kind == Kind::interrupt; });
  if (it == items_.end()) return false;
  items_.erase(it);
  return true;
}

std::string frame(std::string_view payload) {
  std::string s = "$";
  u8 sum = 0;
  auto add = [&](char c) { s += c, sum = static_cast<u8>(sum + static_cast<u8>(c)); };
  for (char c : payload) {
    if (c == '$' || c == '#' || c == '}' || c == '*') add('}'), add(static_cast<char>(c ^ 0x20));
    else add(c);
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  s += '#', s += kDigits[sum >> 4], s += kDigits[sum & 15];
  return s;
}

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string s;
  s.reserve(bytes.size() * 2);
  for (char c : bytes) s += kDigits[static_cast<u8>(c) >> 4], s += kDigits[c & 15];
  return s;
}

std::optional<std::string> from_hex(std::string_view s) {
  if (s.size() % 2) return {};
  std::string out;
  for (std::size_t i = 0; i < s.size(); i += 2) {
    const int a = hex_digit(s[i]), b = hex_digit(s[i + 1]);
    if (a < 0 || b < 0) return {};
    out += static_cast<char>(a << 4 | b);
  }
  return out;
}

std::optional<u64> take_hex(std::string_view& s) {
  u64 v = 0;
  std::size_t n = 0;
  while (n < s.size() && n < 16 && hex_digit(s[n]) >= 0) v = v << 4 | static_cast<u64>(hex_digit(s[n++]));
  if (n == 0 || (n < s.size() && hex_digit(s[n]) >= 0)) return {};
  s.remove_prefix(n);
  return v;
}

bool take(std::string_view& s, std::string_view prefix) {
  if (!s.starts_with(prefix)) return false;
  s.remove_prefix(prefix.size());
  return true;
}

}  // namespace vt::cli::gdb
