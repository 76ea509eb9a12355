// SPDX-License-Identifier: GPL-2.0-or-later
/// The native judge's short form. VITRINE_JUDGE_CASES: cases per class (build/tools/judge has the long form).
#include "judge/judge.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "judge/decode.hpp"
#include "judge/generate.hpp"
#include "pattern.hpp"

namespace vt::judge {
namespace {

u64 cases() {
  const char* v = std::getenv("VITRINE_JUDGE_CASES");
  return v ? std::strtoull(v, nullptr, 0) : 4000;
}

void compare(Judge& judge, unsigned code) {
  for (const Class& c : classes(code)) {
    if (!judge.missing(c).empty()) continue;
    const Result r = judge.run(c, {.seed = 7, .cases = cases(), .reports = 2});
    if (r.cases == 0) continue;  // the host has none of it
    EXPECT_EQ(r.cases, cases()) << c.name;
    EXPECT_EQ(r.differences, 0u) << c.name << (r.reports.empty() ? "" : "\n" + r.reports[0]);
    EXPECT_GT(r.faults, 0u) << c.name << ": faults belong to the cases";
    EXPECT_LT(r.faults, r.cases / 2) << c.name;
  }
}

TEST(judge, the_host_does_the_same) {
  Judge judge;
  if (!judge.missing().empty()) GTEST_SKIP() << judge.missing();
  compare(judge, 2);
}
TEST(judge, the_host_does_the_same_in_32_bit_mode) {
  Judge judge;
  if (!judge.missing(1).empty()) GTEST_SKIP() << judge.missing(1);
  compare(judge, 1);
}
TEST(judge, the_host_does_the_same_in_16_bit_mode) {
  Judge judge;
  if (!judge.missing(0).empty()) GTEST_SKIP() << judge.missing(0);
  compare(judge, 0);
}

TEST(judge, a_difference_is_seen) {
  Judge judge;
  if (!judge.missing().empty()) GTEST_SKIP() << judge.missing();
  Class add{"integer", "", {}};
  for (unsigned n : classes()[0].rows) if (listed("ADD", cpu::all_rows()[n].name)) add.rows.push_back(n);
  ASSERT_FALSE(add.rows.empty());
  const Judge::Options o{.seed = 1, .cases = 300};
  EXPECT_EQ(judge.run(add, o).differences, 0u);
  judge.before_model([](State& s) { s.r[1] ^= 4; });
  EXPECT_GT(judge.run(add, o).differences, 100u);
}

// Hypervisors under the host have kept cases for ever.
TEST(judge, a_case_without_end_is_ended) {
  Host host;
  if (!host.missing().empty()) GTEST_SKIP() << host.missing();
  const u8 loop[] = {0xeb, 0xfe}, end[] = {0x90, 0xcc};
  unsigned started = 0;
  std::vector<Outcome> seen;
  host.run([&](State& s) {
    if (started == 2) return false;
    s = {};
    s.rip = kCode, s.r[4] = kStack + kPage;
    std::memcpy(Host::at(kCode), started++ ? end : loop, 2);
    return true;
  }, [&](const Outcome& o) { seen.push_back(o); });
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].vector, kNoEnd);
  EXPECT_EQ(seen[0].s.rip, kCode);
  EXPECT_EQ(seen[1].vector, 3u) << "the next one is as ever";
}

TEST(judge, every_row_is_run_or_said_not_to_be) {
  std::set<unsigned> run, narrow[2];
  for (unsigned code : {0u, 1u, 2u})
    for (const Class& c : classes(code)) {
      EXPECT_EQ(c.code, code);
      EXPECT_FALSE(c.rows.empty()) << c.name;
      for (unsigned n : c.rows) EXPECT_TRUE((code == 2 ? run : narrow[code]).insert(n).second) << c.name << " " << cpu::all_rows()[n].name;
    }
  EXPECT_EQ(narrow[0], narrow[1]);
  const auto& rows = cpu::all_rows();
  auto part_of = [](std::span<const cpu::Def> part, const cpu::Def& d) {
    for (auto& x : part) if (x.name == d.name && x.opcode == d.opcode) return true;
    return false;
  };
  for (unsigned n = 0; n < rows.size(); ++n) {
    const cpu::Def& d = rows[n];
    if (excluded(d)) continue;
    if (d.attrs & cpu::attr::no64) { EXPECT_EQ(narrow[0].count(n), 1u) << d.name << " " << d.opcode; continue; }
    if (run.count(n) && !(d.attrs & cpu::attr::only64) && cpu::all_patterns()[n].w != 1) { EXPECT_EQ(narrow[0].count(n), 1u) << d.name << " " << d.opcode; }
    if (run.count(n) || part_of(cpu::system_rows(), d) || part_of(cpu::io_rows(), d) || part_of(cpu::vmx_rows(), d)) continue;
    ADD_FAILURE() << d.name << " " << d.opcode << " is in no class";
  }
}

TEST(judge, a_case_is_the_same_for_the_same_seed_whatever_came_before) {
  const Class& c = classes()[3];
  const Case a = make_case(c, 5, 1234);
  (void)make_case(c, 5, 77);
  const Case b = make_case(c, 5, 1234);
  EXPECT_EQ(a.code, b.code);
  EXPECT_EQ(a.start.rip, b.start.rip);
  EXPECT_EQ(0, std::memcmp(a.start.r, b.start.r, sizeof a.start.r));
  EXPECT_NE(make_case(c, 6, 1234).start.r[0], a.start.r[0]);
}

TEST(judge, the_decoder_agrees_with_zydis_in_every_mode) {
  for (unsigned code : {0u, 1u, 2u}) {
    const DecodeResult r = decode_random(code, 3, 0, 60'000);
    for (auto& [what, n] : r.unexplained) ADD_FAILURE() << (16u << code) << "-bit: " << what << ", " << n << " times, such as" << r.example.at(what);
    EXPECT_GT(r.instructions, 15'000u);
  }
}
TEST(decoder, agrees_with_zydis_on_every_opcode) {
  for (unsigned code : {0u, 1u, 2u}) {
    const DecodeResult r = decode_tables(code);
    for (auto& [what, n] : r.unexplained) ADD_FAILURE() << (16u << code) << "-bit: " << what << ", " << n << " times, such as" << r.example.at(what);
    EXPECT_GT(r.instructions, 100'000u);
  }
}

}  // namespace
}  // namespace vt::judge
