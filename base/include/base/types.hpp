// SPDX-License-Identifier: GPL-2.0-or-later
/// Address types. Each kind of address is its own type, so that a guest-physical address cannot be
/// handed to something that wants a host-physical one. All are byte addresses in 64 bits unless they
/// are frame numbers (Gfn, Mfn: address >> 12).
#pragma once
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace vt {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using u128 = unsigned __int128;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using i128 = __int128;

template <class Tag>
struct Address {
  u64 v = 0;
  constexpr Address() = default;
  constexpr explicit Address(u64 value) : v(value) {}
  friend constexpr auto operator<=>(Address, Address) = default;
  constexpr Address operator+(u64 n) const { return Address(v + n); }
  constexpr Address operator-(u64 n) const { return Address(v - n); }
  constexpr Address& operator+=(u64 n) { v += n; return *this; }
};

using Gva = Address<struct GvaTag>;    ///< linear address of the running context
using Gpa = Address<struct GpaTag>;    ///< guest-physical: what EPT translates
using Hpa = Address<struct HpaTag>;    ///< physical address of the machine
using Iova = Address<struct IovaTag>;  ///< what a device puts on the bus
using Gfn = Address<struct GfnTag>;    ///< Gpa >> 12
using Mfn = Address<struct MfnTag>;    ///< Hpa >> 12

inline constexpr u64 kPageSize = 4096;
inline constexpr unsigned kPageShift = 12;
inline constexpr u64 kPageMask = ~(kPageSize - 1);

/// PCI source identifier on segment 0: bus 15:8, device 7:3, function 2:0.
struct Bdf {
  u16 v = 0;
  constexpr Bdf() = default;
  constexpr explicit Bdf(u16 value) : v(value) {}
  constexpr Bdf(u8 bus, u8 dev, u8 fn) : v(static_cast<u16>(bus << 8 | (dev & 31) << 3 | (fn & 7))) {}
  constexpr u8 bus() const { return static_cast<u8>(v >> 8); }
  constexpr u8 dev() const { return (v >> 3) & 31; }
  constexpr u8 fn() const { return v & 7; }
  constexpr u8 devfn() const { return v & 0xff; }
  friend constexpr auto operator<=>(Bdf, Bdf) = default;
};

/// What an access wants or an entry allows. Bit values are EPT's (and VT-d's for read and write).
struct Access {
  u8 v = 0;
  constexpr Access() = default;
  constexpr explicit Access(u8 value) : v(value) {}
  constexpr bool r() const { return v & 1; }
  constexpr bool w() const { return v & 2; }
  constexpr bool x() const { return v & 4; }
  constexpr bool allows(Access want) const { return (v & want.v) == want.v; }
  friend constexpr auto operator<=>(Access, Access) = default;
  constexpr Access operator&(Access o) const { return Access(v & o.v); }
  constexpr Access operator|(Access o) const { return Access(v | o.v); }
};
namespace access {
inline constexpr Access none{0}, read{1}, write{2}, exec{4}, rw{3}, rwx{7};
}

/// Memory types as PAT, MTRRs and EPT encode them.   SDM 3A "Memory Types and Their Properties"
enum class MemType : u8 { UC = 0, WC = 1, WT = 4, WP = 5, WB = 6, UCminus = 7 };

}  // namespace vt
