// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine.hpp"

namespace vt::vtd {
namespace {

TEST(vtd_dma, identity_while_disabled) {
  Machine m;
  auto t = m.dma(0x12345, access::write);
  EXPECT_TRUE(t.ok);
  EXPECT_EQ(t.at.v, 0x12345u);
  EXPECT_EQ(t.bytes_left, 0xcbbu);
}

TEST(vtd_dma, translates_and_tells_the_rest_of_the_page) {
  Machine m;
  m.tables(), m.map(0x5000, 0x9003), m.map(0x4000'0000, 0x60'0083, 2), m.enable();
  auto t = m.dma(0x5f00);
  EXPECT_TRUE(t.ok);
  EXPECT_EQ(t.at.v, 0x9f00u);
  EXPECT_EQ(t.bytes_left, 0x100u);
  EXPECT_FALSE(t.from_iotlb);
  t = m.dma(0x4000'1000, access::write);
  EXPECT_EQ(t.at.v, 0x60'1000u);
  EXPECT_EQ(t.bytes_left, 0x1f'f000u);
  t = m.dma(0x401f'ffff, access::write);
  EXPECT_TRUE(t.from_iotlb);
  EXPECT_EQ(t.at.v, 0x7f'ffffu);
  EXPECT_EQ(t.bytes_left, 1u);
}

TEST(vtd_dma, pass_through) {   // VT-d "Context Entry": TT 10b
  Machine m;
  m.root_entry(kContext | 1), m.context_entry(9, 0x502), m.enable();
  EXPECT_EQ(m.dma(0x1234'5678).at.v, 0x1234'5678u);
  EXPECT_EQ(m.dma(u64{1} << 48).fault_reason, 4);
  Caps c;
  c.phmr = true;
  Machine n(c);
  n.root_entry(kContext | 1), n.context_entry(9, 0x502), n.enable();
  n.w64(0x70, u64{1} << 32), n.w64(0x78, u64{1} << 32), n.w32(0x64, 0x8000'0000);
  EXPECT_FALSE(n.dma(u64{1} << 32).ok);
  EXPECT_EQ(n.r32(0x34), 0u);
}

TEST(vtd_dma, interrupt_range_is_never_remapped) {   // VT-d "Handling Requests to Interrupt Address Range"
  Machine m;
  m.tables(), m.map(0xfee00000, 0x9003), m.enable();
  auto t = m.dma(0xfee00000);
  EXPECT_FALSE(t.ok);
  EXPECT_EQ(t.fault_reason, 0);
  EXPECT_EQ(m.r32(0x34), 0u);
  EXPECT_EQ(m.dma(0xfef00000).fault_reason, 6);
}

struct FaultCase { const char* name; void (*prepare)(Machine&); u64 at; Access want; u8 reason; bool qualified; };
const FaultCase kFaults[] = {
  {"root not present", [](Machine& m) { m.context_entry(kTop | 3, 0x502); }, 0x5000, access::read, 0x01, false},
  {"context not present", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(2, 0x502); }, 0x5000, access::read, 0x02, true},
  {"context invalid", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 3, 0x501); }, 0x5000, access::write, 0x03, true},
  {"beyond width", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 3, 0x502); }, u64{1} << 48 | 0x5000, access::read, 0x04, true},
  {"write", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 3, 0x502), m.map(0x5000, 0x9001); }, 0x5123, access::write, 0x05, true},
  {"read", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 3, 0x502); }, 0x5123, access::read, 0x06, true},
  {"next table", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 3, 0x502), m.put(kTop, 0x300'0003); }, 0x5123, access::read, 0x07, true},
  {"top table", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(0x300'0003, 0x502); }, 0x5123, access::read, 0x03, true},
  {"context table", [](Machine& m) { m.root_entry(0x300'0001); }, 0x5123, access::read, 0x09, false},
  {"root reserved", [](Machine& m) { m.root_entry(kContext | 1, 4); }, 0x5123, access::write, 0x0a, false},
  {"context reserved", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 0x13, 0x502); }, 0x5123, access::write, 0x0b, true},
  {"entry reserved", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 3, 0x502), m.map(0x5000, 0x4000'0000'0000'9003); }, 0x5123, access::write, 0x0c, true},
  {"to interrupts", [](Machine& m) { m.root_entry(kContext | 1), m.context_entry(kTop | 3, 0x502), m.map(0x5000, 0xfee00003); }, 0x5123, access::write, 0x0e, true},
};

TEST(vtd_fault, each_reason_and_its_record) {   // VT-d "Fault Reason Encodings", "Fault Recording Registers"
  for (const FaultCase& c : kFaults) {
    Machine m;
    c.prepare(m);
    m.context_entry(m.get(kContext + 16 * m.dev.devfn()) & ~u64{2}, m.get(kContext + 16 * m.dev.devfn() + 8));   // FPD clear
    m.unmask_faults();
    m.enable();
    auto t = m.dma(c.at, c.want);
    EXPECT_FALSE(t.ok) << c.name;
    EXPECT_EQ(t.fault_reason, c.reason) << c.name;
    EXPECT_EQ(m.r32(0x34), 2u) << c.name;                                    // PPF, FRI 0
    EXPECT_EQ(m.r64(0x220), c.at & ~u64{0xfff}) << c.name;
    EXPECT_EQ(m.r32(0x228), m.dev.v) << c.name;
    EXPECT_EQ(m.r32(0x22c), 0x8000'0000u | u32{c.want == access::read} << 30 | c.reason) << c.name;
    ASSERT_EQ(m.out.messages.size(), 1u) << c.name;
    EXPECT_EQ(m.out.messages[0], (std::pair<u64, u32>{0xfee01000, 0x41})) << c.name;
    EXPECT_EQ(m.out.count(EventKind::vtd_fault), 1u);
    EXPECT_EQ(qualified(c.reason), c.qualified) << c.name;
    EXPECT_STRNE(fault_text(c.reason), "unknown fault reason");
  }
}

TEST(vtd_fault, fpd_suppresses_qualified_faults_only) {   // VT-d "Context Entry": FPD
  for (const FaultCase& c : kFaults) {
    Machine m;
    c.prepare(m);
    m.enable();
    EXPECT_EQ(m.dma(c.at, c.want).fault_reason, c.reason) << c.name;
    EXPECT_EQ(m.r32(0x34), c.qualified ? 0u : 2u) << c.name;
    EXPECT_EQ(m.out.count(EventKind::vtd_fault), 1u);
  }
}

TEST(vtd_fault, root_table_nowhere) {
  Machine m;
  m.w64(0x20, 0x300'0000), m.command(gcmd::SRTP), m.command(gcmd::TE);
  EXPECT_EQ(m.dma(0).fault_reason, 8);
}

TEST(vtd_fault, records_fill_overflow_and_wrap) {   // VT-d "Primary Fault Logging"
  Caps c;
  c.fault_records = 3, c.fault_offset = 0xfd0;          // the last record ends with the page
  Machine m(c);
  m.tables(), m.enable();
  m.dma(0x1000), m.dma(0x2000);
  EXPECT_EQ(m.r32(0x34), 2u);
  m.w32(0xfdc, 0x8000'0000);                            // clear F of record 0 only
  EXPECT_EQ(m.r32(0x34), 2u);
  m.dma(0x3000), m.dma(0x4000);
  EXPECT_EQ(m.r64(0xff0), 0x3000u);
  EXPECT_EQ(m.r64(0xfd0), 0x4000u);
  EXPECT_EQ(m.r32(0x34), 2u);
  m.dma(0x5000);                                        // record 1 is still pending
  EXPECT_EQ(m.r32(0x34), 3u);
  EXPECT_EQ(m.r64(0xfe0), 0x2000u);
  m.w32(0xfec, 0x8000'0000);
  m.dma(0x6000);                                        // free, but PFO is set
  EXPECT_EQ(m.r64(0xfe0), 0x2000u);
  m.w32(0x34, 1);
  m.dma(0x7000);
  EXPECT_EQ(m.r64(0xfe0), 0x7000u);
  for (u64 o : {0xfdc, 0xfec, 0xffc}) m.w32(o, 0x8000'0000);
  EXPECT_EQ(m.r32(0x34), 0u);
  m.dma(0x8000);
  EXPECT_EQ(m.r32(0x34), 0x202u);                       // FRI tells where the first pending one is
  EXPECT_EQ(m.unit.fault_record(2).page(), 0x8000u);
  EXPECT_EQ(m.unit.statistics().faults, 8u);
  EXPECT_EQ(m.unit.statistics().faults_not_recorded, 2u);
}

TEST(vtd_fault, index_starts_over_when_all_is_disabled) {
  Caps c;
  c.fault_records = 2;
  Machine m(c);
  m.tables(), m.enable();
  m.dma(0x1000);
  m.w64(0x228, ~u64{0});
  EXPECT_EQ(m.r32(0x34), 0u);
  m.w32(0x18, 0);
  m.command(gcmd::TE);
  m.dma(0x2000);
  EXPECT_EQ(m.r32(0x34), 2u);
  EXPECT_EQ(m.r64(0x220), 0x2000u);
}

TEST(vtd_fault, message_waits_for_the_mask) {   // VT-d "Fault Event Control Register"
  Machine m;
  m.tables(), m.unmask_faults(), m.w32(0x38, 0x8000'0000), m.enable();
  m.dma(0x1000);
  EXPECT_EQ(m.r32(0x38), 0xc000'0000u);
  EXPECT_TRUE(m.out.messages.empty());
  m.w32(0x38, 0);
  EXPECT_EQ(m.out.messages.size(), 1u);
  EXPECT_EQ(m.r32(0x38), 0u);
  m.dma(0x2000);                                        // overflow: not a new condition while PPF stands
  EXPECT_EQ(m.r32(0x34), 3u);
  EXPECT_EQ(m.out.messages.size(), 1u);
  m.w32(0x34, 1), m.w32(0x22c, 0x8000'0000);
  m.dma(0x3000);
  EXPECT_EQ(m.out.messages.size(), 2u);
}

TEST(vtd_fault, pending_message_is_given_up_when_serviced) {
  Machine m;
  m.tables(), m.enable();
  m.dma(0x1000);
  EXPECT_EQ(m.r32(0x38), 0xc000'0000u);
  m.w32(0x22c, 0x8000'0000);
  EXPECT_EQ(m.r32(0x38), 0x8000'0000u);
  m.w32(0x38, 0);
  EXPECT_TRUE(m.out.messages.empty());
}

TEST(vtd_fault, upper_address_with_extended_interrupt_mode) {
  Caps c;
  c.extended_interrupt_mode = true;
  Machine m(c);
  m.tables(), m.unmask_faults(), m.w32(0x44, 0x100), m.enable();
  m.dma(0x1000);
  EXPECT_EQ(m.out.messages.at(0).first, 0x100'fee0'1000u);
}

TEST(vtd_iotlb, stale_until_invalidated) {   // VT-d "Caching Translation Information"
  Machine m;
  m.tables();
  u64 pte = m.map(0x5000, 0x9003);
  m.enable(), m.enable_queue();
  m.dma(0x5000);
  EXPECT_EQ(m.out.count(EventKind::stale_translation), 0u);
  m.put(pte, 0xa003);
  auto t = m.dma(0x5000);
  EXPECT_TRUE(t.from_iotlb);
  EXPECT_EQ(t.at.v, 0x9000u);
  ASSERT_EQ(m.out.count(EventKind::stale_translation), 1u);
  EXPECT_EQ(m.out.log.back().a, 0x5000u);
  EXPECT_EQ(m.out.log.back().b, pte);
  m.submit(descriptor::iotlb(Granularity::domain, 6));                 // another domain
  EXPECT_TRUE(m.dma(0x5000).from_iotlb);
  m.submit(descriptor::iotlb(Granularity::specific, 5, 0x6000));       // another page
  EXPECT_TRUE(m.dma(0x5000).from_iotlb);
  m.submit(descriptor::iotlb(Granularity::specific, 5, 0x4000, 2, true));
  t = m.dma(0x5000);
  EXPECT_FALSE(t.from_iotlb);
  EXPECT_EQ(t.at.v, 0xa000u);
  m.put(pte, 0);
  EXPECT_TRUE(m.dma(0x5000).ok);
  m.submit(descriptor::iotlb(Granularity::domain, 5));
  EXPECT_EQ(m.dma(0x5000).fault_reason, 6);
}

TEST(vtd_iotlb, a_superpage_goes_with_any_of_its_pages) {
  Machine m;
  m.tables();
  m.map(0x4000'0000, 0x60'0083, 2);
  m.enable(), m.enable_queue();
  m.dma(0x4000'0000);
  m.submit(descriptor::iotlb(Granularity::specific, 5, 0x4020'0000));
  EXPECT_TRUE(m.dma(0x4000'0000).from_iotlb);
  m.submit(descriptor::iotlb(Granularity::specific, 5, 0x401f'f000));
  EXPECT_FALSE(m.dma(0x4000'0000).from_iotlb);
}

TEST(vtd_iotlb, shared_by_the_devices_of_a_domain) {
  Machine m;
  m.tables();
  m.context_entry(kTop | 1, 0x502, Bdf(0, 5, 0));
  m.map(0x5000, 0x9003), m.enable();
  m.dma(0x5000);
  EXPECT_TRUE(m.dma(0x5000, access::read, Bdf(0, 5, 0)).from_iotlb);
}

TEST(vtd_iotlb, not_present_is_never_kept_without_CM) {   // VT-d "Caching Mode"
  Machine m;
  m.tables(), m.enable();
  EXPECT_EQ(m.dma(0x5000).fault_reason, 6);
  m.map(0x5000, 0x9003);
  EXPECT_TRUE(m.dma(0x5000).ok);
  EXPECT_EQ(m.dma(0x5000, access::read, Bdf(0, 6, 0)).fault_reason, 2);
  m.context_entry(kTop | 1, 0x502, Bdf(0, 6, 0));
  EXPECT_TRUE(m.dma(0x5000, access::read, Bdf(0, 6, 0)).ok);
}

TEST(vtd_iotlb, not_present_is_kept_with_CM_until_invalidated) {   // VT-d "Caching Mode"
  Caps c;
  c.caching_mode = true;
  Machine m(c);
  m.tables(), m.enable(), m.enable_queue();
  EXPECT_EQ(m.dma(0x5000).fault_reason, 6);
  m.map(0x5000, 0x9003);
  EXPECT_EQ(m.dma(0x5000, access::write).fault_reason, 5);             // this request's reason
  m.submit(descriptor::iotlb(Granularity::specific, 5, 0x5000));
  EXPECT_TRUE(m.dma(0x5000).ok);
  Bdf other(0, 6, 0);
  EXPECT_EQ(m.dma(0x5000, access::read, other).fault_reason, 2);
  m.context_entry(kTop | 1, 0x502, other);
  EXPECT_EQ(m.dma(0x5000, access::read, other).fault_reason, 2);
  m.submit(descriptor::context_cache(Granularity::specific, 5, other.v));
  EXPECT_EQ(m.dma(0x5000, access::read, other).fault_reason, 2);       // kept under domain 0
  m.submit(descriptor::context_cache(Granularity::specific, 0, other.v));
  EXPECT_TRUE(m.dma(0x5000, access::read, other).ok);
}

TEST(vtd_iotlb, replaced_in_the_order_of_filling) {
  Caps c;
  c.iotlb_entries = 2;
  Machine m(c);
  m.tables(), m.map(0x1000, 0x9003), m.map(0x2000, 0xa003), m.map(0x3000, 0xb003), m.enable();
  m.dma(0x1000), m.dma(0x2000);
  EXPECT_TRUE(m.dma(0x1000).from_iotlb);                               // a hit does not save it
  m.dma(0x3000);
  EXPECT_TRUE(m.dma(0x2000).from_iotlb);
  EXPECT_FALSE(m.dma(0x1000).from_iotlb);
}

TEST(vtd_iotlb, narrower_rights_stay_too) {
  Machine m;
  m.tables();
  u64 pte = m.map(0x5000, 0x9001);
  m.enable();
  m.dma(0x5000);
  m.put(pte, 0x9003);
  EXPECT_EQ(m.dma(0x5000, access::write).fault_reason, 5);
  m.w64(0x108, u64{1} << 63 | u64{1} << 60);
  EXPECT_TRUE(m.dma(0x5000, access::write).ok);
}

TEST(vtd_context_cache, stale_until_invalidated) {
  Machine m;
  m.tables(), m.map(0x5000, 0x9003), m.enable();
  m.dma(0x5000);
  m.context_entry(0, 0);
  EXPECT_TRUE(m.dma(0x5000).ok);
  EXPECT_EQ(m.out.count(EventKind::stale_translation), 1u);
  auto ccmd = [&](unsigned g, u16 did, u16 sid, unsigned fm) {
    m.w64(0x28, u64{1} << 63 | u64{g} << 61 | u64{fm} << 32 | u64{sid} << 16 | did);
    EXPECT_FALSE(bit(m.r64(0x28), 63));
    return bits(m.r64(0x28), 60, 59);
  };
  EXPECT_EQ(ccmd(3, 5, Bdf(0, 4, 1).v, 0), 3u);
  EXPECT_TRUE(m.dma(0x5000).ok);
  EXPECT_EQ(ccmd(2, 6, 0, 0), 2u);
  EXPECT_TRUE(m.dma(0x5000).ok);
  EXPECT_EQ(ccmd(0, 0, 0, 0), 0u);
  EXPECT_TRUE(m.dma(0x5000).ok);
  EXPECT_EQ(ccmd(3, 5, Bdf(0, 4, 7).v, 3), 3u);                        // FM: no function bit is compared
  EXPECT_EQ(m.dma(0x5000).fault_reason, 2);
  m.tables();
  EXPECT_TRUE(m.dma(0x5000).ok);
  m.context_entry(0, 0);
  EXPECT_EQ(ccmd(1, 0, 0, 0), 1u);
  EXPECT_EQ(m.dma(0x5000).fault_reason, 2);
}

TEST(vtd_watching, changes_nothing) {
  auto run = [](bool watched) {
    Machine m;
    m.out.watched = watched;
    m.tables();
    u64 pte = m.map(0x5000, 0x9003);
    m.enable();
    m.dma(0x5000), m.put(pte, 0xa001), m.dma(0x5000), m.dma(0x7000), m.dma(0x5000);
    HashAr h;
    m.unit.state(h);
    return h.hex();
  };
  EXPECT_EQ(run(true), run(false));
}

}  // namespace
}  // namespace vt::vtd
