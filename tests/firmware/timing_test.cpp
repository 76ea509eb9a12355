// SPDX-License-Identifier: GPL-2.0-or-later
/// Timing profiles: the built-in ones are whole and say where each value is from; a file may change another; what is wrong is named.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "firmware/platform.hpp"
#include "firmware/timing.hpp"

using namespace vt;
using namespace vt::fw;
using timing::Model;
using timing::OpClass;

namespace {

std::string whole(const std::string& body) { return R"({"vitrine": "timing/1", "base": "skylake-server")" + (body.empty() ? "" : ", " + body) + "}"; }
timing::Profile parse(const std::string& body) { return parse_profile(whole(body), "p.json"); }
const timing::OpCost& cost(const timing::Profile& p, OpClass op) { return p.op[static_cast<std::size_t>(op)]; }

TEST(profiles, built_in_ones_load_under_their_names) {
  EXPECT_EQ(profile_names(), (std::vector<std::string>{"measured-server", "skylake-server"}));
  for (const std::string& name : profile_names()) EXPECT_EQ(load_profile(name).name, name);
  EXPECT_EQ(load_profile(kDefaultProfile).name, "skylake-server");
}

/// Every value with its origin and what it rests on: {"value"...}, or a record that has both beside its fields.
void every_leaf_has_an_origin(const nlohmann::json& j, const std::string& at) {
  if (!j.is_object()) { ADD_FAILURE() << at << " has no origin"; return; }
  if (j.contains("origin")) {
    EXPECT_GT(j["source"].get<std::string>().size(), 3u) << at;
    return;
  }
  for (auto& [k, v] : j.items()) every_leaf_has_an_origin(v, at + "." + k);
}

TEST(profiles, every_value_of_the_built_in_ones_has_its_origin) {
  for (const std::string& name : profile_names()) {
    std::ifstream in(TIMING "/" + name + ".json");
    nlohmann::json j = nlohmann::json::parse(in);
    for (const char* k : {"vitrine", "name", "description"}) EXPECT_EQ(j.erase(k), 1u) << k;
    every_leaf_has_an_origin(j, name);
  }
}

TEST(profiles, the_measured_one_has_what_was_measured) {
  const timing::Profile p = load_profile("measured-server");
  EXPECT_EQ(p.l1d.size, 48u << 10);
  EXPECT_EQ(p.l1d.latency, 5u);
  EXPECT_EQ(p.l2.latency, 16u);
  EXPECT_EQ(p.dtlb_4k.entries, 96u);
  EXPECT_EQ(p.stlb.entries, 2048u);
  EXPECT_EQ(p.stlb_hit, 7u);
  EXPECT_EQ(p.mispredict, 23u);
  for (auto [op, latency] : {std::pair{OpClass::alu, 1}, {OpClass::lea_slow_scaled, 2}, {OpClass::mul, 3}, {OpClass::popcnt, 3}, {OpClass::div32, 11}, {OpClass::fp_mul, 3},
                             {OpClass::fp_div_d, 14}, {OpClass::lfence, 13}, {OpClass::mfence, 39}, {OpClass::pause, 36}, {OpClass::rdtsc, 26}})
    EXPECT_EQ(cost(p, op).latency, latency) << op_name(op);
}

TEST(profiles, canonical_text_reads_back_to_itself) {
  for (const std::string& name : profile_names()) {
    const timing::Profile p = load_profile(name);
    const std::string text = to_json(p);
    EXPECT_EQ(to_json(parse_profile(text, "elsewhere.json")), text);
    EXPECT_EQ(text.find("origin"), text.npos);
  }
}

TEST(profiles, every_class_has_a_name_of_its_own) {
  std::set<std::string> names;
  for (std::size_t n = 0; n < static_cast<std::size_t>(OpClass::count_); ++n) names.insert(op_name(static_cast<OpClass>(n)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(OpClass::count_));
  EXPECT_STREQ(op_name(OpClass::loop_), "loop");
  EXPECT_STREQ(op_name(OpClass::flags_), "flags");
  EXPECT_STREQ(op_name(OpClass::invvpid), "invvpid");
}

TEST(profiles, a_file_gives_only_what_differs) {
  const timing::Profile base = load_profile("skylake-server");
  const timing::Profile p = parse(R"("caches": {"l2": {"size": "512K"}, "dram": {"value": 300, "origin": "measured", "source": "bench"}},
                                     "op": {"alu": {"latency": 2, "ports": [0, 10]}}, "core": {"ports_load": "23B", "rename_memory": true})");
  EXPECT_EQ(p.name, "p");
  EXPECT_EQ(p.l2.size, 512u << 10);
  EXPECT_EQ(p.l2.ways, base.l2.ways);
  EXPECT_EQ(p.dram, 300u);
  EXPECT_EQ(cost(p, OpClass::alu).latency, 2u);
  EXPECT_EQ(cost(p, OpClass::alu).ports, 0x401u);
  EXPECT_EQ(cost(p, OpClass::alu).uops, cost(base, OpClass::alu).uops);
  EXPECT_EQ(p.ports_load, 0x80cu);
  EXPECT_TRUE(p.rename_memory);
  EXPECT_EQ(p.mhz, base.mhz);
}

TEST(profiles, a_base_may_be_a_file_beside_it) {
  const std::filesystem::path dir = std::filesystem::path(testing::TempDir()) / "timing_test";
  std::filesystem::create_directories(dir);
  auto write = [&](const char* name, const std::string& text) { std::ofstream(dir / name) << text; };
  write("a.json", R"({"vitrine": "timing/1", "base": "measured-server", "clock": {"mhz": 2500}})");
  write("b.json", R"({"vitrine": "timing/1", "base": "./a.json", "name": "mine", "branches": {"mispredict": 20}})");
  const timing::Profile p = load_profile((dir / "b.json").string());
  EXPECT_EQ(p.name, "mine");
  EXPECT_EQ(p.mhz, 2500u);
  EXPECT_EQ(p.mispredict, 20u);
  EXPECT_EQ(p.stlb.entries, 2048u);
  write("a.json", R"({"vitrine": "timing/1", "base": "./b.json"})");
  try {
    (void)load_profile((dir / "b.json").string());
    FAIL();
  } catch (const PlatformError& e) {
    EXPECT_NE(std::string(e.what()).find("base: \"./"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("do they name each other?"), std::string::npos) << e.what();
  }
  std::filesystem::remove_all(dir);
}

struct Case { const char* body; const char* message; };   // the message's beginning
class profile_errors : public testing::TestWithParam<Case> {};

TEST_P(profile_errors, name_file_and_field) {
  std::string m = "accepted";
  try {
    (void)parse(GetParam().body);
  } catch (const PlatformError& e) {
    m = e.what();
  }
  EXPECT_EQ(m.substr(0, std::string_view(GetParam().message).size()), GetParam().message) << GetParam().body << "\n" << m;
}

INSTANTIATE_TEST_SUITE_P(fields, profile_errors, testing::Values(
  Case{R"("caches": {"l1d": {"size": -32768}})", "p.json: caches.l1d.size: -32768 is negative"},
  Case{R"("caches": {"dram": -1})", "p.json: caches.dram: -1 is negative"},
  Case{R"("caches": {"dram": {"value": -1}})", "p.json: caches.dram.value: -1 is negative"},
  Case{R"("caches": {"dram": 1.5})", "p.json: caches.dram: 1.5 is not a whole number; costs are whole cycles"},
  Case{R"("caches": {"dram": "many"})", "p.json: caches.dram: \"many\" is not a number"},
  Case{R"("caches": {"dram": {"origin": "measured"}})", "p.json: caches.dram.value: is missing"},
  Case{R"("caches": {"dram": {"value": 3, "origin": "guessed"}})", "p.json: caches.dram.origin: \"guessed\" is unknown; there are measured, published, assumed"},
  Case{R"("caches": {"l2": {"origin": 3}})", "p.json: caches.l2.origin: has to be a string"},
  Case{R"("caches": {"l1d": {"size": "48K"}})", "p.json: caches.l1d.size: 49152 in 8 ways are 96 sets, which is no power of two"},
  Case{R"("caches": {"l1d": {"size": "4K"}})", "p.json: caches.l1d.size: 4096 in 8 ways are 8 sets; 16 at least are possible"},
  Case{R"("caches": {"l1d": {"size": 1000}})", "p.json: caches.l1d.size: 1000 is not a whole number of sets of 8 lines of 64 bytes"},
  Case{R"("caches": {"l1d": {"size": 0}})", "p.json: caches.l1d.size: 0; one line (64) to 1G are possible"},
  Case{R"("caches": {"llc": {"size": "2G"}})", "p.json: caches.llc.size: 2147483648; one line"},
  Case{R"("caches": {"l1d": {"ways": 0}})", "p.json: caches.l1d.ways: 0; a cache has at least one way"},
  Case{R"("caches": {"l2": {"latency": 2}})", "p.json: caches.l2.latency: 2 is less than caches.l1i.latency, 5"},
  Case{R"("caches": {"dram": 20})", "p.json: caches.dram: 20 is less than caches.llc.latency, 60"},
  Case{R"("caches": {"dram": 1000000})", "p.json: caches.dram: 1000000; 0 to 100000 are possible"},
  Case{R"("caches": {"exposed_percent": 101})", "p.json: caches.exposed_percent: 101; 0 to 100 are possible"},
  Case{R"("caches": {"l4": {"size": "1M"}})", "p.json: caches.l4: unknown field; there are dram, exposed_percent, l1d, l1i, l2, llc"},
  Case{R"("cache": {})", "p.json: cache: unknown field; there are "},
  Case{R"("caches": 3)", "p.json: caches: has to be an object"},
  Case{R"("tlb": {"stlb": {"entries": 1000}})", "p.json: tlb.stlb.entries: 1000 is not a multiple of the 12 ways"},
  Case{R"("tlb": {"stlb": {"entries": 1200}})", "p.json: tlb.stlb.entries: 1200 in 12 ways are 100 sets, which is no power of two"},
  Case{R"("tlb": {"dtlb_1g": {"ways": 0}})", "p.json: tlb.dtlb_1g.ways: 0, with entries"},
  Case{R"("branches": {"btb": {"entries": 5000}})", "p.json: branches.btb.entries: 5000 in 4 ways are 1250 sets"},
  Case{R"("branches": {"history_bits": 65})", "p.json: branches.history_bits: 65; 0 to 64 are possible"},
  Case{R"("core": {"width": 0})", "p.json: core.width: 0; 1 to 64 are possible"},
  Case{R"("core": {"rob": 2})", "p.json: core.rob: 2; 4 to 8192 are possible"},
  Case{R"("core": {"ports_load": ""})", "p.json: core.ports_load: names no port"},
  Case{R"("core": {"ports_load": "2x"})", "p.json: core.ports_load: \"2x\": ports are written as the digits 0 to 9 and A to F, as \"0156A\""},
  Case{R"("core": {"ports_load": [2, 16]})", "p.json: core.ports_load: port 16; ports are 0 to 15"},
  Case{R"("core": {"rename_memory": 1})", "p.json: core.rename_memory: has to be true or false"},
  Case{R"("clock": {"mhz": 0})", "p.json: clock.mhz: 0; 1 to 60000 are possible"},
  Case{R"("vtd": {"dma_bytes_per_cycle": 0})", "p.json: vtd.dma_bytes_per_cycle: 0; 1 to 4096 are possible"},
  Case{R"("op": {"adds": {"latency": 1}})", "p.json: op.adds: unknown field; there are adc, aes, alu, "},
  Case{R"("op": {"alu": {"latency": 70000}})", "p.json: op.alu.latency: 70000 is more than 65535"},
  Case{R"("op": {"alu": {"busy": 0}})", "p.json: op.alu.busy: 0; a port is taken for at least one cycle"},
  Case{R"("op": {"alu": {"serialize": 2}})", "p.json: op.alu.serialize: 2; 0 to 1 are possible"},
  Case{R"("op": {"alu": {"cost": 2}})", "p.json: op.alu.cost: unknown field; there are busy, latency, origin, ports, serialize, source, uops"}));

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "accepted";
}

TEST(profile_errors, of_whole_files) {
  auto parsed = [](const char* text) { return error_of([&] { (void)parse_profile(text, "p.json"); }); };
  EXPECT_EQ(parsed("{}"), "p.json: vitrine: is missing; a timing profile begins with \"vitrine\": \"timing/1\"");
  EXPECT_EQ(parsed(R"({"vitrine": "platform/1"})"), "p.json: vitrine: \"platform/1\" is not a format of timing profiles that this version reads; it reads \"timing/1\"");
  EXPECT_EQ(parsed(R"({"vitrine": "timing/1"})"), "p.json: clock: is missing; give it, or a \"base\" to take it from");
  EXPECT_EQ(parsed(R"({"vitrine": "timing/1", "base": "skylake"})"),
            "p.json: base: there is no profile \"skylake\"; built in are measured-server, skylake-server; or give the path of a file");
  EXPECT_EQ(parsed("{"), "p.json: line 1, column 2: this is not JSON");
  EXPECT_EQ(error_of([] { (void)load_profile("nosuch"); }), "nosuch: profile: there is no profile of that name, nor a file; built in are measured-server, skylake-server");
  EXPECT_EQ(error_of([] { (void)load_profile("./nosuch.json"); }), "./nosuch.json: file: cannot be opened; give the path of a timing profile");
  // A whole profile without one of its classes.
  nlohmann::json j = nlohmann::json::parse(to_json(load_profile("skylake-server")));
  j["op"].erase("vmread");
  EXPECT_EQ(parsed(j.dump().c_str()), "p.json: op.vmread: is missing; give it, or a \"base\" to take it from");
}

TEST(timing_option, is_a_model_and_a_profile) {
  EXPECT_EQ(parse_timing("flat").model, Model::flat);
  const timing::Timing events = parse_timing("events");
  EXPECT_EQ(events.model, Model::events);
  EXPECT_EQ(events.profile.name, kDefaultProfile);
  EXPECT_EQ(parse_timing("core,profile=measured-server").profile.name, "measured-server");
  EXPECT_EQ(parse_timing("core", parse_timing("events,profile=measured-server")).profile.name, "measured-server") << "the platform's stays";
  EXPECT_EQ(error_of([] { (void)parse_timing("fast"); }), "'fast': there are flat, events and core");
  EXPECT_EQ(error_of([] { (void)parse_timing("core,speed=1"); }),
            "'speed=1': there is only profile=NAME or profile=FILE; built in are measured-server, skylake-server");
  EXPECT_EQ(error_of([] { (void)parse_timing("core,"); }), "'': there is only profile=NAME or profile=FILE; built in are measured-server, skylake-server");
  EXPECT_EQ(error_of([] { (void)parse_timing("core,profile="); }).substr(0, 10), "'profile='");
}

Platform platform(const std::string& body) { return parse_platform(R"({"vitrine": "platform/1", )" + body + "}", "x.json"); }

TEST(platform_timing, is_flat_unless_said_otherwise) {
  const Platform p = default_platform(u64{1} << 30);
  EXPECT_EQ(p.timing.model, Model::flat);
  EXPECT_EQ(to_json(p).find("timing"), std::string::npos);
  EXPECT_EQ(p.cpu.tsc_hz, 1'000'000'000u);
  EXPECT_EQ(to_json(platform(R"("timing": {"model": "flat", "profile": "skylake-server"})")).find("timing"), std::string::npos);
}

TEST(platform_timing, the_tsc_runs_at_the_profiles_clock_unless_the_platform_says_another) {
  EXPECT_EQ(platform(R"("timing": {"model": "events"})").cpu.tsc_hz, 2'100'000'000u);
  EXPECT_EQ(platform(R"("timing": {"model": "events"}, "cpu": {"count": 2})").cpu.tsc_hz, 2'100'000'000u);
  EXPECT_EQ(platform(R"("timing": {"model": "events"}, "cpu": {"tsc_hz": 1000000000})").cpu.tsc_hz, 1'000'000'000u);
  Platform p = platform(R"("timing": {"model": "events"})");
  p.timing.model = Model::flat;
  complete(p);
  EXPECT_EQ(p.cpu.tsc_hz, 1'000'000'000u);
}

TEST(platform_timing, canonical_text_has_the_whole_profile) {
  const Platform p = platform(R"("timing": {"model": "core", "profile": {"base": "measured-server", "name": "other", "caches": {"dram": {"value": 400, "origin": "assumed"}}}})");
  EXPECT_EQ(p.timing.model, Model::core);
  EXPECT_EQ(p.timing.profile.dram, 400u);
  const std::string text = to_json(p);
  const auto j = nlohmann::json::parse(text);
  EXPECT_EQ(j["timing"]["model"], "core");
  EXPECT_EQ(j["timing"]["profile"]["name"], "other");
  EXPECT_EQ(j["timing"]["profile"]["caches"]["dram"], 400);
  EXPECT_FALSE(j["timing"]["profile"].contains("base"));
  const Platform again = parse_platform(text, "y.json");
  EXPECT_EQ(to_json(again), text);
  EXPECT_EQ(again.timing.profile.dram, 400u);
}

TEST(platform_timing, what_is_wrong_is_named_in_the_description) {
  auto wrong = [](const char* body) { return error_of([&] { (void)platform(body); }); };
  EXPECT_EQ(wrong(R"("timing": {"model": "fast"})"), "x.json: timing.model: \"fast\" is unknown; there are flat, events, core");
  EXPECT_EQ(wrong(R"("timing": {"profile": "skylake-server"})"), "x.json: timing.model: is missing");
  EXPECT_EQ(wrong(R"("timing": {"model": "core", "profile": "nosuch"})"),
            "x.json: timing.profile: there is no profile \"nosuch\"; built in are measured-server, skylake-server; or give the path of a file");
  EXPECT_EQ(wrong(R"("timing": {"model": "core", "profile": {"base": "skylake-server", "caches": {"l2": {"size": "1000K"}}}})"),
            "x.json: timing.profile.caches.l2.size: 1024000 in 16 ways are 1000 sets, which is no power of two");
  EXPECT_EQ(wrong(R"("timing": {"model": "core", "profile": {}})"), "x.json: timing.profile.clock: is missing; give it, or a \"base\" to take it from");
  EXPECT_EQ(wrong(R"("timing": {"model": "core", "speed": 1})"), "x.json: timing.speed: unknown field; there are model, profile");
}

}  // namespace
