// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine platform show, lint.
#include <fmt/format.h>
#include <unistd.h>

#include "firmware/timing.hpp"
#include "prepare.hpp"
#include "text.hpp"

namespace vt::cli {
namespace {

const char* e820_name(fw::E820 t) {
  static constexpr const char* kNames[] = {"?", "RAM", "RESERVED", "ACPI", "NVS", "UNUSABLE", "?", "PMEM"};
  return kNames[static_cast<unsigned>(t) & 7];
}

std::string scope_text(const fw::DeviceScope& s) {
  static constexpr const char* kKinds[] = {"?", "endpoint", "bridge", "ioapic", "hpet"};
  std::string t = fmt::format("{} {:02x}", kKinds[static_cast<unsigned>(s.kind) % 5], s.bus);
  for (auto [dev, fn] : s.path) t += fmt::format(":{:02x}.{}", dev, fn);
  return t;
}
std::string scopes_text(const std::vector<fw::DeviceScope>& all) {
  std::string t;
  for (auto& s : all) t += (t.empty() ? "" : ", ") + scope_text(s);
  return t;
}

std::string drhd_text(const fw::Drhd& d) {
  std::string widths, off;
  for (unsigned w : d.sagaw) widths += fmt::format("{}{}", widths.empty() ? "" : "+", w);
  auto lacks = [&off](bool has, const char* name) { if (!has) off += std::string(off.empty() ? "; without " : ", ") + name; };
  lacks(d.superpage_2m, "2M pages"), lacks(d.superpage_1g, "1G pages"), lacks(d.coherent, "coherency"), lacks(d.queued_invalidation, "queued invalidation");
  lacks(d.interrupt_remapping, "interrupt remapping"), lacks(d.pass_through, "pass-through"), lacks(d.snoop_control, "snoop control");
  return fmt::format("{:#x}: {} bits, {} fault record{} at {:#x}{}{}{}", d.address, widths, d.fault_records, d.fault_records == 1 ? "" : "s", d.fault_offset,
                     d.include_all ? ", all devices" : "", d.scopes.empty() ? "" : ", " + scopes_text(d.scopes), off);
}

}  // namespace

int platform_show(const ShowOptions& o) {
  const fw::Platform p = make_platform(o.platform);
  if (o.json) {
    std::string j = fw::to_json(p);
    if (j.empty() || j.back() != '\n') j += '\n';
    std::fputs(j.c_str(), stdout);
    return status::ok;
  }
  std::string features;
  for (auto& f : p.cpu.features) features += "," + f;
  std::string s = fmt::format("platform {}{}{}\n\n", p.name, p.description.empty() ? "" : ": ", p.description);
  s += fmt::format("processors: {} x {}{}, {} address bits, TSC {} Hz\n", p.cpu.count, p.cpu.model, features, p.cpu.physical_address_bits, grouped(p.cpu.tsc_hz));
  if (p.timing.model != timing::Model::flat) s += fmt::format("timing: {}, profile {}\n", fw::model_name(p.timing.model), p.timing.profile.name);
  s += "\nE820\n";
  std::vector<std::vector<std::string>> rows{{"first", "last", "size", "type"}};
  for (auto& r : p.e820) rows.push_back({hex16(r.first), hex16(r.first + r.size - 1), size_text(r.size), e820_name(r.type)});
  s += table(rows, "llr", 2);
  s += fmt::format("\nMTRRs: default {}\n", mem_type_name(static_cast<unsigned>(p.mtrrs.def)));
  rows.clear();
  for (auto& v : p.mtrrs.variable) rows.push_back({hex16(v.base), hex16(v.base + v.size - 1), size_text(v.size), mem_type_name(static_cast<unsigned>(v.type))});
  s += table(rows, "llr", 2);
  s += fmt::format("\nVT-d: {}\n", p.vtd ? fmt::format("host address width {}", p.host_address_width) : "none");
  for (auto& d : p.drhds) s += "  unit " + drhd_text(d) + '\n';
  for (auto& r : p.rmrrs) s += fmt::format("  RMRR {:#x}-{:#x}: {}\n", r.first, r.last, scopes_text(r.scopes));
  s += "\nPCI\n";
  rows.clear();
  for (auto& f : p.pci) {
    std::string bars;
    for (auto& b : f.bars) bars += fmt::format("{}BAR{} {:#x}+{}", bars.empty() ? "" : ", ", b.index, b.address, size_text(b.size));
    rows.push_back({bdf_text(f.bdf), fmt::format("{:04x}:{:04x}", f.vendor, f.device), fmt::format("class {:06x}", f.class_code), f.model, bars});
  }
  s += table(rows, "", 2);
  s += fmt::format("\nECAM {}, I/O APIC {:#x} (id {}), HPET {}, PM at port {:#x}, RSDP revision {}, clock {}\n",
                   p.ecam ? fmt::format("{:#x} ({} buses)", p.ecam, p.ecam_buses) : "none", p.ioapic, p.ioapic_id,
                   p.hpet ? hex(p.hpet_address) : "none", p.pm_base, p.rsdp_revision, p.rtc);
  std::fputs(s.c_str(), stdout);
  return status::ok;
}

int platform_lint(const std::vector<std::string>& files) {
  unsigned errors = 0, warnings = 0, guesses = 0;
  for (auto& file : files) {
    if (::access(file.c_str(), R_OK) != 0) throw InputError(file + ": cannot be opened; check the path");
    try {
      const fw::Platform p = fw::load_platform(file);
      for (auto& o : p.origins)
        if (o.guessed) {
          std::printf("%s: guessed: %s: %s%s\n", file.c_str(), o.field.c_str(), o.why.empty() ? "not told" : o.why.c_str(), o.from.empty() ? "" : (" (" + o.from + ")").c_str());
          ++guesses;
        }
      for (auto& f : fw::lint(p)) {
        std::printf("%s: %s: %s: %s\n", file.c_str(), f.error ? "error" : "warning", f.field.c_str(), f.message.c_str());
        ++(f.error ? errors : warnings);
      }
    } catch (const fw::PlatformError& e) {   // names file and field itself
      std::printf("error: %s\n", e.what());
      ++errors;
    }
  }
  std::string guessed = guesses ? fmt::format(", {} guess{}", guesses, guesses == 1 ? "" : "es") : "";
  std::fprintf(stderr, "vitrine: %u error%s, %u warning%s%s in %zu description%s\n", errors, errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s",
               guessed.c_str(), files.size(), files.size() == 1 ? "" : "s");
  return errors ? status::finding : status::ok;
}

}  // namespace vt::cli
