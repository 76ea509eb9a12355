// SPDX-License-Identifier: GPL-2.0-or-later
/// x86 paging: the one walker, for the processor, the debugger and the views. Pure: sets no A/D bits, raises
/// nothing, returns every entry it read.   SDM 3A "Paging"
#pragma once
#include "base/bits.hpp"
#include "base/types.hpp"

namespace vt::cpu::paging {

enum class Mode : u8 { none, bits32, pae, level4 };

/// What control registers and the CPU model say about a walk.
struct Params {
  Mode mode = Mode::level4;
  u64 cr3 = 0;
  u64 pdpte[4] = {};                    ///< PAE: the four PDPTE registers
  bool pse = false;                     ///< CR4.PSE (32-bit paging only)
  bool nxe = true;                      ///< IA32_EFER.NXE
  bool pge = true;                      ///< CR4.PGE
  bool page_1g = true, pse36 = true;    ///< offered by CPUID
  unsigned physical_address_bits = 46;
};

enum class Why : u8 { ok, not_present, reserved, read_failed };

struct Step { u8 level; u8 size; Gpa at; u64 entry; };  ///< size in bytes: 4 or 8

struct Walk {
  Why why = Why::not_present;
  bool w = true, u = true, nx = false, global = false;  ///< over the entries read so far
  bool accessed = true;      ///< A is set in every entry read
  bool dirty = false;        ///< D of the leaf
  u8 pat_index = 0;          ///< PAT, PCD, PWT of the leaf (2, 1, 0)
  u8 shift = 0;              ///< page size: 12, 21, 22, 30
  Gpa target{};              ///< of the wanted address, when ok
  u8 n = 0;
  Step step[4] = {};
};

inline constexpr u64 P = 1, RW = 2, US = 4, PWT = 8, PCD = 0x10, A = 0x20, D = 0x40, PS = 0x80, G = 0x100, XD = u64{1} << 63;

/// Table index of a linear address at `level` (1: page table).
constexpr unsigned index(Mode m, u64 la, unsigned level) {
  return m == Mode::bits32 ? static_cast<unsigned>(la >> (12 + 10 * (level - 1))) & 1023 : static_cast<unsigned>(la >> (12 + 9 * (level - 1))) & 511;
}

/// Bits of a present entry that must be zero.   SDM 3A "Reserved Bits" under "Page-Fault Exceptions" and the entry formats of each mode
constexpr u64 reserved(const Params& p, unsigned level, u64 e) {
  if (p.mode == Mode::bits32) {
    if (level != 2 || !p.pse || !(e & PS)) return 0;
    if (!p.pse36) return mask(21, 13);
    const unsigned m = p.physical_address_bits < 40 ? p.physical_address_bits : 40;
    return mask(21, m - 19);  // bits 20:13 are address bits 39:32 as far as there are any; 21 is always reserved
  }
  u64 r = p.physical_address_bits < 52 ? mask(51, p.physical_address_bits) : 0;
  if (p.mode == Mode::pae) r |= mask(62, 52);
  if (!p.nxe) r |= XD;
  if (level == 4) r |= PS;
  if (level == 3 && (e & PS)) r |= p.page_1g ? mask(29, 13) : PS;
  if (level == 2 && (e & PS)) r |= mask(20, 13);
  return r;
}

/// Reserved bits of a PDPTE that is loaded into a register.   SDM 3A "PDPTE Registers"
constexpr u64 pdpte_reserved(unsigned physical_address_bits) { return mask(63, physical_address_bits) | mask(8, 5) | mask(2, 1); }

/// `read(Gpa at, u64& v) -> bool` reads the aligned eight bytes at `at`; false stops the walk (a nested translation failed).
/// `la` is canonical, and below 4 GiB outside 4-level paging.
template <class Read>
Walk walk(const Params& p, u64 la, Read&& read) {
  Walk w;
  unsigned level = p.mode == Mode::level4 ? 4 : 2;
  u64 table = p.mode == Mode::level4 ? p.cr3 & mask(51, 12) : p.cr3 & mask(31, 12);
  if (p.mode == Mode::pae) {
    const u64 e = p.pdpte[la >> 30 & 3];
    if (!(e & P)) return w;
    table = e & mask(51, 12);
  }
  const bool narrow = p.mode == Mode::bits32;
  for (;; --level) {
    const u8 size = narrow ? 4 : 8;
    const Gpa at{table + u64{size} * index(p.mode, la, level)};
    u64 e = 0;
    if (!read(Gpa{at.v & ~u64{7}}, e)) { w.why = Why::read_failed; return w; }
    if (narrow) e = at.v & 4 ? e >> 32 : e & 0xffff'ffff;
    w.step[w.n++] = {static_cast<u8>(level), size, at, e};
    if (!(e & P)) return w;
    if (e & reserved(p, level, e)) { w.why = Why::reserved; return w; }
    w.w = w.w && (e & RW);
    w.u = w.u && (e & US);
    if (!narrow && p.nxe && (e & XD)) w.nx = true;
    if (!(e & A)) w.accessed = false;
    const bool leaf = level == 1 || ((e & PS) && level != 4 && (!narrow || p.pse));
    if (!leaf) { table = e & (narrow ? mask(31, 12) : mask(51, 12)); continue; }
    w.shift = static_cast<u8>(narrow && level == 2 ? 22 : 12 + 9 * (level - 1));
    const u64 low = (u64{1} << w.shift) - 1;
    u64 base = e & mask(51, 12) & ~low;
    if (narrow) base = level == 2 ? (e & mask(31, 22)) | (p.pse36 ? bits(e, 20, 13) << 32 : 0) : e & mask(31, 12);
    w.target = Gpa{base | (la & low)};
    w.dirty = e & D;
    w.global = p.pge && (e & G);
    w.pat_index = static_cast<u8>((e >> 3 & 3) | (bit(e, level == 1 ? 7 : 12) ? 4 : 0));
    w.why = Why::ok;
    return w;
  }
}

}  // namespace vt::cpu::paging
