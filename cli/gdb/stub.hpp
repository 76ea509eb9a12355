// SPDX-License-Identifier: GPL-2.0-or-later
/// Answers packets of the remote serial protocol about a Player. Knows nothing of sockets. What a client sends can be anything.
/// gdb manual "Remote Protocol"
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "gdb/player.hpp"

namespace vt::cli::gdb {

class Stub {
 public:
  /// `send`: a packet that is no reply (console output while something runs). `monitor`: the text that a monitor command prints.
  struct Outside {
    std::function<void(const std::string& payload)> send;
    Player::Wanted interrupted;
    std::function<std::string(const std::string& line, unsigned cpu)> monitor;
  };
  Stub(Player& player, Outside outside) : player_(player), out_(std::move(outside)) {}

  enum class After : u8 { go_on, detached, killed };
  struct Answer { std::string reply; bool silent = false; After after = After::go_on; bool no_acks = false; };
  Answer handle(std::string_view packet);

 private:
  Answer query(std::string_view p);
  Answer features(std::string_view p);
  Answer memory(std::string_view p, bool binary_write);
  Answer point(std::string_view p, bool insert);
  Answer resume(std::string_view actions);
  std::string stop_reply(const Halt& h);
  bool thread(std::string_view& s, long& id);   ///< -1 all, 0 any
  unsigned cpu_or_first(long id) const { return id > 0 ? static_cast<unsigned>(id - 1) : machine().current(); }
  emu::Machine& machine() const { return player_.machine(); }

  Player& player_;
  Outside out_;
  unsigned general_ = 0;     ///< processor of g, m and p
  long continue_ = 0;        ///< thread of c and s
  bool swbreak_ = false, hwbreak_ = false, error_text_ = false;
  Halt last_;
};

}  // namespace vt::cli::gdb
