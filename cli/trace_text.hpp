// SPDX-License-Identifier: GPL-2.0-or-later
/// A trace as text, and as JSON lines (docs/formats.md, "vitrine trace").
#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>

#include "hypervisor/symbols.hpp"
#include "trace_steps.hpp"

namespace vt::cli {

class TraceText {
 public:
  /// `foreign`: symbols are the hypervisor's, and mean nothing in VMX non-root operation.
  TraceText(const hv::Symbols* symbols, bool foreign, bool json) : symbols_(symbols), foreign_(foreign), json_(json) {}
  std::string step(const TracedStep& s);
  /// An event between steps, or without its instruction. `vmx`: of its processor then.
  std::string event(const Event& e, char vmx);
  std::string console(u64 step, const std::string& line) const;

 private:
  std::string name(u64 address, char vmx) const { return symbols_ && !(foreign_ && vmx == 'n') ? symbols_->name(address) : std::string{}; }
  std::string text(const TracedStep& s);
  std::string lines(const TracedStep& s) const;
  nlohmann::ordered_json event_json(const Event& e, char vmx) const;
  const hv::Symbols* symbols_;
  const bool foreign_, json_;
  std::map<unsigned, std::string> fetched_;   ///< text: the translation that was shown last, by processor
};

/// "VM exit cpuid, qualification 0x0"
std::string event_text(const Event& e);

}  // namespace vt::cli
