// SPDX-License-Identifier: GPL-2.0-or-later
#include "network.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <slirp/libslirp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <list>
#include <set>

#include "base/check.hpp"
#include "drive.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

constexpr std::uint32_t kNet = 0x0a000200, kMask = 0xffffff00, kHost = 0x0a000202, kGuest = 0x0a00020f;   // 10.0.2.0, .2, .15
constexpr std::uint32_t kSilent = 1000;   ///< milliseconds: what libslirp's timers ask for when it has none
constexpr double kStillOpen = 3;          ///< seconds in which a connection that has gone quiet may send something again
constexpr std::size_t kEthernet = 14, kIp = 20;
constexpr std::uint32_t kArp = 0x0806, kIpv4 = 0x0800, kDhcp = 67, kTftp = 69;
constexpr char kIcmp = 1, kTcp = 6, kUdp = 17;

/// pcap with nanoseconds: https://www.tcpdump.org/manpages/pcap-savefile.5.txt
class Capture {
 public:
  explicit Capture(const std::string& file) {
    if (file.empty()) return;
    if (!(file_ = std::fopen(file.c_str(), "wb"))) throw UsageError(fmt::format("--net: {}: cannot be made ({})", file, std::strerror(errno)));
    const u32 header[] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, 65535, 1};   // version 2.4, Ethernet
    put(header, sizeof header);
  }
  ~Capture() { finish(); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  void frame(u64 cycle, std::string_view bytes) {
    if (!file_) return;
    const u32 n = static_cast<u32>(bytes.size()), header[] = {static_cast<u32>(cycle / emu::kCyclesPerSecond), static_cast<u32>(cycle % emu::kCyclesPerSecond), n, n};
    put(header, sizeof header), put(bytes.data(), bytes.size());
  }
  void flush() { if (file_ && std::fflush(file_) != 0) ok_ = false; }
  bool finish() {
    if (file_ && std::fclose(file_) != 0) ok_ = false;
    file_ = nullptr;
    return ok_;
  }

 private:
  void put(const void* p, std::size_t n) { if (std::fwrite(p, 1, n, file_) != n) ok_ = false; }
  std::FILE* file_ = nullptr;
  bool ok_ = true;
};

/// A peer that has gone must not end the process: libslirp sends without MSG_NOSIGNAL.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    ::sigemptyset(&pipe_), ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &old_);
  }
  ~NoPipeSignal() {
    const timespec now{};
    while (::sigtimedwait(&pipe_, nullptr, &now) == SIGPIPE) { }
    ::pthread_sigmask(SIG_SETMASK, &old_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  sigset_t pipe_, old_;
};

struct Timer { SlirpTimerCb f; void* opaque; std::int64_t due = -1; };   ///< milliseconds of the host's clock

std::uint32_t big_endian(std::string_view s, std::size_t at, std::size_t n) {
  std::uint32_t v = 0;
  for (std::size_t i = 0; i < n; ++i) v = v << 8 | static_cast<u8>(s[at + i]);
  return v;
}

/// Would libslirp open a socket for it? A datagram, an echo request, or the first segment of a connection.
bool opens_something(std::string_view f) {
  if (big_endian(f, 12, 2) != kIpv4) return false;
  return f[kEthernet + 9] != kTcp || (f[kEthernet + kIp + 13] & 0x12) == 2;   // SYN without ACK
}

}  // namespace

std::size_t may_pass(std::string_view f) {
  if (f.size() < kEthernet + kIp) return 0;
  const auto type = big_endian(f, 12, 2);
  if (type == kArp)   // RFC 826: Ethernet, IPv4
    return f.size() >= kEthernet + 28 && big_endian(f, kEthernet, 4) == 0x00010800 && big_endian(f, kEthernet + 4, 2) == 0x0604 ? kEthernet + 28 : 0;
  if (type != kIpv4) return 0;
  // RFC 791 "Internet Header Format": no options, whole, no fragment.
  const std::size_t total = big_endian(f, kEthernet + 2, 2);
  if (f[kEthernet] != 0x45 || total < kIp || total > f.size() - kEthernet || (big_endian(f, kEthernet + 6, 2) & 0x3fff)) return 0;
  const auto to = big_endian(f, kEthernet + 16, 4);
  const std::string_view data = f.substr(kEthernet + kIp, total - kIp);
  bool good = false;
  switch (f[kEthernet + 9]) {
    case kIcmp: good = to == kHost && data.size() >= 8 && data[0] == 8; break;   // RFC 792: echo
    case kUdp: {                                                                // RFC 768
      if (data.size() < 8 || big_endian(data, 4, 2) != data.size()) break;
      const auto port = big_endian(data, 2, 2);
      if (port == kDhcp) good = data.size() >= 8 + 240 && (to == kHost || to == (kNet | ~kMask) || to == 0xffffffff);   // RFC 2131: with its magic number
      else good = to == kHost && port != kTftp;
      break;
    }
    case kTcp: {                                                                // RFC 793 "Header Format"
      if (to != kHost || data.size() < 20) break;
      const std::size_t header = static_cast<u8>(data[12]) / 16u * 4;
      good = header >= 20 && header <= data.size() && !(data[13] & 0x20);
      break;
    }
  }
  return good ? kEthernet + total : 0;
}

NetOption parse_net(const std::string& s) {
  const std::size_t comma = s.find(',');
  if (s.substr(0, comma) != "user") throw UsageError(fmt::format("--net {}: there is only user, a network of the guest's own", s));
  if (comma == s.npos) return {};
  const std::string rest = s.substr(comma + 1);
  if (!rest.starts_with("pcap=")) throw UsageError(fmt::format("--net {}: '{}': there is only pcap=FILE", s, rest));
  if (rest.size() == 5) throw UsageError(fmt::format("--net {}: the file is missing; write pcap=FILE", s));
  return {rest.substr(5)};
}

struct Network::Impl {
  Impl(emu::Machine& machine, const std::string& file) : m(machine), capture(file) {}

  emu::Machine& m;
  Capture capture;
  Slirp* slirp = nullptr;
  std::vector<std::string> out, in;
  std::vector<pollfd> polled;
  std::set<int> sockets;
  std::list<Timer> timers;
  std::uint32_t wakes = kSilent;   ///< milliseconds to libslirp's next look at its timers
  double last = 0;                 ///< host's seconds of the last frame
  Counts counts;
};

Network::Network(emu::Machine& m, const std::string& capture) : impl_(std::make_unique<Impl>(m, capture)) {
  CHECK(!m.network_cards().empty(), "--net adds a card to a platform without");
  SlirpConfig c{};
  c.version = 4;
  c.in_enabled = true;
  c.vnetwork.s_addr = htonl(kNet), c.vnetmask.s_addr = htonl(kMask), c.vhost.s_addr = htonl(kHost), c.vdhcp_start.s_addr = htonl(kGuest);
  c.vnameserver.s_addr = htonl(kHost + 1);
  c.disable_dns = true;
  static const SlirpCb kCallbacks = {
    .send_packet = [](const void* p, std::size_t n, void* self) -> ssize_t {
      static_cast<Impl*>(self)->in.emplace_back(static_cast<const char*>(p), n);
      return static_cast<ssize_t>(n);
    },
    .guest_error = [](const char*, void*) {},
    .clock_get_ns = [](void*) { return static_cast<std::int64_t>(elapsed_now() * 1e9); },
    .timer_new = [](SlirpTimerCb f, void* opaque, void* self) -> void* { return &static_cast<Impl*>(self)->timers.emplace_back(Timer{f, opaque}); },
    .timer_free = [](void* timer, void* self) { static_cast<Impl*>(self)->timers.remove_if([&](const Timer& t) { return &t == timer; }); },
    .timer_mod = [](void* timer, std::int64_t due, void*) { static_cast<Timer*>(timer)->due = due; },
    .register_poll_fd = [](int fd, void* self) { static_cast<Impl*>(self)->sockets.insert(fd); },
    .unregister_poll_fd = [](int fd, void* self) { static_cast<Impl*>(self)->sockets.erase(fd); },
    .notify = [](void*) {},
    .init_completed = [](Slirp*, void*) {},
    .timer_new_opaque = nullptr,
  };
  impl_->slirp = slirp_new(&c, &kCallbacks, impl_.get());
  if (!impl_->slirp) throw UsageError("--net user: libslirp refuses to start");
  m.network_cards()[0]->connect(this);
}

Network::~Network() {
  impl_->m.network_cards()[0]->connect(nullptr);
  slirp_cleanup(impl_->slirp);
}

void Network::frame(std::span<const u8> b) {
  Impl& i = *impl_;
  std::string f(reinterpret_cast<const char*>(b.data()), b.size());
  i.capture.frame(static_cast<emu::Clock&>(i.m).now(), f);
  const std::size_t size = may_pass(f);
  if (!size || i.out.size() >= kMostFrames) { ++i.counts.refused; return; }
  f.resize(size);   // without what Ethernet pads
  i.out.push_back(std::move(f));   // within a step: libslirp gets it at the next boundary
}

bool Network::busy() const {
  const Impl& i = *impl_;
  return !i.out.empty() || !i.polled.empty() || (i.wakes < kSilent && elapsed_now() - i.last < kStillOpen);
}

std::vector<std::string> Network::exchange(double seconds, int also) {
  Impl& i = *impl_;
  std::vector<std::string> sent, came;
  sent.swap(i.out);
  if (sent.empty() && also < 0 && seconds <= 0 && i.polled.empty() && i.sockets.empty() && i.wakes >= kSilent) return came;   // nobody there
  const NoPipeSignal guard;
  for (auto& f : sent) {
    if (i.sockets.size() >= kMostConnections && opens_something(f)) { ++i.counts.refused; continue; }
    ++i.counts.passed;
    slirp_input(i.slirp, reinterpret_cast<const std::uint8_t*>(f.data()), static_cast<int>(f.size()));
  }
  i.polled.clear();
  i.wakes = kSilent;
  slirp_pollfds_fill(i.slirp, &i.wakes, [](int fd, int events, void* self) {
    auto& list = static_cast<Impl*>(self)->polled;
    short e = 0;
    if (events & SLIRP_POLL_IN) e |= POLLIN;
    if (events & SLIRP_POLL_OUT) e |= POLLOUT;
    if (events & SLIRP_POLL_PRI) e |= POLLPRI;
    list.push_back({fd, e, 0});
    return static_cast<int>(list.size() - 1);
  }, &i);
  double wait = i.in.empty() ? std::min(seconds, i.wakes / 1000.0) : 0;
  for (auto& t : i.timers) if (t.due >= 0) wait = std::clamp(static_cast<double>(t.due) / 1000.0 - elapsed_now(), 0.0, wait);
  const std::size_t own = i.polled.size();
  if (also >= 0) i.polled.push_back({also, POLLIN, 0});
  const timespec limit{static_cast<time_t>(wait), static_cast<long>((wait - static_cast<double>(static_cast<time_t>(wait))) * 1e9)};
  const int n = ::ppoll(i.polled.data(), i.polled.size(), &limit, nullptr);
  i.polled.resize(own);
  slirp_pollfds_poll(i.slirp, n < 0, [](int index, void* self) {
    const short e = static_cast<Impl*>(self)->polled[static_cast<std::size_t>(index)].revents;
    int events = 0;
    if (e & POLLIN) events |= SLIRP_POLL_IN;
    if (e & POLLOUT) events |= SLIRP_POLL_OUT;
    if (e & POLLPRI) events |= SLIRP_POLL_PRI;
    if (e & POLLERR) events |= SLIRP_POLL_ERR;
    if (e & POLLHUP) events |= SLIRP_POLL_HUP;
    return events;
  }, &i);
  const auto now = static_cast<std::int64_t>(elapsed_now() * 1000);
  for (auto& t : i.timers) if (t.due >= 0 && t.due <= now) t.due = -1, t.f(t.opaque);
  came.swap(i.in);
  i.counts.came += came.size();
  for (auto& f : came) i.capture.frame(i.m.cycles(), f);
  if (!came.empty() || !sent.empty()) i.last = elapsed_now();
  return came;
}

const Network::Counts& Network::counts() const { return impl_->counts; }
void Network::flush() { impl_->capture.flush(); }
bool Network::finish() { return impl_->capture.finish(); }

}  // namespace vt::cli
