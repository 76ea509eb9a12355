// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine replay: a run once more from its inputs and what was typed; and whether it is the same one.
#include <fmt/format.h>

#include <fstream>
#include <utility>

#include "console.hpp"
#include "run_dir.hpp"
#include "saved.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

/// console.txt, line by line; ended by its complete lines.
std::vector<std::string> console_of(const std::string& run) {
  const std::string file = run + "/" + kConsole;
  std::ifstream in(file, std::ios::binary);
  if (!in) throw InputError(file + ": cannot be opened; --verify compares with it");
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The step in front of a line.
std::optional<u64> step_of(const std::string& l) {
  const auto close = l.find("] ");
  const std::size_t digit = l.find_first_of("0123456789");
  return close == l.npos || digit == l.npos || digit > close ? std::nullopt : parse_number(std::string_view(l).substr(digit, close - digit));
}

/// Where the two go apart first; empty: nowhere.
class Comparison {
 public:
  /// Of what is printed from step `from` on.
  Comparison(const std::string& run, u64 from) : lines_(console_of(run)) {
    while (next_ < lines_.size() && step_of(lines_[next_]).value_or(from) < from) ++next_;
    first_ = next_, halved_ = from && next_;
  }
  void line(u64 step, const std::string& text) {
    if (!different_.empty()) return;
    const std::string is = stamp(step) + text;
    // The first may be what was missing of a line that had begun before.
    if (std::exchange(halved_, false) && (next_ >= lines_.size() || lines_[next_] != is) && lines_[next_ - 1].ends_with(text)) return;
    if (next_ < lines_.size() && lines_[next_] == is) { ++next_; return; }
    different_ = fmt::format("console line {}: it was '{}', and is '{}'", next_ + 1, next_ < lines_.size() ? lines_[next_] : "(no such line)", is);
  }
  /// No line of the run before `step` may be missing.
  void until(u64 step) {
    if (!different_.empty() || next_ >= lines_.size()) return;
    const std::string& l = lines_[next_];
    if (const auto at = step_of(l); at && *at < step) different_ = fmt::format("console line {}: it was '{}', and does not come", next_ + 1, l);
  }
  void state(u64 step, const std::string& was, const std::string& is) {
    if (different_.empty() && was != is) different_ = fmt::format("the state at step {}: its hash was {}, and is {}", grouped(step), was, is);
  }
  const std::string& different() const { return different_; }
  std::size_t lines() const { return next_ - first_; }

 private:
  const std::vector<std::string> lines_;
  std::size_t next_ = 0, first_ = 0;
  bool halved_ = false;
  std::string different_;
};

/// The step of a moment of the run.
u64 step_of_moment(const ReplayOptions& o, const char* option, const std::string& typed, u64 end) {
  u64 step = 0;
  try {
    Saved s(o.run + "@" + typed);
    step = s.step() ? *s.step() : s.machine().steps();
  } catch (const UsageError& e) {
    throw UsageError(fmt::format("{} {}: {}", option, typed, e.what()));
  }
  if (step > end) throw UsageError(fmt::format("{} {}: the run ended before, at step {}", option, typed, grouped(end)));
  return step;
}

/// States on the way that the run has kept, by step.
std::vector<std::pair<u64, std::string>> kept_states(const json& manifest, u64 from, u64 to) {
  std::vector<std::pair<u64, std::string>> all;
  for (auto& c : manifest.value("checkpoints", json::array()))
    if (c.is_object() && c.contains("step") && c["step"].is_number_unsigned() && c.value("file", "") != kEndCheckpoint && c["step"].get<u64>() <= to && c["step"].get<u64>() >= from)
      all.emplace_back(c["step"].get<u64>(), c.value("file", ""));
  return all;
}

}  // namespace

int replay(const ReplayOptions& o) {
  if (parse_run_at(o.run).run != o.run) throw UsageError(fmt::format("{}: RUN without a moment; --to says how far", o.run));
  const json manifest = read_manifest(o.run);
  const json last = manifest.value("end", json::object());   // a run that was cut off is refused below
  const u64 end = last.is_object() && last.contains("step") && last["step"].is_number_unsigned() ? last["step"].get<u64>() : ~u64{0};
  std::optional<u64> to;
  if (!o.to.empty())
    if (const u64 step = step_of_moment(o, "--to", o.to, end); step != end) to = step;
  std::optional<Rerun> made;
  if (o.from.empty()) {
    made.emplace(o.run);
  } else {
    const u64 from = step_of_moment(o, "--from", o.from, end);
    const auto kept = kept_states(manifest, 0, from);
    if (kept.empty()) throw UsageError(fmt::format("--from {}: the run has no checkpoint at or before step {}; make it with --checkpoint-every N", o.from, grouped(from)));
    made.emplace(o.run, o.run + "/" + kept.back().second);
    std::fprintf(stderr, "vitrine: from the checkpoint at step %s\n", grouped(kept.back().first).c_str());
  }
  Rerun& rerun = *made;
  emu::Machine& m = rerun.machine();
  const u64 begin = m.steps();
  if (to && *to < begin) throw UsageError(fmt::format("--to {}: lies before --from {}", o.to, o.from));
  std::optional<Comparison> same;
  if (o.verify) same.emplace(o.run, begin);
  rerun.on_console([&](u64 step, const std::string& line) {
    if (same) same->line(step, line);
    else std::fputs((stamp(step) + line + '\n').c_str(), stdout);
  });
  std::string what = "state";
  try {
    if (same)
      for (auto& [step, file] : kept_states(manifest, begin + 1, to.value_or(end))) {
        rerun.to(step, "replay");
        if (!same->different().empty()) break;
        Rerun kept(o.run, o.run + "/" + file);
        same->state(step, kept.machine().state_hash(), m.state_hash());
        if (!same->different().empty()) break;
      }
    if (!same || same->different().empty()) rerun.to(to.value_or(~u64{0}), "replay");
    if (same && same->different().empty()) {
      // The last line may have no end.
      if (const std::string rest = rerun.unfinished_line(); !rest.empty() && !to) same->line(rerun.unfinished_step(), rest);
      same->until(m.steps());
      if (!to) same->state(m.steps(), manifest.value("state_hash", json()).is_string() ? manifest["state_hash"].get<std::string>() : "not known", m.state_hash());
    }
  } catch (const Diverged& e) {
    if (!same || same->different().empty()) {
      print_error(fmt::format("{}: diverged: {}", o.run, e.what()));
      return status::diverged;
    }
  }
  std::fflush(stdout);
  if (same && !same->different().empty()) {
    print_error(fmt::format("{}: diverged: {}", o.run, same->different()));
    return status::diverged;
  }
  std::size_t typed = 0, frames = 0;
  for (auto& i : rerun.inputs()) ++(i.card ? frames : typed);
  const std::string keys = typed ? fmt::format("typed {} times", typed) : "nothing typed", heard = frames ? fmt::format(", {} frames", grouped(frames)) : "";
  if (same)
    fmt::print("the same: {} console lines, {}{}, {} at step {}\n", same->lines(), keys, heard, to ? "as far as asked" : "state", grouped(m.steps()));
  else
    std::fprintf(stderr, "vitrine: replayed to step %s\n", grouped(m.steps()).c_str());
  return status::ok;
}

}  // namespace vt::cli
