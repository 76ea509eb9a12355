// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/stub.hpp"

#include <fmt/format.h>

#include "gdb/packet.hpp"
#include "gdb/registers.hpp"
#include "gdb/space.hpp"
#include "processors.hpp"

namespace vt::cli::gdb {
namespace {

Stub::Answer say(std::string s) { return {std::move(s)}; }
const Stub::Answer kOk{"OK"}, kUnknown{""}, kBad{"E22"}, kFault{"E14"};
/// A run is what its inputs make of it.
const char* const kFixed = "E.a run is fixed: its memory and registers can be looked at, not changed";

}  // namespace

bool Stub::thread(std::string_view& s, long& id) {
  if (take(s, "-1")) { id = -1; return true; }
  const auto n = take_hex(s);
  if (!n || *n > machine().cpus()) return false;
  id = static_cast<long>(*n);
  return true;
}

Stub::Answer Stub::handle(std::string_view p) {
  if (p.empty()) return kUnknown;
  const char c = p[0];
  std::string_view rest = p.substr(1);
  switch (c) {
    case '?':
      last_.cpu = machine().current();
      general_ = last_.cpu;
      return say(stop_reply(last_));
    case 'g': return say(to_hex(read_registers(machine(), general_)));
    case 'p': {
      const auto n = take_hex(rest);
      if (!n || !rest.empty()) return kBad;
      if (*n >= registers().size()) return say("E45");
      return say(to_hex(read_register(machine(), general_, *n)));
    }
    case 'G': case 'P': case 'M': return say(kFixed);
    case 'X': return memory(rest, true);
    case 'm': return memory(rest, false);
    case 'H': {
      long id = 0;
      if (rest.empty()) return kBad;
      const char what = rest[0];
      rest.remove_prefix(1);
      if (!thread(rest, id) || !rest.empty()) return kBad;
      if (what == 'g') general_ = cpu_or_first(id);
      else if (what == 'c') continue_ = id;
      else return kUnknown;
      return kOk;
    }
    case 'T': {
      long id = 0;
      return thread(rest, id) && id > 0 && rest.empty() ? kOk : kBad;
    }
    case 'Z': return point(rest, true);
    case 'z': return point(rest, false);
    case 'c': case 'C': case 's': case 'S': {
      // The older forms: an address to go on at is a change, a signal has no meaning here.
      if (c == 'C' || c == 'S') { if (!take_hex(rest)) return kBad; }
      else if (!rest.empty()) return say(kFixed);
      const bool step = c == 's' || c == 'S';
      last_ = step ? player_.step(cpu_or_first(continue_), 1, 0, out_.interrupted) : player_.go(out_.interrupted);
      return say(stop_reply(last_));
    }
    case 'b':
      if (rest == "c") last_ = player_.back(out_.interrupted);
      else if (rest == "s") last_ = player_.step_back(cpu_or_first(continue_ ? continue_ : static_cast<long>(general_) + 1), out_.interrupted);
      else return kUnknown;
      return say(stop_reply(last_));
    case 'D': { Answer a = kOk; a.after = After::detached; return a; }
    case 'k': { Answer a; a.silent = true, a.after = After::killed; return a; }
    case 'v':
      if (take(rest, "Cont?")) return say("vCont;c;C;s;S;r");
      if (take(rest, "Cont")) return resume(rest);
      if (take(rest, "Kill")) { Answer a = kOk; a.after = After::killed; return a; }
      return kUnknown;
    case 'q': case 'Q': return query(p);
    default: return kUnknown;
  }
}

Stub::Answer Stub::query(std::string_view p) {
  if (take(p, "qSupported")) {
    swbreak_ = p.find("swbreak+") != p.npos, hwbreak_ = p.find("hwbreak+") != p.npos, error_text_ = p.find("error-message+") != p.npos;
    return say(fmt::format("PacketSize={:x};QStartNoAckMode+;qXfer:features:read+;vContSupported+;ReverseStep+;ReverseContinue+;swbreak+;hwbreak+", PacketReader::kMax));
  }
  if (p == "QStartNoAckMode") { Answer a = kOk; a.no_acks = true; return a; }
  if (take(p, "QNonStop:")) return p == "0" ? kOk : p == "1" ? say("E.all processors stop together: set non-stop off") : kBad;
  if (take(p, "qXfer:features:read:")) return features(p);
  if (p == "qC") return say(fmt::format("QC{:x}", general_ + 1));
  if (p == "qAttached" || p.starts_with("qAttached:")) return say("1");
  if (p == "qfThreadInfo") {
    std::string s = "m";
    for (unsigned n = 1; n <= machine().cpus(); ++n) s += fmt::format("{}{:x}", n > 1 ? "," : "", n);
    return say(s);
  }
  if (p == "qsThreadInfo") return say("l");
  if (take(p, "qThreadExtraInfo,")) {
    long id = 0;
    if (!thread(p, id) || id < 1 || !p.empty()) return kBad;
    const unsigned n = static_cast<unsigned>(id - 1);
    const cpu::Vmx& v = machine().processor(n).vmx;
    return say(to_hex(fmt::format("cpu {}: {}, CPL {}, VMX {}", n, mode_name(machine(), n), machine().processor(n).cpl(), v.non_root ? "non-root" : v.on ? "root" : "off")));
  }
  if (take(p, "qRcmd,")) {
    const auto line = from_hex(p);
    if (!line) return kBad;
    const std::string text = out_.monitor(*line, general_);
    for (std::size_t at = 0; at < text.size(); at += 1024) out_.send(fmt::format("O{}", to_hex(std::string_view(text).substr(at, 1024))));
    return kOk;
  }
  if (p.starts_with("qSymbol:")) return kOk;
  return kUnknown;
}

/// gdb manual "qXfer target description read"
Stub::Answer Stub::features(std::string_view p) {
  if (!take(p, "target.xml:")) return say("E00");
  const auto offset = take_hex(p);
  if (!offset || !take(p, ",")) return kBad;
  const auto length = take_hex(p);
  if (!length || !p.empty()) return kBad;
  const std::string& xml = target_xml();
  if (*offset >= xml.size()) return say("l");
  const u64 n = std::min<u64>({*length, xml.size() - *offset, PacketReader::kMax / 2});
  return say(fmt::format("{}{}", *offset + n < xml.size() ? 'm' : 'l', std::string_view(xml).substr(*offset, n)));
}

Stub::Answer Stub::memory(std::string_view p, bool binary_write) {
  const auto at = take_hex(p);
  if (!at || !take(p, ",")) return kBad;
  const auto n = take_hex(p);
  if (!n) return kBad;
  if (binary_write) return *n == 0 ? kOk : say(kFixed);   // a length of 0 asks whether the packet is known
  if (!p.empty()) return kBad;
  if (*n == 0) return say("");
  const std::string bytes = read_linear(machine(), general_, *at, std::min<u64>(*n, PacketReader::kMax / 2 - 16));
  return bytes.empty() ? kFault : say(to_hex(bytes));
}

/// gdb manual "insert breakpoint or watchpoint"
Stub::Answer Stub::point(std::string_view p, bool insert) {
  if (p.empty()) return kBad;
  const char type = p[0];
  p.remove_prefix(1);
  if (!take(p, ",")) return kBad;
  const auto at = take_hex(p);
  if (!at || !take(p, ",")) return kBad;
  const auto size = take_hex(p);
  if (!size || (!p.empty() && p[0] != ';')) return kBad;
  if (!p.empty()) return say("E.conditions are evaluated by the debugger");
  switch (type) {
    case '0': case '1':
      if (insert) player_.add_break(*at, type == '1');
      else if (!player_.remove_break(*at, type == '1')) return say("E02");
      return kOk;
    case '2': case '3': case '4': {
      const Watching what = type == '2' ? Watching::writes : type == '3' ? Watching::reads : Watching::accesses;
      if (*size == 0 || *size > kPageSize) return say("E.a watchpoint has 1 to 4096 bytes");
      if (insert) return player_.add_watch(general_, *at, *size, what) ? kOk : say("E.nothing is mapped there now");
      return player_.remove_watch(*at, *size, what) ? kOk : say("E02");
    }
    default: return kUnknown;
  }
}

/// gdb manual "vCont": the first action that fits a thread is the one for it.
Stub::Answer Stub::resume(std::string_view s) {
  long stepper = 0;
  u64 first = 1, last = 0;
  bool any = false;
  while (!s.empty()) {
    if (!take(s, ";") || s.empty()) return kBad;
    const char action = s[0];
    s.remove_prefix(1);
    u64 from = 1, to = 0;
    if (action == 'C' || action == 'S') { if (!take_hex(s)) return kBad; }
    else if (action == 'r') {
      const auto a = take_hex(s);
      if (!a || !take(s, ",")) return kBad;
      const auto b = take_hex(s);
      if (!b) return kBad;
      from = *a, to = *b;
    } else if (action != 'c' && action != 's') return kBad;
    long id = -1;
    if (take(s, ":") && !thread(s, id)) return kBad;
    any = true;
    if ((action == 's' || action == 'S' || action == 'r') && stepper == 0) stepper = static_cast<long>(cpu_or_first(id)) + 1, first = from, last = to;
  }
  if (!any) return kBad;
  last_ = stepper ? player_.step(static_cast<unsigned>(stepper - 1), first, last, out_.interrupted) : player_.go(out_.interrupted);
  return say(stop_reply(last_));
}

/// gdb manual "Stop Reply Packets"
std::string Stub::stop_reply(const Halt& h) {
  general_ = h.cpu;
  if (!h.text.empty()) out_.send(fmt::format("O{}", to_hex(h.text + "\n")));
  std::string s = fmt::format("T{:02x}thread:{:x};", h.kind == Halt::Kind::interrupted ? 2 : 5, h.cpu + 1);
  switch (h.kind) {
    case Halt::Kind::breakpoint:
      if (h.hardware ? hwbreak_ : swbreak_) s += h.hardware ? "hwbreak:;" : "swbreak:;";
      break;
    case Halt::Kind::watchpoint: s += fmt::format("{}watch:{:x};", h.watching == Watching::writes ? "" : h.watching == Watching::reads ? "r" : "a", h.address); break;
    case Halt::Kind::begin: s += "replaylog:begin;"; break;
    case Halt::Kind::end: s += "replaylog:end;"; break;
    case Halt::Kind::step: case Halt::Kind::caught: case Halt::Kind::interrupted: case Halt::Kind::failed: break;
  }
  return s;
}

}  // namespace vt::cli::gdb
