// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine.hpp"

namespace vt::vtd {
namespace {

/// Interrupt remapping on, a table of 256 entries at kIrt.
struct Remapper : Machine {
  explicit Remapper(bool eime = false, Caps c = {}) : Machine([&] { c.extended_interrupt_mode |= eime; return c; }()) {
    enable_queue();
    w64(0xb8, kIrt | u64{eime} << 11 | 7);
    command(gcmd::SIRTP), command(gcmd::IRE);
  }
  void irte(u32 index, u64 lo, u64 hi = 0) { put(kIrt + 16 * index, lo), put(kIrt + 16 * index + 8, hi); }
  static u64 address(u32 handle, bool shv = false) { return 0xfee00010 | u64{handle & 0x7fff} << 5 | u64{handle >> 15} << 2 | u64{shv} << 3; }
  auto ask(u32 handle, Bdf b = dev) { return unit.remap(b, address(handle), 0); }
};

TEST(vtd_interrupt, plain_message_while_disabled) {
  Machine m;
  auto i = m.unit.remap(m.dev, 0xfee0300c, 0xc541);
  EXPECT_TRUE(i.ok && i.bypass);
  EXPECT_EQ(i.destination, 3u);
  EXPECT_TRUE(i.logical && i.redirection_hint && i.level && i.trigger_assert);
  EXPECT_EQ(i.vector, 0x41);
  EXPECT_EQ(i.delivery_mode, 5);
}

TEST(vtd_interrupt, fields_of_the_entry) {   // VT-d "Interrupt Remapping Table Entry (IRTE) for Remapped Interrupts"
  Remapper m;
  m.irte(5, 0x0000'0200'0041'0f3d);     // P DM RH TM, DLM 1, AVAIL set, vector 0x41, xAPIC id 2
  auto i = m.ask(5);
  ASSERT_TRUE(i.ok);
  EXPECT_FALSE(i.bypass);
  EXPECT_EQ(i.destination, 2u);
  EXPECT_TRUE(i.logical && i.redirection_hint && i.level && i.trigger_assert);
  EXPECT_EQ(i.delivery_mode, 1);
  EXPECT_EQ(i.vector, 0x41);
}

TEST(vtd_interrupt, x2apic_destination_has_32_bits) {
  Remapper m(true);
  m.irte(5, 0x1234'5678'0041'0001);
  EXPECT_EQ(m.ask(5).destination, 0x1234'5678u);
  Remapper n;
  n.irte(5, 0x1234'5678'0041'0001);
  EXPECT_EQ(n.ask(5).fault_reason, 0x24);
}

TEST(vtd_interrupt, EIME_needs_EIM) {
  Machine m;
  m.w64(0xb8, kIrt | 0x80f);
  EXPECT_EQ(m.r64(0xb8), kIrt | 0xf);
}

TEST(vtd_interrupt, subhandle_and_handle_bit_15) {   // VT-d "Interrupt Requests in Remappable Format"
  Remapper m;
  m.irte(7, 0x0041'0001);
  EXPECT_TRUE(m.unit.remap(m.dev, m.address(5, true), 2).ok);
  EXPECT_EQ(m.unit.remap(m.dev, m.address(5, true), 0x10002).fault_reason, 0x20);
  EXPECT_TRUE(m.unit.remap(m.dev, m.address(7), 0xffff0002).ok);          // without SHV the data are ignored
  EXPECT_EQ(m.ask(0x8007).fault_reason, 0x21);
  EXPECT_EQ(m.unit.remap(m.dev, m.address(0xffff, true), 8).fault_reason, 0x21);   // no wrap to 7
}

TEST(vtd_interrupt, faults_and_their_records) {   // VT-d "Interrupt Remapping Fault Conditions"
  struct { const char* name; u64 lo, hi; u32 index; u8 reason; bool recorded; } cases[] = {
    {"not present", 0, 0, 5, 0x22, true},
    {"not present, FPD", 2, 0, 5, 0x22, false},
    {"reserved 12", 0x1001, 0, 5, 0x24, true},
    {"posted", 0x8001, 0, 5, 0x24, true},
    {"reserved, FPD", 0x8003, 0, 5, 0x24, false},
    {"reserved 24", 0x0100'0001, 0, 5, 0x24, true},
    {"reserved 84", 1, u64{1} << 20, 5, 0x24, true},
    {"delivery mode 3", 0x61, 0, 5, 0x24, true},
    {"delivery mode 6", 0xc1, 0, 5, 0x24, true},
    {"validation type 3", 1, 0xc'0000, 5, 0x24, true},
    {"wrong source", 1, 0x4'0000 | 0x1234, 5, 0x26, true},
    {"wrong source, FPD", 3, 0x4'0000 | 0x1234, 5, 0x26, false},
    {"beyond the table", 1, 0, 256, 0x21, true},
  };
  for (auto& c : cases) {
    Remapper m;
    m.irte(5, c.lo, c.hi);
    auto i = m.ask(c.index);
    EXPECT_FALSE(i.ok) << c.name;
    EXPECT_EQ(i.fault_reason, c.reason) << c.name;
    EXPECT_EQ(m.r32(0x34), c.recorded ? 2u : 0u) << c.name;
    if (c.recorded) {
      EXPECT_EQ(m.r64(0x220), u64{c.index} << 48) << c.name;
      EXPECT_EQ(m.r64(0x228), u64{0x8000'0000} << 32 | u64{c.reason} << 32 | m.dev.v) << c.name;
      EXPECT_EQ(m.unit.fault_record(0).interrupt_index(), c.index);
    }
    EXPECT_TRUE(interrupt_fault(c.reason));
    EXPECT_STRNE(fault_text(c.reason), "unknown fault reason");
  }
}

TEST(vtd_interrupt, table_nowhere) {
  Machine m;
  m.w64(0xb8, 0x300'0000), m.command(gcmd::SIRTP), m.command(gcmd::IRE);
  EXPECT_EQ(m.unit.remap(m.dev, Remapper::address(0), 0).fault_reason, 0x23);
}

TEST(vtd_interrupt, source_validation) {   // VT-d "Source Validation": SVT, SQ, SID
  struct { u64 hi; Bdf source; bool ok; } cases[] = {
    {0x4'0000 | 0x0020, Bdf(0, 4, 0), true},  {0x4'0000 | 0x0020, Bdf(0, 4, 1), false},
    {0x5'0000 | 0x0020, Bdf(0, 4, 4), true},  {0x5'0000 | 0x0020, Bdf(0, 4, 2), false},
    {0x6'0000 | 0x0020, Bdf(0, 4, 6), true},  {0x6'0000 | 0x0020, Bdf(0, 4, 1), false},
    {0x7'0000 | 0x0020, Bdf(0, 4, 7), true},  {0x7'0000 | 0x0020, Bdf(0, 5, 0), false},
    {0x8'0000 | 0x0204, Bdf(2, 0, 0), true},  {0x8'0000 | 0x0204, Bdf(4, 31, 7), true},
    {0x8'0000 | 0x0204, Bdf(1, 0, 0), false}, {0x8'0000 | 0x0204, Bdf(5, 0, 0), false},
    {0x0'0000 | 0x1234, Bdf(0, 4, 0), true},
  };
  for (auto& c : cases) {
    Remapper m;
    m.irte(5, 1, c.hi);
    EXPECT_EQ(m.ask(5, c.source).ok, c.ok) << std::hex << c.hi << " " << c.source.v;
  }
}

TEST(vtd_interrupt, compatibility_format) {   // VT-d "Interrupt Requests on Intel 64 Platforms"
  Remapper m;
  EXPECT_EQ(m.unit.remap(m.dev, 0xfee01000, 0x30).fault_reason, 0x25);
  EXPECT_EQ(m.unit.fault_record(0).reason(), 0x25);
  m.command(gcmd::CFI);
  EXPECT_TRUE(bit(m.r32(0x1c), 23));
  auto i = m.unit.remap(m.dev, 0xfee01000, 0x30);
  EXPECT_TRUE(i.ok && i.bypass);
  EXPECT_EQ(i.destination, 1u);
  Remapper x(true);
  x.command(gcmd::CFI);
  EXPECT_EQ(x.unit.remap(x.dev, 0xfee01000, 0x30).fault_reason, 0x25);
}

TEST(vtd_interrupt, entries_are_kept_until_invalidated) {   // VT-d "Interrupt Entry Cache Invalidate Descriptor"
  Remapper m;
  m.irte(5, 0x0041'0001), m.irte(9, 0x0042'0001);
  m.ask(5), m.ask(9);
  m.irte(5, 0x0051'0001), m.irte(9, 0x0052'0001);
  EXPECT_EQ(m.ask(5).vector, 0x41);
  EXPECT_EQ(m.out.count(EventKind::stale_translation), 1u);
  EXPECT_EQ(m.out.log.back().b, kIrt + 16 * 5);
  m.submit(descriptor::interrupt_entries(6, 0));
  EXPECT_EQ(m.ask(5).vector, 0x41);
  m.submit(descriptor::interrupt_entries(6, 1));              // 6 and 7
  EXPECT_EQ(m.ask(5).vector, 0x41);
  m.submit(descriptor::interrupt_entries(6, 2));              // 4 to 7
  EXPECT_EQ(m.ask(5).vector, 0x51);
  EXPECT_EQ(m.ask(9).vector, 0x42);
  m.submit(descriptor::interrupt_entries());
  EXPECT_EQ(m.ask(9).vector, 0x52);
}

TEST(vtd_interrupt, not_present_is_kept_with_CM_only) {
  for (bool cm : {false, true}) {
    Caps c;
    c.caching_mode = cm;
    Remapper m(false, c);
    m.ask(5);
    m.irte(5, 0x0041'0001);
    EXPECT_EQ(m.ask(5).ok, !cm);
    m.submit(descriptor::interrupt_entries());
    EXPECT_TRUE(m.ask(5).ok);
  }
}

TEST(vtd_interrupt, table_is_taken_over_by_SIRTP) {
  Remapper m;
  m.irte(5, 0x0041'0001);
  m.w64(0xb8, 0x50000 | 7);
  EXPECT_TRUE(m.ask(5).ok);
  EXPECT_EQ(m.unit.ir_table().base(), Hpa(kIrt));
  m.command(gcmd::SIRTP);
  m.submit(descriptor::interrupt_entries());
  EXPECT_EQ(m.ask(5).fault_reason, 0x22);
}

TEST(fault_reasons, those_of_interrupt_requests) {   // VT-d "Fault Reason Encodings": 20H to 28H
  for (unsigned reason = 0; reason < 256; ++reason) EXPECT_EQ(interrupt_fault(static_cast<u8>(reason)), reason >= 0x20 && reason < 0x29) << reason;
}

}  // namespace
}  // namespace vt::vtd
