// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine walk: every entry that one translation reads.
#include <fmt/format.h>

#include "cpu/ept_caps.hpp"
#include "cpu/inspect.hpp"
#include "hypervisor/xen.hpp"
#include "moment.hpp"
#include "saved.hpp"
#include "text.hpp"
#include "verbs.hpp"
#include "views/ept_map.hpp"
#include "vtd/context.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;
namespace paging = cpu::paging;

struct Address {
  enum class Kind : u8 { gva, gpa, iova } kind;
  u64 at = 0;
  unsigned cpu = 0;
  Bdf device;
};

Address parse_address(const std::string& s) {
  auto wrong = [&](const char* why) { return UsageError(fmt::format("{}: {}; write gva:A[@cpuN], gpa:A[@cpuN] or iova:A@00:1f.0", s, why)); };
  Address a{};
  const auto colon = s.find(':');
  const std::string kind = s.substr(0, colon);
  if (kind == "gva") a.kind = Address::Kind::gva;
  else if (kind == "gpa") a.kind = Address::Kind::gpa;
  else if (kind == "iova") a.kind = Address::Kind::iova;
  else throw wrong("what kind of address is it?");
  const auto at = s.find('@');
  const auto v = parse_hex(s.substr(colon + 1, at == s.npos ? s.npos : at - colon - 1));
  if (!v) throw wrong("not a hexadecimal address");
  a.at = *v;
  const std::string context = at == s.npos ? std::string{} : s.substr(at + 1);
  if (a.kind == Address::Kind::iova) {
    const auto b = parse_bdf(context);
    if (!b) throw wrong("which device?");
    a.device = *b;
  } else if (!context.empty()) {
    const auto n = context.starts_with("cpu") ? parse_number(context.substr(3)) : std::nullopt;
    if (!n || *n > 255) throw wrong("which processor?");
    a.cpu = static_cast<unsigned>(*n);
  }
  return a;
}

const char* why_name(ept::Why w) {
  switch (w) {
    case ept::Why::ok: return "ok";
    case ept::Why::not_present: return "not present";
    case ept::Why::misconfigured: return "misconfigured";
    case ept::Why::not_allowed: return "access not allowed";
  }
  return "unknown";
}
const char* why_name(paging::Why w) {
  switch (w) {
    case paging::Why::ok: return "ok";
    case paging::Why::not_present: return "not present";
    case paging::Why::reserved: return "reserved bit set";
    case paging::Why::read_failed: return "a table cannot be read";
  }
  return "unknown";
}

class Walker {
 public:
  Walker(Saved& saved, const WalkOptions& o, const Address& a) : saved_(saved), m_(saved.machine()), o_(o), a_(a) {
    if (a.cpu >= m_.cpus()) throw UsageError(fmt::format("{}: there are {} processors, from cpu0 on", o.address, m_.cpus()));
  }

  std::string run() {
    switch (a_.kind) {
      case Address::Kind::gva: gva(); break;
      case Address::Kind::gpa:
        if (!choose_ept(true)) throw InputError(fmt::format("{}: no VMCS had an EPT pointer up to the end of the run", saved_.path()));
        text_ += fmt::format("gpa {:#x} by EPT {:#x} (EPTP {:#x})\n", a_.at, eptp_.root().v, eptp_.v);
        ept(Gpa{a_.at}, access::none, 1);
        break;
      case Address::Kind::iova: iova(); break;
    }
    if (o_.json) {
      json j{{"schema", "vitrine.walk/1"}, {"address", o_.address}, {"step", m_.steps()}, {"entries", entries_}, {"result", result_}};
      text_ = j.dump(2) + '\n';
    }
    return text_;
  }

 private:
  /// The EPT of --root, of the processor, or (for `any`) the one that was seen last.
  bool choose_ept(bool any) {
    if (!o_.root.empty()) {
      const auto root = parse_hex(o_.root);
      if (!root) throw UsageError(fmt::format("--root {}: not an address", o_.root));
      for (auto& k : saved_.eptps()) if (k.eptp.root().v == (*root & mask(51, 12))) return eptp_ = k.eptp, true;
      eptp_ = ept::Eptp{(*root & mask(51, 12)) | 0x1e};   // four levels, write-back
      return true;
    }
    if (u64 v = m_.processor(a_.cpu).vmx.eptp; v && (any || m_.processor(a_.cpu).vmx.non_root)) return eptp_ = ept::Eptp{v}, true;
    if (!any) return false;
    const auto all = saved_.eptps();
    if (all.empty()) return false;
    eptp_ = all.back().eptp;
    return true;
  }

  void entry(unsigned indent, const char* table, unsigned level, const char* space, u64 at, u64 value, const std::string& note) {
    text_ += fmt::format("{:{}}{} level {} at {} {:#x}: {:016x}{}{}\n", "", 2 * indent, table, level, space, at, value, note.empty() ? "" : "  ", note);
    entries_.push_back({{"table", table}, {"level", level}, {"at", hex(at)}, {"space", space}, {"entry", hex(value)}});
    if (!note.empty()) entries_.back()["note"] = note;
  }

  /// Walks and prints; the result lands in result_.
  bool ept(Gpa at, Access want, unsigned indent) {
    const auto l = views::look(m_.memory(), cpu::ept_caps(m_.processor(0).model()), eptp_, at, want);
    for (unsigned i = 0; i < l.walk.n; ++i) {
      const ept::Step& s = l.walk.step[i];
      const ept::Entry e{l.raw[i]};
      std::string note;
      if (e.present()) {
        note = access_text(e.access());
        if (e.leaf(s.level)) {
          note += fmt::format(" {}{}", e.emt() == 7 ? "pending" : mem_type_name(e.emt()), e.ipat() ? "+ipat" : "");
          if (saved_.is_xen()) {
            const u64 p2m = hv::xen::p2m_bits(e.v);
            note += fmt::format(" {} (access {})", hv::xen::p2m_type_name(hv::xen::p2m_type(p2m)), hv::xen::p2m_access_name(hv::xen::p2m_access(p2m)));
          }
        } else if (e.emt() == 7) {
          note += " pending";
        }
      }
      entry(indent, "EPT", s.level, "hpa", s.at.v, e.v, note);
    }
    const bool found = l.walk.why == ept::Why::ok;
    result_ = {{"why", why_name(l.walk.why)}};
    if (l.pending) result_["pending"] = true;
    if (found || l.walk.why == ept::Why::not_allowed) {
      result_["hpa"] = hex(l.walk.target.v);
      result_["access"] = access_text(l.walk.access);
      result_["memory_type"] = l.pending ? "pending" : mem_type_name(l.walk.emt);
      result_["page_size"] = size_text(l.walk.page_size);
      text_ += fmt::format("{:{}}-> hpa {:#x}, {}, {} page{}\n", "", 2 * indent, l.walk.target.v, access_text(l.walk.access), size_text(l.walk.page_size),
                           found ? "" : ", access not allowed");
    } else {
      text_ += fmt::format("{:{}}-> {}{}\n", "", 2 * indent, why_name(l.walk.why), l.walk.why == ept::Why::misconfigured ? " (EPT misconfiguration)" : " (EPT violation)");
    }
    ept_target_ = l.walk.target;
    return found;
  }

  void gva() {
    const cpu::Cpu& c = m_.processor(a_.cpu);
    const bool nested = choose_ept(!o_.root.empty());
    const paging::Params p = cpu::paging_params(c);
    static constexpr const char* kModes[] = {"no paging", "32-bit paging", "PAE paging", "4-level paging"};
    text_ += fmt::format("gva {:#x} on cpu {}: {}, CR3 {:#x}{}\n", a_.at, a_.cpu, kModes[static_cast<unsigned>(p.mode)], c.cr3,
                         nested ? fmt::format(", VMX non-root under EPT {:#x}", eptp_.root().v) : "");
    Gpa gpa{a_.at};
    if (p.mode == paging::Mode::level4 && static_cast<u64>(sext(a_.at, 48)) != a_.at) {
      result_ = {{"why", "not canonical"}};
      text_ += "  -> not canonical\n";
      return;
    }
    if (p.mode != paging::Mode::none) {
      unsigned level = p.mode == paging::Mode::level4 ? 4 : 2;
      auto read = [&](Gpa at, u64& v) {
        Hpa h{at.v};
        if (nested) {
          if (!ept(at, access::read, 2)) return false;
          h = ept_target_;
        }
        v = m_.memory().peek64(h);
        u64 shown = v;
        if (p.mode == paging::Mode::bits32) shown = paging_entry32(p, at, v, level);
        entry(1, "paging", level--, nested ? "gpa" : "hpa", at.v, shown, "");
        return true;
      };
      const paging::Walk w = paging::walk(p, a_.at, read);
      result_ = {{"why", why_name(w.why)}};
      if (w.why != paging::Why::ok) {
        text_ += fmt::format("  -> {}{}\n", why_name(w.why), w.n ? "" : " (PDPTE)");
        return;
      }
      const std::string rights = fmt::format("{}{}{}", w.w ? "writable" : "read-only", w.u ? ", user" : ", supervisor", w.nx ? ", no execute" : "");
      text_ += fmt::format("  -> {} {:#x}, {}, {} page\n", nested ? "gpa" : "hpa", w.target.v, rights, size_text(u64{1} << w.shift));
      gpa = w.target;
      result_ = {{"why", "ok"}, {"gpa", hex(gpa.v)}, {"writable", w.w}, {"user", w.u}, {"no_execute", w.nx}, {"page_size", size_text(u64{1} << w.shift)}};
    } else {
      result_ = {{"why", "ok"}, {"gpa", hex(gpa.v)}};
    }
    if (nested) {
      const json first = result_;
      ept(gpa, access::none, 1);
      json both = first;
      both["ept"] = result_;
      if (result_.contains("hpa")) both["hpa"] = result_["hpa"];
      result_ = both;
    } else {
      result_["hpa"] = hex(gpa.v);
    }
  }

  /// 32-bit entries come in pairs: the one that the walk wants.
  u64 paging_entry32(const paging::Params& p, Gpa pair, u64 v, unsigned level) const {
    const bool high = paging::index(p.mode, a_.at, level) & 1;
    (void)pair;
    return high ? v >> 32 : v & 0xffffffff;
  }

  /// VT-d "DMA Remapping Hardware Unit Definition Structure": the unit that names the device, else the one for all the rest.
  vtd::Unit* unit_of(Bdf device) {
    const auto& drhds = m_.platform().drhds;
    auto follow = [&](const fw::DeviceScope& s) -> std::optional<Bdf> {
      u8 bus = s.bus;
      Bdf at;
      for (std::size_t i = 0; i < s.path.size(); ++i) {
        at = Bdf(bus, s.path[i].first, s.path[i].second);
        if (i + 1 == s.path.size()) break;
        bool bridge = false;
        for (auto& f : m_.platform().pci) if (f.bdf == at && f.secondary_bus) bus = *f.secondary_bus, bridge = true;
        if (!bridge) return {};
      }
      return at;
    };
    for (std::size_t u = 0; u < drhds.size(); ++u)
      for (auto& s : drhds[u].scopes) {
        const auto at = follow(s);
        if (!at) continue;
        if (*at == device) return m_.vtd_units()[u].get();
        if (s.kind == fw::DeviceScope::Kind::bridge)
          for (auto& f : m_.platform().pci) if (f.bdf == *at && f.secondary_bus && *f.secondary_bus == device.bus()) return m_.vtd_units()[u].get();
      }
    for (std::size_t u = 0; u < drhds.size(); ++u) if (drhds[u].include_all) return m_.vtd_units()[u].get();
    return nullptr;
  }

  void iova() {
    vtd::Unit* u = unit_of(a_.device);
    text_ += fmt::format("iova {:#x} of device {}", a_.at, bdf_text(a_.device));
    if (!u) {
      text_ += ": no VT-d unit is responsible for it\n";
      result_ = {{"why", "no unit"}, {"hpa", hex(a_.at)}};
      return;
    }
    text_ += fmt::format(": unit {}\n", u->index());
    if (!u->translation_enabled()) {
      text_ += "  -> translation is off: the address is physical\n";
      result_ = {{"why", "translation off"}, {"unit", u->index()}, {"hpa", hex(a_.at)}};
      return;
    }
    const vtd::ContextLookup l = vtd::lookup(m_.memory(), u->caps(), u->root_in_use(), a_.device);
    auto pair = [&](const char* table, Hpa at, u64 lo, u64 hi, const std::string& note) {
      text_ += fmt::format("  {} entry at hpa {:#x}: {:016x} {:016x}{}\n", table, at.v, hi, lo, note);
      entries_.push_back({{"table", table}, {"at", hex(at.v)}, {"space", "hpa"}, {"low", hex(lo)}, {"high", hex(hi)}});
    };
    if (l.read_root) pair("root", l.root_at, l.root.lo, l.root.hi, "");
    if (l.read_context) pair("context", l.context_at, l.context.lo, l.context.hi, l.context.present() ? fmt::format("  domain {}, {} levels", l.context.domain(), l.context.levels()) : "");
    if (!l.ok()) {
      text_ += fmt::format("  -> refused, fault reason {:#x}: {}\n", l.fault_reason, vtd::fault_text(l.fault_reason));
      result_ = {{"why", vtd::fault_text(l.fault_reason)}, {"unit", u->index()}, {"fault_reason", hex(l.fault_reason)}};
      return;
    }
    if (l.context.type() == vtd::TranslationType::pass_through) {
      text_ += "  -> pass-through: the address is physical\n";
      result_ = {{"why", "pass-through"}, {"unit", u->index()}, {"hpa", hex(a_.at)}};
      return;
    }
    const vtd::Walk w = vtd::walk(m_.memory(), u->caps(), l.context.second_level_root(), l.context.levels(), Iova{a_.at}, access::none);
    for (unsigned i = 0; i < w.n; ++i)
      entry(1, "second-level", w.step[i].level, "hpa", w.step[i].at.v, w.step[i].entry.v, w.step[i].entry.present() ? access_text(w.step[i].entry.access()).substr(0, 2) : "");
    result_ = {{"why", vtd::why_text(w.why)}, {"unit", u->index()}, {"domain", l.context.domain()}};
    if (w.found_leaf()) {
      const std::string access = access_text(w.access).substr(0, 2);
      result_["hpa"] = hex(w.target.v), result_["access"] = access, result_["page_size"] = size_text(w.size);
      text_ += fmt::format("  -> hpa {:#x}, {}, {} page{}\n", w.target.v, access, size_text(w.size), w.why == vtd::Why::ok ? "" : std::string(": ") + vtd::why_text(w.why));
    } else {
      text_ += fmt::format("  -> {}\n", vtd::why_text(w.why));
    }
    for (auto& e : u->iotlb().entries())
      if (e.valid && e.domain == l.context.domain() && e.covers(a_.at) && !e.reason) {
        const u64 cached = e.target + (a_.at - e.first);
        const bool stale = !w.found_leaf() || cached != w.target.v || Access(e.rights) != w.access;
        text_ += fmt::format("  IOTLB: hpa {:#x}, {}{}\n", cached, access_text(Access(e.rights)).substr(0, 2), stale ? "  (stale: the tables say something else)" : "");
        result_["iotlb"] = {{"hpa", hex(cached)}, {"access", access_text(Access(e.rights)).substr(0, 2)}, {"stale", stale}};
        break;
      }
  }

  Saved& saved_;
  emu::Machine& m_;
  const WalkOptions& o_;
  const Address& a_;
  ept::Eptp eptp_;
  Hpa ept_target_;
  std::string text_;
  json entries_ = json::array(), result_ = json::object();
};

}  // namespace

std::string walk_text(const WalkOptions& o, Saved& saved) { return Walker(saved, o, parse_address(o.address)).run(); }

int walk(const WalkOptions& o) {
  const Address a = parse_address(o.address);
  Saved saved(o.run);
  std::fputs(Walker(saved, o, a).run().c_str(), stdout);
  return status::ok;
}

}  // namespace vt::cli
