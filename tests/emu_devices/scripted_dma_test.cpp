// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/scripted_dma.hpp"

#include <stdexcept>

#include "fakes.hpp"
#include "pci/config.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {

struct Log final : DmaPort {
  struct Entry { u64 at; u16 source; u64 address; std::size_t size; bool write; u8 value; bool operator==(const Entry&) const = default; };
  explicit Log(FakeClock& c) : clock(c) {}
  bool read(Bdf s, Iova at, void* to, std::size_t n) override {
    std::memset(to, 0xff, n);
    entries.push_back({clock.now(), s.v, at.v, n, false, 0});
    return !blocked;
  }
  bool write(Bdf s, Iova at, const void* from, std::size_t n) override {
    entries.push_back({clock.now(), s.v, at.v, n, true, *static_cast<const u8*>(from)});
    return !blocked;
  }
  void msi(Bdf, u64, u32) override {}
  FakeClock& clock;
  std::vector<Entry> entries;
  bool blocked = false;
};

struct Scripted : testing::Test {
  FakeClock clock;
  Log log{clock};
  static constexpr Bdf kAt{0, 0x1d, 0};
  FunctionSpec spec() const {
    FunctionSpec s;
    s.bdf = kAt, s.device = 0x2934, s.class_code = 0x0c0300;
    return s;
  }
};

TEST_F(Scripted, accesses_happen_at_their_time_and_period) {
  ScriptedDma d(spec(), nullptr, log, clock, {{5000, 0xeb380, 64, false, 0, 2000, 3}, {6000, 0x1000, 4096, true, 0x5a}});
  clock.to(4999);
  EXPECT_TRUE(log.entries.empty());
  clock.to(20000);
  const u16 s = kAt.v;
  EXPECT_EQ(log.entries, (std::vector<Log::Entry>{{5000, s, 0xeb380, 64, false, 0}, {6000, s, 0x1000, 4096, true, 0x5a},
                                                  {7000, s, 0xeb380, 64, false, 0}, {9000, s, 0xeb380, 64, false, 0}}));
  EXPECT_TRUE(clock.idle());
  EXPECT_EQ(d.progress()[0].done, 3u);
  EXPECT_EQ(d.progress()[0].left, 0u);
  EXPECT_EQ(d.progress()[1].done, 1u);
}

TEST_F(Scripted, the_period_does_not_drift_when_the_machine_is_late) {
  ScriptedDma d(spec(), nullptr, log, clock, {{1000, 0, 1, false, 0, 1000, 4}});
  clock.events.clear();
  for (u64 now : {1700, 2300, 3000, 4999}) {   // delivered late: the next one is due by the script's clock, not by the delivery
    clock.to(now);
    d.expire(0, now);
    if (d.progress()[0].left) { EXPECT_EQ(clock.next(), d.progress()[0].due); }
    clock.events.clear();
  }
  EXPECT_EQ(d.progress()[0].due, 4000u);
  EXPECT_EQ(d.progress()[0].left, 0u);
}

TEST_F(Scripted, blocked_accesses_are_counted_and_go_on) {
  ScriptedDma d(spec(), nullptr, log, clock, {{1000, 0xeb000, 64, false, 0, 1000, 4}});
  clock.to(2500);
  log.blocked = true;
  clock.to(10000);
  EXPECT_EQ(d.progress()[0].done, 2u);
  EXPECT_EQ(d.progress()[0].blocked, 2u);
}

TEST_F(Scripted, nothing_leaves_without_bus_mastering) {   // PCI Local Bus 3.0 "Device Control"
  ScriptedDma d(spec(), nullptr, log, clock, {{1000, 0xeb000, 64, false, 0, 1000, 3}});
  EXPECT_EQ(d.config_read(4, 2), 4u);   // as firmware has left it
  clock.to(1500);
  d.config_write(4, 2, 0);
  clock.to(2500);
  d.config_write(4, 2, 4);
  clock.to(5000);
  EXPECT_EQ(log.entries.size(), 2u);
  EXPECT_EQ(d.progress()[0].lost, 1u);
  EXPECT_EQ(d.progress()[0].done, 2u);
}

TEST_F(Scripted, a_described_function_powers_up_without_bus_mastering) {
  Function f(spec(), nullptr, &log);
  EXPECT_EQ(f.config_read(4, 2), 0u);
}

TEST_F(Scripted, reset_starts_the_script_again) {
  ScriptedDma d(spec(), nullptr, log, clock, {{1000, 0xeb000, 64, false, 0, 1000, 2}});
  clock.to(1500);
  d.config_write(4, 2, 0);
  d.reset();
  EXPECT_EQ(d.progress()[0].left, 2u);
  EXPECT_EQ(clock.next(), 2500u);
  clock.to(9000);
  EXPECT_EQ(log.entries.size(), 3u);
  EXPECT_EQ(log.entries.back().at, 3500u);
}

TEST_F(Scripted, state_is_complete) {
  const std::vector<ScriptedDma::Access> script = {{1000, 0xeb000, 64, false, 0, 1000, 5}, {1500, 0, 1, true, 1}};
  ScriptedDma used(spec(), nullptr, log, clock, script);
  clock.to(2500);
  ScriptedDma fresh(spec(), nullptr, log, clock, script);
  EXPECT_NE(hash_of(used), hash_of(fresh));
  const std::string before = hash_of(used);
  SaveAr s;
  used.state(s);
  LoadAr l(s.out);
  fresh.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(hash_of(fresh), before);
  EXPECT_EQ(fresh.progress()[0].left, 3u);
  EXPECT_EQ(fresh.progress()[0].due, 3000u);
  EXPECT_EQ(fresh.progress()[1].done, 1u);
}

TEST_F(Scripted, state_of_another_script_is_refused) {
  ScriptedDma one(spec(), nullptr, log, clock, {{1000, 0, 1}}), two(spec(), nullptr, log, clock, {{1000, 0, 1}, {2000, 0, 1}});
  SaveAr s;
  one.state(s);
  LoadAr l(s.out);
  EXPECT_THROW(two.state(l), std::runtime_error);
}

}  // namespace
