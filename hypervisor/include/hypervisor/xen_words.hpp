// SPDX-License-Identifier: GPL-2.0-or-later
/// Xen's words for the views: symbols, p2m types, calls that ask for a mapping.
#pragma once
#include <map>

#include "hypervisor/lines.hpp"
#include "hypervisor/symbols.hpp"
#include "hypervisor/xen_calls.hpp"
#include "views/ledger.hpp"
#include "views/words.hpp"

namespace vt::hv::xen {

class XenWords final : public views::Words {
 public:
  /// `symbols` may be null (and must outlive this). Source lines are read from the same file, if it has any.
  explicit XenWords(const Symbols* symbols);
  std::string kind() const override { return "xen"; }
  u64 tag(u64 entry) const override;
  std::string type_name(u64 tag) const override;
  std::string access_name(u64 tag) const override;
  bool may_alias(u64 tag) const override;
  bool may_differ_for_devices(u64 tag) const override;
  std::string symbol(u64 address) const override;
  std::string function(u64 address) const override;
  views::Source source(u64 address) const override;
  std::vector<Inlined> frames(u64 address) const override;
  bool carries_out(const Inlined& f) const override { return xen::carries_out(f.function, f.source.file); }
  std::optional<views::Request> request(const views::Attempt& a) const override;
  std::string phase(const std::vector<u64>& chain) const override;

 private:
  const Symbols* symbols_;
  std::optional<Lines> lines_;
  std::map<u64, const Call*> calls_;   ///< by address
};

/// What a ledger is to record as attempts of a build with these symbols; and the functions of interest that it does not have.
std::vector<views::Ledger::Function> ledger_functions(const Symbols& symbols);
std::vector<std::string> missing_functions(const Symbols& symbols);

}  // namespace vt::hv::xen
