// SPDX-License-Identifier: GPL-2.0-or-later
/// A run directory: manifest.json, platform.json, console.txt, events.vit, and cache/ for what can be made again.
#pragma once
#include <string>

namespace vt::cli {

class RunDir {
 public:
  /// Checks only, nothing is made. Throws UsageError where the place is taken by something that is not a run.
  explicit RunDir(std::string path);
  /// Makes the directory; an older run's files there are removed. Throws UsageError where the host refuses.
  void create();
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Written beside and put in place, so that a reader finds the old one or the new one. Throws std::runtime_error.
  void write(const std::string& name, const std::string& text) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline constexpr const char* kManifest = "manifest.json";
inline constexpr const char* kPlatform = "platform.json";
inline constexpr const char* kConsole = "console.txt";
inline constexpr const char* kConsole2 = "console2.txt";   ///< the second serial port's, where there is one
inline constexpr const char* kEvents = "events.vit";
inline constexpr const char* kInput = "input.jsonl";
inline constexpr const char* kCapture = "network.pcap";
inline constexpr const char* kEndCheckpoint = "cache/end.ckpt";
inline constexpr const char* kLedgerCache = "cache/ledger.vit";
inline constexpr const char* kRunSchema = "vitrine.run/1";

/// Is there a manifest of a run in this directory?
bool is_run(const std::string& path);

}  // namespace vt::cli
