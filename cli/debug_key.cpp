// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine debug-key: Xen's own dumps, from a fork of any moment of a run. Nothing of it is written to the run.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "drive.hpp"
#include "run_dir.hpp"
#include "saved.hpp"
#include "text.hpp"
#include "typing.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

constexpr u64 kQuiet = 50'000'000;           ///< ns of virtual time without a line of Xen: the dump is complete
constexpr u64 kPatience = 20'000'000'000;    ///< steps, and ns, until Xen has to have finished its boot, or to have answered
constexpr u64 kSoon = 20'000'000;            ///< ns in which a Xen that has finished its boot begins to answer
constexpr u64 kLongest = 20'000'000'000;     ///< ns that one dump may take
constexpr std::string_view kXen = "(XEN)", kInput = "Serial input to ", kPressed = "' pressed ->";

/// Whom Xen gives what is typed, as it says itself: *** Serial input to DOM0 (type 'CTRL-a' three times to switch input)
struct Switch { bool to_xen = true; char key = 'a'; };
void learn(Switch& s, std::string_view line) {
  const auto at = line.find(kInput);
  if (!line.starts_with(kXen) || at == line.npos) return;
  s.to_xen = line.substr(at + kInput.size()).starts_with("Xen");
  const auto key = line.find("CTRL-", at);
  s.key = key != line.npos && key + 5 < line.size() ? line[key + 5] : '\0';
}

class Fork {
 public:
  explicit Fork(Saved& saved) : saved_(saved), rerun_(saved.rerun()), m_(rerun_.machine()) {
    rerun_.fork();
    past_lines();
    rerun_.on_console([this](u64 step, const std::string& line) { heard(step, line); });
  }
  bool input_to_xen() {
    for (unsigned tries = 0; tries < 8 && !switch_.to_xen; ++tries) {
      if (!switch_.key) return false;
      for (int n = 0; n < 3; ++n) m_.type(static_cast<u8>(switch_.key & 0x1f));
      switched_ = false;
      if (!go([this] { return switched_; }, kSoon * 10)) return false;
    }
    return switch_.to_xen;
  }
  /// What Xen prints because of this key; empty: nothing. Until Xen has finished its boot it takes the key, but most handlers run at its
  /// end only; a key that came before Xen's console was there is lost, and is typed again then.
  std::vector<std::string> press(char key) {
    lines_.clear();
    wanted_ = std::string("'") + key + std::string(kPressed);
    began_ = false;
    pressed_ = m_.steps();
    for (bool again = true; again && !began_;) {
      again = !booted_;
      if (!input_to_xen()) break;
      soon_ = booted_ ? m_.cycles() + kSoon : ~u64{0};
      m_.type(static_cast<u8>(key));
      go([this] { return began_ || m_.cycles() > soon_; }, kPatience);
    }
    if (began_) go([this] { return m_.cycles() - last_cycle_ > kQuiet; }, kLongest);
    began_ = false;
    wanted_.clear();
    return std::move(lines_);
  }
  u64 steps_until_it_began() const { return first_step_ > pressed_ ? first_step_ - pressed_ : 0; }
  bool has_input() const { return switch_.to_xen; }
  std::string stopped() const { return m_.stop().requested() ? m_.stop().what() : std::string{}; }
  emu::Machine& machine() { return m_; }

 private:
  void past_lines() {
    std::ifstream in(saved_.path() + "/" + kConsole);
    for (std::string line; std::getline(in, line);) {
      const auto end = line.find("] ");
      if (line.empty() || line[0] != '[' || end == line.npos) continue;
      std::string number = line.substr(1, end - 1);
      number.erase(0, number.find_first_not_of(' '));
      if (auto step = parse_number(number); !step || *step >= m_.steps()) continue;
      learn(switch_, std::string_view(line).substr(end + 2));
      booted_ |= line.find(kInput) != line.npos;
    }
  }
  void heard(u64 step, const std::string& line) {
    learn(switch_, line);
    if (!line.starts_with(kXen)) return;   // dom0's
    const bool input = line.find(kInput) != line.npos;
    switched_ |= input;
    if (input && !booted_) booted_ = true, soon_ = m_.cycles() + kSoon;
    if (!began_ && !wanted_.empty() && (line.find(wanted_) != line.npos || answers(line, input))) began_ = true, first_step_ = step;
    if (!began_) return;
    last_cycle_ = m_.cycles();
    lines_.push_back(line);
  }
  /// Not every handler says which key it is for: what Xen prints right after the key, unless it is what it prints anyway.
  bool answers(const std::string& line, bool input) const {
    return booted_ && m_.cycles() <= soon_ && !input && line.find(" init memory") == line.npos && !line.starts_with("(XEN) d0v") && !line.starts_with("(XEN) PCI add");
  }
  template <class F> bool go(F done, u64 patience) {
    SignalGuard signals(m_);
    Progress progress(m_, [&] { return std::string("waiting for Xen"); });
    const u64 last_step = m_.steps() + patience, last_cycle = m_.cycles() + patience;
    while (!done()) {
      if (m_.steps() >= last_step || m_.cycles() >= last_cycle) return false;
      m_.run(std::min(last_step, m_.steps() + 1'000'000), std::min(last_cycle, m_.cycles() + 1'000'000));
      if (m_.stop().reason() == StopReason::interrupted || SignalGuard::interrupted()) throw Interrupted("debug-key");
      if (m_.stop().requested()) return done();
      progress.tick();
    }
    return true;
  }

  Saved& saved_;
  Rerun& rerun_;
  emu::Machine& m_;
  Switch switch_;
  std::vector<std::string> lines_;
  std::string wanted_;
  bool switched_ = false, began_ = false;
  bool booted_ = false;
  u64 pressed_ = 0, first_step_ = 0, last_cycle_ = 0, soon_ = ~u64{0};
};

}  // namespace

int debug_key(const DebugKeyOptions& o) {
  std::string keys;
  for (auto& k : o.keys) {
    const std::string key = parse_keys(k, "debug-key " + k);
    if (key.size() != 1) throw UsageError(fmt::format("debug-key {}: is not one key; give each as an argument of its own", k));
    keys += key;
  }
  Saved saved(o.run);
  if (!saved.is_xen()) throw UsageError(fmt::format("{}: is not a run of Xen: nobody knows debug keys there", saved.path()));
  Fork fork(saved);
  const u64 from = fork.machine().steps();
  int result = status::ok;
  for (char key : keys) {
    const auto lines = fork.press(key);
    if (lines.empty()) {
      const std::string why = fork.machine().stop().requested() ? fmt::format("the machine stopped ({})", fork.stopped())
                              : fork.has_input() ? "it has nothing to say for this key or no handler ('h' lists them), or it no longer takes interrupts"
                                                 : "it did not take over the serial input from dom0 (was it run with conswitch=, or has it crashed?)";
      print_error(fmt::format("{}: Xen printed nothing for '{}' in {} steps from step {} on: {}", o.run, key, grouped(fork.machine().steps() - from), grouped(from), why));
      result = status::finding;
      if (fork.machine().stop().requested()) break;
      continue;
    }
    for (auto& l : lines) std::puts(l.c_str());
    std::fflush(stdout);
    std::fprintf(stderr, "vitrine: '%c': Xen's dump began %s steps after the key (asked for at step %s)\n", key, grouped(fork.steps_until_it_began()).c_str(), grouped(from).c_str());
  }
  return result;
}

}  // namespace vt::cli
