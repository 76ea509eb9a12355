// SPDX-License-Identifier: GPL-2.0-or-later
/// Xen's words for what stands in its EPT entries: `p2m_type_t` in bits 57:52, `p2m_access_t` in bits 61:58 (the manual leaves both to
/// software). Valid for Xen 4.13 to 4.18 on x86.
#pragma once
#include <string>

#include "base/types.hpp"

namespace vt::hv::xen {

/// Type and access of an EPT entry as one number: bits 61:52.
constexpr u64 p2m_bits(u64 entry) { return (entry >> 52) & 0x3ff; }
constexpr unsigned p2m_type(u64 bits) { return bits & 0x3f; }
constexpr unsigned p2m_access(u64 bits) { return (bits >> 6) & 0xf; }

/// "ram_rw", "mmio_direct"; "type-N" for numbers that Xen does not use.
std::string p2m_type_name(unsigned type);
/// "rwx", "rw", "n2rwx"
std::string p2m_access_name(unsigned access);

}  // namespace vt::hv::xen
