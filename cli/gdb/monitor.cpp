// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/monitor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/bits.hpp"
#include "gdb/space.hpp"
#include "names.hpp"
#include "saved.hpp"
#include "show.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli::gdb {

const Monitor::Command Monitor::kCommands[] = {
  {"help", "", "this list", &Monitor::help},
  {"when", "", "step, virtual time and place", &Monitor::when},
  {"goto", "T", "to a moment: a step, +N, -N, 37%, begin, end, or a bookmark; then 'maintenance flush register-cache'", &Monitor::go_to},
  {"bookmark", "[NAME]", "names this moment; without a name, lists them", &Monitor::bookmark},
  {"bt", "", "open calls, learned from CALL and RET: on any build, also without debug information", &Monitor::backtrace},
  {"stop-on", "[RULE | off N]", "a catch point: vm-exit[:REASON] vm-entry eptp gfn:A0 vtd-fault exception[:N] msr[:INDEX] port[:PORT] mmio[:HPA] console:'text'; alone, lists them", &Monitor::stop_on},
  {"watch-phys", "HPA [SIZE] [w|r|a]", "stops when these bytes of physical memory are written, read, or either ('off HPA [SIZE] [w|r|a]' ends it)", &Monitor::watch_physical},
  {"hash", "", "the hash over the machine's whole state, as in the manifest", &Monitor::hash},
  {"phys", "HPA [SIZE]", "physical memory", &Monitor::physical},
  {"map", "[RANGE] [--of ept|vtd|e820] [--root HPA]", "what is mapped now, as vitrine map", &Monitor::map},
  {"walk", "gva:A | gpa:A | iova:A@BDF", "every entry of a translation now, as vitrine walk", &Monitor::walk},
  {"blame", "gfn:A0 | iova:A@BDF | mfn:A0", "who has mapped this until now, as vitrine blame (needs a ledger)", &Monitor::blame},
  {"check", "[RULE]", "findings until now, as vitrine check (needs a ledger)", &Monitor::check},
};

Monitor::Monitor(Player& player, const hv::Symbols* symbols, Views views, Player::Wanted interrupted)
    : player_(player), symbols_(symbols), views_(std::move(views)), interrupted_(std::move(interrupted)) {
  for (auto* v : {&views_.map, &views_.walk, &views_.blame, &views_.check})
    if (!*v) *v = [](const Words&, unsigned) -> std::string { throw UsageError("there is no run directory to look at"); };
}

namespace {

/// Words between blanks; quotes keep blanks together.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> all;
  std::string word;
  bool any = false;
  char quote = 0;
  for (char c : line) {
    if (quote) {
      if (c == quote) quote = 0;
      else word += c;
    } else if (c == '\'' || c == '"') {
      quote = c, any = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (any) all.push_back(std::exchange(word, {}));
      any = false;
    } else {
      word += c, any = true;
    }
  }
  if (any) all.push_back(word);
  return all;
}

u64 address_of(const std::string& s) {
  const auto v = parse_hex(s);
  if (!v) throw UsageError(fmt::format("{}: not a hexadecimal address", s));
  return *v;
}
u64 number_of(const std::string& s, u64 most) {
  const auto v = parse_number(s);
  if (!v || *v > most) throw UsageError(fmt::format("{}: not a number up to {}", s, most));
  return *v;
}

}  // namespace

std::string Monitor::run(std::string_view line, unsigned cpu) {
  cpu_ = cpu;
  auto w = words_of(line);
  if (w.empty()) return help(w);
  const std::string verb = w[0];
  w.erase(w.begin());
  try {
    std::vector<std::string> names;
    for (auto& c : kCommands) if (std::string_view(c.name).starts_with(verb)) names.push_back(c.name);
    for (auto& v : show_views()) if (std::string_view(v.name).starts_with(verb)) names.push_back(v.name);
    if (names.empty()) return fmt::format("{}: there is no such command; monitor help lists them\n", verb);
    std::string name = names[0];
    if (names.size() > 1 && std::find(names.begin(), names.end(), verb) == names.end()) return fmt::format("{}: {} or {}?\n", verb, names[0], names[1]);
    if (names.size() > 1) name = verb;
    if (const ShowView* v = find_show_view(name)) return v->show({machine(), cpu_, symbols_, &player_.events()}, w).text;
    for (auto& c : kCommands) if (name == c.name) return (this->*c.run)(w);
    return "";
  } catch (const UsageError& e) {
    return std::string(e.what()) + '\n';
  } catch (const InputError& e) {
    return std::string(e.what()) + '\n';
  }
}

std::string Monitor::help(const Words&) {
  std::string s;
  for (auto& c : kCommands) s += fmt::format("{:<30} {}\n", std::string(c.name) + (*c.arguments ? " " : "") + c.arguments, c.what);
  for (auto& v : show_views()) s += fmt::format("{:<30} {}\n", std::string(v.name) + (*v.arguments ? " " : "") + v.arguments, v.what);
  return s + "Addresses are hexadecimal. Breakpoints and watchpoints are gdb's own; reverse-step, reverse-continue and the like work.\n";
}

std::string Monitor::position() {
  const cpu::Cpu& c = machine().processor(machine().current());
  const std::string at = name(c.rip);
  return fmt::format("rip {:#x}{} of cpu {}, VMX {}", c.rip, at.empty() ? "" : " (" + at + ")", c.index(), c.vmx.non_root ? "non-root" : c.vmx.on ? "root" : "off");
}

std::string Monitor::when(const Words&) {
  std::string s = fmt::format("step {}", grouped(player_.now()));
  if (player_.end() != ~u64{0}) s += fmt::format(" of {} ({:.2f}%)", grouped(player_.end()), player_.end() ? 100.0 * static_cast<double>(player_.now()) / static_cast<double>(player_.end()) : 100.0);
  s += fmt::format(", {:.9f} s, {}\n", static_cast<double>(machine().cycles()) * 1e-9, position());
  const auto steps = player_.timeline().steps();
  return s + fmt::format("{} checkpoints from step {} on, {} MiB\n", steps.size(), grouped(steps.front()), player_.timeline().bytes() >> 20);
}

std::string Monitor::go_to(const Words& w) {
  if (w.size() != 1) throw UsageError("goto: to which moment? A step, +N, -N, 37%, begin, end or a bookmark");
  const std::string& t = w[0];
  u64 to = 0;
  const u64 now = player_.now(), end = player_.end();
  if (auto it = bookmarks_.find(t); it != bookmarks_.end()) to = it->second;
  else if (t == "begin" || t == "start") to = player_.timeline().oldest();
  else if (t == "end" || t.ends_with('%')) {
    if (end == ~u64{0}) throw UsageError(fmt::format("goto {}: this run has no end yet; give a step", t));
    if (t == "end") to = end;
    else {
      char* rest = nullptr;
      const double percent = std::strtod(t.c_str(), &rest);
      if (*rest != '%' || rest[1] || !(percent >= 0 && percent <= 100)) throw UsageError(fmt::format("goto {}: write it as 37% or 99.5%", t));
      to = static_cast<u64>(static_cast<double>(end) * (percent / 100));
    }
  } else {
    const bool relative = t[0] == '+' || t[0] == '-';
    const auto n = parse_number(std::string_view(t).substr(relative ? 1 : 0));
    if (!n) throw UsageError(fmt::format("goto {}: neither a step nor a bookmark; write a step, +N, -N, 37%, begin or end", t));
    to = !relative ? *n : t[0] == '+' ? now + *n : now - std::min(*n, now);
  }
  if (to < player_.timeline().oldest())
    throw UsageError(fmt::format("goto {}: checkpoints reach back to step {} only", t, grouped(player_.timeline().oldest())));
  if (!player_.seek(std::min(to, end), interrupted_)) return "stopped on the way: " + when({});
  return when({});
}

std::string Monitor::bookmark(const Words& w) {
  if (w.size() > 1) throw UsageError("bookmark: one name");
  if (w.empty()) {
    std::string s;
    for (auto& [name, step] : bookmarks_) s += fmt::format("{:<20} step {}\n", name, grouped(step));
    return s.empty() ? "no bookmarks\n" : s;
  }
  if (parse_number(w[0]) || w[0][0] == '+' || w[0][0] == '-') throw UsageError(fmt::format("bookmark {}: a name, not a number", w[0]));
  bookmarks_[w[0]] = player_.now();
  return fmt::format("{} is step {}\n", w[0], grouped(player_.now()));
}

std::string Monitor::backtrace(const Words&) {
  const cpu::Cpu& c = machine().processor(cpu_);
  std::string s = fmt::format("#0   {:016x} {}\n", c.rip, name(c.rip));
  const auto chain = player_.chain(cpu_);
  for (std::size_t n = 0; n < chain.size(); ++n) s += fmt::format("#{:<3} {:016x} {}\n", n + 1, chain[n], name(chain[n]));
  if (!c.code64()) s += "(calls are followed in 64-bit mode only)\n";
  return s;
}

Catch Monitor::parse_catch(const Words& w) const {
  const std::string& s = w[0];
  const auto colon = s.find(':');
  const std::string kind = s.substr(0, colon), more = colon == s.npos ? std::string{} : s.substr(colon + 1);
  Catch c{Catch::Kind::vm_entry, {}, 0, {}, s};
  if (kind == "vm-exit") {
    c.kind = Catch::Kind::vm_exit;
    if (!more.empty() && !(c.number = exit_number(more))) throw UsageError(fmt::format("{}: no such exit reason; write ept-violation, cpuid, ... or a number", s));
  } else if (kind == "vm-entry") c.kind = Catch::Kind::vm_entry;
  else if (kind == "eptp") c.kind = Catch::Kind::eptp;
  else if (kind == "ept") c = {Catch::Kind::vm_exit, 48, 0, {}, s};   // EPT violation
  else if (kind == "vtd-fault") c.kind = Catch::Kind::vtd_fault;
  else if (kind == "exception") {
    c.kind = Catch::Kind::exception;
    if (!more.empty()) {
      c.number = parse_number(more);
      for (unsigned n = 0; n < 32 && !c.number; ++n) if (exception_name(n) == more || exception_name(n) == "#" + more) c.number = n;
      if (!c.number || *c.number > 255) throw UsageError(fmt::format("{}: no such exception; write #PF, #GP, ... or a vector", s));
    }
  } else if (kind == "gfn") c.kind = Catch::Kind::table, c.gfn = address_of(more);
  else if (kind == "msr" || kind == "port" || kind == "mmio") {
    c.kind = kind == "msr" ? Catch::Kind::msr : kind == "port" ? Catch::Kind::port : Catch::Kind::mmio;
    if (colon != s.npos) c.number = address_of(more);
    if (c.number && c.kind != Catch::Kind::mmio && *c.number >> (kind == "msr" ? 32 : 16)) throw UsageError(fmt::format("{}: there is no such {}", s, kind == "msr" ? "MSR" : "port"));
  } else if (kind == "gpa") c.kind = Catch::Kind::table, c.gfn = address_of(more) >> kPageShift;
  else if (kind == "console") {
    c.kind = Catch::Kind::console, c.text = more;
    if (more.empty()) throw UsageError("stop-on console: which text? Write console:'text'");
  } else throw UsageError(fmt::format("stop-on {}: there is vm-exit[:REASON], vm-entry, eptp, ept (EPT violations), gfn:A0, vtd-fault, exception[:N], msr[:INDEX], port[:PORT], mmio[:HPA] and console:'text'", s));
  return c;
}

std::string Monitor::stop_on(const Words& w) {
  if (w.empty()) {
    std::string s;
    for (auto& [id, c] : player_.catches()) s += fmt::format("{:>3}  {}\n", id, c.typed);
    return s.empty() ? "no catch points\n" : s;
  }
  if (w[0] == "off") {
    if (w.size() != 2) throw UsageError("stop-on off: which one? stop-on lists them");
    if (!player_.remove_catch(static_cast<unsigned>(number_of(w[1], ~0u)))) throw UsageError(fmt::format("stop-on off {}: there is no such catch point", w[1]));
    return "";
  }
  if (w.size() != 1) throw UsageError("stop-on: one rule; quote blanks");
  const Catch c = parse_catch(w);
  return fmt::format("catch point {}: {}\n", player_.add_catch(c), c.typed);
}

std::string Monitor::watch_physical(const Words& words) {
  Words w = words;
  const bool off = !w.empty() && w[0] == "off";
  if (off) w.erase(w.begin());
  Watching what = Watching::writes;
  if (w.size() > 1 && (w.back() == "w" || w.back() == "r" || w.back() == "a")) {
    what = w.back() == "w" ? Watching::writes : w.back() == "r" ? Watching::reads : Watching::accesses;
    w.pop_back();
  }
  if (w.empty() || w.size() > 2) throw UsageError("watch-phys: HPA [SIZE] [w|r|a]");
  const u64 at = address_of(w[0]), size = w.size() > 1 ? number_of(w[1], 4096) : 8;
  if (off) {
    if (!player_.remove_watch(at, size, what, true)) throw UsageError(fmt::format("watch-phys off {}: nothing is watched there", w[0]));
    return "";
  }
  if (!size || !player_.add_watch_physical(Hpa{at}, size, what)) throw UsageError(fmt::format("watch-phys {}: there is no memory", w[0]));
  return fmt::format("{} bytes at hpa {:#x} are watched{}\n", size, at, what == Watching::writes ? "" : what == Watching::reads ? " for reads" : " for reads and writes");
}

std::string Monitor::hash(const Words&) { return machine().state_hash() + '\n'; }

std::string Monitor::physical(const Words& w) {
  if (w.empty() || w.size() > 2) throw UsageError("phys: HPA [SIZE]");
  const u64 at = address_of(w[0]), size = w.size() > 1 ? number_of(w[1], 4096) : 64;
  const std::string bytes = read_physical(machine(), Hpa{at}, size);
  std::string s;
  for (std::size_t n = 0; n < bytes.size(); n += 16) {
    s += fmt::format("{:016x} ", at + n);
    for (std::size_t k = n; k < n + 16 && k < bytes.size(); ++k) s += fmt::format("{}{:02x}", k % 8 ? " " : "  ", static_cast<u8>(bytes[k]));
    s += '\n';
  }
  if (bytes.size() < size) s += fmt::format("(no memory at {:#x})\n", at + bytes.size());
  return s;
}

}  // namespace vt::cli::gdb
