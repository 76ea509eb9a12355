// SPDX-License-Identifier: GPL-2.0-or-later
/// INIT where no guest can see it.   SDM 3A "MP Initialization Protocol Requirements and Restrictions", "Processor State After Reset"; the rest is guests/bare/startup.cpp
#include "harness.hpp"

namespace vt::cpu {
namespace {

void init(Cpu& c) {
  ApicMessage m;
  m.mode = ApicMessage::Mode::init;
  c.receive(m);
  EXPECT_EQ(c.run(1), 1u);
}

// "each logical processor examines its BSP flag": whichever it was at power-up
TEST(startup, the_bootstrap_flag_says_what_follows_init) {
  for (const bool bootstrap : {true, false})
    for (const bool flag : {true, false}) {
      TestMachine m;
      Cpu c(m, m.cpu->model(), 1, bootstrap);
      EXPECT_EQ(c.activity, bootstrap ? Activity::active : Activity::wait_for_sipi);
      ASSERT_TRUE(c.apic.write_base(0xfee00800 | (flag ? 0x100 : 0)));
      init(c);
      EXPECT_EQ(c.activity, flag ? Activity::active : Activity::wait_for_sipi) << bootstrap << flag;
      EXPECT_EQ(c.seg[CS].base + c.rip, 0xfffffff0u);
      EXPECT_EQ(c.apic.base(), 0xfee00800u | (flag ? 0x100 : 0));
      c.reset(false);   // a reset elects anew
      EXPECT_EQ(c.activity, bootstrap ? Activity::active : Activity::wait_for_sipi);
      EXPECT_EQ(c.apic.base(), 0xfee00800u | (bootstrap ? 0x100 : 0));
    }
}

// CR0.CD and NW stay at INIT, are set by a reset
TEST(startup, cache_bits_stay_at_init) {
  for (const u64 bits : {u64{0}, cr0::CD, cr0::CD | cr0::NW}) {
    TestMachine m;
    m.cpu->cr0 = (m.cpu->cr0 & ~(cr0::CD | cr0::NW)) | bits;
    m.cpu->update();
    init(*m.cpu);
    EXPECT_EQ(m.cpu->cr0, 0x10 | bits);
    m.cpu->reset(false);
    EXPECT_EQ(m.cpu->cr0, 0x60000010u);
  }
}

// "Interrupt 8-Double Fault Exception": INIT ends a shutdown, in an ordinary processor and in a guest, where it is a VM exit
TEST(startup, init_ends_shutdown) {
  TestMachine m;
  m.cpu->activity = Activity::shutdown;
  EXPECT_TRUE(m.cpu->idle());
  init(*m.cpu);
  EXPECT_EQ(m.cpu->activity, Activity::active);
  EXPECT_EQ(m.cpu->rip, 0xfff0u);
}

}  // namespace
}  // namespace vt::cpu
