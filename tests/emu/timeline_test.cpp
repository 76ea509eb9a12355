// SPDX-License-Identifier: GPL-2.0-or-later
/// Going back: what was, is again, and what follows is what followed.
#include "emu/timeline.hpp"

#include <map>

#include "guest.hpp"

namespace vt::emu {
namespace {

std::vector<Guest> guests() {
  return {bare("hello64", ~u64{0}, "one two"), bare("exceptions"), bare("paging"), bare("smc"), bare("strings"), bare("vmx_basic"),
          bare("interrupts", 2'000'000), bare("vtd_dma", 2'000'000), bare("smp", 1'500'000, "", "smp4.json")};
}

class Timelines : public testing::TestWithParam<Guest> {
 protected:
  void SetUp() override {
    if (!there(GetParam())) GTEST_SKIP() << "no guest " << GetParam().kernel << ": guests/bare/build.py makes it";
  }
};
INSTANTIATE_TEST_SUITE_P(Emu, Timelines, testing::ValuesIn(guests()), [](const auto& i) { return i.param.name; });

Outcome silent(Machine& m) { return outcome(m, Console{}); }   // what is done again is printed again

/// Forward to `step` with checkpoints every `every` steps.
void forward(Machine& m, Timeline& t, u64 step, u64 every) {
  while (m.steps() < step && !m.stop().requested()) {
    m.run(std::min(step, m.steps() + every));
    if (!m.stop().requested()) t.save();
  }
}

TEST_P(Timelines, restored_at_random_steps_and_run_on_gives_the_same_run) {
  Booted a(GetParam()), b(GetParam());
  a.machine->run(GetParam().limit);
  const Outcome o = silent(*a.machine);
  Timeline t(*b.machine);
  Choice c(5);
  const u64 every = o.steps / 50 + 1;
  std::map<u64, std::string> seen;
  forward(*b.machine, t, o.steps, every);
  EXPECT_EQ(silent(*b.machine), o);
  for (unsigned n = 0; n < 25; ++n) {
    const u64 step = c.below(o.steps);
    const bool behind = step < b.machine->steps() || b.machine->stop().requested();
    b.machine->stop().clear();
    if (behind) {
      const u64 at = t.restore(step);
      EXPECT_LE(at, step);
      EXPECT_EQ(b.machine->steps(), at);
      EXPECT_EQ(t.newest(), at);
    }
    forward(*b.machine, t, step, c.below(2) ? every : every / 7 + 1);
    ASSERT_EQ(b.machine->steps(), step);
    const std::string hash = b.machine->state_hash();
    EXPECT_EQ(seen.try_emplace(step, hash).first->second, hash);
    Booted fresh(GetParam());
    if (n % 5 == 0) {
      fresh.machine->run(step);
      EXPECT_EQ(fresh.machine->state_hash(), hash) << "step " << step;
    }
  }
  b.machine->run(GetParam().limit);
  EXPECT_EQ(silent(*b.machine), o);
}

TEST_P(Timelines, with_little_memory_history_is_shorter_but_true) {
  Booted a(GetParam()), b(GetParam());
  a.machine->run(GetParam().limit);
  const Outcome o = silent(*a.machine);
  Timeline t(*b.machine, 1);   // never enough
  forward(*b.machine, t, o.steps, o.steps / 100 + 1);
  EXPECT_EQ(silent(*b.machine), o);
  EXPECT_GE(t.steps().size(), 2u);
  EXPECT_LE(t.steps().size(), 8u);
  b.machine->stop().clear();
  const u64 at = t.restore(t.oldest());
  EXPECT_EQ(at, t.oldest());
  EXPECT_GT(at, 0u);
  b.machine->run(GetParam().limit);
  EXPECT_EQ(silent(*b.machine), o);
}

TEST(Timeline, thinning_keeps_the_beginning_and_what_is_near) {
  // mov ecx, n; l: mov [0x102000 + ecx * 4], ecx; loop l; then an endless loop: pages are written one after the other.
  Raw r({0xb9, 0x00, 0x00, 0x08, 0x00, 0x89, 0x0c, 0x8d, 0x00, 0x20, 0x10, 0x00, 0xe2, 0xf7, 0xeb, 0xfe});
  Machine& m = *r.machine;
  const std::string first = m.state_hash();
  Timeline t(m, u64{6} << 20);
  for (u64 n = 1; n <= 400; ++n) {
    m.run(n * 2000);
    t.save();
    EXPECT_LE(t.bytes(), (u64{6} << 20)) << n;
  }
  const auto steps = t.steps();
  EXPECT_EQ(steps.front(), 0u);
  EXPECT_EQ(steps.back(), 800'000u);
  ASSERT_GT(steps.size(), 10u);
  EXPECT_LE(steps.back() - steps[steps.size() - 3], 4000u);                          // close together now,
  EXPECT_GT(steps[2] - steps[1], steps.back() - steps[steps.size() - 2]);            // and further apart long ago
  Raw fresh({0xb9, 0x00, 0x00, 0x08, 0x00, 0x89, 0x0c, 0x8d, 0x00, 0x20, 0x10, 0x00, 0xe2, 0xf7, 0xeb, 0xfe});
  const u64 middle = steps[steps.size() / 2];
  EXPECT_EQ(t.restore(middle + 1), middle);
  fresh.machine->run(middle);
  EXPECT_EQ(m.state_hash(), fresh.machine->state_hash());
  EXPECT_EQ(t.restore(0), 0u);
  EXPECT_EQ(m.state_hash(), first);
}

TEST(Timeline, every_writer_is_noticed) {
  Raw r({0xeb, 0xfe});
  Machine& m = *r.machine;
  r.poke<u64>(0x102000, 0x1111);
  Timeline t(m);
  m.run(100);
  t.save();
  const std::string before = m.state_hash();
  for (WriteCause cause : {WriteCause::store, WriteCause::dma, WriteCause::walker_ad, WriteCause::vmcs, WriteCause::loader, WriteCause::debugger}) {
    const u64 other = 0x2222 + static_cast<u64>(cause);
    m.memory().write(Hpa{0x102000}, &other, 8, cause);
    m.memory().write(Hpa{0x103ffc}, &other, 8, cause);   // two pages
    EXPECT_NE(m.state_hash(), before);
    EXPECT_EQ(t.restore(100), 100u);
    EXPECT_EQ(m.state_hash(), before);
  }
}

TEST(Timeline, leaves_no_trace_when_it_goes) {
  Raw r({0xeb, 0xfe});
  {
    Timeline t(*r.machine);
    EXPECT_TRUE(r.machine->memory().flags(Hpa{0x102000}) & page_flag::unsaved);
  }
  EXPECT_FALSE(r.machine->memory().flags(Hpa{0x102000}) & page_flag::unsaved);
  r.machine->run(1000);
  EXPECT_EQ(r.machine->steps(), 1000u);
}

}  // namespace
}  // namespace vt::emu
