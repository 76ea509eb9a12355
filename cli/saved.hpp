// SPDX-License-Identifier: GPL-2.0-or-later
/// A finished run, opened to be looked at, at its end or at any moment of it.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "emu/machine.hpp"
#include "ept/ept.hpp"
#include "hypervisor/symbols.hpp"
#include "rerun.hpp"
#include "when.hpp"

namespace vt::cli {

class Saved {
 public:
  /// `run`: RUN or RUN@T. Reads the manifest. Throws UsageError, InputError.
  explicit Saved(const std::string& run);
  /// A machine that somebody else has, as it is whenever it is asked.
  Saved(emu::Machine& live, nlohmann::ordered_json manifest, std::string path);
  /// The machine as it was then: from a checkpoint, or run again from the nearest one before, with progress on stderr; what was found is
  /// kept under cache/. Throws InputError, UsageError (the run did not get there), Interrupted.
  emu::Machine& machine() { return live_ ? *live_ : rerun().machine(); }
  Rerun& rerun();
  /// Another machine of the same run, at the nearest checkpoint before `step`, or at its beginning.
  std::unique_ptr<Rerun> again_before(u64 step) const;

  const std::string& path() const { return path_; }
  const When& at() const { return at_; }
  /// The step of T, where it is known without running: none for moments that have to be searched for, and were not yet.
  std::optional<u64> step() const;
  /// For answers that the manifest gives. Throws UsageError where another moment than the end was asked for.
  void end_only(const char* verb) const;
  const nlohmann::ordered_json& manifest() const { return manifest_; }
  bool is_xen() const;

  /// EPT pointers that the run has seen by then, the last of each root; with those that are in use at the moment.
  struct KnownEptp { ept::Eptp eptp; std::optional<u64> first_step; };
  std::vector<KnownEptp> eptps();

 private:
  struct Checkpoint { u64 step; std::string file; };
  std::optional<Checkpoint> nearest(u64 step) const;
  std::string named() const { return path_ + "@"; }
  void at_end();
  void at_step(u64 step);
  void search();
  void keep();
  std::string path_;
  When at_;
  nlohmann::ordered_json manifest_;
  std::unique_ptr<Rerun> rerun_;
  emu::Machine* live_ = nullptr;
};

/// A hex number of a manifest or of a command line, with or without 0x.
std::optional<u64> parse_hex(std::string_view s);

}  // namespace vt::cli
