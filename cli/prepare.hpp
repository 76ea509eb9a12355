// SPDX-License-Identifier: GPL-2.0-or-later
/// From a command line to what a machine is built from. Everything here only reads.
#pragma once
#include <optional>

#include "disks.hpp"
#include "firmware/image.hpp"
#include "hypervisor/kernel.hpp"
#include "hypervisor/symbols.hpp"
#include "verbs.hpp"

namespace vt::cli {

/// The described platform with what the command line changes of it. What is wrong with an option is a UsageError, what is wrong with
/// the file a PlatformError.
fw::Platform make_platform(const PlatformOptions& o);

/// The model that --net connects, and adds where the platform has none.
inline constexpr const char* kNetworkCard = "virtio-net";

struct Input {
  std::string role;      ///< "kernel", "module", "initrd", "firmware", "disk", "platform", "profile", "symbols"
  std::string file;
  u64 size = 0;
  std::string sha256;
};

struct Prepared {
  fw::Platform platform;
  std::vector<fw::Blob> firmware;
  fw::Image image;
  std::vector<Input> inputs;
  hv::Kernel kernel;
  std::optional<hv::Symbols> symbols;
  std::vector<std::shared_ptr<RawImage>> disks;   ///< in the platform's order
  emu::Backends backends() const { return {{disks.begin(), disks.end()}, com2}; }
  emu::SerialSink* com2 = nullptr;                ///< who takes what the second serial port sends
};
Prepared prepare(const RunOptions& o);
/// The same on a platform that stands already; `inputs` stays empty.
Prepared prepare(const fw::Platform& platform, const RunOptions& o);

/// 'FILE ARGS'
fw::Module parse_module(const std::string& s);

}  // namespace vt::cli
