// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor/xen.hpp"

namespace vt::hv::xen {
namespace {
constexpr const char* kTypes[] = {"ram_rw", "invalid", "ram_logdirty", "ram_ro", "mmio_dm", "mmio_direct", "populate_on_demand", "grant_map_rw",
                                  "grant_map_ro", "ram_paging_out", "ram_paged", "ram_paging_in", "ram_shared", "ram_broken", "map_foreign",
                                  "ioreq_server"};
constexpr const char* kAccess[] = {"n", "r", "w", "rw", "x", "rx", "wx", "rwx", "rx2rw", "n2rwx"};
}  // namespace

std::string p2m_type_name(unsigned type) { return type < std::size(kTypes) ? kTypes[type] : "type-" + std::to_string(type); }
std::string p2m_access_name(unsigned access) { return access < std::size(kAccess) ? kAccess[access] : "access-" + std::to_string(access); }

}  // namespace vt::hv::xen
