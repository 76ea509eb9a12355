// SPDX-License-Identifier: GPL-2.0-or-later
/// Why a run ends. One `Stop` belongs to the machine; whoever has to end the run asks it. The first
/// request wins. The machine looks at it between instructions; nothing is thrown.
#pragma once
#include <string>
#include <string_view>

#include "base/types.hpp"

namespace vt {

enum class StopReason : u8 {
  none,
  unsupported,    ///< documented and offered, but not modelled (status 3)
  power_off,      ///< ACPI S5 (status 0)
  reset,          ///< 0xCF9, keyboard controller, FADT reset register, port 0x92 (status 1)
  triple_fault,   ///< shutdown of a processor outside VMX non-root operation (status 1)
  halted,         ///< every processor is halted and no event can wake one (status 1)
  exit_device,    ///< the guest wrote its exit code to the exit device (status: that code)
  until,          ///< the wanted point was reached (status 0)
  limit,          ///< step limit (status 124)
  interrupted,    ///< Ctrl-C (status 130)
  input_lost,     ///< a file that the run reads on the way is no longer what it was (status 4)
};

class Stop {
 public:
  /// `what`: the thing not modelled; `where`: manual and section title. Printed as they are.
  void unsupported(std::string_view what, std::string_view where) { request(StopReason::unsupported, what, where); }
  void request(StopReason reason, std::string_view what = {}, std::string_view where = {}, int code = 0) {
    if (reason_ != StopReason::none && !pause_) return;
    reason_ = reason, what_ = what, where_ = where, code_ = code, pause_ = false;
  }
  /// Somebody who watches wants to look: gives way to any request that comes before the machine stands.
  void pause(std::string_view what) {
    if (requested()) return;
    request(StopReason::until, what);
    pause_ = true;
  }
  bool requested() const { return reason_ != StopReason::none; }
  StopReason reason() const { return reason_; }
  const std::string& what() const { return what_; }
  const std::string& where() const { return where_; }
  int code() const { return code_; }
  void clear() { *this = Stop{}; }

 private:
  StopReason reason_ = StopReason::none;
  std::string what_, where_;
  int code_ = 0;
  bool pause_ = false;
};

}  // namespace vt
