// SPDX-License-Identifier: GPL-2.0-or-later
/// Inside the report: names, origins and call chains as numbers, and what needs the tables themselves (walks, devices).
#pragma once
#include <map>
#include <string>
#include <utility>

#include "report.hpp"

namespace vt::cli {

class ReportNames {
 public:
  ReportNames(const views::History& h, const views::Words& w) : h_(h), words_(w) {}
  u32 text(const std::string& s);                  ///< index into "names"
  u32 origin(const Event& e);                      ///< index into "origins"
  u32 chain(const Event& e);                       ///< index into "chains"
  void store(nlohmann::ordered_json& d);

 private:
  using Key = std::pair<u64, u32>;                 ///< rip, chain
  const views::History& h_;
  const views::Words& words_;
  std::map<std::string, u32> texts_;
  std::map<Key, u32> origin_of_, chain_of_;
  std::map<std::string, u32> origins_;
  std::map<u64, std::vector<u32>> frames_;         ///< by address
  nlohmann::ordered_json text_list_ = nlohmann::ordered_json::array(), origin_list_ = nlohmann::ordered_json::array(), chain_list_ = nlohmann::ordered_json::array();
};

struct ReportWalks {
  nlohmann::ordered_json findings;   ///< with the walk of their first address at their step
  nlohmann::ordered_json devices;    ///< per device the tables that it had: [step, index of the space, or a word]
};
ReportWalks report_walks(const ReportInput& in, ReportNames& names);

}  // namespace vt::cli
