// SPDX-License-Identifier: GPL-2.0-or-later
/// What several rules ask of a ledger: what was mapped from when to when, which device had which tables, what was a table, and who
/// asked for it. Made once per check.
#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "views/check.hpp"

namespace vt::views::checks {

inline constexpr u32 kNever = ~u32{0};

/// What a range was mapped to for some time.
struct State {
  u32 space = 0;
  u64 first = 0, last = 0;
  Mapping mapping;          ///< of `first`
  u32 since = 0;            ///< event that established it, or changed what it means
  u32 from = 0;             ///< event that made it look as it does (memory type and page size included)
  u32 to = kNever;          ///< event that ended it
  u64 size() const { return last - first + 1; }
  Mapping at(u64 address) const {
    Mapping m = mapping;
    if (!m.misconfigured) m.target += address - first;
    return m;
  }
};

/// Plays the changes of a history: the mappings of all spaces at one event after the other.
class Sweep {
 public:
  explicit Sweep(const History& h) : history_(h), live_(h.spaces.size()) {}
  /// Applies the changes made by events before `event`. `ended` gets each state that a change has ended.
  void to(u32 event, const std::function<void(const State&)>& ended = {});
  /// One change. What is ended is told first.
  void apply(const Change& c, const std::function<void(const State&)>& ended = {});
  /// What overlaps [first, last], cut to it, ascending.
  std::vector<State> at(u32 space, u64 first, u64 last) const;
  using Live = std::map<u64, State>;
  const Live& live(u32 space) const { return live_.at(space); }

 private:
  const History& history_;
  std::vector<Live> live_;
  std::size_t next_ = 0;
};

/// A device's context entry was written, by an event.
struct Assignment {
  u32 event = 0;
  u8 unit = 0;
  Bdf device;
  bool present = false, was_present = false;
  vtd::TranslationType type = vtd::TranslationType::untranslated;
  u16 domain = 0, was_domain = 0;
  std::optional<u32> space;
};

struct TableLife { u64 page = 0; u32 from = 0, to = kNever; TableFormat format = TableFormat::none; };

class Facts {
 public:
  explicit Facts(const CheckInput& in);

  const CheckInput& in;
  const History& h;
  const u32 end;                               ///< events before this one count
  std::vector<State> states;                   ///< all there ever were; those that live on have `to` kNever
  std::vector<Assignment> assignments;         ///< in order
  std::vector<TableLife> tables;               ///< by page
  std::vector<std::vector<u32>> entries;       ///< by space: VM entries with these tables
  std::vector<std::pair<u32, std::optional<u32>>> entry_spaces;  ///< events of VM entries, in order, with their space

  std::vector<std::vector<std::pair<u32, bool>>> translation;     ///< by unit: translation enabled or disabled, by which event

  /// Does the unit translate, just after this event?
  bool enabled(u8 unit, u32 event) const;
  /// Was a guest entered while this was so, or is it so at the end? Device tables count at once.
  bool used(const State& s) const;
  /// A space's EPT: root and levels.
  std::optional<u32> ept_space(u64 eptp) const;
  /// The assignment of a device just before an event; null: it has no entry.
  const Assignment* assigned(u8 unit, Bdf device, u32 event) const;
  u64 step(u32 event) const { return event < h.events.size() ? h.events[event].step : h.events.empty() ? 0 : h.events.back().step; }

  const Origin& origin(u32 event) const;
  /// Innermost call that asked for a mapping and contains the event; index into History::attempts.
  std::optional<u32> attempt_at(u32 event) const;
  std::optional<u32> outer(u32 attempt) const { return outer_[attempt] == kNever ? std::nullopt : std::optional<u32>(outer_[attempt]); }
  const std::optional<Request>& request(u32 attempt) const { return requests_[attempt]; }
  /// Did a call ask for this removal?
  bool removal_asked_for(u32 event) const;
  /// Is a call that asks for a mapping still open at the end, so that the software is in the middle of something?
  bool busy_at_end() const { return busy_at_end_; }

 private:
  void read_tables();
  std::vector<u32> outer_;                     ///< by attempt; kNever: none
  std::vector<std::optional<Request>> requests_;
  std::map<u16, std::vector<u32>> by_cpu_;     ///< attempts
  bool busy_at_end_ = false;
  mutable std::unordered_map<u32, Origin> origins_;   ///< looked up, never iterated
};

/// Those of the check at hand, or made for it.
std::shared_ptr<const Facts> facts(const CheckInput& in);

// ---- text ----
// Neighbours whose sentences differ only in addresses that move along are joined: such addresses are marked until then.
std::string range_mark();                      ///< stands for first-last of the finding
std::string moving(u64 address);               ///< an address that grows with the finding's `first`
std::string hex(u64 v);
std::string bdf(Bdf b);
std::string letters(Access a);                 ///< "rw-"
std::string space_text(const Facts& f, u32 space);               ///< "the EPT 0x7f000", "the tables 0x7f000 of 00:02.0"
/// "mmio_direct rw -> identity", "rwx -> 0x1234000". `m` is the mapping of `first`.
std::string mapping_text(const Facts& f, u32 space, const Mapping& m, u64 first);
/// "pvh_populate_p2m (dom0_build.c:452)"
std::string origin_text(const Origin& o);
/// Name of the address kind: "guest-physical" or "device".
const char* address_kind(const Facts& f, u32 space);

/// A finding with what every rule fills in alike. `events`: the evidence; the step is that of `when`.
Finding finding(const Facts& f, const char* rule, Severity s, std::optional<u32> space, u64 first, u64 last, u32 when, std::vector<u32> events);
/// Appends origins of events, each once.
void add_origins(const Facts& f, Finding& to, std::initializer_list<u32> events);

// ---- the rules ----
void refused_mapping(const CheckInput& in, std::vector<Finding>& out);
void established_twice(const CheckInput& in, std::vector<Finding>& out);
void ept_vtd(const CheckInput& in, std::vector<Finding>& out);
void rmrr_missing(const CheckInput& in, std::vector<Finding>& out);
void reserved_missing(const CheckInput& in, std::vector<Finding>& out);
void denied_iomem_mapped(const CheckInput& in, std::vector<Finding>& out);
void cacheable_mmio(const CheckInput& in, std::vector<Finding>& out);
void aliased_ram(const CheckInput& in, std::vector<Finding>& out);
void beyond_width(const CheckInput& in, std::vector<Finding>& out);
void flush_missing(const CheckInput& in, std::vector<Finding>& out);
void unflushed_line(const CheckInput& in, std::vector<Finding>& out);
void stale_translation(const CheckInput& in, std::vector<Finding>& out);
void dma_fault(const CheckInput& in, std::vector<Finding>& out);

}  // namespace vt::views::checks
