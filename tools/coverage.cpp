// SPDX-License-Identifier: GPL-2.0-or-later
/// docs/coverage.md, from the tables that the machine itself runs on.
/// and from two records of what was tried: tests/tested.txt (scripts/tested.py) and tools/judge/tally.txt (the native judge).
///   coverage-doc [ROOT] > docs/coverage.md     writes it; ROOT is the top of the source tree, "." if not given
///   coverage-doc --check [ROOT]                status 1, and what to do, where ROOT/docs/coverage.md says something else, or a row has no test
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "cpu/cpuid.hpp"
#include "cpu/msr.hpp"
#include "cpu/rows.hpp"
#include "judge/classes.hpp"
#include "emu/machine.hpp"
#include "vmx/capabilities.hpp"
#include "vmx/entry_checks.hpp"
#include "vtd/registers.hpp"

namespace vt {
namespace {

using cpu::Feature;
using Text = std::string;

// ---- what the tests have tried ----
struct Tried {
  u64 cases = 0;
  std::set<Text> by;   ///< suites of tests: "vmx_checks", "Refused"; a guest's name
  Tried& operator+=(const Tried& t) { cases += t.cases, by.insert(t.by.begin(), t.by.end()); return *this; }
  /// Two columns of a table.
  Text text() const {
    Text list;
    for (auto& b : by) list += (list.empty() ? "" : ", ") + b;
    return fmt::format(" {} | {} |", list.empty() ? "none" : list, cases);
  }
};
class Record {
 public:
  /// False: a file is not there or not as it should be; `problem` says it.
  bool read(const Text& root, Text& problem) {
    const Text cases = root + "/tests/tested.txt", tally = root + "/tools/judge/tally.txt";
    std::ifstream in(cases), judged(tally);
    if (!in || !judged) return problem = (in ? tally : cases) + ": cannot be read; the argument is the top of the source tree", false;
    for (Text line; std::getline(in, line);) {
      if (line.empty() || line[0] == '#') continue;
      const std::size_t a = line.find('\t'), b = line.find('\t', a + 1), c = line.find('\t', b + 1);
      if (a == Text::npos || b == Text::npos || c == Text::npos) return problem = cases + ": not four fields with tabs between them: " + line, false;
      Text suite = line.substr(b + 1, c - b - 1);
      suite.resize(std::min(suite.find('.'), suite.size()));
      suite = suite.substr(suite.rfind('/') + 1);   // without the program, and the prefix of an instantiated suite
      Tried& t = rows_[line.substr(0, a)][line.substr(a + 1, b - a - 1)];
      t.cases += std::strtoull(line.c_str() + c + 1, nullptr, 10);
      t.by.insert(suite);
    }
    Text name;
    for (Text line; std::getline(judged, line);) {
      char word[128];
      unsigned long long seed, n;
      if (line[0] != '#' && std::sscanf(line.c_str(), "%127s %llu %llu", word, &seed, &n) == 3) judged_[word] = n;
    }
    return true;
  }
  Tried of(const Text& what, const Text& row) {
    const auto w = rows_.find(what);
    const auto r = w == rows_.end() ? decltype(w->second.begin()){} : w->second.find(row);
    if (w != rows_.end() && r != w->second.end()) return r->second;
    untested_.push_back(what + " " + row);
    return {};
  }
  const std::map<Text, Tried>& all(const Text& what) { return rows_[what]; }
  u64 judged(const Text& name) const { const auto it = judged_.find(name); return it == judged_.end() ? 0 : it->second; }
  const std::vector<Text>& untested() const { return untested_; }

 private:
  std::map<Text, std::map<Text, Tried>> rows_;
  std::map<Text, u64> judged_;
  std::vector<Text> untested_;
};
Text number(u64 n) { return fmt::format("{:X}H", n); }
Text thousands(u64 n) { Text s = std::to_string(n); for (std::size_t k = s.size(); k > 3;) s.insert(k -= 3, ","); return s; }

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

void instructions(Text& out, Record& record) {
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
    // The judge's classes that run this group's rows, of each mode; some classes run several groups.
    const auto in_group = [&](unsigned n) {
      const cpu::Def& x = cpu::all_rows()[n];
      return std::any_of(g.rows.begin(), g.rows.end(), [&](const cpu::Def& d) { return d.name == x.name && d.opcode == x.opcode && d.fn[1][0] == x.fn[1][0] && d.fn[1][1] == x.fn[1][1]; });
    };
    std::set<unsigned> judged;
    Text classes;
    u64 cases = 0;
    for (unsigned code : {2u, 1u, 0u})
      for (auto& c : judge::classes(code)) {
        const std::size_t before = judged.size();
        bool here = false;
        for (unsigned n : c.rows) if (in_group(n)) judged.insert(n), here = true;
        if (!here) continue;
        cases += record.judged(c.name);
        if (code == 2) classes += (classes.empty() ? "" : ", ") + c.name;
        else if (judged.size() != before && classes.find(c.name.substr(3)) == Text::npos) classes += (classes.empty() ? "" : ", ") + c.name.substr(3);
      }
    table += fmt::format("| {} | {} | {} | {} | {} | {} |\n", g.title, distinct.size(), g.rows.size(), judged.size(), classes, cases ? thousands(cases) : "");
    lists += fmt::format("- **{}**: {}.\n", g.title, names(g.rows));
  }
  CHECK(all == cpu::all_rows().size(), "a group of rows is missing here");
  out += fmt::format(
      "## Instructions\n\nOne row per encoding of the SDM's opcode tables (cpu/insn/*.cpp, cpu/vmx/insns.cpp). What is not here raises #UD.\n\n"
      "*Judged*: encodings that the native judge runs on a host's processor and compares ([conformance.md](conformance.md)), by its classes of instructions; *cases*: of these classes, in\n"
      "64, 32 and 16-bit mode. A class may run several groups. What user mode cannot run is for the unit tests and the bare-metal guests below.\n\n"
      "| group | names | encodings | judged | classes | cases |\n|---|---:|---:|---:|---|---:|\n{}| all | | {} | | | |\n\n*With*: the CPUID feature without which these are #UD.\n\n{}\n",
      table, all, lists);
}

void features(Text& out, Record& record) {
  static constexpr const char* kRegisters[] = {"EAX", "EBX", "ECX", "EDX"};
  out += "## CPUID features\n\nThe models have those marked *yes*; *on request* are added with `+name`, *refused* is what has no instructions behind it. `-name` takes\n"
         "along what needs it. *Cases*: models with and without it, and each other feature, whose leaf shows it or does not.\n\n"
         "| feature | where | `x86-64` | `x86-64-v2` | `x86-64-v3` | `server` | tested by | cases |\n|---|---|---|---|---|---|---|---:|\n";
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
    out += fmt::format("| {} | {:02X}H{} {}[{}] |{}{}\n", f.name, f.leaf, f.leaf == 7 || f.leaf == 0xd ? fmt::format(".{}", f.subleaf) : "", kRegisters[f.reg], f.bit, how,
                       record.of("CPUID feature", f.name).text());
  }
  out += "\n| CPUID leaf | tested by | cases |\n|---|---|---:|\n";
  std::vector<std::pair<u64, Text>> leaves;
  for (auto& [leaf, t] : record.all("CPUID leaf")) leaves.emplace_back(std::strtoull(leaf.c_str(), nullptr, 16), t.text());
  std::sort(leaves.begin(), leaves.end());
  for (auto& [leaf, text] : leaves) out += fmt::format("| {:02X}H |{}\n", leaf, text);
  out += "\n";
}

void msrs(Text& out, Record& record) {
  out += "## MSRs\n\nAny other raises #GP.\n\n| address | name | access | feature | tested by | cases |\n|---|---|---|---|---|---:|\n";
  for (auto& m : cpu::msr_rows()) {
    Tried tried;
    const auto& all = record.all("MSR");
    for (u64 n = m.first; n <= m.last; ++n) if (auto it = all.find(number(n)); it != all.end()) tried += it->second;
    if (!tried.cases) (void)record.of("MSR", m.name);
    out += fmt::format("| {:X}H{} | {} | {} | {} |{}\n", m.first, m.last != m.first ? fmt::format("-{:X}H", m.last) : "", m.name,
                       m.read && m.write ? "read, write" : m.read ? "read" : "write", feature_name(m.feature), tried.text());
  }
  out += "\n";
}

void vmx(Text& out, Record& record) {
  out += "## VMX controls\n\nWhat the capability MSRs let software choose. All other bits are fixed to their default settings.\n\n"
         "| field | bit | control | settings | feature | tested by | cases |\n|---|---:|---|---|---|---|---:|\n";
  static constexpr const char* kGroups[] = {"pin-based", "primary processor-based", "secondary processor-based", "VM-exit", "VM-entry"};
  for (auto& c : cpu::controls()) {
    if (c.setting == cpu::Setting::default1) continue;
    out += fmt::format("| {} | {} | {} | {} | {} |{}\n", kGroups[static_cast<unsigned>(c.group)], c.bit, c.name, c.setting == cpu::Setting::default1_free ? "0 by the TRUE MSR" : "0, 1",
                       feature_name(c.feature), record.of("VMX control", fmt::format("{}.{}", static_cast<unsigned>(c.group), c.bit)).text());
  }
  out += fmt::format("\nIA32_VMX_EPT_VPID_CAP = {:X}H.\n\n## VMCS fields\n\n| width | area | fields | tested by | cases |\n|---|---|---|---|---:|\n", cpu::ept_vpid_cap());
  static constexpr const char *kWidths[] = {"16 bits", "64 bits", "32 bits", "natural"}, *kAreas[] = {"control", "exit information", "guest state", "host state"};
  for (unsigned width = 0; width < 4; ++width)
    for (unsigned area = 0; area < 4; ++area) {
      Text list;
      Tried tried;
      for (auto& f : cpu::kFields)
        if (static_cast<unsigned>(f.width) == width && static_cast<unsigned>(f.area) == area) tried += record.of("VMCS field", number(f.encoding)), list += fmt::format("{}{} {:04X}H", list.empty() ? "" : ", ", f.name, f.encoding);
      if (!list.empty()) out += fmt::format("| {} | {} | {} |{}\n", kWidths[width], kAreas[area], list, tried.text());
    }
  out += fmt::format("\n{} fields.\n\n", std::size(cpu::kFields));
}

void vmx_rules(Text& out, Record& record) {
  out += "## VM-entry checks\n\nIn the order in which they are made; cases are states that break one of them.\n\n"
         "| section of the manual | rule | then | tested by | cases |\n|---|---|---|---|---:|\n";
  const std::pair<cpu::EntryRules, const char*> groups[] = {
      {cpu::EntryRules::controls, "VMfail, error 7"}, {cpu::EntryRules::host, "VMfail, error 8"}, {cpu::EntryRules::guest, "exit 33"}};
  for (auto& [which, then] : groups)
    for (auto& r : cpu::entry_rules(which))
      out += fmt::format("| {} | {} | {}{} |{}\n", r.section, r.rule, then, which == cpu::EntryRules::guest ? fmt::format(", qualification {}", r.qualification) : "",
                         record.of("VM-entry check", which == cpu::EntryRules::guest ? fmt::format("33/{} {}", r.qualification, r.rule) : fmt::format("{} {}", which == cpu::EntryRules::host ? 8 : 7, r.rule)).text());
  out += "\n## VM-exit reasons\n\nThose that can come; cases are exits of guests in the unit tests.\n\n| number | reason | when | tested by | cases |\n|---:|---|---|---|---:|\n";
  for (auto& r : cpu::exit_rows())
    out += fmt::format("| {} | {} | {} |{}\n", static_cast<unsigned>(r.reason), r.name, r.when, record.of("VM-exit reason", number(static_cast<unsigned>(r.reason))).text());
  out += "\n## EPT\n\n| rule | tested by | cases |\n|---|---|---:|\n";
  for (auto& [rule, tried] : record.all("EPT")) out += fmt::format("| {} |{}\n", rule, tried.text());
  out += "\n";
}

void vtd_registers(Text& out, Record& record) {
  static constexpr const char* kNeeds[] = {"", "ECAP.EIM", "ECAP.QI", "ECAP.QI and EIM", "ECAP.IR", "CAP.PLMR or PHMR", "CAP.PLMR", "CAP.PHMR", "CAP.AFL"};
  out += "## VT-d registers\n\nThe capabilities are the platform description's; without those named, a register's place is reserved.\n\n"
         "| register | offset | bytes | needs | tested by | cases |\n|---|---|---:|---|---|---:|\n";
  auto rows = [&](std::span<const vtd::Reg> regs, const char* base) {
    for (auto& r : regs) out += fmt::format("| {} | {}{:X}H | {} | {} |{}\n", r.name, base, r.offset, r.size, kNeeds[static_cast<unsigned>(r.need)], record.of("VT-d register", r.name).text());
  };
  rows(vtd::kRegs, "");
  rows(vtd::kIotlbRegs, "IRO + ");
  rows(vtd::kFaultRegs, "FRO + 16 n + ");
  out += "\n## VT-d fault reasons\n\nThose of legacy mode. A qualified fault is not recorded where the entry's FPD is set. Each that is modelled has requests that provoke it, with FPD\n"
         "clear and set.\n\n| reason | condition | qualified | modelled | tested by | cases |\n|---:|---|---|---|---|---:|\n";
  for (auto& f : vtd::kFaultReasons) out += fmt::format("| {:X}H | {} | {} | {} |{}\n", f.code, f.text, f.qualified ? "yes" : "no", f.absent ? fmt::format("no: {}", f.absent) : "yes",
                                                           f.absent ? " | |" : record.of("VT-d fault reason", number(f.code)).text());
  out += "\n| invalidation | tested by | cases |\n|---|---|---:|\n";
  for (auto& [rule, tried] : record.all("VT-d invalidation")) out += fmt::format("| {} |{}\n", rule, tried.text());
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

/// The string literals of a line of source, as they are written.
std::vector<Text> literals(const Text& line) {
  std::vector<Text> all;
  for (std::size_t n = 0; n < line.size(); ++n) {
    if (line[n] != '"') continue;
    Text one;
    for (++n; n < line.size() && line[n] != '"'; ++n) {
      if (line[n] == '\\' && n + 1 < line.size()) ++n;
      one += line[n];
    }
    all.push_back(one);
  }
  return all;
}
/// What ends a run as Unsupported: every call that says so in the sources, by its own words.
void unsupported(Text& out, const Text& root) {
  out += "## Unsupported\n\nDocumented and offered, but not modelled: the run ends, and says these words.\n\n| what | where it is documented |\n|---|---|\n";
  std::set<std::pair<Text, Text>> rows;
  for (const char* room : {"cpu", "ept", "vtd", "emu"})
    for (auto& f : std::filesystem::recursive_directory_iterator(root + "/" + room)) {
      if (f.path().extension() != ".cpp" && f.path().extension() != ".hpp") continue;
      std::ifstream in(f.path());
      for (Text line; std::getline(in, line);) {
        const std::size_t at = line.find("unsupported(");
        if (at == Text::npos) continue;
        std::vector<Text> words = literals(line.substr(at));
        if (words.size() < 2) continue;   // where it is defined
        const Text where = words.back();
        words.pop_back();
        for (auto& w : words) rows.insert({w.ends_with(' ') ? w + "..." : w, where});   // a name follows
      }
    }
  for (auto& [what, where] : rows) out += fmt::format("| {} | {} |\n", what, where);
  out += "\n";
}

void guests(Text& out, Record& record) {
  out += "## Bare-metal guests\n\nWhat needs a machine: paging, segmentation, gates, interrupts, APIC, INIT and SIPI, task switches, virtual-8086 mode, VMX, VT-d ([guests.md](guests.md)).\n\n"
         "| guest | cases |\n|---|---:|\n";
  u64 all = 0;
  for (auto& [name, tried] : record.all("guest")) out += fmt::format("| {} | {} |\n", name, thousands(tried.cases)), all += tried.cases;
  out += fmt::format("| all | {} |\n\n", thousands(all));
}

Text everything(Record& record, const Text& root) {
  Text out = "# Coverage\n\nGenerated by `build/tools/coverage-doc` from the tables in the sources and from the records of what tests have tried: `tests/tested.txt` (made by `scripts/tested.py`)\n"
             "and `tools/judge/tally.txt`; do not edit. *Tested by* names suites of unit tests, and guests.\n\n";
  instructions(out, record);
  features(out, record);
  msrs(out, record);
  vmx(out, record);
  vmx_rules(out, record);
  vtd_registers(out, record);
  guests(out, record);
  unsupported(out, root);
  devices(out);
  return out;
}

int check(const Text& root, Record& record) {
  const Text file = root + "/docs/coverage.md";
  std::ifstream in(file);
  const Text have{std::istreambuf_iterator<char>(in), {}}, want = everything(record, root);
  for (auto& row : record.untested()) fmt::print(stderr, "tests/tested.txt: nothing tries {}\n", row);
  if (have == want) return record.untested().empty() ? 0 : 1;
  auto [h, w] = std::mismatch(have.begin(), have.end(), want.begin(), want.end());
  fmt::print(stderr, "{}: line {} is not what the tables say; run: build/tools/coverage-doc > docs/coverage.md\n", file, 1 + std::count(have.begin(), h, '\n'));
  return 1;
}

}  // namespace
}  // namespace vt

int main(int argc, char** argv) {
  const bool check = argc >= 2 && std::strcmp(argv[1], "--check") == 0;
  const int at = check ? 2 : 1;
  const vt::Text root = argc > at ? argv[at] : ".";
  vt::Record record;
  vt::Text problem;
  if (!record.read(root, problem)) {
    fmt::print(stderr, "coverage-doc: {}\n", problem);
    return 4;
  }
  if (check) return vt::check(root, record);
  std::fputs(vt::everything(record, root).c_str(), stdout);
  return 0;
}
