// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine.hpp"

namespace vt::vtd {
namespace {

TEST(vtd_caps, default_registers) {   // VT-d "Capability Register", "Extended Capability Register"
  auto [ver, cap, ecap] = capability_registers({});
  EXPECT_EQ(ver, 0x10u);
  EXPECT_EQ(bits(cap, 2, 0), 6u);          // ND: 16 bits
  EXPECT_EQ(bits(cap, 12, 8), 4u);         // SAGAW: 48
  EXPECT_EQ(bits(cap, 21, 16), 47u);       // MGAW
  EXPECT_TRUE(bit(cap, 22));               // ZLR
  EXPECT_EQ(bits(cap, 33, 24) * 16, 0x220u);
  EXPECT_EQ(bits(cap, 37, 34), 3u);        // SPS
  EXPECT_TRUE(bit(cap, 39));               // PSI
  EXPECT_EQ(bits(cap, 47, 40), 0u);        // NFR
  EXPECT_EQ(bits(cap, 53, 48), 18u);       // MAMV
  EXPECT_EQ(bits(cap, 55, 54), 3u);
  EXPECT_EQ(cap & (mask(6, 3) | u64{1} << 7 | mask(63, 56)), 0u);
  EXPECT_EQ(bits(ecap, 17, 8) * 16, 0x100u);
  EXPECT_EQ(ecap & 0xff, 0xcbu);           // C QI IR PT SC, no EIM, no DT
  EXPECT_EQ(bits(ecap, 23, 20), 15u);      // MHMV
  EXPECT_EQ(ecap >> 24, 0u);               // no scalable mode, no PASID
}

TEST(vtd_caps, every_knob_reaches_its_bit) {
  auto cap = [](auto f) { Caps c; f(c); return capability_registers(c).cap ^ capability_registers({}).cap; };
  auto ecap = [](auto f) { Caps c; f(c); return capability_registers(c).ecap ^ capability_registers({}).ecap; };
  EXPECT_EQ(cap([](Caps& c) { c.agaw_39 = true; }), u64{1} << 9);
  EXPECT_EQ(cap([](Caps& c) { c.caching_mode = true; }), u64{1} << 7);
  EXPECT_EQ(cap([](Caps& c) { c.write_buffer_flush = true; }), u64{1} << 4);
  EXPECT_EQ(cap([](Caps& c) { c.plmr = true; }), u64{1} << 5);
  EXPECT_EQ(cap([](Caps& c) { c.phmr = true; }), u64{1} << 6);
  EXPECT_EQ(cap([](Caps& c) { c.zero_length_read = false; }), u64{1} << 22);
  EXPECT_EQ(cap([](Caps& c) { c.superpage_1g = false; }), u64{1} << 35);
  EXPECT_EQ(cap([](Caps& c) { c.superpage_2m = false; }), u64{1} << 34);
  EXPECT_EQ(cap([](Caps& c) { c.fault_records = 8; }), u64{7} << 40);
  EXPECT_EQ(ecap([](Caps& c) { c.coherent = false; }), 1u);
  EXPECT_EQ(ecap([](Caps& c) { c.extended_interrupt_mode = true; }), 0x10u);
  EXPECT_EQ(ecap([](Caps& c) { c.pass_through = false; }), 0x40u);
  EXPECT_EQ(ecap([](Caps& c) { c.snoop_control = false; }), 0x80u);
}

TEST(vtd_caps, defects_are_told_in_words) {
  auto why = [](auto f) { Caps c; f(c); return defect(c); };
  EXPECT_EQ(defect({}), "");
  EXPECT_EQ(why([](Caps& c) { c.agaw_48 = false; }), "no address width is offered: SAGAW needs 39 or 48");
  EXPECT_EQ(why([](Caps& c) { c.mgaw = 57; }), "MGAW must be 30 to 48 bits");
  EXPECT_EQ(why([](Caps& c) { c.queued_invalidation = false; }), "interrupt remapping needs queued invalidation");
  EXPECT_EQ(why([](Caps& c) { c.interrupt_remapping = false, c.extended_interrupt_mode = true; }), "extended interrupt mode needs interrupt remapping");
  EXPECT_EQ(why([](Caps& c) { c.domain_id_bits = 7; }), "domain-ids have 4, 6, 8, ... 16 bits");
  EXPECT_EQ(why([](Caps& c) { c.fault_offset = 0xb0; }), "the fault records overlap IRTA_REG");
  EXPECT_EQ(why([](Caps& c) { c.fault_offset = 0xf0, c.fault_records = 2; }), "the IOTLB registers overlap the fault records");
  EXPECT_EQ(why([](Caps& c) { c.fault_offset = 0xff0, c.fault_records = 2; }), "the fault records end beyond the register page");
  EXPECT_EQ(why([](Caps& c) { c.fault_offset = 0xf00, c.fault_records = 16; }), "");     // exactly to the page's end
}

TEST(vtd_registers, reset_values) {   // VT-d "Register Descriptions"
  Machine m;
  EXPECT_EQ(m.r32(0x00), 0x10u);
  EXPECT_EQ(m.r64(0x08), capability_registers({}).cap);
  EXPECT_EQ(m.r64(0x10), capability_registers({}).ecap);
  for (u64 o = 0x18; o < 0x1000; o += 4) EXPECT_EQ(m.r32(o), o == 0x38 || o == 0xa0 ? 0x8000'0000u : 0u) << std::hex << o;
}

TEST(vtd_registers, only_writable_bits_change) {
  for (const Reg& x : kRegs) {
    if (x.effect != Effect::none || x.size != 8) continue;
    Caps c;
    c.extended_interrupt_mode = true;
    Machine m(c);
    u64 before = m.r64(x.offset);
    m.w64(x.offset, ~u64{0});
    u64 width = x.need == Need::phmr || x.need == Need::afl ? 0 : x.writable & ((u64{1} << 46) - 1);
    EXPECT_EQ(m.r64(x.offset), (before & ~width) | width) << x.name;
  }
}

TEST(vtd_registers, what_is_not_offered_is_reserved) {
  Caps c;
  c.queued_invalidation = c.interrupt_remapping = false;
  Machine m(c);
  for (u64 o : {0x44, 0x58, 0x64, 0x68, 0x6c, 0x70, 0x78, 0x80, 0x88, 0x90, 0x9c, 0xa0, 0xa4, 0xa8, 0xac, 0xb8}) {
    m.w32(o, 0xffff'ffff);
    EXPECT_EQ(m.r32(o), 0u) << std::hex << o;
  }
  m.command(gcmd::QIE | gcmd::IRE | gcmd::SIRTP | gcmd::CFI | gcmd::WBF | gcmd::SFL | gcmd::EAFL);
  EXPECT_EQ(m.r32(0x1c), 0u);
}

TEST(vtd_registers, eight_bytes_over_two_registers_and_halves_of_one) {
  Machine m;
  m.w64(0x38, u64{0x41} << 32);                        // FECTL and FEDATA
  EXPECT_EQ(m.r32(0x38), 0u);
  EXPECT_EQ(m.r32(0x3c), 0x41u);
  EXPECT_EQ(m.r64(0x38), u64{0x41} << 32);
  m.w32(0x20, 0x12345000), m.w32(0x24, 0x12);
  EXPECT_EQ(m.r64(0x20), 0x12'1234'5000u);
  EXPECT_EQ(m.unit.read(0x21, 1), 0x50u);
  EXPECT_EQ(m.unit.read(0x22, 2), 0x1234u);
  m.unit.write(0x20, 2, 0), m.unit.write(0x21, 4, 0), m.unit.write(0x1000, 4, 0);
  EXPECT_EQ(m.r64(0x20), 0x12'1234'5000u);
  EXPECT_EQ(m.unit.read(0x1000, 4), 0xffff'ffffu);
  EXPECT_EQ(m.unit.read(0xffc, 8), ~u64{0});
  EXPECT_EQ(m.unit.read(~u64{0}, 4), 0xffff'ffffu);
}

TEST(vtd_registers, names) {
  Machine m;
  EXPECT_STREQ(register_name(0x18), "GCMD_REG");
  EXPECT_STREQ(register_name(0x24), "RTADDR_REG");
  EXPECT_EQ(register_name(0x220), nullptr);
  EXPECT_STREQ(m.unit.register_name(0x108), "IOTLB_REG");
  EXPECT_STREQ(m.unit.register_name(0x100), "IVA_REG");
  EXPECT_STREQ(m.unit.register_name(0x22c), "FRCD_REG");
  EXPECT_EQ(m.unit.register_name(0x230), nullptr);
  EXPECT_EQ(m.unit.register_name(0x9999), nullptr);
}

TEST(vtd_registers, xen_order_of_enabling) {   // VT-d "Global Command Register", "Global Status Register"
  Machine m;
  m.tables();
  EXPECT_EQ(m.r32(0x34), 0u);
  m.w32(0x3c, 0x28), m.w32(0x40, 0xfee00000), m.w32(0x34, 0x7d), m.w32(0x38, 0);
  m.enable_queue();
  EXPECT_EQ(m.r32(0x1c), 0x0400'0000u);
  m.w64(0xb8, kIrt | 0xf);
  m.command(gcmd::SIRTP);
  EXPECT_EQ(m.r32(0x1c), 0x0500'0000u);
  m.submit(descriptor::interrupt_entries());
  m.submit(descriptor::wait_status(kStatus, 1));
  EXPECT_EQ(m.out.mem.peek32(Hpa(kStatus)), 1u);
  EXPECT_EQ(m.r64(0x80), 32u);
  m.command(gcmd::IRE);
  EXPECT_EQ(m.r32(0x1c), 0x0700'0000u);
  EXPECT_TRUE(m.unit.interrupt_remapping_enabled());
  m.w64(0x20, kRoot);
  m.command(gcmd::SRTP);
  EXPECT_EQ(m.r32(0x1c), 0x4700'0000u);
  m.submit(descriptor::context_cache(Granularity::global));
  m.submit(descriptor::iotlb(Granularity::global));
  EXPECT_FALSE(m.unit.translation_enabled());
  m.out.now = 77;
  m.command(gcmd::TE);                                  // SRTP and SIRTP given again
  EXPECT_EQ(m.r32(0x1c), 0xc700'0000u);
  EXPECT_TRUE(m.unit.translation_enabled());
  EXPECT_EQ(m.unit.enabled_at_step(), 77u);
  EXPECT_EQ(m.r32(0x18), 0u);
  EXPECT_EQ(m.out.count(EventKind::vtd_translation), 1u);
  m.w32(0x18, m.r32(0x1c) & ~gcmd::TE);
  EXPECT_EQ(m.r32(0x1c), 0x4700'0000u);
  EXPECT_EQ(m.out.count(EventKind::vtd_translation), 2u);
  EXPECT_EQ(m.out.messages.size(), 0u);
}

TEST(vtd_registers, root_pointer_is_taken_over_by_SRTP) {   // VT-d "Root Table Address Register"
  Machine m;
  m.tables();
  m.map(0x5000, 0x9003);
  m.enable();
  m.w64(0x20, 0x50000);
  EXPECT_TRUE(m.dma(0x5000).ok);
  EXPECT_EQ(m.unit.root_table(), 0x50000u);
  EXPECT_EQ(m.unit.root_in_use(), Hpa(kRoot));
}

TEST(vtd_registers, write_buffer_flush_never_stays_pending) {
  Caps c;
  c.write_buffer_flush = true;
  Machine m(c);
  m.command(gcmd::WBF);
  EXPECT_EQ(m.r32(0x1c), 0u);
}

TEST(vtd_registers, protected_region_status_follows) {   // VT-d "Protected Memory Enable Register"
  Caps c;
  c.plmr = true;
  Machine m(c);
  m.w32(0x68, 0xffff'ffff);
  EXPECT_EQ(m.r32(0x68), 0xffe0'0000u);
  m.w32(0x68, 0x20'0000), m.w32(0x6c, 0x20'0000);
  EXPECT_TRUE(m.dma(0x20'0000).ok);
  m.w32(0x64, 0x8000'0000);
  EXPECT_EQ(m.r32(0x64), 0x8000'0001u);
  EXPECT_FALSE(m.dma(0x20'0000).ok);
  EXPECT_FALSE(m.dma(0x3f'ffff).ok);
  EXPECT_TRUE(m.dma(0x1f'ffff).ok);
  EXPECT_TRUE(m.dma(0x40'0000).ok);
  EXPECT_EQ(m.r32(0x34), 0u);                           // violations are not recorded
  m.w32(0x6c, 0);                                       // limit below base
  EXPECT_TRUE(m.dma(0x20'0000).ok);
  m.w32(0x64, 0);
  EXPECT_EQ(m.r32(0x64), 0u);
}

TEST(vtd_registers, reset_keeps_sticky_registers_unless_power_on) {
  Machine m;
  m.enable();
  m.dma(0x5000);
  EXPECT_EQ(m.r32(0x34) & 2, 2u);
  m.unit.reset(false);
  EXPECT_EQ(m.r32(0x1c), 0u);
  EXPECT_EQ(m.r32(0x34) & 2, 2u);
  EXPECT_TRUE(m.unit.fault_record(0).pending());
  m.unit.reset();
  EXPECT_EQ(m.r32(0x34), 0u);
  EXPECT_FALSE(m.unit.fault_record(0).pending());
}

}  // namespace
}  // namespace vt::vtd
