// SPDX-License-Identifier: GPL-2.0-or-later
/// What a report shows: rectangles (addresses x steps) of equal mappings, writes in bursts, invalidations, faults, who uses which tables.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

#include "names.hpp"
#include "report.hpp"
#include "report_names.hpp"
#include "text.hpp"
#include "views/event_log.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;
using views::Change;
using views::Mapping;

constexpr u64 kNever = ~u64{0};
/// Rectangles and bursts of writes beyond this are joined more coarsely; what the page then says about steps is rounded, and it says so.
constexpr std::size_t kMostRectangles = 30'000, kMostBursts = 20'000, kMostConsoleLines = 4'000, kMostAttempts = 2'000;

json step_json(u64 step) { return step == kNever ? json(-1) : json(step); }

/// A piece of address space that means one thing for a while.
struct Rectangle {
  u32 space = 0;
  u64 first = 0, last = 0;       ///< page numbers, inclusive
  u64 begin = 0, end = kNever;   ///< steps: from, and up to without
  u32 state = 0;
  u64 target = 0;                ///< page number of `first`
  Change::Kind kind = Change::Kind::established;
  bool linked = false;
  u32 origin = 0, chain = 0;     ///< of the write that made it so
  u32 owner = 0;                 ///< origin of the write that gave target, type and access
};

class Collector {
 public:
  explicit Collector(const ReportInput& in) : in_(in), h_(in.history), names_(in.history, in.words) {}

  json all() {
    json d;
    d["schema"] = "vitrine.report/1";
    d["meta"] = meta();
    d["e820"] = e820();
    d["regions"] = regions();
    d["spaces"] = spaces();
    rectangles(d);
    bursts(d);
    d["marks"] = std::move(marks_);
    d["attempts"] = attempts();
    events(d);
    gaps(d);
    phases(d);
    d["console"] = console();
    if (!in_.cycles.is_null()) d["cycles"] = in_.cycles;
    const ReportWalks walks = report_walks(in_, names_);
    d["findings"] = walks.findings;
    d["devices"] = walks.devices;
    d["states"] = std::move(states_);
    names_.store(d);
    return d;
  }

 private:
  const Event& event(u32 n) const { return h_.events[n]; }
  u32 end_event() const { return std::min<u32>(in_.end_event, static_cast<u32>(h_.events.size())); }

  json meta() {
    const json& m = in_.manifest;
    json j{{"run", in_.run}, {"version", m.value("version", "")}, {"words", in_.words.kind()}, {"end_step", in_.end_step}};
    for (const char* key : {"arguments", "inputs", "guest", "clock", "end", "state_hash", "steps", "host", "vtd", "timing"})
      if (m.contains(key)) j[key] = m[key];
    j["platform"] = in_.platform.name;
    j["platform_text"] = in_.platform.description;
    if (m.contains("stats") && m["stats"].is_object() && m["stats"].contains("vm_exits_over_time")) j["vm_exits_over_time"] = exits(m["stats"]["vm_exits_over_time"]);
    return j;
  }

  /// Those up to the moment that is shown.
  json exits(const json& all) {
    json out = all;
    const u64 width = std::max<u64>(1, all.value("steps_per_bin", u64{1}));
    if (out.contains("exits") && out["exits"].is_object())
      for (auto& [reason, bins] : out["exits"].items())
        std::erase_if(bins.get_ref<json::array_t&>(), [&](const json& b) { return b.at(0).get<u64>() * width > in_.end_step; });
    return out;
  }

  json e820() {
    json out = json::array();
    for (auto& r : in_.platform.e820) if (r.size) out.push_back({r.first, r.first + (r.size - 1), e820_name(r.type)});
    return out;
  }

  /// Ranges of the platform that are no E820 entries: [first, last, kind, text], bytes.
  json regions() {
    const fw::Platform& p = in_.platform;
    json out = json::array();
    auto add = [&out](u64 first, u64 size, const char* kind, const std::string& text) { if (size) out.push_back({first, first + (size - 1), kind, text}); };
    for (auto& r : p.rmrrs) {
      std::string who;
      for (auto& s : r.scopes) {
        who += fmt::format("{}{:02x}", who.empty() ? " of " : ", ", s.bus);
        for (auto& [dev, fn] : s.path) who += fmt::format(":{:02x}.{:x}", dev, fn);
      }
      add(r.first, r.last - r.first + 1, "RMRR", "RMRR" + who);
    }
    for (auto& f : p.pci)
      for (auto& b : f.bars)
        if (b.kind != fw::PciBar::Kind::io && b.address) add(b.address, b.size, "BAR", fmt::format("{} BAR {}{}", bdf_text(f.bdf), b.index, b.prefetchable ? ", prefetchable" : ""));
    if (p.vtd)
      for (std::size_t n = 0; n < p.drhds.size(); ++n) add(p.drhds[n].address, kPageSize, "VT-d", fmt::format("registers of VT-d unit {}", n));
    add(p.ioapic, kPageSize, "I/O APIC", "I/O APIC");
    add(0xfee00000, 0x100000, "APIC", "interrupt address range, local APIC");   // SDM 3A "Advanced Programmable Interrupt Controller (APIC)"
    if (p.hpet) add(p.hpet_address, 1024, "HPET", "HPET");
    if (p.ecam) add(p.ecam, u64{p.ecam_buses} << 20, "ECAM", "PCI Express configuration (ECAM)");
    return out;
  }

  json spaces() {
    json out = json::array();
    for (auto& s : h_.spaces) {
      json devices = json::array();
      for (Bdf b : s.devices) devices.push_back(bdf_text(b));
      out.push_back({{"format", s.format == TableFormat::ept ? "EPT" : "VT-d"}, {"root", hex(s.root.v)}, {"levels", s.levels}, {"eptp", hex(s.eptp)},
                     {"unit", s.unit}, {"devices", devices}, {"domains", s.domains}, {"shared_with", s.shared_with ? json(*s.shared_with) : json()},
                     {"step", s.first_event < h_.events.size() ? event(s.first_event).step : 0}});
    }
    return out;
  }

  u32 state(const Mapping& m, u64 address) {
    const bool identity = m.target == address;
    auto key = std::make_tuple(identity, m.tag, m.access.v, m.emt, m.ipat, m.page_size, m.misconfigured);
    auto [it, fresh] = state_index_.try_emplace(key, static_cast<u32>(states_.size()));
    if (fresh) {
      const unsigned shift = m.page_size ? static_cast<unsigned>(std::countr_zero(m.page_size)) : 12;
      states_.push_back({identity ? 1 : 0, names_.text(in_.words.type_name(m.tag)), names_.text(in_.words.access_name(m.tag)), m.access.v, m.emt, m.ipat ? 1 : 0,
                         shift, m.misconfigured ? 1 : 0});
    }
    return it->second;
  }

  /// What was there ends; what comes begins.
  void rectangles(json& d) {
    struct Held { u64 last; Rectangle r; };
    std::vector<std::map<u64, Held>> held(h_.spaces.size());
    std::vector<Rectangle> done;
    for (const Change& c : h_.changes) {
      if (c.event >= end_event()) break;
      const Event& e = event(c.event);
      const u64 first = c.first >> kPageShift, last = c.last >> kPageShift;
      const u32 origin = names_.origin(e), chain = names_.chain(e);
      change_of_[c.event].push_back(&c);
      if (c.kind == Change::Kind::again) {   // nothing ends: a mark
        marks_.push_back({c.space, first, last, e.step, origin, chain});
        continue;
      }
      auto& map = held[c.space];
      auto it = map.upper_bound(first);
      if (it != map.begin() && std::prev(it)->second.last >= first) --it;
      u32 owner = origin;
      while (it != map.end() && it->first <= last) {
        const u64 from = it->first;
        const Held was = it->second;
        it = map.erase(it);
        Rectangle cut = was.r;
        if (c.kind == Change::Kind::cosmetic) owner = was.r.owner;
        auto piece = [&](u64 a, u64 b) { Rectangle r = cut; r.target += a - from, r.first = a, r.last = b; return r; };
        if (from < first) map[from] = {first - 1, piece(from, first - 1)};
        if (was.last > last) it = std::next(map.insert_or_assign(last + 1, Held{was.last, piece(last + 1, was.last)}).first);
        Rectangle r = piece(std::max(from, first), std::min(was.last, last));
        r.end = e.step;
        if (r.end > r.begin) done.push_back(r);
      }
      if (!c.after.present) continue;
      Rectangle r;
      r.space = c.space, r.first = first, r.last = last, r.begin = e.step, r.state = state(c.after, c.first), r.target = c.after.target >> kPageShift;
      r.kind = c.kind, r.linked = c.linked, r.origin = origin, r.chain = chain, r.owner = owner;
      map.insert_or_assign(first, Held{last, r});
    }
    for (auto& map : held) for (auto& [first, x] : map) done.push_back(x.r);

    u64 rounding = 0;
    std::vector<Rectangle> joined = join(done, rounding);
    for (u64 grain = std::max<u64>(1, in_.end_step >> 16); joined.size() > kMostRectangles && grain < in_.end_step; grain *= 4) joined = join(done, rounding = grain);
    json out = json::array();
    for (auto& r : joined)
      out.push_back({r.space, r.first, r.last, r.begin, step_json(r.end), r.state, r.target, static_cast<int>(r.kind) + (r.linked ? 8 : 0), r.origin, r.chain, r.owner});
    d["rectangles"] = std::move(out);
    d["rounding"] = rounding;
  }

  /// Neighbours in address that are alike become one. `grain`: how many steps apart they may have begun and ended.
  static std::vector<Rectangle> join(std::vector<Rectangle> all, u64 grain) {
    auto rounded = [grain](u64 s) { return grain && s != kNever ? s / grain : s; };
    std::sort(all.begin(), all.end(), [&](const Rectangle& a, const Rectangle& b) {
      return std::make_tuple(a.space, rounded(a.begin), rounded(a.end), a.first) < std::make_tuple(b.space, rounded(b.begin), rounded(b.end), b.first);
    });
    std::vector<Rectangle> out;
    for (auto& r : all) {
      if (!out.empty()) {
        Rectangle& l = out.back();
        if (l.space == r.space && rounded(l.begin) == rounded(r.begin) && rounded(l.end) == rounded(r.end) && l.last + 1 == r.first && l.state == r.state &&
            l.target + (r.first - l.first) == r.target && l.origin == r.origin && l.owner == r.owner && l.kind == r.kind && (grain || l.chain == r.chain)) {
          l.last = r.last;
          l.begin = std::min(l.begin, r.begin);
          continue;
        }
      }
      out.push_back(r);
    }
    return out;
  }

  /// Stores to tables: who, where, what came of them. Those of one origin that follow each other closely are one burst.
  void bursts(json& d) {
    struct Burst { u64 begin, end, first, last, count; u32 origin; int kind; u8 format; };
    std::vector<Burst> all;
    u64 stores = 0, existing = 0, same = 0;
    for (u32 n = 0; n < end_event(); ++n) {
      const Event& e = event(n);
      if (e.kind != EventKind::table_write) continue;
      if (place::cause(e.d) == place::kExisting) { ++existing; continue; }
      ++stores;
      same += e.b == e.c;
      int kind = 5;   // tables among themselves, root and context entries, entries that are not in use yet
      if (auto it = change_of_.find(n); it != change_of_.end()) kind = static_cast<int>(it->second.front()->kind);
      const u64 page = place::first(e.d) >> kPageShift;
      all.push_back({e.step, e.step, page, page, 1, names_.origin(e), kind, static_cast<u8>(place::format(e.d))});
    }
    std::vector<Burst> out;
    for (u64 grain = std::max<u64>(1, in_.end_step >> 14);; grain *= 4) {
      out.clear();
      std::map<std::tuple<u32, int, u8>, std::size_t> open;
      for (auto& b : all) {
        auto [it, fresh] = open.try_emplace({b.origin, b.kind, b.format}, out.size());
        if (!fresh && b.begin - out[it->second].begin <= grain) {
          Burst& o = out[it->second];
          o.end = b.end, o.first = std::min(o.first, b.first), o.last = std::max(o.last, b.last), ++o.count;
        } else {
          it->second = out.size();
          out.push_back(b);
        }
      }
      if (out.size() <= kMostBursts || grain > in_.end_step) break;
    }
    json list = json::array();
    for (auto& b : out) list.push_back({b.begin, b.end, b.first, b.last, b.count, b.origin, b.kind, b.format});
    d["writes"] = std::move(list);
    d["counts"] = {{"stores", stores}, {"existing", existing}, {"same_value", same}, {"changes", h_.changes.size()}, {"attempts", h_.attempts.size()},
                   {"events", end_event()}};
  }

  /// Calls that asked: counted by function, and one by one where they were refused.
  json attempts() {
    std::map<std::string, std::pair<u64, u64>> by_function;
    json refused = json::array();
    for (auto& a : h_.attempts) {
      if (a.event >= end_event()) break;
      const auto r = in_.words.request(a);
      const std::string name = r ? r->function : in_.words.function(a.function);
      auto& [calls, no] = by_function[name.empty() ? hex(a.function) : name];
      ++calls;
      const bool never = !a.result || a.end_event >= end_event();   // it is still at it where the log ends: a crash, as a rule
      if (!never && (!r || !r->refused)) continue;
      if (!never) ++no;
      if (refused.size() >= kMostAttempts) continue;
      const Event& e = event(a.event);
      const bool where = r && r->first;
      const u64 first = where ? *r->first : 0;
      refused.push_back({a.step, where ? json(first >> kPageShift) : json(-1), where ? json((first + (std::max<u64>(r->size, 1) - 1)) >> kPageShift) : json(-1),
                         names_.text(r ? r->text : name), names_.text(never ? "never returned" : r->result_text), names_.origin(e), names_.chain(e)});
    }
    json functions = json::array();
    for (auto& [name, n] : by_function) functions.push_back({name, n.first, n.second});
    return {{"functions", functions}, {"refused", refused}};
  }

  /// Invalidations, faults, translation on and off, entries into guests.
  void events(json& d) {
    json invalidations = json::array(), faults = json::array(), translation = json::array(), entries = json::array(), stale = json::array(), roots = json::array();
    for (u32 n = 0; n < end_event(); ++n) {
      const Event& e = event(n);
      switch (e.kind) {
        case EventKind::invept:
          invalidations.push_back({e.step, names_.text(e.a == 1 ? "INVEPT single-context" : e.a == 2 ? "INVEPT all-context" : fmt::format("INVEPT type {}", e.a)),
                                   names_.text(e.a == 1 ? hex(e.b) : "")});
          break;
        case EventKind::invvpid: invalidations.push_back({e.step, names_.text(fmt::format("INVVPID type {}", e.a)), names_.text(fmt::format("VPID {}", e.b))}); break;
        case EventKind::vtd_invalidate: {
          const unsigned type = e.b & 0xf, granularity = e.b >> 4 & 3;   // VT-d "Queued Invalidation Interface"
          static constexpr const char* kHow[] = {"", "global", "domain", "page"};
          if (type == 5) break;   // a wait descriptor invalidates nothing
          const char* what = type == 1 ? "context cache" : type == 2 ? "IOTLB" : type == 4 ? "interrupt entries" : "device";
          const char* how = type == 1 || type == 2 ? kHow[granularity] : (e.b >> 4 & 1) ? "by index" : "global";
          invalidations.push_back({e.step, names_.text(fmt::format("VT-d {}, {}", what, how)),
                                   names_.text(fmt::format("unit {}{}", e.a, type == 2 && granularity > 1 ? fmt::format(", domain {}", e.b >> 16 & 0xffff) : ""))});
          break;
        }
        case EventKind::cache_flush: invalidations.push_back({e.step, names_.text("WBINVD"), names_.text("")}); break;
        case EventKind::vtd_fault:
          faults.push_back({e.step, bdf_text(Bdf{static_cast<u16>(e.b)}), e.c >> kPageShift, e.d & 0xff, e.a});
          break;
        case EventKind::vtd_translation: translation.push_back({e.step, e.a, e.b ? 1 : 0}); break;
        case EventKind::vm_entry: entries.push_back({e.step, names_.text(hex(e.b))}); break;
        case EventKind::stale_translation: stale.push_back({e.step, e.a >> kPageShift, hex(e.b)}); break;
        case EventKind::eptp_change: if (e.b) roots.push_back({e.step, fmt::format("EPT pointer {:#x}", e.b)}); break;
        case EventKind::vtd_pointer: roots.push_back({e.step, fmt::format("VT-d unit {}: {} {:#x}", e.a, e.b ? "interrupt remapping table" : "root table", e.c)}); break;
        default: break;
      }
    }
    d["invalidations"] = std::move(invalidations);
    d["faults"] = std::move(faults);
    d["translation"] = std::move(translation);
    d["entries"] = std::move(entries);
    d["stale"] = std::move(stale);
    d["roots"] = std::move(roots);
  }

  /// How long it took from a change that needs an invalidation (a present entry that changed or went away) to the first one that
  /// covers it: [first step, last step, changes, step of the invalidation or -1, space, origin, was the guest entered in between].
  void gaps(json& d) {
    struct Gap { u64 begin, end, count, done; u32 space, origin; bool entered; };
    struct Open { u32 space, origin; u64 step, first, last; bool entered = false; };
    std::vector<Gap> out;
    std::vector<Open> open;
    auto close = [&](u64 step, auto covers) {
      std::map<std::tuple<u32, u32, bool>, Gap> by;
      for (auto& o : open)
        if (covers(o)) {
          auto [it, fresh] = by.try_emplace({o.space, o.origin, o.entered}, Gap{o.step, o.step, 0, step, o.space, o.origin, o.entered});
          it->second.end = o.step, ++it->second.count;
        }
      std::erase_if(open, covers);
      for (auto& [key, g] : by) out.push_back(g);
    };
    for (u32 n = 0; n < end_event(); ++n) {
      const Event& e = event(n);
      if (auto it = change_of_.find(n); it != change_of_.end())
        for (const Change* c : it->second)
          if (c->before.present && (c->kind == Change::Kind::removed || c->kind == Change::Kind::changed))
            open.push_back({c->space, names_.origin(e), e.step, c->first, c->last});
      switch (e.kind) {
        case EventKind::vm_entry:
          for (auto& o : open) if (const views::Space& s = h_.spaces[o.space]; s.format == TableFormat::ept && same_root(s.eptp, e.b)) o.entered = true;
          break;
        case EventKind::invept:
          close(e.step, [&](const Open& o) { const views::Space& s = h_.spaces[o.space]; return s.format == TableFormat::ept && (e.a == 2 || same_root(s.eptp, e.b)); });
          break;
        case EventKind::vtd_invalidate: {
          if ((e.b & 0xf) != 2) break;
          const unsigned granularity = e.b >> 4 & 3, domain = e.b >> 16 & 0xffff;
          const u64 pages = u64{1} << (e.c & 0x3f), at = e.c & kPageMask & ~((pages << kPageShift) - 1);
          close(e.step, [&](const Open& o) {
            const views::Space& s = h_.spaces[o.space];
            if (s.format != TableFormat::second_level || s.unit != e.a) return false;
            if (granularity >= 2 && std::find(s.domains.begin(), s.domains.end(), domain) == s.domains.end()) return false;
            return granularity != 3 || (o.first >= at && o.last <= at + ((pages << kPageShift) - 1));
          });
          break;
        }
        default: break;
      }
    }
    close(kNever, [](const Open&) { return true; });
    json list = json::array();
    for (auto& g : out) list.push_back({g.begin, g.end, g.count, step_json(g.done), g.space, g.origin, g.entered ? 1 : 0});
    d["gaps"] = std::move(list);
  }
  static bool same_root(u64 a, u64 b) { return (a & kPageMask) == (b & kPageMask); }

  /// What software was at, by its words for the calls that wrote: [begin, end, name].
  void phases(json& d) {
    json out = json::array();
    u32 last_chain = ~u32{0};
    u64 last_rip = 0;
    std::string name;
    for (u32 n = 0; n < end_event(); ++n) {
      const Event& e = event(n);
      if (e.kind != EventKind::table_write && e.kind != EventKind::attempt) continue;
      if (e.chain != last_chain || e.rip != last_rip) {
        name = in_.words.phase(views::frames(h_, e));
        last_chain = e.chain, last_rip = e.rip;
      }
      if (name.empty()) continue;
      if (!out.empty() && out.back()[2] == name) out.back()[1] = e.step;
      else out.push_back({e.step, e.step, name});
    }
    d["phases"] = std::move(out);
  }

  json console() {
    json out = json::array();
    const std::size_t every = in_.console.size() / kMostConsoleLines + 1;
    for (std::size_t n = 0; n < in_.console.size(); n += every)
      if (in_.console[n].step <= in_.end_step) out.push_back({in_.console[n].step, in_.console[n].text.substr(0, 300)});
    return out;
  }

  const ReportInput& in_;
  const views::History& h_;
  ReportNames names_;
  std::map<std::tuple<bool, u64, u8, u8, bool, u64, bool>, u32> state_index_;
  json states_ = json::array(), marks_ = json::array();
  std::map<u32, std::vector<const Change*>> change_of_;
};

}  // namespace

nlohmann::ordered_json report_data(const ReportInput& in) { return Collector(in).all(); }

}  // namespace vt::cli
