// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine.hpp"

namespace vt::vtd {
namespace {

TEST(vtd_queue, wraps_at_its_size) {   // VT-d "Queued Invalidation Interface"
  for (unsigned qs : {0u, 1u}) {
    Machine m;
    m.enable_queue(qs);
    unsigned entries = 256u << qs;
    for (unsigned i = 0; i < entries + 3; ++i) m.submit(descriptor::wait_status(kStatus, i));
    EXPECT_EQ(m.r64(0x80), 48u);
    EXPECT_EQ(m.r64(0x88), 48u);
    EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), entries + 2);
    EXPECT_EQ(m.out.count(EventKind::vtd_invalidate), entries + 3);
  }
}

TEST(vtd_queue, several_at_once) {
  Machine m;
  m.enable_queue();
  Descriptor a = descriptor::iotlb(Granularity::global), b = descriptor::wait_status(kStatus, 7);
  m.put(kQueue, a.lo), m.put(kQueue + 8, a.hi), m.put(kQueue + 16, b.lo), m.put(kQueue + 24, b.hi);
  m.w32(0x88, 32);
  EXPECT_EQ(m.r32(0x80), 32u);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 7u);
}

TEST(vtd_queue, does_nothing_while_off_and_starts_when_enabled) {
  Machine m;
  m.w64(0x90, kQueue);
  Descriptor d = descriptor::wait_status(kStatus, 9);
  m.put(kQueue, d.lo), m.put(kQueue + 8, d.hi);
  m.w64(0x88, 16);
  EXPECT_EQ(m.r64(0x80), 0u);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 0u);
  m.command(gcmd::QIE);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 9u);
  EXPECT_EQ(m.r64(0x80), 16u);
  m.w32(0x18, 0);
  EXPECT_EQ(m.r64(0x80), 0u);                          // IQH starts over
  EXPECT_EQ(m.r32(0x1c), 0u);
}

TEST(vtd_queue, wait_interrupt_is_held_by_the_mask) {   // VT-d "Invalidation Wait Descriptor", "Invalidation Event Control Register"
  Machine m;
  m.enable_queue();
  m.w32(0xa4, 0x52), m.w32(0xa8, 0xfee02000);
  m.submit(descriptor::wait_interrupt());
  EXPECT_EQ(m.r32(0x9c), 1u);
  EXPECT_EQ(m.r32(0xa0), 0xc000'0000u);
  EXPECT_TRUE(m.out.messages.empty());
  m.w32(0xa0, 0);
  ASSERT_EQ(m.out.messages.size(), 1u);
  EXPECT_EQ(m.out.messages[0], (std::pair<u64, u32>{0xfee02000, 0x52}));
  m.submit(descriptor::wait_interrupt());              // IWC still set: no new condition
  EXPECT_EQ(m.out.messages.size(), 1u);
  m.w32(0x9c, 1);
  EXPECT_EQ(m.r32(0x9c), 0u);
  m.submit(descriptor::wait_status(kStatus, 3, true));
  EXPECT_EQ(m.out.messages.size(), 2u);
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 3u);
}

TEST(vtd_queue, serviced_completion_gives_up_the_held_message) {
  Machine m;
  m.enable_queue();
  m.submit(descriptor::wait_interrupt());
  m.w32(0x9c, 1);
  EXPECT_EQ(m.r32(0xa0), 0x8000'0000u);
}

TEST(vtd_queue, wrong_descriptors_stop_it) {   // VT-d "Invalidation Queue Error"
  struct { const char* name; Descriptor d; } wrong[] = {
    {"type 0", {0, 0}},
    {"type 6", {6, 0}},
    {"type 15", {15, 0}},
    {"extended type", {0x200 | 5 | 0x20, kStatus}},
    {"device-TLB is not offered", {3, 0x1000}},
    {"context granularity 0", {1, 0}},
    {"context reserved 6", {0x51, 0}},
    {"context reserved 50", {0x11 | u64{1} << 50, 0}},
    {"context upper half", {0x11, 1}},
    {"iotlb granularity 0", {2, 0}},
    {"iotlb reserved 8", {0x112, 0}},
    {"iotlb reserved 32", {0x12 | u64{1} << 32, 0}},
    {"iotlb reserved 7 of the upper half", {0x12, 0x80}},
    {"iotlb mask above MAMV", {0x32, 19}},
    {"iec reserved 5", {0x24, 0}},
    {"iec mask above MHMV", {0x14 | u64{16} << 27, 0}},
    {"iec upper half", {4, 1}},
    {"wait reserved 7", {0xa5, kStatus}},
    {"wait address", {0x25, kStatus | 1}},
  };
  for (auto& w : wrong) {
    EXPECT_FALSE(acceptable({}, w.d)) << w.name;
    Machine m;
    m.unmask_faults(), m.enable_queue();
    m.submit(descriptor::iotlb(Granularity::global));
    m.submit(w.d);
    EXPECT_EQ(m.r32(0x34), fsts::IQE) << w.name;
    EXPECT_EQ(m.r64(0x80), 16u) << w.name;             // at the wrong one
    EXPECT_EQ(m.out.messages.size(), 1u) << w.name;
    m.submit(descriptor::wait_status(kStatus, 1));
    EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 0u);
    m.w32(0x34, fsts::IQE);                            // not mended: stops again
    EXPECT_EQ(m.r32(0x34), fsts::IQE);
    EXPECT_EQ(m.out.messages.size(), 2u);
    m.put(kQueue + 16, 0x12), m.put(kQueue + 24, 0);
    m.w32(0x34, fsts::IQE);
    EXPECT_EQ(m.r32(0x34), 0u);
    EXPECT_EQ(m.r64(0x80), 48u);
    EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 1u);
  }
}

TEST(vtd_queue, tail_beyond_the_queue_and_queue_nowhere) {
  Machine m;
  m.enable_queue();
  m.w64(0x88, 0x1000);
  EXPECT_EQ(m.r32(0x34), fsts::IQE);
  Machine n;
  n.w64(0x90, 0x300'0000), n.command(gcmd::QIE), n.w64(0x88, 16);
  EXPECT_EQ(n.r32(0x34), fsts::IQE);
  EXPECT_EQ(n.r64(0x80), 0u);
}

TEST(vtd_queue, register_commands_are_ignored_while_it_is_on) {   // VT-d "Register-based Invalidation Interface"
  Machine m;
  m.tables(), m.map(0x5000, 0x9003), m.enable(), m.enable_queue();
  m.dma(0x5000);
  m.w64(0x108, u64{1} << 63 | u64{1} << 60);
  EXPECT_EQ(m.r64(0x108), u64{1} << 60);               // IVT clear, IAIG 0
  m.w64(0x28, u64{1} << 63 | u64{1} << 61);
  EXPECT_EQ(m.r64(0x28), u64{1} << 61);
  EXPECT_TRUE(m.dma(0x5000).from_iotlb);
}

TEST(vtd_iotlb_register, granularities) {   // VT-d "IOTLB Invalidate Register"
  Machine m;
  m.tables(), m.map(0x5000, 0x9003), m.enable();
  auto go = [&](unsigned g, u16 did, u64 iva = 0) {
    m.dma(0x5000);
    m.w64(0x100, iva);
    EXPECT_EQ(m.r64(0x100), 0u);                       // write-only
    m.w64(0x108, u64{1} << 63 | u64{g} << 60 | u64{did} << 32);
    EXPECT_FALSE(bit(m.r64(0x108), 63));
    return std::pair{bits(m.r64(0x108), 58, 57), m.dma(0x5000).from_iotlb};
  };
  using P = std::pair<u64, bool>;
  EXPECT_EQ(go(1, 0), (P{1, false}));
  EXPECT_EQ(go(2, 5), (P{2, false}));
  EXPECT_EQ(go(2, 4), (P{2, true}));
  EXPECT_EQ(go(3, 5, 0x5000), (P{3, false}));
  EXPECT_EQ(go(3, 5, 0x6000), (P{3, true}));
  EXPECT_EQ(go(3, 5, 0x6001), (P{3, true}));           // AM 1: 0x6000 and 0x7000
  EXPECT_EQ(go(3, 5, 0x7002), (P{3, false}));          // AM 2: 0x4000 to 0x7fff
  EXPECT_EQ(go(3, 5, 0x5000 | 19), (P{0, true}));      // AM above MAMV
  EXPECT_EQ(go(0, 5), (P{0, true}));
}

TEST(vtd_iotlb_register, without_page_selection_the_domain_goes) {   // VT-d "Capability Register": PSI
  Caps c;
  c.page_selective = false;
  Machine m(c);
  m.tables(), m.map(0x5000, 0x9003), m.enable();
  m.dma(0x5000);
  m.w64(0x108, u64{1} << 63 | u64{3} << 60 | u64{5} << 32);
  EXPECT_EQ(bits(m.r64(0x108), 58, 57), 2u);
  EXPECT_FALSE(m.dma(0x5000).from_iotlb);
}

TEST(vtd_iotlb_register, high_half_alone_gives_the_command) {
  Machine m;
  m.tables(), m.map(0x5000, 0x9003), m.enable();
  m.dma(0x5000);
  m.w32(0x10c, 0x8000'0000 | 1 << 28);
  EXPECT_FALSE(m.dma(0x5000).from_iotlb);
}

}  // namespace
}  // namespace vt::vtd
