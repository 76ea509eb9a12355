// SPDX-License-Identifier: GPL-2.0-or-later
/// docs/coverage.md, from the tables that the machine itself runs on.
///   coverage-doc > docs/coverage.md     writes it
///   coverage-doc --check FILE           status 1, and what to do, where FILE says something else
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "cpu/cpuid.hpp"
#include "cpu/msr.hpp"
#include "cpu/rows.hpp"
#include "emu/machine.hpp"
#include "vmx/capabilities.hpp"
#include "vmx/entry_checks.hpp"
#include "vtd/registers.hpp"

namespace vt {
namespace {

using cpu::Feature;
using Text = std::string;

Text feature_name(Feature f) {
  for (auto& row : cpu::feature_rows()) if (row.feature == f) return row.name;
  return "";
}

/// "A, B; with feature: C, D": each name once under each feature, in the order of the table.
Text names(std::span<const cpu::Def> rows) {
  std::vector<std::pair<Text, Text>> lists;
  std::set<Text> seen;
  for (auto& d : rows) {
    const Text feature = feature_name(d.feature);
    auto it = std::find_if(lists.begin(), lists.end(), [&](auto& l) { return l.first == feature; });
    if (it == lists.end()) it = lists.insert(feature.empty() ? lists.begin() : lists.end(), {feature, ""});
    if (seen.insert(feature + ":" + d.name).second) it->second += (it->second.empty() ? "" : ", ") + Text(d.name);
  }
  Text out;
  for (auto& [feature, list] : lists) out += (out.empty() ? "" : "; ") + (feature.empty() ? "" : "with `" + feature + "`: ") + list;
  return out;
}

void instructions(Text& out) {
  struct Group { const char* title; std::span<const cpu::Def> rows; };
  const Group groups[] = {
      {"Arithmetic and logic", cpu::alu_rows()}, {"Data movement and stack", cpu::move_rows()}, {"Shifts and rotates", cpu::shift_rows()},
      {"Multiplication and division", cpu::muldiv_rows()}, {"Bits, CRC32, decimal", cpu::bit_rows()}, {"Control transfer", cpu::branch_rows()},
      {"Strings", cpu::string_rows()}, {"Flags and miscellany", cpu::flag_rows()}, {"Ports", cpu::io_rows()}, {"System", cpu::system_rows()},
      {"VMX", cpu::vmx_rows()}, {"x87", cpu::x87_rows()}, {"MMX", cpu::mmx_rows()}, {"SSE to SSE4.2, AVX's forms of them", cpu::sse_rows()},
      {"AVX, AVX2, FMA, F16C", cpu::avx_rows()}, {"AES, PCLMULQDQ, SHA", cpu::crypto_rows()}, {"State: FXSAVE, XSAVE", cpu::xsave_rows()}};
  std::size_t all = 0;
  Text table, lists;
  for (auto& g : groups) {
    std::set<Text> distinct;
    for (auto& d : g.rows) distinct.insert(d.name);
    all += g.rows.size();
    table += fmt::format("| {} | {} | {} |\n", g.title, distinct.size(), g.rows.size());
    lists += fmt::format("- **{}**: {}.\n", g.title, names(g.rows));
  }
  CHECK(all == cpu::all_rows().size(), "a group of rows is missing here");
  out += fmt::format(
      "## Instructions\n\nOne row per encoding of the SDM's opcode tables (cpu/insn/*.cpp, cpu/vmx/insns.cpp). What is not here raises #UD.\n\n"
      "| group | names | encodings |\n|---|---:|---:|\n{}| all | | {} |\n\n*With*: the CPUID feature without which these are #UD.\n\n{}\n",
      table, all, lists);
}

void features(Text& out) {
  static constexpr const char* kRegisters[] = {"EAX", "EBX", "ECX", "EDX"};
  out += "## CPUID features\n\nThe models have those marked *yes*; *on request* are added with `+name`, *refused* is what has no instructions behind it. `-name` takes\n"
         "along what needs it.\n\n| feature | where | `x86-64` | `x86-64-v2` | `x86-64-v3` | `server` |\n|---|---|---|---|---|---|\n";
  for (auto& f : cpu::feature_rows()) {
    Text how;
    for (std::size_t n = 0; n < cpu::kModels.size(); ++n) {
      Text one = "yes";
      if (!(f.models >> n & 1)) {
        one = "on request";
        try {
          (void)cpu::make_model("server", {Text("+") + f.name}, 1, 46, 1'000'000'000);
        } catch (const std::invalid_argument&) {
          one = "refused";
        }
      }
      if (f.feature == Feature::htt) one = "with more than one processor";
      how += fmt::format(" {} |", one);
    }
    out += fmt::format("| {} | {:02X}H{} {}[{}] |{}\n", f.name, f.leaf, f.leaf == 7 || f.leaf == 0xd ? fmt::format(".{}", f.subleaf) : "", kRegisters[f.reg], f.bit, how);
  }
  out += "\n";
}

void msrs(Text& out) {
  out += "## MSRs\n\nAny other raises #GP.\n\n| address | name | access | feature |\n|---|---|---|---|\n";
  for (auto& m : cpu::msr_rows())
    out += fmt::format("| {:X}H{} | {} | {} | {} |\n", m.first, m.last != m.first ? fmt::format("-{:X}H", m.last) : "", m.name,
                       m.read && m.write ? "read, write" : m.read ? "read" : "write", feature_name(m.feature));
  out += "\n";
}

void vmx(Text& out) {
  out += "## VMX controls\n\nWhat the capability MSRs let software choose. All other bits are fixed to their default settings.\n\n"
         "| field | bit | control | settings | feature |\n|---|---:|---|---|---|\n";
  static constexpr const char* kGroups[] = {"pin-based", "primary processor-based", "secondary processor-based", "VM-exit", "VM-entry"};
  for (auto& c : cpu::controls()) {
    if (c.setting == cpu::Setting::default1) continue;
    out += fmt::format("| {} | {} | {} | {} | {} |\n", kGroups[static_cast<unsigned>(c.group)], c.bit, c.name,
                       c.setting == cpu::Setting::default1_free ? "0 by the TRUE MSR" : "0, 1", feature_name(c.feature));
  }
  out += fmt::format("\nIA32_VMX_EPT_VPID_CAP = {:X}H.\n\n## VMCS fields\n\n| width | area | fields |\n|---|---|---|\n", cpu::ept_vpid_cap());
  static constexpr const char *kWidths[] = {"16 bits", "64 bits", "32 bits", "natural"}, *kAreas[] = {"control", "exit information", "guest state", "host state"};
  for (unsigned width = 0; width < 4; ++width)
    for (unsigned area = 0; area < 4; ++area) {
      Text list;
      for (auto& f : cpu::kFields)
        if (static_cast<unsigned>(f.width) == width && static_cast<unsigned>(f.area) == area) list += fmt::format("{}{} {:04X}H", list.empty() ? "" : ", ", f.name, f.encoding);
      if (!list.empty()) out += fmt::format("| {} | {} | {} |\n", kWidths[width], kAreas[area], list);
    }
  out += fmt::format("\n{} fields.\n\n", std::size(cpu::kFields));
}

void vmx_rules(Text& out) {
  out += "## VM-entry checks\n\nIn the order in which they are made. Each has a case that breaks it (tests/cpu/vmx_checks_test.cpp).\n\n"
         "| section of the manual | rule | then |\n|---|---|---|\n";
  const std::pair<cpu::EntryRules, const char*> groups[] = {
      {cpu::EntryRules::controls, "VMfail, error 7"}, {cpu::EntryRules::host, "VMfail, error 8"}, {cpu::EntryRules::guest, "exit 33"}};
  for (auto& [which, then] : groups)
    for (auto& r : cpu::entry_rules(which))
      out += fmt::format("| {} | {} | {}{} |\n", r.section, r.rule, then, which == cpu::EntryRules::guest ? fmt::format(", qualification {}", r.qualification) : "");
  out += "\n## VM-exit reasons\n\nThose that can come; each has a guest that makes it (tests/cpu/vmx_rules_test.cpp, task_test.cpp).\n\n| number | reason | when |\n|---:|---|---|\n";
  for (auto& r : cpu::exit_rows()) out += fmt::format("| {} | {} | {} |\n", static_cast<unsigned>(r.reason), r.name, r.when);
  out += "\n";
}

void vtd_registers(Text& out) {
  static constexpr const char* kNeeds[] = {"", "ECAP.EIM", "ECAP.QI", "ECAP.QI and EIM", "ECAP.IR", "CAP.PLMR or PHMR", "CAP.PLMR", "CAP.PHMR", "CAP.AFL"};
  out += "## VT-d registers\n\nThe capabilities are the platform description's; without those named, a register's place is reserved.\n\n"
         "| register | offset | bytes | needs |\n|---|---|---:|---|\n";
  auto rows = [&](std::span<const vtd::Reg> regs, const char* base) {
    for (auto& r : regs) out += fmt::format("| {} | {}{:X}H | {} | {} |\n", r.name, base, r.offset, r.size, kNeeds[static_cast<unsigned>(r.need)]);
  };
  rows(vtd::kRegs, "");
  rows(vtd::kIotlbRegs, "IRO + ");
  rows(vtd::kFaultRegs, "FRO + 16 n + ");
  out += "\n## VT-d fault reasons\n\nThose of legacy mode. A qualified fault is not recorded where the entry's FPD is set. Each that is modelled has requests that provoke it, with FPD\n"
         "clear and set (tests/vtd/rules_test.cpp).\n\n| reason | condition | qualified | modelled |\n|---:|---|---|---|\n";
  for (auto& f : vtd::kFaultReasons) out += fmt::format("| {:X}H | {} | {} | {} |\n", f.code, f.text, f.qualified ? "yes" : "no", f.absent ? fmt::format("no: {}", f.absent) : "yes");
  out += "\n";
}

void devices(Text& out) {
  struct Silent final : emu::SerialSink { void put(u8) override {} } silent;
  emu::Machine m(fw::default_platform(u64{2} << 30), silent);
  out += "## Devices\n\nOf the built-in platform; addresses are the description's to choose.\n\n| device | memory | ports |\n|---|---|---|\n";
  std::map<Text, std::pair<Text, Text>> by_name;
  std::vector<Text> order;
  auto note = [&](const emu::Bus::Range& r, bool ports) {
    const Text name(r.device->name());
    if (!by_name.contains(name)) order.push_back(name);
    Text& to = ports ? by_name[name].second : by_name[name].first;
    to += (to.empty() ? "" : ", ") + (r.first == r.last ? fmt::format("{:X}H", r.first) : fmt::format("{:X}H-{:X}H", r.first, r.last));
  };
  for (auto& r : m.bus().memory_ranges()) note(r, false);
  for (auto& r : m.bus().port_ranges()) note(r, true);
  for (auto& n : order) out += fmt::format("| {} | {} | {} |\n", n, by_name[n].first, by_name[n].second);
  out += "\n| PCI function | identity | class | model |\n|---|---|---|---|\n";
  for (auto& f : m.platform().pci)
    out += fmt::format("| {:02x}:{:02x}.{} | {:04x}:{:04x} | {:06x} | {} |\n", f.bdf.bus(), f.bdf.dev(), f.bdf.fn(), f.vendor, f.device, f.class_code,
                       f.model.empty() ? "configuration space only" : f.model);
}

Text everything() {
  Text out = "# Coverage\n\nGenerated from the tables in the sources by `build/tools/coverage-doc`; do not edit.\n\n";
  instructions(out);
  features(out);
  msrs(out);
  vmx(out);
  vmx_rules(out);
  vtd_registers(out);
  devices(out);
  return out;
}

int check(const char* file) {
  std::ifstream in(file);
  const Text have{std::istreambuf_iterator<char>(in), {}}, want = everything();
  if (have == want) return 0;
  auto [h, w] = std::mismatch(have.begin(), have.end(), want.begin(), want.end());
  fmt::print(stderr, "{}: line {} is not what the tables say; run: build/tools/coverage-doc > docs/coverage.md\n", file, 1 + std::count(have.begin(), h, '\n'));
  return 1;
}

}  // namespace
}  // namespace vt

int main(int argc, char** argv) {
  if (argc >= 3 && std::strcmp(argv[1], "--check") == 0) return vt::check(argv[2]);
  std::fputs(vt::everything().c_str(), stdout);
  return 0;
}
