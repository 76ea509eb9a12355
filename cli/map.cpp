// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine map: tables as ranges.
#include <fmt/format.h>

#include <map>

#include "cpu/ept_caps.hpp"
#include "hypervisor/xen.hpp"
#include "moment.hpp"
#include "names.hpp"
#include "saved.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "views/ept_map.hpp"
#include "views/vtd_map.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;
namespace xen = hv::xen;

const char* translation_name(vtd::TranslationType t) { return t == vtd::TranslationType::pass_through ? "pass-through" : "untranslated"; }

std::string target_text(u64 first, u64 target) { return first == target ? "identity" : hex16(target); }
std::string ept_type(const views::EptRange& r) { return r.misconfigured ? "misconfigured" : r.emt == 7 ? "pending" : mem_type_name(r.emt); }

struct Query {
  Saved& saved;
  AddressRange range;
  std::optional<u64> root;
  std::optional<Bdf> device;
  bool ept = true, vtd = true, e820 = true;
};

class Output {
 public:
  explicit Output(const Query& q) : q_(q), m_(q.saved.machine()), xen_(q.saved.is_xen()) {}

  void e820() {
    std::vector<std::vector<std::string>> rows{{"first", "last", "size", "type"}};
    json ranges = json::array();
    for (auto& r : m_.platform().e820) {
      const u64 last = r.first + r.size - 1;
      if (!r.size || last < q_.range.first || r.first > q_.range.last) continue;
      rows.push_back({hex16(r.first), hex16(last), size_text(r.size), e820_name(r.type)});
      ranges.push_back({{"first", hex(r.first)}, {"last", hex(last)}, {"type", e820_name(r.type)}});
    }
    heading(fmt::format("E820 of platform {}", m_.platform().name));
    text_ += table(rows, "llr", 2);
    tables_.push_back({{"format", "e820"}, {"root", nullptr}, {"ranges", ranges}});
  }

  void ept() {
    const auto caps = cpu::ept_caps(m_.processor(0).model());
    for (auto& k : q_.saved.eptps()) {
      if (q_.root && k.eptp.root().v != *q_.root) continue;
      const auto map = views::ept_map(m_.memory(), caps, k.eptp, q_.range.first, q_.range.last, [this](u64 e) { return xen_ ? xen::p2m_bits(e) : 0; });
      heading(fmt::format("EPT, root {:#x}: {} levels, paging structures {}, EPTP {:#x}{}", k.eptp.root().v, k.eptp.levels(),
                          mem_type_name(static_cast<unsigned>(k.eptp.type())), k.eptp.v,
                          k.first_step ? ", first seen at step " + grouped(*k.first_step) : ""));
      json t{{"format", "ept"}, {"root", hex(k.eptp.root().v)}, {"eptp", hex(k.eptp.v)}, {"levels", k.eptp.levels()}, {"accessed_dirty", k.eptp.ad()}};
      if (k.first_step) t["first_step"] = *k.first_step;
      t["complete"] = map.complete;
      t["ranges"] = ept_ranges(map);
      tables_.push_back(std::move(t));
      ++ept_tables_;
    }
  }

  void vtd() {
    for (auto& u : m_.vtd_units()) {
      json unit{{"unit", u->index()}, {"address", hex(m_.platform().drhds.at(u->index()).address)}, {"translation_enabled", u->translation_enabled()},
                {"interrupt_remapping_enabled", u->interrupt_remapping_enabled()}, {"root_table", hex(u->root_in_use().v)}};
      const json step = enabled_at(u->index());
      if (!step.is_null()) unit["enabled_at_step"] = step;
      units_.push_back(unit);
      heading(fmt::format("VT-d unit {} at {}: translation {}{}, root table {:#x}, interrupt remapping {}", u->index(), unit["address"].get<std::string>(),
                          u->translation_enabled() ? "enabled" : "off", step.is_null() ? "" : " at step " + grouped(step.get<u64>()), u->root_in_use().v,
                          u->interrupt_remapping_enabled() ? "enabled" : "off"));
      if (!u->root_in_use().v) { text_ += "  no root table was set\n"; continue; }
      views::VtdView view = views::vtd_devices(m_.memory(), u->caps(), u->root_in_use());
      for (auto& t : view.tables) {
        if (q_.root && t.root.v != *q_.root) continue;
        if (q_.device && std::find(t.devices.begin(), t.devices.end(), *q_.device) == t.devices.end()) continue;
        views::fill_ranges(m_.memory(), u->caps(), t, q_.range.first, q_.range.last);
        vtd_table(*u, t);
      }
      json broken = json::array();
      for (auto& b : view.broken) {
        text_ += fmt::format("  {}: its entry is refused: {}\n", bdf_text(b.device), vtd::fault_text(b.reason));
        broken.push_back({{"device", bdf_text(b.device)}, {"reason", hex(b.reason)}, {"text", vtd::fault_text(b.reason)}});
      }
      units_.back()["broken"] = broken;
    }
  }

  std::string text(bool as_json) {
    if (as_json) {
      json j{{"schema", "vitrine.map/1"}, {"run", q_.saved.path()}, {"step", m_.steps()}, {"tables", tables_}};
      if (q_.vtd) j["units"] = units_;
      text_ = j.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
    }
    return text_;
  }
  unsigned tables() const { return static_cast<unsigned>(tables_.size()); }
  unsigned ept_tables() const { return ept_tables_; }

 private:
  void heading(const std::string& s) { text_ += (text_.empty() ? "" : "\n") + s + '\n'; }

  json ept_ranges(const views::EptMap& map) {
    std::vector<std::vector<std::string>> rows{{"first", "last", "size", "target", "access", "memory", "page"}};
    if (xen_) rows[0].insert(rows[0].end(), {"type", "p2m access"});
    json out = json::array();
    std::map<std::string, u64> total;
    for (auto& r : map.ranges) {
      std::vector<std::string> row{hex16(r.first), hex16(r.last), size_text(r.size()), r.misconfigured ? "" : target_text(r.first, r.target),
                                   access_text(r.access), ept_type(r) + (r.ipat ? "+ipat" : ""), size_text(r.page_size)};
      json j{{"first", hex(r.first)}, {"last", hex(r.last)}};
      if (!r.misconfigured) j["target"] = hex(r.target);
      j["access"] = access_text(r.access);
      j["memory_type"] = ept_type(r);
      j["ipat"] = r.ipat;
      j["page_size"] = size_text(r.page_size);
      if (xen_ && !r.misconfigured) {
        j["type"] = xen::p2m_type_name(xen::p2m_type(r.tag));
        j["p2m_access"] = xen::p2m_access_name(xen::p2m_access(r.tag));
        row.insert(row.end(), {j["type"], j["p2m_access"]});
        total[j["type"]] += r.size();
      } else if (!r.misconfigured) {
        total["mapped"] += r.size();
      }
      rows.push_back(std::move(row));
      out.push_back(std::move(j));
    }
    text_ += map.ranges.empty() ? "  nothing is mapped\n" : table(rows, "llr", 2);
    if (!map.complete) text_ += "  (not all: the tables refer to each other without end)\n";
    std::string sum;
    for (auto& [name, bytes] : total) sum += fmt::format("{}{} {} KiB", sum.empty() ? "" : ", ", name, grouped(bytes >> 10));
    if (!sum.empty()) text_ += "  in all: " + sum + '\n';
    return out;
  }

  void vtd_table(const vtd::Unit& u, const views::VtdTable& t) {
    std::string devices, domains;
    json device_list = json::array();
    for (Bdf d : t.devices) device_list.push_back(bdf_text(d)), devices += (devices.empty() ? "" : " ") + bdf_text(d);
    for (u16 d : t.domains) domains += fmt::format("{}{}", domains.empty() ? "" : " ", d);
    json j{{"format", "vtd"}, {"unit", u.index()}, {"root", hex(t.root.v)}, {"translation", translation_name(t.type)}, {"levels", t.levels},
           {"address_width", 12 + 9 * t.levels}, {"domains", t.domains}, {"devices", device_list}};
    std::string shared;
    for (auto& k : q_.saved.eptps())
      if (int below = views::shared_with_ept(m_.memory(), k.eptp.root(), k.eptp.levels(), t.root, t.levels); below >= 0 && t.root.v) {
        j["shared_with_ept"] = {{"root", hex(k.eptp.root().v)}, {"levels_below", below}};
        shared = below == 0 ? fmt::format(": the tables of EPT {:#x}", k.eptp.root().v)
                            : fmt::format(": the tables of EPT {:#x}, {} level{} below its root", k.eptp.root().v, below, below == 1 ? "" : "s");
      }
    if (t.type == vtd::TranslationType::pass_through) text_ += fmt::format("  pass-through, domain {}\n", domains);
    else text_ += fmt::format("  root {:#x}, {} levels ({} bits), domain {}{}\n", t.root.v, t.levels, 12 + 9 * t.levels, domains, shared);
    text_ += wrapped_devices(devices);
    std::vector<std::vector<std::string>> rows{{"first", "last", "size", "target", "access", "page"}};
    json ranges = json::array();
    for (auto& r : t.ranges) {
      const std::string access = access_text(r.access).substr(0, 2);
      rows.push_back({hex16(r.first), hex16(r.last), size_text(r.size()), target_text(r.first, r.target), access, size_text(r.page_size)});
      ranges.push_back({{"first", hex(r.first)}, {"last", hex(r.last)}, {"target", hex(r.target)}, {"access", access}, {"page_size", size_text(r.page_size)}});
    }
    if (t.type == vtd::TranslationType::untranslated) text_ += t.ranges.empty() ? "    nothing is mapped\n" : table(rows, "llr", 4);
    if (!t.complete) text_ += "    (not all: the tables refer to each other without end)\n";
    j["complete"] = t.complete;
    j["ranges"] = std::move(ranges);
    tables_.push_back(std::move(j));
  }

  static std::string wrapped_devices(const std::string& devices) {
    std::string out, line = "    devices";
    for (std::size_t at = 0; at < devices.size();) {
      const std::size_t end = std::min(devices.find(' ', at), devices.size());
      if (line.size() + (end - at) > 110) out += line + '\n', line = "           ";
      line += ' ' + devices.substr(at, end - at);
      at = end + 1;
    }
    return out + line + '\n';
  }

  json enabled_at(unsigned unit) {
    for (auto& u : q_.saved.manifest().value("vtd", json::array()))
      if (u.value("unit", ~0u) == unit && u.contains("enabled_at_step") && u["enabled_at_step"] < m_.steps()) return u["enabled_at_step"];
    return nullptr;
  }

  const Query& q_;
  emu::Machine& m_;
  const bool xen_;
  std::string text_;
  json tables_ = json::array(), units_ = json::array();
  unsigned ept_tables_ = 0;
};

}  // namespace

namespace {
/// `given`: a moment that is there already; else RUN@T of the options.
std::string map_of(const MapOptions& o, Saved* given) {
  AddressRange range;
  if (!o.range.empty()) {
    auto r = parse_range(o.range);
    if (!r) throw UsageError(fmt::format("{}: not a range; write 0x1000-0x1fff (inclusive), 0x1000+4K or one address", o.range));
    range = *r;
  }
  std::optional<u64> root;
  if (!o.root.empty() && !(root = parse_hex(o.root))) throw UsageError(fmt::format("--root {}: not an address", o.root));
  std::optional<Bdf> device;
  if (!o.bdf.empty() && !(device = parse_bdf(o.bdf))) throw UsageError(fmt::format("--bdf {}: write it as 00:1f.0", o.bdf));
  const bool all = o.of == "all";
  if (!all && o.of != "ept" && o.of != "vtd" && o.of != "e820") throw UsageError(fmt::format("--of {}: there is ept, vtd, e820 and all", o.of));
  if (device && !all && o.of != "vtd") throw UsageError("--bdf: only VT-d knows devices; leave --of out or give --of vtd");
  std::optional<Saved> opened;
  Saved& saved = given ? *given : opened.emplace(o.run);
  Query q{saved, range, root, device};
  q.ept = (all && !device) || o.of == "ept";
  q.vtd = all || o.of == "vtd";
  q.e820 = (all && !device && !root) || o.of == "e820";
  Output out(q);
  if (q.e820) out.e820();
  if (q.ept) out.ept();
  if (q.vtd) out.vtd();
  if (q.ept && !out.ept_tables() && !root) print_warning("no EPT: no VMCS had an EPT pointer up to the end of the run");
  if (root && !out.tables()) print_warning(fmt::format("no table has the root {}", o.root));
  if (device && !out.tables()) print_warning(fmt::format("no unit has a usable context entry for {}", o.bdf));
  return out.text(o.json);
}
}  // namespace

std::string map_text(const MapOptions& o, Saved& saved) { return map_of(o, &saved); }

int map(const MapOptions& o) {
  std::fputs(map_of(o, nullptr).c_str(), stdout);
  return status::ok;
}

}  // namespace vt::cli
