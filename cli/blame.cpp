// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine blame: who mapped this? Every attempt and every store that mattered for one address, in order.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ledger_text.hpp"
#include "moment.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
using json = nlohmann::ordered_json;

constexpr const char* kForms = "gfn:A0 (hexadecimal frame), gpa:0xa0000, iova:8c000@00:1d.0, mfn:A0 or hpa:0xa0000";

struct Subject {
  enum class Kind : u8 { guest, device, machine } kind = Kind::guest;
  u64 address = 0;
  Bdf device{};
  std::string text;
};

Subject parse_subject(const std::string& s) {
  Subject x;
  const std::size_t colon = s.find(':');
  const std::string what = s.substr(0, colon);
  std::string rest = colon == s.npos ? "" : s.substr(colon + 1);
  auto address = [&](const std::string& t, bool frame) {
    const auto n = parse_hex(t);
    if (!n || (frame && *n >> 40)) throw UsageError(fmt::format("{}: '{}' is not a hexadecimal {}; give {}", s, t, frame ? "frame number" : "address", kForms));
    return frame ? *n << 12 : *n;
  };
  if (what == "gfn" || what == "gpa") x.kind = Subject::Kind::guest, x.address = address(rest, what == "gfn");
  else if (what == "mfn" || what == "hpa") x.kind = Subject::Kind::machine, x.address = address(rest, what == "mfn");
  else if (what == "iova") {
    const std::size_t at = rest.find('@');
    const auto device = at == rest.npos ? std::nullopt : parse_bdf(rest.substr(at + 1));
    if (!device) throw UsageError(fmt::format("{}: an address of a device needs the device: iova:8c000@00:1d.0", s));
    x.kind = Subject::Kind::device, x.device = *device, x.address = address(rest.substr(0, at), false);
  } else {
    throw UsageError(fmt::format("{}: not an address; give {}", s, kForms));
  }
  x.address &= kPageMask;
  x.text = s;
  return x;
}

class Blame {
 public:
  Blame(const Story& s, const Subject& x) : s_(s), h_(s.history()), x_(x), outer_(outer_attempts(s.history())) {
    for (u32 n = 0; n < h_.spaces.size(); ++n) {
      const views::Space& space = h_.spaces[n];
      const bool has = std::find(space.devices.begin(), space.devices.end(), x.device) != space.devices.end();
      if (x.kind == Subject::Kind::guest ? space.format == TableFormat::ept : x.kind == Subject::Kind::device ? space.format == TableFormat::second_level && has
                                                                                                           : !space.shared_with)
        spaces_.push_back(n);
    }
  }
  bool has_space() const { return !spaces_.empty(); }

  void collect() {
    std::size_t change = 0;
    for (u32 a = 0; a < h_.attempts.size() && h_.attempts[a].event < s_.end_event(); ++a) {
      for (; change < h_.changes.size() && h_.changes[change].event < h_.attempts[a].event; ++change) consider(h_.changes[change]);
      consider(a);
    }
    for (; change < h_.changes.size(); ++change) consider(h_.changes[change]);
  }
  const std::string& text() const { return text_; }
  json& list() { return list_; }
  unsigned count() const { return count_; }

  /// What it is in the end.
  void now() {
    const auto held = s_.replay(s_.end_event());
    const views::Replay& replay = *held;
    for (u32 n : spaces_) {
      if (n >= replay.spaces().size()) continue;   // came later
      if (x_.kind == Subject::Kind::machine) {
        for (auto& r : replay.ranges(n))
          if (r.mapping.present && !r.mapping.misconfigured && x_.address >= r.mapping.target && x_.address - r.mapping.target <= r.last - r.first)
            stands(n, r.first + (x_.address - r.mapping.target), replay);
      } else {
        stands(n, x_.address, replay);
      }
    }
  }
  json now_json = json::array();
  std::string now_text;

 private:
  bool covers(u64 first, u64 last) const { return first <= x_.address && x_.address <= last; }
  bool targets(const views::Mapping& m, u64 first, u64 last) const {
    return m.present && !m.misconfigured && x_.address >= m.target && x_.address - m.target <= last - first;
  }
  /// The change for the one page that was asked about.
  void consider(const views::Change& c) {
    if (c.event >= s_.end_event() || std::find(spaces_.begin(), spaces_.end(), c.space) == spaces_.end()) return;
    u64 at = x_.address;
    if (x_.kind == Subject::Kind::machine) {
      if (targets(c.before, c.first, c.last)) at = c.first + (x_.address - c.before.target);
      else if (targets(c.after, c.first, c.last)) at = c.first + (x_.address - c.after.target);
      else return;
    } else if (!covers(c.first, c.last)) {
      return;
    }
    auto here = [&](views::Mapping m) { if (m.present && !m.misconfigured) m.target += at - c.first; return m; };
    const views::Mapping before = here(c.before), after = here(c.after);
    const Event& e = h_.events[c.event];
    const views::Origin from = views::origin(h_, e, s_.words());
    ++count_;
    json j{{"step", e.step}, {"cpu", e.cpu}, {"kind", views::change_name(c.kind)}, {"tables", space_json(s_, c.space)}, {"address", hex(at)}, {"linked", c.linked},
           {"before", mapping_json(s_, before)}, {"after", mapping_json(s_, after)}, {"origin", origin_json(from)}, {"chain", chain_json(s_, e)}};
    text_ += fmt::format("{:>15}  {:<11}  {:x} {}{}\n", grouped(e.step), views::change_name(c.kind), at,
                         before.present && !before.means_the_same(after) ? mapping_text(s_, before, at) + " -> " : "", mapping_text(s_, after, at));
    text_ += fmt::format("{:17}by {}\n", "", origin_text(from));
    text_ += fmt::format("{:17}in {}{}{}\n", "", space_text(s_, c.space), c.linked ? ", by naming a table that was filled before" : "",
                         c.last - c.first >= kPageSize ? fmt::format(", as part of {}", range_text(c.first, c.last)) : "");
    if (e.kind == EventKind::table_write) {
      text_ += fmt::format("{:17}entry [{:x}] {:#x} -> {:#x}\n", "", e.a, e.b, e.c);
      j["entry"] = {{"at", hex(e.a)}, {"old", hex(e.b)}, {"new", hex(e.c)}};
    }
    tail(e, j);
  }
  void consider(u32 n) {
    const views::Attempt& a = h_.attempts[n];
    if (x_.kind == Subject::Kind::machine) return;
    const auto r = s_.words().request(a);
    if (!r || !r->first || x_.address < *r->first || x_.address - *r->first >= r->size) return;
    const Event& e = h_.events[a.event];
    // What an attempt asks of the next layer is part of it; the outcome is the outermost one's, except where only the inner one failed.
    if (outer_[n]) return;
    const views::Origin from = views::origin(h_, e, s_.words());
    ++count_;
    json j{{"step", e.step}, {"cpu", e.cpu}, {"kind", r->refused ? "refused" : r->result ? "attempt" : "no-return"}, {"call", r->text}, {"result", r->result ? json(*r->result) : json(nullptr)},
           {"origin", origin_json(from)}, {"chain", chain_json(s_, e)}};
    text_ += fmt::format("{:>15}  {:<11}  {} {}\n", grouped(e.step), r->refused ? "REFUSED" : r->result ? "attempt" : "NO RETURN", r->text, result_text(*r));
    text_ += fmt::format("{:17}by {}\n", "", origin_text(from));
    tail(e, j);
  }
  void tail(const Event& e, json& j) {
    text_ += fmt::format("{:17}calls {}\n", "", chain_text(s_, e));
    if (const ConsoleLine* l = s_.console_before(e.step)) {
      text_ += fmt::format("{:17}console {}\n", "", l->text);
      j["console"] = {{"step", l->step}, {"text", l->text}};
    }
    list_.push_back(std::move(j));
  }
  void stands(u32 space, u64 at, const views::Replay& replay) {
    u32 since = 0;
    const views::Mapping m = replay.at(space, at, &since);
    now_json.push_back({{"tables", space_json(s_, space)}, {"address", hex(at)}, {"mapping", mapping_json(s_, m)}});
    now_text += fmt::format("{}: {:x} {}", space_text(s_, space), at, mapping_text(s_, m, at));
    if (m.present) now_text += fmt::format(", since step {} by {}", grouped(h_.events[since].step), origin_text(views::origin(h_, h_.events[since], s_.words())));
    now_text += '\n';
  }

  const Story& s_;
  const views::History& h_;
  const Subject& x_;
  std::vector<std::optional<u32>> outer_;
  std::vector<u32> spaces_;
  std::string text_;
  json list_ = json::array();
  unsigned count_ = 0;
};

}  // namespace

Told blame_told(const Story& s, const std::string& address) {
  const Subject x = parse_subject(address);
  Blame b(s, x);
  b.collect();
  b.now();
  Told t;
  t.text = b.now_text + (b.count() ? "\n" : "") + b.text();
  t.data = {{"schema", "vitrine.blame/1"}, {"run", s.path()}, {"step", s.end_step()}, {"subject", x.text}, {"address", hex(x.address)}, {"history", b.list()}, {"now", b.now_json}};
  if (!b.has_space()) {
    t.warning = x.kind == Subject::Kind::device ? fmt::format("{} had no tables of its own in this run: no context entry named any", bdf_text(x.device))
                                                : "no EPT: no VMCS had an EPT pointer in this run";
  } else if (!b.count()) {
    t.warning = fmt::format("nobody has mapped {} or tried to", x.text);
  }
  return t;
}

int blame(const BlameOptions& o) {
  (void)parse_subject(o.address);   // before anything is run again
  const Told t = blame_told(Story(o.run), o.address);
  std::fputs((o.json ? t.data.dump(2, ' ', false, json::error_handler_t::replace) + '\n' : t.text).c_str(), stdout);
  if (!t.warning.empty()) print_warning(t.warning);
  return status::ok;
}

}  // namespace vt::cli
