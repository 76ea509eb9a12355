// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/check.hpp"

#include <algorithm>

#include "check/facts.hpp"

namespace vt::views {
namespace {

constexpr Rule kRules[] = {
    {"refused-mapping", Severity::error, "a call that asked for a mapping was refused",
     "A function that establishes mappings returned an error: the page is not mapped as its caller wanted. Tables show nothing of it, since a guard refuses before it writes; "
     "the finding says what was there and who had put it. Typically two passes of a domain's construction overlap and the second one is not allowed to replace the first's direct MMIO. "
     "It is harmless where the caller expects the error and goes on (a probe, an entry that is there already). Look at both origins: which of them should not map this range? "
     "`vitrine blame` on the address shows all that was tried.",
     checks::refused_mapping},
    {"established-twice", Severity::error, "a present frame was mapped again by somebody else, without a removal between",
     "Two origins map the same frame, and the second one writes over the first. With another target or type (error) one of them has lost its mapping without knowing; with another access (warning) "
     "the later one decides; the same mapping once more (info) costs time only, but shows passes that overlap, which is how a guard that is added later turns into a refusal. "
     "Changes by the same origin are not told, nor are memory types, splits into smaller pages and entries marked for recalculation. Decide which origin the frame belongs to.",
     checks::established_twice},
    {"ept-vtd", Severity::error, "a guest and its device see different memory",
     "Guest and device have tables of their own (they are not shared), and for this range readable, writable or target differ between them. The device reaches what its guest cannot, or the other way round; "
     "DMA then goes to another frame than the driver meant, or is refused. Execute, memory type and entries marked for recalculation do not count, 0xfee00000-0xfeefffff means interrupts to a device, and types that "
     "are served by an emulator are excepted. Compared at VM entries and at the end, while the unit translates. Look for the call that updates one side and not the other.",
     checks::ept_vtd},
    {"rmrr-missing", Severity::error, "memory that firmware reserves for a device's DMA is not mapped for it",
     "A Reserved Memory Region Reporting structure says that the device does DMA there, by firmware's will, from before the hypervisor starts. When translation is enabled the device's own table has to have the range "
     "identity mapped, readable and writable, and to keep it; otherwise that DMA is refused (dma-fault), and a keyboard, a graphics or a management controller hangs. Looked at for devices that exist, in the table "
     "that each has at that moment, quarantine or not. A removal that a call asked for is not told. Harmless only if firmware no longer uses the range.",
     checks::rmrr_missing},
    {"reserved-missing", Severity::error, "RESERVED memory is not in a device's table when translation is enabled",
     "This software maps what the E820 calls RESERVED identically for its devices, since firmware's leftovers (legacy USB emulation, say) do DMA there without an RMRR. This range is not there at the moment when translation "
     "is enabled, or was lost later: DMA to it is refused until somebody maps it. Told only of tables that have some RESERVED memory mapped at some time; interrupt, I/O APIC, configuration, HPET and remapping unit pages are left out, "
     "and so is all above 4 GiB. Look at the order: the identity map has to be complete before translation is enabled.",
     checks::reserved_missing},
    {"denied-iomem-mapped", Severity::error, "a guest or a device can reach what is the hypervisor's own",
     "A mapping leads to the registers of a remapping unit, to a page that was an EPT or VT-d table or a VMCS at the time, to the local APIC or to the I/O APIC. Who can write there can give itself any memory, or stop the machine. "
     "The usual way is an identity map of RESERVED memory that includes such a page, made before the page was denied. In a hypervisor that trusts its only guest, and maps everything for it, it is as intended. "
     "Take the page out of the identity map, or deny it first.",
     checks::denied_iomem_mapped},
    {"cacheable-mmio", Severity::error, "memory that the host has as uncacheable is mapped cacheable",
     "The EPT's memory type replaces the MTRRs for a guest, and says write-back, write-through or write-protected for what the host's MTRRs call uncacheable. If the guest's PAT is looked at (warning), a driver that asks for "
     "uncacheable gets it, and only careless or speculative accesses are at risk; with IPAT (error) nobody can. Device registers read through a cache are stale, and a machine check is possible. "
     "The opposite, uncacheable over RAM, is normal. Judged once a guest was entered with it.",
     checks::cacheable_mmio},
    {"aliased-ram", Severity::warning, "one RAM frame stands at two guest frames",
     "Two guest-physical addresses lead to the same frame of RAM at the same time. A guest's memory manager takes them for two pages. Types that are meant for it (grants, foreign mappings, sharing) are excepted. "
     "It is as intended where software aliases on purpose (shadow BIOS, a remapped window). Otherwise a frame was given out twice, or moved without being removed from its old place.",
     checks::aliased_ram},
    {"beyond-width", Severity::error, "an address is wider than the hardware",
     "An entry's address has bits above the processor's or the unit's physical address width: they are reserved, and every access through it is an EPT misconfiguration or a DMA fault (error). Or a guest has memory above what "
     "the tables of its device can express, because they have fewer levels: DMA there is refused (warning). Look at how the width was computed: MAXPHYADDR, the DMAR's host address width and AGAW are three different things.",
     checks::beyond_width},
    {"flush-missing", Severity::error, "a table was changed and not invalidated before its next use",
     "A present EPT entry was made less permissive or changed, and a processor that had run with these tables entered the guest again without an INVEPT: it may go on with the old translation. For VT-d: a present entry "
     "was changed (or, with caching mode, any), and the IOTLB was not invalidated for that domain before the guest was entered again or the run ended; or a context entry without the context cache; or a unit that needs its write "
     "buffer flushed; or translation was enabled without the global invalidation. The freed page may be given to somebody else while it is still reachable. It is harmless only if the old translation was never used since the last flush.",
     checks::flush_missing},
    {"unflushed-line", Severity::error, "a table line was not flushed for a unit that does not snoop caches",
     "The unit's ECAP.C is 0: it reads its tables from memory, not from the processors' caches. A line was written and neither CLFLUSHed nor written back when the unit could read it: on silicon it may see the old entry. "
     "Emulated caches have no such delay, so nothing else will show it. Root, context and second-level entries count, and EPT entries where the tables are shared. Flush between the store and the invalidation.",
     checks::unflushed_line},
    {"stale-translation", Severity::error, "a translation was used that is no longer what the tables say",
     "A remapping unit's cache answered a request with an entry that had been changed in memory: an invalidation was missing or came too late, and this DMA or interrupt went where it no longer should. "
     "It is harmless only in the short time between a change and its invalidation, when the old page is not yet given to somebody else. `flush-missing` usually tells the change.",
     checks::stale_translation},
    {"dma-fault", Severity::error, "a request of a device was refused",
     "A remapping unit refused an access or an interrupt of a device. The finding says what its tables had there, and who removed it if it had been there. Firmware that still does DMA (see rmrr-missing and reserved-missing), "
     "a driver that uses an address after unmapping it, or a device without a context entry. Expected only if the device is kept away on purpose.",
     checks::dma_fault},
};

/// Text with its moving addresses relative to `first`: equal for neighbours that can be joined.
std::string relative(const std::string& text, u64 first) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\x01' && at + 18 <= text.size()) {
      out += '\x01' + std::to_string(std::stoull(text.substr(at + 1, 16), nullptr, 16) - first);
      at += 18;
    } else {
      out += text[at++];
    }
  }
  return out;
}

std::string rendered(const Finding& f) {
  std::string out;
  for (std::size_t at = 0; at < f.text.size();) {
    const char c = f.text[at];
    if (c == '\x01' && at + 18 <= f.text.size()) {
      out += checks::hex(std::stoull(f.text.substr(at + 1, 16), nullptr, 16));
      at += 18;
    } else if (c == '\x03') {
      out += checks::hex(f.first) + "-" + checks::hex(f.last);
      ++at;
    } else {
      out += c;
      ++at;
    }
  }
  return out;
}

constexpr std::size_t kEvidence = 16;

/// Neighbours that say the same become one.
std::vector<Finding> joined(std::vector<Finding> all) {
  std::vector<std::pair<std::string, std::size_t>> order;
  order.reserve(all.size());
  for (std::size_t n = 0; n < all.size(); ++n) order.push_back({relative(all[n].text, all[n].first), n});
  std::sort(order.begin(), order.end(), [&](auto& a, auto& b) {
    const Finding &x = all[a.second], &y = all[b.second];
    if (x.severity != y.severity) return x.severity > y.severity;
    if (x.space != y.space) return x.space < y.space;
    if (a.first != b.first) return a.first < b.first;
    if (x.first != y.first) return x.first < y.first;
    return a.second < b.second;
  });
  std::vector<Finding> out;
  std::string before;
  for (auto& [key, n] : order) {
    Finding& f = all[n];
    Finding* last = out.empty() ? nullptr : &out.back();
    if (last && key == before && last->severity == f.severity && last->space == f.space && last->origins == f.origins && (f.first <= last->last || last->last + 1 == f.first)) {
      if (f.first == last->first && f.last == last->last && f.events == last->events) continue;   // told of one more form of the same
      last->last = std::max(last->last, f.last);
      last->step = std::min(last->step, f.step);
      ++last->count;
      for (u32 e : f.events)
        if (last->events.size() < kEvidence && std::find(last->events.begin(), last->events.end(), e) == last->events.end()) last->events.push_back(e);
    } else {
      out.push_back(std::move(f));
      before = key;
    }
  }
  for (auto& f : out) {
    std::sort(f.events.begin(), f.events.end());
    f.text = rendered(f);
  }
  return out;
}

}  // namespace

const char* severity_name(Severity s) {
  switch (s) {
    case Severity::info: return "info";
    case Severity::warning: return "warning";
    case Severity::error: return "error";
  }
  return "unknown";
}

std::span<const Rule> rules() { return kRules; }

const Rule* find_rule(std::string_view name) {
  for (auto& r : kRules) if (name == r.name) return &r;
  return nullptr;
}

std::vector<Finding> check(const CheckInput& in, const Rule* only) {
  CheckInput with = in;
  with.facts = std::make_shared<const checks::Facts>(in);
  std::vector<Finding> all;
  for (auto& r : kRules) {
    if (only && only != &r) continue;
    std::vector<Finding> found;
    r.check(with, found);
    for (auto& f : joined(std::move(found))) all.push_back(std::move(f));
  }
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.severity != b.severity ? a.severity > b.severity : a.step < b.step; });
  return all;
}

}  // namespace vt::views
