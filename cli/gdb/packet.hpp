// SPDX-License-Identifier: GPL-2.0-or-later
/// Framing of the remote serial protocol: $payload#checksum, acknowledgements, the interrupt byte. Pure; takes bytes from
/// anybody, in pieces of any size.   gdb manual "Overview" under "Remote Protocol"
#pragma once
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.hpp"

namespace vt::cli::gdb {

class PacketReader {
 public:
  static constexpr std::size_t kMax = 0x4000;   ///< longest payload: PacketSize of qSupported
  enum class Kind : u8 {
    packet,      ///< `data` is the payload, escapes resolved
    ack, nack,
    interrupt,   ///< 0x03 between packets
    bad,         ///< a packet with a wrong checksum
    too_long,    ///< a whole packet that was longer than kMax, and is lost
  };
  struct Item { Kind kind; std::string data; };
  void feed(std::string_view bytes) { for (char c : bytes) put(c); }
  std::optional<Item> next();
  /// Is an interrupt among what has arrived? It and what came before it stay in the queue otherwise.
  bool take_interrupt();

 private:
  void put(char c);
  enum class At : u8 { between, body, escaped, sum1, sum2 } at_ = At::between;
  std::string body_;
  bool long_ = false;
  u8 sum_ = 0, given_ = 0;
  std::deque<Item> items_;
};

/// $payload#checksum, with what has to be escaped escaped.
std::string frame(std::string_view payload);

int hex_digit(char c);                                     ///< -1: none
std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view s);   ///< whole bytes only
/// A hexadecimal number (1 to 16 digits) at the beginning of `s`, which loses it.
std::optional<u64> take_hex(std::string_view& s);
bool take(std::string_view& s, std::string_view prefix);   ///< true: `s` began with it, and loses it

}  // namespace vt::cli::gdb
