// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor/xen_calls.hpp"

#include <algorithm>

namespace vt::hv::xen {
namespace {

using enum Argument;

constexpr Call kCalls[] = {
    {"map_mmio_regions", false, {domain, gfn, count, mfn}},
    {"unmap_mmio_regions", true, {domain, gfn, count, mfn}},
    {"p2m_add_identity_entry", false, {domain, gfn, access, flags}},
    {"set_identity_p2m_entry", false, {domain, gfn, access, flags}},
    {"p2m_remove_identity_entry", true, {domain, gfn}},
    {"clear_identity_p2m_entry", true, {domain, gfn}},
    {"p2m_add_page", false, {domain, gfn, mfn, order, type}},
    {"p2m_remove_page", true, {domain, gfn, mfn, order}},
    {"set_mmio_p2m_entry", false, {domain, gfn, mfn, order}},
    {"set_foreign_p2m_entry", false, {domain, pointer, gfn, mfn}},
    {"set_typed_p2m_entry", false, {domain, gfn, mfn, order, type, access}},
    {"p2m_remove_entry", true, {p2m, gfn, mfn, order}},
    {"p2m_set_entry", false, {p2m, gfn, mfn, order, type, access}},
    {"ept_set_entry", false, {p2m, gfn, mfn, order, type, access}},
    {"iommu_legacy_map", false, {domain, dfn, mfn, count, flags}},
    {"iommu_legacy_unmap", true, {domain, dfn, count}},
    {"iommu_map", false, {domain, dfn, mfn, count, flags, pointer}},
    {"iommu_unmap", true, {domain, dfn, count, flags, pointer}},
    {"intel_iommu_map_page", false, {domain, dfn, mfn, flags, pointer}},
    {"intel_iommu_unmap_page", true, {domain, dfn, order, pointer}},
};

/// Beginnings of names of what only carries out.
constexpr std::string_view kPrefixes[] = {"p2m_", "ept_", "_ept_", "hap_", "atomic_write_ept_entry", "set_mmio_p2m_entry", "set_typed_p2m_entry", "set_identity_p2m_entry",
                                          "set_foreign_p2m_entry", "clear_identity_p2m_entry", "clear_mmio_p2m_entry", "map_mmio_regions", "unmap_mmio_regions",
                                          "modify_identity_mmio", "guest_physmap_add_page", "guest_physmap_add_entry", "guest_physmap_remove_page", "nestedp2m_", "np2m_", "altp2m_",
                                          "iommu_map", "iommu_unmap", "iommu_legacy_", "intel_iommu_map_page", "intel_iommu_unmap_page", "intel_iommu_lookup_page",
                                          "addr_to_dma_page_maddr", "dma_pte_", "pt_update_contig_markers", "iommu_free_pgtables", "iommu_alloc_pgtable", "map_range", "unmap_range", "populate_pt_range",
                                          "iommu_flush_", "flush_iotlb", "qinval_", "queue_invalidate", "vtd_flush_", "iommu_sync_cache", "sync_cache", "resolve_misconfig", "paging_",
                                          "iommu_identity_mapping", "rangeset_", "flush_context_", "flush_all_cache"};
constexpr std::string_view kFiles[] = {"arch/x86/mm/p2m", "arch/x86/mm/hap/", "arch/x86/mm/paging.c", "drivers/passthrough/iommu.c", "drivers/passthrough/vtd/qinval.c", "common/rangeset.c"};

constexpr const char* kErrors[] = {nullptr, "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", nullptr, nullptr, nullptr, "EAGAIN", "ENOMEM", "EACCES", "EFAULT",
                                   nullptr, "EBUSY", "EEXIST", "EXDEV", "ENODEV", nullptr, nullptr, "EINVAL"};

/// GCC's clones are the function still: "p2m_add_page.part.0".
std::string_view plain(std::string_view name) { return name.substr(0, name.find('.')); }

}  // namespace

std::span<const Call> calls() { return kCalls; }

const Call* find_call(std::string_view name) {
  for (auto& c : kCalls) if (name == c.name) return &c;
  return nullptr;
}

std::vector<Site> sites(const Symbols& symbols) {
  std::vector<Site> all;
  for (auto& c : kCalls)
    if (auto at = symbols.find(c.name)) all.push_back({&c, *at});
  return all;
}

unsigned arguments(const Call& c) { return static_cast<unsigned>(std::find(std::begin(c.argument), std::end(c.argument), none) - std::begin(c.argument)); }

bool carries_out(std::string_view function, std::string_view file) {
  const std::string_view name = plain(function);
  if (!file.empty() && std::any_of(std::begin(kFiles), std::end(kFiles), [&](auto f) { return file.find(f) != file.npos; })) return true;
  return std::any_of(std::begin(kPrefixes), std::end(kPrefixes), [&](auto p) { return name.starts_with(p); });
}

std::string result_text(u64 rax) {
  const auto v = static_cast<i32>(rax);
  if (v < 0 && v > -static_cast<i32>(std::size(kErrors)) && kErrors[-v]) return std::to_string(v) + " (" + kErrors[-v] + ")";
  return std::to_string(v);
}

}  // namespace vt::hv::xen
