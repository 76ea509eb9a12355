// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine run: everything is read and checked, and the machine stands, before anything is written.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "conditions.hpp"
#include "console.hpp"
#include "disks.hpp"
#include "drive.hpp"
#include "gdb/elsewhere.hpp"
#include "gdb/fresh.hpp"
#include "gdb/gdb.hpp"
#include "ledger_sink.hpp"
#include "manifest.hpp"
#include "interactive.hpp"
#include "names.hpp"
#include "network.hpp"
#include "probe.hpp"
#include "processors.hpp"
#include "run_dir.hpp"
#include "sandbox.hpp"
#include "saved.hpp"
#include "story.hpp"
#include "text.hpp"
#include "typing.hpp"

namespace vt::cli {
namespace {

Console::Mode console_mode(const std::string& s) {
  if (s == "stdio") return Console::Mode::stdio;
  if (s == "raw") return Console::Mode::raw;
  if (s == "file") return Console::Mode::file;
  if (s == "none") return Console::Mode::none;
  throw UsageError(fmt::format("--console {}: there is stdio (lines with their step), raw, file and none", s));
}

/// What a failing CHECK leaves behind: console and events as they are, and a manifest that says so.
struct Rescue {
  Console& console;
  Recorder& recorder;
  const RunDir* dir;
  nlohmann::ordered_json& manifest;
  static void flush(void* self) {
    auto& r = *static_cast<Rescue*>(self);
    r.console.flush();
    r.recorder.flush();
    if (!r.dir) return;
    r.manifest["end"]["reason"] = "internal-error";
    r.manifest["exit_status"] = status::internal;
    try { r.dir->write(kManifest, manifest_text(r.manifest)); } catch (const std::runtime_error&) { }
  }
};

/// --checkpoint-every: where the next one is due, and what there is.
struct Checkpoints {
  u64 every = 0, next = ~u64{0};
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  void save(emu::Machine& m, const RunDir& dir) {
    const std::string file = fmt::format("cache/{}.ckpt", m.steps());
    next = m.steps() > ~u64{0} - every ? ~u64{0} : m.steps() + every;
    try {
      emu::save_checkpoint(m, dir.file(file));
      list.push_back({{"step", m.steps()}, {"file", file}});
    } catch (const std::runtime_error& e) {
      print_warning(fmt::format("{}; no more checkpoints are written", e.what()));
      next = ~u64{0};
    }
  }
};

struct Session {
  emu::Machine& m;
  Console& console;
  Recorder& recorder;
  Typist& typist;
  Checkpoints& checkpoints;
  Conditions& conditions;
  const RunDir* dir;
  nlohmann::ordered_json& manifest;
  Interactive* interactive = nullptr;

  void run(const When& until, u64 max_steps) {
    const u64 end = until.kind == When::Kind::step ? until.number : ~u64{0};
    const u64 first = std::min(end, max_steps);
    advance(first);
    if (m.stop().requested()) return;
    if (first == end) m.stop().request(StopReason::until, until.text);
    else m.stop().request(StopReason::limit, "--max-steps");
  }
  /// To this step, unless the run ends before.
  void advance(u64 first) {
    Progress progress(m, [&] { return console.last_line(); }, [&](const std::string& line) { console.progress(line); });
    const auto between = [&] { progress.tick(); recorder.flush(); };
    Driver driver(m, between);
    for (;;) {
      const bool heard = interactive && interactive->goes_on();
      typist.go_on(m);
      if (m.stop().requested()) return;
      if (m.steps() >= first) break;
      // A checkpoint of a step is its state before what is typed then.
      if (m.steps() == checkpoints.next) checkpoints.save(m, *dir), kept();
      typist.type_due(m);
      const u64 next = std::min({first, typist.next_step(), checkpoints.next, conditions.next_step(m.steps())});
      if (heard) interactive->to(next, [&] { if (interactive->typed_at()) console.flush(), recorder.flush(); else between(); });
      else driver.to(next);
      if (m.steps() % Conditions::kEvery == 0) conditions.look(m);
    }
  }
  /// What a crash must not lose.
  void kept() {
    if (!checkpoints.list.empty()) manifest["checkpoints"] = checkpoints.list;
    if (dir) dir->write(kManifest, manifest_text(manifest));
  }
};

std::string end_text(emu::Machine& m, const Prepared& p, const When& until) {
  const Stop& s = m.stop();
  const std::string wanted = until.kind == When::Kind::console ? "console:'" + until.text + "'" : until.typed;
  std::string t;
  switch (s.reason()) {
    case StopReason::until: return s.what() == kEscape ? "left by " + s.what() : "reached " + wanted;
    case StopReason::exit_device: return fmt::format("the guest ended the run with status {}{}", s.code(), s.what() == "exit device" ? "" : " (" + s.what() + ")");
    case StopReason::power_off: t = "powered off"; break;
    case StopReason::limit: return fmt::format("step limit reached ({})", s.what());
    case StopReason::interrupted: return "interrupted";
    case StopReason::input_lost: return s.what();
    case StopReason::unsupported: t = "not modelled"; break;
    case StopReason::reset: t = "reset"; break;
    case StopReason::triple_fault: t = "triple fault"; break;
    case StopReason::halted: t = "halted for good"; break;
    case StopReason::none: t = "unfinished"; break;
  }
  if (!s.what().empty()) t += ": " + s.what();
  if (!s.where().empty()) t += " (" + s.where() + ")";
  const u64 rip = m.processor(m.current()).rip;
  std::string at = p.symbols ? p.symbols->name(rip) : std::string{};
  t += fmt::format(", at rip {:#x}{} of cpu {}, step {}", rip, at.empty() ? "" : " (" + at + ")", m.current(), grouped(m.steps()));
  if (s.reason() == StopReason::power_off && until.kind != When::Kind::never) t += ", before " + wanted;
  return t;
}

/// The run under a debugger, until that goes away. False: it has ended the run.
bool debugged(gdb::Server& server, gdb::Fresh& fresh, const hv::Symbols* symbols, const nlohmann::ordered_json& manifest, const std::string& directory,
              const std::function<std::unique_ptr<Story>(Saved&)>& tell) {
  gdb::Server::End end;
  {
    gdb::Player player(fresh);
    Saved live(player.machine(), manifest, directory);
    std::unique_ptr<Story> story;
    gdb::Monitor monitor(player, symbols, gdb::views_of(live, [&]() -> const Story& {
      story = tell(live);
      story->until(player.now());
      return *story;
    }), {});
    end = server.serve(player, [&](const std::string& line, unsigned cpu) { return monitor.run(line, cpu); });
  }
  fresh.catch_up();
  if (end == gdb::Server::End::detached || end == gdb::Server::End::disconnected) return true;
  fresh.machine().stop().request(StopReason::interrupted, "the debugger");
  return false;
}

nlohmann::ordered_json network_json(emu::Machine& m, const Network& n, const std::string& capture) {
  nlohmann::ordered_json j{{"kind", "user"}};
  for (auto& f : m.platform().pci) if (f.model == kNetworkCard) { j["card"] = bdf_text(f.bdf); break; }
  j["frames_sent"] = n.counts().passed, j["frames_refused"] = n.counts().refused, j["frames_received"] = n.counts().came;
  j["frames_dropped"] = m.network_cards()[0]->counts().dropped;
  if (!capture.empty()) j["capture"] = capture;
  return j;
}

bool wants_processors(StopReason r) {
  return r == StopReason::triple_fault || r == StopReason::reset || r == StopReason::halted || r == StopReason::unsupported;
}

/// Two --disk of one file would undo each other.
void may_commit(const std::vector<std::shared_ptr<RawImage>>& disks) {
  for (std::size_t n = 0; n < disks.size(); ++n) {
    check_commit(*disks[n]);
    for (std::size_t k = 0; k < n; ++k)
      if (std::error_code e; std::filesystem::equivalent(disks[n]->file(), disks[k]->file(), e))
        throw UsageError(fmt::format("--disk-commit: {} is given twice, and two disks cannot both be merged into it", disks[n]->file()));
  }
}

/// What the guest has written to its disks: the files in the run directory, and what becomes of it at the end.
struct WrittenDisks {
  std::vector<std::unique_ptr<Overlay>> files;
  void keep(emu::Machine& m, const std::vector<std::shared_ptr<RawImage>>& images, const RunDir& dir) {
    for (std::size_t n = 0; n < m.disks().size(); ++n) {
      files.push_back(std::make_unique<Overlay>(dir.file(m.disks()[n]->name() + ".overlay"), images[n]->file(), images[n]->size(), images[n]->sha256()));
      m.disks()[n]->listen(files.back().get());
    }
  }
  void again(emu::Machine& m) {
    for (std::size_t n = 0; n < files.size(); ++n) files[n]->again(*m.disks()[n]);
  }
  /// False: something that was asked for could not be done.
  bool end(emu::Machine& m, const std::vector<std::shared_ptr<RawImage>>& images, bool commit, int status, nlohmann::ordered_json& manifest) {
    bool ok = true;
    auto list = nlohmann::ordered_json::array();
    for (std::size_t n = 0; n < m.disks().size(); ++n) {
      const emu::Disk& d = *m.disks()[n];
      nlohmann::ordered_json j{{"disk", d.name()}, {"file", images[n]->file()}, {"written_blocks", d.written_blocks()}};
      if (n < files.size()) {
        j["overlay"] = d.name() + ".overlay";
        m.disks()[n]->listen(nullptr);
        if (!files[n]->complete()) print_error(files[n]->file() + ": could not be written completely (disk full?)"), ok = false;
      }
      if (!commit) {
        if (const std::string why = images[n]->changed(); !why.empty())
          print_warning(fmt::format("{}: {} while the run went on; what was read of it may not be what its SHA-256 says, and the run cannot be made again", images[n]->file(), why));
      } else if (status != status::ok) {
        print_warning(fmt::format("{}: nothing was committed, since the run did not end with status 0; it is as it was", images[n]->file()));
        j["committed"] = false;
      } else if (d.written_blocks()) {
        try {
          j["committed_sha256"] = commit_disk(*images[n], d);
          j["committed"] = true;
          std::fprintf(stderr, "vitrine: %s: %s blocks of 4K committed\n", images[n]->file().c_str(), grouped(d.written_blocks()).c_str());
        } catch (const std::runtime_error& e) {
          print_error(e.what());
          j["committed"] = false;
          ok = false;
        }
      }
      list.push_back(j);
    }
    if (!list.empty()) manifest["disks"] = list;
    return ok;
  }
};

/// The guest runs from here on: what is opened later lies in the run directory, or is an image that is merged at the end.
void enter_sandbox(const RunOptions& o, const RunDir* dir, const std::vector<std::shared_ptr<RawImage>>& disks) {
  if (dir) sandbox::may_write(dir->path());
  if (o.disk_commit)
    for (auto& d : disks) sandbox::may_write(commit_directory(*d));
  if (o.net) sandbox::may_network();
  sandbox::enter();
}

}  // namespace

int run(const RunOptions& o) {
  Console::Mode mode = console_mode(o.console);
  const auto escape = parse_escape(o.escape);
  const bool typed_at = mode == Console::Mode::stdio && o.gdb.empty() && Keyboard::present();
  if (typed_at && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO)) mode = Console::Mode::raw;
  const When until = parse_when(o.until);
  u64 max_steps = ~u64{0};
  if (!o.max_steps.empty()) {
    auto n = parse_number(o.max_steps);
    if (!n) throw UsageError(fmt::format("--max-steps {}: not a number", o.max_steps));
    max_steps = *n;
  }
  if (mode == Console::Mode::file && o.out.empty()) throw UsageError("--console file: needs a run directory, -o DIR");
  std::optional<RunDir> dir;
  if (o.ledger && o.out.empty()) throw UsageError("--ledger: needs a run directory, -o DIR");
  if (!o.out.empty()) dir.emplace(o.out);

  Checkpoints checkpoints;
  if (!o.checkpoint_every.empty()) {
    auto n = parse_number(o.checkpoint_every);
    if (!n || !*n) throw UsageError(fmt::format("--checkpoint-every {}: not a number of steps from 1 on", o.checkpoint_every));
    if (o.out.empty()) throw UsageError("--checkpoint-every: needs a run directory, -o DIR");
    checkpoints.every = checkpoints.next = *n;
  }
  Conditions conditions(parse_conditions(o));
  std::vector<TypeOrder> orders;
  for (auto& t : o.type) orders.push_back(parse_type(t));
  for (auto& t : o.poke) orders.push_back(parse_poke(t));
  InputLog inputs;
  Typist typist(std::move(orders), inputs);

  std::optional<NetOption> net;
  if (o.net) net = parse_net(*o.net);
  if (net && !o.gdb.empty()) throw UsageError("--net: not with --gdb, as a network cannot be taken back; make the run with --net, and debug it forwards and backwards: vitrine gdb DIR");

  std::optional<gdb::Server> debugger;
  if (!o.gdb.empty()) {
    const u16 port = gdb::parse_port(o.gdb, "--gdb");
    debugger.emplace(port);
  }

  if (o.disk_commit && o.disks.empty()) throw UsageError("--disk-commit: there is no --disk");
  Prepared p = prepare(o);
  if (o.disk_commit) may_commit(p.disks);
  Console console(mode);
  ConsoleTap tap(&console);
  gdb::Frontier frontier;
  gdb::NewBytes new_bytes(tap, frontier);
  Console console2(Console::Mode::none);
  gdb::NewBytes new_bytes2(console2, frontier);
  p.com2 = &new_bytes2;
  emu::Machine m(p.platform, new_bytes, p.backends());
  if (debugger) new_bytes.of(m), new_bytes2.of(m);
  for (Console* c : {&console, &console2}) c->clock([&m] { return static_cast<vtd::Outside&>(m).step(); });
  m.load(p.firmware, p.image);
  for (auto& w : p.image.warnings) print_warning(w);
  p.firmware.clear(), p.image.blobs.clear();
  std::optional<hv::Symbols> debug_symbols = p.symbols;
  if (debugger && debug_symbols) {
    if (dir) dir->create();   // has to be there before the guest runs for the first time
    enter_sandbox(o, dir ? &*dir : nullptr, p.disks);
    new_bytes.muted = new_bytes2.muted = true;
    for (auto& x : gdb::find_moved(m, *debug_symbols, debug_symbols->file(), [&](u64 to) { m.run(to); })) debug_symbols->also_at(x);
    new_bytes.muted = new_bytes2.muted = false;
  }
  Recorder recorder(m.stop(), until);
  m.watch(&recorder);
  if (until.kind == When::Kind::console)
    console.wait_for(until.text, [&] { m.stop().request(StopReason::until, "console"); });
  typist.attach(m, tap);
  conditions.attach(m, tap);
  u64 symbol = 0;
  if (until.kind == When::Kind::symbol) symbol = symbol_address(until, p.symbols ? &*p.symbols : nullptr, "--until ");

  std::optional<Network> network;
  if (net && (!dir || !net->capture.empty())) network.emplace(m, net->capture);
  auto manifest = manifest_start(o, p);
  WrittenDisks written;
  if (dir) {
    dir->create();
    dir->write(kPlatform, fw::to_json(p.platform));
    dir->write(kManifest, manifest_text(manifest));
    console.keep(dir->file(kConsole));
    if (p.platform.com2) console2.keep(dir->file(kConsole2));
    recorder.keep(dir->file(kEvents));
    inputs.keep(dir->file(kInput));
    if (net && !network) network.emplace(m, dir->file(net->capture = kCapture));
    written.keep(m, p.disks, *dir);
  }
  std::optional<LedgerSink> ledger;
  std::vector<Event> told;   // for a debugger that asks
  const bool judged = wants_ledger(parse_conditions(o));
  std::unique_ptr<views::Words> words;
  if (judged) {
    words = words_for(p.kernel.kind == hv::Kind::xen, p.symbols ? &*p.symbols : nullptr);
    conditions.rules(setup_of(m, *words), *words, p.platform);
  }
  if (o.ledger || judged) {
    ledger.emplace(m, p.kernel.kind == hv::Kind::xen, p.symbols ? &*p.symbols : nullptr, recorder.hand_over(), &recorder, [&](const Event& e) {
      conditions.event(e);
      if (debugger) told.push_back(e);
    });
    if (debugger) ledger->hear_from(&frontier.step);
    m.watch(&*ledger);
  }
  std::optional<SymbolStop> symbol_stop;   // over the ledger's
  if (until.kind == When::Kind::symbol) symbol_stop.emplace(m, symbol, until.number, until.typed), symbol_stop->hear_from(&frontier.step);
  Rescue rescue{console, recorder, dir ? &*dir : nullptr, manifest};
  set_check_hook(&Rescue::flush, &rescue);

  enter_sandbox(o, dir ? &*dir : nullptr, p.disks);
  const double user = user_now(), elapsed = elapsed_now();
  std::optional<u64> waits;   // it ended while every processor waited for somebody outside
  {
    SignalGuard signals(m);
    Session session{m, console, recorder, typist, checkpoints, conditions, dir ? &*dir : nullptr, manifest};
    std::optional<Keyboard> keyboard;
    std::optional<Interactive> interactive;
    if (typed_at) {
      if (is_terminal(STDIN_FILENO))
        std::fprintf(stderr, "vitrine: what you type goes to the guest%s\n", escape ? fmt::format("; {} leaves", key_text(*escape)).c_str() : "");
      keyboard.emplace(escape);
    }
    if (keyboard || network) {
      interactive.emplace(m, keyboard ? &*keyboard : nullptr, network ? &*network : nullptr, inputs);
      session.interactive = &*interactive;
    }
    bool goes_on = true;
    if (debugger) {
      EventSink& own = ledger ? static_cast<EventSink&>(*ledger) : recorder;
      gdb::NewEvents events(own, frontier);
      m.watch(&events);
      const u64 last = std::min(until.kind == When::Kind::step ? until.number : ~u64{0}, max_steps);
      gdb::Fresh fresh(m, frontier, events, new_bytes, typist, last, [&](u64 step) { session.advance(step); });
      const hv::Symbols* symbols = debug_symbols ? &*debug_symbols : nullptr;
      const std::string how = dir ? "-x " + gdb::write_init(dir->path(), manifest, symbols, debugger->port()) : fmt::format("-ex 'target remote 127.0.0.1:{}'", debugger->port());
      std::fprintf(stderr, "vitrine: gdb: waiting on 127.0.0.1:%u; gdb -q %s\n", debugger->port(), how.c_str());
      goes_on = debugged(*debugger, fresh, symbols, manifest, dir ? dir->path() : std::string(), [&](Saved& live) {
        if (!ledger) throw UsageError("this run keeps no ledger: make it with --ledger (vitrine run --gdb PORT --ledger -o DIR ...)");
        console.flush();
        return std::make_unique<Story>(Story::Parts{Saved(m, manifest, live.path()), p.platform, p.symbols, told, dir ? read_console(dir->file(kConsole)) : std::vector<ConsoleLine>{}}, m);
      });
      m.watch(&own);
      frontier.step = 0;
      debugger.reset();
    }
    if (goes_on) session.run(until, max_steps);
    if (interactive) waits = interactive->waits();
  }
  const HostTime host{user_now() - user, elapsed_now() - elapsed};

  for (auto& t : typist.orders())
    if (!t.done) print_warning(fmt::format("--{} {}: {} before the run ended; nothing was {} for it", t.memory ? "poke" : "type", t.typed, t.text.empty() ? "the step did not come" : "the text was not printed", t.memory ? "written" : "typed"));
  conditions.at_end(m);
  int status = conditions.status(exit_status(m.stop(), until));
  if (conditions.any()) manifest["condition"] = conditions.json();
  const bool console_ok = console.finish() & console2.finish(), events_ok = recorder.finish(), inputs_ok = inputs.finish(), capture_ok = !network || network->finish();
  if (wants_processors(m.stop().reason())) {
    std::string text;
    for (unsigned n = 0; n < m.cpus(); ++n) text += processor_text(m, n, p.symbols ? &*p.symbols : nullptr);
    std::fputs(text.c_str(), stderr);
  }
  if (!o.gdb.empty()) written.again(m);
  const bool disks_ok = written.end(m, p.disks, o.disk_commit, status, manifest);
  if (!disks_ok && status == status::ok) status = status::finding;
  if (network) manifest["network"] = network_json(m, *network, net->capture);
  if (ledger) manifest["ledger"] = {{"events", ledger->ledger().events()}, {"attempts", p.symbols && p.kernel.kind == hv::Kind::xen}};
  if (dir) {
    manifest_end(manifest, m, p, recorder, host, status);
    if (waits) manifest["end"]["waits"] = *waits;
    try {
      manifest["state_hash"] = m.state_hash();
      bool end_kept = true;
      try {
        emu::save_checkpoint(m, dir->file(kEndCheckpoint));
        checkpoints.list.push_back({{"step", m.steps()}, {"file", kEndCheckpoint}});
      } catch (const std::runtime_error& e) {   // the rest is worth having without it
        print_error(e.what());
        end_kept = false;
      }
      if (!end_kept && status == status::ok) status = status::finding, manifest["exit_status"] = status;
      manifest["checkpoints"] = checkpoints.list;
      dir->write(kManifest, manifest_text(manifest));
      if (!console_ok) throw std::runtime_error(dir->file(kConsole) + ": could not be written completely (disk full?)");
      if (!inputs_ok) throw std::runtime_error(dir->file(kInput) + ": could not be written completely (disk full?); the run cannot be made again");
      if (!events_ok) throw std::runtime_error(dir->file(kEvents) + ": could not be written completely (disk full?)");
    } catch (const std::runtime_error& e) {
      print_error(e.what());
      if (status == status::ok) status = status::finding;
    }
  }
  if (!capture_ok) {
    print_error((dir && net->capture == kCapture ? dir->file(kCapture) : net->capture) + ": could not be written completely (disk full?)");
    if (status == status::ok) status = status::finding;
  }
  set_check_hook(nullptr, nullptr);
  const std::string end = conditions.met() ? fmt::format("{}, at step {}", conditions.text(), grouped(m.steps())) : end_text(m, p, until);
  if (status == status::ok || m.stop().reason() == StopReason::exit_device || m.stop().reason() == StopReason::interrupted)
    std::fprintf(stderr, "vitrine: %s\n", end.c_str());
  else print_error(end);
  std::fprintf(stderr, "vitrine: %s steps, %.2f s, %.1f MIPS%s%s\n", grouped(m.steps()).c_str(), host.user, mips(m.retired(), host.user),
               dir ? ", in " : "", dir ? dir->path().c_str() : "");
  return status;
}

}  // namespace vt::cli
