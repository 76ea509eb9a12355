// SPDX-License-Identifier: GPL-2.0-or-later
/// established-twice: two parts of the software each believe that a frame is theirs to map.
#include <fmt/format.h>

#include "base/bits.hpp"
#include "facts.hpp"

namespace vt::views::checks {
namespace {

/// A store that changes only bits of software's own (a mark that an entry is to be looked at again, say) maps nothing again.
bool is_upkeep(const Event& e) {
  constexpr u64 kNothing = mask(9, 8) | u64{1} << 11 | u64{1} << 63;   // A, D, SNP, suppress #VE
  return e.kind == EventKind::table_write && ((e.b ^ e.c) & ~kNothing) != 0;
}

}  // namespace

void established_twice(const CheckInput& in, std::vector<Finding>& out) {
  const auto facts = checks::facts(in);
  const Facts& f = *facts;
  for (auto& c : f.h.changes) {
    if (c.event >= f.end) break;
    if ((c.kind != Change::Kind::changed && c.kind != Change::Kind::again) || c.linked || c.before.misconfigured || c.after.misconfigured) continue;
    if (f.h.spaces[c.space].shared_with) continue;   // told of the EPT
    if (c.kind == Change::Kind::again && is_upkeep(f.h.events[c.event])) continue;
    const Origin &was = f.origin(c.since), &is = f.origin(c.event);
    if (was.function == is.function) continue;
    const std::string old_type = in.words.type_name(c.before.tag), new_type = in.words.type_name(c.after.tag);
    const bool other_type = old_type != new_type || (old_type.empty() && c.before.tag != c.after.tag);
    Severity s = Severity::info;
    std::string how = "the same once more";
    if (c.before.target != c.after.target) s = Severity::error, how = "with another target";
    else if (other_type) s = Severity::error, how = "with another type";
    else if (c.before.access != c.after.access || c.before.tag != c.after.tag) s = Severity::warning, how = "with another access";
    Finding x = finding(f, "established-twice", s, c.space, c.first, c.last, c.event, {c.since, c.event});
    add_origins(f, x, {c.event, c.since});
    x.text = fmt::format("{} {} of {} was mapped ({}) by {}, and without a removal again, {} ({}), by {}", address_kind(f, c.space), range_mark(), space_text(f, c.space),
                         mapping_text(f, c.space, c.before, c.first), origin_text(was), how, mapping_text(f, c.space, c.after, c.first), origin_text(is));
    out.push_back(std::move(x));
  }
}

}  // namespace vt::views::checks
