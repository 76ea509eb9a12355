// SPDX-License-Identifier: GPL-2.0-or-later
#include "recorder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace vt::cli {
namespace {

Event event(EventKind k, u64 a = 0, u64 b = 0, u64 step = 1) { return {.kind = k, .cpu = 1, .step = step, .rip = 0xabc, .a = a, .b = b, .c = 3, .d = 4}; }

TEST(recorder, rare_events_are_kept_and_frequent_ones_counted) {
  char name[] = "/tmp/vitrine-events-XXXXXX";
  const std::string file = std::string(::mkdtemp(name)) + "/events.vit";
  Stop stop;
  {
    Recorder r(stop, {});
    r.keep(file);
    r.on(event(EventKind::vm_exit, 48));
    r.on(event(EventKind::exception, 14));
    r.on(event(EventKind::invept, 1, 0x1234, 77));
    r.on(event(EventKind::vtd_fault, 0, 0xf8));
    EXPECT_EQ(r.exits(), 1u);
    EXPECT_EQ(r.count(EventKind::exception), 1u);
    EXPECT_TRUE(r.finish());
  }
  std::ifstream in(file, std::ios::binary);
  std::string head, rest;
  std::getline(in, head);
  std::stringstream s;
  s << in.rdbuf();
  rest = s.str();
  const auto j = nlohmann::json::parse(head);
  EXPECT_EQ(j["schema"], "vitrine.events/1");
  EXPECT_EQ(j["record_size"], views::kEventRecord);
  ASSERT_EQ(rest.size(), 2 * views::kEventRecord);
  u16 kind = 0, cpu = 0;
  u64 words[6];
  std::memcpy(&kind, rest.data(), 2);
  std::memcpy(&cpu, rest.data() + 2, 2);
  std::memcpy(words, rest.data() + 8, sizeof words);
  EXPECT_EQ(j["kinds"][kind], "invept");
  EXPECT_EQ(cpu, 1);
  EXPECT_EQ(words[0], 77u);
  EXPECT_EQ(words[1], 0xabcu);
  EXPECT_EQ(words[2], 1u);
  EXPECT_EQ(words[3], 0x1234u);
  EXPECT_EQ(words[5], 4u);
  std::filesystem::remove_all(name);
}

TEST(recorder, vm_exits_over_time_stay_in_a_thousand_bins_and_none_is_lost) {
  Stop stop;
  Recorder r(stop, {});
  for (u64 step : {u64{0}, u64{65'535}, u64{65'536}, u64{200'000}}) r.on(event(EventKind::vm_exit, 48, 0, step));
  r.on(event(EventKind::vm_exit, 10, 0, 70'000));
  ASSERT_EQ(r.steps_per_bin(), 65'536u);
  EXPECT_EQ(r.exits_over_time().at(48), (std::vector<u64>{2, 1, 0, 1}));
  r.on(event(EventKind::vm_exit, 0x80000000 | 12, 0, 65'536 * 1024 * 4 - 1));   // four times what fits; a flag above the basic reason
  ASSERT_EQ(r.steps_per_bin(), 4 * 65'536u);
  EXPECT_EQ(r.exits_over_time().at(48), (std::vector<u64>{4}));
  EXPECT_EQ(r.exits_over_time().at(10), (std::vector<u64>{1}));
  EXPECT_EQ(r.exits_over_time().at(12).size(), Recorder::kBins);
  EXPECT_EQ(r.exits_over_time().at(12).back(), 1u);
}

TEST(recorder, remembers_each_ept_pointer_once) {
  Stop stop;
  Recorder r(stop, {});
  r.on(event(EventKind::eptp_change, 0x1000, 0x501e, 10));
  r.on(event(EventKind::vm_entry, 0x1000, 0x501e, 20));
  r.on(event(EventKind::vm_entry, 0x2000, 0x601e, 30));
  r.on(event(EventKind::vm_entry, 0x1000, 0x501e, 40));
  r.on(event(EventKind::vm_entry, 0x3000, 0, 50));   // without EPT
  ASSERT_EQ(r.eptps().size(), 2u);
  EXPECT_EQ(r.eptps()[0].eptp, 0x501eu);
  EXPECT_EQ(r.eptps()[0].first_step, 10u);
  EXPECT_EQ(r.eptps()[0].last_step, 40u);
  EXPECT_EQ(r.eptps()[1].vmcs, 0x2000u);
}

TEST(recorder, ends_the_run_where_it_was_asked_to) {
  for (auto [until, exits] : {std::pair{"exit#2", 2}, {"exit:cpuid", 3}, {"exit#9", 0}}) {
    Stop stop;
    Recorder r(stop, parse_when(until));
    int ended = 0, n = 0;
    for (unsigned reason : {48u, 48u, 10u, 10u}) {
      r.on(event(EventKind::vm_exit, reason));
      ++n;
      if (stop.requested() && !ended) ended = n;
    }
    EXPECT_EQ(ended, exits) << until;
    EXPECT_EQ(stop.reason(), ended ? StopReason::until : StopReason::none);
  }
}

}  // namespace
}  // namespace vt::cli
