// SPDX-License-Identifier: GPL-2.0-or-later
// --net user: what a guest's frames reach, and that no frame breaks the network. docs/devices.md "Network"
#include "network.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "drive.hpp"
#include "prepare.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

const std::string kMac = "\x02\x56\x54\x01\x02\x03";

std::string be(u64 v, unsigned n) {
  std::string s;
  while (n--) s += static_cast<char>(v >> 8 * n);
  return s;
}
u16 checksum(const std::string& s) {
  u32 sum = 0;
  for (std::size_t n = 0; n < s.size(); n += 2) sum += static_cast<u32>(static_cast<u8>(s[n]) << 8 | (n + 1 < s.size() ? static_cast<u8>(s[n + 1]) : 0));
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<u16>(~sum);
}
/// RFC 826, RFC 791, RFC 768, RFC 792
std::string arp(u32 whose) { return std::string(6, '\xff') + kMac + be(0x0806, 2) + be(0x0001080006040001, 8) + kMac + be(0x0a00020f, 4) + std::string(6, '\0') + be(whose, 4); }
std::string ip(u32 to, u8 protocol, const std::string& data) {
  std::string h = be(0x4500, 2) + be(20 + data.size(), 2) + be(0, 4) + be(64, 1) + be(protocol, 1) + be(0, 2) + be(0x0a00020f, 4) + be(to, 4);
  const u16 sum = checksum(h);
  h.replace(10, 2, be(sum, 2));
  return std::string("\x52\x55\x0a\x00\x02\x02", 6) + kMac + be(0x0800, 2) + h + data;
}
std::string udp(u32 to, u16 from_port, u16 to_port, const std::string& data) { return ip(to, 17, be(from_port, 2) + be(to_port, 2) + be(8 + data.size(), 2) + be(0, 2) + data); }
std::string tcp(u32 to, u16 from_port, u16 to_port, u32 seq, u32 ack, u8 flags, const std::string& options = {}, const std::string& data = {}, u16 window = 8192) {
  std::string s = be(from_port, 2) + be(to_port, 2) + be(seq, 4) + be(ack, 4) + be((20 + options.size()) / 4 << 12 | flags, 2) + be(window, 2) + be(0, 4) + options + data;
  const u16 sum = checksum(be(0x0a00020f, 4) + be(to, 4) + be(6, 2) + be(s.size(), 2) + s);
  return ip(to, 6, s.replace(16, 2, be(sum, 2)));
}
std::string syn(u32 to, u16 from_port, u16 to_port) { return tcp(to, from_port, to_port, 1, 0, 2); }
std::string ping(u32 to) {
  std::string s = be(0x0800, 2) + be(0, 2) + be(0x12340001, 4) + "ping";
  const u16 sum = checksum(s);
  return ip(to, 1, s.replace(2, 2, be(sum, 2)));
}

struct NetworkTest : testing::Test {
  struct Silent final : emu::SerialSink { void put(u8) override {} } serial;
  emu::Machine m{make_platform({.memory = "64M", .devices = {kNetworkCard}}), serial};
  Network net{m, ""};
  static constexpr u32 kHost = 0x0a000202;
  static std::span<const u8> bytes(const std::string& s) { return {reinterpret_cast<const u8*>(s.data()), s.size()}; }
  /// What comes for it, within a second.
  std::vector<std::string> answers(const std::string& frame, bool wait = true) {
    net.frame(bytes(frame));
    std::vector<std::string> all;
    const double end = elapsed_now() + 1;
    do for (auto& f : net.exchange(wait && all.empty() ? 0.1 : 0)) all.push_back(f);
    while (wait && all.empty() && elapsed_now() < end);
    return all;
  }
  void known() { answers(arp(kHost)); }   // libslirp learns the guest's address from what it asks
};

TEST_F(NetworkTest, host_answers_for_itself) {
  const auto a = answers(arp(kHost));
  ASSERT_EQ(a.size(), 1u);
  EXPECT_EQ(a[0].substr(0, 6), kMac);
  EXPECT_EQ(a[0].substr(12, 10), be(0x0806, 2) + be(0x0001080006040002, 8)) << "a reply";
  const auto p = answers(ping(kHost));
  ASSERT_EQ(p.size(), 1u);
  EXPECT_EQ(p[0].substr(34, 2), be(0, 2)) << "echo reply";
  EXPECT_EQ(net.counts().passed, 2u);
  EXPECT_EQ(net.counts().came, 2u);
}

TEST_F(NetworkTest, dhcp_gives_an_address) {   // RFC 2131
  const std::string boot = be(0x01010600, 4) + be(0x12345678, 4) + std::string(20, '\0') + kMac + std::string(10 + 192, '\0') + be(0x63825363, 4) + be(0x350101ff, 4);
  const auto a = answers(udp(0xffffffff, 68, 67, boot + std::string(60, '\0')));
  ASSERT_EQ(a.size(), 1u);
  EXPECT_EQ(a[0].substr(14 + 28 + 16, 4), be(0x0a00020f, 4)) << "yiaddr";
}

TEST_F(NetworkTest, datagram_reaches_the_loopback_and_its_answer_comes_back) {
  known();
  const int s = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET, here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(s, reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
  socklen_t size = sizeof here;
  ::getsockname(s, reinterpret_cast<sockaddr*>(&here), &size);
  EXPECT_FALSE(net.busy());
  answers(udp(kHost, 1000, ntohs(here.sin_port), "question"), false);
  EXPECT_TRUE(net.busy()) << "an answer may come";
  char text[64];
  sockaddr_in from{};
  size = sizeof from;
  ASSERT_EQ(::recvfrom(s, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &size), 8);
  EXPECT_EQ(std::string(text, 8), "question");
  ::sendto(s, "answer", 6, 0, reinterpret_cast<sockaddr*>(&from), size);
  const auto a = net.exchange(1);
  ASSERT_EQ(a.size(), 1u);
  EXPECT_EQ(a[0].substr(42), "answer");
  EXPECT_EQ(a[0].substr(26, 4), be(kHost, 4));
  ::close(s);
}

TEST_F(NetworkTest, nothing_but_the_host_is_reached) {
  known();
  const auto before = net.counts();
  std::string six = std::string(12, '\x33') + be(0x86dd, 2) + std::string(60, '\0'), ncsi = std::string(12, '\xff') + be(0x88f8, 2) + std::string(60, '\0');
  std::string tagged = syn(kHost, 1, 80);
  tagged.insert(12, be(0x81000001, 4));
  std::string fragment = udp(kHost, 1000, 9, "data"), options = fragment, longer = fragment, urgent = syn(kHost, 1, 80), header = urgent, odd = fragment;
  fragment[20] = '\x20', options[14] = '\x46', longer[17] = '\x7f', urgent[47] = '\x22', header[46] = '\x40', odd[39] = '\x07';
  std::string reply = ping(kHost), strange = arp(kHost);
  reply[34] = '\0', strange[18] = '\x08';
  const std::vector<std::string> closed{fragment, options, longer, urgent, header, odd, reply, strange, arp(kHost).substr(0, 41), syn(kHost, 1, 80).substr(0, 53), ip(kHost, 47, std::string(40, 'x')),
                                        udp(kHost, 1, 69, "tftp"), udp(0x0a0002ff, 1, 1, ""), udp(0xffffffff, 68, 67, "short"),
                                        ping(0x08080808), udp(0x0a000203, 1000, 53, "name"), syn(0xc0000201, 1, 80), syn(0x7f000001, 1, 80), udp(0xe0000001, 1, 1, "all"),
                                        udp(0x0a00020e, 1, 1, ""), six, ncsi, tagged, "", "short", std::string(14, '\0'), be(0, 12) + be(0x0800, 2) + std::string(19, '\x45')};
  for (auto& f : closed) {
    EXPECT_EQ(may_pass(f), 0u) << &f - closed.data();
    EXPECT_TRUE(answers(f, false).empty());
  }
  EXPECT_EQ(net.counts().refused - before.refused, closed.size());
  EXPECT_EQ(net.counts().passed, before.passed);
  for (auto& f : {arp(0x08080808), ping(kHost), udp(kHost, 1, 1, ""), syn(kHost, 1, 80), udp(0xffffffff, 68, 67, std::string(240, 'x'))}) EXPECT_EQ(may_pass(f), f.size());
  EXPECT_EQ(may_pass(udp(kHost, 1, 1, "x") + std::string(17, '\0')), 43u) << "what Ethernet pads is not passed on";
}

TEST_F(NetworkTest, connections_are_limited) {
  known();
  const auto files = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  const auto before = files();
  for (unsigned n = 0; n < 600; ++n) net.frame(bytes(udp(kHost, static_cast<u16>(2000 + n), 9, "x")));
  net.exchange();
  EXPECT_GT(files(), before + 50);
  EXPECT_LE(files(), before + static_cast<long>(Network::kMostConnections) + 4);
  EXPECT_GE(net.counts().refused, 600 - Network::kMostConnections);
  EXPECT_TRUE(answers(ping(kHost), false).empty()) << "what opens something is refused";
  EXPECT_EQ(answers(arp(kHost)).size(), 1u) << "and the rest goes on";
}

TEST_F(NetworkTest, frames_of_one_turn_are_limited) {
  for (std::size_t n = 0; n < Network::kMostFrames + 100; ++n) net.frame(bytes(arp(kHost)));
  EXPECT_EQ(net.counts().refused, 100u);
  EXPECT_EQ(net.exchange().size(), Network::kMostFrames);
}

/// Good frames with wrong bytes, cut off, or too long: nothing that a guest sends can break the network, and it still answers.
TEST_F(NetworkTest, hostile_frames) {
  known();
  std::mt19937_64 random(1);
  const std::vector<std::string> good{arp(kHost), ping(kHost), udp(kHost, 1000, 9, "data"), syn(kHost, 1000, 9), udp(0xffffffff, 68, 67, be(0x01010600, 4) + std::string(300, '\1')), udp(kHost, 1000, 69, std::string("\0\1x\0octet\0", 10))};
  const unsigned count = std::getenv("DEEP") ? 2'000'000 : 60'000;
  for (unsigned n = 0; n < count; ++n) {
    std::string f = good[random() % good.size()];
    for (u64 k = random() % 6; k; --k) f[random() % f.size()] = static_cast<char>(random());
    switch (random() % 8) {
      case 0: f.resize(random() % (f.size() + 1)); break;
      case 1: f.resize(f.size() + random() % (1518 - f.size()), static_cast<char>(random())); break;
      case 2: for (auto& c : f) if (&c - f.data() > 33) c = static_cast<char>(random()); break;
      default: break;
    }
    if (f.size() > 24 && random() % 4) {   // the checksum is right
      const std::size_t h = 14;
      if (f.size() >= h + 20) f.replace(h + 10, 2, 2, '\0'), f.replace(h + 10, 2, be(checksum(f.substr(h, std::min<std::size_t>(f.size() - h, static_cast<std::size_t>(f[h] & 15) * 4))), 2));
    }
    net.frame(bytes(f));
    if (n % 64 == 0) net.exchange();
  }
  net.exchange();
  EXPECT_EQ(answers(arp(kHost)).size(), 1u);
}

/// Segments in any state of a connection, to a server that takes and gives: right checksums, wrong everything else.
TEST_F(NetworkTest, hostile_connections) {
  known();
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET, here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(server, reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
  ASSERT_EQ(::listen(server, 64), 0);
  socklen_t size = sizeof here;
  ::getsockname(server, reinterpret_cast<sockaddr*>(&here), &size);
  std::mt19937_64 random(2);
  std::vector<int> clients;
  u32 theirs[8] = {}, ours[8] = {};
  u64 segments = 0, established = 0;
  const unsigned count = std::getenv("DEEP") ? 1'000'000 : 30'000;
  for (unsigned n = 0; n < count; ++n) {
    const unsigned c = static_cast<unsigned>(random() % 8);
    static constexpr u8 kFlags[] = {0x02, 0x02, 0x10, 0x10, 0x10, 0x18, 0x18, 0x11, 0x04, 0x12, 0x00, 0x3f, 0x01};
    const u8 flags = kFlags[random() % std::size(kFlags)] & 0x1f;
    std::string options, data(random() % 3 ? 0 : random() % 1400, static_cast<char>(n));
    for (u64 k = random() % 4 ? 0 : random() % 11; k; --k) options += be(random(), 4);
    const u32 seq = random() % 8 ? ours[c] : static_cast<u32>(random()), ack = random() % 8 ? theirs[c] : static_cast<u32>(random());
    net.frame(bytes(tcp(kHost, static_cast<u16>(3000 + c), ntohs(here.sin_port), seq, ack, flags, options, data, static_cast<u16>(random() % 3 ? 8192 : random()))));
    if (flags & 2) ours[c] = seq + 1;
    else ours[c] += static_cast<u32>(data.size()) + (flags & 1);
    for (auto& f : net.exchange()) {
      if (f.size() < 54 || f[23] != 6) continue;
      ++segments;
      const u32 port = static_cast<u32>(static_cast<u8>(f[36]) << 8 | static_cast<u8>(f[37])) - 3000;
      if (port >= 8) continue;
      u32 at = 0;
      for (int k = 0; k < 4; ++k) at = at << 8 | static_cast<u8>(f[static_cast<std::size_t>(38 + k)]);
      theirs[port] = at + static_cast<u32>(f.size() - 54) + ((f[47] & 3) != 0);
      established += (f[47] & 0x12) == 0x12;
    }
    if (n % 16 == 0) {
      if (const int s = ::accept4(server, nullptr, nullptr, SOCK_NONBLOCK); s >= 0) clients.push_back(s);
      for (std::size_t k = 0; k < clients.size();) {
        char text[2000];
        const bool gone = ::recv(clients[k], text, sizeof text, 0) == 0 || random() % 64 == 0;
        if (random() % 4 == 0) (void)::send(clients[k], text, random() % sizeof text, MSG_NOSIGNAL);
        if (gone) ::close(clients[k]), clients.erase(clients.begin() + static_cast<long>(k));
        else ++k;
      }
    }
  }
  for (int s : clients) ::close(s);
  ::close(server);
  EXPECT_GT(segments, count / 20) << "it talks back";
  EXPECT_GT(established, count / 500) << "connections come about";
  net.exchange();
  EXPECT_EQ(answers(arp(kHost)).size(), 1u);
}

TEST_F(NetworkTest, frames_of_any_size_at_a_card_that_sleeps_are_dropped) {
  auto& card = *m.network_cards()[0];
  for (std::size_t size : {0u, 1u, 1518u, 1519u, 70000u}) card.receive(bytes(std::string(size, 'x')));
  EXPECT_EQ(card.counts().dropped, 5u);
}

TEST(net_option, is_understood_or_named) {
  EXPECT_EQ(parse_net("user").capture, "");
  EXPECT_EQ(parse_net("user,pcap=a,b").capture, "a,b");
  const auto why = [](const char* s) {
    try {
      (void)parse_net(s);
    } catch (const UsageError& e) {
      return std::string(e.what());
    }
    return std::string("(taken)");
  };
  EXPECT_EQ(why("tap"), "--net tap: there is only user, a network of the guest's own");
  EXPECT_EQ(why("user,mac=1"), "--net user,mac=1: 'mac=1': there is only pcap=FILE");
  EXPECT_EQ(why("user,pcap="), "--net user,pcap=: the file is missing; write pcap=FILE");
}

}  // namespace
}  // namespace vt::cli
