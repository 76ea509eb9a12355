// SPDX-License-Identifier: GPL-2.0-or-later
/// A finished run, opened to be looked at.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "emu/machine.hpp"
#include "ept/ept.hpp"
#include "hypervisor/symbols.hpp"

namespace vt::cli {

class Saved {
 public:
  /// `run`: RUN or RUN@end. Reads the manifest. Throws UsageError, InputError.
  explicit Saved(const std::string& run);
  /// The machine as it was at the end of the run. Throws InputError.
  emu::Machine& machine();

  const std::string& path() const { return path_; }
  const nlohmann::ordered_json& manifest() const { return manifest_; }
  bool is_xen() const;

  /// EPT pointers that the run has seen, the last of each root; with those that are in use now.
  struct KnownEptp { ept::Eptp eptp; std::optional<u64> first_step; };
  std::vector<KnownEptp> eptps();

 private:
  struct Silent final : emu::SerialSink { void put(u8) override {} };
  std::string path_;
  nlohmann::ordered_json manifest_;
  Silent silent_;
  std::unique_ptr<emu::Machine> machine_;
};

/// A hex number of a manifest or of a command line, with or without 0x.
std::optional<u64> parse_hex(std::string_view s);

}  // namespace vt::cli
