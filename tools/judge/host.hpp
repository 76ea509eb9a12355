// SPDX-License-Identifier: GPL-2.0-or-later
/// Runs cases on the processor that this program runs on. A case is entered by returning from a signal handler with its registers,
/// and is left by the exception that ends it: the next case is entered from there.
#pragma once
#include <functional>

#include "judge/mode.hpp"

namespace vt::judge {

/// Outcome::vector of a case that has not come to an end within a second of processor time: some hypervisors under the host do not get out of
/// what they take for a split lock.
inline constexpr unsigned kNoEnd = 256;

class Host {
 public:
  Host();
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  /// Empty: usable; else why not.
  const std::string& missing() const { return missing_; }
  /// The same for cases of a mode (State::code): 16 and 32 bits need segments of the program's own.
  std::string missing(unsigned code) const { return !missing_.empty() || code == 2 ? missing_ : missing_narrow_; }
  /// The same for cases that load segments, whatever their mode.
  std::string missing_segments() const { return !missing_.empty() ? missing_ : !missing_narrow_.empty() ? missing_narrow_ : missing_segments_; }
  bool has_cpuid_bit(u32 leaf, u32 subleaf, unsigned reg, unsigned bit) const;

  /// `next` gives the state to start from (memory is in place by then), or false to end; `done` gets what came of it. Both run on a
  /// stack of their own and must not throw.
  void run(const std::function<bool(State&)>& next, const std::function<void(const Outcome&)>& done);
  static u8* at(u64 address) { return reinterpret_cast<u8*>(address); }

 private:
  std::string missing_, missing_narrow_, missing_segments_;
  std::vector<u8> stack_;
};

}  // namespace vt::judge
