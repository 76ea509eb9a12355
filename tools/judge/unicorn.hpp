// SPDX-License-Identifier: GPL-2.0-or-later
/// The same region and states in Unicorn, where this was built with it.
#pragma once
#include <string>
#include <vector>

#include "judge/state.hpp"

struct uc_struct;
struct uc_context;

namespace vt::judge {

class Unicorn {
 public:
  Unicorn();
  ~Unicorn();
  Unicorn(const Unicorn&) = delete;
  Unicorn& operator=(const Unicorn&) = delete;
  /// Empty: usable; else why not.
  const std::string& missing() const { return missing_; }
  static std::string version();

  /// Runs until an exception. A memory fault has vector 14, or 13 where the address is not canonical; error codes there are none.
  /// False: it stopped otherwise, and `trouble` says how.
  bool run(const State& start, Outcome& o);
  const std::string& trouble() const { return trouble_; }
  u8* at(u64 address) { return memory_ + (address - kRegion); }
  /// Code was placed there: what was translated of it is void.
  void code_written(u64 first, u64 bytes);

 private:
  void open();
  void close();
  u64 runs_ = 0;
  std::string missing_, trouble_;
  uc_struct* uc_ = nullptr;
  uc_context* fresh_ = nullptr;
  u8* memory_ = nullptr;
  struct Seen { unsigned vector = 0; u64 address = 0, at = 0; bool any = false; } seen_;
  friend struct UnicornHooks;
};

}  // namespace vt::judge
