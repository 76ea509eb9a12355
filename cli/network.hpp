// SPDX-License-Identifier: GPL-2.0-or-later
/// --net user: a network of the guest's own behind its first network card, by libslirp: 10.0.2.0/24 with nobody in it but the guest and the host. The
/// host is 10.0.2.2, with what listens on its loopback; DHCP gives 10.0.2.15. Nothing else can be reached, whatever the guest sends.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "emu/machine.hpp"

namespace vt::cli {

struct NetOption { std::string capture; };   ///< file; empty: that of the run directory
/// user[,pcap=FILE]. Throws UsageError.
NetOption parse_net(const std::string& s);

class Network final : public emu::FrameSink {
 public:
  static constexpr std::size_t kMostConnections = 128;   ///< more sockets than these the guest cannot have: files are ours, too
  static constexpr std::size_t kMostFrames = 1024;       ///< sent between two exchanges; more are lost
  struct Counts { u64 passed = 0, refused = 0, came = 0; };

  /// Connects the machine's first card, which there has to be. `capture`: file for both directions, or empty. Throws UsageError.
  Network(emu::Machine& m, const std::string& capture);
  ~Network() override;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// What the guest has sent goes out; what has come is returned. Waits up to `seconds` for something to come, or for input at the file `also`.
  std::vector<std::string> exchange(double seconds = 0, int also = -1);
  /// Something may come without the guest sending first: an answer is on its way. Else the network stands still, and time may pass quickly.
  bool busy() const;
  const Counts& counts() const;
  void flush();
  bool finish();   ///< false: the capture could not be written completely
  void frame(std::span<const u8> bytes) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// How much of a frame may leave; 0: nothing. What passes is ARP, and of IPv4 echo requests, datagrams and TCP to the host and DHCP, each well-formed and
/// whole: what reaches libslirp is the guest's, and it does not survive everything (4.7 crashes when it puts odd fragments together).
std::size_t may_pass(std::string_view frame);

}  // namespace vt::cli
