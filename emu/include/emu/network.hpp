// SPDX-License-Identifier: GPL-2.0-or-later
/// Where a network card ends and the world begins. What comes from there is input: it is recorded with its moment, like typed characters.
#pragma once
#include <array>
#include <span>

#include "base/types.hpp"

namespace vt::emu {

/// Where frames go: Ethernet from the destination address on, without the check sequence.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual void frame(std::span<const u8> bytes) = 0;   ///< called from within a step
};

class NetworkCard {
 public:
  struct Counts { u64 sent = 0, received = 0, dropped = 0; };
  virtual ~NetworkCard() = default;
  virtual void connect(FrameSink* to) = 0;             ///< null: the cable leads nowhere
  /// A frame arrives now; not from within a run. Too long ones, and more than the card can keep, are dropped and counted.
  virtual void receive(std::span<const u8> frame) = 0;
  virtual const Counts& counts() const = 0;
  virtual std::array<u8, 6> mac() const = 0;
};

}  // namespace vt::emu
