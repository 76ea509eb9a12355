// SPDX-License-Identifier: GPL-2.0-or-later
/// Host against model, case by case.
#pragma once
#include <map>

#include "judge/classes.hpp"
#include "judge/host.hpp"
#include "judge/model.hpp"

namespace vt::judge {

struct Result {
  u64 cases = 0, faults = 0, differences = 0;
  std::map<std::string, u64> by_name;      ///< differences
  std::vector<std::string> reports;        ///< of the first few
  std::vector<std::string> skipped;        ///< features that the host lacks
};

class Judge {
 public:
  Judge();
  const std::string& missing() const { return host_.missing(); }
  std::string missing(unsigned code) const { return host_.missing(code); }
  std::string missing(const Class& c) const { return c.loads_segments() ? host_.missing_segments() : host_.missing(c.code); }
  struct Options {
    u64 seed = 1, first = 0, cases = 1000;
    bool exact = false;        ///< undefined flags, too
    unsigned reports = 20;
  };
  /// For tests of the judge itself: the model starts from another state than the host.
  void before_model(std::function<void(State&)> change) { change_ = std::move(change); }
  Result run(const Class& c, const Options& o);
  /// A whole case in words: what it starts from and what came of it on both sides.
  std::string describe(const Case& c, const Outcome& host, const Outcome& model) const;

 private:
  void place(const Case& c);
  std::string compare(const Case& c, const Outcome& host, const Outcome& model, bool exact) const;
  Host host_;
  Model model_;
  std::function<void(State&)> change_;
  std::vector<u8> data_, stack_;  ///< what memory holds before each case
};

}  // namespace vt::judge
