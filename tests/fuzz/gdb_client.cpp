// SPDX-License-Identifier: GPL-2.0-or-later
/// libFuzzer: any bytes as a client of the debugger's stub. The first byte says in which pieces they come; its top bit, that the rest is payloads without
/// framing, one a line, so that what is behind the checksums is reached. Built and run by ./check --fuzz.
#include <cstdint>

#include "gdb_session.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vt::cli::gdb;
  static Client client;
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + (data[0] & 0x7f);
  if (!(data[0] & 0x80)) {
    client.send(bytes, piece);
    return 0;
  }
  std::string all;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
    std::string_view line = bytes.substr(at, end - at);
    // "!" begins a monitor command: its hexadecimal form is not for a fuzzer to find.
    all += frame(line.starts_with('!') ? "qRcmd," + to_hex(line.substr(1)) : std::string(line));
    at = end + 1;
  }
  client.send(all, piece);
  return 0;
}
