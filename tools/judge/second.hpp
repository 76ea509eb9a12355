// SPDX-License-Identifier: GPL-2.0-or-later
/// A second opinion on sequences: the model against Unicorn. What differs is cut down to the shortest run that shows it, and where there
/// is a host to ask, the host says which of the two is wrong. Unicorn's known faults are a table; the comparison goes on behind them.
#pragma once
#include <algorithm>
#include <array>
#include <map>

#include "judge/host.hpp"
#include "judge/model.hpp"
#include "judge/sequence.hpp"
#include "judge/unicorn.hpp"

namespace vt::judge {

/// The last instruction of the shortest run that differs, and how it does.
struct Difference {
  const Step& step;
  const State& before;  ///< of the run
  const Outcome &model, &unicorn;
  bool only_flags, only_memory, only_registers;
};
/// A fault of Unicorn's.
struct Known {
  const char* key;    ///< of the tally
  const char* names;  ///< null: any
  bool (*when)(const Difference& d);
  const char *what, *why;
};
std::span<const Known> known_faults();

struct SecondResult {
  u64 cases = 0, instructions = 0, faults = 0, differences = 0;
  u64 undecided = 0;  ///< known faults that no host was there to confirm
  std::map<std::string, u64> explained;  ///< by Known::key
  std::map<std::string, u64> by_name;    ///< differences
  std::vector<std::string> reports;
};

class Second {
 public:
  Second();
  const std::string& missing() const { return unicorn_.missing(); }
  bool has_host() const { return host_.missing().empty(); }
  struct Options { u64 seed = 1, first = 0, cases = 1000; unsigned reports = 20; };
  SecondResult run(const Options& o);
  /// For tests: one side starts from another state.
  void before_unicorn(std::function<void(State&)> change) { change_unicorn_ = std::move(change); }
  void before_model(std::function<void(State&)> change) { change_model_ = std::move(change); }

 private:
  struct Start { State s; std::vector<u8> memory; };
  struct Run {
    Outcome model, unicorn;
    std::string what;
    bool model_ok = true, unicorn_ok = true;
    bool asked = true;  ///< Unicorn; false: it would not survive it
    bool only(const std::string& name) const { return unicorn_ok && what.find(';') + 1 == what.size() && what.rfind(" " + name + " ", 0) == 0; }
    bool only_registers() const {
      return unicorn_ok && model_ok && std::none_of(kElse.begin(), kElse.end(), [&](const char* x) { return what.find(x) != std::string::npos; });
    }
    static constexpr std::array<const char*, 4> kElse = {" exception ", " RIP ", " flags ", " memory "};
  };
  void check(const Sequence& q, u64 number, const Options& o, SecondResult& r);
  void without_unicorn(const Sequence& q, const Start& from, std::size_t first, std::size_t at, SecondResult& r);
  Run both(const Sequence& q, const Start& from, std::size_t first, std::size_t last);
  void place(const Sequence& q, std::size_t first, std::size_t last);
  void load(const Start& from);
  std::vector<u8> memory_now();  ///< the model's
  std::string compare(const Sequence& q, std::size_t first, const Outcome& m, const Outcome& u, const char* other, const std::function<const u8*(u64)>& at, bool exact_fault);
  /// What the host makes of it: differences from the model, and from Unicorn's `memory` and outcome.
  struct Verdict { std::string model, unicorn; Outcome host; };
  Verdict ask_host(const Sequence& q, const Start& from, std::size_t first, std::size_t last, const Run& run);
  Model model_;
  Unicorn unicorn_;
  Host host_;
  std::function<void(State&)> change_unicorn_, change_model_;
  std::vector<u8> template_;
  u64 placed_ = 0, placed_bytes_ = 0;
};

}  // namespace vt::judge
