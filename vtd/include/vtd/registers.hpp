// SPDX-License-Identifier: GPL-2.0-or-later
/// The register file as a table.   VT-d "Register Descriptions"
#pragma once
#include <iterator>

#include "vtd/caps.hpp"

namespace vt::vtd {

/// A register exists if the capabilities have this; else its place is reserved: reads as zero, writes are dropped.
enum class Need : u8 { always, eim, qi, qi_eim, ir, pmr, plmr, phmr, afl };
/// What a write sets going, after the value is stored.
enum class Effect : u8 { none, GCMD, CCMD, FSTS, FECTL, PMEN, IQT, ICS, IECTL, IOTLB, FRCD };

struct Reg {
  const char* name;
  u16 offset;
  u8 size;             ///< 4 or 8
  Need need;
  u64 reset;           ///< VER, CAP and ECAP get theirs from the capabilities
  u64 writable;
  u64 w1c;             ///< write one to clear
  u64 reads_zero;      ///< write-only fields
  bool sticky;         ///< keeps its value over a reset that is not a power-on
  Effect effect;
};

namespace r {  // rows of kRegs, then the two at IRO; fault records follow
enum : unsigned {
  VER, CAP, ECAP, GCMD, GSTS, RTADDR, CCMD, FSTS, FECTL, FEDATA, FEADDR, FEUADDR, AFLOG, PMEN, PLMBASE, PLMLIMIT, PHMBASE, PHMLIMIT,
  IQH, IQT, IQA, ICS, IECTL, IEDATA, IEADDR, IEUADDR, IRTA, IVA, IOTLB, FRCD
};
}

inline constexpr Reg kRegs[] = {
  // name           offset size need          reset        writable                 W1C   reads zero              sticky effect
  {"VER_REG",       0x000, 4, Need::always,   0,           0,                       0,    0,                      false, Effect::none},
  {"CAP_REG",       0x008, 8, Need::always,   0,           0,                       0,    0,                      false, Effect::none},
  {"ECAP_REG",      0x010, 8, Need::always,   0,           0,                       0,    0,                      false, Effect::none},
  {"GCMD_REG",      0x018, 4, Need::always,   0,           0,                       0,    0xffff'ffff,            false, Effect::GCMD},
  {"GSTS_REG",      0x01c, 4, Need::always,   0,           0,                       0,    0,                      false, Effect::none},
  {"RTADDR_REG",    0x020, 8, Need::always,   0,           mask(63, 12),            0,    0,                      false, Effect::none},
  {"CCMD_REG",      0x028, 8, Need::always,   0,           mask(63, 61) | mask(33, 0), 0, mask(33, 16),           false, Effect::CCMD},
  {"FSTS_REG",      0x034, 4, Need::always,   0,           0,                       0x71, 0,                      true,  Effect::FSTS},
  {"FECTL_REG",     0x038, 4, Need::always,   0x8000'0000, 0x8000'0000,             0,    0,                      false, Effect::FECTL},
  {"FEDATA_REG",    0x03c, 4, Need::always,   0,           0x0000'ffff,             0,    0,                      false, Effect::none},
  {"FEADDR_REG",    0x040, 4, Need::always,   0,           0xffff'fffc,             0,    0,                      false, Effect::none},
  {"FEUADDR_REG",   0x044, 4, Need::eim,      0,           0xffff'ffff,             0,    0,                      false, Effect::none},
  {"AFLOG_REG",     0x058, 8, Need::afl,      0,           mask(63, 9),             0,    0,                      false, Effect::none},
  {"PMEN_REG",      0x064, 4, Need::pmr,      0,           0x8000'0000,             0,    0,                      false, Effect::PMEN},
  {"PLMBASE_REG",   0x068, 4, Need::plmr,     0,           mask(31, 21),            0,    0,                      false, Effect::none},
  {"PLMLIMIT_REG",  0x06c, 4, Need::plmr,     0,           mask(31, 21),            0,    0,                      false, Effect::none},
  {"PHMBASE_REG",   0x070, 8, Need::phmr,     0,           mask(63, 21),            0,    0,                      false, Effect::none},
  {"PHMLIMIT_REG",  0x078, 8, Need::phmr,     0,           mask(63, 21),            0,    0,                      false, Effect::none},
  {"IQH_REG",       0x080, 8, Need::qi,       0,           0,                       0,    0,                      false, Effect::none},
  {"IQT_REG",       0x088, 8, Need::qi,       0,           mask(18, 4),             0,    0,                      false, Effect::IQT},
  {"IQA_REG",       0x090, 8, Need::qi,       0,           mask(63, 12) | mask(2, 0), 0,  0,                      false, Effect::none},
  {"ICS_REG",       0x09c, 4, Need::qi,       0,           0,                       0x01, 0,                      true,  Effect::ICS},
  {"IECTL_REG",     0x0a0, 4, Need::qi,       0x8000'0000, 0x8000'0000,             0,    0,                      false, Effect::IECTL},
  {"IEDATA_REG",    0x0a4, 4, Need::qi,       0,           0x0000'ffff,             0,    0,                      false, Effect::none},
  {"IEADDR_REG",    0x0a8, 4, Need::qi,       0,           0xffff'fffc,             0,    0,                      false, Effect::none},
  {"IEUADDR_REG",   0x0ac, 4, Need::qi_eim,   0,           0xffff'ffff,             0,    0,                      false, Effect::none},
  {"IRTA_REG",      0x0b8, 8, Need::ir,       0,           mask(63, 11) | mask(3, 0), 0,  0,                      false, Effect::none},
};
/// VT-d "IOTLB Registers": offsets are from IRO * 16.
inline constexpr Reg kIotlbRegs[] = {
  {"IVA_REG",       0x000, 8, Need::always,   0,           mask(63, 12) | mask(6, 0), 0,  ~u64{0},                false, Effect::none},
  {"IOTLB_REG",     0x008, 8, Need::always,   0,           mask(63, 63) | mask(61, 60) | mask(49, 32), 0, 0,      false, Effect::IOTLB},
};
/// VT-d "Fault Recording Registers": offsets are from FRO * 16 + 16 * record.
inline constexpr Reg kFaultRegs[] = {
  {"FRCD_REG",      0x000, 8, Need::always,   0,           0,                       0,    0,                      true,  Effect::none},
  {"FRCD_REG",      0x008, 8, Need::always,   0,           0,                       mask(63, 63), 0,              true,  Effect::FRCD},
};

/// Sorted, disjoint, aligned; no bit both written and cleared by ones; nothing beyond the register's size.
template <std::size_t N>
constexpr bool well_formed(const Reg (&regs)[N]) {
  unsigned end = 0;
  for (const Reg& x : regs) {
    if (x.size != 4 && x.size != 8) return false;
    if (x.offset % x.size || x.offset < end) return false;
    if (x.writable & x.w1c) return false;
    if (x.size == 4 && ((x.reset | x.writable | x.w1c | x.reads_zero) >> 32)) return false;
    end = x.offset + x.size;
  }
  return end <= kRegisterFile;
}
static_assert(well_formed(kRegs) && well_formed(kIotlbRegs) && well_formed(kFaultRegs));
static_assert(std::size(kRegs) == r::IVA && r::IVA + std::size(kIotlbRegs) == r::FRCD);
static_assert(kRegs[r::GSTS].offset == 0x1c && kRegs[r::FECTL].offset == 0x38 && kRegs[r::PMEN].offset == 0x64 &&
              kRegs[r::IQA].offset == 0x90 && kRegs[r::IRTA].offset == 0xb8);

constexpr bool offered(Need need, const Caps& c) {
  switch (need) {
    case Need::always: return true;
    case Need::eim: return c.extended_interrupt_mode;
    case Need::qi: return c.queued_invalidation;
    case Need::qi_eim: return c.queued_invalidation && c.extended_interrupt_mode;
    case Need::ir: return c.interrupt_remapping;
    case Need::pmr: return c.plmr || c.phmr;
    case Need::plmr: return c.plmr;
    case Need::phmr: return c.phmr;
    case Need::afl: return false;
  }
  return false;
}

/// Name of the register at a fixed offset (any byte of it); null where none is. `Unit::register_name` knows those at IRO and FRO too.
constexpr const char* register_name(u64 offset) {
  for (const Reg& x : kRegs) if (offset >= x.offset && offset < u64{x.offset} + x.size) return x.name;
  return nullptr;
}

namespace gcmd {  // GCMD_REG; GSTS_REG has the status of each at the same place
inline constexpr u32 TE = 1u << 31, SRTP = 1u << 30, SFL = 1u << 29, EAFL = 1u << 28, WBF = 1u << 27, QIE = 1u << 26, IRE = 1u << 25,
                     SIRTP = 1u << 24, CFI = 1u << 23;
}
namespace fsts {
inline constexpr u32 PFO = 1u << 0, PPF = 1u << 1, AFO = 1u << 2, APF = 1u << 3, IQE = 1u << 4, ICE = 1u << 5, ITE = 1u << 6, status = 0x7f;
}
namespace ectl {  // FECTL_REG and IECTL_REG
inline constexpr u32 IM = 1u << 31, IP = 1u << 30;
}

}  // namespace vt::vtd
