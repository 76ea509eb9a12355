// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger_text.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "text.hpp"
#include "vtd/queue.hpp"

namespace vt::cli {
using json = nlohmann::ordered_json;
namespace {

std::string cause_text(unsigned cause) {
  switch (cause) {
    case static_cast<unsigned>(WriteCause::locked): return "locked";
    case static_cast<unsigned>(WriteCause::walker_ad): return "A/D";
    case static_cast<unsigned>(WriteCause::dma): return "DMA";
    case static_cast<unsigned>(WriteCause::loader): return "loader";
    case static_cast<unsigned>(WriteCause::vmcs): return "VMCS";
    case static_cast<unsigned>(WriteCause::debugger): return "debugger";
    case place::kExisting: return "found";
    default: return {};
  }
}

const char* format_name(TableFormat f) {
  switch (f) {
    case TableFormat::ept: return "EPT";
    case TableFormat::root: return "root";
    case TableFormat::context: return "context";
    case TableFormat::second_level: return "second-level";
    case TableFormat::interrupt: return "interrupt remapping";
    case TableFormat::none: break;
  }
  return "?";
}

std::string place_text(u64 d) {
  const u64 first = place::first(d);
  switch (place::format(d)) {
    case TableFormat::ept: case TableFormat::second_level: return fmt::format("level {} for {:x}", place::level(d), first);
    case TableFormat::root: return fmt::format("bus {:02x}", first >> 20);
    case TableFormat::context: return bdf_text(Bdf(static_cast<u16>(first >> 12)));
    case TableFormat::interrupt: return fmt::format("entry {}", first >> 12);
    case TableFormat::none: break;
  }
  return {};
}

std::string invalidation_text(u64 lo, u64 hi) {
  static constexpr const char* kGranularity[] = {"reserved", "global", "domain", "specific"};
  const vtd::Descriptor d{lo, hi};
  const char* g = kGranularity[static_cast<unsigned>(d.granularity()) & 3];
  switch (static_cast<vtd::DescriptorType>(d.type())) {
    case vtd::DescriptorType::context_cache: return fmt::format("context cache, {} (domain {}, source {:#x})", g, d.domain(), d.source());
    case vtd::DescriptorType::iotlb:
      return d.granularity() == vtd::Granularity::specific ? fmt::format("IOTLB, pages {:x} + 2^{} (domain {})", d.address(), d.address_mask(), d.domain())
                                                           : fmt::format("IOTLB, {} (domain {})", g, d.domain());
    case vtd::DescriptorType::interrupt_entry: return "interrupt entry cache";
    case vtd::DescriptorType::wait: return "wait";
    case vtd::DescriptorType::device_tlb: return "device TLB";
  }
  return fmt::format("descriptor {:#x}", lo);
}

}  // namespace

std::string range_text(u64 first, u64 last) {
  if (last - first < kPageSize) return fmt::format("{:x}", first);
  return fmt::format("{:x}-{:x}", first, last);
}

std::string space_text(const Story& s, u32 space) {
  const views::Space& x = s.history().spaces.at(space);
  if (x.format == TableFormat::ept) return fmt::format("EPT {:#x}", x.root.v);
  std::string devices;
  for (Bdf d : x.devices) devices += (devices.empty() ? "" : ", ") + bdf_text(d);
  return fmt::format("VT-d unit {}, tables {:#x} ({}{})", x.unit, x.root.v, devices, x.shared_with ? "; those of the EPT" : "");
}

std::string mapping_text(const Story& s, const views::Mapping& m, u64 first, bool with_type) {
  if (!m.present) return "not mapped";
  if (m.misconfigured) return "misconfigured";
  std::string t = m.target == first ? "identity" : fmt::format("to {:x}", m.target);
  t += ' ' + access_text(m.access);
  if (with_type)
    if (const std::string type = s.words().type_name(m.tag); !type.empty()) t += fmt::format(" {}/{}", type, s.words().access_name(m.tag));
  return t;
}

std::string origin_text(const views::Origin& o) {
  if (o.source.file.empty()) return o.function;
  return fmt::format("{} ({}:{})", o.function, o.source.file, o.source.line);
}

std::string chain_text(const Story& s, const Event& e) {
  std::string t;
  for (u64 a : views::frames(s.history(), e)) {
    const auto here = s.words().frames(a);
    for (std::size_t i = 0; i + 1 < here.size(); ++i) t += (t.empty() ? "" : " < ") + here[i].function + " (inlined)";
    const std::string symbol = s.words().symbol(a);
    t += (t.empty() ? "" : " < ") + (symbol.empty() ? hex(a) : symbol);
  }
  return t;
}

std::string event_text(const Story& s, const Event& e) {
  switch (e.kind) {
    case EventKind::eptp_change: return fmt::format("EPTP {:#x} in VMCS {:#x}", e.b, e.a);
    case EventKind::vm_entry: return fmt::format("VM entry with EPTP {:#x}", e.b);
    case EventKind::invept: return fmt::format("INVEPT type {} EPTP {:#x}", e.a, e.b);
    case EventKind::invvpid: return fmt::format("INVVPID type {} VPID {} {:#x}", e.a, e.b, e.c);
    case EventKind::vtd_translation: return fmt::format("VT-d unit {}: translation {}, root table {:#x}", e.a, e.b ? "enabled" : "disabled", e.c);
    case EventKind::vtd_pointer: return fmt::format("VT-d unit {}: {} table {:#x} taken over", e.a, e.b ? "interrupt remapping" : "root", e.c & kPageMask);
    case EventKind::vtd_invalidate: return fmt::format("VT-d unit {}: invalidate {}", e.a, invalidation_text(e.b, e.c));
    case EventKind::vtd_fault: return fmt::format("VT-d unit {}: fault of {} at {:x}, reason {:#x}", e.a, bdf_text(Bdf(static_cast<u16>(e.b))), e.c, e.d);
    case EventKind::stale_translation: return fmt::format("stale translation of {:#x} used (entry {:#x} has changed)", e.a, e.b);
    case EventKind::cache_line_flush: return fmt::format("CLFLUSH of table line {:#x}", e.a);
    case EventKind::cache_flush: return "WBINVD";
    case EventKind::table_page: return fmt::format("page {:x} becomes a table: {} {}", e.a, format_name(place::format(e.d)), place_text(e.d));
    case EventKind::table_gone: return fmt::format("page {:x} is no {} table any more", e.a, format_name(place::format(e.d)));
    case EventKind::table_write: {
      const std::string cause = cause_text(place::cause(e.d));
      return fmt::format("{} {}: [{:x}] {:#x} -> {:#x}{}", format_name(place::format(e.d)), place_text(e.d), e.a, e.b, e.c, cause.empty() ? "" : " (" + cause + ")");
    }
    default: return {};
  }
}

std::string result_text(const views::Request& r) { return r.result ? "= " + r.result_text : "never returned"; }

json mapping_json(const Story& s, const views::Mapping& m) {
  if (!m.present) return nullptr;
  json j{{"target", hex(m.target)}, {"access", access_text(m.access)}, {"page_size", size_text(m.page_size)}, {"entry", hex(m.entry)}};
  if (m.misconfigured) j["misconfigured"] = true;
  if (const std::string type = s.words().type_name(m.tag); !type.empty()) j["type"] = type, j["p2m_access"] = s.words().access_name(m.tag);
  return j;
}

json origin_json(const views::Origin& o) {
  json j{{"function", o.function}, {"address", hex(o.address)}};
  if (!o.source.file.empty()) j["file"] = o.source.file, j["line"] = o.source.line;
  return j;
}

json chain_json(const Story& s, const Event& e) {
  json all = json::array();
  for (u64 a : views::frames(s.history(), e)) {
    const auto here = s.words().frames(a);
    for (std::size_t i = 0; i < here.size(); ++i) {
      json f{{"address", hex(a)}, {"function", here[i].function}, {"inlined", i + 1 < here.size()}};
      if (const std::string symbol = s.words().symbol(a); !symbol.empty()) f["symbol"] = symbol;
      if (!here[i].source.file.empty()) f["file"] = here[i].source.file, f["line"] = here[i].source.line;
      all.push_back(f);
    }
  }
  return all;
}

json space_json(const Story& s, u32 space) {
  const views::Space& x = s.history().spaces.at(space);
  json j{{"format", x.format == TableFormat::ept ? "ept" : "vtd"}, {"root", hex(x.root.v)}};
  if (x.format == TableFormat::ept) return j;
  j["unit"] = x.unit;
  json devices = json::array();
  for (Bdf d : x.devices) devices.push_back(bdf_text(d));
  j["devices"] = devices;
  if (x.shared_with) j["shared_with_ept"] = hex(s.history().spaces[*x.shared_with].root.v);
  return j;
}

std::vector<std::optional<u32>> outer_attempts(const views::History& h) {
  std::vector<std::optional<u32>> outer(h.attempts.size());
  std::vector<std::vector<u32>> open;   // by processor
  for (u32 n = 0; n < h.attempts.size(); ++n) {
    const views::Attempt& a = h.attempts[n];
    if (open.size() <= a.cpu) open.resize(a.cpu + 1u);
    auto& o = open[a.cpu];
    // What never returned holds nothing but what its own call chain leads through.
    while (!o.empty() && (!h.attempts[o.back()].result || h.attempts[o.back()].end_event < a.event)) o.pop_back();
    if (!o.empty()) outer[n] = o.back();
    o.push_back(n);
  }
  return outer;
}

}  // namespace vt::cli
