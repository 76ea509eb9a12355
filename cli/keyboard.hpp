// SPDX-License-Identifier: GPL-2.0-or-later
/// Standard input as the other end of the serial cable: a terminal, put into raw mode and always put back, or a pipe.
#pragma once
#include <optional>
#include <string>

#include "base/types.hpp"

namespace vt::cli {

class Keyboard {
 public:
  /// Is somebody (or something) at standard input who may type? A terminal or a pipe; not a file, not /dev/null.
  static bool present();
  /// `escape`: the key that leaves the run; none: there is no such key, or it is not looked for (a pipe).
  explicit Keyboard(std::optional<u8> escape);
  ~Keyboard();
  Keyboard(const Keyboard&) = delete;
  Keyboard& operator=(const Keyboard&) = delete;

  /// What has been typed; waits up to `seconds` for the first byte. Empty: nothing.
  std::string read(double seconds = 0);
  bool terminal() const { return terminal_; }
  bool open() const { return open_; }       ///< more can come
  bool escaped() const { return escaped_; } ///< the escape key was typed: what came before it has been read
  static constexpr int kFile = 0;           ///< standard input
  /// Bytes that one read gives at most: what is pasted comes in pieces.
  static constexpr std::size_t kMost = 256;

 private:
  const std::optional<u8> escape_;
  bool terminal_ = false, open_ = true, escaped_ = false;
};

/// A key for --escape: ^] or \x1d. none: no key. Throws UsageError.
std::optional<u8> parse_escape(const std::string& s);
/// As people write it: ^]
std::string key_text(u8 key);

}  // namespace vt::cli
