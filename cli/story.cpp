// SPDX-License-Identifier: GPL-2.0-or-later
#include "story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cpu/ept_caps.hpp"
#include "ledger_sink.hpp"
#include "rerun.hpp"
#include "run_dir.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace fs = std::filesystem;
namespace {

struct Silent final : emu::SerialSink { void put(u8) override {} };

std::string text_at(const nlohmann::ordered_json& j, const char* object, const char* key) {
  if (!j.contains(object) || !j[object].is_object() || !j[object].contains(key) || !j[object][key].is_string()) return {};
  return j[object][key].get<std::string>();
}

}  // namespace

std::optional<hv::Symbols> symbols_of(const nlohmann::ordered_json& manifest) {
  std::string file = text_at(manifest, "guest", "symbols");
  if (file.empty()) return {};
  const std::string directory = text_at(manifest, "options", "directory"), build = text_at(manifest, "guest", "build_id");
  std::error_code e;
  if (!fs::exists(file, e) && !directory.empty()) file = directory + "/" + file;
  try {
    hv::Symbols s = hv::Symbols::load(file);
    if (build.empty() || s.build_id().empty() || s.build_id() == build) return s;
    print_warning(fmt::format("{}: is of another build by now; functions have no names", file));
  } catch (const hv::SymbolError& x) {
    print_warning(fmt::format("{}; functions have no names", x.what()));
  }
  return {};
}

std::vector<ConsoleLine> read_console(const std::string& file) {
  std::vector<ConsoleLine> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const std::size_t close = line.find(']');
    if (line.empty() || line[0] != '[' || close == line.npos) continue;
    std::string digits;
    for (char c : line.substr(1, close - 1)) if (c >= '0' && c <= '9') digits += c;
    const auto step = parse_number(digits);
    if (step) lines.push_back({*step, line.size() > close + 2 ? line.substr(close + 2) : std::string{}});
  }
  return lines;
}

namespace {
bool own_ledger(const nlohmann::ordered_json& manifest) { return manifest.contains("ledger") && manifest["ledger"].is_object(); }
}  // namespace

bool has_ledger(const nlohmann::ordered_json& manifest, const std::string& run) {
  std::error_code e;
  return own_ledger(manifest) || fs::exists(run + "/" + kLedgerCache, e);
}

views::Setup setup_of(emu::Machine& m, const views::Words& words) {
  views::Setup s;
  s.memory_top = m.memory().top();
  s.memory = m.memory().ranges();
  s.ept = cpu::ept_caps(m.processor(0).model());
  for (auto& u : m.vtd_units()) s.units.push_back(u->caps());
  s.tag = [&words](u64 entry) { return words.tag(entry); };
  return s;
}

Story::Story(const std::string& run) : saved_(run) {
  const std::string dir = saved_.path() + "/";
  platform_ = fw::load_platform(dir + kPlatform);
  symbols_ = symbols_of(manifest());
  words_ = words_for(saved_.is_xen(), symbols_ ? &*symbols_ : nullptr);
  {
    Silent silent;
    emu::Machine m(platform_, silent);
    setup_ = setup_of(m, *words_);
  }
  std::string file = dir + kEvents;
  if (!own_ledger(manifest())) {
    file = dir + kLedgerCache;
    std::error_code e;
    if (!fs::exists(file, e)) run_again(file);
  }
  history_ = views::tell(views::read_events(file), setup_);
  console_ = read_console(dir + kConsole);
  const auto step = saved_.step();
  until(step ? *step : saved_.machine().steps());
}

Story::Story(Parts parts, emu::Machine& machine) : saved_(std::move(parts.saved)), platform_(std::move(parts.platform)), symbols_(std::move(parts.symbols)), console_(std::move(parts.console)) {
  words_ = words_for(saved_.is_xen(), symbols_ ? &*symbols_ : nullptr);
  setup_ = setup_of(machine, *words_);
  history_ = views::tell(std::move(parts.events), setup_);
  until(machine.steps());
}

void Story::until(u64 step) {
  end_step_ = step;
  // What the last step has done belongs to the end.
  const bool end = end_step_ >= manifest().value("steps", ~u64{0});
  end_event_ = end ? static_cast<u32>(history_.events.size()) : history_.at_step(end_step_);
}

void Story::run_again(const std::string& to) {
  print_warning(fmt::format("{} was made without --ledger: running it again once (kept in {})", saved_.path(), kLedgerCache));
  Rerun again(saved_.path());
  std::error_code e;
  fs::create_directories(fs::path(to).parent_path(), e);
  views::EventWriter writer;
  writer.open(to + ".part");
  {
    LedgerSink sink(again.machine(), saved_.is_xen(), again.symbols(), writer, nullptr);
    again.watch(&sink);
    again.to(again.end_step(), "ledger");
  }
  if (!writer.close()) throw std::runtime_error(to + ": cannot be written completely (disk full?)");
  fs::rename(to + ".part", to, e);
  if (e) throw std::runtime_error(fmt::format("{}: cannot be put in place ({})", to, e.message()));
}

const ConsoleLine* Story::console_before(u64 step) const {
  auto at = std::upper_bound(console_.begin(), console_.end(), step, [](u64 s, const ConsoleLine& l) { return s < l.step; });
  return at == console_.begin() ? nullptr : &*--at;
}

std::unique_ptr<views::Replay> Story::replay(u32 event) const {
  auto r = std::make_unique<views::Replay>(setup_);
  for (u32 n = 0; n < event && n < history_.events.size(); ++n) r->apply(history_.events[n], n, {});
  return r;
}

}  // namespace vt::cli
