// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "drive.hpp"
#include "sandbox.hpp"
#include "verbs.hpp"

namespace vt::cli::gdb {

Server::Server(u16 port) {
  auto fail = [&](const char* what) {
    const int e = errno;
    if (listener_ >= 0) ::close(listener_);
    throw InputError(fmt::format("127.0.0.1:{}: {}: {}; choose another port, or 0 for any free one", port, what, std::strerror(e)));
  };
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0) fail("no socket");
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET, at.sin_port = htons(port), at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) fail("cannot be bound");
  if (::listen(listener_, 4) != 0) fail("cannot be listened on");
  socklen_t size = sizeof at;
  if (::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) != 0) fail("has no name");
  port_ = ntohs(at.sin_port);
  sandbox::may_serve();
}

Server::~Server() {
  close_client();
  ::close(listener_);
}

void Server::close_client() {
  if (client_ >= 0) ::close(client_);
  client_ = -1;
}

bool Server::wait() {
  while (client_ < 0) {
    pollfd p{listener_, POLLIN, 0};
    const int n = ::poll(&p, 1, 200);
    if (SignalGuard::interrupted()) return false;
    if (n > 0) client_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  }
  const int on = 1;
  ::setsockopt(client_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  reader_ = {}, acks_ = true, sent_.clear();
  return true;
}

/// One client at a time: the others are told so at once.
void Server::refuse_others() {
  const int other = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (other < 0) return;
  const std::string s = frame("E.another debugger is connected");
  (void)!::send(other, s.data(), s.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(other);
}

/// What has come, if anything comes in that time. False: the client is gone.
bool Server::receive(int milliseconds) {
  pollfd p[2] = {{client_, POLLIN, 0}, {listener_, POLLIN, 0}};
  if (::poll(p, 2, milliseconds) <= 0) return true;
  if (!p[0].revents) {   // ours first: it may just be going away, and the other one is the next
    if (p[1].revents & POLLIN) refuse_others();
    return true;
  }
  char buffer[8192];
  const ssize_t n = ::recv(client_, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n == 0) return false;
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  reader_.feed({buffer, static_cast<std::size_t>(n)});
  return true;
}

/// A client that does not read what it asked for is left alone after some seconds.
void Server::transmit(const std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::send(client_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) { at += static_cast<std::size_t>(n); continue; }
    if (n < 0 && errno == EINTR) continue;
    pollfd p{client_, POLLOUT, 0};
    if (n < 0 && errno == EAGAIN && ::poll(&p, 1, 10'000) > 0) continue;
    ::shutdown(client_, SHUT_RDWR);   // receive() notices
    return;
  }
}

void Server::send(const std::string& payload) {
  sent_ = frame(payload);
  transmit(sent_);
}

Server::End Server::serve(Player& player, std::function<std::string(const std::string&, unsigned)> monitor) {
  SignalGuard signals(player.machine());
  player.machine().stop().clear();
  if (!wait()) return End::interrupted;
  bool gone = false;
  Stub stub(player, {[this](const std::string& p) { send(p); },
                     [&] {
                       if (!receive(0)) gone = true;
                       return gone || reader_.take_interrupt();
                     },
                     std::move(monitor)});
  End end = End::disconnected;
  while (!gone) {
    auto item = reader_.next();
    if (!item) {
      if (SignalGuard::interrupted()) { end = End::interrupted; break; }
      if (!receive(200)) break;
      continue;
    }
    using Kind = PacketReader::Kind;
    if (item->kind == Kind::nack && acks_) transmit(sent_);
    if ((item->kind == Kind::bad || item->kind == Kind::too_long) && acks_) transmit(item->kind == Kind::bad ? "-" : "+");
    if (item->kind == Kind::too_long) send("E.the packet is too long");
    if (item->kind != Kind::packet) continue;
    if (acks_) transmit("+");
    Stub::Answer a = stub.handle(item->data);
    if (gone) break;
    if (!a.silent) send(a.reply);
    if (a.no_acks) acks_ = false;
    if (a.after != Stub::After::go_on) {
      end = a.after == Stub::After::killed ? End::killed : End::detached;
      break;
    }
  }
  close_client();
  player.forget();   // a client that was cut off has taken nothing out
  return end;
}

}  // namespace vt::cli::gdb
