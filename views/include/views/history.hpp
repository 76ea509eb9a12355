// SPDX-License-Identifier: GPL-2.0-or-later
/// A ledger told again, from empty tables: what every store to a table meant for the mappings. All that is said about a ledger (who
/// mapped this, the checks, differences, the report) is made of what stands here.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/events.hpp"
#include "ept/ept.hpp"
#include "views/call_stacks.hpp"
#include "views/tables.hpp"
#include "views/vtd_map.hpp"

namespace vt::views {

/// What has to be known besides the ledger.
struct Setup {
  u64 memory_top = 0;
  std::vector<PhysMem::Range> memory;
  ept::Caps ept;
  std::vector<vtd::Caps> units;
  /// What software means by bits that the hardware ignores in an EPT leaf: entries with different tags are different. Null: nothing.
  std::function<u64(u64 entry)> tag;
};

/// Tables of one translation: an EPT, or the second-level tables that context entries name.
struct Space {
  TableFormat format = TableFormat::none;   ///< ept or second_level
  Hpa root;
  u8 levels = 0;
  u64 eptp = 0;                             ///< ept: the pointer that named it last
  u8 unit = 0;                              ///< second_level
  std::vector<Bdf> devices;                 ///< second_level: all that have ever used it, ascending
  std::vector<u16> domains;                 ///< second_level: domain identifiers, ascending
  u32 first_event = 0;                      ///< when it became one
  std::optional<u32> shared_with;           ///< second_level: the EPT space that has the same tables (its root or a level below)
};

/// `Mapping::tag` where hardware leaves no bits to software that anybody has given a meaning: second-level tables.
inline constexpr u64 kNoTag = ~u64{0};

/// What one address is mapped to. For ranges: what the first address is mapped to, the rest follows.
struct Mapping {
  bool present = false;
  u64 target = 0;
  Access access;           ///< of the whole path
  u64 tag = 0;
  u8 emt = 0;              ///< EPT: memory type of the leaf; 7: recalculation pending
  bool ipat = false;
  bool misconfigured = false;   ///< EPT, for another reason than a pending entry
  u64 page_size = 0;
  u64 entry = 0;           ///< the leaf as it stands
  /// Same target (as a whole range, so `first` of both must be equal), tag and access: memory type, IPAT, A/D, page size do not count.
  bool means_the_same(const Mapping& o) const {
    return present == o.present && (!present || (target == o.target && access == o.access && tag == o.tag && misconfigured == o.misconfigured));
  }
};

struct Change {
  enum class Kind : u8 {
    established,   ///< was not mapped
    removed,
    changed,       ///< another target, tag or access
    again,         ///< the same once more, by a store to the leaf itself
    cosmetic,      ///< memory type, IPAT, pending, page size
  };
  Kind kind = Kind::established;
  bool linked = false;     ///< by naming a table that was filled before (or by its removal), not by a store to the leaf
  u32 event = 0;           ///< index of the table_write (or other event) that did it
  u32 space = 0;
  u64 first = 0, last = 0; ///< of the translated addresses, inclusive
  Mapping before, after;
  u32 since = 0;           ///< event that had made `before` what it was (kinds changed, removed, again, cosmetic)
};
const char* change_name(Change::Kind k);

/// A call that asked for a mapping, and what came of it.
struct Attempt {
  u32 event = 0;                     ///< index of its `attempt`
  u64 function = 0, step = 0;
  u16 cpu = 0;
  unsigned arguments = 0;
  u64 argument[6] = {};
  std::optional<u64> result;         ///< what it returned (rax); none: it never returned
  u64 end_step = 0;
  u32 end_event = 0;                 ///< index of its `attempt_result`
};

/// Plays events onto empty tables.
class Replay final : public Tables::Listener {
 public:
  explicit Replay(const Setup& setup);
  ~Replay() override;
  /// `index`: number of the event. Calls back for each change that it made.
  void apply(const Event& e, u32 index, const std::function<void(const Change&)>& changed);

  const PhysMem& memory() const { return *memory_; }
  const Tables& tables() const { return tables_; }
  const std::vector<Space>& spaces() const { return spaces_; }
  /// The mapping of an address now, and the event since when.
  Mapping at(u32 space, u64 address, u32* since = nullptr) const;
  struct Unit { u64 root = 0, irta = 0; bool enabled = false; };
  const std::vector<Unit>& units() const { return units_; }
  /// All ranges of a space, ascending.
  struct Range { u64 first = 0, last = 0; Mapping mapping; u32 since = 0; };
  std::vector<Range> ranges(u32 space, u64 first = 0, u64 last = ~u64{0}) const;

 private:
  void table(const Table&, bool) override {}
  void gone(const Table&, bool) override {}
  struct Held { u64 last; Mapping mapping; u32 since; };
  using Held_map = std::map<u64, Held>;
  u32 space_of(TableFormat f, Hpa root, unsigned levels, u32 index);
  void look_again(u32 space, u64 first, u64 last, u32 index, bool leaf_store, const std::function<void(const Change&)>& changed);
  std::vector<Range> read(const Space& s, u64 first, u64 last) const;
  void find_devices(u32 index, const std::function<void(const Change&)>& changed);
  void find_epts(u32 index, const std::function<void(const Change&)>& changed);
  void leave(u32 space, u32 index, const std::function<void(const Change&)>& changed);

  Setup setup_;
  std::unique_ptr<PhysMem> memory_;
  Tables tables_;
  std::vector<Space> spaces_;
  std::vector<Held_map> held_;      ///< by space
  std::vector<bool> in_use_;        ///< by space: something names it
  std::vector<Unit> units_;
  std::map<u64, u64> eptp_of_vmcs_;
};

/// A whole ledger in memory.
struct History {
  std::vector<Event> events;
  ChainTree chains;
  std::vector<Space> spaces;
  std::vector<Change> changes;       ///< in order
  std::vector<Attempt> attempts;     ///< in the order of their calls
  /// Index of the first event at or after a step.
  u32 at_step(u64 step) const;
};
History tell(std::vector<Event> events, const Setup& setup);

}  // namespace vt::views
