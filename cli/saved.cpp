// SPDX-License-Identifier: GPL-2.0-or-later
#include "saved.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "probe.hpp"
#include "recorder.hpp"
#include "run_dir.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
namespace {

constexpr std::size_t kKept = 4;   ///< checkpoints of moments that were asked for
constexpr const char* kTimes = "cache/times.json";
constexpr const char* kTimesSchema = "vitrine.times/1";

/// cache/1200000.ckpt
std::optional<u64> step_of(const fs::path& file) {
  if (file.extension() != ".ckpt") return {};
  const std::string s = file.stem().string();
  u64 v = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (s.empty() || error != std::errc{} || end != s.data() + s.size()) return {};
  return v;
}

/// Steps of times that had to be searched for. What cannot be read was never there: it can be made again.
json times_of(const std::string& run, const json& manifest) {
  std::ifstream in(run + "/" + kTimes);
  json j = in ? json::parse(in, nullptr, false) : json{};
  const json hash = manifest.value("state_hash", json{});
  if (!j.is_object() || j.value("schema", "") != kTimesSchema || j.value("state_hash", json{}) != hash || !j.contains("times") || !j["times"].is_object())
    j = {{"schema", kTimesSchema}, {"state_hash", hash}, {"times", json::object()}};
  return j;
}

}  // namespace

std::optional<u64> parse_hex(std::string_view s) {
  if (s.starts_with("0x") || s.starts_with("0X")) s.remove_prefix(2);
  u64 v = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v, 16);
  if (s.empty() || error != std::errc{} || end != s.data() + s.size()) return {};
  return v;
}

Saved::Saved(emu::Machine& live, json manifest, std::string path) : path_(std::move(path)), manifest_(std::move(manifest)), live_(&live) {}

Saved::Saved(const std::string& run) {
  RunAt r = parse_run_at(run);
  path_ = std::move(r.run), at_ = std::move(r.at);
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  manifest_ = read_manifest(path_);
}

void Saved::end_only(const char* verb) const {
  if (at_.kind != When::Kind::end)
    throw UsageError(fmt::format("{}{}: {} knows whole runs only; leave the time out, or run again with --until {}", named(), at_.typed, verb, at_.typed));
}

Rerun& Saved::rerun() {
  if (rerun_) return *rerun_;
  if (at_.kind == When::Kind::end) at_end();
  else if (auto s = step()) at_step(*s);
  else search();
  return *rerun_;
}

std::optional<u64> Saved::step() const {
  const json end = manifest_.value("end", json::object());
  const u64 last = end.contains("step") && end["step"].is_number_unsigned() ? end["step"].get<u64>() : 0;
  if (at_.kind == When::Kind::percent) return static_cast<u64>(static_cast<u128>(last) * at_.number / 100'000);
  if (at_.kind == When::Kind::step) return at_.number;
  const json times = times_of(path_, manifest_)["times"];
  if (times.contains(at_.typed) && times[at_.typed].is_number_unsigned()) return times[at_.typed].get<u64>();
  return {};
}

std::optional<Saved::Checkpoint> Saved::nearest(u64 step) const {
  std::optional<Checkpoint> best;
  auto consider = [&](u64 at, const std::string& file) {
    std::error_code e;
    if (at <= step && (!best || at > best->step) && fs::exists(file, e)) best = {at, file};
  };
  // The end's own is the state after whatever ended the run; it is no way to go on from.
  for (auto& c : manifest_.value("checkpoints", json::array()))
    if (c.is_object() && c.contains("step") && c["step"].is_number_unsigned() && c.contains("file") && c["file"].is_string() && c["file"] != kEndCheckpoint)
      consider(c["step"].get<u64>(), path_ + "/" + c["file"].get<std::string>());
  std::error_code e;
  for (auto& f : fs::directory_iterator(path_ + "/cache", e))
    if (auto at = step_of(f.path())) consider(*at, f.path().string());
  return best;
}

std::unique_ptr<Rerun> Saved::again_before(u64 step) const {
  const auto from = step ? nearest(step - 1) : std::nullopt;
  return from ? std::make_unique<Rerun>(path_, from->file) : std::make_unique<Rerun>(path_);
}

void Saved::at_end() {
  const std::string checkpoint = path_ + "/" + kEndCheckpoint;
  std::error_code e;
  if (fs::exists(checkpoint, e)) { rerun_ = std::make_unique<Rerun>(path_, checkpoint); return; }
  const json end = manifest_.value("end", json::object());
  if (!end.contains("step"))
    throw InputError(fmt::format("{}: has no checkpoint of its end ({}): the run was cut off; run again", path_, kEndCheckpoint));
  rerun_ = std::make_unique<Rerun>(path_);
  rerun_->to(~u64{0}, "running again to the end");
  keep();
}

void Saved::at_step(u64 step) {
  const json end = manifest_.value("end", json::object());
  if (end.contains("step") && end["step"].is_number_unsigned()) {
    const u64 last = end["step"].get<u64>();
    if (step > last) throw UsageError(fmt::format("{}{}: the run ended before, at step {}", named(), at_.typed, grouped(last)));
    if (step == last) { at_end(); return; }
  }
  auto from = nearest(step);
  rerun_ = from ? std::make_unique<Rerun>(path_, from->file) : std::make_unique<Rerun>(path_);
  if (from && rerun_->machine().steps() != from->step)
    throw InputError(fmt::format("{}: is a checkpoint of step {}; remove it, it can be made again", from->file, rerun_->machine().steps()));
  if (from && from->step == step) {
    std::error_code e;
    fs::last_write_time(from->file, fs::file_time_type::clock::now(), e);   // it is in use
    return;
  }
  rerun_->to(step, fmt::format("running again to step {}", grouped(step)).c_str());
  keep();
}

void Saved::search() {
  rerun_ = std::make_unique<Rerun>(path_);
  emu::Machine& m = rerun_->machine();
  {
    std::optional<Recorder> recorder;
    std::optional<SymbolStop> symbol;
    if (at_.kind == When::Kind::symbol) {
      symbol.emplace(m, symbol_address(at_, rerun_->symbols(), named()), at_.number, at_.typed);
    } else if (at_.kind == When::Kind::console) {
      rerun_->on_text(at_.text, [&m, wanted = at_.typed, once = false]() mutable {
        if (!std::exchange(once, true)) m.stop().request(StopReason::until, wanted);
      });
    } else {
      recorder.emplace(m.stop(), at_);
      rerun_->watch(&*recorder);
    }
    rerun_->to(~u64{0}, fmt::format("running again to {}", at_.typed).c_str());
    if (recorder) rerun_->unwatch(&*recorder);
    if (!m.stop().requested()) {
      std::string seen = "it did not come to that";
      if (at_.kind == When::Kind::console) seen = "it did not print that";
      if (at_.kind == When::Kind::exit_count) seen = fmt::format("it had {} VM exits", recorder->exits());
      if (at_.kind == When::Kind::entry_count) seen = fmt::format("it had {} VM entries", recorder->entries());
      if (at_.kind == When::Kind::symbol) seen = fmt::format("it was executed {} times", at_.number - symbol->left());
      throw UsageError(fmt::format("{}{}: the run ended before, at step {}: {}", named(), at_.typed, grouped(rerun_->end_step()), seen));
    }
  }
  m.stop().clear();
  json times = times_of(path_, manifest_);
  times["times"][at_.typed] = m.steps();
  try {
    RunDir(path_).write(kTimes, times.dump(1) + '\n');
  } catch (const std::runtime_error&) { }   // a cache: without it the next question takes as long
  if (m.steps() < rerun_->end_step()) keep();
}

/// So that the next question about this moment is answered at once. A directory that cannot be written is no error.
void Saved::keep() {
  const bool end = rerun_->machine().steps() == rerun_->end_step();
  std::error_code e;
  fs::create_directories(path_ + "/cache", e);
  try {
    emu::save_checkpoint(rerun_->machine(), end ? path_ + "/" + kEndCheckpoint : fmt::format("{}/cache/{}.ckpt", path_, rerun_->machine().steps()));
  } catch (const std::runtime_error&) { return; }
  std::vector<std::pair<fs::file_time_type, fs::path>> kept;
  const json listed = manifest_.value("checkpoints", json::array());
  for (auto& f : fs::directory_iterator(path_ + "/cache", e)) {
    if (!step_of(f.path())) continue;
    const std::string name = "cache/" + f.path().filename().string();
    if (std::any_of(listed.begin(), listed.end(), [&](auto& c) { return c.is_object() && c.value("file", "") == name; })) continue;
    kept.emplace_back(f.last_write_time(e), f.path());
  }
  std::sort(kept.rbegin(), kept.rend());
  for (std::size_t n = kKept; n < kept.size(); ++n) fs::remove(kept[n].second, e);
}

bool Saved::is_xen() const {
  const auto guest = manifest_.value("guest", json::object());
  return guest.is_object() && guest.value("hypervisor", "") == "xen";
}

std::vector<Saved::KnownEptp> Saved::eptps() {
  std::vector<KnownEptp> all;
  auto add = [&all](u64 v, std::optional<u64> step) {
    const ept::Eptp eptp{v};
    if (!v) return;
    for (auto& k : all)
      if (k.eptp.root() == eptp.root()) { k.eptp = eptp; return; }
    all.push_back({eptp, step});
  };
  const u64 now = machine().steps();
  for (auto& e : manifest_.value("eptps", json::array()))
    if (e.is_object() && e.contains("eptp") && e["eptp"].is_string()) {
      std::optional<u64> step;
      if (e.contains("first_step") && e["first_step"].is_number_unsigned()) step = e["first_step"].get<u64>();
      if (step && *step >= now) continue;   // not yet
      add(parse_hex(e["eptp"].get<std::string>()).value_or(0), step);
    }
  for (unsigned n = 0; n < machine().cpus(); ++n) add(machine().processor(n).vmx.eptp, {});
  return all;
}

}  // namespace vt::cli
