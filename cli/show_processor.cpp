// SPDX-License-Identifier: GPL-2.0-or-later
/// Views of one processor.
#include <fmt/format.h>

#include <algorithm>

#include "cpu/inspect.hpp"
#include "cpu/msr.hpp"
#include "disasm.hpp"
#include "gdb/space.hpp"
#include "names.hpp"
#include "processors.hpp"
#include "saved.hpp"
#include "show.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

bool contains(std::string_view where, std::string_view what) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::search(where.begin(), where.end(), what.begin(), what.end(), [&](char a, char b) { return lower(a) == lower(b); }) != where.end();
}

/// What single bits of control fields are called.   SDM 3C "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control Fields"
struct BitName { const char* field; unsigned bit; const char* name; };
constexpr BitName kBits[] = {
  {"PIN_BASED_VM_EXECUTION_CONTROL", 0, "external-interrupt exiting"}, {"PIN_BASED_VM_EXECUTION_CONTROL", 3, "NMI exiting"},
  {"PIN_BASED_VM_EXECUTION_CONTROL", 5, "virtual NMIs"}, {"PIN_BASED_VM_EXECUTION_CONTROL", 6, "preemption timer"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 2, "interrupt-window exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 3, "TSC offsetting"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 7, "HLT exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 9, "INVLPG exiting"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 10, "MWAIT exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 11, "RDPMC exiting"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 12, "RDTSC exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 15, "CR3-load exiting"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 16, "CR3-store exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 19, "CR8-load exiting"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 20, "CR8-store exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 21, "TPR shadow"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 22, "NMI-window exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 23, "MOV-DR exiting"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 24, "unconditional I/O exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 25, "I/O bitmaps"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 27, "monitor trap flag"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 28, "MSR bitmaps"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 29, "MONITOR exiting"}, {"CPU_BASED_VM_EXECUTION_CONTROL", 30, "PAUSE exiting"},
  {"CPU_BASED_VM_EXECUTION_CONTROL", 31, "secondary controls"},
  {"SECONDARY_VM_EXECUTION_CONTROL", 0, "virtualize APIC accesses"}, {"SECONDARY_VM_EXECUTION_CONTROL", 1, "EPT"},
  {"SECONDARY_VM_EXECUTION_CONTROL", 2, "descriptor-table exiting"}, {"SECONDARY_VM_EXECUTION_CONTROL", 3, "RDTSCP"},
  {"SECONDARY_VM_EXECUTION_CONTROL", 4, "virtualize x2APIC"}, {"SECONDARY_VM_EXECUTION_CONTROL", 5, "VPID"},
  {"SECONDARY_VM_EXECUTION_CONTROL", 6, "WBINVD exiting"}, {"SECONDARY_VM_EXECUTION_CONTROL", 7, "unrestricted guest"},
  {"SECONDARY_VM_EXECUTION_CONTROL", 10, "PAUSE-loop exiting"}, {"SECONDARY_VM_EXECUTION_CONTROL", 11, "RDRAND exiting"},
  {"SECONDARY_VM_EXECUTION_CONTROL", 12, "INVPCID"}, {"SECONDARY_VM_EXECUTION_CONTROL", 16, "RDSEED exiting"},
  {"SECONDARY_VM_EXECUTION_CONTROL", 20, "XSAVES"},
  {"VM_EXIT_CONTROLS", 2, "save debug controls"}, {"VM_EXIT_CONTROLS", 9, "host address-space size"}, {"VM_EXIT_CONTROLS", 15, "acknowledge interrupt"},
  {"VM_EXIT_CONTROLS", 18, "save PAT"}, {"VM_EXIT_CONTROLS", 19, "load PAT"}, {"VM_EXIT_CONTROLS", 20, "save EFER"}, {"VM_EXIT_CONTROLS", 21, "load EFER"},
  {"VM_ENTRY_CONTROLS", 2, "load debug controls"}, {"VM_ENTRY_CONTROLS", 9, "IA-32e mode guest"}, {"VM_ENTRY_CONTROLS", 14, "load PAT"}, {"VM_ENTRY_CONTROLS", 15, "load EFER"},
};
/// By encoding, so that the names of the table do not matter.
const char* control_of(u16 encoding) {
  switch (encoding) {
    case 0x4000: return "PIN_BASED_VM_EXECUTION_CONTROL";
    case 0x4002: return "CPU_BASED_VM_EXECUTION_CONTROL";
    case 0x401e: return "SECONDARY_VM_EXECUTION_CONTROL";
    case 0x400c: return "VM_EXIT_CONTROLS";
    case 0x4012: return "VM_ENTRY_CONTROLS";
    default: return nullptr;
  }
}
std::string decoded(const cpu::VmcsField& f) {
  if (f.encoding == 0x4402) return exit_name(static_cast<unsigned>(f.value & 0xffff));   // exit reason
  std::string s;
  const char* control = control_of(f.encoding);
  for (auto& b : kBits)
    if (control && std::string_view(control) == b.field && f.value >> b.bit & 1) s += fmt::format("{}{}", s.empty() ? "" : ", ", b.name);
  return s;
}

}  // namespace

u64 count_of(const Words& w, std::size_t at, u64 otherwise, u64 most) {
  if (w.size() <= at) return otherwise;
  const auto n = parse_number(w[at]);
  if (!n || *n > most) throw UsageError(fmt::format("{}: not a number up to {}", w[at], most));
  return *n;
}

Shown show_registers(const Look& l, const Words&) { return {processor_text(l.machine, l.cpu, l.symbols), processor_json(l.machine, l.cpu, l.symbols)}; }

Shown show_disassembly(const Look& l, const Words& w) {
  const cpu::Cpu& c = l.machine.processor(l.cpu);
  const u64 here = c.code64() ? c.rip : static_cast<u32>(c.seg[cpu::CS].base + c.rip);
  u64 at = here;
  if (!w.empty()) {
    std::optional<u64> v = parse_hex(w[0]);
    if (!v && l.symbols) v = l.symbols->find(w[0]);
    if (!v) throw UsageError(fmt::format("{}: neither a hexadecimal address nor a symbol", w[0]));
    at = *v;
  }
  Disassembler d;
  Shown s{{}, json::array()};
  for (u64 n = count_of(w, 1, 10, 1000); n; --n) {
    const std::string bytes = gdb::read_linear(l.machine, l.cpu, at, 15);
    const std::span<const u8> raw(reinterpret_cast<const u8*>(bytes.data()), bytes.size());
    const unsigned length = raw.empty() ? 0 : cpu::instruction_length(c, raw);
    if (!length || length > raw.size()) {
      s.text += fmt::format("{:#x}: {}\n", at, raw.empty() ? "nothing is mapped" : "the instruction is not complete");
      break;
    }
    std::string code;
    for (u8 b : raw.first(length)) code += fmt::format("{:02x}", b);
    const std::string symbol = l.name(at), text = d.text(c, at, raw.first(length));
    s.text += fmt::format("{} {:016x}  {:<22} {:<40} {}\n", at == here ? "=>" : "  ", at, code, text, symbol);
    s.data.push_back({{"address", hex(at)}, {"bytes", code}, {"text", text}, {"symbol", symbol}});
    at += length;
  }
  return s;
}

Shown show_vmcs(const Look& l, const Words& w) {
  emu::Machine& m = l.machine;
  u64 at = m.processor(l.cpu).vmx.vmcs;
  std::string part;
  if (!w.empty()) {
    if (auto v = parse_hex(w[0]); v && w[0].starts_with("0x")) at = *v & kPageMask;
    else part = w[0];
  }
  if (at == ~u64{0}) return {fmt::format("cpu {} has no current VMCS\n", l.cpu), {{"vmcs", nullptr}}};
  if (!m.memory().present(Hpa{at})) throw UsageError(fmt::format("{:#x}: there is no memory", at));
  const char* state = cpu::vmcs_launch_state(m.memory(), at);
  Shown s{fmt::format("VMCS {:#x}, {}\n", at, state), {{"vmcs", hex(at)}, {"launch_state", state}, {"fields", json::array()}}};
  const char* area = "";
  for (auto& f : cpu::vmcs_fields(m.memory(), at)) {
    if (!contains(f.name, part)) continue;
    if (part.empty() && std::string_view(area) != f.area) s.text += fmt::format("{}\n", area = f.area);
    const std::string bits = decoded(f);
    s.text += fmt::format("  {:04x} {:<38} {:0{}x}{}{}\n", f.encoding, f.name, f.value, 2 * f.bytes, bits.empty() ? "" : "  ", bits);
    s.data["fields"].push_back({{"encoding", hex(f.encoding)}, {"name", f.name}, {"area", f.area}, {"value", hex(f.value)}, {"means", bits}});
  }
  return s;
}

Shown show_msrs(const Look& l, const Words& w) {
  cpu::Cpu& c = l.machine.processor(l.cpu);
  std::optional<u64> only;
  if (!w.empty()) only = parse_hex(w[0]);
  Shown s{{}, json::array()};
  for (auto& r : cpu::msr_rows()) {
    if (r.first == 0x800) continue;   // the local APIC's: lapic
    for (u32 n = r.first; n <= r.last; ++n) {
      if (only ? *only != n : !w.empty() && !contains(r.name, w[0])) continue;
      u64 v = 0;
      if (!cpu::read_msr(c, n, v)) continue;
      s.text += fmt::format("{:08x} {:016x} {}\n", n, v, r.name);
      s.data.push_back({{"msr", hex(n)}, {"name", r.name}, {"value", hex(v)}});
    }
  }
  if (s.text.empty()) throw UsageError(fmt::format("{}: no such MSR", w.empty() ? "" : w[0]));
  return s;
}

/// SDM 3A "Local APIC Register Address Map"
Shown show_lapic(const Look& l, const Words&) {
  cpu::LocalApic& a = l.machine.processor(l.cpu).apic;
  const char* mode = !a.enabled() ? "disabled" : a.x2apic() ? "x2APIC" : "xAPIC";
  Shown s{fmt::format("local APIC of cpu {}: {}, at {:#x}\n", l.cpu, mode, a.base() & kPageMask),
          {{"mode", mode}, {"base", hex(a.base() & kPageMask)}, {"registers", json::array()}}};
  static constexpr struct { u16 at; const char* name; } kRows[] = {
    {0x020, "ID"}, {0x030, "version"}, {0x080, "TPR"}, {0x0a0, "PPR"}, {0x0d0, "LDR"}, {0x0e0, "DFR"}, {0x0f0, "SVR"}, {0x280, "ESR"}, {0x300, "ICR low"}, {0x310, "ICR high"},
    {0x320, "LVT timer"}, {0x340, "LVT PMC"}, {0x350, "LVT LINT0"}, {0x360, "LVT LINT1"}, {0x370, "LVT error"}, {0x380, "initial count"}, {0x390, "current count"}, {0x3e0, "divide"}};
  for (auto& r : kRows) {
    const u32 v = a.read(r.at);
    s.text += fmt::format("  {:03x} {:<14} {:08x}\n", r.at, r.name, v);
    s.data["registers"].push_back({{"offset", hex(r.at)}, {"name", r.name}, {"value", hex(v)}});
  }
  for (auto& [at, what] : {std::pair<u32, const char*>{0x100, "in service"}, {0x180, "level"}, {0x200, "requested"}}) {
    s.text += fmt::format("  {:<14}", what);
    json vectors = json::array();
    for (u32 v = 0; v < 256; ++v) if (a.read(at + (v >> 5) * 16) >> (v & 31) & 1) s.text += fmt::format(" {:02x}", v), vectors.push_back(hex(v));
    s.text += '\n';
    s.data[what] = vectors;
  }
  return s;
}

Shown show_tlb(const Look& l, const Words&) {
  Shown s{{}, json::array()};
  l.machine.processor(l.cpu).tlb.for_each([&](const cpu::TlbEntry& e) {
    using namespace cpu::tlb_flag;
    std::string flags{e.flags & writable ? 'w' : '-', e.flags & user ? 'u' : '-', e.flags & global ? 'g' : '-', e.flags & no_execute ? '-' : 'x', e.flags & dirty ? 'd' : '-'};
    s.text += fmt::format("{:016x} -> {:012x}  {:>3}  {}  eptp {:x} vpid {} pcid {}\n", e.page << e.shift, e.target, size_text(u64{1} << e.shift), flags, e.eptp, e.vpid, e.pcid);
    s.data.push_back({{"linear", hex(e.page << e.shift)}, {"physical", hex(e.target)}, {"size", u64{1} << e.shift}, {"flags", flags}, {"eptp", hex(e.eptp)}, {"vpid", e.vpid}, {"pcid", e.pcid}});
  });
  s.text += fmt::format("{} entries\n", s.data.size());
  return s;
}

}  // namespace vt::cli
