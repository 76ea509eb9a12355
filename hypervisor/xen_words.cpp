// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor/xen_words.hpp"

#include <fmt/format.h>

#include "hypervisor/xen.hpp"

namespace vt::hv::xen {
namespace {

// p2m_type_t
constexpr u64 kTagMax = 0x3ff;   // above: no mapping of a p2m
constexpr unsigned kGrantRw = 7, kGrantRo = 8, kShared = 12, kForeign = 14, kIoreq = 15;

/// By the function that a phase of the boot goes through, innermost first.
constexpr struct { const char* function; const char* phase; } kPhases[] = {
    {"setup_hwdom_pci_devices", "devices"},      {"setup_hwdom_rmrr", "RMRR"},          {"arch_iommu_hwdom_init", "identity map"},
    {"intel_iommu_hwdom_init", "IOMMU of dom0"}, {"pvh_populate_p2m", "populate"},      {"pvh_load_kernel", "load kernel"},
    {"pvh_setup_acpi", "ACPI"},                  {"pvh_setup_cpus", "processors"},      {"dom0_construct_pvh", "build of dom0"},
    {"iommu_setup", "IOMMU set-up"},             {"domain_create", "create domain"},    {"start_secondary", "other processors"},
    {"vmx_asm_vmexit_handler", "running"},       {"__start_xen", "boot"},
};

std::string plain(std::string name) { return name.substr(0, name.find('+')); }

}  // namespace

XenWords::XenWords(const Symbols* symbols) : symbols_(symbols) {
  if (!symbols_) return;
  for (auto& s : sites(*symbols_)) calls_[s.address] = s.call;
  lines_ = Lines::load(symbols_->file());
}

u64 XenWords::tag(u64 entry) const { return p2m_bits(entry); }
std::string XenWords::type_name(u64 tag) const { return tag > kTagMax ? std::string{} : p2m_type_name(p2m_type(tag)); }
std::string XenWords::access_name(u64 tag) const { return tag > kTagMax ? std::string{} : p2m_access_name(p2m_access(tag)); }

bool XenWords::may_alias(u64 tag) const {
  const unsigned t = p2m_type(tag);
  return t == kGrantRw || t == kGrantRo || t == kForeign || t == kShared;
}
bool XenWords::may_differ_for_devices(u64 tag) const { return p2m_type(tag) == kIoreq; }

std::string XenWords::symbol(u64 address) const { return symbols_ ? symbols_->name(address) : std::string{}; }
std::string XenWords::function(u64 address) const { return plain(symbol(address)); }

views::Source XenWords::source(u64 address) const {
  if (!lines_) return {};
  const auto all = lines_->at(address);
  return all.empty() ? views::Source{} : views::Source{all[0].file, all[0].line};
}

std::vector<views::Words::Inlined> XenWords::frames(u64 address) const {
  std::vector<Inlined> out;
  if (lines_) for (auto& f : lines_->at(address)) out.push_back({f.function, {f.file, f.line}});
  return out.empty() ? Words::frames(address) : out;
}

std::optional<views::Request> XenWords::request(const views::Attempt& a) const {
  auto it = calls_.find(a.function);
  if (it == calls_.end()) return {};
  const Call& c = *it->second;
  views::Request r;
  r.function = c.name;
  r.removes = c.removes;
  std::optional<u64> type, access;
  std::string list;
  for (unsigned n = 0; n < 6 && c.argument[n] != Argument::none; ++n) {
    const u64 v = a.argument[n];
    std::string text;
    switch (c.argument[n]) {
      case Argument::none: break;
      case Argument::domain: r.owner = v; text = fmt::format("d {:#x}", v); break;
      case Argument::p2m: r.owner = v; text = fmt::format("p2m {:#x}", v); break;
      case Argument::gfn: r.first = v << 12; text = fmt::format("gfn {:#x}", v); break;
      case Argument::dfn: r.first = v << 12; text = fmt::format("dfn {:#x}", v); break;
      case Argument::mfn:
        if (v != ~u64{0}) r.target = v << 12;
        text = v == ~u64{0} ? "mfn none" : fmt::format("mfn {:#x}", v);
        break;
      case Argument::order: if ((v & 0xffffffff) < 40) r.size = u64{4096} << (v & 0xff); text = fmt::format("order {}", v & 0xffffffff); break;
      case Argument::count: r.size = v << 12; text = fmt::format("{} pages", v); break;
      case Argument::type: type = v & 0x3f; text = p2m_type_name(static_cast<unsigned>(v & 0x3f)); break;
      case Argument::access: access = v & 0xf; text = p2m_access_name(static_cast<unsigned>(v & 0xf)); break;
      case Argument::flags: text = fmt::format("flags {:#x}", v & 0xffffffff); break;
      case Argument::pointer: continue;
    }
    list += (list.empty() ? "" : ", ") + text;
  }
  if (type && access) r.tag = *type | *access << 6;
  if (!r.target && r.first && r.function.find("identity") != std::string::npos && !r.removes) r.target = r.first;
  r.text = fmt::format("{}({})", c.name, list);
  if (a.result) {
    r.result = static_cast<i32>(*a.result);
    r.result_text = result_text(*a.result);
    r.refused = *r.result < 0;
  }
  return r;
}

std::string XenWords::phase(const std::vector<u64>& chain) const {
  for (u64 at : chain)
    for (auto& f : frames(at))
      for (auto& p : kPhases) if (f.function == p.function) return p.phase;
  return {};
}

std::vector<views::Ledger::Function> ledger_functions(const Symbols& symbols) {
  std::vector<views::Ledger::Function> all;
  for (auto& s : sites(symbols)) all.push_back({s.address, arguments(*s.call)});
  return all;
}

std::vector<std::string> missing_functions(const Symbols& symbols) {
  std::vector<std::string> all;
  for (auto& c : calls()) if (!symbols.find(c.name)) all.push_back(c.name);
  return all;
}

}  // namespace vt::hv::xen
