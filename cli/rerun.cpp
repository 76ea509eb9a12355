// SPDX-License-Identifier: GPL-2.0-or-later
#include "rerun.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "drive.hpp"
#include "input.hpp"
#include "names.hpp"
#include "prepare.hpp"
#include "run_dir.hpp"
#include "sandbox.hpp"
#include "text.hpp"
#include "typing.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
namespace {

class FanOut final : public EventSink {
 public:
  void on(const Event& e) override { for (auto* s : sinks) if (!is_io(e.kind) || s->wants_io()) s->on(e); }
  bool wants_io() const override { return std::any_of(sinks.begin(), sinks.end(), [](auto* s) { return s->wants_io(); }); }
  std::vector<EventSink*> sinks;
};

/// File names of a command line mean what they meant where it was typed, and the guest is told them as they are.
class Directory {
 public:
  explicit Directory(const std::string& to) {
    std::error_code e;
    if (to.empty() || !fs::is_directory(to, e)) return;
    here_ = fs::current_path(e);
    fs::current_path(to, e);
  }
  ~Directory() {
    std::error_code e;
    if (!here_.empty()) fs::current_path(here_, e);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

 private:
  fs::path here_;
};

std::string text_of(const json& j, const char* key) { return j.is_object() && j.contains(key) && j[key].is_string() ? j[key].get<std::string>() : std::string{}; }

/// The options that the guest depends on, as `run` has written them.
RunOptions options_of(const json& manifest, const std::string& file) {
  const json j = manifest.value("options", json{});
  if (!j.is_object()) throw InputError(file + ": has no options, as runs of older versions; run again");
  RunOptions o;
  o.kernel = text_of(j, "kernel"), o.append = text_of(j, "append"), o.initrd = text_of(j, "initrd"), o.firmware = text_of(j, "firmware"), o.protocol = text_of(j, "protocol");
  for (auto& m : j.value("modules", json::array())) {
    const std::string args = text_of(m, "args");
    o.modules.push_back(text_of(m, "file") + (args.empty() ? "" : " " + args));
  }
  for (auto& d : j.value("disks", json::array())) o.disks.push_back(text_of(d, "file") + ",if=" + text_of(d, "if"));
  if (manifest.contains("guest")) o.symbols = text_of(manifest["guest"], "symbols");
  return o;
}

void check_inputs(const json& manifest, const std::string& run) {
  for (auto& i : manifest.value("inputs", json::array())) {
    const std::string role = text_of(i, "role"), file = text_of(i, "file"), sha = text_of(i, "sha256");
    if (role == "platform") continue;   // platform.json of the run is complete
    std::error_code e;
    if (!fs::exists(file, e))
      throw InputError(fmt::format("{}: is gone; {} was made from it ({}) and has to be run again for this: put the file back, or make a new run", file, run, role));
    if (fw::sha256_file(file) != sha)
      throw InputError(fmt::format("{}: has changed (another SHA-256) since {} was made from it ({}): put the old file back, or make a new run", file, run, role));
  }
}

/// The images of a run, each looked at only when something is read from it. One that is gone is left out: the machine can be looked at, and ends where
/// it needs it.
emu::Backends disks_of(const fw::Platform& p, const json& manifest) {
  emu::Backends b;
  Directory there(text_of(manifest.value("options", json::object()), "directory"));
  const json inputs = manifest.value("inputs", json::array());
  for (auto& f : p.pci)
    for (auto& d : f.disks) {
      b.disks.emplace_back();
      for (auto& i : inputs)
        if (!b.disks.back() && text_of(i, "role") == "disk" && text_of(i, "sha256") == d.sha256) {
          try {
            b.disks.back() = std::make_shared<RawImage>(text_of(i, "file"), d.sha256);
          } catch (const InputError&) { }
        }
    }
  return b;
}

}  // namespace

json read_manifest(const std::string& run) {
  const std::string file = run + "/" + kManifest;
  std::ifstream in(file);
  if (!in) throw InputError(fmt::format("{}: is not a run directory (it has no {}); make one with vitrine run -o DIR", run, kManifest));
  json j = json::parse(in, nullptr, false);
  if (!j.is_object() || !j.contains("schema")) throw InputError(file + ": is not a manifest of vitrine");
  if (j["schema"] != kRunSchema) throw InputError(fmt::format("{}: schema: this version reads \"{}\" only; run again", file, kRunSchema));
  return j;
}

struct Rerun::Impl {
  explicit Impl(const std::string& path) : run(path), manifest_file(path + "/" + kManifest), manifest(read_manifest(path)) {
    sandbox::may_write(path);   // its cache
    const json end = manifest.value("end", json{});
    reason = text_of(end, "reason");
    if (!end.is_object() || !end.contains("step") || !end["step"].is_number_unsigned())
      throw InputError(fmt::format("{}: the run was cut off ({}), so its end is not known; run again", path, reason.empty() ? "no end" : reason));
    end_step = end["step"].get<u64>();
    if (end.contains("waits") && end["waits"].is_number_unsigned()) end_waits = end["waits"].get<u64>();
    if (!manifest.value("input", json::array()).empty()) throw InputError(fmt::format("{}: input: is in {} since a later version; run again", manifest_file, kInput));
    input = read_inputs(path);
    const std::string platform_file = path + "/" + kPlatform;
    platform = fw::load_platform(platform_file);
    const std::string sha = text_of(manifest.value("platform", json{}), "sha256"), text = fw::to_json(platform);
    if (!sha.empty() && sha != fw::sha256({reinterpret_cast<const u8*>(text.data()), text.size()}))
      throw InputError(fmt::format("{}: has changed since the run was made; run again (a copy of it is good for --platform)", platform_file));
  }
  void watched() {
    tap.lines([this] { return static_cast<vtd::Outside&>(*machine).step(); }, [this](u64 step, const std::string& line) { for (auto& f : lines) f(step, line); });
  }
  /// What the machine does of itself at the end of the run.
  bool natural_end() const { return reason != "until" && reason != "limit" && reason != "interrupted"; }
  [[noreturn]] void diverged() {
    const auto& s = machine->stop();
    const std::string what = s.requested() ? fmt::format("it stops at step {} ({}{}{})", machine->steps(), stop_name(s.reason()), s.what().empty() ? "" : ": ", s.what())
                                           : fmt::format("it goes on at step {}", machine->steps());
    throw Diverged(fmt::format("{}: run again, it goes another way: {}, not at step {} ({}); was the run made by another build of vitrine?", run, what, end_step, reason));
  }

  const std::string run, manifest_file;
  json manifest;
  std::string reason;
  u64 end_step = 0;
  std::optional<u64> end_waits;   ///< it ended while every processor waited, at about this cycle
  fw::Platform platform;
  std::optional<hv::Symbols> symbols;
  std::vector<Arrival> input;
  std::size_t next_input = 0;
  ConsoleTap tap;
  FanOut events;
  std::vector<std::function<void(u64, const std::string&)>> lines;
  std::unique_ptr<emu::Machine> machine;
  bool ended = false;
};

Rerun::Rerun(const std::string& run) : impl_(std::make_unique<Impl>(run)) {
  RunOptions o = options_of(impl_->manifest, impl_->manifest_file);
  Directory there(text_of(impl_->manifest["options"], "directory"));
  check_inputs(impl_->manifest, run);
  Prepared p = prepare(impl_->platform, o);
  impl_->machine = std::make_unique<emu::Machine>(p.platform, impl_->tap, p.backends());
  impl_->machine->load(p.firmware, p.image);
  impl_->symbols = std::move(p.symbols);
  impl_->watched();
}

Rerun::Rerun(const std::string& run, const std::string& checkpoint) : impl_(std::make_unique<Impl>(run)) {
  impl_->machine = std::make_unique<emu::Machine>(impl_->platform, impl_->tap, disks_of(impl_->platform, impl_->manifest));
  emu::Machine& m = *impl_->machine;
  try {
    // ROM images were not in the platform: the loader has put them there.
    for (auto& rom : impl_->manifest.value("rom", json::array()))
      for (u64 at = rom.at("first").get<u64>(), end = at + rom.at("size").get<u64>(); at < end && at < m.memory().top(); at += kPageSize)
        if (!m.memory().present(Hpa{at})) m.memory().add_rom(Hpa{at}, kPageSize);
  } catch (const json::exception& x) {
    throw InputError(fmt::format("{}: rom: {}", impl_->manifest_file, x.what()));
  }
  emu::load_checkpoint(m, checkpoint);
  // One at the very end stands behind everything that was typed.
  while (impl_->next_input < impl_->input.size() && impl_->input[impl_->next_input].step < m.steps()) ++impl_->next_input;
  impl_->ended = m.steps() == impl_->end_step;
  if (impl_->ended) impl_->next_input = impl_->input.size();
  impl_->watched();
}
Rerun::~Rerun() = default;

emu::Machine& Rerun::machine() { return *impl_->machine; }
const std::vector<Arrival>& Rerun::inputs() const { return impl_->input; }
const json& Rerun::manifest() const { return impl_->manifest; }
const hv::Symbols* Rerun::symbols() const { return impl_->symbols ? &*impl_->symbols : nullptr; }
u64 Rerun::end_step() const { return impl_->end_step; }
const std::string& Rerun::unfinished_line() const { return impl_->tap.unfinished(); }
u64 Rerun::unfinished_step() const { return impl_->tap.unfinished_step(); }
void Rerun::watch(EventSink* s) {
  impl_->events.sinks.push_back(s);
  impl_->machine->watch(&impl_->events);
}
void Rerun::unwatch(EventSink* s) {
  std::erase(impl_->events.sinks, s);
  if (impl_->events.sinks.empty()) impl_->machine->watch(nullptr);
}
void Rerun::on_console(std::function<void(u64, const std::string&)> f) { impl_->lines.push_back(std::move(f)); }
const std::string& Rerun::heard() const { return impl_->tap.heard(); }
void Rerun::hear(std::string bytes) { impl_->tap.hear(std::move(bytes)); }
void Rerun::on_text(std::string text, std::function<void()> f) { impl_->tap.wait_for(std::move(text), std::move(f)); }
void Rerun::on_byte(std::function<void(u8)> f) { impl_->tap.bytes(std::move(f)); }
void Rerun::rewound() {
  Impl& i = *impl_;
  i.next_input = 0;
  while (i.next_input < i.input.size() && i.input[i.next_input].step < i.machine->steps()) ++i.next_input;
  i.ended = false;
}
void Rerun::fork() {
  impl_->next_input = impl_->input.size();
  impl_->ended = true;
}

void Rerun::to(u64 step, const char* what) {
  Impl& i = *impl_;
  emu::Machine& m = *i.machine;
  const bool to_end = step >= i.end_step;
  step = std::min(step, i.end_step);
  SignalGuard signals(m);
  const u64 from = m.steps();
  Progress progress(m, [&] { return fmt::format("{}: {}%", what, step > from ? (m.steps() - from) * 100 / (step - from) : 100); });
  Driver driver(m, [&] { progress.tick(); });
  auto run_to = [&](u64 to) {
    driver.to(to);
    if (m.stop().reason() == StopReason::interrupted) { m.stop().clear(); throw Interrupted(what); }
    if (!m.stop().requested()) return true;
    if (m.stop().reason() == StopReason::until) return false;   // an observer's wish
    return true;
  };
  // Where every processor waited for somebody outside.
  auto wait = [&](u64 until) {
    const u64 at = m.steps();
    m.run(at + 1, ~u64{0}, until);
    if (m.stop().reason() == StopReason::interrupted) { m.stop().clear(); throw Interrupted(what); }
    if (m.stop().reason() == StopReason::until) return false;   // an observer's wish: devices do not wait
    if (m.steps() != at || m.stop().requested()) i.diverged();
    return true;
  };
  auto type = [&](const Arrival& in) {
    if (in.waits && !wait(*in.waits)) return false;
    give(m, in);
    return true;
  };
  // What came before a step belongs to what happens from that step on.
  while (i.next_input < i.input.size() && i.input[i.next_input].step < step) {
    const Arrival& in = i.input[i.next_input];
    if (!run_to(in.step)) return;
    if (m.stop().requested()) i.diverged();
    if (!type(in)) return;
    ++i.next_input;
  }
  if (!run_to(step)) return;
  if (m.steps() != step || (m.stop().requested() && !to_end)) i.diverged();
  if (!to_end || i.ended) return;
  for (; i.next_input < i.input.size(); ++i.next_input)
    if (!type(i.input[i.next_input])) return;
  if (i.end_waits && !wait(*i.end_waits)) return;
  if (i.natural_end()) {
    if (!m.stop().requested()) driver.to(i.end_step + 1);
    if (m.stop().reason() == StopReason::interrupted) { m.stop().clear(); throw Interrupted(what); }
    if (m.stop().reason() == StopReason::until) return;
    if (m.steps() != i.end_step || i.reason != stop_name(m.stop().reason())) i.diverged();
    m.stop().clear();   // what it was is in the manifest; the state can be looked at
  } else if (m.stop().requested()) {
    i.diverged();
  }
  i.ended = true;
}

}  // namespace vt::cli
