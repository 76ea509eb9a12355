// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine gdb: a finished run under a debugger, forwards and backwards.
#include "gdb/gdb.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "gdb/elsewhere.hpp"
#include "gdb/scripts.hpp"
#include "moment.hpp"
#include "rerun.hpp"
#include "saved.hpp"
#include "story.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "when.hpp"

namespace vt::cli {
namespace gdb {
namespace fs = std::filesystem;

u16 parse_port(const std::string& s, const char* option) {
  const auto n = parse_number(s);
  if (!n || *n > 65535) throw UsageError(fmt::format("{} {}: not a port; give 1 to 65535, or 0 for any free one", option, s));
  return static_cast<u16>(*n);
}

namespace {

class RerunSource final : public Source {
 public:
  explicit RerunSource(Rerun& r) : rerun_(r) {}
  emu::Machine& machine() override { return rerun_.machine(); }
  void to(u64 step) override { rerun_.to(step, "gdb"); }
  void rewound() override { rerun_.rewound(); }
  u64 end() const override { return rerun_.end_step(); }
  void watch(EventSink* s) override { rerun_.watch(s); }
  void unwatch(EventSink* s) override { rerun_.unwatch(s); }
  void on_text(const std::string& text, std::function<void()> f) override { rerun_.on_text(text, std::move(f)); }
  std::string heard() const override { return rerun_.heard(); }
  void hear(std::string bytes) override { rerun_.hear(std::move(bytes)); }

 private:
  Rerun& rerun_;
};

/// The step that RUN@T means; none: no T was given.
std::optional<u64> moment(const std::string& typed, const RunAt& at, u64 end) {
  if (at.run == typed) return {};
  switch (at.at.kind) {
    case When::Kind::step:
      if (at.at.number > end) throw UsageError(fmt::format("{}: the run has {} steps", typed, grouped(end)));
      return at.at.number;
    case When::Kind::end: return end;
    case When::Kind::percent: return static_cast<u64>(static_cast<u128>(end) * at.at.number / 100'000);
    default: return Saved(typed).machine().steps();
  }
}

/// File names of a run mean what they meant where it was made.
std::string input_file(const nlohmann::ordered_json& manifest, const std::string& file) {
  const auto options = manifest.value("options", nlohmann::ordered_json::object());
  const std::string directory = options.is_object() && options.contains("directory") && options["directory"].is_string() ? options["directory"].get<std::string>() : std::string{};
  return fs::absolute(fs::path(file).is_absolute() || directory.empty() ? fs::path(file) : fs::path(directory) / file).lexically_normal().string();
}

/// gdb in the foreground. The machine is in a child, which says where gdb's script is: once a guest has run, a process starts no other one.
class Foreground {
 public:
  /// Both return: the child has to go on to ready().
  Foreground() {
    int ends[2];
    std::fflush(nullptr);
    if (::pipe2(ends, O_CLOEXEC) != 0 || (child_ = ::fork()) < 0) throw InputError(fmt::format("gdb: cannot be started: {}", std::strerror(errno)));
    from_ = ends[0], to_ = ends[1];
    ::close(child_ ? to_ : from_);
  }
  bool is_child() const { return child_ == 0; }
  void ready(const std::string& script) {
    ::setpgid(0, 0);   // Ctrl-C is for gdb, which sends an interrupt
    if (::write(to_, script.data(), script.size()) != static_cast<ssize_t>(script.size())) throw InputError("gdb: cannot be started");
    ::close(to_);
  }
  int debugger();

 private:
  pid_t child_ = -1;
  int from_ = -1, to_ = -1;
};

int Foreground::debugger() {
  struct sigaction ignore {}, old {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGINT, &ignore, &old);   // until it is ready the child hears it itself
  std::string script;
  char bytes[512];
  for (ssize_t n; (n = ::read(from_, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR);) script.append(bytes, n > 0 ? static_cast<std::size_t>(n) : 0);
  ::close(from_);
  int result = 0;
  if (script.empty()) {   // it has said why
    ::waitpid(child_, &result, 0);
    return WIFEXITED(result) ? WEXITSTATUS(result) : status::internal;
  }
  ::sigaction(SIGINT, &old, nullptr);
  const pid_t debugger = ::fork();
  if (debugger == 0) {
    ::execlp("gdb", "gdb", "-q", "-x", script.c_str(), static_cast<char*>(nullptr));
    std::fprintf(stderr, "vitrine: error: gdb: cannot be started (%s); install the package gdb, or use --serve PORT\n", std::strerror(errno));
    ::_exit(127);
  }
  ::sigaction(SIGINT, &ignore, &old);
  if (debugger > 0) ::waitpid(debugger, &result, 0);
  ::sigaction(SIGINT, &old, nullptr);
  ::kill(child_, SIGTERM);   // it may still wait for a client that never came
  ::waitpid(child_, nullptr, 0);
  if (debugger < 0) throw InputError("gdb: cannot be started");
  return WIFEXITED(result) ? (WEXITSTATUS(result) == 127 ? status::bad_input : WEXITSTATUS(result)) : status::finding;
}

}  // namespace

std::string write_init(const std::string& run, const nlohmann::ordered_json& manifest, const hv::Symbols* symbols, u16 port) {
  const std::string cache = run + "/cache/";
  std::error_code e;
  fs::create_directories(cache, e);
  auto write = [](const std::string& file, std::string_view text) {
    std::ofstream out(file, std::ios::binary);
    out << text;
    if (!out.flush()) throw InputError(fmt::format("{}: cannot be written; debug a copy of the run, or connect gdb yourself to --serve PORT", file));
    return fs::absolute(file).string();
  };
  std::string s = "set confirm off\nset remotetimeout 60\n";
  if (symbols) {
    s += fmt::format("file {}\n", input_file(manifest, symbols->file()));
    // Code that runs before paging, or as a copy: at those addresses.
    if (const std::string elf = moved_elf(*symbols); !elf.empty()) s += fmt::format("add-symbol-file {}\n", write(cache + "moved-symbols.elf", elf));
  }
  for (auto& i : manifest.value("inputs", nlohmann::ordered_json::array())) {
    if (i.value("role", "") != "module") continue;
    const std::string file = input_file(manifest, i.value("file", ""));
    try {
      if (hv::Symbols::load(file).size()) s += fmt::format("add-symbol-file {}\n", file);
    } catch (const std::runtime_error&) {   // an initial RAM disk, a kernel without symbols
    }
  }
  const auto guest = manifest.value("guest", nlohmann::ordered_json::object());
  if (symbols && guest.is_object() && guest.value("hypervisor", "") == "xen") s += fmt::format("source {}\n", write(cache + "xen-gdb.py", kXenGdbScript));
  s += fmt::format("define hookpost-monitor\n  maintenance flush register-cache\nend\ntarget remote 127.0.0.1:{}\nset confirm on\n", port);
  write(cache + "gdbinit", s);
  return cache + "gdbinit";
}

Monitor::Views views_of(Saved& live, std::function<const Story&()> story) {
  Monitor::Views v;
  v.map = [&live](const Monitor::Words& w, unsigned) {
    MapOptions o;
    for (std::size_t n = 0; n < w.size(); ++n) {
      std::string* to = w[n] == "--of" ? &o.of : w[n] == "--root" ? &o.root : w[n] == "--bdf" ? &o.bdf : nullptr;
      if (!to) { o.range = w[n]; continue; }
      if (++n == w.size()) throw UsageError(fmt::format("map {}: what?", w[n - 1]));
      *to = w[n];
    }
    return map_text(o, live);
  };
  v.walk = [&live](const Monitor::Words& w, unsigned cpu) {
    if (w.size() != 1) throw UsageError("walk: gva:A, gpa:A or iova:A@BDF");
    WalkOptions o;
    o.address = w[0];
    if (!w[0].starts_with("iova:") && w[0].find('@') == std::string::npos) o.address += fmt::format("@cpu{}", cpu);
    return walk_text(o, live);
  };
  v.blame = [story](const Monitor::Words& w, unsigned) {
    if (w.size() != 1) throw UsageError("blame: of what? gfn:A0, gpa:0xa0000, iova:8c000@00:1d.0, mfn:A0 or hpa:0xa0000");
    const Told t = blame_told(story(), w[0]);
    return t.text + (t.warning.empty() ? "" : t.warning + '\n');
  };
  v.check = [story](const Monitor::Words& w, unsigned) {
    CheckOptions o;
    o.rules = w;
    return check_told(story(), o).text;
  };
  return v;
}

}  // namespace gdb

int debug(const GdbOptions& o) {
  using namespace gdb;
  const std::optional<u16> port = o.serve.empty() ? std::nullopt : std::optional(parse_port(o.serve, "--serve"));
  u64 budget = emu::Timeline::kBudget;
  if (!o.budget.empty()) {
    const auto n = parse_number(o.budget);
    if (!n || *n < (u64{1} << 20)) throw UsageError(fmt::format("--checkpoint-memory {}: not a size from 1M on", o.budget));
    budget = *n;
  }
  const RunAt at = parse_run_at(o.run);
  std::optional<Foreground> foreground;
  if (!port && !foreground.emplace().is_child()) return foreground->debugger();
  Rerun rerun(at.run);
  const auto step = moment(o.run, at, rerun.end_step());
  Server server(port.value_or(0));
  RerunSource source(rerun);
  std::optional<hv::Symbols> symbols;
  if (rerun.symbols()) {
    symbols = *rerun.symbols();
    for (auto& m : find_moved(rerun.machine(), *symbols, input_file(rerun.manifest(), symbols->file()), [&](u64 to) { rerun.to(to, "symbols"); })) symbols->also_at(m);
    rerun.rewound();
  }
  Player player(source, budget);
  if (step && !player.seek(*step, {})) throw InputError(fmt::format("{}: the moment cannot be reached", o.run));

  Saved live(rerun.machine(), rerun.manifest(), at.run);
  std::unique_ptr<Story> story;   // read when somebody asks for it
  auto told = [&]() -> const Story& {
    if (!story && !has_ledger(rerun.manifest(), at.run))
      throw UsageError(fmt::format("{} has no ledger: make one once with vitrine log {}, or make the run with --ledger", at.run, at.run));
    if (!story) story = std::make_unique<Story>(at.run);
    story->until(player.now());
    return *story;
  };
  Monitor monitor(player, symbols ? &*symbols : nullptr,
                  views_of(live, told), {});
  auto serve = [&] { return server.serve(player, [&](const std::string& line, unsigned cpu) { return monitor.run(line, cpu); }); };

  const std::string file = write_init(at.run, rerun.manifest(), symbols ? &*symbols : nullptr, server.port());
  if (foreground) {
    foreground->ready(file);
    (void)serve();
    return status::ok;
  }

  std::fprintf(stderr, "vitrine: gdb: serving %s at step %s on 127.0.0.1:%u\nvitrine: gdb -q -x %s\n", at.run.c_str(), grouped(player.now()).c_str(), server.port(), file.c_str());
  for (;;) {
    const Server::End end = serve();
    if (end == Server::End::killed) return status::ok;
    if (end == Server::End::interrupted) return status::interrupted;
    std::fprintf(stderr, "vitrine: gdb: the debugger has %s; the next one finds the machine at step %s\n", end == Server::End::detached ? "detached" : "gone away", grouped(player.now()).c_str());
  }
}

}  // namespace vt::cli
