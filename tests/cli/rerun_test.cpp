// SPDX-License-Identifier: GPL-2.0-or-later
#include "rerun.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "run_dir.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
namespace fs = std::filesystem;

using Code = std::vector<u8>;
Code operator+(Code a, const Code& b) { a.insert(a.end(), b.begin(), b.end()); return a; }

Code say(const std::string& text) {
  Code c{0xba, 0xf8, 0x03};                                                    // mov dx, 0x3f8
  for (char ch : text) c = c + Code{0xb0, static_cast<u8>(ch), 0xee};          // mov al, ch; out dx, al
  return c;
}
const Code kWait{0xb9, 0x00, 0x40, 0xe2, 0xfe};                                // mov cx, 0x4000; loop $
const Code kExit{0xb0, 0x05, 0xe6, 0xf4}, kLoop{0xeb, 0xfe}, kHalt{0xfa, 0xf4};
const Code kReset{0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee};                         // mov dx, 0xcf9; mov al, 6; out dx, al
const Code kPowerOff{0xba, 0x04, 0x06, 0xb8, 0x00, 0x34, 0xef};
const Code kUnsupported{0x66, 0xb9, 0xd9, 0x01, 0x00, 0x00, 0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, 0x66, 0x31, 0xd2, 0x0f, 0x30};
/// Shadows of time: channel 0 of the 8254 at its fastest rates, so that an event is due at nearly any step.
const Code kTimer{0xb0, 0x34, 0xe6, 0x43, 0xb0, 0x08, 0xe6, 0x40, 0xb0, 0x00, 0xe6, 0x40};

struct Place {
  Place() {
    char name[] = "/tmp/vitrine-rerun-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Place() { fs::remove_all(path); }
  std::string rom(const Code& code) const {
    std::vector<char> image(0x10000, static_cast<char>(0xf4));
    std::copy(code.begin(), code.end(), image.begin());
    image[0xfff0] = static_cast<char>(0xe9), image[0xfff1] = 0x0d, image[0xfff2] = 0;   // jmp to the beginning
    std::ofstream(path + "/rom", std::ios::binary).write(image.data(), static_cast<std::streamsize>(image.size()));
    return path + "/rom";
  }
  std::string run(const Code& code, RunOptions o = {}) const {
    o.arguments = {"vitrine", "run"};
    o.firmware = rom(code), o.out = path + "/run", o.console = "none";
    (void)cli::run(o);
    return o.out;
  }
  std::string path;
};

std::string why_not(const std::string& run) {
  try {
    Rerun r(run);
    r.to(~u64{0}, "test");
  } catch (const InputError& e) {
    return e.what();
  }
  return "(taken)";
}

struct EndCase { const char* name; Code code; const char* until; const char* max_steps; };
class rerun_ends : public testing::TestWithParam<EndCase> {};

TEST_P(rerun_ends, at_the_end_the_hash_is_that_of_the_manifest) {
  const auto& p = GetParam();
  Place place;
  RunOptions o;
  o.until = p.until, o.max_steps = p.max_steps;
  const bool timer = p.code != kHalt;   // with it, something is due for ever
  const std::string run = place.run((timer ? kTimer : Code{}) + kWait + p.code, o);
  Rerun r(run);
  EXPECT_EQ(r.machine().steps(), 0u);
  r.to(~u64{0}, "test");
  EXPECT_EQ(r.machine().steps(), r.end_step());
  EXPECT_EQ(r.machine().steps(), r.manifest()["steps"].get<u64>());
  EXPECT_EQ(r.machine().cycles(), r.manifest()["cycles"].get<u64>());
  EXPECT_EQ(r.machine().state_hash(), r.manifest()["state_hash"].get<std::string>());
  EXPECT_FALSE(r.machine().stop().requested());
  // In pieces, and from the checkpoint of the end.
  Rerun pieces(run);
  for (u64 step = 1; step < r.end_step(); step += 977) {
    pieces.to(step, "test");
    EXPECT_EQ(pieces.machine().steps(), step);
  }
  pieces.to(r.end_step(), "test");
  EXPECT_EQ(pieces.machine().state_hash(), r.manifest()["state_hash"].get<std::string>());
  Rerun saved(run, run + "/" + kEndCheckpoint);
  saved.to(r.end_step(), "test");
  EXPECT_EQ(saved.machine().state_hash(), r.manifest()["state_hash"].get<std::string>());
}

INSTANTIATE_TEST_SUITE_P(ends, rerun_ends, testing::Values(
    EndCase{"exit_device", kExit, "", ""}, EndCase{"halted", kHalt, "", ""}, EndCase{"reset", kReset, "", ""}, EndCase{"power_off", kPowerOff, "", ""},
    EndCase{"unsupported", kUnsupported, "", ""}, EndCase{"step", kLoop, "20011", ""}, EndCase{"limit", kLoop, "", "20011"},
    EndCase{"text", say("hello\r\nworld") + kLoop, "console:'wor'", ""}), [](auto& i) { return i.param.name; });

TEST(rerun, observers_see_events_and_lines) {
  Place place;
  const std::string run = place.run(say("one\r\ntwo\n") + Code{0x0f, 0x0b}, {.until = "200"});   // UD2 through an empty table: into zeros at 0000:0000
  Rerun r(run);
  struct Count final : EventSink {
    void on(const Event& e) override { n += e.kind == EventKind::exception; }
    unsigned n = 0;
  } a, b;
  std::vector<std::string> lines;
  std::vector<u64> steps;
  unsigned texts = 0;
  r.watch(&a);
  r.watch(&b);
  r.on_console([&](u64 step, const std::string& line) { steps.push_back(step), lines.push_back(line); });
  r.on_text("o", [&] { ++texts; });
  r.to(60, "test");
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(texts, 2u) << "each time that it is printed";
  std::ifstream console(run + "/" + kConsole);
  std::string line;
  for (u64 step : steps) {
    std::getline(console, line);
    EXPECT_NE(line.find(std::to_string(step) + "]"), line.npos) << line;
  }
  EXPECT_GE(a.n, 1u);
  EXPECT_EQ(a.n, b.n);
}

TEST(rerun, an_observer_can_stop_it) {
  Place place;
  const std::string run = place.run(say("one two") + kLoop, {.until = "5000"});
  Rerun r(run);
  r.on_text("one", [&] { r.machine().stop().request(StopReason::until, "test"); });
  r.to(~u64{0}, "test");
  EXPECT_LT(r.machine().steps(), 20u);
  EXPECT_EQ(r.machine().stop().what(), "test");
  r.machine().stop().clear();
  r.to(~u64{0}, "test");
  EXPECT_EQ(r.machine().state_hash(), r.manifest()["state_hash"].get<std::string>());
}

TEST(rerun, the_way_of_a_relative_file_name) {
  Place place;
  place.rom(kExit);
  const fs::path here = fs::current_path();
  fs::create_directory(place.path + "/sub");
  fs::current_path(place.path);
  (void)cli::run({.arguments = {}, .firmware = "rom", .out = "run", .console = "none"});
  fs::current_path(place.path + "/sub");
  Rerun r("../run");
  r.to(~u64{0}, "test");
  EXPECT_EQ(r.machine().state_hash(), r.manifest()["state_hash"].get<std::string>());
  EXPECT_EQ(fs::current_path(), fs::path(place.path + "/sub"));
  fs::current_path(here);
}

TEST(rerun, inputs_that_changed_or_vanished_are_named) {
  Place place;
  const std::string run = place.run(kExit);
  place.rom(kHalt);
  std::string why = why_not(run);
  EXPECT_EQ(why.rfind(place.path + "/rom: has changed", 0), 0u) << why;
  EXPECT_NE(why.find("make a new run"), why.npos) << why;
  fs::remove(place.path + "/rom");
  why = why_not(run);
  EXPECT_EQ(why.rfind(place.path + "/rom: is gone", 0), 0u) << why;
  place.rom(kExit);
  EXPECT_EQ(why_not(run), "(taken)");
  fw::Platform p = fw::load_platform(run + "/" + kPlatform);
  p.name = "another";
  std::ofstream(run + "/" + kPlatform) << fw::to_json(p);
  why = why_not(run);
  EXPECT_NE(why.find("platform.json: has changed"), why.npos) << why;
}

TEST(rerun, inputs_from_outside_that_make_no_sense_are_named) {
  Place place;
  const std::string run = place.run(kExit);
  auto with = [&](const std::string& text) {
    std::ofstream(run + "/" + kInput, std::ios::trunc) << text;
    return why_not(run);
  };
  const std::string good = R"({"step":1,"device":"com1","bytes":"40"})" "\n";
  for (auto [line, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"nonsense", "input.jsonl:2: is no JSON object"}, {"[1]", "input.jsonl:2: is no JSON object"},
           {R"({"device":"com1","bytes":"40"})", "input.jsonl:2: step: has to be a number"}, {R"({"step":-1,"device":"com1","bytes":"40"})", "input.jsonl:2: step"},
           {R"({"step":0,"device":"com1","bytes":"40"})", "input.jsonl:2: step: is before that of the line above"},
           {R"({"step":5,"bytes":"40"})", "input.jsonl:2: device: is missing"}, {R"({"step":5,"device":"com2","bytes":"40"})", "this version knows com1, memory and net0"},
           {R"({"step":5,"device":"net","bytes":"40"})", "input.jsonl:2: device"}, {R"({"step":5,"device":"net-1","bytes":"40"})", "input.jsonl:2: device"},
           {R"({"step":5,"device":"com1","bytes":"4"})", "input.jsonl:2: bytes"}, {R"({"step":5,"device":"com1","bytes":"4g"})", "input.jsonl:2: bytes"},
           {R"({"step":5,"device":"com1"})", "input.jsonl:2: bytes"}, {R"({"step":5,"device":"memory","bytes":"40"})", "input.jsonl:2: address"},
           {R"({"step":5,"device":"memory","address":"0x1fff","bytes":"4040"})", "input.jsonl:2: bytes: leave their page"},
           {R"({"step":5,"device":"com1","bytes":"40","waits":"x"})", "input.jsonl:2: waits"},
           {R"({"step":1,"device":"net0","bytes":"40"})", "input.jsonl: a frame for net0, and the machine has 0 network cards"}}) {
    EXPECT_NE(with(good + line + "\n").find(why), std::string::npos) << line << ": " << with(good + line + "\n");
  }
  EXPECT_EQ(with(R"({"step":1,"device":"com1","by)"), "(taken)") << "an unfinished last line: cut off";
  EXPECT_EQ(with(R"({"step":1,"device":"com1","bytes":"40"})"), "(taken)");
}

TEST(rerun, no_run_no_end_no_options) {
  Place place;
  EXPECT_NE(why_not(place.path).find("is not a run directory"), std::string::npos);
  const std::string run = place.run(kExit);
  auto j = read_manifest(run);
  auto with = [&](auto change) {
    auto k = j;
    change(k);
    std::ofstream(run + "/" + kManifest) << k.dump();
    return why_not(run);
  };
  EXPECT_NE(with([](auto& k) { k["end"] = {{"reason", "unfinished"}}; }).find("cut off (unfinished)"), std::string::npos);
  EXPECT_NE(with([](auto& k) { k.erase("options"); }).find("has no options"), std::string::npos);
  EXPECT_NE(with([](auto& k) { k["schema"] = "vitrine.run/9"; }).find("schema"), std::string::npos);
  EXPECT_NE(with([](auto& k) { k["input"] = {{{"step", 5}, {"device", "com1"}, {"bytes", "40"}}}; }).find("input: is in input.jsonl since a later version"), std::string::npos);
  EXPECT_NE(with([](auto& k) { k["end"]["step"] = 2; }).find("goes another way"), std::string::npos);
  EXPECT_NE(with([](auto& k) { k["end"]["step"] = 300; }).find("goes another way"), std::string::npos);
}

}  // namespace
}  // namespace vt::cli
