// SPDX-License-Identifier: GPL-2.0-or-later
/// The machine's own views, as `monitor` commands. They only look.
#include <capstone/capstone.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/bits.hpp"
#include "cpu/inspect.hpp"
#include "cpu/msr.hpp"
#include "devices/ioapic.hpp"
#include "gdb/monitor.hpp"
#include "gdb/space.hpp"
#include "names.hpp"
#include "pci/config.hpp"
#include "saved.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "views/event_log.hpp"

namespace vt::cli::gdb {
namespace {

u64 count_of(const std::vector<std::string>& w, std::size_t at, u64 otherwise, u64 most) {
  if (w.size() <= at) return otherwise;
  const auto n = parse_number(w[at]);
  if (!n || *n > most) throw UsageError(fmt::format("{}: not a number up to {}", w[at], most));
  return *n;
}

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

/// Text of one instruction, by Capstone; how long it is, our decoder knows.
class Disassembler {
 public:
  explicit Disassembler(const cpu::Cpu& c) {
    const cs_mode mode = c.code64() ? CS_MODE_64 : c.protected_mode() && c.seg[cpu::CS].db() ? CS_MODE_32 : CS_MODE_16;
    ok_ = cs_open(CS_ARCH_X86, mode, &handle_) == CS_ERR_OK;
  }
  ~Disassembler() { if (ok_) cs_close(&handle_); }
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;
  std::string text(u64 at, std::span<const u8> bytes) {
    cs_insn* i = nullptr;
    if (!ok_ || !cs_disasm(handle_, bytes.data(), bytes.size(), at, 1, &i)) return "(no text)";
    std::string s = fmt::format("{} {}", i->mnemonic, i->op_str);
    if (i->size != bytes.size()) s += "  (?)";
    cs_free(i, 1);
    return s;
  }

 private:
  csh handle_ = 0;
  bool ok_;
};

}  // namespace

std::string Monitor::disassemble(const Words& w) {
  const cpu::Cpu& c = machine().processor(cpu_);
  u64 at = c.code64() ? c.rip : static_cast<u32>(c.seg[cpu::CS].base + c.rip);
  if (!w.empty()) {
    std::optional<u64> v = parse_hex(w[0]);
    if (!v && symbols_) v = symbols_->find(w[0]);
    if (!v) throw UsageError(fmt::format("{}: neither a hexadecimal address nor a symbol", w[0]));
    at = *v;
  }
  Disassembler d(c);
  std::string s;
  for (u64 n = count_of(w, 1, 10, 1000); n; --n) {
    const std::string bytes = read_linear(machine(), cpu_, at, 15);
    const std::span<const u8> raw(reinterpret_cast<const u8*>(bytes.data()), bytes.size());
    const unsigned length = raw.empty() ? 0 : cpu::instruction_length(c, raw);
    if (!length || length > raw.size()) return s + fmt::format("{:#x}: {}\n", at, raw.empty() ? "nothing is mapped" : "the instruction is not complete");
    std::string hex;
    for (u8 b : raw.first(length)) hex += fmt::format("{:02x}", b);
    const std::string symbol = name(at);
    s += fmt::format("{} {:016x}  {:<22} {:<40} {}\n", at == c.rip ? "=>" : "  ", at, hex, d.text(at, raw.first(length)), symbol);
    at += length;
  }
  return s;
}

std::string Monitor::events(const Words& w) {
  const auto& all = player_.events();
  const u64 n = std::min<u64>(count_of(w, 0, 20, 4096), all.size());
  std::string s;
  for (std::size_t i = all.size() - n; i < all.size(); ++i) {
    const Event& e = all[i];
    std::string what;
    if (e.kind == EventKind::vm_exit) what = fmt::format(" {}", exit_name(static_cast<unsigned>(e.a)));
    if (e.kind == EventKind::exception) what = fmt::format(" {}", exception_name(static_cast<unsigned>(e.a)));
    s += fmt::format("{:>15}  cpu {}  {:<18} {:#x} {:#x} {:#x} {:#x}{}  rip {:#x} {}\n", grouped(e.step), e.cpu, views::event_kind_name(e.kind), e.a, e.b, e.c, e.d, what, e.rip, name(e.rip));
  }
  return s.empty() ? "no events yet\n" : s;
}

std::string Monitor::vmcs(const Words& w) {
  u64 at = machine().processor(cpu_).vmx.vmcs;
  std::string part;
  if (!w.empty()) {
    if (auto v = parse_hex(w[0]); v && w[0].starts_with("0x")) at = *v & kPageMask;
    else part = w[0];
  }
  if (at == ~u64{0}) return fmt::format("cpu {} has no current VMCS\n", cpu_);
  if (!machine().memory().present(Hpa{at})) return fmt::format("{:#x}: there is no memory\n", at);
  std::string s = fmt::format("VMCS {:#x}, {}\n", at, cpu::vmcs_launch_state(machine().memory(), at));
  const char* area = "";
  for (auto& f : cpu::vmcs_fields(machine().memory(), at)) {
    if (!contains(f.name, part)) continue;
    if (part.empty() && std::string_view(area) != f.area) s += fmt::format("{}\n", area = f.area);
    const std::string bits = decoded(f);
    s += fmt::format("  {:04x} {:<38} {:0{}x}{}{}\n", f.encoding, f.name, f.value, 2 * f.bytes, bits.empty() ? "" : "  ", bits);
  }
  return s;
}

std::string Monitor::msr(const Words& w) {
  cpu::Cpu& c = machine().processor(cpu_);
  std::optional<u64> only;
  if (!w.empty()) only = parse_hex(w[0]);
  std::string s;
  for (auto& r : cpu::msr_rows()) {
    if (r.first == 0x800) continue;   // the local APIC's: monitor lapic
    for (u32 n = r.first; n <= r.last; ++n) {
      if (only ? *only != n : !w.empty() && !contains(r.name, w[0])) continue;
      u64 v = 0;
      if (cpu::read_msr(c, n, v)) s += fmt::format("{:08x} {:016x} {}\n", n, v, r.name);
    }
  }
  return s.empty() ? fmt::format("{}: no such MSR\n", w.empty() ? "" : w[0]) : s;
}

/// SDM 3A "Local APIC Register Address Map"
std::string Monitor::lapic(const Words&) {
  cpu::LocalApic& a = machine().processor(cpu_).apic;
  std::string s = fmt::format("local APIC of cpu {}: {}, at {:#x}\n", cpu_, !a.enabled() ? "disabled" : a.x2apic() ? "x2APIC" : "xAPIC", a.base() & kPageMask);
  static constexpr struct { u16 at; const char* name; } kRows[] = {
    {0x020, "ID"}, {0x030, "version"}, {0x080, "TPR"}, {0x0a0, "PPR"}, {0x0d0, "LDR"}, {0x0e0, "DFR"}, {0x0f0, "SVR"}, {0x280, "ESR"}, {0x300, "ICR low"}, {0x310, "ICR high"},
    {0x320, "LVT timer"}, {0x340, "LVT PMC"}, {0x350, "LVT LINT0"}, {0x360, "LVT LINT1"}, {0x370, "LVT error"}, {0x380, "initial count"}, {0x390, "current count"}, {0x3e0, "divide"}};
  for (auto& r : kRows) s += fmt::format("  {:03x} {:<14} {:08x}\n", r.at, r.name, a.read(r.at));
  for (auto& [at, what] : {std::pair<u32, const char*>{0x100, "in service"}, {0x180, "level"}, {0x200, "requested"}}) {
    s += fmt::format("  {:<14}", what);
    for (u32 v = 0; v < 256; ++v) if (a.read(at + (v >> 5) * 16) >> (v & 31) & 1) s += fmt::format(" {:02x}", v);
    s += '\n';
  }
  return s;
}

/// 82093AA "I/O Redirection Table Registers"; VT-d "Programming I/O APICs" for remappable entries
std::string Monitor::ioapic(const Words&) {
  const emu::IoApic& a = machine().ioapic();
  std::string s = fmt::format("I/O APIC, id {}\n", a.id());
  for (unsigned n = 0; n < emu::IoApic::kPins; ++n) {
    const u64 e = a.entry(n);
    s += fmt::format("  pin {:>2}  {:016x}  vector {:02x}{}{}{}{}\n", n, e, e & 0xff, e >> 15 & 1 ? ", level" : ", edge", e >> 13 & 1 ? ", active low" : "",
                     e >> 48 & 1 ? fmt::format(", remapped by index {}", (e >> 49 & 0x7fff) | (e >> 11 & 1) << 15) : "", e >> 16 & 1 ? ", masked" : "");
  }
  return s;
}

std::string Monitor::pci(const Words& w) {
  std::string s;
  auto& space = machine().pci();
  if (!w.empty()) {
    const auto at = parse_bdf(w[0]);
    auto* f = at ? space.find(*at) : nullptr;
    if (!f) throw UsageError(fmt::format("{}: no such function; write it as 00:1f.0", w[0]));
    for (u16 r = 0; r < 256; r = static_cast<u16>(r + 16)) {
      s += fmt::format("{:02x}:", r);
      for (u16 k = 0; k < 16; ++k) s += fmt::format(" {:02x}", f->config_read(static_cast<u16>(r + k), 1));
      s += '\n';
    }
    return s;
  }
  for (auto& f : space.functions())
    s += fmt::format("{}  {:04x}:{:04x}  class {:06x}{}{}{}\n", bdf_text(f->bdf()), f->config_read(0, 2), f->config_read(2, 2), f->config_read(8, 4) >> 8, f->bridge() ? "  bridge" : "",
                     f->memory_enabled() ? "  memory" : "", f->bus_master() ? "  bus master" : "");
  return s;
}

std::string Monitor::iommu(const Words&) {
  std::string s;
  for (auto& u : machine().vtd_units()) {
    s += fmt::format("VT-d unit {}: translation {}, interrupt remapping {}, queue {}, root table {:#x}\n", u->index(), u->translation_enabled() ? "enabled" : "off",
                     u->interrupt_remapping_enabled() ? "enabled" : "off", u->queue_enabled() ? "enabled" : "off", u->root_in_use().v);
    for (unsigned n = 0; n < std::size(vtd::kRegs); ++n) s += fmt::format("  {:03x} {:<12} {:0{}x}\n", vtd::kRegs[n].offset, vtd::kRegs[n].name, u->register_value(n), 2 * vtd::kRegs[n].size);
    for (unsigned n = 0; n < u->caps().fault_records; ++n) s += fmt::format("  fault record {}: {:016x} {:016x}\n", n, u->fault_record(n).hi, u->fault_record(n).lo);
    const auto& t = u->statistics();
    s += fmt::format("  {} requests, {} faults, {} interrupts, {} invalidations, {} uses of stale entries\n", grouped(t.requests), grouped(t.faults), grouped(t.interrupts), grouped(t.invalidations),
                     grouped(t.stale_uses));
  }
  return s.empty() ? "this platform has no VT-d unit\n" : s;
}

std::string Monitor::tlb(const Words&) {
  std::string s;
  u64 n = 0;
  machine().processor(cpu_).tlb.for_each([&](const cpu::TlbEntry& e) {
    ++n;
    using namespace cpu::tlb_flag;
    s += fmt::format("{:016x} -> {:012x}  {:>3}  {}{}{}{}{}  eptp {:x} vpid {} pcid {}\n", e.page << e.shift, e.target, size_text(u64{1} << e.shift), e.flags & writable ? 'w' : '-', e.flags & user ? 'u' : '-',
                     e.flags & global ? 'g' : '-', e.flags & no_execute ? '-' : 'x', e.flags & dirty ? 'd' : '-', e.eptp, e.vpid, e.pcid);
  });
  return s + fmt::format("{} entries\n", n);
}

}  // namespace vt::cli::gdb
