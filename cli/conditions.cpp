// SPDX-License-Identifier: GPL-2.0-or-later
#include "conditions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vt::cli {
namespace {

constexpr int kCannotTell = 125;                 // what `git bisect run` skips
constexpr u64 kAtLatest = u64{16} * Conditions::kEvery;

const views::Rule* rule_of(const std::string& name, const std::string& before) {
  const views::Rule* r = views::find_rule(name);
  if (r) return r;
  std::string all;
  for (auto& x : views::rules()) all += (all.empty() ? "" : ", ") + std::string(x.name);
  throw UsageError(fmt::format("{}{}: no such rule; there are {}", before, name, all));
}

Condition parse(const std::string& s, const char* option, Condition::Verdict verdict) {
  Condition c;
  c.verdict = verdict, c.typed = s;
  if (s == "limit") return c;
  if (s.starts_with("rule:")) {
    c.kind = Condition::Kind::rule;
    c.rule = rule_of(s.substr(5), fmt::format("{} rule:", option));
    return c;
  }
  if (s.starts_with("console:")) {
    c.kind = Condition::Kind::console;
    c.text = s.substr(8);
    if (c.text.size() >= 2 && (c.text.front() == '\'' || c.text.front() == '"') && c.text.back() == c.text.front()) c.text = c.text.substr(1, c.text.size() - 2);
    if (c.text.empty()) throw UsageError(fmt::format("{} console:'text': the text is empty", option));
    return c;
  }
  throw UsageError(fmt::format("{} {}: not a condition; give console:'text', rule:NAME or limit", option, s));
}

}  // namespace

std::vector<Condition> parse_conditions(const RunOptions& o) {
  std::vector<Condition> all;
  for (auto& s : o.bad_if) all.push_back(parse(s, "--bad-if", Condition::Verdict::bad));
  for (auto& s : o.good_if) all.push_back(parse(s, "--good-if", Condition::Verdict::good));
  for (auto& s : o.stop_on) all.push_back({Condition::Kind::rule, Condition::Verdict::stop, {}, rule_of(s, "--stop-on "), "rule:" + s});
  return all;
}

bool wants_ledger(const std::vector<Condition>& conditions) {
  return std::any_of(conditions.begin(), conditions.end(), [](auto& c) { return c.kind == Condition::Kind::rule; });
}

void Conditions::attach(emu::Machine& m, ConsoleTap& tap) {
  for (auto& c : list_)
    if (c.kind == Condition::Kind::console)
      tap.wait_for(c.text, [this, &c, &m] {
        if (!met_) met_ = &c;
        m.stop().request(StopReason::until, c.typed);
      });
}

void Conditions::rules(views::Setup setup, const views::Words& words, const fw::Platform& platform) {
  setup_ = std::move(setup), words_ = &words, platform_ = &platform;
}

void Conditions::judge() {
  const views::History h = views::tell(events_, *setup_);
  const views::CheckInput in{h, *setup_, *words_, *platform_, static_cast<u32>(h.events.size()), {}};
  for (auto& c : list_) {
    if (c.kind != Condition::Kind::rule) continue;
    for (auto& f : views::check(in, c.rule)) {
      if (f.severity == views::Severity::info) continue;
      met_ = &c, finding_ = f.text;
      return;
    }
  }
}

/// Rules tell the whole history again. Not at every chance, then: when it has grown by an eighth, or some time has gone by.
void Conditions::look(emu::Machine& m) {
  if (!words_ || met_ || events_.size() == looked_) return;
  if (events_.size() - looked_ < std::max<std::size_t>(1, looked_ / 8) && m.steps() - looked_step_ < kAtLatest) return;
  looked_ = events_.size(), looked_step_ = m.steps();
  judge();
  if (met_) m.stop().request(StopReason::until, met_->typed);
}

void Conditions::at_end(emu::Machine& m) {
  if (!met_ && words_ && events_.size() != looked_) judge();
  for (auto& c : list_)
    if (!met_ && c.kind == Condition::Kind::limit && m.stop().reason() == StopReason::limit) met_ = &c;
}

std::string Conditions::text() const {
  if (!met_) return {};
  const char* how = met_->verdict == Condition::Verdict::bad ? "bad" : met_->verdict == Condition::Verdict::good ? "good" : "stopped";
  return fmt::format("{}: {}{}", how, met_->typed, finding_.empty() ? "" : ": " + finding_);
}

int Conditions::status(int otherwise) const {
  if (met_) return met_->verdict == Condition::Verdict::good ? status::ok : status::finding;
  const bool judged = std::any_of(list_.begin(), list_.end(), [](auto& c) { return c.verdict != Condition::Verdict::stop; });
  return judged && otherwise != status::interrupted ? kCannotTell : otherwise;
}

nlohmann::ordered_json Conditions::json() const {
  if (!met_) return nullptr;
  nlohmann::ordered_json j{{"condition", met_->typed}, {"verdict", met_->verdict == Condition::Verdict::bad ? "bad" : met_->verdict == Condition::Verdict::good ? "good" : "stop"}};
  if (!finding_.empty()) j["finding"] = finding_;
  return j;
}

}  // namespace vt::cli
