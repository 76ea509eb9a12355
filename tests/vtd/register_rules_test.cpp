// SPDX-License-Identifier: GPL-2.0-or-later
/// Registers bit by bit, global commands one at a time, protected memory regions.
#include "machine.hpp"

namespace vt::vtd {
namespace {

Caps all_offered() {
  Caps c;
  c.plmr = c.phmr = c.extended_interrupt_mode = c.write_buffer_flush = true;
  return c;
}

TEST(vtd_rules, reserved_bits_read_as_zero_after_all_ones) {   // VT-d "Register Descriptions"; the host has 46 address bits
  const auto [ver, cap, ecap] = capability_registers(all_offered());
  struct { const char* name; u64 offset; unsigned size; u64 then; } rows[] = {
    {"VER", 0x00, 4, ver}, {"CAP", 0x08, 8, cap}, {"ECAP", 0x10, 8, ecap}, {"GSTS", 0x1c, 4, 0},
    {"RTADDR", 0x20, 8, 0x3fff'ffff'f000}, {"CCMD", 0x28, 8, 0x7800'0000'0000'ffff},     // done: ICC clear, CIRG and CAIG 3; SID, FM write-only
    {"0x30", 0x30, 4, 0}, {"FSTS", 0x34, 4, 0}, {"FECTL", 0x38, 4, 0x8000'0000}, {"FEDATA", 0x3c, 4, 0xffff}, {"FEADDR", 0x40, 4, 0xffff'fffc},
    {"FEUADDR", 0x44, 4, 0xffff'ffff}, {"0x48", 0x48, 8, 0}, {"0x50", 0x50, 8, 0}, {"AFLOG", 0x58, 8, 0}, {"0x60", 0x60, 4, 0},
    {"PMEN", 0x64, 4, 0x8000'0001}, {"PLMBASE", 0x68, 4, 0xffe0'0000}, {"PLMLIMIT", 0x6c, 4, 0xffe0'0000},
    {"PHMBASE", 0x70, 8, 0x3fff'ffe0'0000}, {"PHMLIMIT", 0x78, 8, 0x3fff'ffe0'0000}, {"IQH", 0x80, 8, 0}, {"IQT", 0x88, 8, 0x7'fff0},
    {"IQA", 0x90, 8, 0x3fff'ffff'f007}, {"0x98", 0x98, 4, 0}, {"ICS", 0x9c, 4, 0}, {"IECTL", 0xa0, 4, 0x8000'0000}, {"IEDATA", 0xa4, 4, 0xffff},
    {"IEADDR", 0xa8, 4, 0xffff'fffc}, {"IEUADDR", 0xac, 4, 0xffff'ffff}, {"0xb0", 0xb0, 8, 0}, {"IRTA", 0xb8, 8, 0x3fff'ffff'f80f}, {"0xc0", 0xc0, 8, 0},
    {"IVA", 0x100, 8, 0}, {"IOTLB", 0x108, 8, 0x3603'ffff'0000'0000}, {"FRCD, low", 0x220, 8, 0}, {"FRCD, high", 0x228, 8, 0}, {"0x230", 0x230, 8, 0},
  };
  for (auto& r : rows)
    for (bool halves : {false, true}) {
      Machine m(all_offered());
      if (r.size == 4) {
        m.w32(r.offset, ~u32{0});
        EXPECT_EQ(m.r32(r.offset), r.then) << r.name;
      } else {
        if (halves) m.w32(r.offset, ~u32{0}), m.w32(r.offset + 4, ~u32{0});
        else m.w64(r.offset, ~u64{0});
        EXPECT_EQ(m.r64(r.offset), r.then) << r.name << halves;
      }
      tested("VT-d register", std::string(r.name).substr(0, std::string(r.name).find(',')) + "_REG");
    }
}

TEST(vtd_rules, global_commands_one_at_a_time) {   // VT-d "Global Command Register", "Global Status Register"
  struct { const char* name; u32 bit, status; } rows[] = {
    {"TE", gcmd::TE, gcmd::TE}, {"SRTP", gcmd::SRTP, gcmd::SRTP}, {"QIE", gcmd::QIE, gcmd::QIE}, {"IRE", gcmd::IRE, gcmd::IRE},
    {"SIRTP", gcmd::SIRTP, gcmd::SIRTP}, {"CFI", gcmd::CFI, gcmd::CFI},
    {"SFL, not offered", gcmd::SFL, 0}, {"EAFL, not offered", gcmd::EAFL, 0}, {"WBF, done at once", gcmd::WBF, 0}, {"reserved", 0x007f'ffff, 0},
  };
  for (auto& r : rows) {
    Machine m(all_offered());
    m.w32(0x18, r.bit);
    EXPECT_EQ(m.r32(0x1c), r.status) << r.name;
    EXPECT_EQ(m.r32(0x18), 0u) << r.name;
    tested("VT-d register", "GCMD_REG");
    m.w32(0x18, 0);                                            // switches go off; what was done once stays told
    EXPECT_EQ(m.r32(0x1c), r.status & (gcmd::SRTP | gcmd::SIRTP)) << r.name;
  }
  // One after the other, status with one more bit: none disturbs another.
  Machine m(all_offered());
  u32 want = 0;
  for (auto& r : rows) {
    m.command(r.bit);
    EXPECT_EQ(m.r32(0x1c), want |= r.status) << r.name;
  }
  for (u32 b : {gcmd::CFI, gcmd::TE, gcmd::IRE, gcmd::QIE}) {
    m.w32(0x18, m.r32(0x1c) & ~b);
    EXPECT_EQ(m.r32(0x1c), want &= ~b);
  }
}

TEST(vtd_rules, a_write_buffer_flush_changes_nothing_else) {   // VT-d "Write Buffer Flushing", with RWBF and without
  for (bool rwbf : {false, true}) {
    Caps c;
    c.write_buffer_flush = rwbf;
    Machine m(c);
    m.tables();
    u64 pte = m.map(0x5000, 0x9003);
    m.enable();
    m.dma(0x5000);
    const u32 before = m.r32(0x1c);
    m.put(pte, 0xa003);
    m.command(gcmd::WBF);
    EXPECT_EQ(m.r32(0x1c), before);
    EXPECT_EQ(m.dma(0x5000).at.v, 0x9000u);                    // it is no invalidation
    EXPECT_EQ(bit(m.r64(0x08), 4), rwbf);
  }
}

TEST(vtd_rules, the_record_index_starts_over_only_when_all_is_off) {   // VT-d "Primary Fault Logging"
  for (u32 stays : {gcmd::TE, gcmd::IRE, 0u}) {
    Caps c;
    c.fault_records = 3;
    Machine m(c);
    m.tables(), m.enable(), m.enable_queue();
    m.w64(0xb8, kIrt | 7), m.command(gcmd::SIRTP), m.command(gcmd::IRE);
    m.dma(0x1000);
    m.w32(0x22c, 0x8000'0000);
    m.w32(0x18, m.r32(0x1c) & ~((gcmd::TE | gcmd::IRE) & ~stays));
    m.command(gcmd::TE);
    m.dma(0x2000);
    EXPECT_EQ(m.unit.fault_record(stays ? 1 : 0).page(), 0x2000u) << std::hex << stays;
    EXPECT_EQ(m.r32(0x34), stays ? 0x102u : 2u);
  }
}

struct Region { u32 low, low_limit; u64 high, high_limit; };
TEST(vtd_rules, protected_regions) {   // VT-d "Protected Memory Enable Register" and the base and limit registers
  struct { const char* name; Region r; u64 at; bool blocked; } rows[] = {
    {"both at 0",           {0, 0, 0, 0}, 0, true},
    {"both at 0, its end",  {0, 0, 0, 0}, 0x1f'ffff, true},
    {"both at 0, beyond",   {0, 0, 0, 0}, 0x20'0000, false},
    {"low, before",         {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, 0x3f'f000, false},
    {"low, first byte",     {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, 0x40'0000, true},
    {"low, last byte",      {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, 0x7f'ffff, true},
    {"low, after",          {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, 0x80'0000, false},
    {"high, before",        {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, (1ull << 33) - 1, false},
    {"high, first byte",    {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, 1ull << 33, true},
    {"high, last byte",     {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, (1ull << 33) + 0x1f'ffff, true},
    {"high, after",         {0x40'0000, 0x60'0000, 1ull << 33, 1ull << 33}, (1ull << 33) + 0x20'0000, false},
    {"low, limit below",    {0x60'0000, 0x40'0000, 1ull << 33, 1ull << 33}, 0x60'0000, false},
    {"high, limit below",   {0x40'0000, 0x60'0000, 1ull << 34, 1ull << 33}, 1ull << 34, false},
    {"not aligned: 2 MiB",  {0x5f'ffff, 0x5f'ffff, 1ull << 33, 1ull << 33}, 0x40'0000, true},
    {"low up to 4 GiB",     {0xffe0'0000, 0xffe0'0000, 1ull << 33, 1ull << 33}, 0xffff'ffff, true},
    {"low and high meet",   {0x40'0000, 0x60'0000, 0x80'0000, 0x80'0000}, 0x80'0000, true},
    {"low and high overlap", {0x40'0000, 0x60'0000, 0x60'0000, 0x80'0000}, 0x70'0000, true},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.name);
    Machine m(all_offered());
    m.w32(0x68, r.r.low), m.w32(0x6c, r.r.low_limit), m.w64(0x70, r.r.high), m.w64(0x78, r.r.high_limit);
    // Pass-through for one device, tables that map the address to itself for the other.
    m.root_entry(kContext | 1), m.context_entry(9, 0x502), m.context_entry(kTop | 1, 0x602, Bdf(0, 5, 0));
    m.map(r.at & ~u64{0xfff}, (r.at & ~u64{0xfff}) | 3);
    auto both = [&](bool ok) {
      for (Access a : {access::read, access::write}) {
        auto t = m.dma(r.at, a);
        EXPECT_EQ(t.ok, ok);
        EXPECT_EQ(t.fault_reason, 0);
        if (ok) { EXPECT_EQ(t.at.v, r.at); }
      }
    };
    both(true);
    m.w32(0x64, 0x8000'0000);
    EXPECT_EQ(m.r32(0x64), 0x8000'0001u);
    both(!r.blocked);
    m.enable();
    both(!r.blocked);                                          // pass-through
    EXPECT_TRUE(m.dma(r.at, access::write, Bdf(0, 5, 0)).ok);    // what is translated is the tables' matter
    m.w32(0x64, 0);
    EXPECT_EQ(m.r32(0x64), 0u);
    both(true);
    EXPECT_EQ(m.r32(0x34), 0u);                                // never recorded
    EXPECT_EQ(m.unit.statistics().faults, 0u);
  }
}

TEST(vtd_rules, protected_regions_do_not_hide_the_units_own_tables) {   // "not subject to protected memory region checks"
  Machine m(all_offered());
  m.tables(), m.map(0x40'0000, 0x40'0003);
  m.w32(0x68, 0), m.w32(0x6c, 0), m.w32(0x64, 0x8000'0000);
  m.enable(), m.enable_queue();
  EXPECT_TRUE(m.dma(0x40'0000).ok);
  m.submit(descriptor::wait_status(kStatus, 3));
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 3u);
}

TEST(vtd_rules, one_region_without_the_other) {   // VT-d "Capability Register": PLMR, PHMR
  for (bool low : {false, true}) {
    Caps c;
    (low ? c.plmr : c.phmr) = true;
    Machine m(c);
    m.w32(0x68, 0x40'0000), m.w32(0x6c, 0x40'0000), m.w64(0x70, u64{1} << 32), m.w64(0x78, u64{1} << 32), m.w32(0x64, 0x8000'0000);
    EXPECT_EQ(m.dma(0x40'0000).ok, !low);
    EXPECT_EQ(m.dma(u64{1} << 32).ok, low);
    EXPECT_TRUE(m.dma(0).ok);                                   // the one that is not there protects nothing
  }
}

TEST(vtd_rules, events_are_sent_once_and_as_programmed) {   // VT-d "Fault Event Control Register", "Invalidation Event Control Register"
  Machine m(all_offered());
  m.tables(), m.enable(), m.enable_queue();
  m.w32(0x3c, 0xffff'4041), m.w32(0x40, 0xfee0'1003), m.w32(0x44, 0x12), m.w32(0xa4, 0x52), m.w32(0xa8, 0xfee0'2000), m.w32(0xac, 0x34);
  m.dma(0x1000), m.submit(descriptor::wait_interrupt());
  EXPECT_TRUE(m.out.messages.empty());
  for (int i = 0; i < 3; ++i) m.w32(0x38, 0), m.w32(0xa0, 0);
  ASSERT_EQ(m.out.messages.size(), 2u);
  EXPECT_EQ(m.out.messages[0], (std::pair<u64, u32>{0x12'fee0'1000, 0x4041}));
  EXPECT_EQ(m.out.messages[1], (std::pair<u64, u32>{0x34'fee0'2000, 0x52}));
  EXPECT_EQ(m.r32(0x9c), 1u);                                   // sending it completes nothing for software
  m.w32(0x9c, 0xffff'fffe);
  EXPECT_EQ(m.r32(0x9c), 1u);
  m.w32(0x9c, 1);
  EXPECT_EQ(m.r32(0x9c), 0u);
}

}  // namespace
}  // namespace vt::vtd
