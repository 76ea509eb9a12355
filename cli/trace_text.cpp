// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace_text.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cpu/msr.hpp"
#include "names.hpp"
#include "text.hpp"
#include "views/event_log.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;
using Kind = cpu::MemoryAccess::Kind;

/// Bytes in memory's order as one number.
std::string number(const std::string& bytes) {
  std::string s = "0x";
  for (std::size_t n = bytes.size(); n--;) s += fmt::format("{:02x}", static_cast<u8>(bytes[n]));
  return s;
}
std::string raw(const std::string& bytes) {
  std::string s;
  for (char b : bytes) s += fmt::format("{:02x}", static_cast<u8>(b));
  return s;
}
std::string flags_text(u64 f) {
  static constexpr struct { u64 bit; const char* name; } kBits[] = {{1, "CF"}, {4, "PF"}, {0x10, "AF"}, {0x40, "ZF"}, {0x80, "SF"}, {0x100, "TF"}, {0x200, "IF"}, {0x400, "DF"},
                                                                    {0x800, "OF"}, {0x4000, "NT"}, {0x10000, "RF"}, {0x20000, "VM"}, {0x40000, "AC"}};
  std::string s;
  for (auto& b : kBits) if (f & b.bit) s.append(s.empty() ? "" : " ").append(b.name);
  return fmt::format("[{}]", s);
}
std::string msr_name(u64 index) {
  for (auto& r : cpu::msr_rows()) if (r.first <= index && index <= r.last) return fmt::format(" ({})", r.name);
  return {};
}

/// gva -> gpa -> hpa, with the sizes of the pages. `used`: what the access went to; where the tables say something else now, it was cached.
std::string path_text(const Path& p, u64 linear, Hpa used, u64 page) {
  if (!p.paging && !p.nested) return fmt::format("hpa {:#x}", used.v);
  std::string s = fmt::format("{} {:#x}", p.paging ? "gva" : "gpa", linear);
  if (p.hpa == used) {
    if (p.paging && p.nested) s += fmt::format(" -> gpa {:#x} ({})", p.gpa->v, size_text(p.page));
    return s + fmt::format(" -> hpa {:#x} ({})", used.v, size_text(p.nested ? p.ept_page : p.page));
  }
  return s + fmt::format(" -> hpa {:#x} ({}, cached; the tables say {})", used.v, size_text(page), p.hpa ? fmt::format("{:#x}", p.hpa->v) : "nothing");
}
json path_json(const Path& p, u64 linear, Hpa used, u64 page) {
  json j;
  if (p.paging) j["gva"] = hex(linear);
  const bool same = p.hpa == used;
  if (p.nested && p.gpa && same) j["gpa"] = hex(p.gpa->v);
  j["hpa"] = hex(used.v);
  if (p.paging && same) j["page_size"] = size_text(p.page);
  if (p.nested && same) j["ept_page_size"] = size_text(p.ept_page);
  if (!same) j["cached"] = true, j["page_size"] = size_text(page), j["tables"] = p.hpa ? json(hex(p.hpa->v)) : json();
  return j;
}

const char* kind_name(Kind k) {
  switch (k) {
    case Kind::read: return "read";
    case Kind::write: return "write";
    case Kind::table_read: return "walk";
    case Kind::table_write: return "walk-write";
  }
  return "";
}

std::string access_line(const TracedAccess& a) {
  std::string s = fmt::format("{:<10} {:>2}  ", kind_name(a.kind), a.value.size());
  if (a.kind == Kind::table_read || a.kind == Kind::table_write) s += fmt::format("hpa {:#x}, {} level {}", a.at.v, a.ept ? "EPT" : "paging", a.level);
  else s += path_text(a.path, a.linear, a.at, a.page);
  s += fmt::format(" = {}", number(a.value));
  if (!a.was.empty()) s += fmt::format(" (was {})", number(a.was));
  if (a.device) s += " (device)";
  return s;
}
json access_json(const TracedAccess& a) {
  json j{{"kind", kind_name(a.kind)}, {"size", a.value.size()}};
  if (a.kind == Kind::table_read || a.kind == Kind::table_write) j["hpa"] = hex(a.at.v), j["table"] = a.ept ? "EPT" : "paging", j["level"] = a.level, j["gva"] = hex(a.linear);
  else j.update(path_json(a.path, a.linear, a.at, a.page));
  j["value"] = number(a.value);
  if (!a.was.empty()) j["was"] = number(a.was);
  if (a.device) j["device"] = true;
  return j;
}

/// Events after which it is no longer the instruction that accesses memory and changes registers.
bool turns(EventKind k) { return k == EventKind::exception || k == EventKind::interrupt || k == EventKind::vm_exit || k == EventKind::vm_entry; }

std::string head(u64 step, unsigned cpu) { return fmt::format("{:>15} cpu{} ", grouped(step), cpu); }
constexpr const char* kIndent = "                            ";

}  // namespace

std::string event_text(const Event& e) {
  switch (e.kind) {
    case EventKind::vm_exit: return fmt::format("VM exit {}, qualification {:#x}{}", exit_name(static_cast<unsigned>(e.a)), e.b, e.c ? fmt::format(", gpa {:#x}", e.c) : "");
    case EventKind::vm_entry: return fmt::format("VM entry, VMCS {:#x}, EPT pointer {:#x}", e.a, e.b);
    case EventKind::exception: return fmt::format("exception {}, error code {:#x}{}", exception_name(static_cast<unsigned>(e.a)), e.b, e.a == cpu::PF ? fmt::format(", address {:#x}", e.c) : "");
    case EventKind::interrupt: return fmt::format("interrupt {:#x}", e.a);
    case EventKind::eptp_change: return fmt::format("EPT pointer of VMCS {:#x} is {:#x}", e.a, e.b);
    case EventKind::invept: return fmt::format("INVEPT type {}, EPT pointer {:#x}", e.a, e.b);
    case EventKind::invvpid: return fmt::format("INVVPID type {}, VPID {:#x}, address {:#x}", e.a, e.b, e.c);
    case EventKind::msr_read: return fmt::format("RDMSR {:#x}{} = {:#x}", e.a, msr_name(e.a), e.b);
    case EventKind::msr_write: return fmt::format("WRMSR {:#x}{} = {:#x}", e.a, msr_name(e.a), e.b);
    case EventKind::port_read: case EventKind::port_write: return fmt::format("port {:#x} {} {} = {:#x}", e.a, e.kind == EventKind::port_read ? "read" : "write", e.b, e.c);
    case EventKind::mmio_read: case EventKind::mmio_write: return fmt::format("device register hpa {:#x} {} {} = {:#x}", e.a, e.kind == EventKind::mmio_read ? "read" : "write", e.b, e.c);
    case EventKind::vtd_register: return fmt::format("VT-d unit {}: register {:#x} = {:#x}", e.a, e.b, e.c);
    case EventKind::vtd_translation: return fmt::format("VT-d unit {}: translation {}, RTADDR_REG {:#x}", e.a, e.b ? "enabled" : "disabled", e.c);
    case EventKind::vtd_invalidate: return fmt::format("VT-d unit {}: invalidation {:016x} {:016x}", e.a, e.c, e.b);
    case EventKind::vtd_fault: return fmt::format("VT-d unit {}: fault of device {}, address {:#x}, reason {:#x}", e.a, bdf_text(Bdf(static_cast<u16>(e.b))), e.c, e.d);
    case EventKind::vtd_pointer: return fmt::format("VT-d unit {}: {} {:#x} in use", e.a, e.b ? "interrupt remapping table" : "root table", e.c);
    case EventKind::stale_translation: return fmt::format("stale translation of {:#x} used, from the entry at {:#x}", e.a, e.b);
    case EventKind::cache_line_flush: return fmt::format("cache line {:#x} flushed", e.a);
    default: return fmt::format("{} {:#x} {:#x} {:#x} {:#x}", views::event_kind_name(e.kind), e.a, e.b, e.c, e.d);
  }
}

json TraceText::event_json(const Event& e, char vmx) const {
  json j{{"step", e.step}, {"cpu", e.cpu}, {"kind", views::event_kind_name(e.kind)}, {"rip", hex(e.rip)}};
  if (auto n = name(e.rip, vmx); !n.empty()) j["symbol"] = n;
  j["text"] = event_text(e);
  if (e.kind == EventKind::vm_exit) j["reason"] = exit_name(static_cast<unsigned>(e.a));
  if (e.kind == EventKind::exception) j["vector"] = e.a;
  for (auto& [key, v] : {std::pair<const char*, u64>{"a", e.a}, {"b", e.b}, {"c", e.c}, {"d", e.d}}) j[key] = hex(v);
  return j;
}

std::string TraceText::event(const Event& e, char vmx) {
  if (json_) return event_json(e, vmx).dump() + '\n';
  const std::string n = name(e.rip, vmx);
  return fmt::format("{}{} {:016x}  {}{}\n", head(e.step, e.cpu), vmx, e.rip, event_text(e), n.empty() ? "" : fmt::format("   {}", n));
}

std::string TraceText::console(u64 step, const std::string& line) const {
  if (json_) return json{{"step", step}, {"kind", "console"}, {"text", line}}.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
  return fmt::format("{:>15} console '{}'\n", grouped(step), line);
}

std::string TraceText::step(const TracedStep& s) { return json_ ? lines(s) : text(s); }

std::string TraceText::text(const TracedStep& s) {
  std::string out;
  if (s.executes) {
    if (s.fetched && (s.fetch.paging || s.fetch.nested)) {
      // Said where it is another page than before.
      const u64 page = s.linear & kPageMask, offset = s.linear - page;
      Path p = s.fetch;
      if (p.gpa) p.gpa = Gpa{p.gpa->v - offset};
      if (p.hpa) p.hpa = Hpa{p.hpa->v - offset};
      std::string t = path_text(p, page, Hpa{s.fetched->v - offset}, kPageSize);
      if (auto& last = fetched_[s.cpu]; last != t) out += fmt::format("{}code at {}\n", kIndent, t), last = std::move(t);
    } else {
      fetched_.erase(s.cpu);
    }
    const std::string where = s.wide ? fmt::format("{:016x}", s.rip) : fmt::format("{:04x}:{:08x}", s.cs, s.rip);
    std::string line = fmt::format("{}{}{} {}  {:<16} {}", head(s.step, s.cpu), s.vmx, s.cpl, where, raw(s.bytes), s.text);
    if (const std::string n = name(s.rip, s.vmx); !n.empty()) line = fmt::format("{:<110} {}", line, n);
    out += line + '\n';
  } else if (s.happened.empty()) {
    out += fmt::format("{}{}{} INIT or start-up\n", head(s.step, s.cpu), s.vmx, s.cpl);
  }
  for (auto& h : s.happened) {
    if (auto* a = std::get_if<TracedAccess>(&h)) out += fmt::format("{}{}\n", kIndent, access_line(*a));
    else out += fmt::format("{}* {}\n", head(s.step, s.cpu), event_text(std::get<Event>(h)));
  }
  std::string changes;
  for (auto& c : s.changes) {
    changes += fmt::format("{}{} {} -> {}", changes.empty() ? "" : ", ", c.name, c.was, c.is);
    if (c.name == "rflags") changes += fmt::format(" {}", flags_text(std::strtoull(c.is.c_str(), nullptr, 16)));
  }
  if (!changes.empty()) out += fmt::format("{}{}\n", kIndent, changes);
  return out;
}

std::string TraceText::lines(const TracedStep& s) const {
  std::vector<json> all;
  std::size_t turned = 0;   // who the accesses and changes are told of
  auto base = [&](const char* kind) {
    json j{{"step", s.step}, {"cpu", s.cpu}, {"kind", kind}, {"vmx", s.vmx == 'n' ? "non-root" : s.vmx == 'r' ? "root" : "off"}, {"cpl", s.cpl}, {"cs", hex(s.cs)}, {"rip", hex(s.rip)}};
    if (const std::string n = name(s.rip, s.vmx); !n.empty()) j["symbol"] = n;
    return j;
  };
  if (s.executes) {
    json j = base("instruction");
    j["bytes"] = raw(s.bytes), j["text"] = s.text;
    if (s.fetched) j["fetch"] = path_json(s.fetch, s.linear, *s.fetched, kPageSize);
    all.push_back(std::move(j));
  } else {
    all.push_back(base("delivery"));
  }
  all[0]["accesses"] = json::array();
  for (auto& h : s.happened) {
    if (auto* a = std::get_if<TracedAccess>(&h)) { all[turned]["accesses"].push_back(access_json(*a)); continue; }
    const Event& e = std::get<Event>(h);
    all.push_back(event_json(e, s.vmx));
    if (turns(e.kind)) turned = all.size() - 1, all[turned]["accesses"] = json::array();
  }
  json changes = json::object();
  for (auto& c : s.changes) changes[c.name] = {c.was, c.is};
  all[turned]["registers"] = std::move(changes);
  all[turned]["next"] = hex(s.next);
  std::string out;
  for (auto& j : all) out += j.dump() + '\n';
  return out;
}

}  // namespace vt::cli
