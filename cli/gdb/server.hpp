// SPDX-License-Identifier: GPL-2.0-or-later
/// A socket on the loopback interface for one client at a time.
#pragma once
#include <functional>
#include <string>

#include "gdb/packet.hpp"
#include "gdb/stub.hpp"
#include "base/types.hpp"

namespace vt::cli::gdb {

class Server {
 public:
  /// Listens on 127.0.0.1. `port` 0: any free one. Throws InputError.
  explicit Server(u16 port);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  u16 port() const { return port_; }

  enum class End : u8 { detached, killed, disconnected, interrupted };
  /// Serves one client to its end; waits for it first. Ctrl-C ends the waiting.
  End serve(Player& player, std::function<std::string(const std::string& line, unsigned cpu)> monitor);

 private:
  bool wait();             ///< for a client; false: interrupted
  bool receive(int milliseconds);
  void refuse_others();
  void send(const std::string& payload);
  void transmit(const std::string& bytes);
  void close_client();
  int listener_ = -1, client_ = -1;
  u16 port_ = 0;
  PacketReader reader_;
  bool acks_ = true;
  std::string sent_;       ///< the last packet, should it be asked for again
};

}  // namespace vt::cli::gdb
