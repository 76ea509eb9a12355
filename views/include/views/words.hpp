// SPDX-License-Identifier: GPL-2.0-or-later
/// What the software under test means by what it does: names of addresses, of bits that hardware ignores, of its own functions'
/// arguments. The views ask; hypervisor/ answers for the hypervisors that it knows. This base answers for software of which nothing is known.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "views/history.hpp"

namespace vt::views {

/// What an attempt asks for.
struct Request {
  std::string function;
  bool removes = false;
  u64 owner = 0;                     ///< the guest it is for, as software names it (an address); 0: not known
  std::optional<u64> first;          ///< guest-physical (or device) address
  std::optional<u64> target;         ///< physical
  u64 size = 4096;                   ///< bytes
  std::optional<u64> tag;            ///< as `Words::tag` would make it, where type and access are among the arguments
  std::string text;                  ///< "p2m_add_page(d ffff83..., gfn 0x9f, mfn 0x9f, order 0, mmio_direct)"
  std::optional<i64> result;         ///< as a signed number; none: it never returned
  std::string result_text;           ///< "-16 (EBUSY)"
  bool refused = false;              ///< it returned an error
};

struct Source { std::string file; unsigned line = 0; };   ///< file empty: not known

class Words {
 public:
  virtual ~Words() = default;
  virtual std::string kind() const { return "unknown"; }           ///< "xen"
  /// What the bits of an EPT leaf mean that hardware ignores, as one number; entries with different ones are different mappings.
  virtual u64 tag(u64 entry) const { return 0; }
  virtual std::string type_name(u64 tag) const { return {}; }      ///< "mmio_direct"; empty: nothing is meant
  virtual std::string access_name(u64 tag) const { return {}; }    ///< "rw"
  /// May one RAM frame stand at several places with such a tag (grants, foreign mappings)? May EPT and device differ (I/O request servers)?
  virtual bool may_alias(u64 tag) const { return false; }
  virtual bool may_differ_for_devices(u64 tag) const { return false; }
  /// "p2m_add_page+0x1c" and "p2m_add_page"; empty: no symbol.
  virtual std::string symbol(u64 address) const { return {}; }
  virtual std::string function(u64 address) const { return {}; }
  virtual Source source(u64 address) const { return {}; }
  /// Functions inlined at an address, outermost last, where debug information tells them: name and the line of the call.
  struct Inlined { std::string function; Source source; };
  virtual std::vector<Inlined> frames(u64 address) const;
  /// Is this function one of those that only carry out what others ask for?
  virtual bool carries_out(const Inlined& f) const { return false; }
  virtual std::optional<Request> request(const Attempt& a) const { return {}; }
  /// Boot phases, by functions whose call begins one: "identity map" for arch_iommu_hwdom_init. Empty: none.
  virtual std::string phase(const std::vector<u64>& chain) const { return {}; }
};

/// Where an event comes from.
struct Origin {
  std::string function;    ///< first frame that does not only carry out; "0xffff82d0..." without a symbol; "device" for DMA
  u64 address = 0;         ///< the instruction, or the call in that frame
  Source source;
};
/// Frames of an event, innermost first: the instruction itself, then the calls (each by the address of the CALL's last byte).
std::vector<u64> frames(const History& h, const Event& e);
Origin origin(const History& h, const Event& e, const Words& words);

}  // namespace vt::views
