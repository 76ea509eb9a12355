// SPDX-License-Identifier: GPL-2.0-or-later
// Moments of a finished run, and typed input, on ROM images of a few bytes: each is what a fresh run to there is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "run_dir.hpp"
#include "saved.hpp"
#include "typing.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
namespace fs = std::filesystem;
using Code = std::vector<u8>;
Code operator+(Code a, const Code& b) { a.insert(a.end(), b.begin(), b.end()); return a; }

Code say(const std::string& text) {
  Code c{0xba, 0xf8, 0x03};
  for (char ch : text) c = c + Code{0xb0, static_cast<u8>(ch), 0xee};
  return c;
}
const Code kTimer{0xb0, 0x34, 0xe6, 0x43, 0xb0, 0x08, 0xe6, 0x40, 0xb0, 0x00, 0xe6, 0x40};   // 8254, channel 0: every 8 ticks
const Code kWait{0xb9, 0x00, 0x40, 0xe2, 0xfe}, kExit{0xb0, 0x05, 0xe6, 0xf4};
/// Polls COM1, echoes what comes, and exits after a 'q'.
const Code kEcho{0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0xba, 0xf8, 0x03, 0xec, 0xee, 0x3c, 'q', 0x75, 0xef, 0xb0, 0x00, 0xe6, 0xf4};
const Code kTalk = kTimer + say("one\n") + kWait + say("two\n") + kWait + say("three\n") + kWait + kExit;

struct Place {
  Place() {
    char name[] = "/tmp/vitrine-moment-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Place() { fs::remove_all(path); }
  std::string run(const Code& code, const std::string& name, RunOptions o = {}) const {
    std::vector<char> image(0x10000, static_cast<char>(0xf4));
    std::copy(code.begin(), code.end(), image.begin());
    image[0xfff0] = static_cast<char>(0xe9), image[0xfff1] = 0x0d, image[0xfff2] = 0;
    std::ofstream(path + "/rom", std::ios::binary).write(image.data(), static_cast<std::streamsize>(image.size()));
    o.firmware = path + "/rom", o.out = path + "/" + name, o.console = "none";
    (void)cli::run(o);
    return o.out;
  }
  std::string path;
};

std::string hash_at(const std::string& run) { Saved s(run); return s.machine().state_hash(); }
std::string hash_of(const std::string& run) { return read_manifest(run)["state_hash"].get<std::string>(); }
std::string text_file(const std::string& file) { std::ifstream in(file); return {std::istreambuf_iterator<char>(in), {}}; }
std::vector<std::string> checkpoints(const std::string& run) {
  std::vector<std::string> all;
  for (auto& f : fs::directory_iterator(run + "/cache")) if (f.path().extension() == ".ckpt") all.push_back(f.path().filename());
  std::sort(all.begin(), all.end());
  return all;
}
template <class F> std::string refusal(F f) {
  try { f(); } catch (const std::runtime_error& e) { return e.what(); }
  return "(taken)";
}

TEST(moment, is_what_a_fresh_run_until_then_is) {
  Place place;
  const std::string run = place.run(kTalk, "run");
  for (const char* t : {"1", "777", "30000", "console:'two'", "console:'three'"}) {
    const std::string fresh = place.run(kTalk, "fresh", {.until = t}), at = run + "@" + t;
    EXPECT_EQ(hash_at(at), hash_of(fresh)) << t;
    EXPECT_EQ(hash_at(at), hash_of(fresh)) << t << ", a second time: from the cache";
    EXPECT_EQ(Saved(at).machine().steps(), read_manifest(fresh)["steps"].get<u64>());
  }
  EXPECT_EQ(hash_at(run), hash_of(run));
  EXPECT_EQ(hash_at(run + "@end"), hash_of(run));
  EXPECT_EQ(hash_at(run + "@100%"), hash_of(run));
  const u64 end = read_manifest(run)["steps"].get<u64>();
  EXPECT_EQ(Saved(run + "@0%").machine().steps(), 0u);
  EXPECT_EQ(Saved(run + "@50%").machine().steps(), end / 2);
  EXPECT_EQ(Saved(run + "@12.5%").machine().steps(), end / 8);
}

TEST(moment, answers_are_kept_and_few) {
  Place place;
  const std::string run = place.run(kTalk, "run");
  EXPECT_EQ(checkpoints(run), (std::vector<std::string>{"end.ckpt"}));
  for (int k = 1; k <= 6; ++k) (void)hash_at(run + "@" + std::to_string(k * 1000));
  EXPECT_EQ(checkpoints(run), (std::vector<std::string>{"3000.ckpt", "4000.ckpt", "5000.ckpt", "6000.ckpt", "end.ckpt"})) << "the newest four";
  (void)hash_at(run + "@console:'two'");
  const std::string times = text_file(run + "/cache/times.json");
  EXPECT_NE(times.find("\"console:'two'\": "), times.npos) << times;
  // The answer does not need the inputs any more.
  fs::remove(place.path + "/rom");
  EXPECT_NE(refusal([&] { (void)hash_at(run + "@2000"); }).find("rom: is gone"), std::string::npos);
  EXPECT_EQ(refusal([&] { (void)hash_at(run + "@console:'two'"); }), "(taken)");
  EXPECT_EQ(refusal([&] { (void)hash_at(run + "@5500"); }), "(taken)") << "from the one at 5000";
}

TEST(moment, a_cache_that_is_gone_or_nonsense_is_made_again) {
  Place place;
  const std::string run = place.run(kTalk, "run"), hash = hash_at(run + "@console:'two'");
  std::ofstream(run + "/cache/times.json") << "{";
  EXPECT_EQ(hash_at(run + "@console:'two'"), hash);
  fs::remove_all(run + "/cache");
  EXPECT_EQ(hash_at(run), hash_of(run));
  EXPECT_EQ(checkpoints(run), (std::vector<std::string>{"end.ckpt"}));
  (void)hash_at(run + "@4000");
  fs::rename(run + "/cache/4000.ckpt", run + "/cache/4500.ckpt");
  EXPECT_NE(refusal([&] { (void)hash_at(run + "@4500"); }).find("4500.ckpt: is a checkpoint of step 4000"), std::string::npos);
}

TEST(moment, that_did_not_come_is_refused_in_words) {
  Place place;
  const std::string run = place.run(kTalk, "run");
  auto why = [&](const std::string& t) { return refusal([&] { (void)hash_at(run + "@" + t); }); };
  EXPECT_NE(why("99,999,999").find("the run ended before, at step"), std::string::npos);
  EXPECT_NE(why("console:'four'").find("it did not print that"), std::string::npos);
  EXPECT_NE(why("exit#1").find("it had 0 VM exits"), std::string::npos);
  EXPECT_NE(why("entry#2").find("it had 0 VM entries"), std::string::npos);
  EXPECT_NE(why("exit:ept-violation").find("it did not come to that"), std::string::npos);
  EXPECT_NE(why("sym:main").find("there are no symbols"), std::string::npos);
  EXPECT_THROW(Saved{run + "@soon"}, UsageError);
  EXPECT_THROW(Saved(run + "@5").end_only("stat"), UsageError);
}

TEST(moment, kept_checkpoints_are_starting_points) {
  Place place;
  const std::string plain = place.run(kTalk, "plain"), run = place.run(kTalk, "run", {.checkpoint_every = "10,000"});
  EXPECT_EQ(hash_of(run), hash_of(plain)) << "keeping them changes nothing";
  const auto list = read_manifest(run)["checkpoints"];
  ASSERT_EQ(list.size(), 5u) << list.dump();
  for (auto& c : list) EXPECT_TRUE(fs::exists(run + "/" + c["file"].get<std::string>())) << c.dump();
  EXPECT_EQ(list[1]["step"], 20000);
  fs::remove(place.path + "/rom");   // none of it needs the inputs
  EXPECT_EQ(hash_at(run + "@20000"), hash_of(place.run(kTalk, "fresh", {.until = "20000"})));
  fs::remove(place.path + "/rom");
  EXPECT_EQ(Saved(run + "@20500").machine().steps(), 20500u);
  EXPECT_EQ(checkpoints(run).size(), 6u) << "those of the run are not counted";
}

TEST(typing, orders) {
  EXPECT_EQ(parse_type("console:'login: '=root\\r").text, "login: ");
  EXPECT_EQ(parse_type("console:'login: '=root\\r").keys, "root\r");
  EXPECT_EQ(parse_type("console:'a=b'=^A^a^[\\x41\\n\\\\").keys, std::string("\x01\x01\x1b" "A\n\\"));
  EXPECT_EQ(parse_type("console:a='x'").keys, "'x'");
  EXPECT_EQ(parse_type("1,000=k").step, 1000u);
  EXPECT_EQ(parse_type("5=\\0").keys, std::string(1, '\0'));
  EXPECT_EQ(parse_type("5=^?\\^").keys, "\x7f^");
  auto why = [](const char* s) { return refusal([&] { (void)parse_type(s); }); };
  EXPECT_NE(why("console:'a").find("does not end with '="), std::string::npos);
  EXPECT_NE(why("console:a").find("there is no ="), std::string::npos);
  EXPECT_NE(why("console:''=a").find("the text is empty"), std::string::npos);
  EXPECT_NE(why("sometime=a").find("console:'TEXT'=KEYS or STEP=KEYS"), std::string::npos);
  EXPECT_NE(why("5=").find("no keys"), std::string::npos);
  EXPECT_NE(why("5=\\q").find("no escape \\q"), std::string::npos);
  EXPECT_NE(why("5=\\x4").find("two hexadecimal digits"), std::string::npos);
  EXPECT_NE(why("5=^5").find("control character"), std::string::npos);
  EXPECT_NE(why("5=^").find("control character"), std::string::npos);
}

TEST(typing, is_recorded_and_repeated) {
  Place place;
  RunOptions o;
  o.type = {"console:'ready'=abc", "console:'ready'=d", "console:'bcd'=xyz", "1,000,000=q"};
  const Code code = kTimer + say("ready\n") + kEcho;
  const std::string run = place.run(code, "run", o);
  const auto m = read_manifest(run);
  EXPECT_EQ(m["end"]["reason"], "exit-device");
  const std::string console = text_file(run + "/" + kConsole);
  EXPECT_NE(console.find("] abcdxyzq\n"), console.npos) << console;
  const auto input = read_inputs(run);
  ASSERT_EQ(input.size(), 3u);
  EXPECT_EQ(input[0].bytes, "abcd") << "in the order given";
  EXPECT_EQ(input[2].step, 1000000u);
  EXPECT_EQ(hash_of(place.run(code, "again", o)), hash_of(run));
  Rerun r(run);
  std::string heard;
  r.on_byte([&](u8 b) { heard += static_cast<char>(b); });
  r.to(~u64{0}, "test");
  EXPECT_EQ(r.machine().state_hash(), hash_of(run));
  EXPECT_EQ(heard, "ready\nabcdxyzq");
  // Also in pieces, and from any checkpoint on.
  const u64 end = r.end_step();
  for (u64 step : {input[0].step, input[1].step + 1, u64{1000000}, u64{1000001}}) {
    Saved at(run + "@" + std::to_string(step));
    at.rerun().to(end, "test");
    EXPECT_EQ(at.machine().state_hash(), hash_of(run)) << step;
    Saved cached(run + "@" + std::to_string(step));
    cached.rerun().to(end, "test");
    EXPECT_EQ(cached.machine().state_hash(), hash_of(run)) << step;
  }
  // The order makes the run, the record repeats it: --type by steps gives the same.
  RunOptions by_step;
  for (auto& i : input) by_step.type.push_back(std::to_string(i.step) + "=" + i.bytes);
  EXPECT_EQ(hash_of(place.run(code, "steps", by_step)), hash_of(run));
}

TEST(typing, characters_take_their_time) {
  Place place;
  RunOptions o;
  o.type = {"console:'r'=abcq"};
  const std::string run = place.run(say("r\n") + kEcho, "run", o);
  const auto m = read_manifest(run);
  EXPECT_NEAR(static_cast<double>(m["cycles"].get<u64>()), 3 * 86805.0, 200) << "115200 baud: the first at once, three more";
}

}  // namespace
}  // namespace vt::cli
