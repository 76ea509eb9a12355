// SPDX-License-Identifier: GPL-2.0-or-later
/// refused-mapping: tables show nothing of it, since a guard refuses before it writes. Calls do.
#include <fmt/format.h>

#include "facts.hpp"

namespace vt::views::checks {
namespace {

/// Which tables an owner's calls have changed, the most often changed first: how an owner is told from another without looking into it.
class Owners {
 public:
  explicit Owners(const Facts& f) : f_(f) {
    for (auto& c : f.h.changes) {
      if (c.event >= f.end) break;
      for (auto a = f.attempt_at(c.event); a; a = f.outer(*a))
        if (auto& r = f.request(*a); r && r->owner) ++votes_[r->owner][c.space];
    }
  }
  std::optional<u32> space(const Request& r) const {
    std::optional<u32> best;
    u64 most = 0;
    if (auto v = votes_.find(r.owner); v != votes_.end())
      for (auto [space, n] : v->second) if (n > most) best = space, most = n;
    if (best) return best;
    for (u32 n = 0; n < f_.h.spaces.size(); ++n) {
      if (f_.h.spaces[n].format != TableFormat::ept) continue;
      if (best) return {};   // several, and nothing tells which
      best = n;
    }
    return best;
  }

 private:
  const Facts& f_;
  std::map<u64, std::map<u32, u64>> votes_;
};

/// Refused, or never come back from: a guard may end the guest, and with it the machine.
bool refused(const Facts& f, u32 attempt) {
  auto& r = f.request(attempt);
  return r && !r->removes && (r->refused || !f.h.attempts[attempt].result);
}

/// Does something that is there keep what is wanted from being mapped?
bool in_the_way(const Request& r, const State& s) {
  if (!s.mapping.present || s.mapping.misconfigured) return false;
  return (r.target && s.mapping.target != *r.target + (s.first - *r.first)) || (r.tag && s.mapping.tag != *r.tag);
}

}  // namespace

void refused_mapping(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  std::optional<Owners> owners;
  std::optional<Sweep> sweep;
  for (u32 n = 0; n < f.h.attempts.size() && f.h.attempts[n].event < f.end; ++n) {
    if (!refused(f, n)) continue;
    bool within = false;
    for (auto o = f.outer(n); o && !within; o = f.outer(*o)) within = refused(f, *o);
    if (within) continue;
    if (!owners) owners.emplace(f), sweep.emplace(f.h);
    const bool returned = f.h.attempts[n].result.has_value();
    // The deepest call that was refused knows the page; the outermost is what was asked for.
    u32 deep = n;
    for (u32 k = n + 1; k < f.h.attempts.size() && (!returned || f.h.attempts[k].event < f.h.attempts[n].end_event); ++k) {
      bool inside = false;
      for (auto o = f.outer(k); o && !inside; o = f.outer(*o)) inside = *o == deep;
      if (inside && refused(f, k) && f.request(k)->first) deep = k;
    }
    const Attempt& a = f.h.attempts[n];
    const Request& asked = *f.request(n);
    const Request& r = *f.request(deep);
    const u64 first = r.first.value_or(0), last = first + std::max<u64>(r.size, 1) - 1;
    const auto space = r.first ? owners->space(r) : std::nullopt;

    std::string wanted;
    if (r.tag && !in.words.type_name(*r.tag).empty()) wanted = in.words.type_name(*r.tag) + " " + in.words.access_name(*r.tag);
    if (r.target) wanted += (wanted.empty() ? "" : ", ") + (*r.target == first ? std::string("identity") : "to " + moving(*r.target));
    std::vector<u32> evidence{a.event};
    if (returned) evidence.push_back(a.end_event);
    std::string had;
    Finding x;
    if (space) {
      sweep->to(a.event);
      std::vector<State> there;
      for (auto& t : sweep->at(*space, first, last)) {
        State* b = there.empty() ? nullptr : &there.back();
        if (b && b->last + 1 == t.first && b->at(t.first).means_the_same(t.mapping) && f.origin(b->since).function == f.origin(t.since).function) b->last = t.last;
        else there.push_back(t);
      }
      // One that is only not done yet leaves nothing in its way; nor has it come to the end of the run.
      if (!returned && std::none_of(there.begin(), there.end(), [&](auto& t) { return in_the_way(r, t); })) continue;
      if (there.empty()) had = "nothing was mapped there";
      for (std::size_t k = 0; k < there.size() && k < 3; ++k) {
        const bool part = there.size() > 1 || there[k].first != first || there[k].last != last;
        had += (k ? "; " : "there was ") + (part ? "at " + moving(there[k].first) + "-" + moving(there[k].last) + " " : std::string{}) + mapping_text(f, *space, there[k].mapping, there[k].first) + ", put there by " + origin_text(f.origin(there[k].since));
        evidence.push_back(there[k].since);
      }
      if (there.size() > 3) had += fmt::format("; and {} more ranges", there.size() - 3);
      x = finding(f, "refused-mapping", Severity::error, space, first, last, a.event, evidence);
      add_origins(f, x, {a.event});
      for (auto& t : there) if (x.origins.size() < 4) add_origins(f, x, {t.since});
    } else if (!returned) {
      continue;
    } else {
      had = "what was there cannot be told (several guests)";
      x = finding(f, "refused-mapping", Severity::error, {}, first, last, a.event, evidence);
      add_origins(f, x, {a.event});
    }
    const std::string where = r.first ? "of " + range_mark() : std::string("of an unknown range");
    x.text = fmt::format("{} {} a mapping {}{} asked for by {}{}: {}", asked.function, returned ? "refused" : "never came back from", where, wanted.empty() ? "" : " (" + wanted + ")",
                         origin_text(f.origin(a.event)), returned ? ", with " + asked.result_text : "", had);
    out.push_back(std::move(x));
  }
}

}  // namespace vt::views::checks
