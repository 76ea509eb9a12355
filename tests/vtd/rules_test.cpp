// SPDX-License-Identifier: GPL-2.0-or-later
/// Tables of the specification's rules: a row for each fault reason, each invalidation and each register.
#include <set>

#include "machine.hpp"

namespace vt::vtd {
namespace {

constexpr u64 kNowhere = 0x300'0000;      ///< no memory answers here
const Bdf kOther{0, 5, 0};                ///< of domain 6, tables at kTop2
constexpr u64 kTop2 = 0x180000;
constexpr u16 kAlien = 0x1234;            ///< a requester that no interrupt entry names

u64 message(u32 handle, bool shv = false) { return 0xfee00010 | u64{handle & 0x7fff} << 5 | u64{handle >> 15} << 2 | u64{shv} << 3; }

/// Everything on, with room for records: DMA remapping as in `tables`, an interrupt table of 256 entries, the queue.
struct Running : Machine {
  explicit Running(Caps c = {}) : Machine(c) {
    tables();
    unmask_faults();
    if (caps.queued_invalidation) enable_queue();
    if (caps.interrupt_remapping) w64(0xb8, kIrt | 7), command(gcmd::SIRTP), command(gcmd::IRE);
    enable();
  }
  void irte(u32 index, u64 lo, u64 hi = 0) { put(kIrt + 16 * index, lo), put(kIrt + 16 * index + 8, hi); }
  void devices_tables(u64 top, u64 fpd, u64 hi = domain << 8 | 2) { context_entry(top | 1 | fpd << 1, hi); }
};

Caps with(auto f) { Caps c; f(c); return c; }
Caps records(unsigned n) { return with([n](Caps& c) { c.fault_records = n, c.fault_offset = 0x200, c.iotlb_offset = 0x100; }); }

// ---------------------------------------------------------------- fault reasons

/// A request that must be refused for `reason`. `prepare` sets FPD wherever an entry has one.
struct Provocation {
  u8 reason;
  const char* how;
  void (*prepare)(Running&, u64 fpd);
  u64 at;                 ///< DMA address, or the message's address
  Access want = access::read;
  u32 data = 0;           ///< of the message
  bool index_is_told = true;
};
using R = Running;
constexpr u64 kFpdBit = 2;
const Provocation kProvocations[] = {
  {0x01, "root entry clear",            [](R& m, u64) { m.root_entry(0); }, 0x5000},
  {0x01, "root entry, all but P",       [](R& m, u64) { m.root_entry(~u64{1}, ~u64{0}); }, 0x5000, access::write},
  {0x02, "context entry clear",         [](R& m, u64 f) { m.context_entry(f * kFpdBit, 0); }, 0x5000},
  {0x02, "context entry, all but P",    [](R& m, u64 f) { m.context_entry(~u64{3} | f * kFpdBit, ~u64{0}); }, 0x5000, access::write},
  {0x03, "AW of 3 levels, not offered", [](R& m, u64 f) { m.devices_tables(kTop, f, 0x501); }, 0x5000},
  {0x03, "AW of 2 levels",              [](R& m, u64 f) { m.devices_tables(kTop, f, 0x500); }, 0x5000},
  {0x03, "AW reserved",                 [](R& m, u64 f) { m.devices_tables(kTop, f, 0x507); }, 0x5000, access::write},
  {0x03, "TT device-TLB, not offered",  [](R& m, u64 f) { m.devices_tables(kTop | 4, f); }, 0x5000},
  {0x03, "TT reserved",                 [](R& m, u64 f) { m.devices_tables(kTop | 12, f); }, 0x5000},
  {0x03, "tables in no memory",         [](R& m, u64 f) { m.devices_tables(kNowhere, f); }, 0x5000},
  {0x04, "first address beyond AW",     [](R& m, u64 f) { m.devices_tables(kTop, f); }, u64{1} << 48},
  {0x04, "highest address",             [](R& m, u64 f) { m.devices_tables(kTop, f); }, ~u64{0xfff}, access::write},
  {0x04, "beyond AW, pass-through",     [](R& m, u64 f) { m.devices_tables(8, f); }, u64{1} << 48},
  {0x04, "beyond HAW, pass-through",    [](R& m, u64 f) { m.devices_tables(8, f); }, u64{1} << 46, access::write},
  {0x05, "write to read-only",          [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, 0x9001); }, 0x5abc, access::write},
  {0x05, "write to nothing",            [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, 0); }, 0x5abc, access::write},
  {0x05, "write, no W above the leaf",  [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, 0x9003), m.put(kTop, m.get(kTop) & ~u64{2}); }, 0x5abc, access::write},
  {0x06, "read of write-only",          [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, 0x9002); }, 0x5abc},
  {0x06, "read of nothing",             [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, 0x9ff8); }, 0x5abc},
  {0x06, "zero-length read of nothing", [](R& m, u64 f) { m.devices_tables(kTop, f); }, 0x5abc, access::none},
  {0x07, "third table in no memory",    [](R& m, u64 f) { m.devices_tables(kTop, f), m.put(kTop, kNowhere | 3); }, 0x5abc},
  {0x07, "last table in no memory",     [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0, kNowhere | 3, 2); }, 0x5abc, access::write},
  {0x08, "root table in no memory",     [](R& m, u64) { m.w64(0x20, kNowhere), m.command(gcmd::SRTP); }, 0x5abc},
  {0x09, "context table in no memory",  [](R& m, u64) { m.root_entry(kNowhere | 1); }, 0x5abc, access::write},
  {0x0a, "root entry, bit 1",           [](R& m, u64) { m.root_entry(kContext | 3); }, 0x5abc},
  {0x0a, "root entry, bit 64",          [](R& m, u64) { m.root_entry(kContext | 1, 1); }, 0x5abc},
  {0x0a, "root entry, bit 127",         [](R& m, u64) { m.root_entry(kContext | 1, u64{1} << 63); }, 0x5abc},
  {0x0a, "context table above HAW",     [](R& m, u64) { m.root_entry(u64{1} << 46 | 1); }, 0x5abc},
  {0x0b, "context entry, bit 4",        [](R& m, u64 f) { m.devices_tables(kTop | 0x10, f); }, 0x5abc},
  {0x0b, "context entry, bit 11",       [](R& m, u64 f) { m.devices_tables(kTop | 0x800, f); }, 0x5abc, access::write},
  {0x0b, "tables above HAW",            [](R& m, u64 f) { m.devices_tables(u64{1} << 46, f); }, 0x5abc},
  {0x0b, "context entry, bit 71",       [](R& m, u64 f) { m.devices_tables(kTop, f, 0x582); }, 0x5abc},
  {0x0b, "context entry, bit 88",       [](R& m, u64 f) { m.devices_tables(kTop, f, 0x100'0502); }, 0x5abc},
  {0x0c, "leaf above HAW",              [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, u64{1} << 46 | 3); }, 0x5abc},
  {0x0c, "TM without device-TLBs",      [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, u64{1} << 62 | 0x9003); }, 0x5abc, access::write},
  {0x0c, "superpage not aligned",       [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0, 0x10'0083, 2); }, 0x5abc},
  {0x0c, "SNP in a table entry",        [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0, 0x9803, 3); }, 0x5abc},
  {0x0c, "SP in the top entry",         [](R& m, u64 f) { m.devices_tables(kTop, f), m.put(kTop, 0x83); }, 0x5abc},
  {0x0e, "leaf maps 0xfee00000",        [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, 0xfee0'0003); }, 0x5abc, access::write},
  {0x0e, "leaf maps 0xfeeff000",        [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0x5000, 0xfeef'f003); }, 0x5abc},
  {0x0e, "inside a superpage",          [](R& m, u64 f) { m.devices_tables(kTop, f), m.map(0, 0xc000'0083, 3); }, 0x3ee0'0000},
  {0x20, "SHV with data above 16 bits", [](R& m, u64) { m.irte(5, 1); }, message(5, true), access::write, 0x1'0000},
  {0x21, "first index beyond",          [](R&, u64) {}, message(256), access::write},
  {0x21, "handle's bit 15",             [](R& m, u64) { m.irte(5, 1); }, message(0x8005), access::write},
  {0x21, "with the subhandle",          [](R& m, u64) { m.irte(0, 1); }, message(255, true), access::write, 1},
  {0x21, "entry above HAW",             [](R& m, u64) { m.w64(0xb8, (u64{1} << 46) - 0x1000 + 15), m.command(gcmd::SIRTP); }, message(256), access::write},
  {0x22, "entry clear",                 [](R& m, u64 f) { m.irte(5, f * kFpdBit); }, message(5), access::write},
  {0x22, "entry, all but P",            [](R& m, u64 f) { m.irte(5, ~u64{3} | f * kFpdBit, ~u64{0}); }, message(5), access::write},
  {0x23, "table in no memory",          [](R& m, u64) { m.w64(0xb8, kNowhere | 7), m.command(gcmd::SIRTP); }, message(5), access::write},
  {0x24, "bit 12",                      [](R& m, u64 f) { m.irte(5, 0x1001 | f * kFpdBit); }, message(5), access::write},
  {0x24, "IM: posting is not offered",  [](R& m, u64 f) { m.irte(5, 0x8001 | f * kFpdBit); }, message(5), access::write},
  {0x24, "bit 31",                      [](R& m, u64 f) { m.irte(5, 0x8000'0001 | f * kFpdBit); }, message(5), access::write},
  {0x24, "destination 7:0, xAPIC",      [](R& m, u64 f) { m.irte(5, u64{1} << 32 | 1 | f * kFpdBit); }, message(5), access::write},
  {0x24, "destination 16, xAPIC",       [](R& m, u64 f) { m.irte(5, u64{1} << 48 | 1 | f * kFpdBit); }, message(5), access::write},
  {0x24, "delivery mode 3",             [](R& m, u64 f) { m.irte(5, 0x61 | f * kFpdBit); }, message(5), access::write},
  {0x24, "SVT 3",                       [](R& m, u64 f) { m.irte(5, 1 | f * kFpdBit, 0xc'0000); }, message(5), access::write},
  {0x24, "bit 84",                      [](R& m, u64 f) { m.irte(5, 1 | f * kFpdBit, u64{1} << 20); }, message(5), access::write},
  {0x25, "CFI clear",                   [](R&, u64) {}, 0xfee0'1000, access::write, 0x41, false},
  {0x26, "SVT 1, another requester",    [](R& m, u64 f) { m.irte(5, 1 | f * kFpdBit, 0x4'0000 | kAlien); }, message(5), access::write},
  {0x26, "before reserved fields",      [](R& m, u64 f) { m.irte(5, 0x1001 | f * kFpdBit, 0x4'0000 | kAlien); }, message(5), access::write},
  {0x26, "SVT 2, another bus",          [](R& m, u64 f) { m.irte(5, 1 | f * kFpdBit, 0x8'0000 | 0x0203); }, message(5), access::write},
};

TEST(vtd_rules, every_modelled_fault_reason_is_provoked) {   // VT-d "Fault Reason Encodings"
  std::set<u8> provoked;
  for (const Provocation& p : kProvocations) provoked.insert(p.reason);
  u8 last = 0;
  for (const FaultReason& f : kFaultReasons) {
    EXPECT_GT(f.code, last);
    last = f.code;
    EXPECT_EQ(provoked.contains(f.code), !f.absent) << std::hex << unsigned{f.code};
    EXPECT_STREQ(fault_text(f.code), f.text);
  }
  EXPECT_EQ(provoked.size() + 3, std::size(kFaultReasons));       // all but 0DH, 27H and 28H
  EXPECT_STREQ(fault_text(0x0f), "unknown fault reason");
}

TEST(vtd_rules, provocations_are_recorded_unless_FPD_and_qualified) {   // VT-d "Non-Recoverable Fault Conditions", "Fault Recording Registers"
  const std::set<u8> always = {0x01, 0x08, 0x09, 0x0a, 0x20, 0x21, 0x23, 0x25};     // "Qualified: No"
  for (const Provocation& p : kProvocations)
    for (u64 fpd : {0, 1}) {
      SCOPED_TRACE(testing::Message() << std::hex << unsigned{p.reason} << "H " << p.how << (fpd ? ", FPD" : ""));
      Running m;
      p.prepare(m, fpd);
      u8 got;
      bool ok;
      if (p.reason >= 0x20) {
        auto i = m.unit.remap(m.dev, p.at, p.data);
        got = i.fault_reason, ok = i.ok;
      } else {
        auto t = m.dma(p.at, p.want);
        got = t.fault_reason, ok = t.ok;
      }
      EXPECT_FALSE(ok);
      EXPECT_EQ(got, p.reason);
      tested("VT-d fault reason", p.reason);
      const bool recorded = !fpd || always.contains(p.reason);
      EXPECT_EQ(qualified(p.reason), !always.contains(p.reason));
      EXPECT_EQ(m.out.count(EventKind::vtd_fault), 1u);
      EXPECT_EQ(m.unit.statistics().faults, 1u);
      EXPECT_EQ(m.unit.statistics().faults_not_recorded, recorded ? 0u : 1u);
      EXPECT_EQ(m.r32(0x34), recorded ? fsts::PPF : 0u);
      EXPECT_EQ(m.out.messages.size(), recorded ? 1u : 0u);
      if (!recorded) { EXPECT_EQ(m.r64(0x228), 0u); continue; }
      const bool interrupt = p.reason >= 0x20;
      const bool read = !interrupt && p.want != access::write;
      EXPECT_EQ(m.r64(0x228), u64{1} << 63 | u64{read} << 62 | u64{p.reason} << 32 | m.dev.v);
      if (!interrupt) {
        EXPECT_EQ(m.r64(0x220), p.at & ~u64{0xfff});
      } else if (p.index_is_told) {
        const u64 index = bits(p.at, 19, 5) | u64{bit(p.at, 2)} << 15;
        EXPECT_EQ(m.r64(0x220), (index + (bit(p.at, 3) ? p.data & 0xffff : 0)) << 48);
      }
    }
}

/// The same condition met again must be met again: no cache may turn a fault into a success (CM clear) or lose it (CM set).
TEST(vtd_rules, provocations_repeat_with_and_without_caching_mode) {   // VT-d "Caching Mode"
  for (const Provocation& p : kProvocations)
    for (bool cm : {false, true}) {
      SCOPED_TRACE(testing::Message() << std::hex << unsigned{p.reason} << "H " << p.how << (cm ? ", CM" : ""));
      Running m(with([cm](Caps& c) { c.caching_mode = cm; }));
      p.prepare(m, 0);
      for (int i = 0; i < 3; ++i)
        EXPECT_EQ(p.reason >= 0x20 ? m.unit.remap(m.dev, p.at, p.data).fault_reason : m.dma(p.at, p.want).fault_reason, p.reason);
      EXPECT_EQ(m.unit.statistics().faults, 3u);
    }
}

TEST(vtd_rules, only_what_succeeded_is_cached_without_CM) {   // VT-d "Details of IOTLB Use", "Interrupt Entry Cache"
  for (bool cm : {false, true}) {
    Running m(with([cm](Caps& c) { c.caching_mode = cm; }));
    u64 pte = m.map(0x5000, 0x9001);
    EXPECT_EQ(m.dma(0x5000, access::write).fault_reason, 5);
    m.put(pte, 0x9003);
    EXPECT_EQ(m.dma(0x5000, access::write).ok, !cm);
    m.submit(descriptor::iotlb(Granularity::specific, 5, 0x5000));
    EXPECT_TRUE(m.dma(0x5000, access::write).ok);
    m.context_entry(kNowhere | 1, 0x802, Bdf(0, 6, 0));                  // reason 3: so its context entry is not kept either
    EXPECT_EQ(m.dma(0x5000, access::read, Bdf(0, 6, 0)).fault_reason, 3);
    m.context_entry(kTop | 1, 0x802, Bdf(0, 6, 0));
    EXPECT_EQ(m.dma(0x5000, access::read, Bdf(0, 6, 0)).ok, !cm);
    m.irte(5, 1, 0x4'0000 | kAlien);
    EXPECT_EQ(m.unit.remap(m.dev, message(5), 0).fault_reason, 0x26);
    m.irte(5, 1, 0x4'0000 | m.dev.v);
    EXPECT_EQ(m.unit.remap(m.dev, message(5), 0).ok, !cm);
    m.submit(descriptor::interrupt_entries(5, 0));
    EXPECT_TRUE(m.unit.remap(m.dev, message(5), 0).ok);
  }
}

TEST(vtd_rules, interrupt_range_behind_a_cached_superpage_is_refused) {   // VT-d "Handling Requests to Interrupt Address Range"
  Running m;
  m.map(0, 0xc000'0083, 3);
  EXPECT_TRUE(m.dma(0x1000).ok);                               // now the whole superpage is in the IOTLB
  EXPECT_TRUE(m.dma(0x3edf'f000, access::write).from_iotlb);
  for (u64 at : {0x3ee0'0000, 0x3eef'fffc}) {
    auto t = m.dma(at, access::write);
    EXPECT_FALSE(t.ok);
    EXPECT_EQ(t.fault_reason, fault::output_in_interrupt_range);
  }
  EXPECT_EQ(m.dma(0x3ef0'0000).at.v, 0xfef0'0000u);
}

TEST(vtd_rules, a_translation_ends_before_the_interrupt_range) {
  Running m;
  m.map(0, 0xc000'0083, 3), m.map(0xc000'0000, 0x83, 3);
  for (int again : {0, 1}) {
    EXPECT_EQ(m.dma(0x3edf'f000).bytes_left, 0x1000u) << again;         // its target comes to the range
    EXPECT_EQ(m.dma(0xfedf'f800).bytes_left, 0x800u) << again;          // the address itself does
    EXPECT_EQ(m.dma(0xfef0'0000).bytes_left, 0x110'0000u) << again;
  }
}

// ---------------------------------------------------------------- fault logging

TEST(vtd_rules, repeated_faults_of_one_source_fill_all_records) {   // VT-d "Primary Fault Logging": collapsing them is optional
  Running m(records(4));
  for (unsigned i = 0; i < 4; ++i) m.dma(0x7000);
  EXPECT_EQ(m.r32(0x34), fsts::PPF);
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(m.r64(0x208 + 16 * i), 0xc000'0006'0000'0000u | m.dev.v);
  m.dma(0x7000);
  EXPECT_EQ(m.r32(0x34), fsts::PPF | fsts::PFO);
  EXPECT_EQ(m.out.messages.size(), 1u);                       // one condition in all
}

TEST(vtd_rules, records_of_several_sources_keep_their_order) {
  Running m(records(4));
  m.dma(0x1000), m.dma(0x2000, access::write, kOther), m.unit.remap(kOther, message(300), 0), m.unit.remap(m.dev, 0xfee01000, 0);
  const u64 want[][2] = {{0x1000, 0xc000'0006'0000'0000 | m.dev.v}, {0x2000, 0x8000'0002'0000'0000 | kOther.v},
                         {u64{300} << 48, 0x8000'0021'0000'0000 | kOther.v}, {0, 0x8000'0025'0000'0000 | m.dev.v}};
  for (unsigned i = 0; i < 4; ++i) {
    EXPECT_EQ(m.r64(0x200 + 16 * i), want[i][0]) << i;
    EXPECT_EQ(m.r64(0x208 + 16 * i), want[i][1]) << i;
  }
}

TEST(vtd_rules, nothing_is_recorded_between_overflow_and_its_clearing) {   // VT-d "Primary Fault Logging"
  Running m(records(2));
  m.dma(0x1000), m.dma(0x2000), m.dma(0x3000);
  EXPECT_EQ(m.r32(0x34), fsts::PPF | fsts::PFO);
  m.w32(0x20c, 0x8000'0000), m.w32(0x21c, 0x8000'0000);
  EXPECT_EQ(m.r32(0x34), fsts::PFO);                          // PPF is the records' alone
  m.dma(0x4000);
  EXPECT_EQ(m.r32(0x34), fsts::PFO);
  m.w32(0x34, fsts::PFO);
  m.dma(0x5000);
  EXPECT_EQ(m.r32(0x34), fsts::PPF);
  EXPECT_EQ(m.r64(0x200), 0x5000u);
  EXPECT_EQ(m.out.messages.size(), 2u);
}

TEST(vtd_rules, a_record_is_kept_until_its_F_is_cleared) {
  Running m(records(2));
  m.dma(0x1000);
  const u64 hi = m.r64(0x208);
  m.w64(0x200, 0), m.w64(0x208, ~(u64{1} << 63)), m.w32(0x208, ~u32{0}), m.w32(0x34, fsts::PPF);
  EXPECT_EQ(m.r64(0x200), 0x1000u);
  EXPECT_EQ(m.r64(0x208), hi);
  EXPECT_EQ(m.r32(0x34), fsts::PPF);                          // not cleared by a write of its own
  m.w64(0x208, hi);
  EXPECT_EQ(m.r64(0x208) >> 63, 0u);
  EXPECT_EQ(m.r32(0x34), 0u);
}

TEST(vtd_rules, a_further_status_bit_is_no_new_condition) {   // VT-d "Fault Event Control Register": IP
  Running m;
  m.dma(0x7000);
  EXPECT_EQ(m.out.messages.size(), 1u);
  m.submit({0, 0});
  EXPECT_EQ(m.r32(0x34), fsts::PPF | fsts::IQE);
  EXPECT_EQ(m.out.messages.size(), 1u);
  m.w32(0x22c, 0x8000'0000);
  m.dma(0x7000);                                              // IQE still stands
  EXPECT_EQ(m.out.messages.size(), 1u);
  m.put(kQueue, 0x11), m.put(kQueue + 8, 0);
  m.w32(0x34, fsts::IQE), m.w32(0x22c, 0x8000'0000);
  EXPECT_EQ(m.r32(0x34), 0u);
  m.dma(0x7000);
  EXPECT_EQ(m.out.messages.size(), 2u);
}

TEST(vtd_rules, a_held_message_waits_for_all_status_bits) {
  Running m;
  m.w32(0x38, 0x8000'0000);
  m.dma(0x7000), m.submit({0, 0});
  EXPECT_EQ(m.r32(0x38), 0xc000'0000u);
  m.w32(0x22c, 0x8000'0000);
  EXPECT_EQ(m.r32(0x38), 0xc000'0000u);                       // IQE is not serviced
  m.put(kQueue, 0x11);
  m.w32(0x34, fsts::IQE);
  EXPECT_EQ(m.r32(0x38), 0x8000'0000u);
  m.w32(0x38, 0);
  EXPECT_TRUE(m.out.messages.empty());
}

}  // namespace
}  // namespace vt::vtd
